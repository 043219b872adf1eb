"""Rights, and what stands beside tables, as parts of the catalog's statement (``_postgresql_catalog``)."""

from __future__ import annotations

# What differs from the rights that an object has by itself (its built-in ones, or those that initdb gave it).
GRANTS = """
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

OTHERS = """
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
