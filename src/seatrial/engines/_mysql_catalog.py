"""A database's objects as a Schema, from information_schema and SHOW CREATE."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from seatrial.engines import _mysql_catalog_sql as sql
from seatrial.engines._mysql_catalog_beside import Beside
from seatrial.engines._mysql_columns import Column
from seatrial.engines._mysql_counters import counters
from seatrial.engines._mysql_dialect import Dialect
from seatrial.engines._mysql_link import Link, TextRow, literal, quote
from seatrial.engines._mysql_show import (
    Shown,
    column_storage,
    lacks_default,
    parse,
    partition_storage,
    table_storage,
)
from seatrial.model import Attribute, Attributes, Counter, ObjectKey, Schema, TableRef
from seatrial.sql.cursor import closing, find
from seatrial.sql.tokens import code

_KNOWN_EXTRAS = re.compile(
    r"auto_increment|DEFAULT_GENERATED|on update \S+|VIRTUAL GENERATED|STORED GENERATED|PERSISTENT|INVISIBLE|,",
    re.IGNORECASE,
)

Objects = dict[ObjectKey, Attributes]


@dataclass(frozen=True, slots=True)
class Index:
    name: str
    unique: bool
    columns: tuple[str, ...]  # "" for an expression
    plain: bool  # whole columns in ascending order, a BTREE
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Catalog:
    """What one reading of the catalog found."""

    schema: Schema
    columns: Mapping[str, list[Column]]
    keys: Mapping[str, tuple[str, ...]]  # primary key, else a unique not-null key, else nothing
    engines: Mapping[str, str]
    bytes: Mapping[str, int]
    periods: Mapping[str, tuple[Column, ...]]  # of tables with system versioning: what times the versions of a row
    counters: tuple[Counter, ...] = ()


IndexId = tuple[str, str, tuple[str, ...]]
"""Table, name, columns."""


@dataclass(frozen=True, slots=True)
class Origins:
    """Who made the standing indexes, as far as earlier readings told: the catalog itself does not say.

    The server's own index for a foreign key stays behind when the key goes; a migration's index that was seen
    before a foreign key used it stays the migration's, though it is named as the server would name its own.
    Once the server's, always: where up drops such an index, the down that makes it again leaves no more than stood
    before. Whoever forgets that is told by the second up, which finds it gone, or there already.
    """

    server: frozenset[IndexId] = frozenset()
    own: frozenset[IndexId] = frozenset()

    def seen(self, standing: frozenset[IndexId], fitting: frozenset[IndexId]) -> Origins:
        """After a reading that found ``standing``, of which ``fitting`` may be the server's for a foreign key."""
        server = self.server | (fitting - self.own)
        return Origins(server, standing - server)


