"""What a statement that declares a rule asks of the rows that are stored already. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from seatrial.model import Attributes, ObjectKey, Schema, TableRef
from seatrial.sql.batches import render
from seatrial.sql.columns import is_rule
from seatrial.sql.cursor import Cursor, Name, Tokens, find, items, top
from seatrial.sql.ddl import create_flags, kind_at
from seatrial.sql.effects import Effect, Verb
from seatrial.sql.remedy import quoted
from seatrial.sql.statement import parse
from seatrial.sql.tokens import code
from seatrial.values import dataclass

_KINDS = {
    "not null": ("NULL",),
    "unique": ("UNIQUE", "DUPLICATE"),
    "check": ("CHECK",),
    "foreign key": ("FOREIGN KEY",),
}
"""What engines call them in a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """``columns``: the plain ones, by their raw names. ``terms``: of a key, as it is written, expressions too."""

    kind: str  # "not null" | "unique" | "check" | "foreign key"
    table: TableRef
    columns: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    condition: str = ""  # of a check, or of the rows that a partial index holds
    parent: TableRef | None = None
    referenced: tuple[str, ...] = ()  # empty: the parent's key
    name: str = ""
    type: str = ""  # that the column is given anew
    new: bool = False  # the column is added, without a value for the rows that are there


def refused(statement: str, earlier: Sequence[str], message: str, schema: Schema, dialect: str) -> list[Demand]:
    """What the rows do not meet, where a refused statement asks it of stored rows; empty where that cannot be told.

    ``earlier``: what ran before it, for the definition of a table that rows are copied into. ``schema``: before up.
    """
    cursor = Cursor(code(statement, dialect), dialect)
    if cursor.accept("CREATE"):
        return [_resolved(d, schema) for d in _created(cursor)]
    if not cursor.accept("ALTER"):
        copied = _copied(statement, earlier, schema, dialect)
        return [copied[d] for d in _named(list(copied), message)]
    found = [d for d in (_resolved(d, schema) for d in _altered(cursor, schema)) if not _stood(d, schema)]
    alone = len(items(cursor.tokens, 0, cursor.stop)) == 1  # nothing else in it can be what is refused
    return found if len(found) == 1 and alone else _named(found, message)


def _resolved(demand: Demand, schema: Schema) -> Demand:
    """With the tables as the schema knows them: a name may come without its namespace, or with the usual one."""
    table, parent = _there(demand.table, schema), demand.parent and _there(demand.parent, schema)
    return replace(demand, table=table or demand.table, parent=parent or demand.parent)


def _there(table: TableRef, schema: Schema) -> TableRef | None:
    tables = schema.tables()
    alike = [t for t in tables if t.name.casefold() == table.name.casefold()]
    return table if table in tables else alike[0] if len(alike) == 1 else None


def _named(found: Sequence[Demand], message: str) -> list[Demand]:
    """Those that the message speaks of, by kind and by name; of these the widest."""
    said = message.upper()
    kinds = [k for k, names in _KINDS.items() if any(n in said for n in names)]
    alike = [d for d in found if d.kind in kinds or not kinds]
    exact = [d for d in alike if (d.name and d.name.upper() in said) or _tells(d, said)]
    widest = max((len(d.columns) for d in exact), default=0)
    return [d for d in exact if len(d.columns) == widest] or (alike if kinds and len(alike) == 1 else [])


def _tells(demand: Demand, said: str) -> bool:
    if demand.kind == "check":
        return demand.condition.upper() in said
    named = [re.search(rf"[.\"'`]{re.escape(c.upper())}(?!\w)", said) for c in demand.columns]
    return bool(named) and all(named)


def _stood(demand: Demand, schema: Schema) -> bool:
    """NOT NULL that was there before is not what is refused; nor need it be where a type is given anew."""
    known = schema.columns(demand.table).get(demand.columns[0], {}) if demand.columns else {}
    if demand.kind != "not null" or not known:
        return False
    was, now = (t.lower().replace(" ", "").replace("integer", "int") for t in (str(known.get("type")), demand.type))
    return known.get("nullable") is False or not was.startswith(now)


