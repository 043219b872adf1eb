"""Why up, run again, fails or gives other data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seatrial.checks.case import Case, Cause, listed, n, quoted, shorten, stated
from seatrial.checks.causes.forgotten import in_its_place, stands_in_for
from seatrial.model import ObjectKey, Phase, Refusal, StepError, TableDiff, TableRef
from seatrial.prose import span
from seatrial.schema import diff, renamed
from seatrial.sql import remedy
from seatrial.sql.intent import is_nondeterministic, touched_tables
from seatrial.sql.look import names_in, says, where_of, words_of
from seatrial.sql.tokens import code
from seatrial.sql.values import reads_clock

# --- the second up fails ---


def refused(case: Case, error: StepError) -> Iterator[Cause]:
    """Why the second up is refused: what down left or took, as far as the refused statement names it; the first that
    fits."""
    if case.trial.down.error is not None or case.trial.after_down is None:
        return
    for find in (_finds_an_object, _misses_an_object, _meets_rows, _meets_another, _meets_schema, _meets_nothing_new):
        if found := list(find(case, error)):
            yield from found
            return


def _finds_an_object(case: Case, error: StepError) -> Iterator[Cause]:
    exists = error.about is Refusal.EXISTING  # what the statement makes by a function, the message alone names
    new = [d.key for d in diff(case.before.schema, case.after_down.schema) if d.old is None]
    left = [k for k in new if _named(case, error, k) or (exists and _in_message(error, k))]
    if left and error.about in (None, Refusal.EXISTING, Refusal.ROWS):
        # What a statement makes, it names before what that rests on: CREATE TRIGGER t ... EXECUTE FUNCTION f.
        key = min(left, key=lambda k: (_place(case, error, k), k.kind != "table", k))
        yield Cause(f"down left {key.label} behind, which {stated(error.statement)} makes again", _remove(case, key))


def _remove(case: Case, key: ObjectKey) -> str:
    """In down; but what only stands in the place of another is not there once up makes that one again."""
    forgotten = stands_in_for(case, key)
    if forgotten is not None and (swap := in_its_place(case, forgotten, case.before.schema[forgotten])):
        return f"Create {forgotten.label} again at the end of up, in the place of {key.label}: {span(swap)}."
    drop = remedy.drop(key, case.trial.engine)
    return f"In down, remove it{f': {span(drop)}' if drop else ''}."


def _misses_an_object(case: Case, error: StepError) -> Iterator[Cause]:
    gone = [d for d in diff(case.before.schema, case.after_down.schema) if d.new is None and _named(case, error, d.key)]
    if gone and error.about in (None, Refusal.MISSING, Refusal.SYNTAX):
        first = next((d for d in gone if _in_message(error, d.key)), gone[0])
        key = first.key
        again = remedy.create_again(key, first.old or {}, case.trial.engine)
        yield Cause(
            f"down did not bring back {key.label}, which {stated(error.statement)} needs",
            f"In down, make it again{f': {span(again)}' if again else ' as it was before up'}.",
        )


def _in_message(error: StepError, key: ObjectKey) -> bool:
    name = key.name.partition("(")[0]
    return any(f'"{said}"' in error.message for said in (name, f"{key.namespace}.{name}"))


def _place(case: Case, error: StepError, key: ObjectKey) -> int:
    """Where the refused statement says the object's name, in words; behind all words where only a string does, or where
    it is the name of another table's."""
    said = [t.value.lower() for t in code(error.statement, case.trial.engine)]
    name = key.name.partition("(")[0].lower()
    return said.index(name) if name in said and (not key.table or key.table.lower() in said) else len(said)


def _named(case: Case, error: StepError, key: ObjectKey) -> bool:
    routine = key.kind in ("function", "procedure", "aggregate", "operator")
    name = key.name.partition("(")[0] if routine else "" if "(" in key.name else key.name
    return bool(name) and (names_in(error.statement, name, case.trial.engine) or name in error.statement.split())


