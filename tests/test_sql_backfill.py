"""Rows that a backfill meant to reach: the query for them, run on real engines at the end of the step."""

import pytest
from sql_schemas import ref, schema

from seatrial.model import Snapshot
from seatrial.sql import quote_name, split
from seatrial.sql.intent import probe_sql, read
from seatrial.sql.taken_back import taken_back
from seatrial.sql.tokens import code


class Here:
    """An engine's database, and what a step leaves in it."""

    def __init__(self, engine):
        self.database = engine.create()
        self.engine = engine.name

    def missed(self, base, up):
        """The keys that the probes of all backfills return after up, and why others have none."""
        for statement in split(base, self.engine):
            self.database.execute(statement.text)
        before = self.database.inspect()
        statements = [s.text for s in split(up, self.engine)]
        for statement in statements:
            self.database.execute(statement)
        found = read(statements, self.engine, before)
        rows = [row for b in found.backfills for row in self.database.query(self._probe(b))]
        return sorted(int(r[0]) for r in rows), len(found.backfills), [why for _, why in found.unjudged_backfills]

    def _probe(self, backfill):
        snapshot = Snapshot(moment="B", schema=self.database.inspect())
        columns = {c: str(a.get("type") or "") for c, a in snapshot.schema.columns(backfill.table).items()}
        return probe_sql(backfill, ["id"], lambda n: quote_name(n, self.engine), columns)


@pytest.fixture
def here(engine):
    return Here(engine)


BASE = (
    "create table points (id int primary key, x int not null, label varchar(20), y int, price numeric(10,2), "
    "tag varchar(20));"
    "insert into points (id, x, label) values (1, 10, 'a'), (2, 20, 'B'), (3, 30, null), (4, 40, 'd'), (5, 50, 'e');"
    "create table names (id int primary key, point_id int, name varchar(20));"
    "insert into names (id, point_id, name) values (1, 1, 'one'), (2, 2, 'two'), (3, 2, 'zwei'), (4, 4, 'four');"
)
BATCH = {
    "sqlite": "update points set y = x where id in (select id from points where y is null order by id limit 2)",
    "mysql": "update points set y = x where y is null order by id limit 2",
}
BATCH["postgresql"], BATCH["mariadb"] = BATCH["sqlite"], BATCH["mysql"]


def test_batches_that_stop_early(here):
    assert here.missed(BASE, f"{BATCH[here.engine]};{BATCH[here.engine]}") == ([5], 1, [])


def test_batches_that_reach_every_row(here):
    assert here.missed(BASE, ";".join([BATCH[here.engine]] * 3)) == ([], 1, [])


def test_key_ranges(here):
    first = "update points set y = x where id between 1 and 2"
    assert here.missed(BASE, f"{first}; update points set y = x where id > 2 and id <= 4") == ([5], 1, [])


def test_key_ranges_beside_another_condition(here):
    up = (
        "update points set y = x where label is not null and id < 2;"
        "update points set y = x where (id >= 2 and id < 4) and label is not null"
    )
    assert here.missed(BASE, up) == ([4, 5], 1, [])


def test_one_range_is_meant(here):
    assert here.missed(BASE, "update points set y = x where id > 3") == ([], 1, [])


def test_equal_keys_are_meant(here):
    up = "update points set y = 1 where id = 3; update points set y = 1 where id in (4, 5)"
    assert here.missed(BASE, up) == ([], 1, [])


def test_values_meet_the_type_of_the_column(here):
    up = "update points set price = '5.000', tag = 7 where id < 3"
    assert here.missed(BASE, up) == ([], 1, [])


def test_rounding_as_the_assignment_rounds(here):
    assert here.missed(BASE, "update points set price = x / 3.0, y = x / 4.0") == ([], 1, [])


def test_case_counts(here):
    up = "update points set tag = 'A' where id = 1; update points set label = 'A' where x = 10"
    assert here.missed(BASE, up) == ([], 2, [])


def test_a_batch_of_none(here):
    base = (
        "create table t2 (id int primary key, a varchar(9), b varchar(9));"
        "insert into t2 values (1, 'x', null), (2, 'y', 'Y'), (3, null, null)"
    )
    batch = "where b is null limit 0"
    picked = f"where id in (select id from t2 {batch})"
    up = f"update t2 set b = a {batch if here.engine in ('mysql', 'mariadb') else picked}"
    assert here.missed(base, up) == ([1], 1, [])  # row 3 was to become NULL, which it is


SOURCES = {
    "sqlite": "update points set label = n.name from names n where n.point_id = points.id and points.id <> 4",
    "mysql": "update points p join names n on n.point_id = p.id set p.label = n.name where p.id <> 4",
}
SOURCES["postgresql"], SOURCES["mariadb"] = SOURCES["sqlite"], SOURCES["mysql"]


def test_of_several_source_rows_any_will_do(here):
    assert here.missed(BASE, SOURCES[here.engine]) == ([], 1, [])


