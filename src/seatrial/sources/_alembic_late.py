"""Modules that ``import alembic`` brings and a run seldom needs, run when something of them is used. Python 3.8+.

Alembic's operations for databases that are not tested (with them SQLAlchemy's dialect for PostgreSQL, and asyncio), and
of mako what colours source code: a third of the time of that import. Each is there under its name from the start, and
runs as soon as anything of it is asked for (importlib.util.LazyLoader).

Nobody asks for what Alembic's modules sign up for as they run: how their databases spell a statement, and
``op.create_exclude_constraint``. So each also runs as soon as its database's dialect is imported, without which no
statement is spelled; and all run before the first step of a project of which it is not known that it runs nothing but
plain revisions (``settle``).

Standard library only.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import sys
from typing import Any

from ._alembic_guard import AfterImport

_DATABASES = ("mssql", "mysql", "oracle", "postgresql")
_OF_DIALECT = {f"sqlalchemy.dialects.{name}": f"alembic.ddl.{name}" for name in _DATABASES}
OPERATION = "create_exclude_constraint"


def put_off() -> None:
    """From here on those modules run late."""
    sys.meta_path.insert(0, _Late({*_OF_DIALECT.values(), "mako.exceptions"}))
    sys.meta_path.insert(0, AfterImport({of: functools.partial(_run, name) for of, name in _OF_DIALECT.items()}))


def settle() -> None:
    """Run what still waits of Alembic's."""
    for name in _OF_DIALECT.values():
        _run(name)


def _run(name: str, dialect: Any = None) -> None:
    getattr(sys.modules.get(name), "__doc__", None)  # whatever is asked of a module that waits makes it run


class _Late:
    """Finds those modules as Python does, with a loader that waits."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self._names:
            return None
        self._names.discard(name)  # whoever reloads it wants it to run
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec

    def invalidate_caches(self) -> None:
        """Nothing is cached."""