# --- reading ---


def _created(cursor: Cursor) -> Iterator[Demand]:
    """A unique index."""
    flags = create_flags(cursor)
    if kind_at(cursor) != "index" or "UNIQUE" not in flags:
        return
    cursor.skip_any("CONCURRENTLY")
    cursor.if_exists()
    name = cursor.name() if not cursor.at("ON") else None
    cursor.index = find(cursor.tokens, cursor.index, cursor.stop, "ON")
    cursor.accept("ON")
    cursor.accept("ONLY")
    if (table := cursor.name()) is not None:
        cursor.index = find(cursor.tokens, cursor.index, cursor.stop, "(")
        found = _key(cursor, TableRef(table.qualifier, table.name), name.name if name else "")
        where = find(cursor.tokens, cursor.index, cursor.stop, "WHERE")
        end = find(cursor.tokens, where, cursor.stop, ";")
        yield replace(found, condition=render(cursor.tokens[where + 1 : end]))


def _altered(cursor: Cursor, schema: Schema) -> Iterator[Demand]:
    cursor.skip_any("ONLINE", "IGNORE")
    if not cursor.accept("TABLE"):
        return
    cursor.if_exists()
    cursor.accept("ONLY")
    name = cursor.name()
    end = find(cursor.tokens, cursor.index, cursor.stop, ";")
    for first, last in items(cursor.tokens, cursor.index, end) if name else ():
        part = Cursor(cursor.tokens, cursor.dialect, first, last)
        yield from _action(part, TableRef(name.qualifier, name.name) if name else TableRef("", ""), schema)


def _action(cursor: Cursor, table: TableRef, schema: Schema) -> Iterator[Demand]:
    word = cursor.accept_any("ADD", "ALTER", "MODIFY", "CHANGE", "VALIDATE")
    if word == "ADD" and is_rule(cursor):
        yield from _rule(cursor, table)
    elif word == "ADD":
        cursor.accept("COLUMN")
        cursor.if_exists()
        given = any(t.word in ("DEFAULT", "GENERATED", "AS") for t in cursor.tokens[cursor.index : cursor.stop])
        asked = (d for d in _column(cursor, table) if d.kind == "not null" and not given)
        yield from (replace(d, new=True) for d in asked)
    elif word == "ALTER":
        cursor.accept("COLUMN")
        column = cursor.identifier()
        if cursor.at("SET", "NOT", "NULL"):
            yield Demand(kind="not null", table=table, columns=(column,))
    elif word in ("MODIFY", "CHANGE"):
        cursor.accept("COLUMN")
        cursor.if_exists()
        old = cursor.identifier() if word == "CHANGE" else ""
        yield from (replace(d, columns=(old,)) if old else d for d in _column(cursor, table) if d.kind == "not null")
    elif word == "VALIDATE" and cursor.accept("CONSTRAINT"):
        name = cursor.identifier()
        held = ((k, a) for k, a in schema.items() if k.owner == table and k.name == name)
        yield from (d for k, a in held for d in _declared(k, a, schema))


def _declared(key: ObjectKey, attributes: Attributes, schema: Schema) -> Iterator[Demand]:
    """A constraint that the schema has."""
    kind, columns = str(attributes.get("type") or key.kind), attributes.get("columns")
    parent = next((t for t in schema.tables() if str(t) == attributes.get("references")), None)
    if key.owner is not None and kind in ("check", "foreign key"):
        yield Demand(
            kind=kind,
            table=key.owner,
            columns=tuple(columns) if isinstance(columns, tuple) else (),
            condition=str(attributes.get("expression") or ""),
            parent=parent,
            referenced=_names(attributes.get("referenced_columns")),
            name=key.name,
        )


def _names(value: object) -> tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, tuple) else ()


