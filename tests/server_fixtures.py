"""Differences of two moments in a form to compare with."""

from __future__ import annotations

from seatrial.model import Database, Schema, Snapshot, TableDiff
from seatrial.schema import pair_by_name


def changed(before: Schema, after: Schema, ignored: frozenset[str] = frozenset()) -> dict[str, set[str]]:
    """Label of every object that differs -> names of its attributes that do (empty: it is on one side only)."""
    found = {}
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old is None or new is None:
            found[key.label] = set()
        elif names := {n for n in (old.keys() | new.keys()) - ignored if old.get(n) != new.get(n)}:
            found[key.label] = names
    return found


def differences(database: Database, old: Snapshot, new: Snapshot) -> dict[str, TableDiff]:
    """Every differing table, compared by name."""
    return {str(d.table): d for d in database.diff(old, new, pair_by_name(old, new))}
