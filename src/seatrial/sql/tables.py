"""What a step's statements work on: tables and columns with an identity of their own, and what was done to them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from functools import lru_cache

from seatrial.model import Schema, TableRef
from seatrial.sql.effects import Effect, Verb
from seatrial.sql.statement import Parsed
from seatrial.sql.tokens import Token, code
from seatrial.sql.values import varies
from seatrial.values import dataclass

TEMPORARY = "\0temporary"  # no schema can be called so


@dataclass(eq=False, slots=True)
class Column:
    name: str
    before: str | None = None  # its name before the step
    states: set[str] = field(default_factory=set)
    type: tuple[Token, ...] = ()
    varies: bool = False  # what an INSERT that leaves it out gets is random, the time or the next number


@dataclass(eq=False, slots=True)
class Table:
    ref: TableRef | None  # None: dropped
    before: TableRef | None = None
    declared: Callable[[], dict[str, Column]] = dict  # the columns of before the step; most tables are never asked
    sources: set[Table] = field(default_factory=set)  # tables whose rows were copied into it
    states: set[str] = field(default_factory=set)
    open: bool = False  # its columns are not all known
    _columns: dict[str, Column] | None = None

    @property
    def columns(self) -> dict[str, Column]:
        """By folded name."""
        if self._columns is None:
            self._columns = self.declared()
        return self._columns

    @property
    def known(self) -> Collection[Column]:
        """The columns that somebody has asked for; nothing can have happened to the others."""
        return (self._columns or {}).values()

    def __hash__(self) -> int:
        return id(self)


@dataclass(frozen=True, slots=True)
class Event:
    """One effect on one table, with its names looked up. ``index`` counts the statements of the step."""

    index: int
    verb: Verb
    table: Table | None = None
    column: Column | None = None
    effect: Effect | None = None
    view: bool = False  # the statement wrote through a view


@dataclass(frozen=True, slots=True)
class Copy:
    """A value taken over as it is from one column into another by INSERT ... SELECT."""

    source: Column
    target: Column


@dataclass(eq=False, slots=True)
class Run:
    """What one statement named, for those who judge it later."""

    index: int
    parsed: Parsed
    first: int = 0  # its own events are [first, last) of the world's
    last: int = 0
    why: str = ""  # why it is not certain that it is run once as it stands; empty where it is
    tables: dict[str, set[Table]] = field(default_factory=dict)  # alias or name -> tables
    columns: set[Column] = field(default_factory=set)  # every column that one of its identifiers may mean
    resolved: dict[int, Table] = field(default_factory=dict)  # by the index of a name: ALTER TABLE a RENAME b, ADD c


def fold(name: str, dialect: str) -> str:
    """How names are compared: SQLite and MySQL take columns without regard to case."""
    return name if dialect == "postgresql" else name.casefold()


Draws = Callable[[Sequence[Token]], bool]  # whether an expression calls a function of the project's own that varies


def declared(schema: Schema, ref: TableRef, dialect: str, draws: Draws) -> dict[str, Column]:
    """The columns of a table as a schema has them, by folded name."""
    return {fold(n, dialect): _column(n, a, dialect, draws) for n, a in schema.columns(ref).items()}


def _column(name: str, attributes: Mapping[str, object], dialect: str, draws: Draws) -> Column:
    gives = any(attributes.get(a) for a in ("identity", "auto_increment"))
    default = str(attributes.get("default") or "")
    kind, is_varying = _said(str(attributes.get("type") or ""), default, dialect)
    is_varying = is_varying or ("(" in default and draws(code(default, dialect)))
    return Column(name, before=name, type=kind, varies=gives or is_varying)


@lru_cache(maxsize=1024)
def _said(kind: str, default: str, dialect: str) -> tuple[tuple[Token, ...], bool]:
    """A type's tokens, and whether a default gives another value every time."""
    return tuple(code(kind, dialect)), varies(code(default, dialect), dialect)
