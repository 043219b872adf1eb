"""One statement, read: its kind, its effects, the names in it, and whether something cannot be known from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import field, replace
from functools import lru_cache

from seatrial.sql import ddl, dml
from seatrial.sql.blocks import NOWHERE, UNKNOWN, Around, arounds, parameters_of
from seatrial.sql.cursor import Cursor, Name, Tokens, closing
from seatrial.sql.effects import Effect, Verb
from seatrial.sql.mentions import Mention, Mentions, mentions
from seatrial.sql.tokens import NUMBER, STRING, VARIABLE, Token, code, words
from seatrial.values import dataclass

_DEFINES = {"CREATE": ddl.create, "ALTER": ddl.alter, "DROP": ddl.drop, "RENAME": ddl.rename}
_ABOUT: dict[str, Callable[[Cursor], Iterator[Effect]]] = {
    **_DEFINES,
    "COMMENT": ddl.comment,
    "GRANT": ddl.grant,
    "REVOKE": ddl.grant,
    **dict.fromkeys(("LOCK", "ANALYZE", "VACUUM", "CLUSTER", "OPTIMIZE", "REPAIR"), ddl.maintain),
    **dict.fromkeys(("REFRESH", "REINDEX"), ddl.refresh),
}
KNOWN = words(
    "ALTER ANALYZE ANALYSE ATTACH BEGIN CALL CHECKPOINT CLOSE CLUSTER COMMENT COMMIT COPY CREATE DEALLOCATE "
    "DECLARE DELETE DESCRIBE DESC DETACH DISCARD DO DROP END EXECUTE EXPLAIN FETCH FLUSH GRANT IMPORT INSERT "
    "LISTEN LOAD LOCK MERGE MOVE NOTIFY OPTIMIZE PERFORM PRAGMA PREPARE REASSIGN REFRESH REINDEX RELEASE "
    "RENAME REPAIR REPLACE RESET REVOKE ROLLBACK SAVEPOINT SECURITY SELECT SET SHOW START TABLE TRUNCATE "
    "UNLISTEN UNLOCK UPDATE USE VACUUM VALUES WITH CHECK CHECKSUM ABORT HANDLER IF WHILE LOOP REPEAT FOR CASE "
    "RETURN DECLARE RAISE GET OPEN SIGNAL LEAVE ITERATE EXCEPTION KILL BINLOG"
)
_BODY_STARTS = frozenset(["BEGIN", "THEN", "ELSE", "LOOP", "DO", "ATOMIC", "REPEAT"])
_VERBS = words(
    "ALTER ANALYZE CALL COMMENT COPY CREATE DELETE DROP EXECUTE GRANT INSERT LOCK MERGE PERFORM REFRESH "
    "REINDEX RENAME REPLACE REVOKE SELECT SET TRUNCATE UPDATE WITH VALUES RETURN RAISE PREPARE"
)


BLOCKS = ("DO", "BEGIN NOT ATOMIC")  # kinds whose parts are run where they stand


@dataclass(frozen=True, slots=True)
class Parsed:
    tokens: Tokens
    kind: str
    effects: tuple[Effect, ...]
    found: Mentions
    opaque: bool = False
    executed: bool = True  # False: it only defines what may run later (a function, a trigger, a view)
    parts: tuple[Parsed, ...] = field(default=())  # the statements of a DO block, or of dynamic SQL that stands in full
    around: Around = NOWHERE  # what surrounds it in a block


def parse(text: str, dialect: str) -> Parsed:
    """Read one statement. What it returns is shared: nobody changes it."""
    return _parse_again(text, dialect) if len(text) <= SHORT else _parse(text, dialect)


def _parse(text: str, dialect: str) -> Parsed:
    return parse_tokens(code(text, dialect), dialect)


SHORT = 4000  # characters of a statement that is remembered
_parse_again = lru_cache(maxsize=512)(_parse)  # up, down and up again send the same, and each report asks anew


def parse_tokens(tokens: Tokens, dialect: str) -> Parsed:
    cursor = Cursor(tokens, dialect)
    while cursor.accept("("):
        pass
    first = cursor.word()
    if first == "DO" and dialect == "postgresql":
        return _block(tokens, dialect)
    if first == "EXECUTE" and dialect == "postgresql" and len(tokens) > 1 and tokens[1].kind == STRING:
        return _dynamic(tokens, dialect)
    if dialect in ("mysql", "mariadb") and (text := _literal(tokens)) is not None:
        parts = tuple(body(code(text, dialect), dialect))
        return Parsed(tokens, first, (), Mentions(), any(p.opaque for p in parts), True, parts)
    if first == "BEGIN" and cursor.at("BEGIN", "NOT"):
        parts = tuple(body(tokens[3:], dialect))
        return Parsed(tokens, "BEGIN NOT ATOMIC", (), Mentions(), any(p.opaque for p in parts), True, parts)
    reader = _ABOUT.get(first)
    effects: list[Effect] = []
    if reader is not None:
        cursor.index += 1
        effects = [
            e for e in reader(cursor) if e.table is not None or e.verb in (Verb.OBJECT, Verb.GRANT, Verb.OPTIONS)
        ]
    found = mentions(tokens, dialect, _known(effects))
    executed = not _only_defines(effects)
    if executed:
        effects += dml.changes(tokens, dialect)
    if first == "CALL":
        effects += [Effect(verb=Verb.CALL, table=c, other=c) for c in found.calls[:1] or _called(tokens, dialect)]
    parts = tuple(_bodies(tokens, dialect)) if not executed else ()
    opaque = _is_opaque(tokens, first) or any(_is_catalog(e, dialect) for e in effects)
    return Parsed(tokens, kind(tokens, dialect), tuple(effects), found, opaque, executed, parts)


def is_plain_call(tokens: Tokens) -> bool:
    """``CALL p(1)``, ``SELECT f()``, ``SELECT * FROM f()``, ``PERFORM f()``: nothing but one call, run once."""
    said = [t.word for t in tokens]
    if said[:1] == ["CALL"] and "(" not in said:
        return True
    first = 1 + 2 * (said[1:3] == ["*", "FROM"])
    opened = said.index("(") if "(" in said else 0
    named = all(t.name or t.word == "." for t in tokens[first:opened])
    ends = closing(tokens, opened, len(tokens)) + 1 if opened else 0
    return said[0] in ("CALL", "SELECT", "PERFORM", "DO") and 0 < opened <= first + 3 and named and ends == len(tokens)


def _called(tokens: Tokens, dialect: str) -> list[Name]:
    name = Cursor(tokens, dialect, 1).name()
    return [name] if name else []


def _known(effects: list[Effect]) -> list[Mention]:
    """The tables that a definition's grammar gives."""
    names = []
    for e in effects:
        names += [(e.table, e.verb not in (Verb.OBJECT, Verb.GRANT, Verb.ATTACH))]
        if e.verb in (Verb.RENAME_TABLE, Verb.CREATE_TABLE, Verb.ATTACH):
            names.append((e.other, False))
    unique = {n.first: Mention(n, rows=rows) for n, rows in reversed(names) if n is not None and n.first >= 0}
    return [unique[first] for first in sorted(unique)]


