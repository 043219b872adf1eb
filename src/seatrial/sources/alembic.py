"""Alembic (1.7 and later): a project's own env.py and revisions, run by its own Python, kept to the throwaway database.

Facts about Alembic from its sources at 1.20 (alembic/command.py, runtime/environment.py, runtime/migration.py,
script/base.py), about its command line from alembic/config.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from seatrial.errors import DatabaseError, NotOurs, SourceError
from seatrial.model import (
    LOST,
    Database,
    ErrorKind,
    Lock,
    Migration,
    Observed,
    Runner,
    Source,
    Statement,
    Step,
    StepError,
)
from seatrial.sources import _alembic_client as client
from seatrial.sources import _sqlalchemy_url as sqlalchemy_url
from seatrial.sources._alembic_detect import detect, is_flask_migrate, toml_section
from seatrial.sources._alembic_locks import Overheard
from seatrial.sources._alembic_said import Texts, said
from seatrial.sources.settings import Adjustable, Layout, SourceSettings, relative
from seatrial.sources.sqlfiles import _common as common
from seatrial.sql.bind import bound
from seatrial.sql.lacking import explained

# What tells one server's database from any other: asked through Seatrial's own connection and through the project's.
_IDENTITY = {
    "postgresql": "SELECT pg_catalog.current_database()::text,"
    " extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text,"
    " coalesce((SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database"
    " WHERE datname = pg_catalog.current_database()), '')",
    "mysql": "SELECT coalesce(database(), ''), concat_ws('|', @@hostname, @@port, @@datadir)",
}


class AlembicSource(Adjustable):
    """A project's Alembic environment. ``path`` is the ini file, the pyproject.toml, or the folder with env.py."""

    def __init__(self, path: Path, project: Path, settings: SourceSettings | None = None) -> None:
        self.kind = "alembic"
        self.has_downs = True
        self.path = path
        self.project = project
        self.config = settings or SourceSettings()
        self.bookkeeping = frozenset({"alembic_version"})
        self._found: dict[str, Any] | None = None
        self._spare: client.Worker | None = None  # the one that discovered, for the first runner
        self._heads: tuple[str, ...] = ()
        self.meanwhile: Callable[[], None] = lambda: None  # called when the project's Python is starting

    def discover(self) -> tuple[Migration, ...]:
        """Every revision, parents first, each branch in one piece. Raises SourceError."""
        if self._spare is not None:
            self._spare.close()
            self._spare = None
        worker, found = self.open_worker({})
        self._found = found
        self.bookkeeping = frozenset({found["version_table"]})
        if self.config.url_env:
            worker.close()  # what it has imported may have read the variable already
        else:
            self._spare = worker
        return tuple(self._migration(revision) for revision in _ordered(found["revisions"], found["heads"]))

    def under(self, settings: SourceSettings) -> AlembicSource:
        other = super().under(settings)
        self._spare = None  # the other one's now
        return other

    def open_worker(self, environ: Mapping[str, str]) -> tuple[client.Worker, dict[str, Any]]:
        """A process with the project loaded, and what it says of itself."""
        worker = client.start(self.project, self.config.python, environ, self._open_request(), self.meanwhile)
        try:
            found = worker.opened()
        except (client.Died, client.TookTooLong) as error:
            worker.close()
            raise SourceError(f"The revisions of {self.path} could not be read: {error}") from None
        _refuse(found, self)
        if "problem" in found:
            worker.close()
            raise SourceError(f"The revisions of {self.path} could not be read: {client.redact(found['problem'])}")
        return worker, {**worker.hello, **found}

    def take_worker(self, environ: Mapping[str, str]) -> client.Worker:
        worker, self._spare = self._spare, None
        if worker is not None and worker.alive and not environ:
            return worker
        return self.open_worker(environ)[0]

    @property
    def found(self) -> dict[str, Any]:
        if self._found is None:
            self.discover()
        assert self._found is not None
        return self._found

    @property
    def folder(self) -> Path:
        """Where the worker stands, as ``alembic`` would, or ``flask``."""
        place = self.path.resolve()
        stands_beside = place.is_file() and not is_flask_migrate(place)
        return place.parent if stands_beside else self.project.resolve()

    def _open_request(self) -> dict[str, Any]:
        place = self.path.resolve()
        request: dict[str, Any] = {"do": "open", "folder": str(self.folder)}
        if place.is_dir():
            request["script_location"] = str(place)
        elif place.suffix == ".toml":
            request["toml"] = str(place)
            ini = place.with_name("alembic.ini")
            request["ini"] = str(ini) if ini.is_file() else None
        else:
            request["ini"] = str(place)
            toml = place.with_name("pyproject.toml")
            request["toml"] = str(toml) if toml_section(toml) else None
            if is_flask_migrate(place):
                request["script_location"] = str(place.parent)
        return {**request, "section": self.config.options.get("name"), "app": self.config.options.get("app")}

    def _migration(self, revision: Mapping[str, Any]) -> Migration:
        lines = [line.strip() for line in revision["doc"].splitlines() if line.strip()]
        name = lines[0] if lines else common.words(revision["slug"]) or revision["id"]
        return Migration(
            id=revision["id"],
            version=revision["id"],
            name=name,
            path=relative(Path(revision["path"]), self.project),
            description=name,
            parents=tuple(dict.fromkeys([*revision["down"], *revision["needs"]])),
            no_down=revision["no_down"],
        )

    def runner(self, database: Database) -> Runner:
        return AlembicRunner(self, database)

    def says(self, migration: Migration, dialect: str) -> Texts:
        """The SQL that stands as text in the revision's file."""
        path = next(Path(r["path"]) for r in self.found["revisions"] if r["id"] == migration.id)
        return said(common.read(path), dialect) if path.suffix == ".py" else ((), ())

    def settings(self, engine: str) -> tuple[str, ...]:
        told = []
        if engine == "sqlite":
            told.append("foreign keys are enforced only where the project's env.py or session settings switch them on")
        if len(heads := self.found["heads"]) > 1:
            files = {r["id"]: relative(Path(r["path"]), self.project) for r in self.found["revisions"]}
            named = ", ".join(f"{head} in {files[head]}" for head in sorted(heads))
            told.append(f"the revisions have {len(heads)} heads ({named}); all are applied")
        return tuple(told)


