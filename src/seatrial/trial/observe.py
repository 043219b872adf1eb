"""One migration's up, down, up on one database: everything that happened, as a Trial."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from functools import lru_cache, partial

from seatrial.config import Config
from seatrial.errors import DatabaseError
from seatrial.model import (
    Aside,
    CastBack,
    Database,
    ErrorKind,
    Key,
    Migration,
    NotVerified,
    ObjectKey,
    Phase,
    ProbeResult,
    Runner,
    Schema,
    Snapshot,
    Step,
    StepError,
    TableDiff,
    TablePair,
    Trial,
)
from seatrial.schema import converts, key_order, pair_by_name, pair_through, same_schema, with_recased
from seatrial.sql.intent import Intent, probe_sql, read
from seatrial.trial.later import Later, Look
from seatrial.trial.retry import Cut
from seatrial.trial.untried import untried
from seatrial.values import dataclass

Returned = dict[str, Counter[Key]]
"""By the name of a question: the rows that it returned before up, all of them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A trial as far as it came, and what the database holds."""

    trial: Trial
    now: Snapshot


@dataclass(frozen=True, slots=True)
class Observer:
    """Carries out one trial; ``told`` hears of each step as it begins."""

    database: Database
    runner: Runner
    config: Config
    told: Callable[[str], None] = lambda _: None
    own: Callable[[StepError], bool] = lambda _: False  # an error of the surroundings is the migration's own doing
    later: Later = field(default_factory=Later)

    def observe(self, index: int, migration: Migration, before: Snapshot) -> tuple[Trial, Snapshot]:
        """Run up, down, up from ``before``; returns the trial and a snapshot of what stands now.

        Raises Cut, with the trial as far as it came, where something is raised.
        """
        trial = Trial(index=index, migration=migration, engine=self.database.engine, before=before)
        seen = Seen(trial, before)
        stages = (
            ("up", "B", "up", self.runner.up, self._up),
            ("down", "C", "down", self.runner.down, self._down),
            ("up again", "D", "reup", self.runner.up, self._reup),
        )
        look = self.later.add(lambda: seen)
        try:
            asked = self._returned_before(before)
            for told, letter, name, run, after in stages:
                self.told(told)
                step = self._run(run, migration)  # what it found before is looked at meanwhile
                seen = look.get()
                if _outside(step):
                    return _error(seen.trial, **{name: step}), seen.now
                look = self._looked(f"{index}:{letter}", partial(after, seen, step, asked))
                if step.error or migration.no_down is not None:
                    break
            seen = look.get()
            return seen.trial, seen.now
        except Exception as error:
            with contextlib.suppress(Exception):
                seen = look.get()
            raise Cut(seen.trial) from error

    def _looked(self, moment: str, look: Callable[[str], Seen]) -> Look[Seen]:
        """A look at what a step left: later, where that was kept, and else at once."""
        is_kept = self.database.keep(moment)
        found = self.later.add(partial(look, moment))
        if not is_kept:
            found.get()  # what it raises keeps the next step from being run
        return found

    def _run(self, run: Callable[[Migration], Step], migration: Migration) -> Step:
        step = run(migration)
        if step.error is not None and _outside(step) and self.own(step.error):
            return dataclasses.replace(step, error=dataclasses.replace(step.error, kind=ErrorKind.MIGRATION))
        return step

    def _up(self, seen: Seen, step: Step, asked: Returned, moment: str) -> Seen:
        trial, before = seen.trial, seen.now
        after = self.database.take(moment, since=before)
        sent, engine = _stayed(step), self.database.engine
        session = self.config.source.session
        intent = read(sent, engine, before.schema, observed=step.statements_observed, session=session)
        pairs = pair_through(before, after, intent.renames)
        renames = with_recased(intent.renames, before, after)
        trial = dataclasses.replace(
            trial, up=step, after_up=after, renames=renames, up_changes=self.database.diff(before, after, pairs)
        )
        if step.error:
            return Seen(trial, after)
        casts, doubts = self._cast_backs(before, after, pairs, intent)
        probes = (*self._backfills(after, intent), *self._ask(Phase.UP, after, asked))
        doubts += (*_unread(before, after), *_histories(before), *_unproven(intent))
        doubts += tuple(moved_asides(before, after, "up"))
        doubts += tuple(untried(step, before, engine, self.database.bookkeeping))
        return Seen(dataclasses.replace(trial, cast_backs=casts, probes=probes, not_verified=doubts), after)

    def _down(self, seen: Seen, step: Step, asked: Returned, moment: str) -> Seen:
        trial, up = seen.trial, seen.now
        before = trial.before
        assert before is not None
        after = self.database.take(moment, since=up, also=before.schema)
        trial = dataclasses.replace(trial, down=step, after_down=after)
        if step.error:
            return Seen(dataclasses.replace(trial, undone=self._half_undone(step, up, after)), after)
        pairs = pair_by_name(before, after)
        changes, history = (d(before, after, pairs) for d in (self.database.diff, self.database.diff_of_history))
        same = same_schema(up.schema, after.schema)
        undone = self.database.diff(up, after, pair_by_name(up, after)) if same else None
        probes = (*trial.probes, *self._ask(Phase.DOWN, after, asked))
        doubts = (*_with_unread(trial, after), *moved_asides(before, after, "down"))
        doubts += tuple(untried(step, up, trial.engine, self.database.bookkeeping, doubts))
        trial = dataclasses.replace(trial, down_changes=changes, history_changes=history, undone=undone, probes=probes)
        trial = dataclasses.replace(trial, not_verified=doubts)
        return Seen(trial, after)

    def _half_undone(self, step: Step, up: Snapshot, after: Snapshot) -> tuple[TableDiff, ...]:
        """What a down that stopped on its way did to rows, through the renames that stayed."""
        intent = read(_stayed(step), self.database.engine, up.schema, observed=step.statements_observed)
        return self.database.diff(up, after, pair_through(up, after, intent.renames))

    def _reup(self, seen: Seen, step: Step, asked: Returned, moment: str) -> Seen:
        first = seen.trial.after_up
        assert first is not None
        after = self.database.take(moment, since=seen.now)
        trial = dataclasses.replace(seen.trial, reup=step, after_reup=after)
        if not step.error:
            changes = self.database.diff(first, after, pair_by_name(first, after))
            doubts = (*_with_unread(trial, after), *moved_asides(first, after, "up again"))
            trial = dataclasses.replace(trial, reup_changes=changes, not_verified=doubts)
        return Seen(trial, after)

    def _cast_backs(
        self, before: Snapshot, after: Snapshot, pairs: list[TablePair], intent: Intent
    ) -> tuple[tuple[CastBack, ...], tuple[NotVerified, ...]]:
        """Converted columns whose new values do not cast back to the old ones; an UPDATE's work is not a conversion."""
        zones: Sequence[str] | None = None
        found: list[CastBack] = []
        doubts: list[NotVerified] = []
        for pair in pairs:
            columns = [
                (old, new)
                for old, new in converted(before.schema, after.schema, pair)
                if not intent.assigns_column(pair.old, old)
            ]
            if not columns:
                continue
            if zones is None:
                zones = read(self.config.source.session, self.database.engine, before.schema).zones + intent.zones
            try:
                found += self.database.cast_backs(before, after, pair, columns, zones)
            except DatabaseError as error:
                names = ", ".join(old for old, _ in columns)
                doubts.append(
                    NotVerified(what=f"casting {pair.old}.{names} back", why=str(error), rule="conversion-loss")
                )
        return tuple(found), tuple(doubts)

    def _backfills(self, after: Snapshot, intent: Intent) -> Iterator[ProbeResult]:
        """The WHERE of each backfill, asked again at the end of up."""
        for backfill in intent.backfills:
            state = after.table(backfill.table)
            if state is None:
                continue
            columns = after.schema.columns(backfill.table)
            types = {c: str(a.get("type") or "") for c, a in columns.items()}
            required = [c for c, a in columns.items() if a.get("nullable") is False]
            key = state.key or tuple(types)
            sql = probe_sql(backfill, key, self.database.quote, types, required)
            yield self._probe(
                after,
                ProbeResult(
                    name="backfill",
                    phase=Phase.UP,
                    sql=sql,
                    table=backfill.table,
                    columns=backfill.columns,
                ),
            )

    def _questions(self, phase: Phase, held: Snapshot) -> Iterator[ProbeResult]:
        """The project's own, [[invariants]] and [[required]]."""
        for invariant in self.config.invariants:
            yield ProbeResult(name=f"invariant {invariant.name}", phase=phase, sql=invariant.sql)
        yield from self._required(phase, held)

    def _returned_before(self, before: Snapshot) -> Returned:
        found = {}
        for question in self._questions(Phase.UP, before):
            with contextlib.suppress(DatabaseError):  # it may ask for what up makes
                found[question.name] = Counter(self.database.query(question.sql))
        return found

    def _ask(self, phase: Phase, held: Snapshot, asked: Returned) -> list[ProbeResult]:
        return [self._probe(held, q, asked.get(q.name)) for q in self._questions(phase, held)]

    def _required(self, phase: Phase, held: Snapshot) -> Iterator[ProbeResult]:
        for required in self.config.required:
            state = next((t for t in held.tables if str(t.table) == required.table), None)
            columns = held.schema.columns(state.table) if state else {}
            if state is None or required.column not in columns:
                continue
            quote = self.database.quote
            key = ", ".join(quote(c) for c in state.key or columns)
            table = ".".join(quote(n) for n in (state.table.namespace, state.table.name) if n)
            yield ProbeResult(
                name=f"required {required.table}.{required.column}",
                phase=phase,
                sql=f"SELECT {key} FROM {table} WHERE {quote(required.column)} IS NULL",
                table=state.table,
                columns=(required.column,),
            )

    def _probe(self, held: Snapshot, probe: ProbeResult, before: Counter[Key] | None = None) -> ProbeResult:
        """Ask a question of what is held.

        ``before``: the rows that were returned before up already; the keys are those of the others.
        """
        try:
            rows = Counter(self.database.query(probe.sql, at=held))
        except DatabaseError as error:
            return dataclasses.replace(probe, error=str(error))
        fresh = rows - (before or Counter())
        keys = sorted((fresh or rows).elements(), key=key_order)[: self.config.max_keys]
        return dataclasses.replace(
            probe, count=rows.total(), preexisting=rows.total() - fresh.total(), keys=tuple(keys)
        )


