"""Generated keys: what their sequences would give next, and what they have to keep clear of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from seatrial.engines._postgresql_integrity import Facts
from seatrial.engines._postgresql_session import SHADOWS, Session, literal, qualified, quote
from seatrial.model import Counter, TableRef

# In bodies of functions; names are read as a session of the project's reads them.
_SEQUENCE = r"""nextval\s*\(\s*'((?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))?)'(?:::regclass)?\s*\)"""
_TAKEN = literal(_SEQUENCE)
_RETURNED = literal(rf"^\s*(?:begin\s+return|select)\s+{_SEQUENCE}\s*;?\s*(?:end\s*;?)?\s*$")
_ASSIGNED = literal(rf"""\mnew\s*\.\s*("[^"]+"|\w+)\s*:?=\s*{_SEQUENCE}\s*(.)""")

# Columns whose next value comes from a sequence: identity (i), a default that takes one, by itself or by a function of
# the project's, a trigger that assigns one, or only owned (a). Where more is made of it ('INV-' || nextval(...)),
# what is stored cannot be held against it.
_SOURCES = f"""
SELECT DISTINCT ON (s.seqrelid, c.oid, a.attnum)
  CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname END, c.relname, a.attname,
  CASE WHEN a.attidentity <> '' THEN 'identity' ELSE u.how END,
  CASE m.nspname WHEN 'public' THEN '' ELSE m.nspname END, q.relname, s.seqincrement, s.seqmax, s.seqmin, c.relkind,
  t.typcategory = 'N' AND u.plain
FROM pg_sequence s
JOIN pg_class q ON q.oid = s.seqrelid JOIN pg_namespace m ON m.oid = q.relnamespace
JOIN (
  SELECT objid AS seq, refobjid AS tab, refobjsubid AS col, 0::oid AS def, '' AS how, true AS plain FROM pg_depend
  WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i') AND refobjsubid
     > 0
  UNION ALL
  SELECT p.refobjid, d.adrelid, d.adnum, d.oid, 'sequence', pg_get_expr(d.adbin, d.adrelid) ~ '^\\(?nextval\\('
  FROM pg_attrdef d
  JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass
  WHERE pg_get_expr(d.adbin, d.adrelid) ~ '\\mnextval\\('
  UNION ALL
  SELECT to_regclass(m[1]), d.adrelid, d.adnum, d.oid, 'sequence',
    pg_get_expr(d.adbin, d.adrelid) ~ '^[\\w."]+\\([^()]*\\)$' AND f.prosrc ~* {_RETURNED}
  FROM pg_attrdef d
  JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_proc'::regclass
  JOIN pg_proc f ON f.oid = p.refobjid, regexp_matches(f.prosrc, {_TAKEN}, 'gi') AS m
  UNION ALL
  SELECT to_regclass(m[2]), g.tgrelid, a.attnum, 0, 'trigger', m[3] = ';'
  FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid, regexp_matches(f.prosrc, {_ASSIGNED}, 'gi') AS m,
    pg_attribute a
  WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 7 = 7 AND a.attrelid = g.tgrelid AND a.attnum > 0
    AND a.attname = CASE WHEN m[1] LIKE '"%' THEN btrim(m[1], '"') ELSE lower(m[1]) END
) AS u ON u.seq = s.seqrelid
JOIN pg_class c ON c.oid = u.tab AND c.relkind IN ('r', 'p') JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = u.tab AND a.attnum = u.col
JOIN pg_type t ON t.oid = a.atttypid
WHERE n.nspname <> '{SHADOWS}' AND n.nspname !~ '^pg_'
  AND has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid) AND has_table_privilege(q.oid, 'SELECT')
  AND NOT (c.relispartition AND EXISTS (SELECT FROM pg_attrdef x JOIN pg_depend y ON y.objid = x.oid AND y.refobjid =
     s.seqrelid
    JOIN pg_inherits h ON h.inhparent = x.adrelid WHERE h.inhrelid = c.oid))
ORDER BY s.seqrelid, c.oid, a.attnum, u.def DESC, u.how DESC
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


def sources(session: Session) -> list[Source]:
    """Every column that a sequence feeds, or that owns one."""
    return sorted(
        (
            Source(TableRef(n, t), c, how, TableRef(m, q), int(i), int(most), int(least), kind == "p", plain == "t")
            for n, t, c, how, m, q, i, most, least, kind, plain in session.rows(_SOURCES, prepare=True)
        ),
        key=lambda source: (source.table, source.column, source.sequence),
    )


def read(session: Session, facts: Facts, found: Iterable[Source]) -> tuple[Counter, ...]:
    """Every generated key; what an untouched table holds is carried over."""
    used = [s for s in found if s.mechanism and facts.has(s.table)]
    known = {(c.table, c.column): c.highest for c in facts.since.counters} if facts.since else {}
    carried = [not facts.is_fresh(s.table) and (s.table, s.column) in known for s in used]
    asked = [
        f"(SELECT last_value, is_called, {'NULL' if keep else s.highest_sql + '::text'} FROM {qualified(s.sequence)})"
        for s, keep in zip(used, carried, strict=True)
    ]
    rows = session.rows(" UNION ALL ".join(asked)) if asked else []
    return tuple(
        _counter(s, row, known.get((s.table, s.column)) if keep else _number(row[2]))
        for s, row, keep in zip(used, rows, carried, strict=True)
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
    for source in sources(session):
        row = session.rows(f"SELECT last_value, is_called, {source.highest_sql} FROM {qualified(source.sequence)}")[0]
        counter = _counter(source, row, _number(row[2]))
        if counter.highest is None or counter.next_value is None:
            continue
        ahead = (counter.next_value - counter.highest) * (1 if source.increment > 0 else -1)
        if ahead <= 0 and source.least <= counter.highest <= source.most:
            sequence = qualified(source.sequence).replace("'", "''")
            session.rows(f"SELECT setval('{sequence}'::regclass, {counter.highest})")
