"""What the handbook shows is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from trial_fixtures import project

from seatrial.servers.postgresql import PostgresqlServer

DOCS = Path(__file__).parents[1] / "docs"


def test_the_python_of_the_handbook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pg_server: PostgresqlServer
):
    """On a local PostgreSQL of its own, as the page says: ``pg_server`` is asked for so that there is one."""
    base = ("CREATE TABLE t (id integer PRIMARY KEY, v text NOT NULL);", "DROP TABLE t;")
    monkeypatch.chdir(project(tmp_path, [base, ("DELETE FROM t;", "SELECT 1;")]))
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    scope: dict[str, object] = {}
    exec(compile(code, "python.md", "exec"), scope)
    report = scope["report"]
    assert [m.status.value for m in report.migrations] == ["passed", "failed"]
    assert report.environment.engine == "postgresql"
    (lost,) = [f for f in report.migrations[1].findings if f.rule == "rows-lost"]
    assert lost.count == 50
    assert f"0002 rows-lost t {lost.keys}\n" in capsys.readouterr().out
    assert "rows-lost" in Path("report.md").read_text(encoding="utf-8")
