"""Workflow commands: annotations that GitHub shows at the migrations' files. Pure.

https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.facts import Fact, facts
from seatrial.model import Judged, Report, Severity, Status
from seatrial.reporters import words

LEVELS = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "notice"}


def render(report: Report) -> str:
    """One command a line: findings by their severity, what was not tested as warnings, retries, the outcome last."""
    lines = [x for m in report.migrations for x in _migration(m)]
    lines += [_command("notice", f"Not verified: {n.what}: {n.why}") for n in words.not_verified(report)]
    lines += [_command("notice", f"Retry: {words.line(words.retry(r))}") for r in report.retries]
    level = {Status.PASSED: "notice", Status.FAILED: "error"}.get(report.status, "warning")
    return "\n".join([*lines, _command(level, words.next_action(report), title="Seatrial")]) + "\n"


def _migration(judged: Judged) -> Iterator[str]:
    file = judged.migration.path
    if judged.status is Status.ERROR:
        yield _command("warning", f"Could not be tested: {words.error(judged)}", file=file)
    for fact in facts(judged.findings):
        held = fact.main.waived is None and not fact.main.preexisting
        level = LEVELS[fact.severity] if held else "notice"
        title = f"{judged.migration.version}: {fact.main.rule}"
        yield _command(level, _message(fact), file=file, line=_line(judged, fact), title=title)


def _line(judged: Judged, fact: Fact) -> str:
    step = judged.trial.down if fact.main.phase == "down" else judged.trial.up
    return str(step.error.line if step.error and step.error.line else 1)


def _message(fact: Fact) -> str:
    waived = [f"Waived: {fact.main.waived}"] if fact.main.waived is not None else []
    parts = [fact.main.message, *waived, *(f"Cause: {words.bare(c)}" for c in fact.causes)]
    return "\n".join([*parts, *(f"Fix: {r}" for r in fact.recommendations)])


def _command(level: str, message: str, **properties: str) -> str:
    given = ",".join(f"{n}={_property(v)}" for n, v in properties.items() if v)
    return f"::{level}{' ' if given else ''}{given}::{_data(message)}"


def _data(text: str) -> str:
    """A message: a line end would begin another command."""
    shown = words.visible(text.replace("\r\n", "\n").replace("\r", "\n"))
    return shown.replace("%", "%25").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
