"""The report as one page for a browser: no scripts, nothing from elsewhere, light and dark. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from seatrial import prose
from seatrial.facts import Fact, facts
from seatrial.model import Blocker, Finding, Impact, Judged, Lock, Report, Status, Step
from seatrial.reporters import sent, words
from seatrial.reporters.changes import StepView, TableView, down_view, up_view
from seatrial.reporters.page import environment

if TYPE_CHECKING:
    from jinja2 import Template

MARKS = {Status.PASSED: "✓", Status.FAILED: "✗", Status.ERROR: "!", Status.SKIPPED: "–"}  # in every font, coloured
TONES = {Status.PASSED: "good", Status.FAILED: "bad", Status.ERROR: "warn", Status.SKIPPED: "soft"}
STATEMENTS = 60
KEYS = 50
CHANGES = 20
TABLES = 200


def render(report: Report) -> str:
    """The report as one self-contained HTML page."""
    return _template().render(_values(report))


@cache
def _template() -> Template:
    pages = environment(autoescape=True, finalize=_shown)
    pages.filters["prose"] = _prose
    return pages.get_template("report.html.j2")


def _prose(text: str) -> Markup:
    """A sentence of a finding: what stands between backticks is code."""
    parts = enumerate(prose.parts(words.visible(text)))
    shown = (Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in parts)
    return Markup("").join(shown)


def _shown(value: Any) -> Any:
    """Control characters and broken UTF-8 as escapes, in every text that goes in."""
    return words.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _values(report: Report) -> dict[str, Any]:
    found = report.environment
    chosen = [m for m in report.migrations if m.status is not Status.SKIPPED]
    return {
        "report": report,
        "mark": MARKS[report.status],
        "tone": TONES[report.status],
        "engine": words.engine(found.engine),
        "size": f"{found.size_bytes / 1e6:.2f} MB",
        "unusual_storage": words.unusual_storage(found),
        "tiles": list(_tiles(report)),
        "next_action": words.next_action(report),
        "blockers": [_blocker(i, b, chosen) for i, b in enumerate(report.blockers, 1)],
        "migrations": [_migration(i, m, report.blockers) for i, m in enumerate(chosen, 1)],
        "skipped": [m.migration for m in report.migrations if m.status is Status.SKIPPED],
        "not_verified": words.not_verified(report),
        "actions": partial(words.actions, report),
    }


def _tiles(report: Report) -> Iterable[tuple[str, str, str]]:
    """Label, figure, and whether it is good, bad or neither."""
    summary = report.summary
    yield "tested", f"{summary.tested} of {summary.total}", ""
    yield "passed", f"{summary.passed}", "good" if summary.passed else ""
    yield "failed", f"{summary.failed}", "bad" if summary.failed else ""
    corrupted = "yes" if summary.data_corruption else "no" if summary.tested else "not tested"
    yield "data corruption", corrupted, {"yes": "bad", "no": "good"}.get(corrupted, "warn")
    unknown = "not verified" if summary.tested else "not tested"
    safe = {True: "yes", False: "no", None: unknown}[summary.rollback_safe]
    yield "rollback safe", safe, {"yes": "good", "no": "bad"}.get(safe, "warn")
    yield "not verified", f"{len(words.not_verified(report))}", "warn" if words.not_verified(report) else ""


def _blocker(number: int, blocker: Blocker, chosen: Sequence[Judged]) -> dict[str, Any]:
    """The fact with the name of its migration and the place of its evidence on the page."""
    place, judged = next(((i, m) for i, m in enumerate(chosen, 1) if m.migration.id == blocker.migration), (0, None))
    return {
        "place": f"b{number}",
        "id": f"m{place}" if judged else "",
        "name": f"{judged.migration.version} {judged.migration.name}" if judged else blocker.migration,
        "fact": _fact(Fact(blocker.findings[0], blocker.findings[1:])),
    }


def _migration(place: int, judged: Judged, blockers: Sequence[Blocker]) -> dict[str, Any]:
    trial = judged.trial
    told = [(f"b{i}", b.findings[0]) for i, b in enumerate(blockers, 1) if b.migration == judged.migration.id]
    return {
        "id": f"m{place}",
        "judged": judged,
        "migration": judged.migration,
        "mark": MARKS[judged.status],
        "tone": TONES[judged.status],
        "why": words.untested(judged),
        "kind": judged.kind.value if judged.kind else "–",
        "safe": {True: "safe", False: "unsafe", None: "not tested"}[judged.rollback_safe],
        "impact": _impact(judged),
        "issues": _issues(judged),
        "facts": [
            _fact(f, next((place for place, main in told if main == f.main), "")) for f in facts(judged.findings)
        ],
        "steps": [_step("Up", trial.up, up_view(trial)), _step("Down", trial.down, down_view(trial))],
        "no_down": judged.migration.no_down,
        "plan": judged.plan,
        "outcomes": words.outcomes(judged),
    }


def _issues(judged: Judged) -> str:
    waived = words.rule_list(f for f in judged.findings if f.waived is not None)
    told = [words.rule_list(words.standing(judged)), f"waived: {waived}" if waived else ""]
    return "; ".join(t for t in told if t) or ("–" if words.untested(judged) else "none")


def _impact(judged: Judged) -> str:
    if judged.impact_basis == "not tested":
        return "not known (up failed)" if judged.trial.up.error else "not tested"
    if judged.impact is Impact.LOW:
        return f"low (<1s, {judged.impact_basis})"
    longest = max(judged.trial.up.duration_ms, judged.trial.down.duration_ms)
    return f"{judged.impact} ({words.duration(judged.predicted_ms or longest)}, {judged.impact_basis})"


def _fact(fact: Fact, above: str = "") -> dict[str, Any]:
    """``above``: the place on the page that has told its cause and its fix already."""
    main = fact.main
    rows, rest = words.key_list(main, KEYS)
    return {
        "title": words.title(main.rule),
        "main": main,
        "above": above,
        "place": words.place(main),
        "severity": fact.severity.value,
        "held": _held(main),
        "rows": rows,
        "more_rows": rest if rows else 0,
        "changes": [
            (words.key(c.key), c.column, words.value(c.old), words.became(main, c)) for c in words.keyed(main)[:CHANGES]
        ],
        "whole_rows": words.whole_rows(main)[:CHANGES],
        "rest": words.rest(main, CHANGES),
        "causes": [words.bare(c) for c in fact.causes],
        "recommendations": fact.recommendations,
        "also": fact.also,
    }


def _held(finding: Finding) -> str:
    """Why a finding is not held against its migration; empty where it is."""
    if finding.waived is not None:
        return f"waived: {finding.waived}"
    return "there before the migration" if finding.preexisting else ""


def _statement(sql: str, times: int) -> str:
    return f"{sql.strip().rstrip(';')};" + (f" -- {times:,} times" if times > 1 else "")


def _step(name: str, step: Step, view: StepView) -> dict[str, Any]:
    found = sent.summary((s.sql for s in step.statements), STATEMENTS)
    tables = [_table(t) for t in view.tables if t.changes or not t.same_rows] if view.before and view.after else []
    return {
        "name": name,
        "step": step,
        "duration": words.duration(step.duration_ms),
        "sql": "\n".join(_statement(*one) for one in found.shown),
        "more": found.more,
        "looks": found.looks,
        "tables": tables[:TABLES],
        "still": len(view.tables) - len(tables) if view.before and view.after else 0,
        "objects": view.objects,
        "locks": [_lock(x) for s in step.statements for x in s.locks][:KEYS],
    }


def _table(table: TableView) -> dict[str, Any]:
    before, after = (f"{s.rows:,}" if s else "–" for s in (table.before, table.after))
    return {"name": table.name, "before": before, "after": after, "changes": ", ".join(table.changes)}


def _lock(lock: Lock) -> str:
    held = f", held {words.duration(lock.held_ms)}" if lock.held_ms is not None else ""
    return f"{lock.table}: {lock.mode}{held} ({lock.observed})"
