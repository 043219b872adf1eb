"""Which steps of an Alembic project may follow in the same run of env.py, and that what they do stays the same."""

import ast
import shutil
import subprocess
import sys
import textwrap

import pytest
from sqlalchemy import Table, event
from test_sources_alembic import ENV, project, revision, table
from test_sources_support import Sqlite, tables

from seatrial import sources
from seatrial.sources._alembic_env import ends_with_run, is_plain
from seatrial.sources._alembic_going_on import (
    _any_table,
    _listeners,
    counts_nothing,
    keeps_to_op,
    leaves_no_trace,
    only_alembic,
    place_of,
)

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
    ],
)
def test_what_env_py_does_last(text, is_so):
    assert ends_with_run(ast.parse(text)) is is_so


USUAL = """\
from logging.config import fileConfig

import app.models
from alembic import context
from sqlalchemy import engine_from_config, pool

{0}
config = context.config
if config.config_file_name is not None:
    fileConfig(config.config_file_name)
target_metadata = app.models.Base.metadata


def run_migrations_online() -> None:
    connectable = engine_from_config(config.get_section(config.config_ini_section, {{}}), poolclass=pool.NullPool)
    with connectable.connect() as connection:
        context.configure(connection=connection, target_metadata=target_metadata{1})
        with context.begin_transaction():
            context.run_migrations()


run_migrations_online()
"""


@pytest.mark.parametrize(
    ("before", "settings", "is_so"),
    [
        ("", "", True),
        ("import os\ncontext.config.set_main_option('sqlalchemy.url', os.environ['URL'].replace('%', '%%'))", "", True),
        ("def url():\n    return context.get_x_argument(as_dictionary=True).get('url')\nwhere = url()", "", True),
        ("connection = context.config.attributes.get('connection', None)", "", True),
        ("def wanted(thing, name, *rest):\n    return name in seen", ", include_object=wanted", True),
        ("", ", render_as_batch=True, compare_type=True", True),
        ("", ", on_version_apply=app.models.note", False),
        ("", ", include_object=count()", False),
        ("", ", **app.models.settings", False),
        ("def wanted():\n    count()\nwanted()", ", include_object=wanted", False),
        ("@app.models.counted\ndef wanted():\n    pass", ", include_object=wanted", False),
        ("which = context.config.cmd_opts.revision", "", False),
        ("held = [context.config]\nwhich = held[0].cmd_opts", "", False),
        ("which = context.get_revision_argument()", "", False),
        ("which = context.get_starting_revision_argument()", "", False),
        ("which = context.get_context().opts", "", False),
        ("from alembic.context import get_revision_argument as url\nurl()", "", False),
        ("which = getattr(context.config, 'cmd_opts')", "", False),
        ("which = context._proxy.context_opts['destination_rev']", "", False),
        ("import sys\nwhich = sys.argv", "", False),
        ("import sys\nsys.modules['app'].count()", "", False),
        ("import atexit\natexit.register(print)", "", False),
        ("import signal\nsignal.signal(15, print)", "", False),
        ("from sqlalchemy import event\nevent.listen(pool.Pool, 'close', app.models.note)", "", False),
        ("app.models.count()", "", False),
        ("if app.models.is_first:\n    x = 1", "", False),
        ("x = f'{app.models.Base}'", "", False),
        ("x = app.models == 1", "", False),
        ("app.models.runs = 1", "", False),
        ("runs = [*app.models]", "", False),
        ("from app import *", "", False),
        ("import os\nis_new = os.path.exists('app.db')", "", False),
        ("open('runs', 'a').write('x')", "", False),
        ("def one():\n    from os import getenv as exec\nexec('x')", "", False),
        ("while running():\n    pass", "", False),
        ("x = lambda: 1", "", False),
        ("class X:\n    pass", "", False),
        ("try:\n    x = 1\nfinally:\n    x = 2", "", False),
    ],
)
def test_an_env_py_is_one_of_alembics_templates_or_begins_anew(tmp_path, before, settings, is_so):
    path = tmp_path / "env.py"
    path.write_text(USUAL.format(before, settings))
    assert is_plain(str(path)) is is_so


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def run_migrations_online", "@app.models.counted\ndef run_migrations_online"),
        ("connectable.connect()", "app.models.engine.connect()"),
        (
            "            context.run_migrations()",
            "            context.run_migrations(engine=connection.engine)\n    count()",
        ),
        ("with context.begin", "connection.execute(app.models.note)\n        with context.begin"),
        ("poolclass=pool.NullPool", "poolclass=app.models.Pool"),
        ("poolclass=pool.NullPool", "creator=app.models.connect"),
    ],
)
def test_what_else_an_env_py_may_not_do(tmp_path, old, new):
    path = tmp_path / "env.py"
    path.write_text(USUAL.format("", "").replace(old, new))
    assert old in USUAL
    assert is_plain(str(path)) is False


