"""Real local MySQL and MariaDB servers for tests: one of each a session; imported, not a conftest."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from missing import without

from seatrial.engines.mariadb import open_database
from seatrial.engines.mysql import MysqlDatabase
from seatrial.errors import ServerError
from seatrial.model import Schema, Script, Snapshot, Step, TableDiff, Transaction
from seatrial.schema import pair_by_name
from seatrial.servers.mysql import MysqlServer

ENGINES = ("mariadb", "mysql")


@pytest.fixture(scope="session")
def mysql_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A ledger of the tests' own; the cache of initialised data folders is the user's."""
    kept = os.environ.get("XDG_STATE_HOME")
    folder = str(tmp_path_factory.mktemp("state"))
    os.environ["XDG_STATE_HOME"] = folder
    yield folder
    os.environ.pop("XDG_STATE_HOME")
    if kept is not None:
        os.environ["XDG_STATE_HOME"] = kept


@pytest.fixture(scope="session", params=ENGINES)
def mysql_server(request: pytest.FixtureRequest, mysql_state: str) -> Iterator[MysqlServer]:
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
    """Label of every object that differs -> names of its attributes that do (empty: it is on one side only)."""
    found = {}
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old is None or new is None:
            found[key.label] = set()
        elif names := {n for n in (old.keys() | new.keys()) - {"position"} if old.get(n) != new.get(n)}:
            found[key.label] = names
    return found


def differences(database: MysqlDatabase, old: Snapshot, new: Snapshot) -> dict[str, TableDiff]:
    """Every differing table, compared by name."""
    return {str(d.table): d for d in database.diff(old, new, pair_by_name(old, new))}
