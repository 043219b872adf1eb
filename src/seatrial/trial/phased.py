"""The zero-downtime way of a migration of HIGH impact: set out in phases, and believed only where it was tried.

Each phase runs, statement by statement, on the rows of before up. What stands at the end has to be what up leaves:
the same schema, but for the order of columns, and the same rows, but for values that differ from one up to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from seatrial.model import Database, Impact, PlanPhase, Script, Snapshot, Statement, Transaction, Trial
from seatrial.schema import diff, pair_by_name
from seatrial.sql.phases import set_out
from seatrial.sql.remedy import of, quoted
from seatrial.sql.turns import NotSetOut, Piece, Turn
from seatrial.trial.outcome import varies_only

TITLES = {
    Turn.EXPAND: "Additive Changes (Deploy V1)",
    Turn.BACKFILL: "Backfill Data (Background Job)",
    Turn.ENFORCE: "Make Column Required (Deploy V2)",
    Turn.CONTRACT: "Cleanup (Deploy V3)",
}
BATCH = 10_000  # keys
FEWEST_BATCHES, MOST_BATCHES = 3, 1_000  # a statement that only works as a whole is to show it


def is_wanted(trial: Trial) -> bool:
    """Up holds others up for long, and down brings back the state on which another way can be tried."""
    return Impact.of(trial.up.duration_ms) is Impact.HIGH and varies_only(trial)


def phased(database: Database, trial: Trial, goal: Snapshot) -> tuple[PlanPhase, ...]:
    """The phases for ``trial``, tried on what stands now: the database as before up; ``goal`` is what up leaves.

    Raises NotSetOut where there are none that come to the same.
    """
    assert trial.before is not None
    before = trial.before.schema
    pieces = set_out(list(_texts(trial.up.statements)), before, goal.schema, database.engine)
    found = []
    for turn, group in groupby(pieces, key=lambda p: p.turn):
        parts = list(group)
        runs = [list(_runs(database, p)) for p in parts]
        found.append(_phase(turn, parts, runs, database.engine))
        _run(database, found[-1], [sql for each in runs for sql in each])
    _compare(database, trial, goal)
    return tuple(found)


def _phase(turn: Turn, parts: Sequence[Piece], runs: Sequence[Sequence[str]], dialect: str) -> PlanPhase:
    """What a reader is told of a phase; of many batches the first."""
    backs = [p.back for p in reversed(parts)]
    return PlanPhase(
        title=TITLES[turn],
        sql="\n".join(_shown(p, r, dialect) for p, r in zip(parts, runs, strict=True)),
        notes=tuple(dict.fromkeys(p.note for p in parts if p.note)),
        rollback="" if None in backs else "; ".join(b for b in backs if b),
    )


def _shown(piece: Piece, runs: Sequence[str], dialect: str) -> str:
    if piece.batch is None:
        return f"{piece.sql};"
    table, column = piece.batch
    if not runs:
        return f"-- in batches by {column}; {table} holds no rows here\n{piece.between(1, BATCH, dialect)};"
    of = f"the first of {len(runs)} batches" if len(runs) > 1 else "one batch here"
    return f"-- {of} by {column}, each a transaction of its own\n{runs[0]};"


def _texts(statements: Iterable[Statement]) -> Iterator[str]:
    for statement in statements:
        if statement.parameters and not statement.bound:
            raise NotSetOut("values are bound to its statements that cannot be written into them")
        if not statement.undone:
            yield statement.bound or statement.sql


def _runs(database: Database, piece: Piece) -> Iterator[str]:
    """The statements that a piece comes to on the rows that stand now."""
    if piece.batch is None:
        yield piece.sql
        return
    table, column = piece.batch
    name = quoted(column, database.engine)
    ((low, high),) = database.query(f"SELECT min({name}), max({name}) FROM {of(table, database.engine)}")
    if low is None or high is None:
        return
    first, last = int(low), int(high)
    size = -(-(last - first + 1) // min(MOST_BATCHES, max(FEWEST_BATCHES, (last - first) // BATCH)))
    for start in range(first, last + 1, size):
        yield piece.between(start, min(start + size - 1, last), database.engine)


def _run(database: Database, phase: PlanPhase, statements: Sequence[str]) -> None:
    for sql in statements:
        error = database.run(Script(text=f"{sql};", transaction=Transaction.STATEMENTS)).error
        if error is not None:
            raise NotSetOut(f"the phase *{phase.title}* was refused: {error.message}", error.statement)


def _compare(database: Database, trial: Trial, goal: Snapshot) -> None:
    after = database.take(f"{trial.index}:P")
    try:
        if others := [d.key.label for d in diff(goal.schema, after.schema)]:
            raise NotSetOut(f"what its phases leave is not what up leaves: {', '.join(others[:5])}")
        varying = {d.table for d in trial.reup_changes}
        rows = [d for d in database.diff(goal, after, pair_by_name(goal, after)) if d.table not in varying]
        if rows:
            raise NotSetOut(f"its phases leave other rows than up: {', '.join(str(d.table) for d in rows[:5])}")
    finally:
        database.release(after.moment)
