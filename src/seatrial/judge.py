"""Traces and checks and the project's policy -> report. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence

from seatrial import checks, matrix
from seatrial.checks.case import Case
from seatrial.checks.chain import Link, chain_findings, links
from seatrial.config import Config
from seatrial.errors import ConfigError
from seatrial.facts import blocking
from seatrial.model import (
    Blocker,
    Finding,
    Impact,
    Judged,
    Kind,
    NotVerified,
    ObjectKey,
    Observed,
    Outcome,
    Phase,
    Report,
    Retry,
    Severity,
    Status,
    Summary,
    Trace,
    Trial,
    Under,
    Waiver,
)
from seatrial.plan import candidates, select
from seatrial.relations import believed
from seatrial.schema import depths, diff, reordered
from seatrial.values import dataclass

CORRUPTION = {
    "rows-lost", "values-lost", "collateral-change", "conversion-loss", "orphaned-rows", "duplicate-keys",
    "check-violated",
}  # fmt: skip
GUARANTEES = {
    "constraint",
    "primary key",
    "unique",
    "foreign key",
    "check",
    "trigger",
    "policy",
    "row security",
    "grant",
}
LONG = "long-running"
UNDOING = (Phase.DOWN, Phase.REUP, Phase.CHAIN)
_NOTHING: Mapping[int, Heard] = {}


@dataclass(frozen=True, slots=True)
class Heard:
    """What the rules say of one trial by itself, which is known as soon as that is done."""

    trial: Trial
    case: Case
    findings: tuple[Finding, ...]
    doubts: tuple[NotVerified, ...]


def hear(whole: Trial, rules: Iterable[checks.Check], limit: int) -> Heard:
    """``limit``: keys and changes that a finding holds."""
    trial = believed(whole)
    case = Case(trial, limit)
    is_judged = trial.before is not None and not trial.error and not trial.skipped
    found = [f for rule in rules for f in rule.run(case)] if is_judged else []
    doubts = (*trial.not_verified, *(f for f in found if isinstance(f, NotVerified)))
    return Heard(
        trial=whole,
        case=case,
        findings=tuple(f for f in found if isinstance(f, Finding)),
        doubts=tuple(dataclasses.replace(d, migration=trial.migration.id) for d in doubts),
    )


def judge(trace: Trace, config: Config, today: datetime.date, known: Mapping[int, Heard] = _NOTHING) -> Report:
    """What a run's trace says about its migrations, under the project's waivers and threshold.

    ``known``: what was heard of some of its trials already, by the trial's id.
    """
    first = Under(sql_mode=trace.sql_mode or "", trials=trace.trials, chain=trace.chain, retries=trace.retries)
    under = [first, *trace.others]
    judged = {u.sql_mode: _all_under(u, trace, config, today, known) for u in under}
    migrations = tuple(_merged([(m, found[i][0]) for m, found in judged.items()]) for i in range(len(trace.trials)))
    blockers = tuple(b for m in migrations for b in _blockers(m, config.fail_on))
    status = _status(m.status for m in migrations)
    doubted = matrix.doubts((mode, [d for _, doubts in found for d in doubts]) for mode, found in judged.items())
    doubts = (
        *trace.not_verified,
        *(d for u in trace.others for d in u.not_verified),
        *matrix.doubts((u.sql_mode, _never_asked(u.trials)) for u in under),
        *doubted,
        *_unused(config),
        *_unplanned(migrations),
        *_unlocked(migrations),
        *_nowhere(config, trace),
    )
    return Report(
        generated=trace.generated,
        epic=config.epic or trace.epic,
        status=status,
        exit_code={Status.PASSED: 0, Status.FAILED: 1}.get(status, 2),
        trace=trace,
        migrations=migrations,
        summary=summary_of(migrations),
        blockers=blockers,
        retries=tuple(_retries({u.sql_mode: u.retries for u in under})),
        not_verified=tuple(dict.fromkeys(doubts)),
        history=trace.history,
        notes=(*_waiver_notes(config.waivers, migrations, today), *_idle_notes(config)),
    )


def _retries(found: Mapping[str, Sequence[Retry]]) -> Iterator[Retry]:
    """All attempts of the run, numbered through; in a trace each migration's have numbers of their own."""
    for attempt, retry in enumerate(_told_once(found), 1):
        yield dataclasses.replace(retry, attempt=attempt)


