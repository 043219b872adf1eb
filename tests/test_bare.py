"""The database beside the walk, in which a step is seen without rows."""

from __future__ import annotations

import pytest

from seatrial.model import Status
from seatrial.trial.stand import Ground

BASE = "CREATE TABLE t (id integer PRIMARY KEY, v varchar(20));"
DEMANDS = "CREATE TABLE {0} (v varchar(20) NOT NULL); INSERT INTO {0} (v) SELECT v FROM t;"
STEPS = [(BASE, "DROP TABLE t;"), *((DEMANDS.format(name), f"DROP TABLE {name};") for name in "ab")]
REFUSED = "UPDATE t SET v = NULL WHERE id = (SELECT min(id) FROM t);"
AGAIN = (REFUSED + DEMANDS.format("c"), "DROP TABLE c;")


@pytest.fixture
def opened(monkeypatch):
    made, open_one = [], Ground.open
    monkeypatch.setattr(Ground, "open", lambda ground: made.append(ground) or open_one(ground))
    return made


@pytest.mark.engines("sqlite")
def test_it_waits_for_the_next_question(engine, opened):
    report = engine.run([*STEPS, AGAIN])
    assert [m.status for m in report.migrations][:3] == [Status.PASSED] * 3
    assert [f.rule for f in report.migrations[3].findings] == ["up-failed"]
    assert len(opened) == 2  # the walk's, and one beside it


@pytest.mark.engines("postgresql")
def test_where_a_role_was_made_the_step_is_seen_in_the_walks_own_database(engine, opened):
    """The role is the whole server's: a second CREATE ROLE fails, and with it all that could be seen beside."""
    role = ("CREATE ROLE seatrial_test_bare;", "DROP ROLE seatrial_test_bare;")
    report = engine.run([STEPS[0], role, STEPS[1]])
    assert [m.status for m in report.migrations] == [Status.PASSED] * 3, [m.findings for m in report.migrations]
    assert len(opened) == 2 and len(report.retries) == 1


@pytest.mark.engines("sqlite", "postgresql")
def test_an_untested_migration_that_refuses_what_others_made_of_made_up_rows_runs_without(engine):
    """Found in Notify with --only: emptying the tables with made-up rows leaves what was copied from them."""
    copies = ("CREATE TABLE c (id integer PRIMARY KEY); INSERT INTO c (id) SELECT id FROM t;", "DROP TABLE c;")
    looks_up = "CREATE TABLE d (v varchar(20) NOT NULL); INSERT INTO d SELECT (SELECT v FROM t WHERE id = c.id) FROM c;"
    last = ("CREATE TABLE e (id integer PRIMARY KEY);", "DROP TABLE e;")
    report = engine.run([STEPS[0], copies, (looks_up, "DROP TABLE d;"), last], only=("0002", "0004"))
    assert [m.status.value for m in report.migrations] == ["skipped", "passed", "skipped", "passed"]
