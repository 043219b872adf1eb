"""How the attributes of a schema object read in a sentence."""

from __future__ import annotations

from collections.abc import Iterable

from seatrial.checks.case import listed, shorten
from seatrial.model import Attribute
from seatrial.prose import span
from seatrial.schema import Difference
from seatrial.sql.remedy import CONSTRAINTS

SHOWN, LEAD = 60, 25  # characters of a value, and how many of them may stand before the first difference

_FLAGS = {
    "auto_increment": "auto-incremented",
    "cycle": "CYCLE",
    "no_inherit": "NO INHERIT",
    "nulls_not_distinct": "NULLS NOT DISTINCT",
    "stored": "STORED",
    "strict": "STRICT",
    "unique": "UNIQUE",
    "without_rowid": "WITHOUT ROWID",
}
_CLAUSES = {
    "collation": "COLLATE",
    "default": "DEFAULT",
    "on_conflict": "ON CONFLICT",
    "on_delete": "ON DELETE",
    "on_update": "ON UPDATE",
}
_IN_DEFINITION = {"collations", "columns", "keys", "predicate", "terms", "unique"}
"""What an index's definition says as well."""
_NOT_IN_DEFINITION = {
    "clustered", "comment", "enforced", "index_comment", "inherited", "options", "replica_identity", "tablespace",
    "valid",
}  # fmt: skip
"""What a constraint's definition does not say: its difference is not these."""


def otherwise(change: Difference) -> str:
    """``column t.c has lost its default ('new') and is no longer NOT NULL``."""
    parts = [_differs(name, old, new) for name, (old, new) in _told(change).items()]
    if change.key.kind == "database" and change.key.name.endswith("s"):  # settings, large objects
        parts = [_of_several(p) for p in parts]
    return f"{change.key.label} {listed(parts, 3)}"


_OF_SEVERAL = {"has": "have", "is": "are"}


def _of_several(said: str) -> str:
    verb, _, rest = said.partition(" ")
    return f"{_OF_SEVERAL.get(verb, verb)} {rest}"


def was(change: Difference) -> str:
    """``NOT NULL, DEFAULT 'new'``: what an object was declared with; too long a value is cut."""
    return ", ".join([_clause(name, old) for name, (old, _) in _told(change).items()][:4])


def _told(change: Difference) -> dict[str, tuple[Attribute, Attribute]]:
    """The attributes that differ, none twice and the definition first: the others can be many, and few are shown.

    A constraint's definition only repeats its other attributes, and an index's tells more than they do. That of a view,
    trigger, rule or routine is what the object does, and nothing else says it.
    """
    found = change.attributes
    if "definition" not in found or len(found) == 1:
        return found
    twice: set[str] = _IN_DEFINITION if change.key.kind == "index" else set()
    if change.key.kind in CONSTRAINTS and found.keys() - _NOT_IN_DEFINITION != {"definition"}:
        twice = {"definition"}
    first = {"definition": found["definition"]}
    return {name: value for name, value in (first | found).items() if name not in twice}


def _differs(name: str, old: Attribute, new: Attribute) -> str:
    if name == "nullable":
        return "is no longer NOT NULL" if new else "is NOT NULL now"
    called = name.replace("_", " ")
    if isinstance(old, bool) or isinstance(new, bool):
        flag = _FLAGS.get(name, called)
        return f"is {flag} now" if new else f"is no longer {flag}"
    if name == "references":
        return f"references {_instead(old, new)}"
    if _value(new) == "none":
        lost = shorten(_value(old), SHOWN)
        return (
            f"is no longer generated ({lost})" if name == "generated" else f"has lost its {_clause_name(name)} ({lost})"
        )
    return f"has {_clause_name(name)} {_instead(old, new)}"


def _clause_name(name: str) -> str:
    clause = _CLAUSES.get(name, "")
    return clause if clause.startswith("ON ") else name.replace("_", " ")


def _clause(name: str, old: Attribute) -> str:
    if name == "nullable":
        return "without NOT NULL" if old else "NOT NULL"
    called = name.replace("_", " ")
    if isinstance(old, bool):
        return f"{'' if old else 'not '}{_FLAGS.get(name, called)}"
    if old in (None, "", ()):
        return f"without {called}"
    return f"{_CLAUSES.get(name, called)} {shorten(_value(old))}"


def _instead(old: Attribute, new: Attribute) -> str:
    """``new instead of old``; of long texts what stands around the first difference."""
    before, now = " ".join(_value(old).split()), " ".join(_value(new).split())
    pairs = enumerate(zip(before, now, strict=False))
    same = next((i for i, (a, b) in pairs if a != b), min(len(before), len(now)))
    start = same - LEAD if max(len(before), len(now)) > SHOWN and same > LEAD else 0
    return f"{_window(now, start)} instead of {_window(before, start)}"


def _window(text: str, start: int) -> str:
    cut = ("…" if start else "") + text[start:]
    return cut if len(cut) <= SHOWN else cut[: SHOWN - 1] + "…"


def _value(value: Attribute) -> str:
    if value is None or value == "" or (isinstance(value, tuple) and not any(value)):
        return "none"
    return ", ".join(v or "none" for v in value) if isinstance(value, tuple) else str(value)


def code(statements: Iterable[str]) -> str:
    """Statements as one piece of code; empty where there is none."""
    return span("; ".join(dict.fromkeys(s for s in statements if s)))
