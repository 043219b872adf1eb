"""Texts that a statement may give to PREPARE or EXECUTE IMMEDIATE, now or later by way of a variable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from seatrial.engines._mysql_targets import OTHER
from seatrial.sql.cursor import closing
from seatrial.sql.tokens import STRING, VARIABLE, Token, code
from seatrial.sql.tokens import words as keywords

_ASSIGN = keywords("SET DECLARE CALL PREPARE IMMEDIATE")
_ROWS = keywords("INSERT REPLACE UPDATE DELETE")
_JOINED = keywords("CONCAT CONCAT_WS GROUP_CONCAT")
_SCHEMAS = keywords("TABLE_SCHEMA CONSTRAINT_SCHEMA ROUTINE_SCHEMA TRIGGER_SCHEMA EVENT_SCHEMA")
_VERBS = keywords(
    "ALTER ANALYZE CALL CHANGE CREATE DELETE DROP FLUSH GRANT HANDLER INSERT INSTALL KILL LOAD LOCK OPTIMIZE PURGE"
    " RENAME REPAIR REPLACE RESET RESTART REVOKE SELECT SET SHUTDOWN TRUNCATE UNINSTALL UPDATE WITH BEGIN IF"
)


def texts(tokens: Sequence[Token], database: str, *, guessed: bool) -> Iterator[str]:
    """Literals that read as statements, and, where ``guessed``, what CONCAT makes of its arguments.

    What is no literal there stands as ``OTHER`` (nothing is known of it), DATABASE() as the database's own name.
    """
    if not _may_run(tokens):
        return
    for i, token in enumerate(tokens):
        if token.kind == STRING and _reads_as_statement(token.value):
            yield token.value
        if guessed and token.word in _JOINED and i + 1 < len(tokens) and tokens[i + 1].word == "(":
            built, _ = _concatenated(_own_schema(tokens, database), i + 1, database)
            if _reads_as_statement(built):
                yield built


def _may_run(tokens: Sequence[Token]) -> bool:
    """Whether texts go into variables or are run here, and not into rows."""
    words = [t.word for t in tokens]
    if words[:1] in (["CREATE"], ["ALTER"]) and "TABLE" in words[:5]:
        return False  # its texts are comments and defaults
    rows = any(w in _ROWS and words[i + 1 : i + 2] != ["("] for i, w in enumerate(words))
    into = any(w == "INTO" and t.kind == VARIABLE for w, t in zip(words, tokens[1:], strict=False))
    return not rows and (bool(_ASSIGN & set(words)) or ":=" in words or into)


def _reads_as_statement(text: str) -> bool:
    first = next(iter(code(text[:200], "mysql")), None)
    return (first is not None and first.word in _VERBS) or text.lstrip().startswith("/*")


def _own_schema(tokens: Sequence[Token], database: str) -> Sequence[Token]:
    """TABLE_SCHEMA is our own where the same statement compares it with DATABASE()."""
    words = [t.word for t in tokens]
    asked = any(w in ("DATABASE", "SCHEMA") and words[i + 1 : i + 2] == ["("] for i, w in enumerate(words))
    if not asked:
        return tokens
    return [replace(t, kind=STRING, value=database) if t.word in _SCHEMAS else t for t in tokens]


def _concatenated(tokens: Sequence[Token], opened: int, database: str) -> tuple[str, int]:
    """The text that the arguments behind the parenthesis at ``opened`` make, and where it closes."""
    built: list[str] = []
    argument, i = "", opened + 1
    while i < len(tokens) and tokens[i].word != ")":
        word = tokens[i].word
        nested = i + 1 < len(tokens) and tokens[i + 1].word == "("
        if word == ",":
            built.append(argument)
            argument = ""
        elif nested and word in _JOINED:
            argument, i = _concatenated(tokens, i + 1, database)
        elif nested or word == "(":
            argument = database if word in ("DATABASE", "SCHEMA") else OTHER
            i = closing(tokens, i + nested, len(tokens))
        elif word in ("SEPARATOR", "ORDER"):
            i = closing(tokens, opened, len(tokens))
            break
        else:
            argument = tokens[i].value if tokens[i].kind == STRING and not argument else OTHER
        i += 1
    built.append(argument)
    return (built[0].join(built[1:]) if tokens[opened - 1].word == "CONCAT_WS" else "".join(built)), i
