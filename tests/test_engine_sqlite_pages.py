"""The proof that a table was not touched: whatever was done to the file, a change is never missed."""
# ruff: noqa: E501 - statements are easier to read on one line

import random
import shutil
import sqlite3
from contextlib import closing

import pytest
from engine_fixture import without
from test_engine_sqlite_support import changes, run

from seatrial.engines import _sqlite_delta
from seatrial.engines._sqlite_delta import compare, tree
from seatrial.engines.sqlite import SqliteDatabase

BASE = """
create table a (id integer primary key, v, w);
create table b (id integer primary key, v text);
create table k (x text primary key, v) without rowid;
create table n (v, w);
create index ai on a (v);
with recursive i (n) as (select 1 union all select n + 1 from i where n < 2000) insert into a select n, 'v' || n, n % 7 from i;
insert into b select id, printf('%.*c', 200 + id % 9000, 'x') from a where id <= 120;
insert into k select v, printf('%.*c', id % 3000, 'y') from a where id <= 200;
insert into n select v, w from a;
"""


@pytest.fixture(params=["compared", "watched"])
def ways(request, monkeypatch):
    """Both ways of knowing which pages changed: a comparison of all, and the journals of our own connections.

    The second with the short cuts that are meant for large files.
    """
    if request.param == "compared":
        return {"watched": 1 << 40}
    monkeypatch.setattr(_sqlite_delta, "FEW", 0)
    monkeypatch.setattr(_sqlite_delta, "LARGE", 0)
    return {"watched": 0}


@pytest.fixture
def database(tmp_path, ways):
    folder = tmp_path / "db"
    folder.mkdir()
    made = SqliteDatabase(folder / "test.sqlite3", **ways)
    yield made
    made.close()


def looked(database, old):
    """Which tables a look since ``old`` found touched; the numbers must be those of a look without help."""
    new = database.take("new", since=old)
    found = changes(database, old, new)
    kept_as_it_was(database, "new", database.path.read_bytes())
    kept_as_it_was(database, old.moment, database.bytes_of[old.moment])
    unaided = database.take("unaided")
    assert (new.tables, new.integrity, new.counters) == (unaided.tables, unaided.integrity, unaided.counters)
    assert found == changes(database, old, unaided)
    earlier, later = database._moments[old.moment], database._moments["new"]
    delta = compare(earlier.state, later.state)
    touched = delta.touched(earlier.catalog.roots, earlier.catalog.other_roots) if delta else {"everything"}
    return touched, found


def kept(database, moment, since=None):
    """A moment, with the file's own bytes beside it."""
    database.bytes_of = getattr(database, "bytes_of", {})
    found = database.take(moment, since=since)
    database.bytes_of[moment] = database.path.read_bytes()
    return found


def kept_as_it_was(database, moment, expected):
    """The state of a moment is the file of that moment, byte for byte, but for free pages."""
    state = database._moments[moment].state
    with state.mirror.file(state) as path:
        found = path.read_bytes()
    assert len(found) == len(expected)
    unit = state.mirror.unit
    with state.pages() as pages:
        free = set(pages.free())
    other = {
        p for p in range(1, state.count + 1) if found[(p - 1) * unit : p * unit] != expected[(p - 1) * unit : p * unit]
    }
    assert other <= free


CHANGES = {
    "one value": ("update a set w = -1 where id = 1000", {"a"}),
    "nothing": ("update a set w = w where id = 1", set()),
    "swapped between rows": ("update a set w = case id when 1 then 2 else 1 end where id in (1, 2)", {"a"}),
    "one row less": ("delete from a where id = 2000", {"a"}),
    "one row more": ("insert into a values (2001, 'q', 1)", {"a"}),
    "a rowid moved": ("update a set id = 5000 where id = 3", {"a"}),
    "last byte of a long text": ("update b set v = substr(v, 1, length(v) - 1) || 'z' where id = 110", {"b"}),
    "middle of a long text": ("update b set v = substr(v, 1, 5000) || 'z' || substr(v, 5002) where id = 100", {"b"}),
    "all long texts": ("update b set v = upper(v)", {"b"}),
    "without rowid": ("update k set v = 1 where x = 'v7'", {"k"}),
    "without rowid, long": ("update k set v = substr(v, 1, length(v) - 1) || 'z' where x = 'v199'", {"k"}),
    "no key": ("update n set w = 100 where v = 'v1999'", {"n"}),
    "text into number": ("update a set v = 1 where id = 1; update a set v = '1' where id = 1", {"a"}),
    "storage class": ("update a set w = cast(w as text) where id = 5", {"a"}),
    "emptied and filled again": (
        "create temp table t as select * from a; delete from a; insert into a select * from t",
        None,
    ),
}


