"""Given seeds that the schema refuses: what a row lacks is supplied, the rest is left out, each repair is told."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path

import pytest
from trial_fixtures import project

from seatrial import app, config
from seatrial.config import ServerConfig
from seatrial.engines.sqlite import SqliteDatabase
from seatrial.errors import SeedError
from seatrial.model import Report, Status
from seatrial.reporters import render
from seatrial.trial.stand import Steps

BASE = """
CREATE TABLE users (id INT PRIMARY KEY, email VARCHAR(20) NOT NULL UNIQUE, level INT NOT NULL CHECK (level > 0));
CREATE TABLE orders (id INT PRIMARY KEY, user_id INT NOT NULL, note VARCHAR(5) NOT NULL,
  CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users (id));
"""
DROP = "DROP TABLE orders; DROP TABLE users;"
SEED = """
INSERT INTO orders (id, user_id, note) VALUES (1, 10, 'ok'), (2, 99, 'lost'), (3, 10, NULL);
INSERT INTO users (id, email, level) VALUES (10, 'a@x', 1), (11, 'a@x', 2), (12, NULL, 3), (13, 'd@x', 0);
INSERT INTO users VALUES (14, 'e@x', 5);
INSERT INTO users (id, email, level) VALUES (15, 'f@x', 'many');
"""
KEYS = '[source]\nsession = ["PRAGMA foreign_keys = ON"]\n'


def run(folder: Path, seed: str, server: ServerConfig, up: str = "ALTER TABLE users ADD COLUMN c INT;") -> Report:
    down = "ALTER TABLE users DROP COLUMN c;" if "ADD COLUMN c" in up else "SELECT 1;"
    place = project(folder, [(BASE, DROP), (up, down)], seed=seed)
    return app.run(config.load(place).replace(server=server, only=("0002",)))


def check(folder: Path, server: ServerConfig, seed: str = SEED) -> None:
    report = run(folder / "one", seed, server)
    assert report.status is Status.PASSED
    (retry,) = report.retries
    assert (retry.strategy, retry.succeeded, retry.migration) == ("fix-seed-data", True, "0001")
    told = "\n".join(retry.actions)
    assert "orders 2: its missing parent in users was made (id = 99)" in told
    assert "orders 3: note was given " in told
    assert "users 12: email was given " in told
    assert "users 13: left out, it cannot be saved: " in told
    assert "users 11: left out, it cannot be saved: " in told
    assert "orders 1:" not in told
    assert "users 14" not in told
    text = render(report, "markdown")
    assert "1. `fix-seed-data`: ✅ Succeeded (attempt 1)\n   - Updated seed data to include required" in text
    assert "\n   - Migration integrity checks now pass\n" in text
    repaired = report.trace.repaired_seed
    assert repaired in {p.name: p.read_text() for p in app.write(report, folder / "out", ["json"])}["repaired-seed.sql"]
    again = run(folder / "two", repaired, server)
    assert again.status is Status.PASSED
    assert again.retries == ()
    assert again.environment.rows == report.environment.rows


def seed_for(name: str) -> str:
    """SQLite checks foreign keys only where that is asked for."""
    return f"PRAGMA foreign_keys = ON;\n{SEED}" if name == "sqlite" else SEED


def test_repaired_and_loaded_again(engine, tmp_path):
    check(tmp_path, engine.config, seed_for(engine.name))


def test_a_loss_is_a_loss_on_repaired_rows(engine, tmp_path):
    report = run(tmp_path, seed_for(engine.name), engine.config, "DELETE FROM users WHERE id = 14;")
    assert (report.status, report.exit_code) == (Status.FAILED, 1)
    assert ("rows-lost", (("14",),)) in {(f.rule, f.keys) for f in report.migrations[-1].findings}
    assert [(r.strategy, r.succeeded) for r in report.retries] == [("fix-seed-data", True)]


def test_a_long_way_to_the_seeds_version_is_gone_once_more_only(engine, tmp_path, monkeypatch):
    """The repaired seed is loaded into a copy of what stood before it."""
    ups: list[str] = []
    plain = Steps.up
    monkeypatch.setattr("seatrial.trial.stand.LONG_MS", 0.0)
    monkeypatch.setattr(Steps, "up", lambda steps, migration: (ups.append(migration.id), plain(steps, migration))[1])
    report = run(tmp_path, seed_for(engine.name), engine.config, "DELETE FROM users WHERE id = 14;")
    assert ups.count("0001") == 2
    assert ("rows-lost", (("14",),)) in {(f.rule, f.keys) for f in report.migrations[-1].findings}
    assert [(r.strategy, r.succeeded) for r in report.retries] == [("fix-seed-data", True)]


@pytest.mark.parametrize(
    ("seed", "words", "tries"),
    [
        ("INSERT INTO users VALUES (1, 'a@x', 0);", "seed.sql, line 1: CHECK constraint failed: level > 0", 3),
        ("INSERT INTO people VALUES (1, 'a@x', 0);", "its rows of people do not fit a table that there is", 1),
        ("INSERT INTO users VALUES (1, 'a@x', 1);\nUPDATE users SET level = 0;", "seed.sql, line 2: CHECK", 1),
        ("INSERT INTO users (id, mail) VALUES (1, 'a@x');", "no column named mail", 1),
    ],
)
def test_what_cannot_be_mended_is_told_in_a_report(tmp_path, seed, words, tries):
    """Found: it ended with one line, and what had been tried was not told anywhere."""
    report = run(tmp_path, seed, ServerConfig(engine="sqlite"))
    assert (report.status, report.exit_code) == (Status.ERROR, 2)
    assert [m.status for m in report.migrations] == [Status.SKIPPED, Status.ERROR]
    told = report.migrations[-1].trial.error
    assert words in told
    assert "It cannot be repaired: " in told
    assert [(r.strategy, r.attempt, r.succeeded) for r in report.retries] == [
        ("fix-seed-data", n + 1, False) for n in range(tries)
    ]
    text = render(report, "markdown")
    assert f"{tries}. `fix-seed-data`: ❌ Failed (attempt {tries})" in text
    assert f"**Final Status**: ERROR (after {tries} retr" in text


def test_a_row_that_cannot_be_kept_is_named_with_its_constraint(tmp_path):
    report = run(tmp_path, "INSERT INTO users VALUES (1, 'a@x', 0), (2, 'b@x', 0);", ServerConfig(engine="sqlite"))
    out = "users 1: left out, it cannot be saved: CHECK constraint failed: level > 0"
    assert f"no row of it can be kept ({out})" in report.migrations[-1].trial.error
    assert [r.actions[:2] for r in report.retries] == [(out, out.replace("1:", "2:"))] * 3


def test_a_file_that_cannot_be_read_is_no_attempt(tmp_path):
    place = project(tmp_path, [(BASE, DROP), ("SELECT 1;", "SELECT 1;")], seed="PGDMP")
    with pytest.raises(SeedError, match="pg_dump archive"):
        app.run(config.load(place).replace(server=ServerConfig(engine="sqlite"), only=("0002",)))


def test_a_sqlite_file(tmp_path):
    file = tmp_path / "seed.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE users (id INT, email TEXT, level INT)")
        connection.executemany("INSERT INTO users VALUES (?, ?, ?)", [(1, "a", 1), (2, None, 1), (3, "c", -1)])
    connection.close()
    place = project(tmp_path / "p", [(BASE, DROP), ("SELECT 1;", "SELECT 1;")], seed="")
    (place / "seatrial.toml").write_text(f'[seed]\npath = "{file}"\nat = "0001"\n')
    report = app.run(config.load(place).replace(server=ServerConfig(engine="sqlite"), only=("0002",)))
    told = report.retries[0].actions
    assert any(t.startswith("users 2: email was given") for t in told)
    assert any(t.startswith("users 3: left out") for t in told)
    assert report.environment.rows == 2


def test_a_dump_keeps_what_its_keys_do_not_check(pg_server, tmp_path):
    """A dump's rows come in any order and its foreign keys are not looked at while they are read."""
    dump = (
        "--\n-- PostgreSQL database dump\n--\n"
        "COPY public.orders (id, user_id, note) FROM stdin;\n1\t10\tok\n2\t10\ttoo long\n\\.\n"
        "COPY public.users (id, email, level) FROM stdin;\n10\ta@x\t1\n11\t\\N\t2\n\\.\n"
    )
    report = run(tmp_path, dump, ServerConfig(engine="postgresql", url=pg_server.url("postgres")))
    told = "\n".join(report.retries[0].actions)
    assert "orders '2': left out" in told
    assert "users '11': email was given" in told
    assert report.environment.rows == 3


