"""Every kind of object and every attribute: a change of one thing is named as exactly that thing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from engine_fixture import without
from pg_catalogue import LEFT_OUT, TOLD, WHY_NOT
from pg_fixtures import changed, pair, ran
from pg_schema_cases import CASES, NEVER, NEWER

from seatrial.engines import _postgresql_catalog_rare
from seatrial.engines._postgresql_catalog import QUERY
from seatrial.engines.postgresql import PostgresqlDatabase
from seatrial.errors import DatabaseError
from seatrial.model import ObjectKey, Schema, Script, Transaction
from seatrial.servers.postgresql import PostgresqlServer
from seatrial.sql import split

TABLE = "tab"
ALL = {name: (15, *case) for name, case in CASES.items()} | NEWER


pytestmark = pytest.mark.xdist_group("catalogue of postgresql")  # looked at once, by one worker


@dataclass
class Looked:
    """What the catalogue said of every case: the differences, or why there are none; and the attributes."""

    before: dict[str, Schema] = field(default_factory=dict)  # by set-up
    found: dict[str, dict[str, set[str]] | str] = field(default_factory=dict)
    attributes: set[tuple[str, str]] = field(default_factory=set)


@pytest.fixture(scope="module")
def looked(pg_server: PostgresqlServer) -> Iterator[Looked]:
    """Every case once, each in a transaction that is taken back."""
    database = pg_server.create()
    assert isinstance(database, PostgresqlDatabase)
    database.execute("create table tab (id int, a int, s text, v varchar(20))")
    with database.site.connect(database.name) as connection:
        connection.execute("set allow_in_place_tablespaces = on")
        connection.execute("create tablespace elsewhere location ''")
    everything = Looked()
    try:
        for name, (first, *case) in ALL.items():
            if first * 10000 <= database.site.version_num:
                everything.found[name] = _look(database, everything, *case[:2])
        yield everything
    finally:
        database.close()
        pg_server.maintain("drop tablespace elsewhere")


def _look(database: PostgresqlDatabase, everything: Looked, setup: str, change: str) -> dict[str, set[str]] | str:
    session = database.session
    session.rows("begin")
    try:
        _run(database, setup)
        before = everything.before.get(setup) or database.inspect()
        _run(database, change)
        after = database.inspect()
    except DatabaseError as error:
        return f"{error.code} {error}"
    finally:
        session.rows("rollback")
    everything.before[setup] = before
    for key, attributes in (*before.items(), *after.items()):
        everything.attributes |= {(key.kind, name) for name in attributes}
    return changed(before, after, frozenset({"given_name"}))


def _run(database: PostgresqlDatabase, text: str) -> None:
    for part in split(text.replace("{t}", TABLE), "postgresql"):
        database.session.rows(part.text)


@pytest.mark.parametrize("name", ALL)
def test_exactly_what_changed_is_named(looked: Looked, name: str) -> None:
    if name not in looked.found:
        pytest.skip(f"needs PostgreSQL {ALL[name][0]}")
    found = looked.found[name]
    if isinstance(found, str) and found.startswith("0A000"):  # no pg_trgm beside it, or built without ICU
        without(found)
    assert found == {label.replace("{t}", TABLE): names for label, names in ALL[name][3].items()}


def test_every_attribute_of_the_catalogue_has_a_change_of_its_own(looked: Looked) -> None:
    """What the catalogue says of an object and no case changes would be compared without proof."""
    kinds = {kind for kind, _ in looked.attributes}
    changes = {
        (_kind(label, kinds), attribute)
        for *_, expected in ALL.values()
        for label, names in expected.items()
        for attribute in names
    }
    assert looked.attributes - changes - NEVER.keys() == set()
    assert NEVER.keys() & changes == set()


def _kind(label: str, kinds: set[str]) -> str:
    """``materialized view t_m`` -> ``materialized view``."""
    return max((kind for kind in kinds if label.startswith(f"{kind} ")), key=len, default=label)


def test_overlaps_are_duplicates_of_a_key_without_them(pg_shared: PostgresqlDatabase) -> None:
    if pg_shared.site.version_num < 180000:
        pytest.skip("needs PostgreSQL 18")
    ran(
        pg_shared,
        "create table o18 (id int4range, p daterange, constraint o18_x unique (id, p without overlaps));"
        "insert into o18 values ('[1,2)', '[2024-01-01,2024-02-01)'), ('[1,2)', '[2024-02-01,2024-03-01)')",
    )
    before = pg_shared.take("A")
    assert [i.count for i in before.integrity if i.object == "constraint o18_x"] == [0]
    ran(pg_shared, "alter table o18 drop constraint o18_x; insert into o18 values ('[1,2)', '[2024-01-15,2024-01-20)')")
    after = pg_shared.take("B", also=before.schema)
    (found,) = (i for i in after.integrity if i.object == "constraint o18_x")
    assert (found.count, found.declared_before) == (2, True)


def test_names_follow_the_vocabulary(pg_shared: PostgresqlDatabase) -> None:
    ran(pg_shared, "create schema crm; create table crm.leads (id int primary key); create index on crm.leads (id)")
    schema = pg_shared.inspect()
    assert ObjectKey("table", "crm", "", "leads") in schema
    assert ObjectKey("column", "crm", "leads", "id") in schema
    assert ObjectKey("index", "crm", "leads", "leads_id_idx") in schema
    key = schema[ObjectKey("constraint", "crm", "leads", "leads_pkey")]
    assert (key["type"], key["columns"]) == ("primary key", ("id",))
    assert not [k for k in schema if k.namespace.startswith("_seatrial") or k.name == "_seatrial"]


def test_bookkeeping_tables_and_what_is_theirs_are_no_objects(pg_shared: PostgresqlDatabase) -> None:
    ran(pg_shared, "create table schema_migrations (id serial primary key, version text)")
    pg_shared.bookkeeping = frozenset({"schema_migrations"})
    try:
        assert not [k for k in pg_shared.inspect() if "schema_migrations" in k.name or "schema_migrations" in k.table]
    finally:
        pg_shared.bookkeeping = frozenset()


def test_an_invalid_index_is_not_valid(pg_shared: PostgresqlDatabase) -> None:
    ran(pg_shared, "create table inv (u text); insert into inv values ('a'), ('a')")
    text = "create unique index concurrently inv_u on inv (u)"
    step = pg_shared.run(Script(text=text, transaction=Transaction.STRING))
    assert step.error is not None and step.error.code == "23505"
    assert pg_shared.inspect()[ObjectKey("index", "", "inv", "inv_u")]["valid"] is False


def test_hostile_names_are_just_names(pg_shared: PostgresqlDatabase) -> None:
    hostile = '"; DROP TABLE x; --'
    emoji = "🛳" * 15 + "abc"  # 63 bytes
    for name in (hostile, emoji, "a.b", "%s", "{x}", "it's", "back\\slash", "SELECT"):
        quoted = pg_shared.quote(name)
        ran(pg_shared, f"create table {quoted} ({quoted} int primary key, v text)")
        assert ObjectKey("column", "", name, name) in pg_shared.inspect()


def test_what_18_brought(pg_shared: PostgresqlDatabase) -> None:
    if pg_shared.site.version_num < 180000:
        pytest.skip("needs PostgreSQL 18")
    ran(
        pg_shared,
        "create table p18 (id int primary key); insert into p18 values (1);"
        "create table t18 (id int primary key, a int, v int generated always as (a * 2) virtual,"
        " constraint t18_c check (a > 0) not enforced, constraint t18_f foreign key (a) references p18 not enforced);"
        "insert into t18 values (1, null), (2, -5);"
        "alter table t18 add constraint t18_n not null a not valid",
    )
    schema = pg_shared.inspect()
    column = schema[ObjectKey("column", "", "t18", "v")]
    assert (column["generated"], column["default"]) == ("virtual: (a * 2)", None)
    assert schema[ObjectKey("column", "", "t18", "a")]["not_null_validated"] is False
    for name in ("t18_c", "t18_f"):
        assert schema[ObjectKey("constraint", "", "t18", name)]["enforced"] is False
    before = pg_shared.take("A")
    found = {i.object: i.keys for i in before.integrity if i.count}
    expected = {"constraint t18_c": (("2",),), "constraint t18_f": (("2",),), "column t18.a": (("1",),)}
    assert {name: found.get(name) for name in expected} == expected
    ran(pg_shared, "alter table t18 drop constraint t18_c; alter table t18 alter v set expression as (a * 3)")
    after = pg_shared.take("B", since=before)
    (diff,) = pg_shared.diff(before, after, [pair(before, after, "t18")])
    (group,) = diff.changed
    assert (group.columns, group.rows[0].old, group.rows[0].new) == (("v",), ("-10",), ("-15",))


def test_every_column_of_the_catalogue_is_compared_or_said_why_not(pg_shared: PostgresqlDatabase) -> None:
    """What a newer version brings has to be decided on before the tests pass on it."""
    texts = " ".join([QUERY, *(str(text) for text in vars(_postgresql_catalog_rare).values())])
    words = set(re.findall(r"\w+", texts))
    rows = pg_shared.query(
        "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0"
        " where c.relkind = 'r' and c.relnamespace = 'pg_catalog'::regnamespace and a.attname <> 'oid'"
    )
    assert len(rows) > 400
    undecided = []
    for table, column in rows:
        function, told = TOLD.get(table, ("", ""))
        assert function in texts
        known = {*words, *told.split(), *WHY_NOT.get(table, {})}
        if table not in LEFT_OUT and column not in known:
            undecided.append(f"{table}.{column}")
    assert undecided == []
