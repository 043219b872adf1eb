"""One throwaway database on MySQL; MariaDB is the same but for its facts (mariadb.py)."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from seatrial.engines import _mysql_accounts
from seatrial.engines._accounts import Account, Accounts
from seatrial.engines._mysql_accounts import Lent, Told, bring_back, is_system, told
from seatrial.engines._mysql_casts import Caster
from seatrial.engines._mysql_catalog import Catalog, Origins, Reader
from seatrial.engines._mysql_columns import Column
from seatrial.engines._mysql_compare import diff, diff_of_history, has_key, told_apart
from seatrial.engines._mysql_counters import advance
from seatrial.engines._mysql_dialect import MYSQL, Dialect
from seatrial.engines._mysql_events import WHY, Firing
from seatrial.engines._mysql_fill import Filling
from seatrial.engines._mysql_integrity import Judge
from seatrial.engines._mysql_link import Link, TextRow, disturbance, error_kind, quote, refusal
from seatrial.engines._mysql_locks import Twin
from seatrial.engines._mysql_outside import Ground, reach
from seatrial.engines._mysql_proof import Prover, State
from seatrial.engines._mysql_rows import Copy, Shadows
from seatrial.engines._mysql_sampler import Sampler
from seatrial.engines._mysql_settings import Asking, asking
from seatrial.engines._mysql_steps import StepRunner, Unwatched
from seatrial.engines._mysql_tablespace import Tablespaces
from seatrial.engines._mysql_twin import Space
from seatrial.engines._mysql_waits import waiting
from seatrial.engines._mysql_watch import StepWatch, unsampled
from seatrial.engines._mysql_whole import Keeper, Whole
from seatrial.engines._mysql_written import Written
from seatrial.errors import DatabaseError, SeatrialError, ServerError
from seatrial.model import (
    CastBack,
    Disturbance,
    ErrorKind,
    Integrity,
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
    TableState,
    Watch,
)
from seatrial.sql import split


class Site(Protocol):
    """What the database asks of its server."""

    engine: str
    version: str
    trust: bool

    @property
    def is_local(self) -> bool:
        """Whether the server was started for this run alone."""

    @property
    def data_folder(self) -> str | None: ...

    def connect(self, name: str | None) -> Any: ...

    def maintain(self, sql: str) -> list[TextRow]: ...

    def accounts(self) -> list[TextRow]: ...

    def record_account(self, name: str, mark: str) -> str: ...

    def forget_account(self, name: str, mark: str) -> None: ...

    def url(self, name: str) -> str: ...

    def create_database(self, trial: str = "", suffix: str = "") -> str: ...

    def drop_database(self, name: str) -> None: ...

    def recreate_database(self, name: str) -> None: ...

    def life(self) -> object:
        """The same object as long as the server runs on."""

    def end(self) -> ServerEnd | None:
        """How a server that was started for this run came to its end."""

    def disconnect(self, name: str, own: int) -> None:
        """End the sessions that hold a lock in a database of ours, but the one of id ``own``."""

    def others(self, name: str, own: int) -> tuple[str, ...] | None:
        """Sessions but ``own`` and the server's that hold, or may hold, a lock in a database of ours."""


