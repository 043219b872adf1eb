"""A DDL statement rewritten for an empty twin of its table: other names, and the algorithm and lock asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from seatrial.engines._mysql_link import quote
from seatrial.engines._mysql_targets import Named, name_at
from seatrial.sql.cursor import top
from seatrial.sql.tokens import Token, code
from seatrial.sql.tokens import words as keywords

_ALGORITHMS = keywords("DEFAULT INSTANT INPLACE NOCOPY COPY")
_LOCKS = keywords("DEFAULT NONE SHARED EXCLUSIVE")
_PARTS = keywords("COLUMN INDEX KEY")
_NO_NAME = keywords("TO AS =")
_UNASKED = keywords("DISCARD IMPORT EXCHANGE WAIT NOWAIT ONLINE")
"""What moves files or another table, and MariaDB's words that choose how to wait or lock by themselves."""
_UNASKED_OF_PARTITIONS = keywords("TRUNCATE ANALYZE CHECK OPTIMIZE REPAIR CONVERT")
"""Take any ALGORITHM, and look at none (measured, 9.7)."""


@dataclass(frozen=True, slots=True)
class Change:
    """One piece of the statement's text that is another for the twin."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A statement that a twin can answer for."""

    table: str
    parents: tuple[str, ...] = ()  # that it adds foreign keys to
    innodb_only: bool = False  # others do something else for it
    algorithm: str = ""  # that the statement itself names
    lock: str = ""
    text: str
    at: int  # where the clauses go in ``text``
    before: str  # what stands before them
    joined: str
    after: str
    changes: tuple[Change, ...] = ()

    def with_clauses(self, *clauses: str) -> str:
        wanted = self.before + self.joined.join(c for c in clauses if c) + self.after
        text = self.text
        for change in sorted((*self.changes, Change(self.at, self.at, wanted)), key=lambda c: c.start, reverse=True):
            text = text[: change.start] + change.text + text[change.end :]
        return text


@dataclass(frozen=True, slots=True)
class Space:
    """Where twins stand, beside the trial's ``database``."""

    name: str
    database: str

    def twin(self, of: str = "") -> str:
        """The twin's own name, or that of a parent's; a name has 64 characters at most (manual, 11.2.1)."""
        return f"{quote(self.name)}.{quote(f'of {of}'[:64].rstrip() if of else 'twin')}"

    @property
    def renamed(self) -> str:
        return f"{quote(self.name)}.`twin renamed`"

    def holds(self, named: Named | None) -> bool:
        return named is not None and named.database.casefold() in ("", self.database.casefold())


def read(statement: str, space: Space, dialect: str) -> Asked | None:
    """ALTER TABLE, CREATE INDEX, DROP INDEX or OPTIMIZE TABLE of one table of ours; None for anything else."""
    tokens = code(statement, dialect)
    if tokens and tokens[-1].word == ";":
        tokens = tokens[:-1]
    words = [t.word for t in tokens]
    if words[:1] == ["ALTER"] and "TABLE" in words[1:3]:
        return _altered(statement, tokens, words, space, dialect)
    if words[:1] == ["CREATE"] and "INDEX" in words[1:6]:
        return _indexed(statement, tokens, words, space)
    if words[:1] == ["DROP"] and "INDEX" in words[1:3]:
        return _without_index(statement, tokens, words, space)
    if words[:1] == ["OPTIMIZE"] and "TABLE" in words[1:3]:
        return _optimized(tokens, words, space)
    return None


def _altered(statement: str, tokens: Sequence[Token], words: Sequence[str], space: Space, dialect: str) -> Asked | None:
    at = words.index("TABLE") + 1
    at += 2 if words[at : at + 2] == ["IF", "EXISTS"] else 0
    named = name_at(tokens, at)
    if named is None or not space.holds(named) or named.end >= len(tokens):
        return None
    outer = list(top(tokens, named.end, len(tokens)))
    if _UNASKED & {words[i] for i in outer} or not _partitions_answer(words, outer, dialect):
        return None
    parents = list(_parents(tokens, words, named.end, space))
    renamed = [_renamed(tokens, words, i, space) for i in outer if words[i] == "RENAME"]
    if None in parents or None in renamed:
        return None
    stated, cut = _stated(tokens, words, outer)
    changes = [_change(tokens, at, named.end, space.twin()), *cut, *(c for c in renamed if c is not None and c.text)]
    known = [p for p in parents if p is not None]
    changes += [_change(tokens, first, p.end, parent_twin(space, p.name, named.name)) for first, p in known]
    alone = words[named.end] in ("PARTITION", "REMOVE")
    front = any(words[i] in ("PARTITION", "PARTITIONING") for i in outer)
    return Asked(
        table=named.name,
        parents=tuple(p.name for _, p in known if p.name.casefold() != named.name.casefold()),
        algorithm=stated.get("ALGORITHM", ""),
        lock=stated.get("LOCK", ""),
        text=statement,
        at=tokens[named.end].start if front else tokens[-1].end,
        before="" if front else ("\n" if cut and _nothing_left(tokens, named.end, cut) else "\n, "),
        joined=", ",
        after=(" " if alone else ", ") if front else "",
        changes=tuple(changes),
    )


def _nothing_left(tokens: Sequence[Token], first: int, cut: Sequence[Change]) -> bool:
    return all(any(c.start <= t.start < c.end for c in cut) for t in tokens[first:])


