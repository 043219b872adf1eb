"""Why a down that was right in its own trial is not on the way all the way down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from seatrial.checks.case import Case, Cause, listed, quoted, shorten, stated
from seatrial.checks.causes.rows import removed_by_down
from seatrial.checks.causes.values import changed_by_down
from seatrial.model import ChainStep, Snapshot, TableDiff
from seatrial.prose import span
from seatrial.schema import Difference
from seatrial.sql import remedy
from seatrial.sql.intent import Intent, read
from seatrial.sql.look import names_in

LATER = "on the rows of its own trial it did not"


def of_rows(case: Case, step: ChainStep, change: TableDiff, rule: str, columns: Sequence[str]) -> Iterator[Cause]:
    """What this down did to the table."""
    if not case.up_ran or case.trial.before is None:
        return
    chained = _case(case, step, change)
    table = change.table
    if rule == "rows-lost":
        yield from _later(removed_by_down(chained, table))
        if chained.up_diff(table).lost_count and (brought := chained.down.inserts_into(table)):
            yield Cause(
                f"up takes rows of {table}, and this down no longer puts all of them back ({quoted(brought)})",
                f"Let down put back every row of {table} that up took, whatever later migrations made of its copy.",
            )
    elif rule == "rows-left-behind":
        if brought := chained.down.inserts_into(table):
            yield Cause(
                f"down inserts them ({quoted(brought)}), from more rows than there were in its own trial",
                f"Let down insert only those rows of {table} that up had taken.",
            )
        elif wanted := chained.down.deletes_from(table):
            yield Cause(
                f"down deletes others than up had added ({quoted(wanted)}): later migrations changed these",
                f"Let down find by their key the rows of {table} that up added.",
            )
    else:
        for column in columns:
            yield from _later(changed_by_down(chained, table, column))


def _later(causes: Iterator[Cause]) -> Iterator[Cause]:
    """The statement, and why its own trial did not show it."""
    yield from (replace(c, text=f"{c.text}; {LATER}") for c in causes)


def _case(case: Case, step: ChainStep, change: TableDiff) -> Case:
    """The same trial with this down in the place of its own."""
    now = Snapshot(moment="chain", schema=step.schema_now)
    return Case(replace(case.trial, down=step.down, after_down=now, down_changes=(change,)), case.limit)


def of_schema(case: Case, step: ChainStep, changes: Sequence[Difference]) -> Iterator[Cause]:
    """What this down did, or left undone, about the objects."""
    intent = _intent(case, step)
    for change in changes:
        label = change.key.label
        texts = intent.naming_object(change.key) or tuple(
            s
            for s in intent.statements
            if "(" not in change.key.name and names_in(s, change.key.name, case.trial.engine)
        )
        if change.new is None and texts:
            yield Cause(
                f"down removes {label} ({quoted(texts)}), which later migrations had left in its place",
                f"Let down remove only what its own up made, not {label}.",
            )
        elif change.new is None:
            again = remedy.create_again(change.key, change.old or {}, case.trial.engine)
            yield Cause(
                f"{label} went while later migrations came and went, and no statement of this down names it",
                f"Let the down that takes it make it again{f': {span(again)}' if again else ''}.",
            )
        elif change.old is None and texts:
            yield Cause(
                f"down creates {label} ({quoted(texts)}), which was not there on the way up",
                f"Let down make only what stood before its up, not {label}.",
            )
        elif change.old is None:
            drop = remedy.drop(change.key, case.trial.engine)
            yield Cause(
                f"{label} came with a later migration, and neither its own down nor this one removes it",
                f"Let down remove it{f': {span(drop)}' if drop else ''}.",
            )
        elif texts:
            yield Cause(
                f"down defines {label} ({quoted(texts[-1:])}) without what it had on the way up:"
                f" {listed(sorted(change.attributes))}",
                f"Let down give {label} the definition that it had before up.",
            )


def _intent(case: Case, step: ChainStep) -> Intent:
    texts = [s.sql for s in step.down.statements]
    return read(texts, case.trial.engine, step.schema_then, observed=step.down.statements_observed)


def of_error(step: ChainStep) -> Iterator[Cause]:
    """Its own trial ran the same statement without an error."""
    error = step.down.error
    if error is not None and error.statement:
        yield Cause(
            f"{stated(error.statement)} ran in its own trial, and is refused once later migrations were applied and"
            f" taken back: {shorten(error.message, 200)}",
            "Run all downs in a row on rows, and let each one leave what the one before it needs.",
        )
