"""Runs that are disturbed on purpose: somebody else on the same server, and servers that may die."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from trial_fixtures import project

from seatrial import app, config
from seatrial.config import ServerConfig
from seatrial.errors import SeatrialError
from seatrial.model import Event, Report
from seatrial.servers import _mysql_local, _postgresql_local, ledger, process
from seatrial.servers._mysql_target import Target as MysqlTarget
from seatrial.servers._postgresql_target import Target as PostgresqlTarget

SERVED = ("postgresql", "mariadb", "mysql")
BASE = ("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20) NOT NULL, b VARCHAR(20));", "DROP TABLE t;")
SEED = "INSERT INTO t VALUES (1, 'one', 'x'), (2, 'two', 'y'), (3, 'three', NULL);"
GOOD = ("ALTER TABLE t ADD COLUMN c INT;", "ALTER TABLE t DROP COLUMN c;")
LOSS = ("ALTER TABLE t DROP COLUMN b;", "ALTER TABLE t ADD COLUMN b VARCHAR(20);")
LOST = [(("1",), ("2",))]  # the keys of what LOSS loses

When = Mapping[tuple[str, str], Callable[[], object]]


def disturbed(
    folder: Path,
    migrations: list[tuple[str, str | None]],
    server: ServerConfig,
    when: When | None = None,
    *,
    base: tuple[str, str | None] = BASE,
    settings: str = "",
    seed: str | None = SEED,
    always: bool = False,
    only: tuple[str, ...] = ("0002",),
    pauses: tuple[float, ...] = (0.05, 0.1, 0.15),
) -> Report:
    """A run in which ``when[(migration, step)]`` is called the first time (``always``: each time) that it begins."""
    left = dict(when or {})

    def watch(event: Event) -> None:
        key = (event.migration, event.text)
        act = left.get(key) if event.kind == "step" else None
        if not always:
            left.pop(key, None)
        if act is not None:
            act()

    place = project(folder, [base, *migrations], seed=seed, settings=f"[retry]\npauses = {list(pauses)}\n{settings}")
    return app.run(config.load(place).replace(server=server, only=only), watch)


def once(look: Callable[[], object], seconds: float = 30.0) -> bool:
    """Wait until something is so."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if look():
            return True
        time.sleep(0.01)
    return False


def rules(report: Report, migration: str = "0002") -> list[str]:
    """What is found, but for how long it took: these migrations may wait to be caught in the middle."""
    found = (f.rule for m in report.migrations if m.migration.id == migration for f in m.findings)
    return sorted(r for r in found if r != "long-running")


def lost(report: Report) -> list[object]:
    return [f.keys for m in report.migrations for f in m.findings if f.rule == "values-lost"]


def strategies(report: Report) -> list[tuple[str, bool]]:
    return [(r.strategy, r.succeeded) for r in report.retries]


# --- somebody else on the server ---


