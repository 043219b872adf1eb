"""Disks that are too small, and servers of our own that end on one, before a statement that a test names."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine_fixture import without

from seatrial.servers import process

ROOM = {"sqlite": "4m", "postgresql": "110m", "mariadb": "340m", "mysql": "460m"}
"""MySQL fills its redo log up with spare files (350 MB in all), and ends itself where that finds no room."""

BALLAST = "ballast"


@pytest.fixture
def small_disk() -> Iterator[Callable[[str], Path]]:
    """A file system of a given size, under a path that is short enough for a socket and open to everybody."""
    place = Path(tempfile.mkdtemp(prefix="seatrial-test-", dir="/tmp"))
    place.chmod(0o755)

    def mount(size: str) -> Path:
        options = f"size={size},mode=1777"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], capture_output=True, text=True)
        if done.returncode:
            without(f"no small file system can be mounted here: {done.stderr.strip()}")
        return place

    yield mount
    subprocess.run(["umount", place], capture_output=True)
    place.rmdir()


def fill(disk: Path) -> None:
    """To the last byte."""
    with (disk / BALLAST).open("wb", buffering=0) as file:
        for size in (1 << 16, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


class Doomed:
    """Ends the newest server of ours before the first statement with certain words, or our n-th connection."""

    def __init__(self, patch: pytest.MonkeyPatch, engine: str, before: str, disk: Path | None = None) -> None:
        self.engine, self.before, self.disk, self.ended = engine, before, disk, False
        self._running: list[process.Running] = []
        self._connections = 0
        patch.setattr(process, "start", self._started(process.start))
        self._listen(patch)

    def _started(self, start: Callable[..., process.Running]) -> Callable[..., process.Running]:
        def started(*how: object) -> process.Running:
            self._running.append(start(*how))
            return self._running[-1]

        return started

    def _listen(self, patch: pytest.MonkeyPatch) -> None:
        if self.engine == "postgresql":
            import psycopg

            from seatrial.servers._postgresql_target import Target

            driver, method = psycopg.Cursor, "execute"
        else:
            import pymysql.connections

            from seatrial.servers._mysql_target import Target

            driver, method = pymysql.connections.Connection, "query"
        send, connect = getattr(driver, method), Target.connect

        def heard(connection: object, statement: object, *more: object, **how: object) -> object:
            text = statement.decode() if isinstance(statement, bytes) else str(statement)
            if self.before in text:
                self.end()
            return send(connection, statement, *more, **how)

        def connected(target: object, *how: object) -> object:
            self._connections += 1
            if self.before == f"connection {self._connections}":
                self.end()
            return connect(target, *how)

        patch.setattr(driver, method, heard)
        patch.setattr(Target, "connect", connected)

    def end(self) -> None:
        if self.ended:
            return
        self.ended = True
        if self.disk is not None:
            fill(self.disk)
        its = self._running[-1].process
        os.kill(
            its.pid, signal.SIGQUIT if self.engine == "postgresql" else signal.SIGABRT if self.disk else signal.SIGKILL
        )
        its.wait(20)
