"""Scripts run as migration tools run them: on a fresh connection, statement by statement, observed."""

from __future__ import annotations

import errno
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from seatrial.engines._sqlite_locks import Locks
from seatrial.errors import DatabaseError
from seatrial.model import (
    LOST,
    Disturbance,
    ErrorKind,
    Observed,
    Refusal,
    Script,
    Statement,
    Step,
    StepError,
    Transaction,
)
from seatrial.sql.lacking import explained, what_lacks
from seatrial.sql.split import SourceStatement, split
from seatrial.sql.tokens import scan

ONE_LOCK = "SQLite has one lock for the whole database"
_OUTSIDE = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_NOMEM")
_ALONE = frozenset(
    {"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA", "VACUUM", "ATTACH", "DETACH"}
)
Refused = sqlite3.Error | sqlite3.Warning
Ended = Callable[[sqlite3.Connection], None]  # told after each statement


UNHURRIED = "PRAGMA synchronous = OFF"  # no throwaway database has to survive the machine


BREATH = 1_000_000  # operations of SQLite's machine, some hundredths of a second: then Python may hear Ctrl-C


def open_file(path: Path) -> sqlite3.Connection:
    """A connection as the tools open one: SQLite's defaults, foreign keys off, in autocommit.

    Python tells a signal only between its own instructions. While one statement runs there are none but these; what
    is raised in them ends the statement with SQLITE_INTERRUPT (c3ref/progress_handler.html).
    """
    connection = sqlite3.connect(path, isolation_level=None)
    connection.set_progress_handler(lambda: 0, BREATH)
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """A connection of our own, which waits for no disk. Raises DatabaseError."""
    try:
        connection = open_file(path)
        connection.execute(UNHURRIED)
    except sqlite3.Error as error:
        raise database_error(error) from error
    return connection


def error_code(error: Refused) -> str:
    """SQLite's name of an error. Raises KeyboardInterrupt where that is what ended the statement (``open_file``)."""
    code = getattr(error, "sqlite_errorname", None) or ""
    if code == "SQLITE_INTERRUPT":
        raise KeyboardInterrupt from error
    return code


def error_kind(error: Refused) -> ErrorKind:
    return kind_of(error_code(error), str(error))


def kind_of(code: str, message: str) -> ErrorKind:
    outside = code.startswith(_OUTSIDE) or what_lacks(message, "sqlite")
    return ErrorKind.ENVIRONMENT if outside else ErrorKind.MIGRATION


def disturbance(error: StepError | BaseException) -> Disturbance | None:
    """What may be gone the next time (rescode.html)."""
    code = error_code(error) if isinstance(error, Refused) else getattr(error, "code", "")
    if isinstance(error, OSError):
        return Disturbance.RESOURCE if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
    if code == LOST:
        return Disturbance.CONNECTION
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Disturbance.LOCK
    return Disturbance.RESOURCE if code.startswith(_OUTSIDE) else None


_ABOUT = (  # SQLITE_ERROR is the code of all of these
    (r"error in (?:index|view|trigger|table) .* after ", Refusal.RELIED_ON),
    (r".*syntax error$|unrecognized token|incomplete input", Refusal.SYNTAX),
    (r"no such ", Refusal.MISSING),
    (r"cannot .* within a transaction|.* inside a transaction$", Refusal.TRANSACTION),
    (r".* already exists$|there is already |duplicate column name", Refusal.EXISTING),
    # Only where the table has rows (sqlite3ErrorIfNotEmpty in alter.c).
    (r"Cannot add a (?:NOT NULL column with default|REFERENCES column|column with non-constant)", Refusal.ROWS),
)


def refusal(error: StepError) -> Refusal | None:
    """What SQLite had against a statement: its code, or its words where it has one code for all (rescode.html)."""
    if error.code.startswith("SQLITE_CONSTRAINT"):
        return Refusal.ROWS
    if error.code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Refusal.LOCK
    if error.code != "SQLITE_ERROR":
        return None
    return next((about for words, about in _ABOUT if re.match(words, error.message, re.DOTALL)), None)


def database_error(error: Refused, sql: str = "") -> DatabaseError:
    """SQLite's refusal of a statement of ours, in its own words."""
    shown = f": {' '.join(sql.split())[:200]}" if sql else ""
    return DatabaseError(f"{error}{shown}", code=error_code(error), kind=error_kind(error))