def test_a_joined_batch_that_stops_early(here):
    if here.engine in ("mysql", "mariadb"):
        pick = "(select id from points where y is null order by id limit 2) b"
        up = f"update points p join {pick} on b.id = p.id set p.y = p.x"
    else:
        pick = "(select id from points where y is null order by id limit 2) b"
        up = f"update points set y = x from {pick} where b.id = points.id"
    assert here.missed(BASE, up) == ([3, 4, 5], 1, [])


@pytest.mark.engines("sqlite", "postgresql", "mysql")  # MariaDB 10.11 has no WITH in front of UPDATE
def test_a_batch_behind_with(here):
    where = "where id in (select id from b)"
    up = f"with b as (select id from points where y is null order by id limit 2) update points set y = x {where}"
    assert here.missed(BASE, up) == ([3, 4, 5], 1, [])


def test_scalar_sub_select(here):
    up = "update points set label = (select max(n.name) from names n where n.point_id = points.id)"
    assert here.missed(BASE, up) == ([], 1, [])


@pytest.mark.engines("sqlite", "postgresql")  # the others have no row in SET
def test_rows_as_values(here):
    up = "update points set (label, y) = (select max(n.name), min(n.id) from names n where n.point_id = points.id)"
    assert here.missed(BASE, up) == ([], 1, [])


def test_aliases_and_quoted_names(here):
    q = quote_name("sel ect", here.engine)
    column = quote_name("a.b", here.engine)
    base = f"create table {q} (id int primary key, {column} int); insert into {q} values (1, null), (2, 3)"
    up = f"update {q} set {column} = 4 where id = 1"
    assert here.missed(base, up) == ([], 1, [])


def test_after_a_rename(here):
    up = f"alter table points rename to dots; {BATCH[here.engine].replace('points', 'dots')}"
    assert here.missed(BASE, up) == ([3, 4, 5], 1, [])


def test_a_column_that_was_just_added(here):
    up = "alter table points add column z int; update points set z = x * 2 where label is not null"
    assert here.missed(BASE, up) == ([], 1, [])


# --- what is judged at all: no engine needed --------------------------------------------------------------------------

TABLES = {
    "points": {c: {"type": "int"} for c in ("id", "x", "y")} | {"label": {"type": "varchar(20)"}},
    "names": {c: {} for c in ("id", "point_id", "name")},
}
KEYS = [
    ("primary key", "points", "points(id)", {"type": "primary key", "columns": ("id",)}),
    (
        "trigger",
        "points",
        "slugs",
        {"definition": "create trigger slugs before update on points begin set new.label = 1; end"},
    ),
]
UNJUDGED = [
    ("update points set y = random()", "not the same every time"),
    ("update points set y = (select max(id) from names), x = nextval('s')", "not the same every time"),
    ("update points set y = y + 1", "reads a column"),
    ("update points set y = points.y + 1", "reads a column"),
    ("update points set y = x, x = 1", "reads a column"),
    ("update points set y = f.up from (select id, y + 1 as up from points) f where f.id = points.id", "reads a column"),
    (
        "update points set y = f.up from (select *, cut + 1 up from (select *, y / 2 as cut from points) c) f"
        " where f.id = points.id",
        "reads a column",
    ),
    ("with f as (select id, y + 1 as up from points) update points set y = (select up from f limit 1)", "reads a col"),
    ("update points set y = x where id = %s", "bound apart"),
    ("update points set label = 'x'", "trigger"),
    ("update points set y = x; update points set y = 1", "later statement"),
    ("update points set y = x; delete from points where id = 1", "later statement"),
    ("update points set y = x; alter table points drop column x", "later statement"),
    ("update points set y = x; alter table points rename column y to z", "not there at the end"),
    ("update points set y = x; alter table points rename to dots", "not there at the end"),
    ("update points set y = x; insert into points (id) values (7)", "later statement"),
    ("update points set y = x; drop table points", "not there at the end"),
    ("update points set y = (select max(id) from names); delete from names", "later statement"),
    ("update points set y = x where id > (select id from points order by id limit 1)", "rests on its LIMIT"),
    ("update points set y = default", "default"),
    (
        "create temporary table t (id int); update points set y = x where id in (select id from t)",
        "not there at the end",
    ),
    ("update other set y = 1", "not there at the end"),
]


@pytest.mark.parametrize(("up", "why"), UNJUDGED)
def test_unjudged(up, why):
    found = read([s.text for s in split(up, "postgresql")], "postgresql", schema(TABLES, KEYS))
    assert [b.statement for b in found.backfills if b.statement.startswith("update points set y = x")] == []
    assert any(why in reason for _, reason in found.unjudged_backfills)


