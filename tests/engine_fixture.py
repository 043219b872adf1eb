"""What the fixture ``engine`` gives: an engine, databases of the test's own on it, and whole runs of migrations."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest
from trial_fixtures import Migrations, Outcome, project

from seatrial import app, config
from seatrial.config import ServerConfig
from seatrial.errors import SeatrialError, ServerError
from seatrial.model import Report

ENGINES = ("sqlite", "postgresql", "mariadb", "mysql")
MYSQLS = ("mariadb", "mysql")
PROGRAMS = {name: os.environ.get(f"SEATRIAL_TEST_{name.upper()}") or None for name in ENGINES}
"""Folders of other programs to run the tests of an engine on."""


def without(reason: str) -> NoReturn:
    """Something cannot be had here: the test is skipped and says so; in CI, where all is to be set up, it fails.

    Other programs than the machine's (``PROGRAMS``) may well be built without it.
    """
    if os.environ.get("CI") == "true" and not any(PROGRAMS.values()):
        pytest.fail(f"{reason} (CI is to have everything)")
    pytest.skip(reason)


def needs(module: str) -> ModuleType:
    """A package that only tests use."""
    try:
        return importlib.import_module(module)
    except ImportError:
        without(f"{module} is not installed")


def start(name: str) -> Any:
    """A server of the tests' own. Raises ServerError."""
    if name == "sqlite":
        return app.open_server(name, None)
    if name == "postgresql":
        from seatrial.engines.postgresql import PostgresqlDatabase
        from seatrial.servers import _postgresql_local
        from seatrial.servers.postgresql import PostgresqlServer

        with pytest.MonkeyPatch.context() as patch:  # a log of hundreds of databases, in memory
            patch.setitem(_postgresql_local._SETTINGS, "max_wal_size", "1GB")
            return PostgresqlServer.local(PostgresqlDatabase, programs=PROGRAMS[name])
    from seatrial.engines.mariadb import open_database
    from seatrial.servers.mysql import MysqlServer

    return MysqlServer.local(name, open_database, programs=PROGRAMS[name])


class Servers:
    """One server an engine for a whole session of tests, started when the first test asks for it."""

    def __init__(self) -> None:
        self._found: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._found:
            try:
                self._found[name] = start(name)
            except ServerError as error:
                self._found[name] = error
        found = self._found[name]
        if isinstance(found, SeatrialError):
            without(f"no {name} here: {found}")
        return found

    def close(self) -> None:
        for found in self._found.values():
            if not isinstance(found, SeatrialError):
                found.close()


class Engine:
    """One engine, at hand for one test."""

    def __init__(self, name: str, server: Any, folder: Path) -> None:
        self.name, self.server, self._folder = name, server, folder
        self._made: list[Any] = []

    @property
    def url(self) -> str:
        """Of the server: beside the database that it names, others are made. SQLite has none."""
        return str(self.server.url("postgres" if self.name == "postgresql" else ""))

    @property
    def config(self) -> ServerConfig:
        return ServerConfig(engine="sqlite") if self.name == "sqlite" else ServerConfig(url=self.url)

    @property
    def arguments(self) -> list[str]:
        """Of the command."""
        return ["--engine", "sqlite"] if self.name == "sqlite" else ["--server", self.url]

    def create(self) -> Any:
        """A database that goes with the test."""
        self._made.append(self.server.create())
        return self._made[-1]

    def close(self) -> None:
        for database in self._made:
            database.close()

    def tested(self, folder: Path, **changes: Any) -> Report:
        """A project's migrations, run here; ``changes`` of its settings."""
        return app.run(config.load(folder).replace(server=self.config, **changes))

    def run(
        self,
        migrations: Migrations,
        *,
        seed: str | None = None,
        at: str = "0001",
        settings: str = "",
        folder: Path | None = None,
        **changes: Any,
    ) -> Report:
        """SQL migrations 0001, 0002 ..., given as (up, down); the seed belongs to the version ``at``."""
        place = project(folder or self._folder, migrations, seed=seed, at=at, settings=settings)
        return self.tested(place, **changes)

    def trial(
        self,
        *,
        base: str,
        up: str,
        down: str | None,
        seed: str = "",
        settings: str = "",
        foreign_keys: bool = False,
        keys: int = 1000,
    ) -> Outcome:
        """One migration on what ``base`` made and ``seed`` filled, judged as a run would."""
        if foreign_keys and self.name == "sqlite":  # elsewhere they always are
            settings += '\n[source]\nsession = ["PRAGMA foreign_keys = on"]\n'
        steps = [(base, "SELECT 1;"), (up, down)]
        return Outcome(self.run(steps, seed=seed, settings=settings, only=("0002",), max_keys=keys))
