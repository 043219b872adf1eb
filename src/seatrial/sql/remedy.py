"""SQL that an advice shows, for the very tables and columns at hand, as the dialect writes it. Pure.

Nothing here is run: what is shown has to be right for the engine all the same. SQLite has no ALTER COLUMN and adds no
constraint to a table that is there (manual, ALTER TABLE); MySQL and MariaDB name an index's table where they drop it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from seatrial.model import Attributes, Counter, ObjectKey, Schema, TableRef
from seatrial.sql import stored
from seatrial.sql.tokens import code, quote_name, quote_string, words

CONSTRAINTS = ("constraint", "primary key", "unique", "foreign key", "check")
MYSQL = ("mysql", "mariadb")


def quoted(name: str, dialect: str) -> str:
    """A name as people write it: quoted only where it has to be."""
    plain = name.isascii() and name.isidentifier() and name == name.lower()
    found = code(name, dialect) if plain else []
    return name if plain and len(found) == 1 and name not in _WORDS else quote_name(name, dialect)


_WORDS = words(
    "add all alter and as asc between by case check column constraint create default delete desc distinct drop else end"
    " except exists foreign from full grant group groups having in index inner insert intersect into is join key left"
    " like limit not null offset on or order primary range rank references right row rows select set system table then"
    " to trigger union unique update user usage using values when where window with"
)


def of(table: TableRef, dialect: str) -> str:
    return ".".join(quoted(part, dialect) for part in (table.namespace, table.name) if part)


def kept(table: TableRef, what: str = "kept") -> TableRef:
    """A side table's name."""
    return TableRef(table.namespace, f"{table.name}_{what}")


def columns_of(schema: Schema, table: TableRef, dialect: str) -> str:
    """The columns that can be written, as a list."""
    stored = [c for c, a in schema.columns(table).items() if not a.get("generated")]
    return ", ".join(quoted(c, dialect) for c in stored)


def keep_rows(table: TableRef, dialect: str, where: str = "") -> str:
    said = f" WHERE {where}" if where else ""
    return f"CREATE TABLE {of(kept(table), dialect)} AS SELECT * FROM {of(table, dialect)}{said}"


def put_rows_back(schema: Schema, table: TableRef, key: Sequence[str], dialect: str) -> str:
    """The rows that are missing, and the side table gone; by key, for what was not deleted is in the side table too."""
    columns = columns_of(schema, table, dialect)
    always = any(str(a.get("identity") or "").upper() == "ALWAYS" for a in schema.columns(table).values())
    override = " OVERRIDING SYSTEM VALUE" if always else ""
    source, mine = of(kept(table), dialect), of(table, dialect)
    sure = (
        len(key) == 1 and schema.columns(table).get(key[0], {}).get("nullable") is False
    )  # NOT IN, with a NULL, is none
    name = quoted(key[0], dialect) if sure else ""
    missing = f" WHERE NOT EXISTS (SELECT 1 FROM {mine} WHERE {same(mine, source, key, dialect)})" if key else ""
    missing = f" WHERE {name} NOT IN (SELECT {name} FROM {mine})" if sure else missing
    return f"INSERT INTO {mine} ({columns}){override} SELECT {columns} FROM {source}{missing}; DROP TABLE {source}"


def side(table: TableRef, columns: Sequence[str]) -> TableRef:
    """The side table of some columns."""
    return kept(table, f"{columns[0]}_kept" if len(columns) == 1 else "kept")


def keep_columns(table: TableRef, key: Sequence[str], columns: Sequence[str], dialect: str) -> str:
    """A copy of some columns by key."""
    names = ", ".join(quoted(c, dialect) for c in dict.fromkeys((*key, *columns)))
    return f"CREATE TABLE {of(side(table, columns), dialect)} AS SELECT {names} FROM {of(table, dialect)}"


