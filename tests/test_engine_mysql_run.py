"""MySQL and MariaDB: scripts run as tools run them, errors are told apart, checkpoints bring everything back."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from pathlib import Path

import pytest
from mysql_fixtures import changed, copying, differences, ran
from test_engine_mysql_schema import BASE
from test_sources_alembic import project, revision, running

from seatrial.engines._mysql_link import Link
from seatrial.engines._mysql_sampler import unseen
from seatrial.engines.mysql import MysqlDatabase
from seatrial.errors import DatabaseError
from seatrial.model import ErrorKind, Observation, Observed, Script, TableRef, Transaction
from seatrial.servers._mysql_target import Target
from seatrial.sources import find


def test_a_step_records_its_statements_and_the_one_that_was_refused(db: MysqlDatabase) -> None:
    step = db.run(
        Script(
            text="create table t (id int primary key);\n\ninsert into t values (1), (2);\ninsert into t values (1);",
            first_line=5,
        )
    )
    assert [(s.sql, s.rows) for s in step.statements][1] == ("insert into t values (1), (2)", 2)
    assert step.error is not None
    assert (step.error.code, step.error.kind, step.error.line) == ("1062", ErrorKind.MIGRATION, 8)
    assert "SQLSTATE 23000" in step.error.message
    assert step.error.statement == "insert into t values (1)"


def test_half_applied_ddl_stays_and_rows_of_the_transaction_go(db: MysqlDatabase) -> None:
    step = db.run(
        Script(text="create table t (id int primary key); insert into t values (1); insert into t values (1)")
    )
    assert step.error is not None
    assert db.query("select id from t") == [
        ("1",)
    ]  # CREATE TABLE has ended the transaction, so the row is there to stay
    step = db.run(Script(text="insert into t values (2); insert into t values (2)"))
    assert step.error is not None
    assert db.query("select id from t") == [("1",)]
    step = db.run(Script(text="insert into t values (5); insert into t values (5)", transaction=Transaction.STATEMENTS))
    assert step.error is not None
    assert db.query("select id from t") == [("1",), ("5",)]


def test_each_step_has_a_fresh_session(db: MysqlDatabase) -> None:
    ran(db, "set @x = 1; create temporary table tmp (a int); set sql_mode = ''")
    step = db.run(Script(text="select * from tmp"))
    assert step.error is not None and step.error.code == "1146"
    ran(db, "create table t (a int not null, b varchar(2), z varchar(9))")
    assert db.run(Script(text="insert into t values (1, 'abc', @@time_zone)")).error is not None
    ran(db, "insert into t values (1, 'ab', @@time_zone)", session=("set time_zone = '+02:00'",))
    ran(db, "insert into t values (1, 'ab', @@time_zone)")
    assert db.query("select z from t") == [("+02:00",), ("+00:00",)]


def test_delimiters_and_bodies(db: MysqlDatabase) -> None:
    ran(
        db,
        "create table t (a int);\nDELIMITER //\ncreate procedure p() begin insert into t values (1); insert into t values (2); end//\nDELIMITER ;\ncall p();",  # noqa: E501
    )
    assert db.query("select count(*) from t") == [("2",)]


@pytest.mark.parametrize(
    "statement",
    [
        "select * from t into outfile '/nowhere/x'",
        "select a from t limit 1 into dumpfile '/nowhere/x'",
        "load data infile '/etc/passwd' into table t",
        "load data local infile '/etc/passwd' into table t",
        "update t set a = load_file('/etc/passwd')",
        "create table x (a int) data directory = '/nowhere'",
        "drop database mysql",
        "create database seatrial_other",
        "use mysql",
        "install plugin x soname 'x.so'",
        "insert into mysql.user select * from mysql.user",
        "drop table performance_schema.x",
    ],
)
def test_what_reaches_outside_is_refused_unless_trusted(db: MysqlDatabase, statement: str) -> None:
    ran(db, "create table t (a int)")
    step = db.run(Script(text=statement, transaction=Transaction.STATEMENTS))
    assert step.error is not None
    assert step.error.kind is ErrorKind.ENVIRONMENT
    assert "trust" in step.error.message


def test_ordinary_statements_are_not_taken_for_reaching_outside(db: MysqlDatabase) -> None:
    ran(
        db,
        "create table t (a int, o varchar(99)); insert into t values (1, 'into outfile a, load_file(b)'); alter database character set utf8mb4;"  # noqa: E501
        f"use {db.name}; select t.a from t; update {db.name}.t set a = 2; create table `mysql` (user int); select `mysql`.user from `mysql`",  # noqa: E501
    )


def test_connections_that_die_are_not_the_migrations_fault(db: MysqlDatabase) -> None:
    step = db.run(Script(text="kill connection_id()"))
    assert step.error is not None
    assert step.error.kind is ErrorKind.ENVIRONMENT


LOCK_BASE = """
create table p (id int primary key);
create table t (id int primary key, v int, w varchar(9), key t_w (w)) character set utf8mb4;
create table c (id int primary key, pid int, constraint c_p foreign key (pid) references p (id) on delete cascade);
create table g (id int, v int) partition by range (id) (partition a values less than (9), partition b values less than (99));
create table s (id int, v int);
create table m (id int) engine=myisam;
"""  # noqa: E501
INSTANT, ONLINE, READERS = "INSTANT", "INPLACE, LOCK=NONE", "INPLACE, LOCK=SHARED"
COPIED, ALONE = "COPY, LOCK=SHARED", "EXCLUSIVE"


LOCKS: list[tuple[str, str, str | dict[str, str]]] = [
    ("", "alter table t add column x int", INSTANT),
    ("", "alter table t add index t_v (v)", ONLINE),
    ("", "alter table {db}.t add index t_v (v);", ONLINE),
    ("", "create index t_v on t (v)", ONLINE),
    ("", "create index t_v on t (v) algorithm=copy lock=exclusive", "COPY, LOCK=EXCLUSIVE"),
    ("", "drop index t_w on t", ONLINE),
    ("", "alter table t modify v bigint", COPIED),
    ("", "alter table t modify v int not null", ONLINE),
    ("sql_mode = ''", "alter table t modify v int not null", {"mysql": COPIED, "mariadb": ONLINE}),
    ("sql_mode = 'ANSI_QUOTES'", 'alter table "t" add index "t_v" ("v")', ONLINE),
    ("", "alter table t convert to character set latin1", COPIED),
    ("", "alter table t rename column v to x", INSTANT),
    ("", "alter table t rename index t_w to t_x", {"mysql": ONLINE, "mariadb": INSTANT}),
    ("", "alter table t rename to t2", INSTANT),
    ("", "alter table t add column x int, rename {db}.t2", INSTANT),
    ("", "alter table t algorithm=inplace, lock=shared, add column x int", {"mysql": READERS, "mariadb": INSTANT}),
    ("", "alter table t add column x int, algorithm=copy", COPIED),
    ("", "alter table t add index t_v (v), lock=exclusive", "INPLACE, LOCK=EXCLUSIVE"),
    ("old_alter_table = 1", "alter table t add column x int", COPIED),
    ("", "alter table t add constraint t_p foreign key (v) references p (id)", COPIED),
    ("foreign_key_checks = 0", "alter table t add constraint t_p foreign key (v) references p (id)", ONLINE),
    ("foreign_key_checks = 0", "alter table t add constraint t_p foreign key (v) references t (id)", ONLINE),
    ("", "alter table c drop foreign key c_p", {"mysql": ONLINE, "mariadb": INSTANT}),
    ("", "alter table c add column x int", INSTANT),
    ("", "optimize table t", ONLINE),
    ("", "alter table g drop partition b", {"mysql": ONLINE}),
    ("", "alter table g add partition (partition d values less than (999))", {"mysql": ONLINE}),
    ("", "alter table g remove partitioning", {"mysql": COPIED}),
    ("", "alter table s partition by hash (id) partitions 2", {"mysql": COPIED}),
    ("", "alter table g truncate partition b", ALONE),
    ("", "alter table g rebuild partition b", {"mysql": READERS}),
    ("", "drop table {db}.t", ALONE),
    ("", "truncate t", ALONE),
    ("", "create trigger tr before insert on t for each row set new.v = 1", ALONE),
]
"""Session's setting, statement, and what it is told to lock; an engine that is not named was not asked."""


