"""Folders of SQL files: found, read and run as dbmate and golang-migrate do."""

from pathlib import Path

import pytest
from test_sources_support import Sqlite, tables, write

from seatrial import sources
from seatrial.errors import SourceError
from seatrial.model import Transaction
from seatrial.sources import SourceSettings
from seatrial.sources.sqlfiles import _common as common
from seatrial.sources.sqlfiles import dbmate

UP = "-- migrate:up\n"
DOWN = "-- migrate:down\n"


@pytest.fixture
def database(tmp_path):
    return Sqlite(tmp_path / "throwaway.db")


def dbmate_project(folder: Path, **files: str) -> Path:
    return write(folder, {f"db/migrations/{name}.sql": text for name, text in files.items()})


# --- finding a source -------------------------------------------------------------------------------------------------


def test_dbmate_is_found_by_its_directive(tmp_path):
    source = sources.find(dbmate_project(tmp_path, **{"1_a": f"{UP}create table a (x);\n{DOWN}drop table a;\n"}))
    assert (source.kind, source.path) == ("dbmate", tmp_path / "db" / "migrations")
    assert source.bookkeeping == {"schema_migrations"}


def test_golang_migrate_is_found_by_its_names(tmp_path):
    source = sources.find(write(tmp_path, {"deep/er/sql/1_a.up.sql": "", "deep/er/sql/1_a.down.sql": ""}))
    assert (source.kind, source.path) == ("golang-migrate", tmp_path / "deep" / "er" / "sql")


def test_nothing_found_says_what_was_looked_for_and_where(tmp_path):
    with pytest.raises(SourceError) as error:
        sources.find(write(tmp_path, {"readme.sql": "select 1"}))
    for word in (str(tmp_path), "db/migrations", "1_name.up.sql", "alembic.ini", "--migrations"):
        assert word in str(error.value)


def test_files_that_fit_no_layout_are_named(tmp_path):
    write(tmp_path, {f"sql/V{n}__x.sql": "select 1" for n in range(1, 6)} | {"migrations/0001_initial.py": ""})
    with pytest.raises(SourceError) as error:
        sources.find(tmp_path)
    assert "fits none of these: migrations/0001_initial.py, sql/V1__x.sql, sql/V2__x.sql. " in str(error.value)
    with pytest.raises(SourceError, match=r"fits none of these: sql/V5__x\.sql\. "):
        sources.find(tmp_path, path="sql/V5__x.sql")


def test_several_sources_are_named_and_path_chooses(tmp_path):
    write(tmp_path, {"a/1_x.up.sql": "", "b/1_x.up.sql": "", "c/1_x.sql": f"{UP}select 1;"})
    with pytest.raises(SourceError, match=r"dbmate: c; golang-migrate: a; golang-migrate: b"):
        sources.find(tmp_path)
    assert sources.find(tmp_path, path="b").path == tmp_path / "b"
    assert sources.find(tmp_path, kind="dbmate").path == tmp_path / "c"


def test_a_folder_with_settings_of_its_own_is_another_project(tmp_path):
    write(tmp_path, {"shop/seatrial.toml": "", "shop/db/migrations/1_x.sql": f"{UP}select 1;"})
    with pytest.raises(SourceError, match=r"own, to be run there: shop\. "):
        sources.find(tmp_path)
    assert sources.find(tmp_path / "shop").path == sources.find(tmp_path, path="shop").path
    write(tmp_path, {"db/1_x.sql": f"{UP}select 1;"})
    assert sources.find(tmp_path).path == tmp_path / "db"


def test_folders_of_libraries_are_not_searched(tmp_path):
    with pytest.raises(SourceError, match="No migrations"):
        sources.find(write(tmp_path, {"node_modules/x/1_x.up.sql": "", ".cache/1_x.up.sql": ""}))


def test_unknown_kind_and_missing_path(tmp_path):
    with pytest.raises(SourceError, match='no source type "flyway"'):
        sources.find(tmp_path, kind="flyway")
    with pytest.raises(SourceError, match="db/nowhere is not there in"):
        sources.find(tmp_path, path="db/nowhere")


def test_a_named_folder_without_migrations_says_so(tmp_path):
    write(tmp_path, {"m/notes.txt": ""})
    with pytest.raises(SourceError, match="holds no migrations of dbmate"):
        sources.find(tmp_path, kind="dbmate", path="m").discover()


# --- dbmate -----------------------------------------------------------------------------------------------------------


