"""MySQL and MariaDB: every attribute of every object that a migration can change is seen, and nothing else differs."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from engine_fixture import MYSQLS, Engine
from mysql_fixtures import changed, ran
from mysql_schema_cases import CASES, DROPPED, MARIADB, MYSQL, NEVER, UNTOLD, Case

from seatrial.engines.mysql import MysqlDatabase
from seatrial.errors import DatabaseError
from seatrial.model import Schema
from seatrial.schema import Difference, diff, outermost
from seatrial.sql import defined, remedy, split

pytestmark = pytest.mark.xdist_group("catalogue of mysql and mariadb")  # looked at once, by one worker

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
def base(db: MysqlDatabase) -> MysqlDatabase:
    ran(db, BASE)
    return db


@dataclass
class Looked:
    """What the catalogue said of every case of one engine: the differences; and the attributes that it named."""

    cases: dict[str, Case]
    before: dict[str, Schema] = field(default_factory=dict)  # by set-up
    found: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    left: dict[str, set[str]] = field(default_factory=dict)  # what the SQL that an advice shows did not bring back
    attributes: set[tuple[str, str]] = field(default_factory=set)


def of(engine: str) -> dict[str, Case]:
    return CASES | {"mariadb": MARIADB, "mysql": MYSQL}[engine]


@pytest.fixture(scope="module")
def looks() -> dict[str, Looked]:
    """By engine."""
    return {}


@pytest.fixture
def looked(engine: Engine, looks: dict[str, Looked]) -> Looked:
    """Every case once, all in one database."""
    if engine.name not in looks:
        database = engine.create()
        everything = Looked(of(engine.name))
        for name, (setup, change, _) in everything.cases.items():
            everything.found[name], everything.left[name] = _look(database, everything, setup, change)
        looks[engine.name] = everything
    return looks[engine.name]


ONLY_THERE = {"mariadb": "sequence if exists s", "mysql": "library if exists l"}


def _look(database: MysqlDatabase, everything: Looked, setup: str, change: str) -> tuple[dict[str, set[str]], set[str]]:
    """What differs after a change, and what of it the SQL that an advice shows does not bring back."""
    alone = "set " if change.startswith("set ") else ""  # a session of its own, with its own settings
    _execute(database, setup, fresh=bool(alone))
    before = everything.before.get(alone + setup) or database.inspect()
    _execute(database, change, fresh=bool(alone))
    after = database.inspect()
    left = _left(database, before, after)
    database.execute(*DROPPED, f"drop {ONLY_THERE[database.engine]}")
    everything.before[alone + setup] = before
    for key, attributes in (*before.items(), *after.items()):
        everything.attributes |= {(_common(key.kind), name) for name in attributes}
    return changed(before, after), left


def _left(database: MysqlDatabase, before: Schema, after: Schema) -> set[str]:
    """Objects for which no SQL is shown, and those that are not as before once all that is shown has run."""
    known, dialect = diff(before, after), database.engine
    shown = {d.key.label: sql for d in outermost(known) if (sql := _advised(before, d, dialect))}
    for label, sql in list(shown.items()):
        try:
            _execute(database, sql, fresh=False)
        except DatabaseError as error:
            shown[f"{label}: {error}"] = shown.pop(label)
    again = {d.key.label for d in diff(before, database.inspect())} if shown else set()
    return {d.key.label for d in outermost(known) if d.key.label not in shown} | again


def _advised(before: Schema, change: Difference, dialect: str) -> str:
    if change.old is None:
        return remedy.drop(change.key, dialect)
    if change.new is None:
        return remedy.create_again(change.key, change.old, dialect)
    return defined.define_again(before, change.key, change.attributes, dialect)


def _execute(database: MysqlDatabase, text: str, *, fresh: bool) -> None:
    if fresh:
        ran(database, text)
    else:
        database.execute(*(part.text for part in split(text, database.engine)))


def _common(kind: str) -> str:
    """Constraints are of one vocabulary, named or not; routines too."""
    constraints = ("constraint", "primary key", "unique", "foreign key", "check")
    return "constraint" if kind in constraints else "routine" if kind in ("function", "procedure") else kind


@pytest.mark.parametrize(("engine", "name"), [(e, name) for e in MYSQLS for name in of(e)], indirect=["engine"])
def test_exactly_what_changed_is_named(looked: Looked, name: str) -> None:
    assert looked.found[name] == looked.cases[name][2]


@pytest.mark.engines(*MYSQLS)
def test_what_an_advice_shows_brings_back_what_was(looked: Looked, engine: Engine) -> None:
    """Where it shows no SQL, a name in a table of reasons says why."""
    assert {name: labels for name, labels in looked.left.items() if labels and name not in UNTOLD} == {}


@pytest.mark.engines(*MYSQLS)
def test_every_attribute_of_the_catalogue_has_a_change_of_its_own(looked: Looked) -> None:
    """What the catalogue says of an object and no case changes would be compared without proof."""
    changes = set()
    for *_, expected in looked.cases.values():
        for label, names in expected.items():
            kind = "primary key" if label.startswith("primary key") else label.split(" ")[0]
            changes |= {(_common(kind), name) for name in names}
    assert looked.attributes - changes - NEVER.keys() == set()


def test_a_second_look_sees_the_same(base: MysqlDatabase) -> None:
    assert changed(base.inspect(), base.inspect()) == {}


def test_the_databases_own_name_is_nowhere(base: MysqlDatabase) -> None:
    ran(base, f"create view w as select * from {base.name}.u; create procedure q() select 1 from `{base.name}`.u;")
    said = repr([(k, dict(a)) for k, a in base.inspect().items()])
    assert base.name not in said


def test_partitions_and_their_bounds(db: MysqlDatabase) -> None:
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
        base.execute(f"grant execute, alter routine on procedure p to {user} with grant option")
        base.execute(
            f"grant select, insert (w) on o to {user}", f"grant create on `{base.name}`.* to {user} with grant option"
        )
        found = {k.label: a for k, a in base.inspect().items() if k.kind == "grant"}
        assert found["grant p"]["privileges"] == (f"{user}: ALTER ROUTINE*", f"{user}: EXECUTE*")
        assert found["grant o"]["privileges"] == (f"{user}: SELECT",)
        assert found["grant o.w"]["privileges"] == (f"{user}: INSERT",)
        assert found["grant default"]["privileges"] == (f"{user}: CREATE*",)
    finally:
        base.execute(f"drop user {user}")
    assert changed(before, base.inspect()) == {}


def test_an_index_made_for_a_foreign_key_has_no_weight_even_when_it_stays(db: MysqlDatabase) -> None:
    ran(db, "create table a (id int primary key); create table b (id int primary key, aid int);")
    before = db.inspect()
    ran(db, "alter table b add foreign key (aid) references a (id)")
    after = db.inspect()
    assert set(changed(before, after)) == {"foreign key b(aid)"}
    ran(db, "alter table b drop foreign key b_ibfk_1")
    assert changed(before, db.inspect()) == {}


def test_an_index_like_the_servers_that_comes_back_was_there_before(db: MysqlDatabase) -> None:
    """Found in Mozilla's tokenserver: KEY aid beside a foreign key, which went; up drops it, down makes it again."""
    ran(db, "create table a (id int primary key)")
    ran(db, "create table b (id int primary key, aid int, key aid (aid), foreign key (aid) references a (id))")
    before = db.inspect()
    ran(db, "alter table b drop foreign key b_ibfk_1")
    between = db.inspect()
    assert set(changed(before, between)) == {"foreign key b(aid)"}
    ran(db, "alter table b drop key aid")
    assert [changed(between, db.inspect()) for _ in range(2)] == [{}, {}]
    ran(db, "alter table b add key aid (aid), add key mine (aid)")
    assert set(changed(between, db.inspect())) == {"index mine"}


