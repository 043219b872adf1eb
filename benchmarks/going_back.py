"""What it costs to bring a database back: by its checkpoint, by making the tables anew, and by MySQL's CLONE."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.common import Cost
from benchmarks.tables import DIALECTS
from seatrial.app import open_server
from seatrial.errors import DatabaseError, ServerError
from seatrial.model import Database, TableRef
from seatrial.servers import _mysql_local, ledger, process

SMALL, TABLES = 1000, 50
HALF = 2  # of the big table's rows: some 230 MB on MySQL
_COLUMNS = ("id", "ref", "amount", "name", "note")
_CREATE = "CREATE TABLE {} (id BIGINT PRIMARY KEY, ref INTEGER, amount INTEGER, name VARCHAR(60), note TEXT)"


def big(database: Database, rows: int) -> list[str]:
    dialect = DIALECTS[database.engine]
    database.execute(dialect.create)
    for statement in dialect.fill:
        database.execute(statement.format(rows=rows // HALF))
    return ["measured"]


def many(database: Database, _: int) -> list[str]:
    names = [f"t{number:02}" for number in range(1, TABLES + 1)]
    database.execute(*(_CREATE.format(name) for name in names))
    rows = [(n, n % 100, n * 7919 % 100003, f"name {n}", f"{n * 104729:032x}") for n in range(SMALL)]
    with database.filling():
        for name in names:
            database.fill(TableRef("", name), _COLUMNS, rows)
    if database.engine in ("mysql", "mariadb"):
        database.execute(*(f"ANALYZE TABLE {name}" for name in names))  # for the size that is shown
    return names


class Measured:
    """One database with a checkpoint, which is spoilt and brought back."""

    def __init__(self, database: Database, tables: Sequence[str]) -> None:
        self.database, self.tables = database, tables
        self.checkpoint = database.checkpoint()
        self.bytes = database.take("size").size_bytes
        database.release("size")

    def acts(self) -> dict[str, Callable[[], Cost]]:
        one, all_of = self.tables[:1], self.tables
        acts = {"restore": lambda: self._restored(all_of), "reset": self.reset, "INSERT ... SELECT": self.made_anew}
        return acts if one == all_of else {"restore, one table touched": lambda: self._restored(one), **acts}

    def _restored(self, spoilt: Sequence[str]) -> Cost:
        self._spoil(spoilt)
        return common.cost(lambda: self.database.restore(self.checkpoint))

    def _spoil(self, tables: Sequence[str]) -> None:
        self.database.execute(*(f"DELETE FROM {name} WHERE id < 10" for name in tables))

    def reset(self) -> Cost:
        self._spoil(self.tables)
        return common.cost(self._reset)

    def _reset(self) -> None:
        if why := self.database.reset(self.checkpoint):
            raise SystemExit(why)

    def made_anew(self) -> Cost:
        """Tables of the same definition and rows, made beside those that stand."""
        pairs = [(name, f"{name}_again") for name in self.tables]
        cost = common.cost(lambda: [self._made(name, copy) for name, copy in pairs])
        self.database.execute(*(f"DROP TABLE {copy}" for _, copy in pairs))
        return cost

    def _made(self, name: str, copy: str) -> None:
        like = {"postgresql": f"CREATE TABLE {copy} (LIKE {name} INCLUDING ALL)", "sqlite": self._sqlite(name, copy)}
        create = like.get(self.database.engine, f"CREATE TABLE {copy} LIKE {name}")
        self.database.execute(create, f"INSERT INTO {copy} SELECT * FROM {name}")

    def _sqlite(self, name: str, copy: str) -> str:
        if self.database.engine != "sqlite":
            return ""
        found = self.database.query(f"SELECT sql FROM sqlite_schema WHERE name = '{name}'")
        return str(found[0][0]).replace(name, copy, 1)


def clone(server: Any) -> dict[str, Callable[[], Cost]]:
    """MySQL's CLONE LOCAL of the whole server into a data folder, and the start of a server on that."""
    if server.engine != "mysql":
        return {}
    try:
        server.maintain("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
    except ServerError as error:
        print(f"no CLONE here: {error}\n")
        return {}
    place = Path(server.data_folder).parent / "cloned"

    def cloned() -> Cost:
        shutil.rmtree(place, ignore_errors=True)
        return common.cost(lambda: server.maintain(f"CLONE LOCAL DATA DIRECTORY = '{place}'"))

    def started() -> Cost:
        run = ledger.Run.start()
        folder = Path(tempfile.mkdtemp(prefix="seatrial-bench-"))
        folder.chmod(0o755)
        try:
            return _start(server, run, place, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            run.close()

    return {"CLONE LOCAL": cloned, "start of a server on the clone": started}


def _start(server: Any, run: ledger.Run, place: Path, folder: Path) -> Cost:
    found = _mysql_local.find_programs("mysql")
    kind = _mysql_local.KINDS["mysql"]
    shutil.move(place, folder / "data")
    options = [*_mysql_local._places(folder), *_mysql_local._COMMON, *_mysql_local._SETTINGS["mysql"]]
    shutil.chown(folder, *_owner(folder / "data"))
    running: list[process.Running] = []

    def ready(log: bytes) -> bool:
        return _mysql_local.socket(folder).exists() and b"ready for connections" in log

    cost = common.cost(lambda: running.append(process.start(kind, found.daemon, found.call(*options), folder, ready)))
    running[0].stop()
    return cost


def _owner(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid


def main(engines: tuple[str, ...] = tuple(DIALECTS), rows: int = 1_000_000, repeat: int = 3, **_: object) -> None:
    print(f"\n## Going back: one table of {rows // HALF:,} rows; {TABLES} tables of {SMALL:,} rows\n")
    lines: list[tuple[object, ...]] = []
    for engine in engines:
        try:
            server: Any = open_server(engine, None)
        except ServerError as error:
            print(f"no {engine} here: {error}\n")
            continue
        try:
            for what, fill in (("one large table", big), (f"{TABLES} small tables", many)):
                lines += _lines(server, what, fill, rows, repeat)
        finally:
            server.close()
    print(common.table(["engine", "database", "how", "time (CPU)", "against restore (CPU)"], lines))


def _lines(
    server: Any, what: str, fill: Callable[[Database, int], list[str]], rows: int, repeat: int
) -> list[tuple[object, ...]]:
    database = server.create()
    try:
        tables: list[str] = []
        made = common.cost(lambda: tables.extend(fill(database, rows)))
        measured, beside = Measured(database, tables), clone(server) if fill is big else {}
        taken = {"filled the first time": made, **common.interleaved(repeat, {**measured.acts(), **beside})}
    except DatabaseError as error:
        raise SystemExit(f"{server.engine}: {error}") from error
    finally:
        database.close()
    size = f"{what}, {measured.bytes / 2**20:.0f} MB"
    name = f"{server.engine} {server.version}"
    return [(name, size, how, cost, cost.against(taken["restore"])) for how, cost in taken.items()]