def test_dbmate_migrations_in_order_with_names_and_parents(tmp_path):
    text = f"{UP}select 1;\n{DOWN}select 1;\n"
    found = sources.find(dbmate_project(tmp_path, **{"20240102_add_status": text, "003-b": text})).discover()
    assert [(m.id, m.version, m.name, m.parents) for m in found] == [
        ("003", "003", "b", ()),
        ("20240102", "20240102", "add status", ("003",)),
    ]
    assert found[0].path == "db/migrations/003-b.sql"


@pytest.mark.parametrize(
    ("down", "why"),
    [
        ("", "it has no `-- migrate:down` block"),
        (DOWN, "its down is empty"),
        (f"{DOWN}\n -- nothing\n/* at /* all */ */ ;\n", "its down is empty"),
        (f"{DOWN}select 1;", None),
        (f"{DOWN}do $$ begin raise 'no way back'; end $$;", "its down raises: no way back"),
        (f"{DOWN}-- never\nDO LANGUAGE plpgsql $$ BEGIN RAISE EXCEPTION 'no'; END; $$;", "its down raises: no"),
        (f"{DOWN}do $$ begin delete from a; raise 'no'; end $$;", None),
        (f"{DOWN}do $$ begin raise notice 'no'; end $$;", None),
        (f"{DOWN}drop table a; do $$ begin raise 'no'; end $$;", None),
        (f"{DOWN}begin raise 'no'; end;", None),
        (f"{DOWN}/*!40101 set @x = 1 */;", None),
    ],
)
def test_dbmate_no_down(tmp_path, down, why):
    (found,) = sources.find(dbmate_project(tmp_path, **{"1_a": f"{UP}create table a (x);\n{down}"})).discover()
    assert found.no_down == why


def test_dbmate_description_is_the_leading_comment(tmp_path):
    text = f"-- Orders get a status,\n-- for the shop.\n\n-- aside\n{UP}-- x\nselect 1;"
    (found,) = sources.find(dbmate_project(tmp_path, **{"1_a_b": text})).discover()
    assert found.description == "Orders get a status, for the shop."
    (other,) = sources.find(dbmate_project(tmp_path / "o", **{"1_a_b": f"{UP}select 1;"})).discover()
    assert other.description == "a b"


def test_dbmate_runs_in_one_transaction_and_keeps_its_table(tmp_path, database):
    text = f"{UP}create table a (x);\n{DOWN}drop table a;\n"
    source = sources.find(dbmate_project(tmp_path, **{"0001_a": text}))
    (migration,) = source.discover()
    runner = source.runner(database)
    assert runner.up(migration).error is None
    assert database.query("select version from schema_migrations") == [("0001",)]
    assert database.scripts[0].transaction is Transaction.ONE
    assert database.scripts[0].text == f"{UP}create table a (x);\n"
    assert runner.down(migration).error is None
    assert database.query("select version from schema_migrations") == []
    assert database.scripts[1].first_line == 3


def test_dbmate_failed_up_leaves_no_record(tmp_path, database):
    source = sources.find(dbmate_project(tmp_path, **{"1_a": f"{UP}create table a (x); oops;\n{DOWN}"}))
    step = source.runner(database).up(source.discover()[0])
    assert "oops" in step.error.message
    assert database.query("select * from schema_migrations") == []
    assert "a" not in tables(database)


@pytest.mark.parametrize("option", ["transaction:false", "foo:bar  transaction:false", "x:y:z transaction:false\t"])
def test_dbmate_transaction_false_sends_one_string(tmp_path, database, option):
    text = f"-- migrate:up {option}\ncreate table a (x);\n{DOWN}drop table a;"
    source = sources.find(dbmate_project(tmp_path, **{"1_a": text}))
    source.runner(database).up(source.discover()[0])
    assert (database.scripts[0].transaction, database.scripts[0].epilogue) == (Transaction.STRING, ())
    assert database.query("select version from schema_migrations") == [("1",)]


def test_dbmate_session_settings_are_in_every_script(tmp_path, database):
    source = sources.find(
        dbmate_project(tmp_path, **{"1_a": f"{UP}create table a as select * from pragma_foreign_keys;\n{DOWN}"}),
        settings=SourceSettings(session=("PRAGMA foreign_keys = ON",)),
    )
    source.runner(database).up(source.discover()[0])
    assert database.query("select * from a") == [("1",)]
    assert source.settings("sqlite") == ("foreign keys follow the session setting `PRAGMA foreign_keys = ON`",)


