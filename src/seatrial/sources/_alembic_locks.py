"""What the statements of a step lock, where somebody outside its process observes them, statement after statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from seatrial.model import Observation, Observed, Question, Statement, Step, Watch


class Overheard:
    """Hears of each statement before it runs, and asks about the one before it."""

    def __init__(self, watch: Watch | None) -> None:
        self._watch = watch
        self._found: list[Observation] = []
        self._pending = False

    def __bool__(self) -> bool:
        return self._watch is not None

    @property
    def question(self) -> Question | None:
        return self._watch.question if self._watch is not None else None

    def announced(self, statement: str, session: str, answer: str) -> None:
        assert self._watch is not None
        self._ended()
        self._watch.before(statement, session, answer)
        self._pending = True

    def close(self) -> None:
        if self._watch is not None:
            self._ended()
            self._watch.close()

    def _ended(self) -> None:
        if self._pending and self._watch is not None:
            self._found.append(self._watch.after())
            self._pending = False

    def beside(self, step: Step, entries: list[Mapping[str, Any]]) -> Step:
        """The step with what was observed; ``entries`` is what its process says of the same statements."""
        if self._watch is None:
            return step
        heard = [self._of(entry) for entry in entries]
        statements = zip(step.statements, heard, strict=True)
        return replace(
            step,
            statements=tuple(_with(statement, seen) for statement, seen in statements),
            locks_observed=_observed(step, heard),
            locks_note=self._watch.note,
        )

    def _of(self, entry: Mapping[str, Any]) -> Observation:
        """A statement that failed, or went past SQLAlchemy, has no number of its own."""
        number = entry.get("announced", 0)
        return self._found[number - 1] if 0 < number <= len(self._found) else Observation()


def _with(statement: Statement, seen: Observation) -> Statement:
    """DDL commits by itself, so a lock without a time of its own is held as long as its statement runs."""
    locks = (k if k.held_ms is not None else replace(k, held_ms=statement.duration_ms) for k in seen.locks)
    return replace(statement, locks=tuple(locks), rewrites=seen.rewrites)


def _observed(step: Step, heard: list[Observation]) -> Observed:
    """No lock is only told as none where every statement was seen and had an answer."""
    complete = step.statements_observed and all(o.answered for o in heard)
    return Observed.SAMPLED if complete or any(o.locks for o in heard) else Observed.NOT_OBSERVED
