"""What few databases have: operator classes, conversions, languages, wrappers, subscriptions, large objects ...

Of a subscription only a superuser may read where it connects to; others are told its name and what it takes.

Read behind the catalog's statement (``_postgresql_catalog``), over its common tables ``ns`` and ``ext``, and only where
there is any: planning it costs as much as a third of all the rest. Of a user mapping's options only the names and
hashes are read: they hold passwords.
"""

from __future__ import annotations

from typing import Any

from seatrial.engines._postgresql_session import Session

RARE = """
SELECT 'operator class', ns.n, '', format('%s using %s', c.opcname, m.amname), jsonb_build_object(
  'type', format_type(c.opcintype, NULL), 'default', c.opcdefault,
  'storage', format_type(nullif(c.opckeytype, 0), NULL),
  'family', (SELECT f.opfname FROM pg_opfamily f WHERE f.oid = c.opcfamily),
  'owner', pg_get_userbyid(c.opcowner), 'comment', obj_description(c.oid, 'pg_opclass'))
FROM pg_opclass c JOIN ns ON ns.oid = c.opcnamespace JOIN pg_am m ON m.oid = c.opcmethod
WHERE c.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_opclass'::regclass)
UNION ALL
SELECT 'operator family', ns.n, '', format('%s using %s', f.opfname, m.amname), jsonb_build_object(
  'operators', (SELECT jsonb_agg(concat_ws(' ', a.amopstrategy, a.amopopr::regoperator, a.amoppurpose,
       (SELECT s.opfname FROM pg_opfamily s WHERE s.oid = a.amopsortfamily))
     ORDER BY a.amopstrategy, a.amopopr::regoperator::text) FROM pg_amop a WHERE a.amopfamily = f.oid),
  'functions', (SELECT jsonb_agg(concat_ws(' ', p.amprocnum, format_type(p.amproclefttype, NULL),
       format_type(p.amprocrighttype, NULL), p.amproc::oid::regprocedure)
     ORDER BY p.amprocnum, p.amproc::oid::regprocedure::text) FROM pg_amproc p WHERE p.amprocfamily = f.oid),
  'owner', pg_get_userbyid(f.opfowner), 'comment', obj_description(f.oid, 'pg_opfamily'))
FROM pg_opfamily f JOIN ns ON ns.oid = f.opfnamespace JOIN pg_am m ON m.oid = f.opfmethod
WHERE f.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_opfamily'::regclass)
UNION ALL
SELECT 'conversion', ns.n, '', v.conname::text, jsonb_build_object(
  'from', pg_encoding_to_char(v.conforencoding), 'to', pg_encoding_to_char(v.contoencoding),
  'function', v.conproc::text, 'default', v.condefault,
  'owner', pg_get_userbyid(v.conowner), 'comment', obj_description(v.oid, 'pg_conversion'))
FROM pg_conversion v JOIN ns ON ns.oid = v.connamespace
UNION ALL
SELECT 'access method', '', '', m.amname::text, jsonb_build_object('handler', m.amhandler::text, 'type', m.amtype,
  'comment', obj_description(m.oid, 'pg_am'))
FROM pg_am m WHERE m.oid >= 16384 AND m.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_am'::regclass)
UNION ALL
SELECT 'language', '', '', l.lanname::text, jsonb_build_object('trusted', l.lanpltrusted,
  'handler', l.lanplcallfoid::regproc::text, 'inline', l.laninline::regproc::text,
  'validator', l.lanvalidator::regproc::text,
  'owner', pg_get_userbyid(l.lanowner), 'comment', obj_description(l.oid, 'pg_language'))
FROM pg_language l WHERE l.oid >= 16384 AND l.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_language'::regclass)
UNION ALL
SELECT 'transform', '', '', format('%s in %s', format_type(t.trftype, NULL),
    (SELECT lanname FROM pg_language WHERE oid = t.trflang)),
  jsonb_build_object('from', t.trffromsql::text, 'to', t.trftosql::text,
    'comment', obj_description(t.oid, 'pg_transform'))
FROM pg_transform t WHERE t.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_transform'::regclass)
UNION ALL
SELECT 'text search parser', ns.n, '', p.prsname::text, jsonb_build_object('functions', concat_ws(' ', p.prsstart,
  p.prstoken, p.prsend, p.prsheadline, p.prslextype), 'comment', obj_description(p.oid, 'pg_ts_parser'))
FROM pg_ts_parser p JOIN ns ON ns.oid = p.prsnamespace
WHERE p.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_ts_parser'::regclass)
UNION ALL
SELECT 'text search template', ns.n, '', t.tmplname::text, jsonb_build_object('functions', concat_ws(' ', t.tmplinit,
  t.tmpllexize), 'comment', obj_description(t.oid, 'pg_ts_template'))
FROM pg_ts_template t JOIN ns ON ns.oid = t.tmplnamespace
WHERE t.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_ts_template'::regclass)
UNION ALL
SELECT 'foreign data wrapper', '', '', w.fdwname::text, jsonb_build_object(
  'functions', concat_ws(' ', w.fdwhandler::regproc, w.fdwvalidator::regproc), 'options',
  (SELECT jsonb_agg(split_part(o, '=', 1) || ' ' || md5(o) ORDER BY o) FROM unnest(w.fdwoptions) AS o),
  'owner', pg_get_userbyid(w.fdwowner), 'comment', obj_description(w.oid, 'pg_foreign_data_wrapper'))
FROM pg_foreign_data_wrapper w
WHERE w.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_foreign_data_wrapper'::regclass)
UNION ALL
SELECT 'user mapping', '', '', format('%s on %s', m.usename, m.srvname), jsonb_build_object('options',
  (SELECT jsonb_agg(split_part(o, '=', 1) || ' ' || md5(o) ORDER BY o) FROM unnest(m.umoptions) AS o))
FROM pg_user_mappings m
UNION ALL
SELECT 'grant', '', '', 'parameter ' || p.parname, jsonb_build_object('privileges', (
  SELECT jsonb_agg(CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END || ': '
    || a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END ORDER BY 1) FROM aclexplode(p.paracl) AS a))
FROM pg_parameter_acl p
UNION ALL
SELECT 'extension dependency', '', '', format('%s %s on %s', i.type, i.identity, e.extname), '{}'
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid, pg_identify_object(d.classid, d.objid, d.objsubid) AS i
WHERE d.deptype = 'x' AND d.refclassid = 'pg_extension'::regclass
UNION ALL
SELECT 'security label', '', '', format('%s %s by %s', l.objtype, l.objname, l.provider),
  jsonb_build_object('label', l.label)
FROM pg_seclabels l WHERE l.classoid NOT IN ('pg_database'::regclass, 'pg_authid'::regclass, 'pg_tablespace'::regclass)
"""

