"""Statements that reach beyond the throwaway database: files, the server itself, its accounts, other databases.

A verb is looked for anywhere in a statement, so that bodies of routines, EXPLAIN and ``SET STATEMENT ... FOR`` are
covered; what follows is read by that statement's own grammar (MySQL manual, 15.1 to 15.7; MariaDB's likewise). Reading
another database does no harm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from seatrial.engines._mysql_dynamic import texts
from seatrial.engines._mysql_server_wide import Others, accounts_changed, nobody, places, server_wide
from seatrial.engines._mysql_targets import OTHER, Named, listed, name_at, written_by_delete, written_by_update
from seatrial.sql.tokens import STRING, Token, code
from seatrial.sql.tokens import words as keywords

_DEEPEST = 4  # text within text
_MODIFIERS = keywords("LOW_PRIORITY HIGH_PRIORITY DELAYED IGNORE QUICK INTO")
_KINDS = keywords("TABLE TABLES VIEW SEQUENCE EVENT TRIGGER PROCEDURE FUNCTION PACKAGE INDEX")
_NO_KINDS = keywords("USER ROLE DATABASE SCHEMA SERVER TABLESPACE RESOURCE REFERENCE ( ,")
_OF_FILES = keywords("LOAD_FILE INTO LOAD CREATE ALTER")
_OF_DATABASES = keywords("CREATE DROP ALTER GRANT REVOKE")
_REMOTE = keywords("FEDERATED CONNECT SPIDER S3")
_EVENTS = (["ON"], ["AFTER"], ["BEFORE"])  # what UPDATE and DELETE stand behind in a foreign key or a trigger
_BEHIND_NAME = keywords("IF NOT EXISTS BODY")


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a statement would run.

    ``own_server``: started for this run alone. ``others``: whether an account of the server is not the run's own.
    ``asked``: who runs the statement asks the server for the text that a PREPARE gets, so that need not be guessed.
    """

    dialect: str
    database: str
    own_server: bool = False
    others: Others = nobody
    asked: bool = False

    def is_others(self, user: str, host: str) -> bool:
        """Whether an account is somebody else's; PUBLIC is all of them (MariaDB from 10.11 on)."""
        return (self.dialect == "mariadb" and user.upper() == "PUBLIC") or self.others(user, host)

    def outside(self, named: Named | None) -> bool:
        return named is not None and named.database.casefold() not in ("", self.database.casefold())


@dataclass(frozen=True, slots=True)
class Reach:
    """The words of a statement that reach beyond its database, and what they do there."""

    what: str
    does: str

    def __str__(self) -> str:
        return f"{self.what} {self.does}"


_FILES = "reaches outside the trial's database, to files or to another server"
_SERVER = "is about the whole server, not the trial's database alone"
_ACCOUNT = "changes an account that stood on the server before the run"
_ELSEWHERE = "reaches outside the trial's database"


def reach(statement: str, ground: Ground, depth: int = 0) -> Reach | None:
    """What of a statement reaches beyond its database, if anything does."""
    tokens = code(statement, ground.dialect)
    body = any(t.word == ";" for t in tokens) or _is_routine(tokens)
    dynamic = replace(ground, asked=ground.asked and not body)
    for command in _commands(tokens):
        if found := _command(command, ground):
            return found
        for text in texts(command, ground.database, guessed=not dynamic.asked) if depth < _DEEPEST else ():
            if found := reach(text, ground, depth + 1):
                return found
    return None


def reaches_outside(statement: str, ground: Ground) -> str:
    """Its words alone; empty where there are none."""
    found = reach(statement, ground)
    return found.what if found else ""


