"""conversion-loss."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Cause, Rows, finding, listed, n, quoted, which
from seatrial.checks.causes.conversion import losses, shown
from seatrial.checks.causes.values import beside, conversion, pairs_of
from seatrial.model import Attribute, Attributes, CastBack, Finding, Phase, Schema, Severity, TableDiff, TableRef
from seatrial.schema import converts
from seatrial.schema import diff as schema_diff


@check("conversion-loss", Severity.HIGH)
def conversion_loss(case: Case) -> Found:
    """A change of a column's type, precision, charset or collation altered the stored value.

    Looked at twice: whether the value after up casts back to what it was (no such cast counts), and whether it is the
    same after down. Where down restores the value from elsewhere the finding is LOW. What an UPDATE rewrites is no
    conversion.

    What to do: fill a new column beside the old one and compare; drop the old one in a later migration, when no value
    differs. Or choose a type that holds every stored value.
    """
    if not case.up_ran:
        return
    casts = [c for c in case.trial.cast_backs if not _anew(case, c)]
    for table in dict.fromkeys([d.table for d in case.trial.down_changes] + [c.table for c in casts]):
        rows = Rows(key=case.key_of(table))
        down = case.down_diff(table) if case.down_ran else TableDiff(table=table)
        columns = [c for c in _converted(case, table) if c not in down.missing_columns]
        rows.add_changes(down, columns)
        restored = Rows(key=rows.key)
        for cast in (c for c in casts if c.table == table):
            _add(cast, restored if case.down_ran and cast.column not in down.missing_columns else rows)
        worst = rows if rows.count else restored
        if worst.count:
            severity = Severity.HIGH if rows.count else Severity.LOW
            yield _finding(case, table, worst, severity, down=case.down_ran and worst is rows)


def _converted(case: Case, table: TableRef) -> Iterator[str]:
    """Columns that up or down declared otherwise and that no UPDATE assigned."""
    before, up, down = case.before.schema, case.after_up.schema, case.after_down.schema if case.down_ran else None
    target = case.now_named(table)
    names = {a: b for t, a, b in case.trial.renames.columns if t == table}
    for column, old in before.columns(table).items():
        new = up.columns(target).get(names.get(column, column))
        again = down.columns(table).get(column) if down else None
        if new is None or case.up.drops_column(table, column):
            continue
        differs = converts(old, new) or (again is not None and converts(new, again))
        differs = differs or _labels(before, old) != _labels(up, new)
        if (
            differs
            and not case.up.assigns_column(table, column)
            and not case.down.assigns_column(target, names.get(column, column))
        ):
            yield column


def _anew(case: Case, cast: CastBack) -> bool:
    """A column that up drops and adds again, empty, has no values to convert: what it held is lost by other rules.

    Nor has one whose name another column bears now, which was there beside it.
    """
    up, column = case.up, (cast.table, cast.column)
    if any((t, new) == column != (t, old) for t, old, new in case.trial.renames.columns):
        return True
    return bool(up.drops_column(*column) and up.adds_column(*column)) and not up.assigns_column(*column)


def _labels(schema: Schema, column: Attributes) -> Attribute:
    """The values that the column's type has: an enum made anew under the same name may have others."""
    name = str(column.get("type") or "").removesuffix("[]").split(".")[-1].strip('"')
    return next((a.get("labels") for k, a in schema.items() if k.kind == "type" and k.name == name), None)


def _add(cast: CastBack, rows: Rows) -> None:
    fresh = [r for r in cast.rows if r.key not in rows.keys]
    rows.count += max(0, cast.count - (len(cast.rows) - len(fresh)))
    rows.columns += [cast.column] if cast.column not in rows.columns else []
    for row in cast.rows:
        rows.add_changed(row, [(0, cast.column)])


def _finding(case: Case, table: TableRef, rows: Rows, severity: Severity, *, down: bool) -> Finding:
    how = listed(_said(case, table, c) for c in rows.columns)
    kept = "; down restores them" if severity is Severity.LOW else ""
    gone = case.down_diff(table).missing_columns if down else ()
    verb = "does" if rows.count == 1 else "do"
    return finding(
        case,
        "conversion-loss",
        severity,
        Phase.UP,
        f"{n(rows.count, 'value')} {verb} not survive the conversion of {how}{which(rows)}{kept}.",
        table=table,
        rows=rows,
        causes=[cause for c in rows.columns for cause in _causes(case, table, c, down=down and c not in gone)],
        recommendation=f"Fill a new column beside {listed(rows.columns)}, compare the two, and drop the old one only"
        " when no value differs.",
    )


def _causes(case: Case, table: TableRef, column: str, *, down: bool) -> Iterator[Cause]:
    """What became of the values: as they are after down, or as casting back gives them."""
    kind, name = conversion(case, table, column), f"{table}.{column}"
    if down and kind is None and case.down_ran:
        old, new = (str(s.schema.columns(table).get(column, {}).get("type")) for s in (case.before, case.after_down))
        kind = (old, new) if old != new else None
    backs = [c for c in case.trial.cast_backs if (c.table, c.column) == (table, column)]
    pairs = pairs_of(case.down_diff(table), column) if down else ((r.old[0], r.new[0]) for c in backs for r in c.rows)
    if backs and not down and not all(c.possible for c in backs):
        pairs = iter([(backs[0].rows[0].old[0], None)] if backs[0].rows else [])
    statements = case.up.alters_column_type(table, column)
    how = f" ({quoted(statements)})" if statements else ""
    wide = f"from {kind[0]} to {kind[1]} " if kind else ""
    advice = beside(case, table, column, kind) if kind else ""
    told = list(pairs)
    found = list(losses(told, back=not down))
    if not found and statements and told:
        was, now = told[0]
        back = f"down gives {shown(now)} for {shown(was)}" if down else f"{shown(was)} comes back as {shown(now)}"
        yield Cause(f"what the conversion of {name} {wide}makes of a value{how} does not give it back: {back}", advice)
    if found:
        became = "; ".join(f"{loss.how}: {example}" for loss, example in found)
        more = [f"{loss.advice[:1].upper()}{loss.advice[1:]}." for loss, _ in found if loss.advice]
        yield Cause(f"in the conversion of {name} {wide}{became}{how}", " ".join([*more, advice]).strip())


def _said(case: Case, table: TableRef, column: str) -> str:
    """``fees.amount (numeric(10,2) to numeric(10,0))``."""
    changes = [d for s in (case.after_up.schema,) for d in schema_diff(case.before.schema, s)]
    mine = next((d for d in changes if d.key.kind == "column" and d.key.owner == table and d.key.name == column), None)
    if mine is None or "type" not in mine.attributes:
        return f"{table}.{column}"
    old, new = mine.attributes["type"]
    return f"{table}.{column} ({old} to {new})"
