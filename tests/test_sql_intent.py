"""What a step asks for, in every dialect, statement by statement."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sql_schemas import key, ref, schema

from seatrial.sql import split
from seatrial.sql.intent import is_nondeterministic, read, statement_kind, touched_tables
from seatrial.sql.tokens import words

ALL = ("sqlite", "postgresql", "mysql", "mariadb")
PG = ("postgresql",)
MY = ("mysql", "mariadb")
SHOP = {
    "users": "id name email status updated_at",
    "orders": "id user_id total status",
    "items": "id order_id sku",
    "audit": "id what at",
}


def intent(script, dialect, tables=SHOP, objects=(), **attributes):
    return read([s.text for s in split(script, dialect)], dialect, schema(tables, objects, **attributes))


def named(found, tables=SHOP):
    return " ".join(t for t in tables if found.names_table(ref(t)))


def mentioned(found, table, tables=SHOP):
    return " ".join(c for c in tables[table].split() if found.mentions_column(ref(table), c))


NAMED = [
    (ALL, "select 1", ""),
    (ALL, "select count(*) from users", "users"),
    (ALL, "select * from users u, orders o where u.id = o.user_id", "users orders"),
    (ALL, "select * from users u join orders o on o.user_id = u.id left join items on true", "users orders items"),
    (ALL, "update users set status = 'orders'", "users"),
    (MY, "prepare p from 'update users set status = ?'; execute p using @s", "users"),
    (("mariadb",), "execute immediate 'delete from items where id = ?' using 1", "items"),
    (ALL, "update users set status = (select max(status) from orders)", "users orders"),
    (ALL, "delete from orders where id in (select order_id from items)", "orders items"),
    (ALL, "insert into audit (what) select name from users", "users audit"),
    (ALL, "insert into audit (what) values ('users')", "audit"),
    (ALL, "with audit as (select * from users) select * from audit", "users"),
    (
        ALL,
        "with users as (select id from users) delete from orders where user_id in (select id from users)",
        "users orders",
    ),
    (ALL, "with recursive items (id) as (select 1 union all select id + 1 from items) select * from items", ""),
    (ALL, "drop table items", "items"),
    (ALL, "create table t (id int references users (id))", "users"),
    (ALL, "alter table items add column x int", "items"),
    (ALL, "create index i on users (email)", "users"),
    (ALL, "create unique index i on users (email)", "users"),
    (ALL, "create view v as select id from users", "users"),
    (ALL, "select extract(year from status) from orders", "orders"),
    (ALL, "select substring(name from 1 for 2) from users", "users"),
    (ALL, "select a from (select id as a from users) x", "users"),
    (ALL, "select * from users where name is distinct from items", "users"),
    (ALL, "-- drop table users\nselect 'update orders' /* delete from items */", ""),
    (PG, "truncate users, orders cascade", "users orders"),
    (PG, "truncate table only users restart identity", "users"),
    (PG, "lock table users in exclusive mode", "users"),
    (PG, "delete from orders using users u where u.id = orders.user_id", "users orders"),
    (PG, "update orders set status = u.status from users u where u.id = user_id", "users orders"),
    (PG, "merge into orders o using users u on u.id = o.user_id when matched then delete", "users orders"),
    (PG, "copy users (id, name) from stdin", "users"),
    (PG, "copy (select * from users) to stdout", "users"),
    (PG, "comment on table users is 'x'", "users"),
    (PG, "comment on column users.email is 'orders'", "users"),
    (PG, "grant select on users, orders to public", "users orders"),
    (PG, "revoke update (email) on users from public", "users"),
    (PG, "create policy p on users for update to public using (id = 1)", "users"),
    (PG, "create trigger t before update on users for each row execute function f()", "users"),
    (PG, "create table x (like users including all)", "users"),
    (PG, "create table x as table users", "users"),
    (PG, "select * into x from users", "users"),
    (PG, "alter table only users add constraint c check (id > 0)", "users"),
    (PG, "alter table public.users add column x int", "users"),
    (PG, 'alter table "users" add column x int', "users"),
    (PG, "alter table USERS add column x int", "users"),
    (PG, 'alter table "USERS" add column x int', ""),
    (PG, "alter table elsewhere.users add column x int", ""),
    (PG, "do $$ begin update users set status = 'x'; end $$", "users"),
    (
        PG,
        "do $$ begin if exists (select 1 from orders) then alter table users drop column email; end if; end $$",
        "users orders",
    ),
    (
        PG,
        "do $$ declare r record; begin for r in select * from users loop delete from items; end loop; end $$",
        "users items",
    ),
    (PG, "do $$ begin execute 'delete from items'; end $$", "items"),
    (PG, "create function f() returns int language sql as 'select count(*)::int from users'", "users"),
    (
        PG,
        "create function f() returns void language plpgsql as $$ begin delete from items; end $$; select f()",
        "items",
    ),
    (PG, "with x as (delete from orders returning *) insert into audit (what) select status from x", "orders audit"),
    (PG, "refresh materialized view users", ""),
    (PG, "select setval(pg_get_serial_sequence('users', 'id'), (select max(id) from users))", "users"),
    (MY, "alter table `users` add column x int, add index (x)", "users"),
    (MY, "rename table users to u1, orders to o1", "users orders"),
    (MY, "update users u join orders o on o.user_id = u.id set u.status = o.status", "users orders"),
    (MY, "delete o from orders o join users u on u.id = o.user_id", "users orders"),
    (MY, "delete o, i from orders o join items i on i.order_id = o.id", "orders items"),
    (MY, "insert ignore into audit set what = 'x'", "audit"),
    (MY, "replace into audit (id) values (1)", "audit"),
    (MY, "select replace(name, 'a', 'b') from users", "users"),
    (MY, "load data infile 'x' into table audit", "audit"),
    (MY, "create table t like users", "users"),
    (
        MY,
        "create trigger t after insert on users for each row insert into audit (what) values (new.name)",
        "users audit",
    ),
    (MY, "truncate users", "users"),
    (MY, "alter table users exchange partition p with table orders", "users orders"),
    (MY, "drop index i on users", "users"),
    (
        MY,
        "create table t (u int, foreign key (u) references users (id) on delete set null on update cascade)",
        "users",
    ),
    (("sqlite",), "update or ignore users set status = 'x'", "users"),
    (("sqlite",), "insert or replace into audit values (1, 2, 3)", "audit"),
    (("sqlite",), "alter table 'users' add column x", "users"),
    (("sqlite",), "alter table [users] add column x", "users"),
    (("sqlite",), "alter table main.Users add column x", "users"),
    (
        ("sqlite",),
        "create trigger t after delete on users begin delete from items; update orders set status = 1; end",
        "users orders items",
    ),
]


@pytest.mark.parametrize(("dialect", "script", "expected"), [(d, s, e) for ds, s, e in NAMED for d in ds])
def test_names_table(dialect, script, expected):
    found = intent(script, dialect)
    assert named(found) == expected
    assert not found.opaque


def test_a_routine_in_the_schema_names_what_its_body_names():
    body = "CREATE FUNCTION public.f(integer) RETURNS void LANGUAGE plpgsql AS $x$ begin delete from items; end $x$"
    objects = [("function", "", "f(integer)", {"definition": body})]
    assert named(intent("select f(1)", "postgresql", objects=objects)) == "items"
    assert named(intent("select 1", "postgresql", objects=objects)) == ""
    found = intent("do $$ begin perform f(1); end $$", "postgresql", objects=objects)
    assert found.deletes_from(ref("items")) == ("do $$ begin perform f(1); end $$",)


def test_a_procedure_in_the_schema():
    head = "CREATE DEFINER=`root`@`localhost` PROCEDURE `p`(a INT)\nBEGIN\n"
    body = head + "  DELETE FROM items WHERE id = a;\n  UPDATE users SET status = 1;\nEND"
    objects = [("procedure", "", "p", {"definition": body})]
    found = intent("call p(1)", "mysql", objects=objects)
    assert named(found) == "users items"
    assert mentioned(found, "users") == "status"
    assert not found.opaque


def test_a_view_that_is_written_through():
    objects = [("view", "", "active", {"definition": "SELECT id, email FROM users WHERE status = 'on'"})]
    assert named(intent("update active set email = 'x'", "postgresql", objects=objects)) == "users"
    assert named(intent("select * from active", "postgresql", objects=objects)) == ""


def test_partitions_name_their_parent_and_share_its_rows():
    tables = {"hits": "at n", "hits_24": "at n", "hits_25": "at n"}
    kin = {"hits_24": {"inherits": ("hits",)}, "hits_25": {"inherits": ("hits",)}}

    def names(script):
        return named(intent(script, "postgresql", tables, **kin), tables)

    assert names("update hits_24 set n = 1") == "hits hits_24"
    assert names("update hits set n = 1") == "hits hits_24 hits_25"
    assert names("create table hits_26 partition of hits default") == "hits"
    assert names("drop table hits_25") == "hits hits_25"
    assert mentioned(intent("update hits set n = 1", "postgresql", tables, **kin), "hits_24", tables) == "n"


MENTIONED = [
    (ALL, "update users set status = lower(name)", "users", "name status"),
    (ALL, "update users set status = 1 where email is null", "users", "email status"),
    (ALL, "delete from users", "users", ""),
    (ALL, "delete from users where id = 1", "users", "id"),
    (ALL, "insert into users (id, name) values (1, 'email')", "users", "id name"),
    (ALL, "insert into users values (1, 2, 3, 4, 5)", "users", "id name email status updated_at"),
    (ALL, "insert into audit (what) select name from users", "users", "name"),
    (ALL, "insert into audit (what) select u.name from users u", "users", "name"),
    (ALL, "create table x as select * from users", "users", "id name email status updated_at"),
    (ALL, "update users set name = 'x' where exists (select * from orders)", "users", "name"),
    (ALL, "update users set name = 'x' where exists (select * from orders)", "orders", "id user_id total status"),
    (ALL, "update users set name = (select o.status from orders o where o.id = 1)", "users", "name"),
    (ALL, "select count(*) from users", "users", ""),
    (ALL, "select u.* from users u, orders", "orders", ""),
    (ALL, "alter table users drop column email", "users", "email"),
    (ALL, "alter table users rename column email to mail", "users", "email"),
    (ALL, "create index i on users (email)", "users", "email"),
    (ALL, "update orders set total = 1 -- status", "orders", "total"),
    (PG, "alter table users alter column email type text, alter status set default 'x'", "users", "email status"),
    (PG, "comment on column users.email is 'x'", "users", "email"),
    (PG, "truncate users", "users", ""),
    (PG, 'update users set "email" = 1', "users", "email"),
    (PG, 'update users set "EMAIL" = 1', "users", ""),
    (PG, "do $$ begin update users set email = 1; end $$", "users", "email"),
    (
        PG,
        "insert into users (id) values (1) on conflict (id) do update set status = excluded.status",
        "users",
        "id status",
    ),
    (PG, "update users set (name, email) = (select status, 'x' from orders limit 1)", "users", "name email"),
    (ALL, "update orders set status = 1 where user_id in (select id from users)", "users", "id"),
    (
        ALL,
        "update orders set status = 1 where user_id in (select id from users where email = 'x')",
        "users",
        "id email",
    ),
    (ALL, "delete from users where id in (select user_id from orders where status = 'x')", "users", "id"),
    (ALL, "insert into audit (what) select status from orders", "audit", "what"),
    (ALL, "insert into orders (id, status) select id, name from users", "users", "id name"),
    (PG, "update orders set status = name from users where users.id = user_id", "users", "id name"),
    (
        MY,
        "create trigger t after update on orders for each row update users set email = new.status",
        "users",
        "email status",
    ),
    (
        PG,
        "merge into users using orders o on o.user_id = users.id when matched then update set email = 'x'",
        "users",
        "id email",
    ),
    (PG, "copy users from stdin", "users", "id name email status updated_at"),
    (PG, "update users set name = 'x' where exists (select 1 from orders where orders.status = 'x')", "users", "name"),
    (MY, "alter table users convert to character set utf8mb4", "users", "id name email status updated_at"),
    (MY, "alter table users modify email varchar(9), change status state int", "users", "email status"),
    (MY, "alter table users modify name varchar(9) comment 'x'", "users", "name"),
    (MY, "insert into users (id) values (1) on duplicate key update EMAIL = 'x'", "users", "id email"),
    (MY, "update users u join orders o on o.user_id = u.id set u.email = o.total", "users", "id email"),
    (MY, "insert into users set name = 'x'", "users", "name"),
    (MY, "update users set name = 'x', updated_at = updated_at", "users", "name updated_at"),
    (MY, "alter table users add index i (email(10))", "users", "email"),
]


@pytest.mark.parametrize(
    ("dialect", "script", "table", "expected"), [(d, s, t, e) for ds, s, t, e in MENTIONED for d in ds]
)
def test_mentions_column(dialect, script, table, expected):
    assert mentioned(intent(script, dialect), table) == expected


RENAMED = [
    (ALL, "alter table users rename to people", [("users", "people")], []),
    (ALL, "alter table users rename column email to mail", [], [("users", "email", "mail")]),
    (
        ALL,
        "alter table users rename column name to tmp; alter table users rename column email to name;"
        "alter table users rename column tmp to email",
        [],
        [("users", "email", "name"), ("users", "name", "email")],
    ),
    (
        ALL,
        "alter table users rename to tmp; alter table orders rename to users; alter table tmp rename to orders",
        [("orders", "users"), ("users", "orders")],
        [],
    ),
    (
        ALL,
        "alter table users rename column email to mail; alter table users rename to people; "
        "alter table people rename column mail to address",
        [("users", "people")],
        [("users", "email", "address")],
    ),
    (ALL, "alter table users rename to people; alter table people rename to users", [], []),
    (ALL, "alter table users rename to old; create table users (id int)", [], []),
    (
        ALL,
        "create table n (id int, label text); insert into n (id, label) select id, name from users;"
        "drop table users; alter table n rename to users",
        [],
        [("users", "name", "label")],
    ),
    (
        ALL,
        "create table n (id int, label text); insert into n (id, label) select u.id, upper(u.name) from users u;"
        "drop table users; alter table n rename to users",
        [],
        [],
    ),
    (PG, "alter table users rename email to mail", [], [("users", "email", "mail")]),
    (PG, "create schema crm; alter table users set schema crm", [("users", "crm.users")], []),
    (PG, "alter table if exists only users rename to people", [("users", "people")], []),
    (PG, 'alter table users rename to "People"', [("users", "People")], []),
    (PG, "alter table users rename constraint a to b", [], []),
    (PG, "alter index users_pkey rename to people_pkey", [], []),
    (MY, "rename table users to tmp, orders to users, tmp to orders", [("orders", "users"), ("users", "orders")], []),
    (MY, "alter table users change email mail varchar(80)", [], [("users", "email", "mail")]),
    (MY, "alter table users change column email email varchar(80)", [], []),
    (MY, "alter table users rename people", [("users", "people")], []),
    (
        MY,
        "alter table users rename as people, rename column email to mail",
        [("users", "people")],
        [("users", "email", "mail")],
    ),
    (MY, "alter table users rename index a to b", [], []),
    (("sqlite",), "alter table users rename EMAIL to mail", [], [("users", "email", "mail")]),
]


@pytest.mark.parametrize(
    ("dialect", "script", "tables", "columns"), [(d, s, t, c) for ds, s, t, c in RENAMED for d in ds]
)
def test_renames(dialect, script, tables, columns):
    found = intent(script, dialect).renames
    assert [(str(a), str(b)) for a, b in found.tables] == tables
    assert [(str(t), a, b) for t, a, b in found.columns] == columns


REBUILDS = [
    "create table n (id int, name text, extra int); insert into n (id, name) select id, name from users;"
    "drop table users; alter table n rename to users",
    "alter table users rename to o; create table users (id int, name text, extra int);"
    "insert into users (id, name) select id, name from o; drop table o",
    "create table b as select id, name from users; drop table users; create table users (id int, name text, extra int);"
    "insert into users select id, name, 0 from b; drop table b",
]


@pytest.mark.parametrize("dialect", ALL)
@pytest.mark.parametrize("script", REBUILDS)
def test_rebuilds(dialect, script):
    found = intent(script, dialect)
    assert named(found) == "users"
    assert found.renames.tables == ()
    assert found.rebuilds(ref("users"))
    assert not found.rebuilds(ref("orders"))
    assert found.states_attribute(key("column", "users", "name"), "type")
    assert found.states_attribute(key("column", "users", "name"), "nullable")
    assert not found.states_attribute(key("column", "users", "name"), "default")
    assert found.inserts_into(ref("users"))
    assert found.drops_table(ref("users"))
    assert "name" in mentioned(found, "users")
    assert "status" not in mentioned(found, "users")
    assert found.alters_column_type(ref("users"), "name")


def test_later_statements_on_a_rebuilt_table_count_for_the_old_one():
    script = REBUILDS[0] + "; update users set status = 1; create index i on users (name)"
    found = intent(script, "postgresql")
    assert found.updates(ref("users")) == ("update users set status = 1",)


def test_a_column_that_is_replaced():
    script = (
        "alter table users add column email_new text; update users set email_new = lower(email);"
        "alter table users drop column email; alter table users rename column email_new to email"
    )
    for dialect in ALL:
        found = intent(script, dialect)
        assert found.renames.columns == ()
        assert found.assigns_column(ref("users"), "email") == ("update users set email_new = lower(email)",)
        assert found.drops_column(ref("users"), "email") == ("alter table users drop column email",)
        assert not found.assigns_column(ref("users"), "name")


VERBS = [
    (ALL, "update users set email = 1", "updates assigns:email"),
    (ALL, "delete from users", "deletes"),
    (ALL, "insert into users (id) values (1)", "inserts"),
    (ALL, "drop table users", "drops"),
    (ALL, "alter table users drop column email", "dropscolumn:email"),
    (ALL, "alter table users add column x int", "addscolumn:x"),
    (PG, "truncate orders, users", "truncates"),
    (PG, "alter table users alter column email type int using 1", "alterstype:email"),
    (PG, "alter table users alter email set data type int", "alterstype:email"),
    (PG, "alter table users alter email set not null", ""),
    (PG, "alter table users drop if exists email, add x int", "dropscolumn:email addscolumn:x"),
    (PG, "insert into users (id) values (1) on conflict (id) do update set email = 2", "updates inserts assigns:email"),
    (
        PG,
        "merge into users u using orders o on true when matched then update set email = 1 "
        "when not matched then insert (id) values (1)",
        "updates inserts assigns:email",
    ),
    (PG, "with d as (delete from users returning id) select * from d", "deletes"),
    (PG, "explain analyze delete from users", "deletes"),
    (PG, "do $$ begin update users set email = 1; exception when others then null; end $$", "updates assigns:email"),
    (PG, "update only users as u set email = 1", "updates assigns:email"),
    (MY, "alter table users modify email int", "alterstype:email"),
    (MY, "alter table users change email mail int", "alterstype:email"),
    (MY, "replace into users (id) values (1)", "inserts"),
    (MY, "insert into users (id) values (1) on duplicate key update email = 2", "updates inserts assigns:email"),
    (MY, "update orders o join users u on true set u.email = 1", "updates assigns:email"),
    (MY, "delete u from users u", "deletes"),
    (MY, "delete from u using users u", "deletes"),
    (MY, "alter table users drop email, add (x int, y int)", "dropscolumn:email addscolumn:x"),
    (MY, "alter table users truncate partition p", "truncates"),
    (("mariadb",), "begin not atomic delete from users; end", "deletes"),
]


@pytest.mark.parametrize(("dialect", "script", "expected"), [(d, s, e) for ds, s, e in VERBS for d in ds])
def test_verbs(dialect, script, expected):
    found, users = intent(script, dialect), ref("users")
    said = {
        "updates": found.updates(users),
        "inserts": found.inserts_into(users),
        "deletes": found.deletes_from(users),
        "truncates": found.truncates(users),
        "drops": found.drops_table(users),
        "assigns:email": found.assigns_column(users, "email"),
        "dropscolumn:email": found.drops_column(users, "email"),
        "addscolumn:x": found.adds_column(users, "x"),
        "alterstype:email": found.alters_column_type(users, "email"),
    }
    assert " ".join(v for v, statements in said.items() if statements) == expected
    assert all(statements in ((), (script,)) for statements in said.values())


OBJECTS = [
    ("index", "users", "users_email_idx", {"columns": ("email",)}),
    ("index", "users", "email", {"columns": ("email", "name"), "unique": True}),
    ("trigger", "users", "stamp", {}),
    ("view", "", "v", {}),
    ("constraint", "users", "users_ck", {"type": "check", "columns": ("status",), "expression": "status > 0"}),
    ("constraint", "orders", "orders_user_fk", {"type": "foreign key", "columns": ("user_id",)}),
    ("constraint", "users", "users_pkey", {"type": "primary key", "columns": ("id",)}),
    ("unique", "users", "users(email)", {"type": "unique", "columns": ("email",)}),
    ("check", "orders", "orders(total > 0)", {"type": "check", "expression": "total > 0"}),
    ("foreign key", "items", "items(order_id)", {"type": "foreign key", "columns": ("order_id",)}),
    ("policy", "users", "own", {}),
    ("row security", "users", "users", {}),
    ("grant", "users", "users", {}),
    ("function", "", "f(integer)", {}),
    ("sequence", "", "users_id_seq", {}),
    ("type", "", "mood", {}),
]
REBUILT = "create table n (id int primary key{}); drop table users; alter table n rename to users"

NAMES_OBJECT = [
    (ALL, "drop table items", "items(order_id)", False),
    (ALL, "drop index users_email_idx", "users_email_idx", True),
    (ALL, "create unique index users_email_idx on users (email)", "users_email_idx", True),
    (ALL, "alter table users drop column email", "email users_email_idx users(email) stamp v own", False),
    (ALL, "drop trigger stamp", "stamp", True),
    (ALL, "drop view v", "v", True),
    (ALL, "create view v as select 1", "v", True),
    (ALL, "update users set email = 1", "users_email_idx users(email) v stamp users_pkey own users", False),
    (ALL, REBUILT.format(""), "users_pkey", True),
    (ALL, REBUILT.format(", email text"), "users(email) users_ck users_email_idx stamp own users", False),
    (ALL, REBUILT.format(", email text unique"), "users(email)", True),
    (ALL, REBUILT.format(", email text, unique (email)"), "users(email)", True),
    (ALL, REBUILT.format(", email text, unique (email, id)"), "users(email)", False),
    (ALL, REBUILT.format(", status int check (status > 1)"), "users_ck", True),
    (ALL, REBUILT.format(", status int, constraint users_ck check (id > 1)"), "users_ck", True),
    (ALL, REBUILT.format(", other int check (other > 1)"), "users_ck", False),
    (PG, "drop trigger if exists stamp on users", "stamp", True),
    (PG, "drop trigger stamp on orders", "stamp", False),
    (PG, "alter table users disable trigger stamp", "stamp", True),
    (PG, "alter table users disable trigger user", "stamp", True),
    (PG, "alter table users drop constraint users_ck", "users_ck", True),
    (
        PG,
        "alter table users drop constraint if exists users_ck, add constraint users_ck check (true)",
        "users_ck",
        True,
    ),
    (PG, "alter table orders rename constraint orders_user_fk to x", "orders_user_fk", True),
    (PG, "alter table orders validate constraint orders_user_fk", "orders_user_fk", True),
    (PG, "alter table orders add foreign key (user_id) references users", "orders_user_fk", True),
    (PG, "alter table orders drop constraint other", "orders_user_fk", False),
    (PG, "create or replace view v as select 1", "v", True),
    (PG, "alter view v rename to w", "v", True),
    (PG, "grant select on users to x", "users", None),
    (PG, "drop policy own on users", "own", True),
    (PG, "create policy own on orders", "own", False),
    (PG, "create or replace function f(integer) returns int language sql as 'select 1'", "f(integer)", True),
    (PG, "drop function f(integer)", "f(integer)", True),
    (PG, "select f(1)", "f(integer)", False),
    (PG, "alter sequence users_id_seq restart", "users_id_seq", True),
    (PG, "drop type mood", "mood", True),
    (PG, "alter type mood add value 'x'", "mood", True),
    (PG, "drop index concurrently if exists users_email_idx, other", "users_email_idx", True),
    (MY, "alter table users drop index email", "email", True),
    (MY, "alter table users drop key email, drop column name", "email", True),
    (MY, "alter table users add unique key email (email)", "email", True),
    (MY, "alter table users modify email int", "email users_email_idx", False),
    (MY, "alter table orders drop foreign key orders_user_fk", "orders_user_fk", True),
    (MY, "alter table users drop check users_ck", "users_ck", True),
    (MY, "alter table users drop primary key, add primary key (id, name)", "users_pkey", True),
    (MY, "alter table users rename index users_email_idx to x", "users_email_idx", True),
    (MY, "alter algorithm = merge definer = `a`@`%` sql security invoker view v as select 1", "v", True),
]


@pytest.mark.parametrize(
    ("dialect", "script", "names", "expected"), [(d, s, n, e) for ds, s, n, e in NAMES_OBJECT for d in ds]
)
def test_names_object(dialect, script, names, expected):
    found = intent(script, dialect, objects=OBJECTS)
    for kind, table, name, _ in OBJECTS:
        if name in names.split() and expected is not None:
            assert found.names_object(key(kind, table, name)) is expected, name


@pytest.mark.parametrize(
    ("script", "grants", "security"),
    [
        ("grant select on users to x", True, False),
        ("revoke all on table users from x", True, False),
        ("grant select on all tables in schema public to x", True, False),
        ("grant select on orders to users", False, False),
        ("alter table users enable row level security", False, True),
        ("alter table users no force row level security", False, True),
        ("alter table orders enable row level security", False, False),
        (
            "create table n (id int); drop table users; alter table n rename to users; grant select on users to x",
            True,
            False,
        ),
        ("create table n as select * from users; drop table users; alter table n rename to users", False, False),
    ],
)
def test_grants_and_row_security(script, grants, security):
    found = intent(script, "postgresql", objects=OBJECTS)
    assert found.names_object(key("grant", "users", "users")) is grants
    assert found.names_object(key("row security", "users", "users")) is security


STATES = [
    (PG, "alter table users alter email set default 'x'", "default"),
    (PG, "alter table users alter email drop default", "default"),
    (PG, "alter table users alter column email set not null", "nullable"),
    (PG, "alter table users alter column email drop not null", "nullable"),
    (PG, "alter table users alter column email type text", "type"),
    (PG, 'alter table users alter column email type text collate "C" using lower(email)', "collation type"),
    (PG, "comment on column users.email is 'x'", "comment"),
    (PG, "alter table users alter email add generated always as identity", "default identity nullable"),
    (PG, "alter table users alter email drop identity if exists", "identity"),
    (PG, "alter table users alter email drop expression", "default generated"),
    (PG, "alter table users add primary key (email)", "nullable"),
    (PG, "alter table users alter name set default 'email'", ""),
    (MY, "alter table users modify email varchar(9)", "nullable type"),
    (MY, "alter table users modify email varchar(9) not null default 'x' comment 'y'", "comment default nullable type"),
    (MY, "alter table users modify email int", "charset collation nullable type"),
    (
        MY,
        "alter table users modify email varchar(9) character set latin1 collate latin1_bin",
        "charset collation nullable type",
    ),
    (MY, "alter table users modify email varchar(9) first", "nullable position type"),
    (MY, "alter table users change email mail varchar(9) default (uuid())", "default nullable type"),
    (
        MY,
        "alter table users modify email timestamp on update current_timestamp",
        "charset collation nullable on_update type",
    ),
    (
        MY,
        "alter table users modify email bigint not null auto_increment",
        "auto_increment charset collation nullable type",
    ),
    (MY, "alter table users alter email set default 'x'", "default"),
    (MY, "alter table users convert to character set utf8mb4", "charset collation"),
    (
        MY,
        "alter table users modify email varchar(9) generated always as (lower(name)) stored",
        "default generated nullable type",
    ),
    (ALL, REBUILT.format(", email text not null default 'x'"), "default nullable type"),
    (ALL, REBUILT.format(""), ""),
    (ALL, "create table n as select * from users; drop table users; alter table n rename to users", ""),
    (("sqlite",), REBUILT.format(", email text collate nocase"), "collation nullable type"),
]
ATTRIBUTES = sorted(
    words("auto_increment charset collation comment default generated identity nullable on_update position type")
)


@pytest.mark.parametrize(("dialect", "script", "expected"), [(d, s, e) for ds, s, e in STATES for d in ds])
def test_states_attribute(dialect, script, expected):
    found = intent(script, dialect)
    email = key("column", "users", "email")
    assert " ".join(a for a in ATTRIBUTES if found.states_attribute(email, a)) == expected


@pytest.mark.parametrize(
    ("dialect", "script", "expected"),
    [
        ("mysql", "alter table users engine = InnoDB, comment = 'x'", "comment engine"),
        ("mysql", "alter table users comment 'x'", "comment"),
        ("mysql", "alter table users convert to character set latin1", "charset collation"),
        ("mysql", "alter table users default character set latin1 collate latin1_bin", "charset collation"),
        ("mysql", "alter table users add column comment int", ""),
        ("postgresql", "comment on table users is 'x'", "comment"),
        ("postgresql", "alter table users set unlogged", "persistence"),
        ("postgresql", "alter table users owner to bob", "owner"),
        ("sqlite", REBUILT.format("").replace(");", ") strict, without rowid;", 1), "strict without_rowid"),
    ],
)
def test_table_attributes(dialect, script, expected):
    found = intent(script, dialect)
    names = ("charset", "collation", "comment", "engine", "owner", "persistence", "strict", "without_rowid")
    assert " ".join(a for a in names if found.states_attribute(key("table", "", "users"), a)) == expected


@pytest.mark.parametrize(
    "script",
    ["cluster users using other", "alter table users cluster on other", "alter table users set without cluster"],
)
def test_an_index_is_no_longer_the_one_that_its_table_goes_by(script):
    assert intent(script, "postgresql").states_attribute(key("index", "users", "users_i"), "clustered")
    assert not intent(script, "postgresql").states_attribute(key("index", "orders", "orders_i"), "clustered")


def test_a_renamed_type_states_the_types_of_its_columns():
    tables = {"tickets": {"st": {"type": "mood", "default": "'new'::mood"}, "n": {"type": "integer"}}}
    found = intent("alter type mood rename to mood_old", "postgresql", tables)
    assert found.states_attribute(key("column", "tickets", "st"), "type")
    assert found.states_attribute(key("column", "tickets", "st"), "default")
    assert not found.states_attribute(key("column", "tickets", "n"), "type")
    assert not intent("drop type mood cascade", "postgresql", tables).states_attribute(
        key("column", "tickets", "st"), "type"
    )


@pytest.mark.parametrize(
    ("dialect", "script", "opaque"),
    [
        ("postgresql", "do $$ begin execute format('alter table %I', t); end $$", True),
        ("postgresql", "do $$ begin execute 'drop table ' || t; end $$", True),
        ("postgresql", "do $$ begin execute 'drop table t'; end $$", False),
        ("postgresql", "do $$ begin execute 'delete from t where id = $1' using 1; end $$", False),
        ("postgresql", "do $$ begin raise notice 'x'; perform 1; a := 2; end $$", False),
        ("postgresql", "do language plpython3u $$ plpy.execute('x') $$", True),
        ("postgresql", "call unknown()", True),
        ("postgresql", "frobnicate all", True),
        ("postgresql", "select now()", False),
        ("mysql", "prepare s from @sql", True),
        ("mysql", "prepare s from 'select 1'", False),
        ("mysql", "call p()", True),
        ("mariadb", "execute immediate concat('drop table ', @t)", True),
        ("sqlite", "pragma foreign_keys = off", False),
        ("sqlite", "vacuum", False),
        ("sqlite", "", False),
    ],
)
def test_opaque(dialect, script, opaque):
    assert bool(read([script], dialect, schema(SHOP)).opaque) is opaque


def test_unobserved_statements_are_opaque():
    assert read([], "postgresql", schema(SHOP), observed=False).opaque
    assert read(["select 1"], "postgresql", schema(SHOP), observed=False).opaque == ("select 1",)


def test_sql_in_variables_of_mysql():
    guard = (
        "set @s = if((select count(*) from information_schema.columns) > 0, 'select 1', 'alter table users drop email')"
    )
    found = intent(f"{guard}; prepare st from @s; execute st", "mysql")
    assert found.drops_column(ref("users"), "email") == ("prepare st from @s",)
    assert not found.opaque
    assert intent("set @s = concat('drop table ', @t); prepare st from @s; execute st", "mysql").opaque


@pytest.mark.parametrize(
    ("dialect", "script"),
    [
        ("sqlite", "update sqlite_master set sql = 'x'"),
        ("postgresql", "delete from pg_enum where enumlabel = 'x'"),
        ("postgresql", "update pg_catalog.pg_attribute set atttypmod = 1"),
        ("mysql", "update mysql.user set host = 'x'"),
    ],
)
def test_writing_into_the_catalog_is_opaque(dialect, script):
    assert intent(script, dialect).opaque


@pytest.mark.parametrize(
    ("dialect", "script", "zones", "sets"),
    [
        ("postgresql", "set timezone = 'Europe/Berlin'", ("Europe/Berlin",), True),
        ("postgresql", "set local time zone 'UTC'", ("UTC",), True),
        ("postgresql", "set session timezone to utc", ("utc",), True),
        ("postgresql", "set time zone -5", ("-5",), True),
        ("postgresql", "select set_config('TimeZone', 'UTC', true)", ("UTC",), True),
        ("postgresql", "alter table t alter at type timestamp using at at time zone 'UTC'", ("UTC",), False),
        ("postgresql", "create table t (at timestamp with time zone default now())", (), False),
        ("mysql", "set time_zone = '+05:00'", ("+05:00",), True),
        ("mysql", "set @@session.time_zone = '+00:00'", ("+00:00",), True),
        ("mysql", "update t set at = convert_tz(at, '+00:00', 'Europe/Berlin')", ("+00:00", "Europe/Berlin"), False),
        ("sqlite", "select 1", (), False),
    ],
)
def test_zones(dialect, script, zones, sets):
    found = intent(script, dialect)
    assert (found.zones, found.sets_zone) == (zones, sets)


@pytest.mark.parametrize(
    ("dialects", "expression", "expected"),
    [
        (ALL, "random()", True),
        (ALL, "1 + 2", False),
        (ALL, "'random()'", False),
        (ALL, "current_timestamp", True),
        (ALL, "lower(name)", False),
        (ALL, "t.current_date", False),
        (PG, "now() - interval '1 day'", True),
        (PG, "md5(random()::text)", True),
        (PG, "uuid_generate_v4()", True),
        (PG, "'now'::timestamptz", True),
        (PG, "nextval('s')", True),
        (PG, "age(a, b)", False),
        (PG, "row_number() over (order by id)", False),
        (MY, "uuid()", True),
        (MY, "hex(floor(rand() * 10))", True),
        (MY, "unix_timestamp()", True),
        (MY, "unix_timestamp(a)", False),
        (MY, "sysdate()", True),
        (("sqlite",), "datetime('now')", True),
        (("sqlite",), "datetime(created, 'unixepoch')", False),
        (("sqlite",), "strftime('%s', 'now')", True),
        (("sqlite",), "strftime('%s', created)", False),
        (("sqlite",), "date()", True),
        (("sqlite",), "hex(randomblob(8))", True),
    ],
)
def test_is_nondeterministic(dialects, expression, expected):
    for dialect in dialects:
        assert is_nondeterministic(expression, dialect) is expected


@pytest.mark.parametrize(
    ("dialects", "script", "expected"),
    [
        (ALL, "update users set email = random(), name = 'x'", "users.email"),
        (ALL, "insert into audit (what, at) values ('x', current_timestamp)", "audit.at"),
        (ALL, "insert into audit select id, name, current_timestamp from users", "audit.at"),
        (ALL, "insert into audit (what, at) select name, random() from users", "audit.at"),
        (PG, "alter table users add column token uuid default gen_random_uuid()", "users.token"),
        (
            PG,
            "alter table users add column token uuid; alter table users alter token set default gen_random_uuid()",
            "",
        ),
        (PG, "alter table users add column n serial", "users.n"),
        (PG, "create table x (id serial, v int); insert into x (v) select id from users", "x.id"),
        (PG, "create table x as select id, random() as r from users", "x.r"),
        (PG, "insert into users (id) values (1) on conflict do update set email = now()", "users.email"),
        (PG, "create temp table x as select random() as r; update users set email = (select r from x)", "users.email"),
        (PG, "create temp table x as select random() as r; update users set email = (select 1 from x)", ""),
        (MY, "alter table users add column n int not null auto_increment unique", "users.n"),
        (("sqlite",), "alter table users rename to people; update people set name = random()", "people.name"),
    ],
)
def test_nondeterministic_columns(dialects, script, expected):
    for dialect in dialects:
        found = intent(script, dialect).nondeterministic_columns
        assert " ".join(f"{t}.{c}" for t, c in found) == expected


def test_keys_that_an_insert_leaves_to_the_database():
    tables = {"users": {"id": {"identity": "always"}, "name": {}, "made": {"default": "now()"}}}
    found = intent("insert into users (name) values ('x')", "postgresql", tables)
    assert [c for _, c in found.nondeterministic_columns] == ["id", "made"]


@pytest.mark.parametrize(
    ("sql", "kind", "tables"),
    [
        ("create unique index concurrently if not exists i on s.users (email)", "CREATE INDEX", "s.users"),
        ("alter table users add column x int", "ALTER TABLE", "users"),
        ("with x as (select 1) update users set a = 1", "UPDATE", "users"),
        ("insert into audit select * from users", "INSERT", "audit users"),
        ("create materialized view v as select 1", "CREATE MATERIALIZED VIEW", ""),
        ("comment on column users.x is 'y'", "COMMENT ON COLUMN", "users"),
        ("do $$ begin delete from users; end $$", "DO", "users"),
        ("create or replace function f() returns int language sql as 'select 1'", "CREATE FUNCTION", ""),
        ("", "", ""),
    ],
)
def test_kind_and_tables_for_a_report(sql, kind, tables):
    assert statement_kind(sql, "postgresql") == kind
    assert " ".join(map(str, touched_tables(sql, "postgresql"))) == tables


def test_case_of_names():
    assert named(intent("update USERS set EMAIL = 1", "mysql")) == "users"
    assert mentioned(intent("update users set EMAIL = 1", "mysql"), "users") == "email"
    tables = {"Order": "Select"}
    assert named(intent('update "Order" set "Select" = 1', "postgresql", tables), tables) == "Order"
    assert named(intent("update Order_ set x = 1", "postgresql", tables), tables) == ""


def test_names_in_other_schemas():
    tables = {"crm.leads": "id", "leads": "id"}
    assert named(intent("delete from crm.leads", "postgresql", tables), tables) == "crm.leads"
    assert named(intent("delete from leads", "postgresql", tables), tables) == "leads"
    assert (
        named(intent("set search_path to crm, public; delete from leads", "postgresql", tables), tables) == "crm.leads"
    )


def test_hostile_names():
    name = '"; DROP TABLE x; --'
    tables = {name: "id"}
    quoted = '"' + name.replace('"', '""') + '"'
    found = read([f"update {quoted} set id = 1"], "postgresql", schema(tables))
    assert found.names_table(ref(name))


WORDS = st.sampled_from(
    """create alter drop table index view column add rename to update set insert into values select from where and or
    not null users orders email name id ( ) , ; . = * 'x' "y" $$ begin end if then else case when on using with as do
    default primary key references check trigger function delete truncate merge limit order by 1 ? %s""".split()  # noqa: SIM905
)


@given(st.lists(WORDS, max_size=25).map(" ".join), st.sampled_from(ALL))
def test_nothing_raises(script, dialect):
    found = read([script], dialect, schema(SHOP, OBJECTS))
    for table in SHOP:
        found.names_table(ref(table))
        mentioned(found, table)
    for kind, table, name, _ in OBJECTS:
        found.names_object(key(kind, table, name))


@given(st.text(max_size=40), st.sampled_from(ALL))
def test_nothing_raises_for_any_text(script, dialect):
    read([script], dialect, schema(SHOP))
    statement_kind(script, dialect)
    touched_tables(script, dialect)


@pytest.mark.parametrize(
    ("reference", "unsaid"),
    [
        ("references users (id)", True),
        ("references users (id) on update cascade", True),
        ("references users (id) on delete set null", False),
    ],
)
@pytest.mark.parametrize("dialect", ALL)
def test_a_foreign_key_declared_anew_says_only_its_own_actions(dialect, reference, unsaid):
    fk = key("constraint", "orders", "orders_user")
    facts = {"type": "foreign key", "columns": ("user_id",), "references": "users", "on_delete": "CASCADE"}
    script = (
        f"create table n (id int, user_id int, constraint orders_user foreign key (user_id) {reference});"
        "insert into n select id, user_id from orders; drop table orders; alter table n rename to orders"
    )
    before = schema(SHOP)
    found = read([s.text for s in split(script, dialect)], dialect, type(before)({**dict(before), fk: facts}))
    assert found.names_object(fk)
    assert found.states_attribute(fk, "on_delete") is not unsaid


@pytest.mark.parametrize("dialect", ALL)
@pytest.mark.parametrize(
    ("script", "kept"),
    [
        ("savepoint a; update users set status = 'x'; rollback to a", ""),
        ("savepoint a; update users set status = 'x'; ROLLBACK WORK TO SAVEPOINT A", ""),
        ("savepoint a; update users set status = 'x'; release savepoint a", "status"),
        ("savepoint a; update users set name = 'x'; savepoint a; update users set email = 'x'; rollback to a", "name"),
        ("savepoint a; savepoint b; update users set name = 'x'; release b; rollback to a", ""),
        ("savepoint a; update users set name = 'x'; rollback to a; update users set status = 'x'; rollback to a", ""),
        ("savepoint a; rollback to savepoint a; update users set email = 'x'; release a", "email"),
    ],
)
def test_what_goes_back_to_a_savepoint_is_not_done(dialect, script, kept):
    found = intent(script, dialect)
    assert " ".join(c for c in SHOP["users"].split() if found.assigns_column(ref("users"), c)) == kept
    assert [c for b in found.backfills for c in b.columns] == kept.split()
    assert named(found) == "users"


def test_a_name_given_behind_a_savepoint_goes_back_with_it():
    found = intent("savepoint a; alter table users rename to people; rollback to a; delete from users", "postgresql")
    assert found.deletes_from(ref("users")) == ("delete from users",)
