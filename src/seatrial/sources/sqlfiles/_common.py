"""What all folders of SQL files share: reading, naming, ordering, and what counts as empty."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from seatrial.errors import SourceError
from seatrial.model import Observed, Step, StepError
from seatrial.sql.tokens import STRING, code

_SKIPPED = {
    ".git",
    ".venv",
    "venv",
    "node_modules",
    "__pycache__",
    "site-packages",
    "vendor",
    "target",
    "dist",
    "build",
}
_DEPTH = 5  # folders below the project in which migrations are looked for


def read(path: Path) -> str:
    """A migration's text as it stands: no newline is translated, no byte order mark removed (the tools send both)."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}. Save the file as UTF-8."
        ) from None


def matching(folder: Path, pattern: re.Pattern[str], layout: str) -> list[tuple[Path, re.Match[str]]]:
    """The folder's migrations, by file name. A ``.sql`` file of another name is an error, other files are not ours."""
    if not folder.is_dir():
        raise SourceError(f"{folder} is no folder; {layout} keeps its migrations in one.")
    found, strange = [], []
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        if match := pattern.match(path.name):
            found.append((path, match))
        elif path.suffix == ".sql":
            strange.append(path.name)
    if strange:
        raise SourceError(
            f"{folder} holds files that {layout} would pass over: {', '.join(strange)} "
            f"(it takes names that match {pattern.pattern}). Rename them or move them elsewhere."
        )
    if not found:
        raise SourceError(f"{folder} holds no migrations of {layout} (files whose names match {pattern.pattern}).")
    return found


def refuse_twins(versions: Iterable[tuple[object, Path]], layout: str) -> None:
    """Raise where two files carry one version."""
    seen: dict[object, Path] = {}
    for version, path in versions:
        if version in seen:
            raise SourceError(
                f"{seen[version].name} and {path.name} in {path.parent} have the same version, {version}; "
                f"{layout} can apply only one of them. Give one of them another version."
            )
        seen[version] = path


def folders(project: Path) -> Iterator[Path]:
    """The folders of a project in which migrations may be, nearest first, without those of tools and libraries.

    A folder below with a seatrial.toml is a project of its own, as `seatrial demo` leaves one.
    """
    return (folder for folder in _below(project) if not _within_another(folder, project))


def projects(place: Path) -> Iterator[Path]:
    """The folders below that are projects of their own."""
    return (folder for folder in _below(place) if folder != place and _is_project(folder))


def _below(project: Path) -> Iterator[Path]:
    level, root = [project], project.resolve()
    for _ in range(_DEPTH):
        yield from level
        below = (
            path for folder in level if folder == project or not folder.is_symlink() for path in _subfolders(folder)
        )
        level = [p for p in below if p.name not in _SKIPPED and not p.name.startswith(".") and not _back(p, root)]


def _back(folder: Path, root: Path) -> bool:
    """Whether a folder is a link to what has another name in the project. Into other links we look, but no deeper."""
    return folder.is_symlink() and folder.resolve().is_relative_to(root)


def _within_another(folder: Path, project: Path) -> bool:
    inner = (folder, *folder.parents)
    return any(map(_is_project, inner[: inner.index(project)]))


def _is_project(folder: Path) -> bool:
    return (folder / "seatrial.toml").is_file()


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except (PermissionError, NotADirectoryError):
        return []  # what cannot be read, or is a file, holds none that could be run


def words(name: str) -> str:
    """``create_users-table`` -> ``create users table``."""
    return re.sub(r"[_\-\s]+", " ", name).strip()


def describe(text: str, name: str) -> str:
    """What the first comment of a script says, else the migration's name."""
    said: list[str] = []
    for line in text.splitlines():
        line = line.strip()
        comment = line.removeprefix("--").strip(" -=*#\t") if line.startswith("--") else ""
        if re.match(r"migrate:(up|down)\b", comment):
            continue
        if comment:
            said.append(comment)
        elif said or (line and not line.startswith("--")):
            break
    return " ".join(said) or name


