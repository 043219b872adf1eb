"""Findings and tables in Markdown: what every section says about them in the same words. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.facts import UNKNOWN, Fact
from seatrial.model import Finding, Judged, Severity, Status, Step
from seatrial.reporters import words
from seatrial.reporters.markdown import text as md

LOSS = {"rows-lost", "values-lost", "written-rows-lost", "conversion-loss"}
DATA = LOSS | {
    "anomaly", "backfill-incomplete", "check-violated", "collateral-change", "duplicate-keys", "invariant-broken",
    "nulls-in-required", "orphaned-rows", "rows-left-behind", "up-not-repeatable",
}  # fmt: skip
CORRUPTION = {
    "rows-lost", "values-lost", "collateral-change", "conversion-loss",
    "orphaned-rows", "duplicate-keys", "check-violated",
}  # fmt: skip
STORED = {"rows-lost", "values-lost", "collateral-change", "conversion-loss"}
"""Those of them that a checksum shows."""
STATUS = {
    Status.PASSED: "✅ PASS",
    Status.FAILED: "❌ FAIL",
    Status.ERROR: "⚠️ ERROR",
    Status.SKIPPED: "⚠️ SKIPPED",
}
CHANGES = 5


def name(judged: Judged) -> str:
    """``0002 add status`` with its version as code."""
    return f"{md.code(judged.migration.version)} {md.text(judged.migration.name)}".rstrip()


def mark(fact: Fact) -> str:
    """❌ for what fails a migration, ⚠️ for what does not."""
    held = fact.main.waived is None and not fact.main.preexisting
    return "❌" if held and fact.severity.rank >= Severity.HIGH.rank else "⚠️"


def headline(fact: Fact) -> str:
    rules = {f.rule for f in fact.findings}
    if fact.main.rule in LOSS:
        return "Data loss detected"
    if rules & DATA:
        return "Data anomaly detected"
    return words.title(fact.main.rule)


def block(fact: Fact, counts: tuple[int, int] | None = None) -> str:
    """One fact as a list entry: what happened, to which rows, how grave. ``counts``: rows expected and found."""
    lines = [f"{mark(fact)} **{headline(fact)}**: {md.text(fact.main.message)}"]
    return "\n".join([*lines, *(f"  - {x}" for x in _details(fact, counts))])


def _details(fact: Fact, counts: tuple[int, int] | None) -> Iterator[str]:
    main = fact.main
    where = md.code(words.place(main)) if words.place(main) else "the migration"
    yield f"Issue: {main.rule} in {where}, phase {main.phase.value}"
    if counts:
        yield f"Expected: {md.text(words.rows_of(counts[0], main.table or 'rows'))}"
        yield f"Actual: {md.text(words.rows_of(counts[1], main.table or 'rows'))}"
    if main.objects and main.table is not None:
        yield f"Objects: {md.codes(main.objects, 10)}"
    if rows := affected(main):
        lost = f"Lost {md.text(words.one_of(main.table or 'row'))} IDs"
        yield f"{lost if main.rule == 'rows-lost' else 'Affected rows'}: {rows}"
    yield from changed(main)
    yield f"Severity: {severity(fact)}"
    for other in fact.also:
        yield f"Also: {other.rule} ({other.severity.upper()}): {md.text(other.message)}"
        if not set(other.changes) <= set(main.changes):
            yield from changed(other)
    if main.sql and (main.keys or main.rule in DATA):
        yield f"Shown by: {md.code(words.shorten(words.line(main.sql), 300))}"


def severity(fact: Fact) -> str:
    main = fact.main
    if main.waived is not None:
        return f"{fact.severity.upper()} (waived: {md.text(main.waived)})"
    return fact.severity.upper() + (" (there before the migration, not held against it)" if main.preexisting else "")


def affected(finding: Finding) -> str:
    """The keys of the rows, or how many there are where they cannot be named."""
    shown, rest = words.key_list(finding)
    if shown:
        return ", ".join(md.code(k) for k in shown) + words.more(rest)
    if finding.count and finding.rule in DATA:
        return f"{finding.count:,}, which no key names"
    return ""


def changed(finding: Finding) -> Iterator[str]:
    """The first changed values, one a line, and how many more the finding holds."""
    for change in words.keyed(finding)[:CHANGES]:
        whose, column = md.code(words.key(change.key)), md.code(change.column)
        old, new = md.code(words.value(change.old)), words.became(finding, change)
        now = new if change.column in finding.gone else f"is {md.code(new)}"
        yield f"Changed value: row {whose}: {column} was {old}, {now}"
    for row in words.whole_rows(finding)[:CHANGES]:
        what, _, held = row.partition(": ")
        yield f"Row {what}: {md.code(held)}"
    if rest := words.rest(finding, CHANGES):
        yield rest


def not_run(judged: Judged, step: Step, *, down: bool) -> str:
    """Why a step was not run, in words."""
    trial = judged.trial
    if why := words.untested(judged):
        return why
    if down and trial.migration.no_down is not None:
        return trial.migration.no_down
    if down and trial.up.error:
        return "up failed"
    return "not run" if not step.executed else ""


def causes(facts: tuple[Fact, ...]) -> list[str]:
    """Each once; of several facts, the one whose cause is not known is named."""
    several = len(facts) > 1
    unknown = (
        f"{UNKNOWN}: {words.rule_list([f.main])}" if several else UNKNOWN for f in facts if f.causes == (UNKNOWN,)
    )
    known = (c for f in facts for c in f.causes if c != UNKNOWN)
    return list(dict.fromkeys(md.start(c) for c in (*known, *unknown)))


def recommendations(facts: tuple[Fact, ...]) -> list[str]:
    return list(dict.fromkeys(md.start(r) for f in facts for r in f.recommendations))
