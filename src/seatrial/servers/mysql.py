"""MySQL and MariaDB servers: one behind a URL, or a local one that is started, used and thrown away.

A database of ours has a sibling that holds our marker, for neither engine has comments on databases; a run shows life
by a named lock on the server.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

from seatrial.errors import NotOurs, ServerError
from seatrial.model import Disturbance
from seatrial.servers import _mysql_local as local_server
from seatrial.servers import accounts, last_words, ledger, process
from seatrial.servers._mysql_target import Target, driver
from seatrial.servers.base import PREFIX, ROOM, DatabaseServer, Found, Opener, no_database

MARKER = "seatrial_marker"
"""The table in a trial's shadow database that names the run it belongs to."""

_NAME = re.compile(rf"({PREFIX}_([0-9a-f]+)_\d+)(?:_(shadow|c\d+))?")
_OLDEST = {"mysql": (8, 0), "mariadb": (10, 6)}  # 10.5 does not say which indexes are ignored
_UTF8 = "CHARACTER SET utf8mb4"
_NO_TABLES = ("", "mysql", "information_schema", "performance_schema", "sys")
_PATIENCE = "SET SESSION lock_wait_timeout = 10"  # by default a DROP DATABASE waits a day or a year for others
_ADVICE = {
    1044: rf"Its user needs GRANT ALL ON `{PREFIX}\_%`.* for the throwaway databases.",
    **dict.fromkeys((1045, 1142, 1143, 1227, 1370, 1410, 1419), "Check the rights of its user."),
    **dict.fromkeys((1021, 1114, 1878, 3675), ROOM),
}
_HOLDERS = {
    "mysql": "SELECT DISTINCT t.PROCESSLIST_ID, t.PROCESSLIST_USER FROM performance_schema.metadata_locks l"
    " JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID"
    " WHERE l.OBJECT_SCHEMA = '{name}' AND l.LOCK_STATUS = 'GRANTED' AND t.PROCESSLIST_ID IS NOT NULL",
    "mariadb": "SELECT p.ID, p.USER FROM information_schema.PROCESSLIST p"
    " JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID WHERE p.DB = '{name}'",
}
_EVERYBODY = (
    "SELECT ID, USER FROM information_schema.PROCESSLIST"
    " WHERE COMMAND <> 'Daemon' AND USER NOT IN ('system user', 'event_scheduler')"
)


