"""Scripts are cut into statements as the engine or its client would cut them."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seatrial.sql import has_transaction_control, is_blank, split
from seatrial.sql.tokens import COMMENT, code

CORPUS = sorted((Path(__file__).parent / "corpus" / "public").glob("*.toml"))
DIALECTS = ("sqlite", "postgresql", "mysql", "mariadb")


def texts(script, dialect):
    return [s.text for s in split(script, dialect)]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        (" ; ;; -- x\n", []),
        ("select 1", ["select 1"]),
        ("-- a; b\nselect ';' /* ; */ ; select 2;\n", ["select ';'", "select 2"]),
        ("select 'it''s; fine';select 2", ["select 'it''s; fine'", "select 2"]),
        ("begin; insert into t values (1); commit;", ["begin", "insert into t values (1)", "commit"]),
    ],
)
def test_every_dialect(script, expected, dialect):
    assert texts(script, dialect) == expected


SQLITE_TRIGGER = "create temp trigger t after insert on a begin select case when 1 then 2 end; delete from b; end"
MYSQL_PROCEDURE = (
    "create procedure p(a int) begin if a then select 1; elseif b then select if(a,1,2); end if; case a when 1 then "
    "select 1; end case; l: loop leave l; end loop; while x do set y = case when 1 then 2 end; end while; "
    "repeat set z = 1; until 1 end repeat; end"
)
ATOMIC = "create function f() returns int begin atomic select 1; select case when true then 2 end; end"


@pytest.mark.parametrize(
    ("dialect", "statement"),
    [
        ("sqlite", SQLITE_TRIGGER),
        ("mysql", MYSQL_PROCEDURE),
        ("mysql", "create trigger t before insert on a for each row set new.v = if(new.v, 1, 2)"),
        ("mysql", "create trigger x after insert on a for each row if new.a then set @x = 1; end if"),
        ("mysql", "create definer = r@localhost event e on schedule every 1 day do begin select 1; end"),
        ("mysql", "create function f() returns int deterministic if 1 then return 1; else return 2; end if"),
        ("mysql", "create procedure if not exists p() select 1"),
        ("mysql", "/*!50003 create trigger x before insert on t for each row begin select 1; end */"),
        ("mysql", "select \"a;b\", `c;d`, 'e\\';f'"),
        ("mariadb", "begin not atomic select 1; end"),
        ("mariadb", "for i in 1..3 do select i; end for"),
        ("postgresql", ATOMIC),
        ("postgresql", "create rule r as on insert to t do (insert into a values (1); delete from b)"),
        ("postgresql", "do $$ begin perform 1; end $$"),
        ("postgresql", "create function f() returns int as $a$ select $$;$$; $a$ language sql"),
        ("postgresql", "select 1 /* ; /* ; */ ; */ + 2"),
        ("postgresql", "select E'a\\';b', 'c\\' || ';d'"),
        ("sqlite", "select [a;b], `c;d`, \"e;f\", 'g\\' || ';h'"),
    ],
)
def test_semicolons_inside(dialect, statement):
    assert texts(f"select 0;\n{statement};\nselect 9;", dialect) == ["select 0", statement, "select 9"]


def test_delimiter_lines():
    script = (
        "DELIMITER //\ncreate trigger t before insert on a for each row begin select 1; end//\nDELIMITER ;\nselect 1;\n"
        "delimiter $$\nselect 2; select 3 $$\nselect 4$$\ndelimiter ;\nselect 5"
    )
    assert [(s.text, s.line) for s in split(script, "mysql")] == [
        ("create trigger t before insert on a for each row begin select 1; end", 2),
        ("select 1", 4),
        ("select 2; select 3", 6),
        ("select 4", 7),
        ("select 5", 9),
    ]


def test_psql_lines_and_copy_data():
    script = "\\connect x\ncopy t (a, b) from stdin;\n1\t;2'\n\\.\n\nselect 1;\nselect 2 \\gexec\nselect 3"
    statements = split(script, "postgresql")
    assert [(s.text, s.line, s.copy_data) for s in statements] == [
        ("copy t (a, b) from stdin", 2, "1\t;2'\n"),
        ("select 1", 6, None),
        ("select 2", 7, None),
        ("select 3", 8, None),
    ]


@pytest.mark.parametrize(
    ("script", "dialect", "expected"),
    [
        ("begin; select 1; commit", "sqlite", True),
        ("START TRANSACTION", "mysql", True),
        ("rollback", "postgresql", True),
        ("savepoint a; rollback to savepoint a", "postgresql", False),
        ("begin not atomic select 1; end", "mariadb", False),
        ("do $$ begin commit; end $$", "postgresql", False),
        ("-- commit\nselect 'commit'", "postgresql", False),
        (SQLITE_TRIGGER, "sqlite", False),
    ],
)
def test_transaction_control(script, dialect, expected):
    assert has_transaction_control(script, dialect) is expected


def test_blank():
    assert is_blank(" -- nothing\n/* here */ ;", "postgresql")
    assert not is_blank("/*!40101 set names utf8 */", "mysql")


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.stem)
def test_corpus_is_split_whole(path):
    case = tomllib.loads(path.read_text())
    for dialect in DIALECTS:
        section = case.get(dialect, {})
        for script in (section.get(k, "") for k in ("base", "seed", "up", "down", "writes")):
            assert_nothing_lost(script, dialect)


def assert_nothing_lost(script, dialect):
    joined = ";".join(texts(script, dialect))
    assert [t.text for t in code(joined, dialect) if t.text != ";"] == [
        t.text for t in code(script, dialect) if t.text != ";"
    ]


PIECES = st.sampled_from(
    ["select 1", ";", " ", "\n", "'a;b'", '"c;d"', "-- x;\n", "/* y; */", "create", "table", "t", "(", ")", ",", "1.5"]
)


@given(st.lists(PIECES).map(" ".join), st.sampled_from(["sqlite", "postgresql", "mysql"]))
def test_split_and_join_loses_nothing(script, dialect):
    assert_nothing_lost(script, dialect)


@given(st.text(alphabet="ab'\"`;$-/*#\\\n ([]){}%:?@E", max_size=60), st.sampled_from(DIALECTS))
def test_any_text_is_split(script, dialect):
    for statement in split(script, dialect):
        assert script[statement.start :].startswith(statement.text)
        assert any(t.kind != COMMENT for t in code(statement.text, dialect))


PLAIN = st.text(alphabet="ab1 '\"`;$-/*#\\\n([])?E", max_size=40).map("insert into t values ".__add__)


@example("insert into t values #\n", "mysql")
@example("insert into t values #--", "postgresql")
@given(PLAIN, st.sampled_from(DIALECTS))
def test_plain_statements_are_cut_as_all_others(script, dialect):
    """Behind a WITH, which is never taken for plain, the same text is cut at the same places."""
    fast, slow = split(script, dialect), split("with x as (y) " + script, dialect)
    offset = len("with x as (y) ")
    if "(" in script or ")" in script or "\\" in script:
        return  # PostgreSQL looks at brackets and at psql's commands; a plain statement has neither
    assert [s.end for s in fast] == [s.end - offset for s in slow]
    assert [s.text for s in fast][1:] == [s.text for s in slow][1:]
    assert slow[0].text.removeprefix("with x as (y) ") == fast[0].text
