"""What a DDL statement locks and rewrites, by the server's own answer.

The statement is run on an empty twin of its table beside the trial's database, under the session settings of the step,
first with ALGORITHM=INSTANT, then with ALGORITHM=INPLACE and LOCK=NONE, SHARED or EXCLUSIVE, then with ALGORITHM=COPY:
the first that the server accepts is what it chooses by itself (manual, 17.12.1). How long the lock is held is measured
with the statement.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

from seatrial.engines._mysql_link import Link, quote
from seatrial.engines._mysql_settings import Asking, like
from seatrial.engines._mysql_show import parse
from seatrial.engines._mysql_targets import Named, listed, name_at
from seatrial.engines._mysql_twin import Asked, Space, foreign_key, read
from seatrial.errors import DatabaseError
from seatrial.model import Lock, Observation, Observed
from seatrial.sql.tokens import Token, code

_WAYS = (
    ("INSTANT", ""),
    ("INPLACE", "NONE"),
    ("INPLACE", "SHARED"),
    ("INPLACE", "EXCLUSIVE"),
    ("COPY", "NONE"),  # MariaDB, from 11.2 on
    ("COPY", "SHARED"),
    ("COPY", "EXCLUSIVE"),
)
"""Algorithm and lock, from the least to the greatest."""

NOTE = (
    "ALTER TABLE, CREATE or DROP INDEX, OPTIMIZE TABLE: the algorithm and lock that the server accepted for the same"
    " statement on an empty twin of the table (foreign keys: with twins of their parents) under the session settings of"
    " the step; DROP, TRUNCATE and RENAME TABLE, TRUNCATE and EXCHANGE PARTITION, CREATE TRIGGER: exclusive, by the"
    " server's rule"
)
UNASKED = {
    "mysql": " (not asked: DISCARD or IMPORT TABLESPACE; ANALYZE, CHECK, OPTIMIZE or REPAIR PARTITION)",
    "mariadb": " (not asked: other changes of partitions, for which MariaDB accepts any algorithm; DISCARD or IMPORT"
    " TABLESPACE, ONLINE, WAIT and NOWAIT)",
}


class Twin:
    """Asks an empty twin before each DDL statement."""

    def __init__(self, link: Link, space: Space, engine: tuple[str, str], asked: Asking) -> None:
        """``engine``: its name and version."""
        self._link, self._space, self.dialect = link, space, engine[0]
        self._version = tuple(int(n) for n in re.findall(r"\d+", engine[1])[:2])
        self.settings = asked
        self._own: set[str] = set()  # the step's temporary tables, which nobody else sees

    def ask(self, statement: str, answer: str = "") -> Observation:
        """Locks and rewrites of a statement that is about to run; nothing for what locks rows only.

        ``answer``: what its session told of itself (``Asking.question``). Without it, no twin is asked.
        """
        tokens = code(statement, self.dialect)
        self._own |= {n.name.casefold() for n in _made_temporary(tokens)}
        if _locks_nobody(tokens):
            return Observation(answered=True)
        named = _held_exclusively(tokens)
        own = frozenset(self._own)
        self._own -= {n.name.casefold() for n in _dropped(tokens)}  # the name is a table of everybody's again
        if named:
            ours = dict.fromkeys(n.name for n in named if self._space.holds(n) and n.name.casefold() not in own)
            return Observation(answered=True, locks=tuple(Lock(table=t, mode="EXCLUSIVE") for t in ours))
        return self._answered(statement, answer)

    def _answered(self, statement: str, answer: str) -> Observation:
        session = self.settings.read(answer)
        asked = read(statement, self._space, self.dialect)
        if asked is not None and asked.table.casefold() in self._own:
            return Observation(answered=True)
        if asked is None or session is None or session[0] != self._space.database:
            return Observation()
        if "NO_BACKSLASH_ESCAPES" in session[1]["sql_mode"] and "\\" in statement:
            return Observation()  # its literals end elsewhere than we read
        mode = self._least(asked, session[1])
        if not mode:
            return Observation()
        lock = Lock(table=asked.table, mode=mode, observed=Observed.SAMPLED)
        return Observation(answered=True, locks=(lock,), rewrites=(asked.table,) if mode.startswith("COPY") else ())

    def _least(self, asked: Asked, settings: dict[str, str]) -> str:
        """The least that the server accepts; empty where the twin cannot answer.

        The step's own session may hold the table (LOCK TABLES), and would wait for us as long as we for it.
        """
        made: list[str] = []
        try:
            with suppress(DatabaseError), like(self._link, settings, self.settings):
                if self._make(asked, made):
                    return self._accepted(asked, _ways(asked, settings, self.dialect))
            return ""
        finally:
            if made:
                self._link.execute(f"DROP TABLE IF EXISTS {', '.join([*made, self._space.renamed])}")

    def _accepted(self, asked: Asked, ways: Sequence[tuple[str, str]]) -> str:
        """The first way that is not refused; one that is leaves the twin as it was."""
        only_copy = False
        for algorithm, lock in ways:
            if (only_copy and algorithm != "COPY") or (
                lock == "NONE" and algorithm == "COPY" and not self._copies_online
            ):
                continue
            try:
                self._link.execute(asked.with_clauses(f"ALGORITHM={algorithm}", f"LOCK={lock}" if lock else ""))
                return f"{algorithm}, LOCK={lock}" if lock else algorithm
            except DatabaseError as refused:
                only_copy = only_copy or "Try ALGORITHM=COPY" in str(refused).replace("COPY/INPLACE", "")
        return ""

    @property
    def _copies_online(self) -> bool:
        """MariaDB from 11.2 on (MDEV-16329)."""
        return self.dialect == "mariadb" and self._version >= (11, 2)

    def _make(self, asked: Asked, made: list[str]) -> bool:
        """The twin with its foreign keys, and their parents'; whether it can answer."""
        twin = self._space.twin()
        made.append(twin)
        self._link.execute(f"CREATE TABLE {twin} LIKE {quote(asked.table)}")
        shown = self._link.rows(f"SHOW CREATE TABLE {quote(asked.table)}")[0][1] or ""
        texts = parse(shown, self.dialect).foreign.values() if "FOREIGN KEY" in shown else ()
        own = [f for text in texts if (f := foreign_key(text, asked.table, self._space, self.dialect))]
        parents = {*asked.parents, *(p for _, p in own if p.casefold() != asked.table.casefold())}
        for parent in sorted(parents):
            made.append(self._space.twin(parent))
            with suppress(DatabaseError):  # with foreign_key_checks off there need be none
                self._link.execute(f"CREATE TABLE {made[-1]} LIKE {quote(parent)}")
        for text, _ in own:
            self._link.execute(f"ALTER TABLE {twin} ADD {text}")
        return not asked.innodb_only or "ENGINE=InnoDB" in shown


