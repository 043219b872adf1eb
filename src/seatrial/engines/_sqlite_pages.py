"""The pages of a SQLite database file: its b-trees, their overflow chains, the freelist.

File format: https://www.sqlite.org/fileformat2.html (section numbers below are of that page).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from seatrial.values import dataclass

MAGIC = b"SQLite format 3\0"
HEADER = 100  # bytes

INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE = 2, 5, 10, 13
INTERIOR = (INTERIOR_INDEX, INTERIOR_TABLE)
SCHEMA_ROOT = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """What of the header decides how pages are read (1.3)."""

    page_size: int
    reserved: int
    format: int
    encoding: int
    first_trunk: int
    autovacuum: bool

    @classmethod
    def of(cls, header: bytes) -> Layout | None:
        """None: nothing was ever written to this database, or it is none."""
        if len(header) < HEADER or not header.startswith(MAGIC):
            return None
        size = int.from_bytes(header[16:18], "big")
        word = struct.unpack_from(">I", header, 32)[0], *struct.unpack_from(">4I", header, 44)
        trunk, schema_format, _, root, encoding = word
        return cls(65536 if size == 1 else size, header[20], schema_format, encoding, trunk, bool(root))

    def reads_like(self, other: Layout) -> bool:
        """Whether equal pages of the two files hold equal values."""
        mine = (self.page_size, self.reserved, self.format, self.encoding)
        return mine == (other.page_size, other.reserved, other.format, other.encoding)


@dataclass(frozen=True, slots=True)
class Tree:
    """The pages of a b-tree without its overflow pages."""

    interior: frozenset[int]
    leaves: frozenset[int]

    def has(self, pages: frozenset[int]) -> bool:
        return not (self.leaves.isdisjoint(pages) and self.interior.isdisjoint(pages))


class Reader(Protocol):
    """Gives the content of a page."""

    def __call__(self, number: int, /) -> bytes: ...

    def close(self) -> None: ...


class Pages:
    """What the pages of one file say."""

    def __init__(self, layout: Layout, reader: Reader) -> None:
        self.layout = layout
        self.usable = layout.page_size - layout.reserved
        self.page = reader
        self._close: Callable[[], None] = reader.close

    def __enter__(self) -> Pages:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def tree(self, root: int) -> Tree:
        """All leaves of a b-tree stand at the same depth, so one child tells what its siblings are (1.6)."""
        interior: set[int] = set()
        level = [root]
        while level and self._kind(level[0]) in INTERIOR:
            interior.update(level)
            level = [child for number in level for child in self._children(number)]
        return Tree(frozenset(interior), frozenset(level))

    def size(self, root: int) -> int:
        """About how many leaves a b-tree has, from its leftmost path."""
        number, leaves = root, 1
        while self._kind(number) in INTERIOR:
            children = list(self._children(number))
            number, leaves = children[0], leaves * len(children)
        return leaves

    def _kind(self, number: int) -> int:
        return self.page(number)[_start(number)]

    def _children(self, number: int) -> Iterator[int]:
        page = self.page(number)
        start = _start(number)
        for offset in _cells(page, start, 12):
            yield int.from_bytes(page[offset : offset + 4], "big")
        yield int.from_bytes(page[start + 8 : start + 12], "big")

    def free(self) -> Iterator[int]:
        """Pages of the freelist (1.5)."""
        trunk = self.layout.first_trunk
        while trunk:
            yield trunk
            page = self.page(trunk)
            trunk, count = struct.unpack_from(">2I", page)
            yield from struct.unpack_from(f">{count}I", page, 8)

    def is_map(self, number: int) -> bool:
        """Whether a page is the lock byte's (1.2) or, in a database with auto-vacuum, a pointer map (1.8)."""
        lock = (1 << 30) // self.layout.page_size + 1
        if number == lock:
            return True
        every = self.usable // 5 + 1
        place = (number - 2) % every
        return (
            self.layout.autovacuum and number >= 2 and (place == 0 or (number == lock + 1 and (lock - 2) % every == 0))
        )

    def chains(self, number: int) -> Iterator[int]:
        """The overflow pages of the cells of one b-tree page."""
        page = self.page(number)
        start = _start(number)
        kind = page[start]
        if kind == INTERIOR_TABLE:
            return
        most = self._most(table=kind == LEAF_TABLE)
        for offset in _cells(page, start, 12 if kind == INTERIOR_INDEX else 8):
            head = offset + (4 if kind == INTERIOR_INDEX else 0)
            if page[head] < 0x80 and page[head] <= most:
                continue  # the usual case, without any arithmetic
            size, head = _varint(page, head)
            if size <= most:
                continue
            if kind == LEAF_TABLE:
                head = _varint(page, head)[1]
            yield from self._chain(struct.unpack_from(">I", page, head + self._local(size, most))[0])

    def _chain(self, number: int) -> Iterator[int]:
        while number:
            yield number
            number = struct.unpack_from(">I", self.page(number))[0]

    def _most(self, *, table: bool) -> int:
        """How much of a payload its cell keeps at most (1.6)."""
        return self.usable - 35 if table else (self.usable - 12) * 64 // 255 - 23

    def _local(self, size: int, most: int) -> int:
        """How much of a payload that does not fit stays in its cell."""
        least = (self.usable - 12) * 32 // 255 - 23
        wanted = least + (size - least) % (self.usable - 4)
        return wanted if wanted <= most else least

    def rowids(self, leaves: Iterable[int]) -> Iterator[int]:
        """The rowids on leaves of a table."""
        for number in leaves:
            page = self.page(number)
            for offset in _cells(page, _start(number), 8):
                rowid = _varint(page, _varint(page, offset)[1])[0]
                yield rowid - (1 << 64) if rowid >> 63 else rowid


def _start(number: int) -> int:
    return 100 if number == 1 else 0


def _cells(page: bytes, start: int, header: int) -> tuple[int, ...]:
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    return struct.unpack_from(f">{count}H", page, start + header)


def _varint(page: bytes, offset: int) -> tuple[int, int]:
    """A number of one to nine bytes and where it ends (1.6)."""
    value = 0
    for index in range(offset, offset + 8):
        byte = page[index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, index + 1
    return value << 8 | page[offset + 8], offset + 9
