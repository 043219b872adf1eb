"""Rows that the statements of a migration look for, made beside those that stand: two of each kind that is missing.

Rows are made up when a table comes, by its schema; the words that a later migration compares a column with stand in
none of them, so that its UPDATE would meet nothing and its down would have nothing to undo. What the statements want
(``sql.wants``) is asked of the engine, and made where constraints let it be.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from seatrial.config import Required
from seatrial.errors import DatabaseError
from seatrial.model import Database, ErrorKind, Schema, TableRef
from seatrial.seeds.conditions import Condition, condition
from seatrial.seeds.generate import FillResult
from seatrial.seeds.insert import Inserter
from seatrial.seeds.references import NoParentError, Values
from seatrial.seeds.rows import Maker
from seatrial.seeds.shape import Reference, Shape, shapes
from seatrial.seeds.standing import Standing, qualified
from seatrial.sql.queries import names_of
from seatrial.sql.tables import fold
from seatrial.sql.tokens import NUMBER, STRING, code, quote_name, quote_string
from seatrial.sql.wants import Link, Want

MOST = 60  # kinds that are looked after in one migration
_ALIKE = 12  # a row of so many: NULL here and there, as in other made-up rows
_LISTED = 20  # rows of another table that a row may refer to


def reach(
    database: Database,
    schema: Schema,
    wants: Sequence[Want],
    tables: Collection[TableRef],
    *,
    seed: int,
    required: Sequence[Required] = (),
) -> FillResult:
    """Rows for the wants that fewer than two rows of ``tables`` meet; ``extra`` of the result holds them.

    Other tables get none. Raises DatabaseError where the database cannot be worked with at all.
    """
    known = shapes(schema, database.engine, database.relationships, required)
    work = _Reach(database, known, frozenset(tables), seed)
    with database.one_session():
        for want in wants[:MOST]:
            if want.parts:
                work.look_after(replace(want, links=()))
        for want in wants[:MOST]:
            if want.links:
                work.look_after(want)
    if work.made:
        database.advance_counters()
    return FillResult(extra={t: tuple(rows) for t, rows in work.made.items()})


@dataclass
class _Reach:
    database: Database
    known: Mapping[TableRef, Shape]
    tables: Collection[TableRef]
    seed: int
    made: dict[TableRef, list[Values]] = field(default_factory=dict)

    def look_after(self, want: Want, depth: int = 0) -> None:
        table = self._named(want.table)
        if table is None or self.known[table].unfit or not self._are_ours(table):
            return
        links = [self._listed(table, link) for link in want.links]
        parts = [p for p in want.parts if self._stands(self.known[table], p)]
        parts += [part for part in links if part]
        if "" in links or not parts or (missing := self._missing(table, parts, want.rows)) <= 0:
            return
        if depth < 2:
            self._look_after_parents(self.known[table], parts, depth)
        for leaf in self._leaves(table):
            known = self._known_of(self.known[leaf], want)
            if known and self._make(
                leaf, [*parts, *known.values()], missing, known if want.given and want.given.whole else None
            ):
                return
            if self._make(leaf, parts, missing):
                return

    def _known_of(self, shape: Shape, want: Want) -> dict[str, str]:
        """What a row holds in each column by what down writes there, as conditions."""
        if want.given is None:
            return {}
        names = {c.casefold(): c for c in shape.columns} | {f"#{i}": c for i, c in enumerate(shape.columns)}
        said = [(names[c], text) for c, _, text in want.given.cells if c in names and text]
        quote = self.database.quote
        return {c: f"{quote(c)} IS NULL" if text.upper() == "NULL" else f"{quote(c)} = {text}" for c, text in said}

    def _named(self, wanted: TableRef) -> TableRef | None:
        """The table that a statement means, if it is certain which."""
        dialect = self.database.engine
        found = [t for t in self.known if fold(t.name, dialect) == fold(wanted.name, dialect)]
        exact = [t for t in found if t.namespace == wanted.namespace] if wanted.namespace else found
        found = exact or found
        return found[0] if len(found) == 1 else None

    def _are_ours(self, table: TableRef) -> bool:
        return all(leaf in self.tables for leaf in self._leaves(table))

    def _leaves(self, table: TableRef) -> list[TableRef]:
        """Where a table's rows are stored: its partitions, those by hash through their parent."""
        holders = self.known[table].holders
        return [leaf for h in holders for leaf in self._leaves(h)] if holders else [table]

    # --- what stands ---

    def _missing(self, table: TableRef, parts: Sequence[str], wanted: int) -> int:
        """How many rows are missing; none where the engine does not take the question."""
        asked = " AND ".join(f"({p})" for p in parts)
        rows = self._asked(f"SELECT 1 FROM {qualified(self.database, table)} WHERE {asked} LIMIT {wanted}")
        return 0 if rows is None else wanted - len(rows)

    def _asked(self, sql: str) -> list[tuple[str | None, ...]] | None:
        try:
            return self.database.query(sql)
        except DatabaseError as error:
            if error.kind is ErrorKind.ENVIRONMENT:
                raise
            return None

    def _listed(self, table: TableRef, link: Link) -> str:
        """A link as a condition, ``user_id IN (1001, 1002)``; empty where no row is there to refer to."""
        other = self._named(link.table)
        column = self._column(self.known[table], link.column)
        if other is None or not column:
            return ""
        quote = self.database.quote
        where = "".join(f" AND ({p})" for p in link.parts)
        name = quote(self._column(self.known[other], link.other) or link.other)
        sql = f"SELECT DISTINCT {name} FROM {qualified(self.database, other)} WHERE {name} IS NOT NULL{where}"
        rows = self._asked(f"{sql} LIMIT {_LISTED}") or []
        numeric = self.known[table].columns[column].family.name in ("integer", "decimal", "float")
        listed = [r[0] if numeric else quote_string(str(r[0]), self.database.engine) for r in rows]
        return f"{quote(column)} IN ({', '.join(map(str, listed))})" if listed else ""

    def _stands(self, shape: Shape, part: str) -> bool:
        """Whether a condition is about columns that are there: not about one that up adds."""
        return all(self._column(shape, name) for _, name in names_of(code(part, self.database.engine)))

    def _column(self, shape: Shape, name: str) -> str:
        dialect = self.database.engine
        return next((c for c in shape.columns if fold(c, dialect) == fold(name, dialect)), "")

    # --- making ---

    def _look_after_parents(self, shape: Shape, parts: Sequence[str], depth: int) -> None:
        """``user_id = 7`` needs a row of users with this key."""
        for part in parts:
            asked = self._condition(shape, part)
            for reference in shape.references:
                if reference.columns == asked.columns and reference.table in self.known:
                    parent = self._of_parent(part, reference)
                    self.look_after(Want(table=reference.table, parts=(parent,)), depth + 1)

    def _of_parent(self, part: str, reference: Reference) -> str:
        (own,), (other,) = reference.columns, reference.referenced
        tokens = code(part, self.database.engine)
        name = quote_name(other, self.database.engine)
        folded = own.casefold()
        said = (name if t.kind not in (STRING, NUMBER) and t.name.casefold() == folded else t.text for t in tokens)
        return " ".join(said)

    def _condition(self, shape: Shape, part: str) -> Condition:
        return condition(f"({part}) IS TRUE", list(shape.columns), self.database.engine)

    def _make(self, table: TableRef, parts: Sequence[str], count: int, only: Collection[str] | None = None) -> bool:
        """Rows for which all parts certainly hold; whether any could be made.

        ``only``: the columns that are given, beside the key; the others take their defaults.
        """
        shape = self.known[table]
        asked = [self._condition(shape, p) for p in parts]
        if not all(c.columns for c in asked):
            return False
        wanting = replace(shape, conditions=(*shape.conditions, *(("", c) for c in asked)))
        standing = Standing(self.database, self.known)
        maker = Maker(wanting, self.seed, _ALIKE, lambda r: self._parents(standing, shape, asked, r))
        maker.avoid(standing.rows(table, list(dict.fromkeys(c for u in shape.uniques for c in u.columns))))
        rows = self._certain(maker, asked, count)
        if only is not None:
            rows = [(i, {c: v for c, v in row.items() if c in only or c in shape.key}) for i, row in rows]
        if not rows:
            return False
        inserter = Inserter(self.database, maker)
        with self.database.filling():
            inserter.insert(rows)
        held = [r for r in inserter.accepted if _holds(shape, asked, r)]
        self.made.setdefault(table, []).extend(inserter.accepted)
        return bool(held)

    def _certain(self, maker: Maker, asked: Sequence[Condition], count: int) -> list[tuple[int, Values]]:
        """Row 0 has a value in every column, where others have NULL here and there."""
        try:
            made = [(i, row) for i in range(count) if (row := maker.row(i)) is not None]
        except NoParentError:
            return []
        return [(i, row) for i, row in made if _holds(maker.shape, asked, row)]

    def _parents(
        self, standing: Standing, shape: Shape, asked: Sequence[Condition], reference: Reference
    ) -> Sequence[tuple[object, ...]]:
        """The rows that a reference may point to, those first that the conditions let pass."""
        if reference.table not in self.known:
            return []
        leaves = self._leaves(reference.table)
        keys = [key for leaf in leaves for key in standing.keys(leaf, reference.referenced)]
        alone = [c for c in asked if set(c.columns) <= set(reference.columns)]
        return [k for k in keys if _holds(shape, alone, dict(zip(reference.columns, k, strict=True)))] or keys


def _holds(shape: Shape, asked: Sequence[Condition], row: Mapping[str, object]) -> bool:
    seen = {c: shape.columns[c].family.compare(v) for c, v in row.items() if c in shape.columns}
    return all(c.value({n: seen.get(n) for n in c.columns}) is True for c in asked)
