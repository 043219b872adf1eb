"""Which of a step's statements a summary shows: a loop's once, and what only looks last. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

from seatrial.values import dataclass

# What a tool asks before it works (Alembic's batches on SQLite ask ten times). SELECT f(...) may do something.
_LOOKS = re.compile(
    r"\s*(?:SELECT\b(?!\s+[\w.\"`]+\s*\()|(?:SHOW|EXPLAIN|DESCRIBE)\b|PRAGMA\s+[\w.]+\s*(?:\([^=]*\))?\s*;?\s*$)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Sent:
    """Texts with how often each came in a row; how many were left out because they only look, or for want of room."""

    shown: tuple[tuple[str, int], ...]
    looks: int = 0
    more: int = 0


def summary(statements: Iterable[str], most: int) -> Sent:
    """At most so many texts of a step; all of them where they are few."""
    every = list(statements)
    runs = _runs(every)
    if len(runs) <= most:
        return Sent(tuple(runs))
    acting = [sql for sql in every if not _LOOKS.match(sql)] or every
    runs = _runs(acting)
    return Sent(tuple(runs[:most]), len(every) - len(acting), sum(times for _, times in runs[most:]))


def _runs(statements: Iterable[str]) -> list[tuple[str, int]]:
    return [(sql, sum(1 for _ in same)) for sql, same in groupby(statements)]
