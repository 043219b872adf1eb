"""What is compared of two moments' tables: their columns in pairs, and the SQL that says which of those differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seatrial.engines._postgresql_layout import FLAT, Column, form, hash_row
from seatrial.engines._postgresql_rows import Shadow
from seatrial.model import TablePair

_BITS = 62  # columns that one mask holds


@dataclass(frozen=True, slots=True)
class Compared:
    """One column on both sides; ``new`` is None where it is missing."""

    name: str
    old: Column | None
    new: Column | None

    @property
    def alike(self) -> bool:
        """Whether both sides are kept in one form, so that it decides; else their texts do."""
        return self.old is not None and self.new is not None and self.old.base == self.new.base

    def form(self, column: Column | None, alias: str) -> str:
        if column is None:
            return "NULL::text"
        return column.exactly(alias) if self.alike else column.text(alias)

    def hashed(self, new: bool, *, imaged: bool) -> list[str]:
        column = self.new if new else self.old
        exact = self.form(column, "x")
        return column.parts(exact) if column and self.alike else [form(FLAT, exact) if imaged else exact]

    @property
    def differs(self) -> str:
        """Whether the rows ``o`` and ``n`` differ here; a missing column only where it held a value."""
        if self.new is None:
            return f"o.{self.old.shadow} IS NOT NULL" if self.old else "false"
        return f"{self.form(self.old, 'o')} IS DISTINCT FROM {self.form(self.new, 'n')}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One pair of tables with what is kept of both."""

    pair: TablePair
    old: Shadow | None
    new: Shadow | None
    limit: int

    @property
    def columns(self) -> list[Compared]:
        old, new = _by_name(self.old), _by_name(self.new)
        pairs = self.pair.columns
        return [Compared(name, old.get(name), new.get(target) if target else None) for name, target in pairs]

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns if c.new is None) if self.pair.new else ()

    @property
    def key(self) -> list[Compared]:
        by_name = {c.name: c for c in self.columns}
        key = [by_name[name] for name in self.pair.key if name in by_name]
        complete = len(key) == len(self.pair.key) and all(c.new or not self.pair.new for c in key)
        return key if complete else []

    @property
    def whole(self) -> bool:
        """Whether the rows' own hashes can be compared: the same columns, all of them, in the same forms."""
        if self.old is None or self.new is None:
            return True
        names = dict(self.pair.columns)
        same = self.old.layout.forms == self.new.layout.forms
        return same and all(names.get(n) == n for n in self.old.layout.names)

    @property
    def grown(self) -> bool:
        """Whether the newer rows were hashed over the older columns as well, and those are what is compared."""
        if self.old is None or self.new is None or self.new.earlier is None:
            return False
        names = dict(self.pair.columns)
        same = self.new.earlier.forms == self.old.layout.forms
        return same and all(names.get(n) == n for n in self.old.layout.names)

    def hashed(self, new: bool) -> str:
        """A row's hash over the compared columns, the same on both sides for equal rows."""
        if self.whole:
            return "x.h"
        if self.grown:
            return "x.g" if new else "x.h"
        imaged = any(shadow.layout.imaged for shadow in (self.old, self.new) if shadow)
        return hash_row((part for k in self.columns for part in k.hashed(new, imaged=imaged)), 0, imaged=imaged)

    @property
    def masks(self) -> list[str]:
        """Numbers whose bits say which columns of the rows ``o`` and ``n`` differ, the first column the highest."""
        return _masks(k.differs for k in self.columns)

    @property
    def masks_of_blank(self) -> list[str]:
        """The same where nothing stands in the newer row, and only in columns that ``is_blank`` names."""
        return _masks(f"o.{k.old.shadow} IS NOT NULL" if k.old and self.is_blank(k) else "false" for k in self.columns)

    def is_blank(self, k: Compared) -> bool:
        """Whether rows as old as the older ones hold nothing in a column: it is missing, or was added since."""
        numbers = {column.number for column in self.old.layout.columns} if self.old else set()
        return k.old is not None and (k.new is None or k.new.number not in numbers)

    def masked(self, masks: Sequence[str]) -> list[Compared]:
        """The columns that a row's masks name."""
        bits = (int(mask) >> (_BITS - 1 - i) & 1 for mask in masks for i in range(_BITS))
        return [k for k, bit in zip(self.columns, bits, strict=False) if bit]

    def certainly_equal(self) -> bool:
        if not is_kept(self.old) and not is_kept(self.new):
            return True
        if self.old is None or self.new is None:
            return False
        same_names = all(name == target for name, target in self.pair.columns)
        if self.old.relation == self.new.relation:
            return same_names
        checksum = self.new.earlier_checksum if self.grown else self.new.checksum
        same_rows = (self.old.rows, self.old.checksum) == (self.new.rows, checksum)
        return same_rows and (self.grown or (same_names and self.old.layout.forms == self.new.layout.forms))


def _masks(conditions: Iterable[str]) -> list[str]:
    held = list(conditions)
    chunks = [held[i : i + _BITS] for i in range(0, len(held), _BITS)]
    return [
        " | ".join(f"CASE WHEN {x} THEN {1 << (_BITS - 1 - i)} ELSE 0::bigint END" for i, x in enumerate(chunk))
        for chunk in chunks
    ]


def is_kept(shadow: Shadow | None) -> bool:
    return shadow is not None and bool(shadow.relation)


def _by_name(shadow: Shadow | None) -> dict[str, Column]:
    return {c.name: c for c in shadow.layout.columns} if shadow else {}


def is_unique(c: Comparison) -> bool:
    """Whether the key names at most one row on both sides and is never NULL, as their indexes guarantee."""
    targets = dict(c.pair.columns)
    old = frozenset(k.name for k in c.key)
    new = frozenset(str(targets[k.name]) for k in c.key)
    return all(
        shadow is None or any(unique <= names for unique in shadow.layout.uniques)
        for shadow, names in ((c.old, old), (c.new, new))
    )


def key_form(k: Compared, new: bool, alias: str) -> str:
    """Natively where both sides keep the same type, else as text."""
    column = k.new if new else k.old
    if column is None:
        return 'NULL::text COLLATE "C"'
    return f"{alias}.{column.shadow}" if k.alike or not (k.old and k.new) else column.text(alias)
