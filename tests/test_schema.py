"""The schema arithmetic: laws as properties, what matters as literals."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from seatrial.model import ObjectKey, Renames, Schema, Snapshot, TableRef, TableState
from seatrial.schema import (
    depths,
    diff,
    key_order,
    only_renames,
    pair_by_name,
    pair_through,
    renamed,
    reordered,
    same_schema,
    with_recased,
)

keys = st.builds(
    ObjectKey,
    st.sampled_from(["table", "column", "index", "view"]),
    st.sampled_from(["", "crm"]),
    st.sampled_from(["", "a", "b"]),
    st.sampled_from(["a", "b", "c"]),
)
attributes = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["x", "y", None]),
        "nullable": st.booleans(),
        "position": st.integers(1, 3),
    },
)
schemas = st.builds(Schema, st.dictionaries(keys, attributes, max_size=8))


@given(schemas, schemas)
def test_diff_is_antisymmetric(one, other):
    assert [d.reversed() for d in diff(one, other)] == diff(other, one)


@given(schemas)
def test_a_schema_does_not_differ_from_itself(schema):
    assert diff(schema, Schema(dict(schema))) == []
    assert same_schema(schema, schema)


@given(schemas, schemas)
def test_every_difference_is_seen(one, other):
    """Schemas without a difference are equal but for positions."""

    def plain(schema):
        return {k: {n: v for n, v in a.items() if n != "position" and v is not None} for k, a in schema.items()}

    if not diff(one, other):
        assert plain(one) == plain(other)


def table(name, *columns, **objects):
    found = {ObjectKey("table", "", name, name): {}}
    for i, column in enumerate(columns, 1):
        found[ObjectKey("column", "", name, column)] = {"type": "text", "position": i, "generated": None}
    for label, attributes_ in objects.items():
        kind, _, rest = label.partition("_")
        found[ObjectKey(kind, "", name, rest)] = attributes_
    return Schema(found)


def test_labels_name_kind_and_place():
    assert ObjectKey("column", "", "orders", "status").label == "column orders.status"
    assert ObjectKey("column", "crm", "orders", "status").label == "column crm.orders.status"
    assert ObjectKey("index", "", "orders", "orders_idx").label == "index orders_idx"
    assert str(TableRef("crm", "leads")) == "crm.leads"


def test_a_position_is_an_order_and_no_value():
    before, after = table("t", "a", "b"), table("t", "b", "a")
    assert diff(before, after) == []
    assert reordered(before, after) == [TableRef("", "t")]
    assert reordered(before, table("t", "a", "x", "b")) == []


def test_an_object_under_another_name_is_found_by_its_definition():
    before = table("t", "a", index_old={"definition": "CREATE INDEX old ON t (a)", "unique": False})
    after = table("t", "a", index_new={"definition": "CREATE INDEX new ON t (a)", "unique": False})
    other = table("t", "a", index_new={"definition": "CREATE INDEX new ON t (a)", "unique": True})
    old, new = ObjectKey("index", "", "t", "old"), ObjectKey("index", "", "t", "new")
    assert renamed(diff(before, after)) == {old: new}
    assert renamed(diff(before, other)) == {}
    assert only_renames(before, after) and not only_renames(before, other) and not only_renames(before, before)


def test_a_name_that_is_a_word_of_the_definition_too():
    key = {"type": "primary key", "definition": "PRIMARY KEY (id)"}
    old, new = (ObjectKey("constraint", "", "t", name) for name in ("id", "t_pkey"))
    assert renamed(diff(Schema({old: key}), Schema({new: key}))) == {old: new}
    assert renamed(diff(Schema({old: key}), Schema({new: {**key, "definition": "PRIMARY KEY (other)"}}))) == {}


def snapshot(schema, *names):
    states = tuple(TableState(table=TableRef("", n), rows=0, checksum="", key=("a",)) for n in names)
    return Snapshot(moment="m", schema=schema, tables=states)


def test_a_renamed_table_is_followed_also_where_two_swap_names():
    old = snapshot(table("t", "a"), "t")
    both = Schema({**table("t", "a"), **table("t_v1", "a")})
    renames = Renames(tables=((TableRef("", "t"), TableRef("", "t_v1")),))
    assert pair_through(old, snapshot(both, "t", "t_v1"), renames)[0].new == TableRef("", "t_v1")
    assert pair_through(old, snapshot(both, "t", "t_v1"), Renames())[0].new == TableRef("", "t")
    assert pair_through(old, snapshot(table("t_v1", "a"), "t_v1"), renames)[0].new == TableRef("", "t_v1")
    assert pair_by_name(old, snapshot(table("t_v1", "a"), "t_v1"))[0].new is None


def test_tables_stand_below_those_they_refer_to():
    refers = {"a": "b", "b": "c", "x": "y", "y": "x", "z": "x", "self": "self", "lost": "nowhere"}
    keys = {ObjectKey("constraint", "", t, "k"): {"type": "foreign key", "references": p} for t, p in refers.items()}
    schema = Schema({**{ObjectKey("table", "", "", t): {} for t in [*refers, "c"]}, **keys})
    assert depths(schema) == {"c": 0, "self": 0, "lost": 0, "b": 1, "a": 2, "x": 3, "y": 3, "z": 3}


def test_renamed_columns_are_followed_and_missing_ones_said():
    old, new = snapshot(table("t", "a", "b", "c"), "t"), snapshot(table("t", "a", "x"), "t")
    renames = Renames(columns=((TableRef("", "t"), "b", "x"),))
    assert pair_through(old, new, renames)[0].columns == (("a", "a"), ("b", "x"), ("c", None))
    assert pair_by_name(old, new)[0].columns == (("a", "a"), ("b", None), ("c", None))


def test_keys_sort_as_people_count():
    assert sorted([("10",), ("9",), (None,), ("b",), ("-1",), ("²",)], key=key_order) == [
        (None,),
        ("-1",),
        ("9",),
        ("10",),
        ("b",),
        ("²",),
    ]


def test_names_in_another_case_are_the_same_where_they_are_folded():
    old, new = snapshot(table("Orders", "a", "Total"), "Orders"), snapshot(table("orders", "a", "total"), "orders")
    assert pair_by_name(old, new)[0].new is None
    (pair,) = pair_by_name(old, dataclasses.replace(new, folds_names=True))
    assert (pair.new, pair.columns) == (TableRef("", "orders"), (("a", "a"), ("Total", "total")))


def test_columns_that_a_step_wrote_in_another_case_are_followed():
    t = TableRef("", "t")
    old, new = snapshot(table("t", "Id", "Gone", "n"), "t"), snapshot(table("t", "ID", "gone", "n"), "t")
    folded, taken = dataclasses.replace(new, folds_names=True), Renames(columns=((t, "n", "gone"),))
    assert with_recased(Renames(), old, new) == Renames()
    assert with_recased(Renames(), old, folded).columns == ((t, "Gone", "gone"), (t, "Id", "ID"))
    assert with_recased(taken, old, folded).columns == ((t, "n", "gone"), (t, "Id", "ID"))


def test_two_names_that_differ_by_case_alone_stay_two():
    both = Schema({**table("Orders", "a", "b", "B"), **table("orders", "a", "b", "B")})
    old = dataclasses.replace(snapshot(both, "Orders", "orders"), folds_names=True)
    assert [p.new for p in pair_by_name(old, old)] == [TableRef("", "Orders"), TableRef("", "orders")]
    gone = dataclasses.replace(snapshot(table("orders", "a", "b"), "orders"), folds_names=True)
    assert [p.new for p in pair_by_name(old, gone)] == [None, TableRef("", "orders")]
    assert pair_by_name(old, gone)[1].columns == (("a", "a"), ("b", "b"), ("B", None))
