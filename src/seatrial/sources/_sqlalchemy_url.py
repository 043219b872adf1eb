"""The URL of a throwaway database as SQLAlchemy wants it: with the driver that the project's Python has."""

from __future__ import annotations

import re
from collections.abc import Sequence

from seatrial.errors import SourceError
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True)
class Driver:
    """A SQLAlchemy driver: its name in a URL, the module it needs, and whether it is for async engines."""

    name: str
    module: str
    is_async: bool = False


# SQLAlchemy's own default first (dialects/postgresql, mysql, sqlite: __init__.py), then what projects use.
DRIVERS: dict[str, tuple[Driver, ...]] = {
    "postgresql": (
        Driver("psycopg2", "psycopg2"),
        Driver("psycopg", "psycopg"),
        Driver("pg8000", "pg8000"),
        Driver("asyncpg", "asyncpg", is_async=True),
        Driver("psycopg", "psycopg", is_async=True),
    ),
    "mysql": (
        Driver("mysqldb", "MySQLdb"),
        Driver("pymysql", "pymysql"),
        Driver("mysqlconnector", "mysql.connector"),
        Driver("asyncmy", "asyncmy", is_async=True),
        Driver("aiomysql", "aiomysql", is_async=True),
    ),
    "sqlite": (Driver("", "sqlite3"), Driver("aiosqlite", "aiosqlite", is_async=True)),
}
_DIALECT = {"mariadb": "mysql", "postgres": "postgresql"}


def dialect(scheme: str) -> str:
    """``postgresql+asyncpg`` -> postgresql."""
    name = scheme.partition("+")[0]
    return _DIALECT.get(name, name)


def choose(engine: str, installed: Sequence[str], *, wanted: str | None, given: str, is_async: bool) -> str:
    """The driver's name for a URL, empty for SQLAlchemy's default.

    ``wanted`` is the user's word (``default`` for none), ``given`` the scheme of a URL that the project itself holds.
    Raises SourceError where the project's Python has no driver for the engine.
    """
    if wanted is not None:
        return "" if wanted == "default" else wanted
    name = dialect(engine)
    there = [driver for driver in DRIVERS[name] if driver.module in installed]
    own = given.partition("+")[2]
    if own and dialect(given) == name and own in [driver.name for driver in there]:
        return own
    fitting = [driver for driver in there if driver.is_async == is_async]
    if not fitting:
        kind = "async driver" if is_async else "driver"
        names = ", ".join(dict.fromkeys(d.module for d in DRIVERS[name] if d.is_async == is_async))
        raise SourceError(
            f"The project's Python has no {kind} for {engine} ({names}). Install one there, "
            "or name another Python with `python` in [source]."
        )
    return fitting[0].name


# What SQLAlchemy's drivers take for the client's own ``ssl-mode`` (dialects/mysql/mysqldb.py, create_connect_args);
# a driver that is not named here encrypts where it can, as ``PREFERRED`` does.
_CHECKED = {"REQUIRED": "ssl_check_hostname=false", "VERIFY_CA": "ssl_check_hostname=false"}
_OWN_WORDS = {mode: f"ssl_mode={mode}" for mode in ("REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY", "DISABLED")}
_TLS = {
    "pymysql": {**_CHECKED, "VERIFY_IDENTITY": "ssl_check_hostname=true", "DISABLED": "ssl_disabled=true"},
    "mysqlconnector": {"DISABLED": "ssl_disabled=true"},
    "mysqldb": _OWN_WORDS,
    "": _OWN_WORDS,
}


def _with_tls(rest: str, driver: str) -> str:
    place, _, query = rest.partition("?")
    settings = [part for part in query.split("&") if part]
    modes = [part.partition("=")[2] for part in settings if part.startswith("ssl-mode=")]
    kept = [part for part in settings if not part.startswith("ssl-mode=")]
    kept += [word for mode in modes if (word := _TLS.get(driver, {}).get(mode))]
    return place + ("?" + "&".join(kept) if kept else "")


def with_driver(url: str, engine: str, driver: str, given: str = "") -> str:
    """``postgresql://...`` -> ``postgresql+psycopg://...``; ``given``: as for ``choose``.

    Who writes ``mariadb+pymysql`` has a dialect of that name, which migrations ask for (SQLAlchemy, "MariaDB-Only
    Mode"); it refuses MySQL.
    """
    _, separator, rest = url.partition("://")
    if driver == "pg8000":  # it has its own word for a socket (SQLAlchemy, dialects/postgresql/pg8000.py)
        port = re.search(r"[?&]port=(\d+)", rest)
        rest = re.sub(r"([?&])host=(/[^&]*)", rf"\1unix_sock=\2/.s.PGSQL.{port[1] if port else 5432}", rest)
    if dialect(engine) == "mysql":
        rest = _with_tls(rest, driver)
    name = "mariadb" if engine == given.partition("+")[0] == "mariadb" else dialect(engine)
    return name + (f"+{driver}" if driver else "") + separator + rest
