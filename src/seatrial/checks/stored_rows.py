"""orphaned-rows, duplicate-keys, check-violated and nulls-in-required."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Cause, Rows, finding, listed, n, which
from seatrial.checks.causes.rules import advice, broken, required, untied
from seatrial.model import Finding, Integrity, NotVerified, Phase, ProbeResult, Severity, TableRef


@check("orphaned-rows", Severity.HIGH)
def orphaned_rows(case: Case) -> Found:
    """Rows refer to a parent that is not there: the foreign key does not hold over the stored rows, enforced or not.

    Foreign keys that were switched off, added NOT VALID, or never enforced (SQLite, MyISAM) let such rows in without
    a word. Relationships that no foreign key declares are judged as well: those under [[relationships]], and, as
    MEDIUM, those that names suggest (`orders.user_id` means the row of `users`), where every row obeyed them before
    up. LOW and not held against the migration where the same row broke the same key before up.

    What to do: delete or re-attach the rows in the same migration, and let the engine check the key with foreign keys
    switched on.
    """
    yield from _judge(case, "orphaned-rows", Severity.HIGH)


@check("duplicate-keys", Severity.HIGH)
def duplicate_keys(case: Case) -> Found:
    """Several rows hold a value that a unique rule declares to be unique.

    What to do: decide which of the rows stays, keep the others in a side table, and declare the unique rule behind
    that.
    """
    yield from _judge(case, "duplicate-keys", Severity.HIGH)


@check("check-violated", Severity.HIGH)
def check_violated(case: Case) -> Found:
    """Stored rows break a CHECK that the schema declares: added NOT VALID, not enforced, or bypassed.

    What to do: correct the rows in the same migration, before the CHECK is declared, and let the engine look at them
    (VALIDATE CONSTRAINT, ENFORCED).
    """
    yield from _judge(case, "check-violated", Severity.HIGH)


@check("nulls-in-required", Severity.MEDIUM)
def nulls_in_required(case: Case) -> Found:
    """NULL is stored where the schema or [[required]] says that none may be.

    What to do: fill the column before the step ends: a DEFAULT, or a backfill before NOT NULL is declared.
    """
    yield from _judge(case, "nulls-in-required", Severity.MEDIUM)
    seen: set[str] = set()
    for probe in case.trial.probes:
        if (
            probe.name.startswith("required ")
            and probe.table
            and probe.count > probe.preexisting
            and probe.name not in seen
        ):
            seen.add(probe.name)
            yield _required(case, probe.table, probe)


def _required(case: Case, table: TableRef, probe: ProbeResult) -> Finding:
    new = probe.count - probe.preexisting
    rows = Rows(key=case.key_of(table), count=new, keys=set(probe.keys))
    return finding(
        case,
        "nulls-in-required",
        Severity.MEDIUM,
        probe.phase,
        f"After {probe.phase.value} {n(new, 'row')} of {table} {'holds' if new == 1 else 'hold'} NULL"
        f" in {listed(probe.columns)}, which [[required]] forbids{which(rows)}.",
        table=table,
        rows=rows,
        columns=probe.columns,
        objects=[f"column {table}.{c}" for c in probe.columns],
        causes=required(case, table, probe),
        recommendation=f"Fill {table}.{listed(probe.columns)} in the same migration.",
        sql=probe.sql,
    )


def _judge(case: Case, rule: str, severity: Severity) -> Iterator[Finding | NotVerified]:
    found: dict[TableRef, list[tuple[Phase, Integrity]]] = {}
    for phase, snapshot in case.moments():
        for result in snapshot.integrity:
            if result.rule != rule or (result.inferred and _leads_elsewhere(case, phase, result)):
                continue
            if not result.observed:
                yield NotVerified(what=f"{result.object} after {phase.value}", why=result.why_not, rule=rule)
            elif result.count:
                found.setdefault(result.table, []).append((phase, result))
                if (old := _before(case, result, phase)) and old.count and (_cut(old) or _cut(result)):
                    why = f"too many rows break {result.object} to tell which of them are new"
                    yield NotVerified(what=f"rows of {result.table} after {phase.value}", why=why, rule=rule)
    for table, results in sorted(found.items()):
        yield from _finding(case, rule, severity, table, results)


def _leads_elsewhere(case: Case, phase: Phase, result: Integrity) -> bool:
    """Whether up moved the parents on purpose: what names suggest may mean the table where they stand now."""
    if phase is not Phase.UP:
        return False
    parent = result.references.rpartition("(")[0]
    ref = next((t for t in case.before.schema.tables() if str(t) == parent), TableRef("", parent))
    naming, known = set(case.up.naming(ref)), set(case.before.schema.tables())
    others = [t for t in case.after_up.schema.tables() if t not in (ref, result.table)]
    return any(naming & set(case.up.inserts_into(t) if t in known else case.up.naming(t)) for t in others)


def _finding(
    case: Case, rule: str, severity: Severity, table: TableRef, results: list[tuple[Phase, Integrity]]
) -> Iterator[Finding]:
    new = [(phase, fresh) for phase, result in results if (fresh := _new(case, result, phase)).count]
    shown = new or results
    rows = _rows(case, table, shown)
    inferred = all(r.inferred for _, r in shown)
    if not new:
        severity = Severity.LOW
    elif inferred:
        severity = Severity.MEDIUM
    phase, first = shown[0]
    labels = list(dict.fromkeys(r.object for _, r in shown))
    yield finding(
        case,
        rule,
        severity,
        phase,
        _text(rule, table, first, rows, phase, bool(new)),
        table=table,
        rows=rows,
        columns=list(dict.fromkeys(c for _, r in shown for c in r.columns)),
        objects=labels,
        causes=_causes(case, rule, table, first, phase, new=bool(new)),
        recommendation=advice(case, table, first),
        sql=first.sql,
        preexisting=not new,
        inferred=inferred,
    )


def _rows(case: Case, table: TableRef, results: list[tuple[Phase, Integrity]]) -> Rows:
    snapshot = case.after_up
    state = snapshot.table(table) or case.before.table(table)
    rows = Rows(key=state.key if state else ())
    for _, result in results:
        rows.keys |= set(result.keys)
    complete = all(r.count == len(r.keys) for _, r in results)
    rows.count = len(rows.keys) if complete and rows.keys else max(r.count for _, r in results)
    if not rows.key:
        rows.keys = set()
    return rows


def _new(case: Case, result: Integrity, phase: Phase) -> Integrity:
    """The rows that did not break the same constraint before up."""
    old = _before(case, result, phase)
    if old is None or not old.count:
        return result
    if _cut(old) or _cut(result):
        return dataclasses.replace(result, keys=(), count=max(0, result.count - old.count))
    stood = set(old.keys)
    fresh = tuple(k for k in result.keys if k not in stood)
    return dataclasses.replace(result, keys=fresh, count=len(fresh))


def _before(case: Case, result: Integrity, phase: Phase) -> Integrity | None:
    """What the same constraint said before up."""
    back = {b: a for a, b in case.trial.renames.tables}
    table = result.table if phase is Phase.DOWN else back.get(result.table, result.table)
    same = (result.rule, table, result.references, result.expression)
    return next(
        (
            i
            for i in case.before.integrity
            if (i.rule, i.table, i.references, i.expression) == same
            and (i.columns == result.columns or i.object == result.object)
        ),
        None,
    )


def _cut(result: Integrity) -> bool:
    """Whether more rows break it than were kept: which of them are new cannot be told."""
    return result.count > len(result.keys)


def _text(rule: str, table: TableRef, result: Integrity, rows: Rows, phase: Phase, new: bool) -> str:
    columns = listed(result.columns)
    what = {
        "orphaned-rows": f"{n(rows.count, 'row')} of {table} {'refers' if rows.count == 1 else 'refer'} by "
        f"{columns} to a row of"
        f" {result.references or 'its parent'} that does not exist",
        "duplicate-keys": f"{n(rows.count, 'row')} of {table} share their {columns or 'key'}, which {result.object} "
        "declares to be unique",
        "check-violated": f"{n(rows.count, 'row')} of {table} {'breaks' if rows.count == 1 else 'break'} "
        f"{result.object} ({result.expression})",
        "nulls-in-required": f"{n(rows.count, 'row')} of {table} {'holds' if rows.count == 1 else 'hold'} NULL in "
        f"{columns}, where none may be",
    }[rule]
    said = f"After {phase.value} {what}{which(rows)}{'' if new else '; they did so before this migration'}."
    if not result.inferred:
        return said
    return f"{said} No foreign key declares it: it is inferred from the names, and every row obeyed it before up."


def _causes(case: Case, rule: str, table: TableRef, result: Integrity, phase: Phase, *, new: bool) -> Iterator[Cause]:
    if not new:
        yield Cause("the rows broke it before this migration", advice(case, table, result))
    elif result.object.startswith("relationship "):
        yield from untied(case, table, result, phase)
    else:
        yield from broken(case, rule, table, result, phase)
