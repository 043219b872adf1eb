"""The emulations of dbmate and golang-migrate against the programs themselves.

After each step both databases hold the same objects, rows and records, and both accept or refuse the same. dbmate comes
from npm (tests/servers/dbmate.sh). golang-migrate is in none of the registries that CI reaches (CONTRIBUTING.md), so
its tests run where somebody has built it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from engine_fixture import without
from test_sources_support import Sqlite, held, write

from seatrial import sources
from seatrial.errors import SourceError

UP = "-- migrate:up\n"
DOWN = "-- migrate:down\n"
ROOT = Path(__file__).parent.parent


@pytest.fixture
def database(tmp_path):
    return Sqlite(tmp_path / "throwaway.db")


@pytest.fixture(scope="session")
def dbmate():
    """The program, called with a database's URL, the project and a command."""
    places = (os.environ.get("SEATRIAL_DBMATE"), ROOT / ".cache/dbmate/bin/dbmate", shutil.which("dbmate"))
    program = next((str(place) for place in places if place and Path(place).is_file()), None)
    if program is None:
        without("no dbmate here: run tests/servers/install.sh (from npm), or name it in SEATRIAL_DBMATE")

    def call(url: str, project: Path, command: str) -> subprocess.CompletedProcess:
        argv = [program, "--url", url, "-d", str(project / "db/migrations"), "--no-dump-schema", command]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    return call


def dbmate_project(folder: Path, text: str) -> Path:
    return write(folder, {"db/migrations/0001_a.sql": text})


def everything(database) -> tuple:
    records = database.query(f"select * from {'public.' * (database.engine == 'postgresql')}schema_migrations")
    return (sorted(map(str, database.inspect().items())), records)


# --- dbmate -----------------------------------------------------------------------------------------------------------

CASES = {
    "plain": f"{UP}create table a (x);\n{DOWN}drop table a;",
    "comment first": f"-- hello\n\n{UP}create table a (x);\n{DOWN}drop table a;",
    "statement first": f"select 1;\n{UP}create table a (x);\n{DOWN}drop table a;",
    "no down": f"{UP}create table a (x);",
    "down first": f"{DOWN}drop table a;\n{UP}create table a (x);",
    "two downs": f"{UP}create table a (x);\n{DOWN}drop table a;\n{DOWN}drop table a;",
    "two sections": f"{UP}create table a (x);\n{DOWN}drop table a;\n{UP}create table b (x);\n{DOWN}drop table b;",
    "indented": f" {UP}create table a (x);\n{DOWN}drop table a;",
    "close to the dashes": "--migrate:up\ncreate table a (x);\n--  migrate:down\ndrop table a;",
    "junk behind": "-- migrate:upward\ncreate table a (x);\n-- migrate:down\ndrop table a;",
    "failing": f"{UP}create table a (x); insert into nowhere values (1);\n{DOWN}drop table a;",
    "failing without transaction": "-- migrate:up transaction:false\ncreate table a (x); insert into n values (1);\n"
    f"{DOWN}drop table a;",
    "other option": f"-- migrate:up transaction:FALSE\ncreate table a (x); insert into n values (1);\n{DOWN}",
    "foreign keys": f"{UP}create table a as select foreign_keys from pragma_foreign_keys;\n{DOWN}drop table a;",
    "foreign keys inside": f"{UP}pragma foreign_keys = on; create table a as select * from pragma_foreign_keys;\n"
    + DOWN,
    "crlf": f"{UP}create table a (x);\n{DOWN}drop table a;".replace("\n", "\r\n"),
    "failing down": f"{UP}create table a (x);\n{DOWN}drop table a; oops;",
    "empty": f"{UP}{DOWN}",
}


