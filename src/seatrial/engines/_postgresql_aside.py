"""What is stored beside tables and belongs to no column: rows of materialized views, numbers of sequences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from seatrial.engines._postgresql_layout import finished
from seatrial.engines._postgresql_session import SHADOWS, Session, qualified
from seatrial.engines._postgresql_wal import Touched
from seatrial.errors import DatabaseError
from seatrial.model import Aside, TableRef

_PATIENCE = "10s"

_VIEWS = f"""
SELECT c.oid, CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname END, c.relname, c.relfilenode,
  coalesce(t.relfilenode, 0), pg_get_viewdef(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
WHERE c.relkind = 'm' AND c.relispopulated AND n.nspname <> '{SHADOWS}' AND has_table_privilege(c.oid, 'SELECT')
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype =
     'e')
ORDER BY 2, 3
"""
_SEQUENCES = """
SELECT CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname END, c.relname, s.seqincrement
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE has_table_privilege(c.oid, 'SELECT') AND NOT s.seqcycle AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype =
     'e')
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class View:
    """A populated materialized view; ``files`` and ``definition`` tell whether it has to be read again."""

    ref: TableRef
    files: tuple[int, ...]
    definition: str
    rows: int = 0
    checksum: str = ""
    current: bool | None = None  # whether its query gave the same rows when they were read


def views(session: Session, known: Mapping[int, View], touched: Touched | None) -> dict[int, View]:
    """Rows and checksum of each, by oid; what the log says was not touched is not read."""
    found = {}
    for oid, schema, name, file, toast, definition in session.rows(_VIEWS, prepare=True):
        view = View(TableRef(schema, name), (int(file), int(toast)), definition)
        old = _carried(view, known.get(int(oid)), touched)
        found[int(oid)] = _asked_again(session, old) if old and touched else old or _read(session, view)
    return found


def _carried(view: View, old: View | None, touched: Touched | None) -> View | None:
    if old is None or touched is None or not touched.keys().isdisjoint(view.files):
        return None
    same = (old.ref, old.files, old.definition) == (view.ref, view.files, view.definition)
    return old if same else None


def _asked_again(session: Session, view: View) -> View:
    """Its rows are the same ones; what its query gives may be others now that something was written elsewhere."""
    if view.current is None:
        return view
    return replace(view, current=_is_current(session, view, (view.rows, view.checksum)))


def _read(session: Session, view: View) -> View:
    """By their text in the fixed session, whatever their types."""
    rows, checksum = _summed(session, qualified(view.ref))
    return replace(view, rows=rows, checksum=checksum, current=_is_current(session, view, (rows, checksum)))


def _summed(session: Session, source: str) -> tuple[int, str]:
    """``v.*`` is the row even where a column is named v."""
    hashed = f'SELECT pg_catalog.hashtextextended((v.*)::text COLLATE "C", 0) AS h FROM {source} v'
    rows, total = session.rows(f"SELECT count(*), {finished()} FROM ({hashed}) x")[0]
    return int(rows), str(total or 0)


def _is_current(session: Session, view: View, held: tuple[int, str]) -> bool | None:
    """None where its query fails or takes long: it is the project's, and may be anything."""
    session.rows(f"SAVEPOINT seatrial_view; SET LOCAL statement_timeout = '{_PATIENCE}'")
    try:
        return _summed(session, f"({view.definition.rstrip('; ')})") == held
    except DatabaseError:
        return None
    finally:
        session.rows("ROLLBACK TO SAVEPOINT seatrial_view")


def asides(session: Session, held: Mapping[int, View], judged: frozenset[TableRef]) -> Iterator[Aside]:
    """All of it; ``judged``: sequences that columns take their numbers from, which are counters."""
    for view in held.values():
        what = f"rows of materialized view {view.ref}"
        yield Aside(what=what, rows=view.rows, checksum=view.checksum, current=view.current)
    sequences = [(TableRef(n, q), int(by)) for n, q, by in session.rows(_SEQUENCES, prepare=True)]
    sequences = [(ref, by) for ref, by in sequences if ref not in judged]
    asked = [f"(SELECT last_value, is_called FROM {qualified(ref)})" for ref, _ in sequences]
    rows = session.rows(" UNION ALL ".join(asked)) if asked else []
    for (ref, by), (last, called) in zip(sequences, rows, strict=True):
        position = int(last) + by if called == "t" else int(last)
        yield Aside(what=f"numbers of sequence {ref}", position=position, increment=by)
