"""Where the old versions of a table's rows went (system versioning)."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.checks.case import Case, Cause
from seatrial.model import ObjectKey, TableRef

_ADVICE = (
    "Change the table in place, with system_versioning_alter_history = KEEP, or carry the old versions over with their "
    "times, with system_versioning_insert_history = ON."
)


def lost(case: Case, table: TableRef) -> Iterator[Cause]:
    """What is seen of the table after up: versioning went, or what stands there is another table."""
    now = case.now_named(table)
    then = case.after_up.schema.get(ObjectKey.of_table(now), {})
    kept = next((s.history for s in case.after_up.tables if s.table == now), None)
    if then and not then.get("system_versioned"):
        yield Cause(f"Up ended the system versioning of {table}, and its history with it", _ADVICE)
    elif kept == 0:
        yield Cause(f"What up left as {table} holds no history at all", _ADVICE)
