"""Whether values that up converted still cast back to what they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seatrial.engines._mysql_columns import Column, as_bytes, as_text
from seatrial.engines._mysql_compare import Comparison
from seatrial.engines._mysql_link import Link, literal
from seatrial.engines._mysql_rows import Copy, Shadows
from seatrial.errors import DatabaseError
from seatrial.model import CastBack, ChangedRow, TablePair

_UTC = "+00:00"
_UNKNOWN_ZONE = "1298"
_LENIENT = "SET sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', time_zone = {zone}"
_OURS = "SET sql_mode = @seatrial_mode, time_zone = '+00:00'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caster:
    """Casts the new values of one pair of copies back by storing them in a column of the very old type."""

    link: Link
    shadows: Shadows
    old: Copy
    new: Copy
    pair: TablePair
    limit: int

    def cast_back(self, before: str, after: str, zones: Sequence[str]) -> CastBack | None:
        """None where every value comes back, under the zone that serves most of them."""
        with Comparison(self.shadows, self.old, self.new, self.pair, self.limit) as rows:
            best: tuple[int, str] | None = None
            refused: DatabaseError | None = None
            for zone in dict.fromkeys((_UTC, *zones)):
                try:
                    found = self._stored(rows, before, after, zone)
                except DatabaseError as error:
                    refused = refused if error.code == _UNKNOWN_ZONE else error
                    continue
                count = self._count(found, before)
                if best is None or count < best[0]:
                    best = count, found
            if best is not None:
                return self._result(best[1], before, best[0]) if best[0] else None
            return self._impossible(rows, before) if refused is not None else None

    def _stored(self, rows: Comparison, before: str, after: str, zone: str) -> str:
        """A table of key, old value ``w``, and ``v``: the new value stored as the old type, as ALTER TABLE would."""
        declared = f"(v {_declared(self.old.column(before))})"
        self.link.execute("SET @seatrial_mode = @@sql_mode")
        try:
            self.link.execute(_LENIENT.format(zone=literal(zone)))
            return rows.scratch(
                f"SELECT {self._keys()}, {self.old.at(before, 'o')} AS w, {self.new.at(after, 'n')} AS v"
                f" FROM {rows.join()}",
                declared,
            )
        finally:
            self.link.execute(_OURS)

    def _keys(self) -> str:
        return ", ".join(f"{self.old.at(k, 'o')} AS q{i}" for i, k in enumerate(self.pair.key))

    def _count(self, table: str, before: str) -> int:
        return int(self.link.value(f"SELECT COUNT(*) FROM {table} WHERE {self._differs(before)}") or 0)

    def _differs(self, before: str) -> str:
        column = self.old.column(before)
        return f"NOT ({as_bytes(column, 'w')} <=> {as_bytes(column, 'v')})"

    def _result(self, table: str, before: str, count: int) -> CastBack:
        column = self.old.column(before)
        return self._told(table, before, count, as_text(column, "v"), f"WHERE {self._differs(before)}", possible=True)

    def _impossible(self, rows: Comparison, before: str) -> CastBack:
        """There is no such cast: every value that was there is lost to it."""
        held = rows.scratch(f"SELECT {self._keys()}, {self.old.at(before, 'o')} AS w FROM {rows.join()}")
        count = int(self.link.value(f"SELECT COUNT(w) FROM {held}") or 0)
        return self._told(held, before, count, "NULL", "WHERE w IS NOT NULL", possible=False)

    def _told(self, table: str, before: str, count: int, back: str, where: str, *, possible: bool) -> CastBack:
        keys = [as_text(self.old.column(k), f"q{i}") for i, k in enumerate(self.pair.key)]
        order = [f"q{i}" for i in range(len(keys))]
        found = self.link.rows(
            f"SELECT {', '.join(keys)}, {as_text(self.old.column(before), 'w')}, {back} FROM {table} {where}"
            f" ORDER BY {', '.join(order)} LIMIT {self.limit}"
        )
        rows = tuple(ChangedRow(key=f[:-2], old=(f[-2],), new=(f[-1],)) for f in found)
        return CastBack(table=self.pair.old, column=before, count=count, rows=rows, possible=possible)


def _declared(column: Column) -> str:
    """A nullable column of that very type."""
    charset = f" CHARACTER SET {column.charset} COLLATE {column.collation}" if column.charset and column.is_text else ""
    return f"{column.type}{charset} NULL"
