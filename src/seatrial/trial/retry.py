"""Trying again what something outside disturbed: with which strategy, how often, and what it came to.

Only what speaks of a lost connection, a lock or a lack of resources is tried again. What a migration does wrong, and
what is found in its data, is a verdict and never comes here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from seatrial.config import RetryConfig
from seatrial.errors import DatabaseError, NotOurs, SeedError, ServerError
from seatrial.model import Database, Disturbance, Retry, StepError, Trial

T = TypeVar("T")
RESET, AGAIN, FIX = "reset-test-db", "re-run-migration", "fix-seed-data"


_ADVICE = {
    Disturbance.CONNECTION: "See in the server's log why the connection ended, then run again.",
    Disturbance.LOCK: "End the session that holds the lock, or raise the limit that was reached, then run again.",
    Disturbance.LIMIT: "Raise the time limit that was reached (the statement's, the session's or the server's), or find"
    " out who interrupted the statement, then run again.",
    Disturbance.RESOURCE: "Give the server room where it keeps its data (a local one: in TMPDIR), then run again.",
}


_WAITED = (Disturbance.LOCK, Disturbance.LIMIT)  # the database is as sound as it was


_OTHERWISE = (
    "It does not do the same each time: look for what it reads besides its own database (the time, random values, other"
    " databases, files, other sessions' work), or for objects on the server that its first run left behind."
)


class Disturbed(Exception):
    """Something outside the migration kept us from carrying it out. ``trial``: as far as it came.

    ``what``: None where a migration did otherwise than the first time, which no error of an engine tells.
    ``advice``: in the place of the usual one; empty where the reason holds it.
    """

    def __init__(
        self,
        reason: str,
        what: Disturbance | None,
        error: object,
        trial: Trial | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.what, self.error, self.trial = what, error, trial
        usual = _ADVICE[what] if what else _OTHERWISE
        self.advice = usual if advice is None else advice
        self.others: tuple[str, ...] | None = None  # who held locks just then; None: not known

    @property
    def told(self) -> str:
        """What happened, and what somebody can do about it."""
        return f"{str(self).rstrip('.')}. {self.advice}".rstrip()


class Astray(Exception):
    """An up that had gone well fails when it is applied again to bring a database back."""

    def __init__(self, migration: str, error: StepError) -> None:
        super().__init__(
            f"{migration} was applied without an error and failed when it was applied again: {error.message}"
        )
        self.migration, self.error = migration, error


class Cut(Exception):
    """Carries how far a trial had come when the exception that is its cause was raised."""

    def __init__(self, trial: Trial) -> None:
        super().__init__()
        self.trial = trial


def disturbed(database: Database, error: object) -> Disturbed | None:
    """What an error says of the surroundings; None where it is not theirs, or will not pass."""
    if isinstance(error, Disturbed):
        return error
    trial = error.trial if isinstance(error, Cut) else None
    if isinstance(error, Cut):
        error = error.__cause__
    if isinstance(error, SeedError) and error.refused is not None:
        error = error.refused
    if isinstance(error, NotOurs) or not isinstance(error, (StepError, Exception)):
        return None
    if isinstance(error, ServerError) and error.what:
        return Disturbed(str(error), error.what, error, trial, "")
    what = Disturbance.CONNECTION if isinstance(error, ServerError) else database.disturbance(error)
    if what is Disturbance.CONNECTION and (end := database.server_end()):
        return Disturbed(end.words, end.what, error, trial, end.advice)
    words = error.message if isinstance(error, StepError) else str(error)
    found = Disturbed(words, what, error, trial) if what else None
    if found is not None and found.what in _WAITED:
        found.others = _others(database)
    return found


def _others(database: Database) -> tuple[str, ...] | None:
    try:
        return database.others()
    except (DatabaseError, ServerError):
        return None


class Brought(Protocol):
    """How it was brought back. ``why_not``: not from its checkpoint; ``ups``: migrations that were applied again."""

    @property
    def why_not(self) -> str: ...

    @property
    def ups(self) -> int: ...

    @property
    def seeds(self) -> bool:
        """Whether given rows were loaded again."""

    @property
    def makes_rows(self) -> bool:
        """Whether made-up rows were made, or changed, again."""


class Ground(Protocol):
    """What is brought back: the walk's database."""

    database: Database
    unsure: bool

    @property
    def can_restore(self) -> bool: ...

    def restore(self) -> Brought: ...

    def renew(self) -> Brought: ...


