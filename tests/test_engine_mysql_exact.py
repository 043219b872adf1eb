"""MySQL and MariaDB: an ALTER that changes one attribute only, a statement that changes one kind of value only."""

from __future__ import annotations

import contextlib

import pytest
from mysql_fixtures import changed, copying, differences, ran

from seatrial.engines.mysql import MysqlDatabase
from seatrial.model import TableRef
from seatrial.schema import pair_by_name

BASE = """
create table p (
  id int not null,
  name varchar(20) character set utf8mb4 collate utf8mb4_bin not null default 'x' comment 'c',
  at timestamp not null default current_timestamp on update current_timestamp,
  n int,
  g int generated always as (n + 1) virtual,
  hid int,
  txt varchar(20),
  constraint p_n check (n > 0),
  primary key (id),
  key p_txt (txt), key p_two (n, hid)
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;
create table r (id int not null, a int) partition by range (id)
  (partition p0 values less than (10), partition p1 values less than (20));
create table k (id int auto_increment primary key, a int) auto_increment = 100;
create view v as select id from p;
create function f(a int) returns int deterministic return a;
create procedure pr() select 1;
create trigger tr before insert on p for each row set new.hid = 1;
create event ev on schedule every 1 day starts '2030-01-01 00:00:00' on completion not preserve do select 1;
"""
MODIFY = "alter table p modify name varchar(20) character set utf8mb4 collate utf8mb4_bin not null default 'x'"

Changes = list[tuple[str, dict[str, set[str]]]]
ALTERATIONS: Changes = [
    # what MODIFY forgets
    (MODIFY, {"column p.name": {"comment"}}),
    (f"{MODIFY} comment 'c'", {"column p.name": {"comment"}}),
    (
        "alter table p modify name varchar(20) character set utf8mb4 collate utf8mb4_bin not null comment 'c'",
        {"column p.name": {"default"}},
    ),
    (f"{MODIFY} comment 'c'", {"column p.name": {"default"}}),
    (f"{MODIFY.replace('not null ', '')} comment 'c'", {"column p.name": {"nullable"}}),
    (f"{MODIFY} comment 'c'", {"column p.name": {"nullable"}}),
    (f"{MODIFY.replace('utf8mb4_bin', 'utf8mb4_general_ci')} comment 'c'", {"column p.name": {"collation"}}),
    (f"{MODIFY} comment 'c'", {"column p.name": {"collation"}}),
    (
        f"{MODIFY.replace('utf8mb4_bin', 'latin1_bin').replace('utf8mb4', 'latin1')} comment 'c'",
        {"column p.name": {"charset", "collation"}},
    ),
    (f"{MODIFY} comment 'c'", {"column p.name": {"charset", "collation"}}),
    ("alter table p modify at timestamp not null default current_timestamp", {"column p.at": {"on_update"}}),
    (
        "alter table p drop column g, add column g int generated always as (n + 1) stored after n",
        {"column p.g": {"generated_kind"}},
    ),
    ("alter table p modify g int", {"column p.g": {"generated", "generated_kind"}}),
    ("alter table p modify hid int invisible", {"column p.hid": {"invisible"}}),
    ("alter table p modify hid int", {"column p.hid": {"invisible"}}),
    ("alter table k modify id int not null", {"column k.id": {"auto_increment"}}),
    # indexes
    ("alter table p drop key p_two, add key p_two (n, hid desc)", {"index p_two": {"definition"}}),
    ("alter table p drop key p_two, add key p_two (hid, n)", {"index p_two": {"columns", "definition"}}),
    ("alter table p drop key p_txt, add unique key p_txt (txt)", {"constraint p_txt": set(), "index p_txt": set()}),
    ("alter table p drop key p_txt, add fulltext key p_txt (txt)", {"constraint p_txt": set(), "index p_txt": set()}),
    ("alter table p drop key p_txt, add key p_txt (txt)", {"index p_txt": {"kind", "definition"}}),
    # the table
    ("alter table p comment = 'people'", {"table p": {"comment"}}),
    ("alter table p default collate = utf8mb4_general_ci", {"table p": {"collation"}}),
    ("alter table p default charset = latin1 collate = latin1_bin", {"table p": {"charset", "collation"}}),
    ("alter table p row_format = compressed", {"table p": {"row_format"}}),
    ("alter table p stats_persistent = 1", {"table p": {"options"}}),
    ("alter table k engine = MyISAM", {"table k": {"engine", "row_format"}}),
    ("alter table r reorganize partition p1 into (partition p1 values less than (30))", {"table r": {"partitions"}}),
    ("alter table r add partition (partition p2 values less than (40))", {"table r": {"partitions"}}),
    ("alter table r partition by hash (id) partitions 2", {"table r": {"partitions", "partition_key"}}),
    ("alter table r remove partitioning", {"table r": {"partitions", "partition_key"}}),
    # views, routines, triggers, events
    ("alter algorithm = merge view v as select id from p", {"view v": {"algorithm"}}),
    ("alter algorithm = merge sql security invoker view v as select id from p", {"view v": {"security"}}),
    (
        "alter algorithm = merge sql security invoker view v as select id from p where id > 0 with check option",
        {"view v": {"definition", "check_option"}},
    ),
    ("alter function f comment 'y'", {"function f": {"comment"}}),
    ("alter function f no sql", {"function f": {"data_access"}}),
    (
        "drop function f; create function f(a int) returns int no sql return a",
        {"function f": {"deterministic", "comment"}},
    ),
    ("drop function f; create function f(a bigint) returns int no sql return a", {"function f": {"parameters"}}),
    ("drop function f; create function f(a bigint) returns bigint no sql return a", {"function f": {"returns"}}),
    (
        "set sql_mode = 'ANSI_QUOTES,STRICT_TRANS_TABLES'; drop procedure pr; create procedure pr() select 1",
        {"procedure pr": {"sql_mode"}},
    ),
    (
        "set sql_mode = 'ANSI_QUOTES,STRICT_TRANS_TABLES'; drop trigger tr;"
        " create trigger tr before insert on p for each row set new.hid = 1",
        {"trigger tr": {"sql_mode"}},
    ),
    ("alter event ev on completion preserve", {"event ev": {"on_completion"}}),
    (
        "alter event ev on schedule every 1 day starts '2030-01-01 00:00:00' ends '2031-01-01 00:00:00'",
        {"event ev": {"ends"}},
    ),
    ("alter event ev comment 'daily'", {"event ev": {"comment"}}),
    ("alter event ev do select 2", {"event ev": {"definition"}}),
]  # fmt: skip


