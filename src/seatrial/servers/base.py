"""A server on which throwaway databases are made, whatever its engine: whose they are, and who cleans up.

Nothing is altered or dropped but databases whose name has our prefix and a run's id, and which carry our marker or
stand in that run's ledger. A run is alive while it holds its lock on this machine or shows life on the server.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Protocol, Self

from seatrial.errors import NotOurs, ServerError
from seatrial.model import Database, ServerEnd
from seatrial.servers import ledger
from seatrial.servers.process import Running
from seatrial.servers.urls import redact
from seatrial.values import dataclass

PREFIX = "seatrial"
ROOM = "Give the server room where it keeps its data (a local one: in TMPDIR), then run again."
ACCOUNT = "account"  # how the ledger calls users and roles

Opener = Callable[[Any, str], Database]
"""``open_database(server, name)`` makes the engine's Database of a new one; ``server.engine`` says which."""


class Target(Protocol):
    """Where to connect, read from a URL."""

    @property
    def database(self) -> str:
        """The database that the URL names, empty where it names none."""

    @property
    def place(self) -> str:
        """How the ledger knows the server again."""

    @property
    def redacted(self) -> str: ...

    def url(self, name: str) -> str:
        """A URL of a database on this server, with the password."""


@dataclass(frozen=True, slots=True)
class Found:
    """A database on the server whose name is one of ours."""

    name: str
    run_id: str
    marked: bool


