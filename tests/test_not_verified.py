"""What a run could not check stands in the report: nothing that was left out is silently green (design, section 3)."""

import sqlite3
from contextlib import closing

import pytest
import trial_fixtures
from trial_fixtures import project

from seatrial.config import ProductionConfig, Required, SeedConfig
from seatrial.model import Relationship, Severity, Status
from seatrial.reporters import words

USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);"
DUMP = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n{rows}\nCOMMIT;\n"


def doubts(report):
    return {d.what: d.why for d in report.not_verified}


@pytest.mark.parametrize("repaired", [False, True])
def test_seed_rows_of_tables_that_are_not_there(tmp_path, repaired):
    rows = "INSERT INTO users VALUES (1, 'a');\nINSERT INTO orders VALUES (7, 1);"
    rows += "\nINSERT INTO users VALUES (1, 'twice');" if repaired else ""
    later = "CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER);"
    steps = [(USERS, "DROP TABLE users;"), (later, "DROP TABLE orders;")]
    report = trial_fixtures.tested(project(tmp_path, steps, seed=DUMP.format(rows=rows)))
    assert report.status is Status.PASSED
    assert bool(report.trace.repaired_seed) is repaired
    assert [d.what for d in report.not_verified].count("the seed's rows of orders") == 1
    assert doubts(report)["the seed's rows of orders"] == "no such table at this version"


@pytest.mark.parametrize("repaired", [False, True])
def test_of_a_sqlite_file_only_tables_with_rows_are_missed(engine, tmp_path, repaired):
    folder = project(tmp_path, [(USERS.replace("TEXT", "VARCHAR(9) UNIQUE"), "DROP TABLE users;")], seed="")
    (folder / "seed.sql").unlink()
    with closing(sqlite3.connect(folder / "seed.sql")) as made:
        made.executescript(f"{USERS} INSERT INTO users VALUES (1, 'a'), (2, '{'a' if repaired else 'b'}');")
        made.executescript("CREATE TABLE gone (x INT); INSERT INTO gone VALUES (1); CREATE TABLE bare (x INT);")
    report = engine.tested(folder)
    assert bool(report.trace.repaired_seed) is repaired
    assert "the seed's rows of gone" in doubts(report)
    assert "the seed's rows of bare" not in doubts(report)


def test_columns_without_a_made_up_value(engine):
    """A table whose parent holds no row and can be given none: its reference stays NULL."""
    base = "CREATE TABLE parent (id INTEGER PRIMARY KEY CHECK (id < id)); "
    base += "CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER, name TEXT,"
    base += " FOREIGN KEY (parent_id) REFERENCES parent (id));"
    down = "DROP TABLE child; DROP TABLE parent;"
    more = "ALTER TABLE child ADD COLUMN note TEXT;", "ALTER TABLE child DROP COLUMN note;"
    found = doubts(engine.run([(base, down), more]))
    assert found["values of child.parent_id"] == "no value was found for it: NULL in every made-up row"
    assert "rows of parent" in found
    assert not [what for what in found if what in ("values of child.name", "values of child.note")]


def test_settings_that_are_not_served(tmp_path):
    folder = project(
        tmp_path, [(USERS, "DROP TABLE users;")], settings="jobs = 4\n[production.rows]\nusers = 90000000\n"
    )
    report = trial_fixtures.tested(folder)
    assert doubts(report).keys() == {"duration at production size"}
    assert [note for note in report.notes if "4 trials at a time" in note and "one after another" in note]
    plain = trial_fixtures.tested(folder, jobs=1, production=ProductionConfig())
    assert not plain.not_verified
    assert not plain.notes


ENV = """
from alembic import context
from sqlalchemy import create_engine
with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
ALEMBIC = """
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
points = sa.table("points", sa.column("id"), sa.column("x"), sa.column("y"))
def upgrade():
    op.add_column("points", sa.Column("y", sa.Integer))
    op.execute(points.update().where({where}).values(y={value}))
def downgrade():
    with op.batch_alter_table("points") as batch:
        batch.drop_column("y")
"""
BASE = """
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.execute("CREATE TABLE points (id INTEGER PRIMARY KEY, x INTEGER)")
def downgrade():
    op.execute("DROP TABLE points")
