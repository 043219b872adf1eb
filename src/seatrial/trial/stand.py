"""The database that a walk stands on: what it holds now, how to go back, and how what was done is done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field, replace

from seatrial.config import Config
from seatrial.errors import DatabaseError, NotOurs, SeatrialError, ServerError
from seatrial.model import (
    LOST,
    Database,
    ErrorKind,
    Migration,
    Runner,
    Schema,
    Server,
    Snapshot,
    Source,
    Step,
    StepError,
    Waiting,
)
from seatrial.schema import pair_by_name, same_schema
from seatrial.trial.later import Later
from seatrial.trial.retry import Astray, disturbed
from seatrial.values import dataclass

Act = Callable[[], object]
UP, SEED, ROWS, HELD = "up", "seed", "rows", "held"
LONG_MS = 1000.0  # to do all again takes longer than to copy a database that holds no rows yet
CHAIN_BYTES = 8 << 30  # what the moments kept for the chain may weigh together


@dataclass(frozen=True, slots=True)
class Steps:
    """A runner whose refused bookkeeping and lost connections are outcomes of the step, as its own refusals are."""

    runner: Runner
    database: Database
    later: Later
    config: Config

    def __post_init__(self) -> None:
        if isinstance(self.runner, Waiting):
            self.runner.meanwhile = self.later.do

    def up(self, migration: Migration) -> Step:
        return self._noted(_carried_out(self.runner.up, migration))

    def down(self, migration: Migration) -> Step:
        return self._noted(_carried_out(self.runner.down, migration))

    def _noted(self, step: Step) -> Step:
        self.database.note([s.sql for s in step.statements])
        if step.error is None:
            return step
        error = replace(step.error, about=self.database.refusal(step.error))
        if error.kind is ErrorKind.ENVIRONMENT and error.statement in self.config.source.session:
            error = replace(error, message=f"{self.config.said('source.session')}: {error.message}")
        return replace(step, error=error)

    def forget(self, migration: Migration) -> None:
        self.runner.forget(migration)

    def close(self) -> None:
        self.runner.close()


def _carried_out(run: Callable[[Migration], Step], migration: Migration) -> Step:
    try:
        return run(migration)
    except NotOurs:
        raise
    except DatabaseError as error:
        return Step(error=StepError(message=str(error), kind=error.kind, code=error.code))
    except ServerError as error:
        return Step(error=StepError(message=str(error), kind=ErrorKind.ENVIRONMENT, code=LOST))


@dataclass(frozen=True, slots=True)
class Ground:
    """Where databases for a walk are made, each with the project's runner on it."""

    server: Server
    source: Source
    config: Config
    later: Later = field(default_factory=Later)

    def open(self) -> tuple[Database, Runner]:
        database = self.server.create()
        try:
            database.bookkeeping = self.source.bookkeeping
            database.limit = self.config.max_keys
            database.relationships = self.config.relationships
            self._set_up(database)
            database.note([])
            return database, self.runner(database)
        except BaseException:
            database.close()
            raise

    def _set_up(self, database: Database) -> None:
        try:
            database.execute(*self.config.server.setup)
        except DatabaseError as error:
            error.args = (f"{self.config.said('server.setup')}: {error}",)  # the same one: what follows asks its cause
            raise

    def runner(self, database: Database) -> Runner:
        return Steps(self.source.runner(database), database, self.later, self.config)


@dataclass(frozen=True, slots=True)
class Done:
    """Something that brought the database on, and what it took; ``held``: only a moment was kept, of this step."""

    what: str  # UP, SEED, ROWS, HELD
    cost_ms: float
    again: Act
    held: int | None = None


@dataclass(frozen=True, slots=True)
class Brought:
    """How a database was brought back: from its checkpoint (or why not), and what was done again after that."""

    why_not: str
    again: Sequence[Done]

    @property
    def ups(self) -> int:
        return sum(done.what == UP for done in self.again)

    @property
    def seeds(self) -> bool:
        return any(done.what == SEED for done in self.again)

    @property
    def makes_rows(self) -> bool:
        return any(done.what == ROWS for done in self.again)


