"""Column definitions and constraints as they stand in CREATE TABLE and ALTER TABLE."""

from __future__ import annotations

from itertools import pairwise

from seatrial.sql.cursor import Cursor, find, items
from seatrial.sql.effects import ColumnDef, Rule
from seatrial.sql.tokens import Token, words

_ENDS_TYPE = words(
    "CONSTRAINT NOT NULL DEFAULT PRIMARY UNIQUE KEY CHECK REFERENCES COLLATE GENERATED AS AUTO_INCREMENT "
    "AUTOINCREMENT COMMENT ON CHARACTER CHARSET STORAGE COMPRESSION COLUMN_FORMAT VISIBLE INVISIBLE FIRST "
    "AFTER USING VIRTUAL STORED PERSISTENT DEFERRABLE INITIALLY ENFORCED OPTIONS INVALID REF SRID ENCODE ASCII "
    "UNICODE"
)
_SERIAL = frozenset(["SERIAL", "BIGSERIAL", "SMALLSERIAL", "SERIAL2", "SERIAL4", "SERIAL8"])
_WORDS = {
    "COMMENT": "comment",
    "AUTO_INCREMENT": "auto_increment",
    "AUTOINCREMENT": "auto_increment",
    "CHECK": "check",
    "STORAGE": "storage",
    "COMPRESSION": "compression",
    "VISIBLE": "invisible",
    "INVISIBLE": "invisible",
    "ASCII": "charset",
    "UNICODE": "charset",
    "CHARSET": "charset",
    "SRID": "srid",
    "FIRST": "position",
    "AFTER": "position",
}
_RULES = ("PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "EXCLUDE")
INDEXES = ("INDEX", "KEY", "FULLTEXT", "SPATIAL")
_NOT_TEXT = words(
    "INT INTEGER BIGINT SMALLINT TINYINT MEDIUMINT INT2 INT4 INT8 NUMERIC DECIMAL DEC REAL FLOAT FLOAT4 FLOAT8 "
    "DOUBLE BOOLEAN BOOL DATE TIME DATETIME TIMESTAMP TIMESTAMPTZ INTERVAL YEAR UUID JSON JSONB BYTEA BLOB "
    "BINARY VARBINARY BIT TINYBLOB MEDIUMBLOB LONGBLOB MONEY INET CIDR"
)


def type_states(tokens: tuple[Token, ...]) -> frozenset[str]:
    """What a type alone says: one that is no text has neither collation nor character set."""
    if not tokens or tokens[0].word not in _NOT_TEXT:
        return frozenset({"type"})
    return frozenset({"type", "collation", "charset"})


def column(cursor: Cursor) -> ColumnDef | None:
    """``name type constraints ...`` up to the cursor's stop."""
    name = cursor.identifier()
    if not name:
        return None
    first = cursor.index
    while not cursor.done and (cursor.word() not in _ENDS_TYPE or (cursor.index == first and cursor.at("CHARACTER"))):
        if cursor.at("("):
            cursor.brackets()
        else:
            cursor.index += 1
    kind = tuple(cursor.tokens[first : cursor.index])
    reader = _Definition(cursor, name, kind)
    reader.run()
    return ColumnDef(
        name=name,
        type=kind,
        states=frozenset(reader.states),
        default=reader.default,
        rules=tuple(reader.rules),
        generates=reader.generates,
    )


class _Definition:
    """The words behind a column's type."""

    def __init__(self, cursor: Cursor, name: str, kind: tuple[Token, ...]) -> None:
        self.cursor, self.name = cursor, name
        self.states = {"nullable", *(type_states(kind) if kind else ())}
        self.default: tuple[Token, ...] = ()
        self.rules: list[Rule] = []
        self.generates = bool(kind) and kind[0].word in _SERIAL
        if self.generates:
            self.states |= {"default", "auto_increment"}

    def run(self) -> None:
        while not self.cursor.done:
            self._constraint()

    def _constraint(self) -> None:
        cursor = self.cursor
        name = cursor.identifier() if cursor.accept("CONSTRAINT") and not cursor.at("CHECK") else ""
        word = cursor.word()
        cursor.index += 1
        if word == "DEFAULT":
            self._default()
        elif word in ("COLLATE", "CHARACTER", "CHARSET", "ASCII", "UNICODE"):
            self.states |= {"collation"} if word == "COLLATE" else {"charset", "collation"}
            cursor.index += 1 if word not in ("ASCII", "UNICODE") else 0
        elif word in ("GENERATED", "AS"):
            self._generated(word)
        elif word == "ON":
            self._on()
        elif word in ("PRIMARY", "UNIQUE", "REFERENCES", "CHECK", "KEY"):
            self._rule(word, name)
        elif word in _WORDS:
            self.states.add(_WORDS[word])
            self.generates = self.generates or _WORDS[word] == "auto_increment"
        elif word == "(":
            cursor.index -= 1
            cursor.brackets()

    def _default(self) -> None:
        cursor, first = self.cursor, self.cursor.index
        self.states.add("default")
        while not cursor.done and (cursor.index == first or cursor.word() not in _ENDS_TYPE):
            if cursor.at("("):
                cursor.brackets()
            else:
                cursor.index += 1
        self.default = tuple(cursor.tokens[first : cursor.index])

    def _generated(self, word: str) -> None:
        cursor = self.cursor
        cursor.skip_any("ALWAYS", "BY", "DEFAULT", "ON", "NULL", "AS")
        if cursor.accept("IDENTITY"):
            self.states |= {"identity", "default"}
            self.generates = True
        elif word == "GENERATED" or cursor.at("("):
            self.states |= {"generated", "default"}
        if cursor.at("("):
            cursor.brackets()

    def _on(self) -> None:
        """ON UPDATE CURRENT_TIMESTAMP is the column's; ON DELETE, ON UPDATE CASCADE belong to REFERENCES."""
        cursor = self.cursor
        if cursor.accept("UPDATE") and cursor.word() in ("CURRENT_TIMESTAMP", "NOW", "LOCALTIME", "LOCALTIMESTAMP"):
            self.states.add("on_update")

    def _rule(self, word: str, name: str) -> None:
        cursor = self.cursor
        if word == "CHECK" and cursor.at("("):
            self.states.add("check")
            self.rules.append(check(cursor, name))
            return
        if word == "REFERENCES":
            cursor.name()
            cursor.columns()
            self.rules.append(Rule(name=name, type="foreign key", columns=(self.name,), states=actions(cursor)))
        elif word == "UNIQUE":
            cursor.accept("KEY")
            self.rules.append(Rule(name=name, type="unique", columns=(self.name,)))
        elif word == "KEY" or cursor.accept("KEY"):
            self.rules.append(Rule(name=name, type="primary key", columns=(self.name,)))


def check(cursor: Cursor, name: str) -> Rule:
    first, last = cursor.brackets()
    inner = cursor.tokens[first:last]
    columns = dict.fromkeys(t.name for t in inner if t.name)
    return Rule(name=name, type="check", columns=tuple(columns), text=" ".join(t.word or t.value for t in inner))


def actions(cursor: Cursor) -> frozenset[str]:
    """What the rest of a reference says beside its columns: its actions and when it is checked."""
    rest = [t.word for t in cursor.tokens[cursor.index : cursor.stop]]
    said = {f"on_{b.lower()}" for a, b in pairwise(rest) if a == "ON" and b in ("DELETE", "UPDATE")}
    return frozenset(said | {_CHECKED[w] for w in rest if w in _CHECKED})


_CHECKED = {"DEFERRABLE": "deferrable", "INITIALLY": "deferred", "MATCH": "match"}


def is_rule(cursor: Cursor) -> bool:
    """Whether an element of CREATE TABLE or ADD is a constraint or an index, not a column."""
    word, after = cursor.word(), cursor.word(1)
    if word in ("CONSTRAINT", "FOREIGN", "EXCLUDE", "PRIMARY", "UNIQUE", "FULLTEXT", "SPATIAL"):
        return True
    if word == "CHECK":
        return after == "("
    if word in ("INDEX", "KEY"):
        # A column may be called so in SQLite and PostgreSQL: then a type follows its name, no bracket behind that.
        return after == "(" or cursor.word(2) in ("(", "USING") or cursor.word(2) == "IF"
    return False


def rule(cursor: Cursor) -> tuple[Rule | None, str]:
    """A table constraint, or an index: (rule, the index' name)."""
    name = ""
    if cursor.accept("CONSTRAINT"):
        cursor.if_exists()
        name = cursor.identifier() if cursor.word() not in _RULES else ""
    word = cursor.word()
    cursor.index += 1
    if word == "CHECK" and cursor.at("("):
        return check(cursor, name), ""
    if word == "PRIMARY":
        cursor.accept("KEY")
        return Rule(name=name or "PRIMARY", type="primary key", columns=_listed(cursor)), ""
    if word == "FOREIGN":
        cursor.accept("KEY")
        cursor.if_exists()
        inner = cursor.identifier() if not cursor.at("(") else ""
        return Rule(name=name or inner, type="foreign key", columns=cursor.columns(), states=actions(cursor)), ""
    if word == "UNIQUE":
        cursor.accept_any("KEY", "INDEX")
        cursor.if_exists()
        inner = cursor.identifier() if not cursor.at("(") and not cursor.at("USING") else ""
        return Rule(name=name or inner, type="unique", columns=_listed(cursor)), name or inner
    if word == "EXCLUDE":
        return Rule(name=name, type="exclusion"), ""
    cursor.accept_any("KEY", "INDEX")
    cursor.if_exists()
    return None, (cursor.identifier() if not cursor.at("(") else name)


def _listed(cursor: Cursor) -> tuple[str, ...]:
    """The columns of a key; ``USING INDEX i`` has none."""
    cursor.index = find(cursor.tokens, cursor.index, cursor.stop, "(")
    return cursor.columns()


def elements(cursor: Cursor) -> list[Cursor]:
    """The elements of a bracketed list, each with a cursor of its own."""
    first, last = cursor.brackets()
    return [Cursor(cursor.tokens, cursor.dialect, a, b) for a, b in items(cursor.tokens, first, last)]
