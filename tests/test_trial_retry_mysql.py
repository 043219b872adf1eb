"""Runs on MySQL and MariaDB that something outside disturbs; DDL commits there, so nothing is rolled back by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from retry_fixtures import LOSS, disturbed, meanwhile, once, rules, strategies

from seatrial.config import ServerConfig
from seatrial.model import Status
from seatrial.servers import _mysql_local as local_server
from seatrial.servers import ledger, process
from seatrial.servers._mysql_target import Target

SLOW_LOSS = (f"CREATE TABLE half (id INT); SELECT SLEEP(1.5); {LOSS[0]}", f"{LOSS[1]} DROP TABLE half;")


def server(mysql_server) -> ServerConfig:
    return ServerConfig(engine=mysql_server.engine, url=mysql_server.url(""))


def databases(mysql_server) -> list[str]:
    return [str(n) for (n,) in mysql_server.maintain("SHOW DATABASES LIKE 'seatrial%'")]


def asked(admin: Any, sql: str) -> list[tuple[Any, ...]]:
    cursor = admin.cursor()
    cursor.execute(sql)
    return list(cursor.fetchall())


def kill(admin: Any, condition: str) -> int:
    """End the sessions in databases of ours of which something is so."""
    found = asked(
        admin,
        "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID()"
        f" AND DB LIKE 'seatrial%' AND {condition}",
    )
    for (pid,) in found:
        asked(admin, f"KILL {pid}")
    return len(found)


def test_connection_killed_during_up(mysql_server, tmp_path):
    """What the first attempt had committed by then is gone: the second begins where the first did."""
    left = databases(mysql_server)

    def act(over) -> None:
        admin = mysql_server.target.connect(None)
        once(lambda: bool(kill(admin, "INFO LIKE '%SLEEP(1.5)%'")), over)

    with meanwhile(act):
        report = disturbed(tmp_path, [SLOW_LOSS], server(mysql_server), {})
    assert strategies(report) == [("reset-test-db", True)]
    assert (report.status, report.exit_code) == (Status.FAILED, 1)
    assert rules(report) == ["values-lost"]
    assert databases(mysql_server) == left


def test_connections_killed_while_we_read(mysql_server, tmp_path):
    admin = mysql_server.target.connect(None)
    when: dict[tuple[str, str], Callable[[], object]] = {("0002", "down"): lambda: kill(admin, "TRUE")}
    report = disturbed(tmp_path, [LOSS], server(mysql_server), when)
    assert rules(report) == ["values-lost"]
    assert all(ok for _, ok in strategies(report))


WAITS = '[source]\nsession = ["SET innodb_lock_wait_timeout = 1, lock_wait_timeout = 1"]\n'


def hold(mysql_server, held: list[Any]) -> None:
    """Lock a row of the table where the migration runs."""
    for name in databases(mysql_server):
        if not name.endswith("_shadow"):
            holder = mysql_server.target.connect(name)
            asked(holder, "BEGIN")
            asked(holder, "SELECT * FROM t WHERE id = 1 FOR UPDATE")
            held.append(holder)


@pytest.mark.parametrize("up", ["UPDATE t SET a = 'new';", LOSS[0]])
def test_lock_held_once(mysql_server, tmp_path, up):
    held: list[Any] = []
    when = {("0002", "up"): lambda: hold(mysql_server, held)}
    report = disturbed(tmp_path, [(up, LOSS[1])], server(mysql_server), when, settings=WAITS)
    assert held
    assert strategies(report) == [("re-run-migration", True)]
    assert "Lock wait timeout" in report.retries[0].reason
    assert report.status is Status.FAILED
    assert {"values-lost", "down-failed"} & set(rules(report))


def test_lock_held_every_time(mysql_server, tmp_path):
    left = databases(mysql_server)
    held: list[Any] = []
    when = {("0002", "up"): lambda: hold(mysql_server, held)}
    report = disturbed(tmp_path, [LOSS], server(mysql_server), when, settings=WAITS, always=True)
    assert (report.status, report.exit_code) == (Status.ERROR, 2)
    assert strategies(report) == [("re-run-migration", False), ("reset-test-db", False), ("reset-test-db", False)]
    assert "tried again 3 times" in report.migrations[-1].trial.error
    assert databases(mysql_server) == left


class Mortal:
    """A server behind a URL that can be killed and started again on its data."""

    def __init__(self, engine: str) -> None:
        self.run = ledger.Run.start()
        self.running = local_server.start(self.run, engine)
        self.socket = local_server.socket(self.running.folder)
        self.url = f"{engine}://root@localhost/?unix_socket={self.socket}"

    def restart(self) -> None:
        old = self.running
        os.kill(old.process.pid, signal.SIGKILL)
        old.process.wait(10)
        self.socket.unlink(missing_ok=True)

        def ready(log: bytes) -> bool:
            return self.socket.exists() and b"ready for connections" in log

        command = [str(word) for word in old.process.args]  # type: ignore[union-attr]
        self.running = process.start(old.kind, old.programs, command, old.folder, ready)

    def close(self) -> None:
        self.running.stop()
        for facts in self.run.entries:
            self.run.forget(**facts)
        self.run.close()


def test_server_killed_and_restarted_in_the_middle_of_up(mysql_server, state_folder, tmp_path):
    mortal = Mortal(mysql_server.engine)
    target = type(mysql_server.target).parse(mortal.url)

    def act(over) -> None:
        admin = target.connect(None)
        busy = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SLEEP(1.5)%' AND DB LIKE 'seatrial%'"
        if once(lambda: bool(asked(admin, busy)), over):
            mortal.restart()

    try:
        with meanwhile(act):
            address = ServerConfig(engine=mysql_server.engine, url=mortal.url)
            report = disturbed(tmp_path, [SLOW_LOSS], address, {}, pauses=(2, 5, 10))
        assert rules(report) == ["values-lost"]
        assert strategies(report)[-1] == ("reset-test-db", True)
        assert asked(target.connect(None), "SHOW DATABASES LIKE 'seatrial%'") == []
    finally:
        mortal.close()


def test_own_server_killed_in_the_middle_of_up(mysql_server, state_folder, tmp_path, monkeypatch):
    """The throwaway server that we started is started again; what the first had committed by then is gone with it."""
    started: list[process.Running] = []
    plain = local_server.start

    def start(run: ledger.Run, engine: str, programs: str | None = None) -> process.Running:
        started.append(plain(run, engine, programs))
        return started[-1]

    monkeypatch.setattr(local_server, "start", start)
    busy = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SLEEP(1.5)%' AND DB LIKE 'seatrial%'"

    def act(over) -> None:
        once(lambda: bool(started), over)
        target = Target(user="root", unix_socket=str(local_server.socket(started[0].folder)))
        admin = target.connect(None)
        if once(lambda: bool(asked(admin, busy)), over):
            os.kill(started[0].process.pid, signal.SIGKILL)

    with meanwhile(act):
        address = ServerConfig(engine=mysql_server.engine)
        report = disturbed(tmp_path, [SLOW_LOSS], address, {}, pauses=(0.2, 1, 2))
    assert rules(report) == ["values-lost"]
    assert strategies(report) == [("reset-test-db", True)]
    assert len(started) == 2
    assert [s.folder.exists() for s in started] == [False, False]
