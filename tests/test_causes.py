"""A cause is derived from what happened: for each one, the same symptom with another cause gets another text."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.engines("sqlite")  # what other engines do: test_causes_pairs.py

PARENT_AND_CHILD = """
CREATE TABLE parents (id integer PRIMARY KEY, name text);
CREATE TABLE children (id integer PRIMARY KEY, parent_id integer REFERENCES parents (id) ON DELETE {action}, note text);
"""
ROWS = "INSERT INTO parents VALUES (1, 'a'), (2, 'b'); INSERT INTO children VALUES (10, 1, 'x'), (11, 2, 'y');"


def test_rows_gone_by_a_cascade(trial):
    found = trial(
        base=PARENT_AND_CHILD.format(action="CASCADE"),
        seed=ROWS,
        up="DELETE FROM parents WHERE id = 2;",
        down="INSERT INTO parents VALUES (2, 'b');",
        foreign_keys=True,
    )
    assert found["rows-lost"].keys == (("11",),)
    assert "ON DELETE CASCADE of foreign key children(parent_id)" in found.cause("rows-lost")


def test_rows_gone_by_the_cascade_of_a_cascade(trial):
    found = trial(
        base=PARENT_AND_CHILD.format(action="CASCADE")
        + "CREATE TABLE toys (id integer PRIMARY KEY, child_id integer REFERENCES children (id) ON DELETE CASCADE);"
        + "CREATE TABLE parts (id integer PRIMARY KEY, toy_id integer REFERENCES toys (id) ON DELETE CASCADE);",
        seed=ROWS + "INSERT INTO toys VALUES (100, 10), (101, 11), (102, 11);"
        "INSERT INTO parts VALUES (1, 100), (2, 101), (3, 102), (4, 102);",
        up="DELETE FROM parents WHERE id = 2;",
        down="INSERT INTO parents VALUES (2, 'b');",
        foreign_keys=True,
    )
    causes = {f.table: f.causes for f in found.judged.findings if f.rule == "rows-lost"}
    assert list(causes) == ["children", "toys", "parts"]  # what explains the next one comes first
    assert causes["children"][0].startswith("up deletes rows of parents (`DELETE FROM parents WHERE id = 2`)")
    assert causes["toys"][0].startswith("rows of children went by a cascade, and ON DELETE CASCADE of")
    above = "(in all 1 row of parents, 1 row of children"
    assert causes["toys"][0].endswith(f"{above} and 2 rows of toys)")
    assert causes["parts"][0].endswith(f"{above}, 2 rows of toys and 3 rows of parts)")


def test_rows_gone_by_a_delete(trial):
    found = trial(
        base=PARENT_AND_CHILD.format(action="CASCADE"),
        seed=ROWS,
        up="DELETE FROM children WHERE id = 11;",
        down="SELECT 1;",
        foreign_keys=True,
    )
    assert found["rows-lost"].keys == (("11",),)
    assert found.cause("rows-lost") == "up deletes them (`DELETE FROM children WHERE id = 11`)"


def test_another_column_under_the_same_name_that_down_leaves(trial):
    found = trial(
        base="CREATE TABLE t (id integer PRIMARY KEY, v real);",
        seed="INSERT INTO t VALUES (1, 1.5), (2, 2.0);",
        up="ALTER TABLE t ADD COLUMN w integer; UPDATE t SET w = CAST(v AS integer); ALTER TABLE t DROP COLUMN v;"
        ' ALTER TABLE t RENAME COLUMN "w" TO "v";',
        down="CREATE TABLE other (id integer); DROP TABLE other;",
    )
    said = "up drops the column v (`ALTER TABLE t DROP COLUMN v`), gives its name to another one, and down leaves that"
    assert found.cause("values-lost") == said


def test_what_a_rebuild_copies_puts_nothing_back(trial):
    """PowerDNS-Admin 31a4ed468b18: a DELETE, then an Alembic batch that drops a column."""
    found = trial(
        base="CREATE TABLE t (id integer PRIMARY KEY, v text, w text);",
        seed="INSERT INTO t VALUES (1, 'a', 'b'), (2, 'c', 'd');",
        up="DELETE FROM t; CREATE TABLE _new (id integer PRIMARY KEY, v text); INSERT INTO _new SELECT id, v FROM t;"
        " DROP TABLE t; ALTER TABLE _new RENAME TO t;",
        down="ALTER TABLE t ADD COLUMN w text;",
    )
    assert found.cause("rows-lost") == "up deletes them (`DELETE FROM t`)"


def test_rows_gone_by_a_delete_and_by_a_cascade(trial):
    found = trial(
        base=PARENT_AND_CHILD.format(action="CASCADE"),
        seed=ROWS,
        up="DELETE FROM children WHERE id = 10; DELETE FROM parents WHERE id = 2;",
        down="INSERT INTO parents VALUES (2, 'b');",
        foreign_keys=True,
    )
    deleted, cascaded = found["rows-lost"].causes
    assert deleted == "up deletes them (`DELETE FROM children WHERE id = 10`): id 10"
    assert cascaded.startswith("up deletes rows of parents (`DELETE FROM parents WHERE id = 2`), and ON DELETE CASCADE")
    assert cascaded.endswith(": id 11")


def test_rows_gone_by_a_trigger(trial):
    found = trial(
        base=PARENT_AND_CHILD.format(action="NO ACTION")
        + "CREATE TRIGGER sweep AFTER UPDATE ON parents BEGIN DELETE FROM children WHERE parent_id = new.id; END;",
        seed=ROWS,
        up="UPDATE parents SET name = 'c' WHERE id = 2;",
        down="DROP TRIGGER sweep; UPDATE parents SET name = 'b' WHERE id = 2; CREATE TRIGGER sweep AFTER UPDATE ON"
        " parents BEGIN DELETE FROM children WHERE parent_id = new.id; END;",
    )
    assert "trigger sweep on parents fired" in found.cause("rows-lost")


def test_rows_gone_with_the_table(trial):
    found = trial(
        base="CREATE TABLE t (id integer PRIMARY KEY);",
        seed="INSERT INTO t VALUES (1);",
        up="DROP TABLE t;",
        down="CREATE TABLE t (id integer PRIMARY KEY);",
    )
    assert found.cause("rows-lost").startswith("up drops the table (`DROP TABLE t`) and down creates it again")


def test_rows_gone_by_down(trial):
    found = trial(
        base="CREATE TABLE t (id integer PRIMARY KEY);",
        seed="INSERT INTO t VALUES (1);",
        up="INSERT INTO t VALUES (2);",
        down="DELETE FROM t WHERE id IN (1, 2);",
    )
    assert "down deletes rows that were there before up" in found.cause("rows-lost")


def test_rows_gone_with_their_parking(trial):
    found = trial(
        base="CREATE TABLE t (id integer PRIMARY KEY);",
        seed="INSERT INTO t VALUES (1), (2);",
        up="CREATE TABLE t_old AS SELECT * FROM t WHERE id = 1; DELETE FROM t WHERE id = 1;",
        down="DROP TABLE t_old;",
    )
    assert found["rows-lost"].keys == (("1",),)
    assert found.cause("rows-lost") == "up moves rows to t_old, and down drops t_old without moving them back"


VALUES = {
    "dropped": ("ALTER TABLE t DROP COLUMN v;", "ALTER TABLE t ADD COLUMN v text;", "adds it again without its values"),
    "not brought back": ("ALTER TABLE t DROP COLUMN v;", "CREATE INDEX i ON t (id);", "does not bring it back"),
    "overwritten": ("UPDATE t SET v = v || '!';", "CREATE INDEX i ON t (id);", "up overwrites v (`UPDATE t SET v ="),
    "rebuilt": (
        "CREATE TABLE n (id integer PRIMARY KEY, v text); INSERT INTO n SELECT id, 'x' || v FROM t; DROP TABLE t;"
        " ALTER TABLE n RENAME TO t;",
        "CREATE INDEX i ON t (id);",
        "up rebuilds the table and the copy does not take every value over as it was",
    ),
    "by down": ("CREATE INDEX i ON t (id);", "DROP INDEX i; UPDATE t SET v = 'z';", "down writes other values into v"),
    "converted": (
        "CREATE TABLE n (id integer PRIMARY KEY, v integer); INSERT INTO n SELECT id, v FROM t; DROP TABLE t;"
        " ALTER TABLE n RENAME TO t;",
        "CREATE TABLE n (id integer PRIMARY KEY, v text); INSERT INTO n SELECT id, v FROM t; DROP TABLE t;"
        " ALTER TABLE n RENAME TO t;",
        "up converts v from TEXT to INTEGER",
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_the_same_lost_value_for_another_reason(trial, name):
    up, down, said = VALUES[name]
    found = trial(
        base="CREATE TABLE t (id integer PRIMARY KEY, v text);",
        seed="INSERT INTO t VALUES (1, '007');",
        up=up,
        down=down,
    )
    lost = found["values-lost"]
    assert (lost.table, lost.columns, lost.keys) == ("t", ("v",), (("1",),))
    assert said in found.cause("values-lost")
    others = [text for key, (_, _, text) in VALUES.items() if key != name]
    assert not any(text in found.cause("values-lost") for text in others)


def test_set_null_is_told_from_an_update(trial):
    found = trial(
        base=PARENT_AND_CHILD.format(action="SET NULL"),
        seed=ROWS,
        up="DELETE FROM parents WHERE id = 2;",
        down="INSERT INTO parents VALUES (2, 'b');",
        foreign_keys=True,
    )
    assert "ON DELETE SET NULL of foreign key children(parent_id) emptied parent_id" in found.cause("values-lost")


def test_an_index_that_went_with_a_column_is_told_from_one_that_a_rebuild_forgot(trial, tmp_path):
    found = trial(
        base="CREATE TABLE t (id integer PRIMARY KEY, a int, b int); CREATE INDEX ab ON t (a, b);",
        seed="INSERT INTO t VALUES (1, 1, 1);",
        up="CREATE TABLE n (id integer PRIMARY KEY, a int, b int); INSERT INTO n (id, a, b) SELECT id, a, b FROM t;"
        " DROP TABLE t; ALTER TABLE n RENAME TO t;",
        down="CREATE INDEX ab ON t (a, b);",
    )
    assert found.rules == ["collateral-schema-loss"]
    assert "up rebuilds t and the new table lacks" in found.cause("collateral-schema-loss")


def test_a_view_s_trigger_writes_to_a_table_that_no_statement_names(trial):
    found = trial(
        base="CREATE TABLE t (id integer PRIMARY KEY, v text); CREATE VIEW w AS SELECT id, v FROM t;"
        "CREATE TRIGGER w_update INSTEAD OF UPDATE ON w BEGIN UPDATE t SET v = new.v WHERE id = old.id; END;",
        seed="INSERT INTO t VALUES (1, 'a');",
        up="UPDATE w SET v = 'b';",
        down="SELECT 1;",
    )
    assert found["values-lost"].keys == (("1",),)
    assert found.cause("values-lost") == "trigger w_update on w fired while up wrote to w, and changed v"


REBUILD = (
    "CREATE TABLE n (id integer PRIMARY KEY, name text, more text);"
    " INSERT INTO n (id, name) SELECT id, name FROM parents; DROP TABLE parents; ALTER TABLE n RENAME TO parents;"
)
OFF, ON = "PRAGMA foreign_keys = OFF;", "PRAGMA foreign_keys = ON;"


@pytest.mark.parametrize(
    ("up", "on", "phase"),
    [
        (f"--free\n{OFF} {REBUILD}", True, "up"),
        (f"--free\n{OFF} {REBUILD} {ON}", True, None),  # as SQLite's manual has it
        (f"--free\n{OFF} {REBUILD}", False, None),  # it was off before: nothing changed
        (f"--free\n{ON} UPDATE parents SET name = name; {OFF}", False, None),
        (f"{OFF} ALTER TABLE parents ADD COLUMN more text;", True, None),  # no effect inside dbmate's transaction
    ],
)
def test_foreign_keys_that_a_migration_leaves_off(trial, up, on, phase):
    """What the connection says before and after, and not the text, tells whether they are."""
    down = f"{OFF} ALTER TABLE parents DROP COLUMN more; {ON}" if "more" in up else "SELECT 1;"
    found = trial(
        base=PARENT_AND_CHILD.format(action="NO ACTION"),
        seed=ROWS,
        up=up,
        down=down if on else down.replace(ON, ""),
        foreign_keys=on,
    )
    said = [f.phase for f in found.judged.findings if f.rule == "constraint-unenforced"]
    assert said == ([phase] if phase else [])
