"""Which rows the statements of a migration speak of: the conditions of WHERE, ON, CASE and joins, table by table. Pure.

Rows that are made up before anybody knows what a later migration looks for hold none of its words. What is read here
says which rows it needs, so that they can be made (seeds.reach), and which literals it writes by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from seatrial.model import TableRef
from seatrial.sql.batches import render
from seatrial.sql.cursor import find
from seatrial.sql.effects import Verb
from seatrial.sql.look import DDL
from seatrial.sql.queries import (
    EQUALS,
    LITERALS,
    Block,
    Part,
    Reader,
    Source,
    bare,
    column_token,
    is_plain,
    known_as,
    names_of,
    pairs_of,
    variants,
)
from seatrial.sql.split import split
from seatrial.sql.statement import BLOCKS, Parsed, parse
from seatrial.sql.tokens import NUMBER, Token
from seatrial.values import dataclass

_AT_MOST = 24  # wants of one statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """``column`` is one of the ``other`` values of another table's rows: a join, or IN (SELECT ...)."""

    column: str
    table: TableRef
    other: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Literals that a statement writes into one row: (column in lower case or ``#0`` by its place, value, as written).

    What it only finds the row by is not written. ``whole``: an INSERT, whose other columns take their defaults.
    """

    table: TableRef
    cells: tuple[tuple[str, str, str], ...]
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """Rows of ``table`` (as written) for which all ``parts`` hold, conditions in plain column names.

    ``pairs``: (column, literal) that they compare, in lower case the column. ``given``: the row that down writes there,
    so that the project knows what it holds.
    """

    table: TableRef
    parts: tuple[str, ...]
    links: tuple[Link, ...] = ()
    pairs: frozenset[tuple[str, str]] = frozenset()
    rows: int = 2  # how many; one where a query may give no more: SET x = (SELECT ...)
    given: Given | None = None

    @property
    def asks(self) -> tuple[object, ...]:
        """What tells wants apart."""
        return self.table, self.parts, self.links


@dataclass(frozen=True, slots=True)
class Said:
    """What a step's statements say: which rows they want, and the (column, literal) that they write, "*" for any.

    ``changed``: the tables that they write to, by name and without case.
    """

    wants: tuple[Want, ...] = ()
    written: frozenset[tuple[str, str]] = frozenset()
    changed: frozenset[str] = frozenset()
    given: tuple[Given, ...] = ()


def wanted(up: Sequence[str], down: Sequence[str], dialect: str) -> tuple[Want, ...]:
    """The rows that should stand before up, so that the statements of up and down meet some.

    What up itself writes stands before down; a row that held it before up would be another one, and is not wanted: what
    a literal tells, or the rows elsewhere from which up fills a table and by which alone down finds them there. Nor
    is what down looks for in a table that up does not write to: it clears away what the application wrote since.
    """
    if not any(word in text.upper() for text in (*up, *down) for word in _ASKING):
        return ()
    ups, downs = ([read(t, dialect) for t in _statements(texts, dialect)] for texts in (up, down))
    given = [g for said in downs for g in said.given]
    found: list[Want] = []
    written: frozenset[tuple[str, str]] = frozenset()
    for said in ups:
        found += [_as_given(w, given) for w in said.wants if not _is_written(w, written)]
        written |= said.written
    changed = {name for said in ups for name in said.changed}
    sources = {(w.table.name.casefold(), part) for said in ups for w in said.wants for part in w.parts}
    undone = (w for said in downs for w in said.wants if w.table.name.casefold() in changed)
    found += [w for w in undone if not _is_written(w, written) and not _comes_from(w, sources)]
    once: dict[object, Want] = {}
    for want in found:
        once.setdefault(want.asks, want)
    return tuple(once.values())


_ASKING = ("WHERE", "CASE", "MERGE", "JOIN")


def _statements(texts: Sequence[str], dialect: str) -> Iterator[str]:
    """Those that ask for rows or write some; of a script full of rows, only the first of these."""
    read_so_far = 0
    for text in texts:
        for statement in [p.text for p in split(text, dialect)] if ";" in text else [text]:
            asks = any(word in statement.upper() for word in _ASKING)
            read_so_far += 0 if asks else len(statement)
            if asks or read_so_far < _LONGEST:
                yield statement


def _as_given(want: Want, given: Sequence[Given]) -> Want:
    """With the one row that down puts back, where it says which."""
    name = want.table.name.casefold()
    for row in given if want.pairs else ():
        cells = {(column, value) for column, value, _ in row.cells}
        places = {value for column, value in cells if column[:1] == "#"}
        if row.table.name.casefold() == name and all(p in cells or p[1] in places for p in want.pairs):
            return replace(want, given=row, rows=1)
    return want


def _is_written(want: Want, written: frozenset[tuple[str, str]]) -> bool:
    return any(pair in written or ("*", pair[1]) in written for pair in want.pairs)


def _comes_from(want: Want, sources: Collection[tuple[str, str]]) -> bool:
    """Whether nothing but rows of other tables tell the wanted ones, the same that up reads."""
    asked = [(link.table.name.casefold(), part) for link in want.links for part in link.parts]
    return not want.parts and bool(asked) and all(a in sources for a in asked)


def looked_for(text: str, dialect: str) -> tuple[Want, ...]:
    """The rows that one statement wants."""
    return read(text, dialect).wants


def read(text: str, dialect: str) -> Said:
    """What one statement says."""
    if len(text) > _LONGEST or not any(word in text.upper() for word in ("WHERE", "CASE", "INSERT", "MERGE", " SET")):
        return Said()
    return _read(text, dialect)


_WRITES = (Verb.INSERT, Verb.UPDATE, Verb.DELETE)
_LONGEST = 200_000  # characters: data, not conditions


@lru_cache(maxsize=512)
def _read(text: str, dialect: str) -> Said:
    wants: list[Want] = []
    written: set[tuple[str, str]] = set()
    changed: set[str] = set()
    given: list[Given] = []
    for parsed in _executed(parse(text, dialect)):
        written |= set(_written(parsed))
        changed |= {e.table.name.casefold() for e in parsed.effects if e.table is not None and e.verb in _WRITES}
        if parsed.tokens and _looks_for_rows(parsed):
            own = list(_wants(parsed, dialect))[:_AT_MOST]
            given += _given(parsed, own)
            wants += own
    return Said(tuple(dict.fromkeys(wants)), frozenset(written), frozenset(changed), tuple(given))


def _executed(parsed: Parsed) -> Iterator[Parsed]:
    yield parsed
    for part in parsed.parts if parsed.executed or parsed.kind in BLOCKS else ():
        yield from _executed(part)


def _looks_for_rows(parsed: Parsed) -> bool:
    """Whether rows decide what it does: not where it only defines (a view, a partial index, a check)."""
    first = next((t.word for t in parsed.tokens if t.word != "("), "")
    if first == "CREATE":
        return parsed.kind == "CREATE TABLE" and any(t.word == "SELECT" for t in parsed.tokens)
    return parsed.executed and first not in DDL and parsed.kind not in BLOCKS


def _written(parsed: Parsed) -> Iterator[tuple[str, str]]:
    for effect in parsed.effects:
        for assignment in effect.values:
            for token in parsed.tokens[assignment.value.first : assignment.value.last]:
                if token.kind in LITERALS:
                    yield from ((c.casefold() if c and c[0] != "#" else "*", token.value) for c in assignment.columns)


# --- one statement ---


# --- rows that a statement writes ---


def _given(parsed: Parsed, wants: Sequence[Want]) -> Iterator[Given]:
    """The rows of INSERT ... VALUES, and what UPDATE t SET a = 1 WHERE b = 2 makes of the rows that it means."""
    for effect in parsed.effects:
        if effect.table is None or effect.verb not in (Verb.INSERT, Verb.UPDATE):
            continue
        table = TableRef(effect.table.qualifier, effect.table.name)
        rows: list[dict[str, tuple[str, str]]] = [{}]
        for assignment in effect.values:
            value = parsed.tokens[assignment.value.first : assignment.value.last]
            column = assignment.columns[0].casefold()
            if column in rows[-1]:
                rows.append({})
            rows[-1][column] = _cell(value)
        inserted = effect.verb is Verb.INSERT
        asked = tuple((c, v, "") for w in wants if len(wants) == 1 and not inserted for c, v in w.pairs)
        for row in rows:
            if cells := tuple((c, *cell) for c, cell in row.items() if cell[1]):
                yield Given(table=table, cells=cells + tuple(a for a in asked if a[0] not in row), whole=inserted)


def _cell(value: Sequence[Token]) -> tuple[str, str]:
    """A literal's value, and the literal; empty where it is none."""
    if len(value) == 1 and (value[0].kind in LITERALS or value[0].word in ("NULL", "TRUE", "FALSE")):
        return value[0].value, value[0].text
    negative = len(value) == 2 and value[0].word == "-" and value[1].kind == NUMBER
    return (f"-{value[1].value}", f"-{value[1].text}") if negative else ("", "")


# --- of one query ---


def _wants(parsed: Parsed, dialect: str) -> Iterator[Want]:
    reader = Reader(parsed.tokens, dialect)
    for first, last in reader.scopes():
        rows = 1 if reader.gives_one_value(first) else 2
        for block in reader.blocks(first, last):
            yield from (replace(want, rows=rows) for want in _of_block(block, dialect))


def _of_block(block: Block, dialect: str) -> Iterator[Want]:
    for parts in (block.parts, *((*block.parts, *case) for case in block.cases)):
        for variant in variants(parts):
            yield from _of_variant(block.sources, variant, dialect)


def _of_variant(sources: Sequence[Source], parts: Sequence[Part], dialect: str) -> Iterator[Want]:
    own = {s.alias: [p for p in parts if _owner(p, sources) is s and is_plain(p)] for s in sources}
    links = [found for p in parts if (found := _link(p, sources))]
    for source in sources:
        if source.table is None or source.outer:
            continue
        mine = [bare(p) for p in own[source.alias]]
        listed = list(_from_values(source, links))
        joined = tuple(_links(source, links, own)) + tuple(_sub_selects(parts, source, sources, dialect))
        for more in listed or [[]]:
            asked = [*mine, *more]
            if asked or any(k.parts for k in joined):
                pairs = frozenset(pair for p in asked for pair in pairs_of(p))
                texts = tuple(dict.fromkeys(render(p) for p in asked))
                yield Want(table=source.table, parts=texts, links=joined, pairs=pairs)


def _owner(part: Part, sources: Sequence[Source]) -> Source | None:
    """The source whose columns alone a condition names."""
    names = list(names_of(part))
    if not names:
        return None
    if len(sources) == 1:
        fits = all(not q or q.casefold() in known_as(sources[0]) for q, _ in names)
        return sources[0] if fits else None
    found = [s for s in sources if all(q and q.casefold() in known_as(s) for q, _ in names)]
    return found[0] if len(found) == 1 else None


def _link(part: Part, sources: Sequence[Source]) -> list[tuple[Source, str]] | None:
    """The two ends of ``a.x = b.y``."""
    words_in = [t.word for t in part if t.word in ("=", "==")]
    names = list(names_of(part))
    if len(words_in) != 1 or len(names) != 2 or len(part) > 7:
        return None
    ends = [(s, n) for q, n in names for s in sources if q and q.casefold() in known_as(s)]
    return ends if len(ends) == 2 and ends[0][0] is not ends[1][0] else None


def _from_values(source: Source, links: Sequence[list[tuple[Source, str]]]) -> Iterator[list[Part]]:
    """``column = literal`` for each row of a list of values that the source is joined with."""
    rows: list[list[Part]] = []
    for ends in links:
        for (one, column), (other, key) in ((ends[0], ends[1]), (ends[1], ends[0])):
            literals = next((v for c, v in other.values if c.casefold() == key.casefold()), ())
            if one is source and literals:
                rows = rows or [[] for _ in literals]
                for row, literal in zip(rows, literals, strict=False):
                    row.append((column_token(column, literal[0]), EQUALS, *literal))
    yield from rows


def _links(source: Source, links: Sequence[list[tuple[Source, str]]], own: dict[str, list[Part]]) -> Iterator[Link]:
    for ends in links:
        for (one, column), (other, key) in ((ends[0], ends[1]), (ends[1], ends[0])):
            if one is source and other.table is not None and own.get(other.alias):
                parts = tuple(render(bare(p)) for p in own[other.alias])
                yield Link(column=column, table=other.table, other=key, parts=parts)


def _sub_selects(parts: Sequence[Part], source: Source, sources: Sequence[Source], dialect: str) -> Iterator[Link]:
    """``x IN (SELECT y FROM other WHERE ...)``, of one table."""
    for part in parts:
        at = next((i for i, t in enumerate(part) if t.word == "IN"), 0)
        inside = part[at + 2 : -1]
        if not at or part[at - 1].word == "NOT" or not inside or inside[0].word != "SELECT":
            continue
        names = list(names_of(part[:at]))
        if len(names) != 1 or _owner(part[:at], sources) is not source:
            continue
        reader = Reader(inside, dialect)
        block = reader.block(0, len(inside))
        chosen = list(names_of(inside[1 : find(inside, 0, len(inside), "FROM")]))
        if block is None or len(block.sources) != 1 or len(chosen) != 1 or block.sources[0].table is None:
            continue
        held = [p for p in block.parts if _owner(p, block.sources) and is_plain(p)]
        if held and len(held) == len(block.parts):
            parts_of = tuple(render(bare(p)) for p in held)
            yield Link(column=names[0][1], table=block.sources[0].table, other=chosen[0][1], parts=parts_of)
