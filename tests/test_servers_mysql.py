"""MySQL and MariaDB servers: only what is ours is touched, nothing is left behind, no password is shown."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seatrial.engines._mysql_link import Link, disturbance, error_kind, is_driver_error
from seatrial.engines.mariadb import open_database
from seatrial.engines.mysql import MysqlDatabase
from seatrial.errors import DatabaseError, NotOurs, ServerError
from seatrial.model import Disturbance, ErrorKind, Script, StepError, TablePair, TableRef
from seatrial.servers import ledger
from seatrial.servers._mysql_target import Target
from seatrial.servers.mysql import MARKER, MysqlServer, clean
from seatrial.servers.urls import redact


def databases(server: MysqlServer) -> set[str]:
    return {str(r[0]) for r in server.maintain("show databases")}


def test_a_server_behind_a_url_makes_and_drops_its_own(mysql_server: MysqlServer) -> None:
    before = databases(mysql_server)
    with MysqlServer.at(mysql_server.target.url(""), open_database) as server:
        assert (server.engine, server.version, server.is_local) == (mysql_server.engine, mysql_server.version, False)
        one, two = server.create(), server.create()
        assert one.url != two.url
        assert one.run(Script(text="create table t (id int primary key); insert into t values (1)")).error is None
        shot = one.take("A")
        handle = one.checkpoint()
        assert one.run(Script(text="delete from t")).error is None
        one.restore(handle)
        again = one.take("B", since=shot)
        assert again.tables == shot.tables
        assert len(databases(mysql_server) - before) == 4
    assert databases(mysql_server) == before


def test_a_url_that_names_a_database_with_tables_is_refused(mysql_server: MysqlServer) -> None:
    mysql_server.maintain("create database shop")
    mysql_server.maintain("create table shop.orders (id int)")
    try:
        with pytest.raises(NotOurs, match="1 table"):
            MysqlServer.at(mysql_server.target.url("shop"), open_database)
        mysql_server.maintain("drop table shop.orders")
        MysqlServer.at(mysql_server.target.url("shop"), open_database).close()
        assert "shop" in databases(mysql_server)
    finally:
        mysql_server.maintain("drop database shop")


def test_databases_that_only_look_like_ours_stay(mysql_server: MysqlServer) -> None:
    foreign = ["seatrial_abc123_1", "seatrial_backup", "seatrial_abc123_1_shadow"]
    for name in foreign:
        mysql_server.maintain(f"create database {name}")
    try:
        with MysqlServer.at(mysql_server.target.url(""), open_database):
            pass
        assert set(foreign) <= databases(mysql_server)
        with pytest.raises(NotOurs):
            mysql_server.drop_database("shop")
    finally:
        for name in foreign:
            mysql_server.maintain(f"drop database {name}")


KILLED = """
import os, sys
from seatrial.engines.mariadb import open_database
from seatrial.servers.mysql import MysqlServer
make = MysqlServer.at if "://" in sys.argv[1] else MysqlServer.local
server = make(sys.argv[1], open_database)
database = server.create()
database.execute("create table t (a int)")
print(server.data_folder or database.name, flush=True)
sys.stdin.read()
"""


def _started(argument: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), argument],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def _kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_databases_of_a_killed_run_are_dropped_and_those_of_a_living_one_stay(mysql_server: MysqlServer) -> None:
    url = mysql_server.target.url("")
    process, name = _started(url)
    with MysqlServer.at(url, open_database):
        assert {name, f"{name}_shadow"} <= databases(mysql_server)
    _kill(process)
    with MysqlServer.at(url, open_database):
        assert not {name, f"{name}_shadow"} & databases(mysql_server)


def test_a_run_of_another_machine_is_known_by_its_marker_and_spared_while_it_lives(
    mysql_server: MysqlServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    url = mysql_server.target.url("")
    process, name = _started(url)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))  # another machine has another ledger
    with MysqlServer.at(url, open_database):
        assert name in databases(mysql_server)
    _kill(process)
    with MysqlServer.at(url, open_database):
        assert name not in databases(mysql_server)


@pytest.mark.parametrize("gone", ["DROP DATABASE `{}`", f"DROP TABLE `{{}}`.{MARKER}"])
def test_what_another_run_drops_while_leftovers_are_looked_for_is_passed_over(
    mysql_server: MysqlServer, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    name = mysql_server._new_database()
    shadow, maintain = f"{name}_shadow", MysqlServer.maintain

    def meanwhile(server: MysqlServer, sql: str) -> list[tuple[str | None, ...]]:
        rows = maintain(server, sql)
        if server is not mysql_server and "TABLES" in sql and shadow in sql and rows[0][0] == "1":
            mysql_server.maintain(gone.format(shadow))
        return rows

    monkeypatch.setattr(MysqlServer, "maintain", meanwhile)
    with MysqlServer.at(mysql_server.target.url(""), open_database) as server:
        assert server.version == mysql_server.version
    assert name in databases(mysql_server)  # a live run's
    mysql_server.drop_database(shadow)
    mysql_server.drop_database(name)


def test_a_local_server_of_a_killed_run_is_stopped_and_removed(mysql_server: MysqlServer) -> None:
    process, data = _started(mysql_server.engine)
    folder = Path(data).parent
    pid = int((folder / "pid").read_text())
    _kill(process)
    assert folder.exists()
    assert any(str(pid) in line for line in clean())
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists() or b"mysqld" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_closed_local_server_leaves_nothing(state_folder: str, mysql_server: MysqlServer) -> None:
    server = MysqlServer.local(mysql_server.engine, open_database)
    folder = Path(str(server.data_folder)).parent
    server.create()
    server.close()
    assert not folder.exists()
    assert not [e for run in _entries() for e in run if e.get("folder") == str(folder)]


def _entries() -> list[tuple[ledger.Facts, ...]]:
    with ledger.dead_runs() as dead:
        return [run.entries for run in dead]


def test_a_wrong_password_is_told_without_it(mysql_server: MysqlServer) -> None:
    mysql_server.maintain("create user 'guest'@'localhost' identified by 'right'")
    try:
        target = Target(user="guest", password="s3cret/%", unix_socket=mysql_server.target.unix_socket)
        with pytest.raises(ServerError) as refused:
            MysqlServer.at(target.url(""), open_database)
        assert "guest:***@" in str(refused.value)
        assert "s3cret" not in str(refused.value)
        assert refused.value.__cause__ is None
    finally:
        mysql_server.maintain("drop user 'guest'@'localhost'")


def test_a_password_of_any_characters(mysql_server: MysqlServer) -> None:
    secret = 'p@s:/s%#w"öł'
    mysql_server.maintain(f"create user 'odd'@'localhost' identified by '{secret}'")
    try:
        target = Target(user="odd", password=secret, unix_socket=mysql_server.target.unix_socket)
        with contextlib.closing(Target.parse(target.url("")).connect(None)) as connection:
            assert connection.open
        assert secret not in target.redacted
    finally:
        mysql_server.maintain("drop user 'odd'@'localhost'")


@pytest.mark.parametrize("url", ["mysql://u:pw@127.0.0.1:1/x", "mysql://u:pw@/x?unix_socket=/nowhere"])
def test_an_unreachable_server_is_told(state_folder: str, url: str) -> None:
    with pytest.raises(ServerError, match="cannot be used") as refused:
        MysqlServer.at(url, open_database)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize("url", ["postgresql://u:pw@h/x", "mysql://u:pw@h:port/x", "mysql://u:pw@h/x?ssl-mode=maybe"])
def test_unreadable_urls(url: str) -> None:
    with pytest.raises(ServerError) as refused:
        Target.parse(url)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://root@localhost/db?unix_socket=/tmp/s.sock",
        "mariadb://u%40x:p%2F%25%3A@db.example:3307/a%20b",
        "mysql://u:p@[::1]/db?ssl-mode=VERIFY_IDENTITY&ssl_ca=/ca.pem",
        "mysql://u@h/db?charset=utf8mb4",
    ],
)
def test_urls_go_in_and_out_unchanged(url: str) -> None:
    target = Target.parse(url)
    assert Target.parse(target.url(target.database)) == target


def test_redaction_of_anything() -> None:
    assert redact("mysql://u:p@ss@h/db?password=x&a=b") == "mysql://u:***@h/db?password=***&a=b"


def test_no_program_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch, state_folder: str, tmp_path: Path) -> None:
    monkeypatch.setenv("SEATRIAL_MYSQL_ROOT", str(tmp_path))
    with pytest.raises(ServerError, match=r"holds no mysql server.*SEATRIAL_MYSQL_ROOT"):
        MysqlServer.local("mysql", open_database)
    assert os.environ["SEATRIAL_MYSQL_ROOT"] == str(tmp_path)


def test_a_missing_driver_is_told(monkeypatch: pytest.MonkeyPatch, state_folder: str) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(ServerError, match=r"pip install 'seatrial\[mysql\]'"):
        MysqlServer.at("mysql://u@h/", open_database)


@pytest.fixture
def plain_user(mysql_server: MysqlServer) -> Iterator[MysqlServer]:
    """The server, by a user who has all rights on databases of Seatrial's names and none on the server."""
    mysql_server.maintain("create user 'plain'@'localhost' identified by 'pw'")
    mysql_server.maintain("grant all on `seatrial\\_%`.* to 'plain'@'localhost'")
    target = dataclasses.replace(mysql_server.target, user="plain", password="pw")
    try:
        with MysqlServer.at(target.url(""), open_database) as server:
            yield server
    finally:
        mysql_server.maintain("drop user 'plain'@'localhost'")


