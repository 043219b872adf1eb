"""Why stored rows break a rule, and why a rule is declared and does not hold them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from seatrial.checks.case import Case, Cause, listed, n, quoted, shorten, stated
from seatrial.model import Attributes, Integrity, ObjectKey, Phase, ProbeResult, TableDiff, TableRef
from seatrial.prose import span
from seatrial.sql import remedy
from seatrial.sql.intent import Intent
from seatrial.sql.look import names_in, says

_CHECKS_OFF = re.compile(
    r"foreign_key_checks\W+(?:0|off)\b|foreign_keys\W+(?:0|off)\b|session_replication_role\W+'?replica"
    r"|check_constraint_checks\W+(?:0|off)\b|disable\s+trigger|ignore_check_constraints\W+(?:1|on|true)\b",
    re.IGNORECASE,
)
"""What switches checks off on one connection or table: MySQL, SQLite, PostgreSQL, MariaDB, PostgreSQL."""


def _step(case: Case, phase: Phase) -> tuple[Intent, tuple[TableDiff, ...]]:
    if phase is Phase.DOWN:
        return case.down, case.trial.down_changes
    return case.up, case.trial.up_changes


def _of(changes: tuple[TableDiff, ...], table: TableRef | str) -> TableDiff | None:
    return next((d for d in changes if str(table) in (str(d.table), str(d.new_table or d.table))), None)


def broken(case: Case, rule: str, table: TableRef, result: Integrity, phase: Phase) -> Iterator[Cause]:
    """Why rows break a rule that they did not break before; the first that fits."""
    of_parent = (_parent_gone, _parents_rekeyed, _parents_removed) if rule == "orphaned-rows" else ()
    for find in (_declared_over, *of_parent, _left_by_down, _written):
        if found := list(find(case, table, result, phase)):
            yield from found
            return


def _parent(result: Integrity) -> str:
    return result.references.rpartition("(")[0]


def _declared_over(case: Case, table: TableRef, result: Integrity, phase: Phase) -> Iterator[Cause]:
    """The rule is new: it was declared without a look at the rows."""
    before = {k.label for k in case.before.schema if k.kind != "column" or not case.before.schema[k].get("nullable")}
    if result.object in before or result.object.startswith("relationship ") or result.inferred:
        return
    intent, _ = _step(case, phase)
    dialect = case.trial.engine
    key = _key(case, phase, result.object)
    said = list(intent.naming_object(key)) if key else []
    loose = [s for s in said if says(s, dialect, "NOT", "VALID")]
    unheld = [s for s in said if says(s, dialect, "NOT", "ENFORCED")]
    off = [s for s in intent.statements if _CHECKS_OFF.search(s)]
    if loose:
        how = f"with NOT VALID, which does not look at the rows that are there ({stated(loose[0])})"
    elif unheld:
        how = f"with NOT ENFORCED, which looks at no row ({stated(unheld[0])})"
    elif off:
        how = f"while {stated(off[0])} kept the engine from looking at the rows"
    elif dialect == "sqlite" and result.rule == "orphaned-rows":
        how = f"and SQLite does not look at rows where a foreign key is declared{_by(said)}"
    else:
        how = f"without being checked against them{_by(said)}"
    yield Cause(f"{result.object} was declared over rows that break it, {how}", advice(case, table, result))


def _by(statements: list[str]) -> str:
    return f" ({quoted(statements)})" if statements else ""


def _key(case: Case, phase: Phase, label: str) -> ObjectKey | None:
    schema = case.after_down.schema if phase is Phase.DOWN else case.after_up.schema
    return next((k for k in schema if k.label == label), None)


def _parent_gone(case: Case, table: TableRef, result: Integrity, phase: Phase) -> Iterator[Cause]:
    intent, _ = _step(case, phase)
    schema = case.after_down.schema if phase is Phase.DOWN else case.after_up.schema
    parent = _parent(result)
    if parent and parent not in map(str, schema.tables()):
        ref = TableRef("", parent)
        dropped = intent.drops_table(ref) or [s for s in intent.naming(ref) if says(s, case.trial.engine, "RENAME")]
        yield Cause(
            f"{result.object} refers to {parent}, which is not there after {phase.value}{_by(list(dropped))}",
            f"Drop {result.object} of {table} first, or let it refer to what takes the place of {parent}.",
        )


def _parents_rekeyed(case: Case, table: TableRef, result: Integrity, phase: Phase) -> Iterator[Cause]:
    intent, changes = _step(case, phase)
    parent = _parent(result)
    change = _of(changes, parent)
    column = result.references.rpartition("(")[2].rstrip(")").split(",")[0].strip()
    if change is None or phase is Phase.DOWN or not (wrote := intent.assigns_column(change.table, column)):
        return
    yield Cause(
        f"up gives rows of {parent} another {column} ({quoted(wrote)}), and those of {table} keep the old one",
        f"Change {table}.{listed(result.columns)} in the same migration, or declare the foreign key ON UPDATE CASCADE.",
    )


def _parents_removed(case: Case, table: TableRef, result: Integrity, phase: Phase) -> Iterator[Cause]:
    intent, changes = _step(case, phase)
    parent, step = _parent(result), phase.value
    change = _of(changes, parent)
    if change is None or not change.lost_count:
        return
    wrote = intent.deletes_from(change.table) or intent.truncates(change.table)
    if not wrote:  # of a rebuild, what copies the rows, not what makes the table
        rebuilt = intent.rebuilds(change.table)
        wrote = tuple(s for s in rebuilt if says(s, case.trial.engine, "SELECT")) or rebuilt
    yield Cause(
        f"{step} removed {n(change.lost_count, 'row')} of {parent}{_by(list(wrote))} {_loose(case, result, phase)}",
        advice(case, table, result),
    )


def _left_by_down(case: Case, table: TableRef, result: Integrity, phase: Phase) -> Iterator[Cause]:
    """After up the rule held: down took back one side of it only."""
    change = _of(case.trial.down_changes, table) if phase is Phase.DOWN else None
    if change is None or not change:
        return
    touched = [c for g in change.changed for c in g.columns if c in result.columns]
    if touched and not case.down.assigns_column(table, touched[0]) and _of(case.trial.up_changes, table):
        yield Cause(
            f"down leaves {table}.{listed(dict.fromkeys(touched))} as up had written it,"
            f" and takes back what {result.object} holds it against",
            f"Let down restore {table}.{listed(dict.fromkeys(touched))} as well.",
        )


def _written(case: Case, table: TableRef, result: Integrity, phase: Phase) -> Iterator[Cause]:
    intent, changes = _step(case, phase)
    change = _of(changes, table)
    if not change:
        return
    wrote = [*intent.updates(change.table), *intent.inserts_into(change.table), *intent.rebuilds(change.table)]
    mine = [s for s in wrote if any(names_in(s, c, case.trial.engine) for c in result.columns)] or wrote
    yield Cause(
        f"{phase.value} wrote rows of {table}{_by(mine)} {_loose(case, result, phase)}",
        advice(case, table, result),
    )


_DECLARED = ("constraint", "index", "primary", "unique", "foreign", "check")


def _loose(case: Case, result: Integrity, phase: Phase) -> str:
    """Why nothing refused it."""
    intent, schema = _step(case, phase)[0], (case.after_down if phase is Phase.DOWN else case.after_up).schema
    off = [s for s in intent.statements if _CHECKS_OFF.search(s)]
    if off:
        return f"while {stated(off[0])} was in force"
    if result.object.partition(" ")[0] in _DECLARED and all(k.label != result.object for k in schema):
        return f"while {result.object}, which would have refused them, was not there"
    if result.object.startswith("relationship ") or result.inferred:
        return "and no foreign key is declared that would refuse it"
    if case.trial.engine == "sqlite" and result.rule == "orphaned-rows":
        return "over a connection on which foreign keys are off"
    return f"while {result.object} was not enforced"


def untied(case: Case, table: TableRef, result: Integrity, phase: Phase) -> Iterator[Cause]:
    """Why rows lost their parent where nothing in the schema ties them to it; the first that fits."""
    for find in (_parents_rekeyed, _parents_removed, _left_by_down, _written):
        if found := list(find(case, table, result, phase)):
            yield from found
            return


def advice(case: Case, table: TableRef, result: Integrity) -> str:
    """How the rows are brought in line, and how the engine is made to hold them."""
    dialect, name = case.trial.engine, result.object.partition(" ")[2]
    columns = listed(f"{table}.{c}" for c in result.columns)
    if result.rule == "duplicate-keys":
        return f"Decide which of the rows with one {columns or 'key'} stays before {result.object} is declared."
    if result.rule == "nulls-in-required":
        return f"Fill {columns} before it is declared as required."
    if result.rule == "check-violated":
        return f"Correct {columns or f'the rows of {table}'} first{_validate(table, name, result, dialect)}."
    if result.object.startswith("relationship ") or result.inferred:
        return f"Delete or re-attach the orphans of {table} in the same migration, then declare a foreign key."
    return f"Delete or re-attach the orphans of {table} in the same migration{_validate(table, name, result, dialect)}."


def _validate(table: TableRef, name: str, result: Integrity, dialect: str) -> str:
    mine = remedy.of(table, dialect)
    if dialect == "postgresql" and result.object.startswith("constraint "):
        validate = f"ALTER TABLE {mine} VALIDATE CONSTRAINT {remedy.quoted(name, dialect)}"
        return f", then {span(validate)}"
    if dialect == "sqlite" and result.rule == "orphaned-rows":
        return f", and end it with {span(f'PRAGMA foreign_key_check({mine})')}, which must give no row"
    if dialect in remedy.MYSQL and result.rule == "orphaned-rows":
        return ", then drop the foreign key and add it again with foreign_key_checks = 1, which looks at the rows"
    return ""


def required(case: Case, table: TableRef, probe: ProbeResult) -> Iterator[Cause]:
    """Why NULL stands in a column of [[required]]."""
    step = probe.phase.value
    intent, changes = _step(case, probe.phase)
    change = _of(changes, table)
    before = case.before.schema.columns(table)
    for column in probe.columns:
        fill = f"Fill {table}.{column} in the same migration."
        if column not in before and (added := intent.adds_column(table, column)):
            yield Cause(f"{step} adds {column} without a value for the rows that are there ({quoted(added)})", fill)
        elif wrote := intent.assigns_column(table, column) if intent.updates(table) else ():
            yield Cause(f"{step} writes NULL into {column} ({quoted(wrote)})", fill)
        elif change is not None and change.added_count and (put := intent.inserts_into(table)):
            yield Cause(f"the rows that {step} inserts leave {column} out ({quoted(put)})", fill)


# --- rules that do not hold ---


def unenforced(case: Case, phase: Phase, key: ObjectKey, attributes: Attributes) -> Iterator[Cause]:
    """Why a declared rule is not held over the stored rows, by the statement that says so."""
    intent, _ = _step(case, phase)
    dialect, table = case.trial.engine, key.owner
    assert table is not None
    named = list(intent.naming_object(key))
    mine, name = remedy.of(table, dialect), remedy.quoted(key.name, dialect)
    loose = [s for s in named if says(s, dialect, "NOT", "VALID")]
    unheld = [s for s in named if says(s, dialect, "NOT", "ENFORCED")]
    parent = str(attributes.get("references") or "").rpartition(".")[2]
    mute = [s for s in intent.statements if says(s, dialect, "DISABLE", "TRIGGER")]
    off = [s for s in mute if any(t and names_in(s, t, dialect) for t in (table.name, parent))]
    if unheld:
        yield Cause(f"it is declared NOT ENFORCED ({stated(unheld[0])})", _enforce(mine, name, dialect, attributes))
    elif loose and attributes.get("validated") is False:
        validate = span(f"ALTER TABLE {mine} VALIDATE CONSTRAINT {name}")
        yield Cause(
            f"it is declared NOT VALID ({stated(loose[0])}), and no later statement validates it",
            f"Correct the rows, then {validate}, which does not block writes.",
        )
    elif off:
        of = next((t for t in (table.name, parent) if t and names_in(off[0], t, dialect)), table.name)
        on = span(f"ALTER TABLE {remedy.quoted(of, dialect)} ENABLE TRIGGER ALL")
        yield Cause(
            f"the triggers that hold it are switched off ({stated(off[0])}) and not on again",
            f"{on} in the same migration, and look for orphans that came meanwhile: nothing checks them afterwards.",
        )


def _enforce(table: str, name: str, dialect: str, attributes: Attributes) -> str:
    """MySQL manual, 15.1.9; PostgreSQL 18 alters foreign keys only (manual, ALTER TABLE)."""
    if dialect in remedy.MYSQL:
        return f"Correct the rows, then {span(f'ALTER TABLE {table} ALTER CHECK {name} ENFORCED')}."
    if attributes.get("type") == "foreign key":
        return f"Correct the rows, then {span(f'ALTER TABLE {table} ALTER CONSTRAINT {name} ENFORCED')}."
    definition = str(attributes.get("definition") or "").replace(" NOT ENFORCED", "")
    again = f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"
    return f"Correct the rows, then drop {name} and add it again: {span(again)}."


def switched_off(case: Case, phase: Phase) -> Iterator[Cause]:
    """The last statement that switched checks off, which nothing took back."""
    found = [s for s in _step(case, phase)[0].statements if _CHECKS_OFF.search(s)]
    if found:
        yield Cause(
            f"{stated(found[-1])} is not taken back before {phase.value} ends",
            f"End {phase.value} with `PRAGMA foreign_key_check`, which must give no row, and `PRAGMA foreign_keys ="
            " ON`, outside a transaction.",
        )


def forgotten(table: TableRef, engine: str, texts: tuple[str, ...], dialect: str) -> Iterator[Cause]:
    """A storage engine that takes a foreign key's declaration and holds nothing of it (MySQL manual, 15.1.24.5)."""
    convert = span(f"ALTER TABLE {remedy.of(table, dialect)} ENGINE = InnoDB")
    for text in texts:
        yield Cause(
            f"{table} is a table of {engine}, which reads a foreign key and forgets it ({stated(text)})",
            f"Convert {table} and the table that it refers to first ({convert}), and declare the foreign key then.",
        )


