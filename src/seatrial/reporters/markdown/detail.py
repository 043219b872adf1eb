"""The detailed section of one migration: what up and down did, and whether all is there again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from seatrial.facts import Fact, facts
from seatrial.model import Attributes, Integrity, Judged, ObjectKey, Phase, Schema, Severity, Snapshot, Step
from seatrial.reporters import sent, words
from seatrial.reporters.changes import StepView, TableView, number, return_view, up_view
from seatrial.reporters.markdown import text as md
from seatrial.reporters.markdown import told
from seatrial.values import dataclass

STATEMENTS = 8
LINES = 12
CHARACTERS = 600
TABLES = 20  # changed ones that are listed
FEW = 10  # tables that are all listed

STORED = (
    ("orphaned-rows", "No orphaned records (foreign key integrity maintained)", "foreign keys"),
    ("nulls-in-required", "No NULL values in required fields", "required fields"),
    ("duplicate-keys", "Unique constraints maintained", "unique constraints"),
    ("check-violated", "Check constraints pass", "check constraints"),
)
"""Rule, what is said where it holds, and what the schema has to declare for it to be asked at all."""


@dataclass(frozen=True, slots=True)
class StepText:
    """The fields of one step's section, as finished Markdown."""

    executed: str
    duration: str
    sql: str
    after: str
    checks: str
    affected: str = ""
    before: str = ""


@dataclass(frozen=True, slots=True)
class Detail:
    """The fields of one migration's section, as finished Markdown."""

    name: str
    version: str
    file: str
    status: str
    description: str
    type: str
    up: StepText
    down: StepText
    safety: str
    causes: str
    recommendations: str
    outcomes: str = ""


def detail(judged: Judged, doubts: frozenset[str] = frozenset()) -> Detail:
    """``doubts``: the rules that could not be judged for this migration."""
    migration = judged.migration
    found = facts(judged.findings)
    standing = tuple(f for f in found if f.main.waived is None and not f.main.preexisting)
    why = words.untested(judged)
    reasons = told.causes(standing)
    return Detail(
        name=md.text(migration.name),
        version=md.text(migration.version),
        file=md.code(migration.path) if migration.path else "none",
        status=judged.status.upper() + (f" ({md.text(why)})" if why else ""),
        description=md.text(migration.description or migration.name),
        type=_type(judged),
        up=_up(judged, found, doubts),
        down=_down(judged, found),
        safety=safety(judged),
        causes=f" {reasons[0]}" if len(reasons) == 1 else "".join(f"\n- {c}" for c in reasons),
        recommendations=md.numbered(told.recommendations(standing)),
        outcomes=md.text(words.outcomes(judged)),
    )


def _type(judged: Judged) -> str:
    if judged.kind is not None:
        return judged.kind.value
    if words.untested(judged):
        return "not tested"
    return "not known (up failed)" if judged.trial.up.error else "none (up changed nothing)"


# --- up ---------------------------------------------------------------------------------------------------------------


def _up(judged: Judged, found: tuple[Fact, ...], doubts: frozenset[str]) -> StepText:
    trial, view = judged.trial, up_view(judged.trial)
    mine = [f for f in found if f.main.phase is Phase.UP]
    return StepText(
        executed=_executed(judged, trial.up, down=False),
        duration=_duration(trial.up),
        sql=sql_summary(trial.up),
        affected=_affected(view),
        before=_some(view, _count_before) if view.before else "Not counted.",
        after=_counts_after(judged, view) if view.after else "Not counted: there is no state after up.",
        checks=md.bullets(_up_checks(judged, view, mine, doubts)) or "Not checked.",
    )


def _executed(judged: Judged, step: Step, *, down: bool) -> str:
    if not step.executed:
        why = told.not_run(judged, step, down=down)
        return f"❌ NO ({md.text(why)})"
    if step.error is None:
        return "✅ YES"
    line = f" (line {step.error.line})" if step.error.line else ""
    return f"❌ FAILED{line}: {md.text(step.error.message)}"


def _duration(step: Step) -> str:
    return f"{words.milliseconds(step.duration_ms)} ms" if step.executed else "not run"


def sql_summary(step: Step) -> str:
    """The statements that the database was given: those of a loop once, long ones shortened, the last ones counted."""
    if not step.executed:
        return "Not run."
    if not step.statements and not _refused(step):
        return "No statement was seen." if step.statements_observed else "What was sent to the database is not known."
    found = sent.summary((s.sql for s in step.statements), STATEMENTS)
    shown = [f"{_statement(sql)}{f' -- {times:,} times' if times > 1 else ''}" for sql, times in found.shown]
    shown += [f"-- ... and {found.more:,} more"] if found.more else []
    shown += [f"-- and {found.looks:,} that only {'look' if found.looks > 1 else 'looks'}"] if found.looks else []
    last = found.shown[-1][0] if found.shown and not found.more else ""
    return md.fence("\n".join([*shown, *_refused(step, last)]))


