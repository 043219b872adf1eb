"""Values kept as a copy of a table's file: they have to be what reading the rows gives."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from engine_fixture import without
from pg_fixtures import ran
from test_engine_postgresql_rows import SETUP, TOUCHES

from seatrial.engines import _postgresql_files, _postgresql_pages, _postgresql_rows, _postgresql_unmoved
from seatrial.engines.postgresql import PostgresqlDatabase
from seatrial.errors import DatabaseError
from seatrial.model import Disturbance, Snapshot
from seatrial.schema import pair_by_name


@pytest.fixture(autouse=True)
def however_small(monkeypatch: pytest.MonkeyPatch, pg: PostgresqlDatabase) -> Iterator[None]:
    if not (pg.site.is_local and pg.site.data_folder):
        without("no server whose files are ours")
    monkeypatch.setattr(_postgresql_files, "LEAST", 0)
    yield


def filed(pg: PostgresqlDatabase, moment: str) -> set[str]:
    """Tables whose values a moment keeps as a file."""
    shadows = pg._shadows.moments[moment].shadows
    return {str(table) for table, shadow in shadows.items() if any(copy.values for copy in shadow.copies)}


def whole(pg: PostgresqlDatabase, moment: str) -> Snapshot:
    """The same, with all values written anew."""
    with pytest.MonkeyPatch.context() as never:
        never.setattr(_postgresql_files, "LEAST", 1 << 60)
        taken = pg.take(moment)
    assert not filed(pg, moment)
    return taken


def same(pg: PostgresqlDatabase, pairs: list[tuple[Snapshot, Snapshot]]) -> None:
    """Moments kept as files and as rows, in any combination: tables and every difference are equal."""
    for files, rows in pairs:
        assert files.tables == rows.tables
    for old, old_rows in pairs:
        for new, new_rows in pairs:
            expected = pg.diff(old_rows, new_rows, pair_by_name(old_rows, new_rows))
            assert pg.diff(old, new, pair_by_name(old, new)) == expected
            assert pg.diff(old, new_rows, pair_by_name(old, new_rows)) == expected
            assert pg.diff(old_rows, new, pair_by_name(old_rows, new)) == expected


TABLES = """
create domain short as varchar(9) check (value <> '');
create table keyed (id int primary key, gone timestamptz, v text, n numeric(9,3), s short, x char(5), f float8, j jsonb,
  t timestamptz, a int[], u uuid, b bytea, k text generated always as (v || '!') stored, o "char", i inet, z interval);
create table loose (v text, w "name", n numeric);
create table two (a text, b int, v text, unique (a, b));
alter table two alter a set not null, alter b set not null;
insert into keyed (id, gone, v, n, s, x, f, j, t, a, u, b, o, i, z)
  select i, now(), 'v' || i, i / 7.0, 's' || i, 'x', i / 3.0, jsonb_build_object('k', i), '2020-01-01',
  array[i, null], md5(i::text)::uuid, decode('00ff', 'hex'), 'o',
  '::1', '1 day'
  from generate_series(1, 300) i;
