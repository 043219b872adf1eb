"""Transactions that a script controls itself, read as the server treats a string of several statements.

What stands outside the script's own BEGIN and COMMIT is an implicit transaction block, up to the next COMMIT or the end
of the string (protocol manual, 55.2.2.1). It differs from an explicit one only in what ``differs`` names
(access/transam/xact.c), so a script may be sent statement by statement and watched all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from seatrial.sql import SourceStatement, tokenize


class Control(Enum):
    """What a statement does to the transaction around it."""

    NONE = ""
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    CHAIN = "and chain"  # ends one and begins the next
    SAVEPOINT = "savepoint"
    TWO_PHASE = "prepared"


ENDS = frozenset({Control.COMMIT, Control.ROLLBACK, Control.CHAIN, Control.TWO_PHASE})
_FIRST = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE", "SAVEPOINT", "RELEASE"})


def control(text: str) -> Control:
    """What a statement does to the transaction around it."""
    words = [t.text.upper() for t in tokenize(text[:200], "postgresql") if t.kind != "comment"][:6]
    first = words[0] if words else ""
    if first not in _FIRST:
        return Control.NONE
    if first == "BEGIN" or words[:2] == ["START", "TRANSACTION"]:
        return Control.BEGIN
    if first in ("SAVEPOINT", "RELEASE") or "TO" in words:
        return Control.SAVEPOINT
    if "PREPARED" in words or words[:2] == ["PREPARE", "TRANSACTION"]:
        return Control.TWO_PHASE
    if first in ("START", "PREPARE"):
        return Control.NONE
    if "CHAIN" in words and "NO" not in words:
        return Control.CHAIN
    return Control.COMMIT if first in ("COMMIT", "END") else Control.ROLLBACK


def differs(parts: Iterable[SourceStatement], *, explicit: bool) -> bool:
    """Whether a statement would meet an implicit block that refuses it, where an explicit one takes it.

    ``explicit``: the script begins inside a transaction that its tool began.
    """
    for part in parts:
        found = control(part.text)
        if found is Control.TWO_PHASE or (found in (Control.SAVEPOINT, Control.CHAIN) and not explicit):
            return True
        explicit = (
            found is not Control.COMMIT and found is not Control.ROLLBACK and (explicit or found is Control.BEGIN)
        )
    return False