def test_a_row_without_a_key_is_named_without_a_cut_text(tmp_path):
    base = "CREATE TABLE users (a TEXT, b TEXT, c INT CHECK (c > 0));"
    long = "it''s " * 30
    seed = f"INSERT INTO users VALUES ('{long}', 'x', 1), ('{long}', '{'y' * 100}', 0);"
    place = project(tmp_path, [(base, "DROP TABLE users;"), ("SELECT 1;", "SELECT 1;")], seed=seed)
    report = app.run(config.load(place).replace(server=ServerConfig(engine="sqlite"), only=("0002",)))
    row, _, told = report.retries[0].actions[1].partition("): ")
    assert row.startswith("users ('its its ")
    assert row.count("'") % 2 == 0
    assert len(row) < 130
    assert told.startswith("left out, it cannot be saved")


def refused(folder: Path, seed: str, server: ServerConfig, base: str = BASE) -> str:
    place = project(folder, [(base, DROP), ("ALTER TABLE users ADD COLUMN c INT;", "SELECT 1;")], seed=seed)
    return app.run(config.load(place).replace(server=server, only=("0002",))).migrations[-1].trial.error


def test_a_parent_that_lacks_a_value_is_mended_before_its_child_asks_for_one(tmp_path):
    """Found: a parent was made up for the child, and the real one was left out, for its key was taken."""
    seed = (
        "PRAGMA foreign_keys = ON;\nINSERT INTO orders VALUES (1, 20, 'a');\n"
        "INSERT INTO users VALUES (20, NULL, 7), (21, 'b@x', 1);\n"
    )
    told = run(tmp_path, seed, ServerConfig(engine="sqlite"))
    (retry,) = told.retries
    assert [a.partition(" was given")[0] for a in retry.actions[1:]] == ["users 20: email"]
    assert "7" in told.trace.repaired_seed
    assert told.environment.rows == 3


