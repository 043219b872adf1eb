"""Users and roles that a migration makes on the server: noticed where they stay behind, and gone after the run."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from mysql_fixtures import changed, ran
from trial_fixtures import Outcome, project
from trial_fixtures import tested as run_of

from seatrial.config import ServerConfig
from seatrial.engines._accounts import Account, Accounts
from seatrial.engines.mariadb import open_database
from seatrial.engines.mysql import MysqlDatabase
from seatrial.model import Severity, Status
from seatrial.servers.mysql import MysqlServer
from seatrial.servers.mysql import clean as clean_mysql
from seatrial.servers.postgresql import PostgresqlServer
from seatrial.servers.postgresql import clean as clean_postgresql


def test_a_user_that_down_leaves_is_a_note_and_goes_with_the_run(tmp_path: Path, mysql_server: MysqlServer):
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


ACCOUNT_CHANGES = {
    "alter user {a} account lock": {"definition"},
    "alter user {a} require ssl": {"definition"},
    "alter user {a} with max_queries_per_hour 5": {"definition"},
    "grant process on *.* to {a}": {"privileges"},
    "grant select on *.* to {a} with grant option": {"privileges"},
    "revoke select on *.* from {a}": {"privileges"},
    "grant {r} to {a}": {"roles"},
    "grant process on *.* to {r}": {"privileges"},
    "alter user {a} identified by 'another'": set(),  # not told: stored with another salt each time
}


def test_each_change_of_an_account_is_seen_on_a_server_of_our_own_and_taken_back(db: MysqlDatabase):
    account, role = f"a{db.name[-9:]}", f"r{db.name[-9:]}"
    label = {"{a}": f"user {account}@localhost", "{r}": f"role {role}{'@%' if db.engine == 'mysql' else ''}"}
    change = ACCOUNT_CHANGES | (
        {"alter user {a} comment 'hers'": {"definition"}, "alter user {a} default role {r}": {"definition"}}
        if db.engine == "mysql"
        else {}
    )
    db._site.maintain(f"create user {account}@localhost identified by 'secret'")
    db._site.maintain(f"grant select on *.* to {account}@localhost")
    db._site.maintain(f"create role {role}")
    try:
        if db.engine == "mysql":
            db._site.maintain(f"grant {role} to {account}@localhost")
            del change["grant {r} to {a}"]
        before, kept = db.inspect(), db.checkpoint()
        assert "secret" not in str(dict(before)) and "'***'" in str(dict(before))
        for statement, attributes in change.items():
            ran(db, statement.format(a=f"{account}@localhost", r=role))
            of = label["{r}" if "to {r}" in statement else "{a}"]
            assert changed(before, db.inspect()) == ({of: attributes} if attributes else {}), statement
            db.restore(kept)
            assert changed(before, db.inspect()) == {}, statement
        ran(db, f"drop user {account}@localhost; drop role {role}")
        assert changed(before, db.inspect()) == {key: set() for key in label.values()}
        db.restore(kept)
        assert changed(before, db.inspect()) == {}
    finally:
        for kind, name in (("user", f"{account}@localhost"), ("role", role)):
            db._site.maintain(f"drop {kind} if exists {name}")


def test_a_privilege_that_down_leaves_is_found_at_a_url(tmp_path: Path, mysql_server: MysqlServer):
    base = "CREATE TABLE t (id int PRIMARY KEY); CREATE USER 'st_app'@'localhost';"
    up = "GRANT PROCESS ON *.* TO 'st_app'@'localhost'; ALTER USER 'st_app'@'localhost' ACCOUNT LOCK;"
    down = "ALTER USER 'st_app'@'localhost' ACCOUNT UNLOCK;"
    undone = ("GRANT RELOAD ON *.* TO 'st_app'@'localhost';", "REVOKE RELOAD ON *.* FROM 'st_app'@'localhost';")
    folder = project(tmp_path, [(base, "SELECT 1;"), (up, down), undone])
    report = run_of(folder, server=ServerConfig(url=mysql_server.url("")))
    (left,) = [f for f in report.migrations[1].findings if f.rule == "schema-not-restored"]
    assert (left.severity, left.objects) == (Severity.HIGH, ("user st_app@localhost",))
    assert "PROCESS" in left.message + " ".join(left.causes)
    assert report.migrations[2].findings == ()
    assert mysql_server.maintain("SELECT User FROM mysql.user WHERE User = 'st_app'") == []


def test_what_a_trusted_step_grants_to_others_is_compared_and_goes_with_the_database(
    tmp_path: Path, mysql_server: MysqlServer
):
    """DROP DATABASE leaves privileges in it, and they would hold for a later database of that name."""
    account = "st_stood@localhost"
    mysql_server.maintain(f"CREATE USER {account}")
    base = "CREATE TABLE t (id int PRIMARY KEY, v int);"
    up = f"GRANT SELECT ON t TO {account} WITH GRANT OPTION; GRANT UPDATE (v) ON t TO {account};"
    steps = [(base, "DROP TABLE t;"), (up, f"REVOKE UPDATE (v) ON t FROM {account};")]
    server = ServerConfig(url=mysql_server.url(""))
    try:
        why = run_of(project(tmp_path / "a", steps), server=server).migrations[1].trial.up.error
        assert why is not None and "GRANT of st_stood changes an account that stood on the server before" in why.message
        report = run_of(project(tmp_path / "b", steps, settings="[source]\ntrust = true\n"), server=server)
        (left,) = [f for f in report.migrations[1].findings if f.rule == "schema-not-restored"]
        assert left.objects == ("grant t",)
        grants = [row[0] for row in mysql_server.maintain(f"SHOW GRANTS FOR {account}")]
        assert len(grants) == 1 and "USAGE" in str(grants[0])
    finally:
        mysql_server.maintain(f"DROP USER {account}")


def test_what_a_trusted_step_grants_on_the_whole_server_goes_with_the_database(mysql_server: MysqlServer):
    account, role, other = "st_stood@localhost", "st_rank", "st_other@localhost"
    for make in (f"CREATE USER {account}", f"CREATE USER {other}", f"CREATE ROLE {role}"):
        mysql_server.maintain(make)
    mysql_server.maintain(f"GRANT RELOAD, PROCESS ON *.* TO {account}")
    before = mysql_server.maintain(f"SHOW GRANTS FOR {account}")
    try:
        with MysqlServer.at(mysql_server.url(""), open_database, trust=True) as server:
            database = server.create()
            database.note([])
            sent = [f"GRANT SHOW DATABASES ON *.* TO {account} WITH GRANT OPTION", f"GRANT {role} TO {account}"]
            sent += [f"REVOKE PROCESS ON *.* FROM {account}"]
            ran(database, "; ".join(sent))
            database.note(sent)
            mysql_server.maintain(f"GRANT RELOAD ON *.* TO {other}")  # somebody else's work: no step names it
            assert mysql_server.maintain(f"SHOW GRANTS FOR {account}") != before
            database.close()
        assert mysql_server.maintain(f"SHOW GRANTS FOR {account}") == before
        assert "RELOAD" in str(mysql_server.maintain(f"SHOW GRANTS FOR {other}"))
    finally:
        for drop in (f"DROP USER {account}", f"DROP USER {other}", f"DROP ROLE {role}"):
            mysql_server.maintain(drop)


def test_a_routine_granted_to_others_goes_with_the_database(mysql_server: MysqlServer):
    account = "st_called@localhost"
    mysql_server.maintain(f"CREATE USER {account}")
    try:
        with MysqlServer.at(mysql_server.url(""), open_database, trust=True) as server:
            database = server.create()
            ran(database, "CREATE PROCEDURE p() SELECT 1; CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1")
            ran(database, f"GRANT EXECUTE ON PROCEDURE p TO {account} WITH GRANT OPTION")
            ran(database, f"GRANT EXECUTE ON FUNCTION f TO {account}")
            database.close()
        assert len(mysql_server.maintain(f"SHOW GRANTS FOR {account}")) == 1
    finally:
        mysql_server.maintain(f"DROP USER {account}")


def test_a_user_that_is_renamed_goes_with_the_run(mysql_server: MysqlServer):
    with MysqlServer.at(mysql_server.url(""), open_database) as server:
        database = server.create()
        database.note([])
        texts = ["CREATE USER st_named@localhost", "RENAME USER st_named@localhost TO st_renamed@localhost"]
        for text in texts:
            ran(database, text)
            database.note([text])
        database.close()
    assert mysql_server.maintain("SELECT User FROM mysql.user WHERE User LIKE 'st\\_%named'") == []


def test_a_role_made_in_a_block_goes_with_the_run(tmp_path: Path, pg_server: PostgresqlServer):
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
    there, dropped, kept = [("root", "user", "root", "DROP USER root", "1")], [], []

    class Site:
        def accounts(self):
            return there

        def maintain(self, sql: str):
            dropped.append(sql)
            return []

        def record_account(self, *account: str):
            kept.append(account)
            return account[1]

        def forget_account(self, *account: str):
            kept.remove(account)

    accounts = Accounts(Site())
    accounts.note([])
    there += [("app", "user", "app", "DROP USER app", "2"), ("app2", "user", "app2", "DROP USER app2", "3")]
    there[0] = ("root", "user", "root", "DROP USER root", "4")  # its password was changed meanwhile
    accounts.note(["SELECT 'app2'", "create user app", "GRANT SELECT ON t TO app2"])
    assert accounts.made() == {Account("app", "user", "app", "DROP USER app")}
    accounts.drop(keep=accounts.made())
    assert (dropped, kept) == ([], [("app", "2")])
    there[1] = ("app", "user", "app", "DROP USER app", "5")  # a second up made it again
    accounts.note(["create user app"])
    assert kept == [("app", "2"), ("app", "5")]
    accounts.drop()
    assert (dropped, kept) == (["DROP USER app"], [])
    del dropped[:], there[1:]
    there += [("app3", "user", "app3", "DROP USER app3", "6"), ("boss", "user", "boss", "DROP USER boss", "7")]
    accounts.note(["RENAME USER app TO app3", "ALTER ROLE root RENAME TO boss"])  # root stood before
    accounts.drop()
    assert dropped == ["DROP USER app3"]


KILLED = """
import os, signal, sys
from itertools import pairwise
from pathlib import Path
from seatrial import app, config
from seatrial.config import ServerConfig

