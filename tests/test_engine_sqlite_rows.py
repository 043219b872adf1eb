"""Rows of SQLite: exact comparison, checksums, casts back, constraints asked over the stored rows."""
# ruff: noqa: E501 - statements are easier to read on one line

import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_engine_sqlite_support import changes, checksums, database, run

from seatrial.engines import _sqlite_look
from seatrial.engines.sqlite import SqliteDatabase
from seatrial.model import ChangedRow, Row, TablePair, TableRef
from seatrial.schema import pair_by_name

__all__ = ["database"]

# What SQLite or a careless reader takes for equal, and what is hard to read
AWKWARD = [
    None, 0, 1, -1, 1.0, -0.0, 0.0, 0.1, 0.1 + 0.2, 0.3, 1e300, float("inf"), 2**53, 2**53 + 1, float(2**53), 2**63 - 1,
    -(2**63), float(-(2**63)), "", " ", "a", "A", "a ", "é", "e\u0301", "1", "1.0", "0", "-0.0", "\x00", "a\x00b", "a\x00c",
    "x" * 5000, "x" * 4999 + "y", b"", b"a", b"1", b"\x00", b"\xff", b"x" * 5000,
]  # fmt: skip
VALUES = st.sampled_from(AWKWARD) | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5) | st.binary(max_size=5)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(database, sql, rows):
    with closing(sqlite3.connect(database.path)) as connection:
        connection.executemany(sql, rows)
        connection.commit()


def same(one, other):
    return type(one) is type(other) and repr(one) == repr(other)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    made = SqliteDatabase(tmp_path_factory.mktemp("db") / "test.sqlite3")
    yield made
    made.close()


TABLES = {
    "rowid": "create table t (k integer primary key, v)",
    "text key": "create table t (k text primary key collate nocase, v)",
    "without rowid": "create table t (k text primary key, v) without rowid",
}


@pytest.mark.parametrize("table", TABLES, ids=str)
@QUICK
@example(rows=[None, -0.0], place=1, value=0.0)
@given(rows=st.lists(VALUES, min_size=1, max_size=6), place=st.integers(0, 5), value=VALUES)
def test_any_change_of_one_value_is_seen(shared, table, rows, place, value):
    """With and without what pages tell, and nothing else is."""
    place %= len(rows)
    run(shared, f"drop table if exists t; {TABLES[table]}")
    write(shared, "insert into t values (?, ?)", list(enumerate(rows)))
    old = shared.take("A")
    write(shared, "update t set v = ? where k = ?", [(value, place)])
    new, unaided = shared.take("B", since=old), shared.take("C")
    expected = 0 if same(rows[place], value) else 1
    assert new.tables == unaided.tables
    assert (checksums(old) != checksums(new)) == bool(expected)
    found = changes(shared, old, new)
    assert sum(d.changed_count for d in found) == expected
    if expected:
        (row,) = found[0].changed[0].rows
        assert (found[0].lost_count, found[0].added_count, row.key) == (0, 0, (str(place),))
        assert row.old != row.new


@QUICK
@given(rows=st.lists(st.tuples(VALUES, VALUES), max_size=8), other=st.lists(st.tuples(VALUES, VALUES), max_size=8))
def test_rows_without_a_key_are_a_multiset(shared, rows, other):
    run(shared, "drop table if exists t; create table t (a, b)")
    write(shared, "insert into t values (?, ?)", rows)
    old = shared.take("A")
    run(shared, "drop table t; create table t (b, a)")
    write(shared, "insert into t (a, b) values (?, ?)", other)
    new = shared.take("B", since=old)
    left, lost = [repr(r) for r in other], 0
    for row in rows:
        if repr(row) in left:
            left.remove(repr(row))
        else:
            lost += 1
    found = changes(shared, old, new)
    assert [(d.lost_count, d.added_count) for d in found] == ([(lost, len(left))] if lost or left else [])
    assert (checksums(old) == checksums(new)) == (not found)


