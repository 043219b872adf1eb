"""What a SQLite database declares: its tables as the other modules need them, and as the schema vocabulary."""

from __future__ import annotations

import hashlib
import marshal
import re
import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from seatrial.engines._sqlite_forms import default_text, quoted, type_name
from seatrial.engines._sqlite_header import SETTINGS, settings_of
from seatrial.engines._sqlite_text import ColumnText, ConstraintText, TableText, body, parse_index, parse_table
from seatrial.model import Attributes, ObjectKey, Schema
from seatrial.values import dataclass

MOST_KEPT = 64  # catalogs that are remembered beside those that a moment holds
MOST_TABLES = 10_000  # of which the objects are remembered
FORMAT = 2  # of marshal: the last one whose bytes depend on the value alone (later ones mark shared objects)
ROWID = "rowid"
ROWID_NAMES = (ROWID, "_rowid_", "oid")
OWN_TABLES = ("sqlite_sequence", "sqlite_stat1", "sqlite_stat2", "sqlite_stat3", "sqlite_stat4", "sqlite_parameters")


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    affinity: str
    nullable: bool
    default: str | None
    key_place: int  # 1-based in the primary key, 0: not in it
    hidden: int  # as PRAGMA table_xinfo says: 1 of a virtual table, 2 generated virtual, 3 generated stored
    place: int  # in the stored record; -1: not stored
    text: ColumnText


