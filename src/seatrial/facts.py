"""Findings that state one fact from different sides, told as one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from seatrial.model import Finding, Severity
from seatrial.values import dataclass

NAMED = {"invalid-index": {"duplicate-keys"}}
"""Main rule -> rules that say of the same object why; told first, for the main one may itself follow from another."""

ANYWHERE = {
    "up-failed": {"half-applied", "invalid-index"},
    "down-failed": {"half-applied"},
    "down-does-nothing": {
        "column-order-changed",
        "object-renamed",
        "rows-left-behind",
        "schema-not-restored",
        "up-not-repeatable",
    },
}
"""Main rule -> rules that only say what follows from it, on whatever table."""

LOSSES = ("rows-lost", "values-lost", "collateral-schema-loss")
"""What a down that does something would have to bring back. Each is a fact of its own, for each takes work of its own;
that down does nothing is told with the first of them."""

SAME_PLACE = {
    "rows-lost": {"collateral-change", "schema-not-restored", "written-rows-lost"},
    "values-lost": {"conversion-loss", "collateral-change", "schema-not-restored", "written-rows-lost"},
    "collateral-change": {"conversion-loss", "rows-left-behind"},
    "schema-not-restored": {"collateral-schema-loss", "next-insert-fails"},
}
"""Main rule -> rules that state the same, where table and rows, columns or objects overlap."""


FOLLOWS = {
    "rows-lost": {"schema-not-restored", "column-order-changed"},
    "values-lost": {"schema-not-restored", "conversion-loss", "column-order-changed"},
    "collateral-schema-loss": {"schema-not-restored", "next-insert-fails", "column-order-changed", "up-not-repeatable"},
    "schema-not-restored": {"next-insert-fails", "column-order-changed", "object-renamed", "up-not-repeatable"},
    "rows-left-behind": {"up-not-repeatable"},
    "invalid-index": {"half-applied", "duplicate-keys"},
}
"""Rule -> rules whose causes and advice it makes superfluous in one fact."""

UNKNOWN = "cause not determined"


@dataclass(frozen=True, slots=True)
class Fact:
    """The finding that says it best, and those that say the same from another side."""

    main: Finding
    also: tuple[Finding, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        return (self.main, *self.also)

    @property
    def severity(self) -> Severity:
        return max((f.severity for f in self.findings), key=lambda s: s.rank)

    @property
    def causes(self) -> tuple[str, ...]:
        """Each once, without those that only follow from another; an unknown one where no finding knows better."""
        told = dict.fromkeys(c for f in self.findings for c in f.causes if not self._follows(f))
        return tuple(c for c in told if c != UNKNOWN) or tuple(told)

    @property
    def recommendations(self) -> tuple[str, ...]:
        """What to do, each once; that down has to do something, only where nothing says what. One may hold another."""
        told = [f for f in self.findings if f.recommendation and not self._follows(f)]
        concrete = [f for f in told if f.rule != "down-does-nothing"]
        said = tuple(dict.fromkeys(f.recommendation for f in concrete or told))
        return tuple(r for r in said if not any(r in other for other in said if other != r))

    def _follows(self, finding: Finding) -> bool:
        """Whether what led to a finding, and what to do about it, is told by another one of the fact."""
        others = (f for f in self.findings if f is not finding and UNKNOWN not in f.causes)
        return any(_leads_to(other, finding) for other in others)


def _leads_to(one: Finding, other: Finding) -> bool:
    if other.rule not in FOLLOWS.get(one.rule, ()):
        return False
    if other.rule not in ("schema-not-restored", "half-applied"):
        return True
    if one.rule in ("collateral-schema-loss", "invalid-index"):
        return set(other.objects) <= set(one.objects)
    held = {f"table {one.table}", *(f"column {one.table}.{c}" for c in one.columns)}
    return set(other.objects) <= held


def facts(findings: Iterable[Finding]) -> tuple[Fact, ...]:
    """Every finding in exactly one fact, in the order in which the main ones came."""
    rest = list(findings)
    also: dict[int, list[Finding]] = {i: [] for i in range(len(rest))}
    for rules in (NAMED, ANYWHERE, SAME_PLACE):
        _gather(rest, also, rules)
    _with_a_loss(rest, also)
    return tuple(_gravest_first([rest[i], *others]) for i, others in also.items())


def _gravest_first(found: list[Finding]) -> Fact:
    """What was lost is told first, that down does nothing after it; of the same gravity the main rule."""
    main, *others = sorted(found, key=lambda f: (-f.severity.rank, f.rule != "collateral-schema-loss"))
    return Fact(main, tuple(others))


def _gather(found: Sequence[Finding], also: dict[int, list[Finding]], rules: Mapping[str, set[str]]) -> None:
    """Move every finding that one of the main rules accounts for under it, with what it had gathered itself."""
    for rule, others in rules.items():
        for main in [i for i in also if found[i].rule == rule]:
            for i in [i for i in also if i != main and found[i].rule in others]:
                if _one_cause(found[main], found[i], anywhere=rules is ANYWHERE):
                    also[main] += [found[i], *also.pop(i)]


def _with_a_loss(found: Sequence[Finding], also: dict[int, list[Finding]]) -> None:
    for idle in [i for i in also if found[i].rule == "down-does-nothing"]:
        losses = (i for i in also if found[i].rule in LOSSES and _one_cause(found[idle], found[i], anywhere=True))
        if (loss := next(losses, None)) is not None:
            also[loss] += [found[idle], *also.pop(idle)]


def _one_cause(main: Finding, other: Finding, *, anywhere: bool) -> bool:
    if (main.waived, main.preexisting) != (other.waived, other.preexisting):
        return False
    if anywhere:
        return True
    if main.table != other.table:
        return False
    if "lost" in main.rule and other.rule == "schema-not-restored":
        return _is_gone(main, other)
    return _overlap(main, other)


def _is_gone(lost: Finding, schema: Finding) -> bool:
    """Whether what held the lost rows or values is itself what is not there any more: the table, or a column."""
    gone = set(lost.columns) - _in_other_case(lost, schema)
    return f"table {lost.table}" in schema.objects or bool(gone & set(schema.columns))


def _in_other_case(lost: Finding, schema: Finding) -> set[str]:
    """Columns that are missing under their name but hold values after down: their names came back in another case."""
    names = Counter(c.casefold() for c in schema.columns)
    return {c.column for c in lost.changes if c.new is not None and names[c.column.casefold()] > 1}


def _overlap(one: Finding, other: Finding) -> bool:
    """Whether they name a row, a column or an object in common; what a side does not name keeps them not apart."""
    sides = ((one.columns, other.columns), (one.keys, other.keys), (one.objects, other.objects))
    return all(not a or not b or set(a) & set(b) for a, b in sides)


def blocking(findings: Iterable[Finding], fail_on: Severity = Severity.HIGH) -> tuple[Fact, ...]:
    """The facts that fail a migration: unwaived, not there before it, and of at least this severity."""
    return tuple(
        f
        for f in facts(findings)
        if f.severity.rank >= fail_on.rank and f.main.waived is None and not f.main.preexisting
    )