def _meets_rows(case: Case, error: StepError) -> Iterator[Cause]:
    if error.about not in (None, Refusal.ROWS):
        return
    tables = {t.name for t in touched_tables(error.statement, case.trial.engine)} if error.statement else set()
    for change in case.trial.down_changes:
        if change.table.name not in tables:
            continue
        if change.added_count:
            inserts = words_of(error.statement, case.trial.engine)[:1] == ["INSERT"]
            verb = "inserts them again without ON CONFLICT" if inserts else "is refused for them"
            yield Cause(
                f"down left {n(change.added_count, 'row')} of {change.table} behind, and {stated(error.statement)}"
                f" {verb}",
                f"Let down delete exactly those rows of {change.table} that up added.",
            )
        elif change.changed or change.lost_count:
            columns = listed(dict.fromkeys(c for g in change.changed for c in g.columns))
            what = f"other values in {columns}" if columns else f"{n(change.lost_count, 'row')} fewer"
            yield Cause(
                f"down left {change.table} with {what}, which {stated(error.statement)} does not bear",
                f"Let down restore the rows of {change.table} as they were before up.",
            )


def _meets_another(case: Case, error: StepError) -> Iterator[Cause]:
    """An object that is there and is another: a type with other labels."""
    changes = diff(case.before.schema, case.after_down.schema)
    other = [d for d in changes if d.old is not None and d.new is not None and _named(case, error, d.key)]
    if other:
        label = other[0].key.label
        yield Cause(
            f"down left {label} otherwise than it was ({listed(sorted(other[0].attributes))}), and"
            f" {stated(error.statement)} works on it",
            f"Let down give {label} the definition that it had before up.",
        )


def _meets_schema(case: Case, error: StepError) -> Iterator[Cause]:
    """What is defined otherwise on a table that the refused statement names."""
    tables = {t.name for t in touched_tables(error.statement, case.trial.engine)} if error.statement else set()
    changes = diff(case.before.schema, case.after_down.schema)
    other = [d.key.label for d in changes if d.key.owner and d.key.owner.name in tables]
    if other:
        yield Cause(
            f"down did not restore {listed(other)}, on which {stated(error.statement)} works",
            f"Let down give {listed(other)} the definition of before up.",
        )


def _meets_nothing_new(case: Case, error: StepError) -> Iterator[Cause]:
    """Rows and schema are as before: only what no snapshot holds, or where a sequence stands, can differ."""
    then = {(c.table, c.column): c.next_value for c in case.before.counters}
    moved = [c for c in case.after_down.counters if then.get((c.table, c.column)) not in (None, c.next_value)]
    if case.restored and moved and error.about in (None, Refusal.ROWS):
        where = listed(f"{c.table}.{c.column} (at {c.next_value} now)" for c in moved)
        yield Cause(
            f"rows and schema are as before up, but ids go on from where the first up had brought them: {where}",
            "Let up look ids up by what the rows hold, and not count on the next number being the same.",
        )


# --- it gives other data ---


def other_data(case: Case, table: TableRef, columns: Sequence[str]) -> Iterator[Cause]:
    """Why the second up gives other data, although down had restored everything."""
    dialect = case.trial.engine
    wrote = dict.fromkeys((*case.up.updates(table), *case.up.inserts_into(table), *case.up.deletes_from(table)))
    for text in wrote:
        found = words_of(text, dialect)
        if {"LIMIT", "FETCH"} & set(found) and "ORDER" not in found:
            yield Cause(
                f"which rows a LIMIT without ORDER BY takes is left to the engine ({stated(text)})",
                f"Order it by the key of {table}.",
            )
        elif "OVER" in found and not _orders_its_window(found):
            yield Cause(
                f"a window without ORDER BY numbers rows as they happen to lie in the table ({stated(text)})",
                f"Order the window by the key of {table}.",
            )
        elif "OVER" in found or {"LIMIT", "FETCH"} & set(found):
            yield Cause(
                f"the order in which rows are taken does not tell them all apart ({stated(text)})",
                f"Add the key of {table} as the last column of that ORDER BY.",
            )


def _orders_its_window(found: Sequence[str]) -> bool:
    return "ORDER" in found[found.index("OVER") : found.index("OVER") + 12]