def invalid(case: Case, key: ObjectKey) -> Iterator[Cause]:
    """Why an index is there and does not serve."""
    dialect = case.trial.engine
    error = case.trial.up.error or case.trial.down.error
    built = [s.sql for s in case.trial.up.statements if says(s.sql, dialect, "INDEX", "CONCURRENTLY")]
    mine = [s for s in built if names_in(s, key.name, dialect)]
    drop = span(f"DROP INDEX CONCURRENTLY {remedy.quoted(key.name, dialect)}")
    again = f"Correct the rows, {drop}, and build it again;"
    failed = error.statement if error else ""
    on_parent = [s for s in case.up.naming_object(key) if says(s, dialect, "ON", "ONLY")]
    if error and says(failed, dialect, "INDEX", "CONCURRENTLY"):
        yield Cause(
            f"building it concurrently failed half-way and left it behind: {shorten(error.message, 120)}",
            f"{again} do not rely on IF NOT EXISTS, which takes the invalid one for the real one.",
        )
    elif on_parent:
        yield Cause(
            f"it was made ON ONLY a partitioned table ({stated(on_parent[0], 60)}), one partition's is missing",
            "Create the index on each partition and attach it"
            f" ({span(f'ALTER INDEX {key.name} ATTACH PARTITION ...')}).",
        )
    elif any(says(s, dialect, "IF", "NOT", "EXISTS") for s in mine):
        yield Cause(
            f"IF NOT EXISTS took one that was left invalid for the real one ({stated(mine[0])})",
            f"{again} without it.",
        )
