"""Live progress: a bar on a terminal, plain lines elsewhere. Follows ``model.Event``."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from seatrial.model import CHAIN_DOWN, Event
from seatrial.reporters import words
from seatrial.reporters.look import Look

if TYPE_CHECKING:  # rich is slow to load, and only a terminal needs it
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


def look(stream: TextIO | None = None) -> Look:
    """What a stream can show: colour only on a terminal without NO_COLOR, ASCII where TERM is dumb."""
    stream = stream or sys.stdout
    dumb = os.environ.get("TERM") == "dumb"
    encoding = (stream.encoding or "ascii").lower().replace("-", "")
    colour = stream.isatty() and not dumb and not os.environ.get("NO_COLOR")
    width = _width(stream) if stream.isatty() else 80
    return Look(width=width, colour=colour, ascii=dumb or encoding != "utf8")


def _width(stream: TextIO) -> int:
    from rich.console import Console

    return min(Console(file=stream).width, 100)


class Progress:
    """Tells whoever watches how far a run is; called with every event.

    ``with Progress() as progress: run(config, progress)``
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._bar = _bar(self._stream) if live else None
        self._task: TaskID | None = None
        self._ascii = look(self._stream).ascii

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        if self._bar:
            self._draw(self._bar, event)
        elif text := _plain(event):
            shown = text.encode("ascii", "backslashreplace").decode() if self._ascii else text
            print(shown, file=self._stream, flush=True)

    def _draw(self, bar: Bar, event: Event) -> None:
        from rich.text import Text

        if event.kind == "note":
            bar.console.print(Text(words.line(event.text)))
            return
        total = event.total or None
        if self._task is None:
            self._task = bar.add_task("", total=total, step="")
        if event.kind == "done":
            bar.update(self._task, completed=bar.tasks[0].total or 0, step=words.line(event.text))
            return
        step = words.line(event.text)[:40] if event.kind == "step" else ""
        back = event.kind == "step" and event.text == CHAIN_DOWN  # all were tried; the way back takes none of that away
        bar.update(
            self._task,
            completed=event.total if back else event.index + (event.kind == "tried"),
            step=f"{words.line(event.migration)[:40]} {step}",
        )
        if total:
            bar.update(self._task, total=total)


def _bar(stream: TextIO) -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    step = TextColumn("{task.fields[step]}", markup=False)
    return Bar(
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        step,
        TimeElapsedColumn(),
        console=Console(file=stream),
        transient=True,
    )


def _plain(event: Event) -> str:
    """One line for a trial, a note, the plan and the end; steps would be too many for a log."""
    text = words.line(" ".join(x for x in (event.migration, event.text) if x))
    if event.kind == "trial":
        return f"[{event.index + 1}/{event.total}] {text}" if event.total else text
    return "" if event.kind in ("step", "tried") else text
