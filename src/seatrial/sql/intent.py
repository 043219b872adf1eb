"""What a step asked for: which tables, columns, objects and attributes its statements name, under every name they had.

This decides whether an observed change was asked for (collateral-change, collateral-schema-loss), never whether
something changed. All questions are asked with names of before the step; what the step made new answers to its name at
the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from functools import lru_cache

from seatrial.model import Attribute, ObjectKey, Renames, Schema, TableRef
from seatrial.sql.backfill import Unproven, backfills
from seatrial.sql.effects import Effect, Rule, Verb
from seatrial.sql.fills import Backfill
from seatrial.sql.lineage import Lineage
from seatrial.sql.probe import probe_sql
from seatrial.sql.rename import same_renamed
from seatrial.sql.split import split
from seatrial.sql.statement import Parsed, kind, parse, zones
from seatrial.sql.tables import Column, Event, Table
from seatrial.sql.taken_back import taken_back
from seatrial.sql.tokens import code
from seatrial.sql.values import is_nondeterministic
from seatrial.sql.world import World
from seatrial.values import dataclass

__all__ = ["Backfill", "Intent", "is_nondeterministic", "probe_sql", "read", "statement_kind", "touched_tables"]

_RULES = {
    "primary key": "primary key",
    "unique": "unique",
    "foreign key": "foreign key",
    "check": "check",
    "exclusion": "exclusion",
}
_SAME_KIND = {
    "materialized view": {"materialized view", "view"},
    "function": {"function", "routine", "procedure", "aggregate"},
    "procedure": {"procedure", "routine", "function"},
    "aggregate": {"aggregate", "routine"},
}


@dataclass(frozen=True, slots=True)
class Intent:
    """What the statements of one step ask for. Lookups give the statements that do it, in order."""

    statements: tuple[str, ...]
    renames: Renames
    opaque: tuple[str, ...]
    zones: tuple[str, ...]
    sets_zone: bool
    nondeterministic_columns: tuple[tuple[TableRef, str], ...]
    backfills: tuple[Backfill, ...]
    unjudged_backfills: tuple[tuple[str, str], ...]  # (statement, why it is not judged)
    unproven_backfills: tuple[Unproven, ...]  # of those, batches that may have left rows out
    _lineage: Lineage = field(repr=False)
    _checks_before: frozenset[str] = field(repr=False, default=frozenset())

    # --- tables and columns -------------------------------------------------------------------------------------------

    def names_table(self, table: TableRef) -> bool:
        """Whether some statement names the table, reads included, under any of its names."""
        return bool(self._lineage.naming(table))

    def mentions_column(self, table: TableRef, column: str) -> bool:
        """Whether a statement that names the table mentions or assigns the column."""
        return any(self._lineage.mentioning(c) for c in self._lineage.columns(table, column, related=True))

    def assigns_column(self, table: TableRef, column: str) -> tuple[str, ...]:
        return self._of_column(table, column, Verb.UPDATE)

    def drops_column(self, table: TableRef, column: str) -> tuple[str, ...]:
        return self._of_column(table, column, Verb.DROP_COLUMN)

    def adds_column(self, table: TableRef, column: str) -> tuple[str, ...]:
        return self._of_column(table, column, Verb.ADD_COLUMN)

    def alters_column_type(self, table: TableRef, column: str) -> tuple[str, ...]:
        """Statements that give the column a type: ALTER, MODIFY, CONVERT, and the CREATE TABLE of a rebuild."""
        tables, columns = self._lineage.tables(table), self._lineage.columns(table, column)
        found = []
        for event in self._lineage.world.events:
            redefined = event.verb is Verb.REDEFINE and event.column in columns and _states(event, "type")
            converted = event.verb is Verb.CONVERT and event.table in tables
            created = event.verb is Verb.CREATE_TABLE and event.table in tables and bool(_typed(event.table, columns))
            if redefined or converted or created:
                found.append(event.index)
        return self._texts(found)

    def updates(self, table: TableRef) -> tuple[str, ...]:
        return self._of_table(table, Verb.UPDATE)

    def inserts_into(self, table: TableRef) -> tuple[str, ...]:
        return self._of_table(table, Verb.INSERT)

    def deletes_from(self, table: TableRef) -> tuple[str, ...]:
        return self._of_table(table, Verb.DELETE)

    def truncates(self, table: TableRef) -> tuple[str, ...]:
        return self._of_table(table, Verb.TRUNCATE)

    def drops_table(self, table: TableRef) -> tuple[str, ...]:
        """DROP TABLE of any table that had the name, also of the old one in a rebuild."""
        return self._of_table(table, Verb.DROP_TABLE)

    def copied(self) -> tuple[tuple[tuple[TableRef, str], tuple[TableRef, str]], ...]:
        """((table, column) before the step, (table, column) at its end) where INSERT ... SELECT takes values over."""
        return self._lineage.copied()

    def rebuilds(self, table: TableRef) -> tuple[str, ...]:
        """The statements that put another table in its place: CREATE, INSERT ... SELECT, DROP, RENAME."""
        if self._lineage.replacement(table) is None:
            return ()
        return self._of_table(table, Verb.CREATE_TABLE, Verb.INSERT, Verb.DROP_TABLE, Verb.RENAME_TABLE)

    def naming(self, table: TableRef) -> tuple[str, ...]:
        """Every statement that names the table."""
        return self._texts(self._lineage.naming(table))

    def moves_schemas(self) -> dict[str, str]:
        """Schemas that were renamed: old name -> new name."""
        return dict(self._lineage.world.schemas)

    def only_renamed(self, old: Attribute, new: Attribute) -> bool:
        """Whether two definitions differ only in names of types, labels, functions ... that a statement renamed."""
        effects = [e.effect for e in self._lineage.world.events if e.effect is not None and e.effect.other is not None]
        names = [(e.new, e.other.name) for e in effects if e.other is not None and e.kind.startswith("renamed ")]
        moves = [(e.new, e.other.name) for e in effects if e.other is not None and e.kind == "moved"]
        schemas = {name or "public" for pair in moves for name in pair}
        if not names and not schemas:
            return False
        dialect = self._lineage.world.dialect
        both = list(zip(_texts_of(old), _texts_of(new), strict=False))
        return len(_texts_of(old)) == len(_texts_of(new)) and all(
            same_renamed(a, b, dialect, names, schemas) for a, b in both
        )

    # --- objects ------------------------------------------------------------------------------------------------------

    def names_object(self, key: ObjectKey) -> bool:
        """Whether some statement names that object itself."""
        return bool(self.naming_object(key))

    def naming_object(self, key: ObjectKey) -> tuple[str, ...]:
        """The statements that name that object itself; for one without a name, those that add or drop its like."""
        return self._texts(self._naming_object(key))

    def asks_foreign_keys(self) -> dict[TableRef, tuple[str, ...]]:
        """What declares foreign keys, by the table's name at the end: the texts, whether or not the engine obeyed."""
        found: dict[TableRef, list[int]] = {}
        for event in self._lineage.world.events:
            rule = event.effect.rule if event.effect is not None else None
            asked = rule is not None and rule.type == "foreign key" and not rule.dropped
            if asked and event.verb is Verb.RULE and event.table is not None and event.table.ref is not None:
                found.setdefault(event.table.ref, []).append(event.index)
        return {table: self._texts(indexes) for table, indexes in found.items()}

    def states_attribute(self, key: ObjectKey, attribute: str) -> bool:
        """Whether a statement says something about that attribute of a column or a table."""
        if key.owner is not None and attribute in _INHERITED and self._changes_parent(key.owner):
            return True
        if key.owner is not None and attribute in _CHOSEN and self._chooses_index(key.owner, attribute):
            return True
        if key.owner is None or key.kind not in ("table", "column"):
            return self.names_object(key) and not self._restates_without(key, attribute)
        said = {attribute, *_FOLLOWS.get(attribute, ())}
        if key.kind == "table":
            return any(said & t.states for t in self._lineage.tables(key.owner))
        columns = self._lineage.columns(key.owner, key.name, related=True)
        stated = {s for c in columns for s in c.states}
        if stated & said or (attribute == "identity_options" and self._names_sequence(key)):
            return True
        if said & _NOT_NULL and self._names_not_null(key):
            return True
        return attribute in ("type", "default") and self._renames_within(key, attribute)

    def _restates_without(self, key: ObjectKey, attribute: str) -> bool:
        """A foreign key is declared again where its table is rebuilt, without the action that it had."""
        if attribute not in ACTIONS:
            return False
        rules = [e.effect.rule for e in self._lineage.world.events if e.effect is not None and self._names(e, key)]
        known = [r for r in rules if r is not None]
        declared = len(known) == len(rules) and all(r.type == "foreign key" and not r.dropped for r in known)
        return declared and not any(attribute in r.states for r in known)

    def _names_sequence(self, key: ObjectKey) -> bool:
        """ALTER SEQUENCE orders_id_seq is about the identity of orders.id."""
        name = f"{key.table}_{key.name}_seq"
        effects = [e.effect for e in self._lineage.world.events if e.effect is not None]
        return any(e.kind == "sequence" and self._same(e.new, name) for e in effects)

    def _names_not_null(self, key: ObjectKey) -> bool:
        """PostgreSQL 18: DROP, VALIDATE, ALTER or RENAME CONSTRAINT of a column's NOT NULL."""
        given = str(self._lineage.world.schema.get(key, {}).get("given_name") or "")
        rules = [(e, e.effect.rule) for e in self._lineage.world.events if e.effect is not None]
        return bool(given) and any(r is not None and r.name == given and self._is_on(e, key) for e, r in rules)

    def _chooses_index(self, table: TableRef, attribute: str) -> bool:
        """Where a table is told which index it goes by, another one is it no longer."""
        return any(_CHOSEN[attribute] in t.states for t in self._lineage.tables(table))

    def _changes_parent(self, table: TableRef) -> bool:
        """ATTACH, DETACH, INHERIT: what a table inherits is its own from then on, or the other way round."""
        return any("inherits" in t.states for t in self._lineage.tables(table))

    def _naming_object(self, key: ObjectKey) -> list[int]:
        world = self._lineage.world
        if key.kind == "table":
            return list(self._lineage.naming(TableRef(key.namespace, key.name)))
        if key.kind == "column":
            columns = self._lineage.columns(TableRef(key.namespace, key.table), key.name, related=True)
            return [i for c in columns for i in self._lineage.mentioning(c)]
        return [e.index for e in world.events if self._names(e, key)]

    def _names(self, event: Event, key: ObjectKey) -> bool:
        effect = event.effect
        if effect is None:
            return False
        if key.kind == "grant":
            return event.verb is Verb.GRANT and self._is_granted(event, effect, key)
        if key.kind == "row security":
            return event.verb is Verb.ROW_SECURITY and self._is_on(event, key)
        if event.verb is Verb.RULE and effect.rule is not None and self._is_on(event, key):
            return self._is_rule(effect.rule, key)
        return event.verb is Verb.OBJECT and self._is_object(event, effect, key)

    def _is_on(self, event: Event, key: ObjectKey) -> bool:
        owner = key.owner or TableRef(key.namespace, key.name)
        return event.table is not None and event.table in self._lineage.tables(owner)

    def _is_granted(self, event: Event, effect: Effect, key: ObjectKey) -> bool:
        if effect.kind == "all in schema":
            return effect.new == key.namespace or (not key.namespace and effect.new in ("public", "main"))
        if event.table is not None:
            owner = TableRef(key.namespace, key.table or key.name.split(".")[0])
            return event.table in self._lineage.tables(owner)
        return self._same(effect.new, key.table or key.name.split("(")[0])

    def _is_rule(self, rule: Rule, key: ObjectKey) -> bool:
        attributes = self._lineage.world.schema.get(key, {})
        given = str(attributes.get("given_name") or "")  # a renamed table takes it along: orders_ibfk_2, sales_ibfk_2
        if rule.name and (self._same(rule.name, key.name) or (given and _is_given(rule.name, given))):
            return True
        wanted = _RULES.get(key.kind) or str(attributes.get("type") or "")
        if key.kind == "index" and attributes.get("unique"):
            wanted = "unique"
        if not wanted or rule.type != wanted:
            return False
        if wanted == "primary key":
            return True
        return self._covers(rule, key, attributes.get("columns"), attributes)

    def _covers(self, rule: Rule, key: ObjectKey, columns: object, attributes: object) -> bool:
        """Whether an added or dropped rule without this name is about the same columns."""
        old = [str(c) for c in columns] if isinstance(columns, (tuple, list)) else _columns_in(key.name)
        if rule.type == "check":
            expression = str(attributes.get("expression") or key.name) if isinstance(attributes, dict) else key.name
            names = {t.name.casefold() for t in code(expression, self._lineage.world.dialect) if t.name}
            shared = names & {c.casefold() for c in rule.columns}
            return bool(shared) and rule.text.casefold() not in self._checks_before
        return sorted(c.casefold() for c in old) == sorted(c.casefold() for c in rule.columns)

    def _is_object(self, event: Event, effect: Effect, key: ObjectKey) -> bool:
        kinds = _SAME_KIND.get(key.kind, {key.kind}) | ({"index"} if key.kind in ("constraint", "unique") else set())
        if effect.kind not in kinds:
            return False
        if event.table is not None and key.table and not self._is_on(event, key):
            return False
        if not effect.new:
            return True  # ENABLE TRIGGER ALL
        return self._same(effect.new, key.name.split("(")[0] if "function" in kinds or "routine" in kinds else key.name)

    def _same(self, one: str, other: str) -> bool:
        return one == other or (self._lineage.world.dialect != "postgresql" and one.casefold() == other.casefold())

    def _renames_within(self, key: ObjectKey, attribute: str) -> bool:
        """A type or sequence that a column rests on was renamed: its definition says so."""
        world = self._lineage.world
        renamed = {e.effect.new for e in world.events if e.effect is not None and e.effect.kind in _RENAMED}
        text = str(world.schema.get(key, {}).get(attribute) or "")
        names = {part for t in code(text, world.dialect) for part in (t.name, *t.value.split("."))}
        return bool(renamed & names)

    # --- lookups ------------------------------------------------------------------------------------------------------

    def _of_table(self, table: TableRef, *verbs: Verb) -> tuple[str, ...]:
        tables = self._lineage.tables(table)
        return self._texts(e.index for e in self._lineage.world.events if e.verb in verbs and e.table in tables)

    def _of_column(self, table: TableRef, column: str, verb: Verb) -> tuple[str, ...]:
        columns = self._lineage.columns(table, column, related=True)
        return self._texts(e.index for e in self._lineage.world.events if e.verb is verb and e.column in columns)

    def _texts(self, indexes: Iterable[int]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.statements[i] for i in sorted(set(indexes))))


