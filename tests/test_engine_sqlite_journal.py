"""What our own connections wrote: known exactly from their journals, or said to be unknown; never too little."""
# ruff: noqa: E501 - statements are easier to read on one line

import errno
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from test_engine_sqlite_support import changes, missed, run

from seatrial.engines._sqlite_journal import Print, parse
from seatrial.engines.sqlite import SqliteDatabase
from seatrial.errors import DatabaseError
from seatrial.model import Script, Transaction

BASE = """
create table a (id integer primary key, v text); create table b (id integer primary key, v text);
with recursive i (n) as (select 1 union all select n + 1 from i where n < 3000) insert into a select n, printf('%060d', n) from i;
insert into b select id, v from a;
"""
OTHER = "update b set v = 'other' where id = 1500"


@pytest.fixture
def database(tmp_path):
    folder = tmp_path / "db"
    folder.mkdir()
    made = SqliteDatabase(folder / "test.sqlite3", watched=0)
    run(made, BASE)
    yield made
    made.close()


KNOWN = {
    "one statement": "update a set v = 'x' where id = 7",
    "many transactions": "update a set v = 'x' where id = 7; update a set v = 'y' where id = 2000; delete from b where id > 2900",
    "one transaction": "begin; update a set v = 'x' where id < 100; delete from b where id < 50; commit",
    "freed leaves taken again": "delete from a where id > 1000; insert into b select id + 5000, v from b where id < 1500",
    "freed by one table, taken by another": "drop table a; create table c (x); insert into c select v from b",
    "dropped and made again on the same page": "drop table b; create table b (id integer primary key, v text); insert into b select id, 'q' from a",
    "file shrunk and grown": "delete from b; vacuum; insert into b select id, printf('%0200d', id) from a",
    "auto-vacuum": "pragma auto_vacuum = 1; vacuum; delete from a where id < 2000; insert into a select id, 'new' from b where id < 2000",
    "incremental vacuum": "pragma auto_vacuum = 2; vacuum; delete from a where id < 2000; pragma incremental_vacuum; insert into b select id + 9000, v from b",
    "rolled back": "begin; update a set v = 'x'; rollback; update b set v = 'y' where id = 3",
    "rolled back after spilling": "pragma cache_size = 5; begin; update a set v = 'x'; rollback; update b set v = 'y' where id = 3",
    "spilled and synced": "pragma synchronous = full; pragma cache_size = 5; begin; update a set v = 'x'; delete from b where id % 2; commit",
    "a savepoint taken back": "begin; update a set v = 'x' where id = 1; savepoint s; delete from b; rollback to s; release s; commit",
    "a version of the user's": "pragma user_version = 7; pragma application_id = 3",
    "an index": "create index i on a (v); drop index i; create unique index j on b (v)",
    "without rowid": "create table w (x text primary key, y) without rowid; insert into w select v, id from a; delete from w where y > 500",
    "secure delete": "pragma secure_delete = on; delete from a where id > 1000; insert into b select id + 5000, v from b where id < 1500",
}
UNKNOWN = {
    "truncated journals": "pragma journal_mode = truncate",
    "journals that stay": "pragma journal_mode = persist",
    "journals in memory": "pragma journal_mode = memory",
    "no journal": "pragma journal_mode = off",
    "a write-ahead log": "pragma journal_mode = wal",
    "a lock that stays": "pragma locking_mode = exclusive",
}


@pytest.mark.parametrize("case", KNOWN, ids=str)
def test_what_was_written_is_known(database, case):
    database.take("old")
    before = database.path.read_bytes()
    run(database, KNOWN[case])
    assert missed(database, before) == set()


@pytest.mark.parametrize("case", UNKNOWN, ids=str)
@pytest.mark.parametrize(
    "back", ["", "pragma journal_mode = delete; pragma locking_mode = normal; update a set v = 'z' where id = 9;"]
)
def test_other_ways_to_write_are_not_known(database, case, back):
    old = database.take("old")
    run(database, f"update a set v = 'x' where id = 1; {UNKNOWN[case]}; {OTHER}; {back}")
    assert database._watch.written(Print.of(database.path)) is None
    found = changes(database, old, database.take("new", since=old))
    assert [d.changed_count for d in found] == ([2, 1] if back else [1, 1])


def test_pages_behind_the_end_that_sqlite_believes_in(database):
    """A rollback without a journal leaves them, and the next transaction takes them without journalling them."""
    run(database, "pragma journal_mode = off; pragma cache_size = 5; begin; create index i on b (v); rollback")
    assert len(database.path.read_bytes()) // 4096 > int.from_bytes(database.path.read_bytes()[28:32], "big")
    database.take("old")
    before = database.path.read_bytes()
    run(database, "update a set v = printf('%090d', id) where id > 2000")
    assert missed(database, before) == set()


def test_what_follows_a_filling_that_was_taken_back(database):
    """The journal of what was rolled back does not explain the next transaction."""
    database.take("old")
    before = database.path.read_bytes()
    with database.one_session():
        with pytest.raises(DatabaseError), database.filling() as connection:
            connection.execute("create table c (x)")
            connection.execute("insert into none values (1)")
        database.execute("update b set v = 'x' where id = 9")
    assert missed(database, before) == set()


def test_a_stranger_is_noticed_at_any_time(database):
    old = database.take("old")
    run(database, "update a set v = 'x' where id = 1")
    with closing(sqlite3.connect(database.path)) as stranger, stranger:
        stranger.execute(OTHER)
    run(database, "update a set v = 'x' where id = 2")
    assert database._watch.written(Print.of(database.path)) is None
    assert [d.changed_count for d in changes(database, old, database.take("new", since=old))] == [2, 1]


