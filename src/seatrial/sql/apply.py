"""What each effect of a statement does to the world: tables made, renamed, dropped; columns altered; rows written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from seatrial.model import TableRef
from seatrial.sql.cursor import Name, Tokens, items
from seatrial.sql.dml import selects
from seatrial.sql.effects import Assignment, ColumnDef, Effect, Rule, Span, Verb
from seatrial.sql.statement import Parsed
from seatrial.sql.tables import TEMPORARY, Column, Copy, Event, Run, Table

if TYPE_CHECKING:
    from seatrial.sql.world import World


def apply(world: World, effect: Effect, parsed: Parsed, index: int, run: Run) -> None:
    """One effect of the statement ``index``, whose names ``run`` has looked up."""
    if effect.verb is Verb.CREATE_TABLE:
        _create(world, effect, parsed, index)
        return
    table = _target(world, effect, run)
    if table is None and effect.table is not None and effect.verb in _WRITES:
        _through_view(world, effect, parsed, index)
    if effect.verb is Verb.OBJECT:
        _object(world, effect, parsed, index)
    reader = _EFFECTS.get(effect.verb)
    column = _column_before(world, table, effect.column) if table is not None and effect.column else None
    event = Event(index, effect.verb, table, column, effect)
    if table is not None and effect.verb is not Verb.CALL:
        world.mark(table, index, rows=effect.verb not in (Verb.OBJECT, Verb.GRANT, Verb.ATTACH))
        if reader is not None:
            reader(world, event, parsed, run)
    world.events.append(event)


def _column_before(world: World, table: Table, name: str) -> Column | None:
    """The column that had the name when the statement began: ``CHANGE a b INT, CHANGE b a INT`` swaps two."""
    return world.displaced.get((table, world.fold(name))) or world.column(table, name)


def _target(world: World, effect: Effect, run: Run) -> Table | None:
    """The table that an effect is about; MySQL's DELETE a FROM t a names it by its alias."""
    if effect.verb is Verb.DELETE and effect.table is not None and not effect.table.qualifier:
        aliased = run.tables.get(world.fold(effect.table.name), set())
        if len(aliased) == 1:
            return next(iter(aliased))
    table = world.table(effect.table)
    if table is not None and effect.table is not None and effect.table.first >= 0:
        return run.resolved.setdefault(effect.table.first, table)
    return run.resolved.get(effect.table.first) if effect.table is not None else None


def _through_view(world: World, effect: Effect, parsed: Parsed, index: int) -> None:
    """A statement that writes through a view names the tables that the view reads."""
    assert effect.table is not None
    tokens = world.views.get(world.ref(effect.table), ())
    for token in tokens:
        table = world.table(Name("", token.name)) if token.name else None
        if table is None:
            continue
        world.mark(table, index, rows=True)
        for _, name in parsed.found.columns:
            world.mention_in([table], name, index)
        world.events.append(Event(index, effect.verb, table, None, effect, view=True))


def _object(world: World, effect: Effect, parsed: Parsed, index: int) -> None:
    first = parsed.tokens[0].word if parsed.tokens else ""
    if first == "CREATE" and effect.kind in ("function", "procedure"):
        text = " ".join(t.text for t in parsed.tokens)
        world.routines.setdefault(world.fold(effect.new), []).append(text)
    elif first == "CREATE" and effect.kind in ("view", "materialized view") and effect.other:
        world.views[world.ref(effect.other)] = parsed.tokens
    elif first == "CREATE" and effect.kind == "schema":
        world.namespaces.add(effect.new)
    elif effect.kind == "renamed schema" and effect.other:
        _rename_schema(world, effect.new, effect.other.name, index)
    elif effect.kind in ("altered type", "altered domain"):
        _alter_type(world, effect.new, index)


def _rename_schema(world: World, old: str, new: str, index: int) -> None:
    """Every table of the schema moves with it, and its rows are where they were."""
    before, after = world.namespace(old), world.namespace(new)
    world.namespaces.add(after)
    world.schemas[before] = after
    for ref in [r for r in world.tables if r.namespace == before]:
        table = world.tables.pop(ref)
        table.ref = TableRef(after, ref.name)
        world.tables[table.ref] = table
        world.mark(table, index, rows=True)
    for ref in [r for r in world.views if r.namespace == before]:
        world.views[TableRef(after, ref.name)] = world.views.pop(ref)


