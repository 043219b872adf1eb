"""Two moments compared: every differing row named, counted in the server, only examples fetched.

Rows are joined narrow (key and hash), which names those that differ; only their values are then looked at, by their
place in the shadow table. Where more than a share of them differ, or their hashes say nothing (a column is missing),
whole rows are joined and their columns compared in one go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from seatrial.engines import _postgresql_pages as pages
from seatrial.engines import _postgresql_unmoved as unmoved
from seatrial.engines._postgresql_comparison import Compared, Comparison, is_kept, is_unique, key_form
from seatrial.engines._postgresql_layout import Column
from seatrial.engines._postgresql_rows import Shadow
from seatrial.engines._postgresql_session import Session
from seatrial.model import ChangedRow, ChangeGroup, Row, TableDiff

_SHARE = 5  # one row in so many looked up by its place costs as much as joining all of them whole
_OLD, _NEW = "seatrial_o", "seatrial_n"  # temporary tables

# Looking up the place of a row beats reading its table as long as there are few; the planner believes neither.
_BY_PLACE = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"


def compare(session: Session, comparison: Comparison) -> TableDiff | None:
    """How the rows of one pair differ, or None."""
    if comparison.certainly_equal():
        return None
    session.rows("BEGIN")
    try:
        c = in_whole_tables(session, comparison)
        found = _keyed(session, c) if c.key else _unkeyed(session, c)
    finally:
        session.rows("ROLLBACK")
    return found or None


def in_whole_tables(session: Session, c: Comparison) -> Comparison:
    """The same comparison, in a transaction, of tables that hold all rows in which the two sides can differ."""
    old, new = c.old, c.new
    if old and new and (old.base or new.base) and pages.same_elsewhere(old, new, [(k.old, k.new) for k in c.columns]):
        written = old.pages | new.pages
        old, new = pages.rows_on(session, old, written, _OLD), pages.rows_on(session, new, written, _NEW)
        return replace(c, old=old, new=new)
    return replace(c, old=old and pages.whole(session, old, _OLD), new=new and pages.whole(session, new, _NEW))


def _keyed(session: Session, c: Comparison) -> TableDiff:
    relation = _differing(session, c)
    lost_count, added_count = session.rows(
        f"SELECT count(*) FILTER (WHERE n IS NULL), count(*) FILTER (WHERE o IS NULL) FROM {relation}"
    )[0]
    lost, added = int(lost_count), int(added_count)
    return _diff(
        c,
        lost_count=lost,
        lost=tuple(_rows(session, c, relation, new=False)) if lost else (),
        added_count=added,
        added=tuple(_rows(session, c, relation, new=True)) if added else (),
        changed=tuple(_groups(session, c, relation)) if is_kept(c.old) and is_kept(c.new) else (),
    )


def _differing(session: Session, c: Comparison) -> str:
    """A temporary table of the rows that differ: their places, keys and, where both sides have the row, masks."""
    if unmoved.joined(session, c):
        session.run([_BY_PLACE])
        return unmoved.JOINED
    both = is_kept(c.old) and is_kept(c.new)
    if both and is_unique(c) and (not (c.whole or c.grown) or not _few(session, c)):
        return _joined_whole(session, c)
    if not (both and is_unique(c)):
        _join_narrow(session, c, None)
    session.run([_BY_PLACE])
    if both:
        masks = ", ".join(f"{mask} AS f{i}" for i, mask in enumerate(c.masks))
        places = f"LEFT JOIN {_wide(c, False)} o ON o.ctid = d.o LEFT JOIN {_wide(c, True)} n ON n.ctid = d.n"
        session.rows(f"CREATE TEMP TABLE seatrial_x ON COMMIT DROP AS SELECT d.*, {masks} FROM seatrial_d d {places}")
    return "seatrial_x" if both else "seatrial_d"


def _few(session: Session, c: Comparison) -> bool:
    """Join narrow, but stop where more than a share of the rows differ."""
    assert c.old and c.new
    most = max(c.old.rows, c.new.rows) // _SHARE + 1000
    if _join_narrow(session, c, most + 1) <= most:
        return True
    session.rows("DROP TABLE seatrial_d")
    return False


def _join_narrow(session: Session, c: Comparison, limit: int | None) -> int:
    unique = is_unique(c)
    sides = [side(c, new, unique) for new in (False, True)]
    pairs = range(len(c.key) if unique else 2)
    keys = ", ".join(f"o.k{i} AS o{i}, n.k{i} AS n{i}" for i in pairs)
    session.rows(
        f"CREATE TEMP TABLE seatrial_d ON COMMIT DROP AS SELECT o.t AS o, n.t AS n, {keys}"
        f" FROM {sides[0]} o FULL JOIN {sides[1]} n ON {' AND '.join(f'o.k{i} = n.k{i}' for i in pairs)}"
        f" WHERE o.h IS DISTINCT FROM n.h" + (f" LIMIT {limit}" if limit else "")
    )
    return int(session.value("SELECT count(*) FROM seatrial_d") or 0)


def _joined_whole(session: Session, c: Comparison) -> str:
    """Whole rows joined by their key and compared column by column."""
    keys = [(key_form(k, False, "o"), key_form(k, True, "n")) for k in c.key]
    shown = ", ".join(f"{old} AS o{i}, {new} AS n{i}" for i, (old, new) in enumerate(keys))
    masks = ", ".join(f"{mask} AS f{i}" for i, mask in enumerate(c.masks))
    hashes = f" WHERE o.h IS DISTINCT FROM n.{'g' if c.grown and not c.whole else 'h'}" if _hashes_beside(c) else ""
    some = " OR ".join(f"f{i} <> 0" for i in range(len(c.masks)))
    session.rows("SET LOCAL work_mem = '256MB'")  # holds some million rows: else both sides go through files
    session.rows(
        f"CREATE TEMP TABLE seatrial_x ON COMMIT DROP AS SELECT * FROM (SELECT o.ctid AS o, n.ctid AS n, {shown},"
        f" {masks} FROM {_wide(c, False)} o FULL JOIN {_wide(c, True)} n"
        f" ON {' AND '.join(f'{old} = {new}' for old, new in keys)}{hashes} OFFSET 0) d"
        f" WHERE o IS NULL OR n IS NULL OR {some}"
    )
    session.run([_BY_PLACE])
    return "seatrial_x"


def _hashes_beside(c: Comparison) -> bool:
    """Whether hashes that say something stand beside the values, on both sides."""
    return (c.whole or c.grown) and not any(shadow and shadow.values for shadow in (c.old, c.new))


def _wide(c: Comparison, new: bool) -> str:
    shadow = c.new if new else c.old
    assert shadow is not None
    return shadow.wide


def _source(c: Comparison, shadow: Shadow, columns: Iterable[Column | None]) -> tuple[str, str]:
    """The least to read of one side for its rows' hashes and these columns, and where it says where values stand."""
    if not shadow.values:
        return shadow.relation, "x.ctid"
    if not (c.whole or c.grown):
        return shadow.values, "x.ctid"
    if {column.shadow for column in columns if column} <= shadow.narrow:
        return shadow.relation, f"x.{shadow.at}"
    return shadow.everything, "x.at"


