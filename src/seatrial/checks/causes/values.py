"""Why values are other ones, in rows that stayed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from seatrial.checks.case import Case, Cause, listed, quoted
from seatrial.checks.causes.cascade import cascades, foreign_keys, replaces, upsert
from seatrial.checks.causes.conversion import losses
from seatrial.checks.causes.reach import Values, assigned, assigned_value, reached
from seatrial.checks.causes.rows import DROPS_IN_CASCADE, copied_into
from seatrial.checks.causes.share import Reason, shared, told
from seatrial.checks.causes.triggers import fired
from seatrial.model import Attributes, Key, ObjectKey, Schema, TableDiff, TableRef
from seatrial.prose import span
from seatrial.schema import converts, diff
from seatrial.sql import defined, remedy
from seatrial.sql.look import names_in, says, where_of
from seatrial.sql.tokens import Token


def values_lost(case: Case, table: TableRef, columns: Sequence[str]) -> Iterator[Cause]:
    """Why values of these columns are others after down; what one cause explains is told once."""
    gone = case.up_diff(table).missing_columns
    dropped = [c for c in columns if case.up.drops_column(table, c) or c in gone]
    cascaded = {c: found for c in dropped if c in gone and (found := list(_in_cascade(case, table, c)))}
    yield from (cause for found in cascaded.values() for cause in found)
    yield from _dropped(case, table, [c for c in dropped if c not in cascaded])
    left = [c for c in columns if c not in dropped]
    if again := list(_filled_again(case, table, left)):
        yield from again
        return
    yield from changed_by_up(case, table, left, case.down_diff(table))
    for column in left:
        if _changed_later(case, table, column):
            yield from changed_by_down(case, table, column)


def _filled_again(case: Case, table: TableRef, columns: Sequence[str]) -> Iterator[Cause]:
    """Up drops the table, and down makes it again with rows from elsewhere."""
    filled = case.down.inserts_into(table)
    dropped = case.up.drops_table(table)
    if not (columns and filled) or case.up.rebuilds(table):
        return
    if table in case.after_up.schema.tables():
        yield from _put_back_otherwise(case, table, columns, filled)
        return
    if not dropped:
        return
    away = remedy.rename_table(table, f"{table.name}_old", case.trial.engine)
    yield Cause(
        f"up drops the table ({quoted(dropped)}), and what down fills it with again ({quoted(filled)}) gives"
        f" {listed(columns)} other values",
        f"Rename it out of the way instead ({span(away)}), and rename it back in down; or let down take the values of"
        f" {listed(columns)} from where up put them.",
    )


def _put_back_otherwise(case: Case, table: TableRef, columns: Sequence[str], filled: Sequence[str]) -> Iterator[Cause]:
    """Up deletes the rows, and what down inserts under their keys holds something else."""
    deleted = case.up.deletes_from(table)
    gone = {r.key for r in case.up_diff(table).lost}
    others = {r.key for g in case.down_diff(table).changed if set(columns) & set(g.columns) for r in g.rows}
    if deleted and others and others <= gone:
        yield Cause(
            f"up deletes the rows ({quoted(deleted)}), and those that down inserts in their place ({quoted(filled)})"
            f" hold other values in {listed(columns)}",
            f"Let up copy the rows before it deletes them ({span(remedy.keep_rows(table, case.trial.engine))}), and"
            " down put those back.",
        )


def _changed_later(case: Case, table: TableRef, column: str) -> bool:
    """Whether down changed a column in a row in which up had left it alone, and what did it is not told yet."""
    up, down = case.up_diff(table), case.down_diff(table)
    mine, later, written = _keys(up, column), _keys(down, column), _written(case, table, column)
    if mine is None or later is None or (mine & later and written and written[1]):  # "down computes it back"
        return column not in {c for g in up.changed for c in g.columns}
    return bool(later - mine)


def _keys(change: TableDiff, column: str) -> set[Key] | None:
    """The rows in which a column changed; None: not all of them were kept."""
    groups = [g for g in change.changed if column in g.columns]
    return {r.key for g in groups for r in g.rows} if all(len(g.rows) == g.count for g in groups) else None


def _dropped(case: Case, table: TableRef, columns: Sequence[str]) -> Iterator[Cause]:
    back = case.columns_back(table)
    fates: dict[str, list[str]] = {}
    for column in columns:
        filled = case.down.assigns_column(table, column)
        anew = f" and down computes it anew ({quoted(filled)}), which does not give the same values"
        again = anew if filled else " and down adds it again without its values"
        if not filled and _is_left(case, case.now_named(table), column):
            again = ", gives its name to another one, and down leaves that"
        fates.setdefault(again if column in back else " and down does not bring it back", []).append(column)
    for fate, names in fates.items():
        statements = [s for c in names for s in case.up.drops_column(table, c)]
        how = f" ({quoted(statements)})" if statements else ""
        fate = fate if len(names) == 1 else fate.replace(" it ", " them ").replace(" its ", " their ")
        yield Cause(
            f"up drops the column{'s' * (len(names) > 1)} {listed(names)}{how}{fate}", _keep(case, table, names)
        )


def _is_left(case: Case, table: TableRef, column: str) -> bool:
    """Whether the column that bears the name after up is the one after down: nothing made it anew."""
    made = case.down.adds_column(table, column) or case.down.rebuilds(table) or case.down.drops_table(table)
    return column in case.after_up.schema.columns(table) and not made


def _keep(case: Case, table: TableRef, columns: Sequence[str]) -> str:
    """Rename first and drop later; where the column has to go now, keep a copy."""
    dialect, key = case.trial.engine, case.key_of(table)
    away = "; ".join(remedy.rename_column(table, c, f"{c}_old", dialect) for c in columns)
    what, it = ("column", "it") if len(columns) == 1 else ("columns", "them")
    rename = f"Rename the {what} instead ({span(away)}, back in down) and drop {it} in a later migration"
    if not key or set(columns) & set(key):
        return f"{rename}."
    copy = remedy.keep_columns(table, key, columns, dialect)
    back = remedy.put_columns_back(table, key, columns, dialect)
    declare = _as_declared(case, table, columns)
    back, so = ("; ".join([back, *declare]), ", declared as before") if declare else (back, "")
    return f"{rename}; or keep the values ({span(copy)}) and put them back in down{so} ({span(back)})."


_BESIDE_VALUES = {"comment", "default", "on_update", "collation"}
"""Attributes of a column that no row can speak against."""


def _as_declared(case: Case, table: TableRef, columns: Sequence[str]) -> list[str]:
    """What declares columns as before that came back otherwise."""
    if not case.down_ran:
        return []
    before, keys = case.before.schema, {ObjectKey("column", table.namespace, table.name, c) for c in columns}
    differing = [d for d in diff(before, case.after_down.schema) if d.key in keys and d.new is not None]
    mild = [d.key for d in differing if d.attributes.keys() <= _BESIDE_VALUES]
    return [sql for key in mild if (sql := defined.declare_column(before, key, case.trial.engine))]


def changed_by_up(
    case: Case, table: TableRef, columns: Sequence[str], down: TableDiff | None = None
) -> Iterator[Cause]:
    """Why up changed what these columns hold, in rows that stayed, or of those only where ``down`` differs too."""
    alike: dict[tuple[object, ...], list[str]] = {}
    up = case.up_diff(table)
    for column in columns:
        mine, later = _keys(up, column), _keys(down, column) if down else None
        kept = mine if mine is None or later is None else mine & later
        if column not in {c for g in up.changed for c in g.columns} or kept == set():
            continue
        links = tuple(k for k, a in foreign_keys(case.before.schema, table) if column in _named(a, "columns"))
        rows = None if kept is None else frozenset(kept)
        wrote = _written(case, table, column)
        alike.setdefault((wrote, links, rows) if wrote else (column, rows), []).append(column)
    for (*_, kept_rows), names in alike.items():
        yield from _changed(case, table, names, kept_rows)  # type: ignore[arg-type]


def _changed(case: Case, table: TableRef, names: Sequence[str], kept: frozenset[Key] | None) -> list[Cause]:
    """Of columns that the same statements write in the same rows."""
    up, column = case.up_diff(table), names[0]
    groups = [g for g in up.changed if column in g.columns]
    changed = [(g, r) for g in groups for r in g.rows if kept is None or r.key in kept]
    now = {r.key: r.new[g.columns.index(column)] for g, r in changed}
    rows = [dict(zip(g.columns, r.old, strict=True)) | dict(zip(up.key, r.key, strict=True)) for g, r in changed]
    reasons = [*_writing(case, table, names, now), *_emptied(case, table, column, now)]
    rest = list(_rest(case, table, names))
    reasons += [Reason("rest", lambda _: rest, lambda _: None)] if rest else []
    return shared(reasons, rows, up.key, unseen=kept is None)


def _writing(case: Case, table: TableRef, names: Sequence[str], now: Mapping[Key, str | None]) -> Iterator[Reason]:
    """The UPDATEs that assign the columns."""
    written = _written(case, table, names[0])
    order = list(case.up.statements)

    def tell(statements: tuple[str, ...]) -> list[Cause]:
        return [_overwritten(case, table, names, statements, written[1], written[2])] if written else []

    for statement in written[0] if written else ():
        yield Reason(
            "written",
            tell,
            lambda row, s=statement: _wrote(case, table, names[0], s, row, now),  # type: ignore[misc]
            statement,
            order.index(statement) if statement in order else len(order),
        )


def _wrote(
    case: Case, table: TableRef, column: str, statement: str, row: Values, now: Mapping[Key, str | None]
) -> bool | None:
    """By its WHERE; where that does not say it, by the literal that the row holds since, or does not."""
    found = reached(case, table, statement, row)
    literal = assigned(case, statement, column) if found is None else None
    if literal is None:
        return found
    new = now.get(tuple(row.get(c) for c in case.up_diff(table).key))
    if new is None or literal == "NULL":
        return None if new is None and literal == "NULL" else False
    return True if new == literal else None


def _rest(case: Case, table: TableRef, names: Sequence[str]) -> Iterator[Cause]:
    """What changes values beside UPDATE; of each column the first that fits."""
    for column in names:
        for find in (_rekeyed, _converted, followed, _replaced, *_RARE):
            if found := list(find(case, table, column)):
                yield from found
                break


def _written(case: Case, table: TableRef, column: str) -> tuple[tuple[str, ...], str, str] | None:
    """The UPDATEs that assign a column, what down assigns it, and where up kept it; None where none does."""
    family, dialect = case.family(table), case.trial.engine
    wrote = next((w for t in family if case.up.updates(t) and (w := case.up.assigns_column(t, column))), ())
    if not wrote:
        return None
    wrote = tuple(s for s in wrote if names_in(s, column, dialect)) or wrote
    again = _again(case, family, column)
    return wrote, quoted(again), "" if again else _keeper(case, table, column)


def _overwritten(
    case: Case, table: TableRef, columns: Sequence[str], statements: tuple[str, ...], again: str, keeper: str
) -> Cause:
    wrote = told(statements)
    names, it, was = listed(columns), *(("it", "it was") if len(columns) == 1 else ("them", "they were"))
    if again:
        fate = f" and down computes {it} back ({again}), which does not give every value as it was"
    elif keeper:
        values, dialect = listed(f"{table}.{c}" for c in columns), case.trial.engine
        name = remedy.quoted(keeper.removeprefix(f"{table}."), dialect)
        sets = ", ".join(f"{remedy.quoted(c, dialect)} = {name}" for c in columns)
        fate = f", and down throws away {keeper}, where {was} kept, without copying {it} back"
        filled = case.up.assigns_column(case.now_named(table), keeper.removeprefix(f"{table}."))
        held = f" WHERE {name} IS NOT NULL" if any(where_of(s, dialect) for s in filled) else ""
        update = f"UPDATE {remedy.of(table, dialect)} SET {sets}{held}"
        back = f": {span(update)}" if keeper.startswith(f"{table}.") else ""
        advice = f"In down, copy the values of {values} back from {keeper} before that is dropped{back}."
        return Cause(f"up overwrites {names} ({wrote}){fate}", advice)
    else:
        fate = f" and down does not put back what {was}"
    return Cause(f"up overwrites {names} ({wrote}){fate}", _copy(case, table, columns))


def _again(case: Case, family: Sequence[TableRef], column: str) -> tuple[str, ...]:
    if not case.down_ran:
        return ()
    asked = ((case.now_named(t), case.now_called(t, column)) for t in family)
    return next((w for t, c in asked if (w := case.down.assigns_column(t, c))), ())


def _rekeyed(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    """Under a row's key stands another row."""
    keys = [c for c in case.key_of(table) if case.up.assigns_column(table, c)]
    if keys and column not in keys:
        yield Cause(
            f"up gives rows another {listed(keys)} ({quoted(case.up.assigns_column(table, keys[0]))}), and down does"
            f" not take that back: under their {listed(keys)} of before stand other rows",
            f"In down, give every row of {table} the {listed(keys)} that it had, in the reverse order.",
        )


