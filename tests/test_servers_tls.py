"""Servers over TCP: with a password, encrypted, with certificates that are checked; no password is ever told."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from engine_fixture import without
from mysql_fixtures import ENGINES
from pg_fixtures import PROGRAMS
from test_sources_alembic import project as alembic_project
from test_sources_alembic import revision, table
from trial_fixtures import project

from seatrial.cli import main
from seatrial.errors import ServerError
from seatrial.servers import _mysql_local, _mysql_target, _postgresql_local, _postgresql_target, ledger, process

pytestmark = pytest.mark.xdist_group("servers over tls")  # started once, by one worker

SECRET = "s3cr3t/%"
WRITTEN = "s3cr3t%2F%25"
TABLE = ("CREATE TABLE t (id integer PRIMARY KEY);", "DROP TABLE t;")


@dataclass(frozen=True)
class Certificates:
    """One of "localhost" with its key, and one of somebody else."""

    own: Path
    key: Path
    strange: Path


@pytest.fixture(scope="module")
def certificates() -> Iterator[Certificates]:
    if shutil.which("openssl") is None:
        without("openssl is not here")
    with tempfile.TemporaryDirectory(prefix="seatrial-tls-") as folder:
        yield certified(Path(folder))


def certified(folder: Path) -> Certificates:
    """Where servers that run as another user can read it, so not in pytest's own folder."""
    folder.chmod(0o755)
    for name in ("own", "strange"):
        files = ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"]
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *names]
        subprocess.run(words, check=True, capture_output=True)
    if os.geteuid() == 0:
        shutil.chown(folder / "own.key", "nobody")  # as whom the servers run then
    return Certificates(folder / "own.pem", folder / "own.key", folder / "strange.pem")


