"""Given rows: scripts, dumps and SQLite files; and what is said of those that do not fit."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from engine_fixture import without

from seatrial.engines.sqlite import SqliteDatabase
from seatrial.errors import SeedError
from seatrial.model import Database
from seatrial.seeds.load import LoadResult, load

SCHEMA = """
CREATE TABLE users (id INT PRIMARY KEY, email VARCHAR(40) NOT NULL UNIQUE, bio TEXT);
CREATE TABLE orders (id INT PRIMARY KEY, user_id INT NOT NULL REFERENCES users (id), note VARCHAR(9) DEFAULT 'x');
"""


@pytest.fixture
def database(engine) -> Database:
    made = engine.create()
    assert made.load(SCHEMA) is None
    return made


@pytest.fixture
def sqlite(tmp_path) -> SqliteDatabase:
    made = SqliteDatabase(tmp_path / "trial.sqlite3")
    assert made.load(SCHEMA) is None
    return made


def seed(folder: Path, text: str | bytes, name: str = "seed.sql") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def users(database: Database) -> list[tuple[str | None, ...]]:
    return database.query("SELECT id, email, bio FROM users ORDER BY id")


# --- scripts ---


def test_a_script_runs(database, tmp_path):
    text = "BEGIN;\nINSERT INTO users VALUES (1, 'a;b', NULL), (2, 'ü', '');\nCOMMIT;\n"
    assert load(database, seed(tmp_path, text)) == LoadResult(kind="sql")
    assert users(database) == [("1", "a;b", None), ("2", "ü", "")]


def test_a_compressed_script_and_one_with_a_byte_order_mark(database, tmp_path):
    load(database, seed(tmp_path, gzip.compress(b"INSERT INTO users VALUES (1, 'a', NULL);"), "seed.sql.gz"))
    load(database, seed(tmp_path, b"\xef\xbb\xbfINSERT INTO users VALUES (2, 'b', NULL);"))
    assert [u[0] for u in users(database)] == ["1", "2"]


@pytest.mark.parametrize("content", ["", " \n\t", b"\xef\xbb\xbf"])
def test_an_empty_file_is_a_seed_without_rows(database, tmp_path, content):
    assert load(database, seed(tmp_path, content)) == LoadResult(kind="empty", rows=0)
    assert users(database) == []


def test_a_row_that_does_not_fit_is_named(database, tmp_path):
    text = "-- rows\nINSERT INTO users VALUES (1, 'a', NULL);\n\nINSERT INTO users (id, email)\nVALUES (2, 'a');\n"
    with pytest.raises(SeedError) as refused:
        load(database, seed(tmp_path, text))
    said = str(refused.value)
    assert said.startswith("seed.sql, line 4: ") and "email" in said
    assert "unique" in said.lower() or "Duplicate" in said
    assert "VALUES (2, 'a')" in said and "[seed] at" in said


def test_a_table_that_is_not_there_is_named(database, tmp_path):
    with pytest.raises(SeedError, match=r"(?s)seed.sql, line 1: .*missing.*\[seed\] at"):
        load(database, seed(tmp_path, "INSERT INTO missing VALUES (1);"))


def test_what_is_not_utf8_is_named(database, tmp_path):
    onto_another = r"iconv -f latin1 -t utf-8 seed\.sql > seed-utf8\.sql$"
    with pytest.raises(SeedError, match=r"seed.sql, line 2: byte 0xfc is not UTF-8.*" + onto_another):
        load(database, seed(tmp_path, "-- 1\nINSERT INTO users VALUES (1, 'ü', NULL);".encode("latin-1")))


def test_a_missing_file_is_named(database, tmp_path):
    with pytest.raises(SeedError, match=r"missing.sql cannot be read.*\[seed\] path"):
        load(database, tmp_path / "missing.sql")


def test_a_truncated_archive_is_named(database, tmp_path):
    with pytest.raises(SeedError, match="cannot be read"):
        load(database, seed(tmp_path, gzip.compress(b"INSERT INTO users" * 99)[:30], "seed.sql.gz"))


def test_a_custom_format_dump_says_what_to_do(database, tmp_path):
    with pytest.raises(SeedError, match="pg_restore -f"):
        load(database, seed(tmp_path, b"PGDMP\x01\x0e", "seed.dump"))


# --- scripts for psql ---


def test_what_psql_includes_and_copies_is_loaded(pg, tmp_path):
    pg.execute(*SCHEMA.strip().split("\n"))
    (tmp_path / "more" / "deep").mkdir(parents=True)
    seed(tmp_path / "more", "INSERT INTO users VALUES (2, 'b', '\\i none');\n\\ir deep/last.sql\n", "users.sql")
    seed(tmp_path / "more" / "deep", "INSERT INTO users VALUES (3, 'c', NULL)", "last.sql")
    seed(tmp_path, 'id,user_id,note\n10,1,"a, ""b"""\n11,2,\n', "orders.csv")
    text = (
        "\\set ON_ERROR_STOP on\n\\echo 'users'\n-- \\i nothing.sql\nBEGIN;\nINSERT INTO users VALUES (1, 'a', NULL);\n"
        "\\i more/users.sql\n;\n\\copy orders from 'orders.csv' with (format csv, header)\n"
        "\\copy orders (id, user_id) from stdin\n12\t3\n\\.\nCOMMIT;\nSELECT count(*) FROM users \\g\n\\q\nnonsense"
    )
    load(pg, seed(tmp_path, text), tmp_path)
    assert [row[0] for row in pg.query("SELECT email FROM users ORDER BY id")] == ["a", "b", "c"]
    assert pg.query("SELECT * FROM orders ORDER BY id") == [
        ("10", "1", 'a, "b"'),
        ("11", "2", None),
        ("12", "3", "x"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT 1;\n\\connect other\n", "seed.sql, line 2: \\connect is psql's own command"),
        ("\n\\set n 5\nSELECT :n;", "seed.sql, line 2: \\set is psql's own"),
        ("SELECT 1 AS n \\gset\n", "line 1: \\gset is psql's own"),
        ("\\! rm x\n", "line 1: \\! is psql's own"),
        ("\\if true\n", "line 1: \\if is psql's own"),
        ("SELECT 1;\n\\i missing.sql", "seed.sql, line 2: there is no file missing.sql"),
        ("\\i ../outside.sql", "seed.sql, line 1: ../outside.sql lies outside the project"),
        ("\\i seed.sql", "seed.sql includes itself"),
        ("\\copy users to 'x.csv'", "line 1: \\copy is psql's own"),
        ("\\copy users from program 'cat x'", "line 1: \\copy is psql's own"),
        ("SELECT 1;\n\\i bad.sql\n", "bad.sql, line 2: .*syntax error"),
        ("SELECT 1;\n\\i good.sql\nnonsense;\n", "seed.sql, line 3: .*syntax error"),
    ],
)
def test_what_psql_alone_can_do_is_refused(pg, tmp_path, text, said):
    folder = tmp_path / "project"
    folder.mkdir()
    seed(tmp_path, "", "outside.sql")
    seed(folder, "SELECT 1;\nnonsense;\n", "bad.sql")
    seed(folder, "SELECT 1;\nSELECT 2;\n\n", "good.sql")
    with pytest.raises(SeedError, match=said.replace("\\", "\\\\").replace("(", "\\(")):
        load(pg, seed(folder, text), folder)


