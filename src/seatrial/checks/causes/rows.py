"""Why rows are missing, or are there, that should not be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from seatrial.checks.case import Case, Cause, listed, quoted
from seatrial.checks.causes.cascade import cascades, foreign_keys, removing, replaces, table_named
from seatrial.checks.causes.reach import Values, counted, reached, rows_of
from seatrial.checks.causes.share import Reason, shared, told
from seatrial.checks.causes.triggers import fired
from seatrial.model import Row, TableRef
from seatrial.prose import span
from seatrial.sql import remedy
from seatrial.sql.intent import Intent
from seatrial.sql.look import names_in, says, where_of, words_of


def rows_lost(case: Case, table: TableRef) -> Iterator[Cause]:
    """Why rows of a table are missing after down."""
    if renumbered := list(_renumbered(case, table)):
        yield from renumbered
        return
    up, down = case.up_diff(table), case.down_diff(table)
    whole = len(up.lost) == up.lost_count and len(down.lost) == down.lost_count
    lost = {_identity(r) for r in down.lost}
    rows = [r for r, known in zip(rows_of(up), up.lost, strict=True) if not whole or _identity(known) in lost]
    if up.lost_count and (rows or not whole):
        yield from removed(case, table, rows, also=_parked_and_dropped(case, table))
    if not up.lost_count or (down.lost_count > len(rows) if whole else down.lost_count > up.lost_count):
        yield from removed_by_down(case, table)


def _identity(row: Row) -> tuple[str | None, ...]:
    return row.key or row.values


def removed(
    case: Case, table: TableRef, rows: Sequence[Values] | None = None, also: Iterable[Reason] = ()
) -> list[Cause]:
    """Why up removed these rows of a table, or all that it removed: every reason that is not proven to be another's."""
    diff = case.up_diff(table)
    rows = rows_of(diff) if rows is None else rows
    unseen = len(diff.lost) < diff.lost_count
    parked = list(also)
    if dropped := list(_dropped(case, table)):
        return [c for r in parked for c in r.tell(())] or dropped
    reasons = [*parked, *_direct(case, table), *_of_partitions(case, table)]
    if not _counted_all(case, table):
        reasons += [*_by_cascade(case, table), *_indirect(case, table)]
    return shared(reasons, rows, diff.key, unseen=unseen)


def _counted_all(case: Case, table: TableRef) -> bool:
    """Whether the engine counted as many rows for the DELETEs as are gone: nothing else took any."""
    deletes = removing(case, case.family(table)[:1])
    return (
        bool(deletes) and counted(case, deletes) == case.up_diff(table).lost_count and not case.up.inserts_into(table)
    )


def _place(case: Case, statement: str) -> int:
    order = list(case.up.statements)
    return order.index(statement) if statement in order else len(order)


def _direct(case: Case, table: TableRef) -> Iterator[Reason]:
    """What the step's own statements did to the rows of the table."""
    deletes = removing(case, case.family(table))
    yield from _rekeyed_rows(case, table, deletes)
    for statement in deletes:
        yield Reason(
            "deleted",
            lambda statements: _deleted(case, table, statements),
            lambda row, s=statement: reached(case, table, s, row),  # type: ignore[misc]
            statement,
            _place(case, statement),
        )


def _rekeyed_rows(case: Case, table: TableRef, deletes: Sequence[str]) -> Iterator[Reason]:
    """Under their old key, or without a key under their old values, the rows are not there any more."""
    wrote = _rekeying(case, table)
    for statement in wrote:
        yield Reason(
            "changed",
            lambda statements: _rekeyed(case, table) if case.key_of(table) else _rewritten(case, table, statements),
            lambda row, s=statement: reached(case, table, s, row),  # type: ignore[misc]
            statement,
            _place(case, statement),
            changes=True,
            covers=() if case.key_of(table) else ("deleted",),
        )


def _rekeying(case: Case, table: TableRef) -> list[str]:
    key, diff = case.key_of(table), case.up_diff(table)
    if not key:
        return list(case.up.updates(table)) if diff.added_count else []
    if not list(_rekeyed(case, table)):
        return []
    return list(dict.fromkeys(s for t in case.family(table) for c in key for s in case.up.assigns_column(t, c)))


