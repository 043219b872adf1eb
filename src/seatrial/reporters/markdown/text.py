"""Markdown that shows any text as it is: no name or value breaks a table or starts a tag, a link or a heading. Pure.

Rules: CommonMark 0.31 (https://spec.commonmark.org/0.31.2/) and GitHub's tables (https://github.github.com/gfm/).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from seatrial import prose
from seatrial.reporters import words

SPECIAL = re.compile(r"([\\`*\[\]~|])")
UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
ENTITY = re.compile(r"&(?=#?\w+;)")
MENTION = re.compile(r"@(?=\w)")
LINK = re.compile(r"\b(https?|ftp)://|\bwww\.", re.IGNORECASE)
STARTS = re.compile(r"^([#>+=-]|\d+[.)])")


def text(raw: str) -> str:
    """Plain words on one line; what stands between backticks is code, everything else is only itself."""
    return "".join(code(p) if i % 2 else _plain(p) for i, p in enumerate(prose.parts(words.line(raw))))


def _plain(raw: str) -> str:
    shown = SPECIAL.sub(r"\\\1", ENTITY.sub("&amp;", raw))
    shown = UNDERSCORE.sub(r"\\_", shown).replace("<", "&lt;")
    return LINK.sub(_unlinked, MENTION.sub("&#64;", shown))


def _unlinked(found: re.Match[str]) -> str:
    return found.group().replace(":", "&#58;").replace(".", "&#46;")


def start(raw: str) -> str:
    """``text`` that stands first on its line: no heading, list, quote or rule begins there."""
    shown = text(raw)
    return STARTS.sub(_started, shown)


def _started(found: re.Match[str]) -> str:
    mark = found.group()
    return f"\\{mark}" if len(mark) == 1 else f"{mark[:-1]}\\{mark[-1]}"


def code(raw: str) -> str:
    """A code span on one line; nothing to show is shown in quotes."""
    shown = words.escaped(raw)
    if not shown.strip():
        return f"`'{shown}'`"
    return prose.span(shown)


def cell(markdown: str) -> str:
    """Finished Markdown in a table: cells are split before code spans are seen, and ``\\|`` is shown as a pipe."""
    return re.sub(r"(?<!\\)\|", r"\\|", markdown) or " "


def row(*cells: str) -> str:
    return f"| {' | '.join(cell(c) for c in cells)} |"


def bullets(entries: Iterable[str]) -> str:
    return "\n".join(f"- {e}" for e in entries)


def numbered(entries: Iterable[str]) -> str:
    return "\n".join(f"{i}. {e}" for i, e in enumerate(entries, 1))


def codes(names: Iterable[str], limit: int = words.MANY) -> str:
    """```a`, `b` and 4 more``."""
    known = list(names)
    return ", ".join(code(n) for n in known[:limit]) + words.more(len(known) - limit)


def fence(raw: str, language: str = "sql") -> str:
    """A fenced block that its own content cannot close."""
    shown = words.visible(raw).strip("\n")
    longest = max((len(run) for run in re.findall(r"`{3,}", shown)), default=2)
    ticks = "`" * (longest + 1)
    return f"{ticks}{language}\n{shown}\n{ticks}"
