"""A migration's statements set out in phases between which a database stays in use. Pure.

*Expand* only adds and relaxes, *backfill* fills in batches, *enforce* makes rules hold without a long lock, *contract*
takes away what nothing uses any more. What is set out is a proposal: the trial runs it on the rows of before up, and
believes in it only where it leaves what up leaves.

The forms are those of the engines' manuals: PostgreSQL's ``CONCURRENTLY``, ``NOT VALID`` with ``VALIDATE CONSTRAINT``,
``USING INDEX``, and that ``SET NOT NULL`` scans nothing where a valid check says it already (ALTER TABLE, CREATE
INDEX); ``ALGORITHM`` and ``LOCK`` of MySQL and MariaDB, whose server refuses what it cannot do online.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from seatrial.model import Schema, TableRef
from seatrial.sql.alter import actions
from seatrial.sql.batches import render
from seatrial.sql.cursor import Cursor, Name, Tokens, find
from seatrial.sql.effects import Verb
from seatrial.sql.online import UNUSED, Action
from seatrial.sql.remedy import MYSQL, of, quoted
from seatrial.sql.statement import Parsed, parse
from seatrial.sql.tokens import Token
from seatrial.sql.turns import NotSetOut, Piece, Turn
from seatrial.values import dataclass

_WHOLE_NUMBERS = ("smallint", "int", "mediumint", "bigint", "tinyint")
_FIRST = ("CREATE ", "COMMENT ON ", "GRANT", "ALTER TYPE", "ALTER SEQUENCE", "ALTER DOMAIN")
_LAST = ("DROP ", "REVOKE", "TRUNCATE", "RENAME TABLE")
_NOTHING = ("BEGIN", "START TRANSACTION", "COMMIT", "END", "SAVEPOINT", "RELEASE")


def set_out(statements: Sequence[str], before: Schema, after: Schema, dialect: str) -> tuple[Piece, ...]:
    """What up's statements come to, phase by phase. Raises NotSetOut."""
    given = [s.strip().rstrip(";").rstrip() for s in statements]
    found = [p for text in given for p in _Reader(text, parse(text, dialect), before, after, dialect).pieces()]
    if not [p for p in found if p.batch or p.sql not in given]:
        raise NotSetOut("none of its statements can be run in a way that holds others up less")
    return tuple(sorted(found, key=lambda p: p.turn))


