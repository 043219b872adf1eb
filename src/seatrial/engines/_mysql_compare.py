"""The exact difference of two copies of a table's rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from seatrial.engines._mysql_columns import same_value
from seatrial.engines._mysql_link import TextRow, literal
from seatrial.engines._mysql_rows import KEY, Copy, Shadows, is_number
from seatrial.model import ChangedRow, ChangeGroup, Row, TableDiff, TablePair


def diff(shadows: Shadows, old: Copy | None, new: Copy | None, pair: TablePair, limit: int) -> TableDiff | None:
    """How the rows differ; None where they do not."""
    if old is None and new is None:
        return None
    if old is None or new is None:
        return _one_sided(shadows, old, new, pair, limit)
    pair = _held(new, pair)
    missing = any(b is None for _, b in pair.columns)
    same = old.stored_as == new.stored_as and not missing and _complete(old, pair)
    if same and (old.name == new.name or shadows.are_same(old, new)):
        return None
    hashes = same and not old.plain and not new.plain
    with Comparison(shadows, old, new, pair, limit, hashes=hashes) as comparison:
        found = comparison.keyed() if has_key(old, new, pair) else comparison.multiset()
    return found if found else None


def _held(new: Copy, pair: TablePair) -> TablePair:
    """Without a column that became a generated one of another name: what follows from others need not be held."""
    there = {c.name for c in new.columns}
    if all(b is None or b in there for _, b in pair.columns):
        return pair
    return replace(pair, columns=tuple((a, b) for a, b in pair.columns if b is None or b in there))


def diff_of_history(
    shadows: Shadows, old: Copy | None, new: Copy | None, pair: TablePair, limit: int
) -> TableDiff | None:
    """What became of the old versions of rows; that there are more of them now is in the nature of versions."""
    if old is None or old.history is None or not old.history.rows:
        return None
    then, now = old.history, new.history if new is not None else None
    *_, start, end = (c.name for c in then.columns)
    ends = [c.name for c in now.columns[-2:]] if now is not None else [None, None]
    own = {c.name for c in then.columns[:-2]}
    columns = (*((a, b) for a, b in pair.columns if a in own), *zip((start, end), ends, strict=True))
    versions = TablePair(old=pair.old, new=pair.new, columns=columns, key=then.key)
    found = diff(shadows, then, now, versions, limit)
    kept = _untimed(found, (start, end)) if found is not None else None
    return kept if kept else None


def _untimed(diff: TableDiff, period: tuple[str, str]) -> TableDiff:
    """By the rows' own key and columns: when a version began and ended is another time in every run."""
    places = [i for i, c in enumerate(diff.columns) if c not in period]
    keys = len(diff.key) - 1 if diff.key else 0

    def bare(row: Row) -> Row:
        values = tuple(row.values[i] for i in places)
        return Row(key=row.key[:keys] if diff.key else values, values=values)

    return replace(
        diff,
        key=diff.key[:keys],
        columns=tuple(diff.columns[i] for i in places),
        lost=tuple(bare(r) for r in diff.lost),
        added=(),
        added_count=0,
        changed=tuple(replace(g, rows=tuple(replace(r, key=r.key[:keys]) for r in g.rows)) for g in diff.changed),
    )


def told_apart(shadows: Shadows, copy: Copy, others: Iterable[Copy]) -> Copy:
    """The copy under a checksum that it shares with its equals only.

    The server's own is over the bytes of the columns without their borders, so that 'ab', 'c' and 'a', 'bc' have the
    same (measured, MySQL 9.7 and MariaDB 10.11). Where it is equal, the rows are compared: here, instead of later.
    """
    alike = {o.name: o for o in others if o.name != copy.name and o.rows == copy.rows}
    for other in alike.values():
        if other.server_sum == copy.server_sum and _is_same(shadows, other, copy):
            return replace(copy, checksum=other.checksum)
    return replace(copy, checksum=shadows.numbered(copy))


def _is_same(shadows: Shadows, old: Copy, new: Copy) -> bool:
    columns = tuple((c.name, c.name) for c in old.columns)
    pair = TablePair(old=old.table, new=new.table, columns=columns, key=old.key)
    if old.stored_as != new.stored_as or diff(shadows, old, new, pair, 1) is not None:
        return False
    shadows.note_same(old, new)
    return True


