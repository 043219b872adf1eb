"""What findings of time and of half-done work say, from literals: a statement is named only where it was the one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cause_lab import Run, findings, happened
from report_examples import additive, report

from seatrial.checks import load
from seatrial.checks.attributes import otherwise, was
from seatrial.checks.case import Case, stated
from seatrial.checks.schema_restored import schema_not_restored
from seatrial.model import (
    Blocker,
    ChangedRow,
    ChangeGroup,
    Finding,
    NotVerified,
    ObjectKey,
    Refusal,
    Row,
    Schema,
    Snapshot,
    Statement,
    Status,
    Step,
    StepError,
    TableDiff,
    TableRef,
    TableState,
)
from seatrial.reporters import render
from seatrial.schema import Difference

CHECKS = load()


def found(rule: str, **changes: object) -> Finding:
    (only,) = CHECKS[rule].run(Case(replace(additive().trial, **changes)))
    assert isinstance(only, Finding)
    return only


def test_a_value_whose_column_is_missing_is_gone_with_it():
    table = TableRef("", "orders")
    groups = (
        ChangeGroup(columns=("a", "b"), count=1, rows=(ChangedRow(key=("1",), old=("x", "3"), new=("y", None)),)),
        ChangeGroup(columns=("b",), count=1, rows=(ChangedRow(key=("2",), old=("4",), new=(None,)),)),
    )
    lost = {"table": table, "new_table": table, "key": ("id",), "columns": ("id", "a", "b"), "missing_columns": ("b",)}
    said = found("values-lost", down_changes=(TableDiff(**lost, changed=groups),))
    assert (said.columns, said.gone) == (("a", "b"), ("b",))
    assert said.message.endswith("after down than before up (id 1, 2). Those of b are gone with the column.")
    both = found("values-lost", down_changes=(TableDiff(**lost, changed=groups[1:]),))
    assert both.message == "1 value of orders.b is gone with the column (id 2)."
    judged = replace(additive(), findings=(said,), status=Status.FAILED)
    blocked = (Blocker(migration="0001", findings=(said,)),)
    told = report(judged, status=Status.FAILED, exit_code=1, blockers=blocked)
    texts = {name: " ".join(render(told, name).split()) for name in ("markdown", "terminal", "junit", "html")}
    assert "row `1`: `a` was `'x'`, is `'y'`" in texts["markdown"]
    assert "row `2`: `b` was `'4'`, gone with the column" in texts["markdown"]
    assert "2 b: '4' → gone with the column" in texts["terminal"].replace("->", "→")
    assert "2 b: '4' -&gt; gone with the column" in texts["junit"].replace("&#x27;", "'")
    assert "<code>gone with the column</code>" in texts["html"]


@pytest.mark.parametrize(
    ("durations", "cause"),
    [
        ((1900.0, 10.0), "`UPDATE t0 SET a = 1` took 1.9 s"),
        ((700.0, 600.0, 600.0), "3 statements took 1.9 s together, none of them half of it"),
        ((0.0, 10.0), "its statements took 0.0 s; the rest went by in the migration's own code"),
        ((), "its statements took 0.0 s; the rest went by in the migration's own code"),
    ],
)
@pytest.mark.usefixtures("usual_patience")
def test_what_took_long(durations, cause):
    statements = tuple(Statement(sql=f"UPDATE t{i} SET a = 1", duration_ms=d) for i, d in enumerate(durations))
    said = found("long-running", up=Step(duration_ms=2000.0, statements=statements), reup=Step(executed=False))
    assert said.causes == (cause,)


@pytest.mark.parametrize(("again", "said"), [(900.0, []), (1500.0, ["Up took 1.5 s"]), (3000.0, ["Up took 2.0 s"])])
@pytest.mark.usefixtures("usual_patience")
def test_of_two_ups_from_the_same_state_the_quicker_counts(again, said):
    trial = replace(additive().trial, up=Step(duration_ms=2000.0), reup=Step(duration_ms=again))
    case = Case(trial)
    assert case.reup_ran and case.restored
    assert [f.message.partition(" on a ")[0] for f in CHECKS["long-running"].run(case)] == said


@pytest.mark.usefixtures("usual_patience")
def test_nothing_is_said_of_statements_that_were_not_seen():
    said = found("long-running", up=Step(duration_ms=2000.0, statements_observed=False), reup=Step(executed=False))
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


REFUSED = StepError(message="no such table: runs", statement="UPDATE runs SET x = 1", about=Refusal.MISSING)
UNREFLECTED = StepError(message="NoSuchTableError: runs", line=31)


@pytest.mark.parametrize("error", [REFUSED, UNREFLECTED])
def test_a_history_that_begins_on_tables_of_another_maker(error):
    empty, some = (Snapshot(moment="A", schema=s, tables=()) for s in (Schema(), additive().trial.before.schema))
    up = Step(error=error)
    said = [found("up-failed", before=b, up=up, after_up=None) for b in (empty, some)]
    assert ["made elsewhere" in s.causes[0] for s in said] == [True, False]
    assert "in front" in said[0].recommendation


W = TableRef("", "w")
ID, X = (ObjectKey("column", "", "w", c) for c in ("id", "x"))
WHOLE = Schema({ObjectKey.of_table(W): {}, ID: {"type": "int"}, X: {"type": "int"}})
SHORT = Schema({k: v for k, v in WHOLE.items() if k != X})
DROPPED = ChangeGroup(columns=("x",), count=2, rows=(ChangedRow(key=("1",), old=("5",), new=(None,)),))
UPDATED = ChangeGroup(columns=("v",), count=1, rows=(ChangedRow(key=("3",), old=("a",), new=("b",)),))
GONE = TableDiff(table=W, new_table=W, key=("id",), missing_columns=("x",), changed=(DROPPED,))
BOTH = replace(GONE, lost_count=1, lost=(Row(key=("2",), values=("2", "b")),), changed=(DROPPED, UPDATED))


@pytest.mark.parametrize(
    ("undone", "rows", "told", "keys"),
    [
        ((GONE,), 3, "column w.x.", ()),  # the column's values go with it
        ((BOTH,), 2, "column w.x, 1 row of w missing (id 2) and 1 row of w changed (id 3).", (("2",), ("3",))),
        (None, 3, "column w.x.", ()),  # the checksum differs by the column alone
        (None, 2, "column w.x and rows of w (3 before, 2 now).", ()),
    ],
)
def test_rows_are_told_beside_the_objects(undone, rows, told, keys):
    before = Snapshot(moment="A", schema=SHORT, tables=(TableState(table=W, rows=3, checksum="aa"),))
    up = replace(before, moment="B", schema=WHOLE)
    down = Snapshot(moment="C", schema=SHORT, tables=(TableState(table=W, rows=rows, checksum="bb"),))
    failed = Step(statements=(Statement(sql="DELETE"),), error=StepError(message="refused", statement="DROP TABLE b"))
    said = found("half-applied", before=before, after_up=up, down=failed, after_down=down, undone=undone)
    assert said.message.endswith(f"left a part of its work: {told}")
    assert (said.table, said.keys, said.objects) == ("w", keys, ("column w.x",))


def test_a_table_that_down_drops_is_no_loss_of_rows():
    before = Snapshot(moment="A", schema=Schema())
    up = Snapshot(moment="B", schema=WHOLE, tables=(TableState(table=W, rows=3, checksum="aa"),))
    other = Schema({ObjectKey.of_table(TableRef("", "u")): {}})
    down = Step(statements=(Statement(sql="DROP TABLE w"),), error=StepError(message="refused", statement="DROP b"))
    undone = (TableDiff(table=W, key=("id",), lost_count=3),)
    half = Snapshot(moment="C", schema=other)
    said = found("half-applied", before=before, after_up=up, down=down, after_down=half, undone=undone)
    assert "row" not in said.message.split("left a part")[1]
    assert "table w" in said.objects


def test_a_statement_in_a_sentence_ends_no_code():
    """MySQL's quotes are Markdown's: in between, half of the statement would be prose."""
    assert stated("ALTER TABLE t DROP `a b`") == "`` ALTER TABLE t DROP `a b` ``"
    assert stated("DELETE FROM `a``b` WHERE x = 1") == "```DELETE FROM `a``b` WHERE x = 1```"


def test_what_follows_from_without_rowid_is_not_told_beside_it():
    """The key's NOT NULL went with it; that of another column is a loss of its own only where the table stayed so."""
    loose = Schema({ObjectKey.of_table(W): {}, ID: {"type": "int", "nullable": True}})
    for kept, told in ((False, ("table w",)), (True, ("column w.id",))):
        held = {} if kept else {"without_rowid": True}
        strict = Schema({ObjectKey.of_table(W): held, ID: {"type": "int", "nullable": False}})
        before = Snapshot(moment="A", schema=strict, tables=())
        after = replace(before, schema=loose)
        said = found("schema-not-restored", before=before, after_up=after, after_down=replace(after, moment="C"))
        assert said.objects == told


