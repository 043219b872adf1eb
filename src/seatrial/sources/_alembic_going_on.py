"""Whether a step may follow the one before in the same run of env.py. Runs in the project's interpreter (3.8+).

Most of what a small step costs is not the step: env.py, an engine, connecting, reading the version table. ``alembic
upgrade head`` pays that once for all revisions; a step that is told apart from all others pays it each time. On SQLite
the next step may go on where the last one ended, on its connection, wherever that connection and env.py provably are
as new ones would be: env.py has nothing to do before or after, and of the connection nothing was used that lasts.
What is not known to leave no trace (a PRAGMA, a connection that the revision asks for, a module of the project's that
it imports, an error) ends the run, and the next step begins its own.

Standard library only.
"""

from __future__ import annotations

import ast
import functools
import os
import re
from collections.abc import Iterable, Iterator
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
_LASTS = re.compile(
    r"\btemp\b|\btemporary\b|last_insert_rowid|\bchanges\s*\(|total_changes|sqlite_temp|\breturning\b", re.IGNORECASE
)
# Around a step: Alembic's own look at its table, and ours at the connection.
_AROUND = re.compile(
    rf"\s*(?:--|BEGIN\b|COMMIT\b|{_LOOKS}|PRAGMA (?:foreign_keys|database_list|read_uncommitted)\s*$)", re.IGNORECASE
)


def ends_with_run(path: str) -> bool:
    """Whether an env.py has nothing to do once ``run_migrations()`` is over but to close its connection."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    runs = {node for node in ast.walk(tree) if _calls(node, "run_migrations")}
    last = set(_last_calls(tree.body))
    within = [f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and runs & set(ast.walk(f))]
    for function in within:
        uses = {node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == function.name}
        if not uses <= {call.func for call in last} or any(uses & set(ast.walk(f)) for f in within):
            return False
        last |= set(_last_calls(function.body))
    return bool(runs) and runs <= last


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and name in (getattr(node.func, "attr", ""), getattr(node.func, "id", ""))


def _last_calls(body: list[ast.stmt]) -> Iterator[ast.Call]:
    """The calls with which a block may end."""
    last = body[-1] if body else None
    if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
        yield last.value
    elif isinstance(last, ast.If):
        yield from _last_calls(last.body)
        yield from _last_calls(last.orelse)
    elif isinstance(last, ast.With) and all(_closes(item.context_expr) for item in last.items):
        yield from _last_calls(last.body)


def _closes(entered: ast.expr) -> bool:
    return _calls(entered, "connect") or _calls(entered, "begin_transaction")


@functools.lru_cache(maxsize=None)  # noqa: UP033 - Python 3.8
def keeps_to_op(path: str) -> bool:
    """Whether a revision reaches its connection by Alembic's operations alone."""
    try:
        text = Path(path).read_bytes().decode("utf-8")
        return not _HOLDS.search(_DUNDER_LINES.sub("", text)) and _imported(ast.parse(text)) <= _HARMLESS
    except (OSError, SyntaxError, ValueError):
        return False


def _imported(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0] if not node.level else ".")
    return found


def leaves_no_trace(statements: Iterable[str], version_table: str) -> bool:
    """Whether a connection that ran these is as a new one would be, and Alembic knows of all in its table."""
    return all(
        _LOOK.match(sql) or (_PLAIN.match(sql) and not _LASTS.search(sql) and version_table.lower() not in sql.lower())
        for sql in statements
    )


def only_alembic(statements: Iterable[str], version_table: str) -> bool:
    """Whether nothing ran around a step but Alembic's work on its own table."""
    name = re.escape(version_table)
    own = re.compile(
        rf"\s*(?:SELECT {name}\.version_num\s+FROM {name}\s*$|CREATE TABLE {name} \(|INSERT INTO {name} \("
        rf"|UPDATE {name} SET|DELETE FROM {name} WHERE)",
        re.IGNORECASE,
    )
    return all(_AROUND.match(sql) or own.match(sql) for sql in statements)


def is_settled(context: Any) -> bool:
    """Whether Alembic has committed the step by itself, and nothing is open on the connection."""
    if getattr(context, "_in_external_transaction", True) or getattr(context, "on_version_apply_callbacks", True):
        return False
    connection = context.connection
    if context.impl.transactional_ddl or connection.closed or connection.invalidated or connection.in_transaction():
        return False
    driver = getattr(connection.connection, "driver_connection", None)  # before SQLAlchemy 1.4.24 there is none
    return connection.dialect.driver == "pysqlite" and driver is not None and not driver.in_transaction


def place_of(file: str) -> Any:
    """What tells a file from one that is put in its place while it is open; None where that is not to be had.

    Windows puts no file in the place of an open one. And whoever closes a write-ahead log last removes it by its name,
    which may be the new file's by then (wal.html).
    """
    if os.name != "posix" or Path(file + "-wal").exists():
        return None
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def follows(request: Any, before: dict[str, Any]) -> bool:
    """Whether a request is for another step on the same database, with the same settings."""
    own = ("revision", "way")
    return request is not None and all(request.get(key) == value for key, value in before.items() if key not in own)
