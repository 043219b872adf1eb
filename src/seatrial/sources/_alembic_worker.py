"""Runs a project's Alembic migrations, one step at a time, in the project's own Python (3.8+). A script, not a module.

Speaks JSON lines with _alembic_client.py: one request, one answer, over the standard input and output that it was
started with; whatever the project prints goes to standard error's file. The project is imported once and its revisions
stay loaded, but every step has what a new ``alembic upgrade`` would have: a fresh run of env.py, a fresh run of the
revision's module, and new connections; or, on SQLite, a run of env.py and a connection that the steps before it have
left as they were (_alembic_going_on.py).

Standard library, and the project's own alembic and sqlalchemy.
"""

from __future__ import annotations

import argparse
import ast
import atexit
import contextlib
import functools
import gc
import importlib.util
import io
import json
import os
import re
import select
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DATABASE_URL = re.compile(r"(?:postgres(?:ql)?|mysql|mariadb|sqlite)(?:\+\w+)?:/")

_ASYNC = re.compile(r"\bcreate_async_engine\b|\basync_engine_from_config\b|\bAsyncEngine\b")
# An env.py that puts the driver into its URL by itself: one that is there already would be put in twice.
_MAKES_ASYNC = re.compile(r"\.replace\(\s*['\"](?:sqlite|postgresql|mysql|mariadb)\b[^'\"+]*['\"]\s*,\s*['\"]\w+\+\w+")