@QUICK
@given(rows=st.lists(st.tuples(VALUES, VALUES), max_size=8), order=st.randoms(use_true_random=False))
@pytest.mark.parametrize(
    "table", ["(k integer primary key, a, b)", "(k, a, b)", "(k int primary key, a, b) without rowid"]
)
def test_a_rebuild_with_the_same_rows_has_the_same_checksum(shared, table, rows, order):
    run(shared, f"drop table if exists t; create table t {table}")
    numbered = [(i * 700, *row) for i, row in enumerate(rows)]
    write(shared, "insert into t values (?, ?, ?)", numbered)
    old = shared.take("A")
    order.shuffle(numbered)
    run(shared, f"drop table t; create table filler (x); insert into filler values (1); create table t {table}")
    write(shared, "insert into t values (?, ?, ?)", numbered)
    run(shared, "drop table filler; vacuum")
    new = shared.take("B", since=old)
    assert (checksums(new), changes(shared, old, new)) == (checksums(old), ())


def test_text_that_is_no_utf8(database):
    run(database, "create table t (id integer primary key, a); create table u (a)")
    write(database, "insert into t values (?, cast(? as text))", [(1, b"\xff"), (2, b"ok"), (3, b"\xed\xa0\x80")])
    write(database, "insert into u values (cast(? as text))", [(b"\xff",)])
    old = database.take("A")
    write(database, "update t set a = cast(? as text) where id = ?", [(b"\xfe", 1)])
    write(database, "update t set a = cast(a as blob) where id = ?", [(3,)])
    write(database, "update u set a = cast(? as text)", [(b"\xfe",)])
    new = database.take("B", since=old)
    assert new.tables == database.take("C").tables
    t, u = changes(database, old, new)
    assert t.changed[0].rows == (
        ChangedRow(key=("1",), old=("\\xff",), new=("\\xfe",)),
        ChangedRow(key=("3",), old=("'\\xeda080'",), new=("\\xeda080",)),
    )
    assert (u.lost, u.added) == ((Row(key=("\\xff",), values=("\\xff",)),), (Row(key=("\\xfe",), values=("\\xfe",)),))
    assert database.query("select a from u") == [("\\xfe",)]


def test_values_as_text(database):
    rows = database.query("select 1, 1.0, 0.1 + 0.2, 1e300 * 1e10, x'00ff', '', null, 9223372036854775807, -0.0")
    assert rows == [("1", "1.0", "0.30000000000000004", "Inf", "\\x00ff", "", None, "9223372036854775807", "-0.0")]


def test_text_and_number_of_the_same_digits_look_different(database):
    run(database, "create table t (id integer primary key, a); insert into t values (1, '501'), (2, x'61')")
    old = database.take("A")
    run(database, "update t set a = 501 where id = 1; update t set a = '\\x61' where id = 2")
    (found,) = changes(database, old, database.take("B"))
    assert [(r.old, r.new) for r in found.changed[0].rows] == [(("'501'",), ("501",)), (("\\x61",), ("'\\x61'",))]


def test_rows_and_groups_of_changed_columns(database):
    run(
        database,
        "create table t (id integer primary key, a, b); insert into t values (1,1,1), (2,2,2), (3,3,3), (10,0,0), (9,0,0)",
    )
    old = database.take("A")
    run(
        database,
        "update t set a = 9 where id in (9, 10); update t set a = 8, b = 8 where id = 3; delete from t where id = 1; "
        "insert into t values (100, 1, 1)",
    )
    new = database.take("B", since=old)
    (found,) = changes(database, old, new)
    assert (found.lost, found.added) == (
        (Row(key=("1",), values=("1", "1", "1")),),
        (Row(key=("100",), values=("100", "1", "1")),),
    )
    assert [(g.columns, g.count, [r.key for r in g.rows]) for g in found.changed] == [
        (("a", "b"), 1, [("3",)]),
        (("a",), 2, [("9",), ("10",)]),
    ]


