"""Where a MySQL or MariaDB server is: URLs read, written and redacted, connections opened."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.parse import quote as percent

from seatrial.errors import ServerError
from seatrial.servers.urls import redact, without

_SCHEMES = re.compile(r"(mysql|mariadb)(\+\w+)?$")
_MODES = ("disabled", "preferred", "required", "verify_ca", "verify_identity")
_NO_TLS_THERE = frozenset({2026})
_CLIENT_PASSWORD = frozenset({1045, 1698, 1044})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server and how to log in; ``database`` is the one that the URL names, if any."""

    scheme: str = "mysql"
    user: str = ""
    password: str = ""
    host: str = "localhost"
    port: int = 3306
    unix_socket: str = ""
    database: str = ""
    tls: str = "preferred"
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    options: tuple[tuple[str, str], ...] = ()  # other settings of the URL, handed on as they were

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read a URL. Raises ServerError, with the URL redacted."""
        try:
            parts = urlsplit(url)
            scheme, port = parts.scheme, parts.port
        except ValueError:
            raise _unreadable(url) from None
        if not _SCHEMES.match(scheme):
            raise _unreadable(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        target = cls(
            scheme=scheme.partition("+")[0],
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            host=unquote(parts.hostname or "") or "localhost",
            port=port or 3306,
            database=unquote(parts.path.lstrip("/")),
        )
        return target._with_settings(query, url)

    def _with_settings(self, query: dict[str, str], url: str) -> Target:
        known: dict[str, Any] = {
            "unix_socket": next((query.pop(k) for k in ("unix_socket", "socket") if k in query), ""),
            "tls_ca": _take(query, "ssl_ca", "ssl-ca"),
            "tls_cert": _take(query, "ssl_cert", "ssl-cert"),
            "tls_key": _take(query, "ssl_key", "ssl-key"),
            "user": query.pop("user", self.user),
            "password": query.pop("password", self.password),
        }
        mode = _take(query, "ssl-mode", "ssl_mode", "sslmode", "tls").lower().replace("-", "_")
        mode = {
            "": "verify_ca" if known["tls_ca"] else "preferred",
            "true": "verify_identity",
            "false": "disabled",
        }.get(mode, mode)
        mode = {"skip_verify": "required", "require": "required", "disable": "disabled", "prefer": "preferred"}.get(
            mode, mode
        )
        if mode not in _MODES:
            raise ServerError(f"{redact(url)} has an unknown ssl-mode. Give one of {', '.join(_MODES).upper()}.")
        return replace(self, tls=mode, options=tuple(sorted(query.items())), **known)

    @property
    def place(self) -> str:
        """Host and port, or the socket: how the ledger knows the server again."""
        return self.unix_socket or f"{self.host}:{self.port}"

    @property
    def redacted(self) -> str:
        return redact(self.url(self.database))

    def url(self, name: str) -> str:
        """A URL of a database on this server, with the password; sockets and further settings as parameters."""
        login = percent(self.user, safe="") + (":" + percent(self.password, safe="") if self.password else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = host if self.unix_socket or self.port == 3306 else f"{host}:{self.port}"
        settings = dict(self.options)
        given = {
            "unix_socket": self.unix_socket,
            "ssl_ca": self.tls_ca,
            "ssl_cert": self.tls_cert,
            "ssl_key": self.tls_key,
        }
        settings |= {k: v for k, v in given.items() if v}
        if self.tls != ("verify_ca" if self.tls_ca else "preferred"):
            settings["ssl-mode"] = self.tls.upper()
        query = "&".join(f"{k}={percent(v, safe='/')}" for k, v in sorted(settings.items()))
        return f"{self.scheme}://{login + '@' if login else ''}{place}/{percent(name, safe='')}" + (
            f"?{query}" if query else ""
        )

    def connect(self, name: str | None) -> Any:
        """A new connection in autocommit, its values text or bytes. Raises ServerError, without the password."""
        pymysql = driver()
        try:
            return self._connect(pymysql, name)
        except (pymysql.err.MySQLError, OSError, RuntimeError, ValueError) as error:
            raise ServerError(self._refusal(error)) from None

    def _connect(self, pymysql: Any, name: str | None) -> Any:
        settings: dict[str, Any] = {
            "user": self.user or None,
            "password": self.password.encode(),  # text would go out in latin-1; servers keep UTF-8
            "database": name,
            "charset": "utf8mb4",
            "autocommit": True,
            "connect_timeout": 10,
            "conv": {},  # the server's own text, not Python's idea of it
        }
        settings |= {"unix_socket": self.unix_socket} if self.unix_socket else {"host": self.host, "port": self.port}
        if self.unix_socket and self.tls == "preferred":
            return self._connect_beside(pymysql, settings)
        if self.tls == "disabled":
            return pymysql.connect(ssl_disabled=True, **settings)
        try:
            return pymysql.connect(ssl=self._tls_context(), **settings)
        except pymysql.err.OperationalError as error:
            if self.tls != "preferred" or error.args[0] not in _NO_TLS_THERE:
                raise
            return pymysql.connect(ssl_disabled=True, **settings)

    def _connect_beside(self, pymysql: Any, settings: dict[str, Any]) -> Any:
        """Through a socket, in the clear as the mysql client does (setting TLS up costs ten times the rest); an account
        may demand TLS there, too (CREATE USER ... REQUIRE SSL)."""
        try:
            return pymysql.connect(ssl_disabled=True, **settings)
        except pymysql.err.OperationalError as error:
            if error.args[0] not in _CLIENT_PASSWORD:
                raise
            refused = error
        try:
            return pymysql.connect(ssl=self._tls_context(), **settings)
        except pymysql.err.OperationalError:
            raise refused from None

    def _tls_context(self) -> ssl.SSLContext:
        return _context(self.tls, self.tls_ca, self.tls_cert, self.tls_key)

    def _refusal(self, error: Exception) -> str:
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        words = self.clean_of_secrets(" ".join(str(error.args[-1] if error.args else error).split()))
        if number in _CLIENT_PASSWORD:
            advice = "Check user, password (write special characters as %XX) and rights."
        elif number == 1049:
            advice = "Give the server without a database name, or one that exists."
        elif "cryptography" in words:
            advice = "Let it use TLS (ssl-mode=REQUIRED), or pip install 'pymysql[rsa]'."
        else:
            advice = "Check that the server runs and that host, port or socket are right."
        return f"{self.redacted} cannot be used: {words}. {advice}"

    def clean_of_secrets(self, text: str) -> str:
        """The text without the password, however it is written."""
        return without([self.password], text)


@lru_cache(maxsize=8)
def _context(mode: str, ca: str, cert: str, key: str) -> ssl.SSLContext:
    """Made once: reading the machine's certificates takes longer than a connection."""
    if mode in ("preferred", "required"):  # encrypted, but the server may be anybody, as in the mysql client
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context = ssl.create_default_context(cafile=ca or None)
        context.check_hostname = mode == "verify_identity"
    if cert:
        context.load_cert_chain(cert, key or None)
    return context


def _take(query: dict[str, str], *names: str) -> str:
    return next((query.pop(name) for name in names if name in query), "")


def _unreadable(url: str) -> ServerError:
    return ServerError(
        f"{redact(url)} cannot be read as a URL like mysql://user:password@host:3306/. "
        "Write special characters in user and password as %XX."
    )


def driver() -> Any:
    """PyMySQL, or a ServerError that says how to get it."""
    try:
        import pymysql
        import pymysql.err
    except ImportError:
        raise ServerError(
            "MySQL and MariaDB need the driver PyMySQL, which is not installed: pip install 'seatrial[mysql]'"
        ) from None
    return pymysql
