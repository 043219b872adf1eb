"""report.json: the fixed part of version 1, its published schema, and what --redact takes out."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from report_examples import FINDINGS, HOSTILE, broken, failed, hostile, nothing, passed, report

from seatrial.errors import ConfigError
from seatrial.model import NotVerified, Retry
from seatrial.reporters import render
from seatrial.reporters.contract import schema
from seatrial.reporters.redact import redact, sql, words

SCHEMA = Path(__file__).parents[1] / "docs" / "report.schema.json"
EXAMPLES = {"passed": passed, "failed": failed, "nothing": nothing}


def produced(found, **options):
    return json.loads(render(found, "json", **options))


def test_the_published_schema_is_the_one_of_the_code():
    text = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    if not SCHEMA.exists() or SCHEMA.read_text() != text:
        if os.environ.get("SEATRIAL_UPDATE_GOLDEN") == "1":
            SCHEMA.write_text(text)
        else:
            pytest.fail("docs/report.schema.json is not what the code says; SEATRIAL_UPDATE_GOLDEN=1 rewrites it")
    Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.parametrize("redacted", [False, True])
@pytest.mark.parametrize("example", [*EXAMPLES.values(), *(lambda t=t: hostile(t) for t in HOSTILE)])
def test_every_report_is_valid(example, redacted):
    Draft202012Validator(schema()).validate(produced(example(), redacted=redacted))


def test_the_schema_refuses_what_is_no_report():
    found = produced(passed())
    del found["migrations"][0]["status"]
    assert list(Draft202012Validator(schema()).iter_errors(found))


def test_the_fixed_part_is_there_by_name():
    found = produced(failed())
    assert (found["format"], found["status"], found["exit_code"], found["epic"]) == (
        "seatrial-report/1", "failed", 1, "shop-status",
    )  # fmt: skip
    assert found["summary"] == {
        "total": 6, "tested": 4, "passed": 1, "failed": 3, "data_corruption": True, "rollback_safe": False,
    }  # fmt: skip
    assert set(found["environment"]) >= {"engine", "version", "storage_engine", "tables", "rows", "size_bytes", "seed"}
    migration = found["migrations"][1]
    assert [migration[k] for k in ("id", "version", "name", "kind", "status", "rollback_safe", "impact")] == [
        "0002", "0002", "add status", "destructive", "failed", False, "high",
    ]  # fmt: skip
    assert migration["impact_basis"] == "predicted"
    assert migration["findings"][1]["changes"][1] == {"key": ["1"], "column": "total", "old": "10.55", "new": "10.6"}
    assert migration["findings"][7]["waived"] == "dropped by hand since 2025"
    assert found["retries"][0]["strategy"] == "reset-test-db"
    assert found["not_verified"][0]["what"] == "locks of down"


def test_tables_of_a_step_say_in_words_what_it_did():
    first, second, third, fourth, error, _ = produced(failed())["migrations"]
    assert first["up"]["tables"]["users"] == {
        "rows_before": 3, "rows_after": 3, "checksum_before": "a3f2" * 8, "checksum_after": "a3f9" * 8,
        "changes": ["1 column added", "1 index created"],
    }  # fmt: skip
    assert first["up"]["tables"]["orders"]["changes"] == []
    assert first["down"]["tables"]["users"]["changes"] == ["1 column dropped", "1 index dropped"]
    assert second["up"]["tables"]["orders"]["changes"] == [
        "1 column added", "1 column altered", "1 column dropped", "1 index created", "2 rows updated", "1 row deleted",
    ]  # fmt: skip
    assert second["up"]["tables"]["order_items"]["changes"] == ["2 rows deleted"]
    assert third["up"]["tables"]["order_items"] == {
        "rows_before": 7, "rows_after": None, "checksum_before": "c9e5" * 8, "checksum_after": None,
        "changes": ["renamed to order_lines"],
    }  # fmt: skip
    assert third["up"]["tables"]["order_lines"]["changes"] == ["renamed from order_items"]
    assert fourth["up"]["error"]["code"] == "23505"
    assert error["up"] | {"locks_note": ""} == {
        "executed": False, "duration_ms": 0.0, "statements": [], "statements_observed": True, "tables": {},
        "objects": [], "error": None, "locks_observed": "not observed", "locks_note": "",
    }  # fmt: skip


def test_a_redacted_report_holds_keys_and_no_values():
    found = produced(failed(), redacted=True)
    text = json.dumps(found, ensure_ascii=False)
    assert found["redacted"] is True
    assert all("changes" not in f for m in found["migrations"] for f in m["findings"])
    assert found["migrations"][1]["findings"][1]["keys"] == [["1"], ["2"], ["3"]]
    for value in ("10.55", "10.6", "2024-05-01", "(Ada)", "'completed'"):
        assert value not in text
    assert "users_name_key" in text


def test_a_row_without_a_key_is_not_named_in_a_redacted_report():
    judged = broken()
    finding = replace(FINDINGS[0], table="users", keys=(("secret",),))
    state = replace(judged.trial.before.table(judged.trial.before.tables[2].table), key=())
    before = replace(judged.trial.before, tables=(state,))
    judged = replace(judged, findings=(finding,), trial=replace(judged.trial, before=before))
    finding = produced(report(judged), redacted=True)["migrations"][0]["findings"][0]
    assert (finding["keys"], finding["keys_truncated"], finding["count"]) == ([], True, 2)


def test_no_value_of_a_seed_is_told_by_what_repaired_it():
    cut = "seed.sql, line 2: it is refused (INSERT INTO t VALUES (471, 'it''s secret'), (472, 'cut...)."
    told = (
        "t (471, 'secret'): left out, it cannot be saved: Duplicate entry 'secret' for",
        "t (NOW(), 'cut secret: ...",
    )
    found = report(failed().migrations[0])
    retry = Retry(
        strategy="fix-seed-data", migration="1", attempt=1, reason=f"{cut} Correct it.", succeeded=True, actions=told
    )
    (retry,) = redact(replace(found, retries=(retry,))).retries
    assert retry.reason == "seed.sql, line 2: it is refused (INSERT …). Correct it."
    assert retry.actions == ("t (…): left out, it cannot be saved: Duplicate entry '…' for", "t (…)")


@pytest.mark.parametrize(
    ("what", "kept"),
    [
        ("`UPDATE r SET k = 'secret' WHERE id = 471`", "`UPDATE r SET k = '…' WHERE id = …`"),
        ("`DELETE FROM r WHERE k = 'a cut secr…`", "`DELETE FROM r WHERE k = …`"),
        ("the seed's rows of orders", "the seed's rows of orders"),
    ],
)
def test_a_statement_that_changed_no_row_is_told_without_its_values(what, kept):
    found = replace(failed(), not_verified=(NotVerified(what=what, why="it changed no row"),))
    assert [d.what for d in redact(found).not_verified] == [kept]


def test_redacting_twice_is_redacting_once():
    assert redact(redact(failed())) == redact(failed())


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ('Key (email)=(a@b.example) already exists in "users"', 'Key (email)=(…) already exists in "users"'),
        ("Failing row contains (1, secret (x), null).", "Failing row contains (…)."),
        ("Duplicate entry 'a-b' for key 'users.email'", "Duplicate entry '…' for key '…'"),
        ('invalid input syntax for type integer: "abc"', 'invalid input syntax for type integer: "…"'),
        ("UNIQUE constraint failed: users.email", "UNIQUE constraint failed: users.email"),
    ],
)
def test_what_an_engine_quotes_is_taken_out(message, kept):
    assert words(message) == kept


@pytest.mark.parametrize(
    ("statement", "kept"),
    [
        ("INSERT INTO t2 VALUES (1, 'it''s', -2.5)", "INSERT INTO t2 VALUES (…, '…', …)"),
        ("ALTER TABLE t ADD c varchar(20) DEFAULT 'x'", "ALTER TABLE t ADD c varchar(20) DEFAULT '…'"),
    ],
)
def test_literals_are_taken_out_of_statements(statement, kept):
    assert sql(statement) == kept


def test_an_unknown_format_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match="markdown"):
        render(passed(), "pdf")
