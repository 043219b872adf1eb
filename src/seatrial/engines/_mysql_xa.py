"""XA transactions that a step prepared and neither committed nor rolled back.

They outlive their session and keep their locks, over a restart of the server too (manual, 15.3.8): whoever touches
their tables next waits, those who drop the database included.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing

from seatrial.engines._mysql_link import Dial, is_driver_error
from seatrial.sql.tokens import code

_TRIES, _PAUSE_S = 20, 0.05  # the server needs a moment to notice that the session has ended


def prepared(statements: Iterable[str], dialect: str) -> Iterator[str]:
    """The names of those that these statements prepared, as they wrote them: ``'m', 'b'``."""
    for text in statements:
        tokens = code(text, dialect)
        if [t.word for t in tokens[:2]] == ["XA", "PREPARE"] and len(tokens) > 2:
            yield text[tokens[2].start : tokens[-1].end]


def taken_back(dial: Dial, database: str, names: Iterable[str]) -> list[str]:
    """Roll back what is left of them, by a session of our own; those that were."""
    asked = list(dict.fromkeys(names))
    if not asked:
        return []
    with closing(dial(database)) as raw:
        cursor, found = raw.cursor(), []
        for attempt in range(_TRIES):
            found += [n for n in asked if n not in found and _rolled_back(cursor, n)]
            if len(found) == len(asked) or attempt + 1 == _TRIES:
                break
            time.sleep(_PAUSE_S)
    return found


def _rolled_back(cursor: object, name: str) -> bool:
    try:
        cursor.execute(f"XA ROLLBACK {name}")  # type: ignore[attr-defined]
    except Exception as error:
        if not is_driver_error(error):
            raise
        return False  # it is not there (XAER_NOTA)
    return True
