"""The Markdown report: the template is its contract, and no name or value breaks it."""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_examples import (
    FINDINGS,
    HOSTILE,
    additive,
    destructive,
    failed,
    hostile,
    integrity,
    nothing,
    passed,
    report,
    state,
    untested,
)

from seatrial import prose
from seatrial.model import Finding, NotVerified, Phase, Schema, Severity, Statement, Status, TableRef
from seatrial.reporters import render, words
from seatrial.reporters.markdown import text as md
from seatrial.reporters.markdown.detail import sql_summary
from seatrial.reporters.sent import summary

GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = {"passed": passed, "failed": failed, "nothing": nothing}


def markdown(found, **options):
    return render(found, "markdown", **options)


def golden(name: str, text: str) -> None:
    """Compare first; rewritten only with SEATRIAL_UPDATE_GOLDEN=1."""
    path = GOLDEN / name
    if path.exists() and path.read_text() == text:
        return
    if os.environ.get("SEATRIAL_UPDATE_GOLDEN") != "1":
        assert path.exists(), f"{path.name} is missing; SEATRIAL_UPDATE_GOLDEN=1 writes it"
        assert text == path.read_text()
    path.write_text(text)


@pytest.mark.parametrize("name", EXAMPLES)
def test_golden(name):
    golden(f"{name}.md", markdown(EXAMPLES[name]()))


def test_golden_redacted():
    golden("failed-redacted.md", markdown(failed(), redacted=True))


# --- the template is the contract -------------------------------------------------------------------------------------


def contract(text: str) -> list[str]:
    """Headings, table heads and field labels in order, without what varies."""
    found = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if fenced:
            continue
        if line.startswith("#"):
            found.append(re.sub(r"(Migration|Phase) \d+: .*", r"\1", line))
        elif line.startswith("| ") and line.split("|")[1].strip() == "Migration":
            found.append(line)
        elif label := re.match(r"\*\*[^*]+\*\*( \([^)]*\))?:", line):
            found.append(label.group())
    return found


def template() -> list[str]:
    """The template's fields with one migration that passed and one that failed, and the retry's and plan's branches."""
    return contract((GOLDEN / "template.md").read_text())


def section(lines: list[str], start: str, end: str) -> list[str]:
    first = lines.index(start)
    return lines[first : lines.index(end, first + 1)]


def test_every_section_field_and_table_of_the_template_is_there_in_order():
    ours, theirs = contract(markdown(failed())), template()
    heads = [x for x in theirs if x.startswith("## ")]
    assert [x for x in ours if x.startswith("## ") and x != "## Not Verified"] == heads
    known = [x for x in theirs if x in ours]
    assert set(theirs) - set(ours) == set(), "labels of the template that never come"
    for start, end in itertools.pairwise(heads):
        if start == "## Detailed Test Results":
            continue
        wanted = list(dict.fromkeys(section(known, start, end)))
        got = [x for x in dict.fromkeys(section(ours, start, end)) if x in wanted]
        assert got == wanted


def test_the_fields_of_a_migration_stand_in_the_order_of_the_template():
    theirs = section(template(), "## Detailed Test Results", "## Data Integrity Checks")
    second = [i for i, x in enumerate(theirs) if x == "### Migration"][1:3]
    ours = section(contract(markdown(failed())), "## Detailed Test Results", "## Data Integrity Checks")
    starts = [i for i, x in enumerate(ours) if x == "### Migration"]
    assert ours[starts[1] : starts[2]] == theirs[second[0] : second[1]]


def list_labels(text: str) -> set[str]:
    """``- Label:`` of lists; before IDs stands the table's name, which varies."""
    found = re.findall(r"^ *- ([A-Z][A-Za-z_ ]*):", text, re.MULTILINE)
    return {re.sub(r"(?:(Lost|Orphaned) )?\w+ IDs$", r"\1 x IDs", label).strip() for label in found}


def violated():
    """NULL in a required field and a check that fails, besides what the failed report shows."""
    judged = additive()
    broken = integrity(not_null=("1", "2"), quantity=("7",))
    return report(
        replace(judged, trial=replace(judged.trial, after_up=replace(judged.trial.after_up, integrity=broken)))
    )


def test_every_label_of_the_templates_lists_is_used():
    theirs = list_labels((GOLDEN / "template.md").read_text())
    assert {"Lost x IDs", "Orphaned x IDs", "x IDs", "Expected", "Actual", "Likely cause", "Data Size"} <= theirs
    assert theirs - list_labels(markdown(failed()) + markdown(violated())) == set()