@dataclass(slots=True)
class Guard:
    """Refuses what reaches another file or a library: an authorizer, so that nothing is guessed from text."""

    refused: str = ""

    def __call__(
        self, action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None
    ) -> int:
        if action == sqlite3.SQLITE_ATTACH and first not in ("", ":memory:"):  # '' is VACUUM's own scratch file
            self.refused = f"ATTACH of {first or 'a file'}"
        elif action == sqlite3.SQLITE_FUNCTION and (second or "").lower() == "load_extension":
            self.refused = "load_extension()"
        else:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    def words(self, error: Refused) -> str:
        """What to say of an error: our own refusal with its way out, else SQLite's words."""
        if not self.refused:
            return explained(str(error), "sqlite")
        return (
            f"{self.refused} was refused, because it reaches outside the test database; "
            "set [source] trust = true to allow it"
        )


@dataclass(slots=True)
class _Run:
    connection: sqlite3.Connection
    script: Script
    guard: Guard
    ended: Ended
    locks: Locks
    statements: list[Statement] = field(default_factory=list)
    split: bool = False  # the script ended the transaction around it
    held: bool = False  # foreign keys were enforced when the script began
    _open: int = 0  # the first statement of the open transaction

    def go(self) -> StepError | None:
        """Run everything; what SQLite refused, or None."""
        for sql in (UNHURRIED, *self.script.session):
            if error := self._quietly(sql):
                return replace(error, kind=ErrorKind.ENVIRONMENT)  # the settings are at fault, not the migration
        self.held = holds_foreign_keys(self.connection)
        whole = self.script.transaction is Transaction.ONE
        if whole and (error := self._quietly("BEGIN")):
            return error
        error = self._body() or self._epilogue() or (self._quietly("COMMIT") if whole else None)
        if self.connection.in_transaction:
            self.connection.rollback()  # a transaction left open ends with its connection
            self._undo()
        self.locks.ended()
        return error

    def observed(self) -> tuple[Statement, ...]:
        """The statements, each with the lock that it took."""
        taken = self.locks.taken
        return tuple(
            replace(s, locks=(taken[place],)) if place in taken else s for place, s in enumerate(self.statements)
        )

    def _body(self) -> StepError | None:
        for statement in split(self.script.text, "sqlite"):
            if error := self._observed(statement):
                return error
        return None

    def _epilogue(self) -> StepError | None:
        return next((e for sql in self.script.epilogue if (e := self._quietly(sql))), None)

    def _quietly(self, sql: str) -> StepError | None:
        try:
            self.connection.execute(sql).fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            return self._refused(error, sql, None)
        finally:
            self.ended(self.connection)
        return None

    def _observed(self, statement: SourceStatement) -> StepError | None:
        inside = self.connection.in_transaction
        if not inside:
            self._open = len(self.statements)
        error = self._tried(statement)
        if inside and not self.connection.in_transaction:
            self.split = True
            if error or _first_word(statement.text) == "ROLLBACK":  # OR ROLLBACK takes all of it back, too
                self._undo()
        return error

    def _undo(self) -> None:
        self.statements[self._open :] = [replace(s, undone=True) for s in self.statements[self._open :]]

    def _tried(self, statement: SourceStatement) -> StepError | None:
        self.locks.before(self.connection)
        begun = time.perf_counter()
        before = self.connection.total_changes
        try:
            rows = _rows(self.connection, statement.text, before)
        except (sqlite3.Error, sqlite3.Warning) as error:
            self._note(statement, begun, None)
            return self._refused(error, statement.text, self.script.first_line + statement.line - 1)
        finally:
            self.ended(self.connection)
        self._note(statement, begun, rows)
        return None

    def _note(self, statement: SourceStatement, begun: float, rows: int | None) -> None:
        duration = (time.perf_counter() - begun) * 1000
        self.locks.after(self.connection, len(self.statements), duration)
        self.statements.append(Statement(sql=statement.text, duration_ms=duration, rows=rows))

    def _refused(self, error: Refused, sql: str, line: int | None) -> StepError:
        return StepError(
            message=self.guard.words(error),
            kind=ErrorKind.ENVIRONMENT if self.guard.refused else error_kind(error),
            code=error_code(error),
            statement=sql,
            line=line,
        )


