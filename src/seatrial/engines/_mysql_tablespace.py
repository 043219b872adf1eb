"""Whole tables copied as InnoDB's own files, where the server is ours (manual, 17.6.1.3)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from seatrial.engines._mysql_link import Link, quote
from seatrial.engines._mysql_proof import File, Prover, State
from seatrial.engines._mysql_written import Standing, Written
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

    @contextmanager
    def still(self, tables: Iterable[str]) -> Iterator[Standing]:
        """The same, for tables whose rows are read in the block."""
        if self.folder is not None:
            states = self.states(tables)
            yield Standing(states, lambda: states)
            return
        with self.written.still(tables) as standing:
            yield standing

    def is_short_of_room(self) -> bool:
        """Whether a copy of all rows may fill the disk; not told of servers of others."""
        if self.folder is None:
            return False
        held = sum(f.stat().st_size for f in (self.folder / self.trial).iterdir())
        return shutil.disk_usage(self.folder).free < 3 * held  # a row's hash and digest may be longer than the row

    def is_large_elsewhere(self, table: str) -> bool:
        """Whether a table of a server of others is large, and known to be untouched without reading it."""
        return self.folder is None and self.written.size(table) >= max(self.large, 1)

    # --- copies -------------------------------------------------------------------------------------------------------

    def copied(self, table: str, twin: str) -> bool:
        """Make ``twin`` in our database a copy of a table, where that is worth while and possible.

        Where it is certain to be taken, the file is only kept: see ``realise``.
        """
        files = self._prover(self.trial).files([table]).get(table) if self.folder is not None else None
        if files is None or sum(f.path.stat().st_size for f in files) < self.large or not self._is_importable(table):
            return False
        try:
            self.link.execute(f"CREATE TABLE {self._in_space(twin)} LIKE {quote(table)}")
        except DatabaseError:
            return False
        if self._kept(files, twin, table) or self._transferred((self.trial, table), (self.space, twin)):
            return True
        self.link.execute(f"DROP TABLE {self._in_space(twin)}")
        return False

    def _kept(self, files: Sequence[File], twin: str, table: str) -> bool:
        """Keep a copy of the file beside the server's folder; the twin has none, and cannot be read by mistake."""
        ours = self._prover(self.space).files([twin]).get(twin, [])
        if len(files) != 1 or len(ours) != 1:
            return False
        prover, form = self._prover(self.trial), self._form(ours[0])
        with prover.quiet(table) as flushed:
            if not flushed or not form or form != self._form(files[0]):
                return False
            self._held(twin).parent.mkdir(exist_ok=True)
            _copy_files(files[0].path, self._held(twin))
        self.link.execute(f"ALTER TABLE {self._in_space(twin)} DISCARD TABLESPACE")
        return True

    def _form(self, file: File) -> tuple[str | None, ...]:
        """How its rows are laid out, instant DDL included: two tables of one form take each other's files."""
        return self._prover(self.space).form(file)

    def realise(self, twin: str) -> None:
        """Let the server read a copy: importing a file costs as much as reading it, and most copies are never read."""
        if not self._is_held(twin):
            return
        assert self.folder is not None, "only a local server's files are held"
        target = self.folder / self.space / f"{twin}.ibd"
        _move_files(self._held(twin), target)
        try:
            self.link.execute(f"ALTER TABLE {self._in_space(twin)} IMPORT TABLESPACE")
        finally:
            target.with_suffix(".cfg").unlink(missing_ok=True)

    def forget(self, twin: str) -> None:
        """Of a copy that is dropped."""
        if self.folder is not None:
            for suffix in _SUFFIXES:
                self._held(twin).with_suffix(suffix).unlink(missing_ok=True)

    def forget_all(self) -> None:
        if self.folder is not None:
            for file in self._held("").parent.glob(f"{self.space}-*"):
                file.unlink(missing_ok=True)

    def _is_held(self, twin: str) -> bool:
        return self.folder is not None and bool(twin) and self._held(twin).is_file()

    def _held(self, twin: str) -> Path:
        assert self.folder is not None, "only on a server of ours"
        return self.folder.parent / "held" / f"{self.space}-{twin}.ibd"

    def brought_back(self, twin: str, table: str) -> bool:
        """Fill a new, empty table from its copy; False where it has to be filled with rows."""
        create = str(self.link.rows(f"SHOW CREATE TABLE {quote(table)}")[0][1])
        if self._transferred((self.space, twin), (self.trial, table)):
            return True
        self.link.execute(f"DROP TABLE {quote(table)}")
        self.link.execute(create)
        self.realise(twin)
        return False

    def _is_importable(self, table: str) -> bool:
        create = str(self.link.rows(f"SHOW CREATE TABLE {quote(table)}")[0][1])
        return not any(mark in create for mark in _NOT_IMPORTABLE)

    def _transferred(self, source: tuple[str, str], target: tuple[str, str]) -> bool:
        """Give the target the source's file; False where this server cannot import it (after instant DDL)."""
        theirs = self._prover(target[0]).files([target[1]]).get(target[1], [])
        held = self._is_held(source[1]) and source[0] == self.space
        ours = [] if held else self._prover(source[0]).files([source[1]]).get(source[1], [])
        if len(theirs) != 1 or not (held or len(ours) == 1):
            return False
        name, place = f"{quote(target[0])}.{quote(target[1])}", theirs[0].path
        self.link.execute(f"ALTER TABLE {name} DISCARD TABLESPACE")
        if held:
            _copy_files(self._held(source[1]), place)
        else:
            with self._prover(source[0]).quiet(source[1]) as flushed:
                if flushed:
                    _copy_files(ours[0].path, place)
        _hand_over(place)
        try:
            self.link.execute(f"ALTER TABLE {name} IMPORT TABLESPACE")
        except DatabaseError:
            return False
        finally:
            place.with_suffix(".cfg").unlink(missing_ok=True)
        return True

    def _prover(self, database: str) -> Prover:
        assert self.folder is not None, "only on a server of ours"
        return self.prover(database, self.folder)

    def _in_space(self, twin: str) -> str:
        return f"{quote(self.space)}.{quote(twin)}"


_SUFFIXES = (".ibd", ".cfg")


def _copy_files(source: Path, target: Path) -> None:
    for suffix in _SUFFIXES:
        shutil.copyfile(source.with_suffix(suffix), target.with_suffix(suffix))


def _move_files(source: Path, target: Path) -> None:
    for suffix in _SUFFIXES:
        source.with_suffix(suffix).replace(target.with_suffix(suffix))
    _hand_over(target)


def _hand_over(target: Path) -> None:
    """Written as root, the files still have to be the server's."""
    owner = target.parent.stat()
    for file in filter(Path.is_file, (target.with_suffix(s) for s in _SUFFIXES)):
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            os.chown(file, owner.st_uid, owner.st_gid)
        file.chmod(0o660)
