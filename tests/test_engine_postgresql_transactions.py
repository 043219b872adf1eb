"""Scripts that control transactions themselves: what stays, what was taken back, and how locks were observed."""

from __future__ import annotations

import time

import psycopg
import pytest
from pg_fixtures import ran

from seatrial.engines._postgresql_blocks import Control, control
from seatrial.engines.postgresql import PostgresqlDatabase
from seatrial.model import Observed, Script, Step, Transaction

ONE, STATEMENTS, STRING = Transaction.ONE, Transaction.STATEMENTS, Transaction.STRING


@pytest.fixture
def base(pg_shared: PostgresqlDatabase) -> PostgresqlDatabase:
    ran(pg_shared, "drop schema public cascade; create schema public; create table t (id int primary key, a int)")
    return pg_shared


def run(pg: PostgresqlDatabase, text: str, how: Transaction, **more: object) -> Step:
    return pg.run(Script(text=text, transaction=how, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("begin", Control.BEGIN),
        ("/* go */ START transaction isolation level serializable", Control.BEGIN),
        ("-- that is it\nend", Control.COMMIT),
        ("commit work", Control.COMMIT),
        ("abort", Control.ROLLBACK),
        ("rollback work to savepoint s", Control.SAVEPOINT),
        ("commit and no chain", Control.COMMIT),
        ("rollback and chain", Control.CHAIN),
        ("commit prepared 'x'", Control.TWO_PHASE),
        ("prepare transaction 'x'", Control.TWO_PHASE),
        ("prepare q as select 1", Control.NONE),
        ("select 'commit'", Control.NONE),
        ("", Control.NONE),
    ],
)
def test_what_controls_a_transaction(text: str, expected: Control) -> None:
    assert control(text) is expected


# script, how it is sent, in_transaction, how locks were observed, the statements that were taken back
WAYS = {
    "one": ("alter table t add b int; select 1", ONE, True, "exact", []),
    "one, ended": ("alter table t add b int; commit", ONE, False, "exact", []),
    "one, ended early": ("alter table t add b int; commit; alter table t add c int", ONE, False, "exact", []),
    "one, begun in vain": ("begin; alter table t add b int", ONE, True, "exact", []),
    "one, taken back": ("alter table t add b int; rollback; select 1", ONE, False, "exact", [0, 1]),
    "one, refused behind a commit": (
        "alter table t add b int; commit; alter table t add c int; select 1/0",
        *(ONE, False, "exact", [2, 3]),
    ),
    "string": ("alter table t add b int; select 1", STRING, True, "exact", []),
    "string in a block": ("begin; alter table t add b int; select 1; commit", STRING, True, "exact", []),
    "string, refused in a block": (
        "begin; alter table t add b int; select 1/0; commit",
        STRING,
        True,
        "exact",
        [0, 1, 2],
    ),
    "string of two blocks": (
        "begin; alter table t add b int; commit; begin; alter table t add c int; commit",
        *(STRING, False, "exact", []),
    ),
    "string, refused in its second block": (
        "begin; alter table t add b int; commit; alter table t add c int; select 1/0",
        *(STRING, False, "exact", [3, 4]),
    ),
    "string, refused behind a block": (
        "alter table t add b int; commit; create index concurrently i on t (a); select 1",
        *(STRING, False, "exact", [2]),
    ),
    "string, its block left open": ("begin; alter table t add b int", STRING, True, "exact", [0, 1]),
    "statements": ("alter table t add b int; select 1", STATEMENTS, False, "not observed", []),
    "statements, some in a block": (
        "begin; alter table t add b int; commit; create index concurrently i on t (a)",
        *(STATEMENTS, False, "sampled", []),
    ),
    "statements, all in a block": ("begin; alter table t add b int; commit", STATEMENTS, True, "exact", []),
    "statements, refused": ("alter table t add b int; select 1/0", STATEMENTS, False, "not observed", [1]),
    "one statement": ("vacuum t", STRING, False, "not observed", []),
    "concurrently": ("create index concurrently i on t (a)", STRING, False, "not observed", []),
}


@pytest.mark.parametrize("name", WAYS)
def test_what_stayed_and_how_locks_were_seen(base: PostgresqlDatabase, name: str) -> None:
    text, how, in_transaction, observed, undone = WAYS[name]
    step = run(base, text, how)
    assert (step.in_transaction, step.locks_observed.value) == (in_transaction, observed)
    assert [i for i, s in enumerate(step.statements) if s.undone] == undone
    stand = {c for (c,) in base.query("select attname from pg_attribute where attrelid = 't'::regclass and attnum > 2")}
    kept = [s for s in step.statements if s.sql.startswith("alter table t add") and not s.undone]
    assert stand == {s.sql.split()[4] for s in kept}
    if observed != "not observed":
        assert all(
            [(k.table, k.mode, k.observed) for k in s.locks] == [("t", "AccessExclusiveLock", Observed.EXACT)]
            for s in kept[:1]
        )
        assert all(k.held_ms is not None for s in step.statements for k in s.locks)
    assert bool(step.locks_note) == (observed != "exact")


