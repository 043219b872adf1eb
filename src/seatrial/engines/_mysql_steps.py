"""Scripts run as a migration tool would: a fresh connection, the server's own session, statement by statement."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any

from seatrial.engines._mysql_link import Dial, code_and_message, error_kind, is_driver_error
from seatrial.engines._mysql_outside import Ground, prepared_from, reach
from seatrial.engines._mysql_xa import prepared, taken_back
from seatrial.errors import DatabaseError, SeatrialError
from seatrial.model import (
    ErrorKind,
    Lock,
    Observation,
    Observed,
    Question,
    Script,
    Statement,
    Step,
    StepError,
    Transaction,
    Watch,
)
from seatrial.sql.split import SourceStatement, split
from seatrial.sql.tokens import code

UTC = "SET time_zone = '+00:00'"

_CUT_OFF = frozenset({0, 1153, 2006, 2013})  # what a statement gets that is longer than max_allowed_packet
_SMALLEST_LIMIT = 1000  # max_allowed_packet is 1024 bytes at least

_REFUSED = "{found}; set trust = true under [source] to let it run"


class Unwatched:
    """Implements model.Watch: asks nothing and sees nothing."""

    note = "locks are not observed here"
    question: Question | None = None

    def before(self, statement: str, session: str, answer: str = "") -> None: ...

    def after(self) -> Observation:
        return Observation()

    def close(self) -> None: ...


class StepRunner:
    """Runs scripts on fresh connections to one database."""

    def __init__(self, dial: Dial, ground: Ground, watch: Watch, *, trust: bool) -> None:
        self._dial, self._database, self._dialect = dial, ground.database, ground.dialect
        self._ground = replace(ground, asked=True)
        self._watch, self._trust = watch, trust
        self._seen: list[Observation] = []

    def run(self, script: Script) -> Step:
        """The script's statements, in order, until one is refused."""
        started = time.perf_counter()
        done: list[Statement] = []
        self._seen = []
        error = self._without_prepared(self._run(script, done), done)
        return Step(
            duration_ms=_since(started),
            statements=tuple(done),
            error=error,
            locks_observed=observed(self._seen),
            locks_note=self._watch.note,
            in_transaction=False,  # DDL commits by itself (manual, 15.3.3), so a step is never all or nothing
        )

    def load(self, text: str) -> StepError | None:
        """Run a seed script; nothing is recorded but its first error."""
        quiet = StepRunner(self._dial, self._ground, Unwatched(), trust=self._trust)
        return quiet.run(Script(text=text, transaction=Transaction.ONE)).error

    @contextmanager
    def loading(self) -> Iterator[Callable[[str], StepError | None]]:
        """A session for single statements of a seed. Raises DatabaseError where there is none."""
        raw = self._dial(self._database)
        try:
            session = _Session(raw, self, [])
            if error := session.prepare(()):
                raise DatabaseError(error.message, code=error.code, kind=error.kind)
            yield session.attempt
        finally:
            with suppress(Exception):
                raw.close()

    def _run(self, script: Script, done: list[Statement]) -> StepError | None:
        try:
            raw = self._dial(self._database)
        except DatabaseError as error:
            return StepError(message=str(error), kind=ErrorKind.ENVIRONMENT, code=error.code)
        try:
            session = _Session(raw, self, done)
            return session.prepare(script.session) or session.carry_out(script)
        finally:
            with suppress(Exception):  # a connection that the migration killed cannot be closed either
                raw.close()

    def _without_prepared(self, error: StepError | None, done: Sequence[Statement]) -> StepError | None:
        """Nothing that the step left prepared stays; that it did is an error where there is none yet."""
        texts = [s.sql for s in done if s.sql[:2].upper() == "XA"]
        ended = [sql for sql in texts if _ends_xa(sql, self._dialect)]
        names = [n for n in prepared(texts, self._dialect) if not any(n in sql for sql in ended)]
        left = taken_back(self._dial, self._database, names)
        if not left:
            return error
        said = f"the XA transaction {left[0]} stays prepared: nothing of it is applied, and it keeps its locks until"
        said += " somebody commits it or rolls it back"
        if error is not None:
            return replace(error, message=f"{error.message}; {said}")
        return StepError(message=said, statement=f"XA PREPARE {left[0]}")

    def statements(self, script: Script) -> list[SourceStatement]:
        return split(script.text, self._dialect)

    def without_name(self, message: str) -> str:
        """The server's words without the database's own name, which is another one in every run."""
        for spelled in (f"`{self._database}`.", f"{self._database}.", f"{self._database}/"):
            message = message.replace(spelled, "")
        return message

    def too_long(self, statement: str) -> int:
        """The server's limit for a statement, in bytes, where this one is longer; the server then just hangs up."""
        length = len(statement.encode()) + 1  # the command's own byte (manual, B.3.2.8)
        if length <= _SMALLEST_LIMIT:
            return 0
        try:
            with closing(self._dial(self._database)) as raw:
                cursor = raw.cursor()
                cursor.execute("SELECT @@max_allowed_packet")
                most = int(cursor.fetchone()[0])
        except (SeatrialError, ValueError):
            return 0
        return most if length > most else 0

    @contextmanager
    def observing(self, statement: str, session: str, ask: Callable[[str], str]) -> Iterator[None]:
        """While a statement runs; what it locked is ``seen`` afterwards. ``ask``: a query of the session, its value."""
        question = self._watch.question
        answer = ask(question.query) if question and re.match(question.before, statement) else ""
        self._watch.before(statement, session, answer)
        try:
            yield
        finally:
            self._seen.append(self._watch.after())

    @property
    def seen(self) -> Observation:
        """What the last statement locked."""
        return self._seen[-1]

    def refusal(self, statement: str, ask: Callable[[str], str]) -> str:
        """Why a statement is not run: it would write what is not the trial's. ``ask`` gives an expression's value."""
        if self._trust:
            return ""
        found = reach(statement, self._ground)
        if not found and (expression := prepared_from(statement, self._dialect)):
            found = reach(ask(expression), self._ground)
        return _REFUSED.format(found=found) if found else ""


