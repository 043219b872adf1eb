"""Statements that look for rows which nobody made: the rows are made, and what still meets none is told."""

import pytest
import trial_fixtures

from seatrial.model import Status

TABLE = "CREATE TABLE r (id INTEGER PRIMARY KEY, kind VARCHAR(20), n INTEGER);"
MORE = ("ALTER TABLE r ADD COLUMN x INTEGER;", "ALTER TABLE r DROP COLUMN x;")


def rules(report, index=1):
    return sorted(f.rule for f in report.migrations[index].findings)


def untried(report):
    return [d.what for d in report.not_verified if "changed no row" in d.why]


def doubts(report):
    """What was not verified of rows; a machine under load may have missed locks."""
    return [d.what for d in report.not_verified if not d.what.startswith("the locks of")]


def steps(up, down, table=TABLE, *more):
    return [(table, "DROP TABLE r;"), (up, down), *more]


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("kind = 'foo'", 2),
        (
            "kind IN ('foo', 'bar') OR kind LIKE 'foo-%' AND n > 4000"
            " OR kind = 'baz' AND (n = 5 OR n BETWEEN 70 AND 80)",
            8,
        ),
    ],
)
def test_a_down_that_does_nothing_is_seen_where_up_looks_for_a_word(engine, condition, count):
    """The walk goes on with these rows, and the chain back down takes them out where they came in."""
    report = engine.run(steps(f"UPDATE r SET kind = 'zz' WHERE {condition};", "SELECT 1;", TABLE, MORE))
    (lost,) = [f for f in report.migrations[1].findings if f.rule == "values-lost"]
    assert lost.count >= count
    assert not doubts(report)
    assert [m.status for m in report.migrations] == [Status.PASSED, Status.FAILED, Status.PASSED]
    assert [c.migration for c in report.trace.chain if not c.changes] == ["0003", "0001"]


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize(
    ("up", "down", "found"),
    [
        ("UPDATE r SET kind = 'zz' WHERE kind = 'foo';", "UPDATE r SET kind = 'foo' WHERE kind = 'zz';", []),
        ("UPDATE r SET kind = 'zz' WHERE kind IN ('a', 'b');", "UPDATE r SET kind = 'a' WHERE kind = 'zz';",
         ["values-lost"]),
        ("UPDATE r SET kind = CASE kind WHEN 'a' THEN 'b' WHEN 'b' THEN 'a' ELSE kind END;",
         "UPDATE r SET kind = CASE kind WHEN 'a' THEN 'b' WHEN 'b' THEN 'a' ELSE kind END;", []),
        ("UPDATE r SET kind = CASE kind WHEN 'a' THEN 'c' WHEN 'b' THEN 'c' ELSE kind END;",
         "UPDATE r SET kind = CASE kind WHEN 'c' THEN 'a' ELSE kind END;", ["values-lost"]),
        ("INSERT INTO r (id, kind) VALUES (5, 'admin');", "DELETE FROM r WHERE kind = 'admin';", []),
        ("INSERT INTO r (id, kind) VALUES (5, 'admin');", "DELETE FROM r WHERE id = 5;", []),
        ("INSERT INTO r (id, kind) VALUES (5, 'admin');", "DELETE FROM r WHERE kind IN ('admin', 'root');",
         ["rows-lost"]),
        ("CREATE TABLE old AS SELECT * FROM r WHERE kind = 'foo'; DELETE FROM r WHERE kind = 'foo';",
         "INSERT INTO r SELECT * FROM old; DROP TABLE old;", []),
    ],
)  # fmt: skip
def test_what_up_writes_itself_did_not_stand_before(engine, up, down, found):
    report = engine.run(steps(up, down))
    assert rules(report) == found
    assert not doubts(report)


@pytest.mark.engines("sqlite")
def test_what_down_clears_away_is_the_applications(engine):
    """Rows of a kind that came with this version: none stood before up, and nobody knows what down does to others."""
    down = "ALTER TABLE r DROP COLUMN x; DELETE FROM r WHERE kind = 'draft';"
    report = engine.run(steps("ALTER TABLE r ADD COLUMN x INTEGER;", down))
    assert rules(report) == []
    assert doubts(report) == ["`DELETE FROM r WHERE kind = 'draft'`"]


