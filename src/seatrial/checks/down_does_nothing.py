"""down-does-nothing."""

from __future__ import annotations

from seatrial.checks import Found, check
from seatrial.checks.case import Case, finding, quoted
from seatrial.model import Phase, Severity
from seatrial.schema import same_schema


@check("down-does-nothing", Severity.HIGH)
def down_does_nothing(case: Case) -> Found:
    """Up changed something, down ran without an error, and everything is as it was after up.

    Such a down is worse than none: the rollback reports success, and the next deployment runs up over what is still
    there.
    """
    if not case.down_ran or case.trial.undone is None or case.trial.undone or not case.up_changed_something:
        return
    if not same_schema(case.after_up.schema, case.after_down.schema) or case.restored:
        return
    ran = quoted([s.sql for s in case.trial.down.statements])
    yield finding(
        case,
        "down-does-nothing",
        Severity.HIGH,
        Phase.DOWN,
        "Down ran without an error and changed nothing: rows and schema are as up left them.",
        causes=[
            f"down consists of {ran} only"
            if len(case.trial.down.statements) == 1
            else "no statement of down changes a row or an object"
        ]
        if case.trial.down.statements
        else ["down sends no statement to the database"],
        recommendation="Write a down that takes back what up did, or leave it out, so that nobody relies on it.",
        count=1,
    )
