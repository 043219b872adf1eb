"""Moments: the rows of every table, kept in shadow tables of our own schema, and what is untouched carried over.

A shadow is unlogged and holds a row's key, its 64-bit hash and its values, in forms that depend on nothing of the
project's. Of a large table on a server of ours the values are a copy of its file (_postgresql_files). Moments share
shadows; one is dropped when no moment needs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from seatrial.engines import _postgresql_files as files
from seatrial.engines._postgresql_aside import View
from seatrial.engines._postgresql_layout import Column, Layout, finished, hash_row
from seatrial.engines._postgresql_session import SHADOWS, Session, Site, qualified
from seatrial.errors import DatabaseError
from seatrial.model import TableRef, TableState

EMPTY = "0" * 16
PLACED = 1 << 20  # bytes of a table of which rows may be found again by their place: smaller ones are soon read


@dataclass(frozen=True, slots=True)
class Shadow:
    """The rows of one table at one moment; ``relation`` is empty where there were none."""

    relation: str
    layout: Layout
    rows: int
    checksum: str
    earlier: Layout | None = None  # columns that stood before others were added: ``g`` is their hash,
    earlier_checksum: str = ""  # and this their checksum
    placed: bool = False  # each row knows the place that it was read from (``p``)
    values: str = ""  # a copy of the table's file, in which a row's values stand at that place; then
    narrow: frozenset[str] = frozenset()  # these columns only stand beside the hash
    file: int = 0  # the file that was copied, of the database of that generation (of restores); and of what was written
    generation: int = 0  # by transactions whose number
    ended: int = 0  # is below this, all was there
    base: Shadow | None = None  # a whole copy that holds the rows of all but these ``pages`` (_postgresql_pages):
    pages: frozenset[int] = frozenset()
    constants: tuple[tuple[str, str], ...] = ()  # column -> what each row of the copy holds there

    @property
    def relations(self) -> set[str]:
        """The tables of ours that hold its rows."""
        return {name for s in self.copies for name in (s.relation, s.values) if name}

    @property
    def copies(self) -> list[Shadow]:
        """Itself, and the whole copy that it needs."""
        return [self, self.base] if self.base else [self]

    @property
    def number(self) -> int:
        """Greater than that of each shadow that was made before."""
        return int(self.relation.rpartition(".")[2][1:])

    @property
    def wide(self) -> str:
        """The table of ours that holds the rows' values."""
        return self.values or self.relation

    @property
    def at(self) -> str:
        """Where in ``wide`` a row of ``relation`` has its values."""
        return "p" if self.values else "ctid"

    @property
    def everything(self) -> str:
        """All that is kept of each row, its place in ``relation`` (``own``) and that in ``wide`` (``at``)."""
        if not self.values:
            return f"(SELECT s.*, s.ctid AS own, s.ctid AS at FROM {self.relation} s)"
        hashes = "s.h, s.g" if self.earlier else "s.h"
        return (
            f"(SELECT v.*, {hashes}, s.p, s.ctid AS own, s.p AS at FROM {self.relation} s"
            f" JOIN {self.values} v ON v.ctid = s.p)"
        )

    def state(self) -> TableState:
        layout = self.layout
        return TableState(
            table=layout.table,
            rows=self.rows,
            checksum=self.checksum,
            key=layout.key,
            bytes=layout.bytes,
            compared=not layout.why_not,
            why_not=layout.why_not,
        )


@dataclass(slots=True)
class Moment:
    """What one ``take`` kept. ``lsn`` is where the log stood, in the database of that ``generation`` (of restores).

    ``pending``: a prepared transaction stood, and its rows may come to be seen without a word of them in the log.
    """

    lsn: str
    generation: int
    pending: bool
    shadows: dict[TableRef, Shadow] = field(default_factory=dict)
    views: dict[int, View] = field(default_factory=dict)

    @property
    def relations(self) -> set[str]:
        """The tables of ours that it needs."""
        return set().union(*(shadow.relations for shadow in self.shadows.values()))

    def replace(self, relation: str, new: Shadow) -> None:
        """Another shadow holds the rows of ``relation`` from now on."""
        for table, shadow in self.shadows.items():
            if shadow.base and shadow.base.relation == relation:
                base = replace(new, layout=shadow.base.layout, placed=shadow.base.placed)
                self.shadows[table] = replace(shadow, base=base)
            elif shadow.relation == relation:
                self.shadows[table] = replace(new, layout=shadow.layout, placed=shadow.placed)

    def by_oid(self) -> dict[int, Shadow]:
        return {s.layout.oid: s for s in self.shadows.values()}


