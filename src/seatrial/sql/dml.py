"""Reading statements that change rows, wherever they stand: at the top, behind WITH, inside a routine's body."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.sql.cursor import Cursor, Name, Tokens, closing, find, items, top
from seatrial.sql.effects import Assignment, Effect, Span, Update, Verb

_STARTS = frozenset(
    ["", ";", "(", ")", "BEGIN", "THEN", "ELSE", "LOOP", "DO", "AS", "ROW", "ATOMIC", "EXPLAIN", "ANALYZE", ":", ">>"]
)


_ENDS_LIST = ("FROM", "WHERE", "UNION", "EXCEPT", "INTERSECT", "ORDER", "LIMIT", "ON", "INTO", "GROUP", "HAVING")


def changes(tokens: Tokens, dialect: str) -> Iterator[Effect]:
    """The effects of every INSERT, UPDATE, DELETE, MERGE, TRUNCATE and COPY in the tokens."""
    for i, token in enumerate(tokens):
        if token.word in _READERS and (i == 0 or tokens[i - 1].word in _STARTS):
            yield from _READERS[token.word](Cursor(tokens, dialect, i + 1, _end(tokens, i)))


def _end(tokens: Tokens, index: int) -> int:
    """Where the statement that begins here ends: at ``;`` or at the bracket around it."""
    depth = 0
    for i in range(index, len(tokens)):
        word = tokens[i].word
        depth += (word == "(") - (word == ")")
        if depth < 0 or (word == ";" and depth == 0):
            return i
    return len(tokens)


def _insert(cursor: Cursor) -> Iterator[Effect]:
    cursor.skip_any("OR")
    cursor.skip_any(
        "REPLACE", "IGNORE", "ABORT", "FAIL", "ROLLBACK", "LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "OVERWRITE"
    )
    cursor.skip_any("INTO", "TABLE")
    if cursor.at("("):
        return  # REPLACE(...), INSERT(...): functions
    table = cursor.name()
    if table is None:
        return
    if cursor.accept("AS"):
        cursor.identifier()
    if cursor.accept("PARTITION"):
        cursor.brackets()
    columns = _column_list(cursor)
    assigned = _on_conflict(cursor)
    yield from _inserted(cursor, table, columns)
    if assigned:
        yield Effect(verb=Verb.UPDATE, table=table, values=assigned)


def _column_list(cursor: Cursor) -> tuple[str, ...]:
    if cursor.at("(") and cursor.word(1) not in ("SELECT", "WITH", "VALUES", "("):
        return cursor.columns()
    return ()


def _inserted(cursor: Cursor, table: Name, columns: tuple[str, ...]) -> Iterator[Effect]:
    if cursor.at("SET"):
        values = _assignments(cursor, cursor.index + 1, find(cursor.tokens, cursor.index, cursor.stop, "ON", "AS"))
        columns = tuple(c for a in values for c in a.columns)
        yield Effect(verb=Verb.INSERT, table=table, columns=columns, values=values)
        return
    whole = not columns and not cursor.at("DEFAULT", "VALUES")
    query = Span(cursor.index, cursor.stop)
    values = tuple(_values(cursor, columns))
    yield Effect(verb=Verb.INSERT, table=table, columns=columns, whole=whole, values=values, query=query)


def _values(cursor: Cursor, columns: tuple[str, ...]) -> Iterator[Assignment]:
    """Which expression of VALUES or SELECT reaches which column; columns are counted where no list names them."""
    tokens = cursor.tokens
    if cursor.accept_any("VALUES", "VALUE"):
        while cursor.at("(") or cursor.accept("ROW"):
            yield from _numbered(items(tokens, *cursor.brackets()), columns)
            cursor.accept(",")
        return
    for first, last in selects(tokens, cursor.index, cursor.stop):
        yield from _numbered(items(tokens, first, last), columns)


def selects(tokens: Tokens, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The select lists outside brackets (one for each side of a UNION)."""
    while first < last and tokens[first].word == "(":
        first, last = first + 1, closing(tokens, first, last)
    for i in top(tokens, first, last):
        if tokens[i].word == "SELECT":
            start = i + 1 + (i + 1 < last and tokens[i + 1].word in ("DISTINCT", "ALL", "SQL_NO_CACHE"))
            yield start, find(tokens, start, last, *_ENDS_LIST)


