"""What can be changed in a MySQL or MariaDB database, attribute by attribute: set-up, change, and what must be named.

The objects of a case are called t, p (a table that t refers to), v, r, f, e, g and s, and are dropped behind it. A set
of names says which attributes of an object differ; an empty one that the object is on one side only.
"""

from __future__ import annotations

Case = tuple[str, str, dict[str, set[str]]]

TABLE = "create table t (a int, b varchar(10) default 'x' comment 'c')"
KEYED = "create table t (a int not null, primary key (a))"
TIME = "create table t (d datetime(3) default current_timestamp(3) on update current_timestamp(3))"
GENERATED = "create table t (a int, g int generated always as (a + 1) stored)"
UNIQUE = "create table t (a int, b varchar(10), unique key k (b))"
INDEX = "create table t (a int, b varchar(10), key k (b))"
CHECK = "create table t (a int, constraint k check (a > 0))"
CHECKS = "create table t (a int, check (a > 0), check (a > 1))"
NAMES = CHECKS, "drop table t; create table t (a int, check (a > 1), check (a > 0))"
PARENTS = "create table p (id int primary key, n int unique); create table q (id int primary key);"
FOREIGN = PARENTS + "create table t (a int, b int, key (a), key (b), constraint k foreign key (a) references p (id))"
AGAIN = "alter table t drop foreign key k; alter table t add constraint k foreign key "
TRIGGER = "create trigger g before insert on t for each row set new.a = 1"
ONE, TWO = f"{TABLE}; {TRIGGER}", f"drop trigger g; {TRIGGER}"
VIEW = f"{TABLE}; create view v as select a from t where a > 0"
ROUTINE = "create procedure r(in a int) comment 'c' select a"
FUNCTION = "create function f(a int) returns int deterministic no sql return a + 1"
TEXTS = "create procedure r(in a varchar(9) character set utf8mb4) comment 'c' select a"
DECLARED = "create procedure r() begin declare x varchar(9); select x; end"
OTHER_DATABASE = "alter database character set latin1; drop procedure r; {}; alter database character set utf8mb4"
TEXTED = "create trigger g before insert on t for each row set new.b = 'é日'"
EVENT = "create event e on schedule every 1 day starts '2037-01-01' ends '2037-02-01' do delete from t"
EVENTS = f"{TABLE}; {EVENT}"
LIBRARY = "create library l language javascript as 'export function g(n) { return n }'"
CODE: dict[str, set[str]] = {"library l": {"definition"}}
SCRIPT = "create function f(a int) returns int deterministic language javascript as 'return a + 1'"
DUALITY = f"{KEYED}; create json relational duality view v as select json_duality_object('_id': a) from t"
HISTORY = "create table t (a int) with system versioning partition"
DAILY = "interval 1 day starts '2037-01-01'"
HISTOGRAM = "analyze table t update histogram on a with 4 buckets"
PARTS = "create table t (a int) partition by range (a) (partition p0 values less than (10))"

