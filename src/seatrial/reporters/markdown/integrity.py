"""The five data integrity checks over the whole run: what was asked, and what each constraint's rows say. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from itertools import accumulate

from seatrial.model import (
    Finding,
    Integrity,
    Judged,
    Report,
    Severity,
    Snapshot,
    Status,
    TableDiff,
    TableRef,
    TableState,
)
from seatrial.reporters import words
from seatrial.reporters.changes import number
from seatrial.reporters.markdown import text as md
from seatrial.reporters.markdown import told
from seatrial.reporters.markdown.detail import FEW, TABLES, not_asked
from seatrial.values import dataclass

QUERIES = 3
HOLDING = 40  # constraints without a violation that are listed one by one


@dataclass(frozen=True, slots=True)
class Check:
    """One kind of constraint."""

    rule: str
    title: str
    purpose: str
    declared: str  # what has to be declared for anything to be asked
    holds: str
    found: str  # how many rows of which table
    keys: str = "{row} IDs"  # what their keys are called; {row}: one of the table's


CHECKS = (
    Check(
        "orphaned-rows",
        "Foreign Key Integrity",
        "Verify all foreign key relationships are maintained",
        "foreign keys",
        "No orphans (0 rows)",
        "{count} orphaned {rows}",
        "Orphaned {row} IDs",
    ),
    Check(
        "duplicate-keys",
        "Unique Constraint Validation",
        "Verify unique constraints are maintained",
        "unique constraints",
        "No duplicates",
        "{count} duplicate {rows}",
        "Duplicate {row} IDs",
    ),
    Check(
        "nulls-in-required",
        "NOT NULL Constraint Validation",
        "Verify no NULL values in required fields",
        "required fields",
        "No NULLs (0 rows)",
        "{count} {rows} with NULL {column}",
    ),
    Check(
        "check-violated",
        "Check Constraint Validation",
        "Verify database check constraints pass",
        "check constraints",
        "All pass",
        "{count} {rows} breaking the check",
    ),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one constraint's rows said at one moment."""

    judged: Judged
    moment: str  # "before up", "after up", "after down"
    integrity: Integrity


@dataclass(slots=True)
class Asked:
    """One constraint with all its answers, in the order of the run."""

    label: str
    answers: list[Answer] = field(default_factory=list)

    @property
    def worst(self) -> Answer:
        return max(self.answers, key=lambda a: a.integrity.count)

    @property
    def blind(self) -> Answer | None:
        return next((a for a in self.answers if not a.integrity.observed), None)


def check_text(report: Report, check: Check, asked: list[Asked]) -> dict[str, str]:
    """Title, purpose, method and results of one of the first four checks."""
    return {
        "title": check.title,
        "purpose": check.purpose,
        "method": _method(asked),
        "results": _results(report, check, asked),
    }


def _shots(judged: Judged) -> Iterator[tuple[str, Snapshot]]:
    trial = judged.trial
    for moment, shot in (("before up", trial.before), ("after up", trial.after_up), ("after down", trial.after_down)):
        if shot is not None:
            yield moment, shot


def _asked(report: Report) -> dict[str, list[Asked]]:
    """By rule. Of an answer that several moments share, the first one is told."""
    found: dict[str, dict[str, Asked]] = {}
    told_of: set[int] = set()
    for judged in report.migrations:
        for moment, shot in _shots(judged):
            for integrity in (i for i in shot.integrity if id(i) not in told_of):
                told_of.add(id(integrity))
                label = _label(integrity)
                answer = Answer(judged, moment, integrity)
                found.setdefault(integrity.rule, {}).setdefault(label, Asked(label)).answers.append(answer)
    return {rule: [by_label[label] for label in sorted(by_label)] for rule, by_label in found.items()}