def test_dbmate_crlf_files(tmp_path, database):
    text = f"{UP}create table a (x);\n{DOWN}drop table a;\n".replace("\n", "\r\n")
    source = sources.find(dbmate_project(tmp_path, **{"1_a": text}))
    (migration,) = source.discover()
    runner = source.runner(database)
    assert runner.up(migration).error is None
    assert runner.down(migration).error is None
    assert tables(database) == {"schema_migrations"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("create table a (x);", "no `-- migrate:up` block"),
        ("-- +goose Up\ncreate table a (x);", r"no `-- migrate:up` block.*`-- \+goose Up`"),
        (f"create table a (x);\n{UP}", "statements before"),
        (f"{DOWN}drop table a;\n{UP}create table a (x);", "before `-- migrate:down`"),
        (f"{UP}{DOWN}{DOWN}", "two `-- migrate:down`"),
    ],
)
def test_dbmate_refuses_what_dbmate_refuses(tmp_path, text, message):
    dbmate_project(tmp_path, **{"1_good": f"{UP}{DOWN}", "2_bad": text})
    with pytest.raises(SourceError, match=f"2_bad.sql.*{message}"):
        sources.find(tmp_path).discover()


def test_dbmate_files_that_cannot_be_migrations(tmp_path):
    dbmate_project(tmp_path, **{"1_a": f"{UP}", "schema": "create table a (x)"})
    with pytest.raises(SourceError, match=r"would pass over: schema\.sql"):
        sources.find(tmp_path).discover()


def test_two_files_of_one_version_are_named(tmp_path):
    dbmate_project(tmp_path, **{"1_a": UP, "1_b": UP})
    with pytest.raises(SourceError, match=r"1_a\.sql and 1_b\.sql .* same version, 1;"):
        sources.find(tmp_path).discover()


def test_a_file_that_is_not_utf8_is_named_with_the_offset(tmp_path):
    dbmate_project(tmp_path, **{"1_a": UP})
    (tmp_path / "db/migrations/2_b.sql").write_bytes(UP.encode() + b"-- caf\xe9\n")
    with pytest.raises(SourceError, match=r"2_b.sql is not UTF-8: byte 0xe9 at offset 20"):
        sources.find(tmp_path).discover()


def test_hostile_version_table_name_is_quoted(tmp_path, database):
    name = 'v"; DROP TABLE x; --'
    source = sources.find(
        dbmate_project(tmp_path, **{"1_a": f"{UP}create table a (x);\n{DOWN}"}),
        settings=SourceSettings(options={"migrations-table": name}),
    )
    assert source.runner(database).up(source.discover()[0]).error is None
    assert tables(database) == {"a", name}


# --- golang-migrate ---------------------------------------------------------------------------------------------------


def migrate_project(folder: Path, **files: str) -> Path:
    return write(folder, {f"migrations/{name.replace('__', '.')}.sql": text for name, text in files.items()})


def test_golang_migrate_orders_by_number_and_keeps_ids_as_written(tmp_path):
    migrate_project(tmp_path, **{"010_c__up": "", "9_b__up": "", "9_b__down": "x", "0001_a__up": "", "1_z__down": "--"})
    found = sources.find(tmp_path).discover()
    assert [(m.id, m.parents, m.no_down) for m in found] == [
        ("0001", (), "its down is empty"),
        ("9", ("0001",), None),
        ("010", ("9",), "it has no down file"),
    ]


def test_golang_migrate_marks_dirty_and_clean(tmp_path, database):
    files = {"1_a__up": "create table a (x);", "1_a__down": "drop table a;", "2_b__up": "oops", "2_b__down": "oops"}
    source = sources.find(migrate_project(tmp_path, **files))
    first, second = source.discover()
    runner = source.runner(database)
    versions = "select version, dirty from schema_migrations"
    assert runner.up(first).error is None
    assert database.query(versions) == [("1", "0")]
    assert runner.up(second).error
    assert database.query(versions) == [("2", "1")]
    assert runner.down(second).error
    assert database.query(versions) == [("1", "1")]
    assert runner.down(first).error is None
    assert database.query(versions) == []


def test_golang_migrate_transactions(tmp_path, database):
    source = sources.find(migrate_project(tmp_path, **{"1_a__up": "create table a (x);"}))
    source.runner(database).up(source.discover()[0])
    loose = sources.find(tmp_path, settings=SourceSettings(options={"x-no-tx-wrap": "true"}))
    loose.runner(database).up(source.discover()[0])
    assert [s.transaction for s in database.scripts] == [Transaction.ONE, Transaction.STRING]


