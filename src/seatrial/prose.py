"""Code in a sentence: how it is written and found again, by the rule of code spans (CommonMark 0.31.2, 6.1). Pure."""

from __future__ import annotations

import re

SPAN = re.compile(r"(?<!`)(?P<ticks>`+)(?!`)(?P<code>(?:(?!(?<!`)(?P=ticks)(?!`)).)+)(?<!`)(?P=ticks)(?!`)", re.DOTALL)
"""It ends at the first run of as many backticks as it begins with."""


def span(text: str) -> str:
    """A text as code, whatever backticks it holds: MySQL and MariaDB quote names with them. Empty stays empty."""
    if not text:
        return ""
    runs = {len(run) for run in re.findall(r"`+", text)}
    ticks = "`" * next(n for n in range(1, len(runs) + 2) if n not in runs)
    pad = " " if text.strip(" ") and (text[0] in " `" or text[-1] in " `") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def parts(text: str) -> list[str]:
    """The sentence in pieces, words and code in turn: the first, the third and so on are words, or empty."""
    found, at = [], 0
    for piece in SPAN.finditer(text):
        found += [text[at : piece.start()], bare(piece["code"])]
        at = piece.end()
    return [*found, text[at:]]


def bare(code: str) -> str:
    """What stands in a span without the blank on either side that keeps its backticks from the span's own."""
    return code[1:-1] if code.strip(" ") and code[:1] == code[-1:] == " " else code
