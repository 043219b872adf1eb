"""What saves time changes nothing: with a shortcut and without it, a run writes the same trace."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_engine_sqlite_support import run
from trial_fixtures import project

from seatrial import app, config
from seatrial.codec import encode_trace
from seatrial.engines import _sqlite_look
from seatrial.engines.sqlite import SqliteDatabase
from seatrial.model import ObjectKey, Schema, TableRef
from seatrial.reporters import changes, render
from seatrial.seeds import shape
from seatrial.trial.later import Later

ORDERS = "CREATE TABLE orders (id INTEGER PRIMARY KEY, person_id INTEGER REFERENCES people (id), total NUMERIC);"
HISTORY = [
    ("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL);", "DROP TABLE people;"),
    (ORDERS, "DROP TABLE orders;"),
    ("ALTER TABLE people ADD COLUMN note TEXT;", "ALTER TABLE people DROP COLUMN note;"),
    ("UPDATE people SET note = 'old' WHERE id > 2;", "UPDATE people SET note = NULL WHERE id = 3;"),
    ("CREATE TABLE tags (id INTEGER PRIMARY KEY, order_id INTEGER, label TEXT UNIQUE);", "DROP TABLE tags;"),
    ("DELETE FROM orders WHERE id = 2;", "SELECT 1;"),
]


def told(folder) -> tuple[str, str]:
    """The trace of a run of HISTORY and its report, without what the clock says."""
    report = app.run(config.load(project(folder, HISTORY, settings='[server]\nengine = "sqlite"\n')))
    both = encode_trace(report.trace).decode(), render(report, "json")
    trace, report_json = (re.sub(r'("\w+_ms":|"generated":)[^,}]+', r"\1 0", text) for text in both)
    return trace, report_json


def at_once(patch) -> None:
    """Every look is made as soon as it can be, and nothing is put off."""
    add = Later.add

    def done(self, work):
        look = add(self, work)
        self.do()
        return look

    patch.setattr(Later, "add", done)


def without_what_equal_sums_say(patch) -> None:
    patch.setattr(_sqlite_look.Base, "holds", lambda self, table, total: False)


def without_listening(patch) -> None:
    """Each trial is judged at the end."""
    patch.setattr(app, "_listener", lambda config, heard: lambda trial: None)


def without_blocks(patch) -> None:
    patch.setattr(_sqlite_look, "MOST_BLOCKS", -1)


def without_shapes(patch) -> None:
    patch.setattr(shape, "MOST_SHAPES", -1)


def without_one_session(patch) -> None:
    patch.setattr(SqliteDatabase, "one_session", lambda self: pytest.MonkeyPatch.context())
    session = SqliteDatabase._session

    def each(self):
        self._open = self._filling
        return session(self)

    patch.setattr(SqliteDatabase, "_session", each)


SHORTCUTS = [
    at_once,
    without_blocks,
    without_listening,
    without_one_session,
    without_shapes,
    without_what_equal_sums_say,
]


@pytest.mark.parametrize("without", SHORTCUTS)
def test_a_run_is_the_same_without(without, tmp_path, monkeypatch):
    expected = told(tmp_path / "project")
    assert len(json.loads(expected[0])["trace"]["chain"]) == len(HISTORY)
    assert any(m["findings"] for m in json.loads(expected[1])["migrations"])
    without(monkeypatch)
    assert told(tmp_path / "other" / "project") == expected


WRITES = st.lists(
    st.sampled_from(
        (
            "INSERT INTO t VALUES ({n}, {n})",
            "DELETE FROM t WHERE id > {n}",
            "UPDATE t SET v = v + 1 WHERE id = {n}",
            "UPDATE t SET id = id + 600 WHERE id = {n}",
        )
    ).flatmap(lambda sql: st.integers(-700, 1800).map(lambda n: sql.format(n=n))),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(WRITES, min_size=1, max_size=4))
def test_sums_kept_block_by_block_are_those_of_the_rows(steps, tmp_path_factory, monkeypatch):
    """And so is the sum of a table that has more blocks than are kept."""
    database = SqliteDatabase(tmp_path_factory.mktemp("blocks") / "t.sqlite3")
    series = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)"
    run(database, f"CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t {series} SELECT i, i FROM n;")
    for most in (64, 3):
        with monkeypatch.context() as patch:
            patch.setattr(_sqlite_look, "MOST_BLOCKS", most)
            known = database.take(f"first {most}")
            for number, writes in enumerate(steps):
                run(
                    database,
                    ";".join(writes).replace("INSERT", "INSERT OR IGNORE").replace("UPDATE", "UPDATE OR IGNORE"),
                )
                known = database.take(f"{most}:{number}", since=known)
                afresh = database.take(f"{most}:{number} afresh")
                assert known.tables == afresh.tables
    database.close()


def schema(**columns: str) -> Schema:
    made = {ObjectKey("table", "", "", "t"): {}}
    for place, (name, type_) in enumerate(columns.items(), 1):
        made[ObjectKey("column", "", "t", name)] = {"type": type_, "position": place}
    return Schema(made)


def test_the_shape_of_a_table_that_changed_is_made_anew():
    table = TableRef("", "t")
    assert list(shape.shapes(schema(a="INTEGER"), "sqlite")[table].columns) == ["a"]
    assert list(shape.shapes(schema(a="INTEGER", b="TEXT"), "sqlite")[table].columns) == ["a", "b"]
    assert shape.shapes(schema(a="TEXT"), "sqlite")[table].columns["a"].type == "TEXT"
    assert shape.shapes(schema(a="INTEGER"), "sqlite")[table].columns["a"].type == "INTEGER"


def test_in_one_session_a_query_sees_what_was_filled(tmp_path):
    database = SqliteDatabase(tmp_path / "t.sqlite3")
    run(database, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
    with database.one_session():
        with database.filling():
            database.fill(TableRef("", "t"), ["id"], [(1,), (2,)])
        assert database.query("SELECT count(*) FROM t") == [("2",)]
        with pytest.raises(ZeroDivisionError), database.filling():
            database.fill(TableRef("", "t"), ["id"], [(3,)])
            raise ZeroDivisionError
        assert database.query("SELECT count(*) FROM t") == [("2",)]
    run(database, "DROP TABLE t")
    assert database.query("SELECT count(*) FROM sqlite_schema") == [("0",)]
    database.close()


def test_views_of_trials_that_are_remembered_are_each_trials_own(monkeypatch, tmp_path):
    """Also where the place in memory of one that is gone is taken by the next."""
    monkeypatch.setattr(changes, "MOST_VIEWS", 2)
    report = app.run(config.load(project(tmp_path / "project", HISTORY, settings='[server]\nengine = "sqlite"\n')))
    for judged in report.migrations:
        remembered = changes.up_view(judged.trial), changes.down_view(judged.trial)
        assert remembered == (changes.up_view.__wrapped__(judged.trial), changes.down_view.__wrapped__(judged.trial))
        assert changes.up_view(judged.trial) is remembered[0]
