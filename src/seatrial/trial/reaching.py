"""Rows that a step's statements look for: made before it is tried, and taken out again where its up refuses them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from seatrial.model import Foretelling, NotVerified, Snapshot, Trial
from seatrial.plan import Planned
from seatrial.sql.tokens import quote_name
from seatrial.sql.wants import Want, looked_for, wanted
from seatrial.trial.retry import Retrier, disturbed
from seatrial.trial.rows import Rows
from seatrial.trial.stand import Stand
from seatrial.trial.untried import unmet, unread
from seatrial.values import dataclass

T = TypeVar("T")
_TRIES = 8  # kinds of rows that are tried one by one where an up refuses some


@dataclass(slots=True)
class Reaching:
    """``back`` brings the database to where the walk stands; ``observe`` tries a step from what is held."""

    stand: Stand
    rows: Rows
    retrier: Retrier
    doubts: list[NotVerified]
    back: Callable[[Planned], None]
    observe: Callable[[Planned], tuple[Trial, Snapshot]]
    _wants: tuple[Want, ...] = ()  # of the step at hand, as far as they are known

    def prepare(self, step: Planned) -> None:
        """Rows for what the step's files say that it looks for."""
        source, engine = self.stand.ground.source, self.stand.database.engine
        said = source.says(step.migration, engine) if isinstance(source, Foretelling) else ((), ())
        self._wants = wanted(*said, engine)
        self.rows.reach(step.index - 1, self._wants)

    def tried(self, step: Planned, trial: Trial, now: Snapshot) -> tuple[Trial, Snapshot]:
        """The trial, once more where rows that it looks for were not known before, or are refused."""
        if trial.up.error is None and (more := (*self._not_known(trial), *self._varied(trial))):
            self._wants += more
            self.back(step)
            if self._persist(step, lambda _: self.rows.reach(step.index - 1, self._wants)):
                trial, now = self._again(step)
            else:
                trial, now = self.observe(step)
        if trial.up.error is not None and not trial.error and self.rows.extra(step.index - 1):
            return self._without(step, trial, now)
        return trial, now

    def anew(self, step: Planned, trial: Trial, now: Snapshot) -> tuple[Trial, Snapshot]:
        """Once more where made-up rows were changed to fit, and some that the step looks for went with that."""
        if trial.up.error or trial.error or not self._wants or not unmet(trial.up, trial.engine):
            return trial, now
        self.back(step)
        if not self._persist(step, lambda _: self.rows.reach(step.index - 1, self._wants)):
            return self.observe(step)
        trial, now = self._again(step)
        return self._without(step, trial, now) if trial.up.error and not trial.error else (trial, now)

    def _not_known(self, trial: Trial) -> tuple[Want, ...]:
        """What statements that changed no row looked for, and nobody knew before they ran."""
        if trial.before is None or not trial.up.executed:
            return ()
        engine = trial.engine
        texts = [t for step in (trial.up, trial.down) for t in (*unmet(step, engine), *unread(step, engine))]
        missed = {want.asks for text in texts for want in looked_for(text, engine)}
        if not missed:
            return ()
        known = {(want.table.name.casefold(), want.pairs) for want in self._wants}
        said = wanted(trial.up.texts, trial.down.texts, engine)
        found = (w for w in said if w.asks in missed and (w.table.name.casefold(), w.pairs) not in known)
        return tuple(w for w in found if self.rows.may_reach(w, trial.before.schema))

    def _varied(self, trial: Trial) -> tuple[Want, ...]:
        """Rows that hold another value than the default of a column which up drops, and which lost nothing by it."""
        before = trial.before
        return tuple(w for w in beside_defaults(trial) if before and self.rows.may_reach(w, before.schema))

    # --- where up refuses them ---

    def _without(self, step: Planned, failed: Trial, now: Snapshot) -> tuple[Trial, Snapshot]:
        """Without the rows that up refuses; where it fails without any as well, it is not their fault."""
        assert failed.up.error is not None
        self.back(step)
        out = self._persist(step, lambda _: self.rows.take_out_extra(step.index - 1))
        kept = self._persist(step, lambda _: self._bearable(step))
        self.back(step)
        if kept:
            self._persist(step, lambda _: self.rows.reach(step.index - 1, kept))
        trial, now = self._again(step)
        if trial.up.error is None:
            self.retrier.fixed(step.migration.id, failed.up.error.message, True, out)
            taken = {w.asks for w in kept}
            refused = [w for w in self._wants if w.asks not in taken]
            self._doubt(step, refused or self._wants, failed.up.error.message)
        return dataclasses.replace(trial, attempts=failed.attempts + trial.attempts), now

    def _bearable(self, step: Planned) -> list[Want]:
        """Those of the wants whose rows up takes, or one row; none where it fails without any row of theirs."""
        kept: list[Want] = []
        if len(self._wants) > _TRIES or not self._passes(step, kept):
            return kept
        for want in self._wants:
            ways = [want] if len(self._wants) > 1 else []
            ways += [dataclasses.replace(want, rows=1)] if want.rows > 1 else []
            kept += [w for w in ways if self._passes(step, [*kept, w])][:1]
        return kept

    def _passes(self, step: Planned, wants: Sequence[Want]) -> bool:
        self.stand.restore()
        self.rows.reach_for_now(wants)
        error = self.stand.runner.up(step.migration).error
        if error and (found := disturbed(self.stand.database, error)):
            raise found
        return error is None

    def _doubt(self, step: Planned, wants: Sequence[Want], message: str) -> None:
        told = list(dict.fromkeys(f"{w.table.name}: {' AND '.join(w.parts)}" for w in wants if w.parts))[:3]
        why = f"up refuses made-up rows that it looks for ({'; '.join(told)}): {message}"
        self.doubts.append(NotVerified(what="stored rows under this migration", why=why, migration=step.migration.id))

    def _again(self, step: Planned) -> tuple[Trial, Snapshot]:
        self.stand.standing = None
        self._persist(step, lambda _: self.stand.hold(step.index))
        return self.observe(step)

    def _persist(self, step: Planned, act: Callable[[object], T]) -> T:
        return self.retrier.persist(step.migration.id, act)


def beside_defaults(trial: Trial) -> Iterator[Want]:
    """For each column that up drops and down adds again, and that lost nothing: a row without its default.

    Every row that stood when the column came with a default holds that. Down gives it to all rows, so that these come
    back whatever it does.
    """
    if not (trial.before and trial.after_down):
        return
    lost = {(diff.table, name) for diff in trial.down_changes for g in diff.changed for name in g.columns}
    for diff in trial.up_changes:
        columns, back = (held.schema.columns(diff.table) for held in (trial.before, trial.after_down))
        for name in diff.missing_columns:
            default = columns.get(name, {}).get("default")
            if default and name in back and (diff.table, name) not in lost:
                part = f"{quote_name(name, trial.engine)} <> {default}"
                yield Want(table=diff.table, parts=(part,), rows=1)
