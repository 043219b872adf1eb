"""Reading statements that define: CREATE, ALTER, DROP, RENAME, COMMENT, GRANT."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from seatrial.sql.columns import INDEXES, column, elements, is_rule, rule, type_states
from seatrial.sql.cursor import Cursor, Name, find, items, top
from seatrial.sql.effects import ColumnDef, Effect, Rule, Span, Verb
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
OPTIONS = {
    "ENGINE": "engine",
    "COMMENT": "comment",
    "ROW_FORMAT": "row_format",
    "AUTO_INCREMENT": "auto_increment",
    "COLLATE": "collation",
    "CHARSET": "charset",
    "TABLESPACE": "tablespace",
    "STRICT": "strict",
    "OWNER": "owner",
    "CLUSTER": "cluster",
    "PARTITION": "partition_key",
}


def kind_at(cursor: Cursor) -> str:
    """Go past the kind of object that a statement is about: "table", "materialized view"."""
    for kind in KINDS:
        if cursor.accept(*kind):
            return " ".join(kind).lower()
    return ""


def create(cursor: Cursor) -> Iterator[Effect]:
    """Behind CREATE."""
    flags = _create_flags(cursor)
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


def _create_flags(cursor: Cursor) -> set[str]:
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
    states, parent = _table_options(cursor)
    query = _query(cursor)
    return Effect(
        verb=Verb.CREATE_TABLE,
        table=table,
        other=other or parent,
        kind=kind or ("inherits" if parent else ""),
        definitions=tuple(definitions),
        rules=tuple(rules),
        states=states | ({"persistence"} if "UNLOGGED" in flags else set()),
        whole=bool(query),
        temporary=bool(flags & {"TEMP", "TEMPORARY"}),
        guarded=guarded,
        query=query,
    )


def _table_options(cursor: Cursor) -> tuple[frozenset[str], Name | None]:
    states: set[str] = set()
    parent = None
    while (not cursor.done and cursor.word() not in ("AS", "SELECT", "WITH", "VALUES")) or cursor.at("WITH", "("):
        word = cursor.word()
        if cursor.accept("INHERITS"):
            parent = next((e.name() for e in elements(cursor)), None)
            continue
        if word == "(":
            cursor.brackets()
            continue
        states |= _option(cursor)
        cursor.index += 1
    return frozenset(states), parent


def _option(cursor: Cursor) -> set[str]:
    """What the word here says about the table."""
    word = cursor.word()
    if cursor.at("REMOVE", "PARTITIONING"):
        return {"partition_key"}
    if cursor.at("CHARACTER", "SET"):
        return {"charset", "collation"}
    if cursor.at("WITHOUT", "ROWID"):
        return {"without_rowid", "options"}
    if cursor.at("WITH", "(") or (word == "SET" and cursor.word(1) == "("):
        return {"options"}
    if cursor.at("SYSTEM", "VERSIONING"):
        return {"system_versioned"}
    if cursor.at("REPLICA", "IDENTITY"):
        return {"replica_identity"}
    if word in OPTIONS:
        name = OPTIONS[word]
        return {name, "options"} | ({"collation"} if name == "charset" else set())
    return {"options", word.lower()} if cursor.word(1) == "=" else set()


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
    cursor.skip_any("ONLINE", "OFFLINE", "IGNORE")
    kind = kind_at(cursor)
    cursor.if_exists()
    if kind in ("table", "foreign table"):
        yield from _alter_table(cursor)
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
    elif (cursor.accept("RENAME", "TO") or cursor.accept("SET", "SCHEMA")) and name is not None:
        yield from _object(kind, cursor.name(), table)
        if kind in ("view", "materialized view", "sequence", "type", "domain"):
            yield Effect(verb=Verb.OBJECT, kind=f"renamed {kind}", new=name.name)
    elif kind in ("type", "domain") and name is not None:
        yield Effect(verb=Verb.OBJECT, kind=f"altered {kind}", new=name.name)
    elif kind == "database" and cursor.accept("SET"):
        yield Effect(verb=Verb.OPTIONS)


def _alter_table(cursor: Cursor) -> Iterator[Effect]:
    cursor.accept("ONLY")
    table = cursor.name()
    cursor.accept("*")
    if table is None:
        return
    parts = items(cursor.tokens, cursor.index, cursor.stop)
    if not parts:
        yield Effect(verb=Verb.OPTIONS, table=table)
    for first, last in parts:
        yield from _action(Cursor(cursor.tokens, cursor.dialect, first, last), table)


def _action(cursor: Cursor, table: Name) -> Iterator[Effect]:
    word = cursor.word()
    reader = _ACTIONS.get(word)
    if reader is None or (word == "COMMENT" and cursor.at("COMMENT", "ON")):
        yield from _options(cursor, table)
        return
    cursor.index += 1
    yield from reader(cursor, table)


def _add(cursor: Cursor, table: Name) -> Iterator[Effect]:
    if cursor.at("PARTITION") or cursor.at("SYSTEM", "VERSIONING") or cursor.at("PERIOD", "FOR"):
        yield from _options(cursor, table)
        return
    explicit = cursor.accept("COLUMN")
    guarded = cursor.at("IF", "NOT", "EXISTS")
    cursor.if_exists()
    if not explicit and is_rule(cursor):
        yield from _add_rule(cursor, table)
        return
    many = elements(cursor) if cursor.at("(") else [cursor]
    for element in many:
        if (definition := column(element)) is not None:
            yield from _added(table, definition, guarded=guarded)


def _added(table: Name, definition: ColumnDef, *, guarded: bool = False) -> Iterator[Effect]:
    yield Effect(verb=Verb.ADD_COLUMN, table=table, column=definition.name, definition=definition, guarded=guarded)
    for found in definition.rules:
        yield Effect(verb=Verb.RULE, table=table, rule=found)


def _add_rule(cursor: Cursor, table: Name) -> Iterator[Effect]:
    found, index = rule(cursor)
    if found is not None:
        yield Effect(verb=Verb.RULE, table=table, rule=found)
    if index:
        yield Effect(verb=Verb.OBJECT, kind="index", new=index, table=table)
    elif found is None:
        yield Effect(verb=Verb.OPTIONS, table=table)


def _drop_part(cursor: Cursor, table: Name) -> Iterator[Effect]:
    if cursor.accept("PRIMARY", "KEY"):
        yield Effect(verb=Verb.RULE, table=table, rule=Rule(name="PRIMARY", type="primary key", dropped=True))
        return
    kind = ""
    if cursor.accept("FOREIGN", "KEY"):
        kind = "foreign key"
    elif (
        cursor.word() in ("CONSTRAINT", "CHECK", "PARTITION", "SYSTEM", "PERIOD", *INDEXES)
        and cursor.index + 1 < cursor.stop
    ):
        kind = cursor.word().lower()
        cursor.index += 1
    if kind in ("partition", "system", "period"):
        said = {"partition_key", "options"} if kind == "partition" else {"system_versioned"}
        yield Effect(verb=Verb.OPTIONS, table=table, states=frozenset(said))
        return
    if not kind:
        cursor.accept("COLUMN")
    cursor.if_exists()
    name = cursor.identifier()
    if not kind:
        yield Effect(verb=Verb.DROP_COLUMN, table=table, column=name)
        return
    yield Effect(verb=Verb.RULE, table=table, rule=Rule(name=name, dropped=True))
    if kind in ("index", "key", "constraint"):
        yield Effect(verb=Verb.OBJECT, kind="index", new=name, table=table)


def _alter_part(cursor: Cursor, table: Name) -> Iterator[Effect]:
    if cursor.word() in ("CONSTRAINT", "CHECK") and cursor.word(1) not in ("SET", "DROP", "TYPE", "ADD"):
        cursor.index += 1
        yield Effect(verb=Verb.RULE, table=table, rule=Rule(name=cursor.identifier()))
        return
    if cursor.at("INDEX"):
        cursor.index += 1
        yield Effect(verb=Verb.OBJECT, kind="index", new=cursor.identifier(), table=table)
        return
    cursor.accept("COLUMN")
    cursor.if_exists()
    name = cursor.identifier()
    states, definition = _column_change(cursor, name)
    yield Effect(verb=Verb.REDEFINE, table=table, column=name, states=states, definition=definition)


def _column_change(cursor: Cursor, name: str) -> tuple[frozenset[str], ColumnDef | None]:
    """What ALTER COLUMN says: SET DEFAULT, DROP NOT NULL, TYPE ... name just theirs."""
    if cursor.at("TYPE") or cursor.at("SET", "DATA", "TYPE"):
        cursor.index += 1 if cursor.at("TYPE") else 3
        last = find(cursor.tokens, cursor.index, cursor.stop, "USING", "COLLATE")
        kind = tuple(cursor.tokens[cursor.index : last])
        collates = find(cursor.tokens, cursor.index, cursor.stop, "COLLATE") < cursor.stop
        using = find(cursor.tokens, cursor.index, cursor.stop, "USING")
        value = tuple(cursor.tokens[using + 1 : cursor.stop])
        states = type_states(kind) | ({"collation"} if collates else set())
        return states, ColumnDef(name=name, type=kind, states=states, default=value)
    word, after = cursor.word(), cursor.word(1)
    if word == "ADD":
        return frozenset({"identity", "nullable", "default"}), None
    if word == "RESTART" or (word == "SET" and after in ("GENERATED", "INCREMENT", "CYCLE", "MAXVALUE")):
        return frozenset({"identity"}), None
    named = {"NOT": "nullable", "EXPRESSION": "generated", "VISIBLE": "invisible", "(": "options"}
    state = named.get(after, after.lower())
    extra = {"generated", "default"} if state == "generated" else {"invisible"} if state == "invisible" else set()
    return frozenset({state, *extra}), None


def _modify(cursor: Cursor, table: Name) -> Iterator[Effect]:
    cursor.accept("COLUMN")
    cursor.if_exists()
    if (definition := column(cursor)) is not None:
        yield from _redefined(table, definition.name, definition)


def _change(cursor: Cursor, table: Name) -> Iterator[Effect]:
    cursor.accept("COLUMN")
    cursor.if_exists()
    old = cursor.identifier()
    definition = column(cursor)
    if definition is None:
        return
    yield from _redefined(table, old, definition)
    if definition.name != old:
        yield Effect(verb=Verb.RENAME_COLUMN, table=table, column=old, new=definition.name)


def _redefined(table: Name, name: str, definition: ColumnDef) -> Iterator[Effect]:
    yield Effect(verb=Verb.REDEFINE, table=table, column=name, states=definition.states, definition=definition)
    for found in definition.rules:
        yield Effect(verb=Verb.RULE, table=table, rule=found)


def _rename_part(cursor: Cursor, table: Name) -> Iterator[Effect]:
    kind = cursor.accept_any("COLUMN", "INDEX", "KEY", "CONSTRAINT") if cursor.word(1) not in ("TO", "") else ""
    if kind in ("INDEX", "KEY", "CONSTRAINT"):
        for _ in range(2):
            yield from _renamed(kind, cursor.identifier(), table)
            cursor.accept("TO")
        return
    cursor.if_exists()
    if kind or (cursor.word(1) == "TO" and not cursor.at("TO")):
        old = cursor.identifier()
        cursor.accept("TO")
        yield Effect(verb=Verb.RENAME_COLUMN, table=table, column=old, new=cursor.identifier())
        return
    cursor.accept_any("TO", "AS", "=")
    yield Effect(verb=Verb.RENAME_TABLE, table=table, other=cursor.name())


def _renamed(kind: str, name: str, table: Name) -> Iterator[Effect]:
    if kind != "CONSTRAINT":
        yield Effect(verb=Verb.OBJECT, kind="index", new=name, table=table)
    yield Effect(verb=Verb.RULE, table=table, rule=Rule(name=name))


def _set(cursor: Cursor, table: Name) -> Iterator[Effect]:
    if cursor.accept("SCHEMA"):
        schema = cursor.identifier()
        yield Effect(verb=Verb.RENAME_TABLE, table=table, other=Name(schema, table.name), kind="schema")
        return
    named = {"LOGGED": "persistence", "UNLOGGED": "persistence", "TABLESPACE": "tablespace", "ACCESS": "access_method"}
    yield Effect(verb=Verb.OPTIONS, table=table, states=frozenset({"options", named.get(cursor.word(), "options")}))


def _enable(cursor: Cursor, table: Name) -> Iterator[Effect]:
    """ENABLE, DISABLE, FORCE, NO FORCE: row level security, triggers, rules."""
    cursor.skip_any("ALWAYS", "REPLICA", "FORCE")
    if cursor.at("INHERIT"):
        cursor.index += 1
        yield Effect(verb=Verb.ATTACH, table=table, other=cursor.name())
    elif cursor.at("ROW"):
        yield Effect(verb=Verb.ROW_SECURITY, table=table)
    elif kind := cursor.accept_any("TRIGGER", "RULE").lower():
        everything = cursor.at("ALL") or cursor.at("USER")
        yield Effect(verb=Verb.OBJECT, kind=kind, new="" if everything else cursor.identifier(), table=table)
    else:
        yield Effect(verb=Verb.OPTIONS, table=table)


def _attach(cursor: Cursor, table: Name) -> Iterator[Effect]:
    cursor.accept("PARTITION")
    yield Effect(verb=Verb.ATTACH, table=table, other=cursor.name())


def _inherit(cursor: Cursor, table: Name) -> Iterator[Effect]:
    yield Effect(verb=Verb.ATTACH, table=table, other=cursor.name())


def _validate(cursor: Cursor, table: Name) -> Iterator[Effect]:
    cursor.accept("CONSTRAINT")
    yield Effect(verb=Verb.RULE, table=table, rule=Rule(name=cursor.identifier()))


def _convert(cursor: Cursor, table: Name) -> Iterator[Effect]:
    yield Effect(verb=Verb.CONVERT, table=table, states=frozenset({"charset", "collation"}))


def _options(cursor: Cursor, table: Name) -> Iterator[Effect]:
    if cursor.at("EXCHANGE", "PARTITION"):
        cursor.index = find(cursor.tokens, cursor.index, cursor.stop, "TABLE") + 1
        yield Effect(verb=Verb.ATTACH, table=table, other=cursor.name(), kind="exchange")
        return
    if cursor.at("TRUNCATE", "PARTITION"):
        yield Effect(verb=Verb.TRUNCATE, table=table)
        return
    states: set[str] = set()
    for i in top(cursor.tokens, cursor.index, cursor.stop):
        states |= _option(Cursor(cursor.tokens, cursor.dialect, i, cursor.stop))
    yield Effect(verb=Verb.OPTIONS, table=table, states=frozenset(states))


_ACTIONS: dict[str, Callable[[Cursor, Name], Iterator[Effect]]] = {
    "ADD": _add,
    "DROP": _drop_part,
    "ALTER": _alter_part,
    "MODIFY": _modify,
    "CHANGE": _change,
    "RENAME": _rename_part,
    "SET": _set,
    "RESET": _set,
    "ENABLE": _enable,
    "DISABLE": _enable,
    "FORCE": _enable,
    "NO": _enable,
    "ATTACH": _attach,
    "DETACH": _attach,
    "INHERIT": _inherit,
    "VALIDATE": _validate,
    "CONVERT": _convert,
}


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
        yield Effect(verb=Verb.OPTIONS, table=name)
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