def test_a_file_that_is_no_python_is_no_plain_env_py(tmp_path):
    path = tmp_path / "env.py"
    path.write_text("no python at all")
    assert is_plain(str(path)) is False
    assert is_plain(str(tmp_path / "none.py")) is False


@pytest.mark.parametrize(
    ("upgrade", "is_so"),
    [
        ("op.execute('INSERT INTO t (x) VALUES (1)')", True),
        ("op.execute('INSERT INTO t (x) VALUES (LAST_INSERT_ROWID())')", False),
        ("op.execute(sa.insert(t).values(x=sa.func.total_changes()))", False),
        ("op.execute('INSERT INTO t (x) SELECT changes ()')", False),
        ("op.execute('INSERT INTO t (x) SELECT data_version FROM pragma_data_version')", False),
        ("op.execute('PRAGMA optimize')", False),
        ("op.get_bind()", False),
    ],
)
def test_what_a_revision_asks_of_its_connection(tmp_path, upgrade, is_so):
    path = tmp_path / "0001_step.py"
    path.write_text(f"import sqlalchemy as sa\nfrom alembic import op\n\ndef upgrade():\n    {upgrade}\n")
    assert counts_nothing(str(path)) is is_so


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
        ("def upgrade():\n    try:\n        pass\n    except E:\n        for n in t:\n            import app\n", False),
        (
            "class A:\n    def of(self):\n        if self:\n            pass\n        else:\n            import app\n",
            False,
        ),
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
        ("UPDATE t SET x = last_insert_rowid()", True),
        ("DELETE FROM sqlite_stat1", False),
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
        ("-- note\nPRAGMA case_sensitive_like=ON", False),
        ("/* note */ -- and\n PRAGMA case_sensitive_like=ON", False),
        ('-- SELECT*FROM"main".sqlite_master\n-- ORDER BY rowid', True),
        ("-- note\nCOMMIT", True),
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
    """A project whose env.py counts its runs, by a handler that a module of the project's sets up."""

    def __init__(self, folder, *versions, before="", after="", module=""):
        self.log, self.database = folder / "runs", Sqlite(folder / "db" / "throwaway.db")
        handler = f"logging.getLogger('runs').addHandler(logging.FileHandler({str(self.log)!r}))\n"
        (folder / "counted.py").write_text("import logging\n" + handler + textwrap.dedent(module))
        counts = "import logging\nimport counted\nlogging.getLogger('runs').warning('x')\n"
        env = counts + textwrap.dedent(before) + textwrap.dedent(ENV) + after
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
        return len(self.log.read_text().split())


@pytest.fixture
def runs(tmp_path):
    opened = []

    def make(*versions, **texts):
        folder = tmp_path / str(len(opened))
        (folder / "db").mkdir(parents=True)
        opened.append(Runs(folder, *versions, **texts))
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
        ("op.execute('PRAGMA foreign_keys = ON')", 4),  # a and b; c's up, its down, its second up
        ("op.get_bind().execute(sa.text('SELECT 1'))", 4),
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


LOG = "CREATE TABLE log (id INTEGER PRIMARY KEY, n INTEGER)"
FILLS = "op.execute('INSERT INTO t (x) VALUES (7)')"


def _asking(how):
    return (
        revision("a", **table("t")),
        revision("b", "a", up=FILLS, downgrade="op.execute('DELETE FROM t')"),
        revision("c", "b", up=f"op.execute('{LOG}')\n    op.execute('{how}')", downgrade="op.drop_table('log')"),
    )


@pytest.mark.parametrize("function", ["last_insert_rowid()", "total_changes()", "changes()"])
def test_what_a_new_connection_has_not_counted_is_nought(runs, function):
    project_ = runs(*_asking(f"INSERT INTO log (n) VALUES ({function})"))
    _, count = project_.walk()
    assert [row[0] for row in project_.database.query("SELECT n FROM log")] == ["0"]
    assert count == 4


def test_so_it_is_where_a_trigger_asks(runs):
    trigger = "CREATE TRIGGER asks BEFORE UPDATE ON t BEGIN UPDATE t SET x = total_changes(); END"
    project_ = runs(
        revision("a", **table("t")),
        revision("b", "a", up=f"{FILLS}\n    op.execute('{trigger}')"),
        revision("c", "b", up="op.execute('UPDATE t SET id = id + 1')"),
    )
    a, b, c = project_.migrations
    assert not any(project_.runner.up(each).error for each in (a, b, c))
    assert [row[0] for row in project_.database.query("SELECT x FROM t")] == ["0"]
    assert project_.count() == 3


@pytest.mark.parametrize(
    "read",
    [
        "context.config.cmd_opts.revision",
        "context.get_revision_argument()",
        "context._proxy.context_opts['destination_rev']",
    ],
)
def test_an_env_py_that_asks_which_step_runs_is_told_each(runs, read):
    noted = "import counted\nfrom alembic import context\ncounted.asked({})\n"
    module = "asked = logging.getLogger('runs').warning"
    project_ = runs(*_versions(), before=noted.format(read), module=module)
    done, _ = project_.walk()
    assert len(done) == 9
    assert project_.log.read_text().split()[1::2] == list("aaabbbccc")