class MysqlServer(DatabaseServer):
    """Where throwaway databases are made."""

    facts_kind = "mysql database"
    target: Target

    @classmethod
    def at(cls, url: str, open_database: Opener, *, trust: bool = False) -> MysqlServer:
        """The server behind a ``mysql://`` URL. Raises ServerError, or NotOurs where it names a database in use."""
        return cls._at(Target.parse(url), open_database, trust)

    @classmethod
    def local(
        cls, engine: str, open_database: Opener, *, programs: str | None = None, trust: bool = False
    ) -> MysqlServer:
        """Start a throwaway "mysql" or "mariadb" with the programs found, or those in the folder ``programs``."""
        driver()
        clean()

        def start(run: ledger.Run) -> tuple[process.Running, Target]:
            running = local_server.start(run, engine, programs)
            return running, Target(user="root", unix_socket=str(local_server.socket(running.folder)))

        return cls._local_one(start, open_database, trust)

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
        self.maintain(_PATIENCE)

    @property
    def _life(self) -> str:
        return f"SELECT GET_LOCK('{PREFIX} {self._run.id}', 0)"

    # --- what the engine asks of its server ---

    def connect(self, name: str | None) -> Any:
        """A new raw connection in autocommit. Raises ServerError, without the password."""
        return self.target.connect(name)

    def maintain(self, sql: str) -> list[tuple[str | None, ...]]:
        import pymysql.err

        try:
            cursor = self._alive().cursor()
            cursor.execute(sql)
            return list(cursor.fetchall())
        except (pymysql.err.MySQLError, OSError) as error:
            raise self._refusal(error) from None

    def _refusal(self, error: Exception) -> ServerError:
        words = self.target.clean_of_secrets(str(error.args[-1] if error.args else error))
        advice = _ADVICE.get(error.args[0] if error.args else 0, "See in the server's log what is wrong there.")
        advice = ROOM if last_words.speaks_of_room(words) else advice
        what = Disturbance.RESOURCE if advice == ROOM else None
        return ServerError(f"{self.target.redacted} refused: {words}. {advice}", what=what)

    def _alive(self) -> Any:
        """The server's own connection, opened again where the server has closed it (wait_timeout), with its lock."""
        import pymysql.err

        try:
            self._maintenance.ping(False)
        except (pymysql.err.MySQLError, OSError):
            self._maintenance = self.target.connect(None)
            for statement in (self._life, _PATIENCE):
                self._maintenance.cursor().execute(statement)
        return self._maintenance

    def _hang_up(self) -> None:
        if self._maintenance is not None and self._maintenance.open:
            self._maintenance.close()

    def create_database(self, trial: str = "", suffix: str = "") -> str:
        """A new empty database of ours: a trial's (without arguments), or one beside it that ends in ``_suffix``."""
        name = f"{trial}_{suffix}" if trial else f"{PREFIX}_{self._run.id}_{next(self._numbers)}"
        self._run.record(**self._facts(name))
        self.maintain(f"CREATE DATABASE {_ours(name)} {_UTF8}")
        if suffix == "shadow":
            self.maintain(f"CREATE TABLE {_ours(name)}.{MARKER} (run VARCHAR(64) NOT NULL PRIMARY KEY) ENGINE = InnoDB")
            self.maintain(f"INSERT INTO {_ours(name)}.{MARKER} VALUES ('{self._run.id}')")
        return name

    def recreate_database(self, name: str) -> None:
        """An empty database in the place of one of ours; its line in the ledger stays."""
        self._drop(name)
        self.maintain(f"CREATE DATABASE {_ours(name)} {_UTF8}")

    def drop_database(self, name: str) -> None:
        self._drop(name)
        self._run.forget(**self._facts(name))

    def _drop(self, name: str) -> None:
        drop = f"DROP DATABASE IF EXISTS {_ours(name)}"
        inside = f"SELECT ID, USER FROM information_schema.PROCESSLIST WHERE DB = '{name}'"  # they may hold locks
        self._end(inside, of_anybody=self.is_local)
        try:
            self.maintain(drop)
        except ServerError:  # somebody keeps one of its tables locked from elsewhere
            self._end(self._holders(name), of_anybody=self.is_local)
            self.maintain(drop)

    def disconnect(self, name: str, own: int) -> None:
        """End our account's sessions that are seen to hold a lock in a database of ours, but the one of id ``own``.

        Steps connect with our URL. Another account's (a backup's, say) is waited for, and told where it lasts.
        """
        self._end(self._holders(name), own, of_anybody=self.is_local)

    def others(self, name: str, own: int) -> tuple[str, ...] | None:
        """Sessions but our own that hold a lock in a database of ours.

        MariaDB does not show who holds a metadata lock: there it may be any session of the server.
        """
        asked = self._holders(name) if self.engine == "mysql" else _EVERYBODY
        try:
            rows = self.maintain(asked)
        except ServerError:  # performance_schema is off, or this user may not see it
            return None
        return tuple(f"session {pid} of {user}" for pid, user in rows if pid not in (str(own), self._own_id))

    @property
    def _own_id(self) -> str:
        return str(self.maintain("SELECT CONNECTION_ID()")[0][0])

    def _holders(self, name: str) -> str:
        return _HOLDERS[self.engine].format(name=_ours(name).strip("`"))

    def _end(self, sessions: str, own: int = 0, *, of_anybody: bool) -> None:
        """End the sessions that a query names; one that is gone, or not ours to end, is left."""
        with contextlib.suppress(ServerError):
            ((account,),) = self.maintain("SELECT SUBSTRING_INDEX(USER(), '@', 1)")
            for pid, user in self.maintain(sessions):
                if pid not in (str(own), self._own_id) and (of_anybody or user == account):
                    self.maintain(f"KILL {pid}")

    def record_account(self, name: str, mark: str) -> str:
        if mark or self.engine != "mariadb":
            return super().record_account(name, mark)
        own = super().record_account(self._own_role, self._own_role)
        super().record_account(name, own)
        with contextlib.suppress(ServerError):  # without the right to, it stays unmarked, and after a kill where it is
            self.maintain(f"CREATE ROLE IF NOT EXISTS {own}")
            self.maintain("GRANT {} TO `{}`".format(own, name.replace("`", "``")))
        return own

    @property
    def _own_role(self) -> str:
        return accounts.OURS.format(self._run.id)

    def _drop_the_rest(self) -> None:
        super()._drop_the_rest()
        facts = self._account_facts(self._own_role, self._own_role)
        if facts in self._run.entries:
            self.maintain(f"DROP ROLE IF EXISTS {self._own_role}")
        while facts in self._run.entries:
            self._run.forget(**facts)

    @property
    def _account_list(self) -> str:
        return accounts.MYSQL if self.engine == "mysql" else accounts.MARIADB

    # --- the server's own life ---

    def _new_database(self) -> str:
        name = self.create_database()
        self.create_database(name, "shadow")
        return name

    def _foreign_tables(self) -> int:
        name = self.target.database
        if name in _NO_TABLES:
            return 0
        quoted = "'" + name.replace("\\", "\\\\").replace("'", "''") + "'"
        asked = f"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {quoted}"
        return int(self.maintain(asked)[0][0] or 0)

    def _found(self) -> list[Found]:
        rows = self.maintain(f"SHOW DATABASES LIKE '{PREFIX}\\_%'")
        names = [found for row in rows if (found := _NAME.fullmatch(str(row[0])))]
        marked = {n[1] for n in names if n[3] == "shadow" and self._is_marked(n[0], n[2])}
        names.sort(key=lambda n: n[3] == "shadow")  # the marker's goes last
        return [Found(n[0], n[2], n[1] in marked) for n in names]

    def _is_marked(self, shadow: str, run_id: str) -> bool:
        asked = (
            "SELECT COUNT(*) FROM information_schema.TABLES"
            f" WHERE TABLE_SCHEMA = '{shadow}' AND TABLE_NAME = '{MARKER}'"
        )
        try:
            return self.maintain(asked)[0][0] == "1" and (run_id,) in self.maintain(
                f"SELECT run FROM {_ours(shadow)}.{MARKER}"
            )
        except ServerError:
            if self.maintain(asked)[0][0] == "1":
                raise
            return False  # its run, a live one, has dropped it since, or is about to (tables go one by one)

    def _shows_life(self, run_id: str) -> bool:
        return self.maintain(f"SELECT IS_FREE_LOCK('{PREFIX} {run_id}')")[0][0] != "1"


def clean(url: str | None = None) -> list[str]:
    """Remove what dead runs left: local servers with their folders, and databases on the server of ``url``.

    Returns what was removed, in words.
    """
    removed = [words for kind in local_server.KINDS.values() for words in process.clean(kind)]
    if url:
        with MysqlServer(Target.parse(url), no_database) as server:
            removed += server.clean()
    return removed


def _ours(name: str) -> str:
    """A name of ours, quoted; nothing else is ever created or dropped."""
    if not _NAME.fullmatch(name):
        raise NotOurs(f"{name} is not a database that Seatrial created; nothing was touched. Please report this.")
    return f"`{name}`"
