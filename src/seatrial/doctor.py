"""What is there, what is missing and how to get it; and a first seatrial.toml."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from seatrial import config
from seatrial.config import Config
from seatrial.errors import SeatrialError
from seatrial.servers import _mysql_local, _postgresql_local, engine_of, guess_engine
from seatrial.sources import find

DRIVERS = {
    "postgresql": ("psycopg", "pip install 'seatrial[postgresql]'"),
    "mysql": ("pymysql", "pip install 'seatrial[mysql]'"),
    "mariadb": ("pymysql", "pip install 'seatrial[mysql]'"),
}


def examine(
    project: Path,
    *,
    clean: bool = False,
    server: str | None = None,
    refuse_unfit: Callable[[Config], None] = lambda _: None,
) -> tuple[list[str], bool]:
    """Lines to show, and whether the project can be tested as it stands.

    ``clean`` removes what dead runs left, here and on ``server``, else on the server of the project's settings. Raises
    ServerError where that one cannot be used. ``refuse_unfit`` raises what a run would say of the settings.
    """
    lines, complete = _project(project, refuse_unfit)
    lines += ["", "Engines:", f"  sqlite      {sqlite3.sqlite_version}, always there"]
    lines += [f"  {line}" for line in _engines()]
    removed = _clean(server or _configured(project)) if clean else []
    if clean:
        lines += [
            "",
            "Removed:" if removed else "Nothing was left behind by earlier runs.",
            *(f"  {r}" for r in removed),
        ]
    return lines, complete


def _project(project: Path, refuse_unfit: Callable[[Config], None]) -> tuple[list[str], bool]:
    try:
        settings = config.load(project)
        refuse_unfit(settings)
        source = find(project, kind=settings.source.type, path=settings.source.path)
        migrations = source.discover()
    except SeatrialError as error:
        return [f"Project {project}: {error}"], False
    engine = settings.server.engine or guess_engine(settings.server.url, project, source.path, source.kind)
    without = sum(m.no_down is not None for m in migrations)
    lines = [
        f"Project {project}:",
        f"  migrations  {len(migrations)}, {source.kind}, in {source.path}"
        + (f"; {without} without a down" if without else ""),
        f"  engine      {engine}"
        + ("" if settings.server.engine or settings.server.url else " (guessed from the project; --engine overrides)"),
        f"  rows        {settings.seed.path or 'generated'}",
    ]
    missing = _missing(engine) if settings.server.url is None else _driver(engine)
    return [*lines, *([f"  missing     {missing}"] if missing else [])], not missing


def _driver(engine: str) -> str:
    """What is missing to talk to an engine, empty when nothing is."""
    module, advice = DRIVERS.get(engine, ("sqlite3", ""))
    return "" if importlib.util.find_spec(module) else f"driver {module} is missing: {advice}"


def _engines() -> Iterator[str]:
    for engine in DRIVERS:
        yield f"{engine:11} {_driver(engine) or _missing(engine) or _programs(engine)}"


def _missing(engine: str) -> str:
    """What a throwaway server of an engine lacks, empty when nothing is."""
    if missing := _driver(engine):
        return missing
    try:
        _programs(engine)
    except SeatrialError as error:
        return str(error)
    return ""


def _programs(engine: str) -> str:
    """Where an engine's server was found. Raises ServerError with how to get it."""
    if engine not in DRIVERS:
        return ""
    if engine == "postgresql":
        return f"programs in {_postgresql_local.find_programs()}"
    found = _mysql_local.find_programs(engine)
    version = re.search(r"Ver (\S+)", found.version)
    return f"{found.daemon}" + (f", {version[1]}" if version else "")


def _configured(project: Path) -> str | None:
    """The server that the project's settings name; ``_project`` tells of settings that cannot be read."""
    try:
        return config.load(project).server.url
    except SeatrialError:
        return None


_MODULES = {"files": ("sqlite",), "postgresql": ("postgresql",), "mysql": ("mysql", "mariadb")}


def _clean(url: str | None) -> list[str]:
    engine, removed = engine_of(url) if url else "", list[str]()
    for module, engines in _MODULES.items():
        found = importlib.import_module(f"seatrial.servers.{module}")
        there = url if engine in engines and engine != "sqlite" else None  # SQLite's files have one place
        removed += [str(one) for one in (found.clean(there) if there else found.clean())]
    return removed


def first_settings(project: Path) -> str:
    """A seatrial.toml with what was found in the project and the rest as comments."""
    source = find(project)
    engine = guess_engine(None, project, source.path, source.kind)
    path = source.path.relative_to(project) if source.path.is_relative_to(project) else source.path
    return f"""# Settings of Seatrial. Flags win over this file; `seatrial run --help` lists them.

[source]
type = "{source.kind}"
path = "{path.as_posix()}"

[server]
engine = "{engine}"          # a throwaway server; or url = "..." of one where databases may be made

[seed]
rows = 12                    # rows made for each table
# path = "seed.sql"          # or rows of your own: an SQL script, a pg_dump, a SQLite file
# at = "0001"                # the version that they belong to

# [[invariants]]             # what must always hold: a query that returns nothing
# name = "completed orders have a date"
# sql = "SELECT id FROM orders WHERE status = 'completed' AND completed_at IS NULL"

# [[waivers]]                # what is accepted, why, and until when
# migration = "0007"
# rule = "values-lost"
# reason = "column unused"
# until = 2027-01-31
"""