def test_a_user_of_our_databases_alone_is_enough(plain_user: MysqlServer) -> None:
    one = plain_user.create()
    made = "create table t (id int primary key, s varchar(9)); insert into t values (1, 'a'); create view v as select 1"
    assert one.run(Script(text=made)).error is None
    shot, handle = one.take("A"), one.checkpoint()
    assert one.run(Script(text="update t set s = 'b'; drop view v")).error is None
    t = TableRef("", "t")
    pair = TablePair(old=t, new=t, columns=(("id", "id"), ("s", "s")), key=("id",))
    (found,) = one.diff(shot, one.take("B"), [pair])
    assert found.changed_count == 1
    one.restore(handle)
    back = one.take("C")
    assert (back.tables, back.schema) == (shot.tables, shot.schema)
    one.close()


def test_a_setting_that_is_refused_is_told_as_ours(mysql_server: MysqlServer) -> None:
    link = Link(mysql_server.connect, "", ("SET SESSION no_such_setting = 1",))
    with pytest.raises(DatabaseError, match="no_such_setting") as told:
        link.rows("SELECT 1")
    assert told.value.code == "1193"
    wished = Link(mysql_server.connect, "", (), ("SET SESSION no_such_setting = 1",))
    assert wished.value("SELECT 1") == "1"