def unlike(database: MysqlDatabase, changes: Changes) -> list[tuple[str, dict[str, set[str]]]]:
    """The changes, one after another, that show something else than they should; with what they show."""
    before, found = database.inspect(), []
    for change, seen in changes:
        ran(database, change)
        after = database.inspect()
        if (shown := changed(before, after)) != seen:
            found.append((change, shown))
        before = after
    return found


def test_each_alteration_shows_its_attribute_only(db: MysqlDatabase) -> None:
    ran(db, BASE)
    assert unlike(db, ALTERATIONS) == []


def test_what_only_one_of_them_has(db: MysqlDatabase) -> None:
    ran(db, BASE)
    hidden = "ignored" if db.engine == "mariadb" else "invisible"
    changes: Changes = [(f"alter table p alter index p_txt {hidden}", {"index p_txt": {"visible", "definition"}})]
    if db.engine == "mysql":
        changes += [
            ("alter table p alter check p_n not enforced", {"constraint p_n": {"enforced"}}),
            ("alter table p drop key p_two, add key p_two ((n + 1), hid)", {"index p_two": {"columns", "definition"}}),
            ("alter table p add sp point srid 0, add sq point", {"column p.sp": set(), "column p.sq": set()}),
            ("alter table p modify sp point", {"column p.sp": {"srid"}}),
        ]
    else:
        changes += [
            ("create sequence s", {"sequence s": set()}),
            ("alter sequence s increment 5", {"sequence s": {"increment"}}),
            ("alter sequence s maxvalue 900", {"sequence s": {"maximum"}}),
            ("alter sequence s cache 7", {"sequence s": {"cache"}}),
            ("alter sequence s cycle", {"sequence s": {"cycle"}}),
            ("alter table k add system versioning", {"table k": {"system_versioned"}}),
            ("alter table k drop system versioning", {"table k": {"system_versioned"}}),
            ("alter table p add u uuid", {"column p.u": set()}),
        ]
    assert unlike(db, changes) == []


def test_definers_are_part_of_what_they_run_as(db: MysqlDatabase) -> None:
    user = f"'d_{db.name[-8:]}'@'localhost'"
    ran(db, BASE)
    before = db.inspect()
    db.execute(f"create user {user}")
    try:
        ran(
            db,
            f"alter definer = {user} view v as select id from p; drop trigger tr;"
            f" create definer = {user} trigger tr before insert on p for each row set new.hid = 1;"
            f" drop procedure pr; create definer = {user} procedure pr() select 1;"
            f" alter definer = {user} event ev comment '';",
        )
        found = changed(before, db.inspect())
        assert {
            label: found[label] & {"definer"} for label in ("view v", "trigger tr", "procedure pr", "event ev")
        } == {label: {"definer"} for label in ("view v", "trigger tr", "procedure pr", "event ev")}
    finally:
        db.execute(f"drop user {user}")