CASES: dict[str, Case] = {
    "table": ("", TABLE, {"table t": set(), "column t.a": set(), "column t.b": set()}),
    "engine": (TABLE, "alter table t engine = MyISAM", {"table t": {"engine", "row_format"}}),
    "row format": (TABLE, "alter table t row_format = compact", {"table t": {"row_format"}}),
    "row format that is the default": (TABLE, "alter table t row_format = dynamic", {}),
    "blocks of keys": (
        KEYED,
        "alter table t row_format = compressed key_block_size = 8;"
        "alter table t row_format = default key_block_size = 0",
        {},
    ),
    "table charset": (TABLE, "alter table t default charset latin1", {"table t": {"charset", "collation"}}),
    "table collation": (TABLE, "alter table t default collate utf8mb4_bin", {"table t": {"collation"}}),
    "table comment": (TABLE, "alter table t comment = 'folk'", {"table t": {"comment"}}),
    "connection": (TABLE, "alter table t connection = 'c'", {"table t": {"options"}}),
    "table options": (TABLE, "alter table t stats_persistent = 0", {"table t": {"options"}}),
    "partition key": (
        PARTS,
        "alter table t partition by hash (a) partitions 1",
        {"table t": {"partition_key", "partitions"}},
    ),
    "partitions": (
        PARTS,
        "alter table t add partition (partition p1 values less than (20))",
        {"table t": {"partitions"}},
    ),
    "rows of a partition": (
        PARTS,
        PARTS.replace("create", "alter").replace(" (a int)", "").replace("(10)", "(10) max_rows = 9"),
        {"table t": {"partitions"}},
    ),
    "comment of a partition": (
        PARTS,
        PARTS.replace("create", "alter").replace(" (a int)", "").replace("(10)", "(10) comment = 'c'"),
        {"table t": {"partitions"}},
    ),
    "how a key is hashed": (
        "create table t (a int) partition by key (a) partitions 2",
        "alter table t partition by key algorithm = 1 (a) partitions 2",
        {"table t": {"partition_key"}},
    ),
    "no longer partitioned": (PARTS, "alter table t remove partitioning", {"table t": {"partition_key", "partitions"}}),
    "column type": (TABLE, "alter table t modify a bigint", {"column t.a": {"type"}}),
    "column unsigned": (TABLE, "alter table t modify a int unsigned", {"column t.a": {"type"}}),
    "enum labels": (
        "create table t (a enum('x','y'))",
        "alter table t modify a enum('y','x')",
        {"column t.a": {"type"}},
    ),
    "column not null": (TABLE, "alter table t modify a int not null", {"column t.a": {"nullable"}}),
    "column default": (TABLE, "alter table t alter b set default 'y'", {"column t.b": {"default"}}),
    "default in an expression": (
        "create table t (b varchar(40) default (uuid()))",
        "alter table t alter b set default 'uuid()'",
        {"column t.b": {"default"}},
    ),
    "column comment": (TABLE, "alter table t modify b varchar(10) default 'x'", {"column t.b": {"comment"}}),
    "auto_increment": (
        "create table t (a int auto_increment primary key)",
        "alter table t modify a int not null",
        {"column t.a": {"auto_increment"}},
    ),
    "on update": (
        TIME,
        "alter table t modify d datetime(3) default current_timestamp(3)",
        {"column t.d": {"on_update"}},
    ),
    "column charset": (
        "create table t (b varchar(10) character set utf8mb4 collate utf8mb4_bin)",
        "alter table t modify b varchar(10) character set latin1 collate latin1_bin",
        {"column t.b": {"charset", "collation"}},
    ),
    "column collation": (
        "create table t (b varchar(10) character set utf8mb4 collate utf8mb4_bin)",
        "alter table t modify b varchar(10) character set utf8mb4 collate utf8mb4_general_ci",
        {"column t.b": {"collation"}},
    ),
    "generated": (
        GENERATED,
        "alter table t modify g int generated always as (a + 2) stored",
        {"column t.g": {"generated"}},
    ),
    "kind of generated": (
        GENERATED,
        "alter table t drop g, add g int generated always as (a + 1) virtual",
        {"column t.g": {"generated_kind"}},
    ),
    "invisible": (TABLE, "alter table t modify a int invisible", {"column t.a": {"invisible"}}),
    "column": (TABLE, "alter table t add c int", {"column t.c": set()}),
    "primary key": (
        TABLE,
        "alter table t add primary key (a)",
        {"primary key t(a)": set(), "column t.a": {"nullable"}},
    ),
    "primary key definition": (
        "create table t (b varchar(10) not null, primary key (b))",
        "alter table t drop primary key, add primary key (b(5))",
        {"primary key t(b)": {"definition"}},
    ),
    "comment of a primary key": (
        KEYED,
        "alter table t drop primary key, add primary key (a) comment 'c'",
        {"primary key t(a)": {"comment"}},
    ),
    "primary key's kind": (
        f"{KEYED} engine = memory",
        "alter table t drop primary key, add primary key (a) using btree",
        {"primary key t(a)": {"definition"}},
    ),
    "unique": (TABLE, "alter table t add unique key k (a)", {"constraint k": set()}),
    "unique definition": (
        UNIQUE,
        "alter table t drop key k, add unique key k (b(5))",
        {"constraint k": {"definition"}},
    ),
    "unique columns": (
        UNIQUE,
        "alter table t drop key k, add unique key k (a)",
        {"constraint k": {"columns", "definition"}},
    ),
    "unique kind": (
        "create table t (a int, unique key k (a) using btree) engine = memory",
        "alter table t drop key k, add unique key k (a) using hash",
        {"constraint k": {"kind", "definition"}},
    ),
    "unique comment": (
        UNIQUE,
        "alter table t drop key k, add unique key k (b) comment 'c'",
        {"constraint k": {"comment"}},
    ),
    "index columns": (INDEX, "alter table t drop key k, add key k (a)", {"index k": {"columns", "definition"}}),
    "index definition": (INDEX, "alter table t drop key k, add key k (b(5))", {"index k": {"definition"}}),
    "index kind": (INDEX, "alter table t drop key k, add fulltext key k (b)", {"index k": {"kind", "definition"}}),
    "index comment": (INDEX, "alter table t drop key k, add key k (b) comment 'c'", {"index k": {"comment"}}),
    "foreign key columns": (FOREIGN, AGAIN + "(b) references p (id)", {"constraint k": {"columns", "definition"}}),
    "foreign key's table": (FOREIGN, AGAIN + "(a) references q (id)", {"constraint k": {"references", "definition"}}),
    "foreign key's columns": (
        FOREIGN,
        AGAIN + "(a) references p (n)",
        {"constraint k": {"referenced_columns", "definition"}},
    ),
    "on delete": (
        FOREIGN,
        AGAIN + "(a) references p (id) on delete cascade",
        {"constraint k": {"on_delete", "definition"}},
    ),
    "a foreign key that says what is so anyway": (
        FOREIGN,
        AGAIN + "(a) references p (id) on delete restrict on update no action",
        {},
    ),
    "foreign key on update": (
        FOREIGN,
        AGAIN + "(a) references p (id) on update cascade",
        {"constraint k": {"on_update", "definition"}},
    ),
    "check": (CHECK, "alter table t drop constraint k", {"constraint k": set()}),
    "check expression": (
        CHECK,
        "alter table t drop constraint k, add constraint k check (a > 1)",
        {"constraint k": {"expression", "definition"}},
    ),
    "kind of a constraint": (
        CHECK,
        "alter table t drop constraint k; alter table t add unique key k (a)",
        {"constraint k": {"type", "definition", "expression", "columns", "kind", "nulls_not_distinct", "visible"}},
    ),
    "trigger": (TABLE, TRIGGER, {"trigger g": set()}),
    "trigger definition": (ONE, TWO.replace("= 1", "= 2"), {"trigger g": {"definition"}}),
    "literals of a trigger beyond three bytes": (
        f"{TABLE}; {TEXTED}".replace("é日", "😀"),
        f"drop trigger g; {TEXTED}".replace("é日", "😁"),
        {"trigger g": {"definition"}},
    ),
    "literals that the connection's charset cuts": (
        f"{TABLE}; {TEXTED}",
        f"set character_set_connection = latin1; drop trigger g; {TEXTED}",
        {"trigger g": {"definition"}},
    ),
    "literals that the connection's charset holds": (
        f"{TABLE}; {TEXTED}".replace("日", ""),
        f"set character_set_connection = latin1; drop trigger g; {TEXTED}".replace("日", ""),
        {},
    ),
    "a session's charsets behind a body of ASCII": (
        f"{ONE}; {ROUTINE}; {EVENT}",
        f"set names latin1; {TWO}; drop procedure r; {ROUTINE}; drop event e; {EVENT}",
        {},
    ),
    "trigger's variables": (
        f"{TABLE}; {TRIGGER.replace('set new.a = 1', 'begin declare x text; end')}",
        "alter database character set latin1; drop trigger g;"
        + TRIGGER.replace("set new.a = 1", "begin declare x text; end")
        + "; alter database character set utf8mb4",
        {"trigger g": {"database_collation"}},
    ),
    "trigger time": (
        ONE,
        TWO.replace("before", "after").replace("set new.a = 1", "set @x = 1"),
        {"trigger g": {"definition"}},
    ),
    "trigger sql_mode": (ONE, "set sql_mode = 'ansi'; " + TWO, {"trigger g": {"sql_mode"}}),
    "trigger definer": (ONE, TWO.replace("create", "create definer = 'x'@'y'"), {"trigger g": {"definer"}}),
    "trigger order": (
        f"{ONE}; create trigger h before insert on t for each row set new.b = 'z'",
        "drop trigger h; create trigger h before insert on t for each row precedes g set new.b = 'z'",
        {"trigger g": {"order"}, "trigger h": {"order"}},
    ),
    "view definition": (VIEW, "create or replace view v as select a from t where a > 1", {"view v": {"definition"}}),
    "view check option": (
        VIEW,
        "create or replace view v as select a from t where a > 0 with check option",
        {"view v": {"check_option", "definition"}},
    ),
    "view definer": (
        VIEW,
        "create or replace definer = 'x'@'y' view v as select a from t where a > 0",
        {"view v": {"definer", "valid"}},  # there is no such user
    ),
    "view security": (
        VIEW,
        "create or replace sql security invoker view v as select a from t where a > 0",
        {"view v": {"security"}},
    ),
    "view algorithm": (
        VIEW,
        "create or replace algorithm = temptable view v as select a from t where a > 0",
        {"view v": {"algorithm"}},
    ),
    "view valid": (VIEW, "alter table t drop column a", {"column t.a": set(), "view v": {"valid"}}),
    "procedure definition": (ROUTINE, f"drop procedure r; {ROUTINE} + 1", {"procedure r": {"definition"}}),
    "procedure parameters": (
        ROUTINE,
        "drop procedure r; " + ROUTINE.replace("in a int", "in a bigint"),
        {"procedure r": {"parameters"}},
    ),
    "charset of a parameter": (
        TEXTS,
        "drop procedure r; " + TEXTS.replace("utf8mb4", "latin1"),
        {"procedure r": {"parameters"}},
    ),
    "charset of a parameter by the database's": (
        TEXTS.replace(" character set utf8mb4", ""),
        OTHER_DATABASE.format(TEXTS.replace(" character set utf8mb4", "")),
        {"procedure r": {"parameters"}},
    ),
    "procedure's variables": (DECLARED, OTHER_DATABASE.format(DECLARED), {"procedure r": {"database_collation"}}),
    "variables with charsets of their own": (
        DECLARED.replace("(9)", "(9) character set utf8mb4"),
        OTHER_DATABASE.format(DECLARED.replace("(9)", "(9) character set utf8mb4")),
        {},
    ),
    "procedure comment": (ROUTINE, "alter procedure r comment 'd'", {"procedure r": {"comment"}}),
    "procedure security": (ROUTINE, "alter procedure r sql security invoker", {"procedure r": {"security"}}),
    "procedure data access": (ROUTINE, "alter procedure r reads sql data", {"procedure r": {"data_access"}}),
    "procedure determinism": (
        ROUTINE,
        "drop procedure r; " + ROUTINE.replace("comment", "deterministic comment"),
        {"procedure r": {"deterministic"}},
    ),
    "procedure sql_mode": (
        ROUTINE,
        f"set sql_mode = 'ansi'; drop procedure r; {ROUTINE}",
        {"procedure r": {"sql_mode"}},
    ),
    "procedure definer": (
        ROUTINE,
        "drop procedure r; " + ROUTINE.replace("create", "create definer = 'x'@'y'"),
        {"procedure r": {"definer"}},
    ),
    "function definition": (FUNCTION, f"drop function f; {FUNCTION} + 1", {"function f": {"definition"}}),
    "function returns": (
        FUNCTION,
        "drop function f; " + FUNCTION.replace("returns int", "returns bigint"),
        {"function f": {"returns"}},
    ),
    "function returns a charset": (
        "create function f() returns text character set utf8mb4 deterministic return 'a'",
        "drop function f; create function f() returns text character set latin1 deterministic return 'a'",
        {"function f": {"returns"}},
    ),
    "event's variables": (
        f"{TABLE}; {EVENT.replace('delete from t', 'begin declare x text; end')}",
        "alter database character set latin1; drop event e;"
        + EVENT.replace("delete from t", "begin declare x text; end")
        + "; alter database character set utf8mb4",
        {"event e": {"database_collation"}},
    ),
    "event definition": (EVENTS, "alter event e do delete from t where a > 0", {"event e": {"definition"}}),
    "event schedule": (
        EVENTS,
        "drop event e; " + EVENT.replace("1 day", "2 day"),
        {"event e": {"schedule"}},
    ),
    "event starts": (EVENTS, "drop event e; " + EVENT.replace("2037-01-01", "2037-01-02"), {"event e": {"starts"}}),
    "event ends": (EVENTS, "drop event e; " + EVENT.replace("2037-02-01", "2037-02-02"), {"event e": {"ends"}}),
    "event status": (EVENTS, "alter event e disable", {"event e": {"status"}}),
    "event completion": (EVENTS, "alter event e on completion preserve", {"event e": {"on_completion"}}),
    "event zone": (EVENTS, f"set time_zone = '+02:00'; drop event e; {EVENT}", {"event e": {"time_zone"}}),
    "event sql_mode": (EVENTS, f"set sql_mode = 'ansi'; drop event e; {EVENT}", {"event e": {"sql_mode"}}),
    "event comment": (EVENTS, "alter event e comment 'c'", {"event e": {"comment"}}),
    "event definer": (
        EVENTS,
        "drop event e; " + EVENT.replace("create", "create definer = 'x'@'y'"),
        {"event e": {"definer"}},
    ),
    "charset of the database": (
        "",
        "alter database character set latin1",
        {"schema default": {"charset", "collation"}},
    ),
}

