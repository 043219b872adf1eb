"""collateral-change."""

from __future__ import annotations

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Cause, Rows, finding, listed, n, narrow, shorten, which
from seatrial.checks.causes.rows import added, removed
from seatrial.checks.causes.values import changed_by_up
from seatrial.model import NotVerified, Phase, Severity, TableDiff


@check("collateral-change", Severity.HIGH)
def collateral_change(case: Case) -> Found:
    """Up changed rows or values that no statement of the migration asked for.

    A change is asked for where a statement names the table, reads included, and, for a column of a row that stays,
    mentions or assigns that column. What happens beside it - rows taken by a cascade, rows added by a trigger, a time
    stamp that moves by itself - is what reviewers cannot see in the text and what nobody plans to undo.
    """
    if not case.up_ran:
        return
    for diff in case.trial.up_changes:
        named = case.up.names_table(diff.table)
        # Where a statement gives rows other keys, what stands under a key is another row's: no column changed.
        moved = named and any(case.up.assigns_column(diff.table, c) for c in diff.key)
        columns = [
            c
            for c in dict.fromkeys(c for g in diff.changed for c in g.columns)
            if not (named and (moved or case.up.mentions_column(diff.table, c)))
        ]
        rows = Rows(key=diff.key)
        rows.add_changes(diff, columns)
        if not named:
            rows.add_rows(diff.lost_count, diff.lost, diff.columns)
            rows.add_rows(
                diff.added_count if diff.key else max(0, diff.added_count - diff.lost_count), diff.added, diff.columns
            )
        if not rows.count:
            continue
        if case.up.opaque:
            why = f"what this statement does cannot be told from its text: {shorten(case.up.opaque[0])}"
            yield NotVerified(
                what=f"whether the changes of {diff.table} were asked for", why=why, rule="collateral-change"
            )
            continue
        yield finding(
            case,
            "collateral-change",
            Severity.HIGH,
            Phase.UP,
            _text(diff, rows, columns, named),
            table=diff.table,
            rows=rows,
            columns=columns,
            causes=_causes(case, diff, columns, named),
            recommendation=narrow(case, case.trial.up),
        )


def _causes(case: Case, diff: TableDiff, columns: list[str], named: bool) -> list[Cause]:
    found: list[Cause] = []
    if not named and diff.lost_count:
        found += removed(case, diff.table)
    if not named and diff.added_count:
        found += added(case, diff.table)
    return [*found, *changed_by_up(case, diff.table, columns)]


def _text(diff: TableDiff, rows: Rows, columns: list[str], named: bool) -> str:
    parts = []
    if not named and diff.lost_count:
        parts.append(f"removed {n(diff.lost_count, 'row')}")
    if not named and diff.added_count:
        parts.append(f"added {n(diff.added_count, 'row')}")
    if columns:
        changed = sum(g.count for g in diff.changed if set(g.columns) & set(columns))
        parts.append(f"changed {listed(columns)} in {n(changed, 'row')}")
    missing = "no statement names that table" if not named else "no statement mentions what changed"
    return f"Up {listed(parts)} of {diff.table}{which(rows)}, although {missing}."
