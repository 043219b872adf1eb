"""Rows of a table of which only a few pages were written since a whole copy of it was made.

The write-ahead log names those pages: every other row is the very tuple that was copied, so that only the rows of
those pages are read and kept. A copy knows for each of its rows the place (``p``, its ctid) that it was read from.
Columns that were added since without writing the table give each older row one value (pg_attribute.attmissingval).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from seatrial.engines._postgresql_layout import Column, Layout, form, hash_row
from seatrial.engines._postgresql_rows import Shadow, Shadows, fingerprint, selected, summed
from seatrial.engines._postgresql_session import Session, literal
from seatrial.errors import DatabaseError

_SHARE = 16  # up to one page in so many: looking rows up by their place costs more than reading in order
_PAGE = 8192


def derived(
    session: Session, shadows: Shadows, before: Shadow, layout: Layout, written: Iterable[int]
) -> Shadow | None:
    """A table's rows as a whole copy and the pages ``written`` since ``before``; None where that saves nothing."""
    base = before.base or before
    pages = before.pages | frozenset(written)
    if not (base.placed and layout.logged and base.layout.files[0] == layout.files[0]) or layout.why_not:
        return None
    if len(pages) > layout.bytes // _PAGE // _SHARE:
        return None
    constants = _constants(session, base.layout, layout)
    if constants is None:
        return None
    relation = shadows.name()
    session.rows(f"CREATE UNLOGGED TABLE {relation} AS {selected(layout)} WHERE t.ctid = ANY({_places(pages)})")
    rows, checksum = _totals(session, base, pages, relation, layout)
    return Shadow(relation, layout, rows, checksum, base=base, pages=pages, constants=constants)


def _totals(session: Session, base: Shadow, pages: frozenset[int], now: str, layout: Layout) -> tuple[int, str]:
    """Rows and checksum: the copy's, less its rows on the written pages, more those that are there now."""
    if not _same_hashes(base.layout, layout):
        return fingerprint(session, layout)
    gone, less = summed(session, _on_pages(session, base, pages))
    come, more = summed(session, now)
    return base.rows - gone + come, f"{(int(base.checksum, 16) - less + more) % 2**64:016x}"


def same_elsewhere(old: Shadow, new: Shadow, columns: Iterable[tuple[Column | None, Column | None]]) -> bool:
    """Whether the two can differ only on the pages written since one copy, in the columns that are compared."""
    if (old.base or old).relation != (new.base or new).relation:
        return False
    return all(one is not None and other is not None and one.stored == other.stored for one, other in columns)


def rows_on(session: Session, shadow: Shadow, pages: frozenset[int], name: str) -> Shadow:
    """The rows of those pages as a temporary table, in a transaction; ``pages`` holds all of the shadow's own."""
    if shadow.base is None:
        rows = f"SELECT x.* FROM {_on_pages(session, shadow, pages)} x"
    else:
        rows = _with_own(shadow, _on_pages(session, shadow.base, pages - shadow.pages))
    return _temporary(session, shadow, rows, name)


def whole(session: Session, shadow: Shadow, name: str) -> Shadow:
    """All rows as one temporary table, in a transaction."""
    if shadow.base is None:
        return shadow
    written = f"SELECT w.own FROM {_on_pages(session, shadow.base, shadow.pages)} w"
    rest = f"(SELECT x.* FROM {shadow.base.everything} x WHERE x.own NOT IN ({written}))"
    return _temporary(session, shadow, _with_own(shadow, rest), name)


def _temporary(session: Session, shadow: Shadow, rows: str, name: str) -> Shadow:
    session.rows(f"CREATE TEMP TABLE {name} ON COMMIT DROP AS {rows}")
    return replace(shadow, relation=f"pg_temp.{name}", base=None, pages=frozenset(), values="")


def _with_own(shadow: Shadow, older: str) -> str:
    """The shadow's own rows and older ones of its copy, in the columns of today."""
    assert shadow.base
    layout, stored = shadow.layout, {c.stored: c for c in shadow.base.layout.columns}
    values = dict(shadow.constants)
    values |= {c.name: f"x.{stored[c.stored].shadow}" for c in layout.columns if c.stored in stored}
    parts = (part for c in layout.columns for part in c.parts(form(c.exact, values[c.name])))
    h = "x.h" if _same_hashes(shadow.base.layout, layout) else hash_row(parts, layout.seed, imaged=layout.imaged)
    own = ", ".join(["h", *(c.shadow for c in layout.columns)])
    taken = ", ".join([f"{h} AS h", *(f"{values[c.name]} AS {c.shadow}" for c in layout.columns)])
    return f"SELECT {own} FROM {shadow.relation} UNION ALL SELECT {taken} FROM {older} x"


def _same_hashes(old: Layout, new: Layout) -> bool:
    return old.forms == new.forms and all(a.stored == b.stored for a, b in zip(old.columns, new.columns, strict=True))


def _constants(session: Session, old: Layout, new: Layout) -> tuple[tuple[str, str], ...] | None:
    """For each column that was added, the expression that gives what every older row holds there.

    None where one is not known, or where an older column's bytes have another meaning now.
    """
    then = {c.number: c.stored for c in old.columns}
    found = []
    for column in new.columns:
        if then.get(column.number) == column.stored:
            continue
        value = None if column.number in then or column.computed else _constant(session, column)
        if value is None:
            return None
        found.append((column.name, value))
    return tuple(found)


def _constant(session: Session, column: Column) -> str | None:
    if column.missing is None:
        return _typed(column, None)
    value = form(column.kept, f"({literal(column.missing)}::{column.type}[])[1]")
    session.rows("SAVEPOINT seatrial_constant")
    try:
        text = session.value(f"SELECT {form(column.output, value)}")
    except DatabaseError:  # a type of which there are no arrays
        session.rows("ROLLBACK TO SAVEPOINT seatrial_constant")
        return None
    return _typed(column, text)


def _typed(column: Column, text: str | None) -> str:
    collation = ' COLLATE "C"' if column.kept.endswith('COLLATE "C"') else ""
    return f'({literal(text)}::pg_catalog."{column.base}"{collation})'


def _places(pages: frozenset[int]) -> str:
    """Every place that a row can have on those pages (MaxHeapTuplesPerPage: a tuple and its pointer take 28 bytes)."""
    return (
        f"ARRAY(SELECT format('(%s,%s)', b, i)::tid FROM {_numbers(pages)} b,"
        " generate_series(1, current_setting('block_size')::int / 28) i)"
    )


def _on_pages(session: Session, base: Shadow, pages: frozenset[int]) -> str:
    """The rows of a whole copy that were read from those pages, by an index that is made when it is first needed."""
    if not pages:
        return f"(SELECT y.* FROM {base.everything} y WHERE false)"
    name = base.relation.rpartition(".")[2]
    session.rows(f"CREATE INDEX IF NOT EXISTS {name}_p ON {base.relation} (p)")
    return (
        f"(SELECT x.* FROM {_numbers(pages)} b CROSS JOIN LATERAL (SELECT y.* FROM {base.everything} y"
        " WHERE y.p >= format('(%s,0)', b)::tid AND y.p < format('(%s,0)', b + 1)::tid OFFSET 0) x)"
    )


def _numbers(pages: frozenset[int]) -> str:
    return f"unnest('{{{','.join(map(str, sorted(pages)))}}}'::bigint[])"
