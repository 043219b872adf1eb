"""Rows under a walk: given ones loaded, others made, and made ones changed where an up asks for other ones."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Sequence
from dataclasses import field, replace
from pathlib import Path

from seatrial.config import Config
from seatrial.errors import DatabaseError, SeedError
from seatrial.model import ErrorKind, Migration, NotVerified, Schema, Snapshot, Step, StepError, TableRef
from seatrial.plan import Planned
from seatrial.seeds.extra import Extra
from seatrial.seeds.generate import FillResult, topup, undo
from seatrial.seeds.load import BOOKKEEPING, UNFIT, load
from seatrial.seeds.reach import reach
from seatrial.seeds.refit import Ahead, refit
from seatrial.seeds.repair import Beyond, repair
from seatrial.seeds.shape import shapes
from seatrial.seeds.thin import Rows as Kept
from seatrial.seeds.thin import Thinned, keep_only, thin, units
from seatrial.sql.intent import read
from seatrial.sql.pivot import of_one_row
from seatrial.sql.rename import names_in
from seatrial.sql.tables import fold
from seatrial.sql.wants import Want
from seatrial.trial.bare import Bare
from seatrial.trial.retry import disturbed
from seatrial.trial.stand import ROWS, SEED, Act, Stand
from seatrial.values import dataclass

DEAR = 4  # so many goings back to one state cost more than a copy of it: what was kept since the last one is left alone


@dataclass(frozen=True, slots=True)
class Mend:
    """An attempt at repairing the given seed: why, what was done, and the outcome as SQL; empty where it failed."""

    why: str
    actions: tuple[str, ...]
    sql: str = ""


@dataclass(slots=True)
class Rows:
    """What was given and made. ``why_changed``: why no earlier state is a measure any more."""

    stand: Stand
    config: Config
    doubts: list[NotVerified]
    made: dict[int, FillResult] = field(default_factory=dict)  # after the step of this index
    why_changed: str = ""
    mends: list[Mend] = field(default_factory=list)  # of the given seed, in their order
    bare: Bare = field(init=False)
    _peopled: Schema = field(default_factory=Schema)  # the schema for which rows were made or given
    _seen: tuple[int, Schema] = (-2, Schema())  # the step after which rows were last looked after, and its schema
    _new: frozenset[TableRef] = frozenset()  # the tables that this very step made
    _ours: set[TableRef] = field(default_factory=set)  # tables with made-up rows, by the names that they have now

    def __post_init__(self) -> None:
        self.bare = Bare(self.stand.ground)

    def seed(self) -> None:
        """Load the given rows."""
        if self.config.seed.path is None:
            return
        path = self.config.project / self.config.seed.path

        def given() -> None:
            self._tell_skipped(load(self.stand.database, path, self.config.project).skipped)
            self.stand.database.advance_counters()

        self.stand.standing = None
        self.mends.clear()
        try:
            given()
        except SeedError as refused:
            self.stand.did(SEED, 0.0, self._mend(path, refused))
        else:
            self.stand.did(SEED, 0.0, given)

    def _tell_skipped(self, skipped: Sequence[tuple[str, str]]) -> None:
        """Rows of a dump or file that are in none of the project's tables: no migration is tried on them."""
        found = (NotVerified(what=f"the seed's rows of {t}", why=why) for t, why in skipped if why != BOOKKEEPING)
        self.doubts += [doubt for doubt in found if doubt not in self.doubts]  # loaded again where a step is restored

    def _mend(self, path: Path, refused: SeedError) -> Act:
        """Repair it, each time with other made-up values; what loads the outcome again. Raises SeedError."""
        if refused.refused is None or refused.refused.kind is ErrorKind.ENVIRONMENT or not self.config.retry.attempts:
            raise refused
        with self.stand.kept_meanwhile():
            why, again = self._tried(path, refused)
        if again is not None:
            return again
        raise SeedError(f"{refused.what} {why}.", refused=refused.refused, advice=UNFIT)

    def _tried(self, path: Path, refused: SeedError) -> tuple[str, Act | None]:
        """Attempts in a database in which nothing of the seed is: why the last one failed, or what loads it now."""
        why = ""
        for attempt in range(self.config.retry.attempts):
            if attempt:
                self.stand.renew()
            try:
                return "", self._mended(path, refused, self.config.seed.random + attempt)
            except Beyond as beyond:
                why = f"It cannot be repaired: {beyond}"
                self.mends.append(Mend(refused.what, (*beyond.repairs, why)))
                if not beyond.chance:
                    break  # no made-up value would help
        return why, None

    def _mended(self, path: Path, refused: SeedError, random: int) -> Act:
        """One attempt; its outcome is then loaded into another database, as others would load it. Raises Beyond."""
        repaired = repair(
            self.stand.database, path, self.config.project, refused, seed=random, required=self.config.required
        )
        self._tell_skipped(repaired.skipped)

        def again() -> None:
            if error := self.stand.database.load(repaired.sql):
                raise SeedError(f"The repaired seed is refused: {error.message}", refused=error)
            self.stand.database.advance_counters()

        self.stand.renew()
        try:
            again()
        except SeedError as error:
            if error.refused is not None and error.refused.kind is ErrorKind.ENVIRONMENT:
                raise
            raise Beyond(str(error), repaired.repairs) from error
        to = "include required foreign key references" if repaired.supplied else "fit the schema"
        actions = (f"Updated seed data to {to}", *repaired.repairs)
        self.mends.append(Mend(refused.what, actions, repaired.sql))
        return again

    def look(self) -> None:
        """What the given rows leave empty; nothing is made at their version unless that was asked for."""
        if self.config.seed.path is None:
            return
        self.stand.standing = None
        seeded = self.stand.take("seeded")
        if not self.config.seed.generate:
            self._peopled = seeded.schema
            self.doubts += [
                NotVerified(what=f"rows of {t.table}", why="the given seed leaves it empty (--generate fills it)")
                for t in seeded.tables
                if t.compared and not t.rows
            ]

    def fill(self, index: int) -> None:
        """Rows for the tables and columns that came since rows were last made or given."""
        before, after = self._peopled, self.stand.schema()
        self._look_for_new(index, after)
        if after == before:
            return

        def fill() -> FillResult:
            seed, required = self.config.seed, self.config.required
            return topup(self.stand.database, before, after, rows=seed.rows, seed=seed.random, required=required)

        begun = time.perf_counter()
        made = fill()
        self._peopled = after
        self.made[index] = made
        self._ours |= {t for t, n in made.inserted.items() if n}
        self.stand.did(ROWS, (time.perf_counter() - begun) * 1000, fill)
        self.doubts += [NotVerified(what=f"rows of {table}", why=why) for table, why in made.not_filled.items()]
        self.doubts += [
            NotVerified(what=f"values of {table}.{column}", why="no value was found for it: NULL in every made-up row")
            for table, columns in made.null_only.items()
            for column in columns
        ]

    def see(self, up: Step) -> None:
        """A table that an up drops and makes anew is a new one: rows are made where it has none."""
        intent = read(up.texts, self.stand.database.engine, self._peopled)
        self._ours |= {new for old, new in intent.renames.tables if old in self._ours}
        dropped = {t for t in self._peopled.tables() if intent.drops_table(t)}
        if dropped:
            self._peopled = Schema({k: a for k, a in self._peopled.items() if k.owner not in dropped})

    def _look_for_new(self, index: int, schema: Schema) -> None:
        at, known = self._seen
        if index != at:  # else the same step is prepared again
            follows = index == at + 1
            self._new = frozenset(schema.tables()) - frozenset(known.tables()) if follows else frozenset()
            self._seen = index, schema

    def tell_empty(self, migration: Migration, before: Snapshot, up: Step) -> None:
        """Tables that this up works on and that earlier migrations left empty: it was tried on no row of them."""
        empty = [t.table for t in before.tables if t.compared and not t.rows]
        known = {doubt.what for doubt in self.doubts}
        why = "it is empty when this migration is tried"
        for table in sorted(_named(up, empty, self.stand.database.engine)):
            if f"rows of {table}" not in known:
                self.doubts.append(NotVerified(what=f"rows of {table}", why=why, migration=migration.id))

    def has_made(self, index: int) -> bool:
        """Whether anything was made after a step."""
        return index in self.made and self.made[index].is_any

    def take_back(self, index: int) -> str:
        """Undo what was made after a step, before the chain goes below it; why that cannot be, else nothing.

        A later down that left a column NOT NULL refuses it. With our values in it, the downs below would be measured
        by rows that nobody gave them.
        """
        made, schema = self.made[index], self.stand.schema_now()
        try:
            undo(self.stand.database, made, schema)
        except DatabaseError as error:
            if disturbed(self.stand.database, error):
                raise
            return f"{_of_made(made)} cannot be taken back from what later downs left: {error}"
        return ""

    # --- rows that a migration's statements look for ---

    def reach(self, index: int, wants: Sequence[Want]) -> tuple[TableRef, ...]:
        """Make, beside made-up rows, those that the next migration wants and that are missing; in which tables."""
        names = {want.table.name.casefold() for want in wants}
        if not any(t.name.casefold() in names for t in self._ours):
            return ()
        schema, begun = self.stand.schema(), time.perf_counter()
        tables = self._ours & set(schema.tables())

        def make() -> FillResult:
            seed, required = self.config.seed, self.config.required
            return reach(self.stand.database, schema, wants, tables, seed=seed.random, required=required)

        made = make()
        if made.extra:
            self.made[index] = replace(self.made.get(index, FillResult()), extra={**self.extra(index), **made.extra})
            self.stand.did(ROWS, (time.perf_counter() - begun) * 1000, make)
        return tuple(made.extra)

    def reach_for_now(self, wants: Sequence[Want]) -> None:
        """The same for a moment: the database is brought back afterwards."""
        schema, seed, required = self.stand.schema(), self.config.seed.random, self.config.required
        tables = self._ours & set(schema.tables())
        reach(self.stand.database, schema, wants, tables, seed=seed, required=required)

    def may_reach(self, want: Want, schema: Schema) -> bool:
        """Whether rows could be made for a want, as far as names tell."""
        names = {t.name.casefold(): t for t in self._ours if t in schema.tables()}
        table = names.get(want.table.name.casefold())
        there = {c.casefold() for c in schema.columns(table)} if table else set()
        return bool(table) and all(name in there for name, _ in want.pairs)

    def extra(self, index: int) -> Extra:
        """The rows that were made after a step for what the next one looks for."""
        return self.made[index].extra if index in self.made else {}

    def take_out_extra(self, index: int) -> tuple[str, ...]:
        """Take them out again; what was taken out, in words."""
        extra, schema = self.extra(index), self.stand.schema()

        def take_out() -> None:
            undo(self.stand.database, FillResult(extra=extra), schema)

        take_out()
        self.made[index] = replace(self.made[index], extra={})
        self.stand.did(ROWS, 0.0, take_out)
        return tuple(f"{len(rows)} made-up rows of {t} taken out" for t, rows in extra.items())

    # --- made-up rows that an up refuses ---

    def fit(self, schema: Schema, ahead: Ahead) -> tuple[str, ...]:
        """Change made-up values so that what is ahead takes them too; what was changed, in words."""

        def fit() -> FillResult:
            random, required = self.config.seed.random, self.config.required
            return refit(self.stand.database, schema, ahead, seed=random, required=required)

        made = fit()
        if made.columns:
            self.stand.did(ROWS, 0.0, fit)
        return tuple(f"made-up values of {t}.{', '.join(c)} replaced" for t, c in made.columns.items())

    def refused(
        self, migration: Migration, refused: Step, schema: Schema, ahead: Ahead | None = None
    ) -> Thinned | None:
        """The made-up rows that an up refuses where it works without them; None where it does not. Restores.

        ``ahead``: what it does where no rows stand in its way.
        """
        stand = self.stand
        stand.restore()
        counts = units(stand.database, schema, self._filled(schema))

        tries = itertools.count(1)

        def passes(kept: Kept) -> bool:
            stand.restore()
            if next(tries) == DEAR:
                stand.keep()
            keep_only(stand.database, schema, kept)
            error = stand.runner.up(migration).error
            if error and (found := disturbed(stand.database, error)):
                raise found
            return error is None

        engine = stand.database.engine
        single = of_one_row(ahead.statements, engine, _unique(ahead.schema, engine)) if ahead else frozenset[str]()
        alone = [t for t in counts if t.name.casefold() in single]
        found = thin(counts, _suspects(refused, counts, engine), passes, alone)
        stand.restore()
        return found

    def unwritten(self, migration: Migration, refused: Step, schema: Schema, ahead: Ahead) -> Thinned | None:
        """The rows of tables that the migration right before made and this one fills, where it works without them.

        The two go out together: in between nobody has written there. None where that is not why up refuses.
        """
        stand = self.stand
        texts = [*refused.texts, *([refused.error.statement] if refused.error else []), *ahead.statements]
        intent = read(texts, stand.database.engine, schema)
        stand.restore()
        counts = units(stand.database, schema, [t for t in self._new if intent.inserts_into(t)])
        if not counts:
            return None
        keep_only(stand.database, schema, dict.fromkeys(counts, ()))
        error = stand.runner.up(migration).error
        if error and (found := disturbed(stand.database, error)):
            raise found
        stand.restore()
        return None if error else Thinned(kept=dict.fromkeys(counts, ()), counts=counts, enough=True)

    def take_out(self, schema: Schema, found: Thinned) -> tuple[str, ...]:
        """Take refused rows out; what was taken out, in words."""

        def take_out() -> None:
            keep_only(self.stand.database, schema, found.kept)

        take_out()
        self.stand.did(ROWS, 0.0, take_out)
        self.refill()
        gone = {t: found.counts[t] - len(kept) for t, kept in found.kept.items()}
        return tuple(f"{n} of {found.counts[t]} made-up rows of {t} taken out" for t, n in gone.items())

    def refill(self) -> None:
        """What is empty now is filled again before the next migration."""
        self._peopled = Schema()

    def empty(self, schema: Schema) -> tuple[str, ...]:
        """Empty the tables that were filled and still have their name; rows that referred to theirs go with them."""
        filled = self._filled(schema)

        def empty() -> None:
            keep_only(self.stand.database, schema, dict.fromkeys(filled, ()))

        self.made.clear()
        empty()
        self.stand.did(ROWS, 0.0, empty)
        self.refill()
        return tuple(f"made-up rows of {t} taken out" for t in filled)

    def none(self) -> None:
        """Begin again without any: what migrations wrote themselves is there, and nothing that came from made rows."""
        self.made.clear()
        self.stand.begin_without_rows()
        self.refill()

    def changed(self, step: Planned, why: str = "") -> None:
        """What earlier steps held is no measure for the chain any more."""
        self.why_changed = why or f"made-up rows were changed to fit {step.migration.id}"
        for index in [i for i in self.stand.held if i < step.index]:
            self.stand.drop(index)

    def ahead(self, step: Planned, applied: Sequence[Planned], now: Schema) -> Ahead | StepError | None:
        """What this step asks of rows, where none stand in its way; or how it fails there. Raises Disturbed.

        None where no state without rows can be had. ``now``: the schema before it.
        """
        found = self.bare.ahead(step.migration, [earlier.migration for earlier in applied], now)
        return found or self._ahead_here(step.migration, now)

    def _ahead_here(self, migration: Migration, now: Schema) -> Ahead | None:
        """In the walk's own database without made rows: what was run before cannot always run beside it (CREATE ROLE).

        A failure says nothing: it may be what migrations made of those rows that is refused.
        """
        stand = self.stand
        stand.restore()
        keep_only(stand.database, now, dict.fromkeys(self._filled(now), ()))
        done = stand.runner.up(migration)
        if done.error and (found := disturbed(stand.database, done.error)):
            raise found
        after = stand.database.inspect() if done.error is None else None
        stand.restore()
        return Ahead(schema=after, statements=tuple(s.sql for s in done.statements)) if after is not None else None

    def _filled(self, schema: Schema) -> list[TableRef]:
        """The tables in which rows were made, where they still have their name."""
        made = {t for filled in self.made.values() for t, n in filled.inserted.items() if n}
        return [t for t in schema.tables() if t in made]

    def close(self) -> None:
        self.bare.close()


