"""SQLite: one file a database; moments and checkpoints are states of its pages, compared by page, then by row."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seatrial.engines._sqlite_casts import cast_back
from seatrial.engines._sqlite_catalog import CatalogReader
from seatrial.engines._sqlite_checksum import checksum_sql
from seatrial.engines._sqlite_forms import quoted
from seatrial.engines._sqlite_integrity import Asker
from seatrial.engines._sqlite_journal import Print
from seatrial.engines._sqlite_look import Look, Moment, bases, both, differences, is_same, opened
from seatrial.engines._sqlite_mirror import Mirror, State, unit_of
from seatrial.engines._sqlite_run import (
    connect,
    database_error,
    disturbance,
    execute,
    kind_of,
    load,
    loading,
    open_file,
    refusal,
    run,
)
from seatrial.engines._sqlite_values import as_texts, exactly
from seatrial.engines._sqlite_watch import Watch
from seatrial.errors import DatabaseError
from seatrial.model import (
    CastBack,
    Disturbance,
    ErrorKind,
    Refusal,
    Relationship,
    Schema,
    Script,
    Snapshot,
    Step,
    StepError,
    TableDiff,
    TablePair,
    TableRef,
)

WATCHED = 16 << 20  # bytes: in smaller files a comparison of all pages costs less than to watch what is written
_BESIDE = ("-wal", "-shm", "-journal")


@dataclass
class SqliteDatabase:
    """One database file in a folder of its own, which also takes its mirrors. Implements ``model.Database``."""

    path: Path
    bookkeeping: frozenset[str] = frozenset()
    limit: int = 1000
    relationships: tuple[Relationship, ...] = ()
    trust: bool = False  # whether scripts may reach other files
    engine: str = "sqlite"
    version: str = sqlite3.sqlite_version
    watched: int = WATCHED

    def __post_init__(self) -> None:
        self.path = self.path.absolute()
        self.path.touch(mode=0o600)
        self.url = f"sqlite:///{self.path}"
        self._moments: dict[str, Moment] = {}
        self._kept: dict[str, State] = {}  # of moments that were not looked at yet
        self._checkpoints: dict[str, State] = {}
        self._mirrors: list[Mirror] = []  # the last one takes in what comes
        self._is_held = False  # the file was taken in last as it was when the watch began
        self._beside = tuple(f"{self.path}{suffix}" for suffix in _BESIDE)
        self._watch = Watch(self.path, self.watched)
        self._reader = CatalogReader()
        self._asker = Asker()
        self._numbers = itertools.count(1)
        self._open: sqlite3.Connection | None = None  # of ``one_session``
        self._filling: sqlite3.Connection | None = None  # the same, in the transaction of ``filling``

    # --- statements ---

    def execute(self, *statements: str) -> None:
        """Run statements of ours, each in autocommit. Raises DatabaseError."""
        with self._session() as connection:
            execute(connection, statements, self._watch.between)

    def query(self, sql: str, *, at: Snapshot | None = None) -> list[tuple[str | None, ...]]:
        """Rows of one query as text, of now or of a moment. Raises DatabaseError."""
        with self._session() if at is None else opened(self._moment(at).state) as connection:
            try:
                return [as_texts(row) for row in exactly(connection, lambda: connection.execute(sql).fetchall())]
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise database_error(error, sql) from error

    @contextmanager
    def _session(self) -> Iterator[sqlite3.Connection]:
        """The connection of ``one_session`` or ``filling`` while that is open, else one of its own."""
        if self._open is not None:
            yield self._open
            return
        with self._watch.session(), closing(connect(self.path)) as connection:
            yield connection

    def run(self, script: Script) -> Step:
        """Run a script on a fresh connection, as a migration tool would, and observe it."""
        if script.prologue:
            self.execute(*script.prologue)
        with self._watch.session():
            return run(self.path, script, trust=self.trust, ended=self._watch.between)

    def watch(self) -> None:
        return None  # SQLite has one lock for the whole database

    def errand(self) -> Mapping[str, Any]:
        """How the file looks now; empty where a comparison of all its pages costs less than to follow it."""
        return self._watch.errand()

    def heard(self, account: Mapping[str, Any]) -> None:
        """Which pages of the file another process wrote (``_sqlite_journal.Account``)."""
        self._watch.heard(account)

    def load(self, text: str) -> StepError | None:
        """Run a seed script; its own BEGIN and COMMIT are followed."""
        with self._watch.session():
            return load(self.path, text, trust=self.trust, ended=self._watch.between)

    @contextmanager
    def loading(self) -> Iterator[Callable[[str], StepError | None]]:
        with self._watch.session(), loading(self.path, trust=self.trust, ended=self._watch.between) as attempt:
            yield attempt

    def reaches_outside(self, text: str) -> str:
        """Empty: SQLite's authorizer tells while it prepares a statement, so nothing is guessed from text."""
        return ""

    def quote(self, name: str) -> str:
        """An identifier by SQLite's rule."""
        return quoted(name)

    # --- filling ---

    @contextmanager
    def one_session(self) -> Iterator[None]:
        """One connection for the block: to open one means to parse the whole schema."""
        if self._open is not None:
            yield
            return
        with self._session() as connection:
            self._open = connection
            try:
                yield
            finally:
                self._open = None

    @contextmanager
    def filling(self) -> Iterator[sqlite3.Connection]:
        """One transaction without triggers and foreign keys; ``execute`` and ``query`` use its connection meanwhile.

        SQLite has no switch for triggers that Python 3.11 could reach: they are dropped, and made again at the end.
        Raises DatabaseError, also for what the block runs on the connection itself.
        """
        with self.one_session(), self._session() as connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute("BEGIN IMMEDIATE")
            self._filling = connection
            try:
                triggers = _drop_triggers(connection)
                yield connection
                execute(connection, triggers)
                connection.execute("COMMIT")
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise database_error(error) from error
            finally:
                self._filling = None
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._watch.between(connection)

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

    def lasting(self) -> frozenset[TableRef]:
        """Tables from which no ROLLBACK takes a row away again: none here."""
        return frozenset()

    def advance_counters(self) -> None:
        """Nothing to do: SQLite moves sqlite_sequence past explicit ids by itself (autoinc.html)."""

    # --- moments ---

    def inspect(self) -> Schema:
        """The schema as it is now."""
        self._settle()
        with closing(connect(self.path)) as connection:
            return self._reader.read(connection, self.bookkeeping).schema

    def keep(self, moment: str) -> bool:
        """The mirror holds it; looked at is the mirror, and never the file that a migration may be writing to."""
        self.release(moment)
        state = self._take_in()
        if not self._watch.is_quiet():
            state.mirror.forget(state)
            raise DatabaseError("another program wrote to the database while it was read", kind=ErrorKind.ENVIRONMENT)
        self._kept[moment] = state
        return True

    def take(self, moment: str, *, since: Snapshot | None = None, also: Schema | None = None) -> Snapshot:
        """Keep the state of the file, unless it is kept already, and look at what changed in it."""
        if moment not in self._kept:
            self.keep(moment)
        state = self._kept.pop(moment)
        earlier = self._moments.get(since.moment) if since is not None else None
        if earlier is not None and also is None and state.mirror.holds(earlier.state):
            found = earlier.again(moment, state)
        else:
            found = self._look(moment, state, earlier, also)
        self._moments[moment] = found
        return found.snapshot

    def _look(self, moment: str, state: State, earlier: Moment | None, also: Schema | None) -> Moment:
        with opened(state) as connection:
            catalog = self._reader.read(connection, self.bookkeeping)
            asked = self._asker.questions(catalog, also, self.relationships)
            known = bases((earlier, *reversed(self._moments.values())), state, catalog) if earlier is not None else []
            return Look(connection, state, catalog, asked, self.limit, known).moment(moment)

    def release(self, moment: str) -> None:
        """Forget a moment's rows."""
        found = self._moments.pop(moment, None)
        state = self._kept.pop(moment, None) or (found.state if found is not None else None)
        if state is not None:
            self._forget(state)

    def weight(self, held: Snapshot) -> int:
        """The pages that changed before the next moment; all else stands in the mirror."""
        kept = self._moments.get(held.moment)
        return kept.state.weight if kept is not None else 0

    def _take_in(self) -> State:
        """The file as it is now."""
        self._settle()
        now = Print.of(self.path)
        mirror = self._mirrors[-1] if self._mirrors else None
        if mirror is not None and not mirror.is_spoilt and self._is_held and self._watch.is_seen(now):
            return mirror.repeat()
        self._is_held = False
        unit = unit_of(self.path)
        if mirror is None or mirror.unit != unit or mirror.is_spoilt:
            self._mirrors.append(Mirror(self.path.parent, unit))
            self._watch.doubt()
        written = self._watch.written(now)
        self._watch.begin(now)
        state = self._mirrors[-1].take_in(self.path, written)
        self._is_held = True
        return state

    def _forget(self, state: State) -> None:
        state.mirror.forget(state)
        for mirror in [m for m in self._mirrors[:-1] if not m.states]:
            mirror.close()
            self._mirrors.remove(mirror)

    def _settle(self) -> None:
        """Bring into the file what stands beside it: a write-ahead log, or a journal that a killed program left."""
        if any(map(os.path.exists, self._beside)):
            self._watch.doubt()
            with closing(connect(self.path)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    # --- differences ---

    def diff(self, old: Snapshot, new: Snapshot, pairs: Sequence[TablePair]) -> tuple[TableDiff, ...]:
        """Compare the rows of two moments, exactly; pairs without a difference are left out."""
        before, after = self._moment(old), self._moment(new)
        asked = [p for p in pairs if not is_same(before, after, p)]
        if not asked:
            return ()
        return differences(before, after, asked, self.limit)

    def _moment(self, snapshot: Snapshot) -> Moment:
        try:
            return self._moments[snapshot.moment]
        except KeyError:
            raise DatabaseError(f"the rows of moment {snapshot.moment} were released; take it again") from None

    def diff_of_history(self, old: Snapshot, new: Snapshot, pairs: Sequence[TablePair]) -> tuple[TableDiff, ...]:
        """Nothing: no table keeps old versions of its rows here."""
        return ()

    def cast_backs(
        self, old: Snapshot, new: Snapshot, pair: TablePair, columns: Sequence[tuple[str, str]], zones: Sequence[str]
    ) -> tuple[CastBack, ...]:
        """Values of converted columns that do not cast back to what they were. SQLite knows no zones."""
        before, after = self._moment(old), self._moment(new)
        was = before.catalog.table(pair.old.name)
        now = after.catalog.table(pair.new.name) if pair.new is not None else None
        if was is None or now is None:
            return ()
        with both(before, after, [pair]) as connection:
            found = [cast_back(connection, pair, was, now, column, self.limit) for column in columns]
        return tuple(c for c in found if c is not None)

    def note(self, statements: Sequence[str]) -> None:
        """Nothing to hear: a file has no accounts."""

    def checksum_sql(self, table: TableRef) -> str:
        """How the checksum of a table was made: the query for its first block of rowids."""
        with closing(connect(self.path)) as connection:
            found = self._reader.read(connection, self.bookkeeping).table(table.name)
        return checksum_sql(found) if found is not None else ""

    # --- what disturbs ---

    def disturbance(self, error: StepError | BaseException) -> Disturbance | None:
        """What outside the migration an error speaks of, if it may pass."""
        return disturbance(error)

    def server_end(self) -> None:
        """A file has no server."""

    def blames(self, code: str, message: str) -> ErrorKind:
        """Whose doing an error is."""
        return kind_of(code, message)

    def refusal(self, error: StepError) -> Refusal | None:
        return refusal(error)

    def others(self) -> tuple[str, ...]:
        """Whether another program holds the file's lock: then it cannot be had for a moment."""
        with closing(open_file(self.path)) as connection:
            try:
                connection.execute("PRAGMA busy_timeout = 0")
                connection.execute("BEGIN EXCLUSIVE")
                connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                return (f"another program ({error})",)
        return ()

    def waiting(self) -> tuple[str, ...]:
        return ()  # whoever waits gives up after its own busy timeout, and says so

    # --- going back ---

    def checkpoint(self) -> str:
        """The state of the file, to go back to."""
        name = f"checkpoint-{next(self._numbers)}"
        self._checkpoints[name] = self._take_in()
        return name

    def restore(self, checkpoint: str) -> None:
        """Put a copy in the file's place; a program that still holds the old one cannot spoil it."""
        self._put(self._checkpoints[checkpoint], self.path.stat().st_mode)

    def reset(self, checkpoint: str) -> str:
        """The file goes before its copy comes: there may be no room for both."""
        state = self._checkpoints[checkpoint]
        if state.mirror.is_spoilt:
            return "its checkpoint was spoilt too"
        mode = self.path.stat().st_mode
        self.path.unlink()
        self._put(state, mode)
        return ""

    def _put(self, state: State, mode: int) -> None:
        fresh = self.path.with_name(f"restore-{next(self._numbers)}.sqlite3")
        try:
            state.mirror.put(state, fresh)
        except OSError:  # the disk is full, and there is to be room for another attempt
            fresh.unlink(missing_ok=True)
            raise
        fresh.chmod(mode)
        for path in self._beside:
            Path(path).unlink(missing_ok=True)
        fresh.replace(self.path)
        self._is_held = False
        self._watch.doubt()
        if state.mirror is self._mirrors[-1]:
            self._watch.begin(Print.of(self.path), state.mirror.apart(state))

    def discard(self, checkpoint: str) -> None:
        """Forget a checkpoint."""
        self._forget(self._checkpoints.pop(checkpoint))

    def close(self) -> None:
        """Remove the file and all that was kept of it."""
        self._moments.clear()
        self._kept.clear()
        self._checkpoints.clear()
        self._mirrors.clear()
        shutil.rmtree(self.path.parent, ignore_errors=True)


def _drop_triggers(connection: sqlite3.Connection) -> list[str]:
    """Drop all triggers; the statements that make them again, in the order in which they were made."""
    found = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid").fetchall()
    for name, _ in found:
        connection.execute(f"DROP TRIGGER main.{quoted(name)}")
    return [sql for _, sql in found]
