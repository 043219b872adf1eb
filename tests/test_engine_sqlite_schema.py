"""The schema vocabulary of SQLite: one change of one attribute names exactly that object."""
# ruff: noqa: E501 - statements are easier to read on one line

import pytest
from server_fixtures import changed
from test_engine_sqlite_support import database, run

from seatrial.schema import diff, reordered

__all__ = ["database"]


def named(old, new):
    return sorted(d.key.label for d in diff(old, new))


def told(old, new):
    """``column t.a: type|check t(a > 0)``: what differs, and in which attributes where both sides have it."""
    found = changed(old, new, frozenset({"position"}))
    return "|".join(f"{label}: {' '.join(sorted(names))}" if names else label for label, names in found.items())


T = "create table p (id integer primary key, k int unique);"

ATTRIBUTES = {
    "type": ("a varchar(20)", "a varchar(30)", "column t.a: type"),
    "no type": ("a", "a blob", "column t.a: type"),
    "int is integer": ("a int, b int", "a integer, b int", ""),
    "int is no rowid": ("a int not null primary key", "a integer not null primary key", "column t.a: type"),
    "nullable": ("a int", "a int not null", "column t.a: nullable"),
    "not null on conflict": ("a int not null", "a int not null on conflict ignore", "column t.a: on_conflict"),
    "default": ("a int default 1", "a int default 2", "column t.a: default"),
    "default lost": ("a int default 1", "a int", "column t.a: default"),
    "default number or text": ("a int default 1", "a int default '1'", "column t.a: default"),
    "default case of text": ("a int default 'x'", "a int default 'X'", "column t.a: default"),
    "collation": ("a text", "a text collate nocase", "column t.a: collation"),
    "generated": ("a int, g int as (a + 1)", "a int, g int as (a + 2)", "column t.g: generated"),
    "generated stored": ("a int, g int as (a + 1)", "a int, g int as (a + 1) stored", "column t.g: stored"),
    "no longer generated": ("a int, g int as (a + 1)", "a int, g int", "column t.g: generated stored"),
    "autoincrement": ("a integer primary key", "a integer primary key autoincrement", "column t.a: auto_increment"),
    "column": ("a int", "a int, b int", "column t.b"),
    "check": ("a int check (a > 0)", "a int check (a > 1)", "check t(a > 0)|check t(a > 1)"),
    "check string case": ("a check (a > 'x')", "a check (a > 'X')", "check t(a > 'X')|check t(a > 'x')"),
    "check of a name or a string": ("a check (a > 'b'), b", "a check (a > b), b", "check t(a > 'b')|check t(a > b)"),
    "named check": (
        "a int, constraint c check (a > 0)",
        "a int, constraint c check (a > 1)",
        "constraint c: definition expression",
    ),
    "name of a check": (
        "a int, constraint c check (a > 0)",
        "a int, constraint d check (a > 0)",
        "constraint c|constraint d",
    ),
    "unique": ("a int, b int, unique (a, b)", "a int, b int", "unique t(a, b)"),
    "said twice": (
        "a int references p (k), foreign key (a) references p (k), check (a > 0), check (a > 0)",
        "a int, foreign key (a) references p (k), check (a > 0)",
        "",
    ),
    "another action beside": (
        "a int references p (k) on delete cascade, foreign key (a) references p (k)",
        "a int references p (k) on delete cascade",
        "foreign key t(a) #2",
    ),
    "unique order": ("a int, b int, unique (a, b)", "a int, b int, unique (b, a)", "unique t(a, b)|unique t(b, a)"),
    "unique collation": (
        "a text, unique (a)",
        "a text, unique (a collate nocase)",
        "unique t(a): collations definition",
    ),
    "unique on conflict": ("a int unique", "a int unique on conflict replace", "unique t(a): definition on_conflict"),
    "named unique": (
        "a int, b int, constraint u unique (a)",
        "a int, b int, constraint u unique (b)",
        "constraint u: columns definition",
    ),
    "primary key": ("a text not null, b int", "a text primary key not null, b int", "primary key t(a)"),
    "primary key descending": (
        "a int, b int, primary key (a)",
        "a int, b int, primary key (a desc)",
        "primary key t(a): definition",
    ),
    "foreign key": ("a int", "a int references p", "foreign key t(a)"),
    "foreign key's table": (
        "a int references p",
        "a int references t",
        "foreign key t(a): definition referenced_columns references",
    ),
    "foreign key's column": (
        "a int references p",
        "a int references p (k)",
        "foreign key t(a): definition referenced_columns",
    ),
    "on delete": (
        "a int references p",
        "a int references p on delete cascade",
        "foreign key t(a): definition on_delete",
    ),
    "on update": (
        "a int references p",
        "a int references p on update set null",
        "foreign key t(a): definition on_update",
    ),
    "deferrable": ("a int references p", "a int references p deferrable", "foreign key t(a): deferrable"),
    "deferred": (
        "a int references p deferrable",
        "a int references p deferrable initially deferred",
        "foreign key t(a): deferred definition",
    ),
    "match": ("a int references p", "a int references p match full", ""),
    "kind of a constraint": (
        "a text not null, constraint c unique (a)",
        "a text not null, constraint c primary key (a)",
        "constraint c: definition type",
    ),
    "named foreign key": (
        "a int, constraint f foreign key (a) references p",
        "a int, constraint f foreign key (a) references p on delete set default",
        "constraint f: definition on_delete",
    ),
}


