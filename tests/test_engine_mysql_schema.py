"""MySQL and MariaDB: every attribute of every object that a migration can change is seen, and nothing else differs."""

from __future__ import annotations

import pytest
from mysql_fixtures import changed, db, mysql_server, mysql_state, ran  # noqa: F401

from seatrial.engines.mysql import MysqlDatabase

BASE = """
create table u (
  id int auto_increment primary key,
  email varchar(30) not null,
  n varchar(10) default 'a''b' comment 'one',
  d datetime(3) default current_timestamp(3) on update current_timestamp(3),
  x int unsigned default 5,
  y varchar(40) default (uuid()),
  g int generated always as (x + 1) virtual,
  s int generated always as (x + 2) stored,
  e enum('a','b''c') default 'a',
  t text,
  unique key u_email (email),
  key u_n (n(3), x),
  fulltext key u_t (t),
  constraint u_x check (x < 100)
) comment = 'people';
create table o (
  id int primary key, uid int, w int, constraint o_u foreign key (uid) references u (id) on delete cascade,
  key o_w (w)
);
create table z (id int auto_increment primary key, a int);
create trigger o_tr before insert on o for each row set new.w = 1;
create view v as select id, email from u where id > 0;
create procedure p(in a int) comment 'x' begin select a; end;
create function f(a int) returns int deterministic return a + 1;
create event ev on schedule every 1 day do delete from o;
"""


@pytest.fixture
def base(db: MysqlDatabase) -> MysqlDatabase:  # noqa: F811
    ran(db, BASE)
    return db


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ("alter table u modify n varchar(11) default 'a''b' comment 'one'", {"column u.n": {"type"}}),
        ("alter table u modify n varchar(10) not null default 'a''b' comment 'one'", {"column u.n": {"nullable"}}),
        ("alter table u alter n set default 'b'", {"column u.n": {"default"}}),
        ("alter table u modify n varchar(10) default 'a''b'", {"column u.n": {"comment"}}),
        ("alter table u modify d datetime(3) default current_timestamp(3)", {"column u.d": {"on_update"}}),
        ("alter table u modify x int default 5", {"column u.x": {"type"}}),
        ("alter table u alter y set default 'uuid()'", {"column u.y": {"default"}}),
        ("alter table z modify id int not null", {"column z.id": {"auto_increment"}}),
        ("alter table u modify s int generated always as (x + 3) stored", {"column u.s": {"generated"}}),
        ("alter table u modify e enum('b''c','a') default 'a'", {"column u.e": {"type"}}),
        ("alter table u modify t text character set latin1", {"column u.t": {"charset", "collation"}}),
        ("alter table u comment = 'folk'", {"table u": {"comment"}}),
        ("alter table u row_format = compact", {"table u": {"row_format", "options"}}),
        ("alter table u drop key u_email, add unique key u_email (email(5))", {"constraint u_email": {"definition"}}),
        ("alter table u drop key u_n, add key u_n (n(4), x)", {"index u_n": {"definition"}}),
        ("alter table u drop key u_n, add key u_n (n(3), x) comment 'c'", {"index u_n": {"comment"}}),
        ("alter table u drop key u_n, add key u_m (n(3), x)", {"index u_m": set(), "index u_n": set()}),
        ("alter table u drop key u_t", {"index u_t": set()}),
        ("alter table u drop constraint u_x", {"constraint u_x": set()}),
        ("alter table o drop foreign key o_u", {"constraint o_u": set()}),
        (
            "alter table o drop foreign key o_u; alter table o add constraint o_u foreign key (uid) references u (id)"
            " on delete set null",
            {"constraint o_u": {"on_delete", "definition"}},
        ),
        ("drop trigger o_tr", {"trigger o_tr": set()}),
        (
            "drop trigger o_tr; create trigger o_tr before insert on o for each row set new.w = 2",
            {"trigger o_tr": {"definition"}},
        ),
        ("create or replace view v as select id from u where id > 0", {"view v": {"definition"}}),
        (
            "create or replace sql security invoker view v as select id, email from u where id > 0",
            {"view v": {"security"}},
        ),
        (
            "alter table u drop column email",
            {"column u.email": set(), "constraint u_email": set(), "view v": {"valid"}},
        ),
        ("drop procedure p", {"procedure p": set()}),
        ("alter procedure p comment 'y'", {"procedure p": {"comment"}}),
        ("alter function f sql security invoker", {"function f": {"security"}}),
        ("alter event ev on schedule every 2 day", {"event ev": {"schedule"}}),
        ("alter event ev disable", {"event ev": {"status"}}),
        ("alter table z engine = MyISAM", {"table z": {"engine", "row_format"}}),
        ("create table o2 (a int) partition by hash (a) partitions 2", {"table o2": set(), "column o2.a": set()}),
    ],
)
def test_every_change_is_seen_and_nothing_else(base: MysqlDatabase, change: str, seen: dict[str, set[str]]) -> None:
    before = base.inspect()
    ran(base, change)
    found = changed(before, base.inspect())
    assert set(found) == set(seen)
    for label, attributes in seen.items():
        assert attributes <= found[label] or not attributes
        assert found[label] <= attributes | {"definition", "starts", "options"}


