"""What a step of Alembic's wrote to SQLite's file: known from its journals, or said to be unknown; never too little.

Every case goes through the real worker; what it says is held against a comparison of all bytes.
"""
# ruff: noqa: E501 - statements are easier to read on one line

import contextlib
import random
from pathlib import Path

import pytest
from engine_fixture import needs
from test_engine_sqlite_support import missed, run
from test_sources_alembic import ENV, project, revision, table
from test_sources_alembic_going_on import Runs
from test_sources_support import Sqlite

from seatrial import sources
from seatrial.engines.sqlite import SqliteDatabase

BASE = """
create table a (id integer primary key, v text); create table b (id integer primary key, v text);
with recursive i (n) as (select 1 union all select n + 1 from i where n < 3000) insert into a select n, printf('%060d', n) from i;
insert into b select id, v from a;
"""
ASYNC = """\
    import asyncio

    from alembic import context
    from sqlalchemy import pool
    from sqlalchemy.ext.asyncio import async_engine_from_config

    async def run():
        section = context.config.get_section(context.config.config_ini_section)
        engine = async_engine_from_config(section, poolclass=pool.NullPool)
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
            await connection.commit()

    def migrate(connection):
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()

    asyncio.run(run())
"""
WHOLE = ENV.replace("connection=connection", "connection=connection, transactional_ddl=True")
AUTOCOMMIT = ENV.replace("poolclass=", "isolation_level='AUTOCOMMIT', poolclass=")
LISTENS = """\
    from alembic import context
    from sqlalchemy import create_engine, event

    def set_up(connection, record):
        connection.isolation_level = None
        connection.execute('PRAGMA foreign_keys = ON')
        connection.execute('PRAGMA synchronous = NORMAL')
        connection.execute('PRAGMA cache_size = 5')

    engine = create_engine(context.config.get_main_option('sqlalchemy.url'))
    event.listen(engine, 'connect', set_up)
    event.listen(engine, 'begin', lambda connection: connection.exec_driver_sql('BEGIN IMMEDIATE'))
    with engine.connect() as connection:
        context.configure(connection=connection, transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()
"""
ENVS = {
    "as it comes": ENV,
    "in one transaction": WHOLE,
    "autocommit": AUTOCOMMIT,
    "listeners": LISTENS,
    "async": ASYNC,
}

# What a revision does is in a file beside it, so that one process of the project's runs them all.
TOLD = "exec(open({place!r}).read(), {{'op': op, 'sa': sa}})"
HEAD = """
import os, sqlite3, subprocess, sys
bind = op.get_bind()
file = bind.engine.url.database
def sql(text):
    for each in text.split(';'):
        op.execute(sa.text(each))
def other(text, **settings):  # a connection past SQLAlchemy
    connection = sqlite3.connect(file, isolation_level=None, **settings)
    for each in text.split(';'):
        connection.execute(each)
    return connection
def program(text, end=''):
    work = "import os, sqlite3, sys\\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\\nfor s in sys.argv[2].split(';'): c.execute(s)\\n"
    subprocess.run([sys.executable, '-c', work + end, file, text], check=not end)
"""


class Told:
    """A project with one revision, which does what it is told, and its database."""

    def __init__(self, folder, env):
        self.place = folder / "todo.py"
        does = TOLD.format(place=str(self.place))
        source = sources.find(project(folder, revision("x", up=does, downgrade=does), env=env))
        (self.migration,) = source.discover()
        (folder / "db").mkdir()
        self.database = Sqlite(folder / "db" / "throwaway.db", watched=0)
        self.runner = source.runner(self.database)
        run(self.database, BASE)
        self.start = self.database.checkpoint()
        self.is_up = False

    def anew(self):
        self.database.restore(self.start)
        self.is_up = False
        return self.database.take("old")

    def does(self, work):
        """Returns the step's error."""
        self.place.write_text(HEAD + work)
        self.is_up = not self.is_up
        step = (self.runner.up if self.is_up else self.runner.down)(self.migration)
        self.is_up ^= step.error is not None
        return step.error


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = Told(tmp_path_factory.mktemp("told"), ENVS[kind])
        return made[kind]

    yield get
    for each in made.values():
        each.runner.close()
        each.database.close()


