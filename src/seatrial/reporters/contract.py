"""The shape of report.json, version 1: what programs may rely on. Its JSON Schema is ``docs/report.schema.json``.

Fields are only ever added within version 1; readers ignore those that they do not know.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from seatrial.codec import json_schema

FORMAT = "seatrial-report/1"

Severity = Literal["low", "medium", "high", "critical"]
Phase = Literal["up", "down", "reup", "chain", "lived-in", "interrupted"]
Key = list[str | None]


class ChangeJson(TypedDict):
    """One value that is another: the engine's text, binary as \\x hex, SQL NULL as null."""

    key: Key
    column: str
    old: str | None
    new: str | None


class FindingJson(TypedDict):
    """One thing that is wrong; ``count`` is exact, ``keys`` and ``changes`` are cut where ``keys_truncated``."""

    rule: str
    severity: Severity
    phase: Phase
    table: str | None
    columns: list[str]
    objects: list[str]
    count: int
    keys: list[Key]
    keys_truncated: bool
    changes: NotRequired[list[ChangeJson]]  # absent with --redact
    message: str
    causes: list[str]
    recommendation: str
    sql: str
    preexisting: bool
    inferred: bool
    sql_modes: list[str]  # those under which it shows, where the trials ran under several; empty: all
    waived: str | None


class LockJson(TypedDict):
    """A lock that a statement took; ``held_ms`` until the end of its transaction."""

    table: str
    mode: str
    held_ms: float | None
    observed: Literal["exact", "sampled", "not observed"]


class StatementJson(TypedDict):
    """One statement as the database was given it."""

    sql: str
    duration_ms: float
    rows: int | None
    locks: list[LockJson]
    rewrites: list[str]


class TableJson(TypedDict):
    """One table at both ends of a step; null where it was not there. ``changes`` are words."""

    rows_before: int | None
    rows_after: int | None
    checksum_before: str | None
    checksum_after: str | None
    changes: list[str]


class ErrorJson(TypedDict):
    """What the database said when it refused a statement."""

    message: str
    kind: Literal["migration", "environment", "seed"]
    code: str
    statement: str
    line: int | None


class StepJson(TypedDict):
    """One run of up or down."""

    executed: bool
    duration_ms: float
    statements: list[StatementJson]
    statements_observed: bool
    tables: dict[str, TableJson]
    objects: list[str]  # what belongs to no table: "function f created"
    error: ErrorJson | None
    locks_observed: Literal["exact", "sampled", "not observed"]
    locks_note: str


class PlanPhaseJson(TypedDict):
    """One phase of the zero-downtime way."""

    title: str
    sql: str
    notes: list[str]
    rollback: str


class OutcomeJson(TypedDict):
    """What one of [mysql] sql_modes came to; ``shown``: up and down of this report are this one's."""

    sql_mode: str
    status: Literal["passed", "failed", "error", "skipped"]
    rules: list[str]
    error: str  # why it could not be tested under this one; empty where it could
    shown: bool


class MigrationJson(TypedDict):
    """One migration with its verdict."""

    id: str
    version: str
    name: str
    path: str
    description: str
    kind: Literal["additive", "transformative", "destructive"] | None
    status: Literal["passed", "failed", "error", "skipped"]
    rollback_safe: bool | None
    up: StepJson
    down: StepJson
    impact: Literal["low", "medium", "high"]
    impact_basis: str  # "measured", "predicted"; "not tested": nothing was timed, and impact says nothing
    attempts: int
    error: str
    skipped: str
    no_down: str | None
    plan: list[PlanPhaseJson]
    findings: list[FindingJson]
    sql_modes: list[OutcomeJson]


class SummaryJson(TypedDict):
    """How many of what. ``total`` also counts the migrations that were not selected."""

    total: int
    tested: int
    passed: int
    failed: int
    data_corruption: bool
    rollback_safe: bool | None


class EnvironmentJson(TypedDict):
    """The throwaway database and its rows."""

    engine: str
    version: str
    storage_engine: str | None
    storage_engines: dict[str, str]
    tables: int
    rows: int
    size_bytes: int
    seed: str
    settings: list[str]


class RetryJson(TypedDict):
    """One further attempt at a trial that could not be carried out."""

    strategy: str
    migration: str
    attempt: int
    reason: str
    succeeded: bool
    actions: list[str]
    pause_s: float


class NotVerifiedJson(TypedDict):
    """What could not be checked, and why: never counted as passed."""

    what: str
    why: str
    migration: str
    rule: str


class BlockerJson(TypedDict):
    """One cause in the way of deployment, with the rules that state it."""

    migration: str
    rules: list[str]
    table: str | None
    message: str


class HistoryEntryJson(TypedDict):
    """One earlier migration."""

    version: str
    description: str
    status: str
    tested: str
    engine: NotRequired[str]  # younger than version 1


class HistoryJson(TypedDict):
    """What was applied before."""

    previous: NotRequired[list[HistoryEntryJson]]
    total_applied: NotRequired[int]
    last_migration: NotRequired[str]


class ReportJson(TypedDict):
    """report.json."""

    format: Literal["seatrial-report/1"]
    seatrial: str
    generated: str
    project: str
    source: str
    epic: str | None
    status: Literal["passed", "failed", "error"]
    exit_code: Literal[0, 1, 2]
    redacted: bool
    summary: SummaryJson
    environment: EnvironmentJson
    migrations: list[MigrationJson]
    blockers: list[BlockerJson]
    next_action: str
    retries: list[RetryJson]
    not_verified: list[NotVerifiedJson]
    notes: list[str]
    history: HistoryJson


def schema() -> dict[str, Any]:
    """The JSON Schema that is published as docs/report.schema.json."""
    return {
        **json_schema(ReportJson),
        "$id": "https://json-schema.invalid/seatrial/report-1.json",
        "title": "Seatrial report, version 1",
    }
