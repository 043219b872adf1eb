"""100 small Alembic migrations on SQLite: a whole `seatrial run` beside plain Alembic and beside other testers."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import common, project100

RIVALS = ("pytest-mrt==1.9.1", "pytest-alembic==0.13.1", "pytest==8.4.2", "alembic==1.20.1", "sqlalchemy==2.1.9")

PLAIN = """
import sys
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

config = Config("alembic.ini")
revisions = [s.revision for s in ScriptDirectory.from_config(config).walk_revisions()][::-1]
for revision in revisions:
    command.upgrade(config, revision)
    command.downgrade(config, "-1")
    command.upgrade(config, revision)
"""

MRT = """
from pytest_mrt import MRTConfig

def pytest_configure(config):
    config._mrt_config = MRTConfig(alembic_ini="alembic.ini", db_url="sqlite:///app.db")
"""

PYTEST_ALEMBIC = """
import pytest, sqlalchemy

@pytest.fixture
def alembic_config():
    return {"file": "alembic.ini"}

@pytest.fixture
def alembic_engine():
    return sqlalchemy.create_engine("sqlite:///app.db")
"""


def project(migrations: int) -> Path:
    folder = common.CACHE / f"alembic{migrations}"
    project100.write(folder, migrations)
    return folder


def _timed(command: Sequence[str], folder: Path, conftest: str = "") -> float:
    """Seconds of a command in a project with a new database; it has to succeed."""
    (folder / "app.db").unlink(missing_ok=True)
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "tests" / "conftest.py").write_text(conftest)
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return seconds


def seatrial(migrations: int, python: Path) -> float:
    folder = project(migrations)
    (folder / "seatrial.toml").write_text(f'[source]\ntype = "alembic"\npython = "{python.as_posix()}"\n')
    ran = common.seatrial(folder, "--engine", "sqlite")
    if ran.report is None or ran.exit_code:
        migrations_ = (ran.report or {"migrations": []})["migrations"]
        found = ", ".join(f"{m['id']} {f['rule']}" for m in migrations_ for f in m["findings"])
        print(f"  (seatrial ended with {ran.exit_code}: {found[:800] or ran.said[-800:]})")
    return ran.seconds


def plain(migrations: int, python: Path) -> float:
    return _timed([str(python), "-c", PLAIN], project(migrations))


def pytest_mrt(migrations: int, python: Path) -> float:
    """Only its test of every revision up, down with three rows a table; its other five tests are left out."""
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "test_mrt_up_down_consistency"]
    return _timed(command, project(migrations), conftest=MRT)


def pytest_alembic(migrations: int, python: Path) -> float:
    """Its built-in tests: single head, upgrade, up-down consistency; no rows."""
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--test-alembic"]
    command += ["-k", "single_head or test_upgrade or up_down_consistency"]
    return _timed(command, project(migrations), conftest=PYTEST_ALEMBIC)


def main(repeat: int = 3, rivals: bool = True) -> None:
    python = common.venv("rivals", *RIVALS)
    measured: dict[str, Callable[[], float]] = {
        "seatrial 100": lambda: seatrial(100, python),
        "seatrial 25": lambda: seatrial(25, python),
        "plain 100": lambda: plain(100, python),
    }
    taken = common.interleaved(repeat, **measured)
    if rivals:
        others = {
            "pytest-mrt 100": lambda: pytest_mrt(100, python),
            "pytest-alembic 100": lambda: pytest_alembic(100, python),
        }
        taken |= common.interleaved(1, **others)
    ours, quarter, steps = taken["seatrial 100"], taken["seatrial 25"], taken["plain 100"]
    rows: list[tuple[object, ...]] = [
        ("seatrial run, 100 migrations", f"{ours:.1f} s", "", ""),
        ("seatrial run, 25 migrations", f"{quarter:.1f} s", f"{ours / quarter:.2f}", "4 (linear)"),
        ("(a) 300 alembic.command calls, one process", f"{steps:.1f} s", f"{ours / steps:.2f}", "0.33"),
    ]
    if rivals:
        for name, target in (("pytest-mrt", "0.20"), ("pytest-alembic", "-")):
            seconds = taken[f"{name} 100"]
            rows.append((f"(b) {name}, 100 migrations", f"{seconds:.1f} s", f"{ours / seconds:.2f}", target))
    print(common.table(["what", "time", "seatrial is this times it", "at most"], rows))