def _rewritten(case: Case, table: TableRef, statements: tuple[str, ...]) -> Iterator[Cause]:
    yield Cause(
        f"up overwrites values ({told(statements)}), and without a key a row with other values is another row",
        _keep_them(case, table, ()),
    )


def _indirect(case: Case, table: TableRef) -> Iterator[Reason]:
    """What took rows without a DELETE; which ones, its text does not say."""
    for group, find in (("rebuilt", _rebuilt), ("otherwise", _otherwise)):
        if found := list(find(case, table)):
            copies = [s for s in case.up.rebuilds(table) if "SELECT" in s.upper()] if group == "rebuilt" else []
            yield Reason(group, lambda _, told=found: told, lambda row, s=copies: _left_out(case, table, s, row))  # type: ignore[misc]


def _left_out(case: Case, table: TableRef, copies: Sequence[str], row: Values) -> bool | None:
    """Whether the copy of a rebuild passed over a row; of what is no copy it cannot be told."""
    if len(copies) != 1:
        return None
    took = reached(case, table, copies[0], row)
    return None if took is None else not took


DROPS_IN_CASCADE = re.compile(r"\bdrop\b[^;]*(?<!delete)(?<!update)\s+cascade\b", re.IGNORECASE)


def _dropped(case: Case, table: TableRef) -> Iterator[Cause]:
    dialect = case.trial.engine
    schemas = [s for s in case.up.statements if table.namespace and says(s, dialect, "DROP", "SCHEMA")]
    schemas = [s for s in schemas if names_in(s, table.namespace, dialect)]
    if not schemas and (not case.up.drops_table(table) or case.up.rebuilds(table)):
        return
    what = f"the schema {table.namespace} with all that is in it" if schemas else "the table"
    again = case.down_ran and table in case.after_down.schema.tables()
    filled = case.down.inserts_into(table) if again else ()
    then = f" and down fills it otherwise ({quoted(filled)})" if filled else ""
    then = " and down creates it again without its rows" if again and not filled else then
    old = remedy.kept(table, "old")
    rename = span(remedy.rename_table(table, old.name, dialect))
    yield Cause(
        f"up drops {what} ({quoted(schemas or case.up.drops_table(table))}){then}",
        f"Rename it out of the way instead ({rename}), rename it back in down, and drop {old} in a later migration.",
    )


def _renumbered(case: Case, table: TableRef) -> Iterator[Cause]:
    """Up drops a column of the key, and down gives every row a new value in it: no row has its old key."""
    gone = [c for c in case.key_of(table) if case.up.drops_column(table, c)]
    if gone and case.down_ran and set(gone) <= set(case.after_down.schema.columns(table)):
        counted = any(c.table == table and c.column in gone for c in case.after_down.counters)
        again = "numbers the rows anew" if counted else "gives the rows other values in it"
        yield Cause(
            f"up drops the key column {listed(gone)} ({quoted(case.up.drops_column(table, gone[0]))}) and down {again}",
            f"Keep the values of {listed(f'{table}.{c}' for c in gone)} beside another column that tells the rows"
            " apart, and let down put them back.",
        )


def _rekeyed(case: Case, table: TableRef) -> Iterator[Cause]:
    """An UPDATE of the key: under their old key the rows are not there any more."""
    for above in case.family(table)[1:]:
        moving = [w for c in case.key_of(table) if (w := case.up.assigns_column(above, c))]
        if moving:
            yield Cause(
                f"up moves them to another partition of {above} ({quoted(moving[0])})",
                f"Let down give the rows of {above} back the values that decide on their partition.",
            )
            return
    keys = [c for c in case.key_of(table) if case.up.assigns_column(table, c)]
    if keys and case.up.updates(table) and case.up_diff(table).added_count:
        yield Cause(
            f"up gives rows another {listed(keys)} ({quoted(case.up.assigns_column(table, keys[0]))}), under which they"
            " are other rows to everything that refers to them",
            f"Keep the old and the new {listed(keys)} in a side table, give every table that refers to {table} the new"
            " ones in the same migration, and let down go back by it.",
        )


