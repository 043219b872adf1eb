"""up-failed and down-failed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from seatrial.checks import Found, check
from seatrial.checks.case import Case, Cause, finding, shorten, stated
from seatrial.model import Finding, Phase, Refusal, Schema, Severity, Step, StepError
from seatrial.prose import span
from seatrial.sql.demands import refused
from seatrial.sql.offenders import Offenders, offenders


@check("up-failed", Severity.CRITICAL)
def up_failed(case: Case) -> Found:
    """Up ended in an error: on rows like yours, the deployment stops here.

    Many migrations run on an empty database and fail on the first real row: a NOT NULL over NULLs, a unique index
    over duplicates, a cast that one value refuses.

    What to do: bring the rows into the form that the statement needs before it runs; the finding's advice has the
    query that finds them.
    """
    if case.trial.up.error:
        yield _failed(case, "up-failed", Phase.UP, case.trial.up)


@check("down-failed", Severity.CRITICAL)
def down_failed(case: Case) -> Found:
    """Down ended in an error: the way back is there in the file and does not work.

    What to do: make down the inverse of up, in the opposite order, and run it on rows before it is needed.
    """
    if case.trial.down.error:
        yield _failed(case, "down-failed", Phase.DOWN, case.trial.down)


def _failed(case: Case, rule: str, phase: Phase, step: Step) -> Finding:
    error = step.error
    assert error is not None
    where = f" (line {error.line})" if error.line else ""
    what = f" at {stated(error.statement)}{where}" if error.statement else where
    code = f" [{error.code}]" if error.code else ""
    return finding(
        case,
        rule,
        Severity.CRITICAL,
        phase,
        f"{phase.value.capitalize()} failed{what}: {shorten(error.message, 300)}{code}",
        causes=_led_to(case, phase, step, error),
        recommendation=_advice(case, phase, step, error),
        sql=error.statement,
        count=1,
    )


_HAD_AGAINST = {
    Refusal.SYNTAX: "the database cannot read the statement",
    Refusal.MISSING: "the statement names what is not there",
    Refusal.EXISTING: "the statement makes what is there already",
    Refusal.ROWS: "rows that are stored, or that the statement writes, do not fit",
    Refusal.RELIED_ON: "other objects need what the statement drops or changes",
    Refusal.LOCK: "the statement did not get its lock in time",
    Refusal.UNCOMMITTED: "the statement uses what an earlier one made in the same transaction, not committed yet",
}


def _led_to(case: Case, phase: Phase, step: Step, error: StepError) -> list[Cause]:
    if _began_on_nothing(case, phase, error):
        return [_on_nothing()]
    if _came_after_nothing(case, phase, error):
        return [Cause("up sent no statement to the database, so that there is nothing for down to take back")]
    return list(_causes(step, error))


def _came_after_nothing(case: Case, phase: Phase, error: StepError) -> bool:
    """A down with work to do behind an up that is empty, or whose file is not there."""
    up = case.trial.up
    return phase is Phase.DOWN and error.about is Refusal.MISSING and up.statements_observed and not up.statements


def _on_nothing() -> Cause:
    # Alembic projects often make their first tables with create_all, and stamp the version (Alembic's cookbook,
    # "Building an Up to Date Database from Scratch"): their first revisions alter what no revision made.
    return Cause(
        "no migration before it made a table: what it needs is made elsewhere in this project (create_all, a dump), or"
        " not at all",
        "Put a migration in front that makes the tables which the project begins with.",
    )


def _began_on_nothing(case: Case, phase: Phase, error: StepError) -> bool:
    named = error.about is Refusal.MISSING and _OF_TABLES.search(error.message)
    missing = bool(named) or error.message.startswith("NoSuchTableError:")
    before = case.trial.before
    return phase is Phase.UP and missing and before is not None and not before.schema.tables()


_OF_TABLES = re.compile(r"\b(table|relation|view)\b", re.IGNORECASE)  # a type that the engine does not know is no table


def _causes(step: Step, error: StepError) -> Iterator[Cause]:
    """Who refused: the database, which gives a code and a statement, or the migration's own code; and what it has
    against it."""
    if error.about is Refusal.TRANSACTION:
        # PostgreSQL manual, 55.2.2.1: several statements in one simple query are one transaction.
        whose = "the one that the server makes of statements sent together" if step.sent_together else "the tool's"
        yield Cause(f"the statement cannot run inside a transaction, and here it does: {whose}")
    elif error.about is not None:
        yield Cause(_HAD_AGAINST[error.about])
    elif error.code:
        yield Cause("the database refused the statement for a reason of its own, which its message tells")
    elif error.statement:
        yield Cause("the statement was taken, and what it began did not come to its end")
    elif error.message:
        yield Cause("the migration's own code raised an error")


_ADVICE = {
    Refusal.SYNTAX: "The database cannot read the statement, whatever rows there are: correct its text.",
    Refusal.MISSING: "Make what the statement names before it is needed, or correct the name.",
    Refusal.EXISTING: "Leave out what is there already, or give the new one another name.",
    Refusal.ROWS: "Bring the rows into the form that the statement needs first (a backfill, a clean-up), then run it.",
    Refusal.RELIED_ON: "Drop or change what relies on it first, and make that again afterwards.",
    Refusal.LOCK: "Let the migration wait longer for its lock, and see that it does not hold one against itself.",
    Refusal.UNCOMMITTED: "Move what makes it to a migration of its own, before this one.",
}


def _outside_transactions(case: Case) -> str:
    """How each tool is told to run a statement by itself."""
    path = case.trial.migration.path
    if path.endswith(".py"):
        return f"Run it outside the transaction: {span('with op.get_context().autocommit_block():')}."
    alone = "Give it a migration of its own, with no other statement in it"
    if path.endswith(".up.sql"):
        wrapped = ", and its URL `x-no-tx-wrap=true`" if case.trial.engine == "sqlite" else ""
        return f"{alone}{wrapped}."
    return (
        f"{alone}, that says {span('transaction:false')} behind {span('-- migrate:up')} or {span('-- migrate:down')}."
    )


def _advice(case: Case, phase: Phase, step: Step, error: StepError) -> str:
    """What the refusal asks for; where the engine does not tell what it had against up, nothing is guessed."""
    told = _ADVICE.get(error.about, "") if error.about else ""
    if not error.about and not error.code and not error.statement:  # the migration's own code raised
        where = f" at line {error.line}" if error.line else ""
        told = f"Correct the migration's own code{where}; the message tells what it met there."
    if error.about is Refusal.TRANSACTION:
        told = _outside_transactions(case)
    if _came_after_nothing(case, phase, error):
        return "Write what up is to do (is its file missing or empty?), or empty down as well."
    if error.about is Refusal.ROWS:
        told = _of_rows(case, phase, step, error) or told
    if phase is Phase.UP or error.about is Refusal.SYNTAX:
        return told
    inverse = "Make down the exact inverse of up and run it on rows before you need it."
    return f"{told} {inverse}" if told else inverse


def _of_rows(case: Case, phase: Phase, step: Step, error: StepError) -> str:
    """How the rows are found that the refused statement does not bear, and what is put before it."""
    start = case.trial.before if phase is Phase.UP else case.trial.after_up
    schema, engine = start.schema if start else Schema(), case.trial.engine
    earlier = [s.sql for s in step.statements if s.sql != error.statement]
    asked = refused(error.statement, earlier, error.message, schema, engine)
    told = [_brought(found, phase) for d in asked if (found := offenders(d, schema, engine))]
    return " ".join(dict.fromkeys(told))


def _brought(found: Offenders, phase: Phase) -> str:
    fixes = " or ".join(span(f) for f in found.fixes)
    if not found.find:
        return f"Give the column a DEFAULT, or add it without NOT NULL, fill it ({fixes}) and declare it NOT NULL then."
    put = f"put {fixes} before it in {phase.value}" if fixes else f"change or delete them before it in {phase.value}"
    return f"Bring the rows into the form that the statement needs first: {span(found.find)} finds them; {put}."
