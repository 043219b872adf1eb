"""What reaches beyond the database, by its text alone: our own name in a text that a body puts together."""

import pytest

from seatrial.engines._postgresql_outside import reaches_outside

OWN = "seatrial_1"

OURS = {
    "format": "execute format('alter database %I set work_mem = %L', current_database(), '5MB');",
    "format in dollars": "execute format($q$alter database %I set work_mem = '5MB'$q$, current_database());",
    "format by number": "execute format('alter database %2$I set a.b = %1$L', 'x', current_database());",
    "format of a quoted name": "execute format('alter database %s set a.b = ''c''', quote_ident(current_database()));",
    "joined": "execute 'alter database ' || current_database() || ' set a.b = ''c''';",
    "joined in quotes": "execute 'alter database \"' || current_database() || '\" set a.b = 1';",
    "joined and quoted": "execute 'alter database ' || quote_ident(current_database()) || ' set a.b = ' || v;",
    "a call with its schema": "execute format('alter database %I reset all', pg_catalog.current_database());",
}
OTHERS = {
    "another name": "execute format('alter database %I set a.b = %L', 'postgres', current_database());",
    "by number": "execute format('alter database %1$I set a.b = %2$L', 'postgres', current_database());",
    "a variable": "execute format('alter database %I set a.b = 1', v);",
    "a function of it": "execute format('alter database %I set a.b = 1', left(current_database(), 3));",
    "put together": "execute format('alter database %I set a.b = 1', current_database() || 'x');",
    "behind it": "execute 'alter database ' || current_database() || 'x' || ' set a.b = 1';",
    "unknown behind it": "execute 'alter database ' || current_database() || v || ' set a.b = 1';",
    "a text behind it": "execute 'alter database ' || current_database() || 'x set a.b = 1';",
    "a quote behind it": "execute 'alter database ' || quote_ident(current_database()) || '\"x\" set a.b = 1';",
    "unknown behind its place": "execute format('alter database %s%s set a.b = 1', current_database(), v);",
    "before it": "execute 'alter database x' || current_database() || ' set a.b = 1';",
    "within the text": "execute format('alter database x%s set a.b = 1', current_database());",
    "a column of that name": "execute format('alter database %I set a.b = 1', x.current_database);",
    "no first argument": "execute format(v, current_database()) || 'alter database x set a.b = 1';",
    "dropped": "execute format('drop database %I', current_database());",
    "width": "execute format('alter database %10I set a.b = 1', current_database());",
    "a second": "execute format('alter database %I set a.b = 1; alter database x reset all', current_database());",
}


@pytest.mark.parametrize("declared", ["v text;", "v text := 'x';"])
@pytest.mark.parametrize("body", OURS.values(), ids=OURS)
def test_our_own_database_is_ours_under_whatever_expression(body, declared):
    assert reaches_outside(f"do $$ declare {declared} begin {body} end $$", OWN) == ""


@pytest.mark.parametrize("body", OTHERS.values(), ids=OTHERS)
def test_any_other_one_is_refused(body):
    text = f"do $$ declare v text := 'x'; begin {body} end $$"
    assert "reaches another database" in reaches_outside(text, OWN)


VARIABLES = {
    "declared": ("v text := current_database();", "", True),
    "a constant": ("v constant name default current_database();", "", True),
    "set": ("v text;", "v := current_database();", True),
    "selected": ("v text;", "select current_database() into strict v;", True),
    "set anew": ("v text := current_database();", "v := 'postgres';", False),
    "selected anew": ("v text := current_database();", "select datname from pg_database limit 1 into v;", False),
    "looped over": ("v text := current_database();", "for v in select 'x' loop null; end loop;", False),
    "with more": ("v text := current_database() || 'x';", "", False),
    "never set": ("v text;", "", False),
}  # fmt: skip


@pytest.mark.parametrize(("declared", "done", "is_ours"), VARIABLES.values(), ids=VARIABLES)
def test_a_variable_that_holds_nothing_but_our_name(declared, done, is_ours):
    text = f"do $$ declare {declared} begin {done} execute format('alter database %I set a.b = 1', v); end $$"
    assert (reaches_outside(text, OWN) == "") is is_ours
