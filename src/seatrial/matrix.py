"""The same trials under several sql_modes: what one of them shows, and under which. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from seatrial.model import Finding, NotVerified

Findings = Sequence[tuple[str, Sequence[Finding]]]
"""For each sql_mode what was found under it."""


def setting(mode: str) -> str:
    """The statement that puts a session under a mode."""
    return f"SET SESSION sql_mode = '{mode}'"


def told(modes: Sequence[str]) -> str:
    """``sql_mode = 'ANSI' and sql_mode = ''``."""
    return " and ".join(f"sql_mode = '{m}'" for m in modes)


def together(found: Findings) -> list[Finding]:
    """One finding a rule and table, the worst of them, with the modes under which it shows where it is not all."""
    modes = [mode for mode, _ in found]
    groups: dict[tuple[str, str | None], list[tuple[str, Finding]]] = {}
    for mode, findings in found:
        for finding in findings:
            groups.setdefault((finding.rule, finding.table), []).append((mode, finding))
    return [_one(group, modes) for group in groups.values()]


def _one(group: Sequence[tuple[str, Finding]], modes: Sequence[str]) -> Finding:
    _, worst = max(group, key=lambda item: (item[1].waived is None, item[1].severity.rank, item[1].count))
    under = tuple(dict.fromkeys(mode for mode, _ in group))
    if len(under) == len(modes) and all(f == worst for _, f in group):
        return worst
    if len(under) == len(modes):
        same = tuple(dict.fromkeys(mode for mode, f in group if f == worst))
        return dataclasses.replace(worst, message=f"{worst.message} So under {told(same)}; otherwise under the others.")
    others = [m for m in modes if m not in under]
    message = f"{worst.message} It shows under {told(under)}, not under {told(others)}."
    return dataclasses.replace(worst, message=message, sql_modes=under)


def doubts(found: Iterable[tuple[str, Iterable[NotVerified]]]) -> list[NotVerified]:
    """What was not verified under any mode, each once."""
    known: dict[tuple[str, str, str], NotVerified] = {}
    for mode, notes in found:
        for note in notes:
            place = (note.what, note.migration, note.rule)
            if place not in known:
                known[place] = note
            elif known[place].why != note.why:
                known[(*place[:2], f"{note.rule} {mode}")] = dataclasses.replace(
                    note, what=f"{note.what} under {told([mode])}"
                )
    return list(known.values())
