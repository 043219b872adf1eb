"""Rows of whole tables brought back: from their copies anywhere, by InnoDB's own files where the server is ours and the table large."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from seatrial.engines._mysql_link import Link, quote
from seatrial.engines._mysql_proof import Prover, State
from seatrial.engines._mysql_rows import Copy
from seatrial.errors import DatabaseError

LARGE = 4 << 20
"""Bytes from which on importing a file is faster than inserting its rows."""

_NOT_IMPORTABLE = ("FULLTEXT KEY", "\n/*!50100 PARTITION BY", "\n PARTITION BY", "ENCRYPTION=", "DATA DIRECTORY=")


class Mover(Protocol):
    """Puts rows into tables that were made again, and says which tables need not be made again."""

    def states(self, tables: Iterable[str]) -> dict[str, State]:
        """What proves that a table is as it was; nothing for tables about which it cannot be told."""

    def keep(self, tables: Mapping[str, str], states: Mapping[str, State]) -> Mapping[str, Path]:
        """Put files of large tables (name -> CREATE TABLE) aside; returns where they are."""

    def bring(self, table: str, copy: Copy, files: Path | None) -> None:
        """Fill a new, empty table of the same definition."""

    def forget(self, folders: Iterable[Path]) -> None: ...


@dataclass(frozen=True, slots=True)
class Rows:
    """By SQL alone."""

    link: Link

    def states(self, tables: Iterable[str]) -> dict[str, State]:
        return {}

    def keep(self, tables: Mapping[str, str], states: Mapping[str, State]) -> Mapping[str, Path]:
        return {}

    def bring(self, table: str, copy: Copy, files: Path | None) -> None:
        columns = [c.name for c in copy.columns if not c.generated]
        if columns:
            names, values = ", ".join(quote(c) for c in columns), ", ".join(copy.at(c, "r") for c in columns)
            self.link.execute(f"INSERT INTO {quote(table)} ({names}) SELECT {values} FROM {copy.name} r")

    def forget(self, folders: Iterable[Path]) -> None:
        """Nothing is kept."""


@dataclass(slots=True)
class Files:
    """By copies of the tables' files (manual, 17.6.1.3), where there are such; the same state is kept once."""

    link: Link
    prover: Prover
    folder: Path
    _users: dict[Path, int] = field(default_factory=dict)
    _kept: dict[State, Path] = field(default_factory=dict)

    def states(self, tables: Iterable[str]) -> dict[str, State]:
        return self.prover.states(tables)

    def keep(self, tables: Mapping[str, str], states: Mapping[str, State]) -> Mapping[str, Path]:
        found: dict[str, Path] = {}
        for table, files in self.prover.files(tables).items():
            size = sum(f.path.stat().st_size for f in files)
            if size < LARGE or any(mark in tables[table] for mark in _NOT_IMPORTABLE) or table not in states:
                continue
            if states[table] not in self._kept:
                self._kept[states[table]] = self._copied(table, [f.path for f in files])
            found[table] = self._kept[states[table]]
            self._users[found[table]] = self._users.get(found[table], 0) + 1
        return found

    def _copied(self, table: str, files: Iterable[Path]) -> Path:
        place = self.folder / str(len(self._users) + len(self._kept) + 1)
        while place.exists():
            place = place.with_name(f"{place.name}_")
        place.mkdir(parents=True)
        with self.prover.quiet(table) as flushed:
            assert flushed, f"{table} has a state, so it can be flushed"
            for file in files:
                for part in (file, file.with_suffix(".cfg")):
                    shutil.copyfile(part, place / part.name)
        return place

    def bring(self, table: str, copy: Copy, files: Path | None) -> None:
        if files is None or not self._imported(table, files):
            Rows(self.link).bring(table, copy, None)

    def _imported(self, table: str, files: Path) -> bool:
        """Whether the server took the files; a table that has none (after a failed import) takes rows once it is made anew."""
        targets = self.prover.files([table]).get(table, [])
        if [t.path.name for t in targets] != sorted(p.name for p in files.glob("*.ibd")):
            return False
        create = str(self.link.rows(f"SHOW CREATE TABLE {quote(table)}")[0][1])
        self.link.execute(f"ALTER TABLE {quote(table)} DISCARD TABLESPACE")
        for target in targets:
            owner = target.path.parent.stat()
            for part in (target.path, target.path.with_suffix(".cfg")):
                shutil.copyfile(files / part.name, part)
                os.chown(part, owner.st_uid, owner.st_gid)
                part.chmod(0o660)
        try:
            self.link.execute(f"ALTER TABLE {quote(table)} IMPORT TABLESPACE")
        except DatabaseError:  # forms of rows that this server cannot import (instant columns on some releases)
            self.link.execute(f"DROP TABLE {quote(table)}")
            self.link.execute(create)
            return False
        finally:
            for target in targets:
                target.path.with_suffix(".cfg").unlink(missing_ok=True)
        return True

    def forget(self, folders: Iterable[Path]) -> None:
        for folder in folders:
            self._users[folder] -= 1
            if not self._users[folder]:
                del self._users[folder]
                self._kept = {s: p for s, p in self._kept.items() if p != folder}
                shutil.rmtree(folder, ignore_errors=True)
