"""What can go wrong, as exceptions that say what, where and what to do next.

Every message is shown to the user as it is: one sentence of what happened and one of what to do, and no password.
"""

from __future__ import annotations

from seatrial.model import Disturbance, ErrorKind, StepError


class SeatrialError(Exception):
    """Seatrial could not do what it was asked to; the command line ends with exit code 2."""


class ConfigError(SeatrialError):
    """seatrial.toml or a flag is wrong."""


class SourceError(SeatrialError):
    """The project's migrations could not be found, read or ordered."""


class ServerError(SeatrialError):
    """No server to make throwaway databases on: unreachable, wrong password, programs missing.

    ``what``: what it speaks of, where that is more than that there is none; then its advice is all there is to say.
    """

    def __init__(self, message: str, *, what: Disturbance | None = None) -> None:
        super().__init__(message)
        self.what = what


class NotOurs(ServerError):
    """A database that Seatrial did not create would have been touched."""


class SeedError(SeatrialError):
    """The seed rows could not be loaded; ``refused``: what the database refused, where it was asked.

    ``what`` is the message without its ``advice``, which would be out of place where the seed was mended.
    """

    def __init__(self, what: str, *, refused: StepError | None = None, advice: str = "") -> None:
        super().__init__(f"{what} {advice}".rstrip())
        self.what = what
        self.refused = refused


class DatabaseError(SeatrialError):
    """The database refused a statement of ours."""

    def __init__(self, message: str, *, code: str = "", kind: ErrorKind = ErrorKind.MIGRATION) -> None:
        super().__init__(message)
        self.code = code
        self.kind = kind