def _unique(schema: Schema, engine: str) -> dict[str, set[str]]:
    """By table, in lower case: the columns that are unique by themselves."""
    keys = {t: [u.columns for u in shape.uniques if u.plain] for t, shape in shapes(schema, engine).items()}
    return {t.name.casefold(): {c[0].casefold() for c in columns if len(c) == 1} for t, columns in keys.items()}


def _of_made(made: FillResult) -> str:
    columns = [f"{table}.{name}" for table, names in made.columns.items() for name in names]
    tables = [str(table) for table, count in made.inserted.items() if count] + [str(table) for table in made.extra]
    words = [f"made-up {what} of {', '.join(of)}" for what, of in (("values", columns), ("rows", tables)) if of]
    return " and ".join(words)


def _named(step: Step, tables: Collection[TableRef], engine: str) -> frozenset[TableRef]:
    """Tables that a step's statements name; it may read them under another name by the time it fails."""
    return _named_in([s.sql for s in step.statements] + _refused_statement(step), tables, engine)


def _suspects(refused: Step, tables: Collection[TableRef], engine: str) -> list[TableRef]:
    """Tables whose rows may be what is refused: those of the statement that failed before others."""
    first = _named_in(_refused_statement(refused), tables, engine)
    return sorted(_named(refused, tables, engine), key=lambda table: (table not in first, table))


def _refused_statement(step: Step) -> list[str]:
    return [step.error.statement] if step.error else []


def _named_in(texts: Sequence[str], tables: Collection[TableRef], engine: str) -> frozenset[TableRef]:
    if not tables:
        return frozenset()
    names = frozenset[str]().union(*(names_in(text, engine) for text in texts))
    return frozenset(t for t in tables if fold(t.name, engine) in names)
