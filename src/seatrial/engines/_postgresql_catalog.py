"""Every object of a PostgreSQL database, in one round trip (manual, chapter 53).

Each part below selects ``kind, namespace, table, name, attributes``; the parts are one statement, which a session
prepares once. Definitions are the engine's own words (``pg_get_*``), read under our search_path. What belongs to an
extension, and what the server makes by itself (row types, array types, indexes behind constraints, an identity's
sequence), is no object.

Columns that only newer versions have are read through ``to_jsonb(row)``, so one text serves 15 to 18.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from seatrial.engines import _postgresql_catalog_beside as beside
from seatrial.engines import _postgresql_catalog_code as code
from seatrial.engines import _postgresql_catalog_tables as tables
from seatrial.engines._postgresql_catalog_rare import rare
from seatrial.engines._postgresql_session import SHADOWS, Session
from seatrial.model import Attribute, Attributes, ObjectKey, Schema
from seatrial.sql import tokenize

_WITH = f"""
WITH ns AS MATERIALIZED (
  SELECT oid, nspname, CASE nspname WHEN 'public' THEN '' ELSE nspname END AS n, nspowner, nspacl
  FROM pg_namespace
  WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', '{SHADOWS}')
    AND nspname !~ '^pg_(temp|toast_temp)_'),
ext AS MATERIALIZED (SELECT classid, objid FROM pg_depend WHERE deptype = 'e' AND refclassid =
   'pg_extension'::regclass),
rel AS MATERIALIZED (
  SELECT c.*, ns.n FROM pg_class c JOIN ns ON ns.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'i', 'I', 'c')
    AND c.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_class'::regclass)),
tab AS MATERIALIZED (SELECT * FROM rel WHERE relkind IN ('r', 'p', 'f')),
typ AS MATERIALIZED (
  SELECT t.*, ns.n FROM pg_type t JOIN ns ON ns.oid = t.typnamespace
  WHERE t.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_type'::regclass)),
fun AS MATERIALIZED (
  SELECT p.*, ns.n, p.proname || '(' || oidvectortypes(p.proargtypes) || ')' AS label
  FROM pg_proc p JOIN ns ON ns.oid = p.pronamespace
  WHERE p.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_proc'::regclass)),
con AS MATERIALIZED (
  SELECT k.*, to_jsonb(k) AS j FROM pg_constraint k
  WHERE k.conrelid IN (SELECT oid FROM tab) AND k.contype IN ('p', 'u', 'f', 'c', 'x'))
"""

_PARTS = (
    tables.TABLES,
    tables.COLUMNS,
    tables.CONSTRAINTS,
    tables.INDEXES,
    tables.SEQUENCES,
    code.VIEWS,
    code.RULES,
    code.TRIGGERS,
    code.FUNCTIONS,
    code.TYPES,
    code.DOMAINS,
    code.POLICIES,
    beside.GRANTS,
    beside.OTHERS,
)
QUERY = _WITH + "UNION ALL".join(_PARTS)


def inspect(session: Session, bookkeeping: Iterable[str] = ()) -> Schema:
    """The schema that stands; bookkeeping tables of migration tools, and what belongs to them, are left out."""
    hidden = frozenset(bookkeeping)
    objects = {
        ObjectKey(str(kind), namespace, table, name): _attributes(json.loads(attributes))
        for kind, namespace, table, name, attributes in _objects(session)
    }
    return Schema({key: a for key, a in objects.items() if not _is_bookkeeping(key, a, hidden)})


def _objects(session: Session) -> list[tuple[Any, ...]]:
    return session.rows(QUERY, prepare=True) + rare(session, _WITH)


def _attributes(raw: dict[str, Any]) -> Attributes:
    found = {name: _attribute(value) for name, value in raw.items()}
    definition = found.get("definition")
    if isinstance(definition, str) and definition.startswith("CREATE OR REPLACE "):
        found["definition"] = _spaced_alike(definition)
    return found


_BODY = re.compile(r"(.*?\n LANGUAGE (?:plpgsql|sql)\b.*?\nAS (\$\w*\$))(.*)(\2)\s*", re.DOTALL)


@lru_cache(maxsize=4096)
def _spaced_alike(definition: str) -> str:
    """A routine whose body has one blank where there was white space or a comment: layout is of no weight."""
    found = _BODY.fullmatch(definition)
    if found is None:
        return definition
    body, end = "", 0
    for token in tokenize(found[3], "postgresql"):
        if token.kind != "comment":
            gap = found[3][end : token.start]
            body += (" " if body and gap else "") + token.text
            end = token.end
    return f"{found[1]} {body} {found[4]}"


def _attribute(value: Any) -> Attribute:
    return tuple(str(v) for v in value) if isinstance(value, list) else value


def is_hidden(namespace: str, table: str, hidden: frozenset[str]) -> bool:
    """Whether a table is a tool's bookkeeping: its raw name, alone or behind its schema, or a whole schema."""
    return bool(hidden) and not hidden.isdisjoint({table, f"{namespace or 'public'}.{table}", f"{namespace}.*"})


def _is_bookkeeping(key: ObjectKey, attributes: Attributes, hidden: frozenset[str]) -> bool:
    owner = key.owner
    if owner is None and key.kind == "sequence" and isinstance(owned := attributes.get("owned_by"), str):
        table = owned.rpartition(".")[0].replace('"', "")
        return is_hidden(key.namespace, table.rpartition(".")[2], hidden)
    return owner is not None and is_hidden(owner.namespace, owner.name, hidden)
