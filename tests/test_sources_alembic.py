"""Alembic projects, built in a temporary folder and run by a real Alembic on real databases."""

import contextlib
import importlib.util
import os
import re
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import trial_fixtures as trials
from engine_fixture import needs
from test_sources_support import Sqlite, tables, write

from seatrial import sources
from seatrial.engines.postgresql import PostgresqlDatabase
from seatrial.errors import NotOurs, SourceError
from seatrial.model import ErrorKind, Observed
from seatrial.servers.postgresql import PostgresqlServer
from seatrial.sources import SourceSettings
from seatrial.sources._alembic_client import pythons
from seatrial.sources._alembic_guard import named, sqlite_path
from seatrial.sources._sqlalchemy_url import choose, with_driver

INI = """\
    [alembic]
    script_location = %(here)s/alembic
    sqlalchemy.url = driver://user:pass@localhost/dbname
"""
ENV = """\
    from alembic import context
    from sqlalchemy import engine_from_config, pool

    config = context.config

    def run():
        engine = engine_from_config(config.get_section(config.config_ini_section), poolclass=pool.NullPool)
        with engine.connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()

    run()
"""
URL_ENV = """\
    from alembic import context
    from sqlalchemy import create_engine

    with create_engine({url}).connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""


def revision(name, down=None, up="pass", downgrade="pass", doc="", **more) -> str:
    extra = "".join(f"{key} = {value!r}\n" for key, value in more.items())
    return (
        f'"""{doc or "Make " + name}\n\nRevision ID: {name}\n"""\n'
        "import sqlalchemy as sa\nfrom alembic import op\n\n"
        f"revision = {name!r}\ndown_revision = {down!r}\n{extra}\n\n"
        f"def upgrade():\n    {up}\n\n\ndef downgrade():\n    {downgrade}\n"
    )


def table(name: str) -> dict[str, str]:
    return {
        "up": f"op.create_table({name!r}, sa.Column('id', sa.Integer, primary_key=True), sa.Column('x', sa.Text))",
        "downgrade": f"op.drop_table({name!r})",
    }


def project(folder: Path, *versions: str, env: str = ENV, ini: str = INI, **files: str) -> Path:
    named_files = {f"alembic/versions/{index}_step.py": text for index, text in enumerate(versions)}
    return write(folder, {"alembic.ini": ini, "alembic/env.py": env, **named_files, **files})


@pytest.fixture
def database(tmp_path):
    return Sqlite(tmp_path / "throwaway.db")


@pytest.fixture
def server(pg_server):
    return pg_server


@pytest.fixture
def postgresql(pg):
    return pg


@contextlib.contextmanager
def running(source, database):
    runner = source.runner(database)
    try:
        yield runner
    finally:
        runner.close()


def walk(folder, database, **settings):
    """Everything up, down and up again, one step at a time; the runner is closed. Returns the steps that failed."""
    source = sources.find(folder, settings=SourceSettings(**settings))
    migrations = source.discover()
    failed = []
    with running(source, database) as runner:
        for migration in migrations:
            steps = [runner.up(migration), runner.down(migration), runner.up(migration)]
            failed += [(migration.id, step.error) for step in steps if step.error]
    return failed


# --- discovery --------------------------------------------------------------------------------------------------------


def test_migrations_have_names_paths_and_parents(tmp_path):
    folder = project(tmp_path, revision("a1", doc="Create users"), revision("b2", "a1", doc="Add an email.\n\nLong."))
    source = sources.find(folder)
    first, second = source.discover()
    assert (source.kind, source.path) == ("alembic", tmp_path / "alembic.ini")
    assert (first.id, first.version, first.name, first.parents) == ("a1", "a1", "Create users", ())
    assert (second.description, second.path, second.parents) == (
        "Add an email.",
        "alembic/versions/1_step.py",
        ("a1",),
    )
    assert source.bookkeeping == {"alembic_version"}


def test_branches_merge_and_dependencies_come_parents_first_in_one_stable_order(tmp_path):
    folder = project(
        tmp_path,
        revision("z_base"),
        revision("b_left", "z_base"),
        revision("a_right", "z_base", branch_labels=("right",)),
        revision("a_right2", "a_right", depends_on="b_left"),
        revision("merge", ("b_left", "a_right2")),
        revision("lone"),
    )
    source = sources.find(folder)
    found = source.discover()
    assert [m.id for m in found] == ["lone", "z_base", "b_left", "a_right", "a_right2", "merge"]
    assert {m.id: m.parents for m in found}["a_right2"] == ("a_right", "b_left")
    assert {m.id: m.parents for m in found}["merge"] == ("b_left", "a_right2")
    files = {m.id: m.path for m in found}
    assert f"2 heads (lone in {files['lone']}, merge in {files['merge']})" in source.settings("postgresql")[0]
    assert [m.id for m in sources.find(folder).discover()] == [m.id for m in found]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("pass", None),
        ("return None", None),
        ("'''Nothing.'''", None),
        ("op.execute('SELECT 1')\n    raise RuntimeError('late')", None),
        ("raise NotImplementedError", "its downgrade raises NotImplementedError"),
        ("raise NotImplementedError('data is gone')", "its downgrade raises NotImplementedError: data is gone"),
        (
            "'''Never.'''\n    raise sa.exc.InvalidRequestError(f'no {1}')",
            "its downgrade raises InvalidRequestError: no ...",
        ),
    ],
)
def test_no_down(tmp_path, body, why):
    (found,) = sources.find(project(tmp_path, revision("a", downgrade=body))).discover()
    assert found.no_down == why


def test_a_missing_downgrade_is_no_down(tmp_path):
    text = revision("a").partition("def downgrade")[0]
    (found,) = sources.find(project(tmp_path, text)).discover()
    assert found.no_down == "it has no downgrade()"


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        (("def upgrade(:\n",), r"0_step\.py, line 1: SyntaxError"),
        (
            ("import not_there_at_all\n",),
            r"0_step\.py, line 1: ModuleNotFoundError: .*not_there_at_all.* \(in /.*; `python`",
        ),
        ((revision("a"), revision("a")), r"Revision a is there more than once: .*0_step\.py, .*1_step\.py"),
        ((revision("b", "gone"),), r"gone"),
        ((revision("a", "b"), revision("b", "a")), r"[Cc]ycle"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, versions, message):
    with pytest.raises(SourceError, match=message):
        sources.find(project(tmp_path, *versions)).discover()


def test_a_python_without_alembic_is_named(tmp_path):
    folder = project(tmp_path, revision("a"), **{"no_alembic.sh": f'#!/bin/sh\nexec {sys.executable} -S "$@"\n'})
    (folder / "no_alembic.sh").chmod(0o755)
    with pytest.raises(SourceError, match=r"No Python with Alembic .*no_alembic\.sh \(No module named 'alembic'\)"):
        sources.find(folder, settings=SourceSettings(python=str(folder / "no_alembic.sh"))).discover()
    with pytest.raises(SourceError, match="cannot be started"):
        sources.find(folder, settings=SourceSettings(python=str(folder / "nowhere"))).discover()


def test_the_python_of_the_command_alembic_is_the_last_to_be_asked(tmp_path, monkeypatch):
    write(tmp_path, {"bin/alembic": f"#!{tmp_path / 'bin/python3'}\nimport alembic\n", "bin/python3": ""})
    (tmp_path / "bin" / "alembic").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert list(pythons(tmp_path)) == [sys.executable, str(tmp_path / "bin" / "python3")]
    write(tmp_path, {"bin/python": ""})
    assert next(pythons(tmp_path)) == str(tmp_path / "bin" / "python")


def test_found_by_pyproject_and_by_its_folder(tmp_path, database):
    write(tmp_path / "toml", {"pyproject.toml": '[tool.alembic]\nscript_location = "%(here)s/db"\n'})
    for place in ("toml/db", "bare/db"):
        write(tmp_path / place, {"env.py": URL_ENV.format(url="context.config.get_main_option('sqlalchemy.url')")})
        write(tmp_path / place, {"versions/1.py": revision("a", **table("t"))})
    assert sources.find(tmp_path / "toml").path == tmp_path / "toml" / "pyproject.toml"
    assert sources.find(tmp_path / "toml", path="db").path.name == "pyproject.toml"
    assert sources.find(tmp_path / "bare").path == tmp_path / "bare" / "db"
    assert walk(tmp_path / "bare", database) == []
    assert walk(tmp_path / "toml", Sqlite(tmp_path / "other.db")) == []


# --- steps ------------------------------------------------------------------------------------------------------------


def test_linear_steps_are_observed(tmp_path, database):
    up = table("t")["up"] + "\n    op.execute(\"INSERT INTO t (x) VALUES ('a'), ('b')\")"
    source = sources.find(project(tmp_path, revision("a", up=up, downgrade="op.drop_table('t')")))
    (migration,) = source.discover()
    with running(source, database) as runner:
        step = runner.up(migration)
        assert [s.sql.split()[0] for s in step.statements] == ["CREATE", "INSERT"]
        assert (step.statements[1].rows, step.error, step.statements_observed) == (2, None, True)
        assert step.duration_ms > step.statements[0].duration_ms > 0
        assert not step.in_transaction  # pysqlite does not begin a transaction for DDL
        assert database.query("select version_num from alembic_version") == [("a",)]
        runner.down(migration)
        assert database.query("select version_num from alembic_version") == []
        runner.up(migration)
        runner.forget(migration)
        assert database.query("select version_num from alembic_version") == []
        assert tables(database) == {"alembic_version", "t"}


def test_time_is_given_while_python_starts_and_while_a_step_runs(tmp_path, database):
    given = tmp_path / "given"
    waits = f"import pathlib, time\n    while not pathlib.Path({str(given)!r}).exists(): time.sleep(0.01)"
    source = sources.find(project(tmp_path / "p", revision("a", up=waits)))
    heard = []
    source.meanwhile = lambda: heard.append("start")
    (migration,) = source.discover()
    with running(source, database) as runner:
        runner.meanwhile = lambda: heard.append("step") or given.touch()  # which the step waits for
        step = runner.up(migration)
    assert step.error is None
    assert heard == ["start", "step"]


def test_bound_values_are_shown_short(tmp_path, database):
    up = table("t")["up"] + (
        "\n    t = sa.table('t', sa.column('x'))"
        "\n    op.bulk_insert(t, [{'x': 'first'}, {'x': 'second'}])"
        "\n    op.get_bind().execute(t.update().values(x='y' * 5000))"
    )
    source = sources.find(project(tmp_path, revision("a", up=up)))
    with running(source, database) as runner:
        create, insert, update = runner.up(source.discover()[0]).statements
    assert create.parameters == ""
    assert "first" in insert.parameters
    assert (update.rows, update.parameters.endswith(" ...")) == (2, True)
    assert len(update.parameters) < 400


def test_branches_merge_down_to_both_parents(tmp_path, database):
    folder = project(
        tmp_path,
        revision("first", **table("t0")),
        revision("left", "first", **table("t1")),
        revision("right", "first", **table("t2")),
        revision("merge", ("left", "right")),
        revision("after", "merge", **table("t3")),
    )
    assert walk(folder, database) == []
    source = sources.find(folder)
    heads = "select version_num from alembic_version order by 1"
    chain = list(reversed(source.discover()))
    with running(source, database) as runner:
        assert [database.query(heads) for m in chain if runner.down(m).error is None] == [
            [("merge",)],
            [("left",), ("right",)],
            [("left",)],
            [("first",)],
            [],
        ]
    assert tables(database) == {"alembic_version"}


def test_forgetting_a_merge_leaves_its_parents(tmp_path, database):
    folder = project(tmp_path, revision("a"), revision("b"), revision("m", ("a", "b"), **table("t")))
    assert walk(folder, database) == []
    source = sources.find(folder)
    with running(source, database) as runner:
        runner.forget(source.discover()[-1])
    assert database.query("select version_num from alembic_version order by 1") == [("a",), ("b",)]
    assert "t" in tables(database)


def test_dependencies_and_two_heads(tmp_path, database):
    folder = project(
        tmp_path,
        revision("a1", **table("t1")),
        revision("b1", branch_labels=("b",), **table("t2")),
        revision("b2", "b1", depends_on=("a1",), **table("t3")),
        revision("a2", "a1", **table("t4")),
    )
    assert walk(folder, database) == []
    source = sources.find(folder)
    with running(source, database) as runner:
        assert [step.error for step in map(runner.down, reversed(source.discover()))] == [None] * 4
    assert database.query("select * from alembic_version") == []


def test_every_step_runs_modules_anew(tmp_path, database):
    """A MetaData in a revision's module, a counter in env.py: as in a new process they start empty each time."""
    env = "import builtins\nbuiltins.runs = getattr(builtins, 'runs', 0) + 1\nmine = []\nmine.append(1)\n" + _flat(ENV)
    up = (
        "sa.Table('t', metadata, sa.Column('id', sa.Integer)).create(op.get_bind())"
        "\n    assert not seen\n    seen.append(1)"
    )
    text = revision("a", up=up, downgrade="op.drop_table('t')").replace(
        "\n\ndef upgrade", "\nmetadata = sa.MetaData()\nseen = []\n\ndef upgrade", 1
    )
    assert walk(project(tmp_path, text, env=env), database) == []