@dataclass(slots=True)
class Reader:
    """Reads one database. ``origins`` is what earlier readings told, and after ``read`` what this one adds."""

    link: Link
    database: str
    dialect: Dialect
    hidden: frozenset[str] = frozenset()  # tables that are not looked at: bookkeeping
    origins: Origins = field(default_factory=Origins)

    def read(self) -> Catalog:
        tables = [r for r in self._rows(sql.TABLES) if r[0] not in self.hidden]
        base = self._base(tables)
        shown = {str(r[0]): self._shown(str(r[0])) for r in base}
        columns = self._columns()
        foreign = self._foreign_keys()
        indexes = self._indexes(shown)
        objects: Objects = {}
        objects.update(self._database())
        objects.update(self._tables(base, shown))
        for name, parts in shown.items():
            objects.update(_columns(name, columns.get(name, []), parts, self.dialect))
            objects.update(_checks(name, columns.get(name, []), parts, self.dialect))
        objects.update(self._foreign_objects(foreign, shown))
        objects.update(self._index_objects(indexes, foreign))
        objects.update(Beside(self.link, self.database, self.dialect).read(tables))
        kept = {k: a for k, a in objects.items() if not (k.owner and k.owner.name in self.hidden)}
        facts = {t: [_column(r) for r in columns.get(t, [])] for t in shown}
        versioned = (str(r[0]) for r in base if r[1] and r[1] == self.dialect.versioned)
        periods = {t: _period(columns.get(t, [])) for t in versioned}
        return Catalog(
            schema=Schema(self._without_name(kept)),
            columns=facts,
            keys={t: _key(facts[t], indexes.get(t, []), periods.get(t, ())) for t in shown},
            engines={str(r[0]): str(r[2]) for r in base},
            bytes={str(r[0]): int(r[8] or 0) + int(r[9] or 0) for r in base},
            periods=periods,
            counters=tuple(counters(self.link, base, columns)),
        )

    def columns_of(self, table: str) -> list[Column]:
        """The columns of one base table; none where it is not there."""
        if all(row[0] != table for row in self._base(self._rows(sql.TABLES))):
            return []
        return [_column(row) for row in self._columns().get(table, [])]

    def _base(self, tables: list[TextRow]) -> list[TextRow]:
        return [row for row in tables if row[1] in ("BASE TABLE", self.dialect.versioned)]

    def _rows(self, query: str) -> list[TextRow]:
        facts = self.dialect
        return self.link.rows(
            query.format(
                db=literal(self.database),
                pattern=literal(self.database.replace("_", "\\_")),
                COLUMN_SRID=facts.column_srid,
                INDEX_VISIBLE=facts.index_visible,
                INDEX_EXPRESSION=facts.index_expression,
                DATABASE_OPTION=facts.database_column,
            )
        )

    def _shown(self, table: str) -> Shown:
        return parse(str(self.link.rows(f"SHOW CREATE TABLE {quote(table)}")[0][1]), self.dialect.name)

    def _columns(self) -> dict[str, list[TextRow]]:
        return _grouped(self._rows(sql.COLUMNS))

    def _without_name(self, objects: Objects) -> Objects:
        """Definitions without the database's own name, which is another one in every run."""
        spelled = re.compile(rf"`{re.escape(self.database)}`\s*\.\s*|\b{re.escape(self.database)}\s*\.\s*")

        def bare(value: Attribute) -> Attribute:
            return spelled.sub("", value) if isinstance(value, str) else value

        return {k: {n: bare(v) for n, v in a.items()} for k, a in objects.items()}

    def _database(self) -> Objects:
        (charset, collation, further), name = self._rows(sql.DATABASE)[0], self.dialect.database_option.lower()
        attributes: Attributes = {"charset": charset, "collation": collation, name: further or None}
        return {ObjectKey("schema", "", "", "default"): attributes}

    def _tables(self, rows: list[TextRow], shown: Mapping[str, Shown]) -> Objects:
        partitions = _grouped(self._rows(sql.PARTITIONS))
        objects: Objects = {}
        for name, kind, engine, row_format, collation, options, comment, *_, charset in rows:
            attributes: dict[str, Attribute] = {
                "engine": engine,
                # Elsewhere it follows the columns (MyISAM) or the engine; one that was asked for is among the options.
                "row_format": row_format if engine == "InnoDB" else None,
                "charset": charset,
                "collation": collation,
                "comment": comment or None,
                "options": (*_options(options, engine), *table_storage(shown[str(name)], self.dialect.name)),
            }
            if shown[str(name)].periods:
                attributes["periods"] = shown[str(name)].periods
            if kind == self.dialect.versioned:
                attributes["system_versioned"] = True
            if parts := partitions.get(str(name)):
                attributes.update(_partitioning(parts, partition_storage(shown[str(name)], self.dialect.name)))
            objects[ObjectKey("table", "", "", str(name))] = attributes
        return objects

    def _foreign_keys(self) -> dict[tuple[str, str], list[TextRow]]:
        found: dict[tuple[str, str], list[TextRow]] = {}
        for row in self._rows(sql.FOREIGN_KEYS):
            found.setdefault((str(row[0]), str(row[1])), []).append(row)
        return found

    def _foreign_objects(self, foreign: Mapping[tuple[str, str], list[TextRow]], shown: Mapping[str, Shown]) -> Objects:
        objects: Objects = {}
        for (table, name), rows in foreign.items():
            if table not in shown:
                continue
            _, _, on_update, on_delete, match, schema, referenced, *_ = rows[0]
            columns = tuple(str(r[7]) for r in rows)
            target = TableRef("" if schema == self.database else str(schema), str(referenced))
            attributes: dict[str, Attribute] = {
                "type": "foreign key",
                "columns": columns,
                "references": str(target),
                "referenced_columns": tuple(str(r[8]) for r in rows),
                "on_update": _action(on_update),
                "on_delete": _action(on_delete),
                "match": match,
                "validated": True,
                "enforced": True,
                "definition": _RESTRICT.sub("", shown[table].constraints.get(name, "")),
            }
            made = re.fullmatch(rf"{re.escape(table)}_(ibfk_\d+)|(\d+)", name)
            key = _unnamed("foreign key", table, ", ".join(columns), objects) if made else _named(table, name)
            objects[key] = attributes | ({"given_name": made[1] or made[2]} if made else {})
        return objects

    def _indexes(self, shown: Mapping[str, Shown]) -> dict[str, list[Index]]:
        found: dict[str, list[Index]] = {}
        for (table, name), group in itertools.groupby(self._rows(sql.INDEXES), lambda r: (str(r[0]), str(r[1]))):
            if table in shown:
                text = shown[table].keys.get(name, "")
                found.setdefault(table, []).append(_index(name, list(group), _BLOCKS.sub("", text)))
        return found

    def _index_objects(
        self, indexes: Mapping[str, list[Index]], foreign: Mapping[tuple[str, str], list[TextRow]]
    ) -> Objects:
        standing = {(table, i.name, i.columns): i for table, group in indexes.items() for i in group}
        keys: dict[str, dict[str, tuple[str, ...]]] = {}
        for (table, name), rows in foreign.items():
            keys.setdefault(table, {})[name] = tuple(str(r[7]) for r in rows)
        fitting = frozenset(k for k, index in standing.items() if _made_for(index, keys.get(k[0], {})))
        self.origins = self.origins.seen(frozenset(standing), fitting)
        return {
            _index_key(key[0], index): index.attributes
            for key, index in standing.items()
            if key not in self.origins.server or index.unique or not index.plain
        }


