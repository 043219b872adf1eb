"""A throwaway server as a process in a folder of ours: started, awaited, stopped, and found again after a crash.

Nothing in it has to survive, so it is ended at once. It runs in a session of its own: Ctrl-C reaches Seatrial only,
which then stops it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from seatrial.errors import ServerError
from seatrial.model import Disturbance, ServerEnd
from seatrial.servers import last_words, ledger
from seatrial.values import dataclass

_LONGEST_SOCKET = 90  # sun_path holds 104 to 108 bytes; a folder's name and the socket's own take some 30 of them
_SECONDS = 90  # how long a start may take on a busy machine
_LAST_WORDS = 3  # lines of a log that are shown


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of server: how the ledger and people call it, its programs, and the signal that ends it at once.

    ``speech``: how its log tells what is wrong.
    """

    ledger: str
    name: str
    programs: tuple[str, ...]
    ending: signal.Signals
    speech: last_words.Speech


@dataclass
class Running:
    """A server of ours in a folder of ours, ready for connections."""

    kind: Kind
    programs: Path
    folder: Path
    process: subprocess.Popen[bytes]
    heard: int = 0  # bytes of its log that speak of what is over
    stopped: bool = False

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def goes_on(self) -> None:
        """It works: what its log has said so far is no reason for what may happen from here on."""
        self.heard = len(last_words.read(self.folder))

    def end(self) -> ServerEnd | None:
        """How it ended without us, or cut its sessions off; None where it goes on, as far as can be told."""
        if self.stopped:
            return None
        return last_words.end(self.kind.name, self.kind.speech, self.process, self.folder, self.heard)

    def stop(self) -> None:
        """End it and remove the folder: nothing is kept."""
        self.stopped = True
        _stop(self.kind, self.process)
        _remove(self.folder)


@contextlib.contextmanager
def new_folder(kind: Kind, run: ledger.Run) -> Iterator[Path]:
    """A folder that stands in the ledger before it is made; removed where the block fails. Raises ServerError."""
    folder = _base() / f"seatrial-{secrets.token_hex(4)}"
    run.record(kind=kind.ledger, folder=str(folder))
    try:
        folder.mkdir(mode=0o700)
        yield folder
    except BaseException as error:
        remove_folder(kind, run, folder)
        if isinstance(error, OSError):
            raise ServerError(
                f"No folder for a local {kind.name} could be made in {folder.parent}: {_reason(error)}. "
                "Make room there, or set TMPDIR to another folder."
            ) from None
        raise


def remove_folder(kind: Kind, run: ledger.Run, folder: Path) -> None:
    _remove(folder)
    run.forget(kind=kind.ledger, folder=str(folder))


def unprivileged(folder: Path) -> dict[str, Any]:
    """Servers refuse to run as root: then they run as nobody, who gets the folder and all in it."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def call(kind: Kind, command: list[str], folder: Path, *, script: bytes = b"") -> None:
    """Run a program that makes the server's data in the folder. Raises ServerError with its last words."""
    user = unprivileged(folder)
    try:
        done = subprocess.run(command, **user, env=_environment(folder), cwd=folder, input=script, capture_output=True)
    except OSError as error:
        raise _not_runnable(error, user) from None
    if done.returncode:
        words = _last((done.stderr or done.stdout).decode(errors="replace"))
        advice = f"Make room in {folder.parent} if it is full, or check the installation (seatrial doctor names it)."
        if "effective user" in words:  # a container that was given just a number
            advice = "Run as a user that the system knows (/etc/passwd), or give a server with --server."
        raise ServerError(f"The programs of {kind.name} could not make a data folder: {words}. {advice}")


def start(kind: Kind, programs: Path, command: list[str], folder: Path, ready: Callable[[bytes], bool]) -> Running:
    """Start a server and wait until ``ready(its log)``. Raises ServerError with the server's own last words."""
    process = _launch(command, folder)
    try:
        _await(kind, process, folder, ready)
    except BaseException:
        _stop(kind, process)
        raise
    return Running(kind, programs, folder, process)