def _flat(text: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in text.splitlines()) + "\n"


def test_batch_operations(tmp_path, database):
    change = "with op.batch_alter_table('t') as b:\n        b.{}\n        b.alter_column('x', existing_type=sa.Text)"
    folder = project(
        tmp_path,
        revision("a", **table("t")),
        revision(
            "b",
            "a",
            up=change.format("add_column(sa.Column('y', sa.Integer))"),
            downgrade=change.format("drop_column('y')"),
        ),
    )
    assert walk(folder, database) == []
    assert [row[1] for row in database.query("pragma table_info(t)")] == ["id", "x", "y"]


def test_what_a_batch_drops_is_said(tmp_path, database):
    """On SQLite a batch only leaves it out of the new table: no statement names it (Phoenix 2f9d1a65945f)."""
    base = (
        "op.create_table('t', sa.Column('id', sa.Integer, primary_key=True), sa.Column('a', sa.Text, nullable=False),"
        " sa.Column('b', sa.Text), sa.CheckConstraint('a > 1', name='above'), sqlite_autoincrement=True);"
        " op.create_index('t_a', 't', ['a'])"
    )
    up = (
        "with op.batch_alter_table('t') as b: b.drop_index('t_a'); b.drop_constraint('above');"
        " b.alter_column('a', nullable=True, server_default=None); b.drop_column('b')"
    )
    folder = project(tmp_path, revision("a", up=base), revision("b", "a", up=up))
    source = sources.find(folder)
    with running(source, database) as runner:
        first, second = (runner.up(m) for m in source.discover())
    assert (first.said, first.error, second.error) == ((), None, None)
    dropped = ["DROP INDEX t_a", "DROP CONSTRAINT above", "ALTER COLUMN a DROP NOT NULL", "ALTER COLUMN a DROP DEFAULT"]
    dropped += ["DROP COLUMN b"]
    assert sorted(second.said) == sorted(f"ALTER TABLE t {part}" for part in dropped)
    assert not any("t_a" in s.sql for s in second.statements if not s.sql.startswith("PRAGMA"))


