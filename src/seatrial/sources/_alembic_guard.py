"""Keeps a project's Python to one database. Runs inside the project's interpreter (3.8+), beside _alembic_worker.py.

A project's env.py may ignore the URL that it is given and connect where it always does: to production. So every
connection that this process opens is held against the throwaway database: SQLite's before the file is opened (the
interpreter's own audit event names it), a server's by its database name before connecting where that is known, and
always by what the server says it is before anything else is sent. Whatever is not the throwaway database is refused.

Standard library only; SQLAlchemy and the drivers are met where the project imports them.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import os
import re
import sys
import urllib.parse
from collections.abc import Callable
from typing import Any

SQLITE_DENY, SQLITE_OK, SQLITE_ATTACH = 1, 0, 24


class Refused(BaseException):
    """A connection to another database, or a statement that reaches outside. No ``except Exception`` may swallow it."""


class Target:
    """The throwaway database: its engine, its file or name, and what its server says it is (``identity``)."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.engine: str = facts["engine"]
        self.file: str = facts.get("file") or ""
        self.name: str = facts.get("name") or ""
        self.identity_sql: str = facts.get("identity_sql") or ""
        self.identity: list[str] = [str(value) for value in facts.get("identity") or ()]
        self.session: list[str] = list(facts.get("session") or ())
        self.trust = bool(facts.get("trust"))


