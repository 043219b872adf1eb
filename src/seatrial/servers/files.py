"""SQLite's "server": a scratch folder in which each database is a file, in the ledger until it is removed.

The engine's database class is handed in, since servers and engines do not know one another:
``SqliteServer(database=SqliteDatabase)``.
"""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from seatrial.errors import NotOurs, ServerError
from seatrial.model import Database
from seatrial.servers.ledger import Facts, Run, dead_runs
from seatrial.servers.urls import redact

KIND = "sqlite folder"
MARKER = "made-by-seatrial"
OLDEST = (3, 37, 0)  # 2021-11: PRAGMA table_list, STRICT


def refuse_tables(url: str) -> None:
    """Throwaway files are made elsewhere whatever a URL names. Raises NotOurs where it names a file with content.

    Forms: SQLAlchemy's ``sqlite:///relative`` and ``sqlite:////absolute``, dbmate's ``sqlite:relative``.
    """
    name = url.partition(":")[2].partition("?")[0]
    path = Path(name[3:] if name.startswith("///") else name.removeprefix("//"))
    if not path.is_file() or not path.stat().st_size:
        return
    advice = "nothing was touched. Give --engine sqlite: throwaway files are made in a folder of their own."
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            count = connection.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'table'").fetchone()[0]
    except sqlite3.Error as error:
        raise NotOurs(f"{redact(url)} is a file that Seatrial did not create ({error}); {advice}") from None
    if count:
        tables = f"{count} table{'' if count == 1 else 's'}"
        raise NotOurs(f"{redact(url)} holds {tables} that Seatrial did not create; {advice}")


class SqliteServer:
    """Makes throwaway databases. Implements ``model.Server``.

    ``folder``: where the scratch folder is made (it must exist); by default where the system keeps temporary files.
    ``run``: the ledger entry of a run that is already under way; without one, a run of its own is started.
    """

    engine = "sqlite"
    version = sqlite3.sqlite_version
    left = ()

    def __init__(
        self, folder: Path | None = None, *, database: Callable[[Path], Database], run: Run | None = None
    ) -> None:
        if sqlite3.sqlite_version_info < OLDEST:
            raise ServerError(
                f"this Python's SQLite is {self.version}, which does not describe its tables fully; "
                "use a Python built with SQLite 3.37 or newer"
            )
        clean()
        self._database = database
        self._own_run = run is None
        self._run = run or Run.start()
        self._numbers = itertools.count(1)
        self.folder = self._make(folder)

    def _make(self, parent: Path | None) -> Path:
        """The scratch folder, in the ledger before it is there, with our marker in it."""
        folder = Path(parent or tempfile.gettempdir()).absolute() / f"seatrial-{self._run.id}-sqlite"
        self._run.record(kind=KIND, path=str(folder))
        try:
            folder.mkdir(mode=0o700)
            (folder / MARKER).write_text(self._run.id + "\n", encoding="ascii")
        except OSError as error:
            raise ServerError(
                f"no scratch folder for SQLite: {error}; set TMPDIR to one that can be written"
            ) from error
        return folder

    def create(self) -> Database:
        """A new, empty database in a folder of its own."""
        folder = self.folder / str(next(self._numbers))
        folder.mkdir(mode=0o700)
        return self._database(folder / f"seatrial_{self._run.id}.sqlite3")

    def end(self) -> None:
        """There is no server that could end."""

    def close(self) -> None:
        """Remove the scratch folder with every database in it."""
        if _remove(self.folder, self._run.id):
            self._run.forget(kind=KIND, path=str(self.folder))
        if self._own_run:
            self._run.close()


def clean() -> list[Path]:
    """Remove the scratch folders of runs whose process is gone; which ones."""
    removed = []
    with dead_runs() as runs:
        for run in runs:
            mine: list[Facts] = [e for e in run.entries if e.get("kind") == KIND]
            gone = tuple(e for e in mine if _remove(Path(e["path"]), run.id))
            removed += [Path(e["path"]) for e in gone]
            if gone:
                run.settle(gone)
    return removed


def _remove(folder: Path, run_id: str) -> bool:
    """Remove a scratch folder of that run; whether it is gone. Anything that is not marked as ours stays."""
    if not folder.exists():
        return True
    marker = folder / MARKER
    ours = folder.name == f"seatrial-{run_id}-sqlite" and not folder.is_symlink()
    if not ours or (marker.is_file() and marker.read_text(encoding="ascii").strip() != run_id):
        return False
    if not marker.is_file() and any(folder.iterdir()):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
