"""The command, called hundreds of times: a process that has imported it once forks for each call.

    python warm.py serve SOCKET             until its standard input ends
    python -S -E warm.py call SOCKET ARG... as `seatrial ARG...`: the same output, files and exit code

Every call is a process of its own that runs ``seatrial.cli.main`` and ends as the command ends; what it is spared is
Python's start and the imports, which are most of what a small run costs. POSIX only.
"""

import json
import os
import socket
import sys
from pathlib import Path


def call(place: str, arguments: list[str]) -> int:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(place)
        what = json.dumps({"arguments": arguments, "folder": str(Path.cwd()), "environ": dict(os.environ)}).encode()
        socket.send_fds(server, [len(what).to_bytes(8, "big")], [1, 2])
        server.sendall(what)
        answer = server.recv(1)
    return answer[0] if answer else 70


LOADED = (
    *("seatrial.cli", "seatrial.engines.sqlite", "seatrial.engines.postgresql", "seatrial.engines.mariadb"),
    *("seatrial.servers.files", "seatrial.servers.postgresql", "seatrial.servers.mysql", "psycopg", "pymysql"),
    *("seatrial.trial.walk", "seatrial.judge", "seatrial.codec", "seatrial.reporters.json", "rich.cells"),
)


def serve(place: str) -> None:
    import contextlib
    import gc
    import importlib
    import select

    for name in LOADED:
        with contextlib.suppress(ImportError):  # a driver that is not installed: the command says so
            importlib.import_module(name)
    importlib.import_module("seatrial.checks").load()
    importlib.import_module("seatrial.checks.long_running").LONG_MS = 30_000.0  # the machine may be busy: see conftest
    gc.freeze()  # a look for cycles would copy every page that the processes share
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([sys.stdin, listening], [], [])[0]:
            client, _ = listening.accept()
            _reap()
            if os.fork() == 0:
                listening.close()
                return _handle(client)
            client.close()
    return None


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _handle(client: socket.socket) -> None:
    """In a process of its own: fork the one that runs the command, and tell how that ended."""
    head, files, _, _ = socket.recv_fds(client, 8, 2)
    what = b""
    while len(what) < int.from_bytes(head, "big"):
        what += client.recv(1 << 16)
    asked = json.loads(what)
    child = os.fork()
    if child == 0:
        client.close()
        _become(asked, files)
        _run()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    client.sendall(bytes([code if code >= 0 else 128 - code]))
    os._exit(0)


def _run() -> None:
    """The command, to its end. Nothing is taken apart: that would copy what the processes share."""
    import atexit
    import traceback

    from seatrial.cli import main

    code = 70
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become(asked: dict, files: list[int]) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in enumerate(files, 1):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    sys.argv[:] = ["seatrial", *asked["arguments"]]


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        sys.exit(serve(sys.argv[2]))
    sys.exit(call(sys.argv[2], sys.argv[3:]))