_CATALOGS = (
    *("pg_opclass", "pg_opfamily", "pg_conversion", "pg_am", "pg_language", "pg_transform"),
    *("pg_ts_parser", "pg_ts_template", "pg_foreign_data_wrapper", "pg_parameter_acl"),
)
# What initdb makes has a lower number (access/transam.h, FirstNormalObjectId); a large object may be given one.
ANY_RARE = """
SELECT EXISTS (SELECT FROM pg_largeobject_metadata) OR EXISTS (SELECT FROM pg_seclabel)
  OR EXISTS (SELECT FROM pg_depend WHERE deptype = 'x' AND refclassid = 'pg_extension'::regclass)
  OR EXISTS (SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
     WHERE d.datname = current_database()) OR """ + " OR ".join(
    f"EXISTS (SELECT FROM {name} WHERE oid >= 16384)" for name in _CATALOGS
)

_SUBSCRIPTIONS = """
SELECT 'subscription', '', '', s.subname::text, jsonb_build_object('publications', to_jsonb(s.subpublications),
  'enabled', s.subenabled, 'slot', s.subslotname, 'owner', pg_get_userbyid(s.subowner),
  'comment', obj_description(s.oid, 'pg_subscription')) || {secret}
FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database()
"""
# Options differ between versions; the state of two-phase commits is no option. A connection holds a password.
_SECRET = """jsonb_build_object('connection', md5(s.subconninfo), 'options', (
  SELECT jsonb_agg(o.key || ' ' || o.value ORDER BY o.key) FROM jsonb_each_text(to_jsonb(s) - ARRAY['oid', 'subdbid',
    'subskiplsn', 'subname', 'subowner', 'subenabled', 'subconninfo', 'subslotname', 'subpublications']) AS o))"""

_LARGE = """
SELECT 'database', '', '', 'large objects', jsonb_build_object('count', count(*), 'contents', {contents},
  'owners', (SELECT jsonb_agg(DISTINCT concat_ws(' ', pg_get_userbyid(lomowner), lomacl::text))
     FROM pg_largeobject_metadata),
  'comments', (SELECT jsonb_agg(d.description ORDER BY d.description) FROM pg_description d
     WHERE d.classoid = 'pg_largeobject'::regclass), 'not_compared', {why})
FROM pg_largeobject_metadata HAVING count(*) > 0
"""
# Each object by its pages, in the order of their numbers but without them: those are another with every run, while two
# that swap what they hold are in another order.
_CONTENTS = """(SELECT md5(string_agg(coalesce(p.s, 'empty'), ',' ORDER BY m.oid)) FROM pg_largeobject_metadata m
   LEFT JOIN (SELECT loid, sum(hashint8extended(hash_record_extended(ROW(pageno, data), 0), 0)) || ' ' || count(*) AS s
     FROM pg_largeobject GROUP BY loid) AS p ON p.loid = m.oid)"""
_MOST_BYTES = 64 << 20  # read at every look at the schema


def rare(session: Session, common: str) -> list[tuple[Any, ...]]:
    """Every object of these kinds; ``common`` are the tables that the statement is read over."""
    if session.rows(ANY_RARE, prepare=True)[0][0] != "t":
        return []
    return session.rows(common + RARE, prepare=True) + _subscriptions(session) + large_objects(session)


def _subscriptions(session: Session) -> list[tuple[Any, ...]]:
    asked = "SELECT has_column_privilege('pg_subscription', 'subconninfo', 'SELECT')"
    return session.rows(_SUBSCRIPTIONS.format(secret=_SECRET if session.value(asked) == "t" else "'{}'"))


def large_objects(session: Session) -> list[tuple[str, str, str, str, str]]:
    """Large objects as one object of the schema: how many, whose, and what is in them where that may be read."""
    if session.value("SELECT EXISTS (SELECT FROM pg_largeobject_metadata)") != "t":
        return []
    readable = session.value("SELECT has_table_privilege('pg_largeobject', 'SELECT')") == "t"
    size = int(session.value("SELECT pg_table_size('pg_largeobject')") or 0)
    why = "" if readable else "only a superuser may read them"
    why = why or (f"they hold {size >> 20} MB" if size > _MOST_BYTES else "")
    return session.rows(_LARGE.format(contents="NULL" if why else _CONTENTS, why=f"nullif('{why}', '')"))