def _copy(case: Case, table: TableRef, columns: Sequence[str]) -> str:
    dialect, key = case.trial.engine, case.key_of(table)
    if not key or set(columns) & set(key):
        names = listed(f"{table}.{c}" for c in columns)
        return f"Copy {names} beside, by something that tells the rows apart, and let down copy it back."
    copy = remedy.keep_columns(table, key, columns, dialect)
    back = remedy.put_columns_back(table, key, columns, dialect)
    return f"Keep the values before they are overwritten ({span(copy)}), and put them back in down ({span(back)})."


def _keeper(case: Case, table: TableRef, column: str) -> str:
    """A column or table that up made and filled from this column, and that is not there after down."""
    if not case.down_ran:
        return ""
    dialect, before, after = case.trial.engine, case.before.schema, case.after_down.schema
    target = case.now_named(table)
    for name in case.after_up.schema.columns(target):
        fresh = name not in before.columns(table) and name not in after.columns(table)
        kept = [s for s in case.up.assigns_column(target, name) if fresh and _gives(s, name, column, dialect)]
        if kept and _first(case, kept, case.up.assigns_column(table, column)):
            return f"{table}.{name}"
    for side in case.after_up.schema.tables():
        fresh = side not in before.tables() and side not in after.tables() and side != target
        if fresh and any(_takes(s, column, dialect) for s in copied_into(case, side, table)):
            return str(side)
    return ""


