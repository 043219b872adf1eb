"""Who took which of the rows that a finding is about, where more than one thing in a step can have taken them.

A reason that is proven not to have taken any of them is not told; several that are told each say for which rows, and
``perhaps`` where the trace does not prove it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field

from seatrial.checks.case import Cause, n, shorten, stated
from seatrial.checks.causes.reach import Values
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that can have taken rows. ``takes``: whether it took a row; None: it cannot be told.

    Reasons of one ``group`` are told together: ``tell`` is given those of their statements that count. ``place`` is
    when it was. One that ``changes`` rows leaves them for others to take; one ``over`` groups explains what they did.
    """

    group: str
    tell: Callable[[tuple[str, ...]], Iterable[Cause]]
    takes: Callable[[Values], bool | None]
    statement: str = ""
    place: int = 0
    changes: bool = False
    over: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()  # groups for whose rows its advice serves as well; both would make one side table


@dataclass(slots=True)
class _Share:
    statements: dict[str, None] = field(default_factory=dict)
    sure: list[Values] = field(default_factory=list)
    perhaps: list[Values] = field(default_factory=list)


def shared(reasons: Sequence[Reason], rows: Sequence[Values], key: Sequence[str], *, unseen: bool) -> list[Cause]:
    """The causes of these rows' loss; ``unseen``: there are more rows, which the trace does not hold."""
    shares: dict[str, _Share] = {}
    alone: list[Values] = []
    for row in rows:
        found = _of_row(reasons, row)
        alone += [] if found else [row]
        for group in {r.group for r, _ in found}:
            share = shares.setdefault(group, _Share())
            mine = [(r, sure) for r, sure in found if r.group == group]
            share.statements |= dict.fromkeys(r.statement for r, _ in mine if r.statement)
            (share.sure if any(sure for _, sure in mine) else share.perhaps).append(row)
    if unseen or not rows:
        for reason in reasons:
            shares.setdefault(reason.group, _Share()).statements |= {reason.statement: None} if reason.statement else {}
    return _told(reasons, shares, alone, key)


def _of_row(reasons: Sequence[Reason], row: Values) -> list[tuple[Reason, bool]]:
    verdicts = [(r, r.takes(row)) for r in reasons]
    changed = [(r, True) for r, v in verdicts if v and r.changes]
    sure = sorted((r for r, v in verdicts if v and not r.changes), key=lambda r: r.place)
    if sure:
        return [*changed, (sure[0], True)]
    possible = [r for r, v in verdicts if v is None]
    explained = {g for r in possible for g in r.over}
    return [*changed, *((r, False) for r in possible if r.group not in explained)]


def _told(
    reasons: Sequence[Reason], shares: dict[str, _Share], alone: Sequence[Values], key: Sequence[str]
) -> list[Cause]:
    told: list[Cause] = []
    several = len(shares) + bool(alone) > 1
    first = {r.group: r for r in reversed(reasons) if r.group in shares}
    covered = {c for r in first.values() for c in r.covers}
    for group in dict.fromkeys(r.group for r in reasons if r.group in shares):
        for cause in first[group].tell(tuple(shares[group].statements)):
            text = f"{cause.text}{_which(shares[group], key)}" if several else cause.text
            told.append(Cause(text, "" if group in covered else cause.advice))
    if alone and told:
        told.append(Cause(f"for {_keys(alone, key)} the cause is not determined"))
    return told


def _which(share: _Share, key: Sequence[str]) -> str:
    parts = [_keys(share.sure, key)] if share.sure else []
    parts += [f"perhaps {_keys(share.perhaps, key)}"] if share.perhaps else []
    return f": {', '.join(parts) or 'perhaps others'}"


def _keys(rows: Sequence[Values], key: Sequence[str], most: int = 5) -> str:
    if not key or not all(set(key) <= set(r) for r in rows):
        return n(len(rows), "row")
    shown = [", ".join("NULL" if r[c] is None else shorten(str(r[c]), 30) for c in key) for r in rows[:most]]
    shown = [f"({s})" if len(key) > 1 else s for s in shown]
    more = f" and {len(rows) - most:,} more" if len(rows) > most else ""
    return f"{', '.join(key)} {', '.join(shown)}{more}"


def told(statements: Sequence[str]) -> str:
    """``A``, ``A and B``, ``A, B and 3 more``: what did it, where one alone would not be the whole truth."""
    shown = [stated(s) for s in statements[:2]]
    more = f" and {len(statements) - 2:,} more" if len(statements) > 2 else ""
    return f"{', '.join(shown)}{more}" if more else " and ".join(shown)
