"""Traces and other plain values <-> JSON; the only module that knows the JSON library.

A trace holds four snapshots a trial, and most of what they hold is the same. So unique schema objects, tables' states,
counters and answers of constraints are written once, and a snapshot names them by their places:

    {"format": "seatrial-trace/1", "objects": [["column", "", "orders", "status", {"type": "text", ...}], ...],
     "tables": [{"table": ["", "orders"], "rows": 3, ...}, ...], "counters": [...], "integrity": [...],
     "trace": {..., "before": {"moment": "0:A", "schema": [0, 1, 2], "tables": [0], ...}, ...}}
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.model import Attribute, Attributes, ObjectKey, Schema, Snapshot, Trace, Trial

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
    tables: list[Any] = []
    counters: list[Any] = []
    integrity: list[Any] = []
    trace: dict[str, Any] = {}


@dataclass(slots=True)
class _ObjectTable:
    """Unique schema objects in the order in which they were first met."""

    objects: list[_Object] = field(default_factory=list)
    places: dict[tuple[ObjectKey, str], int] = field(default_factory=dict)
    shared: dict[tuple[ObjectKey, int], int] = field(default_factory=dict)  # the same by the attributes' id
    schemas: dict[tuple[int, ...], Schema] = field(default_factory=dict)
    written: dict[int, tuple[Schema, list[int]]] = field(
        default_factory=dict
    )  # by id, which the schema kept here holds

    def write(self, value: Any) -> list[int]:
        if not isinstance(value, Schema):
            raise TypeError(f"a {type(value).__name__} has no place in a trace")
        if id(value) not in self.written:
            self.written[id(value)] = value, [self._place(k, a) for k, a in value.items()]
        return self.written[id(value)][1]

    def _place(self, key: ObjectKey, attributes: Attributes) -> int:
        same = key, id(attributes)  # most schemas share most of their objects; those written are kept here
        if same not in self.shared:
            identity = (key, repr(attributes))  # repr, not ==, which takes 1 for True
            if identity not in self.places:
                self.places[identity] = len(self.objects)
                self.objects.append(_Object(key.kind, key.namespace, key.table, key.name, dict(attributes)))
            self.shared[same] = self.places[identity]
        return self.shared[same]

    def read(self, _type: type, value: Any) -> Schema:
        places = tuple(value)
        if places not in self.schemas:
            self.schemas[places] = Schema({self.objects[i].key: self.objects[i].attributes for i in places})
        return self.schemas[places]


_SNAPSHOTS = ("before", "after_up", "after_down", "after_reup")  # of a trial
_SHARED = ("tables", "counters", "integrity")  # of a snapshot


@dataclass(slots=True)
class _Pool:
    """Unique values in the order in which they were first met."""

    places: dict[Any, int] = field(default_factory=dict)
    shared: dict[int, tuple[Any, int]] = field(default_factory=dict)  # the same by id, which the value kept here holds

    def put(self, values: tuple[Any, ...]) -> list[int]:
        return [self._place(v) for v in values]

    def _place(self, value: Any) -> int:
        if (known := self.shared.get(id(value))) is None:  # most snapshots share most of their values
            known = self.shared[id(value)] = value, self.places.setdefault(value, len(self.places))
        return known[1]


def encode_trace(trace: Trace) -> bytes:
    """One trace as JSON; the same trace gives the same bytes."""
    table, pools = _ObjectTable(), {name: _Pool() for name in _SHARED}

    def snapshot(held: Snapshot) -> dict[str, Any]:
        shared = {name: pool.put(getattr(held, name)) for name, pool in pools.items()}
        plain = {name: getattr(held, name) for name in ("moment", "size_bytes", "folds_names")}
        return {**plain, "schema": table.write(held.schema), **shared}

    def trial(whole: Trial) -> dict[str, Any]:
        held = {name: shot for name in _SNAPSHOTS if (shot := getattr(whole, name)) is not None}
        rest = msgspec.to_builtins(
            replace(whole, before=None, after_up=None, after_down=None, after_reup=None), enc_hook=table.write
        )
        return {**rest, **{name: snapshot(shot) for name, shot in held.items()}}

    trials = [trial(t) for t in trace.trials]
    plain = {**msgspec.to_builtins(replace(trace, trials=()), enc_hook=table.write), "trials": trials}
    shared = {name: list(pool.places) for name, pool in pools.items()}
    return encode({"format": TRACE_FORMAT, "objects": table.objects, **shared, "trace": plain})


def decode_trace(data: bytes) -> Trace:
    """The trace that ``encode_trace`` wrote. Raises CodecError where ``data`` is no trace of this version."""
    try:
        file = msgspec.convert(decode(data), _File)
        if file.format != TRACE_FORMAT:
            raise CodecError(f"this is {file.format!r}, not {TRACE_FORMAT!r}; give the trace.json of a run")
        for trial in file.trace.get("trials", ()):
            for held in filter(None, (trial.get(name) for name in _SNAPSHOTS)):
                held.update({name: [getattr(file, name)[i] for i in held[name]] for name in _SHARED})
        table = _ObjectTable(objects=file.objects)
        return msgspec.convert(file.trace, Trace, dec_hook=table.read, strict=True)
    except (msgspec.ValidationError, IndexError, KeyError, TypeError, AttributeError) as error:
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
