"""What reading, proving and comparing one big table costs, as multiples of a reference read in the same run."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from benchmarks import common
from benchmarks.common import Cost
from seatrial.app import open_server
from seatrial.errors import ServerError
from seatrial.model import Database, Server, Snapshot, TableRef
from seatrial.schema import pair_by_name
from seatrial.servers.mysql import MysqlServer

TABLE = TableRef("", "measured")
COLUMNS = ("id", "a", "b", "c", "price", "ratio", "flag", "born", "seen", "name", "note", "doc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one engine makes the table, reads it for reference, and changes a hundred scattered rows."""

    create: str
    fill: tuple[str, ...]  # {rows} stands for how many
    references: Mapping[str, str]  # name -> statement
    change: str  # {step} stands for the distance between changed rows
    targets: tuple[tuple[str, str, str, str], ...]  # what, measured, against, at most
    aside: str = ""  # changes another table of the same file, between two moments
    more: Mapping[str, str] = field(default_factory=dict)  # changes made one after the other -> what each is called
    touch: str = "SELECT 1"  # changes one row and nothing else, to what it never was
    undone: tuple[str, str] | tuple[()] = ()  # a change and its way back: a table written to that is again as it was
    small: Mapping[str, tuple[str, str]] = field(
        default_factory=dict
    )  # what is called so: a small change, its way back


_MAX = f"SELECT {', '.join(f'max({c})' for c in COLUMNS)} FROM measured"

POSTGRESQL = Dialect(
    create="CREATE TABLE measured (id bigint PRIMARY KEY, a integer, b smallint, c bigint, price numeric(12,4),"
    " ratio double precision, flag boolean, born date, seen timestamptz, name varchar(80), note text, doc jsonb)",
    fill=(
        "INSERT INTO measured SELECT g, g * 7 % 100003, g % 30000, g::bigint * 1000003, g * 0.0137, g / 7.0, g % 3 = 0,"
        " date '1990-01-01' + (g % 12000), timestamptz '2001-01-01' + g * interval '37 seconds',"
        " 'name ' || g, CASE WHEN g % 10 > 0 THEN repeat(md5(g::text), 4) END,"
        " jsonb_build_object('k', g, 'tags', jsonb_build_array(g % 5, md5((g * 3)::text)))"
        " FROM generate_series(1, {rows}) g",
        "VACUUM ANALYZE measured",
        "CHECKPOINT",
    ),
    references={"COPY binary": "COPY measured TO '/dev/null' WITH (FORMAT binary)"},
    change="UPDATE measured SET name = name || 'x', a = a + 1 WHERE id % {step} = 7",
    more={
        "naming 10 %": "UPDATE measured SET note = note || 'y', b = -b WHERE id % 10 = 3",
        "naming gone": "ALTER TABLE measured DROP COLUMN name",
        "naming dropped": "ALTER TABLE measured ADD COLUMN name varchar(80)",
    },
    small={
        "some rows": ("UPDATE measured SET a = a + 1 WHERE id % {step} = 7", "SELECT 1"),
        "more columns": ("ALTER TABLE measured ADD COLUMN extra integer DEFAULT 7", "ALTER TABLE measured DROP extra"),
    },
    targets=(
        ("table fingerprint", "fingerprint", "COPY binary", "1.1"),
        ("snapshot with row fingerprints", "snapshot", "COPY binary", "1.25"),
        ("snapshot after 100 rows were changed", "some rows", "COPY binary", "-"),
        ("snapshot after a column was added", "more columns", "COPY binary", "-"),
        ("naming all differing rows (100)", "naming", "snapshot", "0.6"),
        ("naming all differing rows (10 %)", "naming 10 %", "snapshot", "0.6"),
        ("naming a column dropped and made again empty", "naming dropped", "snapshot", "-"),
        ("naming a column that is gone", "naming gone", "snapshot", "-"),
        ("proof of an untouched table", "untouched", "COPY binary", "-"),
    ),
)

