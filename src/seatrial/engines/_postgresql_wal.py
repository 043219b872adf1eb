"""Proof that a table was not touched: no record of the write-ahead log refers to its files.

Sound together with an unchanged file and an unchanged meaning of the columns (see ``Layout.signature``); unlogged
tables leave no records and always count as touched. Records that change no row (pruning, freezing, row locks, hints)
do not count. Only on a server of ours: elsewhere the log is not ours to read, and other databases fill it.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from seatrial.engines._postgresql_session import Session, Site
from seatrial.errors import SeatrialError

_LEAST = 4 << 20  # bytes of log that are always read; beyond, reading the tables again may be cheaper
_SHARE = 8  # a byte of log costs about as much to read as this many bytes of tables

# What moves or marks rows without changing what they hold (rmgrdesc names of heapam and heapam_xlog).
_HARMLESS = """
(resource_manager = 'Heap2' AND record_type !~ '^(MULTI_INSERT|NEW_CID)' OR resource_manager = 'Heap' AND record_type
   = 'LOCK'
 OR resource_manager = 'XLOG' AND record_type = 'FPI_FOR_HINT' OR resource_manager = 'Btree')
"""


@dataclass(slots=True)
class WalReader:
    """Reads the log of a server of ours through pg_walinspect, or its program pg_waldump."""

    site: Site
    how: str

    def position(self, session: Session) -> str:
        """Where the log ends now."""
        return str(session.value("SELECT pg_current_wal_insert_lsn()"))

    def touched(self, database: str, start: str, end: str, stored: int) -> frozenset[int] | None:
        """The files of a database that the log names between two places.

        None where that cannot be told for less than reading the ``stored`` bytes of its tables again.
        """
        if start == end:
            return frozenset()
        rows = self.site.maintain(
            f"SELECT '{end}'::pg_lsn - '{start}'::pg_lsn, oid FROM pg_database WHERE datname = '{database}'"
        )
        if int(str(rows[0][0])) > max(_LEAST, stored // _SHARE):
            return None
        self._flush()
        read = self._inspect if self.how.endswith("walinspect)") else self._dump
        return read(int(str(rows[0][1])), start, end)

    def _flush(self) -> None:
        """Bring the log to disk: only what is there can be read."""
        self.site.maintain("SET synchronous_commit = on")
        self.site.maintain("SELECT pg_logical_emit_message(true, 'seatrial', '')")

    def _inspect(self, oid: int, start: str, end: str) -> frozenset[int]:
        if self.site.version_num >= 160000:
            source = (
                f"SELECT DISTINCT relfilenode FROM pg_get_wal_block_info('{start}', '{end}', false)"
                f" WHERE reldatabase = {oid} AND NOT {_HARMLESS}"
            )
        else:
            source = (
                "SELECT DISTINCT m[1] FROM (SELECT block_ref FROM"
                f" pg_get_wal_records_info('{start}', '{end}') WHERE block_ref <> '' AND NOT {_HARMLESS}) r,"
                rf" regexp_matches(r.block_ref, 'rel \d+/{oid}/(\d+)', 'g') AS m"
            )
        return frozenset(int(str(row[0])) for row in self.site.maintain(source))

    def _dump(self, oid: int, start: str, end: str) -> frozenset[int] | None:
        assert self.site.programs and self.site.data_folder
        command = [str(Path(self.site.programs) / "pg_waldump"), "-p", f"{self.site.data_folder}/pg_wal"]
        done = subprocess.run([*command, "-s", start, "-e", end], capture_output=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            return None
        found: set[int] = set()
        for line in done.stdout.decode(errors="replace").splitlines():
            if not _HARMLESS_LINE.match(line):
                found.update(int(file) for file in re.findall(rf"rel \d+/{oid}/(\d+)", line))
        return frozenset(found)


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
