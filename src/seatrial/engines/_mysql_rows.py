"""The rows of moments: copies in a database beside the trial's."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from seatrial.engines._mysql_columns import Column, as_bytes, as_text, packed
from seatrial.engines._mysql_dialect import Dialect
from seatrial.engines._mysql_link import Link, TextRow, quote
from seatrial.engines._mysql_tablespace import Tablespaces
from seatrial.errors import DatabaseError
from seatrial.model import Row, TableRef


@dataclass(frozen=True, slots=True)
class Copy:
    """One table's rows at one moment, as they were stored.

    A hashed copy has columns ``c0``, ``c1`` ..., ``h``, the hash of the row, and, unless it is one integer, ``KEY``, a
    digest of the key. A ``plain`` one has the table's own columns and nothing beside them; a ``twin``, a copy of the
    table's file, is plain, and has its indexes.
    """

    name: str  # quoted, with its database
    table: TableRef
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    rows: int
    checksum: str
    digest: str = ""  # 60 bits of every row's hash, summed; empty: not made, only the rows themselves tell
    plain: bool = False
    twin: str = ""  # the raw name of a twin
    server_sum: str = ""  # the server's own 32 bits, where the checksum is made of them
    history: Copy | None = None  # the old versions of the rows, of a table with system versioning

    @property
    def names(self) -> tuple[str, ...]:
        """The tables that it is made of."""
        return (self.name, *(self.history.names if self.history else ()))

    def is_of(self, columns: Sequence[Column], key: tuple[str, ...], also: Collection[str] = ()) -> bool:
        """Whether a table of these columns and this key would be copied in the same form."""
        return self.columns == _copied(columns, key, also) and self.key == key

    def at(self, column: str, alias: str) -> str:
        """The stored value of a column."""
        return f"{alias}.{self._field(column)}"

    def text(self, column: str, alias: str) -> str:
        return as_text(self.column(column), self.at(column, alias))

    def column(self, name: str) -> Column:
        return self.columns[self._place(name)]

    def fields(self, alias: str) -> str:
        """All stored values, under their own names."""
        return ", ".join(f"{alias}.{self._field(c.name)}" for c in self.columns)

    def _field(self, column: str) -> str:
        return quote(column) if self.plain else f"c{self._place(column)}"

    def _place(self, column: str) -> int:
        return next(i for i, c in enumerate(self.columns) if c.name == column)

    @property
    def stored_as(self) -> frozenset[tuple[str, str, str | None]]:
        """What the row's hash is over."""
        return frozenset(c.stored_as for c in self.columns if not c.generated)


def _copied(columns: Sequence[Column], key: tuple[str, ...], also: Collection[str] = ()) -> tuple[Column, ...]:
    """Generated columns follow from the others; they are only kept where they are the key, or asked for."""
    return tuple(c for c in columns if not c.generated or c.name in key or c.name in also)


def _bare(stored: Sequence[Column]) -> str:
    """Columns of a copy to be declared, in parentheses.

    CREATE TABLE ... SELECT takes a default along, which names what is called otherwise there (measured, MySQL 9.7). And
    a row of nearly 65,535 bytes, the most that there is, has no room for its hash (manual, 8.4.7).
    """
    full = sum(c.width for c in stored) > _ROOMY
    apart = {c.name for c in stored if full and c.width > _APART}
    found = [(i, c) for i, c in enumerate(stored) if c.computed or c.name in apart]
    return f"({', '.join(f'c{i} {c.declared(apart=c.name in apart)}' for i, c in found)})" if found else ""


def _digest(columns: Sequence[Column], values: Sequence[str]) -> str:
    """SQL of a key of any types as 32 bytes, equal where the exact texts are."""
    parts = (
        f"IFNULL(CONCAT(LENGTH({t}), ':', {t}), 'N')"
        for c, v in zip(columns, values, strict=True)
        for t in [as_bytes(c, v)]
    )
    return f"UNHEX(SHA2(CONCAT({', '.join(parts)}), 256))"


