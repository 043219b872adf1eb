"""Statements that change the server itself, or accounts on it that the run did not make."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from seatrial.sql.cursor import find
from seatrial.sql.tokens import NUMBER, QUOTED, STRING, WORD, Token
from seatrial.sql.tokens import words as keywords

Others = Callable[[str, str], bool]
"""Whether an account, by user and host, stands on the server and is not the run's own."""

_WIDE = {
    "INSTALL": "PLUGIN COMPONENT SONAME",
    "UNINSTALL": "PLUGIN COMPONENT SONAME",
    "RESET": "MASTER SLAVE REPLICA QUERY PERSIST BINARY",
    "PURGE": "BINARY MASTER",
    "CHANGE": "MASTER REPLICATION",
    "START": "SLAVE SLAVES REPLICA REPLICAS GROUP_REPLICATION ALL",
    "STOP": "SLAVE SLAVES REPLICA REPLICAS GROUP_REPLICATION ALL",
    "CREATE": "SERVER TABLESPACE UNDO LOGFILE RESOURCE",
    "ALTER": "SERVER TABLESPACE UNDO LOGFILE RESOURCE INSTANCE",
    "DROP": "SERVER TABLESPACE UNDO LOGFILE RESOURCE",
    "LOCK": "INSTANCE",
    "CACHE": "INDEX",
    "IMPORT": "TABLE",
    "SHUTDOWN": "WAIT",
    "BACKUP": "STAGE LOCK",
    "CLONE": "LOCAL INSTANCE",
}
"""Verb and what it has to stand before; all of them change the server beyond any database."""

_OF_SERVER = frozenset({*_WIDE, *keywords("GRANT REVOKE SPATIAL OR SHUTDOWN RESTART BINLOG SET FLUSH KILL")})
_BLOCKING = keywords("TABLES TABLE HOSTS LOGS PRIVILEGES STATUS USER_RESOURCES BINARY ENGINE ERROR GENERAL RELAY")
_GLOBALS = re.compile(r"@@(?:global|persist|persist_only)(?:\.|$)", re.IGNORECASE)
_SCOPES = frozenset({"GLOBAL", "PERSIST", "PERSIST_ONLY"})
_KILLS = keywords("CONNECTION QUERY HARD SOFT USER ID")


def places(words: Sequence[str], wanted: frozenset[str]) -> list[tuple[int, str]]:
    """Where words of interest stand; a seed's INSERT has hundreds of thousands of others."""
    return [(i, word) for i, word in enumerate(words) if word in wanted]


def nobody(user: str, host: str) -> bool:
    """No account is another's."""
    return False


def server_wide(tokens: Sequence[Token], words: Sequence[str], *, own_server: bool) -> str:
    """The words that change the server; on one of the run's own its settings and sessions may be changed."""
    for i, word in places(words, _OF_SERVER):
        following = words[i + 1] if i + 1 < len(words) else ""
        if word in ("GRANT", "REVOKE"):
            return ""
        if word in _WIDE and following in _WIDE[word].split() and not _is_column(words, i):
            return f"{word} {following}"
        if words[i : i + 2] == ["SPATIAL", "REFERENCE"] or words[i : i + 3] == ["OR", "REPLACE", "SERVER"]:
            return " ".join(words[: i + 3])
        if word == "SHUTDOWN" and i + 1 == len(words) and (i == 0 or words[i - 1] in _BEGINNINGS):
            return word
        if (word == "RESTART" and len(words) == 1) or (word == "BINLOG" and i == 0 and len(words) == 2):
            return word
        if not own_server and (found := _shared(tokens, words, i)):
            return found
    return ""


_BEGINNINGS = keywords("BEGIN THEN ELSE DO LOOP REPEAT ROW )")


def _is_column(words: Sequence[str], i: int) -> bool:
    """Whether the verb stands in a table's definition, where its next word is a column's name."""
    return words[i - 1 : i] == ["."] or "TABLE" in words[:i]


def _shared(tokens: Sequence[Token], words: Sequence[str], i: int) -> str:
    """What others on the server would notice."""
    rest = words[i + 1 : i + 3]
    if words[i] == "SET":
        return next((f"SET {scope}" for scope in _scopes(tokens, words, i)), "")
    if words[i] == "FLUSH" and (i == 0 or words[i - 1] in _BEGINNINGS) and rest[:1] and (_BLOCKING & set(rest)):
        return f"FLUSH {rest[0]}" if not _spares_others(words[i:]) else ""
    if words[i] == "KILL" and not _is_column(words, i) and i + 1 < len(tokens):
        own = any(w == "CONNECTION_ID" for w in words[i:])
        return "" if own or not (rest[0] in _KILLS or tokens[i + 1].kind == NUMBER or i == 0) else "KILL"
    return ""