def test_where_auto_increment_stands(db: MysqlDatabase) -> None:
    ran(db, BASE)
    assert [(c.table.name, c.next_value) for c in db.take("A").counters] == [("k", 100)]
    ran(db, "alter table k auto_increment = 50")
    assert [(c.table.name, c.next_value) for c in db.take("B").counters] == [("k", 50)]


# --- values -----------------------------------------------------------------------------------------------------------

VALUES = [
    # name, type, one value, another; equal texts or comparisons of the server must not hide the difference
    ("fl", "float", "0.1", "0.10000001"),
    ("big", "bigint unsigned", "18446744073709551615", "18446744073709551614"),
    ("ts", "timestamp(6) null", "'2024-03-31 01:30:00.000001'", "'2024-03-31 01:30:00'"),
    ("zd", "date", "'0000-00-00'", "'2024-00-00'"),
    ("zt", "datetime", "'0000-00-00 00:00:00'", "null"),
    ("bi", "bit(12)", "b'000000000001'", "b'100000000001'"),
    ("en", "enum('a','A ','b') collate utf8mb4_bin", "'a'", "1 + 1"),
    ("ee", "enum('a','')", "''", "0"),  # the empty label, and the error value 0
    ("se", "set('p','q','r')", "'p,r'", "'p,q,r'"),
    ("ch", "char(5)", "'a'", "'A'"),
    ("bn", "binary(4)", "x'61'", "x'6120'"),
    ("vb", "varbinary(4)", "x'00'", "x'0000'"),
    ("m3", "varchar(9) character set utf8mb3", "'é'", "'e'"),
    ("m4", "varchar(9) character set utf8mb4", "_utf8mb4 x'f09f9880'", "_utf8mb4 x'f09f9881'"),
    ("l1", "varchar(9) character set latin1", "'é'", "'É'"),
    ("cs", "varchar(9) character set utf8mb4 collate utf8mb4_general_ci", "'straße'", "'strase'"),
    ("de", "decimal(30,10)", "0.0000000001", "0.0000000002"),
    ("ti", "time(3)", "'-00:00:00.001'", "'00:00:00.001'"),
    ("sp", "point", "st_geomfromtext('POINT(1 2)')", "st_geomfromtext('POINT(2 1)')"),
    ("js", "json", """'{"a": [1, 2]}'""", """'{"a": [2, 1]}'"""),
]  # fmt: skip
MARIADB_VALUES = [
    ("j1", "json", """'{"a": 1, "b": 2}'""", """'{"b": 2, "a": 1}'"""),  # text, and in MySQL's binary form the same
    ("j2", "json", """'{"a": 1, "a": 1}'""", """'{"a": 1}'"""),
    ("j3", "json", "'1.0'", "'1.00'"),
    ("uu", "uuid", "'123e4567-e89b-12d3-a456-426655440000'", "'123e4567-e89b-12d3-a456-426655440001'"),
    ("i6", "inet6", "'::1'", "'::ffff:0.0.0.1'"),
    ("i4", "inet4", "'10.0.0.1'", "'10.0.0.2'"),
    ("un", "uuid", "null", "'123e4567-e89b-12d3-a456-426655440000'"),  # a row with NULL in it is hashed too
    ("i0", "inet6", "'::1'", "null"),
]
VECTORS = {
    "mariadb": (11, 7, ("ve", "vector(2)", "vec_fromtext('[1,0.1234567]')", "vec_fromtext('[1,0.1234568]')")),
    "mysql": (9, 0, ("ve", "vector(2)", "string_to_vector('[1,0.1234567]')", "string_to_vector('[1,0.1234569]')")),
}
MYSQL_VALUES = [
    ("j3", "json", "'1.0'", "'1'"),
    ("s4", "point", "st_pointfromtext('POINT(1 2)', 4326)", "st_pointfromtext('POINT(1 2)', 0)"),
    ("s5", "polygon srid 4326", "null", "st_geomfromtext('POLYGON((0 0,0 4,4 4,0 0))', 4326)"),
]