def told(db: MysqlDatabase, session: str, statement: str) -> Observation:
    """What is said beforehand of a statement that a session with this setting would run."""
    with contextlib.closing(db.watch()) as watch, contextlib.closing(db._site.connect(db.name)) as raw:
        cursor = raw.cursor()
        cursor.execute(f"set {session}" if session else "do 0")
        assert watch.question is not None
        cursor.execute(watch.question.query)
        watch.before(statement.format(db=db.name), "", cursor.fetchone()[0])
        return watch.after()


def copies_online(db: MysqlDatabase) -> bool:
    """From MariaDB 11.2 on a copy lets others write, too (MDEV-16329), and no setting asks for one."""
    return db.engine == "mariadb" and tuple(map(int, re.findall(r"\d+", db.version)[:2])) >= (11, 2)


def readers(db: MysqlDatabase, mode: str) -> str:
    return COPIED if copies_online(db) and mode == "COPY, LOCK=NONE" else mode


def test_locks_are_the_servers_own_answer(db: MysqlDatabase) -> None:
    ran(db, LOCK_BASE)
    db._unsampled = "one of the two ways is enough here"
    for session, statement, modes in LOCKS:
        mode = modes if isinstance(modes, str) else modes.get(db.engine)
        if session.startswith("old_alter_table") and copies_online(db):
            continue
        found = told(db, session, statement)
        modes_told = [readers(db, k.mode) for k in found.locks]
        assert (modes_told, found.answered) == ([mode] if mode else [], bool(mode)), statement
        assert bool(found.rewrites) is bool(mode and "COPY" in mode)
    assert {k.table for k in told(db, "", "alter table {db}.t force").locks} == {"t"}
    assert db.query("show tables") == [(t,) for t in ("c", "g", "m", "p", "s", "t")]
    assert db.query(f"show tables in {db.name}_shadow") == [("seatrial_marker",)]


