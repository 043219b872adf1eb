"""Flask-Migrate: an env.py that asks Flask's current application for its engine. Runs in the project's Python (3.8+).

``flask db upgrade`` loads the application and runs Alembic within its context (flask_migrate/cli.py); the application
says where its database is, in ``SQLALCHEMY_DATABASE_URI``, which Flask-SQLAlchemy reads in ``init_app`` (3.x) or when
it makes the engine (2.x).
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from typing import Any

_ASKS = re.compile(r"^(?!\s*#).*\bcurrent_app\b", re.MULTILINE)
_KEY = "SQLALCHEMY_DATABASE_URI"


def asks_for_app(text: str) -> bool:
    """Whether an env.py speaks of Flask's ``current_app``."""
    return "flask" in text and bool(_ASKS.search(text))


class Application:
    """A project's Flask application, loaded once by a process; its database is the throwaway one."""

    def __init__(self, named: str | None) -> None:
        self._named = named
        self._app: Any = None

    def load(self, url: str, config: Any) -> Any:
        """As the command ``flask`` does it (flask/cli.py): FLASK_APP, else app.py or wsgi.py.

        Returns Alembic's settings as the application wants them. Whatever the project's code raises goes through.
        """
        if self._app is not None:
            return config
        from flask.cli import ScriptInfo, load_dotenv  # type: ignore[import-not-found,unused-ignore]

        if os.environ.get("FLASK_SKIP_DOTENV", "").lower() not in ("1", "true", "yes"):
            load_dotenv()
        os.environ["FLASK_RUN_FROM_CLI"] = "true"  # `app.run()` at the end of a module serves nobody
        _lead_to(url)
        info = ScriptInfo(app_import_path=self._named or os.environ.get("FLASK_APP"))
        self._app = info.load_app()
        self._app.config[_KEY] = url  # Flask-SQLAlchemy 2.x has not looked yet
        migrate = getattr(self._app.extensions.get("migrate"), "migrate", None)
        changed = getattr(migrate, "call_configure_callbacks", lambda settings: settings)
        return changed(config)

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:
        with self._app.app_context():
            yield


def _lead_to(url: str) -> None:
    """Whatever an application's settings say, Flask-SQLAlchemy is given the throwaway database."""
    try:
        import flask_sqlalchemy  # type: ignore[import-not-found,unused-ignore]
    except ImportError:  # the project makes its engine by itself: `url_env`
        return
    extension: Any = flask_sqlalchemy.SQLAlchemy
    plain = extension.init_app

    @functools.wraps(plain)
    def init_app(db: Any, app: Any, *args: Any, **settings: Any) -> Any:
        app.config[_KEY] = url
        return plain(db, app, *args, **settings)

    extension.init_app = init_app