KNOWN = {
    "one statement": "sql('update a set v = 1 where id = 7')",
    "tables made and dropped": "sql('create table c as select * from a; drop table a; alter table c rename to a; create index i on a (v)')",
    "freed leaves taken again": "sql('delete from a where id > 1000; insert into b select id + 5000, v from b where id < 1500')",
    "a batch": "with op.batch_alter_table('a') as batch:\n    batch.alter_column('v', nullable=False, existing_type=sa.Text)",
    "a savepoint taken back": "nested = bind.begin_nested()\nsql('delete from b')\nnested.rollback()\nsql('update a set v = 1')",
    "autocommit": "with op.get_context().autocommit_block():\n    sql('update a set v = 1 where id < 100; create table d (x)')",
    "a cursor of the driver's": "c = bind.connection.cursor()\nc.execute('create table d (x)')\nc.execute('insert into d select v from a')",
    "many rows": "bind.execute(sa.text('insert into b (v) values (:v)'), [{'v': 'x' * 500} for _ in range(500)])",
}
ONLY_AS_IT_COMES = {  # the others hold a transaction open, which locks out any other connection
    "a connection of its own": "c = other('create table d (x); insert into d select v from a; update b set v = 1 where id = 5')\nc.close()",
    "two connections in turn": "sql('create table d (x)')\nc = other('insert into d select v from a')\nsql('drop table d')\nc.execute('create table e (x)')",
    "a transaction of another's": "program('update b set v = 1 where id = 5')",
    "a connection that is left open": "sys.kept = other('update b set v = 1 where id = 5')\nsql('create table d (x)')",
    "rolled back": "c = other('begin; create table d (x); insert into d select v from a; rollback')\nsql('update a set v = 1 where id = 9')",
}
UNKNOWN = {
    "no journal": "sql('pragma journal_mode = off; update a set v = 1; pragma journal_mode = delete')",
    "a journal in memory": "sql('pragma journal_mode = memory; update a set v = 1; pragma journal_mode = delete; update b set v = 1 where id = 4')",
    "truncated journals": "sql('pragma journal_mode = truncate; update a set v = 1')",
    "journals that stay": "sql('pragma journal_mode = persist; update a set v = 1; pragma journal_mode = delete; create table d (x)')",
    "a write-ahead log": "sql('pragma journal_mode = wal; update a set v = 1; pragma journal_mode = delete; create table d (x)')",
    "an exclusive lock": "sql('pragma locking_mode = exclusive; create table d (x); update a set v = 1; pragma locking_mode = normal; create table e (x)')",
    "a vacuum that gives room back": "sql('delete from b')\nwith op.get_context().autocommit_block():\n    sql('vacuum')",
    "two transactions of another's": "program('create table d (x); update b set v = 1 where id = 5')",
    "rolled back, then another's": "c = other('begin; create table d (x); rollback')\nprogram('update b set v = 1 where id = 5')",
    "rolled back, then another's without a journal": "c = other('begin; create table d (x); rollback')\nprogram('pragma journal_mode = memory; update b set v = 1 where id = 5')",
    "rolled back, then on a connection that hides": "c = other('begin; create table d (x)')\nc.set_trace_callback(None)\nc.execute('rollback')\nc.execute('update b set v = 1 where id = 5')",
    "a program that was killed": "sql('create table d (x)')\nprogram('pragma cache_size = 5; begin; update a set v = 1', 'os.kill(os.getpid(), 9)')",
    "bytes written past SQLite": "sql('create table d (x)')\nwith open(file, 'r+b') as f:\n    f.seek(4096 * 9 + 4000)\n    f.write(b'7')",
    "another file's bytes": "import shutil\nshutil.copyfile(file, file + '2')\nsql('create table d (x)')\nshutil.copyfile(file + '2', file)",
}


@pytest.mark.parametrize("kind", ENVS)
def test_what_a_step_wrote_is_known(told, kind):
    if kind == "async":
        needs("aiosqlite")
    one = told(kind)
    for name, work in {**KNOWN, **(ONLY_AS_IT_COMES if kind == "as it comes" else {})}.items():
        old = one.anew()
        before = one.database.path.read_bytes()
        assert one.does(work) is None, name
        assert missed(one.database, before) == set(), name
        new = one.database.take("new", since=old)
        assert new.tables == one.database.take("unaided").tables, name


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_the_journals_do_not_explain_is_not_known(told, case):
    one = told("as it comes")
    old = one.anew()
    before = one.database.path.read_bytes()
    assert one.does(UNKNOWN[case]) is None
    assert missed(one.database, before) is None
    new = one.database.take("new", since=old)
    assert new.tables == one.database.take("unaided").tables
    assert one.database.path.read_bytes() != before


# --- whatever is done -------------------------------------------------------------------------------------------------

STATEMENTS = (
    "update {t} set v = {n} where id = {i}",
    "update {t} set v = printf('%0{k}d', id) where id > {i}",
    "delete from {t} where id % {m} = 0 and id < {i}",
    "insert into {t} (v) select v from {u} where id < {i}",
    "create table if not exists c{m} as select * from {t} where id < {i}",
    "drop table if exists c{m}",
    "create index if not exists i{m} on {t} (v)",
    "drop index if exists i{m}",
)
AROUND = (
    "{0}",
    "{0}; {1}",
    "begin; {0}; {1}; commit",
    "begin; {0}; {1}; rollback",
    "begin; {0}; rollback; {1}",
    "begin; {0}; savepoint s; {1}; rollback to s; commit",
    "pragma cache_size = 5; begin; {0}; {1}; rollback",
)
SETTINGS = ("", "", "", "pragma journal_mode = memory; ", "pragma journal_mode = off; ", "pragma secure_delete = on; ")