class Outside:
    """Somebody else, with sessions of their own. ``pause``: a statement that waits as long as ``held`` asks for it."""

    waits = pause = ""  # settings under which a step waits for a lock only shortly

    def __init__(self, engine: Any, folder: Path) -> None:
        self.name, self.folder, self.engine, self.server = engine.name, folder, engine, engine.config
        self.holders: list[Any] = []
        self._threads: list[threading.Thread] = []

    def run(self, migrations: list[tuple[str, str | None]], when: When | None = None, **how: Any) -> Report:
        how.setdefault("settings", self.waits)
        return disturbed(self.folder, migrations, self.server, when, **how)

    def databases(self) -> list[str]:
        """Those of ours, in the order in which they were made."""
        found = [str(name) for (name,) in self.ask(self._databases)]
        return sorted(found, key=lambda name: [int(part) for part in name.split("_")[2:3]])

    def new(self) -> list[str]:
        """The databases of the run: other tests may have some on the same server."""
        return [name for name in self.databases() if name not in self.before]

    def ask(self, sql: str) -> list[tuple[str | None, ...]]:
        return list(self.engine.server.maintain(sql))

    def kill(self, words: str = "") -> int:
        """End the sessions in databases of ours that run a statement with these words; all, without."""
        found = [pid for pid, name in self.ask(self._sessions.format(words=words)) if name not in self.before]
        for pid in found:
            with suppress(SeatrialError):  # it has ended by itself
                self.ask(self._kill.format(pid=pid))
        return len(found)

    def in_the_middle(self, act: Callable[[], object] | None = None) -> Callable[[], None]:
        """To be called before a step: when that comes to its ``pause``, its session is killed, or ``act`` called."""

        def strike() -> None:
            once(lambda: self.ask(self._sessions.format(words=self.words)))
            self.let_go()
            (act or self.kill)()

        def begin() -> None:
            self.hold()
            self._threads.append(threading.Thread(target=strike))
            self._threads[-1].start()

        return begin

    _databases = _sessions = _kill = words = ""
    before: Sequence[str] = ()  # databases that stood when the test began

    def hold(self) -> None:
        """Make ``pause`` wait."""

    def let_go(self) -> None: ...

    def lock(self) -> None:
        """Lock what the migration works on."""

    heavy: Sequence[str] = ()  # makes a session the one that a deadlock does not end

    def cross(self) -> None:
        """Hold row 2; when somebody waits for it who holds row 1, wait for that: a deadlock, which ends the other."""
        holder = self._at_table()
        for sql in ("BEGIN", *self.heavy, "UPDATE t SET b = 'held' WHERE id > 1"):
            holder.cursor().execute(sql)

        def strike() -> None:
            once(lambda: self.ask(self._sessions.format(words="WHERE id = 2")))
            holder.cursor().execute("UPDATE t SET b = 'held' WHERE id = 1")
            holder.close()

        self._threads.append(threading.Thread(target=strike))
        self._threads[-1].start()

    def _at_table(self) -> Any:
        """A session in the first database of the run that has the table: the others are copies of it."""
        raise NotImplementedError

    def close(self) -> None:
        for thread in self._threads:
            thread.join()
        for holder in self.holders:
            holder.close()


class OnSqlite(Outside):
    """Another program. ``scratch``: where the run makes its files."""

    waits = '[source]\nsession = ["PRAGMA busy_timeout = 50"]\n'

    def __init__(self, engine: Any, folder: Path, scratch: Path) -> None:
        super().__init__(engine, folder)
        self.scratch = scratch

    def databases(self) -> list[str]:
        return sorted(str(path) for path in self.scratch.glob("seatrial-*"))

    def lock(self) -> None:
        path = max(self.scratch.glob("seatrial-*/*/seatrial_*.sqlite3"), key=lambda p: p.stat().st_mtime_ns)
        self.holders.append(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
        self.holders[-1].execute("BEGIN IMMEDIATE")


class OnPostgresql(Outside):
    waits = "[source]\nsession = [\"SET lock_timeout = '200ms'\"]\n"
    words = "pg_sleep(30)"
    pause = "SELECT pg_sleep(30) FROM pg_stat_activity WHERE application_name = 'slow down';"
    _databases = r"SELECT datname FROM pg_database WHERE datname LIKE 'seatrial\_%'"
    _sessions = (
        r"SELECT pid, datname FROM pg_stat_activity WHERE datname LIKE 'seatrial\_%' AND pid <> pg_backend_pid()"
        " AND strpos(query, '{words}') > 0 AND (state = 'active' OR '{words}' = '')"
    )
    _kill = "SELECT pg_terminate_backend({pid})"

    def hold(self) -> None:
        self._holder = self.engine.server.connect("postgres", "slow down")

    def let_go(self) -> None:
        self._holder.close()
        once(lambda: not self.ask("SELECT FROM pg_stat_activity WHERE application_name = 'slow down'"))

    def lock(self) -> None:
        self.holders.append(self._at_table())
        self.holders[-1].execute("BEGIN")
        self.holders[-1].execute("LOCK TABLE t IN ACCESS SHARE MODE")

    heavy = ("SET LOCAL deadlock_timeout = '1h'",)  # who looks first is the one that is ended

    def _at_table(self) -> Any:
        for name in self.new():
            holder = self.engine.server.connect(name)
            if holder.execute("SELECT to_regclass('t') IS NOT NULL").fetchone() == (True,):
                return holder
            holder.close()
        raise AssertionError(f"the table is in none of {self.new()}")


class OnMysql(Outside):
    waits = '[source]\nsession = ["SET innodb_lock_wait_timeout = 1, lock_wait_timeout = 1"]\n'
    words = "SLEEP(30)"
    pause = "SELECT IF(IS_FREE_LOCK('slow down'), 0, SLEEP(30));"
    _databases = r"SHOW DATABASES LIKE 'seatrial\_%'"
    _sessions = (
        r"SELECT ID, DB FROM information_schema.PROCESSLIST WHERE DB LIKE 'seatrial\_%' AND ID <> CONNECTION_ID()"
        " AND ('{words}' = '' OR LOCATE('{words}', INFO) > 0)"
    )
    _kill = "KILL {pid}"

    def hold(self) -> None:
        self.ask("SELECT GET_LOCK('slow down', 0)")

    def let_go(self) -> None:
        self.ask("SELECT RELEASE_LOCK('slow down')")

    def lock(self) -> None:
        for name in self.new():
            if not name.endswith("_shadow"):
                self.holders.append(self.engine.server.connect(name))
                self.holders[-1].cursor().execute("BEGIN")
                self.holders[-1].cursor().execute("SELECT * FROM t WHERE id = 1 FOR UPDATE")

    heavy = ("INSERT INTO t VALUES (91, 'x', 'x'), (92, 'x', 'x'), (93, 'x', 'x')",)  # who changed less is ended

    def _at_table(self) -> Any:
        return self.engine.server.connect(next(name for name in self.new() if not name.endswith("_shadow")))


KINDS = {"postgresql": OnPostgresql, "mariadb": OnMysql, "mysql": OnMysql}


@pytest.fixture
def outside(engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outside]:
    """Somebody else, on each engine in turn; nothing of ours is there after the test that was not before."""
    if engine.name == "sqlite":
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(scratch))
        found: Outside = OnSqlite(engine, tmp_path, scratch)
    else:
        found = KINDS[engine.name](engine, tmp_path)
    found.before = before = found.databases()
    yield found
    found.close()
    assert found.databases() == before


