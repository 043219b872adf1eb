"""Alembic (in work)."""

from __future__ import annotations

from pathlib import Path

from seatrial.errors import SourceError
from seatrial.model import Source
from seatrial.sources.settings import Layout, SourceSettings


def _detect(place: Path) -> list[Path]:
    return [place / "alembic.ini"] if (place / "alembic.ini").is_file() else []


def _open(project: Path, path: Path, settings: SourceSettings) -> Source:
    raise SourceError("Alembic is not supported yet.")


LAYOUT = Layout(kind="alembic", looked_for="alembic.ini", detect=_detect, open=_open)
