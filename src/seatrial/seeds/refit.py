"""Made-up rows changed to fit what a migration is about to ask of them.

Rows that the schema allows may still be ones that a project never has: NULL in a column that is to become NOT NULL, a
pair twice that is to become unique, text that is to be cast. Where an up fails on such rows, it may be tried again on
rows that fit: everything else stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from seatrial.config import Required
from seatrial.errors import DatabaseError
from seatrial.model import Database, ErrorKind, Renames, Schema, TableRef
from seatrial.seeds.generate import FillResult
from seatrial.seeds.hints import hints, strict, worded
from seatrial.seeds.insert import Inserter
from seatrial.seeds.references import NoParentError, Values
from seatrial.seeds.repoint import align, repointed, under_old_names
from seatrial.seeds.rows import Maker
from seatrial.seeds.shape import Column, Reference, Shape, shapes
from seatrial.seeds.standing import Standing, qualified
from seatrial.seeds.thin import keep_only
from seatrial.values import dataclass

_TEXT = frozenset({"text", "char"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What an up asks of rows: the schema after it, and the statements that it sends where no rows stand in its way.

    ``words``: columns are to hold only what the statements compare them with.
    """

    schema: Schema
    renames: Renames = field(default_factory=Renames)
    statements: tuple[str, ...] = ()
    words: bool = False


def refit(database: Database, now: Schema, ahead: Ahead, *, seed: int, required: Sequence[Required] = ()) -> FillResult:
    """Change stored values so that what is ahead takes them too.

    ``columns`` of the result are those that were changed; ``not_filled`` says where no fitting value was found.
    """
    known, wanted = (shapes(s, database.engine, database.relationships, required) for s in (now, ahead.schema))
    wanted = _answerable(under_old_names(wanted, ahead.renames), known)
    moved = align(database, known, repointed(known, wanted))
    asked = {t: _merged(shape, wanted[t]) if t in wanted else shape for t, shape in known.items()}
    if ahead.statements:
        told = hints(ahead.statements, now, known, database.engine)
        asked = strict(asked, wanted, told)
        asked = worded(asked, told, database.engine) if ahead.words else asked
    work = _Refit(database, now, known, asked, seed)
    changes = {t: found for t in known if (found := _asked(known[t], asked[t])) and not known[t].holders}
    made = work.run(changes)
    columns = {t: tuple(dict.fromkeys((*moved.get(t, ()), *made.columns.get(t, ())))) for t in (*moved, *made.columns)}
    return replace(made, columns=columns)


def _answerable(wanted: Mapping[TableRef, Shape], known: Mapping[TableRef, Shape]) -> dict[TableRef, Shape]:
    """Without references to columns that the up itself adds: what they will hold is its own doing."""

    def is_new(reference: Reference) -> bool:
        return reference.table in known and not set(reference.referenced) <= known[reference.table].columns.keys()

    return {t: replace(s, references=tuple(r for r in s.references if not is_new(r))) for t, s in wanted.items()}


def _asked(now: Shape, ahead: Shape) -> frozenset[str]:
    """The columns of which more is asked: NOT NULL, another type, a new key, reference or condition."""
    found = {n for n, c in now.columns.items() if (a := ahead.columns.get(n)) and (_stricter(c, a) or _retyped(c, a))}
    keys = {(u.columns, u.predicate and u.predicate.text) for u in now.uniques}
    found |= {c for u in ahead.uniques if (u.columns, u.predicate and u.predicate.text) not in keys for c in u.columns}
    old = {(r.columns, r.table, r.referenced) for r in now.references if r.declared}
    new = (r for r in ahead.references if r.declared and (r.columns, r.table, r.referenced) not in old)
    found |= {c for r in new for c in r.columns}
    texts = {c.text for _, c in now.conditions}
    found |= {c for _, check in ahead.conditions if check.text not in texts for c in check.columns}
    return frozenset(n for n in found if n in now.columns and not now.columns[n].by_engine)


def _stricter(now: Column, ahead: Column) -> bool:
    return now.nullable and not ahead.nullable


def _retyped(now: Column, ahead: Column) -> bool:
    if now.family.name in _TEXT and ahead.family.name in _TEXT:
        return (ahead.family.length or 10**9) < (now.family.length or 10**9)
    narrower = now.family.name == "integer" and (ahead.family.low, ahead.family.high) != (
        now.family.low,
        now.family.high,
    )
    return now.family.name != ahead.family.name or narrower


def _merged(now: Shape, ahead: Shape) -> Shape:
    """What both schemas ask of the rows that stand."""
    columns = {n: _merged_column(c, ahead.columns.get(n)) for n, c in now.columns.items()}
    names = columns.keys()
    return replace(
        now,
        columns=columns,
        uniques=(*now.uniques, *(u for u in ahead.uniques if u.columns and set(u.columns) <= names)),
        references=(*now.references, *(r for r in ahead.references if r.declared and set(r.columns) <= names)),
        conditions=(*now.conditions, *((n, c) for n, c in ahead.conditions if set(c.columns) <= names)),
    )


def _merged_column(now: Column, ahead: Column | None) -> Column:
    if ahead is None:
        return now
    family = ahead.family if _retyped(now, ahead) else now.family
    return replace(now, family=family, nullable=now.nullable and ahead.nullable)


