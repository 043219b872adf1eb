"""What the settings ask for, on every engine: what is tried, where rows go, what is accepted, who runs the server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from engine_fixture import Engine
from test_sources_alembic import INI, revision
from test_sources_alembic import project as alembic_project
from trial_fixtures import Outcome

from seatrial.model import Status

TABLE = ("CREATE TABLE t (id integer PRIMARY KEY, v varchar(20));", "DROP TABLE t;")
ADDS = ("ALTER TABLE t ADD COLUMN w varchar(20);", "ALTER TABLE t DROP COLUMN w;")
LOSES = ("ALTER TABLE t DROP COLUMN w;", "ALTER TABLE t ADD COLUMN w varchar(20);")
ROWS = "INSERT INTO t (id, v, w) VALUES (1, 'a', 'x'), (2, 'b', NULL), (3, 'c', 'y');"
WAIVER = """
[[waivers]]
migration = "0003"
rule = "values-lost"
reason = "nobody reads w"
until = 2099-12-31
"""


def test_rows_go_in_at_their_version_and_what_is_waived_does_not_fail(engine: Engine) -> None:
    report = engine.run([TABLE, ADDS, LOSES], seed=ROWS, at="0002", settings=WAIVER, since="0002")
    assert [m.status for m in report.migrations] == [Status.SKIPPED, Status.SKIPPED, Status.PASSED]
    assert (report.status, report.exit_code, report.environment.rows) == (Status.PASSED, 0, 3)
    lost = Outcome(report)["values-lost"]
    assert (lost.keys, lost.waived) == ((("1",), ("3",)), "nobody reads w")


def test_only_the_chosen_one_is_tried_and_rows_of_a_later_version_wait(engine: Engine) -> None:
    """0002 comes before the seed's version: it is tried on made-up rows, and 0003, which loses, is not tried."""
    rows = "INSERT INTO t (id, v) VALUES (1, 'a'), (2, 'b');"
    report = engine.run([TABLE, ADDS, LOSES], seed=rows, at="0003", only=("0002",))
    assert [m.status for m in report.migrations] == [Status.SKIPPED, Status.PASSED, Status.SKIPPED]
    before = report.migrations[1].trial.before
    assert before is not None
    assert [t.rows > 3 for t in before.tables if t.table.name == "t"] == [True]


@pytest.mark.engines("postgresql", "mariadb", "mysql")
def test_a_server_of_our_own_started_by_root_runs_as_somebody_else(engine: Engine) -> None:
    running = engine.server._local
    owner = Path(f"/proc/{running.process.pid}").stat().st_uid
    assert Path(running.data).stat().st_uid == owner
    assert (owner == 0) is False
    assert (owner == os.geteuid()) is (os.geteuid() != 0)


LAX, STRICT = "NO_ENGINE_SUBSTITUTION", "STRICT_TRANS_TABLES"
MODES = f"""
[source]
session = ["SET time_zone = '+05:00'"]
[mysql]
sql_modes = ["{LAX}", "{STRICT}"]
"""


@pytest.mark.engines("mariadb")
def test_an_alembic_project_for_mariadb_alone_has_the_dialect_of_that_name(engine: Engine, tmp_path: Path) -> None:
    """Its migrations ask for it, and are another thing on MySQL."""
    made = "op.create_table('t_' + op.get_bind().dialect.name, sa.Column('id', sa.Integer, primary_key=True))"
    step = revision("a", up=made, downgrade="op.drop_table('t_mariadb')")
    ini = INI.replace("driver://", "mariadb+pymysql://")
    report = engine.tested(alembic_project(tmp_path, step, ini=ini))
    assert report.status is Status.PASSED
    assert "CREATE TABLE t_mariadb" in report.migrations[0].trial.up.statements[0].sql


@pytest.mark.engines("mariadb", "mysql")
def test_session_and_sql_modes_of_an_alembic_project(engine: Engine, tmp_path: Path) -> None:
    """Both reach the connections that the project opens: a text is cut off under one mode, refused under the other."""
    made = "op.create_table('t', sa.Column('id', sa.Integer, primary_key=True), sa.Column('v', sa.String(20)))"
    filled = "op.execute(\"INSERT INTO t VALUES (1, 'ultramarine'), (2, @@session.time_zone)\")"
    narrow, wide = (
        f"op.alter_column('t', 'v', type_=sa.String({n}), existing_type=sa.String({o}))" for n, o in ((6, 20), (20, 6))
    )
    steps = (
        revision("a", up=f"{made}\n    {filled}", downgrade="op.drop_table('t')"),
        revision("b", "a", up=narrow, downgrade=wide),
    )
    report = engine.tested(alembic_project(tmp_path, *steps, **{"seatrial.toml": MODES}))
    judged = report.migrations[-1]
    assert judged.status is Status.FAILED
    modes = {f.rule: (f.sql_modes, f.keys) for f in judged.findings if f.rule in ("up-failed", "conversion-loss")}
    assert modes == {"conversion-loss": ((LAX,), (("1",),)), "up-failed": ((STRICT,), ())}
    lost = next(f for f in judged.findings if f.rule == "conversion-loss")
    assert (lost.changes[0].old, lost.changes[0].new) == ("ultramarine", "ultram")
    settings = report.environment.settings
    assert "SET time_zone = '+05:00'" in settings


@pytest.mark.engines("sqlite")
def test_what_was_refused_and_passed_over_did_nothing(engine: Engine, tmp_path: Path) -> None:
    """The table is not followed under a name that it never got, and no rows are missed that nobody wrote."""
    made = (
        "op.execute('CREATE TABLE t (id integer PRIMARY KEY, v text UNIQUE)')\n    op.execute('CREATE TABLE x (n int)')"
    )
    filled = "op.execute(\"INSERT INTO t VALUES (1, 'a'), (2, 'b')\")"
    tried = ("ALTER TABLE t RENAME TO x", "UPDATE t SET v = 'z'")
    passed_over = [f'try: op.execute("{s}")\n    except Exception: pass' for s in tried]
    there, back = (f"op.execute(\"UPDATE t SET v = '{v}' WHERE id = 1\")" for v in ("c", "a"))
    steps = (
        revision("a", up=f"{made}\n    {filled}", downgrade="op.drop_table('x')\n    op.drop_table('t')"),
        revision("b", "a", up="\n    ".join([*passed_over, there]), downgrade=back),
    )
    report = engine.tested(alembic_project(tmp_path, *steps))
    assert [(f.rule, f.table) for m in report.migrations for f in m.findings] == []
    assert [s.undone for s in report.migrations[1].trial.up.statements] == [True, True, False]