def _alter_type(world: World, name: str, index: int) -> None:
    """ALTER TYPE is about every column of that type: a label that is renamed, an attribute that is added."""
    for table in world.tables.values():
        for column in table.columns.values():
            if name in {part for t in column.type for part in (t.name, t.value) if part}:
                world.mark(table, index, rows=True)
                world.mentioned.setdefault(column, set()).add(index)
                column.states |= {"type", "default"}


def _create(world: World, effect: Effect, parsed: Parsed, index: int) -> None:
    if effect.table is None:
        return
    existing = world.table(effect.table)
    if existing is not None and effect.guarded:
        world.mark(existing, index, rows=True)
        world.events.append(Event(index, Verb.OPTIONS, existing, None, effect))
        return
    ref = TableRef(TEMPORARY, effect.table.name) if effect.temporary else world.ref(effect.table)
    world.has_temporary = world.has_temporary or ref.namespace == TEMPORARY
    if existing is not None and existing.ref == ref:
        existing.ref = None  # CREATE OR REPLACE
    table = Table(ref, states=set(effect.states), open=effect.whole and not effect.definitions)
    for definition in effect.definitions:
        table.columns[world.fold(definition.name)] = _new_column(definition, world)
        world.mentioned.setdefault(table.columns[world.fold(definition.name)], set()).add(index)
    _inherit(world, table, effect, index)
    world.tables[ref] = table
    world.mark(table, index, rows=True)
    world.events.append(Event(index, Verb.CREATE_TABLE, table, None, effect))
    rules = [*effect.rules, *(r for d in effect.definitions for r in d.rules)]
    for rule in rules:
        _rule(world, table, rule, index)
    if effect.query:
        _copied(world, table, effect.query, parsed, index)


def _inherit(world: World, table: Table, effect: Effect, index: int) -> None:
    source = world.table(effect.other)
    if source is None:
        return
    world.mark(source, index, rows=False)
    if effect.kind == "like":
        for name, column in source.columns.items():
            table.columns.setdefault(name, Column(column.name, type=column.type, varies=column.varies))


def _rule(world: World, table: Table, rule: Rule, index: int) -> None:
    if rule.type == "index":
        world.events.append(
            Event(index, Verb.OBJECT, table, None, Effect(verb=Verb.OBJECT, kind="index", new=rule.name))
        )
        return
    if rule.type == "primary key":
        for name in rule.columns:
            if (column := world.column(table, name)) is not None:
                column.states.add("nullable")
    world.events.append(Event(index, Verb.RULE, table, None, Effect(verb=Verb.RULE, rule=rule)))


def _copied(world: World, table: Table, query: Span, parsed: Parsed, index: int) -> None:
    """CREATE TABLE ... AS: the query's columns, and the tables that it reads."""
    tokens = parsed.tokens
    _read_from(world, table, parsed)
    for first, last in _select_lists(tokens, query):
        for a, b in items(tokens, first, last):
            _output(world, table, tokens[a:b], parsed, index)


def _output(world: World, table: Table, tokens: Tokens, parsed: Parsed, index: int) -> None:
    if tokens[-1].word == "*":
        for source in table.sources:
            for name, column in source.columns.items():
                copy = table.columns.setdefault(name, Column(column.name, type=column.type))
                world.copies.append(Copy(column, copy))
        return
    name = tokens[-1].name
    if not name:
        return
    column = table.columns.setdefault(world.fold(name), Column(name))
    value = tokens[:-2] if len(tokens) > 2 and tokens[-2].word == "AS" else tokens
    if (source_column := _bare(world, value, table.sources)) is not None:
        world.copies.append(Copy(source_column, column))
    if world.varies(value):
        world.varying.add((table, column))


def _read_from(world: World, table: Table, parsed: Parsed) -> None:
    for mention in parsed.found.tables:
        source = world.table(mention.name)
        if source is not None and source is not table:
            table.sources.add(source)


def _bare(world: World, tokens: Tokens, sources: Iterable[Table]) -> Column | None:
    """The column that an expression is, if it is nothing else."""
    plain = tokens[-1:] if len(tokens) == 3 and tokens[1].word == "." else tokens
    if len(plain) != 1 or not plain[0].name:
        return None
    found = [c for s in sources if (c := s.columns.get(world.fold(plain[0].name))) is not None]
    return found[0] if len(found) == 1 else None


