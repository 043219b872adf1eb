"""A server's user who is no superuser: everything works, or is said not to have been looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pg_fixtures import differences

from seatrial import app, config
from seatrial.config import ServerConfig
from seatrial.engines.postgresql import PostgresqlDatabase
from seatrial.model import TableRef
from seatrial.reporters import render
from seatrial.servers.postgresql import PostgresqlServer


@pytest.fixture(scope="module")
def plain_url(pg_server: PostgresqlServer) -> Iterator[str]:
    pg_server.maintain("CREATE ROLE seatrial_plain LOGIN CREATEDB")
    yield pg_server.url("postgres").replace("postgres@", "seatrial_plain@")
    pg_server.maintain("DROP ROLE seatrial_plain")


@pytest.fixture
def plain(plain_url: str) -> Iterator[PostgresqlDatabase]:
    with PostgresqlServer.at(plain_url, PostgresqlDatabase) as server:
        database = server.create()
        assert isinstance(database, PostgresqlDatabase)
        yield database


def test_the_smallest_differences_are_seen_without_reading_stored_bytes(plain: PostgresqlDatabase) -> None:
    assert not plain.session.images
    plain.execute(
        "CREATE TABLE t (id bigint PRIMARY KEY, n numeric, f float8, d jsonb)",
        "INSERT INTO t VALUES (1, 1.0, '-0', '1.0'), (2, 1.0, '-0', '1.0'), (3, 1.0, '-0', '1.0')",
        "CREATE TABLE u (id bigint PRIMARY KEY, a timestamp DEFAULT '2000-01-01', b time DEFAULT '00:00')",
        "INSERT INTO u VALUES (1), (2)",
    )
    a = plain.take("A")
    # hashint8extended, of which timestamps and times have theirs, folds these into those
    plain.execute("UPDATE u SET a = '2000-01-01 01:11:34.967297' WHERE id = 1", "UPDATE u SET b = '01:11:34.967297'")
    plain.execute("UPDATE t SET n = 1.00 WHERE id = 1", "UPDATE t SET f = 0 WHERE id = 2", "UPDATE t SET d = '1.00'")
    b = plain.take("B", since=a)
    assert [(g.columns, g.rows[0].key) for g in differences(plain, a, b)["u"].changed] == [
        (("a", "b"), ("1",)),
        (("b",), ("2",)),
    ]
    found = differences(plain, a, b)["t"].changed
    assert [(g.columns, g.rows[0].key) for g in found] == [(("n", "d"), ("1",)), (("f", "d"), ("2",)), (("d",), ("3",))]


def test_going_back(plain: PostgresqlDatabase) -> None:
    plain.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    a = plain.take("A")
    kept = plain.checkpoint()
    plain.execute("DROP TABLE t")
    plain.restore(kept)
    assert plain.take("B").table(TableRef("", "t")) == a.table(TableRef("", "t"))


def test_the_owners_triggers_are_silent_while_rows_are_made_and_stand_as_before(plain: PostgresqlDatabase) -> None:
    plain.execute(
        "CREATE TABLE t (id int PRIMARY KEY, p int REFERENCES t DEFERRABLE)",
        "CREATE TABLE log (id int)",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (1); RETURN NEW; END'",
        *(f"CREATE TRIGGER g{i} AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()" for i in range(4)),
        "ALTER TABLE t ENABLE ALWAYS TRIGGER g1",
        "ALTER TABLE t ENABLE REPLICA TRIGGER g2",
        "ALTER TABLE t DISABLE TRIGGER g3",
    )
    before = plain.inspect()
    with plain.filling():
        plain.fill(TableRef("", "t"), ("id", "p"), [[1, 2], [2, None]])
    assert plain.query("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM log)") == [("2", "0")]
    assert plain.inspect() == before


def test_what_may_not_be_read_is_said(plain_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "db" / "migrations"
    folder.mkdir(parents=True)
    (folder / "0001_base.sql").write_text(
        "-- migrate:up\nCREATE TABLE secret (id serial PRIMARY KEY, who text);\n"
        "CREATE TABLE open (id int PRIMARY KEY); SELECT lo_from_bytea(0, 'a picture');\n"
        "ALTER TABLE secret ENABLE ROW LEVEL SECURITY; ALTER TABLE secret FORCE ROW LEVEL SECURITY;\n"
        "-- migrate:down\nDROP TABLE secret, open; SELECT lo_unlink(oid) FROM pg_largeobject_metadata;\n"
    )
    (folder / "0002_more.sql").write_text(
        "-- migrate:up\nALTER TABLE secret ADD COLUMN n int;\n-- migrate:down\nALTER TABLE secret DROP COLUMN n;\n"
    )
    report = app.run(config.load(tmp_path).replace(server=ServerConfig(url=plain_url)))
    said = json.loads(render(report, "json"))
    assert report.exit_code == 0
    whys = {d["what"]: d["why"] for d in said["not_verified"]}
    assert whys["contents of large objects"] == "only a superuser may read them"
    assert "rows of secret" in whys
    assert any("row-level security" in d["why"] for d in said["not_verified"])
