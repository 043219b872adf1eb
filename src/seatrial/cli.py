"""The command line: a thin face over app.run."""

from __future__ import annotations

import _thread
import contextlib
import dataclasses
import difflib
import errno
import gc
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import click

from seatrial import app, config
from seatrial.config import Config
from seatrial.errors import SeatrialError
from seatrial.model import Report
from seatrial.reporters import FILES, plugins, render
from seatrial.reporters.progress import Progress, look
from seatrial.servers import ENGINES
from seatrial.sources import kinds

FORMATS = tuple(FILES)
DEFAULT_REPORT = f"{app.STATE}/report"


def _guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Errors as one message that says what to do; a traceback only with --debug."""

    @click.option("--debug", is_flag=True, help="Show a traceback when something goes wrong.")
    def guarded(*args: Any, debug: bool, **flags: Any) -> None:
        _never_without_output()
        try:
            with _ended_in_order():
                command(*args, **flags)
        except SeatrialError as error:
            _stop(str(error), debug)
        except KeyboardInterrupt:
            exec("")  # else one within an exec (values.py) ends ``python -m`` by signal (pythonrun.c)
            _stop("interrupted; everything that Seatrial made is removed", debug)
        except (click.exceptions.Exit, click.ClickException, SystemExit):
            raise
        except BrokenPipeError:  # whoever read our output has seen enough
            _hush()
        except OSError as error:
            _stop(_of_the_disk(error), debug)
        except Exception as error:
            _stop(f"unexpected {type(error).__name__}: {error} (this is a bug in Seatrial; --debug shows where)", debug)

    guarded.__name__, guarded.__doc__ = command.__name__, command.__doc__
    guarded.__click_params__ = [*guarded.__click_params__, *getattr(command, "__click_params__", [])]  # type: ignore[attr-defined]
    return guarded


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """A pipeline that is cancelled sends SIGTERM, a terminal that is closed SIGHUP: both clean up like Ctrl-C."""
    kept: dict[int, Any] = {}
    with contextlib.suppress(ValueError):  # only the main thread may say what a signal does
        for name in ("SIGTERM", "SIGHUP"):
            if (number := getattr(signal, name, None)) is not None and signal.getsignal(number) == signal.SIG_DFL:
                kept[number] = signal.signal(number, signal.default_int_handler)
    try:
        with _no_interrupt_dropped():
            yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _no_interrupt_dropped() -> Iterator[None]:
    """Python drops what is raised in a finalizer or a callback, an interrupt as well: that comes again in a moment."""
    told = sys.unraisablehook
    again: list[threading.Timer] = []

    def hear(dropped: Any) -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            again.append(threading.Timer(0.05, _interrupt))
            again[-1].start()
        else:
            told(dropped)

    sys.unraisablehook = hear
    try:
        yield
    finally:
        sys.unraisablehook = told
        for timer in again:  # none comes after the end, where nobody would answer it
            timer.cancel()
            timer.join()


def _interrupt() -> None:
    """As a signal to the main thread itself, which ends what it waits for; a flag that is set alone would not."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _never_without_output() -> None:
    """Where the caller closed them (``>&-``), what is said goes nowhere."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115


def _hush() -> None:
    """Nobody listens any more: what Python still flushes at its end goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_the_disk(error: OSError) -> str:
    """What the system refused, at which file, and what to do."""
    where = error.filename2 or error.filename or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "Make room there, or let TMPDIR (scratch files) or --report name another folder."
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "Give yourself the right to it, or choose another folder."
    else:
        advice = "See whether it is what it should be; --debug shows where it was needed."
    return f"{where}: {error.strerror or error}. {advice}"