def test_missing_tables_and_columns(database):
    run(
        database,
        "create table t (id integer primary key, a, b); insert into t values (1, 1, 2), (2, null, 2), (3, 3, 3);"
        "create table u (a, b); insert into u values (1, 1), (1, 1), (1, null); create table w (a); insert into w values (1)",
    )
    old = database.take("A")
    run(database, "alter table t drop column a; alter table u drop column b; drop table w; create table z (a)")
    run(database, "insert into z values (7)")
    new = database.take("B", since=old)
    t, u, w = changes(database, old, new)
    assert (t.missing_columns, t.lost_count, t.added_count) == (("a",), 0, 0)
    assert [(g.columns, [(r.key, r.old, r.new) for r in g.rows]) for g in t.changed] == [
        (("a",), [(("1",), ("1",), (None,)), (("3",), ("3",), (None,))])
    ]
    assert [(g.columns, g.count) for g in u.changed] == [(("b",), 2)]
    assert (w.lost_count, w.new_table) == (1, None)
    pair = TablePair(old=TableRef("", "z"), new=TableRef("", "z"), columns=(("a", "a"),))
    (z,) = database.diff(old, new, [pair])
    assert (z.added_count, z.added) == (1, (Row(key=("7",), values=("7",)),))


def test_a_key_that_is_none_any_more_is_no_key(database):
    """Rows of an old key can be there twice when the new table does not declare it, or the key holds NULL."""
    run(database, "create table t (k text primary key, a); insert into t values ('a', 1), (null, 2), (null, 3)")
    old = database.take("A")
    run(database, "create table n (k text, a); insert into n select * from t; insert into n values ('a', 1)")
    run(database, "update n set a = 4 where a = 3; drop table t; alter table n rename to t")
    (found,) = changes(database, old, database.take("B"))
    assert (found.lost, found.added_count) == ((Row(key=(None,), values=(None, "3")),), 2)


def test_keys_follow_no_collation_and_no_affinity(database):
    run(database, "create table t (k text collate nocase primary key, a); insert into t values ('a', 1), ('7', 2)")
    old = database.take("A")
    run(database, "create table n (k primary key, a); insert into n values ('A', 1), (7, 2)")
    run(database, "drop table t; alter table n rename to t")
    (found,) = changes(database, old, database.take("B"))
    assert ([r.key for r in found.lost], [r.key for r in found.added]) == ([("7",), ("a",)], [("7",), ("A",)])


def test_more_columns_than_a_function_takes_arguments(database):
    columns = ", ".join(f"c{i}" for i in range(300))
    run(database, f"create table t (id integer primary key, {columns}); insert into t (id, c299) values (1, 1), (2, 2)")
    old = database.take("A")
    run(database, "update t set c299 = 3 where id = 1")
    new = database.take("B", since=old)
    assert checksums(old) != checksums(new)
    assert changes(database, old, new)[0].changed[0].columns == ("c299",)


def test_wide_and_negative_rowids(database):
    run(database, "create table t (id integer primary key, a)")
    write(
        database, "insert into t values (?, ?)", [(i, i) for i in (-(2**63), -513, -1, 0, 511, 512, 2**40, 2**63 - 1)]
    )
    old = database.take("A")
    assert old.tables[0].rows == 8
    write(database, "update t set a = 0.5 where id = ?", [(-(2**63),), (2**63 - 1,)])
    new = database.take("B", since=old)
    assert new.tables == database.take("C").tables
    assert [r.key for r in changes(database, old, new)[0].changed[0].rows] == [
        ("-9223372036854775808",),
        ("9223372036854775807",),
    ]


def test_casts_back(database):
    run(
        database,
        "create table t (id integer primary key, zip varchar(10), n int, r real);"
        "insert into t values (1, '00501', 5, 0.1), (2, '94107', 'abc', 2.0), (3, null, null, null)",
    )
    old = database.take("A")
    run(
        database,
        "create table n (id integer primary key, zip integer, n text, r integer); insert into n select * from t;"
        "update n set r = 0 where id = 1; drop table t; alter table n rename to t",
    )
    new = database.take("B")
    (pair,) = pair_by_name(old, new)
    found = database.cast_backs(old, new, pair, [("zip", "zip"), ("n", "n"), ("r", "r")], ())
    assert [(c.column, c.count, c.rows) for c in found] == [
        ("zip", 1, (ChangedRow(key=("1",), old=("00501",), new=("501",)),)),
        ("r", 1, (ChangedRow(key=("1",), old=("0.1",), new=("0.0",)),)),
    ]


# --- constraints over the stored rows, and counters ---------------------------------------------------------------------


def integrity(snapshot):
    return {(i.rule, i.object): i for i in snapshot.integrity}