insert into loose select 'v' || i % 50, 'w', i % 3 from generate_series(1, 300) i;
insert into two select 'a' || i % 7, i, repeat('long ', i) from generate_series(1, 200) i;
alter table keyed drop gone;
"""
WRITES = (
    "update keyed set v = v || 'x', n = n * 2 where id % {b} = 3",
    "update keyed set s = null, x = 'yy', f = -f where id between {a} and {a} + 3",
    "delete from keyed where id between {a} and {a} + 20",
    "insert into keyed (id, v, j) values (10000 * {i} + {a}, 'new', 'null')",
    "update loose set n = n + 1 where v = 'v{b}'",
    "delete from loose where ctid = (select min(ctid) from loose)",
    "insert into loose select v, w, n from loose limit 2",
    "update two set b = -b where b % {b} = 1",
    "update two set v = 'short' where b > {a}",
    "truncate two",
    "vacuum keyed",
    "vacuum (freeze) loose",
    "vacuum full",
    "cluster keyed using keyed_pkey",
    "alter table keyed drop column f; alter table keyed add column f float8",
    "alter table keyed alter column n type numeric(12,4)",
    "alter table loose rename v to v{i}; alter table loose rename v{i} to v",
    "alter table two drop constraint if exists two_a_b_key",
    "alter table loose rename n to k{i}; alter table loose add n numeric",
)


@pytest.mark.parametrize("seed", range(4))
def test_a_walk_of_writes(pg: PostgresqlDatabase, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_postgresql_rows, "PLACED", 0)
    monkeypatch.setattr(_postgresql_pages, "_SHARE", (0.001, 10**9)[seed % 2])
    chance = random.Random(seed)
    pg.execute(*TABLES.split(";\n")[:-1])
    moments = [(pg.take("M0"), whole(pg, "W0"))]
    assert filed(pg, "M0") == {"keyed", "loose", "two"}
    for i in range(1, 5):
        for text in chance.sample(WRITES, 3):
            filled = text.format(a=chance.randrange(1, 300), b=chance.randrange(4, 50), i=i)
            pg.execute(*filled.split("; "))
        moments.append((pg.take(f"M{i}", since=moments[-1][0]), whole(pg, f"W{i}")))
    same(pg, moments)


@pytest.mark.parametrize("name", [*TOUCHES][::3])
def test_what_is_carried_over_is_what_reading_gives(pg: PostgresqlDatabase, name: str) -> None:
    ran(pg, SETUP)
    a, rows_a = pg.take("A"), whole(pg, "AW")
    assert filed(pg, "A")
    ran(pg, TOUCHES[name][0])
    same(pg, [(a, rows_a), (pg.take("B", since=a), whole(pg, "BW"))])


ELSEWHERE = {
    "TOAST": "create table t (id int primary key, v text); alter table t alter v set storage external; "
    "insert into t values (1, repeat('x', 9999))",
    "a missing value": "create table t (id int); insert into t values (1); alter table t add v int default 7",
    "a type of the project's": "create type m as enum ('a'); create table t (m m); insert into t values ('a')",
    "no log": "create unlogged table t (id int); insert into t values (1)",
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_a_file_does_not_hold_is_read(pg: PostgresqlDatabase, name: str) -> None:
    pg.execute(*ELSEWHERE[name].split("; "))
    a, rows = pg.take("A"), whole(pg, "W")
    assert not filed(pg, "A")
    same(pg, [(a, rows)])


def test_a_table_that_somebody_writes_is_read(pg: PostgresqlDatabase) -> None:
    """What becomes of a row of theirs would come to be seen in the copy as well."""
    ran(pg, TABLES)
    with closing(pg.site.connect(pg.name)) as other:
        other.execute("begin")
        other.execute("delete from loose")
        a = pg.take("A")
        other.execute("commit")
    assert filed(pg, "A") == {"keyed", "two"}
    (found,) = pg.diff(a, pg.take("B"), pair_by_name(a, a))
    assert found.lost_count == 300


def test_a_restore_brings_files_along(pg: PostgresqlDatabase) -> None:
    ran(pg, TABLES)
    a = pg.take("A")
    checkpoint = pg.checkpoint()
    ran(pg, "update keyed set v = 'b' where id % 2 = 0; delete from loose where n = 1")
    b, rows_b = pg.take("B"), whole(pg, "BW")
    pg.restore(checkpoint)
    pg.execute("vacuum (freeze)")
    c = pg.take("C", since=a)
    assert filed(pg, "B") == {"keyed", "loose", "two"} and a.tables[0].checksum == c.tables[0].checksum
    same(pg, [(b, rows_b), (c, whole(pg, "CW"))])
    pg.restore(checkpoint)
    same(pg, [(b, rows_b)])
    for moment in list(pg._shadows.moments):
        pg.release(moment)
    assert pg.query("select 1 from pg_class where relnamespace = '_seatrial'::regnamespace and relkind = 'r'") == []


def test_files_written_anew_are_noticed(pg: PostgresqlDatabase) -> None:
    """VACUUM FULL writes our tables too, their rows in other places than before."""
    ran(pg, TABLES)
    a, rows_a = pg.take("A"), whole(pg, "AW")
    ran(pg, "update keyed set v = 'b' where id < 20; insert into loose select * from loose limit 9")
    pg.execute("vacuum full")
    b = pg.take("B", since=a)
    assert not filed(pg, "A") and filed(pg, "B") == {"keyed", "loose"}  # the third holds the same rows as before
    same(pg, [(a, rows_a), (b, whole(pg, "BW"))])


def test_values_are_cast_back_from_files(pg: PostgresqlDatabase) -> None:
    ran(
        pg,
        "create table t (id int primary key, v numeric); insert into t select i, i / 2.0 from generate_series(1,9) i",
    )
    a, rows_a = pg.take("A"), whole(pg, "AW")
    ran(pg, "alter table t alter v type int using v::int")
    b, rows_b = pg.take("B", since=a), whole(pg, "BW")
    (pair,) = pair_by_name(a, b)
    (lost,) = found = pg.cast_backs(a, b, pair, [("v", "v")], [])
    assert filed(pg, "A") == filed(pg, "B") == {"t"} and lost.count == 9
    assert found == pg.cast_backs(rows_a, rows_b, pair, [("v", "v")], [])


ONE_FILE = {
    "rows updated": "update keyed set v = v || 'x' where id % 7 = 3",
    "keys updated": "update keyed set id = -id where id % 9 = 0; update keyed set id = id + 1000 where id > 290",
    "rows deleted": "delete from keyed where id % 7 = 3; update keyed set v = 'n' where id = 5",
    "rows put back": "create temp table x as select id, v, n from keyed where id < 40; "
    "delete from keyed where id < 60; vacuum keyed; insert into keyed (id, v, n) select * from x",
    "written as they were": "update keyed set v = v; update keyed set n = 3.1 where id = 7",
    "rows taken back": "begin; delete from keyed; insert into keyed (id) values (7); rollback; "
    "insert into keyed (id) values (777)",
    "frozen": "update keyed set n = n + 1 where id = 9; vacuum (freeze) keyed",
    "a column gone": "update keyed set u = null where id < 20; alter table keyed drop column f",
    "a column made again": "alter table keyed drop column f; alter table keyed add column f float8; "
    "update keyed set f = 1 where id > 200",
}
JOINED = {
    "a column gone, rows too": "alter table keyed drop column f; delete from keyed where id = 2",
    "columns swapped": "alter table keyed rename u to h; alter table keyed rename z to u; "
    "alter table keyed rename h to z",
    "another type": "alter table keyed alter s type varchar; update keyed set v = 'z' where id = 4",
    "another file": "vacuum full keyed; update keyed set v = 'z' where id = 4",
}


@pytest.mark.parametrize("name", [*ONE_FILE, *JOINED])
def test_rows_that_stand_where_they_stood(pg: PostgresqlDatabase, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bool] = []
    joined = _postgresql_unmoved.joined
    monkeypatch.setattr(_postgresql_unmoved, "joined", lambda *a: found.append(joined(*a)) or found[-1])
    ran(pg, TABLES)
    a, rows_a = pg.take("A"), whole(pg, "AW")
    pg.execute(*(ONE_FILE | JOINED)[name].split("; "))
    b, rows_b = pg.take("B"), whole(pg, "BW")
    assert pg.diff(a, b, pair_by_name(a, b)) == pg.diff(rows_a, rows_b, pair_by_name(a, b))
    assert found[:1] == [name in ONE_FILE]


def test_what_a_transaction_writes_later_that_began_before(pg: PostgresqlDatabase) -> None:
    """Its number is lower than those of rows that stood by then."""
    ran(pg, TABLES)
    with closing(pg.site.connect(pg.name)) as other:
        other.execute("begin")
        other.execute("delete from loose where n = 1")  # it has its number now
        ran(pg, "update keyed set v = 'a' where id < 9")
        a, rows_a = pg.take("A"), whole(pg, "AW")
        other.execute("update keyed set v = 'late' where id between 5 and 12")
        other.execute("commit")
    b, rows_b = pg.take("B"), whole(pg, "BW")
    assert filed(pg, "A") == {"keyed", "two"} and filed(pg, "B") == {"keyed", "loose", "two"}
    same(pg, [(a, rows_a), (b, rows_b)])


def test_a_file_goes_on_in_segments(tmp_path: Path) -> None:
    for name, held in (("7", b"a"), ("7.1", b"b"), ("7.2", b"c"), ("7_vm", b"map"), ("9", b"")):
        (tmp_path / name).write_bytes(held)
    (tmp_path / "9").chmod(0o600)
    _postgresql_files.copy_segments(tmp_path / "7", tmp_path / "9")
    assert [(p.name, p.read_bytes()) for p in sorted(tmp_path.glob("9*"))] == [
        ("9", b"a"),
        ("9.1", b"b"),
        ("9.2", b"c"),
    ]
    assert (tmp_path / "9.2").stat().st_mode & 0o777 == 0o600


def test_a_disk_that_is_full_is_the_surroundings_doing(pg: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    ran(pg, TABLES)
    with monkeypatch.context() as patched:
        patched.setattr(_postgresql_files, "copy_segments", full)
        with pytest.raises(DatabaseError) as refused:
            pg.take("A")
    assert pg.disturbance(refused.value) is Disturbance.RESOURCE
    same(pg, [(pg.take("A"), whole(pg, "W"))])
