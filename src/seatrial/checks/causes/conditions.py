"""Whether a condition holds of one row of known values, as every engine decides it: True, False, NULL, or not known.

Only what engines decide alike is decided: collations, paddings and time zones make values equal that are written
otherwise, so texts are compared where they are the same, or differ in more than case and marks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from seatrial.sql.batches import conjuncts, unbracketed
from seatrial.sql.cursor import closing, items, top
from seatrial.sql.tokens import STRING, Token
from seatrial.values import dataclass

_NUMBERS = ("int", "serial", "numeric", "decimal")
_TEXTS = ("char", "text")
_COMPARING = frozenset({"=", "<>", "!=", "<", ">", "<=", ">=", "IN", "BETWEEN", "LIKE", "ILIKE", "IS", "NOT"})
_NOT_READ = frozenset({"CASE", "SELECT", "XOR", "||", "&&"})  # MySQL's || and && bind as OR and AND do, others' do not
_NULL = "null"

Truth = bool | str | None
"""``"null"`` for SQL's NULL; None where it cannot be told."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value as text, None for NULL, and the type that it has, in small letters."""

    text: str | None
    type: str = ""


Lookup = Callable[[str], Value | None]
"""A column's value by its name as it is written; None where that is no column, or not known."""


def holds(tokens: Sequence[Token], lookup: Lookup, dialect: str) -> bool | None:
    """Whether a row is one for which the condition is true."""
    if any(t.word in _NOT_READ for t in tokens):
        return None
    found = [_truth(c, lookup, dialect) for c in conjuncts(tokens)]
    return False if {False, _NULL} & set(found) else None if None in found else True


def _truth(tokens: Sequence[Token], lookup: Lookup, dialect: str) -> Truth:
    tokens = unbracketed(tokens)
    parts = _disjuncts(tokens)
    if len(parts) > 1:
        return _any([_truth(p, lookup, dialect) for p in parts])
    if len(both := conjuncts(tokens)) > 1:
        return _not(_any([_not(_truth(p, lookup, dialect)) for p in both]))
    if tokens and tokens[0].word == "NOT":
        return _not(_truth(tokens[1:], lookup, dialect))
    return _comparison(tokens, lookup, dialect)


def _any(found: Sequence[Truth]) -> Truth:
    return True if True in found else None if None in found else _NULL if _NULL in found else False


def _not(found: Truth) -> Truth:
    return not found if isinstance(found, bool) else found


def _disjuncts(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    cuts = [-1, *(i for i in top(tokens, 0, len(tokens)) if tokens[i].word == "OR"), len(tokens)]
    return [tokens[a + 1 : b] for a, b in pairwise(cuts)]


def _comparison(tokens: Sequence[Token], lookup: Lookup, dialect: str) -> Truth:
    place = next((i for i in top(tokens, 0, len(tokens)) if tokens[i].word in _COMPARING), None)
    value = _value(tokens[:place], lookup) if place else None
    if place is None or value is None:
        return None
    operator, rest = tokens[place].word, tokens[place + 1 :]
    if operator == "IS":
        found = {("NULL",): value.text is None, ("NOT", "NULL"): value.text is not None}
        return found.get(tuple(t.word for t in rest))
    if operator == "NOT":
        return _not(_compared(value, rest[0].word, rest[1:], lookup, dialect)) if rest else None
    return _compared(value, operator, rest, lookup, dialect)


def _compared(value: Value, operator: str, rest: Sequence[Token], lookup: Lookup, dialect: str) -> Truth:
    if value.text is None:
        return _NULL if operator in _COMPARING - {"IS", "NOT"} else None
    if operator == "IN":
        return _among(value, rest, lookup)
    if operator in ("LIKE", "ILIKE"):
        pattern = _value(rest, lookup)
        return _like(value, pattern, operator, dialect) if pattern is not None and pattern.text is not None else None
    if operator in ("=", "<>", "!="):
        equal = _equals(value, rest, lookup)
        return equal if operator == "=" else _not(equal)
    return _ordered(value, operator, rest, lookup)


def _among(value: Value, rest: Sequence[Token], lookup: Lookup) -> Truth:
    if len(rest) < 3 or rest[0].word != "(" or closing(rest, 0, len(rest)) != len(rest) - 1:
        return None
    return _any([_equals(value, rest[a:b], lookup) for a, b in items(rest, 1, len(rest) - 1)])


def _equals(value: Value, tokens: Sequence[Token], lookup: Lookup) -> Truth:
    other = _value(tokens, lookup)
    if other is None or value.text is None:
        return None
    return _NULL if other.text is None else same(value.text, other.text, value.type or other.type)


def _ordered(value: Value, operator: str, rest: Sequence[Token], lookup: Lookup) -> Truth:
    """Numbers only: texts are ordered by collations."""
    mine = number(value.text) if any(n in value.type for n in _NUMBERS) else None
    cut = next((i for i, t in enumerate(rest) if t.word == "AND"), len(rest))
    given = [v for part in (rest[:cut], rest[cut + 1 :]) if (v := _value(part, lookup)) is not None]
    bounds = [b for v in given if (b := number(v.text)) is not None]
    if mine is None or len(bounds) != 1 + (operator == "BETWEEN"):
        return None
    orders = {"<": mine < bounds[0], ">": mine > bounds[0], "<=": mine <= bounds[0], ">=": mine >= bounds[0]}
    return bounds[0] <= mine <= bounds[1] if operator == "BETWEEN" else orders.get(operator)


def _like(value: Value, pattern: Value, operator: str, dialect: str) -> bool | None:
    """Where only case decides: SQLite passes over it, PostgreSQL does not, MySQL's collations say."""
    text, wanted = value.text or "", pattern.text or ""
    plain = all(s.isascii() and s.isprintable() and "\\" not in s for s in (text, wanted))
    if not plain or value.type.startswith(("char(", "character(", "bpchar", "citext")) or not _is_text(value):
        return None
    regex = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in wanted)
    if re.fullmatch(regex, text):
        return True
    if not re.fullmatch(regex, text, re.IGNORECASE):
        return False
    return True if operator == "ILIKE" or dialect == "sqlite" else False if dialect == "postgresql" else None


