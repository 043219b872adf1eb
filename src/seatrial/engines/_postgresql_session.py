"""Connections to PostgreSQL as the engine uses them: one fixed session of ours, and plain ones as tools have them.

psycopg is imported only when a connection is there: without PostgreSQL nobody needs it.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from seatrial.errors import DatabaseError
from seatrial.model import LOST, Disturbance, ErrorKind, Refusal, ServerEnd, StepError, TableRef
from seatrial.sql.lacking import what_lacks

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

SHADOWS = "_seatrial"
"""Our schema in every trial database: shadow tables and helpers. Never part of a snapshot."""

# int8up and int4up (unary plus, utils/adt/int8.c and int.c) give their argument's Datum back unchanged: declared for
# another type, its bytes. Of types whose equal values have equal bytes only (numeric is normalised but for its scale,
# jsonb is built in one order). Only a superuser may make them; eight bytes have to fit a Datum (64-bit servers).
_IMAGED = {"numeric": "bytea", "jsonb": "bytea", "json": "bytea", "float8": "int8", "float4": "int4"}
_IMAGED |= dict.fromkeys(("time", "timestamp", "timestamptz"), "int8")
_CAN_IMAGE = (
    "SELECT r.rolsuper AND t.typbyval FROM pg_roles r, pg_type t WHERE r.rolname = current_user AND t.typname = 'int8'"
    " AND t.typnamespace = 'pg_catalog'::regnamespace"
)
_IMAGES = tuple(
    f"CREATE FUNCTION {SHADOWS}.image({of}) RETURNS {to} LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE"
    f" AS '{'int4up' if of == 'float4' else 'int8up'}'"
    for of, to in _IMAGED.items()
)

# A row's bytes hashed in one go. varchar() gives back its argument as it is but out of TOAST and not compressed
# (utils/adt/varchar.c: -1 is no length), so that equal values have equal bytes; ROW() makes short ones short
# (heap_fill_tuple). Of a row's bytes the first eight after the length are left out: a record type's number, which is
# another in each session (access/htup_details.h, DatumTupleFields).
_HASHES = tuple(
    f"CREATE FUNCTION {SHADOWS}.{what} LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS '{of}'"
    for what, of in (
        ("flat(text, int4, bool) RETURNS bytea", "varchar"),
        ("flat(bytea, int4, bool) RETURNS bytea", "varchar"),
        ("body(record, int4) RETURNS bytea", "bytea_substr_no_len"),
        ("hash(bytea, int8) RETURNS int8", "hashvarlenaextended"),
    )
)

# Everything that a stored value's text depends on (manual, 20.11 and 9.8), and nothing of the project's own rules.
_FIXED = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmloption": "content",
    "xmlbinary": "base64",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
    "search_path": "public",  # pg_catalog goes first by itself
    "row_security": "off",
    "jit": "off",
    "random_page_cost": "1.1",  # what we join was just written: it is in memory
    "work_mem": "128MB",
    "statement_timeout": "0",
    "lock_timeout": "60s",  # somebody who locks a table of ours must not keep us for ever
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "default_table_access_method": "heap",
    "default_tablespace": "",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "client_min_messages": "warning",
    "check_function_bodies": "off",
}
_FAREWELL_S = 1.0  # a pooler in between may keep us waiting
_PRIVILEGED = {"lc_messages": "C", "session_replication_role": "replica"}  # where we may set them (superusers may)


class Site(Protocol):
    """What the engine needs of the server that a database stands on."""

    version: str
    version_num: int
    superuser: bool
    replica_role: bool  # session_replication_role may be set
    trust: bool  # scripts may reach outside
    is_local: bool  # a server of ours, whose log we may read
    programs: str | None  # a local server's programs
    data_folder: str | None

    def connect(self, name: str, application: str = "") -> psycopg.Connection[Any]:
        """A new autocommit connection. Raises ServerError without the password."""

    def url(self, name: str) -> str: ...

    def create_database(self, template: str = "") -> str:
        """A new marked database, a copy of ``template`` where given; returns its name."""

    def recreate_database(self, name: str, template: str) -> None:
        """Like ``create_database`` under a name of ours that is free again."""

    def replace_database(self, name: str, template: str) -> None:
        """The same where a database of ours stands, which goes first."""

    def life(self) -> object:
        """The same object as long as the server runs on."""

    def end(self) -> ServerEnd | None:
        """How a server that was started for this run came to its end."""

    def spare_name(self) -> str:
        """A name of ours to put a database aside."""

    def drop_database(self, name: str) -> None: ...

    def rename_database(self, old: str, new: str) -> None: ...

    def maintain(self, sql: str) -> list[tuple[str | None, ...]]:
        """Run one statement in the maintenance database."""

    def accounts(self) -> list[tuple[str | None, ...]]: ...

    def record_account(self, name: str, mark: str) -> str: ...

    def forget_account(self, name: str, mark: str) -> None: ...

    def disconnect(self, name: str) -> None:
        """End every other session in a database of ours."""


def quote(name: str) -> str:
    """An identifier, always quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str | None) -> str:
    """A string constant; right under any standard_conforming_strings."""
    if text is None:
        return "NULL"
    body = text.replace("'", "''")
    return " E'" + body.replace("\\", "\\\\") + "'" if "\\" in body else f"'{body}'"


