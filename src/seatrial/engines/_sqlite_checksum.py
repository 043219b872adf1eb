"""Checksums of SQLite tables: every stored value counts, with its storage class."""

from __future__ import annotations

import hashlib
import itertools
import marshal
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import methodcaller
from typing import Any

from seatrial.engines._sqlite_catalog import Table
from seatrial.engines._sqlite_forms import quoted
from seatrial.engines._sqlite_values import exactly

BLOCK = 512  # rowids whose rows are hashed as one
MODULUS = 1 << 128
MOST_ARGUMENTS = 120  # SQLITE_MAX_FUNCTION_ARG is 127 unless built otherwise
FORMAT = 2  # of marshal: the last one whose bytes depend on the value alone (later ones mark shared objects)
_DIGEST: Callable[[Any], bytes] = methodcaller("digest")


def readable(table: Table) -> list[str]:
    """The columns of a checksum, quoted, in name order: a rebuilt table may hold them in another."""
    return [quoted(c.name) for c in sorted(table.columns, key=lambda c: c.name) if c.hidden != 1]


def prepare(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that ``checksum`` uses."""
    connection.create_aggregate("seatrial_rows", -1, _Rows)  # type: ignore[arg-type]
    connection.create_aggregate("seatrial_block", -1, _Block)  # type: ignore[arg-type]


class _Rows:
    """Collects rows as bytes; a closure, since a method call a row would cost a tenth more."""

    __slots__ = ("parts", "step")

    def __init__(self) -> None:
        parts: list[bytes] = []
        append, dumps = parts.append, marshal.dumps

        def step(*row: Any) -> None:
            append(dumps(row, FORMAT))

        self.parts, self.step = parts, step

    def finalize(self) -> bytes:
        return _packed(row_sum(self.parts))


class _Block(_Rows):
    __slots__ = ()

    def finalize(self) -> bytes:
        return _packed(block_hash(self.parts))


Total = tuple[int, int]  # rows, sum


def row_sum(rows: Sequence[bytes]) -> Total:
    """The sum of rows' hashes, whatever their order. Never XOR: equal rows would cancel each other."""
    digests = map(_DIGEST, map(hashlib.sha256, rows))
    return len(rows), sum(map(_number, digests)) % MODULUS


def block_hash(rows: Sequence[bytes]) -> Total:
    """One hash of rows in the order of their rowid."""
    return len(rows), _number(hashlib.sha256(b"".join(rows)).digest()) if rows else 0


def _packed(total: Total) -> bytes:
    return total[0].to_bytes(8, "big") + total[1].to_bytes(16, "big")


def _unpacked(packed: bytes) -> Total:
    return int.from_bytes(packed[:8], "big"), int.from_bytes(packed[8:], "big")


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:16], "big")


def plus(one: Total, other: Total, sign: int = 1) -> Total:
    return one[0] + sign * other[0], (one[1] + sign * other[1]) % MODULUS


def checksum(connection: sqlite3.Connection, table: Table, blocks: Iterable[int] | None = None) -> Total:
    """Rows of a table and their sum, or those of some blocks of rowids; ``prepare`` the connection first."""
    if table.rowid is None:
        return exactly(connection, lambda: _by_cursor(connection, table))
    total = (0, 0)
    for block in _blocks(connection, table) if blocks is None else blocks:
        total = plus(total, _block(connection, table, block))
    return total


def sums(connection: sqlite3.Connection, table: Table, blocks: Iterable[int]) -> dict[int, Total]:
    """The sums of some blocks of rowids; ``prepare`` the connection first."""
    return {block: _block(connection, table, block) for block in blocks}


def few_blocks(connection: sqlite3.Connection, table: Table, most: int) -> list[int] | None:
    """The blocks that hold rows; None where they are more than ``most``, or the table has no rowids."""
    if table.rowid is None:
        return None
    found = list(itertools.islice(_blocks(connection, table), most + 1))
    return found if len(found) <= most else None


def added(totals: Iterable[Total]) -> Total:
    """Their sum."""
    total = (0, 0)
    for one in totals:
        total = plus(total, one)
    return total


def checksum_sql(table: Table) -> str:
    """The query of ``checksum``, for people."""
    function, what = ("seatrial_block", "SHA-256 of these rows together")
    if table.rowid is None or not table.alias:
        function, what = ("seatrial_rows", "the sum of these rows' SHA-256")
    said = f"-- {function}: {what}, every value with its type; the hashes of all blocks are summed\n"
    columns, name = ", ".join(readable(table)), f"main.{quoted(table.name)}"
    if table.rowid is None:
        return f"{said}SELECT {function}({columns}) FROM {name};"
    return f"{said}SELECT {function}({columns}) {_source(table)};".replace("? AND ?", f"0 AND {BLOCK - 1}")


def _source(table: Table) -> str:
    name = f"main.{quoted(table.name)}"
    return f"FROM {name} NOT INDEXED WHERE {table.rowid} BETWEEN ? AND ? ORDER BY {table.rowid}"


def _by_cursor(connection: sqlite3.Connection, table: Table) -> Total:
    cursor = connection.execute(f"SELECT {', '.join(readable(table))} FROM main.{quoted(table.name)}")
    total = (0, 0)
    while rows := cursor.fetchmany(BLOCK):
        total = plus(total, row_sum([marshal.dumps(row, FORMAT) for row in rows]))
    return total


def _block(connection: sqlite3.Connection, table: Table, block: int) -> Total:
    """Where the rowid is a column, it orders the rows, and a block is hashed as a whole; else every row by itself."""
    columns = ", ".join(readable(table))
    source = _source(table)
    bounds = (block * BLOCK, block * BLOCK + BLOCK - 1)
    if len(table.columns) <= MOST_ARGUMENTS:
        function = "seatrial_block" if table.alias else "seatrial_rows"
        try:
            packed = connection.execute(f"SELECT {function}({columns}) {source}", bounds).fetchone()[0]
        except (sqlite3.OperationalError, UnicodeDecodeError, SystemError) as error:
            # Functions are given nothing but str: a text that is no UTF-8 ends in any of these, depending on
            # which row of the block holds it (CPython 3.11 leaves the exception set and goes on)
            if isinstance(error, sqlite3.OperationalError) and "user-defined" not in str(error):
                raise
        else:
            return _unpacked(packed) if packed else (0, 0)
    fetch = connection.execute
    rows = exactly(connection, lambda: fetch(f"SELECT {columns} {source}", bounds).fetchall())
    return (block_hash if table.alias else row_sum)([marshal.dumps(row, FORMAT) for row in rows])


def _blocks(connection: sqlite3.Connection, table: Table) -> Iterator[int]:
    """Blocks that hold rows."""
    name, rowid = f"main.{quoted(table.name)}", table.rowid
    following = f"SELECT min({rowid}) FROM {name} WHERE {rowid} >= ?"
    last: int | None = connection.execute(f"SELECT max({rowid}) FROM {name}").fetchone()[0]
    block = -(1 << 63) // BLOCK
    while last is not None and block <= last // BLOCK:
        block = connection.execute(following, (block * BLOCK,)).fetchone()[0] // BLOCK
        yield block
        block += 1


def hexed(total: Total) -> str:
    """A checksum as it is shown: of all rows, and their number."""
    return hashlib.sha256(_packed(total)).hexdigest()[:32]
