"""Connections to MySQL and MariaDB: one fixed session for our own reading and writing, errors as values of ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from seatrial.errors import DatabaseError
from seatrial.model import LOST, Disturbance, ErrorKind, Refusal, StepError

Dial = Callable[[str | None], Any]
"""Opens a raw driver connection (autocommit, every value as text or bytes) with the named default database."""

TextRow = tuple[str | None, ...]

# Not strict about dates, so that what is stored can be copied as it is: zero dates are valid data of older schemas.
MODES = (
    "STRICT_TRANS_TABLES,ALLOW_INVALID_DATES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION"
)
LOCK_WAIT_S = 60  # how long our own statements wait for a migration's locks
SESSION = (
    f"SET SESSION sql_mode = '{MODES}', time_zone = '+00:00', group_concat_max_len = 4294967295,"
    f" foreign_key_checks = 0, lock_wait_timeout = {LOCK_WAIT_S}, innodb_lock_wait_timeout = {LOCK_WAIT_S},"
    " tmp_table_size = 268435456, max_heap_table_size = 268435456, join_buffer_size = 134217728"
)

_BIT, _FLOAT = 16, 4  # field types of the wire protocol
_ACCOUNT = 1396  # ER_CANNOT_USER: there is none, or (CREATE) there is one already
_ENVIRONMENT = frozenset(
    {
        *(1021, 1037, 1038, 1040, 1041, 1053, 1077, 1105, 1114, 1119, 1135, 1152, 1153, 1158, 1159, 1160, 1161, 1184),
        *(
            1044,
            1045,
            1969,
            1130,
            1142,
            1143,
            1203,
            1205,
            1206,
            1213,
            1226,
            1227,
            1290,
            1317,
            1370,
            1410,
            1419,
            1836,
            1927,
        ),
        *(2000, 2002, 2003, 2005, 2006, 2008, 2013, 2014, 2055, 3024, 3572, 3636, 1286, 1524, _ACCOUNT, 1298, 4031),
    }
)
"""Error numbers of connections, resources, rights, and of what is missing on the server (Error Message Reference)."""
CUT = frozenset({2006, 2013, 2014, 2055, 1053, 1927, 4031, 0})
_CONNECTION = CUT | {1077, 1152, 1158, 1159, 1160, 1161, 1184, 2002, 2003}
_LOCK = frozenset({1205, 1213, 3572})
_LIMIT = frozenset({1317, 1969, 3024})  # KILL QUERY; max_statement_time (MariaDB), max_execution_time (MySQL)
_RESOURCE = frozenset({1021, 1037, 1038, 1040, 1041, 1114, 1135, 1203, 1226})


_DISK = frozenset(
    {3, 14, 20, 1026, 1878, 3675}
)  # a write failed; EE_WRITE, EE_CANT_CHSIZE and EE_DISK_FULL come under their own numbers
_NO_ROOM = re.compile(
    r"\berrcode: 28\b|\berrno: 28\b|\berror 28\b|No space left on device|\berr(?:no|or):? 135\b", re.IGNORECASE
)
"""ENOSPC and HA_ERR_RECORD_FILE_FULL, under whatever number they are told: 1030 and 1005 stand for much else too."""


_NOT_OURS_TO_SET = frozenset({1193, 1227})  # unknown here; SESSION_VARIABLES_ADMIN or SUPER is needed


def error_kind(code: int, message: str = "") -> ErrorKind:
    stands_already = code == _ACCOUNT and message.startswith("Operation CREATE ")
    ours = (code in _ENVIRONMENT and not stands_already) or code == 0 or _is_full(code, message)
    return ErrorKind.ENVIRONMENT if ours else ErrorKind.MIGRATION


def _is_full(code: int, message: str) -> bool:
    return code in _DISK or bool(_NO_ROOM.search(message))


def disturbance(error: StepError | BaseException) -> Disturbance | None:
    """What may be gone the next time (Error Message Reference)."""
    if isinstance(error, Exception) and is_driver_error(error):
        error = database_error(error)
    code = getattr(error, "code", "")
    number = int(code) if code.isdigit() else -1
    if number in _CONNECTION or code == LOST:
        return Disturbance.CONNECTION
    if number in _LOCK:
        return Disturbance.LOCK
    if number in _LIMIT:
        return Disturbance.LIMIT
    words = error.message if isinstance(error, StepError) else str(error)
    is_ours = getattr(error, "kind", None) is ErrorKind.ENVIRONMENT
    return Disturbance.RESOURCE if number in _RESOURCE or (is_ours and _is_full(number, words)) else None


_ABOUT = {
    Refusal.SYNTAX: (1064, 1149),
    Refusal.MISSING: (1049, 1051, 1054, 1072, 1091, 1146, 1176, 1305, 1360),
    Refusal.EXISTING: (1007, 1050, 1060, 1061, 1304, 1359, 1826, 3822),
    Refusal.ROWS: (*(1048, 1062, 1138, 1216, 1217, 1264, 1265, 1292, 1366, 1406, 1451, 1452, 1586, 1690, 3819, 4025),),
    Refusal.RELIED_ON: (1553, 1828, 1829, 1832, 1833, 3108, 3730, 3837, 3959),
    Refusal.LOCK: (1205, 1213, 3572),
}


def refusal(error: StepError) -> Refusal | None:
    """What MySQL or MariaDB had against a statement (Error Message Reference; 4025 is MariaDB's broken CHECK)."""
    return next((about for about, codes in _ABOUT.items() if error.code in map(str, codes)), None)


def code_and_message(error: Exception) -> tuple[int, str]:
    """The server's error number and words; 0 where the driver itself gave up."""
    arguments = error.args
    if len(arguments) >= 2 and isinstance(arguments[0], int):
        return arguments[0], str(arguments[1])
    return 0, str(error) or type(error).__name__


def database_error(error: Exception, statement: str = "") -> DatabaseError:
    code, message = code_and_message(error)
    shown = f"{message} in: {_shortened(statement)}" if statement else message
    return DatabaseError(shown, code=str(code), kind=error_kind(code, message))


def _shortened(statement: str, most: int = 300) -> str:
    return statement if len(statement) <= most else statement[:most] + " ..."


class Link:
    """Our own connection to one server: a fixed session, reconnected when the server has closed it."""

    def __init__(self, dial: Dial, database: str, settings: tuple[str, ...], wished: tuple[str, ...] = ()) -> None:
        """``wished``: settings that a server may not know, or not let its users make."""
        self._dial = dial
        self._database = database
        self._settings = (SESSION, *settings)
        self._wished = wished
        self._raw: Any = None

    def execute(self, statement: str, *, told: bool = True) -> int:
        """Run one statement; returns how many rows it hit. Raises DatabaseError, with the statement if ``told``."""
        with self._cursor(statement, told=told) as cursor:
            return int(cursor.rowcount)

    def rows(self, statement: str) -> list[TextRow]:
        """All rows of a query as text. Raises DatabaseError."""
        return self._described(statement)[1]

    def exact(self, query: str) -> list[TextRow]:
        """All rows of anyone's query, FLOAT with all its digits: the server prints six, and a DOUBLE exactly."""
        described, found = self._described(query)
        names = [str(d[0]) for d in described]
        if not any(d[1] == _FLOAT for d in described) or len({n.lower() for n in names}) < len(names):
            return found
        fields = (
            f"CAST({quote(n)} AS DOUBLE)" if d[1] == _FLOAT else quote(n) for n, d in zip(names, described, strict=True)
        )
        head, inner = f"SELECT {', '.join(fields)} FROM", query.strip().rstrip(";")
        for source in (f"({inner}\nLIMIT 18446744073709551615) q", f"({inner}\n) q"):  # LIMIT keeps an ORDER BY
            with suppress(DatabaseError):  # what cannot stand in a FROM is shown as the server does
                return self._described(f"{head} {source}")[1]
        return found

    def _described(self, statement: str) -> tuple[tuple[Any, ...], list[TextRow]]:
        with self._cursor(statement) as cursor:
            described = cursor.description or ()
            found = cursor.fetchall()
        if not any(isinstance(v, bytes) for row in found[:1] for v in row) and not _has_bytes(described):
            return described, list(found)
        return described, [tuple(text(v, d) for v, d in zip(row, described, strict=True)) for row in found]

    def value(self, statement: str) -> str | None:
        """The first value of the first row, None where there is none."""
        found = self.rows(statement)
        return found[0][0] if found else None

    def close(self) -> None:
        if self._raw is not None and self._raw.open:
            self._raw.close()
        self._raw = None

    def _cursor(self, statement: str, *, told: bool = True) -> Any:
        raw = self._connected()
        cursor = raw.cursor()
        try:
            cursor.execute(statement)
        except Exception as error:
            raise self._refused(error, statement if told else "") from error
        return cursor

    def _connected(self) -> Any:
        if self._raw is None or not self._raw.open:
            raw = self._dial(self._database)
            for setting in (*self._settings, *self._wished):
                self._set(raw, setting)
            self._raw = raw  # only once it is as all our sessions are
        return self._raw

    def _set(self, raw: Any, setting: str) -> None:
        try:
            raw.cursor().execute(setting)
        except Exception as error:
            if setting in self._wished and is_driver_error(error) and code_and_message(error)[0] in _NOT_OURS_TO_SET:
                return
            raw.close()
            raise self._refused(error, setting) from error

    def _refused(self, error: Exception, statement: str) -> Exception:
        if not is_driver_error(error):
            return error
        if code_and_message(error)[0] in CUT:
            self.close()
        return database_error(error, statement)


def is_driver_error(error: Exception) -> bool:
    import pymysql.err

    return isinstance(error, (pymysql.err.MySQLError, OSError))


def _has_bytes(described: tuple[Any, ...]) -> bool:
    return any(d[1] in (_BIT, *range(249, 256)) for d in described)


def text(value: Any, description: Any) -> str | None:
    """A value as text: bits as digits, other binary as ``\\x`` hex."""
    if not isinstance(value, bytes):
        return None if value is None else str(value)
    if description[1] == _BIT:
        return format(int.from_bytes(value, "big"), "b").zfill(int(description[3] or 1))
    return "\\x" + value.hex()


def quote(name: str) -> str:
    """An identifier (manual, 9.2: a backtick inside is doubled)."""
    return "`" + name.replace("`", "``") + "`"


def literal(value: str) -> str:
    """A string literal of the fixed session, which has backslash escapes."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''").replace("\0", "\\0") + "'"
