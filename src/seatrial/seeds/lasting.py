"""What keeps the rows of a refused statement, whatever is rolled back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from seatrial.model import Database, Schema, TableRef
from seatrial.sql.rename import names_in
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True)
class Lasting:
    """``names``, folded: tables without transactions, and the views that read one, through which rows may get there."""

    names: frozenset[str]
    dialect: str

    @classmethod
    def of(cls, database: Database, schema: Schema) -> Lasting:
        tables = frozenset(t.name.casefold() for t in database.lasting())
        reads = _bodies(schema, "view", database.engine) if tables else {}
        return cls(_with_readers(tables, reads), database.engine)

    def has(self, name: str) -> bool:
        return name.casefold() in self.names

    def named_in(self, sql: str) -> bool:
        return bool(self.names) and bool(self.names & _names(sql, self.dialect))

    def written_by_triggers(self, schema: Schema) -> str:
        """Why what a refused statement leaves there may stand in a later one's way; empty where it cannot."""
        bodies = _bodies(schema, "trigger", self.dialect) if self.names else {}
        for key in (k for k in schema if k.kind == "trigger" and self.names):
            if self.has(key.table):
                return f"{key.table} keeps the row of a refused statement whose trigger failed, and would hold it twice"
            if kept := sorted(self.names & bodies[key.name.casefold()] & _keyed(schema)):
                return f"{kept[0]} keeps what the trigger {key.name} wrote for a refused row, and would hold it twice"
        return ""


def _bodies(schema: Schema, kind: str, dialect: str) -> dict[str, frozenset[str]]:
    """Folded names of objects, with those in their definitions."""
    return {k.name.casefold(): _names(str(a.get("definition")), dialect) for k, a in schema.items() if k.kind == kind}


def _keyed(schema: Schema) -> frozenset[str]:
    """Folded names of tables that refuse a row that they hold already; one with a new number is another row."""
    kinds = ("primary key", "unique")
    keys = [(k.owner, a["columns"]) for k, a in schema.items() if k.kind in kinds or a.get("type") in kinds]
    return frozenset(
        table.name.casefold()
        for table, columns in keys
        if table is not None and isinstance(columns, tuple) and not _numbered(schema, table, columns)
    )


def _numbered(schema: Schema, table: TableRef, columns: Iterable[str]) -> bool:
    known = schema.columns(table)
    return any(known[c].get("auto_increment") for c in columns if c in known)


def _names(sql: str, dialect: str) -> frozenset[str]:
    return frozenset(name.casefold() for name in names_in(sql, dialect))


def _with_readers(tables: frozenset[str], reads: Mapping[str, frozenset[str]]) -> frozenset[str]:
    found = tables
    while more := {view for view, names in reads.items() if view not in found and names & found}:
        found |= more
    return found
