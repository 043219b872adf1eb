"""Which rows a statement reached, as far as the trace proves it: True, False, or None where it cannot be told.

A row's values of before up are held against the conditions of WHERE (``conditions``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seatrial.checks.case import Case
from seatrial.checks.causes.conditions import Lookup, Value, holds, literal, same
from seatrial.checks.causes.triggers import fired
from seatrial.model import Attributes, TableDiff, TableRef
from seatrial.sql.batches import unbracketed
from seatrial.sql.cursor import top
from seatrial.sql.look import words_of
from seatrial.sql.tokens import Token, code

Values = Mapping[str, str | None]
"""A row of before up: column -> value."""

_BEHIND = frozenset({"ORDER", "LIMIT", "RETURNING", "GROUP", "HAVING", "OFFSET", "FETCH", "UNION", "EXCEPT"})
_PLACING = (
    ["DROP"],
    ["RENAME"],
    ["ALTER"],
)  # the statements of a rebuild that put the new table in the old one's place
_MOVING = ("CASCADE", "SET NULL", "SET DEFAULT")


def reached(case: Case, table: TableRef, statement: str, row: Values) -> bool | None:
    """Whether a TRUNCATE, DELETE, UPDATE or INSERT ... SELECT took, wrote or read a row of the table."""
    if counted(case, [statement]) == 0 and words_of(statement, case.trial.engine)[:1] in (["DELETE"], ["UPDATE"]):
        return False
    tokens = code(statement, case.trial.engine)
    tokens = tokens[:-1] if tokens and tokens[-1].word == ";" else tokens
    if not tokens or any(t.word == ";" for t in tokens):
        return None
    if tokens[0].word == "TRUNCATE":
        return True
    places = [i for i in top(tokens, 0, len(tokens)) if i]
    start = next((i for i in places if tokens[i].word == "WHERE"), None)
    if not _plain(tokens[: len(tokens) if start is None else start]):
        return None
    end = next((i for i in places if i > (start or 0) and tokens[i].word in _BEHIND), len(tokens))
    where = unbracketed(tokens[start + 1 : end]) if start is not None else ()
    found = holds(where, _lookup(case, table, statement, row), case.trial.engine)
    limited = any(t.word not in ("", "RETURNING") and t.word in _BEHIND for t in tokens[end:])
    spares = any(t.word == "IGNORE" for t in tokens[1:3])  # UPDATE OR IGNORE leaves rows that would break a rule
    return None if found and (limited or spares) else found


def counted(case: Case, statements: Sequence[str]) -> int | None:
    """How many rows the engine says that up's statements reached; None where it does not say it of each."""
    counts = [s.rows for s in case.trial.up.statements if s.sql in statements or s.bound in statements]
    known = [c for c in counts if c is not None]
    return sum(known) if counts and len(known) == len(counts) else None


def _plain(head: Sequence[Token]) -> bool:
    """One table, and nothing that reads another: ``DELETE FROM t``, ``UPDATE t SET ...``, ``... SELECT FROM t``."""
    said = [head[i].word for i in top(head, 0, len(head))]
    if head[0].word == "DELETE":
        return not {"USING", "JOIN", ",", "AS"} & set(said) and said[1:2] == ["FROM"]
    if head[0].word == "UPDATE":
        named = said[: said.index("SET")] if "SET" in said else [","]
        return not {"JOIN", ",", "AS"} & set(named) and "FROM" not in said
    if "SELECT" not in said or "FROM" not in said or {"WITH", "DISTINCT", "UNION", "EXCEPT", "IGNORE"} & set(said):
        return False
    source = said[said.index("FROM") + 1 :]
    return said.count("FROM") == 1 and not {"JOIN", ",", "("} & set(source)


def _lookup(case: Case, table: TableRef, statement: str, row: Values) -> Lookup:
    """What a row held when a statement ran."""

    def found(name: str) -> Value | None:
        column = _column(case, name, row)
        values = _values_then(case, table, column, statement, row) if column else ()
        if not values or not stands(case, table, column, statement):
            return None
        return Value(values[0], _type(case, table, column))

    return found


def assigned(case: Case, statement: str, column: str) -> str | None:
    """The literal that a plain UPDATE gives a column, ``NULL`` for that; None: no literal, or it cannot be told."""
    value = assigned_value(statement, column, case.trial.engine)
    return None if value is None else "NULL" if [t.word for t in value] == ["NULL"] else literal(value)


