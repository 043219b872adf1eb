"""Where the statements of a procedural block stand: in a loop, under a condition, beside which variables.

PL/pgSQL (PostgreSQL manual, 43.6) and stored programs of MySQL and MariaDB (MySQL manual, 15.6) share their outlines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field

from seatrial.sql.cursor import Tokens, closing
from seatrial.sql.tokens import VARIABLE
from seatrial.values import dataclass

_GUARDED = "whether it is run follows a condition of its block"
_CAUGHT = "its block catches errors, which take back what it did"
_LEFT = "its block may be left before it is run"
_SKIPPED = "its loop may pass over it"
_ROLLED = "its block may roll back"
_MODES = ("IN", "OUT", "INOUT", "VARIADIC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What surrounds one statement. Names are folded by case."""

    why: str = ""  # why it is not certain that it is run; empty where it is
    repeated: bool = False  # it stands in a loop
    moving: frozenset[str] = frozenset()  # variables that count through its loops
    variables: frozenset[str] = frozenset()  # every variable and parameter
    limited: bool = False  # a LIMIT in its block may say how often a loop runs


@dataclass(slots=True)
class _Frame:
    kind: str  # LOOP, IF, CASE, BEGIN
    label: str = ""
    why: str = ""  # for everything inside, also what was read before
    moving: set[str] = field(default_factory=set)
    skips: bool = False


@dataclass(slots=True)
class _Found:
    frames: tuple[_Frame, ...]
    why: str


def arounds(tokens: Tokens, dialect: str, parameters: Sequence[str] = ()) -> Mapping[int, Around]:
    """By the index of its first token, what surrounds each plain statement of a block."""
    scan = _Scan(tokens, dialect, set(parameters))
    scan.run()
    words = {t.word for t in tokens}
    rolled = _ROLLED if "ROLLBACK" in words else ""
    variables = frozenset(scan.variables | {t.value.casefold() for t in tokens if t.kind == VARIABLE})
    limited = bool(words & {"LIMIT", "FETCH"})
    return {
        start: Around(
            why=found.why or next((f.why for f in found.frames if f.why), rolled),
            repeated=any(f.kind == "LOOP" for f in found.frames),
            moving=frozenset(n for f in found.frames for n in f.moving) & variables,
            variables=variables,
            limited=limited,
        )
        for start, found in scan.found.items()
    }


NOWHERE = Around()  # of a statement on its own
UNKNOWN = Around(why="where it stands in its block could not be read", limited=True)


def parameters_of(tokens: Tokens) -> tuple[str, ...]:
    """The names of a routine's parameters; where a type stands alone, the type."""
    first = next((i for i, t in enumerate(tokens) if t.word == "("), None)
    if first is None:
        return ()
    found, last = [], closing(tokens, first, len(tokens))
    for i in range(first + 1, last):
        if tokens[i - 1].word in ("(", ",", *_MODES) and tokens[i].name and tokens[i].word not in _MODES:
            found.append(tokens[i].name.casefold())
    return tuple(found)