def test_what_a_step_locks_is_asked_under_its_own_settings(db: MysqlDatabase) -> None:
    ran(db, LOCK_BASE)
    db._unsampled = "one of the two ways is enough here"
    change = "alter table t modify v int not null; alter table t modify v int null;"
    step = ran(db, f"{change} set sql_mode = ''; {change}")
    modes = [k.mode for s in step.statements for k in s.locks]
    lax = COPIED if db.engine == "mysql" else ONLINE
    assert modes == [ONLINE, ONLINE, lax, ONLINE]
    assert [s.rewrites for s in step.statements] == [(), (), (), ("t",) if lax == COPIED else (), ()]
    assert all(k.held_ms and k.held_ms > 0 for s in step.statements for k in s.locks)


@pytest.mark.parametrize(
    ("statement", "observed", "locked"),
    [
        ("update t set v = 1", Observed.NOT_OBSERVED, []),
        ("create table n (id int primary key); update t set v = 1", Observed.NOT_OBSERVED, []),
        ("create table n (id int primary key)", Observed.SAMPLED, []),
        ("alter table t add column x int; update t set v = 1", Observed.SAMPLED, ["t"]),
        ("optimize table m", Observed.NOT_OBSERVED, []),
        ("create temporary table t (id int); alter table t add x int; drop table t", Observed.SAMPLED, []),
        ("create temporary table t (id int); drop temporary table t; alter table t add x int", Observed.SAMPLED, ["t"]),
        ("create temporary table m (a int); drop table if exists m; drop table m", Observed.SAMPLED, ["m"]),
        ("rename table t to t2, {db}.p to p2", Observed.SAMPLED, ["t", "p", "t2", "p2"]),
        ("alter table g exchange partition b with table s", Observed.SAMPLED, ["g", "s"]),
    ],
)
def test_no_lock_is_told_only_where_the_server_answered(
    db: MysqlDatabase, statement: str, observed: Observed, locked: list[str]
) -> None:
    ran(db, LOCK_BASE)
    db._unsampled = "not where a busy machine would decide what is seen"
    step = ran(db, statement.format(db=db.name))
    assert step.locks_observed is observed
    assert [k.table for s in step.statements for k in s.locks] == locked


