"""[mysql] sql_modes: the trials run once under each, and what one of them shows counts."""

from __future__ import annotations

import dataclasses
import datetime
import html
import json
from pathlib import Path

import pytest
from engine_fixture import Engine
from test_sources_alembic import project as alembic_project
from test_sources_alembic import revision
from trial_fixtures import project
from trial_fixtures import tested as run_of

from seatrial import app, config
from seatrial.codec import decode_trace, encode_trace
from seatrial.config import ServerConfig
from seatrial.errors import ConfigError
from seatrial.judge import judge
from seatrial.matrix import together
from seatrial.model import Finding, Kind, Phase, Report, Retry, Severity, Status, Under
from seatrial.reporters import render

BASE = "CREATE TABLE t (id int PRIMARY KEY, code varchar(20), d date);"
ROWS = "INSERT INTO t VALUES (1, 'red', '2024-01-01'), (2, 'ultramarine', NULL);"
NARROWED = ("ALTER TABLE t MODIFY code varchar(4);", "ALTER TABLE t MODIFY code varchar(20);")
LAX, STRICT = "NO_ENGINE_SUBSTITUTION", "STRICT_TRANS_TABLES"


def finding(count: int) -> Finding:
    return Finding(
        rule="rows-lost", severity=Severity.HIGH, phase=Phase.DOWN, message=f"{count} rows.", table="t", count=count
    )


def test_what_every_mode_shows_is_said_once():
    assert together([("A", [finding(1)]), ("B", [finding(1)])]) == [finding(1)]


def test_what_some_modes_show_names_them():
    (found,) = together([("A", []), ("", [finding(1)])])
    assert found.sql_modes == ("",)
    assert found.message == "1 rows. It shows under sql_mode = '', not under sql_mode = 'A'."


def test_the_worst_of_what_differs_stands():
    (found,) = together([("A", [finding(1)]), ("B", [finding(3)])])
    assert (found.count, found.sql_modes) == (3, ())
    assert found.message == "3 rows. So under sql_mode = 'B'; otherwise under the others."


def run(engine: Engine, modes: list[str]) -> Report:
    settings = f"[mysql]\nsql_modes = {json.dumps(modes)}\n"
    return engine.run([(BASE, "SELECT 1;"), NARROWED], seed=ROWS, settings=settings, only=("0002",))


@pytest.mark.engines("mariadb", "mysql")
def test_a_conversion_that_only_a_lax_session_allows_is_seen(engine: Engine):
    report = run(engine, [STRICT, LAX])
    judged = report.migrations[-1]
    assert (judged.status, judged.rollback_safe, report.exit_code) == (Status.FAILED, False, 1)
    assert (judged.kind, judged.impact_basis) == (Kind.TRANSFORMATIVE, "measured")
    assert judged.trial.up.error is None  # the lax one shows more than that it fails
    modes = {f.rule: f.sql_modes for f in judged.findings}
    assert modes["up-failed"] == (STRICT,)
    assert modes["conversion-loss"] == (LAX,)
    (lost,) = [f for f in judged.findings if f.rule == "conversion-loss"]
    assert lost.keys == (("2",),)
    assert f"under sql_mode = '{LAX}', not under sql_mode = '{STRICT}'" in lost.message
    assert [s for s in report.environment.settings if "once under" in s] == [
        f"up and down run once under sql_mode = '{STRICT}'",
        f"up and down run once under sql_mode = '{LAX}'",
    ]
    strict, lax = judged.outcomes
    assert (strict.sql_mode, strict.status, strict.rules, strict.shown) == (
        STRICT,
        Status.FAILED,
        ("up-failed",),
        False,
    )
    assert (lax.sql_mode, lax.status, lax.shown) == (LAX, Status.FAILED, True)
    for name in ("markdown", "html", "terminal"):
        text = html.unescape(" ".join(render(report, name).replace("\\", "").split()))
        assert f"Under sql_mode = '{STRICT}': failed (up-failed); under sql_mode = '{LAX}': failed (values-lost" in text
        assert f"Up and down are shown as under '{LAX}'." in text
    told = json.loads(render(report, "json"))["migrations"][-1]["findings"]
    assert {f["rule"]: f["sql_modes"] for f in told}["conversion-loss"] == [LAX]


