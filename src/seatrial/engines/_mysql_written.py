"""Proof that a table of a server of others was not touched: when InnoDB was last told to write to it.

Every change of a row, a cascade's too, notes its table with the transaction, and the commit gives all of them its time:
``UPDATE_TIME`` (trx0rec.cc: "this list is only used for maintaining INFORMATION_SCHEMA.TABLES.UPDATE_TIME";
trx0trx.cc). An ALTER gives a new ``CREATE_TIME`` or a new id, whatever swaps tables moves the id. All three together
stay as they are only where nothing was written since, with four conditions: they are of whole seconds, so they prove
nothing until their second is over; a table that InnoDB has forgotten in between has no UPDATE_TIME, which proves
nothing either; on MariaDB, where it is the time at which a transaction began, none may be open that began in the very
second; and the server's clock is not set back to that very second.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from seatrial.engines._mysql_dialect import Dialect
from seatrial.engines._mysql_link import Link, literal
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


class Written:
    """Asks about the tables of the link's database."""

    def __init__(self, link: Link, database: str, dialect: Dialect) -> None:
        self._link, self._database, self._dialect = link, database, dialect
        self._sizes: dict[str, int] = {}
        self._shown = True

    def states(self, tables: Iterable[str]) -> dict[str, State]:
        """What proves tables unchanged, if it is the same later; waits for that of a large one written just now."""
        wanted, until = frozenset(tables), time.monotonic() + _PATIENCE_S
        while True:
            told = self._told(wanted)
            waits = any(t.state is None and t.size >= WORTH_WAITING for t in told.values())
            if not waits or time.monotonic() > until:
                return {name: t.state for name, t in told.items() if t.state is not None}
            time.sleep(_PAUSE_S)

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