def _partitions_answer(words: Sequence[str], outer: Sequence[int], dialect: str) -> bool:
    """MariaDB takes any ALGORITHM with a change of the partitioning, and copies all the same (measured, 10.11)."""
    if not any(words[i] in ("PARTITION", "PARTITIONING") for i in outer):
        return True
    return dialect == "mysql" and not _UNASKED_OF_PARTITIONS & {words[i] for i in outer[:1]}


def _parents(
    tokens: Sequence[Token], words: Sequence[str], start: int, space: Space
) -> Iterator[tuple[int, Named] | None]:
    """Each table behind REFERENCES with where its name begins; None for one of another database."""
    for i in range(start, len(words)):
        if words[i] == "REFERENCES":
            named = name_at(tokens, i + 1)
            yield (i + 1, named) if named and space.holds(named) else None


def _renamed(tokens: Sequence[Token], words: Sequence[str], i: int, space: Space) -> Change | None:
    """The twin's new name; a change without text for a column or an index, None where the table goes elsewhere."""
    if words[i + 1 : i + 2] and words[i + 1] in _PARTS:
        return Change(0, 0, "")
    at = i + 1 + (words[i + 1] in _NO_NAME if i + 1 < len(words) else 0)
    named = name_at(tokens, at)
    return _change(tokens, at, named.end, space.renamed) if named and space.holds(named) else None


def _stated(
    tokens: Sequence[Token], words: Sequence[str], outer: Sequence[int]
) -> tuple[Mapping[str, str], list[Change]]:
    """ALGORITHM and LOCK as the statement itself names them, and the text without them."""
    found: dict[str, str] = {}
    cut: list[Change] = []
    for i in outer:
        at = i + 1 + (words[i + 1 : i + 2] == ["="])
        known = {"ALGORITHM": _ALGORITHMS, "LOCK": _LOCKS}.get(words[i], frozenset())
        if at < len(words) and words[at] in known:
            found[words[i]] = words[at] if words[at] != "DEFAULT" else ""
            follows = words[i - 1] == "," and not (cut and cut[-1].end > tokens[i - 1].start)
            last = at if follows or words[at + 1 : at + 2] != [","] else at + 1
            cut.append(Change(tokens[i - 1 if follows else i].start, tokens[last].end, ""))
    return found, cut


def _indexed(statement: str, tokens: Sequence[Token], words: Sequence[str], space: Space) -> Asked | None:
    outer = list(top(tokens, 0, len(tokens)))
    if "ON" not in words or _UNASKED & {words[i] for i in outer}:
        return None
    at = words.index("ON") + 1
    named = name_at(tokens, at)
    if named is None or not space.holds(named):
        return None
    stated, cut = _stated(tokens, words, outer)
    return Asked(
        table=named.name,
        algorithm=stated.get("ALGORITHM", ""),
        lock=stated.get("LOCK", ""),
        text=statement,
        at=tokens[-1].end,
        before="\n",
        joined=" ",
        after="",
        changes=(_change(tokens, at, named.end, space.twin()), *cut),
    )


def _without_index(statement: str, tokens: Sequence[Token], words: Sequence[str], space: Space) -> Asked | None:
    """As an ALTER TABLE, which is the same: MariaDB's DROP INDEX takes no ALGORITHM."""
    if "ON" not in words or _UNASKED & {*words}:
        return None
    on = words.index("ON")
    named = name_at(tokens, on + 1)
    if named is None or not space.holds(named):
        return None
    stated, _ = _stated(tokens, words, list(top(tokens, named.end, len(tokens))))
    dropped = statement[tokens[words.index("INDEX")].start : tokens[on - 1].end]
    made = _alter(named.name, space, f"DROP {dropped}")
    return replace(made, algorithm=stated.get("ALGORITHM", ""), lock=stated.get("LOCK", ""))


def _optimized(tokens: Sequence[Token], words: Sequence[str], space: Space) -> Asked | None:
    """InnoDB rebuilds the table for it, as ALTER TABLE ... FORCE does (manual, 15.7.3.4)."""
    named = name_at(tokens, words.index("TABLE") + 1)
    if named is None or not space.holds(named) or named.end < len(tokens):
        return None
    return replace(_alter(named.name, space, "FORCE"), innodb_only=True)


def _alter(table: str, space: Space, action: str) -> Asked:
    text = f"ALTER TABLE {space.twin()} {action}"
    return Asked(table=table, text=text, at=len(text), before="\n, ", joined=", ", after="")


def foreign_key(text: str, own: str, space: Space, dialect: str) -> tuple[str, str] | None:
    """A foreign key of the table ``own`` as the server tells it: for its twin, and the parent; None: elsewhere."""
    tokens = code(text, dialect)
    words = [t.word for t in tokens]
    found = next(_parents(tokens, words, 0, space), None)
    if found is None:
        return None
    first, parent = found
    change = _change(tokens, first, parent.end, parent_twin(space, parent.name, own))
    return text[: change.start] + change.text + text[change.end :], parent.name


def parent_twin(space: Space, parent: str, own: str) -> str:
    """A table that refers to itself is its twin's parent as a twin."""
    return space.twin() if parent.casefold() == own.casefold() else space.twin(parent)


def _change(tokens: Sequence[Token], first: int, end: int, text: str) -> Change:
    return Change(tokens[first].start, tokens[end - 1].end, text)
