"""What every declared constraint says about the stored rows, whether SQLite enforced it or not; and counters."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from weakref import WeakValueDictionary

from seatrial.engines._sqlite_catalog import Catalog, Table
from seatrial.engines._sqlite_forms import quoted
from seatrial.engines._sqlite_values import as_texts, exactly
from seatrial.model import Attributes, Counter, Integrity, ObjectKey, Relationship, Schema, TableRef
from seatrial.relations import relations
from seatrial.values import dataclass

MOST_MADE = 10_000  # tables whose questions are remembered
KINDS = frozenset({"constraint", "primary key", "unique", "foreign key", "check", "index", "column"})


@dataclass(frozen=True, slots=True)
class Question:
    """A constraint with the query that finds what breaks it; ``parent`` is the other table that it reads."""

    integrity: Integrity
    parent: str | None = None

    def reads_only(self, tables: frozenset[str]) -> bool:
        return self.integrity.table.name in tables and (self.parent is None or self.parent in tables)


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Asked:
    """The questions of a schema, and of ``also`` beside it; both are kept, so no others get their ids."""

    schema: Schema
    also: Schema | None
    questions: Sequence[Question]


class Asker:
    """Makes questions, and remembers them: from one moment to the next most of a schema stays as it is.

    Those that a moment holds are found again, beside the newest few.
    """

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[int, int], Asked] = WeakValueDictionary()
        self._recent: deque[Asked] = deque(maxlen=16)
        self._made: dict[tuple[int, ...], _Made] = {}

    def questions(self, catalog: Catalog, also: Schema | None, relationships: tuple[Relationship, ...] = ()) -> Asked:
        """Every constraint of the schema, and those of ``also`` beside it that can still be asked."""
        also = None if also is catalog.schema else also
        seen = id(catalog.schema), id(also)
        known = self._known.get(seen)
        if known is None:
            known = Asked(catalog.schema, also, self._all(catalog, also, relationships))
            self._known[seen] = known
            self._recent.append(known)
        return known

    def _all(self, catalog: Catalog, also: Schema | None, relationships: tuple[Relationship, ...]) -> list[Question]:
        found = [*self._declared(catalog), *_undeclared(catalog, relationships)]
        if also is not None:
            other = {key: a for key, a in also.items() if catalog.schema.get(key) != a}
            known = {_sameness(q.integrity) for q in found} if other else set()
            for _, question in _questions(catalog, other):
                if _sameness(question.integrity) not in known:
                    found.append(replace(question, integrity=replace(question.integrity, declared_before=True)))
        return found

    def _declared(self, catalog: Catalog) -> list[Question]:
        """In the order of the schema."""
        asked = [one for table in catalog.tables.values() for one in self._of_table(catalog, table)]
        return [question for _, question in sorted(asked, key=itemgetter(0))]

    def _of_table(self, catalog: Catalog, table: Table) -> tuple[_Keyed, ...]:
        """What was made of a table before, where it and the tables that it refers to are the same."""
        parents = tuple(catalog.table(c.references) for c in table.text.constraints if c.type == "foreign key")
        place = id(table), *map(id, parents)
        made = self._made.get(place)
        if made is None or None in parents:
            if len(self._made) > MOST_MADE:
                self._made.clear()
            objects = catalog.schema.of(TableRef("", table.name))
            made = self._made[place] = _Made(table, parents, tuple(_questions(catalog, objects)))
        return made.questions


_Keyed = tuple[ObjectKey, Question]


@dataclass(frozen=True, slots=True)
class _Made:
    """The questions of a table with what they were made of; tables are kept, so no other ones get their ids."""

    table: Table
    parents: tuple[Table | None, ...]
    questions: tuple[_Keyed, ...]


def _questions(catalog: Catalog, objects: Mapping[ObjectKey, Attributes]) -> Iterator[_Keyed]:
    """What is asked of the rows for some objects, those of tables that are there."""
    for key, attributes in objects.items():
        if key.kind not in KINDS or (key.kind == "column" and attributes.get("nullable")):
            continue
        table = catalog.tables.get(key.table)
        if table is None or table.virtual:
            continue
        if (question := _question(catalog, table, key, attributes)) is not None:
            yield key, question


def _sameness(one: Integrity) -> tuple[object, ...]:
    return one.rule, one.table, one.sql


def _undeclared(catalog: Catalog, relationships: tuple[Relationship, ...]) -> Iterator[Question]:
    """Relationships that the project's settings name, or that names suggest."""
    for key, attributes in relations(catalog.schema, relationships):
        table = catalog.tables.get(key.table)
        if table is not None and not table.virtual:
            yield _orphans(catalog, table, key, attributes, _names(attributes["columns"]))


