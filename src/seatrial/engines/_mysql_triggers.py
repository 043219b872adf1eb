"""Triggers taken away and made again exactly: definer, modes, character sets and order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from seatrial.engines._mysql_link import Link, literal, quote


@dataclass(frozen=True, slots=True)
class Trigger:
    """SHOW CREATE TRIGGER with the session that it was made in (manual, 15.7.7.12)."""

    name: str
    table: str
    create: str
    sql_mode: str
    charset: str
    collation: str
    database_collation: str


def triggers(link: Link) -> tuple[Trigger, ...]:
    """All triggers of the default database in the order in which they fire."""
    names = link.rows(
        "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
        " ORDER BY EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER"
    )
    return tuple(_trigger(link, str(name), str(table)) for name, table in names)


def _trigger(link: Link, name: str, table: str) -> Trigger:
    _, mode, create, charset, collation, database, *_ = link.rows(f"SHOW CREATE TRIGGER {quote(name)}")[0]
    return Trigger(name, table, str(create), str(mode), str(charset), str(collation), str(database))


def drop_triggers(link: Link, found: Sequence[Trigger]) -> None:
    for trigger in found:
        link.execute(f"DROP TRIGGER {quote(trigger.name)}")


def make_triggers(link: Link, found: Sequence[Trigger]) -> None:
    """Make triggers again, each in the session that it came from."""
    for trigger in found:
        with database_collated(link, trigger.database_collation):
            with_session(link, trigger.create, trigger.sql_mode, trigger.charset, trigger.collation)


@contextmanager
def database_collated(link: Link, wanted: str) -> Iterator[None]:
    """What has no character set of its own takes the database's when it is made, and keeps it (manual, 15.1.17).

    ``wanted``: empty where it takes nothing.
    """
    asked = "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE()"
    now = link.value(asked) if wanted else ""
    if wanted == now:
        yield
        return
    link.execute(f"ALTER DATABASE COLLATE {wanted}")
    try:
        yield
    finally:
        link.execute(f"ALTER DATABASE COLLATE {now}")


def with_session(link: Link, create: str, sql_mode: str, charset: str, collation: str) -> None:
    """Run a CREATE under the settings that it keeps, then go back to ours."""
    link.execute("SET @seatrial_mode = @@sql_mode")
    try:
        link.execute(f"SET sql_mode = {literal(sql_mode)}, collation_connection = {literal(collation)}")
        if create.isascii():  # other text would be read as that charset's
            link.execute(f"SET character_set_client = {literal(charset)}")
        link.execute(create)
    finally:
        link.execute("SET NAMES utf8mb4")
        link.execute("SET sql_mode = @seatrial_mode")