class AlembicRunner:
    """Steps on one database, in one process of the project's Python; a process that died is replaced."""

    def __init__(self, source: AlembicSource, database: Database) -> None:
        self._source = source
        self._database = database
        self._settings = source.config
        self._url = self._sqlalchemy_url()
        variable = source.config.url_env
        self._environ = {variable: self._url} if variable else {}
        self._worker: client.Worker | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    def up(self, migration: Migration) -> Step:
        return self._step("up", migration)

    def down(self, migration: Migration) -> Step:
        return self._step("down", migration)

    def forget(self, migration: Migration) -> None:
        """Alembic itself keeps its table: which parents come back depends on the other branches."""
        step = self._step("forget", migration)
        if step.error:
            raise SourceError(f"{migration.id} could not be taken off the version table: {step.error.message}")

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _step(self, way: str, migration: Migration) -> Step:
        if self._worker is None:
            self._worker = self._source.take_worker(self._environ)
        with closing(Overheard(self._database.watch())) as overheard:
            try:
                answer = self._asked(self._request(way, migration, overheard), overheard)
            except client.TookTooLong as error:
                return self._lost(f"{way} of {migration.id} took too long: {error}")
            except client.Died as error:
                return self._lost(f"{way} of {migration.id}: {self._clean(str(error))}", LOST)
        self._learn(answer.get("version_table", ""))
        if account := answer.get("account"):
            self._database.heard(account)
        if "outside" in answer:
            return _outside(answer["outside"])
        _refuse(answer, self._source)
        if "problem" in answer:
            raise SourceError(self._clean(answer["problem"]))
        return overheard.beside(self._read(answer), answer["statements"])

    def _learn(self, table: str) -> None:
        """Which table Alembic keeps: env.py may compute its name, so that only a step tells."""
        if table and table not in self._source.bookkeeping:
            self._source.bookkeeping |= {table}
            self._database.bookkeeping |= {table}

    def _asked(self, request: Mapping[str, Any], overheard: Overheard) -> dict[str, Any]:
        assert self._worker is not None
        try:
            return self._worker.ask(
                request,
                self._settings.timeout_s,
                self._database.reaches_outside,
                overheard.announced,
                self.meanwhile,
                self._waiting,
            )
        except DatabaseError:  # ours, while the worker still waits for a word
            self.close()
            raise

    def _waiting(self) -> str:
        """Why a step may have stood still: whose lock its session waits for."""
        try:
            return self._clean("; ".join(self._database.waiting()))
        except DatabaseError:  # what hangs may be the server
            return ""

    def _lost(self, message: str, code: str = "") -> Step:
        self.close()
        return Step(
            error=StepError(message=message, kind=ErrorKind.ENVIRONMENT, code=code),
            statements_observed=False,
            locks_note="the project's Python did not answer",
        )

    def _request(self, way: str, migration: Migration, overheard: Overheard) -> dict[str, Any]:
        return {
            "do": "step",
            "watched": bool(overheard),
            "question": overheard.question,
            "errand": self._database.errand(),
            "way": way,
            "revision": migration.id,
            "url": self._url,
            "x": [argument.replace("{url}", self._url) for argument in self._settings.x_arguments],
            "environ": self._environ,
            "target": self._target(),
        }

    def _target(self) -> dict[str, Any]:
        """What the guard holds every connection against; asked anew, for a restore may have moved the database."""
        engine = sqlalchemy_url.dialect(self._database.engine)
        target = {"engine": engine, "session": list(self._settings.session), "trust": self._settings.trust}
        if engine == "sqlite":
            return {**target, "file": _sqlite_file(self._database.url)}
        row = self._database.query(_IDENTITY[engine])[0]
        return {**target, "name": row[0], "identity_sql": _IDENTITY[engine], "identity": list(row)}

    def _sqlalchemy_url(self) -> str:
        found, settings = self._source.found, self._settings
        held = os.environ.get(settings.url_env or "", "") or found["url"]
        given = held.partition("://")[0]
        driver = sqlalchemy_url.choose(
            self._database.engine,
            found["drivers"],
            wanted=settings.options.get("driver"),
            given=given,
            is_async=found["async"],
        )
        return sqlalchemy_url.with_driver(self._database.url, self._database.engine, driver, given)

    def _clean(self, text: str) -> str:
        return client.redact(text.replace(self._url, client.redact(self._url)))

    def _place(self, place: str) -> str:
        """``FILE, line N`` with the file as people read it: from the project on."""
        path, comma, line = place.partition(", line ")
        there = self._source.folder / path  # Alembic may name it as the ini file does
        return f"{relative(there, self._source.project.resolve())}{comma}{line}" if path else ""

    # --- what the worker says, as a Step ---

    def _read(self, answer: Mapping[str, Any]) -> Step:
        error = self._error(answer["error"]) if answer["error"] else None
        exact, engine = bool(answer["locks_exact"]), self._database.engine
        statements = tuple(_statement(entry, engine) for entry in answer["statements"])
        some = Observed.SAMPLED if any(s.locks for s in statements) else Observed.NOT_OBSERVED
        return Step(
            duration_ms=answer["duration_ms"],
            statements=statements,
            error=error,
            locks_observed=Observed.EXACT if exact else some,
            locks_note=_locks_note(answer, exact),
            statements_observed=answer["observed"],
            in_transaction=answer["in_transaction"],
            said=tuple(answer["said"]),
            left_off=tuple(answer.get("left_off", ())),
        )

    def _error(self, error: Mapping[str, Any]) -> StepError:
        message, place = self._clean(error["message"]), self._place(error["place"])
        if not error["database"]:
            if error["stage"] == "before":
                advice = _advice(error["type"], message, self._settings, self._source.found["executable"])
                raise SourceError(f"{place or self._source.path}: {message}. {advice}")
            return StepError(message=f"{message} ({place})" if place else message, line=error["line"])
        lost = _lost(error)
        environment = error["stage"] == "before" or lost
        return StepError(
            message=explained(message, self._database.engine),
            kind=ErrorKind.ENVIRONMENT if environment else self._database.blames(error["code"], message),
            code=LOST if lost else error["code"],
            statement=error["statement"],
            line=error["line"],
        )