def _one_sided(shadows: Shadows, old: Copy | None, new: Copy | None, pair: TablePair, limit: int) -> TableDiff | None:
    copy, lost = (old, True) if old is not None else (new, False)
    assert copy is not None
    if not copy.rows:
        return None
    shadows.realise(copy)
    names = (
        [c.name for c in copy.columns if not c.generated]
        if not pair.columns
        else [a if lost else (b or a) for a, b in pair.columns]
    )
    key = [k for k in (pair.key or copy.key) if any(c.name == k for c in copy.columns)]
    rows = shadows.rows(copy, f"{copy.name} r", names, key, limit)
    return TableDiff(
        table=pair.old,
        new_table=pair.new,
        key=tuple(key),
        columns=tuple(names),
        lost_count=copy.rows if lost else 0,
        lost=rows if lost else (),
        added_count=0 if lost else copy.rows,
        added=() if lost else rows,
    )


def _complete(copy: Copy, pair: TablePair) -> bool:
    """Whether the pair compares every stored column under the same name."""
    return {a for a, b in pair.columns if a == b} >= {c.name for c in copy.columns if not c.generated}


def has_key(old: Copy, new: Copy, pair: TablePair) -> bool:
    names = dict(pair.columns)
    there = {c.name for c in new.columns}
    return (
        bool(pair.key)
        and all(names.get(k, k) in there for k in pair.key)
        and {*pair.key} <= {c.name for c in old.columns}
    )


_GONE = "-"  # the mask of a row whose key is not on the other side


