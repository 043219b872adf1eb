"""The walk: every migration in its order, tried or just applied, on one database; then the chain back down."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from seatrial.config import Config
from seatrial.model import (
    ChainStep,
    Database,
    ErrorKind,
    Event,
    NotVerified,
    Retry,
    Runner,
    Schema,
    Server,
    Snapshot,
    Source,
    Trial,
)
from seatrial.plan import Plan, Planned
from seatrial.schema import pair_by_name, same_schema
from seatrial.seeds.generate import FillResult, topup, undo
from seatrial.seeds.load import load
from seatrial.seeds.refit import refit
from seatrial.trial.extra import Extra
from seatrial.trial.observe import Observer

Watcher = Callable[[Event], None]
Empty = Callable[[], AbstractContextManager[tuple[Database, Runner]]]
CHAIN_BYTES = 8 << 30  # what the moments kept for the chain may weigh together


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
    legs = [plan.steps]
    if plan.seed_at is not None and plan.tried[0].index <= plan.seed_at:
        legs.insert(0, plan.steps[: plan.seed_at + 1])
    trials: dict[int, Trial] = {}
    walked: list[Leg] = []
    for number, steps in enumerate(legs):
        seed_at = plan.seed_at if number == len(legs) - 1 else None
        leg = _leg(server, source, Leg(steps, config, watch, seed_at, len(plan.steps)))
        trials = {**leg.trials, **{i: t for i, t in trials.items() if not t.skipped}}
        walked.append(leg)
    return Walked(
        trials=tuple(trials[i] for i in sorted(trials)),
        chain=tuple(step for leg in walked for step in leg.chain),
        not_verified=tuple(doubt for leg in walked for doubt in leg.doubts),
        tables=max(leg.tables for leg in walked),
        rows=max(leg.rows for leg in walked),
        size_bytes=max(leg.size_bytes for leg in walked),
        checksum_sql=next((leg.checksum_sql for leg in walked if leg.checksum_sql), ""),
        retries=tuple(retry for leg in walked for retry in leg.retries),
    )


def _leg(server: Server, source: Source, leg: Leg) -> Leg:
    @contextmanager
    def empty() -> Iterator[tuple[Database, Runner]]:
        database = server.create()
        try:
            database.bookkeeping = source.bookkeeping
            database.limit = leg.config.max_keys
            database.execute(*leg.config.server.setup)
            runner = source.runner(database)
            try:
                yield database, runner
            finally:
                runner.close()
        finally:
            database.close()

    with empty() as (database, runner):
        leg.walk(database, runner, empty)
    return leg


@dataclass(slots=True)
class Leg:
    """One database from empty to the last of ``steps``, and back down."""

    steps: tuple[Planned, ...]
    config: Config
    watch: Watcher
    seed_at: int | None
    total: int
    trials: dict[int, Trial] = field(default_factory=dict)
    chain: list[ChainStep] = field(default_factory=list)
    doubts: list[NotVerified] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)
    tables: int = 0
    rows: int = 0
    size_bytes: int = 0
    checksum_sql: str = ""
    _database: Database = field(init=False)
    _runner: Runner = field(init=False)
    _empty: Empty = field(init=False)  # another database like this one, with nothing in it
    _standing: Snapshot | None = None  # what the database holds, where that is known
    _peopled: Schema = field(default_factory=Schema)  # the schema for which rows were made or given
    _filled: dict[int, FillResult] = field(default_factory=dict)  # rows made after the step of this index
    _held: dict[int, Snapshot] = field(default_factory=dict)  # A of each tried step, for the chain
    _changed_rows: str = ""  # the newest migration for which made-up rows were changed
    _broken: dict[str, str] = field(default_factory=dict)  # id -> why what needs it cannot be tried
    _applied: list[Planned] = field(default_factory=list)
    _checkpoint: str = ""
    _checkpoint_ms: float = 0.0
    _redo: list[tuple[float, Callable[[], object]]] = field(default_factory=list)  # all done since the checkpoint

    def walk(self, database: Database, runner: Runner, empty: Empty) -> None:
        self._database, self._runner, self._empty = database, runner, empty
        if self.seed_at == -1:
            self._seed()
        for step in self.steps:
            self._step(step)
            if step.index == self.seed_at and step.migration.id not in self._broken:
                self._seed()
        self.checksum_sql = self._method()
        self._go_down()

    def _method(self) -> str:
        """How the checksum of one of the tables was made."""
        there = set(self._database.inspect().tables())
        tables = [t.table for t in self._standing.tables if t.compared and t.table in there] if self._standing else []
        made = getattr(self._database, "checksum_sql", "")
        return str(made(tables[0]) if tables else "") if callable(made) else made

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
        self._standing = None
        if not self._checkpoint:
            self._keep()
        done = self._runner.up(step.migration)
        if done.error:
            self._broken[step.migration.id] = f"needs {step.migration.id}, which failed"
            self._record(
                step,
                error=f"it is not tested itself, but what comes after needs it, and it failed: {done.error.message}",
            )
            self._restore()
        else:
            self._remember(step, done.duration_ms)
            self._record(step, skipped=step.skipped or "the seed's rows belong to a later version")

    def _try(self, step: Planned) -> None:
        self._tell("trial", step, step.migration.name)
        self._fill(step.index - 1)
        before = self._take(f"{step.index}:A")
        self._held[step.index] = before
        if not self._checkpoint or sum(ms for ms, _ in self._redo) > self._checkpoint_ms:
            self._keep()
        observer = Observer(self._database, self._runner, self.config, lambda text: self._tell("step", step, text))
        trial, now = observer.observe(step.index, step.migration, before)
        if trial.up.error and not trial.error and self.seed_at is None:
            trial, now = self._refitted(step, observer, trial, now)
        self._settle(step, trial, now)
        self.trials[step.index] = self._extra(step, trial)
        self._forget(step.index)
        self._tell("tried", step, step.migration.name)

    def _settle(self, step: Planned, trial: Trial, now: Snapshot) -> None:
        """Leave the database as it was after up, whatever down did; as before, where up failed."""
        wanted: Snapshot | None
        if trial.error or trial.up.error:
            self._broken[step.migration.id] = f"needs {step.migration.id}, which failed"
            wanted = trial.before if not trial.error else None
        else:
            self._remember(step, trial.up.duration_ms)
            wanted = trial.after_up
        if self._is_all(step) and not self._extras(step, trial):
            return
        if wanted is not None and _is_recorded(trial) and (self._is(now, wanted) or _varies_only(trial)):
            self._standing = now
        else:
            self._restore()

    def _is_all(self, step: Planned) -> bool:
        """Nothing comes after this step, neither up nor down: what it leaves is of no interest."""
        return step.index == self.steps[-1].index and len(self._held) == 1

    def _extras(self, step: Planned, trial: Trial) -> list[str]:
        """What else is to be tried of a migration whose up works: [interrupt] rerun, [lived_in] for the newest."""
        if trial.error or trial.up.error:
            return []
        newest = max((s.index for s in self.steps if not s.skipped), default=-1) == step.index
        back = trial.down.executed and not trial.down.error
        wanted = {"rerun": self.config.interrupt.rerun, "lived-in": bool(self.config.lived_in.path) and newest and back}
        return [name for name, is_wanted in wanted.items() if is_wanted]

    def _extra(self, step: Planned, trial: Trial) -> Trial:
        extra = Extra(self._database, self._runner)
        for name in self._extras(step, trial):
            self._tell("step", step, name)
            start = self._take(f"{step.index}:S")
            if name == "rerun":
                trial = extra.rerun(trial, start)
            else:
                path = self.config.project / str(self.config.lived_in.path)
                trial = extra.lived_in(trial, start, path.read_text(encoding="utf-8"))
            self._restore()
            self._database.release(start.moment)
        return trial

    def _is(self, now: Snapshot, wanted: Snapshot) -> bool:
        if now is wanted:
            return True
        return same_schema(now.schema, wanted.schema) and not self._database.diff(
            wanted, now, pair_by_name(wanted, now)
        )

    # --- moments and checkpoints ---

    def _take(self, moment: str) -> Snapshot:
        snapshot = self._database.take(moment, since=self._standing)
        if self._standing is not None and self._standing not in self._held.values():
            self._database.release(self._standing.moment)
        self._standing = snapshot
        self.tables = max(self.tables, len(snapshot.tables))
        self.rows = max(self.rows, sum(t.rows for t in snapshot.tables))
        self.size_bytes = max(self.size_bytes, snapshot.size_bytes)
        return snapshot

    def _forget(self, index: int) -> None:
        """Release the moments of a trial that nothing needs any more."""
        standing = self._standing.moment if self._standing else ""
        for letter in "BCD":
            if (moment := f"{index}:{letter}") != standing:
                self._database.release(moment)
        while len(self._held) > 1 and sum(s.size_bytes for s in self._held.values()) > CHAIN_BYTES:
            self._database.release(self._held.pop(min(self._held)).moment)

    def _keep(self) -> None:
        """A checkpoint here; taken when doing again what came since the last one would cost more than a copy."""
        if self._checkpoint:
            self._database.discard(self._checkpoint)
        begun = time.perf_counter()
        self._checkpoint = self._database.checkpoint()
        self._checkpoint_ms = (time.perf_counter() - begun) * 1000
        self._redo.clear()

    def _restore(self) -> None:
        self._database.restore(self._checkpoint)
        for _, redo in self._redo:
            redo()
        self._standing = None

    def _remember(self, step: Planned, cost_ms: float) -> None:
        self._applied.append(step)
        self._redo.append((cost_ms, lambda: self._runner.up(step.migration)))

    # --- rows ---

    def _seed(self) -> None:
        """Load the given rows; nothing is made at their version unless that was asked for."""
        if self.config.seed.path is None:
            return
        load(self._database, self.config.project / self.config.seed.path)
        self._database.advance_counters()
        self._standing = None
        self._standing = self._take("seeded")
        if not self.config.seed.generate:
            self._peopled = self._standing.schema
            self.doubts += [
                NotVerified(what=f"rows of {t.table}", why="the given seed leaves it empty (--generate fills it)")
                for t in self._standing.tables
                if t.compared and not t.rows
            ]
        self._keep()

    def _fill(self, index: int) -> None:
        """Rows for the tables and columns that came since rows were last made or given."""
        if self._standing is None:
            self._take("standing")
        assert self._standing is not None
        before, after = self._peopled, self._standing.schema
        if after == before:
            return

        def fill() -> FillResult:
            return topup(self._database, before, after, rows=self.config.seed.rows, seed=self.config.seed.random)

        begun = time.perf_counter()
        made = fill()
        self._peopled = after
        self._filled[index] = made
        self._redo.append(((time.perf_counter() - begun) * 1000, fill))
        self.doubts += [NotVerified(what=f"rows of {table}", why=why) for table, why in made.not_filled.items()]

    def _refitted(self, step: Planned, observer: Observer, failed: Trial, now: Snapshot) -> tuple[Trial, Snapshot]:
        """Up refused rows that we made, and runs where there are none: try it on made rows that fit what it asks.

        Rows of the project's own are never changed for a migration; a refusal of them is the migration's.
        """
        ahead = self._ahead(step)
        if ahead is None or failed.before is None or failed.up.error is None:
            return failed, now
        schema = failed.before.schema

        def fit() -> FillResult:
            return refit(self._database, schema, ahead, seed=self.config.seed.random)

        self._restore()
        made = fit()
        if made.columns:
            changed = tuple(f"made-up values of {t}.{', '.join(c)} replaced" for t, c in made.columns.items())
            failed, now = self._once_more(step, observer, failed, fit, changed)
        if failed.up.error and not failed.up.error.code and self._filled:
            failed, now = self._emptied(step, observer, failed)
            if not failed.up.error:
                why = "the migration's own code does not understand rows that Seatrial makes up; give rows with [seed]"
                self.doubts.append(
                    NotVerified(what="stored rows under this migration", why=why, migration=step.migration.id)
                )
        return failed, now

    def _emptied(self, step: Planned, observer: Observer, failed: Trial) -> tuple[Trial, Snapshot]:
        """Try it without made-up rows, in tables that are still there under the name that they were filled by."""
        assert failed.before is not None
        there = set(failed.before.schema.tables())
        made = FillResult(inserted={t: n for f in self._filled.values() for t, n in f.inserted.items() if t in there})

        def empty() -> None:
            undo(self._database, made)

        self._restore()
        self._filled.clear()
        empty()
        changed = tuple(f"made-up rows of {t} taken out" for t in made.inserted)
        return self._once_more(step, observer, failed, empty, changed)

    def _once_more(
        self, step: Planned, observer: Observer, failed: Trial, change: Callable[[], object], actions: tuple[str, ...]
    ) -> tuple[Trial, Snapshot]:
        """Try a step again after its made-up rows were changed; ``change`` does that to a restored database."""
        assert failed.before is not None and failed.up.error is not None
        self._standing = None
        self._redo.append((0.0, change))
        self._database.release(failed.before.moment)
        before = self._held[step.index] = self._take(f"{step.index}:A")
        self._forget_rows_before(step)
        trial, now = observer.observe(step.index, step.migration, before)
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

    def _forget_rows_before(self, step: Planned) -> None:
        """Made-up rows were changed here: what earlier steps held is no measure for the chain any more."""
        self._changed_rows = step.migration.id
        for index in [i for i in self._held if i < step.index]:
            self._database.release(self._held.pop(index).moment)

    def _ahead(self, step: Planned) -> Schema | None:
        """The schema after this step where no rows stand in the way; None where it fails there too."""
        with self._empty() as (database, runner):
            for earlier in (*self._applied, step):
                if runner.up(earlier.migration).error:
                    return None
            return database.inspect()

    # --- the chain ---

    def _go_down(self) -> None:
        """All the way down, at every step compared with what the walk held there; stops where there is no way back."""
        if len(self._held) < 2:
            return
        self._take("chain")
        for step in reversed(self._applied):
            then = self._held.get(step.index)
            if then is None:
                if step.index in self.trials and not self.trials[step.index].skipped:
                    heavy = f"what {step.migration.id} held would weigh more than {CHAIN_BYTES >> 30} GB"
                    fitted = f"made-up rows were changed to fit {self._changed_rows}"
                    self._stop_chain(fitted if self._changed_rows else heavy)
                return
            if step.migration.no_down is not None:
                self._stop_chain(f"{step.migration.id} has no down: {step.migration.no_down}")
                return
            self._tell("step", step, "chain down")
            if not self._down(step, then):
                return

    def _down(self, step: Planned, then: Snapshot) -> bool:
        if step.index in self._filled:
            undo(self._database, self._filled[step.index])
        done = self._runner.down(step.migration)
        if done.error and done.error.kind is not ErrorKind.MIGRATION:
            self._stop_chain(done.error.message)
            return False
        now = self._take(f"{step.index}:chain")
        changes = () if done.error else self._database.diff(then, now, pair_by_name(then, now))
        self.chain.append(
            ChainStep(
                migration=step.migration.id, down=done, schema_then=then.schema, schema_now=now.schema, changes=changes
            )
        )
        if done.error:
            self._stop_chain(f"the down of {step.migration.id} fails")
        return done.error is None

    def _stop_chain(self, why: str) -> None:
        self.doubts.append(NotVerified(what="the chain all the way down", why=why))

    def _record(self, step: Planned, *, skipped: str = "", error: str = "") -> None:
        self.trials[step.index] = Trial(
            index=step.index, migration=step.migration, engine=self._database.engine, skipped=skipped, error=error
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
