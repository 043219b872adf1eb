"""Moments and differences: whole tables, exact values, named rows, on a real server."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from engine_fixture import without
from pg_fixtures import differences, pair, ran

from seatrial.engines.postgresql import PostgresqlDatabase
from seatrial.errors import DatabaseError
from seatrial.model import ChangedRow, ErrorKind, Script, Snapshot, StepError, TableDiff, TableRef
from seatrial.schema import pair_by_name

# type, two values that some comparison takes for equal (or that differ in the smallest way), and the texts shown
TRAPS = {
    "numeric scale": ("numeric", "1.0", "1.00"),
    "numeric NaN": ("numeric", "'NaN'", "0"),
    "numeric infinity": ("numeric", "'Infinity'", "'-Infinity'"),
    "float -0": ("float8", "'-0'", "0"),
    "float last digit": ("float8", "0.1", "0.1::float8 + 1e-17::float8 * 2"),
    "real -0": ("real", "'-0'", "0"),
    "interval": ("interval", "'24:00'", "'1 day'"),
    "interval months": ("interval", "'30 days'", "'1 mon'"),
    "json text": ("json", "'{\"a\":1}'", "'{\"a\": 1}'"),
    "json key order": ("json", '\'{"a":1,"b":2}\'', '\'{"b":2,"a":1}\''),
    "jsonb scale": ("jsonb", "'1.0'", "'1.00'"),
    "jsonb null": ("jsonb", "'null'", "NULL"),
    "array scale": ("numeric[]", "'{1.0}'", "'{1.00}'"),
    "array bounds": ("int[]", "'[0:1]={1,2}'", "'{1,2}'"),
    "array null": ("int[]", "'{NULL}'", "'{}'"),
    "range scale": ("numrange", "'[1.0,2)'", "'[1.00,2)'"),
    "multirange": ("nummultirange", "'{[1.0,2)}'", "'{[1.00,2)}'"),
    "bit": ("bit varying", "B'1'", "B'10'"),
    "xml": ("xml", "'<a/>'", "'<a></a>'"),
    "point": ("point", "'(0,0)'", "'(-0,0)'"),
    "box": ("box", "'((0,0),(1,1))'", "'((0,0),(1,2))'"),
    "circle same area": ("circle", "'<(0,0),1>'", "'<(5,5),1>'"),
    "money": ("money", "'1.00'", "'1.01'"),
    "tsvector": ("tsvector", "'a:1 b:2'", "'a:1 b:3'"),
    "tsquery": ("tsquery", "'a & b'", "'a | b'"),
    "jsonpath": ("jsonpath", "'$.a'", "'$.b'"),
    "bytea": ("bytea", "'\\x00'", "''"),
    "bigint halves": ("bigint", "0", "4294967297"),
    "float halves": ("float8", "0", "2.1219957915e-314"),
    "time halves": ("time", "'00:00'", "'01:11:34.967297'"),
    "time with zone halves": ("timetz", "'00:00+00'", "'01:11:34.967297+00'"),
    "timestamp halves": ("timestamp", "'2000-01-01'", "'2000-01-01 01:11:34.967297'"),
    "timestamp with zone halves": ("timestamptz", "'2000-01-01+00'", "'2000-01-01 01:11:34.967297+00'"),
    "negative timestamp halves": ("timestamp", "'1999-12-31 23:59:59.999999'", "'2000-01-01 01:11:34.967296'"),
    "aclitem": ("aclitem", "'postgres=r/postgres'", "'postgres=w/postgres'"),
    "aclitem[]": ("aclitem[]", "'{postgres=r/postgres}'", "'{postgres=w/postgres}'"),
    "microsecond": ("timestamptz", "'2024-01-01 00:00:00.000001+00'", "'2024-01-01 00:00:00+00'"),
    "timetz": ("timetz", "'12:00+00'", "'13:00+01'"),
    "time 24:00": ("time", "'24:00'", "'00:00'"),
    "trailing blank": ("text", "'a '", "'a'"),
    "empty and NULL": ("text", "''", "NULL"),
    "unicode form": ("text", "U&'\\00e9'", "U&'e\\0301'"),
    "case under a nondeterministic collation": ("text collate folded", "'Zoe'", "'ZOE'"),
    "user composite": ("pairs", "ROW(1, NULL)::pairs", "ROW(NULL, 1)::pairs"),
    "empty composite": ("pairs", "ROW(NULL, NULL)::pairs", "NULL"),
    "enum": ("mood", "'ok'", "'sad'"),
    "enum array": ("mood[]", "'{ok}'", "'{sad}'"),
    "domain": ("amount", "1.0", "1.00"),
    "inet": ("inet", "'10.0.0.1'", "'10.0.0.1/24'"),
    "macaddr": ("macaddr", "'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'"),
    "name": ("name", "'a'", "'A'"),
    "char": ('"char"', "'a'", "'b'"),
    "uuid": ("uuid", "'00000000-0000-0000-0000-000000000001'", "'00000000-0000-0000-0000-000000000002'"),
    "bigint": ("bigint", "9007199254740993", "9007199254740992"),
    "bool": ("bool", "true", "NULL"),
    "regclass": ("regclass", "'pg_class'", "'pg_type'"),
    "pg_lsn": ("pg_lsn", "'0/1'", "'0/2'"),
    "oidvector": ("oidvector", "'1 2'", "'2 1'"),
}
TYPES = """
create type mood as enum ('ok', 'sad');
create type pairs as (x int, y int);
create domain amount as numeric check (value > 0);
"""
FOLDED = "create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"


@dataclass
class Trapped:
    """What became of every trap's table: at A, untouched, and at B, where one row held the other value."""

    refused: dict[str, StepError | DatabaseError] = field(default_factory=dict)
    at: dict[str, Snapshot] = field(default_factory=dict)
    unchanged: dict[str, TableDiff] = field(default_factory=dict)
    changed: dict[str, TableDiff] = field(default_factory=dict)
    shown: dict[str, tuple[str | None, ...]] = field(default_factory=dict)


