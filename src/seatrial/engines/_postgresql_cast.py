"""Values that up converted, cast back to their old type: do they give what was there before?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seatrial.engines._postgresql_diff import Comparison
from seatrial.engines._postgresql_session import Session
from seatrial.model import CastBack, Snapshot


def cast_backs(
    session: Session, c: Comparison, old: Snapshot, columns: Sequence[tuple[str, str]], zones: Sequence[str]
) -> Iterator[CastBack]:
    """One answer a column; columns that lose nothing are left out."""
    raise NotImplementedError
    yield
