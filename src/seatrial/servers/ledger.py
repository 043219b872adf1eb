"""What runs have made and must not leave behind: a folder a run in the user's state folder.

A run writes down a thing (a database, a folder with a server in it) *before* it makes it, and strikes it off after it
removed it. It holds a lock on its folder that the operating system takes back when the process ends, however it ends:
what stands in the ledger of a run whose lock is free is left over and may be removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import IO

import platformdirs

from seatrial.errors import ServerError
from seatrial.values import dataclass

Facts = Mapping[str, str]
"""One thing in the ledger: ``kind`` ("database", "folder" ...) and what finds it again; never a password."""


def state_folder() -> Path:
    """Where ledgers are kept; ``XDG_STATE_HOME`` moves it."""
    try:
        return Path(platformdirs.user_state_dir("seatrial", appauthor=False)) / "runs"
    except RuntimeError:  # neither HOME nor an entry among the system's users
        raise ServerError(
            "There is no place for a ledger: this user has no home folder. Set XDG_STATE_HOME to a folder of yours."
        ) from None


@dataclass
class Run:
    """This process's entry in the ledger: an id, and the lock that says that it is alive."""

    id: str
    folder: Path
    _lock: IO[str]
    _entries: list[Facts] = field(default_factory=list)

    @classmethod
    def start(cls) -> Run:
        """A new run with a lock of its own. The id is short, lower case, and fits into a database name.

        Raises ServerError where there is no place for a ledger: without one nothing could be cleaned up.
        """
        try:
            while True:
                folder = state_folder() / secrets.token_hex(5)
                folder.mkdir(parents=True, mode=0o700)
                lock = _lock(folder)
                if lock is not None:  # else somebody who cleans took it for a dead run's
                    return cls(folder.name, folder, lock)
        except OSError as error:
            raise ServerError(
                f"No ledger can be kept in {state_folder()}: {error.strerror}. "
                "Set XDG_STATE_HOME to a folder that you may write."
            ) from None

    def record(self, **facts: str) -> None:
        """Write down a thing before it is made; on disk when this returns."""
        self._entries.append(facts)
        with self._ledger() as file:
            _write(file, "made", facts)
            os.fsync(file.fileno())

    def forget(self, **facts: str) -> None:
        """Strike off a thing that is gone. Waits for no disk: who cleans finds that it is not there."""
        if facts in self._entries:
            self._entries.remove(facts)
            with self._ledger() as file:
                _write(file, "gone", facts)

    @property
    def entries(self) -> tuple[Facts, ...]:
        """What was made and is not gone."""
        return tuple(self._entries)

    def close(self) -> None:
        """End the run. A ledger that still names something stays for the next run to clean."""
        if not self._entries:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def _ledger(self) -> IO[str]:
        return (self.folder / "ledger").open("a", encoding="utf-8")


def _write(file: IO[str], what: str, facts: Facts) -> None:
    file.write(json.dumps({"what": what, **facts}, sort_keys=True) + "\n")
    file.flush()


@dataclass(frozen=True, slots=True)
class DeadRun:
    """A run whose process is gone, and what it left."""

    id: str
    folder: Path
    entries: tuple[Facts, ...]

    def settle(self, gone: tuple[Facts, ...]) -> None:
        """Strike off what was removed; a ledger without entries goes too."""
        left = [e for e in self.entries if e not in gone]
        if not left:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        lines = [json.dumps({"what": "made", **e}, sort_keys=True) + "\n" for e in left]
        (self.folder / "ledger").write_text("".join(lines), encoding="utf-8")


@contextlib.contextmanager
def dead_runs() -> Iterator[list[DeadRun]]:
    """Every run whose process is gone; locked while the block runs, so that two cleaners do not meet."""
    with contextlib.ExitStack() as stack:
        claimed = [dead for folder in _folders() if (dead := _claim(folder, stack)) is not None]
        for dead in claimed:
            if not dead.entries:
                dead.settle(())
        yield [dead for dead in claimed if dead.entries]


def is_live(run_id: str) -> bool:
    """Whether a process of this machine and user holds that run's lock."""
    folder = state_folder() / run_id
    if not re.fullmatch(r"[0-9a-f]+", run_id) or not folder.is_dir():
        return False
    lock = _lock(folder)
    if lock is None:
        return True
    lock.close()
    return False


def _folders() -> list[Path]:
    there = state_folder()
    return sorted(there.iterdir()) if os.access(there, os.R_OK | os.X_OK) else []


def _claim(folder: Path, stack: contextlib.ExitStack) -> DeadRun | None:
    lock = _lock(folder) if folder.is_dir() else None
    if lock is None:
        return None
    stack.callback(lock.close)
    return DeadRun(folder.name, folder, _entries(folder / "ledger"))


def _entries(ledger: Path) -> tuple[Facts, ...]:
    """What was made and is not gone. A line that was cut off was never acted upon: it is written before the act."""
    found: list[Facts] = []
    for line in ledger.read_text(encoding="utf-8").splitlines() if ledger.is_file() else ():
        with contextlib.suppress(ValueError):
            facts = json.loads(line)
            what = facts.pop("what")
            if what == "made":
                found.append(facts)
            elif facts in found:
                found.remove(facts)
    return tuple(found)


def _lock(folder: Path) -> IO[str] | None:
    """The lock of a run's folder, or None where a living process holds it (flock dies with its process)."""
    try:
        file = (folder / "lock").open("a")
    except FileNotFoundError:  # it was cleaned away meanwhile
        return None
    try:
        _lock_file(file)
        is_there = os.path.samestat(os.fstat(file.fileno()), (folder / "lock").stat())
    except OSError:
        is_there = False
    if not is_there:  # held, or cleaned away by somebody who held it between our opening and our locking it
        file.close()
        return None
    return file


def _lock_file(file: IO[str]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows has its own call for the same thing
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
