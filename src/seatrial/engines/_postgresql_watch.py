"""Locks of a statement that runs outside a transaction, looked at from a session of ours while it runs.

They end with the statement, so they can only be sampled (a look costs 0.1 ms). A short statement is over before the
first look: its locks are not observed, run after run.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

from seatrial.engines._postgresql_session import Session
from seatrial.errors import DatabaseError

_FIRST_S, _PAUSE_S = 0.1, 0.01


class Watch:
    """Within it, one statement runs on the backend ``pid``; ``found`` is (table's oid, mode) -> (first, last seen)."""

    def __init__(self, session: Session, pid: int) -> None:
        self.found: dict[tuple[int, str], tuple[float, float]] = {}  # seconds of the same clock as perf_counter
        self._session, self._pid = session, pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _look_on(self) -> None:
        pause = _FIRST_S
        while not self._over.wait(pause):
            try:
                rows = self._session.rows(_HELD_BY.format(pid=self._pid))
            except DatabaseError:
                return  # what was not seen is not told
            now, pause = time.perf_counter(), _PAUSE_S
            for oid, mode in rows:
                key = (int(oid), str(mode))
                self.found[key] = (self.found.get(key, (now, now))[0], now)


_HELD_BY = """
SELECT relation, mode FROM pg_locks WHERE pid = {pid} AND locktype = 'relation' AND granted AND relation >= 16384
"""
