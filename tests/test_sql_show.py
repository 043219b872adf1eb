"""The queries that show schema objects: each runs on its engine, and finds what is there and nothing else."""

from __future__ import annotations

import re
import sqlite3

import pytest
from cause_lab import Run, chained, findings, happened
from mysql_fixtures import ran as mysql_ran
from pg_fixtures import ran

from seatrial.engines.mysql import MysqlDatabase
from seatrial.engines.postgresql import PostgresqlDatabase
from seatrial.model import ObjectKey
from seatrial.reporters.redact import STRING
from seatrial.reporters.redact import sql as redact_sql
from seatrial.sql.show import MOST, show

ODD = 'it\'s a "t" `{x}` \\'
POSTGRESQL = r"""
create schema "s'""p";
create table "s'""p"."it's a ""t"" `{x}` \" (
  id int constraint pk primary key, a text default 'x' constraint c check (a > ''));
create index i on "s'""p"."it's a ""t"" `{x}` \" (lower(a));
create function "s'""p"."f'g"(a int, b text) returns int language sql as 'select 1';
create function "s'""p"."f'g"() returns trigger language plpgsql as 'begin return new; end';
create procedure "s'""p".p(a int) language sql as 'select 1';
create trigger g before insert on "s'""p"."it's a ""t"" `{x}` \" for each row execute function "s'""p"."f'g"();
create rule r as on delete to "s'""p"."it's a ""t"" `{x}` \" do instead nothing;
alter table "s'""p"."it's a ""t"" `{x}` \" enable row level security;
create policy o on "s'""p"."it's a ""t"" `{x}` \" using (id > 0);
grant select on "s'""p"."it's a ""t"" `{x}` \" to public;
grant update (a) on "s'""p"."it's a ""t"" `{x}` \" to public;
create view "s'""p".v as select 1 as one;
create materialized view "s'""p".m as select 1 as one;
create index mi on "s'""p".m (one);
create type "s'""p".e as enum ('a', 'b');
create type "s'""p".y as (a int, b text);
create domain "s'""p".d as int check (value > 0);
create sequence "s'""p".q;
create table plain (id int primary key, id2 int);
"""


RARE = {
    """create operator "s'""p".<~> (function = int4eq, leftarg = int, rightarg = int)""": "operator",
    'create publication "p\'1" for all tables': "publication",
    "create subscription \"s'1\" connection 'dbname=nowhere' publication p with (connect = false, slot_name = none)": (
        "subscription"
    ),
    "create function e() returns event_trigger language plpgsql as 'begin end'": "function",
    'create event trigger "e\'1" on sql_drop execute function e()': "event trigger",
    'create statistics "s\'2" (dependencies) on id, id2 from plain': "statistics",
    """create collation "s'""p"."c'1" (lc_collate = 'C', lc_ctype = 'C')""": "collation",
    'create text search dictionary "d\'1" (template = simple)': "text search dictionary",
    'create text search configuration "c\'2" (copy = simple)': "text search configuration",
    'create aggregate "a\'1"(int) (sfunc = int4pl, stype = int)': "aggregate",
    "create type seen as (a int)": "type",
    "create function of_seen(seen) returns text language sql as 'select 1::text'": "function",
    "create cast (seen as text) with function of_seen(seen)": "cast",
    'create foreign data wrapper "w\'1"': "foreign data wrapper",
    'create server "s\'3" foreign data wrapper "w\'1"': "foreign server",
    'create access method "m\'1" type table handler heap_tableam_handler': "access method",
    "create conversion \"v'1\" for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8": "conversion",
    'create operator family "f\'1" using btree': "operator family",
    'create operator class "o\'1" for type int using btree as storage int': "operator class",
    "create function l() returns language_handler language c as '$libdir/plpgsql', 'plpgsql_call_handler'": "function",
    'create language "l\'1" handler l': "language",
}


def test_postgresql(pg: PostgresqlDatabase) -> None:
    ran(pg, POSTGRESQL)
    for text in RARE:
        pg.session.rows(text)
    schema = pg.inspect()
    kinds = set()
    for key in schema:
        if sql := show([key], schema, "postgresql"):
            kinds.add(key.kind)
            assert pg.query(sql), f"{key}: {sql}"
            gone = key._replace(**{"table" if key.table else "name": "gone's"})
            assert pg.query(show([gone], schema, "postgresql")) == [], gone
    assert kinds >= {"table", "column", "constraint", "index", "trigger", "rule", "policy"}
    assert kinds >= {"row security", "grant", "view", "materialized view", "function", "procedure", "type", "domain"}
    assert kinds >= {"sequence", "schema", *RARE.values()}
    [(text, *_)] = pg.query(show([ObjectKey("function", "s'\"p", "", "f'g(integer, text)")], schema, "postgresql"))
    assert text is not None and "a integer, b text" in text
    rows = pg.query(show([ObjectKey("column", "s'\"p", ODD, "")], schema, "postgresql"))
    assert [r[:2] for r in rows] == [("id", "integer"), ("a", "text")]


