"""What MySQL and MariaDB tell of an account: its attributes, its privileges on the whole server, its roles.

The server's own words, ``SHOW CREATE USER`` and ``SHOW GRANTS``, are compared, and bring an account back. Passwords are
not compared: each time that one is set it is stored with another salt (manual, 8.4.1.2).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from seatrial.engines._accounts import Account
from seatrial.engines._mysql_catalog_sql import ROUTINE_GRANTS
from seatrial.engines._mysql_link import Link, literal, quote
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

    def attributes(self, dialect: str) -> Attributes:
        """``definition``, ``privileges`` (on ``*.*``) and ``roles``, each as the server's words without a password."""
        lines = [without_password(line, dialect) for line in self.grants if not _OUR_MARK.match(line)]
        return {
            "definition": without_password(self.create, dialect) or None,
            "privileges": tuple(sorted(p for line in lines if (p := _of_server(line)))),
            "roles": tuple(sorted(line for line in lines if " ON " not in line)),
        }


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


def revoke_all(link: Link, database: str) -> None:
    """What steps granted in a database to whoever stood before: DROP DATABASE leaves it (manual, 15.1.26)."""
    pattern = literal(database.replace("_", "\\_"))
    with suppress(DatabaseError):  # who may not see privileges may not have granted any
        for holder, schema, table in link.rows(_HOLDERS.format(db=literal(database), pattern=pattern)):
            of = f"{quote(str(schema))}.{quote(table) if table else '*'}"
            asked = _COLUMNS.format(
                of=of, db=literal(database), table=literal(table or ""), holder=literal(str(holder))
            )
            for sql in (
                *(f"REVOKE {what} ON {of} FROM {holder}" for what in _ALL),
                *(str(r[0]) for r in link.rows(asked)),
            ):
                with suppress(DatabaseError):  # there is no such grant any more
                    link.execute(sql)
    with suppress(DatabaseError):  # mysql.procs_priv may not be his to read
        for holder, name, kind, _ in link.rows(ROUTINE_GRANTS.format(db=literal(database))):
            of = f"{kind} {quote(database)}.{quote(str(name))}"
            for what in _ALL:
                with suppress(DatabaseError):
                    link.execute(f"REVOKE {what} ON {of} FROM {holder}")


_ALL = ("ALL PRIVILEGES", "GRANT OPTION")


def objects(accounts: Mapping[str, Told], dialect: str) -> dict[ObjectKey, Attributes]:
    return {ObjectKey(t.account.kind, "", "", name): t.attributes(dialect) for name, t in accounts.items()}
