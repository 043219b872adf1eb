"""UPDATEs that fill columns, and whether rows that they meant to reach can be looked for at the end of the step.

The rule (design, section 6, backfill-incomplete): WHERE is evaluated at the end of up, without LIMIT, and without a
range on the key where two or more statements write the same SET (a loop is such). Judged only where SET is
deterministic, reads no column that it assigns, and nothing later writes, renames or drops what SET or WHERE touch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from seatrial.model import TableRef
from seatrial.sql.batches import (
    NotTaken,
    Ranges,
    compares_key,
    conjuncts,
    limitless,
    rangeless,
    ranges_of,
    render,
    requalified,
    signature,
    variables_in,
)
from seatrial.sql.blocks import NOWHERE
from seatrial.sql.cursor import Tokens
from seatrial.sql.effects import Update, Verb
from seatrial.sql.fills import (
    Backfill,
    Candidate,
    Reach,
    Unjudged,
    Unread,
    assigned,
    candidate_of,
    keys_of,
    refuse_like,
    refuse_values,
    span,
    target_of,
    without_itself,
)
from seatrial.sql.later import OPAQUE, written_later
from seatrial.sql.tables import Run
from seatrial.sql.tokens import Token, quote_name
from seatrial.sql.values import is_random
from seatrial.sql.world import World
from seatrial.values import dataclass

_COMPARED = frozenset({"<", ">", "<=", ">=", "BETWEEN"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unproven:
    """A batch of a backfill that the rule means and that could not be read: whether it left rows out is not known."""

    table: TableRef  # its name at the end of the step
    columns: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class _Doubt(Reach):
    names: tuple[str, ...]
    why: str
    cut: bool  # a LIMIT says which rows it takes


def backfills(
    world: World, statements: Sequence[str], session: Sequence[str] = ()
) -> tuple[tuple[Backfill, ...], tuple[tuple[str, str], ...], tuple[Unproven, ...]]:
    """The UPDATEs that can be judged, batches of one joined; those that cannot, with the reason; and the batches among
    these that the rule means all the same."""
    candidates: list[Candidate] = []
    unjudged: list[tuple[str, str]] = []
    doubts: list[_Doubt] = []
    for run in _updating(world):
        try:
            refuse_like(world, run, [*session, *statements[: run.index + 1]])
            candidates.append(candidate_of(world, run, statements[run.index]))
        except (Unjudged, NotTaken) as reason:
            unjudged.append((statements[run.index], str(reason)))
            if isinstance(reason, Unread | NotTaken):
                doubts += _doubts(world, run, str(reason))
    judged = []
    for candidate in candidates:
        if disturbed := written_later(world, candidate, candidates):
            unjudged.append((statements[candidate.run.index], disturbed))
            if disturbed == OPAQUE:
                doubts += _doubts(world, candidate.run, disturbed)
        else:
            judged.append(candidate)
    return tuple(_joined(judged)), tuple(unjudged), tuple(dict.fromkeys(_unproven(world, doubts, candidates)))


def _updating(world: World) -> list[Run]:
    """What wrote rows by UPDATE, in order; a statement that left it to those inside of it is not asked itself."""
    inner = [r for r in world.inner if any(e.verb is Verb.UPDATE for e in r.parsed.effects)]
    written = {e.index for e in world.events if e.verb is Verb.UPDATE}
    inside = {r.index for r in inner}
    outer = [
        r
        for r in world.runs
        if r.index in written and (r.index not in inside or any(e.verb is Verb.UPDATE for e in r.parsed.effects))
    ]
    return sorted([*outer, *inner], key=lambda r: (r.index, r.first))


def _joined(candidates: list[Candidate]) -> Iterator[Backfill]:
    """One backfill for all batches of the same SET; a key's range is dropped where two of them differ only in it."""
    groups: dict[tuple[object, ...], list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.same_set, []).append(candidate)
    for group in groups.values():
        bare = [rangeless(c.where, Ranges(keys=c.keys)) for c in group]
        forms = [_form(requalified(b, c.backfill.alias, ""), c.keys) for b, c in zip(bare, group, strict=True)]
        kept = [b if forms.count(f) > 1 else c.where for b, f, c in zip(bare, forms, group, strict=True)]
        first = group[0].backfill
        spelled = [_under(first, k, c.backfill) for k, c in zip(kept, group, strict=True)]
        conditions = tuple(dict.fromkeys(render(s) for s in spelled))
        ranges = [
            render(r)
            for c, k in zip(group, kept, strict=True)
            if k is not c.where
            for r in ranges_of(c.where, Ranges(keys=c.keys))
        ]
        yield replace(
            first,
            conditions=() if "" in conditions else conditions,
            batches=tuple(c.backfill.statement for c in group),
            limits=tuple(dict.fromkeys(limit for c in group for limit in c.backfill.limits)),
            ranges=tuple(dict.fromkeys([*(r for c in group for r in c.backfill.ranges), *ranges])),
            looped=any(c.backfill.looped for c in group),
        )


