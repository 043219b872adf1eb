"""Relationships that no foreign key declares: configured ones, and those that names suggest and the rows bear out."""

from __future__ import annotations

import json

import pytest
from engine_fixture import Engine
from trial_fixtures import Outcome

from seatrial.model import ObjectKey, Relationship, Schema, Severity
from seatrial.relations import relations
from seatrial.reporters import render

USERS_AND_ORDERS = """
CREATE TABLE users (id integer PRIMARY KEY, name varchar(9));
CREATE TABLE orders (id integer PRIMARY KEY, {column} integer, total integer);
"""
ROWS = "INSERT INTO users VALUES (1, 'ada'), (2, 'bob'); INSERT INTO orders VALUES (10, 1, 5), (11, 2, 6);"
GONE = "DELETE FROM users WHERE id = 2;"


def suggested(columns: dict[str, str], parents: dict[str, str], **more: object) -> list[str]:
    """Labels of what a table ``orders`` with these columns (name -> type) refers to, beside tables keyed by ``id``."""
    objects: dict[ObjectKey, dict[str, object]] = {}
    for table, held in {"orders": columns, **{p: {"id": t} for p, t in parents.items()}}.items():
        objects[ObjectKey("table", "", "", table)] = {}
        for position, (name, type_) in enumerate(held.items(), 1):
            objects[ObjectKey("column", "", table, name)] = {"type": type_, "position": position, **more}
        objects[ObjectKey("primary key", "", table, f"{table}(id)")] = {"type": "primary key", "columns": ("id",)}
    return [key.name for key, _ in relations(Schema(objects))]  # type: ignore[arg-type]


def test_names_suggest_a_parent_of_the_same_kind_of_key():
    columns = {"id": "int", "user_id": "bigint", "category_id": "int", "box_id": "int", "status_id": "varchar(9)"}
    parents = {"users": "int unsigned", "categories": "int", "boxes": "int", "status": "int", "parcels": "int"}
    assert suggested(columns, parents) == [
        "orders.user_id -> users.id",
        "orders.category_id -> categories.id",
        "orders.box_id -> boxes.id",
    ]


@pytest.mark.parametrize(
    ("columns", "parents"),
    [
        ({"id": "int", "user_id": "int"}, {"user": "int", "users": "int"}),  # which of them?
        ({"id": "int", "order_id": "int"}, {}),  # a number of its own
        ({"id": "int", "parent_id": "int", "external_id": "int", "userid": "int"}, {"users": "int"}),
        ({"id": "int", "user_id": "text"}, {"users": "uuid"}),
    ],
)
def test_names_that_suggest_nothing(columns: dict[str, str], parents: dict[str, str]):
    assert suggested(columns, parents) == []


def test_an_inferred_orphan_is_medium_and_said_to_be_inferred(trial):
    found = trial(base=USERS_AND_ORDERS.format(column="user_id"), seed=ROWS, up=GONE, down="SELECT 1;")
    orphan = found["orphaned-rows"]
    assert (orphan.severity, orphan.inferred, orphan.preexisting) == (Severity.MEDIUM, True, False)
    assert orphan.keys == (("11",),)
    assert "inferred from the names, and every row obeyed it" in orphan.message
    gone = "up removed 1 row of users (`DELETE FROM users WHERE id = 2`)"
    assert orphan.causes == (f"{gone} and no foreign key is declared that would refuse it",)


STRAY = "INSERT INTO orders VALUES (12, 99, 7);"


