"""Made-up rows changed to fit what an up asks of them."""

from __future__ import annotations

import pytest

from seatrial.model import TableRef
from seatrial.seeds.generate import FillResult, fill
from seatrial.seeds.refit import Ahead, refit

BASE = """
CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(40));
CREATE TABLE orders (id INT PRIMARY KEY, buyer INT, code VARCHAR(20), note VARCHAR(40), total INT, spec VARCHAR(60));
"""
AHEAD = """
CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(40));
CREATE TABLE orders (id INT PRIMARY KEY, buyer INT REFERENCES users (id), code VARCHAR(20) NOT NULL UNIQUE,
  note VARCHAR(5), total INT NOT NULL CHECK (total > 3), spec {json});
"""


@pytest.fixture
def pair(engine):
    """A database with rows, and an empty one at the schema ahead."""
    one, other = engine.create(), engine.create()
    assert one.load(BASE) is None
    assert other.load(AHEAD.format(json="JSON")) is None
    return one, other


def test_rows_fit_the_schema_ahead(pair):
    one, other = pair
    fill(one, one.inspect(), rows=12, seed=7)
    users = one.query("SELECT * FROM users ORDER BY id")
    made = refit(one, one.inspect(), Ahead(schema=other.inspect()), seed=7)
    assert made.not_filled == {}
    assert set(made.columns) == {TableRef("", "orders")}
    assert set(made.columns[TableRef("", "orders")]) >= {"code", "note", "total"}
    assert one.query("SELECT * FROM users ORDER BY id") == users
    rows = one.query("SELECT id, buyer, code, note, total, spec FROM orders ORDER BY id")
    assert len(rows) == 12 and len({r[2] for r in rows}) == 12 and None not in {r[2] for r in rows}
    assert all(len(r[3] or "") <= 5 for r in rows) and all(int(r[4]) > 3 for r in rows)
    assert {r[1] for r in rows} - {None} <= {u[0] for u in users}
    with other.filling():
        other.fill(TableRef("", "users"), ["id", "name"], users)
        other.fill(TableRef("", "orders"), ["id", "buyer", "code", "note", "total", "spec"], rows)
    assert [i.object for i in other.take("check").integrity if i.count] == []


def test_what_fits_already_is_left_alone(pair):
    one, _ = pair
    fill(one, one.inspect(), rows=12, seed=7)
    assert refit(one, one.inspect(), Ahead(schema=one.inspect()), seed=7) == FillResult()


def test_rows_without_a_key_are_made_anew(pair):
    one, other = pair
    one.execute("CREATE TABLE bare (x INT)", *["INSERT INTO bare VALUES (NULL)"] * 3)
    other.execute("CREATE TABLE bare (x INT NOT NULL UNIQUE)")
    made = refit(one, one.inspect(), Ahead(schema=other.inspect()), seed=7)
    assert made.not_filled == {} and made.columns[TableRef("", "bare")] == ("x",)
    rows = {r[0] for r in one.query("SELECT x FROM bare")}
    assert len(rows) == 3 and None not in rows

    one, other = pair
    one.execute("CREATE TABLE leader (name VARCHAR(20) PRIMARY KEY CHECK (length(name) > 0))")
    other.execute("CREATE TABLE leader (name VARCHAR(20) PRIMARY KEY CHECK (name = 'default'))")
    fill(one, one.inspect(), tables=[TableRef("", "leader")], rows=5, seed=7)
    made = refit(one, one.inspect(), Ahead(schema=other.inspect()), seed=7)
    assert TableRef("", "leader") in made.columns
    assert one.query("SELECT name FROM leader") == [("default",)]


# --- another key for the same children ---

