"""What makes an UPDATE a batch, taken away from its tokens: LIMIT, and ranges on the key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from seatrial.sql.cursor import Tokens, closing, top
from seatrial.sql.tokens import QUOTED, VARIABLE, WORD, Token, words
from seatrial.values import dataclass

_LIMITS = ("LIMIT", "OFFSET", "FETCH")
_ENDS = ("UNION", "EXCEPT", "INTERSECT")
_MAY_BE_MANY = frozenset(
    ["IN", "EXISTS", "ANY", "ALL", "SOME", "FROM", "JOIN", "USING", ",", "AS", "(", "LATERAL", "MATERIALIZED"]
)
_COMPARES = ("<", ">", "<=", ">=", "BETWEEN")
_STEPS = ("least", "greatest", "floor", "ceil")  # where a batch ends
_PLAIN = words("AND OR NOT BETWEEN SYMMETRIC MOD CAST AS INTEGER INT BIGINT NULL IS")


class NotTaken(Exception):
    """A LIMIT that cannot be taken away without changing what the statement means."""


def render(tokens: Sequence[Token]) -> str:
    """The tokens' text; where there was a gap or a comment, one blank."""
    parts: list[str] = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if before is not None and token.start > before.end:
            parts.append(" ")
        parts.append(token.text)
    return "".join(parts)


def signature(tokens: Sequence[Token]) -> tuple[str, ...]:
    """Equal for texts that differ only in blanks, comments, quoting and the case of words."""
    return tuple(t.name.casefold() if t.kind in (WORD, QUOTED) else t.word or f"'{t.value}" for t in tokens)


def requalified(tokens: Sequence[Token], old: str, new: str) -> tuple[Token, ...]:
    """With another name before the dot, or without one, where ``old`` (its schema before it) qualifies a column."""
    kept: list[Token] = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.word != "." or before is None or before.name != old:
            kept.append(token)
            continue
        kept.pop()
        if kept and kept[-1].word == ".":
            del kept[-2:]
        kept += [replace(before, text=new, name=new), token] if new else []
    return tuple(kept)


def unbracketed(tokens: Sequence[Token]) -> Sequence[Token]:
    """Without brackets around the whole."""
    while len(tokens) > 2 and tokens[0].word == "(" and closing(tokens, 0, len(tokens)) == len(tokens) - 1:
        if tokens[1].word in ("SELECT", "WITH", "VALUES"):
            break
        tokens = tokens[1:-1]
    return tokens


def limitless(tokens: Tokens, *, tables: bool = False) -> list[Token]:
    """Without LIMIT, OFFSET, FETCH (with the ORDER BY before them) and FOR UPDATE, at every depth.

    ``tables``: the tokens begin a list of tables, so that several rows are welcome from a sub-select there. Raises
    NotTaken where a sub-select that may give only one row rests on its LIMIT.
    """
    kept: list[Token] = []
    i = 0
    while i < len(tokens):
        if tokens[i].word == "(":
            end = closing(tokens, i, len(tokens))
            inner = limitless(tokens[i + 1 : end])
            is_cut = len(inner) < end - i - 1 and _limits(tokens[i + 1 : end])
            if is_cut and not (tables if i == 0 else tokens[i - 1].word in _MAY_BE_MANY):
                raise NotTaken("a sub-select that gives one value rests on its LIMIT")
            kept += [tokens[i], *inner, *tokens[end : end + 1]]
            i = end + 1
            continue
        stop = _tail(tokens, i)
        if stop > i:
            i = stop
            continue
        kept.append(tokens[i])
        i += 1
    return kept


def limits_of(tokens: Tokens) -> list[str]:
    """Every LIMIT or FETCH of a statement as it is written, at any depth."""
    starts = [i for i, t in enumerate(tokens) if t.word in ("LIMIT", "FETCH")]
    return [render([t for t in tokens[i : i + _clause(tokens, i)] if t.word != ";"]) for i in starts]


def _clause(tokens: Tokens, first: int) -> int:
    """How many tokens a LIMIT has: to the end, the closing bracket, or what locks."""
    for i in range(first, len(tokens)):
        if tokens[i].word in (")", "FOR", "RETURNING", *_ENDS):
            return i - first
        if tokens[i].word == "(":
            return closing(tokens, i, len(tokens)) + 1 - first
    return len(tokens) - first


def _limits(tokens: Tokens) -> bool:
    return any(tokens[i].word in _LIMITS for i in top(tokens, 0, len(tokens)))


def _tail(tokens: Tokens, i: int) -> int:
    """Where a clause that begins here and only limits or locks ends; ``i`` where none begins."""
    word = tokens[i].word
    after = tokens[i + 1].word if i + 1 < len(tokens) else ""
    end = next((j for j in top(tokens, i, len(tokens)) if j > i and tokens[j].word in _ENDS), len(tokens))
    locks = word == "FOR" and after in ("UPDATE", "SHARE", "NO", "KEY")
    if word in _LIMITS or locks or (word == "LOCK" and after == "IN"):
        return end
    ordered = word == "ORDER" and after == "BY"
    return end if ordered and _limits(tokens[i:end]) else i


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """Which parts of a condition only say from which key to which. Names are folded by case.

    ``moving``: where not None, only those that one of these variables moves on; ``variables``: every variable.
    """

    keys: frozenset[str]
    moving: frozenset[str] | None = None
    variables: frozenset[str] = frozenset()

    def __contains__(self, tokens: Sequence[Token]) -> bool:
        if self.moving is None:
            return _is_range(tokens, self.keys)
        bare = without_fields(tokens, self.variables)
        used = variables_in(bare, self.variables)
        names = {n for n in _names(bare) if n not in self.variables}
        steps = self.variables | frozenset(_STEPS)
        return bool(used & self.moving and names & self.keys) and _is_range(bare, self.keys | steps)


