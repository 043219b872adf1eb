"""written-rows-lost and down-blocked-by-new-rows."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Rows, finding, listed, n, quoted, shorten, which
from seatrial.model import LivedIn, Phase, Row, Severity, TableDiff
from seatrial.sql.intent import touched_tables


@check("written-rows-lost", Severity.HIGH)
def written_rows_lost(case: Case) -> Found:
    """Rows that the application wrote after up are gone after down, or values that it wrote hold their old value again.

    LOW in tables and columns whose name did not exist before up: what a new table held goes with it. What down
    computes from the written value is no loss.
    """
    lived = case.trial.lived_in
    if lived is None or lived.down.error or lived.after_down is None:
        return
    there = set(case.before.schema.tables())
    for written in lived.written:
        rows = _lost(lived, written)
        if not rows.count:
            continue
        new = written.table not in there
        severity = Severity.LOW if new else Severity.HIGH if lived.own else Severity.MEDIUM
        how = [
            c for c in (quoted(case.down.drops_table(written.table)), quoted(case.down.rebuilds(written.table))) if c
        ]
        yield finding(
            case,
            "written-rows-lost",
            severity,
            Phase.LIVED_IN,
            f"{n(rows.count, 'row')} of {written.table} written after up "
            f"{'is' if rows.count == 1 else 'are'} lost by down{which(rows)}.",
            table=written.table,
            rows=rows,
            causes=[f"down drops the table that they were written to ({listed(how)})"]
            if how
            else ["down puts back what was there before up, without what came since"],
            recommendation="What was written to a new table goes with it; tell those who write to it before rolling "
            "back."
            if new
            else f"In down, carry the rows of {written.table} over to what takes its place.",
        )


def _lost(lived: LivedIn, written: TableDiff) -> Rows:
    """Of the rows and values that were written, those that down did not keep."""
    rows = Rows(key=written.key)
    after = next((d for d in lived.written_lost if d.table == written.table), None)
    if after is None:
        return rows
    if not written.key:
        rows.add_rows(min(written.added_count, after.lost_count), written.added, written.columns)
        return rows
    mine = {r.key for r in written.added}
    gone = [r for r in after.lost if r.key in mine]
    complete = after.lost_count == len(after.lost)
    rows.add_rows(len(gone) if complete else min(written.added_count, after.lost_count), gone, written.columns)
    taken_back = list(_taken_back(written, after))
    rows.add_rows(len(taken_back), taken_back)
    return rows


def _taken_back(written: TableDiff, after: TableDiff) -> Iterator[Row]:
    """Rows in which a value that was written holds its old value again."""
    cells = {(r.key, c): o for g in written.changed for r in g.rows for c, o in zip(g.columns, r.old, strict=True)}
    for group in after.changed:
        for row in group.rows:
            if any(cells.get((row.key, c), _NONE) == v for c, v in zip(group.columns, row.new, strict=True)):
                yield Row(key=row.key)


_NONE = object()


@check("down-blocked-by-new-rows", Severity.HIGH)
def down_blocked_by_new_rows(case: Case) -> Found:
    """Rows that are valid in the new schema make down fail: on the day of the rollback there is no way back."""
    lived = case.trial.lived_in
    error = lived.down.error if lived else None
    if lived is None or error is None:
        return
    tables = touched_tables(error.statement, case.trial.engine)
    table = next((t for w in lived.written for t in [w.table] if t.name in {x.name for x in tables}), None)
    yield finding(
        case,
        "down-blocked-by-new-rows",
        Severity.HIGH if lived.own else Severity.MEDIUM,
        Phase.LIVED_IN,
        f"Down fails once rows are written after up: `{shorten(error.statement)}`: {shorten(error.message, 300)}",
        table=table or next(iter(w.table for w in lived.written), None),
        causes=[f"rows that the new schema allows do not fit the old one: {shorten(error.message, 200)}"],
        recommendation="Decide in down what becomes of rows that do not fit (set them aside, shorten them) "
        "before the old rule is declared again.",
        sql=error.statement,
        count=1,
    )
