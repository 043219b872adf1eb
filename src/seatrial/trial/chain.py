"""The chain: all the way down, at every step compared with what the upward walk held there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from seatrial.errors import DatabaseError
from seatrial.model import ChainStep, ErrorKind, NotVerified, Snapshot, Step
from seatrial.plan import Planned
from seatrial.schema import pair_by_name
from seatrial.trial.later import Look
from seatrial.trial.retry import disturbed
from seatrial.trial.rows import Rows
from seatrial.trial.stand import CHAIN_BYTES, Stand


@dataclass(slots=True)
class Chain:
    """``tried``: indexes of the steps that were not only applied; ``told`` hears of each step."""

    stand: Stand
    rows: Rows
    tried: Collection[int]
    told: Callable[[Planned], None]
    steps: list[ChainStep] = field(default_factory=list)
    doubts: list[NotVerified] = field(default_factory=list)

    _look: Look[None] = field(init=False)  # at what the step before left

    def __post_init__(self) -> None:
        self._look = self.stand.later.add(lambda: None)

    def go_down(self, applied: Sequence[Planned]) -> bool:
        """Stops where there is no way back; whether anything was done. Raises Disturbed.

        What a database refuses us here is a reason to stop, too: every trial has its verdict by now.
        """
        if len(self.stand.held) < 2:
            return False
        try:
            self.stand.take("chain")
            self._go_down(applied)
            self._look.get()
        except DatabaseError as error:
            if found := disturbed(self.stand.database, error):
                raise found from error
            self._stop(str(error))
        return True

    def _go_down(self, applied: Sequence[Planned]) -> None:
        for step in reversed(applied):
            then = self.stand.held.get(step.index)
            if then is None:
                if step.index in self.tried:
                    self._stop(self._why_not_held(step))
                break
            if step.migration.no_down is not None:
                self._stop(f"{step.migration.id} has no way back: {step.migration.no_down}")
                break
            self.told(step)
            if not self._down(step, then):
                break

    def _why_not_held(self, step: Planned) -> str:
        if self.rows.why_changed:
            return self.rows.why_changed
        return f"what {step.migration.id} held would weigh more than {CHAIN_BYTES >> 30} GB"

    def _down(self, step: Planned, then: Snapshot) -> bool:
        stand = self.stand
        if self.rows.has_made(step.index) and (why := self.rows.take_back(step.index)):
            self._stop(why)
            return False
        done = stand.runner.down(step.migration)
        self._look.get()
        if done.error and (found := disturbed(stand.database, done.error)):
            raise found
        if done.error and done.error.kind is not ErrorKind.MIGRATION:
            self._stop(done.error.message)
            return False
        moment = f"{step.index}:chain"
        if not stand.database.keep(moment):
            self._compare(moment, step, done, then)
        else:
            self._look = stand.later.add(partial(self._compare, moment, step, done, then))
        if done.error:
            self._stop(f"the down of {step.migration.id} fails")
        return done.error is None

    def _compare(self, moment: str, step: Planned, done: Step, then: Snapshot) -> None:
        now = self.stand.take(moment)
        changes = () if done.error else self.stand.database.diff(then, now, pair_by_name(then, now))
        self.steps.append(
            ChainStep(
                migration=step.migration.id, down=done, schema_then=then.schema, schema_now=now.schema, changes=changes
            )
        )

    def _stop(self, why: str) -> None:
        self.doubts.append(NotVerified(what="the chain all the way down", why=why))
