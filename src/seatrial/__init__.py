"""Seatrial proves that database migrations are safe: ``seatrial.run(Config(...)) -> Report``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seatrial.app import run
    from seatrial.config import Config
    from seatrial.errors import SeatrialError
    from seatrial.model import Report

__all__ = ["Config", "Report", "SeatrialError", "run"]

_HOMES = {
    "run": "seatrial.app",
    "Config": "seatrial.config",
    "Report": "seatrial.model",
    "SeatrialError": "seatrial.errors",
}


def __getattr__(name: str) -> Any:
    """Load on first use: ``import seatrial.model`` alone stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'seatrial' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
