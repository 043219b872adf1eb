"""Backfills inside blocks: in DO, in procedures that up makes and calls, in loops over ranges of the key."""

import pytest
from sql_schemas import schema

from seatrial.sql.intent import read

TABLES = {
    "points": {c: {"type": "int"} for c in ("id", "x", "y")} | {"label": {"type": "varchar(20)"}},
    "names": {c: {"type": "int"} for c in ("id", "point_id", "lo", "hi")},
}
KEYS = [("primary key", "points", "points(id)", {"type": "primary key", "columns": ("id",)})]
FILL = "update points set y = x where"
STEP = "id between i * 9 and i * 9 + 8"
LIMITED = f"{FILL} id in (select id from points where y is null limit 2)"
BATCH = ["update points set y = x where id < 9", "update points set y = x where id >= 9 and id < 18"]


def told(statements, dialect, names=KEYS):
    """The conditions of each backfill that is judged, and why others are not proven."""
    found = read(statements, dialect, schema(TABLES, names))
    return [b.conditions for b in found.backfills], [u.why for u in found.unproven_backfills]


JUDGED = [  # a block, and what is asked at the end of up; () is every row
    (f"begin for i in 0..9 loop {FILL} {STEP}; end loop; end", ()),
    (f"begin for i in reverse 9..0 loop {FILL} {STEP} and id > 5; end loop; end", ("id > 5",)),
    (f"begin for i in 0..(select max(id) from points) / 9 loop {FILL} {STEP}; end loop; end", ()),
    (f"declare r record; begin for r in select n * 9 as lo from generate_series(0, 5) n loop"
     f" {FILL} id >= r.lo and id < r.lo + 9; end loop; end", ()),
    (f"declare lo int := 0; begin while lo < 50 loop {FILL} id >= lo and id < lo + 10 and label is not null;"
     " lo := lo + 10; end loop; end", ("label is not null",)),
    (f"declare n int; begin <<all_of_it>> loop {LIMITED}; get diagnostics n = row_count; commit;"
     " exit all_of_it when n = 0; end loop; end", ("id in (select id from points where y is null )",)),
    (f"declare n int := 3; begin loop {LIMITED}; n := n - 1; if n = 0 then exit; end if; end loop; end",
     ("id in (select id from points where y is null )",)),
    (f"begin {BATCH[0]}; {BATCH[1]}; end", ()),
    (f"begin {FILL} id < 9; end", ("id < 9",)),
    (f"begin if true then raise notice 'x'; end if; {FILL} id < 9; end", ("id < 9",)),
]  # fmt: skip


@pytest.mark.parametrize(("block", "asked"), JUDGED)
def test_a_block_is_judged(block, asked):
    assert told([f"do $$ {block} $$"], "postgresql") == ([asked], [])
    called = [f"create procedure p() language plpgsql as $$ {block} $$", "call p()", "drop procedure p()"]
    assert told(called, "postgresql") == ([asked], [])


UNPROVEN = [
    (f"begin for i in 0..9 loop update points set y = i where {STEP}; end loop; end", "a variable"),
    (f"declare top int := 5; begin for i in 0..9 loop {FILL} {STEP} and id < top; end loop; end", "a variable"),
    (f"declare r record; begin for r in select lo, hi from names loop {FILL} id between r.lo and r.hi; end loop; end",
     "a variable"),
    (f"declare r record; begin for r in select id from names limit 3 loop {FILL} id = r.id; end loop; end",
     "a variable"),
    (f"begin for i in 0..9 loop continue when i = 3; {FILL} {STEP}; end loop; end", "pass over"),
    (f"begin for i in 0..9 loop if i > 3 then {FILL} {STEP}; end if; end loop; end", "condition"),
    (f"begin for i in 0..9 loop {FILL} id > 3; end loop; end", "how often"),
    (f"begin if random() > 2 then {LIMITED}; end if; end", "condition"),
    (f"begin case when true then {LIMITED}; else null; end case; end", "condition"),
    (f"begin {LIMITED}; exception when others then null; end", "catches"),
    (f"begin if false then return; end if; {LIMITED}; end", "left before"),
    (f"begin {LIMITED}; rollback; end", "roll back"),
    ("begin for i in 0..9 loop execute 'update points set y = x where id between $1 and $2' using i, i; end loop; end",
     "dynamic"),
    ("declare n int; begin with u as (update points set y = x where id in (select id from points limit 2) returning 1)"
     " select count(*) into n from u; end", "larger statement"),
]  # fmt: skip


@pytest.mark.parametrize(("block", "why"), UNPROVEN)
def test_a_block_that_is_not_understood_is_not_proven(block, why):
    judged, unproven = told([f"do $$ {block} $$"], "postgresql")
    assert judged == [] and len(unproven) == 1 and why in unproven[0]


