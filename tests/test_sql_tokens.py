"""Tokens, exactly as each engine's scanner cuts them; names and texts unquoted and quoted."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.sql import quote_name, quote_string, tokenize
from seatrial.sql.rename import normalise, rename_in, same
from seatrial.sql.tokens import unquote_name, unquote_string

ALL = ("sqlite", "postgresql", "mysql", "mariadb")
PG = ("postgresql",)
MY = ("mysql", "mariadb")
LITE = ("sqlite",)

CASES = [
    (ALL, "select 1", "word:select number:1"),
    (ALL, "'it''s'", "string:'it''s'"),
    (ALL, "a.b", "word:a operator:. word:b"),
    (ALL, "größe", "word:größe"),
    (ALL, "/* a */ 1 -- b", "comment:/*_a_*/ number:1 comment:--_b"),
    (ALL, "1.5e-3", "number:1.5e-3"),
    (ALL, "x <= 1", "word:x operator:<= number:1"),
    (ALL, ":name", "parameter::name"),
    (ALL, "%s %(id)s", "parameter:%s parameter:%(id)s"),
    (ALL, "'open", "string:'open"),
    (PG, "/* a /* b */ c */ 1", "comment:/*_a_/*_b_*/_c_*/ number:1"),
    (PG, "$$a;b$$", "string:$$a;b$$"),
    (PG, "$t$ $$ $x$ $t$", "string:$t$_$$_$x$_$t$"),
    (PG, "$1", "parameter:$1"),
    (PG, "E'a\\'b'", "string:E'a\\'b'"),
    (PG, "'a\\' b", "string:'a\\' word:b"),
    (PG, "a::int", "word:a operator::: word:int"),
    (PG, "x->>'k'", "word:x operator:->> string:'k'"),
    (PG, "doc ? 'k'", "word:doc operator:? string:'k'"),
    (PG, "x = ?", "word:x operator:= parameter:?"),
    (PG, 'U&"d\\0061t"', 'quoted:U&"d\\0061t"'),
    (PG, "a[1]", "word:a operator:[ number:1 operator:]"),
    (PG, "--x\n1", "comment:--x number:1"),
    (MY, "'a\\'b'", "string:'a\\'b'"),
    (MY, '"text"', 'string:"text"'),
    (MY, "`a``b`", "quoted:`a``b`"),
    (MY, "5--1", "number:5 operator:- operator:- number:1"),
    (MY, "1 # x", "number:1 comment:#_x"),
    (MY, "/*!40101 set */ x", "comment:/*!40101 word:set comment:*/ word:x"),
    (("mariadb",), "/*M! a */", "comment:/*M! word:a comment:*/"),
    (("mysql",), "/*M! a */", "comment:/*M!_a_*/"),
    (("mariadb",), "/*!80000 a */", "comment:/*!80000_a_*/"),
    (("mysql",), "/*!80000 a */", "comment:/*!80000 word:a comment:*/"),
    (MY, "/*!999999 a */", "comment:/*!999999_a_*/"),
    (MY, "@v @@session.x", "variable:@v variable:@@session.x"),
    (MY, "1abc", "word:1abc"),
    (MY, "lbl:LOOP", "word:lbl operator:: word:LOOP"),
    (MY, "x'0f'", "string:x'0f'"),
    (LITE, "[a b]", "quoted:[a_b]"),
    (LITE, "`a`", "quoted:`a`"),
    (LITE, '"a""b"', 'quoted:"a""b"'),
    (LITE, "'a\\'", "string:'a\\'"),
    (LITE, "?1 @b $c", "parameter:?1 parameter:@b parameter:$c"),
]


@pytest.mark.parametrize(("dialect", "text", "expected"), [(d, t, e) for ds, t, e in CASES for d in ds])
def test_tokens(dialect, text, expected):
    found = [f"{t.kind}:{t.text.replace(' ', '_')}" for t in tokenize(text, dialect)]
    assert " ".join(found) == expected


@pytest.mark.parametrize(
    ("dialect", "text", "name"),
    [
        ("postgresql", "Users", "users"),
        ("postgresql", '"Users"', "Users"),
        ("postgresql", "GRÖSSE", "grÖsse"),
        ("postgresql", 'U&"d\\0061t\\+000061"', "data"),
        ("postgresql", "a" * 70, "a" * 63),
        ("sqlite", "Users", "Users"),
        ("sqlite", "[x]", "x"),
        ("mysql", "`a``b`", "a`b"),
    ],
)
def test_names_as_the_engine_stores_them(dialect, text, name):
    assert tokenize(text, dialect)[0].name == name


@pytest.mark.parametrize(
    ("dialect", "text", "value"),
    [
        ("postgresql", "'a''b\\n'", "a'b\\n"),
        ("postgresql", "E'a\\'b\\n\\x41\\u0042\\101'", "a'b\nABA"),
        ("postgresql", "$x$a$$b$x$", "a$$b"),
        ("postgresql", "U&'\\0041'", "A"),
        ("mysql", "'a\\'b\\n\\%'", "a'b\n\\%"),
        ("mysql", '"a""b"', 'a"b'),
        ("sqlite", "'a\\n'", "a\\n"),
    ],
)
def test_content_of_strings(dialect, text, value):
    assert tokenize(text, dialect)[0].value == value


def test_lines():
    assert [t.line for t in tokenize("a\n'b\nc' d\n\ne", "sqlite")] == [1, 2, 3, 5]


TEXTS = st.text(alphabet="aB1'\"`$;-/*!#\\\n ([]){}%:?@.=<>|E€", max_size=50)


@given(TEXTS, st.sampled_from(ALL))
def test_tokens_cover_the_text(text, dialect):
    rest, position = "", 0
    for token in tokenize(text, dialect):
        assert text[token.start : token.end] == token.text
        rest += text[position : token.start]
        position = token.end
    assert (rest + text[position:]).strip() == ""


@given(st.text(min_size=1, max_size=20), st.sampled_from(ALL))
def test_quoted_names_come_back(name, dialect):
    quoted = quote_name(name, dialect)
    assert unquote_name(quoted) == name
    assert [t.kind for t in tokenize(quoted, dialect)] == ["quoted"]


@given(st.text(max_size=20), st.sampled_from(ALL))
def test_quoted_strings_come_back(value, dialect):
    quoted = quote_string(value, dialect)
    assert unquote_string(quoted, dialect) == value
    assert [t.kind for t in tokenize(quoted, dialect)] == ["string"]


@given(st.text(alphabet=st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20))
def test_sqlite_reads_our_strings_and_names(value):
    connection = sqlite3.connect(":memory:")
    name = quote_name(value or "x", "sqlite")
    row = connection.execute(f"select {quote_string(value, 'sqlite')} as {name}")
    assert row.fetchone() == (value,)
    assert row.description[0][0] == (value or "x")


@pytest.mark.parametrize(
    ("dialect", "definition", "tables", "columns", "expected"),
    [
        (
            "postgresql",
            "CREATE INDEX i ON public.wares USING btree (price) WHERE (price > 0)",
            {"wares": "Goods"},
            {"price": "list price"},
            'CREATE INDEX i ON public."Goods" USING btree ("list price") WHERE ("list price" > 0)',
        ),
        ("postgresql", "CHECK ((price > 0))", {}, {"price": "cost"}, "CHECK ((cost > 0))"),
        (
            "postgresql",
            " SELECT w.price,\n    w.id,\n    (w.price + 1) AS p\n   FROM w\n  GROUP BY w.price;",
            {"w": "g"},
            {"price": "cost"},
            " SELECT g.cost AS price,\n    g.id,\n    (g.cost + 1) AS p\n   FROM g\n  GROUP BY g.cost;",
        ),
        ("postgresql", "SELECT max(w_1.a) FROM w w_1", {"w": "g"}, {}, "SELECT max(g_1.a) FROM g g_1"),
        ("postgresql", "nextval('w_id_seq'::regclass)", {"w_id_seq": "x"}, {}, "nextval('w_id_seq'::regclass)"),
        (
            "sqlite",
            "CREATE TRIGGER t AFTER INSERT ON posts BEGIN INSERT INTO log (id) VALUES (new.id); END",
            {"posts": "p", "log": "l"},
            {"id": "key"},
            "CREATE TRIGGER t AFTER INSERT ON p BEGIN INSERT INTO l (key) VALUES (new.key); END",
        ),
        ("mysql", "KEY `i` (`a`,`B`)", {}, {"b": "c"}, "KEY `i` (`a`,`c`)"),
        ("mysql", "KEY `i` (key(10))", {}, {"key": "k"}, "KEY `i` (k(10))"),
        *(
            (dialect, definition, {}, {"key": "akey", "action": "x", "text": "y", "lower": "z"}, expected)
            for dialect, definition, expected in (
                ("sqlite", "foreign key ( key ) references t ( id )", "foreign key ( akey ) references t ( id )"),
                ("sqlite", "primary key ( id )", "primary key ( id )"),
                ("sqlite", "references t(id) on delete no action", "references t(id) on delete no action"),
                ("postgresql", "CHECK ((text <> ''::text))", "CHECK ((y <> ''::text))"),
                ("postgresql", "CHECK ((lower((lower)::text) = 'a'))", "CHECK ((lower((z)::text) = 'a'))"),
            )
        ),
    ],
)
def test_rename_in(dialect, definition, tables, columns, expected):
    assert rename_in(definition, dialect, tables, columns) == expected


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("FOREIGN KEY (s) REFERENCES app.staff(id)", "FOREIGN KEY (s) REFERENCES app.people(id)"),
        ("FOREIGN KEY (s) REFERENCES staff(id)", "FOREIGN KEY (s) REFERENCES staff(id)"),
        ("FOREIGN KEY (s) REFERENCES b.staff(id)", "FOREIGN KEY (s) REFERENCES b.staff(id)"),
        ("SELECT x.id FROM (app.staff x JOIN b.staff y ON (x.id = y.id))",) * 2,
    ],
)
def test_only_the_table_of_its_schema_is_renamed(definition, expected):
    expected = expected.replace("(app.staff", "(app.people")
    homes = {"": (), "app": {"staff"}, "b": ()}
    assert rename_in(definition, "postgresql", {"staff": "people"}, {}, homes) == expected


def test_schemas_hold_their_tables_without_case():
    definition = 'CREATE INDEX i ON "Old Tools" (id)'
    renamed = rename_in(definition, "sqlite", {"Old Tools": "tools"}, {}, {"": {"Old Tools"}})
    assert renamed == 'CREATE INDEX i ON "tools" (id)'


@pytest.mark.parametrize(
    ("dialect", "one", "other", "equal"),
    [
        ("sqlite", 'CREATE INDEX i ON "t" (A)', "create  index i -- x\n on t(a);", True),
        ("postgresql", 'select "a" from t', "SELECT a FROM t", True),
        ("postgresql", 'select "A" from t', "SELECT a FROM t", False),
        ("sqlite", "check (a = 'X')", "check (a = 'x')", False),
        ("postgresql", "a != 1", "a <> 1", True),
        ("mysql", 'a = "x"', "a = 'x'", True),
    ],
)
def test_normal_form(dialect, one, other, equal):
    assert same(one, other, dialect) is equal


@given(TEXTS, st.sampled_from(ALL))
def test_normal_form_is_stable(text, dialect):
    rename_in(text, dialect, {"a": "b"}, {"B": "c"})
    assert isinstance(normalise(text, dialect), str)
