"""How each table stores its rows, and how its values are kept and compared exactly.

A shadow column must not depend on anything that a migration may drop: what is no built-in type is kept as the text that
its output function gives. What the server's own ``=`` takes for equal and is not (1.0 and 1.00, -0 and 0, 24:00 and one
day, trailing blanks, letters under a case-insensitive collation) is compared by its binary form or under COLLATE "C".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from seatrial.engines._postgresql_catalog import is_hidden
from seatrial.engines._postgresql_session import SHADOWS, Session, quote
from seatrial.model import TableRef

# Their equality is identity (text under COLLATE "C"), and they can be hashed: no detour is needed.
_DIRECT = frozenset(
    [
        "bool",
        "int2",
        "int4",
        "int8",
        "oid",
        "date",
        "time",
        "timetz",
        "timestamp",
        "timestamptz",
        "uuid",
        "bytea",
        "text",
        "varchar",
        "name",
    ]
)
# They print names of what a migration may drop.
_NAMING = (
    *("proc", "procedure", "oper", "operator", "class", "type"),
    *("role", "namespace", "config", "dictionary", "collation"),
)
_BY_NAME = frozenset(f"{array}reg{name}" for name in _NAMING for array in ("", "_")) | {"aclitem", "_aclitem"}


# Held in the same number of bytes whatever their value, and equal where those are.
_SIZED = frozenset(
    {"bool", "int2", "int4", "int8", "oid", "date", "time", "timetz", "timestamp", "timestamptz", "uuid"}
)

_IMAGE = f"{SHADOWS}.image"
_TIMES = ("time", "timestamp", "timestamptz")

VALUE = "\0"
"""Stands for the value in a form: no identifier and no SQL text can hold it."""


FLAT = f"{SHADOWS}.flat({VALUE}, -1, false)"
"""A form: a text's or a bytea's bytes, however they are stored."""


def form(template: str, value: str) -> str:
    return template.replace(VALUE, value)


@dataclass(frozen=True, slots=True)
class Column:
    """One stored column; ``shadow`` names it in a shadow table. In forms, ``VALUE`` stands for the value."""

    name: str
    type: str  # as declared: format_type()
    base: str  # the type as it is kept: a built-in type's name, "text" for all others
    shadow: str
    kept: str  # form in which a shadow keeps it
    exact: str  # form of what is kept in which equal means identical
    output: str  # form of what is kept: its text in the fixed session
    hashing: tuple[str, ...] = (VALUE,)  # forms of what is exact: what a row's hash takes in
    number: int = 0  # attnum: no other column of the table ever had it
    stored: str = ""  # the same as long as a row's bytes mean the same here
    missing: str | None = None  # attmissingval, an array: what rows hold that were written before the column was there
    computed: bool = False  # when it is read
    native: bool = False  # kept as its table stores it, byte for byte

    @property
    def read(self) -> str:
        """As it is kept, from its own table ``t``."""
        return form(self.kept, "t." + quote(self.name))

    @property
    def hashed(self) -> list[str]:
        """What a row's hash is made of."""
        return self.parts(form(self.exact, self.read))

    def parts(self, exact: str) -> list[str]:
        """An exact form for hashing."""
        return [form(part, exact) for part in self.hashing]

    def exactly(self, alias: str) -> str:
        return form(self.exact, f"{alias}.{self.shadow}")

    def text(self, alias: str) -> str:
        return form(self.output, f"{alias}.{self.shadow}")

    def ordered(self, alias: str) -> str:
        """The column in a form that has an order."""
        return self.in_order(f"{alias}.{self.shadow}")

    def in_order(self, value: str) -> str:
        """A form with an order: the type's own where there is one that is sure, else its text."""
        own = self.base in _DIRECT or self.base in ("numeric", "float4", "float8", "bpchar", "inet", "interval")
        return value if own else form(self.output, value)


@dataclass(frozen=True, slots=True)
class Layout:
    """One table that stores rows, or that cannot be read (``why_not``)."""

    table: TableRef
    oid: int
    files: tuple[int, ...]  # relfilenodes: its own and its TOAST table's
    logged: bool
    columns: tuple[Column, ...]  # by name
    key: tuple[str, ...]
    uniques: tuple[frozenset[str], ...]  # sets of columns that are unique and not null
    signature: str  # changes whenever stored bytes would be read as something else
    bytes: int
    writes: int = 0  # rows that the server has counted as written
    why_not: str = ""
    imaged: bool = False  # whether its rows are hashed by their bytes

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    @property
    def seed(self) -> int:
        """For row hashes, so that the same values under other names are no equal rows."""
        digest = hashlib.sha256("\0".join(self.names).encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)

    @property
    def forms(self) -> tuple[tuple[str, str], ...]:
        return tuple((c.name, c.base) for c in self.columns)