def test_a_batch_that_forgets_is_told_from_one_that_drops(tmp_path):
    base = (
        "op.create_table('t', sa.Column('id', sa.Integer, primary_key=True), sa.Column('a', sa.Text));"
        " op.create_index('t_a', 't', ['a']); op.create_index('t_b', 't', ['a', 'id'])"
    )
    up = (
        "meta = sa.Table('t', sa.MetaData(), sa.Column('id', sa.Integer, primary_key=True), sa.Column('a', sa.Text),"
        " sa.Index('t_a', 'a'))\n"
        "    with op.batch_alter_table('t', copy_from=meta, recreate='always') as b: b.drop_index('t_a')"
    )
    project(tmp_path, revision("a", up=base), revision("b", "a", up=up))
    (judged,) = [m for m in trials.tested(tmp_path, only=("b",)).migrations if m.trial.migration.id == "b"]
    (lost,) = [f for f in judged.findings if f.rule == "collateral-schema-loss"]
    assert lost.objects == ("index t_b",)


def test_annotations_are_what_they_are_in_a_file_of_the_project(tmp_path, database):
    """Found: this package's own __future__ went into the project's modules (Phoenix 3be8647b87d8)."""
    up = "assert Held.__annotations__ == {'x': int}, Held.__annotations__"
    text = revision("a", up=up).replace("def upgrade", "class Held:\n    x: int\n\n\ndef upgrade")
    assert walk(project(tmp_path, text), database) == []


def test_here_in_an_ini_file_of_a_project_named_by_a_relative_path(tmp_path, monkeypatch):
    project(tmp_path / "some" / "where", revision("a"))
    monkeypatch.chdir(tmp_path)
    assert [m.id for m in sources.find(Path("some/where")).discover()] == ["a"]


def test_raw_cursors_are_seen_on_sqlite(tmp_path, database):
    up = "op.get_bind().connection.cursor().executescript('CREATE TABLE a (x); -- why\\nCREATE TABLE b (x);')"
    source = sources.find(project(tmp_path, revision("a", up=up)))
    with running(source, database) as runner:
        step = runner.up(source.discover()[0])
    assert [s.sql for s in step.statements] == ["CREATE TABLE a (x);", "-- why\nCREATE TABLE b (x);"]


def test_sqlite_transaction_is_what_the_driver_does(tmp_path, database):
    write_first = "op.execute('INSERT INTO t (x) VALUES (1)')\n    op.execute('CREATE TABLE u (x)')"
    source = sources.find(project(tmp_path, revision("a", **table("t")), revision("b", "a", up=write_first)))
    with running(source, database) as runner:
        assert [runner.up(m).in_transaction for m in source.discover()] == [False, True]


WRITES = "op.execute('INSERT INTO t (x) VALUES (1)')"


@pytest.mark.parametrize(
    ("up", "how", "modes"),
    [
        ("op.create_index('i', 't', ['x'])", Observed.EXACT, [["EXCLUSIVE"]]),
        (f"{WRITES}\n    op.execute('CREATE TABLE u (x)')", Observed.EXACT, [["RESERVED"], []]),
        (f"{WRITES}\n    op.execute('COMMIT')\n    {WRITES}", Observed.EXACT, [["RESERVED"], [], ["RESERVED"]]),
        ("op.execute('WITH n AS (SELECT 1) SELECT * FROM n')", Observed.EXACT, [[]]),
        ("op.execute('WITH n AS (SELECT 1) INSERT INTO t (x) SELECT * FROM n')", Observed.EXACT, [["EXCLUSIVE"]]),
        ("pass", Observed.EXACT, []),
        ("op.execute('BEGIN IMMEDIATE')", Observed.NOT_OBSERVED, [[]]),
        ("op.get_bind().connection.cursor().execute('DELETE FROM t')", Observed.NOT_OBSERVED, [[]]),
    ],
)
def test_the_lock_of_a_sqlite_file(tmp_path, database, up, how, modes):
    source = sources.find(project(tmp_path, revision("a", **table("t")), revision("b", "a", up=up)))
    with running(source, database) as runner:
        _, step = [runner.up(m) for m in source.discover()]
    assert (step.error, step.locks_observed) == (None, how)
    assert [[lock.mode for lock in s.locks] for s in step.statements] == modes
    locks = [lock for s in step.statements for lock in s.locks]
    assert all(lock.table == "whole database" and 0 < lock.held_ms < step.duration_ms + 1000 for lock in locks)
    assert "SQLite has one lock for the whole database" in step.locks_note


def test_a_write_ahead_log_does_not_lock_readers_out(tmp_path, database):
    database.query("PRAGMA journal_mode = WAL")
    with contextlib.closing(sqlite3.connect(database.path)) as reader:
        reader.execute("SELECT * FROM sqlite_schema").fetchall()
        step = failing(tmp_path, database, "op.execute('CREATE TABLE u (x)')")
    assert (step.error, step.locks_observed) == (None, Observed.SAMPLED)


def test_session_settings_come_before_everything(tmp_path, database):
    up = "op.execute('CREATE TABLE t AS SELECT * FROM pragma_foreign_keys')"
    assert walk(project(tmp_path, revision("a", up=up, downgrade="op.drop_table('t')")), database) == []
    assert database.query("select * from t") == [("0",)]
    on = Sqlite(tmp_path / "on.db")
    assert walk(tmp_path, on, session=("PRAGMA foreign_keys = ON",)) == []
    assert on.query("select * from t") == [("1",)]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def failing(folder, database, up, **settings):
    source = sources.find(project(folder, revision("a", up=up)), settings=SourceSettings(**settings))
    with running(source, database) as runner:
        return runner.up(source.discover()[0])


def test_the_databases_words_code_statement_and_line(tmp_path, database):
    step = failing(
        tmp_path, database, "op.execute('CREATE TABLE t (x UNIQUE)')\n    op.execute('INSERT INTO t VALUES (1), (1)')"
    )
    assert step.error.message == "UNIQUE constraint failed: t.x"
    assert (step.error.code, step.error.kind) == ("SQLITE_CONSTRAINT_UNIQUE", ErrorKind.MIGRATION)
    assert step.error.statement == "INSERT INTO t VALUES (1), (1)"
    assert step.error.line == 14
    assert [s.sql.split()[0] for s in step.statements] == ["CREATE", "INSERT"]


def test_pythons_errors_are_the_migrations_with_file_and_line(tmp_path, database):
    step = failing(tmp_path, database, "{}['missing']")
    assert step.error.kind is ErrorKind.MIGRATION
    assert step.error.message.startswith("KeyError: 'missing' (")
    assert step.error.message.endswith("0_step.py, line 13)")
    assert step.error.line == 13


def test_sys_exit_in_a_migration_is_its_error(tmp_path, database):
    step = failing(tmp_path, database, "import sys; sys.exit('enough')")
    assert step.error.message.startswith("SystemExit: enough")


def test_print_does_not_disturb(tmp_path, database):
    up = "print('hello' * 100000); import os; os.write(1, b'{}\\n'); os.system('echo from a shell')"
    assert failing(tmp_path, database, up).error is None


