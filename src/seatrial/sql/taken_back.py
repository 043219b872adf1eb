"""Which statements of a script its own ROLLBACKs take back, as far as the text says. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from seatrial.sql.cursor import Tokens
from seatrial.sql.look import DDL
from seatrial.sql.tokens import QUOTED, WORD

_COMMITTING = DDL | {"LOCK", "UNLOCK", "ANALYZE", "OPTIMIZE", "REPAIR", "INSTALL", "UNINSTALL"}
"""What commits by itself on MySQL and MariaDB (manual, 15.3.3), which a ROLLBACK behind it does not reach."""

_ENDING = ("postgresql", "sqlite")
"""Where END is COMMIT."""


def taken_back(statements: Sequence[Tokens], dialect: str) -> frozenset[int]:
    """Their places: since BEGIN for a ROLLBACK, since the savepoint for a ROLLBACK TO it.

    A transaction that the tool opened is none of the script's: what a bare ROLLBACK takes of it is left open. What
    tables without transactions (MyISAM) keep all the same is told by what is observed.
    """
    found: set[int] = set()
    begun: int | None = None
    points: list[tuple[str, int]] = []
    for place, tokens in enumerate(statements):
        words = [t.word for t in tokens[:4]]
        verb, name = _of_savepoint(tokens)
        if verb == "SAVEPOINT":
            points.append((name, place))
        elif verb:
            if (point := _last(points, name)) is not None:
                found.update(range(points[point][1], place) if verb == "ROLLBACK" else ())
                del points[point + (verb == "ROLLBACK") :]  # it outlives a ROLLBACK TO, those behind it do not
        elif _begins(words) or _ends(words, dialect):
            if words[:1] == ["ROLLBACK"] and begun is not None:
                found.update(range(begun, place))
            begun, points = (place if _begins(words) or "CHAIN" in words else None), []
    return frozenset(found)


def _last(points: Sequence[tuple[str, int]], name: str) -> int | None:
    """A savepoint hides an older one of its name."""
    return next((i for i in reversed(range(len(points))) if points[i][0] == name), None)


def _of_savepoint(tokens: Tokens) -> tuple[str, str]:
    """("SAVEPOINT", "RELEASE" or "ROLLBACK", name of the savepoint); empty where a statement is none of these."""
    verb = tokens[0].word if tokens else ""
    if verb not in ("SAVEPOINT", "RELEASE", "ROLLBACK"):
        return "", ""
    if verb == "ROLLBACK" and "TO" not in [t.word for t in tokens[1:3]]:
        return "", ""
    names = [t.value.casefold() for t in tokens if t.kind in (WORD, QUOTED)]
    return verb, names[-1]


def _begins(words: Sequence[str]) -> bool:
    return (words[:1] == ["BEGIN"] and words[1:2] != ["NOT"]) or words[:2] == ["START", "TRANSACTION"]


def _ends(words: Sequence[str], dialect: str) -> bool:
    if words[:1] in (["COMMIT"], ["ROLLBACK"], ["ABORT"]) or (words[:1] == ["END"] and dialect in _ENDING):
        return True
    committing = dialect in ("mysql", "mariadb") and words[:1] and words[0] in _COMMITTING
    return bool(committing) and "TEMPORARY" not in words
