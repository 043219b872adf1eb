"""What a run's words are: severities, kinds, phases; and a migration."""

from __future__ import annotations

from enum import StrEnum

from seatrial.values import dataclass


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class Kind(StrEnum):
    """What a migration did, the worst part deciding."""

    ADDITIVE = "additive"
    TRANSFORMATIVE = "transformative"
    DESTRUCTIVE = "destructive"


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"  # could not be tested
    SKIPPED = "skipped"


class Phase(StrEnum):
    UP = "up"
    DOWN = "down"
    REUP = "reup"
    CHAIN = "chain"
    LIVED_IN = "lived-in"
    INTERRUPTED = "interrupted"


class Impact(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @classmethod
    def of(cls, duration_ms: float) -> Impact:
        """LOW under a second, MEDIUM up to a minute, HIGH above."""
        return cls.LOW if duration_ms < 1_000 else cls.MEDIUM if duration_ms <= 60_000 else cls.HIGH


class Observed(StrEnum):
    """How something was observed."""

    EXACT = "exact"
    SAMPLED = "sampled"
    NOT_OBSERVED = "not observed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One versioned step of a project."""

    id: str
    version: str
    name: str
    path: str  # relative to the project, for people to read
    description: str = ""
    parents: tuple[str, ...] = ()
    no_down: str | None = None  # why there is no way back, in words ("its down is empty"); None where there is one
