"""What a step asks of rows, seen in a database where none stand in its way."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import field

from seatrial.model import Database, Migration, Runner, Schema, StepError
from seatrial.seeds.refit import Ahead
from seatrial.trial.retry import disturbed
from seatrial.trial.stand import Ground, let_go
from seatrial.values import dataclass


@dataclass(slots=True)
class Bare:
    """Another database than the walk's, that migrations alone have brought on; it waits there for the next question.

    It does not wait where a step failed, nor where anyone made users or roles: these are the whole server's.
    """

    ground: Ground
    _database: Database | None = None
    _applied: list[str] = field(default_factory=list)

    def ahead(self, migration: Migration, applied: Sequence[Migration], now: Schema) -> Ahead | StepError | None:
        """What a step asks, or how it fails without rows; None where an earlier one already does.

        ``now``: the schema that the walk stands on. Raises Disturbed, DatabaseError, ServerError.
        """
        if _has_accounts(now):
            self.close()
        found: Ahead | StepError | None = None
        try:
            found = self._asked(migration, applied)
        finally:
            if not isinstance(found, Ahead) or _has_accounts(now) or _has_accounts(found.schema):
                self.close()
        return found

    def _asked(self, migration: Migration, applied: Sequence[Migration]) -> Ahead | StepError | None:
        sent: tuple[str, ...] = ()
        database, runner = self._brought(applied)
        with closing(runner):
            for earlier in (*applied[len(self._applied) :], migration):
                done = runner.up(earlier)
                if done.error and (found := disturbed(database, done.error)):
                    raise found
                if done.error:
                    return done.error if earlier is migration else None
                self._applied.append(earlier.id)
                sent = tuple(s.sql for s in done.statements)
            return Ahead(schema=database.inspect(), statements=sent)

    def _brought(self, applied: Sequence[Migration]) -> tuple[Database, Runner]:
        """The database as it waits, where it stands on the way; else an empty one."""
        if self._database is not None and self._applied == [m.id for m in applied[: len(self._applied)]]:
            return self._database, self.ground.runner(self._database)
        self.close()
        self._database, runner = self.ground.open()
        return self._database, runner

    def close(self) -> None:
        if self._database is not None:
            let_go(self._database)
        self._database = None
        self._applied.clear()


def _has_accounts(schema: Schema) -> bool:
    return any(key.kind in ("user", "role") for key in schema)