_RESTRICT = re.compile(r" ON (?:DELETE|UPDATE) (?:RESTRICT|NO ACTION)\b")


def _action(rule: str | None) -> str | None:
    """For InnoDB both words mean the same (manual, 15.1.20.5); MySQL keeps the one that was written."""
    return "NO ACTION" if rule == "RESTRICT" else rule


_BLOCKS = re.compile(r" KEY_BLOCK_SIZE=\d+")
"""Of an index: MariaDB writes the table's there, and leaves it when the table's goes."""


def _grouped(rows: Iterable[TextRow]) -> dict[str, list[TextRow]]:
    found: dict[str, list[TextRow]] = {}
    for row in rows:
        found.setdefault(str(row[0]), []).append(row)
    return found


def _column(row: TextRow) -> Column:
    extra = str(row[7]).upper()
    return Column(
        name=str(row[1]),
        base="geometry" if row[3] == "geomcollection" else str(row[3]),
        type=str(row[4]),
        charset=row[9],
        collation=row[10],
        nullable=row[5] == "YES",
        generated="GENERATED" in extra.replace("DEFAULT_GENERATED", "") or "PERSISTENT" in extra,
        bits=int(row[12] or 1) if row[3] == "bit" else 1,
        computed="DEFAULT_GENERATED" in extra,
    )


def _period(rows: list[TextRow]) -> tuple[Column, ...]:
    """The columns ROW START and ROW END, which are hidden ones of fixed names where none are declared."""
    declared = {str(r[11]): str(r[4]) + " " + str(r[1]) for r in rows if r[11] in ("ROW START", "ROW END")}
    found = []
    for which, hidden in (("ROW START", "row_start"), ("ROW END", "row_end")):
        type_, _, name = declared.get(which, f"timestamp(6) {hidden}").rpartition(" ")
        found.append(Column(name=name, base=type_.partition("(")[0], type=type_, nullable=False))
    return tuple(found)


def _columns(table: str, rows: list[TextRow], shown: Shown, dialect: Dialect) -> Objects:
    return {
        ObjectKey("column", "", table, str(row[1])): _column_attributes(
            row, shown.columns.get(str(row[1]), ""), dialect
        )
        for row in rows
    }


