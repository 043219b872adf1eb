"""How much memory tests may fill: what the host has left, or less where a container is given less."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

GROUPS, OWN, HOST = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"), Path("/proc/meminfo")


def available(groups: Path = GROUPS, own: Path = OWN, host: Path = HOST) -> int:
    """Bytes. A group of processes (cgroup) has a limit of its own, and those around it have theirs."""
    left = int(host.read_text().partition("MemAvailable:")[2].split()[0]) << 10
    return min([left, *_left_to_groups(groups, own)])


def _left_to_groups(groups: Path, own: Path) -> Iterator[int]:
    for line in own.read_text().splitlines() if own.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):  # version 2, which has one tree, and version 1
            top = groups / controllers
            place = top / path.lstrip("/")  # in a container the path may be the host's: only the top is there then
            for folder in (place, *place.parents):
                if folder.is_relative_to(top):
                    yield from _left(folder)


def _left(folder: Path) -> Iterator[int]:
    """Pages of files count as used, and can be let go of at once."""
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        text = (folder / limit).read_text().strip() if (folder / limit).exists() else "max"
        if text != "max":
            held = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            yield int(text) - int((folder / used).read_text()) + int(held.get("inactive_file", 0))
