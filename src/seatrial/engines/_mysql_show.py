"""``SHOW CREATE TABLE`` cut into its parts: the server's own words for what information_schema keeps to itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
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
    parts, end = elements(code(text, dialect))
    for element in parts:
        first = element[0]
        if first.kind == QUOTED:
            columns[first.name] = _after(text, element, 1)
        elif first.word == "CONSTRAINT":
            constraints[element[1].name] = _after(text, element, 2)
            if element[2].word == "FOREIGN":
                foreign[element[1].name] = text[element[0].start : element[-1].end]
        elif first.word == "PERIOD":
            periods.append(_after(text, element, 2))
        elif first.word == "PRIMARY":
            keys["PRIMARY"] = _without_comment(text, element, 1)
        elif first.word in _KEYS:
            at = next(i for i, t in enumerate(element) if t.kind == QUOTED)
            keys[element[at].name] = _without_comment(text, element, at)
    return Shown(columns, keys, constraints, foreign, tuple(periods), text[end:])


def elements(tokens: list[Token]) -> tuple[list[list[Token]], int]:
    """What the first parentheses hold, cut at the outer commas, and where they end."""
    start = next(i for i, t in enumerate(tokens) if t.word == "(")
    depth, parts = 1, [[]]  # type: tuple[int, list[list[Token]]]
    for token in tokens[start + 1 :]:
        depth += (token.word == "(") - (token.word == ")")
        if depth == 0:
            return [e for e in parts if e], token.end
        if token.word == "," and depth == 1:
            parts.append([])
        else:
            parts[-1].append(token)
    return [e for e in parts if e], tokens[-1].end


def _after(text: str, element: list[Token], count: int) -> str:
    return text[element[count].start : element[-1].end] if len(element) > count else ""


def _without_comment(text: str, element: list[Token], at: int) -> str:
    """An index's kind, columns and options, without its name and its comment (which is an attribute of its own)."""
    end = next((i for i, t in enumerate(element) if t.word == "COMMENT" and i > at), len(element))
    kind = " ".join(t.text for t in element[:at] if t.word not in ("KEY", "INDEX"))
    return f"{kind} {_said(text, element[at + 1 : end])} {_said(text, element[end + 2 :])}".strip()


def _said(text: str, tokens: Sequence[Token]) -> str:
    """The text of tokens, without the marks of comments that only some versions read (``/*!80000 INVISIBLE */``)."""
    said, end = "", tokens[0].start if tokens else 0
    for token in tokens:
        gap = text[end : token.start]
        said += (" " if "/*" in gap or "*/" in gap else gap) + token.text
        end = token.end
    return said


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


_ATTRIBUTES = {"ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE"}
_OF_TABLES = frozenset({"TABLESPACE", "AUTOEXTEND_SIZE", "UNION", "INSERT_METHOD", "CONNECTION", *_ATTRIBUTES})
_OF_COLUMNS = frozenset({"COLUMN_FORMAT", "STORAGE", *_ATTRIBUTES})


def table_storage(shown: Shown, dialect: str) -> tuple[str, ...]:
    """Options that TABLES.CREATE_OPTIONS leaves out."""
    tokens = [t for t in code(shown.tail, dialect) if t.word != "="]
    mine = list(itertools.takewhile(lambda t: t.word != "PARTITION", tokens))
    plain = [f"{a.word.lower()}={_value(mine[i + 1 :])}" for i, a in enumerate(mine) if a.word in _OF_TABLES]
    return tuple(sorted([*plain, *(f"{name}={value}" for name, value in _directories(mine))]))


def _directories(tokens: Sequence[Token]) -> Iterator[tuple[str, str]]:
    """DATA DIRECTORY and INDEX DIRECTORY, each with its literal."""
    for one, two, three in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if two.word == "DIRECTORY":
            yield f"{one.word.lower()} directory", three.text


def _key_options(tokens: Sequence[Token]) -> Iterator[str]:
    """How a key is hashed, and how much history a partition holds (MariaDB)."""
    yield from (f"ALGORITHM = {b.text}" for a, b in itertools.pairwise(tokens) if a.word == "ALGORITHM")
    words = [t.word for t in tokens]
    if "SYSTEM_TIME" in words:
        rest = itertools.islice(tokens, words.index("SYSTEM_TIME") + 1, None)
        yield " ".join(t.text for t in itertools.takewhile(lambda t: t.word not in ("PARTITIONS", "("), rest))


_PARTS = frozenset({"PARTITION", "SUBPARTITION"})
_OF_PARTITIONS = frozenset({"MAX_ROWS", "MIN_ROWS", "NODEGROUP", "TABLESPACE"})


def partition_storage(shown: Shown, dialect: str) -> dict[str, tuple[str, ...]]:
    """What PARTITIONS leaves out, by the name of the partition or, innermost, of its part; of no name: of the key."""
    tokens = [t for t in code(shown.tail, dialect) if t.word != "="]
    starts = [i for i, (t, after) in enumerate(itertools.pairwise(tokens)) if t.word in _PARTS and after.word != "BY"]
    found = {"": list(_key_options(tokens))}
    for start, end in itertools.pairwise([*starts, len(tokens)]):
        mine = tokens[start + 2 : end]
        options = [f"{a.word.lower()}={b.text}" for a, b in itertools.pairwise(mine) if a.word in _OF_PARTITIONS]
        found[tokens[start + 1].name] = options + [f"{name}={value}" for name, value in _directories(mine)]
    return {name: tuple(options) for name, options in found.items() if options}


def _value(tokens: list[Token]) -> str:
    """One word, or all that stands in parentheses."""
    if tokens[0].word != "(":
        return tokens[0].text
    return "".join(t.text for t in itertools.takewhile(lambda t: t.word != ")", tokens)) + ")"


def column_storage(definition: str, dialect: str) -> str:
    """COLUMN_FORMAT, STORAGE and what other engines are told, which information_schema's COLUMNS do not tell."""
    pairs = itertools.pairwise(code(definition, dialect))
    return " ".join(f"{a.word} {b.text}" for a, b in pairs if a.word in _OF_COLUMNS)
