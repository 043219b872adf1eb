"""The vocabulary of Seatrial as frozen values and protocols; imports nothing of ours.

Everything that a trial observed is plain data from here (the *trace*), so that checks, judgement and reports are pure
functions of it. Text forms of stored values are the engine's own, read in one fixed session (UTC, ISO dates, full
float digits, binary as ``\\x`` hex); SQL NULL is ``None``.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from seatrial.values import dataclass

Attribute = str | int | bool | None | tuple[str, ...]
Attributes = Mapping[str, Attribute]
Key = tuple[str | None, ...]  # a row's key as text, in key order; the whole row where a table has no key


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class Kind(StrEnum):
    """What a migration did, the worst part deciding."""

    ADDITIVE = "additive"
    TRANSFORMATIVE = "transformative"
    DESTRUCTIVE = "destructive"


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"  # could not be tested
    SKIPPED = "skipped"


class Phase(StrEnum):
    UP = "up"
    DOWN = "down"
    REUP = "reup"
    CHAIN = "chain"
    LIVED_IN = "lived-in"
    INTERRUPTED = "interrupted"


class Impact(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @classmethod
    def of(cls, duration_ms: float) -> Impact:
        """LOW under a second, MEDIUM up to a minute, HIGH above."""
        return cls.LOW if duration_ms < 1_000 else cls.MEDIUM if duration_ms <= 60_000 else cls.HIGH


class Observed(StrEnum):
    """How something was observed."""

    EXACT = "exact"
    SAMPLED = "sampled"
    NOT_OBSERVED = "not observed"


# --- migrations -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One versioned step of a project."""

    id: str
    version: str
    name: str
    path: str  # relative to the project, for people to read
    description: str = ""
    parents: tuple[str, ...] = ()
    no_down: str | None = None  # why there is no way back, in words ("its down is empty"); None where there is one


# --- schema -----------------------------------------------------------------------------------------------------------


