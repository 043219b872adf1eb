"""One throwaway database on MySQL; MariaDB is the same but for its facts (mariadb.py)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from seatrial.engines._mysql_catalog import Catalog, Reader
from seatrial.engines._mysql_dialect import MYSQL, Dialect
from seatrial.engines._mysql_fill import Filling
from seatrial.engines._mysql_integrity import Judge
from seatrial.engines._mysql_link import Link, TextRow, quote
from seatrial.engines._mysql_rows import Copy, Shadows
from seatrial.engines._mysql_steps import StepRunner, Watcher
from seatrial.engines._mysql_tablespace import Rows
from seatrial.engines._mysql_whole import Keeper, Whole
from seatrial.model import (
    CastBack,
    Integrity,
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


class Site(Protocol):
    """What the database asks of its server."""

    engine: str
    version: str
    trust: bool

    @property
    def data_folder(self) -> str | None: ...

    def connect(self, name: str | None) -> Any: ...

    def url(self, name: str) -> str: ...

    def create_database(self, trial: str = "", suffix: str = "") -> str: ...

    def drop_database(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Moment:
    """What is kept for a snapshot."""

    copies: Mapping[TableRef, Copy]
    integrity: tuple[Integrity, ...] = ()
    schema: Schema = field(default_factory=Schema)


class MysqlDatabase:
    """Implements model.Database. The rows of moments live in ``<name>_shadow``, copies of the whole in ``<name>_c1`` ..."""

    dialect: Dialect = MYSQL

    def __init__(self, site: Site, name: str) -> None:
        self.engine = self.dialect.name
        self.version = site.version
        self.url = site.url(name)
        self.bookkeeping: frozenset[str] = frozenset()
        self.limit = 1000
        self.trust = site.trust
        self.name = name
        self._site = site
        self._space = f"{name}_shadow"
        self._link = Link(site.connect, name, self.dialect.session)
        self._shadows = Shadows(self._link, self._space, self.dialect)
        self._moments: dict[str, _Moment] = {}
        self._engine_made: set[tuple[str, str, tuple[str, ...]]] = set()
        self._filling: Filling | None = None
        self._keeper = Keeper(self._link, name, self.dialect, Rows(self._link))
        self._checkpoints: dict[str, Whole] = {}
        self._checkpoints_made = 0
        self._closed = False

    # --- statements ---------------------------------------------------------------------------------------------------

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self._link.execute(statement)

    def query(self, sql: str) -> list[TextRow]:
        return self._link.rows(sql)

    def quote(self, name: str) -> str:
        return quote(name)

    def run(self, script: Script) -> Step:
        return self._steps(self._watcher()).run(script)

    def load(self, text: str) -> StepError | None:
        return self._steps(Watcher()).load(text)

    def _steps(self, watcher: Watcher) -> StepRunner:
        return StepRunner(self._site.connect, self.name, self.engine, watcher, trust=self.trust)

    def _watcher(self) -> Watcher:
        return Watcher()

    # --- moments ------------------------------------------------------------------------------------------------------

    def inspect(self) -> Schema:
        return self._catalog().schema

    def _catalog(self) -> Catalog:
        return Reader(self._link, self.name, self.dialect, self.bookkeeping, self._engine_made).read()

    def take(self, moment: str, *, since: Snapshot | None = None, also: Schema | None = None) -> Snapshot:
        self.release(moment)
        catalog = self._catalog()
        copies = {ref: self._copy(ref, catalog) for ref in catalog.schema.tables()}
        integrity = Judge(self._link, catalog, self.limit).judge(also, lambda asked: None)
        self._moments[moment] = _Moment(copies, integrity, catalog.schema)
        return Snapshot(
            moment=moment,
            schema=catalog.schema,
            tables=tuple(self._state(ref, copies[ref], catalog) for ref in copies),
            counters=catalog.counters,
            integrity=integrity,
            size_bytes=sum(catalog.bytes.values()),
        )

    def _copy(self, ref: TableRef, catalog: Catalog) -> Copy:
        return self._shadows.copy(ref, catalog.columns[ref.name], catalog.keys[ref.name])

    def _state(self, ref: TableRef, copy: Copy, catalog: Catalog) -> TableState:
        return TableState(
            table=ref, rows=copy.rows, checksum=copy.checksum, key=copy.key, bytes=catalog.bytes.get(ref.name)
        )

    def diff(self, old: Snapshot, new: Snapshot, pairs: Sequence[TablePair]) -> tuple[TableDiff, ...]:
        before, after = self._moments[old.moment].copies, self._moments[new.moment].copies
        found = (
            self._shadows.diff(before.get(p.old), after.get(p.new) if p.new else None, p, self.limit) for p in pairs
        )
        return tuple(d for d in found if d is not None)

    def cast_backs(
        self, old: Snapshot, new: Snapshot, pair: TablePair, columns: Sequence[tuple[str, str]], zones: Sequence[str]
    ) -> tuple[CastBack, ...]:
        return ()

    def release(self, moment: str) -> None:
        gone = self._moments.pop(moment, None)
        if gone is None:
            return
        kept = {c.name for m in self._moments.values() for c in m.copies.values()}
        for copy in gone.copies.values():
            if copy.name not in kept:
                self._shadows.drop(copy.name)

    # --- the whole database -------------------------------------------------------------------------------------------

    def checkpoint(self) -> str:
        self._checkpoints_made += 1
        handle = f"c{self._checkpoints_made}"
        space = self._site.create_database(self.name, handle)
        self._checkpoints[handle] = self._keeper.take(space)
        return handle

    def restore(self, checkpoint: str) -> None:
        self._keeper.restore(self._checkpoints[checkpoint])

    def discard(self, checkpoint: str) -> None:
        whole = self._checkpoints.pop(checkpoint, None)
        if whole is not None:
            self._site.drop_database(whole.space)

    # --- rows of ours -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def filling(self) -> Iterator[MysqlDatabase]:
        """One transaction without foreign keys and triggers. MySQL cannot switch triggers off: they are dropped and made again."""
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

    def advance_counters(self) -> None:
        """Nothing to do: AUTO_INCREMENT follows the rows that are written (manual, 17.6.1.6)."""

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._link.close()
        for name in (self.name, *(w.space for w in self._checkpoints.values()), self._space):
            self._site.drop_database(name)
