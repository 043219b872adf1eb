"""Which tables a statement names and which columns it mentions, wherever they stand in it."""

from __future__ import annotations

from dataclasses import field

from seatrial.sql.cursor import Cursor, Name, Tokens, closing, is_name
from seatrial.sql.tokens import QUOTED, STRING, WORD, words
from seatrial.values import dataclass

ENDS_FROM = words(
    "WHERE GROUP HAVING ORDER LIMIT OFFSET UNION EXCEPT INTERSECT SET VALUES RETURNING WINDOW FETCH FOR THEN LOOP"
)
NOT_ALIAS = ENDS_FROM | words(
    "ON USING JOIN INNER LEFT RIGHT FULL CROSS NATURAL STRAIGHT_JOIN SELECT DEFAULT FORCE USE IGNORE PARTITION "
    "WHEN TABLESAMPLE DO AS WITH TO INDEXED NOT OVERRIDING ADD DROP ALTER RENAME MODIFY CHANGE END BEGIN "
    "DECLARE"
)
_MODIFIERS = words("ONLY LATERAL LOW_PRIORITY HIGH_PRIORITY DELAYED QUICK IGNORE TABLE")
_NOT_UPDATE_AFTER = frozenset(["FOR", "ON", "KEY", "BEFORE", "AFTER", "OF", "DO"])
_NOT_UPDATE_BEFORE = frozenset(["SET", "OF", "ON", "OR", ",", ";", ")", "TO", "CASCADE"])


ASSIGNED = -1  # no scope: a column of the table that an UPDATE writes


@dataclass(frozen=True, slots=True)
class Mention:
    """A table that is named. ``scope`` is the SELECT that it stands in, ``rows`` whether its rows are worked on."""

    name: Name
    scope: int = 0
    alias: str = ""
    rows: bool = True


@dataclass(slots=True)
class Mentions:
    tables: list[Mention] = field(default_factory=list)
    stars: list[tuple[int, str]] = field(default_factory=list)  # (scope, qualifier)
    columns: list[tuple[str, str]] = field(default_factory=list)  # (qualifier, name) of every other identifier
    scopes: list[int] = field(default_factory=list)  # where each of them stands; ASSIGNED: it is assigned by SET
    parents: dict[int, int] = field(default_factory=dict)  # scope -> the one around it
    calls: list[Name] = field(default_factory=list)


@dataclass(slots=True)
class _Level:
    """One pair of brackets (or the whole statement)."""

    scope: int
    expect: bool = False  # a table is to follow
    rows: bool = True
    in_from: bool = False
    statement: bool = False  # FROM belongs to a statement here, not to EXTRACT(... FROM ...)
    around: int | None = None  # the scope outside the brackets
    in_set: bool = False


