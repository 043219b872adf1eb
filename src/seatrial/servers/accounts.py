"""Users and roles of a server, as its catalogue lists them.

Name, kind, bare name, the statement that drops it, and its mark: what a later account of the same name would not have,
so that none but the very one that a dead run made is dropped. Without a mark it is left alone.

MariaDB tells no two roles of one name apart. A role that a step made is therefore given a role of ours, named after the
run, which goes with it and which a later role of that name has not.
"""

OURS = "seatrial_{}_mark"
"""The name of a run's own role."""

POSTGRESQL = "SELECT rolname, 'role', rolname, format('DROP ROLE %I', rolname), oid::text FROM pg_catalog.pg_roles"
MYSQL = (
    "SELECT CONCAT(User, '@', Host), IF(account_locked = 'Y' AND authentication_string = ''"
    " AND password_expired = 'Y', 'role', 'user'), User,"
    " CONCAT('DROP USER ', QUOTE(User), '@', QUOTE(Host)), COALESCE(password_last_changed, '') FROM mysql.user"
)
MARIADB = (
    "SELECT IF(is_role = 'Y', User, CONCAT(User, '@', Host)), IF(is_role = 'Y', 'role', 'user'), User,"
    " IF(is_role = 'Y', CONCAT('DROP ROLE `', REPLACE(User, '`', '``'), '`'),"
    " CONCAT('DROP USER ', QUOTE(User), '@', QUOTE(Host))),"
    " COALESCE((SELECT JSON_VALUE(g.Priv, '$.password_last_changed') FROM mysql.global_priv g"
    " WHERE g.User = u.User AND g.Host = u.Host), IF(User LIKE 'seatrial\\_%\\_mark', User, (SELECT MIN(m.Role)"
    " FROM mysql.roles_mapping m WHERE m.User = u.User AND m.Host = '' AND m.Role LIKE 'seatrial\\_%\\_mark')), '')"
    " FROM mysql.user u"
)
