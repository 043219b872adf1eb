"""A second up that deals keys anew gives other keys, not other data."""

import pytest

from seatrial.checks.repeatable import _rows
from seatrial.model import ChangedRow, ChangeGroup, TableDiff, TableRef

CITIES = TableRef("", "cities")
DRAWN = frozenset({(CITIES, "id")})


def second_up(*changes, count=None):
    rows = tuple(ChangedRow(key=(key,), old=(old,), new=(new,)) for key, old, new in changes)
    group = ChangeGroup(columns=("name",), count=count or len(rows), rows=rows)
    return TableDiff(table=CITIES, key=("id",), columns=("id", "name"), changed=(group,))


@pytest.mark.parametrize(
    ("change", "other_data"),
    [
        (second_up(("1", "Bonn", "Rome"), ("2", "Rome", "Bonn")), 0),
        (second_up(("1", "Bonn", "Rome"), ("2", "Rome", "Oslo")), 2),
        (second_up(("1", None, "Rome"), ("2", "Rome", None)), 0),
        (second_up(("1", "Bonn", "Rome"), ("2", "Rome", "Bonn"), count=5000), 5000),  # not all of them are known
    ],
)
def test_the_same_values_under_other_drawn_keys(change, other_data):
    assert _rows(change, DRAWN, wanted=False).count == other_data
    assert _rows(change, DRAWN, wanted=True).count == (0 if other_data else 2)
    assert _rows(change, frozenset(), wanted=False).count == change.changed[0].count
