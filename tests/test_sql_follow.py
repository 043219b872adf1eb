"""Names followed through renamed schemas and altered types, and what a detached partition inherits."""

from sql_schemas import key, ref, schema

from seatrial.model import TableRef
from seatrial.sql.intent import read

JOBS = {"jobs": "id state"}


def test_tables_of_a_renamed_schema_are_followed():
    found = read(
        ["alter schema sales rename to trade", "update trade.jobs set state = 1"],
        "postgresql",
        schema({"sales.jobs": "id state"}),
    )
    old = ref("sales.jobs")
    assert found.renames.tables == ((old, TableRef("trade", "jobs")),)
    assert found.names_table(old) and found.mentions_column(old, "state") and not found.mentions_column(old, "id")
    assert found.moves_schemas() == {"sales": "trade"}


def test_altering_a_type_is_about_its_columns():
    before = schema({"jobs": {"id": {"type": "integer"}, "state": {"type": "mood[]"}}})
    for text in ("alter type mood rename value 'a' to 'b'", "alter type mood add attribute x int"):
        found = read([text], "postgresql", before)
        assert found.names_table(ref("jobs")) and found.mentions_column(ref("jobs"), "state")
        assert not found.mentions_column(ref("jobs"), "id")
        assert found.states_attribute(key("column", "jobs", "state"), "default")
    assert not read(["drop type mood cascade"], "postgresql", before).names_table(ref("jobs"))


def test_what_a_detached_partition_inherits_is_stated():
    found = read(["alter table jobs detach partition old"], "postgresql", schema({**JOBS, "old": "id state"}))
    assert found.states_attribute(key("constraint", "old", "old_pkey"), "inherited")
    assert not found.states_attribute(key("constraint", "old", "old_pkey"), "definition")


def test_the_default_schema_may_be_named():
    objects = [("schema", "", "public", {}), ("schema", "", "old", {})]
    before = schema({"jobs": "id state", "old.jobs": "id state"}, objects)
    found = read(["delete from public.jobs", "alter table public.jobs rename to done"], "postgresql", before)
    assert found.names_table(ref("jobs")) and not found.names_table(ref("old.jobs"))
    assert found.renames.tables == ((ref("jobs"), ref("done")),)


def test_a_part_of_a_column_is_no_backfill():
    for text in (
        "update jobs set state[1] = 5",
        "update jobs set state.a = 5",
        "update jobs set id = 1, state['k'] = '1'",
    ):
        found = read([text], "postgresql", schema(JOBS))
        assert not found.backfills and len(found.unjudged_backfills) == 1, text
    assert read(["update jobs set state = 5"], "postgresql", schema(JOBS)).backfills
