"""report.json: what programs read; its shape is in ``contract``. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast

from seatrial.codec import encode
from seatrial.model import (
    Blocker,
    Environment,
    Finding,
    History,
    Judged,
    NotVerified,
    PlanPhase,
    Report,
    Retry,
    Statement,
    Status,
    Step,
    StepError,
)
from seatrial.reporters import contract as shape
from seatrial.reporters import words
from seatrial.reporters.changes import StepView, TableView, down_view, up_view


def render(report: Report) -> str:
    """The report as JSON text, indented, in the order of the contract."""
    return encode(report_json(report), indent=2).decode() + "\n"


def report_json(report: Report) -> shape.ReportJson:
    """The report as plain values of the published shape."""
    summary = report.summary
    return {
        "format": "seatrial-report/1",
        "seatrial": report.trace.seatrial,
        "generated": report.generated,
        "project": report.trace.project,
        "source": report.trace.source,
        "epic": report.epic,
        "status": _overall(report.status),
        "exit_code": cast(Literal[0, 1, 2], report.exit_code),
        "redacted": report.redacted,
        "summary": {
            "total": summary.total,
            "tested": summary.tested,
            "passed": summary.passed,
            "failed": summary.failed,
            "data_corruption": summary.data_corruption,
            "rollback_safe": summary.rollback_safe,
        },
        "environment": _environment(report.environment),
        "migrations": [_migration(m, report.redacted) for m in report.migrations],
        "blockers": [_blocker(b) for b in report.blockers],
        "next_action": words.next_action(report),
        "retries": [_retry(r) for r in report.retries],
        "not_verified": [_not_verified(n) for n in words.not_verified(report)],
        "notes": list(report.notes),
        "history": _history(report.history),
    }


def _overall(status: Status) -> Literal["passed", "failed", "error"]:
    return cast(Literal["passed", "failed", "error"], "error" if status is Status.SKIPPED else status.value)


def _environment(found: Environment) -> shape.EnvironmentJson:
    return {
        "engine": found.engine,
        "version": found.version,
        "storage_engine": found.storage_engine,
        "storage_engines": dict(found.storage_engines),
        "tables": found.tables,
        "rows": found.rows,
        "size_bytes": found.size_bytes,
        "seed": found.seed,
        "settings": list(found.settings),
    }


def _migration(judged: Judged, redacted: bool) -> shape.MigrationJson:
    migration, trial = judged.migration, judged.trial
    return {
        "id": migration.id,
        "version": migration.version,
        "name": migration.name,
        "path": migration.path,
        "description": migration.description,
        "kind": judged.kind.value if judged.kind else None,
        "status": judged.status.value,
        "rollback_safe": judged.rollback_safe,
        "up": _step(trial.up, up_view(trial)),
        "down": _step(trial.down, down_view(trial)),
        "impact": judged.impact.value,
        "impact_basis": judged.impact_basis,
        "attempts": trial.attempts,
        "error": words.error(judged),
        "skipped": trial.skipped,
        "no_down": migration.no_down,
        "plan": [_phase(p) for p in judged.plan],
        "findings": [_finding(f, redacted) for f in judged.findings],
        "sql_modes": [
            {
                "sql_mode": o.sql_mode,
                "status": o.status.value,
                "rules": list(o.rules),
                "error": o.error,
                "shown": o.shown,
            }
            for o in judged.outcomes
        ],
    }


def _step(step: Step, view: StepView) -> shape.StepJson:
    return {
        "executed": step.executed,
        "duration_ms": step.duration_ms,
        "statements": [_statement(s) for s in step.statements],
        "statements_observed": step.statements_observed,
        "tables": {t.name: _table(t) for t in view.tables} if step.executed else {},
        "objects": list(view.objects) if step.executed else [],
        "error": _error(step.error) if step.error else None,
        "locks_observed": step.locks_observed.value,
        "locks_note": step.locks_note,
    }


def _statement(statement: Statement) -> shape.StatementJson:
    return {
        "sql": statement.sql,
        "duration_ms": statement.duration_ms,
        "rows": statement.rows,
        "locks": [
            {"table": x.table, "mode": x.mode, "held_ms": x.held_ms, "observed": x.observed.value}
            for x in statement.locks
        ],
        "rewrites": list(statement.rewrites),
    }


def _table(table: TableView) -> shape.TableJson:
    return {
        "rows_before": table.before.rows if table.before else None,
        "rows_after": table.after.rows if table.after else None,
        "checksum_before": table.before.checksum if table.before else None,
        "checksum_after": table.after.checksum if table.after else None,
        "changes": list(table.changes),
    }


def _error(error: StepError) -> shape.ErrorJson:
    return {
        "message": error.message,
        "kind": error.kind.value,
        "code": error.code,
        "statement": error.statement,
        "line": error.line,
    }


def _phase(phase: PlanPhase) -> shape.PlanPhaseJson:
    return {"title": phase.title, "sql": phase.sql, "notes": list(phase.notes), "rollback": phase.rollback}


def _finding(finding: Finding, redacted: bool) -> shape.FindingJson:
    found: shape.FindingJson = {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "phase": finding.phase.value,
        "table": finding.table,
        "columns": list(finding.columns),
        "objects": list(finding.objects),
        "count": finding.count,
        "keys": _keys(finding.keys),
        "keys_truncated": finding.keys_truncated,
        "message": finding.message,
        "causes": list(finding.causes),
        "recommendation": finding.recommendation,
        "sql": finding.sql,
        "preexisting": finding.preexisting,
        "inferred": finding.inferred,
        "sql_modes": list(finding.sql_modes),
        "waived": finding.waived,
    }
    if not redacted:
        found["changes"] = [
            {"key": list(c.key), "column": c.column, "old": c.old, "new": c.new} for c in finding.changes
        ]
    return found


def _keys(keys: Iterable[tuple[str | None, ...]]) -> list[shape.Key]:
    return [list(k) for k in keys]


def _blocker(blocker: Blocker) -> shape.BlockerJson:
    main = blocker.findings[0]
    return {
        "migration": blocker.migration,
        "rules": [f.rule for f in blocker.findings],
        "table": main.table,
        "message": main.message,
    }


def _retry(retry: Retry) -> shape.RetryJson:
    return {
        "strategy": retry.strategy,
        "migration": retry.migration,
        "attempt": retry.attempt,
        "reason": retry.reason,
        "succeeded": retry.succeeded,
        "actions": list(retry.actions),
        "pause_s": retry.pause_s,
    }


def _not_verified(note: NotVerified) -> shape.NotVerifiedJson:
    return {"what": note.what, "why": note.why, "migration": note.migration, "rule": note.rule}


def _history(history: History) -> shape.HistoryJson:
    return {
        "previous": [
            {
                "version": e.version,
                "description": e.description,
                "status": e.status,
                "tested": e.tested,
                "engine": e.engine,
            }
            for e in history.previous
        ],
        "total_applied": history.total_applied,
        "last_migration": history.last_migration,
    }