@pytest.mark.parametrize(
    "kind", ["view", "materialized view", "trigger", "rule", "function", "procedure", "event", "statistics"]
)
def test_what_an_object_does_is_told_beside_its_comment(kind):
    """Found: of a view whose query a down did not bring back, only the comment was told."""
    old = {"comment": "old", "definition": "SELECT v", "enabled": True}
    change = Difference(ObjectKey(kind, "", "", "w"), old, {**old, "comment": "new", "definition": "SELECT 1"})
    assert (
        otherwise(change) == f"{kind} w has definition SELECT 1 instead of SELECT v and has comment new instead of old"
    )
    assert was(change) == "definition SELECT v, comment old"
    many = Difference(change.key, {**old, "a": "1", "b": "1", "c": "1"}, {**change.new, "a": "2", "b": "2", "c": "2"})
    assert "has definition SELECT 1" in otherwise(many)  # of many only the first are told
    assert was(many).startswith("definition SELECT v")


def test_settings_are_several():
    """Found: "database settings has user version 3"."""
    change = Difference(ObjectKey("database", "", "", "settings"), {"user_version": 2}, {"user_version": 3})
    assert otherwise(change) == "database settings have user version 3 instead of 2"


@pytest.mark.parametrize(
    ("differs", "told"),
    [
        ({"on_delete": "CASCADE"}, "has ON DELETE CASCADE instead of RESTRICT"),
        (
            {"comment": "new"},
            "has definition UNIQUE (a) INCLUDE (b) instead of UNIQUE (a) and has comment new instead of old",
        ),
    ],
    ids=["said by it", "not said by it"],
)
def test_a_constraints_definition_is_told_where_nothing_else_says_it(differs, told):
    old = {"comment": "old", "definition": "UNIQUE (a)", "on_delete": "RESTRICT"}
    new = {**old, "definition": "UNIQUE (a) INCLUDE (b)", **differs}
    change = Difference(ObjectKey("constraint", "", "t", "u"), old, new)
    assert otherwise(change) == f"{change.key.label} {told}"


