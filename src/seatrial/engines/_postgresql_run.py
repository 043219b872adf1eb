"""Migration scripts on a fresh connection, as a tool would send them, observed statement by statement."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from seatrial.engines._postgresql_outside import reaches_outside
from seatrial.engines._postgresql_session import SHADOWS, Session, code_of, kind_of, message
from seatrial.model import ErrorKind, Lock, Observed, Script, Statement, Step, StepError, TableRef, Transaction
from seatrial.sql import SourceStatement, has_transaction_control, split

if TYPE_CHECKING:
    import psycopg

_ALONE = "each statement is its own transaction; its locks end with it and were not observed"
_STRING = "the script controls transactions itself and was sent as one string; its locks were not observed"
_COUNTED = ("INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "SELECT INTO", "CREATE TABLE AS")

# Locks that this backend holds, with the present file of what is locked (none: the statement dropped it): one look,
# inside the transaction.
_HELD = """
SELECT l.relation, l.mode, coalesce(c.relfilenode, 0) FROM pg_catalog.pg_locks l
LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.relation
WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.locktype OPERATOR(pg_catalog.=) 'relation' AND
   l.granted
  AND l.relation OPERATOR(pg_catalog.>=) 16384
"""
_TABLES = f"""
SELECT c.oid, CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname END, c.relname, c.relfilenode FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v') AND n.nspname NOT IN ('pg_catalog', 'information_schema', '{SHADOWS}')
  AND n.nspname !~ '^pg_'
"""


@dataclass
class Tables:
    """Tables by oid with their files, as they stood before the script."""

    names: dict[int, TableRef]
    files: dict[int, int]

    @classmethod
    def read(cls, session: Session) -> Tables:
        rows = session.rows(_TABLES, prepare=True)
        return cls(
            {int(oid): TableRef(namespace, name) for oid, namespace, name, _ in rows},
            {int(oid): int(file) for oid, *_, file in rows},
        )

    def rewritten(self, files: dict[int, int]) -> tuple[str, ...]:
        """Tables known from before whose file is another one now (0: a partitioned table or view has none)."""
        found = [oid for oid, file in files.items() if file and self.files.get(oid, file) != file]
        self.files.update({oid: files[oid] for oid in found})
        return tuple(sorted(str(self.names[oid]) for oid in found))


@dataclass
class Execution:
    """One script on its connection, and what has been seen of it."""

    connection: psycopg.Connection[Any]
    script: Script
    tables: Tables
    statements: list[Statement] = field(default_factory=list)
    error: StepError | None = None
    _ended: list[float] = field(default_factory=list)  # when each statement ended, seconds
    _held: set[tuple[int, str]] = field(default_factory=set)

    def in_transaction(self) -> bool:
        """Whether a transaction is open now (1: a command is active in one, 2: idle in one, 3: it failed)."""
        return int(self.connection.info.transaction_status) in (2, 3)

    def send(self, text: str) -> psycopg.Cursor[Any]:
        return self.connection.execute(text.encode())

    def run_each(self, parts: Sequence[SourceStatement], *, observe: bool) -> bool:
        """Run statements one by one until one is refused."""
        return all(self._one(part, observe) for part in parts)

    def _one(self, part: SourceStatement, observe: bool) -> bool:
        begun = time.perf_counter()
        done = self.attempt(lambda: self.send(part.text), part)
        ended = time.perf_counter()
        rows = _affected(done) if done else None
        self.statements.append(Statement(sql=part.text, duration_ms=(ended - begun) * 1000, rows=rows))
        self._ended.append(ended)
        if done is not None and observe and not _is_setting(part.text):
            self._look()
        return done is not None

    def roll_back(self) -> None:
        """Leave a failed transaction; the first error stays the one that is told."""
        import psycopg

        with contextlib.suppress(psycopg.Error):
            if self.in_transaction():
                self.send("ROLLBACK")

    def attempt(self, act: Callable[[], Any], part: SourceStatement | None) -> Any:
        import psycopg

        try:
            return act()
        except psycopg.Error as error:
            self.error = _step_error(error, part, self.script)
            return None

    def _look(self) -> None:
        """Which locks the last statement took, and which tables it rewrote."""
        if not self.in_transaction():
            return
        rows = self.send(_HELD).fetchall()
        files = {int(oid): int(file) for oid, _, file in rows}
        fresh = {(int(oid), str(mode)) for oid, mode, _ in rows} - self._held
        self._held |= fresh
        locks = sorted((str(self.tables.names[oid]), mode) for oid, mode in fresh if oid in self.tables.names)
        self.statements[-1] = replace(
            self.statements[-1],
            locks=tuple(Lock(table=table, mode=mode) for table, mode in locks),
            rewrites=self.tables.rewritten(files),
        )

    def released(self, moment: float) -> None:
        """Every lock is let go now: each was held since the end of the statement that took it."""
        for i, (statement, ended) in enumerate(zip(self.statements, self._ended, strict=True)):
            locks = tuple(
                lock if lock.held_ms is not None else replace(lock, held_ms=(moment - ended) * 1000)
                for lock in statement.locks
            )
            self.statements[i] = replace(statement, locks=locks)
        self._held.clear()


def run(connection: psycopg.Connection[Any], script: Script, session: Session, *, trust: bool) -> Step:
    """Run a script on a fresh connection; what the database refuses stands in ``Step.error``."""
    parts = split(script.text, "postgresql")
    for part in () if trust else parts:
        if why := reaches_outside(part.text, str(connection.info.dbname)):
            return Step(executed=False, error=_refused(why, part, script))
    execution = Execution(connection, script, Tables.read(session))
    if not _prepare(execution):
        return Step(error=execution.error)
    begun = time.perf_counter()
    step = _carried_out(execution, parts)
    return replace(
        step,
        duration_ms=(time.perf_counter() - begun) * 1000,
        statements=tuple(execution.statements),
        error=execution.error,
    )


def _carried_out(execution: Execution, parts: Sequence[SourceStatement]) -> Step:
    """The script in its own way; a connection that breaks between its statements is an error of the step too."""
    import psycopg

    try:
        return _WAYS[execution.script.transaction](execution, parts)
    except psycopg.Error as error:
        execution.error = execution.error or _step_error(error, None, execution.script)
        return Step(locks_note="the connection broke")


def _prepare(execution: Execution) -> bool:
    """The session's settings; one that is refused is no fault of the migration's."""
    for text in execution.script.session:
        for part in split(text, "postgresql"):
            if execution.attempt(lambda part=part: execution.send(part.text), None) is None:  # type: ignore[misc]
                assert execution.error is not None
                execution.error = replace(execution.error, kind=ErrorKind.ENVIRONMENT, statement=part.text, line=None)
                return False
    return True


def _refused(why: str, part: SourceStatement, script: Script) -> StepError:
    line = script.first_line + part.line - 1
    return StepError(
        message=f"{why}; Seatrial does not run it unless `trust = true` stands under [source].",
        kind=ErrorKind.ENVIRONMENT,
        statement=part.text,
        line=line,
    )


def _in_one(execution: Execution, parts: Sequence[SourceStatement]) -> Step:
    """BEGIN, the statements, the tool's bookkeeping, COMMIT."""
    execution.send("BEGIN")
    if execution.run_each(parts, observe=True):
        _epilogue(execution)
    _end(execution)
    return Step(locks_observed=Observed.EXACT, in_transaction=True)