def is_blank(sql: str) -> bool:
    """Whether a script holds nothing but blanks, comments and semicolons (MySQL's ``/*! ... */`` is no comment)."""
    rest = sql.lstrip("\ufeff")
    while rest := rest.lstrip(" \t\r\n\f\v;"):
        if rest.startswith(("--", "#")):
            rest = rest.partition("\n")[2]
        elif rest.startswith("/*") and not rest.startswith(("/*!", "/*M!")):
            rest = rest[_comment_end(rest) :]
        else:
            return False
    return True


def no_way_back(downs: Sequence[str]) -> str | None:
    """Why downs that are there are none: blank, or one that only raises."""
    if all(map(is_blank, downs)):
        return "its down is empty"
    said = refusal(downs[0]) if len(downs) == 1 else ""
    return f"its down raises: {said}" if said else None


def refusal(sql: str) -> str:
    """The words of a script that does nothing but raise them (``DO $$ BEGIN RAISE 'no way back'; END $$``), else none.

    It declares itself impossible, as a NotImplementedError does; a misspelt one that the server cannot read does not.
    """
    tokens = [t for t in code(sql, "postgresql") if t.word != ";"]
    body = next((t for t in tokens[1:] if t.kind == STRING), None)
    rest = [t.word for t in tokens[1:] if t is not body]
    if body is None or tokens[0].word != "DO" or rest not in ([], ["LANGUAGE", "PLPGSQL"]):
        return ""
    said = code(body.value, "postgresql")
    words = [t.word for t in said]
    raised = 3 if words[2:3] == ["EXCEPTION"] else 2
    is_all = words[:2] == ["BEGIN", "RAISE"] and words.count(";") <= 2 and words[-2:] in (["END", ";"], [";", "END"])
    return said[raised].value if is_all and said[raised].kind == STRING else ""


def _comment_end(text: str) -> int:
    """Where the block comment at the start ends. PostgreSQL nests them; where one stays open so, it was not nested."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", text):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    end = text.find("*/")
    return len(text) if end < 0 else end + 2


def line_of(text: str, offset: int) -> int:
    """The 1-based line of a position."""
    return text.count("\n", 0, offset) + 1


def joined(steps: list[Step]) -> Step:
    """Several scripts that were run one after the other, as one step."""
    if len(steps) == 1:
        return steps[0]
    error: StepError | None = next((step.error for step in steps if step.error), None)
    return Step(
        duration_ms=sum(step.duration_ms for step in steps),
        statements=tuple(statement for step in steps for statement in step.statements),
        error=error,
        locks_observed=_observed(steps),
        locks_note="; ".join(dict.fromkeys(step.locks_note for step in steps if step.locks_note)),
        statements_observed=all(step.statements_observed for step in steps),
        sent_together=steps[-1].sent_together,  # the last is the one that may have failed
    )


def _observed(steps: list[Step]) -> Observed:
    """Where one part was not observed, what the others saw is a sample of the whole at most."""
    modes = {step.locks_observed for step in steps}
    if len(modes) == 1:
        return modes.pop()
    any_lock = any(statement.locks for step in steps for statement in step.statements)
    return Observed.SAMPLED if any_lock else Observed.NOT_OBSERVED


def sql_text(value: str) -> str:
    """A string literal of standard SQL."""
    return "'" + value.replace("'", "''") + "'"


def foreign_keys(engine: str, tool: str, session: tuple[str, ...]) -> tuple[str, ...]:
    """Whether foreign keys are enforced while this tool's scripts run: the sentence that decides many a verdict."""
    if engine != "sqlite":
        return ()
    said = [s for s in session if re.search(r"\bforeign_keys\b", s, re.IGNORECASE)]
    if said:
        return (f"foreign keys follow the session setting `{said[-1]}`",)
    return (
        f"foreign keys are not enforced: SQLite's default, which {tool} keeps "
        '(session = ["PRAGMA foreign_keys = ON"] in [source] switches them on)',
    )
