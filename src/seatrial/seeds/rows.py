"""Rows for one table: candidates per column, put together until no known constraint refuses the row.

Everything is drawn from generators named after the seed, the table and the column: same input, same rows.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial

from seatrial.seeds.conditions import Condition
from seatrial.seeds.families import Family
from seatrial.seeds.patterns import from_like, from_regex
from seatrial.seeds.shape import Column, Reference, Shape, Unique
from seatrial.seeds.values import distinct, looks_unique, pool
from seatrial.sql.tokens import NUMBER, STRING

Values = dict[str, object]
Parents = Callable[[Reference], Sequence[tuple[object, ...]]]
_LIKE = ("LIKE", "ILIKE", "~~", "~~*", "GLOB")
_REGEX = ("~", "~*", "REGEXP", "RLIKE", "REGEXP_LIKE")
_TRIES = 120


class NoParentError(Exception):
    """A required reference to a table without rows."""


# --- candidates of one column ---


def candidates(column: Column, checks: Sequence[Condition], rng: random.Random) -> list[object]:
    """Values that hurt and constants that the conditions name, as far as the conditions on this column alone allow."""
    mentioned = [c for c in checks if column.name in c.columns]
    hinted = [h for c in mentioned for h in _hints(column.family, c, rng)]
    alone = [c for c in mentioned if c.columns == (column.name,)]
    made = [*pool(column.family, column.name, column.default), *hinted]
    fitting = [v for v in made if _fits(column, v, alone)]
    if not fitting:
        stream = Stream(column, alone, 1, rng)
        fitting = [v for _ in range(4) if (v := stream.next()) is not None]
    fitting = _once(fitting or made)
    rng.shuffle(fitting)
    return fitting


def _once(values: Iterable[object]) -> list[object]:
    """-0.0 and 0.0 are two values here, as are 1 and True."""
    return list({(type(v), repr(v)): v for v in values}.values())


def _fits(column: Column, value: object, checks: Sequence[Condition]) -> bool:
    family = column.family
    if (
        isinstance(value, str)
        and family.name in ("text", "char")
        and family.length is not None
        and len(value) > family.length
    ):
        return False
    row = {column.name: family.compare(value)}
    return not any(c.refuses(row) for c in checks)


def _hints(family: Family, check: Condition, rng: random.Random) -> list[object]:
    found: list[object] = []
    before = ""
    for token in check.tokens:
        if token.kind == STRING:
            found += _near_text(family, token.value, before, rng)
        elif token.kind == NUMBER:
            found += _near_number(family, Decimal(token.value))
        before = token.word if token.word and token.word not in ("(", ",") else before
    return found


def _near_text(family: Family, text: str, before: str, rng: random.Random) -> list[object]:
    if family.name in ("text", "char", "unknown"):
        if before in _LIKE:
            return list(from_like(text))
        if before in _REGEX:
            return list(from_regex(text, rng, 6))
        return [text]
    if family.name in ("integer", "float", "year"):
        return [v] if isinstance(v := family.read(text), (int, float)) else []
    return [text] if family.name not in ("boolean", "bytes", "binary", "array") else []


def _near_number(family: Family, number: Decimal) -> list[object]:
    if family.name == "integer":
        return [v for d in (0, 1, -1) if family.low <= (v := int(number) + d) <= family.high]
    if family.name == "decimal":
        step = Decimal(1).scaleb(-(family.scale or 0))
        return [f"{number + d:f}" for d in (0, step, -step, 1)]
    if family.name == "float":
        return [float(number), float(number) + 0.5, float(number) - 0.5]
    if family.name in ("text", "char") and 0 <= number <= 1000:
        return [made for d in (0, 1, -1) for made in _of_length(int(number) + d)]
    return []


def _of_length(length: int) -> list[str]:
    texts = ("00501", "aBc", "ABC", "é x")
    return [(t * length)[:length] for t in texts] if length > 0 else [""]


class Stream:
    """An endless row of different values for a column, by the first way of making them that the conditions let pass."""

    def __init__(self, column: Column, checks: Sequence[Condition], base: int, rng: random.Random) -> None:
        self.column, self.checks, self.used = column, checks, set[str]()
        self._count, self._misses = 0, 0
        self._sources = _sources(column, checks, base, rng)

    def next(self) -> object:
        """None where no further value was found."""
        while self._sources:
            value = self._sources[0](self._count)
            self._count += 1
            good = value is not None and repr(value) not in self.used and _fits(self.column, value, self.checks)
            if good:
                self.used.add(repr(value))
                self._misses = 0
                return value
            self._misses += 1
            if value is None or self._misses > 40:
                self._sources.pop(0)
                self._misses = self._count = 0
        return None


def _sources(
    column: Column, checks: Sequence[Condition], base: int, rng: random.Random
) -> list[Callable[[int], object]]:
    family = column.family
    sources: list[Callable[[int], object]] = [lambda i: distinct(family, i, base, column.name)]
    for token in (t for c in checks for t in c.tokens):
        if token.kind == NUMBER and family.name in ("integer", "decimal", "float"):
            start = int(Decimal(token.value))
            sources += [_shifted(family, start, 1), _shifted(family, start, -1)]
        elif token.kind == NUMBER and 0 < Decimal(token.value) <= 100:
            sources += _padded(int(Decimal(token.value)))
        elif token.kind == STRING:
            sources.append(_patterned(token.value, rng))
    fixed = [h for c in checks for h in _hints(family, c, rng)] + pool(family, column.name, column.default)
    return [*sources, lambda i: fixed[i] if i < len(fixed) else None]


def _shifted(family: Family, start: int, sign: int) -> Callable[[int], object]:
    def source(i: int) -> object:
        value = start + sign * i
        if family.name == "integer":
            return value if family.low <= value <= family.high else None
        return float(value) if family.name == "float" else str(value)

    return source


def _padded(length: int) -> list[Callable[[int], object]]:
    """Texts of a certain length: codes of digits, and of letters."""
    widths = [n for n in (length, length + 1, length - 1) if n > 0]
    return [partial(code, width=n) for n in widths for code in (_digits, _letters)]


def _digits(i: int, width: int) -> object:
    return str(i).zfill(width)


def _letters(i: int, width: int) -> object:
    return "".join(chr(65 + i // 26**place % 26) for place in reversed(range(width)))


def _patterned(pattern: str, rng: random.Random) -> Callable[[int], object]:
    """A literal that is no pattern gives itself again and again, and is soon left."""
    likes = [pattern.replace("_", "a")] if "%" in pattern or "*" in pattern else []

    def source(i: int) -> object:
        if likes:
            return likes[0].replace("%", f"x{i}").replace("*", f"x{i}")
        return next(iter(from_regex(pattern, rng, 1)), None)

    return source


# --- whole rows ---


class Maker:
    """Rows of one table, one after the other. ``parents`` gives the rows that a reference can point to."""

    def __init__(
        self,
        shape: Shape,
        seed: int,
        rows: int,
        parents: Parents,
        *,
        fixed: Iterable[str] = (),
    ) -> None:
        self.shape, self.rows, self._parents = shape, rows, parents
        self._rng = random.Random(f"{seed}/{shape.table}")
        self._base = 1000 + zlib.crc32(str(shape.table).encode()) % 9973 * 1000
        left = set(fixed)
        self.columns = [c for c in shape.columns.values() if not c.by_engine and c.name not in left]
        self.checks = [c for _, c in shape.conditions]
        self._references = sorted(
            (r for r in shape.references if not left >= set(r.columns) and all(c in shape.columns for c in r.columns)),
            key=lambda r: (r.table == shape.table, not r.declared, -len(r.columns)),
        )
        self._referring = {c: r for r in reversed(self._references) for c in r.columns if c not in left}
        self._overlapping = [r for r in self._references if any(self._referring.get(c) is not r for c in r.columns)]
        self._uniques = [u for u in shape.uniques if u.columns and u.plain]
        self._used: list[set[tuple[str, ...]]] = [set() for _ in self._uniques]
        self._soft = self._soft_unique()
        self._random = {c.name: random.Random(f"{seed}/{shape.table}/{c.name}") for c in self.columns}
        self._pools = {c.name: candidates(c, self.checks, self._random[c.name]) for c in self.columns}
        self._streams = self._make_streams()
        self._planned: list[Values] = []
        self._made: list[Values] = []

    def _soft_unique(self) -> tuple[str, ...]:
        """A table of pairs rarely holds a pair twice, declared or not."""
        declared = {c for r in self._references for c in r.columns}
        declared &= {c.name for c in self.columns}
        return tuple(sorted(declared)) if len({r.columns for r in self._references}) > 1 else ()

    def _make_streams(self) -> dict[str, Stream]:
        """One column of each unique key makes it differ; so do columns whose names promise it."""
        drivers: dict[str, Column] = {}
        free = {c.name: c for c in self.columns if c.name not in self._referring}
        for unique in sorted(self.shape.uniques, key=lambda u: len(u.columns)):
            able = [free[c] for c in unique.columns if c in free and c not in drivers]
            if able and not any(c in drivers for c in unique.columns):
                best = max(able, key=_telling)
                drivers[best.name] = best
        soft = [c for c in free.values() if c.family.name in ("text", "uuid") and looks_unique(c.name)]
        drivers |= {c.name: c for c in soft if not _listed(self._pools[c.name], c, self.checks)}
        alone = {n: [k for k in self.checks if k.columns == (n,)] for n in drivers}
        return {n: Stream(c, alone[n], self._base, self._random[n]) for n, c in drivers.items()}

    def avoid(self, rows: Iterable[Values]) -> None:
        """Rows that stand in the table already."""
        for row in rows:
            self._note(row)
            for name, stream in self._streams.items():
                stream.used.add(repr(row.get(name)))

    def plan(self, columns: Sequence[str]) -> list[tuple[object, ...]]:
        """Keys of rows that are made later, for rows that refer to them now; empty where they hang on other tables."""
        if not set(columns) <= self._streams.keys():
            return []
        while len(self._planned) < self.rows:
            self._planned.append({})
        for planned in self._planned:
            planned.update({c: self._streams[c].next() for c in columns if c not in planned})
        return [tuple(p[c] for c in columns) for p in self._planned if None not in [p[c] for c in columns]]

    @property
    def has_plan(self) -> bool:
        return bool(self._planned)

    def row(self, i: int, given: Mapping[str, object] | None = None) -> Values | None:
        """Row number ``i``, noted as made; None where nothing fits. ``given`` stays as it is. Raises NoParentError."""
        return self.settle(self._first(i, given or {}), i)

    def settle(self, row: Values, i: int) -> Values | None:
        """Change what stands in the way of known constraints until nothing does."""
        for attempt in range(_TRIES):
            wrong = self._wrong(row, soft=attempt < 40)
            if wrong is None:
                self._note(row)
                self._made.append(row)
                return row
            free = [c for c in wrong if c in self._pools and c not in self.planned_at(i)]
            if not free:
                return None
            for name in free if attempt % 3 == 2 else [self._rng.choice(free)]:
                self.change(row, name, i)
        return None

    def withdraw(self, row: Values) -> None:
        """The engine refused a row: it is no parent, and its keys are free."""
        self._made = [m for m in self._made if m is not row]
        for unique, used in zip(self._uniques, self._used, strict=True):
            used.discard(_key(unique, row))

    def forget(self, name: str, value: object) -> None:
        """The engine refused a value."""
        self._pools[name] = [v for v in self._pools.get(name, ()) if repr(v) != repr(value)]

    def choices(self, name: str) -> bool:
        """Whether there is another value to try."""
        return bool(self._pools.get(name)) or name in self._streams or name in self._referring

    def change(self, row: Values, name: str, i: int) -> None:
        """Another value for a column, and for those that refer to a parent together with it."""
        column = self.shape.columns[name]
        if column.nullable and self._rng.random() < 0.25:
            row[name] = None
        elif name in self._referring:
            changed = self._referring[name]
            for reference in (changed, *(r for r in self._overlapping if set(r.columns) & set(changed.columns))):
                self._refer(reference, row, self._rng.randrange(10**6), again=True)
        elif name in self._streams:
            row[name] = self._streams[name].next()
        elif self._pools[name]:
            row[name] = self._rng.choice(self._pools[name])

    def planned_at(self, i: int) -> Values:
        """What other tables' rows already rely on in row number ``i``."""
        return self._planned[i] if i < len(self._planned) else {}

    def _first(self, i: int, given: Mapping[str, object]) -> Values:
        row: Values = {**given, **self.planned_at(i)}
        own = [r for r in self._references if r.table == self.shape.table]
        for reference in self._references:
            if reference.table != self.shape.table:
                self._refer(reference, row, self._turn(reference, i))
        for column in self.columns:
            if column.name not in row and not any(column.name in r.columns for r in own):
                row[column.name] = self._value(column, i)
        for reference in own:
            self._refer_to_own(reference, row, i)
        self._leave_null(row, i, first=2 if own else 1)
        return row

    def _value(self, column: Column, i: int) -> object:
        if column.name in self._streams:
            value = self._streams[column.name].next()
            if value is not None:
                return value
        values = self._pools[column.name]
        return values[i % len(values)] if values else None

    def _leave_null(self, row: Values, i: int, first: int) -> None:
        """Row 0 has every value; each nullable column is NULL in one certain row and a few others."""
        nullable = [c.name for c in self.columns if c.nullable and c.name not in self.planned_at(i)]
        if i < first:
            return
        for place, name in enumerate(nullable):
            if (i - first) == place % max(1, self.rows - first) or self._random[name].random() < 0.12:
                row[name] = None
        for reference in (r for r in self._references if r.whole):
            if any(row.get(c) is None for c in reference.columns):
                row.update(dict.fromkeys(reference.columns))

    # --- references ---

    def _turn(self, reference: Reference, i: int) -> int:
        """0, 0, 1, 2 ...: the first parent has two children; where each may have one only: 0, 1, 2 ..."""
        single = any(set(u.columns) <= set(reference.columns) for u in self._uniques)
        shift = zlib.crc32(",".join(reference.columns).encode()) % 7 if len(self._references) > 1 else 0
        return i if single else max(0, i - 1) + shift

    def _refer(self, reference: Reference, row: Values, turn: int, *, again: bool = False) -> None:
        everyone = self._everyone(reference)
        options = self._fitting(reference, row, everyone)
        if not everyone or (not options and any(self._is_free(reference, c) for c in reference.columns)):
            self._refer_to_none(reference, row)
            return
        options = options or everyone  # does not fit what another reference chose: put right by settle()
        most = len(options) if again else len(options) - max(1, len(options) // 4) if len(options) > 1 else 1
        chosen = zip(reference.columns, options[turn % most], strict=True)
        row.update({c: v for c, v in chosen if row.get(c) is None or not self._is_shared(reference, c)})

    def _everyone(self, reference: Reference) -> Sequence[tuple[object, ...]]:
        if reference.table == self.shape.table:
            return [tuple(m.get(c) for c in reference.referenced) for m in self._made]
        return self._parents(reference)

    def _fitting(
        self, reference: Reference, row: Values, options: Sequence[tuple[object, ...]]
    ) -> Sequence[tuple[object, ...]]:
        """The parents that agree with what a wider reference, or one before it, has already set."""
        shared = [c for c in reference.columns if row.get(c) is not None and self._is_shared(reference, c)]
        if not shared:
            return options
        places = [(reference.columns.index(c), row[c]) for c in shared]
        return [o for o in options if all(o[p] == v for p, v in places)]

    def _is_free(self, reference: Reference, name: str) -> bool:
        return self.shape.columns[name].nullable and not self._is_shared(reference, name)

    def _is_shared(self, reference: Reference, name: str) -> bool:
        return self._referring.get(name) is not reference

    def _refer_to_none(self, reference: Reference, row: Values) -> None:
        nullable = [c for c in reference.columns if self.shape.columns[c].nullable]
        if nullable:
            own = [c for c in nullable if self._is_free(reference, c)]
            row.update(dict.fromkeys(reference.columns if reference.whole else own or nullable))
        elif not reference.declared:
            row.update({c: self._value(self.shape.columns[c], 0) for c in reference.columns if row.get(c) is None})
        else:
            columns = ", ".join(reference.columns)
            raise NoParentError(f"{columns} must refer to a row of {reference.table}, which has none that fits")
        for name in reference.columns:
            if name not in row:
                row[name] = self._value(self.shape.columns[name], 0)

    def _refer_to_own(self, reference: Reference, row: Values, i: int) -> None:
        """A tree: the first row is its own parent only where it must have one."""
        if self._made:
            self._refer(reference, row, self._rng.randrange(10**6) if i > 2 else 0, again=True)
        elif any(self.shape.columns[c].nullable for c in reference.columns):
            self._refer_to_none(reference, row)
        else:
            row.update({c: row[o] for c, o in zip(reference.columns, reference.referenced, strict=True) if o in row})

    # --- constraints ---

    def _wrong(self, row: Values, *, soft: bool) -> Sequence[str] | None:
        """The columns of a constraint that refuses the row."""
        for column in self.columns:
            if row.get(column.name) is None and not column.nullable:
                return [column.name]
        for check in self.checks:
            if check.refuses(self._view(row, check.columns)):
                return check.columns
        for reference in self._overlapping:
            if not self._refers(reference, row):
                return reference.columns
        for unique, used in zip(self._uniques, self._used, strict=True):
            if _key(unique, row) in used and not self._is_exempt(unique, row):
                return unique.columns
        if soft and self._soft and any(all(m.get(c) == row.get(c) for c in self._soft) for m in self._made[-200:]):
            return self._soft
        return None

    def _refers(self, reference: Reference, row: Values) -> bool:
        own = tuple(row.get(c) for c in reference.columns)
        itself = tuple(row.get(c) for c in reference.referenced) if reference.table == self.shape.table else ()
        return not reference.declared or None in own or own == itself or own in self._everyone(reference)

    def _is_exempt(self, unique: Unique, row: Values) -> bool:
        if unique.nulls_differ and any(row.get(c) is None for c in unique.columns):
            return True
        condition = unique.predicate
        return condition is not None and condition.value(self._view(row, condition.columns)) in (False, None)

    def _view(self, row: Values, columns: Iterable[str]) -> Mapping[str, object]:
        known = self.shape.columns
        return {c: known[c].family.compare(row[c]) for c in columns if c in row}

    def _note(self, row: Values) -> None:
        for unique, used in zip(self._uniques, self._used, strict=True):
            if not self._is_exempt(unique, row):
                used.add(_key(unique, row))


def _key(unique: Unique, row: Values) -> tuple[str, ...]:
    return tuple(str(row.get(c)) for c in unique.columns)


def _telling(column: Column) -> tuple[bool, int, bool]:
    """How well a column tells rows apart; a range first, for exclusion constraints."""
    return column.family.name.endswith("range"), column.family.distinct or 10**9, not column.nullable


def _listed(values: Sequence[object], column: Column, checks: Sequence[Condition]) -> bool:
    """Whether a condition leaves a column only the values that it lists."""
    alone = [c for c in checks if c.columns == (column.name,)]
    return bool(alone) and all(any(t.kind == STRING and t.value == v for c in alone for t in c.tokens) for v in values)
