"""up-not-repeatable and nondeterministic-up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Rows, finding, listed, n, shorten, stated, which
from seatrial.checks.causes.again import done_again, drawn_anew, other_data, other_schema, refused
from seatrial.model import Finding, Phase, Row, Severity, TableDiff, TableRef
from seatrial.schema import diff, reordered


@check("up-not-repeatable", Severity.HIGH)
def up_not_repeatable(case: Case) -> Found:
    """The second up fails or, where down had restored everything, gives other data.

    After a rollback the fixed version is deployed again: up has to run on what down left. With [interrupt] rerun, an
    up that runs twice without a down between and silently gives other data is found here as well.

    What to do: let down take back all that up made, and write up so that it does not depend on what only the first
    run finds.
    """
    error = case.trial.reup.error
    if error:
        yield finding(
            case,
            "up-not-repeatable",
            Severity.HIGH,
            Phase.REUP,
            f"After down, up cannot run again: {shorten(error.message, 300)}.",
            causes=refused(case, error),
            recommendation="Let down remove everything that up made, so that up finds what it found the first time."
            if not case.restored
            else f"Look for what {stated(error.statement)} depends on outside rows and schema.",
            sql=error.statement,
            count=1,
        )
    elif case.reup_ran and case.restored:
        yield from _other_data(case)
    for change in () if case.trial.rerun.error else case.trial.rerun_changes:  # a loud error is half-applied's
        yield _rerun(case, change)


@check("nondeterministic-up", Severity.LOW)
def nondeterministic_up(case: Case) -> Found:
    """The second up differs only in random, time or sequence-given values.

    Two environments never hold the same rows; no stored data is harmed.

    What to do: nothing, where such values are meant. Else compute them from stored columns, so that each environment
    holds the same.
    """
    if not case.reup_ran or not case.trial.reup_changes:
        return
    drawn = _drawn(case)
    for change in case.trial.reup_changes:
        rows = _rows(_begun_alike(case, change), drawn, wanted=True)
        if rows.count:
            yield finding(
                case,
                "nondeterministic-up",
                Severity.LOW,
                Phase.REUP,
                f"Each up gives {n(rows.count, 'row')} of {change.table} other values in "
                f"{listed(rows.columns)}{which(rows)}.",
                table=change.table,
                rows=rows,
                causes=(w for c in rows.columns for w in drawn_anew(case, change.table, c)),
                recommendation="Derive the values from what is stored, or generate them once outside the migration, "
                "where they have to agree between environments.",
            )


def _other_data(case: Case) -> Iterator[Finding]:
    drawn = _drawn(case) if case.trial.reup_changes else frozenset()
    for change in case.trial.reup_changes:
        rows = _rows(change, drawn, wanted=False)
        if rows.count:
            yield finding(
                case,
                "up-not-repeatable",
                Severity.HIGH,
                Phase.REUP,
                f"The second up gives {n(rows.count, 'row')} of {change.table} other data than the "
                f"first{which(rows)}, although down had restored everything.",
                table=change.table,
                rows=rows,
                causes=other_data(case, change.table, rows.columns),
                recommendation=f"Look for what the statements that write {change.table} read besides stored data.",
            )
    after = case.trial.after_reup
    objects = [d.key.label for d in diff(case.after_up.schema, after.schema)] if after else []
    if after and (objects or reordered(case.after_up.schema, after.schema)):
        yield finding(
            case,
            "up-not-repeatable",
            Severity.HIGH,
            Phase.REUP,
            f"The second up leaves another schema than the first: {listed(objects)}.",
            objects=objects,
            causes=other_schema(case),
            recommendation=f"Let up say every name and attribute of {listed(objects)} itself.",
            count=len(objects),
        )


def _rerun(case: Case, change: TableDiff) -> Finding:
    rows = Rows(key=change.key)
    rows.add_rows(change.lost_count, change.lost, change.columns)
    rows.add_rows(change.added_count, change.added, change.columns, came=True)
    rows.add_changes(change, {c for g in change.changed for c in g.columns})
    return finding(
        case,
        "up-not-repeatable",
        Severity.HIGH,
        Phase.INTERRUPTED,
        "Up run a second time, without a down between, ends without an error and leaves "
        f"{n(rows.count, 'row')} of {change.table} with other data{which(rows)}.",
        table=change.table,
        rows=rows,
        causes=done_again(case, change),
        recommendation=f"Guard what writes {change.table} by what it leaves behind (a marker column, WHERE on the old"
        " form), or make it one transaction with the version record.",
    )


def _rows(change: TableDiff, drawn: frozenset[tuple[TableRef, str]], *, wanted: bool) -> Rows:
    """The differing rows whose values were drawn anew (``wanted``), or the others."""
    rows = Rows(key=change.key)
    by_key = [c for c in (change.key or change.columns) if (change.table, c) in drawn]
    dealt = bool(by_key) and _permuted(change)
    columns = [
        c
        for c in dict.fromkeys(c for g in change.changed for c in g.columns)
        if (dealt or (change.table, c) in drawn) is wanted
    ]
    rows.add_changes(change, columns)
    swapped = bool(by_key) and change.lost_count == change.added_count
    if (change.lost_count or change.added_count) and swapped is wanted:
        differing, came = max(change.lost_count, change.added_count), bool(change.added)
        rows.add_rows(differing, change.added or change.lost, change.columns, came=came)
        rows.columns += [c for c in by_key if wanted and c not in rows.columns]
    return rows


def _begun_alike(case: Case, change: TableDiff) -> TableDiff:
    """Without the values that down had left otherwise: there the second up did not begin where the first had."""
    left = {(r.key, c) for g in case.down_diff(change.table).changed for r in g.rows for c in g.columns}
    if not left:
        return change
    groups = [
        replace(g, rows=kept, count=g.count - len(g.rows) + len(kept))
        for g in change.changed
        if (kept := tuple(r for r in g.rows if not any((r.key, c) in left for c in g.columns)))
    ]
    return replace(change, changed=tuple(groups))


def _permuted(change: TableDiff) -> bool:
    """Whether the same values stand in the same number of rows, only under other keys: the keys were dealt anew."""
    was: dict[str, Counter[str | None]] = {}
    now: dict[str, Counter[str | None]] = {}
    for group in change.changed:
        if group.count != len(group.rows):
            return False
        for row in group.rows:
            for column, old, new in zip(group.columns, row.old, row.new, strict=True):
                was.setdefault(column, Counter())[old] += 1
                now.setdefault(column, Counter())[new] += 1
    return was == now


def _drawn(case: Case) -> frozenset[tuple[TableRef, str]]:
    """Columns of the schema after up whose values are drawn anew by each up, and what refers to them."""
    columns = set(case.up.nondeterministic_columns)
    columns |= {(c.table, c.column) for c in case.after_up.counters}
    for table in case.after_up.schema.tables():
        for name, attributes in case.after_up.schema.columns(table).items():
            if (
                attributes.get("identity")
                or attributes.get("auto_increment")
                or case.draws(str(attributes.get("default") or ""))
            ):
                columns.add((table, name))
    columns |= _sent_otherwise(case)
    size = -1
    while size != len(columns):
        size = len(columns)
        columns |= set(_referring(case, columns))
        columns |= set(_naming_drawn(case.trial.reup_changes, columns))
    return frozenset(columns)


def _naming_drawn(changes: Sequence[TableDiff], columns: set[tuple[TableRef, str]]) -> Iterator[tuple[TableRef, str]]:
    """Columns that name rows by their drawn numbers, a foreign key declared or not: each value that is another now
    names the row that has what the one it named before had."""
    named = [pairs for c in changes for pairs in _renumbered(c, columns)]
    for change in changes:
        cells: dict[str, set[tuple[str | None, str | None]]] = {}
        for group in change.changed:
            for row in group.rows:
                for column, old, new in zip(group.columns, row.old, row.new, strict=True):
                    cells.setdefault(column, set()).add((old, new))
        whole = all(g.count == len(g.rows) for g in change.changed)
        yield from ((change.table, c) for c, found in cells.items() if whole and any(found <= pairs for pairs in named))
        yield from ((change.table, c) for c in change.columns if any(_follows(change, c, p, columns) for p in named))


def _follows(
    change: TableDiff, column: str, pairs: set[tuple[str | None, str | None]], columns: set[tuple[TableRef, str]]
) -> bool:
    """Whether rows of the first up are those of the second once the numbers in this column are."""
    if (change.table, column) in columns or not change.lost or change.lost_count != change.added_count:
        return False
    drawn = {i for i, c in enumerate(change.columns) if (change.table, c) in columns}
    place, numbers = change.columns.index(column), dict(pairs)

    def seen(row: Row, at: int) -> tuple[str | None, ...]:
        return tuple(numbers.get(v, v) if i == at else v for i, v in enumerate(row.values) if i not in drawn)

    return Counter(seen(r, place) for r in change.lost) == Counter(seen(r, -1) for r in change.added)


def _renumbered(change: TableDiff, columns: set[tuple[TableRef, str]]) -> Iterator[set[tuple[str | None, str | None]]]:
    """For each drawn column of rows that are there under other numbers: (number in the first up, in the second)."""
    drawn = [i for i, c in enumerate(change.columns) if (change.table, c) in columns]
    for i in drawn:
        was, now = (
            [(tuple(v for j, v in enumerate(r.values) if j not in drawn), r.values[i]) for r in rows]
            for rows in (change.lost, change.added)
        )
        yield {(a, b) for held, a in was for same, b in now if held == same}


def _sent_otherwise(case: Case) -> set[tuple[TableRef, str]]:
    """Columns of tables in statements that the two ups sent with other texts or values: drawn by its own code."""
    first, second = ([(s.sql, s.parameters) for s in step.statements] for step in (case.trial.up, case.trial.reup))
    other = {text for (text, values) in first if (text, values) not in second}
    if not other:
        return set()
    return {
        (table, column)
        for table in case.after_up.schema.tables()
        if any(table.name in text for text in other)
        for column in case.after_up.schema.columns(table)
    }


def _referring(case: Case, columns: set[tuple[TableRef, str]]) -> Iterator[tuple[TableRef, str]]:
    for key, attributes in case.after_up.schema.items():
        if attributes.get("type") != "foreign key" or key.owner is None:
            continue
        parent = next((t for t in case.after_up.schema.tables() if str(t) == attributes.get("references")), None)
        mine, theirs = attributes.get("columns"), attributes.get("referenced_columns")
        if parent and isinstance(mine, tuple) and isinstance(theirs, tuple):
            yield from ((key.owner, a) for a, b in zip(mine, theirs, strict=False) if (parent, b) in columns)
