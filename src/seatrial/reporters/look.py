"""What a terminal can show. Apart from what is shown there: the progress of a run begins before anything is told."""

from __future__ import annotations

from seatrial.model import Status
from seatrial.values import dataclass

MARKS = {Status.PASSED: "✅", Status.FAILED: "❌", Status.ERROR: "⚠️ ", Status.SKIPPED: "- "}
PLAIN_MARKS = {Status.PASSED: "ok  ", Status.FAILED: "FAIL", Status.ERROR: "ERR ", Status.SKIPPED: "skip"}


@dataclass(frozen=True, slots=True)
class Look:
    """What the terminal can show."""

    width: int = 80
    colour: bool = False
    ascii: bool = False  # TERM=dumb, or an encoding without emoji

    def mark(self, status: Status) -> str:
        return (PLAIN_MARKS if self.ascii else MARKS)[status]

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text

    def arrow(self) -> str:
        return "->" if self.ascii else "→"
