"""What MySQL and MariaDB tell of an account: its attributes, its privileges on the whole server, its roles.

The server's own words, ``SHOW CREATE USER`` and ``SHOW GRANTS``, are compared, and bring an account back. Passwords are
not compared: each time that one is set it is stored with another salt (manual, 8.4.1.2).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from seatrial.engines._accounts import Account, names
from seatrial.engines._mysql_catalog_sql import ROUTINE_GRANTS
from seatrial.engines._mysql_link import Link, TextRow, literal, quote
from seatrial.errors import DatabaseError
from seatrial.model import Attributes, ObjectKey
from seatrial.sql.tokens import NUMBER, STRING, code

_SYSTEM = re.compile(r"(?:root|PUBLIC|mysql\.\w+|mariadb\.sys|seatrial_\w+_mark)?", re.IGNORECASE)
"""The servers' own accounts, and ours."""
_OUR_MARK = re.compile(r"^GRANT `?seatrial_\w+_mark`?")
_NOT_SHOWN = frozenset({"1044", "1141", "1142", "1227", "1396"})  # no right to see it; gone meanwhile
_PASSWORD = frozenset({"AS", "PASSWORD", "USING"})


@dataclass(frozen=True, slots=True)
class Told:
    """One account as the server tells it, with its password; ``create`` is empty for MariaDB's roles."""

    account: Account
    create: str
    grants: tuple[str, ...]

    @property
    def bring_back(self) -> tuple[str, ...]:
        """Statements that make it again, with its roles and with what it may do on the whole server."""
        beyond = (g for g in self.grants if _of_server(g) or " ON " not in g or g.startswith("GRANT PROXY "))
        return (self.create or self.account.drop.replace("DROP", "CREATE", 1), *beyond)

    def is_like(self, other: Told) -> bool:
        """Whether nothing of it has to be brought back."""
        return self.account == other.account and self.bring_back == other.bring_back

    def back_from(self, now: Told) -> list[str]:
        """Statements that take away what it was given on the whole server since, and give back what it lost there."""
        holder = self.account.drop.split(" ", 2)[2]
        had, has = ({p for line in t.grants for p in _privileges(line)} for t in (self, now))
        gained, gone = sorted(has - had), had - has
        roles = [line for line in now.grants if " ON " not in line and line not in self.grants]
        given = [line for line in self.grants if _of_server(line) and (gone or "ALL PRIVILEGES" in gained)]
        given += [line for line in self.grants if " ON " not in line and line not in now.grants]
        return [
            *(f"REVOKE {what} ON *.* FROM {holder}" for what in gained),
            *(_revoked(line) for line in roles if not _OUR_MARK.match(line)),
            *given,
        ]

    def attributes(self, dialect: str) -> Attributes:
        """``definition``, ``privileges`` (on ``*.*``) and ``roles``, each as the server's words without a password."""
        lines = [without_password(line, dialect) for line in self.grants if not _OUR_MARK.match(line)]
        return {
            "definition": without_password(self.create, dialect) or None,
            "privileges": tuple(sorted(p for line in lines if (p := _of_server(line)))),
            "roles": tuple(sorted(line for line in lines if " ON " not in line)),
        }


def _revoked(role: str) -> str:
    """``GRANT `r` TO `a`@`h` WITH ADMIN OPTION`` -> ``REVOKE `r` FROM `a`@`h```."""
    given, _, to = role.removesuffix(" WITH ADMIN OPTION").removeprefix("GRANT ").rpartition(" TO ")
    return f"REVOKE {given} FROM {to}"


def _of_server(line: str) -> str:
    """``GRANT SELECT, PROCESS WITH GRANT OPTION``: what an account may do everywhere; MySQL's partial revokes, too."""
    if line.startswith("REVOKE "):
        return line
    given, everywhere, rest = line.partition(" ON *.* ")
    option = "GRANT OPTION" in rest
    if not everywhere or (given == "GRANT USAGE" and not option):
        return ""
    return f"{given} WITH GRANT OPTION" if option else given


def without_password(text: str, dialect: str) -> str:
    """``IDENTIFIED ... AS '***'``; whether there is a password at all is told."""
    tokens = code(text, dialect)
    for token, following in reversed([*itertools.pairwise(tokens)]):
        secret = following.kind in (STRING, NUMBER) and following.text not in ("''", "0x")
        if token.word in _PASSWORD and secret:
            text = f"{text[: following.start]}'***'{text[following.end :]}"
    return text


def is_system(account: Account) -> bool:
    return bool(_SYSTEM.fullmatch(account.bare))


def told(link: Link, accounts: Iterable[Account]) -> dict[str, Told]:
    """Each by its name; those that this user may not see are left out."""
    found: dict[str, Told] = {}
    for account in sorted(accounts, key=lambda a: (a.kind, a.name)):  # roles before those who have them
        try:
            found[account.name] = _told(link, account)
        except DatabaseError as error:
            if error.code not in _NOT_SHOWN:
                raise
    return found