def _deleted(case: Case, table: TableRef, direct: tuple[str, ...]) -> Iterator[Cause]:
    copies = case.up.rebuilds(table)  # an Alembic batch after the DELETE takes over what it left
    again = [s for s in case.up.inserts_into(table) if s not in copies]
    back = (
        f" and puts back only a part of them ({quoted(again)})" if again and not case.up_diff(table).added_count else ""
    )
    yield Cause(f"up deletes them ({told(direct)}){back}", _keep_them(case, table, direct))


def _keep_them(case: Case, table: TableRef, statements: Sequence[str]) -> str:
    """A side table of what is deleted; of everything, where the statement does not say it (children of its own)."""
    dialect, key = case.trial.engine, case.key_of(table)
    own = any(a.get("references") == str(table) for _, a in foreign_keys(case.before.schema, table))
    where = where_of(statements[0], dialect) if len(statements) == 1 and not own else ""
    again = remedy.put_rows_back(case.before.schema, table, key, dialect)
    if not key and not where:  # nothing tells which rows are still there
        again = f"DELETE FROM {remedy.of(table, dialect)}; {again}"
    copy = remedy.keep_rows(table, dialect, where)
    return f"Copy them before they go ({span(copy)}) and let down put them back ({span(again)})."


def _of_partitions(case: Case, table: TableRef) -> Iterator[Reason]:
    if found := list(_partitions(case, table)):
        yield Reason("partitions", lambda _: found, lambda _: None)


def _partitions(case: Case, table: TableRef) -> Iterator[Cause]:
    """ALTER TABLE ... DROP PARTITION, which takes the rows with it (MySQL manual, 26.3)."""
    for text in case.up.naming(table):
        if says(text, case.trial.engine, "EXCHANGE", "PARTITION"):
            yield Cause(
                f"up exchanges a partition, whose rows stand in the other table since ({quoted([text])})",
                f"In down, exchange the partition of {table} once more before the other table is dropped.",
            )
        elif any(says(text, case.trial.engine, verb, "PARTITION") for verb in ("DROP", "TRUNCATE")):
            yield Cause(
                f"the rows of a partition go with it ({quoted([text])})",
                f"Move its rows to a table of their own ({_exchange(case, table)}), and let down bring them back.",
            )


def _exchange(case: Case, table: TableRef) -> str:
    name = remedy.of(table, case.trial.engine)
    other = remedy.of(remedy.kept(table), case.trial.engine)
    return span(f"ALTER TABLE {name} EXCHANGE PARTITION ... WITH TABLE {other}")


def _by_cascade(case: Case, table: TableRef) -> Iterator[Reason]:
    yield from cascades(case, table, "CASCADE")
    if found := list(_truncated(case, table)):
        yield Reason("truncated", lambda _: found, lambda _: True)


def _truncated(case: Case, table: TableRef) -> Iterator[Cause]:
    for _, attributes in foreign_keys(case.before.schema, table):
        parent = table_named(case, str(attributes.get("references")))
        emptied = [s for s in case.up.truncates(parent) if "CASCADE" in words_of(s, case.trial.engine)]
        if emptied and attributes.get("on_delete") != "CASCADE":
            yield Cause(
                f"TRUNCATE ... CASCADE empties every table that refers to {parent} ({quoted(emptied)})",
                f"Leave CASCADE out: then the database refuses, and names {table}.",
            )


def _rebuilt(case: Case, table: TableRef) -> Iterator[Cause]:
    if not case.up.rebuilds(table) or table not in case.after_up.schema.tables():
        return
    state = case.after_up.table(table)
    copied = [
        s for s in case.up.rebuilds(table) if names_in(s, table.name, case.trial.engine) and "SELECT" in s.upper()
    ]
    none = "the copy takes none of its rows" if copied else "its rows are not copied"
    copy = "the copy takes only a part of its rows" if state and state.rows else none
    yield Cause(
        f"up rebuilds the table and {copy} ({quoted(copied or case.up.rebuilds(table))})",
        f"Copy every row of {table} into the new table; those that do not fit go to a side table first"
        f" ({remedy.of(remedy.kept(table), case.trial.engine)}), for down to put back.",
    )