class Shadows:
    """Makes shadow tables in one database and counts who needs them."""

    def __init__(self) -> None:
        self._number = 0
        self.moments: dict[str, Moment] = {}

    def live(self) -> set[str]:
        """The relations that a moment needs."""
        return set().union(*(moment.relations for moment in self.moments.values()))

    def name(self, letter: str = "s") -> str:
        """A new shadow table's name."""
        self._number += 1
        return f"{SHADOWS}.{letter}{self._number}"

    def copy(
        self,
        session: Session,
        layout: Layout,
        since: Layout | None = None,
        *,
        placed: bool = False,
        site: Site | None = None,
    ) -> Shadow:
        """Read a table once: rows, hashes and values into a new shadow, with their places if the table is large.

        Where columns were only added since, rows are hashed without them as well: that keeps comparing them narrow.
        ``site``: the server, where values may be kept as a copy of the table's file.
        """
        if layout.why_not:
            return Shadow("", layout, 0, EMPTY)
        relation, values = self.name(), self.name("v")
        earlier = since if since and _only_added(since, layout) else None
        placed = placed and layout.bytes >= PLACED
        if site is None or not files.begun(session, site, layout, values):
            values = ""
        rows = selected(layout, earlier, placed=placed or bool(values), narrow=bool(values))
        ended = int(session.value("SELECT pg_snapshot_xmin(pg_current_snapshot())") or 0) if values else 0
        session.rows(f"CREATE UNLOGGED TABLE {relation} AS {rows}")
        if site and values:
            files.fill(session, site, layout, values)
        g = finished("g") if earlier else "NULL"
        count, total, before = session.rows(f"SELECT count(*), {finished()}, {g} FROM {relation}")[0]
        if count == "0":
            drop(session, {relation, values} - {""})
            return Shadow("", layout, 0, EMPTY)
        narrow = frozenset(c.shadow for c in layout.columns if c.name in layout.key) if values else frozenset()
        checksums = (_checksum(total), earlier, _checksum(before))
        file = layout.files[0] if values else 0
        return Shadow(relation, layout, int(count), *checksums, placed, values, narrow, file, ended=ended)

    def mend(self, session: Session) -> None:
        """Where something gave a copied file's table another file, its rows' places are gone: all is kept again."""
        filed = {s.relation: s for m in self.moments.values() for shadow in m.shadows.values() for s in shadow.copies}
        for relation, old in filed.items():
            if old.values and files.written_anew(session, old.values):
                new = replace(old, relation=self._whole(session, old), values="", narrow=frozenset())
                for moment in self.moments.values():
                    moment.replace(relation, new)
                drop(session, {relation, old.values})

    def _whole(self, session: Session, shadow: Shadow) -> str:
        """The rows as one shadow; equal hashes mean equal rows, so that any of those has its values."""
        relation, columns = self.name(), shadow.layout.columns
        h = hash_row(
            (part for c in columns for part in c.parts(c.exactly("x"))), shadow.layout.seed, imaged=shadow.layout.imaged
        )
        hashed = f"(SELECT x.*, {h} AS hashed FROM {shadow.values} x)"
        session.rows(
            f"CREATE UNLOGGED TABLE {relation} AS SELECT v.*, s.h, s.p{', s.g' if shadow.earlier else ''} FROM"
            f" (SELECT y.*, row_number() OVER (PARTITION BY h) AS copy FROM {shadow.relation} y) s"
            f" JOIN (SELECT z.*, row_number() OVER (PARTITION BY hashed) AS copy FROM {hashed} z) v"
            " ON v.hashed = s.h AND v.copy = s.copy"
        )
        if (found := summed(session, relation)[0]) != shadow.rows:
            raise DatabaseError(f"{found} of {shadow.rows} rows of {shadow.layout.table} were found again")
        return relation

    def keep_only(self, relations: frozenset[str]) -> None:
        """Forget the moments that need any other shadow: those are gone with their database."""
        for name, moment in list(self.moments.items()):
            if not moment.relations <= relations:
                del self.moments[name]

    def release(self, session: Session, moment: str) -> None:
        """Forget a moment, and drop the shadows that only it needed."""
        kept = self.moments.pop(moment, None)
        if kept is not None:
            drop(session, kept.relations - self.live())


