"""What the judge makes of verdicts: the summary, waivers, the threshold and the impact. No database."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest
from report_examples import ENVIRONMENT, additive, broken, irreversible, report, untested

from seatrial.config import Config
from seatrial.judge import judge, summary_of
from seatrial.model import (
    Finding,
    Impact,
    Migration,
    Observed,
    Phase,
    Schema,
    Severity,
    Snapshot,
    Statement,
    Status,
    Step,
    StepError,
    Trace,
    Trial,
    Waiver,
)
from seatrial.reporters import render, words

TODAY = datetime.date(2026, 3, 1)
SAFE, UNSAFE, OPEN = additive(), irreversible(), replace(additive(), rollback_safe=None)


@pytest.mark.parametrize(
    ("judged", "safe", "told"),
    [
        ([SAFE, SAFE], True, "YES"),
        ([SAFE, untested(Status.SKIPPED)], True, "YES"),
        ([SAFE, UNSAFE], False, "NO"),
        ([UNSAFE, untested(Status.ERROR)], False, "NO"),
        ([SAFE, OPEN], None, "NOT VERIFIED"),
        ([SAFE, broken()], None, "NOT VERIFIED"),
        ([SAFE, untested(Status.ERROR)], None, "NOT VERIFIED"),
        ([untested(Status.ERROR)], None, "NOT TESTED"),
        ([], None, "NOT TESTED"),
    ],
)
def test_rollbacks_are_called_safe_only_where_every_one_was_seen_to_be(judged, safe, told):
    assert summary_of(judged).rollback_safe is safe
    assert f"**Rollback Safe**: {told}\n" in render(report(*judged), "markdown")


def test_a_failed_up_is_neither_intact_nor_of_a_known_impact():
    judged = broken()
    seen = replace(judged, trial=replace(judged.trial, after_up=replace(judged.trial.before, moment="B")))
    text = render(report(seen), "markdown")
    assert "| ⚠️ Not verified (up failed) | Upgrade failed" in text
    assert "⚠️ NOT KNOWN (up failed)" in text
    assert "Intact" not in text


def tried(ms: float = 5.0, down_ms: float = 5.0, **more: object) -> Trial:
    """A migration that changes nothing and takes so long."""
    migration = Migration(id="0001", version="0001", name="one", path="0001.sql")
    shot = Snapshot(moment="A", schema=Schema())
    done = {"before": shot, "after_up": shot, "after_down": shot, "undone": (), **more}
    up, down = Step(duration_ms=ms), Step(duration_ms=down_ms)
    return Trial(**{"index": 0, "migration": migration, "engine": "sqlite", "up": up, "down": down, **done})


def judged(*trials: Trial, config: Config | None = None):
    return judge(Trace(environment=ENVIRONMENT, trials=trials, generated="2026-03-01"), config or Config(), TODAY)


@pytest.mark.parametrize(
    ("up_ms", "down_ms", "impact"),
    [
        (999.9, 1.0, Impact.LOW),
        (1_000.0, 1.0, Impact.MEDIUM),
        (1.0, 60_000.0, Impact.MEDIUM),
        (1.0, 60_000.1, Impact.HIGH),
    ],
)
def test_the_slower_way_decides_the_impact(up_ms, down_ms, impact):
    (found,) = judged(tried(up_ms, down_ms)).migrations
    assert (found.impact, found.impact_basis) == (impact, "measured")


def test_how_long_an_up_took_to_fail_is_no_impact():
    up = Step(duration_ms=70_000.0, error=StepError(message="no"))
    (found,) = judged(tried(up=up, after_up=None, after_down=None, down=Step(executed=False))).migrations
    assert (found.impact, found.impact_basis) == (Impact.LOW, "not tested")
    assert found.rollback_safe is None


def test_what_is_of_high_impact_is_told_to_have_no_plan():
    found = judged(tried(90_000.0))
    (doubt,) = [d for d in found.not_verified if d.what == "a zero-downtime plan"]
    assert doubt.migration == "0001"
    text = render(found, "markdown")
    part = text[text.index("## Zero-Downtime") : text.index("## Recommendations")]
    assert "**High-Impact Migrations Detected**: 1" in part
    assert "`0001` one: no plan was found; run it in a maintenance window" in part
    assert "Recommended Approach" not in part
    assert not [d for d in judged(tried()).not_verified if d.what == "a zero-downtime plan"]


# --- waivers and the threshold ----------------------------------------------------------------------------------------

NO_WAY_BACK = tried(up=Step(duration_ms=1.0, error=StepError(message="no such table: t")), after_up=None)


def waived(migration: str = "0001", rule: str = "up-failed", until: str = "2026-12-31"):
    waiver = Waiver(migration=migration, rule=rule, reason="known", until=datetime.date.fromisoformat(until))
    return judged(NO_WAY_BACK, config=Config(waivers=(waiver,)))


def test_a_waiver_takes_a_finding_out_of_the_verdict_until_its_last_day():
    for until in ("2026-12-31", "2026-03-01"):
        found = waived(until=until)
        assert [f.waived for f in found.migrations[0].findings if f.rule == "up-failed"] == ["known"]
        assert (found.status, found.exit_code, found.blockers, found.notes) == (Status.PASSED, 0, (), ())


def test_an_expired_waiver_waives_nothing_and_is_told():
    found = waived(until="2026-02-28")
    assert (found.status, found.exit_code) == (Status.FAILED, 1)
    assert found.notes == ("The waiver of up-failed for 0001 expired on 2026-02-28: known",)


def test_a_waiver_that_nothing_needs_is_told():
    assert waived(rule="rows-lost").notes == ("The waiver of rows-lost for 0001 was not needed: known",)
    assert waived(migration="0099").notes == ("The waiver of up-failed names no migration: 0099",)
    assert waived(migration="0099").status is Status.FAILED


def test_a_waiver_means_one_migration_or_says_so():
    """``1`` is 1, not 10; ``1`` of 10 and 11 is nobody's."""
    numbered = {
        n: replace(NO_WAY_BACK, migration=replace(NO_WAY_BACK.migration, id=n, version=n)) for n in ("1", "10", "11")
    }
    waiver = Waiver(migration="1", rule="up-failed", reason="known", until=TODAY)

    def found(*names: str):
        return judged(*(numbered[n] for n in names), config=Config(waivers=(waiver,)))

    assert [m.status for m in found("1", "10").migrations] == [Status.PASSED, Status.FAILED]
    assert found("1", "10").notes == ()
    assert found("10", "11").notes == ("The waiver of up-failed for 1 may mean any of 10, 11; give more of the id",)
    passes = replace(tried(), migration=numbered["1"].migration)
    both = judged(passes, numbered["10"], config=Config(waivers=(waiver,)))
    assert both.notes == ("The waiver of up-failed for 1 was not needed: known",)


