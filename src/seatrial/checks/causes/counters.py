"""Why the next key would collide, be given out again, or not be given at all."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.checks.case import Case, Cause, quoted
from seatrial.model import Counter, Phase, Schema, TableRef
from seatrial.prose import span
from seatrial.sql import remedy
from seatrial.sql.intent import Intent
from seatrial.sql.look import names_in, says, words_of
from seatrial.sql.tokens import code


def not_generated(case: Case, phase: Phase, table: TableRef, column: str, old: Counter) -> Iterator[Cause]:
    """Why a key that was generated no longer is."""
    intent, schema = _step(case, phase)
    dialect = case.trial.engine
    kind = str(schema.columns(table).get(column, {}).get("type") or "")
    given = old.mechanism.removeprefix("default ") if old.mechanism.startswith("default ") else ""
    again = remedy.generate_again(table, column, kind, dialect, given)
    said = phase.value
    advice = f"In {said}, {span(again)}." if again else f"Declare {table}.{column} in the new table as it was before."
    altered = [s for s in intent.alters_column_type(table, column) if says(s, dialect, "ALTER")]
    rebuilt, recreated = intent.rebuilds(table), intent.drops_table(table)
    sequence = old.source.removeprefix("sequence ").rpartition(".")[2]
    ends = [
        s for s in intent.statements if sequence and _drops(s, "SEQUENCE", dialect) and names_in(s, sequence, dialect)
    ]
    plain = let_go(case, phase, table, column)
    if ends:
        yield Cause(f"{said} drops the sequence that numbers it ({quoted(ends)})", advice)
    elif plain:
        yield Cause(f"{said} takes away what generates it ({quoted(plain)})", advice)
    elif rebuilt or recreated:
        new = [s for s in rebuilt if words_of(s, dialect)[:1] == ["CREATE"]] or rebuilt or recreated
        yield Cause(f"{said} makes the table anew with a plain column {column} ({quoted(new)})", advice)
    elif altered:
        yield Cause(f"{said} defines the column anew and says nothing of {old.mechanism} ({quoted(altered)})", advice)
    elif added := intent.adds_column(table, column):
        yield Cause(f"{said} drops the column and adds it again as a plain one ({quoted(added)})", advice)


def let_go(case: Case, phase: Phase, table: TableRef, column: str) -> list[str]:
    """The statements that say themselves that the column is no longer generated: DROP DEFAULT, DROP IDENTITY."""
    intent, _ = _step(case, phase)
    dialect = case.trial.engine
    mine = [s for s in intent.statements if _of(s, table, column, dialect)]
    return [s for what in ("DEFAULT", "IDENTITY") for s in mine if _drops(s, what, dialect)]


def _of(statement: str, table: TableRef, column: str, dialect: str) -> bool:
    return names_in(statement, table.name, dialect) and names_in(statement, column, dialect)


def _drops(statement: str, what: str, dialect: str) -> bool:
    return says(statement, dialect, "DROP", what)


def _step(case: Case, phase: Phase) -> tuple[Intent, Schema]:
    return (case.up, case.after_up.schema) if phase is Phase.UP else (case.down, case.after_down.schema)


def stands_wrong(case: Case, phase: Phase, old: Counter | None, new: Counter) -> Iterator[Cause]:
    """Why a counter stands at or below stored ids, or below where it stood."""
    intent, _ = _step(case, phase)
    dialect, table, column, said = case.trial.engine, new.table, new.column, phase.value
    advice = _forward(case, phase, old, new)
    back = [s for s in intent.statements if _sets_counter(s, new, dialect)]
    rekeyed = intent.assigns_column(table, column) if intent.updates(table) else ()
    if back:
        yield Cause(f"{said} sets the counter itself ({quoted(back)})", advice)
    elif _resets(case, intent, table):
        yield Cause(
            f"{said} empties the table, which starts its counter again ({quoted(intent.truncates(table))})", advice
        )
    elif made := intent.rebuilds(table) or intent.drops_table(table):
        yield Cause(f"{said} makes the table anew, and its counter begins anew with it ({quoted(made)})", advice)
    elif readded := intent.adds_column(table, column):
        yield Cause(f"{said} adds the column anew, and its counter begins anew with it ({quoted(readded)})", advice)
    elif old is not None and old.source and new.source != old.source:
        yield Cause(f"{said} lets {new.source} number it, which does not stand where {old.source} did", advice)
    elif old is not None and (gives := _gives(intent, table, column, dialect)):
        yield Cause(f"{said} lets something new number it, from {new.next_value} on ({quoted(gives)})", advice)
    elif gives := _gives(intent, table, column, dialect):
        yield Cause(
            f"{said} begins to number rows that are there already, from {new.next_value} ({quoted(gives)})", advice
        )
    elif rekeyed:
        yield Cause(
            f"{said} gives rows ids of its own ({quoted(rekeyed)}), and the counter was not moved past them", advice
        )
    elif (wrote := intent.inserts_into(table)) and (old is None or new.highest != old.highest):
        yield Cause(
            f"{said} inserts rows with ids of its own ({quoted(wrote)}), and the counter was not moved past them",
            advice,
        )


def _sets_counter(statement: str, counter: Counter, dialect: str) -> bool:
    found = words_of(statement, dialect)
    sequence = counter.source.removeprefix("sequence ").rpartition(".")[2]
    mine = names_in(statement, counter.table.name, dialect) or (
        bool(sequence) and names_in(statement, sequence, dialect)
    )
    if "SQLITE_SEQUENCE" in found:
        return True
    restarts = "RESTART" in found and "TRUNCATE" not in found
    sets = (
        restarts
        or "SETVAL" in found
        or (found[:1] == ["ALTER"] and "AUTO_INCREMENT" in found and _is_option(statement, dialect))
    )
    return mine and sets


def _is_option(statement: str, dialect: str) -> bool:
    """AUTO_INCREMENT = 5 of a table, not a column's word."""
    tokens = code(statement, dialect)
    at = next(i for i, t in enumerate(tokens) if t.word == "AUTO_INCREMENT")
    rest = [t for t in tokens[at + 1 :] if t.word != "="]
    return bool(rest) and rest[0].text.isdigit()


def _resets(case: Case, intent: Intent, table: TableRef) -> bool:
    """MySQL: TRUNCATE resets AUTO_INCREMENT (manual, 15.1.41); PostgreSQL: only with RESTART IDENTITY."""
    found = intent.truncates(table)
    return bool(found) and (
        case.trial.engine in remedy.MYSQL or any(says(s, case.trial.engine, "RESTART", "IDENTITY") for s in found)
    )


def _gives(intent: Intent, table: TableRef, column: str, dialect: str) -> list[str]:
    wanted = {"IDENTITY", "AUTO_INCREMENT", "AUTOINCREMENT", "NEXTVAL", "SERIAL", "BIGSERIAL"}
    mine = (s for s in intent.naming(table) if names_in(s, column, dialect))
    return [s for s in mine if wanted & set(words_of(s, dialect))]


def _forward(case: Case, phase: Phase, old: Counter | None, new: Counter) -> str:
    """Past what is stored and past what was ever given out."""
    step = new.increment or 1
    reached = [new.highest + step] if new.highest is not None else []
    reached += [old.next_value] if old is not None and old.next_value is not None else []
    if not reached:
        return f"In {phase.value}, let the counter of {new.table}.{new.column} stand where it stood."
    value = max(reached) if step > 0 else min(reached)
    text = remedy.set_counter(new, value, case.trial.engine)
    return f"At the end of {phase.value}, set it past every id that was ever given out: {span(text)} on these rows."
