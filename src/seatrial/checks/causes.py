"""Why rows or values did not come back, derived from what happened in the trial.

Each function looks for one thing that really happened (a cascade whose parents were deleted, a column that up dropped
and down added empty, a cast, a trigger whose table was written ...) and says it in a sentence with the advice that
goes with it. Where none did, the cause is *not determined*: never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from seatrial.checks.case import Case, listed, quoted
from seatrial.model import Attributes, ObjectKey, Schema, TableRef
from seatrial.schema import converts, diff
from seatrial.sql.intent import Intent
from seatrial.sql.tokens import code

UNKNOWN = "cause not determined"


@dataclass(frozen=True, slots=True)
class Cause:
    text: str
    advice: str = ""


def told(causes: Iterable[Cause]) -> tuple[tuple[str, ...], str]:
    """Texts of the causes and their advice as one recommendation."""
    found = list(dict.fromkeys(causes))
    advice = dict.fromkeys(c.advice for c in found if c.advice)
    return tuple(c.text for c in found) or (UNKNOWN,), " ".join(advice)


def rows_lost(case: Case, table: TableRef) -> Iterator[Cause]:
    """Why rows of a table are missing after down."""
    gone_in_up = case.up_diff(table).lost_count > 0
    if gone_in_up:
        yield from removed(case, table)
        yield from _parked_and_dropped(case, table)
    if not gone_in_up or case.down_diff(table).lost_count > case.up_diff(table).lost_count:
        yield from _removed_by_down(case, table)


def removed(case: Case, table: TableRef) -> Iterator[Cause]:
    """Why up removed rows of a table."""
    up = case.up
    there = table in case.after_up.schema.tables()
    if up.drops_table(table) and not up.rebuilds(table):
        again = (
            " and down creates it again without its rows"
            if case.trial.after_down and table in case.after_down.schema.tables()
            else ""
        )
        yield Cause(
            f"up drops the table ({quoted(up.drops_table(table))}){again}",
            f"Rename {table} out of the way instead of dropping it, and drop it for good in a later migration.",
        )
        return
    if renumbered := list(_renumbered(case, table)):
        yield from renumbered
        return
    direct = up.truncates(table) or up.deletes_from(table)
    if direct:
        yield Cause(
            f"up deletes them ({quoted(direct)})",
            "Copy the rows to a side table before deleting them, and let down put them back.",
        )
        return
    cascades = list(_cascades(case, table, "CASCADE"))
    yield from cascades
    if cascades or not there:
        return
    if up.rebuilds(table):
        state = case.after_up.table(table)
        copy = "the copy takes only a part of its rows" if state and state.rows else "its rows are not copied"
        yield Cause(
            f"up rebuilds the table and {copy} ({quoted(up.rebuilds(table))})",
            "Copy every row into the new table, or keep the rest in a side table for down.",
        )
        return
    yield from _triggers(case, table, "removed")
    ignored = [s.sql for s in case.trial.up.statements if "ignore" in s.sql.lower().split()[:6]]
    if ignored and up.names_table(table):
        yield Cause(
            f"IGNORE lets the engine delete rows that the new rule refuses ({quoted(ignored)})",
            "Find and resolve the duplicates in statements of their own before adding the rule, without IGNORE.",
        )


def _renumbered(case: Case, table: TableRef) -> Iterator[Cause]:
    """Up drops a column of the key, and down gives every row a new value in it: no row has its old key."""
    gone = [c for c in case.key_of(table) if case.up.drops_column(table, c)]
    if gone and case.down_ran and set(gone) <= set(case.after_down.schema.columns(table)):
        yield Cause(
            f"up drops the key column {listed(gone)} ({quoted(case.up.drops_column(table, gone[0]))}) and down numbers"
            " the rows anew",
            f"Keep the values of {listed(f'{table}.{c}' for c in gone)} in a side table, and let down put them back.",
        )


def _parked_and_dropped(case: Case, table: TableRef) -> Iterator[Cause]:
    """The rows went to a table that up made and down threw away."""
    if not case.down_ran:
        return
    before, after = set(case.before.schema.tables()), set(case.after_down.schema.tables())
    for parking in case.after_up.schema.tables():
        if parking in before or parking in after or not case.up.inserts_into(parking):
            continue
        if any(_names(s, table, case.trial.engine) for s in case.up.inserts_into(parking)):
            yield Cause(
                f"up moves rows to {parking}, and down drops {parking} without moving them back",
                f"In down, insert the rows of {parking} into {table} before dropping it.",
            )


def _removed_by_down(case: Case, table: TableRef) -> Iterator[Cause]:
    down = case.down
    if table not in case.after_down.schema.tables() and down.drops_table(table):
        yield Cause(
            f"down drops {table}, which was there before up ({quoted(down.drops_table(table))})",
            "Let up fail where the object is there already, or let down remove only what up created.",
        )
    elif down.rebuilds(table) or down.drops_table(table):
        yield Cause(
            f"down puts another table in the place of {table} "
            f"({quoted(down.rebuilds(table) or down.drops_table(table))})",
            "Carry every row over before the old table is dropped.",
        )
    elif down.truncates(table) or down.deletes_from(table):
        direct = down.truncates(table) or down.deletes_from(table)
        yield Cause(
            f"down deletes rows that were there before up ({quoted(direct)})",
            "Mark the rows that up adds, and let down delete only those.",
        )
    else:
        for key, attributes in _foreign_keys(case.after_up.schema, table):
            parent = str(attributes.get("references"))
            if attributes.get("on_delete") == "CASCADE" and _deletes(down, parent):
                yield Cause(
                    f"down deletes rows of {parent}, and ON DELETE CASCADE of {key.label} takes these with them",
                    f"Do not delete rows of {parent} that others refer to, or restore the children afterwards.",
                )


def _deletes(intent: Intent, table: str) -> bool:
    ref = TableRef(*table.split(".", 1)) if "." in table else TableRef("", table)
    return bool(intent.deletes_from(ref) or intent.truncates(ref) or intent.drops_table(ref))


def _cascades(case: Case, table: TableRef, action: str) -> Iterator[Cause]:
    """Foreign keys of the table whose parents up deleted, or dropped as SQLite does: row by row."""
    for key, attributes in _foreign_keys(case.before.schema, table):
        parent = str(attributes.get("references"))
        if attributes.get("on_delete") != action:
            continue
        ref = _table(case, parent)
        statements = case.up.deletes_from(ref) or case.up.truncates(ref)
        if ref == table and not statements:
            continue  # the rows went for another reason, and took each other with them
        dropped = case.up.drops_table(ref) or case.up.rebuilds(ref)
        effect = (
            "removed the rows that referred to them" if action == "CASCADE" else f"emptied {listed(_texts(attributes))}"
        )
        if statements or (case.up_diff(ref).lost_count and not _went(case, ref)):
            how = f" ({quoted(statements)})" if statements else ""
            yield Cause(
                f"up deletes rows of {parent}{how}, and ON DELETE {action} of {key.label} {effect}",
                f"Save the rows of {table} before rows of {parent} are deleted and restore them in down,"
                " or detach them on purpose in a statement of its own.",
            )
        elif dropped:
            yield Cause(
                f"dropping {parent} deletes its rows first, and ON DELETE {action} of {key.label} {effect} "
                f"({quoted(dropped)})",
                f"Switch foreign keys off (outside a transaction) while {parent} is rebuilt, and check "
                "them afterwards.",
            )
        elif _went(case, ref):
            yield Cause(
                f"rows of {parent} went by a cascade, and ON DELETE {action} of {key.label} {effect}",
                f"Save the rows of {table} before their parents are deleted and restore them in down.",
            )


def _went(case: Case, table: TableRef) -> bool:
    """Rows of a table went by cascades from further up; foreign keys may form circles."""
    waiting, seen = [table], {table}
    while waiting:
        for _, attributes in _foreign_keys(case.before.schema, waiting.pop()):
            parent = _table(case, str(attributes.get("references")))
            if attributes.get("on_delete") != "CASCADE" or parent in seen:
                continue
            if case.up_diff(parent).lost_count or case.up.deletes_from(parent) or case.up.truncates(parent):
                return True
            if case.up.drops_table(parent) or case.up.rebuilds(parent):
                return True
            seen.add(parent)
            waiting.append(parent)
    return False


def _table(case: Case, label: str) -> TableRef:
    return next((t for t in case.before.schema.tables() if str(t) == label), TableRef("", label))


def _texts(attributes: Attributes) -> tuple[str, ...]:
    columns = attributes.get("columns")
    return columns if isinstance(columns, tuple) else ()


def _foreign_keys(schema: Schema, table: TableRef) -> Iterator[tuple[ObjectKey, Attributes]]:
    return ((k, a) for k, a in schema.of(table).items() if a.get("type") == "foreign key")


def _triggers(case: Case, table: TableRef, effect: str) -> Iterator[Cause]:
    """Triggers on tables that up wrote to whose text, or whose function's text, names this table."""
    schema = case.before.schema
    bodies = {k.name.split("(")[0]: str(a.get("definition")) for k, a in schema.items() if k.kind == "function"}
    verb = {"removed": "DELETE", "added": "INSERT"}.get(effect, "")
    for key, attributes in schema.items():
        if key.kind != "trigger" or key.owner is None or not case.up.names_table(key.owner):
            continue
        text = str(attributes.get("definition") or "")
        called = [body for name, body in bodies.items() if name in text]
        if not any(verb in body.upper() for body in called or (text,)):
            continue
        if any(_names(t, table, case.trial.engine) for t in (text, *called)) or key.owner == table:
            yield Cause(
                f"trigger {key.name} on {key.owner} fired while up wrote to {key.owner}, and {effect} them",
                f"Switch {key.name} off while the migration writes to {key.owner}, and on again in the same migration.",
            )