def test_a_row_of_the_same_table_is_mended_before_the_one_that_refers_to_it(tmp_path):
    base = "CREATE TABLE users (id INT PRIMARY KEY, n INT NOT NULL, boss INT REFERENCES users (id));"
    seed = "PRAGMA foreign_keys = ON;\nINSERT INTO users VALUES (1, 1, 2), (2, NULL, 3), (3, NULL, NULL);\n"
    place = project(
        tmp_path,
        [(base, "DROP TABLE users;"), ("ALTER TABLE users ADD COLUMN c INT;", "ALTER TABLE users DROP COLUMN c;")],
        seed=seed,
    )
    report = app.run(config.load(place).replace(server=ServerConfig(engine="sqlite"), only=("0002",)))
    (retry,) = report.retries
    assert [a.partition(" was given")[0] for a in retry.actions[1:]] == ["users 3: n", "users 2: n"]
    assert report.environment.rows == 3


def test_settings_at_the_end_do_not_undo_those_at_the_beginning(tmp_path):
    """Found: they were all set before the rows, so that keys were checked which the script does not have checked."""
    rows = "INSERT INTO orders VALUES (1, 20, 'a'), (2, 20, NULL);"
    seed = f"PRAGMA foreign_keys = OFF;\n{rows}\nPRAGMA foreign_keys = ON;\n"
    place = project(tmp_path, [(BASE, DROP), ("SELECT 1;", "SELECT 1;")], seed=seed)
    report = app.run(config.load(place).replace(server=ServerConfig(engine="sqlite"), only=("0002",)))
    assert [a.partition(" was given")[0] for a in report.retries[0].actions[1:]] == ["orders 2: note"]


@pytest.mark.parametrize(
    "between",
    ["SET @u = LAST_INSERT_ID();\nINSERT INTO o (u) VALUES (@u);", "INSERT INTO o (u) VALUES (LAST_INSERT_ID());"],
)
def test_rows_that_hang_on_the_session_are_not_loaded_singly(mysql_server, tmp_path, between):
    """Found: a good row was lost and another one made up."""
    base = (
        "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL);"
        "CREATE TABLE o (id INT AUTO_INCREMENT PRIMARY KEY, u INT NOT NULL, FOREIGN KEY (u) REFERENCES users (id));"
    )
    seed = f"INSERT INTO users (n) VALUES (1);\n{between}\nINSERT INTO users (n) VALUES (NULL);\n"
    address = ServerConfig(engine=mysql_server.engine, url=mysql_server.url(""))
    assert "cannot be null" in refused(tmp_path, seed, address, base)