@dataclass(frozen=True)
class Reached:
    """A server that listens; ``url(query)`` logs a user in who must use TLS."""

    engine: str
    port: int
    folder: Path

    def url(self, query: str = "", user: str = "walker", host: str = "localhost", secret: str = WRITTEN) -> str:
        scheme = "postgresql" if self.engine == "postgresql" else "mysql"
        return f"{scheme}://{user}:{secret}@{host}:{self.port}/{'?' if query else ''}{query}"

    def connect(self, url: str) -> str:
        """Logs in; the cipher, empty where the connection is not encrypted. Raises ServerError."""
        if self.engine == "postgresql":
            with _postgresql_target.Target.parse(url).connect("postgres") as connection:
                found = connection.execute("SELECT cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
                return str((found or [""])[0] or "")
        with contextlib.closing(_mysql_target.Target.parse(url).connect(None)) as connection:
            cursor = connection.cursor()
            cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
            return str(cursor.fetchone()[1])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def running(engine: str, certificates: Certificates) -> Iterator[Reached]:
    run, port = ledger.Run.start(), free_port()
    start = _postgresql if engine == "postgresql" else _mysql
    try:
        server = start(run, engine, port, certificates)
    except ServerError as error:
        run.close()
        without(f"no {engine} here: {error}")
    try:
        yield Reached(engine, port, server.folder)
    finally:
        server.stop()
        for facts in run.entries:
            run.forget(**facts)
        run.close()


def _mysql(run: ledger.Run, engine: str, port: int, certificates: Certificates) -> process.Running:
    plain = _mysql_local._SETTINGS[engine]
    more = (
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--ssl-cert={certificates.own}",
        f"--ssl-key={certificates.key}",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_mysql_local._SETTINGS, engine, (*(s for s in plain if s != "--skip-networking"), *more))
        server = _mysql_local.start(run, engine)
    target = _mysql_target.Target(user="root", unix_socket=str(_mysql_local.socket(server.folder)))
    with contextlib.closing(target.connect(None)) as connection:
        cursor = connection.cursor()
        for name, tls in (("walker", "SSL"), ("plain", "NONE")):
            cursor.execute(f"CREATE USER {name}@'%' IDENTIFIED BY '{SECRET}' REQUIRE {tls}")
            cursor.execute(f"GRANT ALL ON *.* TO {name}@'%'")
    return server


def _postgresql(run: ledger.Run, _: str, port: int, certificates: Certificates) -> process.Running:
    more = {"listen_addresses": "127.0.0.1", "port": str(port), "ssl": "on"}
    files = {"ssl_cert_file": str(certificates.own), "ssl_key_file": str(certificates.key)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_postgresql_local, "_SETTINGS", _postgresql_local._SETTINGS | more | files)
        server = _postgresql_local.start(run, PROGRAMS)
    (server.data / "pg_hba.conf").write_text(
        "local all postgres trust\nhostssl all walker all scram-sha-256\nhost all plain all scram-sha-256\n"
    )
    target = _postgresql_target.Target({"host": str(server.folder), "port": str(port), "user": "postgres"})
    with target.connect("postgres") as connection:
        connection.execute("SELECT pg_reload_conf()")
        for name in ("walker", "plain"):
            connection.execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{SECRET}'")
    return server


@pytest.fixture(scope="module", params=[*ENGINES, "postgresql"])
def server(request: pytest.FixtureRequest, state_folder: str, certificates: Certificates) -> Iterator[Reached]:
    with running(request.param, certificates) as found:
        yield found


MODES = {  # no TLS, encrypted, the certificate checked, its name too
    "postgresql": ("sslmode=disable", "sslmode=require", "sslmode=verify-ca", "sslmode=verify-full", "sslrootcert"),
    "mysql": ("ssl-mode=DISABLED", "ssl-mode=REQUIRED", "ssl-mode=VERIFY_CA", "ssl-mode=VERIFY_IDENTITY", "ssl_ca"),
}
MODES["mariadb"] = MODES["mysql"]


def refusal(server: Reached, url: str) -> str:
    with pytest.raises(ServerError) as refused:
        server.connect(url)
    told = str(refused.value)
    assert "s3cr3t" not in told
    assert refused.value.__cause__ is None
    return told


def test_a_user_who_must_use_tls(server: Reached) -> None:
    off, on, *_ = MODES[server.engine]
    assert server.connect(server.url())  # without a word, encrypted where the server can
    assert server.connect(server.url(on))
    told = refusal(server, server.url(off))
    assert "no pg_hba.conf entry" in told or "Access denied" in told


def test_a_password_over_tcp_without_tls(server: Reached) -> None:
    off, on, *_ = MODES[server.engine]
    assert server.connect(server.url(on, user="plain"))  # MySQL remembers it, and needs no encryption next time
    assert server.connect(server.url(off, user="plain")) == ""


@pytest.mark.parametrize("server", ENGINES, indirect=True)
def test_through_a_socket_only_who_must_uses_tls(server: Reached) -> None:
    query = f"unix_socket={_mysql_local.socket(server.folder)}"
    assert server.connect(server.url(query, user="plain")) == ""
    assert server.connect(server.url(query))
    assert server.connect(server.url(f"{query}&ssl-mode=REQUIRED", user="plain"))
    assert "Access denied" in refusal(server, server.url(query, secret="wrong"))
    assert "Access denied" in refusal(server, server.url(f"{query}&ssl-mode=DISABLED"))


def test_certificates_are_checked(server: Reached, certificates: Certificates) -> None:
    _, _, ca, identity, named = MODES[server.engine]
    trusted, strange = f"{named}={certificates.own}", f"{named}={certificates.strange}"
    assert server.connect(server.url(f"{identity}&{trusted}"))
    assert server.connect(server.url(f"{ca}&{trusted}", host="127.0.0.1"))
    assert "127.0.0.1" in refusal(server, server.url(f"{identity}&{trusted}", host="127.0.0.1"))
    assert "certificate verify failed" in refusal(server, server.url(f"{ca}&{strange}"))


def test_a_wrong_password_is_never_told(server: Reached, tmp_path: Path) -> None:
    url = server.url(secret="Wr0ng%2Fpass")
    done = CliRunner().invoke(main, ["run", str(project(tmp_path, [TABLE])), "--server", url])
    assert done.exit_code == 2
    assert "walker:***@" in done.output
    assert "Check user" in done.output
    assert "Wr0ng" not in done.output


@pytest.mark.parametrize("kind", ["dbmate", "alembic"])
def test_a_whole_run_over_tls(server: Reached, certificates: Certificates, tmp_path: Path, kind: str) -> None:
    """The project's own driver logs in as a user who must use TLS, too."""
    _, _, _, identity, named = MODES[server.engine]
    url = server.url(f"{identity}&{named}={certificates.own}")
    first = revision("a", **table("t"))
    folder = project(tmp_path, [TABLE]) if kind == "dbmate" else alembic_project(tmp_path, first)
    done = CliRunner().invoke(main, ["run", str(folder), "--server", url, "--report", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    told = done.output + "".join(p.read_text() for p in (tmp_path / "out").iterdir())
    assert "s3cr3t" not in told
