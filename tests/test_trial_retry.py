"""Runs that something outside disturbs, on every engine: they are carried out all the same, and verdicts stay."""

from __future__ import annotations

import json
from typing import Any

import pytest
from retry_fixtures import BASE, GOOD, LOSS, LOST, SEED, SERVED, disturbed, lost, rules, strategies
from test_reporters_markdown import golden
from test_sources_alembic import project as alembic_project
from test_sources_alembic import revision, table

from seatrial import app, config
from seatrial.config import ServerConfig
from seatrial.errors import ServerError
from seatrial.model import Event, Report, Status
from seatrial.reporters import render
from seatrial.trial.rows import Rows
from seatrial.trial.stand import Stand, Steps

SQLITE = ServerConfig(engine="sqlite")
FROM_NOTHING = ("Applied 1 migration again (no checkpoint was kept)", "Reloaded seed data from seed.sql")
BY_COPY = "Copied schema and rows back from the checkpoint"
STAYS = "The migration was carried out; what was found stays: no verdict on data is retried"


def summary(report: Report) -> list[str]:
    """The lines of the report's Auto-Retry Summary, without blank ones."""
    text = render(report, "markdown").partition("## Auto-Retry Summary\n")[2].partition("\n---\n")[0]
    return [line.strip() for line in text.splitlines() if line]


def told(report: Report) -> list[str]:
    """The same of a report whose other formats say it too."""
    found = json.loads(render(report, "json"))["retries"]
    keys = ("strategy", "migration", "attempt", "succeeded", "reason", "pause_s")
    assert [tuple(r[k] for k in keys) for r in found] == [tuple(getattr(r, k) for k in keys) for r in report.retries]
    assert [tuple(r["actions"]) for r in found] == [r.actions for r in report.retries]
    shown = " ".join(render(report, "terminal").split())
    for retry in report.retries:
        outcome = "succeeded" if retry.succeeded else "failed"
        assert f"{retry.migration}: {retry.strategy} {outcome} (attempt {retry.attempt}" in shown
        assert all(" ".join(action.split()) in shown for action in retry.actions[:5])
    return summary(report)


# --- each strategy ---


def test_a_lock_held_once(outside):
    report = outside.run([LOSS], {("0002", "up"): outside.lock})
    assert outside.holders
    assert strategies(report) == [("re-run-migration", True)]
    assert (report.status, rules(report), lost(report)) == (Status.FAILED, ["values-lost"], LOST)
    (retry,) = report.retries
    assert "lock" in retry.reason.lower()
    assert told(report) == [
        "**Retry Attempts**: 1",
        "**Strategies Used**:",
        "1. `re-run-migration`: ✅ Succeeded (attempt 1)",
        "- Attempted to re-run migration",
        "- Restored the test database to its state before the migration",
        *(f"- {words}" for words in FROM_NOTHING),
        f"- {STAYS}",
        f"- Retried for migration `0002`: {retry.reason}",
        "- Waited 0.05 s",
        "**Final Status**: FAILED (after 1 retry)",
    ]


def test_a_lock_held_every_time(outside):
    report = outside.run([LOSS], {("0002", "up"): outside.lock}, always=True)
    assert (report.status, report.exit_code) == (Status.ERROR, 2)
    assert strategies(report) == [("re-run-migration", False), ("reset-test-db", False), ("reset-test-db", False)]
    assert [r.pause_s for r in report.retries] == [0.05, 0.1, 0.15]
    assert "tried again 3 times" in report.migrations[-1].trial.error
    assert told(report)[-1] == "**Final Status**: ERROR (after 3 retries)"


@pytest.mark.engines("mariadb", "mysql")
def test_a_row_locked_once(outside):
    report = outside.run([("UPDATE t SET a = 'new';", "UPDATE t SET a = 'old';")], {("0002", "up"): outside.lock})
    assert strategies(report) == [("re-run-migration", True)]
    assert "Lock wait timeout" in report.retries[0].reason
    assert rules(report) == ["values-lost"]


