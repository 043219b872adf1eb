"""Which steps of an Alembic project may follow in the same run of env.py, and that what they do stays the same."""

import shutil
import textwrap

import pytest
from test_sources_alembic import ENV, project, revision, table
from test_sources_support import Sqlite, tables

from seatrial import sources
from seatrial.sources._alembic_going_on import ends_with_run, keeps_to_op, leaves_no_trace, only_alembic, place_of

LAST = "        context.run_migrations()\n"
WITH = "with engine.connect() as connection:\n    with context.begin_transaction():\n"  # as `alembic init` writes it


@pytest.mark.parametrize(
    ("text", "is_so"),
    [
        (WITH + LAST, True),
        ("def run():\n    " + WITH.replace("\n", "\n    ").rstrip(" ") + "    " + LAST + "\nrun()\n", True),
        ("def run():\n    context.run_migrations()\n\nif offline:\n    other()\nelse:\n    run()\n", True),
        (WITH + LAST + "        connection.execute(text('VACUUM'))\n", False),
        (WITH + LAST + "print('done')\n", False),
        ("def run():\n    context.run_migrations()\n\nrun()\nseed()\n", False),
        ("def run():\n    context.run_migrations()\n    seed()\n\nrun()\n", False),
        ("def run():\n    context.run_migrations()\n\nasyncio.run(run())\n", False),
        ("def run():\n    context.run_migrations()\n\ndef all():\n    run()\n\nall()\n", False),
        ("try:\n    context.run_migrations()\nfinally:\n    connection.execute(check)\n", False),
        ("with checked(connection):\n    context.run_migrations()\n", False),
        ("for schema in schemas:\n    context.run_migrations()\n", False),
        ("pass\n", False),
        ("no python at all", False),
    ],
)
def test_what_env_py_does_last(tmp_path, text, is_so):
    path = tmp_path / "env.py"
    path.write_text(text)
    assert ends_with_run(str(path)) is is_so


@pytest.mark.parametrize(
    ("text", "is_so"),
    [
        ("import sqlalchemy as sa\nfrom alembic import op\n\ndef upgrade():\n    op.drop_table('t')\n", True),
        ("from __future__ import annotations\nfrom typing import Union\n", True),
        ("from alembic import op\n\ndef upgrade():\n    op.get_bind().execute(1)\n", False),
        ("from alembic import context\n", False),
        ("from sqlalchemy.orm import Session\n", False),
        ("import sqlite3\n", False),
        ("from app.models import Base\n", False),
        ("from . import helpers\n", False),
        ("def upgrade(:\n", False),
    ],
)
def test_how_a_revision_reaches_its_connection(tmp_path, text, is_so):
    path = tmp_path / "0001_step.py"
    path.write_text(text)
    assert keeps_to_op(str(path)) is is_so


@pytest.mark.parametrize(
    ("sql", "is_so"),
    [
        ("CREATE TABLE t (id INTEGER)", True),
        ('PRAGMA main.table_xinfo("t")', True),
        ("INSERT INTO _alembic_tmp_t (id) SELECT t.id FROM t", True),
        ("PRAGMA foreign_keys=OFF", False),
        ("PRAGMA journal_mode=wal", False),
        ("CREATE TEMP TABLE t (id INTEGER)", False),
        ("CREATE TABLE temp.t (id INTEGER)", False),
        ("ATTACH ':memory:' AS other", False),
        ("SAVEPOINT s", False),
        ("VACUUM", False),
        ("SELECT 1", False),
        ("INSERT INTO t VALUES (1) RETURNING id", False),
        ("UPDATE t SET x = last_insert_rowid()", False),
        ("DELETE FROM alembic_version", False),
    ],
)
def test_what_a_connection_keeps_of_a_statement(sql, is_so):
    assert leaves_no_trace([sql], "alembic_version") is is_so