@pytest.mark.parametrize("how", ["file", "hashed", "plain"])
def test_each_kind_of_value_alone(db: MysqlDatabase, how: str) -> None:
    copying(db, how)
    values = VALUES + (MARIADB_VALUES if db.engine == "mariadb" else MYSQL_VALUES)
    *since, vector = VECTORS[db.engine]
    if [int(part) for part in db.version.split(".")[:2]] >= since:
        values = [*values, vector]
    lax = ("set sql_mode = ''",)
    columns = ", ".join(f"{name} {type_}" for name, type_, *_ in values)
    ran(db, f"create table t (id int primary key, {columns}) character set utf8mb4", session=lax)
    given = ", ".join(one for _, _, one, _ in values)
    ran(db, f"insert into t values (1, {given}), (2, {given})", session=lax)
    before = db.take("A")
    found = []
    for name, _, one, other in values:
        ran(db, f"update t set {name} = {other} where id = 2", session=lax)
        after = db.take("B")
        groups = [g for d in differences(db, before, after).values() for g in d.changed]
        shown = [(g.columns, g.count, g.rows[0].key, g.rows[0].old != g.rows[0].new) for g in groups]
        if shown != [((name,), 1, ("2",), True)]:
            found.append((name, shown))
        ran(db, f"update t set {name} = {one} where id = 2", session=lax)
    assert found == []
    assert differences(db, before, db.take("B")) == {}


def test_the_zone_of_a_session_moves_no_stored_instant(db: MysqlDatabase) -> None:
    ran(
        db,
        "create table t (id int primary key, at timestamp null, dt datetime);"
        "insert into t values (1, '2024-01-01 12:00:00', null)",
    )
    before = db.take("A")
    ran(db, "update t set at = '2024-01-01 07:00:00'", session=("set time_zone = '-05:00'",))
    assert differences(db, before, db.take("B")) == {}
    ran(db, "update t set at = '2024-01-01 12:00:00'", session=("set time_zone = '-05:00'",))
    (group,) = differences(db, before, db.take("C"))["t"].changed
    assert (group.rows[0].old, group.rows[0].new) == (("2024-01-01 12:00:00",), ("2024-01-01 17:00:00",))


def test_labels_moved_in_an_enum_are_no_other_values_and_a_set_reads_in_their_order(db: MysqlDatabase) -> None:
    ran(
        db,
        "create table t (id int primary key, e enum('a','b'), s set('p','q'));"
        "insert into t values (1, 'a', 'p'), (2, 'b', 'p,q')",
    )
    before = db.take("A")
    ran(db, "alter table t modify e enum('z','b','a'), modify s set('q','p')")
    after = db.take("B")
    assert changed(before.schema, after.schema) == {"column t.e": {"type"}, "column t.s": {"type"}}
    (group,) = differences(db, before, after)["t"].changed  # a set's labels are given in the order of the type
    assert (group.columns, group.count) == (("s",), 1)
    assert (group.rows[0].key, group.rows[0].old, group.rows[0].new) == (("2",), ("p,q",), ("q,p",))
    ran(db, "alter table t modify e int; alter table t modify e enum('a','b','z')")  # by index: a is z, b is b
    (group,) = [g for g in differences(db, before, db.take("C"))["t"].changed if "e" in g.columns]
    assert [r.key for r in group.rows] == [("1",)]


def test_text_moved_between_character_sets_is_the_same_text(db: MysqlDatabase) -> None:
    ran(
        db,
        "create table t (id int primary key, x varchar(20) character set utf8mb3);"
        "insert into t values (1, 'naïve é'), (2, '')",
    )
    before = db.take("A")
    for charset in ("utf8mb4", "latin1", "utf8mb3"):
        ran(db, f"alter table t modify x varchar(20) character set {charset}")
        after = db.take("B")
        assert differences(db, before, after) == {}, charset
    ran(db, "alter table t modify x varbinary(60)")
    (group,) = differences(db, before, db.take("C"))["t"].changed
    assert group.rows[-1].new == ("\\x6e61c3af766520c3a9",) or group.rows[0].new == ("\\x6e61c3af766520c3a9",)


PERIODS = [
    "id int primary key, v int, w varchar(9)",
    "id int primary key, v int, w varchar(9), s timestamp(6) generated always as row start,"
    " e timestamp(6) generated always as row end, period for system_time (s, e)",
    "id int primary key, v int, w varchar(9), s bigint unsigned generated always as row start,"
    " e bigint unsigned generated always as row end, period for system_time (s, e)",
    "id int, v int, w varchar(9)",  # no key
]