MYSQL = r"""
create table `it's a "t" ``{x}`` \` (id int primary key, a int default 1, key i (a), constraint c check (a > 0));
create view `v'``w` as select 1 as one;
create trigger `g'``h` before insert on `it's a "t" ``{x}`` \` for each row set new.a = 2;
create procedure `p'``q`() select 1;
create function `f'``g`() returns int deterministic return 1;
create event `e'``f` on schedule every 1 day disable do select 1;
"""


def test_mysql_and_mariadb(db: MysqlDatabase) -> None:
    mysql_ran(db, MYSQL)
    engine = "mariadb" if "maria" in type(db).__name__.lower() else "mysql"
    schema = db.inspect()
    kinds = set()
    for key in schema:
        if sql := show([key], schema, engine):
            kinds.add(key.kind)
            assert sql.startswith("SHOW CREATE ")
            assert db.query(sql), f"{key}: {sql}"
            assert db.query(show([key], (), engine)), "by name"
            gone = key._replace(**{"table" if key.table and key.kind != "trigger" else "name": "gone's \\"})
            assert db.query(show([gone], schema, engine)) == [], gone
    assert kinds >= {"table", "column", "constraint", "index", "view", "trigger", "procedure", "function", "event"}


SQLITE = r"""
create table "it's a ""t\" (a int);
create index i on "it's a ""t\" (a);
create trigger g after insert on "IT'S a ""t\" begin select 1; end;
create view v as select 1;
"""


def test_sqlite() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SQLITE)
    name = "it's a \"t\\"

    def names(kind: str, table: str, name: str) -> list[str]:
        return [row[1] for row in connection.execute(show([ObjectKey(kind, "", table, name)], (), "sqlite"))]

    for kind, table, one in (("table", "", name), ("check", name, "t(a)"), ("trigger", name, "g")):
        assert names(kind, table, one) == [name, "i", "g"]
    assert names("view", "", "v") == ["v"]
    assert names("table", "", "gone") == []
    connection.close()


@pytest.mark.parametrize("engine", ["sqlite", "postgresql", "mysql", "mariadb"])
def test_one_query_for_what_one_query_shows_and_none_for_kinds_that_are_not_known(engine: str) -> None:
    keys = [ObjectKey("column", "", "t", name) for name in "abc"]
    assert show(keys, keys, engine).count(";") == 1
    assert show([ObjectKey("security label", "", "", "table t by p")], (), engine) == ""
    many = [ObjectKey("table", "", "", f"t{i}") for i in range(9)]
    assert len(show(many, many, engine).splitlines()) == MOST


BASE = "create table t (id integer primary key, a int); create index i on t (a);"
OF_T = "SELECT type, name, sql FROM sqlite_schema WHERE tbl_name = 't' COLLATE NOCASE;"


@pytest.mark.parametrize(
    ("rule", "up", "down", "no_down"),
    [
        ("schema-not-restored", "drop index i", "select 1", None),
        ("object-renamed", "drop index i", "create index j on t (a)", None),
        ("column-order-changed", "alter table t drop column b", "alter table t add column b int", None),
        ("down-does-nothing", "alter table t add column d int", "select 1", None),
        ("down-missing", "alter table t add column d int", "", "its down is empty"),
    ],
)
def test_a_finding_about_the_schema_shows_it(rule: str, up: str, down: str, no_down: str | None) -> None:
    base = BASE.replace("a int)", "b int, a int)")
    [found] = findings(happened(base=base, up=up, down=down, no_down=no_down), rule)
    assert found.sql == OF_T


def test_what_up_lost_beside_is_looked_for_in_the_table_by_its_new_name() -> None:
    up = Run(
        says="alter table t rename to u",
        does="create table u (id integer primary key, a int); insert into u select * from t; drop table t",
    )
    [found] = findings(happened(base=BASE, up=up), "collateral-schema-loss")
    assert found.sql == OF_T.replace("'t'", "'u'")


def test_a_table_that_is_new_is_shown_once_and_rows_where_the_schema_stayed() -> None:
    trial = happened(base=BASE, up="create table n (a int, b int); create index n_a on n (a)", no_down="none")
    [found] = findings(trial, "down-missing")
    assert found.sql == OF_T.replace("'t'", "'n'")
    trial = happened(base=BASE, up="insert into t values (7, 1)", no_down="none")
    [found] = findings(trial, "down-missing")
    assert found.sql == 'SELECT "id" FROM "t" WHERE "id" IN (7);'


def test_what_the_way_all_the_way_down_left_is_shown() -> None:
    left = {ObjectKey("column", "", "t", "z"): {"type": "int"}}
    [found] = chained(happened(base=BASE, engine="mysql"), "select 1", [], ({}, left))
    assert found.sql == "SHOW CREATE TABLE `t`;"


def test_redacted_the_queries_hold_no_literal() -> None:
    keys = [ObjectKey("column", "s", "t", "a"), ObjectKey("table", "", "", "it's"), ObjectKey("type", "", "", "y")]
    hidden = redact_sql(show(keys, (), "postgresql"))
    assert set(STRING.findall(hidden)) == {"'…'"}
    assert not re.search(r"\d", hidden)
    assert redact_sql(show(keys[1:2], keys, "mysql")) == "SHOW CREATE TABLE `it's`;"