ACTIONS = ("on_delete", "on_update", "deferrable", "deferred", "match")
"""What a foreign key's declaration may leave out, each an attribute of its own."""

# Attributes that some engines keep beside the one that a statement says.
_CHOSEN = {"clustered": "cluster", "replica_identity": "replica_identity"}  # an index's attribute: what its table says
_FOLLOWS = {
    "identity_options": ("identity", "type"),  # a wider column's sequence counts further
    "stored": ("generated",),
    "generated_kind": ("generated",),
    "no_default": ("nullable",),
    "on_conflict": ("nullable",),
    **dict.fromkeys(("not_null_validated", "not_null_inherited", "not_null_name", "not_null_comment"), ("nullable",)),
    "partitions": ("partition_key",),
    "row_format": ("engine",),  # each has a default of its own
}
_NOT_NULL = {"nullable", "not_null_name", "not_null_comment"}
_INHERITED = ("inherited", "identity", "identity_options")  # a partition has its parent's identity (17, manual, 5.3)
_RENAMED = ("renamed type", "renamed domain", "renamed sequence")


def _texts_of(value: Attribute) -> tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, tuple) else (str(value),)


def _is_given(name: str, given: str) -> bool:
    return f"_{name}".casefold().endswith(f"_{given}".casefold())


def _states(event: Event, attribute: str) -> bool:
    return event.effect is not None and attribute in event.effect.states


