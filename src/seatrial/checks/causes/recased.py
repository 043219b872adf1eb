"""Names that came back in another case: one object for an engine that folds names, two for a comparison of schemas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from seatrial.checks.case import Case, Cause, listed
from seatrial.model import Attributes, TableRef
from seatrial.prose import span
from seatrial.schema import Difference
from seatrial.sql import remedy


def recased(case: Case, changes: Sequence[Difference]) -> tuple[list[Cause], list[Difference]]:
    """Why names stand in another case, and the changes that this does not explain.

    What is made anew, or dropped, under such a name is the object itself with all its rows: it can only be renamed.
    """
    tables = _tables(case)
    names = {t: case.recased(t) for c in changes if (t := c.key.owner)}
    explained = [c for c in changes if c.key.kind == "table" and c.key.owner in (*tables, *tables.values())]
    explained += [c for c in changes if c.key.owner and _only_case(c, changes, names[c.key.owner])]
    owners = {c.key.owner for c in explained}
    found = [_of_table(case, old, new) for old, new in tables.items() if owners & {old, new}]
    found += [_of_columns(case, t, names[t]) for t in names if t in owners and names[t]]
    return found, [c for c in changes if c not in explained]


def _tables(case: Case) -> dict[TableRef, TableRef]:
    back = ((t, case.table_back(t)) for t in case.before.schema.tables())
    return {old: new for old, new in back if old != new}


def _of_table(case: Case, old: TableRef, new: TableRef) -> Cause:
    dialect = case.trial.engine
    moving = [f"{old.name}_moving"] if dialect == "sqlite" else []  # it takes the name in another case for a second one
    names = [new.name, *moving, old.name]
    back = "; ".join(remedy.rename_table(TableRef(old.namespace, a), b, dialect) for a, b in pairwise(names))
    step = "up" if new in case.after_up.schema.tables() else "down"
    return Cause(f"{step} writes the name of the table {old} in another case: {new}", f"In down, {span(back)}.")


def _of_columns(case: Case, table: TableRef, names: Mapping[str, str]) -> Cause:
    dialect = case.trial.engine
    back = "; ".join(remedy.rename_column(table, b, a, dialect) for a, b in names.items())
    there = case.after_up.schema.columns(case.now_named(table))
    step = "up" if all(b in there for b in names.values()) else "down"
    pairs = listed(f"{a} as {b}" for a, b in names.items())
    return Cause(f"{step} writes names of {table} in another case: {pairs}", f"In down, {span(back)}.")


def _only_case(change: Difference, changes: Iterable[Difference], names: Mapping[str, str]) -> bool:
    """Whether the object would be as before up if the columns had their names back."""
    if not names:
        return False
    if change.old is not None and change.new is not None:
        return _named_back(change.new, names) == change.old
    twins = (c for c in changes if c.key.kind == change.key.kind and c.key.owner == change.key.owner)
    if change.old is None:
        return any(c.new is None and _back(change.key.name, names) == c.key.name for c in twins)
    return any(c.old is None and _back(c.key.name, names) == change.key.name for c in twins)


def _named_back(attributes: Attributes, names: Mapping[str, str]) -> Attributes:
    def back(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(map(back, value))
        return _back(value, names) if isinstance(value, str) else value

    return {k: back(v) for k, v in attributes.items()}  # type: ignore[misc]


def _back(text: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        text = re.sub(rf"(?<!\w){re.escape(new)}(?!\w)", lambda _, old=old: old, text)  # type: ignore[misc]
    return text