def _otherwise(case: Case, table: TableRef) -> Iterator[Cause]:
    yield from fired(case, table, "up", "removed them")
    replaced = [s for s in (*case.up.updates(table), *case.up.inserts_into(table)) if replaces(s, case.trial.engine)]
    if replaced:
        yield Cause(
            f"REPLACE deletes the rows that stand in the way of the new ones ({quoted(replaced)})",
            f"Find the rows of {table} that clash first, and say which one stays, without REPLACE.",
        )
    if ignored := [s for s in case.up.naming(table) if says(s, case.trial.engine, "ALTER", "IGNORE")]:
        yield Cause(
            f"IGNORE lets the engine delete rows that the new rule refuses ({quoted(ignored)})",
            f"Find the duplicates in {table}, decide which row stays, and delete the others in a statement of their own"
            " before the rule is added without IGNORE.",
        )


def _parked_and_dropped(case: Case, table: TableRef) -> Iterator[Reason]:
    """The rows went to a table that up made and down threw away."""
    if not case.down_ran:
        return
    before, after = set(case.before.schema.tables()), set(case.after_down.schema.tables())
    for parking in case.after_up.schema.tables():
        sent = copied_into(case, parking, table) if parking not in before and parking not in after else []
        if sent and parking != case.now_named(table):
            yield Reason(
                f"parked {parking}",
                lambda _, side=parking: _parked(case, table, side),  # type: ignore[misc]
                lambda row, s=sent: reached(case, table, s[0], row) if len(s) == 1 else None,  # type: ignore[misc]
                place=-1,
                over=("deleted",),
            )


def _parked(case: Case, table: TableRef, parking: TableRef) -> Iterator[Cause]:
    dialect = case.trial.engine
    returned = [s for s in case.down.inserts_into(table) if names_in(s, parking.name, dialect)]
    if returned:
        yield Cause(
            f"up moves rows to {parking}, and what down makes of that ({quoted(returned)}) are not the same rows",
            f"Let {parking} keep the key of each row of {table}, and let down write it back.",
        )
        return
    names = remedy.columns_of(case.before.schema, table, dialect)
    there = names == remedy.columns_of(case.after_up.schema, parking, dialect)
    mine, side = remedy.of(table, dialect), remedy.of(parking, dialect)
    back = f": {span(f'INSERT INTO {mine} ({names}) SELECT {names} FROM {side}')}" if there else ""
    yield Cause(
        f"up moves rows to {parking}, and down drops {parking} without moving them back",
        f"In down, move the rows of {parking} back to {table} before {parking} is dropped{back}.",
    )


def copied_into(case: Case, side: TableRef, table: TableRef) -> list[str]:
    """What up sent into a table that it made from another one: INSERT ... SELECT, CREATE TABLE ... AS SELECT."""
    made = [s for s in case.up.naming(side) if "SELECT" in words_of(s, case.trial.engine)]
    sent = dict.fromkeys((*case.up.inserts_into(side), *made))
    return [s for s in sent if names_in(s, table.name, case.trial.engine)]


def removed_by_down(case: Case, table: TableRef) -> Iterator[Cause]:
    """Why down removed rows that were there before up."""
    down, moved = case.down, case.now_named(table)
    if moved != table and down.drops_table(moved):
        yield Cause(
            f"down drops {moved}, which {table} is called after up ({quoted(down.drops_table(moved))}), with its rows",
            f"In down, give {moved} its old name again instead of dropping it.",
        )
    elif table not in case.after_down.schema.tables() and down.drops_table(table):
        yield Cause(
            f"down drops {table}, which was there before up ({quoted(down.drops_table(table))})",
            f"Let up fail where {table} is there already (CREATE TABLE without IF NOT EXISTS), so that down removes"
            " only what up created.",
        )
    elif down.rebuilds(table) or down.drops_table(table):
        yield Cause(
            f"down puts another table in the place of {table} and does not carry every row over "
            f"({quoted(down.rebuilds(table) or down.drops_table(table))})",
            f"Copy every row of {table} into the new table before the old one is dropped.",
        )
    else:
        found = [*_deleted_by_down(case, table), *_by_down_elsewhere(case, table)]
        yield from found if len(found) < 2 else (replace(c, text=f"{c.text}: perhaps some of them") for c in found)


