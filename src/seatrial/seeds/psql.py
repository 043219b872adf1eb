"""Seeds written for psql: its own commands (backslash and a word) done, left out where they only show, or refused.

Included files and the files of \\copy become part of the script, so that one transaction may span them; a line of the
whole is told as the line of the file that it came from. What psql's manual calls meta-commands is read as there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from seatrial.errors import SeedError
from seatrial.sql.split import SourceStatement, split
from seatrial.sql.tokens import COMMENT, scan
from seatrial.values import dataclass

_SHOWS = frozenset(
    "a C conninfo copyright crosstabview e echo encoding errverbose f H help html l o p prompt pset qecho".split()  # noqa: SIM905
    + "r restrict s t T timing unrestrict unset w warn x z ?".split()  # noqa: SIM905
)
"""Commands that change nothing in the database (every \\d... is one too)."""

_OWN = re.compile(
    r"(ECHO|ECHO_HIDDEN|FETCH_COUNT|HIDE_\w+|HIST\w+|IGNOREEOF|ON_ERROR_STOP|PROMPT\d|QUIET|SHOW_\w+|VERBOSITY)$"
)
_COPY = re.compile(r"(.*?\S)\s+from\s+(?:'((?:[^']|'')+)'|(\S+?))(\s.*?)?;?\s*", re.IGNORECASE | re.DOTALL)
_END = re.compile(r"^\\\.[ \t\r]*$", re.MULTILINE)
_SENDS = ("", "g", "gx")  # what may end a statement in place of its semicolon


@dataclass
class Script:
    """The script with everything in it; ``where`` leads a line of it back to its file."""

    path: Path
    text: str = ""
    _from: list[tuple[int, Path, int]] = field(default_factory=list)  # line here, file, line there

    def add(self, text: str, path: Path, line: int) -> None:
        self._from.append((self.text.count("\n") + 1, path, line))
        self.text += text

    def where(self, line: int) -> tuple[Path, int]:
        found = next((f for f in reversed(self._from) if f[0] <= line), None)
        return (found[1], found[2] + line - found[0]) if found else (self.path, line)


@dataclass(frozen=True, slots=True)
class _Command:
    start: int
    end: int
    name: str
    rest: str


def expand(path: Path, text: str, project: Path) -> Script:
    """The script as psql would send it. Raises SeedError for a command that cannot be done, with its line."""
    script = Script(path)
    _Reader(script, project.resolve()).read(path, text, ())
    return script


@dataclass(frozen=True, slots=True)
class _Reader:
    script: Script
    project: Path

    def read(self, path: Path, text: str, open_files: tuple[Path, ...]) -> None:
        if path.resolve() in open_files:
            raise SeedError(f"{path.name} includes itself. Take its \\i out.")
        begun, rest, line = (*open_files, path.resolve()), text, 1
        while (command := _first(rest)) is not None:
            at = line + rest.count("\n", 0, command.start)
            self.script.add(rest[: command.start], path, line)
            line, end = at + rest.count("\n", command.start, command.end), command.end
            if command.name == "q":
                return
            self._do(command, path, at, begun)
            rest = rest[end:]
            if command.name == "copy" and self.script.text.endswith(";"):  # from stdin: its rows stand behind it
                over = found.end() if (found := _END.search(rest)) else len(rest)
                self.script.add(rest[:over], path, line)
                line, rest = line + rest.count("\n", 0, over), rest[over:]
        self.script.add(rest, path, line)

    def _do(self, command: _Command, path: Path, line: int, begun: tuple[Path, ...]) -> None:
        if command.name in ("i", "ir", "include", "include_relative"):
            found = self._file(command.rest.strip().strip("'"), path, line, relative="r" in command.name)
            self.read(found, _text(found, path, line), begun)
            self.script.add("\n", path, line)
        elif command.name == "copy":
            self.script.add(self._copied(command, path, line), path, line)
        elif not _is_harmless(command):
            raise SeedError(_refused(path, line, f"\\{command.name} {command.rest}".strip()))

    def _copied(self, command: _Command, path: Path, line: int) -> str:
        found = _COPY.fullmatch(command.rest)
        if found is None or found[1].startswith("("):
            raise SeedError(_refused(path, line, f"\\copy {command.rest}"))
        into, quoted, plain, options = found.groups()
        head = f"COPY {into} FROM STDIN{options or ''};"
        if not quoted and plain.lower() in ("stdin", "pstdin", "program"):
            if plain.lower() == "stdin":
                return head  # its rows follow in the script
            raise SeedError(_refused(path, line, f"\\copy {command.rest}"))
        source = self._file(quoted.replace("''", "'") if quoted else plain, path, line, relative=False)
        rows = _text(source, path, line)
        if _END.search(rows.removesuffix("\\.\n")):
            raise SeedError(
                f"{source.name}, which {path.name}, line {line} copies, holds rows behind a line \\. in it."
            )
        return f"{head}\n{rows.removesuffix(chr(92) + '.' + chr(10)).rstrip(chr(10))}\n\\.\n"

    def _file(self, name: str, path: Path, line: int, *, relative: bool) -> Path:
        """psql reads \\i from where it was started: taken to be the project's folder, else the script's."""
        places = [path.parent / name] if relative else [self.project / name, path.parent / name]
        found = next((place.resolve() for place in places if place.is_file()), None)
        if found is None:
            raise SeedError(f"{path.name}, line {line}: there is no file {name}. Check the name; it is looked for in "
                            f"the project's folder and beside the script.")  # fmt: skip
        if not found.is_relative_to(self.project):
            raise SeedError(f"{path.name}, line {line}: {name} lies outside the project. Put it beside the seed.")
        return found


def _first(text: str) -> _Command | None:
    """The first command that has to be done; what is only psql's own stays and is never sent."""
    position = 0
    for statement in split(text, "postgresql"):
        between = _commands(text, position, statement.start)
        found = next((c for c in between if not _is_harmless(c)), None) or _sender(text, statement)
        if found is not None:
            return found
        position = statement.end
    return next((c for c in _commands(text, position, len(text)) if not _is_harmless(c)), None)