"""
LIMITED = "points.c.id.in_(sa.select(points.c.id).where(points.c.y.is_(None)).limit(2).scalar_subquery())"


@pytest.mark.parametrize(
    ("where", "value", "told", "rules"),
    [
        (LIMITED, "1", False, ["backfill-incomplete"]),  # whole numbers and texts are literals as well
        (LIMITED, "1.5", True, []),  # a float would be of another type
        ("points.c.id == 2", "1", False, []),
    ],
)
def test_a_batch_with_bound_values(tmp_path, where, value, told, rules):
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions / "0001.py").write_text(BASE)
    (versions / "0002.py").write_text(ALEMBIC.format(where=where, value=value))
    (tmp_path / "migrations" / "env.py").write_text(ENV)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = migrations\nsqlalchemy.url = sqlite:///a.db\n")
    report = trial_fixtures.tested(tmp_path)
    assert report.status is (Status.FAILED if rules else Status.PASSED)
    assert [f.rule for f in report.migrations[-1].findings] == rules
    said = {d.what: (d.why, d.rule) for d in report.not_verified}
    why = "its batches could not be read: its values were bound apart from its text"
    assert said == ({"the backfill of points.y": (why, "backfill-incomplete")} if told else {})


PRICES = "CREATE TABLE prices (id INTEGER PRIMARY KEY, cents INTEGER NOT NULL);"
RERUN = "[interrupt]\nrerun = true"


@pytest.mark.parametrize(("free", "stays"), [("--free\n", ("sqlite", "mariadb", "mysql")), ("", ("mariadb", "mysql"))])
def test_a_second_up_that_is_refused(engine, trial, free, stays):
    """Refused and without a trace it is what every CREATE TABLE does; a finding where data was applied twice."""
    rules = ["half-applied"] if engine.name in stays else []
    up = f"{free}UPDATE prices SET cents = cents * 100;\nCREATE TABLE currencies (code TEXT);"
    down = f"{free}DROP TABLE currencies;\nUPDATE prices SET cents = cents / 100;"
    seed = "INSERT INTO prices VALUES (1, 5), (2, 7);"
    found = trial(base=PRICES, seed=seed, up=up, down=down, settings=RERUN)
    assert found.judged.trial.rerun.error is not None
    assert found.rules == rules
    assert found.judged.status is Status.PASSED
    if rules:
        assert found["half-applied"].severity is Severity.MEDIUM
        assert found["half-applied"].keys == (("1",), ("2",))
        assert "stopped at `CREATE TABLE currencies" in found["half-applied"].message


RENAMED = "ALTER TABLE prices RENAME COLUMN cents TO amount;"


@pytest.mark.engines("sqlite")  # PostgreSQL's ways: test_engine_postgresql_transactions.py
@pytest.mark.parametrize(
    ("up", "objects", "rows"),
    [
        (f"--free\nBEGIN; {RENAMED} COMMIT; SELECT nonsense;", ("column prices.amount", "column prices.cents"), 0),
        (f"{RENAMED} COMMIT; SELECT nonsense;", ("column prices.amount", "column prices.cents"), 0),
        (f"--free\nDELETE FROM prices WHERE id = 1; BEGIN; {RENAMED} SELECT nonsense; COMMIT;", (), 1),
        (f"--free\nDELETE FROM prices WHERE id = 1; BEGIN; {RENAMED} ROLLBACK; SELECT nonsense;", (), 1),
        (f"BEGIN; {RENAMED} SELECT nonsense;", None, 0),
    ],
)
def test_a_rename_counts_where_it_was_not_taken_back(trial, up, objects, rows):
    seed = "INSERT INTO prices VALUES (1, 5), (2, 7);"
    found = trial(base=PRICES, seed=seed, up=up, down="SELECT 1;")
    assert found.rules == (["up-failed"] if objects is None else ["half-applied", "up-failed"])
    if objects is not None:
        half = found["half-applied"]
        assert (tuple(o for o in half.objects if o.startswith("column")), len(half.keys)) == (objects, rows)


@pytest.mark.engines("sqlite")  # MySQL knows no DROP INDEX IF EXISTS, and PostgreSQL takes it back
def test_a_second_up_that_leaves_another_schema(trial):
    up = "--free\nDROP INDEX IF EXISTS by_cents;\nCREATE TABLE currencies (code TEXT);\n"
    up += "CREATE INDEX by_cents ON prices (cents);"
    down = "--free\nDROP INDEX by_cents;\nDROP TABLE currencies;"
    found = trial(base=PRICES, up=up, down=down, settings=RERUN)
    assert found.rules == ["half-applied"]
    assert "by_cents" in found["half-applied"].objects[0]


def test_safe_to_deploy_says_what_was_not_verified(tmp_path):
    steps = [(USERS, "DROP TABLE users;"), ("ALTER TABLE users ADD COLUMN a TEXT;", "ALTER TABLE users DROP COLUMN a;")]
    report = trial_fixtures.tested(project(tmp_path, steps, seed=""))
    assert report.status is Status.PASSED
    safe = "All migrations passed integrity checks - safe to deploy"
    assert words.next_action(report) == f"{safe}, but for what was not verified: rows of users"
    assert words.next_action(trial_fixtures.tested(tmp_path, seed=SeedConfig())) == safe


def test_a_table_that_an_earlier_migration_emptied(engine):
    move = "CREATE TABLE old_users AS SELECT * FROM users; DELETE FROM users;"
    steps = [
        (USERS, "DROP TABLE users;"),
        (move, "INSERT INTO users SELECT * FROM old_users; DROP TABLE old_users;"),
        ("ALTER TABLE users ADD COLUMN a TEXT;", "ALTER TABLE users DROP COLUMN a;"),
        ("ALTER TABLE old_users ADD COLUMN b TEXT;", "ALTER TABLE old_users DROP COLUMN b;"),
    ]
    found = [d for d in engine.run(steps).not_verified if not d.what.startswith("the locks of ")]
    assert [(d.what, d.migration[:4]) for d in found] == [("rows of users", "0003")]
    assert found[0].why == "it is empty when this migration is tried"


def test_an_up_that_fails_on_no_row_too_is_told_with_that_error(tmp_path):
    """Found: Optuna's v2.4.0.a on MariaDB was said to refuse a made-up NULL; it fails in an empty database as well."""
    up = "CREATE TABLE copied (name TEXT NOT NULL); INSERT INTO copied SELECT NULL FROM users; DROP TABLE nowhere;"
    report = trial_fixtures.tested(project(tmp_path, [(USERS, "DROP TABLE users;"), (up, "DROP TABLE copied;")]))
    (finding,) = [f for f in report.migrations[1].findings if f.rule == "up-failed"]
    assert "no such table: nowhere" in finding.message
    assert "NOT NULL constraint failed: copied.name" in doubts(report)["stored rows under this migration"]


