"""SQL text as tokens, exactly as each engine's own scanner cuts it.

Blanks are no tokens; everything else is, so that the text between two tokens is always blank. Text that an engine would
refuse (a string without an end) still gives tokens: the last one reaches to the end of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from seatrial.values import dataclass

WORD = "word"
QUOTED = "quoted"  # a quoted identifier
STRING = "string"
NUMBER = "number"
OPERATOR = "operator"
COMMENT = "comment"
PARAMETER = "parameter"  # a placeholder of a driver: ?, $1, :name, %s, %(name)s
VARIABLE = "variable"  # MySQL's @name and @@name

NAME_BYTES = 63  # PostgreSQL cuts longer names (manual, 4.1.1)


def words(text: str) -> frozenset[str]:
    """A set of keywords, written as one text."""
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Token:
    """``value`` is a string's or a quoted name's content without quotes and escapes, else the text itself.

    ``name`` is the identifier as the engine would store it (empty where the token cannot be one); ``word`` is a bare
    word in capitals or an operator, to compare keywords with (empty for everything quoted).
    """

    kind: str
    text: str
    value: str
    start: int
    end: int
    line: int
    name: str
    word: str


_BLANK = r"(?P<blank>\s+)"
_DOLLAR_STRING = r"(?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$)"
_PG_NAME = r"[^\W\d][\w$]*"
_NUMBER = r"0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:\d[\d_]*(?:\.(?!\.)[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?"
_FORMAT = r"%\(\w+\)[a-zA-Z]|%s(?![\w$(])"
_STANDARD = r"'[^']*+(?:''[^']*+)*+(?:'|\Z)"
_ESCAPED = r"'[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+(?:'|\\?\Z)"
_ESCAPED_DOUBLE = r'"[^"\\]*+(?:(?:""|\\.)[^"\\]*+)*+(?:"|\\?\Z)'
_DOUBLE = r'"[^"]*+(?:""[^"]*+)*+(?:"|\Z)'
_BACKTICK = r"`[^`]*+(?:``[^`]*+)*+(?:`|\Z)"
_LONG_OPERATORS = (
    r"<=>|->>|#>>|\|\|/|!~~\*|!~\*|!~~|~~\*|<->|<@>|@>|<@|@@|@\?|\?\||\?&|#>|#-(?!-)|->|::|:=|=>"
    r"|\|\||&&|<=|>=|<>|!=|==|<<|>>|~\*|!~|~~|\^@|-\|-|\.\.|%%"
)

_PATTERNS = {
    "sqlite": [
        _BLANK,
        r"(?P<comment>--[^\n]*)",
        r"(?P<block>/\*)",
        rf"(?P<string>[xX]?{_STANDARD})",
        rf"(?P<quoted>{_DOUBLE}|{_BACKTICK}|\[[^\]]*(?:\]|\Z))",
        rf"(?P<parameter>\?\d*|(?<![\w$:])[:@][\w$]+|\$[\w$]+(?:::[\w$]+)*|{_FORMAT})",
        rf"(?P<word>{_PG_NAME})",
        rf"(?P<number>{_NUMBER})",
        rf"(?P<operator>{_LONG_OPERATORS}|.)",
    ],
    "postgresql": [
        _BLANK,
        r"(?P<comment>--[^\n]*)",
        r"(?P<block>/\*)",
        rf"(?P<string>[eE]{_ESCAPED}|[uU]&{_STANDARD}|[bBxXnN]?{_STANDARD})",
        rf"(?P<quoted>(?:[uU]&)?{_DOUBLE})",
        _DOLLAR_STRING,
        rf"(?P<parameter>\$\d+|(?<![\w$:\"\])]):[^\W\d]\w*|{_FORMAT})",
        rf"(?P<word>{_PG_NAME})",
        rf"(?P<number>{_NUMBER})",
        rf"(?P<operator>{_LONG_OPERATORS}|.)",
    ],
    "mysql": [
        _BLANK,
        r"(?P<comment>--(?=[\s\x00-\x1f]|\Z)[^\n]*|\#[^\n]*)",
        r"(?P<block>/\*)",
        rf"(?P<string>[xXbBnN]?{_ESCAPED}|{_ESCAPED_DOUBLE})",
        rf"(?P<quoted>{_BACKTICK})",
        r"(?P<variable>@@?(?:`[^`]*`|'[^']*'|\"[^\"]*\"|[\w$.]+))",
        rf"(?P<parameter>\?|(?<![\w$:`\"')]):[^\W\d]\w*|{_FORMAT})",
        r"(?P<word>(?:(?!\d+[eE][+-]?\d|\d+[eE]?\b(?![$])|0[xX][0-9a-fA-F]+\b|0b[01]+\b)[\w$]*[^\W\d][\w$]*|\$[\w$]*))",
        rf"(?P<number>{_NUMBER})",
        r"(?P<operator><=>|->>|->|:=|\|\||&&|<=|>=|<>|!=|<<|>>|\.\.|%%|.)",
    ],
}
_SCANNERS = {d: re.compile("|".join(parts), re.DOTALL) for d, parts in _PATTERNS.items()}
_SCANNERS["mariadb"] = _SCANNERS["mysql"]
_NESTED = re.compile(r"/\*|\*/")
_EXECUTABLE = re.compile(r"/\*(M?)!(\d{5,6})?")

# Statements whose first word says that no semicolon stands inside them but in strings and comments are cut with these.
_RUNS = {
    "sqlite": [r"(?P<run>[^'\"`;/\[\-]+)", rf"(?P<quote>{_STANDARD}|{_DOUBLE}|{_BACKTICK}|\[[^\]]*(?:\]|\Z))"],
    "postgresql": [
        r"(?P<run>[^'\";/$\\\-]+)",
        rf"(?P<quote>(?<=[eE])(?<![\w$][eE]){_ESCAPED}|{_STANDARD}|{_DOUBLE})",
        r"(?P<dollar>(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$)",
    ],
    "mysql": [r"(?P<run>[^'\"`;/#\-]+)", rf"(?P<quote>{_ESCAPED}|{_ESCAPED_DOUBLE}|{_BACKTICK})"],
}
_FAST = {
    d: re.compile("|".join([*parts, _PATTERNS[d][1], _PATTERNS[d][2], "."]), re.DOTALL) for d, parts in _RUNS.items()
}
_FAST["mariadb"] = _FAST["mysql"]


def simple_end(text: str, dialect: str, start: int) -> tuple[int, int] | None:
    """Where a plain statement's last token ends, and where its ``;`` does; None where a closer look is needed."""
    match = _FAST[dialect].match
    position, length, last = start, len(text), start
    while position < length:
        found = match(text, position)
        kind, end = (found.lastgroup, found.end()) if found else ("", position + 1)
        if kind in ("block", "dollar", "tag") or text[position] == "\\":
            if text[position] != "$":
                return None  # a block comment may be executable, and nest; a backslash is psql's
            _, end, _ = _long(text, dialect, position, end, 0)
        if text[position] == ";":
            return last, position + 1
        if kind != "comment" and (token := text[position:end].rstrip()):  # a run of blanks behind a comment is none
            last = position + len(token) if kind == "run" else end
        position = end
    return last, length


