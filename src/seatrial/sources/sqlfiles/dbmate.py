"""dbmate: one file a migration, with ``-- migrate:up`` and ``-- migrate:down`` blocks.

Facts from github.com/amacneil/dbmate at f3e08f15e39d (2026-08-07, v2.35): pkg/dbmate/migration.go (blocks and options),
pkg/dbmate/db.go (names, order, transactions, when the version is written) and pkg/driver/*/*.go (the version table).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from seatrial.errors import SourceError
from seatrial.model import Database, Migration, Runner, Script, Source, Step, StepError, Transaction
from seatrial.sources.settings import Adjustable, Layout, SourceSettings, relative
from seatrial.sources.sqlfiles import _common as common
from seatrial.sql.split import split
from seatrial.values import dataclass

# Go's \s is [\t\n\f\r ] (RE2 syntax); Python's has \v and more.
_FILE = re.compile(r"^([0-9]+)(.*)\.sql$", re.DOTALL)  # db.go: migrationFileRegexp
_DIRECTIVE = r"^--[\t\n\f\r ]*migrate:{}([\t\n\f\r ]*$|[\t\n\f\r ]+[^\t\n\f\r ]+)"  # migration.go: upRegExp, downRegExp
_UP = re.compile(_DIRECTIVE.format("up"), re.MULTILINE)
_DOWN = re.compile(_DIRECTIVE.format("down"), re.MULTILINE)
_ANY_OTHER = re.compile(
    r"^[ \t]*--[ \t]*\+?(goose|migrat\w*:?|migrate)[ \t:]*(up|down)\b", re.IGNORECASE | re.MULTILINE
)


_CONTROL = re.compile(r"(?:^|; )(begin|start|commit|end|rollback|abort)(?= |$)(?! to)")
_NO_TRANSACTION = StepError(
    message="pq: unexpected transaction status idle (the migration ended the transaction that dbmate runs it in; "
    "what it did stays)"
)


@dataclass(frozen=True, slots=True)
class Block:
    """What runs one way: the directive's line is part of it, as dbmate sends it."""

    sql: str
    first_line: int = 1

    @property
    def transaction(self) -> bool:
        return _options(self.sql).get("transaction") != "false"


@dataclass(frozen=True, slots=True)
class File:
    """One migration file. Several pairs of blocks in one file are sections (dbmate 2.28 and later)."""

    path: Path
    version: str
    name: str
    text: str
    sections: tuple[tuple[Block, Block | None], ...]

    @property
    def no_down(self) -> str | None:
        downs = [down for _, down in self.sections if down]
        if not downs:
            return "it has no `-- migrate:down` block"
        return common.no_way_back([down.sql for down in downs])


