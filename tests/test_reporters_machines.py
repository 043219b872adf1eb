"""HTML, JUnit, SARIF and GitHub annotations carry the same facts, whatever the names are."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_examples import FINDINGS, HOSTILE, additive, failed, hostile, nothing, passed, report, untested

from seatrial import prose
from seatrial.model import Blocker, Report, Retry, Status
from seatrial.reporters import FILES, REPORTERS, file_of, render

texts = st.text(min_size=1, max_size=8) | st.sampled_from([t for t in HOSTILE if t])
slow = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Tags in order, checked to be balanced, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        self.text.append(data)


def test_every_format_that_is_written_to_a_file_has_a_reporter():
    assert set(FILES) == set(REPORTERS) - {"terminal"}


@pytest.mark.parametrize("name", sorted(REPORTERS))
@pytest.mark.parametrize("example", [passed, failed, nothing, lambda: report()])
def test_every_reporter_is_a_pure_function_of_any_report(name, example):
    assert render(example(), name) == render(example(), name) != ""


@pytest.mark.parametrize("name", sorted(REPORTERS))
@pytest.mark.parametrize("text", HOSTILE)
def test_every_reporter_writes_utf8_without_control_characters(name, text):
    shown = render(hostile(text), name)
    shown.encode("utf-8")
    assert not {c for c in shown if ord(c) < 32} - {"\n", "\t"}


@pytest.mark.parametrize("name", sorted(REPORTERS))
def test_no_reporter_shows_a_value_of_a_redacted_report(name):
    shown = render(failed(), name, redacted=True)
    assert not [v for v in ("10.55", "2024-05-01", "(Ada)", "'completed'") if v in shown]


SHOWN = "DELETE FROM `order` WHERE `a b` = 7 AND c <> `d`"
ADVISED = f"In down, {prose.span(SHOWN)}, or keep {prose.span('`order`')}."


def advised() -> Report:
    found = replace(FINDINGS[0], recommendation=ADVISED)
    judged = replace(additive(), findings=(found,), status=Status.FAILED)
    blocker = Blocker(migration=judged.migration.id, findings=(found,))
    return report(judged, status=Status.FAILED, blockers=(blocker,))


@pytest.mark.parametrize("name", sorted(REPORTERS))
def test_sql_that_holds_backticks_is_shown_whole(name):
    """MySQL and MariaDB quote names with what ends a code span."""
    shown = render(advised(), name)
    if name == "html":
        codes = re.findall("<code>(.*?)</code>", shown)
        assert {SHOWN, "`order`"} <= {html.unescape(c) for c in codes}
    elif name == "markdown":
        inline = [c for t in MarkdownIt().enable("table").parse(shown) for c in t.children or ()]
        assert {SHOWN, "`order`"} <= {c.content for c in inline if c.type == "code_inline"}
        assert not [c for c in inline if c.type == "text" and ("`" in c.content or "WHERE" in c.content)]
    else:
        assert SHOWN in " ".join((html.unescape(shown) if name == "junit" else shown).split())


def test_the_numbers_of_a_statement_with_backticks_are_redacted():
    shown = render(advised(), "markdown", redacted=True)
    assert "`a b` = …" in shown and "= 7" not in shown


# --- HTML -------------------------------------------------------------------------------------------------------------


def test_the_page_is_whole_and_takes_nothing_from_elsewhere():
    page = Page(render(failed(), "html"))
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [v for n, v in page.attributes if n in ("src", "srcset") or (n == "href" and not v.startswith("#"))]
    assert not [n for n, _ in page.attributes if n.startswith("on")]
    assert "url(" not in render(failed(), "html")


@slow
@given(texts)
def test_no_text_adds_a_tag_to_the_page(text):
    calm, page = Page(render(hostile("x"), "html")), Page(render(hostile(text), "html"))
    assert [t for t in page.tags if t != "code"] == [t for t in calm.tags if t != "code"]  # `code` in a message
    assert page.open == []


def test_the_page_tells_what_the_markdown_tells():
    text = " ".join(Page(render(failed(), "html")).text)
    for finding in (f for m in failed().migrations for f in m.findings):
        assert finding.message.split("\n")[0] in text
    for fact in ("exit code 1", "locks of down", "reset-test-db", "10.55", "seed.sql", "2 rows deleted"):
        assert fact in text


def test_a_report_of_many_skipped_migrations_is_still_a_page():
    found = report(additive(), *(untested(Status.SKIPPED, f"{i:04}") for i in range(300)))
    assert "and 250 more" in render(found, "html")


# --- JUnit ------------------------------------------------------------------------------------------------------------


def cases(text: str) -> dict[tuple[str, str], list[str]]:
    root = ElementTree.fromstring(text)
    return {(c.get("classname"), c.get("name")): [e.tag for e in c] for c in root.iter("testcase")}


def test_junit_has_a_case_for_up_and_down_of_every_migration():
    found = cases(render(failed(), "junit"))
    assert len(found) == 12
    assert found["0001 add email_verified", "up"] == found["0001 add email_verified", "down"] == []
    assert found["0002 add status", "up"] == ["failure"]
    assert found["0002 add status", "down"] == ["failure", "system-out"]
    assert found["0003 rename items", "up"] == []
    assert found["0004 unique names", "down"] == ["skipped"]
    assert found["0005 after the failure", "up"] == ["error"]
    assert found["0006 after the failure", "down"] == ["skipped"]


def test_junit_counts_what_it_holds():
    suite = ElementTree.fromstring(render(failed(), "junit"))[0]
    assert [suite.get(n) for n in ("tests", "failures", "errors", "skipped")] == ["12", "4", "2", "3"]


@slow
@given(texts)
def test_junit_is_xml_with_any_text(text):
    calm, found = cases(render(hostile("x"), "junit")), cases(render(hostile(text), "junit"))
    assert [*found.values()] == [*calm.values()]


# --- SARIF ------------------------------------------------------------------------------------------------------------


def test_sarif_holds_a_result_a_fact_with_its_level_and_file():
    run = json.loads(render(failed(), "sarif"))["runs"][0]
    results = {r["ruleId"]: r for r in run["results"]}
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[r["ruleIndex"]]["id"] == r["ruleId"] for r in run["results"])
    assert results["rows-lost"]["level"] == "error"
    assert results["column-order-changed"]["level"] == "note"
    location = results["up-failed"]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "migrations/0004.sql"
    assert location["region"] == {"startLine": 3}
    assert results["schema-not-restored"]["suppressions"][0]["justification"] == "dropped by hand since 2025"
    assert run["invocations"][0]["exitCode"] == 1


def test_sarif_fingerprints_follow_the_finding_and_not_its_rows():
    def prints(found):
        return [r["partialFingerprints"] for r in json.loads(render(found, "sarif"))["runs"][0]["results"]]

    judged = failed().migrations[1]
    fewer = replace(judged, findings=tuple(replace(f, keys=f.keys[:1], count=1) for f in judged.findings))
    assert prints(report(judged)) == prints(report(fewer))


def test_sarif_says_what_was_not_verified():
    notes = json.loads(render(nothing(), "sarif"))["runs"][0]["invocations"][0]
    assert notes["executionSuccessful"] is False
    assert "needs 0004" in notes["toolExecutionNotifications"][0]["message"]["text"]


# --- GitHub -----------------------------------------------------------------------------------------------------------


def test_annotations_stand_at_the_migrations_files():
    lines = render(failed(), "github").splitlines()
    assert lines[0].startswith("::error file=migrations/0002_add_status.sql,line=1,title=0002%3A rows-lost::2 rows of")
    assert next(x for x in lines if "column-order-changed" in x).startswith("::notice ")
    assert lines[-1] == ("::error title=Seatrial::Migration integrity failed - fix 5 critical issues before deployment")


@slow
@given(texts)
def test_no_text_begins_a_command_of_its_own(text):
    calm, lines = (render(hostile(t), "github").splitlines() for t in ("x", text))
    assert len(lines) == len(calm)
    assert [x.split("::")[1].split(" ")[0] for x in lines] == [x.split("::")[1].split(" ")[0] for x in calm]


# --- third parties ----------------------------------------------------------------------------------------------------


def test_a_reporter_of_a_third_party_is_found_by_its_entry_point(tmp_path, monkeypatch):
    (tmp_path / "their_reporter.py").write_text("def render(report):\n    return f'exit {report.exit_code}'\n")
    info = tmp_path / "their_reporter-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-reporter\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[seatrial.reporters]\ntheirs = their_reporter:render\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert render(failed(), "theirs") == "exit 1"
    assert file_of("theirs") == "report.theirs"


def test_every_format_tells_what_was_tried_again():
    found = failed()
    fixed = Retry(
        strategy="fix-seed-data",
        migration="0001",
        attempt=1,
        reason="a key is there twice",
        succeeded=True,
        actions=tuple(f"users {i}: left out" for i in range(60)),
        pause_s=5,
    )
    found = replace(found, retries=(fixed,), trace=replace(found.trace, repaired_seed="SELECT 1;"))
    told = "0001: fix-seed-data succeeded (attempt 1, after 5 s): a key is there twice"
    suite = ElementTree.fromstring(render(found, "junit"))
    assert [(p.get("name"), p.get("value")) for p in suite.iter("property")] == [("retry 1", told)]
    assert suite[0][0].tag == "properties"  # before the cases, as the format's readers want them
    notes = json.loads(render(found, "sarif"))["runs"][0]["invocations"][0]["toolExecutionNotifications"]
    assert f"Retry: {told}" in [n["message"]["text"] for n in notes]
    assert f"::notice::Retry: {told}" in render(found, "github").splitlines()
    page = "".join(Page(render(found, "html")).text)
    assert "(attempt 1, after 5 s)" in page
    assert "... and 10 more, which report.json holds" in page
    assert "The repaired seed is in repaired-seed.sql" in page
    assert "repaired-seed.sql" not in render(found, "html", redacted=True)
