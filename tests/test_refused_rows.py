"""Where stored rows do not bear a new rule: the SQL that an advice shows finds them, and what it puts before works."""

from __future__ import annotations

import pytest

from seatrial.model import ObjectKey, Schema, Script, TableRef, Transaction
from seatrial.sql.demands import refused
from seatrial.sql.offenders import offenders

BASE = """
CREATE TABLE p (id integer PRIMARY KEY);
CREATE TABLE t (id integer PRIMARY KEY, v varchar(20), w varchar(20), n integer, p integer, q integer);
INSERT INTO p VALUES (1);
INSERT INTO t VALUES (1, 'a', 'a', 1, 1, 1), (2, NULL, 'b', 2, 1, 1), (3, 'c', 'x', 3, 1, 1), (4, 'd', 'x', 4, 1, 1),
  (5, 'e', NULL, -5, NULL, 1), (6, 'f', NULL, 6, 99, 1), (7, 'g', 'g', 7, 1, NULL), (8, 'h', 'h', 8, 1, 77);
"""
ADDED = {
    "CREATE UNIQUE INDEX t_w ON t (w)": [("x", "2")],
    "ALTER TABLE t ADD CONSTRAINT positive CHECK (n > 0)": [("5", "-5")],
    "ALTER TABLE t ADD CONSTRAINT t_p FOREIGN KEY (p) REFERENCES p (id)": [("6", "99")],
    "ALTER TABLE t ADD UNIQUE (v, q), ADD CONSTRAINT t_q FOREIGN KEY (q) REFERENCES p (id)": [("8", "77")],
}
NEW = (
    "CREATE TABLE u (id integer PRIMARY KEY, v varchar(20) NOT NULL, w varchar(20), n integer CHECK (n > 0), p integer,"
    " q integer REFERENCES p, UNIQUE (w), CONSTRAINT t_p FOREIGN KEY (p) REFERENCES p (id));"
)
REBUILT = {
    f"{NEW} INSERT INTO u (q, id, v, w, n) SELECT q, id, v, w, n FROM t": [
        ("2", None),
        ("x", "2"),
        ("5", "-5"),
        ("8", "77"),
    ]
}
MODIFIED = {"ALTER TABLE t MODIFY v varchar(20) NOT NULL": [("2", None)]} | ADDED
REFUSED = {
    "sqlite": {**REBUILT, "CREATE UNIQUE INDEX t_pq ON t (p, q DESC) WHERE id > 0": [("1", "1", "2")]},
    "postgresql": {"ALTER TABLE t ALTER COLUMN v SET NOT NULL": [("2", None)], **ADDED},
    "mysql": MODIFIED,
    "mariadb": MODIFIED,
}


def run(database, text):
    on = "PRAGMA foreign_keys = on; DROP TABLE IF EXISTS u; " if database.engine == "sqlite" else ""
    return database.run(Script(text=on + text, transaction=Transaction.STATEMENTS))


def test_the_rows_are_found_and_brought_in_line(engine):
    database = engine.create()
    assert run(database, BASE).error is None
    for text, wanted in REFUSED[engine.name].items():
        found = []
        for _ in wanted:
            step = run(database, text)
            schema = database.inspect()
            (demand,) = refused(step.error.statement, step.texts, step.error.message, schema, engine.name)
            mend = offenders(demand, schema, engine.name)
            found += database.query(mend.find)
            database.execute(mend.fixes[-1] if mend.fixes else "DELETE FROM t WHERE id = 3")
        assert found == wanted
        assert run(database, text).error is None


T = TableRef("", "t")
ID, V = (ObjectKey("column", "", "t", name) for name in ("id", "v"))
SCHEMA = Schema({ObjectKey.of_table(T): {}, ID: {"type": "int"}, V: {"type": "varchar(9)", "nullable": True}})


@pytest.mark.parametrize(
    ("dialect", "statement", "message"),
    [
        ("mysql", "ALTER TABLE t MODIFY v int NOT NULL", "Incorrect integer value: 'a' for column 'v' at row 1"),
        (
            "mariadb",
            "ALTER TABLE t MODIFY v int NOT NULL, ADD UNIQUE (id)",
            "Incorrect integer value: 'a' for column 'v'",
        ),
        ("postgresql", "ALTER TABLE t ALTER v TYPE int USING v::int", 'invalid input syntax for type integer: "a"'),
        ("sqlite", "UPDATE t SET v = NULL", "NOT NULL constraint failed: t.v"),
        ("sqlite", "INSERT INTO t SELECT id, v FROM t WHERE id > 3", "UNIQUE constraint failed: t.id"),
        ("sqlite", "CREATE INDEX i ON t (v)", "no such function: f"),
    ],
)
def test_what_no_new_rule_refuses_has_no_rows_to_be_found(dialect, statement, message):
    assert refused(statement, (), message, SCHEMA, dialect) == []


@pytest.mark.parametrize(
    ("dialect", "statement", "find"),
    [
        ("mysql", "ALTER TABLE t MODIFY `v` varchar(9) NOT NULL", "SELECT v FROM t WHERE v IS NULL"),
        ("mysql", "CREATE UNIQUE INDEX i ON t (`order`(3))",
         "SELECT left(`order`, 3), count(*) FROM t WHERE left(`order`, 3) IS NOT NULL GROUP BY left(`order`, 3)"
         " HAVING count(*) > 1"),
        ("postgresql", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (lower(v) text_ops DESC, v COLLATE \"C\")",
         'SELECT lower(v), v COLLATE "C", count(*) FROM t WHERE lower(v) IS NOT NULL AND v COLLATE "C" IS NOT NULL'
         ' GROUP BY lower(v), v COLLATE "C" HAVING count(*) > 1'),
        ("postgresql", "ALTER TABLE t ADD COLUMN w int NOT NULL", ""),
    ],
)  # fmt: skip
def test_how_rows_are_found(dialect, statement, find):
    (demand,) = refused(statement, (), "", SCHEMA, dialect)
    found = offenders(demand, SCHEMA, dialect)
    assert (found.find if found else None) == find
