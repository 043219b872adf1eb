"""The score on the corpus of cases that the project carries."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import common


def main(engines: tuple[str, ...] = ("sqlite", "postgresql"), **_: object) -> None:
    print("\n## Corpus: damaging cases caught, safe cases passed\n", flush=True)
    chosen = [argument for engine in engines for argument in ("--engine", engine)]
    command = [sys.executable, "tests/corpus/run.py", "tests/corpus/public", "--plain", *chosen]
    subprocess.run([*command, "--seatrial", " ".join(common.SEATRIAL)], cwd=common.ROOT, check=False)