def _stop(message: str, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    click.echo(f"seatrial: {message}", err=True)
    sys.exit(2)


def _formats_begun(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """What a shell may complete a list of formats to: its last word is begun."""
    before, comma, last = begun.rpartition(",")
    return [f"{before}{comma}{name}" for name in (*FORMATS, *plugins()) if name.startswith(last)]


def _rules_begun(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    from seatrial import checks

    return [name for name in checks.load() if name.startswith(begun)]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="seatrial")
def main() -> None:
    """Prove that database migrations are safe before production finds out that they are not."""


@main.command(short_help="Test the migrations of a project.")
@click.argument("project", type=click.Path(path_type=Path), default=".")
@click.option("--server", metavar="URL", help="Make the throwaway databases on this server.")
@click.option("--engine", type=click.Choice(ENGINES), help="Start a throwaway server of this engine.")
@click.option("--source", type=click.Choice(("auto", *kinds())), help="What the migrations are written for.")
@click.option("--migrations", metavar="DIR", help="Where the migrations are.")
@click.option("--seed", metavar="PATH", help="Rows to start from: an SQL script, a pg_dump, a SQLite file.")
@click.option("--generate", is_flag=True, help="Make rows for the tables that the seed leaves empty.")
@click.option("--rows", type=click.IntRange(2), metavar="N", help="Rows to make for each table.")
@click.option("--since", metavar="REF|VERSION", help="Only migrations after a version, or added since a git ref.")
@click.option(
    "--only", multiple=True, metavar="ID", help="Only this migration (may be repeated; a unique prefix will do)."
)
@click.option(
    "--jobs", type=click.IntRange(1), metavar="N", help="Trials at a time (this version runs them one after another)."
)
@click.option("--epic", metavar="SLUG", help="What the report is about.")
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="DIR", help=f"Where to write the report [{DEFAULT_REPORT}]."
)
@click.option(
    "--format", "formats", metavar="LIST", shell_complete=_formats_begun, help=f"What to write: {','.join(FORMATS)}."
)
@click.option("--redact", is_flag=True, help="Keys only: no stored value in any report.")
@_guarded
def run(project: Path, **flags: Any) -> None:
    """Test the migrations of PROJECT: every one up, down and up again on a throwaway database.

    Exit code 0: all passed; 1: one failed; 2: could not be tested.
    """
    try:
        settings = _with_flags(config.load(project), flags)
    except SeatrialError:  # whoever looks only at the folder must not find an earlier verdict there
        app.drop_older(flags["report"] or project / DEFAULT_REPORT)
        raise
    sys.exit(_run(settings, settings.report or project / DEFAULT_REPORT))


def _run(settings: Config, folder: Path) -> int:
    app.check_folder(folder)  # before the work, whose result would have no place otherwise
    read = (settings.seed.path, settings.lived_in.path)
    app.drop_older(folder, [settings.project / name for name in read if name is not None])
    _known(settings.format, setting=f"{settings.said('format')}: ")
    gc.set_threshold(100_000, 20, 20)  # a run makes many values and few cycles; looking for those cost a twentieth
    with Progress() as progress:
        report = app.run(settings, progress)
    return _tell(report, folder, settings)


def _tell(report: Report, folder: Path, settings: Config) -> int:
    refused: OSError | None = None
    try:
        files = app.write(report, folder, ("markdown", *settings.format), redacted=settings.redact)
        report = dataclasses.replace(report, files=tuple(str(f) for f in files))
    except OSError as error:
        refused = error
    try:
        click.echo(_shown(report, settings.redact), nl=False)
    except BrokenPipeError:
        _hush()
    if refused is not None:
        raise SeatrialError(f"the report could not be written: {_of_the_disk(refused)}")
    return report.exit_code


def _with_flags(settings: Config, flags: dict[str, Any]) -> Config:
    """Flags win over the file; one that was not given changes nothing, and one without its value is refused."""
    for flag in (name for name, value in flags.items() if value == "" or "" in (value if name == "only" else ())):
        flag = flag.replace("formats", "format")
        raise SeatrialError(
            f"--{flag} was given without a value (a variable that is not set?); give one, or no --{flag}."
        )
    if flags["server"] and flags["engine"]:
        raise SeatrialError("--server names its engine itself; give --server or --engine, not both.")
    server = dataclasses.replace(settings.server, **_given(url=flags["server"], engine=flags["engine"]))
    if flags["engine"]:
        server = dataclasses.replace(server, url=None)
    if flags["server"]:
        server = dataclasses.replace(server, engine=None)
    seed = dataclasses.replace(
        settings.seed,
        **_given(path=_from(settings.project, flags["seed"]), rows=flags["rows"], generate=flags["generate"] or None),
    )
    source = dataclasses.replace(settings.source, **_given(type=flags["source"], path=flags["migrations"]))
    rest = _given(
        since=flags["since"],
        only=flags["only"] or None,
        jobs=flags["jobs"],
        epic=flags["epic"],
        report=flags["report"],
        format=None if flags["formats"] is None else _formats(flags["formats"]),
        redact=flags["redact"] or None,
    )
    won = {key: f"--{flag}" for flag, key in _KEYS.items() if flags[flag.replace("format", "formats")]}
    origin = {**settings.origin, **won}
    return settings.replace(server=server, seed=seed, source=source, origin=origin, **rest)


_KEYS = {
    "server": "server.url",
    "engine": "server.engine",
    "seed": "seed.path",
    "rows": "seed.rows",
    "source": "source.type",
    "migrations": "source.path",
    "since": "since",
    "only": "only",
    "format": "format",
}
"""The settings that a flag of another name, or of the same, takes the place of."""


def _given(**flags: Any) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None}