@pytest.mark.parametrize("case", ATTRIBUTES, ids=str)
def test_one_attribute_of_a_table_names_exactly_its_object(database, case):
    before, after, expected = ATTRIBUTES[case]
    run(database, f"{T} create table t ({before})")
    old = database.inspect()
    run(database, f"drop table t; create table t ({after})")
    assert told(old, database.inspect()) == expected


OBJECTS = {
    "table option": ("create table x (a int primary key not null)", "{} without rowid", "table x: without_rowid"),
    "strict": ("create table x (a int)", "{} strict", "table x: strict"),
    "index column": ("create index x on t (a)", "create index x on t (b)", "index x: columns definition terms"),
    "index unique": ("create index x on t (a)", "create unique index x on t (a)", "index x: definition unique"),
    "index predicate": ("create index x on t (a)", "{} where b > 0", "index x: definition predicate"),
    "index predicate's value": (
        "create index x on t (a) where b > 0",
        "create index x on t (a) where b > 1",
        "index x: definition predicate",
    ),
    "index descending": ("create index x on t (a)", "create index x on t (a desc)", "index x: definition"),
    "index collation": (
        "create index x on t (c)",
        "create index x on t (c collate nocase)",
        "index x: collations definition",
    ),
    "index expression": (
        "create index x on t (lower(c))",
        "create index x on t (upper(c))",
        "index x: definition terms",
    ),
    "index column or text": ("create index x on t (a)", "create index x on t ((a))", ""),
    "view": ("create view x as select a from t", "create view x as select b from t", "view x: definition"),
    "view of a string's case": ("create view x as select 'a'", "create view x as select 'A'", "view x: definition"),
    "trigger event": (
        "create trigger x after insert on t begin select 1; end",
        "create trigger x after delete on t begin select 1; end",
        "trigger x: definition",
    ),
    "trigger body": (
        "create trigger x after insert on t begin select 1; end",
        "create trigger x after insert on t begin select 2; end",
        "trigger x: definition",
    ),
    "trigger when": (
        "create trigger x after insert on t begin select 1; end",
        "create trigger x after insert on t when new.a > 1 begin select 1; end",
        "trigger x: definition",
    ),
    "virtual table": (
        "create virtual table x using fts5(a)",
        "create virtual table x using fts5(a, tokenize = 'porter')",
        "table x: virtual",
    ),
}


@pytest.mark.parametrize("case", OBJECTS, ids=str)
def test_one_attribute_of_an_object_names_exactly_it(database, case):
    before, after, expected = OBJECTS[case]
    run(database, f"create table t (a int, b int, c text); {before}")
    old = database.inspect()
    kind = before.split()[1] if before.split()[1] != "virtual" else "table"
    run(database, f"drop {kind} x; {after.format(before)}")
    assert told(old, database.inspect()) == expected


