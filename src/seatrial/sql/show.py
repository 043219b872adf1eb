"""The queries with which a person sees schema objects as they are. Pure.

A query runs whether its object is there or not: it finds nothing where that is what there is to see. For that reason
PostgreSQL is asked by name (a cast to ``regclass`` fails for a table that is gone), and MySQL and MariaDB get SHOW
CREATE for what is there only. Kinds that are not known are left out; rare attributes (the options of an identity, what
a sequence is owned by) do not stand in what PostgreSQL answers.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from seatrial.model import ObjectKey
from seatrial.sql.remedy import MYSQL
from seatrial.sql.tokens import quote_name, quote_string

MOST = 5
"""Queries that one finding shows."""

_OF_TABLE = ("table", "column", "constraint", "primary key", "unique", "foreign key", "check", "index")


def show(keys: Iterable[ObjectKey], there: Container[ObjectKey], dialect: str) -> str:
    """At most five queries, one a line, each ended by ``;``; empty where none is known.

    ``there``: what exists where they are to be run.
    """
    ask = {"sqlite": _sqlite, "postgresql": _postgresql}.get(dialect)
    queries = (ask(k) if ask else _mysql(k, there, dialect) for k in keys)
    return "\n".join([f"{q};" for q in dict.fromkeys(queries) if q][:MOST])


def _sqlite(key: ObjectKey) -> str:
    """All that belongs to a table; a trigger names its table as it was written, in whatever case."""
    if key.kind == "database":
        return "SELECT * FROM pragma_user_version, pragma_application_id, pragma_page_size, pragma_auto_vacuum"
    if key.kind not in (*_OF_TABLE, "trigger", "view"):
        return ""
    name = quote_string(key.table or key.name, "sqlite")
    return f"SELECT type, name, sql FROM sqlite_schema WHERE tbl_name = {name} COLLATE NOCASE"


_CATALOGS = {
    "table": ("tables", "table_schema", "table_name"),
    "view": ("tables", "table_schema", "table_name"),
    "sequence": ("tables", "table_schema", "table_name"),
    "trigger": ("triggers", "trigger_schema", "trigger_name"),
    "procedure": ("routines", "routine_schema", "routine_name"),
    "function": ("routines", "routine_schema", "routine_name"),
    "event": ("events", "event_schema", "event_name"),
}


def _mysql(key: ObjectKey, there: Container[ObjectKey], dialect: str) -> str:
    assert dialect in MYSQL, dialect
    if key.kind in _OF_TABLE:
        key = ObjectKey("table", "", "", key.table or key.name)
    if key.kind not in _CATALOGS:
        return ""
    if key in there:
        return f"SHOW CREATE {key.kind.upper()} {quote_name(key.name, dialect)}"
    catalog, schema, name = _CATALOGS[key.kind]
    wanted = quote_string(key.name, dialect)
    return f"SELECT {name} FROM information_schema.{catalog} WHERE {schema} = DATABASE() AND {name} = {wanted}"


_RELATION = "(SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {named})"
_NAMESPACE = "(SELECT oid FROM pg_namespace WHERE nspname = {schema})"
_COLUMNS = (
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull,"
    " pg_get_expr(d.adbin, d.adrelid) AS default, a.attidentity, a.attgenerated, a.attcollation::regcollation,"
    " a.attstorage, a.attcompression, a.attstattarget, a.attoptions, a.attislocal, a.attacl,"
    " col_description(a.attrelid, a.attnum) AS comment FROM pg_attribute a"
    " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    " WHERE a.attrelid = {relation} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
)
_CONSTRAINTS = (
    "SELECT conname, pg_get_constraintdef(oid) AS definition, obj_description(oid, 'pg_constraint') AS comment"
    " FROM pg_constraint WHERE conrelid = {relation} ORDER BY conname"
)
_TABLE = (
    "SELECT relname, relkind, relowner::regrole, relpersistence, reloptions, relacl, relreplident, relrowsecurity,"
    " relforcerowsecurity, pg_get_partkeydef(oid) AS partition_key, pg_get_expr(relpartbound, oid) AS partition_bound,"
    " ARRAY(SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = pg_class.oid) AS parents,"
    " obj_description(oid, 'pg_class') AS comment FROM pg_class WHERE relname = {table} AND relnamespace = {namespace}"
)
_TYPES = (
    "SELECT typname, typtype, typowner::regrole, format_type(typbasetype, typtypmod) AS base, typnotnull, typdefault,"
    " ARRAY(SELECT enumlabel FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder) AS labels,"
    " ARRAY(SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = t.typrelid"
    " AND attnum > 0 AND NOT attisdropped ORDER BY attnum) AS attributes,"
    " ARRAY(SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE contypid = t.oid) AS checks,"
    " obj_description(oid, 'pg_type') AS comment"
    " FROM pg_type t WHERE typname = {name} AND typnamespace = {namespace}"
)
_VIEWS = (
    "SELECT relname, pg_get_viewdef(oid) AS definition, relowner::regrole, reloptions, relispopulated,"
    " obj_description(oid, 'pg_class') AS comment"
    " FROM pg_class WHERE relname = {name} AND relnamespace = {namespace} AND relkind IN ('v', 'm')"
)
_ROUTINES = (
    "SELECT pg_get_functiondef(oid) AS definition, proowner::regrole, obj_description(oid, 'pg_proc') AS comment"
    " FROM pg_proc WHERE proname || '(' || oidvectortypes(proargtypes) || ')' = {name} AND pronamespace = {namespace}"
    " AND prokind <> 'a'"
)
_POSTGRESQL = {
    "table": _TABLE,
    "row security": _TABLE,
    "column": _COLUMNS,
    **dict.fromkeys(("constraint", "primary key", "unique", "foreign key", "check"), _CONSTRAINTS),
    "index": "SELECT pg_get_indexdef(indexrelid) AS definition, indisvalid, indisclustered, indisreplident,"
    " obj_description(indexrelid, 'pg_class') AS comment FROM pg_index WHERE indrelid = {relation}",
    "trigger": "SELECT tgname, pg_get_triggerdef(oid) AS definition, tgenabled,"
    " obj_description(oid, 'pg_trigger') AS comment FROM pg_trigger WHERE tgrelid = {relation} AND NOT tgisinternal",
    "rule": "SELECT rulename, pg_get_ruledef(oid) AS definition, ev_enabled,"
    " obj_description(oid, 'pg_rewrite') AS comment FROM pg_rewrite WHERE ev_class = {relation}",
    "policy": "SELECT * FROM pg_policies WHERE schemaname = {schema} AND tablename = {table}",
    "view": _VIEWS,
    "materialized view": _VIEWS,
    "function": _ROUTINES,
    "procedure": _ROUTINES,
    "type": _TYPES,
    "domain": _TYPES,
    "sequence": "SELECT * FROM pg_sequences WHERE schemaname = {schema} AND sequencename = {name}",
    "extension": "SELECT extname, extversion, extnamespace::regnamespace FROM pg_extension WHERE extname = {name}",
    "schema": "SELECT nspname, nspowner::regrole, nspacl, obj_description(oid, 'pg_namespace') AS comment"
    " FROM pg_namespace WHERE nspname = {name}",
    "operator": "SELECT oprname, oprleft::regtype, oprright::regtype, oprcode::regproc, oprcom::regoper,"
    " oprnegate::regoper, oprrest, oprjoin, oprcanhash, oprcanmerge, oprowner::regrole, obj_description(oid,"
    " 'pg_operator') AS comment FROM pg_operator WHERE oprname = split_part({name}, '(', 1) AND oprnamespace ="
    " {namespace}",
    "publication": (
        "SELECT p.*, ARRAY(SELECT prrelid::regclass || coalesce(' where ' || pg_get_expr(prqual, prrelid), '')"
        " FROM pg_publication_rel WHERE prpubid = p.oid) AS tables, obj_description(p.oid, 'pg_publication') AS"
        " comment FROM pg_publication p WHERE pubname = {name}"
    ),
    "subscription": (
        "SELECT subname, subenabled, subslotname, subpublications, subowner::regrole FROM pg_subscription WHERE"
        " subname = {name}"
    ),
    "event trigger": (
        "SELECT evtname, evtevent, evtfoid::regproc, evttags, evtenabled, evtowner::regrole, obj_description(oid,"
        " 'pg_event_trigger') AS comment FROM pg_event_trigger WHERE evtname = {name}"
    ),
    "statistics": "SELECT stxname, pg_get_statisticsobjdef(oid) AS definition, stxstattarget, stxowner::regrole,"
    " obj_description(oid, 'pg_statistic_ext') AS comment FROM pg_statistic_ext WHERE stxrelid = {relation}",
    "collation": (
        "SELECT c.*, obj_description(c.oid, 'pg_collation') AS comment FROM pg_collation c WHERE collname ="
        " {name} AND collnamespace = {namespace}"
    ),
    "text search configuration": (
        "SELECT cfgname, cfgparser, cfgowner::regrole, ARRAY(SELECT maptokentype || ' ' || mapdict::regdictionary"
        " FROM pg_ts_config_map WHERE mapcfg = c.oid ORDER BY maptokentype, mapseqno) AS mappings,"
        " obj_description(oid, 'pg_ts_config') AS comment FROM pg_ts_config c WHERE cfgname = {name} AND"
        " cfgnamespace = {namespace}"
    ),
    "text search dictionary": (
        "SELECT dictname, dicttemplate, dictinitoption, dictowner::regrole, obj_description(oid, 'pg_ts_dict') AS"
        " comment FROM pg_ts_dict WHERE dictname = {name} AND dictnamespace = {namespace}"
    ),
    "aggregate": (
        "SELECT p.oid::regprocedure, a.*, p.proparallel, p.proowner::regrole, obj_description(p.oid, 'pg_proc')"
        " AS comment FROM pg_proc p JOIN pg_aggregate a ON a.aggfnoid = p.oid WHERE p.proname || '(' ||"
        " oidvectortypes(p.proargtypes) || ')' = {name} AND p.pronamespace = {namespace}"
    ),
    "cast": "SELECT castsource::regtype, casttarget::regtype, castfunc::regprocedure, castcontext, castmethod,"
    " obj_description(oid, 'pg_cast') AS comment FROM pg_cast WHERE format('(%s AS %s)',"
    " format_type(castsource, NULL), format_type(casttarget, NULL)) = {name}",
    "foreign server": "SELECT srvname, srvtype, srvversion, srvowner::regrole, srvacl, obj_description(oid,"
    " 'pg_foreign_server') AS comment FROM pg_foreign_server WHERE srvname = {name}",
    "foreign data wrapper": (
        "SELECT fdwname, fdwhandler::regproc, fdwvalidator::regproc, fdwowner::regrole, fdwacl,"
        " obj_description(oid, 'pg_foreign_data_wrapper') AS comment FROM pg_foreign_data_wrapper WHERE fdwname ="
        " {name}"
    ),
    "language": "SELECT lanname, lanpltrusted, lanplcallfoid::regproc, laninline::regproc, lanvalidator::regproc,"
    " lanowner::regrole, obj_description(oid, 'pg_language') AS comment FROM pg_language WHERE lanname ="
    " {name}",
    "access method": (
        "SELECT amname, amhandler, amtype, obj_description(oid, 'pg_am') AS comment FROM pg_am WHERE amname = {name}"
    ),
    "conversion": (
        "SELECT conname, pg_encoding_to_char(conforencoding) AS from, pg_encoding_to_char(contoencoding) AS to,"
        " conproc, condefault, conowner::regrole FROM pg_conversion WHERE conname = {name} AND connamespace ="
        " {namespace}"
    ),
    "operator class": (
        "SELECT c.opcname, m.amname, c.opcintype::regtype, c.opcdefault, c.opckeytype::regtype, f.opfname,"
        " c.opcowner::regrole FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod JOIN pg_opfamily f ON f.oid ="
        " c.opcfamily WHERE c.opcname || ' using ' || m.amname = {name} AND c.opcnamespace = {namespace}"
    ),
    "operator family": (
        "SELECT f.opfname, m.amname, ARRAY(SELECT amopstrategy || ' ' || amopopr::regoperator FROM pg_amop WHERE"
        " amopfamily = f.oid ORDER BY 1) AS operators, ARRAY(SELECT amprocnum || ' ' || amproc::regprocedure FROM"
        " pg_amproc WHERE amprocfamily = f.oid ORDER BY 1) AS functions, f.opfowner::regrole FROM pg_opfamily f"
        " JOIN pg_am m ON m.oid = f.opfmethod WHERE f.opfname || ' using ' || m.amname = {name} AND f.opfnamespace"
        " = {namespace}"
    ),
}


def _postgresql(key: ObjectKey) -> str:
    kind = key.kind
    if kind == "grant" and key.table:  # on a table, or on one of its columns
        kind = "table" if key.name == key.table else "column"
    if kind not in _POSTGRESQL:
        return ""
    schema, table, name = (
        quote_string(text, "postgresql") for text in (key.namespace or "public", key.table or key.name, key.name)
    )
    relation = _RELATION.format(named=f"n.nspname = {schema} AND c.relname = {table}")
    namespace = _NAMESPACE.format(schema=schema)
    return _POSTGRESQL[kind].format(schema=schema, table=table, name=name, relation=relation, namespace=namespace)
