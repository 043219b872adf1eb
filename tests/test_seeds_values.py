"""Type texts, conditions, patterns and values: the pure parts of seeds."""

from __future__ import annotations

import random
import re
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.seeds.conditions import UNKNOWN, condition
from seatrial.seeds.families import Family, family
from seatrial.seeds.patterns import from_like, from_regex
from seatrial.seeds.values import distinct, pool

TYPES = {
    "integer": "integer",
    "INT": "integer",
    "int(11) unsigned": "integer",
    "bigint": "integer",
    "tinyint(1)": "boolean",
    "BOOLEAN": "boolean",
    "numeric(10,2)": "decimal",
    "DECIMAL": "decimal",
    "double precision": "float",
    "real": "float",
    "character varying(20)": "text",
    "varchar(255)": "text",
    "character(5)": "char",
    "longtext": "text",
    "citext": "text",
    "timestamp without time zone": "timestamp",
    "timestamp(3) with time zone": "timestamptz",
    "datetime(6)": "timestamp",
    "time with time zone": "timetz",
    "date": "date",
    "interval": "interval",
    "uuid": "uuid",
    "json": "json",
    "jsonb": "jsonb",
    "bytea": "bytes",
    "varbinary(16)": "bytes",
    "binary(16)": "binary",
    "inet": "inet",
    "cidr": "cidr",
    "macaddr8": "macaddr8",
    "bit(8)": "bit",
    "bit varying(8)": "varbit",
    "xml": "xml",
    "money": "money",
    "point": "point",
    "tsvector": "tsvector",
    "int4range": "range",
    "datemultirange": "multirange",
    "integer[]": "array",
    "text[][]": "array",
    "year(4)": "year",
    "enum('a','b')": "enum",
    "set('a','b')": "set",
    "UNSIGNED BIG INT": "integer",
    "NATIVE CHARACTER(70)": "text",
    "": "text",
    "geography(Point,4326)": "spatial",
    "BIG INTERNAL THING": "integer",  # by affinity
}


@pytest.mark.parametrize(("text", "name"), TYPES.items())
def test_family_of_a_type(text, name):
    assert family(text).name == name


def test_limits_of_a_type():
    assert family("int(11) unsigned").high == 2**32 - 1
    assert (family("smallint").low, family("smallint").high) == (-32768, 32767)
    assert family("varchar(20)").length == 20
    assert (family("numeric(10,2)").precision, family("numeric(10,2)").scale) == (10, 2)
    assert family("enum('it''s','b)')").labels == ("it's", "b)")
    assert family("mood[]", {"mood": Family(name="enum", labels=("a",))}).element.labels == ("a",)


@given(st.text())
def test_any_text_has_a_family_with_values(text):
    found = family(text)
    assert isinstance(pool(found), list)
    assert distinct(found, 0, 1000) is not None or found.name in ("set", "enum", "hstore")


@pytest.mark.parametrize("text", [t for t in TYPES if t not in ("", "enum('a','b')", "set('a','b')")])
def test_values_are_different_and_repeatable(text):
    made = [distinct(family(text), i, 7000) for i in range(12)]
    found = [repr(v) for v in made if v is not None]
    assert len(found) == len(set(found)) >= 1
    assert made == [distinct(family(text), i, 7000) for i in range(12)]


def test_values_that_hurt():
    texts = pool(family("varchar(20)"))
    assert "" in texts and "00501" in texts
    assert any(len(str(t)) == 20 for t in texts) and all(len(str(t)) <= 20 for t in texts)
    assert any(str(t) != str(t).strip() for t in texts) and any("😀" in str(t) for t in texts)
    assert 2**53 + 1 in pool(family("bigint"))
    assert any(str(v) == "-0.0" for v in pool(family("double precision")))
    assert any(b"\x00" in v for v in pool(family("bytea")) if isinstance(v, bytes))
    assert any("NULL" in str(v) for v in pool(family("integer[]")))
    assert all(re.fullmatch(r"-?\d{1,8}\.\d\d", str(v)) for v in pool(family("numeric(10,2)")))
    assert all(str(v).startswith(("{", "[")) for v in pool(family("text"), "settings", "'{}'"))
    assert pool(family("boolean"), "is_admin", "'f'") == ["t", "f"]
    assert pool(family("boolean"), "is_admin", "'No'") == ["Yes", "No"]
    assert pool(family("boolean"), "is_admin", "'0'") == pool(family("boolean")) == [True, False]
    assert not any(ord(c) > 255 for v in pool(Family(name="text", charset="latin1")) for c in str(v))


