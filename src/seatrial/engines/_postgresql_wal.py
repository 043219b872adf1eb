"""Proof that a table was not touched: no record of the write-ahead log refers to its files.

Sound together with an unchanged file and an unchanged meaning of the columns (see ``Layout.signature``); unlogged
tables leave no records and always count as touched. Records that change no row (pruning, freezing, row locks, hints)
do not count. Only on a server of ours: elsewhere the log is not ours to read, and other databases fill it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seatrial.engines._postgresql_session import Session, Site
from seatrial.errors import SeatrialError, ServerError

_LEAST = 4 << 20  # bytes of log that are always read; beyond, reading the tables again may be cheaper
_SHARE = 8  # a byte of log costs about as much to read as this many bytes of tables

# What moves or marks rows without changing what they hold (rmgrdesc names of heapam and heapam_xlog).
_HARMLESS = """
(resource_manager = 'Heap2' AND record_type !~ '^(MULTI_INSERT|NEW_CID)' OR resource_manager = 'Heap' AND record_type
   = 'LOCK'
 OR resource_manager = 'XLOG' AND record_type = 'FPI_FOR_HINT' OR resource_manager = 'Btree')
"""

_GONE = "has already been removed"  # a checkpoint (a script's, or CREATE DATABASE's) lets go of the log before it

Touched = Mapping[int, frozenset[int]]  # relfilenode -> numbers of pages


@dataclass(slots=True)
class WalReader:
    """Reads the log of a server of ours through pg_walinspect, or its program pg_waldump."""

    site: Site
    how: str

    def position(self, session: Session) -> str:
        """Where the log ends now."""
        return str(session.value("SELECT pg_current_wal_insert_lsn()"))

    def touched(self, database: str, start: str, end: str, stored: int) -> Touched | None:
        """The files of a database that the log names between two places, and which of their pages.

        None where that cannot be told for less than reading the ``stored`` bytes of its tables again.
        """
        if start == end:
            return {}
        rows = self.site.maintain(
            f"SELECT '{end}'::pg_lsn - '{start}'::pg_lsn, oid, pg_walfile_name('{start}') FROM pg_database"
            f" WHERE datname = '{database}'"
        )
        if int(str(rows[0][0])) > max(_LEAST, stored // _SHARE) or not self._has(str(rows[0][2])):
            return None
        self._flush()
        read = self._inspect if self.how.endswith("walinspect)") else self._dump
        return read(int(str(rows[0][1])), start, end)

    def _has(self, segment: str) -> bool:
        """Checkpoints let go of what is older than they are (manual, 30.5)."""
        return (Path(str(self.site.data_folder)) / "pg_wal" / segment).exists()

    def _flush(self) -> None:
        """Bring the log to disk: only what is there can be read."""
        self.site.maintain("SET synchronous_commit = on")
        self.site.maintain("SELECT pg_logical_emit_message(true, 'seatrial', '')")

    def _inspect(self, oid: int, start: str, end: str) -> Touched | None:
        if self.site.version_num >= 160000:
            source = (
                "SELECT relfilenode, relblocknumber AS page"
                f" FROM pg_get_wal_block_info('{start}', '{end}', false)"
                f" WHERE reldatabase = {oid} AND relforknumber = 0 AND NOT {_HARMLESS}"
            )
        else:
            source = (
                "SELECT m[1] AS relfilenode, m[2] AS page FROM (SELECT block_ref FROM"
                f" pg_get_wal_records_info('{start}', '{end}') WHERE block_ref <> '' AND NOT {_HARMLESS}) r,"
                f" regexp_matches(r.block_ref, '{_pages_of(oid)}', 'g') AS m"
            )
        grouped = f"SELECT relfilenode, string_agg(DISTINCT page::text, ' ') FROM ({source}) x GROUP BY 1"
        try:
            rows = self.site.maintain(grouped)
        except ServerError as error:
            if _GONE not in str(error):
                raise
            return None
        return {int(str(file)): frozenset(map(int, str(pages).split())) for file, pages in rows}

    def _dump(self, oid: int, start: str, end: str) -> Touched | None:
        assert self.site.programs and self.site.data_folder
        command = [str(Path(self.site.programs) / "pg_waldump"), "-p", f"{self.site.data_folder}/pg_wal"]
        done = subprocess.run([*command, "-s", start, "-e", end], capture_output=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            return None
        found: dict[int, set[int]] = {}
        for line in done.stdout.decode(errors="replace").splitlines():
            if not _HARMLESS_LINE.match(line):
                for file, page in re.findall(_pages_of(oid), line):
                    found.setdefault(int(file), set()).add(int(page))
        return {file: frozenset(pages) for file, pages in found.items()}


def _pages_of(oid: int) -> str:
    """A pattern for references to blocks of a database's tables (XLogRecGetBlockRefInfo); of their main fork only: the
    others (free space, visibility) hold no rows."""
    return rf"rel \d+/{oid}/(\d+)(?: fork main)? blk (\d+)"


_HARMLESS_LINE = re.compile(
    r"rmgr: (Heap2 .*desc: (?!MULTI_INSERT|NEW_CID)|Heap .*desc: LOCK\b|XLOG .*desc: FPI_FOR_HINT|Btree )"
)


def wal_reader(site: Site) -> WalReader | None:
    """A reader where the server is ours and has the means."""
    if not site.is_local:
        return None
    try:
        site.maintain("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
    except SeatrialError:
        dumper = site.programs and (Path(site.programs) / "pg_waldump").is_file()
        return WalReader(site, "write-ahead log (pg_waldump)") if dumper else None
    return WalReader(site, "write-ahead log (pg_walinspect)")
