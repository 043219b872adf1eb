"""What a migration's own statements take a column's values for, and made-up rows that fit it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trial_fixtures as trials

from seatrial.engines.sqlite import SqliteDatabase
from seatrial.model import Report, TableRef
from seatrial.seeds.hints import hints
from seatrial.seeds.shape import shapes
from seatrial.sql.lacking import what_lacks

LOG = TableRef("", "log")


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    database = SqliteDatabase(tmp_path_factory.mktemp("hints") / "a.sqlite3")
    assert database.load("CREATE TABLE log (id INT PRIMARY KEY, data TEXT, kind TEXT, size INT)") is None
    yield database.inspect()
    database.close()


@pytest.mark.parametrize(
    ("statement", "dialect", "expected"),
    [
        ("CREATE INDEX i ON log ((json_extract(data, '$.name')))", "sqlite", "json ('name',)"),
        ("UPDATE log SET kind = l.data ->> 'name' FROM log l", "sqlite", "json ('name',)"),
        ("SELECT * FROM log, json_each(log.data)", "sqlite", "json of text"),
        ("UPDATE log SET id = replace(data, 'no', '')::int", "postgresql", "integer ()"),
        ("UPDATE log SET id = (nullif(log.data, ''))::int", "postgresql", "integer ()"),
        ("UPDATE log SET id = length(data, 'x')::int", "postgresql", None),
        ("UPDATE log SET kind = json_build_object('a', data::json)", "postgresql", "json ()"),
        ("SELECT jsonb_array_elements(data) FROM log", "postgresql", "json of text"),
        ("SELECT CAST(data AS uuid) FROM log", "postgresql", "uuid ()"),
        ("SELECT data::timestamp with time zone FROM log", "postgresql", "timestamptz ()"),
        ("SELECT uuid_to_bin(data) FROM log", "mysql", "uuid ()"),
        ("SELECT json_object('a', data), json_build_array(data) FROM log", "postgresql", None),
        ("SELECT json_extract(data, '$.name') FROM other", "sqlite", None),
    ],
)
def test_what_a_text_stands_for(schema, statement, dialect, expected):
    found = hints([statement], schema, shapes(schema, "sqlite"), dialect).families.get((LOG, "data"))
    shown = None if found is None else f"{found.name} of text" if found.element else f"{found.name} {found.labels}"
    assert shown == expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM log WHERE kind <> 'open' OR 'shut' = kind", {"kind": ("open", "shut")}),
        ("UPDATE log SET size = CASE kind WHEN 'a' THEN 1 WHEN 'b' THEN 2 END", {"kind": ("a", "b"), "size": ()}),
        ("SELECT * FROM log l WHERE l.kind NOT IN ('a', 'b') AND lower(kind) = 'c'", {"kind": ("a", "b", "c")}),
        ("SELECT * FROM log WHERE size IN (1, 2)", {"size": ("1", "2")}),
        ("SELECT kind FROM other WHERE kind = 'a'", {}),
    ],
)
def test_words_that_a_column_is_compared_with(schema, statement, expected):
    found = hints([statement], schema, shapes(schema, "sqlite"), "sqlite").words
    assert {column: words for (_, column), words in found.items()} == {c: w for c, w in expected.items() if w}


KEYS = '[source]\nsession = ["PRAGMA foreign_keys = ON"]\n'


def generated(folder: Path, *ups: str) -> Report:
    return trials.tested(
        trials.project(folder, [(up, "SELECT 1;" if n else None) for n, up in enumerate(ups)], settings=KEYS),
        only=("0002",),
    )


def rules(report: Report) -> list[str]:
    return sorted({f.rule for f in report.migrations[-1].findings} - {"down-does-nothing", "schema-not-restored"})


BASE = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE log (id INTEGER PRIMARY KEY, data BLOB NOT NULL, kind TEXT NOT NULL, created_by INTEGER);
CREATE TABLE keyed (id TEXT PRIMARY KEY, name TEXT);
CREATE TABLE held (id INTEGER PRIMARY KEY, log_id INTEGER NOT NULL REFERENCES log (id));
"""
ISSUED = """
CREATE TABLE subjects (id INTEGER PRIMARY KEY, service VARCHAR(20) NOT NULL, sector TEXT NOT NULL, name TEXT NOT NULL,
    code CHAR(36) NOT NULL UNIQUE, UNIQUE (service, sector, name));
CREATE TABLE consents (id INTEGER PRIMARY KEY, subject CHAR(36) NOT NULL REFERENCES subjects (code) ON DELETE RESTRICT);
"""


