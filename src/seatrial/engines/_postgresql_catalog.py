"""Every object of a PostgreSQL database, in one round trip (manual, chapter 53).

Each part below selects ``kind, namespace, table, name, attributes``; the parts are one statement, which a session
prepares once. Definitions are the engine's own words (``pg_get_*``), read under our search_path. What belongs to an
extension, and what the server makes by itself (row types, array types, indexes behind constraints, an identity's
sequence), is no object.

Columns that only newer versions have are read through ``to_jsonb(row)``, so one text serves 15 to 18.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from seatrial.engines._postgresql_catalog_rare import ANY_RARE, RARE, large_objects
from seatrial.engines._postgresql_session import SHADOWS, Session
from seatrial.model import Attribute, Attributes, ObjectKey, Schema
from seatrial.sql import tokenize

_WITH = f"""
WITH ns AS MATERIALIZED (
  SELECT oid, nspname, CASE nspname WHEN 'public' THEN '' ELSE nspname END AS n, nspowner, nspacl
  FROM pg_namespace
  WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', '{SHADOWS}')
    AND nspname !~ '^pg_(temp|toast_temp)_'),
ext AS MATERIALIZED (SELECT classid, objid FROM pg_depend WHERE deptype = 'e' AND refclassid =
   'pg_extension'::regclass),
rel AS MATERIALIZED (
  SELECT c.*, ns.n FROM pg_class c JOIN ns ON ns.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'i', 'I', 'c')
    AND c.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_class'::regclass)),
tab AS MATERIALIZED (SELECT * FROM rel WHERE relkind IN ('r', 'p', 'f')),
typ AS MATERIALIZED (
  SELECT t.*, ns.n FROM pg_type t JOIN ns ON ns.oid = t.typnamespace
  WHERE t.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_type'::regclass)),
fun AS MATERIALIZED (
  SELECT p.*, ns.n, p.proname || '(' || oidvectortypes(p.proargtypes) || ')' AS label
  FROM pg_proc p JOIN ns ON ns.oid = p.pronamespace
  WHERE p.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_proc'::regclass)),
con AS MATERIALIZED (
  SELECT k.*, to_jsonb(k) AS j FROM pg_constraint k
  WHERE k.conrelid IN (SELECT oid FROM tab) AND k.contype IN ('p', 'u', 'f', 'c', 'x'))
"""

_TABLES = """
SELECT 'table' AS kind, c.n, '' AS t, c.relname::text AS name, jsonb_build_object(
  'comment', obj_description(c.oid, 'pg_class'),
  'owner', pg_get_userbyid(c.relowner),
  'persistence', CASE c.relpersistence WHEN 'p' THEN 'permanent' ELSE 'unlogged' END,
  'options', (SELECT jsonb_agg(o ORDER BY o) FROM (
     SELECT unnest(c.reloptions) AS o
     UNION ALL SELECT 'toast.' || unnest(x.reloptions) FROM pg_class x WHERE x.oid = c.reltoastrelid) AS o),
  'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace),
  'access_method', (SELECT amname FROM pg_am WHERE oid = c.relam AND amname <> 'heap'),
  'replica_identity', CASE c.relreplident WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' WHEN 'i' THEN 'index' END,
  'partition_key', pg_get_partkeydef(c.oid),
  'partition_bound', CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END,
  'partition_of', (SELECT i.inhparent::regclass || CASE WHEN i.inhdetachpending THEN ' (being detached)' ELSE '' END
     FROM pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition),
  'inherits', (SELECT jsonb_agg(i.inhparent::regclass::text ORDER BY i.inhseqno) FROM pg_inherits i
     WHERE i.inhrelid = c.oid AND NOT c.relispartition),
  'of_type', CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END,
  'foreign_server', (SELECT s.srvname || coalesce(' ' || f.ftoptions::text, '') FROM pg_foreign_table f
     JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid))
FROM tab c
"""

_COLUMNS = """
SELECT 'column', c.n, c.relname::text, a.attname::text, jsonb_build_object(
  'position', row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum),
  'type', format_type(a.atttypid, a.atttypmod),
  'nullable', NOT a.attnotnull,
  'default', CASE WHEN a.attgenerated = '' AND pg_get_expr(d.adbin, d.adrelid) !~ '^NULL::[^'']+$'
                  THEN pg_get_expr(d.adbin, d.adrelid) END,
  'generated', CASE a.attgenerated WHEN 's' THEN 'stored: ' || pg_get_expr(d.adbin, d.adrelid)
                                   WHEN 'v' THEN 'virtual: ' || pg_get_expr(d.adbin, d.adrelid) END,
  'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END,
  'identity_options', CASE WHEN a.attidentity <> '' THEN (
     SELECT format('%s start %s increment %s min %s max %s cache %s%s', format_type(s.seqtypid, NULL), s.seqstart,
       s.seqincrement, s.seqmin, s.seqmax, s.seqcache, CASE WHEN s.seqcycle THEN ' cycle' ELSE '' END)
     FROM pg_depend q JOIN pg_sequence s ON s.seqrelid = q.objid
     WHERE q.classid = 'pg_class'::regclass AND q.refclassid = 'pg_class'::regclass AND q.refobjid = a.attrelid
       AND q.refobjsubid = a.attnum AND q.deptype = 'i' LIMIT 1) END,
  'collation', CASE WHEN a.attcollation <> y.typcollation THEN (
     SELECT CASE WHEN l.collnamespace = 'pg_catalog'::regnamespace THEN l.collname::text
                 ELSE l.collnamespace::regnamespace || '.' || l.collname END
     FROM pg_collation l WHERE l.oid = a.attcollation) END,
  'comment', col_description(a.attrelid, a.attnum),
  'storage', CASE WHEN a.attstorage <> y.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN
     'external'
     WHEN 'm' THEN 'main' ELSE 'extended' END END,
  'compression', CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
  'statistics', CASE WHEN coalesce(a.attstattarget, -1) >= 0 THEN a.attstattarget END,
  'options', (SELECT jsonb_agg(o ORDER BY o) FROM unnest(a.attoptions || a.attfdwoptions) AS o),
  'inherited', CASE WHEN a.attinhcount > 0 THEN CASE WHEN a.attislocal THEN 'and local' ELSE 'only' END END,
  'not_null_validated', (SELECT false FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n'
     AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated LIMIT 1),
  'not_null_inherited', (SELECT false FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n'
     AND k.conkey = ARRAY[a.attnum] AND k.connoinherit LIMIT 1))
  || coalesce((SELECT jsonb_build_object('given_name', k.conname, 'not_null_comment', obj_description(k.oid,
       'pg_constraint'), 'not_null_name', CASE WHEN k.conname !~ '_not_null[0-9]*$' THEN k.conname END)
     FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] LIMIT 1),
     '{}')
