"""Scripts on PostgreSQL databases, and pairs of tables to compare."""

from __future__ import annotations

import engine_fixture
from server_fixtures import changed, differences  # noqa: F401 - handed on

from seatrial.engines.postgresql import PostgresqlDatabase
from seatrial.model import Script, Snapshot, Step, TablePair, TableRef

PROGRAMS = engine_fixture.PROGRAMS["postgresql"]


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
