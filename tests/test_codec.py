"""Traces survive JSON exactly."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_examples import HOSTILE, additive, failed, hostile, nothing, passed

from seatrial.codec import CodecError, decode, decode_trace, encode, encode_trace
from seatrial.model import ChainStep, Environment, ObjectKey, Schema, Snapshot, Step, Trace, Trial

texts = st.text(max_size=12)
attributes = st.dictionaries(
    texts, st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | texts | st.lists(texts, max_size=3).map(tuple)
)
schemas = st.dictionaries(st.builds(ObjectKey, texts, texts, texts, texts), attributes, max_size=6).map(Schema)


def trace_of(*schemas: Schema) -> Trace:
    trials = [
        Trial(index=i, migration=additive().migration, engine="sqlite", before=Snapshot(moment="A", schema=s))
        for i, s in enumerate(schemas)
    ]
    return Trace(environment=Environment(engine="sqlite", version="3"), trials=tuple(trials))


@pytest.mark.parametrize("report", [passed(), failed(), nothing(), *map(hostile, HOSTILE)])
def test_a_trace_comes_back_as_it_was(report):
    assert decode_trace(encode_trace(report.trace)) == report.trace


@settings(max_examples=60, deadline=None)
@given(st.lists(schemas, max_size=3))
def test_any_schema_comes_back_as_it_was(found):
    back = decode_trace(encode_trace(trace_of(*found)))
    assert [dict(t.before.schema) for t in back.trials] == [dict(s) for s in found]
    kinds = [[type(v) for a in t.before.schema.values() for v in a.values()] for t in back.trials]
    assert kinds == [[type(v) for a in s.values() for v in a.values()] for s in found]


def test_whether_names_fold_comes_back():
    trace = trace_of(Schema())
    before = replace(trace.trials[0].before, folds_names=True)
    folding = replace(trace, trials=(replace(trace.trials[0], before=before),))
    assert decode_trace(encode_trace(folding)) == folding


def test_one_and_true_are_two_attributes():
    key = ObjectKey("column", "", "t", "c")
    found = decode_trace(encode_trace(trace_of(Schema({key: {"x": True}}), Schema({key: {"x": 1}}))))
    assert [type(t.before.schema[key]["x"]) for t in found.trials] == [bool, int]


def test_an_object_that_every_snapshot_holds_is_written_once():
    schema = additive().trial.before.schema
    once, often = (len(encode_trace(trace_of(*[schema] * n))) for n in (1, 50))
    assert len(decode(encode_trace(trace_of(*[schema] * 50)))["objects"]) == len(schema)
    assert often < 50 * once / 2


def test_the_same_trace_gives_the_same_bytes():
    assert encode_trace(failed().trace) == encode_trace(failed().trace)


def test_a_chain_keeps_its_schemas():
    schema = additive().trial.before.schema
    step = ChainStep(migration="1", down=Step(), schema_then=schema, schema_now=Schema())
    trace = replace(passed().trace, chain=(step,))
    assert decode_trace(encode_trace(trace)).chain == (step,)


def test_bytes_that_are_no_utf8_survive():
    assert decode(encode({"value": "caf\udce9"})) == {"value": "caf\udce9"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[]", "no trace"),
        (b'{"format": "seatrial-report/1"}', "seatrial-report/1"),
        (b'{"format": "seatrial-trace/2", "objects": [], "trace": {}}', "seatrial-trace/2"),
        (b'{"format": "seatrial-trace/1", "objects": [], "trace": {"trials": 3}}', "no trace"),
    ],
)
def test_what_is_no_trace_is_refused_in_words(data, words):
    with pytest.raises(CodecError, match=words):
        decode_trace(data)
