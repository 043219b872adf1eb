"""Tables of which a script takes one row for granted: it turns their columns into rows under keys of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from seatrial.sql.cursor import Cursor, Tokens, items
from seatrial.sql.dml import selects
from seatrial.sql.effects import Span, Verb
from seatrial.sql.statement import parse
from seatrial.sql.tokens import STRING

_NO_COLUMN = {"NULL", "TRUE", "FALSE", "CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"}


def of_one_row(
    statements: Iterable[str], dialect: str, unique: Mapping[str, Collection[str]] | None = None
) -> frozenset[str]:
    """Names in lower case of tables that are copied whole under two or more texts in the same place.

    ``INSERT INTO kv SELECT 'theme', theme FROM settings UNION ALL SELECT 'font', font FROM settings``: two rows of
    settings would give each key twice. One text alone (``SELECT id, 'member' FROM users``) says nothing of the kind,
    nor do texts beside a column that tells the rows apart (``SELECT user_id, 'theme', theme FROM settings``).
    Several tables, each under a text of its own, have one row each where that text goes into a column that is
    ``unique`` by itself (table to columns, all in lower case).
    """
    copies: dict[tuple[str, str], list[tuple[str, ...]]] = defaultdict(list)
    named: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)  # target and column: source to text
    for text in statements:
        parsed = parse(text, dialect)
        for effect in parsed.effects:
            if effect.verb is Verb.INSERT and effect.table is not None:
                target = effect.table.name.casefold()
                for source, values in _copied(parsed.tokens, effect.query, dialect):
                    copies[target, source].append(values)
                    for column, value in zip(effect.columns, values, strict=False):
                        if value.startswith("'") and column.casefold() in (unique or {}).get(target, ()):
                            named[target, column.casefold()][source] = value
    keyed = {source for (_, source), rows in copies.items() if _are_keyed(rows)}
    return frozenset(keyed.union(*(by for by in named.values() if len(by) > 1 and len({*by.values()}) == len(by))))


def _are_keyed(rows: Sequence[tuple[str, ...]]) -> bool:
    places = [{*values} for values in zip(*rows, strict=False)]
    texts = any(len(values) > 1 and all(v.startswith("'") for v in values) for values in places)
    apart = any(len(values) == 1 and not (values & {"", *_NO_COLUMN} or min(values)[0] == "'") for values in places)
    return len(rows) > 1 and texts and not apart


def _copied(tokens: Tokens, query: Span, dialect: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(table that is read whole, what is taken: columns by name, texts in quotes, of all else nothing)"""
    for first, last in selects(tokens, query.first, query.last):
        cursor = Cursor(tokens, dialect, last, query.last)
        name = cursor.name() if cursor.accept("FROM") else None
        if name is not None and (cursor.done or cursor.word() in ("UNION", ";")):
            parts = items(tokens, first, last)
            yield name.name.casefold(), tuple(_value(tokens[a:b]) for a, b in parts)


def _value(tokens: Tokens) -> str:
    if len(tokens) > 1 and tokens[1].word != "AS":
        return ""
    return f"'{tokens[0].value}'" if tokens[0].kind == STRING else tokens[0].word or tokens[0].name