def _label(integrity: Integrity) -> str:
    """``order_items.order_id → orders.id``, ``users.email``, ``order_items.quantity > 0``."""
    table = str(integrity.table)
    if integrity.expression and (integrity.rule == "check-violated" or not integrity.columns):
        return _condition(table, integrity)
    columns = ", ".join(integrity.columns)
    column = f"{table}.{columns}" if len(integrity.columns) == 1 else f"{table}({columns})"
    if not integrity.references:
        return column if columns else f"{table}: {integrity.object}"
    parent, _, rest = integrity.references.rpartition("(")
    inner = rest.removesuffix(")")
    single = bool(parent) and len(integrity.columns) == 1
    return f"{column} → {f'{parent}.{inner}' if single else integrity.references}"


def _condition(table: str, integrity: Integrity) -> str:
    """``orders.quantity > 0`` where the condition begins with its only column, else ``orders: lo < hi``."""
    bare = integrity.expression
    while bare.startswith("(") and bare.endswith(")") and _is_one(bare[1:-1]):
        bare = bare[1:-1].strip()
    column = integrity.columns[0] if len(integrity.columns) == 1 else ""
    for written in (column, f'"{column}"', f"`{column}`") if column else ():
        rest = bare.removeprefix(written)
        if rest != bare and rest[:1] == " ":
            return f"{table}.{column}{rest}"
    return f"{table}: {integrity.expression}"


def _is_one(text: str) -> bool:
    """Whether no bracket is closed that was not opened in it: those around it belong together."""
    depth = list(accumulate((c == "(") - (c == ")") for c in text))
    return not depth or (min(depth) >= 0 and depth[-1] == 0)


def _method(asked: list[Asked]) -> str:
    """The queries that were really run: those that found something, else the first."""
    told = [a for a in asked if a.worst.integrity.sql]
    queries = [a for a in told if not a.worst.integrity.sql.startswith("--")] or told  # a remark says why there is none
    if not queries:
        return "No query was run."
    chosen = [a for a in queries if a.worst.integrity.count][:QUERIES] or queries[:1]
    texts = [_ended(a.worst.integrity.sql.strip()) for a in chosen]
    rest = len(queries) - len(chosen)
    if rest:
        texts.append(f"-- and likewise for {number(rest, 'more constraint')}")
    return md.fence("\n".join(texts))


def _ended(sql: str) -> str:
    return sql if sql.startswith("--") else sql.rstrip(";") + ";"


def _results(report: Report, check: Check, asked: list[Asked]) -> str:
    if not asked:
        return _nothing_asked(report, check)
    bad = [a for a in asked if a.worst.integrity.count]
    blind = [a for a in asked if a not in bad and a.blind]
    good = [a for a in asked if a not in bad and a not in blind]
    lines = [_bad(check, a) for a in bad]
    lines += [f"{md.code(a.label)}: ⚠️ Not verified ({md.text(a.blind.integrity.why_not)})" for a in blind if a.blind]
    lines += [f"{md.code(a.label)}: ✅ {check.holds}{_inferred(a)}" for a in good[:HOLDING]]
    if len(good) > HOLDING:
        lines.append(f"{number(len(good) - HOLDING, 'more constraint')}: ✅ {check.holds}")
    return md.bullets(lines)


def _nothing_asked(report: Report, check: Check) -> str:
    shots = [s for m in report.migrations for _, s in _shots(m)]
    if not shots:
        return "Not verified: no migration could be tested."
    return not_asked(shots[-1].schema, check.rule, check.declared)


def _inferred(asked: Asked) -> str:
    return " (inferred, not declared)" if asked.worst.integrity.inferred else ""


def _bad(check: Check, asked: Asked) -> str:
    worst = asked.worst
    finding = _finding(worst)
    grave = _grave(finding) if finding else worst.moment != "before up"
    table = str(worst.integrity.table)
    where = f"{md.code(worst.judged.migration.version)}, {worst.moment}"
    found = _found(check, worst.integrity)
    lines = [f"{md.code(asked.label)}: {'❌' if grave else '⚠️'} **{found}** ({where}){_inferred(asked)}"]
    if worst.integrity.keys:
        row = md.text(words.one_of(table))
        keys = check.keys.format(row=row)
        lines.append(f"{keys[:1].upper()}{keys[1:]}: {_keys(worst.integrity)}")
    if finding is not None:
        lines += [f"Likely cause: {md.text(words.bare(c))}" for c in finding.causes[:3]]
        lines.append(f"Severity: {_severity(finding)}")
    elif worst.moment == "before up":
        lines.append("The rows were there before the migration and none after it")
    return "\n  - ".join(lines)


