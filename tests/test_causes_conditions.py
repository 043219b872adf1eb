"""Conditions of WHERE over one row of known values: what is decided is what SQLite itself decides."""

import itertools
import sqlite3
from contextlib import closing

import pytest

from seatrial.checks.causes.conditions import Value, holds
from seatrial.sql.tokens import code

ROW = {
    "id": ("integer", 7),
    "v": ("text", "Apple"),
    "w": ("varchar(9)", "b c"),
    "e": ("text", None),
    "n": ("int", None),
}

DECIDED = [
    "id = 7", "id <> 7", "7 = id", "id IN (1, 7)", "id NOT IN (1, 2)", "id BETWEEN 1 AND 9 OR id = 20", "id % 2 = 1",
    "id NOT BETWEEN 1 AND 9", "v = 'Apple'", "v = 'pear'", "t.v LIKE 'App%'", "v LIKE '_pple'", "v LIKE 'pear%'",
    "v NOT LIKE 'App%'", "lower(v) = 'apple'", "upper(v) = 'APPLE' AND length(v) = 5", "coalesce(e, 'x') = 'x'",
    "coalesce(n, 3) > 2", "e IS NULL", "e IS NOT NULL OR id > 6", "e = 'x'", "NOT (e = 'x')", "NOT e = 'x' OR id = 7",
    "(id = 1 OR v = 'Apple') AND (w = 'b c' OR e = 'x')", "NOT (id = 1 OR v = 'pear')", "n NOT IN (1)",
    "id = 1 AND (e = 'x' OR id = 7)", "trim(w) = 'b c'", "id NOT IN (7, NULL)", "id IN (1, NULL)", "NOT id = 7",
    "mod(id, 4) = 3", "id % 4 % id = 3",
]  # fmt: skip
UNKNOWN = [
    "v GLOB 'A*'", "v LIKE 'apple' ESCAPE '!'", "EXISTS (SELECT 1)", "CASE WHEN id = 7 THEN 1 END = 1", "random() > 0",
    "v < 'b'", "id + 1 = 8", "x = 1", "rowid = 1", "v = lower(x)", "v", "coalesce(id, 0) + coalesce(n, 1) = 7",
    "id IN (7, 2) || v IN ('a', 'b')", "id IN (7, 2) && v IN ('a', 'b')", "id = 1 AND id = 7 XOR id IN (7)",
    "id = id IN (3, 4)", "lower(v) || upper(v) = 'apple'", "id IN (7, 2) = (v IN ('a', 'b'))",
]  # fmt: skip


def lookup(name):
    found = ROW.get(name)
    return Value(None if found[1] is None else str(found[1]), found[0]) if found else None


def decided(where, dialect):
    return holds(code(where, dialect), lookup, dialect)


@pytest.fixture(scope="module")
def table():
    with closing(sqlite3.connect(":memory:")) as link:
        link.execute(f"CREATE TABLE t ({', '.join(f'{c} {k}' for c, (k, _) in ROW.items())})")
        link.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?)", [v for _, v in ROW.values()])
        yield link


@pytest.mark.parametrize("where", DECIDED)
def test_what_is_decided_is_what_the_engine_decides(table, where):
    (truth,) = table.execute(f"SELECT coalesce(({where}), 0) FROM t").fetchone()
    assert decided(where, "sqlite") is bool(truth)


@pytest.mark.parametrize("where", UNKNOWN)
def test_the_rest_is_not_known(where):
    assert decided(where, "sqlite") is None


PAIRS = list(itertools.permutations(["id = 7", "e = 'x'", "v GLOB 'A*'", "id = 1"], 2))


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_what_is_not_known_decides_nothing_that_the_rest_does_not(one, other):
    """Kleene's logic: an unknown part is neither, until the other part decides alone."""
    known = {"id = 7": True, "e = 'x'": False, "id = 1": False, "v GLOB 'A*'": None}
    both, either = {known[one], known[other]}, decided(f"{one} OR {other}", "sqlite")
    assert decided(f"{one} AND {other}", "sqlite") is (False if False in both else None if None in both else True)
    assert either is (True if True in both else None if None in both else False)


def test_engines_differ_about_case():
    found = {d: decided("v LIKE 'APP%'", d) for d in ("sqlite", "postgresql", "mysql", "mariadb")}
    assert found == {"sqlite": True, "postgresql": False, "mysql": None, "mariadb": None}
    assert decided("v ILIKE 'APP%'", "postgresql") is True
    assert [decided("v = 'APPLE'", d) for d in ("sqlite", "postgresql", "mysql")] == [None] * 3
