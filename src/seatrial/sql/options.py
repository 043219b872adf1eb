"""Reading the options of a table: which attributes they say something about."""

from __future__ import annotations

from seatrial.sql.columns import elements
from seatrial.sql.cursor import Cursor, Name

OPTIONS = {
    "ENGINE": "engine",
    "COMMENT": "comment",
    "ROW_FORMAT": "row_format",
    "AUTO_INCREMENT": "auto_increment",
    "COLLATE": "collation",
    "CHARSET": "charset",
    "TABLESPACE": "tablespace",
    "STRICT": "strict",
    "OWNER": "owner",
    "CLUSTER": "cluster",
    "PARTITION": "partition_key",
}


def table_options(cursor: Cursor) -> tuple[frozenset[str], Name | None]:
    """What stands behind the columns of CREATE TABLE: the attributes that it states, and the parent of INHERITS."""
    states: set[str] = set()
    parent = None
    while (not cursor.done and cursor.word() not in ("AS", "SELECT", "WITH", "VALUES")) or cursor.at("WITH", "("):
        word = cursor.word()
        if cursor.accept("INHERITS"):
            parent = next((e.name() for e in elements(cursor)), None)
            continue
        if word == "(":
            cursor.brackets()
            continue
        states |= option(cursor)
        cursor.index += 1
    return frozenset(states), parent


def option(cursor: Cursor) -> set[str]:
    """What the word here says about the table."""
    word = cursor.word()
    if cursor.at("REMOVE", "PARTITIONING"):
        return {"partition_key"}
    if cursor.at("CHARACTER", "SET"):
        return {"charset", "collation"}
    if cursor.at("WITHOUT", "ROWID"):
        return {"without_rowid", "options"}
    if cursor.at("WITH", "(") or (word == "SET" and cursor.word(1) == "("):
        return {"options"}
    if cursor.at("SYSTEM", "VERSIONING"):
        return {"system_versioned"}
    if cursor.at("PERIOD", "FOR"):
        return {"system_versioned", "periods"}
    if cursor.at("REPLICA", "IDENTITY"):
        return {"replica_identity"}
    if word in OPTIONS:
        name = OPTIONS[word]
        return {name, "options"} | ({"collation"} if name == "charset" else set())
    return {"options", word.lower()} if cursor.word(1) == "=" else set()
