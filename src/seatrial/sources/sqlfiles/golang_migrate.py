"""golang-migrate: ``{version}_{title}.up.sql`` and ``{version}_{title}.down.sql``.

Facts from github.com/golang-migrate/migrate at 18966c755f83 (2026-07-05, v4.19.1): source/parse.go and
source/migration.go (names, order, duplicates), source/iofs/iofs.go (what is passed over), migrate.go
(runMigrations, newMigration) and database/{postgres,sqlite3,mysql}/*.go (the version table, transactions).
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from seatrial.errors import SourceError
from seatrial.model import Database, Migration, Runner, Script, Source, Step, Transaction
from seatrial.sources.settings import Adjustable, Layout, SourceSettings, relative
from seatrial.sources.sqlfiles import _common as common
from seatrial.sql import has_transaction_control
from seatrial.values import dataclass

_FILE = re.compile(r"^([0-9]+)_(.*)\.(down|up)\.(.*)$")  # source/parse.go: Regex
_MAX_VERSION = 2**64 - 1  # source/parse.go: ParseUint(..., 64); a larger one is passed over in silence
_NIL_VERSION = -1  # database/driver.go: NilVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """How golang-migrate's driver for one engine behaves."""

    create: tuple[str, ...]
    clear: str
    transaction: Transaction


