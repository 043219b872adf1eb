"""What installed packages add, by entry point. Looked up once: it reads a file of every package that is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any


def plugged(group: str) -> Iterable[EntryPoint]:
    """The entry points of a group, e.g. ``seatrial.checks``."""
    return _of(tuple(sys.path), group)


@lru_cache(maxsize=16)
def _of(path: tuple[str, ...], group: str) -> tuple[EntryPoint, ...]:
    return tuple(_all(path).select(group=group))


@lru_cache(maxsize=1)
def _all(_: tuple[str, ...]) -> Any:
    """As they stand on this path; each call of the library's looks through all packages again."""
    return entry_points()
