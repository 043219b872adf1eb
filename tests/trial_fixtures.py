"""Projects of SQL migrations on disk, and what a run of one comes to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seatrial import app, config
from seatrial.config import Config
from seatrial.model import Finding, Judged, Report

Migrations = Sequence[tuple[str, str | None]]
"""(up, down) of each; None: it has no down."""


class Outcome:
    """A judged migration, asked for its findings by rule."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.judged: Judged = report.migrations[-1]

    @property
    def rules(self) -> list[str]:
        return sorted(f.rule for f in self.judged.findings)

    def __getitem__(self, rule: str) -> Finding:
        found = [f for f in self.judged.findings if f.rule == rule]
        assert len(found) == 1, f"{rule} is reported {len(found)} times; there are {self.rules}"
        return found[0]

    def cause(self, rule: str) -> str:
        return " / ".join(self[rule].causes)


def project(
    folder: Path, migrations: Migrations, *, seed: str | None = None, at: str = "0001", settings: str = ""
) -> Path:
    """A dbmate project: (up, down) of versions 0001, 0002 ...; the seed belongs to the version ``at``."""
    place = folder / "db" / "migrations"
    place.mkdir(parents=True)
    for number, (up, down) in enumerate(migrations, 1):
        flag = " transaction:false" if up.startswith("--free") else ""
        text = f"-- migrate:up{flag}\n{up}\n" + (f"-- migrate:down{flag}\n{down}\n" if down is not None else "")
        text = text.replace("--free", "-- free")  # MySQL's comments begin with a blank
        (place / f"{number:04}_step.sql").write_text(text, encoding="utf-8")
    if seed is not None:
        (folder / "seed.sql").write_text(seed, encoding="utf-8")
        settings = f'[seed]\npath = "seed.sql"\nat = "{at}"\n{settings}'
    (folder / "seatrial.toml").write_text(settings, encoding="utf-8")
    return folder


def tested(folder: Path, **changes: object) -> Report:
    """Run on SQLite, where neither the project nor ``changes`` name another server."""
    settings: Config = config.load(folder)
    if settings.server.engine is None and settings.server.url is None:
        settings = settings.replace(server=config.ServerConfig(engine="sqlite"))
    return app.run(settings.replace(**changes))
