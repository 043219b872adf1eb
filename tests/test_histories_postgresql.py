"""What real histories on PostgreSQL do, and what is to be said of it: found by running them."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)

PARTITIONED = """
CREATE TABLE t (id integer, status text NOT NULL, label text, PRIMARY KEY (id, status)) PARTITION BY LIST (status);
CREATE TABLE t_rest PARTITION OF t DEFAULT;
CREATE INDEX t_first ON t (label);
CREATE INDEX t_second ON t (label, status);
"""
PLAIN = """
CREATE TABLE n (LIKE t INCLUDING {0});
INSERT INTO n SELECT * FROM t;
DROP TABLE t;
ALTER TABLE n RENAME TO t;
{1}
"""
NAMED = "ALTER INDEX n_label_idx RENAME TO t_label; DROP INDEX n_label_status_idx;"


def _rules(found):
    return set(found.rules)


def test_a_table_that_is_made_plain_and_keeps_its_indexes_under_other_names(trial):
    """Found in Penpot: an index of a partitioned table is ON ONLY it by definition, and its copy is dropped by name."""
    assert "collateral-schema-loss" not in _rules(trial(base=PARTITIONED, up=PLAIN.format("ALL", NAMED), down=None))


def test_indexes_that_the_plain_table_forgets_are_lost(trial):
    found = trial(base=PARTITIONED, up=PLAIN.format("DEFAULTS", ""), down=None)["collateral-schema-loss"]
    assert found.objects == ("constraint t_pkey", "index t_first", "index t_second")


@pytest.mark.parametrize(("clock", "told"), [("now()", set()), ("statement_timestamp()", {"schema-not-restored"})])
def test_current_timestamp_is_another_word_for_now(trial, clock, told):
    base = "CREATE TABLE t (id integer PRIMARY KEY, at timestamptz DEFAULT CURRENT_TIMESTAMP, u timestamp DEFAULT {0});"
    up = "ALTER TABLE t ALTER at DROP DEFAULT, ALTER u DROP DEFAULT;"
    back = f"ALTER TABLE t ALTER at SET DEFAULT now(), ALTER u SET DEFAULT timezone('utc', {clock});"
    assert _rules(trial(base=base.format("timezone('utc', CURRENT_TIMESTAMP)"), up=up, down=back)) == told


@pytest.mark.parametrize(("value", "kept"), [("1", False), ("at", True)])
def test_a_column_that_is_set_beside_another_does_not_keep_its_value(trial, value, kept):
    """Found in Notify: ``SET version = 1, created_at = now()``, and down drops version."""
    base = "CREATE TABLE t (id integer PRIMARY KEY, at integer);"
    up = f"ALTER TABLE t ADD COLUMN kept integer; UPDATE t SET kept = {value}, at = 0;"
    found = trial(
        base=base, seed="INSERT INTO t VALUES (1, 10), (2, 20);", up=up, down="ALTER TABLE t DROP COLUMN kept;"
    )
    assert ("where it was kept" in " ".join(found["values-lost"].causes)) is kept


def test_an_index_that_becomes_a_constraint_under_its_old_name_is_not_lost(trial):
    """Found in crates.io: the constraint's name stood before, over other columns."""
    base = (
        "CREATE TABLE t (id serial, a integer NOT NULL, b integer NOT NULL, CONSTRAINT t_pkey PRIMARY KEY (id));"
        "CREATE UNIQUE INDEX t_unique ON t (a, b);"
    )
    up = "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD CONSTRAINT t_pkey PRIMARY KEY USING INDEX t_unique, DROP COLUMN id;"
    assert "collateral-schema-loss" not in trial(base=base, up=up, down=None).rules


BODY = "RETURNS integer LANGUAGE sql AS 'SELECT 1'"


def test_what_is_gone_is_told_by_the_statement_that_dropped_it(trial):
    """Found in graph-node: a table's last reader was named, and the DROP of another function of that name."""
    base = f"CREATE TABLE t (id integer); CREATE FUNCTION f(a integer) {BODY};"
    base += f" CREATE FUNCTION f(a integer, b text) {BODY};"
    up = (
        "CREATE TABLE k AS SELECT id FROM t; DROP TABLE t;"
        " DROP FUNCTION f(integer); DROP FUNCTION IF EXISTS f(integer, text);"
    )
    found = trial(base=base, up=up, down="DROP TABLE k;")
    restored = " / ".join(c for f in found.judged.findings if f.rule == "schema-not-restored" for c in f.causes)
    assert "removes table t (`DROP TABLE t`)" in restored
    assert "function f(integer, text) (`DROP FUNCTION IF EXISTS f(integer, text)`)" in restored
    assert "did not bring back table t" in found.cause("up-not-repeatable")


def test_what_a_function_makes_again_is_told_by_the_message(trial):
    made = "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE TABLE made (id integer); END $$;"
    up = f"CREATE TABLE u (id integer); {made} SELECT f(); DROP FUNCTION f();"
    found = trial(base="CREATE TABLE t (id integer);", up=up, down="DROP TABLE u;")
    assert "down left table made behind" in found.cause("up-not-repeatable")


def test_a_predicate_that_is_written_anew_for_another_type_is_the_same(trial):
    """Found in Lemmy: ``WHERE rank <> 0`` over a column that becomes a float has a cast in it."""
    base = "CREATE TABLE t (id integer PRIMARY KEY, at date, rank integer); CREATE INDEX i ON t (at) WHERE rank <> 0;"
    up = "ALTER TABLE t ALTER rank TYPE float;"
    assert "collateral-schema-loss" not in trial(base=base, up=up, down="ALTER TABLE t ALTER rank TYPE integer;").rules
