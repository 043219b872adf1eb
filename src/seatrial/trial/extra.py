"""Trials beside up, down, up: an up that runs twice, and rows written in between. Each begins where up ended."""

from __future__ import annotations

import dataclasses

from seatrial.checks.case import stated
from seatrial.model import Database, LivedIn, NotVerified, Runner, Script, Snapshot, Transaction, Trial
from seatrial.schema import diff, pair_by_name, pair_through
from seatrial.sql.intent import read
from seatrial.sql.turns import NotSetOut
from seatrial.trial.phased import phased
from seatrial.trial.retry import disturbed
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True)
class Extra:
    """``start`` is a snapshot of what stands after up; the database has to be restored afterwards."""

    database: Database
    runner: Runner

    def rerun(self, trial: Trial, start: Snapshot) -> Trial:
        """Up once more without a down between, as after a crash between the migration and its version record."""
        self.runner.forget(trial.migration)
        step = self.runner.up(trial.migration)
        after = self.database.take(f"{trial.index}:E", since=start)
        changes = self.database.diff(start, after, pair_by_name(start, after))
        objects = tuple(d.key.label for d in diff(start.schema, after.schema)) if step.error else ()
        self.database.release(after.moment)
        return dataclasses.replace(trial, rerun=step, rerun_changes=changes, rerun_objects=objects)

    def phased(self, trial: Trial, start: Snapshot) -> Trial:
        """The zero-downtime way, tried on what down brings back. Raises Disturbed."""
        down = self.runner.down(trial.migration)
        try:
            if down.error:
                raise NotSetOut(f"down failed, so that there is nothing to try one on: {down.error.message}")
            return dataclasses.replace(trial, plan=phased(self.database, trial, start))
        except NotSetOut as none:
            return dataclasses.replace(trial, no_plan=_why(none))

    def lived_in(self, trial: Trial, start: Snapshot, writes: str) -> Trial:
        """Rows written into the new schema as an application would, then down. Raises Disturbed."""
        assert trial.before is not None
        done = self.database.run(Script(text=writes, transaction=Transaction.STATEMENTS))
        if done.error and (cause := disturbed(self.database, done.error)):
            raise cause
        if done.error:
            doubt = NotVerified(what="rows written after up", why=f"[lived_in] could not be run: {done.error.message}")
            return dataclasses.replace(trial, not_verified=(*trial.not_verified, doubt))
        full = self.database.take(f"{trial.index}:L", since=start)
        written = self.database.diff(start, full, pair_by_name(start, full))
        down = self.runner.down(trial.migration)
        lived = LivedIn(own=True, written=written, writes=done, down=down)
        after = self.database.take(f"{trial.index}:M", since=full)
        if not down.error:
            back = read([s.sql for s in down.statements], self.database.engine, full.schema).renames
            lived = dataclasses.replace(
                lived,
                after_down=after,
                lost=self.database.diff(trial.before, after, pair_by_name(trial.before, after)),
                written_lost=self.database.diff(full, after, pair_through(full, after, back)),
            )
        for moment in (full.moment, after.moment):
            self.database.release(moment)
        return dataclasses.replace(trial, lived_in=lived)


def _why(none: NotSetOut) -> str:
    return f"{none}: {stated(none.statement)}" if none.statement else str(none)
