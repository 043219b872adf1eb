"""Scripts as tools send them, seeds, generated rows, counters and integrity, on a real server."""

from __future__ import annotations

import pytest
from pg_fixtures import ran

from seatrial.engines import _postgresql_integrity
from seatrial.engines.postgresql import PostgresqlDatabase
from seatrial.errors import DatabaseError
from seatrial.model import Counter, Disturbance, ErrorKind, Integrity, Observed, Script, Transaction

ONE, STATEMENTS, STRING = Transaction.ONE, Transaction.STATEMENTS, Transaction.STRING


def run(pg: PostgresqlDatabase, text: str, how: Transaction = ONE, **more: object):
    return pg.run(Script(text=text, transaction=how, **more))  # type: ignore[arg-type]


# --- scripts ---


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("set statement_timeout = '50ms'; select pg_sleep(9)", "57014", Disturbance.LIMIT),
        (
            "do $$ begin raise 'canceling statement due to user request' using errcode = '57014'; end $$",
            "57014",
            Disturbance.LIMIT,
        ),
        ("do $$ begin raise exception 'no' using errcode = '55P03'; end $$", "55P03", Disturbance.LOCK),
        ("do $$ begin raise exception 'no' using errcode = '57P01'; end $$", "57P01", Disturbance.CONNECTION),
        ("select 1 / 0", "22012", None),
    ],
)
def test_what_disturbed_a_statement(pg: PostgresqlDatabase, text: str, code: str, expected: object) -> None:
    error = run(pg, text).error
    assert error is not None and (error.code, pg.disturbance(error)) == (code, expected)


