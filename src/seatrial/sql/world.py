"""Names followed through a migration: which table and column every statement really works on.

A ``Table`` is one table with its own rows from its creation to its end, whatever it is called meanwhile; the same holds
for a ``Column``. Statements are applied in order to the schema before the step; every effect becomes an ``Event``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from seatrial.model import Attributes, ObjectKey, Schema, TableRef
from seatrial.sql.cursor import Name, Tokens, items
from seatrial.sql.dml import selects
from seatrial.sql.effects import Assignment, ColumnDef, Effect, Rule, Span, Verb
from seatrial.sql.mentions import ASSIGNED, Mentions
from seatrial.sql.statement import Parsed, parse, prepared, routine_body, texts_of
from seatrial.sql.tokens import Token, code
from seatrial.sql.values import varies

TEMPORARY = "\0temporary"  # no schema can be called so
_DEFAULTS = ("public", "main", "dbo")
_DEPTH = 8  # how far calls of calls are followed


@dataclass(eq=False, slots=True)
class Column:
    name: str
    before: str | None = None  # its name before the step
    states: set[str] = field(default_factory=set)
    type: tuple[Token, ...] = ()
    varies: bool = False  # what an INSERT that leaves it out gets is random, the time or the next number


@dataclass(eq=False, slots=True)
class Table:
    ref: TableRef | None  # None: dropped
    before: TableRef | None = None
    columns: dict[str, Column] = field(default_factory=dict)
    sources: set[Table] = field(default_factory=set)  # tables whose rows were copied into it
    states: set[str] = field(default_factory=set)
    open: bool = False  # its columns are not all known

    def __hash__(self) -> int:
        return id(self)


@dataclass(frozen=True, slots=True)
class Event:
    """One effect on one table, with its names looked up. ``index`` counts the statements of the step."""

    index: int
    verb: Verb
    table: Table | None = None
    column: Column | None = None
    effect: Effect | None = None
    view: bool = False  # the statement wrote through a view


@dataclass(frozen=True, slots=True)
class Copy:
    """A value taken over as it is from one column into another by INSERT ... SELECT."""

    source: Column
    target: Column


@dataclass(eq=False, slots=True)
class Run:
    """What one statement named, for those who judge it later."""

    index: int
    parsed: Parsed
    tables: dict[str, set[Table]] = field(default_factory=dict)  # alias or name -> tables
    columns: set[Column] = field(default_factory=set)  # every column that one of its identifiers may mean
    resolved: dict[int, Table] = field(default_factory=dict)  # by the index of a name: ALTER TABLE a RENAME b, ADD c


class World:
    """The schema before the step, and what the statements make of its names."""

    def __init__(self, schema: Schema, dialect: str) -> None:
        self.schema, self.dialect = schema, dialect
        self.tables: dict[TableRef, Table] = {}
        self.views: dict[TableRef, Tokens] = {}
        self.routines: dict[str, list[str]] = {}
        schemas = {k.name for k in schema if k.kind == "schema"} - set(_DEFAULTS)  # what lies in those has none
        self.namespaces = {k.namespace for k in schema} | schemas
        self.displaced: dict[tuple[Table, str], Column] = {}  # columns whose name another took in the same statement
        self.schemas: dict[str, str] = {}  # schemas that were renamed: old name -> new name
        self.path: tuple[str, ...] = ("",)
        self.events: list[Event] = []
        self.named: dict[Table, set[int]] = {}
        self.named_rows: dict[Table, set[int]] = {}
        self.mentioned: dict[Column, set[int]] = {}
        self.copies: list[Copy] = []
        self.varying: set[tuple[Table, Column]] = set()
        self.opaque: set[int] = set()
        self.has_temporary = False
        self.runs: list[Run] = []
        self.variables: dict[str, tuple[str, ...]] = {}  # MySQL's @name -> the SQL texts that it may hold
        self._read_schema()

    def _read_schema(self) -> None:
        for key, attributes in self.schema.items():
            if key.kind == "table":
                ref = TableRef(key.namespace, key.name)
                self.tables[ref] = Table(ref, before=ref)
            elif key.kind in ("view", "materialized view"):
                self.views[TableRef(key.namespace, key.name)] = code(
                    str(attributes.get("definition") or ""), self.dialect
                )
            elif key.kind in ("function", "procedure"):
                name = self._fold(key.name.split("(")[0])
                self.routines.setdefault(name, []).append(str(attributes.get("definition") or ""))
        columns = [(k, a) for k, a in self.schema.items() if k.kind == "column"]
        for key, attributes in sorted(columns, key=lambda c: int(c[1].get("position") or 0)):  # type: ignore[arg-type]
            if (table := self.tables.get(TableRef(key.namespace, key.table))) is not None:
                table.columns[self._fold(key.name)] = self._known_column(key, attributes)

    def _known_column(self, key: ObjectKey, attributes: Attributes) -> Column:
        gives = any(attributes.get(a) for a in ("identity", "auto_increment"))
        default = code(str(attributes.get("default") or ""), self.dialect)
        kind = tuple(code(str(attributes.get("type") or ""), self.dialect))
        return Column(key.name, before=key.name, type=kind, varies=gives or varies(default, self.dialect))

    def _fold(self, name: str) -> str:
        """How names are compared: SQLite and MySQL take columns without regard to case."""
        return name if self.dialect == "postgresql" else name.casefold()

    # --- looking names up ---------------------------------------------------------------------------------------------

    def ref(self, name: Name) -> TableRef:
        """Where an object of this name would be created."""
        if not name.qualifier:
            return TableRef(self.path[0], name.name)
        return TableRef(self._namespace(name.qualifier), name.name)

    def _namespace(self, qualifier: str) -> str:
        if qualifier in self.namespaces and qualifier:
            return qualifier
        own = qualifier in _DEFAULTS or self.dialect in ("mysql", "mariadb")
        return "" if own else TEMPORARY if qualifier.lower() in ("temp", "pg_temp") else qualifier

    def table(self, name: Name | None) -> Table | None:
        if name is None or not name.name:
            return None
        places = [self._namespace(name.qualifier)] if name.qualifier else [TEMPORARY, *self.path]
        for place in dict.fromkeys(places if name.qualifier else [*places, ""]):
            if (found := self._table_in(place, name.name)) is not None:
                return found
        if name.qualifier or self.ref(name) in self.views:
            return None
        others = [t for r, t in self.tables.items() if r.name == name.name]  # a search_path that was set elsewhere
        return others[0] if len(others) == 1 else None

    def _table_in(self, namespace: str, name: str) -> Table | None:
        found = self.tables.get(TableRef(namespace, name))
        if found is not None or self.dialect == "postgresql" or (namespace == TEMPORARY and not self.has_temporary):
            return found
        folded = name.casefold()
        return next(
            (t for r, t in self.tables.items() if r.namespace == namespace and r.name.casefold() == folded), None
        )

    def column(self, table: Table, name: str) -> Column | None:
        found = table.columns.get(self._fold(name))
        if found is None and table.open and name:
            found = table.columns[self._fold(name)] = Column(name)
        return found

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self, parsed: Parsed, index: int, *, depth: int = 0, executed: bool = True) -> None:
        """Apply one statement."""
        known = self.variables.get(prepared(parsed.tokens), ())
        for text in known:
            self.run(parse(text, self.dialect), index, depth=max(depth, 1), executed=executed)
        if parsed.opaque and not known:
            self.opaque.add(index)
        if (variable := texts_of(parsed.tokens)) is not None:
            self.variables[variable[0]] = variable[1]
        run = Run(index, parsed)
        if depth == 0:
            self.runs.append(run)
        self._name(parsed, index, run, executed=executed and parsed.executed)
        if executed:
            self.displaced.clear()
            for effect in parsed.effects:
                self._apply(effect, parsed, index, run)
            self._set_path(parsed.tokens)
            self._name(parsed, index, run, executed=parsed.executed)
        for part in parsed.parts:
            self.run(part, index, depth=max(depth, 1), executed=executed and parsed.executed)
        if executed and parsed.executed and depth < _DEPTH:
            self._call(parsed, index, depth)

    def _name(self, parsed: Parsed, index: int, run: Run, *, executed: bool) -> None:
        found = parsed.found
        scopes: dict[int, set[Table]] = {}
        for mention in found.tables:
            table = self.table(mention.name)
            if table is None:
                continue
            self._mark(table, index, rows=mention.rows)
            scopes.setdefault(mention.scope, set()).add(table)
            run.tables.setdefault(self._fold(mention.alias or mention.name.name), set()).add(table)
            if mention.alias:
                run.tables.setdefault(self._fold(mention.name.name), set()).add(table)
        self._mention(found, index, run, scopes, executed=executed)

    def _mark(self, table: Table, index: int, *, rows: bool) -> None:
        self.named.setdefault(table, set()).add(index)
        if rows:
            self.named_rows.setdefault(table, set()).add(index)

    def _mention(self, found: Mentions, index: int, run: Run, scopes: dict[int, set[Table]], *, executed: bool) -> None:
        everywhere = set().union(*run.tables.values()) if run.tables else set()
        for (qualifier, name), scope in zip(found.columns, found.scopes, strict=True):
            if qualifier:
                tables = run.tables.get(self._fold(qualifier), everywhere)
            elif scope == ASSIGNED and executed:
                continue  # the UPDATE itself says whose column it is
            else:
                tables = self._in_scope(name, scope, scopes, found.parents) or everywhere
            run.columns |= self._mention_in(tables, name, index)
        for scope, qualifier in found.stars:
            for table in run.tables.get(self._fold(qualifier), set()) if qualifier else scopes.get(scope, set()):
                self._mention_all(table, index)

    def _in_scope(
        self, name: str, scope: int | None, scopes: dict[int, set[Table]], parents: dict[int, int]
    ) -> set[Table]:
        """The tables of the innermost SELECT around a name that have such a column."""
        while scope is not None:
            if found := {t for t in scopes.get(scope, set()) if self._fold(name) in t.columns}:
                return found
            scope = parents.get(scope)
        return set()

    def _mention_in(self, tables: Iterable[Table], name: str, index: int) -> set[Column]:
        found = {c for t in tables if (c := t.columns.get(self._fold(name))) is not None}
        for column in found:
            self.mentioned.setdefault(column, set()).add(index)
        return found

    def _mention_all(self, table: Table, index: int) -> None:
        for column in table.columns.values():
            self.mentioned.setdefault(column, set()).add(index)

    def _set_path(self, tokens: Tokens) -> None:
        words = [t.word for t in tokens[:4]]
        if words[:1] == ["SET"] and "SEARCH_PATH" in words:
            at = words.index("SEARCH_PATH")
            names = [t.name or t.value for t in tokens[at + 2 :] if t.kind in ("word", "quoted", "string")]
            kept = ["" if n in _DEFAULTS or n == "DEFAULT" else n for n in names if n != "$user"]
            self.path = tuple(dict.fromkeys(kept)) or ("",)

    def _call(self, parsed: Parsed, index: int, depth: int) -> None:
        """Run the bodies of the routines that a statement calls."""
        required = {self._fold(e.other.name) for e in parsed.effects if e.verb is Verb.CALL and e.other}
        called = required | {self._fold(c.name) for c in parsed.found.calls}
        for name in sorted(called):
            definitions = self.routines.get(name)
            if definitions is None and name in required:
                self.opaque.add(index)
            for definition in definitions or ():
                body = routine_body(definition, self.dialect)
                if body is None:
                    self.opaque.add(index)
                for part in body or ():
                    self.run(part, index, depth=depth + 1)

    # --- effects ------------------------------------------------------------------------------------------------------

    def _apply(self, effect: Effect, parsed: Parsed, index: int, run: Run) -> None:
        if effect.verb is Verb.CREATE_TABLE:
            self._create(effect, parsed, index)
            return
        table = self._target(effect, run)
        if table is None and effect.table is not None and effect.verb in _WRITES:
            self._through_view(effect, parsed, index)
        if effect.verb is Verb.OBJECT:
            self._object(effect, parsed, index)
        reader = _EFFECTS.get(effect.verb)
        column = self._column_before(table, effect.column) if table is not None and effect.column else None
        event = Event(index, effect.verb, table, column, effect)
        if table is not None and effect.verb is not Verb.CALL:
            self._mark(table, index, rows=effect.verb not in (Verb.OBJECT, Verb.GRANT, Verb.ATTACH))
            if reader is not None:
                reader(self, event, parsed, run)
        self.events.append(event)

    def _column_before(self, table: Table, name: str) -> Column | None:
        """The column that had the name when the statement began: ``CHANGE a b INT, CHANGE b a INT`` swaps two."""
        return self.displaced.get((table, self._fold(name))) or self.column(table, name)

    def _target(self, effect: Effect, run: Run) -> Table | None:
        """The table that an effect is about; MySQL's DELETE a FROM t a names it by its alias."""
        if effect.verb is Verb.DELETE and effect.table is not None and not effect.table.qualifier:
            aliased = run.tables.get(self._fold(effect.table.name), set())
            if len(aliased) == 1:
                return next(iter(aliased))
        table = self.table(effect.table)
        if table is not None and effect.table is not None and effect.table.first >= 0:
            return run.resolved.setdefault(effect.table.first, table)
        return run.resolved.get(effect.table.first) if effect.table is not None else None

    def _through_view(self, effect: Effect, parsed: Parsed, index: int) -> None:
        """A statement that writes through a view names the tables that the view reads."""
        assert effect.table is not None
        tokens = self.views.get(self.ref(effect.table), ())
        for token in tokens:
            table = self.table(Name("", token.name)) if token.name else None
            if table is None:
                continue
            self._mark(table, index, rows=True)
            for _, name in parsed.found.columns:
                self._mention_in([table], name, index)
            self.events.append(Event(index, effect.verb, table, None, effect, view=True))

    def _object(self, effect: Effect, parsed: Parsed, index: int) -> None:
        first = parsed.tokens[0].word if parsed.tokens else ""
        if first == "CREATE" and effect.kind in ("function", "procedure"):
            text = " ".join(t.text for t in parsed.tokens)
            self.routines.setdefault(self._fold(effect.new), []).append(text)
        elif first == "CREATE" and effect.kind in ("view", "materialized view") and effect.other:
            self.views[self.ref(effect.other)] = parsed.tokens
        elif first == "CREATE" and effect.kind == "schema":
            self.namespaces.add(effect.new)
        elif effect.kind == "renamed schema" and effect.other:
            self._rename_schema(effect.new, effect.other.name, index)
        elif effect.kind in ("altered type", "altered domain"):
            self._alter_type(effect.new, index)

    def _rename_schema(self, old: str, new: str, index: int) -> None:
        """Every table of the schema moves with it, and its rows are where they were."""
        before, after = self._namespace(old), self._namespace(new)
        self.namespaces.add(after)
        self.schemas[before] = after
        for ref in [r for r in self.tables if r.namespace == before]:
            table = self.tables.pop(ref)
            table.ref = TableRef(after, ref.name)
            self.tables[table.ref] = table
            self._mark(table, index, rows=True)
        for ref in [r for r in self.views if r.namespace == before]:
            self.views[TableRef(after, ref.name)] = self.views.pop(ref)

    def _alter_type(self, name: str, index: int) -> None:
        """ALTER TYPE is about every column of that type: a label that is renamed, an attribute that is added."""
        for table in self.tables.values():
            for column in table.columns.values():
                if name in {part for t in column.type for part in (t.name, t.value) if part}:
                    self._mark(table, index, rows=True)
                    self.mentioned.setdefault(column, set()).add(index)
                    column.states |= {"type", "default"}

    def _create(self, effect: Effect, parsed: Parsed, index: int) -> None:
        if effect.table is None:
            return
        existing = self.table(effect.table)
        if existing is not None and effect.guarded:
            self._mark(existing, index, rows=True)
            self.events.append(Event(index, Verb.OPTIONS, existing, None, effect))
            return
        ref = TableRef(TEMPORARY, effect.table.name) if effect.temporary else self.ref(effect.table)
        self.has_temporary = self.has_temporary or ref.namespace == TEMPORARY
        if existing is not None and existing.ref == ref:
            existing.ref = None  # CREATE OR REPLACE
        table = Table(ref, states=set(effect.states), open=effect.whole and not effect.definitions)
        for definition in effect.definitions:
            table.columns[self._fold(definition.name)] = _new_column(definition, self.dialect)
            self.mentioned.setdefault(table.columns[self._fold(definition.name)], set()).add(index)
        self._inherit(table, effect, index)
        self.tables[ref] = table
        self._mark(table, index, rows=True)
        self.events.append(Event(index, Verb.CREATE_TABLE, table, None, effect))
        rules = [*effect.rules, *(r for d in effect.definitions for r in d.rules)]
        for rule in rules:
            self._rule(table, rule, index)
        if effect.query:
            self._copied(table, effect.query, parsed, index)

    def _inherit(self, table: Table, effect: Effect, index: int) -> None:
        source = self.table(effect.other)
        if source is None:
            return
        self._mark(source, index, rows=False)
        if effect.kind == "like":
            for name, column in source.columns.items():
                table.columns.setdefault(name, Column(column.name, type=column.type, varies=column.varies))

    def _rule(self, table: Table, rule: Rule, index: int) -> None:
        if rule.type == "index":
            self.events.append(
                Event(index, Verb.OBJECT, table, None, Effect(verb=Verb.OBJECT, kind="index", new=rule.name))
            )
            return
        if rule.type == "primary key":
            for name in rule.columns:
                if (column := self.column(table, name)) is not None:
                    column.states.add("nullable")
        self.events.append(Event(index, Verb.RULE, table, None, Effect(verb=Verb.RULE, rule=rule)))

    def _copied(self, table: Table, query: Span, parsed: Parsed, index: int) -> None:
        """CREATE TABLE ... AS: the query's columns, and the tables that it reads."""
        tokens = parsed.tokens
        self._read_from(table, parsed)
        for first, last in _select_lists(tokens, query):
            for a, b in items(tokens, first, last):
                self._output(table, tokens[a:b], parsed, index)

    def _output(self, table: Table, tokens: Tokens, parsed: Parsed, index: int) -> None:
        if tokens[-1].word == "*":
            for source in table.sources:
                for name, column in source.columns.items():
                    copy = table.columns.setdefault(name, Column(column.name, type=column.type))
                    self.copies.append(Copy(column, copy))
            return
        name = tokens[-1].name
        if not name:
            return
        column = table.columns.setdefault(self._fold(name), Column(name))
        value = tokens[:-2] if len(tokens) > 2 and tokens[-2].word == "AS" else tokens
        if (source_column := self._bare(value, table.sources)) is not None:
            self.copies.append(Copy(source_column, column))
        if varies(value, self.dialect):
            self.varying.add((table, column))

    def _read_from(self, table: Table, parsed: Parsed) -> None:
        for mention in parsed.found.tables:
            source = self.table(mention.name)
            if source is not None and source is not table:
                table.sources.add(source)

    def _bare(self, tokens: Tokens, sources: Iterable[Table]) -> Column | None:
        """The column that an expression is, if it is nothing else."""
        plain = tokens[-1:] if len(tokens) == 3 and tokens[1].word == "." else tokens
        if len(plain) != 1 or not plain[0].name:
            return None
        found = [c for s in sources if (c := s.columns.get(self._fold(plain[0].name))) is not None]
        return found[0] if len(found) == 1 else None

    def _rename_table(self, event: Event, parsed: Parsed, run: Run) -> None:
        table, effect = event.table, event.effect
        assert table is not None and effect is not None
        if effect.other is None or table.ref is None:
            return
        namespace = self._namespace(effect.other.qualifier) if effect.other.qualifier else table.ref.namespace
        if self.tables.get(table.ref) is table:
            del self.tables[table.ref]
        table.ref = TableRef(namespace, effect.other.name)
        self.tables[table.ref] = table

    def _drop_table(self, event: Event, parsed: Parsed, run: Run) -> None:
        table = event.table
        assert table is not None
        if table.ref is not None and self.tables.get(table.ref) is table:
            del self.tables[table.ref]
        table.ref = None

    def _add_column(self, event: Event, parsed: Parsed, run: Run) -> None:
        table, effect = event.table, event.effect
        assert table is not None and effect is not None and effect.definition is not None
        folded = self._fold(effect.column)
        if effect.guarded and folded in table.columns:
            return
        column = table.columns[folded] = _new_column(effect.definition, self.dialect)
        self.mentioned.setdefault(column, set()).add(event.index)
        if column.varies:
            self.varying.add((table, column))
        self.events.append(Event(event.index, Verb.ADD_COLUMN, table, column, effect))

    def _drop_column(self, event: Event, parsed: Parsed, run: Run) -> None:
        assert event.table is not None and event.effect is not None
        event.table.columns.pop(self._fold(event.effect.column), None)

    def _rename_column(self, event: Event, parsed: Parsed, run: Run) -> None:
        table, effect, column = event.table, event.effect, event.column
        assert table is not None and effect is not None
        if column is None or not effect.new:
            return
        if table.columns.get(self._fold(effect.column)) is column:
            del table.columns[self._fold(effect.column)]
        if (other := table.columns.get(self._fold(effect.new))) is not None and other is not column:
            self.displaced[table, self._fold(effect.new)] = other
        column.name = effect.new
        table.columns[self._fold(effect.new)] = column

    def _redefine(self, event: Event, parsed: Parsed, run: Run) -> None:
        column, effect = event.column, event.effect
        if column is None or effect is None or event.table is None:
            return
        column.states |= effect.states
        definition = effect.definition
        if definition is not None and "default" not in effect.states and varies(definition.default, self.dialect):
            self.varying.add((event.table, column))  # TYPE ... USING random()
        if "default" in effect.states or "identity" in effect.states or "auto_increment" in effect.states:
            column.varies = _gives(effect, parsed.tokens, self.dialect)

    def _constraint(self, event: Event, parsed: Parsed, run: Run) -> None:
        rule = event.effect.rule if event.effect else None
        if rule is not None and rule.type == "primary key" and event.table is not None:
            for name in rule.columns or tuple(event.table.columns):
                if (column := event.table.columns.get(self._fold(name))) is not None:
                    column.states.add("nullable")

    def _options(self, event: Event, parsed: Parsed, run: Run) -> None:
        assert event.table is not None and event.effect is not None
        event.table.states |= event.effect.states
        if event.verb is Verb.CONVERT:
            self._mention_all(event.table, event.index)
            for column in event.table.columns.values():
                column.states |= event.effect.states

    def _attach(self, event: Event, parsed: Parsed, run: Run) -> None:
        assert event.effect is not None and event.table is not None
        for table in (event.table, self.table(event.effect.other)):
            if table is not None:
                table.states |= {"partition_bound", "partition_of", "inherits", "partition_key", "options"}
                self._mark(table, event.index, rows=event.effect.kind == "exchange")

    def _insert(self, event: Event, parsed: Parsed, run: Run) -> None:
        table, effect = event.table, event.effect
        assert table is not None and effect is not None
        if effect.whole:
            self._mention_all(table, event.index)
        if effect.query:
            self._read_from(table, parsed)
        for name in effect.columns:
            self._mention_in([table], name, event.index)
        for value in effect.values:
            column = self._reached(table, value)
            if column is not None:
                self._value(table, column, parsed.tokens[value.value.first : value.value.last])
        if effect.whole and effect.query and any(q == "" or q for _, q in parsed.found.stars):
            self._copy_all(table)
        if not effect.whole:
            listed = {self._fold(c) for c in effect.columns}
            self.varying |= {(table, c) for n, c in table.columns.items() if n not in listed and c.varies}

    def _reached(self, table: Table, value: Assignment) -> Column | None:
        name = value.columns[0] if value.columns else ""
        if not name.startswith("#"):
            return self.column(table, name) if name else None
        columns = list(table.columns.values())
        place = int(name[1:])
        return columns[place] if place < len(columns) and not table.open else None

    def _value(self, table: Table, column: Column, tokens: Tokens) -> None:
        if varies(tokens, self.dialect):
            self.varying.add((table, column))
        aliased = tokens[:-2] if len(tokens) > 2 and tokens[-2].word == "AS" else tokens
        if (source := self._bare(aliased, table.sources)) is not None:
            self.copies.append(Copy(source, column))

    def _copy_all(self, table: Table) -> None:
        for source in table.sources:
            for name, column in source.columns.items():
                if name in table.columns:
                    self.copies.append(Copy(column, table.columns[name]))

    def _update(self, event: Event, parsed: Parsed, run: Run) -> None:
        effect = event.effect
        assert effect is not None
        for assignment in effect.values:
            table = self._assigned_table(assignment, event.table, run)
            for name in assignment.columns:
                column = self.column(table, name) if table is not None else None
                if table is None or column is None:
                    continue
                self.mentioned.setdefault(column, set()).add(event.index)
                if varies(parsed.tokens[assignment.value.first : assignment.value.last], self.dialect):
                    self.varying.add((table, column))
                self.events.append(Event(event.index, Verb.UPDATE, table, column, effect))

    def _assigned_table(self, assignment: Assignment, table: Table | None, run: Run) -> Table | None:
        if not assignment.qualifier:
            name = assignment.columns[0] if assignment.columns else ""
            if table is not None and self.column(table, name) is None:
                everywhere: set[Table] = set().union(*run.tables.values()) if run.tables else set()
                owners = [t for t in everywhere if self._fold(name) in t.columns]
                return owners[0] if len(owners) == 1 else table
            return table
        return next(iter(run.tables.get(self._fold(assignment.qualifier), ())), table)


