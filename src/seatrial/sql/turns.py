"""The phases between which a database stays in use, and what stands in one. Pure."""

from __future__ import annotations

from enum import IntEnum

from seatrial.model import TableRef
from seatrial.sql.remedy import quoted
from seatrial.values import dataclass


class Turn(IntEnum):
    """The phases, in their order."""

    EXPAND = 1
    BACKFILL = 2
    ENFORCE = 3
    CONTRACT = 4


class NotSetOut(Exception):
    """Why a migration is not set out in phases, as a clause; ``statement``: because of which of its statements."""

    def __init__(self, why: str, statement: str = "") -> None:
        super().__init__(why)
        self.statement = statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a phase.

    ``back``: the SQL that takes it back, empty where it goes with an earlier phase, None where nothing brings it back.
    ``batch``: the table and the column by whose ranges it is run; ``sql`` then ends where the range is to stand.
    """

    turn: Turn
    sql: str
    back: str | None = None
    note: str = ""
    batch: tuple[TableRef, str] | None = None

    def between(self, first: int, last: int, dialect: str) -> str:
        """The statement for one batch, both ends included."""
        assert self.batch is not None
        return f"{self.sql}{quoted(self.batch[1], dialect)} BETWEEN {first} AND {last}"