_TABLES = f"""
SELECT c.oid, CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname END, c.relname, c.relkind, c.relfilenode,
  coalesce(t.relfilenode, 0), c.relpersistence, CASE WHEN c.relkind = 'r' THEN pg_table_size(c.oid) ELSE 0 END,
  (SELECT json_agg(json_build_array(x.indisprimary, (SELECT json_agg(json_build_array(a.attname, a.attnotnull) ORDER
     BY u.i)
      FROM unnest((x.indkey::int2[])[0:x.indnkeyatts - 1]) WITH ORDINALITY AS u(attnum, i)
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum), i.relname))
   FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
   WHERE x.indrelid = c.oid AND x.indisunique AND x.indisvalid AND x.indimmediate AND x.indpred IS NULL AND x.indexprs
      IS NULL),
  pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid),
  CASE WHEN c.relkind <> 'r' THEN c.relkind::text WHEN NOT has_table_privilege(c.oid, 'SELECT') THEN 'denied'
    WHEN row_security_active(c.oid) THEN 'secured' END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', '{SHADOWS}')
  AND n.nspname !~ '^pg_(temp|toast_temp)_'
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype =
     'e')
ORDER BY 2, 3
"""

_COLUMNS = f"""
WITH RECURSIVE dom(oid, base, mod) AS (
  SELECT oid, typbasetype, typtypmod FROM pg_type WHERE typtype = 'd'
  UNION ALL SELECT d.oid, t.typbasetype, t.typtypmod FROM dom d JOIN pg_type t ON t.oid = d.base AND t.typtype = 'd')
SELECT a.attrelid, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), b.typname,
  b.typnamespace = 'pg_catalog'::regnamespace AND b.typtype IN ('b', 'r', 'm'),
  CASE WHEN d.oid IS NOT NULL THEN format_type(b.oid, d.mod) ELSE '' END, b.typcollation <> 0,
  format('%I.%I', (SELECT n.nspname FROM pg_namespace n WHERE n.oid = o.pronamespace), o.proname),
  CASE WHEN s.oid IS NOT NULL AND NOT EXISTS (SELECT FROM pg_type e WHERE e.oid = b.typelem AND b.typcategory = 'A'
     AND e.typsend = 0) THEN format('pg_catalog.%I', s.proname) END,
  CASE WHEN d.oid IS NULL THEN a.atttypmod ELSE d.mod END,
  CASE WHEN a.atthasmissing THEN a.attmissingval::text END,
  CASE WHEN a.attgenerated = 'v' THEN pg_get_expr(f.adbin, f.adrelid) END
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f')
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema', '{SHADOWS}')
  AND n.nspname !~ '^pg_'
LEFT JOIN dom d ON d.oid = a.atttypid AND NOT EXISTS (SELECT FROM pg_type x WHERE x.oid = d.base AND x.typtype = 'd')
JOIN pg_type b ON b.oid = coalesce(d.base, a.atttypid)
JOIN pg_proc o ON o.oid = b.typoutput LEFT JOIN pg_proc s ON s.oid = b.typsend
LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum AND a.attgenerated = 'v'
WHERE a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attname COLLATE "C"
"""

# Everything that the text of a user type's value depends on: labels, attributes, ranges, output functions, versions.
_TYPES_DIGEST = """
SELECT md5(concat(
  (SELECT string_agg(concat_ws(' ', t.oid, t.typname, t.typnamespace, t.typtype, t.typoutput, t.typbasetype,
     t.typtypmod,
     t.typrelid, t.typelem), ';' ORDER BY t.oid) FROM pg_type t WHERE t.oid >= 16384 AND t.typtype <> 'c' AND
        t.typcategory <> 'A'),
  (SELECT string_agg(concat_ws(' ', e.oid, e.enumtypid, e.enumlabel), ';' ORDER BY e.oid) FROM pg_enum e),
  (SELECT string_agg(concat_ws(' ', a.attrelid, a.attnum, a.atttypid, a.atttypmod, a.attisdropped), ';'
     ORDER BY a.attrelid, a.attnum) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'c'),
  (SELECT string_agg(r.*::text, ';' ORDER BY r.rngtypid) FROM pg_range r WHERE r.rngtypid >= 16384),
  (SELECT string_agg(concat_ws(' ', p.oid, p.xmin), ';' ORDER BY p.oid) FROM pg_proc p WHERE p.oid >= 16384
     AND p.oid IN (SELECT typoutput FROM pg_type WHERE oid >= 16384))))
"""


def layouts(session: Session, hidden: frozenset[str]) -> list[Layout]:
    """Every table, bookkeeping left out, by name."""
    digest = str(session.rows(_TYPES_DIGEST, prepare=True)[0][0])
    images = session.images
    columns: dict[int, list[tuple[str | None, ...]]] = {}
    for row in session.rows(_COLUMNS, prepare=True):
        columns.setdefault(int(row[0]), []).append(row)
    found = []
    for row in session.rows(_TABLES, prepare=True):
        if not is_hidden(row[1], row[2], hidden):
            found.append(_layout(row, columns.get(int(row[0]), []), digest, images))
    return found


