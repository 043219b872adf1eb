"""MySQL and MariaDB servers: one behind a URL, or a local one that is started, used and thrown away.

Nothing is altered or dropped but databases whose name has our prefix and a run's id, and which stand in that run's
ledger or have a sibling that holds our marker. A run is alive while it holds its lock on this machine or its named lock
on the server.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable
from typing import Any

from seatrial.errors import NotOurs, ServerError
from seatrial.model import Database
from seatrial.servers import _mysql_local as local_server
from seatrial.servers import ledger
from seatrial.servers._mysql_target import Target, driver

PREFIX = "seatrial"
MARKER = "seatrial_marker"
"""The table in a trial's shadow database that names the run it belongs to."""

_NAME = re.compile(rf"({PREFIX}_([0-9a-f]+)_\d+)(?:_(shadow|c\d+))?")
_OLDEST = {"mysql": (8, 0), "mariadb": (10, 5)}
_UTF8 = "CHARACTER SET utf8mb4"
_NO_TABLES = ("", "mysql", "information_schema", "performance_schema", "sys")

Opener = Callable[[Any, str], Database]
"""``open_database(server, name)`` makes the engine's Database of a new one; ``server.engine`` says which."""


class MysqlServer:
    """Where throwaway databases are made."""

    def __init__(
        self,
        target: Target,
        open_database: Opener,
        *,
        local: local_server.LocalServer | None = None,
        run: ledger.Run | None = None,
        trust: bool = False,
    ) -> None:
        self.target, self.trust = target, trust
        self._open, self._local = open_database, local
        self._numbers = itertools.count(1)
        self._databases: list[Database] = []
        self._maintenance: Any = None
        self._run = run or ledger.Run.start()
        try:
            self._connect_maintenance()
        except BaseException:
            self.close()
            raise

    @classmethod
    def at(cls, url: str, open_database: Opener, *, trust: bool = False) -> MysqlServer:
        """The server behind a ``mysql://`` URL. Raises ServerError, or NotOurs where it names a database in use."""
        server = cls(Target.parse(url), open_database, trust=trust)
        try:
            server.refuse_foreign()
            server.clean()
        except BaseException:
            server.close()
            raise
        return server

    @classmethod
    def local(
        cls, engine: str, open_database: Opener, *, programs: str | None = None, trust: bool = False
    ) -> MysqlServer:
        """Start a throwaway "mysql" or "mariadb" with the programs found, or those in the folder ``programs``."""
        driver()
        clean()
        run = ledger.Run.start()
        try:
            process = local_server.LocalServer.start(run, engine, programs)
        except BaseException:
            run.close()
            raise
        target = Target(user="root", unix_socket=str(process.socket))
        return cls(target, open_database, local=process, run=run, trust=trust)

    def _connect_maintenance(self) -> None:
        self._maintenance = self.target.connect(None)
        full = str(self.maintain("SELECT VERSION()")[0][0])
        self.engine = "mariadb" if "mariadb" in full.lower() else "mysql"
        found = re.findall(r"\d+\.\d+(?:\.\d+)?", full.removeprefix("5.5.5-"))
        self.version = found[0] if found else full
        number = tuple(int(n) for n in self.version.split("."))
        if number < _OLDEST[self.engine]:
            least = ".".join(str(n) for n in _OLDEST[self.engine])
            raise ServerError(
                f"{self.target.redacted} runs {self.engine} {self.version}; Seatrial needs {least} or newer. "
                "Give a newer server."
            )
        # Tells other machines' runs that this one is alive: it goes when the connection does (manual, 14.14).
        self.maintain(self._life)

    @property
    def _life(self) -> str:
        return f"SELECT GET_LOCK('{PREFIX} {self._run.id}', 0)"

    # --- what the engine asks of its server ---

    @property
    def is_local(self) -> bool:
        return self._local is not None

    @property
    def data_folder(self) -> str | None:
        """The data folder of a local server, readable by us."""
        return str(self._local.data) if self._local else None

    def connect(self, name: str | None) -> Any:
        """A new raw connection in autocommit. Raises ServerError, without the password."""
        return self.target.connect(name)

    def url(self, name: str) -> str:
        return self.target.url(name)

    def maintain(self, sql: str) -> list[tuple[str | None, ...]]:
        """Run one statement on the server's own connection; rows as text."""
        import pymysql.err

        try:
            cursor = self._alive().cursor()
            cursor.execute(sql)
            return list(cursor.fetchall())
        except (pymysql.err.MySQLError, OSError) as error:
            words = self.target.clean_of_secrets(str(error.args[-1] if error.args else error))
            raise ServerError(f"{self.target.redacted} refused: {words}. Check the rights of its user.") from None

    def _alive(self) -> Any:
        """The server's own connection, opened again where the server has closed it (wait_timeout), with its lock."""
        import pymysql.err

        try:
            self._maintenance.ping(False)
        except (pymysql.err.MySQLError, OSError):
            self._maintenance = self.target.connect(None)
            self._maintenance.cursor().execute(self._life)
        return self._maintenance

    def create_database(self, trial: str = "", suffix: str = "") -> str:
        """A new empty database of ours: a trial's (without arguments), or one beside it that ends in ``_suffix``."""
        name = f"{trial}_{suffix}" if trial else f"{PREFIX}_{self._run.id}_{next(self._numbers)}"
        self._run.record(**self._facts(name))
        self.maintain(f"CREATE DATABASE {_ours(name)} {_UTF8}")
        if suffix == "shadow":
            self.maintain(f"CREATE TABLE {_ours(name)}.{MARKER} (run VARCHAR(64) NOT NULL) ENGINE = InnoDB")
            self.maintain(f"INSERT INTO {_ours(name)}.{MARKER} VALUES ('{self._run.id}')")
        return name

    def drop_database(self, name: str) -> None:
        self.maintain(f"DROP DATABASE IF EXISTS {_ours(name)}")
        self._run.forget(**self._facts(name))

    def _facts(self, name: str) -> dict[str, str]:
        return {"kind": "mysql database", "server": self.target.place, "name": name}

    # --- the server's own life ---

    def create(self) -> Database:
        """A new, empty, marked database."""
        name = self.create_database()
        self.create_database(name, "shadow")
        database = self._open(self, name)
        self._databases.append(database)
        return database

    def refuse_foreign(self) -> None:
        """Raise NotOurs where the URL names a database that holds tables; an empty one is only connected to."""
        name = self.target.database
        if name in _NO_TABLES:
            return
        quoted = "'" + name.replace("\\", "\\\\").replace("'", "''") + "'"
        asked = f"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {quoted}"
        count = int(self.maintain(asked)[0][0] or 0)
        if count:
            tables = "1 table" if count == 1 else f"{count} tables"
            raise NotOurs(
                f"{self.target.redacted} holds {tables} that Seatrial did not create; nothing was touched. "
                "Give the server without a database name: throwaway databases are made beside it."
            )

    def clean(self) -> list[str]:
        """Drop the databases that dead runs left on this server; says which."""
        removed = []
        with ledger.dead_runs() as dead:
            for name, run_id in sorted(self._left_over(dead), key=lambda found: found[0].endswith("_shadow")):
                self.maintain(f"DROP DATABASE IF EXISTS {_ours(name)}")  # the marker's goes last
                removed.append(f"database {name} of run {run_id} on {self.target.place}")
            self._settle(dead)
        return removed

    def _names(self) -> list[re.Match[str]]:
        rows = self.maintain(f"SHOW DATABASES LIKE '{PREFIX}\\_%'")
        return [found for row in rows if (found := _NAME.fullmatch(str(row[0])))]

    def _left_over(self, dead: list[ledger.DeadRun]) -> list[tuple[str, str]]:
        """Databases of our prefix, marked or in a dead run's ledger, whose run shows no life anywhere."""
        recorded = {(e.get("server"), e.get("name")) for run in dead for e in run.entries}
        known_dead = {run.id for run in dead}  # their locks are ours now
        names = self._names()
        marked = {n[1] for n in names if n[3] == "shadow" and self._is_marked(n[0], n[2])}
        return [
            (n[0], n[2])
            for n in names
            if (n[2] in known_dead or not ledger.is_live(n[2]))
            and self.maintain(f"SELECT IS_FREE_LOCK('{PREFIX} {n[2]}')")[0][0] == "1"
            and (n[1] in marked or (self.target.place, n[0]) in recorded)
        ]

    def _is_marked(self, shadow: str, run_id: str) -> bool:
        found = self.maintain(
            "SELECT COUNT(*) FROM information_schema.TABLES"
            f" WHERE TABLE_SCHEMA = '{shadow}' AND TABLE_NAME = '{MARKER}'"
        )
        return found[0][0] == "1" and (run_id,) in self.maintain(f"SELECT run FROM {_ours(shadow)}.{MARKER}")

    def _settle(self, dead: list[ledger.DeadRun]) -> None:
        there = {n[0] for n in self._names()}
        for run in dead:
            gone = [e for e in run.entries if e.get("server") == self.target.place and e.get("name") not in there]
            if gone or not run.entries:
                run.settle(tuple(gone))

    def close(self) -> None:
        """Drop what is left of our databases; stop and remove a local server."""
        if self._local is None:
            for database in self._databases:
                with contextlib.suppress(ServerError):
                    database.close()
        self._databases.clear()
        if self._maintenance is not None and self._maintenance.open:
            self._maintenance.close()
        if self._local is not None:
            self._local.stop()
            for facts in self._run.entries:
                self._run.forget(**facts)
        self._run.close()

    def __enter__(self) -> MysqlServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def clean(url: str | None = None) -> list[str]:
    """Remove what dead runs left: local servers with their folders, and databases on the server of ``url``.

    Returns what was removed, in words.
    """
    removed = []
    with ledger.dead_runs() as dead:
        for run in dead:
            removed += local_server.remove_left_over(run)
    if url:
        with MysqlServer(Target.parse(url), _no_database) as server:
            removed += server.clean()
    return removed


def _no_database(server: Any, name: str) -> Database:
    raise AssertionError("only cleaning")


def _ours(name: str) -> str:
    """A name of ours, quoted; nothing else is ever created or dropped."""
    if not _NAME.fullmatch(name):
        raise NotOurs(f"{name} is not a database that Seatrial created; nothing was touched. Please report this.")
    return f"`{name}`"