SQLITE = Dialect(
    create="CREATE TABLE measured (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, c INTEGER, price NUMERIC, ratio REAL,"
    " flag BOOLEAN, born TEXT, seen TEXT, name TEXT, note TEXT, doc TEXT)",
    fill=(
        "INSERT INTO measured WITH RECURSIVE n(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n WHERE g < {rows})"
        " SELECT g, g * 7 % 100003, g % 30000, g * 1000003, g * 0.0137, g / 7.0, g % 3 = 0,"
        " date('1990-01-01', (g % 12000) || ' days'), '2001-01-01 00:00:' || (g % 60), 'name ' || g,"
        " CASE WHEN g % 10 > 0 THEN printf('%0128d', g * 7919) END,"
        " '{{\"k\": ' || g || ', \"tags\": [' || (g % 5) || ', \"' || printf('%032x', g * 104729) || '\"]}}' FROM n",
        "CREATE TABLE aside (n)",
    ),
    references={"max(each column)": _MAX},
    change="UPDATE measured SET name = name || 'x', a = a + 1 WHERE id % {step} = 7",
    aside="INSERT INTO aside VALUES (1)",
    targets=(
        ("proof of an untouched table", "untouched", "max(each column)", "0.2"),
        ("the same, another program wrote", "strange", "max(each column)", "0.2"),
        ("naming 100 changed rows", "naming", "max(each column)", "1.0"),
        ("full snapshot", "snapshot", "max(each column)", "4"),
    ),
)

_MYSQL_VALUES = (
    "g, g * 7 % 100003, g % 30000, g * 1000003, g * 0.0137, g / 7.0, g % 3 = 0,"
    " DATE_ADD('1990-01-01', INTERVAL g % 12000 DAY), DATE_ADD('2001-01-01', INTERVAL g * 37 SECOND),"
    " CONCAT('name ', g), IF(g % 10 > 0, LPAD(g * 7919, 128, '0'), NULL),"
    " JSON_OBJECT('k', g, 'tag', LPAD(HEX(g * 104729), 32, '0'))"
)
_DIGITS = "(SELECT 0 d UNION ALL " + " UNION ALL ".join(f"SELECT {d}" for d in range(1, 10)) + ")"
_NUMBERS = (
    "SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * h.d + 1000000 * i.d AS g FROM "
    + ", ".join(f"{_DIGITS} {name}" for name in "abcefhi")
)
MYSQL = Dialect(
    create="CREATE TABLE measured (id BIGINT PRIMARY KEY, a INT, b SMALLINT, c BIGINT, price DECIMAL(14,4),"
    " ratio DOUBLE, flag TINYINT(1), born DATE, seen DATETIME(6), name VARCHAR(80), note TEXT, doc JSON)",
    fill=(
        f"INSERT INTO measured SELECT {_MYSQL_VALUES} FROM ({_NUMBERS}) n WHERE g <= {{rows}}",
        "ANALYZE TABLE measured",
    ),
    references={
        "concatenating read": f"SELECT sum(length(concat_ws(',', {', '.join(COLUMNS)}))) FROM measured",
        "max(each column)": _MAX.replace("max(doc)", "max(cast(doc as char))"),
    },
    change="UPDATE measured SET name = concat(name, 'x'), a = a + 1 WHERE id % {step} = 7",
    targets=(
        ("snapshot with row fingerprints", "snapshot", "concatenating read", "1.4"),
        ("the same, rows written and again as they were", "undone", "concatenating read", "-"),
        ("proof of an untouched table", "untouched", "max(each column)", "0.1"),
        ("naming 100 changed rows", "naming", "snapshot", "-"),
    ),
    touch="UPDATE measured SET a = a + 1 WHERE id = 5",
    undone=("UPDATE measured SET a = a + 1 WHERE id = 9", "UPDATE measured SET a = a - 1 WHERE id = 9"),
)
DIALECTS = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MYSQL}