def _found(check: Check, integrity: Integrity) -> str:
    """``3 orphaned sessions``, ``5 products with NULL price``."""
    count, _, rows = words.rows_of(integrity.count, str(integrity.table)).partition(" ")
    columns = ", ".join(integrity.columns)
    return check.found.format(count=count, rows=md.text(rows), column=md.text(columns))


def _keys(integrity: Integrity) -> str:
    shown = [md.code(words.key(k)) for k in integrity.keys[: words.MANY]]
    return ", ".join(shown) + words.more(integrity.count - len(shown))


def _grave(finding: Finding) -> bool:
    return not finding.waived and not finding.preexisting and finding.severity.rank >= Severity.MEDIUM.rank


def _severity(finding: Finding) -> str:
    if finding.waived is not None:
        return f"{finding.severity.upper()} (waived: {md.text(finding.waived)})"
    return finding.severity.upper() + (" (there before the migration)" if finding.preexisting else "")


def _finding(answer: Answer) -> Finding | None:
    """The finding that judged this answer."""
    integrity = answer.integrity
    mine = [f for f in answer.judged.findings if (f.rule, f.table) == (integrity.rule, str(integrity.table))]
    return next((f for f in mine if integrity.object in f.objects), mine[0] if mine else None)


# --- check 5 ----------------------------------------------------------------------------------------------------------


def checksum_text(report: Report) -> dict[str, str]:
    """Method, the checksums at the three moments and the result of the fifth check."""
    sql = report.environment.checksum_sql.rstrip()
    if sql and (others := report.environment.tables - 1) > 0:
        sql += f"\n-- and likewise for {number(others, 'more table')}"
    tested = [m for m in report.migrations if m.trial.before is not None]
    return {
        "method": md.fence(sql) if sql.strip() else "The query was not recorded." if tested else "No query was run.",
        "before": _moment(tested, _before),
        "up": _moment(tested, _after_up),
        "down": _moment(tested, _after_down),
        "result": _result(report),
    }


def _moment(tested: list[Judged], lines: Callable[[Judged, int], list[str]]) -> str:
    few = FEW if len(tested) <= FEW else 0
    if not tested:
        return "No migration could be tested."
    if len(tested) == 1:
        return md.bullets(lines(tested[0], few))
    found = []
    for judged in tested:
        found.append(f"- {told.name(judged)}:")
        found += [f"  - {x}" for x in lines(judged, few)]
    return "\n".join(found)


def _before(judged: Judged, few: int) -> list[str]:
    shot = judged.trial.before
    return _listed(judged, shot, lambda s: "", few) if shot else ["not taken"]


def _after_up(judged: Judged, few: int) -> list[str]:
    shot = judged.trial.after_up
    if shot is None:
        return [f"not taken: {'up failed' if judged.trial.up.error else 'up was not run'}"]
    return _listed(judged, shot, lambda s: f" ({_up_mark(judged, s)})", few)


def _after_down(judged: Judged, few: int) -> list[str]:
    shot = judged.trial.after_down
    if shot is None:
        why = "down failed" if judged.trial.down.error else told.not_run(judged, judged.trial.down, down=True)
        return [f"not taken: {md.text(why)}"]
    return _listed(judged, shot, lambda s: f" ({_down_mark(judged, s)})", few)


