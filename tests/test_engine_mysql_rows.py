"""MySQL and MariaDB: values are read and moments compared exactly, casts back are found, nothing else is reported."""

from __future__ import annotations

import pytest
from mysql_fixtures import copying, differences, ran

from seatrial.engines import _mysql_tablespace
from seatrial.engines.mysql import MysqlDatabase
from seatrial.errors import DatabaseError
from seatrial.model import TableRef
from seatrial.schema import pair_by_name

EVERYTHING = """
create table v (
  id int primary key, i bigint unsigned, dec1 decimal(20,4), fl float, dbl double, b bit(9), c char(5), vc varchar(20),
  t text, vb varbinary(8), bl blob, d date, dt datetime(6), ts timestamp(3) null, ti time(2), y year,
  e enum('a','b',''), s set('p','q'), j json, g point, z int(5) zerofill
) character set utf8mb4;
insert into v values
 (1, 18446744073709551615, 12.5000, 0.1, 0.1, b'000000101', 'ab', 'ab  ', 'a\\nb', x'00ff', x'', '2024-02-29',
  '2024-01-01 10:00:00.654321',
  '2024-01-01 10:00:00.5', '-838:59:59', 1999, 'b', 'p,q', '{"b": 1.0, "a": [null, true]}',
  st_geomfromtext('POINT(1 2)'), 42),
 (2, 9007199254740993, -0.0001, -3.4e38, 1.7e308, b'111111111', '', '', '', '', '', '0001-01-01',
  '9999-12-31 23:59:59', null,
  '00:00:00.01', 2155, '', '', 'null', null, 0),
 (3, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
  null, null);
"""


def test_every_type_is_read_exactly(db: MysqlDatabase) -> None:
    ran(db, EVERYTHING)
    before = db.take("A")
    ran(db, "delete from v")
    lost = differences(db, before, db.take("B"))["v"]
    assert lost.lost_count == 3
    values = dict(zip(lost.columns, lost.lost[0].values, strict=True))
    assert values["i"] == "18446744073709551615"
    assert values["dec1"] == "12.5000"
    assert (values["fl"], values["dbl"]) == ("0.10000000149011612", "0.1")
    assert values["b"] == "000000101"
    assert (values["c"], values["vc"], values["t"]) == ("ab", "ab  ", "a\nb")
    assert (values["vb"], values["bl"]) == ("\\x00ff", "\\x")
    assert (values["d"], values["dt"], values["ts"]) == (
        "2024-02-29",
        "2024-01-01 10:00:00.654321",
        "2024-01-01 10:00:00.500",
    )
    assert (values["ti"], values["y"]) == ("-838:59:59.00", "1999")
    assert (values["e"], values["s"]) == ("b", "p,q")
    assert values["g"] == "\\x000000000101000000000000000000f03f0000000000000040"
    assert values["z"] == "42"
    assert lost.lost[2].values[1:] == (None,) * 20