@dataclass(frozen=True, slots=True)
class _Reader:
    """One statement of up, between two schemas."""

    text: str
    parsed: Parsed
    before: Schema
    after: Schema
    dialect: str

    @property
    def tokens(self) -> Tokens:
        return self.parsed.tokens

    def pieces(self) -> Iterator[Piece]:
        kind = self.parsed.kind
        if self.parsed.opaque or (self.parsed.parts and self.parsed.executed):
            raise self._unknown("what a statement runs is put together while it runs")
        if kind in _NOTHING or not self.tokens:
            return
        reader = _READERS.get(kind)
        if reader is not None:
            yield from reader(self)
        elif kind.startswith(_FIRST):
            yield Piece(turn=Turn.EXPAND, sql=self.text, back=self._drop_of_created())
        elif kind.startswith(_LAST):
            yield Piece(turn=Turn.CONTRACT, sql=self.text, note=UNUSED)
        else:
            raise self._unknown("no phase is known for a statement")

    def _unknown(self, why: str) -> NotSetOut:
        return NotSetOut(why, self.text)

    def _drop_of_created(self) -> str | None:
        made = next((e.table for e in self.parsed.effects if e.verb is Verb.CREATE_TABLE), None)
        return f"DROP TABLE {render(self.tokens[made.first : made.last + 1])}" if made is not None else None

    def _table(self, name: Name | None, schema: Schema) -> TableRef:
        """Raises NotSetOut for a table that is not there."""
        if name is not None:
            fold = str if self.dialect == "postgresql" else str.casefold
            named = [t for t in schema.tables() if fold(t.name) == fold(name.name)]
            there = [t for t in named if t.namespace == name.qualifier] or named
            if there:
                return there[0]
        raise self._unknown("the table of a statement is not known")

    # --- indexes ---

    def index(self) -> Iterator[Piece]:
        effect = next((e for e in self.parsed.effects if e.table is not None), None)
        table = self._table(effect.table if effect else None, self.after)
        made = self._new_index(table, effect.new if effect and effect.kind == "index" else "")
        turn = Turn.ENFORCE if any(e.rule is not None for e in self.parsed.effects) else Turn.EXPAND
        if table not in self.before.tables():  # nobody uses it yet
            yield Piece(turn=Turn.EXPAND, sql=self.text, back="")
        elif self.dialect == "postgresql":
            name = of(TableRef(table.namespace, made), self.dialect)
            yield Piece(turn=turn, sql=self._concurrently(), back=f"DROP INDEX CONCURRENTLY {name}", note=_BUILT)
        elif self.dialect in MYSQL:
            back = f"DROP INDEX {quoted(made, self.dialect)} ON {of(table, self.dialect)}"
            yield Piece(turn=turn, sql=f"{self.text} ALGORITHM=INPLACE LOCK=NONE", back=back)
        else:
            yield Piece(turn=turn, sql=self.text, back=f"DROP INDEX {quoted(made, self.dialect)}")

    def _new_index(self, table: TableRef, name: str) -> str:
        """Its name; that which the server gave it, where none is written."""
        new = [k.name for k in self.after.of(table) if k.kind == "index" and k not in self.before]
        if name or len(new) == 1:
            return name or new[0]
        raise self._unknown("the name of an index is not known")

    def _concurrently(self) -> str:
        said = [t.word for t in self.tokens]
        at = said.index("INDEX")
        if "CONCURRENTLY" in said[at : at + 2]:
            return self.text
        return render([*self.tokens[: at + 1], _word(" CONCURRENTLY", self.tokens[at]), *self.tokens[at + 1 :]])

    def drop_index(self) -> Iterator[Piece]:
        plain = self.dialect != "postgresql" or "CASCADE" in [t.word for t in self.tokens]
        yield Piece(turn=Turn.CONTRACT, sql=self.text if plain else self._concurrently())

    # --- rows ---

    def update(self) -> Iterator[Piece]:
        effects = [e for e in self.parsed.effects if e.update is not None]
        if len(effects) != 1 or effects[0].update is None or effects[0].update.head:
            raise self._unknown("a statement is not one plain UPDATE")
        update, table = effects[0].update, self._table(effects[0].table, self.after)
        alias = self._alias(update.targets.first, update.targets.last)
        written = {c for item in update.items for c in item.columns}
        new = table in self.before.tables() and not written & set(self.before.columns(table))
        condition = self.tokens[update.where.first : update.where.last]
        if (update.where.last if update.where else update.end) < len(self.tokens) and update.where:
            raise self._unknown("an UPDATE goes on behind its condition")
        head = self.tokens[: update.where.first - 1] if update.where else self.tokens[: update.end]
        yield self._batched(Turn.BACKFILL, table, alias, head, condition, written, "" if new else None)

    def delete(self) -> Iterator[Piece]:
        at = next((i for i, t in enumerate(self.tokens) if t.word == "FROM"), 0)
        where = find(self.tokens, at, len(self.tokens), "WHERE")
        if (
            self.tokens[0].word != "DELETE"
            or at != 1
            or find(self.tokens, where, len(self.tokens), *_BEHIND) < len(self.tokens)
        ):
            raise self._unknown("a statement is not one plain DELETE")
        table = self._table(Cursor(self.tokens, self.dialect, at + 1).name(), self.after)
        alias = self._alias(at + 1, where)
        condition = self.tokens[where + 1 :]
        yield self._batched(Turn.CONTRACT, table, alias, self.tokens[:where], condition, set(), None)

    def _alias(self, first: int, last: int) -> str:
        """How the one table between these tokens is called. Raises NotSetOut where there are several."""
        cursor = Cursor(self.tokens, self.dialect, first, last)
        cursor.accept("ONLY")
        name = cursor.name()
        cursor.accept("*")
        cursor.accept("AS")
        alias = cursor.identifier()
        if name is None or not cursor.done:
            raise self._unknown("a statement changes rows of several tables at once")
        return alias or name.name

    def _batched(
        self,
        turn: Turn,
        table: TableRef,
        alias: str,
        head: Tokens,
        condition: Tokens,
        written: set[str],
        back: str | None,
    ) -> Piece:
        if table not in self.before.tables():  # nobody uses it yet
            return Piece(turn=turn, sql=self.text, back="")
        key = self._number(table)
        if key in written:
            raise self._unknown(f"an UPDATE changes the key of {table}")
        said = f"({render(condition)}) AND " if condition else ""
        sql = f"{render(head)} WHERE {said}{quoted(alias, self.dialect)}."
        note = _WRITTEN.format(", ".join(sorted(written))) if back == "" else ""
        return Piece(turn=turn, sql=sql, back=back, batch=(table, key), note=note)

    def _number(self, table: TableRef) -> str:
        """The whole number that is a table's key."""
        for attributes in self.before.of(table).values():
            columns = attributes.get("columns")
            if attributes.get("type") == "primary key" and isinstance(columns, tuple) and len(columns) == 1:
                kind = str(self.before.columns(table).get(columns[0], {}).get("type") or "").lower()
                if kind.startswith(_WHOLE_NUMBERS):
                    return columns[0]
        raise self._unknown(f"{table} has no primary key of one whole number to take its rows in batches by")

    def insert(self) -> Iterator[Piece]:
        target = next((e.table for e in self.parsed.effects if e.verb is Verb.INSERT), None)
        new = self._table(target, self.after) not in self.before.tables()
        note = "" if not new or self.dialect not in MYSQL else _LOCKS_READ
        yield Piece(turn=Turn.BACKFILL, sql=self.text, back="" if new else None, note=note)

    # --- ALTER TABLE ---

    def alter(self) -> Iterator[Piece]:
        found = actions(self.tokens, self.dialect)
        if found is None:
            raise self._unknown("no phase is known for a statement")
        name, head, parts = found
        table = self._table(name, self.after)
        if table not in self.before.tables():  # nobody uses it yet
            yield Piece(turn=Turn.EXPAND, sql=self.text, back="")
            return
        try:
            key = self._number(table)
        except NotSetOut:
            key = ""
        for part, effects in parts:
            action = Action(table, render(head), part, effects, self.before, self.after, self.dialect, key)
            yield from action.pieces()


_WRITTEN = "Deploy the version that writes {} first: rows that come meanwhile are in no batch"
_BUILT = "An index whose building fails is left invalid: drop it, and build it again"
_LOCKS_READ = "The rows that it reads are locked for writers until it ends"
_BEHIND = ("RETURNING", "LIMIT", "ORDER", "USING")
_READERS: dict[str, Callable[[_Reader], Iterator[Piece]]] = {
    "CREATE INDEX": _Reader.index,
    "DROP INDEX": _Reader.drop_index,
    "UPDATE": _Reader.update,
    "DELETE": _Reader.delete,
    "INSERT": _Reader.insert,
    "ALTER TABLE": _Reader.alter,
}


def _word(text: str, beside: Token) -> Token:
    """One more word behind another."""
    return Token("word", text, text, beside.end, beside.end, beside.line, text.lower(), text.strip())