# --- dumps ---

PG_DUMP = r"""--
-- PostgreSQL database dump
--

\restrict abcDEF
SET client_encoding = 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.users (id integer NOT NULL, email character varying(40) NOT NULL, bio text);
CREATE TABLE public.old_things (id integer);
COPY public.old_things (id) FROM stdin;
1
\.

COPY public.orders (id, user_id, note) FROM stdin;
10	1	a\tb\\c\nd
11	2	\N
\.

COPY public.users (id, email, bio) FROM stdin;
1	a@x	~
2	ü	\N
\.

COPY public.schema_migrations (version) FROM stdin;
0001
\.

SELECT pg_catalog.setval('public.users_id_seq', 2, true);
ALTER TABLE ONLY public.users ADD CONSTRAINT users_pkey PRIMARY KEY (id);
\unrestrict abcDEF
""".replace("~", "")


def test_of_a_pg_dump_the_rows_are_taken(pg, tmp_path):
    assert pg.load(SCHEMA + "CREATE TABLE schema_migrations (version text);") is None
    pg.bookkeeping = frozenset({"schema_migrations"})
    skipped = (("public.old_things", "no such table at this version"), ("public.schema_migrations", "bookkeeping"))
    assert load(pg, seed(tmp_path, PG_DUMP)) == LoadResult(kind="dump", rows=4, skipped=skipped)
    assert users(pg) == [("1", "a@x", ""), ("2", "ü", None)]
    assert pg.query("SELECT * FROM orders ORDER BY 1") == [("10", "1", "a\tb\\c\nd"), ("11", "2", None)]
    assert pg.query("SELECT * FROM schema_migrations") == []


