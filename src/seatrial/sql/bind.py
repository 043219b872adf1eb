"""A statement's bound values, written into its text as literals. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from seatrial.sql.tokens import PARAMETER, Token, quote_string, tokenize

Value = int | str | bool | None
_NUMBERED = re.compile(r"[?$](\d+)")
_NAMED = re.compile(r"%\((\w+)\)[a-zA-Z]|[:@$](\w+)")


class _Unwritten(Exception):
    """A value that stands for no placeholder, or cannot be written as a literal of the same type."""


def bound(text: str, dialect: str, values: Sequence[Value] | Mapping[str, Value]) -> str:
    """The text as the engine would have been given it without placeholders; empty where that is not exactly known."""
    tokens = [t for t in tokenize(text, dialect) if t.kind == PARAMETER]
    formatted = any(t.text.startswith("%") for t in tokens)  # then %% stands for % everywhere (PEP 249, format)
    try:
        literals = [_literal(v, dialect) for v in _in_order(tokens, values)]
    except (_Unwritten, KeyError, IndexError):
        return ""
    parts, end = [], 0
    for token, literal in zip(tokens, literals, strict=True):
        parts += [_plain(text[end : token.start], formatted), literal]
        end = token.end
    return "".join([*parts, _plain(text[end:], formatted)]) if tokens else ""


def _plain(text: str, formatted: bool) -> str:
    return text.replace("%%", "%") if formatted else text


def _in_order(tokens: Sequence[Token], values: Sequence[Value] | Mapping[str, Value]) -> list[Value]:
    """The value of each placeholder. Raises where they do not come out even."""
    if isinstance(values, Mapping):
        names = [_NAMED.fullmatch(t.text) for t in tokens]
        return [values[m[1] or m[2]] if m else _none() for m in names]
    numbered = [_NUMBERED.fullmatch(t.text) for t in tokens]
    if any(numbered):
        return [values[int(m[1]) - 1] if m else _none() for m in numbered]
    if len(tokens) != len(values) or any(t.text not in ("?", "%s") for t in tokens):
        raise _Unwritten
    return list(values)


def _none() -> Value:
    raise _Unwritten


def _literal(value: Value, dialect: str) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper() if dialect == "postgresql" else str(int(value))
    if isinstance(value, int):
        return str(value) if value >= 0 else f"({value})"  # x -? with -5 would begin a comment
    if "\0" in value or (dialect in ("mysql", "mariadb") and "\\" in value):
        raise _Unwritten  # what a backslash means there follows sql_mode
    return quote_string(value, dialect)