def _from(project: Path, path: str | None) -> str | None:
    """A path given on the command line is meant from here, one in the file from the project, and is told like that."""
    if not path:
        return None
    there, root = Path(path).resolve(), project.resolve()
    return str(there.relative_to(root) if there.is_relative_to(root) else there)


def _formats(text: str, *more: str) -> tuple[str, ...]:
    return _known(tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip())), *more)


def _known(names: tuple[str, ...], *more: str, setting: str = "") -> tuple[str, ...]:
    """The names of formats, as given. Raises SeatrialError where one is neither ours, a plug-in's nor one ``more``."""
    known = (*FORMATS, *plugins(), *more)
    for name in names:
        if name not in known:
            raise SeatrialError(f"{setting}there is no report format '{name}'; {config.nearest(name, known)}")
    return names


@main.command(short_help="A small shop with good and bad migrations.")
@click.argument("folder", type=click.Path(path_type=Path), default="seatrial-demo")
@_guarded
def demo(folder: Path) -> None:
    """Try it: a small shop with good and bad migrations, in FOLDER, on SQLite; a whole report in seconds."""
    if folder.exists() and any(folder.iterdir()) and not (folder / ".seatrial-demo").exists():
        raise SeatrialError(f"{folder} holds other files; give an empty folder: seatrial demo FOLDER")
    from importlib import resources  # slow to load, and nothing else needs it

    with resources.as_file(resources.files("seatrial") / "shop") as shop:
        shutil.copytree(shop, folder, dirs_exist_ok=True)
    (folder / ".seatrial-demo").touch()
    settings = config.load(folder)
    _demo_of_the_release_before(settings)
    click.echo("What the next release adds:", err=True)
    code = _run(settings.replace(format=("markdown", "json", "html")), folder / "report")
    click.echo(f"\nThis was a demonstration: three migrations are bad on purpose (in a pipeline, exit code {code}).")
    click.echo(f"Read   {folder / 'report' / FILES['markdown']}")
    click.echo(f"  or   {folder / 'report' / FILES['html']} in a browser")


def _demo_of_the_release_before(settings: Config) -> None:
    """An earlier run on the migrations up to ``since``: the project's history remembers it, as after any run."""
    assert settings.since is not None
    before = [p.name.split("_")[0] for p in sorted((settings.project / "db/migrations").glob("*.sql"))]
    click.echo("The shop's first release, tested when it was made:", err=True)
    with Progress() as progress:
        app.run(settings.replace(since=None, only=tuple(v for v in before if v <= settings.since)), progress)


@main.command()
@click.argument("project", type=click.Path(path_type=Path), default=".")
@_guarded
def init(project: Path) -> None:
    """Write a seatrial.toml for PROJECT with what was found there."""
    path = project / "seatrial.toml"
    if path.exists():
        raise SeatrialError(f"{path} is there already; nothing was changed.")
    from seatrial import doctor  # loads the servers of every engine

    path.write_text(doctor.first_settings(project), encoding="utf-8")
    click.echo(f"Wrote {path}. Next: seatrial run {project}")


