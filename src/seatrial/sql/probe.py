"""The query that finds rows which a backfill meant to reach and which do not hold its values."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from seatrial.sql.fills import Backfill, Item

Quote = Callable[[str], str]

# No operator =, or one that takes different values for equal.
_PG_AS_TEXT = re.compile(
    r"json$|json\[|xml|point|line|lseg|box|path|polygon|circle|citext|txid_snapshot", re.IGNORECASE
)
_PG_TEXT = re.compile(r"text$|character|varchar|bpchar|name$", re.IGNORECASE)
_SQLITE_REAL = re.compile(r"REAL|FLOA|DOUB", re.IGNORECASE)
_SQLITE_OTHER = re.compile(r"INT|CHAR|CLOB|TEXT|BLOB", re.IGNORECASE)  # go before REAL
_MYSQL_TYPE = re.compile(r"\s*(\w+)\s*(\([^)]*\))?", re.DOTALL)
_MYSQL_MEMBER = re.compile(r"'(?:[^']|'')*'")
_MYSQL_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "integer", "bigint", "bool", "boolean")
_MYSQL_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32, "bigint": 64}
_MYSQL_TEXTS = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "nchar", "nvarchar")
_MYSQL_BYTES = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")


def probe_sql(
    backfill: Backfill,
    key_columns: Sequence[str],
    quote: Quote,
    columns: Mapping[str, str] | None = None,
    required: Collection[str] = (),
) -> str:
    """A SELECT of the keys of the rows that were missed.

    ``columns``: name -> declared type at the end of the step; ``required``: those that cannot hold NULL.
    """
    alias = quote(backfill.alias)
    keys = ", ".join(f"{alias}.{quote(k)}" for k in key_columns)
    same = " AND ".join(_same(i, alias, quote, columns or {}, required, backfill.dialect) for i in backfill.items)
    where = " OR ".join(f"({c})" for c in backfill.conditions)
    prefix = f"{backfill.prefix} " if backfill.prefix else ""
    tables = f"{backfill.target}, {backfill.sources}" if backfill.sources else backfill.target
    if not backfill.joined:
        missed = f"({where}) AND NOT ({same})" if where else f"NOT ({same})"
        return f"{prefix}SELECT {keys} FROM {tables} WHERE {missed}"
    # Of several matching source rows any will do.
    reached = f" WHERE {where}" if where else ""
    having = f"MAX(CASE WHEN {same} THEN 1 ELSE 0 END) = 0"
    return f"{prefix}SELECT {keys} FROM {tables}{reached} GROUP BY {keys} HAVING {having}"


def _same(
    item: Item, alias: str, quote: Quote, columns: Mapping[str, str], required: Collection[str], dialect: str
) -> str:
    names = [f"{alias}.{quote(c)}" for c in item.columns]
    if len(names) > 1:
        return _same_row(names, item.value)
    value = f"({item.value})"
    if item.nulls_only:
        return f"({names[0]} IS NULL) = ({value} IS NULL)"
    same = _COMPARES[dialect](names[0], value, columns.get(item.columns[0], ""))
    if dialect in ("mysql", "mariadb") and item.columns[0] in required:
        return f"({same} OR {value} IS NULL)"  # stored as '' or 0 where the session is not strict
    return same


def _same_row(names: list[str], value: str) -> str:
    """``(a, b) = (SELECT ...)``: without a row of the sub-select, all are NULL."""
    listed = ", ".join(names)
    query = value.strip()
    if not re.match(r"\(\s*(SELECT|WITH|VALUES)\b", query, re.IGNORECASE):
        inner = re.sub(r"^ROW\s*", "", query, flags=re.IGNORECASE)
        return f"EXISTS (SELECT {listed} INTERSECT SELECT {inner[1:-1]})"
    nothing = " AND ".join(f"{n} IS NULL" for n in names)
    return f"(EXISTS (SELECT {listed} INTERSECT {query[1:-1]}) OR (NOT EXISTS {query} AND {nothing}))"


def _sqlite(name: str, value: str, kind: str) -> str:
    """IS applies the column's affinity to the value, as the assignment did (manual, Datatypes, 4.2).

    But for REAL: a large whole number loses digits when it is stored, and is compared with all of them.
    """
    same = f"{name} COLLATE BINARY IS {value}"
    if _SQLITE_REAL.search(kind) and not _SQLITE_OTHER.search(kind):
        return f"({same} OR (typeof({name}) = 'real' AND {name} IS CAST({value} AS REAL)))"
    return same


def _postgresql(name: str, value: str, kind: str) -> str:
    cast = f"CAST({value} AS {kind})" if kind else value
    if _PG_AS_TEXT.match(kind):
        return f"{name}::text IS NOT DISTINCT FROM {cast}::text"
    if _PG_TEXT.match(kind) and not kind.endswith("]"):
        return f'{name} COLLATE "C" IS NOT DISTINCT FROM {cast} COLLATE "C"'
    return f"{name} IS NOT DISTINCT FROM {cast}"


def _mysql(name: str, value: str, kind: str) -> str:
    found = _MYSQL_TYPE.match(kind)
    word, size = (found[1].lower(), found[2] or "") if found else ("", "")
    if word in ("enum", "set"):
        return _member(name, value, kind)
    if word in _MYSQL_TEXTS:
        length = size if word in ("char", "varchar", "nchar", "nvarchar") else ""
        text = f"CAST({value} AS CHAR{length})"
        if word in ("char", "nchar"):
            text = f"TRIM(TRAILING ' ' FROM {text})"  # a CHAR is read without blanks at its end (manual, 13.3.2)
        return f"{_bytes(name)} <=> {_bytes(text)}"
    if word == "year":
        return f"{name} <=> {_year(name, f'CAST({value} AS DECIMAL(65,0))')}"
    if word in _MYSQL_INTEGERS:
        return f"{name} <=> {_clamped(f'CAST({value} AS DECIMAL(65,0))', word, kind)}"  # rounds; AS SIGNED cuts
    if word == "date":  # a fraction of a second is rounded first: the next day, perhaps (manual, 13.2.8)
        return f"({_moment(name, value, f'CAST({value} AS DATE)')} OR {name} <=> DATE(CAST({value} AS DATETIME)))"
    if word in ("datetime", "timestamp"):
        return _moment(name, value, f"CAST({value} AS {word.upper().replace('TIMESTAMP', 'DATETIME')}{size})")
    if word in ("decimal", "numeric", "time"):
        return f"{name} <=> CAST({value} AS {word.upper().replace('NUMERIC', 'DECIMAL')}{size})"
    if word in ("double", "float"):
        return f"{name} <=> CAST({value} AS {word.upper()})"
    if word in _MYSQL_BYTES:
        return f"{name} <=> CAST({value} AS BINARY{size if word == 'binary' else ''})"
    if word == "json":
        return f"CAST({name} AS CHAR) <=> CAST(CAST({value} AS JSON) AS CHAR)"
    return f"{name} <=> {value}"


def _moment(name: str, value: str, cast: str) -> str:
    """A lax session stores what is no date of the calendar as the zero date; our own cast gives something else."""
    return f"({name} <=> {cast} OR ({name} = 0 AND {value} IS NOT NULL AND {cast} + INTERVAL 0 DAY IS NULL))"


def _year(name: str, number: str) -> str:
    """The year that a number of two digits means (manual, 13.2.9); '0' is 2000, 0 and what is out of range 0000."""
    two = f"WHEN {number} BETWEEN 1 AND 69 THEN 2000 + {number} WHEN {number} BETWEEN 70 AND 99 THEN 1900 + {number}"
    whole = f"WHEN {number} BETWEEN 1901 AND 2155 THEN {number}"
    none = f"WHEN {number} = 0 AND {name} = 2000 THEN 2000 WHEN {number} IS NOT NULL THEN 0"
    return f"CASE {two} {whole} {none} END"


def _member(name: str, value: str, kind: str) -> str:
    """A member by its number or its text, whose case is the declaration's; a SET's in the declaration's order."""
    number = f"{name} + 0 <=> {value}"
    if value.strip("( )").isdigit():
        return number
    folded = [f"CONVERT({part} USING utf8mb4) COLLATE utf8mb4_general_ci" for part in (name, value)]
    same = f"{folded[0]} <=> {folded[1]} OR ({number} AND {value} + 0 > 0)"
    if kind.lower().startswith("enum"):
        return f"({same} OR ({name} + 0 = 0 AND {value} NOT IN {kind[4:]}))"
    members = (f"(FIND_IN_SET({m}, {name}) > 0) = (FIND_IN_SET({m}, {value}) > 0)" for m in _MYSQL_MEMBER.findall(kind))
    return f"({same} OR ({name} IS NOT NULL AND {value} IS NOT NULL AND {' AND '.join(members)}))"


def _clamped(value: str, word: str, kind: str) -> str:
    """Within the type's bounds, as a session that is not strict stores it; a strict one has refused it."""
    bits = _MYSQL_BITS.get(word)
    if bits is None:
        return value
    unsigned = "unsigned" in kind.lower()
    lowest, highest = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return f"LEAST(GREATEST({value}, {lowest}), {highest})"


def _bytes(text: str) -> str:
    """A text's bytes: comparison under a collation takes 'a' and 'A' for equal."""
    return f"CAST(CONVERT({text} USING utf8mb4) AS BINARY)"


_COMPARES = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mysql, "mariadb": _mysql}