class TableRef(NamedTuple):  # a tuple, as ObjectKey: hashed and ordered millions of times in a run
    """A table's raw name; ``namespace`` is empty in the default schema."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}" if self.namespace else self.name


class ObjectKey(NamedTuple):
    """What names a schema object. ``table`` is the raw name of the table that it belongs to, else empty.

    ``kind`` is one of: table, column, constraint (named), primary key / unique / foreign key / check (unnamed; the
    name is then ``table(columns)`` or, for a check, ``table(expression)``), index, sequence, view, materialized view,
    trigger, function, procedure, aggregate, type, domain, extension, policy, row security, grant, event, publication,
    rule, statistics, schema, event trigger, security label ... A grant's name is ``table`` or ``table.column`` (or the
    object's own name where it is on another object); row security's is its table's.
    """

    kind: str
    namespace: str
    table: str
    name: str

    @classmethod
    def of_table(cls, ref: TableRef) -> ObjectKey:
        return cls("table", ref.namespace, "", ref.name)

    @property
    def label(self) -> str:
        """``column orders.status``, ``index orders_idx``, ``table crm.leads``."""
        name = f"{self.table}.{self.name}" if self.kind == "column" else self.name
        return f"{self.kind} {self.namespace}.{name}" if self.namespace else f"{self.kind} {name}"

    @property
    def owner(self) -> TableRef | None:
        """The table that this object belongs to (a table's own key: itself)."""
        name = self.name if self.kind == "table" else self.table
        return TableRef(self.namespace, name) if name else None


class Schema(Mapping[ObjectKey, Attributes]):
    """Every object of a database with its attributes; immutable, in key order.

    Attributes that checks read (an engine adds its own beside them; every one of them takes part in the comparison):

    =============  ===================================================================================================
    table          comment, owner, persistence, options, partition_key, partition_bound, inherits, strict, engine ...
    column         type, nullable, default, identity, generated, collation, charset, comment, auto_increment, on_update;
                   ``position`` (1-based, dense) is compared as an order, never as a value
    constraint     type ("primary key" | "unique" | "foreign key" | "check" | "exclusion"), columns, definition,
    (and unnamed)  validated, enforced; foreign key: references (str of TableRef), referenced_columns, on_delete,
                   on_update, match; check: expression; unique: nulls_not_distinct; ``given_name``, never compared: what
                   the server calls one that was made without a name, less the table's (``ibfk_2``); ``by_type``, never
                   compared: this check is what the server makes of a column's type (MariaDB: JSON)
    index          columns (plain columns only, "" for an expression), unique, predicate, definition, valid
    trigger        definition, enabled; view: definition; function: definition; type: type, labels ...
    grant          privileges (tuple of "grantee: PRIVILEGE[*]")
    database       "settings": what the database keeps of itself (SQLite: user_version, application_id, page_size ...;
                   its ``journal_mode`` is never compared)
    any            not_compared: why what it holds is not compared (it then stands in not_verified)
    =============  ===================================================================================================

    Counters (where a sequence stands) are no attributes: see ``Counter``.
    """

    __slots__ = ("__weakref__", "_columns", "_hash", "_objects", "_owned", "_tables")

    def __init__(self, objects: Mapping[ObjectKey, Attributes] | None = None) -> None:
        """``objects`` and their attributes belong to the schema from now on: nobody changes them any more."""
        self._objects: dict[ObjectKey, Attributes] = {k: (objects or {})[k] for k in sorted(objects or {})}
        self._owned: dict[TableRef, list[ObjectKey]] = {}  # made when asked for, as all that follows from the objects
        self._columns: dict[TableRef, dict[str, Attributes]] = {}
        self._tables: dict[TableRef, None] | None = None
        self._hash: int | None = None

    def __getitem__(self, key: ObjectKey) -> Attributes:
        return self._objects[key]

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: object) -> bool:
        return key in self._objects

    def __eq__(self, other: object) -> bool:
        return self is other or (self._objects == other._objects if isinstance(other, Schema) else NotImplemented)

    def __hash__(self) -> int:
        """Of the keys alone, so that what follows from schemas can be kept by schema."""
        if self._hash is None:
            self._hash = hash(tuple(self._objects))
        return self._hash

    def get(self, key: ObjectKey, default: Any = None) -> Any:
        return self._objects.get(key, default)

    def items(self) -> ItemsView[ObjectKey, Attributes]:
        return self._objects.items()

    def keys(self) -> KeysView[ObjectKey]:
        return self._objects.keys()

    def __repr__(self) -> str:
        return f"Schema({len(self)} objects)"

    def tables(self) -> KeysView[TableRef]:
        """The tables in their order."""
        if self._tables is None:
            found = (TableRef(k.namespace, k.name) for k in self._objects if k.kind == "table")
            self._tables = dict.fromkeys(found)
        return self._tables.keys()

    def columns(self, table: TableRef) -> Mapping[str, Attributes]:
        """The columns of a table in their order."""
        if (known := self._columns.get(table)) is None:
            found = [(k.name, self._objects[k]) for k in self._keys(table) if k.kind == "column"]
            known = self._columns[table] = dict(sorted(found, key=_position))
        return known

    def of(self, table: TableRef) -> dict[ObjectKey, Attributes]:
        """Everything that belongs to a table, itself included."""
        return {k: self._objects[k] for k in self._keys(table)}

    def _keys(self, table: TableRef) -> list[ObjectKey]:
        if not self._owned:
            for key in self._objects:
                owner = TableRef(key.namespace, key.name if key.kind == "table" else key.table)
                self._owned.setdefault(owner, []).append(key)
        return self._owned.get(table, []) if table.name else []


def _position(column: tuple[str, Attributes]) -> int:
    return int(column[1].get("position") or 0)  # type: ignore[arg-type]


