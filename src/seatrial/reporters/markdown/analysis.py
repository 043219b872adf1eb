"""What follows from all trials together: rollback safety, retries, time, the zero-downtime way, what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from seatrial.facts import Fact, facts
from seatrial.model import (
    Blocker,
    Finding,
    Impact,
    Judged,
    Kind,
    Lock,
    Observed,
    PlanPhase,
    Report,
    Retry,
    Severity,
    Status,
    Step,
)
from seatrial.prose import SPAN
from seatrial.reporters import words
from seatrial.reporters.changes import down_view, number, parts
from seatrial.reporters.markdown import text as md
from seatrial.reporters.markdown import told

LOSSES = {"rows-lost", "values-lost", "written-rows-lost"}
IMPACT = {Impact.LOW: "✅ LOW", Impact.MEDIUM: "⚠️ MEDIUM", Impact.HIGH: "❌ HIGH"}
ROLLBACK = {"down-missing", "down-does-nothing"}
DEEDS = {
    "up-failed": "Fix the upgrade of migration",
    "down-failed": "Fix the rollback of migration",
    "down-blocked-by-new-rows": "Fix the rollback of migration",
    "schema-not-restored": "Restore the whole schema in the rollback of migration",
    "collateral-schema-loss": "Keep the schema objects that are lost by migration",
    "next-insert-fails": "Repair the generated keys after migration",
    "invalid-index": "Rebuild the invalid index of migration",
    "half-applied": "Make it safe to interrupt migration",
    "breaks-running-app": "Keep the running application working through migration",
}
UNTESTED = "⚠️ NOT TESTED"


# --- rollback safety --------------------------------------------------------------------------------------------------


def rollback(report: Report) -> dict[str, str]:
    safe = [m for m in report.migrations if m.rollback_safe]
    unsafe = [m for m in report.migrations if not m.rollback_safe and m.status is not Status.SKIPPED]
    return {
        "safe": "\n".join(_safe(m) for m in safe) or md.row("None", "", "", ""),
        "unsafe": "\n".join(_unsafe(m) for m in unsafe) or md.row("None", "", "", "", ""),
        **{kind.value: _kind_text(report, kind) for kind in Kind},
    }


def _type(judged: Judged) -> str:
    if judged.kind:
        return judged.kind.value.capitalize()
    if not judged.trial.up.executed:
        return "Not tested"
    return "Not known" if judged.trial.up.error else "No change"


def _safe(judged: Judged) -> str:
    return md.row(told.name(judged), _type(judged), method(judged), _risk(judged))


def method(judged: Judged) -> str:
    """How down takes up back, from what it was seen to do: ``Drops 1 column, 1 index; restores 3 rows``."""
    if not judged.trial.down.executed:
        return "Nothing to take back"
    view = down_view(judged.trial)
    verbs: dict[str, list[str]] = {}
    counted = parts(view)
    for (kind, verb), count in sorted(counted.items()):
        word = {"dropped": "drops", "revoked": "revokes", "altered": "alters"}.get(verb, "creates")
        verbs.setdefault(word, []).append(number(count, kind))
    said = [f"{verb} {', '.join(what)}" for verb, what in verbs.items()]
    rows = sum(d.lost_count + d.added_count + d.changed_count for d in view.rows or ())
    said += [f"writes {number(rows, 'row')}"] if rows else []
    return "; ".join(said).capitalize() or "Changes nothing"


def _risk(judged: Judged) -> str:
    lost = [f for f in judged.findings if f.rule in LOSSES and not f.preexisting]
    if not lost:
        return "✅ None"
    waived = "; waived" if any(f.waived for f in lost) else ""
    return f"⚠️ {max(lost, key=lambda f: f.severity.rank).severity.upper()} ({md.text(words.rule_list(lost))}{waived})"


def _unsafe(judged: Judged) -> str:
    grave = words.failing(judged) or [f for f in judged.findings if f.waived is not None]
    advice = _brief(told.recommendations(facts(grave))) or _untried(judged)
    if judged.rollback_safe is None:
        why = told.not_run(judged, judged.trial.down, down=True) or "the rollback was not observed"
        return md.row(told.name(judged), _type(judged), UNTESTED, md.text(why), md.text(advice))
    issues = [f for f in grave if f.phase != "up"] or grave
    worst = max((f.severity for f in issues), key=lambda s: s.rank, default=Severity.HIGH)
    risk = "❌ HIGH" if worst.rank >= Severity.HIGH.rank else f"⚠️ {worst.upper()}"
    return md.row(told.name(judged), _type(judged), risk, _issue(issues), md.text(advice))


def _untried(judged: Judged) -> str:
    """What to do about one on which nothing was found, for it could not be tried."""
    missing = judged.trial.error.partition(",")[0].removeprefix("needs ")
    if judged.trial.error.startswith("needs "):
        return f"Mend {missing} first; then this one can be tested"
    return "Remove what stood in the way, and test it again"


def _brief(advice: Sequence[str]) -> str:
    """What to do, without the SQL in brackets: that stands with the migration and under the critical actions."""
    return "; ".join(dict.fromkeys(_SQL_BESIDE.sub("", a).rstrip(".") for a in advice))


_SQL_BESIDE = re.compile(rf" \({SPAN.pattern}(?:, [^()`]*)?\)", re.DOTALL)


def _issue(issues: list[Finding]) -> str:
    waived = f" (waived: {issues[0].waived})" if issues and issues[0].waived is not None else ""
    return md.text(f"{words.rule_list(issues)}{waived}")


def _kind_text(report: Report, kind: Kind) -> str:
    """How many migrations of a kind there were and how many came back."""
    mine = [m for m in report.migrations if m.kind is kind]
    if not mine:
        return f"**{kind.value.capitalize()} migrations**: none in this run."
    safe = sum(m.rollback_safe is True for m in mine)
    unknown = sum(m.rollback_safe is None for m in mine)
    rest = f", {unknown:,} not tested" if unknown else ""
    return f"**{kind.value.capitalize()} migrations**: {len(mine):,} in this run, {safe:,} safe to roll back{rest}."


# --- retries ----------------------------------------------------------------------------------------------------------


def retries(report: Report) -> str:
    if not report.retries:
        if report.status is Status.PASSED:
            return "No auto-retry needed - all integrity checks passed on first attempt"
        if not report.trace.retried:
            return "No auto-retry used - it is switched off ([retry] attempts = 0)"
        if any(m.status is Status.ERROR for m in report.migrations):
            return "No auto-retry used - trying again would not help what kept migrations from being tested"
        return "No auto-retry used - no trial failed for a reason outside its migration"
    lines = [f"**Retry Attempts**: {len(report.retries)}", "", "**Strategies Used**:"]
    for place, retry in enumerate(report.retries, 1):
        outcome = "✅ Succeeded" if retry.succeeded else "❌ Failed"
        lines.append(f"{place}. {md.code(retry.strategy)}: {outcome} (attempt {retry.attempt})")
        lines += [f"   - {x}" for x in _retried(report, retry)]
    attempts = number(len(report.retries), "retry")
    return "\n".join([*lines, "", f"**Final Status**: {report.status.upper()} (after {attempts})"])


def _retried(report: Report, retry: Retry) -> Iterator[str]:
    """What was done and what came of it, in the template's words; why, and after how long, behind them."""
    yield from (md.start(a) for a in words.actions(report, retry))
    if retry.succeeded and (outcome := _came_of(report, retry)):
        yield outcome
    where = f"migration {md.code(retry.migration)}" if retry.migration else "the seed"
    yield f"Retried for {where}: {md.text(retry.reason)}"
    if retry.pause_s:
        yield f"Waited {retry.pause_s:g} s"


