"""Whether an expression gives the same value every time."""

from __future__ import annotations

from seatrial.sql.cursor import Tokens
from seatrial.sql.tokens import STRING, WORD, code, words

_RANDOM = words(
    "RANDOM RANDOMBLOB RAND UUID UUID_SHORT SYS_GUID GEN_RANDOM_UUID GEN_RANDOM_BYTES UUIDV4 UUIDV7 NEWID "
    "RANDOM_BYTES NEXTVAL LASTVAL CURRVAL SETVAL TXID_CURRENT PG_BACKEND_PID CONNECTION_ID LAST_INSERT_ID "
    "LAST_INSERT_ROWID GEN_SALT RANDOM_NORMAL SETSEED PG_CURRENT_XACT_ID CHANGES TOTAL_CHANGES "
    "LO_CREAT LO_CREATE LO_FROM_BYTEA LO_IMPORT"
)
_TIME_CALLS = words(
    "NOW CLOCK_TIMESTAMP STATEMENT_TIMESTAMP TRANSACTION_TIMESTAMP TIMEOFDAY SYSDATE CURDATE CURTIME UTC_DATE "
    "UTC_TIME UTC_TIMESTAMP UNIXEPOCH GETDATE AGE"
)
_TIME_WORDS = words(
    "CURRENT_TIMESTAMP CURRENT_DATE CURRENT_TIME LOCALTIME LOCALTIMESTAMP SYSDATE UTC_DATE UTC_TIME "
    "UTC_TIMESTAMP SYSTIMESTAMP"
)
_SQLITE_TIME = frozenset(["DATE", "TIME", "DATETIME", "JULIANDAY", "UNIXEPOCH", "STRFTIME", "TIMEDIFF"])


def is_nondeterministic(expression: str, dialect: str) -> bool:
    """Whether an expression takes its value from chance, the clock or a sequence."""
    return is_random(code(expression, dialect), dialect) or reads_clock(code(expression, dialect), dialect)


def varies(tokens: Tokens, dialect: str) -> bool:
    """The same for tokens."""
    return is_random(tokens, dialect) or reads_clock(tokens, dialect)


def is_random(tokens: Tokens, dialect: str) -> bool:
    """Whether chance, a sequence or the session decides."""
    for i, token in enumerate(tokens):
        called = i + 1 < len(tokens) and tokens[i + 1].word == "("
        if called and (token.word in _RANDOM or token.word.startswith("UUID_GENERATE_")):
            return True
        if token.word in ("NEXTVAL", "NEXT") and i + 1 < len(tokens) and tokens[i + 1].word in ("VALUE", "FOR"):
            return True  # MariaDB: NEXT VALUE FOR s
    return False


def reads_clock(tokens: Tokens, dialect: str) -> bool:
    """Whether the moment decides."""
    return any(_is_clock(tokens, i, dialect) for i in range(len(tokens)))


def _is_clock(tokens: Tokens, i: int, dialect: str) -> bool:
    token = tokens[i]
    after = tokens[i + 1].word if i + 1 < len(tokens) else ""
    before = tokens[i - 1].word if i else ""
    if token.kind == STRING:
        return dialect == "postgresql" and token.value.strip().lower() in ("now", "today", "tomorrow", "yesterday")
    if token.kind != WORD or before == ".":
        return False
    if token.word in _TIME_WORDS:
        return True
    if after != "(":
        return False
    arguments = _arguments(tokens, i + 1)
    if dialect == "sqlite" and token.word in _SQLITE_TIME:
        moment = arguments[1:] if token.word == "STRFTIME" else arguments
        wants = 1 if token.word == "STRFTIME" else 0
        return len(arguments) <= wants or any(t.kind == STRING and t.value.lower() == "now" for t in moment)
    if token.word in ("AGE", "UNIX_TIMESTAMP"):
        commas = sum(t.word == "," for t in arguments)
        return commas == 0 if token.word == "AGE" else not arguments
    return token.word in _TIME_CALLS


def _arguments(tokens: Tokens, opened: int) -> Tokens:
    depth = 0
    for i in range(opened, len(tokens)):
        depth += (tokens[i].word == "(") - (tokens[i].word == ")")
        if depth == 0:
            return tokens[opened + 1 : i]
    return tokens[opened + 1 :]
