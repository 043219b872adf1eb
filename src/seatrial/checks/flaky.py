"""flaky."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from seatrial.checks import Found, check
from seatrial.checks.case import Case, finding, listed, shorten
from seatrial.checks.causes.again import disagreed
from seatrial.model import Finding, Phase, Schema, Severity, Snapshot, Step, TableDiff, TableRef, Trial
from seatrial.schema import diff

RULE = "flaky"


@check("flaky", Severity.MEDIUM)
def flaky(case: Case) -> Found:
    """Attempts at the same trial disagreed.

    Where something outside cuts a trial short (a lost connection, a lock), it is tried again on a database like the
    first. What an earlier attempt had come to by then has to come out again: that a step works, the objects that it
    leaves, the rows that it adds and removes, the values that it writes. Random, time and sequence-given values, which
    differ between the two ups of one trial as well, are no disagreement (see nondeterministic-up).

    What to do: look for what the outcome depends on: the clock, the order of rows without ORDER BY, another session.
    A finding that shows in one attempt only has to be taken as seriously as one that shows in all.
    """
    for number, earlier in enumerate(case.trial.earlier, 1):
        yield from _disagreement(case, earlier, number)
    alike = Counter(error.message for error in case.trial.faltered)
    for message, times in alike.items():
        error = next(e for e in case.trial.faltered if e.message == message)
        often, else_ = (f"{times} times", "Before that it") if times > 1 else ("once", "The other times it")
        yield finding(
            case,
            RULE,
            Severity.MEDIUM,
            Phase.UP,
            f"Up failed {often} when it was applied again to a new database: {shorten(message, 200)}. {else_} "
            "went well.",
            causes=disagreed(case, Phase.UP),
            recommendation="Look for what up reads besides stored data: time, chance, files, other sessions.",
            sql=error.statement,
            count=1,
        )


def _disagreement(case: Case, earlier: Trial, number: int) -> Iterator[Finding]:
    trial = case.trial
    told = [
        *_told(Phase.UP, earlier.up, trial.up, earlier.after_up, trial.after_up),
        *_told(Phase.DOWN, earlier.down, trial.down, earlier.after_down, trial.after_down),
    ]
    drawn = _drawn(trial)
    if not told and _same_start(earlier, trial):
        told += [(Phase.UP, w) for w in _rows_told(earlier.up_changes, trial.up_changes, drawn)]
        if trial.down.executed and earlier.after_down is not None and not trial.down.error:
            told += [(Phase.DOWN, w) for w in _rows_told(earlier.down_changes, trial.down_changes, drawn)]
    for phase, words in told:
        yield finding(
            case,
            RULE,
            Severity.MEDIUM,
            phase,
            f"Attempt {number} was cut short ({shorten(earlier.error, 120)}), but by then {words}.",
            causes=disagreed(case, phase),
            recommendation=f"Look for what {phase.value} reads besides stored data, and for an order that does not tell"
            " all rows apart.",
            count=1,
        )


def _told(
    phase: Phase, was: Step, now: Step, before: Snapshot | None, after: Snapshot | None
) -> Iterator[tuple[Phase, str]]:
    """How a step that had ended well in one attempt differs from the last attempt's; nothing where either did not."""
    if not was.executed or was.error or before is None or not now.executed:
        return
    if now.error:
        yield (
            phase,
            f"its {phase.value} had ended without an error; this time it failed: {shorten(now.error.message, 200)}",
        )
    elif after is not None and (objects := _objects(before.schema, after.schema)):
        yield phase, f"its {phase.value} had left another schema: {listed(objects)} differ"


def _objects(was: Schema, now: Schema) -> list[str]:
    return [d.key.label for d in diff(was, now)]


def _same_start(earlier: Trial, trial: Trial) -> bool:
    """Whether both began with the same rows: made again, they may hold other random or time values."""
    if earlier.before is None or trial.before is None:
        return False
    states = [{t.table: (t.rows, t.checksum) for t in s.tables} for s in (earlier.before, trial.before)]
    return states[0] == states[1]


def _drawn(trial: Trial) -> frozenset[tuple[TableRef, str]] | None:
    """Columns in which the two ups of the trial differ; None where there was no second one to tell."""
    if not trial.reup.executed or trial.reup.error:
        return None
    return frozenset((d.table, c) for d in trial.reup_changes for g in d.changed for c in g.columns)


def _rows_told(
    was: Sequence[TableDiff], now: Sequence[TableDiff], drawn: frozenset[tuple[TableRef, str]] | None
) -> Iterator[str]:
    before, after = {d.table: d for d in was}, {d.table: d for d in now}
    for table in sorted(before.keys() | after.keys()):
        one, other = before.get(table, TableDiff(table=table)), after.get(table, TableDiff(table=table))
        for word, a, b in (
            ("removed", one.lost_count, other.lost_count),
            ("added", one.added_count, other.added_count),
        ):
            if a != b:
                yield f"it had {word} {a:,} rows of {table}; this time {b:,}"
        if drawn is not None and (columns := _otherwise(one, other, drawn)):
            yield f"it had written other values to {table}.{', '.join(columns)}"


def _otherwise(one: TableDiff, other: TableDiff, drawn: frozenset[tuple[TableRef, str]]) -> list[str]:
    """Columns whose values the attempts wrote differently, in rows that both name, but for those that vary anyway."""
    was, now = _written(one), _written(other)
    found = {column for key, column in was.keys() & now.keys() if was[key, column] != now[key, column]}
    return sorted(c for c in found if (one.table, c) not in drawn)


def _written(change: TableDiff) -> dict[tuple[object, str], str | None]:
    return {
        (row.key, column): new
        for group in change.changed
        for row in group.rows
        for column, new in zip(group.columns, row.new, strict=True)
    }
