"""Triggers and rules that fired while a step wrote to their table."""

from __future__ import annotations

import re
from collections.abc import Iterator

from seatrial.checks.case import Case, Cause
from seatrial.model import Attributes, ObjectKey, Schema, TableRef
from seatrial.prose import span
from seatrial.sql import remedy
from seatrial.sql.intent import Intent
from seatrial.sql.look import events_of, names_in

_RULE = re.compile(r"^\s*CREATE RULE .*?\bAS\s+ON (INSERT|UPDATE|DELETE) TO\b", re.DOTALL)
_VERBS = {"removed them": "DELETE", "added them": "INSERT"}


def fired(case: Case, table: TableRef, step: str, effect: str) -> Iterator[Cause]:
    """Triggers and rules on tables that ``step`` wrote to whose text, or whose function's text, names this table.

    ``effect``: "removed them", "added them", or "changed x".
    """
    intent, schema = (case.up, case.before.schema) if step == "up" else (case.down, case.after_up.schema)
    for key, attributes in schema.items():
        if key.kind not in ("trigger", "rule") or key.owner is None or not attributes.get("enabled", True):
            continue
        if _is_fired(case, intent, key.owner, attributes) and _does(case, schema, key, attributes, table, effect):
            yield Cause(
                f"{key.kind} {key.name} on {key.owner} fired while {step} wrote to {key.owner}, and {effect}",
                _advice(case, key, attributes, _steps(case, key.owner, attributes, step)),
            )


def _steps(case: Case, owner: TableRef, attributes: Attributes, step: str) -> str:
    """A trigger that both steps fire is in the way of both."""
    both = all(_is_fired(case, intent, owner, attributes) for intent in (case.up, case.down) if case.down_ran)
    return "up and in down" if case.down_ran and both else step


def _is_fired(case: Case, intent: Intent, owner: TableRef, attributes: Attributes) -> bool:
    definition = str(attributes.get("definition") or "")
    rule = _RULE.search(definition)  # pg_get_ruledef: CREATE RULE r AS ON UPDATE TO t ...
    events = (rule[1].upper(),) if rule else events_of(definition, case.trial.engine)
    writes = {
        "INSERT": intent.inserts_into(owner),
        "UPDATE": intent.updates(owner) or intent.inserts_into(owner),  # an upsert updates
        "DELETE": intent.deletes_from(owner),
        "TRUNCATE": intent.truncates(owner),
    }
    if owner not in case.before.schema.tables():
        # A view, whose INSTEAD OF trigger does the work.
        return any(names_in(s, owner.name, case.trial.engine) for s in intent.statements)
    return any(writes[e] for e in events)


def _does(case: Case, schema: Schema, key: ObjectKey, attributes: Attributes, table: TableRef, effect: str) -> bool:
    text = str(attributes.get("definition") or "")
    bodies = {k.name.split("(")[0]: str(a.get("definition")) for k, a in schema.items() if k.kind == "function"}
    called = [body for name, body in bodies.items() if name in text]
    verb = _VERBS.get(effect, "")
    done = [_RULE.sub("", body, count=1).upper() for body in called or (text,)]
    if not any(verb in body for body in done):
        return False
    return key.owner == table or any(names_in(t, table.name, case.trial.engine) for t in (text, *called))


def _advice(case: Case, key: ObjectKey, attributes: Attributes, step: str) -> str:
    """Only PostgreSQL can switch a trigger off (SQLite and MySQL know no DISABLE TRIGGER)."""
    dialect, owner = case.trial.engine, key.owner
    assert owner is not None
    if dialect == "postgresql":
        off = f"ALTER TABLE {remedy.of(owner, dialect)} DISABLE {key.kind.upper()} {remedy.quoted(key.name, dialect)}"
        on = off.replace(" DISABLE ", " ENABLE ")
        return f"In {step}, switch it off before ({span(off)}) and on again afterwards ({span(on)})."
    again = remedy.create_again(key, attributes, dialect)
    how = f" ({span(again)})" if again else ""
    return f"In {step}, drop it before ({span(remedy.drop(key, dialect))}) and create it again afterwards{how}."
