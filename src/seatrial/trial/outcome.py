"""What an attempt at a trial came to: questions that the walk asks of it."""

from __future__ import annotations

import dataclasses

from seatrial.model import Database, Disturbance, ErrorKind, StepError, Trial
from seatrial.schema import same_schema
from seatrial.trial.retry import Disturbed


def last_error(trial: Trial) -> StepError | None:
    """What kept a trial from being carried out."""
    return next((s.error for s in (trial.reup, trial.down, trial.up) if s.error), None) if trial.error else None


def is_own(database: Database, met: list[Disturbed], error: StepError) -> bool:
    """A lock or limit that the same statement met before, although nobody else was there either time: its own doing."""
    if database.disturbance(error) not in (Disturbance.LOCK, Disturbance.LIMIT):
        return False
    before = [d for d in met if isinstance(d.error, StepError) and d.error.code == error.code]
    alone = [d for d in before if d.others == () and d.error.statement == error.statement]  # type: ignore[attr-defined]
    return bool(alone) and database.others() == ()


def cut_short(disturbed: Disturbed) -> Trial:
    assert disturbed.trial is not None
    return dataclasses.replace(disturbed.trial, error=str(disturbed), error_kind=ErrorKind.ENVIRONMENT)


def is_recorded(trial: Trial) -> bool:
    """The version table, which no snapshot holds, says what the rows say: every step ended well, the last one an up."""
    steps = (trial.up, trial.down, trial.reup)
    return not any(s.error for s in steps) and trial.down.executed == trial.reup.executed


def varies_only(trial: Trial) -> bool:
    """Down restored everything and up ran again: what differs now is what up draws anew each time."""
    restored = trial.after_down is not None and not trial.down_changes
    return bool(
        restored
        and trial.reup.executed
        and not trial.reup.error
        and trial.before
        and trial.after_down
        and same_schema(trial.before.schema, trial.after_down.schema)
    )