class _Scan:
    def __init__(self, tokens: Tokens, dialect: str, known: list[Mention]) -> None:
        self.tokens, self.dialect = tokens, dialect
        self.found = Mentions(tables=list(known))
        self.taken = {i for m in known for i in range(m.name.first, m.name.last + 1)}
        self.ctes = _ctes(tokens, dialect)
        self.levels = [_Level(0, statement=True)]
        self.scopes = 0
        self.places = [0] * len(tokens)  # the scope of each token
        self.index = 0

    def run(self) -> Mentions:
        while self.index < len(self.tokens):
            start = self.index
            self._place(self.levels[-1])
            self._step()
            self.index = max(self.index, start + 1)
        self._identifiers()
        return self.found

    def _place(self, level: _Level) -> None:
        assigned = level.in_set and self._word(-1) in ("SET", ",") and self._word(1) in ("=", ":=")
        self.places[self.index] = ASSIGNED if assigned else level.scope

    def _word(self, ahead: int = 0) -> str:
        place = self.index + ahead
        return self.tokens[place].word if 0 <= place < len(self.tokens) else ""

    def _step(self) -> None:
        level, word = self.levels[-1], self._word()
        if word == "(":
            self._open(level)
        elif word == ")":
            if len(self.levels) > 1:
                self.levels.pop()
        elif word == ";":
            self.levels = [_Level(self._new_scope(), statement=True)]
        elif word == "," and level.in_from:
            level.expect = True
        elif self._word(-1) != "." and word in _KEYWORDS:
            self._keyword(level, word)
        elif level.expect and not (word in _MODIFIERS or word == "*"):
            self._table(level)
        elif word == "*" and self._is_star():
            qualifier = self.tokens[self.index - 2].name if self._word(-1) == "." else ""
            self.found.stars.append((level.scope, qualifier))

    def _new_scope(self, around: int | None = None) -> int:
        self.scopes += 1
        if around is not None:
            self.found.parents[self.scopes] = around
        return self.scopes

    def _open(self, level: _Level) -> None:
        nested = self._word(1)
        joins = level.expect and nested not in ("SELECT", "VALUES", "WITH")
        scope = level.scope if joins else self._new_scope(level.scope)
        around = level.around if joins else level.scope
        self.levels.append(_Level(scope, expect=joins, in_from=joins, around=around))
        level.expect = False

    def _keyword(self, level: _Level, word: str) -> None:
        before = self._word(-1)
        level.in_set = word == "SET"
        if word == "SELECT":
            level.scope = self._new_scope(level.around)
            level.statement, level.in_from, level.expect = True, False, False
        elif word == "FROM":
            level.expect = level.in_from = level.statement and before != "DISTINCT"
        elif word in ("JOIN", "STRAIGHT_JOIN"):
            level.expect = level.in_from = True
        elif word == "INTO":
            level.expect, level.in_from = True, False
        elif word == "REFERENCES":
            level.expect, level.rows = True, False
        elif word == "UPDATE":
            if before not in _NOT_UPDATE_AFTER and self._word(1) not in _NOT_UPDATE_BEFORE:
                level.expect = level.in_from = level.statement = True
            elif self._word(1) == "OR" and before in ("", ";", "BEGIN", "THEN", "ELSE"):
                level.expect = level.statement = True
                self.index += 3  # UPDATE OR IGNORE t
        elif word == "DELETE":
            level.statement = True
            level.expect = level.in_from = self._names_targets()
        elif word == "USING":
            level.expect = level.in_from = self._word(1) != "(" and self._is_source()
        elif word == "MERGE":
            level.statement = True
        elif word == "TABLE":
            level.expect = before in ("AS", "UNION", "ALL", "EXCEPT", "INTERSECT")  # TABLE t is SELECT * FROM t
        elif word in ENDS_FROM:
            level.in_from = level.expect = False
        else:
            level.expect = False

    def _names_targets(self) -> bool:
        """MySQL's DELETE a, b FROM ..."""
        return self._word(1) not in (
            *("FROM", "ON", "OR", "TO", ",", ";", ")", "CASCADE", "WHERE"),
            *_MODIFIERS,
        )

    def _is_source(self) -> bool:
        """Whether USING begins a list of tables: in DELETE and MERGE, not in a JOIN, an index or a policy."""
        for i in range(self.index - 1, -1, -1):
            word = self.tokens[i].word
            if word in ("DELETE", "MERGE"):
                return True
            if word in ("JOIN", "SELECT", "TABLE", "INDEX", "POLICY", ";"):
                return False
        return False

    def _is_star(self) -> bool:
        return self._word(-1) in ("SELECT", "DISTINCT", "ALL", ",", ".") and self._word(1) != "("

    def _table(self, level: _Level) -> None:
        level.expect = False
        if not is_name(self.tokens[self.index], self.dialect):
            return
        cursor = Cursor(self.tokens, self.dialect, self.index)
        name = cursor.name()
        if name is None:
            return
        calls = cursor.at("(") and level.in_from
        if not calls and not self._is_cte(name):
            if name.first not in self.taken:
                alias = _alias(cursor)
                self.found.tables.append(Mention(name, level.scope, alias, level.rows))
            self.taken.update(range(name.first, name.last + 1))
        level.rows = True
        if not calls:
            self.index = name.last + 1

    def _is_cte(self, name: Name) -> bool:
        return not name.qualifier and any(n == name.name and a <= name.first < b for n, a, b in self.ctes)

    def _identifiers(self) -> None:
        for i, token in enumerate(self.tokens):
            if i in self.taken or token.kind not in (WORD, QUOTED):
                continue
            after = self.tokens[i + 1].word if i + 1 < len(self.tokens) else ""
            qualified = i > 1 and self.tokens[i - 1].word == "."
            qualifier = self.tokens[i - 2].name if qualified else ""
            if after == "(" and not _is_prefix_length(self.tokens, i):
                if token.kind == QUOTED or token.word not in _NOT_CALLS:
                    self.found.calls.append(Name(qualifier, token.name, i, i))
            elif after != "." and not (token.kind == WORD and not qualified and _is_keyword(self.tokens, i)):
                self.found.columns.append((qualifier, token.name))
                self.found.scopes.append(self.places[i])


_KEYWORDS = ENDS_FROM | words("SELECT FROM JOIN STRAIGHT_JOIN INTO REFERENCES UPDATE DELETE USING MERGE ON TABLE")
_NOT_CALLS = words("IN VALUES AND OR NOT EXISTS KEY INDEX CHECK AS ON USING SET WHERE INTO OVER BY UNIQUE")
_TYPED = frozenset(["DATE", "TIME", "TIMESTAMP", "INTERVAL", "TIMESTAMPTZ", "COMMENT"])
_AFTER = {
    "KEY": ("PRIMARY", "FOREIGN", "UNIQUE", "DUPLICATE", "FULLTEXT", "SPATIAL", "NO"),
    "ACTION": ("NO",),
    "LEVEL": ("ROW", "ISOLATION"),
    "DATA": ("SET", "LOAD"),
    "ZONE": ("TIME",),
    "ROW": ("EACH", "ENABLE", "DISABLE", "FORCE"),
    "SECURITY": ("LEVEL",),
    "TYPE": ("DATA",),
    "COLUMN": ("ADD", "DROP", "ALTER", "MODIFY", "CHANGE", "RENAME", "ON"),
    "COMMENT": ("",),
}


