"""schema-not-restored, column-order-changed and object-renamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from seatrial.checks import Found, check, file_settings
from seatrial.checks.attributes import otherwise
from seatrial.checks.case import Case, finding, listed, n
from seatrial.checks.causes.objects import not_restored
from seatrial.checks.causes.objects import renamed as why_renamed
from seatrial.checks.causes.objects import reordered as why_reordered
from seatrial.checks.inherited import repeats
from seatrial.checks.shown import schema_sql
from seatrial.model import NotVerified, ObjectKey, Phase, Severity, TableRef
from seatrial.schema import Difference, diff, double, outermost, renamed, reordered

STAYING = frozenset({"extension", "role", "user"})
"""What a down may leave on purpose: others may use it by now."""


@check("schema-not-restored", Severity.HIGH)
def schema_not_restored(case: Case) -> Found:
    """After down an object is missing, left behind or defined otherwise than before up.

    Every object counts with every attribute: defaults, comments, grants, predicates of indexes, actions of foreign
    keys. An extension, role or user that stays behind is LOW (roles and users are the server's, and are taken away
    at the end of the run), and so are a child table's column that counts as its own too since it was taken out of
    its parent and put back, a foreign key or check beside which an equal one stands before and after, and how a
    SQLite file is laid out (page_size, auto_vacuum). A file's user_version and application_id count like any
    attribute where a statement of the migration writes them. What partitions and children have from their parent is
    told of the parent. The index that MySQL and MariaDB make for a foreign key is of no weight, neither missing nor
    left behind: the server makes and uses it by itself, and a second up finds it.
    What belongs to a table that is itself missing or left behind is not listed again.

    What to do: let down create, drop or alter what the finding names, with all of its attributes.
    """
    if not case.down_ran:
        return
    groups: dict[TableRef | None, list[Difference]] = {}
    for change in (*_unrestored(case), *file_settings.journal(case)):
        if isinstance(change, NotVerified):
            yield change
        else:
            groups.setdefault(change.key.owner, []).append(change)
    for table, changes in sorted(groups.items(), key=lambda item: str(item[0] or "")):
        yield finding(
            case,
            "schema-not-restored",
            Severity.LOW if all(_is_slight(c) or _is_said_still(case, c) for c in changes) else Severity.HIGH,
            Phase.DOWN,
            f"After down {said(changes)}.",
            table=table,
            columns=[c.key.name for c in changes if c.key.kind == "column"],
            objects=[c.key.label for c in changes],
            causes=not_restored(case, changes),
            recommendation=_advice(changes),
            sql=schema_sql(case, (c.key for c in changes), case.after_down),
            count=len(changes),
        )


def _unrestored(case: Case) -> Iterator[Difference | NotVerified]:
    for change in _different(case):
        if file_settings.is_of_file(change.key, change.old):
            yield from file_settings.weighed(case, change)
        else:
            yield change


def _different(case: Case) -> list[Difference]:
    changes = diff(case.before.schema, case.after_down.schema)
    twins = renamed(changes)
    moved = {*twins, *twins.values()}
    known = {c.key: c for c in changes}
    return [
        c
        for c in outermost(changes)
        if c.key not in moved
        and not _draws_from_twin(c, twins)
        and not _by_its_table(c, known)
        and not repeats((case.before if c.old is not None else case.after_down).schema, c, known)
    ]


def _is_slight(change: Difference) -> bool:
    """An extension, role or user left in place; how a SQLite file is laid out; a child's column that is its own too.

    INHERIT finds the columns that are there and keeps them as the child's own too; no statement takes that back.
    """
    if change.old is None:
        return change.key.kind in STAYING
    if file_settings.is_layout(change):
        return True
    return change.attributes == {"inherited": ("only", "and local")}


def _is_said_still(case: Case, change: Difference) -> bool:
    """A rule that stood there twice, under two names, and stands once: SQLAlchemy reads one of two (SQLite)."""
    if change.old is None or change.new is not None or change.old.get("type") not in ("foreign key", "check"):
        return False
    other = double(case.before.schema, change.key)
    return other is not None and case.after_down.schema.get(other) == case.before.schema[other]


def makes_what_may_stay(case: Case) -> bool:
    """Whether up only installs an extension, or makes a role or user: a down that leaves that in place is no loss."""
    made = diff(case.before.schema, case.after_up.schema)
    return bool(made) and not case.trial.up_changes and all(c.old is None and _is_slight(c) for c in made)


def _by_its_table(change: Difference, known: Mapping[ObjectKey, Difference]) -> bool:
    """SQLite: the key of a table WITHOUT ROWID is NOT NULL by itself (manual, "The WITHOUT ROWID Optimization", 2)."""
    table = known.get(ObjectKey.of_table(change.key.owner)) if change.key.owner else None
    return change.attributes.keys() == {"nullable"} and table is not None and "without_rowid" in table.attributes


def _draws_from_twin(change: Difference, twins: Mapping[ObjectKey, ObjectKey]) -> bool:
    """Only the default differs, and only in the name of a sequence that came back under another one."""
    if change.attributes.keys() != {"default"}:
        return False
    old, new = (str(value) for value in change.attributes["default"])
    sequences = [(a.name, b.name) for a, b in twins.items() if a.kind == "sequence"]
    return any(a in old and b in new and old.replace(a, "\0") == new.replace(b, "\0") for a, b in sequences)


def said(changes: Sequence[Difference]) -> str:
    """``index a_idx and check t(a > 0) are missing``, ``column t.c has default none instead of 'new'``."""
    missing = [c.key.label for c in changes if c.new is None]
    left = [c.key.label for c in changes if c.old is None]
    others = [otherwise(c) for c in changes if c.old is not None and c.new is not None]
    parts = [f"{listed(missing, 6)} {are(missing)} missing"] if missing else []
    parts += [f"{listed(left, 6)} {are(left)} left behind"] if left else []
    return listed([*parts, *others], 6)


def are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def as_before(names: Iterable[str]) -> str:
    return "as it was" if len(list(names)) == 1 else "as they were"


def _advice(changes: Iterable[Difference]) -> str:
    def names(wanted: Iterator[ObjectKey]) -> str:
        return listed((k.label for k in wanted), 4)

    parts = []
    if missing := names(c.key for c in changes if c.new is None):
        parts.append(f"create {missing} again {as_before(c.key.label for c in changes if c.new is None)}")
    if left := names(c.key for c in changes if c.old is None):
        parts.append(f"remove {left}")
    if other := names(c.key for c in changes if c.old is not None and c.new is not None):
        parts.append(f"give {other} the definition of before up")
    return f"In down, {listed(parts)}." if parts else ""


@check("column-order-changed", Severity.LOW)
def column_order_changed(case: Case) -> Found:
    """Only the order of a table's columns differs after down.

    It matters to SELECT * and to INSERT without a column list.

    What to do: nothing, where every statement names its columns; else rebuild the table in down with the columns in
    their old order.
    """
    if not case.down_ran:
        return
    for table in reordered(case.before.schema, case.after_down.schema):
        old, new = (listed(s.schema.columns(table), 12) for s in (case.before, case.after_down))
        yield finding(
            case,
            "column-order-changed",
            Severity.LOW,
            Phase.DOWN,
            f"The columns of {table} stand in another order after down: {new}; before up: {old}.",
            table=table,
            columns=[c for c in case.before.schema.columns(table) if c in case.after_down.schema.columns(table)],
            objects=[f"table {table}"],
            causes=why_reordered(case, table),
            recommendation="Name columns in every SELECT and INSERT that depends on their order.",
            sql=schema_sql(case, [ObjectKey("column", *table, "")], case.after_down),
            count=1,
        )


@check("object-renamed", Severity.LOW)
def object_renamed(case: Case) -> Found:
    """An object came back with the same definition under another name.

    A later migration that drops it by its name fails.

    What to do: give it its old name in down: name constraints and indexes yourself instead of leaving that to the
    engine.
    """
    if not case.down_ran:
        return
    twins = renamed(diff(case.before.schema, case.after_down.schema))
    groups: dict[TableRef | None, list[tuple[ObjectKey, ObjectKey]]] = {}
    for old, new in twins.items():
        groups.setdefault(old.owner, []).append((old, new))
    for table, pairs in sorted(groups.items(), key=lambda item: str(item[0] or "")):
        yield finding(
            case,
            "object-renamed",
            Severity.LOW,
            Phase.DOWN,
            f"{n(len(pairs), 'object')} came back under another name: "
            f"{listed(f'{a.label} is now {b.name}' for a, b in pairs)}.",
            table=table,
            objects=[a.label for a, _ in pairs],
            causes=(w for a, b in pairs for w in why_renamed(case, a, b)),
            recommendation="Name the object in down as it was named before up.",
            sql=schema_sql(case, (b for _, b in pairs), case.after_down),
            count=len(pairs),
        )
