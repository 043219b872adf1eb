"""The walk: every migration in its order, tried or just applied, on one database; then the chain back down."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import field
from functools import partial

from seatrial.config import Config
from seatrial.errors import DatabaseError, SeedError, ServerError
from seatrial.model import (
    CHAIN_DOWN,
    ChainStep,
    ErrorKind,
    Event,
    NotVerified,
    Retry,
    Server,
    Snapshot,
    Source,
    Step,
    Trial,
)
from seatrial.plan import Plan, Planned
from seatrial.trial import phased
from seatrial.trial.chain import Chain
from seatrial.trial.extra import Extra
from seatrial.trial.fitting import Fitting, broken_by
from seatrial.trial.observe import Observer
from seatrial.trial.outcome import cut_short, is_own, is_recorded, last_error, varies_only
from seatrial.trial.reaching import Reaching
from seatrial.trial.retry import Disturbed, Retrier, disturbed
from seatrial.trial.rows import Rows
from seatrial.trial.stand import Ground, Stand
from seatrial.values import dataclass

Watcher = Callable[[Event], None]

_REST = "what follows up, down and up again (rows written in between, interruptions)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """What one run observed, before it is a trace."""

    trials: tuple[Trial, ...]
    chain: tuple[ChainStep, ...]
    not_verified: tuple[NotVerified, ...]
    fullest: tuple[int, int, int]  # rows, tables and bytes at the moment when the database held most
    checksum_sql: str = ""
    retries: tuple[Retry, ...] = ()
    repaired_seed: str = ""
    uses_seed: bool = False  # rows were given, and something was tried on them


def walk(
    server: Server,
    source: Source,
    plan: Plan,
    config: Config,
    watch: Watcher,
    listen: Callable[[Trial], None] = lambda _: None,
) -> Walked:
    """Try the plan's migrations on databases of ``server``.

    ``listen`` is given each trial that is done, while the next step is on its way.

    Migrations up to a given seed's version are tried with generated rows on a database of their own. Where none comes
    after it, the seed is loaded all the same: nobody is to believe in rows that the schema refuses.
    """
    ways = [plan.steps]
    if plan.seed_at is not None and plan.tried[0].index <= plan.seed_at:
        ways.insert(0, plan.steps[: plan.seed_at + 1])
    ground = Ground(server, source, config)
    trials: dict[int, Trial] = {}
    walked: list[Leg] = []
    for number, steps in enumerate(ways):
        seed_at = plan.seed_at if number == len(ways) - 1 else None
        leg = Leg(steps, config, watch, seed_at, len(plan.steps), Stand(ground, *ground.open()), listen)
        try:
            leg.walk()
        finally:
            leg.close()
        trials = {**leg.trials, **{i: t for i, t in trials.items() if not t.skipped}}
        walked.append(leg)
    used = walked
    doubts: tuple[NotVerified, ...] = ()
    if plan.seed_at is not None and not plan.uses_seed:
        used = walked[:-1]  # what its rows are like says nothing of the trials
        trials[plan.seed_at], doubts = _unused(trials[plan.seed_at], walked[-1].unseeded)
    return Walked(
        trials=tuple(trials[i] for i in sorted(trials)),
        chain=tuple(step for leg in used for step in leg.chain),
        not_verified=(*(doubt for leg in walked for doubt in leg.doubts), *doubts),
        uses_seed=plan.uses_seed,
        fullest=max(leg.stand.fullest for leg in used),
        checksum_sql=next((leg.checksum_sql for leg in used if leg.checksum_sql), ""),
        retries=tuple(retry for leg in walked for retry in leg.retrier.retries),
        repaired_seed=next((m.sql for leg in walked for m in leg.rows.mends if m.sql), ""),
    )


def _unused(trial: Trial, refusal: str) -> tuple[Trial, tuple[NotVerified, ...]]:
    """The trial of the migration to whose version the given rows belong, and what else is to be said of them.

    ``refusal``: why they could not be loaded, else empty. It is the trial's error, unless that has one of its own.
    """
    if refusal and not trial.error:
        error = f"the given rows could not be loaded after it: {refusal}"
        return dataclasses.replace(trial, skipped="", error=error, error_kind=ErrorKind.SEED), ()
    why = refusal or f"no migration after {trial.migration.id} was tested, so that they were not used"
    return trial, (NotVerified(what="the given rows", why=why),)


@dataclass(slots=True)
class Leg:
    """One database from empty to the last of ``steps``, and back down."""

    steps: tuple[Planned, ...]
    config: Config
    watch: Watcher
    seed_at: int | None
    total: int
    stand: Stand
    listen: Callable[[Trial], None]
    rows: Rows = field(init=False)
    retrier: Retrier = field(init=False)
    trials: dict[int, Trial] = field(default_factory=dict)
    chain: list[ChainStep] = field(default_factory=list)
    doubts: list[NotVerified] = field(default_factory=list)
    checksum_sql: str = ""
    unseeded: str = ""  # why the given rows are not in
    _fitting: Fitting = field(init=False)
    _reaching: Reaching = field(init=False)
    _broken: dict[str, str] = field(default_factory=dict)  # id -> why what needs it cannot be tried
    _applied: list[Planned] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = Rows(self.stand, self.config, self.doubts)
        self.retrier = Retrier(self.stand, self.config.retry, self.config.seed.path or "", self._told_of_disturbance)
        self._fitting = Fitting(
            self.stand, self.rows, self.retrier, self.doubts, self._applied, self._back, self._observe
        )
        self._reaching = Reaching(self.stand, self.rows, self.retrier, self.doubts, self._back, self._observe)

    def walk(self) -> None:
        if self.seed_at == -1:
            self._seed("", -1)
        for step in self.steps:
            self._step(step)
            if step.index == self.seed_at and step.migration.id not in self._broken:
                self._seed(step.migration.id, step.index)
        if not self.unseeded:
            self._finish()

    def close(self) -> None:
        self.rows.close()
        self.stand.close()

    def _finish(self) -> None:
        try:
            self.checksum_sql = self.retrier.persist(self.steps[-1].migration.id, lambda _: self._method())
            self._go_down()
        except (Disturbed, DatabaseError) as error:  # every trial has its verdict by now
            self.doubts.append(NotVerified(what="the chain all the way down", why=str(error)))
        self._note_faltered()

    def _seed(self, migration: str, at: int) -> None:
        """Load the given rows; where they cannot be, nothing that comes after can be tried."""
        try:
            self.retrier.persist(migration, lambda _: self.rows.seed())
            if any(not s.skipped and s.index > at for s in self.steps):
                self.retrier.persist(migration, lambda _: self.rows.look())
        except Disturbed as disturbed:
            self.unseeded = f"The seed could not be loaded: {disturbed.told}"
        except SeedError as refused:
            if refused.refused is None:
                raise  # a file that cannot be read: there is nothing to tell but that
            self.unseeded = str(refused)
        for mend in self.rows.mends:
            self.retrier.fixed(migration, mend.why, bool(mend.sql), mend.actions)

    def _method(self) -> str:
        """How the checksum of one of the tables was made."""
        tables = [t.table for t in self.stand.standing.tables if t.compared] if self.stand.standing else []
        return next(filter(None, map(self.stand.database.checksum_sql, tables)), "")

    def _go_down(self) -> None:
        tried = {i for i, t in self.trials.items() if not t.skipped}

        def go_down(_: object) -> Chain:
            chain = Chain(self.stand, self.rows, tried, lambda step: self._tell("step", step, CHAIN_DOWN))
            self.stand.unsure = chain.go_down(self._applied)
            return chain

        last = self._applied[-1].migration.id if self._applied else ""
        chain = self.retrier.persist(last, go_down)
        self.chain += chain.steps
        self.doubts += chain.doubts

    def _note_faltered(self) -> None:
        """An up that failed when it was applied again and went well the other times."""
        for index, trial in self.trials.items():
            if found := self.retrier.faltered.get(trial.migration.id):
                self.trials[index] = dataclasses.replace(trial, faltered=tuple(found))

    def _step(self, step: Planned) -> None:
        if self.unseeded:
            skipped = step.skipped
            self._record(step, skipped=skipped, error="" if skipped else self.unseeded, kind=ErrorKind.SEED)
            return
        why = next((self._broken[p] for p in step.migration.parents if p in self._broken), "")
        if why:
            self._broken[step.migration.id] = why
            self._record(step, error=why)
            return
        try:
            if step.skipped or self._is_before_seed(step):
                self._apply(step)
            else:
                self._try(step)
        except Disturbed as end:
            self._give_up(step, end.told, ErrorKind.ENVIRONMENT, end.trial)
        except (DatabaseError, ServerError) as error:
            if found := disturbed(self.stand.database, error):
                self._give_up(step, found.told, ErrorKind.ENVIRONMENT)
                return
            if isinstance(error, ServerError):
                raise
            # no verdict on the migration: what it left cannot be looked at
            self._give_up(step, f"what {step.migration.id} left could not be looked at: {error}", error.kind)

    def _give_up(self, step: Planned, why: str, kind: ErrorKind, trial: Trial | None = None) -> None:
        """Nothing more can be done about a step; a trial that was complete by then stays what it is, and is told so."""
        self.stand.unsure = True
        if step not in self._applied:
            self._break(step, why if self._is_before_seed(step) else "")
        if step.index in self.trials:
            self.doubts.append(NotVerified(what=_REST, why=why, migration=step.migration.id))
            self._tell("tried", step, step.migration.name)
            return
        tries = sum(r.migration == step.migration.id for r in self.retrier.retries)
        again = f" (tried again {tries} times, to no avail)" if tries else ""
        self._record(step, error=why + again, kind=kind)
        if trial is not None:
            self.trials[step.index] = dataclasses.replace(trial, error=why + again, error_kind=kind, attempts=1 + tries)
        if not step.skipped:
            self._tell("tried", step, step.migration.name)

    def _apply(self, step: Planned) -> None:
        """Apply a migration that is not tried."""
        done = self._carry_out(step)
        if done.error and self.seed_at is None and self.rows.made:
            done = self._carry_out_on_none(step)
        if done.error:
            self._break(step)
            self._record(
                step,
                error=f"it is not tested itself, but what comes after needs it, and it failed: {done.error.message}",
            )
            self._back(step)
        else:
            self._remember(step, done)
            self._record(step, skipped=step.skipped or "the seed's rows belong to a later version")

    def _carry_out_on_none(self, step: Planned) -> Step:
        """Without the rows that were made for others: where nobody asks about a migration, they are not to stop it."""
        self._back(step)
        self.retrier.persist(step.migration.id, lambda _: self.rows.empty(self.stand.schema()))
        self.rows.changed(step)
        done = self._carry_out(step)
        if done.error:  # what migrations made of those rows is still there, and rows of their own have gone with them
            self.retrier.persist(step.migration.id, lambda _: self.rows.none())
            done = self._carry_out(step)
        return done

    def _carry_out(self, step: Planned) -> Step:
        """Its up, without a look at what it does. Raises Disturbed."""

        def apply(_: object) -> Step:
            self.stand.standing = None
            done = self.stand.runner.up(step.migration)
            if done.error and (found := disturbed(self.stand.database, done.error)):
                raise found
            return done

        return self.retrier.persist(step.migration.id, apply)

    def _try(self, step: Planned) -> None:
        self._tell("trial", step, step.migration.name)
        self.retrier.persist(step.migration.id, lambda _: self._prepare(step))
        trial, now = self._observe(step)
        if self.seed_at is None and not trial.error:
            trial, now = self._reaching.tried(step, trial, now)
        if self.seed_at is None and not trial.error:
            if trial.up.error:
                trial, now = self._reaching.anew(step, *self._fitting.refitted(step, trial, now))
            elif broken_by(trial):
                trial, now = self._fitting.fitted(step, trial)
        self.trials[step.index] = trial
        if trial.before is not None and not trial.error and not trial.up.error:
            self.rows.tell_empty(step.migration, trial.before, trial.up)
        self._settle(step, trial, now)
        self.trials[step.index] = trial = self._extra(step, trial)
        self._forget(step)
        self.stand.later.add(partial(self.listen, trial))
        self._tell("tried", step, step.migration.name)

    def _prepare(self, step: Planned) -> None:
        self.rows.fill(step.index - 1)
        if self.seed_at is None:
            self._reaching.prepare(step)
        self.stand.hold(step.index)
        if not self._is_all(step) or self.seed_at is None or self._wanted(step):
            self.stand.keep_if_due()

    def _forget(self, step: Planned) -> None:
        try:
            self.stand.forget(step.index)
        except (DatabaseError, ServerError) as error:
            if disturbed(self.stand.database, error) is None:
                raise
            self.stand.unsure = True  # the next step begins by bringing the database back

    def _observe(self, step: Planned) -> tuple[Trial, Snapshot]:
        """One trial; what something outside cut short before it stands in ``earlier``."""
        cut: list[Disturbed] = []

        def observe(met: list[Disturbed]) -> tuple[Trial, Snapshot]:
            cut[:] = met
            stand = self.stand
            told = partial(self._tell, "step", step)
            own = partial(is_own, stand.database, met)
            observer = Observer(stand.database, stand.runner, self.config, told, own, stand.later)
            trial, now = observer.observe(step.index, step.migration, stand.held[step.index])
            if error := last_error(trial):
                found = disturbed(stand.database, error)
                if found is not None:
                    found.trial = trial
                    raise found
            return trial, now

        trial, now = self.retrier.persist(step.migration.id, observe)
        earlier = tuple(cut_short(d) for d in cut if d.trial is not None)
        return dataclasses.replace(trial, attempts=1 + len(cut), earlier=earlier), now

    def _settle(self, step: Planned, trial: Trial, now: Snapshot) -> None:
        """Leave the database as it was after up, whatever down did; as before, where up failed."""
        wanted: Snapshot | None
        if trial.up.error and not trial.error and self._goes_on(step, trial):
            return
        if trial.error or trial.up.error:
            self._break(step)
            wanted = trial.before if not trial.error else None
        else:
            self._remember(step, trial.up)
            wanted = trial.after_up
        if self._is_all(step) and not self._extras(step, trial):
            return
        if wanted is not None and is_recorded(trial) and (self._is_now(now, wanted) or varies_only(trial)):
            self.stand.standing = now
        else:
            self._go_back(step, wanted)

    def _go_back(self, step: Planned, wanted: Snapshot | None) -> None:
        """Where that runs ups again which give other rows each time, nothing held before is a measure."""
        runs_again, database = self.stand.runs_again, self.stand.database
        self._back(step)
        if not runs_again or wanted is None or self.stand.database is not database:
            return  # on another database, all that the chain needs was held anew

        def is_same(met: list[Disturbed]) -> bool:
            return bool(met) or self.stand.is_now(self.stand.known(), wanted)

        if not self.retrier.persist(step.migration.id, is_same):
            self.rows.changed(step, "some migrations give other rows each time that they run")

    def _goes_on(self, step: Planned, trial: Trial) -> bool:
        """Up fails on made-up rows only: what comes after it is tried without those rows."""
        found, self._fitting.refused = self._fitting.refused, None
        if found is None or trial.before is None:
            return False
        self._back(step)
        schema = trial.before.schema
        self.retrier.persist(step.migration.id, lambda _: self.rows.take_out(schema, found))
        done = self._carry_out(step)
        if done.error:
            return False
        self._remember(step, done)
        self.rows.changed(step)
        self.stand.drop(step.index)
        self.stand.standing = None
        return True

    def _is_now(self, now: Snapshot, wanted: Snapshot) -> bool:
        try:
            return self.stand.is_now(now, wanted)
        except (DatabaseError, ServerError) as error:
            if disturbed(self.stand.database, error) is None:
                raise
            self.stand.unsure = True
            return False

    def _back(self, step: Planned) -> None:
        """Bring the database to where the walk stands, whatever it takes."""

        def back(met: list[Disturbed]) -> None:
            if not met and not brought:
                self.stand.restore()

        brought = self.stand.unsure  # then it is brought back before anything else
        self.retrier.persist(step.migration.id, back)

    def _is_before_seed(self, step: Planned) -> bool:
        """Whether the given rows come after it: then it is tried in another database."""
        return self.seed_at is not None and step.index <= self.seed_at

    def _break(self, step: Planned, why: str = "") -> None:
        """``why``: where the step's own trial, in another database, does not tell it."""
        told = f"could not be applied again: {why}" if why else "failed"
        self._broken[step.migration.id] = f"needs {step.migration.id}, which {told}"

    def _remember(self, step: Planned, up: Step) -> None:
        self._applied.append(step)
        self.stand.did_up(step.migration, up.duration_ms)
        self.rows.see(up)

    def _is_all(self, step: Planned) -> bool:
        """Nothing comes after this step, neither up nor down: what it leaves is of no interest."""
        return step.index == self.steps[-1].index and len(self.stand.held) == 1

    def _extras(self, step: Planned, trial: Trial) -> list[str]:
        """What else is to be tried of a migration whose up works: rerun, [lived_in] for the newest, a plan."""
        if trial.error or trial.up.error:
            return []
        back = trial.down.executed and not trial.down.error
        asked = [name for name in self._wanted(step) if back or name != "lived-in"]
        return [*asked, "plan"] if phased.is_wanted(trial) else asked

    def _wanted(self, step: Planned) -> list[str]:
        newest = max((s.index for s in self.steps if not s.skipped), default=-1) == step.index
        wanted = {"rerun": self.config.interrupt.rerun, "lived-in": bool(self.config.lived_in.path) and newest}
        return [name for name, is_wanted in wanted.items() if is_wanted]

    def _extra(self, step: Planned, trial: Trial) -> Trial:
        for name in self._extras(step, trial):
            self._tell("step", step, name)
            try:
                trial = self.retrier.persist(step.migration.id, lambda _, t=trial, n=name: self._extra_one(step, t, n))  # type: ignore[misc]
                self._back(step)
            except Disturbed as disturbed:
                doubt = NotVerified(what=name, why=str(disturbed), migration=step.migration.id)
                trial = dataclasses.replace(trial, not_verified=(*trial.not_verified, doubt))
        return trial

    def _extra_one(self, step: Planned, trial: Trial, name: str) -> Trial:
        extra = Extra(self.stand.database, self.stand.runner)
        start = self.stand.take(f"{step.index}:S")
        if name == "rerun":
            found = extra.rerun(trial, start)
        elif name == "plan":
            found = extra.phased(trial, start)
        else:
            path = self.config.project / str(self.config.lived_in.path)
            found = extra.lived_in(trial, start, path.read_text(encoding="utf-8"))
        errors = (found.rerun.error, found.lived_in.down.error if found.lived_in else None)
        for error in errors:
            if error and (cause := disturbed(self.stand.database, error)):
                raise cause
        self.stand.standing = None
        self.stand.database.release(start.moment)
        return found

    # --- telling ---

    def _told_of_disturbance(self, migration: str, text: str) -> None:
        index = next((s.index for s in self.steps if s.migration.id == migration), 0)
        self.watch(Event("step", text, migration, index, self.total, {}))

    def _record(
        self, step: Planned, *, skipped: str = "", error: str = "", kind: ErrorKind = ErrorKind.ENVIRONMENT
    ) -> None:
        self.trials[step.index] = Trial(
            index=step.index,
            migration=step.migration,
            engine=self.stand.database.engine,
            skipped=skipped,
            error=error,
            error_kind=kind,
        )

    def _tell(self, kind: str, step: Planned, text: str) -> None:
        data = {"trial": self.trials[step.index]} if kind == "tried" else {}
        self.watch(Event(kind, text, step.migration.id, step.index, self.total, data))
