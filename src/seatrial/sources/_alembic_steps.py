"""Runs a project's revisions, one step at a time. Runs in the project's interpreter (3.8+).

The project is imported once and its revisions stay loaded, but every step has what a new ``alembic upgrade`` would
have: a fresh run of env.py, a fresh run of the revision's module, and new connections; or, on SQLite, a run of env.py
and a connection that the steps before it have left as they were (_alembic_going_on.py).

Standard library, and the project's own alembic and sqlalchemy.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
from collections.abc import Iterator
from typing import Any

from . import _alembic_going_on as going_on
from ._alembic_env import LIBRARIES
from ._alembic_guard import Guard, Refused
from ._alembic_late import OPERATION as LATE_OPERATION
from ._alembic_listeners import Listeners
from ._alembic_observer import HEARD, Observer
from ._alembic_project import Problem, Project
from ._alembic_scripts import read
from ._alembic_talk import Talk

_FEW = 300  # revisions that are read in less time than Alembic's modules for other databases take


class Steps:
    """Makes the steps of one project, and writes down what each came to."""

    def __init__(self, project: Project, guard: Guard, observer: Observer, talk: Talk) -> None:
        self._project, self._guard, self._observer, self._talk = project, guard, observer, talk
        self._script = project.script
        self._listeners = Listeners()
        self._listeners.install()
        self._at: Any = None  # the revision at hand
        self._way = ""
        self._is_told = False  # what its step came to
        self._table = ""  # where env.py has Alembic keep the versions

    def step(self, request: dict[str, Any]) -> Any:
        """Run one revision up or down, and those after it that may follow in the same run of env.py.

        Returns what happened in the last of them, as plain data, or None where that is told by then.
        """
        observer = self._observer
        self._project.load_app(request["url"])
        self._turn_to(request)
        self._configure(request)
        self._is_told = False
        try:
            with self._project.in_app():
                self._environment(request)
            if not observer.ran:
                raise Problem(f"{self._project.env} ended without running any migration.")
        except Refused:
            pass  # said below, also where the project caught it
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            observer.failed(error, str(self._at.path), self._project.env)
        finally:
            observer.end()
            self._listeners.forget()
        return None if self._is_told else self._outcome()

    def are_plain(self) -> bool:
        """Whether env.py imports nothing of the project's, and all that a step may run is Alembic's own operations."""
        paths = [str(revision.path) for revision in self._script.walk_revisions()]
        return (
            self._project.has_plain_env
            and going_on.imported(ast.parse(read(self._project.env))) <= LIBRARIES
            and len(paths) <= _FEW
            and all(going_on.keeps_to_op(path) and LATE_OPERATION not in read(path) for path in paths)
        )

    def _outcome(self) -> dict[str, Any]:
        return {**self._guard.complaint, **self._observer.result(), "version_table": self._table}

    def _turn_to(self, request: dict[str, Any]) -> None:
        self._at, self._way = self._script.get_revision(request["revision"]), request["way"]
        self._observer.begin(
            watched=bool(request.get("watched")), question=request.get("question"), errand=request.get("errand")
        )

    def _environment(self, request: dict[str, Any]) -> None:
        """Run env.py with one step to make, or several."""
        from alembic.runtime.environment import EnvironmentContext

        revision = self._at.revision

        def steps(heads: Any, context: Any) -> Iterator[Any]:
            yield self._one_step(context)
            yield from self._following(request, context)

        def run() -> None:
            self._listeners.begin(self._project.env, str(self._at.path))
            with EnvironmentContext(self._project.config, self._script, fn=steps, destination_rev=revision):
                self._project.modules.run("env_py", self._project.env)  # ScriptDirectory.run_env()

        self._project.config.attributes = asked = Asked()
        try:
            run()
        except Exception:
            if self._observer.ran or self._guard.refused or not asked.connection:
                raise
            with connected(request["url"]) as asked["connection"]:
                run()

    def _following(self, request: dict[str, Any], context: Any) -> Iterator[Any]:
        """The steps after the first, which Alembic has committed, for as long as they may follow."""
        file = self._guard.target.file if self._guard.target else ""
        place = going_on.place_of(file)
        while place is not None and self._may_go_on(context):
            self._observer.rest()
            self._talk.send(self._outcome())
            following = self._talk.receive()
            same = going_on.follows(following, request) and going_on.place_of(file) == place
            if not same or not self._may_follow(following, context):
                self._talk.put_back(following)
                self._is_told = True
                return
            self._turn_to(following)
            yield self._one_step(context)

    def _one_step(self, context: Any) -> Any:
        """``forget`` takes a revision off the version table and runs none of it."""
        from alembic.runtime.migration import MigrationStep

        self._observer.attach(context)
        self._table = str(context.version_table)
        up = self._way == "up"
        make = MigrationStep.upgrade_from_script if up else MigrationStep.downgrade_from_script
        step = make(self._script.revision_map, self._at)
        forget = self._way == "forget"
        act = nothing if forget else getattr(self._project.modules.fresh(self._at), "upgrade" if up else "downgrade")
        step.migration_fn = self._observer.watched(act)
        return step

    def _may_go_on(self, context: Any) -> bool:
        """Whether the next step may use the connection of this one, and could not tell it from its own."""
        table = str(context.version_table)
        return (
            not self._guard.complaint
            and self._project.has_plain_env
            and going_on.keeps_to_op(str(self._at.path))
            and self._observer.had_one_connection()
            and going_on.is_settled(context)
            and going_on.leaves_no_trace(self._observer.sent(), table)
            and going_on.only_alembic(self._observer.beside, table)
            and going_on.is_unaltered(context, frozenset(HEARD))
        )

    def _may_follow(self, request: dict[str, Any], context: Any) -> bool:
        """Whether a step could not tell the connection of others from its own."""
        revision = self._script.get_revision(request["revision"])
        return going_on.counts_nothing(str(revision.path)) and not going_on.has_counting_schema(context)

    def _configure(self, request: dict[str, Any]) -> None:
        """What the command line would have set (alembic/config.py: CommandLine)."""
        from alembic import command

        for option in ("sqlalchemy.url", *self._project.url_options()):
            self._project.config.set_main_option(option, request["url"].replace("%", "%%"))
        self._project.config.cmd_opts = argparse.Namespace(
            config=self._project.config.config_file_name,
            name=self._project.config.config_ini_section,
            x=list(request["x"]) or None,
            raiseerr=False,
            quiet=False,
            cmd=(command.upgrade if self._way == "up" else command.downgrade, ["revision"], ["sql", "tag"]),
            revision=self._at.revision,
            sql=False,
            tag=None,
        )


class Asked(dict):  # type: ignore[type-arg] # Python 3.8
    """Alembic's ``config.attributes``, where a program that calls Alembic hands its connection to env.py.

    Most env.py make an engine where there is none (Alembic's cookbook, "Sharing a Connection"); some insist on it.
    """

    connection = False

    def get(self, key: Any, default: Any = None) -> Any:
        self.connection = self.connection or key == "connection"
        return super().get(key, default)

    def __getitem__(self, key: Any) -> Any:
        self.connection = self.connection or key == "connection"
        return super().__getitem__(key)


@contextlib.contextmanager
def connected(url: str) -> Iterator[Any]:
    """A connection as such a program would hand over; its work is kept."""
    from sqlalchemy import create_engine

    with create_engine(url).connect() as connection:
        yield connection
        with contextlib.suppress(AttributeError):  # SQLAlchemy 1.4 commits by itself
            connection.commit()


def nothing(**settings: Any) -> None:
    """A downgrade that leaves everything as it is."""