SLOW = "update t set v = v + sleep(0.4) where id = 1"  # a row at a time


def test_metadata_locks_are_sampled_where_the_server_shows_them(db: MysqlDatabase) -> None:
    ran(
        db,
        "create table p (id int primary key); create table t (id int primary key, v int); insert into t values (1, 1)",
    )
    step = ran(db, f"{SLOW}; insert into p select id + 9 from t; create table n select sleep(0.4) from t")
    slow, short, filled = [[(k.table, k.mode) for k in s.locks] for s in step.statements]
    assert {table for table, _ in short} <= {"p", "t"}  # none, but on a machine so busy that even this one is seen
    if db.engine == "mariadb":
        assert (slow, filled, step.locks_observed) == ([], [], Observed.NOT_OBSERVED)
        assert "not observed (MariaDB does not show what a statement holds)" in step.locks_note
        return
    assert step.locks_observed is Observed.SAMPLED
    assert "sampled from performance_schema" in step.locks_note
    assert (slow, filled) == ([("t", "SHARED_WRITE")], [("n", "EXCLUSIVE"), ("t", "SHARED_READ")])
    (lock,) = step.statements[0].locks
    assert lock.observed is Observed.SAMPLED
    assert lock.held_ms is not None and 0 <= lock.held_ms <= step.statements[0].duration_ms


@pytest.mark.engines("mysql")  # metadata locks are not sampled on MariaDB
def test_a_user_without_performance_schema_is_told_so(db: MysqlDatabase) -> None:
    user = f"w_{db.name[-8:]}"
    db.execute(f"create user {user}", f"grant all on `{db.name}`.* to {user}")
    connect = dataclasses.replace(Target.parse(db.url), user=user).connect
    link = Link(connect, db.name, db.dialect.session, db.dialect.wished)
    try:
        assert unseen(link) == "this user may not read performance_schema"
        assert unseen(db._link) == ""
        db.execute("update performance_schema.setup_instruments set enabled = 'NO' where name like '%sql/mdl'")
        assert unseen(db._link) == "the instrument wait/lock/metadata/sql/mdl is off"
    finally:
        db.execute("update performance_schema.setup_instruments set enabled = 'YES' where name like '%sql/mdl'")
        link.close()
        db.execute(f"drop user {user}")


def test_a_table_that_the_step_itself_keeps_locked_is_not_waited_for(db: MysqlDatabase) -> None:
    ran(db, "create table t (id int primary key, v int)")
    db._unsampled = "the twin alone"
    step = ran(db, "lock tables t write; alter table t add index t_v (v); unlock tables; alter table t drop index t_v")
    assert [len(s.locks) for s in step.statements] == [0, 0, 0, 1]


def test_locks_of_a_step_in_another_process(db: MysqlDatabase, tmp_path: Path) -> None:
    """Alembic's: each statement is announced, so the twin is asked while its table is as the statement finds it."""
    up = (
        "op.add_column('t', sa.Column('c', sa.Integer))\n    op.create_index('t_c', 't', ['c'])\n"
        f"    op.execute({SLOW!r})\n    op.alter_column('t', 'c', type_=sa.BigInteger, existing_type=sa.Integer)"
    )
    ran(db, "create table t (id int primary key, v int); insert into t values (1, 1)")
    folder = project(tmp_path, revision("a", up=up, downgrade="op.drop_column('t', 'c')"))
    source = find(folder)
    db.bookkeeping = source.bookkeeping
    (migration,) = source.discover()
    with running(source, db) as runner:
        steps = [runner.up(migration), runner.down(migration), runner.up(migration)]
    assert [s.error for s in steps] == [None, None, None]
    for step in (steps[0], steps[2]):
        added, index, slow, widened = step.statements
        asked = [
            next(k for k in s.locks if not k.mode.isupper() or "," in k.mode or k.mode == "INSTANT")
            for s in (added, index, widened)
        ]
        assert [(k.table, readers(db, k.mode)) for k in asked] == [
            ("t", "INSTANT"),
            ("t", "INPLACE, LOCK=NONE"),
            ("t", "COPY, LOCK=SHARED"),
        ]
        assert [k.held_ms for k in asked] == [s.duration_ms for s in (added, index, widened)]
        assert widened.rewrites == ("t",)
        assert [k.mode for k in slow.locks] == (["SHARED_WRITE"] if db.engine == "mysql" else [])
        assert step.locks_observed is Observed.SAMPLED
        assert "empty twin" in step.locks_note
    assert "alembic_version" not in {k.table for s in steps for x in s.statements for k in x.locks}


