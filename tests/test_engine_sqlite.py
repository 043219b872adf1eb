"""Scripts, seeds, fillings and copies of SQLite databases, and the folder that they live in."""
# ruff: noqa: E501 - statements are easier to read on one line

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from test_engine_sqlite_support import changes, checksums, database, run

from seatrial.cli import _ended_in_order
from seatrial.engines import _sqlite_run
from seatrial.engines.sqlite import SqliteDatabase
from seatrial.errors import DatabaseError
from seatrial.model import ErrorKind, Observed, Script, TableRef, Transaction
from seatrial.servers import files
from seatrial.servers.files import SqliteServer

__all__ = ["database"]

T = TableRef("", "t")


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """A ledger of its own for each test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


# --- moments ---------------------------------------------------------------------------------------------------------------


def cells(database, old, new):
    (diff,) = changes(database, old, new)
    (row,) = (row for group in diff.changed for row in group.rows)
    return list(zip(row.old, row.new, strict=True))


def test_a_moment_that_was_kept_is_looked_at_as_it_was(database):
    database.execute("create table t (a integer primary key, b)", "insert into t values (1, 'old')")
    before = database.take("before")
    database.execute("update t set b = 'kept'")
    assert database.keep("kept")
    database.execute("update t set b = 'written since'", "create table u (a)")
    kept = database.take("kept", since=before)
    assert [str(t.table) for t in kept.tables] == ["t"]
    assert database.query("select b from t", at=kept) == [("kept",)]
    assert database.query("select b from t") == [("written since",)]
    assert cells(database, before, kept) == [("old", "kept")]
    now = database.take("now", since=kept)
    assert [str(t.table) for t in now.tables] == ["t", "u"]
    assert cells(database, kept, now) == [("kept", "written since")]


def test_a_kept_moment_is_kept_anew_or_released_without_a_look(database):
    database.execute("create table t (a)", "insert into t values (1)")
    database.keep("m")
    database.execute("insert into t values (2)")
    database.keep("m")
    assert [t.rows for t in database.take("m").tables] == [2]
    database.keep("n")
    database.release("n")
    database.execute("insert into t values (3)")
    assert [t.rows for t in database.take("n").tables] == [3]


# --- run ----------------------------------------------------------------------------------------------------------------


def test_statements_rows_and_durations(database):
    step = run(
        database,
        "create table t (a); -- one\ninsert into t values (1), (2);\nupdate t set a = 3;"
        "with x (v) as (select 9) insert into t select v from x; select * from t; delete from t where a = 3 returning a",
        transaction=Transaction.ONE,
    )
    assert [s.rows for s in step.statements] == [None, 2, 2, 1, None, 2]
    assert all(s.duration_ms >= 0 for s in step.statements)
    assert (step.in_transaction, step.locks_observed) == (True, Observed.EXACT)
    assert step.locks_note == "SQLite has one lock for the whole database"
    assert database.query("select a from t") == [("9",)]


def modes(step):
    return [[lock.mode for lock in s.locks] for s in step.statements]


def test_the_first_write_of_a_transaction_takes_the_lock_until_its_end(database):
    text = "create table if not exists t (a); select * from t; insert into t values (1); delete from t"
    first = run(database, text, transaction=Transaction.ONE)
    assert modes(first) == [["RESERVED"], [], [], []]
    assert first.statements[0].locks[0].held_ms > sum(s.duration_ms for s in first.statements[1:])
    again = run(database, text, transaction=Transaction.ONE)  # the table is there: its first write is the insert
    assert modes(again) == [[], [], ["RESERVED"], []]
    assert modes(run(database, "select 1", transaction=Transaction.ONE)) == [[]]


def test_a_statement_in_autocommit_locks_as_long_as_it_lasts(database):
    step = run(
        database, "create table t (a); select 1; begin; insert into t values (1); commit; insert into t values (2)"
    )
    assert modes(step) == [["EXCLUSIVE"], [], [], ["RESERVED"], [], ["EXCLUSIVE"]]
    assert step.statements[5].locks[0].held_ms == step.statements[5].duration_ms
    assert step.locks_observed is Observed.EXACT


def test_what_a_write_ahead_log_hides_is_a_sample(database):
    step = run(database, "pragma journal_mode = wal; create table t (a); begin; insert into t values (1); commit")
    assert modes(step) == [[], [], [], ["RESERVED"], []]
    assert step.locks_observed is Observed.SAMPLED
    assert run(database, "pragma journal_mode = delete").error is None


def test_a_spilled_cache_shuts_readers_out(database):
    run(database, "create table t (a)")
    rows = (
        "insert into t with recursive n (i) as (select 1 union all select i + 1 from n where i < 9999) select i from n"
    )
    assert modes(run(database, f"pragma cache_size = 5; begin; {rows}; commit"))[2] == ["EXCLUSIVE"]


def test_one_transaction_is_rolled_back_as_a_whole(database):
    script = Script(text="create table t (a unique);\n\ninsert into t values (1),\n (1);\nselect 1", first_line=11)
    step = database.run(script)
    assert (step.error.code, step.error.line, step.error.kind) == ("SQLITE_CONSTRAINT_UNIQUE", 13, ErrorKind.MIGRATION)
    assert step.error.message == "UNIQUE constraint failed: t.a"
    assert step.error.statement == "insert into t values (1),\n (1)"
    assert not database.inspect().tables()


@pytest.mark.parametrize("transaction", [Transaction.STATEMENTS, Transaction.STRING])
def test_statements_by_themselves_stay(database, transaction):
    step = database.run(
        Script(text="create table t (a); create table t (a); create table u (a)", transaction=transaction)
    )
    assert (step.error.code, step.in_transaction) == ("SQLITE_ERROR", False)
    assert [k.label for k in database.inspect() if k.kind == "table"] == ["table t"]


def test_a_transaction_left_open_is_rolled_back(database):
    run(database, "create table t (a); begin; insert into t values (1)")
    assert database.query("select * from t") == []


def test_a_script_with_transactions_inside_one_fails_as_with_the_tool(database):
    assert "within a transaction" in database.run(Script(text="begin; create table t (a); commit")).error.message
    error = database.run(Script(text="create table t (a); commit; create table u (a)")).error
    assert (error.statement, error.line) == ("COMMIT", None)


def test_foreign_keys_cannot_be_switched_inside_a_transaction(database):
    run(
        database,
        "create table p (id integer primary key); insert into p values (1);"
        "create table c (p references p on delete cascade); insert into c values (1)",
    )
    run(
        database,
        "pragma foreign_keys = off; delete from p",
        transaction=Transaction.ONE,
        session=("pragma foreign_keys = on",),
    )
    assert database.query("select count(*) from c") == [("0",)]
    run(database, "insert into p values (1); insert into c values (1)")
    run(database, "pragma foreign_keys = off; delete from p", session=("pragma foreign_keys = on",))
    assert database.query("select count(*) from c") == [("1",)]


def test_foreign_keys_are_off_unless_the_session_says_so(database):
    run(database, "create table p (id integer primary key); create table c (p references p); insert into c values (1)")
    script = Script(text="insert into c values (2)", session=("pragma foreign_keys = on",))
    assert database.run(script).error.code == "SQLITE_CONSTRAINT_FOREIGNKEY"


def test_deferred_constraints_fail_at_the_commit(database):
    run(
        database,
        "create table p (id integer primary key); create table c (p references p deferrable initially deferred)",
    )
    error = database.run(Script(text="insert into c values (1)", session=("pragma foreign_keys = on",))).error
    assert (error.statement, error.code) == ("COMMIT", "SQLITE_CONSTRAINT_FOREIGNKEY")
    assert database.query("select * from c") == []


def test_the_epilogue_shares_the_transaction(database):
    run(database, "create table v (id)")
    failing = Script(text="create table t (a); insert into nowhere values (1)", epilogue=("insert into v values (1)",))
    assert database.run(failing).error
    fine = Script(text="create table t (a)", epilogue=("insert into v values (2)",))
    assert [s.sql for s in database.run(fine).statements] == ["create table t (a)"]
    assert database.query("select id from v") == [("2",)]


@pytest.mark.parametrize("transaction", list(Transaction))
@pytest.mark.parametrize("sql", ["attach '{}' as x", "attach '{}' || '' as x", "select load_extension('{}')"])
def test_what_reaches_outside_is_refused(database, tmp_path, sql, transaction):
    outside = tmp_path / "outside.db"
    step = database.run(Script(text=sql.format(outside), transaction=transaction))
    assert "trust = true" in step.error.message
    assert step.error.kind is ErrorKind.ENVIRONMENT
    assert not outside.exists()


def test_vacuum_into_is_refused_and_vacuum_is_not(database, tmp_path):
    assert run(database, "create table t (a); vacuum; attach ':memory:' as m; detach m")
    step = database.run(Script(text=f"vacuum into '{tmp_path}/x.db'", transaction=Transaction.STATEMENTS))
    assert step.error
    assert not (tmp_path / "x.db").exists()


def test_a_trusted_project_may_attach(database, tmp_path):
    database.trust = True
    run(database, f"attach '{tmp_path}/other.db' as o; create table o.t (a)")
    assert (tmp_path / "other.db").exists()


def test_a_locked_database_is_no_fault_of_the_migration(database, monkeypatch):
    run(database, "create table t (a)")
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("begin exclusive")
    monkeypatch.setattr(_sqlite_run, "UNHURRIED", "pragma busy_timeout = 1")
    step = database.run(Script(text="insert into t values (1)"))
    other.close()
    assert (step.error.kind, step.error.code) == (ErrorKind.ENVIRONMENT, "SQLITE_BUSY")


def test_a_full_database_is_no_fault_of_the_migration(database):
    step = database.run(
        Script(
            text="create table t (a); insert into t values (zeroblob(100000))", session=("pragma max_page_count = 3",)
        )
    )
    assert (step.error.kind, step.error.code) == (ErrorKind.ENVIRONMENT, "SQLITE_FULL")


# --- our own statements, seeds and fillings -------------------------------------------------------------------------------


def test_our_statements_raise_in_sqlites_words(database):
    with pytest.raises(DatabaseError, match="no such table: nowhere") as caught:
        database.query("select * from nowhere")
    assert caught.value.code == "SQLITE_ERROR"
    with pytest.raises(DatabaseError, match="syntax error"):
        database.execute("create tabel t")


@pytest.mark.parametrize(
    "seed",
    [
        "insert into t values (1); insert into t values (2);",
        "begin transaction; insert into t values (1); insert into t values (2); commit;",
        "pragma foreign_keys = off; insert into t values (1); begin; insert into t values (2); commit",
        "insert into t values (1); commit; insert into t values (2)",
        "savepoint x; insert into t values (1); release x; insert into t values (2)",
    ],
)
def test_seeds_with_and_without_transactions(database, seed):
    run(database, "create table t (a)")
    assert database.load(seed) is None
    assert database.query("select a from t order by a") == [("1",), ("2",)]


def test_a_seed_that_does_not_fit_says_where(database):
    run(database, "create table t (a unique)")
    error = database.load("-- rows\ninsert into t values (1);\ninsert into t values (2), (1);")
    assert (error.kind, error.line, error.code) == (ErrorKind.SEED, 3, "SQLITE_CONSTRAINT_UNIQUE")
    assert error.statement == "insert into t values (2), (1)"


TRIGGERS = """
create table t (id integer primary key, a); create table log (what);
create trigger one after insert on t begin insert into log values ('one'); end;
create trigger two after insert on t begin insert into log values ('two'); end;
create trigger three after update on t begin insert into log values ('three'); end;
"""


def test_filling_fires_no_trigger_and_keeps_them(database):
    run(database, TRIGGERS)
    before = database.inspect()
    with database.filling() as connection:
        database.fill(T, ["id", "a"], [(1, "x"), (2, b"\x00"), (3, None)])
        database.amend(T, ["id"], ["a"], [(1, "y")])
        connection.execute("update t set a = ? where id = ?", ("z", 3))
        assert database.query("select count(*) from t") == [("3",)]
    assert database.query("select * from t") == [("1", "y"), ("2", "\\x00"), ("3", "z")]
    assert database.query("select * from log") == []
    assert database.inspect() == before
    run(database, "insert into t values (4, 4)")
    assert len(database.query("select * from log")) == 2


def test_a_filling_that_fails_leaves_nothing(database):
    run(database, TRIGGERS)
    with pytest.raises(RuntimeError), database.filling():
        database.fill(T, ["id"], [(1,)])
        raise RuntimeError
    assert database.query("select * from t") == []
    assert len([k for k in database.inspect() if k.kind == "trigger"]) == 3


def test_a_batch_is_filled_as_a_whole_or_not_at_all(database):
    run(database, "create table t (id integer primary key, a)")
    with database.filling():
        database.fill(T, ["id"], [(1,)])
        with pytest.raises(DatabaseError, match="UNIQUE"):
            database.fill(T, ["id"], [(2,), (1,)])
        database.fill(T, [], [(), ()])
    assert database.query("select id from t") == [("1",), ("2",), ("3",)]


# --- moments and checkpoints ----------------------------------------------------------------------------------------------


def test_restore_brings_everything_back_under_the_same_url(database):
    run(database, "create table t (id integer primary key autoincrement, a); insert into t (a) values (1)")
    old = database.take("A")
    url, mark = database.url, database.checkpoint()
    run(database, "pragma journal_mode = wal; drop table t; create table u (a)")
    gone = database.take("B", since=old)
    assert "u" in checksums(gone)
    database.restore(mark)
    again = database.take("C", since=gone)
    assert (again.tables, again.schema, again.counters, database.url) == (old.tables, old.schema, old.counters, url)
    assert changes(database, old, again) == ()
    assert [d.table.name for d in changes(database, old, gone)] == ["t"]
    run(database, "delete from t")
    assert database.reset(mark) == ""
    assert changes(database, old, database.take("C")) == ()
    database.discard(mark)
    database.release("A")
    with pytest.raises(DatabaseError, match="released"):
        database.diff(old, gone, _pairs(old, gone))


def _pairs(old, new):
    from seatrial.schema import pair_by_name

    return pair_by_name(old, new)


def test_what_a_killed_program_left_is_settled_first(database):
    """A hot journal is rolled back, a write-ahead log is taken in."""
    run(database, "pragma journal_mode = wal; create table t (a); insert into t values (1)")
    writer = f"""
        import os, sqlite3
        c = sqlite3.connect({str(database.path)!r}, isolation_level=None)
        c.execute("insert into t values (2)")
        c.execute("begin"); c.execute("insert into t values (3)")
        os._exit(9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(writer)], check=False)
    assert Path(f"{database.path}-wal").stat().st_size > 0
    assert database.take("A").tables[0].rows == 2
    run(database, "pragma journal_mode = delete")
    writer = f"""
        import os, sqlite3
        c = sqlite3.connect({str(database.path)!r}, isolation_level=None)
        c.execute("pragma cache_size = 1"); c.execute("pragma cache_spill = 1"); c.execute("begin")
        c.execute("with recursive n (i) as (select 1 union all select i + 1 from n where i < 50000) insert into t select i from n")
        os._exit(9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(writer)], check=False)
    assert Path(f"{database.path}-journal").exists()
    assert database.take("B").tables[0].rows == 2


def test_an_empty_database(database):
    taken = database.take("A")
    assert (taken.tables, list(taken.schema.tables()), taken.size_bytes) == ((), [], 0)
    again = database.take("B", since=taken)
    run(database, "create table t (a)")
    new = database.take("C", since=again)
    assert changes(database, again, new) == ()
    assert [t.rows for t in new.tables] == [0]


# --- the folder -----------------------------------------------------------------------------------------------------------


def test_databases_are_files_in_a_marked_folder(tmp_path):
    server = SqliteServer(tmp_path, database=SqliteDatabase)
    one, other = server.create(), server.create()
    assert one.url != other.url
    assert one.url == f"sqlite:///{one.path}"
    assert one.path.is_relative_to(tmp_path)
    assert (server.folder / files.MARKER).is_file()
    assert server.folder.stat().st_mode & 0o077 == 0
    one.take("A")
    one.close()
    assert not one.path.exists()
    assert other.path.exists()
    server.close()
    assert not server.folder.exists()


def _started(tmp_path):
    program = f"""
        import sys, time
        from pathlib import Path
        from seatrial.engines.sqlite import SqliteDatabase
        from seatrial.servers.files import SqliteServer
        server = SqliteServer(Path({str(tmp_path)!r}), database=SqliteDatabase)
        server.create().execute("create table t (a)")
        print(server.folder, flush=True)
        time.sleep(600)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    folder = process.stdout.readline().strip()
    assert folder, "the program said where its folder is"
    return process, Path(folder)


def test_what_a_killed_run_left_is_removed_and_a_live_ones_is_not(tmp_path):
    process, folder = _started(tmp_path)
    try:
        SqliteServer(tmp_path, database=SqliteDatabase).close()
        assert folder.exists()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        SqliteServer(tmp_path, database=SqliteDatabase).close()
        assert not folder.exists()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_what_is_not_ours_is_never_removed(tmp_path):
    process, folder = _started(tmp_path)
    process.kill()
    process.wait()
    process.stdout.close()
    (folder / files.MARKER).write_text("somebody else")
    assert files.clean() == []
    assert folder.exists()


def test_an_interrupt_ends_a_long_statement(database):
    """Python hears it between its own instructions alone, and a statement is one call of SQLite's."""
    timer = threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt), _ended_in_order():  # where it falls into a finalizer it comes again
        run(
            database,
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {10**8}) SELECT max(i) FROM n",
        )
