"""What a source is told, and what a kind of source has to offer; apart, so that every source can import it."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Self

from seatrial.model import Source
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """The ``[source]`` table of seatrial.toml, as far as running migrations goes.

    ``options`` are the tool's own switches, by the tool's own names: golang-migrate's ``x-multi-statement``,
    ``x-no-tx-wrap`` and ``x-migrations-table``, dbmate's ``migrations-table``, Alembic's ``driver`` (a SQLAlchemy
    driver: ``psycopg``, ``asyncpg``, ``aiosqlite`` ...), ``config`` (the ini file), ``name`` (its section) and, for
    Flask-Migrate, ``app`` (as ``flask --app`` takes it).
    """

    python: str | None = None  # the project's own Python
    url_env: str | None = None  # environment variable that env.py reads the URL from
    x_arguments: tuple[str, ...] = ()  # Alembic's -x; {url} stands for the throwaway database
    timeout_s: float = 600.0  # for one step
    session: tuple[str, ...] = ()  # run in autocommit on every connection of a step, before anything else
    trust: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    def flag(self, name: str) -> bool:
        """Whether an option is switched on, in Go's and everybody's words for true."""
        return self.options.get(name, "").lower() in ("1", "t", "true", "yes", "on")


class Adjustable:
    """A source that need not be looked up again to run its steps under other settings."""

    config: SourceSettings

    def under(self, settings: SourceSettings) -> Self:
        """The same migrations, run under other settings; this one is not used any more then."""
        other = copy.copy(self)
        other.config = settings
        return other


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A kind of source: how it is recognised and opened. One module of this package each, or an entry point."""

    kind: str
    looked_for: str  # in words, for the message when nothing is found
    detect: Callable[[Path], list[Path]]  # candidates inside a project (or the project itself)
    open: Callable[[Path, Path, SourceSettings], Source]  # project, what was detected or named, settings


def relative(path: Path, project: Path) -> str:
    """A path as people read it: from the project on."""
    return Path(os.path.relpath(path, project)).as_posix()