def _rename_table(world: World, event: Event, parsed: Parsed, run: Run) -> None:
    table, effect = event.table, event.effect
    assert table is not None and effect is not None
    if effect.other is None or table.ref is None:
        return
    namespace = world.namespace(effect.other.qualifier) if effect.other.qualifier else table.ref.namespace
    if world.tables.get(table.ref) is table:
        del world.tables[table.ref]
    table.ref = TableRef(namespace, effect.other.name)
    world.tables[table.ref] = table


def _drop_table(world: World, event: Event, parsed: Parsed, run: Run) -> None:
    table = event.table
    assert table is not None
    if table.ref is not None and world.tables.get(table.ref) is table:
        del world.tables[table.ref]
    table.ref = None


def _add_column(world: World, event: Event, parsed: Parsed, run: Run) -> None:
    table, effect = event.table, event.effect
    assert table is not None and effect is not None and effect.definition is not None
    folded = world.fold(effect.column)
    if effect.guarded and folded in table.columns:
        return
    column = table.columns[folded] = _new_column(effect.definition, world)
    world.mentioned.setdefault(column, set()).add(event.index)
    if column.varies:
        world.varying.add((table, column))
    world.events.append(Event(event.index, Verb.ADD_COLUMN, table, column, effect))


def _drop_column(world: World, event: Event, parsed: Parsed, run: Run) -> None:
    assert event.table is not None and event.effect is not None
    event.table.columns.pop(world.fold(event.effect.column), None)


def _rename_column(world: World, event: Event, parsed: Parsed, run: Run) -> None:
    table, effect, column = event.table, event.effect, event.column
    assert table is not None and effect is not None
    if column is None or not effect.new:
        return
    if table.columns.get(world.fold(effect.column)) is column:
        del table.columns[world.fold(effect.column)]
    if (other := table.columns.get(world.fold(effect.new))) is not None and other is not column:
        world.displaced[table, world.fold(effect.new)] = other
    column.name = effect.new
    table.columns[world.fold(effect.new)] = column


def _redefine(world: World, event: Event, parsed: Parsed, run: Run) -> None:
    column, effect = event.column, event.effect
    if column is None or effect is None or event.table is None:
        return
    column.states |= effect.states
    definition = effect.definition
    if definition is not None and "default" not in effect.states and world.varies(definition.default):
        world.varying.add((event.table, column))  # TYPE ... USING random()
    if "default" in effect.states or "identity" in effect.states or "auto_increment" in effect.states:
        column.varies = _gives(effect, parsed.tokens, world)


def _constraint(world: World, event: Event, parsed: Parsed, run: Run) -> None:
    rule = event.effect.rule if event.effect else None
    if rule is not None and rule.type == "primary key" and event.table is not None:
        for name in rule.columns or tuple(event.table.columns):
            if (column := event.table.columns.get(world.fold(name))) is not None:
                column.states.add("nullable")


def _options(world: World, event: Event, parsed: Parsed, run: Run) -> None:
    assert event.table is not None and event.effect is not None
    event.table.states |= event.effect.states
    if event.verb is Verb.CONVERT:
        world.mention_all(event.table, event.index)
        for column in event.table.columns.values():
            column.states |= event.effect.states


def _attach(world: World, event: Event, parsed: Parsed, run: Run) -> None:
    assert event.effect is not None and event.table is not None
    for table in (event.table, world.table(event.effect.other)):
        if table is not None:
            table.states |= {"partition_bound", "partition_of", "inherits", "partition_key", "options"}
            world.mark(table, event.index, rows=event.effect.kind == "exchange")


def _insert(world: World, event: Event, parsed: Parsed, run: Run) -> None:
    table, effect = event.table, event.effect
    assert table is not None and effect is not None
    if effect.whole:
        world.mention_all(table, event.index)
    if effect.query:
        _read_from(world, table, parsed)
    for name in effect.columns:
        world.mention_in([table], name, event.index)
    for value in effect.values:
        column = _reached(world, table, value)
        if column is not None:
            _value(world, table, column, parsed.tokens[value.value.first : value.value.last])
    if effect.whole and effect.query and any(q == "" or q for _, q in parsed.found.stars):
        _copy_all(world, table)
    if not effect.whole:
        listed = {world.fold(c) for c in effect.columns}
        world.varying |= {(table, c) for n, c in table.columns.items() if n not in listed and c.varies}


