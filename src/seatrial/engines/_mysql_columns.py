"""What is stored in a column, as text that is exact, and as bytes to be hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

INTEGERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
BINARIES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector"})
SPATIAL = frozenset(
    {
        *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"),
        *("geometrycollection", "geomcollection"),
    }
)
UNPRINTED = BINARIES | SPATIAL
_SIZED = frozenset({"char", "varchar", "binary", "varbinary"})


@dataclass(frozen=True, slots=True)
class Column:
    """What reading a column exactly needs to know of it."""

    name: str
    base: str  # DATA_TYPE: "varchar"
    type: str  # COLUMN_TYPE: "varchar(20)"
    charset: str | None = None
    collation: str | None = None
    nullable: bool = True
    generated: bool = False
    bits: int = 1
    computed: bool = False  # its default is an expression, which may name other columns (MySQL)

    @property
    def ends(self) -> str:
        """Of a column that tells when a row's version ended: an SQL literal before which it has ended."""
        return "18446744073709551615" if self.is_integer else "'2038-01-19 03:14:07.999999'"

    @property
    def stored_as(self) -> tuple[str, str, str | None]:
        """Two columns of the same name and form keep the same value in the same bytes."""
        return self.name, self.type, self.charset

    @property
    def width(self) -> int:
        """Bytes of a row that its values may take at most; those of large objects stand elsewhere."""
        length = int(self.type.partition("(")[2].partition(")")[0]) if self.base in _SIZED else 16
        return length * (4 if self.charset else 1)

    def declared(self, *, apart: bool = False) -> str:
        """Type and character set for a CREATE TABLE, nullable and without a default; ``apart``: as a large object."""
        type_ = self.type if not apart else "longtext" if self.charset else "longblob"
        text = f" CHARACTER SET {self.charset} COLLATE {self.collation}" if self.charset and self.collation else ""
        return f"{type_}{'' if self.base == 'json' else text} NULL"

    @property
    def is_integer(self) -> bool:
        return self.base in INTEGERS

    @property
    def is_text(self) -> bool:
        return self.base in TEXTS or self.base in ("enum", "set", "json")


def as_text(column: Column, expression: str) -> str:
    """SQL of the value's exact text, in utf8mb4.

    FLOAT prints six digits, so it is read as DOUBLE, which prints the shortest text that gives the same number back. A
    geometry is its SRID and WKB. CHAR has no trailing blanks by definition (manual, 13.3.2).
    """
    if column.base in ("float", "double"):
        return f"CAST(CAST({expression} AS DOUBLE) AS CHAR)"
    if column.base == "bit":
        return f"LPAD(BIN({expression} + 0), {column.bits}, '0')"
    if column.base in UNPRINTED:
        return f"CONCAT('\\\\x', LOWER(HEX({expression})))"
    if column.is_integer:
        return f"CAST({expression} + 0 AS CHAR)" if "zerofill" in column.type else f"CAST({expression} AS CHAR)"
    if column.base == "enum" and _EMPTY_LABEL in column.type:
        # The value of an assignment that fitted no label is 0, and reads like the label '' (manual, 13.3.5).
        return f"IF({expression} + 0 = 0, '{_NO_LABEL}', CONVERT({expression} USING utf8mb4))"
    if column.is_text:
        return f"CONVERT({expression} USING utf8mb4)"
    return f"CAST({expression} AS CHAR)"


_EMPTY_LABEL, _NO_LABEL = "''", "(no label: 0)"


def as_bytes(column: Column, expression: str) -> str:
    """SQL of bytes that differ where the text differs; compared only between columns stored alike."""
    return f"CAST({as_text(column, expression)} AS BINARY)"


_EXACT = frozenset({"decimal", "date", "datetime", "timestamp", "time", "year", "bit"})
_NUMBERED = frozenset({"enum", "set"})


def same_value(old: Column, one: str, new: Column, other: str) -> str:
    """SQL that is true where two stored values are the same, to the last bit and blank; the cheapest that is exact."""
    if (old.is_integer and new.is_integer) or (old.base in _EXACT and old.type == new.type):
        return f"{one} <=> {other}"
    if old.base == new.base == "double":  # -0 equals 0, and reads otherwise
        return f"IF({one} = 0, CAST({one} AS CHAR) <=> CAST({other} AS CHAR), {one} <=> {other})"
    if old.base in _NUMBERED and old.type == new.type:
        return f"{one} + 0 <=> {other} + 0"
    if old.base in TEXTS and (old.base, old.charset) == (new.base, new.charset):
        return f"CAST({one} AS BINARY) <=> CAST({other} AS BINARY)"
    if old.base in UNPRINTED and new.base in UNPRINTED:  # as hex they may be longer than max_allowed_packet: NULL
        return f"CAST({one} AS BINARY) <=> CAST({other} AS BINARY)"
    return f"{as_bytes(old, one)} <=> {as_bytes(new, other)}"


def packed(columns: Sequence[Column], names: Sequence[str]) -> str:
    """SQL of a row as bytes to be hashed, over the columns in the order of their names.

    A field that can hold any byte goes in behind its length, and NULL has a mark of its own: no two rows give the same
    bytes. Only rows whose columns are stored alike are compared by them, so a cheap form of the value is enough.
    """
    ordered = sorted(zip(columns, names, strict=True), key=lambda pair: pair[0].name)
    parts = [part for column, name in ordered for part in _field(column, name)]
    head = "\x1f".join(f"{c.name}\x1e{c.type}" for c, _ in ordered)
    return f"CONCAT({', '.join([_mark(head), *parts])})"


def _mark(text: str) -> str:
    """A short mark of the column list: other columns make another row, even where the fields are the same."""
    return f"'{hashlib.sha256(text.encode()).hexdigest()[:16]}'"


def _field(column: Column, name: str) -> list[str]:
    if column.base in TEXTS or column.base in UNPRINTED:
        return [_measured(f"CAST({name} AS BINARY)", name, column.nullable)]
    if column.base == "json":  # MySQL's own text of it has no control characters, and is dear to make twice
        return [f"IFNULL(CAST({name} AS CHAR), 'N')", "x'01'"]
    value = _plain(column, name)
    return [f"IFNULL({value}, 'N')" if column.nullable else value, "','"]


def _measured(value: str, name: str, nullable: bool) -> str:
    whole = f"LENGTH({name}), ':', {value}"
    return f"IFNULL(CONCAT({whole}), 'N')" if nullable else whole


def _plain(column: Column, name: str) -> str:
    if column.base in ("enum", "set", "bit"):
        return f"{name} + 0"
    if column.base in ("float", "double"):
        return f"CAST({name} AS DOUBLE)"
    # A type of a plugin (MariaDB's INET6, UUID) lends itself to the whole of IFNULL(value, 'N'), which is then NULL.
    return name if column.is_integer or column.base in _EXACT else f"CAST({name} AS CHAR)"
