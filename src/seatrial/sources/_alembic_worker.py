"""Started with the project's own Python (3.8+), to run its Alembic migrations there. A script, not a module.

Speaks JSON lines with _alembic_client.py: one request, one answer, over the standard input and output that it was
started with; whatever the project prints goes to standard error's file. The files beside this one are a package of
their own here, ``seatrial_worker``, with what the engines' folder has for this process: nothing else of Seatrial need
be installed where the project is.

Standard library, and the project's own alembic and sqlalchemy.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import os
import sys
import types
from collections.abc import Iterator
from typing import Any

HERE = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120 - pathlib is slower to import than all of this
ENGINES = os.path.join(os.path.dirname(HERE), "engines")  # noqa: PTH118, PTH120
PACKAGE = "seatrial_worker"


def put_apart() -> None:
    """This folder is kept off sys.path: its alembic.py would hide the project's Alembic."""
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != HERE]
    package = types.ModuleType(PACKAGE)
    package.__path__ = [HERE, ENGINES]
    sys.modules[PACKAGE] = package


def ours(name: str) -> Any:
    """A module beside this file. Its bytecode is kept as Python usually does; the project's is not (``-B``)."""
    with keeping_bytecode():
        return importlib.import_module(f"{PACKAGE}.{name}")


@contextlib.contextmanager
def keeping_bytecode() -> Iterator[None]:
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def apart_from_what_is_printed() -> tuple[Any, Any]:
    """What is asked and what is answered, which the project neither reads nor writes."""
    requests, answers = os.fdopen(os.dup(0), "r", encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    quiet = os.open(os.devnull, os.O_RDONLY)
    os.dup2(quiet, 0)
    os.dup2(2, 1)  # what the project prints goes where its errors go
    sys.stdin = os.fdopen(0, "r", closefd=False)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), line_buffering=True, errors="replace")
    return requests, answers


def main() -> None:
    gc.disable()  # nearly all that is imported stays: looking for garbage in it took a fifth of the start
    put_apart()
    talk = ours("_alembic_talk").Talk(*apart_from_what_is_printed())
    talk.end_with_it()
    sessions = ours("_alembic_session")
    ours("_alembic_late").put_off()
    session = sessions.Session(talk, lambda: ours("_sqlite_journal"))
    session.guard()
    talk.send(sessions.hello())
    session.run()
    atexit._run_exitfuncs()  # the project's own
    sys.stderr.flush()
    os._exit(0)  # taking SQLAlchemy's modules apart costs as much as ten steps


if __name__ == "__main__":
    main()