_ALSO_COLUMNS = words("INDEX TRIGGER VIEW")  # PostgreSQL, appendix C: not reserved
_BEFORE_VALUE = words("COLUMN SET SELECT DISTINCT WHERE AND OR NOT BY WHEN THEN ELSE , ( = <> < > + - * / || .") | {""}
_AFTER_VALUE = words("= <> < > <= >= + - * / || , ) :: FROM IS IN AND OR WHERE THEN END LIKE BETWEEN ASC DESC") | {""}


def _is_value(before: str, after: str) -> bool:
    return before == "COLUMN" or (before in _BEFORE_VALUE and after in _AFTER_VALUE)


def _is_keyword(tokens: Tokens, i: int) -> bool:
    """Whether a bare word that could name a column is a keyword where it stands."""
    word = tokens[i].word
    before = tokens[i - 1].word if i else ""
    after = tokens[i + 1] if i + 1 < len(tokens) else None
    if word in _ALSO_COLUMNS and _is_value(before, after.word if after else ""):
        return False
    if (
        word in RESERVED
        or before == "::"
        or (
            word == "TYPE" and i == 1 and before in ("CREATE", "ALTER", "DROP")  # but: ALTER TABLE t DROP type
        )
    ):
        return True
    if (
        word in _TYPED
        and after is not None
        and (after.kind == STRING or (after.word in ("=", "ON") and word == "COMMENT"))
    ):
        return True
    if word == "AT" and after is not None and after.word == "TIME":
        return True
    if word == "TIME" and before == "AT":
        return True
    return before in _AFTER.get(word, ())


def _is_prefix_length(tokens: Tokens, i: int) -> bool:
    """MySQL's KEY (column(10))."""
    inside = i + 3 < len(tokens) and tokens[i + 2].text.isdigit() and tokens[i + 3].word == ")"
    return inside and i > 0 and tokens[i - 1].word in ("(", ",") and closing(tokens, i + 1, len(tokens)) == i + 3


def _alias(cursor: Cursor) -> str:
    cursor.accept("*")
    if cursor.accept("AS"):
        return cursor.identifier()
    token = cursor.token
    if token is None or token.kind not in (WORD, QUOTED) or token.word in NOT_ALIAS:
        return ""
    return cursor.identifier()


def _ctes(tokens: Tokens, dialect: str) -> list[tuple[str, int, int]]:
    """Names given by WITH: (name, from where, to where it hides a table of that name)."""
    found = []
    for i, token in enumerate(tokens):
        if token.word == "WITH":
            cursor = Cursor(tokens, dialect, i + 1)
            recursive = cursor.accept("RECURSIVE")
            end = _enclosing_end(tokens, i)
            while name := cursor.identifier():
                at = cursor.index
                if cursor.at("("):
                    cursor.brackets()
                if not cursor.accept("AS"):
                    break
                cursor.skip_any("NOT", "MATERIALIZED")
                if not cursor.at("("):
                    break
                cursor.brackets()
                found.append((name, at if recursive else cursor.index, end))
                if not cursor.accept(","):
                    break
    return found


def _enclosing_end(tokens: Tokens, index: int) -> int:
    depth = 0
    for i in range(index, len(tokens)):
        depth += (tokens[i].word == "(") - (tokens[i].word == ")")
        if depth < 0 or (depth == 0 and tokens[i].word == ";"):
            return i
    return len(tokens)


def mentions(tokens: Tokens, dialect: str, known: list[Mention] | None = None) -> Mentions:
    """What a statement names; ``known`` are the tables that its own grammar gave already (CREATE TABLE x, ON x ...)."""
    return _Scan(tokens, dialect, known or []).run()


RESERVED = words(
    "SELECT FROM WHERE AND OR NOT NULL IS IN AS ON SET VALUES INSERT INTO UPDATE DELETE CREATE ALTER DROP "
    "TABLE COLUMN ADD DEFAULT PRIMARY UNIQUE FOREIGN REFERENCES CHECK CONSTRAINT CASE WHEN THEN ELSE END "
    "DISTINCT ALL UNION GROUP ORDER BY HAVING LIMIT JOIN INNER LEFT RIGHT FULL CROSS USING LIKE BETWEEN EXISTS "
    "CAST COLLATE ASC DESC TO WITH GRANT INDEX TRIGGER VIEW RETURNING INTEGER INT BIGINT SMALLINT VARCHAR "
    "NUMERIC DECIMAL BOOLEAN CHAR CASCADE RENAME MODIFY CHANGE IF FOR EACH BEGIN TRUE FALSE CURRENT_TIMESTAMP"
)
