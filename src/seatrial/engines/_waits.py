"""Who waits for whose lock, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_HEAD = re.compile(r"(?:(?!\b\d)[^'\"(=;])*")  # up to the first value: a row's contents are no matter here


def told(rows: Iterable[Sequence[str | None]]) -> tuple[str, ...]:
    """One clause a row: session that waits, its statement, what it wants, session that holds, what, its last statement.

    All but the sessions may be empty.
    """
    clauses = (
        f"session {waits}{_in(statement)} waits for {wants or 'a lock'}:"
        f" session {holder}{_in(last)} holds {held or 'it'}"
        for waits, statement, wants, holder, held, last in rows
    )
    return tuple(dict.fromkeys(clauses))


def _in(statement: str | None) -> str:
    head = _HEAD.match(" ".join((statement or "").split()))
    shown = head[0].strip() if head else ""
    return f" (`{shown[:80]}`)" if shown else ""