def _diff(c: Comparison, **found: object) -> TableDiff:
    return TableDiff(
        table=c.pair.old,
        new_table=c.pair.new,
        key=c.pair.key if c.key else (),
        columns=tuple(x.name for x in c.columns),
        missing_columns=c.missing,
        **found,  # type: ignore[arg-type]
    )


def side(c: Comparison, new: bool, unique: bool) -> str:
    """Place, key and hash of every row of one side; a side without rows borrows the other's form."""
    none = not is_kept(c.new if new else c.old)
    new ^= none
    shadow = c.new if new else c.old
    assert shadow is not None
    hashed = c.hashed(new)
    source, place = _source(c, shadow, [k.new if new else k.old for k in c.key])
    rows = f"FROM {source} x" + (" WHERE false" if none else "")
    if unique:
        names = ", ".join(f"{key_form(k, new, 'x')} AS k{i}" for i, k in enumerate(c.key))
        return f"(SELECT {place} AS t, {names}, {hashed} AS h {rows})"
    texts = ", ".join(_text_form(k, new) for k in c.key)
    return (
        "(SELECT y.*, row_number() OVER (PARTITION BY y.k0 ORDER BY y.h) AS k1 FROM ("
        f'SELECT {place} AS t, ARRAY[{texts}] COLLATE "C" AS k0, {hashed} AS h {rows}) y)'
    )


def _text_form(k: Compared, new: bool) -> str:
    column = k.new if new else k.old
    return column.text("x") if column else 'NULL::text COLLATE "C"'


def order(c: Comparison, new: bool, alias: str) -> str:
    columns = [k.new if new else k.old for k in (c.key or c.columns)]
    return ", ".join(column.ordered(alias) for column in columns if column) or "1"


def _orderis_kept(c: Comparison, letter: str) -> str:
    """The order of the keys that were kept in the join, or nothing where they are not in their own type."""
    if not is_unique(c) or not all(k.alike or not (is_kept(c.old) and is_kept(c.new)) for k in c.key):
        return ""
    columns = [(k.old or k.new) if letter == "o" else (k.new or k.old) for k in c.key]
    return ", ".join(column.in_order(f"d.{letter}{i}") for i, column in enumerate(columns) if column)


def _first(c: Comparison, relation: str, where: str, letter: str) -> str:
    """The rows of a joined table that will be shown: only their values are then looked up."""
    kept = _orderis_kept(c, letter)
    ordered = f" ORDER BY {kept} LIMIT {c.limit}" if kept else ""
    return f"(SELECT * FROM {relation} d WHERE {where}{ordered}) d"


