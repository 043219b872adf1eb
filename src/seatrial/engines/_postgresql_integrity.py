"""What declared constraints say about the rows that are stored, whether the server enforces them or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from seatrial.engines._postgresql_session import Session, quote, readable
from seatrial.errors import DatabaseError
from seatrial.model import (
    OFFENDING_KEPT,
    Attributes,
    Integrity,
    ObjectKey,
    Relationship,
    Schema,
    Snapshot,
    TableRef,
    TableState,
)
from seatrial.relations import relations
from seatrial.sql.tokens import WORD, tokenize

_TRUSTED = 100_000
"""Rows from which on a valid unique index is believed: the server has just enforced it, looking again costs a sort."""
_BELIEVED = f"its index is valid, and above {_TRUSTED:,} rows the server's word is taken: rows were not counted by key"
_HELD = f"NOT NULL stands, and above {_TRUSTED:,} rows the server's word is taken: nobody looked for NULL"


@dataclass(frozen=True)
class Facts:
    """What a snapshot knows when its constraints are judged."""

    schema: Schema
    states: tuple[TableState, ...]
    fresh: frozenset[TableRef]  # tables that were read anew
    since: Snapshot | None
    limit: int
    relationships: tuple[Relationship, ...] = ()

    @cached_property
    def _states(self) -> dict[TableRef, TableState]:
        return {state.table: state for state in self.states}

    def has(self, table: TableRef) -> bool:
        return table in self._states

    def rows(self, table: TableRef) -> int:
        return self._states[table].rows

    def is_partitioned(self, table: TableRef) -> bool:
        return bool(self.schema.get(ObjectKey.of_table(table), {}).get("partition_key"))

    def is_fresh(self, table: TableRef) -> bool:
        """Whether its rows may be others now; a partitioned table's are in its partitions."""
        return self.since is None or table in self.fresh or (bool(self.fresh) and self.is_partitioned(table))

    @cached_property
    def columns(self) -> dict[TableRef, dict[str, Attributes]]:
        found: dict[TableRef, dict[str, Attributes]] = {table: {} for table in self._states}
        for key, attributes in self.schema.items():
            if key.kind == "column" and (owner := key.owner) in found:
                found[owner][key.name] = attributes
        return found

    def key(self, table: TableRef) -> tuple[str, ...]:
        """What names a row in a report: its key, else all of it."""
        return self._states[table].key or tuple(self.columns[table])

    @cached_property
    def primary(self) -> dict[TableRef, tuple[str, ...]]:
        """The columns of each primary key: that none is NULL is no question of its own."""
        keys = (
            (key.owner, a) for key, a in self.schema.items() if key.kind == "constraint" and a["type"] == "primary key"
        )
        return {owner: _texts(a.get("columns")) for owner, a in keys if owner is not None}

    @cached_property
    def answered(self) -> dict[Integrity, Integrity]:
        """What was asked at the moment before, without its answer, and with it."""
        known = self.since.integrity if self.since is not None else ()
        return {_asked_alone(i): i for i in reversed(known) if i.observed}

    @cached_property
    def same_functions(self) -> bool:
        """Whether conditions compute what they computed at the moment before."""
        before = self.since.schema if self.since is not None else Schema()
        return _functions(self.schema) == _functions(before)


def _functions(schema: Schema) -> dict[ObjectKey, Attributes]:
    return {key: a for key, a in schema.items() if key.kind == "function"}


@dataclass(frozen=True, slots=True)
class Question:
    """One constraint and the query that finds who breaks it; ``reads`` are the tables that it looks at."""

    found: Integrity
    reads: tuple[TableRef, ...]
    defined: tuple[ObjectKey, Attributes]
    trusted: str = ""  # why the server's word is taken
    held: bool = False  # by NOT NULL: all such columns of a table are asked for at once


def read(session: Session, facts: Facts, also: Schema | None) -> tuple[Integrity, ...]:
    """Every constraint of the schema that stands, then those that only ``also`` declares."""
    asker = _Asker(facts, session.reserved)
    questions = [*asker.questions(facts.schema), *asker.undeclared()]
    if also is not None:
        known = {_identity(q) for q in questions}
        for question in asker.questions(also, only_before=True):
            if _identity(question) not in known:
                questions.append(replace(question, found=replace(question.found, declared_before=True)))
    empty = _Empty(session, facts, questions)
    return tuple(_answer(session, facts, question, empty) for question in questions)