def test_a_decorated_function_acts_after_each_step(runs):
    module = """
        def logged(run):
            def runs():
                run()
                logging.getLogger('runs').warning('ran')
            return runs
    """
    env = textwrap.dedent(ENV).replace("def run():", "@counted.logged\ndef run():")
    before, _, after = env.partition("\nrun()\n")
    project_ = runs(*_versions(), before=before + "\nrun()\n" + after, module=module)
    project_.runner.up(project_.migrations[0])
    assert project_.log.read_text().split().count("ran") == 1
    project_.runner.down(project_.migrations[0])
    assert project_.log.read_text().split().count("ran") == 2


@pytest.mark.parametrize(
    "listens",
    [
        "listen(Pool, 'close', lambda connection, record: None)",
        "listen(Pool, 'connect', lambda connection, record: connection.set_trace_callback(None), once=True)",
        "listen(Pool, 'checkin', lambda connection, record: None)",
        "listen(Engine, 'commit', lambda connection: None)",
        "listen(Table, 'after_create', lambda table, connection, **settings: None)",
    ],
)
def test_a_listener_of_the_projects_ends_the_run(runs, listens):
    module = "from sqlalchemy import Engine, Pool, Table\nfrom sqlalchemy.event import listen\n" + listens + "\n"
    done, count = runs(*_versions(), module=module).walk()
    assert len(done) == 9
    assert count == 9


def test_an_operation_of_the_projects_ends_the_run(runs):
    module = """
        from alembic.operations import MigrateOperation, Operations

        @Operations.register_operation("note")
        class Note(MigrateOperation):
            @classmethod
            def note(cls, operations):
                return operations.invoke(cls())

        @Operations.implementation_for(Note)
        def note(operations, operation):
            operations.get_bind().connection.driver_connection.create_function("f", 0, lambda: 1)
    """
    done, count = runs(*_versions("op.note()"), module=module).walk()
    assert len(done) == 9
    assert count == 9


def test_who_begins_to_listen_to_all_tables_later_is_seen_on_a_table_made_before():
    assert not any(map(_listeners, _any_table()))

    def act(*_: object, **__: object) -> None:
        """Would get hold of the connection."""

    event.listen(Table, "after_create", act)
    try:
        assert [_listeners(part) for part in _any_table()] == [{"after_create": [act]}, {}, {}]
    finally:
        event.remove(Table, "after_create", act)
    assert not any(map(_listeners, _any_table()))


LATE = """
import sys
from seatrial.sources import _alembic_late
_alembic_late.put_off()
from alembic import op
from alembic.ddl.base import AddColumn
from sqlalchemy import Column, Integer, MetaData, Table
column = Table("t", MetaData(), Column("c", Integer)).c.c
print("sqlalchemy.dialects.postgresql" in sys.modules, hasattr(op, "create_exclude_constraint"))
import sqlalchemy.dialects.postgresql
print(hasattr(op, "create_exclude_constraint"))
from sqlalchemy.dialects import mssql
print(AddColumn("t", column).compile(dialect=mssql.dialect()))
from alembic.ddl import mysql
print(mysql.MySQLImpl.__dialect__)
from alembic.util import pyfiles
print(pyfiles.exceptions.CompileException.__name__)
"""


def test_what_runs_late_is_there_when_it_is_asked_for():
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True)
    spelled = "ALTER TABLE t ADD c INTEGER NULL"  # by Alembic's module for it; else ADD COLUMN
    assert done.stdout.splitlines() == ["False False", "True", spelled, "mysql", "CompileException"]


def test_an_operation_that_would_be_late_is_there_for_who_looks_for_it(tmp_path):
    folder = project(
        tmp_path / "plain",
        revision("a", up="op.execute(f'CREATE TABLE t{hasattr(op, \"create_exclude_constraint\")} (x)')"),
    )
    source, database = sources.find(folder), Sqlite(tmp_path / "throwaway.db")
    (migration,) = source.discover()
    runner = source.runner(database)
    try:
        assert not runner.up(migration).error
    finally:
        runner.close()
    assert tables(database) == {"tTrue", "alembic_version"}


def test_it_is_there_for_modules_of_the_projects(runs):
    looks = """
        from alembic.operations import Operations
        logging.getLogger('runs').warning(hasattr(Operations, 'create_exclude_constraint'))
    """
    project_ = runs(*_versions(), module=looks)
    assert not project_.runner.up(project_.migrations[0]).error
    assert project_.log.read_text().split() == ["True", "x"]


def test_no_bytecode_is_left_in_the_project(runs, monkeypatch, tmp_path):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    done, _ = runs(*_versions()).walk()
    assert len(done) == 9
    assert not list(tmp_path.rglob("__pycache__"))