@pytest.mark.parametrize(
    ("make", "one", "other", "texts"),
    [
        ("double", "-0.0e0", "0", ("-0", "0")),
        ("double", "0.1", "0.1000000000000000055511151231257827e0 + 1e-17", None),
        ("double", "0.30000000000000004", "0.3", ("0.30000000000000004", "0.3")),
        ("varchar(9)", "'a'", "'a '", ("a", "a ")),
        ("varchar(9)", "'a'", "'A'", ("a", "A")),
        ("varchar(9)", "'e\u0301'", "'\u00e9'", ("e\u0301", "\u00e9")),
        ("varchar(9)", "''", "null", ("", None)),
        ("varbinary(9)", "x'61'", "x'6100'", ("\\x61", "\\x6100")),
        ("datetime(6)", "'2024-01-01 00:00:00.000001'", "'2024-01-01 00:00:00'", None),
        ("bigint", "9007199254740992", "9007199254740993", ("9007199254740992", "9007199254740993")),
        ("decimal(30,10)", "12345678901234567890.0000000001", "12345678901234567890.0000000002", None),
        ("bit(3)", "b'010'", "b'011'", ("010", "011")),
        ("set('p','q')", "'p'", "'p,q'", ("p", "p,q")),
    ],
)
@pytest.mark.parametrize("how", ["file", "hashed", "plain"])
def test_near_misses_differ(
    db: MysqlDatabase,
    how: str,
    make: str,
    one: str,
    other: str,
    texts: tuple[str | None, str | None] | None,
) -> None:
    copying(db, how)
    ran(
        db,
        f"create table n (id int primary key, x {make}, y int) character set utf8mb4; insert into n values (1, {one}, 0), (2, {one}, 0)",  # noqa: E501
    )
    before = db.take("A")
    ran(db, f"update n set x = {other} where id = 2; update n set y = 0")
    after = db.take("B")
    stored_alike = db.query("select count(distinct concat(x is null, ifnull(hex(cast(x as char)), ''))) from n") == [
        ("1",)
    ]
    if stored_alike:
        assert differences(db, before, after) == {}
        return
    (group,) = differences(db, before, after)["n"].changed
    assert (group.columns, group.count, group.rows[0].key) == (("x",), 1, ("2",))
    if texts:
        assert (group.rows[0].old, group.rows[0].new) == ((texts[0],), (texts[1],))


@pytest.fixture(params=["file", "hashed", "plain"])
def any_db(request: pytest.FixtureRequest, db: MysqlDatabase) -> MysqlDatabase:
    copying(db, request.param)
    return db


def test_lost_added_and_changed_rows_by_name(any_db: MysqlDatabase) -> None:
    ran(
        any_db,
        "create table t (k int, l varchar(9), v int, w text, primary key (k, l));"
        "insert into t values (10,'a',1,'x'),(2,'b',2,'y'),(2,'a',3,'z'),(7,'c',4,null);",
    )
    before = any_db.take("A")
    ran(
        any_db,
        "delete from t where k = 10; update t set v = v + 1, w = null where l = 'b'; update t set v = 9 where l = 'c';"
        "insert into t values (1,'q',0,'')",
    )
    diff = differences(any_db, before, any_db.take("B"))["t"]
    assert [r.key for r in diff.lost] == [("10", "a")]
    assert [(r.key, r.values) for r in diff.added] == [(("1", "q"), ("1", "q", "0", ""))]
    groups = {g.columns: [(r.key, r.old, r.new) for r in g.rows] for g in diff.changed}
    assert groups == {
        ("v", "w"): [(("2", "b"), ("2", "y"), ("3", None))],
        ("v",): [(("7", "c"), ("4",), ("9",))],
    }


@pytest.mark.engines("mysql")
def test_a_default_that_names_another_column_is_no_part_of_a_copy(db: MysqlDatabase) -> None:
    ran(
        db,
        "create table t (k int primary key, n int, d int default (n + 1), l varchar(9) character set latin1"
        " default (upper(d)), j json default (json_array(n))); insert into t (k, n) values (1, 1), (2, 2)",
    )
    before = db.take("A")
    ran(db, "update t set d = 0, l = 'é' where k = 2")
    (group,) = differences(db, before, db.take("B"))["t"].changed
    assert [(g.key, g.old, g.new) for g in group.rows] == [(("2",), ("3", "3"), ("0", "é"))]


def test_a_row_as_wide_as_rows_may_be(db: MysqlDatabase) -> None:
    ran(
        db,
        "create table t (k varchar(99), b varbinary(61000), c varchar(999), primary key (k)) character set utf8mb4;"
        "insert into t values ('a', x'00', 'x '), ('c ', null, 'y'), ('b', x'0000', 'z')",
    )
    before = db.take("A")
    ran(db, "update t set b = x'00', c = 'y ' where c = 'y'; delete from t where k = 'b'")
    diff = differences(db, before, db.take("B"))["t"]
    assert [r.values for r in diff.lost] == [("b", "\\x0000", "z")]
    assert [(r.key, r.old, r.new) for g in diff.changed for r in g.rows] == [(("c ",), (None, "y"), ("\\x00", "y "))]