def _column_attributes(row: TextRow, shown: str, dialect: Dialect) -> Attributes:
    extra, facts = str(row[7]), _column(row)
    on_update = re.search(r"on update (\S+)", extra, re.IGNORECASE)
    attributes: dict[str, Attribute] = {
        "position": int(row[2] or 0),
        "type": row[4],
        "nullable": facts.nullable,
        "default": None if facts.generated else _default(row, dialect),
        "comment": row[8] or None,
        "auto_increment": "auto_increment" in extra.lower(),
        "on_update": on_update[1] if on_update else None,
        "charset": row[9],
        "collation": row[10],
    }
    if facts.generated:
        attributes["generated"] = row[11]
        attributes["generated_kind"] = "virtual" if "VIRTUAL" in extra.upper() else "stored"
    elif facts.nullable and dialect.shows_null_default and lacks_default(shown, dialect.name):
        attributes["no_default"] = True
    if "INVISIBLE" in extra.upper():
        attributes["invisible"] = True
    if (row[4], row[10]) == _JSON and "json_" in _condition(shown, dialect)[0]:
        attributes["by_type"] = True
    if row[13] is not None:
        attributes["srid"] = int(row[13])
    if rest := " ".join(filter(None, (_KNOWN_EXTRAS.sub("", extra).strip(), column_storage(shown, dialect.name)))):
        attributes["options"] = rest
    return attributes


_JSON = ("longtext", "utf8mb4_bin")
"""Type and collation that MariaDB gives a column declared JSON; a CHECK of its own takes the place of json_valid."""


def _default(row: TextRow, dialect: Dialect) -> str | None:
    """The default as SQL: a literal in quotes, an expression in parentheses; None where there is none or it is NULL."""
    value, extra = row[6], str(row[7])
    if value is None or dialect.default_is_sql:
        return None if value == "NULL" else value
    if "DEFAULT_GENERATED" not in extra:
        return value if row[3] == "bit" else literal(value)
    return value if re.match(r"(CURRENT_TIMESTAMP|NOW)\b", value, re.IGNORECASE) else f"({value})"


def _checks(table: str, rows: list[TextRow], shown: Shown, dialect: Dialect) -> Objects:
    objects: Objects = {}
    texts = {str(r[1]) for r in rows if (r[4], r[10]) == _JSON}
    for name, text in shown.constraints.items():
        if not text.upper().startswith("CHECK"):
            continue
        expression, rest = _condition(text, dialect)
        made = re.fullmatch(rf"{re.escape(table)}_(chk_\d+)|(CONSTRAINT_\d+)", name)
        key = _unnamed("check", table, expression, objects) if made else _named(table, name)
        check = _check(expression, enforced="NOT ENFORCED" not in rest.upper())
        objects[key] = {**check, **({"given_name": made[1] or made[2]} if made else {})}
    for name, text in shown.columns.items():
        expression, _ = _condition(text, dialect)
        if expression:
            check = _check(expression, enforced=True)
            json = name in texts and expression == f"json_valid({quote(name)})"  # what MariaDB makes of the type JSON
            objects[_unnamed("check", table, expression, objects)] = {**check, **({"by_type": True} if json else {})}
    return objects


def _check(expression: str, *, enforced: bool) -> Attributes:
    return {
        "type": "check",
        "expression": expression,
        "definition": f"CHECK ({expression})",
        "validated": True,
        "enforced": enforced,
    }


def _condition(text: str, dialect: Dialect) -> tuple[str, str]:
    """What stands in the parentheses behind CHECK, and the rest; nothing where there is no CHECK."""
    tokens = code(text, dialect.name)
    opened = find(tokens, 0, len(tokens), "CHECK") + 1
    closed = closing(tokens, opened, len(tokens))
    if closed == len(tokens):
        return "", ""
    return text[tokens[opened].end : tokens[closed].start].strip(), text[tokens[closed].end :]


