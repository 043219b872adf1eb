"""Rows for one table: candidates per column, put together until no known constraint refuses the row.

Everything is drawn from generators named after the seed, the table and the column: same input, same rows.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence

from seatrial.seeds.candidates import Stream, candidates, is_listed
from seatrial.seeds.references import Parents, References, Values
from seatrial.seeds.shape import Column, Shape, Unique
from seatrial.seeds.values import looks_unique

_TRIES = 120
_EXCHANGES = 6
_TOLD_APART = frozenset({"text", "char", "date", "timestamp", "timestamptz"})


class Maker:
    """Rows of one table, one after the other. ``parents`` gives the rows that a reference can point to."""

    def __init__(
        self,
        shape: Shape,
        seed: int,
        rows: int,
        parents: Parents,
        *,
        fixed: Iterable[str] = (),
    ) -> None:
        self.shape, self.rows = shape, rows
        self._rng = random.Random(f"{seed}/{shape.table}")
        self._base = 1000 + zlib.crc32(str(shape.table).encode()) % 9973 * 1000
        left = set(fixed)
        self.columns = [c for c in shape.columns.values() if not c.by_engine and c.name not in left]
        self.checks = [c for _, c in shape.conditions]
        self.references = References(shape, parents, self._rng, left)
        self._uniques = [u for u in shape.uniques if u.columns and u.plain]
        self._used: list[set[tuple[str, ...]]] = [set() for _ in self._uniques]
        self._random = {c.name: random.Random(f"{seed}/{shape.table}/{c.name}") for c in self.columns}
        self._pools = {c.name: candidates(c, self.checks, self._random[c.name]) for c in self.columns}
        self._streams = self._make_streams()
        self._planned: list[Values] = []
        self._forgotten: set[tuple[str, str]] = set()
        self._soft = self._soft_uniques()
        self._held: list[set[tuple[object, ...]]] = [set() for _ in self._soft]

    def _soft_uniques(self) -> list[tuple[str, ...]]:
        """What is rarely held twice, declared or not: a pair of parents, and a value beside the same parent."""
        referring = sorted({c.name for c in self.columns} & self.references.by_column.keys())
        pairs = [tuple(referring)] if len(self.references.sets) > 1 else []
        single = [r.columns[0] for r in self.references.other if len(r.columns) == 1]
        told = [c.name for c in self.columns if c.family.name in _TOLD_APART and c.name not in referring]
        pairs += [(r, t) for r in single[:2] for t in told if len(self._pools[t]) > 2 and t not in self._streams]
        return pairs

    def _make_streams(self) -> dict[str, Stream]:
        """One column of each unique key makes it differ; so do columns whose names promise it."""
        drivers: dict[str, Column] = {}
        free = {c.name: c for c in self.columns if c.name not in self.references.by_column}
        for unique in sorted(self.shape.uniques, key=lambda u: len(u.columns)):
            able = [free[c] for c in unique.columns if c in free and c not in drivers]
            if able and not any(c in drivers for c in unique.columns):
                best = max(able, key=_telling)
                drivers[best.name] = best
        soft = [c for c in free.values() if c.family.name in ("text", "uuid", "integer") and looks_unique(c.name)]
        self._hurting = {c.name for c in soft if c.name not in drivers}
        drivers |= {c.name: c for c in soft if not is_listed(self._pools[c.name], c, self.checks)}
        alone = {n: [k for k in self.checks if k.columns == (n,)] for n in drivers}
        return {n: Stream(c, alone[n], self._base, self._random[n]) for n, c in drivers.items()}

    def avoid(self, rows: Collection[Values]) -> None:
        """Rows that stand in the table already."""
        for row in rows:
            self._note(row)
        self.reserve(rows)

    def reserve(self, rows: Iterable[Values]) -> None:
        """Values that new ones differ from."""
        for row in rows:
            for name, stream in self._streams.items():
                stream.used.add(repr(row.get(name)))

    def plan(self, columns: Sequence[str]) -> list[tuple[object, ...]]:
        """Keys of rows that are made later, for rows that refer to them now; empty where they hang on other tables."""
        if not set(columns) <= self._streams.keys():
            return []
        self._planned = self._planned or [{} for _ in range(self.rows)]
        for planned in self._planned:
            planned.update({c: self._streams[c].next() for c in columns if c not in planned})
        keys = (tuple(p[c] for c in columns) for p in self._planned)
        return [k for k in keys if None not in k]

    @property
    def has_plan(self) -> bool:
        return bool(self._planned)

    def row(self, i: int, given: Mapping[str, object] | None = None) -> Values | None:
        """Row number ``i``, noted as made; None where nothing fits. ``given`` stays as it is. Raises NoParentError."""
        return self.settle(self._first(i, given or {}), i)

    def settle(self, row: Values, i: int, kept: Collection[str] = ()) -> Values | None:
        """Change what stands in the way of known constraints until nothing does; ``kept`` columns stay."""
        for attempt in range(_TRIES):
            wrong = self._wrong(row, soft=attempt < 30)
            if wrong is None:
                self._note(row)
                return row
            free = [c for c in wrong if c in self._pools and c not in self.planned_at(i) and c not in kept]
            if not free:
                return None
            for name in free if attempt % 3 == 2 else [self._rng.choice(free)]:
                self.change(row, name, i)
        return None

    def cover(self, rows: list[tuple[int, Values]]) -> None:
        """Where constraints left a nullable column always or never NULL, change one row to have both."""
        for name in _uncovered(self, rows):
            wanted = None if rows[0][1].get(name) is not None else self._pools[name][:1]
            for place, (i, row) in reversed(list(enumerate(rows))[1:][-_EXCHANGES:]):
                if wanted == [] or name in self.planned_at(i) or self.references.by_column.get(name):
                    break
                if self._exchange(rows, place, i, {**row, name: wanted[0] if wanted else None}, name):
                    break

    def _exchange(self, rows: list[tuple[int, Values]], place: int, i: int, other: Values, name: str) -> bool:
        before, (_, row) = _uncovered(self, rows), rows[place]
        self.withdraw(row)
        made = self.settle(other, i, {name})
        rows[place] = (i, made or row)
        if made is not None and set(_uncovered(self, rows)) < set(before):
            return True
        if made is not None:
            self.withdraw(made)
        self._note(row)
        rows[place] = (i, row)
        return False

    def withdraw(self, row: Values) -> None:
        """The engine refused a row: it is no parent, and its keys are free."""
        self.references.withdraw(row)
        for columns, held in zip(self._soft, self._held, strict=True):
            held.discard(tuple(row.get(c) for c in columns))
        for unique, used in zip(self._uniques, self._used, strict=True):
            used.discard(_key(unique, row))

    def forget(self, name: str, value: object) -> None:
        """The engine refused a value."""
        self._pools[name] = [v for v in self._pools.get(name, ()) if repr(v) != repr(value)]
        self._forgotten.add((name, repr(value)))

    def mend(self, row: Values, i: int) -> Values:
        """The row without the values that the engine has refused since it was made."""
        bad = [c for c, v in row.items() if (c, repr(v)) in self._forgotten and c not in self.planned_at(i)]
        if not bad:
            return row
        self.withdraw(row)
        other = dict(row)
        for name in bad:
            self.change(other, name, i)
        return self.settle(other, i) or row

    def choices(self, name: str) -> bool:
        """Whether there is another value to try."""
        return bool(self._pools.get(name)) or name in self._streams or name in self.references.by_column

    def change(self, row: Values, name: str, i: int) -> None:
        """Another value for a column, and for those that refer to a parent together with it."""
        if self.may_be_null(self.shape.columns[name]) and self._rng.random() < 0.25:
            row[name] = None
        elif name in self.references.by_column:
            self.references.choose_again(row, name)
        elif name in self._streams and (value := self._streams[name].next()) is not None:
            row[name] = value
        elif self._pools[name]:
            row[name] = self._rng.choice(self._pools[name])
        else:
            row[name] = None

    def planned_at(self, i: int) -> Values:
        """What other tables' rows already rely on in row number ``i``."""
        return self._planned[i] if i < len(self._planned) else {}

    def _first(self, i: int, given: Mapping[str, object]) -> Values:
        row: Values = {**given, **self.planned_at(i)}
        self.references.choose(row, i)
        later = {c for r in self.references.own for c in r.columns}
        for column in self.columns:
            if column.name not in row and column.name not in later:
                row[column.name] = self._value(column, i)
        self.references.choose_own(row, i)
        for column in self.columns:
            if column.name not in row:
                row[column.name] = self._value(column, i)
        self._leave_null(row, i, first=2 if self.references.own else 1)
        return row

    def may_be_null(self, column: Column) -> bool:
        """Whether NULL is a value for a column; with MATCH FULL its partners decide too."""
        return column.nullable and column.name not in self.references.bound

    def _value(self, column: Column, i: int) -> object:
        values = self._pools[column.name]
        if column.name in self._streams and not (column.name in self._hurting and i < len(values)):
            value = self._streams[column.name].next()
            if value is not None:
                return value
        return values[i % len(values)] if values else None

    def _leave_null(self, row: Values, i: int, first: int) -> None:
        """Row 0 has every value; each nullable column is NULL in one certain row and a few others."""
        nullable = [c.name for c in self.columns if self.may_be_null(c) and c.name not in self.planned_at(i)]
        if i < first:
            return
        for place, name in enumerate(nullable):
            if (i - first) == place % max(1, self.rows - first) or self._random[name].random() < 0.12:
                row[name] = None
        for reference in self.references.whole:
            if any(row.get(c) is None for c in reference.columns):
                row.update(dict.fromkeys(reference.columns))

    # --- constraints ---

    def _wrong(self, row: Values, *, soft: bool) -> Sequence[str] | None:
        """The columns of a constraint that refuses the row."""
        for column in self.columns:
            if row.get(column.name) is None and not column.nullable:
                return [column.name]
        for check in self.checks:
            if check.refuses(self._view(row, check.columns)):
                return check.columns
        for reference in self.references.overlapping:
            if self.references.is_broken(reference, row):
                return reference.columns
        for unique, used in zip(self._uniques, self._used, strict=True):
            if _key(unique, row) in used and not self._is_exempt(unique, row):
                return unique.columns
        for columns, held in zip(self._soft, self._held, strict=True) if soft else ():
            values = tuple(row.get(c) for c in columns)
            if values in held and None not in values:
                return columns
        return None

    def _is_exempt(self, unique: Unique, row: Values) -> bool:
        if unique.nulls_differ and any(row.get(c) is None for c in unique.columns):
            return True
        condition = unique.predicate
        return condition is not None and condition.value(self._view(row, condition.columns)) in (False, None)

    def _view(self, row: Values, columns: Iterable[str]) -> Mapping[str, object]:
        known = self.shape.columns
        return {c: known[c].family.compare(row[c]) for c in columns if c in row}

    def _note(self, row: Values) -> None:
        self.references.note(row)
        for unique, used in zip(self._uniques, self._used, strict=True):
            if not self._is_exempt(unique, row):
                used.add(_key(unique, row))
        for columns, held in zip(self._soft, self._held, strict=True):
            held.add(tuple(row.get(c) for c in columns))


def _key(unique: Unique, row: Values) -> tuple[str, ...]:
    return tuple(str(row.get(c)) for c in unique.columns)


def _telling(column: Column) -> tuple[bool, int, bool]:
    """How well a column tells rows apart; a range first, for exclusion constraints."""
    return column.family.name.endswith("range"), column.family.distinct or 10**9, not column.nullable


def _uncovered(maker: Maker, rows: Sequence[tuple[int, Values]]) -> list[str]:
    """Nullable columns that are NULL in every row, or in none."""
    nullable = [c.name for c in maker.columns if maker.may_be_null(c)] if len(rows) > 1 else []
    return [n for n in nullable if len({r.get(n) is None for _, r in rows}) == 1]
