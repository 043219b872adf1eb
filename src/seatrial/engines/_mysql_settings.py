"""Session settings that decide what a DDL statement does, carried from a step's session into one of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from seatrial.engines._mysql_link import LOCK_WAIT_S, Link, literal
from seatrial.errors import DatabaseError
from seatrial.model import Question

_DECIDING = (
    "sql_mode",  # strict: MODIFY ... NOT NULL is in place, else it copies and writes 0 for NULL
    "foreign_key_checks",  # off: ADD FOREIGN KEY is in place (manual, 17.12.1)
    "unique_checks",
    "check_constraint_checks",
    "old_alter_table",  # MySQL, and MariaDB's older name of the next
    "alter_algorithm",
    "old_mode",  # MariaDB: what utf8 means; from 11.2 on, whether a copy lets others write
    "explicit_defaults_for_timestamp",
    "innodb_strict_mode",
    "innodb_compression_default",
    "default_storage_engine",
    "enforce_storage_engine",
    "sql_require_primary_key",
    "sql_generate_invisible_primary_key",
    "restrict_fk_on_non_standard_key",
    "system_versioning_alter_history",
    "time_zone",
)
"""Each where the server has it; MySQL's and MariaDB's (manual, 7.1.8; MariaDB: Server System Variables)."""

_SEPARATOR = "\x1f"
_NULL = "NULL"  # what no setting is called: enforce_storage_engine is NULL by default, and refuses ''
_BEFORE = (
    r"(?is)(?:\s|--[^\n]*\n|#[^\n]*\n|/\*(?!!|M!).*?\*/)*(?:ALTER|OPTIMIZE|(?:CREATE|DROP)\s+(?:\w+\s+){0,4}INDEX)\b"
)
"""Only before what a twin is asked about: a query of ours would end what ROW_COUNT() tells of the statement before."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What a step's session is asked, and the names of what it answers."""

    names: tuple[str, ...]

    @property
    def question(self) -> Question:
        told = "".join(f", IFNULL(@@SESSION.{name}, '{_NULL}')" for name in self.names)
        query = f"SELECT CONCAT_WS(CHAR(31 USING utf8mb4), IFNULL(DATABASE(), ''){told})"
        return Question(before=_BEFORE, query=query)

    def read(self, answer: str) -> tuple[str, dict[str, str]] | None:
        """The default database and each setting; None where the session did not answer."""
        database, *values = answer.split(_SEPARATOR)
        return (database, dict(zip(self.names, values, strict=True))) if len(values) == len(self.names) else None


def asking(link: Link) -> Asking:
    """What of ``_DECIDING`` this server has."""
    wanted = ", ".join(map(literal, _DECIDING))
    rows = link.rows(f"SHOW SESSION VARIABLES WHERE Variable_name IN ({wanted})")
    known = {str(row[0]).lower() for row in rows}
    return Asking(tuple(name for name in _DECIDING if name in known))


@contextmanager
def like(link: Link, theirs: Mapping[str, str], asked: Asking) -> Iterator[None]:
    """Our session with the settings of theirs, waiting a second for locks. Raises DatabaseError: one is refused."""
    found = asked.read(link.value(asked.question.query) or "")
    ours = found[1] if found else {}
    differing = [name for name in theirs if theirs[name] != ours.get(name)]
    try:
        link.execute("SET SESSION lock_wait_timeout = 1")
        for name in differing:
            link.execute(_set(name, theirs[name]))
        yield
    finally:
        for back in (f"SET SESSION lock_wait_timeout = {LOCK_WAIT_S}", *(_set(name, ours[name]) for name in differing)):
            with suppress(DatabaseError):  # one is refused; or the server is gone: the next session is as all of ours
                link.execute(back)


def _set(name: str, value: str) -> str:
    return f"SET SESSION {name} = {value if value.isdigit() or value == _NULL else literal(value)}"
