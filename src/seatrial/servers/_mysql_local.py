"""A throwaway MySQL or MariaDB on a Unix socket: found, initialised, started.

An initialised data folder is kept in the user's cache and copied: MySQL takes seconds to make one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from seatrial.errors import ServerError
from seatrial.servers import last_words, ledger, process

_SPEECH = last_words.Speech(r"\[ERROR\] (?:\[[^\]]*\] )*(?!.* got (?:signal|exception) )(.+)")
KINDS = {
    "mysql": process.Kind("mysql server", "MySQL", ("mysqld", "mariadbd"), signal.SIGKILL, _SPEECH),
    "mariadb": process.Kind("mariadb server", "MariaDB", ("mariadbd", "mysqld"), signal.SIGKILL, _SPEECH),
}
ROOTS = {"mysql": "SEATRIAL_MYSQL_ROOT", "mariadb": "SEATRIAL_MARIADB_ROOT"}
"""Environment variables that name a folder with an unpacked distribution (with ``usr/sbin/mysqld`` or the like)."""

_DAEMONS = {"mysql": ("mysqld",), "mariadb": ("mariadbd", "mysqld")}
_PLACES = (
    "/usr/sbin",
    "/usr/libexec",
    "/usr/local/mysql/bin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/opt/homebrew/opt/{}/bin",
    "/usr/local/opt/{}/bin",
)
_INSTALL = {
    "mysql": "Install the package mysql-server-core (or mysql-server)",
    "mariadb": "Install the package mariadb-server-core (or mariadb-server)",
}
_SETTINGS = {
    "mysql": (
        "--skip-networking",
        "--mysqlx=0",
        "--skip-log-bin",
        "--secure-file-priv=",
        "--innodb-redo-log-capacity=256M",
        "--performance-schema-instrument=wait/lock/metadata/sql/mdl=ON",
        "--disabled-storage-engines=",
        "--innodb-doublewrite=0",
    ),
    "mariadb": (
        "--skip-networking",
        "--character-set-server=utf8mb4",  # the default from 11.6 on; latin1 before would refuse half of all seeds
        "--innodb-log-file-size=256M",
        "--performance-schema=OFF",
        "--skip-innodb-doublewrite",
        "--loose-debug-no-sync",  # Aria, .frm files and the log of DDL are flushed else, eight times a statement
    ),
}
_COMMON = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-buffer-pool-size=512M",
    "--innodb-stats-auto-recalc=0",  # its pages and work are not a migration's
    "--local-infile=1",
    "--default-time-zone=+00:00",
    "--event-scheduler=OFF",  # an event that fires in a trial would look like the migration's work
    "--max-allowed-packet=1G",
    "--log-bin-trust-function-creators=1",
)
_BOOTSTRAP = ("system_tables.sql", "performance_tables.sql", "system_tables_data.sql")


@dataclass(frozen=True, slots=True)
class Programs:
    """One installed server."""

    engine: str
    daemon: Path
    command: tuple[str, ...]  # how to call it; through its own loader where it was unpacked beside this system
    share: Path | None  # error messages, character sets, and the SQL that makes MariaDB's own tables
    plugins: Path | None
    version: str

    def call(self, *options: str) -> list[str]:
        share = [f"--lc-messages-dir={self.share}", f"--character-sets-dir={self.share}/charsets"] if self.share else []
        plugins = [f"--plugin-dir={self.plugins}"] if self.plugins else []
        return [*self.command, "--no-defaults", *share, *plugins, *options]


def start(run: ledger.Run, engine: str, programs: str | None = None) -> process.Running:
    """Start a server on a data folder of its own. Raises ServerError with the server's own last words."""
    found = find_programs(engine, programs)
    kind = KINDS[engine]
    with process.new_folder(kind, run) as folder:
        _fill(found, run, folder)
        command = found.call(*_places(folder), *_COMMON, *_SETTINGS[engine])
        return process.start(
            kind, found.daemon, command, folder, lambda log: socket(folder).exists() and b"ready for connections" in log
        )


def socket(folder: Path) -> Path:
    return folder / "s.sock"


def _places(folder: Path) -> list[str]:
    return [
        f"--datadir={folder / 'data'}",
        f"--socket={socket(folder)}",
        f"--pid-file={folder / 'pid'}",
        f"--tmpdir={folder}",
    ]


# --- programs ---


def find_programs(engine: str, folder: str | None = None) -> Programs:
    """The server's programs: in the folder given, in the environment variable's, on PATH, or in the usual places."""
    root = folder or os.environ.get(ROOTS[engine])
    for daemon in _in_root(engine, Path(root)) if root else _installed(engine):
        found = _inspect(engine, daemon, Path(root) if root else None)
        if found is not None:
            return found
    where = f"{root} holds no {engine} server" if root else f"No {engine} server program was found"
    raise ServerError(
        f"{where}. {_INSTALL[engine]}, or name the folder of an unpacked one in {ROOTS[engine]}, "
        "or give a server with --server mysql://..."
    )