def _refused(step: Step, last: str = "") -> list[str]:
    """The statement that the database refused, where it is not the last one that is shown anyway."""
    if step.error is None or not step.error.statement:
        return []
    refused = _statement(step.error.statement)
    return [] if _statement(last) == refused else ["-- refused by the database:", refused]


def _statement(sql: str) -> str:
    text = words.shorten(sql.strip().rstrip(";").rstrip(), CHARACTERS)
    lines = text.split("\n")
    if len(lines) > LINES:
        return "\n".join(lines[:LINES]) + f"\n-- ... {len(lines) - LINES} more lines"
    return f"{text};"


def _affected(view: StepView) -> str:
    if view.before is None or view.after is None:
        return "Not compared."
    lines = [md.text(o) for o in view.objects[:TABLES]]
    lines += [f"{number(len(view.objects) - TABLES, 'more object')}"] if len(view.objects) > TABLES else []
    tables = _some(view, lambda t: f"{md.code(t.name)}: {md.text(', '.join(t.changes)) or '0 changes'}", "0 changes")
    return "\n".join([tables, md.bullets(lines)] if lines else [tables])


def _some(view: StepView, tell: Callable[[TableView], str], rest: str = "✅ unchanged") -> str:
    """Every table where they are few, else those that changed; the others are counted."""
    shown = [t for t in view.tables if len(view.tables) <= FEW or t.changes or not t.same_rows]
    lines = [x for t in shown[:TABLES] if (x := tell(t))]
    if shown[TABLES:]:
        lines.append(f"{number(len(shown) - TABLES, 'more changed table')}")
    if others := len(view.tables) - len(shown):
        lines.append(f"{number(others, 'other table')}: {rest}")
    return md.bullets(lines) or "There are no tables."


def _count_before(table: TableView) -> str:
    return f"{md.code(table.name)}: {table.before.rows:,}" if table.before else ""


def _counts_after(judged: Judged, view: StepView) -> str:
    wrong = {f.table for f in judged.findings if f.phase is Phase.UP and f.rule == "collateral-change" and not f.waived}
    return _some(view, lambda t: _count_after(t, t.name in wrong))


def _count_after(table: TableView, wrong: bool) -> str:
    name = md.code(table.name)
    if table.after is None:
        held = table.before.rows if table.before else 0
        return f"{name}: not there any more ({md.text(table.changes[0]) if table.changes else 'gone'}, held {held:,})"
    rows = table.after.rows
    if table.before is None:
        return f"{name}: {rows:,} ({md.text(table.changes[0]) if table.changes else 'new'})"
    if rows == table.before.rows:
        return f"{name}: {rows:,} (✅ unchanged)"
    return f"{name}: {rows:,} ({'❌ ' if wrong else ''}changed by {rows - table.before.rows:+,})"


def _up_checks(judged: Judged, view: StepView, found: list[Fact], doubts: frozenset[str]) -> Iterator[str]:
    if view.after is None:
        yield from (told.block(f) for f in found)
        return
    rest = list(found)
    for rule, holds, declared in STORED:
        yield from _stored(judged, view.after, rule, holds, declared, rest)
    yield _checksums_up(judged, view, doubts)
    yield from (told.block(f) for f in rest)


def _stored(judged: Judged, shot: Snapshot, rule: str, holds: str, declared: str, rest: list[Fact]) -> Iterator[str]:
    """What one rule says about the stored rows; the facts that it tells are taken out of ``rest``."""
    asked = [i for i in shot.integrity if i.rule == rule]
    mine = [f for f in rest if f.main.rule == rule]
    for fact in mine:
        rest.remove(fact)
        yield told.block(fact)
    if not mine and any(i.count for i in asked):
        yield _known(judged, rule, asked)
    if blind := [i for i in asked if not i.observed]:
        yield f"⚠️ Not verified: {md.codes((i.object for i in blind), 5)} ({md.text(blind[0].why_not)})"
    if not asked:
        yield not_asked(shot.schema, rule, declared)
    elif not mine and all(i.observed and not i.count for i in asked):
        yield f"✅ {holds}"


def not_asked(schema: Schema, rule: str, declared: str) -> str:
    """Why no query of a rule was run."""
    if _declared(schema, rule):
        return f"⚠️ Not verified: {declared} are declared, and none was looked at"
    return f"No {declared} are declared in this schema."