def test_orphans(database):
    run(
        database,
        """
        create table p (a text collate nocase, b int, primary key (a, b));
        create table c (id integer primary key, a text, b text, foreign key (a, b) references p);
        create table w (k text primary key, boss text references w) without rowid;
        create table m (x int references nowhere (id));
        insert into p values ('x', 1);
        insert into c values (1, 'X', '1'), (2, 'y', '1'), (3, null, '9'), (4, 'x', '2');
        insert into w values ('a', 'a'), ('b', 'z'), ('c', null);
        insert into m values (1), (null), (2);
        """,
    )
    taken = database.take("A")
    found = {i.object: (i.count, i.keys) for i in taken.integrity if i.rule == "orphaned-rows"}
    assert found == {
        "foreign key c(a, b)": (2, (("2",), ("4",))),
        "foreign key w(boss)": (1, (("b",),)),
        "foreign key m(x)": (2, (("1",), ("2",))),
    }
    for fact in taken.integrity:
        assert tuple(database.query(fact.sql)) == fact.keys


def test_an_integer_child_of_a_text_key(database):
    """The parent key's affinity decides: 1 is looked for as '1', and '01' is another."""
    run(
        database,
        "create table p (k text primary key); create table c (id integer primary key, k int references p);"
        "insert into p values ('1'), ('02'); insert into c values (1, 1), (2, 2)",
    )
    with closing(sqlite3.connect(database.path)) as connection:
        broken = [row[1] for row in connection.execute("pragma foreign_key_check")]
    found = integrity(database.take("A"))["orphaned-rows", "foreign key c(k)"]
    assert [int(k[0]) for k in found.keys] == broken == [2]


def test_checks_nulls_and_duplicates_that_were_not_enforced(database):
    run(database, "create table t (id integer primary key, a int, b text, c text)")
    run(database, "insert into t values (1, -1, 'x', 'q'), (2, null, 'X', 'q'), (3, 5, 'x', null), (4, -2, null, null)")
    run(
        database,
        """
        create table s (id integer primary key, a int not null check (a > 0), b text, c text, unique (c));
        create unique index i on s (lower(b)) where id < 9;
        """,
    )
    wanted = database.inspect()
    run(database, "drop table s; alter table t rename to s")
    found = {k: (i.count, i.keys) for k, i in integrity(database.take("A", also=wanted)).items()}
    assert found == {
        ("check-violated", "check s(a > 0)"): (2, (("1",), ("4",))),
        ("nulls-in-required", "column s.a"): (1, (("2",),)),
        ("duplicate-keys", "index i"): (3, (("1",), ("2",), ("3",))),
        ("duplicate-keys", "unique s(c)"): (2, (("1",), ("2",))),
    }
    assert all(i.declared_before and i.observed for i in database.take("B", also=wanted).integrity)


def test_nulls_that_a_declaration_hides(database):
    """SQLite answers IS NULL from the declaration where a column is NOT NULL; the rows say otherwise."""
    run(database, "create table t (id integer primary key, a int); insert into t values (1, null), (2, 2)")
    run(
        database,
        "pragma writable_schema = on; update sqlite_schema set sql = replace(sql, 'a int', 'a int not null'); "
        "pragma writable_schema = reset",
    )
    assert integrity(database.take("A"))["nulls-in-required", "column t.a"].keys == (("1",),)


def test_what_was_found_is_carried_over_while_nothing_was_touched(database):
    run(
        database,
        "create table p (id integer primary key); create table c (id integer primary key, p int references p);"
        "create table other (a); insert into c values (1, 1)",
    )
    old = database.take("A")
    run(database, "insert into other values (1)")
    quiet = database.take("B", since=old)
    assert integrity(quiet)["orphaned-rows", "foreign key c(p)"] is integrity(old)["orphaned-rows", "foreign key c(p)"]
    run(database, "insert into p values (1)")
    assert integrity(database.take("C", since=quiet))["orphaned-rows", "foreign key c(p)"].count == 0


