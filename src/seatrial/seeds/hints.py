"""What a migration's own statements take a column's values for.

A column of text may hold anything by its schema, and JSON, keys of another table or one of five words in truth; a
migration that casts it, copies it into a stricter column or compares it with words says which. Only read where an up
has refused rows that Seatrial made up.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace

from seatrial.model import Schema, TableRef
from seatrial.seeds.conditions import condition
from seatrial.seeds.families import Family, family
from seatrial.seeds.shape import Shape, Unique
from seatrial.sql.intent import read
from seatrial.sql.tokens import NUMBER, QUOTED, STRING, WORD, Token, code, quote_name, quote_string
from seatrial.values import dataclass

Place = tuple[TableRef, str]
_OPEN = frozenset({"text", "char", "unknown", "bytes"})  # families that may stand for another
_MAKES_JSON = re.compile(r"JSONB?_(OBJECT|ARRAY|QUOTE|BUILD_\w+|\w*AGG|GROUP_\w+|VALID|PRETTY)|(ROW|ARRAY)_TO_JSON")
_OF_ARRAYS = re.compile(r"JSONB?_(EACH|ARRAY_ELEMENTS|ARRAY_LENGTH|TABLE|TREE)")
_COMPARED = frozenset({"=", "==", "<>", "!=", "IS"})
_CONTINUED = frozenset({"VARYING", "PRECISION", "WITH", "WITHOUT", "TIME", "ZONE", "UNSIGNED", "SIGNED"})
_LEAVES_PLAIN = frozenset({"REPLACE", "BTRIM", "LTRIM", "RTRIM", "NULLIF", "COALESCE", "TRANSLATE"})  # digits stay so
_ARROWS = frozenset({"->", "->>"})  # PostgreSQL takes them on JSON only, not on text


@dataclass(frozen=True, slots=True)
class Hints:
    """``families``: what text stands for; ``words``: the only values that are spoken of; ``copies``: (from, to)."""

    families: Mapping[Place, Family] = field(default_factory=dict)
    words: Mapping[Place, tuple[str, ...]] = field(default_factory=dict)
    copies: tuple[tuple[Place, Place], ...] = ()


def hints(statements: Sequence[str], now: Schema, known: Mapping[TableRef, Shape], dialect: str) -> Hints:
    """What the statements of an up say of the columns that stand before it."""
    families: dict[Place, Family] = {}
    words: defaultdict[Place, dict[str, None]] = defaultdict(dict)
    for text in statements:
        tokens = code(text, dialect)
        there = {t.name.lower() for t in tokens if t.name}
        shapes = [s for t, s in known.items() if t.name.lower() in there]
        for name, found in _families(tokens, dialect):
            for place in _places(shapes, name):
                families.setdefault(place, found)
        for name, word in _words(tokens):
            for place in _places(shapes, name):
                words[place][word] = None
    copies = read(tuple(statements), dialect, now, observed=True).copied()
    return Hints(families, {p: tuple(w) for p, w in words.items()}, copies)


def _places(shapes: Sequence[Shape], name: str) -> list[Place]:
    return [(s.table, c) for s in shapes for c in s.columns if c.lower() == name.lower()]


# --- casts and JSON ---


def _families(tokens: Sequence[Token], dialect: str) -> Iterator[tuple[str, Family]]:
    for i, token in enumerate(tokens):
        if token.word == "::":
            if name := _name_before(tokens, i):
                yield name, _typed(tokens, i + 1)
        elif token.word == "CAST" and _word(tokens, i + 1) == "(":
            name, end = _name_from(tokens, i + 2)
            if name and _word(tokens, end) == "AS":
                yield name, _typed(tokens, end + 1)
        elif token.kind == WORD and "JSON" in token.word and _word(tokens, i + 1) == "(":
            name, end = _name_from(tokens, i + 2)
            if name and not _MAKES_JSON.fullmatch(token.word) and _word(tokens, end) in (",", ")"):
                yield name, _json(tokens, end, is_array=bool(_OF_ARRAYS.match(token.word)))
        elif token.word == "UUID_TO_BIN" and (name := _name_from(tokens, i + 2)[0]):
            yield name, Family(name="uuid")
        elif token.word in _ARROWS and dialect != "postgresql" and (name := _name_before(tokens, i)):
            yield name, _json(tokens, i, is_array=False)


def _typed(tokens: Sequence[Token], i: int) -> Family:
    """``character varying(20)[]`` as a family."""
    parts = [tokens[i].text] if i < len(tokens) else [""]
    depth = 0
    for token in tokens[i + 1 :]:
        depth += (token.word in ("(", "[")) - (token.word in (")", "]"))
        if depth < 0 or (depth == 0 and token.word not in _CONTINUED and token.word not in (")", "]")):
            break
        parts.append(token.text if token.word in ("(", ")", "[", "]") or depth else f" {token.text}")
    return family("".join(parts))


def _json(tokens: Sequence[Token], i: int, *, is_array: bool) -> Family:
    """JSON, with the keys that are read of it: what ``'$.a.b'`` and ``-> 'a'`` say."""
    if is_array:
        return Family(name="json", element=Family(name="text"))
    after = tokens[i + 1] if i + 1 < len(tokens) else None
    path = after.value if after is not None and after.kind == STRING else ""
    keys = tuple(re.findall(r"\w+", path.partition("[")[0])) if path.startswith("$") else ((path,) if path else ())
    return Family(name="json", labels=keys[:1])


# --- values that are compared with ---


def _words(tokens: Sequence[Token]) -> Iterator[tuple[str, str]]:
    for i, token in enumerate(tokens):
        if token.word in _COMPARED:
            name, value = _name_before(tokens, i), _literal(tokens, i + 1)
            name, value = (
                (name, value) if value is not None else (_name_from(tokens, i + 1)[0], _literal(tokens, i - 1))
            )
            if name and value is not None:
                yield name, value
        elif token.word == "IN" and _word(tokens, i + 1) == "(":
            name = _name_before(tokens, i - (_word(tokens, i - 1) == "NOT"))
            for value in _listed(tokens, i + 2) if name else ():
                yield name, value
        elif token.word == "CASE":
            yield from _cases(tokens, i + 1)


def _listed(tokens: Sequence[Token], i: int) -> Iterator[str]:
    while (value := _literal(tokens, i)) is not None:
        yield value
        i += 2 if _word(tokens, i + 1) == "," else len(tokens)


def _cases(tokens: Sequence[Token], i: int) -> Iterator[tuple[str, str]]:
    """CASE column WHEN 'a' THEN ... WHEN 'b' THEN ... END; one inside another is not read."""
    name, end = _name_from(tokens, i)
    if not name or _word(tokens, end) != "WHEN":
        return
    for at in range(end, len(tokens)):
        if tokens[at].word in ("END", "CASE"):
            return
        if tokens[at].word == "WHEN" and (value := _literal(tokens, at + 1)) is not None:
            yield name, value


def _literal(tokens: Sequence[Token], i: int) -> str | None:
    return tokens[i].value if 0 <= i < len(tokens) and tokens[i].kind in (STRING, NUMBER) else None


# --- names ---


def _word(tokens: Sequence[Token], i: int) -> str:
    return tokens[i].word if 0 <= i < len(tokens) else ""


def _name_before(tokens: Sequence[Token], i: int) -> str:
    """The column that ends before a token: ``a``, ``t.a``, ``(a)``, ``lower(a)``, ``replace(a, 'x', '')``."""
    if _word(tokens, i - 1) != ")":
        return _name(tokens, i - 1)
    if _word(tokens, i - 3) == "(":
        return _name(tokens, i - 2)
    opened = _opened(tokens, i - 1)
    if _word(tokens, i - 2) == ")" and _opened(tokens, i - 2) == opened + 2:  # (replace(a, 'x', ''))
        return _name_before(tokens, i - 1)
    if _word(tokens, opened - 1) not in _LEAVES_PLAIN:
        return ""
    name, end = _name_from(tokens, opened + 1)
    return name if _word(tokens, end) == "," else ""


def _opened(tokens: Sequence[Token], closed: int) -> int:
    """Where the bracket was opened that is closed here."""
    depth = 0
    for i in range(closed, -1, -1):
        depth += (tokens[i].word == ")") - (tokens[i].word == "(")
        if depth == 0:
            return i
    return 0


def _name_from(tokens: Sequence[Token], i: int) -> tuple[str, int]:
    """The column that begins at a token, and where it ends."""
    while _word(tokens, i + 1) == "." and _name(tokens, i):
        i += 2
    return _name(tokens, i), i + 1


def _name(tokens: Sequence[Token], i: int) -> str:
    is_name = 0 <= i < len(tokens) and tokens[i].kind in (WORD, QUOTED)
    return tokens[i].name if is_name else ""


# --- shapes that take them in ---


def strict(known: Mapping[TableRef, Shape], ahead: Mapping[TableRef, Shape], told: Hints) -> dict[TableRef, Shape]:
    """The shapes with what casts and JSON functions take their columns for, and what is asked where they go."""
    found = dict(known)
    for (table, name), wanted in told.families.items():
        column = found[table].columns.get(name)
        if (
            column is not None
            and column.family.name in _OPEN
            and wanted.name not in _OPEN
            and _is_free(found, table, name)
        ):
            columns = {**found[table].columns, name: replace(column, family=wanted)}
            found[table] = replace(found[table], columns=columns)
    for (table, name), (target, end) in told.copies:
        if table in found and target in ahead and target != table:
            found[table] = _received(found[table], name, ahead[target], end, known)
    return found


def _is_free(known: Mapping[TableRef, Shape], table: TableRef, name: str) -> bool:
    """Whether no other row relies on a column's values; of a key, not even by its name."""
    refers = any(name in r.columns for r in known[table].references if r.declared)
    referred = any(r.table == table and name in r.referenced for s in known.values() for r in s.references)
    alone = known[table].key == (name,) and not referred
    return not refers and (name not in known[table].key or alone)


