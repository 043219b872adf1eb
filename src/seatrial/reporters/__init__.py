"""Reports as text: each reporter is a pure function of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from seatrial.errors import ConfigError
from seatrial.model import Report
from seatrial.plugins import plugged

Reporter = Callable[[Report], str]

REPORTERS = ("markdown", "json", "html", "junit", "sarif", "github", "terminal")
"""Each is a module of this package, loaded when it is asked for."""


FILES: Mapping[str, str] = {
    "markdown": "migration-integrity-report.md",
    "json": "report.json",
    "html": "report.html",
    "junit": "junit.xml",
    "sarif": "report.sarif",
    "github": "github-annotations.txt",
}
"""Format -> the file that a report folder holds it in; see ``file_of`` for those of third parties."""


def render(report: Report, format: str, *, redacted: bool = False) -> str:
    """The report in a format of ``REPORTERS`` or of an installed plug-in (entry point group ``seatrial.reporters``).

    ``redacted``: keys and counts only, no stored value anywhere.
    """
    reporter: Reporter = import_module(f"{__name__}.{format}").render if format in REPORTERS else _plugin(format)
    if redacted:
        from seatrial.reporters.redact import redact

        report = redact(report)
    return reporter(report)


def file_of(format: str) -> str:
    """The name of the file that a report folder holds a format in."""
    return FILES.get(format, f"report.{format}")


def plugins() -> tuple[str, ...]:
    """The formats that installed packages add."""
    return tuple(sorted({plugin.name for plugin in plugged("seatrial.reporters")}.difference(REPORTERS)))


def _plugin(format: str) -> Reporter:
    for plugin in plugged("seatrial.reporters"):
        if plugin.name == format:
            reporter: Reporter = plugin.load()
            return reporter
    raise ConfigError(f"there is no report format {format!r}; choose from {', '.join(sorted(REPORTERS))}")
