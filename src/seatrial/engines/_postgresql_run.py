"""Migration scripts on a fresh connection, as a tool would send them, observed statement by statement."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from seatrial.engines._postgresql_blocks import ENDS, Control, control, differs
from seatrial.engines._postgresql_outside import reaches_outside
from seatrial.engines._postgresql_refused import not_run, step_error
from seatrial.engines._postgresql_session import SHADOWS, Session
from seatrial.engines._postgresql_watch import Watch
from seatrial.model import ErrorKind, Lock, Observed, Script, Statement, Step, StepError, TableRef, Transaction
from seatrial.sql import SourceStatement, split

if TYPE_CHECKING:
    import psycopg

_ALONE = "each statement is its own transaction; the locks that it took ended with it and were not observed"
_SOME = (
    "what ran outside a transaction (autocommit, CONCURRENTLY, VACUUM) let its locks go by itself: they were looked at "
    "while it ran where it took a while, else not observed"
)
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
    session: Session  # our own, to look on from
    implicit: bool = False  # what stands outside the script's own transactions is one of the server's
    statements: list[Statement] = field(default_factory=list)
    error: StepError | None = None
    own: bool = False  # the open transaction was begun by the script itself
    _ended: list[float] = field(default_factory=list)  # when each statement ended, seconds
    _held: dict[tuple[int, str], int] = field(default_factory=dict)  # lock -> the statement that took it
    _since: int = 0  # the first statement of the open transaction
    _worked: set[int] = field(default_factory=set)  # transactions in which more than control was run, by ``_since``
    _alone: bool = False  # a statement ran outside a transaction
    _cut: bool = False  # the script ended a transaction that it had not begun

    def in_transaction(self) -> bool:
        """Whether a transaction is open now (1: a command is active in one, 2: idle in one, 3: it failed)."""
        return int(self.connection.info.transaction_status) in (2, 3)

    def send(self, text: str) -> psycopg.Cursor[Any]:
        return self.connection.execute(text.encode())

    def run_each(self, parts: Sequence[SourceStatement]) -> bool:
        """Run statements one by one until one is refused."""
        return all(self._one(part) for part in parts)

    def _one(self, part: SourceStatement) -> bool:
        what = control(part.text)
        if not self.in_transaction():
            self._since = len(self.statements)
            if self.implicit and what is not Control.BEGIN:
                self.send("BEGIN")
        inside = self.in_transaction() or what is not Control.NONE
        done = self._in_block(part, what) if inside else self._by_itself(part)
        if not done:
            self.undo()
        return done

    def _in_block(self, part: SourceStatement, what: Control) -> bool:
        done = self._sent(part)
        if what in ENDS and done:
            self._end_of_block(what)
        elif what is Control.NONE:
            self._worked.add(self._since)
        self.own = what in (Control.BEGIN, Control.CHAIN) or (self.own and self.in_transaction())
        if done and what in (Control.NONE, Control.SAVEPOINT) and not _is_setting(part.text):
            self._look()
        return done

    def _sent(self, part: SourceStatement) -> bool:
        begun = time.perf_counter()
        done = self.attempt(lambda: self.send(part.text), part)
        ended = time.perf_counter()
        rows = _affected(done) if done else None
        self.statements.append(Statement(sql=part.text, duration_ms=(ended - begun) * 1000, rows=rows))
        self._ended.append(ended)
        return done is not None

    def _end_of_block(self, what: Control) -> None:
        self._cut = self._cut or not self.own
        if what is Control.ROLLBACK:
            self.undo()
        self.released(time.perf_counter())
        self._since = len(self.statements)

    def _by_itself(self, part: SourceStatement) -> bool:
        """A statement that is its own transaction: its locks are gone when it ends, its tables' files are not."""
        if _is_setting(part.text):
            return self._sent(part)
        with Watch(self.session, self.connection.info.backend_pid) as watch:
            done = self._sent(part)
        self._alone = True
        seen = sorted(
            (str(self.tables.names[oid]), mode, *at)
            for (oid, mode), at in watch.found.items()
            if oid in self.tables.names
        )
        self.statements[-1] = replace(
            self.statements[-1],
            locks=tuple(
                Lock(table=table, mode=mode, held_ms=(last - first) * 1000, observed=Observed.SAMPLED)
                for table, mode, first, last in seen
            ),
            rewrites=self.tables.rewritten(Tables.read(self.session).files) if done else (),
        )
        return done

    def undo(self) -> None:
        """What ran in the open transaction, or the last statement, is taken back."""
        self.statements[self._since :] = [replace(s, undone=True) for s in self.statements[self._since :]]

    def roll_back(self) -> None:
        """Leave a transaction; the first error stays the one that is told."""
        import psycopg

        with contextlib.suppress(psycopg.Error):
            if self.in_transaction():
                self.send("ROLLBACK")

    def attempt(self, act: Callable[[], Any], part: SourceStatement | None) -> Any:
        import psycopg

        try:
            return act()
        except psycopg.Error as error:
            self.error = step_error(error, part, self.script)
            return None

    def _look(self) -> None:
        """Which locks the last statement took, and which tables it rewrote."""
        rows = self.send(_HELD).fetchall()
        files = {int(oid): int(file) for oid, _, file in rows}
        held = {(int(oid), str(mode)) for oid, mode, _ in rows}
        self._let_go(self._held.keys() - held, self._ended[-1])  # ROLLBACK TO a savepoint
        fresh = held - self._held.keys()
        self._held |= dict.fromkeys(fresh, len(self.statements) - 1)
        locks = sorted((str(self.tables.names[oid]), mode) for oid, mode in fresh if oid in self.tables.names)
        self.statements[-1] = replace(
            self.statements[-1],
            locks=tuple(Lock(table=table, mode=mode) for table, mode in locks),
            rewrites=self.tables.rewritten(files),
        )

    def released(self, moment: float) -> None:
        """Every lock is let go now: each was held since the end of the statement that took it."""
        self._let_go(set(self._held), moment)

    def _let_go(self, gone: AbstractSet[tuple[int, str]], moment: float) -> None:
        for key in gone:
            i, name = self._held.pop(key), self.tables.names.get(key[0])
            held_ms = (moment - self._ended[i]) * 1000
            locks = tuple(
                replace(k, held_ms=held_ms) if (k.table, k.mode) == (str(name), key[1]) else k
                for k in self.statements[i].locks
            )
            self.statements[i] = replace(self.statements[i], locks=locks)

    def step(self) -> Step:
        """What was seen of the locks, and whether all of it was one transaction."""
        locks = any(s.locks for s in self.statements)
        how = Observed.EXACT if not self._alone else Observed.SAMPLED if locks else Observed.NOT_OBSERVED
        return Step(
            locks_observed=how,
            locks_note={Observed.SAMPLED: _SOME, Observed.NOT_OBSERVED: _ALONE}.get(how, ""),
            in_transaction=not self._alone and not self._cut and len(self._worked) == 1,
        )