class _Refit:
    def __init__(
        self,
        database: Database,
        schema: Schema,
        now: Mapping[TableRef, Shape],
        known: Mapping[TableRef, Shape],
        seed: int,
    ) -> None:
        self.database, self.schema, self.now, self.known, self.seed = database, schema, now, known, seed
        self.standing = Standing(database, known)
        self._changed: dict[TableRef, tuple[str, ...]] = {}
        self._not_fitted: dict[TableRef, str] = {}
        self._keyless: list[TableRef] = []  # their rows cannot be found again: they are made anew
        self._hopeless: dict[TableRef, list[int]] = {}  # what stays of rows of which others cannot be made to fit

    def run(self, changes: Mapping[TableRef, frozenset[str]]) -> FillResult:
        made = {t: self._rows(t, asked) for t, asked in changes.items()}
        made = {t: pairs for t, pairs in made.items() if pairs}
        counts = {t: self.standing.count(t) for t in self._keyless}
        if self._hopeless:
            keep_only(self.database, self.schema, self._hopeless)
            self._changed |= {t: tuple(sorted(changes[t])) for t in self._hopeless}
        if made or counts:
            with self.database.filling() as session:
                for table, pairs in made.items():
                    self._amend(table, pairs)
                for table in list(self._changed):
                    self._follow(table, made.get(table, []))
                for table, count in counts.items():
                    session.execute(f"DELETE FROM {qualified(self.database, table)}")
                    self._make_anew(table, count)
        return FillResult(columns=self._changed, not_filled=self._not_fitted)

    def _rows(self, table: TableRef, asked: frozenset[str]) -> list[tuple[Values, Values]]:
        """Rows as they stand and as they should be, where these differ."""
        shape = self.known[table]
        if not self.now[table].key:
            self._keyless.append(table)
            return []
        standing = self.standing.rows(table, [n for n, c in shape.columns.items() if not c.by_engine])
        fixed = {n for n in shape.columns if n not in asked}
        maker = Maker(shape, self.seed, len(standing), self._parents, fixed=fixed)
        maker.reserve(standing)
        fitted = [(i, row, self._fitted(maker, row, asked, i)) for i, row in enumerate(standing)]
        kept = [i for i, _, new in fitted if new is not None]
        if len(kept) < len(fitted):
            self._not_fitted[table] = f"no value fits for {', '.join(sorted(asked))}"
            if kept:
                self._hopeless[table] = kept
        return [(row, new) for _, row, new in fitted if new is not None and new != row]

    def _make_anew(self, table: TableRef, count: int) -> None:
        """Rows without a key, made for both schemas."""
        maker = Maker(self.known[table], self.seed, count, self._parents)
        inserter = Inserter(self.database, maker)
        try:
            inserter.insert([(i, row) for i in range(count) if (row := maker.row(i)) is not None])
        except NoParentError as error:
            self._not_fitted[table] = str(error)
        self._changed[table] = tuple(self.known[table].columns)

    def _fitted(self, maker: Maker, row: Values, asked: Iterable[str], i: int) -> Values | None:
        try:
            return maker.settle(self._begun(maker, row, asked, i), i)
        except NoParentError:  # the parent is made by the same up, and is empty
            return None

    def _begun(self, maker: Maker, row: Values, asked: Iterable[str], i: int) -> Values:
        """A row with values that the new type takes, and parents that are there."""
        begun = dict(row)
        for name in sorted(asked):
            if begun.get(name) is not None and not maker.shape.columns[name].family.takes(begun[name]):
                maker.change(begun, name, i)
        for reference in maker.references.other:
            if maker.references.is_broken(reference, begun):
                maker.references.choose_again(begun, next(c for c in reference.columns if c in asked))
        return begun

    def _parents(self, reference: Reference) -> Sequence[tuple[object, ...]]:
        return self.standing.keys(reference.table, reference.referenced) if reference.table in self.known else []

    def _amend(self, table: TableRef, pairs: Sequence[tuple[Values, Values]]) -> None:
        shape = self.known[table]
        names = [n for n in shape.columns if any(old.get(n) != new.get(n) for old, new in pairs)]
        stored = self.now[table].columns
        key = self.now[table].key
        rows = [[*(o[k] for k in key), *(_as_stored(stored[n], new[n]) for n in names)] for o, new in pairs]
        try:
            self.database.amend(table, key, names, rows)
            self._changed[table] = tuple(names)
        except DatabaseError as error:
            if error.kind is ErrorKind.ENVIRONMENT:
                raise
            self._not_fitted[table] = str(error)

    def _follow(self, table: TableRef, pairs: Sequence[tuple[Values, Values]]) -> None:
        """Rows that referred to a key that is another one now refer to the new one, with or without a key of their own.

        New keys are none that stood before: no row is moved twice.
        """
        for child, shape in self.now.items():
            for reference in shape.references if not shape.holders else ():
                moved = {
                    old: new
                    for o, n in pairs
                    if reference.table == table
                    and (old := tuple(o.get(c) for c in reference.referenced))
                    != (new := tuple(n.get(c) for c in reference.referenced))
                    and None not in old
                }
                if moved and not any(shape.columns[c].by_engine for c in reference.columns):
                    rows = [(*old, *new) for old, new in moved.items()]
                    self.database.amend(child, reference.columns, reference.columns, rows)
                    self._changed.setdefault(child, reference.columns)


def _as_stored(column: Column, value: object) -> object:
    """A value of the new type in a column that is still text."""
    if column.family.name not in _TEXT or value is None or isinstance(value, str):
        return value
    return f"\\x{value.hex()}" if isinstance(value, bytes) else str(value).lower()