@pytest.mark.parametrize(
    "block",
    [
        f"declare r record; begin for r in select id from names loop {FILL} id = r.id; end loop; end",  # a row each
        f"begin if true then {FILL} y is null; end if; end",  # no batch
        f"begin for i in 0..9 loop update points set y = y + 1 where {STEP}; end loop; end",  # not the rule's
    ],
)
def test_what_is_no_batch_is_not_told(block):
    assert told([f"do $$ {block} $$"], "postgresql") == ([], [])


def test_a_routine_that_something_else_decides_about():
    make = (
        f"create function f(a int, b int) returns void language plpgsql as $$ begin {FILL} id between a and b; end $$"
    )
    assert told([make, "select f(0, 9)", "select f(10, 19)"], "postgresql") == (
        [],
        ["it reads a variable of its block"],
    )
    make = f"create function f() returns int language plpgsql as $$ begin {LIMITED}; return 1; end $$"
    for call in ("select f() from names", "do $$ begin for i in 0..3 loop perform f(); end loop; end $$"):
        judged, unproven = told([make, call], "postgresql")
        assert judged == [] and "its routine is called" in unproven[0]
    assert len(told([make, "select * from f()"], "postgresql")[0]) == 1


def test_a_later_statement_of_the_same_block_counts():
    assert told([f"do $$ begin {BATCH[0]}; {BATCH[1]}; update points set y = 1; end $$"], "postgresql") == ([()], [])
    up = f"do $$ begin update points set y = 1; for i in 0..9 loop {FILL} {STEP}; end loop; end $$"
    assert told([up], "postgresql") == ([()], [])
    up = f"do $$ begin {LIMITED}; execute format('update %s', 'points'); end $$"
    assert "not known" in told([up], "postgresql")[1][0]


MYSQL = [
    (f"declare i int default 0; while i < 9 do {FILL} {STEP}; set i = i + 1; end while;", ()),
    (f"declare n int default 3; l: loop {FILL} y is null order by id limit 2; set n = n - 1;"
     " if n = 0 then leave l; end if; end loop l;", ("y is null",)),
    (f"declare done int default 0; declare continue handler for not found set done = 1;"
     f" repeat {FILL} y is null limit 2; until row_count() = 0 end repeat;", ("y is null",)),
    (f"set @i = 0; while @i < 9 do {FILL} id > @i and id <= @i + 3; set @i = @i + 3; end while;", ()),
    (f"{BATCH[0]}; {BATCH[1]};", ()),
]  # fmt: skip
MYSQL_UNPROVEN = [
    f"declare exit handler for sqlexception begin end; {FILL} y is null limit 2;",
    f"if 1 > 2 then {FILL} y is null limit 2; end if;",
    f"while @i < 9 do {FILL} id > @i; end while;",
    f"l: begin leave l; end; {FILL} y is null limit 2;",
    f"declare a, b int; declare c cursor for select lo, hi from names; open c; l: loop fetch c into a, b;"
    f" {FILL} id between a and b; end loop;",
]


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_stored_programs_of_mysql_and_mariadb(dialect):
    for text, asked in MYSQL:
        up = [f"create procedure p() comment 'fills' begin {text} end", "call p()", "drop procedure p"]
        assert told(up, dialect) == ([asked], []), text
    for text in MYSQL_UNPROVEN:
        judged, unproven = told([f"create procedure p() begin {text} end", "call p()"], dialect)
        assert judged == [] and len(unproven) == 1, text
    if dialect == "mariadb":
        assert told([f"begin not atomic for i in 0..9 do {FILL} {STEP}; end for; end"], dialect) == ([()], [])


SAME = [
    ("mysql", "update points {0} join names c on c.point_id = {0}.id set {0}.y = {0}.x where {0}.id < 9",
     "update points b join names c on c.point_id = b.id set b.y = b.x where b.id >= 9 and b.id < 18"),
    ("postgresql", "update points set (y) = row(x) where id < 9", BATCH[1]),
    ("postgresql", "update points set (y, label) = row(x, 'a') where id < 9",
     "update points set label = 'a', y = x where id >= 9"),
    ("postgresql", "update only points set y = x where id < 9", BATCH[1]),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "first", "second"), SAME)
def test_the_same_target_and_set_in_other_words(dialect, first, second):
    for alias in ("a", "b"):
        assert told([first.format(alias), second], dialect) == ([()], [])


def test_only_of_a_parent_is_another_target():
    tables = [*KEYS, ("table", "", "far_points", {"inherits": ("points",)})]
    judged, _ = told(["update only points set y = x where id < 9", BATCH[1]], "postgresql", tables)
    assert judged == [("id >= 9 and id < 18",)]
