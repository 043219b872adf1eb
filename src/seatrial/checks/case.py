"""What a check is given: one trial and what its statements asked for; and the few ways to make a finding of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from functools import cached_property

from seatrial.checks.inherited import parents
from seatrial.facts import UNKNOWN
from seatrial.model import (
    Change,
    ChangedRow,
    Finding,
    Key,
    Phase,
    Row,
    Schema,
    Severity,
    Snapshot,
    Step,
    TableDiff,
    TableRef,
    Trial,
)
from seatrial.prose import span
from seatrial.schema import in_other_case, key_order, same_schema
from seatrial.sql.drawing import calls, drawing, routines
from seatrial.sql.intent import Intent, is_nondeterministic, read
from seatrial.sql.tokens import code, quote_name, quote_string
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that happened, as a sentence without its end, and what to do about it."""

    text: str
    advice: str = ""


@dataclass(frozen=True)
class Case:
    """One trial, with the intents of its steps read once. ``limit``: keys and changes that a finding holds."""

    trial: Trial
    limit: int = 1000

    @cached_property
    def up(self) -> Intent:
        return self._read(self.trial.up, self.trial.before)

    @cached_property
    def down(self) -> Intent:
        return self._read(self.trial.down, self.trial.after_up)

    @cached_property
    def reup(self) -> Intent:
        return self._read(self.trial.reup, self.trial.after_down)

    @cached_property
    def rerun(self) -> Intent:
        """What up asked for when it ran a second time without a down between."""
        return self._read(self.trial.rerun, self.trial.after_up)

    def _read(self, step: Step, start: Snapshot | None) -> Intent:
        schema = start.schema if start else Schema()
        undone = step.undone if step.error is None else frozenset()  # of a step that failed, what it meant is asked
        return read(step.texts, self.trial.engine, schema, observed=step.statements_observed, undone=undone)

    @property
    def up_ran(self) -> bool:
        return self.trial.up.executed and self.trial.up.error is None and self.trial.after_up is not None

    @property
    def down_ran(self) -> bool:
        return (
            self.up_ran
            and self.trial.down.executed
            and self.trial.down.error is None
            and self.trial.after_down is not None
        )

    @property
    def reup_ran(self) -> bool:
        return self.down_ran and self.trial.reup.executed and self.trial.reup.error is None

    @property
    def before(self) -> Snapshot:
        assert self.trial.before is not None
        return self.trial.before

    @property
    def after_up(self) -> Snapshot:
        assert self.trial.after_up is not None
        return self.trial.after_up

    @property
    def after_down(self) -> Snapshot:
        assert self.trial.after_down is not None
        return self.trial.after_down

    @cached_property
    def up_changed_something(self) -> bool:
        """Rows, schema or which of two alike bears a name; where a sequence stands is no change."""
        before, after = self.before, self.after_up
        if any(a != b for a, b in self.trial.renames.tables) or any(a != b for _, a, b in self.trial.renames.columns):
            return True
        if self.trial.up_changes or not same_schema(before.schema, after.schema):
            return True
        was = {t.table: t.rows for t in before.tables}
        return any(was.get(t.table) != t.rows for t in after.tables)

    @cached_property
    def restored(self) -> bool:
        """After down everything is as before up (C equals A)."""
        changed = self.trial.down_changes or self.trial.history_changes
        return self.down_ran and not changed and same_schema(self.before.schema, self.after_down.schema)

    @cached_property
    def _drawing(self) -> frozenset[str]:
        return drawing(routines(self.after_up.schema, self.trial.engine), self.trial.engine)

    def draws(self, expression: str) -> bool:
        """Whether an expression of the schema after up gives another value every time."""
        engine = self.trial.engine
        return is_nondeterministic(expression, engine) or calls(code(expression, engine), self._drawing, engine)

    def now_named(self, table: TableRef) -> TableRef:
        """What a table of before up is called after it."""
        there = self.after_up.schema.tables()
        return next((t for t in (dict(self.trial.renames.tables).get(table), table) if t in there), table)

    def now_called(self, table: TableRef, column: str) -> str:
        """What a column of before up is called after it."""
        return next((b for t, a, b in self.trial.renames.columns if (t, a) == (table, column)), column)

    def table_back(self, table: TableRef) -> TableRef:
        """What a table of before up is called after down: where names are folded, it may be there in another case."""
        old, new = self.before.schema.tables(), self.after_down.schema.tables()
        return in_other_case(old, new).get(table, table) if self.after_down.folds_names else table

    def recased(self, table: TableRef) -> dict[str, str]:
        """Columns whose names came back in another case, where that means the same: name before up -> after down."""
        new = self.after_down.schema.columns(self.table_back(table))
        return in_other_case(self.before.schema.columns(table), new) if self.after_down.folds_names else {}

    def columns_back(self, table: TableRef) -> set[str]:
        """The columns of a table that are there after down, by their names of before up."""
        return {*self.after_down.schema.columns(self.table_back(table)), *self.recased(table)}

    def family(self, table: TableRef) -> list[TableRef]:
        """A table and those that it is a partition or a child of: what is written to them reaches it."""
        found = [table]
        for one in found:
            found += [t for t in parents(self.before.schema, one) if t not in found]
        return found

    def moments(self) -> Iterator[tuple[Phase, Snapshot]]:
        """What stood after up, failed or not, and after a down that ran."""
        if self.trial.after_up:
            yield Phase.UP, self.trial.after_up
        if self.down_ran:
            yield Phase.DOWN, self.after_down

    def up_diff(self, table: TableRef) -> TableDiff:
        return next((d for d in self.trial.up_changes if d.table == table), TableDiff(table=table))

    def down_diff(self, table: TableRef) -> TableDiff:
        return next((d for d in self.trial.down_changes if d.table == table), TableDiff(table=table))

    def key_of(self, table: TableRef) -> tuple[str, ...]:
        state = self.before.table(table) or (self.trial.after_up and self.trial.after_up.table(table))
        return state.key if state else ()

    def rows_sql(
        self, table: TableRef, keys: Sequence[Key], columns: Iterable[str] = (), phase: Phase | None = None
    ) -> str:
        """A query that shows rows by their keys.

        After down, by the name that the table has then: where names are folded it is the same table in another case,
        but a file system that tells case apart finds it by that name alone (MySQL manual, 11.2.3).
        """
        key = self.key_of(table)
        name = self.named(self.table_back(table) if phase is Phase.DOWN and self.down_ran else table)
        shown = ", ".join(self.quote(c) for c in dict.fromkeys((*key, *columns))) or "*"
        where = f" WHERE {self.rows_where(table, keys)}" if key and keys else ""
        return f"SELECT {shown} FROM {name}{where}"

    def rows_where(self, table: TableRef, keys: Sequence[Key]) -> str:
        """A condition that the rows of the first twenty keys meet. SQLite takes a list of rows only as VALUES."""
        columns = self.key_of(table)
        names = [self.quote(c) for c in columns]
        types = [self._type(table, c) for c in columns]
        rows = [[self._literal(v, t) for v, t in zip(k, types, strict=False)] for k in keys[:20]]
        if any("NULL" in row for row in rows):  # which equals nothing
            return " OR ".join(f"({' AND '.join(map(_equal, names, row))})" for row in rows)
        if len(names) == 1:
            return f"{names[0]} IN ({', '.join(row[0] for row in rows)})"
        values = "VALUES " if self.trial.engine == "sqlite" else ""
        listed_rows = ", ".join(f"({', '.join(row)})" for row in rows)
        return f"({', '.join(names)}) IN ({values}{listed_rows})"

    def named(self, table: TableRef) -> str:
        return ".".join(self.quote(part) for part in (table.namespace, table.name) if part)

    def quote(self, name: str) -> str:
        return quote_name(name, self.trial.engine)

    def _type(self, table: TableRef, column: str) -> str:
        moments = (m.schema.columns(table) for m in (self.trial.before, self.trial.after_up) if m)
        known = next((columns for columns in moments if columns), {})
        return str(known.get(column, {}).get("type") or "").lower()

    def _literal(self, value: str | None, type_: str) -> str:
        if value is None:
            return "NULL"
        if self.trial.engine != "postgresql" and value.startswith("\\x") and _BINARY.search(type_):
            return f"x'{value[2:]}'"
        number = "int" in type_ and value.isascii() and value.removeprefix("-").isdigit()
        return value if number else quote_string(value, self.trial.engine)


