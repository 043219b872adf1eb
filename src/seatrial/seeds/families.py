"""What kind of values a column's type takes, read from the engine's own type text.

The names of all engines live side by side, as they hardly contradict one another; what no engine knows is taken by
SQLite's affinity rules (https://sqlite.org/datatype3.html, 3.1), which any declared text has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from seatrial.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """``name`` decides which values are made; the rest are the limits that they keep."""

    name: str
    length: int | None = None  # characters, bytes or bits
    precision: int | None = None  # decimal digits in all
    scale: int | None = None  # decimal digits behind the point
    low: int = 0
    high: int = 0
    labels: tuple[str, ...] = ()  # of an enum; the keys that JSON is to have
    element: Family | None = None  # of an array or a range; of JSON that is to be an array
    elements: tuple[Family, ...] = ()  # of a composite
    checks: tuple[str, ...] = ()  # a domain's conditions over VALUE
    required: bool = False  # a domain that is NOT NULL
    charset: str = ""  # of a text, where it cannot hold every character

    @property
    def distinct(self) -> int | None:
        """How many values there are, where they are few."""
        if self.name in ("enum", "boolean"):
            return len(self.labels) or 2
        if self.name == "integer" and self.high - self.low < 70000:
            return self.high - self.low + 1
        return 2**self.length if self.name == "bit" and self.length and self.length < 16 else None

    def read(self, text: str | None) -> object:
        """The value behind the engine's text of it, as ``fill`` takes it."""
        if text is None:
            return None
        if self.name == "integer" and re.fullmatch(r"-?\d+", text):
            return int(text)
        if self.name == "float" and _decimal(text) is not None:
            return float(text)
        if self.name == "boolean" and text.lower() in ("t", "true", "1", "f", "false", "0"):
            return text.lower() in ("t", "true", "1")
        if self.name == "bytes" and re.fullmatch(r"\\x([0-9a-fA-F]{2})*", text):
            return bytes.fromhex(text[2:])
        return text

    def takes(self, value: object) -> bool:
        """Whether a stored value can be one of this family; where that is hard to say, it is not."""
        if self.name in ("integer", "float", "boolean", "bytes"):
            kind = {"integer": int, "float": float, "boolean": bool, "bytes": bytes}[self.name]
            return isinstance(value, kind) and (self.name != "integer" or self.low <= int(str(value)) <= self.high)
        if self.name == "decimal":
            return _decimal(str(value)) is not None
        if self.name in ("text", "char"):
            return self.length is None or len(str(value)) <= self.length
        if self.name in ("json", "jsonb"):
            return _is_json(str(value), self)
        pattern = _FORMS.get(self.name)
        return str(value) in self.labels if self.name == "enum" else bool(pattern and re.fullmatch(pattern, str(value)))

    def compare(self, value: object) -> object:
        """The value as conditions see it: every number as Decimal."""
        numeric = self.name in ("integer", "decimal", "float", "money", "year")
        if isinstance(value, str) and numeric:
            return _decimal(value)
        if isinstance(value, str) and self.name == "char":
            return value.rstrip(" ")  # the padding is no part of it (PostgreSQL manual, 8.3; MySQL manual, 13.3.2)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return Decimal(repr(value))
        return value


_DAY = r"\d{4}-\d\d-\d\d"
_FORMS = {
    "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "date": _DAY,
    "timestamp": rf"{_DAY}[ T]\d\d:\d\d(:\d\d(\.\d+)?)?",
    "timestamptz": rf"{_DAY}[ T]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d(:?\d\d)?)?",
}


def _is_json(text: str, asked: Family) -> bool:
    """Whether a text is JSON, and what is asked of it: an array, or an object with certain keys."""
    try:
        value = json.loads(text)
    except ValueError:
        return False
    if asked.element is not None:
        return isinstance(value, list)
    return not asked.labels or (isinstance(value, dict) and set(asked.labels) <= value.keys())


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