def _only_defines(effects: list[Effect]) -> bool:
    kinds = {e.kind for e in effects if e.verb is Verb.OBJECT}
    return bool(
        kinds
        & {"function", "procedure", "trigger", "view", "materialized view", "rule", "event", "package", "aggregate"}
    )


def _is_opaque(tokens: Tokens, first: str) -> bool:
    """Dynamic SQL whose text is built, and what no grammar here knows."""
    if not tokens:
        return False
    if first == "PREPARE":
        return any(t.kind == VARIABLE for t in tokens)
    if first == "EXECUTE":
        return (len(tokens) > 2 and tokens[1].word in ("IMMEDIATE", "FORMAT")) or (
            len(tokens) > 1 and tokens[1].kind == STRING
        )
    return first not in KNOWN and tokens[0].kind == "word"


def _is_catalog(effect: Effect, dialect: str) -> bool:
    """Whether rows of the engine's own catalog are written: definitions change without a word about them."""
    if effect.table is None or effect.verb not in (Verb.INSERT, Verb.UPDATE, Verb.DELETE):
        return False
    name, qualifier = effect.table.name.casefold(), effect.table.qualifier.casefold()
    if dialect == "sqlite":
        return name in ("sqlite_master", "sqlite_schema")
    if dialect == "postgresql":
        return qualifier == "pg_catalog" or (not qualifier and name.startswith("pg_"))
    return qualifier in ("mysql", "sys", "information_schema", "performance_schema")


def _literal(tokens: Tokens) -> str | None:
    """The text of ``PREPARE p FROM 'text'`` and of ``EXECUTE IMMEDIATE 'text'``, where it stands in full."""
    said = [t.word for t in tokens[:3]]
    at = 3 if said[:1] == ["PREPARE"] and said[2:] == ["FROM"] else 2 if said[:2] == ["EXECUTE", "IMMEDIATE"] else 0
    if not 0 < at < len(tokens) or tokens[at].kind != STRING:
        return None
    alone = len(tokens) == at + 1 or tokens[at + 1].word == "USING"
    return tokens[at].value if alone else None


def prepared(tokens: Tokens) -> str:
    """The variable that PREPARE ... FROM @variable reads, empty for any other statement."""
    found = [t.value.casefold() for t in tokens if t.kind == VARIABLE]
    return found[0] if tokens and tokens[0].word == "PREPARE" and found else ""


