"""written-rows-lost and down-blocked-by-new-rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Cause, Rows, finding, listed, n, quoted, shorten, stated, which
from seatrial.model import Key, LivedIn, ObjectKey, Phase, Refusal, Severity, StepError, TableDiff, TableRef
from seatrial.sql.intent import touched_tables


@check("written-rows-lost", Severity.HIGH)
def written_rows_lost(case: Case) -> Found:
    """Rows that the application wrote after up are gone after down, or values that it wrote hold their old value again.

    LOW in tables and columns whose name did not exist before up: what a new table held goes with it. What down
    computes from the written value is no loss.

    What to do: let down carry what was written meanwhile over into the old form instead of putting back a copy made
    by up.
    """
    lived = case.trial.lived_in
    if lived is None or lived.down.error or lived.after_down is None:
        return
    there = set(case.before.schema.tables())
    for written in lived.written:
        rows = _lost(case, lived, written)
        new = written.table not in there
        if not rows.count:
            rows, new = (_with_new_table if new else _in_new_columns)(case, lived, written), True
        if not rows.count:
            continue
        severity = Severity.LOW if new else Severity.HIGH if lived.own else Severity.MEDIUM
        yield finding(
            case,
            "written-rows-lost",
            severity,
            Phase.LIVED_IN,
            _text(written, rows),
            table=written.table,
            rows=rows,
            causes=_why_lost(case, written.table, rows.columns or _both(lived, written)),
            recommendation="What was written to a new table or column goes with it; tell those who write to it before "
            "rolling back."
            if new
            else f"In down, carry the rows of {written.table} over to what takes its place.",
        )


def _both(lived: LivedIn, written: TableDiff) -> list[str]:
    """Columns that were written and that down changed."""
    after = next((d for d in lived.written_lost if d.table == written.table), TableDiff(table=written.table))
    wrote = {c for g in written.changed for c in g.columns}
    return [c for c in dict.fromkeys(c for g in after.changed for c in g.columns) if c in wrote]


def _why_lost(case: Case, table: TableRef, columns: Sequence[str]) -> Iterator[Cause]:
    """What down did to the table, or to the columns, that were written to."""
    down = case.down
    dropped = [(c, s) for c in columns if (s := down.drops_column(table, c))]
    wrote = [(c, s) for c in columns if (s := down.assigns_column(table, c))]
    direct = down.deletes_from(table) or down.truncates(table)
    if rebuilt := down.rebuilds(table):
        copies = [s for s in rebuilt if "SELECT" in s.upper()] or list(rebuilt)
        yield Cause(f"down puts another table in its place, and the copy leaves them out ({quoted(copies)})")
    elif down.drops_table(table):
        yield Cause(f"down drops the table that they were written to ({quoted(down.drops_table(table))})")
    elif dropped:
        yield Cause(f"down drops {listed(c for c, _ in dropped)}, where they were written ({quoted(dropped[0][1])})")
    elif wrote:
        yield Cause(f"down puts old values into {listed(c for c, _ in wrote)} ({quoted(wrote[0][1])}), over newer ones")
    elif direct:
        yield Cause(f"down deletes more than up had added ({quoted(direct)})")


_UNFIT = {
    Refusal.ROWS: "rows that the new schema allows do not fit the old one",
    Refusal.RELIED_ON: "rows or objects that came since need what down takes away",
    Refusal.EXISTING: "what down makes again was made by the writes meanwhile",
    Refusal.MISSING: "what down works on was taken away by the writes",
}


def _why_blocked(error: StepError) -> Iterator[Cause]:
    """What the database has against the rows."""
    if error.about in _UNFIT:
        yield Cause(f"{_UNFIT[error.about]}: {shorten(error.message, 200)}")
    elif error.message:
        yield Cause(
            f"down works without the rows that were written since, and not with them: {shorten(error.message, 200)}"
        )


def _text(written: TableDiff, rows: Rows) -> str:
    if rows.columns and {c.key for c in rows.changes} >= rows.keys:  # no row is gone as a whole
        what = f"What was written to {listed(rows.columns)} in {n(rows.count, 'row')} of {written.table} after up is"
    else:
        what = f"{n(rows.count, 'row')} of {written.table} written after up {'is' if rows.count == 1 else 'are'}"
    return f"{what} lost by down{which(rows)}."


def _lost(case: Case, lived: LivedIn, written: TableDiff) -> Rows:
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
    _add_taken_back(rows, case, written, after)
    return rows


def _add_taken_back(rows: Rows, case: Case, written: TableDiff, after: TableDiff) -> None:
    """Values that were written and hold their old value again: that of before the write, or of before up.

    A row that was written under the key of one that up took away has the old values of that one.
    """
    up = case.up_diff(_first_named(case, written.table))
    first, taken = _cells(up), _cells_of(up, {r.key for r in written.added})
    old = _cells(written) | taken
    for group in after.changed:
        for row in group.rows:
            again = []
            for i, column in enumerate(group.columns):
                place = (row.key, column)
                was = (old[place], first.get(place, old[place])) if place in old else ()
                if row.new[i] in was and column not in after.missing_columns:
                    again.append((i, column))
            if again:
                rows.count += 1
                rows.columns += [c for _, c in again if c not in rows.columns]
                rows.add_changed(row, again)


def _cells(diff: TableDiff) -> dict[tuple[Key, str], str | None]:
    """What each changed value was."""
    return {(r.key, c): o for g in diff.changed for r in g.rows for c, o in zip(g.columns, r.old, strict=True)}


def _cells_of(diff: TableDiff, keys: Set[Key]) -> dict[tuple[Key, str], str | None]:
    """The values of rows that went, of these keys."""
    return {(r.key, c): v for r in diff.lost if r.key in keys for c, v in zip(diff.columns, r.values, strict=True)}


def _first_named(case: Case, table: TableRef) -> TableRef:
    """What a table of after up was called before it."""
    return next((a for a, b in case.trial.renames.tables if b == table), table)


def _with_new_table(case: Case, lived: LivedIn, written: TableDiff) -> Rows:
    """Values written to rows that up had made, gone with a table that down takes away without reading them."""
    rows = Rows(key=written.key)
    after = next((d for d in lived.written_lost if d.table == written.table), None)
    gone = {r.key for r in after.lost} if after and written.key else set()
    for group in written.changed:
        unread = [(i, c) for i, c in enumerate(group.columns) if not _is_read(case, written.table, c)]
        for row in group.rows:
            if row.key in gone and unread:
                rows.count += 1
                rows.columns += [c for _, c in unread if c not in rows.columns]
                rows.add_changed(row, unread)
    return rows


def _in_new_columns(case: Case, lived: LivedIn, written: TableDiff) -> Rows:
    """Rows with a value written to a column that up made and that down drops without reading it."""
    rows = Rows(key=written.key)
    after = next((d for d in lived.written_lost if d.table == written.table), None)
    if after is None or not written.key:
        return rows
    before = case.before.schema.columns(_first_named(case, written.table))
    gone = [c for c in after.missing_columns if c not in before and not _is_read(case, written.table, c)]
    mine = {(r.key, c) for r in written.added for c in gone} | set(_cells(written))
    for group in after.changed:
        for row in group.rows:
            lost = [(i, c) for i, c in enumerate(group.columns) if c in gone and (row.key, c) in mine]
            if lost:
                rows.count += 1
                rows.columns += [c for _, c in lost if c not in rows.columns]
                rows.add_changed(row, lost)
    return rows


def _is_read(case: Case, table: TableRef, column: str) -> bool:
    """Whether down mentions a column other than by dropping it: it may carry its values elsewhere."""
    named = case.down.naming_object(ObjectKey("column", table.namespace, table.name, column))
    return bool(set(named) - set(case.down.drops_column(table, column)))


@check("down-blocked-by-new-rows", Severity.HIGH)
def down_blocked_by_new_rows(case: Case) -> Found:
    """Rows that are valid in the new schema make down fail: on the day of the rollback there is no way back.

    What to do: let down first bring rows that only the new schema allows into a form that the old one takes, or park
    them in a side table.
    """
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
        f"Down fails once rows are written after up: {stated(error.statement)}: {shorten(error.message, 300)}",
        table=table or next(iter(w.table for w in lived.written), None),
        causes=_why_blocked(error),
        recommendation="Decide in down what becomes of rows that do not fit (set them aside, shorten them) "
        "before the old rule is declared again.",
        sql=error.statement,
        count=1,
    )
