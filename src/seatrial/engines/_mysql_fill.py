"""Rows written by us: in one transaction, with foreign keys not enforced and triggers away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from seatrial.engines._mysql_dialect import Dialect
from seatrial.engines._mysql_link import Link, literal, quote
from seatrial.engines._mysql_triggers import Trigger, drop_triggers, make_triggers, triggers
from seatrial.errors import DatabaseError
from seatrial.model import TableRef

_BATCH = 500  # rows in one INSERT


class Filling:
    """A context: triggers are dropped before the transaction and made again, exactly, after it."""

    def __init__(self, link: Link, dialect: Dialect) -> None:
        self._link, self._dialect = link, dialect
        self._triggers: tuple[Trigger, ...] = ()
        self._types: dict[str, dict[str, str]] = {}
        self._clocks: dict[str, list[str]] = {}

    def __enter__(self) -> Filling:
        self._triggers = triggers(self._link)
        drop_triggers(self._link, self._triggers)
        self._link.execute("START TRANSACTION")
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._link.execute("ROLLBACK" if kind else "COMMIT")
        make_triggers(self._link, self._triggers)

    def fill(self, table: TableRef, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Insert rows, all or none. Raises DatabaseError."""
        types = self._column_types(table.name)
        head = f"INSERT INTO {quote(table.name)} ({', '.join(quote(c) for c in columns)}) VALUES "
        self._all_or_none(
            head + ", ".join(_tuple(row, [types.get(c, "") for c in columns]) for row in batch)
            for batch in _batches(rows)
        )

    def amend(
        self, table: TableRef, key: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """Set ``columns`` where ``key`` equals, all or none. Raises DatabaseError."""
        types = self._column_types(table.name)
        names = [*key, *columns]
        self._all_or_none(self._update(table, len(key), names, row, types) for row in rows)

    def _update(
        self, table: TableRef, keys: int, names: Sequence[str], row: Sequence[object], types: dict[str, str]
    ) -> str:
        values = [_sql(v, types.get(n, "")) for n, v in zip(names, row, strict=True)]
        where = " AND ".join(f"{quote(n)} <=> {v}" for n, v in zip(names[:keys], values[:keys], strict=True))
        kept = [(n, quote(n)) for n in self._touched_by_itself(table.name) if n not in names[keys:]]
        set_to = [*zip(names[keys:], values[keys:], strict=True), *kept]
        sets = ", ".join(f"{quote(n)} = {v}" for n, v in set_to)
        return f"UPDATE {quote(table.name)} SET {sets} WHERE {where}"

    def _touched_by_itself(self, table: str) -> list[str]:
        """Columns ON UPDATE CURRENT_TIMESTAMP: an UPDATE of ours must not move them (manual, 13.2.5)."""
        if table not in self._clocks:
            rows = self._link.rows(
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
                f" AND TABLE_NAME = {literal(table)} AND EXTRA LIKE '%on update%'"
            )
            self._clocks[table] = [str(name) for (name,) in rows]
        return self._clocks[table]

    def _all_or_none(self, statements: Iterable[str]) -> None:
        self._link.execute("SAVEPOINT seatrial_fill")
        try:
            for statement in statements:
                self._link.execute(statement, told=False)  # what refused it is read from the server's words
        except DatabaseError:
            self._link.execute("ROLLBACK TO SAVEPOINT seatrial_fill")
            raise
        self._link.execute("RELEASE SAVEPOINT seatrial_fill")

    def _column_types(self, table: str) -> dict[str, str]:
        if table not in self._types:
            rows = self._link.rows(
                "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS"
                f" WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {literal(table)}"
            )
            self._types[table] = {str(n): str(t) for n, t in rows}
        return self._types[table]


def _batches(rows: Sequence[Sequence[object]]) -> Iterable[Sequence[Sequence[object]]]:
    return (rows[i : i + _BATCH] for i in range(0, len(rows), _BATCH))


def _tuple(row: Sequence[object], types: Sequence[str]) -> str:
    return "(" + ", ".join(_sql(v, t) for v, t in zip(row, types, strict=True)) + ")"


_BINARY = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector"})
_SPATIAL = frozenset({"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"})
_SPATIAL = _SPATIAL | {"geometrycollection", "geomcollection"}


def _sql(value: object, type_: str) -> str:
    """A value as SQL. Text forms are ours too: ``\\x`` hex of binary and spatial values, digits of bits."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (bytes, bytearray)):
        return f"x'{bytes(value).hex()}'"
    if isinstance(value, (int, float)):
        return repr(value)
    text = str(value)
    if text.startswith("\\x") and type_ in _BINARY | _SPATIAL:
        return f"x'{text[2:]}'"
    if type_ in _SPATIAL:
        return f"ST_GeomFromText({literal(text)})"
    if type_ == "bit" and text.strip("01") == "":
        return f"b'{text}'"
    return literal(text)
