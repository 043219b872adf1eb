"""Wires it: a Config in, a Report out. Clock, disk and git are touched here and nowhere below."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial import matrix
from seatrial.config import Config, nearest
from seatrial.errors import ConfigError, NotOurs, ServerError, SourceError
from seatrial.model import (
    Environment,
    Event,
    History,
    HistoryEntry,
    Migration,
    NotVerified,
    Policy,
    Report,
    Server,
    Source,
    Trace,
    Trial,
    Under,
    Waiting,
)
from seatrial.plan import Plan, after, candidates, plan
from seatrial.reporters import FILES, file_of, plugins, render
from seatrial.servers import ENGINES, engine_of, guess_engine
from seatrial.sources import SourceSettings, find, layouts
from seatrial.sources.settings import Adjustable

if TYPE_CHECKING:
    from seatrial.judge import Heard
    from seatrial.trial.walk import Walked

Watcher = Callable[[Event], None]
STATE = ".seatrial"  # in the project: earlier outcomes and the newest report
AHEAD = (  # what a run needs once its migrations are known
    "seatrial.trial.walk",
    "seatrial.engines.sqlite",
    "seatrial.servers.files",
    "seatrial.judge",
    "seatrial.reporters.markdown",
)
TRACE, REPAIRED = "trace.json", "repaired-seed*.sql"  # beside the reports; they hold stored values


def run(config: Config, watch: Watcher = lambda _: None) -> Report:
    """Test a project's migrations and judge what was observed; ``watch`` is called with each Event of the run.

    It writes no report: ``seatrial.app.write`` and ``seatrial.reporters.render`` do. In the project it keeps only what
    earlier runs said (.seatrial/history.json).
    Raises SeatrialError where nothing could be tested: no migrations, no server, settings that do not fit.
    """
    config = config.replace(project=Path(config.project))  # from Python, text comes too
    source = _source(config)
    if isinstance(source, Waiting):
        source.meanwhile = _import_ahead
    migrations = source.discover()
    if not migrations:
        raise SourceError(f"{source.path} holds no migrations.")
    refuse_unfit(config)
    chosen = _plan(config, source, migrations)
    watch(Event("plan", f"{source.kind}: {len(chosen.tried)} of {len(migrations)} migrations", total=len(migrations)))
    from seatrial.judge import judge
    from seatrial.trial.walk import walk

    heard: dict[int, Heard] = {}
    engine = config.server.engine or guess_engine(config.server.url, config.project, source.path, source.kind)
    modes = _modes(config, engine)
    listen = _listener(config, heard)
    with _server(config, engine, watch) as server:
        walked, *others = [
            walk(server, source if settings is config else _again(source, settings), chosen, settings, watch, listen)
            for settings in _under(config, modes, watch)
        ]
        environment = _environment(config, source, server, walked, modes)
    now = datetime.datetime.now(datetime.UTC)
    trace = Trace(
        seatrial=installed("seatrial"),
        generated=now.isoformat(timespec="seconds"),
        project=config.project.resolve().name,
        source=source.kind,
        epic=config.epic,
        environment=environment,
        trials=walked.trials,
        chain=walked.chain,
        retries=walked.retries,
        retried=config.retry.attempts > 0,
        repaired_seed=walked.repaired_seed,
        not_verified=(*walked.not_verified, *_left(server)),
        history=_history(config, chosen, walked),
        sql_mode=modes[0] if modes else None,
        others=tuple(_other(mode, other) for mode, other in zip(modes[1:], others, strict=True)),
        policy=Policy(waivers=config.waivers, fail_on=config.fail_on, max_keys=config.max_keys),
    )
    report = judge(trace, config, now.date(), heard)
    _remember(config, report)
    return report


def _left(server: Server) -> Iterator[NotVerified]:
    """Databases of ours that stand on somebody's server after the run."""
    for name in server.left:
        yield NotVerified(
            what=f"that nothing is left of database {name}",
            why="it could not be dropped (another session may hold a lock there); the next run, or seatrial doctor"
            " --clean, removes it",
        )


def _listener(config: Config, heard: dict[int, Heard]) -> Callable[[Trial], None]:
    """Looks at a trial as soon as it is done, for the judge and the reports, which know it by its id."""
    from seatrial.checks import load as load_rules
    from seatrial.judge import hear
    from seatrial.reporters.changes import down_view, return_view, up_view

    rules = load_rules().values()

    def listen(trial: Trial) -> None:
        found = heard[id(trial)] = hear(trial, rules, config.max_keys)
        for view in (up_view, down_view, return_view):
            view(found.case.trial)

    return listen


def _import_ahead() -> None:
    """While the project's own Python starts."""
    for name in AHEAD:
        import_module(name)
    from seatrial.checks import load as load_rules
    from seatrial.reporters.markdown import compiled

    load_rules()
    compiled()