def _commands(text: str, start: int, end: int) -> Iterator[_Command]:
    """The commands between two statements."""
    skip = start
    for kind, at, _ in scan(text[:end], "postgresql", start) if "\\" in text[start:end] else ():
        if at < skip or kind == COMMENT or text[at] != "\\":
            continue
        skip = text.find("\n", at) % (len(text) + 1)
        name, _, rest = text[at + 1 : skip].partition(" ")
        yield _Command(at, skip, name.strip(), rest.strip())


def _sender(text: str, statement: SourceStatement) -> _Command | None:
    """A command that ends a statement by doing something with its result (\\gset, \\gexec)."""
    if statement.copy_data is not None:
        return None
    behind = text[statement.start + len(statement.text) : statement.end].strip()
    name, _, rest = behind.removeprefix("\\").partition(" ")
    if not behind.startswith("\\") or (name in _SENDS and not rest):
        return None
    start = statement.start + len(statement.text)
    return _Command(start, statement.end, name, rest)


def _is_harmless(command: _Command) -> bool:
    if command.name == "set":
        words = command.rest.split()
        return not words or bool(_OWN.match(words[0]))
    if command.name == "encoding":
        return command.rest.upper().replace("-", "") in ("", "UTF8")
    return command.name.rstrip("+") in _SHOWS or command.name.startswith("d") or command.name == "\\"


def _refused(path: Path, line: int, command: str) -> str:
    return (
        f"{path.name}, line {line}: {command.split()[0]} is psql's own command and is not done here ({command[:80]})."
        " Write the rows as plain SQL, or run the script with psql and give a pg_dump of what it makes."
    )


def _text(found: Path, path: Path, line: int) -> str:
    try:
        return found.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SeedError(f"{path.name}, line {line}: {found.name} cannot be read: {error}.") from error