def test_an_index_that_does_not_fit_its_rows(database):
    run(database, "create table t (id integer primary key, a text); create index i on t (a); create index j on t (id)")
    run(database, "insert into t values (1, 'a'), (2, 'B'), (3, 'c')")
    run(
        database,
        "pragma writable_schema = on; update sqlite_schema set sql = 'create index i on t (a collate nocase)' "
        "where name = 'i'; pragma writable_schema = reset",
    )
    schema = database.take("A").schema
    assert {k.name: a["valid"] for k, a in schema.items() if k.kind == "index"} == {"i": False, "j": True}


def valid(snapshot):
    return {k.name: a["valid"] for k, a in snapshot.schema.items() if k.kind == "index"}


REINDEXED = """pragma writable_schema = on; update sqlite_schema set sql = 'create index i on t (a collate nocase)' where name = 'i';
pragma writable_schema = reset;"""


@pytest.mark.parametrize("few", [20_000, 0])
def test_what_is_known_of_indexes_is_carried_over(database, monkeypatch, few):
    """Also in a table that is too large to be looked at after each change of a row."""
    monkeypatch.setattr(_sqlite_look, "FEW", few)
    run(database, "create table t (id integer primary key, a text); create index i on t (a); create table o (a)")
    run(database, "insert into t values (1, 'a'), (2, 'B'), (3, 'c')")
    first = database.take("A")
    assert valid(first) == {"i": True}
    run(database, REINDEXED)
    broken = database.take("B", since=first)
    assert valid(broken) == {"i": False}
    run(database, "insert into o values (1)")
    later = database.take("C", since=broken)
    assert valid(later) == {"i": False}
    run(database, "insert into t values (4, 'D')")
    assert valid(database.take("D", since=later)) == {"i": False}
    run(database, "drop index i; create index i on t (a collate nocase); create index j on o (a)")
    assert valid(database.take("E", since=database.take("D", since=later))) == {"i": True, "j": True}


def test_an_index_that_hides_while_rows_change(database):
    """Its text is the same again, but it holds no entry for the new row."""
    run(
        database,
        "create table t (id integer primary key, a text); create index i on t (a); insert into t values (1, 'a')",
    )
    first = database.take("A")
    run(database, "create table kept as select * from sqlite_schema where name = 'i'")
    run(
        database,
        "pragma writable_schema = on; delete from sqlite_schema where name = 'i'; pragma writable_schema = reset",
    )
    run(database, "insert into t values (2, 'b')")
    run(
        database,
        "pragma writable_schema = on; insert into sqlite_schema select * from kept; pragma writable_schema = reset",
    )
    assert valid(database.take("B", since=first)) == {"i": False}


def test_an_index_of_too_many_rows_is_said_to_be_unchecked(database, monkeypatch):
    monkeypatch.setattr(_sqlite_look, "FEW", 0)
    monkeypatch.setattr(_sqlite_look, "MOST", 2)
    run(database, "create table t (id integer primary key, a text); create index i on t (a)")
    run(database, "insert into t values (1, 'a'), (2, 'B'), (3, 'c')")
    first = database.take("A")
    unseen = [i for i in first.integrity if i.rule == "invalid-index"]
    assert [(i.object, i.observed, i.why_not.split(":")[0]) for i in unseen] == [("index i", False, "3 rows")]
    quiet = database.take("B", since=first)
    assert not [i for i in quiet.integrity if i.rule == "invalid-index"]
    run(database, "insert into t values (4, 'D')")
    assert [i.object for i in database.take("C", since=quiet).integrity if i.rule == "invalid-index"] == ["index i"]
    run(database, "delete from t where id > 2")
    fewer = database.take("D", since=quiet)
    assert valid(fewer) == {"i": True}
    assert not [i for i in fewer.integrity if i.rule == "invalid-index"]


def test_counters(database):
    run(
        database,
        "create table t (id integer primary key autoincrement, a); create table r (id integer primary key);"
        "create table e (id integer primary key autoincrement); create table d (id integer primary key desc);"
        "insert into t (a) values (1), (2), (3); delete from t where id > 1; insert into r values (7)",
    )
    found = {c.table.name: (c.column, c.mechanism, c.next_value, c.highest) for c in database.take("A").counters}
    assert found == {
        "t": ("id", "autoincrement", 4, 1),
        "r": ("id", "rowid", None, 7),
        "e": ("id", "autoincrement", 1, None),
    }