class _Empty:
    """Columns that are NOT NULL and hold NULL all the same, found by one look at each table that needs one."""

    def __init__(self, session: Session, facts: Facts, questions: Sequence[Question]) -> None:
        self._session, self._facts = session, facts
        self._held: dict[TableRef, list[str]] = {}
        self._found: dict[TableRef, set[str]] = {}
        for question in questions:
            if question.held:
                self._held.setdefault(question.found.table, []).append(question.found.columns[0])

    def has(self, question: Question) -> bool:
        table = question.found.table
        if table not in self._found:
            self._found[table] = self._look(table)
        return question.found.columns[0] in self._found[table]

    def _look(self, table: TableRef) -> set[str]:
        columns = self._held[table]
        asker = _Asker(self._facts, self._session.reserved)
        broken = ", ".join(f"count(*) FILTER (WHERE {quote(c)} IS NULL)" for c in columns)
        try:
            (counts,) = self._session.rows(f"SELECT {broken} FROM {asker.relation(table)}")
        except DatabaseError:  # each is asked for by itself, and says why not
            return set(columns)
        return {c for c, count in zip(columns, counts, strict=True) if int(count or 0)}


def _identity(question: Question) -> tuple[object, ...]:
    f = question.found
    return (f.rule, f.table, f.columns, f.references, f.expression, f.sql)


def _answer(session: Session, facts: Facts, question: Question, empty: _Empty) -> Integrity:
    if not question.found.observed:
        return question.found
    if question.trusted:
        return replace(question.found, sql="", observed=False, why_not=question.trusted)
    if carried := _carried(facts, question):
        return carried
    if question.held and not empty.has(question):
        return question.found
    return _asked(session, facts, question.found)


def _carried(facts: Facts, question: Question) -> Integrity | None:
    """The answer of ``since`` where neither rows nor the question changed."""
    if facts.since is None or any(facts.is_fresh(table) for table in question.reads) or not facts.same_functions:
        return None
    return facts.answered.get(_asked_alone(question.found))


def _asked_alone(answer: Integrity) -> Integrity:
    return replace(answer, count=0, keys=(), filled=None)


def _asked(session: Session, facts: Facts, found: Integrity) -> Integrity:
    key = facts.key(found.table)
    order = ", ".join(str(i + 2) for i in range(len(key))) if found.table in facts.columns and key else "1"
    keyed = facts._states[found.table].key
    order = order if keyed else "q::text"
    sql, most = found.sql.rstrip(";"), max(facts.limit, OFFENDING_KEPT)
    try:
        rows = session.rows(f"SELECT count(*) OVER (), q.* FROM (\n{sql}\n) q ORDER BY {order} LIMIT {most}")
        filled = bool(session.rows(_filled(facts, found))) if found.inferred and not rows else None
    except DatabaseError as error:
        return replace(found, observed=False, why_not=str(error))
    return replace(found, count=int(rows[0][0]) if rows else 0, keys=tuple(row[1:] for row in rows), filled=filled)


def _filled(facts: Facts, found: Integrity) -> str:
    relation = ".".join(quote(part) for part in found.table if part)
    return f"SELECT 1 FROM {relation} WHERE {quote(found.columns[0])} IS NOT NULL LIMIT 1"