def texts_of(tokens: Tokens) -> tuple[str, tuple[str, ...]] | None:
    """``SET @a = ...``: the variable, and the SQL texts that it may hold; none where they are put together from parts.

    The usual guard is ``SET @sql = IF((SELECT count(*) FROM information_schema ...), 'SELECT 1', 'ALTER TABLE ...')``.
    """
    if len(tokens) < 4 or tokens[0].word != "SET" or tokens[1].kind != VARIABLE or tokens[2].word not in ("=", ":="):
        return None
    built = any(
        t.word in ("CONCAT", "CONCAT_WS", "||", "REPLACE", "GROUP_CONCAT") or t.kind == VARIABLE for t in tokens[3:]
    )
    found = tuple(t.value for t in tokens[3:] if t.kind == STRING and t.value.split(None, 1)[:1] and _is_verb(t.value))
    return tokens[1].value.casefold(), () if built else found


def _is_verb(text: str) -> bool:
    return text.split(None, 1)[0].upper() in _VERBS


def _block(tokens: Tokens, dialect: str) -> Parsed:
    """DO $$ ... $$: its statements run here and now."""
    text = next((t for t in tokens if t.kind == STRING), None)
    language = next((tokens[i + 1].value for i, t in enumerate(tokens[:-1]) if t.word == "LANGUAGE"), "plpgsql")
    if text is None or language.lower() not in ("plpgsql", "sql"):
        return Parsed(tokens, "DO", (), Mentions(), opaque=True)
    parts = tuple(body(code(text.value, dialect), dialect))
    return Parsed(tokens, "DO", (), Mentions(), any(p.opaque for p in parts), True, parts)


def _dynamic(tokens: Tokens, dialect: str) -> Parsed:
    """EXECUTE of a text: known where it stands in one literal, with nothing joined to it."""
    if len(tokens) > 2 and tokens[2].word not in ("USING", "INTO"):
        return Parsed(tokens, "EXECUTE", (), Mentions(), opaque=True)
    parts = tuple(body(code(tokens[1].value, dialect), dialect))
    return Parsed(tokens, "EXECUTE", (), Mentions(), any(p.opaque for p in parts), True, parts)


def _bodies(tokens: Tokens, dialect: str) -> Iterator[Parsed]:
    """The bodies of a routine that is being defined: in a dollar-quoted text (PostgreSQL), or in line."""
    if dialect == "postgresql":
        for i, token in enumerate(tokens):
            if token.kind == STRING and i and tokens[i - 1].word in ("AS", ","):
                yield from body(code(token.value, dialect), dialect)


def body(tokens: Tokens, dialect: str, parameters: tuple[str, ...] = ()) -> Iterator[Parsed]:
    """The statements of a compound body."""
    places = arounds(tokens, dialect, parameters)
    for first, last in _pieces(tokens):
        start = _statement_start(tokens, first, last)
        if start > first:
            condition = mentions(tokens[first:start], dialect)
            yield Parsed(tokens[first:start], "", (), condition, any(t.word == "EXECUTE" for t in tokens[first:start]))
        piece = tokens[start:last]
        if piece:
            yield replace(_piece(piece, dialect), around=places.get(start, UNKNOWN))


def _piece(tokens: Tokens, dialect: str) -> Parsed:
    parsed = parse_tokens(tokens, dialect)
    if parsed.opaque and tokens[0].word not in ("EXECUTE", "PREPARE") and not parsed.parts:
        # a = b, NULL, RETURN NEW, END: no SQL of its own
        return Parsed(parsed.tokens, parsed.kind, parsed.effects, parsed.found, False, parsed.executed, parsed.parts)
    if tokens[0].word == "EXECUTE" and dialect == "postgresql" and tokens[1:2] and tokens[1].kind != STRING:
        return Parsed(parsed.tokens, "EXECUTE", (), parsed.found, opaque=True)
    return parsed


def _pieces(tokens: Tokens) -> Iterator[tuple[int, int]]:
    first, depth = 0, 0
    for i, token in enumerate(tokens):
        depth += (token.word == "(") - (token.word == ")")
        if token.word == ";" and depth <= 0:
            if i > first:
                yield first, i
            first = i + 1
    if first < len(tokens):
        yield first, len(tokens)


def _statement_start(tokens: Tokens, first: int, last: int) -> int:
    """Behind ``IF ... THEN``, ``FOR r IN ... LOOP``, ``BEGIN``: where the statement itself begins."""
    start = first
    while start < last and tokens[start].word not in _VERBS:
        opener = next((i for i in range(start, last) if tokens[i].word in _BODY_STARTS), None)
        if opener is None:
            return start
        start = opener + 1
    return start


