"""Writes down what one Alembic step sends to the database. Runs in the project's interpreter (3.8+).

SQLAlchemy's events tell of every statement on every engine; SQLite's trace callback also of those that went past
SQLAlchemy. Only what runs inside the revision's own upgrade() or downgrade() is the migration's: env.py, the version
table and SQLAlchemy's first look at a server are not. On PostgreSQL the locks of the same backend are read after each
statement while its transaction is open, which is exact. SQLite's only lock is known from what wrote and when its
transaction ended.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

# Tables as they stand before the step, with the file that holds each.
_TABLES = """
SELECT c.oid::text, CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname,
       coalesce(pg_catalog.pg_relation_filenode(c.oid)::text, '')
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""
# Locks that this backend holds, with the table's present file: another file than before is a rewrite. A table that was
# just dropped has a lock still, but no row in pg_class any more.
_LOCKS = """
SELECT l.relation::text, l.mode, coalesce(pg_catalog.pg_relation_filenode(c.oid)::text, '')
  FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation
 WHERE l.pid = pg_catalog.pg_backend_pid() AND l.granted AND l.locktype = 'relation' AND l.relation >= 16384
 ORDER BY 1, 2
"""
_READS = re.compile(r"\s*(?:SELECT|PRAGMA|EXPLAIN|SHOW|VALUES|DESCRIBE)\b", re.IGNORECASE)
_CONTROL = re.compile(  # and what SQLite shows of its own work within a statement: every line of it a comment
    r"(?:\s*--[^\n]*(?:\n|\Z))*\s*(?:\Z|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|END)", re.IGNORECASE
)
_WITH = re.compile(r"\s*WITH\b", re.IGNORECASE)  # which may come before INSERT, UPDATE and DELETE, too
_FILE = "whole database"
_UNSEEN = re.compile(r"\bcursor\s*\(|\braw_connection\s*\(|\bdriver_connection\b|\bdbapi_connection\b|\bsubprocess\b")
HEARD = ("before_cursor_execute", "after_cursor_execute", "handle_error", "commit", "rollback")  # of engines
_SHORT = 300
_LONG = 4000
_PLAIN = {int, str, bool, type(None)}  # a float or a date would be of another type as a literal
_SESSION = "seatrial session"  # the server's id of a pooled connection


def told(error: BaseException) -> str:
    """What it says, without places in memory: <Table object at 0x7f...> is another text in each run."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", str(error))


def _index(quote: Any, call: Any) -> Iterable[str]:
    yield f"DROP INDEX {quote(call[0][0].name)}"


def _constraint(quote: Any, call: Any) -> Iterable[str]:
    if call[0][0].name:
        yield f"DROP CONSTRAINT {quote(str(call[0][0].name))}"


def _dropped(quote: Any, call: Any) -> Iterable[str]:
    yield f"DROP COLUMN {quote(call[0][1].name)}"


def _column(quote: Any, call: Any) -> Iterable[str]:
    """What ``alter_column`` takes away; what it gives stands in the new table's CREATE TABLE."""
    (_, name, *_), settings = call
    if settings.get("nullable"):
        yield f"ALTER COLUMN {quote(name)} DROP NOT NULL"
    if settings.get("server_default", False) is None:
        yield f"ALTER COLUMN {quote(name)} DROP DEFAULT"