def test_a_dead_worker_is_an_environment_error_and_is_replaced(tmp_path, database):
    text = revision("a", up="import os; print('last words'); os._exit(3)")
    source = sources.find(project(tmp_path, text, revision("b", "a", **table("t"))))
    first, second = source.discover()
    with running(source, database) as runner:
        step = runner.up(first)
        assert (step.error.kind, step.statements_observed) == (ErrorKind.ENVIRONMENT, False)
        assert "exit code 3" in step.error.message
        assert runner.up(second).error is None


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for a process in /proc")
def test_a_worker_in_the_middle_of_a_step_ends_with_a_killed_run(tmp_path):
    """And what the run left goes with the next one, which is as if it had not been."""
    told, scratch, state = (tmp_path / name for name in ("pid", "scratch", "state"))
    scratch.mkdir()
    up = (
        f"import os, pathlib, time; told = pathlib.Path({str(told)!r}); again = told.exists();"
        " told.write_text(str(os.getpid())); again or time.sleep(600)"
    )
    folder = project(tmp_path / "p", revision("a", up=up))
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    command = [sys.executable, "-m", "seatrial.cli", "run", str(folder), "--engine", "sqlite"]
    own = {**os.environ, "TMPDIR": str(scratch), "XDG_STATE_HOME": str(state)}
    run = subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert _within(120, lambda: told.exists() and told.read_text())
    worker = Path("/proc", told.read_text())
    assert worker.exists()
    run.kill()
    run.wait()
    assert _within(120, lambda: not worker.exists() or "Z" in (worker / "stat").read_text().split()[2])
    (left,) = scratch.glob("seatrial-*-sqlite")
    assert list(left.rglob("*.sqlite3"))
    again = subprocess.run(command, env=own, capture_output=True, text=True)
    assert again.returncode == 0, again.stdout + again.stderr
    assert list(scratch.glob("seatrial-*")) == []
    assert not any(left.name.split("-")[1] in path.name for path in state.rglob("*"))
    assert {path: path.read_bytes() for path in files} == files


def _within(seconds: float, true) -> bool:
    limit = time.monotonic() + seconds
    while not true():
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True


def test_a_step_that_takes_too_long_is_ended(tmp_path, database):
    step = failing(tmp_path, database, "import time; time.sleep(60)", timeout_s=0.5)
    assert step.error.kind is ErrorKind.ENVIRONMENT
    assert "too long" in step.error.message
    assert "0.5 s" in step.error.message


@pytest.mark.engines("postgresql", "mysql", "mariadb")
def test_a_step_that_waits_for_itself_is_ended_with_the_lock_named(tmp_path, engine):
    database = engine.create()
    database.execute("create table t (id int primary key)")
    other = "c = op.get_bind().engine.connect(); c.execute(sa.text('select * from t where id = 42'))"
    step = failing(tmp_path, database, f"{other}; op.execute('alter table t add x int default 7')", timeout_s=2)
    assert step.error.kind is ErrorKind.ENVIRONMENT
    waits = r"2 s, when session \d+ \(`alter table t add x int default`\) waits for "
    select = r"session \d+ \(`select \* from t where id`\)"
    named = {
        "postgresql": r"AccessExclusiveLock on t: session \d+ holds AccessShareLock$",
        "mysql": rf"EXCLUSIVE on t: {select} holds SHARED_READ$",
        "mariadb": r"a metadata lock: session \d+ holds an open transaction$",  # whose lock it is, it does not say
    }
    assert re.search(waits + named[engine.name], step.error.message, re.IGNORECASE), step.error.message


def test_an_env_py_that_fails_or_does_nothing_is_named(tmp_path, database):
    folder = project(tmp_path, revision("a"), env="import os\nos.environ['SEATRIAL_TEST_UNSET']\n")
    source = sources.find(folder)
    with running(source, database) as runner, pytest.raises(SourceError, match=r"env\.py, line 2: KeyError"):
        runner.up(source.discover()[0])
    idle = sources.find(project(tmp_path / "idle", revision("a"), env="x = 1\n"))
    with running(idle, database) as runner, pytest.raises(SourceError, match="without running any migration"):
        runner.up(idle.discover()[0])


@pytest.mark.parametrize(
    ("line", "settings", "advice"),
    [
        (
            "os.environ['SHOP_URL']",
            {},
            r"KeyError: 'SHOP_URL'\. If .* url_env = \"SHOP_URL\" .* x = \[\"SHOP_URL=\{url\}\"\]",
        ),
        ("sa.create_engine(os.getenv('SHOP_URL'))", {}, r"\. If .* url_env = \"DATABASE_URL\" "),
        (
            "os.environ['SHOP_KEY']",
            {"url_env": "SHOP_URL"},
            r"'SHOP_KEY'\. It runs as for `alembic upgrade`: .*environment",
        ),
        ("import shop.settings", {}, r"'shop'\. It ran in \S*python\S*: `python` in \[source\] .*prepend_sys_path"),
    ],
)
def test_what_to_do_about_an_env_py_that_fails(tmp_path, line, settings, advice):
    source = sources.find(project(tmp_path, revision("a"), env=f"import os, sqlalchemy as sa\n{line}\n"))
    source = source.under(SourceSettings(**settings))
    with running(source, Sqlite(tmp_path / "t.db")) as runner, pytest.raises(SourceError, match=advice):
        runner.up(source.discover()[0])


def test_an_unreachable_file_is_the_environments_fault(tmp_path):
    database = Sqlite(tmp_path / "throwaway.db")
    blocker = sqlite3.connect(database.path)
    blocker.execute("begin exclusive")
    folder = project(
        tmp_path,
        revision("a", **table("t")),
        env=_flat(ENV).replace("poolclass", "connect_args={'timeout': 0.1}, poolclass"),
    )
    source = sources.find(folder)
    with running(source, database) as runner:
        step = runner.up(source.discover()[0])
    blocker.close()
    assert (step.error.code, step.error.kind) == ("SQLITE_BUSY", ErrorKind.ENVIRONMENT)


# --- how the URL reaches env.py ---------------------------------------------------------------------------------------


def test_url_by_environment_variable(tmp_path, database, monkeypatch):
    env = URL_ENV.format(url="__import__('os').environ['SHOP_DATABASE_URL']")
    elsewhere = tmp_path / "production.db"
    monkeypatch.setenv("SHOP_DATABASE_URL", f"sqlite:///{elsewhere}")
    assert walk(project(tmp_path, revision("a", **table("t")), env=env), database, url_env="SHOP_DATABASE_URL") == []
    assert "t" in tables(database)
    assert not elsewhere.exists()
    assert os.environ["SHOP_DATABASE_URL"] == f"sqlite:///{elsewhere}"


def test_url_read_when_a_module_is_imported(tmp_path, database):
    files = {
        "shop/__init__.py": "",
        "shop/db.py": "import os, sqlalchemy\nengine = sqlalchemy.create_engine(os.environ['SHOP_URL'])\n",
    }
    env = URL_ENV.replace("create_engine({url})", "__import__('shop.db').db.engine")
    text = revision("a", **table("t")).replace("import sqlalchemy as sa", "import sqlalchemy as sa\nimport os")
    assert walk(project(tmp_path, text, env=env, **files), database, url_env="SHOP_URL") == []
    assert "t" in tables(database)


def test_url_by_x_argument(tmp_path, database):
    env = URL_ENV.format(url="context.get_x_argument(as_dictionary=True)['db']")
    assert (
        walk(project(tmp_path, revision("a", **table("t")), env=env), database, x_arguments=("tenant=1", "db={url}"))
        == []
    )


