"""The way all the way down on real engines: what a down meets there that its own trial never showed it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trial_fixtures
from engine_fixture import Engine
from report_examples import additive
from trial_fixtures import project

from seatrial.checks.case import Case
from seatrial.checks.chain import chain_findings, links
from seatrial.engines.sqlite import SqliteDatabase
from seatrial.errors import DatabaseError
from seatrial.model import (
    ChainStep,
    ChangedRow,
    ChangeGroup,
    Phase,
    Schema,
    Severity,
    Status,
    Step,
    TableDiff,
    TableRef,
)

BASE = ("CREATE TABLE a (id integer PRIMARY KEY, v varchar(20));", "DROP TABLE a;")
SEED = "INSERT INTO a VALUES (1, 'one'), (2, 'two'), (3, 'three');"
COPY = (
    "CREATE TABLE b (id integer PRIMARY KEY, v varchar(20)); INSERT INTO b SELECT id, v FROM a;",
    "DELETE FROM a WHERE id NOT IN (SELECT id FROM b); DROP TABLE b;",
)
# MySQL reads the table that it deletes from only through a derived one.
THIN = "DELETE FROM b WHERE id = (SELECT low FROM (SELECT min(id) AS low FROM b) AS x);"
KEEPS_NOTHING = "SELECT 1;"
PUTS_BACK = "INSERT INTO b SELECT id, v FROM a WHERE id NOT IN (SELECT id FROM b);"


@pytest.mark.parametrize("down", [KEEPS_NOTHING, PUTS_BACK], ids=["keeps nothing", "puts back"])
def test_a_down_that_believes_what_a_later_down_did_not_bring_back(engine: Engine, down: str):
    """The down of 0002 believes b; where the down of 0003 did not put b's row back, it takes one of a's with it."""
    report = engine.run([BASE, COPY, (THIN, down)], seed=SEED)
    assert not [n for n in report.not_verified if "chain" in n.what]
    _, copy, thin = report.migrations
    chained = [f for judged in report.migrations for f in judged.findings if f.phase is Phase.CHAIN]
    if down == PUTS_BACK:
        assert chained == []
        assert [m.status for m in report.migrations] == [Status.PASSED] * 3
        return
    assert [m.status for m in report.migrations] == [Status.PASSED, Status.FAILED, Status.FAILED]
    (lost,) = chained
    assert copy.findings == (lost,)
    assert "rows-lost" in {f.rule for f in thin.findings}
    assert (lost.rule, lost.severity, lost.table) == ("rows-lost", Severity.CRITICAL, "a")
    assert (lost.count, lost.keys) == (1, (("1",),))


def test_made_up_values_that_a_later_down_did_not_bring_back_are_gone(engine: Engine):
    base = ("CREATE TABLE t (id integer PRIMARY KEY, v text NOT NULL);", "DROP TABLE t;")
    adds = ("ALTER TABLE t ADD COLUMN w text; CREATE TABLE u (id integer PRIMARY KEY);", "DROP TABLE u;")
    drops = ("ALTER TABLE t DROP COLUMN w; DROP TABLE u;", "SELECT 1;")
    report = engine.run([base, adds, drops])
    first, added, dropped = report.migrations
    assert (first.status, dropped.status, report.exit_code) == (Status.PASSED, Status.FAILED, 1)
    assert {"values-lost", "rows-lost"} <= {f.rule for f in dropped.findings}
    assert not [f for f in first.findings + added.findings if f.rule in ("rows-lost", "values-lost", "down-failed")]


def test_what_a_later_down_left_wrong_is_not_told_again_of_a_table_by_its_older_name(engine: Engine):
    """MLRun 28383af526f3 renames a table, and a later migration's down forgets its unique rule."""
    base = (
        "CREATE TABLE a (id integer PRIMARY KEY, v varchar(20)); CREATE UNIQUE INDEX a_v ON a (v);",
        "DROP TABLE a;",
    )
    names = {old: f"ALTER TABLE {old} RENAME TO {new}; " for old, new in (("a", "b"), ("b", "a"))}
    column = "ALTER TABLE {} RENAME COLUMN {} TO {};".format
    renames = (names["a"] + column("b", "v", "w"), column("b", "w", "v") + names["b"])
    drop = "DROP INDEX a_v ON b;" if engine.name in ("mysql", "mariadb") else "DROP INDEX a_v;"
    forgets = (drop, "SELECT 1;")
    report = engine.run([base, renames, forgets])
    _, renamed, dropped = report.migrations
    assert "schema-not-restored" in {f.rule for f in dropped.findings}
    assert [f.message for f in renamed.findings if f.rule == "schema-not-restored"] == []


REBUILT = """CREATE TABLE n (id integer PRIMARY KEY, v varchar(20), w varchar(20) NOT NULL);
INSERT INTO n SELECT id, v, coalesce(w, '') FROM a; DROP TABLE a; ALTER TABLE n RENAME TO a;"""


def test_made_up_values_that_what_a_later_down_left_will_not_let_go(engine: Engine):
    """The chain ends there and says why; every trial keeps its verdict."""
    adds = ("ALTER TABLE a ADD COLUMN w varchar(20);", "ALTER TABLE a DROP COLUMN w;")
    report = engine.run([BASE, adds, (REBUILT, "SELECT 1;")])
    assert [m.status for m in report.migrations] == [Status.PASSED, Status.PASSED, Status.FAILED]
    (doubt,) = (d for d in report.not_verified if "chain" in d.what)
    assert doubt.why.startswith("made-up values of ") and "a.w cannot be taken back" in doubt.why
    refusal = {"sqlite": "NOT NULL constraint failed", "postgresql": "null value in column"}
    assert refusal.get(engine.name, "cannot be null") in doubt.why
    assert not [f for m in report.migrations[:2] for f in m.findings]


def test_what_the_database_refuses_us_in_the_chain_leaves_every_verdict(tmp_path, monkeypatch):
    """Here the look at what the second down of the chain left."""
    take = SqliteDatabase.take

    def refused(self, moment, **given):
        if moment == "1:chain":
            raise DatabaseError("disk image is malformed")
        return take(self, moment, **given)

    monkeypatch.setattr(SqliteDatabase, "take", refused)
    report = trial_fixtures.tested(project(tmp_path, [BASE, COPY, ("CREATE TABLE c (id int);", "DROP TABLE c;")]))
    assert [m.status for m in report.migrations] == [Status.PASSED] * 3
    assert [step.migration for step in report.trace.chain] == [report.migrations[2].migration.id]
    assert [d.why for d in report.not_verified if "chain" in d.what] == ["disk image is malformed"]


def test_values_that_an_earlier_up_draws_may_be_other_ones_after_the_walk_went_back():
    table = TableRef("", "w")
    touched = ChangeGroup(columns=("at",), count=1, rows=(ChangedRow(key=("1",), old=("5",), new=("6",)),))
    change = TableDiff(table=table, new_table=table, key=("id",), changed=(touched,))
    trial = additive().trial
    stamps = replace(trial, index=-1, migration=replace(trial.migration, id="stamps"), reup_changes=(change,))
    chain = ChainStep(
        migration=trial.migration.id, down=Step(), schema_then=Schema(), schema_now=Schema(), changes=(change,)
    )
    alone, after = (links([chain], trials)[chain.migration] for trials in ([trial], [trial, stamps]))
    assert [f.rule for f in chain_findings(Case(trial), alone, [])] == ["values-lost"]
    assert list(chain_findings(Case(trial), after, [])) == []
