"""SQL that gives an object the definition that it had, where it is there and defined otherwise. Pure.

But for indexes this is for MySQL and MariaDB, whose MODIFY forgets whatever it does not repeat.
"""

from __future__ import annotations

from collections.abc import Collection

from seatrial.model import ObjectKey, Schema, TableRef
from seatrial.sql import stored
from seatrial.sql.remedy import MYSQL, create_again, drop, of, plainly, quoted
from seatrial.sql.tokens import quote_string


def define_again(schema: Schema, key: ObjectKey, differing: Collection[str], dialect: str) -> str:
    """What gives an object that is there the definition of a schema again; empty where no plain statement does."""
    if key.kind == "column":  # one that is stored and one that is not are never made of each other (manual, 15.1.9.2)
        return "" if "generated_kind" in differing else declare_column(schema, key, dialect)
    if key.kind == "table" and dialect in MYSQL:
        return _set_options(schema, key, differing, dialect)
    if key.kind == "schema" and dialect in MYSQL:
        return _set_charset(schema, key, differing)
    if key.kind == "primary key" and dialect in MYSQL:  # in one statement: what numbers itself has to be a key
        return create_again(key, schema[key], dialect).replace(" ADD PRIMARY", " DROP PRIMARY KEY, ADD PRIMARY", 1)
    whole = key.kind == "constraint" or (key.kind in stored.KINDS and set(differing) <= stored.SAID)
    if key.kind != "index" and not (dialect in MYSQL and whole):
        return ""
    made, dropped = create_again(key, schema[key], dialect), drop(key, dialect)
    return f"{dropped}; {made}" if made and dropped else ""


_OPTIONS = {"engine": "ENGINE", "row_format": "ROW_FORMAT", "charset": "DEFAULT CHARACTER SET", "collation": "COLLATE"}


def _set_options(schema: Schema, key: ObjectKey, differing: Collection[str], dialect: str) -> str:
    """Of a table, where all that differs is among those that one statement sets."""
    old = schema[key]
    if set(differing) - {*_OPTIONS, "comment"}:
        return ""
    said = [f"{word} = {old[name]}" for name, word in _OPTIONS.items() if name in differing and old.get(name)]
    said += [f"COMMENT = {quote_string(str(old.get('comment') or ''), dialect)}"] if "comment" in differing else []
    return f"ALTER TABLE {of(TableRef(key.namespace, key.name), dialect)} {', '.join(said)}" if said else ""


def _set_charset(schema: Schema, key: ObjectKey, differing: Collection[str]) -> str:
    if set(differing) - {"charset", "collation"}:
        return ""
    return f"ALTER DATABASE CHARACTER SET {schema[key]['charset']} COLLATE {schema[key]['collation']}"


def declare_column(schema: Schema, key: ObjectKey, dialect: str) -> str:
    """What makes a column again what it is in a schema; empty but for MySQL and MariaDB, or where nothing says all."""
    facts = schema[key]
    if dialect not in MYSQL or key.owner is None or {n for n, v in facts.items() if v} - _SAID:
        return ""
    mine = schema.get(ObjectKey.of_table(key.owner), {}).get("collation")
    collation = facts.get("collation") if facts.get("collation") != mine else None
    nullable = "NULL" if str(facts["type"]).startswith("timestamp") else ""
    expression, kind = facts.get("generated"), facts.get("generated_kind")
    parts = (
        str(facts["type"]),
        f"COLLATE {collation}" if collation else "",
        f"GENERATED ALWAYS AS ({expression}) {str(kind).upper()}" if expression else "",
        nullable if facts.get("nullable") else "NOT NULL",
        f"SRID {facts['srid']}" if facts.get("srid") is not None else "",
        f"DEFAULT {facts['default']}" if facts.get("default") is not None else "",
        f"ON UPDATE {facts['on_update']}" if facts.get("on_update") else "",
        "AUTO_INCREMENT" if facts.get("auto_increment") else "",
        f"COMMENT {quote_string(str(facts['comment']), dialect)}" if facts.get("comment") else "",
        "INVISIBLE" if facts.get("invisible") else "",
    )
    said = plainly(" ".join(part for part in parts if part), dialect)
    return f"ALTER TABLE {of(key.owner, dialect)} MODIFY {quoted(key.name, dialect)} {said}"


_SAID = frozenset(
    {"position", "type", "nullable", "default", "comment", "auto_increment", "on_update", "charset", "collation"}
    | {"generated", "generated_kind", "invisible", "srid"}
)
