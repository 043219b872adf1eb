"""Findings of one cause are one fact; what a step did is said in words that were observed."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from report_examples import (
    FINDINGS,
    ORDERS,
    SHOP,
    USERS,
    additive,
    destructive,
    foreign_key,
    index,
    irreversible,
    snapshot,
    state,
    step,
    table,
)

from seatrial.facts import blocking, facts
from seatrial.model import Finding, ObjectKey, Phase, Severity, Statement, TableDiff
from seatrial.reporters.changes import down_view, parts, up_view


def finding(rule: str, severity: Severity = Severity.HIGH, **more: object) -> Finding:
    return Finding(rule=rule, severity=severity, phase=Phase.DOWN, message=rule, **more)  # type: ignore[arg-type]


calm = settings(deadline=None)  # other work on the machine must not fail a test
rules = st.sampled_from(
    ["rows-lost", "values-lost", "collateral-change", "conversion-loss", "down-does-nothing", "schema-not-restored",
     "collateral-schema-loss", "up-failed", "half-applied", "orphaned-rows", "anything"]
)  # fmt: skip
findings = st.lists(
    st.builds(
        Finding,
        rule=rules,
        severity=st.sampled_from(Severity),
        phase=st.sampled_from(Phase),
        message=st.just("m"),
        table=st.sampled_from([None, "a", "b"]),
        columns=st.sampled_from([(), ("x",), ("y",)]),
        keys=st.sampled_from([(), (("1",),), (("2",),)]),
        waived=st.sampled_from([None, "reason"]),
    ),
    max_size=8,
)


# --- facts ------------------------------------------------------------------------------------------------------------


@calm
@given(findings)
def test_every_finding_is_in_exactly_one_fact(found):
    told = [f for fact in facts(found) for f in fact.findings]
    assert sorted(map(repr, told)) == sorted(map(repr, found))


def test_an_index_that_could_not_be_built_is_told_once():
    """PostgreSQL's CREATE UNIQUE INDEX CONCURRENTLY over duplicates: it fails, and leaves an invalid index behind."""
    here = {"table": "t", "objects": ("index t_v",)}
    failed = finding("up-failed", Severity.CRITICAL, recommendation="mend the rows", causes=("rows do not fit",))
    invalid = finding("invalid-index", **here, recommendation="drop it", causes=("the build failed",))
    half = finding("half-applied", Severity.MEDIUM, objects=here["objects"], recommendation="and so", causes=("alone",))
    twice = finding("duplicate-keys", **here, columns=("v",), keys=(("1",),), recommendation="decide", causes=("",))
    (fact,) = facts([failed, half, twice, invalid])
    assert {f.rule for f in fact.also} == {"invalid-index", "half-applied", "duplicate-keys"}
    assert fact.recommendations == ("mend the rows", "drop it")
    assert fact.causes == ("rows do not fit", "the build failed")
    more = replace(half, objects=("index t_v", "table u"))
    assert "and so" in facts([failed, more, twice, invalid])[0].recommendations
    elsewhere = replace(twice, objects=("constraint t_key",))
    assert [f.main.rule for f in facts([failed, elsewhere, invalid])] == ["up-failed", "duplicate-keys"]


@calm
@given(findings)
def test_a_fact_mixes_no_waived_with_unwaived_and_tells_the_gravest_first(found):
    for fact in facts(found):
        assert len({f.waived for f in fact.findings}) == 1
        assert fact.main.severity == fact.severity


@calm
@given(findings)
def test_a_grave_finding_always_blocks(found):
    grave = [f for f in found if f.severity.rank >= Severity.HIGH.rank and f.waived is None]
    blocked = {id(f) for fact in blocking(found) for f in fact.findings}
    assert {id(f) for f in grave} <= blocked
    assert bool(grave) == bool(blocked)


def test_losses_gather_what_says_the_same():
    told = [[f.rule for f in fact.findings] for fact in facts(FINDINGS)]
    assert told == [
        ["rows-lost", "collateral-change"],
        ["values-lost", "conversion-loss"],
        ["orphaned-rows"],
        ["written-rows-lost"],
        ["column-order-changed"],
        ["schema-not-restored"],
    ]


def test_other_rows_other_columns_or_another_table_are_another_fact():
    lost = finding("values-lost", Severity.CRITICAL, table="a", columns=("x",), keys=(("1",),))
    for other in ({"table": "b"}, {"columns": ("y",)}, {"keys": (("2",),)}):
        same = {"table": "a", "columns": ("x",), "keys": (("1",),), **other}
        assert len(facts([lost, finding("conversion-loss", **same)])) == 2


def test_a_down_that_does_nothing_and_all_that_follows_is_one_blocker():
    lost = finding("values-lost", Severity.CRITICAL, table="a")
    found = [finding("down-does-nothing"), lost, finding("schema-not-restored", table="b")]
    (fact,) = blocking(found)
    assert [f.rule for f in fact.findings] == ["values-lost", "down-does-nothing", "schema-not-restored"]