def run(connection: psycopg.Connection[Any], script: Script, session: Session, *, trust: bool) -> Step:
    """Run a script on a fresh connection; what the database refuses stands in ``Step.error``."""
    parts = split(script.text, "postgresql")
    for part in () if trust else parts:
        if why := reaches_outside(part.text, str(connection.info.dbname)):
            return Step(executed=False, error=not_run(why, part, script))
    execution = Execution(connection, script, Tables.read(session), session)
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
        execution.error = execution.error or step_error(error, None, execution.script)
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


def _in_one(execution: Execution, parts: Sequence[SourceStatement]) -> Step:
    """BEGIN, the statements, the tool's bookkeeping, COMMIT.

    The tool sends the statements as one string: what stands behind a COMMIT of theirs is an implicit transaction.
    """
    execution.send("BEGIN")
    if not _may_be_cut(execution, parts, begun=True):
        return _as_one_string(execution, parts)
    execution.implicit = True
    if execution.run_each(parts):
        if execution.in_transaction() and not execution.own and any(control(p.text) in ENDS for p in parts):
            execution.attempt(lambda: execution.send("COMMIT"), None)  # the server, at the end of the string
        _epilogue(execution)
    _end(execution)
    return execution.step()


def _epilogue(execution: Execution) -> None:
    for text in execution.script.epilogue:
        if execution.error is None:
            execution.attempt(lambda text=text: execution.send(text), None)  # type: ignore[misc]