Piece = tuple[str, int, int]  # kind, start, end


def scan(text: str, dialect: str, start: int = 0) -> Iterator[Piece]:
    """The tokens' kinds and places, without blanks; cheap enough for a dump of many megabytes."""
    match = _SCANNERS[dialect].match
    position, length, executable = start, len(text), 0
    while position < length:
        found = match(text, position)
        kind = (found.lastgroup or "") if found else ""
        end = found.end() if found else position + 1
        if kind in ("block", "tag", "dollar"):
            kind, end, executable = _long(text, dialect, position, end, executable)
        elif executable and text.startswith("*/", position):
            kind, end, executable = COMMENT, position + 2, executable - 1
        if kind != "blank":
            yield kind or OPERATOR, position, end
        position = end


def _long(text: str, dialect: str, start: int, opened: int, executable: int) -> tuple[str, int, int]:
    """A block comment or a dollar-quoted string: kind, end, and how many executable comments are open now."""
    if text[start] == "$":
        close = text.find(text[start:opened], opened)
        return STRING, len(text) if close < 0 else close + opened - start, executable
    marker = _EXECUTABLE.match(text, start) if dialect in ("mysql", "mariadb") else None
    if marker and _is_executed(marker, dialect):
        return COMMENT, marker.end(), executable + 1
    return COMMENT, _comment_end(text, opened, nested=dialect == "postgresql"), executable


def _is_executed(marker: re.Match[str], dialect: str) -> bool:
    """Whether the server runs what stands in ``/*! */``.

    MariaDB skips MySQL's 5.7 and later versions (manual, "Comment Syntax"); 99999 and 999999 are used as "never".
    """
    version = int(marker[2] or 0)
    if version in (99999, 999999) or (marker[1] and dialect == "mysql"):
        return False
    return not (dialect == "mariadb" and not marker[1] and 50700 <= version <= 99999)


def _comment_end(text: str, position: int, *, nested: bool) -> int:
    if not nested:
        close = text.find("*/", position)
        return len(text) if close < 0 else close + 2
    depth = 1
    for found in _NESTED.finditer(text, position):
        depth += 1 if found[0] == "/*" else -1
        if not depth:
            return found.end()
    return len(text)


def tokenize(text: str, dialect: str) -> list[Token]:
    """All tokens of a text; ``dialect`` is "sqlite", "postgresql", "mysql" or "mariadb"."""
    tokens: list[Token] = []
    line, counted = 1, 0
    for kind, start, end in scan(text, dialect):
        line, counted = line + text.count("\n", counted, start), start
        if kind == OPERATOR and dialect == "postgresql" and text[start:end] == "?" and _expects_operand(tokens):
            kind = PARAMETER
        tokens.append(_token(kind, text[start:end], start, end, line, dialect))
    return tokens


