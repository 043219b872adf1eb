"""Texts that match a pattern of simple form: LIKE, GLOB and regular expressions as CHECK constraints use them."""

from __future__ import annotations

import random
import re

_CLASSES = {"d": "0123456789", "w": "aZ09_", "s": " ", "D": "x", "W": "-", "S": "x"}
_POSIX = {
    "alpha": "A-Za-z", "digit": "0-9", "alnum": "A-Za-z0-9", "upper": "A-Z", "lower": "a-z", "space": r"\s",
    "xdigit": "0-9a-fA-F",
}  # fmt: skip
_COUNT = re.compile(r"\{(\d+)(,?)(\d*)\}|([*+?])")
_ANY = "ax7-"


def from_like(pattern: str) -> list[str]:
    """Matches of a LIKE or GLOB pattern: the shortest one, and one with text wherever it may stand."""
    if re.search(r"\[.+\]", pattern):
        return from_regex(pattern.replace("*", ".*").replace("?", "."), random.Random(pattern), 3)
    bare = re.sub(r"[_?]", "a", pattern)
    return [re.sub(r"[%*]", filler, bare) for filler in ("", "x7")]


def from_regex(pattern: str, rng: random.Random, count: int) -> list[str]:
    """Texts made after the pattern; whether they match is judged elsewhere."""
    try:
        return [_Maker(posix_classes(pattern), rng).alternatives() for _ in range(count)]
    except (IndexError, ValueError):
        return []


def posix_classes(pattern: str) -> str:
    """``[[:digit:]]`` as Python writes it."""
    for name, content in _POSIX.items():
        pattern = pattern.replace(f"[:{name}:]", content)
    return pattern


class _Maker:
    def __init__(self, pattern: str, rng: random.Random) -> None:
        self.pattern, self.rng, self.at = pattern, rng, 0

    def alternatives(self) -> str:
        """One branch of ``a|b|c``, up to a closing parenthesis or the end."""
        branches = [self.sequence()]
        while self.at < len(self.pattern) and self.pattern[self.at] == "|":
            self.at += 1
            branches.append(self.sequence())
        return self.rng.choice(branches)

    def sequence(self) -> str:
        made = ""
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            start = self.at
            first = self.atom()
            low, high = self.count()
            end, pieces = self.at, [first] if high else []
            for _ in range(self.rng.randint(low, high) - 1):
                self.at = start
                pieces.append(self.atom())
            self.at = end
            made += "".join(pieces) if low or self.rng.random() < 0.5 else ""
        return made

    def count(self) -> tuple[int, int]:
        found = _COUNT.match(self.pattern, self.at)
        if not found:
            return 1, 1
        self.at = found.end()
        if self.pattern[self.at : self.at + 1] == "?":  # lazy
            self.at += 1
        if found[4]:
            return {"*": (0, 4), "+": (1, 5), "?": (0, 1)}[found[4]]
        low = int(found[1])
        return low, int(found[3]) if found[3] else low + 3 if found[2] else low

    def atom(self) -> str:
        letter = self.pattern[self.at]
        self.at += 1
        if letter in "^$":
            return ""
        if letter == ".":
            return self.rng.choice(_ANY)
        if letter == "(":
            prefix = re.compile(r"\?(?::|i\)|P?<\w+>)").match(self.pattern, self.at)
            self.at = prefix.end() if prefix else self.at
            inner = self.alternatives()
            self.at += 1
            return inner
        if letter == "[":
            return self.rng.choice(self.members())
        if letter == "\\":
            self.at += 1
            escaped = self.pattern[self.at - 1]
            return "" if escaped in "bAZmMyY" else self.rng.choice(_CLASSES.get(escaped, escaped))
        return letter

    def members(self) -> str:
        """The characters of a class; of a negated one, some that it does not name."""
        end = self.pattern.index("]", self.at + 1 + (self.pattern[self.at] == "^"))
        body, self.at = self.pattern[self.at : end], end + 1
        negated = body[:1] in "^!" and len(body) > 1
        named = _expand(body[1:] if negated else body)
        return "".join(c for c in "axZ7-. " if c not in named) or "§" if negated else named


def _expand(body: str) -> str:
    body = re.sub(r"\\([dws])", lambda m: _CLASSES[m[1]], body).replace("\\", "")
    return re.sub(r"(.)-(.)", lambda m: "".join(map(chr, range(ord(m[1]), ord(m[2]) + 1))), body, flags=re.DOTALL)