_BITS = {
    "tinyint": 8, "int1": 8, "smallint": 16, "int2": 16, "smallserial": 16, "serial2": 16, "mediumint": 24, "int3": 24,
    "middleint": 24, "int": 32, "integer": 32, "int4": 32, "serial": 32, "serial4": 32, "bigint": 64, "int8": 64,
    "bigserial": 64, "serial8": 64, "oid": 31,
}  # fmt: skip
_NAMES = {
    "decimal": "decimal numeric dec fixed number",
    "float": "real float float4 float8 double",
    "boolean": "bool boolean",
    "text": "text varchar nvarchar varchar2 citext tinytext mediumtext longtext string clob name",
    "char": "char character bpchar nchar",
    "bytes": "bytea blob tinyblob mediumblob longblob varbinary raw",
    "binary": "binary",
    "date": "date",
    "time": "time",
    "timetz": "timetz",
    "timestamp": "timestamp datetime smalldatetime datetime2",
    "timestamptz": "timestamptz",
    "year": "year",
    "interval": "interval",
    "uuid": "uuid uniqueidentifier guid",
    "json": "json",
    "jsonb": "jsonb",
    "inet": "inet",
    "address": "inet4 inet6",
    "cidr": "cidr",
    "macaddr": "macaddr",
    "macaddr8": "macaddr8",
    "bit": "bit",
    "varbit": "varbit",
    "xml": "xml",
    "money": "money",
    "tsvector": "tsvector",
    "tsquery": "tsquery",
    "hstore": "hstore",
    "ltree": "ltree",
    "pg_lsn": "pg_lsn",
    "jsonpath": "jsonpath",
    "regclass": "regclass",
    "regtype": "regtype",
    "regproc": "regproc",
    "pg_snapshot": "pg_snapshot",
    "txid_snapshot": "txid_snapshot",
    "xid": "xid",
    "xid8": "xid8",
    "tid": "tid",
    "point": "point",
    "line": "line",
    "lseg": "lseg",
    "box": "box",
    "path": "path",
    "polygon": "polygon",
    "circle": "circle",
    "vector": "vector",
    "spatial": "geometry geography linestring multipoint multilinestring multipolygon geometrycollection",
}
_BY_NAME = {word: name for name, words in _NAMES.items() for word in words.split()}
_RANGES = {
    "int4": "integer", "int8": "bigint", "num": "numeric", "ts": "timestamp", "tstz": "timestamptz", "date": "date",
}  # fmt: skip
_TYPE = re.compile(r"(?P<name>[^(\[]*)(?:\((?P<arguments>[^)]*)\))?(?P<rest>[^\[]*)(?P<array>(?:\[\d*\])*)", re.DOTALL)
_LABELS = re.compile(r"'((?:[^'\\]|''|\\.)*)'")


def family(type_text: str, known: Mapping[str, Family] | None = None) -> Family:
    """``known`` holds the families of the schema's own types (enums, domains), by name."""
    text = type_text.strip()
    if known and text in known:
        return known[text]
    if text.endswith("]") and "[" in text:
        return Family(name="array", element=family(text[: text.rindex("[")], known))
    found = _TYPE.fullmatch(text)
    words = (f"{found['name']} {found['rest']}" if found else text).lower().split()
    first = words[0].strip('"') if words else ""
    if first in ("enum", "set"):
        labels = tuple(label.replace("''", "'") for label in _LABELS.findall(text))
        return Family(name=first, labels=labels)
    numbers = [int(n) for n in re.findall(r"-?\d+", (found["arguments"] or "") if found else "")]
    if first in _BITS:
        return _integer(first, numbers, "unsigned" in words)
    if first.endswith(("range", "multirange")):
        return _range(first)
    return _named(first, words, numbers) or _by_affinity(text, numbers)


def _integer(word: str, numbers: list[int], unsigned: bool) -> Family:
    if word == "tinyint" and numbers == [1]:  # what MySQL makes of BOOLEAN (manual, 11.1.1)
        return Family(name="boolean")
    bits = _BITS[word]
    if unsigned or word == "oid":
        return Family(name="integer", low=0, high=min(2**bits, 2**63) - 1)
    return Family(name="integer", low=-(2 ** (bits - 1)), high=2 ** (bits - 1) - 1)


def _range(word: str) -> Family:
    kind = "multirange" if word.endswith("multirange") else "range"
    element = _RANGES.get(word.removesuffix(kind), "text")
    return Family(name=kind, element=family(element))


def _named(first: str, words: list[str], numbers: list[int]) -> Family | None:
    name = _BY_NAME.get(first)
    if "varying" in words:
        name = {"char": "text", "bit": "varbit"}.get(name or "", name)
    if name in ("timestamp", "time") and "with" in words:
        name += "tz"
    length = numbers[0] if numbers else None
    if name == "decimal":
        scale = numbers[1] if len(numbers) > 1 else 0 if numbers else None
        return Family(name=name, precision=length, scale=scale, low=-1 if "unsigned" not in words else 0)
    if name == "float":
        return Family(name=name, precision=6 if first in ("real", "float4", "float") else 15)
    if name in ("char", "bit", "binary"):
        return Family(name=name, length=length or 1)
    return Family(name=name, length=length) if name else None


def _by_affinity(text: str, numbers: list[int]) -> Family:
    upper = text.upper()
    length = numbers[0] if numbers else None
    if "INT" in upper:
        return replace(_integer("bigint", [], "UNSIGNED" in upper))
    if any(word in upper for word in ("CHAR", "CLOB", "TEXT")):
        return Family(name="text", length=length)
    if "BLOB" in upper:
        return Family(name="bytes")
    if any(word in upper for word in ("REAL", "FLOA", "DOUB")):
        return Family(name="float", precision=15)
    return Family(name="unknown" if text else "text")
