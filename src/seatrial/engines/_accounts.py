"""Users and roles that steps make on the server: they belong to no database, so they would outlive it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import field
from typing import Protocol

from seatrial.errors import SeatrialError
from seatrial.model import Attributes, ObjectKey, Schema
from seatrial.values import dataclass

_MAKES = re.compile(r"\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:USER|ROLE|GROUP)\b|\bGRANT\b.*\bIDENTIFIED\b", re.I | re.S)
_RENAMES = re.compile(r"\bRENAME\s+USER\b|\bALTER\s+(?:ROLE|USER|GROUP)\b.*\bRENAME\s+TO\b", re.I | re.S)


class Site(Protocol):
    """What is asked of the server."""

    def accounts(self) -> Sequence[Sequence[str | None]]:
        """Name, kind, bare name, the statement that drops it, and what tells it from a later one of that name."""

    def maintain(self, sql: str) -> Sequence[Sequence[str | None]]: ...

    def record_account(self, name: str, mark: str) -> str:
        """Write into the ledger that an account is a step's; returns the mark that it has now."""

    def forget_account(self, name: str, mark: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Account:
    """A user or role; ``drop`` is the statement that takes it away."""

    name: str
    kind: str  # "user" or "role"
    bare: str  # its name without a host
    drop: str
    mark: str = field(default="", compare=False)  # a change of it makes no other account


@dataclass(slots=True)
class Accounts:
    """Those of one database's steps: not there when it was made, and named by a statement that makes such things.

    What others make on the same server in the meantime is named by none of them, and is never touched.
    """

    site: Site
    _before: frozenset[Account] | None = None
    _said: list[str] = field(default_factory=list)
    _recorded: set[tuple[str, str]] = field(default_factory=set)  # name and mark, for who cleans up after a kill

    def note(self, statements: Iterable[str]) -> None:
        """Hear what a step ran; first called before any step."""
        if self._before is None:
            self._before = self._all()
        making = [s for s in statements if _MAKES.search(s) or self._renames_own(s)]
        self._said += making
        for account in self.made() if making else ():  # one that a second up makes has another mark
            if (account.name, account.mark) not in self._recorded:
                self._recorded.add((account.name, self.site.record_account(account.name, account.mark)))

    def _renames_own(self, statement: str) -> bool:
        """Somebody else's account stays theirs under its new name; where it may be one, nothing is dropped."""
        stood = (account.bare for account in self._before or ())
        return bool(_RENAMES.search(statement)) and not any(names(statement, name) for name in stood if name)

    def others(self, user: str, host: str) -> bool:
        """Whether an account of MySQL or MariaDB stood before any step; all do where none can be seen."""
        before = self._before or self._all()
        named = {f"{user}@{host or '%'}".casefold(), *(() if host else (user.casefold(),))}
        return not before or any(account.name.casefold() in named for account in before)

    def made(self) -> frozenset[Account]:
        """Those that stand now."""
        if not self._said or self._before is None:
            return frozenset()
        new = self._all() - self._before
        return frozenset(a for a in new if any(names(text, a.bare) for text in self._said))

    def standing(self) -> frozenset[Account]:
        """All that the server shows."""
        return self._all()

    def drop(self, keep: frozenset[Account] = frozenset()) -> None:
        """Take away what was made, but for those to keep; one that owns something elsewhere stays."""
        for account in sorted(self.made() - keep, key=lambda a: a.name):
            with suppress(SeatrialError):
                self.site.maintain(account.drop)
        kept = {account.name for account in keep}
        for name, mark in [r for r in self._recorded if r[0] not in kept]:
            self.site.forget_account(name, mark)
            self._recorded.discard((name, mark))

    def beside(self, schema: Schema) -> Schema:
        """The schema with what was made: whether down takes it away is part of the comparison."""
        objects: dict[ObjectKey, Attributes] = {ObjectKey(a.kind, "", "", a.name): {} for a in self.made()}
        return Schema({**schema, **objects}) if objects else schema

    def _all(self) -> frozenset[Account]:
        try:
            return frozenset(Account(*(str(v) for v in row)) for row in self.site.accounts())
        except SeatrialError:  # a user without the right to see accounts has none to make them either
            return frozenset()


def names(text: str, name: str) -> bool:
    """Whether a statement names an account, as a word."""
    return bool(re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", text, re.IGNORECASE))
