"""Which rows statements look for, read from their text."""

import pytest

from seatrial.sql.queries import names_of
from seatrial.sql.tokens import code
from seatrial.sql.wants import looked_for, wanted


def seen(text, dialect="sqlite"):
    """``table: conditions``, links in square brackets."""
    found = []
    for want in looked_for(text, dialect):
        links = [f"[{k.column} -> {k.table}.{k.other}: {' AND '.join(k.parts)}]" for k in want.links]
        found.append(f"{want.table}: {' AND '.join([*want.parts, *links])}".replace("=  ", "= "))
    return found


@pytest.mark.parametrize(
    ("dialect", "text", "found"),
    [
        ("sqlite", "UPDATE r SET kind = 'b' WHERE r.kind = 'a' AND n IS NULL", ["r: kind = 'a' AND n IS NULL"]),
        ("sqlite", "UPDATE OR IGNORE r AS x SET k = 1 WHERE (x.a BETWEEN 1 AND 2 AND (b < 3))",
         ["r: a BETWEEN 1 AND 2 AND b < 3"]),
        ("sqlite", "DELETE FROM r WHERE kind IN ('a', 'b') AND n > 5",
         ["r: kind = 'a' AND n > 5", "r: kind = 'b' AND n > 5"]),
        ("mysql", "DELETE FROM r WHERE a = 'x' OR b LIKE 'y%' ORDER BY a LIMIT 5", ["r: a = 'x'", "r: b LIKE 'y%'"]),
        ("postgresql", "UPDATE crm.r SET k = CASE k WHEN 'a' THEN 1 WHEN 'b' THEN 2 END",
         ["crm.r: k = 'a'", "crm.r: k = 'b'"]),
        ("sqlite", "UPDATE r SET k = CASE WHEN n = 1 AND m = 2 THEN 'x' ELSE k END WHERE z = 3",
         ["r: z = 3", "r: z = 3 AND n = 1 AND m = 2"]),
        ("postgresql", "UPDATE r SET k = m.n FROM (VALUES ('a', 1), ('b', 2)) AS m(o, n) WHERE m.o = r.k",
         ["r: k = 'a'", "r: k = 'b'"]),
        ("mysql", "UPDATE r JOIN (SELECT 'a' AS o UNION ALL SELECT 'b') m ON r.k = m.o SET r.n = 1",
         ["r: k = 'a'", "r: k = 'b'"]),
        ("sqlite", "WITH m(o) AS (VALUES ('a'), ('b')) DELETE FROM r WHERE k IN (SELECT o FROM m)",
         ["r: k = 'a'", "r: k = 'b'"]),
        ("mysql", "UPDATE r JOIN users u ON u.id = r.user_id SET r.k = 1 WHERE u.role = 'x'",
         ["r: [user_id -> users.id: role = 'x']", "users: role = 'x'"]),
        ("sqlite", "INSERT INTO s SELECT id FROM r WHERE k = 'a' AND u IN (SELECT id FROM users WHERE role = 'x')",
         ["r: k = 'a' AND [u -> users.id: role = 'x']", "users: role = 'x'"]),
        ("postgresql", "MERGE INTO r USING s ON s.id = r.id WHEN MATCHED AND r.k = 'a' THEN DELETE",
         ["r: k = 'a'", "s: [id -> r.id: k = 'a']"]),
        ("postgresql", "DO $$ BEGIN DELETE FROM r WHERE k = 'a'; END $$", ["r: k = 'a'"]),
        ("sqlite", "CREATE TABLE s AS SELECT * FROM r WHERE k = 'a'", ["r: k = 'a'"]),
        # what defines, what is to be missing, and what nobody knows before it runs
        ("postgresql", "CREATE UNIQUE INDEX i ON r (a) WHERE k = 'a'", []),
        ("sqlite", "CREATE VIEW v AS SELECT * FROM r WHERE k = 'a'", []),
        ("sqlite", "CREATE TRIGGER t AFTER INSERT ON r BEGIN DELETE FROM s WHERE k = 'a'; END", []),
        ("sqlite", "INSERT INTO r (k) SELECT 'a' WHERE NOT EXISTS (SELECT 1 FROM r WHERE k = 'a')", []),
        ("sqlite", "DELETE FROM r WHERE id NOT IN (SELECT id FROM s WHERE k = 'a')", []),
        ("sqlite", "SELECT * FROM r LEFT JOIN s ON s.id = r.id WHERE s.id IS NULL", []),
        ("sqlite", "UPDATE r SET k = 'b' WHERE k = ? AND pg_sleep(3) = 1", []),
    ],
)  # fmt: skip
def test_what_a_statement_looks_for(dialect, text, found):
    assert seen(text, dialect) == found


@pytest.mark.parametrize(
    ("up", "down", "found"),
    [
        (["UPDATE r SET k = 'b' WHERE k = 'a'"], ["UPDATE r SET k = 'a' WHERE k = 'b'"], ["k = 'a'"]),
        (["UPDATE r SET k = 'b' WHERE k = 'a'; UPDATE r SET n = 1 WHERE k = 'b'"], [], ["k = 'a'"]),
        (["INSERT INTO r VALUES (1, 'a')"], ["DELETE FROM r WHERE k = 'a'"], []),
        (["ALTER TABLE r ADD x INT"], ["DELETE FROM r WHERE k = 'a'"], []),
        (["INSERT INTO r VALUES (1, 'a')"], ["DELETE FROM r WHERE k IN ('a', 'b')"], ["k =  'b'"]),
    ],
)
def test_what_up_writes_is_not_looked_for(up, down, found):
    assert [" AND ".join(w.parts) for w in wanted(up, down, "sqlite")] == found


def test_what_down_puts_back_is_known():
    up = "DELETE FROM r WHERE k = 'a'; UPDATE r SET n = 5, m = -6 WHERE id = 9; DELETE FROM r WHERE k = 'b'"
    down = "INSERT INTO r VALUES (1, 'a', NULL), (2, 'c', 3); UPDATE r SET n = -4, m = lower('x') WHERE id = 9"
    first, second, third = wanted([up], [down], "sqlite")
    assert (first.rows, second.rows, third.rows) == (1, 1, 2)
    assert first.given.cells == (("#0", "1", "1"), ("#1", "a", "'a'"), ("#2", "NULL", "NULL"))
    assert second.given.cells == (("n", "-4", "-4"), ("id", "9", ""))


@pytest.mark.parametrize(("named", "found"), [("all", []), ("mine", ["r"])])
def test_rows_that_up_fills_in_from_elsewhere_are_not_looked_for(named, found):
    """Found in Plume: down finds what up inserted by the rows of another table that up read."""
    up = "INSERT INTO r (p) SELECT p.id FROM p WHERE p.name = 'all'"
    down = f"DELETE FROM r WHERE id IN (SELECT r.id FROM r JOIN p ON r.p = p.id WHERE p.name = '{named}')"
    assert [w.table.name for w in wanted([up], [down], "sqlite") if w.links and not w.parts] == found


def test_types_are_no_columns():
    condition = """a = 'x'::character varying AND r."B" <> 'y'::public.kind AND c < d::timestamp with time zone"""
    assert list(names_of(code(condition, "postgresql"))) == [("", "a"), ("r", "B"), ("", "c"), ("", "d")]
