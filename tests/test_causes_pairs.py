# ruff: noqa: E501 - a table, with a case a line
# fmt: off
"""For each cause that a check can write, the same symptom with another cause: its text has to differ.

A group is one symptom (a rule on one table) that arises for several reasons; the last test fails when somewhere in the
checks a ``Cause(...)`` is written that no case of a group brings about.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cause_lab import Run, chained, findings, happened

import seatrial.checks
from seatrial.checks.case import UNKNOWN, Cause
from seatrial.checks.causes.conversion import lost
from seatrial.model import (
    CastBack,
    ChangedRow,
    ChangeGroup,
    Counter,
    Finding,
    Integrity,
    LivedIn,
    ObjectKey,
    Phase,
    ProbeResult,
    Refusal,
    Row,
    Statement,
    Step,
    StepError,
    TableDiff,
    TableRef,
    Trial,
)

pytestmark = pytest.mark.usefixtures("usual_patience")

T, P = TableRef("", "t"), TableRef("", "p")
TABLE, COLUMN = ObjectKey.of_table(T), ObjectKey("column", "", "t", "v")
SHOP = """
CREATE TABLE g (id integer PRIMARY KEY);
CREATE TABLE p (id integer PRIMARY KEY, name text, g_id integer REFERENCES g (id) ON DELETE CASCADE);
CREATE TABLE t (id integer PRIMARY KEY, v text, u text, p_id integer REFERENCES p (id) ON DELETE CASCADE);
"""
ROWS = """
INSERT INTO g VALUES (1), (2); INSERT INTO p VALUES (1, 'a', 1), (2, 'b', 2);
INSERT INTO t VALUES (1, '007', 'x', 1), (2, 'b', 'y', 2);
"""
GONE = "DELETE FROM t WHERE id = 2;"
CHANGED = "UPDATE t SET v = 'other' WHERE id = 1;"
IDLE = "CREATE INDEX idle ON p (name)"
BACK = Run(says="SELECT 1")


def rebuilt(columns: str, select: str, definition: str = "id integer PRIMARY KEY, v text, u text, p_id integer") -> str:
    return f"CREATE TABLE n ({definition}); INSERT INTO n ({columns}) SELECT {select} FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t"


@dataclass(frozen=True)
class When:
    """How a symptom comes about this time, and what has to be said of it."""

    said: str
    how: dict[str, Any]


def when(said: str, up: Run | str = IDLE, down: Run | str = BACK, **how: Any) -> When:
    return When(said, {"base": SHOP, "seed": ROWS, "up": up, "down": down, **how})


@dataclass(frozen=True)
class Symptom:
    rule: str
    table: str | None
    cases: tuple[When, ...]
    about: str = field(default="")


def rows_lost() -> Iterator[When]:
    yield when("up deletes them (`DELETE FROM t WHERE id = 2`)", GONE)
    yield when("up deletes them (`DELETE FROM t WHERE v = 'b'`)", Run(says="UPDATE OR IGNORE t SET v = 'a' WHERE v = 'b'; DELETE FROM t WHERE v = 'b'", does=GONE))
    yield when("up drops the table (`DROP TABLE t`) and down creates it again", "DROP TABLE t", "CREATE TABLE t (id integer PRIMARY KEY, v text, u text, p_id integer)")
    yield when(
        "up drops the key column id",
        Run(says="ALTER TABLE t DROP COLUMN id", does=rebuilt("v, u, p_id", "v, u, p_id", "v text, u text, p_id integer")),
        Run(says="ALTER TABLE t ADD COLUMN id integer PRIMARY KEY AUTO_INCREMENT", does=rebuilt("id, v", "8 + rowid, v")),
        engine="mysql",
    )
    yield when("up gives rows another id (`UPDATE t SET id = 20", "UPDATE t SET id = 20 WHERE id = 2")
    yield when("up overwrites values (`UPDATE t SET v = 'z'`), and without a key", "UPDATE t SET v = 'z'", base=SHOP.replace("t (id integer PRIMARY KEY", "t (id integer"))
    yield when("for id 2 the cause is not determined", Run(says="DELETE FROM t WHERE id = 1", does="DELETE FROM t"))
    logs = "CREATE TABLE logs (id integer PRIMARY KEY, v text);"
    yield when("up moves them to another partition of logs", Run(says="UPDATE logs SET id = 9 WHERE id = 2", does=GONE), base=SHOP + logs, engine="postgresql", a={TABLE: {"partition_of": "logs"}})
    yield when("up exchanges a partition", Run(says="ALTER TABLE t EXCHANGE PARTITION p0 WITH TABLE p", does=GONE), engine="mysql")
    yield when("the rows of a partition go with it", Run(says="ALTER TABLE t DROP PARTITION p0", does=GONE), engine="mysql")
    yield when("up deletes rows of p (`DELETE FROM p WHERE id = 2`), and ON DELETE CASCADE of", Run(says="DELETE FROM p WHERE id = 2", does=GONE + "DELETE FROM p WHERE id = 2"), "INSERT INTO p VALUES (2, 'b', 2)")
    yield when("REPLACE deletes a row of p before it writes it anew", Run(says="REPLACE INTO p VALUES (2, 'c', 2)", does=GONE + "UPDATE p SET name = 'c' WHERE id = 2"), engine="mysql")
    again = "DROP TABLE p; CREATE TABLE p (id integer PRIMARY KEY, name text, g_id integer); INSERT INTO p VALUES (1, 'a', 1), (2, 'b', 2)"
    yield when("dropping p deletes its rows first, and ON DELETE CASCADE", Run(says=again, does=GONE + again))
    yield when("rows of p went by a cascade, and ON DELETE CASCADE", Run(says="DELETE FROM g WHERE id = 2", does=GONE + "DELETE FROM p WHERE id = 2; DELETE FROM g WHERE id = 2"))
    yield when("TRUNCATE ... CASCADE empties every table that refers to p", Run(says="TRUNCATE p CASCADE", does=GONE + "DELETE FROM p"), base=SHOP.replace(" ON DELETE CASCADE", ""), engine="postgresql")
    yield when("up rebuilds the table and the copy takes only a part of its rows", rebuilt("id, v, u, p_id", "id, v, u, p_id").replace("FROM t;", "FROM t WHERE id = 1;"))
    yield when("REPLACE deletes the rows that stand in the way", Run(says="UPDATE OR REPLACE t SET u = 'y' WHERE id = 1", does=GONE))
    yield when("IGNORE lets the engine delete rows", Run(says="ALTER IGNORE TABLE t ADD UNIQUE (v)", does=GONE), engine="mysql")
    sweep = "CREATE TRIGGER sweep AFTER UPDATE ON p BEGIN DELETE FROM t WHERE p_id = new.id; END;"
    yield when("trigger sweep on p fired while up wrote to p, and removed them", "UPDATE p SET name = 'c' WHERE id = 2", base=SHOP + sweep)
    yield when("trigger sweep on p fired while down wrote to p, and removed them", IDLE, "UPDATE p SET name = name WHERE id = 2", base=SHOP + sweep)
    yield when("up moves rows to t_old, and down drops t_old without moving them back", f"CREATE TABLE t_old AS SELECT * FROM t WHERE id = 2; {GONE}", "DROP TABLE t_old")
    parked = f"CREATE TABLE t_old AS SELECT * FROM t WHERE id = 2; {GONE}"
    yield when("up moves rows to t_old, and what down makes of that (", parked, "INSERT INTO t SELECT id + 10, v, u, p_id FROM t_old; DROP TABLE t_old")
    yield when("down drops t, which was there before up", "CREATE TABLE IF NOT EXISTS t (id integer)", "DROP TABLE t")
    yield when("down puts another table in the place of t", IDLE, rebuilt("id, v, u, p_id", "id, v, u, p_id").replace("FROM t;", "FROM t WHERE id = 1;"))
    yield when("down deletes rows that were there before up", IDLE, GONE)
    yield when("down gives rows another id than they had", IDLE, "UPDATE t SET id = 20 WHERE id = 2")
    yield when("down deletes rows of p, and ON DELETE CASCADE of", IDLE, Run(says="DELETE FROM p WHERE id = 2", does=GONE + "DELETE FROM p WHERE id = 2"))
    yield when("down drops t2, which t is called after up", "ALTER TABLE t RENAME TO t2", "DROP TABLE t2; CREATE TABLE t (id integer PRIMARY KEY, v text, u text, p_id integer)")
    yield when(UNKNOWN, Run(says="SELECT prune('p')", does=GONE), engine="postgresql")
    yield when(UNKNOWN, Run(says="SET @q = CONCAT('delete from ', 't'); PREPARE s FROM @q; EXECUTE s", does=GONE), engine="mysql")


def history_lost() -> Iterator[When]:
    """Old versions of rows, of which only MariaDB keeps any."""
    gone = TableDiff(table=T, key=("id",), columns=("id", "v"), lost_count=1, lost=(Row(key=("1",)),))

    def case(said: str, versioned: bool, kept: int) -> When:
        def keeps(trial: Trial) -> Trial:
            assert trial.after_up is not None
            tables = tuple(replace(s, history=kept) if s.table == T else s for s in trial.after_up.tables)
            return replace(trial, after_up=replace(trial.after_up, tables=tables), history_changes=(gone,))

        return when(said, engine="mariadb", a={TABLE: {"system_versioned": True}}, b={TABLE: {"system_versioned": versioned}}, then=keeps)

    yield case("Up ended the system versioning of t, and its history with it", False, 0)
    yield case("What up left as t holds no history at all", True, 0)
    yield case(UNKNOWN, True, 2)


def rows_left() -> Iterator[When]:
    more = "INSERT INTO t VALUES (3, 'c', 'z', 1)"
    yield when("up inserts them (`INSERT INTO t VALUES (3, 'c', 'z', 1)`) and down does not delete them", more)
    yield when("up inserts them (`INSERT INTO t VALUES (3, 'c', 'z', 1)`) and down deletes other ones", more, "DELETE FROM t WHERE id = 4")
    yield when("down inserts them", IDLE, more)
    yield when("down gives rows another id than they had", IDLE, "UPDATE t SET id = 3 WHERE id = 2")
    yield when("up gives rows another id", "UPDATE t SET id = 3 WHERE id = 2")
    copy = "CREATE TRIGGER copy AFTER UPDATE ON p BEGIN INSERT INTO t VALUES (3, 'c', 'z', 1); END;"
    yield when("trigger copy on p fired while up wrote to p, and added them", "UPDATE p SET name = 'c' WHERE id = 2", base=SHOP + copy)
    yield when(UNKNOWN, Run(says="SELECT fill_up()", does=more), engine="postgresql")


def values_lost() -> Iterator[When]:
    added = "ALTER TABLE t ADD COLUMN v text"
    yield when("up drops the column v (`ALTER TABLE t DROP COLUMN v`) and down adds it again without its values", "ALTER TABLE t DROP COLUMN v", added)
    yield when("up drops the column v (`ALTER TABLE t DROP COLUMN v`) and down does not bring it back", "ALTER TABLE t DROP COLUMN v")
    yield when("and down computes it anew (`UPDATE t SET v = u`)", "ALTER TABLE t DROP COLUMN v", f"{added}; UPDATE t SET v = u")
    gone, filled = "CREATE TABLE k AS SELECT * FROM t; DROP TABLE t", "INSERT INTO t (id, v, u, p_id) SELECT id, 'x', u, p_id FROM k"
    anew = f"CREATE TABLE t (id integer PRIMARY KEY, v text, u text, p_id integer); {filled}; DROP TABLE k"
    yield when(f"and what down fills it with again (`{filled}`) gives v other values", gone, anew)
    back = "INSERT INTO t (id, v) VALUES (2, 'made up')"
    yield when(f"and those that down inserts in their place (`{back}`) hold other values in", "DELETE FROM t WHERE id = 2", back)
    yield when("up overwrites v (`UPDATE t SET v = 'other' WHERE id = 1`) and down does not put back what it was", CHANGED)
    yield when("and down computes it back (`UPDATE t SET v = upper(v)`)", CHANGED, "UPDATE t SET v = upper(v)")
    yield when("down throws away t.kept, where it was kept", f"ALTER TABLE t ADD COLUMN kept text; UPDATE t SET kept = v; {CHANGED}", "ALTER TABLE t DROP COLUMN kept")
    yield when("down throws away t_kept, where it was kept", f"CREATE TABLE t_kept AS SELECT id, v FROM t; {CHANGED}", "DROP TABLE t_kept")
    yield when("up gives rows another id (`UPDATE t SET id = -id`), and down does not take that back", "UPDATE t SET id = -id; UPDATE t SET id = 3 + id")
    to_number = rebuilt("id, v, u, p_id", "id, v, u, p_id", "id integer PRIMARY KEY, v integer, u text, p_id integer")
    to_text = rebuilt("id, v, u, p_id", "id, v, u, p_id")
    number = Run(says="ALTER TABLE t ALTER COLUMN v TYPE integer USING v::integer", does=to_number)
    text = Run(says="ALTER TABLE t ALTER COLUMN v TYPE text", does=to_text)
    yield when("up converts v from TEXT to INTEGER (`ALTER TABLE t ALTER COLUMN v TYPE integer USING v::integer`), and leading zeros go", number, text, engine="postgresql")
    coded = Run(says="ALTER TABLE t ALTER COLUMN v TYPE blob USING encrypt(v)", does=rebuilt("id, v", "id, v || '#'", "id integer PRIMARY KEY, v blob, u text, p_id integer"))
    yield when("up converts v from TEXT to BLOB (`ALTER TABLE t ALTER COLUMN v TYPE blob USING encrypt(v)`), which does not give every value", coded, engine="postgresql")
    yield when("REPLACE deletes the row and writes a new one, in which v has its default", Run(says="REPLACE INTO t (id, u) VALUES (1, 'x')", does=CHANGED), engine="mysql")
    stamp = {COLUMN: {"on_update": "CURRENT_TIMESTAMP"}}
    yield when("up writes to the rows (`UPDATE t SET u = u`) and the engine sets v by itself", Run(says="UPDATE t SET u = u", does=CHANGED), engine="mysql", a=stamp)
    yield when("down writes to the rows (`UPDATE t SET u = u`) and the engine sets v by itself", IDLE, Run(says="UPDATE t SET u = u", does=CHANGED), engine="mysql", a=stamp)
    yield when("CASCADE drops the column v with what it rests on", Run(says="DROP TYPE mood CASCADE", does="ALTER TABLE t DROP COLUMN v"), engine="postgresql")
    yield when("up gives a label of mood another name", Run(says="ALTER TYPE mood RENAME VALUE '007' TO 'other'", does=CHANGED), engine="postgresql", a={COLUMN: {"type": "mood"}})
    yield when("up takes an attribute out of the type pair", Run(says="ALTER TYPE pair DROP ATTRIBUTE b", does=CHANGED), engine="postgresql", a={COLUMN: {"type": "pair"}})
    yield when("up rebuilds the table and the copy does not take every value over as it was", rebuilt("id, v, u, p_id", "id, u, v, p_id"))
    swap = "ALTER TABLE t RENAME COLUMN v TO x; ALTER TABLE t RENAME COLUMN u TO v; ALTER TABLE t RENAME COLUMN x TO u"
    yield when("up renames u to v and v to u, and down does not take the renames back", swap)
    mark = "CREATE TRIGGER mark AFTER UPDATE ON p BEGIN UPDATE t SET v = 'other' WHERE id = 1; END;"
    yield when("trigger mark on p fired while up wrote to p, and changed v", "UPDATE p SET name = 'c' WHERE id = 2", base=SHOP + mark)
    yield when("trigger mark on p fired while down wrote to p, and changed v", IDLE, "UPDATE p SET name = 'b' WHERE id = 2", base=SHOP + mark)
    yield when("down drops the column v, which was there before up", "CREATE INDEX i ON p (name)", "ALTER TABLE t DROP COLUMN v")
    yield when("down writes other values into v", IDLE, CHANGED)
    yield when("down converts v from TEXT to INTEGER", IDLE, number, engine="postgresql")
    yield when("down rebuilds the table and the copy does not take every value over as it was", IDLE, rebuilt("id, v, u, p_id", "id, u, u, p_id"))
    yield when(UNKNOWN, Run(says="SELECT repair()", does=CHANGED), engine="postgresql")


def converted() -> Iterator[When]:
    """What casting back gives, or what down gives, tells what became of the values."""
    plain = "id integer PRIMARY KEY, v text, u text, p_id integer"

    def case(said: str, using: str, value: str, back: str | None = None) -> When:
        there = Run(says=f"ALTER TABLE t ALTER COLUMN v TYPE real USING {using}", does=rebuilt("id, v, u, p_id", "id, v, u, p_id", plain.replace("v text", "v real")))
        down = Run(says="ALTER TABLE t ALTER COLUMN v TYPE text", does=rebuilt("id, v, u, p_id", f"id, {value}, u, p_id", plain))
        casts = (CastBack(table=T, column="v", count=1, rows=(ChangedRow(key=("1",), old=("007",), new=(back,)),), possible=back is not None),)
        return when(said, there, down, engine="postgresql", cast_backs=casts if value == "u" else (), seed=ROWS.replace("'x'", "'007'").replace("'y'", "'b'"))

    yield case("in the conversion of t.v from TEXT to REAL leading zeros go, for a number has none: '007' became '7'", "v::real", "CASE id WHEN 1 THEN '7' ELSE 'b' END")
    yield case("what is no number became 0: 'b' became '0'", "v::real", "CASE id WHEN 1 THEN '007' ELSE '0' END")
    yield case("the new form has no cast that gives the old one: '007' comes back as NULL", "v::real", "u")
    yield case("leading zeros go, for a number has none: '007' comes back as '7'", "v::real", "u", "7")
    yield case("does not give it back: down gives 'seven' for '007'", "words(v)", "CASE id WHEN 1 THEN 'seven' ELSE 'b' END")


def links_lost() -> Iterator[When]:
    nulls = "UPDATE t SET p_id = NULL WHERE id = 2"
    yield when("up overwrites p_id", nulls)
    base = SHOP.replace("REFERENCES p (id) ON DELETE CASCADE", "REFERENCES p (id) ON DELETE SET NULL ON UPDATE CASCADE")
    yield when("ON DELETE SET NULL of foreign key t(p_id) emptied p_id", Run(says="DELETE FROM p WHERE id = 2", does=f"{nulls}; DELETE FROM p WHERE id = 2"), "INSERT INTO p VALUES (2, 'b', 2)", base=base)
    yield when(
        "up changes id of p (`UPDATE p SET id = 20 WHERE id = 2`), and ON UPDATE CASCADE of foreign key t(p_id) changes p_id with it",
        Run(says="UPDATE p SET id = 20 WHERE id = 2", does="UPDATE t SET p_id = 20 WHERE id = 2; UPDATE p SET id = 20 WHERE id = 2"),
        base=base,
    )


ASKED = ProbeResult(name="backfill", phase=Phase.UP, sql="SELECT id FROM t", table=T, columns=("u",), count=1, keys=(("2",),))


def left_out() -> Iterator[When]:
    def case(said: str, text: str, **how: Any) -> When:
        how.setdefault("probes", (ASKED,))
        return when(said, Run(says=text, does="UPDATE t SET u = v WHERE id = 1", rows=1), **how)

    yield case("stops at its LIMIT 1; up ran it once and reached 1 row", "UPDATE t SET u = v LIMIT 1", engine="mysql")
    loop = "DO $$ BEGIN FOR i IN 1..2 LOOP UPDATE t SET u = v WHERE {}; END LOOP; END $$"
    yield case("stops at its LIMIT 1; the loop around it ended before every row was reached", loop.format("id IN (SELECT id FROM t WHERE u IS NULL LIMIT 1)"), engine="postgresql")
    yield case("the loop around the backfill reaches only id BETWEEN i AND i + 1", loop.format("id BETWEEN i AND i + 1"), engine="postgresql")
    yield case("the 2 batches of the backfill reach only id <= 0 and id BETWEEN 1 AND 1", "UPDATE t SET u = v WHERE id <= 0; UPDATE t SET u = v WHERE id BETWEEN 1 AND 1")
    yield case("IGNORE passes over the rows whose new value", "UPDATE IGNORE t SET u = v", engine="mysql")
    yield case("WHERE reads t.u, which the same statement fills", "UPDATE t SET u = v WHERE p_id IN (SELECT p_id FROM t WHERE u = 'x')")
    rule = {ObjectKey("rule", "", "t", "quiet"): {"definition": "CREATE RULE quiet AS ON UPDATE TO t WHERE (old.id = 2) DO INSTEAD NOTHING"}}
    yield case("rule quiet on t takes the place of the UPDATE", "UPDATE t SET u = v", engine="postgresql", a=rule)
    undo = "CREATE TRIGGER undo AFTER UPDATE ON t BEGIN UPDATE p SET name = 'c'; END;"
    yield case("trigger undo on t fired while up wrote to t, and changed u", "UPDATE t SET u = v", base=SHOP + undo)
    yield case(UNKNOWN, "UPDATE t SET u = v")


def error(statement: str, message: str = "refused", about: Refusal | None = None) -> StepError:
    return StepError(message=message, statement=statement, about=about)


def half() -> Iterator[When]:
    def case(said: str, says: str, failed: str, **how: Any) -> When:
        about = {"in_transaction": how.pop("together", False)}
        return when(said, Run(says=f"{says}; {failed}", does=CHANGED, error=error(failed), about=about), **how)

    fails = "UPDATE nowhere SET x = 1"
    yield case("commits by itself (`COMMIT`) before the statement that fails", f"BEGIN; {CHANGED} COMMIT", fails, together=True)
    yield case("MySQL commits around each DDL statement, so no ROLLBACK takes `ALTER TABLE t ADD x int` back", f"ALTER TABLE t ADD x int; {CHANGED}", fails, engine="mysql")
    yield case("t is a table of MyISAM, which keeps every row", CHANGED, fails, engine="mysql", a={TABLE: {"engine": "MyISAM"}})
    yield case("runs outside a transaction, where each statement is committed by itself: `UPDATE t SET v", CHANGED, fails)
    yield case("(`VACUUM p` cannot run in one)", CHANGED, "VACUUM p", engine="postgresql")
    broken = {ObjectKey("index", "", "t", "t_v"): {"definition": "CREATE INDEX t_v ON t (v)", "valid": False}}
    yield case("works in transactions of its own and leaves its invalid index behind", CHANGED, "CREATE UNIQUE INDEX CONCURRENTLY t_v ON t (v)", engine="postgresql", b=broken)
    yield case(UNKNOWN, CHANGED, fails, together=True)


def half_twice() -> Iterator[When]:
    text = "UPDATE t SET v = v || '!'; ALTER TABLE t ADD x int"
    refused = Run(says=text, does="UPDATE t SET v = v || '!'", error=error("ALTER TABLE t ADD x int"))
    yield when("1 statement runs before the one that is refused, and does again what the first up had done", text, no_down="lab", rerun=refused)
    alone = Run(says="ALTER TABLE t ADD x int", does="UPDATE t SET v = v || '!'", error=error("ALTER TABLE t ADD x int"))
    yield when(UNKNOWN, text, no_down="lab", rerun=alone)


RULE = ObjectKey("constraint", "", "t", "t_rule")
HELD = {"type": "check", "columns": ("v",), "definition": "CHECK ((v <> ''))", "validated": True, "enforced": True}


def unenforced() -> Iterator[When]:
    def case(said: str, says: str, b: dict[str, Any], **how: Any) -> When:
        how.setdefault("engine", "postgresql")
        return when(said, Run(says=says, does=IDLE), b={RULE: {**HELD, **b}}, **how)

    add = "ALTER TABLE t ADD CONSTRAINT t_rule CHECK (v <> '')"
    yield case("declared NOT VALID", f"{add} NOT VALID", {"validated": False})
    yield case("declared NOT ENFORCED", f"{add} NOT ENFORCED", {"enforced": False}, engine="mysql")
    foreign = {"type": "foreign key", "references": "p", "enforced": False}
    yield case("the triggers that hold it are switched off (`ALTER TABLE t DISABLE TRIGGER ALL`)", "ALTER TABLE t DISABLE TRIGGER ALL", foreign, a={RULE: {**HELD, **foreign, "enforced": True}})
    yield case(UNKNOWN, "SELECT loosen()", {"enforced": False}, a={RULE: HELD})
    yield case("t is a table of MyISAM, which reads a foreign key and forgets it", "ALTER TABLE t ADD FOREIGN KEY (p_id) REFERENCES p (id)", {}, engine="mysql", a={TABLE: {"engine": "MyISAM"}})


def left_off() -> Iterator[When]:
    def case(said: str, text: str) -> When:
        return when(said, Run(says=text, does=IDLE, about={"left_off": ("foreign keys",)}))

    yield case("`PRAGMA foreign_keys = OFF` is not taken back before up ends", "PRAGMA foreign_keys = OFF; UPDATE p SET name = name")
    yield case("`PRAGMA foreign_keys = 0` is not taken back before up ends", "PRAGMA foreign_keys = 0")
    yield case(UNKNOWN, "SELECT 1")


def invalid() -> Iterator[When]:
    def case(said: str, says: str, failed: StepError | None = None) -> When:
        key = ObjectKey("index", "", "t", "t_v")
        b = {key: {"columns": ("v",), "definition": "CREATE INDEX t_v ON t (v)", "valid": False}}
        return when(said, Run(says=says, does=IDLE, error=failed), engine="postgresql", b=b)

    build = "CREATE INDEX CONCURRENTLY t_v ON t (v)"
    yield case("building it concurrently failed half-way", build, error(build, "could not create unique index"))
    yield case("made ON ONLY a partitioned table", "CREATE INDEX t_v ON ONLY t (v)")
    yield case("IF NOT EXISTS took one that was left invalid", "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_v ON t (v)")
    yield case(UNKNOWN, "SELECT 1")


SEQ = {"table": T, "column": "id", "mechanism": "sequence", "source": "sequence t_id_seq"}


def counters(before: Counter | None, after: Counter | None) -> Callable[[Trial], Trial]:
    def set_up(trial: Trial) -> Trial:
        assert trial.before is not None
        assert trial.after_up is not None
        a = replace(trial.before, counters=(before,) if before else ())
        b = replace(trial.after_up, counters=(after,) if after else ())
        return replace(trial, before=a, after_up=b, after_down=a if trial.after_down else None)

    return set_up


def not_generated() -> Iterator[When]:
    old = Counter(**SEQ, next_value=3, highest=2)

    def case(said: str, says: str, engine: str = "postgresql", does: str = IDLE) -> When:
        return when(said, Run(says=says, does=does), engine=engine, then=counters(old, None))

    yield case("up drops the sequence that numbers it", "DROP SEQUENCE t_id_seq CASCADE")
    yield case("up takes away what generates it (`ALTER TABLE t ALTER COLUMN id DROP DEFAULT`)", "ALTER TABLE t ALTER COLUMN id DROP DEFAULT")
    yield case("up takes away what generates it (`ALTER TABLE t ALTER COLUMN id DROP IDENTITY`)", "ALTER TABLE t ALTER COLUMN id DROP IDENTITY")
    copy = rebuilt("id, v, u, p_id", "id, v, u, p_id")
    yield case("up makes the table anew with a plain column id", copy, "sqlite", copy)
    yield case("up defines the column anew and says nothing of sequence", "ALTER TABLE t MODIFY id int NOT NULL", "mysql")
    yield case("up drops the column and adds it again as a plain one", "ALTER TABLE t DROP COLUMN id; ALTER TABLE t ADD COLUMN id int")
    yield case(UNKNOWN, "SELECT 1")


def stands_wrong() -> Iterator[When]:
    def case(said: str, says: str, *, does: str = IDLE, engine: str = "postgresql", old: Any = 3, **new: Any) -> When:
        before = Counter(**SEQ, next_value=old, highest=2) if old else None
        after = Counter(**{**SEQ, "next_value": 1, "highest": 2, **new})
        return when(said, Run(says=says, does=does), engine=engine, then=counters(before, after))

    yield case("up sets the counter itself (`SELECT setval(", "SELECT setval('t_id_seq', 1, false)")
    yield case("up sets the counter itself (`ALTER SEQUENCE", "ALTER SEQUENCE t_id_seq RESTART")
    yield case("up sets the counter itself (`ALTER TABLE t AUTO_INCREMENT = 1`)", "ALTER TABLE t AUTO_INCREMENT = 1", engine="mysql")
    yield case("up empties the table, which starts its counter again", "TRUNCATE t", engine="mysql")
    copy = rebuilt("id, v, u, p_id", "id, v, u, p_id")
    yield case("up makes the table anew, and its counter begins anew with it", copy, does=copy, engine="sqlite")
    yield case("up adds the column anew, and its counter begins anew with it", "ALTER TABLE t DROP COLUMN id; ALTER TABLE t ADD COLUMN id serial")
    yield case("up lets sequence other_seq number it, which does not stand where sequence t_id_seq did", "SELECT 1", source="sequence other_seq")
    yield case("up lets something new number it, from 1 on", "ALTER TABLE t ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY")
    yield case("up begins to number rows that are there already, from 1", "ALTER TABLE t ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY", old=None)
    yield case("up gives rows ids of its own", "UPDATE t SET id = 30 WHERE id = 2", next_value=3, highest=30)
    yield case("up inserts rows with ids of its own", "INSERT INTO t (id) VALUES (30)", next_value=3, highest=30)
    yield case(UNKNOWN, "SELECT 1")


def second_up() -> Iterator[When]:
    def case(said: str, up: Run | str, down: Run | str, failed: StepError, **how: Any) -> When:
        again = up.says if isinstance(up, Run) else up
        return when(said, up, down, reup=Run(says=again, error=failed), **how)

    made = "CREATE TABLE x (id integer)"
    yield case("down left table x behind, which `CREATE TABLE x (id integer)` makes again", made, BACK, error(made, about=Refusal.EXISTING))
    fires = "CREATE TRIGGER g AFTER UPDATE ON t EXECUTE FUNCTION f()"
    beside = {ObjectKey("function", "", "", "f()"): {"body": "x"}, ObjectKey("trigger", "", "t", "g"): {"definition": fires}}
    yield case(f"down left trigger g behind, which `{fires}` makes again", Run(says=fires, does=IDLE), BACK, error(fires, about=Refusal.EXISTING), engine="postgresql", b=beside, c=beside)
    yield case("down did not bring back index i, which `DROP INDEX i` needs", "DROP INDEX i", BACK, error("DROP INDEX i", about=Refusal.MISSING), base=SHOP + "CREATE INDEX i ON t (v);")
    more = "INSERT INTO t VALUES (3, 'c', 'z', 1)"
    yield case("down left 1 row of t behind, and `INSERT INTO t VALUES (3, 'c', 'z', 1)` inserts them again without ON CONFLICT", more, BACK, error(more, about=Refusal.ROWS))
    unique = "CREATE UNIQUE INDEX once ON t (v)"
    yield case("down left t with other values in v, which `CREATE UNIQUE INDEX once ON t (v)` does not bear", unique, "DROP INDEX once; UPDATE t SET v = '007'", error(unique, about=Refusal.ROWS))
    mood = {ObjectKey("type", "", "", "mood"): {"labels": ("a",)}}
    wider = {ObjectKey("type", "", "", "mood"): {"labels": ("a", "b")}}
    label = "ALTER TYPE mood ADD VALUE 'b'"
    yield case("down left type mood otherwise than it was (labels)", Run(says=label, does=IDLE), BACK, error(label, about=Refusal.EXISTING), engine="postgresql", a=mood, b=wider, c=wider)
    yield case("down did not restore column t.v, on which `UPDATE t SET u = NULL` works", "UPDATE t SET u = u", Run(says="SELECT 1"), error("UPDATE t SET u = NULL", about=Refusal.RELIED_ON), c={COLUMN: {"nullable": False}})
    moved = counters(Counter(**SEQ, next_value=3), Counter(**SEQ, next_value=9))

    def ahead(trial: Trial) -> Trial:
        found = moved(trial)
        assert found.after_down is not None
        return replace(found, after_down=replace(found.after_down, counters=(Counter(**SEQ, next_value=9),)))

    plain = "UPDATE p SET name = name"
    yield case("ids go on from where the first up had brought them: t.id (at 9 now)", plain, BACK, error("INSERT INTO g VALUES (9)"), then=ahead)
    yield case(UNKNOWN, plain, BACK, error("INSERT INTO g VALUES (9)"))


def other_data() -> Iterator[When]:
    def case(said: str, text: str) -> When:
        return when(said, Run(says=text, does=CHANGED), "UPDATE t SET v = '007' WHERE id = 1", reup=Run(says=text, does="UPDATE t SET v = 'more' WHERE id = 1"))

    yield case("which rows a LIMIT without ORDER BY takes", "UPDATE t SET v = (SELECT name FROM p LIMIT 1)")
    yield case("a window without ORDER BY numbers rows", "UPDATE t SET v = (SELECT row_number() OVER () FROM p)")
    yield case("the order in which rows are taken does not tell them all apart", "UPDATE t SET v = (SELECT name FROM p ORDER BY g_id LIMIT 1)")
    yield case(UNKNOWN, "UPDATE t SET v = outside()")


def other_schema() -> Iterator[When]:
    yield when("the name is left to the engine, which gives another each time: index i1 is i2 the second time", "CREATE INDEX i1 ON t (v)", "DROP INDEX i1", reup=Run(says="CREATE INDEX i1 ON t (v)", does="CREATE INDEX i2 ON t (v)"))
    guarded = "CREATE INDEX IF NOT EXISTS i1 ON t (v)"
    yield when("IF EXISTS lets a statement pass over", guarded, "DROP INDEX i1", reup=Run(says=guarded, does="CREATE INDEX i1 ON t (u)"))
    yield when(UNKNOWN, "CREATE INDEX i1 ON t (v)", "DROP INDEX i1", reup=Run(says="CREATE INDEX i1 ON t (v)", does="CREATE INDEX i1 ON t (u)"))


def twice() -> Iterator[When]:
    def case(said: str, text: str, does: str | None = None, engine: str = "sqlite") -> When:
        return when(said, text if does is None else Run(says=text, does="SELECT 1"), no_down="lab", rerun=Run(says=text, does=does), engine=engine)

    yield case("`INSERT INTO t (v) VALUES ('n')` adds its rows once more", "INSERT INTO t (v) VALUES ('n')")
    yield case("`UPDATE t SET v = v || '!'` computes v from v", "UPDATE t SET v = v || '!'")
    yield case("`UPDATE t SET v = random()` writes v once more, for it has no WHERE", "UPDATE t SET v = random()")
    yield case("`ALTER TABLE t RENAME TO x` takes for the old table", "ALTER TABLE t RENAME TO x; ALTER TABLE p RENAME TO t; ALTER TABLE x RENAME TO p", CHANGED)
    yield case("`DELETE FROM t WHERE v = 'b'` takes rows that the first run had made", "DELETE FROM t WHERE v = 'b'", GONE)
    yield case(UNKNOWN, "SELECT go()", CHANGED, "postgresql")


def drawn() -> Iterator[When]:
    def case(said: str, text: str, does: str = CHANGED, again: str = "UPDATE t SET v = 'more' WHERE id = 1", **how: Any) -> When:
        return when(said, Run(says=text, does=does, parameters=how.pop("one", "")), "UPDATE t SET v = '007' WHERE id = 1", reup=Run(says=text, does=again, parameters=how.pop("two", "")), **how)

    yield case("t.v is drawn in the statement (`UPDATE t SET v = random()`): a random value", "UPDATE t SET v = random()")
    yield case("t.v is drawn in the statement (`UPDATE t SET v = datetime('now')`): the time", "UPDATE t SET v = datetime('now')")
    yield case("t.v is filled by its default, gen_random_uuid(): a random value", "UPDATE t SET v = DEFAULT", engine="postgresql", a={COLUMN: {"default": "gen_random_uuid()"}})
    yield case("t.v is numbered by a sequence", "UPDATE t SET v = DEFAULT", engine="postgresql", a={COLUMN: {"identity": "always"}})
    kin = {ObjectKey("foreign key", "", "t", "t(v)"): {"type": "foreign key", "columns": ("v",), "references": "p", "referenced_columns": ("id",)}}
    yield case("t.v refers to rows that have other ids each time", "INSERT INTO p (name) VALUES ('c'); UPDATE t SET v = (SELECT id FROM p WHERE name = 'c')", a=kin)
    copied, dealt = "INSERT INTO t (v) SELECT name FROM p", "UPDATE t SET v = CASE id WHEN {} THEN 'one' ELSE 'two' END"
    numbered = counters(None, Counter(table=T, column="id", mechanism="rowid"))
    yield when("`INSERT INTO t (v) SELECT name FROM p` numbers rows as they come, and no ORDER BY says", Run(says=copied, does=dealt.format(1)), "UPDATE t SET v = CASE id WHEN 1 THEN '007' ELSE 'b' END", reup=Run(says=copied, does=dealt.format(2)), then=numbered)
    yield case("the migration's own code sends other values for t.v each time", "UPDATE t SET v = ?", one="('other',)", two="('more',)")


def not_restored() -> Iterator[When]:
    index = SHOP + "CREATE INDEX i ON t (v);"
    yield when("up removes index i (`DROP INDEX i`) and down does not create it again", "DROP INDEX i", base=index)
    yield when("down removes index i (`DROP INDEX i`), which was there before up", IDLE, "DROP INDEX idle; DROP INDEX i", base=index)
    yield when("up creates index j (`CREATE INDEX j ON t (v)`) and down does not remove it", "CREATE INDEX j ON t (v)")
    yield when("down creates index j (`CREATE INDEX j ON t (v)`), which was not there before up", "UPDATE p SET name = name", "CREATE INDEX j ON t (v)")
    other = {COLUMN: {"default": "'n'"}}
    yield when(
        "up redefines column t.v (`ALTER TABLE t ALTER COLUMN v SET DEFAULT 'n'`) and down leaves it so", Run(says="ALTER TABLE t ALTER COLUMN v SET DEFAULT 'n'", does="UPDATE p SET name = name"), engine="postgresql", b=other, c=other
    )
    yield when(
        "down defines column t.v otherwise than before up (`ALTER TABLE t ALTER COLUMN v SET DEFAULT 'n'`)",
        "UPDATE p SET name = name",
        Run(says="ALTER TABLE t ALTER COLUMN v SET DEFAULT 'n'", does="SELECT 1"),
        engine="postgresql",
        c=other,
    )
    left = {COLUMN: {"default": "'n'", "comment": "newer"}}
    yield when(
        "up redefines column t.v (`ALTER TABLE t ALTER COLUMN v SET DEFAULT 'n'`), and down, which changes it too (`COMMENT ON COLUMN t.v IS 'newer'`), leaves the default so",
        Run(says="ALTER TABLE t ALTER COLUMN v SET DEFAULT 'n'", does="UPDATE p SET name = name"),
        Run(says="COMMENT ON COLUMN t.v IS 'newer'", does="SELECT 1"),
        engine="postgresql",
        b=other,
        c=left,
    )


def recased() -> Iterator[When]:
    yield when("down writes names of t in another case: u as U", "ALTER TABLE t RENAME COLUMN u TO x", "ALTER TABLE t RENAME COLUMN x TO U")
    yield when("down writes the name of the table t in another case: T", "ALTER TABLE t RENAME TO x", "ALTER TABLE x RENAME TO T")


def of_file() -> Iterator[When]:
    base = SHOP + "PRAGMA user_version = 6;"
    yield when("up sets user_version (`PRAGMA user_version = 7`) and down does not set it back", "PRAGMA user_version = 7", base=base)
    yield when("down gives the file another user_version than it had before up (`PRAGMA user_version = 5`)", "PRAGMA user_version = 7", "PRAGMA user_version = 5", base=base)


def lost_beside() -> Iterator[When]:
    index = ObjectKey("index", "", "t", "i")
    held = {index: {"columns": ("v", "u"), "definition": "CREATE INDEX i ON t (v, u)", "unique": False, "valid": True}}

    def case(said: str, says: str, does: str = IDLE, a: Any = None, b: Any = None, engine: str = "postgresql", **how: Any) -> When:
        a = held if a is None else a
        return when(said, Run(says=says, does=does), engine=engine, a=a, b={index: None} if b is None else b, **how)

    copy = rebuilt("id, v, u, p_id", "id, v, u, p_id")
    yield case("up rebuilds t and the new table lacks", copy, copy, engine="sqlite", a={**held, ObjectKey("foreign key", "", "t", "t(p_id)"): None})
    dropped = "ALTER TABLE t DROP COLUMN u"
    yield case("dropping the column u takes it along (`ALTER TABLE t DROP COLUMN u`)", dropped, dropped)
    rule = ObjectKey("check", "", "t", "t(v <> '')")
    yield case("it was a part of the definition of v, which is defined anew without it", "ALTER TABLE t MODIFY v varchar(90)", a={rule: HELD}, b={rule: None}, engine="mariadb")
    yield case("CASCADE takes what depends on the object that is dropped", "DROP TYPE mood CASCADE")
    yield case(UNKNOWN, "SELECT 1")


def column_lost_beside() -> Iterator[When]:
    def case(said: str, says: str, does: str = IDLE, engine: str = "postgresql") -> When:
        return when(said, Run(says=says, does=does), engine=engine, a={COLUMN: {"comment": "kept"}}, b={COLUMN: {"comment": None}})

    copy = rebuilt("id, v, u, p_id", "id, v, u, p_id").replace("v text", "v varchar(9)")
    yield case("up rebuilds t and declares column t.v otherwise", copy, copy, "sqlite")
    yield case("column t.v is defined anew without what is not repeated (`ALTER TABLE t MODIFY v varchar(9)`)", "ALTER TABLE t MODIFY v varchar(9)", engine="mysql")
    yield case(UNKNOWN, "SELECT 1")


def followed_beside() -> Iterator[When]:
    key = ObjectKey("constraint", "", "t", "t_p")
    old = {"type": "foreign key", "columns": ("p_id",), "referenced_columns": ("id",), "definition": "FOREIGN KEY (p_id) REFERENCES p", "references": "p"}
    yield when(
        "renaming p to p_old takes the foreign keys of other tables along",
        Run(says="ALTER TABLE p RENAME TO p_old; CREATE TABLE p (id int)", does="SELECT 1"),
        engine="sqlite",
        base="CREATE TABLE p (id integer PRIMARY KEY); CREATE TABLE t (id integer PRIMARY KEY, p_id integer);",
        seed="",
        a={key: old},
        b={key: {**old, "references": "p_old"}},
    )
    yield when(UNKNOWN, Run(says="SELECT 1"), base="CREATE TABLE p (id integer PRIMARY KEY); CREATE TABLE t (id integer PRIMARY KEY, p_id integer);", seed="", a={key: old}, b={key: None})


VIEW = ObjectKey("view", "", "", "w")


def view_lost_beside() -> Iterator[When]:
    def case(said: str, says: str, key: ObjectKey, text: str, does: str = "SELECT 1", b: Any = None) -> When:
        seen = {VIEW: {"definition": text}, key: {"definition": text, "valid": True}}
        return when(said, Run(says=says, does=does), engine="mysql", a=seen, b={key: b})

    yield case("it goes with w, which up drops and creates anew (`DROP VIEW w`)", "DROP VIEW w; CREATE VIEW w AS SELECT id FROM t", ObjectKey("trigger", "", "w", "w_t"), "INSTEAD OF UPDATE ON w")
    yield case("it reads u, which up drops", "ALTER TABLE t DROP COLUMN u", VIEW, "select id, u from t", "ALTER TABLE t DROP COLUMN u", {"valid": False})
    yield case("it names p, which up drops", "DROP TABLE p", VIEW, "select t.id from t join p on p.id = t.p_id", "DROP TABLE p", {"valid": False})
    yield case(UNKNOWN, "SELECT 1", VIEW, "select id from t", "SELECT 1", {"valid": False})
    view = ObjectKey("view", "", "", "tv")
    here, there = ({view: {"definition": f"AS SELECT v FROM {t}"}} for t in ("t", "t_old"))
    renames = Run(says="ALTER TABLE t RENAME TO t_old", does=IDLE)
    yield when("renaming t takes the views and triggers that name it along (`ALTER TABLE t RENAME TO t_old`)", renames, a=here, b=there, engine="sqlite")


def reordered() -> Iterator[When]:
    yield when("v went and came back at the end (`ALTER TABLE t ADD COLUMN v text`)", "ALTER TABLE t DROP COLUMN v", "ALTER TABLE t ADD COLUMN v text")
    again = rebuilt("id, u, p_id, v", "id, u, p_id, null", "id integer PRIMARY KEY, u text, p_id integer, v text")
    yield when("v went and came back at the end (`CREATE TABLE ", "ALTER TABLE t DROP COLUMN v", again)
    swap = "ALTER TABLE t RENAME COLUMN v TO x; ALTER TABLE t RENAME COLUMN u TO v; ALTER TABLE t RENAME COLUMN x TO u"
    yield when("up renames u to v and v to u, and down does not take that back", swap)
    turned = rebuilt("id, v, u, p_id", "id, v, u, p_id", "id integer PRIMARY KEY, u text, v text, p_id integer")
    yield when("down makes the table anew with its columns in another order", IDLE, turned)
    yield when("up makes the table anew with its columns in another order", turned)
    yield when(UNKNOWN, Run(says="SELECT 1", does=turned), engine="postgresql")


def object_renamed() -> Iterator[When]:
    index = SHOP + "CREATE INDEX i ON t (v);"
    gone = "DROP INDEX i"
    yield when("down declares it under another name (`CREATE INDEX j ON t (v)`)", gone, "CREATE INDEX j ON t (v)", base=index)
    yield when("up declares index i anew as j, and down leaves it so", "DROP INDEX i; CREATE INDEX j ON t (v)", base=index)
    renamed = Run(says="ALTER INDEX i RENAME TO j", does="DROP INDEX i; CREATE INDEX j ON t (v)")
    yield when("it is renamed, and not renamed back (`ALTER INDEX i RENAME TO j`)", renamed, base=index, engine="postgresql")
    rule, other = (ObjectKey("constraint", "", "t", name) for name in ("t_once", "t_v_key"))
    unique = {"type": "unique", "columns": ("v",), "definition": "UNIQUE (v)"}
    unnamed = Run(says="ALTER TABLE t ADD UNIQUE (v)", does="SELECT 1")
    yield when(
        "down declares it without a name (`ALTER TABLE t ADD UNIQUE (v)`)", Run(says="ALTER TABLE t DROP CONSTRAINT t_once", does="SELECT 1"), unnamed, engine="postgresql", a={rule: unique}, b={rule: None}, c={rule: None, other: unique}
    )
    yield when(UNKNOWN, Run(says="SELECT 1"), Run(says="SELECT 1"), engine="postgresql", a={rule: unique}, b={rule: None}, c={rule: None, other: unique})


def orphans(before: bool, *, phase: Phase = Phase.UP, count: int = 1) -> Callable[[Trial], Trial]:
    """The answers of a foreign key t.p_id -> p(id): whole before up (where it was declared), broken in ``phase``."""
    whole = Integrity(rule="orphaned-rows", object="foreign key t(p_id)", table=T, columns=("p_id",), references="p(id)")
    broken = replace(whole, count=count, keys=(("2",),))

    def set_up(trial: Trial) -> Trial:
        assert trial.before is not None
        assert trial.after_up is not None
        up = broken if phase is Phase.UP else whole
        found = replace(trial, before=replace(trial.before, integrity=(broken if before else whole,)), after_up=replace(trial.after_up, integrity=(up,)))
        if trial.after_down is None:
            return found
        return replace(found, after_down=replace(trial.after_down, integrity=(broken,) if phase is Phase.DOWN else ()))

    return set_up


def orphaned() -> Iterator[When]:
    own = ObjectKey("foreign key", "", "t", "t(p_id)")
    add = "ALTER TABLE t ADD FOREIGN KEY (p_id) REFERENCES p (id)"

    def case(said: str, says: str, does: str | None = None, down: str = "SELECT 1", **how: Any) -> When:
        how.setdefault("then", orphans(before=False))
        return when(said, Run(says=says, does=does), down, **how)

    new: dict[str, Any] = {"base": SHOP.replace("REFERENCES p (id) ON DELETE CASCADE", ""), "b": {own: {"type": "foreign key", "columns": ("p_id",)}}}
    yield case("was declared over rows that break it, with NOT VALID", f"{add} NOT VALID", IDLE, engine="postgresql", **new)
    yield case("was declared over rows that break it, while `SET foreign_key_checks = 0` kept", f"SET foreign_key_checks = 0; {add}", IDLE, engine="mysql", **new)
    yield case("was declared over rows that break it, and SQLite does not look at rows", add, IDLE, **new)
    yield case("foreign key t(p_id) refers to p, which is not there after up", "DROP TABLE p")
    yield case("up gives rows of p another id (`UPDATE p SET id = 20 WHERE id = 2`), and those of t keep the old one", "UPDATE p SET id = 20 WHERE id = 2")
    yield case("up removed 1 row of p (`DELETE FROM p WHERE id = 2`) over a connection on which foreign keys are off", "DELETE FROM p WHERE id = 2")
    yield case("up removed 1 row of p (`DELETE FROM p WHERE id = 2`) while `SET foreign_key_checks = 0` was in force", "SET foreign_key_checks = 0; DELETE FROM p WHERE id = 2", "DELETE FROM p WHERE id = 2", engine="mysql")
    yield case("up wrote rows of t (`UPDATE t SET p_id = 9 WHERE id = 2`)", "UPDATE t SET p_id = 9 WHERE id = 2")
    keyed = "UPDATE p SET id = id + 10; UPDATE t SET p_id = p_id + 10"
    yield case("down leaves t.p_id as up had written it, and takes back", keyed, None, "UPDATE p SET id = id - 10", then=orphans(before=False, phase=Phase.DOWN))
    yield case("the rows broke it before this migration", "UPDATE g SET id = id", then=orphans(before=True))
    yield case(UNKNOWN, "UPDATE g SET id = id")


def required() -> Iterator[When]:
    def case(said: str, says: str, does: str | None = None, column: str = "v", engine: str = "sqlite") -> When:
        probe = ProbeResult(name=f"required t.{column}", phase=Phase.UP, sql="SELECT 1", table=T, columns=(column,), count=1)
        return when(said, Run(says=says, does=does), probes=(probe,), engine=engine)

    yield case("up adds w without a value for the rows that are there", "ALTER TABLE t ADD COLUMN w text", column="w")
    yield case("up writes NULL into v (`UPDATE t SET v = NULL`)", "UPDATE t SET v = NULL")
    yield case("the rows that up inserts leave v out", "INSERT INTO t (id) VALUES (3)")
    yield case(UNKNOWN, "SELECT clear()", CHANGED, engine="postgresql")


def invariant() -> Iterator[When]:
    def case(said: str, says: str, does: str | None = None, preexisting: int = 0) -> When:
        probe = ProbeResult(name="invariant whole", phase=Phase.UP, sql="SELECT id FROM t WHERE v = 'other'", count=1, preexisting=preexisting)
        return when(said, Run(says=says, does=does), probes=(probe,))

    yield case("up wrote rows of t that break it (`UPDATE t SET v", CHANGED)
    yield case("rows of t, which the query reads, changed while up ran, by no statement on it", "UPDATE p SET name = name", CHANGED)
    yield case("rows broke it before this migration", IDLE, preexisting=1)
    yield case(UNKNOWN, "UPDATE g SET id = id")


def lived() -> Iterator[When]:
    def case(said: str, down: str, does: str = "SELECT 1", cells: str = "", up: str = IDLE) -> When:
        new = Row(key=("9",), values=("9", "n"))
        written = TableDiff(table=T, key=("id",), columns=("id", "v"), added_count=1, added=(new,))
        lost = TableDiff(table=T, key=("id",), columns=("id", "v"), lost_count=1, lost=(new,))
        if cells:
            wrote, back = (ChangeGroup(columns=(cells,), count=1, rows=(ChangedRow(key=("1",), old=(a,), new=(b,)),)) for a, b in (("007", "new"), ("new", "007")))
            written = TableDiff(table=T, key=("id",), columns=("id", cells), changed=(wrote,))
            gone = (cells,) if up != IDLE else ()
            lost = TableDiff(table=T, key=("id",), columns=("id", cells), changed=(back,), missing_columns=gone)

        def lives(trial: Trial) -> Trial:
            return replace(trial, lived_in=LivedIn(own=True, written=(written,), written_lost=(lost,), after_down=trial.after_down))

        return when(said, up, Run(says=down, does=does), then=lives)

    copy = rebuilt("id, v, u, p_id", "id, v, u, p_id")
    yield case("down puts another table in its place, and the copy leaves them out", copy, copy)
    yield case("down drops the table that they were written to (`DROP TABLE t`)", "DROP TABLE t", "DROP TABLE t")
    yield case("down deletes more than up had added (`DELETE FROM t`)", "DELETE FROM t")
    yield case("down puts old values into v (`UPDATE t SET v = '007'`), over newer ones", "UPDATE t SET v = '007'", cells="v")
    yield case("down drops w, where they were written", "ALTER TABLE t DROP COLUMN w", cells="w", up="ALTER TABLE t ADD COLUMN w text")
    yield case(UNKNOWN, "SELECT 1")


def blocked() -> Iterator[When]:
    def case(said: str, failed: StepError) -> When:
        written = TableDiff(table=T, added_count=1)
        return when(said, IDLE, lived_in=LivedIn(own=True, written=(written,), down=Step(error=failed)))

    yield case("rows that the new schema allows do not fit the old one: too long", error("ALTER TABLE t", "too long", Refusal.ROWS))
    yield case("rows or objects that came since need what down takes away", error("DELETE FROM t", "referred to", Refusal.RELIED_ON))
    yield case("down works without the rows that were written since, and not with them: boom", error("UPDATE t", "boom"))


def slow() -> Iterator[When]:
    def case(said: str, *durations: float, seen: bool = True, **about: Any) -> When:
        sent = tuple(Statement(sql=f"UPDATE t{i} SET a = 1", duration_ms=d, **about) for i, d in enumerate(durations))
        return when(said, IDLE, then=lambda trial: _with_up(trial, Step(duration_ms=2000.0, statements=sent, statements_observed=seen)))

    yield case("`UPDATE t0 SET a = 1` took 1.9 s and changed 7 rows", 1900.0, rows=7)
    yield case("`UPDATE t0 SET a = 1` took 1.9 s and wrote t anew", 1900.0, rewrites=("t",))
    yield case("3 statements took 1.9 s together", 600.0, 600.0, 700.0)
    yield case("its statements took 0.0 s; the rest went by in the migration's own code", 1.0)
    yield case(UNKNOWN, seen=False)


def _with_up(trial: Trial, step: Step) -> Trial:
    return replace(trial, up=step)


def failed() -> Iterator[When]:
    def case(said: str, failure: StepError) -> When:
        return when(said, Run(says="UPDATE t SET v = 1", error=failure))

    yield case("rows that are stored, or that the statement writes, do not fit", error("UPDATE t", "no", Refusal.ROWS))
    yield case("the statement names what is not there", error("UPDATE t", "no", Refusal.MISSING))
    yield case("the statement cannot run inside a transaction, and here it does: the tool's", error("VACUUM", "no", Refusal.TRANSACTION))
    yield case("the statement uses what an earlier one made in the same transaction", error("UPDATE t", "no", Refusal.UNCOMMITTED))
    for said, message in (("no migration before it made a table", "no such table: t"), ("the statement names what is not there", 'type "blob" does not exist')):
        yield When(said, {"base": "", "seed": "", "up": Run(says="UPDATE t SET v = 1", does="", error=error("UPDATE t", message, Refusal.MISSING)), "down": ""})
    yield case("the database refused the statement", replace(error("UPDATE t", "no"), code="42"))
    yield case("the statement was taken, and what it began did not come to its end", error("XA PREPARE 'x'", "it is prepared"))
    yield case("the migration's own code raised an error", error("", "no"))
    yield case(UNKNOWN, error("", ""))


def idle_down() -> Iterator[When]:
    def case(said: str, says: str, rows: int | None = None, does: str = "SELECT 1", **about: Any) -> When:
        return when(said, CHANGED, Run(says=says, does=does, rows=rows, about=about))

    yield case("down sends no statement to the database", "")
    yield case("down only reads (`SELECT 1`)", "SELECT 1")
    yield case("what down names is not there, and IF EXISTS passes over it", "DROP TABLE IF EXISTS x")
    yield case("the one statement of down meets no row", "UPDATE t SET v = '007' WHERE id = 99", rows=0)
    yield case("the one statement of down writes what stood there already", "UPDATE t SET v = v", rows=2)
    yield case("none of the 2 statements of down meets what up left", "DELETE FROM t WHERE id = 98; DELETE FROM t WHERE id = 99", rows=0)
    yield case("the 2 statements of down come to nothing together", "UPDATE p SET name = 'z'; UPDATE p SET name = name", rows=2)
    yield case(UNKNOWN, "", statements_observed=False)


def no_way_back() -> Iterator[When]:
    yield when("its down is empty", IDLE, no_down="its down is empty")
    yield when("it raises NotImplementedError", IDLE, no_down="it raises NotImplementedError")


def disagreed() -> Iterator[When]:
    def case(said: str, says: str) -> When:
        return when(said, Run(says=says, does=IDLE), faltered=(error(says),))

    yield case("up reads a random value (`UPDATE t SET v = random()`)", "UPDATE t SET v = random()")
    yield case("up takes rows by a LIMIT without ORDER BY", "DELETE FROM t WHERE id IN (SELECT id FROM t LIMIT 1)")
    yield case(UNKNOWN, "UPDATE t SET v = 'x'")


LOST = TableDiff(table=T, key=("id",), columns=("id", "v"), lost_count=1, lost=(Row(key=("2",)),))
LEFT = TableDiff(table=T, key=("id",), columns=("id", "v"), added_count=1, added=(Row(key=("3",)),))
OTHER = TableDiff(table=T, key=("id",), columns=("id", "v"), changed=(ChangeGroup(columns=("v",), count=1, rows=(ChangedRow(key=("1",), old=("007",), new=("z",)),)),))


def link(said: str, down: str, *changes: TableDiff, up: Run | str = IDLE, **step: Any) -> When:
    return When(said, {"base": SHOP, "seed": ROWS, "up": up, "chain": (down, changes, step)})


def chain_rows_lost() -> Iterator[When]:
    yield link("down deletes rows that were there before up (`DELETE FROM t WHERE id > 1`); on the rows of its own trial it did not", "DELETE FROM t WHERE id > 1", LOST)
    kept = f"CREATE TABLE t_old AS SELECT * FROM t WHERE id = 2; {GONE}"
    yield link("up takes rows of t, and this down no longer puts all of them back", "INSERT INTO t SELECT * FROM t_old; DROP TABLE t_old", LOST, up=kept)
    yield link(UNKNOWN, "UPDATE p SET name = name", LOST)


def chain_rows_left() -> Iterator[When]:
    yield link("down inserts them (`INSERT INTO t SELECT * FROM kept`), from more rows than there were in its own trial", "INSERT INTO t SELECT * FROM kept", LEFT)
    yield link("down deletes others than up had added (`DELETE FROM t WHERE v = 'c'`)", "DELETE FROM t WHERE v = 'c'", LEFT)
    yield link(UNKNOWN, "UPDATE p SET name = name", LEFT)


def chain_values() -> Iterator[When]:
    yield link("down writes other values into v (`UPDATE t SET v = 'z'`)", "UPDATE t SET v = 'z'", OTHER)
    yield link("down rebuilds the table and the copy does not take every value over as it was", rebuilt("id, v", "id, u"), OTHER)
    yield link(UNKNOWN, "UPDATE p SET name = name", OTHER)


def chain_schema() -> Iterator[When]:
    index = ObjectKey("index", "", "t", "i")
    held = {"columns": ("v",), "definition": "(v)"}

    def case(said: str, down: str, then: dict[ObjectKey, Any], now: dict[ObjectKey, Any]) -> When:
        return link(said, down, schema=(then, now))

    yield case("down removes index i (`DROP INDEX i`), which later migrations had left in its place", "DROP INDEX i", {index: held}, {})
    yield case("index i went while later migrations came and went, and no statement of this down names it", "SELECT 1", {index: held}, {})
    yield case("down creates index i (`CREATE INDEX i ON t (v)`), which was not there on the way up", "CREATE INDEX i ON t (v)", {}, {index: held})
    yield case("index i came with a later migration, and neither its own down nor this one removes it", "SELECT 1", {}, {index: held})
    yield case("down defines index i (`CREATE INDEX i ON t (u)`) without what it had on the way up: definition", "DROP INDEX i; CREATE INDEX i ON t (u)", {index: held}, {index: {**held, "definition": "(u)"}})
    yield case(UNKNOWN, "SELECT 1", {index: held}, {index: {**held, "definition": "(u)"}})


def down_failed() -> Iterator[When]:
    def case(said: str, up: Run | str, failure: StepError) -> When:
        return when(said, up, Run(says="ALTER TABLE t DROP COLUMN w", does="", error=failure))

    missing = error("ALTER TABLE t DROP COLUMN w", 'no such column: "w"', Refusal.MISSING)
    yield case("up sent no statement to the database, so that there is nothing for down to take back", "", missing)
    yield case("the statement names what is not there", IDLE, missing)
    yield case(UNKNOWN, "", error("", ""))


def chain_failed() -> Iterator[When]:
    yield link("`DROP TABLE x` ran in its own trial, and is refused once later migrations were applied and taken back: no", "DROP TABLE x", error=error("DROP TABLE x", "no"))
    yield link(UNKNOWN, "", error=error("", "boom"))


SYMPTOMS = [
    Symptom("rows-lost", "t", tuple(rows_lost())),
    Symptom("rows-lost", "t", tuple(history_lost()), about="of the history"),
    Symptom("rows-left-behind", "t", tuple(rows_left())),
    Symptom("values-lost", "t", tuple(values_lost())),
    Symptom("conversion-loss", "t", tuple(converted())),
    Symptom("values-lost", "t", tuple(links_lost()), about="of a foreign key"),
    Symptom("backfill-incomplete", "t", tuple(left_out())),
    Symptom("half-applied", "t", tuple(half())),
    Symptom("half-applied", "t", tuple(half_twice()), about="run twice"),
    Symptom("constraint-unenforced", "t", tuple(unenforced())),
    Symptom("constraint-unenforced", None, tuple(left_off()), about="on a connection"),
    Symptom("invalid-index", "t", tuple(invalid())),
    Symptom("next-insert-fails", "t", tuple(not_generated()), about="no longer generated"),
    Symptom("next-insert-fails", "t", tuple(stands_wrong()), about="collides"),
    Symptom("up-not-repeatable", None, tuple(second_up()), about="refused"),
    Symptom("up-not-repeatable", "t", tuple(other_data()), about="other data"),
    Symptom("up-not-repeatable", None, tuple(other_schema()), about="other schema"),
    Symptom("up-not-repeatable", "t", tuple(twice()), about="run twice"),
    Symptom("nondeterministic-up", "t", tuple(drawn())),
    Symptom("flaky", None, tuple(disagreed())),
    Symptom("schema-not-restored", "t", tuple(not_restored())),
    Symptom("schema-not-restored", "t", tuple(recased()), about="in another case"),
    Symptom("schema-not-restored", None, tuple(of_file()), about="of the file"),
    Symptom("collateral-schema-loss", "t", tuple(lost_beside()), about="an index"),
    Symptom("collateral-schema-loss", "t", tuple(column_lost_beside()), about="a comment"),
    Symptom("collateral-schema-loss", "t", tuple(followed_beside()), about="a foreign key"),
    Symptom("collateral-schema-loss", None, tuple(view_lost_beside()), about="of a view"),
    Symptom("column-order-changed", "t", tuple(reordered())),
    Symptom("object-renamed", "t", tuple(object_renamed())),
    Symptom("orphaned-rows", "t", tuple(orphaned())),
    Symptom("nulls-in-required", "t", tuple(required())),
    Symptom("invariant-broken", None, tuple(invariant())),
    Symptom("written-rows-lost", "t", tuple(lived())),
    Symptom("down-blocked-by-new-rows", "t", tuple(blocked())),
    Symptom("long-running", None, tuple(slow())),
    Symptom("up-failed", None, tuple(failed())),
    Symptom("down-does-nothing", None, tuple(idle_down())),
    Symptom("down-missing", None, tuple(no_way_back())),
    Symptom("rows-lost", "t", tuple(chain_rows_lost()), about="in the chain"),
    Symptom("rows-left-behind", "t", tuple(chain_rows_left()), about="in the chain"),
    Symptom("values-lost", "t", tuple(chain_values()), about="in the chain"),
    Symptom("schema-not-restored", "t", tuple(chain_schema()), about="in the chain"),
    Symptom("down-failed", None, tuple(down_failed())),
    Symptom("down-failed", None, tuple(chain_failed()), about="in the chain"),
]


def told(symptom: Symptom, case: When) -> str:
    """What is said of the cause; the finding is the symptom's own."""
    how = dict(case.how)
    then, chain = how.pop("then", lambda trial: trial), how.pop("chain", None)
    trial = then(happened(**how))
    found = _of_chain(trial, *chain) if chain else findings(trial, symptom.rule)
    mine = [f for f in found if symptom.table is None or f.table == symptom.table]
    assert mine, f"no {symptom.rule} on {symptom.table}; there are {found}"
    return " / ".join(c for f in mine for c in f.causes)