@main.command("doctor")
@click.argument("project", type=click.Path(path_type=Path), default=".")
@click.option("--clean", is_flag=True, help="Remove what killed runs left behind, here and on the server.")
@click.option("--server", metavar="URL", help="The server to clean; else that of the project's settings.")
@_guarded
def doctor_(project: Path, clean: bool, server: str | None) -> None:
    """Say what was found, what is missing and how to get it."""
    if server and not clean:
        raise click.UsageError("--server goes with --clean: it says which server to clean.")
    from seatrial import doctor

    lines, complete = doctor.examine(project, clean=clean, server=server, refuse_unfit=app.refuse_unfit)
    for line in lines:
        click.echo(line)
    sys.exit(0 if complete else 2)


@main.command(short_help="What a rule means and what to do.")
@click.argument("rule", required=False, shell_complete=_rules_begun)
@click.option("--all", "everything", is_flag=True, help="Every rule's page as one Markdown document.")
@_guarded
def explain(rule: str | None, everything: bool) -> None:
    """What RULE means, when it holds and what to do; without RULE, the list of all."""
    from seatrial import checks

    rules = checks.load()
    if everything:
        click.echo(checks.handbook(), nl=False)
        return
    if rule is None:
        for name, known in rules.items():
            click.echo(f"{name:24} {known.severity.value:9} {known.page.splitlines()[0]}")
        return
    if rule not in rules:
        near = difflib.get_close_matches(rule, rules, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise SeatrialError(f"there is no rule '{rule}'; {hint}seatrial explain lists them all.")
    known = rules[rule]
    click.echo(f"{rule} ({known.severity.value})\n\n{known.page}")


@main.command(short_help="Judge a trace again, without a database.")
@click.argument("trace", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "formats",
    default="markdown",
    metavar="LIST",
    shell_complete=_formats_begun,
    help=f"{','.join(FORMATS)}, or terminal.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Write files there instead of printing.")
@click.option(
    "--project",
    type=click.Path(path_type=Path),
    default=".",
    help="Whose waivers and threshold hold; without settings there, those of the run.",
)
@click.option("--redact", is_flag=True, help="Keys only: no stored value.")
@_guarded
def report(trace: Path, formats: str, out: Path | None, project: Path, redact: bool) -> None:
    """Judge a TRACE again and write its report; needs no database."""
    settings = config.load(project)
    redact = redact or settings.redact
    names = _formats(formats, "terminal")
    result = app.rejudge(trace, settings)
    for name in (n for n in names if out is None or n == "terminal"):
        if name == "terminal":
            click.echo(_shown(result, redact), nl=False)
        else:
            click.echo(render(result, name, redacted=redact))
    if out is not None:
        for path in app.write(result, out, [n for n in names if n != "terminal"], redacted=redact):
            click.echo(path)
    sys.exit(result.exit_code)


def _shown(result: Report, redact: bool) -> str:
    """The report for the terminal that this is written to, with colours where it has them."""
    from seatrial.reporters.redact import redact as without_values
    from seatrial.reporters.terminal import render as summary

    return summary(without_values(result) if redact else result, look(sys.stdout))


@main.command()
@click.argument("project", type=click.Path(path_type=Path), default=".")
@_guarded
def history(project: Path) -> None:
    """What earlier runs said of each migration of PROJECT."""
    config.load(project)  # refuses what is no project's folder
    known = app.earlier(project)
    if not known:
        click.echo(f"No run has been kept in {project / app.STATE}. Next: seatrial run {project}")
    for migration, entry in sorted(known.items()):
        click.echo(
            f"{migration:24} {entry.get('status', ''):8} {entry.get('tested', '')} {entry.get('engine', '')}".rstrip()
        )


@main.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print the completion script of a SHELL: eval "$(seatrial completion bash)"."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(main, {}, "seatrial", "_SEATRIAL_COMPLETE").source())


if __name__ == "__main__":
    main()