def test_a_correct_migration_that_two_kinds_of_rows_break(engine):
    """'b' may stand already, by the schema; where it does, the UPDATE is refused, and it is tried without."""
    table = "CREATE TABLE r (id INTEGER PRIMARY KEY, kind VARCHAR(20) UNIQUE, n INTEGER);"
    up = "UPDATE r SET n = 1 WHERE kind = 'b' AND n = 2; UPDATE r SET kind = 'b' WHERE kind = 'a';"
    report = engine.run(steps(up, "UPDATE r SET kind = 'a' WHERE kind = 'b';", table, MORE))
    assert rules(report, 2) == []
    assert report.migrations[1].trial.up.error is None
    (refused,) = [d for d in report.not_verified if d.what == "stored rows under this migration"]
    assert "made-up rows that it looks for" in refused.why
    assert [r.strategy for r in report.retries] == ["fix-seed-data"]


@pytest.mark.engines("sqlite")
def test_an_up_that_takes_none_of_the_rows_that_it_looks_for(engine):
    """Found: after it was tried without them, a second up ran on what the first had left (Optuna v1.3.0.a)."""
    table = TABLE.replace("n INTEGER", "n INTEGER NOT NULL")
    up = "ALTER TABLE r ADD COLUMN x INTEGER; UPDATE r SET n = NULL WHERE kind = 'foo';"
    report = engine.run(steps(up, "ALTER TABLE r DROP COLUMN x;", table))
    assert report.migrations[1].trial.up.error is None
    assert rules(report) == []
    assert doubts(report) == [
        "stored rows under this migration",
        "`UPDATE r SET n = NULL WHERE kind = 'foo'`",
    ]


@pytest.mark.engines("sqlite")
def test_rows_that_a_constraint_refuses_are_not_made(engine):
    table = "CREATE TABLE r (id INTEGER PRIMARY KEY CHECK (id = 1), kind VARCHAR(20), n INTEGER);"
    report = engine.run(steps("UPDATE r SET kind = 'dark' WHERE kind = 'light';", "SELECT 1;", table))
    assert rules(report) == []
    assert untried(report) == ["`UPDATE r SET kind = 'dark' WHERE kind = 'light'`"]
    assert report.exit_code == 0


def test_rows_of_a_project_are_its_own(engine):
    """Given rows, and those that a migration inserts, stay what they are; what meets none of them is told."""
    up = "UPDATE r SET kind = 'zz' WHERE kind = 'foo'; DELETE FROM r WHERE kind = 'a';"
    report = engine.run(steps(up, "SELECT 1;"), seed="INSERT INTO r VALUES (1, 'a', 1), (2, 'b', 2);")
    assert "rows-lost" in rules(report)
    assert untried(report) == ["`UPDATE r SET kind = 'zz' WHERE kind = 'foo'`"]
    assert report.migrations[1].trial.before.tables[0].rows == 2


def test_a_row_that_refers_to_one_that_is_looked_for(engine):
    tables = (
        "CREATE TABLE users (id INTEGER PRIMARY KEY, role VARCHAR(20));"
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id), n INTEGER,"
        " FOREIGN KEY (user_id) REFERENCES users (id));"
    )
    up = "DELETE FROM orders WHERE user_id IN (SELECT id FROM users WHERE role = 'guest'); "
    up += "UPDATE orders SET n = 5 WHERE user_id = 77;"
    down = "DROP TABLE orders; DROP TABLE users;"
    report = engine.run([(tables, down), (up, "SELECT 1;")])
    found = {f.rule: f for f in report.migrations[1].findings}
    assert found["rows-lost"].count == 2
    assert found["values-lost"].count == 2
    assert not untried(report)


def test_a_row_that_down_puts_back(engine, tmp_path):
    """What it writes there is what the project knows of the row: the made-up one holds the same."""
    up = "DELETE FROM r WHERE kind = 'old'; UPDATE r SET n = 2 WHERE id = 5;"
    down = "INSERT INTO r (id, kind) VALUES (7, 'old'); UPDATE r SET n = 1 WHERE id = 5;"
    report = engine.run(steps(up, down))
    assert (rules(report), untried(report)) == ([], [])
    other = engine.run(steps(up, down.replace("n = 1", "n = id")), folder=tmp_path / "other")
    assert rules(other) == ["values-lost"]


@pytest.mark.engines("sqlite")
def test_a_condition_on_a_column_that_up_adds(engine):
    """What it asks of the older ones is looked after."""
    up = "ALTER TABLE r ADD COLUMN x INTEGER; UPDATE r SET x = 1, n = 0 WHERE x IS NULL AND kind = 'foo';"
    report = engine.run(steps(up, "ALTER TABLE r DROP COLUMN x;"))
    assert rules(report) == ["values-lost"]


