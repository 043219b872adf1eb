"""Statements that reach beyond the throwaway database: files, programs, other servers, other databases."""

from __future__ import annotations

import re

from seatrial.sql.tokens import STRING, Token, code

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


def reaches_outside(text: str, database: str) -> str:
    """What a statement would reach, as a sentence without its end; empty where it stays inside ``database``."""
    tokens = code(text, "postgresql")
    words = [token.word for token in tokens]
    return _command(tokens, words, database) or _calls(tokens)


def _command(tokens: list[Token], words: list[str], database: str) -> str:
    verb, rest = (words[0], words[1:]) if words else ("", [])
    if verb == "COPY":
        return _copy(tokens, words)
    if verb == "LOAD":
        return "LOAD brings a library into the server"
    if verb == "IMPORT":
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
    depth = 0
    for i, word in enumerate(words):
        depth += (word == "(") - (word == ")")
        if depth == 0 and word in ("FROM", "TO") and i + 1 < len(words):
            if words[i + 1] == "PROGRAM":
                return "COPY ... PROGRAM runs a program on the server"
            if tokens[i + 1].kind == STRING:
                return "COPY reads or writes a file on the server"
    return ""


def _calls(tokens: list[Token], depth: int = 0) -> str:
    """Calls of functions that leave the database, in bodies of functions and DO blocks as well."""
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.name in _FUNCTIONS and following is not None and following.text == "(":
            return f"{token.name}() reaches beyond the database"
        if token.kind == STRING and token.text.startswith("$") and depth < 3:
            body = code(token.value, "postgresql")
            found = _calls(body, depth + 1) or _programs(body)
            if found:
                return found
    return ""


_PROGRAM = re.compile(r"\bcopy\b.*\b(from|to)\s+program\b", re.IGNORECASE | re.DOTALL)


def _programs(body: list[Token]) -> str:
    joined = " ".join(token.text for token in body)
    return "COPY ... PROGRAM runs a program on the server" if _PROGRAM.search(joined) else ""