FULL = [
    (3, 'Error writing file "./a/b.MYD" (Errcode: 28 "No space left on device")'),
    (14, "Can't change size of file (Errcode: -536698784)"),
    (20, "Disk got full writing 'a.b' (Errcode: 28)"),
    (1026, "Error writing file 'x' (errno: 28 - No space left on device)"),
    (1030, "Got error 28 - 'No space left on device' from storage engine"),
    (1878, "Temporary file write failure."),
]


@pytest.mark.parametrize(("code", "message"), FULL, ids=[str(c) for c, _ in FULL])
def test_a_full_disk_is_the_servers_fault_however_it_is_told(code: int, message: str) -> None:
    kind = error_kind(code, message)
    assert kind is ErrorKind.ENVIRONMENT
    assert disturbance(StepError(message=message, kind=kind, code=str(code))) is Disturbance.RESOURCE
    assert disturbance(DatabaseError(message, code=str(code), kind=kind)) is Disturbance.RESOURCE


def test_an_engine_that_refuses_a_statement_is_no_full_disk() -> None:
    message = "Got error 139 'Too big row' from storage engine InnoDB"
    assert error_kind(1030, message) is ErrorKind.MIGRATION
    assert disturbance(StepError(message=message, code="1030")) is None


STERN = {
    "mysql": ("set global sql_require_primary_key = on", "set global sql_require_primary_key = off"),
    "mariadb": ("set global enforce_storage_engine = 'InnoDB'", "set global enforce_storage_engine = default"),
}


