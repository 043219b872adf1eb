"""MySQL and MariaDB at a URL: which tables were not touched is told by when they were written, and by nothing less."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pymysql
import pytest
from mysql_fixtures import differences, ran

from seatrial.engines import _mysql_written
from seatrial.engines.mariadb import open_database
from seatrial.engines.mysql import MysqlDatabase
from seatrial.model import TableRef
from seatrial.servers.mysql import MysqlServer

T = TypeVar("T")

PAIR = "create table {t}_p (id int primary key) engine=InnoDB; insert into {t}_p values (1), (2)"
CHILD = (
    "create table {t} (id int primary key, v int, foreign key (v) references {t}_p (id)"
    " on delete cascade on update cascade) engine=InnoDB; insert into {t} values (1, 1), (2, 2)"
)
TABLE = "create table {t} (id int primary key, v int, e enum('a','b')) engine=InnoDB; insert into {t} values (1,1,'a')"
TWO = TABLE + "; " + TABLE.replace("{t}", "{t}_o").replace("(1,1,'a')", "(1,7,'b')")
PARTED = (
    TABLE + "; create table {t}_o (id int primary key, v int, e enum('a','b')) engine=InnoDB"
    " partition by range (id) (partition p0 values less than (10)); insert into {t}_o values (1,7,'b')"
)
CHANGES = {
    "a row": (TABLE, "update {t} set v = 2"),
    "cascaded delete": (f"{PAIR}; {CHILD}", "delete from {t}_p where id = 1"),
    "cascaded update": (f"{PAIR}; {CHILD}", "update {t}_p set id = 9 where id = 2"),
    "by a trigger": (
        f"{TWO}; create trigger {{t}}_r after insert on {{t}}_o for each row insert into {{t}} values (new.id, 0, 'a')",
        "insert into {t}_o values (5, 5, 'a')",
    ),
    "instantly": (TABLE, "alter table {t} drop column v; alter table {t} add column v int after id"),
    "another label": (TABLE, "alter table {t} modify e enum('a','b','c')"),
    "truncated and filled": (TABLE, "truncate {t}; insert into {t} values (1,1,'b')"),
    "swapped": (TWO, "rename table {t} to {t}_x, {t}_o to {t}, {t}_x to {t}_o"),
    "exchanged": (PARTED, "alter table {t}_o exchange partition p0 with table {t}"),
    "made again": (TABLE, "drop table {t}; " + TABLE.replace("1,1,'a'", "1,2,'a'")),
    "in bulk": (
        f"{TABLE}; delete from {{t}}",
        "set unique_checks = 0, foreign_key_checks = 0; insert into {t} values (1,1,'a'), (2,2,'b')",
    ),
    "in two phases": (TABLE, "xa start '{t}'; update {t} set v = 9; xa end '{t}'; xa prepare '{t}'; xa commit '{t}'"),
    "under a lock": (TABLE, "lock tables {t} write; insert into {t} values (9,9,'a'); unlock tables"),
    "by a procedure": (
        f"{TABLE}; create procedure {{t}}_p() update {{t}} set v = 0",
        "call {t}_p()",
    ),
}
LEFT_ALONE = {
    "nothing": "select 1",
    "read": "select * from {t}; analyze table {t}; flush tables {t}",
    "rolled back": "begin; update {t} set v = 2; rollback",
    "the same value": "update {t} set v = v",
}


@pytest.fixture
def at_url(mysql_server: MysqlServer) -> Iterator[MysqlDatabase]:
    with MysqlServer.at(mysql_server.url(""), open_database) as server:
        database = server.create()
        yield database
        database.close()


def in_one_second(act: Callable[[], T]) -> T:
    """What ``act`` gives, in a second that is not over when it has ended: UPDATE_TIME is of whole seconds."""
    while True:
        time.sleep(1.02 - time.time() % 1)
        begun = int(time.time())
        found = act()
        if int(time.time()) == begun:
            return found


def settle() -> None:
    """Until the times of the tables prove something."""
    time.sleep(1.2)


def test_whatever_writes_to_a_table_is_noticed_and_nothing_else(at_url: MysqlDatabase) -> None:
    named = {what: f"t{i}" for i, what in enumerate((*CHANGES, *LEFT_ALONE))}
    for what, (make, _) in CHANGES.items():
        ran(at_url, make.format(t=named[what]))
    for what in LEFT_ALONE:
        ran(at_url, TABLE.format(t=named[what]))
    settle()
    before = at_url._files.states(named.values())
    assert set(before) == set(named.values())
    for what, change in {**{w: c for w, (_, c) in CHANGES.items()}, **LEFT_ALONE}.items():
        ran(at_url, change.format(t=named[what]))
    now = at_url._files.states(named.values())
    assert {w for w, t in named.items() if now.get(t) == before[t]} == set(LEFT_ALONE)


def test_what_was_written_this_second_proves_nothing(at_url: MysqlDatabase) -> None:
    names = (f"t{number}" for number in itertools.count())

    def written() -> object:
        name = next(names)
        ran(at_url, TABLE.format(t=name))
        return at_url._files.states([name])

    assert in_one_second(written) == {}


def test_without_the_right_to_see_ids_nothing_is_proven(at_url: MysqlDatabase) -> None:
    ran(at_url, TABLE.format(t="t"))
    settle()
    at_url._files.written._shown = False
    assert at_url._files.states(["t"]) == {}
    before = at_url.take("A")
    assert at_url.take("B").table(TableRef("", "t")) == before.table(TableRef("", "t"))
    ran(at_url, "update t set v = 5")
    assert differences(at_url, before, at_url.take("C"))["t"].changed_count == 1


def test_a_large_table_is_waited_for_then_neither_read_nor_made_again(
    at_url: MysqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_mysql_written, "WORTH_WAITING", 1)
    ran(at_url, f"{TABLE.format(t='t')}; {TABLE.format(t='other')}")
    before = at_url.take("A")
    held = at_url._moments["A"][TableRef("", "t")]
    checkpoint = at_url.checkpoint()
    ran(at_url, "update other set v = 8")
    after = at_url.take("B")
    assert at_url._moments["B"][TableRef("", "t")] is held
    assert set(differences(at_url, before, after)) == {"other"}
    state = at_url._files.states(["t"])
    at_url.restore(checkpoint)
    assert at_url._files.states(["t"]) == state
    assert differences(at_url, before, at_url.take("C")) == {}


def test_while_a_large_table_is_read_nobody_writes_to_it_until_its_second_is_over(
    at_url: MysqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_mysql_written, "WORTH_WAITING", 1)
    ran(at_url, TABLE.format(t="t"))
    with contextlib.closing(at_url._site.connect(at_url.name)) as raw:
        other = raw.cursor()
        other.execute("set lock_wait_timeout = 1, innodb_lock_wait_timeout = 1")
        with at_url._files.still(["t"]) as standing:
            assert "t" not in standing.states  # and so it is read, at once
            with pytest.raises(pymysql.err.OperationalError, match="Lock wait timeout"):
                other.execute("insert into t values (9, 9, 'a')")
            settled = standing.settled()
        assert settled["t"] == at_url._files.states(["t"])["t"]
        other.execute("insert into t values (9, 9, 'a')")
        assert at_url._files.states(["t"])["t"] != settled["t"]


def test_what_somebody_else_has_written_and_not_committed_is_waited_for_before_it_is_read(
    at_url: MysqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_mysql_written, "WORTH_WAITING", 1)
    ran(at_url, TABLE.format(t="t"))
    with contextlib.closing(at_url._site.connect(at_url.name)) as raw:
        other = raw.cursor()
        other.execute("begin")
        other.execute("update t set v = 3")
        ran(at_url, TABLE.format(t="x"))
        with at_url._files.written._locked(["t", "x"]) as locked:
            assert locked == ()
        other.execute("commit")


@pytest.mark.engines("mariadb")
def test_a_transaction_that_is_open_may_give_the_same_time_again(at_url: MysqlDatabase) -> None:
    """MariaDB dates a change by when its transaction began."""
    ran(at_url, f"{TABLE.format(t='t')}; {TABLE.format(t='other')}")
    with contextlib.closing(at_url._site.connect(at_url.name)) as raw:
        session = raw.cursor()

        def write_beside_it() -> None:
            session.execute("rollback")
            session.execute("begin")
            session.execute("update other set v = 3")
            ran(at_url, "update t set v = v + 1")

        in_one_second(write_beside_it)
        settle()
        before = at_url._files.states(["t", "other"])
        assert "t" not in before
        session.execute("update t set v = 4")
        session.execute("commit")
    time.sleep(0.2)  # INNODB_TRX is made anew after a tenth of a second without readers
    assert "t" in at_url._files.states(["t"])  # written just now, and yet of a second long over
