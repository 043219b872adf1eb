"""Words that every reporter shares: durations, keys, values, what a rule is called. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from seatrial.facts import UNKNOWN
from seatrial.model import (
    Change,
    Environment,
    Finding,
    Judged,
    Key,
    NotVerified,
    Outcome,
    Report,
    Retry,
    Severity,
    Status,
)
from seatrial.prose import span

LONG = 80  # characters of a value that are shown
WHOLE = 300  # characters of a row that are shown
MANY = 20  # keys that are shown
MOST_ACTIONS = 50  # repairs of one seed that are written out

ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}

TITLES = {
    "anomaly": "Values jumped",
    "backfill-incomplete": "Backfill incomplete",
    "blocks-reads": "Reads had to wait",
    "blocks-writes": "Writes had to wait",
    "breaks-running-app": "Running application breaks",
    "check-violated": "Check violated",
    "collateral-change": "Collateral change",
    "collateral-schema-loss": "Collateral schema loss",
    "column-order-changed": "Column order changed",
    "constraint-unenforced": "Constraint not enforced",
    "conversion-loss": "Conversion loss",
    "down-blocked-by-new-rows": "Rollback blocked by new rows",
    "down-does-nothing": "Rollback does nothing",
    "down-failed": "Rollback failed",
    "down-missing": "No rollback",
    "duplicate-keys": "Duplicate keys",
    "flaky": "Attempts disagreed",
    "half-applied": "Half applied",
    "invalid-index": "Invalid index",
    "invariant-broken": "Invariant broken",
    "lock-queue": "Lock queue",
    "long-running": "Long running",
    "next-insert-fails": "Next insert fails",
    "nondeterministic-up": "Upgrade not deterministic",
    "nulls-in-required": "NULL in a required field",
    "object-renamed": "Object renamed",
    "orphaned-rows": "Orphaned rows",
    "rows-left-behind": "Rows left behind",
    "rows-lost": "Data loss",
    "schema-not-restored": "Schema not restored",
    "storage-growth": "Storage growth",
    "table-rewrite": "Table rewrite",
    "up-failed": "Upgrade failed",
    "up-not-repeatable": "Upgrade not repeatable",
    "values-lost": "Data loss",
    "written-rows-lost": "New rows lost",
}

NEXT = {
    Status.PASSED: "All migrations passed integrity checks - safe to deploy",
    Status.FAILED: "Migration integrity failed - fix {blockers} critical {issues} before deployment",
    Status.ERROR: "Migration integrity is not proven - {untested} could not be tested",
}

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def title(rule: str) -> str:
    """What a rule's finding is called in prose; a rule of a third party by its own name."""
    return TITLES.get(rule, rule.replace("-", " ").capitalize())


def engine(name: str) -> str:
    return ENGINES.get(name, name)


def one_of(table: str) -> str:
    """``order`` for ``orders``; a name of which that is not plain stays as it is (``series``, ``addresses``)."""
    plain = re.search(r"(?i)[a-z]s$", table) and not re.search(
        r"(?i)(ss|us|is|ies|ses|xes|ches|shes|zes|oes|news)$", table
    )
    return table[:-1] if plain else table


def rows_of(count: int, table: str) -> str:
    """``1 order``, ``5 orders``, ``3 rows of person``."""
    if count == 1 and one_of(table) != table:
        return f"1 {one_of(table)}"
    if count != 1 and table[-1:] in ("s", "S"):
        return f"{count:,} {table}"
    return f"{count:,} {'row' if count == 1 else 'rows'} of {table}"


def visible(text: str) -> str:
    """Control characters, line and direction marks and broken UTF-8 as escapes; line ends and tabs stay."""
    return CONTROL.sub(_escape, text.replace("\r\n", "\n"))


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def line(text: str) -> str:
    """The text on one line."""
    return " ".join(visible(text).split())


def shorten(text: str, limit: int = LONG) -> str:
    """The first characters of a long text and how long it is."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def value(text: str | None) -> str:
    """A stored value as people read it: NULL, or the engine's text in quotes."""
    return "NULL" if text is None else f"'{shorten(escaped(text))}'"


