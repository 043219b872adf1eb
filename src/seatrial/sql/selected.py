"""What reaches SET by way of sub-selects: ``UPDATE t SET a = x.b FROM (SELECT id, lower(a) AS b FROM t) x``."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.sql.cursor import Tokens, items
from seatrial.sql.dml import selects
from seatrial.sql.effects import Span, Update
from seatrial.sql.mentions import mentions
from seatrial.sql.tables import Run, Table
from seatrial.sql.world import World


def read_below(world: World, run: Run, update: Update, table: Table) -> set[str]:
    """The columns, as the dialect folds names, that SET reads through sub-selects of an UPDATE over its own table.

    Looked at are WITH, the tables between UPDATE and SET, and FROM; a sub-select inside SET names its tables itself.
    """
    tokens = run.parsed.tokens
    spans = [Span(0, update.head), update.targets, update.sources]
    own = [m.name.first for m in run.parsed.found.tables if world.table(m.name) is table]
    if not any(s.first <= at < s.last and _is_inside(tokens, s, at) for s in spans for at in own):
        return set()
    given = [_selected(tokens, item, world) for s in spans for item in _listed(tokens, s)]
    values = [tokens[a.value.first : a.value.last] for a in update.items]
    wanted = {world.fold(n) for v in values for _, n in mentions(v, world.dialect).columns}
    read: set[str] = set()
    while more := {n for name, names in given if name in wanted for n in names} - read:
        read |= more
        wanted |= more
    return read


def _is_inside(tokens: Tokens, where: Span, at: int) -> bool:
    return any(t.word == "SELECT" for t in tokens[where.first : at])


def _listed(tokens: Tokens, where: Span) -> Iterator[Span]:
    """The items of every select list, however deep it stands."""
    for i in range(where.first, where.last):
        if tokens[i].word == "SELECT":
            first, last = next(selects(tokens, i, where.last))
            yield from (Span(a, b) for a, b in items(tokens, first, last))


def _selected(tokens: Tokens, item: Span, world: World) -> tuple[str, set[str]]:
    """The name that an item of a select list goes by, and the columns that it reads."""
    found = tokens[item.first : item.last]
    is_named = len(found) > 1 and bool(found[-1].name) and found[-2].word != "."
    value = found[: -1 - (found[-2].word == "AS")] if is_named else found
    columns = {world.fold(n) for _, n in mentions(value, world.dialect).columns}
    return world.fold(found[-1].name) if found else "", columns
