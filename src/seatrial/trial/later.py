"""Looks at what was kept, put off until the project's process is busy with its next step: two processors then work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Look(Generic[T]):
    """A piece of work and what it gave."""

    def __init__(self, later: Later, work: Callable[[], T]) -> None:
        self._later = later
        self._work: Callable[[], T] | None = work
        self._given: list[T] = []
        self._error: BaseException | None = None

    def do(self) -> None:
        """Once. What it raises is raised where its outcome is asked for, not where there was time for it.

        But for Ctrl-C, which ends the run here; whoever cleans up and asks for the outcome is told of that again.
        """
        work, self._work = self._work, None
        if work is not None:
            try:
                self._given.append(work())
            except BaseException as error:
                self._error = error
                if not isinstance(error, Exception):
                    raise

    def get(self) -> T:
        """What the work gave, or raised; it and all that was put off before it is done by then."""
        self._later.do()
        if self._error is not None:
            raise self._error
        return self._given[0]


class Later:
    """What waits, in its order. No state of the database that it needs may be given up before it is done."""

    def __init__(self) -> None:
        self._waiting: deque[Look[object]] = deque()

    def add(self, work: Callable[[], T]) -> Look[T]:
        look = Look(self, work)
        self._waiting.append(look)  # type: ignore[arg-type]
        return look

    @property
    def waits(self) -> bool:
        """Whether anything is still to be done."""
        return bool(self._waiting)

    def do(self) -> None:
        """All that waits."""
        while self._waiting:
            self._waiting.popleft().do()
