"""Definition texts compared across renames: names replaced token by token, and one normal form."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from seatrial.sql.tokens import COMMENT, NUMBER, QUOTED, STRING, WORD, Token, code, quote_name, tokenize, words


def rename_in(
    definition: str,
    dialect: str,
    tables: Mapping[str, str],
    columns: Mapping[str, str],
    homes: Mapping[str, Collection[str]] | None = None,
) -> str:
    """The definition with tables and columns under their other names; everything else stays as it was written.

    ``homes`` tells for every schema that is not the default one (which is ``""``) which of ``tables`` stand in it: one
    of the same name in another schema keeps its name. Without it a qualified name is a table's where its place says so.

    A name in front of a dot, or behind ON, FROM, JOIN, INTO, UPDATE, TABLE and REFERENCES, is a table's; any other is a
    column's where there is a column of that name. Names in single-quoted texts (``'t'::regclass``) are left alone.
    A view of PostgreSQL keeps giving a renamed column under its old name: ``new AS old``.
    """
    tokens = tokenize(definition, dialect)
    lookup = _Names(tables, columns, dialect, homes)
    outputs = _outputs(tokens) if dialect == "postgresql" else frozenset()
    parts, position = [], 0
    for i, token in enumerate(tokens):
        new = lookup.other(tokens, i)
        if new is not None:
            kept = f" AS {token.text}" if i in outputs else ""
            parts += [definition[position : token.start], _written(new, token, dialect), kept]
            position = token.end
    return "".join(parts) + definition[position:]


def _outputs(tokens: list[Token]) -> frozenset[int]:
    """The indexes of columns that are a whole item of a select list, without an alias."""
    found, depth, listing = set(), 0, {0: False}
    for i, token in enumerate(tokens):
        if token.word in ("(", ")"):
            depth += 1 if token.word == "(" else -1
            listing[depth] = listing.get(depth, False) and token.word == ")"
        elif token.word in ("SELECT", "FROM"):
            listing[depth] = token.word == "SELECT"
        after = tokens[i + 1].word if i + 1 < len(tokens) else ";"
        ends = after in (",", "FROM", ";", ")")
        if listing.get(depth) and ends and token.kind in (WORD, QUOTED) and _begins_item(tokens, i):
            found.add(i)
    return frozenset(found)


def _begins_item(tokens: list[Token], i: int) -> bool:
    i = _start(tokens, i)
    return i > 0 and tokens[i - 1].word in ("SELECT", "DISTINCT", ",")


class _Names:
    def __init__(
        self,
        tables: Mapping[str, str],
        columns: Mapping[str, str],
        dialect: str,
        homes: Mapping[str, Collection[str]] | None,
    ) -> None:
        self.fold: Callable[[str], str] = str if dialect == "postgresql" else str.casefold
        self.homes = homes and {schema: {self.fold(name) for name in held} for schema, held in homes.items()}
        self.reserved = _RESERVED | _RESERVED_BY.get(dialect, _RESERVED_BY["mysql"])
        self.tables = {self.fold(k): v for k, v in tables.items()}
        self.columns = {self.fold(k): v for k, v in columns.items()}

    def other(self, tokens: list[Token], i: int) -> str | None:
        """The new name of the token, None where it keeps its own."""
        token = tokens[i]
        if token.kind not in (WORD, QUOTED) or _is_keyword(tokens, i, self.reserved):
            return None
        before = tokens[i - 1].word if i else ""
        after = tokens[i + 1].word if i + 1 < len(tokens) else ""
        name = self.fold(token.name)
        if before == ".":
            return self._behind_dot(tokens, i, name)
        if after != "." and before in _BEFORE_TABLE:
            return self._of_default_schema(name)
        if after == ".":
            return self._table(name)
        return self.columns.get(name, self._table(name))

    def _table(self, name: str) -> str | None:
        """PostgreSQL calls a table's second appearance in a view ``name_1`` (ruleutils.c)."""
        base, _, number = name.rpartition("_")
        if name not in self.tables and self.fold is str and number.isdigit() and base in self.tables:
            return f"{self.tables[base]}_{number}"
        return self.tables.get(name)

    def _behind_dot(self, tokens: list[Token], i: int, name: str) -> str | None:
        """``schema.table`` stands where a table is expected; else it is ``table.column``."""
        start = _start(tokens, i)
        qualifier = tokens[start].name
        if self.homes is not None and start == i - 2 and qualifier in self.homes and name in self.tables:
            return self._table(name) if name in self.homes[qualifier] else None
        leads = tokens[start - 1].word if start else ""
        qualified_table = leads in _BEFORE_TABLE or (i + 1 < len(tokens) and tokens[i + 1].word == ".")
        return self._of_default_schema(name) if qualified_table else self.columns.get(name)

    def _of_default_schema(self, name: str) -> str | None:
        elsewhere = self.homes is not None and name in self.tables and name not in self.homes.get("", ())
        return None if elsewhere else self._table(name)


def _start(tokens: list[Token], i: int) -> int:
    """Where the name begins whose last part stands here."""
    while i > 1 and tokens[i - 1].word == ".":
        i -= 2
    return i


