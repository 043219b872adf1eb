"""Every corpus case is read without an error, and what its up changes is seen as asked for where that is obvious."""

import tomllib
from pathlib import Path

import pytest
from sql_schemas import key, ref

from seatrial.model import ObjectKey, Schema
from seatrial.sql import split
from seatrial.sql.effects import Verb
from seatrial.sql.intent import read
from seatrial.sql.statement import parse

FOLDER = Path(__file__).parent / "corpus" / "public"
SECTIONS = [
    pytest.param(facts[dialect], "mysql" if dialect == "mysql" else dialect, id=f"{path.stem}-{dialect}")
    for path in sorted(FOLDER.glob("*.toml"))
    for facts in [tomllib.loads(path.read_text())]
    for dialect in ("sqlite", "postgresql", "mysql", "mariadb")
    if dialect in facts
]


def schema_of(base, dialect):
    """The schema that CREATE statements make, as far as sql/ itself reads them."""
    found = {}
    for statement in split(base, dialect):
        for effect in parse(statement.text, dialect).effects:
            table = effect.table.name if effect.table else ""
            if effect.verb is Verb.CREATE_TABLE:
                found[key("table", "", table)] = {}
                for position, column in enumerate(effect.definitions, 1):
                    kind = " ".join(t.text for t in column.type)
                    found[key("column", table, column.name)] = {"position": position, "type": kind}
            elif effect.verb is Verb.OBJECT:
                found[ObjectKey(effect.kind, "", table, effect.new)] = {"definition": statement.text}
    return Schema(found)


def intent(section, dialect, step="up"):
    schema = schema_of(section["base"], dialect)
    return read([s.text for s in split(section.get(step) or "", dialect)], dialect, schema), schema


@pytest.mark.parametrize(("section", "dialect"), SECTIONS)
def test_every_case_is_read(section, dialect):
    for step in ("up", "down"):
        found, schema = intent(section, dialect, step)
        assert found.opaque == ()
        assert found.zones == () or "zone" in section[step].lower()
        for object_key in schema:
            found.names_object(object_key)


def section(case, dialect):
    return tomllib.loads((FOLDER / f"{case}.toml").read_text())[dialect], dialect


UNTOUCHED = [
    ("A07-delete-cascades-to-child", "order_items"),
    ("A08-delete-sets-child-null", "players"),
    ("A15-backfill-fires-trigger", "audit"),
]


@pytest.mark.parametrize(("case", "table"), UNTOUCHED)
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mysql"])
def test_what_the_case_calls_collateral_is_not_asked_for(case, table, dialect):
    found, _ = intent(*section(case, dialect))
    assert not found.names_table(ref(table))


def test_on_update_is_not_asked_for_unless_it_is_assigned():
    bumped, _ = intent(*section("C03-backfill-bumps-updated-at", "mysql"))
    kept, _ = intent(*section("C03-backfill-keeps-updated-at-safe", "mysql"))
    assert not bumped.mentions_column(ref("pages"), "updated_at")
    assert kept.mentions_column(ref("pages"), "updated_at")


def test_what_modify_forgets_is_not_stated():
    forgets, _ = intent(*section("C01-modify-loses-attributes", "mysql"))
    repeats, _ = intent(*section("C01-modify-full-definition-safe", "mysql"))
    status = key("column", "orders", "status")
    assert [a for a in ("type", "nullable", "default", "comment") if forgets.states_attribute(status, a)] == [
        "type",
        "nullable",
    ]
    assert all(repeats.states_attribute(status, a) for a in ("type", "nullable", "default", "comment"))


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mysql"])
def test_a_parked_table_is_followed(dialect):
    found, _ = intent(*section("A02-drop-table-parked-safe", dialect))
    assert found.renames.tables == ((ref("coupons"), ref("coupons_retired")),)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mysql"])
def test_random_values_are_known(dialect):
    found, _ = intent(*section("A16-random-backfill-low", dialect))
    assert found.nondeterministic_columns == ((ref("guests"), "token"),)
    assert found.backfills == ()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mysql"])
def test_batches_are_one_backfill(dialect):
    found, _ = intent(*section("F21-batch-backfill-stops-early", dialect))
    assert [(b.table, b.columns) for b in found.backfills] == [(ref("points"), ("x_norm",))]