TREE = ("CREATE TABLE a (id integer PRIMARY KEY, v text); CREATE TABLE c (id integer PRIMARY KEY, a integer);", "")
BOUND = ("ALTER TABLE c ADD CONSTRAINT c_a FOREIGN KEY (a) REFERENCES a (id);", "ALTER TABLE c DROP CONSTRAINT c_a;")
WIDER = ("ALTER TABLE a ADD COLUMN big bigint UNIQUE;", "ALTER TABLE a DROP COLUMN big;")
MOVED = """ALTER TABLE c DROP CONSTRAINT c_a;
ALTER TABLE c ADD CONSTRAINT c_a FOREIGN KEY (a) REFERENCES a (big) NOT VALID;
{drop}"""
BACK = "{undrop} ALTER TABLE c DROP CONSTRAINT c_a; ALTER TABLE c ADD CONSTRAINT c_a FOREIGN KEY (a) REFERENCES a (id);"
TAKES_ITS_NAME = (
    "ALTER TABLE a DROP COLUMN id; ALTER TABLE a RENAME COLUMN big TO id; ALTER TABLE a ADD PRIMARY KEY (id);",
    "ALTER TABLE a DROP CONSTRAINT a_pkey; ALTER TABLE a RENAME COLUMN id TO big; ALTER TABLE a ADD COLUMN id integer;"
    " UPDATE a SET id = big; ALTER TABLE a ADD PRIMARY KEY (id); ALTER TABLE a ALTER COLUMN big DROP NOT NULL;",
)
CHECKED = ("ALTER TABLE c VALIDATE CONSTRAINT c_a;", "SELECT 1;")


@pytest.mark.engines("postgresql")
@pytest.mark.parametrize("names", [("", ""), TAKES_ITS_NAME], ids=["same", "renamed"])
def test_a_new_key_that_the_project_fills_holds_what_the_old_one_does(engine, names):
    """Found in pkgsite: 12 orphans of a key that a trigger fills, and VALIDATE of the next migration failed on them."""
    report = engine.run([TREE, BOUND, WIDER, (MOVED.format(drop=names[0]), BACK.format(undrop=names[1])), CHECKED])
    moved, checked = report.migrations[3:]
    assert "orphaned-rows" not in {f.rule for m in (moved, checked) for f in m.findings}
    assert any("made-up values of a.big" in action for r in report.retries for action in r.actions)
    assert checked.trial.up.error is None


@pytest.mark.engines("postgresql")
def test_a_new_key_that_the_up_itself_leaves_empty_orphans_the_children(engine):
    adds = "ALTER TABLE a ADD COLUMN big bigint UNIQUE; UPDATE a SET big = -id;"
    report = engine.run([TREE, BOUND, (adds + MOVED.format(drop=""), BACK.format(undrop="") + WIDER[1])])
    assert "orphaned-rows" in {f.rule for f in report.migrations[2].findings}


@pytest.mark.engines("postgresql")
def test_children_follow_a_key_that_is_changed(engine):
    """Found: a narrower type of a key changed it, and the rows that referred to it were orphans of our own making."""
    one, other = engine.create(), engine.create()
    tables = """CREATE TABLE a (id bigint PRIMARY KEY);
    CREATE TABLE c (id integer PRIMARY KEY, a bigint, FOREIGN KEY (a) REFERENCES a (id));
    CREATE TABLE bare (a bigint, FOREIGN KEY (a) REFERENCES a (id));"""
    assert one.load(tables) is None and other.load(tables.replace("a (id bigint", "a (id smallint")) is None
    one.execute("INSERT INTO a VALUES (1), (9007199254740993)")
    one.execute("INSERT INTO c VALUES (1, 9007199254740993), (2, 1), (3, NULL)")
    one.execute("INSERT INTO bare VALUES (9007199254740993), (9007199254740993), (1)")
    made = refit(one, one.inspect(), Ahead(schema=other.inspect()), seed=7)
    (new,) = (row[0] for row in one.query("SELECT id FROM a WHERE id <> 1"))
    assert abs(int(new)) < 2**15 and {t.name for t in made.columns} == {"a", "c", "bare"}
    assert one.query("SELECT a FROM c ORDER BY id") == [(new,), ("1",), (None,)]
    assert sorted(row[0] for row in one.query("SELECT a FROM bare")) == sorted(["1", new, new])