def watch(event):
    if (event.migration, event.text) == ("0002", "down"):
        os.kill(os.getpid(), signal.SIGKILL)

app.run(config.load(Path(sys.argv[1])).replace(server=ServerConfig(url=sys.argv[2])), watch)
"""


def killed(folder: Path, url: str) -> None:
    """A run that is killed when its migration has made a user and a role."""
    up = "CREATE ROLE st_killed_role; CREATE USER st_killed; ALTER TABLE t ADD COLUMN v int;"
    down = "DROP ROLE st_killed_role; DROP USER st_killed; ALTER TABLE t DROP COLUMN v;"
    base = ("CREATE TABLE t (id int PRIMARY KEY);", "DROP TABLE t;")
    place = project(folder, [base, (up, down)], settings="[seed]\nrows = 2\n")
    done = subprocess.run([sys.executable, "-c", KILLED, str(place), url], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_accounts_of_a_killed_run_go_with_the_next(tmp_path: Path, mysql_server: MysqlServer):
    """Found: MariaDB's roles stayed, for it tells none from a later one of the same name."""
    listed = "SELECT User FROM mysql.user WHERE User LIKE 'st\\_killed%' OR User LIKE 'seatrial%' ORDER BY 1"
    killed(tmp_path, mysql_server.url(""))
    own = [name for (name,) in mysql_server.maintain(listed) if name.startswith("seatrial")]
    assert len(own) == (mysql_server.engine == "mariadb")
    assert mysql_server.maintain(listed)[len(own) :] == [("st_killed",), ("st_killed_role",)]
    removed = clean_mysql(mysql_server.url(""))
    assert any("user st_killed@% of run" in r for r in removed)
    assert any("role st_killed_role" in r for r in removed)
    assert mysql_server.maintain(listed) == []