def qualified(table: TableRef) -> str:
    """A table by its whole name; the default schema is ``public``."""
    return f"{quote(table.namespace or 'public')}.{quote(table.name)}"


_SIMPLE = re.compile(r"[a-z_][a-z0-9_]*")


def readable(name: str, reserved: frozenset[str]) -> str:
    """An identifier quoted only where it must be, for SQL that people read."""
    return name if _SIMPLE.fullmatch(name) and name not in reserved else quote(name)


class Session:
    """Our own connection to one database, in the fixed session; every value comes back as text."""

    def __init__(self, site: Site, name: str) -> None:
        self.connection = site.connect(name)
        self._prepared: dict[str, str] = {}  # text -> its name on the server
        self.connection.adapters.register_loader(0, _text_loader())
        for oid in _loaded_oids(self.connection):
            self.connection.adapters.register_loader(oid, _text_loader())
        self.rows("SELECT " + ", ".join(f"set_config('{k}', {literal(v)}, false)" for k, v in _FIXED.items()))
        for name, value in _PRIVILEGED.items():
            allowed = f"WHERE has_parameter_privilege('{name}', 'SET')"
            self.rows(f"SELECT set_config('{name}', {literal(value)}, false) {allowed}")

    def rows(self, sql: str, *, prepare: bool = False) -> list[tuple[Any, ...]]:
        """Run one statement (or several without rows) and return its rows as text. Raises DatabaseError.

        ``prepare``: a query that comes again; the server plans it once a session.
        """
        return guarded(lambda: self._rows(self._again(sql) if prepare else sql))

    def _again(self, sql: str) -> str:
        """psycopg prepares nothing where it is not to prepare by itself, and forgets all at every DROP."""
        if sql not in self._prepared:
            name = f"seatrial_{len(self._prepared)}"
            self._rows(f"PREPARE {name} AS {sql}")
            self._prepared[sql] = name
        return f"EXECUTE {self._prepared[sql]}"

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def furnish(self) -> None:
        """Make our schema, and on a superuser's connection the functions in it, where they are not there yet."""
        if self.value(f"SELECT to_regnamespace('{SHADOWS}')") is None:
            self.rows(f"CREATE SCHEMA {SHADOWS}")
            # A session's first temporary table makes a schema, and each new schema throws away all prepared plans.
            self.rows("CREATE TEMP TABLE seatrial_first () ON COMMIT DROP")
            self.run(_IMAGES + _HASHES if self.value(_CAN_IMAGE) == "t" else ())

    @cached_property
    def images(self) -> frozenset[str]:
        """Types whose stored bytes ``_seatrial.image()`` reads as they are: several times cheaper than *_send."""
        found = self.rows(
            "SELECT t.typname FROM pg_proc p JOIN pg_type t ON t.oid = p.proargtypes[0]"
            f" WHERE p.pronamespace = to_regnamespace('{SHADOWS}') AND p.proname = 'image'"
        )
        return frozenset(row[0] for row in found)

    @cached_property
    def reserved(self) -> frozenset[str]:
        """Words that cannot stand as a name unquoted."""
        return frozenset(row[0] for row in self.rows("SELECT word FROM pg_get_keywords() WHERE catcode <> 'U'"))

    def value(self, sql: str) -> str | None:
        """The first column of the first row."""
        found = self.rows(sql)
        return found[0][0] if found else None

    def run(self, statements: Iterable[str]) -> None:
        """Run statements one after the other."""
        for statement in statements:
            self.rows(statement)

    def close(self) -> None:
        """Until the server has let go of the database: DROP and CREATE DATABASE sleep 100 ms where they find a session
        that is only on its way out (storage/ipc/procarray.c, CountOtherDBBackends)."""
        with contextlib.suppress(OSError), _twin(self.connection) as line:
            self.connection.close()
            line.settimeout(_FAREWELL_S)
            while line.recv(1 << 12):  # its process closes the line, when it ends
                pass
        self.connection.close()


