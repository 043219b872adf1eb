"""Rows of whole tables put aside and brought back: by SQL anywhere, by InnoDB's own files on a local server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from seatrial.engines._mysql_link import Link, literal, quote
from seatrial.engines._mysql_proof import State


class Mover(Protocol):
    """Keeps the rows of tables in a database beside theirs."""

    def save(self, table: str, space: str) -> None: ...

    def bring(self, table: str, space: str) -> None:
        """Fill a new, empty table of the same definition."""

    def states(self, tables: Iterable[str]) -> dict[str, State]:
        """What proves that a table is as it was; nothing for tables about which it cannot be told."""


class Rows:
    """By SQL: a plain copy without indexes, inserted again."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def save(self, table: str, space: str) -> None:
        columns = self._columns(table)
        fields = ", ".join(f"{quote(c)} AS c{i}" for i, c in enumerate(columns)) or "1 AS c0"
        self._link.execute(
            f"CREATE TABLE {quote(space)}.{quote(table)} ENGINE=MyISAM AS SELECT {fields} FROM {quote(table)}"
        )

    def bring(self, table: str, space: str) -> None:
        columns = self._columns(table)
        fields = ", ".join(f"c{i}" for i in range(len(columns)))
        names = ", ".join(quote(c) for c in columns)
        self._link.execute(f"INSERT INTO {quote(table)} ({names}) SELECT {fields} FROM {quote(space)}.{quote(table)}")

    def states(self, tables: Iterable[str]) -> dict[str, State]:
        return {}

    def _columns(self, table: str) -> list[str]:
        """Stored columns by name, the invisible ones too."""
        rows = self._link.rows(
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
            f" AND TABLE_NAME = {literal(table)} AND COALESCE(GENERATION_EXPRESSION, '') = '' ORDER BY ORDINAL_POSITION"
        )
        return [str(r[0]) for r in rows]