@pytest.mark.parametrize(
    "pages", ["", "pragma page_size = 512;", "pragma auto_vacuum = 1;", "pragma page_size = 65536;"]
)
@pytest.mark.parametrize("case", CHANGES, ids=str)
def test_what_changed_is_seen(database, pages, case):
    sql, expected = CHANGES[case]
    run(database, pages + BASE)
    old = kept(database, "old")
    run(database, sql)
    touched, found = looked(database, old)
    if expected is None or (case == "nothing" and touched == {"a"}):
        assert found == ()
    else:
        assert touched == expected
        assert {d.table.name for d in found} == expected


SAME = {
    "vacuum": "delete from n where w = 3 and 0; vacuum",
    "dropped and made again": "create table t as select * from a; drop table a; create table a (id integer primary key, v, w);"
    "insert into a select * from t; drop table t; create index ai on a (v)",
    "another page size": "pragma page_size = 8192; vacuum",
    "auto-vacuum": "pragma auto_vacuum = 1; vacuum",
    "analyze": "analyze",
    "an index": "create index x on b (v); create index y on n (w)",
    "a new table": "create table z (a); insert into z select v from b",
    "room made and given back": "create table z (a); insert into z select v from b; drop table z",
    "write-ahead log": "pragma journal_mode = wal; insert into n values (1, 1); delete from n where w = 1 and v = 1",
    "reindex": "reindex",
}


@pytest.mark.parametrize("case", SAME, ids=str)
def test_the_same_rows_are_the_same(database, case):
    run(database, BASE)
    old = kept(database, "old")
    run(database, SAME[case])
    _, found = looked(database, old)
    assert found == ()


@pytest.mark.parametrize("case", SAME, ids=str)
def test_a_change_behind_a_move_is_seen(database, case):
    run(database, BASE)
    old = kept(database, "old")
    run(database, SAME[case] + "; update b set v = v || '!' where id = 77; update k set v = null where x = 'v3'")
    _, found = looked(database, old)
    assert [(d.table.name, d.changed_count, d.lost_count, d.added_count) for d in found] == [
        ("b", 1, 0, 0),
        ("k", 1, 0, 0),
    ]


def test_pages_that_change_owners(database):
    """Table b's pages are freed and taken by a copy of it, then the other way round."""
    run(database, BASE)
    old = kept(database, "old")
    run(
        database, "create table t as select * from b; delete from b; insert into b select id, v from t order by id desc"
    )
    run(database, "drop table t; update b set v = 'changed' where id = 5")
    _, found = looked(database, old)
    assert [(d.table.name, d.changed_count) for d in found] == [("b", 1)]


@pytest.mark.parametrize("seed", range(12))
def test_random_work_agrees_with_a_full_read(database, seed):
    chance = random.Random(seed)
    size = chance.choice([512, 1024, 4096])
    run(database, f"pragma page_size = {size}; pragma auto_vacuum = {chance.choice([0, 1, 2])}; {BASE}")
    old = kept(database, "old")
    for _ in range(4):
        if chance.random() < 0.2:
            with closing(sqlite3.connect(database.path, isolation_level=None)) as stranger:
                stranger.execute(_work(chance))
        work = ["begin", "savepoint a"] if chance.random() < 0.5 else []
        work += [_work(chance) for _ in range(chance.randrange(1, 6))]
        if work[0] == "begin":
            work += chance.choice([["commit"], ["rollback"], ["rollback to a", _work(chance), "commit"]])
        settings = chance.choice(["", "", "pragma synchronous = full; pragma cache_size = 5;"])
        run(database, settings + ";".join(work))
        looked(database, old)
        old = kept(database, "old", since=old)


def _work(chance):
    row = chance.randrange(1, 2000)
    length = chance.randrange(0, 12000)
    statement = chance.choice(
        [
            "update a set v = {1} where id = {0}",
            "update b set v = printf('%.*c', {1}, 'q') where id = {0} % 120",
            "update b set v = replace(v, 'x', 'y') where id = {0} % 120 and {1}",
            "delete from a where id between {0} and {0} + {1} / 100",
            "insert or replace into a values ({0}, printf('%.*c', {1}, 'q'), {1})",
            "insert or replace into k values ('v' || {0}, printf('%.*c', {1}, 'q'))",
            "delete from k where x > 'v' || ({0} + {1} * 0)",
            "update n set v = {1} where w = {0} % 7",
            "insert into n select v, {1} from n where {0} % 5 = 0 limit 100",
        ]
    )
    return statement.format(row, length)


