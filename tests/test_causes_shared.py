"""Two things in one step can have taken rows or values: each is told of those that it took, and of no others."""

from __future__ import annotations

import pytest
from cause_lab import Run, findings, happened

from seatrial.facts import UNKNOWN

SHOP = """
CREATE TABLE p (id integer PRIMARY KEY);
CREATE TABLE t (id integer PRIMARY KEY, p_id integer REFERENCES p (id) ON DELETE CASCADE, v text);
"""
ROWS = "INSERT INTO p VALUES (1), (2), (3); INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c'), (4, 3, 'd');"
ONE, PARENT = "DELETE FROM t WHERE id = 1", "DELETE FROM p WHERE id = 3"
PUT_BACK = "INSERT INTO p VALUES (3)"
FIRST_AGAIN = f"{PUT_BACK}; INSERT INTO t VALUES (1, 1, 'a')"
DELETED = f"up deletes them (`{ONE}`)"
BY_KEY = "of foreign key t(p_id)"
CASCADE = f"up deletes rows of p (`{PARENT}`), and ON DELETE CASCADE {BY_KEY} removed the rows that referred to them"
REKEYED = (
    "up gives rows another id (`UPDATE t SET id = 20 WHERE id = 2`), under which they are other rows to everything"
    " that refers to them"
)
GONE, NOTHING = "DELETE FROM t WHERE id = 2", Run(says="SELECT 1")
UNCLEAR = "DELETE FROM t WHERE v GLOB 'a*'"

