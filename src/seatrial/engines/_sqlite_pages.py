"""Which tables two copies of a database file hold untouched: their b-trees' pages are equal, byte for byte.

Only interior pages are walked; leaves are read where an overflow page changed, since nothing but the cell that begins a
chain says whose it is. File format: https://www.sqlite.org/fileformat2.html (section numbers below are of that page).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

CHUNK = 1 << 20
SMALL = 8 << 20  # bytes: such a file is read as a whole

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
    def of(cls, header: bytes) -> Layout:
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


@dataclass
class PageFile:
    """One copy of a database file that does not change any more."""

    path: Path
    _trees: dict[int, Tree] = field(default_factory=dict)

    @cached_property
    def size(self) -> int:
        return self.path.stat().st_size

    @cached_property
    def layout(self) -> Layout | None:
        """None: nothing was ever written to this database."""
        with self.path.open("rb") as file:
            header = file.read(100)
        return Layout.of(header) if len(header) == 100 else None

    def tree(self, root: int) -> Tree:
        """The b-tree below a root page."""
        return self.trees((root,))[0]

    def trees(self, roots: Iterable[int]) -> list[Tree]:
        """The b-trees below root pages."""
        wanted = list(roots)
        missing = [r for r in wanted if r not in self._trees]
        if missing:
            with Pages(self.path, self.layout) as pages:
                self._trees |= {r: pages.tree(r) for r in missing}
        return [self._trees[r] for r in wanted]

    def inherit(self, other: PageFile, roots: Iterable[int]) -> None:
        """Take over b-trees that are the same in another copy."""
        self._trees |= {r: other._trees[r] for r in roots if r in other._trees}


class Pages:
    """Reads pages of an open file."""

    def __init__(self, path: Path, layout: Layout | None) -> None:
        assert layout is not None, "an empty file has no pages to walk"
        self.layout = layout
        self.usable = layout.page_size - layout.reserved
        self._file = path.open("rb", buffering=0)
        self._whole = self._file.read() if path.stat().st_size <= SMALL else b""

    def __enter__(self) -> Pages:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def page(self, number: int) -> bytes:
        size = self.layout.page_size
        start = (number - 1) * size
        return self._whole[start : start + size] or os.pread(self._file.fileno(), size, start)

    def tree(self, root: int) -> Tree:
        """All leaves of a b-tree stand at the same depth, so one child tells what its siblings are (1.6)."""
        interior: set[int] = set()
        level = [root]
        while level and self._kind(level[0]) in INTERIOR:
            interior.update(level)
            level = [child for number in level for child in self._children(number)]
        return Tree(frozenset(interior), frozenset(level))

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


# --- two copies -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delta:
    """Pages of the older file that are gone from the newer one, or other there."""

    old: PageFile
    new: PageFile
    pages: frozenset[int]

    def touched(self, roots: Mapping[str, int], others: Iterable[int]) -> frozenset[str]:
        """Which of the older file's tables (name to root page) changed; ``others``: roots of all its other b-trees."""
        if not self.pages:
            return frozenset()
        trees = zip(roots, self.old.trees(roots.values()), strict=True)
        found = {name for name, tree in trees if tree.has(self.pages)}
        loose = self.loose((*roots.values(), *others))
        if loose:
            quiet = (name for name in roots if name not in found)
            found |= {name for name in quiet if self.spilled(roots[name], loose)}
        return frozenset(found)

    def loose(self, roots: Iterable[int]) -> frozenset[int]:
        """Changed pages that may be overflow pages: no b-tree's own, not free, and no map."""
        left = set(self.pages)
        for tree in self.old.trees((SCHEMA_ROOT, *roots)):
            left -= tree.interior
            left -= tree.leaves
        if left:
            with Pages(self.old.path, self.old.layout) as pages:
                left.difference_update(pages.free())
                for leaf in self.old.tree(SCHEMA_ROOT).leaves:
                    left.difference_update(pages.chains(leaf))
                left = {p for p in left if not pages.is_map(p)}
        return frozenset(left)

    def spilled(self, root: int, loose: frozenset[int]) -> frozenset[int]:
        """The b-tree pages of the older file whose cells go on in changed overflow pages."""
        tree = self.old.tree(root)
        with Pages(self.old.path, self.old.layout) as pages:
            both = tree.leaves | tree.interior
            return frozenset(p for p in both if any(o in loose for o in pages.chains(p)))

    def rowids(
        self, root: int, new_root: int, roots: Iterable[int], most: int
    ) -> tuple[frozenset[int], frozenset[int]] | None:
        """Rowids of a table that may differ: those in the older and those in the newer file.

        All other rows lie on leaves that both files share. None: more than ``most``, so a full read is cheaper.
        """
        changed = self.pages
        loose = self.loose(roots)
        if loose:
            changed = changed | self.spilled(root, loose)
        before, after = self.old.tree(root).leaves, self.new.tree(new_root).leaves
        shared = (before & after) - changed
        found = []
        for file, leaves in ((self.old, before - shared), (self.new, after - shared)):
            if len(leaves) > most:
                return None
            with Pages(file.path, file.layout) as pages:
                found.append(frozenset(pages.rowids(leaves)))
        return (found[0], found[1]) if max(map(len, found)) <= most else None


def compare(old: PageFile, new: PageFile) -> Delta | None:
    """What differs between two copies; None where their pages cannot be compared at all."""
    if old.size == new.size == 0:
        return Delta(old, new, frozenset())
    if old.layout is None or new.layout is None or not old.layout.reads_like(new.layout):
        return None
    return Delta(old, new, frozenset(_changed(old, new, old.layout.page_size)))


def _changed(old: PageFile, new: PageFile, size: int) -> Iterator[int]:
    common = min(old.size, new.size)
    with old.path.open("rb", buffering=0) as one, new.path.open("rb", buffering=0) as other:
        ours, theirs = bytearray(CHUNK), bytearray(CHUNK)
        for start in range(0, common, CHUNK):
            one.readinto(ours)
            other.readinto(theirs)
            length = min(CHUNK, common - start)
            if ours == theirs and length == CHUNK:
                continue
            for offset in range(0, length, size):
                if ours[offset : offset + size] != theirs[offset : offset + size]:
                    yield (start + offset) // size + 1
    yield from range(common // size + 1, old.size // size + 1)