def _table(name: str) -> str:
    return f"t{list(TRAPS).index(name)}"


@pytest.fixture(scope="module")
def trapped(pg_shared: PostgresqlDatabase) -> Trapped:
    """Every trap in a table of its own, all looked at once."""
    found = Trapped()
    ran(pg_shared, TYPES)
    for name, (kind, one, _) in TRAPS.items():
        if error := _made(pg_shared, _table(name), kind, one):
            found.refused[name] = error
    stand = {name: trap for name, trap in TRAPS.items() if name not in found.refused}
    a = pg_shared.take("A")
    found.unchanged = differences(pg_shared, a, pg_shared.take("again", since=a))
    ran(
        pg_shared,
        ";".join(f"update {_table(name)} set v = {other} where id = 2" for name, (*_, other) in stand.items()),
    )
    found.at = {"A": a, "B": pg_shared.take("B", since=a)}
    found.changed = differences(pg_shared, a, found.at["B"])
    for name, (kind, *values) in stand.items():
        texts = (f"({value})::{kind.split(' collate')[0]}" for value in values)
        (found.shown[name],) = pg_shared.query(f"select {', '.join(texts)}")
    return found


def _made(database: PostgresqlDatabase, table: str, kind: str, one: str) -> StepError | DatabaseError | None:
    if "folded" in kind:
        try:
            database.execute(FOLDED)
        except DatabaseError as error:
            return error
    text = f"create table {table} (id int primary key, v {kind});"
    return database.run(Script(text=f"{text} insert into {table} values (1, {one}), (2, {one}), (3, NULL)")).error


@pytest.mark.xdist_group("traps of postgresql")  # looked at once, by one worker
@pytest.mark.parametrize("name", TRAPS)
def test_the_smallest_difference_is_seen(trapped: Trapped, name: str) -> None:
    if error := trapped.refused.get(name):
        assert "ICU" in str(error) or error.kind is ErrorKind.ENVIRONMENT, error
        without(f"this PostgreSQL is built without it: {error}")
    table = TableRef("", _table(name))
    assert str(table) not in trapped.unchanged
    before, after = (trapped.at[moment].table(table) for moment in "AB")
    assert before and after and before.checksum != after.checksum
    (group,) = trapped.changed[str(table)].changed
    assert (group.columns, group.count, group.rows[0].key) == (("v",), 1, ("2",))
    one, other = trapped.shown[name]
    assert group.rows == (ChangedRow(key=("2",), old=(one,), new=(other,)),)


