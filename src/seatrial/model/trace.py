"""Everything that a run observed."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import field

from seatrial.model.differences import CastBack, ProbeResult, TableDiff
from seatrial.model.held import Snapshot
from seatrial.model.schema import Schema, TableRef
from seatrial.model.steps import ErrorKind, Step, StepError
from seatrial.model.words import Migration, Severity
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NotVerified:
    what: str
    why: str
    migration: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renames:
    """Names that a step followed, of before up -> after up (see sql.intent)."""

    tables: tuple[tuple[TableRef, TableRef], ...] = ()
    columns: tuple[tuple[TableRef, str, str], ...] = ()  # (table before, column before, column after)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPhase:
    """One phase of a zero-downtime plan: expand, backfill, enforce, contract."""

    title: str  # without its number: "Additive Changes (Deploy V1)"
    sql: str
    notes: tuple[str, ...] = ()  # what to deploy with it, what to wait for
    rollback: str = ""  # SQL that takes this phase back


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One migration's up, down, up on one database, observed.

    A is ``before``, B ``after_up``, C ``after_down``, D ``after_reup``.
    """

    index: int  # place in the plan
    migration: Migration
    engine: str
    skipped: str = ""  # why it was not tried (selected out): status skipped
    error: str = ""  # why it could not be tried: status error
    error_kind: ErrorKind = ErrorKind.ENVIRONMENT
    before: Snapshot | None = None
    up: Step = Step(executed=False)
    after_up: Snapshot | None = None
    down: Step = Step(executed=False)
    after_down: Snapshot | None = None
    reup: Step = Step(executed=False)
    after_reup: Snapshot | None = None
    renames: Renames = Renames()
    up_changes: tuple[TableDiff, ...] = ()  # A to B
    down_changes: tuple[TableDiff, ...] = ()  # A to C, by name
    history_changes: tuple[TableDiff, ...] = ()  # A to C: old versions of rows that are gone or changed
    undone: tuple[TableDiff, ...] | None = None  # B to C, by name (down failed: by its renames); None: not compared
    reup_changes: tuple[TableDiff, ...] = ()  # B to D, by name
    cast_backs: tuple[CastBack, ...] = ()
    probes: tuple[ProbeResult, ...] = ()
    rerun: Step = Step(executed=False)  # [interrupt] rerun: up once more without a down between
    rerun_changes: tuple[TableDiff, ...] = ()  # B to what the second up in a row left, also where it failed
    rerun_objects: tuple[str, ...] = ()  # labels of what a second up that failed left otherwise in the schema
    lived_in: LivedIn | None = None
    interruptions: tuple[Interruption, ...] = ()
    plan: tuple[PlanPhase, ...] = ()  # the zero-downtime way, tried: asked for where up is of HIGH impact
    no_plan: str = ""  # why there is none though it was asked for, as a clause
    attempts: int = 1
    earlier: tuple[Trial, ...] = ()  # attempts that something outside cut short, as far as they came
    faltered: tuple[StepError, ...] = ()  # how up failed once when it was applied again, though not the other times
    not_verified: tuple[NotVerified, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LivedIn:
    """Rows written into the new schema as an application would, then down."""

    own: bool  # the project's own [lived_in] rows, else generated
    written: tuple[TableDiff, ...] = ()  # B to B': what the writes did
    writes: Step = Step(executed=False)
    down: Step = Step(executed=False)
    after_down: Snapshot | None = None
    lost: tuple[TableDiff, ...] = ()  # A to what stands after this down, by name
    written_lost: tuple[TableDiff, ...] = ()  # B' to what stands after this down, rows and values that were written


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """The connection cut after a statement of up, and what a second up made of it."""

    after_statement: int  # 1-based
    state: str  # "before", "after", "between"
    objects: tuple[str, ...] = ()
    changes: tuple[TableDiff, ...] = ()
    second_up: Step = Step(executed=False)
    second_up_correct: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainStep:
    """One down on the way from the head to the bottom, compared with what the upward walk held there."""

    migration: str
    down: Step
    schema_then: Schema
    schema_now: Schema
    changes: tuple[TableDiff, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    engine: str
    version: str
    storage_engine: str | None = None  # MySQL and MariaDB: the storage engines of the tables, the commonest first
    storage_engines: Mapping[str, str] = field(default_factory=dict)  # table -> its storage engine
    tables: int = 0
    rows: int = 0
    size_bytes: int = 0
    seed: str = ""
    settings: tuple[str, ...] = ()  # what decides verdicts: "foreign keys are not enforced (dbmate's default)"
    checksum_sql: str = ""  # how a checksum is made, as it was run: the method of the report's fifth check


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """One more attempt at what could not be carried out, and what it came to."""

    strategy: str  # reset-test-db | re-run-migration | fix-seed-data
    migration: str  # id; empty for a seed
    attempt: int  # 1 for the first one after the failure
    reason: str
    succeeded: bool  # it could be carried out; what it then said of the migration is the trial's
    actions: tuple[str, ...] = ()
    pause_s: float = 0.0  # waited before


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    version: str
    description: str
    status: str
    tested: str = ""  # ISO time of the run that said so, empty: applied, never tested
    engine: str = ""  # of that run


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    previous: tuple[HistoryEntry, ...] = ()  # applied before, or tested by an earlier run: newest first
    total_applied: int = 0
    last_migration: str = ""  # ISO date of the newest one, as its version or its file says it; empty: neither does


@dataclass(frozen=True, slots=True, kw_only=True)
class Under:
    """The same trials once more, under another sql_mode."""

    sql_mode: str
    trials: tuple[Trial, ...] = ()
    chain: tuple[ChainStep, ...] = ()
    retries: tuple[Retry, ...] = ()
    not_verified: tuple[NotVerified, ...] = ()
    repaired_seed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A finding that the project accepts until a day."""

    migration: str
    rule: str
    reason: str
    until: datetime.date


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the project's settings say of findings, so that a trace is judged alike where those settings are not."""

    waivers: tuple[Waiver, ...] = ()
    fail_on: Severity = Severity.HIGH
    max_keys: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Everything one run observed."""

    format: str = "seatrial-trace/1"
    seatrial: str = ""
    generated: str = ""  # ISO time
    project: str = ""
    source: str = ""
    epic: str | None = None
    environment: Environment
    trials: tuple[Trial, ...] = ()
    chain: tuple[ChainStep, ...] = ()
    retries: tuple[Retry, ...] = ()
    retried: bool = True  # [retry] attempts is not 0
    repaired_seed: str = ""  # the given seed as SQL, with what fix-seed-data did to it
    not_verified: tuple[NotVerified, ...] = ()
    history: History = History()
    sql_mode: str | None = None  # [mysql] sql_modes: the one of these trials
    others: tuple[Under, ...] = ()  # and the same trials under the other ones
    policy: Policy = Policy()

    @property
    def repaired_seeds(self) -> tuple[tuple[str, str], ...]:
        """File names and contents: one where every sql_mode needs the same repairs."""
        found = dict.fromkeys(sql for sql in (self.repaired_seed, *(u.repaired_seed for u in self.others)) if sql)
        names = ("repaired-seed.sql", *(f"repaired-seed-{n}.sql" for n in range(2, len(found) + 1)))
        return tuple(zip(names, found, strict=False))
