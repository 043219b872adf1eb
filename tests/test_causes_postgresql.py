"""Each family of causes once on a real PostgreSQL: derived from what the server did, not from a composed trace."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
SHOP = """
create table p (id integer primary key, name text);
create table c (id integer primary key, p_id integer constraint c_p references p (id) on delete cascade, v text);
"""
ROWS = "insert into p values (1, 'a'), (2, 'b'); insert into c values (10, 1, 'x'), (11, 2, 'y');"
TYPED = "create type pair as (a integer, b text); create table t (id integer primary key, v pair);"
LOG = "create table log (id integer primary key, what text);"
RULE = "create rule sweep as on update to p do also delete from log where id = old.id;"
SWEEP = """create function sweep() returns trigger language plpgsql as
  'begin delete from c where p_id = new.id; return new; end';
create trigger sweep after update on p for each row execute function sweep();"""
IDLE = "comment on table p is null;"

FAMILIES = {
    "a cascade": (
        *("rows-lost", SHOP, ROWS, "delete from p where id = 2;", "insert into p values (2, 'b');"),
        "ON DELETE CASCADE of constraint c_p removed the rows that referred to them",
    ),
    "a delete": (
        *("rows-lost", SHOP, ROWS, "delete from c where id = 11;", IDLE),
        "up deletes them (`delete from c where id = 11`)",
    ),
    "a cascade, where down takes a delete beside it back": (
        *("rows-lost", SHOP, ROWS, "delete from c where id = 10; delete from p where id = 2;"),
        "insert into p values (2, 'b'); insert into c values (10, 1, 'x');",
        "up deletes rows of p (`delete from p where id = 2`), and ON DELETE CASCADE of constraint c_p",
    ),
    "a trigger": (
        *("rows-lost", SHOP + SWEEP, ROWS, "update p set name = 'z' where id = 2;"),
        "alter table p disable trigger sweep; update p set name = 'b' where id = 2;alter table p enable trigger sweep;",
        "trigger sweep on p fired while up wrote to p, and removed them",
    ),
    "a rule": (
        *("rows-lost", SHOP + LOG + RULE, ROWS + "insert into log values (2, 'new');"),
        *("update p set name = 'z' where id = 2;", "update p set name = 'b' where id = 2;"),
        "rule sweep on p fired while up wrote to p, and removed them",
    ),
    "an attribute of a type": (
        *("values-lost", TYPED, "insert into t values (1, row(1, 'x')), (2, null);"),
        *("alter type pair drop attribute b;", "alter type pair add attribute b text;"),
        "up takes an attribute out of the type pair (`alter type pair drop attribute b`)",
    ),
    "a column dropped": (
        *("values-lost", SHOP, ROWS, "alter table c drop column v;", "alter table c add column v text;"),
        "up drops the column v",
    ),
    "a cast": (
        *(
            "conversion-loss",
            "create table t (id integer primary key, n numeric(8, 2));",
            "insert into t values (1, 1.25);",
        ),
        *("alter table t alter n type integer;", "alter table t alter n type numeric(8, 2);"),
        "numeric(8,2)",
    ),
    "a rule of the schema declared without a look": (
        *("check-violated", SHOP, ROWS, "alter table c add constraint c_v check (v > 'x') not valid;"),
        "alter table c drop constraint c_v;",
        "with NOT VALID, which does not look at the rows that are there",
    ),
    "an object that goes with another": (
        *("schema-not-restored", SHOP + "create index c_v on c (v);", ROWS, "drop index c_v;", IDLE),
        "up removes index c_v",
    ),
    "a step that takes long": (
        *("long-running", SHOP, ROWS, "alter table p add w int;", "alter table p drop w; select pg_sleep(1.01);"),
        "`select pg_sleep(1.01)` took ",
    ),
}


@pytest.mark.usefixtures("usual_patience")
@pytest.mark.parametrize("family", FAMILIES)
def test_cause(engine, family):
    rule, base, seed, up, down, cause = FAMILIES[family]
    found = engine.trial(base=base, seed=seed, up=up, down=down)
    assert cause in found.cause(rule)
