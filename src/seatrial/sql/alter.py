"""Reading the parts of ALTER TABLE."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from seatrial.sql.columns import INDEXES, column, elements, is_rule, rule, type_states
from seatrial.sql.cursor import Cursor, Name, Tokens, find, items, top
from seatrial.sql.effects import ColumnDef, Effect, Rule, Verb
from seatrial.sql.options import option


def actions(tokens: Tokens, dialect: str) -> tuple[Name, Tokens, list[tuple[Tokens, list[Effect]]]] | None:
    """Of a plain ALTER TABLE: the table, the words up to its first action, and each action with its effects."""
    cursor = Cursor(tokens, dialect)
    if not cursor.accept("ALTER", "TABLE"):
        return None
    cursor.if_exists()
    cursor.accept("ONLY")
    table = cursor.name()
    cursor.accept("*")
    if table is None:
        return None
    parts = items(tokens, cursor.index, cursor.stop)
    read = [(tokens[a:b], list(_action(Cursor(tokens, dialect, a, b), table))) for a, b in parts]
    return table, tokens[: cursor.index], read


def alter_table(cursor: Cursor) -> Iterator[Effect]:
    """Behind ALTER TABLE."""
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
    if not explicit and (required := _not_null(cursor)):
        yield Effect(verb=Verb.REDEFINE, table=table, column=required, states=frozenset({"nullable"}))
        return
    if not explicit and is_rule(cursor):
        yield from _add_rule(cursor, table)
        return
    many = elements(cursor) if cursor.at("(") else [cursor]
    for element in many:
        if (definition := column(element)) is not None:
            yield from _added(table, definition, guarded=guarded)


def _not_null(cursor: Cursor) -> str:
    """The column of ``[CONSTRAINT name] NOT NULL column`` (PostgreSQL 18 manual, ALTER TABLE), else nothing."""
    start = cursor.index
    if cursor.accept("CONSTRAINT"):
        cursor.identifier()
    found = cursor.identifier() if cursor.accept("NOT", "NULL") else ""
    if not found:
        cursor.index = start
    return found


def _added(table: Name, definition: ColumnDef, *, guarded: bool = False) -> Iterator[Effect]:
    yield Effect(verb=Verb.ADD_COLUMN, table=table, column=definition.name, definition=definition, guarded=guarded)
    for found in definition.rules:
        yield Effect(verb=Verb.RULE, table=table, rule=found)


def _add_rule(cursor: Cursor, table: Name) -> Iterator[Effect]:
    rests = _using_index(cursor)
    found, index = rule(cursor)
    if found is not None:
        yield Effect(verb=Verb.RULE, table=table, rule=found)
    if rests:
        yield Effect(verb=Verb.OBJECT, kind="index", new=rests, table=table)
    if index:
        yield Effect(verb=Verb.OBJECT, kind="index", new=index, table=table)
    elif found is None:
        yield Effect(verb=Verb.OPTIONS, table=table)


def _using_index(cursor: Cursor) -> str:
    """The index that becomes a constraint, and takes its name (PostgreSQL manual, ALTER TABLE: USING INDEX)."""
    place = find(cursor.tokens, cursor.index, cursor.stop, "USING")
    there = Cursor(cursor.tokens, cursor.dialect, place, cursor.stop)
    return there.identifier() if there.accept("USING", "INDEX") else ""


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
        said = {"partition_key", "options"} if kind == "partition" else {"system_versioned", "periods"}
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
    is_kind = cursor.word(1) != "TO" and cursor.index + 1 < cursor.stop  # a column may be called column
    kind = cursor.accept_any("COLUMN", "INDEX", "KEY", "CONSTRAINT") if is_kind else ""
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
    named = {
        "LOGGED": "persistence",
        "UNLOGGED": "persistence",
        "TABLESPACE": "tablespace",
        "ACCESS": "access_method",
        "WITHOUT": "cluster",
    }
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


def _of(cursor: Cursor, table: Name) -> Iterator[Effect]:
    yield Effect(verb=Verb.OPTIONS, table=table, states=frozenset({"of_type"}))


def _validate(cursor: Cursor, table: Name) -> Iterator[Effect]:
    cursor.accept("CONSTRAINT")
    yield Effect(verb=Verb.RULE, table=table, rule=Rule(name=cursor.identifier()))


def _convert(cursor: Cursor, table: Name) -> Iterator[Effect]:
    """A partition becomes a table, or a table a partition, with its rows (MariaDB manual, ALTER TABLE: 10.7)."""
    if cursor.at("PARTITION") or cursor.at("TABLE"):
        cursor.index = find(cursor.tokens, cursor.index, cursor.stop, "TABLE") + 1
        yield Effect(verb=Verb.ATTACH, table=table, other=cursor.name(), kind="exchange")
        return
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
        states |= option(Cursor(cursor.tokens, cursor.dialect, i, cursor.stop))
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
    "OF": _of,
    "NOT": _of,  # NOT OF, the only action that begins so
    "VALIDATE": _validate,
    "CONVERT": _convert,
}
