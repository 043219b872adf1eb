"""What stands beside the tables of a database: triggers, views, routines, events, grants, statistics, sequences."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from seatrial.engines import _mysql_catalog_sql as sql
from seatrial.engines._mysql_catalog_code import STATEMENT, declares_text, understood
from seatrial.engines._mysql_dialect import Dialect
from seatrial.engines._mysql_link import Link, TextRow, literal, quote
from seatrial.engines._mysql_show import elements
from seatrial.errors import DatabaseError
from seatrial.model import Attributes, ObjectKey
from seatrial.sql.tokens import Token, code

# What it reads is gone, or its definer is, or may not read it.
_INVALID_VIEW = frozenset({"1356", "1146", "1054", "1305", "1449", "1142", "1143", "1370"})
_NOT_SHOWN = frozenset({"1044", "1142", "1143", "1227"})  # no right to look
_SEQUENCE_TYPE = (
    "SELECT COLUMN_TYPE FROM information_schema.COLUMNS"
    " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {name} AND COLUMN_NAME = 'maximum_value'"
)
_FORM = re.compile(r"\bMATERIALIZED\b|\bJSON RELATIONAL DUALITY$")  # MySQL, from 9.4 on

Objects = dict[ObjectKey, Attributes]


class Beside:
    """Reads one database."""

    def __init__(self, link: Link, database: str, dialect: Dialect) -> None:
        self.link, self.database, self.dialect = link, database, dialect

    def read(self, tables: list[TextRow]) -> Objects:
        """``tables``: rows of the query ``TABLES``."""
        return {
            **self._triggers(),
            **self._views(),
            **self._routines(),
            **self._events(),
            **(self._libraries() if self.dialect.libraries else {}),
            **self._grants(),
            **self._routine_grants(),
            **(self._histograms() if self.dialect.histograms else {}),
            **(self._sequences(tables) if self.dialect.sequences else {}),
        }

    def _rows(self, query: str) -> list[TextRow]:
        pattern = literal(self.database.replace("_", "\\_"))
        return self.link.rows(query.format(db=literal(self.database), pattern=pattern))

    def _routine_grants(self) -> Objects:
        """No view of information_schema has them, and not every user may read the table (manual, 8.2.3)."""
        found: dict[ObjectKey, list[str]] = {}
        with suppress_unshown():
            for grantee, name, kind, privileges in self._rows(sql.ROUTINE_GRANTS):
                names = str(privileges).upper().split(",")
                rest = "*" if "GRANT" in names else ""
                rest += "" if kind == "PROCEDURE" else f" on {str(kind).lower()}"  # both may bear one name
                mine = found.setdefault(ObjectKey("grant", "", "", str(name)), [])
                mine += [f"{grantee}: {p}{rest}" for p in names if p not in ("GRANT", "")]
        return {k: {"privileges": tuple(sorted(v))} for k, v in found.items()}

    def _histograms(self) -> Objects:
        """What the optimizer knows of a column goes with a change of its type (manual, 10.9.6)."""
        return {
            ObjectKey("statistics", "", str(table), f"{table}.{column}"): {
                "buckets": int(buckets or 0),
                "auto_update": updated == "true",
            }
            for table, column, buckets, updated in self._rows(sql.HISTOGRAMS)
        }

    def _triggers(self) -> Objects:
        objects: Objects = {}
        for name, table, timing, event, statement, definer, mode, order, *made_in in self._rows(sql.TRIGGERS):
            body = self._body("TRIGGER", str(name), statement, *made_in)
            objects[ObjectKey("trigger", "", str(table), str(name))] = {
                **body,
                "definition": f"{timing} {event} {body['definition']}",
                "definer": definer,
                "sql_mode": mode,
                "order": int(order or 0),
                "enabled": True,
            }
        return objects

    def _body(self, kind: str, name: str, text: str | None, connection: str | None, database: str | None) -> Attributes:
        """A body and what it takes of the session, by the collations of connection and database that it was made in."""
        body = text or ""
        definition = understood(self.link, self.dialect.name, kind, name, body, str(connection))
        beside = {"database_collation": database} if declares_text(body, self.dialect.name) else {}
        return {"definition": definition, **beside}

    def _views(self) -> Objects:
        objects: Objects = {}
        for name, body, check, definer, security in self._rows(sql.VIEWS):
            shown = str(self.link.rows(f"SHOW CREATE VIEW {quote(str(name))}")[0][1])
            algorithm = re.search(r"ALGORITHM\s*=\s*(\w+)", shown)
            head, _, definition = shown.partition(" VIEW ")
            form = _FORM.search(head)
            objects[ObjectKey("view", "", "", str(name))] = {
                "definition": definition or body,
                "check_option": check,
                "definer": definer,
                "security": security,
                "algorithm": algorithm[1] if algorithm else None,
                "valid": self._is_valid(str(name)),
                **({"form": form[0]} if form else {}),
            }
        return objects

    def _is_valid(self, view: str) -> bool:
        """A view stays when what it reads is dropped, and fails only when it is used (manual, 15.1.23)."""
        try:
            self.link.rows(f"SELECT * FROM {quote(view)} LIMIT 0")
        except DatabaseError as error:
            if error.code in _INVALID_VIEW:
                return False
            raise
        return True

    def _routines(self) -> Objects:
        parameters: dict[tuple[str, str], list[str]] = {}
        for name, kind, mode, parameter, *typed in self._rows(sql.PARAMETERS):
            parameters.setdefault((str(kind), str(name)), []).append(f"{mode} {quote(str(parameter))} {_type(*typed)}")
        objects: Objects = {}
        for row in self._rows(sql.ROUTINES):
            name, kind, body, returns, charset, collation, deterministic, access, security, mode, comment, *rest = row
            definer, language, *made_in = rest
            objects[ObjectKey(str(kind).lower(), "", "", str(name))] = {
                **self._body(str(kind), str(name), body, *made_in),
                "parameters": self._with_defaults(str(kind), str(name), parameters.get((str(kind), str(name)), [])),
                "returns": _type(returns, charset, collation),
                "deterministic": deterministic,
                "data_access": access,
                "security": security,
                "sql_mode": mode,
                "comment": comment or None,
                "definer": definer,
                **(self._language(str(kind), str(name), language) if language not in (None, "SQL") else {}),
            }
        return objects

    def _with_defaults(self, kind: str, name: str, parameters: list[str]) -> tuple[str, ...]:
        """MariaDB has defaults of parameters from 11.8 on, and no view that tells them."""
        if not parameters or not self.dialect.sequences:
            return tuple(parameters)
        shown = str(self.link.rows(f"SHOW CREATE {kind} {quote(name)}")[0][STATEMENT[kind]])
        declared = elements(code(shown, self.dialect.name))[0] if "(" in shown else []
        if len(declared) != len(parameters):
            return tuple(parameters)
        return tuple(p + _default(shown, tokens) for p, tokens in zip(parameters, declared, strict=True))

    def _language(self, kind: str, name: str, language: str) -> Attributes:
        """Of a routine that is not SQL (MySQL, from 9.0 on), and the libraries that it imports."""
        shown = str(self.link.rows(f"SHOW CREATE {kind} {quote(name)}")[0][STATEMENT[kind]])
        using = re.search(r"^\s*USING \((.*)\)$", shown, re.MULTILINE)
        return {"language": language, "libraries": using[1] if using else None}

    def _events(self) -> Objects:
        objects: Objects = {}
        for row in self._rows(sql.EVENTS):
            (
                name,
                definer,
                zone,
                body,
                kind,
                at,
                every,
                unit,
                mode,
                starts,
                ends,
                status,
                completion,
                comment,
                created,
                *made_in,
            ) = row
            objects[ObjectKey("event", "", "", str(name))] = {
                **self._body("EVENT", str(name), body, *made_in),
                "schedule": f"{kind} {at}" if at else f"{kind} EVERY {every} {unit}",
                "schedule_after": _after(created, at),
                # Without STARTS the server writes the time of creation, which is another one after every down.
                "starts": None if starts == created else starts,
                "starts_after": _after(created, starts),
                "ends": ends,
                "ends_after": _after(created, ends),
                "status": status,
                "on_completion": completion,
                "time_zone": zone,
                "sql_mode": mode,
                "comment": comment or None,
                "definer": definer,
            }
        return objects

    def _libraries(self) -> Objects:
        rows = libraries(self.link, self.database)
        names = ("definition", "language", "sql_mode", "comment")
        return {
            ObjectKey("library", "", "", str(name)): dict(zip(names, (v or None for v in told), strict=True))
            for name, *told in rows
        }

    def _grants(self) -> Objects:
        found: dict[ObjectKey, list[str]] = {}
        for grantee, table, column, privilege, grantable in self._rows(sql.GRANTS):
            name = ".".join(part for part in (table, column) if part) or "default"
            key = ObjectKey("grant", "", str(table), name)
            found.setdefault(key, []).append(f"{grantee}: {privilege}{'*' if grantable == 'YES' else ''}")
        return {k: {"privileges": tuple(sorted(v))} for k, v in found.items()}

    def _sequences(self, tables: list[TextRow]) -> Objects:
        objects: Objects = {}
        for name, _, engine, _, _, _, comment, *_ in (r for r in tables if r[1] == "SEQUENCE"):
            row = self.link.rows(
                "SELECT start_value, minimum_value, maximum_value, increment, cache_size, cycle_option"
                f" FROM {quote(str(name))}"
            )[0]
            names = ("start", "minimum", "maximum", "increment", "cache", "cycle")
            type_ = self.link.value(_SEQUENCE_TYPE.format(name=literal(str(name))))
            stored = {"engine": engine, "comment": comment or None, "type": type_}
            objects[ObjectKey("sequence", "", "", str(name))] = dict(zip(names, row, strict=True)) | stored
        return objects


def _default(text: str, tokens: Sequence[Token]) -> str:
    at = next((t.start for t in tokens if t.word in ("DEFAULT", ":=")), None)
    return f" {text[at : tokens[-1].end]}" if at is not None else ""


def _after(created: str | None, time: str | None) -> str | None:
    """From when an event was made until then: what CURRENT_TIMESTAMP + INTERVAL 1 HOUR is, whenever it is said."""
    if not created or not time:
        return None
    return str(datetime.datetime.fromisoformat(time) - datetime.datetime.fromisoformat(created))


def libraries(link: Link, database: str) -> list[TextRow]:
    """Rows of ``LIBRARIES``; none on a server that has no such view."""
    try:
        return link.rows(sql.LIBRARIES.format(db=literal(database)))
    except DatabaseError as error:
        if error.code != _NO_VIEW:
            raise
        return []


_NO_VIEW = "1109"


def _type(type_: str | None, charset: str | None, collation: str | None) -> str | None:
    """Of a parameter or of what comes back: without a character set of its own it was given the database's then."""
    return f"{type_} CHARACTER SET {charset} COLLATE {collation}" if type_ and charset else type_


@contextmanager
def suppress_unshown() -> Iterator[None]:
    """What this user may not see is left out, as the server leaves it out of information_schema."""
    try:
        yield
    except DatabaseError as error:
        if error.code not in _NOT_SHOWN:
            raise
