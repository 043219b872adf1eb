"""Rows that were made beside others, taken out again: each is found by its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seatrial.model import Database, Schema, TableRef
from seatrial.seeds.inserts import literal
from seatrial.seeds.references import Values
from seatrial.seeds.shape import Shape, shapes
from seatrial.seeds.standing import qualified

Extra = Mapping[TableRef, tuple[Values, ...]]
_EXACT = frozenset({"text", "char", "integer", "decimal", "boolean", "date", "uuid", "enum", "bytes"})


def deletions(database: Database, extra: Extra, schema: Schema) -> Iterator[str]:
    """Statements that take the rows out, children first; of a table without a key by all that is compared exactly."""
    known = shapes(schema, database.engine) if extra else {}
    for table in reversed([*extra]):
        shape = known.get(table)
        for row in extra[table] if shape else ():
            if told := " AND ".join(_equal(database, n, row[n]) for n in _telling(shape, row)):
                yield f"DELETE FROM {qualified(database, table)} WHERE {told}"


def _telling(shape: Shape | None, row: Values) -> list[str]:
    if shape is None:
        return []
    if shape.key:
        return list(shape.key) if set(shape.key) <= row.keys() else []
    return [n for n, c in shape.columns.items() if n in row and c.family.name in _EXACT]


def _equal(database: Database, name: str, value: object) -> str:
    quoted = database.quote(name)
    return f"{quoted} IS NULL" if value is None else f"{quoted} = {literal(value, database.engine)}"