def _rule(cursor: Cursor, table: TableRef) -> Iterator[Demand]:
    """A constraint as it stands in ADD, or among a table's elements."""
    name = ""
    if cursor.accept("CONSTRAINT"):
        cursor.if_exists()
        name = cursor.identifier() if cursor.word() not in ("CHECK", "UNIQUE", "PRIMARY", "FOREIGN", "NOT") else ""
    if cursor.accept("NOT", "NULL"):
        yield Demand(kind="not null", table=table, columns=(cursor.identifier(),), name=name)
    elif cursor.accept("CHECK"):
        yield _check(cursor, table, name)
    elif cursor.accept("FOREIGN", "KEY"):
        cursor.index = find(cursor.tokens, cursor.index, cursor.stop, "(")
        columns = cursor.columns()
        if cursor.accept("REFERENCES"):
            yield _reference(cursor, table, columns, name)
    elif word := cursor.accept_any("PRIMARY", "UNIQUE"):
        cursor.index = find(cursor.tokens, cursor.index, cursor.stop, "(")
        found = _key(cursor, table, name)
        yield found
        yield from (Demand(kind="not null", table=table, columns=(c,)) for c in found.columns if word == "PRIMARY")


def _check(cursor: Cursor, table: TableRef, name: str) -> Demand:
    first, last = cursor.brackets()
    inner = cursor.tokens[first:last]
    columns = tuple(dict.fromkeys(t.name for t in inner if t.name))
    return Demand(kind="check", table=table, columns=columns, condition=render(inner), name=name)


def _reference(cursor: Cursor, table: TableRef, columns: tuple[str, ...], name: str) -> Demand:
    parent = cursor.name() or Name("", "")
    there = TableRef(parent.qualifier, parent.name)
    return Demand(
        kind="foreign key", table=table, columns=columns, parent=there, referenced=cursor.columns(), name=name
    )


_BEHIND_TERM = ("ASC", "DESC", "NULLS", "WITH")


def _key(cursor: Cursor, table: TableRef, name: str) -> Demand:
    """What stands between the brackets of a key; ``v(10)`` is MySQL's key over a text's beginning."""
    first, last = cursor.brackets()
    terms, columns, tokens = [], [], cursor.tokens
    for a, b in items(tokens, first, last):
        b = find(tokens, a, b, *_BEHIND_TERM)
        b -= _ends_in_class(tokens[a:b])
        prefix = b - a == 4 and tokens[a + 1].word == "(" and tokens[a + 2].text.isdigit()
        here = Cursor(tokens, cursor.dialect, a, b)
        plain = here.identifier() if b - a == 1 or prefix else ""
        columns += [plain] if plain else []
        said = quoted(plain, cursor.dialect) if plain else render(tokens[a:b])
        terms.append(f"left({said}, {tokens[a + 2].text})" if prefix else said)
    return Demand(kind="unique", table=table, columns=tuple(columns), terms=tuple(terms), name=name)


def _ends_in_class(term: Tokens) -> bool:
    """``v text_pattern_ops``: PostgreSQL's operator class is no part of the expression."""
    if len(term) < 2 or not term[-1].name or term[-2].word == "COLLATE":
        return False
    return bool(term[-2].name) or term[-2].word == ")"


def _column(cursor: Cursor, table: TableRef) -> Iterator[Demand]:
    """What a column's definition asks."""
    name = cursor.identifier()
    places = list(top(cursor.tokens, cursor.index, cursor.stop))
    first = next((i for i in places if cursor.tokens[i].word in ("NOT", "NULL", "DEFAULT", "CONSTRAINT")), cursor.stop)
    kind = render(cursor.tokens[cursor.index : first])
    for i in places:
        here = Cursor(cursor.tokens, cursor.dialect, i, cursor.stop)
        if here.at("NOT", "NULL"):
            yield Demand(kind="not null", table=table, columns=(name,), type=kind)
        elif here.at("UNIQUE") or here.at("PRIMARY"):
            yield Demand(kind="unique", table=table, columns=(name,), terms=(quoted(name, cursor.dialect),))
        elif here.accept("CHECK"):
            yield _check(here, table, "")
        elif here.accept("REFERENCES"):
            yield _reference(here, table, (name,), "")


