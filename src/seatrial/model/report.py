"""Findings, verdicts, and all that a report says."""

from __future__ import annotations

from seatrial.model.schema import Key
from seatrial.model.trace import Environment, History, NotVerified, PlanPhase, Retry, Trace, Trial
from seatrial.model.words import Impact, Kind, Migration, Phase, Severity, Status
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    key: Key
    column: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    rule: str
    severity: Severity
    phase: Phase
    message: str  # what happened to which rows, as a colleague would say it
    table: str | None = None
    columns: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()  # those of them that are not there any more
    objects: tuple[str, ...] = ()
    count: int = 0
    keys: tuple[Key, ...] = ()
    keys_truncated: bool = False
    changes: tuple[Change, ...] = ()
    causes: tuple[str, ...] = ()
    recommendation: str = ""
    sql: str = ""
    preexisting: bool = False
    inferred: bool = False
    sql_modes: tuple[str, ...] = ()  # [mysql] sql_modes: those under which it shows; empty: all
    waived: str | None = None  # the waiver's reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one sql_mode came to; ``shown``: steps, rows and times of the report are this one's."""

    sql_mode: str
    status: Status
    rules: tuple[str, ...] = ()
    error: str = ""  # why it could not be tested under this one
    shown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One migration with its verdict."""

    migration: Migration
    kind: Kind | None  # None where up changed nothing, or was not tried
    status: Status
    rollback_safe: bool | None  # None where not tested
    impact: Impact
    impact_basis: str  # "measured", "predicted" (at production size), "not tested"
    findings: tuple[Finding, ...]  # by severity, then rule, table; waived ones too
    trial: Trial
    predicted_ms: float | None = None  # the longer of up and down at production size
    outcomes: tuple[Outcome, ...] = ()  # under each of [mysql] sql_modes

    @property
    def plan(self) -> tuple[PlanPhase, ...]:
        """The zero-downtime way, where there is one."""
        return self.trial.plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    total: int = 0
    tested: int = 0
    passed: int = 0
    failed: int = 0
    data_corruption: bool = False
    rollback_safe: bool | None = None  # None where nothing was tested


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """One cause that stands in the way of deployment: the findings that state it, the main one first."""

    migration: str  # id
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run says: its trace and the judgement of it; everything that a reporter may show."""

    format: str = "seatrial-report/1"
    generated: str = ""  # ISO time
    epic: str | None = None
    status: Status
    exit_code: int
    trace: Trace
    migrations: tuple[Judged, ...] = ()  # in the order of the plan
    summary: Summary = Summary()
    blockers: tuple[Blocker, ...] = ()
    next_action: str = ""  # plain words, without a mark; empty: the template's sentence for the status
    retries: tuple[Retry, ...] = ()
    not_verified: tuple[NotVerified, ...] = ()  # of the run, its trials and its checks, in order, none twice
    history: History = History()
    notes: tuple[str, ...] = ()  # about the judgement itself: an expired or unused waiver
    files: tuple[str, ...] = ()  # where the report was written, for the terminal
    redacted: bool = False  # no stored value stands in it (see reporters.redact)

    @property
    def environment(self) -> Environment:
        return self.trace.environment