@pytest.mark.engines("mariadb", "mysql")
def test_each_mode_holds_under_alembic_too(engine: Engine, tmp_path: Path):
    """Its steps run in a process of their own, with a session of their own."""
    up, down = (f"op.execute({sql!r})" for sql in NARROWED)
    base = {"up": f"op.execute({BASE!r})", "downgrade": "op.drop_table('t')"}
    folder = alembic_project(tmp_path, revision("a", **base), revision("b", "a", up=up, downgrade=down))
    (folder / "seed.sql").write_text(ROWS)
    settings = '[seed]\npath = "seed.sql"\nat = "a"\n[mysql]\nsql_modes = '
    (folder / "seatrial.toml").write_text(settings + json.dumps([STRICT, LAX]))
    report = engine.tested(folder, only=("b",))
    modes = {f.rule: (f.sql_modes, f.keys) for f in report.migrations[-1].findings}
    assert modes["up-failed"] == ((STRICT,), ())
    assert modes["conversion-loss"] == ((LAX,), (("2",),))
    assert [(o.sql_mode, o.status) for o in report.migrations[-1].outcomes] == [
        (STRICT, Status.FAILED),
        (LAX, Status.FAILED),
    ]


def test_a_repair_of_the_seed_is_told_once_and_other_retries_say_their_mode(tmp_path: Path):
    place = project(tmp_path, [(BASE, "SELECT 1;"), ("SELECT 1;", "SELECT 1;")], seed=ROWS)
    trace = run_of(place, only=("0002",)).trace
    repair = Retry(strategy="fix-seed-data", migration="0001", attempt=1, reason="refused", succeeded=True)
    again = dataclasses.replace(repair, strategy="reset-test-db", reason="lost")
    under = Under(sql_mode=LAX, trials=trace.trials, retries=(repair, again))
    both = dataclasses.replace(trace, sql_mode="", retries=(repair,), others=(under,))
    told = judge(both, config.load(place), datetime.date(2026, 1, 1)).retries
    assert [r.reason for r in told] == ["refused", f"Under sql_mode {LAX}: lost"]


@pytest.mark.parametrize("strict_is_first", [True, False])
def test_what_could_not_be_tested_under_one_mode_says_why(tmp_path: Path, strict_is_first: bool):
    place = project(tmp_path, [(BASE, "SELECT 1;"), ("SELECT 1;", "SELECT 1;")], seed=ROWS)
    trace = run_of(place, only=("0002",)).trace
    why = "needs 0001, which failed"
    failed = (*trace.trials[:-1], dataclasses.replace(trace.trials[-1], error=why))
    first, other = (failed, trace.trials) if strict_is_first else (trace.trials, failed)
    modes = (STRICT, LAX) if strict_is_first else (LAX, STRICT)
    both = dataclasses.replace(trace, sql_mode=modes[0], trials=first, others=(Under(sql_mode=modes[1], trials=other),))
    report = judge(both, config.load(place), datetime.date(2026, 1, 1))
    assert (report.migrations[-1].status, report.exit_code) == (Status.ERROR, 2)
    told = f"under sql_mode = '{STRICT}': {why}"
    data = json.loads(render(report, "json"))
    assert data["migrations"][-1]["error"] == told
    assert {o["sql_mode"]: o["error"] for o in data["migrations"][-1]["sql_modes"]} == {STRICT: why, LAX: ""}
    assert {"what": "the migration", "why": told, "migration": "0002", "rule": ""} in data["not_verified"]
    for name in ("markdown", "html", "terminal", "junit", "github"):
        assert why in html.unescape(" ".join(render(report, name).replace("\\", "").split())), name


@pytest.mark.engines("mysql")  # no server is asked
def test_a_trace_holds_every_mode(engine: Engine, tmp_path: Path):
    report = run(engine, [STRICT, LAX])
    again = decode_trace(encode_trace(report.trace))
    assert [(u.sql_mode, len(u.trials)) for u in again.others] == [(LAX, 2)]
    settings = config.load(tmp_path).replace(only=("0002",))
    assert judge(again, settings, datetime.date(2026, 1, 1)).migrations[-1].findings == report.migrations[-1].findings


@pytest.mark.engines("sqlite", "postgresql")
def test_other_engines_take_no_notice_and_nonsense_is_refused(engine: Engine, tmp_path: Path):
    base = "CREATE TABLE t (id integer PRIMARY KEY);"
    good = ("CREATE TABLE u (id integer);", "DROP TABLE u;")
    folder = project(tmp_path, [(base, "DROP TABLE t;"), good], settings="[mysql]\nsql_modes = ['ANSI']\n")
    report = engine.tested(folder)
    assert (report.status, report.trace.others, report.trace.sql_mode) == (Status.PASSED, (), None)
    settings = config.load(folder).replace(mysql=config.MysqlConfig(sql_modes=("'; DROP",)))
    with pytest.raises(ConfigError, match=r"mysql\.sql_modes"):
        app.run(settings.replace(server=ServerConfig(engine="sqlite")))
