"""Users and roles that a migration makes on the server: noticed where they stay behind, and gone after the run."""

from __future__ import annotations

from pathlib import Path

from mysql_fixtures import mysql_server, mysql_state  # noqa: F401
from pg_fixtures import pg_server, pg_state  # noqa: F401
from trial_fixtures import Outcome, project
from trial_fixtures import tested as run_of

from seatrial.config import ServerConfig
from seatrial.engines._accounts import Account, Accounts
from seatrial.model import Severity, Status
from seatrial.servers.mysql import MysqlServer
from seatrial.servers.postgresql import PostgresqlServer


def test_a_user_that_down_leaves_is_a_note_and_goes_with_the_run(tmp_path: Path, mysql_server: MysqlServer):  # noqa: F811
    base = "CREATE TABLE t (id int PRIMARY KEY); CREATE USER kept_by_base@localhost;"
    up = (
        "CREATE USER IF NOT EXISTS 'st_app'@'localhost'; CREATE ROLE IF NOT EXISTS st_reader;"
        "GRANT SELECT ON t TO 'st_app'@'localhost'; ALTER TABLE t ADD COLUMN v int;"
    )
    down = "REVOKE SELECT ON t FROM 'st_app'@'localhost'; DROP ROLE st_reader; ALTER TABLE t DROP COLUMN v;"
    folder = project(tmp_path, [(base, "SELECT 1;"), (up, down), ("DROP TABLE nowhere;", "SELECT 1;")])
    before = mysql_server.maintain("SELECT User, Host FROM mysql.user ORDER BY 1, 2")
    report = run_of(folder, server=ServerConfig(url=mysql_server.url("")))
    judged = report.migrations[1]
    (left,) = [f for f in judged.findings if f.rule == "schema-not-restored"]
    assert (judged.status, left.severity, left.objects) == (Status.PASSED, Severity.LOW, ("user st_app@localhost",))
    assert mysql_server.maintain("SELECT User, Host FROM mysql.user ORDER BY 1, 2") == before


def test_a_role_made_in_a_block_goes_with_the_run(tmp_path: Path, pg_server: PostgresqlServer):  # noqa: F811
    base = "CREATE TABLE t (id int PRIMARY KEY);"
    up = (
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'st_reader') THEN"
        " CREATE ROLE st_reader; END IF; END $$; CREATE ROLE st_writer; GRANT SELECT ON t TO st_reader;"
    )
    down = "REVOKE SELECT ON t FROM st_reader; DROP ROLE st_writer;"
    folder = project(tmp_path, [(base, "DROP TABLE t;"), (up, down), ("DROP TABLE nowhere;", "SELECT 1;")])
    before = pg_server.maintain("SELECT rolname FROM pg_roles ORDER BY 1")
    report = run_of(folder, server=ServerConfig(url=pg_server.url("postgres")))
    outcome = Outcome(report)
    assert outcome.judged.status is Status.FAILED
    (left,) = [f for f in report.migrations[1].findings if f.rule == "schema-not-restored"]
    assert (left.severity, left.objects) == (Severity.LOW, ("role st_reader",))
    assert "up-not-repeatable" not in {f.rule for f in report.migrations[1].findings}
    assert pg_server.maintain("SELECT rolname FROM pg_roles ORDER BY 1") == before


def test_what_others_make_meanwhile_is_never_touched():
    there, dropped = [("root", "user", "root", "DROP USER root")], []

    def ask(sql: str):
        if sql.startswith("DROP"):
            dropped.append(sql)
        return there

    accounts = Accounts(ask, "SELECT")
    accounts.note([])
    there += [("app", "user", "app", "DROP USER app"), ("app2", "user", "app2", "DROP USER app2")]
    accounts.note(["SELECT 'app2'", "create user app", "GRANT SELECT ON t TO app2"])
    assert accounts.made() == {Account("app", "user", "app", "DROP USER app")}
    accounts.drop(keep=accounts.made())
    assert dropped == []
    accounts.drop()
    assert dropped == ["DROP USER app"]
