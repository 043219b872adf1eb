"""Rows of ours: seed scripts, as psql would read them, and generated rows in one transaction."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from seatrial.engines._postgresql_outside import reaches_outside
from seatrial.engines._postgresql_session import code_of, failure, guarded, kind_of, message, qualified, quote
from seatrial.errors import DatabaseError
from seatrial.model import ErrorKind, StepError, TableRef
from seatrial.sql import SourceStatement, split

if TYPE_CHECKING:
    import psycopg

_TRIGGERS = """
SELECT format('%I.%I', n.nspname, c.relname), quote_ident(g.tgname),
  CASE g.tgenabled WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND c.relkind IN ('r', 'p') AND pg_has_role(c.relowner, 'USAGE')
ORDER BY 1, 2
"""
_TOGETHER = 200  # INSERTs sent as one string: a round trip for each would be most of the cost


def load(connection: psycopg.Connection[Any], text: str, *, trust: bool) -> StepError | None:
    """Run a seed script on a connection with the database's defaults; the first refusal, with its line."""
    import psycopg

    for batch in _batches(split(text, "postgresql")):
        for part in () if trust else batch:
            if why := reaches_outside(part.text, str(connection.info.dbname)):
                return _error(part, _outside(why))
        try:
            _send(connection, batch)
        except psycopg.Error as error:
            if len(batch) == 1:
                return _error(batch[0], message(error), error)
            found = _one_by_one(connection, batch)
            if found is not None:
                return found
    return None


def attempt(connection: psycopg.Connection[Any], text: str, *, trust: bool) -> StepError | None:
    """Run one statement of a seed, in autocommit where no transaction is open."""
    import psycopg

    part = SourceStatement(text=text, line=1, start=0, end=len(text))
    if not trust and (why := reaches_outside(text, str(connection.info.dbname))):
        return _error(part, _outside(why))
    try:
        _send(connection, [part])
    except psycopg.Error as error:
        return _error(part, message(error), error)
    return None


def _outside(why: str) -> str:
    return f"{why}; Seatrial does not run it unless `trust = true` stands under [source]."


def _batches(parts: Sequence[SourceStatement]) -> Iterator[list[SourceStatement]]:
    """Neighbouring INSERTs together, everything else by itself."""
    batch: list[SourceStatement] = []
    for part in parts:
        insert = part.text[:6].upper() == "INSERT"
        if batch and (not insert or len(batch) >= _TOGETHER):
            yield batch
            batch = []
        if insert:
            batch.append(part)
        else:
            yield [part]
    if batch:
        yield batch


def _send(connection: psycopg.Connection[Any], batch: Sequence[SourceStatement]) -> None:
    data = batch[0].copy_data
    if data is not None:
        with connection.cursor() as cursor, cursor.copy(batch[0].text.encode()) as copy:
            copy.write(data.encode())
    else:
        connection.execute(";\n".join(part.text for part in batch).encode())


def _one_by_one(connection: psycopg.Connection[Any], batch: Sequence[SourceStatement]) -> StepError | None:
    """The batch was rolled back as a whole (an implicit transaction): find which statement was refused."""
    import psycopg

    for part in batch:
        try:
            _send(connection, [part])
        except psycopg.Error as error:
            return _error(part, message(error), error)
    return None


def _error(part: SourceStatement, words: str, error: psycopg.Error | None = None) -> StepError:
    position = error.diag.statement_position if error else None
    line = part.line + (part.text.count("\n", 0, int(position) - 1) if position else 0)
    where = error.diag.context if error else None
    told = f"{words}\nCONTEXT: {where}" if where and part.copy_data is not None else words
    code = code_of(error) if error else ""
    kind = ErrorKind.ENVIRONMENT if kind_of(code, words) is ErrorKind.ENVIRONMENT else ErrorKind.SEED
    return StepError(message=told, kind=kind, code=code, statement=part.text, line=line)


