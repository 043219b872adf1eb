"""values-lost."""

from __future__ import annotations

from dataclasses import replace

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Rows, finding, listed, n, narrow, which
from seatrial.checks.causes import values as why
from seatrial.checks.shown import gone_sql
from seatrial.model import Phase, Severity


@check("values-lost", Severity.CRITICAL)
def values_lost(case: Case) -> Found:
    """A row is there after down, but a column's value is not what it was before up.

    Values are compared exactly as they are stored: microseconds, trailing blanks, NULL against an empty string, the
    scale of a decimal. A column that is missing after down has lost the value of every row that held one.

    What to do: keep the old values until the rollback window is over (a second column, a side table by key), and let
    down put them back; rename a column instead of dropping it.
    """
    if not case.down_ran:
        return
    told = {d.table for d in case.trial.down_changes if d.changed}
    of_history = [d for d in case.trial.history_changes if d.table not in told]
    for diff in (*case.trial.down_changes, *of_history):
        if not diff.changed:
            continue
        rows = Rows(key=diff.key)
        rows.add_changes(diff, {c for g in diff.changed for c in g.columns})
        columns = [c for c in diff.columns if c in rows.columns] or rows.columns
        held = "holds" if rows.count == 1 else "hold"
        names = listed(f"{diff.table}.{c}" for c in columns)
        gone = tuple(c for c in columns if c in diff.missing_columns)
        text = (
            f"{n(rows.count, 'value')} of {names} {'is' if rows.count == 1 else 'are'} gone with the "
            f"column{which(rows)}."
            if len(gone) == len(columns)
            else f"{n(rows.count, 'row')} {held} another value in {names} after down than before up{which(rows)}."
            f"{_with_their_column(gone)}"
        )
        if diff in of_history:
            text += " They are old versions of rows (FOR SYSTEM_TIME ALL)."
        found = finding(
            case,
            "values-lost",
            Severity.CRITICAL,
            Phase.DOWN,
            text,
            table=diff.table,
            rows=rows,
            columns=columns,
            causes=why.values_lost(case, diff.table, columns),
            recommendation=narrow(case, case.trial.up),
            sql=gone_sql(case, diff.table, columns),
        )
        yield replace(found, gone=gone)


def _with_their_column(gone: tuple[str, ...]) -> str:
    """What is said of columns beside others that are still there."""
    return f" Those of {listed(gone)} are gone with the column{'s' if len(gone) > 1 else ''}." if gone else ""