FROM tab c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type y ON y.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
"""

_CONSTRAINTS = """
SELECT 'constraint', c.n, c.relname::text, k.conname::text, jsonb_build_object(
  'type', CASE k.contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique' WHEN 'f' THEN 'foreign key'
     WHEN 'c' THEN 'check' ELSE 'exclusion' END,
  'columns', (SELECT jsonb_agg(a.attname ORDER BY u.i) FROM unnest(k.conkey) WITH ORDINALITY AS u(attnum, i)
     JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum),
  'definition', pg_get_constraintdef(k.oid),
  'validated', k.convalidated,
  'enforced', coalesce((k.j ->> 'conenforced')::boolean, true) AND NOT EXISTS (
     SELECT FROM pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgisinternal AND g.tgenabled = 'D'),
  'deferrable', CASE WHEN k.condeferred THEN 'initially deferred' WHEN k.condeferrable THEN 'deferrable' END,
  'no_inherit', CASE WHEN k.contype = 'c' AND k.connoinherit THEN true END,
  'inherited', CASE WHEN k.coninhcount > 0 THEN CASE WHEN k.conislocal THEN 'and local' ELSE 'only' END END,
  'comment', obj_description(k.oid, 'pg_constraint'))
 || CASE k.contype WHEN 'f' THEN jsonb_build_object(
  'references', (SELECT CASE s.nspname WHEN 'public' THEN '' ELSE s.nspname || '.' END || f.relname
     FROM pg_class f JOIN pg_namespace s ON s.oid = f.relnamespace WHERE f.oid = k.confrelid),
  'referenced_columns', (SELECT jsonb_agg(a.attname ORDER BY u.i) FROM unnest(k.confkey) WITH ORDINALITY AS u(attnum, i)
     JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum),
  'on_delete', CASE k.confdeltype WHEN 'a' THEN 'NO ACTION' WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE'
     WHEN 'n' THEN 'SET NULL' ELSE 'SET DEFAULT' END,
  'on_update', CASE k.confupdtype WHEN 'a' THEN 'NO ACTION' WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE'
     WHEN 'n' THEN 'SET NULL' ELSE 'SET DEFAULT' END,
  'match', CASE k.confmatchtype WHEN 'f' THEN 'FULL' WHEN 'p' THEN 'PARTIAL' ELSE 'SIMPLE' END)
 WHEN 'c' THEN jsonb_build_object('expression', pg_get_expr(k.conbin, k.conrelid))
 ELSE coalesce((SELECT jsonb_build_object(
   'nulls_not_distinct', coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::boolean, false),
   'valid', x.indisvalid, 'clustered', nullif(x.indisclustered, false), 'replica_identity',
      nullif(x.indisreplident, false),
   'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = i.reltablespace),
   'options', to_jsonb(i.reloptions), 'index_comment', obj_description(i.oid, 'pg_class'))
   FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indexrelid = k.conindid), '{}') END