@dataclass(slots=True)
class Filling:
    """One connection in one transaction, with triggers and foreign keys off where the server lets us."""

    connection: psycopg.Connection[Any]
    replica_role: bool
    _silenced: list[tuple[str, str, str]] = field(default_factory=list)

    def begin(self) -> None:
        self.execute("SET timezone = 'UTC'")
        if self.replica_role:
            self.execute("SET session_replication_role = replica")
        self.execute("BEGIN")
        if not self.replica_role:
            self._silence()

    def _silence(self) -> None:
        """A table's owner may turn its triggers off, but not foreign keys; those wait where they can."""
        self.execute("SET CONSTRAINTS ALL DEFERRED")
        self._silenced = [(str(table), str(name), str(how)) for table, name, how in self.execute(_TRIGGERS)]
        for table, name, _ in self._silenced:
            self.execute(f"ALTER TABLE ONLY {table} DISABLE TRIGGER {name}")

    def commit(self) -> None:
        if self._silenced:
            self.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a table with checks that wait cannot be altered
        for table, name, how in self._silenced:
            self.execute(f"ALTER TABLE ONLY {table} {how} TRIGGER {name}")
        self.execute("COMMIT")

    def execute(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement; ``%s`` stands for a parameter where there are any. Raises DatabaseError."""
        return guarded(lambda: self._execute(sql, params))

    def _execute(self, sql: str, params: Sequence[object]) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(sql.encode(), params or None)
        return cursor.fetchall() if cursor.description else []

    def executemany(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Run a statement once for each row of parameters. Raises DatabaseError."""

        def act() -> None:
            with self.connection.cursor() as cursor:
                cursor.executemany(sql.encode(), rows)

        guarded(act)

    def insert(self, table: TableRef, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """All rows or none, by COPY: it takes any type's text, and given values for identity columns (manual, COPY)."""
        if not columns:
            return self._all_or_none(lambda: self._each(f"INSERT INTO {qualified(table)} DEFAULT VALUES", rows))
        sql = f"COPY {qualified(table)} ({', '.join(quote(c) for c in columns)}) FROM STDIN"
        return self._all_or_none(lambda: self._copy(sql, rows))

    def _copy(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        with self.connection.cursor() as cursor, cursor.copy(sql.encode()) as copy:
            for row in rows:
                copy.write_row(row)

    def _each(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        for row in rows:
            self.connection.execute(sql.encode(), row or None)

    def update(
        self, table: TableRef, key: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """Each row holds the key's values, then the new ones."""
        assigned = ", ".join(f"{quote(c)} = %s" for c in _doubled(columns))
        matched = " AND ".join(f"{quote(c)} = %s" for c in _doubled(key))
        sql = f"UPDATE {qualified(table).replace('%', '%%')} SET {assigned} WHERE {matched}"
        self._all_or_none(lambda: self._each(sql, [[*row[len(key) :], *row[: len(key)]] for row in rows]))

    def _all_or_none(self, act: Callable[[], None]) -> None:
        import psycopg

        self.execute("SAVEPOINT seatrial")
        try:
            act()
        except psycopg.Error as error:
            self.execute("ROLLBACK TO SAVEPOINT seatrial")
            raise _refusal(error) from None
        self.execute("RELEASE SAVEPOINT seatrial")


def _refusal(error: psycopg.Error) -> DatabaseError:
    """With COPY, only the context says which column a value was for."""
    refused = failure(error)
    column = re.match(r"COPY .*, line \d+, column [^:]+", error.diag.context or "", re.DOTALL)
    words = f"{refused}\nCONTEXT: {column[0]}" if column else str(refused)
    return DatabaseError(words, code=refused.code, kind=refused.kind)


def _doubled(names: Sequence[str]) -> list[str]:
    """A ``%`` in a name is no mark for a parameter."""
    return [name.replace("%", "%%") for name in names]
