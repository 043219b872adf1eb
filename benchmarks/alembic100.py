"""100 small Alembic migrations on SQLite: a whole `seatrial run` beside plain Alembic and beside other testers."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks import common, project100
from benchmarks.common import Cost

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


def _timed(command: Sequence[str], folder: Path, conftest: str = "", **environ: str) -> Cost:
    """What a command costs in a project with a new database; it has to succeed."""
    (folder / "app.db").unlink(missing_ok=True)
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "tests" / "conftest.py").write_text(conftest)
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")

    def run() -> None:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            env={**common.usual_environ(), "NO_COLOR": "1", **environ},
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")

    return common.cost(run)


def seatrial(migrations: int, python: Path) -> Cost:
    folder = project(migrations)
    (folder / "seatrial.toml").write_text(f'[source]\ntype = "alembic"\npython = "{python.as_posix()}"\n')
    ran: list[common.Ran] = []
    cost = common.cost(lambda: ran.append(common.seatrial(folder, "--engine", "sqlite")))
    report = ran[0].report or {"migrations": []}
    if ran[0].exit_code:
        found = ", ".join(f"{m['id']} {f['rule']}" for m in report["migrations"] for f in m["findings"])
        print(f"  (seatrial ended with {ran[0].exit_code}: {found[:800] or ran[0].said[-800:]})")
    return cost


def plain(migrations: int, python: Path) -> Cost:
    """Python keeps the bytecode of the revisions beside them: the second call reads it."""
    return _timed([str(python), "-c", PLAIN], project(migrations))


def plain_without_bytecode(migrations: int, python: Path) -> Cost:
    """As in many containers: every call compiles every revision."""
    return _timed([str(python), "-c", PLAIN], project(migrations), PYTHONDONTWRITEBYTECODE="1")


def pytest_mrt(migrations: int, python: Path) -> Cost:
    """Only its test of every revision up, down with three rows a table; its other five tests are left out."""
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "test_mrt_up_down_consistency"]
    return _timed(command, project(migrations), conftest=MRT)


def pytest_alembic(migrations: int, python: Path) -> Cost:
    """Its built-in tests: single head, upgrade, up-down consistency; no rows."""
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--test-alembic"]
    command += ["-k", "single_head or test_upgrade or up_down_consistency"]
    return _timed(command, project(migrations), conftest=PYTEST_ALEMBIC)


def main(repeat: int = 3, **_: object) -> None:
    python = common.venv("rivals", *RIVALS)
    print("\n## 100 small Alembic migrations on SQLite\n")
    taken = common.interleaved(
        repeat,
        {
            "100": lambda: seatrial(100, python),
            "25": lambda: seatrial(25, python),
            "plain": lambda: plain(100, python),
            "compiling": lambda: plain_without_bytecode(100, python),
        },
    )
    taken |= common.interleaved(
        1, {"mrt": lambda: pytest_mrt(100, python), "alembic": lambda: pytest_alembic(100, python)}
    )
    ours = taken["100"]
    rows = [
        ("seatrial run, 100 migrations", ours, "", ""),
        ("seatrial run, 25 migrations", taken["25"], ours.against(taken["25"]), "4 (linear)"),
        ("(a) 300 alembic.command calls in one process", taken["plain"], ours.against(taken["plain"]), "0.33"),
        ("(a) with PYTHONDONTWRITEBYTECODE=1", taken["compiling"], ours.against(taken["compiling"]), "0.33"),
        ("(b) pytest-mrt 1.9.1, up-down test only", taken["mrt"], ours.against(taken["mrt"]), "0.20"),
        ("(b) pytest-alembic 0.13.1, without rows", taken["alembic"], ours.against(taken["alembic"]), "-"),
    ]
    print(common.table(["what", "time (CPU)", "the first line against it (CPU)", "at most"], rows))
