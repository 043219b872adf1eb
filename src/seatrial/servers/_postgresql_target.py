"""Where a PostgreSQL server is: URLs read, written and redacted, connections opened."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as percent

from seatrial.errors import ServerError
from seatrial.servers.urls import redact, without

if TYPE_CHECKING:
    import psycopg

_PASSWORD_KEYS = ("password", "sslpassword")


class Target:
    """Where to connect: libpq's parameters; knows how to leave its password out."""

    def __init__(self, parameters: dict[str, str]) -> None:
        self._parameters = parameters

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read a URL as libpq does (manual, 34.1.1.2). Raises ServerError."""
        psycopg = driver()
        scheme, separator, rest = url.partition("://")
        if not separator or scheme.split("+")[0] not in ("postgresql", "postgres"):
            raise ServerError(
                f"{redact(url)} is no PostgreSQL URL. Give one like postgresql://user:password@host:5432."
            )
        try:
            found = psycopg.conninfo.conninfo_to_dict(f"postgresql://{rest}")
        except psycopg.Error as error:  # its words may quote the password
            strange = re.search(r'invalid URI query parameter: "(\w+)"', str(error))
            hint = f"libpq knows no setting {strange[1]}: leave it out" if strange else _ESCAPE
            raise ServerError(f"{redact(url)} cannot be read as a URL. {hint}.") from None
        return cls({key: str(value) for key, value in found.items() if value is not None})

    @property
    def database(self) -> str:
        return self._parameters.get("dbname", "")

    @property
    def maintenance(self) -> str:
        """The database for CREATE DATABASE and the like."""
        return self.database or "postgres"

    @property
    def place(self) -> str:
        """Host and port: how the ledger knows the server again."""
        host = self._parameters.get("host") or self._parameters.get("hostaddr") or "localhost"
        return f"{host}:{self._parameters.get('port') or '5432'}"

    @property
    def redacted(self) -> str:
        return redact(self.url(self.database))

    def url(self, name: str) -> str:
        """A URL of a database on this server, with the password; sockets and further settings as parameters."""
        rest = dict(self._parameters, dbname=name)
        user, password = rest.pop("user", ""), rest.pop("password", "")
        login = percent(user, safe="") + (":" + percent(password, safe="") if password else "")
        host, port, database = rest.pop("host", ""), rest.pop("port", ""), rest.pop("dbname")
        if host.startswith(("/", "@")) or "," in host or "," in port:
            rest |= {"host": host} | ({"port": port} if port else {})
            host = port = ""
        host = f"[{host}]" if ":" in host else percent(host, safe="")
        place = (login + "@" if login else "") + host + (f":{port}" if port else "")
        query = "&".join(f"{key}={percent(value, safe='/')}" for key, value in sorted(rest.items()))
        return f"postgresql://{place}/{percent(database, safe='')}" + (f"?{query}" if query else "")

    def connect(self, name: str, application: str = "") -> psycopg.Connection[Any]:
        """A new connection in autocommit, its strings in UTF-8. Raises ServerError, without the password."""
        library = driver()
        settings = dict(self._parameters, dbname=name, client_encoding="UTF8")
        settings.setdefault("connect_timeout", "10")
        if application:
            settings["application_name"] = application
        try:
            connection: psycopg.Connection[Any] = library.connect(**settings, autocommit=True, prepare_threshold=None)
            return connection
        except library.Error as error:
            raise ServerError(self._refusal(str(error))) from None

    def _refusal(self, words: str) -> str:
        words = self.clean_of_secrets(" ".join(words.split()))
        if _IDENTITY.search(words):
            advice = "Check user and password (write special characters as %XX)."
        elif "not permitted to log in" in words:
            advice = "Give another user, or let this one log in: ALTER ROLE ... LOGIN."
        elif "does not exist" in words:
            advice = "Give the server without a database name, or one that exists."
        else:
            advice = "Check that the server runs and that host and port are right."
        stop = "" if words.endswith(("?", ".")) else "."
        return f"{self.redacted} cannot be used: {words}{stop} {advice}"

    def clean_of_secrets(self, text: str) -> str:
        """The text without any password of ours, however it is written."""
        return without([self._parameters.get(key, "") for key in _PASSWORD_KEYS], text)


_ESCAPE = "Write special characters in user and password as %XX"
_IDENTITY = re.compile("password authentication failed|no password supplied|Ident|Peer auth|role .* does not exist")


def driver() -> Any:
    """psycopg, or a ServerError that says how to get it."""
    try:
        import psycopg
    except ImportError:
        raise ServerError(
            "PostgreSQL needs the driver psycopg, which is not installed: pip install 'seatrial[postgresql]'"
        ) from None
    return psycopg
