"""The corpus, every case strict on every engine it applies to, on servers started once.

The public cases are scored by their own runner against the command; the grown ones in-process, which is much faster.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from advice import check_sql, mended_case
from engine_fixture import ENGINES

from seatrial.facts import facts
from seatrial.model import Report
from seatrial.reporters import render

CORPUS = Path(__file__).parent / "corpus"
pytestmark = pytest.mark.slow


def _runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("corpus_run", CORPUS / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


RUN = _runner()
EVERYWHERE = os.environ.get("SEATRIAL_TEST_ADVICE") == "all"  # minutes more: by hand, `-k "words or grown"`
SERVED = ("",) if EVERYWHERE else ("AA", "AG06", "C1", "H05", "J0", "M0", "M14", "P0")
"""The cases whose advice is tried on servers, too, by the beginning of their ids."""
CIRCLES = {"RH02-cascades-in-a-circle"}  # no order of statements puts back rows that refer to each other


def cases(folder: str) -> list[Any]:
    """Every case on every engine that it applies to."""
    found = RUN.load([CORPUS / folder], list(ENGINES), "", plain=False)
    return [pytest.param(case.engine, case, id=case.name) for case in found]


@pytest.fixture(scope="session")
def command():
    """The command's words, ready to run: it starts hundreds of times, so what Python loads for it is loaded once."""
    if not hasattr(os, "fork"):
        yield f"{sys.executable} -m seatrial.cli"
        return
    warm = Path(__file__).with_name("warm.py")
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        place = f"{folder}/socket"
        serve = [sys.executable, warm, "serve", place]
        with subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdout.readline() == b"ready\n"
            yield f"{sys.executable} -S -E {warm} call {place}"
            server.stdin.close()


@pytest.mark.parametrize(("engine", "case"), cases("public"), indirect=["engine"])
def test_public(engine, case, command, tmp_path):
    servers = {} if engine.name == "sqlite" else {engine.name: engine.url}
    score = RUN.run(case, shlex.split(command), servers, tmp_path, timeout=120)
    assert (score.verdict, score.detail) == ("strict", "")


@pytest.mark.parametrize(("engine", "case"), cases("grown"), indirect=["engine"])
def test_grown(engine, case, tmp_path):
    words_are_true(engine, case, strict(engine, case, tmp_path), tmp_path / "mended")


def strict(engine, case, folder: Path) -> Report:
    """The report of a case that has to be strict, run in this process."""
    RUN.lay_out(case, folder)
    report = engine.tested(folder, only=("0002",))
    migration = next(m for m in json.loads(render(report, "json"))["migrations"] if m["version"] == "0002")
    score = RUN.judge(case, migration)
    assert (score.verdict, score.detail) == ("strict", "")
    assert report.exit_code == {"passed": 0, "failed": 1}[case.facts["expect"]["status"]]
    return report


PUBLIC = [p for p in cases("public") if (EVERYWHERE or p.values[0] == "sqlite") and p.values[1].expected]


@pytest.mark.parametrize(("engine", "case"), PUBLIC, indirect=["engine"])
def test_the_words_of_public(engine, case, tmp_path):
    RUN.lay_out(case, tmp_path)
    words_are_true(engine, case, engine.tested(tmp_path, only=("0002",)), tmp_path / "mended")


def words_are_true(engine, case, report: Report, folder: Path) -> None:
    """Every SQL shown runs and shows what it tells; what an advice has SQL against is not found once it is followed."""
    judged = next(m for m in report.migrations if m.migration.version == "0002")
    if engine.name == "sqlite":
        session = [RUN.setting_sql(case.engine, k, v) for k, v in case.section.get("settings", {}).items()]
        for found in judged.findings:
            check_sql(case, found, session)
    elif not case.facts["id"].startswith(SERVED):
        return
    told = facts(judged.findings)
    heeded = [f for f in told if mended_case(case, " ".join(f.recommendations))]
    if not heeded or case.facts["id"] in CIRCLES:
        return
    folder.mkdir()
    advice = dict.fromkeys(r for f in told for r in f.recommendations)
    RUN.lay_out(mended_case(case, " ".join(advice)), folder)
    again = engine.tested(folder, only=("0002",))
    left = {(f.rule, f.table): f.message for m in again.migrations for f in m.findings}
    assert {k: left.get(k) for f in heeded if (k := (f.main.rule, f.main.table)) in left} == {}
    assert not any(rule.endswith("-failed") for rule, _ in left), left


def test_the_runner_tells_what_is_not_strict(command, tmp_path):
    """As its README says to call it."""
    wrong = tmp_path / "wrong.toml"
    text = (CORPUS / "public" / "A01-drop-column-readd.toml").read_text()
    wrong.write_text(text.replace('status = "failed"', 'status = "passed"'))
    run = [sys.executable, CORPUS / "run.py", "--engine", "sqlite", "--seatrial", command]
    good = subprocess.run([*run, CORPUS / "public", "--only", "A01"], capture_output=True, text=True)
    assert good.returncode == 0, f"{good.stdout}{good.stderr}"
    bad = subprocess.run([*run, wrong], capture_output=True, text=True)
    assert (bad.returncode, "failed, not passed" in bad.stdout) == (1, True), f"{bad.stdout}{bad.stderr}"


@pytest.mark.engines("mariadb")
def test_a_versioned_table_without_old_versions_proves_nothing_of_them(engine, tmp_path):
    (case,) = RUN.load([CORPUS / "grown"], ["mariadb"], "W19", plain=False)
    RUN.lay_out(case, tmp_path)
    report = engine.tested(tmp_path, only=("0002",))
    assert [d.what for d in report.not_verified if d.what.startswith("history")] == ["history of vt"]