MYSQL: dict[str, Case] = {
    "foreign key match": (FOREIGN, AGAIN + "(a) references p (id) match full", {"constraint k": {"match"}}),
    "given name of a check": (*NAMES, {"check t((`a` > 0))": {"given_name"}, "check t((`a` > 1))": {"given_name"}}),
    "no default": (TABLE, "alter table t alter a drop default", {"column t.a": {"no_default"}}),
    "srid": (
        "create table t (p point not null srid 0)",
        "alter table t modify p point not null srid 4326",
        {"column t.p": {"srid"}},
    ),
    "column options": (TABLE, "alter table t modify a int /*!80023 invisible */", {"column t.a": {"invisible"}}),
    "unique visible": (UNIQUE, "alter table t alter index k invisible", {"constraint k": {"visible", "definition"}}),
    "index visible": (INDEX, "alter table t alter index k invisible", {"index k": {"visible", "definition"}}),
    "index expression": (
        INDEX,
        "alter table t drop key k, add key k ((lower(b)))",
        {"index k": {"columns", "definition"}},
    ),
    "check enforced": (CHECK, "alter table t alter check k not enforced", {"constraint k": {"enforced"}}),
    "column format": (TABLE, "alter table t modify a int column_format fixed", {"column t.a": {"options"}}),
    "autoextend size": (TABLE, "alter table t autoextend_size = 4m", {"table t": {"options"}}),
    "attribute for a secondary engine": (
        TABLE,
        "alter table t modify a int secondary_engine_attribute = '{\"x\": 1}'",
        {"column t.a": {"options"}},
    ),
    "table's attribute for a secondary engine": (
        TABLE,
        "alter table t secondary_engine_attribute = '{\"x\": 1}'",
        {"table t": {"options"}},
    ),
    "view form": (
        VIEW,
        VIEW.rpartition("; ")[2].replace("create", "create or replace materialized"),
        {"view v": {"form"}},
    ),
    "duality view": (
        DUALITY,
        DUALITY.rpartition("; ")[2].replace("create", "create or replace").replace("t(", "t(with (insert) "),
        {"view v": {"definition"}},
    ),
    "language": (FUNCTION, f"drop function f; {SCRIPT}", {"function f": {"language", "data_access"}}),
    "libraries": (
        f"{LIBRARY}; {SCRIPT}",
        f"drop function f; {SCRIPT}".replace("as '", "using (l) as '"),
        {"function f": {"libraries"}},
    ),
    "library": (LIBRARY, LIBRARY.replace("create", "drop library l; create").replace("n }", "2 }"), CODE),
    "library comment": (LIBRARY, "alter library l comment 'c'", {"library l": {"comment"}}),
    "library sql_mode": (LIBRARY, f"set sql_mode = 'ansi'; drop library l; {LIBRARY}", {"library l": {"sql_mode"}}),
    "multi-valued index": (
        "create table t (j json, key k ((cast(j->'$.a' as unsigned array))))",
        "drop index k on t; create index k on t ((cast(j->'$.b' as unsigned array)))",
        {"index k": {"definition"}},
    ),
    "histogram": (TABLE, HISTOGRAM, {"statistics t.a": set()}),
    "buckets of a histogram": (
        f"{TABLE}; {HISTOGRAM}",
        HISTOGRAM.replace("4", "5"),
        {"statistics t.a": {"buckets"}},
    ),
    "histogram that follows the rows": (
        f"{TABLE}; {HISTOGRAM}",
        f"{HISTOGRAM} auto update",
        {"statistics t.a": {"auto_update"}},
    ),
}

