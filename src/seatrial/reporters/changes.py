"""What one step did to each table, in words: from the schemas before and after it and the differences of rows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from functools import wraps

from seatrial.model import Snapshot, TableDiff, TableRef, TableState, Trial
from seatrial.schema import Difference, diff, reordered
from seatrial.sql.intent import read
from seatrial.values import dataclass

VERBS = {
    "table": ("created", "dropped", "altered"),
    "column": ("added", "dropped", "altered"),
    "index": ("created", "dropped", "altered"),
    "trigger": ("created", "dropped", "altered"),
    "row security": ("enabled", "disabled", "altered"),
    "grant": ("granted", "revoked", "altered"),
}
MOST_VIEWS = 1024  # that are remembered
NOUNS = {"unique": "unique constraint", "check": "check constraint"}
PLURALS = {"index": "indexes", "primary key": "primary keys", "policy": "policies", "retry": "retries"}


@dataclass(frozen=True, slots=True)
class TableView:
    """One table at the two ends of a step; ``before`` or ``after`` is None where it was not there."""

    name: str
    ref: TableRef
    before: TableState | None
    after: TableState | None
    changes: tuple[str, ...]

    @property
    def same_rows(self) -> bool:
        """Whether every stored value is proven to be what it was."""
        if self.before is None or self.after is None:
            return False
        return (self.before.rows, self.before.checksum) == (self.after.rows, self.after.checksum)


@dataclass(frozen=True, slots=True)
class StepView:
    """What lay between two snapshots."""

    before: Snapshot | None
    after: Snapshot | None
    rows: tuple[TableDiff, ...] | None  # None: the rows were not compared, only counted and summed
    tables: tuple[TableView, ...] = ()
    objects: tuple[str, ...] = ()  # what belongs to no table: "function f created"
    differences: tuple[Difference, ...] = ()

    @property
    def changed(self) -> tuple[TableView, ...]:
        return tuple(t for t in self.tables if t.changes)


@dataclass(frozen=True, slots=True)
class _Names:
    """Tables and columns that kept their rows under another name."""

    tables: Mapping[TableRef, TableRef] = field(default_factory=dict)
    columns: tuple[tuple[TableRef, str, str], ...] = ()  # (table before, column before, column after)

    def moved(self, ref: TableRef) -> bool:
        return ref in self.tables or ref in self.tables.values()

    @property
    def back(self) -> _Names:
        columns = tuple((self.tables.get(t, t), new, old) for t, old, new in self.columns)
        return _Names({new: old for old, new in self.tables.items()}, columns)


def _once(view: Callable[[Trial], StepView]) -> Callable[[Trial], StepView]:
    """Of a trial several parts of several reports show the same view."""
    known: dict[int, tuple[Trial, StepView]] = {}  # by id, which the trial kept here holds

    @wraps(view)
    def seen(trial: Trial) -> StepView:
        if (found := known.get(id(trial))) is None:
            if len(known) >= MOST_VIEWS:
                known.clear()
            found = known[id(trial)] = trial, view(trial)
        return found[1]

    return seen


@_once
def up_view(trial: Trial) -> StepView:
    """A to B; nothing to compare where up failed."""
    rows = trial.up_changes if trial.after_up else None
    view = _view(trial.before, trial.after_up, rows, _names(trial))
    filled = _filled(trial)
    tables = tuple(replace(t, changes=_with_filled(t, filled[t.ref])) if t.ref in filled else t for t in view.tables)
    return replace(view, tables=tables)


def _filled(trial: Trial) -> dict[TableRef, int]:
    """How many rows UPDATE wrote into columns that up added: no comparison with before shows them."""
    before, after = trial.before, trial.after_up
    if before is None or after is None or not any(s.rows for s in trial.up.statements):
        return {}
    known = {t.table for t in before.tables}
    added = [k for k in after.schema if k.kind == "column" and k not in before.schema and k.owner in known]
    if not added:
        return {}
    texts = [s.sql for s in trial.up.statements]
    intent = read(texts, trial.engine, before.schema, observed=trial.up.statements_observed)
    writing: dict[TableRef, set[str]] = {}
    for key in added:
        if key.owner is not None:
            writing.setdefault(key.owner, set()).update(intent.assigns_column(key.owner, key.name))
    found = {t: sum(s.rows or 0 for s in trial.up.statements if s.sql in sql) for t, sql in writing.items()}
    return {t: rows for t, rows in found.items() if rows}


def _with_filled(table: TableView, rows: int) -> tuple[str, ...]:
    """The words with the rows of a new column's backfill, where no update of older columns is told."""
    if any(w.endswith(" updated") for w in table.changes):
        return table.changes
    return (*table.changes, f"{number(rows, 'row')} updated")


@_once
def down_view(trial: Trial) -> StepView:
    """B to C: what down did."""
    return _view(trial.after_up, trial.after_down, trial.undone, _names(trial).back)


@_once
def return_view(trial: Trial) -> StepView:
    """A to C: what up and down together left different."""
    return _view(trial.before, trial.after_down, trial.down_changes if trial.after_down else None, _Names())


def _names(trial: Trial) -> _Names:
    return _Names(dict(trial.renames.tables), trial.renames.columns)