@pytest.mark.parametrize(
    "up",
    [
        "CREATE INDEX named ON log ((json_extract(data, '$.name')));",
        "CREATE INDEX named ON keyed ((json_extract(id, '$.name')));",
        "CREATE TABLE made (n INTEGER REFERENCES people (id)); INSERT INTO made SELECT created_by FROM log;",
        "CREATE TABLE kinds (k TEXT CHECK (k IN ('1', '2')));"
        " INSERT INTO kinds SELECT CASE kind WHEN 'a' THEN '1' WHEN 'b' THEN '2' ELSE '3' END FROM log;",
    ],
)
def test_an_up_is_tried_on_rows_that_fit_what_it_says(tmp_path, up):
    report = generated(tmp_path, BASE, up)
    assert "up-failed" not in rules(report)
    before = report.migrations[-1].trial.before
    assert {t.table.name: t.rows for t in before.tables}["log"] == 12


def test_few_words_in_a_key_of_several_columns_leave_rows_to_try_on(tmp_path):
    up = "DELETE FROM consents WHERE subject IN (SELECT code FROM subjects WHERE name = '' AND service IN ('a', 'b'));"
    report = generated(tmp_path, ISSUED, f"{up} DELETE FROM subjects WHERE service <> 'b' OR name = '';")
    assert "up-failed" not in rules(report)
    before = report.migrations[-1].trial.before
    assert all(t.rows >= 2 for t in before.tables if t.compared)


@pytest.mark.parametrize(
    ("up", "expected"),
    [
        ("ALTER TABLE log ADD COLUMN must TEXT NOT NULL;", "up-failed"),
        ("CREATE TABLE held2 (x CHECK (x > id), id INT); INSERT INTO held2 SELECT 0, 1 FROM log;", "up-failed"),
        ("CREATE INDEX named ON log ((json_extract(data, '$.name'))); UPDATE log SET kind = 'z';", "values-lost"),
    ],
)
def test_what_is_wrong_on_any_rows_is_still_found(tmp_path, up, expected):
    assert expected in rules(generated(tmp_path, BASE, up))


@pytest.mark.parametrize(
    ("engine", "message", "said"),
    [
        ("sqlite", "no such function: BIN2B64", "the application registers it"),
        ("sqlite", "no such function: UNHEX", "since 3.41"),
        ("sqlite", "no such function: jsonb_group_array", "since 3.45"),
        ("sqlite", "no such function: json_error_position", "since 3.42"),
        ("sqlite", "no such table: a", ""),
        ("postgresql", "function uuid_generate_v4() does not exist", 'EXISTS "uuid-ossp"'),
        ("postgresql", "function public.gen_random_bytes(integer) does not exist", 'EXISTS "pgcrypto"'),
        ("postgresql", 'type "vector(3)" does not exist', 'EXISTS "vector"'),
        ("postgresql", 'operator class "gin_trgm_ops" does not exist for access method "gin"', 'EXISTS "pg_trgm"'),
        ("postgresql", "function add_tax(integer) does not exist", ""),
        ("mysql", "FUNCTION shop.add_tax does not exist", ""),
    ],
)
def test_what_somebody_else_gives_a_database(engine, message, said):
    found = what_lacks(message, engine)
    assert said in found and bool(found) == bool(said)


def test_a_function_of_the_application_is_no_verdict(tmp_path):
    report = trials.tested(
        trials.project(tmp_path, [(BASE, None), ("UPDATE log SET kind = Titled(kind);", "SELECT 1;")])
    )
    assert report.migrations[-1].status == "error" and "registers it" in report.migrations[-1].trial.error


def test_made_up_rows_do_not_stop_a_migration_that_nobody_asks_about(tmp_path):
    steps = [(BASE, None), ("CREATE TABLE a (x INT);", "DROP TABLE a;")]
    steps += [("ALTER TABLE log ADD COLUMN must TEXT NOT NULL;", None), ("CREATE TABLE b (x INT);", "DROP TABLE b;")]
    report = trials.tested(trials.project(tmp_path, steps), only=("0002", "0004"))
    assert [m.status for m in report.migrations] == ["skipped", "passed", "skipped", "passed"]