# --- servers that may die ---


class Mortal:
    """A server of the test's own, behind a URL: killed, and started again on its data."""

    def __init__(self, name: str) -> None:
        self.name, self.run = name, ledger.Run.start()
        self.running = _postgresql_local.start(self.run) if name == "postgresql" else _mysql_local.start(self.run, name)

    @property
    def target(self) -> Any:
        return target_of(self.name, self.running)

    @property
    def config(self) -> ServerConfig:
        return ServerConfig(engine=self.name, url=self.target.url("postgres" if self.name == "postgresql" else ""))

    def restart(self) -> None:
        old = self.running
        kill(self.name, old)
        old.process.wait(20)
        _mysql_local.socket(old.folder).unlink(missing_ok=True)

        def ready(log: bytes) -> bool:
            if self.name == "postgresql":
                return _postgresql_local._is_ready(old.folder)
            return _mysql_local.socket(old.folder).exists() and b"ready for connections" in log

        command = [str(word) for word in old.process.args]  # type: ignore[union-attr]
        self.running = process.start(old.kind, old.programs, command, old.folder, ready)

    def close(self) -> None:
        self.running.stop()
        for facts in self.run.entries:
            self.run.forget(**facts)
        self.run.close()


def kill(name: str, running: process.Running) -> None:
    """At once; PostgreSQL's other processes end with it only where it may tell them."""
    os.kill(running.process.pid, signal.SIGQUIT if name == "postgresql" else signal.SIGKILL)


def target_of(name: str, running: process.Running) -> Any:
    if name == "postgresql":
        return PostgresqlTarget.parse(f"postgresql://postgres@/postgres?host={running.folder}")
    return MysqlTarget(user="root", unix_socket=str(_mysql_local.socket(running.folder)))


class OnServer:
    """Stands in for a server of the session's, whose sessions would see only their own: one connection to another."""

    def __init__(self, name: str, target: Any) -> None:
        self.name, self.target = name, target
        self._own = self.connect("postgres" if name == "postgresql" else None)

    def connect(self, name: str | None, application: str = "") -> Any:
        return self.target.connect(name, application) if self.name == "postgresql" else self.target.connect(name)

    def maintain(self, sql: str) -> list[tuple[str | None, ...]]:
        cursor = self._own.cursor()
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


@contextmanager
def on_mortal(name: str, folder: Path) -> Iterator[tuple[Outside, Mortal]]:
    """Somebody on a server that may die."""
    mortal = Mortal(name)
    try:
        yield somebody_at(name, mortal.running, mortal.config, folder), mortal
    finally:
        mortal.close()


def somebody_at(name: str, running: process.Running, server: ServerConfig, folder: Path) -> Outside:
    class Engine:
        config = server

    found = Engine()
    found.name, found.server = name, OnServer(name, target_of(name, running))  # type: ignore[attr-defined]
    return KINDS[name](found, folder)
