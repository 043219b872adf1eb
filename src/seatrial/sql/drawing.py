"""Functions of a project's own that give another value each time: they read the clock, chance or a sequence."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from seatrial.model import Schema
from seatrial.sql.tables import fold
from seatrial.sql.tokens import STRING, Token, code
from seatrial.sql.values import varies

_ROUTINES = ("function", "procedure")


def routines(schema: Schema, dialect: str) -> dict[str, list[str]]:
    """The definitions of a schema's functions and procedures, by folded name."""
    found: dict[str, list[str]] = {}
    for key, attributes in schema.items():
        if key.kind in _ROUTINES:
            name = fold(key.name.split("(")[0], dialect)
            found.setdefault(name, []).append(str(attributes.get("definition") or ""))
    return found


def drawing(definitions: Mapping[str, Sequence[str]], dialect: str) -> frozenset[str]:
    """Those that vary themselves, and those that call one that does; by folded name."""
    read = {name: [_read(d, dialect) for d in all_of] for name, all_of in definitions.items()}
    found = {name for name, all_of in read.items() if any(varying for varying, _ in all_of)}
    size = -1
    while size != len(found):
        size = len(found)
        found |= {name for name, all_of in read.items() if any(called & found for _, called in all_of)}
    return frozenset(found)


def calls(tokens: Sequence[Token], names: Collection[str], dialect: str) -> bool:
    """Whether one of these functions is called."""
    return bool(names) and not _called(tokens, dialect).isdisjoint(names)


@lru_cache(maxsize=4096)  # a schema's functions are asked about for every migration
def _read(definition: str, dialect: str) -> tuple[bool, frozenset[str]]:
    """Whether a definition varies by itself, and what it calls."""
    tokens = list(_tokens(definition, dialect))
    return varies(tokens, dialect), _called(tokens, dialect)


def _called(tokens: Sequence[Token], dialect: str) -> frozenset[str]:
    return frozenset(fold(t.name, dialect) for t, after in pairwise(tokens) if after.word == "(" and t.name)


def _tokens(definition: str, dialect: str) -> Iterator[Token]:
    """The tokens of a definition and, where its body is a string (PostgreSQL), of the body."""
    for token in code(definition, dialect):
        yield token
        if token.kind == STRING and any(c.isspace() for c in token.value):
            yield from code(token.value, dialect)