FROM con k JOIN tab c ON c.oid = k.conrelid
WHERE NOT EXISTS (SELECT FROM con p WHERE p.oid = k.conparentid AND p.conrelid = k.conrelid)
"""

_INDEXES = """
SELECT 'index', c.n, c.relname::text, i.relname::text, jsonb_build_object(
  'columns', (SELECT jsonb_agg(coalesce(a.attname, '') ORDER BY u.i)
     FROM unnest((x.indkey::int2[])[0:x.indnkeyatts - 1]) WITH ORDINALITY AS u(attnum, i)
     LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.attnum AND u.attnum > 0),
  'keys', (SELECT jsonb_agg(pg_get_indexdef(x.indexrelid, i, false) ORDER BY i) FROM generate_series(1,
     x.indnkeyatts) AS i),
  'unique', x.indisunique,
  'predicate', pg_get_expr(x.indpred, x.indrelid),
  'definition', pg_get_indexdef(x.indexrelid),
  'valid', x.indisvalid AND x.indisready AND x.indislive,
  'nulls_not_distinct', coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::boolean, false),
  'clustered', nullif(x.indisclustered, false),
  'replica_identity', nullif(x.indisreplident, false),
  'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = i.reltablespace),
  'statistics', (SELECT jsonb_agg(a.attname || ' ' || a.attstattarget ORDER BY a.attnum) FROM pg_attribute a
     WHERE a.attrelid = i.oid AND a.attstattarget >= 0),
  'partition_of', (SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = i.oid),
  'comment', obj_description(i.oid, 'pg_class'))
FROM pg_index x JOIN rel i ON i.oid = x.indexrelid JOIN rel c ON c.oid = x.indrelid AND c.relkind IN ('r', 'p', 'm',
   'f')
WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x'))
"""

_SEQUENCES = """
SELECT 'sequence', c.n, '', c.relname::text, jsonb_build_object(
  'type', format_type(s.seqtypid, NULL), 'start', s.seqstart::text, 'increment', s.seqincrement::text,
  'min', s.seqmin::text, 'max', s.seqmax::text, 'cache', s.seqcache::text, 'cycle', s.seqcycle,
  'owned_by', (SELECT q.refobjid::regclass::text || '.' || a.attname FROM pg_depend q JOIN pg_attribute a
     ON a.attrelid = q.refobjid AND a.attnum = q.refobjsubid
     WHERE q.classid = 'pg_class'::regclass AND q.objid = c.oid AND q.refclassid = 'pg_class'::regclass
       AND q.deptype = 'a' AND q.refobjsubid > 0 LIMIT 1),
  'owner', pg_get_userbyid(c.relowner), 'persistence', nullif(c.relpersistence, 'p'),
  'comment', obj_description(c.oid, 'pg_class'))
FROM rel c JOIN pg_sequence s ON s.seqrelid = c.oid
WHERE NOT EXISTS (SELECT FROM pg_depend q WHERE q.classid = 'pg_class'::regclass AND q.objid = c.oid AND q.deptype =
   'i')
