"""A given seed that the schema refuses, mended: what a row lacks is supplied, what cannot be kept is left out.

The seed is loaded again piece by piece, as far as each piece goes; what is refused waits until everything else is in,
for it may only stand before its parent. What still waits then is mended table by table, many rows at a time. What was
done is told row by row, and the outcome is SQL that can be loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, count, groupby, repeat
from pathlib import Path
from typing import TypeVar

from seatrial.config import Required
from seatrial.errors import DatabaseError, SeedError
from seatrial.model import Attributes, Database, ErrorKind, StepError, TableRef
from seatrial.seeds.inserts import Row, literal, rows_of
from seatrial.seeds.lasting import Lasting
from seatrial.seeds.load import find_table, must_be_given
from seatrial.seeds.pieces import Piece, pieces
from seatrial.seeds.references import NoParentError
from seatrial.seeds.rows import Maker
from seatrial.seeds.shape import Reference, shapes
from seatrial.seeds.standing import Standing, qualified
from seatrial.seeds.waiting import Order, Pairs, Waiting, is_null, is_own, refers_to
from seatrial.values import dataclass

_TRIES = 5  # made-up values for one row
_TOGETHER = 200  # rows in one transaction, and asked for in one query
_SHOWN, _CELL = 110, 40  # characters of a row that goes by all its cells, and of one of them

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """``sql`` loads without a refusal; ``repairs`` say of each row what was done; ``supplied``: parents were made."""

    sql: str
    repairs: tuple[str, ...]
    supplied: bool = False
    skipped: tuple[tuple[str, str], ...] = ()  # tables whose rows were left out, and why


class Beyond(Exception):
    """A seed that cannot be repaired: why, and what was done by then; ``chance``: other made-up values might do."""

    def __init__(self, why: str, repairs: Sequence[str] = (), *, chance: bool = False) -> None:
        super().__init__(why)
        self.repairs, self.chance = tuple(repairs), chance


def repair(
    database: Database,
    path: Path,
    project: Path,
    refused: SeedError,
    *,
    seed: int,
    required: Sequence[Required] = (),
) -> Repaired:
    """Load what can be kept into a database in which nothing of the seed is.

    Raises Beyond where it cannot be mended: a statement that is no INSERT of values or that needs what another left in
    the session, a table or column that the schema does not have, or no row that can be kept. Raises ``refused`` where
    the surroundings are at fault.

    A table without transactions (MyISAM) keeps the rows before the refused one, which would be there twice when that is
    tried again. Its rows are loaded one by one: one row is in, or is not. Raises Beyond where that is not so either: a
    trigger may fail when the row is in already.
    """
    given = pieces(database, path, project)
    if given.entwined:
        raise Beyond("its statements take up what earlier ones left in the session, so none can be tried alone")
    with database.loading() as attempt:
        return _Mender(database, given, refused, seed, attempt, required).run(path.name)


@dataclass(frozen=True, slots=True)
class _Part:
    """A statement, or one row of it."""

    sql: str
    row: Row | None = None
    place: tuple[int, ...] = ()  # in the seed


class _Mender:
    def __init__(
        self,
        database: Database,
        seed: Piece,
        refused: SeedError,
        random: int,
        attempt: Callable[[str], StepError | None],
        required: Sequence[Required],
    ) -> None:
        self.database, self.refusal, self.random, self._attempt = database, refused, random, attempt
        self.schema = database.inspect()
        self.known = shapes(self.schema, database.engine, (), required)
        self.seed = seed
        self.order = Order(self.known, seed.enforced)
        self.lasting = Lasting.of(database, self.schema)
        self.saved: list[_Part] = []
        self.repairs: list[str] = []
        self.supplied = False
        self._refused: list[tuple[_Part, StepError]] = []

    def run(self, name: str) -> Repaired:
        for setting in self.seed.session:
            if error := self._checked(self._attempt(setting)):
                raise Beyond(f"its own setting is refused: {error.message}")
        if twice := self.lasting.written_by_triggers(self.schema):
            raise Beyond(twice)
        self._save([_Part(text, place=(i,)) for i, text in enumerate(self.seed.statements)])
        self._save_what_waited()
        self._mend_all([self._waiting(part, error) for part, error in self._refused])
        if not self.saved:
            first = f" ({self.repairs[0]})" if self.repairs else ""
            raise Beyond(f"no row of it can be kept{first}", self.repairs, chance=True)
        head = f"-- {name} as Seatrial repaired it: {len(self.repairs)} repairs, which its report lists\n"
        texts = [*self.seed.session, *(part.sql for part in self.saved)]
        sql = head + "".join(f"{text};\n" for text in texts)
        return Repaired(sql=sql, repairs=tuple(self.repairs), supplied=self.supplied, skipped=self.seed.skipped)

    # --- loading ---

    def _save(self, parts: Sequence[_Part]) -> None:
        """Load parts in their order; of those that are refused, single rows; what is refused still, waits."""
        for some in self._apart(parts):
            if len(some) == 1 and self._keeps(some[0]):
                self._save_rows(some[0])
            elif self._try(some) is None:
                self.saved += some
            else:
                for part in some:
                    self._save_one(part)

    def _apart(self, parts: Sequence[_Part]) -> Iterator[Sequence[_Part]]:
        """Parts to be tried together: those of which something would stay are alone."""
        for keeps, found in groupby(parts, self._keeps):
            some = list(found)
            yield from ([part] for part in some) if keeps else _some(some)

    def _keeps(self, part: _Part) -> bool:
        """Whether a table named there keeps what a transaction should take back."""
        if part.row is not None:
            return self.lasting.has(part.row.table.name)
        return self.lasting.named_in(part.sql)

    def _save_rows(self, part: _Part) -> None:
        """Row by row, into a table that keeps the rows before the refused one."""
        for row in self._rows(part) or [part]:
            if (error := self._checked(self._attempt(row.sql))) is None:
                self.saved.append(row)
            elif row.row is None:
                raise Beyond(f"{_first_line(row.sql, 60)} may have left rows when it was refused: {error.message}")
            else:
                self._refused.append((row, error))

    def _save_one(self, part: _Part) -> None:
        error = self._try([part])
        if error is None:
            self.saved.append(part)
        elif len(rows := self._rows(part)) > 1:
            self._save(rows)
        else:
            self._refused.append((rows[0] if rows else part, error))

    def _save_what_waited(self) -> None:
        """Again and again while that helps, to and fro: rows may stand before their parents in any order."""
        while self._refused:
            waiting, self._refused = self._refused[::-1], []
            self._save([part for part, _ in waiting])
            if len(self._refused) == len(waiting):
                break
        self._refused.sort(key=lambda item: item[0].place)

    def _try(self, parts: Sequence[_Part]) -> StepError | None:
        """In one transaction, so that nothing stays of parts that are refused."""
        if len(parts) == 1 and parts[0].row is not None:
            return self._checked(self._attempt(parts[0].sql))
        for sql in ("BEGIN", *(part.sql for part in parts), "COMMIT"):
            if error := self._checked(self._attempt(sql)):
                self._attempt("ROLLBACK")
                return error
        return None

    def _checked(self, error: StepError | None) -> StepError | None:
        if error is not None and error.kind is ErrorKind.ENVIRONMENT:
            raise SeedError(str(self.refusal), refused=error)
        return error

    def _rows(self, part: _Part) -> list[_Part]:
        if part.row is not None:
            return [part]
        return [self._part(row, (*part.place, i)) for i, row in enumerate(rows_of(part.sql, self.database.engine))]

    def _part(self, row: Row, place: tuple[int, ...] = ()) -> _Part:
        return _Part(row.sql({c: self.database.quote(c) for c in row.columns}), row, place)

    def _put(self, parts: Sequence[_Part]) -> list[StepError | None]:
        """Load parts, together where they can be; what each was refused for."""
        found: list[StepError | None] = []
        for some in self._apart(parts):
            together = self._try(some) is None
            errors = [None if together else self._try([part]) for part in some]
            self.saved += [part for part, error in zip(some, errors, strict=True) if error is None]
            found += errors
        return found

    # --- mending ---

    def _waiting(self, part: _Part, error: StepError) -> Waiting:
        row = part.row
        if row is None:
            raise Beyond(f"{_first_line(part.sql, 60)} is no INSERT of values: {_first_line(error.message)}")
        table = find_table(self.schema, row.table)
        cells = row.named(list(self.schema.columns(table))) if table else None
        if table is None or cells is None or not cells.keys() <= self.schema.columns(table).keys():
            raise Beyond(f"its rows of {row.table} do not fit a table that there is: {_first_line(error.message)}")
        return Waiting(row, error, table, cells)

    def _mend_all(self, waiting: list[Waiting]) -> None:
        waiting.sort(key=lambda w: self.order.depth(w.table))
        while waiting:
            chosen = self.order.ready(waiting)
            self._mend(chosen[0].table, chosen)
            done = set(map(id, chosen))
            waiting = [w for w in waiting if id(w) not in done]

    def _mend(self, table: TableRef, waiting: Sequence[Waiting]) -> None:
        if self.seed.enforced:
            self._supply(table, waiting)
        alike: dict[tuple[str, ...], list[Waiting]] = {}
        for one in waiting:
            alike.setdefault(self._lacking(table, one.cells), []).append(one)
        for lacking, some in alike.items():
            self._give(table, lacking, some)
        for one in waiting:
            out = f"left out, it cannot be saved: {_first_line(one.error.message)}"
            words = [*one.parents, out] if one.words is None else [*one.words, *one.parents]
            self.repairs += [f"{self._name(table, one.cells)}: {w}" for w in words]

    def _name(self, table: TableRef, cells: Mapping[str, str]) -> str:
        key = [cells[c] for c in self.known[table].key if c in cells] if table in self.known else []
        if key:
            return f"{table} {', '.join(key)}"
        shown = list(map(_brief, cells.values()))
        fits = sum(total <= _SHOWN for total in accumulate(len(c) + 2 for c in shown))
        return f"{table} ({', '.join(shown[:fits])}{', ...' if fits < len(shown) else ''})"

    def _lacking(self, table: TableRef, cells: Mapping[str, str]) -> tuple[str, ...]:
        columns = self.schema.columns(table)
        return tuple(c for c, a in columns.items() if _is_lacking(a, cells.get(c)))

    def _give(self, table: TableRef, lacking: tuple[str, ...], waiting: Sequence[Waiting]) -> None:
        """Try rows with values for what they lack, each time others; as they are where they lack nothing."""
        columns = self.schema.columns(table)
        wanted = [c for c in lacking if must_be_given(columns[c])]  # the rest is left to its default
        made = self._made(table, [c for c in columns if c not in wanted], len(waiting)) if wanted else repeat({})
        for _ in range(_TRIES if wanted else 1):
            found = [(w, values) for w, values in zip(waiting, made, strict=False) if values is not None]
            given = [(w, {c: literal(v[c], self.database.engine) for c in wanted}) for w, v in found]
            errors = self._put([self._part(_with(w, lacking, values)) for w, values in given])
            for (one, values), error in zip(given, errors, strict=True):
                one.error = error or one.error
                one.words = None if error else _words(lacking, values)
            waiting = [w for w in waiting if w.words is None]
            if not waiting:
                return

    def _made(self, table: TableRef, fixed: Sequence[str], rows: int) -> Iterator[Mapping[str, object] | None]:
        """Made-up values of a table's columns but the fixed ones, apart from those that stand; None: none are found."""
        if table not in self.known:
            return
        shape, standing = self.known[table], Standing(self.database, self.known)

        def parents(reference: Reference) -> Sequence[tuple[object, ...]]:
            return standing.keys(reference.table, reference.referenced) if reference.table in self.known else []

        maker = Maker(shape, self.random, rows + _TRIES, parents, fixed=fixed)
        unique = list(dict.fromkeys(c for u in shape.uniques for c in u.columns))
        maker.avoid(standing.rows(shape.table, unique))
        needed = [c.name for c in maker.columns if not c.nullable]
        for number in count():
            try:
                row = maker.row(number)
            except NoParentError:
                return
            yield row if row is None or all(row.get(c) is not None for c in needed) else None

    # --- parents ---

    def _supply(self, table: TableRef, waiting: Sequence[Waiting]) -> None:
        """Make the parents that rows refer to and that are not there."""
        for reference in self.order.references(table):
            first: dict[Pairs, Waiting] = {}
            for one in waiting:
                pairs = refers_to(reference, one.cells)
                if pairs and not is_own(reference, pairs, one):
                    first.setdefault(pairs, one)
            there = (s for some in _some(list(first)) for s in self._stand(reference.table, some))
            missing = [pairs for pairs, stands in zip(first, there, strict=True) if not stands]
            for pairs in self._make(reference.table, missing):
                self.supplied = True
                keys = ", ".join(f"{c} = {v}" for c, v in pairs)
                first[pairs].parents.append(f"its missing parent in {reference.table} was made ({keys})")

    def _stand(self, table: TableRef, rows: Sequence[Pairs]) -> list[bool]:
        """Whether rows with these cells are there."""
        conditions = (" AND ".join(f"{self.database.quote(c)} = {v}" for c, v in pairs) for pairs in rows)
        of = qualified(self.database, table)
        asked = (f"CASE WHEN EXISTS (SELECT 1 FROM {of} WHERE {where}) THEN 1 END" for where in conditions)
        try:
            return [found is not None for found in self.database.query(f"SELECT {', '.join(asked)}")[0]]
        except DatabaseError:  # an expression that makes no sense there: then it is no parent that could be made
            return [True] if len(rows) == 1 else [s for pairs in rows for s in self._stand(table, [pairs])]

    def _make(self, table: TableRef, rows: Sequence[Pairs]) -> list[Pairs]:
        """Make rows with these cells and made-up ones beside; those that could be made."""
        done: dict[Pairs, None] = {}
        made = self._made(table, [c for c, _ in rows[0]], len(rows)) if rows else iter(())
        for _ in range(_TRIES):
            given = [(p, v) for p, v in zip(rows, made, strict=False) if v is not None]
            errors = self._put([self._part(self._parent(table, dict(p), v)) for p, v in given])
            done |= {p: None for (p, _), error in zip(given, errors, strict=True) if error is None}
            rows = [p for p in rows if p not in done]
        return list(done)

    def _parent(self, table: TableRef, cells: Mapping[str, str], made: Mapping[str, object]) -> Row:
        own = {c.name for c in self.known[table].columns.values() if c.by_engine} | cells.keys()
        every = {**cells, **{c: literal(v, self.database.engine) for c, v in made.items() if c not in own}}
        return Row(table, f"INSERT INTO {qualified(self.database, table)}", tuple(every), tuple(every.values()))


def _some(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _TOGETHER] for start in range(0, len(items), _TOGETHER))


def _with(waiting: Waiting, lacking: Sequence[str], values: Mapping[str, str]) -> Row:
    if not lacking:
        return waiting.row
    return waiting.row.having({**{c: v for c, v in waiting.cells.items() if c not in lacking}, **values})


def _words(lacking: Sequence[str], values: Mapping[str, str]) -> list[str]:
    given = [f"{c} was given {v}, for it must not be NULL" for c, v in values.items()]
    return given + [f"{c} was left to its default, for it must not be NULL" for c in lacking if c not in values]


def _is_lacking(attributes: Attributes, cell: str | None) -> bool:
    if attributes.get("nullable") is not False or attributes.get("generated"):
        return False
    if cell is None:
        return must_be_given(attributes)
    return is_null(cell) and not attributes.get("auto_increment")


def _brief(cell: str) -> str:
    """A cell that is not cut in the middle of a quoted text: what reads the quotes would mistake what follows."""
    if len(cell) <= _CELL:
        return cell
    return f"'{cell.replace(chr(39), '')[:_CELL]}...'"


def _first_line(text: str, most: int = 200) -> str:
    return " ".join(text.split())[:most]
