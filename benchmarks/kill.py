"""Kill `seatrial run` (SIGKILL) at random instants and in each phase: does the next run clean up?

    python -m benchmarks.kill [--engine sqlite|postgresql|mysql|mariadb]... [--source golang-migrate|alembic]...
        [--instants N] [--mode local|url]... [--seed N]

For each kill: a run is started and killed, then a second run has to end as an undisturbed one does, and after it the
lists of databases, processes and files have to be those from before the first. Exit 1 where one is not. Phases are seen
from outside, in the server's own list of what it is doing, on SQLite in the files. An Alembic project has a process of
its own, which has to be gone as well. Needs Linux (/proc), the drivers and Alembic.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pymysql.err

from benchmarks import common, project100
from seatrial.errors import ServerError
from seatrial.servers import _mysql_local, _postgresql_local, ledger
from seatrial.servers._mysql_target import Target
from seatrial.servers.process import Running

UP = {
    1: "CREATE TABLE users (id {serial} PRIMARY KEY, name varchar(40) NOT NULL, email text); {many}",
    2: "ALTER TABLE users ADD COLUMN status text; {sleep_up};",
    3: "CREATE TABLE orders (id {serial} PRIMARY KEY, user_id integer, total numeric(10,2),"
    " FOREIGN KEY (user_id) REFERENCES users (id));",
    4: "UPDATE orders SET total = 0 WHERE total < 0; {sleep_up}; ALTER TABLE orders DROP COLUMN total;",
}
DOWN = {
    1: "DROP TABLE users;",
    2: "{sleep_down}; ALTER TABLE users DROP COLUMN status;",
    3: "DROP TABLE orders;",
    4: "ALTER TABLE orders ADD COLUMN total numeric(10,2);",  # loses values: the walk has to go back to a checkpoint
}


class Engine(ABC):
    """How one engine's server is started, asked, and seen in each phase."""

    name: str
    words: ClassVar[Mapping[str, str]]  # what differs in the migrations
    socket: str  # its file in the server's folder
    databases: str  # a query for their names
    phases: ClassVar[Mapping[str, str]]  # queries that are true in each

    @abstractmethod
    def start(self, run: ledger.Run) -> Running: ...

    @abstractmethod
    def url(self, folder: Path) -> str: ...

    @abstractmethod
    def connect(self, folder: Path) -> Any:
        """A connection in autocommit, or None where there is none to be had now."""

    @abstractmethod
    def ask(self, connection: Any, sql: str) -> list[str] | None:
        """The first column as text; None where the server is gone."""

    def is_in(self, connection: Any, phase: str) -> bool | None:
        found = self.ask(connection, self.phases[phase])
        return None if found is None else found[0] in ("True", "1")


def _doing(words: str) -> str:
    return (
        f"select count(*) > 0 from pg_stat_activity where state = 'active' and query like '{words}'"
        " and pid <> pg_backend_pid()"
    )


# SQLite has no SLEEP
COUNT = (
    "DELETE FROM users WHERE id < -(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
    " SELECT count(*) FROM n)"
)