def became(finding: Finding, change: Change) -> str:
    """What a value is now; there is none where its column is gone."""
    return "gone with the column" if change.column in finding.gone else value(change.new)


def escaped(text: str) -> str:
    """A stored text on one line with its line ends and tabs to be seen."""
    return visible(text.replace("\r", "\\r")).replace("\n", "\\n").replace("\t", "\\t")


def key(parts: Key) -> str:
    """``17``, or ``(17, a)`` for a composite key."""
    if not parts:
        return "a row without a key"
    shown = [("NULL" if p is None else shorten(escaped(p)) or "''") for p in parts]
    return shown[0] if len(shown) == 1 else f"({', '.join(shown)})"


def key_list(finding: Finding, limit: int = MANY) -> tuple[list[str], int]:
    """The first keys of a finding and how many rows more there are."""
    shown = [key(k) for k in finding.keys[:limit]]
    return shown, max(finding.count, len(finding.keys)) - len(shown)


def more(count: int) -> str:
    return f" and {count:,} more" if count > 0 else ""


def keyed(finding: Finding) -> Sequence[Change]:
    """The changed values of rows that a key names."""
    return [c for c in finding.changes if c.key]


def whole_rows(finding: Finding) -> list[str]:
    """Rows of a table without a key, each by all that it holds: ``gone: x 1, y 'a'``; ``new: ...`` where up or down
    brought it."""
    rows: list[list[Change]] = []
    for change in (c for c in finding.changes if not c.key):
        if not rows or change.column in [c.column for c in rows[-1]]:
            rows.append([])
        rows[-1].append(change)
    return [_whole_row(row, finding) for row in rows]


def _whole_row(row: Sequence[Change], finding: Finding) -> str:
    came = finding.rule == "rows-left-behind" or any(c.new is not None for c in row)
    held = ", ".join(f"{escaped(c.column)} {value(c.new if came else c.old)}" for c in row)
    return f"{'new' if came else 'gone'}: {shorten(held, WHOLE)}"


def rest(finding: Finding, shown: int) -> str:
    """``and 84 more values``, ``and 1 more row``: what a finding holds beside the first ones; empty where nothing."""
    changed, rows = keyed(finding), whole_rows(finding)
    values, whole = len(changed) - shown, (max(finding.count, len(rows)) if rows and not changed else len(rows)) - shown
    told = [f"{n:,} more {what}{'' if n == 1 else 's'}" for n, what in ((values, "value"), (whole, "row")) if n > 0]
    return f"and {', '.join(told)}" if told else ""


def milliseconds(ms: float) -> str:
    return f"{ms:.1f}" if ms < 1000 else f"{ms:.0f}"


def duration(ms: float) -> str:
    """``12.3ms``, ``65.4s``, ``4.0min``: the template's units."""
    if ms < 1_000:
        return f"{ms:.1f}ms"
    return f"{ms / 1_000:.1f}s" if ms < 60_000 else f"{ms / 60_000:.1f}min"


def rule_list(findings: Iterable[Finding]) -> str:
    """``rows-lost (orders), values-lost (orders.total, 2 more columns)``."""
    return ", ".join(dict.fromkeys(f"{f.rule} ({place(f)})" if place(f) else f.rule for f in findings))


def place(finding: Finding) -> str:
    """``orders.status``, ``orders``, or the objects where there is no table."""
    if finding.table is None:
        return ", ".join(finding.objects[:3])
    shown = ", ".join(finding.columns[:3]) + more(len(finding.columns) - 3)
    return f"{finding.table}.{shown}" if shown else finding.table


def bare(cause: str) -> str:
    """A cause behind a label that says already that it is one."""
    return cause.removeprefix("cause ") if cause == UNKNOWN else cause


def failing(judged: Judged) -> list[Finding]:
    """The unwaived findings of HIGH and above that were not there before."""
    return [f for f in standing(judged) if f.severity.rank >= Severity.HIGH.rank]


def standing(judged: Judged) -> list[Finding]:
    """The findings that are neither waived nor older than the migration."""
    return [f for f in judged.findings if f.waived is None and not f.preexisting]


def untested(judged: Judged) -> str:
    """Why a migration was not tried, in words; empty where it was."""
    return judged.trial.error or judged.trial.skipped


