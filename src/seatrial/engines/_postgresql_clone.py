"""Going back: a database copied whole, and a copy put in its place.

CREATE DATABASE ... TEMPLATE copies neither the database's settings nor the rights on it (manual, CREATE DATABASE), so
both are written down and set again. Shadow tables made since the checkpoint are carried over by COPY, or by their file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from seatrial.engines import _postgresql_files as files
from seatrial.engines._postgresql_session import Session, Site, literal, quote

# GUC_LIST_QUOTE settings are stored as quoted lists and must not be quoted again (pg_dump: variable_is_guc_list_quote).
_LISTS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A copy's name, what belongs to the database without being in it, and the shadows that the copy holds."""

    name: str
    settings: tuple[tuple[str | None, str], ...]  # role or None, "name=value"
    grants: tuple[str, ...]  # statements with {} for the database
    shadows: frozenset[str]
    life: object  # the server's when the copy was made


_SETTINGS = """
SELECT a.rolname, unnest(s.setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
LEFT JOIN pg_roles a ON a.oid = s.setrole WHERE d.datname = current_database()
"""
_GRANTS = """
SELECT privilege_type, CASE grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(grantee) END, is_grantable
FROM pg_database d, aclexplode(d.datacl) WHERE d.datname = current_database()
"""


def save(site: Site, name: str, session: Session, shadows: frozenset[str]) -> Checkpoint:
    """What a copy will lack."""
    settings = tuple((role, str(setting)) for role, setting in session.rows(_SETTINGS))
    rights = session.rows(_GRANTS)
    grants: list[str] = []
    if rights:
        grants.append("REVOKE ALL ON DATABASE {} FROM PUBLIC")
        grants += [_grant(str(privilege), who, grantable == "t") for privilege, who, grantable in rights]
    return Checkpoint(name, settings, tuple(grants), shadows, site.life())


def _grant(privilege: str, who: str | None, grantable: bool) -> str:
    role = quote(who).replace("{", "{{").replace("}", "}}") if who else "PUBLIC"
    return f"GRANT {privilege} ON DATABASE {{}} TO {role}" + (" WITH GRANT OPTION" if grantable else "")


def copy(site: Site, name: str, saved: Checkpoint) -> Checkpoint:
    """Copy the database; nobody may be connected to it."""
    return replace(saved, name=site.create_database(name))


def restore(site: Site, name: str, checkpoint: Checkpoint, live: frozenset[str]) -> None:
    """Put a fresh copy of the checkpoint in the database's place, with the shadows that moments need."""
    missing = sorted(live - checkpoint.shadows)
    aside = site.spare_name()
    site.rename_database(name, aside)
    site.recreate_database(name, checkpoint.name)
    _settle(site, name, checkpoint, live)
    if missing:
        with contextlib.closing(Session(site, name)) as new:
            _carry_over(site, aside, new, missing)
    site.drop_database(aside)


def reset(site: Site, name: str, checkpoint: Checkpoint, live: frozenset[str]) -> None:
    """The same, where nothing of the database is used: all shadows that moments need are in the copy."""
    site.replace_database(name, checkpoint.name)
    _settle(site, name, checkpoint, live)


def _settle(site: Site, name: str, checkpoint: Checkpoint, live: frozenset[str]) -> None:
    """Give a fresh copy what copies lack, and take from it the shadows that nobody needs."""
    _apply(site, name, checkpoint)
    if stale := sorted(checkpoint.shadows - live):
        with contextlib.closing(Session(site, name)) as new:
            new.rows(f"DROP TABLE IF EXISTS {', '.join(stale)}")


def _apply(site: Site, name: str, checkpoint: Checkpoint) -> None:
    for role, setting in checkpoint.settings:
        key, _, value = setting.partition("=")
        shown = value if key in _LISTS else literal(value)
        who = f"ROLE {quote(role)} IN DATABASE" if role else "DATABASE"
        site.maintain(
            f"ALTER {who} {quote(name)} SET {quote(key) if '.' not in key else key} TO {shown or literal('')}"
        )
    for grant in checkpoint.grants:
        site.maintain(grant.format(quote(name)))


def _carry_over(site: Site, source: str, new: Session, relations: Iterable[str]) -> None:
    old = Session(site, source)
    try:
        for relation in relations:
            new.rows(f"CREATE UNLOGGED TABLE {relation} ({_columns(old, relation)})")
            if files.is_file(relation):
                files.carry_over(site, old, new, relation)
            else:
                _pump(old, new, relation)
    finally:
        old.close()


def _columns(session: Session, relation: str) -> str:
    rows = session.rows(
        "SELECT attname, format_type(atttypid, atttypmod), attcollation <> 0 FROM pg_attribute"
        f" WHERE attrelid = '{relation}'::regclass AND attnum > 0 ORDER BY attnum"
    )
    return ", ".join(f"{name} {kind}" + (' COLLATE "C"' if text == "t" else "") for name, kind, text in rows)


def _pump(old: Session, new: Session, relation: str) -> None:
    with old.connection.cursor() as source, new.connection.cursor() as target:
        reading = source.copy(f"COPY {relation} TO STDOUT (FORMAT binary)".encode())
        writing = target.copy(f"COPY {relation} FROM STDIN (FORMAT binary)".encode())
        with reading as read, writing as write:
            for block in read:
                write.write(block)