@dataclass(slots=True)
class Retrier:
    """``seed``: where given rows come from. ``faltered``: ups that failed once when they were applied again."""

    ground: Ground
    config: RetryConfig
    seed: str
    told: Callable[[str, str], None]  # migration, what is waited for
    retries: list[Retry] = field(default_factory=list)
    faltered: dict[str, list[StepError]] = field(default_factory=dict)
    _used: dict[str, int] = field(default_factory=dict)
    _brought: Brought | None = None  # how the attempt at hand began

    def persist(self, migration: str, act: Callable[[list[Disturbed]], T]) -> T:
        """What ``act`` gives; it is told what disturbed it before. Raises Disturbed where nothing helped."""
        met: list[Disturbed] = []
        strategy = RESET if self.ground.unsure else ""
        pause_s = 0.0
        while True:
            try:
                if strategy:
                    self.ground.unsure = True
                    self._bring_back(strategy)
                result = act(met)
            except Exception as error:  # a driver's own errors too: which of them, only the engine knows
                found = self._found(error)
                why = f"Disturbed again: {_short(str(found))}" if found else f"It failed: {_short(str(error))}"
                if met:
                    self._note(migration, strategy, pause_s, met[-1], False, why)
                if found is None:
                    raise _bare(error) from None
                met.append(found)
                if not self._may_again(migration):
                    raise found from (None if found is error else error)
                pause_s = self._wait(migration, found)
                strategy = self._strategy(found, len(met))
            else:
                if met:
                    self._note(migration, strategy, pause_s, met[-1], True)
                return result

    def fixed(self, migration: str, reason: str, succeeded: bool, actions: tuple[str, ...]) -> None:
        """Rows were changed to make something possible that they stood in the way of."""
        self._add(FIX, migration, reason, succeeded, actions)

    def _found(self, error: Exception) -> Disturbed | None:
        if isinstance(error, Astray):
            self.faltered.setdefault(error.migration, []).append(error.error)
            return Disturbed(str(error), None, error)
        found = disturbed(self.ground.database, error)
        self.ground.unsure = self.ground.unsure or found is not None
        return found

    def _may_again(self, migration: str) -> bool:
        return self._used.get(migration, 0) < self.config.attempts

    def _wait(self, migration: str, found: Disturbed) -> float:
        used = self._used.get(migration, 0)
        self._used[migration] = used + 1
        pauses = self.config.pauses or (0.0,)
        pause_s = pauses[min(used, len(pauses) - 1)]
        self.told(migration, f"disturbed ({_short(str(found))}); trying again in {pause_s:g} s")
        time.sleep(pause_s)
        return pause_s

    def _strategy(self, found: Disturbed, failures: int) -> str:
        """Who only waited left the database as sound as it was; after anything else, nothing of it is believed."""
        first = found.what in _WAITED and failures == 1
        return AGAIN if first and self.ground.can_restore else RESET

    def _bring_back(self, strategy: str) -> None:
        self._brought = None
        self._brought = self.ground.restore() if strategy == AGAIN else self.ground.renew()
        self.ground.unsure = False

    def _note(self, migration: str, strategy: str, pause_s: float, why: Disturbed, succeeded: bool, *more: str) -> None:
        self._add(strategy, migration, str(why), succeeded, (*self._actions(strategy), *more), pause_s)

    def _add(
        self,
        strategy: str,
        migration: str,
        reason: str,
        succeeded: bool,
        actions: tuple[str, ...],
        pause_s: float = 0.0,
    ) -> None:
        retry = Retry(
            strategy=strategy,
            migration=migration,
            attempt=1 + sum(r.migration == migration for r in self.retries),
            reason=reason,
            succeeded=succeeded,
            actions=actions,
            pause_s=pause_s,
        )
        self.retries.append(retry)

    def _actions(self, strategy: str) -> tuple[str, ...]:
        if self._brought is None:
            return ("The test database could not be brought back",)
        if strategy == AGAIN:
            attempted = f"Attempted to re-run migration{'' if self._brought.why_not else ' without reset'}"
            restored = "Restored the test database to its state before the migration"
            return (attempted, restored, *self._how(self._brought))
        return ("Dropped and recreated test database", *self._how(self._brought))

    def _how(self, brought: Brought) -> Iterator[str]:
        """How the state before the migration came back; nothing where there was none."""
        ups = f"{brought.ups} migration{'' if brought.ups == 1 else 's'}"
        if not brought.why_not:
            yield "Copied schema and rows back from the checkpoint"
            if brought.ups:
                yield f"Applied {ups} again that came after the checkpoint"
        elif brought.ups:
            yield f"Applied {ups} again ({brought.why_not})"
        if brought.seeds:
            yield f"Reloaded seed data from {self.seed}"
        if brought.makes_rows:
            yield "Made the same rows in it again"


def _bare(error: Exception) -> BaseException:
    return error.__cause__ or error if isinstance(error, Cut) else error


def _short(text: str, most: int = 200) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 3] + "..."
