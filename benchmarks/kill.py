"""Kill `seatrial run` on PostgreSQL (SIGKILL) at random instants and in each phase: does the next run clean up?

    python -m benchmarks.kill [--instants N] [--mode local|url]... [--seed N]

For each kill: a run is started and killed, then a second run has to end as an undisturbed one does, and after it the
lists of databases, processes and files have to be those from before the first. Exit 1 where one is not. Phases are seen
from outside, in the server's own pg_stat_activity. Needs Linux (/proc) and psycopg.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks import common
from seatrial.servers import _postgresql_local as postgresql
from seatrial.servers import ledger

PHASES = {  # what the server is asked to do in each
    "after CREATE DATABASE": "select count(*) > 0 from pg_database where datname like 'seatrial\\_%'",
    "in clone": "select count(*) > 0 from pg_stat_activity where state = 'active' and query like"
    " 'CREATE DATABASE%TEMPLATE seatrial%' and pid <> pg_backend_pid()",
    "in up": "select count(*) > 0 from pg_stat_activity where state = 'active' and query like '%pg_sleep(0.301)%'"
    " and pid <> pg_backend_pid()",
    "in down": "select count(*) > 0 from pg_stat_activity where state = 'active' and query like '%pg_sleep(0.302)%'"
    " and pid <> pg_backend_pid()",
    "in drop": "select count(*) > 0 from pg_stat_activity where state = 'active' and query like 'DROP DATABASE%'"
    " and pid <> pg_backend_pid()",
}
UP = {
    1: "CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL, email text);",
    2: "ALTER TABLE users ADD COLUMN status text; SELECT pg_sleep(0.301);",
    3: "CREATE TABLE orders (id serial PRIMARY KEY, user_id integer REFERENCES users, total numeric(10,2));",
    4: "UPDATE orders SET total = 0 WHERE total < 0; SELECT pg_sleep(0.301); ALTER TABLE orders DROP COLUMN total;",
}
DOWN = {
    1: "DROP TABLE users;",
    2: "SELECT pg_sleep(0.302); ALTER TABLE users DROP COLUMN status;",
    3: "DROP TABLE orders;",
    4: "ALTER TABLE orders ADD COLUMN total numeric(10,2);",  # loses values: the walk has to go back to a checkpoint
}


@dataclass(frozen=True, slots=True)
class Inventory:
    """What must be as before: databases of the server, processes of ours, files in the state and temporary folders."""

    databases: frozenset[str]
    processes: frozenset[int]
    files: frozenset[str]

    def beside(self, before: Inventory) -> list[str]:
        """How this one differs from an earlier one, in words."""
        return [
            f"{name}: {sign} {', '.join(sorted(map(str, difference)))}"
            for name in ("databases", "processes", "files")
            for sign, difference in (
                ("new", getattr(self, name) - getattr(before, name)),
                ("gone", getattr(before, name) - getattr(self, name)),
            )
            if difference
        ]


class Place:
    """A project, folders of its own for state and temporary files, and perhaps a server."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.folder = Path(tempfile.mkdtemp(prefix="sk-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.temporary, self.state, self.project = (self.folder / n for n in ("t", "state", "project"))
        for folder in (self.temporary, self.state, self.project / "migrations"):
            folder.mkdir(parents=True)
        self.temporary.chmod(0o1777)
        for version, text in UP.items():
            (self.project / "migrations" / f"{version}_step.up.sql").write_text(text)
            (self.project / "migrations" / f"{version}_step.down.sql").write_text(DOWN[version])
        (self.project / "seatrial.toml").write_text('[source]\ntype = "golang-migrate"\npath = "migrations"\n')
        self.own_run = ledger.Run.start()
        self.server = postgresql.start(self.own_run) if mode == "url" else None

    def close(self) -> None:
        if self.server is not None:
            self.server.stop()
            self.own_run.forget(**self.own_run.entries[0])
        self.own_run.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> subprocess.Popen[bytes]:
        place = ["--engine", "postgresql"]
        if self.server is not None:
            place = ["--server", f"postgresql://postgres@/?host={self.server.folder}"]
        return subprocess.Popen(
            [*common.SEATRIAL, "run", str(self.project), "--report", str(self.folder / "out"), *place],
            env={**os.environ, "TMPDIR": str(self.temporary), "XDG_STATE_HOME": str(self.state)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def socket(self) -> Path | None:
        """The folder of the server's socket: the script's own, or the one that the run just started."""
        if self.server is not None:
            return self.server.folder
        return next((p.parent for p in self.temporary.glob("seatrial-*/.s.PGSQL.5432")), None)

    def connect(self) -> psycopg.Connection[tuple[object, ...]] | None:
        folder = self.socket()
        with contextlib.suppress(psycopg.Error):
            if folder is not None:
                return psycopg.connect(host=str(folder), user="postgres", dbname="postgres", autocommit=True)
        return None

    def inventory(self) -> Inventory:
        databases: frozenset[str] = frozenset()
        connection = self.connect()
        if connection is not None:
            with connection:
                rows = connection.execute("select datname from pg_database").fetchall()
            databases = frozenset(str(name) for (name,) in rows)
        files = (p for folder in (self.temporary, self.state) for p in folder.rglob("*") if not p.is_dir())
        tops = (p for p in self.temporary.iterdir())
        names = {str(p.relative_to(self.folder)) for p in (*files, *tops)}
        return Inventory(databases, frozenset(self._processes()), frozenset(names))

    def _processes(self) -> Iterator[int]:
        """Processes that were given our folders or work in them; the script's own server is none of them."""
        mark = str(self.folder).encode()
        for path in Path("/proc").iterdir():
            if not path.name.isdigit() or int(path.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                works_in = str((path / "cwd").readlink()).encode()
                if mark in works_in + (path / "cmdline").read_bytes() + (path / "environ").read_bytes():
                    yield int(path.name)


def settled(place: Place, before: Inventory, seconds: float = 10) -> list[str]:
    """Differences that do not go away within some seconds (a server that was told to stop takes a moment)."""
    limit = time.monotonic() + seconds
    while (found := place.inventory().beside(before)) and time.monotonic() < limit:
        time.sleep(0.1)
    return found


def kill_after(seconds: float) -> Callable[[Place, subprocess.Popen[bytes]], bool]:
    def kill(place: Place, process: subprocess.Popen[bytes]) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return process.poll() is None

    return kill


def kill_in(phase: str) -> Callable[[Place, subprocess.Popen[bytes]], bool]:
    """Wait until the server is in a phase; False where the run ended without it having been seen."""

    def kill(place: Place, process: subprocess.Popen[bytes]) -> bool:
        connection = None
        while process.poll() is None:
            try:
                connection = connection or place.connect()
                if connection is not None and connection.execute(PHASES[phase]).fetchone() == (True,):
                    return True
            except psycopg.Error:
                connection = None
        return False

    return kill


def once(
    place: Place, before: Inventory, wait: Callable[[Place, subprocess.Popen[bytes]], bool]
) -> tuple[bool, list[str]]:
    """Start, wait, kill; then run undisturbed. Whether it was killed in time, and what is wrong afterwards."""
    process = place.start()
    hit = wait(place, process)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    again = place.start()
    _, said = again.communicate()
    wrong = [] if again.returncode == 1 else [f"the next run ended with {again.returncode}: {said.decode()[-400:]}"]
    return hit, [*wrong, *settled(place, before)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instants", type=int, default=20)
    parser.add_argument("--mode", action="append", choices=("local", "url"))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    wrong = 0
    for mode in args.mode or ("local", "url"):
        place = Place(mode)
        try:
            wrong += _mode(place, args.instants, random.Random(args.seed))
        finally:
            place.close()
    print(f"\n{'all as before after every kill' if not wrong else f'{wrong} kills left something'}")
    return 1 if wrong else 0


def _mode(place: Place, instants: int, chance: random.Random) -> int:
    before = place.inventory()
    begun = time.monotonic()
    process = place.start()
    _, said = process.communicate()
    lasts = time.monotonic() - begun
    print(f"{place.mode}: an undisturbed run takes {lasts:.1f} s and ends with {process.returncode} (1 is right)")
    if process.returncode != 1:
        print(said.decode()[-1000:])
    wrong = _told("undisturbed", True, settled(place, before))
    for phase in PHASES:
        wrong += _phase(place, before, phase)
    for number in range(instants):
        instant = chance.uniform(0.02, lasts)
        wrong += _told(f"instant {number + 1}: {instant:.2f} s", *once(place, before, kill_after(instant)))
    return wrong


def _phase(place: Place, before: Inventory, phase: str) -> int:
    for _ in range(5):
        hit, wrong = once(place, before, kill_in(phase))
        if hit or wrong:
            return _told(phase, hit, wrong)
    return _told(phase, False, [])


def _told(what: str, hit: bool, wrong: list[str]) -> int:
    state = "; ".join(wrong) or ("as before" if hit else "as before, but the run was over before it could be killed")
    print(f"  {what:24} {state}", flush=True)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
