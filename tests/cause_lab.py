"""``happened(...)``: a trial as if a migration had run on some engine, from real rows of a small SQLite database.

What a step *says* (the statements that the trace holds, in the engine's dialect) and what it *does* (on SQLite) may
differ, so that causes of other engines are derived from traces that hold together, in milliseconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seatrial.checks import load
from seatrial.checks.case import Case
from seatrial.checks.chain import chain_findings, links
from seatrial.engines.sqlite import SqliteDatabase
from seatrial.model import (
    ChainStep,
    Finding,
    Migration,
    ObjectKey,
    Schema,
    Script,
    Snapshot,
    Statement,
    Step,
    StepError,
    TableDiff,
    Transaction,
    Trial,
)
from seatrial.schema import pair_by_name, pair_through
from seatrial.sql.intent import read
from seatrial.sql.split import split

CHECKS = load()
Patch = Mapping[ObjectKey, Mapping[str, Any] | None]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One step: what it says, and what it does where that is not the same."""

    says: str = ""
    does: str | None = None
    rows: int | None = None
    error: StepError | None = None
    parameters: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)  # other fields of the step

    def step(self, engine: str) -> Step:
        sent = [p.text for p in split(self.says, engine)]
        statements = tuple(Statement(sql=s, rows=self.rows, parameters=self.parameters) for s in sent)
        return Step(**{"statements": statements, "error": self.error, "in_transaction": True, **self.about})

    def on(self, database: SqliteDatabase, session: Sequence[str]) -> None:
        text = self.says if self.does is None else self.does
        step = database.run(Script(text=text, session=tuple(session), transaction=Transaction.STATEMENTS))
        assert step.error is None, step.error


def patched(snapshot: Snapshot, patch: Patch) -> Snapshot:
    """With other attributes, or objects that SQLite does not have; None takes one away."""
    objects: dict[ObjectKey, Any] = dict(snapshot.schema.items())
    for key, attributes in patch.items():
        if attributes is None:
            objects.pop(key, None)
        else:
            objects[key] = {**objects.get(key, {}), **attributes}
    return replace(snapshot, schema=Schema(objects))


def happened(
    *,
    base: str,
    seed: str = "",
    up: Run | str = "",
    down: Run | str = "",
    reup: Run | str | None = None,
    rerun: Run | str | None = None,
    engine: str = "sqlite",
    session: Sequence[str] = (),
    a: Patch | None = None,
    b: Patch | None = None,
    c: Patch | None = None,
    no_down: str | None = None,
    **changes: Any,
) -> Trial:
    """The trial; ``a``, ``b``, ``c`` patch what stood before up, after up, after down; ``changes`` replace fields."""
    up, down = (Run(says=r) if isinstance(r, str) else r for r in (up, down))
    with tempfile.TemporaryDirectory() as folder:
        database = SqliteDatabase(Path(folder, "lab.sqlite3"))
        assert database.load(base + seed) is None
        before = patched(database.take("A"), a or {})
        trial = Trial(
            index=0, migration=Migration(id="1", version="1", name="m", path="m.sql", no_down=no_down), engine=engine
        )
        up.on(database, session)
        after = patched(database.take("B"), {**(a or {}), **(b or {})} if b is not None or a else {})
        renames = read([s.sql for s in up.step(engine).statements], engine, before.schema).renames
        trial = replace(
            trial,
            before=before,
            up=up.step(engine),
            after_up=after,
            renames=renames,
            up_changes=database.diff(before, after, pair_through(before, after, renames)),
        )
        if up.error is None and no_down is None:
            trial = _back(trial, database, down, session, before, after, {**(a or {}), **(c or {})})
            if reup is not None:
                trial = _again(trial, database, reup, session, after)
        if rerun is not None:
            trial = _twice(trial, rerun, engine, database, session, after)
        database.close()
    return replace(trial, **changes)


def _back(
    trial: Trial,
    database: SqliteDatabase,
    down: Run,
    session: Sequence[str],
    before: Snapshot,
    up: Snapshot,
    patch: Patch,
) -> Trial:
    down.on(database, session)
    after = patched(database.take("C", also=before.schema), patch)
    trial = replace(trial, down=down.step(trial.engine), after_down=after)
    if down.error is not None:
        return trial
    changes = database.diff(before, after, pair_by_name(before, after))
    return replace(trial, down_changes=changes, undone=database.diff(up, after, pair_by_name(up, after)))


def _again(trial: Trial, database: SqliteDatabase, reup: Run | str, session: Sequence[str], first: Snapshot) -> Trial:
    run = Run(says=reup) if isinstance(reup, str) else reup
    if run.error is not None:
        return replace(trial, reup=run.step(trial.engine))
    run.on(database, session)
    after = database.take("D")
    changes = database.diff(first, after, pair_by_name(first, after))
    return replace(trial, reup=run.step(trial.engine), after_reup=after, reup_changes=changes)


def _twice(
    trial: Trial, rerun: Run | str, engine: str, database: SqliteDatabase, session: Sequence[str], first: Snapshot
) -> Trial:
    """Up a second time; the lab's down has to do nothing for it."""
    run = Run(says=rerun) if isinstance(rerun, str) else rerun
    run.on(database, session)
    after = database.take("E")
    return replace(trial, rerun=run.step(engine), rerun_changes=database.diff(first, after, pair_by_name(first, after)))


def findings(trial: Trial, rule: str) -> list[Finding]:
    return [f for f in CHECKS[rule].run(Case(trial)) if isinstance(f, Finding)]


def chained(
    trial: Trial, down: str, changes: Sequence[TableDiff], schema: tuple[Patch, Patch] = ({}, {}), **step: Any
) -> list[Finding]:
    """What the chain's down of this migration is told of; ``schema``: objects beside, on the way up and now."""
    assert trial.before is not None
    then, now = (patched(trial.before, objects).schema for objects in schema)
    ran = Step(**{"statements": tuple(Statement(sql=p.text) for p in split(down, trial.engine)), **step})
    chain = ChainStep(migration="1", down=ran, schema_then=then, schema_now=now, changes=tuple(changes))
    return list(chain_findings(Case(trial), links([chain])["1"], []))
