"""What a DDL statement locks and rewrites, by the server's own answer.

The statement is run on an empty twin of its table beside the trial's database, first with ALGORITHM=INSTANT, then with
ALGORITHM=INPLACE and LOCK=NONE or SHARED, then with ALGORITHM=COPY: the first that the server accepts is what it
chooses by itself (manual, 17.12.1). How long the lock is held is measured with the statement.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from seatrial.engines._mysql_link import LOCK_WAIT_S, Link, quote
from seatrial.errors import DatabaseError
from seatrial.model import Lock, Observation, Observed
from seatrial.sql.tokens import QUOTED, WORD, Token, code

_WAYS = (
    ("INSTANT", "ALGORITHM=INSTANT", ""),
    ("INPLACE, LOCK=NONE", "ALGORITHM=INPLACE", "LOCK=NONE"),
    ("INPLACE, LOCK=SHARED", "ALGORITHM=INPLACE", "LOCK=SHARED"),
    ("COPY, LOCK=SHARED", "ALGORITHM=COPY", "LOCK=SHARED"),
    ("COPY, LOCK=EXCLUSIVE", "ALGORITHM=COPY", "LOCK=EXCLUSIVE"),
)
"""Mode, and the clauses that ask for it, from the least lock to the greatest."""

_WHOLE = {"DROP": "EXCLUSIVE", "TRUNCATE": "EXCLUSIVE", "RENAME": "EXCLUSIVE"}


@dataclass(frozen=True, slots=True)
class Target:
    """The table that a statement alters: where its name stands, and how further clauses are joined to the text."""

    table: str
    start: int
    end: int
    comma: bool  # ALTER TABLE takes ", ALGORITHM=", CREATE INDEX takes " ALGORITHM="


NOTE = (
    "ALTER TABLE and CREATE or DROP INDEX: the algorithm and lock that the server accepted for the same statement on an"
    " empty twin of the table (not asked: statements that add a foreign key, or name ALGORITHM, LOCK or a new name for"
    " the table themselves)"
)


class Twin:
    """Asks an empty twin before each DDL statement."""

    def __init__(self, link: Link, space: str, dialect: str) -> None:
        self._link, self._space, self._dialect = link, space, dialect

    def ask(self, statement: str) -> Observation:
        """Locks and rewrites of a statement that is about to run; nothing for what locks rows only."""
        tokens = code(statement, self._dialect)
        if _locks_nobody(tokens):
            return Observation(answered=True)
        if tokens and tokens[0].word in _WHOLE and len(tokens) > 2 and tokens[1].word == "TABLE":
            locks = tuple(Lock(table=t, mode=_WHOLE[tokens[0].word]) for t in _named(tokens[2:]))
            return Observation(answered=True, locks=locks)
        target = altered(tokens)
        if target is None:
            return Observation()
        mode = self._asked(statement, target)
        if not mode:
            return Observation()
        rewrites = (target.table,) if mode.startswith("COPY") else ()
        lock = Lock(table=target.table, mode=mode, observed=Observed.SAMPLED)
        return Observation(answered=True, locks=(lock,), rewrites=rewrites)

    def _asked(self, statement: str, target: Target) -> str:
        """The least that the server accepts; empty where the twin cannot answer.

        The step's own session may hold the table (LOCK TABLES), and would wait for us as long as we for it.
        """
        name = f"{quote(self._space)}.`twin`"
        self._link.execute("SET SESSION lock_wait_timeout = 1")
        try:
            return self._least(statement, target, name)
        finally:
            self._link.execute(f"DROP TABLE IF EXISTS {name}")
            self._link.execute(f"SET SESSION lock_wait_timeout = {LOCK_WAIT_S}")

    def _least(self, statement: str, target: Target, name: str) -> str:
        with suppress(DatabaseError):  # no such table, or it is locked
            self._link.execute(f"CREATE TABLE {name} LIKE {quote(target.table)}")
            for mode, algorithm, lock in _WAYS:  # one that is refused leaves the twin as it was
                with suppress(DatabaseError):
                    self._link.execute(_with_clauses(statement, target, name, algorithm, lock))
                    return mode
        return ""


def _locks_nobody(tokens: Sequence[Token]) -> bool:
    """SET, and a new table that takes nothing from another: no parent, no rows, no form."""
    words = [t.word for t in tokens]
    if words[:1] == ["CREATE"] and "TABLE" in words[1:3]:
        return not {"REFERENCES", "SELECT", "LIKE", "TABLE"} & {*words[words.index("TABLE") + 1 :]}
    return words[:1] == ["SET"]


def altered(tokens: Sequence[Token]) -> Target | None:
    """The table of an ALTER TABLE, CREATE INDEX or DROP INDEX in the default database, if it is one."""
    words = [t.word for t in tokens]
    if _SAY_OTHERWISE & {*words} or any(a == "RENAME" and b not in _PARTS for a, b in itertools.pairwise([*words, ""])):
        return None
    if words[:1] == ["ALTER"] and "TABLE" in words[1:4]:
        return _target(tokens, words.index("TABLE") + 1, comma=True)
    if words[:1] in (["CREATE"], ["DROP"]) and "INDEX" in words[1:5] and "ON" in words:
        return _target(tokens, words.index("ON") + 1, comma=False)
    return None


_PARTS = frozenset({"COLUMN", "INDEX", "KEY"})
_SAY_OTHERWISE = frozenset(
    {
        "ALGORITHM",
        "LOCK",
        "PARTITION",
        "DISCARD",
        "IMPORT",
        "EXCHANGE",
        "FOREIGN",
        "REFERENCES",
        "ONLINE",
        "WAIT",
        "NOWAIT",
    }
)
"""Words of statements that no twin can answer for: their parents are elsewhere, or they choose by themselves."""


def _target(tokens: Sequence[Token], at: int, *, comma: bool) -> Target | None:
    while at < len(tokens) and tokens[at].word in ("IF", "EXISTS"):
        at += 1
    if (
        at >= len(tokens)
        or tokens[at].kind not in (WORD, QUOTED)
        or (at + 1 < len(tokens) and tokens[at + 1].word == ".")
    ):
        return None
    return Target(tokens[at].name, tokens[at].start, tokens[at].end, comma)


def _with_clauses(statement: str, target: Target, name: str, *clauses: str) -> str:
    joined = (", " if target.comma else " ").join(c for c in clauses if c)
    text = statement[: target.start] + name + statement[target.end :]
    return f"{text}\n{', ' if target.comma else ' '}{joined}"


def _named(tokens: Sequence[Token]) -> list[str]:
    """Tables of DROP, TRUNCATE and RENAME TABLE in the default database."""
    names = [
        t.name
        for t in tokens
        if t.kind in (WORD, QUOTED) and t.word not in ("IF", "EXISTS", "CASCADE", "RESTRICT", "TO")
    ]
    return list(dict.fromkeys(names))