def _epilogue(execution: Execution) -> None:
    for text in execution.script.epilogue:
        if execution.error is None:
            execution.attempt(lambda text=text: execution.send(text), None)  # type: ignore[misc]


def _end(execution: Execution) -> None:
    if execution.connection.closed:
        return
    if execution.error is not None:
        execution.roll_back()
    elif execution.in_transaction():
        execution.attempt(lambda: execution.send("COMMIT"), None)
    execution.released(time.perf_counter())


def _each(execution: Execution, parts: Sequence[SourceStatement]) -> Step:
    """Autocommit; what a statement holds in a transaction of the script's own is seen."""
    if execution.run_each(parts, observe=True):
        _epilogue(execution)
    _end(execution)
    return Step(locks_observed=Observed.NOT_OBSERVED, locks_note=_ALONE)


def _string(execution: Execution, parts: Sequence[SourceStatement]) -> Step:
    """The whole text as one simple query: several statements are one implicit transaction (protocol manual, 55.2.2.1).

    That is the same as an explicit one unless the script controls transactions; so locks can be seen in between.
    """
    if len(parts) < 2:
        return _each(execution, parts)
    if any(_controls(part.text) for part in parts):
        return _as_one_string(execution, parts)
    execution.send("BEGIN")
    execution.run_each(parts, observe=True)
    _end(execution)
    _epilogue(execution)
    return Step(locks_observed=Observed.EXACT, in_transaction=True)


def _as_one_string(execution: Execution, parts: Sequence[SourceStatement]) -> Step:
    execution.attempt(lambda: execution.send(execution.script.text), None)
    execution.statements += [Statement(sql=part.text) for part in parts]
    execution._ended += [time.perf_counter()] * len(parts)
    if execution.error is not None:
        execution.roll_back()
    _epilogue(execution)
    return Step(locks_observed=Observed.NOT_OBSERVED, locks_note=_STRING)


_WAYS = {Transaction.ONE: _in_one, Transaction.STATEMENTS: _each, Transaction.STRING: _string}


def _controls(text: str) -> bool:
    """Statements that an implicit transaction block treats otherwise than an explicit one."""
    first = text.split(None, 2)[:2] if text.split() else []
    words = [word.upper().rstrip(";") for word in first]
    if words[:1] in (["SAVEPOINT"], ["RELEASE"], ["ROLLBACK"]):
        return True
    return words in (["SET", "TRANSACTION"], ["SET", "CONSTRAINTS"]) or has_transaction_control(text, "postgresql")


def _is_setting(text: str) -> bool:
    """SET takes no locks, and SET TRANSACTION must come before any query, so before ours."""
    words = [word.upper() for word in text.split(None, 2)[:2]]
    return words[:1] in (["SET"], ["RESET"], ["SHOW"]) and words[1:] != ["CONSTRAINTS"]


def _affected(cursor: psycopg.Cursor[Any]) -> int | None:
    tag = cursor.statusmessage or ""
    selected = tag.startswith("SELECT") and cursor.description is None  # CREATE TABLE AS
    return cursor.rowcount if tag.startswith(_COUNTED) or selected else None


def _step_error(error: psycopg.Error, part: SourceStatement | None, script: Script) -> StepError:
    code, words = code_of(error), message(error)
    return StepError(
        message=words,
        kind=kind_of(code, words),
        code=code,
        statement=part.text if part else "",
        line=_line(error, part, script),
    )


def _line(error: psycopg.Error, part: SourceStatement | None, script: Script) -> int | None:
    """The line in the migration's file; the server counts characters from the text that it was sent."""
    position = error.diag.statement_position
    text = part.text if part else script.text
    within = text.count("\n", 0, int(position) - 1) if position else 0
    if part is None and not position:
        return None
    return script.first_line + (part.line - 1 if part else 0) + within
