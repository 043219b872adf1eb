"""What the handbook shows is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from trial_fixtures import project

import seatrial
from seatrial import config
from seatrial.reporters import FILES
from seatrial.servers.postgresql import PostgresqlServer

DOCS = Path(__file__).parents[1] / "docs"


def test_the_python_of_the_handbook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pg_server: PostgresqlServer
):
    """On a local PostgreSQL of its own, as the page says: ``pg_server`` is asked for so that there is one."""
    base = ("CREATE TABLE t (id integer PRIMARY KEY, v text NOT NULL);", "DROP TABLE t;")
    monkeypatch.chdir(project(tmp_path, [base, ("DELETE FROM t;", "SELECT 1;")]))
    first, later = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    scope: dict[str, Any] = {}
    exec(compile(first, "python.md", "exec"), scope)
    report = scope["report"]
    assert [m.status.value for m in report.migrations] == ["passed", "failed"]
    assert report.environment.engine == "postgresql"
    (lost,) = [f for f in report.migrations[1].findings if f.rule == "rows-lost"]
    assert lost.count == 50
    assert f"0002 rows-lost t {lost.keys}\n" in capsys.readouterr().out
    assert "rows-lost" in Path("report.md").read_text(encoding="utf-8")
    (tmp_path / "seatrial.toml").write_text('[server]\nengine = "sqlite"\n')
    exec(compile(later, "python.md", "exec"), scope)
    assert [f.name for f in scope["files"]] == [FILES[n] for n in ("markdown", "html", "junit", "json")] + [
        "trace.json"
    ]
    assert all(f.is_file() for f in scope["files"])
    assert scope["again"].migrations == scope["report"].migrations
    assert "trial 0002 step" in capsys.readouterr().out


def test_a_project_may_be_given_as_text(tmp_path: Path):
    """Types say Path; who only tries it out gives text."""
    project(tmp_path, [("CREATE TABLE t (id integer PRIMARY KEY);", "DROP TABLE t;")])
    settings = config.load(str(tmp_path))  # type: ignore[arg-type]
    assert settings.project == tmp_path
    given = seatrial.Config(project=str(tmp_path), server=config.ServerConfig(engine="sqlite"))  # type: ignore[arg-type]
    assert seatrial.run(given).exit_code == 0
