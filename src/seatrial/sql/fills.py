"""One UPDATE that fills columns: what it sets, in which rows, and whether the rule can judge it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from seatrial.model import TableRef
from seatrial.sql.batches import (
    Ranges,
    limitless,
    limits_of,
    rangeless,
    ranges_of,
    render,
    requalified,
    signature,
    unbracketed,
    variables_in,
)
from seatrial.sql.blocks import NOWHERE
from seatrial.sql.cursor import Cursor, Tokens
from seatrial.sql.dml import changes
from seatrial.sql.effects import Span, Update, Verb
from seatrial.sql.mentions import Mention, Mentions, mentions
from seatrial.sql.selected import read_below
from seatrial.sql.statement import routine_body
from seatrial.sql.tables import TEMPORARY, Column, Run, Table
from seatrial.sql.tokens import PARAMETER, VARIABLE, Token, code, words
from seatrial.sql.values import is_random
from seatrial.sql.world import World
from seatrial.values import dataclass

_ROW_IDS = ("rowid", "_rowid_", "oid", "ctid")
_ZONED = words("TIMESTAMPTZ TIMETZ")
_FORMED = {
    "postgresql": frozenset({"FLOAT4", "FLOAT8", "REAL", "DOUBLE", "INTERVAL", "BYTEA", "MONEY"}),
    "mysql": frozenset({"FLOAT"}),
    "mariadb": frozenset({"FLOAT"}),
}
_EXACT_LIKE = re.compile(r"case_sensitive_like\s*[=(]\s*['\"]?(\w+)", re.IGNORECASE)
_TEXTS = frozenset({"TEXT", "VARCHAR", "CHARACTER", "CHAR", "BPCHAR", "TINYTEXT", "MEDIUMTEXT", "LONGTEXT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of SET. ``nulls_only``: the value follows the session's zone or forms, only NULL can be compared."""

    columns: tuple[str, ...]
    value: str
    nulls_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """An UPDATE (or batches of one) in the pieces of its own text; see ``probe_sql``."""

    table: TableRef  # its name at the end of the step
    columns: tuple[str, ...]
    statement: str  # the first of them, for a report
    dialect: str
    items: tuple[Item, ...]
    target: str  # "points AS p"; for MySQL's multi-table UPDATE all its table references
    alias: str  # by which the table's columns are qualified
    prefix: str = ""  # WITH ...
    sources: str = ""  # what stands behind FROM
    joined: bool = False  # several rows of sources may meet one row
    conditions: tuple[str, ...] = ()  # of each batch, without LIMIT and key ranges; empty: every row
    batches: tuple[str, ...] = ()  # every statement of it
    limits: tuple[str, ...] = ()  # what was taken away from them: "LIMIT 2"
    ranges: tuple[str, ...] = ()  # "id <= 100"
    looped: bool = False  # a loop of its block runs it
    reads_itself: bool = False  # WHERE reads a column that SET writes, in other rows: each run reaches more of them


class Unjudged(Exception):
    """Why an UPDATE is not judged."""


class Unread(Unjudged):
    """The rule means it, but what it says is not known here."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Which rows and columns an UPDATE works on."""

    run: Run
    table: Table
    where: tuple[Token, ...]
    keys: frozenset[str]
    touched: frozenset[int]  # ids of columns
    same_set: tuple[object, ...]

    @property
    def inner(self) -> bool:
        """Whether a block or a routine ran it."""
        return self.run.parsed.around is not NOWHERE


@dataclass(frozen=True, slots=True)
class Candidate(Reach):
    backfill: Backfill
    assigned: frozenset[int]


def candidate_of(world: World, run: Run, statement: str) -> Candidate:
    """An UPDATE that the rule can judge. Raises Unjudged and NotTaken where it cannot."""
    parsed = run.parsed
    effects = [e for e in parsed.effects if e.verb in (Verb.UPDATE, Verb.INSERT, Verb.DELETE)]
    if parsed.parts or len(effects) != 1 or effects[0].update is None or parsed.kind != "UPDATE":
        raise Unread("it is part of a larger statement")
    if run.why:
        raise Unread(run.why)
    tokens = parsed.tokens
    update = without_itself(tokens, effects[0].update)
    table, mention = target_of(world, run, update)
    columns = assigned(world, table, update)
    refuse_values(world, run, update, table, columns)
    _refuse_triggers(world, table, columns)
    keys = keys_of(world, table)
    where, taken = _without_steps(run, limitless(span(tokens, update.where)), keys)
    _refuse_settings(world, tokens, [*tokens[: update.where.first or len(tokens)], *where])
    if is_random(where, world.dialect):
        raise Unjudged("its WHERE is random")
    prefix, sources = limitless(tokens[: update.head]), limitless(span(tokens, update.sources), tables=True)
    backfill = Backfill(
        table=table.ref or TableRef("", ""),
        columns=tuple(c.name for c in columns),
        statement=render(tokens) if parsed.around is not NOWHERE else statement,
        dialect=world.dialect,
        items=tuple(_item(world, run, update, table, i) for i in range(len(update.items))),
        target=render(limitless(span(tokens, update.targets), tables=True)),
        alias=called(mention),
        prefix=render(prefix),
        sources=render(sources),
        joined=bool(update.sources) or _is_joined(tokens, update.targets),
        limits=tuple(limits_of(tokens)),
        ranges=taken,
        reads_itself=_reads_itself(world, tokens, update, columns),
        looped=parsed.around.repeated,
    )
    _refuse_variables(run, update, where, backfill)
    return Candidate(
        run=run,
        table=table,
        backfill=backfill,
        where=tuple(where),
        keys=keys,
        assigned=frozenset(map(id, columns)),
        touched=frozenset(map(id, [*columns, *run.columns])),
        same_set=(id(table), signature(prefix), *_set_signature(world, run, update, mention)),
    )


