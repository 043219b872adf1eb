"""Users and roles that steps make on the server: they belong to no database, so they would outlive it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from seatrial.errors import SeatrialError
from seatrial.model import Attributes, ObjectKey, Schema

_MAKES = re.compile(r"\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:USER|ROLE|GROUP)\b|\bGRANT\b.*\bIDENTIFIED\b", re.I | re.S)

POSTGRESQL = "SELECT rolname, 'role', rolname, format('DROP ROLE %I', rolname) FROM pg_catalog.pg_roles"
MYSQL = (
    "SELECT CONCAT(User, '@', Host), IF(account_locked = 'Y' AND authentication_string = '', 'role', 'user'), User,"
    " CONCAT('DROP USER ', QUOTE(User), '@', QUOTE(Host)) FROM mysql.user"
)
MARIADB = (
    "SELECT IF(is_role = 'Y', User, CONCAT(User, '@', Host)), IF(is_role = 'Y', 'role', 'user'), User,"
    " IF(is_role = 'Y', CONCAT('DROP ROLE `', REPLACE(User, '`', '``'), '`'),"
    " CONCAT('DROP USER ', QUOTE(User), '@', QUOTE(Host))) FROM mysql.user"
)


@dataclass(frozen=True, slots=True)
class Account:
    """A user or role; ``drop`` is the statement that takes it away."""

    name: str
    kind: str  # "user" or "role"
    bare: str  # its name without a host
    drop: str


@dataclass(slots=True)
class Accounts:
    """Those of one database's steps: not there when it was made, and named by a statement that makes such things.

    What others make on the same server in the meantime is named by none of them, and is never touched.
    """

    ask: Callable[[str], Sequence[Sequence[str | None]]]
    listing: str
    _before: frozenset[Account] | None = None
    _said: list[str] = field(default_factory=list)

    def note(self, statements: Iterable[str]) -> None:
        """Hear what a step ran; first called before any step."""
        if self._before is None:
            self._before = self._all()
        self._said += [s for s in statements if _MAKES.search(s)]

    def made(self) -> frozenset[Account]:
        """Those that stand now."""
        if not self._said or self._before is None:
            return frozenset()
        new = self._all() - self._before
        return frozenset(a for a in new if any(_names(text, a.bare) for text in self._said))

    def drop(self, keep: frozenset[Account] = frozenset()) -> None:
        """Take away what was made, but for those to keep; one that owns something elsewhere stays."""
        for account in sorted(self.made() - keep, key=lambda a: a.name):
            self._asked(account.drop)

    def beside(self, schema: Schema) -> Schema:
        """The schema with what was made: whether down takes it away is part of the comparison."""
        objects: dict[ObjectKey, Attributes] = {ObjectKey(a.kind, "", "", a.name): {} for a in self.made()}
        return Schema({**schema, **objects}) if objects else schema

    def _all(self) -> frozenset[Account]:
        return frozenset(Account(*(str(v) for v in row)) for row in self._asked(self.listing))

    def _asked(self, sql: str) -> Sequence[Sequence[str | None]]:
        try:
            return self.ask(sql)
        except SeatrialError:  # a user without the right to see accounts has none to make them either
            return ()


def _names(text: str, name: str) -> bool:
    return bool(re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", text, re.IGNORECASE))