"""

_VIEWS = """
SELECT CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, c.n, '', c.relname::text, jsonb_build_object(
  'definition', pg_get_viewdef(c.oid),
  'columns', (SELECT jsonb_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
     FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  'column_comments', (SELECT jsonb_agg(a.attname || ': ' || d.description ORDER BY a.attnum) FROM pg_attribute a
     JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = a.attnum
     WHERE a.attrelid = c.oid AND a.attnum > 0),
  'column_defaults', (SELECT jsonb_agg(a.attname || ': ' || pg_get_expr(d.adbin, d.adrelid) ORDER BY a.attnum)
     FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE d.adrelid = c.oid),
  'options', (SELECT jsonb_agg(o ORDER BY o) FROM unnest(c.reloptions) AS o),
  'populated', CASE WHEN c.relkind = 'm' THEN c.relispopulated END,
  'column_settings', (SELECT jsonb_agg(concat_ws(' ', a.attname, nullif(coalesce(a.attstattarget, -1), -1),
       CASE WHEN a.attstorage <> y.typstorage THEN a.attstorage END, nullif(a.attcompression, ''), a.attoptions::text)
       ORDER BY a.attnum) FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
     WHERE c.relkind = 'm' AND a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       AND (coalesce(a.attstattarget, -1) >= 0 OR a.attstorage <> y.typstorage OR a.attcompression <> ''
         OR a.attoptions IS NOT NULL)),
  'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace),
  'owner', pg_get_userbyid(c.relowner), 'comment', obj_description(c.oid, 'pg_class'))
FROM rel c WHERE c.relkind IN ('v', 'm')
"""

_RULES = """
SELECT 'rule', c.n, c.relname::text, r.rulename::text, jsonb_build_object(
  'definition', pg_get_ruledef(r.oid), 'enabled', r.ev_enabled <> 'D',
  'fires', CASE r.ev_enabled WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always' ELSE 'origin' END,
  'comment', obj_description(r.oid, 'pg_rewrite'))
FROM pg_rewrite r JOIN rel c ON c.oid = r.ev_class WHERE r.rulename <> '_RETURN'
"""

_TRIGGERS = """
SELECT 'trigger', c.n, c.relname::text, g.tgname::text, jsonb_build_object(
  'definition', pg_get_triggerdef(g.oid), 'enabled', g.tgenabled <> 'D',
  'fires', CASE g.tgenabled WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always' ELSE 'origin' END,
  'comment', obj_description(g.oid, 'pg_trigger'))
FROM pg_trigger g JOIN rel c ON c.oid = g.tgrelid WHERE NOT g.tgisinternal
"""

_FUNCTIONS = """
SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END, p.n, '', p.label,
  jsonb_build_object(
  'definition', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) ELSE (
     SELECT format('CREATE AGGREGATE %s RETURNS %s (%s)', p.label, format_type(p.prorettype, NULL),
       ((to_jsonb(g) - 'aggfnoid') || jsonb_build_object('aggtranstype', format_type(g.aggtranstype, NULL),
        'parallel', p.proparallel, 'aggmtranstype', format_type(g.aggmtranstype, NULL),
        'aggsortop', g.aggsortop::regoperator))::text)
     FROM pg_aggregate g WHERE g.aggfnoid = p.oid) END,
  'owner', pg_get_userbyid(p.proowner), 'comment', obj_description(p.oid, 'pg_proc'))
FROM fun p
WHERE NOT EXISTS (SELECT FROM pg_depend q WHERE q.classid = 'pg_proc'::regclass AND q.objid = p.oid AND q.deptype = 'i')
"""

_TYPES = """
SELECT 'type', y.n, '', y.typname::text, jsonb_build_object(
  'type', CASE y.typtype WHEN 'e' THEN 'enum' WHEN 'c' THEN 'composite' WHEN 'r' THEN 'range' WHEN 'p' THEN 'shell'
     ELSE 'base' END,
  'labels', CASE WHEN y.typtype = 'e' THEN (SELECT coalesce(jsonb_agg(e.enumlabel ORDER BY e.enumsortorder), '[]')
     FROM pg_enum e WHERE e.enumtypid = y.oid) END,
  'attributes', CASE WHEN y.typtype = 'c' THEN (
     SELECT coalesce(jsonb_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
       || coalesce(' collate ' || nullif(a.attcollation, b.typcollation)::regcollation, '')
       || coalesce(' comment ' || col_description(a.attrelid, a.attnum), '') ORDER BY a.attnum), '[]')
     FROM pg_attribute a JOIN pg_type b ON b.oid = a.atttypid
     WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped) END,
  'range', CASE WHEN y.typtype = 'r' THEN (
     SELECT format('%s %s %s %s %s %s', format_type(r.rngsubtype, NULL), nullif(r.rngcollation, 0)::regcollation,
       o.opcname, nullif(r.rngcanonical::oid, 0)::regproc, nullif(r.rngsubdiff::oid, 0)::regproc,
       format_type(r.rngmultitypid, NULL))
     FROM pg_range r JOIN pg_opclass o ON o.oid = r.rngsubopc WHERE r.rngtypid = y.oid) END,
  'functions', CASE WHEN y.typtype = 'b' THEN concat_ws(' ', y.typinput, y.typoutput, y.typreceive, y.typsend,
     y.typmodin, y.typmodout, y.typanalyze, y.typsubscript, y.typlen, y.typalign, y.typstorage, y.typbyval,
     y.typcategory, y.typispreferred, y.typdelim, y.typelem::regtype, y.typcollation::regcollation, y.typdefault) END,
  'owner', pg_get_userbyid(y.typowner), 'comment', obj_description(y.oid, 'pg_type'))
