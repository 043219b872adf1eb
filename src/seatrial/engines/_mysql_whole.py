"""Physical copies of a whole database to go back to, exactly.

Every object is kept as the server shows it, every table's rows as they are stored. Going back remakes only what is
another than it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from seatrial.engines import _mysql_catalog_sql as sql
from seatrial.engines._mysql_catalog_beside import libraries, suppress_unshown
from seatrial.engines._mysql_catalog_code import STATEMENT
from seatrial.engines._mysql_dialect import Dialect
from seatrial.engines._mysql_link import Link, TextRow, literal, quote
from seatrial.engines._mysql_proof import State
from seatrial.engines._mysql_rows import Copy
from seatrial.engines._mysql_show import lacks_default, parse
from seatrial.engines._mysql_tablespace import Tablespaces
from seatrial.engines._mysql_triggers import (
    Trigger,
    database_collated,
    drop_triggers,
    make_triggers,
    triggers,
    with_session,
)
from seatrial.errors import DatabaseError


@dataclass(frozen=True, slots=True)
class Stored:
    """A view, routine or event: its CREATE and the session that it was made in."""

    kind: str
    name: str
    create: str
    sql_mode: str
    charset: str
    collation: str
    time_zone: str = ""
    created: str = ""  # an event's: it starts then, unless it says otherwise
    database_collation: str = ""  # the database's then; a view takes nothing of it


@dataclass(frozen=True, slots=True)
class Grant:
    """One privilege on an object of this database."""

    grantee: str
    table: str
    column: str
    privilege: str
    grantable: bool
    kind: str = ""  # PROCEDURE ...: ``table`` is the name of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A database at one moment."""

    charset: str
    collation: str
    option: str  # the dialect's further option of a database
    tables: Mapping[str, str]  # name -> CREATE TABLE
    copies: Mapping[str, Copy]  # the tables' rows
    states: Mapping[str, State]  # what proves a table unchanged
    sequences: Mapping[str, tuple[str, str]]  # name -> CREATE SEQUENCE, next value
    triggers: tuple[Trigger, ...]
    stored: tuple[Stored, ...]
    grants: frozenset[Grant]
    histograms: frozenset[tuple[str, str, str, str]]  # table, column, buckets, whether they follow the rows