def _advice(kind: str, message: str, settings: SourceSettings, python: str) -> str:
    """What to do about what env.py, or a module that it imports, raised before any revision ran."""
    if kind in ("ModuleNotFoundError", "ImportError"):
        return (
            f"It ran in {python}: `python` in [source] names another; modules of the project itself are looked for "
            "where alembic.ini's prepend_sys_path says."
        )
    name = found[1] if (found := re.fullmatch(r"KeyError: '(\w+)'", message)) else ""
    ways = f'url_env = "{name or "DATABASE_URL"}" (an environment variable) or x = ["{name or "name"}={{url}}"]'
    if settings.url_env or settings.x_arguments:
        return "It runs as for `alembic upgrade`: what else it needs has to be in the environment of this command."
    return (
        f"If it looks for its database's URL there, say in [source] where: {ways} (an -x argument); what else it "
        "needs has to be in the environment of this command."
    )


def _lost(error: Mapping[str, Any]) -> bool:
    """A driver that gave up by itself: no code, and the class that DB-API has for operation, not for programming."""
    return not error["code"] and error["type"] in ("OperationalError", "InterfaceError")


def _statement(entry: Mapping[str, Any], dialect: str) -> Statement:
    return Statement(
        sql=entry["sql"],
        duration_ms=entry["duration_ms"],
        rows=entry["rows"],
        parameters=entry["parameters"],
        bound="" if (values := entry.get("values")) is None else bound(entry["sql"], dialect, values),
        locks=tuple(Lock(table=k["table"], mode=k["mode"], held_ms=k.get("held_ms")) for k in entry.get("locks", ())),
        rewrites=tuple(entry.get("rewrites", ())),
        undone=bool(entry.get("undone")),
    )