def _names(text: str, table: TableRef, engine: str) -> bool:
    wanted = table.name.lower()
    for token in code(text, engine):
        if token.kind == "string" and len(token.value) > len(wanted) and wanted in token.value.lower():
            if _names(token.value, table, engine):
                return True
        elif token.value.lower() == wanted:
            return True
    return False


def added(case: Case, table: TableRef) -> Iterator[Cause]:
    """Why there are rows in a table that were not there before up."""
    direct = case.up.inserts_into(table)
    if direct:
        yield Cause(
            f"up inserts them ({quoted(direct)}) and down does not delete them",
            "Let down delete exactly the rows that up added.",
        )
        return
    if renumbered := list(_renumbered(case, table)):
        yield from renumbered
        return
    yield from _triggers(case, table, "added")
    if case.down_ran and case.down.inserts_into(table):
        yield Cause(
            f"down inserts them ({quoted(case.down.inserts_into(table))})", "Insert only what was there before up."
        )


def values_lost(case: Case, table: TableRef, columns: Sequence[str]) -> Iterator[Cause]:
    """Why values of these columns are others after down."""
    changed_in_up = {c for g in case.up_diff(table).changed for c in g.columns}
    for column in columns:
        if case.up.drops_column(table, column) or column in case.up_diff(table).missing_columns:
            yield _dropped(case, table, column)
        elif column in changed_in_up:
            yield from changed_by_up(case, table, column)
        else:
            yield from _changed_by_down(case, table, column)