class Keeper:
    """Takes copies of one database and goes back to them."""

    def __init__(self, link: Link, database: str, dialect: Dialect, files: Tablespaces) -> None:
        self._link, self._database, self._dialect, self._files = link, database, dialect, files

    # --- taking -------------------------------------------------------------------------------------------------------

    def take(self, copies: Mapping[str, Copy], states: Mapping[str, State]) -> Whole:
        """Keep everything; ``copies`` are the rows of all tables as they are, which ``states`` can prove."""
        tables = {name: self._create_table(name) for name in copies}
        charset, collation, option = self._settings()
        return Whole(
            charset=str(charset),
            collation=str(collation),
            option=option,
            tables=tables,
            copies=copies,
            states=states,
            sequences=self._sequences(),
            triggers=triggers(self._link),
            stored=self._stored(),
            grants=self._grants(),
            histograms=self._histograms(),
        )

    def _settings(self) -> tuple[str, str, str]:
        """Of the database; a session's own @@character_set_database does not follow another session's ALTER."""
        query = sql.DATABASE.format(db=literal(self._database), DATABASE_OPTION=self._dialect.database_column)
        charset, collation, option = self._link.rows(query)[0]
        return str(charset), str(collation), str(option or "")

    def _histograms(self) -> frozenset[tuple[str, str, str, str]]:
        if not self._dialect.histograms:
            return frozenset()
        found = self._link.rows(sql.HISTOGRAMS.format(db=literal(self._database)))
        return frozenset((str(t), str(column), str(buckets), str(updated)) for t, column, buckets, updated in found)

    def _names(self, kind: str) -> list[str]:
        rows = self._link.rows(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
            f" AND TABLE_TYPE = {literal(kind)} ORDER BY TABLE_NAME"
        )
        return [str(r[0]) for r in rows]

    def _create_table(self, name: str) -> str:
        create = str(self._link.rows(f"SHOW CREATE TABLE {quote(name)}")[0][1])
        if self._dialect.keeps_match and "FOREIGN KEY" in create:
            for constraint, match in self._link.rows(_MATCHES.format(table=literal(name))):
                create = with_match(create, str(constraint), str(match))
        return create

    def _sequences(self) -> dict[str, tuple[str, str]]:
        if not self._dialect.sequences:
            return {}
        return {n: self._sequence(n) for n in self._names("SEQUENCE")}

    def _sequence(self, name: str) -> tuple[str, str]:
        create = str(self._link.rows(f"SHOW CREATE SEQUENCE {quote(name)}")[0][1])
        next_value = str(self._link.value(f"SELECT next_not_cached_value FROM {quote(name)}"))
        return create, next_value

    def _stored(self) -> tuple[Stored, ...]:
        found = [self._view(n) for n in self._names("VIEW")]
        for kind in self._dialect.routines:
            found += [self._object(kind, str(row[0])) for row in self._link.rows(_ROUTINES.format(kind=kind))]
        found += [self._object("EVENT", str(row[0])) for row in self._link.rows(_EVENTS)]
        for name, *_ in libraries(self._link, self._database) if self._dialect.libraries else ():
            _, mode, create = self._link.rows(f"SHOW CREATE LIBRARY {quote(str(name))}")[0]
            found.append(Stored("LIBRARY", str(name), str(create), str(mode), "utf8mb4", "utf8mb4_bin"))
        return tuple(found)

    def _view(self, name: str) -> Stored:
        _, create, charset, collation = self._link.rows(f"SHOW CREATE VIEW {quote(name)}")[0]
        return Stored("VIEW", name, str(create), "", str(charset), str(collation))

    def _object(self, kind: str, name: str) -> Stored:
        row: TextRow = self._link.rows(f"SHOW CREATE {kind} {quote(name)}")[0]
        zone = str(row[2]) if kind == "EVENT" else ""
        at = STATEMENT[kind]
        if row[at] is None:
            raise DatabaseError(
                f"The body of {kind.lower()} {name} may not be read. Grant SHOW_ROUTINE or SELECT on all."
            )
        charset, collation, of_database = map(str, row[at + 1 : at + 4])
        created = self._created(name) if zone else ""
        return Stored(kind, name, str(row[at]), str(row[1]), charset, collation, zone, created, of_database)

    def _created(self, event: str) -> str:
        """Seconds since 1970."""
        return str(
            self._link.value(
                "SELECT UNIX_TIMESTAMP(CREATED) FROM information_schema.EVENTS"
                f" WHERE EVENT_SCHEMA = DATABASE() AND EVENT_NAME = {literal(event)}"
            )
        )

    def _grants(self) -> frozenset[Grant]:
        db, like = literal(self._database), literal(self._database.replace("_", "\\_"))
        rows = self._link.rows(_GRANTS.format(db=db, like=like))
        found = [Grant(str(g), str(t), str(c), str(p), y == "YES") for g, t, c, p, y in rows]
        with suppress_unshown():
            for grantee, name, kind, privileges in self._link.rows(sql.ROUTINE_GRANTS.format(db=db)):
                names = str(privileges).split(",")
                given = [p for p in names if p not in ("Grant", "")]
                found += [Grant(str(grantee), str(name), "", p, "Grant" in names, str(kind)) for p in given]
        return frozenset(found)

    # --- going back ---------------------------------------------------------------------------------------------------

    def restore(self, whole: Whole) -> dict[str, State]:
        """Make everything what it was; returns what proves the tables as they are now."""
        self._link.execute("SET SESSION foreign_key_checks = 0, unique_checks = 0")
        try:
            drop_triggers(self._link, triggers(self._link))
            self._restore_settings(whole)
            self._restore_sequences(whole)  # a table's default may draw from one
            kept = self._restore_tables(whole)
            self._restore_stored(whole)
            make_triggers(self._link, whole.triggers)
            self._restore_grants(whole)
            self._restore_histograms(whole)
        finally:
            self._link.execute("SET SESSION unique_checks = 1")
        back = [t for t in whole.tables if t not in kept and self._is_whole(whole.copies[t])]
        return {t: whole.states[t] for t in kept} | self._files.states(back)

    def _restore_settings(self, whole: Whole) -> None:
        self._link.execute(
            f"ALTER DATABASE {quote(self._database)} CHARACTER SET {whole.charset} COLLATE {whole.collation}"
        )

        if whole.option != self._settings()[2]:
            option = f"{self._dialect.database_option} = {literal(whole.option)}"
            self._link.execute(f"ALTER DATABASE {quote(self._database)} {option}")

    def _restore_histograms(self, whole: Whole) -> None:
        now = self._histograms()
        for table, column, *_ in now - whole.histograms:
            self._link.rows(f"ANALYZE TABLE {quote(table)} DROP HISTOGRAM ON {quote(column)}")
        for table, column, buckets, updated in whole.histograms - now:
            how = f"WITH {buckets} BUCKETS{' AUTO UPDATE' if updated == 'true' else ''}"
            self._link.rows(f"ANALYZE TABLE {quote(table)} UPDATE HISTOGRAM ON {quote(column)} {how}")

    def _restore_tables(self, whole: Whole) -> frozenset[str]:
        names = self._names("BASE TABLE") + (self._names(self._dialect.versioned) if self._dialect.versioned else [])
        now = {name: self._create_table(name) for name in names}
        states = self._files.states(now)
        kept = frozenset(
            n for n in now if now[n] == whole.tables.get(n) and n in states and states[n] == whole.states.get(n)
        )
        gone = [n for n in now if n not in kept]
        self._drop_views_named(whole.tables)
        for name in gone:
            self._link.execute(f"DROP TABLE {quote(name)}")
        back = {n: c for n, c in whole.tables.items() if n not in kept}
        for name, create in back.items():
            self._link.execute(create)
            self._drop_defaults(name, create)
        for name in back:
            self._bring(name, whole.copies[name])
        for name, create in back.items():
            self._set_counter(name, create)
        return kept

    def _bring(self, name: str, copy: Copy) -> None:
        """Fill a new, empty table of the same definition."""
        if copy.twin and self._files.brought_back(copy.twin, name):
            return
        columns = [c.name for c in copy.columns if not c.generated]
        if columns:
            names, values = ", ".join(quote(c) for c in columns), ", ".join(copy.at(c, "r") for c in columns)
            self._link.execute(f"INSERT INTO {quote(name)} ({names}) SELECT {values} FROM {copy.name} r")
        if copy.history is not None and copy.history.rows and self._is_whole(copy):
            self._bring_history(name, copy.history)

    def _is_whole(self, copy: Copy) -> bool:
        """Whether all of it can be written again: old versions only with times, and from MariaDB 10.11 on."""
        if copy.history is None or not copy.history.rows:
            return True
        may = self._link.rows("SHOW VARIABLES LIKE 'system_versioning_insert_history'")
        return bool(may) and not copy.history.columns[-1].is_integer

    def _bring_history(self, name: str, history: Copy) -> None:
        """Old versions with their own times (manual of MariaDB, system_versioning_insert_history)."""
        columns = [c.name for c in history.columns if not c.generated]
        names, values = ", ".join(quote(c) for c in columns), ", ".join(history.at(c, "r") for c in columns)
        self._link.execute("SET SESSION system_versioning_insert_history = ON")
        try:
            self._link.execute(f"INSERT INTO {quote(name)} ({names}) SELECT {values} FROM {history.name} r")
        finally:
            self._link.execute("SET SESSION system_versioning_insert_history = OFF")

    def _drop_defaults(self, name: str, create: str) -> None:
        """A nullable column without a default cannot be written in a CREATE TABLE."""
        shown = parse(create, self._dialect.name).columns if self._dialect.shows_null_default else {}
        for column in (c for c, text in shown.items() if lacks_default(text, self._dialect.name)):
            self._link.execute(f"ALTER TABLE {quote(name)} ALTER COLUMN {quote(column)} DROP DEFAULT")

    def _drop_views_named(self, tables: Iterable[str]) -> None:
        """A view may have taken a table's name."""
        for name in set(self._names("VIEW")) & set(tables):
            self._link.execute(f"DROP VIEW {quote(name)}")

    def _set_counter(self, name: str, create: str) -> None:
        """The position that rows written with explicit ids would have moved."""
        tail = create[create.rfind("\n)") :]
        if found := re.search(r"\bAUTO_INCREMENT=(\d+)", tail):
            self._link.execute(f"ALTER TABLE {quote(name)} AUTO_INCREMENT = {found[1]}")

    def _restore_sequences(self, whole: Whole) -> None:
        now = self._sequences()
        for name in now:
            if now[name] != whole.sequences.get(name):
                self._link.execute(f"DROP SEQUENCE {quote(name)}")
        for name, (create, next_value) in whole.sequences.items():
            if now.get(name) != (create, next_value):
                self._link.execute(create)
                self._link.rows(f"SELECT SETVAL({quote(name)}, {next_value}, 0)")

    def _restore_stored(self, whole: Whole) -> None:
        now = set(self._stored())
        wanted = {(s.kind, s.name) for s in whole.stored}
        for stored in now - set(whole.stored):
            self._drop(stored)
        missing = [s for s in whole.stored if s not in now]
        assert len(wanted) == len(whole.stored)
        self._make_all([s for s in missing if s.kind != "VIEW"])
        self._make_all([s for s in missing if s.kind == "VIEW"])

    def _drop(self, stored: Stored) -> None:
        """A package's statements are only understood under sql_mode ORACLE, and its body goes with it."""
        drop = f"DROP {stored.kind} IF EXISTS {quote(stored.name)}"
        if stored.kind.startswith("PACKAGE"):
            with_session(self._link, drop, stored.sql_mode, stored.charset, stored.collation)
        else:
            self._link.execute(drop)

    def _make_all(self, missing: list[Stored]) -> None:
        """Make objects that may need one another, in whatever order works."""
        while missing:
            left: list[Stored] = []
            last: DatabaseError | None = None
            for stored in missing:
                try:
                    self._make(stored)
                except DatabaseError as error:
                    left, last = [*left, stored], error
            if last is not None and len(left) == len(missing):
                raise last
            missing = left

    def _make(self, stored: Stored) -> None:
        if stored.time_zone:
            self._link.execute(f"SET time_zone = {literal(stored.time_zone)}, timestamp = {stored.created}")
        try:
            mode = stored.sql_mode or str(self._link.value("SELECT @@sql_mode"))
            with database_collated(self._link, stored.database_collation):
                with_session(self._link, stored.create, mode, stored.charset, stored.collation)
        finally:
            self._link.execute("SET time_zone = '+00:00', timestamp = DEFAULT")

    def _restore_grants(self, whole: Whole) -> None:
        now = self._grants()
        for grant in now - whole.grants:
            self._link.execute(f"REVOKE {_privilege(grant)} ON {self._on(grant)} FROM {grant.grantee}")
        for grant in whole.grants - now:
            option = " WITH GRANT OPTION" if grant.grantable else ""
            self._link.execute(f"GRANT {_privilege(grant)} ON {self._on(grant)} TO {grant.grantee}{option}")

    def _on(self, grant: Grant) -> str:
        return f"{grant.kind} {quote(self._database)}.{quote(grant.table) if grant.table else '*'}"


