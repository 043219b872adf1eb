"""Generated keys: AUTO_INCREMENT, and MariaDB's sequences behind a DEFAULT."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from seatrial.engines._mysql_link import Link, TextRow, literal, quote
from seatrial.model import Counter, TableRef

_NEXT = re.compile(r"nextval\(\s*(?:`(?:[^`]|``)+`\s*\.\s*)?`((?:[^`]|``)+)`\s*\)", re.IGNORECASE)


def counters(link: Link, tables: Sequence[TextRow], columns: Mapping[str, Sequence[TextRow]]) -> Iterator[Counter]:
    """Of every table; rows are those of the catalog's TABLES and, by table, of its COLUMNS."""
    for row in tables:
        table = str(row[0])
        for column in columns.get(table, []):
            name = str(column[1])
            if "auto_increment" in str(column[7]).lower():
                yield _auto(link, table, name, int(row[7] or 1))
            elif sequence := _sequence(column[6]):
                yield _fed(link, table, name, sequence)


def advance(link: Link) -> None:
    """Move every sequence behind a DEFAULT past what its column holds, as AUTO_INCREMENT moves by itself."""
    rows = link.rows(
        "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_DEFAULT FROM information_schema.COLUMNS"
        f" WHERE TABLE_SCHEMA = DATABASE() AND COLUMN_DEFAULT LIKE {literal('%nextval(%')}"
    )
    for table, column, default in rows:
        sequence = _sequence(default)
        if sequence and (highest := _highest(link, str(table), str(column))) is not None:
            link.rows(f"SELECT SETVAL({quote(sequence)}, {highest})")  # does nothing where it is further already


def _sequence(default: str | None) -> str:
    """The sequence that a column's default draws from, if there is one."""
    found = _NEXT.search(default or "")
    return found[1].replace("``", "`") if found else ""


def _auto(link: Link, table: str, column: str, next_value: int) -> Counter:
    highest = _highest(link, table, column)
    ref = TableRef("", table)
    return Counter(table=ref, column=column, mechanism="auto_increment", next_value=next_value, highest=highest)


def _fed(link: Link, table: str, column: str, sequence: str) -> Counter:
    highest = _highest(link, table, column)
    asked = f"SELECT next_not_cached_value, start_value, increment, cache_size FROM {quote(sequence)}"
    following, start, increment, cache = (int(v or 0) for v in link.rows(asked)[0])
    return Counter(
        table=TableRef("", table),
        column=column,
        mechanism="sequence",
        source=f"sequence {sequence}",
        next_value=_known(following, start, increment, cache, highest),
        increment=increment or 1,
        highest=highest,
    )


def _known(following: int, start: int, increment: int, cache: int, highest: int | None) -> int | None:
    """What the sequence gives next, where that can be told without drawing from it.

    A server hands out a cache of values of its own; all that is stored is where the cache ends (SHOW CREATE SEQUENCE,
    next_not_cached_value). That is exact while nothing was cached, and a bound that even the last of them collides.
    """
    if cache <= 1 or abs(following - start) < cache * abs(increment or 1):
        return following
    collides = highest is not None and (following <= highest if increment >= 0 else following >= highest)
    return following if collides else None


def _highest(link: Link, table: str, column: str) -> int | None:
    highest = link.value(f"SELECT MAX({quote(column)}) FROM {quote(table)}")
    return int(float(highest)) if highest is not None and re.fullmatch(r"-?\d+(\.\d+)?", highest) else None
