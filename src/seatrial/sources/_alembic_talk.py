"""Requests and answers of the process in which a project's Alembic runs. Runs in the project's interpreter (3.8+).

JSON lines, one request, one answer, with _alembic_client.py at the other end. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import threading
import time
from typing import Any

GRACE_S = 1.0


class Talk:
    """Requests and answers in turn, a JSON text a line."""

    def __init__(self, requests: Any, answers: Any) -> None:
        self._requests, self._answers = requests, answers
        self._waiting: list[Any] = []
        self._begun = 0.0
        self._asking = threading.Lock()
        self.is_over = False  # nobody asks any more

    def receive(self) -> Any:
        """The next request; None: nobody asks any more."""
        if self._waiting:
            return self._waiting.pop()
        line = self._requests.readline()
        self._begun = time.perf_counter()
        self.is_over = not line
        return json.loads(line) if line else None

    def put_back(self, request: Any) -> None:
        self._waiting.append(request)

    def send(self, answer: dict[str, Any]) -> None:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        answer["total_ms"] = (time.perf_counter() - self._begun) * 1000
        self._write(answer)

    def ask(self, question: dict[str, Any]) -> Any:
        """A question in the middle of a request, and the reply; None: nobody replies."""
        with self._asking:
            self._write(question)
            line = self._requests.readline()
        return json.loads(line) if line else None

    def end_with_it(self) -> None:
        """End this process, also in the middle of a step, soon after whoever asks is gone."""
        threading.Thread(target=_end_with, args=(self._requests.fileno(),), daemon=True).start()

    def _write(self, message: dict[str, Any]) -> None:
        self._answers.write(json.dumps(message, default=str) + "\n")
        self._answers.flush()


def _end_with(pipe: int) -> None:
    """Whoever asks is gone, killed perhaps: a step that takes long must not go on without them."""
    if hasattr(select, "poll"):
        hung_up = select.poll()
        hung_up.register(pipe, 0)  # that the other end was closed is told in any case (poll(2), POLLHUP)
        hung_up.poll()
        time.sleep(GRACE_S)  # between two steps the main thread ends in order
        os._exit(1)