@contextlib.contextmanager
def _twin(connection: psycopg.Connection[Any]) -> Iterator[socket.socket]:
    """The connection's socket, to look at once the driver has closed its own. Raises OSError."""
    import psycopg

    try:
        kept = os.dup(connection.fileno())
    except psycopg.Error as error:
        raise OSError(str(error)) from None
    with socket.socket(fileno=kept) as line:
        yield line


def _text_loader() -> type[Any]:
    from psycopg.types.string import TextLoader

    return TextLoader


def _loaded_oids(connection: psycopg.Connection[Any]) -> list[int]:
    infos = list(connection.adapters.types)
    return sorted({oid for info in infos for oid in (info.oid, info.array_oid) if oid})


def guarded(act: Callable[[], T]) -> T:
    """The result of ``act``; the driver's errors come out as DatabaseError."""
    import psycopg

    try:
        return act()
    except psycopg.Error as error:
        raise failure(error) from None


def failure(error: psycopg.Error) -> DatabaseError:
    """The server's refusal as ours: its message with its detail, SQLSTATE and what kind of failure that is."""
    code = code_of(error)
    return DatabaseError(message(error), code=code, kind=kind_of(code, message(error)))


def code_of(error: psycopg.Error) -> str:
    """The SQLSTATE; a connection that broke has none of its own."""
    return error.sqlstate or ("08006" if _is_lost(error) else "")


def _is_lost(error: psycopg.Error) -> bool:
    import psycopg

    return isinstance(error, psycopg.OperationalError)


def message(error: psycopg.Error) -> str:
    """The server's own words: message, detail and hint."""
    diagnosis = error.diag
    parts = [diagnosis.message_primary or str(error).strip()]
    parts += [f"DETAIL: {diagnosis.message_detail}"] if diagnosis.message_detail else []
    parts += [f"HINT: {diagnosis.message_hint}"] if diagnosis.message_hint else []
    return "\n".join(parts)


def disturbance(error: StepError | BaseException) -> Disturbance | None:
    """What may be gone the next time (manual, appendix A)."""
    import psycopg

    if isinstance(error, psycopg.Error):
        error = failure(error)
    code = getattr(error, "code", "")
    if code.startswith("08") or code in ("57P01", "57P02", "57P03", LOST):
        return Disturbance.CONNECTION
    if code == "57014":  # statement_timeout, or somebody's pg_cancel_backend
        return Disturbance.LIMIT
    if code in ("40P01", "40001", "55P03", "25P03"):
        return Disturbance.LOCK
    return Disturbance.RESOURCE if code.startswith("53") or code == "58030" else None


_ABOUT = {
    Refusal.SYNTAX: ("42601",),
    Refusal.MISSING: ("42P01", "42703", "42883", "42704", "3F000", "3D000", "26000"),
    Refusal.EXISTING: ("42P07", "42701", "42710", "42723", "42P06", "42P04"),
    Refusal.ROWS: ("23", "22"),
    Refusal.RELIED_ON: ("2BP01",),
    Refusal.LOCK: ("55P03", "40P01"),
    Refusal.TRANSACTION: ("25001",),
    Refusal.UNCOMMITTED: ("55P04",),
}


def refusal(error: StepError) -> Refusal | None:
    """What PostgreSQL had against a statement (manual, appendix A: codes, or the classes that they begin with)."""
    return next((about for about, codes in _ABOUT.items() if error.code.startswith(codes)), None)


_ENVIRONMENT_CLASSES = ("08", "53", "58", "57P", "F0", "XX")
_ENVIRONMENT_CODES = frozenset({"40P01", "40001", "55P03", "57014", "25P03", "25006", "28000", "28P01"})


_NOT_INSTALLED = r'extension ".*" is not available|requires the server to be built with'


def kind_of(code: str, text: str = "") -> ErrorKind:
    """Whether a refusal is the migration's doing or its surroundings' (manual, appendix A: SQLSTATE classes).

    A missing role is 42704 like a missing type: only the words tell them apart; a missing extension is 0A000 or 58P01.
    """
    if code.startswith(_ENVIRONMENT_CLASSES) or code in _ENVIRONMENT_CODES:
        return ErrorKind.ENVIRONMENT
    if code in ("42704", "22023") and re.match(r'role ".*" does not exist', text):  # 22023: SET ROLE
        return ErrorKind.ENVIRONMENT
    if code == "42501" or (code == "0A000" and re.search(_NOT_INSTALLED, text)):
        return ErrorKind.ENVIRONMENT
    if code == "42704" and re.match(r"unrecognized configuration parameter", text):
        return ErrorKind.ENVIRONMENT
    if code in ("42883", "42704") and what_lacks(text, "postgresql"):
        return ErrorKind.ENVIRONMENT
    return ErrorKind.MIGRATION