def _of_chain(trial: Trial, down: str, changes: tuple[TableDiff, ...], step: dict[str, Any]) -> list[Finding]:
    return chained(trial, down, changes, **step)


CASES = [pytest.param(s, c, id=f"{s.rule} {s.about}: {c.said[:60]} {i}") for s in SYMPTOMS for i, c in enumerate(s.cases)]
SITES: set[tuple[str, int]] = set()
DONE: set[int] = set()  # cases that the tests before have told already


@pytest.fixture
def sites(monkeypatch) -> set[tuple[str, int]]:
    """Notes from which line of the checks each cause comes."""

    def noted(text: str, advice: str = "") -> Cause:
        frame = sys._getframe(1)
        SITES.add((Path(frame.f_code.co_filename).name, frame.f_lineno))
        return Cause(text, advice)

    for name, module in list(sys.modules.items()):
        if name.startswith("seatrial.checks.") and name != "seatrial.checks.case" and hasattr(module, "Cause"):
            monkeypatch.setattr(module, "Cause", noted)
    return SITES


@pytest.mark.parametrize(("symptom", "case"), CASES)
def test_the_same_symptom_for_another_reason(sites, symptom, case):
    said = told(symptom, case)
    DONE.add(id(case))
    assert case.said in said
    others = [c.said for c in symptom.cases if c.said not in (case.said, UNKNOWN) and case.said not in c.said]
    assert [text for text in others if text in said and text not in case.said] == []


