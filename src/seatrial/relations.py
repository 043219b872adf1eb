"""Relationships that no foreign key declares: those that [[relationships]] names, and those that names suggest. Pure.

An engine judges them like foreign keys. What is only suggested counts where the rows before up all obeyed it, and one
of them at least held a value there: where all are NULL, nothing says that it is meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from seatrial.model import (
    Attributes,
    Integrity,
    NotVerified,
    ObjectKey,
    Relationship,
    Schema,
    Snapshot,
    TableRef,
    Trial,
)

KIND = "relationship"
_REFERS = re.compile(r"(.+)_(?:id|uuid|guid)")
_INTEGER = re.compile(r"(?:tiny|small|medium|big)?int(?:eger|2|4|8)?\b", re.IGNORECASE)
_TEXT = re.compile(r"(?:var)?char|character|text", re.IGNORECASE)


def relations(schema: Schema, configured: Sequence[Relationship] = ()) -> Iterator[tuple[ObjectKey, Attributes]]:
    """Undeclared relationships of a schema, with the attributes of a foreign key; ``inferred``: by names only."""
    taken = _declared(schema)
    named = (k for k in schema if k.kind == "column" and _may_refer(k.name))
    candidates = [k for k in named if (k.owner, k.name) not in taken]
    if not candidates and not configured:
        return
    keys = _keys(schema)
    tables = {str(t): t for t in schema.tables() if not _is_part(schema, t)}
    for told in configured:
        child, parent = tables.get(told.table), tables.get(told.parent)
        if child and parent and told.column in schema.columns(child) and told.parent_column in schema.columns(parent):
            taken.add((child, told.column))
            yield _relation(child, told.column, parent, told.parent_column, inferred=False)
    suggesting = {TableRef(k.namespace, k.table) for k in candidates}
    for table in (t for t in tables.values() if t in suggesting):
        for column, facts in schema.columns(table).items():
            if not _may_refer(column) or (table, column) in taken or keys.get(table) == (column,):
                continue
            owner = _suggested(table, column, tables.values())
            if owner is None:
                continue
            key = keys.get(owner, ())
            if len(key) == 1 and key[0] in schema.columns(owner) and _alike(facts, schema.columns(owner)[key[0]]):
                yield _relation(table, column, owner, key[0], inferred=True)


def believed(trial: Trial) -> Trial:
    """A trial without answers about suggested relationships that the rows before up do not bear out."""
    before = trial.before
    if before is None or not any(i.inferred for i in before.integrity):
        return _each(trial, lambda integrity: not integrity.inferred)
    borne = {_what(i) for i in before.integrity if _is_obeyed(before, i) and i.filled is not False}
    back = {new: old for old, new in trial.renames.tables}
    renamed = {(t, new): old for t, old, new in trial.renames.columns}
    moved = {str(old) for old in back.values()}

    def as_before(integrity: Integrity) -> bool:
        table = back.get(integrity.table, integrity.table)
        columns = tuple(renamed.get((table, c), c) for c in integrity.columns)
        same_parent = integrity.references.rpartition("(")[0] not in moved
        return not integrity.inferred or (same_parent and (table, columns, integrity.references) in borne)

    def by_name(integrity: Integrity) -> bool:
        return not integrity.inferred or _what(integrity) in borne

    told = replace(trial, not_verified=(*trial.not_verified, *_doubted(before)))
    return _each(told, by_name, as_before)


def _doubted(before: Snapshot) -> Iterator[NotVerified]:
    """Suggested relationships that are not believed because no row before up has a value there."""
    for found in before.integrity:
        if _is_obeyed(before, found) and found.filled is False:
            yield NotVerified(
                what=found.object, why="its name suggests it, but every row has NULL there before up", rule=found.rule
            )


def _each(
    trial: Trial, keeps: Callable[[Integrity], bool], after_up: Callable[[Integrity], bool] | None = None
) -> Trial:
    return replace(
        trial,
        before=_only(trial.before, keeps),
        after_up=_only(trial.after_up, after_up or keeps),
        after_down=_only(trial.after_down, keeps),
    )


def _only(snapshot: Snapshot | None, keeps: Callable[[Integrity], bool]) -> Snapshot | None:
    if snapshot is None or all(keeps(i) for i in snapshot.integrity):
        return snapshot
    return replace(snapshot, integrity=tuple(i for i in snapshot.integrity if keeps(i)))


def _what(integrity: Integrity) -> tuple[TableRef, tuple[str, ...], str]:
    return integrity.table, integrity.columns, integrity.references


def _is_obeyed(snapshot: Snapshot, integrity: Integrity) -> bool:
    """Suggested, and no row speaks against it."""
    state = snapshot.table(integrity.table)
    asked = integrity.inferred and integrity.observed and not integrity.count
    return asked and state is not None and state.rows > 0


def _relation(
    table: TableRef, column: str, parent: TableRef, key: str, *, inferred: bool
) -> tuple[ObjectKey, Attributes]:
    name = f"{table.name}.{column} -> {parent}.{key}"
    attributes: Attributes = {
        "type": "foreign key",
        "columns": (column,),
        "references": str(parent),
        "referenced_columns": (key,),
        "match": "NONE",
        "definition": "",
        "inferred": inferred,
    }
    return ObjectKey(KIND, table.namespace, table.name, name), attributes


@lru_cache(maxsize=4096)  # the same names at each moment
def _may_refer(column: str) -> bool:
    return column[-2:].lower() == "id" and _REFERS.fullmatch(column.lower()) is not None


def _suggested(table: TableRef, column: str, tables: Iterable[TableRef]) -> TableRef | None:
    """``user_id`` means the row of ``users`` or ``user`` beside it; nothing where both stand."""
    found = _REFERS.fullmatch(column.lower())
    if found is None:
        return None
    stem = found[1]
    wanted = {stem, f"{stem}s", f"{stem}es", f"{stem[:-1]}ies" if stem.endswith("y") else stem}
    owners = [t for t in tables if t.namespace == table.namespace and t.name.lower() in wanted]
    return owners[0] if len(owners) == 1 and owners[0] != table else None


def _keys(schema: Schema) -> Mapping[TableRef, tuple[str, ...]]:
    return {k.owner: _names(a, "columns") for k, a in schema.items() if a.get("type") == "primary key" and k.owner}


def _declared(schema: Schema) -> set[tuple[TableRef, str]]:
    foreign = ((k.owner, _names(a, "columns")) for k, a in schema.items() if a.get("type") == "foreign key")
    return {(table, column) for table, columns in foreign if table for column in columns}


def _is_part(schema: Schema, table: TableRef) -> bool:
    """A partition's rows are judged with their table's."""
    return bool(schema.get(ObjectKey.of_table(table), {}).get("partition_of"))


def _names(facts: Attributes, name: str) -> tuple[str, ...]:
    value = facts.get(name)
    return value if isinstance(value, tuple) else ()


def _alike(one: Attributes, other: Attributes) -> bool:
    """Whether values of both columns can be compared as they are."""
    if one.get("generated") or one.get("collation") != other.get("collation"):
        return False
    types = str(one.get("type")), str(other.get("type"))
    both = (all(pattern.match(t) for t in types) for pattern in (_INTEGER, _TEXT))
    return types[0].lower() == types[1].lower() or any(both)
