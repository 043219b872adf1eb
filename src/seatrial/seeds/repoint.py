"""Another key for the same children: made-up rows hold in it what they hold in the one that is referred to now.

A project that gives a table a new key fills it from the old one, by a trigger or in its own code, long before foreign
keys are put on it. The values that we make up know nothing of that: all children would be orphans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from seatrial.model import Database, Renames, TableRef
from seatrial.seeds.shape import Reference, Shape, Unique
from seatrial.seeds.standing import Standing

Shapes = Mapping[TableRef, Shape]


def under_old_names(ahead: Shapes, renames: Renames) -> dict[TableRef, Shape]:
    """The shapes after an up, under the names that tables and columns had before it.

    Conditions that speak of a renamed column are left out.
    """
    tables = {new: old for old, new in renames.tables if new in ahead}
    columns: dict[TableRef, dict[str, str]] = {}
    for old, before, after in renames.columns:
        columns.setdefault(old, {})[after] = before
    found = {}
    for table, shape in ahead.items():
        former = tables.get(table, table)
        found[former] = _renamed(shape, former, columns.get(former, {}), tables, columns)
    return found


def _renamed(
    shape: Shape,
    former: TableRef,
    own: Mapping[str, str],
    tables: Mapping[TableRef, TableRef],
    columns: Mapping[TableRef, Mapping[str, str]],
) -> Shape:
    there = {own.get(n, n): replace(c, name=own.get(n, n)) for n, c in shape.columns.items()}
    return replace(
        shape,
        table=former,
        columns=there,
        uniques=tuple(_key(u, own) for u in shape.uniques if u.predicate is None or not own.keys() & set(u.columns)),
        references=tuple(_reference(r, own, tables, columns) for r in shape.references),
        conditions=tuple((n, c) for n, c in shape.conditions if not own.keys() & set(c.columns)),
    )


def _key(unique: Unique, own: Mapping[str, str]) -> Unique:
    return replace(unique, columns=tuple(own.get(c, c) for c in unique.columns))


def _reference(
    reference: Reference,
    own: Mapping[str, str],
    tables: Mapping[TableRef, TableRef],
    columns: Mapping[TableRef, Mapping[str, str]],
) -> Reference:
    table = tables.get(reference.table, reference.table)
    theirs = columns.get(table, {})
    return replace(
        reference,
        columns=tuple(own.get(c, c) for c in reference.columns),
        table=table,
        referenced=tuple(theirs.get(c, c) for c in reference.referenced),
    )


def repointed(now: Shapes, ahead: Shapes) -> dict[TableRef, dict[str, str]]:
    """Table -> the columns that children refer to ahead, and which each of them takes the place of."""
    found: dict[TableRef, dict[str, str]] = {}
    for child, shape in now.items():
        old = {(r.columns, r.table): r for r in shape.references if r.declared}
        for new in ahead[child].references if child in ahead else ():
            known = old.get((new.columns, new.table))
            if known and new.declared and known.referenced != new.referenced and new.table in now:
                pairs = zip(new.referenced, known.referenced, strict=True)
                found.setdefault(new.table, {}).update((n, o) for n, o in pairs if n != o)
    return {t: pairs for t, pairs in found.items() if _can_hold(now[t], pairs)}


def _can_hold(shape: Shape, pairs: Mapping[str, str]) -> bool:
    """Whether the new key is there already, and not made by the engine or by the up itself."""
    names = {*pairs, *pairs.values()}
    return bool(pairs and shape.key and not shape.holders and names <= shape.columns.keys()) and not any(
        shape.columns[n].by_engine for n in pairs
    )


def align(database: Database, known: Shapes, pairs: Mapping[TableRef, Mapping[str, str]]) -> dict[TableRef, list[str]]:
    """Write what the old key holds into the new one, where its type takes that; the columns that were changed."""
    standing, changed = Standing(database, known), {}
    for table, columns in pairs.items():
        shape, new = known[table], list(columns)
        rows = standing.rows(table, list(dict.fromkeys((*shape.key, *new, *columns.values()))))
        wanted = [[row[columns[n]] for n in new] for row in rows]
        fits = all(shape.columns[n].family.takes(v) for w in wanted for n, v in zip(new, w, strict=True))
        if not fits or set(new) & set(shape.key) or wanted == [[row[n] for n in new] for row in rows]:
            continue
        keys = [[row[k] for k in shape.key] for row in rows]
        with database.filling():
            if all(shape.columns[n].nullable for n in new):  # no row is to meet what another one still holds
                database.amend(table, shape.key, new, [[*key, *(None for _ in new)] for key in keys])
            database.amend(table, shape.key, new, [[*k, *w] for k, w in zip(keys, wanted, strict=True)])
        changed[table] = new
    return changed