# --- what a database held ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """One table at one moment. ``checksum`` is a hex text that differs whenever any stored value differs."""

    table: TableRef
    rows: int
    checksum: str
    key: tuple[str, ...] = ()  # primary key, else a unique not-null key, else empty
    bytes: int | None = None
    compared: bool = True  # False: rows are not compared (``why_not``): a foreign table, a view with rules ...
    why_not: str = ""
    history: int | None = None  # old versions of rows that it keeps; None: a table without system versioning


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A generated key and what it would give next (sequence, identity, AUTO_INCREMENT, rowid alias)."""

    table: TableRef
    column: str
    mechanism: str  # "sequence", "identity", "trigger", "auto_increment", "autoincrement", "rowid", "default ..."
    source: str = ""  # the sequence's label where it has one
    next_value: int | None = None  # None: not known, or it follows the rows (rowid)
    increment: int = 1
    highest: int | None = None  # the value stored in the column that the counter has to keep clear of; None: no rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """What is stored beside tables and belongs to no column: it is compared, but whether a change does harm, nobody can
    say. Either rows that a query gave (``rows``, ``checksum``) or a sequence's next number (``position``)."""

    what: str  # "rows of materialized view totals", "numbers of sequence ticket_no"
    rows: int = 0
    checksum: str = ""
    current: bool | None = None  # whether the query gave the same rows at that moment; None: not known
    position: int | None = None
    increment: int = 1


OFFENDING_KEPT = 20_000
"""Keys of offending rows that a moment keeps at least: those of two moments are told apart by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrity:
    """What one declared (or configured) constraint says about the stored rows, enforced or not."""

    rule: str  # "orphaned-rows" | "duplicate-keys" | "check-violated" | "nulls-in-required"
    object: str  # label of the constraint: "constraint orders_user_fk", "column users.email"
    table: TableRef
    columns: tuple[str, ...]
    references: str = ""  # foreign key: "users(id)"
    expression: str = ""  # check: its condition
    sql: str = ""  # the query that was run; it returns the keys of the offending rows
    count: int = 0
    keys: tuple[Key, ...] = ()  # at most OFFENDING_KEPT, or the limit where that is more; in key order
    observed: bool = True  # False: the query could not be run, ``why_not`` says why
    why_not: str = ""
    inferred: bool = False
    filled: bool | None = None  # inferred: whether any row holds a value there at all; None: not asked
    declared_before: bool = False  # declared by the schema before up only, judged over the rows after down


@dataclass(frozen=True, slots=True, kw_only=True)
class Relationship:
    """A reference that no foreign key declares, as ``[[relationships]]`` names it."""

    table: str  # raw name, ``schema.table`` outside the default schema
    column: str
    references: str  # "users.id", "crm.users.id"

    @property
    def parent(self) -> str:
        return self.references.rpartition(".")[0]

    @property
    def parent_column(self) -> str:
        return self.references.rpartition(".")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a database held at one moment; its rows stay with the ``Database`` under the name ``moment``."""

    moment: str
    schema: Schema
    tables: tuple[TableState, ...] = ()
    counters: tuple[Counter, ...] = ()
    integrity: tuple[Integrity, ...] = ()
    size_bytes: int = 0
    asides: tuple[Aside, ...] = ()  # no part of a trace: what they tell stands in a trial's ``not_verified``
    folds_names: bool = False  # names that differ in nothing but case need not be two (SQLite, MySQL)

    def table(self, ref: TableRef) -> TableState | None:
        return next((t for t in self.tables if t.table == ref), None)