def test_owners_agree_with_dbstat(database):
    """Our walk of the b-trees finds the pages that SQLite itself counts to them."""
    run(database, f"pragma page_size = 512; {BASE}")
    database.take("now")
    state = database._moments["now"].state
    with closing(sqlite3.connect(database.path)) as connection, state.pages() as pages:
        options = {row[0] for row in connection.execute("pragma compile_options")}
        if "ENABLE_DBSTAT_VTAB" not in options:
            without("this SQLite is built without dbstat")
        for name, root in connection.execute("select name, rootpage from sqlite_schema").fetchall():
            rows = connection.execute("select pagetype, pageno from dbstat where name = ?", (name,)).fetchall()
            found = tree(state, root)
            assert found.interior == {p for t, p in rows if t == "internal"}
            assert found.leaves == {p for t, p in rows if t == "leaf"}
            chains = {o for p in found.interior | found.leaves for o in pages.chains(p)}
            assert chains == {p for t, p in rows if t == "overflow"}


def test_an_added_column_does_not_touch_what_is_there(database):
    """The leaves stay, and rows are short: their new value is the default."""
    run(database, BASE)
    old = kept(database, "old")
    run(database, "alter table a add column d int default 5")
    new = database.take("new", since=old)
    assert changes(database, old, new) == ()
    run(database, "create table t (id integer primary key, v, w, d int default 6); insert into t select * from a")
    run(database, "drop table a; alter table t rename to a; update a set d = 6 where id = 4")
    (found,) = changes(database, new, database.take("newest", since=new))
    assert (found.table.name, found.changed[0].columns, [r.key for r in found.changed[0].rows]) == (
        "a",
        ("d",),
        [("4",)],
    )


def test_a_default_that_changed_under_short_rows_is_seen(database):
    run(database, "create table t (id integer primary key, a); insert into t values (1, 1), (2, 2)")
    run(database, "alter table t add column d int default 5")
    old = kept(database, "old")
    run(
        database,
        "pragma writable_schema = on; update sqlite_schema set sql = replace(sql, 'default 5', 'default 6'); "
        "pragma writable_schema = reset",
    )
    (found,) = changes(database, old, database.take("new", since=old))
    assert found.changed[0].columns == ("d",)
    assert [(r.old, r.new) for r in found.changed[0].rows] == [(("5",), ("6",)), (("5",), ("6",))]


COMINGS_AND_GOINGS = (
    "create table c (id integer primary key, a_id integer references a (id), v text not null, unique (v))",
    "insert into c (a_id, v) select id, 'c' || id from a where id <= 300",
    "create index ci on c (a_id)",
    "",
    "drop index ci",
    "update c set v = v || '!' where id = 7",
    "update c set v = 'c7' where id = 7",
    "pragma foreign_keys = off; delete from a where id = 9",
    "drop table c",
    "create table c (id integer primary key, a_id integer references a (id), v text not null, unique (v))",
    "insert into c (a_id, v) select id, 'c' || id from a where id <= 300",
    "alter table b add column note text",
    "alter table b drop column note",
)


def test_what_is_carried_over_from_any_moment_is_what_a_fresh_look_finds(tmp_path, ways):
    """A state that was there before is looked at beside the newest one, and one that stands still not at all."""
    for folder in ("live", "fresh"):
        (tmp_path / folder).mkdir()
    database = SqliteDatabase(tmp_path / "live" / "db.sqlite3", **ways)
    run(database, BASE)
    newest = database.take("0")
    for number, sql in enumerate(COMINGS_AND_GOINGS, 1):
        run(database, sql)
        newest = database.take(str(number), since=newest)
        fresh = SqliteDatabase(tmp_path / "fresh" / f"{number}.sqlite3", **ways)
        shutil.copyfile(database.path, fresh.path)
        assert fresh.take(str(number)) == newest
        database.checkpoint()


def test_a_moment_weighs_the_pages_that_changed_and_not_the_file(tmp_path):
    database = SqliteDatabase(tmp_path / "live.sqlite3")
    run(database, BASE)
    first = database.take("first")
    assert first.size_bytes > 20 * 4096
    assert database.weight(first) == 0
    database.execute("UPDATE n SET v = 'x' WHERE rowid = 1")
    second = database.take("second", since=first)
    assert 0 < database.weight(first) <= 3 * 4096
    assert database.weight(second) == 0