def converted(before: Schema, after: Schema, pair: TablePair) -> Iterator[tuple[str, str]]:
    """Columns (old name, new name) whose stored form another declaration decides."""
    if pair.new is None:
        return
    old, new = before.columns(pair.old), after.columns(pair.new)
    for name, target in pair.columns:
        if target is not None and converts(old[name], new[target]):
            yield name, target


def _stayed(step: Step) -> list[str]:
    """The statements whose work was not taken back; the one that the database refused did none."""
    refused = step.error.statement if step.error else None
    return [
        s.bound or s.sql
        for i, s in enumerate(step.statements, start=1)
        if not s.undone and not (i == len(step.statements) and s.sql == refused)
    ]


def _outside(step: Step) -> bool:
    return step.error is not None and step.error.kind is not ErrorKind.MIGRATION


def _error(trial: Trial, **steps: Step) -> Trial:
    step = next(iter(steps.values()))
    assert step.error is not None
    return dataclasses.replace(trial, error=step.error.message, error_kind=step.error.kind, **steps)  # type: ignore[arg-type]


def moved_asides(old: Snapshot, new: Snapshot, step: str) -> Iterator[NotVerified]:
    """What is stored beside tables, where a step left it otherwise than it has to be."""
    then, since = {a.what: a for a in old.asides}, "after up" if step == "up again" else "before up"
    for now in new.asides:
        if was := then.get(now.what):
            why = _went_back(was, now, step, since) if now.position is not None else _stale(was, now, step, since)
            if why:
                yield NotVerified(what=now.what, why=why)