@pytest.mark.engines("sqlite")
def test_a_query_for_one_value_gets_one_row(engine):
    tables = "CREATE TABLE r (id INTEGER PRIMARY KEY, kind VARCHAR(20), n INTEGER);"
    tables += "CREATE TABLE roles (id INTEGER PRIMARY KEY, title VARCHAR(20));"
    up = "UPDATE r SET n = (SELECT id FROM roles WHERE title = 'admin') WHERE kind = 'adm';"
    report = engine.run([(tables, "DROP TABLE r; DROP TABLE roles;"), (up, "SELECT 1;")])
    assert report.migrations[1].trial.up.error is None
    assert "values-lost" in rules(report)


def test_words_that_a_new_check_refuses_are_mapped_first(engine):
    """Other made-up rows are changed to fit; those that the UPDATE means are made again after that."""
    up = "UPDATE r SET kind = 'open' WHERE kind = 'legacy';"
    if engine.name == "sqlite":
        up += TABLE.replace("TABLE r", "TABLE s").replace("(20)", "(20) CHECK (kind IN ('open', 'shut'))")
        up += "INSERT INTO s SELECT * FROM r; DROP TABLE r; ALTER TABLE s RENAME TO r;"
        down = TABLE.replace("TABLE r", "TABLE s") + "INSERT INTO s SELECT * FROM r; DROP TABLE r;"
        down += "ALTER TABLE s RENAME TO r;"
    else:
        up += "ALTER TABLE r ADD CONSTRAINT known CHECK (kind IN ('open', 'shut'));"
        down = "ALTER TABLE r DROP CONSTRAINT known;"
    report = engine.run(steps(up, down))
    assert rules(report) == ["values-lost"]
    assert not untried(report)


def test_a_list_of_values_and_a_table_without_a_key(engine):
    table = "CREATE TABLE r (kind VARCHAR(20), n INTEGER);"
    listed = "SELECT 'foo' AS old, 'one' AS new UNION ALL SELECT 'bar', 'two'"
    if engine.name in ("mysql", "mariadb"):
        up = f"UPDATE r JOIN ({listed}) AS m ON m.old = r.kind SET r.kind = m.new;"
    else:
        up = f"UPDATE r SET kind = m.new FROM ({listed}) AS m WHERE r.kind = m.old;"
    down = "UPDATE r SET kind = 'foo' WHERE kind = 'one'; UPDATE r SET kind = 'baz' WHERE kind = 'two';"
    report = engine.run(steps(up, down, table, MORE))
    assert "rows-lost" in rules(report)
    assert rules(report, 2) == []
    assert not untried(report)


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize(
    "up",
    [
        "DELETE FROM r WHERE 1 = 0;",
        "DELETE FROM r WHERE id IS NULL;",
        "CREATE TABLE s (id INTEGER, kind VARCHAR(9)); UPDATE s SET kind = 'a' WHERE kind = 'b'; DROP TABLE s;",
        "UPDATE r SET n = 5 WHERE id > 0; UPDATE r SET n = 5 WHERE id > 999000999;",
        "INSERT INTO r SELECT id, kind, n FROM r WHERE 0 = 1;",
        "CREATE TABLE s AS SELECT * FROM r; DELETE FROM r; INSERT INTO s SELECT * FROM r;",
    ],
)
def test_what_is_to_meet_no_row_is_not_told(engine, up):
    assert not untried(engine.run(steps(up, "SELECT 1;")))


@pytest.mark.engines("sqlite")
def test_an_empty_table_is_told_once(engine):
    """Nothing could be made for it."""
    table = "CREATE TABLE r (id INTEGER PRIMARY KEY CHECK (id < id), kind VARCHAR(20), n INTEGER);"
    report = engine.run(
        steps("UPDATE r SET kind = 'a' WHERE kind = 'b'; DELETE FROM r WHERE n = 1;", "SELECT 1;", table)
    )
    assert doubts(report) == ["rows of r"]


@pytest.mark.engines("sqlite")
def test_many_statements_are_told_in_few_lines(engine):
    up = " ".join(f"UPDATE r SET n = 1 WHERE kind = '{word}';" for word in "abcdef")
    report = engine.run(steps(up, "SELECT 1;"), seed="INSERT INTO r VALUES (1, 'x', 1);")
    assert len(untried(report)) == 4
    assert untried(report)[-1] == "3 more statements on r"


