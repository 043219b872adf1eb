"""Reading statements that define: CREATE, ALTER, DROP, RENAME, COMMENT, GRANT."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.sql.alter import alter_table
from seatrial.sql.columns import column, elements, is_rule, rule
from seatrial.sql.cursor import Cursor, Name, find, name_of
from seatrial.sql.effects import Effect, Rule, Span, Verb
from seatrial.sql.options import table_options
from seatrial.sql.tokens import words

KINDS = (
    ("MATERIALIZED", "VIEW"),
    ("EVENT", "TRIGGER"),
    ("FOREIGN", "TABLE"),
    ("FOREIGN", "DATA", "WRAPPER"),
    ("TEXT", "SEARCH", "CONFIGURATION"),
    ("TEXT", "SEARCH", "DICTIONARY"),
    *(
        (k,)
        for k in sorted(
            words(
                "TABLE INDEX VIEW TRIGGER FUNCTION PROCEDURE AGGREGATE ROUTINE SEQUENCE TYPE DOMAIN EXTENSION POLICY "
                "RULE STATISTICS SCHEMA EVENT PUBLICATION SUBSCRIPTION ROLE USER DATABASE COLLATION CAST OPERATOR "
                "LANGUAGE SERVER CONVERSION TRANSFORM COLUMN CONSTRAINT TABLESPACE PACKAGE GROUP SYSTEM LARGE ACCESS "
                "DEFAULT"
            )
        )
    ),
)
_CREATE_WORDS = words(
    "OR REPLACE GLOBAL LOCAL TEMP TEMPORARY UNLOGGED UNIQUE FULLTEXT SPATIAL VIRTUAL RECURSIVE TRUSTED CONSTRAINT "
    "AGGREGATE ONLINE OFFLINE IGNORE"
)


def kind_at(cursor: Cursor) -> str:
    """Go past the kind of object that a statement is about: "table", "materialized view"."""
    for kind in KINDS:
        if cursor.accept(*kind):
            return " ".join(kind).lower()
    return ""


def create(cursor: Cursor) -> Iterator[Effect]:
    """Behind CREATE."""
    flags = create_flags(cursor)
    kind = kind_at(cursor)
    if kind in ("table", "foreign table"):
        yield _create_table(cursor, flags)
        return
    cursor.skip_any("CONCURRENTLY")
    cursor.if_exists()
    if kind == "index":
        yield from _create_index(cursor, unique="UNIQUE" in flags)
    elif kind == "schema":
        yield from _object(kind, cursor.name())
    elif kind in ("trigger", "policy", "rule"):
        yield from _create_on_table(cursor, kind)
    else:
        yield from _object(kind, cursor.name())


def create_flags(cursor: Cursor) -> set[str]:
    """Go past what stands between CREATE or ALTER and the kind of object; returns these words in capitals."""
    flags = set()
    while not cursor.done:
        if cursor.word() in _CREATE_WORDS and not (cursor.at("AGGREGATE") and cursor.word(1) != "FUNCTION"):
            flags.add(cursor.word())
            cursor.index += 1
        elif cursor.accept("DEFINER", "="):
            cursor.index += 1
            if cursor.accept("@") or (cursor.token is not None and cursor.token.kind == "variable"):
                cursor.index += 1
            cursor.accept("(", ")")
        elif cursor.accept("ALGORITHM", "="):
            cursor.index += 1
        elif not cursor.accept("SQL", "SECURITY", "DEFINER") and not cursor.accept("SQL", "SECURITY", "INVOKER"):
            break
    return flags


def _object(kind: str, name: Name | None, table: Name | None = None) -> Iterator[Effect]:
    if name is not None:
        yield Effect(verb=Verb.OBJECT, kind=kind, new=name.name, other=name, table=table)


def _create_index(cursor: Cursor, *, unique: bool) -> Iterator[Effect]:
    name = cursor.name() if not cursor.at("ON") else None
    cursor.if_exists()
    if cursor.accept("USING"):
        cursor.index += 1
    cursor.accept("ON")
    cursor.accept("ONLY")
    table = cursor.name()
    if cursor.accept("USING"):
        cursor.index += 1
    columns = cursor.columns()
    if table is None:
        return
    if name is not None:
        yield from _object("index", name, table)
    if unique:
        added = Rule(name=name.name if name else "", type="unique", columns=columns)
        yield Effect(verb=Verb.RULE, table=table, rule=added)
    if name is None:
        yield Effect(verb=Verb.OPTIONS, table=table)


def _create_on_table(cursor: Cursor, kind: str) -> Iterator[Effect]:
    """``TRIGGER name ... ON table``, ``POLICY name ON table``, ``RULE name AS ON event TO table``."""
    name = cursor.name()
    marks = ("TO",) if kind == "rule" else ("ON",)
    cursor.index = find(cursor.tokens, cursor.index, cursor.stop, *marks) + 1
    table = cursor.name()
    yield from _object(kind, name, table)


def _create_table(cursor: Cursor, flags: set[str]) -> Effect:
    guarded = cursor.at("IF", "NOT", "EXISTS")
    cursor.if_exists()
    table = cursor.name()
    other, definitions, rules = None, [], []
    kind = ""
    if cursor.accept("PARTITION", "OF"):
        other, kind = cursor.name(), "partition"
    elif cursor.accept("LIKE"):
        other, kind = cursor.name(), "like"
    if cursor.at("(") and cursor.word(1) not in ("SELECT", "WITH", "VALUES"):
        for element in elements(cursor):
            if element.accept("LIKE"):
                other, kind = element.name(), "like"
            elif is_rule(element):
                found, index = rule(element)
                rules += [found or Rule(name=index, type="index")]
            elif (definition := column(element)) is not None:
                definitions.append(definition)
    states, parent = table_options(cursor)
    query = _query(cursor)
    return Effect(
        verb=Verb.CREATE_TABLE,
        table=table,
        other=other or parent,
        kind=kind or ("inherits" if parent else ""),
        definitions=tuple(definitions),
        rules=tuple(rules),
        states=states | {said for flag, said in (("UNLOGGED", "persistence"), ("VIRTUAL", "virtual")) if flag in flags},
        whole=bool(query),
        temporary=bool(flags & {"TEMP", "TEMPORARY"}),
        guarded=guarded,
        query=query,
    )


def _query(cursor: Cursor) -> Span:
    cursor.skip_any("AS", "IGNORE", "REPLACE")
    return (
        Span(cursor.index, cursor.stop) if cursor.word() in ("SELECT", "WITH", "VALUES", "(", "TABLE") else Span(0, 0)
    )


def drop(cursor: Cursor) -> Iterator[Effect]:
    """Behind DROP."""
    cursor.skip_any("TEMPORARY", "ONLINE", "OFFLINE", "AGGREGATE")
    kind = kind_at(cursor)
    cursor.skip_any("CONCURRENTLY")
    cursor.if_exists()
    for name in cursor.names():
        if kind in ("table", "foreign table"):
            yield Effect(verb=Verb.DROP_TABLE, table=name)
            continue
        if cursor.at("("):
            cursor.brackets()  # a function's argument types
        table = cursor.name() if cursor.accept("ON") else None
        yield from _object(kind, name, table)
    return


def alter(cursor: Cursor) -> Iterator[Effect]:
    """Behind ALTER."""
    create_flags(cursor)
    kind = kind_at(cursor)
    cursor.if_exists()
    if kind in ("table", "foreign table"):
        yield from alter_table(cursor)
        return
    if kind == "default":
        yield Effect(verb=Verb.GRANT)  # DEFAULT PRIVILEGES
        return
    name = cursor.name()
    if cursor.at("("):
        cursor.brackets()
    table = cursor.name() if cursor.accept("ON") else None
    yield from _object(kind, name, table)
    if kind == "schema" and cursor.accept("RENAME", "TO") and name is not None:
        yield Effect(verb=Verb.OBJECT, kind="renamed schema", new=name.name, other=cursor.name())
    elif name is not None and cursor.accept("RENAME", "TO"):
        new = cursor.name()
        yield from _object(kind, new, table)
        yield Effect(verb=Verb.OBJECT, kind=f"renamed {kind}", new=name.name, other=new)
    elif name is not None and cursor.accept("SET", "SCHEMA"):
        schema = cursor.name()
        yield from _object(kind, schema, table)
        yield Effect(verb=Verb.OBJECT, kind=f"renamed {kind}", new=name.name)
        yield Effect(verb=Verb.OBJECT, kind="moved", new=name.qualifier, other=schema)
    elif kind in ("type", "domain") and name is not None:
        yield Effect(verb=Verb.OBJECT, kind=f"altered {kind}", new=name.name)
        yield from _renamed_part(cursor)
    elif kind == "database" and cursor.accept("SET"):
        yield Effect(verb=Verb.OPTIONS)


def _renamed_part(cursor: Cursor) -> Iterator[Effect]:
    """Behind ALTER TYPE name: ``RENAME VALUE 'a' TO 'b'``, ``RENAME ATTRIBUTE a TO b``."""
    if not cursor.accept("RENAME") or not cursor.accept_any("VALUE", "ATTRIBUTE") or cursor.token is None:
        return
    old, cursor.index = name_of(cursor.token), cursor.index + 1
    if cursor.accept("TO") and cursor.token is not None:
        yield Effect(verb=Verb.OBJECT, kind="renamed part", new=old, other=Name("", name_of(cursor.token)))


def rename(cursor: Cursor) -> Iterator[Effect]:
    """Behind RENAME: MySQL's ``TABLE a TO b, c TO d``; the renames run from left to right."""
    if cursor.accept_any("TABLE", "TABLES"):
        cursor.if_exists()
        while (old := cursor.name()) is not None:
            if cursor.accept_any("WAIT", "NOWAIT") == "WAIT":
                cursor.index += 1
            cursor.accept("TO")
            yield Effect(verb=Verb.RENAME_TABLE, table=old, other=cursor.name())
            if not cursor.accept(","):
                return


