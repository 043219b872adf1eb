"""invariant-broken."""

from __future__ import annotations

from seatrial.checks import Found, check
from seatrial.checks.case import Case, finding, n
from seatrial.model import Severity


@check("invariant-broken", Severity.HIGH)
def invariant_broken(case: Case) -> Found:
    """A query declared under [[invariants]] returns rows: something that must always hold does not.

    Rows that the query returned before up already are not held against the migration (LOW, preexisting).
    """
    seen: set[str] = set()
    for probe in case.trial.probes:
        if not probe.name.startswith("invariant "):
            continue
        name = probe.name.removeprefix("invariant ")
        if not probe.count or name in seen:
            continue
        seen.add(name)
        old = probe.preexisting == probe.count
        yield finding(
            case,
            "invariant-broken",
            Severity.LOW if old else Severity.HIGH,
            probe.phase,
            f"The invariant '{name}' does not hold after {probe.phase.value}: its query returns {n(probe.count, 'row')}"
            f"{', all of which it returned before' if old else ''}.",
            objects=[f"invariant {name}"],
            causes=["rows broke it before this migration" if old else f"{probe.phase.value} left rows that break it"],
            recommendation=f"Bring the rows that the query returns in line with '{name}' in the same migration.",
            sql=probe.sql,
            count=probe.count,
            preexisting=old,
        )
