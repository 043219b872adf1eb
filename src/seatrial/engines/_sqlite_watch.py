"""What is written to one file between two moments: by our own connections, and by others that give an account of it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seatrial.engines._sqlite_journal import Account, Print, Trail, Written


class Watch:
    """Collects what is written to one file, from one ``begin`` to the next.

    Small files are not watched: comparing them as a whole costs less.
    """

    def __init__(self, path: Path, least: int) -> None:
        self.path, self.least = path, least
        self._known: Print | None = None  # as the file was when last looked at
        self._seen: Print | None = None  # as it was at ``begin``
        self._written = Written()
        self._trail: Trail | None = None

    def begin(self, now: Print | None, written: Written | None = None) -> None:
        """From here on, where the file looks like this; ``written`` is known of already."""
        self._seen = self._known = now
        self._written = written or Written()

    def is_quiet(self) -> bool:
        """Whether nobody wrote since ``begin``."""
        return Print.of(self.path) == self._seen

    def is_seen(self, now: Print | None) -> bool:
        """Whether nobody wrote since ``begin``; False where that is not known."""
        return now is not None and now == self._seen

    def doubt(self) -> None:
        """Something came between that was not watched."""
        self._known = None

    def written(self, now: Print | None) -> Written | None:
        """What may have been written since ``begin`` in a file that looks like this; None: not known."""
        return self._written if self._known is not None and now == self._known else None

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Around a connection, from before it is opened until after it is closed."""
        if not self._is_worth_it() or self._trail is not None:
            yield
            return
        assert self._known is not None
        file = os.open(self.path, os.O_RDONLY)
        try:
            self._trail = Trail(str(self.path), file, self._known)
            yield
        finally:
            if self._trail is not None:
                self._known = self._trail.end()
                self._written.add(self._trail.written)
                self._trail = None
            os.close(file)

    def between(self, connection: sqlite3.Connection) -> None:
        """After each statement: take in what its transaction wrote, if that has ended."""
        if self._trail is not None and not connection.in_transaction:
            self._trail.between(is_idle=True)

    # --- other processes ---

    def errand(self) -> dict[str, Any]:
        """What another process needs to know to give an account; empty: none is wanted."""
        if not self._is_worth_it() or self._known is None:
            return {}
        return {"file": str(self.path), "before": self._known.plain()}

    def heard(self, said: Mapping[str, Any]) -> None:
        """An account of what that process wrote, all of it, between two prints of the file."""
        account = Account.from_plain(said)
        if account.before == self._known:
            self._written.add(account.written)
            self._known = account.after

    def _is_worth_it(self) -> bool:
        return self._known is not None and self._known.size >= self.least