_BINARY = re.compile("blob|binary|^$")  # the last is SQLite's column without a type


def _equal(name: str, value: str) -> str:
    return f"{name} IS NULL" if value == "NULL" else f"{name} = {value}"


@dataclass
class Rows:
    """Rows of one finding: their keys, how many there are, what changed in them."""

    key: tuple[str, ...] = ()
    count: int = 0
    keys: set[Key] = field(default_factory=set)
    changes: list[Change] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)

    def add_rows(self, count: int, rows: Sequence[Row], columns: Sequence[str] = (), *, came: bool = False) -> None:
        """``came``: they are there now and were not before; else the other way round."""
        self.count += count
        if self.key:
            self.keys |= {r.key for r in rows}
            return
        for row in rows[:20]:  # without a key the row itself is all there is to show
            values = zip(columns, row.values, strict=False)
            self.changes += [
                Change(key=(), column=c, old=None if came else v, new=v if came else None) for c, v in values
            ]

    def add_changes(self, diff: TableDiff, columns: Iterable[str]) -> None:
        """The rows in which any of these columns changed."""
        wanted = set(columns)
        for group in diff.changed:
            shown = [(i, c) for i, c in enumerate(group.columns) if c in wanted]
            if shown:
                self.count += group.count
                self.columns += [c for _, c in shown if c not in self.columns]
                for row in group.rows:
                    self.add_changed(row, shown)

    def add_changed(self, row: ChangedRow, columns: Sequence[tuple[int, str]]) -> None:
        self.keys.add(row.key)
        self.changes += [Change(key=row.key, column=c, old=row.old[i], new=row.new[i]) for i, c in columns]

    def ordered(self, limit: int) -> tuple[Key, ...]:
        return tuple(sorted(self.keys, key=key_order)[:limit])