def test_a_column_that_became_a_generated_one_is_compared_by_its_values(any_db: MysqlDatabase) -> None:
    ran(any_db, "create table t (k int primary key, v int, w int); insert into t values (1,1,2),(2,2,9),(3,3,null)")
    before = any_db.take("A")
    ran(any_db, "alter table t drop column w, add column w int generated always as (v * 2) virtual")
    after = any_db.take("B")
    (group,) = differences(any_db, before, after)["t"].changed
    assert (group.columns, [(r.key, r.old, r.new) for r in group.rows]) == (
        ("w",),
        [(("2",), ("9",), ("4",)), (("3",), (None,), ("6",))],
    )
    ran(any_db, "alter table t change w x int generated always as (v * 2) virtual; update t set v = 7 where k = 1")
    assert differences(any_db, after, any_db.take("C"))["t"].changed[0].columns == ("v",)


def test_keys_come_in_their_own_order_and_counts_are_exact_beyond_the_limit(any_db: MysqlDatabase) -> None:
    any_db.limit = 3
    ran(
        any_db,
        "create table t (id int primary key, v int); insert into t values "
        + ",".join(f"({i},0)" for i in range(1, 40)),
    )
    before = any_db.take("A")
    ran(any_db, "update t set v = 1 where id > 1; delete from t where id = 1")
    diff = differences(any_db, before, any_db.take("B"))["t"]
    assert (diff.lost_count, diff.changed_count) == (1, 38)
    assert [r.key for r in diff.changed[0].rows] == [("2",), ("3",), ("4",)]


def test_a_key_that_changed_its_case_is_a_changed_value(any_db: MysqlDatabase) -> None:
    ran(
        any_db,
        "create table t (k varchar(9) primary key, v int) character set utf8mb4; insert into t values ('Ann',1),('bob',2),('cy',3)",  # noqa: E501
    )
    before = any_db.take("A")
    ran(any_db, "update t set k = 'ANN' where v = 1; update t set k = 'dee' where v = 3")
    diff = differences(any_db, before, any_db.take("B"))["t"]
    assert [(g.columns, [(r.key, r.old, r.new) for r in g.rows]) for g in diff.changed] == [
        (("k",), [(("Ann",), ("Ann",), ("ANN",))])
    ]
    assert ([r.key for r in diff.lost], [r.key for r in diff.added]) == ([("cy",)], [("dee",)])


def test_the_last_column_dropped_and_added_instantly_is_not_taken_for_untouched(any_db: MysqlDatabase) -> None:
    ran(any_db, "create table t (id int primary key, v int default 5); insert into t values (1,7)")
    before = any_db.take("A")
    ran(any_db, "alter table t drop column v; alter table t add column v int default 5")
    assert differences(any_db, before, any_db.take("B", since=before))["t"].changed_count == 1


def test_without_its_primary_key_a_row_is_still_found_and_doubles_are_added(any_db: MysqlDatabase) -> None:
    ran(any_db, "create table t (id int primary key, v int); insert into t values (1,1),(2,2)")
    before = any_db.take("A")
    ran(any_db, "alter table t drop primary key; insert into t values (1,1)")
    diff = differences(any_db, before, any_db.take("B"))["t"]
    assert (diff.lost_count, diff.changed_count, diff.added_count) == (0, 0, 1)


