"""What every server's URL has in common: passwords that must never be shown, however the URL is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

_SECRET_SETTING = re.compile(r"(?i)\b((?:ssl)?password|passwd|pwd)=[^&\s]*")


def redact(url: str) -> str:
    """A URL without its passwords, whatever else is wrong with it."""
    head, separator, rest = url.partition("://")
    if not separator:
        return _SECRET_SETTING.sub(r"\1=***", re.sub(r"\S*:\S*@", "***@", url))
    rest, question, query = rest.partition("?")
    login, at, place = rest.rpartition("@")
    if at and ":" in login:
        login = login.partition(":")[0] + ":***"
    return f"{head}://{login}{at}{place}{question}" + _SECRET_SETTING.sub(r"\1=***", query)


def without(secrets: Iterable[str], text: str) -> str:
    """A text without these secrets, as they are or as a URL writes them."""
    for secret in secrets:
        for spelled in {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)} if secret else ():
            text = text.replace(spelled, "***")
    return text