def other_schema(case: Case) -> Iterator[Cause]:
    """Why the second up leaves another schema than the first."""
    assert case.trial.after_reup is not None
    changes = diff(case.after_up.schema, case.trial.after_reup.schema)
    twins = renamed(changes)
    if twins:
        pairs = listed(f"{a.label} is {b.name} the second time" for a, b in twins.items())
        yield Cause(f"the name is left to the engine, which gives another each time: {pairs}", "Let up say every name.")
        return
    texts = [s for s in case.up.statements if any(names_in(s, d.key.name, case.trial.engine) for d in changes)]
    guarded = [
        s
        for s in texts
        if says(s, case.trial.engine, "IF", "NOT", "EXISTS") or says(s, case.trial.engine, "IF", "EXISTS")
    ]
    if guarded:
        yield Cause(
            f"IF EXISTS lets a statement pass over what it finds otherwise ({stated(guarded[0])})",
            "Leave IF [NOT] EXISTS out, so that up fails where it finds something else than it expects.",
        )


# --- up twice in a row ---


def done_again(case: Case, change: TableDiff) -> Iterator[Cause]:
    """Why an up that is run twice without a down leaves other data."""
    dialect, table = case.trial.engine, change.table
    intent = case.rerun
    added = intent.inserts_into(table)
    written = list(dict.fromkeys((*intent.updates(table), *added)))
    if change.added_count and added:
        yield Cause(
            f"{stated(added[0])} adds its rows once more, for nothing keeps it from finding them there",
            _guard_insert(table, case.key_of(table), added[0], dialect),
        )
    columns = list(dict.fromkeys(c for g in change.changed for c in g.columns))
    for column in columns:
        if texts := [s for s in written if _reads_own(s, column, dialect)]:
            yield Cause(
                f"{stated(texts[0])} computes {column} from {column}, the second time from its own result",
                f"Compute {table}.{column} into a new column, or add a WHERE that the new values do not meet.",
            )
        elif texts := [s for s in written if names_in(s, column, dialect)]:
            where = where_of(texts[0], dialect)
            on = f"its WHERE ({shorten(where, 60)}) meets rows that are done" if where else "it has no WHERE"
            yield Cause(
                f"{stated(texts[0])} writes {column} once more, for {on}",
                f"Add a WHERE to it that rows of {table} which are done do not meet.",
            )
    renames = [s for s in intent.naming(table) if "RENAME" in words_of(s, dialect)]
    if renames and not added and not written:
        yield Cause(
            f"{stated(renames[0])} takes for the old table what the first run had put in its place",
            f"Let up look which of the tables {table} is (by a column that only one has) before it renames.",
        )
    if change.lost_count and (gone := intent.deletes_from(table) or intent.truncates(table)):
        yield Cause(
            f"{quoted(gone)} takes rows that the first run had made, or had left for later statements",
            f"Let it delete only the rows of {table} that it means, by what they hold.",
        )


def _reads_own(statement: str, column: str, dialect: str) -> bool:
    """``SET n = n + 1``."""
    found = words_of(statement, dialect)
    where = found.index("WHERE") if "WHERE" in found else len(found)
    head = [w.lower() for w in found[:where]]
    return head.count(column.lower()) > 1


def _guard_insert(table: TableRef, key: Sequence[str], statement: str, dialect: str) -> str:
    if words_of(statement, dialect)[:1] != ["INSERT"]:
        return f"Let up look whether the rows of {table} are there before it adds them."
    if dialect in remedy.MYSQL:
        return f"Give {table} a unique rule over what tells these rows apart, and add ON DUPLICATE KEY UPDATE."
    target = f" ({', '.join(key)})" if key and any(names_in(statement, c, dialect) for c in key) else ""
    if target:
        return f"Add ON CONFLICT{target} DO NOTHING."
    return f"Give {table} a unique rule over what tells these rows apart, and add ON CONFLICT DO NOTHING."


# --- it gives other values each time, on purpose ---


