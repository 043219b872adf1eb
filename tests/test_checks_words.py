"""What findings of time and of half-done work say, from literals: a statement is named only where it was the one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_examples import additive

from seatrial.checks import load
from seatrial.checks.case import Case
from seatrial.model import Finding, Schema, Snapshot, Statement, Step, StepError

CHECKS = load()


def found(rule: str, **changes: object) -> Finding:
    (only,) = CHECKS[rule].run(Case(replace(additive().trial, **changes)))
    assert isinstance(only, Finding)
    return only


@pytest.mark.parametrize(
    ("durations", "cause"),
    [
        ((1900.0, 10.0), "`UPDATE t0 SET a = 1` took 1.9 s"),
        ((700.0, 600.0, 600.0), "3 statements took 1.9 s together, none of them half of it"),
        ((0.0, 10.0), "its statements took 0.0 s; the rest went by in the migration's own code"),
        ((), "its statements took 0.0 s; the rest went by in the migration's own code"),
    ],
)
def test_what_took_long(durations, cause):
    statements = tuple(Statement(sql=f"UPDATE t{i} SET a = 1", duration_ms=d) for i, d in enumerate(durations))
    assert found("long-running", up=Step(duration_ms=2000.0, statements=statements)).causes == (cause,)


def test_nothing_is_said_of_statements_that_were_not_seen():
    said = found("long-running", up=Step(duration_ms=2000.0, statements_observed=False))
    assert said.causes == ("cause not determined",)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (StepError(message="no such table: b", statement="UPDATE b SET x = 1"), "stopped at `UPDATE b SET x = 1` and"),
        (StepError(message="KeyError: 'x'", line=31), "stopped in its own code in line 31, behind `DROP TABLE a` and"),
        (StepError(message="KeyError: 'x'"), "stopped in its own code, behind `DROP TABLE a` and"),
    ],
)
def test_where_a_down_stopped(error, words):
    up = additive().trial.after_up
    down = Step(statements=(Statement(sql="DROP TABLE a"),), error=error)
    half = Snapshot(moment="C", schema=Schema(dict(list(up.schema.items())[:-1])), tables=up.tables)
    said = found("half-applied", down=down, after_down=half, reup=Step(executed=False), after_reup=None)
    assert words in said.message
