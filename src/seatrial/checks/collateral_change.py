"""collateral-change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Cause, Rows, finding, listed, n, narrow, shorten, which
from seatrial.checks.causes.rows import added, removed
from seatrial.checks.causes.values import changed_by_up, followed
from seatrial.checks.inherited import partitioned
from seatrial.model import Change, Key, NotVerified, Phase, Severity, TableDiff, TableRef


@check("collateral-change", Severity.HIGH)
def collateral_change(case: Case) -> Found:
    """Up changed rows or values that no statement of the migration asked for.

    A change is asked for where a statement names the table, reads included, and, for a column of a row that stays,
    mentions or assigns that column. What happens beside it - rows taken by a cascade, rows added by a trigger, a time
    stamp that moves by itself - is what reviewers cannot see in the text and what nobody plans to undo.

    What to do: if the effect is wanted, write it down as a statement of its own, and take it back in down. If not,
    keep it from happening: switch the trigger off for the step, keep the child rows in a side table, name the
    columns.
    """
    if not case.up_ran:
        return
    for diff in case.trial.up_changes:
        named = case.up.names_table(diff.table)
        # Where a statement gives rows other keys, what stands under a key may be another row's.
        moved = named and any(case.up.assigns_column(diff.table, c) or _follows(case, diff, c) for c in diff.key)
        rows = Rows(key=diff.key)
        if moved:
            yield from _add_new_values(case, diff, rows)
            columns = rows.columns
        else:
            changed = dict.fromkeys(c for g in diff.changed for c in g.columns)
            columns = [c for c in changed if not (named and case.up.mentions_column(diff.table, c))]
            rows.add_changes(diff, columns)
        touched = rows.count
        if not named:
            rows.add_rows(diff.lost_count, diff.lost, diff.columns)
            rows.add_rows(diff.surplus, diff.added, diff.columns, came=True)
        if not rows.count:
            continue
        if case.up.opaque:
            why = f"what this statement does cannot be told from its text: {shorten(case.up.opaque[0])}"
            yield NotVerified(
                what=f"whether the changes of {diff.table} were asked for", why=why, rule="collateral-change"
            )
            continue
        yield finding(
            case,
            "collateral-change",
            Severity.HIGH,
            Phase.UP,
            _text(diff, rows, columns, touched, named),
            table=diff.table,
            rows=rows,
            columns=columns,
            causes=_causes(case, diff, columns, named),
            recommendation=narrow(case, case.trial.up),
        )


def _add_new_values(case: Case, diff: TableDiff, rows: Rows) -> Iterator[NotVerified]:
    """Values that no row held before up, of columns that nothing mentions, in rows that may stand under other keys."""
    columns = [c for c in diff.columns if not (c in diff.key or case.up.mentions_column(diff.table, c))]
    among = _exchanging(case, diff)
    if not columns or any(case.up.inserts_into(d.table) for d in among):
        return
    if not all(map(_is_whole, among)):
        what = f"whether {listed(columns)} of {diff.table} changed, or only stand under other keys"
        why = "its rows have other keys after up, and not all of them were kept"
        yield NotVerified(what=what, why=why, rule="collateral-change")
        return
    touched: dict[Key, None] = {}
    for column in columns:
        sides = [_sides(d, column) for d in among if column in d.columns]
        fresh = Counter(v for _, new in sides for v in new.values()) - Counter(
            v for old, _ in sides for v in old.values()
        )
        found = {key: value for key, value in _sides(diff, column)[1].items() if value in fresh}
        touched |= dict.fromkeys(found)
        rows.columns += [column] if found else []
        rows.changes += [Change(key=k, column=column, old=None, new=v) for k, v in found.items()]
    rows.keys |= touched.keys()
    rows.count += len(touched)


def _follows(case: Case, diff: TableDiff, column: str) -> bool:
    """Whether ON UPDATE gives a column the key that a statement gives its parent."""
    return next(followed(case, diff.table, column), None) is not None


def _exchanging(case: Case, diff: TableDiff) -> list[TableDiff]:
    """A table's changes, and those of the other partitions: another key may put a row into one of them."""
    whole = _partitioned(case, diff)
    return [d for d in case.trial.up_changes if d.table == diff.table or whole & _partitioned(case, d)]


def _partitioned(case: Case, diff: TableDiff) -> set[TableRef]:
    now = diff.new_table or case.now_named(diff.table)
    return partitioned(case.before.schema, diff.table) | partitioned(case.after_up.schema, now)


def _is_whole(diff: TableDiff) -> bool:
    shown = sum(len(g.rows) for g in diff.changed) + len(diff.lost) + len(diff.added)
    return shown >= diff.changed_count + diff.lost_count + diff.added_count


def _sides(diff: TableDiff, column: str) -> tuple[dict[Key, str | None], dict[Key, str | None]]:
    """Key -> value of a column before and after, of the rows in which it is not the same."""
    place, groups = diff.columns.index(column), [g for g in diff.changed if column in g.columns]
    old = {r.key: r.old[g.columns.index(column)] for g in groups for r in g.rows}
    new = {r.key: r.new[g.columns.index(column)] for g in groups for r in g.rows}
    return old | {r.key: r.values[place] for r in diff.lost}, new | {r.key: r.values[place] for r in diff.added}


def _causes(case: Case, diff: TableDiff, columns: list[str], named: bool) -> list[Cause]:
    found: list[Cause] = []
    if not named and diff.lost_count:
        found += removed(case, diff.table)
    if not named and diff.added_count:
        found += added(case, diff.table)
    return [*found, *changed_by_up(case, diff.table, columns)]


def _text(diff: TableDiff, rows: Rows, columns: list[str], changed: int, named: bool) -> str:
    parts = []
    if not named and diff.lost_count:
        parts.append(f"removed {n(diff.lost_count, 'row')}")
    if not named and diff.added_count:
        parts.append(f"added {n(diff.added_count, 'row')}")
    if columns:
        parts.append(f"changed {listed(columns)} in {n(changed, 'row')}")
    missing = "no statement names that table" if not named else "no statement mentions what changed"
    return f"Up {listed(parts)} of {diff.table}{which(rows)}, although {missing}."