def _launch(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    user = unprivileged(folder)
    with last_words.new_log(folder) as log:
        try:
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
        except OSError as error:
            raise _not_runnable(error, user) from None


def _await(kind: Kind, process: subprocess.Popen[bytes], folder: Path, ready: Callable[[bytes], bool]) -> None:
    limit = time.monotonic() + _SECONDS
    while time.monotonic() < limit and process.poll() is None:
        if ready(last_words.read(folder)):
            return
        time.sleep(0.01)
    words = last_words.read(folder).decode(errors="replace")
    if last_words.is_full(folder, words):
        raise ServerError(
            f"The local {kind.name} did not start: {kind.speech.last(words) or _last(words)}. "
            + last_words.make_room(folder),
            what=Disturbance.RESOURCE,
        )
    raise ServerError(
        f"The local {kind.name} did not start: {_last(words)}. Make room in {folder.parent} if it is full, "
        "or give a server with --server."
    )


def _stop(kind: Kind, process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(kind.ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
    process.wait()


def _base() -> Path:
    """Where folders are made: short enough for a socket's path and, for root's sake, one that nobody may enter."""
    base = Path(tempfile.gettempdir())
    return base if len(os.fsencode(base)) <= _LONGEST_SOCKET - 30 and _is_open(base) else Path("/tmp")


def _is_open(base: Path) -> bool:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return True
    return all(place.stat().st_mode & stat.S_IXOTH for place in (base, *base.parents))


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the user's own PG* and MYSQL_* settings, no secrets of the caller's environment."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C", "TZ": "UTC"}


def _not_runnable(error: OSError, user: dict[str, Any]) -> ServerError:
    who = "nobody, because it refuses to run as root" if user else "you"
    return ServerError(f"{error.filename} cannot be run by {who}: {error.strerror}. Install it where it can.")


def _reason(error: OSError) -> str:
    """What went wrong; a copied tree collects its errors in a list (shutil.Error)."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])
    return error.strerror or str(error)


def _last(log: str) -> str:
    return " ".join(log.strip().splitlines()[-_LAST_WORDS:]) or "it said nothing"


# --- what a killed run left ---


def clean(kind: Kind) -> list[str]:
    """Stop the servers of dead runs and remove their folders; says what was done."""
    with ledger.dead_runs() as dead:
        return [words for run in dead for words in _clean_run(kind, run)]


def _clean_run(kind: Kind, run: ledger.DeadRun) -> list[str]:
    removed, gone = [], []
    for facts in run.entries:
        if facts.get("kind") != kind.ledger:
            continue
        folder = Path(facts["folder"])
        for pid in _working_in(kind, folder):
            _end(pid, kind, folder)
            removed.append(f"{kind.name} server {pid} of run {run.id}")
        if folder.exists():
            _remove(folder)
            removed.append(f"folder {folder} of run {run.id}")
        if not folder.exists():
            gone.append(facts)
    # A dead local server takes its databases with it.
    places = tuple(facts["folder"] for facts in gone)
    gone += [facts for facts in run.entries if places and facts.get("server", "").startswith(places)]
    if gone:
        run.settle(tuple(gone))
    return removed


def _working_in(kind: Kind, folder: Path) -> list[int]:
    """The server, or the program that makes its data, which a folder of ours was given; children end with it.

    Told by the command line: a server that is just starting has written no pid file yet, and ids are used again.
    """
    return [pid for pid, words in _commands() if _is_given(words, kind, folder)]


def _is_given(words: list[str], kind: Kind, folder: Path) -> bool:
    """Whether it is one of the kind's programs (perhaps called through a loader) and was given the folder's data."""
    program = any(Path(word).name in kind.programs for word in words[:4])
    return program and any(word.endswith(f"{folder}/data") for word in words)


def _commands() -> Iterator[tuple[int, list[str]]]:
    """Every process with the words of its command line."""
    if Path("/proc/self/cmdline").exists():
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                with contextlib.suppress(OSError):  # it ended meanwhile
                    yield int(path.name), (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
        return
    done = subprocess.run(["ps", "-A", "-o", "pid=,command="], capture_output=True, text=True, errors="replace")
    for line in done.stdout.splitlines():
        pid, *words = line.split()
        yield int(pid), words


def _end(pid: int, kind: Kind, folder: Path) -> None:
    for number, seconds in ((kind.ending, 5.0), (signal.SIGKILL, 2.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if pid not in _working_in(kind, folder):
                return
            time.sleep(0.02)


def _remove(folder: Path, seconds: float = 5.0) -> None:
    """Children that end with their server may still write for a moment."""
    limit = time.monotonic() + seconds
    shutil.rmtree(folder, ignore_errors=True)
    while folder.exists() and time.monotonic() < limit:
        time.sleep(0.02)
        shutil.rmtree(folder, ignore_errors=True)
