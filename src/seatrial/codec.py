"""Traces and other plain values <-> JSON; the only module that knows the JSON library.

A trace holds four snapshots a trial and most of their schemas are the same, so schemas are written compactly: one table
of unique objects a trace, each schema a list of indexes into it.

    {"format": "seatrial-trace/1", "objects": [["column", "", "orders", "status", {"type": "text", ...}], ...],
     "trace": {..., "schema": [0, 1, 2], ...}}
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.model import Attribute, Attributes, ObjectKey, Schema, Trace

TRACE_FORMAT = "seatrial-trace/1"


class CodecError(SeatrialError):
    """A file is not what it should be: not JSON, another format, or a trace of another version."""


class _Object(msgspec.Struct, array_like=True, frozen=True):
    kind: str
    namespace: str
    table: str
    name: str
    attributes: dict[str, Attribute]

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.kind, self.namespace, self.table, self.name)


class _File(msgspec.Struct, kw_only=True):
    format: str
    objects: list[_Object] = []  # msgspec copies an empty list
    trace: Any = None


@dataclass(slots=True)
class _ObjectTable:
    """Unique schema objects in the order in which they were first met."""

    objects: list[_Object] = field(default_factory=list)
    places: dict[tuple[ObjectKey, str], int] = field(default_factory=dict)
    schemas: dict[tuple[int, ...], Schema] = field(default_factory=dict)

    def write(self, value: Any) -> list[int]:
        if not isinstance(value, Schema):
            raise TypeError(f"a {type(value).__name__} has no place in a trace")
        return [self._place(k, a) for k, a in value.items()]

    def _place(self, key: ObjectKey, attributes: Attributes) -> int:
        identity = (key, repr(attributes))  # repr, not ==, which takes 1 for True
        if identity not in self.places:
            self.places[identity] = len(self.objects)
            self.objects.append(_Object(key.kind, key.namespace, key.table, key.name, dict(attributes)))
        return self.places[identity]

    def read(self, _type: type, value: Any) -> Schema:
        places = tuple(value)
        if places not in self.schemas:
            self.schemas[places] = Schema({self.objects[i].key: self.objects[i].attributes for i in places})
        return self.schemas[places]


def encode_trace(trace: Trace) -> bytes:
    """One trace as JSON; the same trace gives the same bytes."""
    table = _ObjectTable()
    plain = msgspec.to_builtins(trace, enc_hook=table.write)
    return encode({"format": TRACE_FORMAT, "objects": table.objects, "trace": plain})


def decode_trace(data: bytes) -> Trace:
    """The trace that ``encode_trace`` wrote. Raises CodecError where ``data`` is no trace of this version."""
    try:
        file = msgspec.convert(decode(data), _File)
        if file.format != TRACE_FORMAT:
            raise CodecError(f"this is {file.format!r}, not {TRACE_FORMAT!r}; give the trace.json of a run")
        table = _ObjectTable(objects=file.objects)
        return msgspec.convert(file.trace, Trace, dec_hook=table.read, strict=True)
    except (msgspec.ValidationError, IndexError) as error:
        raise CodecError(f"this is no trace of a run: {error}; give the trace.json that `seatrial run` wrote") from None


def encode(value: Any, *, indent: int = 0) -> bytes:
    """Plain values as JSON in UTF-8, in the order given."""
    try:
        data = msgspec.json.encode(value)
    except UnicodeEncodeError:
        # SQLite's TEXT may hold bytes that are no UTF-8; they are read as lone surrogates, which only \udcXX can write
        return json.dumps(msgspec.to_builtins(value), indent=indent or None).encode("ascii")
    return msgspec.json.format(data, indent=indent) if indent else data


def decode(data: bytes) -> Any:
    """The plain values of a JSON text. Raises CodecError where it is none."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            return json.loads(data)  # knows lone surrogates
        except ValueError as error:
            raise CodecError(f"this is no JSON: {error}; give the trace.json of a run") from None


def json_schema(shape: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a type."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(shape)}