def _known(judged: Judged, rule: str, asked: list[Integrity]) -> str:
    """Rows that break a rule without a fact of their own in this section."""
    count = sum(i.count for i in asked)
    told_before = next((f for f in judged.findings if f.rule == rule), None)
    what = f"{number(count, 'row')} under {md.codes((i.object for i in asked if i.count), 5)}"
    if told_before is None:
        return f"⚠️ {words.title(rule)}: {what}"
    grave = told_before.severity.rank >= Severity.HIGH.rank and not told_before.waived
    return f"{'❌' if grave else '⚠️'} {words.title(rule)}: {what}, as found in phase {told_before.phase.value}"


def _declared(schema: Schema, rule: str) -> int:
    """How many constraints of a rule's kind a schema declares."""
    kinds = {"orphaned-rows": "foreign key", "duplicate-keys": "unique", "check-violated": "check"}
    if rule == "nulls-in-required":  # a primary key is asked for by the rule on duplicates, and cannot be NULL
        keys = {(k.owner, c) for k, a in schema.items() if _is_key(k, a) for c in _columns(a)}
        required = (k for k, a in schema.items() if k.kind == "column" and a.get("nullable") is False)
        return sum((k.owner, k.name) not in keys for k in required)
    wanted = kinds[rule]
    return sum(a.get("type") == wanted or k.kind == wanted for k, a in schema.items() if k.kind != "column")


def _is_key(key: ObjectKey, attributes: Attributes) -> bool:
    return "primary key" in (key.kind, attributes.get("type"))


def _columns(attributes: Attributes) -> tuple[str, ...]:
    found = attributes.get("columns")
    return found if isinstance(found, tuple) else ()


def _checksums_up(judged: Judged, view: StepView, doubts: frozenset[str]) -> str:
    wrong = [f for f in judged.findings if f.phase is Phase.UP and f.rule in told.STORED and not f.preexisting]
    if wrong:
        tables = dict.fromkeys(f.table for f in wrong if f.table)
        rules = ", ".join(dict.fromkeys(f.rule for f in wrong))
        mark = "⚠️" if all(f.waived or f.severity.rank < Severity.HIGH.rank for f in wrong) else "❌"
        return f"{mark} Stored data is not what it should be in {md.codes(tables)} ({rules})"
    blind = [t for t in view.tables if (t.after and not t.after.compared)]
    if blind:
        why = blind[0].after.why_not if blind[0].after else ""
        return f"⚠️ Not compared: {md.codes(t.name for t in blind)} ({md.text(why)})"
    changed = [t for t in view.tables if not t.same_rows]
    if not changed:
        return "✅ Data checksums match (no data corruption)"
    if "collateral-change" in doubts:
        return f"⚠️ Not verified whether the migration asked for every change in {md.codes(t.name for t in changed)}"
    still = len(view.tables) - len(changed)
    others = f"; the {'other table' if still == 1 else f'other {still:,} tables'} unchanged" if still else ""
    return f"✅ Data checksums differ only where the migration says so: {md.codes(t.name for t in changed)}{others}"


# --- down -------------------------------------------------------------------------------------------------------------


def _down(judged: Judged, found: tuple[Fact, ...]) -> StepText:
    trial = judged.trial
    view = return_view(trial)
    mine = [f for f in found if f.main.phase is not Phase.UP]
    return StepText(
        executed=_executed(judged, trial.down, down=True),
        duration=_duration(trial.down),
        sql=sql_summary(trial.down),
        after=_counts_back(view) if view.after and view.before else "Not counted: there is no state after down.",
        checks=md.bullets(_down_checks(judged, view, mine)) or "Not checked.",
    )


def _counts_back(view: StepView) -> str:
    return _some(view, _count_back, "✅ restored")


def _count_back(table: TableView) -> str:
    name = md.code(table.name)
    if table.after is None:
        held = table.before.rows if table.before else 0
        return f"{name}: ❌ the table is missing (held {held:,})"
    rows = table.after.rows
    if table.before is None:
        return f"{name}: {rows:,} (❌ left behind, not there before up)"
    if rows == table.before.rows:
        return f"{name}: {rows:,} (✅ restored to {table.before.rows:,})"
    return f"{name}: {rows:,} (❌ {table.before.rows:,} before up)"


def _down_checks(judged: Judged, view: StepView, found: list[Fact]) -> Iterator[str]:
    if view.before is None or view.after is None:
        yield from (told.block(f) for f in found)
        return
    rest = list(found)
    yield _same_counts(view)
    yield _same_data(view)
    yield from _stored(judged, view.after, "orphaned-rows", "No orphaned records", "foreign keys", rest)
    yield from _foreign_keys(view.before.schema, view.after)
    for rule, holds, _ in STORED[1:]:
        if any(i.rule == rule and (i.count or not i.observed) for i in view.after.integrity):
            yield from _stored(judged, view.after, rule, holds, "constraints", rest)
    yield _same_schema(judged, view)
    yield from (told.block(f, counts=_lost_counts(f, view)) for f in rest)