@pytest.mark.parametrize(
    ("sql", "is_so"),
    [
        ("SELECT alembic_version.version_num \nFROM alembic_version", True),
        ("UPDATE alembic_version SET version_num='b' WHERE alembic_version.version_num = 'a'", True),
        ('PRAGMA main.table_info("alembic_version")', True),
        ("BEGIN ", True),
        ("PRAGMA foreign_keys=ON", False),
        ("CREATE TABLE t (id INTEGER)", False),
        ("SELECT count(*) FROM t", False),
    ],
)
def test_what_runs_around_a_step(sql, is_so):
    assert only_alembic([sql], "alembic_version") is is_so


def test_no_run_goes_on_beside_a_write_ahead_log(tmp_path):
    file = tmp_path / "a.db"
    assert place_of(str(file)) is None
    file.touch()
    first = place_of(str(file))
    assert first is not None
    (tmp_path / "a.db-wal").touch()
    assert place_of(str(file)) is None


class Runs:
    """A project whose env.py counts its runs."""

    def __init__(self, folder, *versions, after=""):
        self.log, self.database = folder / "runs", Sqlite(folder / "db" / "throwaway.db")
        env = f"open({str(self.log)!r}, 'a').write('x')\n" + textwrap.dedent(ENV) + after
        found = sources.find(project(folder, *versions, env=env))
        self.migrations = found.discover()
        self.runner = found.runner(self.database)

    def walk(self):
        """Each up, down, up; what each step did, the times left out."""
        done = [
            [statement.sql for statement in step.statements]
            for m in self.migrations
            for step in (self.runner.up(m), self.runner.down(m), self.runner.up(m))
            if step.error is None
        ]
        return done, self.count()

    def count(self):
        return len(self.log.read_text())


@pytest.fixture
def runs(tmp_path):
    opened = []

    def make(*versions, after=""):
        folder = tmp_path / str(len(opened))
        (folder / "db").mkdir(parents=True)
        opened.append(Runs(folder, *versions, after=after))
        return opened[-1]

    yield make
    for each in opened:
        each.runner.close()


def _versions(up="pass"):
    batch = "with op.batch_alter_table('t') as b:\n        b.alter_column('x', type_=sa.String({}))"
    return (
        revision("a", **table("t")),
        revision("b", "a", up=batch.format(9), downgrade=batch.format(5)),
        revision("c", "b", up=up),
    )


def test_steps_follow_in_one_run_and_do_the_same(runs):
    together, apart = runs(*_versions()), runs(*_versions(), after="print('done')\n")
    (one, few), (other, many) = together.walk(), apart.walk()
    assert one == other
    assert len(one) == 9
    assert (few, many) == (1, 9)
    assert tables(together.database) == tables(apart.database) == {"t", "alembic_version"}


@pytest.mark.parametrize(
    ("up", "runs_of_env"),
    [
        ("op.execute('PRAGMA foreign_keys = ON')", 2),  # c's down, which has none, is followed by its second up
        ("op.get_bind().execute(sa.text('SELECT 1'))", 3),
    ],
)
def test_what_lasts_on_a_connection_ends_the_run(runs, up, runs_of_env):
    done, count = runs(*_versions(up)).walk()
    assert len(done) == 9
    assert count == runs_of_env


def test_a_step_that_fails_ends_the_run_and_is_told(runs):
    project_ = runs(*_versions("op.execute('INSERT INTO t (x) VALUES (1, 2)')"))
    a, b, c = project_.migrations
    assert not project_.runner.up(a).error
    assert not project_.runner.up(b).error
    failed = project_.runner.up(c)
    assert failed.error is not None
    assert failed.error.statement == "INSERT INTO t (x) VALUES (1, 2)"
    assert not project_.runner.down(b).error
    assert project_.count() == 2


def test_a_file_that_took_the_place_of_the_other_is_migrated(runs, tmp_path):
    project_ = runs(*_versions())
    a, b, _ = project_.migrations
    assert not project_.runner.up(a).error
    copy = tmp_path / "copy.db"
    shutil.copyfile(project_.database.path, copy)
    assert not project_.runner.up(b).error
    copy.replace(project_.database.path)
    assert not project_.runner.up(b).error
    assert project_.count() == 2
    assert [row[0] for row in project_.database.query("SELECT version_num FROM alembic_version")] == ["b"]
