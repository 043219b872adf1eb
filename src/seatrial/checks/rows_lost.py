"""rows-lost."""

from __future__ import annotations

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Rows, finding, n, narrow, which
from seatrial.checks.causes import history
from seatrial.checks.causes import rows as why
from seatrial.checks.shown import gone_sql
from seatrial.model import Phase, Severity, TableRef


@check("rows-lost", Severity.CRITICAL)
def rows_lost(case: Case) -> Found:
    """Rows that were there before up are missing after down.

    Every row of every table is looked for by its key, or as a whole where the table has none. A rollback that deletes
    rows is worse than no rollback: the rows were there before the deployment and nobody asked for their removal.

    What to do: keep what up removes in a side table until the rollback window is over, and let down put it back.
    """
    if not case.down_ran:
        return
    for diff in case.trial.down_changes:
        if not diff.lost_count:
            continue
        rows = Rows(key=diff.key)
        rows.add_rows(diff.lost_count, diff.lost, diff.columns)
        state = case.before.table(diff.table)
        every = "All " if state and state.rows == diff.lost_count and state.rows > 1 else ""
        text = (
            f"{every}{n(rows.count, 'row')} of {diff.table} that were there before up are missing "
            f"after down{which(rows)}."
        )
        if rows.count == 1:
            text = f"1 row of {diff.table} that was there before up is missing after down{which(rows)}."
        if not diff.key:
            text += f" {diff.table} has no key, so a changed row counts as a missing one."
        yield finding(
            case,
            "rows-lost",
            Severity.CRITICAL,
            Phase.DOWN,
            text + _and_history(case, diff.table),
            table=diff.table,
            rows=rows,
            causes=why.rows_lost(case, diff.table),
            recommendation=narrow(case, case.trial.up),
            sql=gone_sql(case, diff.table),
        )
    yield from _histories(case)


def _and_history(case: Case, table: TableRef) -> str:
    lost = sum(d.lost_count for d in case.trial.history_changes if d.table == table)
    return f" {n(lost, 'old version')} of its rows (FOR SYSTEM_TIME ALL) went too." if lost else ""


def _histories(case: Case) -> Found:
    """System versioning: the rows themselves are there, what they were before is not."""
    told = {d.table for d in case.trial.down_changes if d.lost_count}
    for diff in case.trial.history_changes:
        if not diff.lost_count or diff.table in told:
            continue
        rows = Rows(key=diff.key)
        rows.add_rows(diff.lost_count, diff.lost, diff.columns)
        are = "is" if rows.count == 1 else "are"
        yield finding(
            case,
            "rows-lost",
            Severity.CRITICAL,
            Phase.DOWN,
            f"{n(rows.count, 'old version')} of rows of {diff.table} (FOR SYSTEM_TIME ALL), which {are} older than up, "
            f"{are} missing after down{which(rows)}.",
            table=diff.table,
            rows=rows,
            causes=history.lost(case, diff.table),
            recommendation=narrow(case, case.trial.up),
            sql=f"SELECT * FROM {case.quote(diff.table.name)} FOR SYSTEM_TIME ALL",
        )