def _privilege(grant: Grant) -> str:
    return f"{grant.privilege} ({quote(grant.column)})" if grant.column else grant.privilege


def with_match(create: str, constraint: str, match: str) -> str:
    """What SHOW CREATE TABLE leaves out of a foreign key, though the catalogue has it (MySQL)."""
    names = r"\((?:`(?:[^`]|``)*`(?:, )?)+\)"
    key = rf"CONSTRAINT {re.escape(quote(constraint))} FOREIGN KEY {names} REFERENCES (?:`(?:[^`]|``)*`\.?)+ {names}"
    return re.sub(key, lambda found: f"{found[0]} MATCH {match}", create, count=1)


_MATCHES = (
    "SELECT CONSTRAINT_NAME, MATCH_OPTION FROM information_schema.REFERENTIAL_CONSTRAINTS"
    " WHERE CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = {table} AND MATCH_OPTION <> 'NONE'"
)
_ROUTINES = (
    "SELECT ROUTINE_NAME FROM information_schema.ROUTINES"
    " WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_TYPE = '{kind}' ORDER BY ROUTINE_NAME"
)
_EVENTS = "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() ORDER BY EVENT_NAME"
_GRANTS = """
SELECT GRANTEE, '', '', PRIVILEGE_TYPE, IS_GRANTABLE FROM information_schema.SCHEMA_PRIVILEGES
 WHERE TABLE_SCHEMA IN ({db}, {like})
UNION SELECT GRANTEE, TABLE_NAME, '', PRIVILEGE_TYPE, IS_GRANTABLE FROM information_schema.TABLE_PRIVILEGES
 WHERE TABLE_SCHEMA = {db}
UNION SELECT GRANTEE, TABLE_NAME, COLUMN_NAME, PRIVILEGE_TYPE, IS_GRANTABLE FROM information_schema.COLUMN_PRIVILEGES
 WHERE TABLE_SCHEMA = {db}"""