@dataclass(frozen=True, slots=True)
class Index:
    """An index of the user's own. ``columns`` hold "" for an expression, ``collations`` where the column decides."""

    name: str
    unique: bool
    terms: tuple[str, ...]
    columns: tuple[str, ...]
    collations: tuple[str, ...]
    descending: tuple[bool, ...]
    predicate: str | None


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    sql: str
    virtual: bool
    columns: tuple[Column, ...]
    text: TableText
    indexes: tuple[Index, ...]
    alias: str | None  # the INTEGER PRIMARY KEY column that is the rowid
    rowid: str | None  # a name for the rowid that no column shadows; None: WITHOUT ROWID
    module: str = ""  # of a virtual table that keeps rows of its own, which a plain SELECT gives back

    @property
    def readable(self) -> bool:
        """Whether its rows can be compared."""
        return not self.virtual or bool(self.module)

    @property
    def key(self) -> tuple[str, ...]:
        """Primary key, else a unique not-null key, else nothing."""
        primary = sorted((c.key_place, c.name) for c in self.columns if c.key_place)
        if primary:
            return tuple(name for _, name in primary)
        if self.module:
            return (self.columns[0].name,) if self.module in _TREES else (ROWID,)
        required = {c.name.lower() for c in self.columns if not c.nullable}
        return next((k for k in self.unique_keys if {c.lower() for c in k} <= required), ())

    @property
    def is_by_rowid(self) -> bool:
        """Whether its rows have no key but the rowid that they were given: full text, which other tables find it by."""
        return self.key == (ROWID,) and self.column(ROWID) is None

    @property
    def unique_keys(self) -> list[tuple[str, ...]]:
        """Columns that no two rows share (but for NULLs), by declaration."""
        found = [self.column_names(c.columns) for c in self.text.constraints if c.type in ("primary key", "unique")]
        found += [i.columns for i in self.indexes if i.unique and not i.predicate and all(i.columns)]
        return found

    def column(self, name: str) -> Column | None:
        lowered = name.lower()
        return next((c for c in self.columns if c.name.lower() == lowered), None)

    def column_names(self, names: Iterable[str]) -> tuple[str, ...]:
        """Names as the table declares them: SQLite's own do not tell case apart."""
        return tuple(found.name if (found := self.column(n)) else n for n in names)


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Catalog:
    """Tables of the user's by name, root pages of all b-trees, and the schema that is compared."""

    tables: Mapping[str, Table]
    roots: Mapping[str, int]  # tables
    other_roots: tuple[int, ...]  # indexes, and tables that are not the user's
    parts: Mapping[str, tuple[int, ...]]  # the root pages of each table with its indexes; SQLite's own under ""
    schema: Schema
    sequences: bool  # whether sqlite_sequence is there
    hidden: frozenset[str] = frozenset()  # other tables that are there, in lower case

    def table(self, name: str) -> Table | None:
        """A table as SQLite would find it."""
        return _named(self.tables, name)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of sqlite_schema."""

    type: str
    name: str
    table: str
    root: int
    sql: str | None


class CatalogReader:
    """Reads catalogs; remembers what it made of texts that it has seen, since most stay the same between moments.

    A catalog that a moment holds, and a schema that anybody holds, is the same object when it is read again.
    """

    def __init__(self) -> None:
        self._tables: dict[tuple[object, ...], Table] = {}
        self._objects: dict[tuple[int, ...], _Declared] = {}
        self._schemas: WeakValueDictionary[bytes, Schema] = WeakValueDictionary()
        self._catalogs: WeakValueDictionary[tuple[frozenset[str], bytes], Catalog] = WeakValueDictionary()
        self._recent: deque[Catalog] = deque(maxlen=MOST_KEPT)

    def read(self, connection: sqlite3.Connection, bookkeeping: frozenset[str]) -> Catalog:
        """The catalog of a connection's main database; ``bookkeeping``: tables that are nobody's business."""
        sql = "SELECT type, name, tbl_name, coalesce(rootpage, 0), sql FROM sqlite_schema"
        rows = connection.execute(sql).fetchall()
        settings = settings_of(Path(connection.execute("PRAGMA database_list").fetchone()[2]))
        seen = bookkeeping, _digest([rows, *settings.values()])
        known = self._catalogs.get(seen)
        if known is None:
            entries = [Entry(*row) for row in rows]
            known = self._catalogs[seen] = self._catalog(connection, entries, bookkeeping, settings)
            self._recent.append(known)
        return known

    def _catalog(
        self, connection: sqlite3.Connection, entries: list[Entry], bookkeeping: frozenset[str], settings: Attributes
    ) -> Catalog:
        hidden = self._hidden(connection, entries, bookkeeping)
        mine = sorted((e for e in entries if e.table.lower() not in hidden), key=lambda e: (e.type, e.name))
        tables = self._all_tables(connection, mine)
        roots = {e.name: e.root for e in mine if e.type == "table" and e.root}
        others = tuple(e.root for e in entries if e.root and e.name not in roots)
        sequences = any(e.name == "sqlite_sequence" for e in entries)
        left_out = frozenset(e.name.lower() for e in entries if e.type == "table" and e.name not in tables)
        parts = _parts(entries)
        parts |= {t.name: _shadows(t.name, parts) for t in tables.values() if t.module}
        schema = self._schema(tables, mine, settings)
        return Catalog(tables, roots, others, parts, schema, sequences, left_out)

    def _schema(self, tables: Mapping[str, Table], mine: list[Entry], settings: Attributes) -> Schema:
        content = _digest([*settings.values(), *((e.type, e.name, e.table, e.sql) for e in mine)])
        known = self._schemas.get(content)
        if known is None:
            declared = [self._declared(t, tables) for t in tables.values()]
            known = self._schemas[content] = Schema({SETTINGS: settings} | _objects(declared, mine))
        return known

    def _declared(self, table: Table, tables: Mapping[str, Table]) -> Mapping[ObjectKey, Attributes]:
        """The objects of a table, as long as it and the tables that it refers to are the same."""
        parents = tuple(_parent(c, tables) for c in table.text.constraints if c.type == "foreign key")
        place = id(table), *map(id, parents)
        if place not in self._objects:
            if len(self._objects) > MOST_TABLES:
                self._objects.clear()
            self._objects[place] = _Declared(table, parents, dict(_table_objects(table, tables)))
        return self._objects[place].objects

    def _hidden(
        self, connection: sqlite3.Connection, entries: list[Entry], bookkeeping: frozenset[str]
    ) -> frozenset[str]:
        """Tables in lower case that are not the user's: SQLite's own, bookkeeping, and what stores a virtual table."""
        hidden = {n.lower() for n in bookkeeping} | set(OWN_TABLES)
        if any(_is_virtual(e.sql) for e in entries):
            shadows = connection.execute("SELECT name FROM pragma_table_list WHERE type = 'shadow' AND schema = 'main'")
            hidden |= {str(name).lower() for (name,) in shadows}
        return frozenset(hidden)

    def _all_tables(self, connection: sqlite3.Connection, entries: list[Entry]) -> dict[str, Table]:
        indexes: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.type == "index" and entry.sql:
                indexes.setdefault(entry.table, []).append(entry)
        return {e.name: self._table(connection, e, indexes.get(e.name, [])) for e in entries if e.type == "table"}

    def _table(self, connection: sqlite3.Connection, entry: Entry, indexes: list[Entry]) -> Table:
        seen = (entry.name, entry.sql, *((e.name, e.sql) for e in indexes))
        if seen not in self._tables:
            self._tables[seen] = _table(connection, entry, indexes)
        return self._tables[seen]


@dataclass(frozen=True, slots=True)
class _Declared:
    """The objects of a table with what they were made of; tables are kept, so no other ones get their ids."""

    table: Table
    parents: tuple[Table | None, ...]
    objects: Mapping[ObjectKey, Attributes]


def _digest(rows: list[Any]) -> bytes:
    """Stands for rows of texts and numbers: no two that differ have the same."""
    return hashlib.sha256(marshal.dumps(rows, FORMAT)).digest()


def _parts(entries: list[Entry]) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for entry in entries:
        if entry.root:
            found.setdefault("" if entry.table.lower() in OWN_TABLES else entry.table, []).append(entry.root)
    return {name: tuple(roots) for name, roots in found.items()}


def _shadows(name: str, parts: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The root pages of the tables that store a virtual one: FTS and R*Tree call theirs ``NAME_...``."""
    return tuple(root for table, roots in parts.items() if table.startswith(f"{name}_") for root in roots)