def assigned_value(statement: str, column: str, dialect: str) -> Sequence[Token] | None:
    """What a plain UPDATE sets a column to; None: it cannot be told."""
    tokens = [t for t in code(statement, dialect) if t.word != ";"]
    places = list(top(tokens, 0, len(tokens)))
    for i in places:
        if tokens[i].word == "=" and tokens[i - 1].name.lower() == column.lower():
            ends = (j for j in places if j > i and tokens[j].word in (",", "WHERE", "FROM"))
            return tokens[i + 1 : next(ends, len(tokens))]
        if tokens[i].word == "WHERE":
            break
    return None


def _values_then(case: Case, table: TableRef, column: str, statement: str, row: Values) -> tuple[str | None, ...]:
    """What a column of a row held when a statement ran, after the UPDATEs before it; empty: it cannot be told."""
    order, value = list(case.up.statements), row[column]
    place = order.index(statement) if statement in order else len(order)
    wrote = {s for t in case.family(table) for s in case.up.assigns_column(t, column)}
    for earlier in [s for s in dict.fromkeys(order[:place]) if s in wrote]:
        found = reached(case, table, earlier, row)
        literal = assigned(case, earlier, column)
        if found is None or (found and literal is None):
            return ()
        value = value if not found else None if literal == "NULL" else literal
    return (value,)


def stands(case: Case, table: TableRef, column: str, statement: str) -> bool:
    """Whether nothing but UPDATE can have given a column another value before a statement."""
    order = list(case.up.statements)
    place = order.index(statement) if statement in order else len(order)
    if case.trial.renames.columns:
        return False
    anew = [s for s in case.up.rebuilds(table) if words_of(s, case.trial.engine)[:1] in _PLACING]
    anew = anew or list(case.up.alters_column_type(table, column))
    if any(s in order and order.index(s) < place for s in anew):
        return False
    followed = any(
        column in _names(a, "columns") and (a.get("on_delete") in _MOVING[1:] or a.get("on_update") in _MOVING)
        for a in _foreign(case, table)
    )
    if column in case.key_of(table) and not followed:
        return True
    return not (followed or case.up.opaque or any(fired(case, table, "up", f"changed {column}")))


def parents_of(
    case: Case, table: TableRef, attributes: Attributes, parent: TableRef, row: Values
) -> tuple[bool | None, list[Values]]:
    """Whether the row that a foreign key of this row refers to is one that up removed; and which, where it is known."""
    mine, theirs = _names(attributes, "columns"), _names(attributes, "referenced_columns")
    if not mine or len(mine) != len(theirs) or not set(mine) <= set(row):
        return None, []
    values = [row[c] for c in mine]
    wrote = {s for c in mine for s in case.up.assigns_column(table, c)}
    if case.trial.renames.columns or any(reached(case, table, s, row) is not False for s in wrote):
        return None, []
    if None in values:
        return False, []  # MATCH SIMPLE and FULL: it refers to nothing
    diff = case.up_diff(parent)
    kinds = [_type(case, table, c) for c in mine]
    found = [(r, _refers(values, [r.get(c) for c in theirs], kinds)) for r in rows_of(diff)]
    if gone := [r for r, refers in found if refers]:
        return True, [*gone]
    sure = len(diff.lost) == diff.lost_count and not case.up.inserts_into(parent) and not case.up.opaque
    moved = case.up.drops_table(parent) or any(case.up.assigns_column(parent, c) for c in theirs)
    unknown = any(refers is None for _, refers in found)
    return None if unknown or not sure or moved else False, []


def _refers(mine: Sequence[str | None], theirs: Sequence[str | None], kinds: Sequence[str]) -> bool | None:
    pairs = zip(mine, theirs, kinds, strict=True)
    found = [False if b is None or a is None else same(a, b, k) if a != b else True for a, b, k in pairs]
    return False if False in found else None if None in found else True


def rows_of(diff: TableDiff) -> list[dict[str, str | None]]:
    """The lost rows of a comparison that it holds, as column -> value."""
    return [
        dict(zip(diff.columns, r.values, strict=False)) | dict(zip(diff.key, r.key, strict=False)) for r in diff.lost
    ]


def _column(case: Case, name: str, row: Values) -> str:
    folded = case.trial.engine != "postgresql"
    return next((c for c in row if c == name or (folded and c.lower() == name.lower())), "") if name else ""


def _type(case: Case, table: TableRef, column: str) -> str:
    return str(case.before.schema.columns(table).get(column, {}).get("type") or "").lower()


def _names(attributes: Attributes, name: str) -> tuple[str, ...]:
    found = attributes.get(name)
    return found if isinstance(found, tuple) else ()


def _foreign(case: Case, table: TableRef) -> list[Attributes]:
    return [a for a in case.before.schema.of(table).values() if a.get("type") == "foreign key"]
