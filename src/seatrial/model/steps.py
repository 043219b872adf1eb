"""What a step sent, locked and came to."""

from __future__ import annotations

from enum import StrEnum

from seatrial.model.words import Observed
from seatrial.values import dataclass


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
    sent_together: bool = False  # several statements as one string, of which the server makes a transaction of its own
    left_off: tuple[str, ...] = ()  # what its connection held at the start and no longer at the end: "foreign keys"
    said: tuple[str, ...] = ()  # what the migration's code asks for and no statement says, as the SQL that would

    @property
    def texts(self) -> list[str]:
        """All that the step says, for whoever asks what it meant."""
        return [*self.said, *(s.bound or s.sql for s in self.statements)]

    @property
    def undone(self) -> frozenset[int]:
        """The places in ``texts`` of what was refused or taken back."""
        return frozenset(i for i, s in enumerate(self.statements, start=len(self.said)) if s.undone)
