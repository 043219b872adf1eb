"""Rows and values that go because rows elsewhere went: what foreign keys do with those that refer to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seatrial.checks.case import Case, Cause, listed, n, quoted
from seatrial.checks.causes.reach import Values, parents_of, reached
from seatrial.checks.causes.share import Reason, told
from seatrial.model import Attributes, ObjectKey, Schema, TableRef
from seatrial.prose import span
from seatrial.sql import remedy
from seatrial.sql.look import words_of


def cascades(case: Case, table: TableRef, action: str, column: str = "") -> Iterator[Reason]:
    """Foreign keys of the table whose parents up deleted, or dropped as SQLite does: row by row.

    ``column``: only those that hold it.
    """
    for key, attributes in foreign_keys(case.before.schema, table):
        if attributes.get("on_delete") == action and (not column or column in _texts(attributes)):
            yield from _reasons(case, table, key, attributes, action)


def _reasons(case: Case, table: TableRef, key: ObjectKey, attributes: Attributes, action: str) -> Iterator[Reason]:
    """One for each statement that deletes parents, and one for what else can have taken them."""
    parent = table_named(case, str(attributes.get("references")))
    deletes = removing(case, [parent])

    def tell(statements: tuple[str, ...]) -> Iterator[Cause]:
        return _cascade(case, table, key, attributes, action, statements)

    def takes(row: Values, statement: str) -> bool | None:
        """Of one that is not named: only where none of the DELETEs did it."""
        refers, above = parents_of(case, table, attributes, parent, row)
        if refers is False:
            return False
        did = {s: _did(case, parent, s, above) for s in deletes}
        if not statement:
            return False if True in did.values() else None if deletes else refers
        return refers if did[statement] else did[statement]

    group, covers = f"{action} {key.label}", ("deleted",) if action == "CASCADE" else ("written",)
    for statement in deletes:
        place = list(case.up.statements).index(statement)
        yield Reason(group, tell, lambda row, s=statement: takes(row, s), statement, place, covers=covers)  # type: ignore[misc]
    if (not deletes or went(case, parent)) and any(tell(())):
        yield Reason(f"{group} above" if deletes else group, lambda _: tell(()), lambda row: takes(row, ""))


def _did(case: Case, parent: TableRef, statement: str, above: Sequence[Values]) -> bool | None:
    """Whether a statement took one of these parents; of parents that are not known it cannot be told."""
    found = [reached(case, parent, statement, row) for row in above]
    return True if True in found else None if None in found or not found else False


def removing(case: Case, tables: Sequence[TableRef]) -> list[str]:
    """The statements of up that truncate one of the tables or delete from it, in order."""
    found = {s for t in tables for s in (*case.up.truncates(t), *case.up.deletes_from(t))}
    return [s for s in dict.fromkeys(case.up.statements) if s in found]


def _cascade(
    case: Case, table: TableRef, key: ObjectKey, attributes: Attributes, action: str, statements: tuple[str, ...]
) -> Iterator[Cause]:
    parent = str(attributes.get("references"))
    ref = table_named(case, parent)
    replaced = [s for s in case.up.inserts_into(ref) if replaces(s, case.trial.engine)]
    rekeyed = any(case.up.assigns_column(ref, c) for c in case.key_of(ref))
    if ref == table and not statements:
        return  # the rows went for another reason, and took each other with them
    dropped = case.up.drops_table(ref) or case.up.rebuilds(ref)
    effect = (
        "removed the rows that referred to them"
        if action == "CASCADE"
        else f"{'emptied' if action == 'SET NULL' else 'gave its default to'} {listed(_texts(attributes))}"
    )
    fires = f"and ON DELETE {action} of {key.label} {effect}"
    if replaced and not statements:
        yield Cause(
            f"REPLACE deletes a row of {parent} before it writes it anew ({quoted(replaced)}), {fires}",
            f"Change the rows of {parent} that are there with {upsert(case.trial.engine)}, which deletes nothing.",
        )
    elif statements or (case.up_diff(ref).lost_count and not rekeyed and not went(case, ref)):
        how = f" ({told(statements)})" if statements else ""
        yield Cause(f"up deletes rows of {parent}{how}, {fires}", _save_children(case, table, attributes))
    elif dropped:
        yield Cause(
            f"dropping {parent} deletes its rows first, {fires} ({quoted(dropped)})",
            f"Switch foreign keys off while {parent} is rebuilt (`PRAGMA foreign_keys = OFF`, which only counts outside"
            " a transaction), and run `PRAGMA foreign_key_check` before they are on again."
            if case.trial.engine == "sqlite"
            else f"Detach {table} from {parent} on purpose before {parent} is dropped.",
        )
    elif went(case, ref):
        whole = f"{fires} (in all {_counts(case, [*chain(case, ref), table])})"
        yield Cause(f"rows of {parent} went by a cascade, {whole}", _save_children(case, table, attributes))


def _counts(case: Case, tables: Sequence[TableRef]) -> str:
    """``1 row of g, 2 rows of p and 5 rows of t``: how many went of each."""
    return listed((f"{n(case.up_diff(t).lost_count, 'row')} of {t}" for t in tables), 8)


def _save_children(case: Case, table: TableRef, attributes: Attributes) -> str:
    """By a side table; the parents' rows have to be there again first."""
    dialect, key, columns = case.trial.engine, case.key_of(table), _texts(attributes)
    then = "at the end of down, when the rows referred to are there again"
    if attributes.get("on_delete") == "CASCADE":
        again = remedy.put_rows_back(case.before.schema, table, key, dialect)
        return (
            f"Copy the rows of {table} first ({span(remedy.keep_rows(table, dialect))}), and put them back {then}"
            f" ({span(again)}); or move them to another parent before, in a statement of its own."
        )
    if not key or set(columns) & set(key):
        return f"Keep {listed(f'{table}.{c}' for c in columns)} in a side table first, and put the values back {then}."
    copy = span(remedy.keep_columns(table, key, columns, dialect))
    back = span(remedy.put_columns_back(table, key, columns, dialect))
    return f"Keep {listed(f'{table}.{c}' for c in columns)} first ({copy}), and put the values back {then} ({back})."


