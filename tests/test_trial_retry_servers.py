"""Servers that are killed in the middle of an up: one behind a URL that comes back, and one of our own."""

from __future__ import annotations

import pytest
from retry_fixtures import (
    KINDS,
    LOSS,
    LOST,
    SERVED,
    Outside,
    disturbed,
    kill,
    lost,
    on_mortal,
    rules,
    somebody_at,
    strategies,
)

from seatrial.config import ServerConfig
from seatrial.model import Status
from seatrial.servers import _mysql_local, _postgresql_local, process

PAUSES = (1, 2, 4)
RESTARTED = "the server was restarted since the checkpoint was made"


@pytest.mark.parametrize("name", SERVED)
def test_a_server_restarted_in_the_middle_of_up(name, state_folder, tmp_path):
    """What was kept there is not believed any more: a crash empties PostgreSQL's unlogged tables, for one."""
    with on_mortal(name, tmp_path) as (outside, mortal):
        up = f"{outside.pause} {LOSS[0]}"
        begin = outside.in_the_middle(mortal.restart)
        first, last = ((f"CREATE TABLE {new} (id INT);", f"DROP TABLE {new};") for new in ("first", "last"))
        steps = [first, (up, LOSS[1]), last]
        report = outside.run(steps, {("0003", "up"): begin}, settings="", pauses=PAUSES, only=("0002", "0003", "0004"))
        assert strategies(report)[-1] == ("reset-test-db", True), report.migrations[-1].trial.error
        told = next(r.actions for r in report.retries if r.succeeded)
        assert told[1:3] == (f"Applied 2 migrations again ({RESTARTED})", "Reloaded seed data from seed.sql")
        assert [m.status for m in report.migrations[1:]] == [Status.PASSED, Status.FAILED, Status.PASSED]
        assert (rules(report, "0003"), lost(report)) == (["values-lost"], LOST)
        assert not [n for n in report.not_verified if "chain" in n.what]
        assert somebody_at(name, mortal.running, mortal.config, tmp_path).databases() == []
        outside.close()


@pytest.mark.parametrize("name", SERVED)
def test_our_own_server_killed_in_the_middle_of_up(name, state_folder, tmp_path, monkeypatch):
    """The throwaway server that we started is started again; what the first had committed by then is gone with it."""
    started: list[process.Running] = []
    local = _postgresql_local if name == "postgresql" else _mysql_local
    plain = local.start

    def start(*how: object) -> process.Running:
        started.append(plain(*how))  # type: ignore[arg-type]
        return started[-1]

    monkeypatch.setattr(local, "start", start)
    somebody: list[Outside] = []

    def begin() -> None:
        somebody.append(somebody_at(name, started[0], ServerConfig(engine=name), tmp_path))
        somebody[0].in_the_middle(lambda: kill(name, started[0]))()

    up = f"{KINDS[name].pause} {LOSS[0]}"
    report = disturbed(tmp_path, [(up, LOSS[1])], ServerConfig(engine=name), {("0002", "up"): begin}, pauses=PAUSES)
    somebody[0].close()
    assert (rules(report), lost(report)) == (["values-lost"], LOST)
    assert strategies(report) == [("reset-test-db", True)]
    assert len(started) == 2
    assert [s.folder.exists() for s in started] == [False, False]
