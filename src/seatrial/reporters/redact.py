"""A report without stored values: keys, counts and names stay. Pure.

An engine's messages quote values (PostgreSQL: ``Key (email)=(a@b.example) already exists``), some drivers write them
into the statement (PyMySQL), and a row of a table without a key is its own key: these are taken out too.
"""

from __future__ import annotations

import re
from dataclasses import replace

from seatrial import prose
from seatrial.model import (
    CastBack,
    ChangeGroup,
    Finding,
    Judged,
    LivedIn,
    NotVerified,
    ProbeResult,
    Report,
    Retry,
    Row,
    Step,
    StepError,
    TableDiff,
    Trial,
)

GONE = "…"
STRING = re.compile(r"'(?:[^'\\]|''|\\.)*'", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.\"`])-?\d+(?:\.\d+)?(?![\w\"`])")
WRITES = re.compile(r"\s*(?:insert|update|delete|replace|merge|with|select|copy|values)\b", re.IGNORECASE)
QUOTED = (
    (re.compile(r"'[^']*'"), f"'{GONE}'"),
    (re.compile(r"(=|contains )\(.*\)", re.DOTALL), rf"\1({GONE})"),  # a value may hold ")": to the last one
    (re.compile(r": \"[^\"]*\""), f': "{GONE}"'),
)


def redact(report: Report) -> Report:
    """The same report with no stored value in it. A report that is redacted already stays as it is."""
    if report.redacted:
        return report
    judged = tuple(_judged(m) for m in report.migrations)
    trials = tuple(_trial(t) for t in report.trace.trials)
    chain = tuple(
        replace(s, down=_step(s.down), changes=tuple(_diff(d) for d in s.changes)) for s in report.trace.chain
    )
    notes = tuple(_not_verified(n) for n in report.trace.not_verified)
    retries = tuple(_retry(r) for r in report.retries)
    keyed = {m.migration.id: _keyed(m.trial) for m in report.migrations}
    return replace(
        report,
        redacted=True,
        migrations=judged,
        trace=replace(
            report.trace,
            trials=trials,
            chain=chain,
            not_verified=notes,
            retries=retries,
            repaired_seed="",
            others=(),
        ),
        blockers=tuple(
            replace(b, findings=tuple(_finding(f, keyed.get(b.migration, set())) for f in b.findings))
            for b in report.blockers
        ),
        retries=retries,
        not_verified=tuple(_not_verified(n) for n in report.not_verified),
    )


def words(text: str) -> str:
    """A message without what an engine quotes in it."""
    for pattern, instead in QUOTED:
        text = pattern.sub(instead, text)
    return prose.SPAN.sub(_told, text)


def _told(found: re.Match[str]) -> str:
    """A statement in a sentence: its numbers may be stored values."""
    return NUMBER.sub(GONE, found[0]) if WRITES.match(prose.bare(found["code"])) else found[0]


def sql(text: str) -> str:
    """A statement without its literals; numbers stay in definitions, where they are sizes."""
    text = STRING.sub(f"'{GONE}'", text)
    return NUMBER.sub(GONE, text) if WRITES.match(text) else text


def _judged(judged: Judged) -> Judged:
    keyed = _keyed(judged.trial)
    findings = tuple(_finding(f, keyed) for f in judged.findings)
    outcomes = tuple(replace(o, error=words(o.error)) for o in judged.outcomes)
    return replace(judged, findings=findings, trial=_trial(judged.trial), outcomes=outcomes)


def _keyed(trial: Trial) -> set[str]:
    """The tables whose rows have a key of their own."""
    shots = (trial.before, trial.after_up, trial.after_down, trial.after_reup)
    states = [t for s in shots if s for t in s.tables]
    return {str(t.table) for t in states if t.key} - {str(t.table) for t in states if not t.key}


def _finding(finding: Finding, keyed: set[str]) -> Finding:
    return replace(
        finding,
        keys=finding.keys if finding.table in keyed else (),
        keys_truncated=finding.keys_truncated or (bool(finding.keys) and finding.table not in keyed),
        changes=(),
        message=words(finding.message),
        causes=tuple(words(c) for c in finding.causes),
        recommendation=words(finding.recommendation),
        sql=sql(finding.sql),
    )


