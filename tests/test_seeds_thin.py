"""Made-up rows that an up refuses, found by trying and taken out."""

from __future__ import annotations

import pytest

from seatrial.model import Status, TableRef
from seatrial.seeds.thin import TRIES, keep_only, thin, units
from seatrial.sql.pivot import of_one_row

A, B = TableRef("", "a"), TableRef("", "b")
BASE = """
CREATE TABLE a (id INT UNIQUE, part INT, parent INT REFERENCES a (id), PRIMARY KEY (id, part));
CREATE TABLE b (id INT PRIMARY KEY, a INT, part INT, FOREIGN KEY (a, part) REFERENCES a (id, part));
CREATE TABLE bare (a INT REFERENCES a (id));
INSERT INTO a VALUES (1, 1, NULL), (2, 1, 1), (3, 1, 2), (4, 1, NULL);
INSERT INTO b VALUES (10, 1, 1), (11, 3, 1), (12, NULL, 7), (13, 4, 1);
INSERT INTO bare VALUES (2), (4), (NULL);
"""


@pytest.fixture
def database(engine):
    made = engine.create()
    assert made.load(BASE) is None
    return made


def test_one_row_will_do_where_the_up_takes_no_more_for_granted():
    kept = {"passes": lambda kept: len(kept[A]) < 2, "suspects": [A]}
    assert thin({A: 12}, **kept).enough is False
    assert thin({A: 12}, **kept, alone=[A]).enough is True


def test_of_tables_that_have_one_row_one_row_is_kept_each():
    asked = []
    c = TableRef("", "c")
    passes = lambda kept: asked.append(kept) or (len(kept[A]) < 2 and len(kept[B]) < 2)  # noqa: E731
    found = thin({A: 12, B: 12, c: 12}, [A], passes, alone=[A, B])
    assert found is not None and found.enough and found.kept == {A: [0], B: [0]} and len(asked) < 8


@pytest.mark.parametrize(
    ("rows", "single"),
    [
        ("'theme', theme FROM settings UNION ALL SELECT 'font', font FROM settings", {"settings"}),
        ("'theme', theme FROM settings", set()),  # a text that is forgotten to be unique
        ("'theme', theme FROM settings WHERE id = 1 UNION ALL SELECT 'font', font FROM settings WHERE id = 1", set()),
        ("'theme', theme FROM settings UNION ALL SELECT 'theme', font FROM settings", set()),
        ("name, 'theme' FROM settings UNION ALL SELECT name, 'font' FROM settings", set()),  # keys of its own
    ],
)
def test_a_table_whose_columns_become_keys_has_one_row(rows, single):
    assert of_one_row([f"INSERT INTO kv (k, v) SELECT {rows}"], "sqlite") == single


@pytest.mark.parametrize(
    ("kind", "second", "single"),
    [("kind", "'b'", {"one", "two"}), ("kind", "'a'", set()), ("label", "'b'", set())],
)
def test_tables_that_go_into_one_under_a_unique_text_each_have_one_row(kind, second, single):
    """Under the same text they cannot both go in; where the text may stand twice, many rows may go in under it."""
    copies = [f"INSERT INTO kinds (kind, v) SELECT {text}, v FROM {t}" for t, text in (("one", "'a'"), ("two", second))]
    assert of_one_row(copies, "sqlite", {"kinds": {kind}}) == single


def test_only_the_refused_rows_go():
    found = thin({A: 12, B: 5}, [A], lambda kept: not {3, 9} & set(kept[A]))
    assert found is not None and found.enough and found.counts == {A: 12}
    assert found.kept == {A: [0, 1, 2, 4, 5, 6, 7, 8, 10, 11]}


def test_of_rows_that_refuse_each_other_one_stays():
    found = thin({A: 12}, [A], lambda kept: len({1, 2, 6} & set(kept[A])) < 2)
    assert found is not None and found.enough
    assert sorted(set(range(12)) - set(found.kept[A])) == [2, 6]


def test_an_up_that_takes_one_row_at_most_is_not_the_rows_fault():
    found = thin({A: 12}, [A], lambda kept: len(kept[A]) < 2)
    assert found is not None and not found.enough


def test_an_up_that_never_works():
    assert thin({A: 3}, [A], lambda kept: False) is None


def test_tries_have_an_end():
    asked = []
    thin({A: 500}, [A], lambda kept: asked.append(kept) or not {i for i in kept[A] if i % 2})
    assert len(asked) == TRIES


def test_a_table_of_which_no_row_is_taken_is_soon_left():
    asked = []
    found = thin({A: 12, B: 12}, [A, B], lambda kept: asked.append(kept) or (not kept[A] and 3 not in kept[B]))
    assert found is not None and not found.enough and found.kept[A] == []
    assert len(found.kept[B]) == 11 and len(asked) < 30


def test_what_refused_rows_look_up_elsewhere_is_there_when_they_are_tried():
    found = thin({A: 12, B: 5}, [A, B], lambda kept: set(kept[A]) <= set(kept[B]))
    assert found is not None and found.enough and found.kept == {A: [0, 1, 2, 3, 4]}


def test_rows_are_taken_out_with_those_that_refer_to_them(database):
    schema = database.inspect()
    a, b, bare = (next(t for t in schema.tables() if t.name == name) for name in ("a", "b", "bare"))
    assert units(database, schema, [a, b, bare]) == {a: 4, b: 4, bare: 1}
    keep_only(database, schema, {a: [1, 2, 3]})
    assert database.query("SELECT id FROM a ORDER BY id") == [("4",)]  # 2 goes with its parent 1, 3 with 2
    assert database.query("SELECT id FROM b ORDER BY id") == [("12",), ("13",)]
    assert database.query("SELECT a FROM bare ORDER BY a") in ([(None,), ("4",)], [("4",), (None,)])
    keep_only(database, schema, {bare: []})
    assert database.query("SELECT count(*) FROM bare") == [("0",)]


