"""What became of a value that was converted, read from the old and the new form of it."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, InvalidOperation

from seatrial.checks.case import shorten
from seatrial.values import dataclass

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d)?)(\.\d+)?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?$")
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$")
_BOUNDS = {2**n - 1 for n in (7, 8, 15, 16, 23, 24, 31, 32, 63, 64)} | {-(2**n) for n in (7, 15, 23, 31, 63)}


@dataclass(frozen=True, slots=True)
class Loss:
    """What happened to a value (``how``), and what keeps it."""

    how: str
    advice: str = ""


def losses(pairs: Iterable[tuple[str | None, str | None]], *, back: bool = False) -> Iterator[tuple[Loss, str]]:
    """Each way in which values were lost, with its first example; ``back``: the new form is what casting back gives."""
    found: dict[Loss, str] = {}
    for old, new in pairs:
        if (loss := lost(old, new, back=back)) is not None:
            found.setdefault(loss, f"{shown(old)} {'comes back as' if back else 'became'} {shown(new)}")
    yield from found.items()


def shown(value: str | None) -> str:
    """A stored value in a sentence: always in quotes, so that redaction finds it."""
    return "NULL" if value is None else f"'{shorten(value, 40).replace(chr(39), '’')}'"


def lost(old: str | None, new: str | None, *, back: bool = False) -> Loss | None:
    """How the new form differs; None where none of the known ways fits."""
    if old is None:
        return None if back or new is None else Loss("NULL became a value", "keep NULL apart from every value")
    if new is None:
        if back:
            return Loss("the new form has no cast that gives the old one", "keep the old column until nobody needs it")
        return Loss("what the new type cannot hold became NULL", "decide in an explicit expression what it becomes")
    if old == new:
        return Loss("the type of what is stored is another", "keep the column's type")
    for find in (_moment, _number, _json, _text):
        if (loss := find(old, new)) is not None:
            return loss
    return None


# --- numbers ---


def _number(old: str, new: str) -> Loss | None:
    if not _NUMBER.match(new):
        return None
    if not _NUMBER.match(old):
        as_zero = Decimal(new) == 0 and not old.strip()[:1].isdigit()
        if as_zero:
            return Loss(
                "what is no number became 0", "set such values to NULL, or correct them, before the type changes"
            )
        if re.match(rf"\s*{re.escape(new)}(?!\d)", old):
            return Loss("only the digits in front of a text were kept", "correct such values before the type changes")
        return None
    try:
        was, now = Decimal(old.strip()), Decimal(new.strip())
    except InvalidOperation:
        return None
    return _same_number(old, new) if was == now else _other_number(was, now)


def _same_number(old: str, new: str) -> Loss:
    if re.match(r"\s*[+-]?0\d", old):
        return Loss("leading zeros go, for a number has none", "keep the column a text type")
    if "e" in (old + new).lower():
        return Loss("the same number is written in another form", "compare it as a number, not as text")
    return Loss("the number of decimal places is another one", "declare the type with as many decimal places as before")


def _other_number(was: Decimal, now: Decimal) -> Loss | None:
    if int(now) in _BOUNDS and now == int(now) and abs(was) > abs(now):
        return Loss(
            "what is out of range was cut to the bound of the type", "choose a type that holds the largest value"
        )
    if now == 1 and was == int(was):
        return Loss("every number but 0 counts as true", "keep the number, or a column for each of its meanings")
    if (fewer := _fewer_places(was, now)) is not None:
        return fewer
    if was and abs((now - was) / was) < Decimal("0.0001"):
        return Loss("a binary fraction holds only the nearest value", "use an exact decimal type")
    for factor in (10, 100, 1000):
        if now in (was * factor, was / factor):
            return Loss(f"values are {'multiplied' if now == was * factor else 'divided'} by {factor}", "")
    return None


def _fewer_places(was: Decimal, now: Decimal) -> Loss | None:
    """Rounding or cutting to the fewest places that explain it; a float holds only what is next to that."""
    for places in range(max(0, -int(was.as_tuple().exponent))):
        step = Decimal(1).scaleb(-places)
        try:
            up, even, down = (was.quantize(step, how) for how in (ROUND_HALF_UP, ROUND_HALF_EVEN, ROUND_DOWN))
        except InvalidOperation:
            return None
        rounded = _near(now, up, step) or _near(now, even, step)
        how = "rounded" if rounded else "cut, not rounded," if _near(now, down, step) else ""
        if how:
            return Loss(f"values are {how} to {_places(places)}", "keep the decimal places that values have")
    return None


def _near(one: Decimal, other: Decimal, step: Decimal) -> bool:
    return abs(one - other) <= step / 1000


def _places(places: int) -> str:
    return "whole numbers" if places == 0 else f"{places} decimal place{'s' if places > 1 else ''}"


# --- dates and times ---


def _moment(old: str, new: str) -> Loss | None:
    was, now = _MOMENT.match(old.strip()), _MOMENT.match(new.strip())
    if was is None or now is None:
        return None
    if was[2] and was[1] == now[1] and now[2] in (None, "00:00:00", "00:00") and was[2] != now[2]:
        return Loss("the time of day goes", "keep a type with a time of day")
    if (was[1], was[2]) == (now[1], now[2]):
        if (was[3] or "") != (now[3] or "") and len(now[3] or "") <= len(was[3] or ""):
            return Loss("fractions of a second go", "declare the type with the fractions that values have")
        if was[4] != now[4]:
            return Loss("the offset from UTC goes or comes, without the time being moved", "convert AT TIME ZONE")
        return None
    if was[2] and (was[2][3:] == now[2][3:] or was[3] == now[3]) and _whole_shift(was[2], now[2]):
        return Loss("times are moved by a time zone's offset", "say the zone in the conversion, as the rows mean it")
    if was[3] and not now[3]:
        return Loss("fractions of a second are rounded away", "declare the type with the fractions that values have")
    return None


def _whole_shift(old: str, new: str) -> bool:
    """Zones differ by quarters of an hour (and seconds stay)."""
    minutes = [int(t[:2]) * 60 + int(t[3:5]) for t in (old, new)]
    return old[5:] == new[5:] and (minutes[0] - minutes[1]) % 15 == 0


# --- texts ---


def _json(old: str, new: str) -> Loss | None:
    if old.strip()[:1] not in ("{", "["):
        return None
    try:
        was, now = json.loads(old), json.loads(new)
    except ValueError:
        return None
    if was == now:
        return Loss("the JSON means the same and is written otherwise: blanks, the order of keys", "keep it as text")
    return Loss("the JSON lost what the new type does not keep", "keep it as text")


def _text(old: str, new: str) -> Loss | None:
    if old and new == "":
        return Loss("what the new type does not know became an empty text", "add the value to the type first")
    if new == old.rstrip() or old == new.rstrip():
        return Loss("blanks at the end go or come", "keep the type, or trim on purpose")
    if old.startswith(new):
        return Loss(
            f"texts are cut to {len(new)} characters", "find the longer ones first, and give the type their length"
        )
    if "?" in new and len(new) >= len(old) and all(a == b or b == "?" for a, b in zip(old, new, strict=False)):
        return Loss(
            "characters that the new character set lacks became ?",
            "keep a character set that has them, as utf8mb4 has all",
        )
    if unicodedata.normalize("NFC", old) == unicodedata.normalize("NFC", new):
        return Loss("characters are put together otherwise (another Unicode form)", "")
    if old.casefold() == new.casefold():
        return Loss("upper and lower case are lost", "")
    if _recoded(old) == new or _recoded(new) == old:
        return Loss("bytes were taken for another character set", "say the character set that the bytes are in")
    return None


def _recoded(text: str) -> str | None:
    """The text as it looks where its UTF-8 bytes are taken for Latin-1."""
    try:
        return text.encode("utf-8").decode("latin-1")
    except UnicodeDecodeError:
        return None