def test_url_with_percent_signs(tmp_path):
    database = Sqlite(tmp_path / "50%41 of it.db")
    database.url = database.url.replace("%", "%25")
    env = URL_ENV.format(url="context.config.get_main_option('sqlalchemy.url')")
    source = sources.find(project(tmp_path, revision("a"), env=env))
    with running(source, database) as runner, contextlib.suppress(NotOurs):
        assert runner.up(source.discover()[0]).error is None


def test_url_under_a_name_of_the_projects_own(tmp_path, database):
    """As warehouse's: its env.py reads ``url`` from the section; other options are left alone."""
    options = "url = postgresql+psycopg://localhost/warehouse\n    about = the url of sqlite: see below\n"
    env = URL_ENV.format(url="context.config.get_main_option('url')")
    env += "\n    assert context.config.get_main_option('about') == 'the url of sqlite: see below'\n"
    ini = INI.replace("sqlalchemy.url = driver://user:pass@localhost/dbname", options)
    assert walk(project(tmp_path, revision("a", **table("t")), env=env, ini=ini), database) == []
    assert "t" in tables(database)


def test_what_its_own_code_raises_is_the_same_text_in_each_run(tmp_path, database):
    failed = walk(project(tmp_path, revision("a", up="raise ValueError(f'no {object()}')")), database)
    assert failed[0][1].message.startswith("ValueError: no <object object> (")


def test_an_env_that_insists_on_a_connection_of_its_caller(tmp_path, database):
    """As Dagster's: `alembic upgrade` itself cannot run it."""
    env = """\
        from alembic import context

        connection = context.config.attributes.get("connection", None)
        if connection is None:
            raise Exception("No connection set in alembic config.")
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
    """
    folder = project(tmp_path, revision("a", **table("t")), revision("b", "a", up="op.execute('oops')"), env=env)
    failed = walk(folder, database)
    assert {step for step, _ in failed} == {"b"} and failed[0][1].statement == "oops"
    assert "t" in tables(database)


def test_what_env_py_listens_to_on_a_class_goes_with_the_step(tmp_path, database):
    """SQLAlchemy's way to have SQLite's transactions begun; what a module listens to stays as long as the module."""
    module = """
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        event.listen(Engine, 'commit', lambda connection: open({!r}, 'a').write('.'))
    """
    env = """\
        from sqlalchemy import event
        from sqlalchemy.engine import Engine
        import heard

        @event.listens_for(Engine, 'connect')
        def set_up(connection, record):
            connection.isolation_level = None

        event.listen(Engine, 'begin', lambda connection: connection.exec_driver_sql('BEGIN'))

    """
    log = tmp_path / "commits"
    steps = revision("a", **table("t")), revision("b", "a", **table("u"))
    text = {"heard.py": textwrap.dedent(module).format(str(log))}
    folder = project(tmp_path, *steps, env=textwrap.dedent(env) + textwrap.dedent(ENV), **text)
    assert walk(folder, database) == []
    assert len(log.read_text()) == 6
    assert tables(database) == {"t", "u", "alembic_version"}


def test_async_env(tmp_path, database):
    needs("aiosqlite")
    assert walk(project(tmp_path, revision("a", **table("t")), env=ASYNC_ENV), database) == []
    assert "t" in tables(database)


def test_an_async_env_that_puts_the_driver_into_its_url_by_itself(tmp_path, database):
    needs("aiosqlite")
    own = "section['sqlalchemy.url'] = section['sqlalchemy.url'].replace('sqlite://', 'sqlite+aiosqlite://')"
    env = ASYNC_ENV.replace("        engine =", f"        {own}\n        engine =")
    assert walk(project(tmp_path, revision("a", **table("t")), env=env), database) == []


ASYNC_ENV = """\
    import asyncio
    from alembic import context
    from sqlalchemy import pool
    from sqlalchemy.ext.asyncio import async_engine_from_config

    def migrate(connection):
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()

    async def run():
        section = context.config.get_section(context.config.config_ini_section)
        engine = async_engine_from_config(section, poolclass=pool.NullPool)
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
        await engine.dispose()

    asyncio.run(run())
"""


# --- never another database -------------------------------------------------------------------------------------------

HOSTILE = {
    "an engine of its own": URL_ENV.format(url="'sqlite:///{file}'"),
    "the driver itself": "import sqlite3\nc = sqlite3.connect('{file}')\nc.execute('DROP TABLE precious')\n",
    "a connection's class": "import sqlite3\nc = sqlite3.Connection('{file}')\nc.execute('DROP TABLE precious')\n",
    "a URI": "import sqlite3\nsqlite3.connect('file:{file}?mode=rw', uri=True).execute('DROP TABLE precious')\n",
    "caught and tried again": "import sqlite3\nfor _ in range(2):\n    try:\n        sqlite3.connect('{file}')\n"
    "    except Exception:\n        pass\n",
    "at the end": _flat(ENV) + "import sqlite3\nsqlite3.connect('{file}').execute('DROP TABLE precious')\n",
    "an async engine": "import asyncio\nfrom sqlalchemy.ext.asyncio import create_async_engine\nasync def run():\n"
    "    async with create_async_engine('sqlite+aiosqlite:///{file}').connect() as c:\n"
    "        await c.exec_driver_sql('DROP TABLE precious')\nasyncio.run(run())\n",
}


@pytest.fixture
def production(tmp_path):
    """Somebody's SQLite file that must stay as it is."""
    other = Sqlite(tmp_path / "production.db")
    other.execute("create table precious (x)", "insert into precious values (1)")
    return other.path


@pytest.mark.parametrize("way", HOSTILE)
def test_an_env_py_that_goes_elsewhere_is_refused(tmp_path, database, production, way):
    if "async" in way:
        needs("aiosqlite")
    before = production.read_bytes()
    env = HOSTILE[way].replace("{file}", str(production))
    source = sources.find(project(tmp_path, revision("a", **table("t")), env=env))
    with running(source, database) as runner, pytest.raises(NotOurs, match=r"production\.db.*url_env"):
        runner.up(source.discover()[0])
    assert production.read_bytes() == before


def test_nothing_is_created_elsewhere(tmp_path, database):
    env = URL_ENV.format(url=repr(f"sqlite:///{tmp_path / 'new.db'}"))
    source = sources.find(project(tmp_path, revision("a", **table("t")), env=env))
    with running(source, database) as runner, pytest.raises(NotOurs, match=r"new\.db"):
        runner.up(source.discover()[0])
    assert not (tmp_path / "new.db").exists()


def test_a_migration_that_goes_elsewhere_is_refused(tmp_path, database, production):
    before = production.read_bytes()
    up = f"sa.create_engine('sqlite:///{production}').connect().exec_driver_sql('DROP TABLE precious')"
    with pytest.raises(NotOurs, match=r"production\.db"):
        failing(tmp_path, database, up)
    assert production.read_bytes() == before


def test_a_module_that_goes_elsewhere_while_revisions_are_read(tmp_path, production):
    before = production.read_bytes()
    text = f"import sqlite3\nsqlite3.connect({str(production)!r}).execute('DROP TABLE precious')\n" + revision("a")
    with pytest.raises(NotOurs, match=r"production\.db"):
        sources.find(project(tmp_path, text)).discover()
    assert production.read_bytes() == before


