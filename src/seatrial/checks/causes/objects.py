"""Why an object of the schema is missing, left behind, or defined otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator

from seatrial.checks.case import Case, Cause, listed, quoted, shorten
from seatrial.checks.causes.rows import DROPS_IN_CASCADE
from seatrial.model import ObjectKey
from seatrial.schema import Difference
from seatrial.sql import remedy
from seatrial.sql.intent import Intent
from seatrial.sql.look import names_in, says, words_of


def not_restored(case: Case, change: Difference) -> Iterator[Cause]:
    """Which of the two steps did it, by which statement."""
    label, key = change.key.label, change.key
    up_has = key in case.after_up.schema
    if change.old is not None and change.new is None:
        yield _missing(case, change, up_has=up_has)
    elif change.old is None:
        drop = remedy.drop(key, case.trial.engine)
        advice = f"In down, remove {label}{f': `{drop}`' if drop else ''}."
        if up_has:
            yield Cause(f"up creates {label}{_by(case.up, key)} and down does not remove it", advice)
        else:
            yield Cause(f"down creates {label}{_by(case.down, key)}, which was not there before up", advice)
    else:
        yield _otherwise(case, change, up_has=up_has)


def _missing(case: Case, change: Difference, *, up_has: bool) -> Cause:
    key, label = change.key, change.key.label
    again = remedy.create_again(key, change.old or {}, case.trial.engine)
    advice = f"In down, create {label} again{f': `{again}`' if again else ' as it was'}."
    if up_has:
        by = _by(case.down, key) or _with_column(case.down, change) or _rebuilt(case.down, key)
        return Cause(f"down removes {label}{by}, which was there before up", f"Let down leave {label} where it is.")
    by = _by(case.up, key) or _with_column(case.up, change) or _rebuilt(case.up, key)
    return Cause(f"up removes {label}{by} and down does not create it again", advice)


def _otherwise(case: Case, change: Difference, *, up_has: bool) -> Cause:
    key, label = change.key, change.key.label
    advice = f"In down, define {label} as before up: {_was(change)}."
    if up_has and not _changed(case.after_up.schema[key], change):
        return Cause(f"up redefines {label}{_rebuilt(case.up, key) or _by(case.up, key)} and down leaves it so", advice)
    by = _rebuilt(case.down, key) or _by(case.down, key)
    return Cause(f"down defines {label} otherwise than it was before up{by}", advice)


_YES_NO = {True: "yes", False: "no", None: "none"}


def _was(change: Difference) -> str:
    """``default 'new', nullable no``; a definition that is too long for a sentence is cut."""
    said = []
    for name, (old, _) in change.attributes.items():
        value = old if isinstance(old, (str, int, tuple)) and not isinstance(old, bool) else _YES_NO[old]
        value = ", ".join(value) if isinstance(value, tuple) else str(value)
        said.append(f"{name.replace('_', ' ')} {shorten(value, 80)}")
    return ", ".join(said[:4])


def _changed(up: object, change: Difference) -> bool:
    assert isinstance(up, dict) and change.new is not None
    return any(up.get(name) != change.new.get(name) for name in change.attributes)


def _by(intent: Intent, key: ObjectKey) -> str:
    """The statement that names the object itself; of a column the one that makes or drops it, reads name it too."""
    table, column = key.owner, key.name if key.kind == "column" else ""
    if table and column and (made := intent.drops_column(table, column) or intent.adds_column(table, column)):
        return f" ({quoted(made)})"
    found = intent.naming_object(key)
    mine = [s for s in found if key.name and "(" not in key.name and key.name.lower() in s.lower()] or list(found)
    return f" ({quoted(mine)})" if mine else ""


def _with_column(intent: Intent, change: Difference) -> str:
    """An index or rule goes with a column that it rests on."""
    table, columns = change.key.owner, (change.old or {}).get("columns")
    gone = [c for c in columns if table and intent.drops_column(table, c)] if isinstance(columns, tuple) else []
    return f" with the column {listed(gone)} ({quoted(intent.drops_column(table, gone[0]))})" if table and gone else ""


def _rebuilt(intent: Intent, key: ObjectKey) -> str:
    table = key.owner
    found = intent.rebuilds(table) or intent.drops_table(table) if table else ()
    return f" with the table that it makes anew ({quoted(found)})" if found else ""


# --- what no statement says ---


def lost_beside(case: Case, change: Difference) -> Iterator[Cause]:
    """Why up lost or changed an object that no statement names; the first that fits."""
    of_table = (_forgotten, _went_with_column, _redefined, _ruled_by_column, _followed)
    for find in (*of_table, _in_cascade, _with_its_view, _owner_gone):
        if found := list(find(case, change)):
            yield from found
            return


def _again(case: Case, change: Difference) -> str:
    text = remedy.create_again(change.key, change.old or {}, case.trial.engine) if change.new is None else ""
    how = f": `{text}`" if text else ""
    return f"Create {change.key.label} again in the same migration{how}, or drop it in a statement of its own."


def _forgotten(case: Case, change: Difference) -> Iterator[Cause]:
    table = change.key.owner
    found = case.up.rebuilds(table) or case.up.drops_table(table) if table is not None else ()
    if found and change.new is None:
        yield Cause(f"up rebuilds {table} and the new table is made without it ({quoted(found)})", _again(case, change))
    elif found:
        lost = listed(sorted(change.attributes))
        yield Cause(
            f"up rebuilds {table} and the new table has {change.key.label} without {lost} ({quoted(found)})",
            f"Define {change.key.label} in the new table as it was: {_was(change)}.",
        )


def _went_with_column(case: Case, change: Difference) -> Iterator[Cause]:
    table, columns = change.key.owner, (change.old or {}).get("columns")
    gone = [c for c in columns if table and case.up.drops_column(table, c)] if isinstance(columns, tuple) else []
    if table is not None and gone:
        left = [c for c in columns if c and c not in gone] if isinstance(columns, tuple) else []
        rest = f"create one over {listed(left)} alone" if left else "create one that needs no such column"
        yield Cause(
            f"dropping the column {listed(gone)} takes it along ({quoted(case.up.drops_column(table, gone[0]))})",
            f"Say what becomes of {change.key.label}: {rest}, or drop it in a statement of its own.",
        )


def _redefined(case: Case, change: Difference) -> Iterator[Cause]:
    table = change.key.owner
    if change.key.kind != "column" or table is None:
        return
    if stated := case.up.alters_column_type(table, change.key.name):
        lost = sorted(change.attributes)
        yield Cause(
            f"the column is defined anew without {listed(lost)} ({quoted(stated)})",
            f"Repeat in the new definition of {change.key.name} what it had: {_was(change)}.",
        )


def _ruled_by_column(case: Case, change: Difference) -> Iterator[Cause]:
    """MariaDB: a check in a column's own definition goes where the column is defined without it."""
    table, columns = change.key.owner, (change.old or {}).get("columns")
    if change.new is not None or table is None:
        return
    named = case.before.schema.columns(table)
    mine = (
        columns if isinstance(columns, tuple) else [c for c in named if names_in(change.key.name, c, case.trial.engine)]
    )
    for column in mine:
        if stated := case.up.alters_column_type(table, column):
            yield Cause(
                f"it was a part of the definition of {column}, which is defined anew without it ({quoted(stated)})",
                f"Repeat it in the new definition of {column}: {(change.old or {}).get('definition') or ''!s}.",
            )