# What the catalogue says of an object and no statement changes by itself, and why.
NEVER = {
    ("column", "position"): "compared as an order: see below",
    ("column", "hidden"): "its module's doing, for all columns of a virtual table",
    ("constraint", "match"): "SQLite reads MATCH and does as for SIMPLE (foreignkeys.html, 6)",
    ("index", "valid"): "always: SQLite knows no other",
    ("trigger", "enabled"): "always",
    **{
        ("database", name): "no object's: test_what_the_file_keeps_of_itself"
        for name in ("application_id", "auto_vacuum", "encoding", "journal_mode", "page_size", "user_version")
    },
}
CONSTRAINTS = ("constraint", "primary key", "unique", "foreign key", "check")  # of one vocabulary, named or not


def test_every_attribute_of_the_catalogue_has_a_change_of_its_own(database):
    """What the catalogue says of an object and no case changes would be compared without proof."""
    seen = set()
    for name, (before, after, _) in ATTRIBUTES.items():
        tables = "; ".join(f'create table "{name} {i}" ({text})' for i, text in enumerate((before, after)))
        run(database, f"create table if not exists p (id integer primary key, k int unique); {tables}")
    run(database, "create table t (a int, b int, c text)")
    for i, (before, _, _) in enumerate(OBJECTS.values()):
        run(database, before.replace(" x ", f" x{i} "))
    for key, attributes in database.inspect().items():
        seen |= {(_common(key.kind), name) for name in attributes}
    changes = set()
    for _, _, expected in (*ATTRIBUTES.values(), *OBJECTS.values()):
        for label, _, names in (part.partition(": ") for part in expected.split("|")):
            kind = next((k for k in CONSTRAINTS if label.startswith(f"{k} ")), label.split(" ")[0])
            changes |= {(_common(kind), name) for name in names.split()}
    assert seen - changes - NEVER.keys() == set()
    assert NEVER.keys() <= seen


def _common(kind):
    return "constraint" if kind in CONSTRAINTS else kind


SAME = {
    "blanks and comments": ("a int check(a>0)", "a  INT -- why\n check ( a /* c */ > 0 )"),
    "quotes": ('"a" int, constraint "c" check ("a" > 0)', "[a] int, constraint `c` check (a > 0)"),
    "parentheses around a default": ("a int default 1", "a int default (1)"),
    "default null": ("a int", "a int default null"),
    "a string in double quotes": ("a text default 'x'", 'a text default "x"'),
    "parentheses around a check": ("a int check (a > 0)", "a int check ((a > 0))"),
    "keyword case": ("a INT NOT NULL CHECK (a IS NOT NULL)", "a int not null check (a is not null)"),
    "in the column or behind it": ("a int unique references p", "a int, unique (a), foreign key (a) references p"),
    "the parent's key by name": ("a int references p", "a int references P (ID)"),
    "a rowid is never null": ("a integer primary key", "a integer primary key not null"),
    "the default action": ("a int references p", "a int references p on delete no action not deferrable"),
    "a name that is a keyword": ('"key" int check ("key" > 0)', "key int check (key > 0)"),
}


@pytest.mark.parametrize("case", SAME, ids=str)
def test_what_means_the_same_is_the_same(database, case):
    before, after = SAME[case]
    run(database, f"{T} create table t ({before})")
    old = database.inspect()
    run(database, f"drop table t; create table t ({after})")
    assert named(old, database.inspect()) == []


def test_a_rename_and_back_changes_nothing(database):
    run(
        database,
        """
        create table docs (id integer primary key, a int check (docs.a > 0), b text default 'x' collate nocase, unique (a));
        create table lines (doc int references docs (id), x text);
        create index i on docs (a) where b > 1;
        create view v as select d.a from docs d join lines on doc = d.id;
        create trigger t after insert on docs begin update lines set x = new.a; end;
        """,
    )
    old = database.inspect()
    run(database, "alter table docs rename to papers; alter table papers rename column a to c")
    assert named(old, database.inspect())
    run(database, "alter table papers rename column c to a; alter table papers rename to docs")
    assert named(old, database.inspect()) == []