# --- copies of the whole ----------------------------------------------------------------------------------------------

ROWS = """
insert into u (email, n, t) values ('a', 'x', 'words'), ('b', null, null), ('c', 'y', 'more words');
delete from u where id = 2;
alter table u auto_increment = 77;
insert into o values (1, 1, 5), (2, null, null);
create table schema_migrations (version varchar(9) primary key);
insert into schema_migrations values ('0001');
create view a_view as select id from v;
create trigger o_first before insert on o for each row precedes o_tr set new.w = new.w + 1;
"""


@pytest.mark.parametrize("how", ["file", "hashed"])
def test_restore_brings_back_everything(db: MysqlDatabase, how: str) -> None:
    copying(db, how)
    ran(db, BASE + ROWS)
    db.bookkeeping = frozenset({"schema_migrations"})
    shown = {t: db.query(f"show create table {t}") for t in ("u", "o", "schema_migrations")}
    before = db.take("A")
    checkpoint = db.checkpoint()
    for bring_back in (db.restore, db.reset):
        ran(
            db,
            "set foreign_key_checks = 0; drop table u; drop view v; create table v (a int); drop procedure p; drop event ev;"  # noqa: E501
            "alter table o add column extra int, drop key o_w; create view u as select 1 as one; create table more (a int);"  # noqa: E501
            "drop trigger o_tr; insert into schema_migrations values ('0002'); alter database character set latin1;"
            "drop function f; create procedure other() select 1;",
        )
        assert not bring_back(checkpoint)
        after = db.take("B")
        assert changed(before.schema, after.schema) == {}
        assert differences(db, before, after) == {}
        assert (after.counters, [t.checksum for t in after.tables]) == (
            before.counters,
            [t.checksum for t in before.tables],
        )
        assert {t: db.query(f"show create table {t}") for t in shown} == shown
        assert db.query("select version from schema_migrations") == [("0001",)]
    ran(db, "insert into u (email) values ('new')")
    assert db.query("select id from u where email = 'new'") == [("77",)]
    assert db.run(Script(text="insert into o values (9, 999, 1)")).error is not None
    db.discard(checkpoint)


def test_going_back_makes_only_those_tables_anew_that_were_touched(db: MysqlDatabase) -> None:
    """Found: what had been made anew once was made anew each time from then on."""
    ran(db, "create table a (id int primary key); create table b (id int primary key); insert into a values (1)")
    checkpoint = db.checkpoint()
    ran(db, "insert into a values (2); insert into b values (2)")
    db.reset(checkpoint)
    of = "INNODB_TABLES" if db.engine == "mysql" else "INNODB_SYS_TABLES"
    asked = f"select TABLE_ID from information_schema.{of} where NAME like '{db.name}/_' order by NAME"
    before = db.query(asked)
    ran(db, "insert into a values (2)")
    db.restore(checkpoint)
    after = db.query(asked)
    assert (after[0] != before[0], after[1] == before[1], len(after)) == (True, True, 2)
    assert db.query("select count(*) from a") == [("1",)]


BESIDE = {
    "mysql": [
        "analyze table t update histogram on v with 4 buckets",
        "alter table t autoextend_size = 4m",
        "create table mf (id int primary key, `a)` int, constraint k foreign key (`a)`) references mf (id) match full)",
    ],
    "mariadb": [
        "alter database comment 'shop'",
        "create table h (a date, b date, period for p (a, b))",
        "set sql_mode = 'oracle';\ndelimiter //\ncreate package k as procedure a; end//\n"
        "create package body k as procedure a as begin null; end; end//\n",
    ],
}


