"""The rows that a row refers to: declared foreign keys, composite ones that share columns, a table's own tree."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Collection, Sequence

from seatrial.seeds.shape import Reference, Shape

Values = dict[str, object]
Tuple = tuple[object, ...]
Parents = Callable[[Reference], Sequence[Tuple]]


class NoParentError(Exception):
    """A required reference to a table without rows."""


class _Options:
    """The rows that a reference may point to, found by some of their columns."""

    def __init__(self, rows: Sequence[Tuple]) -> None:
        self.rows, self.size = rows, len(rows)
        self._by: dict[tuple[int, ...], dict[Tuple, list[Tuple]]] = {}

    def having(self, places: tuple[int, ...], values: Tuple) -> Sequence[Tuple]:
        if places not in self._by:
            index: dict[Tuple, list[Tuple]] = {}
            for row in self.rows:
                index.setdefault(tuple(row[p] for p in places), []).append(row)
            self._by[places] = index
        return self._by[places].get(values, [])


class References:
    """What one table's rows refer to. Columns in ``fixed`` stand already and are not chosen."""

    def __init__(self, shape: Shape, parents: Parents, rng: random.Random, fixed: Collection[str]) -> None:
        self._shape, self._parents, self._rng = shape, parents, rng
        usable = (r for r in shape.references if set(r.columns) - set(fixed) and set(r.columns) <= shape.columns.keys())
        chosen = sorted(usable, key=lambda r: (r.table == shape.table, not r.declared, -len(r.columns)))
        self.own = [r for r in chosen if r.table == shape.table]
        self.other = [r for r in chosen if r.table != shape.table]
        self.by_column = {c: r for r in reversed(chosen) for c in r.columns if c not in fixed}
        self.overlapping = [r for r in chosen if any(self.is_shared(r, c) for c in r.columns)]
        self.whole = [r for r in chosen if r.whole]
        self.bound = {  # MATCH FULL with a required column: never NULL
            c for r in self.whole if not all(shape.columns[n].nullable for n in r.columns) for c in r.columns
        }
        self.sets = {r.columns for r in chosen}
        self._single = {r for r in chosen if self._is_single(r)}
        self._made: dict[Reference, list[Tuple]] = {r: [] for r in self.own}
        self._options: dict[Reference, _Options] = {}

    def _is_single(self, reference: Reference) -> bool:
        plain = (u for u in self._shape.uniques if u.plain and u.predicate is None and u.columns)
        return any(set(u.columns) <= set(reference.columns) for u in plain)

    def note(self, row: Values) -> None:
        """A row that rows of its own table may refer to from now on."""
        for reference, made in self._made.items():
            made.append(tuple(row.get(c) for c in reference.referenced))

    def withdraw(self, row: Values) -> None:
        for reference, made in self._made.items():
            key = tuple(row.get(c) for c in reference.referenced)
            self._made[reference] = [m for m in made if m != key]

    # --- choosing ---

    def choose(self, row: Values, i: int) -> None:
        """Parents in other tables: the first has two children, most have one, some none."""
        for reference in self.other:
            shift = zlib.crc32(",".join(reference.columns).encode()) % 7 if len(self.other) > 1 else 0
            self._refer(reference, row, i if reference in self._single else max(0, i - 1) + shift)

    def choose_own(self, row: Values, i: int) -> None:
        """A tree: the first row is its own parent only where it must have one."""
        for reference in self.own:
            if self._made[reference]:
                self._refer(reference, row, self._rng.randrange(10**6) if i > 2 else 0)
            elif self._nullable(reference):
                self._refer_to_none(reference, row)
            else:
                self._refer_to_itself(reference, row)

    def _refer_to_itself(self, reference: Reference, row: Values) -> None:
        pairs = zip(reference.columns, reference.referenced, strict=True)
        row.update({c: row[o] for c, o in pairs if o in row and not (row.get(c) and self.is_shared(reference, c))})

    def choose_again(self, row: Values, column: str) -> None:
        """Another parent for a column, and for the references that share columns with it."""
        changed = self.by_column[column]
        for reference in (changed, *(r for r in self.overlapping if set(r.columns) & set(changed.columns))):
            self._refer(reference, row, self._rng.randrange(10**6))

    def is_broken(self, reference: Reference, row: Values) -> bool:
        """Whether a row refers to nothing; only where references share columns can that happen."""
        own = tuple(row.get(c) for c in reference.columns)
        if not reference.declared or None in own:
            return False
        itself = tuple(row.get(c) for c in reference.referenced) if reference in self.own else ()
        places = tuple(range(len(own)))
        return own != itself and not self._all(reference).having(places, own)

    def is_shared(self, reference: Reference, column: str) -> bool:
        """Whether a wider reference, or what stands already, decides the column."""
        return self.by_column.get(column) is not reference

    def _all(self, reference: Reference) -> _Options:
        rows = self._made[reference] if reference in self._made else self._parents(reference)
        known = self._options.get(reference)
        if known is None or known.rows is not rows or known.size != len(rows):
            known = self._options[reference] = _Options(rows)
        return known

    def _refer(self, reference: Reference, row: Values, turn: int) -> None:
        everyone = self._all(reference)
        options = self._fitting(reference, row, everyone)
        if not everyone.rows or (not options and any(self._is_free(reference, c) for c in reference.columns)):
            self._refer_to_none(reference, row)
            return
        if not options and reference in self.own:
            self._refer_to_itself(reference, row)
            return
        options = options or everyone.rows  # what does not fit another reference's choice is put right later
        few = len(options) - max(1, len(options) // 4) if options is everyone.rows else len(options)
        chosen = zip(reference.columns, options[turn % max(1, few)], strict=True)
        row.update({c: v for c, v in chosen if row.get(c) is None or not self.is_shared(reference, c)})

    def _fitting(self, reference: Reference, row: Values, everyone: _Options) -> Sequence[Tuple]:
        shared = [c for c in reference.columns if row.get(c) is not None and self.is_shared(reference, c)]
        if not shared:
            return everyone.rows
        places = tuple(reference.columns.index(c) for c in shared)
        return everyone.having(places, tuple(row[c] for c in shared))

    def _is_free(self, reference: Reference, column: str) -> bool:
        return column in self._nullable(reference) and not self.is_shared(reference, column)

    def _nullable(self, reference: Reference) -> list[str]:
        return [c for c in reference.columns if self._shape.columns[c].nullable and c not in self.bound]

    def _refer_to_none(self, reference: Reference, row: Values) -> None:
        """NULL where that is allowed; a reference that was only inferred leaves the column to any value."""
        nullable = self._nullable(reference)
        if nullable:
            own = [c for c in nullable if self._is_free(reference, c)]
            row.update(dict.fromkeys(reference.columns if reference.whole else own or nullable))
        elif reference.declared:
            columns = ", ".join(reference.columns)
            raise NoParentError(f"{columns} must refer to a row of {reference.table}, which has none that fits")