@dataclass(frozen=True, slots=True)
class _Asker:
    """Turns constraints into queries over today's tables."""

    facts: Facts
    reserved: frozenset[str]

    def questions(self, schema: Schema, *, only_before: bool = False) -> Iterator[Question]:
        for key, attributes in schema.items():
            yield from self._question(key, attributes, only_before)
        yield from self._domains(schema)

    def undeclared(self) -> Iterator[Question]:
        """Relationships that the project's settings name, or that names suggest."""
        for key, a in relations(self.facts.schema, self.facts.relationships):
            if (owner := key.owner) in self.facts.columns and owner is not None:
                yield from self._foreign_key(owner, key, a, _texts(a["columns"]))

    def _question(self, key: ObjectKey, a: Attributes, only_before: bool) -> Iterator[Question]:
        owner = key.owner
        if owner is None or owner not in self.facts.columns or a.get("inherited") == "only":
            return
        if key.kind == "constraint":
            yield from self._constraint(owner, key, a)
        elif key.kind == "index" and a["unique"]:
            yield from self._unique(owner, key, a, _texts(a.get("keys")))
        elif key.kind == "column" and not a["nullable"]:
            stands = self.facts.columns[owner].get(key.name)
            loose = stands is not None and (stands["nullable"] or stands.get("not_null_validated") is False)
            if loose and (only_before or stands is a or a.get("not_null_validated") is False):
                yield self._nulls(owner, key, a)
            elif stands is a and key.name not in self.facts.primary.get(owner, ()):
                why = _HELD if self.facts.rows(owner) > _TRUSTED else ""
                yield replace(self._nulls(owner, key, a), held=True, trusted=why)

    def _constraint(self, table: TableRef, key: ObjectKey, a: Attributes) -> Iterator[Question]:
        columns = _texts(a.get("columns"))
        if not set(columns) <= self.facts.columns[table].keys():
            return
        if a["type"] == "foreign key":
            yield from self._foreign_key(table, key, a, columns)
        elif a["type"] in ("primary key", "unique"):
            yield from self._unique(table, key, a, tuple(self._name(c) for c in columns))
        elif a["type"] == "check":
            yield self._check(table, key, a, columns)

    def _name(self, name: str) -> str:
        return readable(name, self.reserved)

    def relation(self, table: TableRef, *, only: bool = True) -> str:
        """A table without its inheritance children, which constraints do not reach; with its partitions."""
        prefix = "ONLY " if only and not self.facts.is_partitioned(table) and self._has_children(table) else ""
        space = f"{self._name(table.namespace)}." if table.namespace else ""
        return prefix + space + self._name(table.name)

    def _has_children(self, table: TableRef) -> bool:
        shown = (self._name(table.namespace) + "." if table.namespace else "") + self._name(table.name)
        return any(k.kind == "table" and shown in _texts(a.get("inherits")) for k, a in self.facts.schema.items())

    def _keys(self, table: TableRef, alias: str = "") -> str:
        return ", ".join(alias + self._name(c) for c in self.facts.key(table)) or "1"

    def _foreign_key(
        self, table: TableRef, key: ObjectKey, a: Attributes, columns: tuple[str, ...]
    ) -> Iterator[Question]:
        space, _, name = str(a["references"]).rpartition(".")
        parent = next((t for t in self.facts.columns if str(t) == a["references"]), TableRef(space, name))
        targets = _texts(a["referenced_columns"])
        if parent not in self.facts.columns or not set(targets) <= self.facts.columns[parent].keys():
            return
        pairs = [(self._name(c), self._name(t)) for c, t in zip(columns, targets, strict=True)]
        some, link = (" AND " if a.get("match") != "FULL" else " OR "), " AND "
        filled = some.join(f"c.{c} IS NOT NULL" for c, _ in pairs)
        filled = f"({filled})" if some == " OR " and len(pairs) > 1 else filled
        matched = link.join(f"p.{t} = c.{c}" for c, t in pairs)
        sql = (
            f"SELECT {self._keys(table, 'c.')}\nFROM {self.relation(table)} c\nWHERE {filled}\n"
            f"  AND NOT EXISTS (SELECT FROM {self.relation(parent)} p WHERE {matched})"
        )
        found = Integrity(
            rule="orphaned-rows",
            object=key.label,
            table=table,
            columns=columns,
            references=f"{parent}({', '.join(targets)})",
            sql=sql,
            inferred=bool(a.get("inferred")),
        )
        if "PERIOD" in str(a["definition"]).partition("REFERENCES")[0]:
            found = replace(found, sql=self._uncovered(table, parent, pairs))
        yield Question(found, (table, parent), (key, a))

    def _uncovered(self, table: TableRef, parent: TableRef, pairs: list[tuple[str, str]]) -> str:
        """Rows whose period the periods of their parents together do not cover (18 manual, CREATE TABLE, PERIOD)."""
        *same, (period, theirs) = pairs
        filled = " AND ".join(f"c.{c} IS NOT NULL" for c, _ in pairs)
        matched = " AND ".join(f"p.{t} = c.{c}" for c, t in same)
        return (
            f"SELECT {self._keys(table, 'c.')}\nFROM {self.relation(table)} c\nWHERE {filled}\n"
            f"  AND c.{period} <@ (SELECT range_agg(p.{theirs}) FROM {self.relation(parent)} p WHERE {matched})"
            " IS NOT TRUE"
        )

    def _unique(
        self, table: TableRef, key: ObjectKey, a: Attributes, expressions: tuple[str, ...]
    ) -> Iterator[Question]:
        columns = tuple(c for c in _texts(a.get("columns")) if c)
        if not expressions or not set(columns) <= self.facts.columns[table].keys():
            return
        conditions = [] if a.get("nulls_not_distinct") else [f"{e} IS NOT NULL" for e in expressions]
        conditions += [str(a["predicate"])] if a.get("predicate") else []
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        keys = self._keys(table)
        sql = (
            f"SELECT {keys}\nFROM (SELECT {keys}, count(*) OVER (PARTITION BY {', '.join(expressions)}) AS copies\n"
            f"      FROM {self.relation(table)}{where}) d\nWHERE copies > 1"
        )
        if "WITHOUT OVERLAPS" in str(a.get("definition")):
            sql = self._overlapping(table, expressions)
        found = Integrity(rule="duplicate-keys", object=key.label, table=table, columns=columns, sql=sql)
        stands = self.facts.schema.get(key) == a and a.get("valid") is True
        believed = stands and self.facts.rows(table) > _TRUSTED
        yield Question(found, (table,), (key, a), trusted=_BELIEVED if believed else "")

    def _overlapping(self, table: TableRef, columns: tuple[str, ...]) -> str:
        """Rows that are alike in a temporal key but for its last column, and overlap there."""
        alike = " AND ".join([*(f"o.{c} = d.{c}" for c in columns[:-1]), f"o.{columns[-1]} && d.{columns[-1]}"])
        relation = self.relation(table)
        return (
            f"SELECT {self._keys(table, 'd.')}\nFROM {relation} d\nWHERE EXISTS (SELECT FROM {relation} o"
            f" WHERE (o.tableoid, o.ctid) <> (d.tableoid, d.ctid) AND {alike})"
        )

    def _check(self, table: TableRef, key: ObjectKey, a: Attributes, columns: tuple[str, ...]) -> Question:
        expression = str(a["expression"])
        sql = f"SELECT {self._keys(table)}\nFROM {self.relation(table)}\nWHERE NOT ({expression})"
        found = Integrity(
            rule="check-violated", object=key.label, table=table, columns=columns, expression=expression, sql=sql
        )
        return Question(found, (table,), (key, a))

    def _nulls(self, table: TableRef, key: ObjectKey, a: Attributes) -> Question:
        sql = f"SELECT {self._keys(table)}\nFROM {self.relation(table)}\nWHERE {self._name(key.name)} IS NULL"
        found = Integrity(rule="nulls-in-required", object=key.label, table=table, columns=(key.name,), sql=sql)
        return Question(found, (table,), (key, a))

    def _domains(self, schema: Schema) -> Iterator[Question]:
        """A domain's checks belong to no table (pg_constraint.conrelid is 0): every column of the domain is asked."""
        for key, a in schema.items():
            if key.kind != "domain" or not a.get("checks"):
                continue
            shown = (self._name(key.namespace) + "." if key.namespace else "") + self._name(key.name)
            for table, columns in self.facts.columns.items():
                for column in (c for c, facts in columns.items() if facts["type"] == shown):
                    yield self._domain_check(table, column, key, a)

    def _domain_check(self, table: TableRef, column: str, key: ObjectKey, a: Attributes) -> Question:
        conditions = [_condition(check, f"({self._name(column)})") for check in _texts(a["checks"])]
        broken = "\n   OR ".join(f"NOT ({c})" for c in conditions)
        found = Integrity(
            rule="check-violated",
            object=key.label,
            table=table,
            columns=(column,),
            expression=" AND ".join(conditions),
            sql=f"SELECT {self._keys(table)}\nFROM {self.relation(table)}\nWHERE {broken}",
        )
        return Question(found, (table,), (key, a))


def _condition(check: str, column: str) -> str:
    """``positive CHECK ((VALUE > 0)) NOT VALID`` -> ``(n > 0)``."""
    definition = check[check.index("CHECK (") + len("CHECK (") :]
    inner = definition[: definition.rindex(")")]
    tokens = tokenize(inner, "postgresql")
    pieces, end = [], 0
    for token in tokens:
        is_value = token.kind == WORD and token.word == "VALUE"
        pieces += [inner[end : token.start], column if is_value else token.text]
        end = token.end
    return "".join(pieces) + inner[end:]


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, tuple) else ()