def _rows(session: Session, c: Comparison, relation: str, *, new: bool) -> Iterator[Row]:
    """The first of the rows that only one side has, in key order."""
    shadow, place, other = (c.new, "n", "o") if new else (c.old, "o", "n")
    assert shadow is not None
    key = [(k.new if new else k.old) for k in c.key]
    values = [(k.new if new else k.old) for k in c.columns]
    shown = ", ".join(f"x.{v.shadow}" if v else "NULL" for v in [*key, *values])
    first = _first(c, relation, f"d.{other} IS NULL", place)
    rows = session.rows(
        f"SELECT {shown} FROM {first} JOIN {shadow.wide} x ON x.ctid = d.{place}"
        f" ORDER BY {order(c, new, 'x')} LIMIT {c.limit}"
    )
    for row in rows:
        yield Row(key=row[: len(key)], values=row[len(key) :])


def _groups(session: Session, c: Comparison, relation: str) -> Iterator[ChangeGroup]:
    """Rows that both sides have, by which columns differ."""
    names = [f"f{i}" for i in range(len(c.masks))]
    both = "d.o IS NOT NULL AND d.n IS NOT NULL"
    grouped = ", ".join(names)
    descending = ", ".join(f"{name} DESC" for name in names)
    for *masks, count in session.rows(
        f"SELECT {grouped}, count(*) FROM {relation} d WHERE {both} GROUP BY {grouped} ORDER BY {descending}"
    ):
        differing = c.masked(masks)
        if differing:
            alike = [f"d.{name} = {mask}" for name, mask in zip(names, masks, strict=True)]
            first = _first(c, relation, " AND ".join([both, *alike]), "o")
            rows = _changed(session, c, first, differing)
            yield ChangeGroup(columns=tuple(k.name for k in differing), count=int(count), rows=rows)


def _changed(session: Session, c: Comparison, first: str, differing: Sequence[Compared]) -> tuple[ChangedRow, ...]:
    old = [f"o.{k.old.shadow}" if k.old else "NULL" for k in [*c.key, *differing]]
    new = [f"n.{k.new.shadow}" if k.new else "NULL" for k in differing]
    rows = session.rows(
        f"SELECT {', '.join([*old, *new])} FROM {first} JOIN {_wide(c, False)} o ON o.ctid = d.o"
        f" JOIN {_wide(c, True)} n ON n.ctid = d.n ORDER BY {order(c, False, 'o')} LIMIT {c.limit}"
    )
    key, width = len(c.key), len(differing)
    return tuple(ChangedRow(key=r[:key], old=r[key : key + width], new=r[key + width :]) for r in rows)


def _unkeyed(session: Session, c: Comparison) -> TableDiff:
    """Without a key, equal rows are counted on both sides."""
    sides = []
    for new in (False, True):
        shadow = c.new if new else c.old
        if shadow is None or not shadow.relation:
            sides.append("(SELECT NULL::bigint AS h, NULL::bigint AS c, NULL::tid AS t LIMIT 0)")
            continue
        hashed, (source, place) = c.hashed(new), _source(c, shadow, ())
        sides.append(f"(SELECT {hashed} AS h, count(*) AS c, min({place}) AS t FROM {source} x GROUP BY 1)")
    session.rows(
        "CREATE TEMP TABLE seatrial_d ON COMMIT DROP AS SELECT o.t AS o, n.t AS n,"
        " coalesce(o.c, 0) - coalesce(n.c, 0) AS lost"
        f" FROM {sides[0]} o FULL JOIN {sides[1]} n ON o.h = n.h WHERE o.c IS DISTINCT FROM n.c"
    )
    lost, added = session.rows(
        "SELECT coalesce(sum(greatest(lost, 0)), 0), coalesce(sum(greatest(-lost, 0)), 0) FROM seatrial_d"
    )[0]
    return _diff(
        c,
        lost_count=int(lost),
        lost=tuple(_copies(session, c, new=False)) if int(lost) else (),
        added_count=int(added),
        added=tuple(_copies(session, c, new=True)) if int(added) else (),
    )


def _copies(session: Session, c: Comparison, *, new: bool) -> Iterator[Row]:
    """Whole rows as their own key, each as often as it is lost or added."""
    shadow, place, sign = (c.new, "n", "-") if new else (c.old, "o", "")
    assert shadow is not None
    values = [(k.new if new else k.old) for k in c.columns]
    shown = ", ".join(f"x.{v.shadow}" if v else "NULL" for v in values)
    rows = session.rows(
        f"SELECT {shown} FROM seatrial_d d JOIN {shadow.wide} x ON x.ctid = d.{place}"
        f" CROSS JOIN generate_series(1, {sign}d.lost) ORDER BY {order(c, new, 'x')} LIMIT {c.limit}"
    )
    for row in rows:
        yield Row(key=row, values=row)
