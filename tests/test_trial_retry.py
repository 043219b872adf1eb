"""Disturbances on SQLite, attempts that disagree, and what the retrying itself promises."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from retry_fixtures import GOOD, LOSS, disturbed, rules, strategies

from seatrial.checks.case import Case
from seatrial.checks.flaky import flaky
from seatrial.config import ServerConfig
from seatrial.errors import ServerError
from seatrial.model import Finding, Report, Status, StepError, Trial
from seatrial.reporters import render
from seatrial.trial.rows import Rows
from seatrial.trial.stand import Stand

SQLITE = ServerConfig(engine="sqlite")


def lock(watched: list[sqlite3.Connection], scratch: Path) -> None:
    """Lock the newest database of ours, as another program would."""
    path = max(scratch.glob("seatrial-*/*/seatrial_*.sqlite3"), key=lambda p: p.stat().st_mtime)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    watched.append(connection)


def test_sqlite_file_locked_once(tmp_path, monkeypatch):
    """The lock goes with the file that is put aside."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    held: list[sqlite3.Connection] = []
    when = {("0002", "down"): lambda: lock(held, scratch)}
    report = disturbed(tmp_path, [LOSS], SQLITE, when)
    assert held
    assert "values-lost" in rules(report)
    assert strategies(report)[0][0] == "re-run-migration"
    assert strategies(report)[-1][1]
    assert "locked" in report.retries[0].reason
    assert not list(scratch.glob("seatrial-*"))


def test_that_retrying_is_switched_off_is_said(tmp_path, monkeypatch):
    """Found: "trying again would not help", of a lock."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    held: list[sqlite3.Connection] = []
    when = {("0002", "down"): lambda: lock(held, scratch)}
    report = disturbed(tmp_path, [LOSS], SQLITE, when, settings="attempts = 0\n")
    assert (report.status, report.retries) == (Status.ERROR, ())
    assert "No auto-retry used - it is switched off ([retry] attempts = 0)" in render(report, "markdown")


def found(trial: Trial) -> list[Finding]:
    return [f for f in flaky(Case(trial)) if isinstance(f, Finding)]


def tried(folder: Path, up: str, down: str = "SELECT 1;") -> Trial:
    report: Report = disturbed(folder, [(up, down)], SQLITE, {})
    return report.migrations[-1].trial


def test_attempts_that_agree_are_not_flaky(tmp_path):
    trial = tried(tmp_path, *LOSS)
    assert found(replace(trial, earlier=(replace(trial, error="the connection was lost"),))) == []


def test_random_values_are_not_flaky(tmp_path):
    draws = "UPDATE t SET b = hex(randomblob(4));"
    one, other = (
        tried(tmp_path / n, draws, "UPDATE t SET b = CASE id WHEN 1 THEN 'x' WHEN 2 THEN 'y' END;") for n in "ab"
    )
    assert [d.changed[0].rows for d in one.up_changes] != [d.changed[0].rows for d in other.up_changes]
    assert found(replace(one, earlier=(replace(other, error="lost"),))) == []


def test_other_values_rows_and_objects_are_flaky(tmp_path):
    back = "UPDATE t SET b = CASE id WHEN 1 THEN 'x' WHEN 2 THEN 'y' END;"
    was = replace(tried(tmp_path / "a", "UPDATE t SET b = 'one';", back), error="lost")
    now = tried(tmp_path / "b", "UPDATE t SET b = 'two';", back)
    (values,) = found(replace(now, earlier=(was,)))
    assert "it had written other values to t.b" in values.message
    rows = found(replace(tried(tmp_path / "c", "DELETE FROM t WHERE id = 1;"), earlier=(was,)))
    assert any("removed 0 rows of t; this time 1" in f.message for f in rows)
    (objects,) = found(replace(tried(tmp_path / "d", *GOOD), earlier=(was,)))
    assert "column t.c" in objects.message


def test_a_step_that_worked_and_then_fails_is_flaky(tmp_path):
    was = replace(tried(tmp_path / "a", *GOOD), error="lost")
    now = tried(tmp_path / "b", "ALTER TABLE nowhere ADD COLUMN c INT;")
    (finding,) = found(replace(now, earlier=(was,)))
    assert "had ended without an error; this time it failed" in finding.message
    (again,) = found(replace(was, error="", faltered=(StepError(message="boom"),)))
    assert "failed once when it was applied again" in again.message


def test_no_retry_is_said_only_where_there_was_none(tmp_path):
    report = disturbed(tmp_path, [GOOD], SQLITE, {})
    assert report.status is Status.PASSED
    assert "No auto-retry needed - all integrity checks passed on first attempt" in render(report, "markdown")


def test_a_migration_that_drops_the_version_table_is_told_by_its_name(tmp_path):
    free = ("--free\nDROP TABLE schema_migrations;", "SELECT 1;")
    report = disturbed(tmp_path, [free], SQLITE, {})
    assert rules(report) == ["up-failed"]
    assert "schema_migrations" in report.migrations[-1].findings[0].message


@dataclass
class Lost:
    """Something that a lost server breaks off, as often as ``times`` says."""

    times: int

    def __call__(self) -> None:
        self.times -= 1
        if self.times >= 0:
            raise ServerError("the server went away")


def test_a_server_lost_in_the_down_and_again_when_the_database_is_brought_back(tmp_path):
    """Found: the next run had no checkpoint to go back to, and went there when down failed (KeyError)."""
    down = Lost(2)
    when = {("0002", "down"): down}
    bad = ("ALTER TABLE t ADD COLUMN c INT;", "DROP TABLE nowhere;")
    replayed = Stand._up_again
    again = Lost(1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Stand, "_up_again", lambda stand, migration: (again(), replayed(stand, migration)))
        report = disturbed(tmp_path, [bad, GOOD], SQLITE, when, always=True, only=("0002", "0003"))
    assert max(down.times, again.times) < 0
    assert rules(report) == ["down-failed"]
    assert report.migrations[-1].trial.up.executed
    assert strategies(report)[-1][1]


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
    report = disturbed(tmp_path, [REFUSES_ROWS, NEEDS_IT], SQLITE, {}, seed=None, only=("0002", "0003"))
    assert lost.times < times
    assert rules(report) == ["up-failed"]
    assert rules(report, "0003") == []
    assert report.migrations[-1].status is status
    assert len(report.retries) == min(times, 3)
