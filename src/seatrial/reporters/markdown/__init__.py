"""The report that people read: the template's sections, filled with what was observed. Pure.

``templates/report.md.j2`` is the contract (headings, tables, field labels, in order); everything in it comes as
finished Markdown from the modules here, so that the template escapes nothing and decides nothing.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from seatrial.facts import facts
from seatrial.model import HistoryEntry, Judged, NotVerified, Report, Status
from seatrial.reporters import words
from seatrial.reporters.markdown import analysis, integrity, told
from seatrial.reporters.markdown import text as md
from seatrial.reporters.markdown.detail import detail
from seatrial.reporters.page import environment

if TYPE_CHECKING:
    from jinja2 import Template

UNTESTED = "NOT TESTED"
HISTORY = {"passed": "✅ Passed", "failed": "❌ Failed", "error": "⚠️ Error", "skipped": "⚠️ Skipped"}
EXIT = {Status.PASSED: "✅", Status.FAILED: "❌"}


def render(report: Report) -> str:
    """The report as Markdown: the same report gives the same bytes."""
    return compiled().render(_values(report))


@cache
def compiled() -> Template:
    """The template, ready to be filled."""
    # finished Markdown goes in: HTML escaping would escape it twice
    return environment(autoescape=False, keep_trailing_newline=True).get_template("report.md.j2")


def _values(report: Report) -> dict[str, Any]:
    return {
        "generated": md.text(report.generated),
        "epic": md.text(report.epic) if report.epic else "none given",
        "status": report.status.upper(),
        "summary": report.summary,
        "uncounted": _uncounted(report),
        "corruption": _yes(report.summary.data_corruption) if report.summary.tested else UNTESTED,
        "rollback_safe": _yes(report.summary.rollback_safe, "NOT VERIFIED" if report.summary.tested else UNTESTED),
        "files": "\n".join(_file(m, _doubts(report, m)) for m in _listed(report)) or md.row("None", *[""] * 6),
        "details": [detail(m, _doubts(report, m)) for m in report.migrations if m.status is not Status.SKIPPED],
        "skipped": _skipped(report),
        "checks": integrity.checks(report),
        "checksums": integrity.checksum_text(report),
        "rollback": analysis.rollback(report),
        "retries": analysis.retries(report),
        "performance": analysis.performance(report),
        "zero_downtime": analysis.zero_downtime(report),
        "actions": analysis.actions(report),
        "history": _history(report),
        "environment": _environment(report),
        "not_verified": md.bullets(_not_verified(n) for n in words.not_verified(report))
        or "Nothing was left unverified.",
        "exit_code": report.exit_code,
        "blockers": len(report.blockers),
        "next_action": f"{EXIT.get(report.status, '⚠️')} {md.text(words.next_action(report))}",
    }


def _yes(answer: bool | None, unknown: str = "") -> str:
    return unknown if answer is None else "YES" if answer else "NO"


def _uncounted(report: Report) -> list[tuple[str, int]]:
    """Migrations that neither passed nor failed."""
    counts = [(label, sum(m.status is s for m in report.migrations)) for label, s in UNCOUNTED]
    return [(label, count) for label, count in counts if count]


UNCOUNTED = (("Could Not Be Tested", Status.ERROR), ("Skipped", Status.SKIPPED))


def _doubts(report: Report, judged: Judged) -> frozenset[str]:
    """The rules that could not be judged for a migration."""
    return frozenset(n.rule for n in report.not_verified if n.rule and n.migration == judged.migration.id)


def _listed(report: Report) -> list[Judged]:
    """The migrations of the table: those that were not selected only where they are few."""
    chosen = [m for m in report.migrations if m.status is not Status.SKIPPED]
    return list(report.migrations) if len(report.migrations) - len(chosen) <= words.MANY else chosen


def _skipped(report: Report) -> str:
    names = [f"{m.migration.version} {m.migration.name}" for m in report.migrations if m.status is Status.SKIPPED]
    return f"Not selected, only applied: {md.codes(names)}." if names else ""


def _file(judged: Judged, doubts: frozenset[str]) -> str:
    not_run = "not tried" if judged.trial.skipped else "not run"
    up, down = (words.duration(s.duration_ms) if s.executed else not_run for s in (judged.trial.up, judged.trial.down))
    name = md.text(judged.migration.name) or md.code(judged.migration.id)
    version = md.code(judged.migration.version)
    return md.row(name, version, told.STATUS[judged.status], up, down, _intact(judged, doubts), _issues(judged))


def _intact(judged: Judged, doubts: frozenset[str]) -> str:
    trial = judged.trial
    if any(f.rule in told.CORRUPTION for f in words.failing(judged)):
        return "❌ Corrupted"
    if trial.up.error:
        return "⚠️ Not verified (up failed)"
    if trial.before is None or trial.after_up is None or doubts & told.CORRUPTION:
        return "⚠️ Not verified"
    return "✅ Intact" if trial.after_down else "✅ Intact after up"


def _issues(judged: Judged) -> str:
    if why := words.untested(judged):
        return md.text(why)
    titles = dict.fromkeys(words.title(f.main.rule) for f in facts(words.standing(judged)))
    waived = len([f for f in judged.findings if f.waived is not None])
    return ", ".join([*titles, *([f"{waived} waived"] if waived else [])]) or "None"


def _history(report: Report) -> dict[str, str]:
    history = report.history
    return {
        "previous": md.numbered(_earlier(e, report.environment.engine) for e in history.previous[:5]) or _NO_EARLIER,
        "total": f"{history.total_applied:,}",
        "last": md.text(history.last_migration) or "not known",
    }


_NO_EARLIER = "None came before those under test, and no earlier run of this project is kept."


def _earlier(entry: HistoryEntry, engine: str) -> str:
    """``engine``: of this run; the outcome on another one is told so."""
    status = HISTORY.get(entry.status, md.text(entry.status) or "not tested")
    on = f" (on {md.text(words.engine(entry.engine))})" if entry.engine not in ("", engine) else ""
    return f"{md.code(entry.version)} - {md.text(entry.description) or 'no description'} - {status}{on}"


def _environment(report: Report) -> dict[str, str]:
    found = report.environment
    database = [
        f"Type: {md.text(words.engine(found.engine))}",
        f"Version: {md.text(found.version)}",
        f"Engine: {md.text(found.storage_engine or 'default')}",
        *(f"Tables in {md.text(line)}" for line in words.unusual_storage(found)),
        *(f"Setting: {md.text(s)}" for s in found.settings),
    ]
    data = [f"Tables: {found.tables:,}", f"Total Rows: {found.rows:,}", f"Data Size: {found.size_bytes / 1e6:.2f} MB"]
    return {
        "database": md.bullets(database),
        "data": md.bullets(data),
        "seed": md.code(found.seed) if found.seed else "none given",
    }


def _not_verified(note: NotVerified) -> str:
    where = f" ({md.code(note.migration)})" if note.migration else ""
    return f"{md.start(note.what)}{where}: {md.text(note.why)}"