def _numbered(parts: list[tuple[int, int]], columns: tuple[str, ...]) -> Iterator[Assignment]:
    for i, (first, last) in enumerate(parts):
        name = columns[i] if i < len(columns) else "" if columns else f"#{i}"
        yield Assignment((name,), "", Span(first, last))


def _on_conflict(cursor: Cursor) -> tuple[Assignment, ...]:
    """ON CONFLICT ... DO UPDATE SET, ON DUPLICATE KEY UPDATE."""
    tokens = cursor.tokens
    for i in top(tokens, cursor.index, cursor.stop):
        here = Cursor(tokens, cursor.dialect, i, cursor.stop)
        if here.at("DO", "UPDATE", "SET") or here.at("DUPLICATE", "KEY", "UPDATE"):
            last = find(tokens, i + 3, cursor.stop, "WHERE", "RETURNING")
            return _assignments(cursor, i + 3, last)
    return ()


def _assignments(cursor: Cursor, first: int, last: int) -> tuple[Assignment, ...]:
    tokens = cursor.tokens
    found = []
    for start, stop in items(tokens, first, last):
        here = Cursor(tokens, cursor.dialect, start, stop)
        if here.at("("):
            columns, qualifier = here.columns(), ""
        else:
            columns, qualifier = _assigned(here)
        equals = find(tokens, here.index, stop, "=", ":=")
        if columns and equals < stop:
            found += _one_by_one(Assignment(columns, qualifier, Span(equals + 1, stop)), tokens, start)
    return tuple(found)


def _one_by_one(assignment: Assignment, tokens: Tokens, start: int) -> list[Assignment]:
    """``(a, b) = ROW(1, 2)`` as ``a = 1, b = 2``; what a sub-select gives stays together."""
    first, last = assignment.value.first, assignment.value.last
    opened = first + (tokens[first].word == "ROW")
    if tokens[start].word != "(" or opened >= last or tokens[opened].word != "(":
        return [assignment]
    parts = items(tokens, opened + 1, last - 1)
    whole = closing(tokens, opened, last) == last - 1 and tokens[opened + 1].word not in ("SELECT", "WITH", "VALUES")
    parted = any(t.word in ("[", ".") for t in tokens[start:first])  # (a[1]) = ROW(2) assigns an element
    if not whole or parted or len(parts) != len(assignment.columns):
        return [assignment]
    return [Assignment((c,), "", Span(*p)) for c, p in zip(assignment.columns, parts, strict=True)]


def _assigned(cursor: Cursor) -> tuple[tuple[str, ...], str]:
    name = cursor.name()
    if name is None:
        return (), ""
    if cursor.dialect == "postgresql" and name.qualifier:
        return (name.qualifier,), ""  # a field of a composite column: SET names no table there (manual, UPDATE)
    return (name.name,), name.qualifier


def _update(cursor: Cursor) -> Iterator[Effect]:
    head = cursor.index - 1
    tokens = cursor.tokens
    if cursor.accept("OR"):
        cursor.index += 1
    cursor.skip_any("LOW_PRIORITY", "IGNORE")
    first = cursor.index
    place = find(tokens, first, cursor.stop, "SET")
    if place == cursor.stop or place == first:
        return
    sources = _from(cursor, place)
    last = min(
        find(tokens, place, cursor.stop, "WHERE", "ORDER", "LIMIT", "RETURNING"), sources.first - 1 or cursor.stop
    )
    update = Update(
        targets=Span(first, place),
        items=_assignments(cursor, place + 1, last),
        sources=sources,
        where=_where(cursor, place),
        head=head,
        end=cursor.stop,
    )
    cursor.index = first
    cursor.accept("ONLY")
    yield Effect(verb=Verb.UPDATE, table=cursor.name(), values=update.items, update=update)