DEADLOCKS = {"postgresql": "deadlock detected", "mysql": "Deadlock found"}
NO_HASTE = {"postgresql": "SET lock_timeout = '20s'", "mysql": "SET innodb_lock_wait_timeout = 20"}


@pytest.mark.engines("postgresql", "mysql")
def test_the_victim_of_a_deadlock(outside):
    """Chosen by the server, with 40P01 and 1213: it comes off at the second attempt, and the summary says so."""
    ups, downs = (
        [f"UPDATE t SET a = '{value}' WHERE id = {number};" for number, value in enumerate(values, 1)]
        for values in (("new", "new"), ("one", "two"))
    )
    session = f'[source]\nsession = ["{NO_HASTE[outside.name]}"]\n'
    report = outside.run([(" ".join(ups), " ".join(downs))], {("0002", "up"): outside.cross}, settings=session)
    assert strategies(report) == [("re-run-migration", True)]
    assert (report.migrations[-1].status, rules(report)) == (Status.PASSED, [])
    (retry,) = report.retries
    assert DEADLOCKS[outside.name] in retry.reason
    lines = told(report)
    assert lines[2:4] == ["1. `re-run-migration`: ✅ Succeeded (attempt 1)", "- Attempted to re-run migration"]
    assert f"- Retried for migration `0002`: {' '.join(retry.reason.split())}" in lines


@pytest.mark.engines(*SERVED)
def test_a_connection_killed_during_up(outside):
    """What the first attempt had committed by then is gone: the second begins where the first did."""
    free = "--free\n" if outside.name == "postgresql" else ""  # without a transaction, as DDL is elsewhere
    up, down = f"{free}CREATE TABLE half (id INT); {outside.pause} {LOSS[0]}", f"{free}{LOSS[1]} DROP TABLE half;"
    report = outside.run([(up, down)], {("0002", "up"): outside.in_the_middle()})
    assert strategies(report) == [("reset-test-db", True)]
    assert (report.status, report.exit_code) == (Status.FAILED, 1)
    assert (rules(report), lost(report)) == (["values-lost"], LOST)
    assert told(report)[2:] == [
        "1. `reset-test-db`: ✅ Succeeded (attempt 1)",
        "- Dropped and recreated test database",
        *(f"- {words}" for words in FROM_NOTHING),
        f"- {STAYS}",
        f"- Retried for migration `0002`: {report.retries[0].reason}",
        "- Waited 0.05 s",
        "**Final Status**: FAILED (after 1 retry)",
    ]


@pytest.fixture
def ups(monkeypatch) -> list[str]:
    """The migrations that were brought up, in their order."""
    found: list[str] = []
    plain = Steps.up
    monkeypatch.setattr(Steps, "up", lambda steps, m: (found.append(m.id), plain(steps, m))[1])
    return found


def test_a_reset_copies_the_checkpoint_where_one_stands(outside, ups):
    """Nothing before that is run again, and the moments that the chain needs are still there."""
    first, last = ((f"CREATE TABLE {name} (id INT);", f"DROP TABLE {name};") for name in ("first", "last"))
    on_sqlite = outside.name == "sqlite"
    strikes = [outside.lock] * 2 if on_sqlite else [outside.kill]  # a first lock is met otherwise
    report = outside.run(
        [first, LOSS, last], {("0003", "down"): lambda: strikes and strikes.pop()()}, only=(), always=True
    )
    assert strategies(report) == [("re-run-migration", False)] * on_sqlite + [("reset-test-db", True)]
    assert report.retries[-1].actions[:2] == ("Dropped and recreated test database", BY_COPY)
    assert FROM_NOTHING[1] not in report.retries[-1].actions
    assert ups.count("0001") == 3  # its own trial with made-up rows, and applied once on the seed's database
    assert [m.status for m in report.migrations[1:]] == [Status.PASSED, Status.FAILED, Status.PASSED]
    assert (rules(report, "0003"), lost(report)) == (["values-lost"], LOST)
    assert not [n for n in report.not_verified if "chain" in n.what]
    assert f"- {BY_COPY}" in told(report)


