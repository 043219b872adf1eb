"""Statements that reach beyond the throwaway database: files, programs, other servers, other databases."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, zip_longest

from seatrial.engines._postgresql_own import with_own_name
from seatrial.sql.tokens import PARAMETER, STRING, Token, code
from seatrial.sql.tokens import words as keywords

_FUNCTIONS = frozenset(
    [
        "dblink",
        "dblink_connect",
        "dblink_connect_u",
        "dblink_exec",
        "dblink_open",
        "dblink_send_query",
        "lo_import",
        "lo_export",
        "pg_read_file",
        "pg_read_binary_file",
        "pg_ls_dir",
        "pg_ls_logdir",
        "pg_ls_waldir",
        "pg_stat_file",
        "pg_file_write",
        "pg_file_unlink",
        "pg_file_rename",
        "pg_terminate_backend",
        "pg_cancel_backend",
        "pg_reload_conf",
        "pg_promote",
        "pg_switch_wal",
        "pg_create_physical_replication_slot",
        "pg_drop_replication_slot",
        "pg_execute_server_program",
    ]
)
_MADE = {
    ("SERVER",): "a foreign server",
    ("FOREIGN", "DATA"): "a foreign data wrapper",
    ("USER", "MAPPING"): "a user mapping",
    ("SUBSCRIPTION",): "a subscription",
    ("TABLESPACE",): "a tablespace",
    ("DATABASE",): "another database",
    ("SYSTEM",): "the server's settings",
}


# Behind these words of a body a command begins (manual, 43.2 and 43.6).
_BEGINNINGS = keywords("; BEGIN DECLARE THEN ELSE LOOP >>")
# What stands in the strings of these is a message or a value, unless EXECUTE stands there too.
_PLAIN = keywords("RAISE ASSERT INSERT UPDATE DELETE MERGE COMMENT PERFORM")
# Functions that run the text that they are given.
_EVALUATE = frozenset(
    [
        "query_to_xml",
        "query_to_xmlschema",
        "query_to_xml_and_xmlschema",
        "ts_stat",
        "ts_rewrite",
        "crosstab",
        "connectby",
    ]
)
_DEEPEST = 4  # text within text; nobody writes more


def reaches_outside(text: str, database: str) -> str:
    """What a statement would reach, as a sentence without its end; empty where it stays inside ``database``."""
    return _statement(code(text, "postgresql"), database, 0)


def _statement(tokens: list[Token], database: str, depth: int) -> str:
    found = _command(tokens, [token.word for token in tokens], database) or _calls(tokens)
    if found or depth > _DEEPEST:
        return found
    return next(filter(None, (_body(text, database, depth + 1) for text in _bodies(tokens))), "")


def _body(text: str, database: str, depth: int) -> str:
    """The commands of a function, of a DO block, or of a text that one of them builds and executes."""
    for tokens in with_own_name(list(_commands(code(text, "postgresql"))), database):
        found = _statement(tokens, database, depth)
        if found:
            return found
        for built in _built(tokens):
            if found := _body(built, database, depth + 1) if depth < _DEEPEST else "":
                return found
    return ""


def _commands(tokens: list[Token]) -> Iterator[list[Token]]:
    """The tokens, cut wherever a command may begin."""
    command: list[Token] = []
    for token in tokens:
        if token.word in _BEGINNINGS:
            yield command
            command = []
        else:
            command.append(token)
    yield command


def _bodies(tokens: list[Token]) -> list[str]:
    """Strings that hold code: all of a DO or of a function however quoted, and what dollars quote unless it is data."""
    words = [token.word for token in tokens[:4]]
    routine = words[:1] == ["CREATE"] and bool({"FUNCTION", "PROCEDURE"} & set(words))
    is_code = routine or words[:1] == ["DO"] or any(token.name in _EVALUATE for token in tokens)
    plain = not tokens or tokens[0].word in _PLAIN
    return [text for text, dollars in _strings(tokens) if is_code or (dollars and not plain)]


def _built(tokens: list[Token]) -> list[str]:
    """Texts that a command of a body may execute, each by itself and put together: what stands between is unknown."""
    words = {token.word for token in tokens}
    if tokens and tokens[0].word in _PLAIN and "EXECUTE" not in words:
        return []
    if not words & {"EXECUTE", ":=", "=", "DEFAULT", "SELECT"}:
        return []
    texts = [text for text, _ in _strings(tokens)]
    return [*texts, " x ".join(texts)] if len(texts) > 1 else texts


def _strings(tokens: list[Token]) -> Iterator[tuple[str, bool]]:
    """The strings of a statement, and whether dollars quote them; neighbours are one string (manual, 4.1.2.1)."""
    text, dollars = "", False
    for token, following in zip_longest(tokens, tokens[1:]):
        if token.kind == STRING:
            text, dollars = text + token.value, dollars or token.text.startswith("$")
            if following is None or following.kind != STRING:
                yield text, dollars
                text, dollars = "", False


def _command(tokens: list[Token], words: list[str], database: str) -> str:
    verb, rest = (words[0], words[1:]) if words else ("", [])
    if verb == "DO" and any(token.kind == PARAMETER for token in tokens):
        return "DO runs a text that is bound to it"
    if verb == "COPY":
        return _copy(tokens, words)
    if verb == "LOAD" and len(tokens) == 2 and tokens[1].kind == STRING:
        return "LOAD brings a library into the server"
    if verb == "IMPORT" and rest[:1] == ["FOREIGN"]:
        return "IMPORT FOREIGN SCHEMA reads another server"
    if verb in ("CREATE", "ALTER", "DROP"):
        return _made(tokens, verb, rest, database)
    return ""


def _made(tokens: list[Token], verb: str, rest: list[str], database: str) -> str:
    for words, what in _MADE.items():
        if tuple(rest[: len(words)]) == words:
            own = words == ("DATABASE",) and verb == "ALTER" and len(tokens) > 2 and tokens[2].name == database
            return "" if own else f"{verb} {' '.join(words)} reaches {what}"
    return ""


def _copy(tokens: list[Token], words: list[str]) -> str:
    """The first FROM or TO outside parentheses says where to; in a text that is built, its end is unknown."""
    depth = 0
    for i, word in enumerate(words):
        depth += (word == "(") - (word == ")")
        if depth == 0 and word in ("FROM", "TO"):
            if words[i + 1 : i + 2] == ["PROGRAM"]:
                return "COPY ... PROGRAM runs a program on the server"
            beyond = i + 1 == len(words) or tokens[i + 1].kind in (STRING, PARAMETER) or words[i + 1] in ("%", "%%")
            return "COPY reads or writes a file on the server" if beyond else ""
    return ""


def _calls(tokens: list[Token]) -> str:
    """Calls of functions that leave the database."""
    for token, following in pairwise(tokens):
        if token.name in _FUNCTIONS and following.text == "(":
            return f"{token.name}() reaches beyond the database"
    return ""