_POSTGRESQL = Tool(  # postgres.go: the file is one Exec without arguments, a simple query
    create=("create table if not exists {table} (version bigint not null primary key, dirty boolean not null)",),
    clear="truncate {table}",
    transaction=Transaction.STRING,
)
_SQLITE = Tool(  # sqlite3.go: executeQuery wraps the file in a transaction; the table's name is not quoted there
    create=(
        "create table if not exists {table} (version uint64,dirty bool)",
        "create unique index if not exists version_unique on {table} (version)",
    ),
    clear="delete from {table}",
    transaction=Transaction.ONE,
)
_MYSQL = Tool(  # mysql.go: multiStatements, no transaction
    create=("create table if not exists {table} (version bigint not null primary key, dirty boolean not null)",),
    clear="delete from {table} limit 1",
    transaction=Transaction.STRING,
)
_TOOLS = {"postgresql": _POSTGRESQL, "sqlite": _SQLITE, "mysql": _MYSQL, "mariadb": _MYSQL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The files of one version; either may be missing (migrate.go: newMigration then runs nothing)."""

    number: int
    id: str
    name: str
    up: Path | None = None
    down: Path | None = None


class GolangMigrateSource(Adjustable):
    """A folder of golang-migrate's migrations."""

    def __init__(self, path: Path, project: Path, settings: SourceSettings | None = None) -> None:
        self.kind = "golang-migrate"
        self.has_downs = True
        self.path = path
        self.project = project
        self.config = settings or SourceSettings()
        self.table = self.config.options.get("x-migrations-table", "schema_migrations")
        self.bookkeeping = frozenset({self.table})

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """In the order of their numbers (source/migration.go: buildIndex); 007 and 7 are one version."""
        found = [(_number(path, match[1]), path, match) for path, match in self._matching()]
        for way in ("up", "down"):
            common.refuse_twins(((n, path) for n, path, match in found if match[3] == way), "golang-migrate")
        numbers = sorted({number for number, _, _ in found})
        return tuple(_pair(n, {match[3]: (path, match) for k, path, match in found if k == n}) for n in numbers)

    def _matching(self) -> list[tuple[Path, re.Match[str]]]:
        return common.matching(self.path, _FILE, "golang-migrate")

    def discover(self) -> tuple[Migration, ...]:
        before = [None, *self.pairs]
        return tuple(self._migration(pair, last) for last, pair in zip(before, self.pairs, strict=False))

    def _migration(self, pair: Pair, last: Pair | None) -> Migration:
        up = common.read(pair.up) if pair.up else ""
        return Migration(
            id=pair.id,
            version=pair.id,
            name=pair.name or pair.id,
            path=relative(pair.up or pair.down or self.path, self.project),
            description=common.describe(up, pair.name),
            parents=(last.id,) if last else (),
            no_down=_no_down(pair),
        )

    def runner(self, database: Database) -> Runner:
        return GolangMigrateRunner(self, database)

    def says(self, migration: Migration, dialect: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        pair = next(pair for pair in self.pairs if pair.id == migration.id)
        up, down = (common.read(path) if path else "" for path in (pair.up, pair.down))
        return (up,), (down,)

    def settings(self, engine: str) -> tuple[str, ...]:
        loose = ("scripts run without golang-migrate's own transaction (x-no-tx-wrap): the first one opens its own",)
        told = loose if engine == "sqlite" and self.opens_its_own and not self.config.flag("x-no-tx-wrap") else ()
        return (*told, *common.foreign_keys(engine, "golang-migrate", self.config.session))

    @cached_property
    def opens_its_own(self) -> bool:
        """Whether the first up begins a transaction, which SQLite refuses inside another: such a project cannot but
        run with x-no-tx-wrap (sqlite3.go), else no database of it could exist."""
        first = next((pair.up for pair in self.pairs if pair.up), None)
        return first is not None and has_transaction_control(common.read(first), "sqlite")


class GolangMigrateRunner:
    """Runs files as ``migrate up 1`` and ``migrate down 1`` do: dirty before, clean after, dirty where it failed."""

    def __init__(self, source: GolangMigrateSource, database: Database) -> None:
        self._pairs = {pair.id: pair for pair in source.pairs}
        before = (_NIL_VERSION, *(pair.number for pair in source.pairs))
        self._before = {pair.id: last for last, pair in zip(before, source.pairs, strict=False)}
        self._session = source.config.session
        self._database = database
        self._tool = _TOOLS[database.engine]
        self._table = database.quote(source.table)
        self._transaction = _transaction(database.engine, source)

    def up(self, migration: Migration) -> Step:
        """Without a file the version moves all the same, and nothing else (migrate.go: newMigration, runMigrations)."""
        pair = self._pairs[migration.id]
        return replace(self._run(pair.up, target=pair.number), executed=True)

    def down(self, migration: Migration) -> Step:
        return self._run(self._pairs[migration.id].down, target=self._before[migration.id])

    def forget(self, migration: Migration) -> None:
        """As ``migrate force`` to the version before, without which the tool would not go on."""
        self._database.execute(*self._setting(self._before[migration.id], dirty=False))

    def close(self) -> None:
        """Every script has its own connection; nothing stays open."""

    def _run(self, path: Path | None, target: int) -> Step:
        create = (statement.format(table=self._table) for statement in self._tool.create)
        self._database.execute(*create, *self._setting(target, dirty=True))
        step = self._script(path)
        if not step.error:
            self._database.execute(*self._setting(target, dirty=False))
        return step

    def _script(self, path: Path | None) -> Step:
        text = common.read(path) if path else ""
        if not text.strip():
            return Step(executed=path is not None)
        return self._database.run(Script(text=text, transaction=self._transaction, session=self._session))

    def _setting(self, version: int, *, dirty: bool) -> list[str]:
        """The nil version is written only while it is dirty (SetVersion in every driver)."""
        statements = [self._tool.clear.format(table=self._table)]
        if version >= 0 or dirty:
            statements.append(f"insert into {self._table} (version, dirty) values ({version}, {str(dirty).lower()})")
        return statements


def _transaction(engine: str, source: GolangMigrateSource) -> Transaction:
    if engine == "postgresql" and source.config.flag("x-multi-statement"):
        return Transaction.STATEMENTS
    if engine == "sqlite" and (source.config.flag("x-no-tx-wrap") or source.opens_its_own):
        return Transaction.STRING
    return _TOOLS[engine].transaction


def _number(path: Path, digits: str) -> int:
    number = int(digits)
    if number > _MAX_VERSION:
        raise SourceError(f"{path}: its version does not fit in 64 bits, and golang-migrate passes over such a file.")
    return number


def _pair(number: int, files: dict[str, tuple[Path, re.Match[str]]]) -> Pair:
    _, match = files.get("up") or files["down"]
    paths = {way: path for way, (path, _) in files.items()}
    return Pair(number=number, id=match[1], name=common.words(match[2]), up=paths.get("up"), down=paths.get("down"))


def _no_down(pair: Pair) -> str | None:
    if pair.down is None:
        return "it has no down file"
    return common.no_way_back([common.read(pair.down)])


def _detect(place: Path) -> list[Path]:
    """Folders that hold ``N_name.up.sql``."""
    return [folder for folder in common.folders(place) if any(_is_up(path) for path in folder.glob("*.up.sql"))]


def _is_up(path: Path) -> bool:
    match = _FILE.match(path.name)
    return match is not None and match[3] == "up" and path.is_file()


def _open(project: Path, path: Path, settings: SourceSettings) -> Source:
    return GolangMigrateSource(path, project, settings)


LAYOUT = Layout(
    kind="golang-migrate",
    looked_for="a folder with files like 1_name.up.sql",
    detect=_detect,
    open=_open,
)
