"""What only the way all the way down shows: findings of the phase *chain*."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seatrial.checks.case import Case, Rows, finding, listed, n, shorten, stated, which
from seatrial.checks.causes.chained import of_error, of_rows, of_schema
from seatrial.checks.file_settings import is_of_file
from seatrial.checks.schema_restored import said
from seatrial.model import ChainStep, Finding, ObjectKey, Phase, Renames, Severity, TableDiff, TableRef, Trial
from seatrial.schema import Difference, diff, outermost, renamed
from seatrial.sql.show import show
from seatrial.values import dataclass

CONTEXT = "On the way all the way down from the newest migration"
ADVICE = "Let down restore what was there before up, whatever later migrations did."


@dataclass(frozen=True, slots=True)
class Inherited:
    """What later downs of the chain had left wrong already when this one ran: it is not this one's doing."""

    tables: frozenset[TableRef] = frozenset()
    objects: frozenset[ObjectKey] = frozenset()

    def before(self, renames: Renames) -> Inherited:
        """The same by the names that tables and columns have once a down has taken these renames back."""
        tables = {new: old for old, new in renames.tables}
        columns = {(_now(renames, t), new): old for t, old, new in renames.columns}

        def back(key: ObjectKey) -> ObjectKey:
            owner = key.owner
            if owner is None:
                return key
            name = columns.get((owner, key.name), key.name) if key.kind == "column" else key.name
            if owner not in tables:
                return key._replace(name=name)
            table = tables[owner]
            if key.kind == "table":
                return ObjectKey.of_table(table)
            if name.startswith((f"{owner.name}(", f"{owner.name}.")) or name == owner.name:  # unnamed ones, grants
                name = table.name + name[len(owner.name) :]
            return key._replace(namespace=table.namespace, table=table.name, name=name)

        return Inherited(frozenset(tables.get(t, t) for t in self.tables), frozenset(map(back, self.objects)))


@dataclass(frozen=True, slots=True)
class Link:
    """One step of the chain with its schema's differences, and what was wrong already.

    ``drawn``: columns that its up or an earlier one draws anew. Where the walk went back and ran these again, they hold
    other values than what was held before.
    """

    step: ChainStep
    differences: tuple[Difference, ...]
    before: Inherited
    drawn: frozenset[tuple[str, str]] = frozenset()


def _now(renames: Renames, table: TableRef) -> TableRef:
    """What a table of before up is called after it."""
    return dict(renames.tables).get(table, table)


def links(chain: Sequence[ChainStep], trials: Sequence[Trial] = ()) -> dict[str, Link]:
    """The steps of the chain by migration; made once a report, as each one needs what the newer ones left."""
    known, found = Inherited(), {}
    drawn: dict[str, frozenset[tuple[str, str]]] = {}
    columns = frozenset[tuple[str, str]]()
    renames = {trial.migration.id: trial.renames for trial in trials}
    for trial in sorted(trials, key=lambda t: t.index):
        columns |= {(str(d.table), c) for d in trial.reup_changes for g in d.changed for c in g.columns}
        drawn[trial.migration.id] = columns
    for step in chain:
        known = known.before(renames.get(step.migration, Renames()))
        differences = tuple(diff(step.schema_then, step.schema_now))
        found[step.migration] = Link(step, differences, known, drawn.get(step.migration, columns))
        known = Inherited(known.tables | {c.table for c in step.changes}, known.objects | {d.key for d in differences})
    return found


def chain_findings(case: Case, link: Link | None, known: Sequence[Finding]) -> Iterator[Finding]:
    """What the chain's down of this migration left, where its own trial did not say so already."""
    if link is not None:
        said_already = {(f.rule, f.table) for f in known}
        yield from (f for f in _findings(case, link) if (f.rule, f.table) not in said_already)


def _findings(case: Case, link: Link) -> Iterator[Finding]:
    error = link.step.down.error
    if error and (link.before.tables or link.before.objects):
        return  # it may fail for what a later down, which was told of already, left wrong
    if error:
        yield finding(
            case,
            "down-failed",
            Severity.CRITICAL,
            Phase.CHAIN,
            f"{CONTEXT}, down fails at {stated(error.statement)}: {shorten(error.message, 300)}",
            causes=of_error(link.step),
            recommendation="Run all downs in a row on rows, and let each one leave what the one before it needs.",
            sql=error.statement,
            count=1,
        )
        return
    for change in link.step.changes:
        if change.table not in link.before.tables:
            yield from _rows(case, link, change)
    yield from _schema(case, link, [d for d in link.differences if d.key not in link.before.objects])


def _schema(case: Case, link: Link, changes: Sequence[Difference]) -> Iterator[Finding]:
    twins = renamed(changes)
    moved = {*twins, *twins.values()}
    left = [c for c in outermost(changes) if c.key not in moved and not is_of_file(c.key, c.old)]
    for table in sorted({c.key.owner for c in left}, key=lambda t: str(t or "")):
        mine = [c for c in left if c.key.owner == table]
        yield finding(
            case,
            "schema-not-restored",
            Severity.HIGH,
            Phase.CHAIN,
            f"{CONTEXT}, after this down {said(mine)}.",
            table=table,
            objects=[c.key.label for c in mine],
            causes=of_schema(case, link.step, mine),
            recommendation=ADVICE,
            sql=show((c.key for c in mine), link.step.schema_now, case.trial.engine),
            count=len(mine),
        )


def _rows(case: Case, link: Link, change: TableDiff) -> Iterator[Finding]:
    lost, left, values = Rows(key=change.key), Rows(key=change.key), Rows(key=change.key)
    lost.add_rows(change.lost_count, change.lost, change.columns)
    left.add_rows(change.surplus, change.added, change.columns, came=True)
    values.add_changes(
        change, {c for g in change.changed for c in g.columns if (str(change.table), c) not in link.drawn}
    )
    are = {True: "is", False: "are"}
    hold = "holds" if values.count == 1 else "hold"
    told = (
        ("rows-lost", Severity.CRITICAL, lost, f"that stood here on the way up {are[lost.count == 1]} missing"),
        ("rows-left-behind", Severity.HIGH, left, f"{are[left.count == 1]} left behind"),
        (
            "values-lost",
            Severity.CRITICAL,
            values,
            f"{hold} other values in {listed(values.columns)} than on the way up",
        ),
    )
    for rule, severity, rows, said_of_them in told:
        if rows.count:
            text = f"{CONTEXT}, {n(rows.count, 'row')} of {change.table} {said_of_them}{which(rows)}."
            yield finding(
                case,
                rule,
                severity,
                Phase.CHAIN,
                text,
                table=change.table,
                rows=rows,
                causes=of_rows(case, link.step, change, rule, rows.columns),
                recommendation=ADVICE,
            )