def _typed(table: Table | None, columns: Iterable[Column]) -> list[Column]:
    own = set(map(id, table.columns.values())) if table is not None else set()
    return [c for c in columns if id(c) in own and c.type]


def _columns_in(name: str) -> list[str]:
    """The columns in the name of an object without one: ``orders(user_id, status)``."""
    inside = name[name.find("(") + 1 : name.rfind(")")] if "(" in name else ""
    return [c.strip() for c in inside.split(",") if c.strip()]


def read(
    statements: Sequence[str],
    dialect: str,
    schema: Schema,
    *,
    observed: bool = True,
    session: Sequence[str] = (),
    undone: frozenset[int] = frozenset(),
) -> Intent:
    """What the statements of one step ask for; ``schema`` is the schema before it.

    ``observed`` says whether these are all the statements that ran; where they are not, everything is opaque.
    ``session``: what the connection was given before them. ``undone``: places of statements that did nothing in the
    end; they name what they name.
    """
    return _read(tuple(statements), dialect, schema, observed, tuple(session), undone)


@lru_cache(maxsize=256)  # the trial asks, then the checks, for the second up the same again, then each report
def _read(
    statements: tuple[str, ...],
    dialect: str,
    schema: Schema,
    observed: bool,
    session: tuple[str, ...],
    undone: frozenset[int],
) -> Intent:
    world = World(schema, dialect)
    found_zones: dict[str, None] = {}
    sets_zone = False
    parts = list(_parsed(statements, dialect))
    back = taken_back([p.tokens for _, p in parts], dialect)
    for place, (index, parsed) in enumerate(parts):
        world.run(parsed, index, executed=place not in back and index not in undone)
        for zone, sets in zones(parsed.tokens):
            found_zones[zone] = None
            sets_zone = sets_zone or sets
    lineage = Lineage(world)
    judged, unjudged, unproven = backfills(world, statements, session)
    opaque = tuple(statements[i] for i in sorted(world.opaque))
    if not observed:
        opaque = statements or ("what the step sent to the database was not observed",)
    return Intent(
        statements=statements,
        renames=lineage.renames(),
        opaque=opaque,
        zones=tuple(found_zones),
        sets_zone=sets_zone,
        nondeterministic_columns=lineage.varying(),
        backfills=judged if observed else (),
        unjudged_backfills=unjudged,
        unproven_backfills=unproven,
        _lineage=lineage,
        _checks_before=_checks(schema, dialect),
    )