MARIADB: dict[str, Case] = {
    "unique visible": (UNIQUE, "alter table t alter index k ignored", {"constraint k": {"visible", "definition"}}),
    "index visible": (INDEX, "alter table t alter index k ignored", {"index k": {"visible", "definition"}}),
    "given name of a check": (*NAMES, {"check t(`a` > 0)": {"given_name"}, "check t(`a` > 1)": {"given_name"}}),
    "system versioning": (TABLE, "alter table t add system versioning", {"table t": {"system_versioned"}}),
    **{
        f"sequence {name}": ("create sequence s maxvalue 100", f"alter sequence s {text}", {"sequence s": {name}})
        for name, text in (
            ("start", "start 5"),
            ("minimum", "minvalue -5"),
            ("maximum", "maxvalue 50"),
            ("increment", "increment 2"),
            ("cache", "cache 5"),
            ("cycle", "cycle"),
        )
    },
    "sequence comment": ("create sequence s", "alter table s comment 'c'", {"sequence s": {"comment"}}),
    "sequence engine": ("create sequence s", "alter table s engine = Aria", {"sequence s": {"engine"}}),
    **{
        f"partitions of history {name}": (
            f"{HISTORY} by system_time {old} partitions 2",
            f"alter table t partition by system_time {new} partitions 2",
            {"table t": differs},
        )
        for name, old, new, differs in (
            ("limit", "limit 10", "limit 20", {"partition_key"}),
            ("auto", "limit 10", "limit 10 auto", {"partition_key"}),
            ("interval", DAILY, DAILY.replace("1", "2"), {"partition_key", "partitions"}),
        )
    },
    "period": (
        "create table t (a date, b date, period for p (a, b))",
        "alter table t drop period for p",
        {"table t": {"periods"}},
    ),
    "comment of the database": ("", "alter database comment 'c'", {"schema default": {"comment"}}),
}