def without_fields(tokens: Sequence[Token], variables: frozenset[str]) -> list[Token]:
    """``r.id`` as ``r`` where r is a variable: a row of a block."""
    kept: list[Token] = []
    i = 0
    while i < len(tokens):
        kept.append(tokens[i])
        dotted = i + 2 < len(tokens) and tokens[i + 1].word == "."
        i += 3 if dotted and tokens[i].name.casefold() in variables else 1
    return kept


def variables_in(tokens: Sequence[Token], variables: frozenset[str]) -> set[str]:
    """The variables of a block that an expression reads; a name behind a dot is a column's."""
    found = set()
    for i, token in enumerate(tokens):
        name = token.value.casefold() if token.kind == VARIABLE else token.name.casefold()
        if name in variables and not (i and tokens[i - 1].word == "."):
            found.add(name)
    return found


def rangeless(tokens: Sequence[Token], ranges: Ranges) -> tuple[Token, ...]:
    """A condition without the parts that only say from which key to which, also inside its sub-selects."""
    parts = [_inner(p, ranges) for p in conjuncts(tokens) if p not in ranges]
    kept: list[Token] = []
    for part in parts:
        if kept:
            kept.append(_and(part[0]))
        kept += part
    return tuple(kept)


def ranges_of(tokens: Sequence[Token], ranges: Ranges) -> list[list[Token]]:
    """The outermost parts of a condition that only say from which key to which."""
    return [p for p in conjuncts(tokens) if p in ranges]


def compares_key(tokens: Sequence[Token], keys: frozenset[str]) -> bool:
    """Whether a part of a condition may be a range on the key, whatever it is compared with."""
    return any(
        any(n in keys for n in _names(part)) and {t.word for t in part} & {*_COMPARES, "%", "MOD"}
        for part in conjuncts(tokens)
    )


def _and(before: Token) -> Token:
    """An AND with gaps around it: ``render`` puts a blank wherever offsets do not touch."""
    return Token(WORD, " AND ", "AND", before.start, before.start, before.line, "and", "AND")


def _inner(tokens: Sequence[Token], ranges: Ranges) -> list[Token]:
    """The same inside brackets that hold a SELECT with a WHERE."""
    kept: list[Token] = []
    i = 0
    while i < len(tokens):
        if tokens[i].word != "(":
            kept.append(tokens[i])
            i += 1
            continue
        end = closing(tokens, i, len(tokens))
        kept += [tokens[i], *_sub_select(tokens[i + 1 : end], ranges), *tokens[end : end + 1]]
        i = end + 1
    return kept


def _sub_select(tokens: Sequence[Token], ranges: Ranges) -> list[Token]:
    if not tokens or tokens[0].word != "SELECT":
        return _inner(tokens, ranges)
    where = next((i for i in top(tokens, 0, len(tokens)) if tokens[i].word == "WHERE"), len(tokens))
    ends = ("GROUP", "HAVING", "ORDER", "WINDOW", *_ENDS)
    last = next((i for i in top(tokens, 0, len(tokens)) if i > where and tokens[i].word in ends), len(tokens))
    condition = rangeless(tokens[where + 1 : last], ranges)
    kept = [*_inner(tokens[:where], ranges), *(tokens[where : where + 1] if condition else ()), *condition]
    return [*kept, *tokens[last:]]


def conjuncts(tokens: Sequence[Token]) -> list[list[Token]]:
    """The parts between the outermost ANDs; one part where they are under an OR."""
    cuts, between, cases = [-1], False, 0
    for i in top(tokens, 0, len(tokens)):
        word = tokens[i].word
        cases += (word == "CASE") - (word == "END")
        if word == "OR" and not cases:
            return [list(tokens)]
        if word == "BETWEEN":
            between = True
        elif word == "AND" and not cases:
            if not between:
                cuts.append(i)
            between = False
    parts = [list(tokens[a + 1 : b]) for a, b in zip(cuts, [*cuts[1:], len(tokens)], strict=True)]
    return [p for p in parts if p]


def _is_range(tokens: Sequence[Token], keys: frozenset[str]) -> bool:
    """Whether a condition compares nothing but the key: ``id > 100``, ``id BETWEEN 1 AND 9``, ``id % 4 = 0``."""
    names = list(_names(tokens))
    found = {t.word for t in tokens}
    if not names or not all(n in keys for n in names) or "SELECT" in found:
        return False
    if {"%", "MOD"} & found:
        return "=" in found
    equals = found & {"=", "==", "IN", "<>", "!=", "LIKE", "IS"}
    return bool(found & set(_COMPARES)) and not equals


def _names(tokens: Sequence[Token]) -> Iterator[str]:
    """The identifiers, without qualifiers and operators in words."""
    for i, token in enumerate(tokens):
        qualifies = i + 1 < len(tokens) and tokens[i + 1].word == "."
        if token.name and not qualifies and token.word not in _PLAIN:
            yield token.name.casefold()
