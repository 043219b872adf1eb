"""What comes after an UPDATE in its step: whether the end of the step still shows what it left."""

from __future__ import annotations

from collections.abc import Sequence

from seatrial.sql.effects import Verb
from seatrial.sql.fills import Reach
from seatrial.sql.tables import TEMPORARY, Event, Table
from seatrial.sql.tokens import Token
from seatrial.sql.world import World

_GONE = (Verb.DROP_TABLE, Verb.RENAME_TABLE, Verb.TRUNCATE, Verb.DELETE, Verb.INSERT, Verb.CONVERT)
OPAQUE = "a later statement's effect is not known"


def written_later(world: World, candidate: Reach, all_of_them: Sequence[Reach]) -> str:
    """Why the end of the step does not show what the UPDATE left; empty where it does."""
    run, inner = candidate.run, candidate.inner
    tables: set[Table] = set().union(*run.tables.values()) if run.tables else set()
    if any(t.ref is None or t.ref.namespace == TEMPORARY for t in tables):
        return "a table that it reads is not there at the end"
    if any(i > run.index or (inner and i == run.index) for i in world.opaque):
        return OPAQUE
    same = _of_the_same(candidate, all_of_them)
    for place, event in enumerate(world.events):
        later = event.index > run.index or (inner and place >= run.last)
        if later and place not in same and event.table in tables and _disturbs(event, candidate):
            return "a later statement writes, renames or drops what it touches"
    return ""


def _of_the_same(candidate: Reach, all_of_them: Sequence[Reach]) -> set[int]:
    """Where the events of all statements with the same SET stand."""
    runs = [c.run for c in all_of_them if c.same_set == candidate.same_set]
    return {place for r in runs for place in range(r.first, r.last)}


def _disturbs(event: Event, candidate: Reach) -> bool:
    if event.verb in _GONE or event.view:
        return True
    if event.column is None or id(event.column) not in candidate.touched:
        return False
    if event.verb is Verb.REDEFINE:
        return _changes_type(event)
    return event.verb in (Verb.UPDATE, Verb.DROP_COLUMN, Verb.RENAME_COLUMN)


def _changes_type(event: Event) -> bool:
    """MODIFY with the same type only makes the column NOT NULL."""
    definition = event.effect.definition if event.effect is not None else None
    if definition is None or not definition.type or event.column is None:
        return False
    return _type_text(definition.type) != _type_text(event.column.type)


_ALIASES = {"INTEGER": "INT", "NUMERIC": "DECIMAL", "DEC": "DECIMAL", "CHARACTER": "CHAR", "BOOLEAN": "BOOL"}


def _type_text(kind: Sequence[Token]) -> str:
    parts = [_ALIASES.get(t.word, t.word or t.text) for t in kind]
    return " ".join(parts).replace("CHAR VARYING", "VARCHAR").replace("TINYINT ( 1 )", "BOOL")