def test_bytes_written_past_sqlite_are_noticed(database):
    old = database.take("old")
    place = database.path.read_bytes().index(b"%060d" % 2999)
    with database.path.open("r+b") as file:
        file.seek(place)
        file.write(b"7")
    assert [d.changed_count for d in changes(database, old, database.take("new", since=old))] == [1]


def test_a_file_put_in_its_place_is_noticed(database, tmp_path):
    old = database.take("old")
    shutil.copyfile(database.path, tmp_path / "copy")
    with closing(sqlite3.connect(tmp_path / "copy")) as copy, copy:
        copy.execute(OTHER)
    shutil.copyfile(tmp_path / "copy", database.path)
    assert [d.changed_count for d in changes(database, old, database.take("new", since=old))] == [1]


def test_a_program_killed_in_a_transaction(database):
    """Its hot journal is played back before anything is looked at."""
    old = database.take("old")
    work = "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('pragma cache_size = 5');"
    work += "c.execute('begin'); c.execute('update a set v = 1'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", work, database.path], check=False)
    assert database.path.with_name(database.path.name + "-journal").stat().st_size > 0
    new = database.take("new", since=old)
    assert changes(database, old, new) == ()
    assert new.tables == database.take("unaided").tables
    run(database, OTHER)
    assert [d.changed_count for d in changes(database, new, database.take("newest", since=new))] == [1]


def test_the_journal_that_lies_ready_is_not_noticed(database):
    """Not in the answers that a migration gets, and not by what is in the folder afterwards."""
    database.take("old")
    for sql in (
        "pragma journal_mode",
        "pragma locking_mode",
        "pragma integrity_check",
        "vacuum",
        "pragma page_size = 8192; vacuum",
    ):
        run(database, sql)
    assert database.query("pragma journal_mode") == [("delete",)]
    assert database.query("pragma page_size") == [("8192",)]
    step = database.run(Script(text="create table x (a); create table x (a)", transaction=Transaction.ONE))
    assert "already exists" in step.error.message
    assert [p.name for p in database.path.parent.iterdir() if p.name.startswith(database.path.name)] == [
        database.path.name
    ]


def test_going_back_and_on_again(database):
    """After a restore only what differs from the last moment is compared, and no moment is spoilt."""
    kept = {}
    chance = random.Random(1)
    for number in range(12):
        snapshot = database.take(f"m{number}")
        kept[number] = snapshot, database.path.read_bytes(), database.checkpoint()
        table, place = chance.choice("ab"), chance.randrange(3000)
        run(
            database,
            chance.choice(
                [
                    f"update {table} set v = {number} where id = {place}",
                    f"delete from {table} where id > {place}",
                    f"insert into {table} select id + 9000 + {number} * 9000, v from a where id < {place}",
                ]
            ),
        )
        if number % 3 == 2:
            snapshot, content, checkpoint = kept[chance.choice(list(kept))]
            database.restore(checkpoint)
            assert database.path.read_bytes() == content
            run(database, f"update b set v = {number} where id = 7")
            database.take("now", since=snapshot)
        if number % 4 == 3:
            database.release(f"m{number - 2}")
            database.discard(kept.pop(number - 2)[2])
    for snapshot, content, checkpoint in kept.values():
        state = database._moments[snapshot.moment].state
        with state.mirror.file(state) as path:
            assert path.read_bytes() == content
        database.restore(checkpoint)
        assert database.take("again").tables == snapshot.tables
        assert changes(database, snapshot, database.take("again")) == ()


def test_a_full_disk_spoils_nothing_that_comes_later(database, monkeypatch):
    """What was kept before is lost, and said to be; a moment taken when there is room again is whole."""
    old = database.take("old")
    run(database, "update a set v = 'x'; " + OTHER)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(os, "pwrite", full)
        database.take("half", since=old)
    first = database.take("first", since=None)
    with pytest.raises(DatabaseError, match="disk was full"):
        changes(database, old, first)
    database.release("old")
    run(database, OTHER.replace("other", "again"))
    after = database.take("next", since=first)
    run(database, "update a set v = 'y' where id = 8")
    last = database.take("last", since=after)
    checkpoint = database.checkpoint()
    run(database, OTHER.replace("other", "spoilt"))
    database.take("spoilt", since=last)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(os, "pwrite", full)
        database.restore(checkpoint)
    assert list(database.path.parent.glob("restore-*")) == []
    database.restore(checkpoint)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(os, "pwrite", full)
        changes(database, first, last)
    assert [d.changed_count for d in changes(database, first, last)] == [1, 1]
    assert [d.changed_count for d in changes(database, after, last)] == [1]


@pytest.mark.parametrize("cut", [10, 100, 600, 4700, -1, -5000])
def test_a_journal_that_is_not_whole_is_not_understood(tmp_path, cut):
    path = tmp_path / "x.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma synchronous = off")
        connection.executescript(BASE)
        connection.execute("begin")
        connection.execute("update a set v = 1")
        whole = (tmp_path / "x.sqlite3-journal").read_bytes()
        found = parse(whole)
        connection.execute("rollback")
    assert found is not None
    assert len(found.written.pages) == (len(whole) - 512) // (4096 + 8)
    assert parse(whole[:cut]) is None
    assert parse(b"\0" * 28 + whole[28:]) is None
