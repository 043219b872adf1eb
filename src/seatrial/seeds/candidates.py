"""Candidates for one column: values that hurt and that its conditions let pass; and endless rows of different ones."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import partial

from seatrial.seeds.conditions import Condition
from seatrial.seeds.families import Family
from seatrial.seeds.patterns import from_like, from_regex
from seatrial.seeds.shape import Column
from seatrial.seeds.values import distinct, pool
from seatrial.sql.tokens import NUMBER, STRING

_LIKE = ("LIKE", "ILIKE", "~~", "~~*", "GLOB")
_REGEX = ("~", "~*", "REGEXP", "RLIKE", "REGEXP_LIKE")


def candidates(column: Column, checks: Sequence[Condition], rng: random.Random) -> list[object]:
    """Values that hurt and constants that the conditions name, as far as the conditions on this column alone allow."""
    mentioned = [c for c in checks if column.name in c.columns]
    hinted = [h for c in mentioned for h in _hints(column.family, c, rng)]
    alone = [c for c in mentioned if c.columns == (column.name,)]
    made = [*pool(column.family, column.name, column.default), *hinted]
    fitting = [v for v in made if _fits(column, v, alone)]
    if not fitting:
        stream = Stream(column, alone, 1, rng)
        fitting = [v for _ in range(4) if (v := stream.next()) is not None]
    fitting = _once(fitting or made)
    rng.shuffle(fitting)
    return fitting


def _once(values: Iterable[object]) -> list[object]:
    """-0.0 and 0.0 are two values here, as are 1 and True."""
    return list({(type(v), repr(v)): v for v in values}.values())


def _fits(column: Column, value: object, checks: Sequence[Condition]) -> bool:
    family = column.family
    if (
        isinstance(value, str)
        and family.name in ("text", "char")
        and family.length is not None
        and len(value) > family.length
    ):
        return False
    row = {column.name: family.compare(value)}
    return not any(c.refuses(row) for c in checks)


def _hints(family: Family, check: Condition, rng: random.Random) -> list[object]:
    found: list[object] = []
    before = ""
    for token in check.tokens:
        if token.kind == STRING:
            found += _near_text(family, token.value, before, rng)
        elif token.kind == NUMBER:
            found += _near_number(family, Decimal(token.value))
        before = token.word if token.word and token.word not in ("(", ",") else before
    return found


def _near_text(family: Family, text: str, before: str, rng: random.Random) -> list[object]:
    if family.name in ("text", "char", "unknown"):
        if before in _LIKE:
            return list(from_like(text))
        if before in _REGEX:
            return list(from_regex(text, rng, 6))
        return [text]
    if family.name in ("integer", "float", "year"):
        return [v] if isinstance(v := family.read(text), (int, float)) else []
    if family.name in ("json", "jsonb"):
        return [f'{{{json.dumps(text)}: {value}, "id": 1.00}}' for value in ("1.10", '"x"')]
    return [text] if family.name not in ("boolean", "bytes", "binary", "array", "composite") else []


def _near_number(family: Family, number: Decimal) -> list[object]:
    if family.name == "integer":
        return [v for d in (0, 1, -1) if family.low <= (v := int(number) + d) <= family.high]
    if family.name == "decimal":
        step = Decimal(1).scaleb(-(family.scale or 0))
        return [f"{number + d:f}" for d in (0, step, -step, 1)]
    if family.name == "float":
        return [float(number), float(number) + 0.5, float(number) - 0.5]
    if family.name in ("text", "char") and 0 <= number <= 1000:
        return [made for d in (0, 1, -1) for made in _of_length(int(number) + d)]
    return []


def _of_length(length: int) -> list[str]:
    texts = ("00501", "aBc", "ABC", "é x")
    return [(t * length)[:length] for t in texts] if length > 0 else [""]


class Stream:
    """An endless row of different values for a column, by the first way of making them that the conditions let pass."""

    def __init__(self, column: Column, checks: Sequence[Condition], base: int, rng: random.Random) -> None:
        self.column, self.checks, self.used = column, checks, set[str]()
        self._count, self._misses = 0, 0
        self._sources = _sources(column, checks, base, rng)

    def next(self) -> object:
        """None where no further value was found."""
        while self._sources:
            value = self._sources[0](self._count)
            self._count += 1
            good = value is not None and repr(value) not in self.used and _fits(self.column, value, self.checks)
            if good:
                self.used.add(repr(value))
                self._misses = 0
                return value
            self._misses += 1
            if value is None or self._misses > 40:
                self._sources.pop(0)
                self._misses = self._count = 0
        return None


def _sources(
    column: Column, checks: Sequence[Condition], base: int, rng: random.Random
) -> list[Callable[[int], object]]:
    family = column.family
    sources: list[Callable[[int], object]] = [lambda i: distinct(family, i, base, column.name)]
    for token in (t for c in checks for t in c.tokens):
        if token.kind == NUMBER and family.name in ("integer", "decimal", "float"):
            start = int(Decimal(token.value))
            sources += [_shifted(family, start, 1), _shifted(family, start, -1)]
        elif token.kind == NUMBER and 0 < Decimal(token.value) <= 100:
            sources += _padded(int(Decimal(token.value)))
        elif token.kind == STRING:
            sources.append(_patterned(token.value, rng))
    fixed = [h for c in checks for h in _hints(family, c, rng)] + pool(family, column.name, column.default)
    return [*sources, lambda i: fixed[i] if i < len(fixed) else None]


def _shifted(family: Family, start: int, sign: int) -> Callable[[int], object]:
    def source(i: int) -> object:
        value = start + sign * i
        if family.name == "integer":
            return value if family.low <= value <= family.high else None
        return float(value) if family.name == "float" else str(value)

    return source


def _padded(length: int) -> list[Callable[[int], object]]:
    """Texts of a certain length: codes of digits, and of letters."""
    widths = [n for n in (length, length + 1, length - 1) if n > 0]
    return [partial(code, width=n) for n in widths for code in (_digits, _letters)]


def _digits(i: int, width: int) -> object:
    return str(i).zfill(width)


def _letters(i: int, width: int) -> object:
    return "".join(chr(65 + i // 26**place % 26) for place in reversed(range(width)))


def _patterned(pattern: str, rng: random.Random) -> Callable[[int], object]:
    """A literal that is no pattern gives itself again and again, and is soon left."""
    likes = [pattern.replace("_", "a")] if "%" in pattern or "*" in pattern else []

    def source(i: int) -> object:
        if likes:
            return likes[0].replace("%", f"x{i}").replace("*", f"x{i}")
        return next(iter(from_regex(pattern, rng, 1)), None)

    return source


def is_listed(values: Sequence[object], column: Column, checks: Sequence[Condition]) -> bool:
    """Whether a condition leaves a column only the values that it lists."""
    alone = [c for c in checks if c.columns == (column.name,)]
    return bool(alone) and all(any(t.kind == STRING and t.value == v for c in alone for t in c.tokens) for v in values)