def _without_steps(run: Run, where: Tokens, keys: frozenset[str]) -> tuple[Tokens, tuple[str, ...]]:
    """WHERE without the ranges on the key that a loop moves on: such an UPDATE is all of its batches."""
    around = run.parsed.around
    if not around.repeated:
        return where, ()
    ranges = Ranges(keys=keys, moving=around.moving, variables=around.variables)
    return rangeless(where, ranges), tuple(render(r) for r in ranges_of(where, ranges))


def _refuse_variables(run: Run, update: Update, where: Tokens, backfill: Backfill) -> None:
    """What only the block knows: its variables' values, and how often a loop runs that takes no batches."""
    around, tokens = run.parsed.around, run.parsed.tokens
    values = (span(tokens, a.value) for a in update.items)
    for part in (*values, where, tokens[: update.targets.last], span(tokens, update.sources)):
        if variables_in(part, around.variables):
            raise Unread("it reads a variable of its block")
    if around.repeated and not (backfill.limits or len(where) < len(limitless(span(tokens, update.where)))):
        raise Unread("how often its loop runs is not known")


def span(tokens: Tokens, span: Span) -> Tokens:
    return tokens[span.first : span.last]


def without_itself(tokens: Tokens, update: Update) -> Update:
    """SET without ``c = c``, which only keeps MySQL's ON UPDATE from firing."""
    kept = [a for a in update.items if [t.name for t in span(tokens, a.value)] != list(a.columns)]
    return replace(update, items=tuple(kept)) if kept else update


def _reads_itself(world: World, tokens: Tokens, update: Update, columns: list[Column]) -> bool:
    """Whether a sub-select in WHERE reads what SET writes: what it fills lets the next run reach more rows."""
    where, names = span(tokens, update.where), {world.fold(c.name) for c in columns}
    inside = where[next((i for i, t in enumerate(where) if t.word == "SELECT"), len(where)) :]
    return any(t.name and world.fold(t.name) in names for t in inside)


def _set_signature(world: World, run: Run, update: Update, mention: Mention) -> tuple[object, ...]:
    """Equal for statements that set the same, whatever each calls the table and however it writes it."""
    tokens, alias = run.parsed.tokens, called(mention)
    sources = limitless(span(tokens, update.sources), tables=True)
    if len([m for m in run.parsed.found.tables if called(m) == alias]) > 1:
        return (signature(tokens),)  # what the name stands for changes inside
    values = [unbracketed(requalified(span(tokens, a.value), alias, "")) for a in update.items]
    items = [(tuple(map(world.fold, a.columns)), signature(v)) for a, v in zip(update.items, values, strict=True)]
    targets = _targets_signature(world, run, update, mention)
    return (targets, tuple(sorted(items)), signature(requalified(sources, alias, "")))


def _targets_signature(world: World, run: Run, update: Update, mention: Mention) -> tuple[object, ...]:
    """What stands around the written table between UPDATE and SET, without its name and alias."""
    tokens, alias = run.parsed.tokens, called(mention)
    start = mention.name.last + 1
    start += tokens[start].word == "*"
    if mention.alias:
        start += 1 + (tokens[start].word == "AS")
    before = requalified(tokens[update.targets.first : mention.name.first], alias, "")
    after = requalified(tokens[start : update.targets.last], alias, "")
    only = [t.word for t in before if t.word not in ("(", ")")] == ["ONLY"]
    if only and not _has_children(world, world.table(mention.name)):
        before, after = (), tuple(t for t in after if t.word != ")")
    return (signature(before), signature(after)) if before or after else ()