def _in_root(engine: str, root: Path) -> list[Path]:
    places = [root / "usr" / "sbin", root / "usr" / "libexec", root / "sbin", root / "libexec", root / "bin", root]
    return [place / name for place in places for name in _DAEMONS[engine] if (place / name).is_file()]


def _installed(engine: str) -> list[Path]:
    on_path = [Path(found) for name in _DAEMONS[engine] if (found := shutil.which(name))]
    places = [Path(p.format(engine)) for p in _PLACES]
    return on_path + [place / name for place in places for name in _DAEMONS[engine] if (place / name).is_file()]


def _inspect(engine: str, daemon: Path, root: Path | None) -> Programs | None:
    """What a program is; None where it is the other engine's (mysqld is often a link to mariadbd) or does not run."""
    base = daemon.parent.parent
    command = _through_loader(daemon, root) if root else (str(daemon),)
    try:
        done = subprocess.run(
            [*command, "--no-defaults", "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
    except OSError:
        return None
    is_mariadb = "mariadb" in done.stdout.lower()
    if done.returncode or is_mariadb != (engine == "mariadb"):
        return None
    share = next((p for n in ("mysql", "mariadb", "") if (p := base / "share" / n / "charsets").is_dir()), None)
    plugins = next(
        (p for n in ("lib/mysql/plugin", "lib/plugin", "lib64/mysql/plugin") if (p := base / n).is_dir()), None
    )
    return Programs(engine, daemon, command, share.parent if share else None, plugins, done.stdout.strip())


def _through_loader(daemon: Path, root: Path) -> tuple[str, ...]:
    """A program unpacked from another release needs that release's libraries and their loader."""
    loaders = sorted(
        [
            *root.glob("usr/lib64/ld-linux-*.so.*"),
            *root.glob("usr/lib/ld-linux-*.so.*"),
            *root.glob("usr/lib/*/ld-linux-*.so.*"),
        ]
    )
    if not loaders:
        return (str(daemon),)
    libraries = [*root.glob("usr/lib/*-linux-gnu*"), root / "usr" / "lib" / "mysql" / "private", root / "usr" / "lib64"]
    return (str(loaders[0]), "--library-path", ":".join(str(p) for p in libraries if p.is_dir()), str(daemon))


# --- the data folder ---


def _fill(programs: Programs, run: ledger.Run, folder: Path) -> None:
    """The data of a new server: a copy from the cache, or made here and then kept there."""
    ready = _cached(programs)
    if ready is not None and os.access(ready, os.R_OK | os.X_OK):
        shutil.copytree(ready, folder / "data", copy_function=shutil.copy)
        return
    _initialise(programs, folder)
    if ready is not None:
        _keep(programs, run, folder / "data", ready)


def _cached(programs: Programs) -> Path | None:
    """Where the data folder of this very program is kept for this user; None for one without a home."""
    made_by = f"2 {programs.version} {programs.daemon} {programs.daemon.stat().st_mtime}"
    try:
        cache = Path(platformdirs.user_cache_dir("seatrial", appauthor=False)) / "servers"
    except RuntimeError:
        return None
    return cache / f"{programs.engine}-{hashlib.sha256(made_by.encode()).hexdigest()[:16]}"


def _keep(programs: Programs, run: ledger.Run, data: Path, ready: Path) -> None:
    """Put a copy of new data into the cache; where there is no place for it, it is made anew each time."""
    kind = KINDS[programs.engine]
    try:
        ready.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        making = Path(tempfile.mkdtemp(prefix="making-", dir=ready.parent))
    except OSError:
        return
    run.record(kind=kind.ledger, folder=str(making))
    with contextlib.suppress(OSError):  # no room; or another process was faster
        shutil.copytree(data, making / "data", copy_function=shutil.copy)
        (making / "data" / "auto.cnf").unlink(missing_ok=True)  # the server's own id
        (making / "data").rename(ready)
    process.remove_folder(kind, run, making)


def _initialise(programs: Programs, folder: Path) -> None:
    options = [f"--datadir={folder / 'data'}", "--innodb-flush-method=nosync"]
    script = b""
    if programs.engine == "mysql":
        options += ["--initialize-insecure", "--innodb-redo-log-capacity=8M"]
    else:
        (folder / "data" / "mysql").mkdir(parents=True)
        options += [
            "--bootstrap",
            "--log-warnings=0",
            "--enforce-storage-engine=",
            "--max-allowed-packet=8M",
            "--innodb-log-file-size=8M",
        ]
        script = _system_tables(programs)
    process.call(KINDS[programs.engine], programs.call(*options), folder, script=script)


def _system_tables(programs: Programs) -> bytes:
    """What mariadb-install-db feeds to the bootstrapping server; root may log in without a password."""
    parts = [b"CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"]
    for name in _BOOTSTRAP:
        files = [f for p in ("mariadb", "mysql") if programs.share and (f := programs.share / f"{p}_{name}").is_file()]
        if not files:
            raise ServerError(f"{programs.daemon} has no {name} beside it. {_INSTALL['mariadb']} completely.")
        parts.append(files[0].read_bytes())
    return b"\n".join(parts)