def _end(execution: Execution) -> None:
    """Leave the transaction that is open: by ROLLBACK after an error, else by COMMIT."""
    if execution.connection.closed:
        return
    inside = execution.in_transaction()
    if execution.error is None and inside:
        execution.attempt(lambda: execution.send("COMMIT"), None)
    if execution.error is not None and inside:
        execution.undo()
        execution.roll_back()
    execution.released(time.perf_counter())


def _each(execution: Execution, parts: Sequence[SourceStatement]) -> Step:
    """Autocommit; what a statement holds in a transaction of the script's own is seen."""
    if execution.run_each(parts):
        _epilogue(execution)
    _end(execution)
    return execution.step()


def _string(execution: Execution, parts: Sequence[SourceStatement]) -> Step:
    """The whole text as one simple query: several statements are one implicit transaction (protocol manual, 55.2.2.1).

    That is the same as an explicit one, up to a COMMIT of the script's own; so locks can be seen in between.
    """
    if len(parts) < 2:
        return _each(execution, parts)
    return replace(_together(execution, parts), sent_together=True)


def _together(execution: Execution, parts: Sequence[SourceStatement]) -> Step:
    if not _may_be_cut(execution, parts, begun=False):
        return _as_one_string(execution, parts)
    execution.implicit = True
    execution.run_each(parts)
    if execution.error is None and execution.own:  # a BEGIN without an end: the tool hangs up on it
        execution.undo()
        execution.roll_back()
    _end(execution)
    _epilogue(execution)
    return execution.step()


def _may_be_cut(execution: Execution, parts: Sequence[SourceStatement], *, begun: bool) -> bool:
    """Whether it comes to the same to send statements one by one as in one string.

    A string is read whole before any of it runs: where the script commits in between, a syntax error behind that takes
    nothing back. So the server is given it to read, behind a statement that stops it.
    """
    if not any(control(part.text) is not Control.NONE for part in parts):
        return True
    if differs(parts, explicit=begun):
        return False
    if not any(control(part.text) in ENDS for part in parts[:-1]):
        return True
    readable = _is_readable(execution)
    if begun:
        execution.roll_back()
        execution.send("BEGIN")
    return readable


def _is_readable(execution: Execution) -> bool:
    import psycopg

    try:
        execution.send(f"SELECT 1 / 0; {execution.script.text}")
    except psycopg.errors.DivisionByZero:
        return True
    except psycopg.Error:
        return False
    return False


def _as_one_string(execution: Execution, parts: Sequence[SourceStatement]) -> Step:
    execution.attempt(lambda: execution.send(execution.script.text), None)
    execution.statements += [Statement(sql=part.text) for part in parts]
    execution._ended += [time.perf_counter()] * len(parts)
    if execution.error is not None:
        execution.roll_back()
    _epilogue(execution)
    if execution.script.transaction is Transaction.ONE:
        _end(execution)
    return Step(locks_observed=Observed.NOT_OBSERVED, locks_note=_STRING)


_WAYS = {Transaction.ONE: _in_one, Transaction.STATEMENTS: _each, Transaction.STRING: _string}


def _is_setting(text: str) -> bool:
    """SET takes no locks, and SET TRANSACTION must come before any query, so before ours."""
    words = [word.upper() for word in text.split(None, 2)[:2]]
    return words[:1] in (["SET"], ["RESET"], ["SHOW"]) and words[1:] != ["CONSTRAINTS"]


def _affected(cursor: psycopg.Cursor[Any]) -> int | None:
    tag = cursor.statusmessage or ""
    selected = tag.startswith("SELECT") and cursor.description is None  # CREATE TABLE AS
    return cursor.rowcount if tag.startswith(_COUNTED) or selected else None
