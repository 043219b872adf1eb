"""What the tests of the sources share: projects on disk, and databases that note what they are given."""

import sqlite3
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from seatrial.engines.sqlite import SqliteDatabase
from seatrial.model import Database, Script, Step


def write(folder: Path, files: dict[str, str]) -> Path:
    """Lay out a project."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(textwrap.dedent(text).encode())
    return folder


@dataclass
class Sqlite(SqliteDatabase):
    """A throwaway SQLite file that remembers the scripts it was given."""

    scripts: list[Script] = field(default_factory=list)

    def run(self, script: Script) -> Step:
        self.scripts.append(script)
        return super().run(script)


def tables(database: Database) -> set[str]:
    return {str(table) for table in database.inspect().tables()}


def held(path: Path) -> list:
    """All that a SQLite file holds, for comparing two of them."""
    connection = sqlite3.connect(path)
    rows = connection.execute("select type, name, tbl_name, sql from sqlite_master order by 1, 2").fetchall()
    rows = [(*names, "" if names[2] == "schema_migrations" else sql) for *names, sql in rows]
    for table in [name for kind, name, _, _ in rows if kind == "table"]:
        rows += [(table, *connection.execute(f'select * from "{table}"').fetchall())]
    connection.close()
    return rows