def test_copies_take_the_form_that_the_server_allows(plain_user: MysqlServer, mysql_server: MysqlServer) -> None:
    on, off = STERN[plain_user.engine]
    mysql_server.maintain(on)
    try:
        one = plain_user.create()
        assert one.run(Script(text="create table t (id varchar(9) primary key, v int)")).error is None
        assert one.run(Script(text="insert into t values ('a', 1), ('b', 2), ('c', 2)")).error is None
        shot, handle = one.take("A"), one.checkpoint()
        assert one.run(Script(text="update t set v = 3 where id = 'b'; delete from t where id = 'c'")).error is None
        t = TableRef("", "t")
        pair = TablePair(old=t, new=t, columns=(("id", "id"), ("v", "v")), key=("id",))
        (found,) = one.diff(shot, one.take("B"), [pair])
        assert (found.changed_count, found.lost_count, found.added_count) == (1, 1, 0)
        (loose,) = one.diff(shot, one.take("B"), [dataclasses.replace(pair, key=())])
        assert (loose.lost_count, loose.added_count) == (2, 1)
        one.restore(handle)
        assert one.take("C").tables == shot.tables
        one.close()
    finally:
        mysql_server.maintain(off)


def test_where_room_is_short_copies_are_made_by_an_engine_that_refuses(mysql_server: MysqlServer) -> None:
    one = mysql_server.create()
    assert isinstance(one, MysqlDatabase)
    folder = Path(str(mysql_server.data_folder)) / one.name
    kinds = f"select distinct engine from information_schema.tables where table_schema = '{one.name}_shadow'"
    kinds += f" and table_name <> '{MARKER}'"
    assert one.run(Script(text="create table t (id int primary key); insert into t values (1)")).error is None
    one.take("A")
    assert one.query(kinds) == [("MyISAM",)]
    large = folder / "sparse"
    with large.open("wb") as file:
        file.truncate(shutil.disk_usage(folder).free)
    try:
        assert one.run(Script(text="insert into t values (2)")).error is None
        one.take("A")
        assert one.query(kinds) == [("InnoDB",)]
    finally:
        large.unlink()
        one.close()


def test_a_database_that_is_only_half_made_is_dropped(
    mysql_server: MysqlServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Found: a disk was full by the time that the marker was written, and the database stayed."""
    before, plain = set(mysql_server.maintain("SHOW DATABASES")), mysql_server.maintain

    def full(sql: str) -> list[tuple[str | None, ...]]:
        if sql.startswith("INSERT INTO"):
            raise ServerError("the disk is full")
        return plain(sql)

    monkeypatch.setattr(mysql_server, "maintain", full)
    with pytest.raises(ServerError, match="the disk is full"):
        mysql_server.create()
    assert set(plain("SHOW DATABASES")) == before


def test_going_back_ends_no_session_of_another_account(mysql_server: MysqlServer) -> None:
    """A backup's session holds locks in our databases, too."""
    server_url = mysql_server.target.url("")
    with MysqlServer.at(server_url, open_database) as server, contextlib.ExitStack() as ending:
        database = server.create()
        ending.callback(database.close)
        database.execute("CREATE TABLE t (a INT)")
        mysql_server.maintain("CREATE USER st_backup@localhost")
        ending.callback(mysql_server.maintain, "DROP USER st_backup@localhost")
        mysql_server.maintain(f"GRANT SELECT ON `{database.name}`.* TO st_backup@localhost")
        target = Target.parse(server_url)
        held = [dataclasses.replace(target, user=name).connect(database.name) for name in (target.user, "st_backup")]
        for session in held:
            ending.callback(session.close)
            session.cursor().execute("START TRANSACTION")
            session.cursor().execute("SELECT * FROM t")
        server.disconnect(database.name, 0)
        assert _is_alive(held[1]) and not _is_alive(held[0])
        server.maintain("SET SESSION lock_wait_timeout = 1")
        database.close()  # it waits for the backup, and leaves the database to who cleans up
        assert _is_alive(held[1]) and database.name in databases(server)
    assert database.name not in databases(mysql_server)  # it did not last


def _is_alive(session: Any) -> bool:
    try:
        session.cursor().execute("DO 0")
    except Exception as error:
        assert is_driver_error(error)
        return False
    return True