@pytest.mark.parametrize("name", ["numeric scale", "json text", "enum", "user composite", "domain", "bytea", "point"])
def test_the_same_without_a_key(pg: PostgresqlDatabase, name: str) -> None:
    kind, one, other = TRAPS[name]
    ran(pg, TYPES + f"create table t (v {kind}); insert into t values ({one}), ({one}), ({one}), (NULL)")
    a = pg.take("A")
    ran(pg, f"delete from t; insert into t values (NULL), ({one}), ({one}), ({other})")
    diff = differences(pg, a, pg.take("B", since=a))["t"]
    assert (diff.key, diff.lost_count, diff.added_count, diff.changed) == ((), 1, 1, ())
    assert diff.lost[0].key == diff.lost[0].values != diff.added[0].values


def test_a_column_swapped_between_two_rows(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (id int primary key, a int); insert into t select i, i * 7 from generate_series(1, 200) i")
    a = pg.take("A")
    for i in range(1, 20):  # a linear sum was blind to two of three
        low, high = i, 200 - i
        ran(pg, f"update t set a = case id when {low} then {high * 7} else {low * 7} end where id in ({low}, {high})")
        b = pg.take("B", since=a)
        assert a.tables[0].checksum != b.tables[0].checksum
        assert [g.count for g in differences(pg, a, b)["t"].changed] == [2 * i]


def test_the_same_rows_in_another_order_are_the_same(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (a int, b text); insert into t values (1, 'x'), (2, 'y'), (2, 'y')")
    a = pg.take("A")
    ran(pg, "create table u as select * from t order by a desc; drop table t; alter table u rename to t")
    b = pg.take("B", since=a)
    assert a.tables[0].checksum == b.tables[0].checksum and differences(pg, a, b) == {}


STORAGES = {
    "compressed": {},
    "apart": dict.fromkeys("vjnbcsm", "external"),
    "inline": {**dict.fromkeys("vjbcm", "main")},
}
STORAGES["inline"] |= dict.fromkeys("ns", "plain")


def test_how_values_are_stored_is_no_difference(pg: PostgresqlDatabase) -> None:
    """Hashes are made of bytes: those of the value, not those of a compressed or separately stored one."""
    columns = "v text, j jsonb, n numeric, b bytea, c char(3000), s text, m pair, k name"
    ran(
        pg,
        f"create type pair as (x text, y int); create table t ({columns}); insert into t"
        " select repeat('a', i * 400), jsonb_build_object('k', repeat('b', i * 300)), 10::numeric ^ (i * 99) / 7,"
        " convert_to(repeat('c', i * 350), 'UTF8'), 'd', 'short ' || i, row(repeat('e', i * 200), i)::pair, 'k' || i"
        " from generate_series(1, 14) i; insert into t (v, s) values (null, ''), ('', null), (null, null)",
    )
    a = pg.take("A")
    for name, storages in STORAGES.items():
        how = "".join(f"; alter table u alter {column} set storage {storage}" for column, storage in storages.items())
        anew = "update u set v = v || '', j = j - 'none', n = n + 0, b = b || '', s = s || ''"
        ran(pg, f"create table u ({columns}) {how}; insert into u select * from t; {anew}")
        ran(pg, "drop table t; alter table u rename to t")
        compressed = pg.query("select count(*) from t where pg_column_compression(v) <> ''")[0][0] != "0"
        b = pg.take(name, since=a)
        assert compressed == (name != "apart") and a.tables[0].checksum == b.tables[0].checksum, name
        assert differences(pg, a, b) == {}


def test_an_enum_created_again_with_the_same_labels_holds_the_same_values(pg: PostgresqlDatabase) -> None:
    ran(pg, TYPES + "create table t (id int primary key, v mood, w mood[]); insert into t values (1, 'ok', '{sad}')")
    a = pg.take("A")
    ran(
        pg,
        "alter table t alter v type text, alter w type text[]; drop type mood; create type mood as enum ('ok', 'sad');"
        "alter table t alter v type mood using v::mood, alter w type mood[] using w::mood[]",
    )
    assert differences(pg, a, pg.take("B", since=a)) == {}


def test_types_and_extensions_can_be_dropped_under_a_kept_moment(pg: PostgresqlDatabase) -> None:
    ran(pg, TYPES + "create table t (id int primary key, v mood, p pairs, d amount, e mood[])")
    ran(pg, "insert into t values (1, 'ok', '(1,2)', 1.50, '{ok,sad}')")
    a = pg.take("A")
    ran(pg, "drop table t; drop type mood; drop type pairs; drop domain amount")
    diff = differences(pg, a, pg.take("B", since=a))["t"]
    assert diff.new_table is None and diff.lost[0].values == ("1", "ok", "(1,2)", "1.50", "{ok,sad}")


def test_numeric_declared_otherwise_holds_the_same_value(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (id int primary key, n numeric(10,2), v varchar(5), c char(4), i int)")
    ran(pg, "insert into t values (1, 1.50, 'ab ', 'x', 5), (2, null, null, null, null)")
    a = pg.take("A")
    ran(pg, "alter table t alter n type numeric(12,2), alter v type text, alter c type char(9), alter i type bigint")
    assert differences(pg, a, pg.take("B", since=a)) == {}
    ran(pg, "alter table t alter n type numeric(12,3), alter i type text")
    (group,) = differences(pg, a, pg.take("C"))["t"].changed
    assert (group.columns, group.rows[0].old, group.rows[0].new) == (("n",), ("1.50",), ("1.500",))


def test_a_missing_column_is_a_value_lost_in_every_row_that_held_one(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (id int primary key, a text, b int); insert into t values (1,'x',1),(2,null,2),(3,'z',3)")
    a = pg.take("A")
    ran(pg, "update t set b = 9 where id = 3; alter table t drop a")
    diff = differences(pg, a, pg.take("B", since=a))["t"]
    assert diff.missing_columns == ("a",)
    assert {g.columns: [r.key for r in g.rows] for g in diff.changed} == {("a",): [("1",)], ("a", "b"): [("3",)]}
    assert diff.changed[0].rows[0].new in ((None,), (None, "9"))


def test_added_columns_do_not_hide_what_changed(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (id int primary key, a text); create table u (a text)")
    ran(pg, "insert into t values (1, 'x'), (2, 'y'); insert into u values ('x'), ('x'), (null)")
    a = pg.take("A")
    ran(pg, "alter table t add b int default 5; alter table u add b int default 5")
    b = pg.take("B", since=a)
    assert differences(pg, a, b) == {}
    ran(pg, "update t set a = 'z' where id = 2; delete from u where a is null")
    found = differences(pg, a, pg.take("C", since=a))
    assert found["t"].changed[0].rows == (ChangedRow(key=("2",), old=("y",), new=("z",)),)
    assert (found["u"].lost_count, found["u"].lost[0].key) == (1, (None,))
    back = differences(pg, b, a)
    assert back["t"].missing_columns == ("b",) and back["t"].changed_count == 2


@pytest.mark.parametrize("rows", [30, 3000])
def test_many_changed_rows_are_named_like_few(pg: PostgresqlDatabase, rows: int) -> None:
    """Few are looked up by their place; where most differ, or columns are missing, whole rows are joined."""
    pg.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a numeric, b text, gone text)",
        f"INSERT INTO t SELECT i, i, 'x', nullif(i % 3, 0) FROM generate_series(1, {rows}) i",
    )
    a = pg.take("A")
    pg.execute("UPDATE t SET a = a * 1.0 WHERE id % 2 = 0", "UPDATE t SET b = 'y' WHERE id % 5 = 0")
    changed = {g.columns: g.count for g in differences(pg, a, pg.take("B"))["t"].changed}
    assert changed == {("a",): rows * 2 // 5, ("b",): rows // 10, ("a", "b"): rows // 10}
    pg.execute("ALTER TABLE t DROP gone", "DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (-1, 0, '')")
    found = differences(pg, a, pg.take("C"))["t"]
    assert found.missing_columns == ("gone",)
    assert [(r.key, r.values[-1]) for r in found.lost] == [(("1",), "1")]
    assert [r.key for r in found.added] == [("-1",)]
    by_columns = {g.columns: g.count for g in found.changed}
    assert by_columns[("a", "gone")] == sum(i % 2 == 0 and i % 5 > 0 and i % 3 > 0 for i in range(2, rows + 1))
    assert sum(by_columns.values()) == sum(i % 2 == 0 or i % 5 == 0 or i % 3 > 0 for i in range(2, rows + 1))


def test_more_columns_than_a_mask_holds(pg: PostgresqlDatabase) -> None:
    names = [f"c{i:03}" for i in range(130)]
    pg.execute(
        f"CREATE TABLE t (id int PRIMARY KEY, {', '.join(f'{n} int' for n in names)})",
        "INSERT INTO t VALUES (1), (2), (3)",
    )
    a = pg.take("A")
    pg.execute("UPDATE t SET c000 = 1, c061 = 1, c062 = 1, c129 = 1 WHERE id > 1", "UPDATE t SET c129 = 2 WHERE id = 1")
    found = differences(pg, a, pg.take("B"))["t"].changed
    assert [(g.columns, g.count) for g in found] == [(("c000", "c061", "c062", "c129"), 2), (("c129",), 1)]


def test_the_key_is_the_primary_key_else_a_unique_one_that_is_never_null(pg: PostgresqlDatabase) -> None:
    ran(
        pg,
        "create table a (x int unique, y int not null unique);"
        "create table b (x int unique, y int not null); create unique index on b (y) where y > 0;"
        "create table c (x int not null unique deferrable, y int);",
    )
    assert {t.table.name: t.key for t in pg.take("A").tables} == {"a": ("y",), "b": (), "c": ()}


def test_a_key_that_is_no_longer_unique_counts_right(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (id int primary key, v text); insert into t values (1, 'a'), (2, 'b'), (3, 'c')")
    a = pg.take("A")
    ran(pg, "alter table t drop constraint t_pkey; alter table t alter id drop not null")
    ran(pg, "insert into t values (2, 'b'), (null, 'n'), (null, 'm'); delete from t where id = 3")
    diff = differences(pg, a, pg.take("B", since=a))["t"]
    assert (diff.lost_count, diff.added_count, diff.changed_count) == (1, 3, 0)
    assert diff.lost[0].key == ("3",) and sorted(str(r.key[0]) for r in diff.added) == ["2", "None", "None"]


def test_keys_under_a_nondeterministic_collation_are_exact(pg: PostgresqlDatabase) -> None:
    try:
        pg.execute("create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    except Exception as error:
        without(f"no ICU here: {error}")
    ran(pg, "create table t (k text collate folded primary key, v int); insert into t values ('Zoe', 1), ('ann', 2)")
    a = pg.take("A")
    ran(pg, "update t set k = 'ZOE' where k = 'Zoe'")
    diff = differences(pg, a, pg.take("B", since=a))["t"]
    assert [r.key for r in diff.lost] == [("Zoe",)] and [r.key for r in diff.added] == [("ZOE",)]
    ran(pg, "drop table t; drop collation folded")  # the shadow does not hold on to it


def test_new_and_emptied_tables(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (id int primary key); insert into t values (1), (2); create table u (id int primary key)")
    a = pg.take("A")
    ran(pg, "truncate t; insert into u values (7)")
    b = pg.take("B", since=a)
    found = differences(pg, a, b)
    assert found["t"].lost_count == 2 and [r.key for r in found["u"].added] == [("7",)]


# --- what is carried over unread ---


def fresh(database: PostgresqlDatabase, since: Snapshot, moment: str = "B") -> set[str]:
    """Tables that a further look at the database reads anew."""
    before = database._shadows.moments[since.moment].shadows
    database.take(moment, since=since)
    after = database._shadows.moments[moment].shadows
    kept = {id(s.relation) if not s.relation else s.relation for s in before.values()}
    return {str(t) for t, s in after.items() if s.relation not in kept and s.relation}


SETUP = """
create type mood as enum ('ok', 'sad');
create domain amount as numeric;
create table plain (id int primary key, v text);
create table other (id int primary key, v text);
create table feels (id int primary key, m mood, n amount);
create table parent (id int primary key, v text);
create table child () inherits (parent);
create unlogged table loose (id int);
create table parts (id int, v text) partition by list (id);
create table part1 partition of parts for values in (1);
create table part2 partition of parts for values in (2);
create table long (id int primary key, v text);
create table few (id int generated always as identity primary key);
create table many (id int generated always as identity primary key);
insert into few default values; insert into many select from generate_series(1, 5);
insert into plain values (1, 'a'); insert into other values (1, 'a'); insert into feels values (1, 'ok', 1);
insert into parent values (1, 'a'); insert into child values (2, 'b'); insert into loose values (1);
insert into parts values (1, 'a'), (2, 'b');
insert into long select 1, string_agg(md5(i::text), '') from generate_series(1, 2000) i;
"""
TOUCHES = {
    "nothing": ("select 1", set()),
    "a read": ("select * from plain, other", set()),
    "update": ("update plain set v = 'b'", {"plain"}),
    "update to the same": ("update plain set v = v", {"plain"}),
    "insert": ("insert into other values (2, 'x')", {"other"}),
    "delete and put back": ("delete from plain; insert into plain values (1, 'a')", {"plain"}),
    "truncate": ("truncate plain; insert into plain values (1, 'z')", {"plain"}),
    "rewrite": ("alter table plain alter v type varchar(9)", {"plain"}),
    "enum label renamed": ("alter type mood rename value 'ok' to 'fine'", {"feels"}),
    "a child's rows": ("update parent set v = 'c'", {"parent", "child"}),
    "only a child": ("update child set v = 'c'", {"child"}),
    "through the partitioned table": ("update parts set v = 'c' where id = 2", {"part2"}),
    "a value stored outside": ("update long set v = v || 'x'", {"long"}),
    "column added with a default": ("alter table plain add z int default 5", {"plain"}),
    "column dropped and added": ("alter table plain drop v; alter table plain add v text default 'a'", {"plain"}),
    "column renamed": ("alter table plain rename v to w", {"plain"}),
    "columns swapped by renaming": ("alter table plain add x text; alter table plain rename v to y", {"plain"}),
    "tables swapped by renaming": (
        "alter table few rename to x; alter table many rename to few; alter table x rename to many",
        set(),
    ),
    "index": ("create index on plain (v); drop index plain_v_idx", set()),
    "row locks": ("select * from plain for update", set()),
    "default": ("alter table plain alter v set default 'q'", set()),
    "rolled back": ("savepoint s; update plain set v = 'q'; rollback to savepoint s", {"plain"}),
    "other table of the name": (
        "alter table plain rename to gone; create table plain (id int primary key, v text); insert into plain "
        "values (1, 'z')",
        {"plain"},
    ),
}


@pytest.mark.parametrize("name", TOUCHES)
def test_only_what_was_touched_is_read_again(pg: PostgresqlDatabase, name: str) -> None:
    if not pg.untouched_proof.startswith("write-ahead log"):
        without("no means to read the log here")
    ran(pg, SETUP)
    change, expected = TOUCHES[name]
    a = pg.take("A")
    ran(pg, change)
    assert fresh(pg, a) == expected | {"loose"}


@pytest.mark.parametrize("name", TOUCHES)
def test_what_is_carried_over_is_what_reading_gives(pg: PostgresqlDatabase, name: str) -> None:
    ran(pg, SETUP)
    a = pg.take("A")
    ran(pg, TOUCHES[name][0])
    carried, read = pg.take("B", since=a), pg.take("C")
    assert carried.tables == read.tables and carried.counters == read.counters
    assert carried.integrity == read.integrity and carried.schema == read.schema
    assert pg.diff(carried, read, pair_by_name(carried, read)) == ()


def test_without_the_log_tables_are_read(pg: PostgresqlDatabase) -> None:
    ran(pg, SETUP)
    pg._wal = None
    assert pg.untouched_proof == "reading"
    a = pg.take("A")
    ran(pg, "update plain set v = 'b'; update feels set n = 1.0; alter type mood rename value 'ok' to 'fine'")
    assert fresh(pg, a) == {"plain", "feels"}


def test_a_log_that_a_checkpoint_took_away_is_done_without(pg: PostgresqlDatabase) -> None:
    """wal_keep_size keeps four segments, and a checkpoint takes away what lies before them."""
    pg.execute("create table a as select 1 as i", "create table b as select 1 as i")
    a = pg.take("A")
    ((segment,),) = pg.query("select pg_walfile_name(pg_current_wal_insert_lsn())")
    pg.execute("insert into a values (2)")
    for _ in range(6):
        pg.execute("select pg_switch_wal()", "select pg_logical_emit_message(false, 'x', 'y')")
    pg.execute("checkpoint")
    assert (segment,) not in pg.query("select name from pg_ls_waldir()")
    b = pg.take("B", since=a)
    assert {str(t.table): t.rows for t in b.tables} == {"a": 2, "b": 1}
    assert set(differences(pg, a, b)) == {"a"}


def test_whether_a_view_is_current_is_asked_where_only_its_tables_were_written(pg: PostgresqlDatabase) -> None:
    """Found: what the log does not name was carried over whole. A column v is not the row."""
    ran(pg, "create table t (v int, w int); insert into t values (1, 1)")
    ran(pg, "create materialized view m as select v, w from t")
    moments = [pg.take("A")]
    for number, change in enumerate(("update t set w = 2", "refresh materialized view m", "create table other ()")):
        ran(pg, change)
        moments.append(pg.take(f"M{number}", since=moments[-1]))
    views = [view for moment in moments for view in moment.asides]
    assert [view.current for view in views] == [True, False, True, True]
    assert len({view.checksum for view in views}) == 2


def test_moments_share_what_is_untouched_and_let_go_of_the_rest(pg: PostgresqlDatabase) -> None:
    ran(pg, SETUP)
    a = pg.take("A")
    ran(pg, "update plain set v = 'b'")
    pg.take("B", since=a)
    kept = {row[0] for row in pg.query("select relname from pg_class where relnamespace = '_seatrial'::regnamespace")}
    pg.release("A")
    left = {row[0] for row in pg.query("select relname from pg_class where relnamespace = '_seatrial'::regnamespace")}
    assert 0 < len(left) < len(kept)
    pg.release("B")
    assert pg.query("select 1 from pg_class where relnamespace = '_seatrial'::regnamespace and relkind = 'r'") == []


def test_partitions_hold_the_rows(pg: PostgresqlDatabase) -> None:
    ran(pg, SETUP)
    a = pg.take("A")
    parent = a.table(TableRef("", "parts"))
    assert parent is not None and not parent.compared and "partitions" in parent.why_not
    ran(pg, "delete from parts where id = 2")
    assert set(differences(pg, a, pg.take("B", since=a))) == {"part2"}


def test_hostile_names(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table x (id int primary key); insert into x values (1)")
    for name in ('"; DROP TABLE x; --', "🛳" * 15 + "abc", "%s{0}", "it's", "back\\slash", "c0", "h"):
        quoted = pg.quote(name)
        ran(pg, f"create table {quoted} ({quoted} int primary key, v text)")
        ran(pg, f"insert into {quoted} values (1, 'a'), (2, 'b')")
    a = pg.take("A")
    for state in a.tables[1:]:
        if state.table.name != "x":
            ran(pg, f"update {pg.quote(state.table.name)} set v = 'z' where {pg.quote(state.table.name)} = 2")
    b = pg.take("B", since=a)
    found = differences(pg, a, b)
    assert all(d.changed[0].rows[0].key == ("2",) for d in found.values()) and len(found) >= 5
    assert all(i.observed and i.count == 0 for i in b.integrity)


# --- casting back ---


def casts(pg: PostgresqlDatabase, a: Snapshot, b: Snapshot, column: str = "v", zones: tuple[str, ...] = ()) -> object:
    found = pg.cast_backs(a, b, pair(a, b, "t"), [(column, column)], zones)
    return [(c.count, c.possible, [(r.key, r.old, r.new) for r in c.rows]) for c in found]


CASTS = {
    "scale lost": (
        "numeric(10,4)",
        "(1, 1.5), (2, 1.23456)",
        "alter v type numeric(10,2)",
        [("2", "1.2346", "1.2300")],
    ),
    "int to boolean": (
        "int",
        "(1, 0), (2, 1), (3, 5), (4, null)",
        "alter v type bool using v <> 0",
        [("3", "5", "1")],
    ),
    "widened": ("int", "(1, 5)", "alter v type bigint", []),
    "to text and back": ("int", "(1, 5)", "alter v type text", []),
    "to date": (
        "timestamp",
        "(1, '2024-01-01'), (2, '2024-01-01 10:00')",
        "alter v type date",
        [("2", "2024-01-01 10:00:00", "2024-01-01 00:00:00")],
    ),
    "json to jsonb": (
        "json",
        "(1, '{\"a\": 1}'), (2, '{\"a\":1}')",
        "alter v type jsonb",
        [("2", '{"a":1}', '{"a": 1}')],
    ),
    "char": ("varchar(6)", "(1, 'ab  '), (2, 'abcdef'), (3, '')", "alter v type char(6)", [("1", "ab  ", "ab")]),
    "refused for one row": (
        "int",
        "(1, 5), (2, 6)",
        "alter v type text using case v when 5 then 'five' else v::text end",
        [("1", "5", None)],
    ),
    "leading zeros": ("text", "(1, '007'), (2, '7')", "alter v type int using v::int", [("1", "007", "7")]),
}


@pytest.mark.parametrize("name", CASTS)
def test_casting_back(pg: PostgresqlDatabase, name: str) -> None:
    kind, rows, change, lost = CASTS[name]
    ran(pg, f"create table t (id int primary key, v {kind}); insert into t values {rows}")
    a = pg.take("A")
    ran(pg, f"alter table t {change}")
    expected = [(len(lost), True, [((key,), (old,), (new,)) for key, old, new in lost])] if lost else []
    assert casts(pg, a, pg.take("B", since=a)) == expected


def test_casting_back_under_the_zone_that_was_used(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (id int primary key, v timestamptz)")
    ran(pg, "insert into t values (1, '2024-11-03 05:30+00'), (2, '2024-11-03 06:30+00'), (3, '2024-07-01 12:00+00')")
    a = pg.take("A")
    zone = "America/New_York"
    ran(pg, "alter table t alter v type timestamp", session=(f"set timezone to '{zone}'",))
    b = pg.take("B", since=a)
    lost = (("1",), ("2024-11-03 05:30:00+00",), ("2024-11-03 06:30:00+00",))
    assert casts(pg, a, b, zones=(zone,)) == [(1, True, [lost])]


def test_no_way_back(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (id int primary key, v date); insert into t values (1, '2024-01-01'), (2, null)")
    a = pg.take("A")
    ran(pg, "alter table t alter v type int using extract(year from v)::int")
    assert casts(pg, a, pg.take("B", since=a)) == [(1, False, [(("1",), ("2024-01-01",), (None,))])]


@pytest.mark.parametrize(
    ("made", "value", "becomes", "count"),
    [
        ("type k as enum ('ok')", "ok", "text", 0),
        ("domain k as text[]", "{a,b}", "text[]", 0),
        ("domain k as numeric(9,4)", "1.2345", "numeric(9,4)", 0),
        ("domain k as numeric(9,4)", "1.2345", "numeric(9,2)", 1),
    ],
)
def test_what_a_dropped_type_held_is_still_there(
    pg: PostgresqlDatabase, made: str, value: str, becomes: str, count: int
) -> None:
    ran(pg, f"create {made}; create table t (id int primary key, v k); insert into t values (1, '{value}'), (2, null)")
    a = pg.take("A")
    ran(pg, f"alter table t alter v type {becomes}; drop {made.split()[0]} k")
    assert [found[0] for found in casts(pg, a, pg.take("B", since=a))] == [1] * count


def test_casting_back_without_a_key(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (n int, v numeric(10,4)); insert into t values (1, 1.5), (1, 1.2345), (2, 7)")
    a = pg.take("A")
    ran(pg, "alter table t alter v type numeric(10,2)")
    b = pg.take("B", since=a)
    assert casts(pg, a, b) == [(1, True, [(("1", "1.2345"), ("1.2345",), ("1.2300",))])]


# --- going back ---


def test_restore_gives_the_same_database_and_keeps_moments(pg: PostgresqlDatabase) -> None:
    ran(pg, SETUP)
    pg.execute(
        f'alter database {pg.name} set search_path to "$user", public', f"grant create on database {pg.name} to public"
    )
    a = pg.take("A")
    url, checkpoint = pg.url, pg.checkpoint()
    ran(pg, "update plain set v = 'b'; drop table other; create table extra (x int); insert into extra values (1)")
    b = pg.take("B", since=a)
    pg.restore(checkpoint)
    c = pg.take("C", since=b)
    assert pg.url == url and c.schema == a.schema
    assert replace(c, moment="A") == a and differences(pg, a, c) == {}
    assert set(differences(pg, b, c)) == {"plain", "extra"} and set(differences(pg, a, b)) == {"plain", "other"}
    pg.restore(checkpoint)
    assert differences(pg, b, pg.take("D")).keys() == {"plain", "extra"}
    ran(pg, "update plain set v = 'c'")
    assert pg.reset(checkpoint) == ""
    d = pg.take("D")
    assert (d.schema, differences(pg, a, d)) == (a.schema, {})
    assert pg.query("select count(*) from plain") != [("0",)]
    pg.discard(checkpoint)


def test_a_stray_connection_is_no_hindrance(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (x int)")
    stray = pg.site.connect(pg.name)
    checkpoint = pg.checkpoint()
    stray.close()
    stray = pg.site.connect(pg.name)
    pg.restore(checkpoint)
    stray.close()
    assert pg.query("select count(*) from t") == [("0",)]
