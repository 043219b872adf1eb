"""Which migrations are tried, in which order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from seatrial.config import nearest
from seatrial.errors import ConfigError
from seatrial.model import Migration
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True)
class Planned:
    index: int
    migration: Migration
    skipped: str = ""  # why it is applied untested


@dataclass(frozen=True, slots=True)
class Plan:
    """Every migration in the order in which it is applied; those without a ``skipped`` are tried."""

    steps: tuple[Planned, ...]
    seed_at: int | None = None  # the given seed is loaded after the step of this index; -1: before the first

    @property
    def tried(self) -> tuple[Planned, ...]:
        return tuple(s for s in self.steps if not s.skipped)

    @property
    def uses_seed(self) -> bool:
        """Whether something is tried on the given rows: it comes after their version."""
        return self.seed_at is not None and self.tried[-1].index > self.seed_at


def plan(
    migrations: Sequence[Migration],
    *,
    only: Sequence[str] = (),
    added: Collection[str] | None = None,
    seed: bool = False,
    seed_at: str | None = None,
    said: Callable[[str], str] = str,
) -> Plan:
    """Order and select. ``added``: ids that --since leaves; ``seed``: rows are given, at version ``seed_at``.

    ``said``: how a message names a setting.

    Raises ConfigError where nothing is selected, or a selection or the seed's version names no migration.
    """
    chosen = {select(migrations, text, said("only")).id for text in only} if only else {m.id for m in migrations}
    if added is not None:
        chosen &= set(added)
    if not chosen:
        none = "--only and --since leave none" if only else "none came after what --since names"
        raise ConfigError(f"no migration is selected: {none}, so there is nothing to test")
    why = "not selected (--only)" if only else "not selected (--since)"
    steps = tuple(Planned(i, m, "" if m.id in chosen else why) for i, m in enumerate(migrations))
    return Plan(steps, _seed_index(steps, migrations, seed_at, said("seed.at")) if seed else None)


def candidates(migrations: Iterable[Migration], text: str) -> list[Migration]:
    """Those with this id or version, else all whose id begins with it."""
    known = list(migrations)
    return [m for m in known if text in (m.id, m.version)] or [m for m in known if m.id.startswith(text)]


def select(migrations: Iterable[Migration], text: str, setting: str = "") -> Migration:
    """The migration with this id or version, or the only one whose id begins with it; ``setting`` is what says it."""
    begin = f"{setting}: " if setting else ""
    known = list(migrations)
    found = candidates(known, text)
    if len(found) == 1:
        return found[0]
    if not found:
        newest = f"the newest {'is' if len(known) == 1 else 'are'} {', '.join(m.id for m in known[-5:])}"
        hint = nearest(text, (name for m in known for name in (m.id, m.version)), f"{newest}.")
        raise ConfigError(f"{begin}there is no migration '{text}'; {hint}")
    raise ConfigError(f"{begin}'{text}' may be any of {', '.join(m.id for m in found[:5])}; give more of the id")


def after(migrations: Sequence[Migration], version: str) -> frozenset[str]:
    """Ids of the migrations that come after a version: neither it nor anything that it needs."""
    by_id = {m.id: m for m in migrations}
    old: set[str] = set()
    waiting = [select(migrations, version).id]
    while waiting:
        current = waiting.pop()
        if current not in old and current in by_id:
            old.add(current)
            waiting += by_id[current].parents
    return frozenset(m.id for m in migrations if m.id not in old)


def _seed_index(steps: Sequence[Planned], migrations: Sequence[Migration], at: str | None, setting: str) -> int:
    if at is not None:
        wanted = select(migrations, at, setting).id
        return next(s.index for s in steps if s.migration.id == wanted)
    first = next(s.index for s in steps if not s.skipped)
    if first == 0 and len(steps) > 1:
        raise ConfigError('the seed does not say which version its rows belong to; set [seed] at = "VERSION"')
    return first - 1