def test_golang_migrate_runs_scripts_with_their_own_transactions_loosely(tmp_path, database):
    """Nothing of such a project could ever have run inside golang-migrate's (pocket-id)."""
    files = {"1_a__up": "pragma foreign_keys=off; begin; create table a (x); commit;", "2_b__up": "select 1;"}
    source = sources.find(migrate_project(tmp_path, **files))
    assert all(source.runner(database).up(m).error is None for m in source.discover())
    assert {s.transaction for s in database.scripts} == {Transaction.STRING}
    assert "x-no-tx-wrap" in source.settings("sqlite")[0]
    later = sources.find(migrate_project(tmp_path / "later", **{"1_a__up": "select 1;", "2_b__up": "begin; commit;"}))
    assert not any("x-no-tx-wrap" in said for said in later.settings("sqlite"))


def test_golang_migrate_twins_of_different_spelling(tmp_path):
    migrate_project(tmp_path, **{"1_a__up": "", "01_b__up": ""})
    with pytest.raises(SourceError, match=r"01_b\.up\.sql and 1_a\.up\.sql .* same version, 1;"):
        sources.find(tmp_path).discover()


def test_golang_migrate_missing_up_moves_the_version_alone(tmp_path, database):
    source = sources.find(migrate_project(tmp_path, **{"1_a__up": "create table a (x);", "2_b__down": "drop table a;"}))
    step = source.runner(database).up(source.discover()[1])
    assert (step.executed, step.error, step.statements) == (True, None, ())
    assert database.query("select version, dirty from schema_migrations") == [("2", "0")]


def test_golang_migrate_version_that_does_not_fit(tmp_path):
    migrate_project(tmp_path, **{"18446744073709551616_a__up": "", "1_a__up": ""})
    with pytest.raises(SourceError, match="does not fit in 64 bits"):
        sources.find(tmp_path).discover()


# --- the pure parts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql", ["", " ;\n;", "-- a", "/* a */ -- b\n# c", "/* a /* b */ c */", "/* a /* b */", "\ufeff--"]
)
def test_blank(sql):
    assert common.is_blank(sql)


@pytest.mark.parametrize("sql", ["select 1", "-- a\nselect 1", "/* a */ x", "/*! x */", "/* a /* b */ c */ x"])
def test_not_blank(sql):
    assert not common.is_blank(sql)


# --- on PostgreSQL ----------------------------------------------------------------------------------------------------


def test_dbmate_on_postgresql_keeps_its_table_where_the_migration_leads(tmp_path, pg):
    up = "create schema app; set search_path = app; create table schema_migrations (version text); create table a ();"
    source = sources.find(dbmate_project(tmp_path, **{"0001_a": f"{UP}{up}\n{DOWN}drop schema app cascade;"}))
    (migration,) = source.discover()
    runner = source.runner(pg)
    assert runner.up(migration).error is None
    assert pg.query("select version from app.schema_migrations") == [("0001",)]
    assert pg.query("select version from public.schema_migrations") == []
    assert runner.down(migration).error is None


def test_postgresql_version_table_follows_the_search_path():
    table = dbmate.PostgresVersionTable("my'versions")
    assert table.insert("0001") == (
        "do $seatrial$ begin execute format('insert into %s (version) values (''0001'')', "
        "format('%I.%I', coalesce(current_schema(), 'public'), 'my''versions')); end $seatrial$"
    )


def test_a_folder_of_migrations_may_be_a_link(tmp_path):
    write(tmp_path / "elsewhere", {"1_a.up.sql": "select 1", "1_a.down.sql": "select 1"})
    project = tmp_path / "project"
    project.mkdir()
    (project / "migrations").symlink_to("../elsewhere")
    (project / "again").symlink_to(".")  # leads back, as links of workspaces do
    found = sources.find(project)
    assert (found.kind, found.path) == ("golang-migrate", project / "migrations")
    assert [m.id for m in found.discover()] == ["1"]


def test_dbmate_does_not_see_a_line_behind_a_byte_order_mark(tmp_path):
    write(tmp_path, {"db/migrations/1_a.sql": "\ufeff-- migrate:up\nselect 1;\n"})
    with pytest.raises(SourceError, match=r"1_a\.sql .* byte order mark.*without one"):
        sources.find(tmp_path).discover()
