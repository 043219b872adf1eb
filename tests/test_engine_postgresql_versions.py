"""The schema's vocabulary and the traps of values on the other versions of PostgreSQL, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from engine_fixture import without
from pg_fixtures import programs

HERE = Path(__file__).parent
ROWS = "smallest_difference or many_changed or missing_column or partitions"


@pytest.mark.slow
@pytest.mark.parametrize("version", [16, 18])
def test_on(version: int) -> None:
    where = programs(version)
    if where is None:
        without(f"no PostgreSQL {version} here: run tests/servers/install.sh")
    tests = [HERE / "test_engine_postgresql_inspect.py", HERE / "test_engine_postgresql_rows.py"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-rs",
        *map(str, tests),
    ]
    command += ["-k", f"test_engine_postgresql_inspect or {ROWS}"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=HERE.parent,
        env={**os.environ, "SEATRIAL_TEST_POSTGRESQL": str(where)},
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout or "100%" in done.stdout
