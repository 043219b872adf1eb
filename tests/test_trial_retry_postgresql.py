"""Runs on PostgreSQL that something outside disturbs: they are carried out all the same, and their verdicts stay."""

from __future__ import annotations

import datetime
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from retry_fixtures import GOOD, LOSS, disturbed, meanwhile, once, rules, strategies
from test_sources_alembic import project as alembic_project
from test_sources_alembic import revision, table

from seatrial import app, config
from seatrial.codec import decode_trace, encode_trace
from seatrial.config import ServerConfig
from seatrial.judge import judge
from seatrial.model import Report, Severity, Status
from seatrial.reporters import render
from seatrial.servers import _postgresql_local as local_server
from seatrial.servers import ledger, process

SLOW = ("SELECT pg_sleep(1.5); ALTER TABLE t ADD COLUMN c INT;", "ALTER TABLE t DROP COLUMN c;")
SLOW_LOSS = (f"SELECT pg_sleep(1.5); {LOSS[0]}", LOSS[1])
_VICTIMS = """
SELECT pid FROM pg_stat_activity WHERE starts_with(datname, 'seatrial_') AND pid <> pg_backend_pid()
AND query ILIKE %s AND state = 'active'
"""


@pytest.fixture
def admin(pg_server) -> Iterator[psycopg.Connection]:
    with psycopg.connect(pg_server.url("postgres"), autocommit=True) as connection:
        yield connection


def server(pg_server) -> ServerConfig:
    return ServerConfig(engine="postgresql", url=pg_server.url("postgres"))


def databases(admin: psycopg.Connection) -> list[str]:
    return [n for (n,) in admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'seatrial%' ORDER BY 1")]


def kill_once(admin: psycopg.Connection, query: str) -> Callable[[object], None]:
    """End the session that runs such a query, the first that is seen."""

    def victims() -> list[tuple[int]]:
        return admin.execute(_VICTIMS, [query]).fetchall()

    def kill(over) -> None:
        once(lambda: bool(victims()), over)
        for (pid,) in victims():
            admin.execute("SELECT pg_terminate_backend(%s)", [pid])

    return kill


def kill_all(admin: psycopg.Connection) -> None:
    """End every session in a database of ours, those that only wait too."""
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE starts_with(datname, 'seatrial_') AND pid <> pg_backend_pid()"
    )


def lost(report: Report) -> list[object]:
    return [f.keys for m in report.migrations for f in m.findings if f.rule == "values-lost"]


def test_backend_killed_during_up(pg_server, admin, tmp_path):
    left = databases(admin)
    with meanwhile(kill_once(admin, "%pg_sleep(1.5)%")):
        report = disturbed(tmp_path, [SLOW], server(pg_server), {})
    assert report.status is Status.PASSED
    assert strategies(report) == [("reset-test-db", True)]
    assert "terminating connection" in report.retries[0].reason
    assert rules(report) == []
    assert databases(admin) == left
    text = render(report, "markdown")
    assert "1. `reset-test-db`: ✅ Succeeded (attempt 1)" in text
    assert "Dropped and recreated test database" in text


@pytest.mark.parametrize("step", ["down", "up again"])
def test_backends_killed_while_we_read(pg_server, admin, tmp_path, step):
    left = databases(admin)
    report = disturbed(tmp_path, [LOSS], server(pg_server), {("0002", step): lambda: kill_all(admin)})
    assert strategies(report) == [("reset-test-db", True)]
    assert report.status is Status.FAILED
    assert rules(report) == ["values-lost"]
    assert databases(admin) == left


def test_loss_stays_a_loss_with_a_kill_during_up_and_down(pg_server, admin, tmp_path):
    down = f"SELECT pg_sleep(1.4); {LOSS[1]}"
    up = f"SELECT pg_sleep(1.5); {LOSS[0]}"
    calm = disturbed(tmp_path / "calm", [LOSS], server(pg_server), {})
    both = (kill_once(admin, "%pg_sleep(1.5)%"), kill_once(admin, "%pg_sleep(1.4)%"))

    def kill(over) -> None:
        for one in both:
            one(over)

    with meanwhile(kill):
        report = disturbed(tmp_path / "killed", [(up, down)], server(pg_server), {})
    assert strategies(report) == [("reset-test-db", False), ("reset-test-db", True)]
    assert (report.status, report.exit_code) == (Status.FAILED, 1)
    assert lost(report) == lost(calm) == [(("1",), ("2",))]
    assert rules(report) == rules(calm) == ["values-lost"]


WAITS = "[source]\nsession = [\"SET lock_timeout = '300ms'\"]\n"