ALIKE = [
    "begin; insert into t values (1, 1); commit; insert into t values (2, 2); select 1/0",
    "insert into t values (1, 1); begin; insert into t values (2, 2); rollback; insert into t values (3, 3)",
    "insert into t values (1, 1); commit; insert into t values (2, 2); rollback; insert into t values (3, 3)",
    "begin isolation level serializable; insert into t select 1, 1 where current_setting('transaction_isolation') = "
    "'serializable'; commit; insert into t select 2, 2 where current_setting('transaction_isolation') = 'serializable'",
    "begin; begin; insert into t values (1, 1); commit; commit; insert into t values (2, 2)",
    "begin; insert into t values (1, 1); savepoint s; insert into t values (2, 2); rollback to s; commit; select 1",
    "begin; insert into t values (1, 1); commit and chain; insert into t values (2, 2); rollback; vacuum t",
    "insert into t values (1, 1); savepoint s; insert into t values (2, 2)",
    "insert into t values (1, 1); commit and chain; insert into t values (2, 2)",
    "begin; insert into t values (1, 1); commit; set local timezone = 'UTC'; insert into t values (2, 2); selekt",
    "create table u (t int references t initially deferred); begin; insert into u values (9); commit; select 1",
    "begin; insert into t values (1, 1); commit; vacuum t; insert into t values (2, 2)",
    "begin; insert into t values (1, 1)",
]


@pytest.mark.parametrize("text", ALIKE)
@pytest.mark.parametrize("how", [ONE, STRING])
def test_statement_by_statement_is_as_the_server_treats_one_string(
    base: PostgresqlDatabase, text: str, how: Transaction
) -> None:
    def after() -> tuple[list[tuple[str | None, ...]], bool]:
        return base.query("select id from t order by id"), base.query("select to_regclass('u')") != [(None,)]

    refused = ""
    with base.site.connect(base.name) as connection:
        try:
            if how is ONE:
                connection.execute("begin")
            connection.execute(text.encode())
            if how is ONE:
                connection.execute("commit")
        except psycopg.Error as error:
            refused = error.sqlstate or ""
        if int(connection.info.transaction_status):
            connection.rollback()
    expected = after()
    ran(base, "drop table if exists u; truncate t")
    step = run(base, text, how)
    assert (step.error.code if step.error else "", after()) == (refused, expected)


def test_what_cannot_be_cut_says_that_locks_were_not_observed(base: PostgresqlDatabase) -> None:
    step = run(base, "insert into t values (1, 1); commit and chain; select 1", STRING)
    assert step.error is not None and step.locks_observed is Observed.NOT_OBSERVED and "one string" in step.locks_note
    assert not step.in_transaction


def test_locks_let_go_by_a_savepoint_are_taken_anew(base: PostgresqlDatabase) -> None:
    step = ran(base, "savepoint s; alter table t add b int; rollback to s; alter table t add b int")
    assert [[k.mode for k in s.locks] for s in step.statements] == [
        [],
        ["AccessExclusiveLock"],
        [],
        ["AccessExclusiveLock"],
    ]


def test_what_takes_long_outside_a_transaction_is_sampled(base: PostgresqlDatabase) -> None:
    """CREATE INDEX CONCURRENTLY waits for the transaction of another session, so that there is time to look."""
    with base.site.connect(base.name) as other:
        other.execute("begin")
        other.execute("insert into t values (1, 1)")
        timer = _later(0.35, lambda: other.execute("commit"))
        step = ran(
            base,
            "create index concurrently i on t (a); vacuum full t; insert into t values (2, 2)",
            transaction=STATEMENTS,
        )
        timer.join()
    index, vacuum, insert = step.statements
    assert [(k.table, k.mode, k.observed) for k in index.locks] == [("t", "ShareUpdateExclusiveLock", Observed.SAMPLED)]
    assert 0 < (index.locks[0].held_ms or 0) < index.duration_ms
    assert (vacuum.rewrites, insert.rewrites, step.locks_observed) == (("t",), (), Observed.SAMPLED)
    assert "CONCURRENTLY" in step.locks_note


def _later(seconds: float, act: object):
    import threading

    def wait() -> None:
        time.sleep(seconds)
        act()  # type: ignore[operator]

    thread = threading.Thread(target=wait)
    thread.start()
    return thread