def knows_libraries(db: MysqlDatabase) -> bool:
    return db.engine == "mysql" and tuple(map(int, re.findall(r"\d+", db.version)[:2])) >= (9, 2)


def test_restore_brings_back_what_stands_beside_tables(db: MysqlDatabase) -> None:
    user = f"'b_{db.name[-8:]}'@'localhost'"
    db.execute(f"create user {user}")
    try:
        ran(
            db,
            "create table t (id int primary key, v int); insert into t values (1, 1);"
            "create procedure p(in a varchar(9)) begin declare b text; select 1; end;"  # keep theirs
            "create trigger g before insert on t for each row begin declare b text; end",
        )
        ran(db, f"alter database character set latin1; grant execute on procedure p to {user}")
        for text in BESIDE[db.engine]:
            ran(db, text)
        if knows_libraries(db):
            db.execute("create library l comment 'two' language javascript as $$ export function f() { return 2 } $$")
        before, checkpoint = db.inspect(), db.checkpoint()
        assert knows_libraries(db) == ("library l" in {key.label for key in before})
        ran(db, "drop procedure p; drop table t; alter database character set utf8mb4; create table new (a int)")
        if db.engine == "mysql":
            ran(db, "drop table mf")
        if knows_libraries(db):
            db.execute("drop library l")
        if db.engine == "mariadb":
            ran(db, "alter database comment ''; drop table h; set sql_mode = 'oracle'; drop package k")
        db.restore(checkpoint)
        assert changed(before, db.inspect()) == {}
    finally:
        db.execute(f"drop user {user}")


def test_what_was_not_touched_stays_in_place(db: MysqlDatabase) -> None:
    ran(db, "create table a (id int primary key); create table b (id int primary key); insert into a values (1)")
    checkpoint = db.checkpoint()
    ran(db, "insert into b values (1)")
    done: list[str] = []
    execute = db._link.execute
    db._link.execute = lambda sql, **how: (done.append(sql), execute(sql, **how))[1]  # type: ignore[method-assign]
    db.restore(checkpoint)
    assert [s for s in done if s.startswith("DROP TABLE")] == ["DROP TABLE `b`"]
    assert db.query("select count(*) from b") == [("0",)]


# --- rows of ours, integrity ------------------------------------------------------------------------------------------


def test_filling_fires_no_trigger_and_leaves_triggers_exactly_as_they_were(db: MysqlDatabase) -> None:
    ran(db, BASE + "create trigger o_two before insert on o for each row follows o_tr set new.w = 7;")
    before = db.inspect()
    with db.filling():
        db.fill(TableRef("", "o"), ["id", "uid", "w"], [[1, 999, 3], [2, None, "4"]])
        with pytest.raises(DatabaseError, match="Duplicate") as refused:
            db.fill(TableRef("", "o"), ["id", "w"], [[3, 3], [1, 3]])
        assert "INSERT" not in str(refused.value)
        db.amend(TableRef("", "o"), ["id"], ["w"], [[2, 5]])
    assert db.query("select id, uid, w from o order by id") == [("1", "999", "3"), ("2", None, "5")]
    assert changed(before, db.inspect()) == {}


def test_binary_spatial_and_bit_values_go_in_as_they_come_out(db: MysqlDatabase) -> None:
    ran(db, "create table t (id int primary key, b varbinary(9), g point, i bit(4), j json, d double)")
    with db.filling():
        db.fill(
            TableRef("", "t"),
            ["id", "b", "g", "i", "j", "d"],
            [[1, b"\x00\xff", "POINT(1 2)", "0101", '{"a": 1}', 0.1]],
        )
    before = db.take("A")
    ran(db, "delete from t")
    (row,) = differences(db, before, db.take("B"))["t"].lost
    with db.filling():
        db.fill(TableRef("", "t"), ["id", "b", "g", "i", "j", "d"], [row.values])
    assert differences(db, before, db.take("C")) == {}