def _came_of(report: Report, retry: Retry) -> str:
    """Of a seed's repair, what its migrations came to: where it was loaded, that may be one that is not under test."""
    own = next((m.status for m in report.migrations if m.migration.id == retry.migration), None)
    status = report.status if own in (None, Status.SKIPPED) else own
    if status is Status.PASSED:
        clean = " after clean slate" if retry.strategy == "reset-test-db" else ""
        fixed = retry.strategy == "fix-seed-data"
        return "Migration integrity checks now pass" if fixed else f"Migration test passed{clean}"
    if status is Status.FAILED:
        done = "The rows can be used now" if retry.strategy == "fix-seed-data" else "The migration was carried out"
        return f"{done}; what was found stays: no verdict on data is retried"
    return ""


# --- performance ------------------------------------------------------------------------------------------------------


def performance(report: Report) -> dict[str, str]:
    tried = [m for m in report.migrations if m.trial.up.executed]
    return {
        "table": "\n".join(_timed(m) for m in tried) or md.row("None", "", "", "", ""),
        "locks": _lock_text(tried),
        "advice": md.bullets(_advice(tried, report.environment.engine)),
    }


def _timed(judged: Judged) -> str:
    up, down = (_time(s) for s in (judged.trial.up, judged.trial.down))
    return md.row(told.name(judged), up, down, _locked(judged), impact(judged))


def _time(step: Step) -> str:
    return words.duration(step.duration_ms) if step.executed else "not run"


def _locked(judged: Judged) -> str:
    steps = [s for s in (judged.trial.up, judged.trial.down) if s.executed]
    tables = md.codes(dict.fromkeys(x.table for x in _locks(judged)), 8)
    if not tables and any(s.locks_observed is Observed.NOT_OBSERVED for s in steps):
        return "not observed"
    sampled = " (sampled)" if any(s.locks_observed is Observed.SAMPLED for s in steps) else ""
    return f"{tables or 'none'}{sampled}"


