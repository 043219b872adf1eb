"""Stored SQLite values as text, exact to the byte."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def as_text(value: object) -> str | None:
    """A stored value as text: full float digits, blobs (and text that is no UTF-8) as ``\\x`` hex."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, str):
        return value if _is_utf8(value) else "\\x" + value.encode(errors="surrogateescape").hex()
    return repr(value).replace("inf", "Inf")


def as_texts(values: Iterable[object]) -> tuple[str | None, ...]:
    return tuple(as_text(v) for v in values)


def apart(old: object, new: object) -> tuple[str | None, str | None]:
    """Two different values as text; where they would look the same, the one that is stored as text is in quotes."""
    one, other = as_text(old), as_text(new)
    if one is None or other is None or one != other:
        return one, other
    return (f"'{one}'" if isinstance(old, str) else one), (f"'{other}'" if isinstance(new, str) else other)


def _is_utf8(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _lenient(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")


def exactly(connection: sqlite3.Connection, work: Callable[[], T]) -> T:
    """Do ``work``; once more where a text is no UTF-8, whose bytes then come as lone surrogates (slower)."""
    try:
        return work()
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
    connection.text_factory = _lenient
    try:
        return work()
    finally:
        connection.text_factory = str
