"""Which statements of a script a ROLLBACK TO takes back."""

from __future__ import annotations

from collections.abc import Sequence

from seatrial.sql.cursor import Tokens
from seatrial.sql.tokens import QUOTED, WORD


def taken_back(statements: Sequence[Tokens]) -> frozenset[int]:
    """The places of the statements that ran after a savepoint to which a later one goes back."""
    open_points: list[tuple[str, int]] = []
    undone: set[int] = set()
    for place, tokens in enumerate(statements):
        verb, name = _said(tokens)
        if verb == "SAVEPOINT":
            open_points.append((name, place))
        elif verb and (point := _last(open_points, name)) is not None:
            if verb == "ROLLBACK":
                undone.update(range(open_points[point][1] + 1, place))
            del open_points[point + (verb == "ROLLBACK") :]  # it outlives a ROLLBACK TO, those behind it do not
    return frozenset(undone)


def _last(points: Sequence[tuple[str, int]], name: str) -> int | None:
    """A savepoint hides an older one of its name."""
    return next((i for i in reversed(range(len(points))) if points[i][0] == name), None)


def _said(tokens: Tokens) -> tuple[str, str]:
    """("SAVEPOINT", "RELEASE" or "ROLLBACK", name of the savepoint); empty where a statement is none of these."""
    verb = tokens[0].word if tokens else ""
    if verb not in ("SAVEPOINT", "RELEASE", "ROLLBACK"):
        return "", ""
    if verb == "ROLLBACK" and "TO" not in [t.word for t in tokens[1:3]]:
        return "", ""
    names = [t.value.casefold() for t in tokens if t.kind in (WORD, QUOTED)]
    return verb, names[-1]