def _listed(judged: Judged, shot: Snapshot, mark: Callable[[TableState], str], few: int) -> list[str]:
    """Every table where they are few, else those that changed at any moment; the others are counted."""
    moving = _moving(judged)
    shown = [s for s in shot.tables if s.table in moving or len(shot.tables) <= few]
    lines = [f"{md.code(str(s.table))}: {_sum(s)}{mark(s)}" for s in shown[:TABLES]]
    if shown[TABLES:]:
        lines.append(f"{number(len(shown) - TABLES, 'more changed table')}")
    if rest := len(shot.tables) - len(shown):
        lines.append(f"{number(rest, 'other table' if lines else 'table')}, unchanged throughout")
    return lines or ["there are no tables"]


def _moving(judged: Judged) -> set[TableRef]:
    sums: dict[TableRef, set[str]] = {}
    shots = [s for _, s in _shots(judged)]
    for shot in shots:
        for state in shot.tables:
            sums.setdefault(state.table, set()).add(state.checksum)
    everywhere = [{s.table for s in shot.tables} for shot in shots]
    return {t for t, found in sums.items() if len(found) > 1 or any(t not in e for e in everywhere)}


def _sum(state: TableState) -> str:
    if not state.compared:
        return f"not compared ({md.text(state.why_not)})"
    return md.code(state.checksum if len(state.checksum) <= 8 else f"{state.checksum[:8]}...")


def _up_mark(judged: Judged, state: TableState) -> str:
    before = judged.trial.before.table(state.table) if judged.trial.before else None
    if before is not None and before.checksum == state.checksum:
        return "✅ unchanged"
    mine = [f for f in _corrupting(judged) if f.table == str(state.table) and f.rule in told.STORED]
    if wrong := [f for f in mine if f.phase == "up"]:
        return f"❌ corrupted - {', '.join(dict.fromkeys(f.rule for f in wrong))}"
    if before is None:
        former = next((old for old, new in judged.trial.renames.tables if new == state.table), None)
        return f"✅ expected change - {f'renamed from {md.code(str(former))}' if former else 'the table is new'}"
    touched = [d for d in judged.trial.up_changes if state.table in (d.new_table or d.table, d.table)]
    return f"✅ expected change - {_done_to(touched) or 'definition changed, older columns hold what they held'}"


def _done_to(touched: Sequence[TableDiff]) -> str:
    """What up did to a table's rows: the template's words where it wrote values, else whether it added or removed."""
    done = {
        "data updated": any(d.changed_count for d in touched),
        "rows added": any(d.added_count for d in touched),
        "rows removed": any(d.lost_count for d in touched),
    }
    return ", ".join(words for words, holds in done.items() if holds)


def _down_mark(judged: Judged, state: TableState) -> str:
    before = judged.trial.before.table(state.table) if judged.trial.before else None
    if before is None:
        return "❌ left behind by the rollback"
    if before.checksum == state.checksum:
        return "✅ matches pre-migration"
    wrong = [f for f in _corrupting(judged) if f.table == str(state.table) and f.rule in told.STORED]
    rules = ", ".join(dict.fromkeys(f.rule for f in wrong))
    if any(d.table == state.table for d in judged.trial.down_changes):
        return f"❌ differs from pre-migration{f' - {rules}' if rules else ''}"
    return "⚠️ every compared value matches, the definition differs"


def _corrupting(judged: Judged) -> list[Finding]:
    return [f for f in words.standing(judged) if f.rule in told.CORRUPTION and f.severity.rank >= Severity.HIGH.rank]


def _result(report: Report) -> str:
    if report.summary.data_corruption:
        names = [told.name(m) for m in report.migrations if _corrupting(m)]
        return f"❌ Data corruption detected in {', '.join(names)}" if names else "❌ Data corruption detected"
    if not report.summary.tested:
        return "⚠️ Not verified: no migration could be tested"
    errors = sum(m.status is Status.ERROR for m in report.migrations)
    rest = f" in what was tested; {number(errors, 'migration')} could not be" if errors else ""
    return f"✅ No data corruption detected{rest}"


def checks(report: Report) -> Iterable[dict[str, str]]:
    asked = _asked(report)
    return [check_text(report, c, asked.get(c.rule, [])) for c in CHECKS]