def test_a_row_of_a_dump_that_does_not_fit_is_named(pg, tmp_path):
    assert pg.load(SCHEMA) is None
    with pytest.raises(SeedError) as refused:
        load(pg, seed(tmp_path, PG_DUMP.replace("2	ü	\\N", "1	ü	\\N")))
    said = str(refused.value)
    line = PG_DUMP.split("\n").index("2	ü	\\N") + 1
    assert said.startswith(f"seed.sql, line {line}: users refuses the row id='1', email='ü'") and "users_pkey" in said
    assert users(pg) == []


def test_a_real_pg_dump_comes_back(pg, pg_server, tmp_path):
    programs = pg_server.programs
    tool = Path(programs or "", "pg_dump")
    if not programs or not tool.exists():
        without("no pg_dump beside this server")
    source = pg_server.create()
    odd = "INSERT INTO users VALUES (1, E'\\\\.', E'tab\\tnew\\nline\\\\N'), (2, '\\N', '');"
    assert source.load(SCHEMA + odd + "INSERT INTO orders VALUES (5, 2, E'\\r');") is None
    for option in ("--data-only", "--inserts", "--no-owner"):
        dumped = subprocess.run([tool, option, source.url], capture_output=True, check=False)
        if dumped.returncode:
            without(f"pg_dump does not run here: {dumped.stderr.decode()}")
        target = pg_server.create()
        assert target.load(SCHEMA) is None
        assert load(target, seed(tmp_path, dumped.stdout)).rows == 3
        assert users(target) == users(source)
        assert target.query("SELECT * FROM orders") == source.query("SELECT * FROM orders")
        target.close()
    source.close()


def test_a_dump_of_the_sqlite_shell(sqlite, tmp_path):
    source = sqlite3.connect(":memory:")
    source.executescript(
        SCHEMA + "INSERT INTO orders VALUES (5, 1, NULL); INSERT INTO users VALUES (1, 'a', 'it''s; ü');"
    )
    text = "PRAGMA foreign_keys=OFF;\n" + "\n".join(source.iterdump())
    assert load(sqlite, seed(tmp_path, text)) == LoadResult(kind="dump", rows=2)
    assert users(sqlite) == [("1", "a", "it's; ü")]


def test_an_insert_of_a_dump_that_does_not_fit_is_named(sqlite, tmp_path):
    text = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nINSERT INTO users VALUES(1,NULL,NULL);\nCOMMIT;"
    with pytest.raises(SeedError, match=r"seed.sql, line 3: NOT NULL constraint failed: users.email"):
        load(sqlite, seed(tmp_path, text))
    assert users(sqlite) == []


def test_a_dump_computes_nothing(sqlite, tmp_path):
    text = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nINSERT INTO users VALUES (1, 'sel(ect', load_extension('x'));"
    with pytest.raises(SeedError, match=r"seed.sql, line 3: .* computes its values"):
        load(sqlite, seed(tmp_path, text))


# --- SQLite files ---


def file(folder: Path, script: str, name: str = "seed.db") -> Path:
    path = folder / name
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.commit()
    connection.close()
    return path


def test_rows_of_a_sqlite_file_are_copied_by_column_name(database, tmp_path):
    path = file(
        tmp_path,
        "CREATE TABLE users (bio TEXT, EMAIL TEXT, id INTEGER PRIMARY KEY); CREATE TABLE orders (id INT, user_id INT);"
        "CREATE TABLE other (x INT); INSERT INTO other VALUES (1); CREATE TABLE without_rows (x INT);"
        "INSERT INTO orders VALUES (7, 1); INSERT INTO users VALUES ('', 'ü', 1), (NULL, 'b', 2);",
    )
    made = load(database, path)
    assert made == LoadResult(kind="sqlite", rows=3, skipped=(("other", "no such table at this version"),))
    assert users(database) == [("1", "ü", ""), ("2", "b", None)]
    assert database.query("SELECT * FROM orders") == [("7", "1", "x")]


def test_a_sqlite_file_keeps_storage_classes(tmp_path):
    trial = SqliteDatabase(tmp_path / "trial.sqlite3")
    assert trial.load("CREATE TABLE t (id INTEGER PRIMARY KEY, v)") is None
    path = file(
        tmp_path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t (v) VALUES (1), (1.0), ('1'), (x'01'), (NULL)",
    )
    load(trial, path)
    kinds = [k for (k,) in trial.query("SELECT typeof(v) FROM t ORDER BY id")]
    assert kinds == ["integer", "real", "text", "blob", "null"]