class DatabaseServer(ABC):
    """Makes throwaway databases and drops them again. Implements ``model.Server``."""

    engine: str
    version: str
    facts_kind: ClassVar[str]  # how the ledger calls a database

    def __init__(
        self,
        target: Any,
        open_database: Opener,
        *,
        local: Running | None = None,
        run: ledger.Run | None = None,
        trust: bool = False,
    ) -> None:
        self.target, self.trust = target, trust
        self._open, self._local = open_database, local
        self._numbers = itertools.count(1)
        self._databases: list[Database] = []
        self._maintenance: Any = None
        self._closed = False
        self.left: tuple[str, ...] = ()
        self._start_again: Callable[[ledger.Run], tuple[Running, Any]] | None = None
        self._run = run or ledger.Run.start()
        atexit.register(self.close)  # where nobody closes it
        try:
            self._connect_maintenance()
        except Exception as error:
            end = self.end()
            self.close()
            if end:
                raise ServerError(f"{end.words}. {end.advice}", what=end.what) from error
            raise
        except BaseException:
            self.close()
            raise

    @classmethod
    def _at(cls, target: Target, open_database: Opener, trust: bool) -> Self:
        """The server that a URL names, once it is clear that nothing of anybody else's is there to be touched."""
        server = cls(target, open_database, trust=trust)
        try:
            server.refuse_foreign()
            server.clean()
        except BaseException:
            server.close()
            raise
        return server

    @classmethod
    def _local_one(
        cls, start: Callable[[ledger.Run], tuple[Running, Target]], open_database: Opener, trust: bool
    ) -> Self:
        run = ledger.Run.start()
        try:
            running, target = start(run)
        except BaseException:
            run.close()
            raise
        server = cls(target, open_database, local=running, run=run, trust=trust)
        server._start_again = start
        return server

    # --- what differs ---

    @abstractmethod
    def _connect_maintenance(self) -> None:
        """Open our own connection, show life on it, learn version and rights. Raises ServerError."""

    @abstractmethod
    def maintain(self, sql: str) -> list[tuple[str | None, ...]]:
        """Run one statement on our own connection; rows as text. Raises ServerError."""

    @abstractmethod
    def drop_database(self, name: str) -> None:
        """Drop a database of ours, wherever it came from, and strike it off the ledger. Raises NotOurs, ServerError."""

    @abstractmethod
    def _foreign_tables(self) -> int:
        """How many tables the database holds that the URL names."""

    @abstractmethod
    def _found(self) -> list[Found]:
        """Databases of our prefix, in the order in which they may be dropped."""

    @abstractmethod
    def _shows_life(self, run_id: str) -> bool:
        """Whether a run, perhaps of another machine, has a session on the server."""

    @abstractmethod
    def _new_database(self) -> str:
        """Make an empty, marked database that stands in the ledger; its name."""

    @property
    @abstractmethod
    def _account_list(self) -> str:
        """The query of ``accounts``, one of ``servers.accounts``."""

    # --- what the engine asks of its server ---

    def accounts(self) -> list[tuple[str | None, ...]]:
        """Users and roles. Raises ServerError where they may not be seen."""
        return self.maintain(self._account_list)

    def record_account(self, name: str, mark: str) -> str:
        """Write down a user or role that a step made: after a kill the next run takes it away. Returns its mark."""
        self._run.record(**self._account_facts(name, mark))
        return mark

    def forget_account(self, name: str, mark: str) -> None:
        self._run.forget(**self._account_facts(name, mark))

    def _account_facts(self, name: str, mark: str) -> dict[str, str]:
        return {"kind": ACCOUNT, "server": self.target.place, "name": name, "mark": mark}

    @property
    def is_local(self) -> bool:
        return self._local is not None

    @property
    def data_folder(self) -> str | None:
        """The data folder of a local server, readable by us."""
        return str(self._local.data) if self._local else None

    def url(self, name: str) -> str:
        return str(self.target.url(name))

    def life(self) -> object:
        """The same object as long as the server runs on: our connection, which no restart and no crash survives."""
        try:
            self.maintain("SELECT 1")
        except ServerError:
            return object()
        return self._maintenance

    def end(self) -> ServerEnd | None:
        """How a server of ours came to its end, or cut its sessions off; None while it runs, and at a URL."""
        return self._local.end() if self._local else None

    def _facts(self, name: str) -> dict[str, str]:
        return {"kind": self.facts_kind, "server": self.target.place, "name": name}

    # --- the server's own life ---

    def create(self) -> Database:
        """A new, empty, marked database."""
        self._revive()
        before = self._run.entries
        try:
            database = self._open(self, self._new_database())
        except BaseException:  # half made, and nobody else knows of it
            for facts in reversed([e for e in self._run.entries if e not in before and e["kind"] == self.facts_kind]):
                with contextlib.suppress(ServerError):
                    self.drop_database(facts["name"])
            raise
        self._databases.append(database)
        return database

    def _revive(self) -> None:
        """Connect again where the server ended our connection; start a local one again that is gone."""
        try:
            self.maintain("SELECT 1")
        except ServerError:
            self._hang_up()
            if self._local is not None and self._start_again is not None and self._local.process.poll() is not None:
                self._local.stop()
                self._local, self.target = self._start_again(self._run)
            self._connect_maintenance()
        if self._local is not None:
            self._local.goes_on()

    def refuse_foreign(self) -> None:
        """Raise NotOurs where the URL names a database that holds tables; an empty one is only connected to."""
        if count := self._foreign_tables():
            tables = "1 table" if count == 1 else f"{count} tables"
            raise NotOurs(
                f"{self.target.redacted} holds {tables} that Seatrial did not create; nothing was touched. "
                f"Give the server without a database name, {redact(self.target.url(''))}: throwaway databases are made "
                "beside that one."
            )

    def clean(self) -> list[str]:
        """Drop the databases that dead runs left on this server; says which."""
        removed = []
        with ledger.dead_runs() as dead:
            for found in list(self._left_over(dead)):
                self.drop_database(found.name)
                removed.append(f"database {found.name} of run {found.run_id} on {self.target.place}")
            removed += self._clean_accounts(dead)
            self._settle(dead)
        return removed

    def _clean_accounts(self, dead: list[ledger.DeadRun]) -> list[str]:
        """Drop the very users and roles that steps of dead runs made, none that others made again since."""
        left = {(e.get("name"), e.get("mark")): run.id for run in dead for e in run.entries if self._is_account(e)}
        removed = []
        with contextlib.suppress(ServerError):
            for name, kind, _, drop, mark in self.accounts() if left else ():
                if mark and (name, mark) in left:
                    self.maintain(str(drop))
                    removed.append(f"{kind} {name} of run {left[name, mark]} on {self.target.place}")
        return removed

    def _is_account(self, entry: ledger.Facts) -> bool:
        return entry.get("kind") == ACCOUNT and entry.get("server") == self.target.place

    def _left_over(self, dead: list[ledger.DeadRun]) -> Iterator[Found]:
        """Marked, or in a dead run's ledger, and the run shows no life anywhere."""
        recorded = {(e.get("server"), e.get("name")) for run in dead for e in run.entries}
        known_dead = {run.id for run in dead}  # their locks are ours now
        for found in self._found():
            lives = found.run_id not in known_dead and ledger.is_live(found.run_id)
            ours = found.marked or (self.target.place, found.name) in recorded
            if ours and not lives and not self._shows_life(found.run_id):
                yield found

    def _settle(self, dead: list[ledger.DeadRun]) -> None:
        there = {found.name for found in self._found()}
        for run in dead:
            gone = [e for e in run.entries if e.get("server") == self.target.place and e.get("name") not in there]
            if gone:
                run.settle(tuple(gone))

    def close(self) -> None:
        """Drop what is left of our databases; stop and remove a local server. Twice is once."""
        atexit.unregister(self.close)
        if self._closed:
            return
        self._closed = True
        for database in self._databases if self._local is None else ():
            with contextlib.suppress(ServerError):
                database.close()
        self._databases.clear()
        if self._local is None:
            with contextlib.suppress(ServerError):
                self._drop_the_rest()
            self.left = tuple(e["name"] for e in self._run.entries if e["kind"] == self.facts_kind)
        self._hang_up()
        if self._local is not None:
            self._local.stop()
            for facts in self._run.entries:
                self._run.forget(**facts)
        self._run.close()

    def _drop_the_rest(self) -> None:
        """What the ledger still names, because something failed between making it and handing it out."""
        for facts in self._run.entries:
            if facts["kind"] == self.facts_kind:
                self.drop_database(facts["name"])

    def _hang_up(self) -> None:
        if self._maintenance is not None:
            self._maintenance.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def no_database(server: Any, name: str) -> Database:
    """An opener for servers that only clean."""
    raise AssertionError("only cleaning")
