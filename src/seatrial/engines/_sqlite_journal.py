"""Which pages of a database file our own connections wrote, as SQLite's rollback journal says.

A rollback journal holds the number and the old content of every page that its transaction overwrites
(https://www.sqlite.org/fileformat2.html, section 3). SQLite opens it by name and removes that name when the transaction
ends; what it wrote stays readable through a file that was opened before. So an empty journal is laid ready before each
statement: SQLite takes an empty one for none, and a migration cannot tell the difference. Pages that are not in the
journal although they may change are found beside it: those behind the end that the file had, and leaves of the
freelist, which stand on the trunk page that they were taken from.

Everything is believed only while the change counter of the header moves by what the journals explain. In any other
case (another journal mode, an exclusive lock, a write-ahead log, another program) the answer is *not known*.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from seatrial.engines._sqlite_pages import HEADER, Layout
from seatrial.values import dataclass

MAGIC = bytes.fromhex("d9d505f920a163d7")
TO_THE_END = 0xFFFFFFFF  # a journal that waits for no disk does not count its records
MOST = 64 << 20  # bytes: where a longer journal was written, comparing the files costs no more than reading it


@dataclass(frozen=True, slots=True)
class Print:
    """What a file shows of itself when nobody is at work on it. Equal prints: no transaction came between."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    header: bytes

    @classmethod
    def of(cls, path: Path) -> Print | None:
        """None where the header's counter is no measure: an empty file, or a write-ahead log (section 1.3.6)."""
        file = os.open(path, os.O_RDONLY)
        try:
            return cls.read(file)
        finally:
            os.close(file)

    @classmethod
    def read(cls, file: int) -> Print | None:
        facts, header = os.fstat(file), os.pread(file, HEADER, 0)
        if len(header) < HEADER or header[18:20] != b"\x01\x01":
            return None
        return cls(facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, header)

    @property
    def counter(self) -> int:
        return int(struct.unpack_from(">I", self.header, 24)[0])


@dataclass(slots=True)
class Written:
    """Pages that may have been written: these, and all above ``size`` pages."""

    pages: set[int] = field(default_factory=set)
    size: int = 1 << 62


@dataclass(frozen=True, slots=True)
class Journal:
    """One transaction's journal."""

    written: Written
    counter: int | None  # that the header had before; None: the first page was not written


def parse(data: bytes) -> Journal | None:
    """A whole journal; None where it is not complete or not understood."""
    pages: dict[int, bytes] = {}
    place, size = 0, 0
    while place < len(data):
        head = data[place : place + 28]
        if head[:8] != MAGIC or len(head) < 28:
            return None
        count, _, original, sector, unit = struct.unpack_from(">5I", head, 8)
        record = unit + 8
        if not sector or not unit:
            return None
        begin = place + sector
        if count == TO_THE_END:
            count, rest = divmod(len(data) - begin, record)
            if rest:
                return None
        end = begin + count * record
        if end > len(data):
            return None
        for offset in range(begin, end, record):
            pages.setdefault(struct.unpack_from(">I", data, offset)[0], data[offset + 4 : offset + 4 + unit])
        size = size or original
        place = -(-end // sector) * sector
    written = Written(set(pages), size)
    for content in pages.values():
        written.pages.update(_leaves(content, size))
    first = pages.get(1)
    return Journal(written, struct.unpack_from(">I", first, 24)[0] if first else None)


def _leaves(page: bytes, size: int) -> tuple[int, ...]:
    """The free pages that a page names if it is a trunk of the freelist (1.5); any page may look like one."""
    following, count = struct.unpack_from(">2I", page)
    if following > size or not 0 < count <= len(page) // 4 - 2:
        return ()
    leaves: tuple[int, ...] = struct.unpack_from(f">{count}I", page, 8)
    return leaves if max(leaves) <= size else ()


class Watch:
    """Collects what our connections write to one file, from one ``begin`` to the next.

    Small files are not watched: comparing them as a whole costs less.
    """

    def __init__(self, path: Path, least: int) -> None:
        self.path, self.least = path, least
        self._known: Print | None = None  # as the file was when last looked at
        self._seen: Print | None = None  # as it was at ``begin``
        self._written = Written()
        self._file = self._journal = -1

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
        """Around a connection, from before it is opened until after it is closed.

        The file stays open all the while: closing any handle of it would drop the process's locks (POSIX).
        """
        if self._known is None or self._known.size < self.least or self._file >= 0:
            yield
            return
        self._file = os.open(self.path, os.O_RDONLY)
        try:
            self._lay_ready()
            yield
        finally:
            self._collect()
            self._put_away()
            os.close(self._file)
            self._file = -1

    def between(self, connection: sqlite3.Connection) -> None:
        """After a statement: take in what its transaction wrote, if that has ended."""
        if self._journal >= 0 and not connection.in_transaction:
            self._collect()

    @property
    def _journal_path(self) -> Path:
        return Path(f"{self.path}-journal")

    def _lay_ready(self) -> None:
        if Print.read(self._file) != self._known:
            self.doubt()
            return
        try:
            self._journal = os.open(self._journal_path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except FileExistsError:
            self.doubt()

    def _put_away(self) -> None:
        if self._journal < 0:
            return
        facts = os.fstat(self._journal)
        os.close(self._journal)
        self._journal = -1
        if facts.st_nlink and not facts.st_size:
            with contextlib.suppress(FileNotFoundError):
                self._journal_path.unlink()

    def _collect(self) -> None:
        if self._journal < 0 or self._known is None:
            return
        facts, now = os.fstat(self._journal), Print.read(self._file)
        if facts.st_nlink and not facts.st_size:
            if now != self._known:
                self.doubt()
            return
        done = None
        if not facts.st_nlink and 0 < facts.st_size <= MOST:
            done = parse(os.pread(self._journal, facts.st_size, 0))
        if done is None or now is None or not self._explains(done, now):
            self.doubt()
            return
        self._written.pages |= done.written.pages
        self._written.size = min(self._written.size, done.written.size, self._pages(now))
        self._known = now
        self._put_away()
        self._lay_ready()

    def _explains(self, done: Journal, now: Print) -> bool:
        """Whether this one transaction lies between the file as it was and as it is."""
        assert self._known is not None
        before = self._known.counter
        if done.counter is None:  # rolled back before it came to the first page
            return now.counter == before
        return done.counter == before and (now.counter - before) % (1 << 32) in (0, 1)

    def _pages(self, now: Print) -> int:
        layout = Layout.of(now.header)
        return now.size // layout.page_size if layout else 0
