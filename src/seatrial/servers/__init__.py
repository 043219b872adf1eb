"""Where throwaway databases are made: files, a URL, or a local server that Seatrial starts and stops."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from seatrial.errors import ConfigError

ENGINES = ("sqlite", "postgresql", "mysql", "mariadb")
SCHEMES = {
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "pgx": "postgresql",
    "mysql": "mysql",
    "mariadb": "mariadb",
}

SIGNS = {
    "postgresql": r"\bjsonb\b|\btimestamptz\b|\b(big)?serial\b|\$\$|\bplpgsql\b|\bbytea\b|\bconcurrently\b|::\w"
    r"|dialects\.postgresql|postgresql\.(JSONB|ARRAY|UUID|ENUM)",
    "mysql": r"\bauto_increment\b|\bengine\s*=\s*\w+|\bunsigned\b|`\w+`|dialects\.mysql",
    "sqlite": r"\bautoincrement\b|\bpragma\b|\bwithout\s+rowid\b|\bstrict\b\s*;",
}
"""Words in migrations that only one engine knows; the engine with the most of them is taken."""


def engine_of(url: str) -> str:
    """The engine that a URL names. Raises ConfigError."""
    scheme = urlsplit(url).scheme.split("+")[0].lower()
    if scheme not in SCHEMES:
        raise ConfigError(
            f"no engine is known for {scheme or 'a URL without a scheme'}://; use one of {', '.join(ENGINES)}"
        )
    return SCHEMES[scheme]


def guess_engine(url: str | None, project: Path, migrations: Path, source: str) -> str:
    """The engine that a project is written for: by the URL given, its configured URL, or what its migrations say."""
    if url:
        return engine_of(url)
    configured = _configured(project, source)
    if configured:
        return configured
    text = "\n".join(_texts(migrations))
    counts = {engine: len(re.findall(signs, text, re.IGNORECASE)) for engine, signs in SIGNS.items()}
    best = max(counts, key=lambda engine: counts[engine])
    return best if counts[best] else "sqlite"


def _configured(project: Path, source: str) -> str:
    """The engine of alembic.ini's URL, or of dbmate's DATABASE_URL; only the scheme is looked at."""
    if source == "alembic":
        ini = project / "alembic.ini"
        text = ini.read_text(errors="replace") if ini.is_file() else ""
        found = re.search(r"^\s*sqlalchemy\.url\s*=\s*([\w+]+)://", text, re.MULTILINE)
    else:
        dotenv = project / ".env"
        text = dotenv.read_text(errors="replace") if dotenv.is_file() else ""
        text = f"DATABASE_URL={os.environ['DATABASE_URL']}\n{text}" if "DATABASE_URL" in os.environ else text
        found = re.search(r"^\s*(?:export\s+)?DATABASE_URL\s*=\s*[\"']?([\w+]+):", text, re.MULTILINE)
    return SCHEMES.get(found.group(1).split("+")[0].lower(), "") if found else ""


def _texts(folder: Path) -> list[str]:
    files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.suffix in (".sql", ".py"))
    return [p.read_text(encoding="utf-8", errors="replace") for p in files[:400]]
