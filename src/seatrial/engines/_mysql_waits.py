"""Sessions that wait for a lock, as far as the server tells whose."""

from __future__ import annotations

import contextlib

from seatrial.engines._mysql_dialect import Dialect
from seatrial.engines._mysql_link import Link, TextRow, literal
from seatrial.engines._waits import told
from seatrial.errors import DatabaseError

_ROW_LOCKS = (
    " SELECT w.PROCESSLIST_ID, w.PROCESSLIST_INFO, CONCAT(l.LOCK_MODE, ' on ', l.OBJECT_NAME), h.PROCESSLIST_ID,"
    " '', {last} FROM performance_schema.data_lock_waits d"
    " JOIN performance_schema.data_locks l ON l.ENGINE_LOCK_ID = d.REQUESTING_ENGINE_LOCK_ID"
    " JOIN performance_schema.threads w ON w.THREAD_ID = d.REQUESTING_THREAD_ID"
    " JOIN performance_schema.threads h ON h.THREAD_ID = d.BLOCKING_THREAD_ID WHERE l.OBJECT_SCHEMA = {db}"
)
_METADATA_LOCKS = (
    "SELECT w.PROCESSLIST_ID, w.PROCESSLIST_INFO, CONCAT(p.LOCK_TYPE, ' on ', p.OBJECT_NAME), h.PROCESSLIST_ID,"
    " g.LOCK_TYPE, {last} FROM performance_schema.metadata_locks p JOIN performance_schema.metadata_locks g"
    " ON (g.OBJECT_TYPE, g.OBJECT_SCHEMA, g.OBJECT_NAME) = (p.OBJECT_TYPE, p.OBJECT_SCHEMA, p.OBJECT_NAME)"
    " AND g.LOCK_STATUS = 'GRANTED' AND g.OWNER_THREAD_ID <> p.OWNER_THREAD_ID"
    " JOIN performance_schema.threads w ON w.THREAD_ID = p.OWNER_THREAD_ID"
    " JOIN performance_schema.threads h ON h.THREAD_ID = g.OWNER_THREAD_ID"
    " WHERE p.LOCK_STATUS = 'PENDING' AND p.OBJECT_SCHEMA = {db}"
)
_LAST = "(SELECT MAX(s.SQL_TEXT) FROM performance_schema.events_statements_current s WHERE s.THREAD_ID = h.THREAD_ID)"
_MARIADB = (
    # Whose metadata lock it is, no table says: whoever has a transaction open in this database.
    "SELECT w.ID, w.INFO, 'a metadata lock', h.ID, 'an open transaction',"
    " h.INFO FROM information_schema.PROCESSLIST w"
    " JOIN information_schema.PROCESSLIST h ON h.DB = w.DB AND h.ID <> w.ID"
    " JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = h.ID"
    " WHERE w.DB = {db} AND w.STATE LIKE 'Waiting for % metadata lock'",
    "SELECT r.trx_mysql_thread_id, r.trx_query, CONCAT(l.lock_mode, ' on ',"
    " REPLACE(SUBSTRING_INDEX(l.lock_table, '.', -1), '`', '')),"
    " b.trx_mysql_thread_id, '', b.trx_query FROM information_schema.INNODB_LOCK_WAITS w"
    " JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id"
    " JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id"
    " JOIN information_schema.INNODB_LOCKS l ON l.lock_id = w.requested_lock_id"
    " JOIN information_schema.PROCESSLIST p ON p.ID = r.trx_mysql_thread_id WHERE p.DB = {db}",
)
_QUERIES = {"mysql": (_METADATA_LOCKS, _ROW_LOCKS), "mariadb": _MARIADB}


def waiting(link: Link, dialect: Dialect, database: str) -> tuple[str, ...]:
    """A clause for each session that waits; what this user may not see, or is switched off, is not told."""
    found: list[TextRow] = []
    for query in _QUERIES[dialect.name]:
        with contextlib.suppress(DatabaseError):
            found += link.rows(query.format(db=literal(database), last=_LAST))
    return told(found)