def _rows(connection: sqlite3.Connection, sql: str, before: int) -> int | None:
    """Run a statement to its end; how many rows it changed, None where it is not that kind of statement."""
    cursor = connection.execute(sql)
    while cursor.fetchmany(1000):
        pass
    if cursor.rowcount >= 0:
        return cursor.rowcount
    # Python knows INSERT, UPDATE, DELETE and REPLACE by their first word only, not behind WITH
    if connection.total_changes > before and _first_word(sql) == "WITH":
        return int(connection.execute("SELECT changes()").fetchone()[0])
    return None


def holds_foreign_keys(connection: sqlite3.Connection) -> bool:
    """Whether foreign keys are enforced: a setting of each connection, off by default."""
    row = connection.execute("PRAGMA foreign_keys").fetchone()
    return bool(row and row[0])


def _first_word(sql: str) -> str:
    return next((sql[start:end].upper() for kind, start, end in scan(sql, "sqlite") if kind != "comment"), "")


def run(path: Path, script: Script, *, trust: bool, ended: Ended) -> Step:
    """Run a script on a fresh connection and observe it."""
    guard = Guard()
    begun = time.perf_counter()
    with closing(open_file(path)) as connection:
        if not trust:
            connection.set_authorizer(guard)
        locks = Locks(path)
        work = _Run(connection, script, guard, ended, locks)
        error = work.go()
        left_off = work.held and not holds_foreign_keys(connection)
    return Step(
        duration_ms=(time.perf_counter() - begun) * 1000,
        statements=work.observed(),
        error=error,
        locks_observed=Observed.EXACT if locks.exact else Observed.SAMPLED,
        locks_note=ONE_LOCK,
        in_transaction=script.transaction is Transaction.ONE and not work.split,
        left_off=("foreign keys",) if left_off else (),
    )


def load(path: Path, text: str, *, trust: bool, ended: Ended) -> StepError | None:
    """Run a seed script. What stands outside its own transactions is put into one of ours, for speed only."""
    guard = Guard()
    with closing(connect(path)) as connection:
        if not trust:
            connection.set_authorizer(guard)
        seed = _Seed(connection, ended)
        for statement in split(text, "sqlite"):
            try:
                seed.run(statement.text)
            except (sqlite3.Error, sqlite3.Warning) as error:
                message = guard.words(error)
                seed.end("ROLLBACK")
                return _seed_error(error, message, statement.text, statement.line)
        try:
            seed.end("COMMIT" if seed.ours else "ROLLBACK")
        except sqlite3.Error as error:
            return _seed_error(error, str(error), "COMMIT", None)
    return None


@contextmanager
def loading(path: Path, *, trust: bool, ended: Ended) -> Iterator[Callable[[str], StepError | None]]:
    """A session for single statements of a seed; their own BEGIN and COMMIT are all there is."""
    with closing(connect(path)) as connection:

        def attempt(sql: str) -> StepError | None:
            guard = Guard()
            if not trust:
                connection.set_authorizer(guard)
            try:
                connection.execute(sql).fetchall()
            except (sqlite3.Error, sqlite3.Warning) as error:
                return _seed_error(error, guard.words(error), sql, None)
            finally:
                ended(connection)
            return None

        yield attempt


def _seed_error(error: Refused, message: str, sql: str, line: int | None) -> StepError:
    kind = ErrorKind.ENVIRONMENT if error_kind(error) is ErrorKind.ENVIRONMENT else ErrorKind.SEED
    return StepError(message=message, kind=kind, code=error_code(error), statement=sql, line=line)


@dataclass(slots=True)
class _Seed:
    connection: sqlite3.Connection
    ended: Ended
    ours: bool = False  # the open transaction is ours, not the script's

    def run(self, sql: str) -> None:
        first = _first_word(sql)
        if first in _ALONE:
            if self.ours and self.connection.in_transaction:
                self.end("COMMIT")
                if first in ("COMMIT", "END"):
                    self.ours = False
                    return
            self.ours = False
        elif not self.connection.in_transaction:
            self.connection.execute("BEGIN")
            self.ours = True
        self.connection.execute(sql).fetchall()
        self.ended(self.connection)

    def end(self, how: str) -> None:
        if self.connection.in_transaction:
            self.connection.execute(how)
            self.ended(self.connection)


def execute(connection: sqlite3.Connection, statements: Iterable[str], ended: Ended = lambda _: None) -> None:
    """Statements of ours, each in autocommit. Raises DatabaseError."""
    for sql in statements:
        try:
            connection.execute(sql).fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise database_error(error, sql) from error
        finally:
            ended(connection)