class Observer:
    """What happened in one step; begin() forgets the one before."""

    def __init__(self, guard: Any, pages: Any) -> None:
        self._guard, self._pages = guard, pages
        self._engine = ""
        self._pools: list[Any] = []
        self.announce: Callable[[str, str, str], None] = lambda *said: None  # to who watches from outside
        self.begin()
        guard.on_sqlite = self._trace
        self._connections = 0

    def install(self) -> None:
        """Listen to every engine and pool that is ever made."""
        from sqlalchemy import event
        from sqlalchemy.engine import Engine
        from sqlalchemy.pool import Pool

        event.listen(Pool, "connect", self._connected)
        acts: tuple[Callable[..., Any], ...] = (
            self._before,
            self._after,
            self._erred,
            self._committed,
            self._rolled_back,
        )
        for name, act in zip(HEARD, acts):  # noqa: B905 - Python 3.8
            event.listen(Engine, name, act)
        self._listen_to_batches()

    def _listen_to_batches(self) -> None:
        """What a batch drops is only left out of the table that takes the old one's place: no statement says it."""
        from alembic.operations import batch

        def told(method: Any, say: Callable[[str, Any], Iterable[str]]) -> Any:
            @functools.wraps(method)
            def run(rebuild: Any, *args: Any, **settings: Any) -> Any:
                table, quote = rebuild.table, rebuild.impl.dialect.identifier_preparer.quote
                done = method(rebuild, *args, **settings)
                if self._recording:
                    of = f"ALTER TABLE {rebuild.impl.dialect.identifier_preparer.format_table(table)}"
                    self._said += [f"{of} {part}" for part in say(quote, (args, settings))]
                return done

            return run

        rebuild = batch.ApplyBatchImpl
        heard = {"drop_index": _index, "drop_constraint": _constraint, "drop_column": _dropped, "alter_column": _column}
        for name, say in heard.items():
            setattr(rebuild, name, told(getattr(rebuild, name), say))

    # --- one step ---

    def begin(
        self, *, watched: bool = False, question: list[str] | None = None, errand: dict[str, Any] | None = None
    ) -> None:
        """``watched``: each statement is announced, to be observed from outside, before it runs.

        ``question``: which of them, by their beginning, and a query that the statement's own session answers for that.
        ``errand``: what the engine needs for an account of the pages that are written.
        """
        self._pages.begin(errand or {})
        self._account: dict[str, Any] = {}
        self._watched, self._announced = watched, 0
        self._question = (re.compile(question[0]), question[1]) if question else None
        self.ran = False
        self._recording = False
        self._inside = False  # a statement is on its way through SQLAlchemy
        self._statements: list[dict[str, Any]] = []
        self._said: list[str] = []
        self._error: dict[str, Any] | None = None
        self._last = ""  # the statement that failed
        self._tables: dict[str, list[str]] = {}
        self._held: dict[tuple[str, str], dict[str, Any]] = {}
        self._exact = False  # every statement so far ran inside a transaction whose locks were read
        self._in_one = True
        self._ends = 0
        self._open = 0  # the first statement of the open transaction
        self._committing = 0  # and of the one that was committed last
        self._overhead = 0.0
        self._begun = self._stopped = 0.0
        self.beside: list[str] = []  # what ran on SQLite outside the revision's own function
        self._connection: Any = None  # SQLite's: its foreign_keys is looked at again at the end
        self._left_off = False

    def attach(self, context: Any) -> None:
        """Called by Alembic just before the revision runs, with the connection that it will run on."""
        connection = context.connection
        self._engine = connection.dialect.name
        if self._engine == "sqlite":
            self._is_ours(connection)
            self._connection = connection if self._holds_foreign_keys(connection) else None
        elif self._engine == "postgresql":
            self._tables = {oid: [name, file] for oid, name, file in self._ask(connection, _TABLES)}
            self._held = {(oid, mode): {} for oid, mode, _ in self._ask(connection, _LOCKS)}
            self._exact = True

    def _holds_foreign_keys(self, connection: Any) -> bool:
        """A setting of each connection, off by default."""
        return any(row[0] for row in self._ask(connection, "PRAGMA foreign_keys"))

    def _is_ours(self, connection: Any) -> None:
        """A database in memory is nobody's, so it may be opened; but to migrate it would prove nothing."""
        files = [row[2] for row in self._ask(connection, "PRAGMA database_list") if row[1] == "main"]
        if not files or not files[0]:
            self._guard.refuse("sqlite:///:memory:")
        self._exact = not any(Path(f"{file}-wal").exists() for file in files)  # there readers are not locked out

    def watched(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """The revision's function, recorded while it runs."""

        def run(**settings: Any) -> Any:
            self.ran = self._recording = True
            self._begun = time.perf_counter()
            source = getattr(act, "__code__", None)
            self._unseen = bool(source and self._engine != "sqlite" and _UNSEEN.search(_text(source.co_filename)))
            try:
                return act(**settings)
            finally:
                self._recording = False
                self._stopped = time.perf_counter()
                if self._connection is not None:
                    with contextlib.suppress(Exception):  # a connection that the migration closed has no settings
                        self._left_off = not self._holds_foreign_keys(self._connection)

        run.__name__ = getattr(act, "__name__", "run")  # Alembic logs it
        return run

    def rest(self) -> None:
        """The step is over; its connection may serve the next one."""
        self._stop()
        self._account = self._pages.end()

    def _stop(self) -> None:
        now = time.perf_counter()
        self._ended(None)
        self._connection = None
        self._stopped = now if self.ran else self._stopped

    def sent(self) -> Iterable[str]:
        """The step's statements, those past SQLAlchemy included."""
        return (entry["sql"] for entry in self._statements)

    def had_one_connection(self) -> bool:
        """Whether all that ran since env.py began ran on one SQLite connection, and was seen."""
        return self._connections == 1

    def end(self) -> None:
        """Close what is open, so that the next step starts with fresh connections."""
        self._stop()
        self._connections = 0
        for pool in self._pools:
            with contextlib.suppress(Exception):  # an async driver cannot be closed from here; it is dropped
                pool.dispose()
        self._pools = []
        self._account = self._pages.end()

    def result(self) -> dict[str, Any]:
        spent = max(0.0, self._stopped - self._begun - self._overhead) if self.ran else 0.0
        if self._error and self._engine in ("sqlite", "postgresql"):  # MySQL commits around DDL
            self._undo()
        return {
            "statements": self._statements,
            "said": self._said,
            "error": self._error,
            "duration_ms": spent * 1000,
            "engine": self._engine,
            "locks_exact": self._exact and self.ran and not self._unseen,
            "left_off": ["foreign keys"] if self._left_off else [],
            "observed": not (self.ran and self._unseen),
            "account": self._account,
            "in_transaction": self._in_one and any(not _READS.match(s["sql"]) for s in self._statements),
        }

    def failed(self, error: BaseException, path: str, env: str) -> None:
        """Note why a step failed: the database's words where it was the database."""
        refusal = database_error(error)
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == path]
        own = [frame for frame in frames if frame.filename in (path, env)]
        self._error = {
            "stage": "migration" if self.ran else "before",
            "database": refusal is not None,
            "message": words(refusal) if refusal is not None else f"{type(error).__name__}: {told(error)}",
            "code": code(refusal) if refusal is not None else "",
            "type": type(refusal or error).__name__,
            "statement": (getattr(error, "statement", None) or self._last) if refusal is not None else "",
            "line": lines[-1] if lines else None,
            "place": _place(error, own),
        }

    # --- SQLAlchemy's events ---

    def _connected(self, connection: Any, record: Any) -> None:
        """A pool has opened a connection, and nothing was sent over it yet."""
        pool = getattr(record, "_ConnectionRecord__pool", None)
        if pool is not None and pool not in self._pools:
            self._pools.append(pool)
        name = getattr(getattr(pool, "_dialect", None), "name", "")
        if name != "sqlite":
            self._guard.check_sync({"mariadb": "mysql"}.get(name, name), connection)
        self._set_up(connection)
        if self._watched and name in ("mysql", "mariadb"):
            cursor = connection.cursor()
            cursor.execute("SELECT CONNECTION_ID()")
            record.info[_SESSION] = cursor.fetchone()[0]
            cursor.close()

    def _set_up(self, connection: Any) -> None:
        """The session statements of seatrial.toml, each committed by itself."""
        for statement in self._guard.target.session if self._guard.target else ():
            cursor, self._last = connection.cursor(), statement
            cursor.execute(statement)
            cursor.close()
            connection.commit()

    def _before(self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        self._inside = True
        begun = time.perf_counter()
        self._pages.between()
        self._guard.allow(statement)
        self._last = statement
        if self._recording and self._watched:
            self._announced += 1
            self.announce(statement, str(conn.connection.info.get(_SESSION, "")), self._answer(conn, statement))
        self._started = time.perf_counter()
        if self._recording:
            self._overhead += self._started - begun

    def _after(self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        now = time.perf_counter()
        self._inside = False
        if not self._recording:
            return
        rows = getattr(cursor, "rowcount", -1)
        entry: dict[str, Any] = {
            "sql": statement.strip(),
            "duration_ms": (now - self._started) * 1000,
            "rows": rows if isinstance(rows, int) and rows >= 0 else None,
            "parameters": short(parameters) if parameters else "",
            "values": None if many else plain(parameters),
            "locks": [],
            "rewrites": [],
            "announced": self._announced,
        }
        self._statements.append(entry)
        inside = in_transaction(conn)
        self._note_transaction(inside, statement)
        if self._engine == "postgresql":
            self._note_locks(conn, inside, entry, now)
        elif self._engine == "sqlite":
            self._note_file_lock(inside, entry, cursor)
        self._overhead += time.perf_counter() - now

    def _erred(self, context: Any) -> None:
        """A statement that the database refused is a statement of the step, too."""
        self._inside = False
        if not context.statement:  # a COMMIT that is refused takes all of it back
            self._open = self._committing
        if self._recording and context.statement:
            spent = (time.perf_counter() - self._started) * 1000
            parameters = short(context.parameters) if context.parameters else ""
            self._statements.append(
                {
                    "sql": context.statement.strip(),
                    "duration_ms": spent,
                    "rows": None,
                    "parameters": parameters,
                    "undone": self._engine in ("sqlite", "postgresql") and not _keeps(context),
                }
            )

    def _committed(self, conn: Any) -> None:
        """Told before the driver is asked to: it may refuse yet."""
        self._committing, self._open = self._open, len(self._statements)
        self._ended(conn)

    def _rolled_back(self, conn: Any) -> None:
        if self._recording:
            self._undo()
        self._ended(conn)

    def _undo(self) -> None:
        """What ran in the open transaction is taken back."""
        for entry in self._statements[self._open :]:
            entry["undone"] = True
        self._open = len(self._statements)

    def _ended(self, conn: Any) -> None:
        """A transaction ends: its locks were held until now."""
        self._let_go()
        if self._recording:
            self._ends += 1
            self._in_one = self._in_one and not self._statements

    def _let_go(self) -> None:
        now = time.perf_counter()
        for lock in self._held.values():
            if lock:
                lock["held_ms"] = (now - lock.pop("since")) * 1000
        self._held = {}

    # --- looking closer ---

    def _note_file_lock(self, inside: bool, entry: dict[str, Any], cursor: Any) -> None:
        """SQLite has one lock, of the file: what writes takes it, and has it until its transaction ends
        (https://www.sqlite.org/lockingv3.html, sections 3 and 7). ``inside``: one is open behind the statement."""
        if not inside:
            self._let_go()
        if _CONTROL.match(entry["sql"]):  # BEGIN IMMEDIATE, say: of the project's own
            self._exact = self._exact and not re.match(r"\s*BEGIN\b", entry["sql"], re.IGNORECASE)
        elif _READS.match(entry["sql"]) or (_WITH.match(entry["sql"]) and cursor.description):
            return
        elif not inside:
            entry["locks"].append({"table": _FILE, "mode": "EXCLUSIVE", "held_ms": entry["duration_ms"]})
        elif not self._held:
            self._held["", "RESERVED"] = {"table": _FILE, "mode": "RESERVED", "since": self._started}
            entry["locks"].append(self._held["", "RESERVED"])

    def _note_transaction(self, inside: bool, statement: str) -> None:
        if inside:
            return
        self._open = len(self._statements)  # it is committed by itself
        if not _READS.match(statement):
            self._in_one = False

    def _note_locks(self, conn: Any, inside: bool, entry: dict[str, Any], now: float) -> None:
        if not inside:
            self._exact = False  # they were gone before they could be read
            return
        if re.match(r"(?:SET|RESET|SHOW)\b(?!\s+CONSTRAINTS)", entry["sql"], re.IGNORECASE):
            return  # takes no locks, and SET TRANSACTION has to come before any query
        for oid, mode, file in self._ask(conn, _LOCKS):
            if oid not in self._tables:
                continue  # an index, or a table that the step made: nobody else can wait for it
            table, before = self._tables[oid]
            if (oid, mode) not in self._held:
                self._held[oid, mode] = {"table": table, "mode": mode, "since": now}
                entry["locks"].append(self._held[oid, mode])
            if file and before and file != before:
                self._tables[oid][1] = file
                entry["rewrites"].append(table)

    def _answer(self, connection: Any, statement: str) -> str:
        if self._question is None or not self._question[0].match(statement):
            return ""
        try:
            return str(self._ask(connection, self._question[1])[0][0])
        except Exception:  # of whichever driver: what it has against our query, it will have against the statement
            return ""

    def _ask(self, connection: Any, sql: str) -> list[Any]:
        """A query of ours on the step's own connection, past SQLAlchemy."""
        cursor = connection.connection.cursor()
        try:
            cursor.execute(sql)
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def _trace(self, connection: Any) -> None:
        self._connections += 1
        if hasattr(connection, "set_trace_callback"):
            connection.set_trace_callback(self._traced)

    def _traced(self, statement: str) -> None:
        """SQLite runs a statement; where SQLAlchemy did not send it, the migration used the driver itself."""
        self._pages.between()
        if not self._recording:
            self.beside.append(statement)
        elif not self._inside and not _CONTROL.match(statement):
            self._exact = self._exact and bool(_READS.match(statement))
            self._statements.append({"sql": statement.strip(), "duration_ms": 0.0, "rows": None, "parameters": ""})


def _place(error: BaseException, frames: list[traceback.FrameSummary]) -> str:
    """Where it happened: the innermost frame of the project's, or the line that Python could not read."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else ""


def _keeps(context: Any) -> bool:
    """Whether a statement that was refused may have done a part of its work (https://sqlite.org/lang_conflict.html)."""
    many = getattr(context.execution_context, "executemany", False)
    return bool(many) or re.search(r"\bOR\s+FAIL\b", context.statement, re.IGNORECASE) is not None


def in_transaction(conn: Any) -> bool:
    """Whether the server has a transaction open on this connection, as far as its driver knows."""
    fairy = conn.connection
    driver: Any = getattr(fairy, "driver_connection", None) or getattr(fairy, "connection", None)
    for name in ("in_transaction", "is_in_transaction", "_in_transaction"):
        state = getattr(driver, name, None)  # sqlite3 and aiosqlite, asyncpg, pg8000
        if state is not None:
            return bool(state() if callable(state) else state)
    if hasattr(driver, "info") and hasattr(driver.info, "transaction_status"):  # psycopg, psycopg2: 2 is INTRANS
        return int(driver.info.transaction_status) == 2
    if hasattr(driver, "server_status"):  # pymysql: SERVER_STATUS_IN_TRANS
        return bool(driver.server_status & 1)
    return not getattr(driver, "autocommit", False)


def database_error(error: BaseException | None) -> BaseException | None:
    """The driver's exception behind an exception, where it was the database that refused."""
    seen = 0
    while error is not None and seen < 10:
        original = getattr(error, "orig", None)
        if original is not None:
            return original  # type: ignore[no-any-return]
        if (
            any(cls.__name__ == "DatabaseError" for cls in type(error).__mro__)
            and "sqlalchemy" not in type(error).__module__
        ):
            return error
        error, seen = error.__cause__, seen + 1
    return None


def words(error: BaseException) -> str:
    """The server's own words: message, detail and hint."""
    diagnosis = getattr(error, "diag", None)
    if diagnosis is not None and diagnosis.message_primary:
        parts = [diagnosis.message_primary]
        parts += ["DETAIL: " + diagnosis.message_detail] if diagnosis.message_detail else []
        parts += ["HINT: " + diagnosis.message_hint] if diagnosis.message_hint else []
        return "\n".join(parts)
    first = error.args[0] if error.args else ""
    if isinstance(first, dict):  # pg8000
        return str(first.get("M", first))
    if isinstance(first, int) and len(error.args) > 1:  # MySQL's drivers
        return str(error.args[1])
    return re.sub(r"^<class '[^']*'>: ", "", str(error)).strip()


def code(error: BaseException) -> str:
    """MySQL's number, SQLSTATE, or SQLite's name of the error (Python 3.11 and later)."""
    first = error.args[0] if error.args else ""
    if isinstance(first, int):
        return str(first)
    if isinstance(first, dict):
        return str(first.get("C", ""))
    names = ("sqlstate", "pgcode", "sqlite_errorname")
    return next((str(found) for name in names if (found := getattr(error, name, None))), "")


def short(parameters: Any) -> str:
    """Bound values as text, cut where they are long."""
    many = isinstance(parameters, list) and len(parameters) > 1
    text = repr(parameters[0] if many else parameters)
    text = text if len(text) <= _SHORT else text[:_SHORT] + " ..."
    return f"{text} and {len(parameters) - 1} more" if many else text


def plain(parameters: Any) -> Any:
    """Bound values where each is a whole number, a text, a truth value or NULL, as literals are; else None."""
    values = list(parameters.values()) if isinstance(parameters, dict) else parameters
    if not parameters or not isinstance(values, (list, tuple)) or not {type(v) for v in values} <= _PLAIN:
        return None
    if sum(len(v) for v in values if isinstance(v, str)) > _LONG:
        return None
    return dict(parameters) if isinstance(parameters, dict) else list(values)


def _text(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_bytes().decode("utf-8", "replace")
    return ""