def _told(link: Link, account: Account) -> Told:
    _, kind, name = account.drop.split(" ", 2)
    create = link.value(f"SHOW CREATE USER {name}") or "" if kind == "USER" else ""
    return Told(account, create, tuple(str(row[0]) for row in link.rows(f"SHOW GRANTS FOR {name}")))


def bring_back(accounts: Mapping[str, Told], names: Iterable[str]) -> list[str]:
    """Statements that make these again, all of them before what they are granted."""
    made = [accounts[name].bring_back for name in names]
    return [*(statements[0] for statements in made), *(s for statements in made for s in statements[1:])]


_HOLDERS = """
SELECT DISTINCT GRANTEE, TABLE_SCHEMA, '' FROM information_schema.SCHEMA_PRIVILEGES
 WHERE TABLE_SCHEMA IN ({db}, {pattern})
UNION SELECT DISTINCT GRANTEE, TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLE_PRIVILEGES
 WHERE TABLE_SCHEMA = {db}
UNION SELECT DISTINCT GRANTEE, TABLE_SCHEMA, TABLE_NAME FROM information_schema.COLUMN_PRIVILEGES
 WHERE TABLE_SCHEMA = {db}"""
_COLUMNS = """
SELECT CONCAT('REVOKE ', PRIVILEGE_TYPE, ' (`', REPLACE(COLUMN_NAME, '`', '``'), '`) ON {of} FROM ', GRANTEE)
  FROM information_schema.COLUMN_PRIVILEGES WHERE TABLE_SCHEMA = {db} AND TABLE_NAME = {table} AND GRANTEE = {holder}"""


_ALL = ("ALL PRIVILEGES", "GRANT OPTION")


def revoke_all(link: Link, database: str) -> None:
    """What steps granted in a database to whoever stood before: DROP DATABASE leaves it (manual, 15.1.26)."""
    for sql in [*_on_tables(link, database), *_on_routines(link, database)]:
        with suppress(DatabaseError):  # there is no such grant any more
            link.execute(sql)


def _on_tables(link: Link, database: str) -> Iterator[str]:
    pattern = literal(database.replace("_", "\\_"))
    for holder, schema, table in _seen(link, _HOLDERS.format(db=literal(database), pattern=pattern)):
        of = f"{quote(str(schema))}.{quote(table) if table else '*'}"
        yield from (f"REVOKE {what} ON {of} FROM {holder}" for what in _ALL)
        asked = _COLUMNS.format(of=of, db=literal(database), table=literal(table or ""), holder=literal(str(holder)))
        yield from (str(row[0]) for row in _seen(link, asked))


def _on_routines(link: Link, database: str) -> Iterator[str]:
    for holder, name, kind, _ in _seen(link, ROUTINE_GRANTS.format(db=literal(database))):
        of = f"{kind} {quote(database)}.{quote(str(name))}"
        yield from (f"REVOKE {what} ON {of} FROM {holder}" for what in _ALL)


def _seen(link: Link, query: str) -> list[TextRow]:
    """Nothing where this user may not read it: who may not see privileges may not have granted any."""
    with suppress(DatabaseError):
        return link.rows(query)
    return []


@dataclass(slots=True)
class Lent:
    """What steps grant on the whole server, and which roles, to accounts that stood before them: at a URL, by trust.

    Only accounts that such a statement names are brought back, and only in this.
    """

    link: Link
    _before: dict[str, Told] | None = None
    _said: list[str] = field(default_factory=list)

    def note(self, statements: Iterable[str], standing: Callable[[], Iterable[Account]]) -> None:
        """Hear what a step ran; first called before any step."""
        if self._before is None:
            self._before = told(self.link, (a for a in standing() if not is_system(a)))
        self._said += [s for s in statements if _GRANTS.search(s)]

    def take_back(self) -> None:
        named = [t for t in (self._before or {}).values() if any(names(s, t.account.bare) for s in self._said)]
        now = told(self.link, (t.account for t in named))
        for was in named:
            for sql in was.back_from(now[was.account.name]) if was.account.name in now else ():
                with suppress(DatabaseError):
                    self.link.execute(sql, told=False)


_GRANTS = re.compile(r"\b(?:GRANT|REVOKE)\b", re.IGNORECASE)


def _privileges(line: str) -> set[str]:
    """``GRANT SELECT, PROCESS ON *.* TO a WITH GRANT OPTION``: SELECT, PROCESS, GRANT OPTION."""
    given, option, _ = _of_server(line).removeprefix("GRANT ").partition(" WITH GRANT OPTION")
    return {p for p in given.split(", ") if p and not p.startswith(("USAGE", "REVOKE "))} | (
        {"GRANT OPTION"} if option else set()
    )


def objects(accounts: Mapping[str, Told], dialect: str) -> dict[ObjectKey, Attributes]:
    return {ObjectKey(t.account.kind, "", "", name): t.attributes(dialect) for name, t in accounts.items()}
