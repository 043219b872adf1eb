"""PostgreSQL servers: one behind a URL, or a local one that is started, used and thrown away.

Nothing is altered or dropped but databases whose name has our prefix and a run's id, and which carry our comment or
stand in that run's ledger. A run is alive while it holds its lock on this machine or has a session on the server.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as percent

from seatrial.errors import NotOurs, ServerError
from seatrial.model import Database
from seatrial.servers import _postgresql_local as local_server
from seatrial.servers import ledger

if TYPE_CHECKING:
    import psycopg

PREFIX = "seatrial"
MARKER = "Seatrial throwaway database, run "
"""How the comment on each of our databases begins; the run's id follows."""

_NAME = re.compile(rf"{PREFIX}_([0-9a-f]+)_\d+")
_MAINTENANCE = ("postgres", "template1")
_OLDEST = 150000
_PASSWORD_KEYS = ("password", "sslpassword")


class PostgresqlServer:
    """Where throwaway databases are made; ``open_database(server, name)`` makes the engine's Database of a new one."""

    engine = "postgresql"

    def __init__(
        self,
        target: Target,
        open_database: Callable[[Any, str], Database],
        *,
        local: local_server.LocalServer | None = None,
        run: ledger.Run | None = None,
        trust: bool = False,
    ) -> None:
        self.target = target
        self.trust = trust
        self._open = open_database
        self._local = local
        self._numbers = itertools.count(1)
        self._databases: list[Database] = []
        self._closed = False
        self._run = run or ledger.Run.start()
        atexit.register(self.close)  # where nobody closes it: an exception, Ctrl-C
        try:
            self._connect_maintenance()
        except BaseException:
            self.close()
            raise

    @classmethod
    def at(cls, url: str, open_database: Callable[[Any, str], Database], *, trust: bool = False) -> PostgresqlServer:
        """The server behind a ``postgresql://`` URL. Raises ServerError; NotOurs where it names a database in use."""
        target = Target.parse(url)
        server = cls(target, open_database, trust=trust)
        try:
            server.refuse_foreign()
            server.clean()
        except BaseException:
            server.close()
            raise
        return server

    @classmethod
    def local(
        cls, open_database: Callable[[Any, str], Database], *, programs: str | None = None, trust: bool = False
    ) -> PostgresqlServer:
        """Start a throwaway server with the newest PostgreSQL found, or the one in the folder ``programs``."""
        clean()
        run = ledger.Run.start()
        try:
            process = local_server.LocalServer.start(run, programs)
        except BaseException:
            run.close()
            raise
        target = Target({"host": str(process.folder), "user": "postgres", "dbname": "postgres"})
        return cls(target, open_database, local=process, run=run, trust=trust)

    def _connect_maintenance(self) -> None:
        # Its application name tells other machines' runs that this one is alive.
        self._maintenance = self.connect(self.target.maintenance, f"{PREFIX} {self._run.id}")
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

    # --- what the engine asks of its server (its protocol ``Site``) ---

    @property
    def is_local(self) -> bool:
        return self._local is not None

    @property
    def programs(self) -> str | None:
        """The folder of a local server's programs."""
        return str(self._local.programs) if self._local else None

    @property
    def data_folder(self) -> str | None:
        return str(self._local.data) if self._local else None

    def connect(self, name: str, application: str = "") -> psycopg.Connection[Any]:
        """A new connection in autocommit. Raises ServerError, without the password."""
        return self.target.connect(name, application)

    def url(self, name: str) -> str:
        return self.target.url(name)

    def maintain(self, sql: str) -> list[tuple[str | None, ...]]:
        """Run one statement in the maintenance database; rows as text."""
        psycopg = _driver()
        try:
            cursor = self._maintenance.execute(sql.encode())
            result = cursor.pgresult
            return _text_rows(result) if cursor.description and result else []
        except psycopg.Error as error:
            raise ServerError(f"{self.target.redacted} refused: {self.target.clean_of_secrets(str(error))}") from None

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
        copying = " STRATEGY file_copy" if self.is_local else ""
        self.maintain(f"CREATE DATABASE {_ours(name)} TEMPLATE {_ours(template)}{copying}")
        self._mark(name)

    def _mark(self, name: str) -> None:
        self.maintain(f"COMMENT ON DATABASE {_ours(name)} IS '{MARKER}{self._run.id}'")

    def _create_empty(self, name: str) -> None:
        utf8 = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"
        try:
            self.maintain(utf8)
        except ServerError:  # the server's own locale goes with another encoding
            self.maintain(f"{utf8} LC_COLLATE 'C' LC_CTYPE 'C'")

    def drop_database(self, name: str) -> None:
        self.maintain(f"DROP DATABASE IF EXISTS {_ours(name)} WITH (FORCE)")
        self._run.forget(**self._facts(name))

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

    def _facts(self, name: str) -> dict[str, str]:
        return {"kind": "postgresql database", "server": self.target.place, "name": name}

    # --- the server's own life ---

    def create(self) -> Database:
        """A new, empty, marked database."""
        database = self._open(self, self.create_database())
        self._databases.append(database)
        return database

    def refuse_foreign(self) -> None:
        """Raise NotOurs where the URL names a database that holds tables; an empty one is only connected to."""
        name = self.target.database
        if name in ("", *_MAINTENANCE):
            return
        count = int(str(self.maintain(_FOREIGN_TABLES)[0][0]))
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
            for name, run_id in self._left_over(dead):
                self.maintain(f"DROP DATABASE IF EXISTS {_ours(name)} WITH (FORCE)")
                removed.append(f"database {name} of run {run_id} on {self.target.place}")
            self._settle(dead)
        return removed

    def _left_over(self, dead: list[ledger.DeadRun]) -> Iterator[tuple[str, str]]:
        """Databases of our prefix, with our comment or in a dead run's ledger, whose run shows no life anywhere."""
        recorded = {(e.get("server"), e.get("name")) for run in dead for e in run.entries}
        alive = {row[0] for row in self.maintain(_LIVE_RUNS)}
        known_dead = {run.id for run in dead}  # their locks are ours now
        for name, comment, is_owner in self.maintain(_OUR_DATABASES):
            found = _NAME.fullmatch(str(name))
            if not found or is_owner != "t" or found[1] in alive:
                continue
            if found[1] not in known_dead and ledger.is_live(found[1]):
                continue
            if comment == MARKER + found[1] or (self.target.place, name) in recorded:
                yield str(name), found[1]

    def _settle(self, dead: list[ledger.DeadRun]) -> None:
        there = {row[0] for row in self.maintain(_OUR_DATABASES)}
        for run in dead:
            gone = [e for e in run.entries if e.get("server") == self.target.place and e.get("name") not in there]
            if gone or not run.entries:
                run.settle(tuple(gone))

    def close(self) -> None:
        """Drop what is left of our databases; stop and remove a local server. Twice is once."""
        atexit.unregister(self.close)
        if self._closed:
            return
        self._closed = True
        for database in self._databases:
            with contextlib.suppress(ServerError):
                database.close()
        self._databases.clear()
        if hasattr(self, "_maintenance"):
            self._maintenance.close()
        if self._local is not None:
            self._local.stop()
            for facts in self._run.entries:
                self._run.forget(**facts)
        self._run.close()

    def __enter__(self) -> PostgresqlServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_FOREIGN_TABLES = """
SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""
_LIVE_RUNS = f"""
SELECT DISTINCT substr(application_name, {len(PREFIX) + 2}) FROM pg_catalog.pg_stat_activity
WHERE application_name LIKE '{PREFIX} %'
"""
_OUR_DATABASES = rf"""
SELECT datname, shobj_description(oid, 'pg_database'), pg_has_role(datdba, 'MEMBER')
FROM pg_catalog.pg_database WHERE datname LIKE '{PREFIX}\_%' ORDER BY datname
"""


def clean(url: str | None = None) -> list[str]:
    """Remove what dead runs left: local servers with their folders, and databases on the server of ``url``.

    Returns what was removed, in words.
    """
    removed = []
    with ledger.dead_runs() as dead:
        for run in dead:
            removed += local_server.remove_left_over(run)
    if url:
        with PostgresqlServer(Target.parse(url), _no_database) as server:
            removed += server.clean()
    return removed


def _no_database(server: Any, name: str) -> Database:
    raise AssertionError("only cleaning")


def _ours(name: str) -> str:
    """A database name that is about to be altered or dropped; anything but ours stops here."""
    if not _NAME.fullmatch(name):
        raise NotOurs(f"{name} is no database of Seatrial's; it is left alone.")
    return name


class Target:
    """Where to connect: libpq's parameters; knows how to leave its password out."""

    def __init__(self, parameters: dict[str, str]) -> None:
        self._parameters = parameters

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read a URL as libpq does (manual, 34.1.1.2). Raises ServerError."""
        psycopg = _driver()
        scheme, separator, rest = url.partition("://")
        if not separator or scheme.split("+")[0] not in ("postgresql", "postgres"):
            raise ServerError(
                f"{redact(url)} is no PostgreSQL URL. Give one like postgresql://user:password@host:5432."
            )
        try:
            found = psycopg.conninfo.conninfo_to_dict(f"postgresql://{rest}")
        except psycopg.Error:  # its words may quote the password
            raise ServerError(
                f"{redact(url)} cannot be read as a URL. Write special characters in user and password as %XX."
            ) from None
        return cls({key: str(value) for key, value in found.items() if value is not None})

    @property
    def database(self) -> str:
        return self._parameters.get("dbname", "")

    @property
    def maintenance(self) -> str:
        """The database for CREATE DATABASE and the like."""
        return self.database or "postgres"

    @property
    def place(self) -> str:
        """Host and port: how the ledger knows the server again."""
        host = self._parameters.get("host") or self._parameters.get("hostaddr") or "localhost"
        return f"{host}:{self._parameters.get('port') or '5432'}"

    @property
    def redacted(self) -> str:
        return redact(self.url(self.database))

    def url(self, name: str) -> str:
        """A URL of a database on this server, with the password; sockets and further settings as parameters."""
        rest = dict(self._parameters, dbname=name)
        user, password = rest.pop("user", ""), rest.pop("password", "")
        login = percent(user, safe="") + (":" + percent(password, safe="") if password else "")
        host, port, database = rest.pop("host", ""), rest.pop("port", ""), rest.pop("dbname")
        if host.startswith(("/", "@")) or "," in host or "," in port:
            rest |= {"host": host} | ({"port": port} if port else {})
            host = port = ""
        host = f"[{host}]" if ":" in host else percent(host, safe="")
        place = (login + "@" if login else "") + host + (f":{port}" if port else "")
        query = "&".join(f"{key}={percent(value, safe='/')}" for key, value in sorted(rest.items()))
        return f"postgresql://{place}/{percent(database, safe='')}" + (f"?{query}" if query else "")

    def connect(self, name: str, application: str = "") -> psycopg.Connection[Any]:
        """A new connection in autocommit, its strings in UTF-8. Raises ServerError, without the password."""
        driver = _driver()
        settings = dict(self._parameters, dbname=name, client_encoding="UTF8")
        settings.setdefault("connect_timeout", "10")
        if application:
            settings["application_name"] = application
        try:
            connection: psycopg.Connection[Any] = driver.connect(**settings, autocommit=True, prepare_threshold=None)
            return connection
        except driver.Error as error:
            raise ServerError(self._refusal(str(error))) from None

    def _refusal(self, words: str) -> str:
        words = self.clean_of_secrets(" ".join(words.split()))
        if re.search(r"password authentication failed|no password supplied|Ident|Peer auth", words):
            advice = "Check user and password (write special characters as %XX)."
        elif "does not exist" in words:
            advice = "Give the server without a database name, or one that exists."
        else:
            advice = "Check that the server runs and that host and port are right."
        return f"{self.redacted} cannot be used: {words}. {advice}"

    def clean_of_secrets(self, text: str) -> str:
        """The text without any password of ours, however it is written."""
        for key in _PASSWORD_KEYS:
            secret = self._parameters.get(key)
            if secret:
                text = text.replace(secret, "***").replace(percent(secret, safe=""), "***")
        return text


def redact(url: str) -> str:
    """A URL without its passwords, whatever else is wrong with it."""
    head, separator, rest = url.partition("://")
    if not separator:
        return re.sub(r"\S*:\S*@", "***@", url)
    rest, question, query = rest.partition("?")
    login, at, place = rest.rpartition("@")
    if at and ":" in login:
        login = login.partition(":")[0] + ":***"
    query = re.sub(r"(?i)\b((?:ssl)?password)=[^&]*", r"\1=***", query)
    return f"{head}://{login}{at}{place}{question}{query}"


def _text_rows(result: Any) -> list[tuple[str | None, ...]]:
    rows, columns = range(result.ntuples), range(result.nfields)
    return [tuple(None if (v := result.get_value(r, c)) is None else v.decode() for c in columns) for r in rows]


def _driver() -> Any:
    """psycopg, or a ServerError that says how to get it."""
    try:
        import psycopg
    except ImportError:
        raise ServerError(
            "PostgreSQL needs the driver psycopg, which is not installed: pip install 'seatrial[postgresql]'"
        ) from None
    return psycopg
