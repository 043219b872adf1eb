"""Runs that are disturbed on purpose: what a watcher does when a step begins, and what a project looks like."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from trial_fixtures import project

from seatrial import app, config
from seatrial.config import ServerConfig
from seatrial.model import Event, Report

BASE = ("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20) NOT NULL, b VARCHAR(20));", "DROP TABLE t;")
SEED = "INSERT INTO t VALUES (1, 'one', 'x'), (2, 'two', 'y'), (3, 'three', NULL);"
GOOD = ("ALTER TABLE t ADD COLUMN c INT;", "ALTER TABLE t DROP COLUMN c;")
LOSS = ("ALTER TABLE t DROP COLUMN b;", "ALTER TABLE t ADD COLUMN b VARCHAR(20);")


def disturbed(
    folder: Path,
    migrations: list[tuple[str, str | None]],
    server: ServerConfig,
    when: Mapping[tuple[str, str], Callable[[], object]],
    *,
    settings: str = "",
    seed: str | None = SEED,
    always: bool = False,
    only: tuple[str, ...] = ("0002",),
    pauses: tuple[float, ...] = (0.05, 0.1, 0.15),
) -> Report:
    """A run in which ``when[(migration, step)]`` is called the first time (``always``: each time) that it begins."""
    left = dict(when)

    def watch(event: Event) -> None:
        key = (event.migration, event.text)
        act = left.get(key) if event.kind == "step" else None
        if not always:
            left.pop(key, None)
        if act is not None:
            act()

    place = project(folder, [BASE, *migrations], seed=seed, settings=f"[retry]\npauses = {list(pauses)}\n{settings}")
    return app.run(config.load(place).replace(server=server, only=only), watch)


@contextmanager
def meanwhile(act: Callable[[threading.Event], None]) -> Iterator[None]:
    """Something that goes on beside until the block ends."""
    over = threading.Event()
    thread = threading.Thread(target=act, args=(over,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(20)


def once(look: Callable[[], bool], over: threading.Event | None = None, seconds: float = 20.0) -> bool:
    """Wait until something is so."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and not (over and over.is_set()):
        if look():
            return True
        time.sleep(0.02)
    return False


def rules(report: Report, migration: str = "0002") -> list[str]:
    """What is found, but for how long it took: these migrations sleep to be caught in the middle."""
    found = (f.rule for m in report.migrations if m.migration.id == migration for f in m.findings)
    return sorted(r for r in found if r != "long-running")


def strategies(report: Report) -> list[tuple[str, bool]]:
    return [(r.strategy, r.succeeded) for r in report.retries]