def test_migrating_memory_is_refused(tmp_path, database):
    source = sources.find(project(tmp_path, revision("a"), env=URL_ENV.format(url="'sqlite://'")))
    with running(source, database) as runner, pytest.raises(NotOurs, match="memory"):
        runner.up(source.discover()[0])


def test_attach_is_refused_unless_trusted(tmp_path, database, production):
    before = production.read_bytes()
    up = f"op.execute(\"ATTACH '{production}' AS p\")\n    op.execute('DROP TABLE p.precious')"
    step = failing(tmp_path, database, up)
    assert step.error.kind is ErrorKind.ENVIRONMENT
    assert "trust = true" in step.error.message
    assert production.read_bytes() == before
    assert failing(tmp_path, database, up.replace("DROP TABLE p.precious", "SELECT 1"), trust=True).error is None


ATTACH = "op.get_bind().exec_driver_sql("


@pytest.mark.parametrize(
    "attach",
    [ATTACH + '"ATTACH ? AS p", ({file!r},))', ATTACH + """\"ATTACH '' || {file!r} AS p\")"""],
    ids=["bound", "computed"],
)
def test_attach_by_a_name_that_sqlite_does_not_tell_is_refused(tmp_path, database, production, attach):
    before = production.read_bytes()
    step = failing(
        tmp_path, database, attach.format(file=str(production)) + "\n    op.execute('DELETE FROM p.precious')"
    )
    assert step.error.kind is ErrorKind.ENVIRONMENT
    assert "ATTACH of a file" in step.error.message
    assert production.read_bytes() == before


def test_vacuum_is_no_attach(tmp_path, database):
    up = "with op.get_context().autocommit_block():\n        op.execute('VACUUM')"
    assert failing(tmp_path, database, up).error is None


# --- PostgreSQL -------------------------------------------------------------------------------------------------------