def _question(catalog: Catalog, table: Table, key: ObjectKey, attributes: Attributes) -> Question | None:
    type_ = str(attributes.get("type")) if key.kind not in ("index", "column") else key.kind
    if type_ == "column":
        return _required(table, key, attributes)
    columns = _names(attributes.get("columns"))
    if any(c and table.column(c) is None for c in columns):
        return None
    if type_ == "foreign key":
        return _orphans(catalog, table, key, attributes, columns)
    if type_ == "check":
        return _check(table, key, attributes, columns)
    if type_ in ("unique", "primary key") or (type_ == "index" and attributes.get("unique")):
        return _duplicates(table, key, attributes, columns)
    return None


def _names(value: object) -> tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, tuple) else ()


def _select(table: Table, letter: str = "") -> str:
    """The key of a row; all of it where it has none."""
    names = table.key or tuple(c.name for c in table.columns if c.hidden != 1)
    prefix = f"{letter}." if letter else ""
    return ", ".join(prefix + quoted(n) for n in names)


def _query(table: Table, condition: str, letter: str = "") -> str:
    alias = f" AS {letter}" if letter else ""
    key = _select(table, letter)
    return f"SELECT {key} FROM {quoted(table.name)}{alias} WHERE {condition} ORDER BY {key}"


def _required(table: Table, key: ObjectKey, attributes: Attributes) -> Question | None:
    column = table.column(key.name)
    if attributes.get("nullable") or column is None or column.name == table.alias or attributes.get("hidden"):
        return None
    # not IS NULL, which SQLite answers from the declaration alone where the column is NOT NULL
    sql = _query(table, f"typeof({quoted(column.name)}) = 'null'")
    return Question(
        Integrity(
            rule="nulls-in-required", object=key.label, table=TableRef("", table.name), columns=(column.name,), sql=sql
        )
    )


def _check(table: Table, key: ObjectKey, attributes: Attributes, columns: tuple[str, ...]) -> Question:
    expression = str(attributes.get("expression"))
    return Question(
        Integrity(
            rule="check-violated",
            object=key.label,
            table=TableRef("", table.name),
            columns=columns,
            expression=expression,
            sql=_query(table, f"NOT ({expression})"),
        )
    )


def _duplicates(table: Table, key: ObjectKey, attributes: Attributes, columns: tuple[str, ...]) -> Question | None:
    if columns == (table.alias,):
        return None  # the rowid itself: the b-tree cannot hold one twice
    terms = _names(attributes.get("terms")) or tuple(quoted(c) for c in columns)
    collations = _names(attributes.get("collations")) or ("",) * len(terms)
    own = [
        (quoted(c) if c else f"({t})") + (f" COLLATE {o}" if o else "")
        for c, t, o in zip(columns, terms, collations, strict=True)
    ]
    predicate = f"({attributes['predicate']})" if attributes.get("predicate") else ""
    inner = " AND ".join([f"{t} IS NOT NULL" for t in own] + ([predicate] if predicate else []))
    listed = ", ".join(own)
    groups = f"SELECT {listed} FROM {quoted(table.name)} WHERE {inner} GROUP BY {listed} HAVING count(*) > 1"
    left = f"({listed})" if len(own) > 1 else listed
    sql = _query(table, f"{left} IN ({groups})" + (f" AND {predicate}" if predicate else ""))
    return Question(
        Integrity(
            rule="duplicate-keys",
            object=key.label,
            table=TableRef("", table.name),
            columns=tuple(c for c in columns if c),
            expression=str(attributes.get("definition") or ""),
            sql=sql,
        )
    )