def is_number(columns: Sequence[Column]) -> bool:
    return len(columns) == 1 and columns[0].is_integer


class Shadows:
    """Makes copies and compares them. ``space`` is the database that holds them."""

    def __init__(self, link: Link, space: str, dialect: Dialect, files: Tablespaces) -> None:
        self.link, self._space, self._dialect, self._files = link, space, dialect, files
        self._made = 0
        self._keyed: bool | None = None  # whether tables need a primary key here; None: not asked yet
        self._refused = False  # the storage engine of copies
        self._logged = False  # whether copies would stand in a binary log, row by row, and need not
        self._holding: dict[str, int] = {}  # how many different rows had a sum of the server's
        self._same: dict[str, str] = {}  # copy -> the first one with the very same rows
        self._summed_by_server: dict[TableRef, bool] = {}  # large when it was first copied: no hash of its rows is made

    def copy(
        self,
        table: TableRef,
        columns: Sequence[Column],
        key: tuple[str, ...],
        period: Sequence[Column] = (),
        also: Collection[str] = (),
    ) -> Copy:
        """Copy a table's rows as they are now; ``period``: the two columns that time the versions of a row; ``also``:
        generated columns whose values are asked for."""
        copy = self._copy(table, columns, _copied(columns, key, also), key)
        return replace(copy, history=self._history(table, copy.columns, key, period)) if period else copy

    def _history(
        self, table: TableRef, copied: Sequence[Column], key: tuple[str, ...], period: Sequence[Column]
    ) -> Copy:
        """The versions that have ended: a key has one of them at most that ended at the same time."""
        stored = (*(c for c in copied if c.name not in {p.name for p in period}), *period)
        whole = (*key, period[1].name) if key else ()
        name = self._new("v")
        source = f"{quote(table.name)} FOR SYSTEM_TIME ALL WHERE {quote(period[1].name)} < {period[1].ends}"
        self._make(name, self._copying(source, stored, whole), _bare(stored))
        rows, digest = self._summed_copy(name)
        return Copy(name, table, stored, whole, rows, digest, digest)

    def _copy(
        self, table: TableRef, columns: Sequence[Column], stored: tuple[Column, ...], key: tuple[str, ...]
    ) -> Copy:
        self._made += 1
        twin = f"t{self._made}"
        if self._files.copied(table.name, twin):
            self._summed_by_server.setdefault(table, True)
            rows, digest, server_sum = self._sums(table, columns)
            name = f"{quote(self._space)}.{twin}"
            return Copy(name, table, stored, key, rows, digest or server_sum, digest, True, twin, server_sum)
        name = self._new("r")
        if self._is_plain(table):
            return self._plain(name, table, stored, key)
        self._make(name, self._copying(quote(table.name), stored, key), _bare(stored))
        rows, digest = self._summed_copy(name)
        server_sum = self._server_sum(quote(table.name), _READ) if self._summed_by_server[table] else ""
        return Copy(name, table, stored, key, rows, server_sum or digest, digest, server_sum=server_sum)

    def _is_plain(self, table: TableRef) -> bool:
        """Whether rows are copied as they are: hashing them costs more than the rest, and is for what cannot be proven.

        Decided when a table is copied first, for the checksums of its moments are compared.
        """
        if table not in self._summed_by_server:
            large = self._files.is_large_elsewhere(table.name)
            self._summed_by_server[table] = large and self._takes_plain_tables()
        return self._summed_by_server[table] and self._files.folder is None

    def _plain(self, name: str, table: TableRef, stored: tuple[Column, ...], key: tuple[str, ...]) -> Copy:
        fields = ", ".join(quote(c.name) for c in stored)
        self._make(name, _PLAIN.format(fields=fields, table=quote(table.name)), options=_COUNTED)
        rows = int(self.link.value(f"SELECT COUNT(*) FROM {name}") or 0)
        server_sum = self._server_sum(name)
        return Copy(name, table, stored, key, rows, server_sum, plain=True, server_sum=server_sum)

    def _sums(self, table: TableRef, columns: Sequence[Column]) -> tuple[int, str, str]:
        """How many rows, the sum of their hashes, or else the server's own."""
        if not self._summed_by_server[table]:
            return *self._summed(self._hashing(table, columns)), ""
        return (
            int(self.link.value(f"SELECT COUNT(*) FROM {quote(table.name)}") or 0),
            "",
            self._server_sum(quote(table.name), _READ),
        )

    def _server_sum(self, name: str, how: str = "") -> str:
        """32 bits a table: enough to show, too little to take two tables for equal (see ``told_apart``)."""
        return f"{int(self.link.rows(_CHECKSUM.format(table=name, how=how))[0][1] or 0):08x}"

    def numbered(self, copy: Copy) -> str:
        """The server's sum as a checksum of rows that no other copy holds: from the second on with a number."""
        count = self._holding[copy.server_sum] = self._holding.get(copy.server_sum, 0) + 1
        return copy.server_sum + (f"-{count}" if count > 1 else "")

    def are_same(self, old: Copy, new: Copy) -> bool:
        """Whether two copies of one form are known to hold the same rows."""
        known = bool(old.digest) and (old.rows, old.digest) == (new.rows, new.digest)
        return known or self._same.get(old.name, old.name) == self._same.get(new.name, new.name)

    def note_same(self, old: Copy, new: Copy) -> None:
        """Copies that were compared, row by row."""
        self._same[new.name] = self._same.get(old.name, old.name)

    def drop(self, name: str) -> None:
        with self._unlogged():
            self.link.execute(f"DROP TABLE IF EXISTS {name}")
        self._files.forget(name.rpartition(".")[2])

    def strike(self, name: str, found: str) -> None:
        """Take the rows out of a scratch table whose ``KEY`` stands in another."""
        with self._unlogged():
            self.link.execute(f"DELETE FROM {name} WHERE {KEY} IN (SELECT {KEY} FROM {found})")

    def realise(self, *copies: Copy) -> None:
        """Before they are read."""
        for copy in copies:
            self._files.realise(copy.twin)

    def hashed(self, table: TableRef, columns: Sequence[Column]) -> tuple[int, str]:
        """How many rows stand in a table now, and the digest that a copy of them would have."""
        return self._summed(self._hashing(table, columns))

    def checksum_sql(self, table: TableRef, columns: Sequence[Column]) -> str:
        """The query behind a checksum, as it is run."""
        if self._summed_by_server.get(table):
            return self._summing(table, columns)
        return self._hashing(table, columns)

    def _summing(self, table: TableRef, columns: Sequence[Column]) -> str:
        if self._files.folder is not None:
            return _CHECKSUM.format(table=quote(table.name), how=_READ)
        copied = _PLAIN.format(fields=", ".join(quote(c.name) for c in columns), table=quote(table.name))
        return f"{self._creating('copied', options=_COUNTED)} AS {copied}; {_CHECKSUM.format(table='copied', how='')}"

    def _hashing(self, table: TableRef, columns: Sequence[Column]) -> str:
        plain = [c for c in columns if not c.generated]
        digest = f"SHA2({packed(plain, [quote(c.name) for c in plain])}, 256)"
        return f"SELECT COUNT(*), {_SUM.format(hex=digest)} FROM {quote(table.name)}"

    def _copying(self, source: str, stored: Sequence[Column], key: tuple[str, ...]) -> str:
        fields = [f"{quote(c.name)} AS c{i}" for i, c in enumerate(stored)]
        keyed = [c for k in key for c in stored if c.name == k]
        if keyed and not is_number(keyed):
            fields.append(f"{_digest(keyed, [quote(c.name) for c in keyed])} AS {KEY}")
        fields.append(f"{self._hash([c for c in stored if not c.generated])} AS h")
        return f"SELECT {', '.join(fields)} FROM {source}"

    def _hash(self, columns: Sequence[Column]) -> str:
        return f"UNHEX(SHA2({packed(columns, [quote(c.name) for c in columns])}, 256))"

    def _summed_copy(self, name: str) -> tuple[int, str]:
        found = self.link.rows(f"SELECT COUNT(*), {_SUM.format(hex='HEX(h)')}, COUNT(h) FROM {name}")[0]
        if found[0] != found[2]:  # nothing would tell the others from one another
            raise DatabaseError(f"{found[2]} of {found[0]} rows could be hashed: max_allowed_packet is too small")
        return _told(found)

    def _summed(self, query: str) -> tuple[int, str]:
        return _told(self.link.rows(query)[0])

    def _new(self, prefix: str) -> str:
        self._made += 1
        return f"{quote(self._space)}.{prefix}{self._made}"

    def rows(self, copy: Copy, source: str, names: Sequence[str], key: Sequence[str], limit: int) -> tuple[Row, ...]:
        """Rows of a copy (``r`` in ``source``) as text, in key order."""
        texts = [copy.text(n, "r") for n in (*key, *names)]
        order = [copy.at(n, "r") for n in key] + [copy.text(n, "r") for n in (key or names)]
        found = self.link.rows(f"SELECT {', '.join(texts)} FROM {source} ORDER BY {', '.join(order)} LIMIT {limit}")
        return tuple(_row(f, len(key)) for f in found)

    def materialised(self, copy: Copy, key: Sequence[str]) -> str:
        """A copy with ``KEY`` over any columns; repeated keys are told apart by a number."""
        digest = _digest([copy.column(k) for k in key], [copy.at(k, "r") for k in key])
        number = f"ROW_NUMBER() OVER (PARTITION BY {digest} ORDER BY {copy.at(copy.columns[0].name, 'r')})"
        return self.scratch(
            f"SELECT {copy.fields('r')}{'' if copy.plain else ', r.h'},"
            f" UNHEX(SHA2(CONCAT(HEX({digest}), ' ', {number}), 256)) AS {KEY} FROM {copy.name} r"
        )

    def scratch(self, query: str, declared: str = "") -> str:
        """A new table of a query's rows; ``declared`` gives columns another type than the query's."""
        name = self._new("w")
        self._make(name, query, declared)
        return name

    def _make(self, name: str, query: str, declared: str = "", options: str = "") -> None:
        with self._unlogged():
            try:
                self._fill(name, query, declared, options)
            except DatabaseError as error:
                if error.code not in _NOT_BY_THIS_ENGINE:
                    raise
                self._fill(name, query, declared, options, "InnoDB")

    def _fill(self, name: str, query: str, declared: str, options: str, anew: str = "") -> None:
        statement = f"{self._creating(name, declared, anew, options)} AS {query}"
        try:
            self.link.execute(statement)
        except DatabaseError as error:
            if error.code != _BROKEN_TEXT:
                raise
            self._make_laxly(statement)

    def _make_laxly(self, statement: str) -> None:
        """Of text that breaks off within a character what is whole is taken: a strict session refuses to join it."""
        self.link.execute("SET @seatrial_mode = @@sql_mode, sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'")
        try:
            self.link.execute(statement)
        finally:
            self.link.execute("SET sql_mode = @seatrial_mode")

    @contextlib.contextmanager
    def _unlogged(self) -> Iterator[None]:
        """A binary log of rows (MySQL's default) would hold every copy once more, and no replica needs them.

        Everything that is done to copies is left out, and only there: what is written to the trial's own tables is
        logged by its rows, which stand in no need of the copies that they came from.
        """
        self._ask_limits()
        if not self._logged:
            yield
            return
        self.link.execute(_LOG.format(value=0))
        try:
            yield
        finally:
            self.link.execute(_LOG.format(value=1))

    def _may_not_log(self) -> bool:
        try:
            self.link.execute(_LOG.format(value=1))
        except DatabaseError:  # SESSION_VARIABLES_ADMIN is needed
            return False
        return True

    def _takes_plain_tables(self) -> bool:
        """Whether copies may be of the engine that counts their checksum as it writes, and without a key of ours."""
        self._ask_limits()
        return not (self._keyed or self._refused)

    def _ask_limits(self) -> None:
        if self._keyed is None:
            found = {str(n): str(v) for n, v in self.link.rows(_LIMITS)}
            engines = found.get("disabled_storage_engines", ""), found.get("enforce_storage_engine", "")
            self._keyed = found.get("sql_require_primary_key") == "ON"
            rows_logged = (
                found.get("sql_log_bin") == found.get("log_bin") == "ON" and found.get("binlog_format") == "ROW"
            )
            self._logged = rows_logged and self._may_not_log()
            self._refused = self._dialect.mode_of_copies.lower() in engines[0].lower() or bool(engines[1])

    def _creating(self, name: str, declared: str = "", anew: str = "", options: str = "") -> str:
        """CREATE TABLE of a copy, in the form that this server allows; ``declared``: columns, in parentheses."""
        self._ask_limits()
        if self._keyed:
            declared = f"({_NUMBER}, {declared[1:]}" if declared else f"({_NUMBER})"
        # On a full disk MyISAM waits until somebody makes room (manual, B.3.4.3); InnoDB refuses the rows.
        other = self._refused or self._files.is_short_of_room()
        engine = anew or ("InnoDB" if other else self._dialect.mode_of_copies)
        return f"CREATE TABLE {name} {declared} ENGINE={engine}{options}"