ROWS_LOST = {
    "each its own": (f"{ONE}; {PARENT}", PUT_BACK, [f"{DELETED}: id 1", f"{CASCADE}: id 3, 4"]),
    "what a DELETE took is back": (f"{ONE}; {PARENT}", FIRST_AGAIN, [CASCADE]),
    "what a cascade took is back": (
        f"{ONE}; {PARENT}",
        f"{PUT_BACK}; INSERT INTO t VALUES (3, 3, 'c'), (4, 3, 'd')",
        [DELETED],
    ),
    "the children went first": (
        f"DELETE FROM t WHERE p_id = 3; {PARENT}",
        PUT_BACK,
        ["up deletes them (`DELETE FROM t WHERE p_id = 3`)"],
    ),
    "a condition that cannot be read": (
        f"{UNCLEAR}; {PARENT}",
        PUT_BACK,
        [f"up deletes them (`{UNCLEAR}`): perhaps id 1", f"{CASCADE}: id 3, 4"],
    ),
    "a condition with OR and LIKE": (
        f"DELETE FROM t WHERE v LIKE 'a%' OR lower(v) = 'x'; {PARENT}",
        PUT_BACK,
        ["up deletes them (`DELETE FROM t WHERE v LIKE 'a%' OR lower(v) = 'x'`): id 1", f"{CASCADE}: id 3, 4"],
    ),
    "one of several DELETEs": (
        f"{ONE}; DELETE FROM t WHERE id IN (2, 3)",
        "INSERT INTO t VALUES (1, 1, 'a'), (3, 3, 'c')",
        ["up deletes them (`DELETE FROM t WHERE id IN (2, 3)`)"],
    ),
    "the parents of one of several DELETEs": (
        f"DELETE FROM p WHERE id = 1; {PARENT}",
        "INSERT INTO p VALUES (1), (3); INSERT INTO t VALUES (1, 1, 'a')",
        [CASCADE],
    ),
    "other keys, and a DELETE": (
        f"UPDATE t SET id = 20 WHERE id = 2; {ONE}",
        "INSERT INTO t VALUES (1, 1, 'a')",
        [REKEYED],
    ),
    "a side table, and a cascade": (
        f"CREATE TABLE t_old AS SELECT * FROM t WHERE id = 2; DELETE FROM t WHERE id = 2; {PARENT}",
        f"DROP TABLE t_old; {PUT_BACK}",
        ["up moves rows to t_old, and down drops t_old without moving them back: id 2", f"{CASCADE}: id 3, 4"],
    ),
    "something that no statement says": (
        Run(says=ONE, does="DELETE FROM t WHERE id < 3"),
        "SELECT 1",
        [f"{DELETED}: id 1", "for id 2 the cause is not determined"],
    ),
    "two things in down": (
        "UPDATE p SET id = id",
        f"DELETE FROM t WHERE id = 2; {PARENT}; {PUT_BACK}",
        [
            "down deletes rows that were there before up (`DELETE FROM t WHERE id = 2`): perhaps some of them",
            f"down deletes rows of p, and ON DELETE CASCADE {BY_KEY} takes these with them: perhaps some of them",
        ],
    ),
    "only down": (
        ONE,
        "INSERT INTO t VALUES (1, 1, 'a'); DELETE FROM t WHERE id = 2",
        ["down deletes rows that were there before up (`DELETE FROM t WHERE id = 2`)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS_LOST)
def test_lost_rows_have_the_cause_that_took_them(name):
    up, down, said = ROWS_LOST[name]
    found = findings(happened(base=SHOP + ROWS, up=up, down=down, session=("PRAGMA foreign_keys = ON",)), "rows-lost")
    (mine,) = [f for f in found if f.table == "t"]
    assert list(mine.causes) == said
    assert mine.recommendation.count("CREATE TABLE t_kept") <= 1  # two of them would be in each other's way


def values_of(up: str, down: str) -> tuple[str, ...]:
    base = SHOP.replace("CASCADE", "SET NULL") + ROWS
    (found,) = findings(happened(base=base, up=up, down=down, session=("PRAGMA foreign_keys = ON",)), "values-lost")
    return found.causes


SET_NULL = f"up deletes rows of p (`{PARENT}`), and ON DELETE SET NULL of foreign key t(p_id) emptied p_id"
MOVED = "up overwrites p_id (`UPDATE t SET p_id = 2 WHERE id = 1`) and down does not put back what it was"


def test_an_update_and_set_null_are_told_of_their_own_rows():
    up = f"UPDATE t SET p_id = 2 WHERE id = 1; {PARENT}"
    assert values_of(up, f"{PUT_BACK}; UPDATE t SET p_id = 1 WHERE id = 1") == (SET_NULL,)
    assert values_of(up, f"{PUT_BACK}; UPDATE t SET p_id = 3 WHERE id IN (3, 4)") == (
        MOVED.replace(
            "does not put back what it was",
            "computes it back (`UPDATE t SET p_id = 3 WHERE id IN (3, 4)`), which does not give every value as it was",
        ),
    )
    assert values_of(up, PUT_BACK) == (f"{MOVED}: id 1", f"{SET_NULL}: id 3, 4")


def test_of_several_updates_that_one_is_told_whose_rows_are_not_restored():
    up = "UPDATE t SET v = 'x' WHERE id = 1; UPDATE t SET v = 'y' WHERE id = 2"
    assert values_of(up, "UPDATE t SET v = 'b' WHERE id = 2")[0].startswith("up overwrites v (`UPDATE t SET v = 'x'")
    assert values_of(up, "UPDATE t SET v = 'a' WHERE id = 1")[0].startswith("up overwrites v (`UPDATE t SET v = 'y'")
    assert "`UPDATE t SET v = 'x' WHERE id = 1` and `UPDATE t SET v = 'y' WHERE id = 2`" in values_of(up, "SELECT 1")[0]


def test_without_a_key_an_update_and_a_delete_may_both_have_taken_a_row():
    log = "CREATE TABLE t (m text, at text); INSERT INTO t VALUES ('a', '1'), ('b', '2'), ('c', '3'), ('d', '4');"
    up = "UPDATE t SET at = 'y'; DELETE FROM t WHERE rowid % 2 = 0"
    (found,) = findings(happened(base=log, up=up, down="UPDATE t SET at = 'x'"), "rows-lost")
    assert found.causes == (
        "up overwrites values (`UPDATE t SET at = 'y'`), and without a key a row with other values is another row:"
        " 4 rows",
        "up deletes them (`DELETE FROM t WHERE rowid % 2 = 0`): perhaps 4 rows",
    )
    assert found.recommendation.count("CREATE TABLE t_kept AS SELECT * FROM t`") == 1


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, ["up deletes them"]), (0, []), (None, ["up deletes them"])],
)
def test_what_the_engine_counted_tells_whether_a_statement_took_a_row(count, said):
    trial = happened(
        base=SHOP + ROWS, up=Run(says="DELETE FROM t WHERE v LIKE 'b%'", does=GONE, rows=count), down=NOTHING
    )
    (found,) = findings(trial, "rows-lost")
    assert [c.partition(" (")[0] for c in found.causes] == (said or [UNKNOWN])
