"""What the retries come to, without a database."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trial_fixtures import project
from trial_fixtures import tested as run_of

from seatrial.config import RetryConfig
from seatrial.engines._mysql_link import disturbance
from seatrial.errors import DatabaseError
from seatrial.model import Disturbance, Status, StepError, Trial
from seatrial.plan import Planned
from seatrial.trial.retry import Astray, Disturbed, Retrier
from seatrial.trial.walk import Leg


def retrier() -> Retrier:
    database = SimpleNamespace(disturbance=lambda error: None)
    brought: Any = SimpleNamespace(ups=1, seeds=False, makes_rows=False, why_not="", again=[])
    ground: Any = SimpleNamespace(
        database=database, unsure=False, can_restore=True, restore=lambda: brought, renew=lambda: brought
    )
    return Retrier(ground, RetryConfig(attempts=3, pauses=(0.0,)), "", lambda migration, text: None)


def test_a_retry_that_ends_in_another_error_is_told_as_failed() -> None:
    asked = retrier()
    cut = DatabaseError("the server went away", code="2013")
    ends = [Disturbed(str(cut), Disturbance.CONNECTION, cut), DatabaseError("no such column", code="1054")]

    def act(met: list[Disturbed]) -> None:
        raise ends[len(met)]

    with pytest.raises(DatabaseError, match="no such column"):
        asked.persist("0002", act)
    (retry,) = asked.retries
    assert (retry.strategy, retry.succeeded, retry.migration) == ("reset-test-db", False, "0002")
    assert retry.actions[-1] == "It failed: no such column"


def test_what_fails_when_it_is_applied_again_is_not_told_as_a_lack_of_room() -> None:
    asked = retrier()

    def act(met: list[Disturbed]) -> None:
        raise Astray("0001", StepError(message="it is Tuesday"))

    with pytest.raises(Disturbed) as ended:
        asked.persist("0002", act)
    assert "0001 was applied without an error and failed when it was applied again: it is Tuesday" in ended.value.told
    assert "does not do the same each time" in ended.value.told and "TMPDIR" not in ended.value.told
    assert [r.strategy for r in asked.retries] == ["reset-test-db"] * 3


@pytest.mark.parametrize("code", ["1317", "1969", "3024"])
def test_a_time_limit_is_not_told_as_a_lock(code: str) -> None:
    what = disturbance(StepError(message="interrupted", code=code))
    assert what is Disturbance.LIMIT
    assert "time limit" in Disturbed("interrupted", what, None).told


def test_what_is_left_undone_after_a_whole_trial_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: the trials with written rows and interruptions were left out, and nothing said so."""

    def extra(walk: Leg, step: Planned, trial: Trial) -> Trial:
        if step.migration.id == "0002":
            raise Disturbed("the disk is full", Disturbance.RESOURCE, None)
        return trial

    monkeypatch.setattr(Leg, "_extra", extra)
    steps = [("CREATE TABLE t (id int);", "DROP TABLE t;"), ("ALTER TABLE t ADD a int;", "ALTER TABLE t DROP a;")]
    report = run_of(project(tmp_path, steps))
    assert report.migrations[1].status is Status.PASSED
    (doubt,) = [d for d in report.not_verified if "interruptions" in d.what]
    assert (doubt.migration, "the disk is full" in doubt.why) == ("0002", True)
