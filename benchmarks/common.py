"""What the measurements share: folders, virtual environments, running Seatrial, medians, tables of text."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
SEATRIAL = (sys.executable, "-m", "seatrial.cli")


def python_of(venv: Path) -> Path:
    return venv / ("Scripts" if os.name == "nt" else "bin") / "python"


def venv(name: str, *requirements: str, no_deps: Sequence[str] = ()) -> Path:
    """The Python of a virtual environment that holds these packages; made once, again where the list has changed."""
    folder = CACHE / "venvs" / name
    wanted = hashlib.sha256(repr((requirements, tuple(no_deps), sys.version)).encode()).hexdigest()
    stamp = folder / "installed"
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"... setting up a virtual environment for {name}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip(folder, "install", "--quiet", *requirements)
        if no_deps:
            pip(folder, "install", "--quiet", "--no-deps", *no_deps)
        stamp.write_text(wanted)
    return python_of(folder)


def pip(venv_folder: Path | None, *arguments: str) -> None:
    python = python_of(venv_folder) if venv_folder else Path(sys.executable)
    done = subprocess.run(
        [str(python), "-m", "pip", *arguments], capture_output=True, text=True, env={**os.environ, "PIP_NO_INPUT": "1"}
    )
    if done.returncode:
        raise SystemExit(f"pip {' '.join(arguments)}:\n{done.stderr[-3000:]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One ``seatrial run``: how it ended, and its report."""

    exit_code: int
    seconds: float
    said: str
    report: Mapping[str, Any] | None


def seatrial(project: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> Ran:
    """``seatrial run`` as a user runs it: a process of its own."""
    out = project / "out"
    (out / "report.json").unlink(missing_ok=True)
    begun = time.perf_counter()
    done = subprocess.run(
        [*SEATRIAL, "run", str(project), "--report", str(out), "--format", "markdown,json", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **(environ or {})},
    )
    seconds = time.perf_counter() - begun
    path = out / "report.json"
    report = json.loads(path.read_text()) if path.is_file() else None
    return Ran(exit_code=done.returncode, seconds=seconds, said=done.stdout + done.stderr, report=report)


def interleaved(repeat: int, **measured: Callable[[], float]) -> dict[str, float]:
    """Medians of repetitions taken in turn, so that what slows the machine slows all of them."""
    taken: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(repeat):
        for name, act in measured.items():
            taken[name].append(act())
    return {name: statistics.median(values) for name, values in taken.items()}


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table with even columns."""
    cells = [[str(c) for c in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GB, {system}"