def _layout(row: tuple[str, ...], raw: list[tuple[str | None, ...]], digest: str, images: frozenset[str]) -> Layout:
    columns = tuple(_column(r, i, digest, images) for i, r in enumerate(raw))
    uniques = _uniques(row[8])
    foreign_types = any(r[5] != "t" or r[6] for r in raw)
    signature = repr([r[1:] for r in raw]) + (digest if foreign_types else "")
    return Layout(
        table=TableRef(row[1], row[2]),
        oid=int(row[0]),
        files=(int(row[4]), int(row[5])),
        logged=row[6] == "p",
        columns=columns,
        key=uniques[0] if uniques else (),
        uniques=tuple(frozenset(u) for u in uniques),
        signature=hashlib.sha256(signature.encode()).hexdigest(),
        bytes=int(row[7]),
        writes=int(row[9]),
        why_not=_WHY_NOT.get(row[10], ""),
        imaged=bool(images),
    )


_WHY_NOT = {
    "p": "rows are in its partitions",
    "f": "a foreign table's rows are stored elsewhere",
    "denied": "the server's user may not read it",
    "secured": "row-level security holds for the server's user too; a superuser would see all rows",
}


def _uniques(raw: str | None) -> list[tuple[str, ...]]:
    """Column sets that name a row, the primary key first, then the shortest."""
    found = []
    for primary, columns, name in json.loads(raw) if raw else ():
        if columns and all(not_null for _, not_null in columns):
            found.append((not primary, len(columns), name, tuple(column for column, _ in columns)))
    return [columns for *_, columns in sorted(found)]


def _column(row: tuple[str | None, ...], place: int, digest: str, images: frozenset[str]) -> Column:
    name, declared, base, builtin, cast = str(row[1]), str(row[3]), str(row[4]), row[5] == "t", row[6]
    collatable, output, send, typmod = row[7] == "t", str(row[8]), row[9], row[10]
    shown = _text("text", "")
    hashing: tuple[str, ...] = (FLAT if images else VALUE,)
    kept, exact = f'pg_catalog.textin({output}({VALUE})) COLLATE "C"', VALUE
    native = builtin and base not in _BY_NAME and send is not None
    if native and send is not None:
        kept = (f"({VALUE})::{cast}" if cast else VALUE) + (' COLLATE "C"' if collatable else "")
        exact = _exact(base, send, typmod, images)
        shown, hashing = _text(base, output), _hashing(base, exact, images)
    else:
        base = "text"
    stored = repr((row[2:], "" if builtin and not cast else digest))
    number, missing, computed = int(str(row[2])), row[11], row[12] is not None
    return Column(
        name, declared, base, f"c{place}", kept, exact, shown, hashing, number, stored, missing, computed, native
    )


def _hashing(base: str, exact: str, images: frozenset[str]) -> tuple[str, ...]:
    """hashint8extended, which serves times too, folds 64 bits into 32 (hashfunc.c): both halves are given."""
    if images:
        return (_bytes(base, exact, images),)
    if base == "int8":
        return VALUE, f"{VALUE} >> 32"
    return (f"pg_catalog.{base}_send({VALUE})",) if base in (*_TIMES, "timetz") else (VALUE,)


def _bytes(base: str, exact: str, images: frozenset[str]) -> str:
    """The form of what is exact that has the same bytes for the same value, however it is stored."""
    if base == "name":
        return f"({VALUE})::text"
    if base in _SIZED or base in ("float4", "float8"):
        return VALUE
    by_send = base not in _DIRECT and base not in images and "::text" not in exact
    return VALUE if by_send else FLAT


def _exact(base: str, send: str, typmod: str | None, images: frozenset[str]) -> str:
    if base in _DIRECT:
        return VALUE
    if base == "bpchar" and typmod != "-1":
        return f"({VALUE})::text"  # padded to its length: the blanks say nothing
    if base in images:
        return f"{_IMAGE}({VALUE})"
    return f"{send}({VALUE})"


def _text(base: str, output: str) -> str:
    return f'{VALUE} COLLATE "C"' if base == "text" else f'pg_catalog.textin({output}({VALUE})) COLLATE "C"'


def hash_row(expressions: Iterable[str], seed: int, *, imaged: bool) -> str:
    """A row's 64-bit hash; ``imaged``: by its bytes, which costs half of hashing each of its columns."""
    row = f"ROW({', '.join(expressions)})"
    if imaged:
        return f"{SHADOWS}.hash({SHADOWS}.body({row}, 9), ({seed}))"
    return f"pg_catalog.hash_record_extended({row}, ({seed}))"


def finished(h: str = "h") -> str:
    """A table's checksum from its rows' hashes: plain sums of them, which are linear, do not notice swapped values."""
    return f"sum({h} # pg_catalog.hashint8extended({h}, 0))"