def test_a_compressed_sqlite_file(sqlite, tmp_path):
    path = file(tmp_path, "CREATE TABLE users (id INT, email TEXT); INSERT INTO users VALUES (1, 'a')")
    packed = seed(tmp_path, gzip.compress(path.read_bytes()), "seed.db.gz")
    assert load(sqlite, packed).rows == 1


def test_a_sqlite_file_with_a_write_ahead_log(sqlite, tmp_path):
    path = tmp_path / "wal.db"
    writer = sqlite3.connect(path)
    writer.executescript(
        "PRAGMA journal_mode = WAL; CREATE TABLE users (id INT, email TEXT); INSERT INTO users VALUES (1, 'a')"
    )
    assert load(sqlite, path).rows == 1
    writer.close()


def test_columns_that_do_not_fit_are_named(database, tmp_path):
    path = file(tmp_path, "CREATE TABLE users (id INT, nick TEXT); INSERT INTO users VALUES (1, 'a')")
    with pytest.raises(SeedError) as refused:
        load(database, path)
    said = str(refused.value)
    assert "seed.db does not fit the schema: it has users.nick, which the schema does not" in said
    assert "it lacks users.email, which must not be NULL" in said and "[seed] at" in said
    assert users(database) == []


def test_a_row_of_a_sqlite_file_that_does_not_fit_is_named(database, tmp_path):
    path = file(
        tmp_path, "CREATE TABLE users (id INT, email TEXT); INSERT INTO users VALUES (1, 'a'), (2, 'b'), (3, 'a')"
    )
    with pytest.raises(SeedError, match=r"seed.db, row 3 of users: users refuses the row id=3, email='a': .*email"):
        load(database, path)


def test_a_broken_sqlite_file_is_named(sqlite, tmp_path):
    path = seed(tmp_path, b"SQLite format 3\x00" + b"\xff" * 500, "seed.db")
    with pytest.raises(SeedError, match=r"seed.db cannot be read"):
        load(sqlite, path)


def test_a_sqlite_file_in_wal_mode_is_read_with_its_log_and_left_alone(sqlite, tmp_path):
    file = tmp_path / "their.db"
    with closing(sqlite3.connect(file)) as theirs:
        theirs.execute("PRAGMA journal_mode = WAL")
        theirs.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, bio TEXT)")
        theirs.execute("INSERT INTO users VALUES (1, 'a', 'in the log')")
        theirs.commit()
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{file}{suffix}", f"{tmp_path / 'seed.db'}{suffix}")
    before = {p.name: p.read_bytes() for p in tmp_path.glob("seed.db*")}
    assert load(sqlite, tmp_path / "seed.db").rows == 1
    assert {p.name: p.read_bytes() for p in tmp_path.glob("seed.db*")} == before


def test_a_sqlite_file_in_wal_mode_without_a_log_gets_none(sqlite, tmp_path):
    path = file(
        tmp_path,
        "PRAGMA journal_mode = WAL; CREATE TABLE users (id INT, email TEXT); INSERT INTO users VALUES (1, 'a')",
    )
    before = path.read_bytes()
    assert before[18:20] == b"\x02\x02" and list(tmp_path.glob("seed.db*")) == [path]
    assert load(sqlite, path).rows == 1
    assert list(tmp_path.glob("seed.db*")) == [path] and path.read_bytes() == before


BROKEN = {
    "encrypted": (b"\x8a\xab\0" * 3000, "is no text, and no database file that can be read"),
    "a tar of pg_dump": (b"toc.dat\0" + bytes(600), "is a pg_dump archive; make plain SQL of it"),
    "cut": (None, "The SQLite file seed.db cannot be read: database disk image is malformed"),
}


@pytest.mark.parametrize(("content", "said"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_seed_is_said_with_its_name(sqlite, tmp_path, content, said):
    file = tmp_path / "seed.db"
    if content is None:
        with closing(sqlite3.connect(file)) as theirs:
            theirs.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, bio TEXT)")
            theirs.commit()
        whole = file.read_bytes()
        content = whole[:4096] + b"\xff" * (len(whole) - 4096)
    file.write_bytes(content)
    with pytest.raises(SeedError, match=said):
        load(sqlite, file)