# What the catalogue says of an object and no statement changes by itself, and why.
NEVER = {
    ("column", "position"): "compared as an order: by tests of their own",
    ("constraint", "match"): "always NONE in MariaDB",
    ("constraint", "enforced"): "always in MariaDB",
    ("constraint", "validated"): "always",
    ("index", "unique"): "a unique one is a constraint",
    ("index", "predicate"): "there are none",
    ("index", "valid"): "always",
    ("trigger", "enabled"): "always",
    ("library", "language"): "there is one",
    ("sequence", "type"): "always bigint before MariaDB 11.5",
    **{("event", f"{time}_after"): "no difference by itself" for time in ("schedule", "starts", "ends")},
    ("schema", "encryption"): "an encrypted database needs a keyring",
    ("grant", "privileges"): "see the test of grants",
}

_OF_SESSION = "a part of the session that makes it, which is another one in every tool"
_OPTION = "an option of a table, of which it is said what it was"
_PARTITIONS = "the partitions of a table, of which it is said what they were: they may be many"
_RARE = "rare, and of which it is said what it was"
UNTOLD = {
    **dict.fromkeys(("trigger sql_mode", "procedure sql_mode", "event sql_mode", "event zone"), _OF_SESSION),
    **dict.fromkeys(("trigger's variables", "procedure's variables", "event's variables"), _OF_SESSION),
    "literals that the connection's charset cuts": _OF_SESSION,
    **dict.fromkeys(
        ("trigger definer", "view definer", "procedure definer", "event definer"),
        "an account of the throwaway server",
    ),
    **dict.fromkeys(
        ("connection", "table options", "autoextend size", "table's attribute for a secondary engine"), _OPTION
    ),
    **dict.fromkeys(("partition key", "partitions", "no longer partitioned", "how a key is hashed"), _PARTITIONS),
    **dict.fromkeys(("rows of a partition", "comment of a partition"), _PARTITIONS),
    **{f"partitions of history {name}": _PARTITIONS for name in ("limit", "auto", "interval")},
    **dict.fromkeys(("system versioning", "period"), "what it held before cannot be had back"),
    **dict.fromkeys(("kind of generated", "primary key", "view valid"), "not one plain statement"),
    **dict.fromkeys(("trigger order", "sequence engine", "comment of the database", "view form"), _RARE),
    **dict.fromkeys(("duality view", "language", "libraries", "library", "library comment", "library sql_mode"), _RARE),
    **dict.fromkeys(("histogram", "buckets of a histogram", "histogram that follows the rows"), _RARE),
}
"""Cases for which an advice shows no SQL that brings all back, and why."""

DROPPED = (
    "drop view if exists v",
    "drop procedure if exists r",
    "drop function if exists f",
    "drop event if exists e",
    "drop table if exists t, p, q",
    "alter database character set utf8mb4",
)
