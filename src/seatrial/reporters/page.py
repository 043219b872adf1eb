"""Templates of the reports that are pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(**settings: Any) -> Environment:
    """Where the templates are, with a name that nobody gave being an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # a tenth of the start-up of every command

    return Environment(
        loader=PackageLoader("seatrial.reporters"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **settings,
    )
