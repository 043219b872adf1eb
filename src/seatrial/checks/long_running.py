"""long-running."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Cause, finding, listed, n, shorten, stated
from seatrial.model import Phase, Severity, Statement, Step
from seatrial.prose import span

LONG_MS, VERY_LONG_MS = 1_000.0, 60_000.0


@check("long-running", Severity.MEDIUM)
def long_running(case: Case) -> Found:
    """Up or down takes long on the rows of the trial: MEDIUM from one second, HIGH from one minute.

    Where down restored everything, up ran twice from the same state, and the quicker run counts: what else the machine
    was doing is not the migration's.

    What to do: try it with as many rows as production has; then batch the UPDATE, build the index concurrently, or
    deploy in the phases that the report sets out.
    """
    for phase, step in ((Phase.UP, _quicker(case)), (Phase.DOWN, case.trial.down)):
        if not step.executed or step.duration_ms < LONG_MS:
            continue
        slowest = _slowest(step)
        rows = sum(t.rows for t in case.before.tables)
        yield finding(
            case,
            "long-running",
            Severity.HIGH if step.duration_ms >= VERY_LONG_MS else Severity.MEDIUM,
            phase,
            f"{phase.value.capitalize()} took {step.duration_ms / 1000:.1f} s on a database of {n(rows, 'row')}.",
            causes=_causes(step),
            recommendation="Run it in batches or in the background, and keep locks short.",
            sql=slowest.sql if slowest else "",
            count=1,
        )
        return


def _quicker(case: Case) -> Step:
    """The first up, or the second where it did the same work over again in less time."""
    up, again = case.trial.up, case.trial.reup
    return again if case.reup_ran and case.restored and again.duration_ms < up.duration_ms else up


def _slowest(step: Step) -> Statement | None:
    """The statement that took most of the time, where one did."""
    slowest = max(step.statements, key=lambda s: s.duration_ms, default=None)
    return slowest if slowest is not None and slowest.duration_ms * 2 >= step.duration_ms else None


def _causes(step: Step) -> Iterator[Cause]:
    """Where the time went."""
    slowest, spent = _slowest(step), sum(s.duration_ms for s in step.statements)
    if not step.statements_observed:
        return
    if slowest is not None:
        yield Cause(f"{stated(slowest.sql)} took {slowest.duration_ms / 1000:.1f} s{_how(slowest)}", _advice(slowest))
    elif spent * 2 >= step.duration_ms:
        many = n(len(step.statements), "statement")
        yield Cause(f"{many} took {spent / 1000:.1f} s together, none of them half of it")
    else:
        yield Cause(f"its statements took {spent / 1000:.1f} s; the rest went by in the migration's own code")


def _how(statement: Statement) -> str:
    if statement.rewrites:
        return f" and wrote {listed(statement.rewrites)} anew"
    return f" and changed {n(statement.rows, 'row')}" if statement.rows and statement.rows > 0 else ""


def _advice(statement: Statement) -> str:
    if statement.rewrites:
        return (
            f"Every reader and writer of {listed(statement.rewrites)} waits for it: make the change in a new column,"
            " fill it in batches, and swap the two."
        )
    if statement.rows and statement.rows > 0:
        text = shorten(statement.sql, 60)
        return f"Let {span(text)} work in batches of some thousand rows, each in a transaction of its own."
    return ""
