"""SQLite: one file a database; moments and checkpoints are copies of it, compared page by page, then row by row."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote as percent

from seatrial.engines._sqlite_casts import cast_back
from seatrial.engines._sqlite_catalog import Catalog, CatalogReader, Table
from seatrial.engines._sqlite_integrity import Asker, ask, counters, nullless
from seatrial.engines._sqlite_pages import Delta, PageFile, compare
from seatrial.engines._sqlite_rows import BLOCK, Comparison, Total, as_texts, checksum, exactly, hexed, plus, prepare
from seatrial.engines._sqlite_run import connect, database_error, execute, load, run
from seatrial.engines._sqlite_text import quoted
from seatrial.errors import DatabaseError
from seatrial.model import (
    CastBack,
    Integrity,
    ObjectKey,
    Relationship,
    Schema,
    Script,
    Snapshot,
    Step,
    StepError,
    TableDiff,
    TablePair,
    TableRef,
    TableState,
)

MOST_NEAR = 50_000  # rows, and leaves, up to which looking at those alone is cheaper than reading the table
CHECKED_ROWS = 5_000  # tables up to this size have their indexes checked against their rows
MAPPED = f"PRAGMA mmap_size = {1 << 31}"  # a copy never changes under its reader, and reading is a tenth faster
_BESIDE = ("-wal", "-shm", "-journal")


@dataclass
class Moment:
    """A copy of the database with what was found in it."""

    file: PageFile
    catalog: Catalog
    totals: Mapping[str, Total]  # of tables, for checksums that only add what changed


@dataclass
class SqliteDatabase:
    """One database file in a folder of its own, which also takes its copies. Implements ``model.Database``."""

    path: Path
    bookkeeping: frozenset[str] = frozenset()
    limit: int = 1000
    relationships: tuple[Relationship, ...] = ()
    trust: bool = False  # whether scripts may reach other files
    engine: str = "sqlite"
    version: str = sqlite3.sqlite_version

    def __post_init__(self) -> None:
        self.path = self.path.absolute()
        self.path.touch(mode=0o600)
        self.url = f"sqlite:///{self.path}"
        self._moments: dict[str, Moment] = {}
        self._reader = CatalogReader()
        self.asker = Asker()
        self._numbers = itertools.count(1)
        self._filling: sqlite3.Connection | None = None

    # --- statements ---

    def execute(self, *statements: str) -> None:
        """Run statements of ours, each in autocommit. Raises DatabaseError."""
        with self._session() as connection:
            execute(connection, statements)

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """Rows of one query as text. Raises DatabaseError."""
        with self._session() as connection:
            try:
                return [as_texts(row) for row in exactly(connection, lambda: connection.execute(sql).fetchall())]
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise database_error(error, sql) from error

    @contextmanager
    def _session(self) -> Iterator[sqlite3.Connection]:
        """The connection of ``filling`` while that is open, else one of its own."""
        if self._filling is not None:
            yield self._filling
            return
        with closing(connect(self.path)) as connection:
            yield connection

    def run(self, script: Script) -> Step:
        """Run a script on a fresh connection, as a migration tool would, and observe it."""
        return run(self.path, script, trust=self.trust)

    def load(self, text: str) -> StepError | None:
        """Run a seed script; its own BEGIN and COMMIT are followed."""
        return load(self.path, text, trust=self.trust)

    def quote(self, name: str) -> str:
        """An identifier by SQLite's rule."""
        return quoted(name)

    # --- filling ---

    @contextmanager
    def filling(self) -> Iterator[sqlite3.Connection]:
        """One transaction without triggers and foreign keys; ``execute`` and ``query`` use its connection meanwhile.

        SQLite has no switch for triggers that Python 3.11 could reach: they are dropped, and made again at the end.
        """
        with closing(connect(self.path)) as connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute("BEGIN IMMEDIATE")
            self._filling = connection
            try:
                triggers = _drop_triggers(connection)
                yield connection
                execute(connection, triggers)
                connection.execute("COMMIT")
            finally:
                self._filling = None
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def fill(self, table: TableRef, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Inside ``filling()``: insert rows, all or none. Raises DatabaseError."""
        if columns:
            names, marks = ", ".join(map(quoted, columns)), ", ".join("?" * len(columns))
            self._write(f"INSERT INTO main.{quoted(table.name)} ({names}) VALUES ({marks})", rows)
        else:
            self._write(f"INSERT INTO main.{quoted(table.name)} DEFAULT VALUES", rows)

    def amend(
        self, table: TableRef, key: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """Inside ``filling()``: set ``columns`` where ``key`` equals. All or none. Raises DatabaseError."""
        sets = ", ".join(f"{quoted(c)} = ?" for c in columns)
        where = " AND ".join(f"{quoted(k)} IS ?" for k in key)
        width = len(key)
        self._write(
            f"UPDATE main.{quoted(table.name)} SET {sets} WHERE {where}",
            [(*row[width:], *row[:width]) for row in rows],
        )

    def _write(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        connection = self._filling
        assert connection is not None, "only inside filling()"
        connection.execute("SAVEPOINT seatrial_fill")
        try:
            connection.executemany(sql, rows)
        except (sqlite3.Error, sqlite3.Warning) as error:
            connection.execute("ROLLBACK TO seatrial_fill")
            raise database_error(error, sql) from error
        finally:
            if connection.in_transaction:
                connection.execute("RELEASE seatrial_fill")

    def advance_counters(self) -> None:
        """Nothing to do: SQLite moves sqlite_sequence past explicit ids by itself (autoinc.html)."""

    # --- moments ---

    def inspect(self) -> Schema:
        """The schema as it is now."""
        self._settle()
        with closing(connect(self.path)) as connection:
            return self._reader.read(connection, self.bookkeeping).schema

    def take(self, moment: str, *, since: Snapshot | None = None, also: Schema | None = None) -> Snapshot:
        """Copy the file and look at what changed in it."""
        self._settle()
        self.release(moment)
        file = PageFile(self.path.with_name(f"moment-{next(self._numbers)}.sqlite3"))
        shutil.copyfile(self.path, file.path)
        earlier = self._moments.get(since.moment) if since is not None else None
        with closing(_reading(file.path)) as connection:
            look = _Look(self, connection, file, self._reader.read(connection, self.bookkeeping), earlier, since)
            self._moments[moment] = Moment(file, look.catalog, look.totals)
            return look.snapshot(moment, also)

    def release(self, moment: str) -> None:
        """Forget a moment's rows."""
        kept = self._moments.pop(moment, None)
        if kept is not None:
            kept.file.path.unlink(missing_ok=True)

    def _settle(self) -> None:
        """Bring into the file what stands beside it: a write-ahead log, or a journal that a killed program left."""
        if any(Path(f"{self.path}{suffix}").exists() for suffix in _BESIDE):
            with closing(connect(self.path)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    # --- differences ---

    def diff(self, old: Snapshot, new: Snapshot, pairs: Sequence[TablePair]) -> tuple[TableDiff, ...]:
        """Compare the rows of two moments, exactly; pairs without a difference are left out."""
        before, after = self._moment(old), self._moment(new)
        asked = [p for p in pairs if not _is_same(before, after, p)]
        if not asked:
            return ()
        delta = compare(before.file, after.file)
        with closing(_both(before.file, after.file)) as connection:
            found = [self._compare(connection, before, after, delta, pair) for pair in asked]
        return tuple(d for d in found if d)

    def _moment(self, snapshot: Snapshot) -> Moment:
        try:
            return self._moments[snapshot.moment]
        except KeyError:
            raise DatabaseError(f"the rows of moment {snapshot.moment} were released; take it again") from None

    def _compare(
        self, connection: sqlite3.Connection, before: Moment, after: Moment, delta: Delta | None, pair: TablePair
    ) -> TableDiff:
        old = before.catalog.table(pair.old.name)
        new = after.catalog.table(pair.new.name) if pair.new is not None else None
        near = None
        if old is not None and new is not None and delta is not None and _stored_alike(old, new, pair):
            roots = (*before.catalog.roots.values(), *before.catalog.other_roots)
            near = delta.rowids(before.catalog.roots[old.name], after.catalog.roots[new.name], roots, MOST_NEAR)
        return Comparison(connection, pair, old, new, self.limit, near).run()

    def cast_backs(
        self, old: Snapshot, new: Snapshot, pair: TablePair, columns: Sequence[tuple[str, str]], zones: Sequence[str]
    ) -> tuple[CastBack, ...]:
        """Values of converted columns that do not cast back to what they were. SQLite knows no zones."""
        before, after = self._moment(old), self._moment(new)
        was = before.catalog.table(pair.old.name)
        now = after.catalog.table(pair.new.name) if pair.new is not None else None
        if was is None or now is None:
            return ()
        with closing(_both(before.file, after.file)) as connection:
            found = [cast_back(connection, pair, was, now, column, self.limit) for column in columns]
        return tuple(c for c in found if c is not None)

    # --- going back ---

    def checkpoint(self) -> str:
        """A copy of the file to go back to."""
        self._settle()
        name = f"checkpoint-{next(self._numbers)}.sqlite3"
        shutil.copyfile(self.path, self.path.with_name(name))
        return name

    def restore(self, checkpoint: str) -> None:
        """Put a checkpoint's copy in the file's place; a program that still holds the old one cannot spoil it."""
        fresh = self.path.with_name(f"restore-{next(self._numbers)}.sqlite3")
        shutil.copyfile(self.path.with_name(checkpoint), fresh)
        for suffix in _BESIDE:
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        fresh.replace(self.path)

    def discard(self, checkpoint: str) -> None:
        """Remove a checkpoint."""
        self.path.with_name(checkpoint).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the file and all its copies."""
        self._moments.clear()
        shutil.rmtree(self.path.parent, ignore_errors=True)


class _Look:
    """One look at a copy: what it holds, carried over from an earlier snapshot where nothing changed."""

    def __init__(
        self,
        database: SqliteDatabase,
        connection: sqlite3.Connection,
        file: PageFile,
        catalog: Catalog,
        earlier: Moment | None,
        since: Snapshot | None,
    ) -> None:
        self.connection, self.file, self.catalog, self.limit = connection, file, catalog, database.limit
        self.asker, self.relationships = database.asker, database.relationships
        self.earlier, self.since = earlier, since
        self.delta = compare(earlier.file, file) if earlier is not None else None
        self.untouched = frozenset(self._untouched())
        self.totals = {t.name: self._total(t) for t in catalog.tables.values() if not t.virtual}

    def _untouched(self) -> Iterator[str]:
        """Tables whose every page is the same, under the same definition and root page."""
        if self.earlier is None or self.delta is None:
            return
        before = self.earlier.catalog
        touched = self.delta.touched(before.roots, before.other_roots)
        for name, table in self.catalog.tables.items():
            old = before.tables.get(name)
            same = old is not None and (old.sql, before.roots.get(name)) == (table.sql, self.catalog.roots.get(name))
            if same and not table.virtual and name not in touched:
                yield name
        self.file.inherit(self.earlier.file, (before.roots[n] for n in before.roots if n not in touched))

    def _total(self, table: Table) -> Total:
        known = self.earlier.totals.get(table.name) if self.earlier is not None else None
        if known is not None and table.name in self.untouched:
            return known
        if known is not None and (near := self._near(table)) is not None:
            return self._moved(table, known, near)
        prepare(self.connection)
        return checksum(self.connection, table)

    def _near(self, table: Table) -> set[int] | None:
        """The blocks of rowids in which rows may have changed; None where the table has to be read as a whole."""
        assert self.earlier is not None
        before = self.earlier.catalog
        old = before.tables.get(table.name)
        if self.delta is None or old is None or old.sql != table.sql or table.rowid is None:
            return None
        roots = (*before.roots.values(), *before.other_roots)
        near = self.delta.rowids(before.roots[table.name], self.catalog.roots[table.name], roots, MOST_NEAR)
        return {rowid // BLOCK for side in near for rowid in side} if near is not None else None

    def _moved(self, table: Table, known: Total, blocks: set[int]) -> Total:
        """A known sum without what some blocks held, and with what they hold now."""
        assert self.earlier is not None
        prepare(self.connection)
        with closing(_reading(self.earlier.file.path)) as earlier:
            prepare(earlier)
            gone = checksum(earlier, table, sorted(blocks))
        return plus(plus(known, gone, -1), checksum(self.connection, table, sorted(blocks)))

    def snapshot(self, moment: str, also: Schema | None) -> Snapshot:
        return Snapshot(
            moment=moment,
            schema=self._checked_indexes(),
            tables=tuple(self._state(t) for t in sorted(self.catalog.tables.values(), key=lambda t: t.name)),
            counters=counters(self.connection, self.catalog),
            integrity=tuple(self._integrity(also)),
            size_bytes=self.file.size,
        )

    def _state(self, table: Table) -> TableState:
        ref = TableRef("", table.name)
        if table.virtual:
            module = self.catalog.schema[ObjectKey("table", "", "", table.name)].get("virtual")
            why = f"a virtual table ({module}) keeps its rows where only its module knows"
            return TableState(table=ref, rows=0, checksum="", compared=False, why_not=why)
        total = self.totals[table.name]
        return TableState(table=ref, rows=total[0], checksum=hexed(total), key=table.key)

    def _integrity(self, also: Schema | None) -> Iterator[Integrity]:
        known = {(k.object, k.sql): k for k in self.since.integrity} if self.since is not None else {}
        asked = self.asker.questions(self.catalog, also, self.relationships)
        empty = {t: nullless(self.connection, asked, t) for t in self.catalog.tables if t not in self.untouched}
        for question in asked:
            fact = question.integrity
            old = known.get((fact.object, fact.sql)) if question.reads <= self.untouched else None
            if fact.rule == "nulls-in-required" and fact.columns[0] in empty.get(fact.table.name, ()):
                yield fact
            elif old is None:
                yield ask(self.connection, question, self.limit)
            elif old.declared_before == fact.declared_before:
                yield old
            else:
                yield replace(old, declared_before=fact.declared_before)

    def _checked_indexes(self) -> Schema:
        """The schema, with ``valid`` False where a touched table's index does not fit its rows.

        Large tables are left out: the check costs a search in every index for every row.
        """
        broken: dict[ObjectKey, dict[str, object]] = {}
        for name in self.totals.keys() - self.untouched:
            table = self.catalog.tables[name]
            if not table.indexes or self.totals[name][0] > CHECKED_ROWS:
                continue
            report = " ".join(
                str(r[0]) for r in self.connection.execute(f"PRAGMA main.integrity_check({quoted(name)})")
            )
            for index in table.indexes if report != "ok" else ():
                if f"index {index.name}" in report:
                    key = ObjectKey("index", "", name, index.name)
                    broken[key] = {**self.catalog.schema[key], "valid": False}
        return Schema({**self.catalog.schema, **broken}) if broken else self.catalog.schema  # type: ignore[dict-item]


def _is_same(before: Moment, after: Moment, pair: TablePair) -> bool:
    """Whether checksums say that no row differs: all columns are compared, each with its namesake."""
    old = before.catalog.tables.get(pair.old.name)
    new = after.catalog.tables.get(pair.new.name) if pair.new is not None else None
    if old is None or new is None or before.totals.get(old.name) != after.totals.get(new.name):
        return False
    same_names = all(o == n for o, n in pair.columns)
    return same_names and {c.name for c in old.columns} == {c.name for c in new.columns}


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


def _drop_triggers(connection: sqlite3.Connection) -> list[str]:
    """Drop all triggers; the statements that make them again, in the order in which they were made."""
    found = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid").fetchall()
    for name, _ in found:
        connection.execute(f"DROP TRIGGER main.{quoted(name)}")
    return [sql for _, sql in found]


def _uri(path: Path) -> str:
    """A copy that nobody writes to: no locks, no journal, and no write-ahead log beside it."""
    return f"file:{percent(str(path))}?mode=ro&immutable=1"


def _reading(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(_uri(path), uri=True, isolation_level=None)
    connection.execute(MAPPED)
    return connection


def _both(old: PageFile, new: PageFile) -> sqlite3.Connection:
    """Two moments beside each other."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(MAPPED)
    for name, file in (("old", old), ("new", new)):
        connection.execute(f"ATTACH ? AS {name}", (_uri(file.path),))
    return connection