DRIVERS = ["psycopg", "psycopg2", "pg8000"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_postgresql_locks_rewrites_and_transaction(tmp_path, postgresql, driver):
    needs(driver)
    change = "op.alter_column('t', 'id', type_=sa.BigInteger)\n    op.execute('UPDATE t SET x = 1')"
    folder = project(
        tmp_path, revision("a", **table("t")), revision("b", "a", up=change, downgrade="op.drop_table('t')")
    )
    source = sources.find(folder, settings=SourceSettings(options={"driver": driver}))
    first, second = source.discover()
    with running(source, postgresql) as runner:
        runner.up(first)
        up, down = runner.up(second), runner.down(second)
    alter, update = up.statements
    assert (up.error, up.in_transaction, up.locks_observed) == (None, True, Observed.EXACT)
    assert ("t", "AccessExclusiveLock") in [(lock.table, lock.mode) for lock in alter.locks]
    assert alter.rewrites == ("t",)
    assert [lock.mode for lock in update.locks] == ["RowExclusiveLock"]
    assert alter.locks[0].held_ms > update.locks[0].held_ms > 0
    assert [(lock.table, lock.mode) for lock in down.statements[0].locks] == [("t", "AccessExclusiveLock")]
    assert postgresql.query("select version_num from alembic_version") == [("a",)]


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_postgresql_async(tmp_path, postgresql, driver):
    needs(driver)
    needs("greenlet")
    folder = project(tmp_path, revision("a", **table("t")), env=ASYNC_ENV)
    assert walk(folder, postgresql, options={"driver": driver}) == []
    assert tables(postgresql) == {"alembic_version", "t"}


def test_postgresql_autocommit_and_errors(tmp_path, postgresql):
    concurrently = (
        "with op.get_context().autocommit_block():\n        op.execute('CREATE INDEX CONCURRENTLY i ON t (x)')"
    )
    deferred = "op.execute('INSERT INTO t VALUES (1, NULL), (1, NULL)')"
    mixed = (
        "op.execute('ALTER TABLE t RENAME x TO z')\n    with op.get_context().autocommit_block():\n"
        "        op.execute('VACUUM t')\n    op.execute('DELETE FROM t')\n    op.execute('SELECT nonsense')"
    )
    folder = project(
        tmp_path,
        revision("a", up="op.execute('CREATE TABLE t (id int UNIQUE DEFERRABLE INITIALLY DEFERRED, x text)')"),
        revision("b", "a", up=concurrently),
        revision("c", "b", up=deferred),
        revision("d", "b", up="op.execute('SET ROLE nobody_at_all')"),
        revision("e", "b", up=mixed),
    )
    source = sources.find(folder)
    with running(source, postgresql) as runner:
        first, second, third, fourth, fifth = [runner.up(m) for m in source.discover()]
    assert first.in_transaction
    assert [s.undone for s in third.statements] == [True]
    # what stood before the autocommit block is committed by it, what follows is taken back
    assert [s.undone for s in fifth.statements] == [False, False, True, True]
    assert [len(s.locks) for s in fifth.statements] == [1, 0, 1, 0]
    assert (fifth.in_transaction, fifth.locks_observed, bool(fifth.locks_note)) == (False, Observed.SAMPLED, True)
    assert (second.error, second.in_transaction, second.locks_observed) == (None, False, Observed.NOT_OBSERVED)
    assert (third.error.code, third.error.kind) == ("23505", ErrorKind.MIGRATION)  # at COMMIT
    assert "DETAIL: Key (id)=(1) already exists." in third.error.message
    assert (fourth.error.message, fourth.error.kind) == (
        'role "nobody_at_all" does not exist',
        ErrorKind.ENVIRONMENT,
    )


def test_postgresql_session_settings(tmp_path, postgresql):
    up = "op.execute(\"CREATE TABLE zone AS SELECT current_setting('timezone') AS tz\")"
    folder = project(tmp_path, revision("a", up=up, downgrade="op.drop_table('zone')"))
    assert walk(folder, postgresql, session=("SET timezone = 'Asia/Tokyo'",)) == []
    assert postgresql.query("select tz from zone") == [("Asia/Tokyo",)]


POSTGRESQL_HOSTILE = {
    "an engine of its own": URL_ENV.format(url="'{url}'"),
    "psycopg": "import psycopg\npsycopg.connect('{plain}').execute('DROP TABLE precious').connection.commit()\n",
    "psycopg by keywords": "import psycopg\npsycopg.Connection.connect(host='{host}', user='postgres', dbname='{name}')"
    ".execute('DROP TABLE precious').connection.commit()\n",
    "psycopg2": "from psycopg2 import connect\nc = connect(host='{host}', user='postgres', dbname='{name}')\n"
    "c.cursor().execute('DROP TABLE precious')\nc.commit()\n",
    "by the environment": "import os\nos.environ.update(PGHOST='{host}', PGUSER='postgres', PGDATABASE='{name}')\n"
    "import psycopg\npsycopg.connect().execute('DROP TABLE precious').connection.commit()\n",
    "asyncpg": "import asyncio, asyncpg\nasync def run():\n    c = await asyncpg.connect(host='{host}', "
    "user='postgres', database='{name}')\n    await c.execute('DROP TABLE precious')\nasyncio.run(run())\n",
    "an async engine": "import asyncio\nfrom sqlalchemy.ext.asyncio import create_async_engine\nasync def run():\n"
    "    async with create_async_engine('{url}').begin() as c:\n"
    "        await c.exec_driver_sql('DROP TABLE precious')\nasyncio.run(run())\n",
    "pg8000.native": "import pg8000.native as p\nc=p.Connection('postgres', unix_sock='{socket}', database='{name}')\n"
    "c.run('DROP TABLE precious')\n",
    "pg8000.dbapi": "import pg8000.dbapi as p\nc = p.Connection('postgres', unix_sock='{socket}', database='{name}')\n"
    "c.cursor().execute('DROP TABLE precious')\nc.commit()\n",
    "pg8000.legacy": "import pg8000.legacy as p\nc = p.connect('postgres', unix_sock='{socket}', database='{name}')\n"
    "c.cursor().execute('DROP TABLE precious')\nc.commit()\n",
    "psycopg2's class": "from psycopg2.extensions import connection\n"
    "c = connection('host={host} user=postgres dbname={name}')\n"
    "c.cursor().execute('DROP TABLE precious')\nc.commit()\n",
    "psycopg2's derived class": "from psycopg2.extras import DictConnection\n"
    "c = DictConnection('host={host} user=postgres dbname={name}')\n"
    "c.cursor().execute('DROP TABLE precious')\nc.commit()\n",
    "a creator": "import psycopg, sqlalchemy\ne = sqlalchemy.create_engine('postgresql+psycopg://', "
    "creator=lambda: psycopg.connect('{plain}'))\nwith e.begin() as c:\n    c.exec_driver_sql('DROP TABLE precious')\n",
}


@pytest.mark.parametrize("way", POSTGRESQL_HOSTILE)
def test_another_postgresql_database_is_refused(tmp_path, server, postgresql, way):
    for driver in ("psycopg2", "asyncpg", "pg8000"):
        if driver in way:
            needs(driver)
    other = server.create()
    other.execute("create table precious (x int)")
    words = {
        "url": other.url.replace("postgresql://", "postgresql+psycopg://"),
        "plain": other.url,
        "host": other.url.partition("host=")[2],
        "name": other.name,
        "socket": other.url.partition("host=")[2] + "/.s.PGSQL.5432",
    }
    env = POSTGRESQL_HOSTILE[way]
    for word, value in words.items():
        env = env.replace("{" + word + "}", value)
    source = sources.find(project(tmp_path, revision("a", **table("t")), env=env))
    with running(source, postgresql) as runner, pytest.raises(NotOurs, match=other.name):
        runner.up(source.discover()[0])
    assert tables(other) == {"precious"}


@pytest.mark.parametrize(
    ("driver", "up"),
    [
        (
            "pg8000",
            "import pg8000.native as p; p.Connection('postgres', unix_sock={socket!r}, database={name!r}).close()",
        ),
        (
            "psycopg2",
            "import psycopg2, psycopg2.extensions as e; from psycopg2.extras import LoggingConnection as logging; "
            "dsn = 'host={host} user=postgres dbname={name}'; e.connection(dsn).close(); "
            "c = psycopg2.connect(dsn); assert isinstance(c, e.connection) and not isinstance(c, logging); c.close()",
        ),
    ],
)
def test_a_drivers_own_ways_lead_to_the_throwaway_database(tmp_path, postgresql, driver, up):
    needs(driver)
    host = postgresql.url.partition("host=")[2]
    words = {"host": host, "name": postgresql.name, "socket": host + "/.s.PGSQL.5432"}
    assert failing(tmp_path, postgresql, up.format(**words)).error is None


def test_the_same_name_on_another_server_is_refused(tmp_path, server, postgresql):
    """Only what the server says of itself tells them apart."""
    twin = PostgresqlServer.local(PostgresqlDatabase)
    try:
        twin.maintain(f"CREATE DATABASE {postgresql.name}")
        env = URL_ENV.format(url=repr(twin.url(postgresql.name).replace("postgresql:", "postgresql+psycopg:")))
        source = sources.find(project(tmp_path, revision("a", **table("t")), env=env))
        with running(source, postgresql) as runner, pytest.raises(NotOurs, match=postgresql.name):
            runner.up(source.discover()[0])
        with twin.connect(postgresql.name) as connection:
            assert connection.execute("select * from pg_tables where schemaname = 'public'").fetchall() == []
    finally:
        twin.maintain(f"DROP DATABASE {postgresql.name}")
        twin.close()


def test_passwords_are_left_out(tmp_path, postgresql):
    env = URL_ENV.format(url="'postgresql+psycopg://boss:s3cret@127.0.0.1:1/production'")
    source = sources.find(project(tmp_path, revision("a"), env=env))
    with running(source, postgresql) as runner, pytest.raises(NotOurs) as error:
        runner.up(source.discover()[0])
    assert "production" in str(error.value)
    assert "s3cret" not in str(error.value)


def test_copy_program_is_refused(tmp_path, postgresql):
    up = "op.execute(\"COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'\")"
    step = failing(tmp_path, postgresql, up)
    assert step.error.kind is ErrorKind.ENVIRONMENT
    assert "COPY" in step.error.message and "trust = true" in step.error.message
    assert failing(tmp_path, postgresql, up, trust=True).error is None


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("CREATE SERVER s FOREIGN DATA WRAPPER w", None),
        ("CREATE USER MAPPING FOR postgres SERVER s", None),
        ("CREATE SUBSCRIPTION s CONNECTION 'host=x' PUBLICATION p", None),
        ("LOAD 'plpgsql'", None),
        ("COPY pg_class TO E'/dev/null'", None),
        ("SELECT 1; SELECT pg_file_write('/dev/null', 'x', false)", None),
        ("DO $$ BEGIN EXECUTE 'COPY (SELECT 1) TO PROGRAM ''cat'' '; END $$", None),
        ("DO 'BEGIN PERFORM dblink(''dbname=postgres'', ''select 1''); END'", None),
        ("COPY (SELECT 1) TO %(file)s", {"file": "/dev/null"}),
        ("DO %(body)s", {"body": "BEGIN COPY (SELECT 1) TO PROGRAM 'cat'; END"}),
    ],
)
def test_the_guard_knows_all_that_the_engine_knows(tmp_path, postgresql, sql, parameters):
    """By psycopg2 where it is there: it puts parameters into the text by itself, so that they may stand anywhere."""
    driver = "psycopg2" if importlib.util.find_spec("psycopg2") else "psycopg"
    up = f"op.get_bind().exec_driver_sql({sql!r}, {parameters!r})"
    step = failing(tmp_path, postgresql, up, options={"driver": driver})
    assert step.error.kind is ErrorKind.ENVIRONMENT
    assert "trust = true" in step.error.message and step.statements == ()


def test_what_only_looks_like_leaving_is_run(tmp_path, postgresql):
    up = (
        "op.execute('CREATE TABLE notes (x text, dblink int)')\n"
        "    op.get_bind().exec_driver_sql('INSERT INTO notes VALUES (%(x)s)', {'x': 'lo_import(1)'})\n"
        "    op.execute(\"INSERT INTO notes VALUES ('copy t to program'), ('dblink(')\")\n"
        "    op.execute('CREATE FUNCTION f() RETURNS int AS $$ SELECT 1 $$ LANGUAGE sql')"
    )
    assert failing(tmp_path, postgresql, up).error is None
    assert postgresql.query("select count(*) from notes") == [("3",)]


# --- MariaDB ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mariadb(servers):
    return servers["mariadb"]


