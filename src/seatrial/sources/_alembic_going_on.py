"""Whether a step may follow the one before in the same run of env.py. Runs in the project's interpreter (3.8+).

Most of what a small step costs is not the step: env.py, an engine, connecting, reading the version table. ``alembic
upgrade head`` pays that once for all revisions; a step that is told apart from all others pays it each time. On SQLite
the next step may go on where the last one ended, on its connection, wherever that connection and env.py provably are
as new ones would be: env.py does the same for every step and nothing behind it (_alembic_env.py), of the connection
nothing was used that lasts, nobody but SQLAlchemy and Seatrial listens to it, and the next step does not ask for what a
connection counts. What is not known to leave no trace (a PRAGMA, a connection that the revision asks for, a module of
the project's that it imports, an error) ends the run, and the next step begins its own.

Standard library only.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# What a revision may import: nothing of it holds on to a connection.
_HARMLESS = frozenset(
    ("alembic", "sqlalchemy", "__future__", "typing", "collections", "datetime", "decimal", "enum", "json", "uuid")
)
# By these a revision gets hold of its connection, or of what outlives it.
_HOLDS = re.compile(
    r"get_bind|context|\bbind\b|connection|engine|[Ss]ession|inspect|listen|autocommit|execution_options|run_async"
    r"|\bimpl\b|__|\bglobal\b|\bimport_module\b|\bgetattr\b|\bexec\b|\beval\b|\bopen\b"
)
_DUNDER_LINES = re.compile(r"^\s*from __future__ import .*$", re.MULTILINE)
_LOOKS = (
    r"PRAGMA (?:main\.|temp\.)?(?:table_x?info|table_list|index_list|index_x?info|foreign_key_list)\b"
    r"|SELECT sql FROM\s*\(SELECT \* FROM sqlite_master UNION ALL\s+SELECT \* FROM sqlite_temp_master\) WHERE name ="
)
_LOOK = re.compile(rf"\s*(?:{_LOOKS})")  # SQLAlchemy's own at the catalogue
# Statements of a step that change the file and nothing of the connection.
_PLAIN = re.compile(
    r"\s*(?:ALTER TABLE\b|DROP (?:TABLE|INDEX|VIEW|TRIGGER)\b|(?:INSERT|REPLACE) INTO\b|UPDATE\b|DELETE FROM\b"
    r"|CREATE (?:TABLE|VIEW|TRIGGER|(?:UNIQUE )?INDEX)\b)",
    re.IGNORECASE,
)
_LASTS = re.compile(r"\btemp\b|\btemporary\b|\bsqlite_|\breturning\b", re.IGNORECASE)
# What a connection counts and knows of its past: a new one would answer otherwise. `PRAGMA optimize` looks at what
# the connection has read (pragma.html).
_COUNTED = ("last_insert_rowid", "changes", "data_version", "pragma")
_COUNTED_IN_SCHEMA = "SELECT 1 FROM sqlite_master WHERE {} LIMIT 1".format(
    " OR ".join(f"instr(lower(sql), '{word}')" for word in _COUNTED)
)
# Around a step: Alembic's own look at its table, and ours at the connection.
_AROUND = re.compile(
    rf"\s*(?:BEGIN\b|COMMIT\b|{_LOOKS}|PRAGMA (?:foreign_keys|database_list|read_uncommitted)\s*$)", re.IGNORECASE
)
_BEFORE_COMMENTS = frozenset(" \t\r\n\v\f-/")
_COMMENTS = re.compile(r"(?:\s*(?:--[^\n]*(?:\n|$)|/\*.*?\*/))*\s*", re.DOTALL)


@functools.lru_cache(maxsize=None)  # noqa: UP033 - Python 3.8
def keeps_to_op(path: str) -> bool:
    """Whether a revision reaches its connection by Alembic's operations alone."""
    try:
        text = Path(path).read_bytes().decode("utf-8")
        return not _HOLDS.search(_DUNDER_LINES.sub("", text)) and imported(ast.parse(text)) <= _HARMLESS
    except (OSError, SyntaxError, ValueError):
        return False


@functools.lru_cache(maxsize=None)  # noqa: UP033 - Python 3.8
def counts_nothing(path: str) -> bool:
    """Whether a revision does not ask for what its connection has counted, as far as its own text tells."""
    try:
        text = Path(path).read_bytes().decode("utf-8").lower()
    except (OSError, ValueError):
        return False
    return keeps_to_op(path) and not any(word in text for word in _COUNTED)


def imported(tree: ast.AST) -> set[str]:
    """The packages that a file imports, wherever it does; ``.`` is its own."""
    found, ahead = set(), [tree]
    while ahead:
        node = ahead.pop()
        ahead += [
            part for part in ast.iter_child_nodes(node) if not isinstance(part, ast.expr)
        ]  # it holds no statement
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0] if not node.level else ".")
    return found