def _deleted_by_down(case: Case, table: TableRef) -> Iterator[Cause]:
    direct = tuple(dict.fromkeys((*case.down.truncates(table), *case.down.deletes_from(table))))
    if direct:
        yield Cause(
            f"down deletes rows that were there before up ({told(direct)})",
            f"Let down delete only the rows of {table} that up added{_added_by_up(case, table)}.",
        )


def _by_down_elsewhere(case: Case, table: TableRef) -> Iterator[Cause]:
    down = case.down
    keys = [c for c in case.key_of(table) if down.assigns_column(table, c)]
    if keys:
        yield Cause(
            f"down gives rows another {listed(keys)} than they had ({quoted(down.assigns_column(table, keys[0]))})",
            f"Let down give each row the {listed(keys)} that it had, from a table of old and new ones that up keeps.",
        )
    for key, attributes in foreign_keys(case.after_up.schema, table):
        parent = str(attributes.get("references"))
        if attributes.get("on_delete") == "CASCADE" and _deletes(down, parent):
            yield Cause(
                f"down deletes rows of {parent}, and ON DELETE CASCADE of {key.label} takes these with them",
                f"Do not delete rows of {parent} that {table} refers to, or put its rows back afterwards.",
            )
    yield from fired(case, table, "down", "removed them")


def _deletes(intent: Intent, table: str) -> bool:
    ref = TableRef(*table.split(".", 1)) if "." in table else TableRef("", table)
    return bool(intent.deletes_from(ref) or intent.truncates(ref) or intent.drops_table(ref))


def added(case: Case, table: TableRef) -> Iterator[Cause]:
    """Why there are rows in a table that were not there before up."""
    renumbered = [*_renumbered(case, table), *_rekeyed(case, table)]
    direct = case.up.inserts_into(table)
    if direct:
        yield Cause(f"up inserts them ({quoted(direct)}) {_left_by_down(case, table)}", _delete_them(case, table))
    elif renumbered:
        yield from renumbered
    else:
        yield from fired(case, table, "up", "added them")
        if case.down_ran:
            yield from _added_by_down(case, table)


def _left_by_down(case: Case, table: TableRef) -> str:
    deletes = case.down.deletes_from(table) if case.down_ran else ()
    return f"and down deletes other ones ({quoted(deletes)})" if deletes else "and down does not delete them"


def _added_by_up(case: Case, table: TableRef) -> str:
    """`` (here `DELETE FROM roles WHERE code IN ('ops')`)`` where that is a short statement."""
    diff = case.up_diff(table)
    where = case.rows_where(table, [r.key for r in diff.added]) if diff.key and diff.added else ""
    few = 0 < diff.added_count <= 20 and len(where) <= 200
    delete = f"DELETE FROM {remedy.of(table, case.trial.engine)} WHERE {where}"
    return f" (here {span(delete)})" if few else ""


def _delete_them(case: Case, table: TableRef) -> str:
    diff = case.down_diff(table)
    if not diff.key or len(diff.added) != diff.added_count or diff.added_count > 20:
        return f"Let down delete exactly those rows of {table} that up added."
    where = case.rows_where(table, [r.key for r in diff.added])
    if len(where) > 200:  # half a condition is none
        return f"Let down delete exactly those rows of {table} that up added."
    delete = f"DELETE FROM {remedy.of(table, case.trial.engine)} WHERE {where}"
    return f"In down, {span(delete)}."


def _added_by_down(case: Case, table: TableRef) -> Iterator[Cause]:
    keys = [c for c in case.key_of(table) if case.down.assigns_column(table, c)]
    if case.down.inserts_into(table):
        yield Cause(
            f"down inserts them ({quoted(case.down.inserts_into(table))})",
            f"Let down insert only those rows that {table} held before up.",
        )
    elif keys:
        wrote = quoted(case.down.assigns_column(table, keys[0]))
        yield Cause(
            f"down gives rows another {listed(keys)} than they had ({wrote})",
            f"Let down give each row the {listed(keys)} that it had, from a table of old and new ones that up keeps.",
        )
    else:
        yield from fired(case, table, "down", "added them")