def test_a_loss_stays_through_all_three_strategies(outside):
    """A seed with a missing parent, a lock that somebody holds, and a connection killed in the attempt after that."""
    up = (
        "CREATE TABLE users (id INT PRIMARY KEY, email VARCHAR(20) NOT NULL);"
        "CREATE TABLE t (id INT PRIMARY KEY, u INT NOT NULL, b VARCHAR(20), FOREIGN KEY (u) REFERENCES users (id));"
    )
    seed = "INSERT INTO users VALUES (10, 'a@x');\nINSERT INTO t VALUES (1, 10, 'x'), (2, 99, 'y'), (3, 10, NULL);\n"
    if outside.name == "sqlite":
        seed = f"PRAGMA foreign_keys = ON;\n{seed}"
    again = outside.lock if outside.name == "sqlite" else outside.kill
    report = outside.run(
        [LOSS],
        {("0002", "up"): outside.lock, ("0002", "down"): again},
        base=(up, "DROP TABLE t; DROP TABLE users;"),
        seed=seed,
    )
    assert strategies(report) == [("fix-seed-data", True), ("re-run-migration", False), ("reset-test-db", True)]
    assert (report.status, report.exit_code, report.summary.data_corruption) == (Status.FAILED, 1, True)
    assert (rules(report), lost(report)) == (["values-lost"], LOST)
    lines = told(report)
    assert [line for line in lines if line[0].isdigit()] == [
        "1. `fix-seed-data`: ✅ Succeeded (attempt 1)",
        "2. `re-run-migration`: ❌ Failed (attempt 2)",
        "3. `reset-test-db`: ✅ Succeeded (attempt 3)",
    ]
    assert "- t 2: its missing parent in users was made (id = 99)" in lines
    assert "- Updated seed data to include required foreign key references" in lines
    assert lines[-1] == "**Final Status**: FAILED (after 3 retries)"
    if outside.name == "sqlite":
        golden("retries.md", "\n".join(lines) + "\n")


# --- at other moments ---


@pytest.mark.engines(*SERVED)
def test_sessions_killed_while_we_read(outside):
    report = outside.run([LOSS], {("0002", "up again"): outside.kill})
    assert strategies(report) == [("reset-test-db", True)]
    assert (report.status, rules(report)) == (Status.FAILED, ["values-lost"])


@pytest.mark.engines(*SERVED)
def test_killed_while_the_seed_is_loaded(outside):
    first, second = SEED.split("), (2")
    seed = f"{first});\n{outside.pause}\nINSERT INTO t VALUES (2{second}\n"
    outside.in_the_middle()()
    report = outside.run([LOSS], seed=seed)
    assert strategies(report) == [("reset-test-db", True)]
    assert (lost(report), report.trace.repaired_seed) == (LOST, "")


@pytest.mark.engines("postgresql")
def test_killed_where_an_up_is_tried_without_rows(outside):
    """Found: it counted as a refusal there too, and what only made-up rows break was up-failed."""
    up = (
        "SELECT CASE WHEN count(*) = 0 THEN pg_sleep(1.4) END FROM t;\n"
        "ALTER TABLE t ADD CONSTRAINT short CHECK (a ~ '^[ab]$');"
    )
    outside.words = "pg_sleep(1.4)"
    begin = outside.in_the_middle()
    report = outside.run([(up, "ALTER TABLE t DROP CONSTRAINT short;")], {("0002", "up"): begin}, seed=None)
    assert ("reset-test-db", True) in strategies(report)
    assert (report.status, rules(report)) == (Status.PASSED, [])


@pytest.mark.engines(*SERVED)
def test_killed_while_rows_are_written_as_an_application_would(outside):
    """Found: "[lived_in] could not be run", and no second try."""
    (outside.folder / "writes.sql").write_text(f"{outside.pause}\nINSERT INTO t (id, a) VALUES (900, 'new');\n")
    begin = outside.in_the_middle()
    report = outside.run([GOOD], {("0002", "lived-in"): begin}, settings='[lived_in]\npath = "writes.sql"\n')
    assert strategies(report) == [("reset-test-db", True)]
    assert report.migrations[-1].trial.lived_in.written[0].added_count == 1
    assert not [n for n in report.not_verified if "could not be run" in n.why]


