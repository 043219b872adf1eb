"""Where the walk stands: what cannot be brought back by a copy is done again from nothing, and leaves nothing."""

from __future__ import annotations

import pytest
from engine_fixture import Engine

from seatrial.model import Status

T = ("CREATE TABLE t (id INT PRIMARY KEY, a INT);", "DROP TABLE t;")
DOWN_FAILS = ("CREATE TABLE o (id INT);", "DROP TABLE nowhere;")
ADD = ("ALTER TABLE t ADD COLUMN e INT;", "ALTER TABLE t DROP COLUMN e;")
REFUSED_AGAIN = {
    "a value that only a lax session may compute": (
        "SET sql_mode = ''; CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT, g DOUBLE AS (a / b) STORED);"
        " INSERT INTO t (id, a, b) VALUES (1, 1, 0);"
    ),
    "a view of a table that is gone": (
        "CREATE TABLE t (id INT PRIMARY KEY, a INT); CREATE TABLE gone (id INT); CREATE VIEW v AS SELECT id FROM gone;"
        " DROP TABLE gone;"
    ),
}


@pytest.mark.engines("mysql", "mariadb")
@pytest.mark.parametrize("what", REFUSED_AGAIN)
def test_a_copy_that_the_engine_refuses_is_not_needed(engine: Engine, what: str) -> None:
    report = engine.run([(REFUSED_AGAIN[what], "DROP TABLE t;"), DOWN_FAILS, ADD], settings="[seed]\nrows = 3\n")
    outcomes = [(m.status, [f.rule for f in m.findings if f.rule != "schema-not-restored"]) for m in report.migrations]
    assert outcomes[1:] == [(Status.FAILED, ["down-failed"]), (Status.PASSED, [])]


@pytest.mark.engines("postgresql", "mysql", "mariadb")
def test_a_repaired_seed_beside_an_account_of_the_project(engine: Engine) -> None:
    """The account goes with the first database, or the second could not make it."""
    host = "" if engine.name == "postgresql" else "@localhost"
    up = (
        "CREATE TABLE p (id INT PRIMARY KEY);"
        " CREATE TABLE t (id INT PRIMARY KEY, a INT NOT NULL, FOREIGN KEY (a) REFERENCES p (id));"
        f" CREATE USER seatrial_stand{host};"
    )
    down = f"DROP TABLE t; DROP TABLE p; DROP USER seatrial_stand{host};"
    report = engine.run([(up, down), ADD], seed="INSERT INTO t VALUES (1, 9);", settings="[retry]\npauses = [0.01]\n")
    assert (report.status, [(r.strategy, r.succeeded) for r in report.retries]) == (
        Status.PASSED,
        [("fix-seed-data", True)],
    )
    assert not [row for row in engine.server.accounts() if "seatrial_stand" in str(row)]


@pytest.mark.engines("postgresql", "mysql", "mariadb")
def test_an_account_that_down_forgets_stops_the_second_up(engine: Engine) -> None:
    """Its refusal is the migration's own, and hides no loss."""
    host = "" if engine.name == "postgresql" else "@localhost"
    up = f"UPDATE t SET a = 0; CREATE USER seatrial_twice{host};"
    report = engine.run([T, (up, "SELECT 1;")], seed="INSERT INTO t VALUES (1, 5);")
    assert {"up-not-repeatable", "schema-not-restored", "values-lost"} <= {
        f.rule for f in report.migrations[1].findings
    }
    assert not [row for row in engine.server.accounts() if "seatrial_twice" in str(row)]
