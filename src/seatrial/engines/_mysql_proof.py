"""Proof that a table of a local server was not touched, without reading its rows.

Every change of an InnoDB page gets a higher log sequence number. With the table flushed and quiet (``FLUSH TABLES ...
FOR EXPORT``) the highest number over the pages of its file, together with InnoDB's id of the table, is therefore the
same only if no page was written. A rebuild gives a new id; what instant DDL changes stands in the file as well (MySQL's
SDI pages, MariaDB's metadata record).
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from seatrial.engines._mysql_dialect import Dialect
from seatrial.engines._mysql_link import Link, literal, quote
from seatrial.errors import DatabaseError

_LSN = slice(16, 24)  # FIL_PAGE_LSN in a page's header
_TYPE = slice(24, 26)  # FIL_PAGE_TYPE
_FIRST_ROOT = 3  # of a table's first index, as MariaDB numbers pages; its type tells of instant DDL
_PLAIN = re.compile(r"[A-Za-z0-9_]+")
PARTS = re.compile(r"#p#", re.IGNORECASE)

State = tuple[tuple[str | int, ...], ...]
"""Per file of the table: InnoDB's id, the file's name, its pages, their highest LSN; or what ``Written`` tells."""


@dataclass(frozen=True, slots=True)
class File:
    """One tablespace of a table (a partitioned one has several)."""

    table_id: str
    path: Path
    page: int

    def state(self) -> tuple[str | int, ...]:
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
            count = len(pages) // self.page
            highest = max(pages[at + _LSN.start : at + _LSN.stop] for at in range(0, count * self.page, self.page))
            return self.table_id, self.path.name, count, int.from_bytes(highest, "big")

    def root_type(self) -> str:
        with self.path.open("rb") as file:
            file.seek(_FIRST_ROOT * self.page + _TYPE.start)
            return file.read(_TYPE.stop - _TYPE.start).hex()


@dataclass(frozen=True, slots=True)
class Prover:
    """Reads the files of one database of a local server."""

    link: Link
    database: str
    data_folder: Path
    dialect: Dialect

    def states(self, tables: Iterable[str]) -> dict[str, State]:
        """What proves each table unchanged; tables that InnoDB does not keep in files of their own are left out."""
        files = self.files(tables)
        with self.quiet(*files) as flushed:
            if flushed:
                return {table: tuple(f.state() for f in its) for table, its in files.items()}
        return self._one_by_one(files)

    def _one_by_one(self, files: Mapping[str, Sequence[File]]) -> dict[str, State]:
        """Without those that cannot be flushed."""
        found: dict[str, State] = {}
        for table, its in files.items():
            with self.quiet(table) as flushed:
                if flushed:
                    found[table] = tuple(f.state() for f in its)
        return found

    @contextmanager
    def quiet(self, *tables: str) -> Iterator[bool]:
        """While the block runs, the tables' files hold all that was written, and nothing writes to them."""
        if not tables:
            yield True
            return
        try:
            self.link.execute(
                f"FLUSH TABLES {', '.join(f'{quote(self.database)}.{quote(t)}' for t in tables)} FOR EXPORT"
            )
        except DatabaseError:  # an engine without it
            yield False
            return
        try:
            yield True
        finally:
            self.link.execute("UNLOCK TABLES")

    def form(self, file: File) -> tuple[str | None, ...]:
        """How rows are laid out in a file, what older layouts left by instant DDL included; empty where unknown."""
        try:
            rows = self.link.rows(self.dialect.innodb_form.format(table_id=int(file.table_id)))
        except DatabaseError:  # MySQL before 8.0.29 does not tell
            return ()
        return (*rows[0], file.root_type()) if rows else ()

    def files(self, tables: Iterable[str]) -> dict[str, list[File]]:
        """The files of each table, complete or not at all."""
        known = self._known()
        found = {
            t: sorted(known[s], key=lambda f: f.path.name)
            for t in tables
            if (s := stem(self.link, self.dialect, t)) in known
        }
        return {t: its for t, its in found.items() if all(f.path.is_file() and f.path.stat().st_size for f in its)}

    def _known(self) -> dict[str, list[File]]:
        """Stem of the file name (as the server encodes it) -> files."""
        rows = self.link.rows(self.dialect.innodb_files.format(pattern=literal(f"{self.database}/%")))
        found: dict[str, list[File]] = {}
        for table_id, name, page in rows:
            file_name = str(name).partition("/")[2]
            path = self.data_folder / self.database / f"{file_name}.ibd"
            found.setdefault(PARTS.split(file_name)[0], []).append(File(str(table_id), path, int(page or 16384)))
        return found


def stem(link: Link, dialect: Dialect, table: str) -> str | None:
    """The name of a table's file, without its ending; None where it cannot be told."""
    if _PLAIN.fullmatch(table):
        return table
    if not dialect.encodes_names:
        return None
    encoded = link.value(f"SELECT CAST(CONVERT({literal(table)} USING filename) AS BINARY)") or ""
    return bytes.fromhex(encoded[2:]).decode() if encoded.startswith("\\x") else encoded
