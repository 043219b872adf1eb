"""Events that fire while a trial runs, on servers whose scheduler is ON: their work is not a migration's."""

from __future__ import annotations

from itertools import pairwise

import pytest
from engine_fixture import MYSQLS, Engine

from seatrial.engines._mysql_events import Firing, reached
from seatrial.model import Attributes, ObjectKey, Schema, TableRef


def key(kind: str, name: str, table: str = "") -> ObjectKey:
    return ObjectKey(kind, "", table, name)


OBJECTS: dict[ObjectKey, Attributes] = {
    **{key("table", name): {} for name in ("a", "a_log", "b", "child", "day", "far")},
    key("trigger", "r", "a"): {"definition": "AFTER DELETE INSERT INTO a_log VALUES (old.id)"},
    key("constraint", "fk", "child"): {"type": "foreign key", "references": "b", "definition": "FOREIGN KEY ..."},
    key("view", "v"): {"definition": "select id from `b`"},
    key("procedure", "p"): {"definition": "DELETE FROM a"},
}


@pytest.mark.parametrize(
    ("body", "tables"),
    [
        ("DELETE FROM a", {"a", "a_log"}),
        ("CALL p()", {"a", "a_log"}),
        ("UPDATE `V` SET id = 1", {"b", "child"}),
        ("PREPARE s FROM @x", {"a", "a_log", "b", "child", "day", "far"}),
        ("DO 1", set()),
    ],
)
def test_what_an_event_may_write_to(body: str, tables: set[str]) -> None:
    assert {t.name for t in reached(Schema(OBJECTS), [body])} == tables


def test_an_event_counts_between_moments_from_when_it_came_to_when_it_went() -> None:
    firing, none = Firing(), Schema(OBJECTS)
    event: Attributes = {"status": "ENABLED", "definition": "DELETE FROM far"}
    far = frozenset({TableRef("", "far")})
    assert firing.look("A", none, is_on=True) == frozenset()
    firing.note(["CREATE DEFINER = `u`@`h` EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM far"])
    assert firing.look("B", none, is_on=True) == far  # it fired and was gone
    assert firing.look("C", none, is_on=True) == frozenset()
    firing.look("D", Schema({**OBJECTS, key("event", "e"): event}), is_on=True)
    assert firing.look("E", none, is_on=True) == far
    assert firing.look("F", none, is_on=True) == frozenset()
    moments = "ABCDEF"
    touched = {a + b for a, b in pairwise(moments) if firing.between(b, a)}
    assert touched == {"AB", "CD", "DE"} and firing.between("A", "F") == far
    disabled = Schema({**OBJECTS, key("event", "e"): {**event, "status": "DISABLED"}})
    assert firing.look("G", disabled, is_on=True) == frozenset()


@pytest.mark.engines(*MYSQLS)
def test_the_work_of_an_event_is_not_the_migrations(engine: Engine) -> None:
    base = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE log (id int PRIMARY KEY);"
    up = "CREATE EVENT e ON SCHEDULE AT CURRENT_TIMESTAMP DO DELETE FROM log; DO SLEEP(0.3); DELETE FROM t WHERE id = 2"
    seed = "INSERT INTO t VALUES (1), (2); INSERT INTO log VALUES (1), (2);"
    engine.server.maintain("SET GLOBAL event_scheduler = ON")
    try:
        report = engine.run([(base, "SELECT 1;"), (up, "DROP EVENT IF EXISTS e;")], seed=seed)
    finally:
        engine.server.maintain("SET GLOBAL event_scheduler = OFF")
    trial = report.migrations[-1].trial
    assert trial.before and trial.after_up
    log = TableRef("", "log")
    assert [s.table(log).rows for s in (trial.before, trial.after_up)] == [2, 0]  # it did fire
    assert {d.table.name for d in (*trial.up_changes, *trial.down_changes)} == {"t"}
    found = {(f.rule, f.table) for f in report.migrations[-1].findings}
    assert not [f for f in found if "log" in str(f)] and ("rows-lost", "t") in found
    (doubt,) = [n for n in report.not_verified if n.what == "rows of log"]
    assert "event_scheduler is ON" in doubt.why
