"""next-insert-fails."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Cause, finding
from seatrial.checks.causes.counters import let_go, not_generated, stands_wrong
from seatrial.model import Counter, Finding, NotVerified, Phase, Severity, Snapshot, TableRef


@check("next-insert-fails", Severity.HIGH)
def next_insert_fails(case: Case) -> Found:
    """After up or down, the next INSERT without an id would fail or take an id that was given out before.

    A sequence that starts again below the stored ids collides with them; one that was set back reuses ids of deleted
    rows, which other systems may still refer to; a key that was generated and no longer is stops every INSERT that
    relied on it.

    What to do: set the sequence or AUTO_INCREMENT behind the highest stored id at the end of the step, and give a
    rebuilt key its generator again.
    """
    if not case.up_ran:
        return
    seen: set[tuple[TableRef, str]] = set()
    moments: list[tuple[Phase, Snapshot]] = [(Phase.UP, case.after_up)]
    if case.down_ran:
        moments.append((Phase.DOWN, case.after_down))
    old = {(c.table, c.column): c for c in _generated(case.before)}
    for phase, snapshot in moments:
        now = {(c.table, c.column): c for c in snapshot.counters}
        names = _names(case, old, snapshot) if phase is Phase.UP else {}
        for place, counter in old.items():
            here = names.get(place, place)
            if phase is Phase.UP and here not in now and _is_handed_over(case, place, here):
                continue
            if place not in seen and (why := _worse(counter, now.get(here), snapshot, here)):
                seen.add(place)
                causes = _causes(case, phase, here, counter, now.get(here))
                yield _finding(case, phase, place, why, causes, lost=here not in now)
            elif place not in seen and _untold(counter, now.get(here)):
                yield _not_told(phase, here, now[here])
        for place, counter in now.items():
            if place not in seen and place not in old and place not in names.values() and _collides(counter):
                seen.add(place)
                yield _finding(case, phase, place, _collision(counter), stands_wrong(case, phase, None, counter))


def _causes(
    case: Case, phase: Phase, place: tuple[TableRef, str], old: Counter, new: Counter | None
) -> Iterator[Cause]:
    return not_generated(case, phase, *place, old) if new is None else stands_wrong(case, phase, old, new)


def _is_handed_over(case: Case, place: tuple[TableRef, str], here: tuple[TableRef, str]) -> bool:
    """SERIAL on a column that is no key, and up says itself that nothing gives its values any more."""
    return place[1] not in case.key_of(place[0]) and bool(let_go(case, Phase.UP, *here))


def _generated(snapshot: Snapshot) -> Iterator[Counter]:
    """What gives keys: counters, and defaults that a key of one column is computed by, such as a random one."""
    yield from snapshot.counters
    counted = {(c.table, c.column) for c in snapshot.counters}
    for key, attributes in snapshot.schema.items():
        columns = attributes.get("columns")
        if attributes.get("type") != "primary key" or not isinstance(columns, tuple) or len(columns) != 1:
            continue
        table, column = key.owner or TableRef("", ""), str(columns[0])
        default = snapshot.schema.columns(table).get(column, {}).get("default")
        if (table, column) not in counted and _computed(default):
            yield Counter(table=table, column=column, mechanism=f"default {default}")


def _names(
    case: Case, places: Iterable[tuple[TableRef, str]], after: Snapshot
) -> Mapping[tuple[TableRef, str], tuple[TableRef, str]]:
    """Where the column of a counter is to be found after up."""
    there = set(after.schema.tables())
    tables = dict(case.trial.renames.tables)
    columns = {(t, a): b for t, a, b in case.trial.renames.columns}
    return {
        (table, column): (
            next((t for t in (tables.get(table), table) if t in there), table),
            columns.get((table, column), column),
        )
        for table, column in places
    }


def _worse(old: Counter, new: Counter | None, snapshot: Snapshot, place: tuple[TableRef, str]) -> str:
    table, column = place
    attributes = snapshot.schema.columns(table).get(column)
    if attributes is None:
        return ""
    if new is None and old.mechanism == "trigger":
        return ""  # its function may number the rows in a way that is not read
    if new is None:
        generated = any(attributes.get(a) for a in ("identity", "auto_increment", "generated"))
        generated = generated or _computed(attributes.get("default"))
        return (
            ""
            if generated
            else f"{table}.{column} was generated ({old.mechanism}) and no longer is: an INSERT without it "
            "fails or stores nothing"
        )
    if _collides(new) and not _collides(old):
        return _collision(new)
    if old.next_value is not None and new.next_value is not None and not _collides(old):
        last = old.next_value - old.increment  # what lies between that and the next one was never given out
        if (new.next_value - last) * old.increment <= 0:
            again = f"ids {new.next_value} to {last} are" if new.next_value != last else f"id {last} is"
            return (
                f"the next id of {table} is {new.next_value}, and {old.next_value} before up: {again} given out again"
            )
    return ""


def _untold(old: Counter, new: Counter | None) -> bool:
    """Whether ids came to be stored while nobody can tell where the sequence stands."""
    if new is None or new.mechanism != "sequence" or new.next_value is not None or new.highest is None:
        return False
    return old.highest is None or (new.highest - old.highest) * new.increment > 0


def _not_told(phase: Phase, place: tuple[TableRef, str], counter: Counter) -> NotVerified:
    table, column = place
    return NotVerified(
        what=f"the next id of {table}.{column} after {phase.value}",
        why=f"the server holds values of {counter.source} in its cache, and what it gives next cannot be told without "
        f"drawing from it; {counter.highest} is stored",
        rule="next-insert-fails",
    )


def _computed(default: object) -> bool:
    """Whether a default can give another value each time: MySQL's CREATE TABLE ... SELECT leaves DEFAULT 0 on a key."""
    rest = re.sub(r"'(?:[^']|'')*'(?:::[\w\s\"]+)?|::[\w\s\"]+", "", str(default or ""))
    return bool(re.search(r"[^\W\d]", rest)) and rest.strip(" ()").lower() != "null"


def _collides(counter: Counter) -> bool:
    if counter.next_value is None or counter.highest is None:
        return False
    return counter.next_value <= counter.highest if counter.increment > 0 else counter.next_value >= counter.highest


def _collision(counter: Counter) -> str:
    return (
        f"the next id of {counter.table} is {counter.next_value}, and {counter.highest} is stored "
        "already: the next INSERT collides"
    )


def _finding(
    case: Case,
    phase: Phase,
    place: tuple[TableRef, str],
    why: str,
    causes: Iterator[Cause],
    *,
    lost: bool = False,
) -> Finding:
    table, column = place
    return finding(
        case,
        "next-insert-fails",
        Severity.HIGH,
        phase,
        f"After {phase.value} {why}.",
        table=table,
        columns=[column],
        causes=causes,
        recommendation=f"Let {phase.value} keep what generates {table}.{column}."
        if lost
        else f"In {phase.value}, set the counter of {table}.{column} past the largest id that was ever given out.",
        sql=f"SELECT max({case.quote(column)}) FROM {case.named(table)}",
        count=1,
    )