_ROOMY, _APART = 60_000, 255
_LIMITS = (
    "SHOW VARIABLES WHERE Variable_name IN"
    " ('disabled_storage_engines', 'enforce_storage_engine', 'sql_require_primary_key',"
    " 'log_bin', 'sql_log_bin', 'binlog_format')"
)
_LOG = "SET SESSION sql_log_bin = {value}"
_NOT_BY_THIS_ENGINE = ("1178", "1786")
"""MyISAM takes no column with a geographic SRID, and no CREATE TABLE ... SELECT of it can be logged where global
transaction ids are on, MySQL's default (Error Message Reference)."""
_BROKEN_TEXT = "1366"  # MySQL cuts text at a number of bytes where a lax ALTER makes it too short (measured, 9.7)
_NUMBER = "seatrial_n BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY"
"""The key of our copies where the server takes no table without one."""
_CHECKSUM = "CHECKSUM TABLE {table}{how}"
_READ = " EXTENDED"
"""A third of what hashing every row costs (manual, 15.7.3.3)."""
_PLAIN = "SELECT {fields} FROM {table}"
_COUNTED = " CHECKSUM=1"
"""MyISAM then adds up the checksum as it writes the rows: a tenth of what reading them for it costs."""
KEY = "seatrial_k"
"""The column with a digest of the key, beside columns of any names."""
_SUM = "SUM(CAST(CONV(LEFT({hex}, 15), 16, 10) AS UNSIGNED))"
"""The sum of 60 bits of every row's hash: order does not matter, repeated rows count, and nothing cancels.

The hash stands in it once: a derived table is merged, and every mention of it would be computed again.
"""


def _told(found: TextRow) -> tuple[int, str]:
    low = int(found[1] or 0) % (1 << 64)  # as telling as the whole sum, whose upper digits are zeros for few rows
    return int(found[0] or 0), f"{low:016x}"


def _row(found: TextRow, keys: int) -> Row:
    return Row(key=found[:keys] if keys else found, values=found[keys:])
