"""Why a server of ours ended: told by its process, by its log, and by the disk that it stood on.

To whoever was connected it all looks alike: the connection is lost. The log goes with its folder, so it is read here.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import BinaryIO

from seatrial.model import Disturbance, ServerEnd
from seatrial.values import dataclass

_RESERVED = 1 << 16  # bytes of a log that are there from the start: a full disk takes the last words else
_SCANT = 16 << 20  # bytes: one segment of PostgreSQL's log; InnoDB's files grow by as much, or half of it
_GRACE_S = 1.0  # sessions are cut off a moment before their server has ended, or written why
_MOST = 300  # characters
_NO_ROOM = re.compile(
    r"No space left on device|No more room|Disk quota exceeded|Missing space on disk"
    r"|\b(?:errno|errcode|error|error number):? 28\b",
    re.IGNORECASE,
)
"""ENOSPC, EDQUOT and HA_ERR_RECORD_FILE_FULL, as the servers write them."""


@dataclass(frozen=True, slots=True)
class Speech:
    """How a server's log tells what is wrong: patterns for lines, whose first group is what is worth telling.

    ``cut``: every session was cut off, though the server itself may live on.
    """

    wrong: str
    cut: str = ""

    def last(self, log: str) -> str:
        """What is told of the end: of the room that there was none of, else the newest; empty: nothing."""
        told = [" ".join(found[1].split()) for line in log.splitlines() if (found := re.search(self.wrong, line))]
        of_room = [words for words in told if _NO_ROOM.search(words)]
        return next(reversed(of_room or told), "").rstrip(".")[:_MOST]

    def is_cut(self, log: str) -> bool:
        return bool(self.cut and re.search(self.cut, log))


def new_log(folder: Path) -> BinaryIO:
    log = (folder / "log").open("wb")
    log.write(bytes(_RESERVED))
    log.seek(0)
    return log


def read(folder: Path) -> bytes:
    """A server's log; empty where it is gone."""
    try:
        return (folder / "log").read_bytes().rstrip(b"\0")
    except OSError:
        return b""


def end(name: str, speech: Speech, process: subprocess.Popen[bytes], folder: Path, heard: int) -> ServerEnd | None:
    """How a server ended, or cut its sessions off; None where it goes on. ``heard``: bytes of its log to pass over."""
    limit = time.monotonic() + _GRACE_S
    while process.poll() is None and not speech.is_cut(_unheard(folder, heard)):
        if time.monotonic() > limit:
            return None
        time.sleep(0.02)
    log = _unheard(folder, heard)
    words, code = speech.last(log), process.returncode
    how = "cut its sessions off" if code is None else f"ended by itself ({_told(code)})"
    told = f": {words}" if words else ""
    server = f"The {name} server that Seatrial had started {how}"
    if is_full(folder, log):
        return ServerEnd(
            what=Disturbance.RESOURCE, words=f"{server} for want of room on its disk{told}", advice=make_room(folder)
        )
    return ServerEnd(what=Disturbance.CONNECTION, words=f"{server}{told}", advice=_ADVICE)


_ADVICE = "Run again; where it ends again, see whether memory is short, or give another server with --server."


def speaks_of_room(words: str) -> bool:
    return bool(_NO_ROOM.search(words))


def is_full(folder: Path, log: str) -> bool:
    """Whether there is no room: the log says so, or there is hardly any now (its end may have set some free)."""
    if speaks_of_room(log):
        return True
    try:
        return shutil.disk_usage(folder.parent).free < _SCANT
    except OSError:
        return False


def make_room(folder: Path) -> str:
    return f"Make room in {folder.parent}, or set TMPDIR to another folder, then run again."


def _unheard(folder: Path, heard: int) -> str:
    return read(folder)[heard:].decode(errors="replace")


def _told(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:  # a number that has no name here
        return f"signal {-code}"
