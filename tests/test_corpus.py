"""The corpus, every case strict on every engine: run by its own runner against the installed command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CORPUS = Path(__file__).parent / "corpus"


def score(engine: str, *server: str) -> None:
    command = f"{sys.executable} -m seatrial.cli"
    done = subprocess.run(
        [sys.executable, CORPUS / "run.py", CORPUS / "public", "--seatrial", command, "--engine", engine, *server],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"


@pytest.mark.slow
def test_sqlite():
    score("sqlite")
