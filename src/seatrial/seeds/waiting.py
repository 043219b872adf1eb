"""Rows of a seed that were refused and wait to be mended, and which of them come first. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field

from seatrial.model import StepError, TableRef
from seatrial.seeds.inserts import Row
from seatrial.seeds.shape import Reference, Shape
from seatrial.values import dataclass

Pairs = tuple[tuple[str, str], ...]
"""Columns of a row that is referred to, each with its cell."""


@dataclass(slots=True)
class Waiting:
    """A row that was refused, to be mended. ``parents`` says which were made for it."""

    row: Row
    error: StepError
    table: TableRef
    cells: Mapping[str, str]
    parents: list[str] = field(default_factory=list)
    words: list[str] | None = None  # what it was given; None: it is not in


@dataclass(frozen=True, slots=True)
class Order:
    """Parents before their children; ``enforced``: whether the seed has its references checked."""

    known: Mapping[TableRef, Shape]
    enforced: bool

    def depth(self, table: TableRef) -> int:
        """How many tables stand above one: a parent is mended before its children ask for one."""
        level, seen = {table}, set[TableRef]()
        while level:
            seen |= level
            level = {r.table for t in level for r in self.references(t)} - seen
        return len(seen)

    def references(self, table: TableRef) -> list[Reference]:
        known = self.known.get(table)
        return [r for r in known.references if r.declared and r.table in self.known] if known else []

    def ready(self, waiting: Sequence[Waiting]) -> list[Waiting]:
        """Rows of one table that refer to none that waits; where all wait for each other, the first of them."""
        if not self.enforced:
            return [w for w in waiting if w.table == waiting[0].table]
        wanted = {(r.table, r.referenced) for t in {w.table for w in waiting} for r in self.references(t)}
        there = {(t, cs, tuple(w.cells.get(c) for c in cs)) for t, cs in wanted for w in waiting if w.table == t}
        for table in dict.fromkeys(w.table for w in waiting):
            ready = [w for w in waiting if w.table == table and not self._awaits(w, there)]
            if ready:
                return ready
        return list(waiting[:1])

    def _awaits(self, waiting: Waiting, there: Collection[tuple[object, ...]]) -> bool:
        """Whether the row refers to another one that waits."""
        referred = ((r, refers_to(r, waiting.cells)) for r in self.references(waiting.table))
        return any(
            (r.table, r.referenced, tuple(v for _, v in p)) in there
            for r, p in referred
            if p and not is_own(r, p, waiting)
        )


def refers_to(reference: Reference, cells: Mapping[str, str]) -> Pairs:
    """What a row refers to; empty where it refers to nothing."""
    given = [cells.get(c, "NULL") for c in reference.columns]
    return () if any(map(is_null, given)) else tuple(zip(reference.referenced, given, strict=True))


def is_own(reference: Reference, pairs: Pairs, waiting: Waiting) -> bool:
    """Whether the row refers to itself."""
    return reference.table == waiting.table and all(waiting.cells.get(c) == v for c, v in pairs)


def is_null(cell: str) -> bool:
    return cell.upper() in ("NULL", "DEFAULT")