FROM typ y
WHERE y.typtype IN ('e', 'r', 'b', 'p') AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = y.oid)
   OR y.typtype = 'c' AND EXISTS (SELECT FROM rel c WHERE c.oid = y.typrelid AND c.relkind = 'c')
"""

_DOMAINS = """
SELECT 'domain', y.n, '', y.typname::text, jsonb_build_object(
  'type', format_type(y.typbasetype, y.typtypmod), 'nullable', NOT y.typnotnull, 'default', y.typdefault,
  'collation', nullif(y.typcollation, b.typcollation)::regcollation::text,
  'checks', (SELECT jsonb_agg(k.conname || ' ' || pg_get_constraintdef(k.oid)
       || coalesce(' comment ' || obj_description(k.oid, 'pg_constraint'), '') ORDER BY k.conname)
     FROM pg_constraint k WHERE k.contypid = y.oid AND k.contype = 'c'),
  'validated', NOT EXISTS (SELECT FROM pg_constraint k WHERE k.contypid = y.oid AND NOT k.convalidated),
  'owner', pg_get_userbyid(y.typowner), 'comment', obj_description(y.oid, 'pg_type'))
FROM typ y JOIN pg_type b ON b.oid = y.typbasetype WHERE y.typtype = 'd'
"""

_POLICIES = """
SELECT 'policy', c.n, c.relname::text, p.polname::text, jsonb_build_object(
  'command', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
     ELSE 'ALL' END,
  'permissive', p.polpermissive,
  'roles', (SELECT jsonb_agg(r ORDER BY r) FROM (
     SELECT CASE o WHEN 0 THEN 'public' ELSE pg_get_userbyid(o)::text END AS r FROM unnest(p.polroles) AS o) AS r),
  'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid),
  'comment', obj_description(p.oid, 'pg_policy'))
FROM pg_policy p JOIN tab c ON c.oid = p.polrelid
UNION ALL
SELECT 'row security', c.n, c.relname::text, c.relname::text,
  jsonb_build_object('enabled', c.relrowsecurity, 'forced', c.relforcerowsecurity)
