"""What goes wrong around a run: connections killed, disks full, locks held, packets too large.

Each ends as *could not be tested* (exit code 2), in words that say what happened, never as the migration's own failure;
nothing is left behind, and the next run is as if nothing had been.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from missing import without
from trial_fixtures import project

from seatrial.app import open_server
from seatrial.cli import main
from seatrial.errors import ServerError
from seatrial.servers.mysql import MysqlServer
from seatrial.servers.postgresql import PostgresqlServer

ONCE = "[retry]\nattempts = 0\n"  # what is tried again, and how, is told elsewhere
FEW = "[seed]\nrows = 2\n"


class Told:
    """How a run of the command ended."""

    def __init__(self, out: Path, done: Result) -> None:
        self.exit_code, self.output = done.exit_code, done.output
        self.report = json.loads((out / "report.json").read_text()) if (out / "report.json").exists() else None

    def is_no_fault_of_the_migration(self, words: str) -> None:
        """It could not be tested, in these words, and is no failure."""
        assert self.exit_code == 2, self.output
        assert words in " ".join(self.output.split()), self.output
        assert "Traceback" not in self.output
        assert "a bug in Seatrial" not in self.output
        for migration in self.report["migrations"] if self.report else ():
            assert migration["status"] != "failed"
            assert migration["findings"] == []


def run(folder: Path, *arguments: str) -> Told:
    out = folder / "out"
    (out / "report.json").unlink(missing_ok=True)
    return Told(out, CliRunner().invoke(main, ["run", str(folder), "--report", str(out), *arguments]))


@contextlib.contextmanager
def meanwhile(disturb: Callable[[], object], every_s: float = 0.01) -> Iterator[list[object]]:
    """Calls ``disturb`` again and again beside the block; what it returned, where that was something."""
    over, done = threading.Event(), []

    def loop() -> None:
        while not over.is_set():
            if result := disturb():
                done.append(result)
            time.sleep(every_s)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()


# --- a connection that is killed ---

PG_TABLE = ("CREATE TABLE t (id integer PRIMARY KEY, n integer NOT NULL);", "DROP TABLE t;")
PG_SLOW = (
    "ALTER TABLE t ALTER COLUMN n TYPE bigint USING CASE WHEN pg_sleep(0.2) IS NULL THEN n ELSE n END;",
    "ALTER TABLE t ALTER COLUMN n TYPE integer;",
)


def pg_databases(server: PostgresqlServer) -> list[tuple[str | None, ...]]:
    return server.maintain("SELECT datname FROM pg_database ORDER BY 1")


def test_postgresql_connection_killed_in_the_middle_of_an_alter(pg_server: PostgresqlServer, tmp_path: Path) -> None:
    folder = project(tmp_path, [PG_TABLE, PG_SLOW], settings=FEW + ONCE)
    url, before = pg_server.url("postgres"), pg_databases(pg_server)
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE state = 'active' AND query LIKE 'ALTER TABLE t ALTER%' AND query NOT LIKE '%pg_stat%'"
    )
    with meanwhile(lambda: pg_server.maintain(kill)) as killed:
        told = run(folder, "--server", url)
    assert killed
    told.is_no_fault_of_the_migration("terminating connection due to administrator command. See in the server's log")
    assert pg_databases(pg_server) == before
    assert run(folder, "--server", url).exit_code == 0
    assert pg_databases(pg_server) == before


MYSQL_TABLE = ("CREATE TABLE t (id integer PRIMARY KEY, v varchar(40) NOT NULL);", "DROP TABLE t;")
MYSQL_SLOW = (
    "ALTER TABLE t ADD COLUMN h varchar(64) AS (SHA2(REPEAT(v, 4000000), 256)) STORED;",
    "ALTER TABLE t DROP COLUMN h;",
)


def mysql_databases(server: MysqlServer) -> set[tuple[str | None, ...]]:
    return set(server.maintain("SHOW DATABASES"))


def kill_mysql(server: MysqlServer, words: str) -> int:
    """Kill the connections that run a statement with these words."""
    found = [row[0] for row in server.maintain("SHOW FULL PROCESSLIST") if words in str(row[7])]
    for number in found:
        with contextlib.suppress(ServerError):  # it is over already
            server.maintain(f"KILL {number}")
    return len(found)


def test_mysql_connection_killed_in_the_middle_of_an_alter(mysql_server: MysqlServer, tmp_path: Path) -> None:
    folder = project(tmp_path, [MYSQL_TABLE, MYSQL_SLOW], settings=FEW + ONCE)
    url, before = mysql_server.url(""), mysql_databases(mysql_server)
    with meanwhile(lambda: kill_mysql(mysql_server, "ALTER TABLE t ADD COLUMN h")) as killed:
        told = run(folder, "--server", url)
    assert killed
    told.is_no_fault_of_the_migration("See in the server's log why the connection ended")
    assert mysql_databases(mysql_server) == before
    assert run(folder, "--server", url).exit_code == 0
    assert mysql_databases(mysql_server) == before


# --- a full disk ---

ROWS = {  # a statement that would need far more room than there is
    "sqlite": "INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000000)"
    " SELECT i + 1000000000, hex(randomblob(50)) FROM n;",
    "postgresql": "INSERT INTO big SELECT i + 1000000000, repeat(md5(i::text), 4) FROM generate_series(1, 4000000) i;",
    "mysql": "INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)"
    " SELECT 1000000000 + a.i * 1000 + b.i, REPEAT('x', 4000) FROM n a, n b;",
}
ROWS["mariadb"] = ROWS["mysql"]
ROOM = {"sqlite": "4m", "postgresql": "110m", "mariadb": "330m", "mysql": "330m"}


@pytest.fixture
def small_disk() -> Iterator[Callable[[str], Path]]:
    """A file system of a given size, under a path that is short enough for a socket and open to everybody."""
    place = Path(tempfile.mkdtemp(prefix="seatrial-test-", dir="/tmp"))
    place.chmod(0o755)

    def mount(size: str) -> Path:
        options = f"size={size},mode=1777"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], capture_output=True, text=True)
        if done.returncode:
            without(f"no small file system can be mounted here: {done.stderr.strip()}")
        return place

    yield mount
    subprocess.run(["umount", place], capture_output=True)
    place.rmdir()


@pytest.mark.parametrize("engine", ["sqlite", "postgresql", "mariadb", "mysql"])
def test_full_disk(engine, state_folder, small_disk, monkeypatch, tmp_path):
    disk = small_disk(ROOM[engine])
    big = ("CREATE TABLE big (id bigint PRIMARY KEY, v text);", "DROP TABLE big;")
    folder = project(tmp_path, [big, (ROWS[engine], "DELETE FROM big WHERE id > 1000000000;")], settings=FEW + ONCE)
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    run(folder, "--engine", engine).is_no_fault_of_the_migration("TMPDIR")
    assert list(disk.iterdir()) == []
    small = ("ALTER TABLE big ADD COLUMN w text;", "ALTER TABLE big DROP COLUMN w;")
    after = run(project(tmp_path / "after", [big, small], settings=FEW + ONCE), "--engine", engine)
    assert after.exit_code == 0, after.output
    assert list(disk.iterdir()) == []


@pytest.mark.parametrize("engine", ["mariadb"])  # MySQL too, by hand: it may end itself where its log has no room
def test_full_disk_of_a_server_behind_a_url(engine, state_folder, small_disk, monkeypatch, tmp_path):
    """The server lives on, so what was made there has to go."""
    disk = small_disk(ROOM[engine])
    big = ("CREATE TABLE big (id bigint PRIMARY KEY, v text);", "DROP TABLE big;")
    folder = project(tmp_path, [big, (ROWS[engine], "DELETE FROM big WHERE id > 1000000000;")], settings=FEW + ONCE)
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(disk))
        try:
            server = open_server(engine, None)
        except ServerError as error:
            without(f"no {engine} here: {error}")
    with server:
        before = mysql_databases(server)
        run(folder, "--server", server.url("")).is_no_fault_of_the_migration("Give the server room where it keeps")
        assert mysql_databases(server) == before
        small = ("ALTER TABLE big ADD COLUMN w text;", "ALTER TABLE big DROP COLUMN w;")
        after = run(project(tmp_path / "after", [big, small], settings=FEW + ONCE), "--server", server.url(""))
        assert after.exit_code == 0, after.output
        assert mysql_databases(server) == before


# --- a lock that another session holds ---


def test_postgresql_lock_wait_timeout(pg_server: PostgresqlServer, tmp_path: Path) -> None:
    waits = ("SELECT pg_sleep(0.4);\nALTER TABLE t ADD COLUMN w text;", "ALTER TABLE t DROP COLUMN w;")
    settings = FEW + ONCE + "[source]\nsession = [\"SET lock_timeout = '300ms'\"]\n"
    folder = project(tmp_path, [PG_TABLE, waits], settings=settings)
    url, before = pg_server.url("postgres"), pg_databases(pg_server)
    asleep = "SELECT datname FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(0.4)%' AND state = 'active'"
    held: list[psycopg.Connection[tuple[object, ...]]] = []

    def hold() -> list[str]:
        names = [str(name) for (name,) in pg_server.maintain(asleep)]
        for name in names:
            held.append(pg_server.connect(name))
            held[-1].execute("BEGIN; SELECT * FROM t")
        time.sleep(0.5 if names else 0)
        return names

    with meanwhile(hold) as locked:
        told = run(folder, "--server", url)
    for other in held:
        other.close()
    assert locked
    told.is_no_fault_of_the_migration("lock timeout. End the session that holds the lock")
    assert pg_databases(pg_server) == before
    assert run(folder, "--server", url).exit_code == 0
    assert pg_databases(pg_server) == before


def test_mysql_lock_wait_timeout(mysql_server: MysqlServer, tmp_path: Path) -> None:
    waits = ("SELECT SLEEP(0.4);\nALTER TABLE t ADD COLUMN w text;", "ALTER TABLE t DROP COLUMN w;")
    settings = FEW + ONCE + '[source]\nsession = ["SET lock_wait_timeout = 1"]\n'
    folder = project(tmp_path, [MYSQL_TABLE, waits], settings=settings)
    url, before = mysql_server.url(""), mysql_databases(mysql_server)
    held = []

    def hold() -> list[object]:
        listed = mysql_server.maintain("SHOW FULL PROCESSLIST")
        names = [str(row[3]) for row in listed if str(row[7]).startswith("SELECT SLEEP(0.4)")]
        for name in names:
            held.append(mysql_server.connect(name))
            held[-1].cursor().execute("BEGIN")
            held[-1].cursor().execute("SELECT * FROM t")
        time.sleep(0.5 if names else 0)
        return names

    with meanwhile(hold) as locked:
        told = run(folder, "--server", url)
    for other in held:
        other.close()
    assert locked
    told.is_no_fault_of_the_migration("Lock wait timeout exceeded")
    assert mysql_databases(mysql_server) == before
    assert run(folder, "--server", url).exit_code == 0
    assert mysql_databases(mysql_server) == before


def test_sqlite_lock_wait_timeout(state_folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = ("CREATE TABLE t (id integer PRIMARY KEY, v text);", "DROP TABLE t;")
    adds = ("ALTER TABLE t ADD COLUMN w text;", "ALTER TABLE t DROP COLUMN w;")
    settings = FEW + ONCE + '[source]\nsession = ["PRAGMA busy_timeout = 100"]\n'
    folder = project(tmp_path / "p", [table, adds], settings=settings)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    held: dict[int, sqlite3.Connection] = {}

    def hold() -> bool:
        for path in scratch.glob("seatrial-*-sqlite/*/seatrial_*.sqlite3"):
            with contextlib.suppress(sqlite3.Error, OSError):  # it is replaced, or not made yet
                file = path.stat().st_ino  # each time that the database is brought back, another one
                other = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=0)
                if file not in held and other.execute("SELECT 1 FROM sqlite_schema WHERE name = 't'").fetchone():
                    other.execute("BEGIN IMMEDIATE")
                    held[file] = other
        return bool(held)

    with meanwhile(hold, 0.001) as locked:
        told = run(folder, "--engine", "sqlite")
    for other in held.values():
        other.close()
    assert locked
    told.is_no_fault_of_the_migration("database is locked. End the session that holds the lock")
    assert list(scratch.iterdir()) == []
    assert run(folder, "--engine", "sqlite").exit_code == 0
    assert list(scratch.iterdir()) == []


# --- a packet that is too large ---


def test_seed_larger_than_max_allowed_packet(mysql_server: MysqlServer, tmp_path: Path) -> None:
    table = ("CREATE TABLE t (id integer PRIMARY KEY, v longtext NOT NULL);", "DROP TABLE t;")
    adds = ("ALTER TABLE t ADD COLUMN w text;", "ALTER TABLE t DROP COLUMN w;")
    seed = f"INSERT INTO t VALUES (1, 'a');\nINSERT INTO t VALUES (2, '{'x' * 3_000_000}');\n"
    folder = project(tmp_path, [table, adds], seed=seed, settings=ONCE)
    url, before = mysql_server.url(""), mysql_databases(mysql_server)
    kept = mysql_server.maintain("SELECT @@GLOBAL.max_allowed_packet")[0][0]
    mysql_server.maintain("SET GLOBAL max_allowed_packet = 1048576")
    try:
        told = run(folder, "--server", url)
    finally:
        mysql_server.maintain(f"SET GLOBAL max_allowed_packet = {kept}")
    told.is_no_fault_of_the_migration("seed.sql, line 2: the statement has 3,000,")
    told.is_no_fault_of_the_migration("server is 1,048,576; set it higher there, or split the statement")
    assert len(told.output) < 3000  # of three million
    assert mysql_databases(mysql_server) == before
    assert run(folder, "--server", url).exit_code == 0
    assert mysql_databases(mysql_server) == before
