"""Which statement of a script took the file's write lock, and for how long.

SQLite has one lock for a whole database file (https://www.sqlite.org/lockingv3.html, sections 3 and 5): from its first
write to its end a transaction holds RESERVED, so that no other may write, and EXCLUSIVE while its pages go to the file,
so that no other may read either. Inside a transaction another connection of ours asks for the lock and is refused;
a statement that commits by itself held it where the file's change counter has moved.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from seatrial.engines._sqlite_pages import HEADER
from seatrial.model import Lock

WHOLE = "whole database"


@dataclass(slots=True)
class Locks:
    """The locks of one script. ``taken`` gives them by the place of the statement that took each."""

    path: Path
    taken: dict[int, Lock] = field(default_factory=dict)
    exact: bool = True
    _held: tuple[int, str, float] | None = None  # statement, mode, since when
    _before: int | None = None

    def before(self, connection: sqlite3.Connection) -> None:
        """Ahead of a statement. No file is opened inside a transaction: closing it would drop our locks (POSIX)."""
        self._before = None if connection.in_transaction else _commits(self.path)

    def after(self, connection: sqlite3.Connection, statement: int, duration_ms: float) -> None:
        """Behind the statement at a place."""
        if connection.in_transaction:
            if self._held is None and (mode := _refused(self.path)):
                self._held = (statement, mode, time.perf_counter())
        elif self._held is not None:
            self.ended()
        else:
            self._alone(statement, duration_ms)

    def ended(self) -> None:
        """The transaction is over."""
        if self._held is not None:
            statement, mode, since = self._held
            held = (time.perf_counter() - since) * 1000
            self.taken[statement] = Lock(table=WHOLE, mode=mode, held_ms=held)
            self._held = None

    def _alone(self, statement: int, duration_ms: float) -> None:
        now = _commits(self.path)
        if now is None or self._before is None:
            self.exact = False
        elif now != self._before:
            self.taken[statement] = Lock(table=WHOLE, mode="EXCLUSIVE", held_ms=duration_ms)


def _commits(path: Path) -> int | None:
    """The file's change counter; None in a write-ahead log, which does not move it (fileformat2.html, 1.3.6)."""
    with path.open("rb", buffering=0) as file:
        header = file.read(HEADER)
    if len(header) < HEADER:
        return 0
    return struct.unpack_from(">I", header, 24)[0] if header[18:20] == b"\x01\x01" else None


def _refused(path: Path) -> str:
    """The lock that keeps another connection from writing at this moment; empty where none does."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                return ""
        else:
            other.execute("ROLLBACK")
            return ""
        with contextlib.suppress(sqlite3.OperationalError):
            other.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            return "RESERVED"
        return "EXCLUSIVE"