def _same_counts(view: StepView) -> str:
    wrong = [t for t in view.tables if not t.before or not t.after or t.before.rows != t.after.rows]
    if not wrong:
        return "✅ Row counts match pre-migration state"
    shown = [f"{md.code(t.name)} {_rows(t)}" for t in wrong[:TABLES]]
    return f"❌ Row counts differ from pre-migration state: {', '.join(shown)}{words.more(len(wrong) - TABLES)}"


def _rows(table: TableView) -> str:
    before, after = (f"{s.rows:,}" if s else "none" for s in (table.before, table.after))
    return f"{before} → {after}"


def _same_data(view: StepView) -> str:
    differing = [t for t in view.tables if not t.same_rows]
    if not differing:
        return "✅ Data checksums match pre-migration state"
    rows = {d.table for d in view.rows or ()}
    same = [t for t in differing if t.ref not in rows and t.before and t.after and t.before.rows == t.after.rows]
    wrong = [t for t in differing if t not in same]
    if wrong:
        return f"❌ Data checksums differ from pre-migration state: {md.codes(t.name for t in wrong)}"
    return f"⚠️ Every compared value matches; checksums differ with the definition of {md.codes(t.name for t in same)}"


def _foreign_keys(before: Schema, shot: Snapshot) -> Iterator[str]:
    """Whether the foreign keys of before up are all there again; that they hold is told with the orphans."""
    after, broken = shot.schema, [i for i in shot.integrity if i.rule == "orphaned-rows" and i.count]
    keys = {k: a for k, a in before.items() if a.get("type") == "foreign key" or k.kind == "foreign key"}
    wrong = [k for k, a in keys.items() if after.get(k) != a]
    if wrong:
        yield f"⚠️ Foreign keys missing or defined otherwise: {md.codes(k.name for k in wrong)}"
    elif keys and broken:
        yield f"⚠️ {number(len(keys), 'foreign key')} as before up, of which not all hold (orphaned rows, above)"
    elif keys:
        yield f"✅ Foreign key integrity maintained ({number(len(keys), 'foreign key')} as before up)"


def _same_schema(judged: Judged, view: StepView) -> str:
    if not view.differences:
        return "✅ Schema matches pre-migration state"
    rules = ("schema-not-restored", "down-does-nothing")
    grave = any(f.rule in rules and not f.waived and f.severity.rank >= Severity.HIGH.rank for f in judged.findings)
    shown = md.codes((d.key.label for d in view.differences), 10)
    return f"{'❌' if grave else '⚠️'} Schema differs from pre-migration state: {shown}"


def _lost_counts(fact: Fact, view: StepView) -> tuple[int, int] | None:
    """How many rows there were and how many there are, where rows were lost."""
    table = next((t for t in view.tables if t.name == fact.main.table), None)
    if fact.main.rule != "rows-lost" or table is None or table.before is None:
        return None
    return table.before.rows, table.after.rows if table.after else 0


def safety(judged: Judged) -> str:
    """SAFE, UNSAFE or not tested, with what was seen."""
    if judged.rollback_safe is None:
        why = told.not_run(judged, judged.trial.down, down=True) or "the rollback was not observed"
        return f"⚠️ NOT TESTED ({md.text(why)})"
    if not judged.rollback_safe:
        return f"❌ UNSAFE ({_danger(judged)})"
    waived = [f for f in judged.findings if f.waived is not None]
    if waived:
        return f"✅ SAFE (not held against it: {md.text(words.rule_list(waived))}, waived)"
    if not judged.trial.down.executed:
        return "✅ SAFE (up changed nothing, there is nothing to take back)"
    if judged.trial.down_changes:
        return "✅ SAFE (what differs is not held against it, see above)"
    return "✅ SAFE (data fully restored)"


def _danger(judged: Judged) -> str:
    rules = {f.rule for f in judged.findings if f.waived is None and f.phase is not Phase.UP}
    if rules & {"rows-lost", "values-lost"}:
        return "data loss detected"
    if not rules and judged.migration.no_down is not None and not judged.trial.down.executed:
        return f"{md.text(judged.migration.no_down)}; waived"
    grave = [f for f in words.failing(judged) if f.phase is not Phase.UP] or words.failing(judged)
    return ", ".join(dict.fromkeys(words.title(f.rule).lower() for f in grave)) or "see the findings above"
