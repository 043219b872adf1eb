"""What the tests of the sources share: projects on disk, and as much of a Database as running a source takes."""

import sqlite3
import textwrap
from pathlib import Path

from seatrial.model import Script, Step, StepError, Transaction


def write(folder: Path, files: dict[str, str]) -> Path:
    """Lay out a project."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(textwrap.dedent(text).encode())
    return folder


class Sqlite:
    """A SQLite file; notes the scripts that it is given."""

    engine = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        self.scripts: list[Script] = []
        path.touch()

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None)

    def execute(self, *statements: str) -> None:
        connection = self.connect()
        for statement in statements:
            connection.execute(statement)
        connection.close()

    def query(self, sql: str) -> list[tuple]:
        connection = self.connect()
        rows = connection.execute(sql).fetchall()
        connection.close()
        return rows

    def run(self, script: Script) -> Step:
        self.scripts.append(script)
        connection = self.connect()
        for statement in script.session:
            connection.execute(statement)
        one = script.transaction is Transaction.ONE
        try:
            connection.executescript(("BEGIN;" if one else "") + script.text)
            for statement in script.epilogue:
                connection.execute(statement)
            if one:
                connection.execute("COMMIT")
            return Step(in_transaction=one)
        except sqlite3.Error as error:
            return Step(in_transaction=one, error=StepError(message=str(error)))
        finally:
            connection.close()

    def tables(self) -> set[str]:
        return {name for (name,) in self.query("select name from sqlite_master where type = 'table'")}


class Postgresql:
    """A database on a local server; what ``PostgresqlServer`` opens."""

    engine = "postgresql"

    def __init__(self, site, name: str) -> None:
        self.site, self.name, self.url = site, name, site.url(name)

    def query(self, sql: str) -> list[tuple]:
        with self.site.connect(self.name) as connection:
            return [tuple(None if v is None else str(v) for v in row) for row in connection.execute(sql).fetchall()]

    def execute(self, *statements: str) -> None:
        with self.site.connect(self.name) as connection:
            for statement in statements:
                connection.execute(statement)

    def tables(self) -> set[str]:
        return {name for (name,) in self.query("select tablename from pg_tables where schemaname = 'public'")}

    def close(self) -> None:
        """Dropped with its server."""