ON_MYISAM = [
    # a row that a CHECK refuses, in a table without a key: the others are there once
    (
        "CREATE TABLE users (id INT, email VARCHAR(20) CHECK (email <> '')) ENGINE=MyISAM;",
        "INSERT INTO users VALUES (1, 'a');\nINSERT INTO users VALUES (2, 'b'), (3, ''), (4, 'd');\n",
        [r"users \(3, ''\): left out, it cannot be saved: .*"],
        3,
    ),
    # a key that is there already, and a value that must not be NULL
    (
        "CREATE TABLE users (id INT PRIMARY KEY, email VARCHAR(20) NOT NULL) ENGINE=MyISAM;",
        "INSERT INTO users VALUES (1, 'a'), (1, 'b'), (2, 'c');\nINSERT INTO users VALUES (4, NULL);\n",
        [r"users 1: left out, it cannot be saved: Duplicate entry .*", "users 4: email was given '.*'.*"],
        3,
    ),
    # beside a table with transactions, of whose rows nothing stays
    (
        "CREATE TABLE users (id INT PRIMARY KEY) ENGINE=InnoDB; CREATE TABLE logs (id INT NOT NULL) ENGINE=MyISAM;",
        "INSERT INTO logs VALUES (1);\nINSERT INTO users VALUES (1), (2), (1);\nINSERT INTO logs VALUES (2);\n",
        ["users 1: left out, it cannot be saved: Duplicate entry .*"],
        4,
    ),
    # through a view on a view, beside a row that is refused
    (
        "CREATE TABLE users (id INT PRIMARY KEY) ENGINE=InnoDB; CREATE TABLE logs (id INT PRIMARY KEY) ENGINE=MyISAM;"
        "CREATE VIEW l AS SELECT id AS n FROM logs; CREATE VIEW m AS SELECT n FROM l;",
        "INSERT INTO m VALUES (1), (2);\nINSERT INTO users VALUES (1), (1);\n",
        ["users 1: left out, it cannot be saved: Duplicate entry .*"],
        3,
    ),
]


def on_myisam(folder: Path, server: ServerConfig, base: str, seed: str) -> Report:
    place = project(folder, [(base, DROP), ("CREATE TABLE c (id INT);", "DROP TABLE c;")], seed=seed)
    return app.run(config.load(place).replace(server=server, only=("0002",)))


@pytest.mark.parametrize(("base", "seed", "actions", "rows"), ON_MYISAM)
def test_a_table_without_transactions_is_repaired_row_by_row(mysql_server, tmp_path, base, seed, actions, rows):
    """Found: it ended with rows that were there several times, or already there; then it was not repaired at all."""
    address = ServerConfig(engine=mysql_server.engine, url=mysql_server.url(""))
    report = on_myisam(tmp_path / "one", address, base, seed)
    (retry,) = report.retries
    assert (retry.strategy, retry.succeeded, report.environment.rows) == ("fix-seed-data", True, rows)
    assert [bool(re.fullmatch(a, b)) for a, b in zip(actions, retry.actions[1:], strict=True)] == [True] * len(actions)
    again = on_myisam(tmp_path / "two", address, base, report.trace.repaired_seed)
    assert (again.retries, again.environment.rows) == ((), rows)


@pytest.mark.engines("mariadb")
def test_a_table_of_aria_is_repaired_row_by_row(mysql_server, tmp_path):
    """Its TRANSACTIONAL is safe from crashes, and takes no row back (MariaDB manual, Aria Storage Engine)."""
    address = ServerConfig(engine=mysql_server.engine, url=mysql_server.url(""))
    base = "CREATE TABLE users (id INT, email VARCHAR(20) CHECK (email <> '')) ENGINE=Aria TRANSACTIONAL=1;"
    seed = "INSERT INTO users VALUES (1, 'a');\nINSERT INTO users VALUES (2, 'b'), (3, ''), (4, 'd');\n"
    report = on_myisam(tmp_path, address, base, seed)
    assert [a.partition(", it cannot")[0] for a in report.retries[0].actions[1:]] == ["users (3, ''): left out"]
    assert report.environment.rows == 3


