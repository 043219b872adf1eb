"""Moments of which only the written pages are read: they have to be what reading the whole tables gives."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from engine_fixture import without
from pg_fixtures import ran
from test_engine_postgresql_rows import SETUP, TOUCHES

from seatrial.engines import _postgresql_pages, _postgresql_rows, _postgresql_wal
from seatrial.engines.postgresql import PostgresqlDatabase
from seatrial.model import Snapshot, TableRef
from seatrial.schema import pair_by_name
from seatrial.servers.postgresql import PostgresqlServer


@pytest.fixture(autouse=True)
def however_small(monkeypatch: pytest.MonkeyPatch, pg: PostgresqlDatabase) -> Iterator[None]:
    """Tables of one page too, and all of their pages."""
    if pg._wal is None:
        without("no means to read the log here")
    monkeypatch.setattr(_postgresql_rows, "PLACED", 0)
    monkeypatch.setattr(_postgresql_pages, "_SHARE", 0.001)
    yield


def derived(pg: PostgresqlDatabase, moment: str) -> set[str]:
    """Tables of which a moment keeps some pages only."""
    return {str(table) for table, shadow in pg._shadows.moments[moment].shadows.items() if shadow.base}


def same(pg: PostgresqlDatabase, pairs: list[tuple[Snapshot, Snapshot]]) -> None:
    """Moments that were read in part, and the same moments read whole: tables and every difference are equal."""
    for part, whole in pairs:
        assert part.tables == whole.tables and part.integrity == whole.integrity and part.counters == whole.counters
    for old, old_whole in pairs:
        for new, new_whole in pairs:
            found = pg.diff(old, new, pair_by_name(old, new))
            assert found == pg.diff(old_whole, new_whole, pair_by_name(old_whole, new_whole))


WHOLE = {"truncate", "rewrite", "other table of the name", "nothing", "a read", "index", "row locks", "default"}
WHOLE |= {"enum label renamed", "tables swapped by renaming"}  # bytes of another meaning, or another table


@pytest.mark.parametrize("name", TOUCHES)
def test_written_pages_are_what_reading_gives(pg: PostgresqlDatabase, name: str) -> None:
    ran(pg, SETUP)
    a, whole_a = pg.take("A"), pg.take("AW")
    ran(pg, TOUCHES[name][0])
    b, whole_b = pg.take("B", since=a), pg.take("BW")
    assert bool(derived(pg, "B")) == (name not in WHOLE)
    same(pg, [(a, whole_a), (b, whole_b)])


TABLES = """
create type mood as enum ('ok', 'sad');
create table keyed (id int primary key, v text, n numeric, m mood);
create table loose (v text, n numeric);
insert into keyed select i, 'v' || i, i / 7.0, 'ok' from generate_series(1, 600) i;
insert into loose select 'v' || i % 50, i % 3 from generate_series(1, 600) i;
"""
KEYED = TableRef("", "keyed")
WRITES = (
    "update keyed set v = v || 'x' where id = {a}",
    "update keyed set n = n * 1.0, m = 'sad' where id between {a} and {a} + 3",
    "delete from keyed where id between {a} and {a} + 2",
    "insert into keyed (id, v) values (10000 * {i} + {a}, 'new')",
    "update keyed set v = 'same' where id = {a}; update keyed set v = 'v{a}' where id = {a}",
    "update loose set n = n + 1 where v = 'v{b}'",
    "delete from loose where ctid = (select min(ctid) from loose)",
    "insert into loose select v, n from loose limit 2",
    "vacuum keyed",
    "vacuum freeze loose",
    "select count(*) from keyed where v > ''",
    "alter table keyed add w{i} text default 'x{a}'",
    "alter table keyed add y{i} mood default 'sad', add z{i} int[] default '{{1,2}}', add e{i} numeric",
    "alter table keyed drop column n; alter table keyed add column n numeric default 1.50",
    "alter table loose rename v to v{i}; alter table loose rename v{i} to v",
    "alter type mood add value 'more{i}'",
    "alter table loose rename n to k{i}; alter table loose add n numeric",
)


@pytest.mark.parametrize("seed", range(6))
def test_a_walk_of_writes(pg: PostgresqlDatabase, seed: int) -> None:
    chance = random.Random(seed)
    pg.execute(*TABLES.split(";\n")[:-1])
    moments = [(pg.take("M0"), pg.take("W0"))]
    some = set()
    for i in range(1, 6):
        for text in chance.sample(WRITES, 3):
            filled = text.format(a=chance.randrange(1, 600), b=chance.randrange(50), i=i)
            pg.execute(*filled.split("; "))
        moments.append((pg.take(f"M{i}", since=moments[-1][0]), pg.take(f"W{i}")))
        some |= derived(pg, f"M{i}")
    assert some
    same(pg, moments)


def test_places_are_not_believed_of_rows_known_by_their_checksum(
    pg: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows, written twice while the log was too long to be read, stand elsewhere than where they were read."""
    ran(pg, TABLES)
    a = pg.take("A")
    with monkeypatch.context() as too_long:
        too_long.setattr(_postgresql_wal, "_LEAST", -1)
        too_long.setattr(_postgresql_wal, "_SHARE", 10**9)
        ran(pg, "set track_counts = off; update keyed set v = v || 'x'; update keyed set v = left(v, -1)")
        b = pg.take("B", since=a)
    assert pg._shadows.moments["B"].shadows[KEYED].relation == pg._shadows.moments["A"].shadows[KEYED].relation
    ran(pg, "update keyed set v = 'z' where id = 5")
    c = pg.take("C", since=b)
    assert "keyed" not in derived(pg, "C")
    same(pg, [(a, a), (c, pg.take("CW"))])