@pytest.mark.engines("postgresql", "mysql")
def test_a_connection_killed_under_alembic(outside):
    """The project's own Python loses its connection: told by no code, and the same to us."""
    up = f'op.execute("{outside.pause}"); op.drop_column("t", "x")'
    back = "op.add_column('t', sa.Column('x', sa.Text))"
    place = alembic_project(outside.folder, revision("a", **table("t")), revision("b", "a", up=up, downgrade=back))
    (place / "seatrial.toml").write_text("[retry]\npauses = [0.05]\n")
    outside.in_the_middle()()
    report = app.run(config.load(place).replace(server=outside.server, only=("b",)))
    assert strategies(report) == [("reset-test-db", True)]
    assert rules(report, "b") == ["values-lost"]


@pytest.mark.engines("mysql")
def test_the_victim_of_a_deadlock_under_alembic(outside):
    """Its statements are told by the project's own driver."""
    up, down = (
        "; ".join(f"op.execute(\"UPDATE t SET a = '{value}' WHERE id = {n}\")" for n, value in enumerate(values, 1))
        for values in (("new", "new"), ("one", "two"))
    )
    base = revision("a", up=f"op.execute({BASE[0]!r})", downgrade="op.drop_table('t')")
    place = alembic_project(outside.folder, base, revision("b", "a", up=up, downgrade=down))
    (place / "seed.sql").write_text(SEED)
    (place / "seatrial.toml").write_text('[retry]\npauses = [0.05]\n[seed]\npath = "seed.sql"\nat = "a"\n')
    steps = [outside.cross]

    def watch(event: Event) -> None:
        if (event.kind, event.migration, event.text) == ("step", "b", "up") and steps:
            steps.pop()()

    report = app.run(config.load(place).replace(server=outside.server, only=("b",)), watch)
    assert strategies(report) == [("re-run-migration", True)]
    assert "Deadlock found" in report.retries[0].reason
    assert (report.migrations[-1].status, rules(report, "b")) == (Status.PASSED, [])


# --- the migration's own doing, and what is not tried again ---

TIMEOUTS = {
    "postgresql": "SET statement_timeout = '100ms'; SELECT pg_sleep(1);",
    "mysql": "SET max_execution_time = 100; SELECT COUNT(*) FROM t a, t b, t c, t d, t e, t f, t g, t h, t i, t j, t k,"
    " t l, t m, t n, t o, t p, t q WHERE a.id + b.id + c.id + d.id + e.id + f.id + g.id + h.id + i.id + j.id + k.id"
    " + l.id + m.id + n.id + o.id + p.id + q.id < 0;",  # without WHERE the rows need not be looked at, and it is quick
    "mariadb": "SET max_statement_time = 0.1; SELECT SLEEP(1);",
}


@pytest.mark.engines(*SERVED)
def test_its_own_timeout_is_the_migrations_fault(outside):
    """MariaDB does not show who holds a metadata lock: only where nobody else is there at all, nobody else did it."""
    server = ServerConfig(engine="mariadb") if outside.name == "mariadb" else outside.server
    report = disturbed(outside.folder, [(TIMEOUTS[outside.name], "SELECT 1;")], server)
    assert (report.exit_code, rules(report)) == (1, ["up-failed"])
    assert strategies(report) == [("re-run-migration", True)]


@pytest.mark.engines("sqlite")
def test_that_retrying_is_switched_off_is_said(outside):
    """Found: "trying again would not help", of a lock."""
    off = f"attempts = 0\n{outside.waits}"
    report = outside.run([LOSS], {("0002", "up"): outside.lock}, settings=off)
    assert (report.status, report.retries) == (Status.ERROR, ())
    assert told(report) == ["No auto-retry used - it is switched off ([retry] attempts = 0)"]


