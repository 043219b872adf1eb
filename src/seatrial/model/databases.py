"""Throwaway databases and what runs migrations in them: protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from seatrial.model.differences import CastBack, TableDiff, TablePair
from seatrial.model.held import Relationship, Snapshot
from seatrial.model.schema import Schema, TableRef
from seatrial.model.steps import Disturbance, ErrorKind, Observation, Refusal, ServerEnd, Step, StepError
from seatrial.model.words import Migration
from seatrial.values import dataclass


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
        """How the checksum of a table is made, as it is run; empty where it is no query, or the table is not there."""

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
