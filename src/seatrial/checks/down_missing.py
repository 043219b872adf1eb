"""down-missing."""

from __future__ import annotations

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Cause, finding
from seatrial.checks.schema_restored import makes_what_may_stay
from seatrial.checks.shown import left_by_up, undoing
from seatrial.model import Phase, Severity


@check("down-missing", Severity.HIGH)
def down_missing(case: Case) -> Found:
    """The project's migrations have downs by convention, and this one has none.

    None, a blank one, one of comments only, and one that declares itself impossible (NotImplementedError) are all no
    way back. Not reported where up changed nothing; LOW where it only installed an extension, or made a role or user.

    What to do: write a down that takes back what up did; where that cannot be, say so in a waiver with an end date.
    """
    why = case.trial.migration.no_down
    if why is None or not case.up_ran or not case.up_changed_something:
        return
    yield finding(
        case,
        "down-missing",
        Severity.LOW if makes_what_may_stay(case) else Severity.HIGH,
        Phase.DOWN,
        f"There is no way back from {case.trial.migration.name}.",
        causes=[Cause(why)],
        recommendation=f"Write a down that takes back what up did{undoing(case)}; where that cannot be, say so in a"
        " waiver with an end date.",
        sql=left_by_up(case),
        count=1,
    )