def leaves_no_trace(statements: Iterable[str], version_table: str) -> bool:
    """Whether a connection that ran these is as a new one would be, and Alembic knows of all in its table."""
    table = version_table.lower()
    return all(
        _LOOK.match(sql) or (_PLAIN.match(sql) and not _LASTS.search(sql) and table not in sql.lower())
        for sql in statements
    )


def only_alembic(statements: Iterable[str], version_table: str) -> bool:
    """Whether nothing ran around a step but Alembic's work on its own table.

    SQLite shows what it runs within a statement as comments (sqlite3_expanded_sql); so may whoever sends statements.
    """
    own = _work_on(version_table)
    return all(
        _AROUND.match(sql) or own.match(sql)
        for statement in statements
        if (sql := _COMMENTS.sub("", statement, count=1) if statement[:1] in _BEFORE_COMMENTS else statement)
    )


@functools.lru_cache(maxsize=None)  # noqa: UP033 - Python 3.8
def _work_on(version_table: str) -> re.Pattern[str]:
    name = re.escape(version_table)
    return re.compile(
        rf"\s*(?:SELECT {name}\.version_num\s+FROM {name}\s*$|CREATE TABLE {name} \(|INSERT INTO {name} \("
        rf"|UPDATE {name} SET|DELETE FROM {name} WHERE)",
        re.IGNORECASE,
    )


def is_settled(context: Any) -> bool:
    """Whether Alembic has committed the step by itself, and nothing is open on the connection."""
    if getattr(context, "_in_external_transaction", True) or getattr(context, "on_version_apply_callbacks", True):
        return False
    connection = context.connection
    if context.impl.transactional_ddl or connection.closed or connection.invalidated or connection.in_transaction():
        return False
    driver = getattr(connection.connection, "driver_connection", None)  # before SQLAlchemy 1.4.24 there is none
    return connection.dialect.driver == "pysqlite" and driver is not None and not driver.in_transaction


def is_unaltered(context: Any, heard: frozenset[str]) -> bool:
    """Whether Alembic and SQLAlchemy are as they come: no listener, no operation and no dialect of the project's.

    ``heard``: the events of engines (or of dialects, in SQLAlchemy 2) that Seatrial itself listens to. What is not to
    be had counts as altered.
    """
    try:
        engine, operations = context.connection.engine, sys.modules["alembic.operations"].Operations
        pool = _listeners(engine.pool)
        ways = [act.__module__ for act in pool.pop("connect") if not act.__module__.startswith("seatrial_")]
        others = [*_listeners(engine).items(), *_listeners(engine.dialect).items()]
        return (
            sorted(event for event, _ in others) == sorted(heard)
            and all(len(acts) == 1 for _, acts in others)
            and not pool
            and not any(map(_listeners, _any_table()))
            and len(set(ways)) == len(ways)  # `once=True` wraps a listener as SQLAlchemy's own first one is wrapped
            and all(name.startswith("sqlalchemy.") for name in ways)
            and all(act.__module__ == "alembic.operations.toimpl" for act in operations._to_impl._registry.values())
            and type(context.impl).__module__ == "alembic.ddl.sqlite"
            and type(context).__module__ == "alembic.runtime.migration"
        )
    except (AttributeError, KeyError):
        return False


@functools.lru_cache(maxsize=None)  # noqa: UP033 - Python 3.8
def _any_table() -> tuple[Any, ...]:
    """What only those hear who listen to all tables, also from now on: they are given the connection."""
    sqlalchemy = sys.modules["sqlalchemy"]
    table = sqlalchemy.Table("t", sqlalchemy.MetaData(), sqlalchemy.Column("c", sqlalchemy.Integer))
    return table, table.metadata, table.c.c


def _listeners(of: Any) -> dict[str, list[Any]]:
    dispatch = of.dispatch
    return {event: acts for event in dispatch._event_names if (acts := list(getattr(dispatch, event)))}


def has_counting_schema(context: Any) -> bool:
    """Whether a trigger, a view or a default of the database may ask for what a connection has counted."""
    cursor = context.connection.connection.cursor()
    try:
        return cursor.execute(_COUNTED_IN_SCHEMA).fetchone() is not None
    finally:
        cursor.close()


def place_of(file: str) -> Any:
    """What tells a file from one that is put in its place while it is open; None where that is not to be had.

    Windows puts no file in the place of an open one. And whoever closes a write-ahead log last removes it by its name,
    which may be the new file's by then (wal.html).
    """
    if os.name != "posix" or os.path.exists(file + "-wal"):  # noqa: PTH110 - asked around every step
        return None
    try:
        found = os.stat(file)  # noqa: PTH116
    except OSError:
        return None
    return found.st_dev, found.st_ino


def follows(request: Any, before: dict[str, Any]) -> bool:
    """Whether a request is for another step on the same database, with the same settings."""
    own = ("revision", "way", "errand")
    return request is not None and all(request.get(key) == value for key, value in before.items() if key not in own)