def test_an_up_that_refuses_every_row_is_told_with_its_own_error(tmp_path):
    up = "CREATE TABLE copied (name TEXT NOT NULL); INSERT INTO copied SELECT NULL FROM users;"
    report = trial_fixtures.tested(project(tmp_path, [(USERS, "DROP TABLE users;"), (up, "DROP TABLE copied;")]))
    (finding,) = [f for f in report.migrations[1].findings if f.rule == "up-failed"]
    assert "NOT NULL constraint failed: copied.name" in finding.message


@pytest.mark.engines("sqlite", "postgresql")
@pytest.mark.parametrize("only", [(), ("0001",)], ids=["newest", "only"])
def test_a_seed_that_nothing_is_tried_on(engine, tmp_path, only):
    """Found: a refused one was green, and a good one was named as the source of rows that were made up."""
    table = "CREATE TABLE {} (id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
    steps = [(table.format(t), f"DROP TABLE {t};") for t in ("users", "bare")]

    def run(seed):
        given = {"seed": seed, "at": "0002", "settings": "[retry]\nattempts = 0\n"}
        return engine.run(steps, **given, only=only, folder=tmp_path / str(len(seed)))

    good = run("INSERT INTO users VALUES " + ", ".join(f"({i}, 'a')" for i in range(30)) + ";")
    newest = good.migrations[-1].migration.id
    assert doubts(good)["the given rows"] == f"no migration after {newest} was tested, so that they were not used"
    assert "rows of bare" not in doubts(good)  # which the seed leaves empty
    assert (good.status, good.exit_code) == (Status.PASSED, 0)
    tested = good.trace.environment
    assert tested.seed == "generated by Seatrial, 12 rows a table, start 20260101 (seed.sql was not used)"
    assert tested.rows == (0 if only else 12)
    for seed, word in (("INSERT INTO nosuch VALUES (1);", "NOSUCH"), ("INSERT INTO users VALUES (2, NULL);", "NULL")):
        refused = run(seed)
        assert (refused.status, refused.exit_code) == (Status.ERROR, 2)
        assert [m.status for m in refused.migrations] == [Status.PASSED, Status.ERROR]  # whether it was tried or not
        told = refused.migrations[-1].trial.error
        assert told.startswith("the given rows could not be loaded after it: seed.sql, line 1: ")
        assert word in told.upper()
        assert refused.trace.environment.seed.endswith("(seed.sql was not used)")