def _parsed(statements: Sequence[str], dialect: str) -> Iterator[tuple[int, Parsed]]:
    """Every single statement, with the place of the text that holds it."""
    for index, text in enumerate(statements):
        parts = split(text, dialect) if ";" in text else ()
        for part in [p.text for p in parts] if len(parts) > 1 else [text]:
            yield index, parse(part, dialect)


@lru_cache(maxsize=64)  # the downs of a trial, and what is asked beside it, begin from the same schemas
def _checks(schema: Schema, dialect: str) -> frozenset[str]:
    """The conditions of every check before the step, in the form of ``Rule.text``."""
    texts = set()
    for key, attributes in schema.items():
        if key.kind == "check" or attributes.get("type") == "check":
            expression = str(attributes.get("expression") or _inside(key.name))
            texts.add(" ".join(t.word or t.value for t in code(expression, dialect)).casefold())
    return frozenset(texts)


def _inside(name: str) -> str:
    return name[name.find("(") + 1 : name.rfind(")")]


def statement_kind(text: str, dialect: str) -> str:
    """The leading words of a statement for a report: "ALTER TABLE", "CREATE INDEX", "UPDATE"."""
    return kind(code(text, dialect), dialect)


def touched_tables(text: str, dialect: str) -> tuple[TableRef, ...]:
    """The tables that a statement names, in order, as written (``namespace`` empty without a qualifier)."""
    parsed = parse(text, dialect)
    found = [*parsed.found.tables, *(m for p in parsed.parts for m in p.found.tables)]
    return tuple(dict.fromkeys(TableRef(m.name.qualifier, m.name.name) for m in found))
