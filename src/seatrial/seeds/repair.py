"""A given seed that the schema refuses, mended: what a row lacks is supplied, what cannot be kept is left out.

The seed is loaded again piece by piece, as far as each piece goes; what is refused waits until everything else is in,
for it may only stand before its parent. What was done is told row by row, and the outcome is SQL that can be loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from seatrial.errors import DatabaseError, SeedError
from seatrial.model import Attributes, Database, ErrorKind, StepError, TableRef
from seatrial.seeds.inserts import Row, literal, rows_of
from seatrial.seeds.load import Piece, find_table, must_be_given, pieces
from seatrial.seeds.references import NoParentError, Values
from seatrial.seeds.rows import Maker
from seatrial.seeds.shape import Reference, Shape, shapes
from seatrial.seeds.standing import Standing, qualified
from seatrial.sql.rename import names_in

_TRIES = 5  # made-up values for one row
_SHOWN, _CELL = 110, 40  # characters of a row that goes by all its cells, and of one of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """``sql`` loads without a refusal; ``repairs`` say of each row what was done."""

    sql: str
    repairs: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()  # tables whose rows were left out, and why


def repair(database: Database, path: Path, project: Path, refused: SeedError, *, seed: int) -> Repaired:
    """Load what can be kept into a database in which nothing of the seed is.

    Raises ``refused`` where it cannot be mended: a statement that is no INSERT of values or that needs what another
    left in the session, a table that keeps what a transaction should take back, a table or column that the schema does
    not have, or no row that can be kept.
    """
    given = pieces(database, path, project)
    if given.entwined or _keeps_refused(database, given):
        raise refused
    return _Mender(database, given, refused, seed).run(path.name)


def _keeps_refused(database: Database, seed: Piece) -> bool:
    """Whether rows go where a refused statement leaves some of them: what is tried again would be there twice."""
    lasting = {t.name.casefold() for t in database.lasting()}
    named = ({n.casefold() for n in names_in(s, database.engine)} for s in seed.statements)
    return bool(lasting) and any(not lasting.isdisjoint(names) for names in named)


@dataclass(slots=True)
class _Part:
    """A statement, or one row of it."""

    sql: str
    row: Row | None = None


class _Mender:
    def __init__(self, database: Database, seed: Piece, refused: SeedError, random: int) -> None:
        self.database, self.refusal, self.random = database, refused, random
        self.schema = database.inspect()
        self.known = shapes(self.schema, database.engine)
        self.seed = seed
        self.saved: list[_Part] = []
        self.repairs: list[str] = []
        self._waiting: list[tuple[_Part, StepError]] = []
        self._kept = 0

    def run(self, name: str) -> Repaired:
        self._save([_Part(text) for text in self.seed.statements])
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            for part, _ in waiting:
                self._save([part])
            if len(self._waiting) == len(waiting):
                break
        self._waiting.sort(key=lambda item: self._depth(item[0]))
        while self._waiting:
            self._mend(*self._waiting.pop(0))
        if not self.saved:
            raise self.refusal
        head = f"-- {name} as Seatrial repaired it: {len(self.repairs)} repairs, which its report lists\n"
        texts = [*self.seed.session, *(part.sql for part in self.saved)]
        sql = head + "".join(f"{text};\n" for text in texts)
        return Repaired(sql=sql, repairs=tuple(self.repairs), skipped=self.seed.skipped)

    # --- loading ---

    def _save(self, parts: Sequence[_Part]) -> None:
        """Load parts together; refused ones are narrowed down to single rows, which wait."""
        if not parts:
            return
        error = self._try(parts)
        if error is None:
            self.saved += parts
        elif len(parts) > 1:
            middle = len(parts) // 2
            self._save(parts[:middle])
            self._save(parts[middle:])
        elif len(rows := self._rows(parts[0])) > 1:
            self._save(rows)
        else:
            self._waiting.append((rows[0] if rows else parts[0], error))

    def _try(self, parts: Sequence[_Part]) -> StepError | None:
        """In one transaction, so that nothing stays of parts that are refused."""
        texts = [*self.seed.session, "BEGIN", *(part.sql for part in parts), "COMMIT"]
        error = self.database.load("".join(f"{text};\n" for text in texts))
        if error is not None and error.kind is ErrorKind.ENVIRONMENT:
            raise SeedError(str(self.refusal), refused=error)
        return error

    def _rows(self, part: _Part) -> list[_Part]:
        if part.row is not None:
            return [part]
        return [self._part(row) for row in rows_of(part.sql, self.database.engine)]

    def _part(self, row: Row) -> _Part:
        return _Part(row.sql({c: self.database.quote(c) for c in row.columns}), row)

    # --- mending ---

    def _mend(self, part: _Part, error: StepError) -> None:
        row = part.row
        table = find_table(self.schema, row.table) if row else None
        cells = row.named(list(self.schema.columns(table))) if row and table else None
        if row is None or table is None or cells is None or not cells.keys() <= self.schema.columns(table).keys():
            raise self.refusal
        name = self._name(table, cells)
        parents = self._supply(table, cells)
        for mended, words in self._proposals(table, row, cells):
            last = self._try([self._part(mended)])
            if last is None:
                self.saved.append(self._part(mended))
                self.repairs += [f"{name}: {w}" for w in (*words, *parents)]
                return
            error = last
        out = f"left out, it cannot be saved: {_first_line(error.message)}"
        self.repairs += [f"{name}: {w}" for w in (*parents, out)]

    def _depth(self, part: _Part) -> int:
        """How many tables stand above a row's: a parent is mended before its children ask for one."""
        table = find_table(self.schema, part.row.table) if part.row else None
        level, seen = {table} if table else set(), set[TableRef]()
        while level:
            seen |= level
            level = {r.table for t in level if t in self.known for r in self.known[t].references if r.declared} - seen
        return len(seen)

    def _mend_first(self, table: TableRef, pairs: Mapping[str, str]) -> None:
        """Mend a row that waits too, where it is the one that another refers to."""
        for item in self._waiting:
            row = item[0].row
            there = find_table(self.schema, row.table) if row else None
            cells = row.named(list(self.schema.columns(there))) if row and there and there == table else None
            if cells is not None and all(cells.get(c) == v for c, v in pairs.items()):
                self._waiting.remove(item)
                self._mend(*item)
                return

    def _name(self, table: TableRef, cells: Mapping[str, str]) -> str:
        key = [cells[c] for c in self.known[table].key if c in cells] if table in self.known else []
        if key:
            return f"{table} {', '.join(key)}"
        shown = list(map(_brief, cells.values()))
        fits = sum(total <= _SHOWN for total in accumulate(len(c) + 2 for c in shown))
        return f"{table} ({', '.join(shown[:fits])}{', ...' if fits < len(shown) else ''})"

    def _proposals(self, table: TableRef, row: Row, cells: Mapping[str, str]) -> Iterator[tuple[Row, list[str]]]:
        """The row with other values for what it lacks, each time others; as it is where it lacks nothing."""
        lacking = self._lacking(table, cells)
        if not lacking:
            yield row, []
            return
        for turn in range(_TRIES):
            found = self._values(table, cells, lacking, turn)
            if found is None:
                return
            kept = {c: v for c, v in cells.items() if c not in lacking}
            words = [f"{c} was given {v}, for it must not be NULL" for c, v in found.items()]
            words += [f"{c} was left to its default, for it must not be NULL" for c in lacking if c not in found]
            yield row.having({**kept, **found}), words

    def _lacking(self, table: TableRef, cells: Mapping[str, str]) -> list[str]:
        columns = self.schema.columns(table)
        return [c for c, a in columns.items() if _is_lacking(a, cells.get(c))]

    def _values(
        self, table: TableRef, cells: Mapping[str, str], lacking: Sequence[str], turn: int
    ) -> dict[str, str] | None:
        """Values for required columns; those with a default are left to it."""
        columns, shape = self.schema.columns(table), self.known[table]
        wanted = [c for c in lacking if must_be_given(columns[c])]
        made = self._made(shape, [c for c in shape.columns if c not in wanted], turn) if wanted else {}
        if made is None or any(made.get(c) is None for c in wanted):
            return None
        return {c: literal(made[c], self.database.engine) for c in wanted}

    def _made(self, shape: Shape, fixed: Sequence[str], turn: int) -> Values | None:
        """Made-up values of a table's columns but the fixed ones, apart from those that stand."""
        standing = Standing(self.database, self.known)

        def parents(reference: Reference) -> Sequence[tuple[object, ...]]:
            return standing.keys(reference.table, reference.referenced) if reference.table in self.known else []

        maker = Maker(shape, self.random, _TRIES + 1, parents, fixed=fixed)
        unique = list(dict.fromkeys(c for u in shape.uniques for c in u.columns))
        maker.avoid(standing.rows(shape.table, unique))
        try:
            rows = [maker.row(i) for i in range(turn + 1)]
        except NoParentError:
            return None
        return rows[-1]

    # --- parents ---

    def _supply(self, table: TableRef, cells: Mapping[str, str]) -> list[str]:
        """Make the parents that a row refers to and that are not there; what was made, in words."""
        if not self.seed.enforced or table not in self.known:
            return []
        told = []
        for reference in self.known[table].references:
            given = [cells.get(c, "NULL") for c in reference.columns]
            if not reference.declared or reference.table not in self.known or any(_is_null(v) for v in given):
                continue
            pairs = dict(zip(reference.referenced, given, strict=True))
            self._mend_first(reference.table, pairs)
            if not self._stands(reference.table, pairs) and self._make(reference.table, pairs):
                keys = ", ".join(f"{c} = {v}" for c, v in pairs.items())
                told.append(f"its missing parent in {reference.table} was made ({keys})")
        return told

    def _stands(self, table: TableRef, pairs: Mapping[str, str]) -> bool:
        where = " AND ".join(f"{self.database.quote(c)} = {v}" for c, v in pairs.items())
        try:
            return bool(self.database.query(f"SELECT 1 FROM {qualified(self.database, table)} WHERE {where} LIMIT 1"))
        except DatabaseError:  # an expression that makes no sense there: then it is no parent that could be made
            return True

    def _make(self, table: TableRef, pairs: Mapping[str, str]) -> bool:
        shape = self.known[table]
        for turn in range(_TRIES):
            made = self._made(shape, list(pairs), turn)
            if made is None:
                return False
            own = {c.name for c in shape.columns.values() if c.by_engine} | pairs.keys()
            cells = {**pairs, **{c: literal(v, self.database.engine) for c, v in made.items() if c not in own}}
            row = Row(table, f"INSERT INTO {qualified(self.database, table)}", tuple(cells), tuple(cells.values()))
            if self._try([self._part(row)]) is None:
                self.saved.append(self._part(row))
                return True
        return False


def _is_lacking(attributes: Attributes, cell: str | None) -> bool:
    if attributes.get("nullable") is not False or attributes.get("generated"):
        return False
    if cell is None:
        return must_be_given(attributes)
    return _is_null(cell) and not attributes.get("auto_increment")


def _brief(cell: str) -> str:
    """A cell that is not cut in the middle of a quoted text: what reads the quotes would mistake what follows."""
    if len(cell) <= _CELL:
        return cell
    return f"'{cell.replace(chr(39), '')[:_CELL]}...'"


def _is_null(cell: str) -> bool:
    return cell.upper() in ("NULL", "DEFAULT")


def _first_line(text: str) -> str:
    return " ".join(text.split())[:200]
