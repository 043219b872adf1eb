"""Whole tables copied as InnoDB's own files, where the server is ours (manual, 17.6.1.3)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from seatrial.engines._mysql_link import Link, quote
from seatrial.engines._mysql_proof import File, Prover, State
from seatrial.engines._mysql_written import Written
from seatrial.errors import DatabaseError

LARGE = 4 << 20
"""Bytes from which on copying a file is faster than copying rows."""

_NOT_IMPORTABLE = ("FULLTEXT KEY", "PARTITION BY", "WITH SYSTEM VERSIONING", "ENCRYPTION=", "DATA DIRECTORY=")


@dataclass(frozen=True, slots=True)
class Tablespaces:
    """Copies between the trial's database and the one beside it; without ``folder`` (a server of others) none."""

    link: Link
    trial: str
    space: str
    folder: Path | None
    prover: Callable[[str, Path], Prover]
    written: Written
    large: int = LARGE

    def states(self, tables: Iterable[str]) -> dict[str, State]:
        """What proves that a table is as it was; nothing for tables about which it cannot be told."""
        return self.written.states(tables) if self.folder is None else self._prover(self.trial).states(tables)

    def is_short_of_room(self) -> bool:
        """Whether a copy of all rows may fill the disk; not told of servers of others."""
        if self.folder is None:
            return False
        held = sum(f.stat().st_size for f in (self.folder / self.trial).iterdir())
        return shutil.disk_usage(self.folder).free < 3 * held  # a row's hash and digest may be longer than the row

    def is_large_elsewhere(self, table: str) -> bool:
        """Whether a table of a server of others is large, and known to be untouched without reading it."""
        return self.folder is None and self.written.size(table) >= max(self.large, 1)

    def copied(self, table: str, twin: str) -> bool:
        """Make ``twin`` in our database a copy of a table, where that is worth while and possible."""
        files = self._prover(self.trial).files([table]).get(table) if self.folder is not None else None
        if files is None or sum(f.path.stat().st_size for f in files) < self.large or not self._is_importable(table):
            return False
        try:
            self.link.execute(f"CREATE TABLE {self._in_space(twin)} LIKE {quote(table)}")
        except DatabaseError:
            return False
        if self._transferred((self.trial, table), (self.space, twin)):
            return True
        self.link.execute(f"DROP TABLE {self._in_space(twin)}")
        return False

    def brought_back(self, twin: str, table: str) -> bool:
        """Fill a new, empty table from its copy; False where it has to be filled with rows."""
        create = str(self.link.rows(f"SHOW CREATE TABLE {quote(table)}")[0][1])
        if self._transferred((self.space, twin), (self.trial, table)):
            return True
        self.link.execute(f"DROP TABLE {quote(table)}")
        self.link.execute(create)
        return False

    def _is_importable(self, table: str) -> bool:
        create = str(self.link.rows(f"SHOW CREATE TABLE {quote(table)}")[0][1])
        return not any(mark in create for mark in _NOT_IMPORTABLE)

    def _transferred(self, source: tuple[str, str], target: tuple[str, str]) -> bool:
        """Give the target the source's file; False where this server cannot import it (after instant DDL)."""
        ours, theirs = (self._prover(db).files([t]).get(t, []) for db, t in (source, target))
        if len(ours) != 1 or len(theirs) != 1:
            return False
        name = f"{quote(target[0])}.{quote(target[1])}"
        self.link.execute(f"ALTER TABLE {name} DISCARD TABLESPACE")
        with self._prover(source[0]).quiet(source[1]) as flushed:
            if flushed:
                _copy_files(ours[0], theirs[0])
        try:
            self.link.execute(f"ALTER TABLE {name} IMPORT TABLESPACE")
        except DatabaseError:
            return False
        finally:
            theirs[0].path.with_suffix(".cfg").unlink(missing_ok=True)
        return True

    def _prover(self, database: str) -> Prover:
        assert self.folder is not None, "only on a server of ours"
        return self.prover(database, self.folder)

    def _in_space(self, twin: str) -> str:
        return f"{quote(self.space)}.{quote(twin)}"


def _copy_files(source: File, target: File) -> None:
    """Copied as root, the files still have to be the server's."""
    owner = target.path.parent.stat()
    for suffix in (".ibd", ".cfg"):
        to = target.path.with_suffix(suffix)
        shutil.copyfile(source.path.with_suffix(suffix), to)
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            os.chown(to, owner.st_uid, owner.st_gid)
        to.chmod(0o660)
