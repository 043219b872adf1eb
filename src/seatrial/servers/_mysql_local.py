"""A throwaway MySQL or MariaDB on a Unix socket: found, initialised, started, stopped, removed.

Nothing in it has to survive a crash, so nothing is synced. It runs in a session of its own: Ctrl-C reaches Seatrial
only, which then stops it. An initialised data folder is kept in the user's cache and copied: MySQL takes seconds to
make one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from seatrial.errors import ServerError
from seatrial.servers import ledger

KIND = "mysql server"
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
    ),
    "mariadb": (
        "--skip-networking",
        "--character-set-server=utf8mb4",  # the default from 11.6 on; latin1 before would refuse half of all seeds
        "--innodb-log-file-size=256M",
        "--performance-schema=OFF",
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
_SECONDS = 90  # how long a start may take on a busy machine
_LONGEST_SOCKET = 90  # sun_path holds 104 to 108 bytes


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


@dataclass
class LocalServer:
    """A running server of ours in a folder of ours."""

    programs: Programs
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        return self.folder / "s.sock"

    @classmethod
    def start(cls, run: ledger.Run, engine: str, programs: str | None = None) -> LocalServer:
        """Start a server on a copy of the data folder. Raises ServerError with the server's own last words."""
        found = find_programs(engine, programs)
        template = _template(found)
        folder = _short_folder()
        run.record(kind=KIND, folder=str(folder))
        process: subprocess.Popen[bytes] | None = None
        try:
            shutil.copytree(template, folder / "data", copy_function=shutil.copy)
            process = _launch(found, folder, _user(folder))
            _await_ready(process, folder)
        except BaseException:
            if process is not None:
                _stop(process)
            shutil.rmtree(folder, ignore_errors=True)
            run.forget(kind=KIND, folder=str(folder))
            raise
        return cls(found, folder, process)

    def stop(self) -> None:
        """Stop at once (nothing is kept) and remove the folder."""
        _stop(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)


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


def _template(programs: Programs) -> Path:
    """An initialised data folder of this very program, made once a user and machine."""
    known = hashlib.sha256(
        f"2 {programs.version} {programs.daemon} {programs.daemon.stat().st_mtime}".encode()
    ).hexdigest()
    cache = Path(platformdirs.user_cache_dir("seatrial", appauthor=False)) / "servers"
    ready = cache / f"{programs.engine}-{known[:16]}"
    if ready.is_dir():
        return ready
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = _short_folder()
    try:
        _initialise(programs, folder, _user(folder))
        making = Path(tempfile.mkdtemp(prefix="making-", dir=cache))
        shutil.copytree(folder / "data", making / "data", copy_function=shutil.copy)
        (making / "data" / "auto.cnf").unlink(missing_ok=True)  # the server's own id
        with contextlib.suppress(OSError):  # another process was faster
            (making / "data").rename(ready)
        shutil.rmtree(making, ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ready


def _initialise(programs: Programs, folder: Path, user: dict[str, Any]) -> None:
    options = [f"--datadir={folder / 'data'}", "--innodb-flush-method=nosync"]
    script = b""
    if programs.engine == "mysql":
        options += ["--initialize-insecure", "--innodb-redo-log-capacity=8M"]
    else:
        _own_folder(folder / "data" / "mysql", user)
        options += [
            "--bootstrap",
            "--log-warnings=0",
            "--enforce-storage-engine=",
            "--max-allowed-packet=8M",
            "--innodb-log-file-size=8M",
        ]
        script = _system_tables(programs)
    done = subprocess.run(
        programs.call(*options), **user, env=_environment(folder), cwd=folder, input=script, capture_output=True
    )
    if done.returncode:
        words = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise ServerError(
            f"{programs.daemon} could not make a data folder: {' '.join(words[-3:])}. Check the installation."
        )


def _own_folder(path: Path, user: dict[str, Any]) -> None:
    path.mkdir(parents=True)
    if user:
        for folder in (path.parent, path):
            os.chown(folder, user["user"], user["group"])


def _system_tables(programs: Programs) -> bytes:
    """What mariadb-install-db feeds to the bootstrapping server; root may log in without a password."""
    parts = [b"CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"]
    for name in _BOOTSTRAP:
        files = [f for p in ("mariadb", "mysql") if programs.share and (f := programs.share / f"{p}_{name}").is_file()]
        if not files:
            raise ServerError(f"{programs.daemon} has no {name} beside it. {_INSTALL['mariadb']} completely.")
        parts.append(files[0].read_bytes())
    return b"\n".join(parts)


def _short_folder() -> Path:
    base = tempfile.gettempdir()
    if len(base) > _LONGEST_SOCKET - 20:
        base = "/tmp"
    return Path(tempfile.mkdtemp(prefix="seatrial-", dir=base))


def _user(folder: Path) -> dict[str, Any]:
    """The server refuses to run as root: then it runs as nobody, who gets the folder and all in it."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


# --- the process ---


def _launch(programs: Programs, folder: Path, user: dict[str, Any]) -> subprocess.Popen[bytes]:
    places = [
        f"--datadir={folder / 'data'}",
        f"--socket={folder / 's.sock'}",
        f"--pid-file={folder / 'pid'}",
        f"--tmpdir={folder}",
    ]
    doublewrite = "--innodb-doublewrite=0" if programs.engine == "mysql" else "--skip-innodb-doublewrite"
    command = programs.call(*places, *_COMMON, *_SETTINGS[programs.engine], doublewrite)
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
    """Nothing of the user's MYSQL_* settings, no secrets of the caller's environment."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C", "TZ": "UTC"}


def _await_ready(process: subprocess.Popen[bytes], folder: Path) -> None:
    limit = time.monotonic() + _SECONDS
    while time.monotonic() < limit:
        if (folder / "s.sock").exists() and b"ready for connections" in (folder / "log").read_bytes():
            return
        if process.poll() is not None:
            break
        time.sleep(0.01)
    log = (folder / "log").read_text(errors="replace").strip().splitlines()
    raise ServerError(f"The local server did not start: {' '.join(log[-3:])}. Give a server with --server instead.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Nothing is kept, so nothing needs to be shut down in order."""
    if process.poll() is None:
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
        pid = _pid(folder)
        if pid is not None:
            _end(pid, folder)
            removed.append(f"server {pid} of run {run.id}")
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(f"folder {folder} of run {run.id}")
        if not folder.exists():
            gone.append(facts)
    places = {str(Path(facts["folder"]) / "s.sock") for facts in gone}
    gone += [facts for facts in run.entries if facts.get("server") in places]
    if gone:
        run.settle(tuple(gone))
    return removed


def _pid(folder: Path) -> int | None:
    """The server that runs in a folder of ours; its command line has to name the folder, for ids are used again."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((folder / "pid").read_text())
        if str(folder) in _command_line(pid):
            return pid
    return None


def _command_line(pid: int) -> str:
    proc = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self").exists():
        with contextlib.suppress(OSError):
            return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""
    done = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True)
    return done.stdout


def _end(pid: int, folder: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    limit = time.monotonic() + 5
    while time.monotonic() < limit and str(folder) in _command_line(pid):
        time.sleep(0.02)
