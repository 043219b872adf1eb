"""Why a server of ours ended: what its process, its log and its disk tell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from disk_fixtures import fill

from seatrial.model import Disturbance
from seatrial.servers import last_words
from seatrial.servers._mysql_local import KINDS
from seatrial.servers._postgresql_local import KIND

SPEECHES = {"mysql": KINDS["mysql"].speech, "mariadb": KINDS["mariadb"].speech, "postgresql": KIND.speech}
LOGS = [  # an engine, what its log said (the servers' own lines), what is told of it, whether that is of room
    (
        "mysql",
        "2026-11-23T08:53:53.03Z 12 [ERROR] [MY-012640] [InnoDB] Error number 28 means 'No space left on device'\n"
        "2026-11-23T08:53:53.04Z 12 [ERROR] [MY-013132] [Server] The table 'big' is full!\n"
        "2026-11-23T08:53:53.05Z 0 [ERROR] [MY-013901] [InnoDB] Failed to resize unused redo log file (Missing space"
        " on disk).\n"
        "2026-11-23T08:53:53.06Z 0 [ERROR] [MY-013183] [InnoDB] Assertion failure: log0files_governor.cc:974\n"
        "InnoDB: We intentionally generate a memory trap.\n",
        "Failed to resize unused redo log file (Missing space on disk)",
        True,
    ),
    (
        "mysql",
        "2026-11-23T08:53:53.06Z 0 [ERROR] [MY-013183] [InnoDB] Assertion failure: log0files_governor.cc:974\n",
        "Assertion failure: log0files_governor.cc:974",
        False,
    ),
    (
        "mariadb",
        "2026-11-23  8:54:12 0 [Note] InnoDB: Buffer pool(s) load completed\n"
        "2026-11-23  8:54:12 0 [ERROR] InnoDB: preallocating 8388608 bytes for file ./ib failed with error 28\n"
        "261123  8:54:12 [ERROR] /usr/sbin/mariadbd got signal 6 ;\n",
        "InnoDB: preallocating 8388608 bytes for file ./ib failed with error 28",
        True,
    ),
    ("mariadb", "261123  8:54:12 [ERROR] /usr/sbin/mariadbd got signal 6 ;\n", "", False),
    (
        "postgresql",
        '2026-11-23 08:52:06.5 UTC [7] ERROR:  relation "t" does not exist at character 15\n'
        '2026-11-23 08:52:06.6 UTC [7] PANIC:  could not write to file "pg_wal/xlogtemp.7": No space left on device\n'
        "2026-11-23 08:52:06.7 UTC [1] LOG:  server process (PID 7) was terminated by signal 6: Aborted\n",
        'could not write to file "pg_wal/xlogtemp.7": No space left on device',
        True,
    ),
    (
        "postgresql",
        "2026-11-23 08:52:06.7 UTC [1] LOG:  server process (PID 7) was terminated by signal 9: Killed\n"
        "2026-11-23 08:52:06.7 UTC [1] DETAIL:  Failed process was running: SELECT secret FROM t\n"
        "2026-11-23 08:52:06.7 UTC [1] LOG:  terminating any other active server processes\n",
        "server process (PID 7) was terminated by signal 9: Killed",
        False,
    ),
]


@pytest.mark.parametrize(("engine", "log", "told", "of_room"), LOGS)
def test_what_is_told_of_a_log(engine, log, told, of_room):
    assert SPEECHES[engine].last(log) == told
    assert last_words.speaks_of_room(log) == of_room


@pytest.mark.parametrize("words", ["errno: 128", "28 rows", "error 280", "1028 bytes written", "port 28"])
def test_other_numbers_are_no_want_of_room(words):
    assert not last_words.speaks_of_room(words)


def died(folder: Path, script: str, speech: str = "mariadb", heard: int = 0) -> object:
    with last_words.new_log(folder) as log:
        process = subprocess.Popen(["sh", "-c", script], stdout=log, stderr=log)
    try:
        return last_words.end("MariaDB", SPEECHES[speech], process, folder, heard)
    finally:
        process.kill()
        process.wait()


def test_how_a_process_ended(tmp_path, monkeypatch):
    ended = died(tmp_path, "echo '0 [ERROR] Aborting'; exit 7")
    assert ended.words == "The MariaDB server that Seatrial had started ended by itself (exit code 7): Aborting"
    assert ended.what is Disturbance.CONNECTION
    assert died(tmp_path, "kill -9 $$").words.endswith("ended by itself (SIGKILL)")
    monkeypatch.setattr(last_words, "_GRACE_S", 0.05)
    assert died(tmp_path, "exec sleep 60") is None


def test_sessions_cut_off_by_a_server_that_lives_on(tmp_path):
    script = "echo '0 LOG:  server process (PID 7) was terminated by signal 9: Killed'; exec sleep 60"
    ended = died(tmp_path, script, "postgresql")
    assert ended.words.endswith("cut its sessions off: server process (PID 7) was terminated by signal 9: Killed")


def test_what_was_over_before_is_no_reason(tmp_path):
    line = "0 [ERROR] Error number 28 means: No space left on device"
    assert died(tmp_path, f"echo '{line}'; exit 1").what is Disturbance.RESOURCE
    assert died(tmp_path, f"echo '{line}'; exit 1", heard=len(line) + 1).what is Disturbance.CONNECTION


def test_last_words_on_a_full_disk(small_disk):
    """Room for them is there before they are said."""
    disk = small_disk("1m")
    (disk / "server").mkdir()
    with last_words.new_log(disk / "server") as log:
        fill(disk)
        log.write(b"0 [ERROR] InnoDB: Error number 28\n" * 1000)
    assert last_words.read(disk / "server") == b"0 [ERROR] InnoDB: Error number 28\n" * 1000
    assert last_words.is_full(disk / "server", "")
    assert last_words.read(disk / "gone") == b""
