"""What statements do, as plain values: the result of reading a text, before any name is looked up in a schema."""

from __future__ import annotations

from enum import Enum

from seatrial.sql.cursor import Name
from seatrial.sql.tokens import Token
from seatrial.values import dataclass


class Verb(Enum):
    CREATE_TABLE = "create table"
    DROP_TABLE = "drop table"
    RENAME_TABLE = "rename table"
    ADD_COLUMN = "add column"
    DROP_COLUMN = "drop column"
    RENAME_COLUMN = "rename column"
    REDEFINE = "redefine column"  # MODIFY, CHANGE, ALTER COLUMN
    RULE = "constraint"  # adds or drops a primary key, unique rule, foreign key or check
    OPTIONS = "table options"
    CONVERT = "convert to character set"
    OBJECT = "object"  # names an index, trigger, view, function ... itself
    GRANT = "grant"
    ROW_SECURITY = "row security"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    TRUNCATE = "truncate"
    ATTACH = "attach"  # a partition or a child table joins or leaves its parent
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens [first, last) of the statement's list."""

    first: int
    last: int

    def __bool__(self) -> bool:
        return self.last > self.first


@dataclass(frozen=True, slots=True)
class Assignment:
    columns: tuple[str, ...]
    qualifier: str
    value: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDef:
    """One column's definition: what it says (``states``) and what it leaves out."""

    name: str
    type: tuple[Token, ...] = ()
    states: frozenset[str] = frozenset()
    default: tuple[Token, ...] = ()
    rules: tuple[Rule, ...] = ()
    generates: bool = False  # identity, serial, AUTO_INCREMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A constraint that is added or dropped; ``type`` is empty where only its name is given."""

    name: str = ""
    type: str = ""  # "primary key" | "unique" | "foreign key" | "check" | "exclusion"
    columns: tuple[str, ...] = ()
    text: str = ""  # a check's condition, normalised
    dropped: bool = False
    states: frozenset[str] = frozenset()  # a foreign key's: on_delete, on_update, deferrable, deferred, match


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Where the clauses of one UPDATE stand."""

    targets: Span  # between UPDATE and SET
    items: tuple[Assignment, ...]
    sources: Span = Span(0, 0)  # behind FROM
    where: Span = Span(0, 0)
    head: int = 0  # the word UPDATE
    end: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    verb: Verb
    table: Name | None = None
    other: Name | None = None  # the new name of a table, the source of a LIKE, a parent
    column: str = ""
    new: str = ""
    kind: str = ""  # of an object
    states: frozenset[str] = frozenset()
    definition: ColumnDef | None = None
    definitions: tuple[ColumnDef, ...] = ()
    rule: Rule | None = None
    rules: tuple[Rule, ...] = ()
    columns: tuple[str, ...] = ()
    whole: bool = False  # INSERT without a column list, CREATE TABLE with a query
    temporary: bool = False
    guarded: bool = False  # IF NOT EXISTS
    update: Update | None = None
    values: tuple[Assignment, ...] = ()  # INSERT: which expression reaches which column
    query: Span = Span(0, 0)  # INSERT, CREATE TABLE AS: the query
