"""conversion-loss, where down does not bring the converted column back."""

from __future__ import annotations

from cause_lab import findings, happened

from seatrial.model import CastBack, ChangedRow, Severity, TableRef

FEES = TableRef("", "fees")
BASE = "CREATE TABLE fees (id integer PRIMARY KEY, usd decimal(20,8) NOT NULL);"
SEED = "INSERT INTO fees VALUES (1, '0.12345678');"
ROUNDED = ChangedRow(key=("1",), old=("0.12345678",), new=("0.12000000",))


def rebuilt(column: str, value: str) -> str:
    return f"""
CREATE TABLE other (id integer PRIMARY KEY, {column} NOT NULL);
INSERT INTO other SELECT id, {value} FROM fees;
DROP TABLE fees;
ALTER TABLE other RENAME TO fees;
"""


def test_a_column_that_down_leaves_under_its_new_name_is_not_called_restored():
    """Its value stays rounded: nothing restores it. Where down gives the old value back, it is LOW."""
    casts = (CastBack(table=FEES, column="usd", count=1, rows=(ROUNDED,)),)
    up = rebuilt("usd decimal(20,2)", "round(usd, 2)") + "ALTER TABLE fees RENAME COLUMN usd TO fee_usd;"
    left = happened(base=BASE, seed=SEED, up=up, down="ALTER TABLE fees ADD COLUMN note text", cast_backs=casts)
    (found,) = findings(left, "conversion-loss")
    assert found.severity is Severity.HIGH
    assert "restores" not in found.message and found.causes
    back = rebuilt("usd decimal(20,8)", "'0.12345678'")
    restored = happened(
        base=BASE, seed=SEED, up=rebuilt("usd decimal(20,2)", "round(usd, 2)"), down=back, cast_backs=casts
    )
    (found,) = findings(restored, "conversion-loss")
    assert found.severity is Severity.LOW and found.message.endswith("down restores them.")
