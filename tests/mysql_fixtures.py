"""Scripts on MySQL and MariaDB databases, and differences of their schemas."""

from __future__ import annotations

import dataclasses

import server_fixtures
from engine_fixture import MYSQLS as ENGINES  # noqa: F401 - handed on
from server_fixtures import differences  # noqa: F401 - handed on

from seatrial.engines.mysql import MysqlDatabase
from seatrial.model import Schema, Script, Step, Transaction
from seatrial.schema import AFTER, BESIDE


def ran(database: MysqlDatabase, text: str, session: tuple[str, ...] = ()) -> Step:
    """A script that has to succeed."""
    step = database.run(Script(text=text, transaction=Transaction.STATEMENTS, session=session))
    assert step.error is None, step.error
    return step


def changed(before: Schema, after: Schema) -> dict[str, set[str]]:
    """As everywhere, but a column's place is compared by tests of their own, and how long after it was made an event
    starts is no difference by itself."""
    return server_fixtures.changed(before, after, frozenset({"position", *(b for b in BESIDE if b.endswith(AFTER))}))


def copying(database: MysqlDatabase, how: str) -> None:
    """Let tables of any size be copied as files, hashed row by row, or plainly, as on a server of others."""
    folder = None if how == "plain" else database._files.folder
    files = dataclasses.replace(database._files, folder=folder, large=1 << 40 if how == "hashed" else 0)
    database._files = database._shadows._files = database._keeper._files = files
