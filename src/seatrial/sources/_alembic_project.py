"""What a project's Alembic environment holds: its revisions and settings. Runs in the project's interpreter (3.8+).

Standard library, and the project's own alembic.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import _alembic_env as env_module
from ._alembic_flask import Application, asks_for_app
from ._alembic_guard import Refused
from ._alembic_scripts import Modules, no_down, read

HERE = Path(__file__).resolve().parent
DATABASE_URL = re.compile(r"(?:postgres(?:ql)?|mysql|mariadb|sqlite)(?:\+\w+)?:/")

_ASYNC = re.compile(r"\bcreate_async_engine\b|\basync_engine_from_config\b|\bAsyncEngine\b")
# An env.py that puts the driver into its URL by itself: one that is there already would be put in twice.
_MAKES_ASYNC = re.compile(r"\.replace\(\s*['\"](?:sqlite|postgresql|mysql|mariadb)\b[^'\"+]*['\"]\s*,\s*['\"]\w+\+\w+")


class Problem(Exception):
    """The project's set-up keeps its migrations from being read or run."""


class Project:
    """A project's Alembic environment, loaded."""

    def __init__(self, facts: dict[str, Any]) -> None:
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        self.facts = facts
        settings: dict[str, Any] = {"ini_section": facts.get("section") or "alembic"}
        if facts.get("toml"):
            settings["toml_file"] = facts["toml"]
        self.config = Config(facts.get("ini"), **settings)
        if facts.get("script_location"):
            self.config.set_main_option("script_location", facts["script_location"])
        self.script = ScriptDirectory.from_config(self.config)
        self.env = str(Path(str(self.script.dir)) / "env.py")
        self.has_plain_env = env_module.is_plain(self.env)
        self.modules = Modules()
        asks = asks_for_app(self._text())
        self._app = Application(facts.get("app")) if asks else None

    def describe(self) -> dict[str, Any]:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                scripts = list(self.script.walk_revisions())
            finally:  # what it warned of tells more than the KeyError that follows
                self._complain([str(w.message) for w in said])
        return {
            "revisions": [self._revision(script) for script in scripts],
            "heads": list(self.script.get_heads()),
            "script_location": str(self.script.dir),
            "async": bool(_ASYNC.search(self._text()) and not _MAKES_ASYNC.search(self._text())),
            "url": self._given_url(),
            "version_table": self._version_table(),
        }

    def _complain(self, said: list[str]) -> None:
        """Alembic only warns about two revisions of one name and about unknown parents."""
        for message in said:
            twin = re.search(r"Revision (\S+) is present more than once", message)
            if twin:
                files = ", ".join(sorted(self._files_of(twin.group(1))))
                raise Problem(
                    f"Revision {twin.group(1)} is there more than once: {files}. Give one of them another id."
                )
            orphan = re.search(r"Revision (\S+) referenced from (.*) is not present", message)
            if orphan:
                files = ", ".join(self._files_naming(orphan.group(1))) or orphan.group(2)
                raise Problem(
                    f"{files} names {orphan.group(1)} as a parent, and no file has that revision. "
                    "Add the missing file, or correct down_revision or depends_on."
                )

    def _files_of(self, revision: str) -> Iterator[str]:
        return self._files_with(rf"^revision\s*(?::[^=]*)?=\s*['\"]{re.escape(revision)}['\"]")

    def _files_naming(self, revision: str) -> Iterator[str]:
        return self._files_with(rf"\b(?:down_revision|depends_on)\s*(?::[^=]*)?=.*['\"]{re.escape(revision)}['\"]")

    def _files_with(self, text: str) -> Iterator[str]:
        pattern = re.compile(text, re.MULTILINE)
        for place in self._version_locations():
            for folder, _, names in os.walk(place):
                for name in names:
                    path = str(Path(folder) / name)
                    if name.endswith(".py") and pattern.search(read(path)):
                        yield path

    def _version_locations(self) -> list[str]:
        found = getattr(self.script, "_version_locations", None)
        return [str(place) for place in found] if found else [str(self.script.versions)]

    def _revision(self, script: Any) -> dict[str, Any]:
        path = str(script.path)
        return {
            "id": script.revision,
            "path": path,
            "doc": script.doc or "",
            "slug": re.sub(rf"^{re.escape(script.revision)}[_\-]", "", Path(path).stem),
            "down": list(tupled(getattr(script, "_versioned_down_revisions", None) or script.down_revision)),
            "needs": list(tupled(getattr(script, "_resolved_dependencies", None) or script.dependencies)),
            "labels": sorted(script.branch_labels or ()),
            "no_down": no_down(script, path),
        }

    def load_app(self, url: str) -> None:
        """Flask's application, where env.py asks for it; it is led to ``url``. Raises Problem."""
        if self._app is None:
            return
        try:
            self.config = self._app.load(url, self.config)
        except Refused:
            raise
        except (Exception, SystemExit) as error:
            why = (str(error) if type(error).__name__ == "NoAppException" else told(error)).rstrip(".")
            raise Problem(
                f"{self.env} asks Flask for its application (current_app), which could not be loaded: {why}. "
                "As for `flask db upgrade`, it comes from FLASK_APP, or app.py or wsgi.py in the project's folder; "
                'or name it: `app = "package:create_app"` in [source.options].'
            ) from None

    def in_app(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self._app is None else self._app.context()

    def _text(self) -> str:
        return read(self.env) if Path(self.env).exists() else ""

    def _given_url(self) -> str:
        """The driver that the project itself names, without anything secret."""
        try:
            names = ("sqlalchemy.url", *self.url_options())
            url = next((url for name in names if (url := self.config.get_main_option(name))), "")
        except Exception:  # an interpolation that needs the environment
            url = ""
        return url.partition("://")[0]

    def url_options(self) -> list[str]:
        """Other options of the section that hold a database's URL: env.py is free in what it calls it."""
        parser, section = self.config.file_config, self.config.config_ini_section
        held = parser.items(section, raw=True) if parser.has_section(section) else []
        return [name for name, value in held if DATABASE_URL.match(value)]

    def _version_table(self) -> str:
        found = re.search(r"version_table\s*=\s*['\"]([^'\"]+)['\"]", self._text())
        return found.group(1) if found else "alembic_version"


def tupled(value: Any) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def told(error: BaseException) -> str:
    """An exception as one sentence with its place: the innermost frame that is the project's own file."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not foreign(frame.filename)] or frames
    if type(error).__name__ == "CommandError":  # Alembic's own sentence to its users
        return str(error)
    words = f"{type(error).__name__}: {error}"
    if isinstance(error, ModuleNotFoundError):
        words += f" (in {sys.executable}; `python` in [source] names another)"
    return f"{own[-1].filename}, line {own[-1].lineno}: {words}" if own else words


def foreign(path: str) -> bool:
    """A library's file or one of ours."""
    return "site-packages" in path or path.startswith((str(HERE), str(Path(os.__file__).parent), "<"))
