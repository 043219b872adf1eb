"""One rule a file: a pure function from what a trial observed to findings; its docstring is the rule's page.

``CHECKS`` holds every rule by its name in the order in which they are told; third parties add theirs under the entry
point group ``seatrial.checks``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache

from seatrial.checks.case import Case
from seatrial.model import Finding, NotVerified, Severity
from seatrial.plugins import plugged
from seatrial.values import dataclass

Found = Iterator[Finding | NotVerified]


@dataclass(frozen=True, slots=True)
class Check:
    """A rule: its name, the severity it has where nothing lessens it, its function and its page."""

    rule: str
    severity: Severity
    run: Callable[[Case], Found]
    order: int

    @property
    def page(self) -> str:
        return inspect.cleandoc(self.run.__doc__ or "")


CHECKS: dict[str, Check] = {}


def check(rule: str, severity: Severity) -> Callable[[Callable[[Case], Found]], Callable[[Case], Found]]:
    """Register a function as the check of ``rule``."""

    def register(function: Callable[[Case], Found]) -> Callable[[Case], Found]:
        CHECKS[rule] = Check(rule, severity, function, len(CHECKS))
        return function

    return register


def load() -> dict[str, Check]:
    """Every rule: ours and those of installed plug-ins."""
    _load_ours()
    for plugin in plugged("seatrial.checks"):
        plugin.load()
    return dict(sorted(CHECKS.items()))


@cache
def _load_ours() -> None:
    """Once a process: their folder is read for it."""
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")


def handbook() -> str:
    """Every rule's page as one Markdown document: docs/rules.md."""
    pages = (f"## {c.rule}\n\n*{c.severity.value.upper()}*\n\n{c.page}\n" for c in load().values())
    head = "# Rules\n\nMade from the rules' own pages by `seatrial explain --all`; `seatrial explain RULE` shows one.\n"
    return "\n".join([head, *pages])