def _orphans(
    catalog: Catalog, table: Table, key: ObjectKey, attributes: Attributes, columns: tuple[str, ...]
) -> Question:
    name = str(attributes.get("references"))
    parent = catalog.table(name)
    referenced = _names(attributes.get("referenced_columns"))
    fact = Integrity(
        rule="orphaned-rows",
        object=key.label,
        table=TableRef("", table.name),
        columns=columns,
        references=f"{name}({', '.join(referenced)})",
        inferred=bool(attributes.get("inferred")),
    )
    present = " AND ".join(f"c.{quoted(c)} IS NOT NULL" for c in columns)
    if parent is None and name.lower() in catalog.hidden:
        return Question(replace(fact, observed=False, why_not=f"{name} is a bookkeeping table, which is not looked at"))
    if parent is None:
        return Question(replace(fact, sql=_query(table, present, "c")))
    if len(referenced) != len(columns) or any(parent.column(r) is None for r in referenced):
        why = f"{name} has no column {', '.join(r for r in referenced if parent.column(r) is None) or 'to refer to'}"
        return Question(replace(fact, observed=False, why_not=why), parent.name)
    # + takes the child's affinity away: the parent key's affinity and collation decide (foreignkeys.html, section 3)
    same = " AND ".join(f"p.{quoted(r)} = +c.{quoted(c)}" for c, r in zip(columns, referenced, strict=True))
    missing = f"NOT EXISTS (SELECT 1 FROM {quoted(parent.name)} AS p WHERE {same})"
    return Question(replace(fact, sql=_query(table, f"{present} AND {missing}", "c")), parent.name)


def ask(connection: sqlite3.Connection, question: Question, limit: int) -> Integrity:
    """Run a constraint's query: how many rows break it, and the first of them."""
    fact = question.integrity
    if not fact.observed:
        return fact
    try:
        rows = exactly(connection, lambda: connection.execute(fact.sql).fetchmany(limit + 1))
        count = len(rows)
        if count > limit:
            count = connection.execute(f"SELECT count(*) FROM ({fact.sql})").fetchone()[0]
        filled = _is_filled(connection, fact) if fact.inferred and not count else None
    except sqlite3.Error as error:
        return replace(fact, observed=False, why_not=str(error))
    return replace(fact, count=count, keys=tuple(as_texts(row) for row in rows[:limit]), filled=filled)


def _is_filled(connection: sqlite3.Connection, fact: Integrity) -> bool:
    held = f"SELECT 1 FROM main.{quoted(fact.table.name)} WHERE {quoted(fact.columns[0])} IS NOT NULL LIMIT 1"
    return connection.execute(held).fetchone() is not None


def nullless(connection: sqlite3.Connection, asked: Sequence[Question], table: str) -> frozenset[str]:
    """Which of a table's required columns hold no NULL, found in one reading of the table for all of them.

    What is left is asked one by one. ``count`` looks at the value, whatever was declared.
    """
    columns = [
        q.integrity.columns[0]
        for q in asked
        if q.integrity.rule == "nulls-in-required" and q.integrity.table.name == table
    ]
    if not columns:
        return frozenset()
    counts = ", ".join(f"count({quoted(c)})" for c in columns)
    try:
        rows, *found = connection.execute(f"SELECT count(*), {counts} FROM main.{quoted(table)}").fetchone()
    except sqlite3.Error:
        return frozenset()
    return frozenset(c for c, count in zip(columns, found, strict=True) if count == rows)


def broken_indexes(connection: sqlite3.Connection, table: Table) -> frozenset[ObjectKey]:
    """Indexes of a table that lack a row, hold one too many, or hold other values. Some 0.8 microseconds an entry."""
    lines = [str(line) for (line,) in connection.execute(f"PRAGMA main.integrity_check({quoted(table.name)})")]
    broken = (i.name for i in table.indexes if any(line.endswith(f"index {i.name}") for line in lines))
    return frozenset(ObjectKey("index", "", table.name, name) for name in broken)


# --- counters ---------------------------------------------------------------------------------------------------------


def counters(connection: sqlite3.Connection, catalog: Catalog, known: Mapping[str, Counter]) -> tuple[Counter, ...]:
    """Where AUTOINCREMENT stands, and the highest id of every INTEGER PRIMARY KEY.

    ``known``: what was found for tables that did not change since; sqlite_sequence is a table of its own.
    """
    stored = dict(connection.execute("SELECT name, seq FROM sqlite_sequence")) if catalog.sequences else {}
    sequences = {str(name): seq for name, seq in stored.items()}
    return tuple(
        known.get(t.name) or _counter(connection, t, t.alias, sequences) for t in catalog.tables.values() if t.alias
    )


def _counter(connection: sqlite3.Connection, table: Table, column: str, sequences: dict[str, object]) -> Counter:
    name = quoted(table.name)
    highest: int | None = connection.execute(f"SELECT max({table.rowid}) FROM main.{name}").fetchone()[0]
    ref = TableRef("", table.name)
    if not table.text.column(column).auto_increment:
        return Counter(table=ref, column=column, mechanism="rowid", highest=highest)
    stored = sequences.get(table.name)
    reached = max(stored if isinstance(stored, int) else 0, highest or 0)
    return Counter(table=ref, column=column, mechanism="autoincrement", next_value=reached + 1, highest=highest)
