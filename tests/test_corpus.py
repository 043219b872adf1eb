"""The corpus, every case strict on every engine it applies to, on servers started once.

The public cases are scored by their own runner against the command; the grown ones in-process, which is much faster.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

from seatrial import app, config
from seatrial.config import ServerConfig
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


def grown(*engines: str) -> list:
    return [pytest.param(case, id=case.name) for case in RUN.load([CORPUS / "grown"], list(engines), "", plain=False)]


@pytest.fixture
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


def public(command: str, engine: str, *server: str) -> None:
    arguments = ["--seatrial", command, "--jobs", "1", "--engine", engine, *server]
    done = subprocess.run(
        [sys.executable, CORPUS / "run.py", CORPUS / "public", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"


def strict(case, folder: Path, server: ServerConfig) -> None:
    RUN.lay_out(case, folder)
    settings = config.load(folder).replace(server=server, only=("0002",))
    report = app.run(settings)
    migration = next(m for m in json.loads(render(report, "json"))["migrations"] if m["version"] == "0002")
    score = RUN.judge(case, migration)
    assert (score.verdict, score.detail) == ("strict", "")
    assert report.exit_code == {"passed": 0, "failed": 1}[case.facts["expect"]["status"]]


def test_public_sqlite(command):
    public(command, "sqlite")


def test_public_postgresql(command, pg_server):
    public(command, "postgresql", "--server", f"postgresql={pg_server.url('postgres')}")


def test_public_mysql_and_mariadb(command, mysql_server):
    public(command, mysql_server.engine, "--server", f"{mysql_server.engine}={mysql_server.url('')}")


@pytest.mark.parametrize("case", grown("sqlite"))
def test_grown_sqlite(case, tmp_path):
    strict(case, tmp_path, ServerConfig(engine="sqlite"))


@pytest.mark.parametrize("case", grown("postgresql"))
def test_grown_postgresql(case, tmp_path, pg_server):
    strict(case, tmp_path, ServerConfig(url=pg_server.url("postgres")))


@pytest.mark.parametrize("case", grown("mysql", "mariadb"))
def test_grown_mysql_and_mariadb(case, tmp_path, mysql_server):
    if case.engine == mysql_server.engine:
        strict(case, tmp_path, ServerConfig(url=mysql_server.url("")))


def test_a_versioned_table_without_old_versions_proves_nothing_of_them(mysql_server, tmp_path):
    if mysql_server.engine == "mysql":
        pytest.skip("MariaDB's alone")
    (case,) = RUN.load([CORPUS / "grown"], ["mariadb"], "W19", plain=False)
    RUN.lay_out(case, tmp_path)
    report = app.run(config.load(tmp_path).replace(server=ServerConfig(url=mysql_server.url("")), only=("0002",)))
    assert [d.what for d in report.not_verified if d.what.startswith("history")] == ["history of vt"]