def _trial(trial: Trial) -> Trial:
    return replace(
        trial,
        error=words(trial.error),
        up=_step(trial.up),
        down=_step(trial.down),
        reup=_step(trial.reup),
        rerun=_step(trial.rerun),
        up_changes=_diffs(trial.up_changes),
        down_changes=_diffs(trial.down_changes),
        history_changes=_diffs(trial.history_changes),
        undone=None if trial.undone is None else _diffs(trial.undone),
        reup_changes=_diffs(trial.reup_changes),
        rerun_changes=_diffs(trial.rerun_changes),
        cast_backs=tuple(_cast_back(c) for c in trial.cast_backs),
        probes=tuple(_probe(p) for p in trial.probes),
        lived_in=trial.lived_in and _lived_in(trial.lived_in),
        interruptions=tuple(
            replace(i, changes=_diffs(i.changes), second_up=_step(i.second_up)) for i in trial.interruptions
        ),
        not_verified=tuple(_not_verified(n) for n in trial.not_verified),
        earlier=(),
        faltered=tuple(replace(e, message=words(e.message), statement=sql(e.statement)) for e in trial.faltered),
    )


def _step(step: Step) -> Step:
    statements = tuple(replace(s, sql=sql(s.sql), parameters="", bound="") for s in step.statements)
    return replace(step, statements=statements, error=step.error and _error(step.error))


def _error(error: StepError) -> StepError:
    return replace(error, message=words(error.message), statement=sql(error.statement))


def _diffs(diffs: tuple[TableDiff, ...]) -> tuple[TableDiff, ...]:
    return tuple(_diff(d) for d in diffs)


def _diff(diff: TableDiff) -> TableDiff:
    return replace(diff, lost=_rows(diff, diff.lost), added=_rows(diff, diff.added), changed=_groups(diff))


def _rows(diff: TableDiff, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    return tuple(Row(key=r.key) for r in rows) if diff.key else ()


def _groups(diff: TableDiff) -> tuple[ChangeGroup, ...]:
    return tuple(replace(g, rows=tuple(replace(r, old=(), new=()) for r in g.rows)) for g in diff.changed)


def _cast_back(cast: CastBack) -> CastBack:
    return replace(cast, rows=tuple(replace(r, old=(), new=()) for r in cast.rows))


def _probe(probe: ProbeResult) -> ProbeResult:
    return replace(probe, keys=(), error=words(probe.error), sql=sql(probe.sql))


def _lived_in(lived: LivedIn) -> LivedIn:
    return replace(
        lived,
        written=_diffs(lived.written),
        writes=_step(lived.writes),
        down=_step(lived.down),
        lost=_diffs(lived.lost),
        written_lost=_diffs(lived.written_lost),
    )


def _not_verified(note: NotVerified) -> NotVerified:
    what = note.what
    if what.startswith("`"):  # a statement, perhaps cut off
        marks = what[: len(what) - len(what.lstrip("`"))]
        what = marks + NUMBER.sub(GONE, words(_whole(what.strip("`")))) + marks
    return replace(note, what=what, why=words(note.why))


QUOTED_STATEMENT = re.compile(
    r"\((insert|update|delete|replace|merge|with|select|copy|values)\b.*\)", re.IGNORECASE | re.DOTALL
)


def _retry(retry: Retry) -> Retry:
    reason = QUOTED_STATEMENT.sub(rf"(\1 {GONE})", retry.reason)
    return replace(retry, reason=words(_whole(reason)), actions=tuple(_action(a) for a in retry.actions))


def _whole(text: str) -> str:
    """Without a text that begins in it and was cut off: its quote would be taken for the end of another."""
    return text if text.count("'") % 2 == 0 else text[: text.rindex("'")] + GONE


def _action(action: str) -> str:
    """A row without a key goes by all that it holds: ``t (1, 'a'): left out``."""
    row, colon, done = STRING.sub(f"'{GONE}'", words(_whole(action))).partition(": ")
    table, bracket, _ = row.partition(" (")
    return f"{table} ({GONE}){colon}{done}" if bracket else row + colon + done
