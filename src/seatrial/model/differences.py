"""How the rows of two moments differ."""

from __future__ import annotations

from seatrial.model.schema import Key, TableRef
from seatrial.model.words import Phase
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePair:
    """Which table and columns of an older snapshot to compare with which of a newer one."""

    old: TableRef
    new: TableRef | None  # None: the table is missing
    columns: tuple[tuple[str, str | None], ...]  # (old name, new name); None: the column is missing
    key: tuple[str, ...] = ()  # old names; empty: rows are compared as a multiset


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    key: Key
    values: tuple[str | None, ...] = ()  # in the order of TableDiff.columns


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedRow:
    key: Key
    old: tuple[str | None, ...]  # in the order of the group's columns
    new: tuple[str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeGroup:
    """The rows in which exactly these columns differ; ``count`` is exact, ``rows`` holds the first of them."""

    columns: tuple[str, ...]  # old names, in column order
    count: int
    rows: tuple[ChangedRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDiff:
    """How the rows of one table differ between two snapshots: exact counts, the first rows up to the limit."""

    table: TableRef  # its name in the older snapshot (the newer one's where it is new)
    new_table: TableRef | None = None  # its name in the newer one
    key: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    missing_columns: tuple[str, ...] = ()  # columns that are not there in the newer snapshot
    lost_count: int = 0
    lost: tuple[Row, ...] = ()
    added_count: int = 0
    added: tuple[Row, ...] = ()
    changed: tuple[ChangeGroup, ...] = ()

    @property
    def changed_count(self) -> int:
        return sum(g.count for g in self.changed)

    @property
    def surplus(self) -> int:
        """Rows that came beside those that stood: without a key, a lost one may have come back in a new form."""
        return self.added_count if self.key else max(0, self.added_count - self.lost_count)

    def __bool__(self) -> bool:
        return bool(self.lost_count or self.added_count or self.changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class CastBack:
    """Rows whose value, converted by up, does not cast back to what it was."""

    table: TableRef
    column: str
    count: int
    rows: tuple[ChangedRow, ...]  # old value and the value that casting back gives (None: no such cast)
    possible: bool = True  # False: there is no cast back at all


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """Rows returned by a query of ours: an invariant, a backfill that is looked at again."""

    name: str
    phase: Phase
    sql: str
    table: TableRef | None = None
    columns: tuple[str, ...] = ()
    count: int = 0
    keys: tuple[Key, ...] = ()  # of the rows that it did not return before up, else of all; at most the limit
    preexisting: int = 0  # how many of the rows it returned before up already
    error: str = ""
