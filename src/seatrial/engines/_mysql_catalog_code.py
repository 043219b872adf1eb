"""Bodies of triggers, routines and events as they are understood, whatever session wrote them.

What is kept of that session matters only so far (measured on MySQL 9.7 and MariaDB 10.11): character_set_client says
how the bytes of the statement were read, which information_schema shows in characters; the character set of
collation_connection cuts what it cannot hold out of literals, and nothing shows that; the database's collation is that
of variables declared without one. Sessions that make the same literals and variables are no difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from seatrial.engines._mysql_link import Link, literal, quote
from seatrial.engines._mysql_show import spaced_alike
from seatrial.sql.tokens import COMMENT, STRING, Token, code, tokenize

STATEMENT = {"TRIGGER": 2, "PROCEDURE": 2, "FUNCTION": 2, "PACKAGE": 2, "PACKAGE BODY": 2, "EVENT": 3}
"""Where SHOW CREATE ... has the statement, by the kind of object."""

_LITERAL = re.compile(r"['\"?]")
_ANY_TEXT = r"(?:'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\")"

_CHARACTERS = frozenset({"CHAR", "VARCHAR", "CHARACTER", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "ENUM", "SET"})
_WITH_ITS_OWN = frozenset({"CHARSET", "COLLATE", "NATIONAL", "ASCII", "UNICODE", "BYTE"})


def understood(link: Link, dialect: str, kind: str, name: str, body: str, collation: str) -> str:
    """The body of a stored program with the literals that it runs with, laid out as all are.

    ``body`` as information_schema has it, ``collation``: of the connection that made it.
    """
    has_none = body.isascii() and not _LITERAL.search(body)
    exact = body if has_none else _written(link, kind, name, body, dialect)
    text = spaced_alike(exact or body, dialect)
    charset = collation.partition("_")[0]
    return text if text.isascii() or not exact or charset == "utf8mb4" else _cut(link, dialect, text, charset)


def _written(link: Link, kind: str, name: str, body: str, dialect: str) -> str:
    """As it was written; empty where that is not found in what SHOW CREATE tells.

    information_schema has "?" for every character beyond the Basic Multilingual Plane, and leaves introducers out
    (``_binary'abc'``), with what such literals hold in another character set.
    """
    statement = link.rows(f"SHOW CREATE {kind} {quote(name)}")[0][STATEMENT[kind]] or ""
    found = re.search(rf"{_pattern(body.strip(), dialect)}\s*;?\s*$", statement)
    return found[0].strip() if found else ""


def _pattern(body: str, dialect: str) -> str:
    """Of any text that information_schema would tell as this one."""
    pattern, end = "", 0
    for token in tokenize(body, dialect):
        if _LITERAL.search(token.text) and token.kind != COMMENT:
            gap, text = body[end : token.start].rstrip(), _beyond(token.text) if token.text.isascii() else _ANY_TEXT
            pattern += rf"{_beyond(gap)}\s*(?:_\w+)?\s*{text}"
            end = token.end
    return pattern + _beyond(body[end:])


def _beyond(text: str) -> str:
    return re.escape(text).replace(re.escape("?"), "[?\U00010000-\U0010ffff]")


def _cut(link: Link, dialect: str, text: str, charset: str) -> str:
    """With literals as that character set holds them."""
    out, end, introduced = "", 0, False
    for token in tokenize(text, dialect):
        if token.kind == STRING and not token.text.isascii() and not introduced:
            held = f"CONVERT(CONVERT({literal(token.text)} USING {charset}) USING utf8mb4)"
            out += text[end : token.start] + str(link.value(f"SELECT {held}"))
            end = token.end
        introduced = token.text.startswith("_")
    return out + text[end:]


def declares_text(body: str, dialect: str) -> bool:
    """Whether a variable is declared whose character set is the database's (manual, 15.1.17)."""
    tokens = code(body, dialect)
    starts = [i for i, token in enumerate(tokens) if token.word == "DECLARE"]
    return any(_follows_database(tokens[i:]) for i in starts)


def _follows_database(declaration: Iterable[Token]) -> bool:
    words: list[str] = []
    for token in declaration:
        if token.text == ";" or token.word in ("DEFAULT", "CURSOR", "HANDLER", "CONDITION"):
            break
        words.append(token.word)
    typed = bool(_CHARACTERS & set(words[2:]))
    return typed and not _WITH_ITS_OWN & set(words) and ("CHARACTER", "SET") not in pairwise(words)
