"""INSERT statements taken apart into rows of SQL texts, and put together again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from seatrial.model import TableRef
from seatrial.sql.tokens import Token, code, quote_string
from seatrial.values import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an INSERT: cells as SQL texts by column; ``columns`` is empty where the statement names none."""

    table: TableRef
    head: str  # up to the table's name
    columns: tuple[str, ...]
    cells: tuple[str, ...]
    tail: str = ""

    def named(self, all_columns: Sequence[str]) -> Mapping[str, str] | None:
        """Its cells by column; None where they are not as many."""
        names = self.columns or tuple(all_columns)
        return dict(zip(names, self.cells, strict=True)) if len(names) == len(self.cells) else None

    def sql(self, quote: Mapping[str, str]) -> str:
        names = f" ({', '.join(quote[c] for c in self.columns)})" if self.columns else ""
        return f"{self.head}{names} VALUES ({', '.join(self.cells)}){self.tail}"

    def having(self, cells: Mapping[str, str]) -> Row:
        return replace(self, columns=tuple(cells), cells=tuple(cells.values()))


def rows_of(text: str, dialect: str) -> list[Row]:
    """The rows of ``INSERT INTO t (...) VALUES (...), (...)``; empty where the statement is of another form."""
    tokens = code(text, dialect)
    words = [t.word for t in tokens]
    if words[:1] not in (["INSERT"], ["REPLACE"]) or "INTO" not in words[:4] or "VALUES" not in words:
        return []
    into, values = words.index("INTO"), words.index("VALUES")
    named = tokens[into + 1 : values]
    opening = next((i for i, t in enumerate(named) if t.text == "("), len(named))
    names, columns = named[:opening], tuple(t.name for t in named[opening:] if t.name)
    groups, end = _groups(text, tokens[values + 1 :])
    if not names or not groups or any(t.text not in ".()," and not t.name for t in named):
        return []
    table = TableRef(names[0].name if len(names) > 1 else "", names[-1].name)
    tail = text[end:].rstrip()
    return [Row(table, text[: names[-1].end], columns, group, f" {tail.strip()}" if tail else "") for group in groups]


def _groups(text: str, tokens: Sequence[Token]) -> tuple[list[tuple[str, ...]], int]:
    """The cells of each parenthesised group, and where the last one ends."""
    groups: list[tuple[str, ...]] = []
    cells: list[str] = []
    depth, begun, end = 0, 0, 0
    for token in tokens:
        if depth == 0 and token.text != "(":
            if token.text == ",":
                continue
            break
        if token.text in "([":
            depth += 1
            begun = token.end if depth == 1 else begun
        elif depth == 1 and token.text in (",", ")"):
            cells.append(text[begun : token.start].strip())
            begun = token.end
        if token.text in ")]":
            depth -= 1
        if depth == 0:
            groups.append(tuple(cells))
            cells, end = [], token.end
    return groups, end


def literal(value: object, dialect: str) -> str:
    """A value of ours as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper() if dialect == "postgresql" else str(int(value))
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'" if dialect == "postgresql" else f"x'{value.hex()}'"
    if isinstance(value, (int, float)):
        return repr(value)
    return quote_string(str(value), dialect)