def _has_children(world: World, table: Table | None) -> bool:
    """Whether other tables inherit from it: ONLY leaves their rows out (PostgreSQL manual, UPDATE)."""
    name = table.before.name if table is not None and table.before is not None else ""
    parents = [a.get(n) for k, a in world.schema.items() if k.kind == "table" for n in ("inherits", "partition_of")]
    texts = [str(p) for given in parents if given for p in (given if isinstance(given, tuple) else (given,))]
    attached = any(e.verb is Verb.ATTACH for e in world.events)
    return attached or any(name in text for text in texts)


def called(mention: Mention) -> str:
    return mention.alias or mention.name.name


def _refuse_settings(world: World, whole: Tokens, tokens: Tokens) -> None:
    """What our own query could not say again in the same words; ``tokens`` is what it is to say."""
    if any(t.kind == PARAMETER for t in whole):
        raise Unread("its values were bound apart from its text")
    if any(t.kind == VARIABLE for t in tokens):
        raise Unread("it reads a session variable")
    found = {t.word for t in tokens}
    if found & {"TABLESAMPLE", "CURRENT"} and ("TABLESAMPLE" in found or "OF" in found):
        raise Unread("it works on a sample or at a cursor")
    if world.path != ("",):
        raise Unread("search_path was set")
    if world.dialect in ("mysql", "mariadb") and "||" in found:
        raise Unread("what || means follows sql_mode")


def refuse_like(world: World, run: Run, until: Sequence[str]) -> None:
    """Our own query's LIKE takes 'a' for 'A': what was set cannot be asked for (SQLite manual, PRAGMA)."""
    if world.dialect == "sqlite" and any(t.word == "LIKE" for t in run.parsed.tokens):
        found = [m[1].casefold() for text in until for m in _EXACT_LIKE.finditer(text)]
        if found and found[-1] in ("1", "on", "yes", "true"):
            raise Unread("PRAGMA case_sensitive_like was set")


def target_of(world: World, run: Run, update: Update) -> tuple[Table, Mention]:
    inside = [m for m in run.parsed.found.tables if update.targets.first <= m.name.first < update.targets.last]
    wanted = {a.qualifier for a in update.items if a.qualifier}
    named = [m for m in inside if wanted & {m.alias, m.name.name}] if wanted else []
    if not named and len(inside) > 1:
        names = [c for a in update.items for c in a.columns]
        named = [m for m in inside if (t := world.table(m.name)) is not None and _has(world, t, names)]
    choice = named or inside
    if len(choice) != 1 or len(wanted) > 1:
        raise Unread("it assigns columns of several tables, or of a view")
    table = world.table(choice[0].name)
    if table is None or table.ref is None or table.ref.namespace == TEMPORARY:
        raise Unjudged("its table is not there at the end under this name")
    return table, choice[0]


def _has(world: World, table: Table, names: Sequence[str]) -> bool:
    return any(world.fold(n) in table.columns for n in names)


def assigned(world: World, table: Table, update: Update) -> list[Column]:
    names = [n for a in update.items for n in a.columns]
    found = [world.column(table, n) for n in names]
    if not names or not all(found):
        raise Unjudged("a column that it assigns is not there at the end under this name")
    return [c for c in found if c is not None]


def _is_part(tokens: Sequence[Token], value: int, dialect: str) -> bool:
    """``SET a[1] = ...``, ``SET a.b = ...``: in PostgreSQL no table stands before the dot (manual, UPDATE)."""
    before = [t.text for t in tokens[max(0, value - 3) : value]]
    return dialect == "postgresql" and (before[-2:] == ["]", "="] or (len(before) == 3 and before[0] == "."))


def refuse_values(world: World, run: Run, update: Update, table: Table, columns: list[Column]) -> None:
    tokens = run.parsed.tokens
    names = {world.fold(c.name) for c in columns}
    for assignment in update.items:
        value = span(tokens, assignment.value)
        if _is_part(tokens, assignment.value.first, world.dialect):
            raise Unread("it assigns an element or a field of a column")
        if [t.word for t in value] == ["DEFAULT"]:
            raise Unread("it sets a column to its default")
        found = mentions(value, world.dialect)
        if world.varies(value) or any(_varies_inside(world, c.name) for c in found.calls):
            raise Unjudged("what it sets is not the same every time")
        if any(_reads(world, run, found, table, q, n) for q, n in found.columns if world.fold(n) in names):
            raise Unjudged("it reads a column that it assigns")
    if names & read_below(world, run, update, table):
        raise Unjudged("it reads a column that it assigns")


def _varies_inside(world: World, name: str) -> bool:
    """Whether a function of the project's own may give another value: it is random, or reads tables."""
    for definition in world.routines.get(world.fold(name), ()):
        body = routine_body(definition, world.dialect)
        if body is None or any(world.varies(p.tokens) or p.found.tables for p in body):
            return True
    return False