class MysqlDatabase:
    """Implements model.Database. The rows of moments and of checkpoints live in ``<name>_shadow``."""

    dialect: Dialect = MYSQL

    def __init__(self, site: Site, name: str) -> None:
        self.engine = self.dialect.name
        self.version = site.version
        self.url = site.url(name)
        self.bookkeeping: frozenset[str] = frozenset()
        self.limit = 1000
        self.relationships: tuple[Relationship, ...] = ()
        self.trust = site.trust
        self.name = name
        self._site = site
        self._space = f"{name}_shadow"
        self._link = self._session()
        folder = Path(site.data_folder) if site.data_folder else None
        written = Written(self._link, name, self.dialect, self._session)
        self._files = Tablespaces(self._link, name, self._space, folder, self._prover, written)
        self._shadows = Shadows(self._link, self._space, self.dialect, self._files)
        self._moments: dict[str, Mapping[TableRef, Copy]] = {}
        self._current: dict[TableRef, tuple[State, Copy]] = {}  # what each table was proven to hold
        self._holders: dict[str, tuple[Copy, ...]] = {}
        self._answers: dict[tuple[str, ...], Integrity] = {}
        self._origins = Origins()
        self._origins_then: dict[str, Origins] = {}  # checkpoint -> whose indexes stood
        self._filling: Filling | None = None
        self._keeper = Keeper(self._link, name, self.dialect, self._files)
        self._checkpoints: dict[str, Whole] = {}
        self._checkpoints_made = 0
        self._lives: dict[str, object] = {}  # checkpoint -> the server's when it was made
        self._accounts = Accounts(site)
        self._accounts_then: dict[str, tuple[frozenset[Account], dict[str, Told]]] = {}  # checkpoint -> made, described
        self._lent = Lent(self._link)
        self._firing = Firing()
        self._unsampled: str | None = None  # why metadata locks are not sampled, once that was asked
        self._asking: Asking | None = None  # which settings of a step's session decide on locks, likewise
        self._closed = False

    def _session(self) -> Link:
        return Link(self._site.connect, self.name, self.dialect.session, self.dialect.wished)

    def _prover(self, database: str, folder: Path) -> Prover:
        return Prover(self._link, database, folder, self.dialect)

    # --- statements ---------------------------------------------------------------------------------------------------

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self._link.execute(statement)

    def query(self, sql: str, *, at: Snapshot | None = None) -> list[TextRow]:
        return self._link.exact(sql)

    def reaches_outside(self, text: str) -> str:
        found = (reach(part.text, self._ground) for part in split(text, self.engine))
        return str(next(filter(None, found), ""))

    @property
    def _ground(self) -> Ground:
        return Ground(self.engine, self.name, own_server=self._site.is_local, others=self._accounts.others)

    def quote(self, name: str) -> str:
        return quote(name)

    def run(self, script: Script) -> Step:
        self.execute(*script.prologue)
        with contextlib.closing(self.watch()) as watch:
            return self._steps(watch).run(script)

    def watch(self) -> Watch:
        if self._unsampled is None:
            self._unsampled = unsampled(self._link, self.dialect)
        if self._asking is None:
            self._asking = asking(self._link)
        twin = Twin(self._link, Space(self._space, self.name), (self.engine, self.version), self._asking)
        sampler = Sampler(self._site.connect, self.name, self.bookkeeping) if not self._unsampled else None
        return StepWatch(twin, sampler, self._unsampled)

    def errand(self) -> Mapping[str, Any]:
        """Nothing: the server tells what was written, whoever did."""
        return {}

    def heard(self, account: Mapping[str, Any]) -> None:
        """Nothing was asked."""

    def load(self, text: str) -> StepError | None:
        return self._steps(Unwatched()).load(text)

    def loading(self) -> contextlib.AbstractContextManager[Callable[[str], StepError | None]]:
        return self._steps(Unwatched()).loading()

    def _steps(self, watch: Watch) -> StepRunner:
        return StepRunner(self._site.connect, self._ground, watch, trust=self.trust)

    # --- moments ------------------------------------------------------------------------------------------------------

    def inspect(self) -> Schema:
        return self._catalog(self.bookkeeping).schema

    def keep(self, moment: str) -> bool:
        return False  # what the server holds has to be read before it holds something else

    def take(self, moment: str, *, since: Snapshot | None = None, also: Schema | None = None) -> Snapshot:
        # ``since`` is not needed: a table's newest copy is carried over wherever it is proven to be as it was then.
        catalog = self._catalog(self.bookkeeping)
        copies = self._copies(catalog)
        integrity = self._judged(catalog, copies, also)
        self._moments[moment] = copies
        fired = self._fired(moment, catalog.schema)
        self._hold(f"moment {moment}", copies.values())  # in one go: copies of the same moment before may serve again
        return Snapshot(
            moment=moment,
            schema=catalog.schema,
            tables=tuple(
                dataclasses.replace(state, compared=False, why_not=WHY) if state.table in fired else state
                for state in (self._state(ref, copies[ref], catalog) for ref in copies)
            ),
            counters=catalog.counters,
            integrity=integrity,
            size_bytes=sum(catalog.bytes.values()),
            folds_names=True,  # columns always, tables as lower_case_table_names says
        )

    def _fired(self, moment: str, schema: Schema) -> frozenset[TableRef]:
        """Tables whose rows an event may have changed; on servers of our own the scheduler is off."""
        concerned = self._firing.is_concerned or any(key.kind == "event" for key in schema)
        is_on = concerned and str(self._link.value("SELECT @@GLOBAL.event_scheduler")) in ("ON", "1")
        return self._firing.look(moment, schema, is_on=is_on)

    def _catalog(self, hidden: frozenset[str] = frozenset()) -> Catalog:
        reader = Reader(self._link, self.name, self.dialect, hidden, self._origins)
        catalog = reader.read()
        self._origins = reader.origins
        schema = self._accounts.beside(catalog.schema)
        told = _mysql_accounts.objects(self._told(), self.engine)
        return dataclasses.replace(catalog, schema=Schema({**schema, **told}) if told else schema)

    def _told(self) -> dict[str, Told]:
        """Of accounts: on a server of the run's own of all that are not the server's, else of those that steps made."""
        if not self._site.is_local:
            return told(self._link, self._accounts.made())
        return told(self._link, (a for a in self._accounts.standing() if not is_system(a)))

    def _copies(self, catalog: Catalog) -> dict[TableRef, Copy]:
        """The rows of every table as they are now, read only where they are not proven to be as they were."""
        copies: dict[TableRef, Copy] = {}
        with self._files.still(catalog.columns) as standing:
            for ref in catalog.schema.tables():
                known = self._carried(ref, catalog, standing.states)
                known = known or self._recognised(ref, catalog, standing.states)
                copies[ref] = known or self._copied(ref, catalog, copies.values())
            states = standing.settled()
        self._current |= {ref: (states[ref.name], copies[ref]) for ref in copies if ref.name in states}
        self._hold("current", [copy for _, copy in self._current.values()])
        return copies

    def _carried(self, ref: TableRef, catalog: Catalog, states: Mapping[str, State]) -> Copy | None:
        state, copy = self._current.get(ref, (None, None))
        if copy is None or state != states.get(ref.name):
            return None
        columns = catalog.columns[ref.name]
        return copy if copy.is_of(columns, catalog.keys[ref.name], self._generated_since(columns)) else None

    def _recognised(self, ref: TableRef, catalog: Catalog, states: Mapping[str, State]) -> Copy | None:
        """A copy with these very rows, where no file tells: to hash the rows costs half of what copying them does."""
        if (self._files.folder is not None and ref.name in states) or ref.name in catalog.periods:
            return None
        columns, key = catalog.columns[ref.name], catalog.keys[ref.name]
        held = dict.fromkeys(copy for copies in self._holders.values() for copy in copies)
        also = self._generated_since(columns)
        alike = [c for c in held if c.table == ref and c.digest and c.is_of(columns, key, also)]
        found = self._shadows.hashed(ref, columns) if alike else None
        return next((c for c in alike if (c.rows, c.digest) == found), None)

    def _copied(self, ref: TableRef, catalog: Catalog, beside: Iterable[Copy]) -> Copy:
        columns, period = catalog.columns[ref.name], catalog.periods.get(ref.name, ())
        also = self._generated_since(columns)
        copy = self._shadows.copy(ref, columns, catalog.keys[ref.name], period, also)
        held = itertools.chain(beside, *self._holders.values())
        return told_apart(self._shadows, copy, held) if copy.server_sum else copy

    def _generated_since(self, columns: Sequence[Column]) -> frozenset[str]:
        """Generated columns by whose names plain ones stand in a moment that is held: these are compared with them."""
        generated = {c.name for c in columns if c.generated}
        if not generated:
            return frozenset()
        held = (copy for copies in self._holders.values() for copy in copies)
        return frozenset(c.name for copy in held for c in copy.columns if c.name in generated and not c.generated)

    def _judged(self, catalog: Catalog, copies: Mapping[TableRef, Copy], also: Schema | None) -> tuple[Integrity, ...]:
        """Answers hold as long as the copies of the tables that they were read from do."""
        names = {ref.name: copy.name for ref, copy in copies.items()}

        def basis(asked: Integrity) -> tuple[str, ...]:
            parent = asked.references.partition("(")[0]
            return (asked.sql, names.get(asked.table.name, ""), names.get(parent, ""))

        judge = Judge(self._link, catalog, self.limit, self.relationships)
        found = judge.judge(also, lambda asked: self._answers.get(basis(asked)))
        self._answers = {basis(i): i for i in found if i.observed}
        return found

    def _hold(self, holder: str, copies: Iterable[Copy]) -> None:
        """Copies are dropped when nobody holds them any more."""
        before = {n for held in self._holders.values() for c in held for n in c.names}
        self._holders[holder] = tuple(copies)
        after = {n for held in self._holders.values() for c in held for n in c.names}
        for name in sorted(before - after):
            self._shadows.drop(name)

    def _state(self, ref: TableRef, copy: Copy, catalog: Catalog) -> TableState:
        return TableState(
            table=ref,
            rows=copy.rows,
            checksum=copy.checksum,
            key=copy.key,
            bytes=catalog.bytes.get(ref.name),
            history=copy.history.rows if copy.history else None,
        )

    def diff(self, old: Snapshot, new: Snapshot, pairs: Sequence[TablePair]) -> tuple[TableDiff, ...]:
        before, after = self._moments[old.moment], self._moments[new.moment]
        found = (
            diff(self._shadows, before.get(p.old), after.get(p.new) if p.new else None, p, self.limit)
            for p in self._settled(old, new, pairs)
        )
        return tuple(d for d in found if d is not None)

    def _settled(self, old: Snapshot, new: Snapshot, pairs: Sequence[TablePair]) -> list[TablePair]:
        """Those to which no event may have written in between."""
        fired = self._firing.between(old.moment, new.moment)
        return [p for p in pairs if p.old not in fired and p.new not in fired]

    def diff_of_history(self, old: Snapshot, new: Snapshot, pairs: Sequence[TablePair]) -> tuple[TableDiff, ...]:
        before, after = self._moments[old.moment], self._moments[new.moment]
        found = (
            diff_of_history(self._shadows, before.get(p.old), after.get(p.new) if p.new else None, p, self.limit)
            for p in self._settled(old, new, pairs)
        )
        return tuple(d for d in found if d is not None)

    def cast_backs(
        self, old: Snapshot, new: Snapshot, pair: TablePair, columns: Sequence[tuple[str, str]], zones: Sequence[str]
    ) -> tuple[CastBack, ...]:
        before, after = self._moments[old.moment].get(pair.old), None
        if pair.new is not None:
            after = self._moments[new.moment].get(pair.new)
        if before is None or after is None:
            return ()
        if not has_key(before, after, pair):
            raise DatabaseError(f"the rows of {pair.old} have no key by which old and new values belong together")
        caster = Caster(link=self._link, shadows=self._shadows, old=before, new=after, pair=pair, limit=self.limit)
        found = (caster.cast_back(a, b, zones) for a, b in columns)
        return tuple(c for c in found if c is not None)

    def release(self, moment: str) -> None:
        if self._moments.pop(moment, None) is not None:
            self._hold(f"moment {moment}", ())
            del self._holders[f"moment {moment}"]

    def weight(self, held: Snapshot) -> int:
        """All tables: which shadows other moments share is not counted."""
        return held.size_bytes

    def note(self, statements: Sequence[str]) -> None:
        self._accounts.note(statements)
        if self._lends:
            self._lent.note(statements, self._accounts.standing)
        self._firing.note(statements)

    def checksum_sql(self, table: TableRef) -> str:
        columns = Reader(self._link, self.name, self.dialect).columns_of(table.name)
        return self._shadows.checksum_sql(table, columns) if columns else ""

    # --- what disturbs ------------------------------------------------------------------------------------------------

    def disturbance(self, error: StepError | BaseException) -> Disturbance | None:
        return disturbance(error)

    def server_end(self) -> ServerEnd | None:
        return self._site.end()

    def blames(self, code: str, message: str) -> ErrorKind:
        return error_kind(int(code), message) if code.isdigit() else ErrorKind.MIGRATION

    def refusal(self, error: StepError) -> Refusal | None:
        return refusal(error)

    def others(self) -> tuple[str, ...] | None:
        return self._site.others(self.name, self._own)

    def waiting(self) -> tuple[str, ...]:
        return waiting(self._link, self.dialect, self.name)

    @property
    def _own(self) -> int:
        return int(self._link.value("SELECT CONNECTION_ID()") or 0)

    # --- the whole database -------------------------------------------------------------------------------------------

    def checkpoint(self) -> str:
        life = self._site.life()
        copies = self._copies(self._catalog())
        states = {ref.name: state for ref, (state, copy) in self._current.items() if copies.get(ref) is copy}
        self._checkpoints_made += 1
        handle = f"c{self._checkpoints_made}"
        self._checkpoints[handle] = self._keeper.take({ref.name: c for ref, c in copies.items()}, states)
        self._hold(f"checkpoint {handle}", copies.values())
        self._accounts_then[handle] = (self._accounts.made(), self._told())
        self._origins_then[handle] = self._origins
        self._lives[handle] = life
        return handle

    def restore(self, checkpoint: str) -> None:
        whole = self._checkpoints[checkpoint]
        self._site.disconnect(self.name, self._own)  # whoever still holds a lock here would keep us waiting
        made, then = self._accounts_then[checkpoint]
        self._bring_accounts_back(then)  # before what they are granted here
        now = self._keeper.restore(whole)
        self._accounts.drop(keep=made)  # after the views and routines that run as them
        self._checkpoints[checkpoint] = dataclasses.replace(whole, states=now)  # what was made anew is as it was, too
        self._origins = self._origins_then[checkpoint]
        self._current = {TableRef("", t): (state, whole.copies[t]) for t, state in now.items()}
        self._hold("current", [copy for _, copy in self._current.values()])

    def _bring_accounts_back(self, then: Mapping[str, Told]) -> None:
        """Those that steps dropped or changed; what they are granted in the database is the keeper's."""
        for _ in range(len(then) + 1):  # an account loses a role that is made anew, which may be a role of roles
            now = self._told()
            changed = [name for name, was in then.items() if name not in now or not was.is_like(now[name])]
            if not changed:
                return
            for statement in [*(now[n].account.drop for n in changed if n in now), *bring_back(then, changed)]:
                self._maintained(statement)
            self._accounts.note([then[name].bring_back[0] for name in changed])

    def _maintained(self, statement: str) -> None:
        try:
            self._site.maintain(statement)
        except ServerError as error:
            raise DatabaseError(str(error)) from None

    def reset(self, checkpoint: str) -> str:
        """On a server of ours nothing is safe from a crash (no flush, no doublewrite), and MyISAM is so nowhere."""
        if self._site.life() is not self._lives[checkpoint]:
            return "the server was restarted since the checkpoint was made"
        self._link.close()
        self._site.recreate_database(self.name)
        self.restore(checkpoint)
        return ""

    def discard(self, checkpoint: str) -> None:
        whole = self._checkpoints.pop(checkpoint, None)
        if whole is not None:
            self._hold(f"checkpoint {checkpoint}", ())
            del self._holders[f"checkpoint {checkpoint}"]

    # --- rows of ours -------------------------------------------------------------------------------------------------

    def one_session(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()  # all of ours go through one as it is

    @contextlib.contextmanager
    def filling(self) -> Iterator[MysqlDatabase]:
        """One transaction without foreign keys and triggers, which are dropped and made again."""
        self._filling = Filling(self._link, self.dialect)
        try:
            with self._filling:
                yield self
        finally:
            self._filling = None

    def fill(self, table: TableRef, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        self._in_filling().fill(table, columns, rows)

    def amend(
        self, table: TableRef, key: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        self._in_filling().amend(table, key, columns, rows)

    def _in_filling(self) -> Filling:
        assert self._filling is not None, "only inside filling()"
        return self._filling

    def lasting(self) -> frozenset[TableRef]:
        """Tables of MyISAM and its like (MySQL manual, 17.2: "Transactions: No")."""
        rows = self._link.rows(
            "SELECT t.TABLE_NAME FROM information_schema.TABLES t"
            " JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE"
            " WHERE t.TABLE_SCHEMA = DATABASE() AND COALESCE(e.TRANSACTIONS, 'NO') <> 'YES'"
        )
        return frozenset(TableRef("", str(name)) for (name,) in rows)

    def advance_counters(self) -> None:
        """Sequences behind a DEFAULT; AUTO_INCREMENT follows the rows that are written (manual, 17.6.1.6)."""
        if self.dialect.sequences:
            advance(self._link)

    def close(self) -> None:
        if self._closed:
            return
        try:
            if self._lends:
                with contextlib.suppress(SeatrialError):  # the server is gone
                    _mysql_accounts.revoke_all(self._link, self.name)
                    self._lent.take_back()
            self._link.close()
            self._files.forget_all()
            for name in (self.name, self._space):
                with contextlib.suppress(*self._left_to_clean):
                    self._site.drop_database(name)
        finally:
            self._accounts.drop()
        self._closed = True

    @property
    def _lends(self) -> bool:
        """Whether steps may give privileges to accounts of others, which outlive the database."""
        return self.trust and not self._site.is_local

    @property
    def _left_to_clean(self) -> tuple[type[ServerError], ...]:
        """At a URL others may keep a database locked: it stays in the ledger, and goes with the next run."""
        return () if self._site.is_local else (ServerError,)