def put_columns_back(table: TableRef, key: Sequence[str], columns: Sequence[str], dialect: str) -> str:
    """Their values in the rows that had them, and the side table gone; rows that came later keep theirs."""
    mine, source = of(table, dialect), of(side(table, columns), dialect)
    alias = "kept" if table.name != "kept" else "k"
    held = f"FROM {source} {alias} WHERE {same(mine, alias, key, dialect)}"
    values = ", ".join(f"{c} = (SELECT {alias}.{c} {held})" for c in (quoted(c, dialect) for c in columns))
    name = quoted(key[0], dialect)
    had = f"{name} IN (SELECT {name} FROM {source})" if len(key) == 1 else f"EXISTS (SELECT 1 {held})"
    return f"UPDATE {mine} SET {values} WHERE {had}; DROP TABLE {source}"


def same(one: str, other: str, key: Sequence[str], dialect: str) -> str:
    """The condition that two tables' rows have one key."""
    return " AND ".join(f"{other}.{quoted(c, dialect)} = {one}.{quoted(c, dialect)}" for c in key)


def rename_column(table: TableRef, old: str, new: str, dialect: str) -> str:
    names = f"{quoted(old, dialect)} TO {quoted(new, dialect)}"
    return f"ALTER TABLE {of(table, dialect)} RENAME COLUMN {names}"


def rename_table(table: TableRef, new: str, dialect: str) -> str:
    return f"ALTER TABLE {of(table, dialect)} RENAME TO {quoted(new, dialect)}"


def create_again(key: ObjectKey, attributes: Attributes, dialect: str) -> str:
    """What makes an object as a schema has it; empty where its attributes do not say it whole."""
    if dialect in MYSQL and (made := stored.statement(key, attributes, quoted(key.name, dialect), dialect)):
        return plainly(made, dialect) if len(made) <= LONGEST else ""
    definition = str(attributes.get("definition") or "")
    if not definition or len(definition) > LONGEST:
        return ""
    if "'" not in definition:  # blanks in a literal are no matter of layout
        definition = " ".join(definition.split()).removesuffix(";")
    if dialect in MYSQL:
        definition = plainly(definition, dialect)
    name, owner = quoted(key.name, dialect), of(key.owner, dialect) if key.owner else ""
    if definition.upper().startswith("CREATE "):
        return definition
    comment = ""
    if dialect in MYSQL and attributes.get("comment"):
        comment = f" COMMENT {quote_string(str(attributes['comment']), dialect)}"
    if key.kind == "index":
        unique = "UNIQUE " if attributes.get("unique") else ""
        kind, terms = _kind_of_index(definition.removeprefix("UNIQUE "), dialect)
        return f"CREATE {unique}{kind}INDEX {name} ON {owner} {terms}{comment}" if terms.startswith("(") else ""
    if key.kind == "trigger" and dialect == "sqlite":
        return f"CREATE TRIGGER {name} {definition}"
    if key.kind == "trigger" and dialect in MYSQL and ";" not in definition:  # a body of several needs a delimiter
        moment, event, body = definition.split(" ", 2)
        return f"CREATE TRIGGER {name} {moment} {event} ON {owner} FOR EACH ROW {body}"
    if key.kind == "view":
        view = of(TableRef(key.namespace, key.name), dialect)
        if dialect == "sqlite":
            return f"CREATE VIEW {view} {definition}"
        return f"CREATE VIEW {view} AS {definition}" if dialect == "postgresql" else ""
    if key.kind in CONSTRAINTS and dialect != "sqlite":
        named = f"CONSTRAINT {name} " if key.kind == "constraint" and "CONSTRAINT" not in definition[:12] else ""
        idle = " NOT ENFORCED" if dialect in MYSQL and attributes.get("enforced") is False else ""
        return f"ALTER TABLE {owner} ADD {named}{definition}{idle}{comment}"
    return ""


LONGEST = 300
"""Characters of SQL that an advice shows at most for one object."""


def plainly(text: str, dialect: str) -> str:
    """The server quotes every name; a person only those that need it."""
    return re.sub(r"`([^`]+)`", lambda found: quoted(found[1], dialect), text)


def _kind_of_index(definition: str, dialect: str) -> tuple[str, str]:
    """``FULLTEXT (b)``: its kind, which stands before INDEX on MySQL and MariaDB, and the rest."""
    kind, separator, terms = definition.partition(" (")
    return (f"{kind} ", f"({terms}") if dialect in MYSQL and separator and kind.isalpha() else ("", definition)