class Files:
    """SQLite's scratch folder, looked at where the others ask a server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def close(self) -> None:
        """Nothing is held."""


class Sqlite(Engine):
    name = "sqlite"
    words: ClassVar[Mapping[str, str]] = {
        "serial": "integer",
        "many": "",
        "sleep_up": COUNT,
        "sleep_down": COUNT,
    }
    socket = "made-by-seatrial"
    databases = ""
    phases: ClassVar[Mapping[str, str]] = {"after the first file": "*/*.sqlite3", "in a transaction": "*/*-journal"}

    def start(self, run: ledger.Run) -> Running:
        raise SystemExit("SQLite has no server: --mode local")

    def url(self, folder: Path) -> str:
        return ""

    def connect(self, folder: Path) -> Files:
        return Files(folder)

    def ask(self, connection: Files, sql: str) -> list[str] | None:
        with contextlib.suppress(OSError):
            sizes = [path.stat().st_size for path in connection.folder.glob(sql)] if sql else []
            return [str(any(sizes))] if sql else []
        return None


class Postgresql(Engine):
    name = "postgresql"
    words: ClassVar[Mapping[str, str]] = {
        "serial": "serial",
        "sleep_up": "SELECT pg_sleep(0.301)",
        "sleep_down": "SELECT pg_sleep(0.302)",
        # a copy that takes long enough to be met
        "many": "INSERT INTO users (name, email) SELECT 'n', repeat('x', 300) FROM generate_series(1, 60000);",
    }
    socket = ".s.PGSQL.5432"
    databases = "select datname from pg_database"
    phases: ClassVar[Mapping[str, str]] = {
        "after CREATE DATABASE": "select count(*) > 0 from pg_database where datname like 'seatrial\\_%'",
        "in clone": _doing("CREATE DATABASE%TEMPLATE seatrial%"),
        "in up": _doing("%pg_sleep(0.301)%"),
        "in down": _doing("%pg_sleep(0.302)%"),
        "in drop": _doing("DROP DATABASE%"),
    }

    def start(self, run: ledger.Run) -> Running:
        return _postgresql_local.start(run)

    def url(self, folder: Path) -> str:
        return f"postgresql://postgres@/?host={folder}"

    def connect(self, folder: Path) -> Any:
        with contextlib.suppress(psycopg.Error):
            return psycopg.connect(host=str(folder), user="postgres", dbname="postgres", autocommit=True)

    def ask(self, connection: Any, sql: str) -> list[str] | None:
        try:
            return [str(row[0]) for row in connection.execute(sql)]
        except psycopg.Error:
            return None


def _running(words: str) -> str:
    return (
        f"select count(*) > 0 from information_schema.processlist where info like '{words}' and id <> connection_id()"
    )


class Mysql(Engine):
    words: ClassVar[Mapping[str, str]] = {
        "serial": "integer AUTO_INCREMENT",
        "many": "",
        "sleep_up": "SELECT SLEEP(0.301)",
        "sleep_down": "SELECT SLEEP(0.302)",
    }
    socket = "s.sock"
    databases = "show databases"
    phases: ClassVar[Mapping[str, str]] = {
        "after CREATE DATABASE": "select count(*) > 0 from information_schema.schemata"
        " where schema_name like 'seatrial%'",
        "in up": _running("%SLEEP(0.301)%"),
        "in down": _running("%SLEEP(0.302)%"),
        "in drop": _running("DROP DATABASE%"),
    }

    def __init__(self, name: str) -> None:
        self.name = name

    def start(self, run: ledger.Run) -> Running:
        return _mysql_local.start(run, self.name)

    def url(self, folder: Path) -> str:
        return f"{self.name}://root@localhost/?unix_socket={folder / self.socket}"

    def connect(self, folder: Path) -> Any:
        with contextlib.suppress(ServerError):
            return Target(user="root", unix_socket=str(folder / self.socket)).connect(None)

    def ask(self, connection: Any, sql: str) -> list[str] | None:
        try:
            cursor = connection.cursor()
            cursor.execute(sql)
            return [str(row[0]) for row in cursor.fetchall()]
        except (pymysql.err.MySQLError, OSError):
            return None


ENGINES: Mapping[str, Callable[[], Engine]] = {
    "sqlite": Sqlite,
    "postgresql": Postgresql,
    "mysql": lambda: Mysql("mysql"),
    "mariadb": lambda: Mysql("mariadb"),
}


@dataclass(frozen=True, slots=True)
class Inventory:
    """What must be as before: databases of the server, processes of ours, files in the state and temporary folders."""

    databases: frozenset[str]
    processes: frozenset[int]
    files: frozenset[str]

    def beside(self, before: Inventory) -> list[str]:
        """How this one differs from an earlier one, in words."""
        return [
            f"{name}: {sign} {', '.join(sorted(map(str, difference)))}"
            for name in ("databases", "processes", "files")
            for sign, difference in (
                ("new", getattr(self, name) - getattr(before, name)),
                ("gone", getattr(before, name) - getattr(self, name)),
            )
            if difference
        ]


class Place:
    """A project, folders of its own for state and temporary files, and perhaps a server."""

    def __init__(self, engine: Engine, source: str, mode: str) -> None:
        self.engine, self.source, self.mode = engine, source, mode
        self.folder = Path(tempfile.mkdtemp(prefix="sk-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.temporary, self.state, self.project = (self.folder / n for n in ("t", "state", "project"))
        for folder in (self.temporary, self.state, self.project / "migrations" / "versions"):
            folder.mkdir(parents=True)
        self.temporary.chmod(0o1777)
        write = _alembic if source == "alembic" else _golang_migrate
        write(self.project, *({v: t.format(**engine.words) for v, t in texts.items()} for texts in (UP, DOWN)))
        self.own_run = ledger.Run.start()
        self.server = engine.start(self.own_run) if mode == "url" else None

    def close(self) -> None:
        if self.server is not None:
            self.server.stop()
            self.own_run.forget(**self.own_run.entries[0])
        self.own_run.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> subprocess.Popen[bytes]:
        place = ["--engine", self.engine.name]
        if self.server is not None:
            place = ["--server", self.engine.url(self.server.folder)]
        return subprocess.Popen(
            [*common.SEATRIAL, "run", str(self.project), "--report", str(self.folder / "out"), *place],
            env={**os.environ, "TMPDIR": str(self.temporary), "XDG_STATE_HOME": str(self.state)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def connect(self) -> Any:
        """To the script's own server, or to the one that the run just started; None where there is none."""
        folder = self.server.folder if self.server is not None else None
        found = self.temporary.glob(f"seatrial-*/{self.engine.socket}")
        folder = folder or next((path.parent for path in found), None)
        return self.engine.connect(folder) if folder is not None else None

    def inventory(self) -> Inventory:
        connection = self.connect()
        databases = self.engine.ask(connection, self.engine.databases) if connection is not None else None
        if connection is not None:
            connection.close()
        files = (p for folder in (self.temporary, self.state) for p in folder.rglob("*") if not p.is_dir())
        tops = (p for p in self.temporary.iterdir())
        names = {str(p.relative_to(self.folder)) for p in (*files, *tops)}
        return Inventory(frozenset(databases or ()), frozenset(self._processes()), frozenset(names))

    def _processes(self) -> Iterator[int]:
        """Processes that were given our folders or work in them; the script's own server is none of them."""
        mark = str(self.folder).encode()
        for path in Path("/proc").iterdir():
            if not path.name.isdigit() or int(path.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                works_in = str((path / "cwd").readlink()).encode()
                if mark in works_in + (path / "cmdline").read_bytes() + (path / "environ").read_bytes():
                    yield int(path.name)


def _golang_migrate(project: Path, ups: Mapping[int, str], downs: Mapping[int, str]) -> None:
    (project / "seatrial.toml").write_text('[source]\ntype = "golang-migrate"\npath = "migrations"\n')
    for way, texts in (("up", ups), ("down", downs)):
        for version, text in texts.items():
            (project / "migrations" / f"{version}_step.{way}.sql").write_text(text)


def _alembic(project: Path, ups: Mapping[int, str], downs: Mapping[int, str]) -> None:
    project100.write_sql(project, [(up, downs[version]) for version, up in ups.items()])


def settled(place: Place, before: Inventory, seconds: float = 10) -> list[str]:
    """Differences that do not go away within some seconds (a server that was told to stop takes a moment)."""
    limit = time.monotonic() + seconds
    while (found := place.inventory().beside(before)) and time.monotonic() < limit:
        time.sleep(0.1)
    return found


def kill_after(seconds: float) -> Callable[[Place, subprocess.Popen[bytes]], bool]:
    def kill(place: Place, process: subprocess.Popen[bytes]) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return process.poll() is None

    return kill


def kill_in(phase: str) -> Callable[[Place, subprocess.Popen[bytes]], bool]:
    """Wait until the server is in a phase; False where the run ended without it having been seen."""

    def kill(place: Place, process: subprocess.Popen[bytes]) -> bool:
        connection = None
        while process.poll() is None:
            connection = connection or place.connect()
            seen = place.engine.is_in(connection, phase) if connection is not None else None
            if seen:
                return True
            if seen is None:
                connection = None
        return False

    return kill


def once(
    place: Place, before: Inventory, wait: Callable[[Place, subprocess.Popen[bytes]], bool]
) -> tuple[bool, list[str]]:
    """Start, wait, kill; then run undisturbed. Whether it was killed in time, and what is wrong afterwards."""
    process = place.start()
    hit = wait(place, process)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    again = place.start()
    _, said = again.communicate()
    wrong = [] if again.returncode == 1 else [f"the next run ended with {again.returncode}: {said.decode()[-400:]}"]
    return hit, [*wrong, *settled(place, before)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", action="append", choices=tuple(ENGINES))
    parser.add_argument("--source", action="append", choices=("golang-migrate", "alembic"))
    parser.add_argument("--instants", type=int, default=20)
    parser.add_argument("--mode", action="append", choices=("local", "url"))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    wrong = 0
    for name in args.engine or ENGINES:
        modes = [m for m in args.mode or ("local", "url") if m == "local" or name != "sqlite"]
        for source, mode in itertools.product(args.source or ("golang-migrate", "alembic"), modes):
            place = Place(ENGINES[name](), source, mode)
            try:
                wrong += _mode(place, args.instants, random.Random(args.seed))
            finally:
                place.close()
    print(f"\n{'all as before after every kill' if not wrong else f'{wrong} kills left something'}")
    return 1 if wrong else 0


def _mode(place: Place, instants: int, chance: random.Random) -> int:
    before = place.inventory()
    begun = time.monotonic()
    process = place.start()
    _, said = process.communicate()
    lasts = time.monotonic() - begun
    print(
        f"{place.engine.name}, {place.source}, {place.mode}: an undisturbed run takes {lasts:.1f} s"
        f" and ends with {process.returncode} (1 is right)"
    )
    if process.returncode != 1:
        print(said.decode()[-1000:])
    wrong = _told("undisturbed", True, settled(place, before))
    for phase in place.engine.phases:
        wrong += _phase(place, before, phase)
    for number in range(instants):
        instant = chance.uniform(0.02, lasts)
        wrong += _told(f"instant {number + 1}: {instant:.2f} s", *once(place, before, kill_after(instant)))
    return wrong


def _phase(place: Place, before: Inventory, phase: str) -> int:
    for attempt in range(1, 6):
        hit, wrong = once(place, before, kill_in(phase))
        if hit or wrong:
            return _told(phase if attempt == 1 else f"{phase}, run {attempt}", hit, wrong)
    return _told(phase, False, [])


def _told(what: str, hit: bool, wrong: list[str]) -> int:
    state = "; ".join(wrong) or ("as before" if hit else "as before, but the run was over before it could be killed")
    print(f"  {what:24} {state}", flush=True)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
