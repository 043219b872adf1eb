"""Conditions of CHECK constraints and partial indexes, as functions of a row.

Only to choose good candidates before the engine judges: whatever is not understood is ``UNKNOWN`` and stands in
nobody's way. SQL's three truth values are True, False and None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from seatrial.seeds.patterns import posix_classes
from seatrial.sql.tokens import NUMBER, QUOTED, STRING, WORD, Token, code
from seatrial.values import dataclass


class Unknown:
    """What could not be worked out."""


UNKNOWN: Final = Unknown()
Row = Mapping[str, object]
Term = Callable[[Row], object]


@dataclass(frozen=True, slots=True)
class Condition:
    text: str
    columns: tuple[str, ...]
    term: Term
    tokens: tuple[Token, ...]

    def refuses(self, row: Row) -> bool:
        """Whether the condition is certainly false for a row."""
        return self.value(row) is False

    def value(self, row: Row) -> object:
        try:
            return self.term(row)
        except (ArithmeticError, TypeError, ValueError, re.error):
            return UNKNOWN


def condition(text: str, columns: Sequence[str], dialect: str) -> Condition:
    tokens = tuple(code(text, dialect))
    folded = {c.lower(): c for c in columns}
    named = [_column(t, columns, folded) for t in tokens]
    mentioned = tuple(c for c in columns if c in named)
    try:
        parser = _Parser(tokens, columns, folded)
        term = parser.expression(0)
        parser.end()
    except _NotUnderstoodError:
        term = _unknown
    return Condition(text, mentioned, term, tokens)


def _unknown(row: Row) -> object:
    return UNKNOWN


def _column(token: Token, columns: Sequence[str], folded: Mapping[str, str]) -> str | None:
    if token.kind not in (WORD, QUOTED):
        return None
    return token.name if token.name in columns else folded.get(token.name.lower())


class _NotUnderstoodError(Exception):
    pass


_COMPARE: Mapping[str, Callable[[object, object], bool]] = {
    "=": lambda a, b: a == b,
    "==": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,  # type: ignore[operator]
    "<=": lambda a, b: a <= b,  # type: ignore[operator]
    ">": lambda a, b: a > b,  # type: ignore[operator]
    ">=": lambda a, b: a >= b,  # type: ignore[operator]
    "~": lambda a, b: bool(re.search(posix_classes(str(b)), str(a))),
    "~*": lambda a, b: bool(re.search(posix_classes(str(b)), str(a), re.IGNORECASE)),
    "!~": lambda a, b: not re.search(posix_classes(str(b)), str(a)),
    "!~*": lambda a, b: not re.search(posix_classes(str(b)), str(a), re.IGNORECASE),
    "REGEXP": lambda a, b: bool(re.search(posix_classes(str(b)), str(a), re.IGNORECASE)),
    "RLIKE": lambda a, b: bool(re.search(posix_classes(str(b)), str(a), re.IGNORECASE)),
    "~~": lambda a, b: _like(a, b, 0),
    "!~~": lambda a, b: not _like(a, b, 0),
    "LIKE": lambda a, b: _like(a, b, re.IGNORECASE),
    "~~*": lambda a, b: _like(a, b, re.IGNORECASE),
    "!~~*": lambda a, b: not _like(a, b, re.IGNORECASE),
    "ILIKE": lambda a, b: _like(a, b, re.IGNORECASE),
    "GLOB": lambda a, b: bool(re.fullmatch(_glob(str(b)), str(a), re.DOTALL)),
}
_ARITHMETIC: Mapping[str, Callable[[object, object], object]] = {
    "+": lambda a, b: a + b,  # type: ignore[operator]
    "-": lambda a, b: a - b,  # type: ignore[operator]
    "*": lambda a, b: a * b,  # type: ignore[operator]
    "/": lambda a, b: a / b,  # type: ignore[operator]
    "%": lambda a, b: a % b,  # type: ignore[operator]
    "MOD": lambda a, b: a % b,  # type: ignore[operator]
    "DIV": lambda a, b: a // b,  # type: ignore[operator]
    "||": lambda a, b: str(a) + str(b),
}
_BINDS = {
    "OR": 1, "AND": 2, "IS": 4, "IN": 5, "BETWEEN": 5, "NOT": 5, "||": 7, "+": 7, "-": 7, "*": 8, "/": 8, "%": 8,
    "MOD": 8, "DIV": 8,
    "::": 9, "COLLATE": 9,
}  # fmt: skip
_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "LENGTH": lambda a: Decimal(len(a)),
    "CHAR_LENGTH": lambda a: Decimal(len(a)),
    "CHARACTER_LENGTH": lambda a: Decimal(len(a)),
    "OCTET_LENGTH": lambda a: Decimal(len(a.encode() if isinstance(a, str) else a)),
    "LOWER": lambda a: a.lower(),
    "UPPER": lambda a: a.upper(),
    "TRIM": lambda a: a.strip(" "),
    "BTRIM": lambda a: a.strip(" "),
    "LTRIM": lambda a: a.lstrip(" "),
    "RTRIM": lambda a: a.rstrip(" "),
    "ABS": lambda a: abs(a),
    "MOD": lambda a, b: a % b,
    "REGEXP_LIKE": lambda a, b: bool(re.search(posix_classes(b), a, re.IGNORECASE)),
}


def _like(value: object, pattern: object, flags: int) -> bool:
    parts = (".*" if c == "%" else "." if c == "_" else re.escape(c) for c in str(pattern))
    return re.fullmatch("".join(parts), str(value), re.DOTALL | flags) is not None


def _glob(pattern: str) -> str:
    kept = re.split(r"(\[[^\]]*\])", pattern)
    return "".join(k if k[:1] == "[" else re.escape(k).replace(r"\*", ".*").replace(r"\?", ".") for k in kept)


def _and(a: object, b: object) -> object:
    if a is False or b is False:
        return False
    return next((v for v in (a, b) if v is not True), True)


def _not(a: object) -> object:
    return (not a) if isinstance(a, bool) else a


def _lift(function: Callable[..., object], *terms: Term) -> Term:
    """A function of values that knows neither NULL nor UNKNOWN."""

    def term(row: Row) -> object:
        values = [t(row) for t in terms]
        if any(v is UNKNOWN for v in values):
            return UNKNOWN
        return None if any(v is None for v in values) else function(*_alike(values))

    return term


def _alike(values: list[object]) -> list[object]:
    """A number and a truth value, or a text that stands for a number, are compared as numbers."""
    if any(isinstance(v, Decimal) for v in values):
        return [Decimal(int(v)) if isinstance(v, bool) else v for v in values]
    if any(isinstance(v, bool) for v in values):
        return [v.lower() in ("t", "true", "1") if isinstance(v, str) else v for v in values]
    return values


class _Parser:
    """Precedence climbing over the tokens of one expression."""

    def __init__(self, tokens: Sequence[Token], columns: Sequence[str], folded: Mapping[str, str]) -> None:
        self.tokens, self.columns, self.folded, self.at = tokens, columns, folded, 0

    def peek(self, ahead: int = 0) -> str:
        place = self.at + ahead
        return self.tokens[place].word if place < len(self.tokens) else ""

    def next(self) -> Token:
        if self.at >= len(self.tokens):
            raise _NotUnderstoodError
        self.at += 1
        return self.tokens[self.at - 1]

    def take(self, word: str) -> bool:
        found = self.peek() == word
        self.at += found
        return found

    def expect(self, word: str) -> None:
        if not self.take(word):
            raise _NotUnderstoodError

    def end(self) -> None:
        if self.at < len(self.tokens):
            raise _NotUnderstoodError

    def expression(self, binding: int) -> Term:
        left = self.operand()
        while (word := self.peek()) and (strength := _BINDS.get(word, 6 if word in _COMPARE else 0)) > binding:
            self.at += 1
            left = self.infix(word, left, strength)
        return left

    def infix(self, word: str, left: Term, strength: int) -> Term:
        if word in ("AND", "OR"):
            return _connect(word, left, self.expression(strength))
        if word == "::":
            self.type_name()
            return left
        if word == "COLLATE":
            self.next()
            return left
        if word == "IS":
            return self.is_(left)
        if word == "NOT":
            inner = self.infix(self.next().word, left, strength)
            return lambda row: _not(inner(row))
        if word == "IN":
            return _member(left, self.list("(", ")"))
        if word == "BETWEEN":
            low = self.expression(3)
            self.expect("AND")
            high = self.expression(3)
            return _connect("AND", _lift(_COMPARE[">="], left, low), _lift(_COMPARE["<="], left, high))
        if word in _COMPARE:
            return self.comparison(word, left, strength)
        if word in _ARITHMETIC:
            return _lift(_ARITHMETIC[word], left, self.expression(strength))
        raise _NotUnderstoodError

    def comparison(self, word: str, left: Term, strength: int) -> Term:
        if self.peek() in ("ANY", "ALL"):
            quantifier = self.next().word
            items = self.any_items()
            if (word, quantifier) == ("=", "ANY"):
                return _member(left, items)
            if (word, quantifier) == ("<>", "ALL"):
                inner = _member(left, items)
                return lambda row: _not(inner(row))
            raise _NotUnderstoodError
        return _lift(_COMPARE[word], left, self.expression(strength))

    def any_items(self) -> list[Term]:
        self.expect("(")
        depth = 1
        while self.take("("):
            depth += 1
        self.expect("ARRAY")
        items = self.list("[", "]")
        while depth:
            if self.take("::"):
                self.type_name()
            else:
                self.expect(")")
                depth -= 1
        return items

    def list(self, opening: str, closing: str) -> list[Term]:
        self.expect(opening)
        items: list[Term] = []
        while not self.take(closing):
            items.append(self.expression(0))
            self.take(",")
        return items

    def is_(self, left: Term) -> Term:
        negated = self.take("NOT")
        word = self.next().word
        if word == "NULL":
            return lambda row: v if (v := left(row)) is UNKNOWN else (v is None) is not negated
        if word in ("TRUE", "FALSE"):
            return lambda row: v if (v := left(row)) is UNKNOWN else (v is (word == "TRUE")) is not negated
        if word == "DISTINCT":
            self.expect("FROM")
            right = self.expression(4)
            return lambda row: (left(row) == right(row)) is negated
        raise _NotUnderstoodError

    def type_name(self) -> None:
        """Skips ``character varying(20)[]`` and the like."""
        self.next()
        while self.peek() in ("VARYING", "PRECISION", "WITHOUT", "WITH", "TIME", "ZONE", "."):
            self.next()
        for opening, closing in (("(", ")"), ("[", "]")):
            if self.take(opening):
                while not self.take(closing):
                    self.next()

    def operand(self) -> Term:
        token = self.next()
        if token.kind == STRING:
            return _constant(token.value)
        if token.kind == NUMBER:
            return _constant(Decimal(token.value))
        if token.word == "(":
            inner = self.expression(0)
            self.expect(")")
            return inner
        if token.word in ("-", "+"):
            return _lift(lambda a: -a if token.word == "-" else a, self.expression(8))
        if token.word == "NOT":
            inner = self.expression(3)
            return lambda row: _not(inner(row))
        if token.word == "CASE":
            return self.case()
        return self.word(token)

    def word(self, token: Token) -> Term:
        if token.word in ("NULL", "TRUE", "FALSE"):
            return _constant({"NULL": None, "TRUE": True, "FALSE": False}[token.word])
        if token.kind == WORD and token.text.startswith("_") and self.at_string():
            return self.operand()  # MySQL's character set before a literal: _utf8mb4'x'
        if self.peek() == "(" and token.kind == WORD:
            return self.function(token.word)
        while self.take("."):
            token = self.next()
        name = _column(token, self.columns, self.folded)
        if name is None:
            raise _NotUnderstoodError
        return lambda row: row.get(name, UNKNOWN)

    def at_string(self) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at].kind == STRING

    def function(self, name: str) -> Term:
        if name == "CAST":
            self.expect("(")
            inner = self.expression(0)
            self.expect("AS")
            self.type_name()
            self.expect(")")
            return inner
        arguments = self.list("(", ")")
        if name == "COALESCE":
            return lambda row: next((v for a in arguments if (v := a(row)) is not None), None)
        if name in ("NUM_NONNULLS", "NUM_NULLS"):
            wanted = name == "NUM_NULLS"
            return lambda row: Decimal(sum((a(row) is None) is wanted for a in arguments))
        known = _FUNCTIONS.get(name)
        return _lift(known, *arguments) if known else _unknown

    def case(self) -> Term:
        branches: list[tuple[Term, Term]] = []
        while self.take("WHEN"):
            when = self.expression(0)
            self.expect("THEN")
            branches.append((when, self.expression(0)))
        otherwise = self.expression(0) if self.take("ELSE") else _constant(None)
        self.expect("END")

        def term(row: Row) -> object:
            for when, then in branches:
                if (found := when(row)) is UNKNOWN:
                    return UNKNOWN
                if found is True:
                    return then(row)
            return otherwise(row)

        return term


def _constant(value: object) -> Term:
    return lambda row: value


def _connect(word: str, left: Term, right: Term) -> Term:
    if word == "AND":
        return lambda row: _and(left(row), right(row))
    return lambda row: _not(_and(_not(left(row)), _not(right(row))))


def _member(left: Term, items: Sequence[Term]) -> Term:
    equal = [_lift(_COMPARE["="], left, item) for item in items]

    def term(row: Row) -> object:
        found = [e(row) for e in equal]
        return True if True in found else next((f for f in found if f is not False), False)

    return term
