"""Listeners that env.py or a revision sets up, which go with the step. Runs in the project's interpreter (3.8+).

Both are run anew for each step, as in a new ``alembic upgrade``; what they listen to on a class (``Engine``, ``Pool``)
would be heard twice in the second step, and a transaction be begun twice. What the project's modules and the libraries
listen to stays, as they do: they are imported once.

Standard library, and the project's own sqlalchemy.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import Any


class Listeners:
    """What is listened to by code that is run anew."""

    def __init__(self) -> None:
        self._files: frozenset[str] = frozenset()
        self._heard: list[tuple[Any, str, Any]] = []

    def install(self) -> None:
        from sqlalchemy import event
        from sqlalchemy.event import api

        plain = api.listen

        @functools.wraps(plain)
        def listen(target: Any, identifier: str, fn: Any, *args: Any, **settings: Any) -> None:
            plain(target, identifier, fn, *args, **settings)
            if self._is_of_step(sys._getframe(1), api.__name__):
                self._heard.append((target, identifier, fn))

        api.listen = event.listen = listen

    def begin(self, *files: str) -> None:
        """From here on: the files of a step."""
        self.forget()
        self._files = frozenset(files)

    def forget(self) -> None:
        """What the step listened to is heard no more."""
        heard, self._heard = self._heard, []
        if not heard:
            return
        from sqlalchemy import event

        for each in heard:
            with contextlib.suppress(Exception):  # whatever became of it: it is heard no more
                event.remove(*each)

    def _is_of_step(self, frame: Any, api: str) -> bool:
        """Whether a listener comes from one of the files, by ``listen`` or by ``listens_for``."""
        while frame is not None and frame.f_globals.get("__name__") == api:
            frame = frame.f_back
        return frame is not None and frame.f_code.co_filename in self._files
