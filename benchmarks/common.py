"""What the measurements share: folders, virtual environments, running Seatrial, medians, tables of text."""

from __future__ import annotations

import contextlib
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


def usual_environ() -> dict[str, str]:
    """The environment, with bytecode kept as Python usually does: a set-up that switches it off pays at each start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


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
        env={**usual_environ(), **(environ or {})},
    )
    seconds = time.perf_counter() - begun
    path = out / "report.json"
    report = json.loads(path.read_text()) if path.is_file() else None
    return Ran(exit_code=done.returncode, seconds=seconds, said=done.stdout + done.stderr, report=report)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on the clock, and processor seconds of this process and all that it started."""

    wall: float
    cpu: float

    def against(self, other: Cost) -> str:
        """This cost as a multiple of another: by the clock, and by processor time."""
        return f"{self.wall / other.wall:.2f} ({self.cpu / max(other.cpu, 0.01):.2f})"

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.cpu:.2f})"


def cost(act: Callable[[], object]) -> Cost:
    cpu, begun = processor_seconds(), time.perf_counter()
    act()
    wall = time.perf_counter() - begun
    return Cost(wall, processor_seconds() - cpu)


def processor_seconds() -> float:
    """Of this process and of everything below it, servers included (Linux; elsewhere only this process)."""
    try:
        return sum(_ticks(pid) for pid in family(os.getpid())) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return time.process_time()


def family(root: int) -> list[int]:
    """A process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        fields = _stat(int(path.name)) if path.name.isdigit() else []
        if fields:
            children.setdefault(int(fields[1]), []).append(int(path.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, from the state on; empty where the process is gone."""
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return []


def _ticks(pid: int) -> int:
    """utime, stime, and those of children that have been waited for (proc(5): 14 to 17)."""
    return sum(map(int, _stat(pid)[11:15]))


def interleaved(repeat: int, measured: Mapping[str, Callable[[], Cost]]) -> dict[str, Cost]:
    """Medians of repetitions taken in turn, so that what slows the machine slows all of them."""
    taken: dict[str, list[Cost]] = {name: [] for name in measured}
    for _ in range(repeat):
        for name, act in measured.items():
            taken[name].append(act())
    return {
        n: Cost(statistics.median(c.wall for c in cs), statistics.median(c.cpu for c in cs)) for n, cs in taken.items()
    }


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