def code(text: str, dialect: str) -> list[Token]:
    """The tokens without comments."""
    return [t for t in tokenize(text, dialect) if t.kind != COMMENT]


def _expects_operand(tokens: list[Token]) -> bool:
    """Whether a ``?`` here is a placeholder: PostgreSQL also has an operator of that name (jsonb)."""
    before = next((t for t in reversed(tokens) if t.kind != COMMENT), None)
    if before is None:
        return True
    return (before.kind == OPERATOR and before.text not in (")", "]")) or before.word in _BEFORE_OPERAND


_BEFORE_OPERAND = words("WHERE AND OR NOT LIMIT OFFSET LIKE ILIKE BETWEEN VALUES SELECT")


def _token(kind: str, text: str, start: int, end: int, line: int, dialect: str) -> Token:
    if kind == WORD:
        return Token(kind, text, text, start, end, line, fold(text, dialect), text.upper())
    if kind == QUOTED:
        value = unquote_name(text)
        return Token(kind, text, value, start, end, line, _cut(value) if dialect == "postgresql" else value, "")
    if kind == STRING:
        return Token(kind, text, unquote_string(text, dialect), start, end, line, "", "")
    return Token(kind, text, text, start, end, line, "", text if kind == OPERATOR else "")


def fold(name: str, dialect: str) -> str:
    """An unquoted name as the engine stores it: PostgreSQL folds to lower case and cuts at 63 bytes."""
    return _cut(_lower(name)) if dialect == "postgresql" else name


def _lower(name: str) -> str:
    """Only ASCII: in UTF-8 databases PostgreSQL leaves other letters alone (downcase_identifier in scansup.c)."""
    return name.lower() if name.isascii() else "".join(c.lower() if c.isascii() else c for c in name)


def _cut(name: str) -> str:
    if len(name) * 4 <= NAME_BYTES or len(name.encode(errors="replace")) <= NAME_BYTES:
        return name
    return name.encode(errors="replace")[:NAME_BYTES].decode(errors="ignore")


def unquote_name(text: str) -> str:
    """The raw name in ``"a"``, ``[a]``, ```a``` or ``U&"a"``."""
    if text[:2] in ("U&", "u&"):
        return _unicode(unquote_name(text[2:]))
    quote = "]" if text[0] == "[" else text[0]
    body = text[1:-1] if len(text) > 1 and text[-1] == quote else text[1:]
    return body if quote == "]" else body.replace(quote * 2, quote)


def quote_name(name: str, dialect: str) -> str:
    """A name quoted by the engine's rule."""
    mark = "`" if dialect in ("mysql", "mariadb") else '"'
    return mark + name.replace(mark, mark * 2) + mark


def quote_string(value: str, dialect: str) -> str:
    """A value as a string literal."""
    if dialect in ("mysql", "mariadb"):
        value = value.replace("\\", "\\\\")
    return "'" + value.replace("'", "''") + "'"


_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "Z": "\x1a"}
_UNICODE = re.compile(r"\\(?:(\\)|\+([0-9a-fA-F]{6})|([0-9a-fA-F]{4}))")


def unquote_string(text: str, dialect: str) -> str:
    """A literal's content. Binary and bit literals keep their digits."""
    if text[0] == "$":
        tag = text[: text.index("$", 1) + 1]
        body = text[len(tag) :]
        return body[: -len(tag)] if body.endswith(tag) else body
    if text[:2] in ("U&", "u&"):
        return _unicode(unquote_string(text[2:], "sqlite"))
    escapes = dialect in ("mysql", "mariadb") or text[0] in "eE"
    bare = text if text[0] in "'\"" else text[1:]
    quote = bare[0]
    body = bare[1:-1] if len(bare) > 1 and bare[-1] == quote else bare[1:]
    body = body.replace(quote * 2, quote)
    if not escapes or "\\" not in body:
        return body
    return _ESCAPE.sub(_mysql_escape if dialect in ("mysql", "mariadb") else _pg_escape, body)


def _mysql_escape(found: re.Match[str]) -> str:
    escape = found[0][1:]
    return _LETTERS.get(escape[0], escape[0]) + escape[1:] if escape[0] not in "%_" else found[0]


def _pg_escape(found: re.Match[str]) -> str:
    octal, hexa, short, long, other = found.groups()
    if other is not None:
        return _LETTERS.get(other, other) if other not in "0Z" else other
    return _character(int(octal, 8) & 0xFF if octal else int(hexa or short or long, 16))


def _unicode(text: str) -> str:
    return _UNICODE.sub(lambda m: "\\" if m[1] else _character(int(m[2] or m[3], 16)), text)


def _character(number: int) -> str:
    return chr(number) if number < 0x110000 else "\N{REPLACEMENT CHARACTER}"
