"""What the retries come to, without a database."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from seatrial.config import RetryConfig
from seatrial.errors import DatabaseError
from seatrial.model import Disturbance
from seatrial.trial.retry import Disturbed, Retrier


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
