"""Proof that a table of a server of others was not touched: when InnoDB was last told to write to it.

Every change of a row, a cascade's too, notes its table with the transaction, and the commit gives all of them its time:
``UPDATE_TIME`` (trx0rec.cc: "this list is only used for maintaining INFORMATION_SCHEMA.TABLES.UPDATE_TIME";
trx0trx.cc). An ALTER gives a new ``CREATE_TIME`` or a new id, whatever swaps tables moves the id. All three together
stay as they are only where nothing was written since, with four conditions: they are of whole seconds, so they prove
nothing until their second is over (who reads a table before that has to keep others from writing until it is, see
``Written.still``); a table that InnoDB has forgotten in between has no UPDATE_TIME, which proves
nothing either; on MariaDB, where it is the time at which a transaction began, none may be open that began in the very
second; and the server's clock is not set back to that very second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

from seatrial.engines._mysql_dialect import Dialect
from seatrial.engines._mysql_link import Link, literal, quote
from seatrial.engines._mysql_proof import PARTS, State, stem
from seatrial.errors import DatabaseError

WORTH_WAITING = 64 << 20
"""Bytes of a table from which on reading it again costs more than the second until its times prove something."""

_PATIENCE_S, _PAUSE_S = 2.0, 0.1
_NOT_SHOWN = (
    "1227",
    "1109",
    "1142",
    "1044",
)  # PROCESS is needed; a server that only speaks like MySQL has no such view


@dataclass(frozen=True, slots=True)
class _Told:
    """What is told of one table; no ``state`` where it proves nothing (yet)."""

    size: int
    state: State | None

    @property
    def is_worth_waiting(self) -> bool:
        return self.state is None and self.size >= WORTH_WAITING


@dataclass(frozen=True, slots=True)
class Standing:
    """What proves tables unchanged: what is known at once, and what is so after their rows were read."""

    states: Mapping[str, State]
    settled: Callable[[], Mapping[str, State]]


class Written:
    """Asks about the tables of the link's database; ``beside`` opens another session there."""

    def __init__(self, link: Link, database: str, dialect: Dialect, beside: Callable[[], Link]) -> None:
        self._link, self._database, self._dialect, self._beside = link, database, dialect, beside
        self._sizes: dict[str, int] = {}
        self._shown = True
        self._may_lock = True

    def states(self, tables: Iterable[str]) -> dict[str, State]:
        """What proves tables unchanged, if it is the same later; waits for that of a large one written just now."""
        wanted, until = frozenset(tables), time.monotonic() + _PATIENCE_S
        while True:
            is_last = time.monotonic() > until  # on a busy machine more than that may go by between two looks
            told = self._told(wanted)
            if is_last or not any(t.is_worth_waiting for t in told.values()):
                return _proven(told)
            time.sleep(_PAUSE_S)

    @contextmanager
    def still(self, tables: Iterable[str]) -> Iterator[Standing]:
        """While the block runs large tables that were written just now are locked, and can be read meanwhile.

        Nobody waits before they are read: ``settled`` does, for what is left of their second.
        """
        told = self._told(frozenset(tables))
        fresh = [name for name, t in told.items() if t.is_worth_waiting]
        with self._locked(fresh) as locked:
            known = self.states(told) if fresh and not locked else _proven(told)
            yield Standing(known, lambda: {**known, **self.states(locked)} if locked else known)

    @contextmanager
    def _locked(self, names: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """The tables that nobody can write to in the block: all of them, or none where that is not to be had."""
        wanted = tuple(names) if self._may_lock else ()
        if not wanted:
            yield ()
            return
        with closing(self._beside()) as session:
            yield wanted if self._is_granted(session, wanted) else ()

    def _is_granted(self, session: Link, names: tuple[str, ...]) -> bool:
        try:
            session.execute(_WAIT_BRIEFLY)
            session.execute(f"LOCK TABLES {', '.join(f'{quote(n)} READ' for n in names)}")
        except DatabaseError as error:  # the right to it is missing, or somebody holds what he wrote
            self._may_lock = error.code not in _NOT_SHOWN
            return False
        return True

    def size(self, table: str) -> int:
        """Bytes of its file, when it was last asked about; 0 for a table that cannot be proven unchanged."""
        return self._sizes.get(table, 0)

    def _told(self, tables: frozenset[str]) -> Mapping[str, _Told]:
        ids = self._ids() if tables else {}
        known = {name: ids[s] for name in tables if (s := stem(self._link, self._dialect, name)) in ids} if ids else {}
        begun = self._beginnings() if known else frozenset()  # read first: what begins later has a later time
        self._sizes |= {name: known[name][1] if name in known else 0 for name in tables}
        return {
            str(name): _Told(
                size=known[str(name)][1] if updated is not None else 0,  # no waiting would give it a time
                state=((known[str(name)][0], str(created), str(updated)),)
                if over == "1" and second not in begun
                else None,
            )
            for name, created, updated, over, second in (self._link.rows(_TIMES) if known else [])
            if name in known
        }

    def _beginnings(self) -> frozenset[str | None]:
        """Of the transactions open now, where a table that they write to is given that time later."""
        return frozenset(row[0] for row in self._link.rows(_OPEN)) if self._dialect.dates_by_beginning else frozenset()

    def _ids(self) -> dict[str, tuple[str, int]]:
        """Stem of the file name -> id and bytes; of a partitioned table no single time tells."""
        if not self._shown:
            return {}
        try:
            rows = self._link.rows(self._dialect.innodb_sizes.format(pattern=literal(f"{self._database}/%")))
        except DatabaseError as error:
            if error.code not in _NOT_SHOWN:
                raise
            self._shown = False
            return {}
        names = [(str(name).partition("/")[2], str(table_id), int(size or 0)) for table_id, name, size in rows]
        return {name: (table_id, size) for name, table_id, size in names if not PARTS.search(name)}


def _proven(told: Mapping[str, _Told]) -> dict[str, State]:
    return {name: t.state for name, t in told.items() if t.state is not None}


_WAIT_BRIEFLY = "SET SESSION lock_wait_timeout = 1"

_TIMES = (
    "SELECT TABLE_NAME, CREATE_TIME, UPDATE_TIME,"
    " GREATEST(CREATE_TIME, UPDATE_TIME) < SYSDATE(6) - INTERVAL 1.1 SECOND,"
    " MOD(TO_SECONDS(UPDATE_TIME), 900) FROM information_schema.TABLES"
    " WHERE TABLE_SCHEMA = DATABASE() AND ENGINE = 'InnoDB'"
)
"""The tenth of a second is for what was given its time and is not seen yet."""

_OPEN = (
    "SELECT DISTINCT MOD(TO_SECONDS(trx_started), 900) FROM information_schema.INNODB_TRX"
    " WHERE trx_mysql_thread_id <> CONNECTION_ID()"
)
"""Within a quarter of an hour: trx_started is in the server's time zone, UPDATE_TIME in the session's."""