@pytest.mark.parametrize(("column", "told"), [("p_id", 0), ("id", 1)])
def test_a_column_that_is_no_key_may_be_told_to_give_up_its_sequence(column, told):
    drops = Run(says=f"ALTER TABLE t ALTER COLUMN {column} DROP DEFAULT", does=IDLE)
    old = Counter(**{**SEQ, "column": column}, next_value=3, highest=2)
    trial = counters(old, None)(happened(base=SHOP, seed=ROWS, up=drops, down=BACK, engine="postgresql"))
    assert len(findings(trial, "next-insert-fails")) == told


def test_each_symptom_has_several_causes_and_one_that_is_not_known():
    for symptom in SYMPTOMS:
        said = [c.said for c in symptom.cases]
        assert len(set(said)) >= 2, f"{symptom.rule} {symptom.about} has one cause only: {said}"
    known = {s.rule for s in SYMPTOMS for c in s.cases if c.said == UNKNOWN}
    assert len(known) >= 20, known


def test_no_cause_is_written_that_no_case_brings_about(sites):
    """Every ``Cause(...)`` of the checks, by its place in their source."""
    for symptom in SYMPTOMS:
        for case in symptom.cases:
            if id(case) not in DONE:
                told(symptom, case)
    written = set(_written())
    assert {f"{file}:{line}" for file, line in written - sites} == set()


