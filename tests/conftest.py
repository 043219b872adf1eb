"""For every test: the engines and their servers, the order of the tests, and what a machine must not decide.

``engine`` is the fixture of a test that needs a database: the test runs once on each engine, or on those that it is
marked with (``@pytest.mark.engines("mysql", "mariadb")``). Servers are started here, one of each a session.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import memory
import pytest
from disk_fixtures import small_disk
from engine_fixture import ENGINES, MYSQLS, Engine, Servers
from hypothesis import settings
from retry_fixtures import outside
from trial_fixtures import Outcome

from seatrial.checks import long_running

settings.register_profile("calm", deadline=None)  # timings are never asserted, by hypothesis neither
settings.load_profile("calm")

# Hundreds of tests call the command: without bytecode beside the sources each of them would compile all of it again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell starts what it puts in the background with SIGINT ignored, and the runs that are interrupted would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONG_MS, PATIENCE_MS = long_running.LONG_MS, 30_000.0
MEMORY, ROOM = Path("/dev/shm"), 8 << 30


def pytest_configure() -> None:
    """Databases and projects of tests are kept in memory where there is plenty: nothing of them has to last.

    TMPDIR names another place; workers inherit it.
    """
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and _is_roomy(MEMORY):
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


def _is_roomy(place: Path) -> bool:
    about = os.statvfs(place)
    usable = os.access(place, os.W_OK) and not about.f_flag & os.ST_NOEXEC  # some tests write programs
    return usable and min(about.f_bavail * about.f_frsize, memory.available()) >= ROOM


__all__ = ["outside", "small_disk"]

SERVED = {"servers", "pg_server"}  # fixtures that need a server of whoever asks for them


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    itself = any("engine" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "engine" in metafunc.fixturenames and not itself:
        mark = metafunc.definition.get_closest_marker("engines")
        every = MYSQLS if {"db", "mysql_server"} & set(metafunc.fixturenames) else ENGINES
        metafunc.parametrize("engine", mark.args if mark else every, indirect=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs no server comes first, and is all that `make fast` runs."""
    for item in items:
        if config.getoption("loadgroup", default=False):
            _grouped(item)
        chosen = getattr(item, "callspec", None) and item.callspec.params.get("engine")
        if chosen not in (None, "sqlite") or (chosen is None and SERVED & set(getattr(item, "fixturenames", ()))):
            item.add_marker("slow")
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def _grouped(item: pytest.Item) -> None:
    """pytest-xdist 3.8 tells groups by ``_nodeid``, which is of no effect since pytest 9.2: each worker would look.

    ``_id`` is as private: a pytest without it is left to xdist.
    """
    group, parse = item.get_closest_marker("xdist_group"), getattr(getattr(item, "_id", None), "parse", None)
    if group and parse and not item.nodeid.endswith(name := f"@{group.args[0]}"):
        item._id = parse(item.nodeid + name)  # type: ignore[attr-defined]


@pytest.fixture(scope="session", autouse=True)
def _patience() -> Iterator[None]:
    """What takes a second because the machine is busy is no finding, but with ``usual_patience``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_running, "LONG_MS", PATIENCE_MS)
        yield


@pytest.fixture
def usual_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test of the rule ``long-running`` itself."""
    monkeypatch.setattr(long_running, "LONG_MS", LONG_MS)


@pytest.fixture(scope="session")
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The state folder of a session of tests, its ledger; the cache of initialised data folders stays the user's."""
    kept = os.environ.get("XDG_STATE_HOME")
    folder = str(tmp_path_factory.mktemp("state"))
    os.environ["XDG_STATE_HOME"] = folder
    yield folder
    os.environ.pop("XDG_STATE_HOME")
    if kept is not None:
        os.environ["XDG_STATE_HOME"] = kept


@pytest.fixture(scope="session")
def servers(state_folder: str) -> Iterator[Servers]:
    """``servers["mysql"]``: the one of this session."""
    found = Servers()
    yield found
    found.close()


@pytest.fixture
def engine(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Engine]:
    """Each engine in turn."""
    found = Engine(request.param, servers[request.param], tmp_path)
    yield found
    found.close()


@pytest.fixture
def trial(engine: Engine) -> Callable[..., Outcome]:
    """``trial(base=..., seed=..., up=..., down=...)``: one migration tried in-process, judged as a run would."""
    return engine.trial


@pytest.fixture(scope="session")
def pg_server(servers: Servers) -> Any:
    return servers["postgresql"]


@pytest.fixture
def pg(pg_server: Any) -> Iterator[Any]:
    """A PostgreSQL database of the test's own."""
    database = pg_server.create()
    yield database
    database.close()


@pytest.fixture(scope="module")
def pg_shared(pg_server: Any) -> Iterator[Any]:
    """A PostgreSQL database that the tests of a module share; each makes objects of its own names."""
    database = pg_server.create()
    yield database
    database.close()


@pytest.fixture
def mysql_server(engine: Engine) -> Any:
    """MariaDB's server, then MySQL's."""
    return engine.server


@pytest.fixture
def db(engine: Engine) -> Any:
    """A MariaDB database of the test's own, then a MySQL one."""
    return engine.create()