class Measured:
    """One big table in a database of Seatrial's, and what is done with it."""

    def __init__(self, database: Database, dialect: Dialect, rows: int, *, keeps: bool = False) -> None:
        """``keeps``: the last moment stays, where only rows that are held tell that a table was not touched."""
        self.database, self.dialect, self.rows, self.keeps = database, dialect, rows, keeps
        database.execute(dialect.create)
        for statement in dialect.fill:
            database.execute(statement.format(rows=rows))
        self.before = database.take("before")
        database.execute(dialect.change.format(step=max(rows // 100, 8)))
        self.after = database.take("after", since=self.before)
        self.more = {what: self._changed(what, statement) for what, statement in dialect.more.items()}

    def _changed(self, what: str, statement: str) -> Snapshot:
        self.database.execute(statement)
        return self.database.take(what)

    def acts(self) -> dict[str, Callable[[], Cost]]:
        read = {name: self._reading(sql) for name, sql in self.dialect.references.items()}
        acts = {**read, "snapshot": self.snapshot, "untouched": self.untouched, "naming": self.naming}
        acts |= {what: self._naming(moment) for what, moment in self.more.items()}
        acts |= {what: partial(self.slightly, *changes) for what, changes in self.dialect.small.items()}
        if self.dialect.aside:
            acts["strange"] = self.strange
        if self.dialect.undone:
            acts["undone"] = self.undone
        if any(measured == "fingerprint" for _, measured, *_ in self.dialect.targets):
            acts["fingerprint"] = self.fingerprint
        return acts

    def _reading(self, sql: str) -> Callable[[], Cost]:
        ask = self.database.execute if sql.startswith("COPY") else self.database.query
        return lambda: common.cost(lambda: ask(sql))

    def fingerprint(self) -> Cost:
        sql = self.database.checksum_sql(TABLE).rstrip(";")  # type: ignore[attr-defined]
        return common.cost(lambda: self.database.query(sql))

    def snapshot(self) -> Cost:
        """A moment for which the table is read anew; what is proven untouched would be carried over."""
        self.database.execute(self.dialect.touch)
        return self._taking(None)

    def undone(self) -> Cost:
        """A moment of a table that was written to and holds the very rows of a moment that is known."""
        self.database.take("known")
        for statement in self.dialect.undone:
            self.database.execute(statement)
        cost = self._taking(None)
        self.database.release("known")
        return cost

    def slightly(self, change: str, back: str) -> Cost:
        """The moment after a small change, where the one before it is known."""
        before = self.database.take("whole")
        self.database.execute(change.format(step=max(self.rows // 100, 8)))
        cost = self._taking(before)
        self.database.execute(back)
        self.database.release("whole")
        return cost

    def untouched(self) -> Cost:
        """Where a dialect says so, after another table was written by a connection of ours."""
        if self.dialect.aside:
            self.database.execute(self.dialect.aside)
        return self._taking(list(self.more.values())[-1] if self.more else self.after)

    def strange(self) -> Cost:
        """After another table was written by a program that nobody watched."""
        with closing(sqlite3.connect(self.database.url.removeprefix("sqlite:///"))) as stranger, stranger:
            stranger.execute(self.dialect.aside)
        return self._taking(self.after)

    def _taking(self, since: Snapshot | None) -> Cost:
        cost = common.cost(lambda: self.database.take("again", since=since))
        if not self.keeps:
            self.database.release("again")
        return cost

    def naming(self) -> Cost:
        cost, found = self._named(self.after)
        assert found == 100, found
        return cost

    def _naming(self, moment: Snapshot) -> Callable[[], Cost]:
        return lambda: self._named(moment)[0]

    def _named(self, moment: Snapshot) -> tuple[Cost, int]:
        pairs = pair_by_name(self.before, moment)
        found: list[int] = []
        cost = common.cost(
            lambda: found.extend(d.changed_count for d in self.database.diff(self.before, moment, pairs))
        )
        return cost, sum(found)


def _places(engine: str, server: Server) -> Iterator[tuple[str, Server]]:
    """The server as one of ours and, where that is another way (rows copied, not files), as one at a URL."""
    yield f"{engine} {server.version}", server
    if isinstance(server, MysqlServer):
        yield f"{engine} at a URL", open_server(engine, server.url(""))


def main(engines: tuple[str, ...] = tuple(DIALECTS), rows: int = 1_000_000, repeat: int = 3, **_: object) -> None:
    print(f"\n## One table of {rows:,} rows x {len(COLUMNS)} columns\n")
    head = ["engine", "what", "time (CPU)", "against", "time (CPU)", "ratio (CPU)", "at most"]
    lines: list[tuple[object, ...]] = []
    for engine in engines:
        dialect = DIALECTS[engine]
        try:
            server = open_server(engine, None)
        except ServerError as error:
            print(f"no {engine} here: {error}\n")
            continue
        try:
            for name, place in _places(engine, server):
                database = place.create()
                measured = Measured(database, dialect, rows, keeps=place is not server)
                taken = common.interleaved(repeat, measured.acts())
                database.close()
                for what, ours, other, most in dialect.targets:
                    if ours in taken:
                        ratio = taken[ours].against(taken[other])
                        lines.append((name, what, taken[ours], other, taken[other], ratio, most))
        finally:
            server.close()
    print(common.table(head, lines))
