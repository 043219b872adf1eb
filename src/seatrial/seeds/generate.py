"""Rows made up for tables without any: valid for every constraint that the schema declares, and made to hurt."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field

from seatrial.config import Required
from seatrial.errors import DatabaseError
from seatrial.model import Database, Schema, TableRef
from seatrial.seeds.extra import Extra, deletions
from seatrial.seeds.insert import Amender, Inserter
from seatrial.seeds.references import NoParentError, Values
from seatrial.seeds.rows import Maker
from seatrial.seeds.shape import Reference, Shape, shapes
from seatrial.seeds.standing import Standing, qualified
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FillResult:
    """What was made. ``columns``: those that were given values in rows which stood already."""

    inserted: Mapping[TableRef, int] = field(default_factory=dict)
    columns: Mapping[TableRef, tuple[str, ...]] = field(default_factory=dict)
    null_only: Mapping[TableRef, tuple[str, ...]] = field(default_factory=dict)  # no value was found for them
    not_filled: Mapping[TableRef, str] = field(default_factory=dict)  # why, in the engine's words
    extra: Extra = field(default_factory=dict)  # beside the rows that stood already

    @property
    def is_any(self) -> bool:
        """Whether the database is another one for it."""
        return bool(self.columns) or any(self.inserted.values()) or any(self.extra.values())


def fill(
    database: Database, schema: Schema, *, tables: Sequence[TableRef] | None = None, rows: int, seed: int
) -> FillResult:
    """Insert ``rows`` rows into each of ``tables``, or into every table that has none.

    Fewer where unique keys allow no more. Tables with rows are respected: keys keep clear of theirs, references point
    to them. Raises DatabaseError where the database cannot be worked with at all.
    """
    known = shapes(schema, database.engine, database.relationships)
    return _Work(database, known, rows, seed).run([t for t in tables if t in known] if tables is not None else None, {})


def topup(
    database: Database, before: Schema, after: Schema, *, rows: int, seed: int, required: Sequence[Required] = ()
) -> FillResult:
    """After an up: fill the new tables that have no rows, and the new columns that are NULL in every row.

    No NULL is made in a column that is ``required``, whatever the schema allows.
    """
    standing = set(before.tables())
    new = [t for t in after.tables() if t not in standing]
    columns = {t: added for t in after.tables() if t in standing and (added := _added(before, after, t))}
    if not new and not columns:
        return FillResult()
    known = shapes(after, database.engine, database.relationships, required)
    work = _Work(database, known, rows, seed)
    with database.one_session():
        return work.run(work.empty(new), columns)


def undo(database: Database, made: FillResult, schema: Schema) -> None:
    """Take back what a top-up made: its tables had no rows, its columns were NULL in every row.

    ``schema`` is the one that stands: what a later down did not bring back is not there to be taken back.
    """
    if not made.is_any:
        return
    there = schema.tables()
    with database.filling() as session:
        for statement in deletions(database, made.extra, schema):
            session.execute(statement)
        for table, filled in made.columns.items():
            names = [c for c in filled if c in schema.columns(table)]
            if not names:
                continue
            clocks = [c for c, a in schema.columns(table).items() if a.get("on_update")]  # MySQL moves them by itself
            kept = [f"{database.quote(c)} = {database.quote(c)}" for c in clocks if c not in names]
            given = ", ".join([*(f"{database.quote(n)} = NULL" for n in names), *kept])
            session.execute(f"UPDATE {qualified(database, table)} SET {given}")
        for table, count in made.inserted.items():
            if count and table in there:
                session.execute(f"DELETE FROM {qualified(database, table)}")


def _added(before: Schema, after: Schema, table: TableRef) -> tuple[str, ...]:
    old = before.columns(table)
    return tuple(c for c, a in after.columns(table).items() if c not in old and a.get("nullable") is not False)


class _DanglingError(Exception):
    """A row refers to a planned key that was never inserted."""

    def __init__(self, tables: Sequence[TableRef]) -> None:
        self.tables = tables


class _Work:
    """One fill: what is known of the database's rows, and what was made so far."""

    def __init__(self, database: Database, known: Mapping[TableRef, Shape], rows: int, seed: int) -> None:
        self.database, self.known, self.rows, self.seed = database, known, rows, seed
        self.standing = Standing(database, known)
        self._unplanned: set[TableRef] = set()
        self._targets: frozenset[TableRef] = frozenset()
        self._new_columns: dict[TableRef, list[str]] = {}
        self._amendable: dict[TableRef, list[Values]] = {}
        self._occupied: dict[TableRef, list[Values]] = {}
        self._hopeless: dict[TableRef, str] = {}
        self._begin()

    def _begin(self) -> None:
        self._made: dict[TableRef, list[Values]] = {}
        self._makers: dict[TableRef, Maker] = {}
        self._cache: dict[tuple[TableRef, tuple[str, ...]], list[tuple[object, ...]]] = {}
        self._not_filled = dict(self._hopeless)
        self._amended: dict[TableRef, tuple[str, ...]] = {}

    def empty(self, tables: Collection[TableRef]) -> list[TableRef]:
        """The tables without rows, bookkeeping left out."""
        wanted = [t for t in tables if t in self.known and self._is_ours(t)]
        if not wanted:
            return []
        try:
            return self._without_rows(wanted)
        except DatabaseError:
            return [t for t in wanted if self._is_readable(t) and self._without_rows([t])]

    def _without_rows(self, tables: Sequence[TableRef]) -> list[TableRef]:
        counts = " UNION ALL ".join(
            f"SELECT {i}, EXISTS (SELECT 1 FROM {qualified(self.database, t)})" for i, t in enumerate(tables)
        )
        found = {
            int(row[0] or 0) for row in self.database.query(counts) if (row[1] or "").lower() in ("1", "t", "true")
        }
        return [t for i, t in enumerate(tables) if i not in found]

    def _is_readable(self, table: TableRef) -> bool:
        """A table that our session may not read (row-level security forced upon its owner) is not filled."""
        try:
            self.database.query(f"SELECT 1 FROM {qualified(self.database, table)} WHERE 1 = 0")
        except DatabaseError as error:
            self._hopeless[table] = self._not_filled[table] = str(error)
            return False
        return True

    def run(self, tables: Sequence[TableRef] | None, columns: Mapping[TableRef, Sequence[str]]) -> FillResult:
        targets = self.empty(list(self.known)) if tables is None else list(tables)
        targets = list(dict.fromkeys(leaf for t in targets for leaf in self._leaves(t) if self._is_ours(leaf)))
        self._targets = frozenset(targets)
        self._new_columns = {t: found for t, names in columns.items() if (found := self._all_null(t, names))}
        if not targets and not self._new_columns:
            return FillResult(not_filled=self._not_filled)
        self._read_standing(targets, self._new_columns)
        while True:
            try:
                with self.database.filling():
                    self._fill(targets)
                    for table, names in self._new_columns.items():
                        self._amend(table, names)
                break
            except _DanglingError as dangling:
                self._unplanned.update(dangling.tables)
                self._begin()
        self.database.advance_counters()
        return self._result()

    def _is_ours(self, table: TableRef) -> bool:
        if table.name in self.database.bookkeeping or self.known[table].through:
            return False
        if self.known[table].unfit:
            self._hopeless[table] = self._not_filled[table] = self.known[table].unfit
        return not self.known[table].unfit

    def _leaves(self, table: TableRef) -> list[TableRef]:
        """The partitions that store a table's rows."""
        holders = self.known[table].holders
        return [leaf for h in holders for leaf in self._leaves(h)] if holders else [table]

    def _all_null(self, table: TableRef, names: Sequence[str]) -> list[str]:
        """The columns that hold nothing in a table that holds rows."""
        shape = self.known[table]
        own = [n for n in names if not shape.columns[n].by_engine]
        if not own or table.name in self.database.bookkeeping or shape.holders or not self._is_readable(table):
            return []
        counts = ", ".join(f"count({self.database.quote(n)})" for n in own)
        total, *held = (
            int(n or 0)
            for n in self.database.query(f"SELECT count(*), {counts} FROM {qualified(self.database, table)}")[0]
        )
        found = [n for n, count in zip(own, held, strict=True) if total and not count]
        if found and not shape.key:
            self._hopeless[table] = f"{', '.join(found)}: the table has no key to find its rows by"
            self._not_filled[table] = self._hopeless[table]
            return []
        return found

    def _result(self) -> FillResult:
        null_only = {
            t: tuple(c.name for c in self._makers[t].columns if all(r.get(c.name, 0) is None for r in made))
            for t, made in self._made.items()
            if made
        }
        return FillResult(
            inserted={t: len(made) for t, made in self._made.items() if made},
            columns=self._amended,
            null_only={t: names for t, names in null_only.items() if names},
            not_filled=self._not_filled,
        )

    # --- what stands already ---

    def _read_standing(self, targets: Sequence[TableRef], columns: Mapping[TableRef, Sequence[str]]) -> None:
        """Parents that are not made in this fill; read before it begins, as it may run on a connection of its own."""
        empty = set(self.empty(targets)) if targets else set()
        wanted = [r for t in targets for r in self.known[t].references]
        wanted += [r for t, new in columns.items() for r in self.known[t].references if set(new) & set(r.columns)]
        for reference in wanted:
            parents = self._leaves(reference.table) if reference.table in self.known else []
            if reference.table in self.known and not set(parents) <= empty:
                self.standing.keys(reference.table, reference.referenced)
        self._occupied = {t: self.standing.rows(t, self._key_columns(t)) for t in targets if t not in empty}
        self._amendable = {t: self.standing.rows(t, self._given_columns(t), limit=self.rows) for t in columns}

    def _key_columns(self, table: TableRef) -> list[str]:
        """What new rows must keep clear of."""
        return list(dict.fromkeys(c for u in self.known[table].uniques for c in u.columns))

    def _given_columns(self, table: TableRef) -> list[str]:
        """What new columns must agree with."""
        new = self._new_columns[table]
        return [c for c in self.known[table].columns if c not in new]

    # --- filling ---

    def _fill(self, targets: Sequence[TableRef]) -> None:
        waiting = list(targets)
        while waiting:
            table = self._next(waiting)
            waiting.remove(table)
            self._fill_table(table)
        self._verify_plans()

    def _next(self, waiting: Sequence[TableRef]) -> TableRef:
        """A table whose parents are filled; else one that may leave its references NULL; else the first."""
        left = set(waiting)
        open_references = {t: [r for r in self.known[t].references if self._waits_for(r, t, left)] for t in waiting}
        for t in waiting:
            if not open_references[t]:
                return t
        loose = (t for t in waiting if all(self._is_loose(t, r) for r in open_references[t]))
        return next(loose, waiting[0])

    def _waits_for(self, reference: Reference, table: TableRef, left: Collection[TableRef]) -> bool:
        if reference.table == table or reference.table not in self.known:
            return False
        return bool(set(self._leaves(reference.table)) & set(left) - {table})

    def _is_loose(self, table: TableRef, reference: Reference) -> bool:
        return not reference.declared or any(self.known[table].columns[c].nullable for c in reference.columns)

    def _maker(self, table: TableRef) -> Maker:
        if table not in self._makers:
            self._makers[table] = Maker(self.known[table], self.seed, self.rows, self._parents)
            self._makers[table].avoid(self._occupied.get(table, ()))
        return self._makers[table]

    def _fill_table(self, table: TableRef) -> None:
        self._cache.clear()
        maker = self._maker(table)
        inserter = Inserter(self.database, maker)
        try:
            made = [(i, row) for i in range(self.rows) if (row := maker.row(i)) is not None]
        except NoParentError as error:
            self._not_filled[table] = str(error)
            return
        maker.cover(made)
        inserter.insert(made)
        self._made[table] = inserter.accepted
        if not inserter.accepted:
            self._not_filled[table] = inserter.reason or "no row satisfies its keys and checks together"

    def _parents(self, reference: Reference) -> Sequence[tuple[object, ...]]:
        key = (reference.table, reference.referenced)
        if key not in self._cache:
            if reference.table not in self.known:
                return []
            leaves = self._leaves(reference.table)
            found = [*self.standing.known_keys(*key)]
            for leaf in leaves:
                if leaf in self._made:
                    found += [
                        v for r in self._made[leaf] if None not in (v := tuple(r.get(c) for c in reference.referenced))
                    ]
                elif leaf not in self._not_filled:
                    found += self._plan(leaf, reference.referenced)
            self._cache[key] = found
        return self._cache[key]

    def _plan(self, table: TableRef, columns: tuple[str, ...]) -> list[tuple[object, ...]]:
        """Keys that a table of this fill will have: how cycles of references are closed."""
        if table in self._unplanned or table not in self._targets:
            return []
        return self._maker(table).plan(columns)

    def _verify_plans(self) -> None:
        """Raises _DanglingError where a row refers to a planned row that the engine did not take after all."""
        self._cache.clear()
        for table, rows in self._made.items():
            for reference in self.known[table].references:
                leaves = self._leaves(reference.table) if reference.table in self.known else []
                planned = [leaf for leaf in leaves if leaf in self._makers and self._makers[leaf].has_plan]
                if planned and not _all_present(rows, reference, set(self._parents(reference))):
                    raise _DanglingError(planned)

    # --- columns that came to tables with rows ---

    def _amend(self, table: TableRef, names: Sequence[str]) -> None:
        shape = self.known[table]
        found = [n for n in names if not shape.columns[n].by_engine]
        standing = self._amendable[table]
        if not found or not standing:
            return
        fixed = [c for c in shape.columns if c not in found]
        maker = Maker(shape, self.seed, len(standing), self._parents, fixed=fixed)
        amender = Amender(self.database, maker, found)
        amender.amend(standing)
        if amender.filled:
            self._amended[table] = amender.filled
        if missing := [n for n in found if n not in amender.filled]:
            self._not_filled[table] = f"{', '.join(missing)}: {amender.reason or 'no value fits'}"


def _all_present(rows: Sequence[Values], reference: Reference, parents: Collection[tuple[object, ...]]) -> bool:
    keys = (tuple(r.get(c) for c in reference.columns) for r in rows)
    return all(k in parents or None in k for k in keys)
