"""SQL texts of SQLite in one form: two that mean the same are equal, however they were written."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from seatrial.sql.tokens import NUMBER, OPERATOR, QUOTED, STRING, WORD, Token, code, quote_name

DIALECT = "sqlite"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SIMPLE = re.compile(r"[^\W\d]\w*\Z")
_KEYWORDS = _words(
    """
    ABORT ACTION ADD AFTER ALL ALTER ALWAYS AND AS ASC BEFORE BEGIN BETWEEN BY CASCADE CASE CAST CHECK COLLATE
    CONFLICT CREATE CROSS CURRENT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP DEFAULT DEFERRABLE DELETE DESC
    DISTINCT DO EACH ELSE END ESCAPE EXCEPT EXCLUDE EXISTS FAIL FILTER FIRST FOLLOWING FOR FROM FULL GENERATED
    GLOB GROUP GROUPS HAVING IF IGNORE IMMEDIATE IN INDEX INDEXED INITIALLY INNER INSERT INSTEAD INTERSECT INTO IS
    ISNULL JOIN KEY LAST LEFT LIKE LIMIT MATCH MATERIALIZED NATURAL NO NOT NOTHING NOTNULL NULL NULLS OF OFFSET ON
    OR ORDER OTHERS OUTER OVER PARTITION PRECEDING PRIMARY RAISE RANGE RECURSIVE REFERENCES REGEXP REPLACE
    RESTRICT RETURNING RIGHT ROLLBACK ROW ROWS SELECT SET TABLE THEN TIES TO TRIGGER UNBOUNDED UNION UNIQUE UPDATE
    USING VALUES VIEW VIRTUAL WHEN WHERE WINDOW WITH WITHOUT TRUE FALSE
    """
)
_FUNCTIONS = _words(
    """
    ABS CHANGES CHAR COALESCE CONCAT COUNT DATE DATETIME FORMAT HEX IFNULL IIF INSTR JSON JSON_EXTRACT JSON_VALID
    JULIANDAY LAST_INSERT_ROWID LENGTH LOWER LTRIM MAX MIN NULLIF PRINTF QUOTE RANDOM RANDOMBLOB REPLACE ROUND
    RTRIM SIGN STRFTIME SUBSTR SUBSTRING SUM AVG TOTAL TIME TRIM TYPEOF UNICODE UPPER ZEROBLOB GROUP_CONCAT
    INTEGER TEXT REAL NUMERIC BLOB VARCHAR DECIMAL
    """
)


def quoted(name: str) -> str:
    """An identifier by SQLite's rule."""
    return quote_name(name, DIALECT)


def render(tokens: Sequence[Token], names: Collection[str] = ()) -> str:
    """Tokens with one blank between them, keywords in capitals and quotes only where they are needed.

    ``names`` are the columns that the text may mention, in lower case: a keyword among them is a name here, and
    something in double quotes that is not among them is a string, as SQLite takes it (quirks page, section 8).
    """
    parts: list[str] = []
    tight = True  # no blank before the next token
    callable_before = False
    for index, token in enumerate(tokens):
        text = _text(token, names, follower=tokens[index + 1].text if index + 1 < len(tokens) else "")
        opens = token.text == "(" and callable_before
        if not (tight or opens or token.text in (",", ")", ".", ";")):
            parts.append(" ")
        parts.append(text)
        tight = token.text in ("(", ".")
        callable_before = token.kind in (WORD, QUOTED) and (text not in _KEYWORDS)
    return "".join(parts)


def _text(token: Token, names: Collection[str], *, follower: str) -> str:
    if token.kind == WORD:
        if token.text.lower() in names:
            return name_text(token.text)
        known = token.word in _KEYWORDS or (follower == "(" and token.word in _FUNCTIONS)
        return token.word if known else token.text
    if token.kind == QUOTED:
        is_name = not names or token.text[0] != '"' or token.value.lower() in names or follower in ("(", ".")
        if not is_name:
            return "'" + token.value.replace("'", "''") + "'"
        return name_text(token.value)
    if token.kind == STRING and token.text[0] in "xX":
        return token.text.upper()
    if token.kind == NUMBER:
        return token.text.lower()
    return {"==": "=", "!=": "<>"}.get(token.text, token.text) if token.kind == OPERATOR else token.text


def name_text(name: str) -> str:
    """A name, in quotes only where it needs them."""
    bare = _SIMPLE.match(name) and name.upper() not in _KEYWORDS
    return name if bare else quoted(name)


def unwrapped(tokens: Sequence[Token]) -> Sequence[Token]:
    """Tokens without parentheses around the whole: SQLite itself adds them around defaults."""
    while len(tokens) > 2 and tokens[0].text == "(" and closing(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    return tokens


def closing(tokens: Sequence[Token], opening: int) -> int:
    """The place of the parenthesis that closes the one at ``opening``."""
    depth = 0
    for index in range(opening, len(tokens)):
        if tokens[index].kind == OPERATOR:
            depth += (tokens[index].text == "(") - (tokens[index].text == ")")
        if not depth:
            return index
    return len(tokens) - 1


@lru_cache(maxsize=8192)
def default_text(text: str | None) -> str | None:
    """A column's default in one form. DEFAULT NULL is none, and a name in double quotes can only be a string."""
    if text is None:
        return None
    rendered = render(unwrapped(code(text, DIALECT)), names=("\0",))
    return None if rendered == "NULL" else rendered


def type_text(tokens: Sequence[Token]) -> str:
    """A declared type in one form: capitals, no blanks around parentheses."""
    text = " ".join(t.value if t.kind == QUOTED else t.text for t in tokens).upper()
    return re.sub(r"\s*([(),])\s*", r"\1", text).replace(",", ", ")


@lru_cache(maxsize=2048)
def type_name(text: str) -> str:
    """A type as PRAGMA table_xinfo gives it, in the same form."""
    return type_text(code(text, DIALECT))