def test_the_order_of_columns_is_no_attribute(database):
    run(database, "create table t (a int, b int)")
    old = database.inspect()
    run(database, "drop table t; create table t (b int, a int)")
    new = database.inspect()
    assert (named(old, new), [str(t) for t in reordered(old, new)]) == ([], ["t"])


def test_what_is_not_the_users_is_left_out(database):
    database.bookkeeping = frozenset({"alembic_version"})
    run(
        database,
        """
        create table t (id integer primary key autoincrement, a int unique);
        create table alembic_version (v text); create index bi on alembic_version (v);
        create virtual table f using fts5(a); create virtual table g using fts5(a, content = '');
        insert into t (a) values (1); analyze;
        """,
    )
    labels = [k.label for k in database.inspect() if k.kind not in ("column", "database")]
    assert labels == ["primary key t(id)", "table f", "table g", "table t", "unique t(a)"]
    states = {t.table.name: t.compared for t in database.take("A").tables}
    assert states == {"f": True, "g": False, "t": True}


def test_constraints_of_one_name_and_commas_left_out(database):
    run(
        database,
        "create table t (a int, b int, constraint c check (a > 0) constraint c check (b > 0) unique (a) check (a > 0), "
        "check (b > a))",
    )
    assert [k.label for k in database.inspect() if k.kind not in ("column", "table", "database")] == [
        "check t(a > 0)",
        "check t(b > a)",
        "constraint c",
        "constraint c #2",
        "unique t(a)",
    ]


HOSTILE = [
    '"; DROP TABLE x; --',
    "a WHERE b",
    "select",
    "größe cm",
    "it's",
    "a]b",
    "a`b",
    "x.y",
    "🚢",
    "a,b(",
    "%s ? :a",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(database, name):
    q = database.quote(name)
    run(
        database,
        f"create table {q} ({q} integer primary key, {database.quote(name + '2')} text not null unique check ({database.quote(name + '2')} <> ''));"
        f"create index {database.quote(name + 'i')} on {q} ({database.quote(name + '2')});"
        f"insert into {q} values (1, 'a'), (2, 'b')",
    )
    old = database.take("A")
    assert [t.table.name for t in old.tables] == [name]
    assert all(i.observed for i in old.integrity)
    run(database, f"update {q} set {database.quote(name + '2')} = 'c' where {q} = 2; delete from {q} where {q} = 1")
    new = database.take("B", since=old)
    (found,) = database.diff(old, new, _pairs(old, new))
    assert (found.lost[0].key, found.changed[0].rows[0].old, found.changed[0].rows[0].new) == (("1",), ("b",), ("c",))
    with database.filling():
        database.fill(found.table, (name, name + "2"), [(9, "x")])


def _pairs(old, new):
    from seatrial.schema import pair_by_name

    return pair_by_name(old, new)


FILE = {
    "pragma user_version = 7": {"user_version": 7},
    "pragma application_id = -5": {"application_id": -5},
    "pragma page_size = 65536; vacuum": {"page_size": 65536},
    "pragma auto_vacuum = full; vacuum": {"auto_vacuum": "full"},
    "pragma auto_vacuum = incremental; vacuum": {"auto_vacuum": "incremental"},
}


@pytest.mark.parametrize("pragma", FILE, ids=str)
def test_what_the_file_keeps_of_itself(database, pragma):
    run(database, "create table t (a)")
    old = database.take("A")
    run(database, pragma)
    new = database.take("B", since=old)
    (change,) = diff(old.schema, new.schema)
    assert change.key.label == "database settings"
    assert {n: v for n, (_, v) in change.attributes.items()} == FILE[pragma]
    assert diff(new.schema, database.inspect()) == []


def test_the_journal_mode_and_the_encoding_are_seen(database):
    run(
        database,
        "pragma encoding = 'UTF-16le'; create table t (a); pragma journal_mode = wal; insert into t values (1)",
    )
    (settings,) = (a for k, a in database.take("A").schema.items() if k.kind == "database")
    assert (settings["encoding"], settings["journal_mode"]) == ("UTF-16le", "wal")
