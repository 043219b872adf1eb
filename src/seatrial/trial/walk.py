"""The walk: every migration in its order, tried or just applied, on one database; then the chain back down."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from seatrial.config import Config
from seatrial.model import (
    ChainStep,
    Event,
    NotVerified,
    Retry,
    Server,
    Snapshot,
    Source,
    Trial,
)
from seatrial.plan import Plan, Planned
from seatrial.schema import same_schema
from seatrial.trial.chain import Chain
from seatrial.trial.extra import Extra
from seatrial.trial.observe import Observer
from seatrial.trial.rows import Rows
from seatrial.trial.stand import Ground, Stand

Watcher = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """What one run observed, before it is a trace. Sizes are the largest that the database had."""

    trials: tuple[Trial, ...]
    chain: tuple[ChainStep, ...]
    not_verified: tuple[NotVerified, ...]
    tables: int
    rows: int
    size_bytes: int
    checksum_sql: str = ""
    retries: tuple[Retry, ...] = ()


def walk(server: Server, source: Source, plan: Plan, config: Config, watch: Watcher) -> Walked:
    """Try the plan's migrations on databases of ``server``.

    Migrations up to a given seed's version are tried with generated rows on a database of their own.
    """
    ways = [plan.steps]
    if plan.seed_at is not None and plan.tried[0].index <= plan.seed_at:
        ways.insert(0, plan.steps[: plan.seed_at + 1])
    ground = Ground(server, source, config)
    trials: dict[int, Trial] = {}
    walked: list[Leg] = []
    for number, steps in enumerate(ways):
        seed_at = plan.seed_at if number == len(ways) - 1 else None
        with ground.opened() as (database, runner):
            leg = Leg(steps, config, watch, seed_at, len(plan.steps), Stand(ground, database, runner))
            leg.walk()
        trials = {**leg.trials, **{i: t for i, t in trials.items() if not t.skipped}}
        walked.append(leg)
    return Walked(
        trials=tuple(trials[i] for i in sorted(trials)),
        chain=tuple(step for leg in walked for step in leg.chain),
        not_verified=tuple(doubt for leg in walked for doubt in leg.doubts),
        tables=max(leg.stand.tables for leg in walked),
        rows=max(leg.stand.rows for leg in walked),
        size_bytes=max(leg.stand.size_bytes for leg in walked),
        checksum_sql=next((leg.checksum_sql for leg in walked if leg.checksum_sql), ""),
        retries=tuple(retry for leg in walked for retry in leg.retries),
    )


@dataclass(slots=True)
class Leg:
    """One database from empty to the last of ``steps``, and back down."""

    steps: tuple[Planned, ...]
    config: Config
    watch: Watcher
    seed_at: int | None
    total: int
    stand: Stand
    rows: Rows = field(init=False)
    trials: dict[int, Trial] = field(default_factory=dict)
    chain: list[ChainStep] = field(default_factory=list)
    doubts: list[NotVerified] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)
    checksum_sql: str = ""
    _broken: dict[str, str] = field(default_factory=dict)  # id -> why what needs it cannot be tried
    _applied: list[Planned] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = Rows(self.stand, self.config, self.doubts)

    def walk(self) -> None:
        if self.seed_at == -1:
            self.rows.seed()
        for step in self.steps:
            self._step(step)
            if step.index == self.seed_at and step.migration.id not in self._broken:
                self.rows.seed()
        self.checksum_sql = self._method()
        self._go_down()

    def _method(self) -> str:
        """How the checksum of one of the tables was made."""
        stand = self.stand
        there = set(stand.database.inspect().tables())
        tables = [t.table for t in stand.standing.tables if t.compared and t.table in there] if stand.standing else []
        made = getattr(stand.database, "checksum_sql", "")
        return str(made(tables[0]) if tables else "") if callable(made) else made

    def _go_down(self) -> None:
        tried = {i for i, t in self.trials.items() if not t.skipped}
        chain = Chain(self.stand, self.rows, tried, lambda step: self._tell("step", step, "chain down"))
        chain.go_down(self._applied)
        self.chain += chain.steps
        self.doubts += chain.doubts

    def _step(self, step: Planned) -> None:
        why = next((self._broken[p] for p in step.migration.parents if p in self._broken), "")
        if why:
            self._broken[step.migration.id] = why
            self._record(step, error=why)
        elif step.skipped or (self.seed_at is not None and step.index <= self.seed_at):
            self._apply(step)
        else:
            self._try(step)

    def _apply(self, step: Planned) -> None:
        """Apply a migration that is not tried."""
        self.stand.standing = None
        self.stand.keep_once()
        done = self.stand.runner.up(step.migration)
        if done.error:
            self._break(step)
            self._record(
                step,
                error=f"it is not tested itself, but what comes after needs it, and it failed: {done.error.message}",
            )
            self.stand.restore()
        else:
            self._remember(step, done.duration_ms)
            self._record(step, skipped=step.skipped or "the seed's rows belong to a later version")

    def _try(self, step: Planned) -> None:
        self._tell("trial", step, step.migration.name)
        self.rows.fill(step.index - 1)
        before = self.stand.hold(step.index)
        self.stand.keep_if_due()
        trial, now = self._observe(step, before)
        if trial.up.error and not trial.error and self.seed_at is None:
            trial, now = self._refitted(step, trial, now)
        self._settle(step, trial, now)
        self.trials[step.index] = self._extra(step, trial)
        self.stand.forget(step.index)
        self._tell("tried", step, step.migration.name)

    def _observe(self, step: Planned, before: Snapshot) -> tuple[Trial, Snapshot]:
        stand = self.stand
        observer = Observer(stand.database, stand.runner, self.config, lambda text: self._tell("step", step, text))
        return observer.observe(step.index, step.migration, before)

    def _settle(self, step: Planned, trial: Trial, now: Snapshot) -> None:
        """Leave the database as it was after up, whatever down did; as before, where up failed."""
        wanted: Snapshot | None
        if trial.error or trial.up.error:
            self._break(step)
            wanted = trial.before if not trial.error else None
        else:
            self._remember(step, trial.up.duration_ms)
            wanted = trial.after_up
        if self._is_all(step) and not self._extras(step, trial):
            return
        if wanted is not None and _is_recorded(trial) and (self.stand.is_now(now, wanted) or _varies_only(trial)):
            self.stand.standing = now
        else:
            self.stand.restore()

    def _break(self, step: Planned) -> None:
        self._broken[step.migration.id] = f"needs {step.migration.id}, which failed"

    def _remember(self, step: Planned, cost_ms: float) -> None:
        self._applied.append(step)
        self.stand.did_up(step.migration, cost_ms)

    def _is_all(self, step: Planned) -> bool:
        """Nothing comes after this step, neither up nor down: what it leaves is of no interest."""
        return step.index == self.steps[-1].index and len(self.stand.held) == 1

    def _extras(self, step: Planned, trial: Trial) -> list[str]:
        """What else is to be tried of a migration whose up works: [interrupt] rerun, [lived_in] for the newest."""
        if trial.error or trial.up.error:
            return []
        newest = max((s.index for s in self.steps if not s.skipped), default=-1) == step.index
        back = trial.down.executed and not trial.down.error
        wanted = {"rerun": self.config.interrupt.rerun, "lived-in": bool(self.config.lived_in.path) and newest and back}
        return [name for name, is_wanted in wanted.items() if is_wanted]

    def _extra(self, step: Planned, trial: Trial) -> Trial:
        extra = Extra(self.stand.database, self.stand.runner)
        for name in self._extras(step, trial):
            self._tell("step", step, name)
            start = self.stand.take(f"{step.index}:S")
            if name == "rerun":
                trial = extra.rerun(trial, start)
            else:
                path = self.config.project / str(self.config.lived_in.path)
                trial = extra.lived_in(trial, start, path.read_text(encoding="utf-8"))
            self.stand.restore()
            self.stand.database.release(start.moment)
        return trial

    # --- made-up rows that an up refuses ---

    def _refitted(self, step: Planned, failed: Trial, now: Snapshot) -> tuple[Trial, Snapshot]:
        """Up refused rows that we made, and runs where there are none: try it on made rows that fit what it asks.

        Rows of the project's own are never changed for a migration; a refusal of them is the migration's.
        """
        ahead = self.rows.ahead(step, self._applied)
        if ahead is None or failed.before is None or failed.up.error is None:
            return failed, now
        schema = failed.before.schema
        self.stand.restore()
        if changed := self.rows.fit(schema, ahead):
            failed, now = self._once_more(step, failed, changed)
        if failed.up.error and not failed.up.error.code and self.rows.made:
            self.stand.restore()
            failed, now = self._once_more(step, failed, self.rows.empty(schema))
            if not failed.up.error:
                why = "the migration's own code does not understand rows that Seatrial makes up; give rows with [seed]"
                self.doubts.append(
                    NotVerified(what="stored rows under this migration", why=why, migration=step.migration.id)
                )
        return failed, now

    def _once_more(self, step: Planned, failed: Trial, actions: tuple[str, ...]) -> tuple[Trial, Snapshot]:
        """Try a step again after made-up rows were changed in a restored database."""
        assert failed.before is not None and failed.up.error is not None
        self.stand.standing = None
        self.stand.database.release(failed.before.moment)
        before = self.stand.hold(step.index)
        self.rows.changed(step)
        trial, now = self._observe(step, before)
        retry = Retry(
            strategy="fix-seed-data",
            migration=step.migration.id,
            attempt=failed.attempts,
            reason=failed.up.error.message,
            succeeded=not trial.up.error,
            actions=actions,
        )
        self.retries.append(retry)
        return dataclasses.replace(trial, attempts=failed.attempts + 1), now

    # --- telling ---

    def _record(self, step: Planned, *, skipped: str = "", error: str = "") -> None:
        self.trials[step.index] = Trial(
            index=step.index, migration=step.migration, engine=self.stand.database.engine, skipped=skipped, error=error
        )

    def _tell(self, kind: str, step: Planned, text: str) -> None:
        data = {"trial": self.trials[step.index]} if kind == "tried" else {}
        self.watch(Event(kind, text, step.migration.id, step.index, self.total, data))


def _is_recorded(trial: Trial) -> bool:
    """The version table, which no snapshot holds, says what the rows say: every step ended well, the last one an up."""
    steps = (trial.up, trial.down, trial.reup)
    return not any(s.error for s in steps) and trial.down.executed == trial.reup.executed


def _varies_only(trial: Trial) -> bool:
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