CONDITIONS = [
    ("a IN ('x','y')", {"a": "x"}, {"a": "z"}),
    ("((a)::text = ANY ((ARRAY['x'::character varying, 'y'::character varying])::text[]))", {"a": "y"}, {"a": "z"}),
    ("((a)::text <> ALL ((ARRAY['x'::character varying])::text[]))", {"a": "y"}, {"a": "x"}),
    ("n BETWEEN 1 AND 5 AND n <> 3", {"n": Decimal(4)}, {"n": Decimal(3)}),
    ("NOT (n > 5 OR n < 0)", {"n": Decimal(5)}, {"n": Decimal(6)}),
    ("(n > (0)::numeric)", {"n": Decimal("0.1")}, {"n": Decimal(0)}),
    ("length(trim(a)) >= 2", {"a": " xy "}, {"a": " x "}),
    ("char_length(a) = 3", {"a": "é x"}, {"a": "xx"}),
    ("a LIKE 'AB-%'", {"a": "AB-1"}, {"a": "B"}),
    ("(a ~~ '%@%'::text)", {"a": "x@y"}, {"a": "xy"}),
    ("(a ~ '^[A-Z]{2}$'::text)", {"a": "AB"}, {"a": "ab"}),
    ("a GLOB '[A-Z]*'", {"a": "Ab"}, {"a": "b"}),
    ("a IS NULL OR b IS NULL", {"a": None, "b": "x"}, {"a": "x", "b": "x"}),
    ("((a IS NULL) <> (b IS NULL))", {"a": None, "b": "x"}, {"a": None, "b": None}),
    ("num_nonnulls(a, b) = 1", {"a": None, "b": "x"}, {"a": "y", "b": "x"}),
    ("a IS NOT DISTINCT FROM b", {"a": "x", "b": "x"}, {"a": "x", "b": "y"}),
    ("CASE WHEN n > 1 THEN a = 'x' ELSE TRUE END", {"n": Decimal(1), "a": "y"}, {"n": Decimal(2), "a": "y"}),
    ("coalesce(n, 7) % 5 = 2", {"n": None}, {"n": Decimal(6)}),
    ("t.n < m", {"n": Decimal(1), "m": Decimal(2)}, {"n": Decimal(2), "m": Decimal(2)}),
    ("CAST(n AS integer) = -1", {"n": Decimal(-1)}, {"n": Decimal(1)}),
    ("upper(a) = a", {"a": "X"}, {"a": "x"}),
    ("flag", {"flag": True}, {"flag": False}),
    ("n IN (0,1)", {"n": Decimal(1)}, {"n": Decimal(2)}),
]


@pytest.mark.parametrize(("text", "good", "bad"), CONDITIONS)
def test_condition(text, good, bad):
    made = condition(text, ["a", "b", "n", "m", "flag"], "postgresql" if "GLOB" not in text else "sqlite")
    assert made.value(good) is True
    assert made.refuses(bad)


def test_condition_of_mysql():
    made = condition("(`a` in (_utf8mb4'x',_utf8mb4'y'))", ["a"], "mysql")
    assert made.value({"a": "y"}) is True and made.refuses({"a": "z"})


def test_null_does_not_violate_a_condition():
    assert condition("n > 5", ["n"], "sqlite").value({"n": None}) is None


@given(st.text(alphabet="ab n()<>='%,1::ANDORNOTIS\"?|~", max_size=40))
def test_no_text_breaks_a_condition(text):
    made = condition(text, ["a", "n"], "postgresql")
    assert made.value({"a": "x", "n": Decimal(1)}) is not ...


def test_what_is_not_understood_stands_in_nobodys_way():
    made = condition("jsonb_typeof(a) = 'object'", ["a"], "postgresql")
    assert made.value({"a": "{}"}) is UNKNOWN and not made.refuses({"a": "{}"})


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Z]{3}-\d{4}$",
        r"^(foo|ba[rz])+x?$",
        r"^\+?[0-9 ]{7,15}$",
        r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
        r"^#(?:[0-9a-fA-F]{3}){1,2}$",
        r"\.csv$",
    ],
)
def test_texts_after_a_pattern_match_it(pattern):
    made = from_regex(pattern, random.Random(1), 20)
    assert len(made) == 20
    assert all(re.search(pattern, text) for text in made)


def test_texts_like_a_pattern():
    assert from_like("AB_%") == ["ABa", "ABax7"]


def test_ranges_do_not_overlap():
    made = [distinct(family("int4range"), i, 100) for i in range(5)]
    bounds = [tuple(int(n) for n in re.findall(r"\d+", str(text))) for text in made]
    assert all(high <= low for (_, high), (low, _) in pairwise(bounds))