@pytest.mark.engines("postgresql")
def test_a_block_and_an_enum(engine):
    """A word that the new type lacks is mapped first: rows of both kinds, and none that the type refuses."""
    up = (
        "DO $$ BEGIN UPDATE r SET kind = 'open' WHERE kind = 'legacy'; END $$;"
        "UPDATE r SET kind = 'open' WHERE kind IS NULL OR kind NOT IN ('open', 'shut');"
        "CREATE TYPE state AS ENUM ('open', 'shut'); ALTER TABLE r ALTER kind TYPE state USING kind::state;"
    )
    down = "ALTER TABLE r ALTER kind TYPE varchar(20) USING kind::text; DROP TYPE state;"
    report = engine.run(steps(up, down))
    assert report.migrations[1].trial.up.error is None
    assert rules(report) == ["values-lost"]


def test_a_loop_in_python_and_an_expression(tmp_path):
    """What SQLAlchemy builds is known once it ran: the trial is begun anew, on rows that it looks for."""
    looping = (
        "    c = op.get_bind()\n"
        '    for row in c.execute(sa.select(r.c.id).where(r.c.kind == "foo")).fetchall():\n'
        '        c.execute(r.update().where(r.c.id == row[0]).values(kind="zz"))'
    )
    built = '    op.execute(r.update().where(r.c.kind == "foo").values(kind="zz"))'
    text = "    op.execute(\"UPDATE r SET kind = 'zz' WHERE kind = 'foo'\")"
    undone = '    op.execute(r.update().where(r.c.kind == "zz").values(kind="foo"))'
    for number, (up, down, found) in enumerate(
        [(looping, "    pass", 2), (built, "    pass", 2), (text, "    pass", 2), (built, undone, 0)]
    ):
        report = trial_fixtures.tested(_alembic(tmp_path / str(number), up, down))
        assert sum(f.count for f in report.migrations[1].findings if f.rule == "values-lost") == found
        assert not doubts(report)


ENV = """
from alembic import context
from sqlalchemy import create_engine
with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = {revision!r}, {parent!r}
r = sa.table("r", sa.column("id"), sa.column("kind"), sa.column("n"))
def upgrade():
{up}
def downgrade():
{down}
"""


def _alembic(folder, up, down):
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    first = (f"    op.execute({TABLE[:-1]!r})", '    op.execute("DROP TABLE r")')
    for number, (upgrade, downgrade) in enumerate([first, (up, down)], 1):
        parent = str(number - 1) if number > 1 else None
        text = REVISION.format(revision=str(number), parent=parent, up=upgrade, down=downgrade)
        (versions / f"{number}.py").write_text(text)
    (folder / "migrations" / "env.py").write_text(ENV)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = migrations\nsqlalchemy.url = sqlite:///a.db\n")
    return folder


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("INTEGER NOT NULL", "0"),
        ("VARCHAR(20) NOT NULL", "'new'"),
        ("BOOLEAN", "false"),
        ("NUMERIC(8, 2)", "1.50"),
        ("DATE", "'2001-02-03'"),
    ],
)
def test_a_column_that_came_with_its_default_is_not_dropped_on_that_alone(engine, kind, default):
    """Each row that stood holds it, and down gives it to all."""
    add, drop = f"ALTER TABLE r ADD COLUMN x {kind} DEFAULT {default};", "ALTER TABLE r DROP COLUMN x;"
    report = engine.run(steps(add, drop, TABLE, (drop, add)))
    (lost,) = report.migrations[2].findings
    assert (lost.rule, lost.columns, lost.count) == ("values-lost", ("x",), 1)
    assert [m.status for m in report.migrations] == [Status.PASSED, Status.PASSED, Status.FAILED]
    assert not doubts(report)


def test_a_column_that_is_kept_elsewhere_comes_back_with_any_value(engine):
    add, drop = "ALTER TABLE r ADD COLUMN x INTEGER DEFAULT 0;", "ALTER TABLE r DROP COLUMN x;"
    kept = "CREATE TABLE s (id INTEGER PRIMARY KEY, x INTEGER); INSERT INTO s SELECT id, x FROM r;"
    back = "UPDATE r SET x = (SELECT s.x FROM s WHERE s.id = r.id); DROP TABLE s;"
    report = engine.run(steps(add, drop, TABLE, (kept + drop, add + back)))
    assert [m.findings for m in report.migrations] == [(), (), ()]
