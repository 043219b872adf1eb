"""backfill-incomplete."""

from __future__ import annotations

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Rows, finding, listed, n, which
from seatrial.checks.causes.backfill import left_out
from seatrial.model import NotVerified, Phase, Severity


@check("backfill-incomplete", Severity.HIGH)
def backfill_incomplete(case: Case) -> Found:
    """At the end of up, rows that a backfill meant to reach do not hold its values.

    The UPDATE's WHERE is asked again at the end of up, without its LIMIT (and without the key range where several
    batches write the same SET, or a loop moves it on): rows that still match and do not hold the value were left out.
    A batch in a block, or in a routine that up calls, whose variables or conditions say more, is not verified.

    What to do: widen the condition to every row that is meant, or run the batch again until no row matches; the
    finding's SQL lists the rows that were left out.
    """
    if not case.up_ran:
        return
    for probe in case.trial.probes:
        if probe.name != "backfill" or probe.table is None:
            continue
        if probe.error:
            yield NotVerified(what=f"the backfill of {probe.table}", why=probe.error, rule="backfill-incomplete")
        if not probe.count:
            continue
        state = case.after_up.table(probe.table)
        rows = Rows(
            key=state.key if state else (), count=probe.count, keys=set(probe.keys), columns=list(probe.columns)
        )
        yield finding(
            case,
            "backfill-incomplete",
            Severity.HIGH,
            Phase.UP,
            f"The backfill of {probe.table}.{listed(probe.columns)} left {n(probe.count, 'row')} out{which(rows)}:"
            " at the end of up they still match its WHERE and do not hold its value.",
            table=probe.table,
            rows=rows,
            causes=left_out(case, probe),
            recommendation=f"Run the query below at the end of up and see what tells these rows of {probe.table} from"
            " those that were reached.",
            sql=probe.sql,
        )
