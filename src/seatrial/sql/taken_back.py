"""Which statements of a script its own ROLLBACKs take back, as far as the text says. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from seatrial.sql.look import DDL
from seatrial.sql.tokens import code

_COMMITTING = DDL | {"LOCK", "UNLOCK", "ANALYZE", "OPTIMIZE", "REPAIR", "INSTALL", "UNINSTALL"}
"""What commits by itself on MySQL and MariaDB (manual, 15.3.3), which a ROLLBACK behind it does not reach."""

_ENDING = ("postgresql", "sqlite")
"""Where END is COMMIT."""


def taken_back(statements: Sequence[str], dialect: str) -> frozenset[int]:
    """Their indexes: since BEGIN for a ROLLBACK, since the savepoint for a ROLLBACK TO it.

    A transaction that the tool opened is none of the script's: what a bare ROLLBACK takes of it is left open. What
    tables without transactions (MyISAM) keep all the same is told by what is observed.
    """
    found: set[int] = set()
    begun: int | None = None
    marks: dict[str, int] = {}
    for index, statement in enumerate(statements):
        read = [t for t in code(statement, dialect) if t.word != ";"]
        words = [t.word for t in read[:4]]
        if words[:1] == ["SAVEPOINT"]:
            marks[read[-1].value.casefold()] = index
        elif words[:1] == ["ROLLBACK"] and "TO" in words:
            found.update(range(marks.get(read[-1].value.casefold(), index), index))
        elif _begins(words) or _ends(words, dialect):
            if words[:1] == ["ROLLBACK"] and begun is not None:
                found.update(range(begun, index))
            begun, marks = (index if _begins(words) or "CHAIN" in words else None), {}
    return frozenset(found)


def _begins(words: Sequence[str]) -> bool:
    return (words[:1] == ["BEGIN"] and words[1:2] != ["NOT"]) or words[:2] == ["START", "TRANSACTION"]


def _ends(words: Sequence[str], dialect: str) -> bool:
    if words[:1] in (["COMMIT"], ["ROLLBACK"], ["ABORT"]) or (words[:1] == ["END"] and dialect in _ENDING):
        return True
    committing = dialect in ("mysql", "mariadb") and words[:1] and words[0] in _COMMITTING
    return bool(committing) and "TEMPORARY" not in words
