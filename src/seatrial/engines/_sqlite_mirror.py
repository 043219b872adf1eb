"""What a database file held at several moments: one mirror of it, and beside it the pages that changed since each.

So a moment costs what changed before the next one, not the size of the file. Any moment is there again as a whole file,
for SQLite to read, by writing its own pages over a second mirror.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from seatrial.engines._sqlite_journal import Written
from seatrial.engines._sqlite_pages import HEADER, Layout, Pages, Tree
from seatrial.errors import DatabaseError
from seatrial.model import ErrorKind

CHUNK = 1 << 18  # bytes compared at once: both sides stay in the processor's cache
IN_MEMORY = 1 << 20  # bytes of a layer's pages
USUAL = 4096  # the unit for a file that has no pages yet


def unit_of(path: Path) -> int:
    """The size of a file's pages."""
    with path.open("rb") as file:
        layout = Layout.of(file.read(HEADER))
    return layout.page_size if layout is not None else USUAL


class Layer:
    """Old contents of pages, by page number."""

    __slots__ = ("_file", "places", "size")

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(folder))  # noqa: SIM115 - it has no name to leave behind
        self.size = 0
        self.places: dict[int, tuple[int, int]] = {}

    def add(self, page: int, content: bytes) -> None:
        """Keep a page, the first time that it is added."""
        if page not in self.places:
            self._file.seek(self.size)
            self._file.write(content)
            self.places[page] = self.size, len(content)
            self.size += len(content)

    def read(self, page: int) -> bytes:
        place, length = self.places[page]
        self._file.seek(place)
        content: bytes = self._file.read(length)
        return content

    def __del__(self) -> None:
        self._file.close()