def _is_text(value: Value) -> bool:
    return any(t in value.type for t in _TEXTS)


# --- values -----------------------------------------------------------------------------------------------------------


def _value(tokens: Sequence[Token], lookup: Lookup) -> Value | None:
    """A literal, a column, a function of one that every engine has, or the rest of a division."""
    tokens = unbracketed(tokens)
    if (text := literal(tokens)) is not None:
        return Value(text)
    if [t.word for t in tokens] == ["NULL"]:
        return Value(None)
    if len(tokens) == 3 and tokens[1].word == ".":
        tokens = tokens[2:]
    if len(tokens) == 1:
        return lookup(tokens[0].name) if tokens[0].name else None
    cut = max((i for i in top(tokens, 0, len(tokens)) if tokens[i].word == "%"), default=0)
    if cut:
        return _rest([_value(tokens[:cut], lookup), _value(tokens[cut + 1 :], lookup)])
    if len(tokens) > 3 and tokens[1].word == "(" and closing(tokens, 1, len(tokens)) == len(tokens) - 1:
        given = [_value(tokens[a:b], lookup) for a, b in items(tokens, 2, len(tokens) - 1)]
        return _called(tokens[0].name.lower(), given)
    return None


def _called(name: str, given: Sequence[Value | None]) -> Value | None:
    if name in ("coalesce", "ifnull"):
        return _first(given)
    if name == "mod":
        return _rest(given)
    value = given[0] if len(given) == 1 else None
    made = _FUNCTIONS.get(name)
    if made is None or value is None or not _is_text(value) or value.type.startswith(("char(", "character(", "bpchar")):
        return None
    if value.text is None:
        return value
    plain = value.text.isascii() and value.text.isprintable() and "\\" not in value.text
    return made(value) if plain else None


_FUNCTIONS: dict[str, Callable[[Value], Value]] = {
    "lower": lambda v: Value((v.text or "").lower(), v.type),
    "upper": lambda v: Value((v.text or "").upper(), v.type),
    "trim": lambda v: Value((v.text or "").strip(" "), v.type),
    **dict.fromkeys(("length", "char_length", "character_length"), lambda v: Value(str(len(v.text or "")), "int")),
}


def _first(given: Sequence[Value | None]) -> Value | None:
    """The first that is not NULL, with the type of the column among them."""
    kind = next((v.type for v in given if v is not None and v.type), "")
    for value in given:
        if value is None or value.text is not None:
            return value and Value(value.text, kind)
    return Value(None, kind) if given else None


def _rest(given: Sequence[Value | None]) -> Value | None:
    """Of whole numbers that are not negative: engines differ about the others."""
    if len(given) != 2 or given[0] is None or given[1] is None or "int" not in given[0].type:
        return None
    if given[0].text is None:
        return given[0]
    texts = [v.text or "" for v in given if v is not None]
    whole = all(t.isascii() and t.isdigit() for t in texts) and int(texts[1]) > 0
    return Value(str(int(texts[0]) % int(texts[1])), "int") if whole else None


def literal(tokens: Sequence[Token]) -> str | None:
    """The text of a string or a number with its sign; None for everything else."""
    sign = "-" if len(tokens) == 2 and tokens[0].word == "-" else ""
    if len(tokens) != 1 + bool(sign):
        return None
    text = tokens[-1].value
    return f"{sign}{text}" if tokens[-1].kind == STRING or number(text) is not None else None


def number(text: str | None) -> Decimal | None:
    try:
        found = Decimal(text) if text is not None and text.isascii() else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None


def same(one: str, other: str, kind: str) -> bool | None:
    """Whether two forms are one value to an engine, in a column of the type ``kind``."""
    texts, numbers = any(t in kind for t in _TEXTS), any(n in kind for n in _NUMBERS)
    if not (texts or numbers or kind == "uuid"):
        return None
    if one == other:
        return True
    a, b = number(one), number(other)
    if numbers or (a is not None and b is not None):
        return None if a is None or b is None or (texts and a == b) else a == b
    if a is not None or b is not None or not all(s.isascii() and s.isprintable() for s in (one, other)):
        return None
    return None if _loose(one) == _loose(other) else False


def _loose(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())