@pytest.mark.parametrize(
    ("severity", "fail_on", "status"),
    [
        (Severity.MEDIUM, Severity.HIGH, Status.PASSED),
        (Severity.MEDIUM, Severity.MEDIUM, Status.FAILED),
        (Severity.HIGH, Severity.HIGH, Status.FAILED),
        (Severity.HIGH, Severity.CRITICAL, Status.PASSED),
        (Severity.CRITICAL, Severity.CRITICAL, Status.FAILED),
    ],
)
def test_the_threshold_decides_verdict_and_exit_code(monkeypatch, severity, fail_on, status):
    def one(case: object):
        yield Finding(rule="anomaly", severity=severity, phase=Phase.UP, message="m")

    rule = type("Rule", (), {"run": staticmethod(one), "severity": severity})()
    monkeypatch.setattr("seatrial.checks.load", lambda: {"anomaly": rule})
    found = judged(tried(), config=Config(fail_on=fail_on))
    assert (found.status, found.exit_code) == (status, 1 if status is Status.FAILED else 0)
    assert len(found.blockers) == (status is Status.FAILED)


def test_locks_that_nobody_saw_are_not_verified():
    """Design, section 1: what could not be checked, locks among it, stands in the list."""
    sent = Statement(sql="VACUUM t")
    unseen = Step(duration_ms=1, statements=(sent,), locks_note="each commits; they were gone")
    seen = replace(unseen, locks_observed=Observed.EXACT)
    found = judged(
        *(tried(up=unseen, down=seen) for _ in range(6)), tried(up=seen, down=replace(unseen, statements=()))
    )
    locks = [d for d in found.not_verified if d.what.startswith("the locks of ")]
    assert [(d.what.count("up of 0001"), d.why) for d in locks] == [(4, "they were gone")]
    assert locks[0].what.endswith(" and 2 more steps")
    assert "not verified" not in words.next_action(found)  # what passed is as safe as before
    assert not [d for d in judged(tried(up=seen, down=seen)).not_verified if "locks" in d.what]