@pytest.mark.parametrize("case", CASES)
def test_dbmate_on_sqlite(tmp_path, database, dbmate, case):
    dbmate_project(tmp_path, CASES[case])
    real = tmp_path / "real.db"
    done = dbmate(f"sqlite:{real}", tmp_path, "migrate")
    try:
        source = sources.find(tmp_path, kind="dbmate", path="db/migrations")
        (migration,) = source.discover()
    except SourceError:
        assert done.returncode != 0
        return
    if migration.no_down and "no `-- migrate:down`" in migration.no_down:
        assert done.returncode != 0  # the one place where ours is milder: it runs and is reported as down-missing
        return
    runner = source.runner(database)
    assert (runner.up(migration).error is None) == (done.returncode == 0), done.stderr
    assert held(database.path) == held(real)
    if done.returncode == 0:
        done = dbmate(f"sqlite:{real}", tmp_path, "rollback")
        assert (runner.down(migration).error is None) == (done.returncode == 0), done.stderr
        assert held(database.path) == held(real)


PG_CASES = {
    "plain": f"{UP}create table a (x int);\n{DOWN}drop table a;",
    "failing": f"{UP}create table a (x int); insert into nowhere values (1);\n{DOWN}drop table a;",
    "several, no transaction": "-- migrate:up transaction:false\ncreate table a (); insert into n values (1);\n" + DOWN,
    "concurrently": f"-- migrate:up transaction:false\ncreate index concurrently i on pg_class (oid);\n{DOWN}",
    "an empty search_path": f"{UP}select pg_catalog.set_config('search_path', '', false); create table public.a ();\n"
    f"{DOWN}drop table a;",
    "another search_path": f"{UP}create schema app; set search_path = app; create table a ();\n{DOWN}",
    "its own transaction": f"{UP}begin; create table a (x int); commit;\n{DOWN}drop table a;",
    "back in a transaction": f"{UP}commit; create table a (x int); begin;\n{DOWN}drop table a;",
    "savepoints": f"{UP}savepoint s; create table a (x int); rollback to savepoint s; create table b ();\n{DOWN}",
}


@pytest.mark.parametrize("case", PG_CASES)
def test_dbmate_on_postgresql(tmp_path, pg, pg_server, dbmate, case):
    real = pg_server.create()
    url = real.url.replace("?host=", "?sslmode=disable&host=").replace("postgresql:", "postgres:")
    beside_dbmate(dbmate_project(tmp_path, PG_CASES[case]), dbmate, url, pg, real)


MYSQL_CASES = {
    "plain": f"{UP}create table a (x int);\n{DOWN}drop table a;",
    "failing": f"{UP}create table a (x int); insert into nowhere values (1);\n{DOWN}drop table a;",
    "failing down": f"{UP}create table a (x int); create table b (x int);\n{DOWN}drop table a; oops;",
    "failing alone": f"-- migrate:up transaction:false\ncreate table a (x int); insert into n values (1);\n{DOWN}",
    "rows taken back": f"{UP}create table a (x int); insert into a values (1); oops;\n{DOWN}drop table a;",
    "its own transaction": f"{UP}create table a (x int); begin; insert into a values (1); commit;\n{DOWN}drop table a;",
    "a trigger's body": f"{UP}create table a (x int); create trigger t before insert on a for each row begin"
    f" set new.x = 1; set new.x = 2; end;\n{DOWN}drop table a;",
    "a session's setting": f"{UP}set foreign_key_checks = 0;"
    f"create table a (x int, foreign key (x) references p (id));\n{DOWN}drop table a;",
    "empty": f"{UP}{DOWN}",
}


@pytest.mark.parametrize("case", MYSQL_CASES)
def test_dbmate_on_mysql_and_mariadb(tmp_path, db, mysql_server, dbmate, case):
    real = mysql_server.create()
    url = real.url.replace("mariadb:", "mysql:").replace("unix_socket=", "socket=").replace("@localhost/", "@/")
    beside_dbmate(dbmate_project(tmp_path, MYSQL_CASES[case]), dbmate, url, db, real)


