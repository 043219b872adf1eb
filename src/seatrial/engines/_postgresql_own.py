"""Our own database's name where a body puts it into a text to execute: ``format('... %I ...', current_database())``.

Only what can hold nothing else counts: current_database() itself, quote_ident() of it, and a variable that the body
sets to it and to nothing else; and what stands behind it has to end the name. The text is then read with the name in
it, as the server will.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from seatrial.sql.tokens import STRING, Token, quote_name

_CALL = ("current_database", "(", ")")
_OWN = "own database"  # the kind of a token that stands for our name
_PLACE = re.compile(r"%(?:(\d+)\$)?([IsL%])|%")  # manual, 9.4.1; a width ("%-10s") is none of these


def with_own_name(commands: Sequence[list[Token]], database: str) -> list[list[Token]]:
    """The commands of a body, with our name in the texts that are built from it."""
    names = _variables(commands)
    return [_joined(_formatted(_marked(c, names, database))) for c in commands]


def _variables(commands: Iterable[list[Token]]) -> frozenset[str]:
    """Variables that hold current_database() and nothing else."""
    own: set[str] = set()
    other: set[str] = set()
    for tokens in commands:
        is_own = _is_own_value(tokens)
        for name in _assigned(tokens):
            (own if is_own else other).add(name)
    return frozenset(own - other)


def _assigned(tokens: list[Token]) -> Iterator[str]:
    """What a command may set: ``a := ...``, ``a text = ...``, ``INTO a, b``, ``FOR a IN``."""
    words = [t.word for t in tokens]
    if {":=", "=", "DEFAULT"} & set(words) and tokens[0].name:
        yield tokens[0].name
    for i, word in enumerate(words):
        if word in ("INTO", "FOR", "FOREACH", "USING"):
            yield from (t.name for t in tokens[i + 1 :] if t.name)


def _is_own_value(tokens: list[Token]) -> bool:
    """``a := current_database()``, ``a text = current_database()``, ``SELECT current_database() INTO a``."""
    said = [t.name or t.text for t in tokens]
    if tuple(said[:4]) == ("select", *_CALL) and [t.word for t in tokens[4:]][:1] == ["INTO"]:
        return len([w for w in said[5:] if w != "strict"]) == 1
    set_by = next((i for i, t in enumerate(tokens) if t.word in (":=", "=", "DEFAULT")), None)
    return set_by is not None and tuple(said[set_by + 1 :]) == _CALL


def _marked(tokens: list[Token], names: frozenset[str], database: str) -> list[Token]:
    """One token for each expression that is our name."""
    found: list[Token] = []
    i = 0
    while i < len(tokens):
        length, quoted = _own_at(tokens, i, names)
        if length:
            name = quote_name(database, "postgresql") if quoted else database
            found.append(replace(tokens[i], kind=_OWN, value=name, name="", word=""))
        else:
            found.append(tokens[i])
        i += length or 1
    return found


def _own_at(tokens: list[Token], i: int, names: frozenset[str]) -> tuple[int, bool]:
    """How many tokens from ``i`` on are our name, and whether they quote it."""
    said = tuple(t.name or t.text for t in tokens[i : i + 6])
    if said[:2] == ("quote_ident", "("):
        inner, _ = _own_at(tokens, i + 2, names)
        return (inner + 3, True) if inner and said[inner + 2 : inner + 3] == (")",) else (0, False)
    if said[:2] == ("pg_catalog", ".") and said[2:5] == _CALL:
        return 5, False
    if said[:3] == _CALL and (i == 0 or tokens[i - 1].text != "."):
        return 3, False
    alone = i and tokens[i].name in names and tokens[i - 1].text in ("(", ",", "||")
    return (1, False) if alone and (i + 1 == len(tokens) or tokens[i + 1].text in (")", ",", "||", ";")) else (0, False)


def _formatted(tokens: list[Token]) -> list[Token]:
    """``format('text', ...)`` with our name where the text asks for it."""
    found = list(tokens)
    for i, token in enumerate(tokens):
        if token.name == "format" and i + 2 < len(tokens) and tokens[i + 2].kind == STRING:
            found[i + 2] = replace(tokens[i + 2], value=_filled(tokens[i + 2].value, _arguments(tokens, i + 3)))
    return found


def _arguments(tokens: list[Token], start: int) -> list[list[Token]]:
    """What stands between the commas from ``start`` on, up to the parenthesis that closes the call."""
    found: list[list[Token]] = []
    depth = 0
    for token in tokens[start:]:
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0:
            break
        if token.text == "," and depth == 0:
            found.append([])
        elif found:
            found[-1].append(token)
    return found


def _filled(text: str, arguments: list[list[Token]]) -> str:
    """The text with our name in the places that get it; as it is, where one of its places is not understood."""
    at, parts, end = 0, [], 0
    for place in _PLACE.finditer(text):
        if place[2] is None:
            return text
        if place[2] == "%":
            continue
        at = int(place[1]) if place[1] else at + 1
        given = arguments[at - 1] if 0 < at <= len(arguments) else []
        if len(given) == 1 and given[0].kind == _OWN and place[2] != "L" and _ends_name(text[place.end() :]):
            name = given[0].value
            is_plain = place[2] == "I" and not name.startswith('"')
            parts += [text[end : place.start()], quote_name(name, "postgresql") if is_plain else name]
            end = place.end()
    return "".join([*parts, text[end:]])


def _joined(tokens: list[Token]) -> list[Token]:
    """``'text' || current_database() || ' text'`` as one string; elsewhere our name is an expression like any."""
    found: list[Token] = []
    for i, token in enumerate(tokens):
        ended = [t.text for t in tokens[i + 1 : i + 2]] == ["||"] and i + 2 < len(tokens)
        known = token.kind == STRING or (token.kind == _OWN and ended and _ends_name(_text(tokens[i + 2])))
        if known and [t.text for t in found[-1:]] == ["||"] and len(found) > 1 and found[-2].kind == STRING:
            found[-2:] = [replace(found[-2], value=found[-2].value + token.value)]
        else:
            found.append(token)
    return found


def _text(token: Token) -> str:
    return token.value if token.kind == STRING else ""


def _ends_name(text: str) -> bool:
    """Whether what follows begins with what no name goes on with; a quote closes one that was opened before it."""
    return text[:1].isspace() or (text[:1] == '"' and text[1:2].isspace())