def _locks_note(answer: Mapping[str, Any], exact: bool) -> str:
    if answer["engine"] == "sqlite":
        one = "SQLite has one lock for the whole database"
        return one if exact else f"{one}; what went past SQLAlchemy does not tell when it took it"
    if exact:
        return ""
    if not answer["observed"]:
        return "the migration also sends statements past SQLAlchemy, which are not seen"
    return "statements in autocommit give their locks back before they can be read"


def _outside(what: str) -> Step:
    """A statement that was not run, because it would have left the throwaway database."""
    message = f"{what}; Seatrial does not run it unless `trust = true` stands under [source]."
    return Step(error=StepError(message=message, kind=ErrorKind.ENVIRONMENT, statement=what))


def _refuse(answer: Mapping[str, Any], source: AlembicSource) -> None:
    if "refused" not in answer:
        return
    what = client.redact(str(answer["refused"]))
    raise NotOurs(
        f"{source.path}: the project connects to {what}, which is not Seatrial's throwaway database; it was refused. "
        "Let env.py take its URL from sqlalchemy.url, or say where it reads it: url_env (an environment variable) "
        'or x = ["name={url}"] (-x arguments) in [source].'
    )


def _sqlite_file(url: str) -> str:
    return url.partition(":///")[2].partition("?")[0] if ":///" in url else url


def _ordered(revisions: Iterable[Mapping[str, Any]], heads: Iterable[str]) -> list[Mapping[str, Any]]:
    """Parents before children; a branch is walked to its end before the next begins. The same on every machine."""
    by_id = {revision["id"]: revision for revision in revisions}
    order: dict[str, None] = {}
    stack = [(head, False) for head in sorted(heads, reverse=True)]
    while stack:
        name, ready = stack.pop()
        if ready:
            order[name] = None
        elif name not in order:
            stack.append((name, True))
            parents = [*by_id[name]["down"], *by_id[name]["needs"]]
            stack += [(parent, False) for parent in reversed(parents) if parent not in order]
    return [by_id[name] for name in order]


def _open(project: Path, path: Path, settings: SourceSettings) -> Source:
    return AlembicSource(path, project, settings)


LAYOUT = Layout(
    kind="alembic",
    looked_for="alembic.ini, [tool.alembic] in pyproject.toml, or a folder with env.py and versions/",
    detect=detect,
    open=_open,
)
