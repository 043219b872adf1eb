"""``SHOW CREATE TABLE`` cut into its parts: the server's own words for what information_schema keeps to itself."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from seatrial.sql.tokens import COMMENT, QUOTED, Token, code, tokenize

_KEYS = frozenset({"UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR", "KEY", "INDEX"})


@dataclass(frozen=True, slots=True)
class Shown:
    """The parts of one table: each name with the text behind it."""

    columns: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    constraints: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[str, str] = field(default_factory=dict)  # the whole text of every foreign key, by name
    periods: tuple[str, ...] = ()  # PERIOD FOR ..., by the server's own words
    tail: str = ""  # what follows the closing parenthesis


@lru_cache(maxsize=4096)
def spaced_alike(body: str, dialect: str) -> str:
    """A body with one blank where there was white space or a comment: layout is of no weight."""
    text, end = "", 0
    for token in tokenize(body, dialect):
        if token.kind != COMMENT or token.text.startswith(("/*!", "/*+", "/*M!")):
            gap = body[end : token.start]
            text += (" " if text and gap else "") + token.text
            end = token.end
    return text


def parse(text: str, dialect: str) -> Shown:
    """Cut the output of SHOW CREATE TABLE at its outer commas."""
    columns: dict[str, str] = {}
    keys: dict[str, str] = {}
    constraints: dict[str, str] = {}
    foreign: dict[str, str] = {}
    periods: list[str] = []
    elements, end = _elements(code(text, dialect))
    for element in elements:
        first = element[0]
        if first.kind == QUOTED:
            columns[first.name] = _after(text, element, 1)
        elif first.word == "CONSTRAINT":
            constraints[element[1].name] = _after(text, element, 2)
            if element[2].word == "FOREIGN":
                foreign[element[1].name] = text[element[0].start : element[-1].end]
        elif first.word == "PERIOD":
            periods.append(_after(text, element, 2))
        elif first.word in _KEYS:
            at = next(i for i, t in enumerate(element) if t.kind == QUOTED)
            keys[element[at].name] = _without_comment(text, element, at)
    return Shown(columns, keys, constraints, foreign, tuple(periods), text[end:])


def _elements(tokens: list[Token]) -> tuple[list[list[Token]], int]:
    start = next(i for i, t in enumerate(tokens) if t.word == "(")
    depth, elements = 1, [[]]  # type: tuple[int, list[list[Token]]]
    for token in tokens[start + 1 :]:
        depth += (token.word == "(") - (token.word == ")")
        if depth == 0:
            return [e for e in elements if e], token.end
        if token.word == "," and depth == 1:
            elements.append([])
        else:
            elements[-1].append(token)
    return [e for e in elements if e], tokens[-1].end


def _after(text: str, element: list[Token], count: int) -> str:
    return text[element[count].start : element[-1].end] if len(element) > count else ""


def _without_comment(text: str, element: list[Token], at: int) -> str:
    """An index's kind and columns, without its name and its comment (which is an attribute of its own)."""
    end = next((i for i, t in enumerate(element) if t.word == "COMMENT" and i > at), len(element))
    kind = " ".join(t.text for t in element[:at] if t.word not in ("KEY", "INDEX"))
    return f"{kind} {text[element[at + 1].start : element[end - 1].end]}".strip()


_NO_LITERAL_DEFAULT = frozenset(
    {
        *("TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "JSON", "VECTOR"),
        *(
            "GEOMETRY",
            "POINT",
            "LINESTRING",
            "POLYGON",
            "MULTIPOINT",
            "MULTILINESTRING",
            "MULTIPOLYGON",
            "GEOMCOLLECTION",
        ),
    }
)


def lacks_default(definition: str, dialect: str) -> bool:
    """Whether a nullable column has no default at all (ALTER ... DROP DEFAULT): strict mode refuses to leave it out.

    MySQL shows ``DEFAULT NULL`` for every other nullable column, but not for the types that take no literal default.
    """
    words = [t.word for t in code(definition, dialect)]
    required = any(pair == ("NOT", "NULL") for pair in itertools.pairwise(words))
    return (
        not required
        and words[:1] != []
        and words[0] not in _NO_LITERAL_DEFAULT
        and not {"DEFAULT", "GENERATED"} & {*words}
    )


_OF_TABLES = frozenset({"TABLESPACE", "AUTOEXTEND_SIZE", "UNION", "INSERT_METHOD"})
_OF_COLUMNS = frozenset({"COLUMN_FORMAT", "STORAGE"})


def table_storage(shown: Shown, dialect: str) -> tuple[str, ...]:
    """Options that TABLES.CREATE_OPTIONS leaves out."""
    tokens = [t for t in code(shown.tail, dialect) if t.word != "="]
    return tuple(
        sorted(f"{a.word.lower()}={_value(tokens[i + 1 :])}" for i, a in enumerate(tokens) if a.word in _OF_TABLES)
    )


def _value(tokens: list[Token]) -> str:
    """One word, or all that stands in parentheses."""
    if tokens[0].word != "(":
        return tokens[0].text
    return "".join(t.text for t in itertools.takewhile(lambda t: t.word != ")", tokens)) + ")"


def column_storage(definition: str, dialect: str) -> str:
    """COLUMN_FORMAT and STORAGE, which information_schema does not tell."""
    pairs = itertools.pairwise(code(definition, dialect))
    return " ".join(f"{a.word} {b.word}" for a, b in pairs if a.word in _OF_COLUMNS)
