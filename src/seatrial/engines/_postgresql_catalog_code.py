"""Views, routines, types and policies, as parts of the catalog's statement (``_postgresql_catalog``)."""

from __future__ import annotations

VIEWS = """
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
  'access_method', (SELECT amname FROM pg_am WHERE oid = c.relam AND amname <> 'heap'),
  'owner', pg_get_userbyid(c.relowner), 'comment', obj_description(c.oid, 'pg_class'))
FROM rel c WHERE c.relkind IN ('v', 'm')
"""

RULES = """
SELECT 'rule', c.n, c.relname::text, r.rulename::text, jsonb_build_object(
  'definition', pg_get_ruledef(r.oid), 'enabled', r.ev_enabled <> 'D',
  'fires', CASE r.ev_enabled WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always' ELSE 'origin' END,
  'comment', obj_description(r.oid, 'pg_rewrite'))
FROM pg_rewrite r JOIN rel c ON c.oid = r.ev_class WHERE r.rulename <> '_RETURN'
"""

TRIGGERS = """
SELECT 'trigger', c.n, c.relname::text, g.tgname::text, jsonb_build_object(
  'definition', pg_get_triggerdef(g.oid), 'enabled', g.tgenabled <> 'D',
  'fires', CASE g.tgenabled WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always' ELSE 'origin' END,
  'comment', obj_description(g.oid, 'pg_trigger'))
FROM pg_trigger g JOIN rel c ON c.oid = g.tgrelid WHERE NOT g.tgisinternal
"""

FUNCTIONS = """
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

TYPES = """
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

DOMAINS = """
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

POLICIES = """
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
