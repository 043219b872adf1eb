"""What a database lacks that somebody other than the migrations gives it, told from the engine's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from seatrial.sql.tokens import words

_REGISTERED = re.compile(r"\bno such (function|module|collation sequence): ([^\n]+)")

# PostgreSQL manual, appendix F, and the documentation of pgvector, PostGIS and TimescaleDB: what they are known by.
_FUNCTIONS: Mapping[str, str] = {
    "uuid-ossp": r"uuid_(generate_v(1|1mc|3|4|5)|nil|ns_\w+)",
    "pgcrypto": r"gen_random_(bytes|uuid)|gen_salt|crypt|digest|hmac|pgp_\w+|armor|dearmor",
    "pg_trgm": r"(strict_)?(word_)?similarity|show_trgm",
    "unaccent": r"unaccent",
    "fuzzystrmatch": r"levenshtein\w*|soundex|d?metaphone|dmetaphone_alt",
    "tablefunc": r"crosstab\w*|normal_rand|connectby",
    "earthdistance": r"ll_to_earth|earth_(distance|box)",
    "postgis": r"st_\w+|addgeometrycolumn",
    "timescaledb": r"create_hypertable|time_bucket\w*|add_(retention|compression)_policy",
}
_TYPES: Mapping[str, str] = {
    "citext": r"citext",
    "hstore": r"hstore",
    "ltree": r"ltree|lquery|ltxtquery",
    "cube": r"cube",
    "vector": r"vector|halfvec|sparsevec",
    "postgis": r"geometry|geography",
}
_CLASSES: Mapping[str, str] = {"pg_trgm": r"g(in|ist)_trgm_ops", "vector": r"(half)?vec(tor)?_\w+_ops"}
# https://sqlite.org/changes.html, https://sqlite.org/json1.html
_MADE_AS_JSON = words("array extract group_array group_object insert object patch remove replace set")
_SINCE: Mapping[str, str] = {
    **dict.fromkeys(("unhex",), "3.41"),
    **dict.fromkeys(("json_error_position",), "3.42"),
    **dict.fromkeys(("octet_length", "timediff"), "3.43"),
    **dict.fromkeys(("concat", "concat_ws", "string_agg"), "3.44"),
    **dict.fromkeys(("jsonb", *(f"jsonb_{name}" for name in _MADE_AS_JSON)), "3.45"),
    **dict.fromkeys(("json_pretty",), "3.46"),
    **dict.fromkeys(("if",), "3.48"),
    **dict.fromkeys(("unistr", "unistr_quote"), "3.50"),
}
_POSTGRESQL = (
    (r"function (?:[\w\"]+\.)?\"?(\w+)\"?\(", _FUNCTIONS),
    (r"type \"(?:\w+\.)?(\w+)(?:\([\d,]*\))?(?:\[\])*\" does not exist", _TYPES),
    (r"operator class \"(\w+)\" does not exist", _CLASSES),
)


def what_lacks(message: str, engine: str) -> str:
    """What to say beside the engine's words, where a function, type or module is missing that SQL did not make.

    "" where nothing speaks for that: then it is the migration's own mistake.
    """
    if engine == "sqlite":
        return _not_registered(message)
    return _not_installed(message) if engine == "postgresql" else ""


def _not_registered(message: str) -> str:
    """SQLite knows its own functions only; others live on the connections of the application that registers them."""
    found = _REGISTERED.search(message)
    if found is None:
        return ""
    if since := _SINCE.get(found[2].lower()):
        return (
            f"SQLite has {found[2]} since {since}, and the one that runs here is older: run Seatrial, or the project's"
            " Python, with a newer SQLite"
        )
    return (
        f"SQLite itself has no {found[1]} {found[2]}: either the name is mistyped, or the application registers it on"
        " its own connections, and such a migration cannot be tried by SQL alone"
    )


def _not_installed(message: str) -> str:
    for pattern, known in _POSTGRESQL:
        name = found[1].lower() if (found := re.match(pattern, message)) else ""
        for extension, names in known.items() if name else ():
            if re.fullmatch(names, name):
                return (
                    f"the extension {extension} has it, and no migration installs that; where the server does, say so: "
                    f"setup = ['CREATE EXTENSION IF NOT EXISTS \"{extension}\"'] in [server]"
                )
    return ""


def explained(message: str, engine: str) -> str:
    """The engine's words, and what they mean where something is missing."""
    hint = what_lacks(message, engine)
    return f"{message} ({hint})" if hint else message
