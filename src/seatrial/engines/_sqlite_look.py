"""A look at a SQLite database: what it holds at a moment, carried over from an earlier one where nothing changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import field, replace
from functools import cached_property
from itertools import starmap
from operator import eq
from pathlib import Path
from urllib.parse import quote as percent

from seatrial.engines._sqlite_catalog import Catalog, Table
from seatrial.engines._sqlite_checksum import BLOCK, Total, added, checksum, few_blocks, hexed, plus, prepare, sums
from seatrial.engines._sqlite_delta import Delta, compare, is_close, needed
from seatrial.engines._sqlite_integrity import Asked, Question, ask, broken_indexes, counters, nullless
from seatrial.engines._sqlite_mirror import State
from seatrial.engines._sqlite_rows import Comparison
from seatrial.model import (
    OFFENDING_KEPT,
    Counter,
    Integrity,
    ObjectKey,
    Schema,
    Snapshot,
    TableDiff,
    TablePair,
    TableRef,
    TableState,
)
from seatrial.values import dataclass

MOST_NEAR = 50_000  # rows, and leaves, up to which looking at those alone is cheaper than reading the table
FEW = 20_000  # entries of a table's indexes that are checked whenever a row changed
MOST = 2_000_000  # entries that are checked at all: some 1.5 s
TWIN = 256  # pages, up to which a moment of the same catalog is looked at beside the newest one
MOST_BLOCKS = 64  # of rowids, up to which a table's sum is kept in its parts: the old rows need not be read again then
INDEX = "invalid-index"
SMALL = 1 << 20  # bytes of a file that is read as fast without
MAPPED = f"PRAGMA mmap_size = {1 << 31}"  # nobody writes while we read, and reading is a tenth faster


@dataclass(frozen=True, slots=True)
class Moment:
    """A state of the database with what was found in it."""

    state: State
    catalog: Catalog
    totals: Mapping[str, Total]  # of tables, for checksums that only add what changed
    indexes: Indexes
    asked: Asked
    snapshot: Snapshot
    blocks: Mapping[str, Mapping[int, Total]] = field(default_factory=dict)  # the same, block by block, of small tables

    @property
    def answers(self) -> Iterator[Integrity]:
        """To the questions, in their order."""
        return (i for i in self.snapshot.integrity if i.rule != INDEX)

    def again(self, name: str, state: State) -> Moment:
        """What was found, where the file is as it was, byte for byte; answers for another schema are left out."""
        state.inherit(self.state, {*self.state.trees, *self.state.sizes, *self.state.owners})
        integrity = (i for i in self.answers if not i.declared_before)
        return replace(self, state=state, snapshot=replace(self.snapshot, moment=name, integrity=tuple(integrity)))


@dataclass(frozen=True, slots=True)
class Indexes:
    """Those that do not fit the rows of their tables, and those of which that is not known."""

    broken: frozenset[ObjectKey] = frozenset()
    unchecked: frozenset[ObjectKey] = frozenset()

    def __add__(self, other: Indexes) -> Indexes:
        return Indexes(self.broken | other.broken, self.unchecked | other.unchecked)

    def of(self, keys: frozenset[ObjectKey]) -> Indexes:
        return Indexes(self.broken & keys, self.unchecked & keys)


class Base:
    """An earlier moment, from which what is ``untouched`` since is carried over: tables."""

    def __init__(self, moment: Moment, delta: Delta, state: State, catalog: Catalog) -> None:
        self.moment, self.delta, self.catalog = moment, delta, catalog
        self.changed = delta.changed(self.roots)  # of b-trees
        self.untouched = frozenset(self._untouched())
        state.inherit(moment.state, frozenset(self.roots) - self.changed)

    @cached_property
    def answers(self) -> Mapping[tuple[str, str], Integrity]:
        return {(k.object, k.sql): k for k in self.moment.snapshot.integrity}

    @cached_property
    def counters(self) -> Mapping[str, Counter]:
        return {c.table.name: c for c in self.moment.snapshot.counters}

    @cached_property
    def states(self) -> Mapping[str, TableState]:
        return {t.table.name: t for t in self.moment.snapshot.tables}

    @cached_property
    def roots(self) -> tuple[int, ...]:
        before = self.moment.catalog
        return *before.roots.values(), *before.other_roots

    def _untouched(self) -> Iterator[str]:
        """Tables whose every page is the same, under the same definition and root page."""
        before = self.moment.catalog
        for name, table in self.catalog.tables.items():
            old, root = before.tables.get(name), before.roots.get(name)
            same = old is not None and (old.sql, root) == (table.sql, self.catalog.roots.get(name))
            if same and (self._is_stored_alike(table) if table.virtual else root not in self.changed):
                yield name

    def _is_stored_alike(self, table: Table) -> bool:
        """Whether what a virtual table keeps is where, and what, it was."""
        before, now = self.moment.catalog.parts.get(table.name), self.catalog.parts.get(table.name, ())
        return table.readable and before == now and self.changed.isdisjoint(now)

    def holds(self, table: Table, total: Total) -> bool:
        """Whether it has these very rows, wherever they are stored by now."""
        known = self.moment.totals.get(table.name) == total and not table.virtual
        return known and self.moment.catalog.tables[table.name] == table

    def is_all(self, catalog: Catalog) -> bool:
        """Whether every table is as it was, and everything declared as it was."""
        return self.moment.catalog is catalog and len(self.untouched) == len(catalog.tables)

    def near(self, table: Table) -> set[int] | None:
        """The blocks of rowids in which rows may have changed; None where the table has to be read as a whole."""
        before = self.moment.catalog
        old = before.tables.get(table.name)
        if old is None or old.sql != table.sql or table.rowid is None:
            return None
        near = self.delta.rowids(before.roots[table.name], self.catalog.roots[table.name], self.roots, MOST_NEAR)
        return {rowid // BLOCK for side in near for rowid in side} if near is not None else None

    def declares(self, table: Table) -> bool:
        """Whether the table and its indexes are declared, and stored at the same places, as they were."""
        before, now = self.moment.catalog, self.catalog
        same = before.tables.get(table.name) == table
        return same and before.parts.get(table.name) == now.parts.get(table.name)

    def is_quiet(self, table: Table) -> bool:
        """Whether no page of the table or of its indexes changed."""
        return self.changed.isdisjoint(self.catalog.parts.get(table.name, ())) and self.declares(table)


def bases(earlier: Iterable[Moment], state: State, catalog: Catalog) -> list[Base]:
    """What can be built upon: the newest moment, and first one of the same catalog, as before up and after down."""
    newest, *older = earlier
    found = [newest]
    if newest.catalog is not catalog:
        twin = next((m for m in older if m.catalog is catalog and is_close(m.state, state, TWIN)), None)
        found[:0] = [twin] if twin is not None else []
    deltas = ((moment, compare(moment.state, state)) for moment in found)
    return [Base(moment, delta, state, catalog) for moment, delta in deltas if delta is not None]


class Look:
    """One look at the database as it stands, with what ``bases`` know of it."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        state: State,
        catalog: Catalog,
        asked: Asked,
        limit: int,
        bases: Sequence[Base],
    ) -> None:
        self.connection, self.state, self.catalog, self.limit = connection, state, catalog, limit
        self.asked, self.bases = asked, bases
        self._carried = {t: b for b in reversed(bases) for t in b.untouched}  # where a table is as it was
        self.blocks: dict[str, Mapping[int, Total]] = {}
        self.totals = {t.name: self._total(t) for t in catalog.tables.values() if t.readable}
        for base in bases:
            base.untouched |= {n for n, total in self.totals.items() if base.holds(catalog.tables[n], total)}
        self._carried = {t: b for b in reversed(bases) for t in b.untouched}
        self.indexes = self._indexes()

    def moment(self, name: str) -> Moment:
        return Moment(
            self.state, self.catalog, self.totals, self.indexes, self.asked, self._snapshot(name), self.blocks
        )

    def _base(self, table: str) -> Base | None:
        """Where a table is as it was."""
        return self._carried.get(table)

    def _total(self, table: Table) -> Total:
        if (base := self._base(table.name)) is not None:
            if (blocks := base.moment.blocks.get(table.name)) is not None:
                self.blocks[table.name] = blocks
            return base.moment.totals[table.name]
        prepare(self.connection)
        for base in self.bases:
            known = base.moment.totals.get(table.name)
            if known is not None and (near := base.near(table)) is not None:
                return self._moved(table, known, near, base.moment)
        if (found := few_blocks(self.connection, table, MOST_BLOCKS)) is None:
            return checksum(self.connection, table)
        self.blocks[table.name] = all_of = sums(self.connection, table, found)
        return added(all_of.values())

    def _moved(self, table: Table, known: Total, blocks: set[int], before: Moment) -> Total:
        """A known sum without what some blocks held, and with what they hold now."""
        held = before.blocks.get(table.name)
        if held is not None and len(held.keys() | blocks) <= MOST_BLOCKS:
            self.blocks[table.name] = now = {**held, **sums(self.connection, table, blocks)}
            return added(now.values())
        with _file(before, table.name) as path, closing(reading(path)) as earlier:
            prepare(earlier)
            gone = checksum(earlier, table, sorted(blocks))
        return plus(plus(known, gone, -1), checksum(self.connection, table, sorted(blocks)))

    def _snapshot(self, moment: str) -> Snapshot:
        twin = next((b.moment for b in self.bases if b.is_all(self.catalog)), None)
        answers = twin.answers if twin is not None and twin.asked is self.asked else self._integrity()
        return Snapshot(
            moment=moment,
            schema=self._schema(),
            tables=twin.snapshot.tables if twin is not None else tuple(self._states()),
            counters=counters(self.connection, self.catalog, self._known_counters()),
            integrity=(*answers, *self._unchecked()),
            size_bytes=self.state.size,
            folds_names=True,
        )

    def _states(self) -> Iterator[TableState]:
        return (self._state(t) for t in sorted(self.catalog.tables.values(), key=lambda t: t.name))

    def _known_counters(self) -> dict[str, Counter]:
        """Of untouched tables, where nothing but the rows decides."""
        found = ((t, base.counters.get(t)) for t, base in self._carried.items())
        return {t: c for t, c in found if c is not None and c.mechanism == "rowid"}

    def _state(self, table: Table) -> TableState:
        base = self._base(table.name)
        known = base.states.get(table.name) if base is not None else None
        if known is not None and known.key == table.key:
            return known
        ref = TableRef("", table.name)
        if not table.readable:
            module = self.catalog.schema[ObjectKey("table", "", "", table.name)].get("virtual")
            why = f"a virtual table ({module}) keeps its rows where only its module knows"
            return TableState(table=ref, rows=0, checksum="", compared=False, why_not=why)
        total = self.totals[table.name]
        return TableState(table=ref, rows=total[0], checksum=hexed(total), key=table.key)

    def _integrity(self) -> Iterator[Integrity]:
        questions = self.asked.questions
        empty = {t: nullless(self.connection, questions, t) for t in self.catalog.tables if self._base(t) is None}
        for question in questions:
            fact = question.integrity
            old = self._answer(question)
            if fact.rule == "nulls-in-required" and fact.columns[0] in empty.get(fact.table.name, ()):
                yield fact
            elif old is None:
                yield ask(self.connection, question, max(self.limit, OFFENDING_KEPT))
            elif old.declared_before == fact.declared_before:
                yield old
            else:
                yield replace(old, declared_before=fact.declared_before)

    def _answer(self, question: Question) -> Integrity | None:
        place = question.integrity.object, question.integrity.sql
        for base in self.bases:
            if question.reads_only(base.untouched) and (answer := base.answers.get(place)) is not None:
                return answer
        return None

    def _schema(self) -> Schema:
        """The schema, with ``valid`` False where an index does not fit its table's rows."""
        broken = {key: {**self.catalog.schema[key], "valid": False} for key in self.indexes.broken}
        return Schema({**self.catalog.schema, **broken}) if broken else self.catalog.schema

    def _indexes(self) -> Indexes:
        """What is known of all indexes: as at the earlier moment, or checked now.

        SQLite keeps an index with every row, as long as the texts of both stay what they were (only a script that
        writes sqlite_schema itself could part them). So in large tables that is what is looked at.
        """
        found = Indexes()
        for table in self.catalog.tables.values():
            if not table.indexes:
                continue
            keys = frozenset(ObjectKey("index", "", table.name, i.name) for i in table.indexes)
            entries = self.totals[table.name][0] * len(keys)
            if (known := self._known_indexes(table, keys, entries)) is not None:
                found += known
            elif entries <= MOST:
                found += Indexes(broken=broken_indexes(self.connection, table))
            else:
                found += Indexes(unchecked=keys)
        return found

    def _known_indexes(self, table: Table, keys: frozenset[ObjectKey], entries: int) -> Indexes | None:
        for base in self.bases:
            known = base.moment.indexes.of(keys)
            if base.is_quiet(table) or (entries > FEW and known == Indexes() and base.declares(table)):
                return known
        return None

    def _unchecked(self) -> Iterator[Integrity]:
        """Indexes of tables that changed, which would have taken too long to check."""
        for key in sorted(self.indexes.unchecked):
            table = self.catalog.tables[key.table]
            if not self.bases or not self.bases[-1].is_quiet(table):
                why = f"{self.totals[key.table][0]:,} rows: comparing the index with each of them would take too long"
                yield Integrity(
                    rule=INDEX,
                    object=key.label,
                    table=TableRef("", key.table),
                    columns=(),
                    observed=False,
                    why_not=why,
                )


