"""rows-left-behind."""

from __future__ import annotations

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Rows, finding, n, narrow, which
from seatrial.checks.causes import rows as why
from seatrial.model import Phase, Severity


@check("rows-left-behind", Severity.HIGH)
def rows_left_behind(case: Case) -> Found:
    """After down there are rows that were not there before up.

    Down has to take back what up added, by name: rows that stay behind are found again by the next up, by reports and
    by whoever counts. In a table without a key, the new form of a changed row is not counted here as well.

    What to do: let down delete exactly the rows that up added: by a mark, a side table or their keys, not by a
    condition that older rows may meet.
    """
    if not case.down_ran:
        return
    for diff in case.trial.down_changes:
        surplus = diff.surplus
        if not surplus:
            continue
        rows = Rows(key=diff.key)
        surely = diff.key or not diff.lost_count  # without a key, a row that is new may be the new form of a lost one
        rows.add_rows(surplus, diff.added if surely else (), diff.columns, came=True)
        verb = "is" if surplus == 1 else "are"
        text = (
            f"{n(surplus, 'row')} of {diff.table} {verb} there after down that "
            f"{'was' if surplus == 1 else 'were'} not there before up{which(rows)}."
        )
        yield finding(
            case,
            "rows-left-behind",
            Severity.HIGH,
            Phase.DOWN,
            text,
            table=diff.table,
            rows=rows,
            causes=why.added(case, diff.table),
            recommendation=narrow(case, case.trial.up),
        )
