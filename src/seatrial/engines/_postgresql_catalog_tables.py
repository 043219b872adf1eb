"""Tables and what is theirs, as parts of the catalog's statement (``_postgresql_catalog``), over its common tables."""

from __future__ import annotations

TABLES = """
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

COLUMNS = """
SELECT 'column', c.n, c.relname::text, a.attname::text, jsonb_build_object(
  'position', row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum),
  'type', format_type(a.atttypid, a.atttypmod),
  'nullable', NOT a.attnotnull,
  'default', CASE WHEN a.attgenerated = '' AND pg_get_expr(d.adbin, d.adrelid) !~ '^NULL::[^'']+$'
                  THEN regexp_replace(pg_get_expr(d.adbin, d.adrelid),
                    '(^|[(, ])CURRENT_TIMESTAMP($|[), :])', '\\1now()\\2', 'g') END,
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
  'not_null_validated', CASE WHEN NOT k.convalidated THEN false END,
  'not_null_inherited', CASE WHEN k.connoinherit THEN false END)
  || CASE WHEN k.oid IS NULL THEN '{}' ELSE jsonb_build_object('given_name', k.conname, 'not_null_comment',
       obj_description(k.oid, 'pg_constraint'), 'not_null_name', CASE WHEN k.conname !~ '_not_null[0-9]*$'
       THEN k.conname END) END
FROM tab c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type y ON y.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey[1] = a.attnum
"""

CONSTRAINTS = """
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

INDEXES = """
SELECT 'index', c.n, c.relname::text, i.relname::text, jsonb_build_object(
  'columns', (SELECT jsonb_agg(coalesce(a.attname, '') ORDER BY u.i)
     FROM unnest((x.indkey::int2[])[0:x.indnkeyatts - 1]) WITH ORDINALITY AS u(attnum, i)
     LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.attnum AND u.attnum > 0),
  'keys', (SELECT jsonb_agg(pg_get_indexdef(x.indexrelid, i, false) ORDER BY i) FROM generate_series(1,
     x.indnkeyatts) AS i),
  'unique', x.indisunique,
  'predicate', pg_get_expr(x.indpred, x.indrelid),
  'definition', CASE i.relkind WHEN 'I' THEN regexp_replace(pg_get_indexdef(x.indexrelid), ' ON ONLY ', ' ON ')
                               ELSE pg_get_indexdef(x.indexrelid) END,
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

SEQUENCES = """
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
