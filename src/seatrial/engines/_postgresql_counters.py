"""Generated keys: what their sequences would give next, and what they have to keep clear of."""

from __future__ import annotations

from dataclasses import dataclass

from seatrial.engines._postgresql_integrity import Facts
from seatrial.engines._postgresql_session import SHADOWS, Session, qualified, quote
from seatrial.model import Counter, TableRef

# Columns whose next value comes from a sequence: identity (i), a default that takes one, or only owned (a). Where the
# default makes something else of the number ('INV-' || nextval(...)), what is stored cannot be held against it.
_SOURCES = f"""
SELECT DISTINCT ON (s.seqrelid, c.oid, a.attnum)
  CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname END, c.relname, a.attname,
  CASE WHEN a.attidentity <> '' THEN 'identity' WHEN d.oid IS NOT NULL THEN 'sequence' ELSE '' END,
  CASE m.nspname WHEN 'public' THEN '' ELSE m.nspname END, q.relname, s.seqincrement, s.seqmax, s.seqmin, c.relkind,
  t.typcategory = 'N' AND coalesce(pg_get_expr(d.adbin, d.adrelid), 'nextval(') ~ '^\\(?nextval\\('
FROM pg_sequence s
JOIN pg_class q ON q.oid = s.seqrelid JOIN pg_namespace m ON m.oid = q.relnamespace
JOIN (
  SELECT objid AS seq, refobjid AS tab, refobjsubid AS col, 0::oid AS def FROM pg_depend
  WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i') AND refobjsubid
     > 0
  UNION ALL
  SELECT p.refobjid, d.adrelid, d.adnum, d.oid FROM pg_attrdef d
  JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass
  WHERE pg_get_expr(d.adbin, d.adrelid) ~ '\\mnextval\\('
) AS u ON u.seq = s.seqrelid
JOIN pg_class c ON c.oid = u.tab AND c.relkind IN ('r', 'p') JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = u.tab AND a.attnum = u.col
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.oid = u.def
WHERE n.nspname <> '{SHADOWS}' AND n.nspname !~ '^pg_'
  AND has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid) AND has_table_privilege(q.oid, 'SELECT')
  AND NOT (c.relispartition AND EXISTS (SELECT FROM pg_attrdef x JOIN pg_depend y ON y.objid = x.oid AND y.refobjid =
     s.seqrelid
    JOIN pg_inherits h ON h.inhparent = x.adrelid WHERE h.inhrelid = c.oid))
ORDER BY s.seqrelid, c.oid, a.attnum, u.def DESC
"""


@dataclass(frozen=True, slots=True)
class Source:
    """One column that a sequence feeds."""

    table: TableRef
    column: str
    mechanism: str  # empty: the sequence is only owned by the column
    sequence: TableRef
    increment: int
    most: int
    least: int
    partitioned: bool
    plain: bool  # the column holds the sequence's numbers themselves

    @property
    def highest_sql(self) -> str:
        """The stored value nearest to the sequence's way."""
        if not self.plain:
            return "NULL"
        only = "" if self.partitioned else "ONLY "
        furthest = "max" if self.increment > 0 else "min"
        return f"(SELECT {furthest}({quote(self.column)}) FROM {only}{qualified(self.table)})"


def _sources(session: Session) -> list[Source]:
    return sorted(
        (
            Source(TableRef(n, t), c, how, TableRef(m, q), int(i), int(most), int(least), kind == "p", plain == "t")
            for n, t, c, how, m, q, i, most, least, kind, plain in session.rows(_SOURCES, prepare=True)
        ),
        key=lambda source: (source.table, source.column, source.sequence),
    )


def read(session: Session, facts: Facts) -> tuple[Counter, ...]:
    """Every generated key; what an untouched table holds is carried over."""
    sources = [s for s in _sources(session) if s.mechanism and facts.has(s.table)]
    known = {(c.table, c.column): c.highest for c in facts.since.counters} if facts.since else {}
    carried = [not facts.is_fresh(s.table) and (s.table, s.column) in known for s in sources]
    asked = [
        f"(SELECT last_value, is_called, {'NULL' if keep else s.highest_sql + '::text'} FROM {qualified(s.sequence)})"
        for s, keep in zip(sources, carried, strict=True)
    ]
    rows = session.rows(" UNION ALL ".join(asked)) if asked else []
    return tuple(
        _counter(s, row, known.get((s.table, s.column)) if keep else _number(row[2]))
        for s, row, keep in zip(sources, rows, carried, strict=True)
    )


def _number(text: str | None) -> int | None:
    return None if text is None else int(text.partition(".")[0])


def _counter(source: Source, row: tuple[str, ...], highest: int | None) -> Counter:
    last, called = int(row[0]), row[1] == "t"
    return Counter(
        table=source.table,
        column=source.column,
        mechanism=source.mechanism,
        source=f"sequence {source.sequence}",
        next_value=last + source.increment if called else last,
        increment=source.increment,
        highest=highest,
    )


def advance(session: Session) -> None:
    """Move every sequence that would give a stored value again past what is stored."""
    for source in _sources(session):
        row = session.rows(f"SELECT last_value, is_called, {source.highest_sql} FROM {qualified(source.sequence)}")[0]
        counter = _counter(source, row, _number(row[2]))
        if counter.highest is None or counter.next_value is None:
            continue
        ahead = (counter.next_value - counter.highest) * (1 if source.increment > 0 else -1)
        if ahead <= 0 and source.least <= counter.highest <= source.most:
            sequence = qualified(source.sequence).replace("'", "''")
            session.rows(f"SELECT setval('{sequence}'::regclass, {counter.highest})")
