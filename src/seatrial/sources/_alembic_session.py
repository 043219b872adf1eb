"""Answers what is asked of a project's migrations, in the project's own Python (3.8+).

Standard library, and the project's own alembic and sqlalchemy.
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

from . import _alembic_late
from ._alembic_guard import Guard, Refused, Target
from ._alembic_observer import Observer
from ._alembic_pages import Pages
from ._alembic_project import Problem, Project, told
from ._alembic_steps import Steps
from ._alembic_talk import Talk

_PARTS = ("alembic", "sqlalchemy")
_DRIVERS = (
    *("psycopg2", "psycopg", "asyncpg", "pg8000", "psycopg2cffi"),
    *("MySQLdb", "pymysql", "mysql.connector", "asyncmy", "aiomysql"),
    *("sqlite3", "aiosqlite", "pysqlcipher3"),
)


def hello() -> dict[str, Any]:
    """Who we are; answers even where the project's Python has no Alembic."""
    found: dict[str, Any] = {"python": sys.version.split()[0], "executable": sys.executable}
    for name in _PARTS:
        try:
            module = __import__(name)
            found[name] = getattr(module, "__version__", "?")
        except ImportError as error:
            found.setdefault("missing", str(error))
    found["drivers"] = [name for name in _DRIVERS if is_there(name)]
    return found


def is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


class Session:
    """Answers requests one after the other."""

    def __init__(self, talk: Talk, journals: Callable[[], Any]) -> None:
        self._talk = talk
        self._guard = Guard()
        self._observer = Observer(self._guard, Pages(journals))
        self._steps: Steps | None = None
        self._tidied = 0

    def guard(self) -> None:
        """From here on no connection is made but to the throwaway database."""
        self._guard.install()

        @functools.lru_cache(maxsize=1000)  # up, down and up again send the same
        def judge(statement: str) -> str:
            answer = self._talk.ask({"judge": statement})
            return str(answer["outside"]) if answer else "nobody judges this statement any more"

        self._guard.judge = judge
        self._observer.announce = lambda statement, session, answer: self._talk.ask(
            {"watch": statement, "session": session, "answer": answer}
        )

    def run(self) -> None:
        """Until nobody asks any more."""
        while (request := self._talk.receive()) is not None:
            answer = self.safely(request)
            if answer is not None:
                self._talk.send(answer)
            if not self._talk.is_over:
                self._tidy()  # while the answer is looked at, this costs nobody time

    def _tidy(self) -> None:
        """What a step leaves has cycles (an engine is one). What was imported stays, and is looked through no more."""
        self._tidied += 1
        if self._tidied == 1:  # the revisions were read; nothing was looked through yet (_alembic_worker.py)
            if self._steps is not None and not self._steps.are_plain():
                _alembic_late.settle()
            gc.freeze()
            gc.set_threshold(100_000, 20, 20)  # a step makes many objects and few cycles: looking cost a tenth of it
            gc.enable()
            return
        gc.collect()
        if self._tidied == 2:  # env.py has imported the project's models by now
            gc.freeze()

    def answer(self, request: dict[str, Any]) -> Any:
        self._guard.refused = self._guard.outside = ""
        os.environ.update(request.get("environ") or {})
        self._guard.target = Target(request["target"]) if request.get("target") else None
        if request["do"] == "open":
            return self._open(request)
        assert self._steps is not None
        return self._steps.step(request)

    def _open(self, request: dict[str, Any]) -> dict[str, Any]:
        os.chdir(request["folder"])
        sys.path.append(request["folder"])  # behind everything else: only what `alembic` itself would not find
        self._observer.install()
        project = Project(request)
        found = project.describe()
        self._steps = Steps(project, self._guard, self._observer, self._talk)
        return found

    def safely(self, request: dict[str, Any]) -> Any:
        try:
            return self.answer(request)
        except Problem as error:
            return {"problem": str(error)}
        except Refused:
            return dict(self._guard.complaint)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the end of a worker: whatever the project's modules raise is an answer
            return dict(self._guard.complaint) or {"problem": told(error)}