def _ways(asked: Asked, settings: dict[str, str], dialect: str) -> tuple[tuple[str, str], ...]:
    """What the server would try, by the statement's own ALGORITHM and LOCK, else by the session's."""
    algorithm = asked.algorithm or _of_session(settings)
    tried = {algorithm} if algorithm else {"INSTANT", "INPLACE", "COPY"}
    if algorithm in ("INPLACE", "NOCOPY") and dialect == "mariadb":  # at most; MySQL: no less either (manual, 15.1.9)
        tried = {"INSTANT", "INPLACE"}
    ways = [way for way in _WAYS if way[0] in tried]
    if asked.lock:  # also where less would do
        ways = [(way, asked.lock if way != "INSTANT" else "") for way, _ in ways]
    return tuple(dict.fromkeys(ways))


def _of_session(settings: dict[str, str]) -> str:
    """Only a copy is forced there; what MariaDB's other values do not allow, the server refuses by itself."""
    copies = settings.get("old_alter_table") in ("1", "ON", "COPY") or settings.get("alter_algorithm") == "COPY"
    return "COPY" if copies else ""


def _locks_nobody(tokens: Sequence[Token]) -> bool:
    """SET, and a new table that takes nothing from another: no parent, no rows, no form."""
    words = [t.word for t in tokens]
    if words[:1] == ["CREATE"] and "TABLE" in words[1:3]:
        return not {"REFERENCES", "SELECT", "LIKE", "TABLE"} & {*words[words.index("TABLE") + 1 :]}
    return words[:1] == ["SET"]


def _made_temporary(tokens: Sequence[Token]) -> list[Named]:
    words = [t.word for t in tokens[:9]]
    if words[:1] != ["CREATE"] or "TEMPORARY" not in words[1:4] or "TABLE" not in words:
        return []
    at = words.index("TABLE") + 1
    return _at(tokens, at + 3 if words[at : at + 3] == ["IF", "NOT", "EXISTS"] else at)


def _dropped(tokens: Sequence[Token]) -> list[Named]:
    words = [t.word for t in tokens[:5]]
    at = 2 if words[1:2] == ["TEMPORARY"] else 1
    if words[:1] != ["DROP"] or words[at : at + 1] not in (["TABLE"], ["TABLES"]):
        return []
    return listed(tokens, at + 3 if words[at + 1 : at + 3] == ["IF", "EXISTS"] else at + 1)


def _held_exclusively(tokens: Sequence[Token]) -> list[Named]:
    """Tables of DROP, TRUNCATE and RENAME TABLE, of CREATE TRIGGER and of partitions that are emptied or swapped."""
    words = [t.word for t in tokens]
    if words[:1] in (["DROP"], ["RENAME"]) and words[1:2] in (["TABLE"], ["TABLES"]):
        at = 4 if words[2:4] == ["IF", "EXISTS"] else 2
        last = [i + 1 for i in range(at, len(words)) if words[0] == "RENAME" and words[i] == "TO"]
        return [*listed(tokens, at), *(n for i in last if (n := name_at(tokens, i)))]
    if words[:1] == ["TRUNCATE"]:
        return _at(tokens, 2 if words[1:2] == ["TABLE"] else 1)
    if words[:1] == ["CREATE"] and "TRIGGER" in words[1:12] and "ON" in words:
        return _at(tokens, words.index("ON") + 1)
    if words[:2] == ["ALTER", "TABLE"] and (named := name_at(tokens, 2)):
        action = words[named.end : named.end + 2]
        if action == ["TRUNCATE", "PARTITION"]:
            return [named]
        if action == ["EXCHANGE", "PARTITION"] and "TABLE" in words[named.end :]:
            return [named, *_at(tokens, words.index("TABLE", named.end) + 1)]
    return []


def _at(tokens: Sequence[Token], at: int) -> list[Named]:
    named = name_at(tokens, at)
    return [named] if named else []
