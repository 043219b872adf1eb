"""A statement's queries and changes: which tables each reads, and what WHERE, ON and CASE ask of their rows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from seatrial.model import TableRef
from seatrial.sql.batches import conjuncts, unbracketed
from seatrial.sql.cursor import Cursor, Tokens, closing, find, is_name, items, top
from seatrial.sql.statement import Parsed, parse
from seatrial.sql.tokens import NUMBER, PARAMETER, QUOTED, STRING, VARIABLE, WORD, Token, words
from seatrial.values import dataclass

Part = tuple[Token, ...]
"""One of the conditions that AND joins."""

_ENDS = ("GROUP", "HAVING", "ORDER", "LIMIT", "RETURNING", "WINDOW", "FOR", "OFFSET", "FETCH", ";")
_SETS = ("UNION", "EXCEPT", "INTERSECT")
_JOINS = words("JOIN INNER CROSS NATURAL STRAIGHT_JOIN , FROM USING LATERAL ONLY INTO")
_MANNERS = words("OR IGNORE REPLACE ROLLBACK ABORT FAIL LOW_PRIORITY QUICK DELAYED *")
_OUTER = words("LEFT RIGHT FULL OUTER")
_NO_ALIAS = (
    _JOINS | _OUTER | words("ON SET WHERE AS WHEN VALUES SELECT PARTITION TABLESAMPLE INDEXED NOT USE FORCE IGNORE")
)
LITERALS = (STRING, NUMBER)
_SAFE = words(  # functions that only look at their arguments, and what else may stand before a bracket
    "IN AND OR NOT ANY ALL BETWEEN LIKE ILIKE IS THEN ELSE WHEN CAST LOWER UPPER TRIM LTRIM RTRIM BTRIM LENGTH"
    " CHAR_LENGTH COALESCE NULLIF SUBSTR SUBSTRING LEFT RIGHT ABS MOD ROUND REPLACE IFNULL TYPEOF INSTR DATE"
    " = <> != < > <= >= + - * / % || ( , CHAR VARCHAR DECIMAL NUMERIC"
)
_NO_COLUMN = words(
    "AND OR NOT IN IS NULL TRUE FALSE LIKE ILIKE BETWEEN CASE WHEN THEN ELSE END CAST AS ANY ALL ARRAY ESCAPE COLLATE"
    " GLOB REGEXP RLIKE SIMILAR TO DISTINCT FROM DATE TIMESTAMP INTERVAL UNKNOWN MOD DIV SYMMETRIC BINARY"
    " ISNULL NOTNULL"
)
_MAY_BE_MANY = ("IN", "EXISTS", "ANY", "ALL", "SOME", "FROM", "JOIN", "AS", "USING", "LATERAL", "INTO", ")", "(")
_VERBS = ("SELECT", "UPDATE", "DELETE", "INSERT", "REPLACE", "MERGE")
_COMMA = Token("operator", ",", ",", 0, 0, 0, "", ",")
EQUALS = Token("operator", " = ", "=", 0, 0, 0, "", "=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    table: TableRef | None  # None: a list of values, or a query
    alias: str
    outer: bool = False
    values: tuple[tuple[str, tuple[Part, ...]], ...] = ()  # column -> its literals


@dataclass(frozen=True, slots=True)
class Block:
    """A query or change: its sources, and what WHERE and ON ask together."""

    sources: tuple[Source, ...]
    parts: tuple[Part, ...]
    cases: tuple[tuple[Part, ...], ...] = ()


class Reader:
    def __init__(self, tokens: Tokens, dialect: str) -> None:
        self.tokens, self.dialect = tokens, dialect
        self._named = self._common_tables()

    def scopes(self) -> Iterator[tuple[int, int]]:
        """The statement, and every query in brackets whose rows are not to be missing."""
        yield 0, len(self.tokens)
        for i, token in enumerate(self.tokens):
            opens = token.word == "(" and self._word(i + 1) in ("SELECT", "WITH", "UPDATE", "DELETE", "INSERT")
            if opens and not self._is_negated(i):
                yield i + 1, closing(self.tokens, i, len(self.tokens))

    def gives_one_value(self, first: int) -> bool:
        """Whether the query that begins here may give no more than one row: SET x = (SELECT ...)."""
        return first > 0 and self._word(first - 2) not in _MAY_BE_MANY

    def _is_negated(self, i: int) -> bool:
        return self._word(i - 1) in ("EXISTS", "IN") and "NOT" in (self._word(i - 2), self._word(i - 3))

    def _word(self, i: int) -> str:
        return self.tokens[i].word if 0 <= i < len(self.tokens) else ""

    # --- blocks ---

    def blocks(self, first: int, last: int) -> Iterator[Block]:
        cuts = [first, *(i + 1 for i in top(self.tokens, first, last) if self._word(i) in _SETS), last + 1]
        for start, stop in pairwise(cuts):
            if block := self.block(start, min(stop - (stop <= last), last)):
                yield block

    def block(self, first: int, last: int) -> Block | None:
        verb = next((i for i in top(self.tokens, first, last) if self._word(i) in _VERBS), last)
        word = self._word(verb) if verb < last else ""
        if not word:
            return None
        if word in ("INSERT", "REPLACE"):
            query = find(self.tokens, verb + 1, last, "SELECT")
            return self.block(query, last) if query < last else None
        where = find(self.tokens, verb, last, "WHERE")
        after = min(where, last)
        sources: list[Source] = []
        ons: list[Part] = []
        for begin, end in self._source_spans(word, verb, after, last):
            found, asked = self._sources(begin, end)
            sources, ons = [*sources, *found], [*ons, *asked]
        until = find(self.tokens, where, last, *_ENDS, "ON") if where < last else last
        asked_for = flat(self.tokens[where + 1 : until]) if where < last else []
        asked_for = [self._spelled_out(p) for p in asked_for]
        asked_for += [p for i in self._whens(word, verb, last) for p in flat(self.tokens[i[0] : i[1]])]
        return Block(tuple(sources), (*ons, *asked_for), tuple(self._cases(verb, last)))

    def _whens(self, word: str, first: int, last: int) -> Iterator[tuple[int, int]]:
        """WHEN MATCHED AND condition THEN: only where it is the only one."""
        found = [i for i in top(self.tokens, first, last) if self._word(i) == "MATCHED"] if word == "MERGE" else []
        for i in found if len(found) == 1 else ():
            if self._word(i + 1) == "AND":
                yield i + 2, find(self.tokens, i, last, "THEN")

    def _source_spans(self, word: str, verb: int, where: int, last: int) -> Iterator[tuple[int, int]]:
        if word == "UPDATE":
            place = find(self.tokens, verb, last, "SET")
            yield verb + 1, place
            begin = next((i for i in top(self.tokens, place, where) if self._is_from(i)), where)
            yield begin + 1, where
        elif word == "MERGE":
            yield verb + 1, find(self.tokens, verb, last, "WHEN")
        else:  # SELECT, DELETE: MySQL's DELETE a FROM t a
            begin = next((i for i in top(self.tokens, verb, where) if self._is_from(i)), where)
            yield begin + 1, find(self.tokens, begin, where, *_ENDS)

    def _is_from(self, i: int) -> bool:
        return self._word(i) == "FROM" and self._word(i - 1) != "DISTINCT"

    def _sources(self, first: int, last: int) -> tuple[list[Source], list[Part]]:
        cursor = Cursor(self.tokens, self.dialect, first, last)
        found: list[Source] = []
        asked: list[Part] = []
        outer = False
        while not cursor.done:
            if cursor.word() in _OUTER:
                outer, cursor.index = True, cursor.index + 1
            elif cursor.accept_any(",", "INNER", "CROSS"):
                outer = False
            elif cursor.accept("ON"):
                end = next((i for i in top(self.tokens, cursor.index, last) if self._word(i) in _JOINS | _OUTER), last)
                asked += [] if outer else flat(self.tokens[cursor.index : end])
                cursor.index, outer = end, False
            elif cursor.word() in _JOINS | _MANNERS:
                cursor.index += 1
            elif cursor.at("("):
                begin, end = cursor.brackets()
                found += self._derived(begin, end, cursor)
            elif (name := cursor.name()) is not None:
                source = Source(
                    table=TableRef(name.qualifier, name.name), alias=self._alias(cursor) or name.name, outer=outer
                )
                found.append(self._known(source))
            else:
                cursor.index += 1
        return found, asked

    def _alias(self, cursor: Cursor) -> str:
        cursor.accept("AS")
        if cursor.word() in _NO_ALIAS or not is_name(cursor.token, self.dialect):
            return ""
        return cursor.identifier()

    # --- lists of values ---

    def _common_tables(self) -> dict[str, Source]:
        """WITH m(old, new) AS (VALUES ...); of one that is a query, only that it is no table."""
        found: dict[str, Source] = {}
        for i, token in enumerate(self.tokens):
            if token.word != "AS" or "(" not in (self._word(i + 1), self._word(i + 2), self._word(i + 3)) or i < 2:
                continue
            opened = next(j for j in (i + 1, i + 2, i + 3) if self._word(j) == "(")
            if self._word(opened + 1) not in ("VALUES", "SELECT", "WITH", "UPDATE", "DELETE", "INSERT"):
                continue
            cursor = Cursor(self.tokens, self.dialect, self._head_of(i))
            name, columns = cursor.identifier(), cursor.columns()
            if name and cursor.index == i:
                values = self._listed(opened + 1, closing(self.tokens, opened, len(self.tokens)), columns)
                found[name.casefold()] = Source(table=None, alias=name, values=values)
        return found

    def _head_of(self, i: int) -> int:
        """Where ``name (a, b)`` before AS begins."""
        if self._word(i - 1) != ")":
            return i - 1
        return max((j for j in range(i) if self._word(j) == "("), default=i) - 1

    def _known(self, source: Source) -> Source:
        named = self._named.get(source.table.name.casefold()) if source.table and not source.table.namespace else None
        return replace(named, alias=source.alias) if named else source

    def _derived(self, first: int, last: int, cursor: Cursor) -> list[Source]:
        if self._word(first) not in ("SELECT", "VALUES", "WITH"):
            return self._sources(first, last)[0]  # tables in brackets
        alias = self._alias(cursor)
        return [Source(table=None, alias=alias, values=self._listed(first, last, cursor.columns()))]

    def _listed(self, first: int, last: int, columns: tuple[str, ...]) -> tuple[tuple[str, tuple[Part, ...]], ...]:
        """The literals of each column of VALUES, or of SELECT 'a' AS x UNION ALL SELECT 'b'."""
        rows: list[list[tuple[int, int]]] = []
        if self._word(first) == "VALUES":
            for i in top(self.tokens, first, last):
                if self._word(i) == "(":
                    rows.append(items(self.tokens, i + 1, closing(self.tokens, i, last)))
        else:
            for i in (j for j in top(self.tokens, first, last) if self._word(j) == "SELECT"):
                end = find(self.tokens, i + 1, last, *_SETS, "FROM", "WHERE")
                rows.append(items(self.tokens, i + 1, end))
        if not rows or any(len(r) != len(rows[0]) for r in rows):
            return ()
        names = columns or tuple(self._called(first, cell, n) for n, cell in enumerate(rows[0]))
        if len(names) != len(rows[0]):
            return ()
        found = {c: tuple(self._literal(r[n]) for r in rows) for n, c in enumerate(names)}
        return tuple((c, cells) for c, cells in found.items() if all(cells))

    def _called(self, first: int, cell: tuple[int, int], number: int) -> str:
        last = self.tokens[cell[1] - 1]
        return last.name if cell[1] - cell[0] > 1 and last.name else f"column{number + 1}"

    def _literal(self, cell: tuple[int, int]) -> Part:
        token = self.tokens[cell[0]]
        return (token,) if token.kind in LITERALS else ()

    def _spelled_out(self, part: Part) -> Part:
        """``x IN (SELECT old FROM m)`` with the literals of a list of values instead of the query."""
        at = next((i for i, t in enumerate(part) if t.word == "IN"), 0)
        said = [t.word for t in part[at + 1 : at + 3]]
        if not at or said != ["(", "SELECT"] or len(part) - at != 7 or part[at + 4].word != "FROM":
            return part
        source = self._named.get(part[at + 5].name.casefold())
        cells = dict(source.values).get(part[at + 3].name, ()) if source else ()
        listed = [t for cell in cells for t in (*cell, _COMMA)]
        return (*part[: at + 2], *listed[:-1], part[-1]) if listed else part

    # --- conditions ---

    def _cases(self, first: int, last: int) -> Iterator[tuple[Part, ...]]:
        """What each WHEN of a CASE asks, in the query at hand and not in one inside it."""
        i = first
        while i < last:
            if self._word(i) == "(" and self._word(i + 1) == "SELECT":
                i = closing(self.tokens, i, last)
            elif self._word(i) == "CASE":
                yield from self._of_case(i, last)
            i += 1

    def _of_case(self, first: int, last: int) -> Iterator[tuple[Part, ...]]:
        depth, begun, head = 0, -1, self.tokens[first + 1 : first + 1]
        for i in range(first + 1, last):
            word = self._word(i)
            depth += (word in ("(", "CASE")) - (word == ")") - (word == "END")
            if depth < 0:
                return
            if depth == 0 and word == "WHEN":
                head, begun = (self.tokens[first + 1 : i] if begun < 0 else head), i + 1
            elif depth == 0 and word == "THEN":
                asked = self.tokens[begun:i]
                yield tuple(flat(asked)) if not head else ((*head, EQUALS, *asked),)


def sources_of(parsed: Parsed) -> tuple[TableRef, ...]:
    """The tables that the outermost query of a statement reads."""
    if not parsed.tokens:
        return ()
    reader = Reader(parsed.tokens, "")
    blocks = [b for b in reader.blocks(0, len(parsed.tokens)) if b.sources]
    return tuple(s.table for b in blocks for s in b.sources if s.table is not None)


def conditions_of(text: str, dialect: str) -> tuple[tuple[str, ...], ...]:
    """The parts of the outermost WHERE and ON, each as its words without qualifiers."""
    tokens = parse(text, dialect).tokens
    blocks = Reader(tokens, dialect).blocks(0, len(tokens)) if tokens else ()
    return tuple(tuple(t.text for t in bare(p)) for b in blocks for p in b.parts)


def column_token(column: str, near: Token) -> Token:
    return Token(WORD, column, column, near.start, near.start, near.line, column, column.upper())


def known_as(source: Source) -> set[str]:
    return {source.alias.casefold(), source.table.name.casefold() if source.table else ""}


def flat(tokens: Sequence[Token]) -> list[Part]:
    """The parts between the outermost ANDs, without brackets around them."""
    bare = unbracketed(tokens)
    parts = conjuncts(bare)
    if len(parts) == 1:
        return [tuple(bare)] if bare else []
    return [p for part in parts for p in flat(part)]


def variants(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """One for each literal of IN, and for each side of OR, the other conditions as they are."""
    whole = list(parts)
    split_up = False
    for i, part in enumerate(whole):
        for one in _alternatives(part):
            split_up = True
            yield from ([*whole[:i], *inner, *whole[i + 1 :]] for inner in variants(flat(one)))
    if not split_up:
        yield whole


def _alternatives(part: Part) -> list[Part]:
    bare = tuple(unbracketed(part))
    places = list(top(bare, 0, len(bare)))
    cuts = [i for i in places if bare[i].word == "OR"]
    if cuts and not any(bare[i].word == "CASE" for i in places):
        return [tuple(bare[a + 1 : b]) for a, b in zip([-1, *cuts], [*cuts, len(bare)], strict=True)]
    at = next((i for i in places if bare[i].word == "IN"), 0)
    if not at or bare[at - 1].word == "NOT" or at + 1 >= len(bare) or bare[at + 1].word != "(":
        return []
    end = closing(bare, at + 1, len(bare))
    listed = items(bare, at + 2, end)
    if end != len(bare) - 1 or len(listed) < 2 or not all(bare[a].kind in LITERALS for a, _ in listed):
        return []
    return [(*bare[:at], EQUALS, *bare[a:b]) for a, b in listed]


_OF_TYPES = (".", "VARYING", "PRECISION", "WITHOUT", "WITH", "TIME", "ZONE")  # x::character varying


def names_of(part: Sequence[Token]) -> Iterator[tuple[str, str]]:
    """(qualifier, column) of each name in a condition."""
    in_type = False
    for i, token in enumerate(part):
        before, after = (part[j].word if 0 <= j < len(part) else "" for j in (i - 1, i + 1))
        is_column = token.kind == QUOTED or (token.kind == WORD and token.word not in _NO_COLUMN)
        in_type = before == "::" or (in_type and (before == "." or token.word in _OF_TYPES))
        if is_column and not in_type and after not in ("(", ".") and before not in ("AS", "COLLATE"):
            yield (part[i - 2].name if before == "." and i > 1 else ""), token.name


def is_plain(part: Part) -> bool:
    """Whether a condition holds nothing but columns, literals and functions that only look at them."""
    for i, token in enumerate(part):
        if token.kind in (PARAMETER, VARIABLE) or token.word in ("SELECT", "EXISTS", "CURRENT"):
            return False
        if token.word == "(" and i and part[i - 1].kind in (WORD, QUOTED) and part[i - 1].word not in _SAFE:
            return False
    return True


def bare(part: Part) -> Part:
    """Without qualifiers."""
    kept: list[Token] = []
    for token in part:
        if kept and token.word == ".":
            kept.pop()
        else:
            kept.append(token)
    return tuple(t for t in kept if t.word != ".")


def pairs_of(part: Part) -> Iterator[tuple[str, str]]:
    for _, name in names_of(part):
        for token in part:
            if token.kind in LITERALS:
                yield name.casefold(), token.value