def _reached(world: World, table: Table, value: Assignment) -> Column | None:
    name = value.columns[0] if value.columns else ""
    if not name.startswith("#"):
        return world.column(table, name) if name else None
    columns = list(table.columns.values())
    place = int(name[1:])
    return columns[place] if place < len(columns) and not table.open else None


def _value(world: World, table: Table, column: Column, tokens: Tokens) -> None:
    if world.varies(tokens):
        world.varying.add((table, column))
    aliased = tokens[:-2] if len(tokens) > 2 and tokens[-2].word == "AS" else tokens
    if (source := _bare(world, aliased, table.sources)) is not None:
        world.copies.append(Copy(source, column))


def _copy_all(world: World, table: Table) -> None:
    for source in table.sources:
        for name, column in source.columns.items():
            if name in table.columns:
                world.copies.append(Copy(column, table.columns[name]))


def _update(world: World, event: Event, parsed: Parsed, run: Run) -> None:
    effect = event.effect
    assert effect is not None
    for assignment in effect.values:
        table = _assigned_table(world, assignment, event.table, run)
        for name in assignment.columns:
            column = world.column(table, name) if table is not None else None
            if table is None or column is None:
                continue
            world.mentioned.setdefault(column, set()).add(event.index)
            value = parsed.tokens[assignment.value.first : assignment.value.last]
            if world.varies(value) or _gives_varying(world, run, value):
                world.varying.add((table, column))
            world.events.append(Event(event.index, Verb.UPDATE, table, column, effect))


def _gives_varying(world: World, run: Run, value: Tokens) -> bool:
    """Whether a value, or what its sub-select gives, comes from a column that varies."""
    given = value[: next((i for i, t in enumerate(value) if t.word == "FROM"), len(value))]
    for i, token in enumerate(given):
        qualified = i > 1 and given[i - 1].word == "."
        groups = [run.tables.get(world.fold(given[i - 2].name), set())] if qualified else run.tables.values()
        tables: set[Table] = set().union(*groups)
        if token.name and any((t, t.columns.get(world.fold(token.name))) in world.varying for t in tables):
            return True
    return False


def _assigned_table(world: World, assignment: Assignment, table: Table | None, run: Run) -> Table | None:
    if not assignment.qualifier:
        name = assignment.columns[0] if assignment.columns else ""
        if table is not None and world.column(table, name) is None:
            everywhere: set[Table] = set().union(*run.tables.values()) if run.tables else set()
            owners = [t for t in everywhere if world.fold(name) in t.columns]
            return owners[0] if len(owners) == 1 else table
        return table
    return next(iter(run.tables.get(world.fold(assignment.qualifier), ())), table)


_WRITES = (Verb.INSERT, Verb.UPDATE, Verb.DELETE)
_EFFECTS = {
    Verb.RENAME_TABLE: _rename_table,
    Verb.DROP_TABLE: _drop_table,
    Verb.ADD_COLUMN: _add_column,
    Verb.DROP_COLUMN: _drop_column,
    Verb.RENAME_COLUMN: _rename_column,
    Verb.REDEFINE: _redefine,
    Verb.RULE: _constraint,
    Verb.OPTIONS: _options,
    Verb.CONVERT: _options,
    Verb.ATTACH: _attach,
    Verb.INSERT: _insert,
    Verb.UPDATE: _update,
}


def _new_column(definition: ColumnDef, world: World) -> Column:
    gives = definition.generates or world.varies(definition.default)
    return Column(definition.name, states=set(definition.states), type=definition.type, varies=gives)


def _gives(effect: Effect, tokens: Tokens, world: World) -> bool:
    if effect.definition is not None and (effect.definition.generates or world.varies(effect.definition.default)):
        return True
    return "identity" in effect.states or ("default" in effect.states and world.varies(tokens))


def _select_lists(tokens: Tokens, query: Span) -> Iterator[tuple[int, int]]:
    return selects(tokens, query.first, query.last)
