"""UPDATEs that fill a column, and the query that finds rows which they meant to reach and did not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seatrial.model import TableRef
from seatrial.sql.world import World

if TYPE_CHECKING:
    from seatrial.sql.lineage import Lineage


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    table: TableRef  # its name at the end of the step
    columns: tuple[str, ...]
    statement: str


def backfills(
    world: World, lineage: Lineage, statements: tuple[str, ...]
) -> tuple[tuple[Backfill, ...], tuple[tuple[str, str], ...]]:
    return (), ()


def probe_sql(
    backfill: Backfill,
    key_columns: Sequence[str],
    quote: Callable[[str], str],
    columns: Mapping[str, str] | None = None,
) -> str:
    raise NotImplementedError
