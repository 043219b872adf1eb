"""PostgreSQL servers: one behind a URL, or a local one that is started, used and thrown away.

A database of ours carries our marker as its comment; a run shows life by a session with its name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from seatrial.errors import NotOurs, ServerError
from seatrial.model import Disturbance
from seatrial.servers import _postgresql_local as local_server
from seatrial.servers import accounts, ledger, process
from seatrial.servers._postgresql_target import Target, driver
from seatrial.servers.base import PREFIX, ROOM, DatabaseServer, Found, Opener, no_database

if TYPE_CHECKING:
    import psycopg

MARKER = "Seatrial throwaway database, run "
"""How the comment on each of our databases begins; the run's id follows."""

_NAME = re.compile(rf"{PREFIX}_([0-9a-f]+)_\d+")
_OLDEST = 150000
_FOREIGN_TABLES = """
SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::regclass
    AND e.objid = c.oid AND e.deptype = 'e')
"""  # what an extension keeps (cron.job in the database postgres) is no table of a project's
_OUR_DATABASES = rf"""
SELECT datname, shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database
WHERE datname LIKE '{PREFIX}\_%' AND pg_has_role(datdba, 'MEMBER') ORDER BY datname
"""


class PostgresqlServer(DatabaseServer):
    """Where throwaway databases are made; ``open_database(server, name)`` makes the engine's Database of a new one."""

    engine = "postgresql"
    facts_kind = "postgresql database"
    target: Target

    @classmethod
    def at(cls, url: str, open_database: Opener, *, trust: bool = False) -> PostgresqlServer:
        """The server behind a ``postgresql://`` URL. Raises ServerError; NotOurs where it names a database in use."""
        return cls._at(Target.parse(url), open_database, trust)

    @classmethod
    def local(cls, open_database: Opener, *, programs: str | None = None, trust: bool = False) -> PostgresqlServer:
        """Start a throwaway server with the newest PostgreSQL found, or the one in the folder ``programs``."""
        driver()
        clean()

        def start(run: ledger.Run) -> tuple[process.Running, Target]:
            running = local_server.start(run, programs)
            return running, Target({"host": str(running.folder), "user": "postgres", "dbname": "postgres"})

        return cls._local_one(start, open_database, trust)

    def _connect_maintenance(self) -> None:
        row = self.maintain(
            "SELECT current_setting('server_version'), current_setting('server_version_num'), rolsuper, rolcreatedb"
            " FROM pg_catalog.pg_roles WHERE rolname = current_user"
        )[0]
        self.version = str(row[0]).split()[0]
        self.version_num = int(str(row[1]))
        self.superuser = row[2] == "t"
        if self.version_num < _OLDEST:
            raise ServerError(
                f"{self.target.redacted} runs PostgreSQL {self.version}; Seatrial needs 15 or newer. Give a "
                f"newer server."
            )
        if not self.superuser and row[3] != "t":
            raise ServerError(
                f"The user of {self.target.redacted} may not create databases. Grant it CREATEDB or give another user."
            )
        self.replica_role = self.superuser or self._may_set_replica_role()

    def _may_set_replica_role(self) -> bool:
        asked = "SELECT pg_catalog.has_parameter_privilege('session_replication_role', 'SET')"
        return self.maintain(asked)[0][0] == "t"

    @property
    def _account_list(self) -> str:
        return accounts.POSTGRESQL

    # --- what the engine asks of its server (its protocol ``Site``) ---

    @property
    def programs(self) -> str | None:
        """The folder of a local server's programs."""
        return str(self._local.programs) if self._local else None

    def connect(self, name: str, application: str = "") -> psycopg.Connection[Any]:
        """A new connection in autocommit. Raises ServerError, without the password."""
        return self.target.connect(name, application)

    def maintain(self, sql: str) -> list[tuple[str | None, ...]]:
        psycopg = driver()
        try:
            cursor = self._alive().execute(sql.encode())
            result = cursor.pgresult
            return _text_rows(result) if cursor.description and result else []
        except psycopg.Error as error:
            raise self._refusal(error) from None

    def _refusal(self, error: psycopg.Error) -> ServerError:
        words = f"{self.target.redacted} refused: {self.target.clean_of_secrets(str(error))}"
        if (error.sqlstate or "").startswith("53"):  # insufficient resources (manual, appendix A)
            return ServerError(f"{words.rstrip('.')}. {ROOM}", what=Disturbance.RESOURCE)
        return ServerError(words)

    def _alive(self) -> psycopg.Connection[Any]:
        """Our own connection, opened again where it was ended; its name tells other machines that this run lives."""
        if self._maintenance is None or self._maintenance.closed:
            self._maintenance = self.connect(self.target.maintenance, f"{PREFIX} {self._run.id}")
        connection: psycopg.Connection[Any] = self._maintenance
        return connection

    def create_database(self, template: str = "") -> str:
        """A new empty database (or a copy of ``template``) with our name, our comment, and a line in the ledger."""
        name = self.spare_name()
        if template:
            self.recreate_database(name, template)
        else:
            self._create_empty(name)
            self._mark(name)
        return name

    def recreate_database(self, name: str, template: str) -> None:
        """A marked copy under a name of ours; nobody may be connected to the template."""
        self.maintain(f"CREATE DATABASE {_ours(name)} TEMPLATE {_ours(template)}{self._copying}")
        self._mark(name)

    def replace_database(self, name: str, template: str) -> None:
        """The same in the place of a database of ours, which goes first; its line in the ledger stays."""
        self._drop(name)
        self.recreate_database(name, template)

    @property
    def _copying(self) -> str:
        """Files are the cheapest to copy, but it takes two checkpoints of the whole server: on ours alone."""
        return " STRATEGY file_copy" if self.is_local else ""

    def _mark(self, name: str) -> None:
        self.maintain(f"COMMENT ON DATABASE {_ours(name)} IS '{MARKER}{self._run.id}'")

    def _create_empty(self, name: str) -> None:
        utf8 = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'{self._copying}"
        try:
            self.maintain(utf8)
        except ServerError:  # the server's own locale goes with another encoding
            self.maintain(f"{utf8} LC_COLLATE 'C' LC_CTYPE 'C'")

    def drop_database(self, name: str) -> None:
        self._drop(name)
        self._run.forget(**self._facts(name))

    def _drop(self, name: str) -> None:
        drop = f"DROP DATABASE IF EXISTS {_ours(name)} WITH (FORCE)"
        try:
            self.maintain(drop)
        except ServerError:  # FORCE ends connections, neither subscriptions nor prepared transactions (manual)
            acts = self._ending(name)
            if not acts:
                raise
            with self.connect(name) as connection:
                for act in acts:
                    connection.execute(act.encode())
            self.maintain(drop)

    def _ending(self, name: str) -> list[str]:
        """What ends a database's prepared transactions, and its subscriptions without a word to their publishers."""
        prepared = self.maintain(
            f"SELECT 'ROLLBACK PREPARED ' || quote_literal(gid) FROM pg_prepared_xacts WHERE database = '{_ours(name)}'"
        )
        subscribed = self.maintain(
            "SELECT quote_ident(s.subname) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
            f" WHERE d.datname = '{_ours(name)}'"
        )
        ways = ("ALTER SUBSCRIPTION {} DISABLE", "ALTER SUBSCRIPTION {} SET (slot_name = NONE)", "DROP SUBSCRIPTION {}")
        return [str(act) for (act,) in prepared] + [way.format(one) for (one,) in subscribed for way in ways]

    def rename_database(self, old: str, new: str) -> None:
        """Both names have to be ours already."""
        self.maintain(f"ALTER DATABASE {_ours(old)} RENAME TO {_ours(new)}")

    def spare_name(self) -> str:
        """A name for a database that is put aside; in the ledger before it is used."""
        name = f"{PREFIX}_{self._run.id}_{next(self._numbers)}"
        self._run.record(**self._facts(name))
        return name

    def disconnect(self, name: str) -> None:
        """End every session in a database of ours."""
        self.maintain(
            "SELECT pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity"
            f" WHERE datname = '{_ours(name)}' AND pid <> pg_catalog.pg_backend_pid()"
        )

    def _foreign_tables(self) -> int:
        return int(str(self.maintain(_FOREIGN_TABLES)[0][0])) if self.target.database else 0

    def _found(self) -> list[Found]:
        named = ((str(name), comment, _NAME.fullmatch(str(name))) for name, comment in self.maintain(_OUR_DATABASES))
        return [Found(name, ours[1], comment == MARKER + ours[1]) for name, comment, ours in named if ours]

    def _shows_life(self, run_id: str) -> bool:
        sessions = f"SELECT 1 FROM pg_catalog.pg_stat_activity WHERE application_name = '{PREFIX} {run_id}'"
        return bool(self.maintain(sessions))

    def _new_database(self) -> str:
        return self.create_database()


def clean(url: str | None = None) -> list[str]:
    """Remove what dead runs left: local servers with their folders, and databases on the server of ``url``.

    Returns what was removed, in words.
    """
    removed = process.clean(local_server.KIND)
    if url:
        with PostgresqlServer(Target.parse(url), no_database) as server:
            removed += server.clean()
    return removed


def _ours(name: str) -> str:
    """A database name that is about to be altered or dropped; anything but ours stops here."""
    if not _NAME.fullmatch(name):
        raise NotOurs(f"{name} is no database of Seatrial's; it is left alone.")
    return name


def _text_rows(result: Any) -> list[tuple[str | None, ...]]:
    rows, columns = range(result.ntuples), range(result.nfields)
    return [tuple(None if (v := result.get_value(r, c)) is None else v.decode() for c in columns) for r in rows]