def _received(shape: Shape, name: str, target: Shape, end: str, known: Mapping[TableRef, Shape]) -> Shape:
    """What a new table asks of a column that is copied into it."""
    column, wanted = shape.columns.get(name), target.columns.get(end)
    if column is None or wanted is None or column.by_engine:
        return shape
    to = [r for r in target.references if r.declared and r.columns == (end,) and r.table in known]
    own = [
        r for r in shape.references if r.declared or r.columns != (name,)
    ]  # what is told goes before what is guessed
    unique = any(u.columns == (end,) and u.plain and u.predicate is None for u in target.uniques)
    alone = (Unique(columns=(name,), names=()),) if unique else ()
    return replace(
        shape,
        columns={**shape.columns, name: replace(column, nullable=column.nullable and wanted.nullable)},
        references=(*own, *(replace(r, columns=(name,)) for r in to)) if to else shape.references,
        uniques=(*shape.uniques, *alone),
    )


def worded(known: Mapping[TableRef, Shape], told: Hints, dialect: str) -> dict[TableRef, Shape]:
    """The shapes with the words that the migration compares columns with as the only values of these.

    A word that is blank is what a migration clears away; columns that tell rows apart need other values.
    """
    found = dict(known)
    for (table, name), said in told.words.items():
        shape = found[table]
        family, words = shape.columns[name].family, [w for w in said if w.strip()]
        if family.name == "integer":
            words = [w for w in words if re.fullmatch(r"-?\d+", w)]
        if not words or family.name not in ("text", "char", "unknown", "integer") or not _is_plain(shape, name):
            continue
        listed = ", ".join(w if family.name == "integer" else quote_string(w, dialect) for w in words)
        asked = condition(f"{quote_name(name, dialect)} IN ({listed})", list(shape.columns), dialect)
        found[table] = replace(shape, conditions=(*shape.conditions, ("", asked)))
    return found


def _is_plain(shape: Shape, name: str) -> bool:
    alone = any(u.columns == (name,) for u in shape.uniques)
    return not alone and not any(name in r.columns for r in shape.references)