# --- two moments ------------------------------------------------------------------------------------------------------


def differences(before: Moment, after: Moment, pairs: Sequence[TablePair], limit: int) -> tuple[TableDiff, ...]:
    """How the rows of pairs differ; pairs without a difference are left out."""
    delta = compare(before.state, after.state)
    with both(before, after, pairs) as connection:
        found = [_compare(connection, before, after, delta, pair, limit) for pair in pairs]
    return tuple(d for d in found if d)


def _compare(
    connection: sqlite3.Connection, before: Moment, after: Moment, delta: Delta | None, pair: TablePair, limit: int
) -> TableDiff:
    old = before.catalog.table(pair.old.name)
    new = after.catalog.table(pair.new.name) if pair.new is not None else None
    near = None
    if old is not None and new is not None and delta is not None and _stored_alike(old, new, pair):
        roots = (*before.catalog.roots.values(), *before.catalog.other_roots)
        near = delta.rowids(before.catalog.roots[old.name], after.catalog.roots[new.name], roots, MOST_NEAR)
    return Comparison(connection, pair, old, new, limit, near).run()


def is_same(before: Moment, after: Moment, pair: TablePair) -> bool:
    """Whether checksums say that no row differs: all columns are compared, each with its namesake."""
    old = before.catalog.tables.get(pair.old.name)
    new = after.catalog.tables.get(pair.new.name) if pair.new is not None else None
    if old is None or new is None or before.totals.get(old.name) != after.totals.get(new.name):
        return False
    same_names = all(starmap(eq, pair.columns))
    return same_names and (old is new or {c.name for c in old.columns} == {c.name for c in new.columns})


