"""What stands in a database already: rows to refer to, to keep clear of, or to give values to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seatrial.model import Database, TableRef
from seatrial.seeds.references import Values
from seatrial.seeds.shape import Shape

MOST = 5000  # rows of a table that are read


def qualified(database: Database, table: TableRef) -> str:
    parts = (table.namespace, table.name) if table.namespace else (table.name,)
    return ".".join(database.quote(p) for p in parts)


class Standing:
    """Reads through the database's own session, so before ``filling`` begins; what was read is kept."""

    def __init__(self, database: Database, known: Mapping[TableRef, Shape]) -> None:
        self.database, self.known = database, known
        self._keys: dict[tuple[TableRef, tuple[str, ...]], list[tuple[object, ...]]] = {}

    def known_keys(self, table: TableRef, columns: tuple[str, ...]) -> Sequence[tuple[object, ...]]:
        """What ``keys`` has read before."""
        return self._keys.get((table, columns), ())

    def keys(self, table: TableRef, columns: tuple[str, ...]) -> list[tuple[object, ...]]:
        """The different values of some columns, without NULLs, in their order."""
        if (table, columns) not in self._keys:
            quoted = [self.database.quote(c) for c in columns]
            present = " AND ".join(f"{q} IS NOT NULL" for q in quoted)
            listed = ", ".join(quoted)
            chosen = f"SELECT DISTINCT {listed} FROM {qualified(self.database, table)} WHERE {present}"
            families = [self.known[table].columns[c].family for c in columns]
            rows = self.database.query(f"{chosen} ORDER BY {listed} LIMIT {MOST}")
            self._keys[table, columns] = [tuple(f.read(v) for f, v in zip(families, r, strict=True)) for r in rows]
        return self._keys[table, columns]

    def count(self, table: TableRef) -> int:
        return int(self.database.query(f"SELECT count(*) FROM {qualified(self.database, table)}")[0][0] or 0)

    def rows(self, table: TableRef, names: Sequence[str], limit: int = MOST) -> list[Values]:
        """Some columns of the first rows, in the order of the key."""
        shape = self.known[table]
        if not names:
            return []
        listed = ", ".join(self.database.quote(c) for c in names)
        order = ", ".join(self.database.quote(c) for c in shape.key)
        ordered = f" ORDER BY {order}" if order else ""
        rows = self.database.query(f"SELECT {listed} FROM {qualified(self.database, table)}{ordered} LIMIT {limit}")
        return [{c: shape.columns[c].family.read(v) for c, v in zip(names, r, strict=True)} for r in rows]
