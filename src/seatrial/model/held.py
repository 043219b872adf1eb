"""What a database held at one moment."""

from __future__ import annotations

from seatrial.model.schema import Key, Schema, TableRef
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """One table at one moment. ``checksum`` is a hex text that differs whenever any stored value differs."""

    table: TableRef
    rows: int
    checksum: str
    key: tuple[str, ...] = ()  # primary key, else a unique not-null key, else empty
    bytes: int | None = None
    compared: bool = True  # False: rows are not compared (``why_not``): a foreign table, a view with rules ...
    why_not: str = ""
    history: int | None = None  # old versions of rows that it keeps; None: a table without system versioning


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A generated key and what it would give next (sequence, identity, AUTO_INCREMENT, rowid alias)."""

    table: TableRef
    column: str
    mechanism: str  # "sequence", "identity", "trigger", "auto_increment", "autoincrement", "rowid", "default ..."
    source: str = ""  # the sequence's label where it has one
    next_value: int | None = None  # None: not known, or it follows the rows (rowid)
    increment: int = 1
    highest: int | None = None  # the value stored in the column that the counter has to keep clear of; None: no rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """What is stored beside tables and belongs to no column: it is compared, but whether a change does harm, nobody can
    say. Either rows that a query gave (``rows``, ``checksum``) or a sequence's next number (``position``)."""

    what: str  # "rows of materialized view totals", "numbers of sequence ticket_no"
    rows: int = 0
    checksum: str = ""
    current: bool | None = None  # whether the query gave the same rows at that moment; None: not known
    position: int | None = None
    increment: int = 1


OFFENDING_KEPT = 20_000
"""Keys of offending rows that a moment keeps at least: those of two moments are told apart by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrity:
    """What one declared (or configured) constraint says about the stored rows, enforced or not."""

    rule: str  # "orphaned-rows" | "duplicate-keys" | "check-violated" | "nulls-in-required"
    object: str  # label of the constraint: "constraint orders_user_fk", "column users.email"
    table: TableRef
    columns: tuple[str, ...]
    references: str = ""  # foreign key: "users(id)"
    expression: str = ""  # check: its condition
    sql: str = ""  # the query that was run; it returns the keys of the offending rows
    count: int = 0
    keys: tuple[Key, ...] = ()  # at most OFFENDING_KEPT, or the limit where that is more; in key order
    observed: bool = True  # False: the query could not be run, ``why_not`` says why
    why_not: str = ""
    inferred: bool = False
    filled: bool | None = None  # inferred: whether any row holds a value there at all; None: not asked
    declared_before: bool = False  # declared by the schema before up only, judged over the rows after down


@dataclass(frozen=True, slots=True, kw_only=True)
class Relationship:
    """A reference that no foreign key declares, as ``[[relationships]]`` names it."""

    table: str  # raw name, ``schema.table`` outside the default schema
    column: str
    references: str  # "users.id", "crm.users.id"

    @property
    def parent(self) -> str:
        return self.references.rpartition(".")[0]

    @property
    def parent_column(self) -> str:
        return self.references.rpartition(".")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a database held at one moment; its rows stay with the ``Database`` under the name ``moment``."""

    moment: str
    schema: Schema
    tables: tuple[TableState, ...] = ()
    counters: tuple[Counter, ...] = ()
    integrity: tuple[Integrity, ...] = ()
    size_bytes: int = 0
    asides: tuple[Aside, ...] = ()  # no part of a trace: what they tell stands in a trial's ``not_verified``
    folds_names: bool = False  # names that differ in nothing but case need not be two (SQLite, MySQL)

    def table(self, ref: TableRef) -> TableState | None:
        return next((t for t in self.tables if t.table == ref), None)

    @property
    def fullness(self) -> tuple[int, int, int]:
        """Rows, tables and bytes, to tell the moment when a database held most."""
        return sum(t.rows for t in self.tables), len(self.tables), self.size_bytes