def _view(
    before: Snapshot | None, after: Snapshot | None, rows: tuple[TableDiff, ...] | None, names: _Names
) -> StepView:
    ends = [s for s in (before, after) if s is not None]
    refs = sorted({t.table for s in ends for t in s.tables})
    if before is None or after is None:
        return StepView(before, after, None, tuple(_one_end(ref, before, after) for ref in refs))
    differences = tuple(diff(before.schema, after.schema))
    by_table, others = _by_table(differences, set(refs))
    reorder = set(reordered(before.schema, after.schema))
    states = [{t.table: t for t in s.tables} for s in (before, after)]
    tables = []
    for ref in refs:
        old, new = (s.get(ref) for s in states)
        words = _schema_words(ref, by_table.get(ref, []), names) + ["columns reordered"] * (ref in reorder)
        words += _row_words(ref, old, new, rows, moved=names.moved(ref), defined=bool(words))
        tables.append(TableView(str(ref), ref, old, new, tuple(words)))
    objects = tuple(f"{d.key.label} {_verb(d)}" for d in others)
    return StepView(before, after, rows, tuple(tables), objects, differences)


def _one_end(ref: TableRef, before: Snapshot | None, after: Snapshot | None) -> TableView:
    return TableView(str(ref), ref, before.table(ref) if before else None, after.table(ref) if after else None, ())


def _by_table(
    differences: Iterable[Difference], tables: set[TableRef]
) -> tuple[dict[TableRef, list[Difference]], list[Difference]]:
    """The differences of each table, and those that belong to none (or to a view)."""
    found: dict[TableRef, list[Difference]] = {}
    others = []
    for change in differences:
        if change.key.owner in tables:
            found.setdefault(change.key.owner, []).append(change)
        else:
            others.append(change)
    return found, others


def _schema_words(ref: TableRef, changes: list[Difference], names: _Names) -> list[str]:
    """``table created`` alone, or ``1 column added, 2 indexes dropped``."""
    own = next((d for d in changes if d.key.kind == "table"), None)
    if own is not None and (own.old is None or own.new is None):
        return [_named(ref, own, names)]
    renamed = {c for t, old, new in names.columns if names.tables.get(t, t) == ref or t == ref for c in (old, new)}
    moved = [d for d in changes if d.key.kind == "column" and d.key.name in renamed and _half(d)]
    counted = Counter((d.key.kind, _verb(d)) for d in changes if d.key.kind != "table" and d not in moved)
    words = ["table altered"] if own is not None else []
    words += [f"{number(len(moved) // 2, 'column')} renamed"] if len(moved) > 1 else []
    return words + [f"{number(n, kind)} {verb}" for (kind, verb), n in sorted(counted.items(), key=_kind_order)]


def _half(change: Difference) -> bool:
    return change.old is None or change.new is None


def _named(ref: TableRef, own: Difference, names: _Names) -> str:
    if own.new is None and ref in names.tables:
        return f"renamed to {names.tables[ref]}"
    former = next((old for old, new in names.tables.items() if new == ref), None)
    if own.old is None and former is not None:
        return f"renamed from {former}"
    return f"table {_verb(own)}"


def _kind_order(item: tuple[tuple[str, str], int]) -> tuple[bool, str, str]:
    (kind, verb), _ = item
    return kind != "column", kind, verb


def _verb(change: Difference) -> str:
    verbs = VERBS.get(change.key.kind, ("created", "dropped", "altered"))
    return verbs[0] if change.old is None else verbs[1] if change.new is None else verbs[2]


def number(count: int, noun: str) -> str:
    """``1 row``, ``1,204 rows``, ``2 indexes``."""
    noun = NOUNS.get(noun, noun)
    return f"{count:,} {noun if count == 1 else PLURALS.get(noun, noun + 's')}"


def _row_words(
    ref: TableRef,
    old: TableState | None,
    new: TableState | None,
    rows: tuple[TableDiff, ...] | None,
    *,
    moved: bool,
    defined: bool,
) -> list[str]:
    found = [d for d in rows or () if d.table == ref and not (moved and d.new_table is None)]
    if found:
        return [w for d in found for w in diff_words(d)]
    if old is None or new is None:
        count = 0 if moved else (old or new or TableState(table=ref, rows=0, checksum="")).rows
        return [f"{number(count, 'row')} {'deleted' if new is None else 'inserted'}"] if count else []
    if rows is not None or (old.rows, old.checksum) == (new.rows, new.checksum):
        return []
    if old.rows != new.rows:
        return [f"row count changed from {old.rows:,} to {new.rows:,}"]
    return [] if defined else ["rows changed"]  # a new definition alone changes the checksum too


def diff_words(change: TableDiff) -> list[str]:
    """``3 rows updated``; a row that differs only in columns that were dropped is not an update."""
    updated = sum(g.count for g in change.changed if set(g.columns) - set(change.missing_columns))
    counted = ((change.added_count, "inserted"), (updated, "updated"), (change.lost_count, "deleted"))
    return [f"{number(n, 'row')} {verb}" for n, verb in counted if n]


def parts(view: StepView) -> Counter[tuple[str, str]]:
    """How many objects of a kind were created, dropped or altered, a table counted whole: {("column", "added"): 1}."""
    whole = {d.key.owner for d in view.differences if d.key.kind == "table" and _half(d)}
    counted = (d for d in view.differences if d.key.kind == "table" or d.key.owner not in whole)
    return Counter((d.key.kind, _verb(d)) for d in counted)