@pytest.mark.parametrize(
    ("rows", "disobeyed", "is_told"),
    [
        (ROWS, 0, True),
        (ROWS + "INSERT INTO orders VALUES (13, 77, 1);", 1, False),  # one row has no parent before up already
        ("INSERT INTO users VALUES (1, 'ada'), (2, 'bob');", 0, False),  # nothing obeys it where nothing is
        ("INSERT INTO users VALUES (1, 'ada'); INSERT INTO orders VALUES (10, NULL, 5);", 0, False),
    ],
    ids=["obeyed", "one row does not", "no rows", "all NULL"],
)
def test_what_only_names_suggest_counts_where_every_row_obeyed_it(trial, rows: str, disobeyed: int, is_told: bool):
    base = USERS_AND_ORDERS.format(column="user_id")
    found = trial(base=base, seed=rows, up=STRAY, down="DELETE FROM orders WHERE id = 12;")
    assert [(f.rule, f.keys) for f in found.judged.findings] == [("orphaned-rows", (("12",),))] * is_told
    before = found.report.trace.trials[-1].before
    assert [(i.inferred, i.count) for i in before.integrity if i.references] == [(True, disobeyed)]
    doubted = [d.why for d in found.report.not_verified if d.what == "relationship orders.user_id -> users.id"]
    assert doubted == ["its name suggests it, but every row has NULL there before up"] * ("NULL" in rows)


def test_a_configured_relationship_is_as_good_as_a_foreign_key(trial):
    settings = '[[relationships]]\ntable = "orders"\ncolumn = "buyer"\nreferences = "users.id"\n'
    base = USERS_AND_ORDERS.format(column="buyer")
    found = trial(base=base, seed=ROWS, up=GONE, down="SELECT 1;", settings=settings)
    orphan = found["orphaned-rows"]
    assert (orphan.severity, orphan.inferred, orphan.keys) == (Severity.HIGH, False, (("11",),))
    assert orphan.objects == ("relationship orders.buyer -> users.id",)


def test_rows_that_we_make_obey_both(engine: Engine):
    settings = '[[relationships]]\ntable = "orders"\ncolumn = "buyer"\nreferences = "users.id"\n[seed]\nrows = 6\n'
    base = USERS_AND_ORDERS.format(column="buyer integer, user_id")
    steps = [(base, "SELECT 1;"), ("DELETE FROM users;", "SELECT 1;")]
    report = engine.run(steps, settings=settings, only=("0002",))
    (orphan,) = [f for f in report.migrations[-1].findings if f.rule == "orphaned-rows"]
    assert orphan.severity is Severity.HIGH
    assert set(orphan.columns) == {"buyer", "user_id"}
    assert orphan.count >= 5
    before = report.trace.trials[-1].before
    assert before is not None
    assert {(i.object, i.count) for i in before.integrity if i.references} == {
        ("relationship orders.buyer -> users.id", 0),
        ("relationship orders.user_id -> users.id", 0),
    }


def test_a_told_relationship_knows_its_parent():
    told = Relationship(table="orders", column="buyer", references="crm.people.id")
    assert (told.parent, told.parent_column) == ("crm.people", "id")


@pytest.mark.engines("mariadb", "mysql")
def test_storage_engines_are_said_per_table(engine: Engine):
    base = (
        "CREATE TABLE users (id int PRIMARY KEY, name varchar(9)) ENGINE = InnoDB;"
        "CREATE TABLE hits (id int PRIMARY KEY, user_id int) ENGINE = MyISAM;"
        "CREATE TABLE logs (id int PRIMARY KEY) ENGINE = MyISAM;"
    )
    report = engine.run([(base, "SELECT 1;"), ("DELETE FROM users WHERE id > 0;", "SELECT 1;")], only=("0002",))
    outcome = Outcome(report)
    assert outcome["orphaned-rows"].inferred
    told = json.loads(render(report, "json"))["environment"]
    assert told["storage_engine"] == "MyISAM, InnoDB"
    assert told["storage_engines"] == {"hits": "MyISAM", "logs": "MyISAM", "users": "InnoDB"}
    assert "Tables in MyISAM: hits, logs (no foreign keys, no transactions)" in render(report, "markdown")
    assert "MyISAM: hits, logs (no foreign keys, no transactions)" in render(report, "html")