def test_rows_are_called_by_their_table():
    text = markdown(failed()) + markdown(violated())
    for line in (
        "  - Expected: 7 order_items\n  - Actual: 5 order_items\n  - Lost order_item IDs: `3`, `4`\n",
        "- `order_items.order_id → orders.id`: ❌ **2 orphaned order_items** (`0002`, after up)\n"
        "  - Orphaned order_item IDs: `6`, `7`\n",
        "- `users.email`: ❌ **2 users with NULL email** (`0001`, after up)\n  - User IDs: `1`, `2`\n",
        "- `order_items.quantity > 0`: ❌ **1 order_item breaking the check** (`0001`, after up)\n"
        "  - Order_item IDs: `7`\n",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("table", "one", "two"),
    [
        ("orders", "1 order", "2 orders"),
        ("crm.leads", "1 crm.lead", "2 crm.leads"),
        ("addresses", "1 row of addresses", "2 addresses"),
        ("status", "1 row of status", "2 status"),
        ("person", "1 row of person", "2 rows of person"),
        ("s", "1 row of s", "2 s"),
    ],
)
def test_how_rows_are_counted(table, one, two):
    assert (words.rows_of(1, table), words.rows_of(2, table)) == (one, two)


@pytest.mark.parametrize(
    ("expression", "columns", "label"),
    [
        ("quantity > 0", ("quantity",), "order_items.quantity > 0"),
        ("((quantity > (0)::numeric))", ("quantity",), "order_items.quantity > (0)::numeric"),
        ("(`quantity` > 0)", ("quantity",), "order_items.quantity > 0"),
        ("(quantity > 0) OR (quantity < 9)", ("quantity",), "order_items: (quantity > 0) OR (quantity < 9)"),
        ("quantity > order_id", ("quantity", "order_id"), "order_items: quantity > order_id"),
        ("length(quantity) > 0", ("quantity",), "order_items: length(quantity) > 0"),
    ],
)
def test_a_check_is_called_by_its_condition(expression, columns, label):
    judged = additive()
    checks = tuple(
        replace(i, expression=expression, columns=columns) if i.rule == "check-violated" else i for i in integrity()
    )
    shots = {n: replace(getattr(judged.trial, n), integrity=checks) for n in ("before", "after_up", "after_down")}
    text = markdown(report(replace(judged, trial=replace(judged.trial, **shots))))
    assert f"- {md.code(label)}: ✅ All pass\n" in text


@pytest.mark.parametrize(("severity", "risk"), [(Severity.CRITICAL, "❌ HIGH"), (Severity.MEDIUM, "⚠️ MEDIUM")])
def test_the_rollback_risk_is_marked_by_its_severity(severity, risk):
    bad = destructive()
    found = tuple(replace(f, severity=severity, waived="known") for f in bad.findings)
    assert f"| Destructive | {risk} | " in markdown(report(replace(bad, findings=found)))


def test_best_practices_keep_their_text():
    def practices(text):
        return text[text.index("### Best Practices") : text.index("## Migration History")]

    assert practices(markdown(passed())) == practices((GOLDEN / "template.md").read_text())


def test_not_verified_stands_before_the_exit_status_and_the_footer_is_the_templates():
    text = markdown(failed())
    assert text.index("## Migration History") < text.index("## Not Verified") < text.index("## Exit Status")
    assert text.endswith(
        "**Report Generated by**: Gate 10 (Migration Integrity) - /optimize phase\n\n"
        "**Template Version**: 1.0\n\n**Generated**: 2026-01-02T03:04:05Z\n"
    )


@pytest.mark.parametrize("example", [*EXAMPLES.values(), lambda: hostile("x")])
def test_no_placeholder_is_left(example):
    assert not re.search(r"\{[A-Za-z_|{%]|\{IF|Undefined|None,|\bNone\)", markdown(example()))


# --- what it says -----------------------------------------------------------------------------------------------------


def test_every_finding_is_told_once_in_its_migration():
    text = markdown(failed())
    part = text[text.index("### Migration 2") : text.index("### Migration 3")]
    for finding in FINDINGS:
        assert part.count(md.text(finding.message)) == 1, finding.rule


def test_what_states_the_same_fact_is_one_block_and_one_action():
    text = markdown(failed())
    assert "  - Also: collateral-change (HIGH): up removed 2 rows" in text
    assert text.count("**Fix data loss in migration 0002") == 2


def test_a_schema_without_constraints_is_said_to_have_none():
    judged = additive()
    bare = replace(judged.trial.before, schema=Schema(), integrity=())
    trial = replace(judged.trial, before=bare, after_up=bare, after_down=bare)
    text = markdown(report(replace(judged, trial=trial)))
    for kind in ("foreign keys", "unique constraints", "required fields", "check constraints"):
        assert f"No {kind} are declared in this schema." in text
    assert "No orphaned records" not in text