def finding(
    case: Case,
    rule: str,
    severity: Severity,
    phase: Phase,
    message: str,
    *,
    table: TableRef | None = None,
    rows: Rows | None = None,
    columns: Sequence[str] = (),
    objects: Sequence[str] = (),
    causes: Iterable[Cause] = (),
    recommendation: str = "",
    sql: str = "",
    count: int | None = None,
    preexisting: bool = False,
    inferred: bool = False,
) -> Finding:
    """A finding with its rows in key order and within the limit.

    ``causes`` bring their own advice; ``recommendation`` is given where none of them does. Without any, the cause is
    *not determined*: never guessed.
    """
    found = list(dict.fromkeys(causes))
    advice = " ".join(dict.fromkeys(c.advice for c in found if c.advice))
    rows = rows or Rows()
    keys = rows.ordered(case.limit)
    columns = columns or rows.columns
    return Finding(
        rule=rule,
        severity=severity,
        phase=phase,
        message=message,
        table=str(table) if table else None,
        columns=tuple(columns),
        objects=tuple(sorted(set(objects))),
        count=rows.count if count is None else count,
        keys=keys,
        keys_truncated=bool(rows.key) and rows.count > len(keys),
        changes=tuple(sorted(rows.changes, key=lambda c: (key_order(c.key), c.column)))[: case.limit],
        causes=tuple(dict.fromkeys(c.text for c in found)) or (UNKNOWN,),
        recommendation=advice or recommendation,
        sql=sql or (case.rows_sql(table, keys, columns, phase) if table and (keys or rows.count) else ""),
        preexisting=preexisting,
        inferred=inferred,
    )


def n(count: int, noun: str, plural: str = "") -> str:
    """``1 row``, ``2 rows``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(names: Iterable[str], most: int = 5) -> str:
    """``a, b and c``; ``a, b, c, d, e and 4 more``."""
    known = list(names)
    if len(known) > most:
        return f"{', '.join(known[:most])} and {len(known) - most} more"
    return " and ".join([", ".join(known[:-1]), known[-1]]) if len(known) > 1 else "".join(known)


def which(rows: Rows, limit: int = 5) -> str:
    """`` (id 2, 5 and 3 more)``: the first keys of the rows, for a sentence."""
    keys = rows.ordered(limit)
    if not keys or not rows.key:
        return ""
    shown = [", ".join("NULL" if v is None else shorten(v, 30) for v in k) for k in keys]
    shown = [f"({s})" for s in shown] if len(rows.key) > 1 else shown
    more = f" and {rows.count - len(keys):,} more" if rows.count > len(keys) else ""
    return f" ({', '.join(rows.key)} {', '.join(shown)}{more})"


def shorten(text: str, most: int = 80) -> str:
    """One line of SQL or a value, cut to a length that a sentence bears."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def stated(sql: str, most: int = 80) -> str:
    """A statement as code in a sentence."""
    return span(shorten(sql, most))


def narrow(case: Case, step: Step) -> str:
    """What to do where the cause is not known: find the statement."""
    if not step.statements_observed or len(step.statements) < 2:
        return "Run the query below before and after the migration's statement, and look at what else it sets going."
    return f"Run the query below after each of the {len(step.statements)} statements, to see which one does it."


def quoted(statements: Sequence[str]) -> str:
    return stated(statements[0]) if statements else ""
