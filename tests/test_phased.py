"""The zero-downtime way: set out from the migration's statements, tried, told only where it comes to the same."""

from __future__ import annotations

import pytest
from trial_fixtures import Outcome

from seatrial.model import ObjectKey, PlanPhase, Schema
from seatrial.reporters import render
from seatrial.schema import same_schema
from seatrial.sql.phases import set_out
from seatrial.sql.turns import NotSetOut
from seatrial.trial import phased
from seatrial.trial.outcome import varies_only

SHOP = (
    "CREATE TABLE users (id integer PRIMARY KEY, email varchar(40) NOT NULL);"
    "CREATE TABLE orders"
    " (id integer PRIMARY KEY, user_id integer, total numeric(10,2), note varchar(20), paid integer);",
    "DROP TABLE orders; DROP TABLE users;",
)
FEW = "[seed]\nrows = 9\n"


@pytest.fixture
def planned(engine, monkeypatch):
    """A run in which every migration whose down restores is asked for its phases; each that has a way back takes it."""
    run = phased._run
    undone = []

    def there_and_back(database, phase: PlanPhase, statements) -> None:
        before = database.inspect()
        run(database, phase, statements)
        if phase.rollback:
            database.execute(*phase.rollback.split("; "))
            assert same_schema(before, database.inspect()), phase.rollback
            undone.append(phase.title)
            run(database, phase, statements)

    monkeypatch.setattr(phased, "is_wanted", varies_only)
    monkeypatch.setattr(phased, "_run", there_and_back)

    def plan(up: str, down: str) -> Outcome:
        return Outcome(engine.run([SHOP, (up, down)], settings=FEW))

    plan.undone = undone
    return plan


def phases(outcome: Outcome) -> dict[str, list[str]]:
    """Word that begins a title -> its statements, without comments."""
    assert outcome.judged.plan, outcome.judged.trial.no_plan
    return {
        p.title.split()[0]: [line for line in p.sql.splitlines() if not line.startswith("--")]
        for p in outcome.judged.plan
    }


@pytest.mark.engines("postgresql")
def test_phases_on_postgresql(planned):
    outcome = planned(
        "ALTER TABLE orders ADD COLUMN cents bigint, ADD CONSTRAINT orders_total CHECK (total < 1e9),"
        " ADD FOREIGN KEY (user_id) REFERENCES users (id), ADD CONSTRAINT one UNIQUE (id, user_id);"
        "UPDATE orders SET cents = total * 100 WHERE total IS NOT NULL;"
        "CREATE INDEX orders_note ON orders (note, paid);"
        "ALTER TABLE users ALTER COLUMN email TYPE text;",
        "ALTER TABLE users ALTER COLUMN email TYPE varchar(40); DROP INDEX orders_note;"
        "ALTER TABLE orders DROP COLUMN cents, DROP CONSTRAINT orders_total, DROP CONSTRAINT one,"
        " DROP CONSTRAINT orders_user_id_fkey;",
    )
    found = phases(outcome)
    assert list(found) == ["Additive", "Backfill", "Make", "Cleanup"]
    assert found["Additive"][:3] == [
        "ALTER TABLE orders ADD COLUMN cents bigint;",
        "CREATE INDEX CONCURRENTLY orders_note ON orders (note, paid);",
        "ALTER TABLE users ADD COLUMN email_new text;",
    ]
    assert found["Additive"][4].startswith("CREATE TRIGGER users_email_sync BEFORE INSERT OR UPDATE ON users")
    first, second = found["Backfill"]
    assert first.startswith("UPDATE orders SET cents = total * 100 WHERE (total IS NOT NULL) AND orders.id BETWEEN ")
    assert second.startswith("UPDATE users SET email_new = email::text WHERE users.id BETWEEN ")
    assert "the first of 3 batches by id" in outcome.judged.plan[1].sql
    assert found["Make"] == [
        "ALTER TABLE orders ADD CONSTRAINT orders_total CHECK (total < 1e9) NOT VALID;",
        "ALTER TABLE orders VALIDATE CONSTRAINT orders_total;",
        "ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;",
        "ALTER TABLE orders VALIDATE CONSTRAINT orders_user_id_fkey;",
        "CREATE UNIQUE INDEX CONCURRENTLY one ON orders (id, user_id);",
        "ALTER TABLE orders ADD CONSTRAINT one UNIQUE USING INDEX one;",
        "ALTER TABLE users ADD CONSTRAINT users_email_required CHECK (email_new IS NOT NULL) NOT VALID;",
        "ALTER TABLE users VALIDATE CONSTRAINT users_email_required;",
        "ALTER TABLE users ALTER COLUMN email_new SET NOT NULL;",
        "ALTER TABLE users DROP CONSTRAINT users_email_required;",
    ]
    assert found["Cleanup"] == [
        "BEGIN; DROP TRIGGER users_email_sync ON users; DROP FUNCTION users_email_sync();"
        " ALTER TABLE users DROP COLUMN email; ALTER TABLE users RENAME COLUMN email_new TO email; COMMIT;"
    ]
    assert len(planned.undone) == 2