def _followed(case: Case, change: Difference) -> Iterator[Cause]:
    parents = (change.old or {}).get("references"), (change.new or change.old or {}).get("references")
    if parents[0] != parents[1]:
        yield Cause(
            f"renaming {parents[0]} to {parents[1]} takes the foreign keys of other tables along",
            f"Declare {change.key.label} anew where it is to refer to what is called {parents[0]} afterwards.",
        )


def _in_cascade(case: Case, change: Difference) -> Iterator[Cause]:
    found = [s.sql for s in case.trial.up.statements if DROPS_IN_CASCADE.search(s.sql)]
    default = str(change.attributes["default"][0]) if "default" in change.attributes else ""
    held = any(w and w in default for s in found for w in (t.strip('";') for t in s.split()) if len(w) > 3)
    if found and (change.new is None or held):
        yield Cause(
            f"CASCADE takes what depends on the object that is dropped ({quoted(found)})",
            f"Leave CASCADE out, so that the database names what is in the way. {_again(case, change)}",
        )


def _with_its_view(case: Case, change: Difference) -> Iterator[Cause]:
    """A trigger, grant or index goes with the view that it is on, and does not come back with it."""
    name = change.key.table or change.key.name.partition(".")[0]
    found = [
        s for s in case.up.statements if says(s, case.trial.engine, "VIEW") and names_in(s, name, case.trial.engine)
    ]
    dropped = [s for s in found if words_of(s, case.trial.engine)[:1] == ["DROP"]]
    if dropped and change.new is None and change.key.kind not in ("view", "materialized view"):
        yield Cause(f"it goes with {name}, which up drops and creates anew ({quoted(dropped)})", _again(case, change))


