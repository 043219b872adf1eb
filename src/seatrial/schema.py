"""The schema vocabulary's arithmetic: differences, orders, and which table is compared with which. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from seatrial.model import Attribute, Attributes, Key, ObjectKey, Renames, Schema, Snapshot, TablePair, TableRef
from seatrial.values import dataclass


def key_order(key: Key) -> tuple[tuple[int, int, str], ...]:
    """Sorts keys as a reader expects: NULL first, whole numbers as numbers, the rest as text."""
    return tuple(_rank(value) for value in key)


def _rank(value: str | None) -> tuple[int, int, str]:
    if value is None:
        return 0, 0, ""
    if value.isascii() and value.removeprefix("-").isdigit() and len(value) < 4000:
        return 1, int(value), ""
    return 2, 0, value


Named = TypeVar("Named", str, TableRef)

ORDER = "position"  # compared as an order within a table, never as a value
AFTER = "_after"
"""Behind the name of a time that an object holds: how long that was after the object was made. Equal, the times are."""
BESIDE = frozenset(
    {ORDER, "given_name", "by_type", "journal_mode", *(f"{n}{AFTER}" for n in ("schedule", "starts", "ends"))}
)
"""Attributes that are no part of a definition."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that is missing, added, or defined otherwise."""

    key: ObjectKey
    old: Attributes | None
    new: Attributes | None

    @property
    def attributes(self) -> dict[str, tuple[Attribute, Attribute]]:
        """Attribute name -> (old, new) where both sides have the object and differ."""
        if self.old is None or self.new is None:
            return {}
        names = sorted((self.old.keys() | self.new.keys()) - BESIDE)
        return {
            n: (self.old.get(n), self.new.get(n))
            for n in names
            if self.old.get(n) != self.new.get(n) and not self._is_as_late(n)
        }

    def _is_as_late(self, name: str) -> bool:
        after = self.old.get(name + AFTER) if self.old else None
        return after is not None and self.new is not None and after == self.new.get(name + AFTER)

    def reversed(self) -> Difference:
        return Difference(self.key, self.new, self.old)


def diff(before: Schema, after: Schema) -> list[Difference]:
    """What differs, in key order; a column's place in its table is left to ``reordered``."""
    found = (Difference(k, before.get(k), after.get(k)) for k in sorted(_unequal(before, after)))
    return [d for d in found if d.old is None or d.new is None or d.attributes]


@lru_cache(maxsize=1024)  # of the same few schemas many ask: the trial, each check, each report
def _unequal(before: Schema, after: Schema) -> tuple[ObjectKey, ...]:
    """The objects that are not the same on both sides, places included."""
    if before == after:
        return ()
    changed = (k for k, a in before.items() if (now := after.get(k)) is not a and now != a)
    return (*changed, *(key for key in after if key not in before))


def reordered(before: Schema, after: Schema) -> list[TableRef]:
    """Tables whose common columns stand in another order."""
    tables = {k.owner for k in _unequal(before, after) if k.kind == "column"}
    return sorted(t for t in tables if t is not None and _order(before, after, t) != _order(after, before, t))


CONVERSION = ("type", "collation", "charset")


def converts(old: Attributes, new: Attributes) -> bool:
    """Whether a column's new declaration rewrites what is stored in it."""
    return old is not new and any(old.get(a) != new.get(a) for a in CONVERSION)


def same_schema(one: Schema, other: Schema) -> bool:
    """No object differs, nor the order of a table's columns."""
    return not diff(one, other) and not reordered(one, other)


def _order(schema: Schema, other: Schema, table: TableRef) -> list[str]:
    known = other.columns(table)
    return [c for c in schema.columns(table) if c in known]


@lru_cache(maxsize=64)
def depths(schema: Schema) -> Mapping[str, int]:
    """Label of each table -> how many foreign keys it stands below the topmost; a circle is one step."""
    above: dict[str, set[str]] = {str(t): set() for t in schema.tables()}
    for key, attributes in schema.items():
        if attributes.get("type") == "foreign key" and str(key.owner) in above:
            above[str(key.owner)].add(str(attributes.get("references")))
    found: dict[str, int] = {}
    depth = 0
    while left := above.keys() - found.keys():
        free = [t for t in left if not above[t] & (left - {t})]
        found |= dict.fromkeys(free or left, depth)
        depth += 1
    return found


def outermost(changes: Sequence[Difference]) -> list[Difference]:
    """Without what belongs to a table that is itself missing or new."""
    whole = {c.key.owner for c in changes if c.key.kind == "table" and (c.old is None or c.new is None)}
    return [c for c in changes if c.key.kind == "table" or c.key.owner not in whole]


def renamed(differences: Iterable[Difference]) -> dict[ObjectKey, ObjectKey]:
    """Missing objects that are there under another name with the same definition: old key -> new key."""
    changes = list(differences)
    added = {d.key: d.new for d in changes if d.old is None and d.new is not None}
    found: dict[ObjectKey, ObjectKey] = {}
    for change in changes:
        if change.new is not None or change.old is None or change.key.kind in ("table", "column"):
            continue
        old = _nameless(change.key, change.old)
        twin = next((k for k, a in added.items() if _alike(change.key, k) and _same(old, _nameless(k, a))), None)
        if twin is not None:
            found[change.key] = twin
            del added[twin]
    return found