def test_columns_that_only_the_settings_know(tmp_path):
    report = trial_fixtures.tested(
        project(tmp_path, [(USERS, "DROP TABLE users;")]),
        required=(Required(table="users", column="nme"), Required(table="Users", column="NAME")),
        relationships=(Relationship(table="users", column="id", references="teams.id"),),
    )
    found = [what for what in doubts(report) if what.startswith("[[")]
    assert found == ["[[required]] users.nme", "[[relationships]] teams.id"]


VIEW = "CREATE TABLE sales (cents INT); CREATE MATERIALIZED VIEW total AS SELECT sum(cents) AS s FROM sales;"
SOLD = "INSERT INTO sales VALUES (1), (2); REFRESH MATERIALIZED VIEW total;"
TENFOLD = "UPDATE sales SET cents = cents * 10; REFRESH MATERIALIZED VIEW total;"
LEFT_STALE = (
    "they are others after down than before up, and not what its query gives; before up they were: is a REFRESH"
)
LEFT_STALE += " missing?"


@pytest.mark.engines("postgresql")
@pytest.mark.parametrize(
    ("down", "why"),
    [
        ("UPDATE sales SET cents = cents / 10;", LEFT_STALE),
        ("UPDATE sales SET cents = cents / 10; REFRESH MATERIALIZED VIEW total;", None),
    ],
)
def test_rows_of_a_materialized_view_that_are_not_what_they_were(engine, down, why):
    report = engine.run([(VIEW, "DROP MATERIALIZED VIEW total; DROP TABLE sales;"), (TENFOLD, down)], seed=SOLD)
    assert report.status is Status.PASSED
    assert doubts(report).get("rows of materialized view total") == why


@pytest.mark.engines("postgresql")
@pytest.mark.parametrize(("to", "told"), [(2, True), (200, False)])
def test_a_sequence_that_no_column_is_known_to_use(engine, to, told):
    """Its numbers may be anywhere: in another database, in a file's name."""
    base = "CREATE TABLE t (id INT PRIMARY KEY, v INT); CREATE SEQUENCE ticket_no OWNED BY t.v; "
    base += "SELECT setval('ticket_no', 40);"
    more = f"ALTER TABLE t ADD w INT; SELECT setval('ticket_no', {to});", "ALTER TABLE t DROP w;"
    found = doubts(engine.run([(base, "DROP TABLE t;"), more], seed="INSERT INTO t VALUES (1);"))
    assert ("numbers of sequence ticket_no" in found) == told
    if told:
        assert found["numbers of sequence ticket_no"].startswith("it would give 3 next after up, and 41 before up")


@pytest.mark.engines("mariadb")
@pytest.mark.parametrize(("cache", "told"), [(1000, True), (1, False)])
def test_a_sequence_whose_values_are_in_the_cache(trial, cache, told):
    """Where such a sequence stands only drawing from it tells."""
    base = f"CREATE SEQUENCE s CACHE {cache}; CREATE TABLE t (id INT PRIMARY KEY DEFAULT (NEXT VALUE FOR s), n INT);"
    up, down = "INSERT INTO t VALUES (3, 9);", "DELETE FROM t WHERE id = 3;"
    found = trial(base=base, seed="INSERT INTO t (n) VALUES (1), (2);", up=up, down=down)
    assert ("the next id of t.id after up" in doubts(found.report)) is told
    assert found.rules == ([] if told else ["next-insert-fails"])
