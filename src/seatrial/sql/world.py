"""Names followed through a migration: which table and column every statement really works on.

A ``Table`` is one table with its own rows from its creation to its end, whatever it is called meanwhile; the same holds
for a ``Column``. Statements are applied in order to the schema before the step; every effect becomes an ``Event``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from seatrial.model import Schema, TableRef
from seatrial.sql.apply import apply
from seatrial.sql.cursor import Name, Tokens
from seatrial.sql.drawing import calls, drawing, routines
from seatrial.sql.effects import Verb
from seatrial.sql.mentions import ASSIGNED, Mentions
from seatrial.sql.statement import BLOCKS, Parsed, is_plain_call, parse, prepared, routine_body, texts_of
from seatrial.sql.tables import TEMPORARY, Column, Copy, Event, Run, Table, declared, fold
from seatrial.sql.tokens import code
from seatrial.sql.values import varies

_DEFAULTS = ("public", "main", "dbo")
_DYNAMIC = "it is dynamic SQL"
_DEPTH = 8  # how far calls of calls are followed


class World:
    """The schema before the step, and what the statements make of its names."""

    def __init__(self, schema: Schema, dialect: str) -> None:
        self.schema, self.dialect = schema, dialect
        self.tables: dict[TableRef, Table] = {}
        self.views: dict[TableRef, Tokens] = {}
        self.routines = routines(schema, dialect)
        self._drawing: tuple[int, frozenset[str]] = (0, frozenset())  # of so many definitions
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
        self.inner: list[Run] = []  # what ran inside of these: in DO blocks, in routines that they called
        self.variables: dict[str, tuple[str, ...]] = {}  # MySQL's @name -> the SQL texts that it may hold
        self._read_schema()

    def _read_schema(self) -> None:
        for key, attributes in self.schema.items():
            if key.kind == "table":
                ref = TableRef(key.namespace, key.name)
                self.tables[ref] = Table(
                    ref, before=ref, declared=partial(declared, self.schema, ref, self.dialect, self._draws)
                )
            elif key.kind in ("view", "materialized view"):
                definition = str(attributes.get("definition") or "")
                self.views[TableRef(key.namespace, key.name)] = code(definition, self.dialect)

    def varies(self, tokens: Tokens) -> bool:
        """Whether an expression gives another value every time."""
        return varies(tokens, self.dialect) or self._draws(tokens)

    def _draws(self, tokens: Tokens) -> bool:
        count = sum(map(len, self.routines.values()))
        if count != self._drawing[0]:
            self._drawing = (count, drawing(self.routines, self.dialect))
        return calls(tokens, self._drawing[1], self.dialect)

    def fold(self, name: str) -> str:
        """How names are compared."""
        return fold(name, self.dialect)

    # --- looking names up ---------------------------------------------------------------------------------------------

    def ref(self, name: Name) -> TableRef:
        """Where an object of this name would be created."""
        if not name.qualifier:
            return TableRef(self.path[0], name.name)
        return TableRef(self.namespace(name.qualifier), name.name)

    def namespace(self, qualifier: str) -> str:
        if qualifier in self.namespaces and qualifier:
            return qualifier
        own = qualifier in _DEFAULTS or self.dialect in ("mysql", "mariadb")
        return "" if own else TEMPORARY if qualifier.lower() in ("temp", "pg_temp") else qualifier

    def table(self, name: Name | None) -> Table | None:
        if name is None or not name.name:
            return None
        places = [self.namespace(name.qualifier)] if name.qualifier else [TEMPORARY, *self.path]
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
        found = table.columns.get(self.fold(name))
        if found is None and table.open and name:
            found = table.columns[self.fold(name)] = Column(name)
        return found

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self, parsed: Parsed, index: int, *, depth: int = 0, executed: bool = True, why: str = "") -> None:
        """Apply one statement. ``why``: why it is not certain that what is around it runs it as it stands."""
        known = self.variables.get(prepared(parsed.tokens), ())
        for text in known:
            self.run(parse(text, self.dialect), index, depth=max(depth, 1), executed=executed, why=_DYNAMIC)
        if parsed.opaque and not known:
            self.opaque.add(index)
        if (variable := texts_of(parsed.tokens)) is not None:
            self.variables[variable[0]] = variable[1]
        run = Run(index, parsed, first=len(self.events), why=why or parsed.around.why)
        if depth == 0:
            self.runs.append(run)
        elif executed and parsed.executed:
            self.inner.append(run)
        self._apply(run, executed=executed)
        inside = why or ("" if parsed.kind in BLOCKS else _DYNAMIC)
        for part in parsed.parts:
            self.run(part, index, depth=max(depth, 1), executed=executed and parsed.executed, why=inside)
        if executed and parsed.executed and depth < _DEPTH:
            self._call(run, depth)

    def _apply(self, run: Run, *, executed: bool) -> None:
        parsed, index = run.parsed, run.index
        self._name(parsed, index, run, executed=executed and parsed.executed)
        if executed:
            self.displaced.clear()
            for effect in parsed.effects:
                apply(self, effect, parsed, index, run)
            self._set_path(parsed.tokens)
            self._name(parsed, index, run, executed=parsed.executed)
        run.last = len(self.events)

    def _name(self, parsed: Parsed, index: int, run: Run, *, executed: bool) -> None:
        found = parsed.found
        scopes: dict[int, set[Table]] = {}
        for mention in found.tables:
            table = self.table(mention.name)
            if table is None:
                continue
            self.mark(table, index, rows=mention.rows)
            scopes.setdefault(mention.scope, set()).add(table)
            run.tables.setdefault(self.fold(mention.alias or mention.name.name), set()).add(table)
            if mention.alias:
                run.tables.setdefault(self.fold(mention.name.name), set()).add(table)
        self._mention(found, index, run, scopes, executed=executed)

    def mark(self, table: Table, index: int, *, rows: bool) -> None:
        self.named.setdefault(table, set()).add(index)
        if rows:
            self.named_rows.setdefault(table, set()).add(index)

    def _mention(self, found: Mentions, index: int, run: Run, scopes: dict[int, set[Table]], *, executed: bool) -> None:
        everywhere = set().union(*run.tables.values()) if run.tables else set()
        for (qualifier, name), scope in zip(found.columns, found.scopes, strict=True):
            if qualifier:
                tables = run.tables.get(self.fold(qualifier), everywhere)
            elif scope == ASSIGNED and executed:
                continue  # the UPDATE itself says whose column it is
            else:
                tables = self._in_scope(name, scope, scopes, found.parents) or everywhere
            run.columns |= self.mention_in(tables, name, index)
        for scope, qualifier in found.stars:
            for table in run.tables.get(self.fold(qualifier), set()) if qualifier else scopes.get(scope, set()):
                self.mention_all(table, index)

    def _in_scope(
        self, name: str, scope: int | None, scopes: dict[int, set[Table]], parents: dict[int, int]
    ) -> set[Table]:
        """The tables of the innermost SELECT around a name that have such a column."""
        while scope is not None:
            if found := {t for t in scopes.get(scope, set()) if self.fold(name) in t.columns}:
                return found
            scope = parents.get(scope)
        return set()

    def mention_in(self, tables: Iterable[Table], name: str, index: int) -> set[Column]:
        found = {c for t in tables if (c := t.columns.get(self.fold(name))) is not None}
        for column in found:
            self.mentioned.setdefault(column, set()).add(index)
        return found

    def mention_all(self, table: Table, index: int) -> None:
        for column in table.columns.values():
            self.mentioned.setdefault(column, set()).add(index)

    def _set_path(self, tokens: Tokens) -> None:
        words = [t.word for t in tokens[:4]]
        if words[:1] == ["SET"] and "SEARCH_PATH" in words:
            at = words.index("SEARCH_PATH")
            names = [t.name or t.value for t in tokens[at + 2 :] if t.kind in ("word", "quoted", "string")]
            kept = ["" if n in _DEFAULTS or n == "DEFAULT" else n for n in names if n != "$user"]
            self.path = tuple(dict.fromkeys(kept)) or ("",)

    def _call(self, run: Run, depth: int) -> None:
        """Run the bodies of the routines that a statement calls."""
        parsed, index = run.parsed, run.index
        required = {self.fold(e.other.name) for e in parsed.effects if e.verb is Verb.CALL and e.other}
        called = required | {self.fold(c.name) for c in parsed.found.calls}
        for name in sorted(called):
            definitions = self.routines.get(name)
            if definitions is None and name in required:
                self.opaque.add(index)
            for definition in definitions or ():
                body = routine_body(definition, self.dialect)
                if body is None:
                    self.opaque.add(index)
                why = _why_called(run, len(set(definitions or ())))
                for part in body or ():
                    self.run(part, index, depth=depth + 1, why=why)


def _why_called(run: Run, count: int) -> str:
    """Why it is not certain that a routine is run once; empty where it is."""
    if run.why or count > 1:
        return run.why or "which of several routines of this name runs is not known"
    if run.parsed.around.repeated:
        return "its routine is called in a loop"
    return "" if is_plain_call(run.parsed.tokens) else "its routine is called inside a larger statement"
