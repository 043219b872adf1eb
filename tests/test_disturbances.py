"""What goes wrong around a run: connections killed, disks full, locks held, packets too large.

Each ends as *could not be tested* (exit code 2), in words that say what happened, never as the migration's own failure;
nothing is left behind, and the next run is as if nothing had been.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from disk_fixtures import BALLAST, ROOM, Doomed
from engine_fixture import without
from trial_fixtures import project

from seatrial.app import open_server
from seatrial.cli import main
from seatrial.errors import ServerError
from seatrial.model import Migration, Step
from seatrial.trial.stand import Steps

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

TABLE = ("CREATE TABLE t (id integer PRIMARY KEY, n integer NOT NULL, v varchar(40));", "DROP TABLE t;")
ADDS = ("ALTER TABLE t ADD COLUMN w text;", "ALTER TABLE t DROP COLUMN w;")
ON_MYSQL = ("ALTER TABLE t ADD COLUMN h varchar(64) AS (SHA2(REPEAT(id, 40000000), 256)) STORED;", ADDS[1])
SLOW = {  # an ALTER that takes its time over each row
    "postgresql": ("ALTER TABLE t ALTER COLUMN n TYPE bigint USING CASE WHEN pg_sleep(0.2) IS NULL THEN n ELSE n END;",
                   "ALTER TABLE t ALTER COLUMN n TYPE integer;"),
    "mysql": ON_MYSQL,
    "mariadb": ON_MYSQL,
}  # fmt: skip


@pytest.mark.engines("postgresql", "mariadb", "mysql")
def test_a_connection_killed_in_the_middle_of_an_alter(outside) -> None:
    up, down = SLOW[outside.name]
    folder = project(outside.folder, [TABLE, (up, down.replace("w;", "h;"))], settings=FEW + ONCE)
    before = outside.databases()
    for _ in range(3):  # on a fast machine beside others it may be over before anybody looks
        with meanwhile(lambda: outside.kill(up[:20])) as killed:
            told = run(folder, *outside.engine.arguments)
        if killed:
            break
    assert killed
    told.is_no_fault_of_the_migration("See in the server's log why the connection ended")
    assert outside.databases() == before
    assert run(folder, *outside.engine.arguments).exit_code == 0


# --- a full disk ---

ROWS = {  # a statement that would need far more room than there is
    "sqlite": "INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000000)"
    " SELECT i + 1000000000, hex(randomblob(50)) FROM n;",
    "postgresql": "INSERT INTO big SELECT i + 1000000000, repeat(md5(i::text), 4) FROM generate_series(1, 4000000) i;",
    "mysql": "INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)"
    " SELECT 1000000000 + a.i * 1000 + b.i, REPEAT('x', 4000) FROM n a, n b;",
}
ROWS["mariadb"] = ROWS["mysql"]


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


@pytest.mark.parametrize("engine", ["mariadb", "mysql"])
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
        before = server.maintain("SHOW DATABASES")
        run(folder, "--server", server.url("")).is_no_fault_of_the_migration("Give the server room where it keeps")
        assert server.maintain("SHOW DATABASES") == before
        small = ("ALTER TABLE big ADD COLUMN w text;", "ALTER TABLE big DROP COLUMN w;")
        after = run(project(tmp_path / "after", [big, small], settings=FEW + ONCE), "--server", server.url(""))
        assert after.exit_code == 0, after.output
        assert server.maintain("SHOW DATABASES") == before


# --- a server of our own that ends ---

DEATHS = [  # the engine, and a part of the statement before which its server ends
    ("postgresql", "connection 4"),
    ("postgresql", ADDS[0].rstrip(";")),
    ("postgresql", "COMMIT"),
    ("mariadb", "INSERT INTO t VALUES (1, 1, 'seeded')"),
    ("mariadb", "ENGINE=MyISAM AS SELECT"),  # a snapshot
    ("mysql", "insert into `schema_migrations`"),
]


@pytest.mark.parametrize(("engine", "before"), DEATHS)
def test_our_own_server_ends_on_a_full_disk(engine, before, state_folder, small_disk, monkeypatch, tmp_path):
    """To who is connected a lost connection is all there is; its process, its log and the disk tell what it was."""
    seed = f"{before};" if "seeded" in before else None
    settings = ONCE if seed else FEW + ONCE
    folder, disk = project(tmp_path, [TABLE, ADDS], seed=seed, settings=settings), small_disk(ROOM[engine])
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(disk))
        doomed = Doomed(patch, engine, before, disk)
        told = run(folder, "--engine", engine)
    assert doomed.ended
    told.is_no_fault_of_the_migration("server that Seatrial had started ended by itself (")
    told.is_no_fault_of_the_migration(") for want of room on its disk")
    told.is_no_fault_of_the_migration(f"Make room in {disk}, or set TMPDIR to another folder, then run again.")
    assert [path.name for path in disk.iterdir()] == [BALLAST]


def test_our_own_server_is_killed(state_folder, monkeypatch, tmp_path):
    folder = project(tmp_path, [TABLE, ADDS], settings=FEW + ONCE)
    with monkeypatch.context() as patch:
        doomed = Doomed(patch, "mariadb", ADDS[0].rstrip(";"))
        told = run(folder, "--engine", "mariadb")
    assert doomed.ended
    told.is_no_fault_of_the_migration(
        "The MariaDB server that Seatrial had started ended by itself (SIGKILL). Run again;"
    )
    assert "TMPDIR" not in told.output


def test_our_own_server_is_gone_when_its_databases_are_dropped(state_folder, monkeypatch, tmp_path):
    """By then everything is known, and what was to go is gone."""
    folder = project(tmp_path, [TABLE, ADDS], settings=FEW + ONCE)
    with monkeypatch.context() as patch:
        doomed = Doomed(patch, "mariadb", "DROP DATABASE")
        told = run(folder, "--engine", "mariadb")
    assert doomed.ended
    assert told.exit_code == 0, told.output
    assert [m["status"] for m in told.report["migrations"]] == ["passed", "passed"]


# --- a lock that another session holds ---

LOCKED = {
    "sqlite": "database is locked. End the session that holds the lock",
    "postgresql": "lock timeout. End the session that holds the lock",
    "mysql": "Lock wait timeout exceeded",
    "mariadb": "Lock wait timeout exceeded",
}


def test_a_lock_wait_timeout(outside, monkeypatch) -> None:
    table = (f"{TABLE[0]} INSERT INTO t VALUES (1, 1, 'a');", TABLE[1])
    folder = project(outside.folder, [table, ADDS], settings=FEW + ONCE + outside.waits)
    before, plain = outside.databases(), Steps.up

    def up(steps: Steps, migration: Migration) -> Step:
        if migration.id == "0002":
            outside.lock()
        return plain(steps, migration)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "up", up)
        told = run(folder, *outside.engine.arguments)
    assert outside.holders
    told.is_no_fault_of_the_migration(LOCKED[outside.name])
    assert outside.databases() == before
    assert run(folder, *outside.engine.arguments).exit_code == 0


# --- a packet that is too large ---


@pytest.mark.engines("mariadb", "mysql")
def test_seed_larger_than_max_allowed_packet(outside) -> None:
    table = ("CREATE TABLE t (id integer PRIMARY KEY, v longtext NOT NULL);", "DROP TABLE t;")
    seed = f"INSERT INTO t VALUES (1, 'a');\nINSERT INTO t VALUES (2, '{'x' * 3_000_000}');\n"
    folder = project(outside.folder, [table, ADDS], seed=seed, settings=ONCE)
    before = outside.databases()
    ((kept,),) = outside.ask("SELECT @@GLOBAL.max_allowed_packet")
    outside.ask("SET GLOBAL max_allowed_packet = 1048576")
    try:
        told = run(folder, *outside.engine.arguments)
    finally:
        outside.ask(f"SET GLOBAL max_allowed_packet = {kept}")
    told.is_no_fault_of_the_migration("seed.sql, line 2: the statement has 3,000,")
    told.is_no_fault_of_the_migration("server is 1,048,576; set it higher there, or split the statement")
    assert len(told.output) < 3000  # of three million
    assert outside.databases() == before
    assert run(folder, *outside.engine.arguments).exit_code == 0
