"""Scripts cut into statements, exactly as the engine or its client would cut them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field

from seatrial.sql.tokens import COMMENT, OPERATOR, QUOTED, STRING, WORD, scan, simple_end, words
from seatrial.values import dataclass

_OPENERS = words("; THEN ELSE BEGIN DO LOOP REPEAT : ATOMIC")
_BEFORE_BODY = words("ROW ) DETERMINISTIC DATA SQL DEFINER INVOKER '")
_ROUTINES = frozenset({"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"})
_ENDED = frozenset({"IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR"})
_PLAIN = words("INSERT UPDATE DELETE REPLACE SELECT SET VALUES DROP TRUNCATE")
_DELIMITER = re.compile(r"delimiter[ \t]+(\S+)[^\n]*", re.IGNORECASE)
_COPY_END = re.compile(r"^\\\.[ \t\r]*$\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SourceStatement:
    """One statement of a script: its text without the closing ``;`` and the comments around it.

    ``start`` and ``end`` are offsets in the script (``end`` behind the ``;`` and a COPY's data), ``line`` is 1-based.
    """

    text: str
    line: int
    start: int
    end: int
    copy_data: str | None = None  # the rows behind psql's COPY ... FROM stdin


@dataclass(slots=True)
class _Open:
    """The statement that is being read."""

    dialect: str
    start: int = -1
    end: int = -1
    words: list[str] = field(default_factory=list)  # its first words and marks
    last: str = ""
    before: str = ""  # the word before ``last``
    parens: int = 0
    depth: int = 0  # open blocks of a compound body
    compound: bool = False  # a statement whose body may hold semicolons
    copying: bool = False

    def add(self, kind: str, text: str, start: int, end: int) -> None:
        """Take in a token."""
        if self.start < 0:
            self.start = start
        self.end = end
        if kind == COMMENT:
            return  # the mark of an executable comment
        word = text.upper() if kind == WORD and self.last != "." else text[:1] if kind == STRING else text
        if len(self.words) < 12:
            self.words.append(word)
            self.compound = self.compound or self._is_compound()
        if kind == OPERATOR and self.dialect == "postgresql":
            self.parens += (text == "(") - (text == ")")
        elif kind == WORD:
            self._follow(word)
        self.before, self.last = self.last, ("" if kind == QUOTED else word)

    def _is_compound(self) -> bool:
        first = self.words[0]
        if self.dialect == "postgresql":
            return first == "CREATE" and self.words[-1] in ("FUNCTION", "PROCEDURE")
        if self.dialect == "sqlite":
            return "CREATE" in self.words[:4] and self.words[-1] == "TRIGGER" and len(self.words) < 8
        if first in ("CREATE", "ALTER"):
            return self.words[-1] in _ROUTINES
        return self.dialect == "mariadb" and (first in _ENDED or self.words[:2] == ["BEGIN", "NOT"])

    def _follow(self, word: str) -> None:
        if self.dialect == "postgresql":
            self._follow_atomic(word)
        elif self.dialect != "sqlite" and (self.compound or self.words[:1] == ["BEGIN"]):
            self._follow_body(word)
        if word == "STDIN" and self.words[0] == "COPY" and self.last == "FROM":
            self.copying = True

    def _follow_atomic(self, word: str) -> None:
        """As psql counts (psqlscan.l): BEGIN, and CASE inside, until their END."""
        if self.compound and (word == "BEGIN" or (word == "CASE" and self.depth)):
            self.depth += 1
        elif word == "END" and self.depth:
            self.depth -= 1

    def _follow_body(self, word: str) -> None:
        begins = self.last in _OPENERS or (not self.depth and (self.last in _BEFORE_BODY or len(self.words) == 1))
        if word == "END":
            self.depth = max(0, self.depth - 1)
        elif self.last == "END" and word in _ENDED:
            return
        elif word in ("BEGIN", "CASE", "WHILE", "LOOP") or (word in ("IF", "REPEAT", "FOR") and begins):
            self.depth += 1

    def ends(self) -> bool:
        """Whether a ``;`` now ends the statement."""
        if self.dialect == "sqlite":
            return not self.compound or (self.last == "END" and self.before == ";")  # as sqlite3_complete() decides
        if self.dialect != "postgresql" and self.words[:1] == ["BEGIN"] and not self.compound:
            return True
        return self.depth == 0 and self.parens <= 0


def split(text: str, dialect: str) -> list[SourceStatement]:
    """The statements of a script; comments and blanks alone are none."""
    return list(_statements(text, dialect))


def _statements(text: str, dialect: str) -> Iterator[SourceStatement]:
    position, delimiter, lines = 0, ";", _Lines(text)
    while position < len(text):
        position, delimiter = _skip_client_lines(text, dialect, position, delimiter)
        opened = _Open(dialect)
        end = position = _read(text, dialect, position, delimiter, opened)
        if opened.start < 0:
            continue
        data = None
        if opened.copying:
            data, end = _copy_data(text, end)
            position = end
        if opened.words:
            yield SourceStatement(text[opened.start : opened.end], lines.at(opened.start), opened.start, end, data)


def _read(text: str, dialect: str, position: int, delimiter: str, opened: _Open) -> int:
    """Read one statement into ``opened``; returns where the next one may begin."""
    for kind, start, end in scan(text, dialect, position):
        piece = text[start:end]
        if kind == COMMENT and not _is_executable(piece, opened):
            continue
        if delimiter != ";":
            cut = text.find(delimiter, start, end + len(delimiter) - 1) if kind not in (STRING, QUOTED, COMMENT) else -1
            if cut >= 0:
                if cut > start:
                    opened.add(WORD, text[start:cut], start, cut)
                return cut + len(delimiter)
        elif piece == ";" and opened.ends():
            return end
        if piece == "\\" and dialect == "postgresql" and (opened.start < 0 or text.startswith("\\g", start)):
            return _line_end(text, start)  # a psql command: its line is never sent
        if kind == WORD and opened.start < 0 and _DELIMITER.match(text, start) and dialect in ("mysql", "mariadb"):
            return start  # a client line, read by the caller
        if (
            opened.start < 0
            and delimiter == ";"
            and piece.upper() in _PLAIN
            and (plain := simple_end(text, dialect, start))
        ):
            opened.add(kind, piece, start, end)
            opened.end = plain[0]
            return plain[1]
        opened.add(kind, piece, start, end)
    return len(text)


def _is_executable(piece: str, opened: _Open) -> bool:
    opens = piece.startswith(("/*!", "/*M!")) and not piece.endswith("*/")
    return opens or (piece == "*/" and opened.start >= 0)


def _line_end(text: str, start: int) -> int:
    stop = text.find("\n", start)
    return len(text) if stop < 0 else stop


def _skip_client_lines(text: str, dialect: str, position: int, delimiter: str) -> tuple[int, str]:
    """Go past lines that are the mysql client's own: DELIMITER."""
    if dialect not in ("mysql", "mariadb"):
        return position, delimiter
    for kind, start, _ in scan(text, dialect, position):
        if kind == COMMENT and not text.startswith(("/*!", "/*M!"), start):
            continue
        found = _DELIMITER.match(text, start) if kind == WORD else None
        return (found.end(), found[1]) if found else (position, delimiter)
    return position, delimiter


def _copy_data(text: str, position: int) -> tuple[str, int]:
    line = text.find("\n", position)
    if line < 0:
        return "", len(text)
    found = _COPY_END.search(text, line + 1)
    return (text[line + 1 : found.start()], found.end()) if found else (text[line + 1 :], len(text))


class _Lines:
    """Line numbers of rising offsets, counting every line once."""

    def __init__(self, text: str) -> None:
        self._text, self._line, self._counted = text, 1, 0

    def at(self, position: int) -> int:
        self._line += self._text.count("\n", self._counted, position)
        self._counted = position
        return self._line


def is_blank(text: str, dialect: str) -> bool:
    """Whether there is nothing but blanks and comments (and semicolons)."""
    return not split(text, dialect)


def has_transaction_control(text: str, dialect: str) -> bool:
    """Whether the script begins or ends transactions by itself (savepoints do not count)."""
    return any(_controls(s.text, dialect) for s in split(text, dialect))


def _controls(text: str, dialect: str) -> bool:
    leading = _first_words(text, dialect, 3)
    first, rest = leading[:1], leading[1:]
    if first == ["BEGIN"]:
        return rest[:1] != ["NOT"]
    if first == ["START"]:
        return rest[:1] == ["TRANSACTION"]
    if first == ["ROLLBACK"]:
        return "TO" not in rest
    if first == ["END"]:
        return dialect in ("postgresql", "sqlite")
    if first == ["PREPARE"]:
        return rest[:1] == ["TRANSACTION"]
    if first == ["SET"]:
        return "AUTOCOMMIT" in rest or "@@AUTOCOMMIT" in rest
    return first in (["COMMIT"], ["ABORT"], ["XA"])


def _first_words(text: str, dialect: str, count: int) -> list[str]:
    found: list[str] = []
    for kind, start, end in scan(text, dialect):
        if kind != COMMENT:
            found.append(text[start:end].upper())
        if len(found) == count:
            break
    return found