def test_integrity_of_rows_that_no_constraint_holds(db: MysqlDatabase) -> None:
    ran(
        db,
        "create table p (id int primary key); create table c (id int primary key, pid int, u varchar(9) not null, n int,"  # noqa: E501
        " constraint c_p foreign key (pid) references p (id), unique key c_u (u), constraint c_n check (n > 0)) character set utf8mb4;"  # noqa: E501
        "insert into p values (1); insert into c values (1, 1, 'a', 1), (2, null, 'b', null);",
    )
    before = db.take("A")
    assert all(i.count == 0 and i.observed for i in before.integrity)
    (required,) = [i for i in before.integrity if i.rule == "nulls-in-required"]  # of the keys it is no question
    assert (required.object, required.sql.startswith("-- none: `c`.`u` is NOT NULL")) == ("column c.u", True)
    ran(
        db,
        "alter table c drop key c_u; alter table c drop constraint c_n; alter table c modify u varchar(9) null;"
        "set foreign_key_checks = 0; insert into c values (3, 99, 'A', 5), (4, null, null, -1)",
    )
    after = {i.object: i for i in db.take("B", since=before, also=before.schema).integrity}
    assert after["constraint c_p"].keys == (("3",),)
    assert (after["constraint c_u"].rule, after["constraint c_u"].keys) == ("duplicate-keys", (("1",), ("3",)))
    assert (after["constraint c_n"].keys, after["constraint c_n"].declared_before) == ((("4",),), True)
    assert (after["column c.u"].rule, after["column c.u"].keys) == ("nulls-in-required", (("4",),))
    assert db.query(after["constraint c_p"].sql) == [("3",)]


def test_counters_say_what_comes_next(db: MysqlDatabase) -> None:
    ran(
        db,
        "create table t (id int auto_increment primary key); insert into t values (5); delete from t; alter table t auto_increment = 9",  # noqa: E501
    )
    (counter,) = db.take("A").counters
    assert (counter.column, counter.mechanism, counter.next_value, counter.highest) == ("id", "auto_increment", 9, None)
    ran(db, "insert into t values ()")
    (counter,) = db.take("B").counters
    assert (counter.next_value, counter.highest) == (10, 9)


@pytest.mark.engines("mariadb")  # MySQL has no sequences
def test_a_sequence_behind_a_default_is_a_counter(db: MysqlDatabase) -> None:
    ran(
        db,
        "create sequence `s``1` nocache; create sequence c;"
        "create table a (id int primary key default nextval(`s``1`), v int);"
        "create table b (id int primary key default nextval(c), v int);",
    )
    ran(db, "insert into a (v) values (1), (2); insert into a values (9, 9); insert into b values (4, 4)")
    known = {c.table.name: (c.mechanism, c.source, c.next_value, c.highest) for c in db.take("A").counters}
    assert known == {"a": ("sequence", "sequence s`1", 3, 9), "b": ("sequence", "sequence c", 1, 4)}
    db.advance_counters()
    ran(db, "insert into a (v) values (3); insert into b (v) values (3)")
    assert db.query("select max(id) from a union all select max(id) from b") == [("10",), ("5",)]
    now = {c.table.name: c.next_value for c in db.take("B").counters}
    assert now == {"a": 11, "b": None}  # the server keeps a cache of c's values, and nobody can see where it stands


@pytest.mark.engines("mariadb")
def test_a_restored_aria_table_is_what_it_was(db: MysqlDatabase) -> None:
    """Found: SHOW CREATE spells a default out, so a table that was made from it had one option more."""
    ran(db, "CREATE TABLE bag (id int) ENGINE=Aria; CREATE TABLE plain (id int) ENGINE=Aria PAGE_CHECKSUM=0;")
    before = db.inspect()
    kept = db.checkpoint()
    ran(db, "DROP TABLE bag; DROP TABLE plain;")
    db.restore(kept)
    assert changed(before, db.inspect()) == {}
    ran(db, "ALTER TABLE bag PAGE_CHECKSUM=0;")
    assert changed(before, db.inspect()) == {"table bag": {"options"}}