def test_the_lock_of_a_dropped_table_is_told(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (id int primary key); create table u (id int references t)")
    step = ran(pg, "drop table u; drop table t;")
    assert [[(k.table, k.mode) for k in s.locks] for s in step.statements] == [
        [("t", "AccessExclusiveLock"), ("u", "AccessExclusiveLock")],  # its foreign key's triggers stand on t
        [],
    ]


def test_locks_and_rewrites_are_exact(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (id int primary key, v int); create table u (id int primary key)")
    step = ran(pg, "update t set v = 1;\nalter table t alter v type bigint;\nalter table u add x int;\nselect 1;")
    assert (step.locks_observed, step.in_transaction) == (Observed.EXACT, True)
    assert [[(k.table, k.mode) for k in s.locks] for s in step.statements] == [
        [("t", "RowExclusiveLock")],
        [("t", "AccessExclusiveLock"), ("t", "ShareLock")],  # its primary key is built anew
        [("u", "AccessExclusiveLock")],
        [],
    ]
    held = [lock.held_ms for s in step.statements for lock in s.locks]
    assert all(h is not None for h in held) and held == sorted(held, reverse=True)
    assert [s.rewrites for s in step.statements] == [(), ("t",), (), ()]
    assert [s.rows for s in step.statements] == [0, None, None, None]


def test_one_transaction_is_taken_back_as_a_whole(pg: PostgresqlDatabase) -> None:
    step = run(pg, "create table t (x int);\n\ninsert into\n  nowhere values (1);", first_line=10)
    assert step.error is not None
    assert (step.error.code, step.error.line, step.error.kind) == ("42P01", 13, ErrorKind.MIGRATION)
    assert step.error.statement == "insert into\n  nowhere values (1)" and len(step.statements) == 2
    assert not pg.inspect().tables()


def test_the_epilogue_is_part_of_the_transaction(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table versions (v text primary key)")
    step = ran(pg, "create table t (x int)", epilogue=("insert into versions values ('1')",))
    assert len(step.statements) == 1 and pg.query("select v from versions") == [("1",)]
    failed = run(pg, "create table u (x int)", epilogue=("insert into versions values ('1')",))
    assert failed.error is not None and failed.error.code == "23505"
    assert [t.name for t in pg.inspect().tables()] == ["t", "versions"]


def test_statements_stand_for_themselves(pg: PostgresqlDatabase) -> None:
    step = run(
        pg, "create table t (x int); create index concurrently on t (x); insert into nope values (1)", STATEMENTS
    )
    assert step.error is not None and not step.in_transaction
    assert step.locks_observed is Observed.NOT_OBSERVED and step.locks_note
    assert "t" in [t.name for t in pg.inspect().tables()]


def test_a_string_of_several_statements_is_one_transaction(pg: PostgresqlDatabase) -> None:
    step = run(pg, "create table t (x int); insert into t values (1); insert into nope values (1)", STRING)
    assert step.error is not None and step.locks_observed is Observed.EXACT
    assert not pg.inspect().tables()
    concurrent = run(pg, "create table t (x int); create index concurrently on t (x)", STRING)
    assert concurrent.error is not None and concurrent.error.code == "25001"


def test_a_string_of_one_statement_stands_for_itself(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (x int)")
    ran(pg, "-- migrate:up transaction:false\ncreate index concurrently t_x on t (x);\n", transaction=STRING)
    ran(pg, "vacuum t", transaction=STRING)


@pytest.mark.parametrize("how", [ONE, STRING])
def test_after_a_syntax_error_nothing_has_run(pg: PostgresqlDatabase, how: Transaction) -> None:
    text = (
        "begin; create table t (x int); commit;\nselect 1;\nselekt 1"
        if how is STRING
        else "create table t (x int);\nselekt 1"
    )
    step = run(pg, text, how)
    assert step.error is not None and step.error.code == "42601"
    assert step.error.line == text.count("\n") + 1
    assert not pg.inspect().tables()


def test_session_settings_come_first_and_their_refusal_is_no_fault_of_the_migrations(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t as select current_setting('timezone') as z", session=("set timezone = 'Asia/Tokyo'",))
    assert pg.query("select z from t") == [("Asia/Tokyo",)]
    step = run(pg, "select 1", session=("set nonsense = 1",))
    assert step.error is not None and step.error.kind is ErrorKind.ENVIRONMENT


def test_every_script_has_a_fresh_connection(pg: PostgresqlDatabase) -> None:
    ran(pg, "set search_path = pg_catalog; create temp table t (x int)")
    ran(pg, "create temp table t (x int)")
    assert pg.query("select current_schema()") == [("public",)]


def test_set_transaction_may_come_second(pg: PostgresqlDatabase) -> None:
    ran(pg, "set statement_timeout = 0; set transaction isolation level serializable; select 1")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("grant select on t to nobody_here", ErrorKind.ENVIRONMENT),
        ("set role nobody_here", ErrorKind.ENVIRONMENT),
        ("create extension no_such_extension", ErrorKind.ENVIRONMENT),
        ("set local lock_timeout = 1; select pg_sleep(0)", None),
        ("insert into t values (1), (1)", ErrorKind.MIGRATION),
        ("do $$ begin raise exception 'no way back'; end $$", ErrorKind.MIGRATION),
        ("do $$ begin raise exception 'lost' using errcode = '40P01'; end $$", ErrorKind.ENVIRONMENT),
        ("do $$ begin raise exception 'full' using errcode = '53100'; end $$", ErrorKind.ENVIRONMENT),
        ("select no_such_function()", ErrorKind.MIGRATION),
        ("select pg_terminate_backend(pg_backend_pid())", ErrorKind.ENVIRONMENT),
    ],
)
def test_whose_fault_an_error_is(pg: PostgresqlDatabase, text: str, kind: ErrorKind | None) -> None:
    pg.trust = True
    ran(pg, "create table t (x int primary key)")
    step = run(pg, text)
    assert (step.error.kind if step.error else None) is kind
    if step.error and step.error.code == "23505":
        assert "DETAIL: Key (x)=(1) already exists." in step.error.message


@pytest.mark.parametrize(
    "text",
    [
        "copy t from program 'id'",
        "copy t to '/tmp/seatrial-must-not-be'",
        "copy (select ')' from t) to program 'cat'",
        "do $$ begin execute 'x'; perform lo_import('/etc/passwd'); end $$",
        "do $$ begin copy t from program 'id'; end $$",
        "do 'begin execute ''copy t to program ''''cat'''' ''; end'",
        r"do E'begin copy t to program \'cat\'; end'",
        "do 'begin '\n'copy t to program ''cat''; end' language plpgsql",
        "do $$ begin execute format('copy %I to program %L', 't', 'cat'); end $$",
        "do $$ begin execute 'copy ' || quote_ident('t') || ' to program ''cat'''; end $$",
        "do $$ declare q text := 'copy t to program ''cat'''; begin execute q; end $$",
        "do $$ begin if true then copy t from '/etc/passwd'; end if; end $$",
        "create function f() returns bigint language sql as 'select lo_import(''/etc/passwd'')::bigint'",
        "create function f() returns void language plpgsql as 'begin copy t to program ''cat''; end'",
        "select query_to_xml('select pg_read_file(''/etc/passwd'')', true, true, '')",
        "select * from dblink('dbname=postgres', 'select 1') as x(a int)",
        "create server s foreign data wrapper w",
        "create database other",
        "drop database postgres",
        "alter system set work_mem = '1MB'",
        "select pg_read_file('/etc/passwd')",
        "create subscription s connection 'host=x' publication p",
    ],
)
def test_what_reaches_outside_is_refused(pg: PostgresqlDatabase, text: str) -> None:
    ran(pg, "create table t (x text)")
    step = run(pg, f"select 1;\n{text}")
    assert step.error is not None and step.error.kind is ErrorKind.ENVIRONMENT
    assert "trust = true" in step.error.message and step.error.line == 2 and step.statements == ()
    error = pg.load(text)
    assert error is not None and error.kind is ErrorKind.SEED


def test_what_only_looks_like_it_is_not_refused(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (program text, dblink text)")
    ran(pg, "insert into t values ('copy t from program', 'lo_import(1)'); alter table t rename program to server")
    ran(pg, f"alter database \"{pg.name}\" set work_mem = '5MB'")
    ran(pg, "do $$ begin execute format('alter database %I set work_mem = ''6MB''', current_database()); end $$")
    ran(pg, "do $$ begin raise notice 'Copy rows from %', 'program'; execute 'create table server (x int)'; end $$")
    ran(pg, "do 'begin insert into t values (''copy t from program'', ''load x''); end'")
    ran(pg, "insert into t values ($$Create database entries$$, $$copy t to program 'x'$$)")
    ran(pg, "create function f() returns text language plpgsql as 'begin return ''load data''; end'")


def test_execute_and_query(pg: PostgresqlDatabase) -> None:
    pg.execute("create table t (at timestamptz, b bytea, f float8, ok bool)")
    pg.execute("insert into t values ('2024-01-01 00:00+02', '\\x00ff', 0.1, true)")
    assert pg.query("select * from t") == [("2023-12-31 22:00:00+00", "\\x00ff", "0.1", "t")]
    with pytest.raises(DatabaseError) as refused:
        pg.execute("select nonsense")
    assert refused.value.code == "42703"


# --- seeds ---

DUMP = r"""
--
-- PostgreSQL database dump
--
\restrict abc
SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.notes (id integer NOT NULL, body text);
CREATE SEQUENCE public.notes_id_seq START WITH 1;
ALTER TABLE ONLY public.notes ALTER COLUMN id SET DEFAULT nextval('public.notes_id_seq'::regclass);
COPY public.notes (id, body) FROM stdin;
1	plain
7	tab\there; and 'quote' \\ -- no comment
9	\N
\.
ALTER TABLE ONLY public.notes ADD CONSTRAINT notes_pkey PRIMARY KEY (id);
\unrestrict abc
"""


def test_a_plain_dump_is_a_seed(pg: PostgresqlDatabase) -> None:
    assert pg.load(DUMP) is None
    assert pg.query("select id, body from notes order by id") == [
        ("1", "plain"),
        ("7", "tab\there; and 'quote' \\ -- no comment"),
        ("9", None),
    ]
    assert pg.query("select nextval('notes_id_seq')") == [("10",)]  # moved past what was loaded


def test_a_seed_may_have_its_own_transaction_and_says_where_it_fails(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (id int primary key)")
    assert pg.load("begin;\ninsert into t values (1);\ncommit;\n") is None
    error = pg.load("insert into t values (2);\ninsert into t values (3);\ninsert into t\n values (1);\n")
    assert error is not None
    assert (error.kind, error.code, error.line) == (ErrorKind.SEED, "23505", 3)
    copied = pg.load("\nCOPY t (id) FROM stdin;\n5\nx\n\\.\n")
    assert copied is not None and copied.line == 2 and "line 2" in copied.message


def test_seeds_are_loaded_under_the_defaults(pg: PostgresqlDatabase) -> None:
    ran(
        pg,
        "create table t (at timestamptz); create function f() returns trigger language plpgsql as 'begin return "
        "null; end'",
    )
    assert pg.load("set timezone = 'Asia/Tokyo'; insert into t values ('2024-01-01 00:00')") is None
    assert pg.query("select at from t") == [("2023-12-31 15:00:00+00",)]


# --- rows of ours ---


def test_filling_goes_past_triggers_and_foreign_keys(pg: PostgresqlDatabase) -> None:
    ran(
        pg,
        "create table p (id int primary key); create table t (id int generated always as identity, p int "
        "references p, b bytea,"
        ' "100%" numeric); create function no() returns trigger language plpgsql as $$ begin raise exception '
        "'no'; end $$;"
        "create trigger no before insert on t for each row execute function no()",
    )
    table = pg.take("A").tables[1].table
    with pg.filling():
        pg.fill(table, ("id", "p", "b", "100%"), [(5, 99, b"\x00\xff", "1.50"), (6, None, None, None)])
        with pytest.raises(DatabaseError):
            pg.fill(table, ("id", "100%"), [(7, "1"), (8, "not a number")])
        pg.amend(table, ("id",), ("100%",), [(6, "2.5")])
    pg.advance_counters()
    assert pg.query('select id, p, b, "100%" from t order by id') == [
        ("5", "99", "\\x00ff", "1.50"),
        ("6", None, None, "2.5"),
    ]
    assert pg.query("select nextval('t_id_seq')") == [("7",)]


def test_filling_that_breaks_off_leaves_nothing(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table t (id int)")
    table = pg.take("A").tables[0].table
    with pytest.raises(RuntimeError), pg.filling():
        pg.fill(table, ("id",), [(1,)])
        raise RuntimeError
    assert pg.query("select count(*) from t") == [("0",)]


# --- counters ---


def test_counters(pg: PostgresqlDatabase) -> None:
    ran(
        pg,
        "create table s (id serial primary key); create table i (id bigint generated always as identity "
        "(increment 5) primary key);"
        "create sequence shared; create table x (id int default nextval('shared')); create table y (id int "
        "default nextval('shared'));"
        "create table down (id int default nextval('s_id_seq'), n text default 'a' || nextval('shared'));"
        "create sequence back increment -1; create table z (id int default nextval('back'));"
        "create table parts (id serial, k int) partition by list (k); create table part1 partition of parts for "
        "values in (1);"
        "insert into s values (default), (default), (40); insert into i values (default), (default); insert "
        "into z values (-9);"
        "insert into parts (k) values (1), (1)",
    )
    found = {(c.table.name, c.column): c for c in pg.take("A").counters}
    assert {k: (c.mechanism, c.source, c.next_value, c.increment, c.highest) for k, c in found.items()} == {
        ("s", "id"): ("sequence", "sequence s_id_seq", 3, 1, 40),
        ("i", "id"): ("identity", "sequence i_id_seq", 11, 5, 6),
        ("x", "id"): ("sequence", "sequence shared", 1, 1, None),
        ("y", "id"): ("sequence", "sequence shared", 1, 1, None),
        ("down", "id"): ("sequence", "sequence s_id_seq", 3, 1, None),
        ("down", "n"): ("sequence", "sequence shared", 1, 1, None),
        ("z", "id"): ("sequence", "sequence back", -1, -1, -9),
        ("parts", "id"): ("sequence", "sequence parts_id_seq", 3, 1, 2),
    }
    pg.advance_counters()
    assert {k: c.next_value for k, c in ((k, c) for k, c in found.items())}[("s", "id")] == 3
    after = {(c.table.name, c.column): c.next_value for c in pg.take("B").counters}
    assert (after["s", "id"], after["z", "id"], after["i", "id"]) == (41, -10, 11)


def test_a_counter_moves_while_its_table_is_untouched(pg: PostgresqlDatabase) -> None:
    ran(pg, "create table s (id serial primary key); insert into s values (default)")
    a = pg.take("A")
    ran(pg, "select setval('s_id_seq', 50, false)")
    (counter,) = pg.take("B", since=a).counters
    assert counter == Counter(
        table=a.tables[0].table, column="id", mechanism="sequence", source="sequence s_id_seq", next_value=50, highest=1
    )


# --- integrity ---


def broken(
    pg: PostgresqlDatabase, *, before: bool = False
) -> dict[str, tuple[str, int, tuple[tuple[str | None, ...], ...]]]:
    snapshot = pg.take("now")
    assert all(i.observed for i in snapshot.integrity), [i.why_not for i in snapshot.integrity if not i.observed]
    return {i.object: (i.rule, i.count, i.keys) for i in snapshot.integrity if i.count}


def unenforced(pg: PostgresqlDatabase, text: str) -> None:
    ran(pg, text, session=("set session_replication_role = replica",))


def test_orphans(pg: PostgresqlDatabase) -> None:
    ran(
        pg,
        "create table p (a int, b int, primary key (a, b));"
        "create table s (id int primary key, a int, b int, constraint s_fk foreign key (a, b) references p);"
        "create table f (id int primary key, a int, b int, constraint f_fk foreign key (a, b) references p match full);"
        "insert into p values (1, 1)",
    )
    rows = "(1, 1, 1), (2, 1, 2), (3, null, 5), (4, null, null)"
    unenforced(pg, f"insert into s values {rows}; insert into f values {rows}")
    assert broken(pg) == {
        "constraint s_fk": ("orphaned-rows", 1, (("2",),)),
        "constraint f_fk": ("orphaned-rows", 2, (("2",), ("3",))),
    }


def test_orphans_in_partitions_and_beside_inheritance(pg: PostgresqlDatabase) -> None:
    ran(
        pg,
        "create table p (id int primary key); create table kid (id int primary key) inherits (p); insert into "
        "kid values (5);"
        "create table t (id int, k int, p int references p) partition by list (k); create table t1 partition of "
        "t for values in (1);"
        "alter table t add primary key (id, k)",
    )
    unenforced(pg, "insert into t values (1, 1, 5)")
    assert broken(pg) == {"constraint t_p_fkey": ("orphaned-rows", 1, (("1", "1"),))}


def test_checks_that_were_never_validated(pg: PostgresqlDatabase) -> None:
    ran(
        pg,
        "create domain amount as int; create table t (id int primary key, n int, v amount); insert into t "
        "values (1, -5, -7), (2, 3, 4);"
        "alter table t add constraint pos check (n > 0) not valid;"
        "alter domain amount add constraint pos check (value > 0 and 'VALUE' <> '') not valid",
    )
    assert broken(pg) == {
        "constraint pos": ("check-violated", 1, (("1",),)),
        "domain amount": ("check-violated", 1, (("1",),)),
    }


def test_duplicates_under_an_invalid_index(pg: PostgresqlDatabase) -> None:
    ran(
        pg,
        "create table t (id int primary key, u text, ok bool); insert into t values "
        "(1,'A',true),(2,'a',true),(3,'a',false),(4,null,true)",
    )
    run(pg, "create unique index concurrently t_u on t (lower(u)) where ok", STRING)
    assert broken(pg) == {"index t_u": ("duplicate-keys", 2, (("1",), ("2",)))}


def test_constraints_of_the_schema_before_are_judged_too(pg: PostgresqlDatabase) -> None:
    ran(
        pg,
        "create table p (id int primary key); create table t (id int primary key, p int constraint t_fk "
        "references p, u int not null"
        " constraint t_u unique, n int constraint t_n check (n > 0)); insert into p values (1); insert into t "
        "values (1, 1, 1, 1)",
    )
    a = pg.take("A")
    ran(pg, "alter table t drop constraint t_fk, drop constraint t_u, drop constraint t_n, alter u drop not null")
    ran(pg, "insert into t values (2, 9, 1, -1), (3, null, null, null)")
    found = [i for i in pg.take("B", since=a, also=a.schema).integrity if i.declared_before]
    assert {(i.rule, i.object): i.keys for i in found} == {
        ("orphaned-rows", "constraint t_fk"): (("2",),),
        ("duplicate-keys", "constraint t_u"): (("1",), ("2",)),
        ("check-violated", "constraint t_n"): (("2",),),
        ("nulls-in-required", "column t.u"): (("3",),),
    }


def test_columns_that_are_not_null_are_looked_at(pg: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the catalog says of a row, the row need not say: a restore or a broken page may have brought it."""
    ran(pg, "create table t (id int primary key, a int, \"B\" text not null); insert into t values (1, null, '')")
    ran(pg, "update pg_attribute set attnotnull = true where attrelid = 't'::regclass and attname = 'a'")

    def nulls() -> dict[str, tuple[int, object, bool, str]]:
        found = [i for i in pg.take("A").integrity if i.rule == "nulls-in-required"]
        return {i.object: (i.count, i.keys, i.observed, i.sql) for i in found}

    asked = nulls()
    assert asked.keys() == {"column t.a", "column t.B"}  # that a primary key holds no NULL is no question of its own
    assert asked["column t.a"] == (1, (("1",),), True, "SELECT id\nFROM t\nWHERE a IS NULL")
    assert asked["column t.B"] == (0, (), True, 'SELECT id\nFROM t\nWHERE "B" IS NULL')
    assert pg.query(asked["column t.B"][3]) == []
    monkeypatch.setattr(_postgresql_integrity, "_TRUSTED", 0)
    assert [seen for _, _, seen, _ in nulls().values()] == [False, False]


def test_nulls_not_distinct_are_duplicates(pg: PostgresqlDatabase) -> None:
    ran(
        pg,
        "create table t (id int primary key, u int constraint t_u unique nulls not distinct); insert into t "
        "values (1, null)",
    )
    a = pg.take("A")
    ran(pg, "alter table t drop constraint t_u; insert into t values (2, null)")
    found = [i for i in pg.take("B", also=a.schema).integrity if i.count]
    assert [(i.rule, i.keys) for i in found] == [("duplicate-keys", (("1",), ("2",)))]


def test_the_query_shown_is_the_query_run(pg: PostgresqlDatabase) -> None:
    ran(pg, 'create table p (id int primary key); create table "Order" (id int primary key, "user" int references p)')
    unenforced(pg, 'insert into "Order" values (1, 5)')
    (found,) = [i for i in pg.take("A").integrity if i.count]
    assert isinstance(found, Integrity) and found.references == "p(id)" and found.columns == ("user",)
    assert pg.query(found.sql) == [("1",)]
    assert found.sql.splitlines()[0] == "SELECT c.id" and 'FROM "Order" c' in found.sql


def test_the_projects_event_triggers_do_not_see_us(pg: PostgresqlDatabase) -> None:
    ran(
        pg,
        "create table log (what text); create function note() returns event_trigger language plpgsql as"
        " $$ begin insert into log values (tg_tag); end $$; create event trigger note on ddl_command_end "
        "execute function note()",
    )
    a = pg.take("A")
    ran(pg, "create table t (id int primary key); insert into t values (1)")
    pg.take("B", since=a)
    pg.release("A")
    assert pg.query("select what from log where what not like 'CREATE TABLE%'") == []
    assert pg.query("select count(*) from log") == [("1",)]


def test_unique_indexes_of_large_tables_are_believed_and_said_so(pg: PostgresqlDatabase) -> None:
    pg.execute("create table t (id int primary key)", "insert into t select generate_series(1, 100001)")
    found = [i for i in pg.take("A").integrity if i.rule == "duplicate-keys"]
    assert [(i.observed, i.object, "above 100,000 rows" in i.why_not) for i in found] == [
        (False, "constraint t_pkey", True)
    ]