def error(judged: Judged) -> str:
    """Why a migration could not be tested, and under which sql_mode where they differ; empty where it could."""
    if len({o.error for o in judged.outcomes}) <= 1:
        return judged.trial.error
    return "; ".join(f"under sql_mode = '{o.sql_mode}': {o.error}" for o in judged.outcomes if o.error)


def outcomes(judged: Judged) -> str:
    """What each sql_mode came to, and which of them is shown; empty where there was only one."""
    told = "; ".join(f"under sql_mode = '{o.sql_mode}': {o.status.value}{_rules(o)}" for o in judged.outcomes)
    shown = next((o.sql_mode for o in judged.outcomes if o.shown), "")
    return f"{told[:1].upper()}{told[1:]}. Up and down are shown as under '{shown}'." if told else ""


def _rules(outcome: Outcome) -> str:
    why = [*outcome.rules, *([outcome.error] if outcome.error else [])]
    return f" ({', '.join(why)})" if why else ""


def not_verified(report: Report) -> tuple[NotVerified, ...]:
    """What was not verified, the migrations that could not be tested among it."""
    known = {(n.migration, n.why) for n in report.not_verified}
    errors = ((m.migration.id, error(m)) for m in report.migrations)
    untold = (
        NotVerified(what="the migration", why=why, migration=migration)
        for migration, why in errors
        if why and (migration, why) not in known
    )
    return (*report.not_verified, *untold)


def next_action(report: Report) -> str:
    """What to do now: the judge's words, else the template's sentence."""
    if report.next_action:
        return report.next_action.lstrip("✅❌⚠️ ")
    blockers = len(report.blockers)
    errors = sum(m.status is Status.ERROR for m in report.migrations)
    said = NEXT.get(report.status, NEXT[Status.ERROR]).format(
        blockers=blockers,
        issues="issue" if blockers == 1 else "issues",
        untested=f"{errors} migration{'' if errors == 1 else 's'}" if errors else "the migrations",
    )
    return said + _but(report)


def _but(report: Report) -> str:
    """What a verdict of safety does not speak of. Locks and times are no matter of integrity."""
    open_points = list(dict.fromkeys(line(d.what) for d in report.not_verified if d.rule != "long-running"))
    if report.status is not Status.PASSED or not open_points:
        return ""
    return f", but for what was not verified: {', '.join(open_points[:3])}{more(len(open_points) - 3)}"


def retry(found: Retry) -> str:
    """``0002: reset-test-db succeeded (attempt 1, after 5 s): the connection was lost``."""
    outcome, waited = (
        "succeeded" if found.succeeded else "failed",
        f", after {found.pause_s:g} s" if found.pause_s else "",
    )
    return f"{found.migration or 'seed'}: {found.strategy} {outcome} (attempt {found.attempt}{waited}): {found.reason}"


def actions(report: Report, found: Retry) -> list[str]:
    """What an attempt did, line by line, of many the first ones; and where the seed that it repaired is."""
    left = len(found.actions) - MOST_ACTIONS
    lines = [*found.actions[:MOST_ACTIONS], *([f"... and {left:,} more, which report.json holds"] if left > 0 else [])]
    files = ", ".join(span(name) for name, _ in report.trace.repaired_seeds)
    if not files or not found.succeeded or found.strategy != "fix-seed-data" or report.redacted:
        return lines
    return [*lines, f"The repaired seed is in {files}"]


_LACKS = {"InnoDB": "", "ndbcluster": "", "ROCKSDB": "no foreign keys"}
"""What a storage engine of MySQL and MariaDB lacks; the others have neither foreign keys nor transactions."""


def unusual_storage(found: Environment) -> list[str]:
    """``MyISAM: hits, logs (no foreign keys, no transactions)`` for each storage engine that lacks something."""
    by_engine: dict[str, list[str]] = {}
    for table, storage in found.storage_engines.items():
        by_engine.setdefault(storage, []).append(table)
    lacks = {e: _LACKS.get(e, "no foreign keys, no transactions") for e in sorted(by_engine)}
    return [f"{e}: {', '.join(by_engine[e])} ({lacks[e]})" for e in lacks if lacks[e]]