def test_constraints_that_nobody_looked_at_are_not_green():
    judged = additive()
    trial = judged.trial
    shots = {n: replace(getattr(trial, n), integrity=()) for n in ("before", "after_up", "after_down")}
    text = markdown(report(replace(judged, trial=replace(trial, **shots))))
    assert "⚠️ Not verified: foreign keys are declared, and none was looked at" in text
    assert "✅ No orphaned records" not in text


def test_a_query_that_could_not_be_run_is_not_green():
    judged = additive()
    trial = judged.trial
    blind = tuple(replace(i, observed=False, why_not="no right to read") for i in trial.after_up.integrity)
    text = markdown(report(replace(judged, trial=replace(trial, after_up=replace(trial.after_up, integrity=blind)))))
    assert "⚠️ Not verified: `constraint order_items_order_fk`, `constraint orders_user_fk` (no right to read)" in text
    assert "- `users.email`: ⚠️ Not verified (no right to read)" in text


def test_a_migration_whose_statements_were_not_seen_is_not_called_intact():
    doubt = NotVerified(what="x", why="y", migration="0001", rule="collateral-change")
    text = markdown(replace(report(additive()), not_verified=(doubt,)))
    assert "| ⚠️ Not verified | None |" in text
    assert "⚠️ Not verified whether the migration asked for every change in `users`" in text


def test_nothing_tested_is_neither_intact_nor_safe():
    text = markdown(nothing())
    assert "**Data Corruption Detected**: NOT TESTED" in text
    assert "**Rollback Safe**: NOT TESTED" in text
    assert "- the migration (`0005`): needs 0004, which failed" in text
    summary = text[: text.index("### Best Practices")]
    assert "✅" not in summary


def test_a_preexisting_violation_is_not_held_against_the_migration():
    judged = destructive()
    old = replace(FINDINGS[4], preexisting=True, severity=Severity.LOW)
    before = replace(judged.trial.before, integrity=judged.trial.after_up.integrity)
    judged = replace(judged, findings=(old,), status=Status.PASSED, trial=replace(judged.trial, before=before))
    text = markdown(report(judged))
    assert "- Severity: LOW (there before the migration, not held against it)" in text
    assert "`order_items.order_id → orders.id`: ⚠️ **2 orphaned order_items** (`0002`, before up)" in text


def test_many_keys_changes_and_statements_are_counted_not_listed():
    judged = destructive()
    finding = replace(FINDINGS[0], count=5000, keys=tuple((str(i),) for i in range(1000)))
    up = replace(judged.trial.up, statements=tuple(Statement(sql=f"SELECT {i}") for i in range(22)))
    text = markdown(report(replace(judged, findings=(finding,), trial=replace(judged.trial, up=up))))
    assert "`19` and 4,980 more" in text
    assert "-- ... and 14 more" in text
    assert "SELECT 9" not in text


def test_a_long_value_is_shortened_and_its_length_told():
    change = replace(FINDINGS[1].changes[0], old="x" * 2000)
    judged = replace(destructive(), findings=(replace(FINDINGS[1], changes=(change,)),))
    text = markdown(report(judged))
    assert f"`'{'x' * 80}… (2,000 characters)'`" in text
    assert "x" * 81 not in text


def test_of_many_tables_only_those_that_changed_are_listed():
    judged = additive()
    extra = [state(TableRef("", f"t{i:03}"), 1, "abcd") for i in range(200)]
    shots = {n: replace(getattr(judged.trial, n), tables=(*getattr(judged.trial, n).tables, *extra))
             for n in ("before", "after_up", "after_down")}  # fmt: skip
    text = markdown(report(replace(judged, trial=replace(judged.trial, **shots))))
    assert "- 202 other tables: 0 changes" in text
    assert "t100" not in text


def test_skipped_migrations_are_named_once():
    text = markdown(report(additive(), *(untested(Status.SKIPPED, f"{i:04}") for i in range(100, 400))))
    assert len(text.splitlines()) < 500
    assert "Not selected, only applied: `0100 after the failure`" in text


def test_the_same_report_gives_the_same_bytes():
    assert markdown(failed()) == markdown(failed())


def test_a_redacted_report_shows_no_value():
    text = markdown(failed(), redacted=True)
    for value in ("10.55", "10.6", "2024-05-01", "(Ada)", "'completed'"):
        assert value not in text
    assert "`3`, `4`" in text


# --- hostile names and values -----------------------------------------------------------------------------------------


def parsed(text: str):
    return MarkdownIt("commonmark").enable("table").parse(text)


def shape(text: str) -> list[str]:
    """Headings, tables with their rows and cells, rules and fences: what a name must not change."""
    kinds = ("heading_open", "table_open", "tr_open", "td_open", "hr", "fence", "blockquote_open", "code_block")
    return [f"{t.type} {t.tag} {t.level}" for t in parsed(text) if t.type in kinds]