def test_a_second_look_sees_the_same(base: MysqlDatabase) -> None:
    assert changed(base.inspect(), base.inspect()) == {}


def test_the_databases_own_name_is_nowhere(base: MysqlDatabase) -> None:
    ran(base, f"create view w as select * from {base.name}.u; create procedure q() select 1 from `{base.name}`.u;")
    said = repr([(k, dict(a)) for k, a in base.inspect().items()])
    assert base.name not in said


def test_partitions_and_their_bounds(db: MysqlDatabase) -> None:  # noqa: F811
    ran(
        db,
        "create table r (a int not null, b int) partition by range (a)"
        " (partition p0 values less than (10), partition p1 values less than maxvalue)",
    )
    table = next(a for k, a in db.inspect().items() if k.label == "table r")
    assert "RANGE" in str(table["partition_key"])
    assert table["partitions"] == ("p0: 10", "p1: MAXVALUE")


def test_grants_on_the_database_its_tables_and_columns(base: MysqlDatabase) -> None:
    user = f"'u_{base.name[-8:]}'@'localhost'"
    before = base.inspect()
    base.execute(f"create user {user}")
    try:
        base.execute(
            f"grant select, insert (w) on o to {user}", f"grant create on `{base.name}`.* to {user} with grant option"
        )
        found = {k.label: a for k, a in base.inspect().items() if k.kind == "grant"}
        assert found["grant o"]["privileges"] == (f"{user}: SELECT",)
        assert found["grant o.w"]["privileges"] == (f"{user}: INSERT",)
        assert found["grant default"]["privileges"] == (f"{user}: CREATE*",)
    finally:
        base.execute(f"drop user {user}")
    assert changed(before, base.inspect()) == {}


def test_an_index_made_for_a_foreign_key_has_no_weight_even_when_it_stays(db: MysqlDatabase) -> None:  # noqa: F811
    ran(db, "create table a (id int primary key); create table b (id int primary key, aid int);")
    before = db.inspect()
    ran(db, "alter table b add foreign key (aid) references a (id)")
    after = db.inspect()
    assert set(changed(before, after)) == {"foreign key b(aid)"}
    ran(db, "alter table b drop foreign key b_ibfk_1")
    assert changed(before, db.inspect()) == {}


def test_unnamed_checks_and_keys_go_by_their_content(db: MysqlDatabase) -> None:  # noqa: F811
    ran(db, "create table c (a int primary key, b int, check (b > 0), check (b < 9))")
    labels = [k.label for k in db.inspect() if k.kind in ("check", "primary key")]
    assert len(labels) == 3
    assert "primary key c(a)" in labels
    assert all("chk" not in label and "CONSTRAINT_" not in label for label in labels)


def test_a_default_of_null_is_not_no_default(db: MysqlDatabase) -> None:  # noqa: F811
    ran(db, "create table n (id int primary key, a int)")
    before = db.inspect()
    ran(db, "alter table n alter column a drop default")
    refused = db.run(_insert("insert into n (id) values (1)")).error is not None
    assert (changed(before, db.inspect()) == {"column n.a": {"no_default"}}) == refused


def _insert(sql: str):
    from seatrial.model import Script

    return Script(text=sql)


def test_bookkeeping_is_in_no_snapshot(base: MysqlDatabase) -> None:
    ran(base, "create table schema_migrations (version varchar(9) primary key)")
    base.bookkeeping = frozenset({"schema_migrations"})
    assert not [k for k in base.inspect() if "schema_migrations" in k.label]
    assert not [t for t in base.take("m").tables if t.table.name == "schema_migrations"]


def test_mariadb_sequences_and_versioned_tables(db: MysqlDatabase) -> None:  # noqa: F811
    if db.engine != "mariadb":
        pytest.skip("MySQL has neither sequences nor system versioning")
    ran(db, "create sequence s increment 5; create table h (a int) with system versioning;")
    objects = {k.label: a for k, a in db.inspect().items()}
    assert objects["sequence s"]["increment"] == "5"
    assert objects["table h"]["system_versioned"] is True


def test_layout_of_bodies_has_no_weight(base: MysqlDatabase) -> None:
    before = base.inspect()
    again = (
        "drop trigger o_tr; create trigger o_tr before insert on o for each row\n  set new.w   =  1;"
        "drop procedure p; create procedure p(in a int) comment 'x' begin\n  -- shows it\n  select a;\nend;"
        "drop event ev; create event ev on schedule every 1 day do delete\tfrom o;"
    )
    ran(base, again)
    assert set(changed(before, base.inspect())) <= {"event ev"}
    assert changed(before, base.inspect()).get("event ev", set()) <= {"starts"}
    ran(base, "drop procedure p; create procedure p(in a int) comment 'x' begin select 'a'; end;")
    assert changed(before, base.inspect())["procedure p"] == {"definition"}
