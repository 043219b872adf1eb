"""Rows of two moments compared, alike on every engine; on MySQL and MariaDB both by files and by rows that are kept."""

from __future__ import annotations

from typing import Any

import pytest
from engine_fixture import MYSQLS, Engine
from mysql_fixtures import copying, ran
from server_fixtures import differences

from seatrial.model import ChangedRow, TablePair, TableRef

KEPT = ("file", "hashed")
WAYS = [("sqlite", ""), ("postgresql", ""), *((engine, way) for engine in MYSQLS for way in KEPT)]
T = TableRef("", "t")


def each(*, but: str = "") -> pytest.MarkDecorator:
    ways = [way for way in WAYS if way[0] != but]
    return pytest.mark.parametrize(
        ("engine", "kept"), ways, indirect=["engine"], ids=["-".join(w).strip("-") for w in ways]
    )


@pytest.fixture
def database(engine: Engine, kept: str) -> Any:
    made = engine.create()
    if kept:
        copying(made, kept)
    return made


@each()
def test_a_missing_column_is_lost_where_it_held_a_value(database):
    ran(database, "create table t (id int primary key, v int, w int); insert into t values (1,5,1),(2,null,1),(3,6,1)")
    before = database.take("A")
    ran(database, "alter table t drop column v; update t set w = 9 where id = 3")
    diff = differences(database, before, database.take("B", since=before))["t"]
    assert diff.missing_columns == ("v",)
    found = {g.columns: [(r.key, r.old[0], r.new[0]) for r in g.rows] for g in diff.changed}
    assert found == {("v",): [(("1",), "5", None)], ("v", "w"): [(("3",), "6", None)]}


@each()
def test_a_column_dropped_and_added_again_is_compared_by_name(database):
    ran(database, "create table t (id int primary key, v int, w int); insert into t values (1,5,1),(2,6,1)")
    before = database.take("A")
    ran(database, "alter table t drop column v; alter table t add column v int; update t set v = 5 where id = 1")
    diff = differences(database, before, database.take("B", since=before))["t"]
    assert [(g.columns, g.rows) for g in diff.changed] == [(("v",), (ChangedRow(key=("2",), old=("6",), new=(None,)),))]


@each()
def test_tables_and_columns_follow_renames(database):
    ran(database, "create table t (id int primary key, v int); insert into t values (1, 1), (2, 2)")
    before = database.take("A")
    ran(database, "alter table t rename to u; alter table u rename column v to w; alter table u rename column id to no")
    pair = TablePair(old=T, new=TableRef("", "u"), columns=(("id", "no"), ("v", "w")), key=("id",))
    renamed = database.take("B", since=before)
    assert database.diff(before, renamed, [pair]) == ()
    ran(database, "update u set w = 7 where no = 2")
    (found,) = database.diff(before, database.take("C", since=renamed), [pair])
    assert (found.table, found.new_table, found.changed[0].columns) == (T, TableRef("", "u"), ("v",))
    assert found.changed[0].rows == (ChangedRow(key=("2",), old=("2",), new=("7",)),)


@each()
def test_columns_renamed_in_a_circle(database):
    ran(database, "create table t (id int primary key, a int, b int); insert into t values (1, 10, 20)")
    before = database.take("A")
    circle = (("a", "x"), ("b", "a"), ("x", "b"))
    ran(database, ";".join(f"alter table t rename column {old} to {new}" for old, new in circle))
    (group,) = differences(database, before, database.take("B", since=before))["t"].changed
    assert (group.columns, group.rows[0].old, group.rows[0].new) == (("a", "b"), ("10", "20"), ("20", "10"))


@each()
def test_counts_are_exact_and_examples_come_in_key_order(database):
    database.limit = 3
    rows = ", ".join(f"({n}, 0)" for n in range(1, 51))
    ran(database, f"create table t (id int primary key, v int); insert into t values {rows}")
    ran(database, "create table u (v int); insert into u select id from t")
    before = database.take("A")
    ran(database, "delete from t where id > 30; update t set v = 1 where id > 10; delete from u")
    ran(database, "insert into t values " + ", ".join(f"({n}, 0)" for n in range(101, 126)))
    found = differences(database, before, database.take("B", since=before))
    t, u = found["t"], found["u"]
    assert (t.lost_count, t.added_count, t.changed_count, u.lost_count) == (20, 25, 20, 50)
    assert [r.key for r in t.lost] == [("31",), ("32",), ("33",)]
    assert [r.key for r in t.changed[0].rows] == [("11",), ("12",), ("13",)]
    assert [r.key for r in t.added] == [("101",), ("102",), ("103",)]
    assert len(u.lost) == 3


@each()
def test_composite_keys_are_compared_whole(database):
    ran(database, "create table t (a int, b varchar(9), v int, primary key (b, a))")
    ran(database, "insert into t values (1,'x',1),(1,'y',2),(2,'x',3)")
    before = database.take("A")
    assert before.tables[0].key == ("b", "a")
    ran(database, "update t set v = 0 where a = 1 and b = 'y'; delete from t where a = 2 and b = 'x'")
    diff = differences(database, before, database.take("B", since=before))["t"]
    assert (diff.changed[0].rows[0].key, diff.lost[0].key) == (("y", "1"), ("x", "2"))


@each(but="sqlite")  # where 1 and '1' are two keys
def test_a_key_of_another_type_still_finds_its_rows(engine, database):
    ran(database, "create table t (id int primary key, v int); insert into t values (1, 1), (2, 2)")
    before = database.take("A")
    text = "alter id type varchar(20)" if engine.name == "postgresql" else "modify id varchar(20)"
    ran(database, f"alter table t {text}; update t set v = 0 where id = '2'")
    diff = differences(database, before, database.take("B", since=before))["t"]
    assert [(g.columns, [r.key for r in g.rows]) for g in diff.changed] == [(("v",), [("2",)])]
    assert (diff.lost_count, diff.added_count) == (0, 0)


@each()
def test_rows_without_a_key_are_counted(database):
    ran(database, "create table t (a int, b varchar(9)); insert into t values (1,'x'),(1,'x'),(null,null),(2,'y')")
    before = database.take("A")
    ran(
        database,
        "delete from t where a = 1; insert into t values (1,'x'),(null,null); update t set b = 'z' where a = 2",
    )
    diff = differences(database, before, database.take("B", since=before))["t"]
    assert diff.key == ()
    assert sorted(map(str, (r.values for r in diff.lost))) == ["('1', 'x')", "('2', 'y')"]
    assert sorted(map(str, (r.values for r in diff.added))) == ["('2', 'z')", "(None, None)"]


@each()
def test_swapped_values_change_the_checksum(database):
    swap = "update t set v = case id when 1 then '{}' else '{}' end"
    ran(database, "create table t (id int primary key, v varchar(9)); insert into t values (1,'a'),(2,'b')")
    sums = [database.take("A").table(T).checksum]
    for number, (one, other) in enumerate(("ba", "ab")):
        ran(database, swap.format(one, other))
        sums.append(database.take(f"B{number}").table(T).checksum)
    assert sums[0] == sums[2] != sums[1]


@each()
def test_a_table_that_went(database):
    ran(database, "create table t (id int primary key); insert into t values (1),(2)")
    before = database.take("A")
    ran(database, "drop table t")
    diff = differences(database, before, database.take("B", since=before))["t"]
    assert (diff.new_table, diff.lost_count, [r.key for r in diff.lost]) == (None, 2, [("1",), ("2",)])