class Guard:
    """Checks every connection of this process; without a target, all are refused."""

    def __init__(self) -> None:
        self.target: Target | None = None
        self.refused = ""  # a connection elsewhere; noted also where the project's code caught the exception
        self.outside = ""  # a statement that would have left the database
        self.judge: Callable[[str], str] = lambda statement: ""  # what of it leaves the database: the engine's rules
        self.on_sqlite: Callable[[Any], None] = lambda connection: None  # told of each SQLite connection

    def install(self) -> None:
        sys.addaudithook(self._audit)
        self._patch_sqlite3()
        patches = {name: getattr(self, "_patch_" + name.replace(".", "_")) for name in DRIVERS}
        for name in [name for name in DRIVERS if name in sys.modules]:
            patches.pop(name)(sys.modules[name])
        sys.meta_path.insert(0, AfterImport(patches))

    def refuse(self, place: str) -> None:
        """Note a connection to another database, and stop."""
        self.refused = self.refused or place
        raise Refused(place)

    @property
    def complaint(self) -> dict[str, str]:
        """What was refused, as part of an answer."""
        found = {"refused": self.refused, "outside": self.outside}
        return {key: value for key, value in found.items() if value}

    # --- SQLite ---

    def _audit(self, event: str, args: Any) -> None:
        if event == "sqlite3.connect":
            self._check_file(args[0])

    def _patch_sqlite3(self) -> None:
        """The audit event comes too early to set anything on the connection itself."""

        def connect(original: Callable[..., Any], *args: Any, **settings: Any) -> Any:
            connection = original(*args, **settings)
            self.tame(connection)
            return connection

        try:
            import sqlite3
        except ImportError:  # a Python that was built without it cannot open such a file either
            return
        sqlite3.connect = sqlite3.dbapi2.connect = _wrapped(sqlite3.connect, connect)

    def _check_file(self, database: Any) -> None:
        name = os.fsdecode(database)
        path = sqlite_path(name)
        if path and not (self.target and self.target.engine == "sqlite" and same_file(path, self.target.file)):
            self.refuse("sqlite:///" + path)

    def tame(self, connection: Any) -> None:
        """Deny ATTACH of files to a SQLite connection (VACUUM attaches one without a name), and wait for no disk."""
        connection.execute("PRAGMA synchronous = OFF").close()  # no throwaway database has to survive the machine
        if self.target and not self.target.trust and hasattr(connection, "set_authorizer"):
            connection.set_authorizer(self._authorize)
        self.on_sqlite(connection)

    def _authorize(self, action: int, first: Any, second: Any, schema: Any, trigger: Any) -> int:
        # '' is VACUUM's own scratch file; None: the name is bound or computed, so it could be any file
        if action == SQLITE_ATTACH and first not in ("", ":memory:"):
            self.outside = self.outside or "ATTACH of {} reaches outside".format(first or "a file")
            return SQLITE_DENY
        return SQLITE_OK

    def allow(self, statement: str) -> None:
        """Stop a statement that would leave the throwaway database."""
        if self.target and not self.target.trust and self.target.engine != "sqlite":
            found = self.judge(statement)
            if found:
                self.outside = self.outside or found
                raise Refused(found)

    # --- servers ---

    def before(self, engine: str, name: str | None, place: str) -> None:
        """Refuse before connecting where the engine or the database's name is another."""
        target = self.target
        if target is None or target.engine != engine or (name and name != target.name):
            self.refuse(engine + "://" + place + "/" + (name or ""))

    def check(self, engine: str, ask: Callable[[str], Any], place: str = "") -> None:
        """Refuse where the server does not say that it is the one, and the database the one, that we were given."""
        target = self.target
        if target is None or target.engine != engine:
            self.refuse(engine + "://" + place)
            return
        try:
            answer = ask(target.identity_sql)
        except Exception as error:  # whatever it is, it does not answer as the throwaway database does
            self.refuse(f"{engine}://{place} (which answers {type(error).__name__})")
            return
        if [str(value) for value in (answer or ())] != target.identity:
            self.refuse("{}://{}/{}".format(engine, place, (answer or ["?"])[0]))

    def check_sync(self, engine: str, connection: Any, place: str = "") -> None:
        """As ``check``, through a DBAPI connection; leaves no transaction open."""

        def ask(sql: str) -> Any:
            cursor = connection.cursor()
            cursor.execute(sql)
            row = cursor.fetchone()
            cursor.close()
            connection.rollback()
            return row

        self.check(engine, ask, place)

    # --- drivers, patched as soon as they are imported ---

    def _patch_psycopg(self, module: Any) -> None:
        plain, in_loop = module.Connection.connect.__func__, module.AsyncConnection.connect.__func__

        @classmethod  # type: ignore[misc]
        def connect(cls: Any, conninfo: str = "", *args: Any, **settings: Any) -> Any:
            self.before("postgresql", *named(conninfo, settings))
            connection = plain(cls, conninfo, *args, **settings)
            self.check_sync("postgresql", connection, named(conninfo, settings)[1])
            return connection

        @classmethod  # type: ignore[misc]
        async def connect_async(cls: Any, conninfo: str = "", *args: Any, **settings: Any) -> Any:
            self.before("postgresql", *named(conninfo, settings))
            connection = await in_loop(cls, conninfo, *args, **settings)
            if self.target:
                cursor = await connection.execute(self.target.identity_sql)
                row = await cursor.fetchone()
                await connection.rollback()
                self.check("postgresql", lambda _: row, named(conninfo, settings)[1])
            return connection

        module.Connection.connect, module.AsyncConnection.connect = connect, connect_async
        module.connect = module.Connection.connect

    def _patch_psycopg2(self, module: Any) -> None:
        def connect(original: Callable[..., Any], dsn: Any = None, *args: Any, **settings: Any) -> Any:
            self.before("postgresql", *named(dsn or "", settings))
            connection = original(dsn, *args, **settings)
            if not settings.get("async") and not settings.get("async_"):
                self.check_sync("postgresql", connection, named(dsn or "", settings)[1])
            return connection

        module.connect = _wrapped(module.connect, connect)
        module.extensions.connection = self._psycopg2_class(module.extensions.connection)

    def _psycopg2_class(self, plain: Any) -> Any:
        """The class that a project may call, or derive its own from; a class in C cannot be changed."""
        guard = self

        class Same(type(plain)):  # type: ignore[misc]
            def __instancecheck__(cls, value: Any) -> bool:
                return isinstance(value, plain) if cls is Connection else super().__instancecheck__(value)

        class Connection(plain, metaclass=Same):  # type: ignore[misc]
            def __init__(self, dsn: str = "", *args: Any, **settings: Any) -> None:
                guard.before("postgresql", *named(dsn, settings))
                super().__init__(dsn, *args, **settings)
                if not self.async_:
                    guard.check("postgresql", self._asked, named(dsn, settings)[1])

            def _asked(self, sql: str) -> Any:
                """By the plain methods: a derived class may not be ready yet."""
                cursor = plain.cursor(self)
                cursor.execute(sql)
                row = cursor.fetchone()
                plain.rollback(self)
                return row

        Connection.__name__ = Connection.__qualname__ = "connection"
        return Connection

    def _patch_asyncpg(self, module: Any) -> None:
        async def connect(original: Callable[..., Any], dsn: Any = None, *args: Any, **settings: Any) -> Any:
            self.before("postgresql", *named(dsn or "", settings))
            connection = await original(dsn, *args, **settings)
            if self.target:
                row = await connection.fetchrow(self.target.identity_sql)
                self.check("postgresql", lambda _: list(row), named(dsn or "", settings)[1])
            return connection

        module.connect = module.connection.connect = _wrapped(module.connect, connect)

    def _patch_pg8000(self, module: Any) -> None:
        """All of its ways to connect (dbapi, legacy, native, the classes themselves) make one of these."""
        import pg8000.core as core  # type: ignore[import-not-found,import-untyped,unused-ignore]

        def connect(original: Callable[..., Any], connection: Any, *args: Any, **settings: Any) -> Any:
            given = dict(zip(("user", "host", "database", "port"), args), **settings)  # noqa: B905 - Python 3.8
            self.before("postgresql", *named("", given))
            original(connection, *args, **settings)
            self.check("postgresql", lambda sql: connection.execute_simple(sql).rows[0], named("", given)[1])

        cls = core.CoreConnection
        cls.__init__ = _wrapped(cls.__init__, connect)

    def _patch_pymysql(self, module: Any) -> None:
        def connect(original: Callable[..., Any], connection: Any, *args: Any, **settings: Any) -> Any:
            name = connection.db.decode() if isinstance(connection.db, bytes) else connection.db
            place = f"{connection.host}:{connection.port}"
            self.before("mysql", name, place)
            result = original(connection, *args, **settings)
            self.check_sync("mysql", connection, place)
            return result

        cls = module.connections.Connection
        cls.connect = _wrapped(cls.connect, connect)

    def _patch_MySQLdb(self, module: Any) -> None:  # noqa: N802 - the module's own name
        def connect(original: Callable[..., Any], *args: Any, **settings: Any) -> Any:
            self.before("mysql", *named("", settings))
            connection = original(*args, **settings)
            self.check_sync("mysql", connection, named("", settings)[1])
            return connection

        module.connect = module.Connect = module.Connection = _wrapped(module.connect, connect)

    def _patch_aiomysql(self, module: Any) -> None:
        async def connect(connection: Any) -> None:
            place = f"{connection.host}:{connection.port}"
            self.before("mysql", connection.db, place)
            await original(connection)
            if self.target:
                cursor = await connection.cursor()
                await cursor.execute(self.target.identity_sql)
                row = await cursor.fetchone()
                await cursor.close()
                await connection.rollback()
                self.check("mysql", lambda _: row, place)

        original = module.connection.Connection._connect
        module.connection.Connection._connect = connect

    def _patch_mysql_connector(self, module: Any) -> None:
        def connect(original: Callable[..., Any], connection: Any, *args: Any, **settings: Any) -> None:
            name, place = named("", settings)
            self.before("mysql", name or connection._database, place)
            original(connection, *args, **settings)
            self.check_sync("mysql", connection, place)

        cls = module.abstracts.MySQLConnectionAbstract
        cls.connect = _wrapped(cls.connect, connect)


