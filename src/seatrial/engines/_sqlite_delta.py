"""Which tables two states of a database file hold untouched: their b-trees' pages are equal, byte for byte.

Only interior pages are walked; leaves are read where an overflow page changed, since nothing but the cell that begins a
chain says whose it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from seatrial.engines._sqlite_mirror import State
from seatrial.engines._sqlite_pages import SCHEMA_ROOT, Tree


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


@dataclass(frozen=True, slots=True)
class Delta:
    """Pages of the older state that are gone from the newer one, or other there."""

    old: State
    new: State
    pages: frozenset[int]

    def touched(self, roots: Mapping[str, int], others: Iterable[int]) -> frozenset[str]:
        """Which of the older state's tables (name to root page) changed; ``others``: roots of all its other b-trees."""
        if not self.pages:
            return frozenset()
        named = zip(roots, trees(self.old, roots.values()), strict=True)
        found = {name for name, tree in named if tree.has(self.pages)}
        loose = self.loose((*roots.values(), *others))
        return frozenset(found | self._spilled(roots, others, found, loose)) if loose else frozenset(found)

    def _spilled(
        self, roots: Mapping[str, int], others: Iterable[int], found: Iterable[str], loose: frozenset[int]
    ) -> set[str]:
        """Tables with rows that go on in loose pages. Where a changed table explains them all, no other one is read."""
        names = {root: name for name, root in roots.items()}
        likely = {roots[name] for name in found}
        order = sorted((*names, *others), key=lambda r: (r not in likely, len(tree(self.old, r).leaves)))
        left, spilled = set(loose), set()
        for root in order:
            if not left:
                break
            mine = left & owners(self.old, root).keys()
            left -= mine
            if mine and root in names:
                spilled.add(names[root])
        return spilled

    def loose(self, roots: Iterable[int]) -> frozenset[int]:
        """Changed pages that may be overflow pages: no b-tree's own, not free, and no map."""
        left = self.pages
        for one in trees(self.old, (SCHEMA_ROOT, *roots)):
            left = left - one.interior - one.leaves
        if not left:
            return left
        schema = tree(self.old, SCHEMA_ROOT).leaves
        with self.old.pages() as pages:
            known = {*pages.free(), *(p for leaf in schema for p in pages.chains(leaf))}
            return frozenset(p for p in left if p not in known and not pages.is_map(p))

    def rowids(
        self, root: int, new_root: int, roots: Iterable[int], most: int
    ) -> tuple[frozenset[int], frozenset[int]] | None:
        """Rowids of a table that may differ: those in the older and those in the newer state.

        All other rows lie on leaves that both share. None: more than ``most``, so a full read is cheaper.
        """
        changed = self.pages
        loose = self.loose(roots)
        if loose:
            mine = owners(self.old, root)
            changed = changed | {mine[p] for p in loose & mine.keys()}
        before, after = tree(self.old, root).leaves, tree(self.new, new_root).leaves
        shared = (before & after) - changed
        found = []
        for state, leaves in ((self.old, before - shared), (self.new, after - shared)):
            if len(leaves) > most:
                return None
            with state.pages() as pages:
                found.append(frozenset(pages.rowids(leaves)))
        return (found[0], found[1]) if max(map(len, found)) <= most else None


def compare(old: State, new: State) -> Delta | None:
    """What differs between two states; None where their pages cannot be compared at all."""
    if old.mirror is not new.mirror:
        return None
    if old.size == new.size == 0:
        return Delta(old, new, frozenset())
    if old.layout is None or new.layout is None or not old.layout.reads_like(new.layout):
        return None
    return Delta(old, new, old.mirror.changed(old, new))