def _under(first: Backfill, where: tuple[Token, ...], own: Backfill) -> tuple[Token, ...]:
    """A condition as it reads in another statement, which may call the table otherwise."""
    if own.alias == first.alias:
        return where
    return requalified(where, own.alias, quote_name(first.alias, first.dialect))


def _form(where: Sequence[Token], keys: frozenset[str]) -> tuple[object, ...]:
    """Equal for conditions that differ only in which value a part of the key has: ``hall = 'a' AND no < 9``."""
    parts = conjuncts(where)
    return tuple(signature(p[:2]) if _is_place(p, keys) else signature(p) for p in parts)


def _is_place(tokens: Sequence[Token], keys: frozenset[str]) -> bool:
    return len(tokens) == 3 and tokens[0].name.casefold() in keys and tokens[1].word == "=" and not tokens[2].name


# --- batches that could not be read ---


def _doubts(world: World, run: Run, why: str) -> Iterator[_Doubt]:
    """An UPDATE whose SET and table are what the rule speaks of."""
    effects = [e for e in run.parsed.effects if e.verb in (Verb.UPDATE, Verb.INSERT, Verb.DELETE)]
    if len(effects) == 1 and effects[0].update is not None and run.parsed.kind != "EXPLAIN":
        try:
            yield _doubt(world, run, without_itself(run.parsed.tokens, effects[0].update), why)
        except Unjudged:
            return


def _doubt(world: World, run: Run, update: Update, why: str) -> _Doubt:
    """Raises Unjudged where the rule does not mean it."""
    tokens = run.parsed.tokens
    table, _ = target_of(world, run, update)
    columns = assigned(world, table, update)
    refuse_values(world, run, update, table, columns)
    where = span(tokens, update.where)
    if is_random(where, world.dialect):
        raise Unjudged("its WHERE is random")
    heads = (tokens[: update.head], where)
    behind = max(update.where.last, update.sources.last, update.items[-1].value.last)
    cut = any(map(_is_cut, heads)) or _is_cut(span(tokens, update.sources), tables=True)
    keys = keys_of(world, table)
    return _Doubt(
        run=run,
        table=table,
        where=tuple(where),
        keys=keys,
        touched=frozenset(map(id, [*columns, *run.columns])),
        same_set=(id(table), tuple((a.columns, signature(span(tokens, a.value))) for a in update.items)),
        names=tuple(c.name for c in columns),
        why=why,
        cut=cut or _is_cut(tokens[behind : update.end]) or _is_inner_batch(run, where, keys),
    )


def _is_inner_batch(run: Run, where: Tokens, keys: frozenset[str]) -> bool:
    """Whether a block may decide which rows it takes: by a range, or by a loop over rows that a LIMIT cuts."""
    around = run.parsed.around
    if around is NOWHERE:
        return False
    reads = variables_in(where, around.variables) or "CURRENT" in {t.word for t in where}
    compared = any(variables_in(p, around.variables) and _COMPARED & {t.word for t in p} for p in conjuncts(where))
    return compares_key(where, keys) or compared or bool(around.limited and reads)


def _is_cut(tokens: Tokens, *, tables: bool = False) -> bool:
    """Whether a LIMIT decides which rows are reached; one that only looks a single value up does not."""
    found = {t.word for t in tokens}
    if not found & {"LIMIT", "FETCH"}:
        return False
    try:
        return len(limitless(tokens, tables=tables)) < len(tokens)
    except NotTaken:
        return bool(found & {"<", ">", "<=", ">=", "BETWEEN"})


def _unproven(world: World, doubts: list[_Doubt], candidates: list[Candidate]) -> Iterator[Unproven]:
    """Those that a LIMIT or, where several write the same SET, a range on the key cuts into batches."""
    for doubt in doubts:
        same = [d for d in doubts if d.same_set == doubt.same_set]
        ranges = len(rangeless(doubt.where, Ranges(keys=doubt.keys))) < len(doubt.where)
        if not (doubt.cut or (ranges and len(same) > 1)) or doubt.table.ref is None:
            continue
        if written_later(world, doubt, [*same, *candidates]) in ("", OPAQUE):
            yield Unproven(table=doubt.table.ref, columns=doubt.names, why=doubt.why)
