"""A migration that touches one small table of 50: does its trial cost more when the other 49 hold ten million rows?"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks import common, project100
from seatrial import app, config
from seatrial.model import Event

SMALL = 1000
TABLES = 50

_COLUMNS = "(id {integer} PRIMARY KEY, ref integer, amount integer, name varchar(60), note text)"
_FILL = {
    "postgresql": "INSERT INTO {table} SELECT g, g % 1000, g * 7 % 100003, 'name ' || g, md5(g::text)"
    " FROM generate_series(1, {rows}) g;",
    "sqlite": "INSERT INTO {table} WITH RECURSIVE n(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n WHERE g < {rows})"
    " SELECT g, g % 1000, g * 7 % 100003, 'name ' || g, printf('%032x', g * 7919) FROM n;",
}
KINDS = (("sqlite", "golang-migrate"), ("sqlite", "alembic"), ("postgresql", "golang-migrate"))
"""Alembic writes to SQLite's file from a process of its own; to a server both come the same way."""
_INTEGER = {"postgresql": "bigint", "sqlite": "integer"}
UP = "ALTER TABLE t01 ADD COLUMN status varchar(10);\nUPDATE t01 SET status = 'new' WHERE ref > 500;\n"
DOWN = "ALTER TABLE t01 DROP COLUMN status;\n"


def write(folder: Path, engine: str, rows: int, source: str = "golang-migrate") -> Path:
    """A project: 50 tables, a seed with ``rows`` rows in all, and a migration of one of 1,000 rows."""
    names = [f"t{number:02}" for number in range(1, TABLES + 1)]
    columns = _COLUMNS.format(integer=_INTEGER[engine])
    base = "\n".join(f"CREATE TABLE {name} {columns};" for name in names)
    if source == "alembic":
        project100.write_sql(folder, [(base, ""), (UP, DOWN)])
    else:
        _golang_migrate(folder, base)
    counts = {name: SMALL if name == "t01" else max(0, rows - SMALL) // (TABLES - 1) for name in names}
    seed = "\n".join(_FILL[engine].format(table=name, rows=count) for name, count in counts.items() if count)
    (folder / "seed.sql").write_text(seed)
    place = "alembic.ini" if source == "alembic" else "migrations"
    (folder / "seatrial.toml").write_text(
        f'[source]\ntype = "{source}"\npath = "{place}"\n[seed]\npath = "seed.sql"\nat = "1"\n'
    )
    return folder


def _golang_migrate(folder: Path, base: str) -> None:
    (folder / "migrations").mkdir(parents=True, exist_ok=True)
    (folder / "migrations" / "1_base.up.sql").write_text(base)
    (folder / "migrations" / "2_change.up.sql").write_text(UP)
    (folder / "migrations" / "2_change.down.sql").write_text(DOWN)


def trial(folder: Path, engine: str) -> Mapping[str, float]:
    """Seconds: of the whole run, and of the second migration's trial in it (snapshots, up, down, up, comparisons)."""
    seen: dict[str, float] = {}

    def watch(event: Event) -> None:
        if event.migration == "2" and event.kind in ("trial", "tried"):
            seen[event.kind] = time.perf_counter()
            seen[event.kind + " CPU"] = common.processor_seconds()

    settings = config.load(folder)
    server = dataclasses.replace(settings.server, engine=engine)
    begun = time.perf_counter()
    report = app.run(settings.replace(server=server, only=("2",)), watch)
    whole = time.perf_counter() - begun
    assert report.exit_code == 0, [str(f.message) for m in report.migrations for f in m.findings]
    cpu = seen["tried CPU"] - seen["trial CPU"]
    return {"run": whole, "trial": seen["tried"] - seen["trial"], "cpu": cpu, "rows": report.environment.rows}


def main(
    engines: tuple[str, ...] = ("sqlite", "postgresql"), many_rows: int = 10_000_000, repeat: int = 3, **_: object
) -> None:
    print(f"\n## A migration of a table of {SMALL:,} rows, {TABLES} tables\n")
    lines = []
    chosen = [(engine, source) for engine, source in KINDS if engine in engines]
    for engine, source in chosen:
        measured = {}
        for rows in (SMALL, many_rows):
            folder = write(common.CACHE / f"many-{engine}-{source}-{rows}", engine, rows, source)
            runs = [trial(folder, engine) for _ in range(repeat if rows == SMALL else 1)]
            measured[rows] = min(runs, key=lambda run: run["cpu"])
        few, many = measured[SMALL], measured[many_rows]
        lines.append(
            (
                f"{engine}, {source}",
                f"{few['trial']:.2f} s ({few['cpu']:.2f})",
                f"{many['trial']:.2f} s ({many['cpu']:.2f})",
                f"{many['trial'] / few['trial']:.2f} ({many['cpu'] / few['cpu']:.2f})",
                f"{many['rows']:,.0f}",
                f"{many['run']:.0f} s",
            )
        )
    head = [
        "engine, source",
        "trial (CPU), other 49 empty",
        "trial (CPU), other 49 full",
        "ratio (CPU)",
        "rows in all",
        "whole run with the seed",
    ]
    print(common.table(head, lines))