ADVERSARIAL = [
    "update t set a = 'a', b = 'bc' where id = 1",  # over the border of two columns: CHECKSUM TABLE is the same
    "update t set b = 'cx', c = '' where id = 1",
    "update t set d = 'pq', e = '' where id = 1",
    "update t set a = if(id = 2, 'no', a), b = if(id = 2, '', b) where id in (1, 2)",
    "update t set a = if(id = 1, 'n', 'ab'), b = if(id = 1, 'o', 'c') where id in (1, 2)",  # two rows swap
    "update t set n = m, m = 5 where id = 1",
    "update t set id = id + 10 where id = 2",
    "update t set a = null where id = 3",
    "update t set a = b, b = a where id = 4",  # '' and NULL change places
    "delete from t where id = 5",
    "delete from t where id = 5; insert into t select 5, a, b, c, d, e, n, m from t where id = 6",
]


def test_no_two_tables_are_taken_for_equal_by_a_checksum(any_db: MysqlDatabase) -> None:
    text = "a varchar(9), b varchar(9), c varchar(9), d text, e blob, n int, m int"
    ran(
        any_db,
        f"create table t (id int primary key, {text}); insert into t values (1,'ab','c','x','p','q',5,6),"
        " (2,'n','o','x','p','q',7,8),(3,'',null,'','','',0,0),(4,'',null,'','','',0,0),(5,'','','','','',0,0),"
        "(6,'','y','','','',0,0); create table kept as select * from t",
    )
    before = any_db.take("A")
    seen = {before.table(TableRef("", "t")).checksum}  # type: ignore[union-attr]
    for change in ADVERSARIAL:
        ran(any_db, change)
        after = any_db.take("B")
        assert differences(any_db, before, after)["t"], change
        seen.add(after.table(TableRef("", "t")).checksum)  # type: ignore[union-attr]
        ran(any_db, "delete from t; insert into t select * from kept")
        again = any_db.take("C")
        assert again.table(TableRef("", "t")).checksum == before.table(TableRef("", "t")).checksum  # type: ignore[union-attr]
        assert differences(any_db, before, again) == {}
    assert len(seen) == len(ADVERSARIAL) + 1


def test_hostile_names_and_values(any_db: MysqlDatabase) -> None:
    table, column = "\"; DROP TABLE x; -- `'", "a\\'`b{} c"
    name = any_db.quote(table)
    ran(any_db, f"create table {name} (id int primary key, {any_db.quote(column)} varchar(99));")
    with any_db.filling():
        any_db.fill(TableRef("", table), ["id", column], [[1, "'; DROP TABLE x; -- \\ \n \0 %s"], [2, None]])
    before = any_db.take("A")
    ran(any_db, f"delete from {name} where id = 1")
    diff = differences(any_db, before, any_db.take("B"))[table]
    assert [r.values for r in diff.lost] == [("1", "'; DROP TABLE x; -- \\ \n \0 %s")]


def test_invisible_columns_and_zero_dates_are_read(db: MysqlDatabase) -> None:
    ran(
        db,
        "create table t (id int primary key, v int invisible, d date); insert into t (id, v, d) values (1, 7, '0000-00-00')",  # noqa: E501
        session=("set sql_mode = ''",),
    )
    before = db.take("A")
    ran(db, "update t set v = 8")
    diff = differences(db, before, db.take("B"))["t"]
    assert [(g.columns, g.rows[0].old) for g in diff.changed] == [(("v",), ("7",))]
    ran(db, "delete from t")
    assert differences(db, before, db.take("C"))["t"].lost[0].values == ("1", "7", "0000-00-00")


def test_our_own_questions_show_every_digit_of_a_float(db: MysqlDatabase) -> None:
    ran(db, "create table f (id int primary key, x float); insert into f values (1, 16777215), (2, 0.1), (3, null)")
    wanted = [("3", None), ("2", "0.10000000149011612"), ("1", "16777215")]
    assert db.query("select id, x from f order by id desc") == wanted
    assert db.query("select x, x from f where id = 2") == [("0.1", "0.1")]  # no way to ask again


# --- untouched tables -------------------------------------------------------------------------------------------------