def _only_added(old: Layout, new: Layout) -> bool:
    return old.forms != new.forms and set(old.forms) <= set(new.forms)


def drop(session: Session, relations: Iterable[str]) -> None:
    names = ", ".join(sorted(relations))
    if names:
        session.rows(f"DROP TABLE {names}")


def same_as(shadow: Shadow, layout: Layout) -> bool:
    """Whether the files and their meaning are those that the shadow was read from."""
    old = shadow.layout
    return (
        layout.logged
        and old.files == layout.files
        and old.signature == layout.signature
        and old.forms == layout.forms
        and old.why_not == layout.why_not
    )


def carried(shadow: Shadow, layout: Layout) -> Shadow:
    """The same rows under today's name and keys."""
    return replace(shadow, layout=layout)


def recognised(shadow: Shadow, layout: Layout) -> Shadow:
    """The same rows, by their checksum: they may stand in other places than those that they were read from."""
    base = shadow.base and replace(shadow.base, placed=False)
    return replace(shadow, layout=layout, placed=False, base=base, file=0)


def fingerprint(session: Session, layout: Layout) -> tuple[int, str]:
    """Rows and checksum without keeping anything."""
    rows, total = session.rows(f"SELECT count(*), {finished()} FROM {_hashes(layout)}")[0]
    return int(rows), _checksum(total)


def summed(session: Session, relation: str) -> tuple[int, int]:
    """How many rows a shadow holds, and the sum that their table's checksum is made of."""
    rows, total = session.rows(f"SELECT count(*), {finished()} FROM {relation} x")[0]
    return int(rows), int(total or 0)


def checksum_sql(layout: Layout) -> str:
    """How a table's checksum is made, for people to read."""
    return f"SELECT count(*), {finished()} % (2::numeric ^ 64)\nFROM {_hashes(layout)};"


def _hashes(layout: Layout) -> str:
    """OFFSET keeps the planner from computing a hash as often as it is named."""
    return (
        f"(SELECT {_hash(layout, layout.columns, layout.seed)} AS h FROM ONLY {qualified(layout.table)} t OFFSET 0) x"
    )


def _hash(layout: Layout, columns: Iterable[Column], seed: int) -> str:
    return hash_row((part for c in columns for part in c.hashed), seed, imaged=layout.imaged)


def selected(layout: Layout, earlier: Layout | None = None, *, placed: bool = True, narrow: bool = False) -> str:
    """Key columns first, then the hash: joins read no further into a row. ``narrow``: no other values."""
    keyed = [c for c in layout.columns if c.name in layout.key]
    others = [c for c in layout.columns if c.name not in layout.key]
    parts = [f"{c.read} AS {c.shadow}" for c in keyed] + [f"{_hash(layout, layout.columns, layout.seed)} AS h"]
    if earlier:
        common = (c for c in layout.columns if c.name in earlier.names)
        parts.append(f"{_hash(layout, common, earlier.seed)} AS g")
    parts += [] if narrow else [f"{c.read} AS {c.shadow}" for c in others]
    if placed:
        parts.append("t.ctid AS p")
    return f"SELECT {', '.join(parts)} FROM ONLY {qualified(layout.table)} t"


def _checksum(total: str | None) -> str:
    """Sums do not depend on the order of rows; kept to 64 bits."""
    return f"{int(total or 0) % 2**64:016x}"