def double(schema: Schema, key: ObjectKey) -> ObjectKey | None:
    """Another object of the same table that says the same under another name."""
    mine = _nameless(key, schema[key])
    others = ((k, a) for k, a in schema.items() if k != key and _alike(key, k))
    return next((k for k, a in others if _same(mine, _nameless(k, a))), None)


def _alike(one: ObjectKey, other: ObjectKey) -> bool:
    constraint = {"constraint", "primary key", "unique", "foreign key", "check"}
    same_kind = one.kind == other.kind or {one.kind, other.kind} <= constraint
    return same_kind and (one.namespace, one.table) == (other.namespace, other.table)


Readings = tuple[dict[str, Attribute], ...]


def _nameless(key: ObjectKey, attributes: Attributes) -> Readings:
    """The attributes with the object's own name in its definition taken out: nowhere, once, everywhere.

    A primary key called ``id`` over a column ``id`` speaks of the column.
    """
    own = {n: v for n, v in attributes.items() if n not in BESIDE}
    return tuple(
        {n: v.replace(key.name, "\0", times) if isinstance(v, str) else v for n, v in own.items()}
        for times in (0, 1, -1)
    )


def _same(one: Readings, other: Readings) -> bool:
    return any(a == b for a, b in zip(one, other, strict=True))


def only_renames(before: Schema, after: Schema) -> bool:
    """Whether all that differs is the names of objects, other than tables and columns."""
    changes = diff(before, after)
    twins = renamed(changes)
    return bool(changes) and {c.key for c in changes} == {*twins, *twins.values()} and not reordered(before, after)


def pair_by_name(old: Snapshot, new: Snapshot) -> list[TablePair]:
    """Every table of the older snapshot with its namesake, columns by name."""
    return _pairs(old, new, {}, {})


def pair_through(old: Snapshot, new: Snapshot, renames: Renames) -> list[TablePair]:
    """Every table of the older snapshot with what it became.

    ``renames`` leaves out a table whose old name is a new table's now: that one goes on under it.
    """
    columns: dict[TableRef, dict[str, str]] = {}
    for table, before, after in renames.columns:
        columns.setdefault(table, {})[before] = after
    return _pairs(old, new, dict(renames.tables), columns)


def _pairs(
    old: Snapshot, new: Snapshot, tables: Mapping[TableRef, TableRef], columns: Mapping[TableRef, Mapping[str, str]]
) -> list[TablePair]:
    there = new.schema.tables()
    recased = in_other_case(old.schema.tables(), there) if new.folds_names else {}
    pairs = []
    for state in old.tables:
        if not state.compared:
            continue
        table = state.table
        target = next((t for t in (tables.get(table), table, recased.get(table)) if t in there), None)
        names = dict(columns.get(table, {}))
        if new.folds_names and target is not None:
            names = in_other_case(old.schema.columns(table), new.schema.columns(target)) | names
        mapped = _columns(old.schema, new.schema, table, target, names)
        pairs.append(TablePair(old=table, new=target, columns=mapped, key=state.key))
    return pairs


def with_recased(renames: Renames, old: Snapshot, new: Snapshot) -> Renames:
    """And columns that a step wrote in another case (MODIFY, a rebuild), where that means the same."""
    if not new.folds_names:
        return renames
    there, found = set(new.schema.tables()), list(renames.columns)
    for table in old.schema.tables():
        now = next((t for t in (dict(renames.tables).get(table), table) if t in there), None)
        names = in_other_case(old.schema.columns(table), new.schema.columns(now)) if now else {}
        known = {name for t, *pair in renames.columns if t == table for name in pair}
        found += [(table, *pair) for pair in sorted(names.items()) if known.isdisjoint(pair)]
    return replace(renames, columns=tuple(found))


def in_other_case(old: Collection[Named], new: Collection[Named]) -> dict[Named, Named]:
    """Missing names that are there in another case, and mean the same where names are folded: old name -> new name."""
    missing = set(old).difference(new)
    folded = {_folded(name): name for name in set(new).difference(old)} if missing else {}
    return {name: folded[_folded(name)] for name in missing if _folded(name) in folded}


def _folded(name: str | TableRef) -> object:
    return name.casefold() if isinstance(name, str) else tuple(part.casefold() for part in name)


def _columns(
    old: Schema, new: Schema, table: TableRef, target: TableRef | None, names: Mapping[str, str]
) -> tuple[tuple[str, str | None], ...]:
    """Stored columns with their names on the other side; what is generated follows from the others."""
    there = new.columns(target) if target else {}
    stored = [c for c, a in old.columns(table).items() if not a.get("generated")]
    if not names and there.keys() >= set(stored):
        return tuple(zip(stored, stored, strict=True))
    return tuple((c, name if (name := names.get(c, c)) in there else None) for c in stored)