def _told_once(found: Mapping[str, Sequence[Retry]]) -> Iterator[Retry]:
    """Every mode's, which says its mode; a repair of the seed that all of them needed is told once."""
    for mode, retries in found.items():
        for retry in retries:
            if retry.strategy == "fix-seed-data" and all(retry in others for others in found.values()):
                if mode == next(iter(found)):
                    yield retry
            else:
                under = f"Under sql_mode {mode or '(empty)'}: " if len(found) > 1 else ""
                yield dataclasses.replace(retry, reason=f"{under}{retry.reason}")


def _all_under(
    under: Under, trace: Trace, config: Config, today: datetime.date, known: Mapping[int, Heard]
) -> list[tuple[Judged, tuple[NotVerified, ...]]]:
    """Every trial under one sql_mode, or under the only one there is."""
    rules, chain = checks.load().values(), links(under.chain, under.trials)
    heard = (known.get(id(trial)) or hear(trial, rules, config.max_keys) for trial in under.trials)
    return [_judge(h, chain.get(h.trial.migration.id), trace, config, today) for h in heard]


def _merged(found: Sequence[tuple[str, Judged]]) -> Judged:
    """One migration under every sql_mode: what fails under one of them fails."""
    (_, first), *others = found
    if not others:
        return first
    all_of = [judged for _, judged in found]
    shown = next((j for j in all_of if j.kind), first)  # where up fails, there is little to show
    hardest = max(all_of, key=lambda j: (list(Impact).index(j.impact), j.impact_basis != "not tested"))
    findings = matrix.together([(mode, judged.findings) for mode, judged in found])
    return dataclasses.replace(
        first,
        status=_status(j.status for j in all_of) if first.status is not Status.SKIPPED else first.status,
        kind=max((j.kind for j in all_of if j.kind), key=list(Kind).index, default=None),
        findings=_in_order(findings, first.trial),
        rollback_safe=_all_safe(j.rollback_safe for j in all_of),
        impact=hardest.impact,
        impact_basis=hardest.impact_basis,
        predicted_ms=hardest.predicted_ms,
        trial=shown.trial,
        outcomes=() if first.status is Status.SKIPPED else tuple(_outcome(mode, j, j is shown) for mode, j in found),
    )


def _outcome(mode: str, judged: Judged, shown: bool) -> Outcome:
    rules = dict.fromkeys(f.rule for f in judged.findings if f.waived is None)
    return Outcome(sql_mode=mode, status=judged.status, rules=tuple(rules), error=judged.trial.error, shown=shown)


def _in_order(findings: Iterable[Finding], trial: Trial) -> tuple[Finding, ...]:
    """The severest first; of one rule, those of tables before those of the tables that refer to them: causes first."""
    depth = depths(trial.before.schema) if trial.before else {}

    def place(finding: Finding) -> tuple[int, str, int, str, Phase]:
        table = finding.table or ""
        return -finding.severity.rank, finding.rule, depth.get(table, 0), table, finding.phase

    return tuple(sorted(findings, key=place))


def _judge(
    heard: Heard, link: Link | None, trace: Trace, config: Config, today: datetime.date
) -> tuple[Judged, tuple[NotVerified, ...]]:
    case, trial = heard.case, heard.case.trial
    findings = list(heard.findings)
    if trial.before is not None and not trial.error and not trial.skipped:
        findings += chain_findings(case, link, findings)
    findings = [_waive(f, trial, config.waivers, trace, today) for f in findings]
    status = _verdict(trial, findings, config.fail_on)
    impact, basis, predicted = _impact(trial)
    return (
        Judged(
            migration=trial.migration,
            kind=_kind(case),
            status=status,
            rollback_safe=_rollback_safe(case, findings),
            impact=impact,
            impact_basis=basis,
            findings=_in_order(findings, trial),
            trial=trial,
            predicted_ms=predicted,
        ),
        heard.doubts,
    )


def _never_asked(trials: Iterable[Trial]) -> Iterator[NotVerified]:
    """Invariants whose query could not be run on any migration's schema; on some it may name what is not there yet."""
    probes = [p for t in trials for p in t.probes if p.name.startswith("invariant ")]
    for name in dict.fromkeys(p.name for p in probes):
        errors = [p.error for p in probes if p.name == name]
        if all(errors):
            yield NotVerified(what=name, why=errors[-1], rule="invariant-broken")


