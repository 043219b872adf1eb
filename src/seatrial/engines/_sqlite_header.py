"""What a SQLite file says of itself in its header, and keeps: https://www.sqlite.org/fileformat2.html, section 1.3."""

from __future__ import annotations

import struct
from pathlib import Path

from seatrial.engines._sqlite_pages import HEADER, MAGIC
from seatrial.model import Attributes, ObjectKey

SETTINGS = ObjectKey("database", "", "", "settings")
_WAL = 2  # the file format's write version
_ENCODINGS = {2: "UTF-16le", 3: "UTF-16be"}
_NEW: Attributes = {
    "user_version": 0,
    "application_id": 0,
    "journal_mode": "delete",
    "auto_vacuum": "none",
    "page_size": 4096,
    "encoding": "UTF-8",
}
"""Of a file that nothing was written to yet."""


def settings_of(path: Path) -> Attributes:
    """The pragmas that stay with the file, by their names; the write-ahead log has to be brought into it before.

    The header is read as it is: a connection that takes the file for immutable answers ``delete`` for a file in WAL
    mode.
    """
    with path.open("rb") as file:
        header = file.read(HEADER)
    if len(header) < HEADER or not header.startswith(MAGIC):
        return _NEW
    page_size = int.from_bytes(header[16:18], "big")
    root, encoding, user_version, incremental, application_id = struct.unpack_from(">IIiIi", header, 52)
    return {
        "user_version": user_version,
        "application_id": application_id,
        "journal_mode": "wal" if header[18] == _WAL else "delete",
        "auto_vacuum": ("incremental" if incremental else "full") if root else "none",
        "page_size": 65536 if page_size == 1 else page_size,
        "encoding": _ENCODINGS.get(encoding, "UTF-8"),
    }
