"""Rows that broke a rule before up are no fault of the migration; which of those after up are new is told exactly."""

import functools

import pytest

from seatrial.engines import _sqlite_look
from seatrial.model import Severity

BASE = (
    "CREATE TABLE p (id integer PRIMARY KEY);"
    "CREATE TABLE c (id integer PRIMARY KEY, p integer, v varchar(9), FOREIGN KEY (p) REFERENCES p (id));"
)
UNCHECKED = {  # by a session that lets orphans in
    "sqlite": "",
    "postgresql": "SET session_replication_role = replica; ",
    **dict.fromkeys(("mariadb", "mysql"), "SET foreign_key_checks = 0; "),
}
LOST = "".join(f"INSERT INTO c VALUES ({i}, {i}, NULL);" for i in range(1, 11))  # ten orphans, and ten NULLs
FEW = "max_keys = 3\n"
HARMLESS = {"up": "CREATE TABLE m (id integer PRIMARY KEY);", "down": "DROP TABLE m;"}
ASKED = """
[[invariants]]
name = "v is known"
sql = "SELECT v FROM c WHERE v IS NULL"
[[invariants]]
name = "v is known of each"
sql = "SELECT id FROM c WHERE v IS NULL"
[[required]]
table = "c"
column = "v"
"""
ONE_MORE = {"up": "INSERT INTO c VALUES (20, NULL, NULL);", "down": "DELETE FROM c WHERE id = 20;"}


@pytest.fixture
def lost(engine, trial):
    """A migration tried where ten children have lost their parent."""
    return functools.partial(trial, base=BASE, seed=UNCHECKED[engine.name] + LOST)


def test_fewer_orphans_than_before_are_no_fault(lost):
    found = lost(up="DELETE FROM c WHERE id < 3;", down="SELECT 1;")
    orphans = found["orphaned-rows"]
    assert (orphans.severity, orphans.preexisting, orphans.count) == (Severity.LOW, True, 8)


def test_an_orphan_more_is_found_beside_one_less(engine, lost):
    up = UNCHECKED[engine.name] + "DELETE FROM c WHERE id = 1; INSERT INTO c VALUES (20, 99, NULL);"
    orphans = lost(up=up, down="DELETE FROM c WHERE id = 20;")["orphaned-rows"]
    assert (orphans.severity, orphans.count, orphans.keys) == (Severity.HIGH, 1, (("20",),))


@pytest.mark.engines("sqlite")  # what is kept is patched there
def test_where_too_many_break_it_numbers_are_compared(lost, monkeypatch):
    monkeypatch.setattr(_sqlite_look, "OFFENDING_KEPT", 3)
    found = lost(up="DELETE FROM c WHERE id < 3;", down="SELECT 1;", keys=3)
    assert found["orphaned-rows"].preexisting
    why = {n.why for n in found.report.not_verified}
    assert "too many rows break foreign key c(p) to tell which of them are new" in why


def test_questions_of_the_project_hold_nothing_old_against_a_migration(lost):
    found = lost(settings=ASKED, **HARMLESS)
    told = [f for f in found.judged.findings if f.rule in ("invariant-broken", "nulls-in-required")]
    assert [(f.rule, f.severity, f.preexisting) for f in told] == [("invariant-broken", Severity.LOW, True)] * 2


@pytest.mark.parametrize(("value", "found"), [("v", []), ("nullif(v, v)", ["d"])])
def test_made_up_rows_are_as_the_project_wants_them(engine, value, found):
    """NULL stands where [[required]] forbids it only where the migration puts it there."""
    settings = "".join(f'[[required]]\ntable = "{table}"\ncolumn = "v"\n' for table in "cd")
    steps = [(BASE, "SELECT 1;"), (f"CREATE TABLE d AS SELECT id, {value} AS v FROM c;", "DROP TABLE d;")]
    report = engine.run(steps, settings=settings, only=("0002",))
    assert [f.table for m in report.migrations for f in m.findings if f.rule == "nulls-in-required"] == found


def test_questions_of_the_project_name_the_new_rows(lost):
    found = lost(settings=ASKED, **ONE_MORE)
    required = found["nulls-in-required"]
    assert (required.count, required.keys) == (1, (("20",),))
    assert "1 row of c holds NULL" in required.message
    by_name = {f.objects: f for f in found.judged.findings if f.rule == "invariant-broken"}
    each = by_name["invariant v is known of each",]
    assert (each.severity, each.count, each.keys) == (Severity.HIGH, 1, (("20",),))
    assert "returns 11 rows, 10 of which it returned before" in each.message
    alike = by_name["invariant v is known",]
    assert (alike.severity, alike.count, alike.keys) == (Severity.HIGH, 1, ((None,),))


def test_what_only_down_breaks_is_told_beside_what_stood(lost):
    up, down = "UPDATE c SET v = 'x' WHERE id = 1;", "UPDATE c SET v = NULL; INSERT INTO c VALUES (30, NULL, NULL);"
    found = lost(settings=ASKED, up=up, down=down)
    each = next(f for f in found.judged.findings if f.objects == ("invariant v is known of each",))
    assert (each.phase.value, each.count, each.keys) == ("down", 1, (("30",),))
