"""long-running."""

from __future__ import annotations

from seatrial.checks import Found, check
from seatrial.checks.case import Case, finding, n
from seatrial.model import Phase, Severity

LONG_MS, VERY_LONG_MS = 1_000.0, 60_000.0


@check("long-running", Severity.MEDIUM)
def long_running(case: Case) -> Found:
    """Up or down takes long on the rows of the trial: MEDIUM from one second, HIGH from one minute."""
    for phase, step in ((Phase.UP, case.trial.up), (Phase.DOWN, case.trial.down)):
        if not step.executed or step.duration_ms < LONG_MS:
            continue
        slowest = max(step.statements, key=lambda s: s.duration_ms, default=None)
        rows = sum(t.rows for t in case.before.tables)
        yield finding(
            case,
            "long-running",
            Severity.HIGH if step.duration_ms >= VERY_LONG_MS else Severity.MEDIUM,
            phase,
            f"{phase.value.capitalize()} took {step.duration_ms / 1000:.1f} s on a database of {n(rows, 'row')}.",
            causes=[f"`{slowest.sql.strip()[:80]}` took {slowest.duration_ms / 1000:.1f} s"] if slowest else [],
            recommendation="Run it in batches or in the background, and keep locks short.",
            sql=slowest.sql if slowest else "",
            count=1,
        )
        return