def _reads(world: World, run: Run, found: Mentions, table: Table, qualifier: str, name: str) -> bool:
    """Whether an identifier in SET is a column of the table that is written."""
    if qualifier:
        return table in run.tables.get(world.fold(qualifier), {table})
    inner = [t for m in found.tables if (t := world.table(m.name)) is not None]
    return not any(t is not table and world.fold(name) in t.columns for t in inner)


def _refuse_triggers(world: World, table: Table, columns: list[Column]) -> None:
    """A trigger that assigns the same column decides what is stored."""
    names = {world.fold(c.name) for c in columns}
    for definition in _triggers(world, table):
        tokens = code(definition, world.dialect)
        sets = any(_sets_new(world, tokens, i, names) for i in range(len(tokens)))
        updates = (e for e in changes(tokens, world.dialect) if e.verb is Verb.UPDATE)
        assigned = {world.fold(n) for e in updates for a in e.values for n in a.columns}
        if sets or names & assigned:
            raise Unread("a trigger writes the same column")


def _triggers(world: World, table: Table) -> Iterator[str]:
    before = table.before
    for key, attributes in world.schema.items():
        if key.kind != "trigger" or before is None or (key.namespace, key.table) != (before.namespace, before.name):
            continue
        definition = str(attributes.get("definition") or "")
        yield definition
        for call in mentions(code(definition, world.dialect), world.dialect).calls:
            for body in world.routines.get(world.fold(call.name), ()):
                yield from (t.value for t in code(body, world.dialect) if t.kind == "string")


def _sets_new(world: World, tokens: Tokens, i: int, names: set[str]) -> bool:
    cursor = Cursor(tokens, world.dialect, i)
    if not cursor.accept("NEW", "."):
        return False
    return world.fold(cursor.identifier()) in names and cursor.word() in (":=", "=")


def _item(world: World, run: Run, update: Update, table: Table, number: int) -> Item:
    assignment = update.items[number]
    value = span(run.parsed.tokens, assignment.value)
    target = [c for n in assignment.columns if (c := world.column(table, n)) is not None]
    names = tuple(c.name for c in target)
    nulls_only = _follows_zone(world, run, target, value) or _follows_form(world, run, target, value)
    return Item(columns=names, value=render(value), nulls_only=nulls_only)


def _follows_form(world: World, run: Run, target: list[Column], value: Tokens) -> bool:
    """Whether a value becomes text in a form that the session decides or a cast does not share (FLOAT in MySQL)."""
    formed = _FORMED.get(world.dialect, frozenset())
    texts = any({t.word for t in c.type[:1]} & _TEXTS for c in target)
    return texts and any({t.word for t in c.type[:1]} & formed for c in _read(world, run, value))


def _follows_zone(world: World, run: Run, target: list[Column], value: Tokens) -> bool:
    """Whether the value is another under another session zone: our own session's is UTC."""
    found = {t.word for t in value}
    if world.dialect == "sqlite" or "ZONE" in found or found == {"NULL"}:
        return False
    read = _read(world, run, value)
    if len(read) == 1 and len(value) <= 3 and _is_zoned(world, read[0]) == _is_zoned(world, target[0]):
        return False
    return any(_is_zoned(world, c) for c in (*target, *read))


def _is_zoned(world: World, column: Column) -> bool:
    kind = [t.word for t in column.type]
    if world.dialect == "postgresql":
        return bool(set(kind[:1]) & _ZONED) or ("WITH" in kind and "ZONE" in kind)
    return kind[:1] == ["TIMESTAMP"]


def _read(world: World, run: Run, tokens: Tokens) -> list[Column]:
    """Every column that one of the names may mean, of all tables that the statement names."""
    tables: set[Table] = set().union(*run.tables.values()) if run.tables else set()
    names = {world.fold(t.name) for t in tokens if t.name}
    return [c for t in tables for n, c in t.columns.items() if n in names]


def _is_joined(tokens: Tokens, targets: Span) -> bool:
    return any(t.word in ("JOIN", ",", "STRAIGHT_JOIN") for t in span(tokens, targets))


def keys_of(world: World, table: Table) -> frozenset[str]:
    """The columns of the table's primary key (and SQLite's rowid, PostgreSQL's ctid)."""
    found = set(_ROW_IDS)
    for key, attributes in world.schema.items():
        owner = key.owner
        if owner != table.before or table.before is None:
            continue
        columns = attributes.get("columns")
        if "primary key" in (key.kind, attributes.get("type")) and isinstance(columns, tuple):
            found |= {world.fold(c) for c in columns}
    for event in world.events:
        rule = event.effect.rule if event.effect is not None else None
        if event.table is table and rule is not None and rule.type == "primary key":
            found |= {world.fold(c) for c in rule.columns}
    return frozenset(found)