def beside_dbmate(project: Path, dbmate, url: str, ours, real) -> None:
    """Up and down by the program on one database and by our emulation on the other."""
    source = sources.find(project)
    (migration,) = source.discover()
    runner = source.runner(ours)
    for command, act in (("migrate", runner.up), ("rollback", runner.down)):
        done = dbmate(url, project, command)
        assert (act(migration).error is None) == (done.returncode == 0), done.stderr
        assert everything(ours) == everything(real)
        if done.returncode:
            return


# --- golang-migrate ---------------------------------------------------------------------------------------------------

MIGRATE = os.environ.get("SEATRIAL_MIGRATE") or shutil.which("migrate")

PAIRS = {
    "plain": ("create table a (x int);", "drop table a;"),
    "failing": ("create table a (x int); insert into nowhere values (1);", "drop table a;"),
    "failing down": ("create table a (x int);", "drop table a; oops"),
    "no down": ("create table a (x int);", None),
    "no up": (None, "create table a (x int);"),
    "empty": ("", ""),
    "only comments": ("-- nothing\n", "-- nothing\n"),
    "several without end": ("create table a (x int); create table b (x int)", "drop table a; drop table b"),
    "its own transaction": ("begin; create table a (x int); commit;", "drop table a;"),
}
ONLY_SQLITE = {
    "foreign keys": ("create table a as select foreign_keys from pragma_foreign_keys;", "drop table a;"),
    "foreign keys inside": ("pragma foreign_keys = on; create table a as select * from pragma_foreign_keys;", ""),
}
ONLY_POSTGRESQL = {
    "concurrently alone": ("create index concurrently i on t (x)", "drop index concurrently i"),
    "concurrently in company": ("create index concurrently i on t (x); select 1", "drop index i"),
    "search_path": ("create schema app; set search_path = app; create table a ();", "drop schema app cascade"),
}


def pair_project(folder: Path, up: str | None, down: str | None) -> Path:
    files = {"1_first.up.sql": "create table t (x int);", "1_first.down.sql": "drop table t;"}
    files |= {} if up is None else {"2_case.up.sql": up}
    files |= {} if down is None else {"2_case.down.sql": down}
    return write(folder, {f"migrations/{name}": text for name, text in files.items()})


def beside_migrate(folder: Path, url: str, runner, migrations, compare) -> None:
    """Up, up, down, down by the real program and by ours; after each step both databases hold the same."""
    first, case = migrations
    acts = [
        ("up", runner.up, first),
        ("up", runner.up, case),
        ("down", runner.down, case),
        ("down", runner.down, first),
    ]
    for way, act, migration in acts:
        argv = [MIGRATE, "-path", str(folder / "migrations"), "-database", url, way, "1"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert (act(migration).error is None) == (done.returncode == 0), done.stderr
        compare()
        if done.returncode:
            return


needs_migrate = pytest.mark.skipif(
    not MIGRATE,
    reason="golang-migrate is in no registry that CI reaches (CONTRIBUTING.md); SEATRIAL_MIGRATE may name it",
)


@needs_migrate
@pytest.mark.parametrize("case", PAIRS | ONLY_SQLITE)
def test_golang_migrate_on_sqlite(tmp_path, database, case):
    real = tmp_path / "real.db"
    source = sources.find(pair_project(tmp_path, *(PAIRS | ONLY_SQLITE)[case]))

    def compare() -> None:
        assert held(database.path) == held(real)

    beside_migrate(tmp_path, f"sqlite3://{real}", source.runner(database), source.discover(), compare)


@needs_migrate
@pytest.mark.parametrize("case", PAIRS | ONLY_POSTGRESQL)
def test_golang_migrate_on_postgresql(tmp_path, pg, pg_server, case):
    real = pg_server.create()
    url = real.url.replace("?host=", "?sslmode=disable&host=")
    source = sources.find(pair_project(tmp_path, *(PAIRS | ONLY_POSTGRESQL)[case]))

    def compare() -> None:
        assert everything(pg) == everything(real)

    beside_migrate(tmp_path, url, source.runner(pg), source.discover(), compare)