class _Session:
    """One fresh connection of a step."""

    def __init__(self, raw: Any, runner: StepRunner, done: list[Statement]) -> None:
        self._raw, self._runner, self._done = raw, runner, done
        self._id = str(raw.thread_id())

    def prepare(self, settings: Iterable[str]) -> StepError | None:
        for setting in (UTC, *settings):
            if error := self._send(setting)[1]:
                return replace(error, kind=ErrorKind.ENVIRONMENT)  # the settings are at fault, not the migration
        return None

    def carry_out(self, script: Script) -> StepError | None:
        whole = script.transaction is Transaction.ONE
        if whole and (error := self._send("START TRANSACTION")[1]):
            return error
        for statement in self._runner.statements(script):
            if error := self._observed(statement, script.first_line + statement.line - 1):
                if whole:
                    self._send("ROLLBACK")
                return error
        return self._finish(script.epilogue, whole)

    def attempt(self, sql: str) -> StepError | None:
        """One statement of a seed, by itself."""
        if why := self._runner.refusal(sql, self._value):
            return StepError(message=why, kind=ErrorKind.ENVIRONMENT, statement=sql)
        return self._send(sql)[1]

    def _finish(self, epilogue: Sequence[str], whole: bool) -> StepError | None:
        for statement in (*epilogue, *(["COMMIT"] if whole else [])):
            if error := self._send(statement)[1]:
                return error
        return None

    def _observed(self, statement: SourceStatement, line: int) -> StepError | None:
        if why := self._runner.refusal(statement.text, self._value):
            return StepError(message=why, kind=ErrorKind.ENVIRONMENT, statement=statement.text, line=line)
        with self._runner.observing(statement.text, self._id, self._answer):
            started = time.perf_counter()
            rows, error = self._send(statement.text, line)
            duration = _since(started)
        seen = self._runner.seen
        self._done.append(
            Statement(
                sql=statement.text,
                duration_ms=duration,
                rows=rows,
                # DDL commits by itself, so it holds its locks as long as it runs.
                locks=() if error else tuple(_held(lock, duration) for lock in seen.locks),
                rewrites=() if error else seen.rewrites,
            )
        )
        return error

    def _value(self, expression: str) -> str:
        """What an expression is now in this session; empty where the server refuses it, as it will the statement."""
        return self._answer(f"SELECT {expression}")

    def _answer(self, query: str) -> str:
        """One value as text; empty where the server refuses to tell it."""
        try:
            cursor = self._raw.cursor()
            cursor.execute(query)
            value = cursor.fetchone()[0]
        except Exception as error:
            if not is_driver_error(error):
                raise
            return ""
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")

    def _send(self, sql: str, line: int | None = None) -> tuple[int | None, StepError | None]:
        """Run one statement and read away all that it returns."""
        try:
            cursor = self._raw.cursor()
            rows = cursor.execute(sql)
            while cursor.nextset():
                pass
        except Exception as error:
            if not is_driver_error(error):
                raise
            return None, self._step_error(error, sql, line)
        return int(rows), None

    def _step_error(self, error: Exception, sql: str, line: int | None) -> StepError:
        code_, message = code_and_message(error)
        if most := self._runner.too_long(sql) if code_ in _CUT_OFF else 0:
            return _too_large(sql, most, line)
        state = str(getattr(error, "sqlstate", None) or "") or (self._sqlstate() if code_ else "")
        message = self._runner.without_name(message)
        return StepError(
            message=f"{message} (SQLSTATE {state})" if state else message,
            kind=error_kind(code_, message),
            code=str(code_),
            statement=sql,
            line=line,
        )

    def _sqlstate(self) -> str:
        """PyMySQL before 1.2 drops it; the diagnostics area still has it (manual, 15.6.7.3)."""
        try:
            cursor = self._raw.cursor()
            cursor.execute("GET DIAGNOSTICS CONDITION 1 @seatrial_state = RETURNED_SQLSTATE")
            cursor.execute("SELECT @seatrial_state")
            return str(cursor.fetchone()[0] or "")
        except Exception as error:
            if not is_driver_error(error):
                raise
            return ""


def _ends_xa(sql: str, dialect: str) -> bool:
    return [t.word for t in code(sql, dialect)[:2]] in (["XA", "COMMIT"], ["XA", "ROLLBACK"])


def observed(seen: Sequence[Observation]) -> Observed:
    """No lock is only told as none where every statement had an answer."""
    answered = all(o.answered for o in seen) or any(o.locks for o in seen)
    return Observed.SAMPLED if answered else Observed.NOT_OBSERVED


def _held(lock: Lock, duration_ms: float) -> Lock:
    return lock if lock.held_ms is not None else replace(lock, held_ms=duration_ms)


def _too_large(sql: str, most: int, line: int | None) -> StepError:
    return StepError(
        message=f"the statement has {len(sql.encode()):,} bytes, and max_allowed_packet of the server is {most:,}; "
        "set it higher there, or split the statement",
        kind=ErrorKind.ENVIRONMENT,
        code="1153",
        statement=sql,
        line=line,
    )


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