def routine_body(definition: str, dialect: str) -> tuple[Parsed, ...] | None:
    """The statements in a routine's definition as the engine gives it; None where they cannot be known."""
    tokens = code(definition, dialect)
    given = parameters_of(tokens) if tokens and tokens[0].word == "CREATE" else ()
    language = next((tokens[i + 1].value.lower() for i, t in enumerate(tokens[:-1]) if t.word == "LANGUAGE"), "sql")
    if language not in ("sql", "plpgsql"):
        return None if language not in ("c", "internal") else ()
    texts = [t for i, t in enumerate(tokens) if t.kind == STRING and i and tokens[i - 1].word == "AS"]
    inside = code(texts[-1].value, dialect) if texts and dialect == "postgresql" else _inline(tokens)
    return tuple(body(inside, dialect, given))


def _inline(tokens: Tokens) -> Tokens:
    """What stands behind the header: from BEGIN, RETURN or the first verb behind the argument list."""
    if tokens and (tokens[0].word == "BEGIN" or (tokens[0].word in _VERBS and tokens[0].word != "CREATE")):
        return tokens  # information_schema gives the body alone
    opened = next((i for i, t in enumerate(tokens) if t.word == "("), 0)
    depth = 0
    for i in range(opened, len(tokens)):
        depth += (tokens[i].word == "(") - (tokens[i].word == ")")
        if depth == 0 and i > opened and (tokens[i].word == "BEGIN" or tokens[i].word in _VERBS - {"COMMENT"}):
            return tokens[i:]
    return ()


def kind(tokens: Tokens, dialect: str) -> str:
    """The statement's leading words, without modifiers: "ALTER TABLE", "CREATE INDEX", "UPDATE"."""
    cursor = Cursor(tokens, dialect)
    while cursor.accept("("):
        pass
    first = cursor.word()
    if first in _DEFINES or first == "COMMENT":
        return _defining_kind(cursor, first)
    if first == "WITH":
        return _main_verb(tokens)
    if first == "START":
        return "START TRANSACTION"
    if first == "REFRESH":
        return "REFRESH MATERIALIZED VIEW"
    return first


def _defining_kind(cursor: Cursor, first: str) -> str:
    cursor.index += 1
    cursor.accept("ON")
    if first in ("CREATE", "ALTER"):
        ddl.create_flags(cursor)
    cursor.skip_any("TEMPORARY", "ONLINE", "OFFLINE", "IGNORE", "AGGREGATE")
    about = ddl.kind_at(cursor).upper()
    prefix = "COMMENT ON" if first == "COMMENT" else first
    return f"{prefix} {about}".strip()


def _main_verb(tokens: Tokens) -> str:
    """The verb behind a WITH list."""
    depth = 0
    for token in tokens:
        depth += (token.word == "(") - (token.word == ")")
        if depth == 0 and token.word in ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "REPLACE"):
            return token.word
    return "WITH"


def zones(tokens: Tokens) -> Iterator[tuple[str, bool]]:
    """Time zones in a statement: (zone, whether the session is set to it)."""
    for i, token in enumerate(tokens):
        if token.word in ("TIMEZONE", "TIME_ZONE", "@@TIME_ZONE") or _is_zone_variable(token):
            if (value := _value(tokens, i + 1)) is not None:
                yield value, tokens[0].word in ("SET", "ALTER", "SELECT", "PERFORM")
        elif token.word == "ZONE" and i and tokens[i - 1].word == "TIME":
            at = i > 1 and tokens[i - 2].word == "AT"
            if (value := _value(tokens, i + 1)) is not None and (at or tokens[0].word == "SET"):
                yield value, not at
        elif token.kind == STRING and token.value.lower() in ("timezone", "time_zone") and _sets_config(tokens, i):
            if (value := _value(tokens, i + 2)) is not None:
                yield value, True
        elif token.word == "CONVERT_TZ":
            yield from ((t.value, False) for t in _arguments(tokens, i + 1) if t.kind == STRING)


def _is_zone_variable(token: Token) -> bool:
    return token.kind == VARIABLE and token.text.lower().endswith("time_zone")


def _sets_config(tokens: Tokens, i: int) -> bool:
    return i > 1 and tokens[i - 2].word == "SET_CONFIG"


def _value(tokens: Tokens, i: int) -> str | None:
    while i < len(tokens) and tokens[i].word in ("=", "TO", ":=", "(", "INTERVAL"):
        i += 1
    if i >= len(tokens):
        return None
    token = tokens[i]
    if token.kind == NUMBER or token.word in ("-", "+"):
        return "".join(t.text for t in tokens[i : i + 2] if t.kind == NUMBER or t.word in ("-", "+"))
    return token.value if token.kind in (STRING, "word", "quoted") else None


def _arguments(tokens: Tokens, i: int) -> Tokens:
    depth, first = 0, i
    while i < len(tokens):
        depth += (tokens[i].word == "(") - (tokens[i].word == ")")
        i += 1
        if depth == 0:
            break
    return tokens[first:i]