def _owner_gone(case: Case, change: Difference) -> Iterator[Cause]:
    """A view, policy or trigger whose text names what up drops."""
    text = str((change.old or {}).get("definition") or "")
    gone = [
        t for t in case.before.schema.tables() if case.up.drops_table(t) and names_in(text, t.name, case.trial.engine)
    ]
    columns = [
        (k.name, s)
        for k in case.before.schema
        if k.kind == "column" and k.owner and (s := case.up.drops_column(k.owner, k.name))
        if names_in(text, k.name, case.trial.engine)
    ]
    if columns and not gone:
        yield Cause(
            f"it reads {columns[0][0]}, which up drops ({quoted(columns[0][1])})",
            f"Make {change.key.label} anew without {columns[0][0]} before the column goes, or drop it in a statement.",
        )
    elif gone:
        yield Cause(
            f"it names {gone[0]}, which up drops ({quoted(case.up.drops_table(gone[0]))})",
            _again(case, change),
        )


# --- order and names ---


def reordered(case: Case, table: object) -> Iterator[Cause]:
    """Why columns stand in another order after down."""
    ref = next((t for t in case.before.schema.tables() if t == table), None)
    if ref is None:
        return
    old = list(case.before.schema.columns(ref))
    dropped = [c for c in old if case.up.drops_column(ref, c) and c in case.after_down.schema.columns(ref)]
    dialect = case.trial.engine
    if dropped:
        added = case.down.adds_column(ref, dropped[0])
        place = old.index(dropped[0])
        where = f"AFTER {remedy.quoted(old[place - 1], dialect)}" if place else "FIRST"
        advice = f"Add {where} to it." if dialect in remedy.MYSQL else ""
        yield Cause(f"{listed(dropped)} went and came back at the end ({quoted(added)})", advice)
    elif names := [(a, b) for t, a, b in case.trial.renames.columns if t == ref]:
        yield Cause(
            f"up renames {listed(f'{a} to {b}' for a, b in names)}, and down does not take that back",
            f"In down, take the renames of {ref} back one by one, in the reverse order.",
        )
    elif rebuilt := case.down.rebuilds(ref) or case.down.drops_table(ref):
        yield Cause(
            f"down makes the table anew with its columns in another order ({quoted(rebuilt)})",
            f"List the columns in down as they stood: {listed(old, 12)}.",
        )
    elif rebuilt := case.up.rebuilds(ref):
        yield Cause(
            f"up makes the table anew with its columns in another order ({quoted(rebuilt)}), and down leaves it so",
            f"List the columns in the new table as they stood: {listed(old, 12)}.",
        )


def renamed(case: Case, old: ObjectKey, new: ObjectKey) -> Iterator[Cause]:
    """Why an object came back under another name."""
    up_kept = old in case.after_up.schema
    made = case.down.naming_object(new)
    renames = [s for s in (*case.up.statements, *case.down.statements) if re.search(r"\brename\b", s, re.IGNORECASE)]
    mine = [s for s in renames if names_in(s, new.name, case.trial.engine) or names_in(s, old.name, case.trial.engine)]
    name = remedy.quoted(old.name, case.trial.engine) if "(" not in old.name else ""
    advice = f"In down, name it {name} as before up." if name else "In down, leave the name out as before up."
    attributes = case.after_down.schema.get(new, {}).get("columns")
    columns = [c for c in attributes if c] if isinstance(attributes, tuple) else []
    said = case.down.naming(new.owner) if new.owner else ()
    adds = [s for s in said if {"ADD", "CREATE"} & set(words_of(s, case.trial.engine))]
    about = [s for s in adds if columns and all(names_in(s, c, case.trial.engine) for c in columns)]
    unnamed = [s for s in (*made, *about) if not names_in(s, new.name, case.trial.engine)]
    if mine:
        yield Cause(f"it is renamed, and not renamed back ({quoted(mine)})", advice)
    elif unnamed:
        yield Cause(f"down declares it without a name ({quoted(unnamed)}), and the engine gives it one", advice)
    elif made:
        yield Cause(f"down declares it under another name ({quoted(made)})", advice)
    elif not up_kept and new in case.after_up.schema:
        yield Cause(f"up declares {old.label} anew as {new.name}, and down leaves it so", advice)