_WRITES = (Verb.INSERT, Verb.UPDATE, Verb.DELETE)
_EFFECTS = {
    Verb.RENAME_TABLE: World._rename_table,
    Verb.DROP_TABLE: World._drop_table,
    Verb.ADD_COLUMN: World._add_column,
    Verb.DROP_COLUMN: World._drop_column,
    Verb.RENAME_COLUMN: World._rename_column,
    Verb.REDEFINE: World._redefine,
    Verb.RULE: World._constraint,
    Verb.OPTIONS: World._options,
    Verb.CONVERT: World._options,
    Verb.ATTACH: World._attach,
    Verb.INSERT: World._insert,
    Verb.UPDATE: World._update,
}


def _new_column(definition: ColumnDef, dialect: str) -> Column:
    gives = definition.generates or varies(definition.default, dialect)
    return Column(definition.name, states=set(definition.states), type=definition.type, varies=gives)


def _gives(effect: Effect, tokens: Tokens, dialect: str) -> bool:
    if effect.definition is not None and (effect.definition.generates or varies(effect.definition.default, dialect)):
        return True
    return "identity" in effect.states or ("default" in effect.states and varies(tokens, dialect))


def _select_lists(tokens: Tokens, query: Span) -> Iterator[tuple[int, int]]:
    return selects(tokens, query.first, query.last)