def lock_first(admin: psycopg.Connection, url: Callable[[str], str], held: list[psycopg.Connection]) -> None:
    """Lock the table where the migration runs, not in its copy: databases are numbered as they are made."""
    names = sorted(databases(admin), key=lambda name: int(name.rpartition("_")[2]))
    held.extend(filter(None, [next((c for n in names if (c := _lock(url(n)))), None)]))


def test_lock_held_once(pg_server, admin, tmp_path):
    held: list[psycopg.Connection] = []
    when = {("0002", "up"): lambda: lock_first(admin, pg_server.url, held)}
    report = disturbed(tmp_path, [LOSS], server(pg_server), when, settings=WAITS)
    assert held
    assert strategies(report) == [("re-run-migration", True)]
    assert "lock timeout" in report.retries[0].reason
    assert rules(report) == ["values-lost"]


def test_lock_held_every_time(pg_server, admin, tmp_path):
    left = databases(admin)
    held: list[psycopg.Connection] = []
    when = {("0002", "up"): lambda: lock_first(admin, pg_server.url, held)}
    report = disturbed(tmp_path, [LOSS], server(pg_server), when, settings=WAITS, always=True)
    assert (report.status, report.exit_code) == (Status.ERROR, 2)
    assert strategies(report) == [("re-run-migration", False), ("reset-test-db", False), ("reset-test-db", False)]
    error = report.migrations[-1].trial.error
    assert "lock timeout" in error
    assert "tried again 3 times" in error
    for holder in held:
        holder.close()
    assert databases(admin) == left


def _lock(url: str) -> psycopg.Connection | None:
    try:
        holder = psycopg.connect(url)
        holder.execute("SET lock_timeout = '100ms'")
        holder.execute("LOCK TABLE t IN ACCESS SHARE MODE")
    except psycopg.Error:
        return None
    return holder


def test_own_statement_timeout_is_the_migrations_fault(pg_server, tmp_path):
    own = ("SET statement_timeout = '200ms'; SELECT pg_sleep(1);", "SELECT 1;")
    report = disturbed(tmp_path, [own], server(pg_server), {})
    assert rules(report) == ["up-failed"]
    assert report.exit_code == 1
    assert strategies(report) == [("re-run-migration", True)]


# --- a server of the test's own, which may die ---


class Mortal:
    """A server behind a URL that can be killed and started again."""

    def __init__(self) -> None:
        self.run = ledger.Run.start()
        self.running = local_server.start(self.run)
        self.url = f"postgresql://postgres@/postgres?host={self.running.folder}"

    def kill(self) -> None:
        self.running.process.send_signal(signal.SIGQUIT)
        self.running.process.wait(10)

    def start(self) -> None:
        old = self.running
        ready = lambda _: local_server._is_ready(old.folder)  # noqa: E731
        self.running = process.start(old.kind, old.programs, list(old.process.args), old.folder, ready)  # type: ignore[arg-type]

    def restart(self) -> None:
        self.kill()
        self.start()


@pytest.fixture
def mortal(state_folder: str) -> Iterator[Mortal]:
    found = Mortal()
    yield found
    found.running.stop()
    for facts in found.run.entries:
        found.run.forget(**facts)
    found.run.close()


def test_server_restarted_in_the_middle_of_up(mortal, tmp_path):
    def restart(over) -> None:
        with psycopg.connect(mortal.url, autocommit=True) as admin:
            once(lambda: bool(admin.execute(_VICTIMS, ["%pg_sleep(1.5)%"]).fetchall()), over)
        mortal.restart()

    with meanwhile(restart):
        address = ServerConfig(engine="postgresql", url=mortal.url)
        report = disturbed(tmp_path, [GOOD, SLOW_LOSS], address, {}, pauses=(1, 2, 4), only=())
    assert "values-lost" in rules(report, "0003"), report.migrations[-1].trial.error
    assert strategies(report)[-1] == ("reset-test-db", True)
    assert [m.status for m in report.migrations[1:]] == [Status.PASSED, Status.FAILED]
    assert not [n for n in report.not_verified if "chain" in n.what]
    with psycopg.connect(mortal.url) as admin:
        assert databases(admin) == []