def _modes(config: Config, engine: str) -> tuple[str, ...]:
    """The sql_modes under which the trials run, each once; none where the engine has none or the project's stands."""
    modes = tuple(dict.fromkeys(m.replace(" ", "").upper() for m in config.mysql.sql_modes))
    if wrong := next((m for m in modes if not re.fullmatch(r"[A-Z0-9_,]*", m)), None):
        hint = "is no list of modes; they look like STRICT_TRANS_TABLES,ANSI"
        raise ConfigError(f"{config.said('mysql.sql_modes')}: {wrong!r} {hint}")
    return modes if engine in ("mysql", "mariadb") else ()


def _under(config: Config, modes: Sequence[str], watch: Watcher) -> Iterator[Config]:
    """The settings of each walk: up and down run in sessions of its mode."""
    if not modes:
        yield config
    for mode in modes:
        watch(Event("note", f"up and down under {matrix.told([mode])}"))
        session = (*config.source.session, matrix.setting(mode))
        yield config.replace(source=dataclasses.replace(config.source, session=session))


def _source(config: Config) -> Source:
    known, kind = layouts(), config.source.type
    if kind != "auto" and kind not in known:
        hint = nearest(kind, ("auto", *sorted(known)))
        raise ConfigError(f"{config.said('source.type')}: there is no source type '{kind}'; {hint}")
    return find(config.project, kind=kind, path=config.source.path, settings=_settings(config))


def _again(source: Source, config: Config) -> Source:
    """The same source under other settings; a plug-in's is looked up again."""
    if isinstance(source, Adjustable):
        return source.under(_settings(config))
    found = _source(config)
    found.discover()
    return found


def _other(mode: str, walked: Walked) -> Under:
    return Under(
        sql_mode=mode,
        trials=walked.trials,
        chain=walked.chain,
        retries=walked.retries,
        not_verified=walked.not_verified,
        repaired_seed=walked.repaired_seed,
    )


def refuse_unfit(config: Config) -> None:
    """What would only be missed after minutes of work. Raises ConfigError."""
    for key, name in (("seed.path", config.seed.path), ("lived_in.path", config.lived_in.path)):
        if name is not None and not (config.project / name).is_file():
            what = "is a folder" if (config.project / name).is_dir() else "is not there"
            if (config.project / name / "toc.dat").is_file():
                hint = f"it is a pg_dump archive; make plain SQL of it: pg_restore -f seed.sql {name}"
                raise ConfigError(f"{config.said(key)}: {hint}")
            near = nearest(name, _files(config.project), f"it is meant from {config.project}.")
            raise ConfigError(f"{config.said(key)}: {config.project / name} {what}; {near}")
    if config.server.url is not None and config.server.engine is None:
        try:
            engine_of(config.server.url)
        except ConfigError as error:
            raise ConfigError(f"{config.said('server.url')}: {error}") from None
    if (engine := config.server.engine) is not None and engine not in ENGINES:
        raise ConfigError(f"{config.said('server.engine')}: there is no engine '{engine}'; {nearest(engine, ENGINES)}")
    _refuse_unknown_rules(config)


def _files(project: Path) -> list[str]:
    """What a path of the settings may have meant."""
    return [str(p.relative_to(project)) for pattern in ("*", "*/*") for p in project.glob(pattern) if p.is_file()]


def _refuse_unknown_rules(config: Config) -> None:
    from seatrial.checks import load as load_rules

    rules = load_rules()
    for waiver in config.waivers:
        if waiver.rule not in rules:
            hint = nearest(waiver.rule, rules, "seatrial explain lists them all.")
            place = f"{config.said('waivers')} of {waiver.migration}"
            raise ConfigError(f"{place}: there is no rule '{waiver.rule}'; {hint}")