def _stored_alike(old: Table, new: Table, pair: TablePair) -> bool:
    """Whether equal leaves hold equal values for all pairs: same place, affinity, and default (of short rows)."""
    if old.rowid is None or new.rowid is None:
        return False
    for name, target in pair.columns:
        one, other = old.column(name), new.column(target) if target is not None else None
        if one is None or other is None or one.place < 0:
            return False
        same = (one.place, one.affinity, one.default, old.alias == one.name)
        if same != (other.place, other.affinity, other.default, new.alias == other.name):
            return False
    return True


def _uri(path: Path) -> str:
    """A file that nobody writes to: no locks, no journal, and no write-ahead log beside it."""
    return f"file:{percent(str(path))}?mode=ro&immutable=1"


def reading(path: Path) -> sqlite3.Connection:
    """A connection to a file that nobody writes to."""
    connection = sqlite3.connect(_uri(path), uri=True, isolation_level=None)
    if path.stat().st_size > SMALL:
        connection.execute(MAPPED)
    return connection


@contextmanager
def opened(state: State) -> Iterator[sqlite3.Connection]:
    """The database as it was in a state."""
    with state.mirror.file(state) as path, closing(reading(path)) as connection:
        yield connection


@contextmanager
def both(old: Moment, new: Moment, pairs: Sequence[TablePair]) -> Iterator[sqlite3.Connection]:
    """The tables of pairs at two moments, in the databases ``old`` and ``new`` of one connection."""
    mine, theirs = ({p.old.name for p in pairs}, {p.new.name for p in pairs if p.new is not None})
    with (
        _file(old, *mine) as one,
        _file(new, *theirs) as other,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as connection,
    ):
        connection.execute(MAPPED)
        for name, path in (("old", one), ("new", other)):
            connection.execute(f"ATTACH ? AS {name}", (_uri(path),))
        yield connection


def _file(moment: Moment, *names: str) -> AbstractContextManager[Path]:
    """A file in which these tables can be read as they were."""
    state, catalog = moment.state, moment.catalog
    tables = [t.name for n in names if (t := catalog.table(n)) is not None]
    roots = [root for name in ("", *tables) for root in catalog.parts.get(name, ())]
    return state.mirror.file(state, needed(state, roots) if state.layout is not None else None)
