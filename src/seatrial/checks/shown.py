"""The SQL with which a person sees what a finding about the schema tells."""

from __future__ import annotations

from collections.abc import Iterable

from seatrial.checks.attributes import code
from seatrial.checks.case import Case
from seatrial.model import ObjectKey, Snapshot, TableDiff, TableRef
from seatrial.schema import diff, outermost
from seatrial.sql import remedy
from seatrial.sql.show import MOST, show


def schema_sql(case: Case, keys: Iterable[ObjectKey], at: Snapshot) -> str:
    """Queries for the objects, as they stand at a moment."""
    return show(keys, at.schema, case.trial.engine)


def gone_sql(case: Case, table: TableRef, columns: Iterable[str] = ()) -> str:
    """What shows that a table, or a column, is not there after down; empty where they are: their rows tell more."""
    there = case.columns_back(table)
    if there and all(c in there for c in columns):
        return ""
    return schema_sql(
        case, [ObjectKey.of_table(table), *(ObjectKey("column", *table, c) for c in columns)], case.after_down
    )


def left_by_up(case: Case) -> str:
    """Queries for what up changed: of the schema; the rows, where it left that as it was."""
    changes = outermost(diff(case.before.schema, case.after_up.schema))
    if changes:
        return schema_sql(case, (c.key for c in changes), case.after_up)
    return "\n".join(f"{_rows(case, d)};" for d in case.trial.up_changes[:MOST])


def undoing(case: Case) -> str:
    """``: `DROP TABLE audit``` where up only added objects that one statement each takes away; else empty."""
    changes = outermost(diff(case.before.schema, case.after_up.schema))
    known = set(case.before.schema.tables())
    drops = [remedy.drop(c.key, case.trial.engine) if c.old is None else "" for c in reversed(changes)]
    if not all(drops) or len(drops) > MOST or any(d.table in known for d in case.trial.up_changes):
        return ""
    return f": {code(drops)}" if drops else ""


def _rows(case: Case, change: TableDiff) -> str:
    rows = [r.key for r in (*change.added, *change.lost)]
    return case.rows_sql(change.table, [*rows, *(r.key for g in change.changed for r in g.rows)])
