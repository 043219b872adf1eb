"""What a step that stops half-way leaves is told, objects and rows, where no transaction takes it back."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_fixture import Engine
from test_sources_alembic import project as alembic_project
from test_sources_alembic import revision, table

from seatrial.model import Finding, Judged, Severity, Status

BASE = (
    "CREATE TABLE w (id int PRIMARY KEY, v int); CREATE TABLE calm (id int PRIMARY KEY, y int);",
    "DROP TABLE calm; DROP TABLE w;",
)
# MySQL and MariaDB commit around DDL; SQLite where a migration says transaction:false. PostgreSQL takes it all back.
pytestmark = pytest.mark.engines("sqlite", "mariadb", "mysql")
FREE = "--free\n"
SEED = "INSERT INTO w VALUES (1, 10), (2, 20), (3, 30); INSERT INTO calm VALUES (1, 1), (2, 2);"


def half(judged: Judged) -> Finding:
    (found,) = [f for f in judged.findings if f.rule == "half-applied"]
    assert (judged.status, found.severity) == (Status.FAILED, Severity.MEDIUM)
    return found


def test_a_down_that_stops_half_way_and_what_comes_after_it(engine: Engine):
    """Its rows are told, not those whose table only lost a column; the next migration begins where its up ended."""
    up = "ALTER TABLE w ADD COLUMN x int DEFAULT 7; ALTER TABLE calm ADD COLUMN x int DEFAULT 7;"
    down = (
        "UPDATE w SET v = 11 WHERE id = 1; DELETE FROM w WHERE id = 2; ALTER TABLE w DROP COLUMN x;"
        " ALTER TABLE calm DROP COLUMN x; ALTER TABLE w DROP COLUMN nowhere;"
    )
    good = ("UPDATE w SET x = 8; ALTER TABLE w ADD COLUMN z int;", "ALTER TABLE w DROP COLUMN z; UPDATE w SET x = 7;")
    report = engine.run([BASE, (FREE + up, down), good], seed=SEED)
    second, third = report.migrations[1:]
    found = half(second)
    assert "stopped at `ALTER TABLE w DROP COLUMN nowhere`" in found.message
    told = found.message.split("left a part of its work: ")[1]
    assert told == "column calm.x and column w.x, 1 row of w missing (id 2) and 1 row of w changed (id 1)."
    assert (found.keys, found.objects) == ((("1",), ("2",)), ("column calm.x", "column w.x"))
    assert {f.rule for f in second.findings} == {"half-applied", "down-failed"}
    assert (third.status, third.findings) == (Status.PASSED, ())
    before = third.trial.before
    assert before is not None
    assert [t.rows for t in before.tables if t.table.name == "w"] == [3]


def test_an_up_that_stops_half_way_and_what_comes_after_it(engine: Engine):
    up = (
        "UPDATE w SET v = 0 WHERE id = 1; DELETE FROM w WHERE id = 3; ALTER TABLE w ADD COLUMN x int DEFAULT 7;"
        " ALTER TABLE calm DROP COLUMN y; ALTER TABLE w DROP COLUMN nowhere;"
    )
    steps = [BASE, (FREE + up, "SELECT 1;"), ("CREATE TABLE n (id int);", "DROP TABLE n;")]
    report = engine.run(steps, seed=SEED)
    second, third = report.migrations[1:]
    found = half(second)
    told = found.message.split("left a part of its work: ")[1]
    assert told == "column calm.y and column w.x, 1 row of w missing (id 3) and 1 row of w changed (id 1)."
    assert (found.keys, found.objects) == ((("1",), ("3",)), ("column calm.y", "column w.x"))
    assert third.status is Status.ERROR
    assert third.trial.up.executed is False


@pytest.mark.engines("mariadb", "mysql")
def test_another_branch_goes_on_from_a_clean_state(engine: Engine, tmp_path: Path):
    """What needs the half-applied one cannot be tried; what comes after its parent finds nothing of it."""
    stops = "op.add_column('t', sa.Column('half', sa.Integer)); op.drop_column('t', 'nowhere')"
    adds = {"up": "op.add_column('t', sa.Column('c', sa.Integer))", "downgrade": "op.drop_column('t', 'c')"}
    folder = alembic_project(
        tmp_path,
        revision("a", **table("t")),
        revision("b1", "a", up=stops, downgrade="op.drop_column('t', 'half')"),
        revision("b2", "b1", up="op.execute('UPDATE t SET half = 1')"),
        revision("c1", "a", **adds),
    )
    judged = {m.migration.id: m for m in engine.tested(folder).migrations}
    assert {f.rule for f in judged["b1"].findings} == {"up-failed", "half-applied"}
    assert half(judged["b1"]).objects == ("column t.half",)
    assert (judged["b2"].status, judged["b2"].trial.up.executed) == (Status.ERROR, False)
    assert (judged["c1"].status, judged["c1"].findings) == (Status.PASSED, ())
    shown = judged["c1"].trial.before, judged["c1"].trial.after_up
    columns = [{k.name for k in s.schema if k.kind == "column" and k.table == "t"} for s in shown if s]
    assert columns == [{"id", "x"}, {"id", "x", "c"}]
