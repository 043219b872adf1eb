"""Attempts that disagree are a finding; random values, and attempts that agree, are not."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

from retry_fixtures import GOOD, LOSS, disturbed, rules, strategies

from seatrial import config
from seatrial.checks.case import Case
from seatrial.checks.flaky import flaky
from seatrial.codec import decode_trace, encode_trace
from seatrial.config import ServerConfig
from seatrial.judge import judge
from seatrial.model import Finding, Report, Severity, StepError, Trial

SQLITE = ServerConfig(engine="sqlite")
NUMBER = {  # of the database, which the second attempt has another one of
    "postgresql": "substring(current_database() from '[0-9]+$')::int",
    "mysql": "CAST(SUBSTRING_INDEX(DATABASE(), '_', -1) AS SIGNED)",
    "mariadb": "CAST(SUBSTRING_INDEX(DATABASE(), '_', -1) AS SIGNED)",
    "sqlite": "(SELECT CAST(substr(file, instr(file, '-sqlite/') + 8) AS INT) FROM pragma_database_list"
    " WHERE name = 'main')",
}


def test_attempts_that_disagree(outside):
    """Up adds as many rows as its database's name says, and the second attempt has another database."""
    up = f"INSERT INTO t (id, a) SELECT 100 + id, 'x' FROM t WHERE id <= {NUMBER[outside.name]};"
    strike = outside.lock if outside.name == "sqlite" else outside.kill
    report = outside.run([(up, "DELETE FROM t WHERE id > 100;")], {("0002", "down"): strike})
    assert strategies(report)[-1][1]
    assert rules(report) == ["flaky"]
    (finding,) = [f for f in report.migrations[-1].findings if f.rule == "flaky"]
    assert finding.severity is Severity.MEDIUM
    assert "by then it had added 1 rows of t; this time 2" in finding.message
    again = decode_trace(encode_trace(report.trace))
    assert rules(judge(again, config.Config(), datetime.date(2026, 1, 1))) == ["flaky"]


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
    (often,) = found(replace(was, error="", faltered=(StepError(message="boom"),) * 3))
    assert "failed 3 times when it was applied again" in often.message