@pytest.mark.engines("mariadb")  # MySQL has no system versioning
@pytest.mark.parametrize("columns", PERIODS, ids=["hidden", "declared", "transactions", "keyless"])
def test_old_versions_of_rows_are_compared_too(db: MysqlDatabase, columns: str) -> None:
    made = f"create table t ({columns}) with system versioning"
    history = "update t set v = 7 where id = 1; update t set v = 1 where id = 1; delete from t where id = 3"
    ran(db, f"{made}; insert into t (id, v, w) values (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c'); {history}")
    before = db.take("A")
    all_three = (3, [("1",), ("1",), ("3",)], False)
    assert before.table(TableRef("", "t")).history == 3  # type: ignore[union-attr]

    def gone(changes: str) -> tuple[int, list[tuple[str | None, ...]], bool]:
        """How many old versions, of which rows; and whether the rows of now differ."""
        ran(db, changes, session=("set system_versioning_alter_history = keep",))
        now = db.take("B")
        pairs = pair_by_name(before, now)
        lost = db.diff_of_history(before, now, pairs)
        keys = [r.key for d in lost for r in d.lost] + [r.key for d in lost for g in d.changed for r in g.rows]
        count = sum(d.lost_count + d.changed_count for d in lost)
        assert all(not d.added_count for d in lost)
        return count, sorted(k[:1] for k in keys), bool(db.diff(before, now, pairs))

    # A step writes versions of its own; those that stood before stay.
    assert gone("update t set w = 'z' where id = 2") == (0, [], True)
    assert gone(
        "update t set w = 'b' where id = 2; insert into t (id, v) values (9, 9); delete from t where id = 9"
    ) == (0, [], False)
    assert gone("alter table t add column x int; alter table t drop column x") == (0, [], False)
    assert gone("delete history from t before system_time '2000-01-01 00:00:00'") == (0, [], False)
    checkpoint = db.checkpoint()
    ran(db, "alter table t modify w varchar(1)", session=("set system_versioning_alter_history = keep",))
    assert gone("alter table t modify w varchar(9)") == (0, [], False)
    assert gone("alter table t drop column v, add column v int after id; update t set v = id") == all_three
    db.restore(checkpoint)
    if "bigint" not in columns:  # the ids of transactions cannot be given
        assert gone("select 1") == (0, [], False)
    ran(db, "delete history from t")
    assert gone("select 1") == all_three
    assert gone("drop table t")[0] == 3


@pytest.mark.engines("mariadb")
def test_versioned_tables_are_compared_by_what_holds_now(db: MysqlDatabase) -> None:
    ran(db, "create table t (id int primary key, v int) with system versioning; insert into t values (1, 1), (2, 2)")
    before = db.take("A")
    ran(db, "update t set v = 9 where id = 2")
    (group,) = differences(db, before, db.take("B"))["t"].changed
    assert (group.columns, group.rows[0].old, group.rows[0].new) == (("v",), ("2",), ("9",))
    ran(db, "update t set v = 2 where id = 2")
    assert differences(db, before, db.take("C")) == {}


INTRODUCED = [
    ("procedure p()", "select _binary'abc'", "select 'abc'"),
    ("procedure p()", "select _utf8mb4'x', 'é'", "select 'x', 'é'"),
    ("procedure p()", "select _latin1'é', \"it's ?\" -- it's \n", "select _latin1'è', \"it's ?\" -- it's \n"),
    ("trigger p before insert on t for each row", "set new.a = _binary 'abc'", "set new.a = 'abc'"),
    ("view p as", "select _binary'abc' as b, 'é' as l from t", "select 'abc' as b, 'é' as l from t"),
    ("view p as", "select concat(a, 'x') as l from t", "select concat(a, 'y') as l from t"),
]


def test_character_sets_of_literals_are_part_of_what_is_compared(db: MysqlDatabase) -> None:
    """information_schema leaves introducers out; a body that a session with other settings makes again is the same."""
    ran(db, "create table t (a varchar(20) character set utf8mb4)")
    for head, body, other in INTRODUCED:
        kind = head.split()[0]
        ran(db, f"create {head} {body}")
        before = db.inspect()
        for names in ("utf8mb4 collate utf8mb4_bin", "latin1"):
            ran(db, f"drop {kind} p")
            _sent_as_utf8(db, f"create {head} {body}", names)
            assert changed(before, db.inspect()) == {}, (body, names)
        ran(db, f"drop {kind} p; create {head} {other}")
        assert changed(before, db.inspect()) == {f"{kind} p": {"definition"}}, body
        ran(db, f"drop {kind} p")


def _sent_as_utf8(db: MysqlDatabase, statement: str, names: str) -> None:
    """As a client does that sends this text in the character set that it said."""
    with contextlib.closing(db._site.connect(db.name)) as raw:
        raw.query(f"set names {names}")
        raw.encoding = "latin1" if names == "latin1" else "utf8"
        raw.cursor().execute(statement)
