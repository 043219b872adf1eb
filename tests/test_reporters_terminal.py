"""The summary on a terminal and live progress."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from report_examples import FINDINGS, HOSTILE, additive, failed, hostile, nothing, passed, report, untested
from rich.cells import cell_len

from seatrial.model import CHAIN_DOWN, Event, Retry, Status
from seatrial.reporters.look import Look
from seatrial.reporters.progress import Progress, look
from seatrial.reporters.terminal import render

ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("example", [passed, failed, nothing])
def test_lines_keep_to_the_width(example, width):
    assert max(cell_len(line) for line in render(example(), Look(width=width)).splitlines()) <= width


def test_every_migration_has_a_line_with_its_outcome():
    text = render(failed())
    for line in ("✅ 0001 add email_verified", "❌ 0002 add status", "⚠️  0005 after the failure", "-  0006 after"):
        assert line in text
    assert re.search(r"0001 add email_verified +up +12\.3ms +down +3\.5ms +additive", text)
    assert "needs 0004, which failed" in text
    assert "CRITICAL: rows-lost (order_items), values-lost" in text


def test_a_failure_shows_its_evidence():
    text = " ".join(render(failed()).split())
    assert "rows: 3, 4" in text
    assert "1 total: '10.55' → '10.6'" in text
    assert "1 completed_at: '2024-05-01 10:00:00' → NULL" in text
    assert "cause: DELETE FROM orders cascades through order_items_order_fk" in text
    assert text.count("values written to orders.status") == 1


def test_it_ends_with_the_outcome_and_says_what_was_not_verified():
    text = render(replace(failed(), files=("out/report.json",)))
    assert "locks of down (0002): the connection was not ours" in text
    assert "  out/report.json" in text
    assert text.endswith(
        "❌ FAILED, exit code 1: 1 of 4 tested migrations passed, 5 blockers\n"
        "   Migration integrity failed - fix 5 critical issues before deployment\n"
    )


def test_a_finding_below_the_threshold_is_no_failure():
    judged = replace(additive(), findings=(FINDINGS[6],))
    text = render(report(judged))
    assert "Also seen\n  0001: column-order-changed (LOW, down) orders: completed_at came back" in text
    assert "❌" not in text


def test_what_stays_the_same_is_told_once():
    first = replace(additive(), findings=(FINDINGS[6],))
    later = [replace(first, migration=replace(first.migration, id=v, version=v)) for v in ("0002", "0003")]
    text = " ".join(render(report(first, *later)).split())
    assert "Also seen 0001 and 2 later migrations: column-order-changed (LOW, down) orders: " in text
    assert text.count("column-order-changed (LOW, down)") == 1


def test_a_retry_says_what_it_did():
    done = tuple(f"users {i}: left out, it cannot be saved" for i in range(7))
    retry = Retry(strategy="fix-seed-data", migration="0001", attempt=1, reason="x", succeeded=True, actions=done)
    text = render(replace(report(additive()), retries=(retry,)))
    assert (
        "Retries\n  0001: fix-seed-data succeeded (attempt 1): x\n      users 0: left out, it cannot be saved\n" in text
    )
    assert "      users 4: left out, it cannot be saved\n      and 2 more, which the report lists\n" in text
    assert "Retries" not in render(report(additive()))


def test_many_that_were_not_selected_are_counted():
    few = render(report(additive(), *(untested(Status.SKIPPED, f"{i:04}") for i in range(20))))
    assert few.count("not selected by --only") == 20
    many = render(report(additive(), *(untested(Status.SKIPPED, f"{i:04}") for i in range(21))))
    assert "-  21 migrations only applied\n" in many
    assert "not selected" not in many


def test_a_dumb_terminal_gets_ascii_and_no_colour():
    text = render(failed(), Look(ascii=True))
    assert text.isascii()
    assert "FAIL 0002 add status" in text
    assert "'10.55' -> '10.6'" in text


def test_colour_adds_nothing_but_colour():
    assert ANSI.sub("", render(failed(), Look(colour=True))).split() == render(failed()).split()


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_reaches_the_terminal_raw(text):
    shown = render(hostile(text))
    assert not {c for c in shown if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000}


# --- what a stream can show -------------------------------------------------------------------------------------------


def test_no_color_is_respected(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert look(Terminal()).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not look(Terminal()).colour


def test_a_dumb_terminal_and_a_pipe_are_known(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert look(Terminal()) == Look(width=look(Terminal()).width, ascii=True)
    monkeypatch.setenv("TERM", "xterm")
    assert look(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) == Look()
    assert look(io.TextIOWrapper(io.BytesIO(), encoding="latin-1")).ascii


# --- progress ---------------------------------------------------------------------------------------------------------

EVENTS = (
    Event("plan", "dbmate: 2 of 2 migrations"),
    Event("trial", "add status", "0001", 0, 2),
    Event("step", "up", "0001", 0, 2),
    Event("note", "starting again: \x1b[31m lost [bold]connection[/bold]"),
    Event("tried", "add status", "0001", 0, 2),
    Event("trial", "add more", "0002", 1, 2),
    Event("step", CHAIN_DOWN, "0001", 0, 2),
    Event("done", "2 migrations tested"),
)


def test_a_pipe_gets_a_line_a_trial():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with Progress(stream) as progress:
        for event in EVENTS:
            progress(event)
    assert stream.buffer.getvalue().decode().splitlines() == [
        "dbmate: 2 of 2 migrations",
        "[1/2] 0001 add status",
        "starting again: \\x1b[31m lost [bold]connection[/bold]",
        "[2/2] 0002 add more",
        "2 migrations tested",
    ]


def test_a_pipe_of_another_encoding_is_no_reason_to_stop():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    Progress(stream)(Event("note", "größer → kleiner"))
    assert stream.buffer.getvalue().decode().strip() == "gr\\xf6\\xdfer \\u2192 kleiner"


def test_the_way_all_the_way_down_takes_nothing_back(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with Progress(stream) as progress:
        for event in EVENTS[:-1]:
            progress(event)
    assert "2/2 0001 chain down" in ANSI.sub("", stream.getvalue())


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with Progress(stream) as progress:
        for event in EVENTS:
            progress(event)
    shown = ANSI.sub("", stream.getvalue())
    assert "2/2" in shown
    assert "[bold]connection[/bold]" in shown
    assert "\x1b[31m lost" not in stream.getvalue()
