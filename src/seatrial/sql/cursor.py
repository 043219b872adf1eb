"""Reading tokens from left to right: names, brackets, lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from seatrial.sql.tokens import QUOTED, STRING, WORD, Token
from seatrial.values import dataclass

Tokens = Sequence[Token]


@dataclass(frozen=True, slots=True)
class Name:
    """A name as written, folded by the engine's rule: ``qualifier.name``; ``first`` and ``last`` are token indexes."""

    qualifier: str
    name: str
    first: int = -1
    last: int = -1


def is_name(token: Token | None, dialect: str) -> bool:
    """Whether a token can be an identifier; SQLite takes 'x' for one, MySQL "x" under ANSI_QUOTES."""
    if token is None:
        return False
    if token.kind in (WORD, QUOTED):
        return True
    return token.kind == STRING and (
        (dialect == "sqlite" and token.text[0] == "'") or (dialect in ("mysql", "mariadb") and token.text[0] == '"')
    )


def name_of(token: Token) -> str:
    return token.name or token.value


class Cursor:
    """A place in a list of tokens (comments are left out before). ``index`` counts in the whole list."""

    __slots__ = ("dialect", "index", "stop", "tokens")

    def __init__(self, tokens: Tokens, dialect: str, index: int = 0, stop: int | None = None) -> None:
        self.tokens, self.dialect, self.index = tokens, dialect, index
        self.stop = len(tokens) if stop is None else stop

    @property
    def token(self) -> Token | None:
        return self.tokens[self.index] if self.index < self.stop else None

    @property
    def done(self) -> bool:
        return self.index >= self.stop

    def word(self, ahead: int = 0) -> str:
        """The keyword or operator here, empty for everything else."""
        place = self.index + ahead
        return self.tokens[place].word if place < self.stop else ""

    def at(self, *words: str) -> bool:
        return all(self.word(i) == w for i, w in enumerate(words))

    def accept(self, *words: str) -> bool:
        """Go past these words where they stand here."""
        if not self.at(*words):
            return False
        self.index += len(words)
        return True

    def accept_any(self, *words: str) -> str:
        """Go past one of these words; returns it."""
        word = self.word()
        if word and word in words:
            self.index += 1
            return word
        return ""

    def skip_any(self, *words: str) -> None:
        while self.accept_any(*words):
            pass

    def if_exists(self) -> None:
        """Go past IF [NOT] EXISTS."""
        if self.at("IF", "NOT", "EXISTS"):
            self.index += 3
        elif self.at("IF", "EXISTS"):
            self.index += 2

    def identifier(self) -> str:
        """One name without a qualifier, empty where none stands here."""
        token = self.token
        if token is None or not is_name(token, self.dialect):
            return ""
        self.index += 1
        return name_of(token)

    def name(self) -> Name | None:
        """``a``, ``a.b`` or ``a.b.c``."""
        first = self.index
        part, parts = self.identifier(), []
        while part:
            parts.append(part)
            dotted = self.word() == "." and self.index + 1 < self.stop
            if not dotted or not is_name(self.tokens[self.index + 1], self.dialect):
                break
            self.index += 1
            part = self.identifier()
        if not parts:
            return None
        return Name(parts[-2] if len(parts) > 1 else "", parts[-1], first, self.index - 1)

    def names(self) -> Iterator[Name]:
        """Names in a list with commas."""
        while (name := self.name()) is not None:
            yield name
            if not self.accept(","):
                return

    def brackets(self) -> tuple[int, int]:
        """Go past ``( ... )``; the tokens between stand at [first, last)."""
        first = self.index + 1
        self.index = closing(self.tokens, self.index, self.stop)
        last = self.index
        self.index = min(self.index + 1, self.stop)
        return first, last

    def columns(self) -> tuple[str, ...]:
        """The plain column names in ``(a, b DESC, c(10), lower(d))``: no expressions. Empty without brackets."""
        if not self.at("("):
            return ()
        first, last = self.brackets()
        return tuple(c for a, b in items(self.tokens, first, last) if (c := self._plain(a, b)))

    def _plain(self, first: int, last: int) -> str:
        inner = Cursor(self.tokens, self.dialect, first, last)
        column = inner.identifier()
        if not column or inner.at("."):
            return ""
        if inner.at("(") and inner.index + 2 < last and not inner.tokens[inner.index + 1].text.isdigit():
            return ""  # a function's call, not MySQL's prefix length
        return column


def closing(tokens: Tokens, index: int, stop: int) -> int:
    """Where the bracket at ``index`` is closed; ``stop`` where it is not."""
    depth = 0
    for i in range(index, stop):
        word = tokens[i].word
        if word in ("(", "["):
            depth += 1
        elif word in (")", "]"):
            depth -= 1
            if depth <= 0:
                return i
    return stop


def top(tokens: Tokens, first: int, last: int) -> Iterator[int]:
    """The indexes outside brackets (the brackets themselves included)."""
    depth = 0
    for i in range(first, last):
        word = tokens[i].word
        if word in (")", "]"):
            depth -= 1
        if depth <= 0:
            yield i
        if word in ("(", "["):
            depth += 1


def items(tokens: Tokens, first: int, last: int) -> list[tuple[int, int]]:
    """The parts between commas outside brackets; empty parts are left out."""
    cuts = [first - 1, *(i for i in top(tokens, first, last) if tokens[i].word == ","), last]
    return [(a + 1, b) for a, b in pairwise(cuts) if b > a + 1]


def find(tokens: Tokens, first: int, last: int, *words: str) -> int:
    """The first index outside brackets where one of the words stands; ``last`` where none does."""
    return next((i for i in top(tokens, first, last) if tokens[i].word in words), last)
