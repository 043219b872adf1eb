"""Metadata locks that a session is seen to hold while its statement runs (MySQL manual, 29.12.13.3).

A lock that a statement gives back at its end is gone when its session can be asked again, so a session of ours looks
from outside, at growing intervals: a statement that ends before the first look costs nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from seatrial.engines._mysql_link import Link, database_error, is_driver_error, literal
from seatrial.errors import DatabaseError, ServerError
from seatrial.model import Lock, Observed

FIRST_S, MOST_S, GROWTH = 0.02, 0.25, 1.5
"""When a statement is first looked at, and how the pauses grow: a look costs the server about a millisecond."""

NOTE = (
    "metadata locks of all statements: sampled from performance_schema, the strongest on a table at a time; of those"
    f" that take less than {FIRST_S * 1000:.0f} ms they are not observed"
)

_STRENGTH = (
    *("INTENTION_EXCLUSIVE", "SHARED", "SHARED_HIGH_PRIO", "SHARED_READ", "SHARED_WRITE", "SHARED_WRITE_LOW_PRIO"),
    *("SHARED_UPGRADABLE", "SHARED_READ_ONLY", "SHARED_NO_WRITE", "SHARED_NO_READ_WRITE", "EXCLUSIVE"),
)
"""Modes from the weakest on (enum_mdl_type in the server's sql/mdl.h)."""

_SEEN = """
SELECT m.OBJECT_NAME, m.LOCK_TYPE
  FROM performance_schema.threads t JOIN performance_schema.metadata_locks m ON m.OWNER_THREAD_ID = t.THREAD_ID
 WHERE t.PROCESSLIST_ID = {session} AND t.PROCESSLIST_COMMAND <> 'Sleep'
   AND m.OBJECT_TYPE = 'TABLE' AND m.OBJECT_SCHEMA = {database} AND m.LOCK_STATUS = 'GRANTED'"""
_IN_USE = "SELECT @@performance_schema"
_INSTRUMENT = (
    "SELECT ENABLED FROM performance_schema.setup_instruments WHERE NAME = 'wait/lock/metadata/sql/mdl'"
    " AND EXISTS (SELECT 1 FROM performance_schema.threads LIMIT 1)"
    " AND (SELECT COUNT(*) FROM performance_schema.metadata_locks) >= 0"
)


def unseen(link: Link) -> str:
    """Why metadata locks cannot be sampled here, as the rest of a sentence; empty where they can."""
    try:
        if link.value(_IN_USE) != "1":
            return "performance_schema is off"
        return "" if link.value(_INSTRUMENT) == "YES" else "the instrument wait/lock/metadata/sql/mdl is off"
    except DatabaseError as error:
        if error.code not in ("1044", "1142", "1143", "1227", "1146", "1193"):
            raise
        return "this user may not read performance_schema"


@dataclass(slots=True)
class _Running:
    """One statement of a session; ``held_s``: (table, mode) -> seconds of which it was the strongest seen there."""

    session: str
    looked_at: float
    pause_s: float = FIRST_S
    held_s: dict[tuple[str, str], float] = field(default_factory=dict)

    def note(self, seen: Sequence[tuple[str, str]], now: float) -> None:
        """Each look stands for the time since the one before."""
        strongest: dict[str, str] = {}
        for table, mode in seen:
            strongest[table] = max(mode, strongest.get(table, mode), key=_strength)
        for lock in strongest.items():
            self.held_s[lock] = self.held_s.get(lock, 0.0) + now - self.looked_at
        self.looked_at, self.pause_s = now, min(self.pause_s * GROWTH, MOST_S)

    def locks(self) -> tuple[Lock, ...]:
        found = sorted(self.held_s.items(), key=lambda lock: (lock[0][0], -_strength(lock[0][1])))
        return tuple(
            Lock(table=table, mode=mode, held_ms=seconds * 1000, observed=Observed.SAMPLED)
            for (table, mode), seconds in found
        )


def _strength(mode: str) -> int:
    return _STRENGTH.index(mode) if mode in _STRENGTH else len(_STRENGTH)


class Sampler:
    """Looks at one statement at a time, in a thread of its own; it connects when a statement takes long."""

    def __init__(self, connect: Callable[[str | None], Any], database: str, hidden: frozenset[str]) -> None:
        """``hidden``: tables of a migration tool's own."""
        self._connect, self._database, self._hidden = connect, database, hidden
        self._changed = threading.Condition()
        self._running: _Running | None = None
        self._idle = self._closed = False
        self._thread: threading.Thread | None = None
        self._raw: Any = None

    def begin(self, session: str) -> None:
        with self._changed:
            self._running = _Running(session, time.perf_counter())
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="seatrial-locks", daemon=True)
                self._thread.start()
            elif self._idle:
                self._changed.notify()

    def end(self) -> tuple[Lock, ...]:
        """What was seen of the statement that began last."""
        with self._changed:
            running, self._running = self._running, None
        return running.locks() if running else ()

    def close(self) -> None:
        with self._changed:
            self._running, self._closed = None, True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        with contextlib.ExitStack() as ending:
            ending.callback(self._hang_up)
            for running in self._due():
                try:
                    seen = self._asked(running.session)
                except (
                    DatabaseError,
                    ServerError,
                ):  # the server is gone, or full: what the step is told of it tells more
                    return
                running.note(seen, time.perf_counter())

    def _due(self) -> Iterator[_Running]:
        """Statements whose next look is due, until this is closed."""
        while True:
            with self._changed:
                while not self._closed and (pause := self._pause()) is not None:
                    self._idle = pause == 0
                    self._changed.wait(pause or None)
                    self._idle = False
                running = self._running
            if running is None:
                return
            yield running

    def _pause(self) -> float | None:
        """Seconds until the next look; 0: until a statement begins; None: it is due."""
        if self._running is None:
            return 0
        left = self._running.looked_at + self._running.pause_s - time.perf_counter()
        return left if left > 0 else None

    def _asked(self, session: str) -> list[tuple[str, str]]:
        try:
            if self._raw is None:
                self._raw = self._connect(None)
            cursor = self._raw.cursor()
            cursor.execute(_SEEN.format(session=int(session), database=literal(self._database)))
            rows = [(str(table), str(mode)) for table, mode in cursor.fetchall()]
        except Exception as error:
            if not is_driver_error(error):
                raise
            raise database_error(error) from error
        return [r for r in rows if not r[0].startswith("#sql") and r[0] not in self._hidden]

    def _hang_up(self) -> None:
        if self._raw is not None and self._raw.open:
            self._raw.close()
