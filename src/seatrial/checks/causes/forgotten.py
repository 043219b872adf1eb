"""What a rebuild in up forgot, and what stands in its place: both are mended in up, and down is left as it is.

An advice for down beside it would clash: once up makes the object again, down can neither create nor drop it.
"""

from __future__ import annotations

from seatrial.checks.case import Case
from seatrial.model import Attributes, ObjectKey, TableRef
from seatrial.schema import diff
from seatrial.sql import remedy

_SAME = ("type", "columns", "references")


def rebuilding(case: Case, table: TableRef | None) -> tuple[str, ...]:
    """The statements of up that make a table anew."""
    return (case.up.rebuilds(table) or case.up.drops_table(table)) if table is not None else ()


def is_forgotten(case: Case, key: ObjectKey) -> bool:
    """Whether up makes the object's table anew without it, and no other statement speaks of it."""
    found = rebuilding(case, key.owner)
    if not found or key.owner is None or key in case.after_up.schema:
        return False
    stands = case.now_named(key.owner) in case.after_up.schema.tables()
    return stands and set(case.up.naming_object(key)) <= set(found)


def stand_in(case: Case, key: ObjectKey) -> ObjectKey | None:
    """A rule or an index of the new table about the same columns, under another name."""
    if key.owner is None:
        return None
    old = case.before.schema[key]
    new = case.after_up.schema.of(case.now_named(key.owner))
    others = (k for k, a in new.items() if k not in case.before.schema and _is_alike(key, old, k, a))
    return next((k for k in others if _is_dropped_plainly(case, k)), None)


def stands_in_for(case: Case, key: ObjectKey) -> ObjectKey | None:
    """What up forgot, where the object stands in its place."""
    gone = (d.key for d in diff(case.before.schema, case.after_up.schema) if d.new is None and d.key.kind == key.kind)
    return next((k for k in gone if is_forgotten(case, k) and stand_in(case, k) == key), None)


def in_its_place(case: Case, key: ObjectKey, attributes: Attributes) -> str:
    """The statements that put the object where another one stands; empty where none are needed, or known."""
    again = remedy.create_again(key, attributes, case.trial.engine)
    other = stand_in(case, key) if again else None
    return f"{remedy.drop(other, case.trial.engine)}; {again}" if other is not None else ""


def _is_alike(key: ObjectKey, old: Attributes, other: ObjectKey, new: Attributes) -> bool:
    return key.kind == other.kind and bool(old.get("columns")) and all(old.get(a) == new.get(a) for a in _SAME)


def _is_dropped_plainly(case: Case, key: ObjectKey) -> bool:
    return bool(remedy.drop(key, case.trial.engine))