class _Scan:
    """One walk through a block's statements, in the order of its text."""

    def __init__(self, tokens: Tokens, dialect: str, variables: set[str]) -> None:
        self.tokens, self.dialect, self.variables = tokens, dialect, variables
        self.frames: list[_Frame] = []
        self.found: dict[int, _Found] = {}
        self.left = ""
        self.label = ""
        self.declares = False  # between PL/pgSQL's DECLARE and BEGIN

    def run(self) -> None:
        i = 0
        while i < len(self.tokens):
            i = max(self._step(i), i + 1)

    def _step(self, i: int) -> int:
        """Read what begins here; where the next statement begins."""
        word = self._word(i)
        if word in (";", "ELSE"):
            return i + 1
        if word == "<<" or self._word(i + 1) == ":":
            self.label = self.tokens[i + (word == "<<")].name.casefold()
            return self._behind(i, ">>", ":")
        if self.declares and word not in ("BEGIN", "DECLARE"):
            self.variables.add(self.tokens[i].name.casefold())
            return self._end(i)
        reader = _READERS.get(word)
        return reader(self, i) if reader is not None else self._plain(i)

    def _word(self, i: int) -> str:
        return self.tokens[i].word if i < len(self.tokens) else ""

    def _behind(self, i: int, *words: str) -> int:
        """Behind the first of these words that is not in brackets."""
        return next((j + 1 for j in self._outside(i) if j > i and self._word(j) in words), len(self.tokens))

    def _end(self, i: int) -> int:
        return next((j for j in self._outside(i) if self._word(j) == ";"), len(self.tokens))

    def _outside(self, i: int) -> Iterator[int]:
        depth = 0
        for j in range(i, len(self.tokens)):
            depth += (self._word(j) == "(") - (self._word(j) == ")")
            if depth == 0:
                yield j

    def _push(self, kind: str, why: str = "") -> _Frame:
        frame = _Frame(kind, self.label, why)
        self.label = ""
        self.frames.append(frame)
        return frame

    def _plain(self, i: int) -> int:
        end = self._end(i)
        loops = [f for f in self.frames if f.kind == "LOOP"]
        skipped = _SKIPPED if any(f.skips for f in loops) else ""
        self.found[i] = _Found(tuple(self.frames), self.left or skipped)
        for name in _assigned(self.tokens[i:end]):
            for loop in loops:
                loop.moving.add(name)
        return end

    def _branch(self, i: int) -> int:
        if self._word(i) == "IF":
            self._push("IF", _GUARDED)
        return self._behind(i, "THEN")

    def _case(self, i: int) -> int:
        self._push("CASE", _GUARDED)
        return self._behind(i, "WHEN") - 1

    def _loop(self, i: int) -> int:
        frame = self._push("LOOP")
        if self._word(i) in ("LOOP", "REPEAT"):
            return i + 1
        start = self._behind(i, "LOOP", "DO")
        if self._word(i) in ("FOR", "FOREACH"):
            self._counts(frame, self.tokens[i + 1 : start])
        return start

    def _counts(self, frame: _Frame, head: Tokens) -> None:
        """The variables of FOR: they count where no rows of a table say what they are."""
        said = [t.word for t in head]
        names = {t.name.casefold() for t in head[: said.index("IN") if "IN" in said else 0] if t.name}
        self.variables |= names
        reads = any(w == "FROM" and said[j + 1 : j + 2] != ["GENERATE_SERIES"] for j, w in enumerate(said))
        if ".." in said or ("SELECT" in said and not reads):
            frame.moving |= names

    def _begin(self, i: int) -> int:
        self.declares = False
        self._push("BEGIN")
        return i + 1 + 2 * (self._word(i + 1) == "NOT") + (self._word(i + 1) == "ATOMIC")

    def _close(self, i: int) -> int:
        if self.frames:
            self.frames.pop()
        return self._end(i)

    def _until(self, i: int) -> int:
        return self._behind(i, "END") - 1

    def _catch(self, i: int) -> int:
        if self.frames:
            self.frames[-1].why = _CAUGHT
        return i + 1

    def _declare(self, i: int) -> int:
        if self.dialect == "postgresql":  # DECLARE a int; b int; BEGIN
            self.declares = True
            return i + 1
        end = self._end(i)
        said = [t.word for t in self.tokens[i:end]]
        if "HANDLER" in said:
            return self._handler(i, said)
        self.variables |= {t.name.casefold() for t in self.tokens[i + 1 : end] if t.name}  # DECLARE a, b INT
        return end

    def _handler(self, i: int, said: list[str]) -> int:
        """A handler's own statements; one that swallows errors hides what the block did not do."""
        silent = "FOUND" not in said and "RESIGNAL" not in {t.word for t in self.tokens}
        if silent and self.frames:
            self.frames[-1].why = _CAUGHT
        if "BEGIN" not in said:
            return i + len(said)
        self._push("BEGIN", _GUARDED)
        return i + said.index("BEGIN") + 1

    def _leave(self, i: int) -> int:
        word, label = self._word(i), self.tokens[i + 1].name.casefold() if i + 1 < len(self.tokens) else ""
        loops = [f for f in self.frames if f.kind == "LOOP"]
        if word in ("CONTINUE", "ITERATE"):
            for loop in loops[-1:]:
                loop.skips = True
        elif word == "RETURN":
            if self._word(i + 1) in ("NEXT", "QUERY"):
                return self._plain(i)
            self.left = _LEFT
        elif label and self._word(i + 1) != "WHEN" and label not in {f.label for f in loops}:
            self.left = _LEFT
        return self._end(i)


_READERS: Mapping[str, Callable[[_Scan, int], int]] = {
    **dict.fromkeys(("IF", "ELSIF", "ELSEIF", "WHEN"), _Scan._branch),
    **dict.fromkeys(("LOOP", "WHILE", "FOR", "FOREACH", "REPEAT"), _Scan._loop),
    **dict.fromkeys(("RETURN", "EXIT", "LEAVE", "CONTINUE", "ITERATE"), _Scan._leave),
    "CASE": _Scan._case,
    "BEGIN": _Scan._begin,
    "END": _Scan._close,
    "UNTIL": _Scan._until,
    "EXCEPTION": _Scan._catch,
    "DECLARE": _Scan._declare,
}


def _assigned(tokens: Tokens) -> Iterator[str]:
    """The variables that a statement gives a value; what a cursor fetches is a row's, and counts nothing."""
    head = tokens[0].word if tokens else ""
    named = {"SET", "GET"}
    for i, token in enumerate(tokens[:-1]):
        after = tokens[i + 1].word
        name = token.value.casefold() if token.kind == VARIABLE else token.name.casefold()
        if name and after in ("=", ":=") and (i == 0 or head in named or token.kind == VARIABLE):
            yield name
        if token.word == "INTO" and head not in ("FETCH", "INSERT", "MERGE", "REPLACE"):
            yield from _listed(tokens, i + 1)


def _listed(tokens: Tokens, i: int) -> Iterator[str]:
    """The names behind INTO."""
    i += tokens[i].word == "STRICT"
    while i < len(tokens) and (name := tokens[i].name or tokens[i].value):
        yield name.casefold()
        if i + 1 >= len(tokens) or tokens[i + 1].word != ",":
            return
        i += 2
