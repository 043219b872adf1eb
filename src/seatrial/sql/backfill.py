"""UPDATEs that fill columns, and whether rows that they meant to reach can be looked for at the end of the step.

The rule (design, section 6, backfill-incomplete): WHERE is evaluated at the end of up, without LIMIT, and without a
range on the key where two or more statements write the same SET. Judged only where SET is deterministic, reads no
column that it assigns, and nothing later writes, renames or drops what SET or WHERE touch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from seatrial.model import TableRef
from seatrial.sql.batches import (
    NotTaken,
    conjuncts,
    limitless,
    limits_of,
    rangeless,
    ranges_of,
    render,
    requalified,
    signature,
    unbracketed,
)
from seatrial.sql.cursor import Cursor, Tokens
from seatrial.sql.dml import changes
from seatrial.sql.effects import Span, Update, Verb
from seatrial.sql.mentions import Mention, Mentions, mentions
from seatrial.sql.statement import routine_body
from seatrial.sql.tables import TEMPORARY, Column, Event, Run, Table
from seatrial.sql.tokens import PARAMETER, VARIABLE, Token, code, quote_name, words
from seatrial.sql.values import is_random
from seatrial.sql.world import World

_ROW_IDS = ("rowid", "_rowid_", "oid", "ctid")
_GONE = (Verb.DROP_TABLE, Verb.RENAME_TABLE, Verb.TRUNCATE, Verb.DELETE, Verb.INSERT, Verb.CONVERT)
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
    reads_itself: bool = False  # WHERE reads a column that SET writes, in other rows: each run reaches more of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Unproven:
    """A batch of a backfill that the rule means and that could not be read: whether it left rows out is not known."""

    table: TableRef  # its name at the end of the step
    columns: tuple[str, ...]
    why: str


class _Unjudged(Exception):
    """Why an UPDATE is not judged."""


class _Unread(_Unjudged):
    """The rule means it, but what it says is not known here."""


@dataclass(frozen=True, slots=True)
class _Reach:
    """Which rows and columns an UPDATE works on."""

    run: Run
    table: Table
    where: tuple[Token, ...]
    keys: frozenset[str]
    touched: frozenset[int]  # ids of columns
    same_set: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Candidate(_Reach):
    backfill: Backfill
    assigned: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Doubt(_Reach):
    names: tuple[str, ...]
    why: str
    cut: bool  # a LIMIT says which rows it takes


def backfills(
    world: World, statements: Sequence[str], session: Sequence[str] = ()
) -> tuple[tuple[Backfill, ...], tuple[tuple[str, str], ...], tuple[Unproven, ...]]:
    """The UPDATEs that can be judged, batches of one joined; those that cannot, with the reason; and the batches among
    these that the rule means all the same."""
    candidates: list[_Candidate] = []
    unjudged: list[tuple[str, str]] = []
    doubts: list[_Doubt] = []
    updating = {e.index for e in world.events if e.verb is Verb.UPDATE}
    for run in world.runs:
        if run.index not in updating:
            continue
        try:
            _refuse_like(world, run, [*session, *statements[: run.index + 1]])
            candidates.append(_candidate(world, run, statements[run.index]))
        except (_Unjudged, NotTaken) as reason:
            unjudged.append((statements[run.index], str(reason)))
            if isinstance(reason, _Unread | NotTaken):
                doubts += _doubts(world, run, str(reason))
    judged = []
    for candidate in candidates:
        if disturbed := _written_later(world, candidate, candidates):
            unjudged.append((statements[candidate.run.index], disturbed))
            if disturbed == _OPAQUE:
                doubts += _doubts(world, candidate.run, disturbed)
        else:
            judged.append(candidate)
    return tuple(_joined(judged)), tuple(unjudged), tuple(dict.fromkeys(_unproven(world, doubts, candidates)))


def _joined(candidates: list[_Candidate]) -> Iterator[Backfill]:
    """One backfill for all batches of the same SET; a key's range is dropped where two of them differ only in it."""
    groups: dict[tuple[object, ...], list[_Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.same_set, []).append(candidate)
    for group in groups.values():
        bare = [rangeless(c.where, c.keys) for c in group]
        forms = [_form(requalified(b, c.backfill.alias, ""), c.keys) for b, c in zip(bare, group, strict=True)]
        kept = [b if forms.count(f) > 1 else c.where for b, f, c in zip(bare, forms, group, strict=True)]
        first = group[0].backfill
        spelled = [_under(first, k, c.backfill) for k, c in zip(kept, group, strict=True)]
        conditions = tuple(dict.fromkeys(render(s) for s in spelled))
        ranges = [
            render(r) for c, k in zip(group, kept, strict=True) if k is not c.where for r in ranges_of(c.where, c.keys)
        ]
        yield replace(
            first,
            conditions=() if "" in conditions else conditions,
            batches=tuple(c.backfill.statement for c in group),
            limits=tuple(dict.fromkeys(limit for c in group for limit in c.backfill.limits)),
            ranges=tuple(dict.fromkeys(ranges)),
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
    """The UPDATEs of a statement whose SET and table are what the rule speaks of."""
    for parsed in run.parsed.parts or (run.parsed,):
        effects = [e for e in parsed.effects if e.verb in (Verb.UPDATE, Verb.INSERT, Verb.DELETE)]
        if parsed.kind == "UPDATE" and len(effects) == 1 and effects[0].update is not None:
            try:
                yield _doubt(world, replace(run, parsed=parsed), _without_itself(parsed.tokens, effects[0].update), why)
            except _Unjudged:
                continue


def _doubt(world: World, run: Run, update: Update, why: str) -> _Doubt:
    """Raises _Unjudged where the rule does not mean it."""
    tokens = run.parsed.tokens
    table, _ = _target(world, run, update)
    columns = _assigned(world, table, update)
    _refuse_values(world, run, update, table, columns)
    where = _span(tokens, update.where)
    if is_random(where, world.dialect):
        raise _Unjudged("its WHERE is random")
    heads = (tokens[: update.head], where)
    return _Doubt(
        run=run,
        table=table,
        where=tuple(where),
        keys=_keys(world, table),
        touched=frozenset(map(id, [*columns, *run.columns])),
        same_set=(id(table), tuple((a.columns, signature(_span(tokens, a.value))) for a in update.items)),
        names=tuple(c.name for c in columns),
        why=why,
        cut=any(map(_is_cut, heads)) or _is_cut(_span(tokens, update.sources), tables=True),
    )


def _is_cut(tokens: Tokens, *, tables: bool = False) -> bool:
    """Whether a LIMIT decides which rows are reached; one that only looks a single value up does not."""
    found = {t.word for t in tokens}
    if not found & {"LIMIT", "FETCH"}:
        return False
    try:
        return len(limitless(tokens, tables=tables)) < len(tokens)
    except NotTaken:
        return bool(found & {"<", ">", "<=", ">=", "BETWEEN"})


def _unproven(world: World, doubts: list[_Doubt], candidates: list[_Candidate]) -> Iterator[Unproven]:
    """Those that a LIMIT or, where several write the same SET, a range on the key cuts into batches."""
    for doubt in doubts:
        same = [d for d in doubts if d.same_set == doubt.same_set]
        ranges = len(rangeless(doubt.where, doubt.keys)) < len(doubt.where)
        if not (doubt.cut or (ranges and len(same) > 1)) or doubt.table.ref is None:
            continue
        if _written_later(world, doubt, [*same, *candidates]) in ("", _OPAQUE):
            yield Unproven(table=doubt.table.ref, columns=doubt.names, why=doubt.why)


# --- one UPDATE -------------------------------------------------------------------------------------------------------


def _candidate(world: World, run: Run, statement: str) -> _Candidate:
    parsed = run.parsed
    effects = [e for e in parsed.effects if e.verb in (Verb.UPDATE, Verb.INSERT, Verb.DELETE)]
    if parsed.parts or len(effects) != 1 or effects[0].update is None or parsed.kind != "UPDATE":
        raise _Unread("it is part of a larger statement")
    tokens = parsed.tokens
    update = _without_itself(tokens, effects[0].update)
    _refuse_settings(world, tokens)
    table, mention = _target(world, run, update)
    columns = _assigned(world, table, update)
    _refuse_values(world, run, update, table, columns)
    _refuse_triggers(world, table, columns)
    where = limitless(tokens[update.where.first : update.where.last])
    if is_random(where, world.dialect):
        raise _Unjudged("its WHERE is random")
    prefix, sources = limitless(tokens[: update.head]), limitless(_span(tokens, update.sources), tables=True)
    backfill = Backfill(
        table=table.ref or TableRef("", ""),
        columns=tuple(c.name for c in columns),
        statement=statement,
        dialect=world.dialect,
        items=tuple(_item(world, run, update, table, i) for i in range(len(update.items))),
        target=render(limitless(_span(tokens, update.targets), tables=True)),
        alias=_called(mention),
        prefix=render(prefix),
        sources=render(sources),
        joined=bool(update.sources) or _is_joined(tokens, update.targets),
        limits=tuple(limits_of(tokens)),
        reads_itself=_reads_itself(world, tokens, update, columns),
    )
    return _Candidate(
        run=run,
        table=table,
        backfill=backfill,
        where=tuple(where),
        keys=_keys(world, table),
        assigned=frozenset(map(id, columns)),
        touched=frozenset(map(id, [*columns, *run.columns])),
        same_set=(id(table), signature(prefix), *_set_signature(world, run, update, _called(mention))),
    )


def _span(tokens: Tokens, span: Span) -> Tokens:
    return tokens[span.first : span.last]


def _without_itself(tokens: Tokens, update: Update) -> Update:
    """SET without ``c = c``, which only keeps MySQL's ON UPDATE from firing."""
    kept = [a for a in update.items if [t.name for t in _span(tokens, a.value)] != list(a.columns)]
    return replace(update, items=tuple(kept)) if kept else update


def _reads_itself(world: World, tokens: Tokens, update: Update, columns: list[Column]) -> bool:
    """Whether a sub-select in WHERE reads what SET writes: what it fills lets the next run reach more rows."""
    where, names = _span(tokens, update.where), {world.fold(c.name) for c in columns}
    inside = where[next((i for i, t in enumerate(where) if t.word == "SELECT"), len(where)) :]
    return any(t.name and world.fold(t.name) in names for t in inside)


def _set_signature(world: World, run: Run, update: Update, alias: str) -> tuple[object, ...]:
    """Equal for statements that set the same, whatever each calls the table and however it writes it."""
    tokens = run.parsed.tokens
    targets, sources = _span(tokens, update.targets), limitless(_span(tokens, update.sources), tables=True)
    if len([m for m in run.parsed.found.tables if _called(m) == alias]) > 1:
        return (signature(tokens),)  # what the name stands for changes inside
    values = [unbracketed(requalified(_span(tokens, a.value), alias, "")) for a in update.items]
    items = [(tuple(map(world.fold, a.columns)), signature(v)) for a, v in zip(update.items, values, strict=True)]
    plain = {t.word for t in targets} <= {"AS", ".", *(t.word for t in targets if t.name)} - {
        "ONLY",
        "PARTITION",
        "JOIN",
    }
    return (() if plain else signature(targets), tuple(items), signature(requalified(sources, alias, "")))


def _called(mention: Mention) -> str:
    return mention.alias or mention.name.name


def _refuse_settings(world: World, tokens: Tokens) -> None:
    """What our own query could not say again in the same words."""
    if any(t.kind == PARAMETER for t in tokens):
        raise _Unread("its values were bound apart from its text")
    if any(t.kind == VARIABLE for t in tokens):
        raise _Unread("it reads a session variable")
    found = {t.word for t in tokens}
    if found & {"TABLESAMPLE", "CURRENT"} and ("TABLESAMPLE" in found or "OF" in found):
        raise _Unread("it works on a sample or at a cursor")
    if world.path != ("",):
        raise _Unread("search_path was set")
    if world.dialect in ("mysql", "mariadb") and "||" in found:
        raise _Unread("what || means follows sql_mode")


def _refuse_like(world: World, run: Run, until: Sequence[str]) -> None:
    """Our own query's LIKE takes 'a' for 'A': what was set cannot be asked for (SQLite manual, PRAGMA)."""
    if world.dialect == "sqlite" and any(t.word == "LIKE" for t in run.parsed.tokens):
        found = [m[1].casefold() for text in until for m in _EXACT_LIKE.finditer(text)]
        if found and found[-1] in ("1", "on", "yes", "true"):
            raise _Unread("PRAGMA case_sensitive_like was set")


def _target(world: World, run: Run, update: Update) -> tuple[Table, Mention]:
    inside = [m for m in run.parsed.found.tables if update.targets.first <= m.name.first < update.targets.last]
    wanted = {a.qualifier for a in update.items if a.qualifier}
    named = [m for m in inside if wanted & {m.alias, m.name.name}] if wanted else []
    if not named and len(inside) > 1:
        names = [c for a in update.items for c in a.columns]
        named = [m for m in inside if (t := world.table(m.name)) is not None and _has(world, t, names)]
    choice = named or inside
    if len(choice) != 1 or len(wanted) > 1:
        raise _Unread("it assigns columns of several tables, or of a view")
    table = world.table(choice[0].name)
    if table is None or table.ref is None or table.ref.namespace == TEMPORARY:
        raise _Unjudged("its table is not there at the end under this name")
    return table, choice[0]


def _has(world: World, table: Table, names: Sequence[str]) -> bool:
    return any(world.fold(n) in table.columns for n in names)


def _assigned(world: World, table: Table, update: Update) -> list[Column]:
    names = [n for a in update.items for n in a.columns]
    found = [world.column(table, n) for n in names]
    if not names or not all(found):
        raise _Unjudged("a column that it assigns is not there at the end under this name")
    return [c for c in found if c is not None]


def _is_part(tokens: Sequence[Token], value: int, dialect: str) -> bool:
    """``SET a[1] = ...``, ``SET a.b = ...``: in PostgreSQL no table stands before the dot (manual, UPDATE)."""
    before = [t.text for t in tokens[max(0, value - 3) : value]]
    return dialect == "postgresql" and (before[-2:] == ["]", "="] or (len(before) == 3 and before[0] == "."))


def _refuse_values(world: World, run: Run, update: Update, table: Table, columns: list[Column]) -> None:
    tokens = run.parsed.tokens
    names = {world.fold(c.name) for c in columns}
    for assignment in update.items:
        value = _span(tokens, assignment.value)
        if _is_part(tokens, assignment.value.first, world.dialect):
            raise _Unread("it assigns an element or a field of a column")
        if [t.word for t in value] == ["DEFAULT"]:
            raise _Unread("it sets a column to its default")
        found = mentions(value, world.dialect)
        if world.varies(value) or any(_varies_inside(world, c.name) for c in found.calls):
            raise _Unjudged("what it sets is not the same every time")
        if any(_reads(world, run, found, table, q, n) for q, n in found.columns if world.fold(n) in names):
            raise _Unjudged("it reads a column that it assigns")


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
            raise _Unread("a trigger writes the same column")


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
    value = _span(run.parsed.tokens, assignment.value)
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
    return any(t.word in ("JOIN", ",", "STRAIGHT_JOIN") for t in _span(tokens, targets))


def _keys(world: World, table: Table) -> frozenset[str]:
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


# --- what comes later -------------------------------------------------------------------------------------------------


_OPAQUE = "a later statement's effect is not known"


def _written_later(world: World, candidate: _Reach, all_of_them: Sequence[_Reach]) -> str:
    """Why the end of the step does not show what the UPDATE left; empty where it does."""
    same = {c.run.index for c in all_of_them if c.same_set == candidate.same_set}
    tables: set[Table] = set().union(*candidate.run.tables.values()) if candidate.run.tables else set()
    if any(t.ref is None or t.ref.namespace == TEMPORARY for t in tables):
        return "a table that it reads is not there at the end"
    if any(i > candidate.run.index for i in world.opaque):
        return _OPAQUE
    for event in world.events:
        later = event.index > candidate.run.index and event.index not in same
        if later and event.table in tables and _disturbs(event, candidate):
            return "a later statement writes, renames or drops what it touches"
    return ""


def _disturbs(event: Event, candidate: _Reach) -> bool:
    if event.verb in _GONE or event.view:
        return True
    if event.column is None or id(event.column) not in candidate.touched:
        return False
    if event.verb is Verb.REDEFINE:
        return _changes_type(event)
    return event.verb in (Verb.UPDATE, Verb.DROP_COLUMN, Verb.RENAME_COLUMN)


def _changes_type(event: Event) -> bool:
    """MODIFY with the same type only makes the column NOT NULL."""
    definition = event.effect.definition if event.effect is not None else None
    if definition is None or not definition.type or event.column is None:
        return False
    return _type_text(definition.type) != _type_text(event.column.type)


_ALIASES = {"INTEGER": "INT", "NUMERIC": "DECIMAL", "DEC": "DECIMAL", "CHARACTER": "CHAR", "BOOLEAN": "BOOL"}


def _type_text(kind: Sequence[Token]) -> str:
    parts = [_ALIASES.get(t.word, t.word or t.text) for t in kind]
    return " ".join(parts).replace("CHAR VARYING", "VARCHAR").replace("TINYINT ( 1 )", "BOOL")


Types = Mapping[str, str]
