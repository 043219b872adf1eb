"""A real local PostgreSQL for tests: one server a session, one database a test or module."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from missing import without
from server_fixtures import changed, differences  # noqa: F401 - handed on

from seatrial.engines.postgresql import PostgresqlDatabase
from seatrial.errors import ServerError
from seatrial.model import Script, Snapshot, Step, TablePair, TableRef
from seatrial.servers.postgresql import PostgresqlServer

PROGRAMS = os.environ.get("SEATRIAL_TEST_POSTGRESQL") or None
"""Another PostgreSQL's bin folder to run the tests on."""


@pytest.fixture(scope="session")
def pg_server(state_folder: str) -> Iterator[PostgresqlServer]:
    try:
        server = PostgresqlServer.local(PostgresqlDatabase, programs=PROGRAMS)
    except ServerError as error:
        without(f"no PostgreSQL programs here: {error}")
    with server:
        yield server


@pytest.fixture
def pg(pg_server: PostgresqlServer) -> Iterator[PostgresqlDatabase]:
    """A database of the test's own."""
    database = pg_server.create()
    assert isinstance(database, PostgresqlDatabase)
    yield database
    database.close()


@pytest.fixture(scope="module")
def pg_shared(pg_server: PostgresqlServer) -> Iterator[PostgresqlDatabase]:
    """A database that the tests of a module share; each makes objects of its own names."""
    database = pg_server.create()
    assert isinstance(database, PostgresqlDatabase)
    yield database
    database.close()


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