# --- rows that are copied into a table ---


def _copied(statement: str, earlier: Sequence[str], schema: Schema, dialect: str) -> dict[Demand, Demand]:
    """What the new table asks of its rows -> what that is of the table that they come from.

    Only where each column comes from one of its own.
    """
    parsed = parse(statement, dialect)
    effect = next((e for e in parsed.effects if e.verb is Verb.INSERT and e.table), None)
    source = _source(parsed.tokens, effect, dialect) if effect else None
    there = source and _there(source, schema)
    if effect is None or effect.table is None or not there:
        return {}
    elements = list(_elements(effect.table, earlier, dialect))
    columns = [n for n, _ in elements if n]
    taken = _taken(parsed.tokens, effect, columns, dialect)
    asked = (replace(d, columns=tuple(c for c in d.columns if c in columns)) for _, found in elements for d in found)
    return {
        d: _translated(replace(d, table=there), taken, dialect)
        for d in asked
        if d.columns and _is_taken(d, taken) and not _held(d, taken, there, schema)
    }


def _is_taken(demand: Demand, taken: dict[str, str]) -> bool:
    """A check's text names the columns: it is that of the old table where they have the same names there."""
    same = demand.kind != "check" or all(taken.get(c) == c for c in demand.columns)
    return same and set(demand.columns) <= set(taken)


def _source(tokens: Tokens, effect: Effect, dialect: str) -> TableRef | None:
    """The one table that a query without conditions reads."""
    at = find(tokens, effect.query.first, effect.query.last, "FROM")
    cursor = Cursor(tokens, dialect, at + 1, effect.query.last)
    name = cursor.name()
    return TableRef(name.qualifier, name.name) if name and (cursor.done or cursor.at(";")) else None


def _elements(table: Name, earlier: Sequence[str], dialect: str) -> Iterator[tuple[str, list[Demand]]]:
    """The table's columns, by name, and its constraints, from the CREATE TABLE of the same step."""
    for text in reversed(earlier):
        cursor = Cursor(code(text, dialect), dialect)
        if not cursor.accept("CREATE") or create_flags(cursor) is None or kind_at(cursor) != "table":
            continue
        cursor.if_exists()
        name = cursor.name()
        if name is None or name.name != table.name or not cursor.at("("):
            continue
        for first, last in items(cursor.tokens, *cursor.brackets()):
            here = Cursor(cursor.tokens, dialect, first, last)
            rule, ref = is_rule(here), TableRef(name.qualifier, name.name)
            column = "" if rule else Cursor(cursor.tokens, dialect, first, last).identifier()
            yield column, list(_rule(here, ref) if rule else _column(here, ref))
        return


def _taken(tokens: Tokens, effect: Effect, columns: Sequence[str], dialect: str) -> dict[str, str]:
    """Column of the new table -> the column that it takes."""
    found: dict[str, str] = {}
    for number, value in enumerate(effect.values):
        given = tokens[value.value.first : value.value.last]
        name = value.columns[0]
        if render(given) == "*":
            return {c: c for c in effect.columns or columns}
        name = columns[number] if name.startswith("#") and number < len(columns) else name
        own = Cursor(given, dialect).name()
        if own is not None and own.last == len(given) - 1:
            found[name] = own.name
    return found


def _held(demand: Demand, taken: dict[str, str], source: TableRef, schema: Schema) -> bool:
    """Whether the old table had asked for it already."""
    if demand.kind != "not null":
        return False
    return schema.columns(source).get(taken[demand.columns[0]], {}).get("nullable") is False


def _translated(demand: Demand, taken: dict[str, str], dialect: str) -> Demand:
    """With the names that the columns have where their rows stand."""
    columns = tuple(taken[c] for c in demand.columns)
    terms = tuple(quoted(c, dialect) for c in columns) if demand.terms else ()
    return replace(demand, columns=columns, terms=terms)