DRIVERS = ("psycopg", "psycopg2", "asyncpg", "pg8000", "pymysql", "MySQLdb", "aiomysql", "mysql.connector")


def _wrapped(original: Callable[..., Any], around: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*args: Any, **settings: Any) -> Any:
        return around(original, *args, **settings)

    return call


class AfterImport:
    """Calls a function with a module right after the module was imported."""

    def __init__(self, wanted: dict[str, Callable[[Any], None]]) -> None:
        self._wanted = wanted
        self._busy = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if self._busy or name not in self._wanted:
            return None
        self._busy = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._busy = False
        then = self._wanted[name]
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                load(module)
                then(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def invalidate_caches(self) -> None:
        """Nothing is cached."""


def sqlite_path(name: str) -> str:
    """The file that SQLite would open for a name or a ``file:`` URI; empty for a database in memory."""
    if name.startswith("file:"):
        parts = urllib.parse.urlsplit(name)
        if "memory" in urllib.parse.parse_qs(parts.query).get("mode", ()):
            return ""
        name = urllib.parse.unquote(parts.path)
    return "" if name in ("", ":memory:") else name


def same_file(one: str, other: str) -> bool:
    return bool(one and other) and (one == other or os.path.realpath(one) == os.path.realpath(other))


def named(conninfo: Any, settings: dict[str, Any]) -> Any:
    """The database's name (None where it is not said) and the place, from a connection string and keywords."""
    text = conninfo if isinstance(conninfo, str) else ""
    found = dict(re.findall(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S+)", text)) if "://" not in text else _from_url(text)
    found = {key: value.strip("'") for key, value in found.items()}
    found.update({key: str(value) for key, value in settings.items() if isinstance(value, (str, int)) and value != ""})
    name = next((str(found[key]) for key in ("dbname", "database", "db") if found.get(key)), None)
    place = str(found.get("host") or found.get("unix_socket") or found.get("unix_sock") or "")
    return name, place + (":{}".format(found["port"]) if found.get("port") else "")


def _from_url(text: str) -> dict[str, str]:
    parts = urllib.parse.urlsplit(text)
    found = dict(urllib.parse.parse_qsl(parts.query))
    found.update(host=found.get("host") or parts.netloc.rpartition("@")[2])
    if len(parts.path) > 1:
        found["dbname"] = urllib.parse.unquote(parts.path[1:])
    return found