def _index(name: str, rows: list[TextRow], shown: str) -> Index:
    columns = tuple(str(r[3]) if r[3] is not None else "" for r in rows)
    kind = str(rows[0][6])
    unique = rows[0][2] == "0"
    plain = kind == "BTREE" and all(r[4] is None and r[5] == "A" and r[3] is not None for r in rows)
    comment = rows[0][7] or None
    attributes: dict[str, Attribute] = {
        "columns": columns,
        "definition": shown,
        "kind": kind,
        "visible": rows[0][8] == "YES",
        "comment": comment,
    }
    if name == "PRIMARY":
        definition = f"PRIMARY KEY {shown.removeprefix('PRIMARY ')}"
        attributes = {"type": "primary key", "columns": columns, "definition": definition, "comment": comment}
    elif unique:
        attributes |= {"type": "unique", "nulls_not_distinct": False, "validated": True, "enforced": True}
    else:
        attributes |= {"unique": False, "predicate": None, "valid": True}
    return Index(name, unique, columns, plain, attributes)


def _index_key(table: str, index: Index) -> ObjectKey:
    if index.name == "PRIMARY":
        return ObjectKey("primary key", "", table, f"{table}({', '.join(index.columns)})")
    return ObjectKey("constraint" if index.unique else "index", "", table, index.name)


def _made_for(index: Index, foreign_keys: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether the server made this index for a foreign key: over its columns, under its name or its first column's."""
    if index.unique or not index.plain:
        return False
    for name, columns in foreign_keys.items():
        named = index.name == name or re.fullmatch(rf"{re.escape(columns[0])}(_\d+)?", index.name, re.IGNORECASE)
        if named and index.columns == columns:
            return True
    return False


def _named(table: str, name: str) -> ObjectKey:
    return ObjectKey("constraint", "", table, name)


def _unnamed(kind: str, table: str, what: str, taken: Mapping[ObjectKey, object]) -> ObjectKey:
    """A constraint whose name the server made up; a second one of the same content gets a number."""
    names: Callable[[int], str] = lambda n: f"{table}({what})" + (f" #{n}" if n > 1 else "")  # noqa: E731
    return next(k for n in itertools.count(1) if (k := ObjectKey(kind, "", table, names(n))) not in taken)


def _key(columns: list[Column], indexes: list[Index], period: Sequence[Column]) -> tuple[str, ...]:
    """The primary key, else the first unique key over whole not-null columns, else nothing.

    MariaDB puts the end of a row's version into every key; among the current rows it tells none from another.
    """
    required = {c.name for c in columns if not c.nullable}
    unique = [i for i in indexes if i.unique and set(i.columns) <= required and i.attributes.get("kind") != "FULLTEXT"]
    best = sorted(unique, key=lambda i: (i.name != "PRIMARY", len(i.columns), i.name))
    timed = {c.name for c in period}
    return tuple(c for c in best[0].columns if c not in timed) if best else ()


_NO_OPTIONS = ("partitioned", "page_checksum=1")
"""Partitions are told apart; Aria's default stands here only where SHOW CREATE's text, which spells it out, was run."""


def _options(text: str | None, engine: str | None) -> tuple[str, ...]:
    """InnoDB's row format is told by itself, whether it was asked for or is the server's default."""
    said = [o for o in (text or "").split() if o not in _NO_OPTIONS]
    return tuple(sorted(o for o in said if engine != "InnoDB" or not o.lower().startswith("row_format=")))


def _partitioning(rows: list[TextRow], options: Mapping[str, tuple[str, ...]]) -> dict[str, Attribute]:
    _, _, sub, method, sub_method, expression, sub_expression, *_ = rows[0]
    key = f"{method} ({expression})" + (f" / {sub_method} ({sub_expression})" if sub else "")
    bounds = [f"{r[1]}{'/' + str(r[2]) if r[2] else ''}: {' '.join(_bound(r, options))}" for r in rows]
    return {
        "partition_key": " ".join((key, *options.get("", ()))),
        "partitions": tuple(b.rstrip(": ") for b in bounds),
    }


def _bound(row: TextRow, options: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Of one partition: its bound, its comment, how it is stored (which parts of it inherit)."""
    yield from (str(part) for part in row[7:9] if part)
    for name in dict.fromkeys((str(row[1]), str(row[2] or row[1]))):
        yield from options.get(name, ())