def _spares_others(words: Sequence[str]) -> bool:
    """Re-reading rights or status closes nobody's tables; a table by name is only closed by itself."""
    return words[1:2] in (["PRIVILEGES"], ["STATUS"]) or (
        words[1:2] in (["TABLE"], ["TABLES"]) and len(words) > 2 and words[2] != "WITH"
    )


def _scopes(tokens: Sequence[Token], words: Sequence[str], start: int) -> Iterator[str]:
    """Server variables among those that a SET gives a value to."""
    depth, expected = 0, True
    for i in range(start + 1, len(tokens)):
        if expected and words[i] in _SCOPES and i + 1 < len(tokens) and words[i + 1] not in ("=", ":=", "TRANSACTION"):
            yield words[i]
        if expected and words[i] == "GLOBAL" and words[i + 1 : i + 2] == ["TRANSACTION"]:
            yield words[i]
        if expected and _GLOBALS.match(tokens[i].text):
            yield tokens[i].text[2:].partition(".")[0].upper()
        depth += (words[i] == "(") - (words[i] == ")")
        expected = depth == 0 and words[i] == ","


# --- accounts ---------------------------------------------------------------------------------------------------------


def accounts_changed(tokens: Sequence[Token], words: Sequence[str], others: Others) -> str:
    """The words of a statement that changes an account of somebody else's."""
    for i, word in places(words, _ACCOUNTS):
        if not _is_column(words, i) and words[i - 1 : i] != ["SHOW"]:
            for user, host in _changed(tokens, words, i):
                if not user or others(user, host):
                    return f"{word} {'of' if word in ('GRANT', 'REVOKE') else words[i + 1]} {user or 'the own account'}"
            if word in ("GRANT", "REVOKE"):
                return ""
    return ""


_ACCOUNTS = keywords("CREATE ALTER DROP RENAME SET GRANT REVOKE")
_BEHIND = keywords("IF NOT EXISTS")


def _changed(tokens: Sequence[Token], words: Sequence[str], i: int) -> Iterator[tuple[str, str]]:
    """User and host of each account that the verb at ``i`` changes; the user is empty for the session's own."""
    rest = list(words[i + 1 : i + 4])
    if words[i] in ("GRANT", "REVOKE"):
        at = find(tokens, i, len(tokens), "TO" if words[i] == "GRANT" else "FROM")
        yield from _listed(tokens, words, at + 1)
    elif words[i] == "SET":
        yield from _set(tokens, words, i)
    elif words[i] == "CREATE" and rest[:2] == ["OR", "REPLACE"] and rest[2:3] in (["USER"], ["ROLE"]):
        yield from _listed(tokens, words, i + 4)
    elif words[i] != "CREATE" and rest[:1] in (["USER"], ["ROLE"]):
        at = i + 2
        while at < len(words) and words[at] in _BEHIND:
            at += 1
        yield from _listed(tokens, words, at)


def _set(tokens: Sequence[Token], words: Sequence[str], i: int) -> Iterator[tuple[str, str]]:
    if i and not (words[i - 1] in _BEGINNINGS and (words[i - 1] != ")" or words[0] == "CREATE")):
        return  # of an UPDATE
    if words[i + 1 : i + 2] == ["PASSWORD"]:
        if words[i + 2 : i + 3] == ["FOR"]:
            yield from _listed(tokens, words, i + 3)
        else:
            yield "", ""
    if words[i + 1 : i + 3] == ["DEFAULT", "ROLE"]:
        at = next((j for j in range(i, len(words)) if words[j] in ("TO", "FOR")), None)
        yield from _listed(tokens, words, at + 1) if at else (("", ""),)


def _listed(tokens: Sequence[Token], words: Sequence[str], at: int) -> Iterator[tuple[str, str]]:
    depth, expected = 0, True
    for i in range(at, len(tokens)):
        if expected:
            yield _account(tokens, i)
        depth += (words[i] == "(") - (words[i] == ")")
        expected = depth == 0 and words[i] in (",", "TO")  # TO: of RENAME USER


def _account(tokens: Sequence[Token], at: int) -> tuple[str, str]:
    token = tokens[at]
    if token.word in ("CURRENT_USER", "USER", "SESSION_USER", "SYSTEM_USER") or token.kind not in (
        WORD,
        QUOTED,
        STRING,
    ):
        return "", ""
    following = tokens[at + 1] if at + 1 < len(tokens) else token
    if following.text == "@" and at + 2 < len(tokens):
        return token.value, tokens[at + 2].value
    return token.value, following.text[1:].strip("'\"`") if following.text.startswith("@") else ""
