"""Where a project keeps its Alembic environment: an ini file, pyproject.toml, or a bare folder."""

from __future__ import annotations

import configparser
import contextlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seatrial.sources.sqlfiles import _common as common


def detect(place: Path) -> list[Path]:
    """Ini files and pyproject tables; folders with env.py and versions/ that none of them names."""
    if place.is_file():
        return [place] if place.suffix in (".ini", ".toml", ".cfg") else []
    folders = list(common.folders(place))
    files = [file for folder in folders if (file := _settings_file(folder))]
    covered = {_script_location(file) for file in files}
    loose = [folder for folder in folders if _holds_environment(folder) and folder.resolve() not in covered]
    return [*files, *(_named_by(folder) or folder for folder in loose)]


def _settings_file(folder: Path) -> Path | None:
    ini, toml = folder / "alembic.ini", folder / "pyproject.toml"
    if ini.is_file():
        return ini
    return toml if toml_section(toml) else None


def _holds_environment(folder: Path) -> bool:
    env = folder / "env.py"
    return env.is_file() and (folder / "versions").is_dir() and b"alembic" in env.read_bytes()


def _named_by(folder: Path) -> Path | None:
    """The settings file further up that names a folder as its script location."""
    for parent in list(folder.resolve().parents)[:4]:
        file = _settings_file(parent)
        if file is not None and _script_location(file) == folder.resolve():
            return file
    return None


def _script_location(file: Path) -> Path | None:
    if is_flask_migrate(file):
        return file.parent.resolve()
    found = toml_section(file).get("script_location") if file.suffix == ".toml" else _ini_script_location(file)
    if not isinstance(found, str):
        return None
    here = file.parent.resolve()
    return (here / found.replace("%(here)s", str(here))).resolve()


def is_flask_migrate(file: Path) -> bool:
    """An ini file beside its env.py that needs no ``script_location``: Flask-Migrate sets it (Migrate.get_config)."""
    if file.suffix != ".ini" or not _holds_environment(file.parent):
        return False
    return _ini_script_location(file) is None or b"current_app" in (file.parent / "env.py").read_bytes()


def _ini_script_location(file: Path) -> str | None:
    parser = configparser.RawConfigParser()
    with contextlib.suppress(configparser.Error, UnicodeDecodeError):  # Alembic itself will say what is wrong
        parser.read(file, encoding="utf-8")
    return parser.get("alembic", "script_location", fallback=None)


def toml_section(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        return {}
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("alembic", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return {}
    return table if isinstance(table, dict) else {}
