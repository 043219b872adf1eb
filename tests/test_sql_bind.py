"""Bound values as literals: the same text that the engine would have been given, or none at all."""

import pytest

from seatrial.reporters.redact import words
from seatrial.sql.bind import bound

EXACT = [
    ("sqlite", "UPDATE t SET a = ? WHERE b = ?", (1, "x"), "UPDATE t SET a = 1 WHERE b = 'x'"),
    ("sqlite", "UPDATE t SET a = '?' WHERE b = ?", ("it's",), "UPDATE t SET a = '?' WHERE b = 'it''s'"),
    ("sqlite", "UPDATE t SET a = a -?", (-5,), "UPDATE t SET a = a -(-5)"),
    ("sqlite", "UPDATE t SET a = :a -- :b", {"a": None}, "UPDATE t SET a = NULL -- :b"),
    ("sqlite", "UPDATE t SET a = ?", (True,), "UPDATE t SET a = 1"),
    ("postgresql", "UPDATE t SET a = %(a)s WHERE b LIKE 'x%%'", {"a": True}, "UPDATE t SET a = TRUE WHERE b LIKE 'x%'"),
    (
        "postgresql",
        "UPDATE t SET a = $2::TEXT WHERE b = $1::INTEGER",
        (7, "x"),
        "UPDATE t SET a = 'x'::TEXT WHERE b = 7::INTEGER",
    ),
    ("mysql", "UPDATE t SET a = %s LIMIT %s", ("x", 2), "UPDATE t SET a = 'x' LIMIT 2"),
]
NOT_KNOWN = [
    ("sqlite", "UPDATE t SET a = ?", (1, 2)),
    ("sqlite", "UPDATE t SET a = 1", ()),
    ("sqlite", "UPDATE t SET a = :a", {"b": 1}),
    ("sqlite", "UPDATE t SET a = ?", ("a\0b",)),
    ("mysql", "UPDATE t SET a = %s", ("a\\b",)),  # what a backslash means there follows sql_mode
    ("postgresql", "UPDATE t SET a = $3", (1,)),
]


@pytest.mark.parametrize(("dialect", "text", "values", "whole"), EXACT)
def test_values_become_literals(dialect, text, values, whole):
    assert bound(text, dialect, values) == whole


@pytest.mark.parametrize(("dialect", "text", "values"), NOT_KNOWN)
def test_what_is_not_exactly_known_is_left(dialect, text, values):
    assert bound(text, dialect, values) == ""


def test_a_redacted_sentence_shows_none_of_the_values():
    """Bound values may have been read from rows; numbers of definitions are sizes, and stay."""
    said = words("up overwrites a (`UPDATE t SET a = 1234 WHERE b = 'x'`) and `ALTER TABLE t ADD c varchar(20)` stands")
    assert said == "up overwrites a (`UPDATE t SET a = … WHERE b = '…'`) and `ALTER TABLE t ADD c varchar(20)` stands"
