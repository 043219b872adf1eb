"""Rows of a large table that stand where they stood: those are not joined, and of few columns even compared.

What a transaction wrote into a heap's page stays as it is, with the transaction's number (xmin), until it is removed
(access/htup_details.h; VACUUM FREEZE leaves the number). So where two copies are of one and the same file, each row of
the newer one whose transaction had ended before the older was made is that very row. Only the others are looked for by
their key, and where fewer of the older rows are found than are gone, the rest was deleted.
"""

from __future__ import annotations

from seatrial.engines._postgresql_comparison import Compared, Comparison, is_unique, key_form
from seatrial.engines._postgresql_rows import Shadow
from seatrial.engines._postgresql_session import Session

JOINED = "seatrial_x"

_WRITTEN = "seatrial_w"
_SHARE = 4  # one row in so many written since is still few
# Nothing is known of a copied file's rows: the planner would sort both sides. The memory holds some million rows.
_HASHED = "SET LOCAL enable_mergejoin = off; SET LOCAL work_mem = '256MB'"


def joined(session: Session, c: Comparison) -> bool:
    """In a transaction: whether ``JOINED`` holds the rows that differ now; it may hold some that do not, too."""
    old, new = c.old, c.new
    if not (old and new and is_one_file(old, new) and is_unique(c)):
        return False
    if not all(c.is_blank(k) or _is_as_stored(k) for k in c.columns) or not all(_is_as_stored(k) for k in c.key):
        return False
    blank = [k for k in c.columns if c.is_blank(k)]
    session.run([_HASHED])
    _join(session, c, old, new, blank)
    moved, added = map(int, session.rows(f"SELECT count(o) FILTER (WHERE moved), count(*) - count(o) FROM {JOINED}")[0])
    deleted = old.rows - (new.rows - moved - added) - moved
    if deleted and (blank or _delete(session, c, old, new) != deleted):
        session.rows(f"DROP TABLE {JOINED}")
        return False
    return True


def is_one_file(old: Shadow, new: Shadow) -> bool:
    """Whether both are copies of one file, with nothing between them but what transactions did to it."""
    if old.base or new.base or not (old.values and new.values and old.file):
        return False
    return (old.file, old.generation) == (new.file, new.generation) and old.number < new.number


def _is_as_stored(k: Compared) -> bool:
    return k.old is not None and k.new is not None and k.old.stored == k.new.stored


def _keys(c: Comparison) -> list[tuple[str, str]]:
    return [(key_form(k, False, "o"), key_form(k, True, "n")) for k in c.key]


def _join(session: Session, c: Comparison, old: Shadow, new: Shadow, blank: list[Compared]) -> None:
    shown = ", ".join(f"{o} AS o{i}, {n} AS n{i}" for i, (o, n) in enumerate(_keys(c)))
    masks = ", ".join(
        f"CASE WHEN n.at IS NULL THEN {one} ELSE {both} END AS f{i}"
        for i, (one, both) in enumerate(zip(c.masks_of_blank, c.masks, strict=True))
    )
    held = " OR ".join(f"o.{k.old.shadow} IS NOT NULL" for k in blank if k.old)
    session.rows(
        f"CREATE TEMP TABLE {JOINED} ON COMMIT DROP AS SELECT o.ctid AS o, coalesce(n.at, o.ctid) AS n, {shown},"
        f" n.at IS NOT NULL AS moved, {masks} FROM {old.values} o {'FULL' if blank else 'RIGHT'} JOIN"
        f" {_written(session, c, old, new)} n ON {' AND '.join(f'{o} = {n}' for o, n in _keys(c))}"
        + (f" WHERE n.at IS NOT NULL OR {held}" if blank else "")
    )


def _written(session: Session, c: Comparison, old: Shadow, new: Shadow) -> str:
    """The rows written since; few of them as a table of which the planner knows that their keys name one row each."""
    rows = f"SELECT x.ctid AS at, x.* FROM {new.values} x WHERE NOT ({_was_there('x', old)})"
    most = new.rows // _SHARE + 1000
    session.rows(f"CREATE TEMP TABLE {_WRITTEN} ON COMMIT DROP AS {rows} LIMIT {most + 1}")
    if int(session.value(f"SELECT count(*) FROM {_WRITTEN}") or 0) > most:
        return f"({rows})"
    session.rows(f"ANALYZE {_WRITTEN} ({', '.join(k.new.shadow for k in c.key if k.new)})")
    return _WRITTEN


def _was_there(alias: str, old: Shadow) -> str:
    """Whether a row's transaction had ended when the older copy was made."""
    return f"age({alias}.xmin) > age('{old.ended % 2**32}'::xid)"


def _delete(session: Session, c: Comparison, old: Shadow, new: Shadow) -> int:
    """Put down the older rows that are neither where they were nor found by their key; says how many."""
    keys = ", ".join(f"o{i}" for i in range(len(c.key)))
    shown = ", ".join(o for o, _ in _keys(c))
    session.rows(
        f"INSERT INTO {JOINED} (o, {keys}) SELECT o.ctid, {shown} FROM {old.values} o WHERE NOT EXISTS"
        f" (SELECT FROM {new.values} x WHERE x.ctid = o.ctid AND {_was_there('x', old)})"
        f" AND NOT EXISTS (SELECT FROM {JOINED} m WHERE m.o = o.ctid)"
    )
    return int(session.value(f"SELECT count(*) FROM {JOINED} WHERE n IS NULL") or 0)