def _went_back(was: Aside, now: Aside, step: str, since: str) -> str:
    """Numbers that were given out are given out again."""
    if was.position is None or now.position is None or (now.position - was.position) * now.increment >= 0:
        return ""
    return (
        f"it would give {now.position} next after {step}, and {was.position} {since}: no column is known to take its "
        "numbers, so whether they collide is not known"
    )


def _stale(was: Aside, now: Aside, step: str, since: str) -> str:
    """Rows of a query that are not those that stood there, nor those that the query gives now."""
    if step == "up" or now.current or (now.rows, now.checksum) == (was.rows, was.checksum):
        return ""
    known = "not" if now.current is False else "perhaps not"
    before = f"; {since} they were" if was.current else ""
    return f"they are others after {step} than {since}, and {known} what its query gives{before}: is a REFRESH missing?"


def _unproven(intent: Intent) -> Iterator[NotVerified]:
    """Batches of backfills of which it cannot be asked whether they left rows out."""
    for batch in intent.unproven_backfills:
        what = f"the backfill of {batch.table}.{', '.join(batch.columns)}"
        yield NotVerified(what=what, why=f"its batches could not be read: {batch.why}", rule="backfill-incomplete")


def _unread(*snapshots: Snapshot) -> Iterator[NotVerified]:
    """What is not compared: rows of some tables (those of a partitioned table are, in its partitions), and contents."""
    for snapshot in snapshots:
        for state in snapshot.tables:
            if not state.compared and not snapshot.schema.get(ObjectKey.of_table(state.table), {}).get("partition_key"):
                yield NotVerified(what=f"rows of {state.table}", why=state.why_not)
        yield from _contents(snapshot.schema)


@lru_cache(maxsize=64)  # each of a trial's moments has the schema of another one, as a rule
def _contents(schema: Schema) -> tuple[NotVerified, ...]:
    """Objects that hold what is not compared."""
    found = ((key.name, why) for key, attributes in schema.items() if (why := attributes.get("not_compared")))
    return tuple(NotVerified(what=f"contents of {name}", why=str(why)) for name, why in found)


def _with_unread(trial: Trial, after: Snapshot) -> tuple[NotVerified, ...]:
    """The trial's doubts with those of a later moment: an event may have come to write to a table since."""
    return tuple(dict.fromkeys((*trial.not_verified, *_unread(after))))


def _histories(before: Snapshot) -> Iterator[NotVerified]:
    """Old versions of rows (system versioning), which no plain SELECT shows."""
    for state in before.tables:
        if state.history == 0:
            yield NotVerified(what=f"history of {state.table}", why="it holds no old version of any row")