def test_what_stood_before_or_is_waived_blocks_nothing():
    assert not blocking([finding("rows-lost", waived="known"), finding("orphaned-rows", preexisting=True)])
    assert len(blocking([finding("anomaly", Severity.MEDIUM)], Severity.MEDIUM)) == 1


# --- changes in words -------------------------------------------------------------------------------------------------


def words(view, name):
    return next(t.changes for t in view.tables if t.name == name)


def test_a_step_that_did_nothing_changed_nothing():
    trial = replace(additive().trial, after_up=snapshot("B"))
    assert up_view(trial).changed == ()


def test_columns_that_are_renamed_are_neither_added_nor_dropped():
    judged = additive()
    renamed = {**SHOP, **table("users", {"id": "integer!", "email": "text!", "full_name": "text"})}
    del renamed[ObjectKey("column", "", "users", "name")]
    names = replace(judged.trial.renames, columns=((USERS, "name", "full_name"),))
    trial = replace(judged.trial, after_up=snapshot("B", renamed), renames=names, up_changes=())
    assert words(up_view(trial), "users") == ("1 column renamed",)
    assert words(down_view(trial), "users") == ("1 column renamed",)


def test_a_renamed_table_loses_no_rows_in_words():
    trial = irreversible().trial
    trial = replace(trial, after_down=trial.before, undone=(TableDiff(table=trial.renames.tables[0][1], lost_count=7),))
    assert words(down_view(trial), "order_lines") == ("renamed to order_items",)
    assert words(down_view(trial), "order_items") == ("renamed from order_lines",)


def test_a_dropped_column_is_no_update_of_its_rows():
    change = words(up_view(destructive().trial), "orders")
    assert "2 rows updated" in change
    assert "1 column dropped" in change


def test_the_backfill_of_a_new_column_is_told_from_what_the_database_counted():
    judged = additive()
    up = step(
        "ALTER TABLE users ADD COLUMN email_verified boolean",
        Statement(sql="UPDATE users SET email_verified = true WHERE id < 3", rows=2),
        Statement(sql="UPDATE orders SET total = total", rows=5),
    )
    view = up_view(replace(judged.trial, up=up))
    assert words(view, "users") == ("1 column added", "1 index created", "2 rows updated")
    assert words(view, "orders") == ()


def test_rows_that_were_not_compared_are_only_counted():
    trial = replace(additive().trial, undone=None, after_down=snapshot("C", None, state(ORDERS, 4, "ffff")))
    assert words(down_view(trial), "orders") == ("row count changed from 5 to 4",)


def test_a_table_is_counted_whole():
    more = {
        **SHOP,
        **table("notes", {"id": "integer!"}),
        **index("n", "notes", "id"),
        **foreign_key("f", "notes", "id", "users"),
    }
    trial = replace(additive().trial, after_up=snapshot("B", more))
    assert parts(up_view(trial)) == {("table", "created"): 1}


def test_only_the_order_of_columns():
    columns = {"id": "integer!", "name": "text", "email": "text!"}
    trial = replace(additive().trial, after_up=snapshot("B", {**SHOP, **table("users", columns)}))
    assert words(up_view(trial), "users") == ("columns reordered",)


def test_objects_of_no_table_are_named():
    other = {**SHOP, ObjectKey("function", "", "", "touch()"): {"definition": "other"}}
    trial = replace(additive().trial, after_up=snapshot("B", other))
    assert up_view(trial).objects == ("function touch() altered",)


def test_what_up_lost_is_told_before_the_down_that_does_not_bring_it_back():
    lost = finding("collateral-schema-loss", table="a", objects=("trigger t",))
    found = [finding("down-does-nothing"), lost, finding("schema-not-restored", table="a", objects=("trigger t",))]
    (fact,) = facts(found)
    assert fact.main is lost


def test_values_that_are_gone_with_their_column_are_one_fact_and_a_lost_index_is_another():
    lost = finding("values-lost", Severity.CRITICAL, table="a", columns=("x",))
    column = finding("schema-not-restored", table="a", columns=("x",), objects=("column a.x", "index i"))
    assert len(facts([lost, column])) == 1
    assert len(facts([lost, finding("schema-not-restored", table="a", objects=("index i",))])) == 2


def test_rows_that_are_gone_with_their_table_are_one_fact():
    lost = finding("rows-lost", Severity.CRITICAL, table="a", keys=(("1",),))
    assert len(facts([lost, finding("schema-not-restored", table="a", objects=("table a",))])) == 1


def test_each_loss_under_a_down_that_does_nothing_is_a_fact_of_its_own():
    idle, left = finding("down-does-nothing"), finding("schema-not-restored", table="c", objects=("table c",))
    lost = [finding("rows-lost", Severity.CRITICAL, table=t) for t in ("a", "b")]
    told = [[f.rule for f in fact.findings] for fact in facts([idle, left, *lost])]
    assert told == [["rows-lost", "down-does-nothing", "schema-not-restored"], ["rows-lost"]]
    assert [[f.rule for f in fact.findings] for fact in facts([idle, left])] == [
        ["down-does-nothing", "schema-not-restored"]
    ]