def prepared_from(statement: str, dialect: str) -> str:
    """The variable or expression whose text a PREPARE or an EXECUTE IMMEDIATE runs; empty for all else."""
    tokens = code(statement, dialect)
    words = [t.word for t in tokens]
    if words[:1] == ["PREPARE"] and words[2:3] == ["FROM"]:
        return statement[tokens[3].start :] if len(tokens) > 3 else ""
    if words[:2] == ["EXECUTE", "IMMEDIATE"] and len(tokens) > 2:
        end = next((t.start for t in tokens if t.word == "USING"), len(statement))
        return statement[tokens[2].start : end]
    return ""


def _is_routine(tokens: Sequence[Token]) -> bool:
    return any(t.word in ("PROCEDURE", "FUNCTION", "TRIGGER", "EVENT") for t in tokens[:12])


def _commands(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """The statement, or those of its body."""
    start = 0
    for i, token in enumerate(tokens):
        if token.word == ";":
            yield tokens[start:i]
            start = i + 1
    yield tokens[start:]


def _command(tokens: Sequence[Token], ground: Ground) -> Reach | None:
    words = [t.word for t in tokens]
    if words[:1] == ["SHOW"]:
        return None
    if what := _files(tokens, words):
        return Reach(what, _FILES)
    if what := server_wide(tokens, words, own_server=ground.own_server):
        return Reach(what, _SERVER)
    if not ground.own_server and (what := accounts_changed(tokens, words, ground.is_others)):
        return Reach(what, _ACCOUNT)
    what = _databases(tokens, words, ground) or _objects(tokens, words, ground)
    return Reach(what, _ELSEWHERE) if what else None


# --- files ------------------------------------------------------------------------------------------------------------


def _files(tokens: Sequence[Token], words: Sequence[str]) -> str:
    for i, word in places(words, _OF_FILES):
        following = words[i + 1] if i + 1 < len(words) else ""
        if word == "LOAD_FILE" and following == "(":
            return "LOAD_FILE()"
        if word == "INTO" and following in ("OUTFILE", "DUMPFILE"):
            return f"SELECT INTO {following}"
        if word == "LOAD" and following in ("DATA", "XML"):
            return f"LOAD {following}"
        if word == "CREATE" and "SONAME" in words[i:]:
            return "CREATE FUNCTION ... SONAME"
        if word in ("CREATE", "ALTER") and "TABLE" in words[i : i + 5] and (found := _options(tokens, words)):
            return found
    return ""


def _options(tokens: Sequence[Token], words: Sequence[str]) -> str:
    """Where a table would lie elsewhere: in another folder, or on another server."""
    for i, word in enumerate(words):
        if word == "DIRECTORY" and words[i - 1] in ("DATA", "INDEX") and any(t.kind == STRING for t in tokens[i:]):
            return f"{words[i - 1]} DIRECTORY"
        if word == "ENGINE":
            at = i + 1 + (words[i + 1 : i + 2] == ["="])
            if at < len(tokens) and tokens[at].value.upper() in _REMOTE:
                return f"ENGINE = {tokens[at].value}"
    return ""


# --- databases --------------------------------------------------------------------------------------------------------


def _databases(tokens: Sequence[Token], words: Sequence[str], ground: Ground) -> str:
    names = [t.name for t in tokens]
    if words[:1] == ["USE"] and len(names) > 1 and names[1] and names[1].casefold() != ground.database.casefold():
        return f"USE {names[1]}"
    for i, word in places(words, _OF_DATABASES):
        if word in ("CREATE", "DROP", "ALTER") and (other := _database(words[i:], names[i:], ground.database)):
            return f"{word} DATABASE {other}"
        if word in ("GRANT", "REVOKE"):
            return ""
    return ""


def _database(words: Sequence[str], names: Sequence[str], own: str) -> str:
    at = next((i for i, w in enumerate(words[:5]) if w in ("DATABASE", "SCHEMA")), None)
    if at is None or any(w in ("(", ",", "=", ".") for w in words[:at]):
        return ""
    rest = [i for i in range(at + 1, len(words)) if words[i] not in ("IF", "NOT", "EXISTS")]
    if not rest or not names[rest[0]] or names[rest[0]].casefold() == own.casefold():
        return ""
    attribute, value = words[rest[0]], words[rest[0] + 1 : rest[0] + 2]
    options = attribute in ("CHARACTER", "CHARSET", "COLLATE", "DEFAULT")
    return "" if options or (attribute in ("COMMENT", "ENCRYPTION") and value in (["="], [""])) else names[rest[0]]


# --- tables, views, routines ------------------------------------------------------------------------------------------


def _objects(tokens: Sequence[Token], words: Sequence[str], ground: Ground) -> str:
    for i, word in places(words, _OF_OBJECTS):
        if i and words[i - 1] == ".":
            continue  # a column of that name
        if word in ("GRANT", "REVOKE"):
            return ""
        for named in _named(tokens, words, i):
            if ground.outside(named):
                return f"{word} of {_shown(named)}"
        if word in ("CREATE", "ALTER") and "TABLE" in words[i : i + 5]:
            return _called(tokens, words, ground)  # what follows are columns and options, which may be called anything
    return _called(tokens, words, ground)


def _shown(named: Named) -> str:
    return "a name that is put together" if OTHER in named.database else f"{named.database}.{named.name}"


def _named(tokens: Sequence[Token], words: Sequence[str], i: int) -> Iterator[Named]:
    """What the verb at ``i`` writes."""
    reader = _READERS.get(words[i])
    return iter(reader(tokens, words, i)) if reader else iter(())


Reader = Callable[[Sequence[Token], Sequence[str], int], Sequence[Named]]


def _past(words: Sequence[str], at: int, skipped: frozenset[str]) -> int:
    while at < len(words) and words[at] in skipped:
        at += 1
    return at


def _one(tokens: Sequence[Token], at: int) -> list[Named]:
    found = name_at(tokens, at)
    return [found] if found else []


def _truncate(tokens: Sequence[Token], words: Sequence[str], i: int) -> list[Named]:
    return listed(tokens, _past(words, i + 1, frozenset({"TABLE"})))


def _insert(tokens: Sequence[Token], words: Sequence[str], i: int) -> list[Named]:
    return _one(tokens, _past(words, i + 1, _MODIFIERS))


def _update(tokens: Sequence[Token], words: Sequence[str], i: int) -> list[Named]:
    if words[i - 1 : i] in (["KEY"], *_EVENTS):
        return []
    return written_by_update(tokens, words, _past(words, i + 1, _MODIFIERS))


def _delete(tokens: Sequence[Token], words: Sequence[str], i: int) -> list[Named]:
    if words[i - 1 : i] in _EVENTS:
        return []
    at = _past(words, i + 1, _MODIFIERS)
    history = _one(tokens, at + 2) if words[at : at + 2] == ["HISTORY", "FROM"] else []  # MariaDB: of its old rows
    return history + written_by_delete(tokens, words, at)


def _call(tokens: Sequence[Token], words: Sequence[str], i: int) -> list[Named]:
    found = _one(tokens, i + 1)
    return [] if found and (found[0].database, found[0].name) == ("sys", "table_exists") else found


def _handler(tokens: Sequence[Token], words: Sequence[str], i: int) -> list[Named]:
    return _one(tokens, i + 1)


def _tables(tokens: Sequence[Token], words: Sequence[str], i: int) -> list[Named]:
    at = _past(words, i + 1, frozenset({"NO_WRITE_TO_BINLOG", "LOCAL"}))
    return listed(tokens, at + 1) if words[at : at + 1] in (["TABLE"], ["TABLES"], ["VIEW"]) else []


def _rename(tokens: Sequence[Token], words: Sequence[str], i: int) -> list[Named]:
    if words[i + 1 : i + 2] not in (["TABLE"], ["TABLES"]):
        return []
    starts = [_past(words, i + 2, _BEHIND_NAME), *(j + 1 for j in range(i, len(words)) if words[j] in ("TO", ","))]
    return [named for at in starts for named in _one(tokens, at)]


def _make(tokens: Sequence[Token], words: Sequence[str], i: int) -> list[Named]:
    """CREATE, ALTER and DROP: the object, the table that it stands on, and where an ALTER takes it."""
    kind = next((j for j in range(i + 1, len(words)) if words[j] in _KINDS or words[j] in _NO_KINDS), None)
    if kind is None or words[kind] in _NO_KINDS:
        return []
    at = _past(words, kind + 1, _BEHIND_NAME)
    found = listed(tokens, at) if words[i] == "DROP" else _one(tokens, at)
    if words[kind] in ("INDEX", "TRIGGER") and "ON" in words[at:]:
        found += _one(tokens, words.index("ON", at) + 1)
    if words[i] == "ALTER":
        found += _moved(tokens, words, at)
    return found + _bound(tokens, words, at) if words[kind] == "TABLE" else found


def _moved(tokens: Sequence[Token], words: Sequence[str], start: int) -> list[Named]:
    """``RENAME [TO | AS | =] name`` and ``EXCHANGE PARTITION p WITH TABLE name``; MariaDB: CONVERT."""
    found: list[Named] = []
    for j in range(start, len(words)):
        if words[j] == "RENAME":
            found += _one(tokens, _past(words, j + 1, frozenset({"TO", "AS", "="})))
        if words[j] == "TABLE" and words[j - 1] in ("WITH", "TO", "CONVERT"):
            found += _one(tokens, j + 1)
    return found


def _bound(tokens: Sequence[Token], words: Sequence[str], start: int) -> list[Named]:
    """Tables that a table is tied to: by a foreign key, which hinders writes there, or in a MERGE table's UNION."""
    found: list[Named] = []
    for j in range(start, len(words)):
        if words[j] == "REFERENCES":
            found += _one(tokens, j + 1)
        if words[j] == "UNION" and "(" in words[j + 1 : j + 3]:
            found += listed(tokens, words.index("(", j) + 1)
    return found


_READERS: dict[str, Reader] = {
    "TRUNCATE": _truncate,
    "INSERT": _insert,
    "REPLACE": _insert,
    "UPDATE": _update,
    "DELETE": _delete,
    "CALL": _call,
    "HANDLER": _handler,
    "RENAME": _rename,
    **dict.fromkeys(("CREATE", "ALTER", "DROP"), _make),
    **dict.fromkeys(("LOCK", "OPTIMIZE", "REPAIR", "ANALYZE", "FLUSH"), _tables),
}
_OF_OBJECTS = frozenset({*_READERS, "GRANT", "REVOKE"})

_SEQUENCES = keywords("NEXTVAL SETVAL LASTVAL")
_OF_CALLS = _SEQUENCES | {"(", "FOR"}
_HARMLESS = re.compile(r"sys|new|old", re.IGNORECASE)  # sys only reads in functions; the others are a trigger's rows


def _called(tokens: Sequence[Token], words: Sequence[str], ground: Ground) -> str:
    """Functions and sequences of another database, which may write there."""
    for i, word in places(words, _OF_CALLS):
        named = None
        if word == "(" and i > 2 and words[i - 2] == "." and words[i - 4 : i - 3] != ["."]:
            named = name_at(tokens, i - 3) if not _is_table(words, i - 3) else None
        elif word in _SEQUENCES or (word == "FOR" and words[i - 2 : i] == ["NEXT", "VALUE"]):
            named = name_at(tokens, i + 1 + (word in _SEQUENCES))
        if named and ground.outside(named) and not _HARMLESS.fullmatch(named.database):
            return f"a call of {_shown(named)}"
    return ""


def _is_table(words: Sequence[str], at: int) -> bool:
    return at > 0 and words[at - 1] in ("FROM", "JOIN", "TABLE", "INTO", "LIKE", "TABLES")