def sibling(name: str) -> Any:
    """A module beside this file. This folder is kept off sys.path: its alembic.py would hide the project's Alembic."""
    spec = importlib.util.spec_from_file_location("seatrial_" + name, HERE / (name + ".py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
guard_module = sibling("_alembic_guard")
observer_module = sibling("_alembic_observer")
going_on = sibling("_alembic_going_on")
env_module = sibling("_alembic_env")
flask_module = sibling("_alembic_flask")
guard = guard_module.Guard()
observer = observer_module.Observer(guard)


class Problem(Exception):
    """The project's set-up keeps its migrations from being read or run."""


class Project:
    """A project's Alembic environment, loaded."""

    def __init__(self, facts: dict[str, Any]) -> None:
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        self.facts = facts
        settings: dict[str, Any] = {"ini_section": facts.get("section") or "alembic"}
        if facts.get("toml"):
            settings["toml_file"] = facts["toml"]
        self.config = Config(facts.get("ini"), **settings)
        if facts.get("script_location"):
            self.config.set_main_option("script_location", facts["script_location"])
        self.script = ScriptDirectory.from_config(self.config)
        self.env = str(Path(str(self.script.dir)) / "env.py")
        self._code: dict[str, Any] = {}
        self._has_plain_env = env_module.is_plain(self.env)
        asks = flask_module.asks_for_app(self._text())
        self._app = flask_module.Application(facts.get("app")) if asks else None
        self._at: Any = None  # the revision at hand
        self._way = ""
        self._is_told = False  # what its step came to
        self._table = ""  # where env.py has Alembic keep the versions

    # --- discovery ---

    def describe(self) -> dict[str, Any]:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                scripts = list(self.script.walk_revisions())
            finally:  # what it warned of tells more than the KeyError that follows
                self._complain([str(w.message) for w in said])
        return {
            "revisions": [self._revision(script) for script in scripts],
            "heads": list(self.script.get_heads()),
            "script_location": str(self.script.dir),
            "async": bool(_ASYNC.search(self._text()) and not _MAKES_ASYNC.search(self._text())),
            "url": self._given_url(),
            "version_table": self._version_table(),
        }

    def _complain(self, said: list[str]) -> None:
        """Alembic only warns about two revisions of one name and about unknown parents."""
        for message in said:
            twin = re.search(r"Revision (\S+) is present more than once", message)
            if twin:
                files = ", ".join(sorted(self._files_of(twin.group(1))))
                raise Problem(
                    f"Revision {twin.group(1)} is there more than once: {files}. Give one of them another id."
                )
            orphan = re.search(r"Revision (\S+) referenced from (.*) is not present", message)
            if orphan:
                files = ", ".join(self._files_naming(orphan.group(1))) or orphan.group(2)
                raise Problem(
                    f"{files} names {orphan.group(1)} as a parent, and no file has that revision. "
                    "Add the missing file, or correct down_revision or depends_on."
                )

    def _files_of(self, revision: str) -> Iterator[str]:
        return self._files_with(rf"^revision\s*(?::[^=]*)?=\s*['\"]{re.escape(revision)}['\"]")

    def _files_naming(self, revision: str) -> Iterator[str]:
        return self._files_with(rf"\b(?:down_revision|depends_on)\s*(?::[^=]*)?=.*['\"]{re.escape(revision)}['\"]")

    def _files_with(self, text: str) -> Iterator[str]:
        pattern = re.compile(text, re.MULTILINE)
        for place in self._version_locations():
            for folder, _, names in os.walk(place):
                for name in names:
                    path = str(Path(folder) / name)
                    if name.endswith(".py") and pattern.search(read(path)):
                        yield path

    def _version_locations(self) -> list[str]:
        found = getattr(self.script, "_version_locations", None)
        return [str(place) for place in found] if found else [str(self.script.versions)]

    def _revision(self, script: Any) -> dict[str, Any]:
        path = str(script.path)
        return {
            "id": script.revision,
            "path": path,
            "doc": script.doc or "",
            "slug": re.sub(rf"^{re.escape(script.revision)}[_\-]", "", Path(path).stem),
            "down": list(tupled(getattr(script, "_versioned_down_revisions", None) or script.down_revision)),
            "needs": list(tupled(getattr(script, "_resolved_dependencies", None) or script.dependencies)),
            "labels": sorted(script.branch_labels or ()),
            "no_down": no_down(script, path),
        }

    def _text(self) -> str:
        return read(self.env) if Path(self.env).exists() else ""

    def _given_url(self) -> str:
        """The driver that the project itself names, without anything secret."""
        try:
            names = ("sqlalchemy.url", *self._url_options())
            url = next((url for name in names if (url := self.config.get_main_option(name))), "")
        except Exception:  # an interpolation that needs the environment
            url = ""
        return url.partition("://")[0]

    def _url_options(self) -> list[str]:
        """Other options of the section that hold a database's URL: env.py is free in what it calls it."""
        parser, section = self.config.file_config, self.config.config_ini_section
        held = parser.items(section, raw=True) if parser.has_section(section) else []
        return [name for name, value in held if DATABASE_URL.match(value)]

    def _version_table(self) -> str:
        found = re.search(r"version_table\s*=\s*['\"]([^'\"]+)['\"]", self._text())
        return found.group(1) if found else "alembic_version"

    # --- steps ---

    def step(self, request: dict[str, Any], talk: Talk) -> Any:
        """Run one revision up or down, and those after it that may follow in the same run of env.py.

        Returns what happened in the last of them, as plain data, or None where that is told by then.
        """
        self._load_app(request)
        self._turn_to(request)
        self._is_told = False
        try:
            with contextlib.nullcontext() if self._app is None else self._app.context():
                self._environment(request, talk)
            if not observer.ran:
                raise Problem(f"{self.env} ended without running any migration.")
        except guard_module.Refused:
            pass  # said below, also where the project caught it
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            observer.failed(error, str(self._at.path), self.env)
        finally:
            observer.end()
        return None if self._is_told else self._outcome()

    def _outcome(self) -> dict[str, Any]:
        return {**guard.complaint, **observer.result(), "version_table": self._table}

    def _load_app(self, request: dict[str, Any]) -> None:
        if self._app is None:
            return
        try:
            self.config = self._app.load(request["url"], self.config)
        except guard_module.Refused:
            raise
        except (Exception, SystemExit) as error:
            why = (str(error) if type(error).__name__ == "NoAppException" else told(error)).rstrip(".")
            raise Problem(
                f"{self.env} asks Flask for its application (current_app), which could not be loaded: {why}. "
                "As for `flask db upgrade`, it comes from FLASK_APP, or app.py or wsgi.py in the project's folder; "
                'or name it: `app = "package:create_app"` in [source.options].'
            ) from None

    def _turn_to(self, request: dict[str, Any]) -> None:
        self._at, self._way = self.script.get_revision(request["revision"]), request["way"]
        self._configure(self._at, self._way == "up", request)
        observer.begin(watched=bool(request.get("watched")), question=request.get("question"))

    def _environment(self, request: dict[str, Any], talk: Talk) -> None:
        """Run env.py with one step to make, or several."""
        from alembic.runtime.environment import EnvironmentContext

        revision = self._at.revision

        def steps(heads: Any, context: Any) -> Iterator[Any]:
            place = going_on.place_of(guard.target.file)
            yield self._one_step(context)
            while place is not None and self._may_go_on(context):  # Alembic has committed the step
                observer.rest()
                talk.send(self._outcome())
                following = talk.receive()
                same = going_on.follows(following, request) and going_on.place_of(guard.target.file) == place
                if not same or not self._may_follow(following, context):
                    talk.put_back(following)
                    self._is_told = True
                    return
                self._turn_to(following)
                yield self._one_step(context)

        def run() -> None:
            with EnvironmentContext(self.config, self.script, fn=steps, destination_rev=revision):
                self._run_env()

        self.config.attributes = asked = Asked()
        try:
            run()
        except Exception:
            if observer.ran or guard.refused or not asked.connection:
                raise
            with connected(request["url"]) as asked["connection"]:
                run()

    def _one_step(self, context: Any) -> Any:
        """``forget`` takes a revision off the version table and runs none of it."""
        from alembic.runtime.migration import MigrationStep

        observer.attach(context)
        self._table = str(context.version_table)
        up = self._way == "up"
        make = MigrationStep.upgrade_from_script if up else MigrationStep.downgrade_from_script
        step = make(self.script.revision_map, self._at)
        forget = self._way == "forget"
        act = nothing if forget else getattr(self._fresh(self._at), "upgrade" if up else "downgrade")
        step.migration_fn = observer.watched(act)
        return step

    def _may_go_on(self, context: Any) -> bool:
        """Whether the next step may use the connection of this one, and could not tell it from its own."""
        table = str(context.version_table)
        return (
            not guard.complaint
            and self._has_plain_env
            and going_on.keeps_to_op(str(self._at.path))
            and observer.had_one_connection()
            and going_on.is_settled(context)
            and going_on.leaves_no_trace(observer.sent(), table)
            and going_on.only_alembic(observer.beside, table)
            and going_on.is_unaltered(context, frozenset(observer_module.HEARD))
        )

    def _may_follow(self, request: dict[str, Any], context: Any) -> bool:
        """Whether a step could not tell the connection of others from its own."""
        revision = self.script.get_revision(request["revision"])
        return going_on.counts_nothing(str(revision.path)) and not going_on.has_counting_schema(context)

    def _configure(self, revision: Any, up: bool, request: dict[str, Any]) -> None:
        """What the command line would have set (alembic/config.py: CommandLine)."""
        from alembic import command

        for option in ("sqlalchemy.url", *self._url_options()):
            self.config.set_main_option(option, request["url"].replace("%", "%%"))
        self.config.cmd_opts = argparse.Namespace(
            config=self.config.config_file_name,
            name=self.config.config_ini_section,
            x=list(request["x"]) or None,
            raiseerr=False,
            quiet=False,
            cmd=(command.upgrade if up else command.downgrade, ["revision"], ["sql", "tag"]),
            revision=revision.revision,
            sql=False,
            tag=None,
        )

    def _run_env(self) -> None:
        """As ScriptDirectory.run_env(), which compiles env.py anew every time."""
        self._execute("env_py", self.env)

    def _fresh(self, revision: Any) -> Any:
        """The revision's module, executed anew: what it holds (a MetaData, a list) starts as in a new process."""
        path = str(revision.path)
        if not path.endswith(".py"):
            return revision.module
        return self._execute(re.sub(r"\W", "_", Path(path).name), path)

    def _execute(self, name: str, path: str) -> Any:
        if path not in self._code:
            # without this file's own __future__: annotations of the project's classes would become texts
            self._code[path] = compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        exec(self._code[path], module.__dict__)
        return module


class Asked(dict):  # type: ignore[type-arg] # Python 3.8
    """Alembic's ``config.attributes``, where a program that calls Alembic hands its connection to env.py.

    Most env.py make an engine where there is none (Alembic's cookbook, "Sharing a Connection"); some insist on it.
    """

    connection = False

    def get(self, key: Any, default: Any = None) -> Any:
        self.connection = self.connection or key == "connection"
        return super().get(key, default)

    def __getitem__(self, key: Any) -> Any:
        self.connection = self.connection or key == "connection"
        return super().__getitem__(key)


@contextlib.contextmanager
def connected(url: str) -> Iterator[Any]:
    """A connection as such a program would hand over; its work is kept."""
    from sqlalchemy import create_engine

    with create_engine(url).connect() as connection:
        yield connection
        with contextlib.suppress(AttributeError):  # SQLAlchemy 1.4 commits by itself
            connection.commit()


def nothing(**settings: Any) -> None:
    """A downgrade that leaves everything as it is."""


def no_down(script: Any, path: str) -> str | None:
    """Why a revision has no way back, or None: its downgrade is not there, or does nothing but raise."""
    if not hasattr(script.module, "downgrade"):
        return "it has no downgrade()"
    text = read(path) if path.endswith(".py") else ""
    if "raise" not in text:  # to parse a hundred files takes as long as ten steps
        return None
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == "downgrade":
            return raises_only(node)
    return None


def raises_only(function: Any) -> str | None:
    body = [node for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    if len(body) != 1 or not isinstance(body[0], ast.Raise) or body[0].exc is None:
        return None
    error = body[0].exc
    called = error.func if isinstance(error, ast.Call) else error
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "an error")
    words = words_of(error.args[0]) if isinstance(error, ast.Call) and error.args else ""
    return f"its downgrade raises {name}" + (": " + words if words else "")


def words_of(node: Any) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(words_of(part) if isinstance(part, ast.Constant) else "..." for part in node.values)
    return ""


def tupled(value: Any) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def read(path: str) -> str:
    return Path(path).read_bytes().decode("utf-8", "replace")


# --- the conversation -------------------------------------------------------------------------------------------------

_PARTS = ("alembic", "sqlalchemy")
_DRIVERS = (
    *("psycopg2", "psycopg", "asyncpg", "pg8000", "psycopg2cffi"),
    *("MySQLdb", "pymysql", "mysql.connector", "asyncmy", "aiomysql"),
    *("sqlite3", "aiosqlite", "pysqlcipher3"),
)


def hello() -> dict[str, Any]:
    """Who we are; answers even where the project's Python has no Alembic."""
    found: dict[str, Any] = {"python": sys.version.split()[0], "executable": sys.executable}
    for name in _PARTS:
        try:
            module = __import__(name)
            found[name] = getattr(module, "__version__", "?")
        except ImportError as error:
            found.setdefault("missing", str(error))
    found["drivers"] = [name for name in _DRIVERS if is_there(name)]
    return found


def is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


class Talk:
    """Requests and answers in turn, a JSON text a line."""

    def __init__(self, requests: Any, answers: Any) -> None:
        self._requests, self._answers = requests, answers
        self._waiting: list[Any] = []
        self._begun = 0.0
        self._asking = threading.Lock()

    def receive(self) -> Any:
        """The next request; None: nobody asks any more."""
        if self._waiting:
            return self._waiting.pop()
        line = self._requests.readline()
        self._begun = time.perf_counter()
        return json.loads(line) if line else None

    def put_back(self, request: Any) -> None:
        self._waiting.append(request)

    def send(self, answer: dict[str, Any]) -> None:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        answer["total_ms"] = (time.perf_counter() - self._begun) * 1000
        self._write(answer)

    def ask(self, question: dict[str, Any]) -> Any:
        """A question in the middle of a request, and the reply; None: nobody replies."""
        with self._asking:
            self._write(question)
            line = self._requests.readline()
        return json.loads(line) if line else None

    def _write(self, message: dict[str, Any]) -> None:
        self._answers.write(json.dumps(message, default=str) + "\n")
        self._answers.flush()


class Worker:
    """Answers requests one after the other."""

    def __init__(self, talk: Talk) -> None:
        self.project: Project | None = None
        self._talk = talk

    def answer(self, request: dict[str, Any]) -> Any:
        guard.refused = guard.outside = ""
        os.environ.update(request.get("environ") or {})
        guard.target = guard_module.Target(request["target"]) if request.get("target") else None
        if request["do"] == "open":
            return self._open(request)
        assert self.project is not None
        return self.project.step(request, self._talk)

    def _open(self, request: dict[str, Any]) -> dict[str, Any]:
        os.chdir(request["folder"])
        sys.path.append(request["folder"])  # behind everything else: only what `alembic` itself would not find
        observer.install()
        self.project = Project(request)
        return self.project.describe()

    def safely(self, request: dict[str, Any]) -> Any:
        try:
            return self.answer(request)
        except Problem as error:
            return {"problem": str(error)}
        except guard_module.Refused:
            return dict(guard.complaint)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the end of a worker: whatever the project's modules raise is an answer
            return dict(guard.complaint) or {"problem": told(error)}


def told(error: BaseException) -> str:
    """An exception as one sentence with its place: the innermost frame that is the project's own file."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not foreign(frame.filename)] or frames
    if type(error).__name__ == "CommandError":  # Alembic's own sentence to its users
        return str(error)
    words = f"{type(error).__name__}: {error}"
    if isinstance(error, ModuleNotFoundError):
        words += f" (in {sys.executable}; `python` in [source] names another)"
    return f"{own[-1].filename}, line {own[-1].lineno}: {words}" if own else words


def foreign(path: str) -> bool:
    """A library's file or one of ours."""
    return "site-packages" in path or path.startswith((str(HERE), str(Path(os.__file__).parent), "<"))


GRACE_S = 1.0


def _end_with(pipe: int) -> None:
    """Whoever asks is gone, killed perhaps: a step that takes long must not go on without them."""
    if hasattr(select, "poll"):
        hung_up = select.poll()
        hung_up.register(pipe, 0)  # that the other end was closed is told in any case (poll(2), POLLHUP)
        hung_up.poll()
        time.sleep(GRACE_S)  # between two steps the main thread ends in order
        os._exit(1)


def main() -> None:
    requests, answers = os.fdopen(os.dup(0), "r", encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    quiet = os.open(os.devnull, os.O_RDONLY)
    os.dup2(quiet, 0)
    os.dup2(2, 1)  # what the project prints goes where its errors go
    sys.stdin = os.fdopen(0, "r", closefd=False)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), line_buffering=True, errors="replace")
    threading.Thread(target=_end_with, args=(requests.fileno(),), daemon=True).start()
    guard.install()
    talk = Talk(requests, answers)
    worker = Worker(talk)

    @functools.lru_cache(maxsize=1000)  # up, down and up again send the same
    def judge(statement: str) -> str:
        answer = talk.ask({"judge": statement})
        return str(answer["outside"]) if answer else "nobody judges this statement any more"

    guard.judge = judge
    observer.announce = lambda statement, session, answer: talk.ask(
        {"watch": statement, "session": session, "answer": answer}
    )
    talk.send(hello())
    gc.set_threshold(100_000, 20, 20)  # a step makes many objects and few cycles; looking for those cost a tenth of it
    is_frozen = False
    while (request := talk.receive()) is not None:
        answer = worker.safely(request)
        if answer is not None:
            talk.send(answer)
        gc.collect()  # an engine is a cycle; while the answer is looked at, this costs nobody time
        if not is_frozen:
            gc.freeze()  # the project's modules are looked through no more
            is_frozen = True
    atexit._run_exitfuncs()  # the project's own
    sys.stderr.flush()
    os._exit(0)  # taking SQLAlchemy's modules apart costs as much as ten steps


if __name__ == "__main__":
    main()