class DbmateSource(Adjustable):
    """A folder of dbmate migrations."""

    def __init__(self, path: Path, project: Path, settings: SourceSettings | None = None) -> None:
        self.kind = "dbmate"
        self.has_downs = True
        self.path = path
        self.project = project
        self.config = settings or SourceSettings()
        self.table = self.config.options.get("migrations-table", "schema_migrations")
        self.bookkeeping = frozenset({self.table.rpartition(".")[2]})

    @cached_property
    def files(self) -> tuple[File, ...]:
        """In the order of their names, which is dbmate's order (not that of the numbers)."""
        found = common.matching(self.path, _FILE, "dbmate")
        common.refuse_twins(((match[1], path) for path, match in found), "dbmate")
        return tuple(parse(path, common.read(path), match[1], common.words(match[2])) for path, match in found)

    def discover(self) -> tuple[Migration, ...]:
        before = [None, *self.files]
        return tuple(self._migration(file, last) for last, file in zip(before, self.files, strict=False))

    def _migration(self, file: File, last: File | None) -> Migration:
        return Migration(
            id=file.version,
            version=file.version,
            name=file.name or file.version,
            path=relative(file.path, self.project),
            description=common.describe(file.text, file.name),
            parents=(last.version,) if last else (),
            no_down=file.no_down,
        )

    def runner(self, database: Database) -> Runner:
        return DbmateRunner(self, database)

    def says(self, migration: Migration, dialect: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        sections = next(file.sections for file in self.files if file.version == migration.id)
        return tuple(up.sql for up, _ in sections), tuple(down.sql for _, down in sections if down)

    def settings(self, engine: str) -> tuple[str, ...]:
        return common.foreign_keys(engine, "dbmate", self.config.session)


class DbmateRunner:
    """Runs blocks as ``dbmate migrate`` and ``dbmate rollback`` do."""

    def __init__(self, source: DbmateSource, database: Database) -> None:
        self._files = {file.version: file for file in source.files}
        self._session = source.config.session
        self._database = database
        self._table = VersionTable.of(database, source.table, self._session)

    def up(self, migration: Migration) -> Step:
        return self._all([up for up, _ in self._files[migration.id].sections], self._table.insert(migration.version))

    def down(self, migration: Migration) -> Step:
        """Sections are rolled back in the order in which they stand (db.go: Rollback)."""
        downs = [down for _, down in self._files[migration.id].sections if down]
        return self._all(downs, self._table.delete(migration.version)) if downs else Step(executed=False)

    def forget(self, migration: Migration) -> None:
        self._database.execute(self._table.delete(migration.version))

    def close(self) -> None:
        """Every script has its own connection; nothing stays open."""

    def _all(self, blocks: list[Block], record: str) -> Step:
        steps: list[Step] = []
        for block in blocks:
            steps.append(self._one(block, record, () if steps else (self._table.create,)))
            if steps[-1].error:
                break
        return common.joined(steps)

    def _one(self, block: Block, record: str, before: tuple[str, ...]) -> Step:
        if block.transaction:
            step = self._database.run(self._script(block, Transaction.ONE, before, (record,)))
            return step if step.error or not self._commits(block) else replace(step, error=_NO_TRANSACTION)
        step = self._database.run(self._script(block, Transaction.STRING, before, ()))
        if not step.error:
            self._database.execute(record)
        return step

    def _commits(self, block: Block) -> bool:
        """Whether a script ends dbmate's own transaction; its driver for PostgreSQL (lib/pq) complains of that."""
        found = (
            re.findall(_CONTROL, " ; ".join(_first_words(block.sql))) if self._database.engine == "postgresql" else []
        )
        return bool(found) and found[-1] in ("commit", "end", "rollback", "abort")

    def _script(
        self, block: Block, transaction: Transaction, prologue: tuple[str, ...], epilogue: tuple[str, ...]
    ) -> Script:
        return Script(
            text=block.sql,
            transaction=transaction,
            session=self._session,
            prologue=prologue,
            epilogue=epilogue,
            first_line=block.first_line,
        )


@dataclass(frozen=True, slots=True)
class VersionTable:
    """The statements that keep dbmate's version table (pkg/driver/*); versions are digits, so they need no escaping."""

    name: str  # quoted

    @classmethod
    def of(cls, database: Database, name: str, session: Sequence[str] = ()) -> VersionTable:
        """``session`` is for the migrations alone: a search_path in it does not move the table."""
        if database.engine != "postgresql":
            return cls(database.quote(name))
        moved = "." not in name and any("search_path" in s.lower() for s in session)
        return PostgresVersionTable(f"public.{name}" if moved else name)

    @property
    def create(self) -> str:
        return f"create table if not exists {self.name} (version varchar(128) primary key)"

    def insert(self, version: str) -> str:
        return f"insert into {self.name} (version) values ('{version}')"

    def delete(self, version: str) -> str:
        return f"delete from {self.name} where version = '{version}'"


class PostgresVersionTable(VersionTable):
    """On PostgreSQL the table's schema is looked up anew for every statement: it follows a ``SET search_path`` of the
    migration (postgres.go: migrationsTableNameParts). ``name`` is as it was given."""

    __slots__ = ()

    @property
    def create(self) -> str:
        return self._here("create table if not exists %s (version varchar primary key)")

    def insert(self, version: str) -> str:
        return self._here(f"insert into %s (version) values (''{version}'')")

    def delete(self, version: str) -> str:
        return self._here(f"delete from %s where version = ''{version}''")

    def _here(self, statement: str) -> str:
        schema, _, name = self.name.rpartition(".")
        where = common.sql_text(schema) if schema else "coalesce(current_schema(), 'public')"
        table = f"format('%I.%I', {where}, {common.sql_text(name)})"
        return f"do $seatrial$ begin execute format('{statement}', {table}); end $seatrial$"


def parse(path: Path, text: str, version: str, name: str) -> File:
    """Cut a file into its sections as migration.go does. A missing down block (dbmate refuses it) is a missing down."""
    ups = [match.start() for match in _UP.finditer(text)]
    if not ups:
        raise SourceError(f"{path} has no `-- migrate:up` block; dbmate requires one in every migration.{_hint(text)}")
    if not all(_is_comment(line) for line in text[: ups[0]].split("\n")):
        if _DOWN.search(text, 0, ups[0]):
            raise SourceError(f"{path}: `-- migrate:up` has to stand before `-- migrate:down`.")
        raise SourceError(
            f"{path} has statements before its `-- migrate:up` line; dbmate refuses them. Move them below it."
        )
    borders = [*ups, len(text)]
    sections = tuple(_section(path, text, start, end) for start, end in pairwise(borders))
    return File(path, version, name, text, sections)


def _section(path: Path, text: str, start: int, end: int) -> tuple[Block, Block | None]:
    downs = [match.start() for match in _DOWN.finditer(text[start:end])]
    if len(downs) > 1:
        raise SourceError(f"{path} has two `-- migrate:down` blocks after one `-- migrate:up`; dbmate takes one.")
    border = start + downs[0] if downs else end
    up = Block(text[start:border], common.line_of(text, start))
    return up, Block(text[border:end], common.line_of(text, border)) if downs else None


def _is_comment(line: str) -> bool:
    return not line.strip("\t\n\f\r ") or line.lstrip("\t\n\f\r ").startswith("--")


def _options(block: str) -> dict[str, str]:
    """``-- migrate:up transaction:false`` -> {"transaction": "false"}; malformed pairs are passed over."""
    line = re.sub(r"^--[\t\n\f\r ]*migrate:(up|down)", "", block.split("\n", 1)[0])
    pairs = (word.split(":") for word in line.split())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _first_words(sql: str) -> list[str]:
    """The first words of each statement, in lower case."""
    return [" ".join(re.findall(r"\w+", statement.text)[:4]).lower() for statement in split(sql, "postgresql")]


def _hint(text: str) -> str:
    if text.startswith("\ufeff") and _UP.search(text[1:]):
        return " It begins with a byte order mark, which hides that line from dbmate: save it as UTF-8 without one."
    other = _ANY_OTHER.search(text)
    return f" It has `{other.group().strip()}`, which is another tool's or is misspelt." if other else ""


def _detect(place: Path) -> list[Path]:
    """Folders that hold a file with a ``-- migrate:up`` line."""
    return [folder for folder in common.folders(place) if _holds_migrations(folder)]


def _holds_migrations(folder: Path) -> bool:
    files = (path for path in sorted(folder.glob("*.sql")) if _FILE.match(path.name) and path.is_file())
    return any(_UP.search(path.read_bytes().decode("utf-8-sig", "replace")) for path in files)


def _open(project: Path, path: Path, settings: SourceSettings) -> Source:
    return DbmateSource(path, project, settings)


LAYOUT = Layout(
    kind="dbmate",
    looked_for="db/migrations/*.sql (or another folder's) with a `-- migrate:up` line",
    detect=_detect,
    open=_open,
)