def _unused(config: Config) -> Iterator[NotVerified]:
    """Settings that ask for what this version does not do."""
    if config.production.rows:
        why = "this version predicts none from [production.rows]: times are those measured on the trial's own rows"
        yield NotVerified(what="duration at production size", why=why, rule=LONG)


_UNTRIED = "one is tried only where up takes more than a minute and down brings back what stood before"


def _unplanned(migrations: Iterable[Judged]) -> Iterator[NotVerified]:
    """Migrations that would need a way without downtime, and for which none was found."""
    for judged in migrations:
        if judged.impact is Impact.HIGH and not judged.plan:
            yield NotVerified(
                what="a zero-downtime plan", why=judged.trial.no_plan or _UNTRIED, migration=judged.migration.id
            )


def _unlocked(migrations: Iterable[Judged]) -> Iterator[NotVerified]:
    """Steps whose locks nobody saw, those together that have the same reason: the end of the engine's note."""
    found: dict[str, list[str]] = {}
    for judged in migrations:
        for way, step in (("up", judged.trial.up), ("down", judged.trial.down)):
            sent = step.statements or not step.statements_observed
            if step.executed and sent and step.locks_observed is Observed.NOT_OBSERVED:
                why = step.locks_note.rpartition("; ")[2] or "nobody looked"
                found.setdefault(why, []).append(f"{way} of {judged.migration.id}")
    for why, steps in found.items():
        more = f" and {len(steps) - 4} more steps" if len(steps) > 4 else ""
        yield NotVerified(what=f"the locks of {', '.join(steps[:4])}{more}", why=why, rule=LONG)


def _nowhere(config: Config, trace: Trace) -> Iterator[NotVerified]:
    """Columns that the settings name and no schema of the run has: a slip, or a table of later."""
    named = [("required", r.table, r.column, "nulls-in-required") for r in config.required]
    for r in config.relationships:
        named += [("relationships", r.table, r.column, "orphaned-rows")]
        named += [("relationships", r.parent, r.parent_column, "orphaned-rows")]
    shots = [s for t in trace.trials for s in (t.before, t.after_up) if s is not None] if named else []
    there = {(str(k.owner).lower(), k.name.lower()) for s in shots for k in s.schema if k.kind == "column"}
    for section, table, column, rule in dict.fromkeys(named) if shots else ():
        if (table.lower(), column.lower()) not in there:
            yield NotVerified(
                what=f"[[{section}]] {table}.{column}", why="no tested schema has such a column", rule=rule
            )


def _idle_notes(config: Config) -> Iterator[str]:
    """Settings that this run could do nothing with."""
    if config.seed.at is not None and config.seed.path is None:
        yield f"{config.said('seed.at')} says where a seed's rows belong, and no seed is given (seed.path, --seed)."
    if config.jobs > 1:
        yield f"{config.jobs} trials at a time were asked for (jobs); this version runs them one after another."


def _verdict(trial: Trial, findings: Sequence[Finding], fail_on: Severity) -> Status:
    if trial.skipped:
        return Status.SKIPPED
    if any(f.waived is None and f.severity.rank >= fail_on.rank for f in findings):
        return Status.FAILED
    return Status.ERROR if trial.error else Status.PASSED


def _status(found: Iterable[Status]) -> Status:
    """Failed before error before passed; a run in which nothing was tested could not test."""
    known = set(found) - {Status.SKIPPED}
    return next((s for s in (Status.FAILED, Status.ERROR, Status.PASSED) if s in known), Status.ERROR)


def summary_of(migrations: Sequence[Judged]) -> Summary:
    """How many of what; migrations that were not selected are only counted in the total."""
    tested = [m for m in migrations if m.status in (Status.PASSED, Status.FAILED)]
    return Summary(
        total=len(migrations),
        tested=len(tested),
        passed=sum(m.status is Status.PASSED for m in tested),
        failed=sum(m.status is Status.FAILED for m in tested),
        data_corruption=any(
            f.rule in CORRUPTION and f.waived is None and f.severity.rank >= Severity.HIGH.rank
            for m in migrations
            for f in m.findings
        ),
        rollback_safe=_all_safe(m.rollback_safe for m in migrations if m.status is not Status.SKIPPED),
    )


def _all_safe(found: Iterable[bool | None]) -> bool | None:
    """One that is unsafe decides; of the others, one that was not tested leaves it open."""
    known = set(found)
    return False if False in known else None if None in known or not known else True


