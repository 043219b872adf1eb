"""What declared constraints say about the stored rows, enforced or not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from seatrial.engines._mysql_catalog import Catalog
from seatrial.engines._mysql_columns import Column, as_text
from seatrial.engines._mysql_link import Link, quote
from seatrial.errors import DatabaseError
from seatrial.model import OFFENDING_KEPT, Attributes, Integrity, ObjectKey, Relationship, Schema, TableRef
from seatrial.relations import relations

_NULL_BITS = frozenset({"innodb", "myisam", "aria", "memory"})
"""Storage engines whose rows have a bit for NULL for those columns only that may be NULL."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks the rows of one database. ``settled`` says which answers of an earlier moment still hold."""

    link: Link
    catalog: Catalog
    limit: int
    relationships: tuple[Relationship, ...] = ()

    def judge(self, also: Schema | None, settled: Callable[[Integrity], Integrity | None]) -> tuple[Integrity, ...]:
        """Every constraint of the schema that stands, and those that only ``also`` declares."""
        # A primary key needs no question while it stands: the table is its index.
        judged = [(k, a) for k, a in self.catalog.schema.items() if k.kind != "primary key"]
        judged += relations(self.catalog.schema, self.relationships)
        standing = [q for k, a in judged if (q := self._question(k, a)) is not None]
        known = {(q.rule, q.table, q.columns, q.references, q.expression) for q in standing}
        before = [
            replace(q, declared_before=True)
            for k, a in (also or {}).items()
            if (q := self._question(k, a) or self._required(k, a)) is not None
            and (q.rule, q.table, q.columns, q.references, q.expression) not in known
            and not (k.kind == "primary key" and k in self.catalog.schema)
        ]
        return (*(settled(q) or self._answer(q) for q in (*standing, *before)), *self._held())

    def _question(self, key: ObjectKey, facts: Attributes) -> Integrity | None:
        owner = key.owner
        if owner is None or owner.name not in self.catalog.columns:
            return None
        kind = facts.get("type")
        if kind in ("primary key", "unique"):
            return self._unique(key, owner, facts)
        if kind == "foreign key":
            return self._foreign(key, owner, facts)
        return self._check(key, owner, facts) if kind == "check" else None

    def _unique(self, key: ObjectKey, table: TableRef, facts: Attributes) -> Integrity | None:
        columns = _names(facts, "columns")
        if "" in columns or not self._has(table.name, columns):
            return None
        parts = _key_parts(columns, str(facts.get("definition") or ""))
        filled = " AND ".join(f"{quote(c)} IS NOT NULL" for c in columns)
        repeated = (
            f"SELECT {', '.join(f'{p} AS u{i}' for i, p in enumerate(parts))} FROM {quote(table.name)} WHERE {filled}"
        )
        groups = f"{repeated} GROUP BY {', '.join(parts)} HAVING COUNT(*) > 1"
        on = " AND ".join(f"{_prefixed(p, 't')} = d.u{i}" for i, p in enumerate(parts))
        source = f"FROM {quote(table.name)} t JOIN ({groups}) d ON {on}"
        return self._asked("duplicate-keys", key, table, columns, source)

    def _foreign(self, key: ObjectKey, table: TableRef, facts: Attributes) -> Integrity | None:
        columns, theirs = _names(facts, "columns"), _names(facts, "referenced_columns")
        parent = str(facts.get("references"))
        if not self._has(table.name, columns):
            return None
        filled = " AND ".join(f"t.{quote(c)} IS NOT NULL" for c in columns)
        references = f"{parent}({', '.join(theirs)})"
        if parent in self.catalog.columns:
            if not self._has(parent, theirs):
                return None
            on = " AND ".join(f"p.{quote(b)} = t.{quote(a)}" for a, b in zip(columns, theirs, strict=True))
            source = (
                f"FROM {quote(table.name)} t LEFT JOIN {quote(parent)} p ON {on}"
                f" WHERE {filled} AND p.{quote(theirs[0])} IS NULL"
            )
        elif "." in parent:
            return None
        else:
            source = f"FROM {quote(table.name)} t WHERE {filled}"  # the parent is gone: every child is an orphan
        asked = self._asked("orphaned-rows", key, table, columns, source)
        return replace(asked, references=references, inferred=bool(facts.get("inferred")))

    def _check(self, key: ObjectKey, table: TableRef, facts: Attributes) -> Integrity:
        expression = str(facts.get("expression"))
        asked = self._asked("check-violated", key, table, (), f"FROM {quote(table.name)} t WHERE NOT ({expression})")
        return replace(asked, expression=expression)

    def _required(self, key: ObjectKey, facts: Attributes) -> Integrity | None:
        """NOT NULL of the schema before up; where it stands, the engine itself keeps it."""
        if key.kind != "column" or facts.get("nullable") or not self._has(key.table, (key.name,)):
            return None
        if not next(c for c in self.catalog.columns[key.table] if c.name == key.name).nullable:
            return None
        source = f"FROM {quote(key.table)} t WHERE t.{quote(key.name)} IS NULL"
        return self._asked("nulls-in-required", key, TableRef("", key.table), (key.name,), source)

    def _held(self) -> Iterator[Integrity]:
        """NOT NULL that stands. To ask would be for show: for such a column a row has no NULL bit (manual, 17.10), and
        the server answers from the declaration."""
        schema = self.catalog.schema
        primary = {(k.owner, c) for k, a in schema.items() if k.kind == "primary key" for c in _names(a, "columns")}
        for key, facts in schema.items():
            owner = key.owner
            if key.kind != "column" or facts.get("nullable") or owner is None or (owner, key.name) in primary:
                continue
            if str(schema.get(ObjectKey.of_table(owner), {}).get("engine")).lower() in _NULL_BITS:
                what = f"{quote(owner.name)}.{quote(key.name)}"
                sql = f"-- none: {what} is NOT NULL, and its table's rows have no place for a NULL there"
                yield Integrity(rule="nulls-in-required", object=key.label, table=owner, columns=(key.name,), sql=sql)

    def _asked(self, rule: str, key: ObjectKey, table: TableRef, columns: tuple[str, ...], source: str) -> Integrity:
        facts = {c.name: c for c in self.catalog.columns[table.name]}
        keys = [facts[k] for k in self.catalog.keys[table.name]] or list(facts.values())
        return Integrity(
            rule=rule,
            object=key.label,
            table=table,
            columns=columns,
            sql=f"SELECT {_texts(keys)} {source} ORDER BY {_order(keys)}",
        )

    def _answer(self, asked: Integrity) -> Integrity:
        try:
            count = int(self.link.value(f"SELECT COUNT(*) FROM ({_countable(asked.sql)}) q") or 0)
            keys = self.link.rows(f"{asked.sql} LIMIT {max(self.limit, OFFENDING_KEPT)}") if count else []
            filled = self._is_filled(asked) if asked.inferred and not count else None
        except DatabaseError as error:
            return replace(asked, observed=False, why_not=str(error))
        return replace(asked, count=count, keys=tuple(keys), filled=filled)

    def _is_filled(self, asked: Integrity) -> bool:
        held = f"SELECT 1 FROM {quote(asked.table.name)} WHERE {quote(asked.columns[0])} IS NOT NULL LIMIT 1"
        return bool(self.link.rows(held))

    def _has(self, table: str, columns: Sequence[str]) -> bool:
        return {*columns} <= {c.name for c in self.catalog.columns.get(table, ())}


def _countable(sql: str) -> str:
    """The same rows without their values: key columns may bear one name twice in a derived table."""
    head, _, rest = sql.partition(" FROM ")
    return f"SELECT 1 FROM {rest.rpartition(' ORDER BY ')[0]}" if head else sql


def _names(facts: Attributes, name: str) -> tuple[str, ...]:
    value = facts.get(name)
    return value if isinstance(value, tuple) else ()


def _texts(columns: Sequence[Column]) -> str:
    return ", ".join(as_text(c, f"t.{quote(c.name)}") for c in columns)


def _order(columns: Sequence[Column]) -> str:
    return ", ".join(f"t.{quote(c.name)}" for c in columns)


def _key_parts(columns: Sequence[str], definition: str) -> list[str]:
    """The columns of a unique key as it compares them: a prefix where it has a length (manual, 15.1.15)."""
    lengths = {c: re.search(rf"{re.escape(quote(c))}\((\d+)\)", definition) for c in columns}
    return [f"LEFT({quote(c)}, {m[1]})" if (m := lengths[c]) else quote(c) for c in columns]


def _prefixed(part: str, alias: str) -> str:
    return part.replace("`", f"{alias}.`", 1)
