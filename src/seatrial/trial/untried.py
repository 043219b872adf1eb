"""Statements that changed no row: what they do to rows was not tried, whatever they are worth. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from seatrial.checks.case import stated
from seatrial.model import NotVerified, Schema, Snapshot, Statement, Step, TableRef
from seatrial.seeds.conditions import condition
from seatrial.sql.effects import Verb
from seatrial.sql.queries import conditions_of, sources_of
from seatrial.sql.statement import Parsed, parse
from seatrial.sql.tables import fold
from seatrial.sql.tokens import NUMBER

_SHOWN = 3  # statements of one step on one table
_CHANGES = (Verb.UPDATE, Verb.DELETE, Verb.INSERT)
WHY = "it changed no row: what it does to rows was not tried"


def unmet(step: Step, dialect: str) -> tuple[str, ...]:
    """The statements that change rows of tables and met none, by the engine's count; each as it was run.

    Not those of a loop that met some: its last round meets none.
    """
    counted = [(s, s.bound or s.sql) for s in step.statements if s.rows is not None and not s.undone]
    reached = {_form(text, dialect) for s, text in counted if s.rows}
    return tuple(dict.fromkeys(t for s, t in counted if _is_empty(s, dialect) and _form(t, dialect) not in reached))


def unread(step: Step, dialect: str) -> tuple[str, ...]:
    """Queries whose rows the migration's own code goes on with, and of which none is known to have come."""
    asked = (s.bound or s.sql for s in step.statements if not s.rows and not s.undone)
    return tuple(dict.fromkeys(t for t in asked if "where" in t.lower() and parse(t, dialect).kind == "SELECT"))


def _is_empty(statement: Statement, dialect: str) -> bool:
    if statement.rows != 0:
        return False
    parsed = parse(statement.bound or statement.sql, dialect)
    return parsed.executed and any(e.verb in _CHANGES for e in parsed.effects) and _changes_by_itself(parsed)


def _changes_by_itself(parsed: Parsed) -> bool:
    """Whether the count is that of its changes, and rows decide it: not of CREATE TABLE AS, VALUES or SELECT f()."""
    first = next((t.word for t in parsed.tokens if t.word != "("), "")
    if first in ("UPDATE", "DELETE", "MERGE"):
        return True
    last = {e.verb for e in parsed.effects}
    return first in ("INSERT", "REPLACE", "WITH") and (last != {Verb.INSERT} or bool(sources_of(parsed)))


def _form(text: str, dialect: str) -> tuple[str, ...]:
    """Equal for the rounds of a loop, which differ in numbers."""
    return tuple("" if t.kind == NUMBER else t.word or t.text for t in parse(text, dialect).tokens)


def untried(
    step: Step, held: Snapshot, dialect: str, bookkeeping: Collection[str], told: Collection[NotVerified] = ()
) -> Iterator[NotVerified]:
    """What to say of them. ``held``: what the database held before the step; ``told``: what is said of up already.

    Not of tables that the step itself made, or that held no row (which is said of the table), of the tool's own, and
    of what can meet no row whatever there is.
    """
    rows = {t.table: t.rows for t in held.tables if t.compared}
    shown: dict[tuple[TableRef, ...], int] = {}
    said = {doubt.what for doubt in told}
    for text in unmet(step, dialect):
        parsed = parse(text, dialect)
        tables = _tables(parsed, held.schema, dialect)
        if not tables or any(t.name in bookkeeping or not rows.get(t) for t in tables):
            continue
        if _is_idle(text, tables[0], held.schema, dialect):
            continue
        what = stated(text, 100)
        shown[tables] = shown.get(tables, 0) + 1
        if shown[tables] <= _SHOWN and what not in said:
            yield NotVerified(what=what, why=WHY)
    for tables, count in shown.items():
        if count > _SHOWN:
            more = f"{count - _SHOWN} more statement{'s' * (count > _SHOWN + 1)} on {tables[0]}"
            yield NotVerified(what=more, why=WHY.replace("it changed", "changed"))


def _tables(parsed: Parsed, schema: Schema, dialect: str) -> tuple[TableRef, ...]:
    """The table that is changed, or of INSERT those that it reads; none where one of them is not there before."""
    changed = [e.table for e in parsed.effects if e.verb in (Verb.UPDATE, Verb.DELETE) and e.table is not None]
    names = [TableRef(n.qualifier, n.name) for n in changed[:1]] or list(sources_of(parsed))
    found = [_there(name, schema, dialect) for name in names]
    return tuple(t for t in found if t is not None) if all(found) else ()


def _there(name: TableRef, schema: Schema, dialect: str) -> TableRef | None:
    found = [t for t in schema.tables() if fold(t.name, dialect) == fold(name.name, dialect)]
    exact = [t for t in found if t.namespace == name.namespace]
    return next(iter(exact or found), None)


def _is_idle(text: str, table: TableRef, schema: Schema, dialect: str) -> bool:
    """Whether no row is missing: it asks for all, says that it meets none (1 = 0), or asks for NULL where none can be.

    What asks for all meets none where the step itself has emptied the table by then.
    """
    asked = conditions_of(text, dialect)
    if not asked and len(sources_of(parse(text, dialect))) < 2:
        return True
    columns = schema.columns(table)
    required = {c.casefold() for c, a in columns.items() if a.get("nullable") is False}
    return any(_never(part, required, dialect) for part in asked)


def _never(part: Sequence[str], required: Collection[str], dialect: str) -> bool:
    words = [p.casefold() for p in part]
    if words[1:] == ["is", "null"]:
        return words[0].strip('"`[]') in required
    return condition(" ".join(part), [], dialect).value({}) is False