def _locks(judged: Judged) -> list[Lock]:
    steps = (judged.trial.up, judged.trial.down)
    found = [x for s in steps for statement in s.statements for x in statement.locks]
    return sorted(found, key=lambda x: x.table)


def impact(judged: Judged) -> str:
    """``✅ LOW (<1s, measured)``, ``❌ HIGH (4.0min, predicted)``; LOW is never said of what was not timed."""
    if judged.impact_basis == "not tested":
        return "⚠️ NOT KNOWN (up failed)" if judged.trial.up.error else "⚠️ NOT KNOWN (not tested)"
    if judged.impact is Impact.LOW:
        return f"{IMPACT[judged.impact]} (<1s, {md.text(judged.impact_basis)})"
    longest = max(judged.trial.up.duration_ms, judged.trial.down.duration_ms)
    time = words.duration(judged.predicted_ms or longest)
    return f"{IMPACT[judged.impact]} ({time}, {md.text(judged.impact_basis)})"


def _lock_text(tried: list[Judged]) -> str:
    """How locks were observed, which was held longest, and all that were held by what took a second or longer."""
    lines = []
    for judged in tried:
        if judged.impact is not Impact.LOW:
            locks = {(x.table, x.mode): x for x in sorted(_locks(judged), key=lambda x: x.held_ms or 0)}
            lines += [f"{told.name(judged)}: {_lock(x)}" for x in sorted(locks.values(), key=lambda x: x.table)]
    lines = lines or _longest_lock(tried)
    return "\n".join([f"**Locks**: {_how_seen(tried)}", *(f"- {x}" for x in lines)])


def _how_seen(tried: list[Judged]) -> str:
    """``exact; not observed in up of 0002 (...)``: what holds for most steps first, then the steps that differ."""
    seen: dict[tuple[Observed, str], list[str]] = {}
    for judged in tried:
        for name, step in (("up", judged.trial.up), ("down", judged.trial.down)):
            if step.executed:
                which = f"{name} of {md.code(judged.migration.version)}"
                seen.setdefault((step.locks_observed, step.locks_note), []).append(which)
    if not seen:
        return "not observed"
    (mode, note), *others = sorted(seen, key=lambda how: -len(seen[how]))
    told = [f"{mode}; {md.text(note)}" if note else mode]
    return "; ".join([*told, *(_seen_otherwise(*how, seen[how]) for how in others)])


def _seen_otherwise(mode: Observed, note: str, steps: list[str]) -> str:
    why = f" ({md.text(note.replace('; ', ', '))})" if note else ""
    return f"{mode} in {', '.join(steps[:6])}{words.more(len(steps) - 6)}{why}"


def _longest_lock(tried: list[Judged]) -> list[str]:
    held = [(x, m) for m in tried for x in _locks(m) if x.held_ms]
    if not held:
        return []
    lock, judged = max(held, key=lambda found: found[0].held_ms or 0)
    held_for = words.duration(lock.held_ms or 0)
    return [f"Held longest: {md.code(lock.table)} {md.text(lock.mode)}, {held_for}, by {told.name(judged)}"]


def _lock(lock: Lock) -> str:
    held = f", held {words.duration(lock.held_ms)}" if lock.held_ms is not None else ""
    return f"{md.code(lock.table)} {md.text(lock.mode)}{held} ({lock.observed})"


_BESIDE = "Fill a new column or table beside the old one in batches, and change over in a later migration"
_ONLINE = "Use online schema change tools (pt-online-schema-change, gh-ost)"
_INSTEAD_OF_A_REWRITE = {"mysql": _ONLINE, "mariadb": _ONLINE}
"""Those tools read MySQL's binary log or set up its triggers; they know no other server."""


def _advice(tried: list[Judged], engine: str) -> Iterator[str]:
    """The template's advice, each sentence where it applies to what was observed."""
    high = [told.name(m) for m in tried if m.impact is Impact.HIGH and not m.trial.up.error]
    slow = [m for m in tried if m.impact is not Impact.LOW and not m.trial.up.error]
    if high:
        yield f"Migrations with HIGH impact should be run during maintenance window: {', '.join(high)}"
    writing = [told.name(m) for m in slow if any(d.changed or d.lost_count for d in m.trial.up_changes)]
    if writing:
        yield f"Consider batching updates for large tables: {', '.join(writing)}"
    rewritten = dict.fromkeys(t for m in tried for s in m.trial.up.statements for t in s.rewrites)
    if rewritten:
        were = "was" if len(rewritten) == 1 else "were"
        yield f"{_INSTEAD_OF_A_REWRITE.get(engine, _BESIDE)}: {md.codes(rewritten)} {were} rewritten"
    if not slow and not rewritten:
        yield "None: no migration that was tried took a second or longer" if tried else "None: nothing was tried"


