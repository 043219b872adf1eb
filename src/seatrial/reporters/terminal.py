"""The summary on a terminal: what happened to every migration, why it failed, what was not verified. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from rich.cells import cell_len

from seatrial.facts import Fact, facts
from seatrial.model import Finding, Judged, Report, Status, Step
from seatrial.reporters import words
from seatrial.reporters.changes import number
from seatrial.reporters.look import Look

COLOURS = {Status.PASSED: "32", Status.FAILED: "31", Status.ERROR: "33", Status.SKIPPED: "2"}
BOLD, DIM = "1", "2"
CHANGES = 5
ACTIONS = 5  # of a retry that are shown
NARROW = 72  # columns below which a line has no room for the kind


def render(report: Report, look: Look | None = None) -> str:
    """The summary as lines of at most ``look.width`` columns where names allow it."""
    look = look or Look()
    parts = (
        _head(report, look),
        _migrations(report, look),
        _failures(report, look),
        _remarks(report, look),
        _retries(report, look),
        _not_verified(report, look),
        _section("Notes", report.notes, look),
        _section("Reports", report.files, look),
        _end(report, look),
    )
    text = "\n\n".join(t for p in parts if (t := "\n".join(x.rstrip() for x in p).strip("\n"))) + "\n"
    return text.encode("ascii", "replace").decode() if look.ascii else text


def _head(report: Report, look: Look) -> Iterator[str]:
    found = report.environment
    what = " ".join(x for x in ("Seatrial", report.trace.seatrial) if x)
    where = f"{words.engine(found.engine)} {found.version}".strip()
    source = f"{report.trace.project or 'project'} ({report.trace.source})" if report.trace.source else ""
    yield look.paint(words.line(": ".join(x for x in (what, source) if x)), BOLD)
    seed = f"; seed: {found.seed}" if found.seed else ""
    yield words.line(f"{where}, {number(found.tables, 'table')}, {number(found.rows, 'row')}{seed}")
    yield from _wrapped("", "; ".join(found.settings), look)


def _migrations(report: Report, look: Look) -> Iterator[str]:
    """One line each; those that were not selected are counted where they are many."""
    skipped = [m for m in report.migrations if m.status is Status.SKIPPED]
    counted = skipped if len(skipped) > words.MANY else []
    if counted:
        yield look.paint(f"{look.mark(Status.SKIPPED)} {number(len(counted), 'migration')} only applied", "2")
    for judged in report.migrations:
        if judged not in counted:
            yield from _migration(judged, look)


def _migration(judged: Judged, look: Look) -> Iterator[str]:
    name = words.line(f"{judged.migration.version} {judged.migration.name}")
    start = f"{look.mark(judged.status)} "
    times = _times(judged, narrow=look.width < NARROW)
    room = look.width - cell_len(start) - len(times) - 2
    yield look.paint(start, COLOURS[judged.status]) + _fitted(name, max(room, 20)) + "  " + look.paint(times, DIM)
    if judged.trial.error and not judged.outcomes:  # they say it of each mode
        yield from _wrapped("     ", judged.trial.error, look)
    if judged.findings:
        yield from _wrapped("     ", _verdict(judged), look)
    if judged.outcomes:
        yield from _wrapped("     ", words.outcomes(judged), look)


def _fitted(name: str, room: int) -> str:
    """The name padded or cut to so many columns."""
    while cell_len(name) > room:
        name = name[:-2].rstrip("…") + "…"
    return name + " " * (room - cell_len(name))


def _times(judged: Judged, *, narrow: bool) -> str:
    if words.untested(judged):
        return words.line(judged.trial.skipped) or "not tested"
    times = f"up {_time(judged.trial.up):>7}  down {_time(judged.trial.down):>7}"
    return times if narrow else f"{times}  {_kind(judged):14}"


def _kind(judged: Judged) -> str:
    if judged.kind:
        return judged.kind.value
    return "failed" if judged.trial.up.error else "no change"


def _time(step: Step) -> str:
    return words.duration(step.duration_ms) if step.executed else "not run"


def _verdict(judged: Judged) -> str:
    """The rules, those that fail first, each with its severity once."""
    parts = [
        f"{severity.upper()}: {words.rule_list(found)}"
        for severity in ("critical", "high", "medium", "low")
        if (found := [f for f in judged.findings if f.severity == severity and f.waived is None])
    ]
    waived = words.rule_list(f for f in judged.findings if f.waived is not None)
    return "; ".join([*parts, *([f"waived: {waived}"] if waived else [])])


def _failures(report: Report, look: Look) -> Iterator[str]:
    by_id = {m.migration.id: m for m in report.migrations}
    for blocker in report.blockers:
        fact = Fact(blocker.findings[0], blocker.findings[1:])
        head = f"{look.mark(Status.FAILED)} {_where(by_id[blocker.migration], fact.main)}"
        yield from (look.paint(x, "1;31") for x in _wrapped("", head, look))
        yield from _evidence(fact, look)
        yield ""


def _where(judged: Judged, finding: Finding) -> str:
    return f"{words.line(judged.migration.version)}: {_what(finding)}"


def _what(finding: Finding) -> str:
    at = words.line(words.place(finding))
    return f"{finding.rule} ({finding.severity.upper()}, {finding.phase})" + (f" {at}" if at else "")


def _evidence(fact: Fact, look: Look) -> Iterator[str]:
    main = fact.main
    yield from _wrapped("   ", main.message, look)
    shown, rest = words.key_list(main, 10)
    if shown and shown[0] not in main.message:
        yield from _wrapped("     ", f"rows: {', '.join(shown)}{words.more(rest)}", look)
    yield from _changes(main, look)
    told = [f"cause: {words.bare(c)}" for c in fact.causes] + [f"fix: {r}" for r in fact.recommendations]
    for text in told:
        yield from _wrapped("     ", text, look)
    for other in fact.also:
        yield from _wrapped("     ", f"also {other.rule} ({other.severity.upper()}): {other.message}", look)
        if not set(other.changes) <= set(main.changes):
            yield from _changes(other, look)


def _changes(finding: Finding, look: Look) -> Iterator[str]:
    for change in words.keyed(finding)[:CHANGES]:
        old, new = words.value(change.old), words.became(finding, change)
        yield from _wrapped("     ", f"{words.key(change.key)} {change.column}: {old} {look.arrow()} {new}", look)
    for row in words.whole_rows(finding)[:CHANGES]:
        yield from _wrapped("     ", f"row {row}", look)
    if rest := words.rest(finding, CHANGES):
        yield f"     {rest}"


def _remarks(report: Report, look: Look) -> Iterable[str]:
    """What does not fail a migration, one line each; what stays the same from one to the next is told once."""
    found: dict[tuple[str, str], list[str]] = {}
    for judged in report.migrations:
        mine = {f for b in report.blockers if b.migration == judged.migration.id for f in b.findings}
        for fact in facts(f for f in judged.findings if f not in mine):
            said = _what(fact.main), f"{fact.main.message}{_excuse(fact.main)}"
            found.setdefault(said, []).append(words.line(judged.migration.version))
    told = (f"{versions[0]}{_later(len(versions) - 1)}: {': '.join(said)}" for said, versions in found.items())
    return _section("Also seen", told, look)


def _excuse(finding: Finding) -> str:
    waived = f" [waived: {finding.waived}]" if finding.waived is not None else ""
    return waived + (" [there before the migration]" if finding.preexisting else "")


def _later(count: int) -> str:
    return f" and {number(count, 'later migration')}" if count else ""


def _retries(report: Report, look: Look) -> Iterator[str]:
    """Each attempt, and the first things that it did."""
    if report.retries:
        yield look.paint("Retries", BOLD)
    for retry in report.retries:
        yield from _wrapped("  ", words.retry(retry), look)
        for action in retry.actions[:ACTIONS]:
            yield from _wrapped("      ", action, look)
        if (left := len(retry.actions) - ACTIONS) > 0:
            yield f"      and {left:,} more, which the report lists"


def _not_verified(report: Report, look: Look) -> Iterable[str]:
    found = [f"{n.what}{f' ({n.migration})' if n.migration else ''}: {n.why}" for n in words.not_verified(report)]
    return _section("Not verified", found, look)


def _section(name: str, entries: Iterable[str], look: Look) -> list[str]:
    found = [x for e in entries for x in _wrapped("  ", e, look)]
    return [look.paint(name, BOLD), *found] if found else []


def _end(report: Report, look: Look) -> Iterator[str]:
    status = Status.ERROR if report.status is Status.SKIPPED else report.status
    count = len(report.blockers)
    blockers = f", {count} blocker{'' if count == 1 else 's'}" if count else ""
    tested = report.summary.tested
    passed = f"{report.summary.passed} of {tested} tested migrations passed" if tested else "nothing was tested"
    head = f"{look.mark(status)} {status.upper()}, exit code {report.exit_code}: {passed}{blockers}"
    yield from (look.paint(x, f"1;{COLOURS[status]}") for x in _wrapped("", head, look))
    yield from _wrapped("   ", words.next_action(report), look)


def _wrapped(indent: str, text: str, look: Look) -> list[str]:
    """The text on as many lines as it needs, continued a little further in."""
    return textwrap.wrap(
        words.line(text),
        look.width - 1,  # a mark is one character of two columns
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