def test_untouched_tables_are_not_read_again(db: MysqlDatabase) -> None:
    ran(
        db,
        "create table a (id int primary key); create table b (id int primary key); insert into a values (1); insert into b values (1)",  # noqa: E501
    )
    before = db.take("A")
    ran(db, "insert into b values (2)")
    reads: list[str] = []
    copy = db._shadows.copy
    db._shadows.copy = lambda table, *rest: (reads.append(table.name), copy(table, *rest))[1]  # type: ignore[method-assign]
    after = db.take("B", since=before)
    assert reads == ["b"]
    assert set(differences(db, before, after)) == {"b"}


def test_where_no_file_tells_a_copy_with_the_same_rows_serves_again(db: MysqlDatabase) -> None:
    ref = TableRef("", "m")
    ran(db, "create table m (id int primary key, v int) engine = MyISAM; insert into m values (1, 1), (2, null)")
    held = []
    for moment, change in enumerate(("do 0", "update m set v = 2 where id = 1", "update m set v = 1 where id = 1")):
        ran(db, change)
        db.take(str(moment))
        held.append(db._moments[str(moment)][ref].name)
    assert held[0] == held[2] != held[1]
    ran(db, "alter table m modify v bigint")
    db.take("wider")
    assert db._moments["wider"][ref].name not in held


def test_where_no_file_tells_a_moment_taken_again_keeps_the_copy_that_only_it_held(db: MysqlDatabase) -> None:
    ran(db, "create table m (id int primary key, v int) engine = MyISAM; insert into m values (1, 1), (2, null)")
    before = db.take("A")
    ran(db, "update m set v = 2 where id = 1")
    first, again = db.take("B"), db.take("B")
    assert first.tables == again.tables
    (found,) = differences(db, before, again).values()
    assert found.changed_count == 1
    ran(db, "update m set v = 3 where id = 1")
    (outdated,) = (copy.name for copy in db._moments["B"].values())
    db.take("B")
    with pytest.raises(DatabaseError, match="doesn't exist"):
        db._link.rows(f"select * from {outdated}")


