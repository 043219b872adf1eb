"""The tables that a statement writes, by its own grammar: an alias is told from a database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seatrial.sql.cursor import closing
from seatrial.sql.tokens import QUOTED, STRING, WORD, Token
from seatrial.sql.tokens import words as keywords

OTHER = "another_database"
"""Stands for a part of a built text that is not known."""

_NO_ALIAS = keywords(
    "JOIN LEFT RIGHT INNER OUTER CROSS NATURAL STRAIGHT_JOIN ON USING SET WHERE USE FORCE IGNORE ORDER LIMIT PARTITION"
    " FOR FROM RETURNING"
)
_LIST_END = keywords("USING WHERE ORDER LIMIT RETURNING ;")
_QUERIES = keywords("SELECT WITH VALUES TABLE")
_END = keywords("SET WHERE ORDER LIMIT RETURNING FROM ;")


@dataclass(frozen=True, slots=True)
class Named:
    """A name with its database, which is empty where none is written; ``end`` is the place behind it."""

    database: str
    name: str
    end: int
    alias: str = ""


def name_at(tokens: Sequence[Token], at: int) -> Named | None:
    """The table's, routine's or other object's name that begins at ``at``; ``t.*`` is a table's too."""
    if not 0 <= at < len(tokens) or not (first := _identifier(tokens[at])):
        return None
    if at + 1 < len(tokens) and tokens[at + 1].word == ".":
        second = _identifier(tokens[at + 2]) if at + 2 < len(tokens) else "?"
        if second:
            return Named(first, second, at + 3)
        return Named("", first, at + 3)
    if at + 1 < len(tokens) and tokens[at + 1].text.startswith(".") and tokens[at + 1].text[1:2].isdigit():
        return Named(first, tokens[at + 1].text[1:], at + 2)  # db.5t
    return Named("", first, at + 1)


def _identifier(token: Token) -> str:
    """Also one in double quotes, which is one where sql_mode has ANSI_QUOTES."""
    if token.kind in (WORD, QUOTED):
        return token.name
    return token.value if token.kind == STRING and token.text[:1] == '"' else ""


def listed(tokens: Sequence[Token], at: int) -> list[Named]:
    """Names with commas between them; what stands behind a name (an alias, a lock's kind) is passed over."""
    found: list[Named] = []
    while (named := name_at(tokens, at)) is not None:
        found.append(named)
        at = named.end
        while at < len(tokens) and tokens[at].word != ",":
            at += 1
        at += 1
    return found


def written_by_update(tokens: Sequence[Token], words: Sequence[str], at: int) -> list[Named]:
    """Of the joined tables, those that a column behind SET names, and any that a bare column may belong to."""
    tables, end = _referenced(tokens, words, at)
    if len(tables) == 1:
        return tables
    found: list[Named] = []
    for owner in _assigned(tokens, words, end + 1):
        found += tables if owner is None else _known(owner, tables)
    return [t for t in found if t.database.casefold() != "information_schema"]


def written_by_delete(tokens: Sequence[Token], words: Sequence[str], at: int) -> list[Named]:
    """``DELETE FROM t``, ``DELETE a, b FROM ...`` and ``DELETE FROM a, b USING ...``."""
    if words[at : at + 1] == ["FROM"]:
        end = next((i for i in range(at, len(words)) if words[i] in _LIST_END), len(words))
        targets = listed(tokens[:end], at + 1)
        tables = _referenced(tokens, words, end + 1)[0] if words[end : end + 1] == ["USING"] else []
    else:
        end = next((i for i in range(at, len(words)) if words[i] in ("FROM", ";")), len(words))
        targets, tables = listed(tokens[:end], at), _referenced(tokens, words, end + 1)[0]
    return [known for target in targets for known in _known(target, tables)]


def _known(owner: Named, tables: Sequence[Named]) -> list[Named]:
    if owner.database:
        return [owner]
    return [t for t in tables if owner.name.casefold() in (t.alias.casefold() or t.name.casefold(),)]


def _assigned(tokens: Sequence[Token], words: Sequence[str], at: int) -> Iterator[Named | None]:
    """The table of each column that SET gives a value to; None where none is written."""
    depth, expected = 0, True
    for i in range(at, len(words)):
        if depth == 0 and words[i] in ("WHERE", "ORDER", "LIMIT", ";"):
            return
        depth += (words[i] == "(") - (words[i] == ")")
        if expected and (named := name_at(tokens, i)):
            deep = words[named.end : named.end + 1] == ["."]  # database.table.column
            yield named if deep else Named("", named.database, named.end) if named.database else None
        expected = depth == 0 and words[i] == ","


def _referenced(tokens: Sequence[Token], words: Sequence[str], at: int) -> tuple[list[Named], int]:
    """The joined tables from ``at`` on, without those of subqueries, and where their list ends."""
    found: list[Named] = []
    expected = True
    while at < len(words) and words[at] not in _END:
        if words[at] == "(" and (not expected or (at + 1 < len(words) and words[at + 1] in _QUERIES)):
            at, expected = closing(tokens, at, len(tokens)) + 1, False
        elif expected and words[at] not in ("(", "{", "OJ", "LATERAL") and (named := name_at(tokens, at)):
            named = _with_alias(tokens, words, named)
            found.append(named)
            at, expected = named.end, False
        else:
            expected = expected or words[at] in (",", "JOIN", "STRAIGHT_JOIN")
            at += 1
    return found, at


def _with_alias(tokens: Sequence[Token], words: Sequence[str], named: Named) -> Named:
    at = named.end
    if words[at : at + 2] == ["PARTITION", "("]:
        at = closing(tokens, at + 1, len(tokens)) + 1
    at += words[at : at + 1] == ["AS"]
    if at < len(tokens) and words[at] not in _NO_ALIAS and (alias := _identifier(tokens[at])):
        return Named(named.database, named.name, at + 1, alias)
    return Named(named.database, named.name, at)