# --- differences ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePair:
    """Which table and columns of an older snapshot to compare with which of a newer one."""

    old: TableRef
    new: TableRef | None  # None: the table is missing
    columns: tuple[tuple[str, str | None], ...]  # (old name, new name); None: the column is missing
    key: tuple[str, ...] = ()  # old names; empty: rows are compared as a multiset


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    key: Key
    values: tuple[str | None, ...] = ()  # in the order of TableDiff.columns


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedRow:
    key: Key
    old: tuple[str | None, ...]  # in the order of the group's columns
    new: tuple[str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeGroup:
    """The rows in which exactly these columns differ; ``count`` is exact, ``rows`` holds the first of them."""

    columns: tuple[str, ...]  # old names, in column order
    count: int
    rows: tuple[ChangedRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDiff:
    """How the rows of one table differ between two snapshots: exact counts, the first rows up to the limit."""

    table: TableRef  # its name in the older snapshot (the newer one's where it is new)
    new_table: TableRef | None = None  # its name in the newer one
    key: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    missing_columns: tuple[str, ...] = ()  # columns that are not there in the newer snapshot
    lost_count: int = 0
    lost: tuple[Row, ...] = ()
    added_count: int = 0
    added: tuple[Row, ...] = ()
    changed: tuple[ChangeGroup, ...] = ()

    @property
    def changed_count(self) -> int:
        return sum(g.count for g in self.changed)

    def __bool__(self) -> bool:
        return bool(self.lost_count or self.added_count or self.changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class CastBack:
    """Rows whose value, converted by up, does not cast back to what it was."""

    table: TableRef
    column: str
    count: int
    rows: tuple[ChangedRow, ...]  # old value and the value that casting back gives (None: no such cast)
    possible: bool = True  # False: there is no cast back at all


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """Rows returned by a query of ours: an invariant, a backfill that is looked at again."""

    name: str
    phase: Phase
    sql: str
    table: TableRef | None = None
    columns: tuple[str, ...] = ()
    count: int = 0
    keys: tuple[Key, ...] = ()  # of the rows that it did not return before up, else of all; at most the limit
    preexisting: int = 0  # how many of the rows it returned before up already
    error: str = ""


# --- steps ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    table: str
    mode: str  # the engine's word: AccessExclusiveLock, SHARED ...
    held_ms: float | None = None  # from the end of the statement that took it to the end of the transaction
    observed: Observed = Observed.EXACT


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement that a step ran, as the database was given it."""

    sql: str
    duration_ms: float = 0.0
    rows: int | None = None
    locks: tuple[Lock, ...] = ()
    parameters: str = ""  # bound values as text, shortened
    bound: str = ""  # ``sql`` with them as literals; empty: none, or not every one can be written so without a change
    rewrites: tuple[str, ...] = ()  # tables that it rewrote
    undone: bool = False  # refused, or taken back with its transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one statement locks and rewrites; ``answered``: the server told, or nobody else can be locked out."""

    answered: bool = False
    locks: tuple[Lock, ...] = ()
    rewrites: tuple[str, ...] = ()


class ErrorKind(StrEnum):
    MIGRATION = "migration"  # the database refused what the migration asked for
    ENVIRONMENT = "environment"  # connection, resources, rights, something missing on the server
    SEED = "seed"


class Disturbance(StrEnum):
    """What outside a migration kept a step from its end, and may be gone the next time."""

    CONNECTION = "connection"  # lost or refused: the server was restarted, a session was ended
    LOCK = "lock"  # waited too long, or was chosen as the victim of a deadlock
    LIMIT = "limit"  # ran longer than a limit allows, or was interrupted
    RESOURCE = "resource"  # disk, memory, too many connections


class Refusal(StrEnum):
    """What the database had against a statement."""

    SYNTAX = "syntax"
    MISSING = "missing"  # it names what is not there
    EXISTING = "existing"  # it makes what is there already
    ROWS = "rows"  # rows, stored or written by it, fit neither a constraint nor a type
    RELIED_ON = "relied on"  # other objects need what it drops or changes
    LOCK = "lock"  # it did not get a lock in time
    TRANSACTION = "transaction"  # it cannot run inside a transaction, or not outside one
    UNCOMMITTED = "uncommitted"  # it uses what has to be committed first


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEnd:
    """How a throwaway server that Seatrial had started itself ended, or cut its sessions off."""

    what: Disturbance  # RESOURCE where its disk was full, else CONNECTION
    words: str  # with its own last ones; a sentence without its end
    advice: str


LOST = "lost"
"""``StepError.code`` where a process or connection was gone without a word of the server's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepError:
    message: str  # the engine's own words
    kind: ErrorKind = ErrorKind.MIGRATION
    code: str = ""  # SQLSTATE, SQLITE_CONSTRAINT_UNIQUE, 1062
    statement: str = ""
    line: int | None = None  # in the migration's file
    about: Refusal | None = None  # None: the engine does not say, or no database refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One run of up or down."""

    executed: bool = True
    duration_ms: float = 0.0
    statements: tuple[Statement, ...] = ()
    error: StepError | None = None
    locks_observed: Observed = Observed.NOT_OBSERVED
    locks_note: str = ""  # why locks were not observed, or only sampled
    statements_observed: bool = True  # False: what the step sent to the database is not known
    in_transaction: bool = False  # the whole step ran in one transaction
    left_off: tuple[str, ...] = ()  # what its connection held at the start and no longer at the end: "foreign keys"
    said: tuple[str, ...] = ()  # what the migration's code asks for and no statement says, as the SQL that would

    @property
    def texts(self) -> list[str]:
        """All that the step says, for whoever asks what it meant."""
        return [*self.said, *(s.bound or s.sql for s in self.statements)]


# --- the trace --------------------------------------------------------------------------------------------------------


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


# --- findings ---------------------------------------------------------------------------------------------------------


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


# --- throwaway databases and what runs migrations in them -------------------------------------------------------------


class Transaction(Enum):
    """How a script reaches the server."""

    ONE = "one transaction around the whole script"
    STATEMENTS = "every statement by itself, in autocommit"
    STRING = "the whole script as one string: on PostgreSQL an implicit transaction where it holds several statements"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """SQL to run on a fresh connection, as a migration tool would send it."""

    text: str
    transaction: Transaction = Transaction.ONE
    session: tuple[str, ...] = ()  # run in autocommit first, not reported
    prologue: tuple[str, ...] = ()  # the tool's bookkeeping before all else, in autocommit; refused: DatabaseError
    epilogue: tuple[str, ...] = ()  # the tool's bookkeeping inside the same transaction, not reported
    first_line: int = 1  # where ``text`` begins in its file


class Question(NamedTuple):
    """What a step's own session is asked before some of its statements."""

    before: str  # which: a regular expression that matches their beginning
    query: str  # of one value, a text


class Watch(Protocol):
    """Observes from outside what the statements of one step lock: those of our own sessions, or of another process."""

    note: str  # how it observes, and what it cannot see
    question: Question | None  # what only the session of a statement can tell

    def before(self, statement: str, session: str, answer: str = "") -> None:
        """A statement is about to run on the server's session of this id; ``answer``: its own to the question."""

    def after(self) -> Observation:
        """What that statement locked, now that it has ended; ``held_ms`` is None where only its duration tells."""

    def close(self) -> None: ...


class Database(Protocol):
    """One throwaway database on one engine, created and marked by Seatrial.

    Moments: ``take`` names what the database holds now and keeps its rows (copies, shadow tables) until ``release``;
    they survive ``restore``. Bookkeeping tables of migration tools (``bookkeeping``) are in no snapshot.
    """

    engine: str
    version: str
    url: str  # how a migration tool reaches it, with its password; stays the same through restore
    bookkeeping: frozenset[str]  # raw names; set by the walk from the source
    limit: int  # how many keys and rows of a kind a diff keeps
    relationships: tuple[Relationship, ...]  # undeclared ones, judged like foreign keys; set by the walk

    def execute(self, *statements: str) -> None:
        """Run statements of ours, each in autocommit. Raises DatabaseError."""

    def query(self, sql: str, *, at: Snapshot | None = None) -> list[tuple[str | None, ...]]:
        """Rows of one query as text, in the fixed session. Raises DatabaseError.

        ``at``: the newest moment; where ``keep`` kept it, that is asked, and else what the database holds now.
        """

    def run(self, script: Script) -> Step:
        """Run a script on a fresh connection and observe it; the database's refusal is in ``Step.error``."""

    def watch(self) -> Watch | None:
        """Who observes the locks of a step that another process runs; None where only that process itself can tell."""

    def errand(self) -> Mapping[str, Any]:
        """What this engine needs a process that runs a step to observe of its files, in its own words; or empty."""

    def heard(self, account: Mapping[str, Any]) -> None:
        """What that process observed in a step that is over, as the engine's own words for it have it."""

    def load(self, text: str) -> StepError | None:
        """Run a seed script (its own BEGIN/COMMIT allowed) with the engine's default session."""

    def loading(self) -> AbstractContextManager[Callable[[str], StepError | None]]:
        """A session as ``load``'s, kept open: what it gives runs one statement, in autocommit where no BEGIN stands."""

    def reaches_outside(self, text: str) -> str:
        """What of a text that a project sends would leave this database, as a sentence without its end; or empty."""

    def inspect(self) -> Schema: ...

    def keep(self, moment: str) -> bool:
        """Keep what the database holds now, so that ``take`` can look at it while others write on; False: it cannot.

        It has to be taken before anything else is kept or taken.
        """

    def take(self, moment: str, *, since: Snapshot | None = None, also: Schema | None = None) -> Snapshot:
        """Name what the database holds now, or held when this moment was kept.

        ``since``: a snapshot of this very database; what is proven untouched since then is carried over unread.
        ``also``: constraints of this schema are judged over the rows as well (``Integrity.declared_before``).
        """

    def diff(self, old: Snapshot, new: Snapshot, pairs: Sequence[TablePair]) -> tuple[TableDiff, ...]:
        """Compare the rows of two moments, exactly; pairs without a difference are left out."""

    def diff_of_history(self, old: Snapshot, new: Snapshot, pairs: Sequence[TablePair]) -> tuple[TableDiff, ...]:
        """Old versions of rows (system versioning) that are gone or changed; new ones are none of it."""

    def cast_backs(
        self, old: Snapshot, new: Snapshot, pair: TablePair, columns: Sequence[tuple[str, str]], zones: Sequence[str]
    ) -> tuple[CastBack, ...]:
        """Which values of ``columns`` (old, new name), cast back to their old type, are not what they were."""

    def release(self, moment: str) -> None: ...

    def weight(self, held: Snapshot) -> int:
        """Bytes, at most, that are free again when a moment is released."""

    def checkpoint(self) -> str:
        """A physical copy of the whole database to go back to; returns its handle."""

    def restore(self, checkpoint: str) -> None: ...

    def reset(self, checkpoint: str) -> str:
        """``restore`` that uses nothing of what stands: the database is dropped, and made again from the copy.

        Moments taken since the checkpoint may be gone. Where the copy may have suffered as well (its server was
        restarted since), nothing is done, and it says so, as a sentence without its end.
        """

    def discard(self, checkpoint: str) -> None: ...

    def one_session(self) -> AbstractContextManager[None]:
        """Around queries and fillings of ours that belong together, so that one session may serve them all."""

    def filling(self) -> Any:
        """A context manager: a session with triggers and foreign keys off, in one transaction."""

    def quote(self, name: str) -> str:
        """An identifier by the engine's rule."""

    def fill(self, table: TableRef, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Inside ``filling()``: insert rows, all or none, identity columns included. Raises DatabaseError.

        Values are None, bool, int, float, bytes, or str: the text form of any type.
        """

    def amend(
        self, table: TableRef, key: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """Inside ``filling()``: set ``columns`` where ``key`` equals, all or none; a row holds key, then new values."""

    def lasting(self) -> frozenset[TableRef]:
        """Tables from which no ROLLBACK takes a row away again."""

    def advance_counters(self) -> None:
        """Move every sequence past the rows that were written with explicit ids."""

    def note(self, statements: Sequence[str]) -> None:
        """Hear what a step ran; nothing, before the first. Users and roles that it makes are seen, and go in time."""

    def checksum_sql(self, table: TableRef) -> str:
        """How the checksum of a table is made, as it is run; empty where it is no query."""

    def disturbance(self, error: StepError | BaseException) -> Disturbance | None:
        """What outside the migration an error speaks of, the driver's own errors included; None: nothing that passes.

        A missing role, extension or right is the surroundings' fault as well, but trying again does not help.
        """

    def server_end(self) -> ServerEnd | None:
        """How the server came to its end; None while it runs, and for one that others started."""

    def blames(self, code: str, message: str) -> ErrorKind:
        """Whose doing an error is, by its code (SQLSTATE, SQLITE_FULL, 1205) and the database's own words."""

    def refusal(self, error: StepError) -> Refusal | None:
        """What the database had against the statement of an error; None where its answer does not tell."""

    def others(self) -> tuple[str, ...] | None:
        """Sessions of others that hold or may hold a lock here now, in words; None: it cannot be told."""

    def waiting(self) -> tuple[str, ...]:
        """Who waits here for whose lock now, a clause each; empty where nobody does, or it is not seen."""

    def close(self) -> None:
        """Drop the database and everything kept for it. Once it succeeded, twice is once."""


class Server(Protocol):
    """Where throwaway databases are made."""

    engine: str
    version: str

    @property
    def left(self) -> tuple[str, ...]:
        """Databases of this run that could not be dropped when it was closed (at a URL: somebody keeps them locked)."""

    def create(self) -> Database:
        """A new, empty, marked database; a server that was lost is connected to, or started, again."""

    def end(self) -> ServerEnd | None:
        """How one that was started for this run came to its end; None while it runs, and for one of others."""

    def close(self) -> None: ...


class Runner(Protocol):
    """Runs a project's migrations on one database, each on a fresh connection, keeping the tool's version table."""

    def up(self, migration: Migration) -> Step: ...

    def down(self, migration: Migration) -> Step: ...

    def forget(self, migration: Migration) -> None:
        """Take the migration's record out of the version table, as if the tool had died before writing it."""

    def close(self) -> None: ...


@runtime_checkable
class Waiting(Protocol):
    """A source or runner that waits for another process: once that has been given something to do, it calls this."""

    meanwhile: Callable[[], None]


@runtime_checkable
class Foretelling(Protocol):
    """A source whose files show, before a migration runs, what it says in SQL."""

    def says(self, migration: Migration, dialect: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The texts of up and of down, scripts or statements, as far as they stand there."""


class Source(Protocol):
    """Where migrations come from and what runs them."""

    kind: str  # "alembic", "dbmate", "golang-migrate"
    path: Path
    has_downs: bool  # downs by convention: a migration without one is down-missing
    bookkeeping: frozenset[str]

    def discover(self) -> tuple[Migration, ...]:
        """All migrations, parents before children. Raises SourceError."""

    def runner(self, database: Database) -> Runner: ...

    def settings(self, engine: str) -> tuple[str, ...]:
        """What the tool's defaults decide, in words for the report ("foreign keys are not enforced")."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a run tells whoever watches it: ``kind`` is "plan", "trial", "step", "note" or "done"."""

    kind: str
    text: str = ""
    migration: str = ""
    index: int = 0
    total: int = 0
    data: Mapping[str, Any] = field(default_factory=dict)


CHAIN_DOWN = "chain down"
"""The text of the step events on the way all the way down, behind all trials."""


# --- the report -------------------------------------------------------------------------------------------------------


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