def replaces(statement: str, dialect: str) -> bool:
    """REPLACE, INSERT OR REPLACE, UPDATE OR REPLACE: rows that are in the way are deleted."""
    found = words_of(statement, dialect)[:3]
    return found[:1] == ["REPLACE"] or found[1:] == ["OR", "REPLACE"]


def upsert(dialect: str) -> str:
    return f"INSERT ... ON {'DUPLICATE KEY' if dialect in remedy.MYSQL else 'CONFLICT ... DO'} UPDATE"


def went(case: Case, table: TableRef) -> bool:
    """Rows of a table went by cascades from further up."""
    return bool(chain(case, table))


def chain(case: Case, table: TableRef) -> list[TableRef]:
    """The tables from where rows went first down to this one, by the shortest way; foreign keys may form circles."""
    waiting, seen = [[table]], {table}
    for path in waiting:
        for _, attributes in foreign_keys(case.before.schema, path[0]):
            parent = table_named(case, str(attributes.get("references")))
            if attributes.get("on_delete") != "CASCADE" or parent in seen:
                continue
            if _loses_rows(case, parent):
                return _from_the_top(case, [parent, *path])
            seen.add(parent)
            waiting.append([parent, *path])
    return []


def _from_the_top(case: Case, path: list[TableRef]) -> list[TableRef]:
    """Where the rows of the first table went by a cascade as well, with those above it."""
    if _is_emptied(case, path[0]):
        return path
    above = foreign_keys(case.before.schema, path[0])
    parents = [table_named(case, str(a.get("references"))) for _, a in above if a.get("on_delete") == "CASCADE"]
    higher = next((p for p in parents if p not in path and _loses_rows(case, p)), None)
    return _from_the_top(case, [higher, *path]) if higher is not None else path


def _loses_rows(case: Case, table: TableRef) -> bool:
    return bool(case.up_diff(table).lost_count) or _is_emptied(case, table)


def _is_emptied(case: Case, table: TableRef) -> bool:
    """By a statement about the table itself."""
    up = case.up
    return bool(up.deletes_from(table) or up.truncates(table) or up.drops_table(table) or up.rebuilds(table))


def table_named(case: Case, label: str) -> TableRef:
    return next((t for t in case.before.schema.tables() if str(t) == label), TableRef("", label))


def _texts(attributes: Attributes) -> tuple[str, ...]:
    columns = attributes.get("columns")
    return columns if isinstance(columns, tuple) else ()


def foreign_keys(schema: Schema, table: TableRef) -> Iterator[tuple[ObjectKey, Attributes]]:
    return ((k, a) for k, a in schema.of(table).items() if a.get("type") == "foreign key")
