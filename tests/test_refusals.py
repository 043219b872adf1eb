"""What a database had against a statement: told alike by every engine, and what up-failed advises for it."""

from __future__ import annotations

import pytest

from seatrial.model import Refusal, Script, Transaction

BASE = """
CREATE TABLE p (id integer PRIMARY KEY);
CREATE TABLE t (id integer PRIMARY KEY, v varchar(20), w varchar(20));
INSERT INTO t VALUES (1, NULL, 'a'), (2, 'x', 'a');
CREATE VIEW shown AS SELECT v FROM t;
"""
REFUSED = {
    "CREATE TABEL u (id int)": Refusal.SYNTAX,
    "ALTER TABLE nowhere ADD COLUMN x int": Refusal.MISSING,
    "UPDATE t SET absent = 1": Refusal.MISSING,
    "CREATE TABLE t (id int)": Refusal.EXISTING,
    "ALTER TABLE t ADD COLUMN v int": Refusal.EXISTING,
    "CREATE UNIQUE INDEX t_w ON t (w)": Refusal.ROWS,
    "INSERT INTO t (id) VALUES (1)": Refusal.ROWS,
}
OWN = {
    "sqlite": {"ALTER TABLE t DROP COLUMN v": Refusal.RELIED_ON, "ALTER TABLE t ADD n int NOT NULL": Refusal.ROWS},
    "postgresql": {"DROP TABLE t": Refusal.RELIED_ON, "ALTER TABLE t ALTER v SET NOT NULL": Refusal.ROWS},
    "mysql": {"ALTER TABLE t MODIFY v varchar(20) NOT NULL": Refusal.ROWS},
    "mariadb": {"ALTER TABLE t ADD CHECK (v > 'y')": Refusal.ROWS},
}


def test_what_the_database_had_against_it(engine):
    database = engine.create()
    assert database.run(Script(text=BASE, transaction=Transaction.STATEMENTS)).error is None
    told = {}
    wanted = REFUSED | OWN[engine.name]
    for statement in wanted:
        error = database.run(Script(text=statement, transaction=Transaction.STATEMENTS)).error
        assert error is not None, statement
        told[statement] = database.refusal(error)
    assert told == wanted


UNKNOWN = {  # of these refusals, nothing is known
    "sqlite": "SELECT abs(-9223372036854775807 - 1);",
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'no'; END $$;",
    **dict.fromkeys(("mariadb", "mysql"), "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no';"),
}


TWICE = "`SELECT v, count(*) FROM t WHERE v IS NOT NULL GROUP BY v HAVING count(*) > 1` finds them; put `DELETE "


@pytest.mark.parametrize(
    ("up", "advice"),
    [
        ("CREATE TABEL u (id int);", "correct its text"),
        ("UPDATE nowhere SET x = 1;", "Make what the statement names before"),
        (
            "CREATE UNIQUE INDEX t_v ON t (v);",
            f"needs first: {TWICE}",
        ),
        (None, ""),
    ],
    ids=["syntax", "missing", "rows", "unknown"],
)
def test_the_advice_is_about_what_was_refused(engine, trial, up, advice):
    up = up or UNKNOWN[engine.name]
    seed = "INSERT INTO t VALUES (1, 'a'), (2, 'a');"
    done = trial(base="CREATE TABLE t (id integer PRIMARY KEY, v varchar(9));", seed=seed, up=up, down="SELECT 1;")
    (found,) = [f for m in done.report.migrations for f in m.findings if f.rule == "up-failed"]
    assert advice in found.recommendation
    assert bool(advice) == bool(found.recommendation)


TRANSACTION = {"sqlite": "VACUUM;", "postgresql": "CREATE INDEX CONCURRENTLY t_v ON t (v);"}
OUTSIDE = "that says `transaction:false` behind `-- migrate:up` or `-- migrate:down`."


@pytest.mark.engines("sqlite", "postgresql")
def test_what_cannot_run_inside_a_transaction(engine, trial):
    base = "CREATE TABLE t (id integer PRIMARY KEY, v varchar(9));"
    done = trial(base=base, up=TRANSACTION[engine.name], down="SELECT 1;")
    (found,) = [f for m in done.report.migrations for f in m.findings if f.rule == "up-failed"]
    assert found.causes == ("the statement cannot run inside a transaction, and here it does: the tool's",)
    assert found.recommendation.endswith(OUTSIDE)


@pytest.mark.engines("postgresql")
@pytest.mark.parametrize(
    "statements",
    [
        "CREATE TABLE u (a int); CREATE INDEX CONCURRENTLY u_a ON u (a);",
        "CREATE INDEX CONCURRENTLY t_a ON t (id); SELECT 1;",
    ],
)
def test_several_statements_sent_as_one_string_are_one_transaction(engine, trial, statements):
    """PostgreSQL manual, 55.2.2.1."""
    both = f"--free\n{statements}"
    done = trial(base="CREATE TABLE t (id int PRIMARY KEY);", up=both, down="SELECT 1;")
    (found,) = [f for m in done.report.migrations for f in m.findings if f.rule == "up-failed"]
    assert found.causes[0].endswith("here it does: the one that the server makes of statements sent together")
    assert "with no other statement in it" in found.recommendation


@pytest.mark.engines("postgresql")
def test_what_has_to_be_committed_first(engine, trial):
    up = "ALTER TYPE m ADD VALUE 'b'; SELECT 'b'::m;"
    done = trial(base="CREATE TYPE m AS ENUM ('a');", up=up, down="SELECT 1;")
    (found,) = [f for m in done.report.migrations for f in m.findings if f.rule == "up-failed"]
    assert "made in the same transaction" in found.causes[0]
    assert found.recommendation == "Move what makes it to a migration of its own, before this one."


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize(("up", "empty"), [("", True), ("UPDATE t SET v = v;", False)])
def test_a_down_behind_an_up_that_is_empty(engine, trial, up, empty):
    done = trial(base="CREATE TABLE t (id integer PRIMARY KEY, v text);", up=up, down="ALTER TABLE t DROP COLUMN w;")
    (found,) = [f for m in done.report.migrations for f in m.findings if f.rule == "down-failed"]
    assert found.causes[0].startswith("up sent no statement to the database") == empty
    assert found.recommendation.startswith("Write what up is to do") == empty
