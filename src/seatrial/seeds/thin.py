"""Made-up rows that a migration refuses, found by trying, and taken out.

A schema may allow rows that a project never has: two addresses that differ only in case, where the new table takes each
once. Where no new value of the old columns can be told from the schema ahead (``refit``), rows are left out until an up
works; it must work with at least two rows of each table, else it is not the rows' fault. Of a table that the up itself
takes one row of for granted (``alone``), one will do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from seatrial.model import Database, Schema, TableRef
from seatrial.seeds.shape import Reference, Shape, shapes
from seatrial.seeds.standing import qualified
from seatrial.values import dataclass

Rows = Mapping[TableRef, Collection[int]]  # by their place in the order of the key; without a key, 0 stands for all
Row = tuple[TableRef, int]
TRIES = 40
HOPELESS = 5  # so many rows of a table refused one by one, and none taken: no row of it will do
FEWEST = 2
ROUNDS = 12  # so many rows, a table's usual number, may hang on one another in a circle of tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinned:
    """``kept`` of ``counts`` rows; tables that keep all their rows are not named.

    ``enough``: at least two rows of each table are kept. Else it is not only the rows' fault.
    """

    kept: Rows
    counts: Mapping[TableRef, int]
    enough: bool


def thin(
    counts: Mapping[TableRef, int],
    suspects: Collection[TableRef],
    passes: Callable[[Rows], bool],
    alone: Collection[TableRef] = (),
) -> Thinned | None:
    """The rows of ``counts`` with which ``passes``, or None where it never does.

    ``suspects``, the likeliest first, are tried table by table and row by row, the others only as a whole.
    """
    search = _Search(counts, passes, frozenset(alone))
    if not search.works(set()):
        return None
    found: Thinned | None = None
    for kept in search.without_one(suspects):
        told = _told(counts, kept, alone)
        if told.enough:
            return told
        found = found or told  # the likeliest table: to build up from nothing would hardly take more rows of it
    return found or _told(counts, search.from_none(suspects), alone)


def _told(counts: Mapping[TableRef, int], kept: Collection[Row], alone: Collection[TableRef]) -> Thinned:
    found = {t: rows for t, rows in _by_table(counts, kept).items() if len(rows) < counts[t]}
    enough = not any(len(rows) < min(1 if t in alone else FEWEST, counts[t]) for t, rows in found.items())
    return Thinned(kept=found, counts={t: counts[t] for t in found}, enough=enough)


@dataclass(slots=True)
class _Search:
    counts: Mapping[TableRef, int]
    passes: Callable[[Rows], bool]
    alone: frozenset[TableRef] = frozenset()
    tries: int = TRIES
    refused: int = 0  # rows of the table at hand that were refused one by one, while none was taken

    def works(self, kept: Collection[Row]) -> bool:
        self.tries -= 1
        return self.tries >= 0 and self.passes(_by_table(self.counts, kept))

    def without_one(self, suspects: Collection[TableRef]) -> Iterator[set[Row]]:
        """Where up works without the rows of one table: all others, and what of these can stand beside them.

        Rows that it looks up elsewhere (``UPDATE t SET owner = (SELECT ... FROM member)``) are there then.
        """
        for table in suspects:
            kept = {(t, i) for t, count in self.counts.items() if t != table for i in range(count)}
            if kept and self.works(kept):
                yield kept | self._rows_beside([table], kept)

    def from_none(self, suspects: Collection[TableRef]) -> set[Row]:
        """One table after the other, all that are no suspects first and together."""
        kept: set[Row] = set()
        asked = {*suspects, *self.alone}
        for tables in ([t for t in self.counts if t not in asked], *([t] for t in self.counts if t in asked)):
            kept |= self._rows_beside(tables, kept)
        return kept

    def _rows_beside(self, tables: Collection[TableRef], kept: Collection[Row]) -> set[Row]:
        self.refused = 0
        rows = [(t, i) for t in tables for i in range(self.counts[t])]
        return self.one_or_all(rows, kept) if self.alone.intersection(tables) else self.addable(rows, kept)

    def one_or_all(self, rows: Sequence[Row], kept: Collection[Row]) -> set[Row]:
        """Of a table that has one row: the first that can stand, where not all of them can."""
        tried = [rows, *([row] for row in rows[:HOPELESS])]
        return {*next((some for some in tried if self.works({*kept, *some})), ())}

    def addable(self, chunk: Sequence[Row], kept: Collection[Row]) -> set[Row]:
        """What of a chunk can stand beside what is kept: all of it, or what of its halves can."""
        if not chunk or self.refused == HOPELESS:
            return set()
        if self.works({*kept, *chunk}):
            self.refused = -TRIES  # some row was taken
            return set(chunk)
        if len(chunk) == 1:
            self.refused += 1
            return set()
        first = self.addable(chunk[: len(chunk) // 2], kept)
        return first | self.addable(chunk[len(chunk) // 2 :], {*kept, *first})


def _by_table(tables: Collection[TableRef], kept: Collection[tuple[TableRef, int]]) -> dict[TableRef, list[int]]:
    return {t: sorted(i for table, i in kept if table == t) for t in tables}


def keep_only(database: Database, schema: Schema, kept: Rows) -> None:
    """Delete the other rows of these tables, and rows of any table whose parents went with them."""
    known = shapes(schema, database.engine)
    with database.filling() as session:
        for table, rows in kept.items():
            session.execute(_deletion(database, known[table], rows))
        for child, reference in _orphans(known, kept):
            session.execute(_orphan_deletion(database, child, reference))


def units(database: Database, schema: Schema, tables: Collection[TableRef]) -> dict[TableRef, int]:
    """How many rows each of these tables holds; 1 where its rows cannot be told apart and go or stay together."""
    known = shapes(schema, database.engine)
    found = {}
    for table in tables:
        (row,) = database.query(f"SELECT count(*) FROM {qualified(database, table)}")
        if count := int(row[0] or 0):
            found[table] = count if known[table].key else 1
    return found


def _deletion(database: Database, shape: Shape, rows: Collection[int]) -> str:
    table, key = qualified(database, shape.table), [database.quote(c) for c in shape.key]
    if not rows or not key:
        return f"DELETE FROM {table}" + (" WHERE 1 = 0" if rows else "")
    columns = ", ".join(key)
    numbered = f"SELECT {columns}, row_number() OVER (ORDER BY {columns}) - 1 AS place FROM {table}"
    places = ", ".join(map(str, rows))
    return (
        f"DELETE FROM {table} WHERE ({columns}) NOT IN"
        f" (SELECT {columns} FROM ({numbered}) AS numbered WHERE place IN ({places}))"
    )


def _orphans(known: Mapping[TableRef, Shape], tables: Collection[TableRef]) -> Iterator[tuple[TableRef, Reference]]:
    """Who may refer to rows that went, parents before their children; circles and trees as often as rows may hang on
    one another there."""
    below: list[TableRef] = []
    waiting = list(tables)
    for parent in waiting:
        children = [c for c, shape in known.items() if any(_is_to(r, parent) for r in shape.references)]
        waiting += [c for c in children if c not in waiting]
    left = set(waiting)
    while left:
        free = [t for t in waiting if t in left and not any(r.table in left - {t} for r in known[t].references)]
        below += free or [next(t for t in waiting if t in left)]
        left -= set(below)
    circles = [t for t in below if t in _above(known, t)]
    for child in (*below, *circles * ROUNDS, *(below if circles else ())):
        for reference in known[child].references:
            if reference.declared and reference.table in waiting:
                yield child, reference


def _above(known: Mapping[TableRef, Shape], table: TableRef) -> set[TableRef]:
    """All tables that a table's rows refer to, and theirs; the table itself where they come back to it."""
    found: set[TableRef] = set()
    waiting = [table]
    while waiting:
        parents = {r.table for r in known[waiting.pop()].references if r.declared and r.table in known}
        waiting += parents - found
        found |= parents
    return found


def _is_to(reference: Reference, parent: TableRef) -> bool:
    return reference.declared and reference.table == parent


def _orphan_deletion(database: Database, child: TableRef, reference: Reference) -> str:
    table, quote = qualified(database, child), database.quote
    present = " AND ".join(f"{table}.{quote(c)} IS NOT NULL" for c in reference.columns)
    parents = ", ".join(quote(c) for c in reference.referenced)
    same = " AND ".join(
        f"parent.{quote(p)} = {table}.{quote(c)}" for c, p in zip(reference.columns, reference.referenced, strict=True)
    )
    rows = (
        f"SELECT {parents} FROM {qualified(database, reference.table)}"  # derived: MySQL reads no table it deletes from
    )
    return f"DELETE FROM {table} WHERE {present} AND NOT EXISTS (SELECT 1 FROM ({rows}) AS parent WHERE {same})"
