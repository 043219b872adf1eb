"""Names of tables and objects, and a schema of them."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping
from typing import Any, NamedTuple

Attribute = str | int | bool | None | tuple[str, ...]
Attributes = Mapping[str, Attribute]
Key = tuple[str | None, ...]  # a row's key as text, in key order; the whole row where a table has no key


class TableRef(NamedTuple):  # a tuple, as ObjectKey: hashed and ordered millions of times in a run
    """A table's raw name; ``namespace`` is empty in the default schema."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}" if self.namespace else self.name


class ObjectKey(NamedTuple):
    """What names a schema object. ``table`` is the raw name of the table that it belongs to, else empty.

    ``kind`` is one of: table, column, constraint (named), primary key / unique / foreign key / check (unnamed; the
    name is then ``table(columns)`` or, for a check, ``table(expression)``), index, sequence, view, materialized view,
    trigger, function, procedure, aggregate, type, domain, extension, policy, row security, grant, event, publication,
    rule, statistics, schema, event trigger, security label ... A grant's name is ``table`` or ``table.column`` (or the
    object's own name where it is on another object); row security's is its table's.
    """

    kind: str
    namespace: str
    table: str
    name: str

    @classmethod
    def of_table(cls, ref: TableRef) -> ObjectKey:
        return cls("table", ref.namespace, "", ref.name)

    @property
    def label(self) -> str:
        """``column orders.status``, ``index orders_idx``, ``table crm.leads``."""
        name = f"{self.table}.{self.name}" if self.kind == "column" else self.name
        return f"{self.kind} {self.namespace}.{name}" if self.namespace else f"{self.kind} {name}"

    @property
    def owner(self) -> TableRef | None:
        """The table that this object belongs to (a table's own key: itself)."""
        name = self.name if self.kind == "table" else self.table
        return TableRef(self.namespace, name) if name else None


class Schema(Mapping[ObjectKey, Attributes]):
    """Every object of a database with its attributes; immutable, in key order.

    Attributes that checks read (an engine adds its own beside them; every one of them takes part in the comparison):

    =============  ===================================================================================================
    table          comment, owner, persistence, options, partition_key, partition_bound, inherits, strict, engine ...
    column         type, nullable, default, identity, generated, collation, charset, comment, auto_increment, on_update;
                   ``position`` (1-based, dense) is compared as an order, never as a value
    constraint     type ("primary key" | "unique" | "foreign key" | "check" | "exclusion"), columns, definition,
    (and unnamed)  validated, enforced; foreign key: references (str of TableRef), referenced_columns, on_delete,
                   on_update, match; check: expression; unique: nulls_not_distinct; ``given_name``, never compared: what
                   the server calls one that was made without a name, less the table's (``ibfk_2``); ``by_type``, never
                   compared: this check is what the server makes of a column's type (MariaDB: JSON)
    index          columns (plain columns only, "" for an expression), unique, predicate, definition, valid
    trigger        definition, enabled; view: definition; function: definition; type: type, labels ...
    grant          privileges (tuple of "grantee: PRIVILEGE[*]")
    database       "settings": what the database keeps of itself (SQLite: user_version, application_id, page_size ...;
                   its ``journal_mode`` is never compared)
    any            not_compared: why what it holds is not compared (it then stands in not_verified)
    =============  ===================================================================================================

    Counters (where a sequence stands) are no attributes: see ``Counter``.
    """

    __slots__ = ("__weakref__", "_columns", "_hash", "_objects", "_owned", "_tables")

    def __init__(self, objects: Mapping[ObjectKey, Attributes] | None = None) -> None:
        """``objects`` and their attributes belong to the schema from now on: nobody changes them any more."""
        self._objects: dict[ObjectKey, Attributes] = {k: (objects or {})[k] for k in sorted(objects or {})}
        self._owned: dict[TableRef, list[ObjectKey]] = {}  # made when asked for, as all that follows from the objects
        self._columns: dict[TableRef, dict[str, Attributes]] = {}
        self._tables: dict[TableRef, None] | None = None
        self._hash: int | None = None

    def __getitem__(self, key: ObjectKey) -> Attributes:
        return self._objects[key]

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: object) -> bool:
        return key in self._objects

    def __eq__(self, other: object) -> bool:
        return self is other or (self._objects == other._objects if isinstance(other, Schema) else NotImplemented)

    def __hash__(self) -> int:
        """Of the keys alone, so that what follows from schemas can be kept by schema."""
        if self._hash is None:
            self._hash = hash(tuple(self._objects))
        return self._hash

    def get(self, key: ObjectKey, default: Any = None) -> Any:
        return self._objects.get(key, default)

    def items(self) -> ItemsView[ObjectKey, Attributes]:
        return self._objects.items()

    def keys(self) -> KeysView[ObjectKey]:
        return self._objects.keys()

    def __repr__(self) -> str:
        return f"Schema({len(self)} objects)"

    def tables(self) -> KeysView[TableRef]:
        """The tables in their order."""
        if self._tables is None:
            found = (TableRef(k.namespace, k.name) for k in self._objects if k.kind == "table")
            self._tables = dict.fromkeys(found)
        return self._tables.keys()

    def columns(self, table: TableRef) -> Mapping[str, Attributes]:
        """The columns of a table in their order."""
        if (known := self._columns.get(table)) is None:
            found = [(k.name, self._objects[k]) for k in self._keys(table) if k.kind == "column"]
            known = self._columns[table] = dict(sorted(found, key=_position))
        return known

    def of(self, table: TableRef) -> dict[ObjectKey, Attributes]:
        """Everything that belongs to a table, itself included."""
        return {k: self._objects[k] for k in self._keys(table)}

    def _keys(self, table: TableRef) -> list[ObjectKey]:
        if not self._owned:
            for key in self._objects:
                owner = TableRef(key.namespace, key.name if key.kind == "table" else key.table)
                self._owned.setdefault(owner, []).append(key)
        return self._owned.get(table, []) if table.name else []


def _position(column: tuple[str, Attributes]) -> int:
    return int(column[1].get("position") or 0)  # type: ignore[arg-type]
