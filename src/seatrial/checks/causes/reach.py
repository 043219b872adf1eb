"""Which rows a statement reached, as far as the trace proves it: True, False, or None where it cannot be told.

A row's values of before up are held against the literals of WHERE. Only what every engine decides alike is decided
here: collations, paddings and time zones make values equal that are written otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from seatrial.checks.case import Case
from seatrial.checks.causes.triggers import fired
from seatrial.model import Attributes, TableDiff, TableRef
from seatrial.sql.batches import conjuncts, unbracketed
from seatrial.sql.cursor import top
from seatrial.sql.look import words_of
from seatrial.sql.tokens import STRING, Token, code

Values = Mapping[str, str | None]
"""A row of before up: column -> value."""

_BEHIND = frozenset({"ORDER", "LIMIT", "RETURNING", "GROUP", "HAVING", "OFFSET", "FETCH", "UNION", "EXCEPT"})
_NUMBERS = ("int", "serial", "numeric", "decimal")
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
    found = [_holds(case, table, c, statement, row) for c in conjuncts(where)]
    if False in found:
        return False
    limited = any(t.word not in ("", "RETURNING") and t.word in _BEHIND for t in tokens[end:])
    return None if None in found or limited else True


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


def _holds(case: Case, table: TableRef, part: Sequence[Token], statement: str, row: Values) -> bool | None:
    """Whether one condition is true of a row; a comparison with NULL is not."""
    part = unbracketed(part)
    part = part[2:] if len(part) > 2 and part[1].word == "." else part
    column = _column(case, part[0].name if part else "", row)
    values = _values_then(case, table, column, statement, row) if column else ()
    if not values or not stands(case, table, column, statement):
        return None
    operator, rest, value = part[1].word if len(part) > 1 else "", part[2:], values[0]
    if operator == "IS":
        said = [t.word for t in rest]
        return {("NULL",): value is None, ("NOT", "NULL"): value is not None}.get(tuple(said))
    if value is None:
        return False if operator in ("=", "<", ">", "<=", ">=", "<>", "!=", "IN", "BETWEEN") else None
    return _compared(value, operator, rest, _type(case, table, column))


def _compared(value: str, operator: str, rest: Sequence[Token], kind: str) -> bool | None:
    if operator == "IN" and len(rest) > 2 and rest[0].word == "(" and rest[-1].word == ")":
        cuts = [0, *(i for i, t in enumerate(rest) if t.word == ","), len(rest) - 1]
        found = [_equals(value, rest[a + 1 : b], kind) for a, b in pairwise(cuts)]
        return True if True in found else None if None in found else False
    if operator in ("=", "<>", "!="):
        equal = _equals(value, rest, kind)
        return equal if operator == "=" or equal is None else not equal
    mine = _number(value) if any(n in kind for n in _NUMBERS) else None
    cut = next((i for i, t in enumerate(rest) if t.word == "AND"), len(rest))
    bounds = [b for part in (rest[:cut], rest[cut + 1 :]) if (b := _number(_literal(part))) is not None]
    if mine is None or len(bounds) != 1 + (operator == "BETWEEN"):
        return None
    orders = {"<": mine < bounds[0], ">": mine > bounds[0], "<=": mine <= bounds[0], ">=": mine >= bounds[0]}
    return bounds[0] <= mine <= bounds[1] if operator == "BETWEEN" else orders.get(operator)


def _equals(value: str, tokens: Sequence[Token], kind: str) -> bool | None:
    literal = _literal(tokens)
    return None if literal is None else same(value, literal, kind)


def assigned(case: Case, statement: str, column: str) -> str | None:
    """The literal that a plain UPDATE gives a column, ``NULL`` for that; None: no literal, or it cannot be told."""
    tokens = [t for t in code(statement, case.trial.engine) if t.word != ";"]
    for i in top(tokens, 0, len(tokens)):
        if tokens[i].word == "=" and tokens[i - 1].name.lower() == column.lower():
            behind = next((j for j in range(i, len(tokens)) if tokens[j].word in (",", "WHERE", "FROM")), len(tokens))
            value = tokens[i + 1 : behind]
            return "NULL" if [t.word for t in value] == ["NULL"] else _literal(value)
        if tokens[i].word == "WHERE":
            break
    return None


def _literal(tokens: Sequence[Token]) -> str | None:
    sign = "-" if len(tokens) == 2 and tokens[0].word == "-" else ""
    if len(tokens) != 1 + bool(sign):
        return None
    text = tokens[-1].value
    return f"{sign}{text}" if tokens[-1].kind == STRING or _number(text) is not None else None


def _number(text: str | None) -> Decimal | None:
    try:
        found = Decimal(text) if text is not None and text.isascii() else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None


def same(one: str, other: str, kind: str) -> bool | None:
    """Whether two forms are one value to an engine, in a column of the type ``kind``."""
    texts, numbers = any(t in kind for t in ("char", "text")), any(n in kind for n in _NUMBERS)
    if not (texts or numbers or kind == "uuid"):
        return None
    if one == other:
        return True
    a, b = _number(one), _number(other)
    if numbers or (a is not None and b is not None):
        return None if a is None or b is None or (texts and a == b) else a == b
    if a is not None or b is not None or not all(s.isascii() and s.isprintable() for s in (one, other)):
        return None
    return None if _loose(one) == _loose(other) else False


def _loose(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


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
