"""Reports as text: each reporter is a pure function of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from seatrial.errors import ConfigError
from seatrial.model import Report
from seatrial.reporters import github, html, json, junit, markdown, sarif, terminal
from seatrial.reporters.redact import redact

Reporter = Callable[[Report], str]

REPORTERS: Mapping[str, Reporter] = {
    "markdown": markdown.render,
    "json": json.render,
    "html": html.render,
    "junit": junit.render,
    "sarif": sarif.render,
    "github": github.render,
    "terminal": terminal.render,
}

FILES: Mapping[str, str] = {
    "markdown": "migration-integrity-report.md",
    "json": "report.json",
    "html": "report.html",
    "junit": "junit.xml",
    "sarif": "report.sarif",
    "github": "github-annotations.txt",
}
"""Format -> the file that a report folder holds it in."""


def render(report: Report, format: str, *, redacted: bool = False) -> str:
    """The report in a format of ``REPORTERS``; ``redacted``: keys and counts only, no stored value anywhere."""
    if format not in REPORTERS:
        raise ConfigError(f"there is no report format {format!r}; choose from {', '.join(sorted(REPORTERS))}")
    return REPORTERS[format](redact(report) if redacted else report)