def test_own_server_killed_in_the_middle_of_up(state_folder, tmp_path):
    """The throwaway server that we started is started again."""

    def kill(over) -> None:
        once(lambda: bool(postmasters()), over)
        for pid in postmasters():
            os.kill(pid, signal.SIGQUIT)

    place = ledger.state_folder()

    def postmasters() -> list[int]:
        found = []
        for entry in place.glob("*/ledger"):
            for folder in re.findall(r'"folder": "([^"]+)"', entry.read_text()):
                log = Path(folder, "data", "postmaster.pid")
                if Path(folder, "begun").exists() and log.exists():
                    found.append(int(log.read_text().split()[0]))
        return found

    up = "COPY (SELECT 1) TO PROGRAM 'cat > ../begun'; SELECT pg_sleep(1.5); ALTER TABLE t DROP COLUMN b;"
    local, trust = ServerConfig(engine="postgresql"), "[source]\ntrust = true\n"
    with meanwhile(kill):
        report = disturbed(tmp_path, [(up, LOSS[1])], local, {}, settings=trust, pauses=(1.5, 2, 4))
    assert rules(report) == ["values-lost"]
    assert strategies(report) == [("reset-test-db", True)]
    assert not postmasters()


def test_killed_where_an_up_is_tried_without_rows(pg_server, admin, tmp_path):
    """Found: it counted as a refusal there too, and what only made-up rows break was up-failed."""
    up = (
        "SELECT CASE WHEN count(*) = 0 THEN pg_sleep(1.4) END FROM t;\n"
        "ALTER TABLE t ADD CONSTRAINT short CHECK (a ~ '^[ab]$');"
    )
    with meanwhile(kill_once(admin, "%pg_sleep(1.4)%")):
        report = disturbed(tmp_path, [(up, "ALTER TABLE t DROP CONSTRAINT short;")], server(pg_server), {}, seed=None)
    assert ("reset-test-db", True) in strategies(report)
    assert rules(report) == []
    assert report.status is Status.PASSED


def test_killed_while_rows_are_written_as_an_application_would(pg_server, admin, tmp_path):
    """Found: "[lived_in] could not be run", and no second try."""
    (tmp_path / "writes.sql").write_text("SELECT pg_sleep(1.3);\nINSERT INTO t (id, a) VALUES (900, 'new');\n")
    with meanwhile(kill_once(admin, "%pg_sleep(1.3)%")):
        report = disturbed(tmp_path, [GOOD], server(pg_server), {}, settings='[lived_in]\npath = "writes.sql"\n')
    assert strategies(report) == [("reset-test-db", True)]
    assert report.migrations[-1].trial.lived_in.written[0].added_count == 1
    assert not [n for n in report.not_verified if "could not be run" in n.why]


# --- sources, seeds, and attempts that disagree ---


def test_backend_killed_under_alembic(pg_server, admin, tmp_path):
    """The project's own Python loses its connection: told by no code, and the same to us."""
    up = "op.execute('SELECT pg_sleep(1.3)'); op.drop_column('t', 'x')"
    back = "op.add_column('t', sa.Column('x', sa.Text))"
    alembic = alembic_project(tmp_path, revision("a", **table("t")), revision("b", "a", up=up, downgrade=back))
    (alembic / "seatrial.toml").write_text("[retry]\npauses = [0.05]\n")
    with meanwhile(kill_once(admin, "%pg_sleep(1.3)%")):
        report = app.run(config.load(alembic).replace(server=server(pg_server), only=("b",)))
    assert strategies(report) == [("reset-test-db", True)]
    assert rules(report, "b") == ["values-lost"]


def test_killed_while_the_seed_is_loaded(pg_server, admin, tmp_path):
    left = databases(admin)
    seed = "INSERT INTO t VALUES (1, 'one', 'x');\nSELECT pg_sleep(1.2);\nINSERT INTO t VALUES (2, 'two', 'y');\n"
    with meanwhile(kill_once(admin, "%pg_sleep(1.2)%")):
        report = disturbed(tmp_path, [LOSS], server(pg_server), {}, seed=seed)
    assert strategies(report) == [("reset-test-db", True)]
    assert lost(report) == [(("1",), ("2",))]
    assert report.trace.repaired_seed == ""
    assert databases(admin) == left


def test_attempts_that_disagree(pg_server, admin, tmp_path):
    """Up adds as many rows as its database's name says, and the second attempt has another database."""
    number = "substring(current_database() from '[0-9]+$')::int"
    up = f"INSERT INTO t (id, a) SELECT 100 + g, 'x' FROM generate_series(1, {number}) g;"
    down = "SELECT pg_sleep(1.1); DELETE FROM t WHERE id > 100;"
    with meanwhile(kill_once(admin, "%pg_sleep(1.1)%")):
        report = disturbed(tmp_path, [(up, down)], server(pg_server), {})
    assert strategies(report) == [("reset-test-db", True)]
    assert rules(report) == ["flaky"]
    (finding,) = [f for f in report.migrations[-1].findings if f.rule == "flaky"]
    assert finding.severity is Severity.MEDIUM
    assert "by then it had added" in finding.message
    again = decode_trace(encode_trace(report.trace))
    assert rules(judge(again, config.Config(), datetime.date(2026, 1, 1))) == ["flaky"]
