"""A large table's values kept as a copy of its file, on a server of ours: an eighth of what writing its rows
again costs.

A heap's pages say all by themselves what they hold, as long as the server that wrote them knows its transactions
(storage/bufpage.h, access/htup_details.h), so that a table of the same columns, never of the project's own types, reads
them. What points outside the file (TOAST) or is not in it (a column's missing value) cannot be kept so.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from seatrial.engines._postgresql_layout import Column, Layout
from seatrial.engines._postgresql_session import Session, Site, qualified
from seatrial.errors import DatabaseError
from seatrial.model import ErrorKind

LEAST = 32 << 20  # bytes of a table: for less, what it takes besides copying is no gain

_PHYSICAL = """
SELECT c.relam = (SELECT oid FROM pg_am WHERE amname = 'heap') AND c.reltablespace = 0
  AND (c.reltoastrelid = 0 OR pg_relation_size(c.reltoastrelid) = 0),
  (SELECT json_agg(json_build_array(attlen, attalign, attbyval) ORDER BY attnum)::text FROM pg_attribute
   WHERE attrelid = c.oid AND attnum > 0)
FROM pg_class c WHERE c.oid = {oid}
"""
_ATTRIBUTES = "SELECT attnum, attlen, attalign FROM pg_attribute WHERE attrelid = {oid} AND attnum > 0 ORDER BY attnum"

# For what is left of a dropped column in the rows: a built-in type of the same length and alignment.
_STANDS_FOR = {
    ("1", "c"): "bool",
    ("2", "s"): "int2",
    ("4", "i"): "int4",
    ("8", "d"): "int8",
    ("8", "i"): "macaddr8",
    ("6", "i"): "macaddr",
    ("6", "s"): "tid",
    ("12", "d"): "timetz",
    ("16", "c"): "uuid",
    ("16", "d"): "interval",
    ("24", "d"): "circle",
    ("32", "d"): "box",
    ("64", "c"): "name",
    ("-1", "i"): "text",
    ("-1", "d"): "polygon",
}


def begun(session: Session, site: Site, layout: Layout, name: str) -> bool:
    """In a transaction: whether the table can be kept so. Then ``name`` stands, empty, and nobody writes the table."""
    if not _may_be(site, layout) or not _locked(session, layout):
        return False
    fits, physical = session.rows(_PHYSICAL.format(oid=layout.oid))[0]
    declared = list(_declared(session, layout))
    if fits != "t" or None in declared:
        return False
    session.rows(f"CREATE UNLOGGED TABLE {name} ({', '.join(map(str, declared))})")
    if session.rows(_PHYSICAL.format(oid=f"'{name}'::regclass"))[0][1] == physical:
        return True
    session.rows(f"DROP TABLE {name}")
    return False


def _may_be(site: Site, layout: Layout) -> bool:
    if not (site.is_local and site.data_folder and layout.logged and layout.bytes >= LEAST):
        return False
    return all(c.native and c.missing is None and not c.computed for c in layout.columns)


def _locked(session: Session, layout: Layout) -> bool:
    """Whoever has written the table holds a lock on it until it is known whether that counts."""
    session.rows("SAVEPOINT seatrial_file")
    try:
        session.rows(f"LOCK TABLE ONLY {qualified(layout.table)} IN SHARE MODE NOWAIT")
    except DatabaseError:
        session.rows("ROLLBACK TO SAVEPOINT seatrial_file")
        return False
    return True


def _declared(session: Session, layout: Layout) -> Iterator[str | None]:
    """Each column as it is stored, under the name that a shadow gives it; None where there is no type to stand for."""
    there = {c.number: c for c in layout.columns}
    for number, length, alignment in session.rows(_ATTRIBUTES.format(oid=layout.oid)):
        column = there.get(int(number))
        if column is not None:
            yield declared(column)
        else:
            kind = _STANDS_FOR.get((length, alignment))
            yield kind and f'd{number} pg_catalog."{kind}"'


def declared(column: Column) -> str:
    collation = ' COLLATE "C"' if column.kept.endswith('COLLATE "C"') else ""
    return f'{column.shadow} pg_catalog."{column.base}"{collation}'


def fill(session: Session, site: Site, layout: Layout, name: str) -> None:
    """Copy the table's file, whole as it is on disk after a checkpoint, into that of ``name``."""
    site.maintain("CHECKPOINT")
    _copy(site, _path(session, str(layout.oid)), _path(session, f"'{name}'::regclass"))
    _settle(session, name, _age(session, str(layout.oid)))


def carry_over(site: Site, old: Session, new: Session, name: str) -> None:
    """The same file in another database of the server, where ``name`` stands empty; it is on disk already."""
    _copy(site, _path(old, f"'{name}'::regclass"), _path(new, f"'{name}'::regclass"))
    _settle(new, name, _age(old, f"'{name}'::regclass"))


def is_file(relation: str) -> bool:
    """Whether a table of ours holds such a copy."""
    return relation.rpartition(".")[2].startswith("v")


def written_anew(session: Session, name: str) -> bool:
    """Whether something (VACUUM FULL without a name) gave the copy another file: its rows stand elsewhere in that."""
    return (
        session.value(f"SELECT obj_description(oid) <> relfilenode::text FROM pg_class WHERE oid = '{name}'::regclass")
        == "t"
    )


def _path(session: Session, oid: str) -> str:
    return str(session.value(f"SELECT pg_relation_filepath({oid})"))


def _age(session: Session, oid: str) -> tuple[str, str]:
    frozen, multi = session.rows(f"SELECT relfrozenxid, relminmxid FROM pg_class WHERE oid = {oid}")[0]
    return frozen, multi


def _settle(session: Session, name: str, age: tuple[str, str]) -> None:
    """VACUUM refuses rows that are older than their table; the comment tells later whether it is still this file."""
    session.rows(
        f"UPDATE pg_class SET relfrozenxid = '{age[0]}', relminmxid = '{age[1]}' WHERE oid = '{name}'::regclass"
    )
    file = session.value(f"SELECT pg_relation_filenode('{name}')")
    session.rows(f"COMMENT ON TABLE {name} IS '{file}'")


def _copy(site: Site, source: str, target: str) -> None:
    """Raises DatabaseError, as the server itself would of a full disk."""
    folder = Path(str(site.data_folder))
    try:
        copy_segments(folder / source, folder / target)
    except OSError as error:
        code = "53100" if error.errno == errno.ENOSPC else "58030"
        raise DatabaseError(f"could not copy file {source}: {error}", code=code, kind=ErrorKind.ENVIRONMENT) from None


def copy_segments(source: Path, target: Path) -> None:
    """All segments of a file; the first of the target is there, and the server's processes have it open."""
    owner = target.stat()
    for segment in _segments(source):
        to = target.with_name(target.name + segment.name[len(source.name) :])
        shutil.copyfile(segment, to)
        if to.stat().st_uid != owner.st_uid:
            os.chown(to, owner.st_uid, owner.st_gid)
        to.chmod(owner.st_mode & 0o777)


def _segments(first: Path) -> Iterator[Path]:
    """A file of more than a gigabyte goes on in others: 16384, 16384.1, 16384.2 (manual, 73.1)."""
    yield first
    number = 1
    while (segment := first.with_name(f"{first.name}.{number}")).exists():
        yield segment
        number += 1
