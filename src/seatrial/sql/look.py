"""Small questions about one statement's text, for whoever tells what it did. Pure."""

from __future__ import annotations

from itertools import pairwise

from seatrial.sql.batches import render
from seatrial.sql.cursor import top
from seatrial.sql.tokens import STRING, code, words

_EVENTS = words("INSERT UPDATE DELETE TRUNCATE")
_BEHIND_WHERE = words("ORDER LIMIT RETURNING")
DDL = words("CREATE ALTER DROP RENAME TRUNCATE GRANT REVOKE COMMENT")


def words_of(text: str, dialect: str) -> list[str]:
    return [t.word for t in code(text, dialect)]


def says(text: str, dialect: str, *wanted: str) -> bool:
    """Whether the words stand in the statement one behind the other, outside strings and comments."""
    found = words_of(text, dialect)
    return any(tuple(found[i : i + len(wanted)]) == wanted for i in range(len(found)))


def names_in(text: str, name: str, dialect: str) -> bool:
    """Whether a text names a thing; a routine's body is a string in PostgreSQL, and is read as well."""
    wanted = name.lower()
    for token in code(text, dialect):
        if token.kind == STRING and len(token.value) > len(wanted) and wanted in token.value.lower():
            if names_in(token.value, name, dialect):
                return True
        elif token.value.lower() == wanted:
            return True
    return False


def where_of(text: str, dialect: str) -> str:
    """The condition of a plain DELETE or UPDATE; empty where it has none, or reads other tables beside."""
    tokens = code(text, dialect)
    found = [t.word for t in tokens]
    start = next((i for i in top(tokens, 0, len(tokens)) if tokens[i].word == "WHERE"), None)
    if start is None or set(found[:start]) & {"USING", "JOIN", "WITH", ",", "AS"} or found.count("FROM") > 1:
        return ""
    end = next((i for i in top(tokens, 0, len(tokens)) if i > start and tokens[i].word in _BEHIND_WHERE), len(tokens))
    return render([t for t in tokens[start + 1 : end] if t.word != ";"])


def events_of(trigger: str, dialect: str) -> frozenset[str]:
    """What fires a trigger: the events at the head of its definition, ``INSERT OR UPDATE``."""
    found = words_of(trigger, dialect)
    first = next((i for i, w in enumerate(found) if w in _EVENTS), None)
    if first is None:
        return frozenset()
    more = (b for a, b in pairwise(found[first : found.index("ON", first) if "ON" in found[first:] else first + 1]))
    return frozenset({found[first], *(w for w in more if w in _EVENTS)})


def is_ddl(text: str, dialect: str) -> bool:
    return words_of(text, dialect)[:1] != [] and words_of(text, dialect)[0] in DDL