def drawn_anew(case: Case, table: TableRef, column: str) -> Iterator[Cause]:
    """What draws a column's values anew with each up; the first that fits."""
    attributes = case.after_up.schema.columns(table).get(column, {})
    default = str(attributes.get("default") or "")
    counted = any((c.table, c.column) == (table, column) for c in case.after_up.counters)
    name = f"{table}.{column}"
    wrote = [s for s in (*case.up.updates(table), *case.up.inserts_into(table)) if _is_drawing(case, s)]
    mine = [s for s in wrote if names_in(s, column, case.trial.engine)] or ([] if case.draws(default) else wrote)
    if counted or attributes.get("identity") or attributes.get("auto_increment"):
        yield Cause(f"{name} is numbered by a sequence, which goes on where the first up had brought it", _agree(name))
    elif (table, column) in case.up.nondeterministic_columns and mine:
        yield Cause(
            f"{name} is drawn in the statement ({stated(mine[0])}): {_of_what(mine[0], case.trial.engine)}",
            _agree(name),
        )
    elif case.draws(default):
        yield Cause(
            f"{name} is filled by its default, {shorten(default)}: {_of_what(default, case.trial.engine)}", _agree(name)
        )
    elif _parent_is_drawn(case, table, column) or _names_drawn(case, table):
        yield Cause(f"{name} refers to rows that have other ids each time", _agree(name))
    elif unordered := _numbered_as_they_come(case, table):
        yield Cause(
            f"{stated(unordered)} numbers rows as they come, and no ORDER BY says in which order",
            "Add ORDER BY to the SELECT, if environments have to agree.",
        )
    elif case.trial.up.statements and _sent_otherwise(case):
        yield Cause(f"the migration's own code sends other values for {name} each time", _agree(name))


def _agree(name: str) -> str:
    return f"Derive {name} from what is stored, or make it once outside the migration, if environments have to agree."


def _is_drawing(case: Case, text: str) -> bool:
    return case.draws(text)


_CHANCE = ("RAND", "UUID", "NEWID", "GUID", "GEN_SALT")


def _of_what(text: str, dialect: str) -> str:
    if any(w in text.upper() for w in _CHANCE):
        return "a random value"
    if reads_clock(code(text, dialect), dialect):
        return "the time at which it runs"
    if not is_nondeterministic(text, dialect):
        return "what a function of this project gives, which is not the same each time"
    return "the next number" if "NEXTVAL" in text.upper() else "what only its session knows"


def _parent_is_drawn(case: Case, table: TableRef, column: str) -> bool:
    """Up inserts rows into the table that the column refers to."""
    for attributes in case.after_up.schema.of(table).values():
        columns, above = attributes.get("columns"), str(attributes.get("references"))
        if attributes.get("type") == "foreign key" and isinstance(columns, tuple) and column in columns:
            parent = next((t for t in case.after_up.schema.tables() if str(t) == above), None)
            if parent is not None and case.up.inserts_into(parent):
                return True
    return False


def _names_drawn(case: Case, table: TableRef) -> bool:
    """Up inserts numbered rows elsewhere, and writes their numbers here."""
    return any(c.table != table and case.up.inserts_into(c.table) for c in case.after_up.counters)


def _numbered_as_they_come(case: Case, table: TableRef) -> str:
    """An INSERT ... SELECT without ORDER BY whose rows get their keys from a counter."""
    if not any(c.table == table for c in case.after_up.counters):
        return ""
    told = ((s, words_of(s, case.trial.engine)) for s in case.up.inserts_into(table))
    return next((s for s, words in told if "SELECT" in words and "ORDER" not in words), "")


def _sent_otherwise(case: Case) -> bool:
    first, second = ([(s.sql, s.parameters) for s in step.statements] for step in (case.trial.up, case.trial.reup))
    return first != second


# --- attempts disagree ---


def disagreed(case: Case, phase: Phase) -> Iterator[Cause]:
    """What in a step's own statements may come out otherwise in another attempt; nothing is known for certain."""
    step = case.trial.up if phase is Phase.UP else case.trial.down
    for statement in step.statements:
        found = words_of(statement.sql, case.trial.engine)
        if is_nondeterministic(statement.sql, case.trial.engine):
            yield Cause(
                f"{phase.value} reads {_of_what(statement.sql, case.trial.engine)} ({stated(statement.sql)})",
                f"Let {phase.value} read nothing but stored data.",
            )
        elif {"LIMIT", "FETCH"} & set(found) and "ORDER" not in found:
            yield Cause(
                f"{phase.value} takes rows by a LIMIT without ORDER BY ({stated(statement.sql)})",
                "Order what it reads by a unique key.",
            )
