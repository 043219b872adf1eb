"""In which order a database file was written to and its journal lost its name, as Linux tells it (inotify(7)).

A journal says what its transaction wrote, and not whether that was committed or rolled back. Where nobody can be asked
(another program, a connection that is out of reach), a commit shows in this: the file was written to, then the journal
was removed, and nothing was written after that. Writes through a map of the file into memory are not told of; SQLite
makes none as it is built by default.

Runs also in the project's interpreter (3.8+), as ``_sqlite_journal`` does. Standard library only.
"""

from __future__ import annotations

import os
import struct
from typing import Any

FILE, JOURNAL, LOST = "file", "journal", "lost"
_MODIFY, _ATTRIB, _OVERFLOW, _IGNORED = 0x2, 0x4, 0x4000, 0x8000
_HEAD = struct.Struct("iIII")
_ONCE = 1 << 16  # bytes


class Order:
    """Events of one file and of one journal after the other. Raises OSError where the system tells of none."""

    def __init__(self) -> None:
        try:
            from ctypes import CDLL, get_errno

            self._libc: Any = CDLL(None, use_errno=True)
            self._queue: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (ImportError, AttributeError) as error:  # a Python without ctypes, another system
            raise OSError(str(error)) from None
        self._errno = get_errno
        if self._queue < 0:
            raise OSError(get_errno(), "inotify_init1")
        self._file = self._journal = -1

    def begin(self, path: str) -> None:
        """From here on the events of this file."""
        self._file, self._journal = self._watched(path, _MODIFY), -1
        self.events()

    def follow(self, journal: str) -> None:
        """From here on the events of this journal, and of none before it."""
        self._journal = self._watched(journal, _ATTRIB)

    def events(self) -> list[str]:
        """What happened since this was asked last, in its order; what repeats may stand there once.

        JOURNAL: it got other rights or another owner, or lost its name. LOST: anything may have happened.
        """
        found = []
        while data := self._read():
            at = 0
            while at < len(data):
                of, mask, _, length = _HEAD.unpack_from(data, at)
                at += _HEAD.size + length
                found.append(self._named(of, mask))
        return [event for event in found if event]

    def _named(self, of: int, mask: int) -> str:
        if of == self._file and not mask & _OVERFLOW:
            return FILE
        if of == self._journal and mask & _ATTRIB:
            return JOURNAL
        return "" if mask & _IGNORED else LOST  # an older journal is gone for good

    def _watched(self, path: str, mask: int) -> int:
        found: int = self._libc.inotify_add_watch(self._queue, os.fsencode(path), mask)
        if found < 0:
            raise OSError(self._errno(), path)
        return found

    def _read(self) -> bytes:
        try:
            return os.read(self._queue, _ONCE)
        except BlockingIOError:
            return b""