LIMITED = "update points set y = x where id in (select id from points where y is null limit %s)"
UNPROVEN = [  # statements, and whether their rows can have been left out unseen
    ([LIMITED], True),
    (["update points set y = x where id between %s and %s"] * 2, True),
    (["update points set y = %s where id > %s and id <= %s"] * 2, True),
    (["set search_path = other, public", LIMITED.replace("%s", "2").replace("points", "public.points")], True),
    (["do $$ begin " + LIMITED.replace("%s", "2") + "; end $$"], False),  # judged
    (["update points set y = x where id between %s and %s"], False),  # one range is meant
    (["update points set y = x where id = %s"] * 2, False),  # a row each
    (["update points set y = %s"], False),
    (["update points set y = (select id from names limit 1) where id = %s"], False),
    (["update points set y = x where id = (select id from names where name = %s limit 1)"], False),
    ([LIMITED.replace("y = x", "y = y + 1")], False),  # out of the rule's scope, as are the next
    ([LIMITED, "update points set y = 1"], False),
    ([LIMITED.replace("%s", "2")], False),  # judged
]


@pytest.mark.parametrize(("statements", "unproven"), UNPROVEN)
def test_batches_that_cannot_be_read_are_not_proven(statements, unproven):
    found = read(statements, "postgresql", schema(TABLES, KEYS)).unproven_backfills
    assert [(b.table, b.columns) for b in found] == ([(ref("points"), ("y",))] if unproven else [])


JUDGED = [
    "update points set y = x; alter table points alter column y set not null",
    "update points set y = x; alter table points add column z int",
    "update points set y = x; create index i on points (y)",
    "update points set y = x; update points set z = 1",
    "update points set y = x; update names set name = 'x'",
    "update points set y = x; delete from names",
    "update points set y = (select n.id from names n where n.y = points.x)",
    "update points set y = x, label = label",
    "update points set y = f.up from (select id, x + 1 as up, y from points where y is null) f where f.id = points.id",
    "update points set y = f.up from (select id, name as up from names) f where f.id = points.id",
]


@pytest.mark.parametrize("up", JUDGED)
def test_judged(up):
    found = read([s.text for s in split(up, "postgresql")], "postgresql", schema(TABLES, KEYS))
    assert [b.table for b in found.backfills if b.columns[0] == "y"] == [ref("points")]


def test_modify_to_not_null_keeps_the_type():
    tables = {"points": {"id": {"type": "int"}, "x": {"type": "int"}, "y": {"type": "int"}}}
    for after, count in (("modify y int not null", 1), ("modify y bigint not null", 0)):
        up = ["update points set y = x", f"alter table points {after}"]
        assert len(read(up, "mysql", schema(tables)).backfills) == count


def test_a_zone_of_the_session_is_not_ours():
    tables = {
        "events": {"id": {"type": "integer"}, "at": {"type": "timestamp with time zone"}, "day": {"type": "date"}}
    }
    for statement in ("update events set day = at", "update events set at = '2020-01-01'"):
        (backfill,) = read([statement], "postgresql", schema(tables)).backfills
        assert "IS NULL) = (" in probe_sql(backfill, ["id"], lambda n: n)
    (backfill,) = read(["update events set day = at at time zone 'UTC'"], "postgresql", schema(tables)).backfills
    assert "DISTINCT FROM" in probe_sql(backfill, ["id"], lambda n: n)


@pytest.mark.parametrize(
    ("session", "before", "judged"),
    [
        ((), "", 1),
        ((), "PRAGMA case_sensitive_like = ON", 0),
        (("pragma case_sensitive_like(true)",), "", 0),
        (("pragma case_sensitive_like = 1",), "PRAGMA case_sensitive_like = 0", 1),
    ],
)
def test_a_like_that_minds_case_is_not_asked_again_by_one_that_does_not(session, before, judged):
    statements = [*filter(None, [before]), "update users set name = 'x' where name like 'A%'"]
    found = read(statements, "sqlite", schema({"users": "id name"}), session=session)
    assert len(found.backfills) == judged
    assert [why for _, why in found.unjudged_backfills] == ["PRAGMA case_sensitive_like was set"] * (1 - judged)


TAKEN_BACK = {
    "a transaction": (
        "mysql",
        "update t set a = 1;begin;update t set a = 2;delete from u;rollback;select 1",
        {1, 2, 3},
    ),
    "a savepoint": ("sqlite", "begin;savepoint Here;update t set a = 1;rollback to savepoint here;commit", {1, 2}),
    "committed before": ("postgresql", "begin;update t set a = 1;end;begin;update t set a = 2;rollback", {3, 4}),
    "commits by itself": ("mariadb", "start transaction;update t set a = 1;drop table u;rollback", set()),
    "of no transaction": ("postgresql", "update t set a = 1;rollback", set()),
    "a block": ("mariadb", "begin not atomic update t set a = 1; end;rollback", set()),
}


@pytest.mark.parametrize(("dialect", "script", "expected"), TAKEN_BACK.values(), ids=TAKEN_BACK)
def test_what_rollbacks_take_back(dialect, script, expected):
    assert taken_back([tuple(code(s.text, dialect)) for s in split(script, dialect)], dialect) == expected


def test_a_backfill_that_is_taken_back_left_nothing_out():
    script = ["begin", "update t set a = 1", "rollback", "update t set b = 2"]
    assert [b.columns for b in read(script, "mysql", schema({"t": "id a b"})).backfills] == [("b",)]
