"""Values that a change of type converted: do they cast back to what they were?"""

from __future__ import annotations

import sqlite3

from seatrial.engines._sqlite_catalog import Table
from seatrial.engines._sqlite_forms import quoted
from seatrial.engines._sqlite_values import apart, as_texts, exactly
from seatrial.model import CastBack, ChangedRow, TablePair


def cast_back(
    connection: sqlite3.Connection, pair: TablePair, old: Table, new: Table, column: tuple[str, str], limit: int
) -> CastBack | None:
    """Rows of both moments, found by key, whose new value as the old column would store it is not the old value.

    Values are really stored in a column of the old affinity: CAST would make 0 of a text that such a column keeps.
    None where the conversion lost nothing, or where no key says which row became which.
    """
    was, now = old.column(column[0]), new.column(column[1])
    names = dict(pair.columns)
    if was is None or now is None or not pair.key or any(names.get(k) is None for k in pair.key):
        return None
    match = " AND ".join(f"n.{quoted(names[k] or k)} = o.{quoted(k)}" for k in pair.key)
    o, n = f"o.{quoted(was.name)}", f"n.{quoted(now.name)}"
    keys = ", ".join(f"k{i}" for i in range(len(pair.key)))
    connection.execute("DROP TABLE IF EXISTS temp.casts")
    connection.execute(f"CREATE TEMP TABLE casts (was, back {was.affinity}, {keys})")
    connection.execute(
        f"INSERT INTO temp.casts SELECT {o}, {n}, {', '.join(f'o.{quoted(k)}' for k in pair.key)} "
        f"FROM old.{quoted(old.name)} AS o CROSS JOIN new.{quoted(new.name)} AS n WHERE {match} AND {_other(o, n)}"
    )
    source = f"FROM temp.casts WHERE {_other('was', 'back')}"
    count = connection.execute(f"SELECT count(*) {source}").fetchone()[0]
    if not count:
        return None
    sql = f"SELECT was, back, {keys} {source} ORDER BY {keys} LIMIT {limit}"
    rows = exactly(connection, lambda: connection.execute(sql).fetchall())
    return CastBack(table=pair.old, column=was.name, count=count, rows=tuple(_changed(row) for row in rows))


def _other(one: str, other: str) -> str:
    return f"(+{one} COLLATE BINARY IS NOT +{other} OR typeof({one}) <> typeof({other}))"


def _changed(row: tuple[object, ...]) -> ChangedRow:
    old, new = apart(row[0], row[1])
    return ChangedRow(key=as_texts(row[2:]), old=(old,), new=(new,))