def test_mariadb_steps(tmp_path, mariadb):
    database = mariadb.create()
    twice = "op.execute('INSERT INTO t (x) VALUES (1)')\n    op.execute('UPDATE t SET x = 2')"
    bad = "op.execute('INSERT INTO nowhere VALUES (1)')"
    absent = "op.execute('CREATE TABLE e (id int) ENGINE = nowhere')"
    folder = project(
        tmp_path,
        revision("a", **table("t")),
        revision("b", "a", up=twice),
        revision("c", "b", up=bad),
        revision("d", "b", up=absent),
    )
    source = sources.find(folder)
    with running(source, database) as runner:
        create, fill, fail, surroundings = [runner.up(m) for m in source.discover()]
    assert (surroundings.error.code, surroundings.error.kind) == ("1286", ErrorKind.ENVIRONMENT)
    assert (create.error, create.in_transaction) == (None, False)  # DDL commits by itself
    assert (fill.error, fill.in_transaction, [s.rows for s in fill.statements]) == (None, True, [1, 1])
    assert (fail.error.code, fail.error.kind, fail.error.line) == ("1146", ErrorKind.MIGRATION, 13)
    assert database.query("select version_num from alembic_version") == [("b",)]


MARIADB_HOSTILE = {
    "sqlalchemy": "",
    "pymysql": "import pymysql\nc = pymysql.connect(unix_socket={socket!r}, user='root', database={name!r})\n"
    "c.cursor().execute('CREATE TABLE x (y int)')\n",
    "mysql.connector": "from mysql.connector import connection\n"
    "c = connection.MySQLConnection(unix_socket={socket!r}, user='root', database={name!r})\n"
    "c.cursor().execute('CREATE TABLE x (y int)')\n",
    "aiomysql": "import asyncio, aiomysql\nasync def run():\n"
    "    c = await aiomysql.connect(unix_socket={socket!r}, user='root', db={name!r})\n"
    "    await (await c.cursor()).execute('CREATE TABLE x (y int)')\nasyncio.run(run())\n",
}


@pytest.mark.parametrize("way", MARIADB_HOSTILE)
def test_another_mariadb_database_is_refused(tmp_path, mariadb, way):
    needs(way)
    database, other = mariadb.create(), mariadb.create()
    name, socket = other.query("select database(), @@socket")[0]
    raw = MARIADB_HOSTILE[way].format(name=name, socket=socket)
    env = raw or URL_ENV.format(url=repr(with_driver(other.url, "mysql", "pymysql")))
    source = sources.find(project(tmp_path, revision("a", **table("t")), env=env))
    with running(source, database) as runner, pytest.raises(NotOurs, match=name):
        runner.up(source.discover()[0])
    assert tables(other) == set()


@pytest.mark.parametrize("way", [way for way in MARIADB_HOSTILE if way != "sqlalchemy"])
def test_a_drivers_own_ways_lead_to_the_throwaway_mariadb(tmp_path, mariadb, way):
    needs(way)
    database = mariadb.create()
    name, socket = database.query("select database(), @@socket")[0]
    raw = MARIADB_HOSTILE[way].format(name=name, socket=socket)
    assert failing(tmp_path, database, f"exec({raw!r}, {{}})").error is None
    assert "x" in tables(database)


@pytest.mark.parametrize("sql", ["SELECT 1 INTO OUTFILE '/dev/null'", "CREATE SERVER s FOREIGN DATA WRAPPER mysql"])
def test_what_leaves_mariadb_is_refused(tmp_path, mariadb, sql):
    step = failing(tmp_path, mariadb.create(), f"op.execute({sql!r})")
    assert step.error.kind is ErrorKind.ENVIRONMENT
    assert "trust = true" in step.error.message


# --- the pure parts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (":memory:", ""),
        ("", ""),
        ("file::memory:?cache=shared", ""),
        ("file:x?mode=memory", ""),
        ("file:/a/b%20c.db?mode=ro", "/a/b c.db"),
        ("/a/b.db", "/a/b.db"),
        ("b.db", "b.db"),
    ],
)
def test_what_sqlite_would_open(name, path):
    assert sqlite_path(name) == path


@pytest.mark.parametrize(
    ("conninfo", "settings", "found"),
    [
        ("", {}, (None, "")),
        ("dbname=shop host=db port=5433", {}, ("shop", "db:5433")),
        ("dbname = 'my shop'", {}, ("my shop", "")),
        ("dbname=shop", {"dbname": "other"}, ("other", "")),
        ("postgresql://u:p@h:1/shop?x=1", {}, ("shop", "h:1")),
        ("postgresql:///?host=/tmp&dbname=shop", {}, ("shop", "/tmp")),
        ("", {"database": "shop", "host": "h"}, ("shop", "h")),
        ("", {"db": "shop", "unix_socket": "/s"}, ("shop", "/s")),
    ],
)
def test_where_a_connection_goes(conninfo, settings, found):
    assert named(conninfo, settings) == found


def test_drivers_are_chosen():
    both = ["psycopg", "psycopg2", "asyncpg"]
    assert choose("postgresql", both, wanted=None, given="", is_async=False) == "psycopg2"
    assert choose("postgresql", ["psycopg"], wanted=None, given="", is_async=False) == "psycopg"
    assert choose("postgresql", both, wanted=None, given="", is_async=True) == "asyncpg"
    assert choose("postgresql", both, wanted=None, given="postgresql+psycopg", is_async=False) == "psycopg"
    assert choose("mariadb", ["pymysql"], wanted=None, given="postgresql+psycopg", is_async=False) == "pymysql"
    assert choose("postgresql", both, wanted="default", given="", is_async=False) == ""
    with pytest.raises(SourceError, match=r"no async driver for mysql \(asyncmy, aiomysql\)"):
        choose("mysql", ["pymysql"], wanted=None, given="", is_async=True)


def test_urls_get_their_driver():
    socket = "postgresql://u@/shop?host=/run/pg&port=5433"
    assert with_driver(socket, "postgresql", "psycopg") == "postgresql+psycopg://u@/shop?host=/run/pg&port=5433"
    assert with_driver(socket, "postgresql", "pg8000") == (
        "postgresql+pg8000://u@/shop?unix_sock=/run/pg/.s.PGSQL.5433&port=5433"
    )
    assert with_driver("mysql://u:p@h/shop", "mariadb", "pymysql") == "mysql+pymysql://u:p@h/shop"
    own = "mariadb+pymysql"
    assert with_driver("mariadb://u:p@h/shop", "mariadb", "pymysql", own) == "mariadb+pymysql://u:p@h/shop"
    assert with_driver("mysql://u:p@h/shop", "mysql", "pymysql", own) == "mysql+pymysql://u:p@h/shop"
    assert with_driver("sqlite:////tmp/x.db", "sqlite", "") == "sqlite:////tmp/x.db"


@pytest.mark.parametrize(
    ("driver", "query"),
    [
        ("pymysql", "?charset=utf8mb4&ssl_check_hostname=false"),
        ("mysqldb", "?charset=utf8mb4&ssl_mode=REQUIRED"),
        ("asyncmy", "?charset=utf8mb4"),
    ],
)
def test_tls_in_the_words_of_the_projects_driver(driver, query):
    found = with_driver("mysql://u:p@h/db?charset=utf8mb4&ssl-mode=REQUIRED", "mysql", driver)
    assert found == f"mysql+{driver}://u:p@h/db{query}"


def test_a_version_table_whose_name_is_computed_is_known_after_the_first_step(tmp_path, database):
    name = 'context.config.get_main_option("kept_in") + "_version"'
    env = ENV.replace("configure(connection=connection)", f"configure(connection=connection, version_table={name})")
    source = sources.find(
        project(tmp_path / "p", revision("a", **table("a")), env=env, ini=INI + "    kept_in = own\n")
    )
    with running(source, database) as runner:
        step = runner.up(source.discover()[0])

    assert step.error is None
    assert "own_version" in source.bookkeeping
    assert tables(database) == {"a"}