def comment(cursor: Cursor) -> Iterator[Effect]:
    """Behind COMMENT ON."""
    cursor.accept("ON")
    kind = kind_at(cursor)
    name = cursor.name()
    if name is None:
        return
    if kind in ("table", "foreign table"):
        yield Effect(verb=Verb.OPTIONS, table=name, states=frozenset({"comment"}))
    elif kind == "column":
        table = _owner(name)
        states = frozenset({"comment"})
        yield Effect(verb=Verb.REDEFINE, table=table, column=name.name, states=states)
    else:
        if cursor.at("("):
            cursor.brackets()
        table_named = cursor.name() if cursor.accept("ON") else None
        if kind == "constraint" and table_named is not None:
            yield Effect(verb=Verb.RULE, table=table_named, rule=Rule(name=name.name))
        yield from _object(kind, name, table_named)


def _owner(column_name: Name) -> Name:
    """``t`` in ``t.c``."""
    return Name("", column_name.qualifier, column_name.first, column_name.last - 2)


def maintain(cursor: Cursor) -> Iterator[Effect]:
    """Behind LOCK, ANALYZE, VACUUM, CLUSTER, OPTIMIZE ...: they name tables and leave their rows alone."""
    cursor.skip_any("NO_WRITE_TO_BINLOG", "LOCAL", "FULL", "FREEZE", "VERBOSE", "ANALYZE")
    if cursor.at("("):
        cursor.brackets()
    cursor.skip_any("TABLE", "TABLES", "ONLY")
    while (name := cursor.name()) is not None:
        chosen = {"cluster"} if cursor.word() == "USING" else set()  # CLUSTER t USING its_index
        yield Effect(verb=Verb.OPTIONS, table=name, states=frozenset(chosen))
        cursor.index = find(cursor.tokens, cursor.index, cursor.stop, ",")
        if not cursor.accept(","):
            return


def refresh(cursor: Cursor) -> Iterator[Effect]:
    """Behind REFRESH and REINDEX."""
    kind = kind_at(cursor)
    cursor.skip_any("CONCURRENTLY")
    name = cursor.name()
    if kind == "table" and name is not None:
        yield Effect(verb=Verb.OPTIONS, table=name)
    else:
        yield from _object(kind, name)


def grant(cursor: Cursor) -> Iterator[Effect]:
    """Behind GRANT or REVOKE: the tables or other objects that privileges are about."""
    on = find(cursor.tokens, cursor.index, cursor.stop, "ON")
    if on == cursor.stop:
        return
    cursor.index = on + 1
    if cursor.at("ALL"):
        schema = find(cursor.tokens, cursor.index, cursor.stop, "SCHEMA") + 1
        cursor.index = schema
        yield from (Effect(verb=Verb.GRANT, kind="all in schema", new=n.name) for n in cursor.names())
        return
    kind = kind_at(cursor) or "table"
    for name in cursor.names():
        if cursor.at("("):
            cursor.brackets()
        yield Effect(verb=Verb.GRANT, kind=kind, new=name.name, table=name if kind == "table" else None)
