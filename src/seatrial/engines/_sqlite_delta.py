"""Which tables two states of a database file hold untouched: their b-trees' pages are equal, byte for byte.

Only interior pages are walked; leaves are read where an overflow page changed, since nothing but the cell that begins a
chain says whose it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from seatrial.engines._sqlite_mirror import State
from seatrial.engines._sqlite_pages import SCHEMA_ROOT, Tree
from seatrial.values import dataclass

FEW = 16  # a part of that many is read instead of the whole file
LARGE = 2000  # pages: a b-tree of this size is walked only where smaller ones do not explain all changes


def trees(state: State, roots: Iterable[int]) -> list[Tree]:
    """The b-trees below root pages."""
    wanted = list(roots)
    missing = [r for r in wanted if r not in state.trees]
    if missing:
        with state.pages() as pages:
            state.trees |= {r: pages.tree(r) for r in missing}
    return [state.trees[r] for r in wanted]


def tree(state: State, root: int) -> Tree:
    """The b-tree below a root page."""
    return trees(state, (root,))[0]


def owners(state: State, root: int) -> Mapping[int, int]:
    """Overflow page -> the page of the b-tree whose cell goes on in it."""
    if root not in state.owners:
        pages_of = tree(state, root)
        with state.pages() as pages:
            both = (*pages_of.leaves, *pages_of.interior)
            state.owners[root] = {overflow: p for p in both for overflow in pages.chains(p)}
    return state.owners[root]


def needed(state: State, roots: Iterable[int]) -> frozenset[int] | None:
    """All pages by which SQLite reads the schema and these b-trees; None where they are not few."""
    asked = (SCHEMA_ROOT, *roots)
    if sum(size_of(state, r) for r in asked) * FEW > state.count:
        return None
    found = {1}
    for root in asked:
        one = tree(state, root)
        found |= one.interior | one.leaves | owners(state, root).keys()
    return frozenset(found)


def size_of(state: State, root: int) -> int:
    """About how many pages a b-tree has, from its leftmost path; exact where it was walked."""
    if root in state.trees:
        return len(state.trees[root].leaves)
    if root not in state.sizes:
        with state.pages() as pages:
            state.sizes[root] = pages.size(root)
    return state.sizes[root]


@dataclass(frozen=True, slots=True)
class Delta:
    """Pages of the older state that are gone from the newer one, or other there."""

    old: State
    new: State
    pages: frozenset[int]
    _touched: dict[frozenset[int], tuple[frozenset[int], frozenset[int]]] = field(default_factory=dict)

    def touched(self, roots: Mapping[str, int], others: Iterable[int]) -> frozenset[str]:
        """Which of the older state's tables (name to root page) changed; ``others``: roots of all its other b-trees."""
        changed = self.changed((*roots.values(), *others))
        return frozenset(name for name, root in roots.items() if root in changed)

    def changed(self, roots: Iterable[int]) -> frozenset[int]:
        """The roots of the b-trees, of all that the older state has, in which something changed."""
        if not self.pages:
            return frozenset()
        asked = frozenset(roots)
        found, loose = self._owners(asked)
        return found | self._spilled(asked, found, loose) if loose else found

    def loose(self, roots: Iterable[int]) -> frozenset[int]:
        """Changed pages that may be overflow pages: no b-tree's own, not free, and no map."""
        return self._owners(roots)[1]

    def _owners(self, roots: Iterable[int]) -> tuple[frozenset[int], frozenset[int]]:
        """Roots of b-trees with a changed page, and the changed pages that are left over.

        A page has one owner: where all are explained, no other b-tree is walked. So small ones come first.
        """
        asked = frozenset(roots)
        if asked not in self._touched:
            schema = tree(self.old, SCHEMA_ROOT)
            changed = self.pages - schema.interior - schema.leaves
            found, searched = set(changed & asked), set[int]()  # most b-trees of most databases are one page
            left = self._stored(changed - found)
            for root in sorted(asked, key=lambda r: (size_of(self.old, r), r)) if left else ():
                if left and root not in self.old.trees and size_of(self.old, root) > LARGE:
                    left -= self._overflow(found - searched)
                    searched |= found
                if not left:
                    break
                one = tree(self.old, root)
                mine = {p for p in left if p in one.leaves or p in one.interior}
                left -= mine
                found |= {root} if mine else set()
            self._touched[asked] = frozenset(found), frozenset(left)
        return self._touched[asked]

    def _stored(self, changed: frozenset[int]) -> set[int]:
        """Changed pages that a table or index of the older state may own."""
        if not changed:
            return set()
        schema = tree(self.old, SCHEMA_ROOT)
        with self.old.pages() as pages:
            known = {*pages.free(), *(p for leaf in schema.leaves for p in pages.chains(leaf))}
            return {p for p in changed if p not in known and not pages.is_map(p)}

    def _overflow(self, roots: Iterable[int]) -> set[int]:
        return {p for root in roots for p in owners(self.old, root)}

    def _spilled(self, roots: Iterable[int], found: frozenset[int], loose: frozenset[int]) -> set[int]:
        """Roots of b-trees with rows that go on in loose pages; those that changed anyway are asked first."""
        left, spilled = set(loose), set[int]()
        for root in sorted(roots, key=lambda r: (r not in found, size_of(self.old, r), r)):
            if not left:
                break
            mine = left & owners(self.old, root).keys()
            left -= mine
            spilled |= {root} if mine else set()
        return spilled

    def rowids(
        self, root: int, new_root: int, roots: Iterable[int], most: int
    ) -> tuple[frozenset[int], frozenset[int]] | None:
        """Rowids of a table that may differ: those in the older and those in the newer state.

        All other rows lie on leaves that both share. None: more than ``most``, so a full read is cheaper.
        """
        changed = self.pages
        if self._may_spill(root, roots):
            mine = owners(self.old, root)
            changed = changed | {mine[p] for p in self.pages & mine.keys()}
        before, after = tree(self.old, root).leaves, tree(self.new, new_root).leaves
        shared = (before & after) - changed
        found = []
        for state, leaves in ((self.old, before - shared), (self.new, after - shared)):
            if len(leaves) > most:
                return None
            with state.pages() as pages:
                found.append(frozenset(pages.rowids(leaves)))
        return (found[0], found[1]) if max(map(len, found)) <= most else None

    def _may_spill(self, root: int, roots: Iterable[int]) -> bool:
        """Whether rows of a table may go on in changed pages."""
        return bool(self.loose(roots)) or root in self.old.owners


def is_close(old: State, new: State, most: int) -> bool:
    """Whether not many pages were written between two states, so that comparing them costs little."""
    return old.mirror is new.mirror and len(old.mirror.between(old, new)) <= most


def compare(old: State, new: State) -> Delta | None:
    """What differs between two states; None where their pages cannot be compared at all."""
    if old.mirror is not new.mirror:
        return None
    if old.size == new.size == 0:
        return Delta(old, new, frozenset())
    if old.layout is None or new.layout is None or not old.layout.reads_like(new.layout):
        return None
    return Delta(old, new, old.mirror.changed(old, new))
