"""Why an object of the schema is missing, left behind, or defined otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from seatrial.checks import file_settings
from seatrial.checks.attributes import code, was
from seatrial.checks.case import Case, Cause, listed, quoted
from seatrial.checks.causes.forgotten import in_its_place, is_forgotten, rebuilding, stand_in, stands_in_for
from seatrial.checks.causes.recased import recased
from seatrial.checks.causes.rows import DROPS_IN_CASCADE
from seatrial.model import Attributes, ObjectKey, TableRef
from seatrial.prose import span
from seatrial.schema import Difference
from seatrial.sql import defined, remedy
from seatrial.sql.intent import Intent
from seatrial.sql.look import names_in, says, words_of

_IT, _THEM = "\0", "\1"  # where the objects, and the pronoun for them, stand in a sentence


class _Why(NamedTuple):
    """What happened to an object; objects of one statement are told together."""

    said: str
    advice: str
    item: str = ""  # the object in the advice, where that says more than its label
    sql: str = ""
    then: str = ""  # a sentence behind the SQL


def _together(found: Iterable[tuple[str, _Why]]) -> Iterator[Cause]:
    said: dict[str, dict[str, list[tuple[str, _Why]]]] = {}
    for label, why in found:
        said.setdefault(why.said, {}).setdefault(why.advice, []).append((label, why))
    for text, advices in said.items():
        labels = [label for members in advices.values() for label, _ in members]
        yield Cause(_filled(text, labels), " ".join(_advised(advice, members) for advice, members in advices.items()))


def _advised(advice: str, members: Sequence[tuple[str, _Why]]) -> str:
    shown = code(why.sql for _, why in members)
    then = "".join(f" {text}" for text in dict.fromkeys(why.then for _, why in members) if text)
    return f"{_filled(advice, [why.item or label for label, why in members])}{f': {shown}' if shown else ''}.{then}"


def _filled(text: str, labels: Sequence[str]) -> str:
    return text.replace(_IT, listed(labels, 6)).replace(_THEM, "it" if len(labels) == 1 else "them")


def not_restored(case: Case, changes: Sequence[Difference]) -> Iterator[Cause]:
    """Which of the two steps did it, by which statement."""
    in_other_case, others = recased(case, changes)
    yield from in_other_case
    yield from (file_settings.otherwise(case, c) for c in others if file_settings.is_of_file(c.key, c.old))
    others = [c for c in others if not file_settings.is_of_file(c.key, c.old)]
    gone = {c.key for c in others if c.new is None}
    told = [c for c in others if stands_in_for(case, c.key) not in gone]
    yield from _together((c.key.label, _not_restored(case, c)) for c in told)


def _not_restored(case: Case, change: Difference) -> _Why:
    key, up_has = change.key, change.key in case.after_up.schema
    if change.old is not None and change.new is None:
        return _missing(case, change, up_has=up_has)
    if change.old is not None:
        return _otherwise(case, change, up_has=up_has)
    advice, drop = f"In down, remove {_IT}", remedy.drop(key, case.trial.engine)
    if up_has:
        return _Why(f"up creates {_IT}{_by(case.up, key)} and down does not remove {_THEM}", advice, sql=drop)
    return _Why(f"down creates {_IT}{_by(case.down, key)}, which was not there before up", advice, sql=drop)


def _missing(case: Case, change: Difference, *, up_has: bool) -> _Why:
    key = change.key
    if up_has:
        by = _by(case.down, key) or _with_column(case.down, change) or _rebuilt(case.down, key)
        return _Why(f"down removes {_IT}{by}, which was there before up", f"Let down leave {_IT} in place")
    if is_forgotten(case, key) and (why := _forgotten(case, change)):
        return why._replace(said=f"{why.said}, and down leaves that so")
    by = _dropped(case.up, key) or _by(case.up, key) or _with_column(case.up, change) or _rebuilt(case.up, key)
    said = f"up removes {_IT}{by} and down does not create {_THEM} again"
    again = remedy.create_again(key, change.old or {}, case.trial.engine)
    advice = (
        "In down, create" if again or key.kind not in remedy.CONSTRAINTS else "In the table that down makes, declare"
    )
    return _Why(said, f"{advice} {_IT} again", sql=again or remedy.declared(key, change.old or {}))


def _otherwise(case: Case, change: Difference, *, up_has: bool) -> _Why:
    key = change.key
    again = defined.define_again(case.before.schema, key, change.attributes, case.trial.engine)
    anew = bool(again) and key.kind not in ("column", "table")
    advice = f"In down, make {_IT} anew as before up" if anew else f"In down, define {_IT} as before up"
    item = "" if anew else f"{key.label} ({was(change)})"
    by_down = _rebuilt(case.down, key) or _by(case.down, key)
    of_up = _left_by_up(case.after_up.schema[key], change) if up_has else frozenset()
    if not of_up:
        return _Why(f"down defines {_IT} otherwise than before up{by_down}", advice, item, again)
    by = _rebuilt(case.up, key) or _by(case.up, key)
    if of_up == change.attributes.keys():
        return _Why(f"up redefines {_IT}{by} and down leaves {_THEM} so", advice, item, again)
    said = (
        f"up redefines {_IT}{by}, and down, which changes {_THEM} too{by_down}, leaves the {listed(sorted(of_up))} so"
    )
    return _Why(said, advice, item, again)


def _left_by_up(up: Attributes, change: Difference) -> frozenset[str]:
    """What after down is otherwise than before up just as it was after up."""
    assert change.new is not None
    return frozenset(name for name in change.attributes if up.get(name) == change.new.get(name))


def _dropped(intent: Intent, key: ObjectKey) -> str:
    """The DROP of a table: other statements name it too."""
    found = intent.drops_table(TableRef(key.namespace, key.name)) if key.kind == "table" else ()
    return f" ({quoted(found)})" if found else ""


def _by(intent: Intent, key: ObjectKey) -> str:
    """The statement that names the object itself; of a column the one that makes or drops it, reads name it too."""
    table, column = key.owner, key.name if key.kind == "column" else ""
    if table and column and (made := intent.drops_column(table, column) or intent.adds_column(table, column)):
        return f" ({quoted(made)})"
    found = intent.naming_object(key)
    mine = [s for s in found if key.name and "(" not in key.name and key.name.lower() in s.lower()]
    mine = mine or _with_its_arguments(found, key) or list(found)
    return f" ({quoted(mine)})" if mine else ""


def _with_its_arguments(found: Iterable[str], key: ObjectKey) -> list[str]:
    """Of statements that name a function those that give it as many arguments: it may be overloaded."""
    name, _, rest = key.name.partition("(")
    wanted = len([a for a in rest.rstrip(")").split(",") if a.strip()])
    arguments_of = re.compile(rf'\b{re.escape(name)}"?\s*\(([^()]*)\)', re.IGNORECASE)
    given = ((s, m[1].split(",") if m[1].strip() else []) for s in found if (m := arguments_of.search(s)))
    return [s for s, arguments in given if rest and len(arguments) == wanted]


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


def lost_beside(case: Case, changes: Sequence[Difference]) -> Iterator[Cause]:
    """Why up lost or changed objects that no statement names; of each the first that fits."""
    rules_first = sorted(changes, key=lambda c: c.key.kind == "column")  # a numbered column has to have its key
    found = {c.key: why for c in rules_first if (why := _forgotten(case, c))}
    yield from _together((key.label, why) for key, why in found.items())
    for change in (c for c in changes if c.key not in found):
        for find in _RARE:
            if told := list(find(case, change)):
                yield from told
                break


def _again(case: Case, change: Difference) -> str:
    text = remedy.create_again(change.key, change.old or {}, case.trial.engine) if change.new is None else ""
    how = f": {span(text)}" if text else ""
    return f"Create {change.key.label} again at the end of up, or drop it by a statement{how}."


def _forgotten(case: Case, change: Difference) -> _Why | None:
    key, table = change.key, change.key.owner
    found = rebuilding(case, table)
    if table is None or not found:
        return None
    both = " and of down" if _is_forgotten_by_down(case, change) else ""
    if change.new is not None:
        said, item = (
            f"up rebuilds {table} and declares {_IT} otherwise ({quoted(found)})",
            f"{key.label} ({was(change)})",
        )
        again = defined.declare_column(case.before.schema, key, case.trial.engine) if key.kind == "column" else ""
        late = f", or declare it so again at the end of up{both}" if again else ""
        return _Why(said, f"In the new table of up{both}, declare as before: {_IT}{late}", item, again)
    if swap := in_its_place(case, key, change.old or {}):
        other = stand_in(case, key)
        assert other is not None
        said = f"up rebuilds {table} and the new table has {other.label} in the place of {_IT} ({quoted(found)})"
        return _Why(said, f"Create {_IT} again at the end of up{both}, in the place of {other.label}", sql=swap)
    said = f"up rebuilds {table} and the new table lacks {_IT} ({quoted(found)})"
    name, taken = remedy.called_otherwise(key, case.after_up.schema, case.trial.engine)
    if again := remedy.create_again(name, change.old or {}, case.trial.engine):
        advice = f"Create {_IT} again at the end of up{both}{_elsewhere(taken)}, or drop {_THEM} by a statement"
        return _Why(said, advice, sql=again, then=_by_down(case, change))
    if key.kind not in remedy.CONSTRAINTS:
        return _Why(
            said, f"Create {_IT} again at the end of up{both} as before, or say in a statement what becomes of {_THEM}"
        )
    return _Why(said, f"In the new table of up{both}, declare {_IT}", sql=remedy.declared(key, change.old or {}))


def _is_forgotten_by_down(case: Case, change: Difference) -> bool:
    """Whether down makes the table anew without it, too: nothing is missing where the old table comes back."""
    table = change.key.owner
    if table is None or not case.down_ran:
        return False
    now = case.now_named(table)
    return bool(case.down.rebuilds(now) or case.down.drops_table(now)) and not _is_back(case, change)


def _is_back(case: Case, change: Difference) -> bool:
    there = case.after_down.schema.get(change.key) if case.down_ran else None
    return there is not None and Difference(change.key, change.old, there).attributes.keys() <= {"position"}


def _elsewhere(other: ObjectKey | None) -> str:
    return f" under another name, for {other.owner} has that one still" if other else ""


def _by_down(case: Case, change: Difference) -> str:
    """Once up makes it again, down no longer can."""
    made = _by(case.down, change.key) if case.down_ran and _is_back(case, change) else ""
    return f"Then down must no longer make {change.key.label}{made}." if made else ""


def _went_with_column(case: Case, change: Difference) -> Iterator[Cause]:
    table, columns = change.key.owner, (change.old or {}).get("columns")
    gone = [c for c in columns if table and case.up.drops_column(table, c)] if isinstance(columns, tuple) else []
    if table is not None and gone:
        left = [c for c in columns if c and c not in gone] if isinstance(columns, tuple) else []
        rest = f"create one over {listed(left)} alone" if left else "create one that needs no such column"
        said = f"Say what becomes of {change.key.label}: {rest}, or drop it in a statement of its own"
        yield Cause(
            f"dropping the column {listed(gone)} takes it along ({quoted(case.up.drops_column(table, gone[0]))})",
            f"{said}{_first(case, change)}.",
        )


def _first(case: Case, change: Difference) -> str:
    """How, where a stump of it is left: it has to go before its column, and to come back after it."""
    dialect, old = case.trial.engine, change.old or {}
    drop, again = remedy.drop(change.key, dialect), remedy.create_again(change.key, old, dialect)
    if change.new is None or not (drop and again):
        return ""
    return f" before the column goes ({span(drop)}). In down, create it again: {span(again)}"


def _redefined(case: Case, change: Difference) -> Iterator[Cause]:
    table = change.key.owner
    if change.key.kind != "column" or table is None:
        return
    if stated := case.up.alters_column_type(table, change.key.name):
        yield Cause(
            f"{change.key.label} is defined anew without what is not repeated ({quoted(stated)})",
            f"Repeat in the new definition of {change.key.name} what it had: {was(change)}.",
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


def _dragged(case: Case, change: Difference) -> Iterator[Cause]:
    """SQLite rewrites every view and trigger that names a renamed table (manual, ALTER TABLE RENAME)."""
    dialect, label = case.trial.engine, change.key.label
    text, now = (str((side or {}).get("definition") or "") for side in (change.old, change.new))
    names = [t.name for t in case.before.schema.tables() if names_in(text, t.name, dialect)]
    gone = [t for t in names if change.new is not None and not names_in(now, t, dialect)]
    for renames in (s for s in case.up.statements if dialect == "sqlite" and says(s, dialect, "RENAME", "TO")):
        if moved := [t for t in gone if names_in(renames, t, dialect)]:
            again = remedy.create_again(change.key, change.old or {}, dialect)
            yield Cause(
                f"renaming {moved[0]} takes the views and triggers that name it along ({quoted([renames])})",
                f"At the end of up, drop {label} and create it as before: {code([again])}.",
            )


def _in_cascade(case: Case, change: Difference) -> Iterator[Cause]:
    found = [s.sql for s in case.trial.up.statements if DROPS_IN_CASCADE.search(s.sql)]
    default = str(change.attributes["default"][0]) if "default" in change.attributes else ""
    held = any(w and w in default for s in found for w in (t.strip('";') for t in s.split()) if len(w) > 3)
    if found and (change.new is None or held):
        yield Cause(
            f"CASCADE takes what depends on the object that is dropped ({quoted(found)})",
            "Leave CASCADE out, so that the database names what is in the way, and say in a statement of its own what"
            f" becomes of {change.key.label}.",
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


_RARE = (
    _went_with_column, _redefined, _ruled_by_column, _followed, _dragged, _in_cascade, _with_its_view, _owner_gone,
)  # fmt: skip


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
        # An Alembic batch on SQLite adds no column, it makes the table anew with one more at its end.
        added = case.down.adds_column(ref, dropped[0]) or case.down.rebuilds(ref)
        place = old.index(dropped[0])
        where = f"AFTER {remedy.quoted(old[place - 1], dialect)}" if place else "FIRST"
        advice = f"Add {where} to it." if dialect in remedy.MYSQL else ""
        by = f" ({quoted(added)})" if added else ""
        yield Cause(f"{listed(dropped)} went and came back at the end{by}", advice)
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
