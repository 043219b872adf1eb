"""Where a project's migrations come from, and what runs them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from seatrial.errors import SourceError
from seatrial.model import Source
from seatrial.plugins import plugged
from seatrial.sources import alembic
from seatrial.sources.settings import Layout, SourceSettings, relative
from seatrial.sources.sqlfiles import dbmate, golang_migrate
from seatrial.sources.sqlfiles._common import folders, projects

MANY = 8  # places named where several were found

__all__ = ["Layout", "SourceSettings", "find", "kinds", "layouts"]


def layouts() -> dict[str, Layout]:
    """Every kind of source by its name; other packages add theirs under the entry point ``seatrial.sources``."""
    ours = (alembic.LAYOUT, dbmate.LAYOUT, golang_migrate.LAYOUT)
    theirs = (point.load() for point in plugged("seatrial.sources"))
    return {layout.kind: layout for layout in (*theirs, *ours)}


def kinds() -> tuple[str, ...]:
    return tuple(sorted(layouts()))


def find(
    project: Path, *, kind: str = "auto", path: str | None = None, settings: SourceSettings | None = None
) -> Source:
    """The one source of a project.

    ``path``, relative to the project, is the folder of migrations (or Alembic's ini file). Raises SourceError where
    nothing is found, where several sources are, or where ``kind`` is none.
    """
    if not project.is_dir():
        raise SourceError(f"{project} is no folder; give the folder of the project whose migrations are to be tested.")
    known = layouts()
    if kind != "auto" and kind not in known:
        raise SourceError(f'There is no source type "{kind}"; it is one of auto, {", ".join(sorted(known))}.')
    chosen = list(known.values()) if kind == "auto" else [known[kind]]
    place = _place(project, path)
    candidates = _candidates(chosen, project, place)
    if len(candidates) > 1:
        raise SourceError(_several(candidates, project))
    if candidates:
        layout, found = candidates[0]
    elif place is not None and kind != "auto":
        layout, found = chosen[0], place  # it was named: the source itself says what is wrong with it
    else:
        raise SourceError(_nothing(chosen, project, place))
    return layout.open(project, found, settings or SourceSettings())


def _place(project: Path, path: str | None) -> Path | None:
    if path is None:
        return None
    place = project / path
    if not place.exists():
        raise SourceError(
            f"{path} is not there in {project}, to which `path` in [source] and --migrations are relative."
        )
    return place


def _candidates(chosen: list[Layout], project: Path, place: Path | None) -> list[tuple[Layout, Path]]:
    return [(layout, found) for layout in chosen for found in layout.detect(place or project)]


def _several(candidates: list[tuple[Layout, Path]], project: Path) -> str:
    found = list(dict.fromkeys(f"{layout.kind}: {relative(place, project)}" for layout, place in candidates))
    names = "; ".join(found[:MANY]) + (f"; and {len(found) - MANY} more" if len(found) > MANY else "")
    return (
        f"Several sources of migrations were found in {project} ({names}). "
        "Name one with --source and --migrations, or with type and path in [source] of seatrial.toml."
    )


def _nothing(chosen: list[Layout], project: Path, place: Path | None) -> str:
    wanted = "; ".join(f"{layout.kind}: {layout.looked_for}" for layout in chosen)
    seen = ", ".join(relative(path, project) for path in islice(_scripts(place or project), 3))
    which = f" What is there fits none of these: {seen}." if seen else ""
    if below := ", ".join(relative(path, project) for path in projects(place or project)):
        which += f" With a seatrial.toml of their own, to be run there: {below}."
    if ".sql" in seen:
        which += " Plain SQL can be named 1_name.up.sql and 1_name.down.sql."
    return (
        f"No migrations were found in {(place or project).resolve()}. Looked for {wanted}.{which} "
        "Name the folder with --migrations and its kind with --source."
    )


def _scripts(place: Path) -> Iterator[Path]:
    """Files that somebody may take for migrations: SQL, and what lies in a folder of that name."""
    if place.is_file():
        yield place
        return
    for folder in folders(place):
        named = folder.name in ("migrations", "versions")
        yield from (p for p in sorted(folder.glob("[!._]*")) if p.is_file() and (named or p.suffix == ".sql"))
