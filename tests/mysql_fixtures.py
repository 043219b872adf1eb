"""Real local MySQL and MariaDB servers for tests: one of each a session; imported, not a conftest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import server_fixtures
from missing import without
from server_fixtures import differences  # noqa: F401 - handed on

from seatrial.engines.mariadb import open_database
from seatrial.engines.mysql import MysqlDatabase
from seatrial.errors import ServerError
from seatrial.model import Schema, Script, Step, Transaction
from seatrial.servers.mysql import MysqlServer

ENGINES = ("mariadb", "mysql")


@pytest.fixture(scope="session", params=ENGINES)
def mysql_server(request: pytest.FixtureRequest, state_folder: str) -> Iterator[MysqlServer]:
    try:
        server = MysqlServer.local(request.param, open_database)
    except ServerError as error:
        without(f"no {request.param} here: {error}")
    with server:
        yield server


@pytest.fixture
def db(mysql_server: MysqlServer) -> Iterator[MysqlDatabase]:
    """A database of the test's own."""
    database = mysql_server.create()
    assert isinstance(database, MysqlDatabase)
    yield database
    database.close()


def ran(database: MysqlDatabase, text: str, session: tuple[str, ...] = ()) -> Step:
    """A script that has to succeed."""
    step = database.run(Script(text=text, transaction=Transaction.STATEMENTS, session=session))
    assert step.error is None, step.error
    return step


def changed(before: Schema, after: Schema) -> dict[str, set[str]]:
    """As everywhere, but a column's place is compared by tests of their own."""
    return server_fixtures.changed(before, after, frozenset({"position"}))
