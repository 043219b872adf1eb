"""Given rows: an SQL script, a plain dump, or a SQLite file, loaded into the schema that stands.

A script runs as it is. Of a dump only the rows are taken, with foreign keys off, as its own tool would restore them:
the schema is what the migrations made. Whatever does not fit is a SeedError that names the file's line and the engine's
words.
"""

from __future__ import annotations

import gzip
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from seatrial.errors import DatabaseError, SeedError
from seatrial.model import Attributes, Database, ErrorKind, Schema, StepError, TableRef
from seatrial.seeds.psql import Script, expand
from seatrial.sql.split import SourceStatement, split
from seatrial.sql.tokens import OPERATOR, QUOTED, WORD, Token, code
from seatrial.values import dataclass

_GZIP = b"\x1f\x8b"
SQLITE = b"SQLite format 3\x00"
_ARCHIVE = b"PGDMP", b"toc.dat\0"  # pg_dump -Fc, -Ft
_UTF_16 = b"\xff\xfe", b"\xfe\xff"
_BESIDE = ("-wal", "-journal")
_IN_WAL_MODE = b"\x02\x02"  # sqlite.org/fileformat2.html, 1.3.3
DUMP = re.compile(
    r"^-- (PostgreSQL database dump|MySQL dump|MariaDB dump)|\APRAGMA foreign_keys=OFF;\s+BEGIN TRANSACTION;",
    re.MULTILINE,
)
META = re.compile(r"^\\(?:un)?restrict \w+$", re.MULTILINE)  # psql's, written by pg_dump since 2025
_BATCH = 1000
BOOKKEEPING = "bookkeeping"
_ABSENT = "no such table at this version"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """What a seed held. ``skipped`` names tables whose rows were left out, and why; ``BOOKKEEPING`` is no loss."""

    kind: str  # "sql", "dump", "sqlite" or "empty"
    rows: int | None = None  # None: not counted, a script inserted them
    skipped: tuple[tuple[str, str], ...] = ()


def load(database: Database, path: Path, project: Path | None = None) -> LoadResult:
    """Load the rows in ``path``; an empty file is a seed without rows. Raises SeedError.

    What a script includes is looked for in the ``project``'s folder; without one, beside the script.
    """
    content = read(path)
    if not content.removeprefix(b"\xef\xbb\xbf").strip():
        return LoadResult(kind="empty", rows=0)
    if content.startswith(SQLITE):
        return _load_sqlite(database, path, content)
    if content.startswith(_ARCHIVE):
        raise SeedError(f"{path.name} is a pg_dump archive; make plain SQL of it: pg_restore -f seed.sql {path.name}")
    text = decode(path, content)
    if DUMP.search(text[:4000]):
        return Dump(database, path).load(text)
    script = Script(path, text) if database.engine != "postgresql" else expand(path, text, project or path.parent)
    error = database.load(script.text)
    if error is not None:
        told, line = script.where(error.line) if error.line else (path, None)
        raise _refusal(told, replace(error, line=line))
    database.advance_counters()
    return LoadResult(kind="sql")


def read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP) else content
    except (OSError, EOFError) as error:
        raise SeedError(f"The seed {path.name} cannot be read: {error}. Check [seed] path.") from error


def decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in content and not content.startswith(_UTF_16):
            known = "SQL, a plain pg_dump, or a SQLite file that is not encrypted"
            raise SeedError(f"{path.name} is no text, and no database file that can be read. Give {known}.") from None
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise SeedError(
            f"{path.name}, line {line}: byte 0x{byte:02x} is not UTF-8. Convert the file, for example: "
            f"iconv -f latin1 -t utf-8 {path.name} > {path.stem}-utf8.sql"  # onto itself, the shell would empty it
        ) from None


UNFIT = "The rows must fit the schema at the version that [seed] at names: correct the row, or the version."
_NOT_THE_ROWS = "The rows were not at fault: nothing was tested; run it again when that is put right."


def _refusal(path: Path, error: StepError) -> SeedError:
    line = f", line {error.line}" if error.line else ""
    statement = f" ({_short(error.statement)})" if error.statement else ""
    advice = _NOT_THE_ROWS if error.kind is ErrorKind.ENVIRONMENT else UNFIT
    return SeedError(f"{path.name}{line}: {' '.join(error.message.split())}{statement}.", refused=error, advice=advice)


def _step_error(error: Exception, statement: str = "", line: int | None = None) -> StepError:
    kind = error.kind if isinstance(error, DatabaseError) and error.kind is ErrorKind.ENVIRONMENT else ErrorKind.SEED
    code = error.code if isinstance(error, DatabaseError) else getattr(error, "sqlite_errorname", "")
    return StepError(message=str(error), kind=kind, code=code, statement=statement, line=line)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 120 else flat[:117] + "..."


def find_table(schema: Schema, table: TableRef) -> TableRef | None:
    """The table that a dump names: the default schema may be named or not."""
    known = schema.tables()
    return next((t for t in (table, TableRef("", table.name)) if t in known), None)


# --- dumps ---


