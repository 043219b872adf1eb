"""constraint-unenforced and invalid-index."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from seatrial.checks import Found, check
from seatrial.checks.case import Case, finding, listed
from seatrial.checks.causes.rules import forgotten, invalid, switched_off, unenforced
from seatrial.model import Attributes, Finding, NotVerified, ObjectKey, Phase, Schema, Severity, Step, TableRef
from seatrial.schema import diff


@check("constraint-unenforced", Severity.MEDIUM)
def constraint_unenforced(case: Case) -> Found:
    """A constraint is declared and does not protect the stored rows.

    It was added NOT VALID and never validated, is NOT ENFORCED or disabled, or stands on an engine that ignores it. On
    SQLite, where each connection has its own `PRAGMA foreign_keys`: it was on when the step began and is off at its
    end, so that later migrations on that connection run unchecked. A step that switches it on again, or whose PRAGMA
    had no effect (inside a transaction), is no finding, nor is a tool that never switches it on (see the report's
    environment).

    What to do: find the rows that break it, correct them, and have the constraint validated or switched on again
    before the migration ends.
    """
    for phase, table, keys in _new(case, lambda a: a.get("validated") is False or a.get("enforced") is False):
        objects = [k.label for k in keys]
        schema = case.after_down.schema if phase is Phase.DOWN else case.after_up.schema
        yield finding(
            case,
            "constraint-unenforced",
            Severity.MEDIUM,
            phase,
            f"After {phase.value} {listed(objects)} of {table} {'is' if len(objects) == 1 else 'are'} "
            "declared but not held over the rows that are stored.",
            table=table,
            objects=objects,
            causes=(w for k in keys for w in unenforced(case, phase, k, schema[k])),
            recommendation=f"Look whether the rows of {table} hold {listed(objects)}, correct those that do not, and"
            " have it enforced again.",
            count=len(objects),
        )
    if case.up_ran:
        yield from _ignored(case)
    for phase, step in ((Phase.UP, case.trial.up), (Phase.DOWN, case.trial.down)):
        if step.left_off and step.error is None:
            yield _left_off(case, phase, step)
            break


def _left_off(case: Case, phase: Phase, step: Step) -> Finding:
    """The connection that the tool goes on with holds less than before."""
    what = listed(step.left_off)
    schema = case.after_down.schema if phase is Phase.DOWN and case.down_ran else case.after_up.schema
    keys = [k.label for k, a in schema.items() if a.get("type") == "foreign key"]
    return finding(
        case,
        "constraint-unenforced",
        Severity.MEDIUM,
        phase,
        f"{phase.value.capitalize()} leaves {what} switched off on its connection, which held them when it began: what"
        " later migrations write over that connection is not checked.",
        objects=keys,
        causes=switched_off(case, phase),
        recommendation=f"Switch {what} on again at the end of {phase.value} (`PRAGMA foreign_keys = ON`).",
        sql="PRAGMA foreign_key_check",
        count=max(1, len(keys)),
    )


_KEEP_FOREIGN_KEYS = frozenset({"innodb", "ndbcluster"})
"""Storage engines of MySQL and MariaDB; every other one takes the declaration and forgets it (manual, 15.1.24.5)."""


def _ignored(case: Case) -> Iterator[Finding]:
    for table, statements in sorted(case.up.asks_foreign_keys().items()):
        engine = case.after_up.schema.get(ObjectKey.of_table(table), {}).get("engine")
        if not engine or str(engine).lower() in _KEEP_FOREIGN_KEYS:
            continue
        yield finding(
            case,
            "constraint-unenforced",
            Severity.MEDIUM,
            Phase.UP,
            f"Up declares a foreign key of {table}, and there is none afterwards: the storage engine {engine} took the "
            f"declaration without a word and holds nothing of it.",
            table=table,
            objects=[str(table)],
            causes=forgotten(table, str(engine), statements, case.trial.engine),
            count=len(statements),
        )


@check("invalid-index", Severity.HIGH)
def invalid_index(case: Case) -> Found:
    """An index is left invalid.

    It costs every write and serves no read, and with IF NOT EXISTS a second run takes it for the real one.

    What to do: correct the rows that kept it from being built, drop it, and build it again.
    """
    for phase, table, keys in _new(case, lambda a: a.get("valid") is False):
        objects = [k.label for k in keys]
        yield finding(
            case,
            "invalid-index",
            Severity.HIGH,
            phase,
            f"After {phase.value} {listed(objects)} on {table} is there but invalid.",
            table=table,
            objects=objects,
            causes=(w for k in keys for w in invalid(case, k)),
            recommendation=f"Correct the rows of {table}, then drop {listed(objects)} and build it again.",
            count=len(objects),
        )
    for phase, snapshot in case.moments():
        for result in snapshot.integrity:
            if result.rule == "invalid-index" and not result.observed:
                what = f"{result.object} of {result.table} after {phase.value}"
                yield NotVerified(what=what, why=result.why_not, rule="invalid-index")


def _new(case: Case, bad: Callable[[Attributes], bool]) -> Iterator[tuple[Phase, TableRef, list[ObjectKey]]]:
    """Objects in that state after up or down that were not in it before up, by table."""
    earlier = case.before.schema if case.trial.before else Schema()
    seen: set[ObjectKey] = set()
    for phase, snapshot in case.moments():
        changed = [d for d in diff(earlier, snapshot.schema) if d.new is not None and bad(d.new)]
        if changed and not seen:
            seen = {k for k, a in earlier.items() if bad(a)}
            seen |= {ObjectKey(k.kind, t.namespace, t.name, k.name) for k in seen if (t := _now(case, k)) is not None}
        found: dict[TableRef, list[ObjectKey]] = {}
        for key in (d.key for d in changed if d.key not in seen):
            if key.owner:
                seen.add(key)
                found.setdefault(key.owner, []).append(key)
        for table, objects in sorted(found.items()):
            yield phase, table, objects


def _now(case: Case, key: ObjectKey) -> TableRef | None:
    """What the object's table is called after up."""
    return case.now_named(key.owner) if key.owner and case.up_ran else None
