"""What the fixtures of every server share: a ledger of the tests' own, and differences in a form to compare with."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from seatrial.model import Database, Schema, Snapshot, TableDiff
from seatrial.schema import pair_by_name


@pytest.fixture(scope="session")
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The state folder of a session of tests, its ledger; the cache of initialised data folders stays the user's."""
    kept = os.environ.get("XDG_STATE_HOME")
    folder = str(tmp_path_factory.mktemp("state"))
    os.environ["XDG_STATE_HOME"] = folder
    yield folder
    os.environ.pop("XDG_STATE_HOME")
    if kept is not None:
        os.environ["XDG_STATE_HOME"] = kept


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
