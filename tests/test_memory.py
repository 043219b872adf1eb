"""What a test session may keep in memory."""

from __future__ import annotations

from pathlib import Path

import memory
import pytest
from test_sources_support import write

STAT = "anon 5\ninactive_file 30\n"


@pytest.mark.parametrize(
    ("own", "files", "left"),
    [
        ("0::/\n", {}, 1000 << 10),
        ("0::/\n", {"memory.max": "max\n"}, 1000 << 10),
        ("0::/\n", {"memory.max": "500\n", "memory.current": "100\n", "memory.stat": STAT}, 430),
        ("0::/a/b\n", {"a/memory.max": "500\n", "a/memory.current": "100\n", "a/memory.stat": STAT}, 430),
        ("0::/not/seen\n", {"memory.max": "90\n", "memory.current": "40\n", "memory.stat": STAT}, 80),
        ("0::/\n", {"memory.max": "9999999999\n", "memory.current": "1\n", "memory.stat": STAT}, 1000 << 10),
        (
            "3:cpu:/x\n4:memory:/x\n",
            {f"memory/x/memory.{n}": t for n, t in (("limit_in_bytes", "70"), ("usage_in_bytes", "7"), ("stat", STAT))},
            93,
        ),
    ],
)
def test_the_smaller_of_what_the_host_and_the_container_have(tmp_path: Path, own: str, files: dict, left: int):
    write(tmp_path, {"own": own, "host": "MemTotal: 9999 kB\nMemAvailable: 1000 kB\nBuffers: 1 kB\n"})
    write(tmp_path / "groups", files)
    assert memory.available(tmp_path / "groups", tmp_path / "own", tmp_path / "host") == left
