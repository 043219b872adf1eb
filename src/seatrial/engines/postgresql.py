"""PostgreSQL 15 and newer: one throwaway database, observed exactly.

``PostgresqlDatabase`` is the contract's ``Database``. The server that it stands on is given to it (``Site``); what it
does lies beside it: session, catalog, layout, rows, diff, cast, run, outside, load, integrity, counters, wal, clone.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from seatrial.engines import _postgresql_catalog as catalog
from seatrial.engines import _postgresql_clone as clone
from seatrial.engines import _postgresql_counters as counters
from seatrial.engines import _postgresql_integrity as integrity
from seatrial.engines import _postgresql_load as loads
from seatrial.engines import _postgresql_rows as rows
from seatrial.engines import _postgresql_run as running
from seatrial.engines._accounts import Account, Accounts
from seatrial.engines._postgresql_aside import asides, views
from seatrial.engines._postgresql_cast import cast_backs
from seatrial.engines._postgresql_comparison import Comparison
from seatrial.engines._postgresql_diff import compare
from seatrial.engines._postgresql_layout import Layout, layouts
from seatrial.engines._postgresql_outside import reaches_outside
from seatrial.engines._postgresql_pages import derived
from seatrial.engines._postgresql_session import Session, Site, disturbance, guarded, kind_of, quote, refusal
from seatrial.engines._postgresql_wal import Touched, WalReader, wal_reader
from seatrial.engines._waits import told
from seatrial.model import (
    CastBack,
    Disturbance,
    ErrorKind,
    Refusal,
    Relationship,
    Schema,
    Script,
    ServerEnd,
    Snapshot,
    Step,
    StepError,
    TableDiff,
    TablePair,
    TableRef,
)
from seatrial.sql import split

if TYPE_CHECKING:
    import psycopg


@dataclass
class PostgresqlDatabase:
    """One throwaway database. Made by its server; ``trust`` lets scripts reach outside."""

    site: Site
    name: str
    engine: str = "postgresql"
    bookkeeping: frozenset[str] = frozenset()
    limit: int = 1000
    relationships: tuple[Relationship, ...] = ()
    trust: bool = False
    _session: Session | None = None
    _filling: loads.Filling | None = None
    _shadows: rows.Shadows = field(default_factory=rows.Shadows)
    _checkpoints: dict[str, clone.Checkpoint] = field(default_factory=dict)
    _generation: int = 0
    _wal: WalReader | None = None
    _closed: bool = False

    def __post_init__(self) -> None:
        self.version = self.site.version
        self.url = self.site.url(self.name)
        self.trust = self.trust or self.site.trust
        self._wal = wal_reader(self.site)
        self._accounts = Accounts(self.site)
        self._accounts_then: dict[str, frozenset[Account]] = {}  # checkpoint -> those that stood

    @property
    def untouched_proof(self) -> str:
        """How it is known that a table was not touched: "write-ahead log (...)" or "reading"."""
        return self._wal.how if self._wal else "reading"

    @property
    def session(self) -> Session:
        """Our own connection, made when it is first needed."""
        if self._session is None or self._session.connection.closed:
            self._session = Session(self.site, self.name)
            self._session.furnish()
        return self._session

    # --- statements ---

    def execute(self, *statements: str) -> None:
        """Run statements as a tool would: a plain connection, each in autocommit. Raises DatabaseError."""
        with self.site.connect(self.name) as connection:
            _execute(connection, statements)

    def query(self, sql: str, *, at: Snapshot | None = None) -> list[tuple[str | None, ...]]:
        """Rows of one query as text, in the fixed session. Raises DatabaseError."""
        return self.session.rows(sql)

    def run(self, script: Script) -> Step:
        """Run a script on a fresh connection and observe it; the database's refusal is in ``Step.error``."""
        connection = self.site.connect(self.name)
        try:
            _execute(connection, script.prologue)
            return running.run(connection, script, self.session, trust=self.trust)
        finally:
            connection.close()

    def watch(self) -> None:
        return None  # a session reads its own locks there

    def errand(self) -> Mapping[str, Any]:
        """Nothing: the server tells what was written, whoever did."""
        return {}

    def heard(self, account: Mapping[str, Any]) -> None:
        """Nothing was asked."""

    def load(self, text: str) -> StepError | None:
        """Run a seed script, plain SQL or what pg_dump writes; then move sequences past its rows."""
        connection = self.site.connect(self.name)
        try:
            error = loads.load(connection, text, trust=self.trust)
        finally:
            connection.close()
        if error is None:
            self.advance_counters()
        return error

    @contextlib.contextmanager
    def loading(self) -> Iterator[Callable[[str], StepError | None]]:
        connection = self.site.connect(self.name)
        try:
            yield functools.partial(loads.attempt, connection, trust=self.trust)
        finally:
            connection.close()

    def reaches_outside(self, text: str) -> str:
        """What would leave this database, as a sentence without its end; empty where nothing does."""
        found = (reaches_outside(part.text, self.name) for part in split(text, "postgresql"))
        return next(filter(None, found), "")

    def quote(self, name: str) -> str:
        """An identifier in double quotes."""
        return quote(name)

    # --- snapshots ---

    def inspect(self) -> Schema:
        """Every object that stands, bookkeeping tables left out."""
        return self._accounts.beside(catalog.inspect(self.session, self.bookkeeping))

    def keep(self, moment: str) -> bool:
        return False  # what the server holds has to be read before it holds something else

    def take(self, moment: str, *, since: Snapshot | None = None, also: Schema | None = None) -> Snapshot:
        """Name what the database holds now; what is proven untouched since ``since`` is carried over unread."""
        session = self.session
        self._shadows.mend(session)
        session.rows("BEGIN")
        try:
            taken, fresh = self._read(session, since)
            session.rows("COMMIT")
        except BaseException:
            with contextlib.suppress(Exception):
                session.rows("ROLLBACK")
            raise
        if moment in self._shadows.moments:
            self._shadows.release(session, moment)
        self._shadows.moments[moment] = taken
        schema = self.inspect()
        states = tuple(shadow.state() for shadow in taken.shadows.values())
        sources = counters.sources(session)
        numbered = frozenset(source.sequence for source in sources if source.mechanism)
        facts = integrity.Facts(schema, states, frozenset(fresh), since, self.limit, self.relationships)
        return Snapshot(
            moment=moment,
            schema=schema,
            tables=states,
            counters=counters.read(session, facts, sources),
            asides=tuple(asides(session, taken.views, numbered)),
            integrity=integrity.read(session, facts, also),
            size_bytes=sum(state.bytes or 0 for state in states),
        )

    def _read(self, session: Session, since: Snapshot | None) -> tuple[rows.Moment, set[TableRef]]:
        """The rows of every table, read again only where they may have changed, and which tables those are."""
        known = self._shadows.moments.get(since.moment) if since else None
        lsn = self._wal.position(session) if self._wal else ""
        pending = session.value(_PENDING) == "t"
        touched = None if pending else self._touched(known, lsn)
        old = known.by_oid() if known else {}
        moment, fresh = rows.Moment(lsn, self._generation, pending), set()
        for layout in layouts(session, self.bookkeeping):
            before = old.get(layout.oid)
            shadow = self._carry(session, before, layout, touched)
            if shadow is None:
                shadow = self._again(session, before, layout, touched)
                fresh.add(layout.table)
            elif before is not None and before.layout.table != layout.table:
                fresh.add(layout.table)  # its rows are known; what was told of this name is told of another table's
            moment.shadows[layout.table] = shadow
        moment.views = views(session, known.views if known else {}, touched)
        return moment, fresh

    def _touched(self, known: rows.Moment | None, lsn: str) -> Touched | None:
        """The files that the log names since then; None where it cannot tell."""
        if known is None or self._wal is None or known.generation != self._generation or known.pending:
            return None
        stored = sum(shadow.layout.bytes for shadow in known.shadows.values())
        return self._wal.touched(self.name, known.lsn, lsn, stored)

    def _carry(
        self, session: Session, shadow: rows.Shadow | None, layout: Layout, touched: Touched | None
    ) -> rows.Shadow | None:
        """The shadow of an untouched table under today's name, or None where the table has to be read."""
        if shadow is None or (shadow.layout.table != layout.table and touched is None):
            return None
        if touched is not None:
            if rows.same_as(shadow, layout) and touched.keys().isdisjoint(layout.files):
                return rows.carried(shadow, layout)
            return None
        if shadow.layout.forms != layout.forms or shadow.layout.why_not != layout.why_not:
            return None
        if shadow.layout.writes != layout.writes:  # counted writes prove a change (their absence would prove nothing)
            return None
        if layout.why_not or (shadow.rows, shadow.checksum) == rows.fingerprint(session, layout):
            return rows.recognised(shadow, layout)
        return None

    def _again(
        self, session: Session, before: rows.Shadow | None, layout: Layout, touched: Touched | None
    ) -> rows.Shadow:
        """Only the pages that were written since, where the log tells them; else the whole table."""
        if before and touched is not None:
            written = touched.get(layout.files[0], frozenset())
            if shadow := derived(session, self._shadows, before, layout, written):
                return shadow
        since = before.layout if before else None
        kept = self._shadows.copy(session, layout, since, placed=self._wal is not None, site=self.site)
        return replace(kept, generation=self._generation)

    def diff(self, old: Snapshot, new: Snapshot, pairs: Sequence[TablePair]) -> tuple[TableDiff, ...]:
        """Compare the rows of two moments, exactly; pairs without a difference are left out."""
        found = (compare(self.session, self._comparison(old, new, pair)) for pair in pairs)
        return tuple(diff for diff in found if diff)

    def _comparison(self, old: Snapshot, new: Snapshot, pair: TablePair) -> Comparison:
        before = self._shadows.moments[old.moment].shadows.get(pair.old)
        after = self._shadows.moments[new.moment].shadows.get(pair.new) if pair.new else None
        return Comparison(pair, before, after, self.limit)

    def diff_of_history(self, old: Snapshot, new: Snapshot, pairs: Sequence[TablePair]) -> tuple[TableDiff, ...]:
        """Nothing: no table keeps old versions of its rows here."""
        return ()

    def cast_backs(
        self, old: Snapshot, new: Snapshot, pair: TablePair, columns: Sequence[tuple[str, str]], zones: Sequence[str]
    ) -> tuple[CastBack, ...]:
        """Which values of ``columns``, cast back to their old type, are not what they were, under any zone."""
        return tuple(cast_backs(self.session, self._comparison(old, new, pair), columns, zones))

    def release(self, moment: str) -> None:
        """Forget a moment and its rows."""
        self._shadows.release(self.session, moment)

    def weight(self, held: Snapshot) -> int:
        """All tables: which shadows other moments share is not counted."""
        return held.size_bytes

    def note(self, statements: Sequence[str]) -> None:
        self._accounts.note(statements)

    def checksum_sql(self, table: TableRef) -> str:
        """How a table's checksum is made, as it is run."""
        layout = next((x for x in layouts(self.session, frozenset()) if x.table == table), None)
        return rows.checksum_sql(layout) if layout else ""

    # --- what disturbs ---

    def disturbance(self, error: StepError | BaseException) -> Disturbance | None:
        """What outside the migration an error speaks of, if it may pass."""
        return disturbance(error)

    def server_end(self) -> ServerEnd | None:
        """How its own server ended."""
        return self.site.end()

    def blames(self, code: str, message: str) -> ErrorKind:
        """Whose doing an error is."""
        return kind_of(code, message)

    def refusal(self, error: StepError) -> Refusal | None:
        return refusal(error)

    def others(self) -> tuple[str, ...]:
        """Sessions of others that hold a lock on something in this database."""
        return tuple(f"session {pid} ({name or 'unnamed'})" for pid, name in self.session.rows(_HOLDERS))

    def waiting(self) -> tuple[str, ...]:
        """Who waits here for whose lock, a clause each."""
        return told(self.session.rows(_WAITING))

    # --- going back ---

    def checkpoint(self) -> str:
        """A physical copy of the whole database to go back to; returns its handle."""
        self._shadows.mend(self.session)
        saved = clone.save(self.site, self.name, self.session, frozenset(self._shadows.live()))
        self._leave()
        copied = clone.copy(self.site, self.name, saved)
        self._checkpoints[copied.name] = copied
        self._accounts_then[copied.name] = self._accounts.made()
        return copied.name

    def restore(self, checkpoint: str) -> None:
        """Make the database what it was at the checkpoint, under its own name; moments stay."""
        self._shadows.mend(self.session)
        self._leave()
        clone.restore(self.site, self.name, self._checkpoints[checkpoint], frozenset(self._shadows.live()))
        self._generation += 1
        self._accounts.drop(keep=self._accounts_then[checkpoint])

    def reset(self, checkpoint: str) -> str:
        """After a crash unlogged tables are empty, the project's and our shadows: such a copy is none (manual)."""
        kept = self._checkpoints[checkpoint]
        if self.site.life() is not kept.life:
            return "the server was restarted since the checkpoint was made"
        self._leave()
        self._shadows.keep_only(kept.shadows)
        clone.reset(self.site, self.name, kept, frozenset(self._shadows.live()))
        self._generation += 1
        self._accounts.drop(keep=self._accounts_then[checkpoint])
        return ""

    def discard(self, checkpoint: str) -> None:
        """Drop a checkpoint's copy."""
        self._checkpoints.pop(checkpoint, None)
        self.site.drop_database(checkpoint)

    def _leave(self) -> None:
        """No session may be in a database that is copied or renamed."""
        if self._session is not None:
            self._session.close()
            self._session = None
        self.site.disconnect(self.name)

    # --- rows of ours ---

    def one_session(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()  # all of ours go through one as it is

    @contextlib.contextmanager
    def filling(self) -> Iterator[loads.Filling]:
        """One transaction in which triggers and foreign keys are off (where the server lets us)."""
        connection = self.site.connect(self.name)
        try:
            self._filling = loads.Filling(connection, self.site.replica_role)
            self._filling.begin()
            yield self._filling
            self._filling.commit()
        finally:
            self._filling = None
            connection.close()

    def fill(self, table: TableRef, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Inside ``filling()``: insert rows, all or none, identity columns included. Raises DatabaseError."""
        assert self._filling is not None, "fill() belongs inside filling()"
        self._filling.insert(table, columns, rows)

    def amend(
        self, table: TableRef, key: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """Inside ``filling()``: set ``columns`` where ``key`` equals, all or none. Raises DatabaseError."""
        assert self._filling is not None, "amend() belongs inside filling()"
        self._filling.update(table, key, columns, rows)

    def lasting(self) -> frozenset[TableRef]:
        """Tables from which no ROLLBACK takes a row away again: none here."""
        return frozenset()

    def advance_counters(self) -> None:
        """Move every sequence past the rows that were written with explicit ids."""
        counters.advance(self.session)

    def close(self) -> None:
        """Drop the database and everything kept for it."""
        if self._closed:
            return
        if self._session is not None:
            self._session.close()
        for name in [*self._checkpoints, self.name]:
            self.site.drop_database(name)
        self._accounts.drop()
        self._closed = True


def _execute(connection: psycopg.Connection[Any], statements: Sequence[str]) -> None:
    for statement in statements:
        guarded(lambda text=statement: connection.execute(text.encode()))  # type: ignore[misc]


_PENDING = "SELECT EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database())"
_HOLDERS = """
SELECT DISTINCT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.granted AND a.pid <> pg_backend_pid() AND l.locktype IN ('relation', 'transactionid', 'tuple', 'advisory')
  AND a.datname = current_database() AND a.backend_type = 'client backend' ORDER BY a.pid
"""
_WAITING = """
SELECT w.pid, w.query, l.mode || coalesce(' on ' || c.relname, ''), b.pid,
  (SELECT string_agg(DISTINCT g.mode, ', ') FROM pg_locks g
    WHERE (g.pid, g.relation, g.granted) = (b.pid, l.relation, true)),
  '' -- its last query would be the one that asked it for its locks
FROM pg_stat_activity w CROSS JOIN unnest(pg_blocking_pids(w.pid)) h(pid) JOIN pg_stat_activity b ON b.pid = h.pid
LEFT JOIN pg_locks l ON l.pid = w.pid AND NOT l.granted LEFT JOIN pg_class c ON c.oid = l.relation
WHERE w.datname = current_database() ORDER BY w.pid, b.pid
"""

__all__ = ["PostgresqlDatabase"]