@dataclass(slots=True)
class Stand:
    """One database under a walk. ``fullest``: its rows, tables and bytes at the moment when it held most."""

    ground: Ground
    database: Database
    runner: Runner
    standing: Snapshot | None = None  # what the database holds, where that is known
    held: dict[int, Snapshot] = field(default_factory=dict)  # A of each tried step, for the chain
    fullest: tuple[int, int, int] = (0, 0, 0)
    unsure: bool = False  # something failed here: it is brought back before anything else is done
    _checkpoint: str = ""
    _why_not: str = "no checkpoint was kept"  # why there is none to go back to
    _keeps: bool = False  # a checkpoint was wanted: another database gets one too, whatever disturbs its making
    _checkpoint_ms: float = 0.0
    _before: list[Done] = field(default_factory=list)  # all done from the empty database to the checkpoint
    _since: list[Done] = field(default_factory=list)  # and since then

    @property
    def later(self) -> Later:
        """What is put off until a step is on its way."""
        return self.ground.later

    # --- moments ---

    def take(self, moment: str) -> Snapshot:
        snapshot = self.database.take(moment, since=self.standing)
        if self.standing is not None and all(self.standing is not held for held in self.held.values()):
            self.database.release(self.standing.moment)
        self.standing = snapshot
        self.fullest = max(self.fullest, snapshot.fullness)
        return snapshot

    def known(self) -> Snapshot:
        """What stands now."""
        return self.standing or self.take("standing")

    def hold(self, index: int) -> Snapshot:
        """A of a step that is about to be tried."""
        self._hold(index)
        self._unhold(index)
        self._since.append(Done(HELD, 0.0, lambda: self._hold(index), index))
        return self.held[index]

    def _unhold(self, index: int) -> None:
        self._before = [done for done in self._before if done.held != index]
        self._since = [done for done in self._since if done.held != index]

    def _hold(self, index: int) -> None:
        self.held[index] = self.take(f"{index}:A")

    def forget(self, index: int) -> None:
        """Release the moments of a trial that nothing needs any more."""
        standing = self.standing.moment if self.standing else ""
        for letter in "BCD":
            if (moment := f"{index}:{letter}") != standing:
                self.database.release(moment)
        while len(self.held) > 1 and sum(map(self.database.weight, self.held.values())) > CHAIN_BYTES:
            self.drop(min(self.held))

    @property
    def runs_again(self) -> bool:
        """Whether going back runs migrations again."""
        return any(done.cost_ms for done in self._since)

    def drop(self, index: int) -> None:
        """What stood before a step is no measure for the chain, or too heavy to keep."""
        self.database.release(self.held.pop(index).moment)
        self._unhold(index)

    def is_now(self, now: Snapshot, wanted: Snapshot) -> bool:
        if now is wanted:
            return True
        return same_schema(now.schema, wanted.schema) and not self.database.diff(wanted, now, pair_by_name(wanted, now))

    def schema(self) -> Schema:
        return self.known().schema

    def schema_now(self) -> Schema:
        """The same, where what stands may still wait to be looked at; it is kept, so the look can go on waiting."""
        return self.database.inspect() if self.later.waits else self.schema()

    # --- going back ---

    def keep(self) -> None:
        """A checkpoint here."""
        self._keeps = True
        old, self._checkpoint = self._checkpoint, ""
        if old:
            self.database.discard(old)
        begun = time.perf_counter()
        self._checkpoint, self._why_not = self.database.checkpoint(), ""
        self._checkpoint_ms = (time.perf_counter() - begun) * 1000
        self._before += self._since
        self._since.clear()

    def keep_if_due(self) -> None:
        """A checkpoint where doing again what came since the last one would cost more than a copy."""
        if not self._checkpoint or sum(done.cost_ms for done in self._since) > self._checkpoint_ms:
            self.keep()

    @contextmanager
    def kept_meanwhile(self) -> Iterator[None]:
        """Another database, to which the block comes back by a copy where doing all again takes long."""
        self.renew()
        if self._checkpoint or sum(done.cost_ms for done in self._since) < LONG_MS:
            yield
            return
        try:
            self.keep()
            yield
        finally:
            self._let_go()

    def begin_without_rows(self) -> None:
        """Another database, that migrations alone have brought on. Raises Disturbed, Astray, ServerError."""
        self._let_go()
        self._since = [done for done in self._since if done.what == UP]
        self.renew()

    def _let_go(self) -> None:
        """No checkpoint any more; what failed to be dropped goes with the database."""
        copy, self._checkpoint, self._keeps, self._why_not = self._checkpoint, "", False, "no checkpoint was kept"
        self._since, self._before = [*self._before, *self._since], []
        if copy:
            with suppress(SeatrialError, OSError):
                self.database.discard(copy)

    @property
    def can_restore(self) -> bool:
        """Whether there is a state to go back to that is not an empty database's."""
        return bool(self._checkpoint or self.held)

    def restore(self) -> Brought:
        """Back to where the walk stands; by another database where nothing was kept. Raises Disturbed, Astray."""
        if not self._checkpoint:
            return self.renew()
        self.standing = None
        if not self._brings_back(self.database.restore):
            return self.renew()
        again = [done for done in self._since if done.held is None]
        self._do_again(again)
        self.standing = None
        return Brought("", again)

    def renew(self) -> Brought:
        """The same, but nothing of the database that stands is believed: it is dropped, and made again.

        From the checkpoint's copy where that cannot have suffered too, else from nothing. Raises Disturbed, Astray,
        ServerError.
        """
        self.runner.close()
        self.standing = None
        if not self._reset():
            self._begin_again()
        again, why_not = list(self._since), self._why_not
        self._do_again(again)
        if self._keeps and not self._checkpoint:
            self.keep()
        return Brought(why_not, again)

    def _reset(self) -> bool:
        """Whether the checkpoint's copy stands now; where that is no use, or fails, it is not tried again."""
        if not self._brings_back(self._reset_to):
            return False
        self.runner = self.ground.runner(self.database)
        return True

    def _reset_to(self, copy: str) -> None:
        self._why_not = "the checkpoint could not be brought back"  # where what follows is disturbed
        self._why_not = self.database.reset(copy)

    def _brings_back(self, act: Callable[[str], None]) -> bool:
        """Whether ``act`` brought the checkpoint's copy back. A copy that the engine refuses is one no more."""
        copy, self._checkpoint = self._checkpoint, ""
        if not copy:
            return False
        try:
            act(copy)
        except DatabaseError as error:
            if disturbed(self.database, error):
                self._checkpoint = "" if self._why_not else copy
                raise
            self._why_not = f"the checkpoint's copy could not be brought back ({error})"
        if self._why_not:
            return False
        self._checkpoint = copy
        return True

    def _begin_again(self) -> None:
        """Another database, in which all is still to be done; the accounts that go with the old one went with it."""
        let_go(self.database)
        self.database, self.runner = self.ground.open()
        self.held.clear()
        self._since = [*self._before, *self._since]
        self._before.clear()

    def _do_again(self, all_of: Sequence[Done]) -> None:
        for done in all_of:
            done.again()
            self.standing = self.standing if done.held is not None else None

    def did(self, what: str, cost_ms: float, again: Act) -> None:
        """Something was done to the database that belongs to its way from here on."""
        self._since.append(Done(what, cost_ms, again))

    def did_up(self, migration: Migration, cost_ms: float) -> None:
        self.did(UP, cost_ms, lambda: self._up_again(migration))

    def _up_again(self, migration: Migration) -> None:
        error = self.runner.up(migration).error
        if error is None:
            return
        if found := disturbed(self.database, error):
            raise found
        raise Astray(migration.id, error)

    def close(self) -> None:
        self.runner.close()
        let_go(self.database)


def let_go(database: Database) -> None:
    """Drop a database; where its server is away just now, the server drops it at its own end."""
    with suppress(SeatrialError, OSError):
        database.close()