def test_no_retry_is_said_only_where_there_was_none(tmp_path):
    report = disturbed(tmp_path, [GOOD], SQLITE)
    assert report.status is Status.PASSED
    assert told(report) == ["No auto-retry needed - all integrity checks passed on first attempt"]


def test_a_migration_that_drops_the_version_table_is_told_by_its_name(tmp_path):
    report = disturbed(tmp_path, [("--free\nDROP TABLE schema_migrations;", "SELECT 1;")], SQLITE)
    assert rules(report) == ["up-failed"]
    assert "schema_migrations" in report.migrations[-1].findings[0].message


# --- a server that is lost again and again ---


class Lost:
    """Something that a lost server breaks off, as often as ``times`` says."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self) -> None:
        self.times -= 1
        if self.times >= 0:
            raise ServerError("the server went away")


BAD = ("ALTER TABLE t ADD COLUMN c INT;", "DROP TABLE nowhere;")


def test_a_server_lost_in_the_down_and_again_when_the_database_is_brought_back(tmp_path, monkeypatch):
    """Found: the next run had no checkpoint to go back to, and went there when down failed (KeyError)."""
    down, again, replayed = Lost(2), Lost(1), Stand._up_again
    monkeypatch.setattr(Stand, "_up_again", lambda stand, migration: (again(), replayed(stand, migration)))
    report = disturbed(tmp_path, [BAD, GOOD], SQLITE, {("0002", "down"): down}, always=True, only=("0002", "0003"))
    assert max(down.times, again.times) < 0
    assert rules(report) == ["down-failed"]
    assert report.migrations[-1].trial.up.executed
    assert strategies(report)[-1][1]


@pytest.mark.engines("sqlite")
def test_a_copy_that_cannot_be_brought_back_is_not_tried_again(outside, monkeypatch):
    """The next attempt runs everything again."""
    database: Any = []
    monkeypatch.setattr(Stand, "keep", lambda stand, plain=Stand.keep: (plain(stand), database.append(stand.database)))
    gone, lost_down = Lost(1), Lost(1)

    def down() -> None:
        plain = database[-1].reset
        monkeypatch.setattr(database[-1], "reset", lambda copy: (gone(), plain(copy))[1], raising=False)
        lost_down()

    report = outside.run([LOSS, GOOD], {("0002", "down"): down}, only=("0002", "0003"))
    assert strategies(report) == [("reset-test-db", False), ("reset-test-db", True)]
    assert [r.actions for r in report.retries] == [
        ("The test database could not be brought back", "Disturbed again: the server went away"),
        (
            "Dropped and recreated test database",
            "Applied 1 migration again (the checkpoint could not be brought back)",
            FROM_NOTHING[1],
        ),
    ]
    assert rules(report) == ["values-lost"]


REFUSES_ROWS = (
    "CREATE TABLE k (x INT NOT NULL); INSERT INTO k SELECT NULL FROM t;",
    "DROP TABLE k;",
)
NEEDS_IT = ("ALTER TABLE k ADD COLUMN y INT;", "ALTER TABLE k DROP COLUMN y;")


@pytest.mark.parametrize(("times", "status"), [(0, Status.PASSED), (1, Status.PASSED), (99, Status.ERROR)])
def test_a_server_lost_while_rows_are_taken_out(tmp_path, monkeypatch, times, status):
    """Found: the run ended without a report. What comes after is tried only where this migration is applied."""
    lost, taken_out = Lost(times), Rows.take_out
    monkeypatch.setattr(Rows, "take_out", lambda rows, *found: (lost(), taken_out(rows, *found))[1])
    report = disturbed(tmp_path, [REFUSES_ROWS, NEEDS_IT], SQLITE, seed=None, only=("0002", "0003"))
    assert lost.times < times
    assert rules(report) == ["up-failed"]
    assert rules(report, "0003") == []
    assert report.migrations[-1].status is status
    assert len(report.retries) == min(times, 3)