# --- zero downtime ----------------------------------------------------------------------------------------------------


def zero_downtime(report: Report) -> str:
    high = [m for m in report.migrations if (m.impact is Impact.HIGH and m.trial.up.executed) or m.plan]
    if not high:
        return _none_high([m for m in report.migrations if m.trial.up.executed])
    lines = [f"**High-Impact Migrations Detected**: {len(high)}"]
    if any(m.plan for m in high):
        lines += ["", "**Recommended Approach** (for zero-downtime):"]
    for judged in high:
        lines += ["", f"{told.name(judged)}:{'' if judged.plan else _no_plan(judged)}"]
        lines += [x for i, phase in enumerate(judged.plan, 1) for x in ("", _phase(i, phase.title), *_body(phase))]
    if any(m.plan for m in high):
        lines += ["", "**Benefits**:", md.bullets(_benefits(high))]
    return "\n".join(lines)


def _no_plan(judged: Judged) -> str:
    why = f" ({md.text(judged.trial.no_plan)})" if judged.trial.no_plan else ""
    return f" no plan was found{why}; run it in a maintenance window, or split it into the phases of *Best Practices*."


def _none_high(tried: list[Judged]) -> str:
    """What was measured instead of a plan."""
    if not tried:
        return "Not known: no migration was tried."
    steps = [(s, way, m) for m in tried for way, s in (("up", m.trial.up), ("down", m.trial.down)) if s.executed]
    step, way, judged = max(steps, key=lambda found: found[0].duration_ms)
    time = f"The longest step was {way} of {told.name(judged)}: {words.duration(step.duration_ms)}"
    rows = sum(t.rows for t in judged.trial.before.tables) if judged.trial.before else 0
    return f"No high-impact migration was detected. {time}, in a database of {number(rows, 'row')}."


def _phase(place: int, title: str) -> str:
    return f"### Phase {place}: {md.text(title)}"


def _body(phase: PlanPhase) -> Iterator[str]:
    yield md.fence(phase.sql)
    yield from (f"- {md.start(n)}" for n in phase.notes)
    if phase.rollback:
        yield f"- Rollback of this phase: {md.code(words.shorten(words.line(phase.rollback), 300))}"


def _benefits(high: list[Judged]) -> Iterator[str]:
    for judged in high:
        back = sum(bool(p.rollback) for p in judged.plan)
        if judged.plan:
            yield f"{told.name(judged)}: {back} of {number(len(judged.plan), 'phase')} can be rolled back independently"


# --- what to do -------------------------------------------------------------------------------------------------------


def actions(report: Report) -> str:
    """Every cause that must be fixed, numbered; the template's sentence where there is none."""
    notes = [f"- Note: {md.text(n)}" for n in report.notes]
    found = [_action(i, b, report) for i, b in enumerate(report.blockers, 1)]
    return "\n\n".join([*(found or [_no_action(report)]), *(["\n".join(notes)] if notes else [])])


def _no_action(report: Report) -> str:
    if report.status is Status.ERROR:
        return "⚠️ No critical issue was found in what was tested - what could not be tested is not proven safe"
    if report.status is Status.PASSED and report.summary.rollback_safe:
        return "✅ No critical issues - all migrations are safe and reversible"
    return "✅ No critical issues in what was tested - the rollback was not proven (see Not Verified)"


def _action(place: int, blocker: Blocker, report: Report) -> str:
    fact = Fact(blocker.findings[0], blocker.findings[1:])
    judged = next((m for m in report.migrations if m.migration.id == blocker.migration), None)
    named = f"{judged.migration.version} {judged.migration.name}" if judged else blocker.migration
    at = f" ({words.place(fact.main)})" if fact.main.table else ""
    lines = [f"{place}. **{_deed(fact)} {md.text(named + at)}**:"]
    lines += [f"   - Root cause: {md.text(words.bare(c))}" for c in fact.causes or ("not determined",)]
    lines.append(f"   - Impact: {md.text(fact.main.message)}")
    lines += [f"   - Fix: {md.text(r)}" for r in fact.recommendations]
    return "\n".join(lines)


def _deed(fact: Fact) -> str:
    rules = {f.rule for f in fact.findings}
    if fact.main.rule in ROLLBACK:
        return "Add missing rollback logic to migration"
    if rules & {"rows-lost", "values-lost"}:
        return "Fix data loss in migration"
    if rules & told.DATA:
        return f"Resolve data integrity issues ({words.title(fact.main.rule).lower()}) in migration"
    return DEEDS.get(fact.main.rule, f'Resolve "{words.title(fact.main.rule).lower()}" in migration')
