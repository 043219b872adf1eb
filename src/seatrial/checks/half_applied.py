"""half-applied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Rows, finding, listed, n, stated, which
from seatrial.checks.causes.halves import done_twice, why_it_stands
from seatrial.model import ChangedRow, Finding, Phase, Row, Severity, Snapshot, Step, TableDiff, TableRef
from seatrial.schema import diff, reordered


@check("half-applied", Severity.MEDIUM)
def half_applied(case: Case) -> Found:
    """A step that failed left a state that is neither before nor after.

    Where DDL is not transactional (MySQL, MariaDB, CONCURRENTLY, scripts run outside a transaction) the statements
    before the failing one stay: the second attempt stops at them, and down does not fit either.

    Told are the objects that differ and the rows that are missing, changed or added, of a table whose columns changed
    too. A row that differs only by a column that was dropped is told as that column.

    With [interrupt] rerun: an up that runs a second time without a down between (a crash kept its version from being
    recorded), stops with an error and has changed something by then, data applied twice for instance. One that is
    refused and leaves everything as the first up made it is no finding: that is what a CREATE TABLE does the second
    time, the state is the one after up, and nobody is deceived.

    What to do: put one DDL statement into a migration, or write each so that it may run again (IF EXISTS, IF NOT
    EXISTS, WHERE NOT EXISTS).
    """
    trial = case.trial
    if trial.up.error and trial.after_up and trial.before:
        yield from _left(case, Phase.UP, trial.up, trial.before, trial.after_up, trial.up_changes)
    if trial.down.error and trial.after_down and trial.after_up:
        back = _differs(trial.after_up, trial.after_down) and _differs(case.before, trial.after_down)
        if back:
            yield from _left(case, Phase.DOWN, trial.down, trial.after_up, trial.after_down, trial.undone)
    if case.up_ran and trial.rerun.error:
        yield from _twice(case, trial.rerun)


def _other_rows(start: Snapshot, now: Snapshot, altered: set[TableRef | None]) -> dict[TableRef, str]:
    """Tables of both moments that hold other rows, where no comparison tells which.

    A new definition alone changes the checksum too, so of a table that was ``altered`` only the count of rows tells.
    """
    found = {}
    for old, new in ((t, now.table(t.table)) for t in start.tables):
        if new and not (old.compared and new.compared):
            continue
        if new and old.rows != new.rows:
            found[old.table] = f"rows of {old.table} ({old.rows:,} before, {new.rows:,} now)"
        elif new and old.table not in altered and old.checksum != new.checksum:
            found[old.table] = f"rows of {old.table}"
    return found


def _differs(one: Snapshot, other: Snapshot) -> bool:
    unread = {t.table for s in (one, other) for t in s.tables if not t.compared}
    held = [{t.table: (t.rows, t.checksum) for t in s.tables if t.table not in unread} for s in (one, other)]
    return held[0] != held[1] or bool(diff(one.schema, other.schema) or reordered(one.schema, other.schema))


def _left(
    case: Case, phase: Phase, step: Step, start: Snapshot, now: Snapshot, changes: Sequence[TableDiff] | None
) -> list[Finding]:
    objects = diff(start.schema, now.schema)
    whole = {d.key.owner for d in objects if d.key.kind == "table" and d.old is None}
    labels = [d.key.label for d in objects if d.key.kind == "table" or d.key.owner not in whole]
    undoes = case.before if phase is Phase.DOWN else start
    touched = [d for d in map(_beside_the_schema, changes or ()) if d and (d.new_table or undoes.table(d.table))]
    untold = _other_rows(start, now, {d.key.owner for d in objects}) if changes is None else {}
    if not labels and not touched and not untold:
        return []
    tables = [d.table for d in touched] or list(untold)
    table = next((d.key.owner for d in objects if d.key.owner), tables[0] if tables else None)
    rows = _rows(touched)
    parts = _parts(labels, touched) + list(untold.values())
    return [
        finding(
            case,
            "half-applied",
            Severity.MEDIUM,
            phase,
            f"{phase.value.capitalize()} stopped {_where(step)} and left a part of its work: {listed(parts, 8)}.",
            table=table,
            rows=rows,
            objects=labels,
            causes=why_it_stands(case, step, labels, tables),
            recommendation="Put each statement that cannot be rolled back into a migration of its own, so that a "
            "second attempt begins where the first stopped.",
            count=rows.count or len(labels) or len(untold),
        )
    ]


def _twice(case: Case, step: Step) -> list[Finding]:
    """What a second up in a row had changed when it was refused."""
    labels, touched = list(case.trial.rerun_objects), [d for d in case.trial.rerun_changes if d]
    if not labels and not touched:
        return []
    rows = _rows(touched)
    return [
        finding(
            case,
            "half-applied",
            Severity.MEDIUM,
            Phase.INTERRUPTED,
            f"Up run a second time, without a down between, stopped {_where(step)} and had changed by then what the "
            f"first one left: {listed(_parts(labels, touched), 8)}.",
            table=touched[0].table if touched else None,
            rows=rows,
            objects=labels,
            causes=done_twice(case, step, [d.table for d in touched]),
            recommendation="Put the statement that is refused the second time first, or guard what stands before it by"
            " what it leaves behind.",
            count=rows.count or len(labels),
        )
    ]


def _rows(touched: Sequence[TableDiff]) -> Rows:
    """How many rows differ, and which where they are of one table."""
    rows = Rows(key=touched[0].key if len(touched) == 1 else ())
    for change in touched:
        rows.count += _count(change)
        if rows.key:
            rows.keys |= {r.key for r in (*change.lost, *change.added)}
            rows.keys |= {r.key for g in change.changed for r in g.rows}
    return rows


def _beside_the_schema(change: TableDiff) -> TableDiff:
    """Without rows that differ only by a dropped column, which is told as an object."""
    gone = set(change.missing_columns)
    return replace(change, changed=tuple(g for g in change.changed if set(g.columns) - gone))


def _parts(labels: Sequence[str], touched: Sequence[TableDiff]) -> list[str]:
    return ([listed(labels, 6)] if labels else []) + [part for d in touched for part in _row_parts(d)]


def _row_parts(change: TableDiff) -> Iterator[str]:
    """``1 row of orders missing (id 2)``."""
    updated = [r for g in change.changed for r in g.rows]
    kinds: tuple[tuple[int, Sequence[Row | ChangedRow], str], ...] = (
        (change.lost_count, change.lost, "missing"),
        (change.changed_count, updated, "changed"),
        (change.added_count, change.added, "added"),
    )
    for count, found, how in kinds:
        if count:
            rows = Rows(key=change.key, count=count, keys={r.key for r in found} if change.key else set())
            yield f"{n(count, 'row')} of {change.table} {how}{which(rows)}"


def _where(step: Step) -> str:
    """The statement that was refused, or, where the migration's own code raised, the last one that ran."""
    if step.error and step.error.statement:
        return f"at {stated(step.error.statement)}"
    line = f" in line {step.error.line}" if step.error and step.error.line else ""
    last = f", behind {stated(step.statements[-1].sql)}" if step.statements else ""
    return f"in its own code{line}{last}"


def _count(change: TableDiff) -> int:
    return change.lost_count + change.added_count + change.changed_count
