"""The actions of ALTER TABLE on a table in use, each in the form that locks it least. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seatrial.model import Attributes, ObjectKey, Schema, TableRef
from seatrial.sql.batches import render
from seatrial.sql.cursor import Tokens
from seatrial.sql.effects import ColumnDef, Effect, Rule, Verb
from seatrial.sql.remedy import of, quoted
from seatrial.sql.rename import names_in
from seatrial.sql.turns import NotSetOut, Piece, Turn
from seatrial.sql.values import is_random
from seatrial.values import dataclass

_TAKES = (Verb.DROP_COLUMN, Verb.RENAME_COLUMN, Verb.RENAME_TABLE)
UNUSED = "Deploy the version that does not use the old names any more first"
_REWRITES = frozenset(["persistence", "tablespace", "access_method"])
_TYPE = frozenset(["type", "collation", "charset"])


@dataclass(frozen=True, slots=True)
class Action:
    """One action; what it gives raises NotSetOut where no form is known. ``head``: ``ALTER TABLE ONLY orders``.

    ``key``: the whole number by which the table's rows can be taken in batches; empty without one.
    """

    table: TableRef
    head: str
    tokens: Tokens
    effects: Sequence[Effect]
    before: Schema
    after: Schema
    dialect: str
    key: str

    @property
    def text(self) -> str:
        return render(self.tokens)

    @property
    def whole(self) -> str:
        return f"{self.head} {self.text}"

    def _mine(self, action: str) -> str:
        return f"ALTER TABLE {of(self.table, self.dialect)} {action}"

    def _named(self, column: str) -> str:
        return quoted(column, self.dialect)

    def pieces(self) -> Iterator[Piece]:
        return {"sqlite": self._sqlite, "postgresql": self._postgresql}.get(self.dialect, self._mysql)()

    # --- SQLite, MySQL, MariaDB ---

    def _sqlite(self) -> Iterator[Piece]:
        """One lock for the whole file: what counts is how long it is held."""
        for effect in self.effects:
            if effect.verb is Verb.ADD_COLUMN:
                back = self._mine(f"DROP COLUMN {self._named(effect.column)}")
                yield Piece(turn=Turn.EXPAND, sql=self.whole, back=back)
            elif effect.verb in _TAKES:
                yield Piece(turn=Turn.CONTRACT, sql=self.whole, note=UNUSED)

    def _mysql(self) -> Iterator[Piece]:
        """The server itself refuses what it cannot do in this way."""
        verbs = {e.verb for e in self.effects}
        if verbs & {*_TAKES}:
            yield Piece(turn=Turn.CONTRACT, sql=f"{self.whole}, ALGORITHM=INSTANT", note=UNUSED)
        elif Verb.ADD_COLUMN in verbs:
            backs = [f"DROP COLUMN {self._named(e.column)}" for e in self.effects if e.verb is Verb.ADD_COLUMN]
            yield Piece(turn=Turn.EXPAND, sql=f"{self.whole}, ALGORITHM=INSTANT", back=self._mine(", ".join(backs)))
        else:
            rules = [e.rule for e in self.effects if e.rule is not None]
            turn = Turn.ENFORCE if Verb.REDEFINE in verbs or any(not r.dropped for r in rules) else Turn.EXPAND
            yield Piece(turn=turn, sql=f"{self.whole}, ALGORITHM=INPLACE, LOCK=NONE")

    # --- PostgreSQL ---

    def _postgresql(self) -> Iterator[Piece]:
        effect = self.effects[0] if self.effects else None
        verb = effect.verb if effect else None
        if effect is None or (verb is Verb.OPTIONS and effect.states & _REWRITES):
            raise NotSetOut("an action writes its table anew", self.whole)
        if verb is Verb.ADD_COLUMN and effect.definition is not None:
            yield from self._add(effect.definition)
        elif verb is Verb.REDEFINE:
            yield from self._redefine(effect)
        elif verb is Verb.RULE and effect.rule is not None and not effect.rule.dropped and effect.rule.type:
            yield from self._rule(effect.rule)
        elif verb in _TAKES:
            yield Piece(turn=Turn.CONTRACT, sql=self.whole, note=UNUSED)
        elif verb in (Verb.RULE, Verb.OPTIONS, Verb.OBJECT, Verb.ROW_SECURITY):
            yield Piece(turn=Turn.EXPAND, sql=self.whole)
        else:
            raise NotSetOut("no phase is known for an action", self.whole)

    def _add(self, column: ColumnDef) -> Iterator[Piece]:
        name = self._named(column.name)
        back = self._mine(f"DROP COLUMN {name}")
        if column.generates or "generated" in column.states:
            raise NotSetOut(f"{self.table}.{column.name} is computed for every row while the table is locked")
        if not is_random(column.default, self.dialect):
            yield Piece(turn=Turn.EXPAND, sql=self.whole, back=back)
            return
        if not column.states <= _TYPE | {"default", "nullable"} or column.rules:
            raise NotSetOut(f"{self.table}.{column.name} is given values row by row, and has rules of its own")
        value = render(column.default)
        yield Piece(turn=Turn.EXPAND, sql=f"{self.head} ADD COLUMN {name} {render(column.type)}", back=back)
        yield Piece(turn=Turn.EXPAND, sql=f"{self.head} ALTER COLUMN {name} SET DEFAULT {value}", back="")
        yield self._filled(f"{name} = {value} WHERE {name} IS NULL AND")
        if self._is_required(column.name):
            yield from self._required(column.name)

    def _redefine(self, effect: Effect) -> Iterator[Piece]:
        words = [t.word for t in self.tokens]
        if words[-3:] == ["SET", "NOT", "NULL"]:
            yield from self._required(effect.column)
        elif words[-3:] == ["DROP", "NOT", "NULL"]:
            yield Piece(turn=Turn.EXPAND, sql=self.whole)
        elif effect.states == {"default"}:
            yield Piece(turn=Turn.EXPAND, sql=self.whole, back=self._old_default(effect.column))
        elif effect.definition is not None and effect.states <= _TYPE:
            yield from self._retype(effect.definition)
        else:
            raise NotSetOut("no phase is known for an action", self.whole)

    def _old_default(self, column: str) -> str:
        old = self.before.columns(self.table).get(column, {}).get("default")
        said = f"SET DEFAULT {old}" if old is not None else "DROP DEFAULT"
        return self._mine(f"ALTER COLUMN {self._named(column)} {said}")

    def _is_required(self, column: str) -> bool:
        return self.after.columns(self.table).get(column, {}).get("nullable") is False

    def _required(self, column: str, named: str = "") -> Iterator[Piece]:
        """NOT NULL by way of a check: where one that is valid says so, the table is not read for it."""
        name, rule = self._named(named or column), self._named(f"{self.table.name}_{column}_required"[:60])
        drop = self._mine(f"DROP CONSTRAINT {rule}")
        added = f"ADD CONSTRAINT {rule} CHECK ({name} IS NOT NULL) NOT VALID"
        yield Piece(turn=Turn.ENFORCE, sql=self._mine(added), back="")
        yield Piece(turn=Turn.ENFORCE, sql=self._mine(f"VALIDATE CONSTRAINT {rule}"), back="")
        back = self._mine(f"ALTER COLUMN {name} DROP NOT NULL")
        yield Piece(turn=Turn.ENFORCE, sql=self._mine(f"ALTER COLUMN {name} SET NOT NULL"), back=back)
        yield Piece(turn=Turn.ENFORCE, sql=drop, back="")

    # --- constraints ---

    def _rule(self, rule: Rule) -> Iterator[Piece]:
        name = self._named(self._made(rule).name)
        back = self._mine(f"DROP CONSTRAINT {name}")
        words = [t.word for t in self.tokens]
        if rule.type in ("foreign key", "check"):
            valid = "VALID" not in words
            yield Piece(turn=Turn.ENFORCE, sql=f"{self.whole}{' NOT VALID' if valid else ''}", back=back)
            if valid:
                yield Piece(turn=Turn.ENFORCE, sql=self._mine(f"VALIDATE CONSTRAINT {name}"), back="")
            return
        if rule.type not in ("unique", "primary key") or words.count("(") != 1 or words[-1] != ")":
            raise NotSetOut("no phase is known for an action", self.whole)
        columns = self.before.columns(self.table)
        for column in rule.columns if rule.type == "primary key" else ():
            if columns.get(column, {}).get("nullable") is not False:
                yield from self._required(column)
        listed = ", ".join(self._named(c) for c in rule.columns)
        index = f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {of(self.table, self.dialect)} ({listed})"
        yield Piece(turn=Turn.ENFORCE, sql=index, back="")
        using = f"ADD CONSTRAINT {name} {rule.type.upper()} USING INDEX {name}"
        yield Piece(turn=Turn.ENFORCE, sql=self._mine(using), back=back)

    def _made(self, rule: Rule) -> ObjectKey:
        """The constraint that is there after up; a name that was not written is the server's choice."""
        new = {k: a for k, a in self.after.of(self.table).items() if k not in self.before}
        found = [k for k, a in new.items() if a.get("type") == rule.type and _fits(a, rule)]
        named = [k for k in found if k.name == rule.name] or found
        if len(named) == 1:
            return named[0]
        raise NotSetOut("the name of a constraint is not known", self.whole)

    # --- a column of another type ---

    def _retype(self, column: ColumnDef) -> Iterator[Piece]:
        """A second column, filled by a trigger and in batches, that takes the place of the first."""
        if resting := self._resting(column.name):
            raise NotSetOut(f"{', '.join(resting)} would have to be made again with {self.table}.{column.name}")
        old, new = self._named(column.name), self._named(f"{column.name}_new")
        value = render(column.default) or f"{old}::{render(column.type)}"
        added = self._mine(f"ADD COLUMN {new} {self._type()}")
        yield Piece(turn=Turn.EXPAND, sql=added, back=self._mine(f"DROP COLUMN {new}"))
        if (default := self.after.columns(self.table).get(column.name, {}).get("default")) is not None:
            yield Piece(turn=Turn.EXPAND, sql=self._mine(f"ALTER COLUMN {new} SET DEFAULT {default}"), back="")
        yield from self._kept_in_step(column.name, new, value)
        yield self._filled(f"{new} = {value} WHERE")
        if self._is_required(column.name):
            yield from self._required(column.name, f"{column.name}_new")
        swap = f"{self._mine(f'DROP COLUMN {old}')}; {self._mine(f'RENAME COLUMN {new} TO {old}')}"
        note = f"{column.name} is the last column of {self.table} from here on"
        yield Piece(turn=Turn.CONTRACT, sql=f"BEGIN; {self._no_sync(column.name)}; {swap}; COMMIT", note=note)

    def _type(self) -> str:
        """With its COLLATE, without USING."""
        said = [t.word for t in self.tokens]
        return render(self.tokens[said.index("TYPE") + 1 : said.index("USING") if "USING" in said else None])

    def _kept_in_step(self, column: str, new: str, value: str) -> Iterator[Piece]:
        """The trigger that writes the second column; the row stands in it under its table's name."""
        mine, sync = of(self.table, self.dialect), self._sync(column)
        body = f"NEW.{new} := (SELECT {value} FROM (SELECT NEW.*) {self._named(self.table.name)}); RETURN NEW;"
        function = f"CREATE FUNCTION {sync}() RETURNS trigger LANGUAGE plpgsql AS $sync$ BEGIN {body} END $sync$"
        note = f"From here on a trigger keeps {new} in step with {column}"
        yield Piece(turn=Turn.EXPAND, sql=function, back="", note=note)
        fires = f"BEFORE INSERT OR UPDATE ON {mine} FOR EACH ROW EXECUTE FUNCTION {sync}()"
        made = f"CREATE TRIGGER {self._named(self._sync_name(column))} {fires}"
        yield Piece(turn=Turn.EXPAND, sql=made, back=self._no_sync(column))

    def _sync_name(self, column: str) -> str:
        return f"{self.table.name}_{column}_sync"[:60]

    def _sync(self, column: str) -> str:
        return of(TableRef(self.table.namespace, self._sync_name(column)), self.dialect)

    def _no_sync(self, column: str) -> str:
        trigger = self._named(self._sync_name(column))
        return f"DROP TRIGGER {trigger} ON {of(self.table, self.dialect)}; DROP FUNCTION {self._sync(column)}()"

    def _filled(self, rest: str) -> Piece:
        if not self.key:
            raise NotSetOut(
                f"{self.table} has no primary key of one whole number to take its rows in batches by", self.whole
            )
        mine = of(self.table, self.dialect)
        return Piece(
            turn=Turn.BACKFILL,
            sql=f"UPDATE {mine} SET {rest} {self._named(self.table.name)}.",
            back="",
            batch=(self.table, self.key),
        )

    def _resting(self, column: str) -> list[str]:
        """What names the column: it would go with it."""
        own = ObjectKey("column", self.table.namespace, self.table.name, column)
        found = [k.label for k, a in self.before.items() if k != own and self._rests(k, a, column)]
        return found[:3]

    def _rests(self, key: ObjectKey, attributes: Attributes, column: str) -> bool:
        if attributes.get("references") == str(self.table) and column in _columns(attributes, "referenced_columns"):
            return True
        if key.owner == self.table and column in _columns(attributes, "columns"):
            return True
        said = (attributes.get(a) for a in ("definition", "expression", "predicate", "generated", "partition_key"))
        names: frozenset[str] = frozenset().union(*(names_in(str(t), self.dialect) for t in said if t))
        return column in names and (key.owner == self.table or self.table.name in names)


def _columns(attributes: Attributes, name: str) -> tuple[str, ...]:
    found = attributes.get(name)
    return found if isinstance(found, tuple) else ()


def _fits(attributes: Attributes, rule: Rule) -> bool:
    return rule.type == "check" or not rule.columns or _columns(attributes, "columns") == rule.columns
