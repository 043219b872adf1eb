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


def test_rows_of_which_none_can_be_made_to_fit_go(pair):
    one, other = pair
    one.execute("CREATE TABLE leader (name VARCHAR(20) PRIMARY KEY CHECK (length(name) > 0))")
    other.execute("CREATE TABLE leader (name VARCHAR(20) PRIMARY KEY CHECK (name = 'default'))")
    fill(one, one.inspect(), tables=[TableRef("", "leader")], rows=5, seed=7)
    made = refit(one, one.inspect(), Ahead(schema=other.inspect()), seed=7)
    assert TableRef("", "leader") in made.columns
    assert one.query("SELECT name FROM leader") == [("default",)]
