"""seatrial.toml, [tool.seatrial] in pyproject.toml and flags, as one Config value."""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from seatrial.errors import ConfigError
from seatrial.model import Relationship, Severity, Waiver
from seatrial.values import dataclass

MOST_ATTEMPTS = 3  # what three attempts do not mend, a fourth does not


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    type: str = "auto"
    path: str | None = None
    python: str | None = None  # the project's own Python, for sources that run in it
    url_env: str | None = None  # environment variable that the project reads its database URL from
    x: tuple[str, ...] = ()  # Alembic's -x arguments; {url} stands for the throwaway database
    timeout: Annotated[float, Meta(gt=0)] = 600.0  # seconds for one step
    session: tuple[str, ...] = ()
    trust: bool = False  # allow SQL that reaches outside its database
    options: Mapping[str, str] = field(default_factory=dict)  # the tool's own switches, by their own names


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedConfig:
    path: str | None = None
    at: str | None = None
    rows: Annotated[int, Meta(ge=2)] = 12  # generated rows a table
    generate: bool = False  # top up tables that a given seed leaves empty
    random: int = 20260101  # the generator's fixed start


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    url: str | None = None
    engine: str | None = None
    setup: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LivedInConfig:
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptConfig:
    rerun: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    name: str
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Required:
    table: str
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    attempts: int = 3  # further ones, after the first; 0: none
    pauses: tuple[Annotated[float, Meta(ge=0)], ...] = (5.0, 10.0, 15.0)  # seconds

    def __post_init__(self) -> None:
        if not 0 <= self.attempts <= MOST_ATTEMPTS or list(self.pauses) != sorted(self.pauses):
            raise ValueError(
                f"at most {MOST_ATTEMPTS} further attempts (attempts = 0: none), and no pause before one of them may be"
                f" shorter than the one before it; got attempts = {self.attempts}, pauses ="
                f" [{', '.join(f'{p:g}' for p in self.pauses)}]"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductionConfig:
    rows: Mapping[str, Annotated[int, Meta(ge=0)]] = field(default_factory=dict)  # table -> rows in production


@dataclass(frozen=True, slots=True, kw_only=True)
class MysqlConfig:
    sql_modes: tuple[str, ...] = ()  # the trials run once under each, on MySQL and MariaDB


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that a run is told. ``project`` is a folder; paths in the settings are relative to it."""

    project: Path = Path()
    source: SourceConfig = SourceConfig()
    seed: SeedConfig = SeedConfig()
    server: ServerConfig = ServerConfig()
    lived_in: LivedInConfig = LivedInConfig()
    interrupt: InterruptConfig = InterruptConfig()
    retry: RetryConfig = RetryConfig()
    production: ProductionConfig = ProductionConfig()
    mysql: MysqlConfig = MysqlConfig()
    invariants: tuple[Invariant, ...] = ()
    required: tuple[Required, ...] = ()
    relationships: tuple[Relationship, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    fail_on: Severity = Severity.HIGH
    only: tuple[str, ...] = ()
    since: str | None = None
    epic: str | None = None
    jobs: Annotated[int, Meta(ge=1)] = 1
    report: Path | None = None
    format: tuple[str, ...] = ("markdown", "json")
    max_keys: Annotated[int, Meta(ge=1)] = 1000  # keys and changes a finding
    redact: bool = False
    origin: Mapping[str, str] = field(default_factory=dict, compare=False)  # key -> its file, or the flag that won

    def said(self, key: str) -> str:
        """How a message names a setting: ``seatrial.toml: 'seed.at'``, or ``--only`` where the command line gave it."""
        given = self.origin.get(key, "")
        return given if given.startswith("--") else f"{given}: '{key}'" if given else f"'{key}'"

    def replace(self, **changes: Any) -> Config:
        return dataclasses.replace(self, **changes)


NO_KEYS = {"project", "origin"}


def load(project: Path) -> Config:
    """Read the project's settings. Raises ConfigError naming the file and the key."""
    project = Path(project)  # from Python, text comes too
    if not project.is_dir():
        raise ConfigError(f"{project} is not a folder; give the project's folder: seatrial run PROJECT")
    own, shared = project / "seatrial.toml", project / "pyproject.toml"
    if own.exists():
        return parse(_read(own), project, str(own.name))
    settings = _read(shared).get("tool", {}).get("seatrial", {}) if shared.is_file() else {}
    return parse(settings, project, "pyproject.toml [tool.seatrial]")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise ConfigError(f"{path.name}, line {line}: byte 0x{byte:02x} is not UTF-8. Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name} is no valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def parse(settings: Mapping[str, Any], project: Path, where: str) -> Config:
    """Settings as a Config; unknown and ill-typed keys are refused with the nearest known one."""
    _known(settings, Config, where, "", skip=NO_KEYS)
    try:
        config = msgspec.convert(dict(settings), Config, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {_plain(str(error), settings)}") from error
    _references(config.relationships, where)
    origin = dict.fromkeys(_keys(settings), where)
    return config.replace(project=project, report=config.report and project / config.report, origin=origin)


def _keys(settings: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The keys that are given, with dots: those of tables as well as of what is in them."""
    for key, value in settings.items():
        yield f"{path}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{path}{key}.")


def nearest(text: str, known: Iterable[str], otherwise: str = "") -> str:
    """``did you mean 'postgresql'?``, or what else there is to say where nothing is near."""
    names = list(known)
    bare = next((n for n in names if text.lstrip("0") == n.lstrip("0")), None)
    near = [bare] if bare else difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else otherwise or f"choose from {', '.join(names)}."


def _path(kind: type, value: Any) -> Any:
    """The one type of the settings that TOML does not know."""
    if kind is not Path or not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
    return Path(value)


def _known(value: Any, kind: Any, where: str, path: str, skip: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    if not (isinstance(value, Mapping) and dataclasses.is_dataclass(kind)):
        return
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind) if f.name not in skip]
    for key, inner in value.items():
        if key not in names:
            hint = nearest(key, names, f"known keys: {', '.join(names)}.")
            raise ConfigError(f"{where}: unknown key '{path}{key}'; {hint}")
        for item in inner if isinstance(inner, list) else [inner]:
            _known(item, _element(hints[key]), where, f"{path}{key}.")


def _element(hint: Any) -> Any:
    """The dataclass inside ``tuple[X, ...]`` or ``X | None``."""
    if typing.get_origin(hint) in (tuple, types.UnionType):
        return next((a for a in typing.get_args(hint) if dataclasses.is_dataclass(a)), hint)
    return hint


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "date": "a date (2026-12-31)",
    "datetime": "a time",
}
"""The settings' types as TOML's readers call them."""


def _named(found: re.Match[str]) -> str:
    """``text`` for `` `str | null` ``, ``a whole number >= 2`` for `` `int >= 2` ``."""
    return f"{_KINDS.get(found[1], found[1])}{found[2] or ''}"


def _references(relationships: Iterable[Relationship], where: str) -> None:
    for found in relationships:
        if not found.parent:
            hint = f"'{found.references}' names no column; give TABLE.COLUMN, as '{found.references}.id'"
            raise ConfigError(f"{where}: 'relationships.references': {hint}")


def _plain(message: str, settings: Mapping[str, Any]) -> str:
    """``Expected `int`, got `str` - at `$.seed.rows``` -> ``seed.rows: expected a whole number, got text``."""
    text, _, path = message.partition(" - at `$.")
    text, path = re.sub(r"`(\w+)(?: \| null)?( [<>]= \S+)?`", _named, text), path.rstrip("`")
    text = text.replace("Object missing required field", "it lacks").replace("`", "")
    text = text.replace("Invalid RFC3339 encoded date", f"expected {_KINDS['date']}")
    wrong = re.fullmatch(r"Invalid enum value '(.*)'", text)
    if wrong:
        text = f"'{wrong[1]}' is none of {', '.join(Severity)}"
    path = path.replace("[...]", _culprit(settings, path))
    return f"'{path}': {text[0].lower()}{text[1:]}" if path else text


def _culprit(settings: Mapping[str, Any], path: str) -> str:
    """The key of a table whose value is of the wrong type, which the reader does not name: ``source.options[...]``."""
    found: Any = settings
    for part in path.removesuffix("[...]").split("."):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    if not isinstance(found, Mapping):
        return ""
    wanted = int if path.startswith("production") else str
    wrong = (k for k, v in found.items() if not isinstance(v, wanted) or isinstance(v, bool) or v in _below(v))
    return next((f".{key}" for key in wrong), "")


def _below(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, int) and value < 0 else ()