def rejudge(path: Path, config: Config) -> Report:
    """A report from a trace that was written earlier, judged today under these settings, or else those of the run."""
    from seatrial.codec import CodecError, decode_trace
    from seatrial.judge import judge

    try:
        trace = decode_trace(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; give the {TRACE} of a run") from error
    except CodecError as error:
        raise ConfigError(f"{path}: {error}") from error
    if config == Config(project=config.project):  # no settings here: those of the run hold
        config = config.replace(**dataclasses.asdict(trace.policy) | {"waivers": trace.policy.waivers})
    return judge(trace, config, datetime.datetime.now(datetime.UTC).date())


def write(report: Report, folder: Path, formats: Sequence[str], *, redacted: bool = False) -> list[Path]:
    """Write the report in each format, and the trace beside it; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    names = dict.fromkeys((*formats, "json"))
    contents = {file_of(name): render(report, name, redacted=redacted).encode() for name in names}
    if not redacted:
        from seatrial.codec import encode_trace

        contents[TRACE] = encode_trace(report.trace)
        contents |= {name: sql.encode() for name, sql in report.trace.repaired_seeds}
    return [_put(folder / name, content) for name, content in contents.items()]


def _put(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all: half a report would be read as one."""
    making = path.with_name(f".{path.name}.part")
    try:
        making.write_bytes(content)
        making.replace(path)
    except OSError:
        making.unlink(missing_ok=True)
        raise
    return path


def drop_older(folder: Path, kept: Collection[Path] = ()) -> None:
    """Remove what an earlier run wrote there: its verdict and its values are not those of the run that begins.

    Only beside a report or trace of ours. ``kept``: what the run itself reads.
    """
    if not any(_is_ours(folder / name) for name in (FILES["json"], TRACE)):
        return
    reading = {path.resolve() for path in kept}
    names = (*(file_of(f) for f in (*FILES, *plugins()) if f != "json"), REPAIRED, TRACE, FILES["json"])
    for path in (p for name in names for p in folder.glob(name)):  # what tells that they are ours goes last
        if path.is_file() and path.resolve() not in reading:
            path.unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b'"seatrial-' in file.read(200)
    except OSError:
        return False


def check_folder(folder: Path) -> None:
    """Raises ConfigError where a report could not be written. Leaves nothing: the run may yet come to no report."""
    there = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise ConfigError(
            f"The report cannot be written to {folder}: {error.strerror}. Give another folder: --report DIR"
        ) from None


def _settings(config: Config) -> SourceSettings:
    source = config.source
    return SourceSettings(
        python=source.python,
        url_env=source.url_env,
        x_arguments=source.x,
        timeout_s=source.timeout,
        session=source.session,
        trust=source.trust,
        options=source.options,
    )


@contextmanager
def _server(config: Config, engine: str, watch: Watcher) -> Iterator[Server]:
    watch(Event("note", f"starting {engine}" if config.server.url is None else f"connecting to {engine}"))
    server = open_server(engine, config.server.url, trust=config.source.trust)
    try:
        yield server
    except (NotOurs, ConfigError):
        raise
    except Exception as error:  # whatever it looks like: without its server nothing could be done
        if end := server.end():
            raise ServerError(f"{end.words}. {end.advice}", what=end.what) from error
        raise
    finally:
        server.close()


def open_server(engine: str, url: str | None, *, trust: bool = False) -> Server:
    """A server for an engine: at a URL, or a throwaway one of our own. Drivers are imported only where they are needed.

    Raises ServerError, NotOurs.
    """
    if engine == "sqlite":
        from seatrial.engines.sqlite import SqliteDatabase
        from seatrial.servers.files import SqliteServer, refuse_tables

        if url is not None:
            refuse_tables(url)
        return SqliteServer(database=partial(SqliteDatabase, trust=trust))
    if engine == "postgresql":
        from seatrial.engines.postgresql import PostgresqlDatabase
        from seatrial.servers.postgresql import PostgresqlServer

        if url is None:
            return PostgresqlServer.local(PostgresqlDatabase, trust=trust)
        return PostgresqlServer.at(url, PostgresqlDatabase, trust=trust)
    if engine in ("mysql", "mariadb"):
        from seatrial.engines.mariadb import open_database
        from seatrial.servers.mysql import MysqlServer

        if url is None:
            return MysqlServer.local(engine, open_database, trust=trust)
        return MysqlServer.at(url, open_database, trust=trust)
    raise ConfigError(f"there is no engine {engine}; choose one of {', '.join(ENGINES)}")


def _plan(config: Config, source: Source, migrations: Sequence[Migration]) -> Plan:
    return plan(
        migrations,
        only=config.only,
        added=None if config.since is None else _since(config, source, migrations),
        seed=config.seed.path is not None,
        seed_at=config.seed.at,
        said=config.said,
    )


# A migration that a branch gives another number is a rename to git's diff, unless told otherwise: no addition.
_ADDED = ("--name-only", "--relative", "--no-renames", "--diff-filter=A", "-z")


def _since(config: Config, source: Source, migrations: Sequence[Migration]) -> frozenset[str]:
    """Ids after a version or, where no migration has that name, added since the merge base with a git ref."""
    assert config.since is not None
    try:
        return after(migrations, config.since)
    except ConfigError as error:
        several = error if len(candidates(migrations, config.since)) > 1 else None
    try:
        base = _git(config.project, "merge-base", config.since, "HEAD").strip()
    except ConfigError as error:
        if several:
            raise ConfigError(f"{config.said('since')}: {several}") from error
        raise ConfigError(f"{config.said('since')}{str(error).removeprefix('--since')}") from error
    names = _git(config.project, "diff", *_ADDED, base, "--", ".")
    names += _git(config.project, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    added = {(config.project / name).resolve() for name in names.split("\0") if name}
    return frozenset(m.id for m in migrations if (config.project / m.path).resolve() in added)


def _git(project: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(project), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or ("" if arguments[0] == "merge-base" else str(error))
        words = f"--since names neither a version nor a git ref here: {said.strip().removeprefix('fatal: ')}"
        shallow = "--since: the ref and HEAD share no history here; in a shallow clone, run git fetch --unshallow."
        raise ConfigError(words if said else shallow) from error
    return done.stdout


def _environment(config: Config, source: Source, server: Server, walked: Walked, modes: Sequence[str]) -> Environment:
    engines = _storage_engines(walked)
    shots = [s for t in walked.trials for s in (t.before, t.after_up) if s is not None]
    rows, tables, size_bytes = max([walked.fullest, *(s.fullness for s in shots)])
    return Environment(
        engine=server.engine,
        version=server.version,
        storage_engine=", ".join(n for n, _ in Counter(engines.values()).most_common()) or None,
        storage_engines=engines,
        tables=tables,
        rows=rows,
        size_bytes=size_bytes,
        seed=_rows_of(config, walked),
        settings=(
            *_words(source.settings(server.engine), config.source.session),
            *(f"up and down run once under {matrix.told([mode])}" for mode in modes),
        ),
        checksum_sql=walked.checksum_sql,
    )


def _rows_of(config: Config, walked: Walked) -> str:
    """Where the rows come from on which migrations were tried."""
    seed = config.seed
    if seed.path and walked.uses_seed:
        return seed.path
    made = f"generated by Seatrial, {seed.rows} rows a table, start {seed.random}"
    return f"{made} ({seed.path} was not used)" if seed.path else made


def _storage_engines(walked: Walked) -> dict[str, str]:
    """The storage engine that each table had when it was last seen."""
    shots = (s for t in walked.trials for s in (t.before, t.after_up) if s is not None)
    tables = ((k, a.get("engine")) for shot in shots for k, a in shot.schema.items() if k.kind == "table")
    found = {str(key.owner): str(engine) for key, engine in tables if engine}
    return dict(sorted(found.items()))


def _words(settings: Sequence[str], session: Sequence[str]) -> tuple[str, ...]:
    """What decides verdicts: the tool's defaults, and the session's statements where those do not quote them."""
    return (*settings, *(s for s in session if not any(s in text for text in settings)))


# --- what earlier runs said -------------------------------------------------------------------------------------------


def _history(config: Config, chosen: Plan, walked: Walked) -> History:
    """The newest five that were applied before the first one under test, or that an earlier run has tested, with what
    earlier runs said of them."""
    known = earlier(config.project)
    failed = {t.migration.id for t in walked.trials if t.error or (t.up.error and t.up.executed)}
    applied = [s for s in chosen.steps if s.migration.id not in failed]
    first, last_tried = chosen.tried[0].index, chosen.tried[-1].index
    before = [s.migration for s in applied if s.index < first or (s.index <= last_tried and s.migration.id in known)]
    entries = tuple(
        HistoryEntry(
            version=m.version,
            description=m.name,
            status=known.get(m.id, {}).get("status", "applied, not tested"),
            tested=known.get(m.id, {}).get("tested", ""),
            engine=known.get(m.id, {}).get("engine", ""),
        )
        for m in reversed(before[-5:])
    )
    last = _date(config.project, applied[-1].migration) if applied else ""
    return History(previous=entries, total_applied=len(applied), last_migration=last)


_DAY = r"((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])"


def _date(project: Path, migration: Migration) -> str:
    """The day that a version of the usual form (20240131120000) or Alembic's head of the file says; else empty."""
    found = re.match(_DAY, migration.version)
    if not found:
        try:
            text = (project / migration.path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        found = re.search(rf"^Create Date: {_DAY}", text, re.MULTILINE)
    return "-".join(found.groups()) if found else ""


def earlier(project: Path) -> dict[str, dict[str, str]]:
    try:
        found = json.loads((project / STATE / "history.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(config: Config, report: Report) -> None:
    """Keep each migration's newest outcome in the project, out of git's sight."""
    known = earlier(config.project)
    for judged in report.migrations:
        if not judged.trial.skipped:
            known[judged.migration.id] = {
                "status": judged.status.value,
                "tested": report.generated,
                "engine": report.environment.engine,
            }
    folder = config.project / STATE
    try:
        folder.mkdir(exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        (folder / "history.json").write_text(json.dumps(known, indent=1, sort_keys=True))
    except OSError:  # a read-only project is tested all the same; only its history is not kept
        return
