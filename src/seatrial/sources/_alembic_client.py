"""The process in which a project's Alembic runs: found, started, spoken to, ended. Its other end is the worker."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from seatrial.errors import SourceError

_WORKER = Path(__file__).with_name("_alembic_worker.py")
_PATIENCE_S = 120.0  # for starting and for reading a project's revisions; a step has its own limit
_TAIL = 2000  # characters of what the project printed that an error shows


class TookTooLong(Exception):
    """The worker did not answer in time and was ended."""


class Died(Exception):
    """The worker ended without an answer; what it said last is the message."""


class Worker:
    """One process of the project's Python; answers one request at a time."""

    def __init__(
        self,
        python: str,
        environ: Mapping[str, str],
        opening: Mapping[str, Any],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """``opening``: the first request, which it answers when it has started, also while ``meanwhile`` runs."""
        self.python = python
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        try:
            self._process = subprocess.Popen(
                [python, "-B", str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._output,
                env={**os.environ, **environ},
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C is for us: we end it in order
            )
        except OSError as error:
            raise SourceError(f"{python} cannot be started: {error.strerror}. Name a Python in [source].") from None
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_listen, args=(self._process, self._answers), daemon=True).start()
        self._end = weakref.finalize(self, _end, self._process, self._output)  # also where nobody closes it
        with contextlib.suppress(Died):  # where it is gone already, what it said first tells why
            self._send(opening)
        meanwhile()
        self.hello = self._answer(_PATIENCE_S)

    def opened(self) -> dict[str, Any]:
        """The answer to ``opening``. Raises TookTooLong or Died, as ``ask``."""
        return self._answer(_PATIENCE_S)

    def ask(
        self,
        request: Mapping[str, Any],
        patience_s: float = _PATIENCE_S,
        judge: Callable[[str], str] = lambda statement: "",
        watch: Callable[[str, str, str], None] = lambda *said: None,
        meanwhile: Callable[[], None] = lambda: None,
        late: Callable[[], str] = lambda: "",
    ) -> dict[str, Any]:
        """Send a request and wait; ``judge`` says what of a statement that the project sends leaves its database.

        ``watch`` hears of each statement of a step, and of the server's session that runs it, before it runs;
        ``meanwhile`` is called while the process is at work, ``late`` when it took too long and still runs: it may
        say why.
        Raises TookTooLong or Died; either way the process is gone.
        """
        self._output.seek(0)
        self._output.truncate()
        until = time.monotonic() + patience_s
        self._send(request)
        meanwhile()
        while True:
            answer = self._answer(patience_s, until, late)
            if "judge" in answer:
                self._send({"outside": judge(answer["judge"])})
            elif "watch" in answer:
                watch(answer["watch"], answer["session"], answer["answer"])
                self._send({})
            else:
                return answer

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._death() from None

    @property
    def printed(self) -> str:
        """The end of what the project printed since the last request."""
        self._output.seek(0)
        text = self._output.read().replace(b"\0", b"").decode("utf-8", "replace").strip()
        return redact(text[-_TAIL:])

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End the process; asked to first, then made to."""
        self._end()

    def _answer(
        self, patience_s: float, until: float | None = None, late: Callable[[], str] = lambda: ""
    ) -> dict[str, Any]:
        left = patience_s if until is None else max(until - time.monotonic(), 0)
        try:
            line = self._answers.get(timeout=left)
        except queue.Empty:
            why = late()
            self._process.kill()
            self._process.wait()
            raise TookTooLong(f"it was ended after {patience_s:g} s" + (f", when {why}" if why else "")) from None
        if not line:
            raise self._death()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            self._process.kill()
            raise Died(f"it is no Python: it answered {line.strip()[:80]!r}") from None
        return answer

    def _death(self) -> Died:
        code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        said = self.printed
        return Died(f"the project's Python ({self.python}) ended with {how}" + (f": {said}" if said else ""))


def _listen(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    """Pass on what the worker says, then an empty line. It knows no Worker, so that one can be forgotten."""
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line)
    answers.put("")


def _end(process: subprocess.Popen[str], output: IO[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    output.close()


def start(
    project: Path,
    python: str | None,
    environ: Mapping[str, str],
    opening: Mapping[str, Any],
    meanwhile: Callable[[], None] = lambda: None,
) -> Worker:
    """A worker in the first Python that has Alembic, asked ``opening``. Raises SourceError where none has."""
    tried = []
    for candidate in [python] if python else pythons(project):
        worker = _started(candidate, environ, opening, meanwhile)
        missing = worker.hello.get("missing")
        if not missing:
            return worker
        worker.close()
        tried.append(f"{candidate} ({missing})")
    raise SourceError(
        f"No Python with Alembic was found for {project}; tried {', '.join(tried)}. "
        "Install Alembic there, or name the project's Python with `python` in [source]."
    )


def _started(
    python: str, environ: Mapping[str, str], opening: Mapping[str, Any], meanwhile: Callable[[], None]
) -> Worker:
    try:
        return Worker(python, environ, opening, meanwhile)
    except (Died, TookTooLong) as error:
        raise SourceError(
            f"{python} cannot run Alembic: {error}. Name the project's Python with `python` in [source]."
        ) from None


def pythons(project: Path) -> Iterator[str]:
    """Where the project's Python may be: its own environment, the active one, ours, that of the program `alembic`."""
    seen = set()
    places = [project / name for name in (".venv", "venv", "env")]
    places += [Path(os.environ[name]) for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if os.environ.get(name)]
    binaries = [place / part for place in places for part in ("bin/python", "Scripts/python.exe")]
    for python in (*(str(path) for path in binaries if path.exists()), sys.executable, *_of_alembic()):
        if python not in seen:
            seen.add(python)
            yield python


def _of_alembic() -> Iterator[str]:
    """The Python that the `alembic` of the command line is started with, as its first line says."""
    if program := shutil.which("alembic"):
        first = ""
        with contextlib.suppress(OSError), Path(program).open("rb") as file:
            first = file.readline(1000).decode(errors="replace")
        python = first.removeprefix("#!").strip()
        if first.startswith("#!") and Path(python).is_file():
            yield python


def redact(text: str) -> str:
    """Passwords in URLs, out of whatever a project prints."""
    return re.sub(r"(://[^:/@\s'\"]*):[^@/\s'\"]+@", r"\1:***@", text)