class Comparison:
    """One pair of copies."""

    def __init__(
        self, shadows: Shadows, old: Copy, new: Copy, pair: TablePair, limit: int, *, hashes: bool = False
    ) -> None:
        self._shadows, self._link = shadows, shadows.link
        self._old, self._new, self._pair, self._limit = old, new, pair, limit
        self._hashes = hashes
        self._renamed = dict(pair.columns)
        self._scratch: list[str] = []
        self._on = ""  # how rows of ``o`` and ``n`` belong together
        self._sure = {"o": f"o.{KEY}", "n": f"n.{KEY}"}  # what is never NULL in a row of each side
        self._digested = True  # both sides have ``KEY``

    def __enter__(self) -> Comparison:
        self._shadows.realise(self._old, self._new)
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._scratch:
            self._shadows.drop(name)

    def keyed(self) -> TableDiff:
        """By key: rows that are lost, added, or changed."""
        return self._by_key(*self._sources())

    def join(self) -> str:
        """SQL of both copies, ``o`` and ``n``, joined by their key."""
        old, new = self._sources()
        return f"{old} o JOIN {new} n ON {self._on}"

    def scratch(self, query: str, declared: str = "") -> str:
        """A table of a query's rows that goes with the comparison."""
        name = self._shadows.scratch(query, declared)
        self._scratch.append(name)
        return name

    # --- with a key ---------------------------------------------------------------------------------------------------

    def _sources(self) -> tuple[str, str]:
        """The tables of both copies; how their rows belong together is left in ``_on``."""
        old_key, new_key = self._pair.key, self._new_key
        own = self._old.key == old_key and self._new.key == new_key
        if own and self._is_joined_raw(old_key, new_key):
            sides = [(self._old.at(a, "o"), self._new.at(b, "n")) for a, b in zip(old_key, new_key, strict=True)]
            self._on = " AND ".join(f"{a} = {b}" for a, b in sides)
            self._sure, self._digested = {"o": sides[0][0], "n": sides[0][1]}, False
            return self._old.name, self._new.name
        self._on = f"o.{KEY} = n.{KEY}"
        digests = not any(c.plain or is_number([c.column(n) for n in c.key]) for c in (self._old, self._new))
        if own and digests:
            return self._old.name, self._new.name
        return self._keyed_by(self._old, old_key), self._keyed_by(self._new, new_key)

    def _is_joined_raw(self, old_key: tuple[str, ...], new_key: tuple[str, ...]) -> bool:
        """One integer, or the very same columns as they are in their tables, which the server joins by index or hash.

        Under a collation that takes two keys for equal there is one row of them at most, as the index is unique.
        """
        old, new = [self._old.column(k) for k in old_key], [self._new.column(k) for k in new_key]
        if is_number(old) and is_number(new):
            return True
        alike = all(
            (a.type, a.charset, a.collation) == (b.type, b.charset, b.collation) for a, b in zip(old, new, strict=True)
        )
        return alike and self._old.plain and self._new.plain and not any(c.base in ("float", "double") for c in old)

    @property
    def _new_key(self) -> tuple[str, ...]:
        return tuple(self._renamed.get(k, k) or k for k in self._pair.key)

    def _keyed_by(self, copy: Copy, key: tuple[str, ...]) -> str:
        name = self._shadows.materialised(copy, key)
        self._scratch.append(name)
        return name

    def _by_key(self, old: str, new: str) -> TableDiff:
        # One reading of both sides: where no row is gone and none is new, it is the only one.
        alone = f"{self._sure['n']} IS NULL"
        join = f"{old} o LEFT JOIN {new} n ON {self._on}"
        work = [self.scratch(f"{self._changed(alone)} FROM {join} WHERE {alone} OR {self._differs()}")]
        both = self._old.rows - self._count(f"{work[0]} WHERE m = '{_GONE}'")
        lost = self._missing(old, new, "o", both < self._old.rows)
        added = self._missing(new, old, "n", both < self._new.rows)
        if lost and added and self._digested and (twins := self._twins(lost, added)):
            work.append(twins)
        return TableDiff(
            table=self._pair.old,
            new_table=self._pair.new,
            key=self._pair.key,
            columns=tuple(a for a, _ in self._pair.columns),
            missing_columns=tuple(a for a, b in self._pair.columns if b is None),
            lost_count=self._count(lost),
            lost=self._taken(self._old, lost, [a for a, _ in self._pair.columns], self._pair.key),
            added_count=self._count(added),
            added=self._added(added),
            changed=self._groups(work),
        )

    def _differs(self) -> str:
        if self._hashes:
            return "(o.h <> n.h)"
        return "NOT (" + " AND ".join(f"({self._equal(a, b)})" for a, b in self._pair.columns) + ")"

    def _equal(self, a: str, b: str | None) -> str:
        """Whether two values are the same, to the last bit and blank."""
        old = self._old.at(a, "o")
        if b is None:
            return f"{old} IS NULL"
        return same_value(self._old.column(a), old, self._new.column(b), self._new.at(b, "n"))

    def _changed(self, alone: str = "FALSE") -> str:
        """The select list of a table of changed rows: raw key, both texts, and a mask of what differs.

        Where ``alone`` is true there is no other side.
        """
        key = [f"{self._old.at(k, 'o')} AS q{i}" for i, k in enumerate(self._pair.key)]
        olds = [f"{self._old.text(k, 'o')} AS t{i}" for i, k in enumerate(self._pair.key)]
        before = [f"{self._old.text(a, 'o')} AS o{i}" for i, (a, _) in enumerate(self._pair.columns)]
        after = [
            f"{self._new.text(b, 'n') if b is not None else 'CONVERT(NULL USING utf8mb4)'} AS n{i}"
            for i, (_, b) in enumerate(self._pair.columns)
        ]
        marks = ", ".join(f"IF({self._equal(a, b)}, '0', '1')" for a, b in self._pair.columns)
        return f"SELECT {', '.join([*key, *olds, *before, *after])}, IF({alone}, '{_GONE}', CONCAT({marks})) AS m"

    def _missing(self, one: str, other: str, alias: str, some: bool) -> str:
        """A table of the rows of one side whose key is not on the other; no name where there are none."""
        if not some:
            return ""
        copy, partner = (self._old, "n") if alias == "o" else (self._new, "o")
        fields = copy.fields(alias) + (f", {alias}.{KEY}" if self._digested else "")
        join = f"{one} {alias} LEFT JOIN {other} {partner} ON {self._on}"
        return self.scratch(f"SELECT {fields} FROM {join} WHERE {self._sure[partner]} IS NULL")

    def _twins(self, lost: str, added: str) -> str:
        """Rows whose key changed only within what its collation takes for equal: changed, not lost and added."""
        texts = [k for k in self._pair.key if self._old.column(k).collation]
        if not texts:
            return ""
        same = [self._alike(k) for k in self._pair.key]
        work = self.scratch(f"{self._changed()} FROM {lost} o JOIN {added} n ON {' AND '.join(same)}")
        if not self._count(work):
            return ""
        condition = " AND ".join(same)
        keys = [self.scratch(f"SELECT {a}.{KEY} FROM {lost} o JOIN {added} n ON {condition}") for a in "on"]
        for name, found in zip((lost, added), keys, strict=True):  # both lists were read before either table loses rows
            self._shadows.strike(name, found)
        return work

    def _alike(self, key: str) -> str:
        old, new = self._old.column(key), self._renamed.get(key, key) or key
        if not old.collation:
            return self._equal(key, new)
        one, other = self._old.at(key, "o"), self._new.at(new, "n")
        sides = [f"CONVERT({side} USING {old.charset}) COLLATE {old.collation}" for side in (one, other)]
        return " = ".join(sides)

    def _groups(self, work: Sequence[str]) -> tuple[ChangeGroup, ...]:
        counts: dict[str, int] = {}
        for table in work:
            for mask, count in self._link.rows(f"SELECT m, COUNT(*) FROM {table} GROUP BY m"):
                counts[str(mask)] = counts.get(str(mask), 0) + int(count or 0)
        return tuple(self._group(work, mask, counts[mask]) for mask in sorted(counts, reverse=True) if "1" in mask)

    def _group(self, work: Sequence[str], mask: str, count: int) -> ChangeGroup:
        places = [i for i, mark in enumerate(mask) if mark == "1"]
        keys = len(self._pair.key)
        fields = [f"t{i}" for i in range(keys)] + [f"o{i}" for i in places] + [f"n{i}" for i in places]
        order = [f"q{i}" for i in range(keys)] + [f"t{i}" for i in range(keys)]
        found: list[TextRow] = []
        for table in work:
            found += self._link.rows(
                f"SELECT {', '.join(fields)} FROM {table} WHERE m = {literal(mask)}"
                f" ORDER BY {', '.join(order)} LIMIT {self._limit}"
            )
        rows = tuple(
            ChangedRow(key=f[:keys], old=f[keys : keys + len(places)], new=f[keys + len(places) :])
            for f in found[: self._limit]
        )
        return ChangeGroup(columns=tuple(self._pair.columns[i][0] for i in places), count=count, rows=rows)

    def _added(self, table: str) -> tuple[Row, ...]:
        """Rows that are new, in the order of the old columns."""
        names = [b for _, b in self._pair.columns]
        there = [b for b in names if b is not None]
        rows = self._taken(self._new, table, there, self._new_key)
        if len(there) == len(names):
            return rows
        return tuple(Row(key=r.key, values=_spread(r.values, names)) for r in rows)

    def _taken(self, copy: Copy, table: str, names: Sequence[str], key: Sequence[str]) -> tuple[Row, ...]:
        return self._shadows.rows(copy, f"{table} r", names, key, self._limit) if table else ()

    def _count(self, table: str) -> int:
        return int(self._link.value(f"SELECT COUNT(*) FROM {table}") or 0) if table else 0

    # --- without a key ------------------------------------------------------------------------------------------------

    def multiset(self) -> TableDiff:
        """Without a key: how often each whole row is there."""
        names = [a for a, _ in self._pair.columns]
        old = self._hashed(self._old, [(a, a) for a in names])
        new = self._hashed(self._new, [(b, a) for a, b in self._pair.columns])
        surplus = self.scratch(
            f"SELECT h, SUM(d) AS d FROM (SELECT h, COUNT(*) AS d FROM {old} GROUP BY h"
            f" UNION ALL SELECT h, -COUNT(*) FROM {new} GROUP BY h) u GROUP BY h HAVING SUM(d) <> 0"
        )
        lost, added = (self._surplus(surplus, sign) for sign in (1, -1))
        return TableDiff(
            table=self._pair.old,
            new_table=self._pair.new,
            columns=tuple(names),
            missing_columns=tuple(a for a, b in self._pair.columns if b is None),
            lost_count=lost,
            lost=self._examples(old, surplus, 1, len(names)) if lost else (),
            added_count=added,
            added=self._examples(new, surplus, -1, len(names)) if added else (),
        )

    def _hashed(self, copy: Copy, columns: Sequence[tuple[str | None, str]]) -> str:
        """Rows as texts ``t0`` ... with a hash of the exact texts."""
        texts = [copy.text(c, "r") if c is not None else "CONVERT(NULL USING utf8mb4)" for c, _ in columns]
        parts = [f"IFNULL(CONCAT(LENGTH({b}), ':', {b}), 'N')" for t in texts for b in [f"CAST({t} AS BINARY)"]]
        fields = ", ".join(f"{t} AS t{i}" for i, t in enumerate(texts))
        return self.scratch(f"SELECT {fields}, UNHEX(SHA2(CONCAT({', '.join(parts)}), 256)) AS h FROM {copy.name} r")

    def _surplus(self, table: str, sign: int) -> int:
        return int(float(self._link.value(f"SELECT IFNULL(SUM(ABS(d)), 0) FROM {table} WHERE SIGN(d) = {sign}") or 0))

    def _examples(self, rows: str, surplus: str, sign: int, width: int) -> tuple[Row, ...]:
        """Each surplus row as often as it is surplus."""
        fields = ", ".join(f"MIN(t{i}) AS t{i}" for i in range(width))
        texts = ", ".join(f"t{i}" for i in range(width))
        found = self._link.rows(
            f"SELECT d, {texts} FROM (SELECT r.h, ABS(MIN(s.d)) AS d, {fields} FROM {rows} r"
            f" JOIN {surplus} s ON s.h = r.h WHERE SIGN(s.d) = {sign} GROUP BY r.h) g"
            f" ORDER BY {texts} LIMIT {self._limit}"
        )
        return tuple(_repeated(found))[: self._limit]


def _repeated(found: Sequence[TextRow]) -> Iterator[Row]:
    for count, *values in found:
        for _ in range(int(float(count or 1))):
            yield Row(key=tuple(values), values=tuple(values))


def _spread(values: tuple[str | None, ...], names: Sequence[str | None]) -> tuple[str | None, ...]:
    rest = iter(values)
    return tuple(next(rest) if n is not None else None for n in names)
