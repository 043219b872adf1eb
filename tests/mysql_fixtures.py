"""Scripts on MySQL and MariaDB databases, and differences of their schemas."""

from __future__ import annotations

import server_fixtures
from engine_fixture import MYSQLS as ENGINES  # noqa: F401 - handed on
from server_fixtures import differences  # noqa: F401 - handed on

from seatrial.engines.mysql import MysqlDatabase
from seatrial.model import Schema, Script, Step, Transaction


def ran(database: MysqlDatabase, text: str, session: tuple[str, ...] = ()) -> Step:
    """A script that has to succeed."""
    step = database.run(Script(text=text, transaction=Transaction.STATEMENTS, session=session))
    assert step.error is None, step.error
    return step


def changed(before: Schema, after: Schema) -> dict[str, set[str]]:
    """As everywhere, but a column's place is compared by tests of their own."""
    return server_fixtures.changed(before, after, frozenset({"position"}))