def test_what_a_moment_needs_of_others_is_kept_and_let_go(pg: PostgresqlDatabase) -> None:
    ran(pg, TABLES)
    a = pg.take("A")
    checkpoint = pg.checkpoint()
    ran(pg, "update keyed set v = 'b' where id = 7")
    b = pg.take("B", since=a)
    pg.release("A")
    pg.restore(checkpoint)
    c = pg.take("C")
    (found,) = pg.diff(b, c, pair_by_name(b, c))
    assert [(r.key, r.old, r.new) for r in found.changed[0].rows] == [(("7",), ("b",), ("v7",))]
    pg.release("B"), pg.release("C")
    assert pg.query("select 1 from pg_class where relnamespace = '_seatrial'::regnamespace and relkind = 'r'") == []


def test_a_reset_forgets_moments_whose_copy_it_does_not_hold(pg: PostgresqlDatabase) -> None:
    ran(pg, TABLES)
    checkpoint = pg.checkpoint()
    a = pg.take("A")
    ran(pg, "update keyed set v = 'b' where id = 7")
    pg.take("B", since=a)
    assert derived(pg, "B") == {"keyed"} and pg.reset(checkpoint) == ""
    assert not pg._shadows.moments


def test_rows_of_a_prepared_transaction_are_seen_when_it_is_committed(pg: PostgresqlDatabase) -> None:
    """The log names their page when they are written, and no page when they come to be seen."""
    ran(pg, TABLES)
    a = pg.take("A")
    pg.execute("begin; update keyed set v = 'later' where id = 3; prepare transaction 'ours'")
    b = pg.take("B", since=a)
    pg.execute("commit prepared 'ours'")
    c = pg.take("C", since=b)
    same(pg, [(c, pg.take("CW"))])
    (found,) = pg.diff(b, c, pair_by_name(b, c))
    assert [(r.key, r.old, r.new) for r in found.changed[0].rows] == [(("3",), ("v3",), ("later",))]


def test_a_database_with_a_prepared_transaction_is_dropped(pg_server: PostgresqlServer) -> None:
    database = pg_server.create()
    database.execute("create table t (id int)", "begin; insert into t values (1); prepare transaction 'it''s left'")
    database.close()
    assert not pg_server.maintain(f"select 1 from pg_database where datname = '{database.name}'")
    assert not pg_server.maintain("select 1 from pg_prepared_xacts")
