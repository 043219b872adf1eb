"""SQLite's own CREATE texts, parsed: what no PRAGMA tells, in a form that does not change with how it was written.

Names of constraints, CHECK conditions, DEFERRABLE, collations and generated columns stand only in the text of
``sqlite_schema``, and ALTER TABLE rewrites that text (quotes, blanks). So definitions are compared as tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from functools import lru_cache

from seatrial.engines._sqlite_forms import DIALECT, closing, name_text, render, type_text, unwrapped
from seatrial.sql.tokens import OPERATOR, QUOTED, WORD, Token, code
from seatrial.values import dataclass

_TYPE_ENDS = {
    "AS", "CHECK", "COLLATE", "CONSTRAINT", "DEFAULT", "DEFERRABLE", "GENERATED", "NOT", "NULL",
    "PRIMARY", "REFERENCES", "UNIQUE",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnText:
    """What a column's text says beyond ``PRAGMA table_xinfo``."""

    name: str
    type: str = ""
    collation: str = "BINARY"
    auto_increment: bool = False
    generated: str | None = None
    stored: bool = False
    not_null: bool = False
    not_null_conflict: str = ""


@dataclass(frozen=True, slots=True)
class ConstraintText:
    """One constraint of a table; ``name`` is None where it has none."""

    type: str  # primary key, unique, foreign key, check
    name: str | None
    columns: tuple[str, ...] = ()
    definition: str = ""
    conflict: str = ""
    references: str = ""
    referenced_columns: tuple[str, ...] = ()
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"
    match: str = "SIMPLE"
    deferrable: bool = False
    deferred: bool = False
    expression: str = ""
    collations: tuple[str, ...] = ()  # of a key's columns; empty where the column decides
    in_table: bool = False  # stands by itself, not in a column's definition


@dataclass(frozen=True, slots=True)
class TableText:
    columns: tuple[ColumnText, ...] = ()
    constraints: tuple[ConstraintText, ...] = ()
    without_rowid: bool = False
    strict: bool = False

    def column(self, name: str) -> ColumnText:
        lowered = name.lower()
        return next((c for c in self.columns if c.name.lower() == lowered), ColumnText(name))


@dataclass(frozen=True, slots=True)
class TermText:
    """One indexed term; ``column`` is empty for an expression, ``collation`` where the column decides."""

    text: str
    column: str
    collation: str
    descending: bool


@dataclass(frozen=True, slots=True)
class IndexText:
    terms: tuple[TermText, ...] = ()
    unique: bool = False
    predicate: str | None = None


# --- CREATE TABLE -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2048)
def parse_table(sql: str) -> TableText:
    """The text of an ordinary table, as ``sqlite_schema`` holds it."""
    tokens = code(sql, DIALECT)
    opening = next((i for i, t in enumerate(tokens) if t.text == "(" and t.kind == OPERATOR), None)
    if opening is None:
        return TableText()
    end = closing(tokens, opening)
    options = {t.word for t in tokens[end + 1 :]}
    body = _Body(tokens[opening + 1 : end])
    body.read()
    return TableText(
        columns=tuple(body.columns),
        constraints=tuple(body.constraints),
        without_rowid="WITHOUT" in options,
        strict="STRICT" in options,
    )


@dataclass(slots=True)
class _Body:
    """Reads what stands between the parentheses of a CREATE TABLE."""

    tokens: Sequence[Token]
    at: int = 0
    columns: list[ColumnText] = field(default_factory=list)
    constraints: list[ConstraintText] = field(default_factory=list)
    names: frozenset[str] = frozenset()

    def read(self) -> None:
        items = split_list(self.tokens)
        self.names = frozenset(i[0].value.lower() for i in items if i and not _begins_constraint(i)) | {"rowid"}
        for item in items:
            reader = _Item(item, self.names)
            if _begins_constraint(item):
                reader.table_constraints()
            elif item:
                self.columns.append(reader.column())
            self.constraints += reader.constraints


def _begins_constraint(item: Sequence[Token]) -> bool:
    return bool(item) and item[0].word in ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")


