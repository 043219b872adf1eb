"""Which pages of a database file were written, as SQLite's rollback journal says.

A rollback journal holds the number and the old content of every page that its transaction overwrites
(https://www.sqlite.org/fileformat2.html, section 3). SQLite opens it by name and removes that name when the transaction
ends; what it wrote stays readable through a file that was opened before. So an empty journal is laid ready before each
transaction: SQLite takes an empty one for none, and a migration cannot tell the difference. Pages that are not in the
journal although they may change are found beside it: those behind the end that the file had, and leaves of the
freelist, which stand on the trunk page that they were taken from.

Everything is believed only while the change counter of the header moves by what the journals explain. In any other
case (another journal mode, an exclusive lock, a write-ahead log, another program) the answer is *not known*.

Runs also in the project's interpreter (3.8+), where nothing else of Seatrial is. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import Any, NamedTuple

from ._sqlite_order import JOURNAL, LOST, Order

MAGIC = bytes.fromhex("d9d505f920a163d7")
HEADER = 100  # bytes, of the database file
TO_THE_END = 0xFFFFFFFF  # a journal that waits for no disk does not count its records
MOST = 64 << 20  # bytes: where a longer journal was written, comparing the files costs no more than reading it
ALL = 1 << 62


class Print(NamedTuple):
    """What a file shows of itself when nobody is at work on it. Equal prints: no transaction came between."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    header: bytes

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Print | None:
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

    @property
    def pages(self) -> int:
        """How many the file has; fewer where SQLite believes in fewer (1.3.8): it writes those behind as if new."""
        size = int.from_bytes(self.header[16:18], "big")
        there = self.size // (65536 if size == 1 else size)
        return min(there, int(struct.unpack_from(">I", self.header, 28)[0]) or there)

    def plain(self) -> list[Any]:
        """As JSON has it."""
        return [*self[:4], self.header.hex()]

    @classmethod
    def from_plain(cls, said: Any) -> Print:
        inode, size, modified_ns, changed_ns, header = said
        return cls(inode, size, modified_ns, changed_ns, bytes.fromhex(header))


class Written:
    """Pages that may have been written: these, and all above ``size`` pages."""

    def __init__(self, pages: set[int] | None = None, size: int = ALL) -> None:
        self.pages = set() if pages is None else pages
        self.size = size

    def add(self, other: Written) -> None:
        self.pages |= other.pages
        self.size = min(self.size, other.size)


class Account(NamedTuple):
    """What was written to a file between two prints of it."""

    before: Print
    after: Print
    written: Written

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        pages, size = sorted(self.written.pages), self.written.size
        return {"before": self.before.plain(), "after": self.after.plain(), "pages": pages, "size": size}

    @classmethod
    def from_plain(cls, said: Any) -> Account:
        before, after = Print.from_plain(said["before"]), Print.from_plain(said["after"])
        return cls(before, after, Written(set(said["pages"]), said["size"]))


class Journal(NamedTuple):
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


class Trail:
    """Follows what is written to a file, one transaction after the other, from a state that is known.

    A journal does not say whether its transaction was committed: rolled back, it would explain the next one's step of
    the counter. So either ``between`` is called after every statement, before anything else can be written, or
    ``order`` tells what came last. The file has to stay open: to close it drops all locks that this process has on it
    (POSIX).
    """

    def __init__(self, path: str, file: int, known: Print, order: Order | None = None) -> None:
        """``file``: the open file of this path; ``known``: how it looked when its pages were known."""
        self.known: Print | None = known  # None: not known any more
        self.written = Written()
        self._name, self._file, self._order = f"{path}-journal", file, order
        self._journal = -1
        self._lay_ready()

    def between(self, *, is_idle: bool = False) -> None:
        """Where a transaction may have ended: take in what it wrote. ``is_idle``: none is open any more."""
        if self.known is None:
            return
        facts = os.fstat(self._journal)
        if facts.st_nlink and facts.st_size and not is_idle:
            return
        now, events = Print.read(self._file), self._order.events() if self._order is not None else None
        if not facts.st_nlink:
            self._take_in(facts.st_size, now, events)
        elif facts.st_size or now != self.known or not set(events or ()) <= {JOURNAL}:
            self.known = None

    def end(self) -> Print | None:
        """How the file looks now, where all that was written since the beginning is known."""
        self.between(is_idle=True)
        self._put_away()
        return self.known

    def _take_in(self, size: int, now: Print | None, events: list[str] | None) -> None:
        """What a journal of this size says, which has lost its name."""
        done = parse(os.pread(self._journal, size, 0)) if 0 < size <= MOST else None
        is_last = events is None or (events[-1:] == [JOURNAL] and LOST not in events)
        if done is None or now is None or not is_last or not self._explains(done, now):
            self.known = None
            return
        assert self.known is not None
        self.written.add(Written(done.written.pages, min(done.written.size, self.known.pages, now.pages)))
        self.known = now
        self._put_away()
        self._lay_ready()

    def _explains(self, done: Journal, now: Print) -> bool:
        """Whether this one transaction lies between the file as it was and as it is."""
        assert self.known is not None
        before = self.known.counter
        if done.counter is None:  # rolled back before it came to the first page
            return now.counter == before
        return done.counter == before and (now.counter - before) % (1 << 32) in (0, 1)

    def _lay_ready(self) -> None:
        try:
            self._journal = os.open(self._name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            if self._order is not None:
                self._order.follow(self._name)
        except OSError:  # somebody's journal is there already, or there is no room for one
            self.known = None
            return
        # Nobody's transaction is open now that could have begun with another journal.
        if not os.fstat(self._journal).st_nlink or Print.read(self._file) != self.known:
            self.known = None

    def _put_away(self) -> None:
        if self._journal < 0:
            return
        facts = os.fstat(self._journal)
        os.close(self._journal)
        self._journal = -1
        if facts.st_nlink and not facts.st_size:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._name)  # noqa: PTH108 - pathlib would be slower than all of this