FROM tab c WHERE c.relrowsecurity OR c.relforcerowsecurity
"""

# What differs from the rights that an object has by itself (its built-in ones, or those that initdb gave it).
_GRANTS = """
SELECT 'grant', g.n, g.t, g.name, jsonb_build_object('privileges', jsonb_agg(g.p ORDER BY g.p)) FROM (
  SELECT o.n, o.t, o.name, p.p
  FROM (
    SELECT c.n, CASE WHEN c.relkind IN ('r', 'p', 'f', 'v', 'm') THEN c.relname::text ELSE '' END AS t,
      c.relname::text AS name, c.relacl AS acl,
      acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner) AS builtin
    FROM rel c WHERE c.relacl IS NOT NULL AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
    UNION ALL
    SELECT c.n, c.relname::text, c.relname || '.' || a.attname, a.attacl, acldefault('c', c.relowner)
    FROM rel c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL
    SELECT p.n, '', p.label, p.proacl, acldefault('f', p.proowner) FROM fun p WHERE p.proacl IS NOT NULL
    UNION ALL
    SELECT y.n, '', y.typname::text, y.typacl, acldefault('T', y.typowner) FROM typ y WHERE y.typacl IS NOT NULL
    UNION ALL
    SELECT '', '', s.nspname::text, s.nspacl, coalesce((SELECT i.initprivs FROM pg_init_privs i
       WHERE i.classoid = 'pg_namespace'::regclass AND i.objoid = s.oid AND i.objsubid = 0), acldefault('n',
          s.nspowner))
    FROM ns s WHERE s.nspacl IS NOT NULL
    UNION ALL
    SELECT '', '', 'language ' || l.lanname, l.lanacl, acldefault('l', l.lanowner) FROM pg_language l
    WHERE l.lanacl IS NOT NULL
    UNION ALL
    SELECT '', '', 'foreign data wrapper ' || w.fdwname, w.fdwacl, acldefault('F', w.fdwowner)
    FROM pg_foreign_data_wrapper w WHERE w.fdwacl IS NOT NULL
    UNION ALL
    SELECT '', '', 'foreign server ' || s.srvname, s.srvacl, acldefault('S', s.srvowner)
    FROM pg_foreign_server s WHERE s.srvacl IS NOT NULL
    UNION ALL
    SELECT '', '', 'database', d.datacl, acldefault('d', d.datdba) FROM pg_database d
    WHERE d.datname = current_database() AND d.datacl IS NOT NULL
    UNION ALL
    SELECT coalesce(s.n, ''), '', 'default privileges of ' || pg_get_userbyid(d.defaclrole) || ' on '
       || CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
          WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE 'large objects' END || coalesce(' in schema ' ||
             s.nspname, ''),
       d.defaclacl, CASE WHEN s.oid IS NULL THEN
         acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END::"char", d.defaclrole)
         ELSE NULL::aclitem[] END
    FROM pg_default_acl d LEFT JOIN ns s ON s.oid = d.defaclnamespace WHERE d.defaclnamespace = 0 OR s.oid IS NOT NULL
  ) AS o,
  LATERAL (
    SELECT coalesce(a.who, d.who) || ': ' || CASE WHEN a.who IS NULL THEN 'no ' ELSE '' END
      || coalesce(a.priv, d.priv) || CASE WHEN a.grantable THEN '*' ELSE '' END AS p
    FROM (SELECT CASE grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(grantee)::text END AS who, privilege_type AS
       priv,
            bool_or(is_grantable) AS grantable FROM aclexplode(o.acl) GROUP BY 1, 2) AS a
    FULL JOIN (SELECT DISTINCT CASE grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(grantee)::text END AS who,
            privilege_type AS priv FROM aclexplode(o.builtin)) AS d ON a.who = d.who AND a.priv = d.priv
    WHERE a.who IS NULL OR d.who IS NULL OR a.grantable
  ) AS p
) AS g GROUP BY g.n, g.t, g.name
"""

_OTHERS = """
SELECT 'schema', '', '', s.nspname::text,
  jsonb_build_object('owner', pg_get_userbyid(s.nspowner), 'comment', nullif(obj_description(s.oid, 'pg_namespace'),
    'standard public schema'))
FROM ns s WHERE s.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_namespace'::regclass)
UNION ALL
SELECT 'extension', '', '', e.extname::text,
  jsonb_build_object('version', e.extversion, 'schema', e.extnamespace::regnamespace::text,
    'comment', obj_description(e.oid, 'pg_extension'))
FROM pg_extension e
UNION ALL
SELECT 'publication', '', '', p.pubname::text, jsonb_build_object(
  'all_tables', p.puballtables, 'owner', pg_get_userbyid(p.pubowner), 'via_root', p.pubviaroot,
  'operations', concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
     CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END),
  'tables', (SELECT jsonb_agg(r.prrelid::regclass::text
       || coalesce(' (' || (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a
            WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])) || ')', '')
       || coalesce(' where ' || pg_get_expr(r.prqual, r.prrelid), '')
     ORDER BY r.prrelid::regclass::text) FROM pg_publication_rel r WHERE r.prpubid = p.oid),
  'schemas', (SELECT jsonb_agg(s.pnnspid::regnamespace::text ORDER BY s.pnnspid::regnamespace::text)
     FROM pg_publication_namespace s WHERE s.pnpubid = p.oid),
  'generated_columns', nullif(to_jsonb(p) ->> 'pubgencols', 'n'),
  'comment', obj_description(p.oid, 'pg_publication'))
