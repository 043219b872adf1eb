"""Test the migrations of real projects and hold every finding against docs/real-histories.md.

    python -m benchmarks.real_histories [--engine ENGINE]... [--only NAME]... [--flipt PATH] [--pixie PATH]
        [--rows] [--server URL]

Exit 0: every finding stands in the file as true. 1: a finding does not, or it stands there as false; it is printed.
2: a history could not be had or could not be tested. The file's table has a row per finding; ``--rows`` prints rows of
that table for what is missing, with the judgement left open.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.histories import ALL_ENGINES, FOLDER, HISTORIES, REPOSITORIES, Checkouts, History, UnavailableError

# What takes long on one machine does not on another: such a finding is no row of the file, but held against the times
# that its own report holds.
BY_THE_CLOCK = {"long-running"}
LONG_MS = 1000.0
JUDGED = common.ROOT / "docs" / "real-histories.md"


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """What names a finding: the same rule on the same table of the same migration is the same finding."""

    history: str
    engine: str
    migration: str
    rule: str
    table: str

    def __str__(self) -> str:
        return f"{self.history} on {self.engine}: {self.migration} {self.rule}" + (
            f" ({self.table})" if self.table else ""
        )


def judged() -> dict[Found, bool]:
    """The rows of the file: | history | engines | migration | rule | table | true or false | proof |"""
    known = {}
    for line in JUDGED.read_text(encoding="utf-8").splitlines() if JUDGED.is_file() else ():
        cells = [c.strip().strip("`") for c in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if len(cells) == 7 and cells[5] in ("true", "false"):
            for engine in re.split(r",\s*", cells[1]):
                known[Found(cells[0], engine, cells[2], cells[3], cells[4].strip("-"))] = cells[5] == "true"
    return known


def is_measured(finding: Mapping[str, Any], migration: Mapping[str, Any]) -> bool:
    """Whether the step that a finding calls long took as long as the rule asks for, by the report's own figures."""
    step = migration["down" if finding["phase"] == "down" else "up"]
    return bool(step["executed"] and step["duration_ms"] >= LONG_MS)


def findings(history: str, engine: str, report: Mapping[str, Any]) -> Iterator[tuple[Found, Mapping[str, Any]]]:
    for migration in report["migrations"]:
        for finding in migration["findings"]:
            if finding["rule"] not in BY_THE_CLOCK:
                yield Found(history, engine, migration["id"], finding["rule"], finding.get("table") or ""), finding


def test(history: History, engine: str, checkouts: Checkouts, server: str | None, keep: Path | None) -> common.Ran:
    """Build the project anew and run Seatrial on it."""
    with tempfile.TemporaryDirectory(prefix="history-") as scratch:
        project = (keep or Path(scratch)) / f"{history.name}-{engine}"
        shutil.rmtree(project, ignore_errors=True)
        project.mkdir(parents=True)
        history.build(project, engine, checkouts)
        return common.seatrial(project, *(("--server", server) if server else ("--engine", engine)))


def outcome(name: str, engine: str, ran: common.Ran) -> str:
    """One line: how many migrations, how they ended, how many findings."""
    assert ran.report is not None
    statuses = [m["status"] for m in ran.report["migrations"]]
    counts = ", ".join(f"{statuses.count(s)} {s}" for s in ("passed", "failed", "error", "skipped") if s in statuses)
    rules = [f["rule"] for m in ran.report["migrations"] for f in m["findings"]]
    slow = sum(rule in BY_THE_CLOCK for rule in rules)
    number = f"{len(rules) - slow} findings" + (f" and {slow} by the clock" if slow else "")
    return f"{name:12} {engine:11} {len(statuses):3} migrations: {counts}; {number}; {ran.seconds:.1f} s"


def row(found: Found) -> str:
    """A row of the file's table, the judgement left open."""
    return f"| {found.history} | {found.engine} | {found.migration} | {found.rule} | {found.table or '-'} | ? | |"


def outcomes(keep: Path) -> Iterator[str]:
    """The file's table of what became of each migration, from the reports that runs left in ``keep``."""
    for history in HISTORIES:
        ends: dict[str, dict[str, str]] = {}
        for engine in ALL_ENGINES:
            report = keep / f"{history.name}-{engine}" / "out" / "report.json"
            for migration in json.loads(report.read_text(encoding="utf-8"))["migrations"] if report.is_file() else ():
                ends.setdefault(migration["id"], {})[engine] = migration["status"]
        for migration, by_engine in ends.items():
            cells = (by_engine.get(engine, "-") for engine in ALL_ENGINES)
            yield f"| {history.name} | {migration} | {' | '.join(cells)} |"


def show(found: Found, finding: Mapping[str, Any], verdict: str) -> None:
    print(f"  {verdict}: {found} [{finding['severity']}, {finding['phase']}]")
    print(f"    {finding['message']}")
    for name in ("columns", "objects", "causes"):
        if finding.get(name):
            print(f"    {name}: {', '.join(map(str, finding[name]))}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", action="append", choices=ALL_ENGINES, help="default: sqlite and postgresql")
    parser.add_argument("--only", action="append", choices=[h.name for h in HISTORIES], help="only this history")
    for name in REPOSITORIES:
        parser.add_argument(
            f"--{name}", type=Path, help=f"a checkout or git directory of {name}, instead of cloning it"
        )
    parser.add_argument("--server", metavar="URL", help="a server instead of a local one (with one --engine)")
    parser.add_argument("--rows", action="store_true", help="print table rows for findings that are not in the file")
    parser.add_argument("--keep", type=Path, default=FOLDER / "projects", help="where projects and reports are left")
    parser.add_argument("--outcomes", action="store_true", help="print each migration's outcome in the runs so far")
    args = parser.parse_args()
    if args.outcomes:
        print("\n".join(outcomes(args.keep)))
        return 0
    engines = args.engine or ["sqlite", "postgresql"]
    known, worst = judged(), 0
    for history in HISTORIES:
        for engine in engines:
            if engine not in history.engines or (args.only and history.name not in args.only):
                continue
            worst = max(worst, one(history, engine, known, args), key=(0, 2, 1).index)
    return worst


def one(history: History, engine: str, known: Mapping[Found, bool], args: argparse.Namespace) -> int:
    try:
        checkouts = {name: path for name in REPOSITORIES if (path := getattr(args, name))}
        ran = test(history, engine, checkouts, args.server, args.keep)
    except UnavailableError as error:
        print(f"{history.name:12} {engine:11} not available: {error}", flush=True)
        return 2
    if ran.report is None:
        print(f"{history.name:12} {engine:11} exit {ran.exit_code}, no report: {ran.said.strip()[-600:]}", flush=True)
        return 2
    print(outcome(history.name, engine, ran), flush=True)
    code = 0
    for migration in ran.report["migrations"]:
        if migration["status"] == "error":
            print(f"  could not be tested: {migration['id']}: {migration['error']}")
        for finding in migration["findings"]:
            if finding["rule"] in BY_THE_CLOCK and not is_measured(finding, migration):
                code = 1
                show(Found(history.name, engine, migration["id"], finding["rule"], ""), finding, "NOT MEASURED")
    for found, finding in findings(history.name, engine, ran.report):
        if not known.get(found, False):
            code = 1
            show(found, finding, "judged FALSE" if found in known else "NOT JUDGED")
            if args.rows and found not in known:
                print(row(found))
    for gone in known.keys() - {f for f, _ in findings(history.name, engine, ran.report)}:
        if (gone.history, gone.engine) == (history.name, engine) and known[gone]:
            print(f"  no longer found: {gone}")
    return code


if __name__ == "__main__":
    sys.exit(main())