class Dump:
    """Rows of a plain dump: COPY blocks and INSERT statements; everything else belongs to the schema."""

    def __init__(self, database: Database, path: Path) -> None:
        self.database, self.path = database, path
        self.schema = database.inspect()
        self.rows = 0
        self.skipped: dict[str, str] = {}

    def load(self, text: str) -> LoadResult:
        blank = META.sub("", text)
        with self.database.filling() as session:
            for statement in split(blank, self.database.engine):
                self._take(session, statement)
        self.database.advance_counters()
        return LoadResult(kind="dump", rows=self.rows, skipped=tuple(self.skipped.items()))

    def _take(self, session: Any, statement: SourceStatement) -> None:
        head = code(statement.text[:2000], self.database.engine)
        words = [t.word for t in head[:3]]
        if words[:1] == ["COPY"] and statement.copy_data is not None:
            self._copy(statement, head)
        elif words[:1] in (["INSERT"], ["REPLACE"]) and "INTO" in words:
            self._insert(session, statement, head)

    def target(self, tokens: Sequence[Token]) -> TableRef | None:
        """The table that the tokens begin with; None (and noted) where its rows are left out."""
        names = [tokens[0].name] + [
            t.name for dot, t in zip(tokens[1:3:2], tokens[2:4:2], strict=False) if dot.text == "."
        ]
        named = TableRef(names[0] if len(names) > 1 else "", names[-1])
        if named.name in self.database.bookkeeping or named.name == "sqlite_sequence":
            self.skipped.setdefault(str(named), BOOKKEEPING)
            return None
        found = find_table(self.schema, named)
        if found is None:
            self.skipped.setdefault(str(named), _ABSENT)
        return found

    def _insert(self, session: Any, statement: SourceStatement, head: Sequence[Token]) -> None:
        into = next(i for i, t in enumerate(head) if t.word == "INTO")
        if self.target(head[into + 1 :]) is None:
            return
        if not _is_plain(statement.text, self.database.engine):
            raise SeedError(
                f"{self.path.name}, line {statement.line}: {_short(statement.text)} computes its values, which no dump "
                "does. Give plain values, or take the dump's header away to have the file run as a script."
            )
        try:
            session.execute(statement.text)
        except (DatabaseError, sqlite3.Error) as error:  # SQLite's session is the driver's own connection
            failed = _step_error(error, statement.text, statement.line)
            raise _refusal(self.path, failed) from error
        self.rows += 1

    def _copy(self, statement: SourceStatement, head: Sequence[Token]) -> None:
        lines = (statement.copy_data or "").split("\n")
        rows = [[unescape(cell) for cell in line.rstrip("\r").split("\t")] for line in lines if line not in ("", "\\.")]
        table = self.target(head[1:]) if rows else None
        if table is None:
            return
        columns = [t.name for t in _parenthesised(head)] or list(self.schema.columns(table))
        _insert_rows(self.database, table, columns, rows, lambda i: f"{self.path.name}, line {statement.line + 1 + i}")
        self.rows += len(rows)


_CALL = re.compile(r"\bselect\b|\w\s*\(", re.IGNORECASE)
_CALLS = frozenset({"REPLACE", "CHAR", "UNISTR", "VALUES"})  # what the SQLite shell writes for line ends


def _is_plain(text: str, dialect: str) -> bool:
    """Whether an INSERT gives literals only: in a dump, nothing else is run (it could reach outside the database)."""
    _, values, rest = text.partition("VALUES")
    if values and not _CALL.search(rest):
        return True
    tokens = code(text, dialect)
    start = next((i for i, t in enumerate(tokens) if t.word == "VALUES"), None)
    if start is None:
        return False
    called = {t.word for t, after in pairwise(tokens[start:]) if after.text == "(" and t.kind in (WORD, QUOTED)}
    return called <= _CALLS and not any(t.word == "SELECT" for t in tokens[start:])


def _parenthesised(tokens: Sequence[Token]) -> Iterator[Token]:
    inside = False
    for token in tokens:
        if token.text == ")":
            return
        if inside and token.kind != OPERATOR:
            yield token
        inside = inside or token.text == "("


_ESCAPED = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def unescape(cell: str) -> str | None:
    """A field of COPY's text format (PostgreSQL manual, COPY, "Text Format")."""
    if cell == "\\N":
        return None
    if "\\" not in cell:
        return cell

    def plain(found: re.Match[str]) -> str:
        octal, hexadecimal, letter = found.groups()
        if letter is not None:
            return _LETTERS.get(letter, letter)
        return chr(int(octal, 8) if octal else int(hexadecimal, 16))

    return _ESCAPED.sub(plain, cell)


def _insert_rows(
    database: Database, table: TableRef, columns: Sequence[str], rows: Sequence[Sequence[object]], where: Any
) -> None:
    """Insert in batches; a refused one is narrowed down to its row, which ``where`` names. Raises SeedError.

    Row by row where a refused batch leaves the rows before the refused one: the next try would meet them as duplicates.
    """
    most = 1 if table in database.lasting() else _BATCH
    for start in range(0, len(rows), most):
        _narrow(database, table, columns, rows[start : start + most], start, where)