def anything(chance):
    """What a revision may do, on one connection or another."""

    def statement():
        one, other = chance.sample("ab", 2)
        return chance.choice(STATEMENTS).format(
            t=one,
            u=other,
            n=chance.random(),
            i=chance.randrange(3000),
            m=chance.randrange(2, 5),
            k=chance.randrange(9, 99),
        )

    def script():
        around, setting = chance.choice(AROUND), chance.choice(SETTINGS)
        if "off" in setting and "rollback" in around:  # spoils the file
            setting = ""
        return setting + around.format(statement(), statement())

    ways = (
        lambda: f"sql({statement()!r})\nbind.commit()",
        lambda: f"sql({statement()!r})\nbind.rollback()",
        lambda: f"other({script()!r})",
        lambda: f"other({script()!r}).close()",
        lambda: (
            f"hidden = other('select 1')\nhidden.set_trace_callback(None)\nfor s in {script()!r}.split(';'): hidden.execute(s)"
        ),
        lambda: f"program({script()!r})",
    )
    return "\n".join(chance.choices(ways, weights=(6, 3, 3, 3, 2, 1))[0]() for _ in range(chance.randrange(1, 4)))


@pytest.mark.parametrize("seed", range(2))
def test_no_page_is_missed_whatever_a_revision_does(told, seed):
    one, chance, known = told("as it comes"), random.Random(seed), 0
    old = one.anew()
    for number in range(20):
        before = one.database.path.read_bytes()
        work = anything(chance)
        one.does(work)
        left = missed(one.database, before)
        assert left in (None, set()), (number, work)
        known += left is not None
        new = one.database.take(f"m{number}", since=old)
        assert new.tables == one.database.take("unaided").tables, work
        one.database.release(old.moment)
        old = new
    assert 5 < known < 19


# --- from step to step ------------------------------------------------------------------------------------------------


def test_so_it_is_where_steps_follow_in_one_run(tmp_path):
    (tmp_path / "db").mkdir()
    batch = "with op.batch_alter_table('t') as b:\n        b.alter_column('x', type_=sa.String({}))"
    one = Runs(
        tmp_path,
        revision("a", **table("t")),
        revision("b", "a", up=batch.format(9), downgrade=batch.format(5)),
        revision("c", "b", up="op.execute('INSERT INTO t (x) VALUES (1)')", downgrade="op.execute('DELETE FROM t')"),
    )
    one.database._watch.least = 0
    run(one.database, BASE)
    one.database.take("m")
    with contextlib.closing(one.runner) as runner:
        for migration in one.migrations:
            for step in (runner.up, runner.down, runner.up):
                before = one.database.path.read_bytes()
                assert step(migration).error is None
                assert missed(one.database, before) == set()
                one.database.take("m")
    assert one.count() == 1


def test_a_lock_that_a_step_leaves_is_held_on(told):
    """To close any handle of a file drops the locks that the process has on it (POSIX)."""
    one = told("as it comes")
    one.anew()
    held = "sql('pragma busy_timeout = 100')\nsys.kept = other('begin immediate')\nbind.commit()"
    assert one.does(held) is not None  # Alembic's own row finds it locked
    assert one.database.others() != ()
    one.anew()
    assert one.does("sys.kept = None\nsql('update a set v = 1')") is None
    assert one.database.others() == ()


def test_nothing_is_left_of_it(tmp_path):
    """No journal beside the file, and no handle of a file that another has replaced."""
    one = Told(tmp_path, ENVS["as it comes"])  # of its own: what other tests' steps left open is theirs
    try:
        for _ in range(2):
            one.anew()
            assert one.does("sql('update a set v = 1')") is None
            assert [p.name for p in one.database.path.parent.glob("*-journal")] == []
        handles = Path(f"/proc/{one.runner._worker._process.pid}/fd")
        assert handles.is_dir()
        held = [str(handle.readlink()) for handle in handles.iterdir()]
        assert [name for name in held if "throwaway" in name] == [str(one.database.path)]
    finally:
        one.runner.close()
        one.database.close()


def test_small_files_are_not_followed(tmp_path):
    database = Sqlite(tmp_path / "throwaway.db")
    run(database, BASE)
    database.take("m")
    assert database.errand() == {}
    assert SqliteDatabase(tmp_path / "other.db", watched=0).errand() == {}  # nothing was taken of it yet
