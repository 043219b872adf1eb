"""A given seed as single statements, so that what its database refuses can be mended."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from seatrial.model import Database
from seatrial.seeds.inserts import literal
from seatrial.seeds.load import DUMP, META, SQLITE, Dump, decode, known_tables, opened, quote_sqlite, read, unescape
from seatrial.seeds.psql import expand
from seatrial.sql.split import SourceStatement, split
from seatrial.sql.tokens import code
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A seed's rows as single statements. ``session`` is set before them; ``enforced``: foreign keys hold meanwhile.

    ``entwined``: a statement takes up what those before it left in the session, so that none can be tried alone.
    """

    statements: tuple[str, ...]
    session: tuple[str, ...] = ()
    enforced: bool = True
    skipped: tuple[tuple[str, str], ...] = ()  # as LoadResult's
    entwined: bool = False


_TRANSACTION = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"})
_LOOSE = {
    "postgresql": "SET session_replication_role = replica",
    "mysql": "SET foreign_key_checks = 0",
    "mariadb": "SET foreign_key_checks = 0",
    "sqlite": "PRAGMA foreign_keys = OFF",
}
"""Foreign keys off, as the tools that write and read dumps have them."""


def pieces(database: Database, path: Path, project: Path | None = None) -> Piece:
    """The statements of a seed that ``load`` has read before."""
    content = read(path)
    loose = _LOOSE[database.engine]
    if content.startswith(SQLITE):
        left_out = dict[str, str]()
        rows = tuple(_file_rows(database, path, content, left_out))
        return Piece(statements=rows, session=(loose,), enforced=False, skipped=tuple(left_out.items()))
    text = decode(path, content)
    is_dump = bool(DUMP.search(text[:4000]))
    if not is_dump and database.engine == "postgresql":
        text = expand(path, text, project or path.parent).text
    parts = split(META.sub("", text) if is_dump else text, database.engine)
    words = [_first_word(p.text, database.engine) for p in parts]
    told = [(p, w) for p, w in zip(parts, words, strict=True) if w not in _TRANSACTION]
    return _dumped(database, path, told, loose) if is_dump else _scripted(database, told)


_Told = Sequence[tuple[SourceStatement, str]]
"""Statements, each with its first word."""


def _dumped(database: Database, path: Path, told: _Told, loose: str) -> Piece:
    dump = Dump(database, path)
    rows = [p for p, word in told if word in ("INSERT", "REPLACE", "COPY")]
    found = tuple(sql for part in rows for sql in _as_inserts(database, part, dump))
    return Piece(statements=found, session=(loose,), enforced=False, skipped=tuple(dump.skipped.items()))


_SETTING = ("SET", "PRAGMA")
_UNCHECKED = re.compile(
    r"foreign_key(?:_check)?s\s*[=(]\s*(?:0|off|false|no)\b|session_replication_role\s*(?:=|to)\s*'?replica",
    re.IGNORECASE,
)
_BACK = frozenset({"LAST_INSERT_ID", "LAST_INSERT_ROWID", "ROW_COUNT", "FOUND_ROWS", "CHANGES", "CURRVAL", "LASTVAL"})


def _scripted(database: Database, told: _Told) -> Piece:
    first, last = _between(told)
    parts = [p for p, _ in told[first:last]]
    set_between = any(word in _SETTING for _, word in told[first:last])
    return Piece(
        statements=tuple(sql for part in parts for sql in _as_inserts(database, part, None)),
        session=tuple(p.text for p, _ in told[:first]),
        enforced=not any(_UNCHECKED.search(p.text) for p, _ in told[:first]),
        entwined=set_between or any(_looks_back(p.text, database.engine) for p in parts),
    )


def _between(told: _Told) -> tuple[int, int]:
    """Where a script's statements begin and end between the settings before them, and those that put these back."""
    others = [i for i, (_, word) in enumerate(told) if word not in _SETTING]
    return (others[0], others[-1] + 1) if others else (len(told), len(told))


def _looks_back(text: str, dialect: str) -> bool:
    """Whether a statement asks what the one before it did."""
    return any(t.word in _BACK and after.text == "(" for t, after in pairwise(code(text, dialect)))


def _first_word(text: str, dialect: str) -> str:
    return next((t.word for t in code(text[:200], dialect)), "")


def _as_inserts(database: Database, part: SourceStatement, dump: Dump | None) -> Iterator[str]:
    """A statement as it is; of COPY's rows an INSERT each. What a dump's reader leaves out is left out."""
    head = code(part.text[:2000], database.engine)
    into = next((i for i, t in enumerate(head) if t.word in ("INTO", "COPY")), 0)
    lines = [x for x in (part.copy_data or "").split("\n") if x not in ("", "\\.")]
    if part.copy_data is not None and not lines:
        return
    table = dump.target(head[into + 1 :]) if dump is not None else None
    if dump is not None and table is None:
        return
    if part.copy_data is None:
        yield part.text
        return
    end = next((t.start for t in head if t.word == "FROM"), len(part.text))
    target = part.text[head[0].end : end].strip()
    for line in lines:
        cells = (unescape(cell) for cell in line.rstrip("\r").split("\t"))
        yield f"INSERT INTO {target} VALUES ({', '.join(literal(c, database.engine) for c in cells)})"


def _file_rows(database: Database, path: Path, content: bytes, skipped: dict[str, str]) -> Iterator[str]:
    schema = database.inspect()
    with opened(path, content) as source:
        for table in known_tables(database, schema, source, skipped):
            name = table.name
            columns = [c for c, a in schema.columns(table).items() if not a.get("generated")]
            held = {r[1].lower() for r in source.execute(f"PRAGMA table_xinfo({quote_sqlite(name)})")}
            chosen = [c for c in columns if c.lower() in held]
            names = ", ".join(database.quote(c) for c in chosen)
            for row in source.execute(f"SELECT {', '.join(map(quote_sqlite, chosen))} FROM {quote_sqlite(name)}"):
                values = ", ".join(literal(v, database.engine) for v in row)
                yield f"INSERT INTO {database.quote(table.name)} ({names}) VALUES ({values})"
