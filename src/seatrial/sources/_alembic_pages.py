"""Which pages of SQLite's file a step wrote, as its journals say. Runs in the project's interpreter (3.8+).

All that is written is of interest, by whichever connection of this process or of another: what a journal does not
explain makes the answer *not known*, and then all pages are compared. How that is told is the engine's business
(engines/_sqlite_journal.py, which the worker imports from its folder when a large file is at hand).

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any


class Pages:
    """What was written in one step after the other."""

    def __init__(self, journals: Callable[[], Any]) -> None:
        """``journals``: gives the engine's module."""
        self._journals = journals
        self._order: Any = None
        self._file = -1
        self._before: Any = None
        self._module: Any = None
        self._trail: Any = None
        self._busy = threading.Lock()

    def begin(self, errand: dict[str, Any]) -> None:
        """From here on, if anything is asked."""
        self.end()
        if not errand:
            return
        with contextlib.suppress(OSError):  # what cannot be followed is not told of
            self._module = self._journals()
            self._open(errand["file"])
            self._order = self._order or self._module.Order()
            self._order.begin(errand["file"])
            self._before = self._module.Print.from_plain(errand["before"])
            self._trail = self._module.Trail(errand["file"], self._file, self._before, self._order)

    def _open(self, path: str) -> None:
        """Kept open as long as the path leads to it: to close it drops the locks of this process's connections."""
        if self._file >= 0:
            if os.path.samestat(os.fstat(self._file), os.stat(path)):  # noqa: PTH116
                return
            os.close(self._file)
            self._file = -1
        self._file = os.open(path, os.O_RDONLY)

    def between(self) -> None:
        """Before a statement, in whichever thread; one at a time, for none of them is needed."""
        if self._trail is not None and self._busy.acquire(blocking=False):
            try:
                if self._trail is not None:
                    self._trail.between()
            finally:
                self._busy.release()

    def end(self) -> dict[str, Any]:
        """An account of what was written since ``begin``; empty where it is not known, or was given."""
        with self._busy:
            trail, self._trail = self._trail, None
            after = trail.end() if trail is not None else None
        if trail is None or after is None:
            return {}
        return dict(self._module.Account(self._before, after, trail.written).plain())
