"""Why a backfill left rows out: what in its own statements, or beside them, held it back."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.checks.case import Case, Cause, listed, n, stated
from seatrial.checks.causes.triggers import fired
from seatrial.model import ProbeResult, Statement, TableRef
from seatrial.prose import span
from seatrial.sql import remedy
from seatrial.sql.intent import Backfill
from seatrial.sql.look import words_of


def left_out(case: Case, probe: ProbeResult) -> Iterator[Cause]:
    """Why these rows do not hold the value; the first that fits."""
    backfill = _of(case, probe)
    if backfill is None or probe.table is None:
        return
    for find in (_cut_off, _out_of_range, _ignored, _reached_later):
        if found := list(find(case, backfill)):
            yield from found
            return
    yield from _ruled_out(case, probe.table)
    yield from fired(case, probe.table, "up", f"changed {listed(probe.columns)}")
    yield from _made_by_a_trigger(case, probe.table)


def _of(case: Case, probe: ProbeResult) -> Backfill | None:
    mine = [b for b in case.up.backfills if (b.table, b.columns) == (probe.table, probe.columns)]
    return next((b for b in mine if all(c in probe.sql for c in b.conditions)), mine[0] if mine else None)


def _ran(case: Case, backfill: Backfill) -> list[Statement]:
    return [s for s in case.trial.up.statements if (s.bound or s.sql) in backfill.batches]


def _cut_off(case: Case, backfill: Backfill) -> Iterator[Cause]:
    if not backfill.limits:
        return
    place = f", each within {listed(backfill.ranges)}" if backfill.ranges else ""
    limit = f"each run of {stated(backfill.statement)} stops at its {listed(backfill.limits)}{place}"
    if backfill.looped:
        yield Cause(
            f"{limit}; the loop around it ended before every row was reached",
            f"Let the loop run until the UPDATE changes no row, or leave the limit out: {whole(backfill)}.",
        )
        return
    ran = _ran(case, backfill)
    reached = sum(s.rows for s in ran if s.rows is not None and s.rows > 0)
    count = max(len(ran), len(backfill.batches))  # those of a block are no statements of their own
    times = "once" if count <= 1 else f"{count} times"
    filled = (
        f" and reached {n(reached, 'row')}"
        if reached and len(ran) == count and all(s.rows is not None for s in ran)
        else ""
    )
    yield Cause(
        f"{limit}; up ran it {times}{filled}",
        f"Run it until it changes no row, or without the limit: {whole(backfill)}.",
    )


def _out_of_range(case: Case, backfill: Backfill) -> Iterator[Cause]:
    if not backfill.ranges:
        return
    parts = any(sign in r.upper() for r in backfill.ranges for sign in ("%", "MOD"))
    batches = f"the {n(len(backfill.batches), 'batch', 'batches')} of the backfill reach"
    ends = "F" if parts else "Let the last batch have no upper end, or f"
    if backfill.looped:
        batches, ends = "the loop around the backfill reaches", "Let the loop go on to the last key, or f"
    yield Cause(
        f"{batches} only {listed(backfill.ranges)}, and the rows that were left out have other keys",
        f"{ends}ill all at once: {whole(backfill)}.",
    )


def _ignored(case: Case, backfill: Backfill) -> Iterator[Cause]:
    """UPDATE IGNORE, UPDATE OR IGNORE: a row that a rule refuses is passed over without a word."""
    said = [b for b in backfill.batches if "IGNORE" in words_of(b, case.trial.engine)[:3]]
    if said:
        yield Cause(
            f"IGNORE passes over the rows whose new value a unique rule or a type refuses ({stated(said[0])})",
            f"Leave IGNORE out, so that up says which rows of {backfill.table} clash, and resolve those first.",
        )


def _reached_later(case: Case, backfill: Backfill) -> Iterator[Cause]:
    if backfill.reads_itself:
        columns = listed(f"{backfill.table}.{c}" for c in backfill.columns)
        yield Cause(
            f"WHERE reads {columns}, which the same statement fills ({stated(backfill.statement)}): only when it had"
            " run did these rows match",
            f"Repeat it until it changes no row, or find all rows of {backfill.table} with WITH RECURSIVE first.",
        )


def _ruled_out(case: Case, table: TableRef) -> Iterator[Cause]:
    """A rewrite rule takes the place of the UPDATE (PostgreSQL manual, 39.4)."""
    for key, attributes in case.before.schema.of(table).items():
        text = str(attributes.get("definition") or "")
        if key.kind == "rule" and "UPDATE" in text.upper() and "INSTEAD" in text.upper():
            name, mine = remedy.quoted(key.name, case.trial.engine), remedy.of(table, case.trial.engine)
            yield Cause(
                f"rule {key.name} on {table} takes the place of the UPDATE for these rows",
                f"Switch it off for the backfill ({span(f'ALTER TABLE {mine} DISABLE RULE {name}')}) and on again"
                " afterwards.",
            )


def _made_by_a_trigger(case: Case, table: TableRef) -> Iterator[Cause]:
    """Rows that nobody inserted by name came while up ran."""
    change = next((d for d in case.trial.up_changes if (d.new_table or d.table) == table), None)
    if change is not None and change.added_count and not case.up.inserts_into(change.table):
        yield from fired(case, change.table, "up", "added them")


def whole(backfill: Backfill) -> str:
    """The same UPDATE for all rows that it means, as SQL to write instead."""
    if backfill.joined or backfill.prefix:
        return f"the same UPDATE of {backfill.table} without what limits it"
    items = ", ".join(_item(i.columns, i.value) for i in backfill.items)
    where = " OR ".join(f"({c})" if len(backfill.conditions) > 1 else c for c in backfill.conditions)
    said = f" WHERE {where}" if where else ""
    return span(" ".join(f"UPDATE {backfill.target} SET {items}{said}".split()))


def _item(columns: tuple[str, ...], value: str) -> str:
    return f"{columns[0]} = {value}" if len(columns) == 1 else f"({', '.join(columns)}) = {value}"