def test_a_log_of_myisam_that_a_trigger_writes_stands_in_nobodys_way(mysql_server, tmp_path):
    base = (
        "CREATE TABLE users (id INT PRIMARY KEY) ENGINE=InnoDB;"
        "CREATE TABLE logs (n INT AUTO_INCREMENT PRIMARY KEY, id INT) ENGINE=MyISAM;"
        "CREATE TRIGGER told BEFORE INSERT ON users FOR EACH ROW INSERT INTO logs (id) VALUES (NEW.id);"
    )
    address = ServerConfig(engine=mysql_server.engine, url=mysql_server.url(""))
    report = on_myisam(tmp_path, address, base, "INSERT INTO users VALUES (1), (2), (1);")
    assert [a.partition(", it cannot")[0] for a in report.retries[0].actions[1:]] == ["users 1: left out"]
    assert report.environment.rows == 4


@pytest.mark.parametrize(
    ("beside", "statement", "words"),
    [
        (
            "",
            "INSERT INTO users SELECT n, IF(n < 3, 'a', '') FROM (SELECT 1 n UNION ALL SELECT 3) x",
            "may have left",
        ),
        (
            "CREATE TRIGGER late AFTER INSERT ON users FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no';",
            "INSERT INTO users VALUES (1, 'a')",
            "It cannot be repaired: users keeps the row of a refused statement whose trigger failed",
        ),
        (
            "CREATE TABLE plain (id INT CHECK (id < 9)) ENGINE=InnoDB; ALTER TABLE users ADD UNIQUE KEY (id);"
            "CREATE TRIGGER told BEFORE INSERT ON plain FOR EACH ROW INSERT INTO users VALUES (NEW.id, 'x');",
            "INSERT INTO plain VALUES (1), (9)",
            "It cannot be repaired: users keeps what the trigger told wrote for a refused row",
        ),
    ],
)
def test_what_may_have_stayed_of_a_refused_statement_is_not_repaired(mysql_server, tmp_path, beside, statement, words):
    base = f"CREATE TABLE users (id INT, email VARCHAR(20) CHECK (email <> '')) ENGINE=MyISAM; {beside}"
    address = ServerConfig(engine=mysql_server.engine, url=mysql_server.url(""))
    seed = f"{statement};\nINSERT INTO users VALUES (9, '');\n"
    report = on_myisam(tmp_path, address, base, seed)
    assert words in report.migrations[-1].trial.error


def test_the_row_that_a_table_without_transactions_refuses_is_named(mysql_server, tmp_path):
    """Found: what a refused batch had left there was met as a duplicate, and an innocent row was named."""
    file = tmp_path / "seed.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE users (id INT, email TEXT)")
        connection.executemany("INSERT INTO users VALUES (?, ?)", [(1, "a"), (2, "b"), (3, None), (4, "d")])
    connection.close()
    base = "CREATE TABLE users (id INT PRIMARY KEY, email VARCHAR(20) NOT NULL) ENGINE=MyISAM;"
    place = project(tmp_path / "p", [(base, "DROP TABLE users;"), ("SELECT 1;", "SELECT 1;")], seed="")
    (place / "seatrial.toml").write_text(f'[seed]\npath = "{file}"\nat = "0001"\n')
    address = ServerConfig(engine=mysql_server.engine, url=mysql_server.url(""))
    report = app.run(config.load(place).replace(server=address, only=("0002",)))
    (retry,) = report.retries
    assert re.search(r"seed\.db, row 3 of users.*cannot be null", retry.reason)
    assert [a.partition(" was given")[0] for a in retry.actions[1:]] == ["users 3: email"]
    assert report.environment.rows == 4


def test_many_rows_are_mended_together(tmp_path, monkeypatch):
    """Found: a thousand orphans took eight seconds, ten thousand a hundred times as long."""
    sent = []
    plain = SqliteDatabase.loading

    @contextlib.contextmanager
    def counted(database):
        with plain(database) as attempt:
            yield lambda sql: sent.append(sql) or attempt(sql)

    monkeypatch.setattr(SqliteDatabase, "loading", counted)
    rows = ", ".join(f"({i}, {100 + i // 2}, {'NULL' if i % 3 else repr('ok')})" for i in range(600))
    seed = f"PRAGMA foreign_keys = ON;\nINSERT INTO orders VALUES {rows};\nINSERT INTO users VALUES (100, 'a@x', 1);\n"
    report = run(tmp_path, seed, ServerConfig(engine="sqlite"))
    (retry,) = report.retries
    assert report.environment.rows == 900
    assert len([a for a in retry.actions if "its missing parent in users was made" in a]) == 299
    assert len([a for a in retry.actions if "note was given" in a]) == 400
    assert len(sent) < 4 * 900
