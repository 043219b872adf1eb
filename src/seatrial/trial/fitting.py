"""A step whose up does not take made-up rows, or leaves them breaking a constraint: tried again on others, or fewer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from seatrial.model import NotVerified, Snapshot, StepError, Trial
from seatrial.plan import Planned
from seatrial.seeds.refit import Ahead
from seatrial.seeds.thin import Thinned
from seatrial.sql.intent import read
from seatrial.trial.retry import Retrier
from seatrial.trial.rows import Rows
from seatrial.trial.stand import Stand


@dataclass(slots=True)
class Fitting:
    """``back`` brings the database to where the walk stands; ``observe`` tries a step from what is held."""

    stand: Stand
    rows: Rows
    retrier: Retrier
    doubts: list[NotVerified]
    applied: Sequence[Planned]
    back: Callable[[Planned], None]
    observe: Callable[[Planned], tuple[Trial, Snapshot]]
    refused: Thinned | None = None  # rows that the step at hand refuses, and cannot do with fewer of

    def refitted(self, step: Planned, failed: Trial, now: Snapshot) -> tuple[Trial, Snapshot]:
        """Up refused rows that we made, and runs where there are none: try it on made rows that fit what it asks.

        Rows of the project's own are never changed for a migration; a refusal of them is the migration's.
        """
        self.refused = None
        persist = partial(self.retrier.persist, step.migration.id)
        if failed.before is None or failed.up.error is None:
            return failed, now
        before = failed.before.schema
        ahead = persist(lambda _: self.rows.ahead(step, self.applied, before))
        if ahead is None:
            return failed, now
        if isinstance(ahead, StepError):
            return self._without_rows(step, failed, now, ahead)
        schema = failed.before.schema
        engine = self.stand.database.engine
        ahead = dataclasses.replace(ahead, renames=read(ahead.statements, engine, schema, observed=True).renames)
        for asked in (dataclasses.replace(ahead, statements=()), ahead):
            failed, now = self._fitting(step, failed, now, asked)
        failed, now = self._thinned(step, failed, now, ahead)
        if failed.up.error:
            failed, now = self._fitting(step, failed, now, dataclasses.replace(ahead, words=True))
        if failed.up.error and not failed.up.error.code and self.rows.made:
            self.back(step)
            failed, now = self._once_more(step, failed, persist(lambda _: self.rows.empty(schema)))
            if not failed.up.error:
                why = "the migration's own code does not understand rows that Seatrial makes up; give rows with [seed]"
                self._doubt(step, why)
        return failed, now

    def _without_rows(self, step: Planned, failed: Trial, now: Snapshot, bare: StepError) -> tuple[Trial, Snapshot]:
        """Up fails whatever rows there are: that is what there is to tell, and not what it has against made-up ones."""
        assert failed.before is not None and failed.up.error is not None
        first = failed.up.error
        same = (first.code, first.statement or first.message) == (bare.code, bare.statement or bare.message)
        if same or not self.rows.made:
            return failed, now
        schema = failed.before.schema
        self.back(step)
        failed, now = self._once_more(
            step, failed, self.retrier.persist(step.migration.id, lambda _: self.rows.empty(schema))
        )
        self._doubt(step, f"up fails without any row, and before that on made-up rows: {first.message}")
        return failed, now

    def _fitting(self, step: Planned, failed: Trial, now: Snapshot, ahead: Ahead) -> tuple[Trial, Snapshot]:
        """Where up still fails: on made-up values that fit what is ahead."""
        if failed.up.error is None or failed.before is None:
            return failed, now
        schema = failed.before.schema
        self.back(step)
        if changed := self.retrier.persist(step.migration.id, lambda _: self.rows.fit(schema, ahead)):
            failed, now = self._once_more(step, failed, changed)
            failed, now = self._thinned(step, failed, now, ahead) if ahead.words else (failed, now)
        return failed, now

    def _thinned(self, step: Planned, failed: Trial, now: Snapshot, ahead: Ahead) -> tuple[Trial, Snapshot]:
        """Where up still fails: without the made-up rows that it refuses."""
        if failed.up.error is None or failed.before is None or not self.rows.made:
            return failed, now
        persist, refused, schema = partial(self.retrier.persist, step.migration.id), failed.up, failed.before.schema
        found = persist(lambda _: self.rows.refused(step.migration, refused, schema, ahead))
        if found and not found.enough:
            found = persist(lambda _: self.rows.unwritten(step.migration, refused, schema, ahead)) or found
        if found and found.enough:
            self.refused = None
            self._doubt(step, f"up refuses made-up rows that the schema allows: {failed.up.error.message}")
            return self._once_more(step, failed, persist(lambda _: self.rows.take_out(schema, found)))
        self.refused = found
        return failed, now

    def fitted(self, step: Planned, first: Trial) -> tuple[Trial, Snapshot]:
        """Up declared a constraint that rows we made break, and nobody checked: try it on rows that fit."""
        assert first.before is not None and first.after_up is not None
        before, after = first.before.schema, first.after_up.schema
        ahead = Ahead(schema=after, renames=first.renames)
        self.back(step)
        changed = self.retrier.persist(step.migration.id, lambda _: self.rows.fit(before, ahead))
        trial, now = self._again(step)
        if changed:
            self.retrier.fixed(step.migration.id, f"made-up rows break {broken_by(first)[0]}", True, changed)
        return trial, now

    def _doubt(self, step: Planned, why: str) -> None:
        self.doubts.append(NotVerified(what="stored rows under this migration", why=why, migration=step.migration.id))

    def _once_more(self, step: Planned, failed: Trial, actions: tuple[str, ...]) -> tuple[Trial, Snapshot]:
        """Try a step again after made-up rows were changed in a restored database."""
        assert failed.up.error is not None
        trial, now = self._again(step)
        self.retrier.fixed(step.migration.id, failed.up.error.message, not trial.up.error, actions)
        return dataclasses.replace(trial, attempts=failed.attempts + trial.attempts), now

    def _again(self, step: Planned) -> tuple[Trial, Snapshot]:
        self.stand.standing = None
        self.retrier.persist(step.migration.id, lambda _: self._hold_anew(step))
        return self.observe(step)

    def _hold_anew(self, step: Planned) -> None:
        self.stand.hold(step.index)
        self.rows.changed(step)


def broken_by(trial: Trial) -> list[str]:
    """Declared constraints that stored rows break after up, and did not before."""
    if trial.before is None or trial.after_up is None:
        return []
    old = {(i.rule, i.object) for i in trial.before.integrity if i.count}
    found = [i for i in trial.after_up.integrity if i.count and i.observed and not i.inferred]
    return [f"{i.object} of {i.table}" for i in found if (i.rule, i.object) not in old]