def _written() -> Iterator[tuple[str, int]]:
    for path in Path(seatrial.checks.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Cause":
                yield path.name, node.lineno


BECAME = [
    ("12.75", "13.00", "values are rounded to whole numbers"),
    ("12.75", "12", "values are cut, not rounded, to whole numbers"),
    ("12345678901234.123456", "12345678901234.123000", "values are rounded to 3 decimal places"),
    ("12.375", "12.380000114440918", "values are rounded to 2 decimal places"),
    ("0.1", "0.10000000149011612", "a binary fraction holds only the nearest value"),
    ("70000", "32767", "what is out of range was cut to the bound of the type"),
    ("2", "1", "every number but 0 counts as true"),
    ("1.50", "150", "values are multiplied by 100"),
    ("7", "7", "the type of what is stored is another"),
    ("1.50", "1.5", "the number of decimal places is another one"),
    ("1500000", "1.5e6", "the same number is written in another form"),
    ("007", "7", "leading zeros go, for a number has none"),
    ("abc", "0", "what is no number became 0"),
    ("12abc", "12", "only the digits in front of a text were kept"),
    ("abc", None, "what the new type cannot hold became NULL"),
    (None, "f", "NULL became a value"),
    ("low", "", "what the new type does not know became an empty text"),
    ("abcdef", "abc", "texts are cut to 3 characters"),
    ("ab ", "ab", "blanks at the end go or come"),
    ("Zoë", "Zo?", "characters that the new character set lacks became ?"),
    ("é", "e\u0301", "characters are put together otherwise (another Unicode form)"),
    ("Ab", "ab", "upper and lower case are lost"),
    ("é", "Ã©", "bytes were taken for another character set"),
    ('{"a": 1,"b":2}', '{"b": 2, "a": 1}', "the JSON means the same and is written otherwise: blanks, the order of keys"),
    ('{"a": 1}', "{}", "the JSON lost what the new type does not keep"),
    ("2024-01-02 10:00:00.5", "2024-01-02 10:00:00", "fractions of a second go"),
    ("2024-01-02 10:00:00.5", "2024-01-02 10:00:01", "fractions of a second are rounded away"),
    ("2024-01-02 10:00:00", "2024-01-02", "the time of day goes"),
    ("2024-01-02 10:00:00", "2024-01-02 00:00:00", "the time of day goes"),
    ("2024-01-02 10:00:00", "2024-01-02 12:00:00", "times are moved by a time zone's offset"),
    ("2024-01-02 10:00:00+02", "2024-01-02 10:00:00", "the offset from UTC goes or comes, without the time being moved"),
]


@pytest.mark.parametrize(("old", "new", "how"), BECAME)
def test_what_became_of_a_value(old, new, how):
    loss = lost(old, new)
    assert loss is not None
    assert loss.how == how


@pytest.mark.parametrize(("old", "new"), [("abc", "xyz"), ("5", "11"), ("10101111", "10100000"), ("{a,NULL}", "{a}")])
def test_what_became_of_a_value_is_not_guessed(old, new):
    assert lost(old, new) is None


def test_every_way_to_lose_a_value_has_its_example():
    """The fixed part of each ``Loss(...)`` in the source stands in an example."""
    path = Path(seatrial.checks.__file__).parent / "causes" / "conversion.py"
    calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Loss"]
    parts = [a.value if isinstance(a, ast.Constant) else a.values[0].value for a in (c.args[0] for c in calls)]
    told_of = [how for _, _, how in BECAME] + ["the new form has no cast that gives the old one"]
    assert [p for p in parts if not any(p in how for how in told_of)] == []