def _first(case: Case, kept: Sequence[str], wrote: Sequence[str]) -> bool:
    """Whether a value was kept before it was overwritten: afterwards the copy is one of the new value."""
    order = list(case.up.statements)
    return not wrote or (all(s in order for s in (kept[0], wrote[0])) and order.index(kept[0]) <= order.index(wrote[0]))


def _gives(statement: str, name: str, column: str, dialect: str) -> bool:
    """Whether a statement gives a column what another holds, and does not only set both (``a = 1, b = now()``)."""
    value = assigned_value(statement, name, dialect)
    return names_in(statement, column, dialect) if value is None else any(_is_name(t, column, dialect) for t in value)


def _is_name(token: Token, column: str, dialect: str) -> bool:
    return token.name == column if dialect == "postgresql" else token.name.lower() == column.lower()


def _takes(statement: str, column: str, dialect: str) -> bool:
    return "*" in statement or names_in(statement, column, dialect)


def _converted(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    change = case.down_diff(table) if case.down_ran else case.up_diff(table)
    kind = conversion(case, table, column)
    if kind is None and case.up.alters_column_type(table, column) and not case.up.rebuilds(table):
        kind = ("", "")  # the same name of a type that has other values now
    if kind is not None:
        yield from converted(case, table, column, kind, change)


def converted(
    case: Case, table: TableRef, column: str, kind: tuple[str, str], change: TableDiff, *, by: str = "up"
) -> Iterator[Cause]:
    """A conversion, with what became of the values, as the rows show it."""
    intent = case.up if by == "up" else case.down
    statements = intent.alters_column_type(table if by == "up" else case.now_named(table), column)
    by_what = f" ({quoted(statements)})" if statements else ""
    found = list(losses(pairs_of(change, column)))
    said = f"{by} converts {column}{f' from {kind[0]} to {kind[1]}' if any(kind) else ''}{by_what}"
    how = "; ".join(f"{loss.how}: {example}" for loss, example in found)
    advice = [f"{loss.advice[:1].upper()}{loss.advice[1:]}." for loss, _ in found if loss.advice]
    said += f", and {how}" if how else ", which does not give every value as it was"
    yield Cause(said, " ".join([*advice, beside(case, table, column, kind)]))


def pairs_of(change: TableDiff, column: str) -> Iterator[tuple[str | None, str | None]]:
    """Old and new form of each value of a column that a comparison tells of."""
    for group in change.changed:
        if column in group.columns:
            place = group.columns.index(column)
            yield from ((row.old[place], row.new[place]) for row in group.rows)


def beside(case: Case, table: TableRef, column: str, kind: tuple[str, str]) -> str:
    """Expand and contract: the old column stays until no value differs."""
    dialect = case.trial.engine
    new = f"{column}_new"
    if kind[0] == kind[1] or " (" in kind[1] or "no type" in kind:
        return f"Fill a new column beside {table}.{column}, and drop the old one only when no value differs."
    add = f"ALTER TABLE {remedy.of(table, dialect)} ADD COLUMN {remedy.quoted(new, dialect)} {kind[1]}"
    return f"Fill a new column beside it ({span(add)}), and drop {column} in a later migration, when no value differs."


def _emptied(case: Case, table: TableRef, column: str, now: Mapping[Key, str | None]) -> Iterator[Reason]:
    """SET NULL leaves nothing but NULL."""
    key = case.up_diff(table).key
    filled = {k for k, new in now.items() if new is not None}
    for reason in cascades(case, table, "SET NULL", column):
        yield replace(
            reason,
            takes=lambda row, r=reason: False if tuple(row.get(c) for c in key) in filled else r.takes(row),  # type: ignore[misc]
        )
    yield from cascades(case, table, "SET DEFAULT", column)


def _named(attributes: Attributes, name: str) -> tuple[str, ...]:
    found = attributes.get(name)
    return found if isinstance(found, tuple) else ()


def followed(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    """A foreign key that follows its parent's key."""
    for key, attributes in case.before.schema.of(table).items():
        mine, theirs = attributes.get("columns"), attributes.get("referenced_columns")
        action = attributes.get("on_update")
        if action not in ("CASCADE", "SET NULL", "SET DEFAULT") or not isinstance(mine, tuple) or column not in mine:
            continue
        parent = next((t for t in case.before.schema.tables() if str(t) == attributes.get("references")), None)
        above = theirs[mine.index(column)] if isinstance(theirs, tuple) else ""
        if parent is not None and (wrote := case.up.assigns_column(parent, above)):
            yield Cause(
                f"up changes {above} of {parent} ({quoted(wrote)}), and ON UPDATE {action} of {key.label} changes"
                f" {column} with it",
                f"Keep the old and the new {above} of {parent} in a side table, and let down go back by it.",
            )


def _replaced(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    """REPLACE writes a whole new row."""
    dialect = case.trial.engine
    found = [s for s in case.up.inserts_into(table) if replaces(s, dialect) and not names_in(s, column, dialect)]
    if found:
        yield Cause(
            f"REPLACE deletes the row and writes a new one, in which {column} has its default ({quoted(found)})",
            f"Change only what is to change, with {upsert(dialect)}, or say {column} in the REPLACE.",
        )


def _timed_by_down(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    on_update = case.after_up.schema.columns(case.now_named(table)).get(column, {}).get("on_update")
    if on_update and (wrote := case.down.updates(case.now_named(table))):
        yield Cause(
            f"down writes to the rows ({quoted(wrote)}) and the engine sets {column} by itself (ON UPDATE {on_update})",
            f"Add {span(f'{column} = {column}')} to the SET of down's UPDATE, which keeps its value.",
        )


def _in_cascade(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    """DROP TYPE ... CASCADE drops the columns of the type."""
    found = [s for s in case.up.statements if DROPS_IN_CASCADE.search(s)]
    if found and column in case.up_diff(table).missing_columns:
        yield Cause(
            f"CASCADE drops the column {column} with what it rests on ({quoted(found)})",
            f"Leave CASCADE out, and say in a statement of its own what becomes of {table}.{column}.",
        )


def _relabelled(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    """ALTER TYPE ... RENAME VALUE: every row that holds the label shows another."""
    kind = (
        str(case.before.schema.columns(table).get(column, {}).get("type") or "").removesuffix("[]").rpartition(".")[2]
    )
    for step, intent in (("up", case.up), ("down", case.down if case.down_ran else None)):
        found = [s for s in intent.statements if says(s, case.trial.engine, "RENAME", "VALUE")] if intent else []
        if mine := [s for s in found if kind and names_in(s, kind.strip('"'), case.trial.engine)]:
            yield Cause(
                f"{step} gives a label of {kind} another name ({quoted(mine)}), which every row that holds it shows",
                f"Let down rename the label of {kind} back to the very name that it had.",
            )


def _reshaped(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    """ALTER TYPE ... DROP ATTRIBUTE: every value of a composite type loses a part (PostgreSQL)."""
    kind = str(case.before.schema.columns(table).get(column, {}).get("type") or "").removesuffix("[]")
    name = kind.rpartition(".")[2].strip('"')
    for step, intent in (("up", case.up), ("down", case.down if case.down_ran else None)):
        dropped = [s for s in intent.statements if says(s, case.trial.engine, "DROP", "ATTRIBUTE")] if intent else []
        if mine := [s for s in dropped if name and names_in(s, name, case.trial.engine)]:
            yield Cause(
                f"{step} takes an attribute out of the type {kind} ({quoted(mine)}), and with it a part of every value",
                f"Copy that attribute of {table}.{column} into a column of its own first (a copy of the whole value"
                " would lose it too), and let down put it back.",
            )
            return


def _timed(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    on_update = case.before.schema.columns(table).get(column, {}).get("on_update")
    if on_update:
        yield Cause(
            f"up writes to the rows ({quoted(case.up.updates(table))}) and the engine sets {column} by itself"
            f" (ON UPDATE {on_update})",
            f"Add {span(f'{column} = {column}')} to the SET of the UPDATE, which keeps its value.",
        )


def _by_trigger(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    yield from fired(case, table, "up", f"changed {column}")


def _copied(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    if statements := case.up.rebuilds(table):
        copies = [s for s in statements if "SELECT" in s.upper()] or list(statements)
        advice = f"Name the columns on both sides of the INSERT ... SELECT that fills {table}, in the same order."
        if not any("*" in s for s in copies):
            advice = f"Let the copy take {column} over as it is, or: {_copy(case, table, [column])}"
        said = "up rebuilds the table and the copy does not take every value over as it was"
        yield Cause(f"{said} ({quoted(copies)})", advice)


def _renamed(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    known = [(a, b) for t, a, b in case.trial.renames.columns if t == table]
    pairs = [(a, b) for a, b in known if not _taken_back(case, table, a, b)]
    if pairs:
        back = "; ".join(remedy.rename_column(table, b, a, case.trial.engine) for a, b in _apart(pairs))
        yield Cause(
            f"up renames {listed(f'{a} to {b}' for a, b in pairs)}, and down does not take the renames back",
            f"In down, {span(back)}.",
        )


def _taken_back(case: Case, table: TableRef, old: str, now: str) -> bool:
    """Whether down renames a column to what it was called, be it in another case."""
    renames = case.down.renames.columns if case.down_ran else ()
    back = next((b for t, a, b in renames if (t, a) == (case.now_named(table), now)), None)
    return back is not None and back in (old, case.recased(table).get(old))


def _apart(pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Pairs to rename back, by way of other names where one takes the name of another."""
    if not {a for a, _ in pairs} & {b for _, b in pairs}:
        yield from reversed(pairs)
        return
    yield from ((f"{b}_moving", b) for _, b in pairs)
    yield from ((a, f"{b}_moving") for a, b in pairs)


_RARE = (_timed, _in_cascade, _by_trigger, _copied, _renamed, _relabelled, _reshaped)


def changed_by_down(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    """Why down changed what up had left alone; the first that fits."""
    steps = (_renamed, _dropped_by_down, _written_by_down, _converted_by_down, _copied_by_down, _trigger_of_down)
    for find in (*steps, _timed_by_down, _relabelled, _reshaped, followed):
        if found := list(find(case, table, column)):
            yield from found
            return


def _dropped_by_down(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    if column not in case.columns_back(table):
        dropped = case.down.drops_column(table, column) or case.down.rebuilds(table)
        how = f" ({quoted(dropped)})" if dropped else ""
        yield Cause(
            f"down drops the column {column}, which was there before up{how}",
            f"Let up fail where {table}.{column} is there already (ADD COLUMN without IF NOT EXISTS), so that down"
            " removes only what up created.",
        )


def _written_by_down(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    if wrote := _again(case, case.family(table), column):
        yield Cause(
            f"down writes other values into {column} ({quoted(wrote)}), which up had not changed",
            f"Leave {table}.{column} alone in down, or limit the UPDATE to the rows that up changed.",
        )


def _converted_by_down(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    old, new = _type(case.after_up.schema, table, column), _type(case.after_down.schema, table, column)
    if _differs(case.after_up.schema, case.after_down.schema, table, column):
        yield from converted(case, table, column, (old, new), case.down_diff(table), by="down")


def _copied_by_down(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    if statements := case.down.rebuilds(table):
        copies = [s for s in statements if "SELECT" in s.upper()] or list(statements)
        yield Cause(
            f"down rebuilds the table and the copy does not take every value over as it was ({quoted(copies)})",
            f"In down, name the columns on both sides of the INSERT ... SELECT that fills {table}, in the same order.",
        )


def _trigger_of_down(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    yield from fired(case, table, "down", f"changed {column}")


def conversion(case: Case, table: TableRef, column: str) -> tuple[str, str] | None:
    """The old and the new type where up declared the column otherwise."""
    names = {(t, a): b for t, a, b in case.trial.renames.columns}
    name = names.get((table, column), column)
    new = case.after_up.schema.columns(case.now_named(table)).get(name)
    old = case.before.schema.columns(table).get(column)
    if old is None or new is None or not converts(old, new):
        return None
    same = old.get("type") == new.get("type")
    return _words(old, charset=same), _words(new, charset=same)


def _words(attributes: Attributes, *, charset: bool) -> str:
    extra = (attributes.get("charset") or attributes.get("collation") or "") if charset else ""
    return f"{attributes.get('type') or 'no type'}{f' ({extra})' if extra else ''}"


def _differs(one: Schema, other: Schema, table: TableRef, column: str) -> bool:
    return any(
        d.key.name == column and d.key.owner == table and "type" in d.attributes
        for d in diff(one, other)
        if d.key.kind == "column"
    )


def _type(schema: Schema, table: TableRef, column: str) -> str:
    return str(schema.columns(table).get(column, {}).get("type") or "no type")
