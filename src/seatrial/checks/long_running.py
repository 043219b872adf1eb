"""long-running."""

from __future__ import annotations

from seatrial.checks import Found, check
from seatrial.checks.case import Case, finding, n, shorten
from seatrial.model import Phase, Severity, Statement, Step

LONG_MS, VERY_LONG_MS = 1_000.0, 60_000.0


@check("long-running", Severity.MEDIUM)
def long_running(case: Case) -> Found:
    """Up or down takes long on the rows of the trial: MEDIUM from one second, HIGH from one minute."""
    for phase, step in ((Phase.UP, case.trial.up), (Phase.DOWN, case.trial.down)):
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
            causes=[_cause(step)] if step.statements_observed else [],
            recommendation="Run it in batches or in the background, and keep locks short.",
            sql=slowest.sql if slowest else "",
            count=1,
        )
        return


def _slowest(step: Step) -> Statement | None:
    """The statement that took most of the time, where one did."""
    slowest = max(step.statements, key=lambda s: s.duration_ms, default=None)
    return slowest if slowest is not None and slowest.duration_ms * 2 >= step.duration_ms else None


def _cause(step: Step) -> str:
    if (slowest := _slowest(step)) is not None:
        return f"`{shorten(slowest.sql)}` took {slowest.duration_ms / 1000:.1f} s"
    spent = sum(s.duration_ms for s in step.statements)
    if spent * 2 >= step.duration_ms:
        return f"{n(len(step.statements), 'statement')} took {spent / 1000:.1f} s together, none of them half of it"
    return f"its statements took {spent / 1000:.1f} s; the rest went by in the migration's own code"
