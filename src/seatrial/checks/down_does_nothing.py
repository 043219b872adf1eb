"""down-does-nothing."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Cause, finding, quoted, stated
from seatrial.checks.schema_restored import makes_what_may_stay
from seatrial.checks.shown import left_by_up, undoing
from seatrial.model import Phase, Severity
from seatrial.schema import only_renames, same_schema
from seatrial.sql.look import says, words_of

_READS = frozenset(["SELECT", "PRAGMA", "SHOW", "EXPLAIN", "SET", "VALUES"])


@check("down-does-nothing", Severity.HIGH)
def down_does_nothing(case: Case) -> Found:
    """Up changed something, down ran without an error, and everything is as it was after up.

    Such a down is worse than none: the rollback reports success, and the next deployment runs up over what is still
    there. LOW where up only installed an extension, made a role or user, or gave an object another name.

    What to do: write the inverse of each statement of up; where there is none, leave the down out and say why in a
    waiver.
    """
    if not case.down_ran or case.trial.undone is None or case.trial.undone or not case.up_changed_something:
        return
    if not same_schema(case.after_up.schema, case.after_down.schema) or case.restored:
        return
    yield finding(
        case,
        "down-does-nothing",
        Severity.LOW if makes_what_may_stay(case) or _renames_only(case) else Severity.HIGH,
        Phase.DOWN,
        "Down ran without an error and changed nothing: rows and schema are as up left them.",
        causes=_causes(case),
        recommendation=f"Write a down that takes back what up did{undoing(case)}, or leave it out, so that nobody"
        " relies on it.",
        sql=left_by_up(case),
        count=1,
    )


def _renames_only(case: Case) -> bool:
    """No guarantee is another one; what a second up makes of the other name is told by up-not-repeatable."""
    return not case.trial.up_changes and only_renames(case.before.schema, case.after_up.schema)


def _causes(case: Case) -> Iterator[Cause]:
    """What the statements of down are, and that none of them met anything."""
    sent = case.trial.down.statements
    dialect = case.trial.engine
    writes = [s for s in sent if words_of(s.sql, dialect)[:1] and words_of(s.sql, dialect)[0] not in _READS]
    guarded = [
        s.sql for s in writes if says(s.sql, dialect, "IF", "EXISTS") or says(s.sql, dialect, "IF", "NOT", "EXISTS")
    ]
    met = sum(max(0, s.rows or 0) for s in writes)
    if not sent and case.trial.down.statements_observed:
        yield Cause("down sends no statement to the database")
    elif not writes and sent:
        yield Cause(f"down only reads ({quoted([s.sql for s in sent])})")
    elif guarded:
        yield Cause(f"what down names is not there, and IF EXISTS passes over it ({stated(guarded[0])})")
    elif len(writes) == 1:
        how = "meets no row" if not met else "writes what stood there already"
        yield Cause(f"the one statement of down {how} ({stated(writes[0].sql)})")
    elif writes:
        yield Cause(
            f"none of the {len(writes)} statements of down meets what up left"
            if not met
            else f"the {len(writes)} statements of down come to nothing together: what one changes, another takes back"
        )
