"""Tables that an event may write to while a trial runs: what it does there is not the migration's work.

The server's event scheduler is ON by default on MySQL, and only servers of our own switch it off; at a URL it is not
ours to switch, and an event cannot be kept from firing without changing what a migration made. So tables that the event
reaches, by its own statements or by triggers, routines, views and foreign keys, are not compared, and told as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from seatrial.model import Attributes, ObjectKey, Schema, TableRef

WHY = (
    "the server's event_scheduler is ON, and an enabled event may write to it at any time; with the scheduler OFF, as"
    " on servers that Seatrial starts, it is compared"
)
_MADE = re.compile(r"\bCREATE\b(?:\s+OR\s+REPLACE)?(?:\s+DEFINER\s*=.{1,200}?)?\s+EVENT\b", re.I | re.S)
_ENABLES = re.compile(r"\bALTER\b(?:\s+DEFINER\s*=.{1,200}?)?\s+EVENT\b", re.I | re.S)
_ANYTHING = re.compile(r"\bPREPARE\b|\bEXECUTE\b", re.I)  # SQL that is put together when it runs


class Firing:
    """Hears of a database's steps and catalogs; tells which tables events may have written to between two of them."""

    def __init__(self) -> None:
        self._noted: list[str] = []
        self._standing: tuple[str, ...] = ()  # bodies of the events enabled at the last look
        self._written: list[frozenset[TableRef]] = []  # by look: since the one before
        self._looks: dict[str, int] = {}  # moment -> number of its look

    def note(self, statements: Iterable[str]) -> None:
        """An event that fires at once is gone again before the catalog is read (ON COMPLETION NOT PRESERVE)."""
        self._noted += [s for s in statements if _MADE.search(s) or _ENABLES.search(s)]

    def look(self, moment: str, schema: Schema, *, is_on: bool) -> frozenset[TableRef]:
        """Tables that an event may have written to since the last look, or may write to now."""
        events = [a for key, a in schema.items() if key.kind == "event"]
        enables = any(_ENABLES.search(text) for text in self._noted)
        now = tuple(str(a.get("definition")) for a in events if a.get("status") == "ENABLED" or enables)
        made = [_body(text) for text in self._noted if _MADE.search(text)]
        self._written.append(reached(schema, {*now, *made, *self._standing}) if is_on else frozenset())
        self._noted, self._standing = [], now
        self._looks[moment] = len(self._written)
        return self._written[-1]

    @property
    def is_concerned(self) -> bool:
        """Whether an event was heard of since the last look, or stood then."""
        return bool(self._noted or self._standing)

    def between(self, one: str, other: str) -> frozenset[TableRef]:
        """Tables that an event may have written to after the earlier of two moments, up to the later."""
        first, last = sorted((self._looks[one], self._looks[other]))
        return frozenset().union(*self._written[first:last])


def _body(statement: str) -> str:
    """Behind DO; ON SCHEDULE EVERY 1 DAY names no table."""
    return re.split(r"\bDO\b", statement, maxsplit=1, flags=re.IGNORECASE)[-1]


def reached(schema: Schema, texts: Iterable[str]) -> frozenset[TableRef]:
    """Tables that these statements may write to, by name: one that is only read is among them."""
    left = "\n".join(texts)
    there = _texts(schema)
    found: set[str] = set()
    while left:
        if _ANYTHING.search(left):
            return frozenset(schema.tables())
        fresh = {name for name in there if name not in found and _names(left, name)}
        found |= fresh
        left = "\n".join(there[name] for name in fresh)
    return frozenset(t for t in schema.tables() if t.name in found)


def _texts(schema: Schema) -> Mapping[str, str]:
    """By name of a table, view or routine: what runs, or is written to, where it is used."""
    texts = {t.name: "" for t in schema.tables()}
    for key, attributes in schema.items():
        if key.kind == "trigger":
            texts[key.table] = f"{texts.get(key.table, '')}\n{attributes.get('definition')}"
        elif attributes.get("type") == "foreign key":  # a cascade changes the child, and fires no trigger there
            parent = str(attributes.get("references"))
            texts[parent] = f"{texts.get(parent, '')}\n{key.table}"
        elif _is_code(key, attributes):
            texts[key.name] = f"{texts.get(key.name, '')}\n{attributes.get('definition')}"
    return texts


def _is_code(key: ObjectKey, attributes: Attributes) -> bool:
    return not key.table and key.kind not in ("table", "event") and "definition" in attributes


def _names(text: str, name: str) -> bool:
    return bool(re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", text, re.IGNORECASE))