def _rollback_safe(case: Case, findings: Sequence[Finding]) -> bool | None:
    """Down ran and nothing HIGH stands against it; None where it was not tested."""
    trial = case.trial
    if trial.error or trial.skipped or trial.before is None or not case.up_ran:
        return None
    if not trial.down.executed:
        return None if trial.migration.no_down is None else not case.up_changed_something
    grave = (f for f in findings if f.waived is None and f.severity.rank >= Severity.HIGH.rank)
    return case.down_ran and not any(f.phase in UNDOING for f in grave)


def _kind(case: Case) -> Kind | None:
    """Additive, transformative or destructive, from what up was seen to do."""
    if not case.up_ran or not case.up_changed_something:
        return None
    changes = diff(case.before.schema, case.after_up.schema)
    renames = case.trial.renames
    moved = {t for t, _ in renames.tables}
    columns = {(t, c) for t, c, _ in renames.columns}
    gone = [d for d in changes if d.new is None and not _renamed(d.key, moved, columns)]
    lost = any(c.missing_columns or c.lost_count for c in case.trial.up_changes if c.table not in moved)
    if lost or any(d.key.kind in GUARANTEES | {"table", "column"} or (d.old or {}).get("unique") for d in gone):
        return Kind.DESTRUCTIVE
    altered = any(d.old is not None and d.new is not None for d in changes) or bool(gone) or bool(moved or columns)
    rewritten = any(c.changed for c in case.trial.up_changes)
    added = any(c.added_count for c in case.trial.up_changes)
    if altered or rewritten or added or reordered(case.before.schema, case.after_up.schema):
        return Kind.TRANSFORMATIVE
    return Kind.ADDITIVE


def _renamed(key: ObjectKey, tables: set, columns: set) -> bool:  # type: ignore[type-arg]
    owner = key.owner
    return (
        owner in tables or (owner, key.name) in columns or (key.kind != "table" and any(t == owner for t, _ in columns))
    )


def _impact(trial: Trial) -> tuple[Impact, str, float | None]:
    if not trial.up.executed or trial.up.error:
        return Impact.LOW, "not tested", None  # how long it takes to fail says nothing of how long it would take
    return Impact.of(max(trial.up.duration_ms, trial.down.duration_ms)), "measured", None


def _blockers(judged: Judged, fail_on: Severity) -> Iterator[Blocker]:
    for fact in blocking(judged.findings, fail_on):
        yield Blocker(migration=judged.migration.id, findings=fact.findings)


# --- waivers ----------------------------------------------------------------------------------------------------------


def _waive(finding: Finding, trial: Trial, waivers: Sequence[Waiver], trace: Trace, today: datetime.date) -> Finding:
    for waiver in waivers:
        if waiver.rule == finding.rule and today <= waiver.until and _means(waiver, trial, trace):
            return dataclasses.replace(finding, waived=waiver.reason)
    return finding


def _means(waiver: Waiver, trial: Trial, trace: Trace) -> bool:
    try:
        return select((t.migration for t in trace.trials), waiver.migration).id == trial.migration.id
    except ConfigError:
        return False


def _waiver_notes(waivers: Sequence[Waiver], migrations: Sequence[Judged], today: datetime.date) -> Iterator[str]:
    """Waivers that no longer hold, that nothing needed, or of which nobody can say what they mean."""
    for waiver in waivers:
        mine = candidates((m.migration for m in migrations), waiver.migration)
        tested = [m for m in migrations if m.migration in mine and m.status in (Status.PASSED, Status.FAILED)]
        if today > waiver.until:
            yield f"The waiver of {waiver.rule} for {waiver.migration} expired on {waiver.until}: {waiver.reason}"
        elif waiver.rule not in checks.load():
            yield f"The waiver for {waiver.migration} names no rule of ours: {waiver.rule}"
        elif len(mine) > 1:
            any_of = ", ".join(m.id for m in mine[:5])
            yield f"The waiver of {waiver.rule} for {waiver.migration} may mean any of {any_of}; give more of the id"
        elif not mine:
            yield f"The waiver of {waiver.rule} names no migration: {waiver.migration}"
        elif tested and not any(f.rule == waiver.rule for f in tested[0].findings):
            yield f"The waiver of {waiver.rule} for {waiver.migration} was not needed: {waiver.reason}"