FROM pg_publication p
UNION ALL
SELECT 'event trigger', '', '', e.evtname::text, jsonb_build_object(
  'event', e.evtevent, 'function', e.evtfoid::regproc::text, 'tags', to_jsonb(e.evttags), 'enabled',
     e.evtenabled <> 'D',
  'fires', CASE e.evtenabled WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always' ELSE 'origin' END,
  'owner', pg_get_userbyid(e.evtowner), 'comment', obj_description(e.oid, 'pg_event_trigger'))
FROM pg_event_trigger e WHERE e.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_event_trigger'::regclass)
UNION ALL
SELECT 'statistics', ns.n, c.relname::text, s.stxname::text, jsonb_build_object(
  'definition', pg_get_statisticsobjdef(s.oid), 'target', CASE WHEN coalesce(s.stxstattarget, -1) >= 0 THEN
     s.stxstattarget END,
  'owner', pg_get_userbyid(s.stxowner), 'comment', obj_description(s.oid, 'pg_statistic_ext'))
FROM pg_statistic_ext s JOIN ns ON ns.oid = s.stxnamespace JOIN rel c ON c.oid = s.stxrelid
UNION ALL
SELECT 'collation', ns.n, '', l.collname::text, jsonb_build_object('provider', l.collprovider,
  'deterministic', l.collisdeterministic, 'collate', l.collcollate, 'ctype', l.collctype,
  'locale', coalesce(to_jsonb(l) ->> 'colllocale', to_jsonb(l) ->> 'colliculocale'),
  'rules', to_jsonb(l) ->> 'collicurules',
  'owner', pg_get_userbyid(l.collowner), 'comment', obj_description(l.oid, 'pg_collation'))
FROM pg_collation l JOIN ns ON ns.oid = l.collnamespace
WHERE l.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_collation'::regclass)
UNION ALL
SELECT 'text search configuration', ns.n, '', f.cfgname::text, jsonb_build_object(
  'parser', (SELECT p.prsname FROM pg_ts_parser p WHERE p.oid = f.cfgparser),
  'mappings', (SELECT jsonb_agg(m.maptokentype || ' ' || m.mapdict::regdictionary ORDER BY m.maptokentype, m.mapseqno)
     FROM pg_ts_config_map m WHERE m.mapcfg = f.oid),
  'owner', pg_get_userbyid(f.cfgowner), 'comment', obj_description(f.oid, 'pg_ts_config'))
FROM pg_ts_config f JOIN ns ON ns.oid = f.cfgnamespace
WHERE f.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_ts_config'::regclass)
UNION ALL
SELECT 'text search dictionary', ns.n, '', d.dictname::text, jsonb_build_object(
  'template', (SELECT p.tmplname FROM pg_ts_template p WHERE p.oid = d.dicttemplate), 'options', d.dictinitoption,
  'owner', pg_get_userbyid(d.dictowner), 'comment', obj_description(d.oid, 'pg_ts_dict'))
FROM pg_ts_dict d JOIN ns ON ns.oid = d.dictnamespace
WHERE d.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_ts_dict'::regclass)
UNION ALL
SELECT 'operator', ns.n, '', format('%s(%s,%s)', o.oprname, coalesce(format_type(nullif(o.oprleft, 0), NULL), 'none'),
  format_type(o.oprright, NULL)), jsonb_build_object('function', o.oprcode::regproc::text, 'commutator',
     o.oprcom::regoper::text,
  'negator', o.oprnegate::regoper::text, 'estimators', concat_ws(' ', o.oprrest, o.oprjoin), 'hashes', o.oprcanhash,
  'merges', o.oprcanmerge, 'owner', pg_get_userbyid(o.oprowner), 'comment',
     obj_description(o.oid, 'pg_operator'))
FROM pg_operator o JOIN ns ON ns.oid = o.oprnamespace
WHERE o.oid NOT IN (SELECT objid FROM ext WHERE classid = 'pg_operator'::regclass)
UNION ALL
SELECT 'cast', '', '', format('(%s AS %s)', format_type(s.castsource, NULL), format_type(s.casttarget, NULL)),
  jsonb_build_object('function', nullif(s.castfunc, 0)::regprocedure::text, 'context', s.castcontext, 'method',
     s.castmethod,
  'comment', obj_description(s.oid, 'pg_cast'))
FROM pg_cast s WHERE s.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend q WHERE q.classid = 'pg_cast'::regclass
  AND q.objid = s.oid AND q.deptype IN ('e', 'i'))