def _narrow(
    database: Database,
    table: TableRef,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    first: int,
    where: Any,
) -> None:
    try:
        database.fill(table, columns, rows)
        return
    except DatabaseError as error:
        if len(rows) == 1:
            shown = ", ".join(f"{c}={v!r}" for c, v in zip(columns, rows[0], strict=False))
            raise SeedError(
                f"{where(first)}: {table} refuses the row {_short(shown)}: {error}.",
                refused=_step_error(error),
                advice=UNFIT,
            ) from error
    middle = len(rows) // 2
    _narrow(database, table, columns, rows[:middle], first, where)
    _narrow(database, table, columns, rows[middle:], first + middle, where)


# --- SQLite files ---


def _load_sqlite(database: Database, path: Path, content: bytes) -> LoadResult:
    schema = database.inspect()
    total, skipped = 0, dict[str, str]()
    with opened(path, content) as source, database.filling():
        try:
            for table in known_tables(database, schema, source, skipped):
                total += _copy_table(database, path, source, table, schema.columns(table))
        except sqlite3.Error as error:  # what the target refuses is a DatabaseError
            raise _unreadable(path, error) from error
    database.advance_counters()
    return LoadResult(kind="sqlite", rows=total, skipped=tuple(skipped.items()))


def known_tables(
    database: Database, schema: Schema, source: sqlite3.Connection, skipped: dict[str, str]
) -> Iterator[TableRef]:
    """The tables whose rows are taken; the others that hold rows are noted in ``skipped``."""
    for name in _tables(source):
        table = find_table(schema, TableRef("", name))
        if table is not None and name not in database.bookkeeping:
            yield table
        elif source.execute(f"SELECT EXISTS (SELECT 1 FROM {quote_sqlite(name)})").fetchone()[0]:
            skipped[name] = BOOKKEEPING if name in database.bookkeeping else _ABSENT


@contextmanager
def opened(path: Path, content: bytes) -> Iterator[sqlite3.Connection]:
    """The file, which is not touched: one that is compressed, or has a log or journal beside it, is read as a copy.

    One in WAL mode without a log would get one by being read, which stays (sqlite.org/wal.html, "Read-Only Databases").
    """
    with tempfile.TemporaryDirectory() as folder:
        plain, mode = path, "?immutable=1" if content[18:20] == _IN_WAL_MODE else "?mode=ro"
        beside = [suffix for suffix in _BESIDE if Path(f"{path}{suffix}").exists()]
        if beside or path.read_bytes()[:2] == _GZIP:
            plain, mode = Path(folder, "seed.sqlite"), ""
            plain.write_bytes(content)
            for suffix in beside:
                shutil.copyfile(f"{path}{suffix}", f"{plain}{suffix}")
        try:
            with closing(sqlite3.connect(f"{plain.resolve().as_uri()}{mode}", uri=True)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_schema")  # what is no database is said here
                yield connection
        except sqlite3.Error as error:
            raise _unreadable(path, error) from error


def _unreadable(path: Path, error: sqlite3.Error) -> SeedError:
    return SeedError(f"The SQLite file {path.name} cannot be read: {error}. Check it with PRAGMA integrity_check.")


def _tables(source: sqlite3.Connection) -> list[str]:
    sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    return [name for (name,) in source.execute(sql)]


def _copy_table(
    database: Database, path: Path, source: sqlite3.Connection, table: TableRef, columns: Mapping[str, Attributes]
) -> int:
    quoted = quote_sqlite(table.name)
    held = [name for _, name, _, _, _, _, hidden in source.execute(f"PRAGMA table_xinfo({quoted})") if not hidden]
    known = {c.lower(): c for c in columns}
    chosen = [c for c in held if c.lower() in known and not columns[known[c.lower()]].get("generated")]
    listed = ", ".join(quote_sqlite(c) for c in chosen) or "NULL"
    rows = source.execute(f"SELECT {listed} FROM {quoted}").fetchall()
    if rows:
        _refuse_misfits(path, table, columns, held, chosen)
        names = [known[c.lower()] for c in chosen]
        _insert_rows(database, table, names, rows, lambda i: f"{path.name}, row {i + 1} of {table}")
    return len(rows)


def _refuse_misfits(
    path: Path, table: TableRef, columns: Mapping[str, Attributes], held: Sequence[str], chosen: Sequence[str]
) -> None:
    have, lower = {c.lower() for c in held}, {c.lower() for c in columns}
    extra = [c for c in held if c.lower() not in lower]
    missing = [c for c, a in columns.items() if c.lower() not in have and must_be_given(a)]
    words = [f"it has {table}.{c}, which the schema does not" for c in extra]
    words += [f"it lacks {table}.{c}, which must not be NULL and has no default" for c in missing]
    if words or not chosen:
        said = "; ".join(words) or f"no column of {table} is known"
        raise SeedError(
            f"{path.name} does not fit the schema: {said}. Set [seed] at to the version that it was made at."
        )


def must_be_given(attributes: Attributes) -> bool:
    given = any(attributes.get(k) for k in ("identity", "generated", "auto_increment"))
    return attributes.get("nullable") is False and attributes.get("default") is None and not given


def quote_sqlite(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