def split_list(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """Tokens cut at the commas outside parentheses."""
    items: list[Sequence[Token]] = []
    depth = start = 0
    for index, token in enumerate(tokens):
        if token.kind != OPERATOR:
            continue
        depth += (token.text == "(") - (token.text == ")")
        if token.text == "," and not depth:
            items.append(tokens[start:index])
            start = index + 1
    return [*items, tokens[start:]]


@dataclass(slots=True)
class _Item:
    """Reads one column or one run of table constraints (the comma between those is optional in SQLite)."""

    tokens: Sequence[Token]
    names: frozenset[str]
    at: int = 0
    constraints: list[ConstraintText] = field(default_factory=list)
    name: str | None = None  # of the constraint that follows
    facts: dict[str, object] = field(default_factory=dict)

    def word(self) -> str:
        return self.tokens[self.at].word if self.at < len(self.tokens) else ""

    def take(self, *words: str) -> bool:
        """Step over these words if they come next."""
        ahead = tuple(t.word for t in self.tokens[self.at : self.at + len(words)])
        if ahead == words:
            self.at += len(words)
        return ahead == words

    def next(self) -> str:
        """The value of the next token, stepping over it."""
        self.at += 1
        return self.tokens[self.at - 1].value if self.at <= len(self.tokens) else ""

    def group(self) -> Sequence[Token]:
        """The tokens inside the parentheses that come next."""
        if self.word() != "(":
            return ()
        start, end = self.at + 1, closing(self.tokens, self.at)
        self.at = end + 1
        return self.tokens[start:end]

    def column(self) -> ColumnText:
        name = self.next()
        start = self.at
        while self.at < len(self.tokens) and self.word() not in _TYPE_ENDS:
            if self.word() == "(":
                self.group()
            else:
                self.at += 1
        self.facts["type"] = type_text(self.tokens[start : self.at])
        while self.at < len(self.tokens):
            self._column_constraint(name)
        return ColumnText(name, **self.facts)  # type: ignore[arg-type]

    def _column_constraint(self, column: str) -> None:
        name, self.name = self.name, None
        if self.take("CONSTRAINT"):
            self.name = self.next()
        elif self.take("PRIMARY", "KEY"):
            descending = self._direction()
            conflict = self._conflict()
            self.facts["auto_increment"] = self.take("AUTOINCREMENT")
            self._key("primary key", name, ((column, "", descending),), conflict)
        elif self.take("UNIQUE"):
            self._key("unique", name, ((column, "", False),), self._conflict())
        elif self.take("NOT", "NULL"):
            self.facts["not_null"] = True
            self.facts["not_null_conflict"] = self._conflict()
        elif self.take("NULL"):
            self._conflict()
        elif self.take("CHECK"):
            self._check(name)
        elif self.take("REFERENCES"):
            self._references(name, (column,))
        elif self.take("COLLATE"):
            self.facts["collation"] = self.next().upper()
        elif self.take("DEFAULT"):
            self._default()
        elif self.take("GENERATED", "ALWAYS", "AS") or self.take("AS"):
            self.facts["generated"] = render(unwrapped(self.group()), self.names)
            self.facts["stored"] = self.take("STORED") or not (self.take("VIRTUAL") or True)
        else:
            self.at += 1

    def _default(self) -> None:
        """PRAGMA table_xinfo gives the default's text; here it is only stepped over."""
        if self.word() == "(":
            self.group()
        else:
            self.at += 2 if self.word() in ("+", "-") else 1

    def _direction(self) -> bool:
        descending = self.take("DESC")
        return descending or (self.take("ASC") and False)

    def _conflict(self) -> str:
        return self.next().upper() if self.take("ON", "CONFLICT") else ""

    def table_constraints(self) -> None:
        while self.at < len(self.tokens):
            self._table_constraint()

    def _table_constraint(self) -> None:
        name, self.name = self.name, None
        if self.take("CONSTRAINT"):
            self.name = self.next()
        elif self.take("PRIMARY", "KEY"):
            self._table_key("primary key", name)
        elif self.take("UNIQUE"):
            self._table_key("unique", name)
        elif self.take("CHECK"):
            self._check(name)
        elif self.take("FOREIGN", "KEY"):
            columns = tuple(i[0].value for i in split_list(self.group()) if i)
            self.take("REFERENCES")
            self._references(name, columns)
        else:
            self.at += 1

    def _table_key(self, kind: str, name: str | None) -> None:
        terms = tuple(_key_term(i) for i in split_list(self.group()) if i)
        self._key(kind, name, terms, self._conflict(), in_table=True)

    def _key(
        self,
        kind: str,
        name: str | None,
        terms: tuple[tuple[str, str, bool], ...],
        conflict: str,
        *,
        in_table: bool = False,
    ) -> None:
        shown = ", ".join(
            name_text(c) + (f" COLLATE {o}" if o else "") + (" DESC" if desc else "") for c, o, desc in terms
        )
        suffix = f" ON CONFLICT {conflict}" if conflict else ""
        self.constraints.append(
            ConstraintText(
                kind,
                name,
                columns=tuple(c for c, _, _ in terms),
                definition=f"{kind.upper()} ({shown}){suffix}",
                conflict=conflict,
                collations=tuple(o for _, o, _ in terms),
                in_table=in_table,
            )
        )

    def _check(self, name: str | None) -> None:
        tokens = unwrapped(self.group())
        expression = render(tokens, self.names)
        self._conflict()  # accepted by the grammar, and without effect
        mentioned = dict.fromkeys(t.value.lower() for t in tokens if t.name and t.value.lower() in self.names)
        self.constraints.append(
            ConstraintText(
                "check",
                name,
                columns=tuple(mentioned),
                definition=f"CHECK ({expression})",
                expression=expression,
            )
        )

    def _references(self, name: str | None, columns: tuple[str, ...]) -> None:
        table = self.next()
        referenced = tuple(i[0].value for i in split_list(self.group()) if i)
        facts: dict[str, object] = {}
        while self.at < len(self.tokens) and self._reference_option(facts):
            pass
        self.constraints.append(
            ConstraintText(
                "foreign key",
                name,
                columns=columns,
                references=table,
                referenced_columns=referenced,
                **facts,  # type: ignore[arg-type]
            )
        )

    def _reference_option(self, facts: dict[str, object]) -> bool:
        if self.take("ON", "DELETE"):
            facts["on_delete"] = self._action()
        elif self.take("ON", "UPDATE"):
            facts["on_update"] = self._action()
        elif self.take("MATCH"):
            self.next()  # parsed and not enforced by SQLite (foreign keys page, section 6)
        elif self.take("NOT", "DEFERRABLE"):
            facts["deferrable"] = False
            self._initially()
        elif self.take("DEFERRABLE"):
            facts["deferrable"] = True
            facts["deferred"] = self._initially()
        else:
            return False
        return True

    def _initially(self) -> bool:
        return self.take("INITIALLY") and self.next().upper() == "DEFERRED"

    def _action(self) -> str:
        if self.take("SET"):
            return f"SET {self.next().upper()}"
        if self.take("NO", "ACTION"):
            return "NO ACTION"
        return self.next().upper()


def _key_term(item: Sequence[Token]) -> tuple[str, str, bool]:
    """A column of a key: name, its own collation, whether it is descending."""
    words = [t.word for t in item]
    collation = item[words.index("COLLATE") + 1].value.upper() if "COLLATE" in words else ""
    return item[0].value, collation, "DESC" in words[1:]


# --- CREATE INDEX, CREATE VIEW, CREATE TRIGGER ------------------------------------------------------------------------


@lru_cache(maxsize=2048)
def parse_index(sql: str, names: frozenset[str]) -> IndexText:
    """``names``: the columns of its table in lower case."""
    tokens = code(sql, DIALECT)
    opening = next((i for i, t in enumerate(tokens) if t.text == "(" and t.kind == OPERATOR), None)
    if opening is None:
        return IndexText()
    end = closing(tokens, opening)
    terms = tuple(_term(i, names) for i in split_list(tokens[opening + 1 : end]))
    rest = tokens[end + 1 :]
    predicate = render(unwrapped(rest[1:]), names) if rest and rest[0].word == "WHERE" else None
    return IndexText(terms, tokens[1].word == "UNIQUE", predicate)


def _term(item: Sequence[Token], names: frozenset[str]) -> TermText:
    descending = bool(item) and item[-1].word == "DESC"
    if item and item[-1].word in ("ASC", "DESC"):
        item = item[:-1]
    collation = ""
    if len(item) > 2 and item[-2].word == "COLLATE":
        collation, item = item[-1].value.upper(), item[:-2]
    item = unwrapped(item)
    column = item[0].value if len(item) == 1 and item[0].kind in (WORD, QUOTED) else ""
    return TermText(render(item, names), column, collation, descending)


@lru_cache(maxsize=2048)
def body(sql: str, name: str) -> str:
    """The text of a view, trigger or virtual table without ``CREATE ... name``, in one form."""
    tokens = code(sql, DIALECT)
    place = next((i for i, t in enumerate(tokens[1:6], 1) if t.name.lower() == name.lower()), 1)
    return render(tokens[place + 1 :])