@dataclass(eq=False, slots=True)
class State:
    """The file at one moment; ``layers`` hold what stood on pages that changed before the next state."""

    mirror: Mirror
    size: int
    layout: Layout | None  # None: nothing was ever written to this database
    layers: list[Layer] = field(default_factory=list)
    trees: dict[int, Tree] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    owners: dict[int, dict[int, int]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return -(-self.size // self.mirror.unit)

    @property
    def weight(self) -> int:
        """Bytes that are kept for it beside the mirror."""
        return sum(layer.size for layer in self.layers)

    def pages(self) -> Pages:
        """Its pages, to be read before anything more is taken in."""
        assert self.layout is not None, "an empty file has no pages to walk"
        return Pages(self.layout, self.mirror.reader(self))

    def inherit(self, other: State, roots: Iterable[int]) -> None:
        """Take over what is known of b-trees that are the same in another state."""
        same = frozenset(roots)
        self.trees |= {r: t for r, t in other.trees.items() if r in same}
        self.sizes |= {r: s for r, s in other.sizes.items() if r in same}
        self.owners |= {r: o for r, o in other.owners.items() if r in same}


@dataclass(eq=False, slots=True)
class _View:
    """A file that can be made to hold any state: a whole one, but for ``apart`` like the mirror, or ``only`` pages."""

    path: Path
    size: int
    state: State | None = None  # that it holds
    apart: set[int] = field(default_factory=set)
    only: set[int] | None = None
    busy: bool = False


class Mirror:
    """States of one file, as long as its pages keep their size."""

    def __init__(self, folder: Path, unit: int) -> None:
        self.unit, self.folder = unit, folder
        self._names = (folder / f"mirror-{os.urandom(4).hex()}-{n}.sqlite3" for n in itertools.count(1))
        self.states: list[State] = []  # oldest first
        self._views: list[_View] = []
        self._head = _View(next(self._names), 0)
        self._layout: Layout | None = None
        self.is_spoilt = False  # a state was taken in by half: none can be read any more
        self._head.path.touch(mode=0o600)

    def close(self) -> None:
        for view in (self._head, *self._views):
            view.path.unlink(missing_ok=True)
        self.states.clear()

    # --- taking in ---

    def take_in(self, live: Path, written: Written | None) -> State:
        """The file as it is now, as a state; ``written``: all other pages are as they were taken in last."""
        if self.is_spoilt:
            raise _spoilt()
        self.is_spoilt = True  # until all is written: the disk may be full
        state = self._taken_in(live, written)
        self.is_spoilt = False
        self.states.append(state)
        return state

    def repeat(self) -> State:
        """The file once more, which is as it was when it was taken in last."""
        if self.is_spoilt:
            raise _spoilt()
        self.states.append(State(self, self._head.size, self._layout))
        return self.states[-1]

    def holds(self, state: State) -> bool:
        """Whether a state is what was taken in last."""
        return state.mirror is self and state.size == self._head.size and not self.kept(state)

    def _taken_in(self, live: Path, written: Written | None) -> State:
        size = live.stat().st_size
        layer = Layer(self.folder)
        if self._head.size == 0:
            shutil.copyfile(live, self._head.path)
        with live.open("rb", buffering=0) as new, self._head.path.open("r+b", buffering=0) as head:
            if self._head.size:
                self._update(layer, new.fileno(), head.fileno(), size, written)
            self._layout = Layout.of(os.pread(new.fileno(), HEADER, 0))
        self._head.size = size
        if layer.places:
            for view in self._views:
                view.apart |= layer.places.keys()
            if self.states:
                self.states[-1].layers.append(layer)
        return State(self, size, self._layout)

    def _update(self, layer: Layer, new: int, head: int, size: int, written: Written | None) -> None:
        """Bring the mirror up to date; what it held goes into the layer."""
        common = min(self._head.size, size)
        numbers = _differing(new, head, common, self.unit) if written is None else self._asked(written, common)
        for number in numbers:
            self._replace(layer, new, head, number)
        for number in range(common // self.unit + 1, -(-self._head.size // self.unit) + 1):
            layer.add(number, self._at(head, number))
        os.ftruncate(head, size)
        if size > self._head.size:
            _copy(new, head, self._head.size // self.unit * self.unit, size)

    def _asked(self, written: Written, common: int) -> Iterable[int]:
        last = common // self.unit
        return sorted({n for n in written.pages if n <= last} | set(range(min(written.size, last) + 1, last + 1)))

    def _replace(self, layer: Layer, new: int, head: int, number: int) -> None:
        now, before = self._at(new, number), self._at(head, number)
        if now != before:
            layer.add(number, before)
            os.pwrite(head, now, (number - 1) * self.unit)

    def _at(self, file: int, number: int) -> bytes:
        return os.pread(file, self.unit, (number - 1) * self.unit)

    # --- states ---

    def forget(self, state: State) -> None:
        """Its pages are needed no more; older states keep what they have in common with it."""
        place = self.states.index(state)
        self.states.remove(state)
        for view in self._views:
            view.state = None if view.state is state else view.state
        if place:
            before = self.states[place - 1]
            before.layers = _merged(self.folder, before.layers, state.layers)
        state.layers = []

    def kept(self, state: State) -> dict[int, Layer]:
        """The pages on which a state may differ from the mirror, and where its own are."""
        found: dict[int, Layer] = {}
        for later in reversed(self.states[self.states.index(state) :]):
            for layer in reversed(later.layers):
                found.update(dict.fromkeys(layer.places, layer))
        return found

    def apart(self, state: State) -> Written:
        """Where the state differs from what was taken in last."""
        return Written(set(self.kept(state)), state.count)

    def reader(self, state: State) -> _Reader:
        if self.is_spoilt:
            raise _spoilt()
        return _Reader(self._head.path, self.unit, self.kept(state))

    def between(self, old: State, new: State) -> set[int]:
        """Pages of ``old`` that were written between two states."""
        first, last = sorted((self.states.index(old), self.states.index(new)))
        return {p for s in self.states[first:last] for layer in s.layers for p in layer.places if p <= old.count}

    def changed(self, old: State, new: State) -> frozenset[int]:
        """Pages of ``old`` that are gone from ``new``, or other there."""
        numbers = self.between(old, new)
        if len(old.layers) == 1 and self.states[-1] is new and self.states[-2:-1] == [old]:
            return frozenset(numbers)  # a layer holds what differs from the next state, and nothing else
        with contextlib.ExitStack() as both:
            one, other = (both.enter_context(contextlib.closing(self.reader(s))) for s in (old, new))
            found = {n for n in numbers if n <= new.count and one(n) != other(n)}
        return frozenset(found | set(range(new.count + 1, old.count + 1)))

    # --- files ---

    @contextlib.contextmanager
    def file(self, state: State, only: frozenset[int] | None = None) -> Iterator[Path]:
        """A file that holds a state, or these pages of it; to be read only, with nothing taken in meanwhile."""
        view = self._view(state, only)
        view.busy = True
        try:
            yield view.path
        finally:
            view.busy = False

    def put(self, state: State, path: Path) -> None:
        """Make a new file that holds a state: one copy, and the state's own pages over it."""
        if self.is_spoilt:
            raise _spoilt()
        whole = next((v for v in self._views if v.state is state and v.only is None), None)
        shutil.copyfile(self._head.path if whole is None else whole.path, path)
        if whole is None:
            self._write(path, state, (n for n in self.kept(state) if n <= state.count))

    def _view(self, state: State, only: frozenset[int] | None) -> _View:
        if self.is_spoilt:
            raise _spoilt()
        if state.size == self._head.size and not self.kept(state):
            return self._head
        free = [v for v in self._views if not v.busy]
        whole = [v for v in free if v.only is None]
        held = next((v for v in whole if v.state is state), None)
        if held is not None:
            return held
        if only is not None and not whole:
            view = next((v for v in free if v.only is not None), None) or self._new_view()
        else:
            view, only = whole[0] if whole else self._new_view(), None
        try:
            self._bring(view, state) if only is None else self._bring_some(view, state, only)
        except OSError:  # the disk is full: the view holds nothing that is known
            self._views.remove(view)
            view.path.unlink(missing_ok=True)
            raise
        return view

    def _new_view(self) -> _View:
        self._views.append(_View(next(self._names), 0))
        return self._views[-1]

    def _bring(self, view: _View, state: State) -> None:
        """Make a view hold a state, page by page, or as a new copy where that is less work."""
        own = self.kept(state)
        numbers = {n for n in (view.apart | own.keys()) if n <= state.count}
        grown = max(0, state.count - view.size // self.unit)
        view.state = None
        if not view.size or len(numbers) + grown > state.count // 4:
            shutil.copyfile(self._head.path, view.path)
            numbers = {n for n in own if n <= state.count}
        elif grown:
            numbers.update(range(view.size // self.unit + 1, state.count + 1))
        self._write(view.path, state, numbers)
        view.size, view.state, view.apart = state.size, state, set(own)

    def _bring_some(self, view: _View, state: State, only: frozenset[int]) -> None:
        """Make a view of a few pages; the rest are holes, in which SQLite finds no b-tree but a damaged file."""
        if view.state is not state:
            view.path.write_bytes(b"")
            view.only = set()
        assert view.only is not None
        self._write(view.path, state, only - view.only)
        view.size, view.state = state.size, state
        view.only |= only

    def _write(self, path: Path, state: State, numbers: Iterable[int]) -> None:
        path.touch(mode=0o600)
        with contextlib.closing(self.reader(state)) as read, path.open("r+b", buffering=0) as file:
            for number in sorted(numbers):
                os.pwrite(file.fileno(), read(number), (number - 1) * self.unit)
            os.ftruncate(file.fileno(), state.size)


class _Reader:
    """Reads the pages of one state."""

    def __init__(self, path: Path, unit: int, own: dict[int, Layer]) -> None:
        self._unit, self._own = unit, own
        self._file = os.open(path, os.O_RDONLY)

    def __call__(self, number: int) -> bytes:
        layer = self._own.get(number)
        if layer is not None:
            return layer.read(number)
        return os.pread(self._file, self._unit, (number - 1) * self._unit)

    def close(self) -> None:
        os.close(self._file)


def _merged(folder: Path, older: list[Layer], newer: list[Layer]) -> list[Layer]:
    """Layers of which each holds a page that those before it do not; one that is mostly hidden is written anew."""
    found, seen = list(older), {p for layer in older for p in layer.places}
    for layer in newer:
        seen_here = layer.places.keys() & seen
        seen |= layer.places.keys()
        if len(seen_here) * 2 < len(layer.places):
            found.append(layer)
        elif len(seen_here) < len(layer.places):
            found.append(_without(folder, layer, seen_here))
    return found


def _without(folder: Path, layer: Layer, hidden: set[int]) -> Layer:
    slim = Layer(folder)
    for page in layer.places.keys() - hidden:
        slim.add(page, layer.read(page))
    return slim


def _spoilt() -> DatabaseError:
    return DatabaseError("what the database held could not be kept: the disk was full", kind=ErrorKind.ENVIRONMENT)


def _copy(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        content = os.pread(source, min(CHUNK, end - start), start)
        if not content:
            return
        start += os.pwrite(target, content, start)


def _differing(one: int, other: int, common: int, unit: int) -> Iterator[int]:
    """Pages that differ between two files, up to their common size."""
    ours, theirs = bytearray(CHUNK), bytearray(CHUNK)
    for start in range(0, common, CHUNK):
        os.preadv(one, [ours], start)
        os.preadv(other, [theirs], start)
        length = min(CHUNK, common - start)
        if length == CHUNK and ours == theirs:
            continue
        for offset in range(0, length, unit):
            if ours[offset : offset + unit] != theirs[offset : offset + unit]:
                yield (start + offset) // unit + 1
