"""invariant-broken."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Cause, Rows, finding, n, quoted
from seatrial.model import Phase, ProbeResult, Severity
from seatrial.sql.intent import touched_tables


@check("invariant-broken", Severity.HIGH)
def invariant_broken(case: Case) -> Found:
    """A query declared under [[invariants]] returns rows: something that must always hold does not.

    Rows that the query returned before up already are not held against the migration (LOW, preexisting).

    What to do: correct the rows in the same migration, or the statement that breaks the rule; the finding names the
    rows that the query returned.
    """
    broken = [p for p in case.trial.probes if p.name.startswith("invariant ") and p.count]
    for asked in dict.fromkeys(p.name for p in broken):
        answers = [p for p in broken if p.name == asked]
        probe = next((p for p in answers if p.count > p.preexisting), answers[0])
        name = asked.removeprefix("invariant ")
        old = probe.preexisting == probe.count
        yield finding(
            case,
            "invariant-broken",
            Severity.LOW if old else Severity.HIGH,
            probe.phase,
            f"The invariant '{name}' does not hold after {probe.phase.value}: its query returns {n(probe.count, 'row')}"
            f"{_of_which(probe)}.",
            objects=[f"invariant {name}"],
            causes=_causes(case, probe, old=old),
            recommendation=f"Bring the rows that the query returns in line with '{name}' in the same migration.",
            sql=probe.sql,
            rows=Rows(
                key=("row",), count=probe.count if old else probe.count - probe.preexisting, keys=set(probe.keys)
            ),
            preexisting=old,
        )


def _of_which(probe: ProbeResult) -> str:
    if probe.preexisting == probe.count:
        return ", all of which it returned before"
    return f", {probe.preexisting:,} of which it returned before" if probe.preexisting else ""


def _causes(case: Case, probe: ProbeResult, *, old: bool) -> Iterator[Cause]:
    """What the step changed in the tables that the query reads."""
    if old:
        yield Cause("rows broke it before this migration")
        return
    read = {t.name for t in touched_tables(probe.sql, case.trial.engine)}
    down = probe.phase is Phase.DOWN
    intent, changes = (case.down, case.trial.down_changes) if down else (case.up, case.trial.up_changes)
    step = probe.phase.value
    for change in changes:
        if (change.new_table or change.table).name not in read and change.table.name not in read:
            continue
        wrote = [*intent.updates(change.table), *intent.inserts_into(change.table), *intent.deletes_from(change.table)]
        if wrote:
            yield Cause(f"{step} wrote rows of {change.table} that break it ({quoted(wrote)})")
        else:
            yield Cause(
                f"rows of {change.table}, which the query reads, changed while {step} ran, by no statement on it"
            )