# fts5.html 4.4, fts3.html 6.2: with content= the rows are another table's, or nowhere.
_KEEPS_ROWS = re.compile(r"USING\s+(fts[345]|rtree|rtree_i32|geopoly)\b(?!.*\bcontent\s*=)", re.IGNORECASE | re.DOTALL)
_TREES = ("rtree", "rtree_i32")


def _module(sql: str, rows: list[Any]) -> str:
    """The module of a virtual table that keeps rows of its own; empty where it does not, or is not here."""
    found = _KEEPS_ROWS.search(sql)
    return found[1].lower() if found and rows else ""


def _is_virtual(sql: str | None) -> bool:
    return (sql or "")[:20].upper().startswith("CREATE VIRTUAL TABLE")


def _table(connection: sqlite3.Connection, entry: Entry, indexes: list[Entry]) -> Table:
    virtual = _is_virtual(entry.sql)
    text = TableText() if virtual else parse_table(entry.sql or "")
    try:
        rows = connection.execute(f"PRAGMA main.table_xinfo({quoted(entry.name)})").fetchall()
    except sqlite3.Error:
        rows = []  # a virtual table whose module is not here
    alias = _alias(rows, text)
    columns = tuple(_columns(rows, text, alias))
    names = frozenset(c.name.lower() for c in columns)
    free = next((n for n in ROWID_NAMES if n not in names), alias and quoted(alias))
    return Table(
        entry.name,
        entry.sql or "",
        virtual,
        columns,
        text,
        tuple(_index(e, columns, names) for e in indexes),
        alias,
        None if text.without_rowid or virtual else free,
        _module(entry.sql or "", rows) if virtual else "",
    )


