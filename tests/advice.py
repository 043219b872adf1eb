"""Whether a finding's words are true: its SQL shows what it tells, and a migration mended as advised has it no more."""

from __future__ import annotations

import dataclasses
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from seatrial import prose
from seatrial.model import Finding

QUOTE = "\0"
CODE = r"[^`]*`([^`]*)`"
PREPENDED_TO_UP = re.compile(r"\(`(CREATE TABLE [^`]+ AS SELECT [^`]+)`\)")
APPENDED_TO_DOWN = re.compile(
    r"(?:put (?:them|the values) back[^`]*\(|In down, (?:create|remove|make|define)[^`]*|In down, )`([^`]*)`"
)
PREPENDED_TO_DOWN = re.compile(r"In down, (?:move|copy) [^`]* back [^`]* before" + CODE)
PREPENDED_BESIDE = re.compile(r"in a statement of its own before the column goes \(`([^`]*)`\)")
APPENDED_TO_UP = re.compile(r"again at the end of up( and of down)?" + CODE)
AROUND = re.compile(r"In (up|down), drop it before \(`([^`]*)`\) and create it again afterwards \(`([^`]*)`\)")
WHOLE_DOWN = re.compile(r"takes back what up did: `([^`]*)`")
STORED = {"values-lost", "rows-left-behind", "orphaned-rows", "duplicate-keys", "check-violated", "nulls-in-required"}
"""Rules whose rows are there to be seen in the phase that they name."""


def mended(section: dict[str, Any], advice: str) -> dict[str, Any] | None:
    """The migration with the SQL of an advice put where it says; None where it shows none to put anywhere."""
    advice = _plain(advice)
    if whole := WHOLE_DOWN.findall(advice):
        return section | {"down": _joined(whole[:1])}
    parts = {"up": [section["up"]], "down": [section.get("down", "")]}
    parts["up"] += (sql for _, sql in APPENDED_TO_UP.findall(advice))
    parts["down"] += (sql for both, sql in APPENDED_TO_UP.findall(advice) if both)
    parts["down"][:0] = PREPENDED_TO_DOWN.findall(advice)
    parts["up"][:0] = PREPENDED_BESIDE.findall(advice)
    if back := APPENDED_TO_DOWN.findall(advice):
        parts["up"][:0] = PREPENDED_TO_UP.findall(advice)
        parts["down"] += back
    for step, before, after in AROUND.findall(advice):
        for name in step.split(" and in "):
            parts[name] = [before, *parts[name], after]
    found = section | {step: _joined(texts) for step, texts in parts.items()}
    return found if any(len(texts) > 1 for texts in parts.values()) else None


def _plain(advice: str) -> str:
    """The advice with each piece of code in one backtick, and a mark for the backticks within."""
    pieces = enumerate(prose.parts(advice))
    return "".join(f"`{p.replace('`', QUOTE)}`" if i % 2 else p for i, p in pieces)


def _joined(parts: list[str]) -> str:
    return "\n".join(f"{p.replace(QUOTE, '`').strip().rstrip(';')};" for p in parts if p.strip())


def mended_case(case: Any, advice: str) -> Any:
    """A corpus case with its migration mended; None where the advice shows no SQL to put into it."""
    found = mended(case.section, advice)
    engine = case.engine if case.engine in case.facts else "mysql"
    return None if found is None else dataclasses.replace(case, facts=case.facts | {engine: found})


def check_sql(case: Any, found: Finding, session: list[str]) -> None:
    """On SQLite itself: the query runs and gives the rows of the finding; lost ones are there before and not after."""
    steps = {"before": [], "up": ["up"], "down": ["up", "down"]}.get(found.phase.value)
    if steps is None or found.rule in ("up-failed", "down-failed", "half-applied") or not found.sql:
        return
    rows = _rows(case, found.sql, steps, session)
    if found.rule in STORED and found.keys:
        assert len(rows) in (found.count, min(found.count, 20)), (found, rows)
    if found.rule == "rows-lost" and found.keys and "sqlite_schema" not in found.sql:
        assert not rows, (found, rows)
        assert len(_rows(case, found.sql, [], session)) == min(found.count, 20), found


def _rows(case: Any, sql: str, steps: list[str], session: list[str]) -> list[Any]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as link:
        link.executescript(f"{case.section['base']};{case.section.get('seed', '')}")
        for step in steps:
            wrap = ("BEGIN;", ";COMMIT") if case.section.get("transaction", True) else ("", "")
            link.executescript(f"{';'.join(session)};{wrap[0]}{case.section[step]}\n{wrap[1]}")
        return [row for statement in _statements(sql) for row in link.execute(statement)]


def _statements(sql: str) -> Iterator[str]:
    rest = ""
    for part in sql.split(";"):
        rest += part + ";"
        if sqlite3.complete_statement(rest):
            if rest.strip(" ;\n"):
                yield rest
            rest = ""