def _dropped(case: Case, table: TableRef, column: str) -> Cause:
    statements = case.up.drops_column(table, column)
    how = f" ({quoted(statements)})" if statements else ""
    keep = (
        f"Keep the values of {table}.{column} (rename the column, or copy it to a side table by "
        "key) until the rollback window is over."
    )
    if column not in case.after_down.schema.columns(table):
        return Cause(f"up drops the column {column}{how} and down does not bring it back", keep)
    filled = case.down.assigns_column(table, column)
    if filled:
        return Cause(
            f"up drops the column {column}{how} and down computes it anew, which does not give the same values", keep
        )
    return Cause(f"up drops the column {column}{how} and down adds it again without its values", keep)


def changed_by_up(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    """Why up changed what a column holds, in rows that stayed."""
    up = case.up
    wrote = list(up.updates(table)) if up.assigns_column(table, column) else []
    if wrote:
        yield Cause(
            f"up overwrites {column} "
            f"({quoted([s for s in wrote if column.lower() in s.lower()] or wrote)}) and nothing keeps "
            "what it was",
            f"Copy {column} to a new column before overwriting it, and let down copy it back.",
        )
        return
    kind = _conversion(case, table, column)
    if kind:
        yield Cause(
            f"up converts {column} from {kind[0]} to {kind[1]}, which cannot hold every value as it was",
            f"Add a new column of type {kind[1]} beside {column}, fill it, and drop the old one only "
            "when no value differs.",
        )
        return
    nulls = [*_cascades(case, table, "SET NULL"), *_cascades(case, table, "SET DEFAULT")]
    if nulls:
        yield from nulls
        return
    on_update = case.before.schema.columns(table).get(column, {}).get("on_update")
    if on_update:
        yield Cause(
            f"up writes to the rows and the engine sets {column} by itself (ON UPDATE {on_update})",
            f"Assign {column} = {column} in the UPDATE, which keeps its value.",
        )
        return
    triggers = list(_triggers(case, table, f"changed {column} of"))
    yield from triggers
    if not triggers and up.rebuilds(table):
        yield Cause(
            f"up rebuilds the table and the copy puts other values into {column} ({quoted(up.rebuilds(table))})",
            "Name the columns on both sides of INSERT ... SELECT, in the same order.",
        )
    elif not triggers and any(t == table for t, _, _ in case.trial.renames.columns):
        yield _renamed(case, table)


def _renamed(case: Case, table: TableRef) -> Cause:
    pairs = listed(f"{a} to {b}" for t, a, b in case.trial.renames.columns if t == table)
    return Cause(
        f"up renames {pairs}, and down does not take the renames back", "Rename every column back in the reverse order."
    )


def _changed_by_down(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    down = case.down
    if any(t == table for t, _, _ in case.trial.renames.columns):
        yield _renamed(case, table)
    elif column not in case.after_down.schema.columns(table):
        yield Cause(
            f"down drops the column {column}, which was there before up ({quoted(down.drops_column(table, column))})",
            "Let up fail where the column is there already, or let down remove only what up created.",
        )
    elif down.assigns_column(table, column):
        yield Cause(
            f"down writes other values into {column} ({quoted(down.updates(table))})",
            f"Let down restore {column} from what up kept, or leave it alone.",
        )
    elif _differs(case.after_up.schema, case.after_down.schema, table, column):
        old, new = _type(case.after_up.schema, table, column), _type(case.after_down.schema, table, column)
        yield Cause(
            f"down converts {column} from {old} to {new}, which does not give the values back",
            f"Convert {column} with an explicit expression that is the inverse of up's.",
        )
    elif down.rebuilds(table):
        yield Cause(
            f"down rebuilds the table and the copy puts other values into {column} ({quoted(down.rebuilds(table))})",
            "Name the columns on both sides of INSERT ... SELECT, in the same order.",
        )


def _conversion(case: Case, table: TableRef, column: str) -> tuple[str, str] | None:
    names = {(t, a): b for t, a, b in case.trial.renames.columns}
    target = case.now_named(table)
    name = names.get((table, column), column)
    old, new = case.before.schema.columns(table).get(column), case.after_up.schema.columns(target).get(name)
    if old is None or new is None:
        return None
    if converts(old, new):
        return _words(old), _words(new)
    return None


def _words(attributes: Attributes) -> str:
    extra = attributes.get("charset") or ""
    return f"{attributes.get('type') or 'no type'}{f' ({extra})' if extra else ''}"


def _differs(one: Schema, other: Schema, table: TableRef, column: str) -> bool:
    return any(
        d.key.name == column and d.key.owner == table and "type" in d.attributes
        for d in diff(one, other)
        if d.key.kind == "column"
    )


def _type(schema: Schema, table: TableRef, column: str) -> str:
    return str(schema.columns(table).get(column, {}).get("type") or "no type")