def test_what_runs_migrations_may_count_in_the_file_by_itself():
    """A number that no statement of the migration writes, and one that a dump does not bring, are doubts."""
    counting = Run(says="SELECT 1", does="PRAGMA user_version = 7")
    for up, down, why in (
        (counting, "SELECT 1", "what runs the migrations may count there by itself"),
        ("PRAGMA user_version = 7", "PRAGMA user_version = 6", ".dump leaves it out"),
        ("PRAGMA journal_mode = WAL", "SELECT 1", "whoever opens it works so from now on"),
    ):
        case = Case(happened(base="CREATE TABLE t (id integer PRIMARY KEY);", up=up, down=down))
        (doubt,) = schema_not_restored(case)
        assert isinstance(doubt, NotVerified) and why in doubt.why, doubt


def test_what_stands_in_the_place_of_a_forgotten_rule_gives_it_back_in_up_alone():
    """Once up makes the rule again, a down that creates it or drops the other one would fail."""
    column = {"type": "unique", "columns": ("v",), "references": None}
    old, new = (ObjectKey("constraint", "", "t", name) for name in ("t_v", "n_v"))
    held = {old: {**column, "definition": "UNIQUE (v) DEFERRABLE"}}
    made = {old: None, new: {**column, "definition": "UNIQUE (v)"}}
    base = "CREATE TABLE t (id integer PRIMARY KEY, v text);"
    copy = "CREATE TABLE n (id integer PRIMARY KEY, v text); INSERT INTO n (id, v) SELECT id, v FROM t; DROP TABLE t;"
    trial = happened(
        base=base, up=f"{copy} ALTER TABLE n RENAME TO t", down="SELECT 1", engine="postgresql", a=held, b=made, c=made
    )
    found = findings(trial, "collateral-schema-loss") + findings(trial, "schema-not-restored")
    advice = "Create constraint t_v again at the end of up, in the place of constraint n_v: `ALTER TABLE t DROP"
    advice += " CONSTRAINT n_v; ALTER TABLE t ADD CONSTRAINT t_v UNIQUE (v) DEFERRABLE`."
    assert {f.recommendation for f in found} == {advice}


def test_rows_of_a_table_that_came_back_in_another_case_are_asked_for_by_that_name():
    """On a file system that tells case apart, MySQL finds it by no other."""
    trial = happened(
        base="CREATE TABLE t (id integer PRIMARY KEY, v text);",
        seed="INSERT INTO t VALUES (1, 'a'), (2, 'b');",
        up="ALTER TABLE t RENAME TO x; UPDATE x SET v = 'c' WHERE id = 2",
        down="ALTER TABLE x RENAME TO T",
        engine="mysql",
    )
    (found,) = findings(trial, "values-lost")
    assert found.sql == "SELECT `id`, `v` FROM `T` WHERE `id` IN (2)"