def _is_keyword(tokens: list[Token], i: int, reserved: Collection[str]) -> bool:
    """A bare word that is no name here, although some column may have it as its name: KEY, ACTION, a type, a function.

    A name that is a reserved word stands in quotes, save behind a dot (MySQL manual, 11.2).

    A name in front of ``(number)`` is a column with a prefix length (MySQL), in front of any other parenthesis it is a
    function; behind ``::`` and in ``CAST(... AS`` stands a type.
    """
    token, before = tokens[i], tokens[i - 1].word if i else ""
    if token.kind != WORD:
        return False
    after = tokens[i + 1 : i + 3]
    prefix = after and after[0].word == "(" and after[-1].kind == NUMBER
    if before == "::" or (before, token.word) in _PHRASES or (token.word in reserved and before != "." and not prefix):
        return True
    if token.word == "KEY" and after and after[0].kind == QUOTED:
        return True
    leads = tokens[start - 1].word if (start := _start(tokens, i)) else ""
    return leads not in _BEFORE_TABLE and bool(after) and after[0].word == "(" and not prefix


_PHRASES = {
    *(("PRIMARY", "KEY"), ("FOREIGN", "KEY"), ("UNIQUE", "KEY"), ("NO", "ACTION")),
    *(("ORDER", "BY"), ("GROUP", "BY"), ("PARTITION", "BY")),
    *(("CREATE", "INDEX"), ("UNIQUE", "INDEX"), ("CREATE", "TRIGGER"), ("CREATE", "RULE")),
    *((event, action) for event in ("UPDATE", "DELETE") for action in ("CASCADE", "RESTRICT", "NO", "SET")),
}
_RESERVED = words(
    "ALL AND AS CASE CHECK COLLATE CONSTRAINT CREATE CROSS DEFAULT DISTINCT ELSE EXISTS FOREIGN FROM GROUP HAVING IN "
    "INNER INTO IS JOIN LEFT LIMIT NATURAL NOT NULL ON OR ORDER PRIMARY REFERENCES SELECT TABLE THEN TO UNION UNIQUE "
    "USING VALUES WHEN WHERE"
)  # by every engine, those included that PostgreSQL allows as functions and types alone
_RESERVED_BY = {
    "postgresql": words("ASC DESC END LIKE WITH"),
    "sqlite": words("BETWEEN DELETE INDEX INSERT SET UPDATE"),
    "mysql": words("ASC BETWEEN BY CASCADE DELETE DESC INDEX INSERT LIKE RESTRICT SET UPDATE WITH"),
}
_BEFORE_TABLE = ("ON", "ONLY", "FROM", "JOIN", "INTO", "UPDATE", "TABLE", "REFERENCES", "TO")


def _written(name: str, token: Token, dialect: str) -> str:
    """A name as it would be written here: quoted where it was, or where it must be."""
    plain = name.isidentifier() and name.isascii() and (dialect != "postgresql" or name == name.lower())
    return name if plain and token.kind == WORD else quote_name(name, dialect)


def normalise(definition: str, dialect: str) -> str:
    """One form for definitions that differ only in white space, comments, quoting or the case of keywords.

    Every identifier and keyword is written in the case in which it is compared, without quotes; texts keep theirs.
    """
    tokens = [t for t in tokenize(definition, dialect) if t.kind != COMMENT]
    while tokens and tokens[-1].word == ";":
        tokens.pop()
    return " ".join(_normal(tokens, dialect))


def _normal(tokens: list[Token], dialect: str) -> Iterator[str]:
    for token in tokens:
        if token.kind in (WORD, QUOTED):
            yield _name(token, dialect)
        elif token.kind == STRING:
            prefix = token.text[0].lower() if token.text[0] not in "'\"$" else ""
            yield ("" if prefix in ("e", "n", "u") else prefix) + "'" + token.value.replace("'", "''") + "'"
        elif token.kind == NUMBER:
            yield token.text.lower()
        else:
            yield "<>" if token.text == "!=" else token.text


def _name(token: Token, dialect: str) -> str:
    """In SQLite and MySQL names are compared without case; PostgreSQL has folded those that are not quoted."""
    folded = token.name if dialect == "postgresql" else token.name.casefold()
    return folded if folded.replace("_", "").replace("$", "").isalnum() else f'"{folded}"'


def same(one: str, other: str, dialect: str) -> bool:
    """Whether two definitions say the same."""
    return normalise(one, dialect) == normalise(other, dialect)


def same_renamed(
    one: str, other: str, dialect: str, names: Sequence[tuple[str, str]], schemas: Collection[str]
) -> bool:
    """Whether the second text is the first with these names and labels (old, new) renamed one after another.

    Qualifiers of ``schemas``, which objects left or came to, are of no weight.
    """
    return _unqualified(one, dialect, names, schemas) == _unqualified(other, dialect, (), schemas)


def _unqualified(text: str, dialect: str, names: Sequence[tuple[str, str]], schemas: Collection[str]) -> list[str]:
    tokens = code(text, dialect)
    found = []
    for i, token in enumerate(tokens):
        after = tokens[i + 1].word if i + 1 < len(tokens) else ""
        if (token.word == "." and i and tokens[i - 1].name in schemas) or (after == "." and token.name in schemas):
            continue
        value = token.name or token.value
        for old, new in names:
            value = new if value == old else value
        found.append(value)
    return found


def names_in(definition: str, dialect: str) -> frozenset[str]:
    """Every identifier (and keyword) in a definition, folded for comparison."""
    fold = str if dialect == "postgresql" else str.casefold
    return frozenset(fold(t.name) for t in code(definition, dialect) if t.name)