@cache
def calm() -> list[str]:
    return shape(markdown(hostile("x")))


def check_shape(text: str) -> None:
    assert shape(text) == calm()
    inline = {c.type for t in parsed(text) if t.children for c in t.children}
    assert not inline & {"html_inline", "link_open", "image"}
    assert not any(t.type == "html_block" for t in parsed(text))
    text.encode("utf-8")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_names(text):
    check_shape(markdown(hostile(text)))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.text(alphabet=st.sampled_from(list("|`*_<>[]()!#-+=~\\&;:./@$ \n\r\tab1'\"\u2028\x00é🛳")), max_size=12)
    | st.text(max_size=8)
)
def test_no_text_breaks_the_tables(text):
    check_shape(markdown(hostile(text)))


def test_the_cells_of_a_row_are_what_was_put_in():
    text = markdown(hostile("a|b\\|c`d"))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    files = [r for r in rows if "PASS" in r or "FAIL" in r]
    for line in files:
        assert re.split(r"(?<!\\)\|", line)[3].strip() in ("✅ PASS", "❌ FAIL")


@settings(deadline=None)
@given(st.text(max_size=30))
def test_code_shows_its_text_and_nothing_else(text):
    tokens = parsed(f"- x {md.code(text)} y")
    children = next(t for t in tokens if t.type == "inline").children
    assert [c.type for c in children] == ["text", "code_inline", "text"]


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from(list("|`*_<>[]()!#-+=~\\&;:./@ ab1x")), max_size=20))
@example("`1``1`")
def test_text_is_read_as_it_was_written(text):
    shown = "".join(c.content for t in parsed(f"x {md.text(text)}") if t.children for c in t.children)
    pieces = enumerate(prose.parts(text))
    said = "".join(f"'{p}'" if i % 2 and not p.strip() else p for i, p in pieces)  # a blank is shown in quotes
    assert shown.split() == f"x {said}".split()


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from(list("``` ab")), max_size=16))
@example("`` DROP `a b` ``, `c` and `d``e`")
def test_code_in_a_sentence_is_found_as_markdown_finds_it(text):
    (children,) = [t.children for t in parsed(f"x {text} x") if t.children]
    assert [c.content for c in children if c.type == "code_inline"] == prose.parts(f"x {text} x")[1::2]


@example("  ")
@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from(list("``` ab|*")), min_size=1, max_size=16))
def test_what_is_made_code_is_found_again(text):
    assert prose.parts(f"in down, {prose.span(text)}.") == ["in down, ", text, "."]


@pytest.mark.parametrize("text", ["# head", "- list", "> quote", "1. one", "=====", "+ x", "12) y", "---"])
def test_text_at_the_start_of_a_line_begins_nothing(text):
    assert [t.type for t in parsed(md.start(text))] == ["paragraph_open", "inline", "paragraph_close"]


def test_a_fence_cannot_be_closed_from_inside():
    tokens = parsed(md.fence("a\n```\nb\n````` c"))
    assert [t.type for t in tokens] == ["fence"]


def test_a_rule_of_a_third_party_is_shown_by_its_name():
    finding = Finding(rule="my-own-rule", severity=Severity.HIGH, phase=Phase.UP, message="m")
    text = markdown(report(replace(additive(), findings=(finding,), status=Status.FAILED), status=Status.FAILED))
    assert "❌ **My own rule**: m" in text


def test_a_loop_is_told_once_and_what_only_looks_gives_way():
    """Alembic's batches on SQLite ask ten times before they write; a data migration updates row by row."""
    looks = ['PRAGMA main.table_info("t")', "SELECT sql FROM sqlite_master", "SHOW TABLES", "pragma index_list(t);"]
    rows = ["UPDATE t SET a = ? WHERE id = ?"] * 12
    works = ["PRAGMA foreign_keys = off", "SELECT setval('s', 1)", 'CREATE TABLE "x" (a int)', "DROP TABLE t"]
    found = summary([*looks, *rows, *works, "SELECT 1"], 8)
    assert found.shown == ((rows[0], 12), *((w, 1) for w in works))
    assert (found.looks, found.more) == (5, 0)
    assert summary([*looks, works[0]], 8).shown == tuple(
        (x, 1) for x in (*looks, works[0])
    )  # few are shown as they are
    assert summary([f"SELECT {n}" for n in range(12)], 8).more == 4
    step = replace(passed().migrations[0].trial.up, statements=tuple(Statement(sql=x) for x in (*looks * 2, *rows)))
    assert sql_summary(step) == f"```sql\n{rows[0]}; -- 12 times\n-- and 8 that only look\n```"
    assert "-- and 8 that only look" not in sql_summary(replace(step, statements=step.statements[8:]))