UNION ALL
SELECT 'foreign server', '', '', s.srvname::text, jsonb_build_object(
  'wrapper', (SELECT w.fdwname FROM pg_foreign_data_wrapper w WHERE w.oid = s.srvfdw), 'type', s.srvtype,
  'version', s.srvversion, 'options', (SELECT jsonb_agg(CASE WHEN o ~* '^[^=]*(pass|secret|token|key)'
       THEN split_part(o, '=', 1) || ' ' || md5(o) ELSE o END ORDER BY o) FROM unnest(s.srvoptions) AS o),
  'owner', pg_get_userbyid(s.srvowner), 'comment', obj_description(s.oid, 'pg_foreign_server'))
FROM pg_foreign_server s
UNION ALL
SELECT 'database', '', '', 'settings', jsonb_build_object('settings', jsonb_agg(t.s ORDER BY t.s)) FROM (
  SELECT coalesce(nullif(pg_get_userbyid(nullif(r.setrole, 0)), '') || ': ', '') || unnest(r.setconfig) AS s
  FROM pg_db_role_setting r JOIN pg_database d ON d.oid = r.setdatabase WHERE d.datname = current_database()) AS t
HAVING count(*) > 0
"""

_PARTS = (
    _TABLES,
    _COLUMNS,
    _CONSTRAINTS,
    _INDEXES,
    _SEQUENCES,
    _VIEWS,
    _RULES,
    _TRIGGERS,
    _FUNCTIONS,
    _TYPES,
    _DOMAINS,
    _POLICIES,
    _GRANTS,
    _OTHERS,
)
QUERY = _WITH + "UNION ALL".join(_PARTS)


def inspect(session: Session, bookkeeping: Iterable[str] = ()) -> Schema:
    """The schema that stands; bookkeeping tables of migration tools, and what belongs to them, are left out."""
    hidden = frozenset(bookkeeping)
    objects = {
        ObjectKey(str(kind), namespace, table, name): _attributes(json.loads(attributes))
        for kind, namespace, table, name, attributes in _objects(session)
    }
    return Schema({key: a for key, a in objects.items() if not _is_bookkeeping(key, a, hidden)})


def _objects(session: Session) -> list[tuple[Any, ...]]:
    found = session.rows(QUERY, prepare=True)
    if session.rows(ANY_RARE, prepare=True)[0][0] == "t":
        found += session.rows(_WITH + RARE, prepare=True) + large_objects(session)
    return found


def _attributes(raw: dict[str, Any]) -> Attributes:
    found = {name: _attribute(value) for name, value in raw.items()}
    definition = found.get("definition")
    if isinstance(definition, str) and definition.startswith("CREATE OR REPLACE "):
        found["definition"] = _spaced_alike(definition)
    return found


_BODY = re.compile(r"(.*?\n LANGUAGE (?:plpgsql|sql)\b.*?\nAS (\$\w*\$))(.*)(\2)\s*", re.DOTALL)


@lru_cache(maxsize=4096)
def _spaced_alike(definition: str) -> str:
    """A routine whose body has one blank where there was white space or a comment: layout is of no weight."""
    found = _BODY.fullmatch(definition)
    if found is None:
        return definition
    body, end = "", 0
    for token in tokenize(found[3], "postgresql"):
        if token.kind != "comment":
            gap = found[3][end : token.start]
            body += (" " if body and gap else "") + token.text
            end = token.end
    return f"{found[1]} {body} {found[4]}"


def _attribute(value: Any) -> Attribute:
    return tuple(str(v) for v in value) if isinstance(value, list) else value


def is_hidden(namespace: str, table: str, hidden: frozenset[str]) -> bool:
    """Whether a table is a tool's bookkeeping: its raw name, alone or behind its schema, or a whole schema."""
    return bool(hidden) and not hidden.isdisjoint({table, f"{namespace or 'public'}.{table}", f"{namespace}.*"})


def _is_bookkeeping(key: ObjectKey, attributes: Attributes, hidden: frozenset[str]) -> bool:
    owner = key.owner
    if owner is None and key.kind == "sequence" and isinstance(owned := attributes.get("owned_by"), str):
        table = owned.rpartition(".")[0].replace('"', "")
        return is_hidden(key.namespace, table.rpartition(".")[2], hidden)
    return owner is not None and is_hidden(owner.namespace, owner.name, hidden)