def _alias(rows: list[Any], text: TableText) -> str | None:
    """The column that is the rowid itself: one of type INTEGER exactly, and not ``PRIMARY KEY DESC`` in the column.

    (lang_createtable.html, section 5: the exception is a bug that is kept.)
    """
    keys = [row for row in rows if row[5]]
    if len(keys) != 1 or keys[0][2].upper() != "INTEGER" or text.without_rowid:
        return None
    primary = next((c for c in text.constraints if c.type == "primary key"), None)
    in_column = primary is not None and primary.definition.endswith(" DESC)") and not primary.in_table
    return None if in_column else str(keys[0][1])


def _columns(rows: list[Any], text: TableText, alias: str | None) -> Iterator[Column]:
    place = 0
    for _, name, declared, not_null, default, key_place, hidden in rows:
        stored = hidden != 2
        yield Column(
            name,
            type_name(declared or ""),
            affinity(declared or "", strict=text.strict),
            not not_null and name != alias,
            default_text(default) if not hidden else None,
            key_place,
            hidden,
            place if stored else -1,
            text.column(name),
        )
        place += stored


def affinity(declared: str, *, strict: bool = False) -> str:
    """The affinity that a declared type gives (datatype3.html, section 3.1)."""
    upper = declared.upper()
    if "INT" in upper:
        return "INTEGER"
    if any(part in upper for part in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in upper or not upper or (strict and upper == "ANY"):
        return "BLOB"
    if any(part in upper for part in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    return "NUMERIC"


def _index(entry: Entry, columns: tuple[Column, ...], names: frozenset[str]) -> Index:
    text = parse_index(entry.sql or "", names)
    declared = {c.name.lower(): c.name for c in columns}
    return Index(
        entry.name,
        text.unique,
        tuple(t.text for t in text.terms),
        tuple(declared.get(t.column.lower(), "") for t in text.terms),
        tuple(t.collation for t in text.terms),
        tuple(t.descending for t in text.terms),
        text.predicate,
    )


# --- the schema vocabulary --------------------------------------------------------------------------------------------


def _objects(tables: Iterable[Mapping[ObjectKey, Attributes]], entries: list[Entry]) -> dict[ObjectKey, Attributes]:
    found: dict[ObjectKey, Attributes] = {}
    for declared in tables:
        found.update(declared)
    for entry in entries:
        if entry.type in ("view", "trigger"):
            owner = entry.table if entry.type == "trigger" else ""
            found[ObjectKey(entry.type, "", owner, entry.name)] = _text_attributes(entry)
    return found


def _table_objects(table: Table, tables: Mapping[str, Table]) -> Iterator[tuple[ObjectKey, Attributes]]:
    yield ObjectKey("table", "", "", table.name), _table_attributes(table)
    yield from _column_objects(table)
    yield from _constraint_objects(table, tables)
    yield from _index_objects(table)


def _table_attributes(table: Table) -> Attributes:
    if table.virtual:
        return {"virtual": body(table.sql, table.name)}
    return {"without_rowid": table.text.without_rowid, "strict": table.text.strict}


def _column_objects(table: Table) -> Iterator[tuple[ObjectKey, Attributes]]:
    for position, column in enumerate(table.columns, 1):
        yield (
            ObjectKey("column", "", table.name, column.name),
            {
                "type": _declared(column),
                "nullable": column.nullable,
                "default": column.default,
                "collation": column.text.collation,
                "generated": column.text.generated,
                "stored": column.text.stored if column.text.generated else None,
                "auto_increment": column.text.auto_increment,
                "hidden": column.hidden == 1,
                "on_conflict": column.text.not_null_conflict,
                "position": position,
            },
        )


def _declared(column: Column) -> str:
    """INT is INTEGER but in a key, where INTEGER alone is the rowid: SQLAlchemy's rebuilds write one for the other."""
    return "INTEGER" if column.type == "INT" and not column.key_place else column.type


def _constraint_objects(table: Table, tables: Mapping[str, Table]) -> Iterator[tuple[ObjectKey, Attributes]]:
    given: dict[tuple[str, str], list[Attributes]] = {}
    for constraint in table.text.constraints:
        columns = table.column_names(constraint.columns)
        if constraint.name is not None:
            kind, name = "constraint", constraint.name
        else:
            kind, name = constraint.type, f"{table.name}({constraint.expression or ', '.join(columns)})"
        attributes = _constraint_attributes(constraint, table, tables)
        same = given.setdefault((kind, name.lower()), [])
        if constraint.name is None and attributes in same:  # said twice it is no other rule
            continue
        same.append(attributes)
        if len(same) > 1:  # SQLite does not ask for names to be different
            name = f"{name} #{len(same)}"
        yield ObjectKey(kind, "", table.name, name), attributes


def _constraint_attributes(constraint: ConstraintText, table: Table, tables: Mapping[str, Table]) -> Attributes:
    columns = table.column_names(constraint.columns)
    attributes: dict[str, Any] = {"type": constraint.type, "columns": columns, "definition": constraint.definition}
    if constraint.type == "foreign key":
        attributes |= _reference(constraint, columns, tables)
    elif constraint.type == "check":
        attributes["expression"] = constraint.expression
    else:
        attributes["collations"] = constraint.collations
        attributes["on_conflict"] = constraint.conflict
    return attributes


def _parent(constraint: ConstraintText, tables: Mapping[str, Table]) -> Table | None:
    return _named(tables, constraint.references)


def _named(tables: Mapping[str, Table], name: str) -> Table | None:
    """A table as SQLite would find it."""
    if (found := tables.get(name)) is not None:
        return found
    lowered = name.lower()
    return next((t for n, t in tables.items() if n.lower() == lowered), None)


def _reference(constraint: ConstraintText, columns: tuple[str, ...], tables: Mapping[str, Table]) -> dict[str, Any]:
    """A foreign key's own attributes; without a column list it means the parent's primary key."""
    parent = _parent(constraint, tables)
    referenced = constraint.referenced_columns
    if parent is not None:
        referenced = parent.column_names(referenced) or parent.key
    target = parent.name if parent else constraint.references
    actions = f"ON DELETE {constraint.on_delete} ON UPDATE {constraint.on_update}"
    timing = " DEFERRABLE INITIALLY DEFERRED" if constraint.deferred else ""
    return {
        "references": target,
        "referenced_columns": referenced,
        "on_delete": constraint.on_delete,
        "on_update": constraint.on_update,
        "match": constraint.match,
        "deferrable": constraint.deferrable,
        "deferred": constraint.deferred,
        "definition": (
            f"FOREIGN KEY ({', '.join(map(quoted, columns))}) REFERENCES {quoted(target)} "
            f"({', '.join(map(quoted, referenced))}) {actions}{timing}"
        ),
    }


def _index_objects(table: Table) -> Iterator[tuple[ObjectKey, Attributes]]:
    for index in table.indexes:
        terms = [
            term + (f" COLLATE {collation}" if collation else "") + (" DESC" if descending else "")
            for term, collation, descending in zip(index.terms, index.collations, index.descending, strict=True)
        ]
        where = f" WHERE {index.predicate}" if index.predicate else ""
        yield (
            ObjectKey("index", "", table.name, index.name),
            {
                "columns": index.columns,
                "terms": index.terms,
                "collations": index.collations,
                "unique": index.unique,
                "predicate": index.predicate,
                "definition": f"{'UNIQUE ' if index.unique else ''}({', '.join(terms)}){where}",
                "valid": True,
            },
        )


def _text_attributes(entry: Entry) -> Attributes:
    definition = body(entry.sql or "", entry.name)
    return {"definition": definition} | ({"enabled": True} if entry.type == "trigger" else {})