def test_a_role_made_since_is_left_alone(tmp_path: Path, mysql_server: MysqlServer):
    killed(tmp_path, mysql_server.url(""))
    mysql_server.maintain("DROP ROLE st_killed_role")
    mysql_server.maintain("DO SLEEP(1)")  # MySQL's mark is a time in seconds
    mysql_server.maintain("CREATE ROLE st_killed_role")  # somebody else's
    clean_mysql(mysql_server.url(""))
    left = mysql_server.maintain("SELECT User FROM mysql.user WHERE User LIKE 'st\\_killed%' OR User LIKE 'seatrial%'")
    assert left == [("st_killed_role",)]
    mysql_server.maintain("DROP ROLE st_killed_role")


def test_roles_of_a_killed_run_go_with_the_next_but_not_those_made_since(tmp_path: Path, pg_server: PostgresqlServer):
    listed = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'st\\_killed%' ORDER BY 1"
    killed(tmp_path, pg_server.url("postgres"))
    assert pg_server.maintain(listed) == [("st_killed",), ("st_killed_role",)]
    pg_server.maintain("DROP ROLE st_killed_role")
    pg_server.maintain("CREATE ROLE st_killed_role")  # somebody else's
    assert any("role st_killed of run" in r for r in clean_postgresql(pg_server.url("postgres")))
    assert pg_server.maintain(listed) == [("st_killed_role",)]
    pg_server.maintain("DROP ROLE st_killed_role")


def test_an_account_that_a_step_drops_comes_back_with_what_it_was_granted_here(db: MysqlDatabase):
    """Found: grants came back before the account that has them, and those on a table that was gone ended the run."""
    account, roles = f"a{db.name[-9:]}@localhost", [f"r{i}{db.name[-9:]}" for i in range(3)]
    try:
        ran(db, f"create table t (a int); create user {account}; {'; '.join(f'create role {r}' for r in roles)}")
        ran(db, f"grant select on t to {account}; grant usage on *.* to {account} with grant option")
        for inner, outer in (*pairwise(roles), (roles[-1], account)):
            ran(db, f"grant {inner} to {outer}")
        before, kept = db.inspect(), db.checkpoint()
        assert "GRANT USAGE WITH GRANT OPTION" in str(dict(before))
        for step in (f"drop user {account}", f"drop table t; alter user {account} account lock", *map(dropped, roles)):
            ran(db, step)
            db.restore(kept)
            assert changed(before, db.inspect()) == {}, step
    finally:
        for kind, name in (("user", account), *(("role", r) for r in roles)):
            db._site.maintain(f"drop {kind} if exists {name}")


def dropped(role: str) -> str:
    return f"drop role {role}"
