"""How the rows of a SQLite table differ between two moments. Exact to the stored byte.

SQLite's own comparisons are not exact: ``IS NOT`` takes 1 and 1.0 for equal, follows the column's collation, and
``-0.0 IS 0.0``, and both print alike. So storage classes are compared too, text as BINARY, and zeros by their sign.
"""

from __future__ import annotations

import hashlib
import heapq
import marshal
import math
import sqlite3
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from seatrial.engines._sqlite_catalog import ROWID, Column, Table
from seatrial.engines._sqlite_checksum import FORMAT
from seatrial.engines._sqlite_forms import quoted
from seatrial.engines._sqlite_values import apart, as_texts, exactly
from seatrial.model import ChangedRow, ChangeGroup, Row, TableDiff, TablePair, TableRef

SIGN = "seatrial_sign"
"""Our SQL function: -1.0 of -0.0, 1.0 of 0.0."""


class Comparison:
    """One table's rows in the attached databases ``old`` and ``new``.

    ``narrow``: rowids outside of which the rows of both sides are the same (see Delta.rowids).
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        pair: TablePair,
        old: Table | None,
        new: Table | None,
        limit: int,
        narrow: tuple[frozenset[int], frozenset[int]] | None = None,
    ) -> None:
        if old is not None and old.virtual:
            pair = replace(pair, columns=tuple(p for p in pair.columns if not _is_hidden(old, p[0])))
        self.connection, self.pair, self.limit = connection, pair, limit
        connection.create_function(SIGN, 1, lambda zero: math.copysign(1, zero), deterministic=True)
        self.old, self.new = old, new
        self.columns = tuple(o for o, _ in pair.columns)
        self.narrow = narrow
        self._by_rowid = all(side is None or side.is_by_rowid for side in (old, new))
        if narrow is not None:
            self._remember("near_old", narrow[0])
            self._remember("near_new", narrow[1])

    def _remember(self, name: str, rowids: frozenset[int]) -> None:
        self.connection.execute(f"DROP TABLE IF EXISTS temp.{name}")
        self.connection.execute(f"CREATE TEMP TABLE {name} (id INTEGER PRIMARY KEY)")
        self.connection.executemany(f"INSERT INTO temp.{name} VALUES (?)", ((r,) for r in rowids))

    def run(self) -> TableDiff:
        """How the rows differ."""
        if self.old is None or self.new is None:
            return self._one_sided()
        if self._by_rowid:
            return self._full_text()
        if self._is_key():
            return self._keyed()
        return exactly(self.connection, self._unkeyed)

    def _full_text(self) -> TableDiff:
        """By rowid, unless every row is there under whatever rowid: who copies them need not keep it."""
        return self._keyed() if exactly(self.connection, self._unkeyed) else self._diff()

    # --- names and sources ---

    def _found(self, table: Table, name: str) -> Column:
        column = table.column(name)
        assert column is not None, f"{table.name} has no column {name}"
        return column

    def _mapped(self, name: str) -> str | None:
        """A column's name on the newer side."""
        return dict(self.pair.columns).get(name, ROWID if self._by_rowid and name == ROWID else None)

    def _table(self, side: str) -> Table:
        table = self.old if side == "old" else self.new
        assert table is not None
        return table

    def _from(self, side: str) -> str:
        return f"{side}.{quoted(self._table(side).name)} AS {side[0]}"

    def _near(self, side: str) -> str:
        """A condition on a side's rows: those that may differ."""
        if self.narrow is None:
            return "1"
        return f"{side[0]}.{self._table(side).rowid} IN (SELECT id FROM temp.near_{side})"

    def _source(self, side: str, *, near: bool = True) -> str:
        """A side's rows, to go behind FROM; more conditions may follow."""
        return f"{self._from(side)} WHERE {self._near(side) if near else '1'}"

    def _diff(self, **facts: Any) -> TableDiff:
        new = TableRef("", self.new.name) if self.new is not None else None
        return TableDiff(
            table=self.pair.old,
            new_table=new,
            key=() if self.pair.key == (ROWID,) and not self._keeps_rowid() else self.pair.key,
            columns=self.columns,
            missing_columns=tuple(o for o, n in self.pair.columns if n is None) if self.new is not None else (),
            **facts,
        )

    def _keeps_rowid(self) -> bool:
        """Whether the key that full text goes by is one on both sides."""
        return self._by_rowid or ROWID in self.columns

    # --- a table that one side does not have ---

    def _one_sided(self) -> TableDiff:
        if self.old is None and self.new is None:
            return self._diff()
        side, kind = ("old", "lost") if self.old is not None else ("new", "added")
        count = self.connection.execute(f"SELECT count(*) FROM {self._source(side, near=False)}").fetchone()[0]
        rows = exactly(self.connection, lambda: self._rows(side, self._source(side, near=False)))
        return self._diff(**{f"{kind}_count": count, kind: rows})

    def _side_columns(self, side: str, names: Sequence[str]) -> list[str]:
        """Columns, by their old names, as expressions of a side; NULL where it does not have one."""
        if side == "old" or self.old is None:
            return [f"{side[0]}.{quoted(n)}" for n in names]
        return [f"n.{quoted(m)}" if (m := self._mapped(n)) is not None else "NULL" for n in names]

    def _rows(self, side: str, source: str) -> tuple[Row, ...]:
        """The first rows of a source, in key order."""
        key = self._side_columns(side, self.pair.key or self.columns)
        values = self._side_columns(side, self.columns)
        order = ", ".join(f"{k} COLLATE BINARY" for k in key) or "1"
        sql = f"SELECT {', '.join(key + values)} FROM {source} ORDER BY {order} LIMIT {self.limit}"
        found = []
        for row in self.connection.execute(sql):
            found.append(Row(key=as_texts(row[: len(key)]), values=as_texts(row[len(key) :])))
        return tuple(found)

    # --- by key ---

    def _is_key(self) -> bool:
        """Whether the key names one row at most on either side: nobody promises that for the newer one."""
        key = self.pair.key
        mapped = [self._mapped(k) for k in key]
        if not key or None in mapped:
            return False
        return self._names_rows("old", key) and self._names_rows("new", [m for m in mapped if m is not None])

    def _names_rows(self, side: str, key: Sequence[str]) -> bool:
        table = self._table(side)
        wanted = {k.lower() for k in key}
        if any({c.lower() for c in k} == wanted for k in table.unique_keys):
            nullable = [c for k in key if (c := self._found(table, k)).nullable]
            if not nullable:
                return True
            empty = " OR ".join(f"{side[0]}.{quoted(c.name)} IS NULL" for c in nullable)
            return not self._any(f"SELECT 1 FROM {self._source(side)} AND ({empty})")
        parts = ", ".join(
            p for k in key for p in (f"{side[0]}.{quoted(k)} COLLATE BINARY", f"typeof({side[0]}.{quoted(k)})")
        )
        return not self._any(f"SELECT 1 FROM {self._source(side, near=False)} GROUP BY {parts} HAVING count(*) > 1")

    def _any(self, sql: str) -> bool:
        return self.connection.execute(f"{sql} LIMIT 1").fetchone() is not None

    def _match(self) -> str:
        """The same key on both sides. The first comparison may use an index; the others make it exact."""
        parts = []
        for key in self.pair.key:
            o, n = f"o.{quoted(key)}", f"n.{quoted(self._mapped(key) or key)}"
            parts.append(f"{n} = {o}")
            if not self._is_integer(key):
                parts.append(f"typeof({n}) = typeof({o}) AND {n} COLLATE BINARY = {o}")
        return " AND ".join(parts)

    def _is_integer(self, key: str) -> bool:
        """Whether a key column is the rowid on both sides: that is always an integer."""
        return self._table("old").alias == key and self._table("new").alias == self._mapped(key)

    def _locator(self, side: str) -> list[str]:
        """What finds a row of a side again."""
        if (rowid := self._table(side).rowid) is not None:
            return [f"{side[0]}.{rowid}"]
        return self._side_columns(side, self.pair.key)

    def _keyed(self) -> TableDiff:
        match = self._match()
        missing = f"NOT EXISTS (SELECT 1 FROM {self._source('new', near=False)} AND {match})"
        extra = f"NOT EXISTS (SELECT 1 FROM {self._source('old', near=False)} AND {match})"
        facts: dict[str, Any] = {}
        for side, kind, condition in (("old", "lost", missing), ("new", "added", extra)):
            source = f"{self._source(side)} AND {condition}"
            count = self.connection.execute(f"SELECT count(*) FROM {source}").fetchone()[0]
            facts[f"{kind}_count"] = count
            if count:
                facts[kind] = exactly(self.connection, lambda s=side, f=source: self._rows(s, f))  # type: ignore[misc]
        return self._diff(**facts, changed=self._changed(match))

    def _changed(self, match: str) -> tuple[ChangeGroup, ...]:
        compared = [c for c in self.pair.columns if not self._follows_from_key(c[0])]
        if not compared:
            return ()
        tests = [self._differs(o, n) for o, n in compared]
        places = self._locator("old"), self._locator("new")
        mask = " || ".join(["''", *(f"({t})" for t in tests)])  # text, also where it is one digit
        listed = ", ".join([f"{mask} AS mask", *(f"{p} AS p{i}" for i, p in enumerate(places[0] + places[1]))])
        self.connection.execute("DROP TABLE IF EXISTS temp.changed")
        self.connection.execute(
            f"CREATE TEMP TABLE changed AS SELECT {listed} FROM {self._from('old')} CROSS JOIN {self._from('new')} "
            f"WHERE {self._near('old')} AND {match} AND ({' OR '.join(tests)})"
        )
        masks = self.connection.execute("SELECT mask, count(*) FROM temp.changed GROUP BY mask ORDER BY mask DESC")
        return tuple(
            exactly(self.connection, lambda m=mask, c=count: self._group(m, c, compared, places))  # type: ignore[misc]
            for mask, count in masks.fetchall()
        )

    def _follows_from_key(self, name: str) -> bool:
        """Key columns were matched exactly, but for -0.0, which only a column without affinity keeps."""
        return name in self.pair.key and self._found(self._table("old"), name).affinity != "BLOB"

    def _differs(self, old: str, new: str | None) -> str:
        """An expression that is 1 where a value is another, else 0; never NULL. ``+`` keeps affinities out of it."""
        o = f"o.{quoted(old)}"
        if new is None:
            return f"{o} IS NOT NULL"
        n = f"n.{quoted(new)}"
        test = f"+{o} COLLATE BINARY IS NOT +{n} OR typeof({o}) <> typeof({n})"
        if not (self._keeps_sign("old", old) and self._keeps_sign("new", new)):
            return test
        zeros = f"+{o} IS 0 AND +{n} IS 0 AND typeof({o}) = 'real' AND typeof({n}) = 'real'"
        return f"{test} OR CASE WHEN {zeros} THEN {SIGN}({o}) <> {SIGN}({n}) ELSE 0 END"

    def _keeps_sign(self, side: str, name: str) -> bool:
        """Whether -0.0 can stand there: any affinity but BLOB's stores it as the integer 0."""
        return self._found(self._table(side), name).affinity == "BLOB"

    def _group(
        self,
        mask: str,
        count: int,
        compared: Sequence[tuple[str, str | None]],
        places: tuple[list[str], list[str]],
    ) -> ChangeGroup:
        """The rows in which the same columns differ."""
        names = tuple(o for (o, _), bit in zip(compared, mask, strict=True) if bit == "1")
        key, old, new = (
            self._side_columns("old", self.pair.key),
            self._side_columns("old", names),
            self._side_columns("new", names),
        )
        found = " AND ".join(
            f"{p} IS c.p{i} AND typeof({p}) = typeof(c.p{i})" for i, p in enumerate([*places[0], *places[1]])
        )
        order = ", ".join(f"{k} COLLATE BINARY" for k in key)
        sql = (
            f"SELECT {', '.join(key + old + new)} FROM temp.changed AS c CROSS JOIN {self._from('old')} "
            f"CROSS JOIN {self._from('new')} WHERE c.mask = ? AND {found} ORDER BY {order} LIMIT {self.limit}"
        )
        rows = []
        for row in self.connection.execute(sql, (mask,)):
            values = [
                apart(a, b)
                for a, b in zip(row[len(key) : len(key) + len(old)], row[len(key) + len(old) :], strict=True)
            ]
            rows.append(
                ChangedRow(
                    key=as_texts(row[: len(key)]),
                    old=tuple(a for a, _ in values),
                    new=tuple(b for _, b in values),
                )
            )
        return ChangeGroup(columns=names, count=count, rows=tuple(rows))

    # --- without a key ---

    def _unkeyed(self) -> TableDiff:
        """Rows as a multiset over the columns that both sides have: a changed row is one lost and one added."""
        common = [o for o, n in self.pair.columns if n is not None]
        width, listed = len(common), [*common, *(o for o, n in self.pair.columns if n is None)]
        there = Tally(map(_print, self._read("new", common)))
        lost, groups = _First(self.limit), dict[tuple[str, ...], _First]()
        for row in self._read("old", listed):
            mark = _print(row[:width])
            if not there[mark]:
                lost.add(row)
                continue
            there[mark] -= 1
            gone = tuple(n for n, v in zip(listed[width:], row[width:], strict=True) if v is not None)
            if gone:
                groups.setdefault(gone, _First(self.limit)).add(row)
        added = self._added(common, +there)
        return self._diff(
            lost_count=lost.count,
            lost=self._as_rows(lost, listed),
            added_count=added.count,
            added=self._as_rows(added, common),
            changed=tuple(self._gone(names, first, listed) for names, first in groups.items()),
        )

    def _read(self, side: str, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        columns = ", ".join(self._side_columns(side, names)) or "NULL"
        return self.connection.execute(f"SELECT {columns} FROM {self._source(side)}")

    def _added(self, common: Sequence[str], left: Tally[bytes]) -> _First:
        added = _First(self.limit)
        for row in self._read("new", common) if left else ():
            mark = _print(row)
            if left[mark] > 0:
                left[mark] -= 1
                added.add(row)
        return added

    def _as_rows(self, first: _First, names: Sequence[str]) -> tuple[Row, ...]:
        places = [names.index(c) if c in names else None for c in self.columns]
        keys = [self.columns.index(k) for k in self.pair.key if k in self.columns] or range(len(self.columns))
        found = []
        for row in first.rows():
            values = as_texts(None if p is None else row[p] for p in places)
            found.append(Row(key=tuple(values[k] for k in keys), values=values))
        return tuple(found)

    def _gone(self, names: tuple[str, ...], first: _First, listed: Sequence[str]) -> ChangeGroup:
        shown = self._as_rows(first, listed)
        places = [self.columns.index(n) for n in names]
        rows = tuple(
            ChangedRow(key=r.key, old=tuple(r.values[p] for p in places), new=(None,) * len(names)) for r in shown
        )
        return ChangeGroup(columns=names, count=first.count, rows=rows)


def _is_hidden(table: Table, name: str) -> bool:
    """Whether a column is none of the rows, but how a virtual table is asked (FTS: its own name, ``rank``)."""
    found = table.column(name)
    return found is not None and found.hidden == 1


def _print(row: tuple[Any, ...]) -> bytes:
    """A row's fingerprint: equal for equal rows, storage classes included."""
    return hashlib.blake2b(marshal.dumps(row, FORMAT), digest_size=16).digest()


class _First:
    """Counts rows and keeps the first of them, in the order of their values."""

    def __init__(self, limit: int) -> None:
        self.count, self._limit = 0, limit
        self._kept: list[tuple[Any, ...]] = []

    def add(self, row: tuple[Any, ...]) -> None:
        self.count += 1
        self._kept.append(row)
        if len(self._kept) >= 4 * self._limit + 64:
            self._kept = self.rows()

    def rows(self) -> list[tuple[Any, ...]]:
        return heapq.nsmallest(self._limit, self._kept, key=natural)


def natural(row: Iterable[Any]) -> tuple[tuple[int, Any], ...]:
    """SQLite's own order of values: NULL, numbers, text, blobs."""
    return tuple((_CLASS[type(v)], 0 if v is None else v) for v in row)


_CLASS: dict[type, int] = {type(None): 0, int: 1, float: 1, str: 2, bytes: 3}
