"""A rule that a table declares twice, under two names, and after down once."""

from __future__ import annotations

import pytest
from cause_lab import findings, happened

from seatrial.model import Severity

PARENT = "CREATE TABLE p (id integer PRIMARY KEY);"
FIRST = "CONSTRAINT fk_t_p FOREIGN KEY (p_id) REFERENCES p (id)"


def table(*rules: str) -> str:
    return f"CREATE TABLE t (id integer PRIMARY KEY, p_id integer, {', '.join(rules)});"


@pytest.mark.parametrize(
    ("second", "severity"),
    [
        ("CONSTRAINT fk_t_p_p FOREIGN KEY (p_id) REFERENCES p (id)", Severity.LOW),
        ("CONSTRAINT fk_t_p_p FOREIGN KEY (p_id) REFERENCES p (id) ON DELETE CASCADE", Severity.HIGH),
    ],
)
def test_a_rule_that_still_stands_under_its_other_name_is_no_lost_guarantee(second, severity):
    """SQLAlchemy reads one of two equal foreign keys of a SQLite table, so a batch leaves the other out."""
    down = f"DROP TABLE t; {table(second)}"
    trial = happened(
        base=PARENT + table(FIRST, second), up="ALTER TABLE t ADD COLUMN note text", down=down, engine="sqlite"
    )
    (found,) = findings(trial, "schema-not-restored")
    assert found.severity is severity and found.objects == ("constraint fk_t_p",)
