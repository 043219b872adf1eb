"""The locks of one step: what the server says beforehand, and what is seen while a statement runs."""

from __future__ import annotations

from seatrial.engines import _mysql_locks, _mysql_sampler
from seatrial.engines._mysql_dialect import Dialect
from seatrial.engines._mysql_link import Link
from seatrial.engines._mysql_locks import Twin
from seatrial.engines._mysql_sampler import Sampler, unseen
from seatrial.model import Observation, Question


def unsampled(link: Link, dialect: Dialect) -> str:
    """Why metadata locks are not sampled, as the rest of a sentence; empty where they are."""
    return unseen(link) if dialect.shows_locks else "MariaDB does not show what a statement holds"


class StepWatch:
    """Implements model.Watch."""

    def __init__(self, twin: Twin, sampler: Sampler | None, why_not: str) -> None:
        self._twin, self._sampler = twin, sampler
        self._told = Observation()
        self.question: Question | None = twin.settings.question
        sampled = _mysql_sampler.NOTE if sampler else f"what other statements lock: not observed ({why_not})"
        self.note = f"{_mysql_locks.NOTE}{_mysql_locks.UNASKED[twin.dialect]}; {sampled}"

    def before(self, statement: str, session: str, answer: str = "") -> None:
        self._told = self._twin.ask(statement, answer)
        if self._sampler is not None and session:
            self._sampler.begin(session)

    def after(self) -> Observation:
        """Beside the twin's answer, which is told without a time, the locks that were seen, each with its own."""
        told, seen = self._told, self._sampler.end() if self._sampler is not None else ()
        self._told = Observation()
        return Observation(answered=told.answered or bool(seen), locks=told.locks + seen, rewrites=told.rewrites)

    def close(self) -> None:
        if self._sampler is not None:
            self._sampler.close()
