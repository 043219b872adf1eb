"""Rows into a table: all at once where the engine takes them, else by halves, and what it refuses is made anew.

The engine's refusal names a column or a constraint; that is changed, set to NULL or left to its default, and what was
refused is not tried again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from seatrial.errors import DatabaseError
from seatrial.model import Database, ErrorKind
from seatrial.seeds.references import NoParentError, Values
from seatrial.seeds.rows import Maker
from seatrial.seeds.shape import columns_named

_REFUSALS = 400  # per table, before it is given up
_ATTEMPTS = 24  # per row
_HOPELESS = 80  # refusals before the first row is taken
_DOUBTFUL = frozenset({"unknown", "spatial", "point", "polygon"})  # engines write their values in different ways
_LESSON = 3  # refusals of one column before it is treated alike in every row


@dataclass
class Inserter:
    """Inserts the rows of one table; ``accepted`` holds what the engine took, ``reason`` its last refusal."""

    database: Database
    maker: Maker
    accepted: list[Values] = field(default_factory=list)
    reason: str = ""
    _refusals: int = 0
    _blamed: Counter[str] = field(default_factory=Counter)
    _lessons: dict[str, str] = field(default_factory=dict)  # column -> "null" or "omit"

    def insert(self, rows: Sequence[tuple[int, Values]]) -> None:
        """``rows`` with their numbers."""
        if not rows or self._refusals > (_REFUSALS if self.accepted else _HOPELESS):
            return
        rows = [(i, self._taught(self.maker.mend(row, i))) for i, row in rows]
        error = self._try([row for _, row in rows])
        if error is None:
            self.accepted += [row for _, row in rows]
        elif len(rows) == 1:
            self._again(*rows[0], error)
        else:
            middle = 1 if not self.accepted else len(rows) // 2
            self.insert(rows[:middle])
            self.insert(rows[middle:])

    def _try(self, rows: Sequence[Values]) -> DatabaseError | None:
        columns = [c.name for c in self.maker.columns if c.name in rows[0]]
        if any(r.keys() != rows[0].keys() for r in rows):
            return next((e for r in rows if (e := self._try([r]))), None)
        try:
            self.database.fill(self.maker.shape.table, columns, [[r[c] for c in columns] for r in rows])
        except DatabaseError as error:
            if error.kind is ErrorKind.ENVIRONMENT:
                raise
            self._refusals += 1
            self.reason = str(error)
            return error
        return None

    def _taught(self, row: Values) -> Values:
        for name, lesson in self._lessons.items():
            if lesson == "omit":
                row.pop(name, None)
            elif name in row:
                row[name] = None
        return row

    def _again(self, i: int, row: Values, error: DatabaseError) -> None:
        self.maker.withdraw(row)
        for candidate in self._remedies(i, row, error):
            if self._try([candidate]) is None:
                self.accepted.append(candidate)
                return
            self.maker.withdraw(candidate)
            if self._refusals > _REFUSALS:
                return

    def _remedies(self, i: int, row: Values, error: DatabaseError) -> Iterator[Values]:
        planned = self.maker.planned_at(i)
        for attempt in range(_ATTEMPTS):
            blamed = [
                c for c in columns_named(self.reason or str(error), self.maker.shape) if c in row and c not in planned
            ]
            changed = dict(row)
            suspects = blamed or [c for c in row if c not in planned and self._is_doubtful(c)]
            for name in suspects or [c for c in row if c not in planned]:
                self._remedy(changed, name, i, attempt, sure=0 < len(suspects) <= 2)
            settled = self.maker.settle(changed, i)
            if settled is None:
                continue
            yield settled
            row = settled

    def _is_doubtful(self, name: str) -> bool:
        return self.maker.shape.columns[name].family.name in _DOUBTFUL

    def _remedy(self, row: Values, name: str, i: int, attempt: int, *, sure: bool) -> None:
        column = self.maker.shape.columns[name]
        self._blamed[name] += 1
        if sure:
            self.maker.forget(name, row.get(name))
        hopeless = sure and self._blamed[name] > _LESSON and not self.maker.choices(name)
        if column.nullable and (attempt % 4 == 3 or hopeless):
            row[name] = None
            self._learn(name, "null", hopeless)
        elif column.default is not None and attempt % 4 == 2:
            row.pop(name)
            self._learn(name, "omit", hopeless)
        else:
            self.maker.change(row, name, i)

    def _learn(self, name: str, lesson: str, sure: bool) -> None:
        if sure:
            self._lessons[name] = lesson


@dataclass
class Amender:
    """Gives values to columns of rows that stand already; a row that the engine refuses keeps its NULLs."""

    database: Database
    maker: Maker
    columns: Sequence[str]
    reason: str = ""
    _given: set[str] = field(default_factory=set)

    @property
    def filled(self) -> tuple[str, ...]:
        return tuple(c for c in self.columns if c in self._given)

    def amend(self, standing: Sequence[Values]) -> None:
        """``standing``: the rows as they are, by their keys in order."""
        try:
            rows = [(i, row) for i, given in enumerate(standing) if (row := self.maker.row(i, given)) is not None]
        except NoParentError as error:
            self.reason = str(error)
            return
        if rows and not self._try([row for _, row in rows]):
            for i, row in rows:
                self._one(i, row)

    def _one(self, i: int, row: Values) -> None:
        for attempt in range(_ATTEMPTS):
            if self._try([row]):
                return
            blamed = [c for c in columns_named(self.reason, self.maker.shape) if c in self.columns]
            for name in blamed or self.columns:
                self.maker.change(row, name, i)
            if attempt == _ATTEMPTS // 2:
                row.update(dict.fromkeys(self.columns))

    def _try(self, rows: Sequence[Values]) -> bool:
        key = self.maker.shape.key
        values = [[r[c] for c in (*key, *self.columns)] for r in rows]
        try:
            self.database.amend(self.maker.shape.table, key, self.columns, values)
        except DatabaseError as error:
            if error.kind is ErrorKind.ENVIRONMENT:
                raise
            self.reason = str(error)
            return False
        self._given |= {c for c in self.columns for r in rows if r[c] is not None}
        return True
