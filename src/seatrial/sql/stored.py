"""Statements that make MySQL's and MariaDB's views, stored programs, sequences and rights again. Pure.

Definers are left out: they are accounts of the throwaway server. A body of several statements needs a delimiter that
each tool writes otherwise, so that it is not shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from seatrial.model import Attributes, ObjectKey
from seatrial.sql.tokens import quote_string

SAID = frozenset(
    {"algorithm", "cache", "check_option", "comment", "cycle", "data_access", "definition", "deterministic", "ends"}
    | {"increment", "maximum", "minimum", "on_completion", "parameters", "privileges", "returns", "schedule", "type"}
    | {"security", "start", "starts", "status"}
)
"""Attributes that the statements say; others (a definer, the sql_mode of its session) they do not bring back."""


_BEYOND = frozenset({"form", "language", "libraries"})


def statement(key: ObjectKey, attributes: Attributes, name: str, dialect: str) -> str:
    """What makes the object ``name``; empty for other kinds, and where one statement does not do."""
    make = _MAKERS.get(key.kind)
    if make is None or ";" in str(attributes.get("definition") or "") or not attributes.keys().isdisjoint(_BEYOND):
        return ""
    return " ".join(part for part in make(key, attributes, name, dialect) if part)


def _view(key: ObjectKey, attributes: Attributes, name: str, dialect: str) -> Iterator[str]:
    """Its definition begins with its name."""
    yield "CREATE"
    if attributes.get("algorithm") not in (None, "UNDEFINED"):
        yield f"ALGORITHM = {attributes['algorithm']}"
    yield from _security(attributes)
    yield f"VIEW {attributes['definition']}"


def _security(attributes: Attributes) -> Iterator[str]:
    if attributes.get("security") == "INVOKER":
        yield "SQL SECURITY INVOKER"


def _comment(attributes: Attributes, dialect: str) -> Iterator[str]:
    if attributes.get("comment"):
        yield f"COMMENT {quote_string(str(attributes['comment']), dialect)}"


def _routine(key: ObjectKey, attributes: Attributes, name: str, dialect: str) -> Iterator[str]:
    declared = attributes.get("parameters")
    parameters = list(declared) if isinstance(declared, tuple) else []
    if key.kind == "function":  # its parameters are told as IN, and have to be written without
        parameters = [p.removeprefix("IN ") for p in parameters]
    yield f"CREATE {key.kind.upper()} {name}({', '.join(parameters)})"
    if key.kind == "function":
        yield f"RETURNS {attributes['returns']}"
    yield "DETERMINISTIC" if attributes.get("deterministic") == "YES" else ""
    yield str(attributes["data_access"]) if attributes.get("data_access") != "CONTAINS SQL" else ""
    yield from _security(attributes)
    yield from _comment(attributes, dialect)
    yield str(attributes["definition"])


def _event(key: ObjectKey, attributes: Attributes, name: str, dialect: str) -> Iterator[str]:
    kind, _, rest = str(attributes["schedule"]).partition(" ")
    yield f"CREATE EVENT {name} ON SCHEDULE"
    yield rest if kind == "RECURRING" else f"AT {quote_string(rest.removeprefix('TIME '), dialect)}"
    for word in ("starts", "ends"):
        yield f"{word.upper()} {quote_string(str(attributes[word]), dialect)}" if attributes.get(word) else ""
    yield "ON COMPLETION PRESERVE" if attributes.get("on_completion") == "PRESERVE" else ""
    yield {"ENABLED": "", "DISABLED": "DISABLE"}.get(str(attributes["status"]), "DISABLE ON SLAVE")
    yield from _comment(attributes, dialect)
    yield f"DO {attributes['definition']}"


def _sequence(key: ObjectKey, attributes: Attributes, name: str, dialect: str) -> Iterator[str]:
    kind = re.sub(r"\(\d+\)", "", str(attributes.get("type") or "bigint"))
    yield f"CREATE SEQUENCE {name}{'' if kind == 'bigint' else f' AS {kind}'}"  # AS: MariaDB from 11.5 on
    yield f"START WITH {attributes['start']} INCREMENT BY {attributes['increment']}"
    yield f"MINVALUE {attributes['minimum']} MAXVALUE {attributes['maximum']} CACHE {attributes['cache']}"
    yield "CYCLE" if attributes.get("cycle") == "1" else ""
    yield from _comment(attributes, dialect)


_MAKERS: dict[str, Callable[[ObjectKey, Attributes, str, str], Iterator[str]]] = {
    "view": _view,
    "procedure": _routine,
    "function": _routine,
    "event": _event,
    "sequence": _sequence,
}
KINDS = frozenset(_MAKERS) | {"trigger"}