def _from(cursor: Cursor, first: int) -> Span:
    """The sources behind FROM, not behind IS DISTINCT FROM; the first index is 1 where there are none."""
    tokens = cursor.tokens
    for i in top(tokens, first, cursor.stop):
        if tokens[i].word in ("WHERE", "RETURNING"):
            break
        if tokens[i].word == "FROM" and tokens[i - 1].word != "DISTINCT":
            return Span(i + 1, find(tokens, i, cursor.stop, "WHERE", "ORDER", "LIMIT", "RETURNING"))
    return Span(1, 1)


def _where(cursor: Cursor, first: int) -> Span:
    start = find(cursor.tokens, first, cursor.stop, "WHERE")
    if start == cursor.stop:
        return Span(0, 0)
    return Span(start + 1, find(cursor.tokens, start, cursor.stop, "ORDER", "LIMIT", "RETURNING"))


def _delete(cursor: Cursor) -> Iterator[Effect]:
    cursor.skip_any("LOW_PRIORITY", "QUICK", "IGNORE")
    if not cursor.at("FROM") and cursor.dialect in ("mysql", "mariadb"):
        yield from (Effect(verb=Verb.DELETE, table=n) for n in _targets(cursor))
        return
    if not cursor.accept("FROM"):
        return
    cursor.accept("ONLY")
    yield from (Effect(verb=Verb.DELETE, table=n) for n in _targets(cursor))


def _targets(cursor: Cursor) -> Iterator[Name]:
    while (name := cursor.name()) is not None:
        if cursor.accept("."):
            cursor.accept("*")
        yield name
        if not cursor.accept(","):
            return


def _truncate(cursor: Cursor) -> Iterator[Effect]:
    cursor.accept("TABLE")
    cursor.accept("ONLY")
    while (name := cursor.name()) is not None:
        cursor.accept("*")
        yield Effect(verb=Verb.TRUNCATE, table=name)
        if not cursor.accept(","):
            return
        cursor.accept("ONLY")


def _copy(cursor: Cursor) -> Iterator[Effect]:
    table = cursor.name()
    columns = cursor.columns()
    if table is not None and cursor.at("FROM"):
        yield Effect(verb=Verb.INSERT, table=table, columns=columns, whole=not columns)


def _load(cursor: Cursor) -> Iterator[Effect]:
    cursor.index = find(cursor.tokens, cursor.index, cursor.stop, "TABLE") + 1
    if (table := cursor.name()) is not None:
        yield Effect(verb=Verb.INSERT, table=table, whole=True)


def _merge(cursor: Cursor) -> Iterator[Effect]:
    tokens = cursor.tokens
    cursor.accept("INTO")
    cursor.accept("ONLY")
    table = cursor.name()
    for i in top(tokens, cursor.index, cursor.stop):
        here = Cursor(tokens, cursor.dialect, i, cursor.stop)
        end = find(tokens, i + 1, cursor.stop, "WHEN", "RETURNING")
        if here.accept("THEN", "UPDATE", "SET"):
            yield Effect(verb=Verb.UPDATE, table=table, values=_assignments(cursor, here.index, end))
        elif here.accept("THEN", "DELETE"):
            yield Effect(verb=Verb.DELETE, table=table)
        elif here.accept("THEN", "INSERT"):
            columns = _column_list(here)
            inner = Cursor(tokens, cursor.dialect, here.index, end)
            values = tuple(_values(inner, columns))
            yield Effect(verb=Verb.INSERT, table=table, columns=columns, whole=not columns, values=values)


_READERS = {
    "INSERT": _insert,
    "REPLACE": _insert,
    "UPDATE": _update,
    "DELETE": _delete,
    "TRUNCATE": _truncate,
    "MERGE": _merge,
    "COPY": _copy,
    "LOAD": _load,
}