@pytest.mark.engines("sqlite")
def test_rows_that_hang_on_one_another_in_a_circle_of_tables_go_together(engine):
    """Found in Hatchet: one was left, and told as orphaned before the migration."""
    database = engine.create()
    made = "CREATE TABLE a (id INT PRIMARY KEY, b INT REFERENCES b (id));"
    made += "CREATE TABLE b (id INT PRIMARY KEY, a INT REFERENCES a (id));"
    rows = "".join(f"INSERT INTO a VALUES ({i}, {i + 1}); INSERT INTO b VALUES ({i}, {i});" for i in range(1, 9))
    assert database.load(made + rows + "INSERT INTO b VALUES (9, NULL); INSERT INTO a VALUES (20, NULL);") is None
    schema = database.inspect()
    b = next(t for t in schema.tables() if t.name == "b")
    keep_only(database, schema, {b: range(8)})
    assert database.query("SELECT id FROM a") == [("20",)] and database.query("SELECT id FROM b") == []


USERS = ("CREATE TABLE users (id integer PRIMARY KEY, v varchar(20));", "DROP TABLE users;")
BESIDE = "CREATE TABLE beside (user_id integer PRIMARY KEY, FOREIGN KEY (user_id) REFERENCES users (id));"
FILLS = ("INSERT INTO beside (user_id) SELECT id FROM users;", "DELETE FROM beside;")


def test_a_table_that_is_filled_by_the_very_next_migration_is_empty_until_then(engine):
    """Found in pixie's profiles, and in Copr with two tables: the made-up rows of a new table stood in the way of the
    migration that fills it."""
    more = BESIDE.replace("beside", "besides")
    fills = [text.replace("beside", "besides") for text in FILLS]
    made = (f"{BESIDE} {more}", "DROP TABLE beside; DROP TABLE besides;")
    report = engine.run([USERS, made, (f"{FILLS[0]} {fills[0]}", f"{FILLS[1]} {fills[1]}")])
    filled = report.migrations[2]
    assert (filled.status, filled.findings) == (Status.PASSED, ())
    assert any(d.why.startswith("up refuses made-up rows") for d in report.not_verified if d.migration == "0003")


def test_a_table_that_others_may_have_written_to_since_is_not(engine):
    between = ("ALTER TABLE users ADD COLUMN w varchar(20);", "ALTER TABLE users DROP COLUMN w;")
    report = engine.run([USERS, (BESIDE, "DROP TABLE beside;"), between, FILLS])
    assert [f.rule for f in report.migrations[3].findings] == ["up-failed"]


def test_a_table_that_was_made_anew_without_its_rows_is_filled_again(engine):
    """Found in pixie's plugins: the next migration's down was tried on no row, and demands a value of every one."""
    key = ("CREATE TABLE t (id integer PRIMARY KEY, v varchar(20) NOT NULL);", "DROP TABLE t;")
    anew = "DROP TABLE t; CREATE TABLE t (id integer PRIMARY KEY, v varchar(20) NOT NULL, w integer);"
    loses = ("ALTER TABLE t DROP COLUMN v;", "ALTER TABLE t ADD COLUMN v varchar(20);")
    report = engine.run([key, (anew, f"DROP TABLE t; {key[0]}"), loses])
    assert ["rows-lost" in {f.rule for f in m.findings} for m in report.migrations] == [False, True, False]
    assert "values-lost" in {f.rule for f in report.migrations[2].findings}
    assert not [d for d in report.not_verified if d.what == "rows of t"]


OWNED = (
    "CREATE TABLE people (id integer PRIMARY KEY, v varchar(20));"
    "CREATE TABLE branch (id integer PRIMARY KEY, v varchar(20));"
    "CREATE TABLE member (person_id integer, branch_id integer, FOREIGN KEY (person_id) REFERENCES people (id),"
    " FOREIGN KEY (branch_id) REFERENCES branch (id));"
)
FOUND = "SELECT min(person_id) FROM member WHERE branch_id = branch.id"
OWNS = (
    "CREATE TABLE owner (branch_id integer PRIMARY KEY, person_id integer NOT NULL);"
    f"INSERT INTO owner SELECT id, ({FOUND}) FROM branch;"
)


@pytest.mark.engines("sqlite", "postgresql")
def test_parents_without_the_row_that_a_backfill_looks_up_are_left_out(engine):
    """Found in Notify: each service (here: branch) has a user, by the application's rule, and no constraint says so."""
    drops = "DROP TABLE member; DROP TABLE branch; DROP TABLE people;"
    report = engine.run([(OWNED, drops), (OWNS, "DROP TABLE owner;")])
    assert (report.migrations[1].status, report.migrations[1].findings) == (Status.PASSED, ())
    assert any(d.why.startswith("up refuses made-up rows") for d in report.not_verified if d.migration == "0002")


def test_a_table_that_a_migration_empties_stays_empty(engine):
    drops = ("DROP TABLE t;", "CREATE TABLE t (id integer PRIMARY KEY);")
    report = engine.run([drops[::-1], ("DELETE FROM t;", None), drops])
    assert report.migrations[2].findings == ()