@pytest.mark.engines("mysql", "mariadb")
def test_phases_on_mysql(planned):
    outcome = planned(
        "ALTER TABLE orders ADD COLUMN cents bigint; UPDATE orders SET cents = total * 100;"
        "ALTER TABLE orders ADD INDEX orders_note (note);",
        "ALTER TABLE orders DROP INDEX orders_note, DROP COLUMN cents;",
    )
    found = phases(outcome)
    assert found["Additive"] == [
        "ALTER TABLE orders ADD COLUMN cents bigint, ALGORITHM=INSTANT;",
        "ALTER TABLE orders ADD INDEX orders_note (note), ALGORITHM=INPLACE, LOCK=NONE;",
    ]
    (batch,) = found["Backfill"]
    assert batch.startswith("UPDATE orders SET cents = total * 100 WHERE orders.id BETWEEN ")


@pytest.mark.engines("mysql", "mariadb")
def test_what_the_server_cannot_do_online_is_told_in_its_words(planned):
    outcome = planned("ALTER TABLE orders MODIFY id bigint;", "ALTER TABLE orders MODIFY id integer;")
    assert outcome.judged.plan == ()
    assert "*Make Column Required (Deploy V2)* was refused: ALGORITHM=INPLACE" in outcome.judged.trial.no_plan


def test_phases_that_leave_other_rows_are_no_plan(planned):
    """What is deleted goes last: in the phases the rows are still there when they are counted."""
    outcome = planned(
        "CREATE TABLE users_kept AS SELECT * FROM users; DELETE FROM users;"
        "ALTER TABLE orders ADD COLUMN seen integer; UPDATE orders SET seen = (SELECT count(*) FROM users);",
        "ALTER TABLE orders DROP COLUMN seen; INSERT INTO users SELECT * FROM users_kept; DROP TABLE users_kept;",
    )
    assert outcome.judged.plan == ()
    assert outcome.judged.trial.no_plan == "its phases leave other rows than up: orders"


@pytest.mark.parametrize(
    ("up", "why"),
    [
        ("UPDATE users SET id = id + 1000;", "an UPDATE changes the key of users: `UPDATE users SET id = id + 1000`"),
        (
            "DELETE FROM users WHERE email = '' RETURNING id;",
            "a statement is not one plain DELETE: `DELETE FROM users WHERE email = '' RETURNING id`",
        ),
        ("CREATE TABLE t (id integer);", "none of its statements can be run in a way that holds others up less"),
    ],
)
def test_what_cannot_be_set_out(up, why):
    users = {
        ObjectKey("table", "", "", "users"): {},
        ObjectKey("column", "", "users", "id"): {"type": "integer", "position": 1},
        ObjectKey("primary key", "", "users", "users(id)"): {"type": "primary key", "columns": ("id",)},
    }
    with pytest.raises(NotSetOut) as none:
        set_out([up], Schema(users), Schema(users), "postgresql")
    assert (f"{none.value}: `{none.value.statement}`" if none.value.statement else str(none.value)) == why


def test_a_plan_is_in_the_report(planned, engine):
    up = "ALTER TABLE orders ADD COLUMN cents bigint; UPDATE orders SET cents = total * 100;"
    report = planned(up, "ALTER TABLE orders DROP COLUMN cents;").report
    text = render(report, "markdown")
    part = text[text.index("## Zero-Downtime") : text.index("## Recommendations")]
    assert "**Recommended Approach** (for zero-downtime):" in part
    assert "### Phase 1: Additive Changes (Deploy V1)" in part
    assert "- Deploy the version that writes cents first: rows that come meanwhile are in no batch" in part
    assert report.exit_code == 0