def test_a_row_that_could_not_be_hashed_is_not_passed_over(db: MysqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """CONCAT gives NULL beyond max_allowed_packet: such rows would be told from no others."""
    ran(db, "create table t (id int primary key); insert into t values (1), (2)")
    monkeypatch.setattr(db._shadows, "_hash", lambda columns: "IF(id = 2, NULL, UNHEX(SHA2(id, 256)))")
    with pytest.raises(DatabaseError, match="1 of 2 rows could be hashed"):
        db.take("A")


@pytest.mark.parametrize(
    "touch",
    [
        "update a set v = 2 where id = 1",
        "update a set v = 2; update a set v = 1",
        "delete from a",
        "truncate table a",
        "alter table a drop column v; alter table a add column v int default 1",
        "alter table a rename column v to w2, rename column w to v; alter table a rename column w2 to w",
        "drop table a; create table a (id int primary key, w int, v int default 1); insert into a values (1, 3, 9)",
        "delete from p",
        "update p set id = 2",
        "insert into q values (1)",
        "start transaction; update a set v = 2; savepoint s; update a set v = 3; rollback to s; commit",
    ],
)
def test_a_touched_table_is_never_taken_for_untouched(db: MysqlDatabase, touch: str) -> None:
    ran(
        db,
        "create table p (id int primary key); create table q (id int primary key);"
        "create table a (id int primary key, w int, v int default 1, foreign key (w) references p (id) on delete cascade on update cascade);"  # noqa: E501
        "create trigger q_a after insert on q for each row update a set v = v + 1;"
        "insert into p values (3); insert into a values (1, 3, 1);",
    )
    before = db.take("A")
    truth = db.query("select * from a")
    ran(db, touch)
    after = db.take("B", since=before)
    now = db.query("select * from a")
    assert ("a" in differences(db, before, after)) == (truth != now or "rename column" in touch)


# --- casts back -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "values", "new", "mode", "lost"),
    [
        ("decimal(10,2)", "12.75,40.00,-0.50", "decimal(10,0)", "", ["1", "3"]),
        ("decimal(10,2)", "12.75,99999999.99", "decimal(14,4)", "", []),
        ("double", "1234567.891234,0.1,0.5", "float", "", ["1", "2"]),
        ("varchar(32)", "'red','ultramarine blue'", "varchar(8)", "NO_ENGINE_SUBSTITUTION", ["2"]),
        ("bigint", "512,3000000000", "int", "NO_ENGINE_SUBSTITUTION", ["2"]),
        ("datetime(6)", "'2024-01-01 10:00:00.654321','2024-01-01 10:00:01'", "datetime", "", ["1"]),
        ("datetime", "'2024-01-01 10:00:00','2024-01-02 00:00:00'", "date", "", ["1"]),
        ("varchar(6)", "'ab  ','abcdef',''", "char(6)", "", ["1"]),
        ("varchar(10)", "'00501','94107'", "int", "", ["1"]),
        (
            "varchar(20)",
            "'na\u00efve','\u65e5\u672c','ok'",
            "varchar(20) character set latin1",
            "NO_ENGINE_SUBSTITUTION",
            ["2"],
        ),
        ("enum('new','open','gone')", "'new','gone'", "enum('new','open')", "NO_ENGINE_SUBSTITUTION", ["2"]),
        ("enum('a','b')", "'a','b'", "varchar(5)", "", []),
        ("int", "1,2", "varchar(9)", "", []),
    ],
)
def test_what_does_not_cast_back(
    db: MysqlDatabase,
    old: str,
    values: str,
    new: str,
    mode: str,
    lost: list[str],
) -> None:
    rows = ",".join(f"({i},{v})" for i, v in enumerate(values.split(","), 1))
    ran(db, f"create table c (id int primary key, x {old}) character set utf8mb4; insert into c values {rows}")
    before = db.take("A")
    ran(db, f"alter table c modify x {new}", session=(f"set sql_mode = '{mode}'",) if mode else ())
    after = db.take("B")
    (pair,) = pair_by_name(before, after)
    found = db.cast_backs(before, after, pair, [("x", "x")], [])
    assert [r.key[0] for c in found for r in c.rows] == lost
    assert sum(c.count for c in found) == len(lost)


def test_zones_that_a_migration_sets_are_tried(db: MysqlDatabase) -> None:
    ran(
        db,
        "create table c (id int primary key, x timestamp null); insert into c values (1, '2024-01-01 10:00:00'), (2, null)",  # noqa: E501
    )
    before = db.take("A")
    ran(db, "set time_zone = '+05:00'; alter table c modify x datetime null")
    after = db.take("B")
    (pair,) = pair_by_name(before, after)
    assert db.cast_backs(before, after, pair, [("x", "x")], ["+05:00"]) == ()
    (wrong,) = db.cast_backs(before, after, pair, [("x", "x")], [])
    assert [(r.key, r.old, r.new) for r in wrong.rows] == [(("1",), ("2024-01-01 10:00:00",), ("2024-01-01 15:00:00",))]


def test_without_a_key_casting_back_says_so(db: MysqlDatabase) -> None:
    ran(db, "create table c (x int); insert into c values (1)")
    before = db.take("A")
    ran(db, "alter table c modify x varchar(9)")
    after = db.take("B")
    with pytest.raises(DatabaseError, match="no key"):
        db.cast_backs(before, after, pair_by_name(before, after)[0], [("x", "x")], [])


def test_files_are_used_for_large_tables_only() -> None:
    assert _mysql_tablespace.LARGE > 1 << 20


def test_a_moment_goes_with_its_copies(db: MysqlDatabase) -> None:
    ran(db, "create table t (id int primary key); insert into t values (1)")
    db.take("A")
    ran(db, "insert into t values (2)")
    db.take("B")
    db.release("A")
    db.release("B")
    left = db.query(f"select count(*) from information_schema.tables where table_schema = '{db.name}_shadow'")
    assert left == [("2",)]  # the marker, and the copy of the table as it still is