_UNIQUE = {"mysql": ("foreign key", "check", "trigger"), "sqlite": ("index", "trigger"), "postgresql": ("index",)}
_UNIQUE["mariadb"] = _UNIQUE["mysql"]
"""Of what no two may bear one name, whatever their tables (manuals: CREATE TABLE, CREATE TRIGGER, CREATE INDEX)."""


def called_otherwise(key: ObjectKey, schema: Schema, dialect: str) -> tuple[ObjectKey, ObjectKey | None]:
    """The object under a name that it can be created by in a schema, and the one that has taken its own."""
    like = (k for k in schema if k[:2] == key[:2] and k.name == key.name and k.table != key.table)
    other = next((k for k in like if schema[k].get("type", k.kind) in _UNIQUE[dialect]), None)
    return (key._replace(name=f"{key.name[:59]}_new"), other) if other else (key, None)


def declared(key: ObjectKey, attributes: Attributes) -> str:
    """A rule as a table's definition says it; empty for what is no rule."""
    return str(attributes.get("definition") or "") if key.kind in CONSTRAINTS else ""


def drop(key: ObjectKey, dialect: str) -> str:
    """What takes an object away; empty where that is not one plain statement."""
    name, owner = quoted(key.name, dialect), of(key.owner, dialect) if key.owner else ""
    whole = of(TableRef(key.namespace, key.name), dialect)
    if key.kind == "column":
        return f"ALTER TABLE {owner} DROP COLUMN {name}"
    if key.kind in ("table", "view", "sequence", "materialized view", "type", "domain"):
        return f"DROP {key.kind.upper()} {whole}"
    if key.kind == "index":
        return f"DROP INDEX {name} ON {owner}" if dialect in MYSQL else f"DROP INDEX {whole}"
    if key.kind == "trigger":
        return f"DROP TRIGGER {name} ON {owner}" if dialect == "postgresql" else f"DROP TRIGGER {whole}"
    if dialect in MYSQL and key.kind in stored.KINDS:
        return f"DROP {key.kind.upper()} {whole}"
    if key.kind == "constraint" and dialect != "sqlite":
        return f"ALTER TABLE {owner} DROP CONSTRAINT {name}"
    return ""


def pragma(name: str, value: object) -> str:
    """What sets one of the settings that a SQLite file keeps; its layout is another only after VACUUM."""
    said = quote_string(str(value), "sqlite") if name == "encoding" else str(value).upper()
    return f"PRAGMA {name} = {said}" + ("; VACUUM" if name in ("page_size", "auto_vacuum") else "")


def set_counter(counter: Counter, value: int, dialect: str) -> str:
    """What makes ``value`` the next key."""
    mine, name = of(counter.table, dialect), quoted(counter.column, dialect)
    if counter.mechanism == "auto_increment":
        return f"ALTER TABLE {mine} AUTO_INCREMENT = {value}"
    if dialect == "sqlite":
        return f"UPDATE sqlite_sequence SET seq = {value - 1} WHERE name = {quote_string(counter.table.name, dialect)}"
    if counter.mechanism == "identity":
        return f"ALTER TABLE {mine} ALTER COLUMN {name} RESTART WITH {value}"
    sequence = counter.source.removeprefix("sequence ")
    if dialect in MYSQL:
        return f"SELECT SETVAL({sequence}, {value}, 0)"
    return f"SELECT setval({quote_string(sequence, dialect)}, {value}, false)"


def generate_again(table: TableRef, column: str, kind: str, dialect: str, default: str = "") -> str:
    """What lets the engine number a column again that it no longer does, or compute it by the ``default`` that it had;
    empty where the table has to be rebuilt."""
    mine, name = of(table, dialect), quoted(column, dialect)
    if default and dialect != "sqlite":
        computed = default if dialect == "postgresql" or default.startswith("(") else f"({default})"
        return f"ALTER TABLE {mine} ALTER COLUMN {name} SET DEFAULT {computed}"
    if dialect in MYSQL:
        return f"ALTER TABLE {mine} MODIFY {name} {kind} NOT NULL AUTO_INCREMENT" if kind else ""
    if dialect == "postgresql":
        return f"ALTER TABLE {mine} ALTER COLUMN {name} ADD GENERATED BY DEFAULT AS IDENTITY"
    return ""