def test_unnamed_checks_and_keys_go_by_their_content(db: MysqlDatabase) -> None:
    ran(db, "create table c (a int primary key, b int, check (b > 0), check (b < 9))")
    labels = [k.label for k in db.inspect() if k.kind in ("check", "primary key")]
    assert len(labels) == 3
    assert "primary key c(a)" in labels
    assert all("chk" not in label and "CONSTRAINT_" not in label for label in labels)


def test_a_default_of_null_is_not_no_default(db: MysqlDatabase) -> None:
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


@pytest.mark.engines("mariadb")
def test_mariadb_sequences_and_versioned_tables(db: MysqlDatabase) -> None:
    ran(db, "create sequence s increment 5; create table h (a int) with system versioning;")
    objects = {k.label: a for k, a in db.inspect().items()}
    assert objects["sequence s"]["increment"] == "5"
    assert objects["table h"]["system_versioned"] is True


def test_an_event_that_starts_as_late_as_it_did_is_the_same(db: MysqlDatabase) -> None:
    """Whatever zone its session was in: CURRENT_TIMESTAMP is another time in each down."""
    event = "create event e on schedule every 1 day starts current_timestamp + interval 1 hour do select 1;"
    zone = "set time_zone = '+02:00'; create event f on schedule every 1 day do select 1;"
    once = "create event g on schedule at current_timestamp + interval 2 hour do select 1;"
    ran(db, event + once + zone)
    before = db.inspect()
    ran(db, f"drop event e; drop event f; drop event g; do sleep(1.1); {event}{once}{zone}")
    again = db.inspect()
    assert changed(before, again)["event e"] == {"starts"} and diff(before, again) == []
    ran(db, f"drop event e; {event.replace('1 hour', '2 hour')}")
    assert [(d.key.label, {*d.attributes}) for d in diff(again, db.inspect())] == [("event e", {"starts"})]


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
