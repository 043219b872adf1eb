"""MySQL and MariaDB: what would change other databases, the server or others' accounts is refused; reading is not."""

from __future__ import annotations

import pytest
from mysql_fixtures import ran

from seatrial.engines._mysql_outside import Ground, reach, reaches_outside
from seatrial.engines.mysql import MysqlDatabase
from seatrial.model import ErrorKind, Script, Transaction
from seatrial.servers.mysql import MysqlServer

HERE = "seatrial_ab_1"

REFUSED = """
TRUNCATE x.t
TRUNCATE TABLE `x` /* there */ . `t`
/*!50000 TRUNCATE x.t */
DROP TABLES a, x.t
DROP VIEW IF EXISTS a, x.v
DROP TEMPORARY TABLE x.t
DROP SEQUENCE x.s
DROP EVENT x.e
DROP TRIGGER x.r
DROP PROCEDURE IF EXISTS x.p
DROP INDEX i ON x.t
CREATE UNIQUE INDEX i ON x.t (a)
CREATE OR REPLACE TABLE x.t (a INT)
CREATE DEFINER = a@b SQL SECURITY INVOKER VIEW x.v AS SELECT 1
CREATE TRIGGER r BEFORE INSERT ON x.t FOR EACH ROW SET NEW.a = 1
CREATE TABLE c (a INT REFERENCES x.t (a))
CREATE TABLE m (a INT) ENGINE = MERGE UNION = (t, x.t)
CREATE TABLE m (a INT) ENGINE = FEDERATED CONNECTION = 'mysql://h/x/t'
INSERT x.t VALUES (1)
INSERT LOW_PRIORITY IGNORE INTO x.t VALUES (1)
REPLACE DELAYED x.t VALUES (1)
INSERT INTO x.5t VALUES (1)
INSERT INTO "x"."t" VALUES (1)
WITH c AS (SELECT 1) DELETE FROM x.t
EXPLAIN ANALYZE UPDATE x.t SET a = 1
UPDATE IGNORE x.t SET a = 1
UPDATE (x.t) SET a = 1
UPDATE t JOIN x.t u ON (u.id = t.id) SET u.a = 1
UPDATE t JOIN x.t u USING (id) SET t.a = 1, u.b = 2
UPDATE t, x.u SET x.u.a = 1
DELETE u FROM x.t u
DELETE x.t FROM t JOIN x.t ON 1 = 1
DELETE t, u FROM t JOIN x.t AS u USING (id)
DELETE FROM u USING t JOIN x.t u
DELETE HISTORY FROM x.t
ALTER TABLE t CONVERT PARTITION p TO TABLE x.t
RENAME TABLES a TO b, c TO x.d
RENAME TABLE x.a TO b
ALTER TABLE t RENAME x.t
ALTER TABLE t ADD COLUMN a INT, RENAME AS x.t
ALTER TABLE t EXCHANGE PARTITION p WITH TABLE x.t
ALTER IGNORE TABLE x.t ADD a INT
CALL x.p()
SELECT x.f(1)
SELECT NEXTVAL(x.s)
SELECT NEXT VALUE FOR x.s
LOCK TABLES t READ, x.t WRITE
OPTIMIZE NO_WRITE_TO_BINLOG TABLE x.t
FLUSH TABLES x.t WITH READ LOCK
HANDLER x.t OPEN
SET STATEMENT max_statement_time = 1 FOR UPDATE x.t SET a = 1
PREPARE s FROM 'TRUNCATE x.t'
EXECUTE IMMEDIATE 'DROP TABLE x.t'
SET @s = IF(@a, 'TRUNCATE x.t', 'SELECT 1')
SET @s = CONCAT('DROP TABLE ', 'x', '.t')
SET @s = CONCAT('DROP TABLE ', @somewhere, '.', 't')
SET @s = CONCAT_WS('.', 'TRUNCATE x', 't')
SELECT 'TRUNCATE x.t' INTO @s
CALL run_it('TRUNCATE x.t')
CREATE PROCEDURE p() TRUNCATE x.t
CREATE PROCEDURE p() BEGIN DECLARE i INT; IF i THEN DELETE FROM x.t; END IF; END
CREATE PROCEDURE p() BEGIN SET @s = 'TRUNCATE x.t'; PREPARE q FROM @s; EXECUTE q; END
CREATE PROCEDURE p() BEGIN DROP DATABASE x; END
CREATE TRIGGER r AFTER DELETE ON t FOR EACH ROW INSERT x.t VALUES (OLD.id)
CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO UPDATE x.t SET a = 1
SET GLOBAL max_connections = 7
SET @@GLOBAL.max_connections = 7
SET @a = 1, @@persist . max_connections = 7
SET sql_mode = '', PERSIST max_connections = 7
SET GLOBAL TRANSACTION READ ONLY
SHUTDOWN
SHUTDOWN WAIT FOR ALL REPLICAS
RESTART
BINLOG 'abc'
RESET MASTER
PURGE BINARY LOGS BEFORE NOW()
KILL 5
KILL QUERY 5
CREATE UNDO TABLESPACE ts ADD DATAFILE 'x.ibu'
DROP RESOURCE GROUP rg
CREATE OR REPLACE SPATIAL REFERENCE SYSTEM 4000 NAME 'x'
CREATE OR REPLACE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h')
UNINSTALL PLUGIN p
STOP REPLICA
CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'h'
ALTER INSTANCE DISABLE INNODB REDO_LOG
FLUSH TABLES WITH READ LOCK
DROP USER IF EXISTS mine@localhost, 'app'@'%'
DROP ROLE app
ALTER USER app@localhost IDENTIFIED BY 'x'
ALTER USER CURRENT_USER() IDENTIFIED BY 'x'
CREATE OR REPLACE USER app
RENAME USER mine TO yours, app TO b
SET PASSWORD FOR app = 'x'
SET PASSWORD = 'x'
SET DEFAULT ROLE r TO app
GRANT SELECT (a), UPDATE ON t TO mine, app
GRANT ALL ON *.* TO app IDENTIFIED BY 'x'
REVOKE ALL PRIVILEGES, GRANT OPTION FROM app
CREATE PROCEDURE p() BEGIN DROP USER app; END
"""

ALLOWED = f"""
UPDATE t AS x SET x.a = 1
UPDATE t x JOIN u y ON x.id = y.id SET x.a = y.b, y.c = (SELECT MAX(z.c) FROM v z)
UPDATE t JOIN information_schema.TABLES i ON i.TABLE_NAME = t.name SET t.a = i.TABLE_ROWS
UPDATE t JOIN x.lookup l ON l.id = t.id SET t.name = l.name
UPDATE {HERE}.t SET {HERE}.t.a = 1
UPDATE users SET password = 'x', role = 'y'
UPDATE t JOIN u USING (id) SET password = u.password
UPDATE stored SET text = 'TRUNCATE x.t'
UPDATE t SET a = REPLACE(t.a, 'x.t', ''), b = TRUNCATE(t.b, 2), c = INSERT(t.c, 1, 1, '')
DELETE x FROM t x JOIN u y ON x.id > y.id WHERE x.a = y.a
DELETE x.*, y.* FROM t AS x JOIN u AS y USING (id)
DELETE FROM x USING t AS x JOIN u AS y ON x.id = y.id
DELETE FROM t WHERE t.a IN (SELECT y.a FROM u y JOIN v USING (id))
DELETE FROM t ORDER BY t.a, t.b LIMIT 1
INSERT INTO t (a) SELECT x.a FROM u x ON DUPLICATE KEY UPDATE t.a = VALUES(a), t.b = 1
INSERT INTO t SELECT * FROM x.t
INSERT INTO stored VALUES ('DROP USER app; TRUNCATE x.t')
SELECT a FROM t, u FOR UPDATE
SELECT x.a IN (1, 2) FROM t x WHERE x.b AND (x.c = 1)
SELECT COUNT(*) FROM mysql.user
SELECT sys.format_bytes(1)
CREATE TABLE t LIKE x.t
CREATE TABLE c (drop_user INT, reset INT, kill_at INT, user INT, event INT, CHECK (c.user > 0))
CREATE TABLE c (a SET('a', 'b') COMMENT 'Update x.t too')
CREATE TABLE c (a INT REFERENCES t (a) ON DELETE CASCADE ON UPDATE CASCADE, b DATETIME ON UPDATE CURRENT_TIMESTAMP)
ALTER TABLE t DROP user, DROP server, DROP event, ADD reset INT, ADD shutdown INT
ALTER TABLE t RENAME COLUMN a TO b, RENAME INDEX i TO j, RENAME TO u
ALTER TABLE t RENAME {HERE}.u
ALTER TABLE users ADD password TEXT, ALGORITHM = INPLACE, LOCK = NONE
CREATE VIEW v AS SELECT x.a, y.b FROM t x JOIN u y ON x.id = y.id
CREATE TRIGGER r AFTER UPDATE ON t FOR EACH ROW INSERT INTO log SELECT NEW.id, x.a FROM u x, v y
CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1, NEW.b = (SELECT x.a FROM u x)
CREATE PROCEDURE p() BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND SET @d = 1; UPDATE t x SET x.a = 1; END
CALL p(1)
CALL {HERE}.p(1)
SET sql_mode = @@GLOBAL.sql_mode
SET @a = IF(1, @@GLOBAL.sql_mode = '', 2)
SET SESSION TRANSACTION READ ONLY
SET @s = IF((SELECT COUNT(*) FROM information_schema.COLUMNS c WHERE c.a = 1), 'ALTER TABLE t ADD a INT', 'SELECT 1')
SET @s = CONCAT('ALTER TABLE ', @name, ' ADD COLUMN ', @column, ' INT')
SET @s = CONCAT('DROP TABLE ', DATABASE(), '.', @name)
SELECT CONCAT('DROP TABLE ', TABLE_SCHEMA, '.t') INTO @s FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()
PREPARE s FROM 'UPDATE t x SET x.a = ?'
FLUSH PRIVILEGES
KILL CONNECTION_ID()
SHOW CREATE TABLE x.t
SHOW CREATE DATABASE x
SHOW GRANTS FOR app
CREATE USER IF NOT EXISTS mine@localhost
GRANT ALL ON *.* TO mine@localhost
GRANT CREATE, DROP, LOCK TABLES, EVENT, CREATE USER, DROP ROLE, SHUTDOWN ON x.* TO mine
REVOKE INSERT, DELETE ON t FROM mine
ALTER USER mine IDENTIFIED BY 'x' REPLACE 'y'
DROP USER IF EXISTS gone
"""


def found(statement: str) -> str:
    others = Ground("mysql", HERE, others=lambda user, host: user == "app")
    return reaches_outside(statement, others)


@pytest.mark.parametrize("statement", REFUSED.strip().splitlines())
def test_what_changes_anything_but_the_database_is_refused(statement: str) -> None:
    assert found(statement)


@pytest.mark.parametrize("statement", ALLOWED.strip().splitlines())
def test_what_stays_inside_is_not(statement: str) -> None:
    assert found(statement) == ""


def test_on_a_server_of_its_own_a_run_may_change_settings_and_accounts_but_not_end_it() -> None:
    own = Ground("mysql", HERE, own_server=True, others=lambda user, host: True)
    for allowed in ("SET GLOBAL event_scheduler = ON", "GRANT SELECT ON t TO app", "FLUSH TABLES"):
        assert reaches_outside(allowed, own) == ""
    assert reaches_outside("SHUTDOWN", own) == "SHUTDOWN"
    assert reaches_outside("TRUNCATE x.t", own) == "TRUNCATE of x.t"


def test_public_is_everybody_on_mariadb() -> None:
    for statement in ("GRANT SELECT ON t TO PUBLIC", "REVOKE ALL ON *.* FROM public", "GRANT SELECT ON t TO `PUBLIC`"):
        assert reaches_outside(statement, Ground("mariadb", HERE)), statement
        assert reaches_outside(statement, Ground("mariadb", HERE, own_server=True)) == ""
    assert reaches_outside("GRANT SELECT ON public TO mine", Ground("mariadb", HERE)) == ""


LIVE = """
TRUNCATE {other}.t
UPDATE t JOIN {other}.t u ON u.a = t.a SET u.a = 9
DELETE u FROM {other}.t u
RENAME TABLE {other}.t TO taken
CREATE INDEX i ON {other}.t (a)
CREATE TRIGGER r AFTER INSERT ON t FOR EACH ROW INSERT {other}.t VALUES (NEW.a)
CREATE PROCEDURE p() BEGIN TRUNCATE {other}.t; END
SET @s = 'TRUNCATE {other}.t'; PREPARE q FROM @s; EXECUTE q
SET @d = '{other}'; SET @s = CONCAT('TRUNCATE ', @d, '.t'); PREPARE q FROM @s; EXECUTE q
DROP USER st_theirs@localhost
ALTER USER st_theirs@localhost IDENTIFIED BY 'x'
GRANT SELECT ON *.* TO st_theirs@localhost
SET GLOBAL max_connections = 77
"""


def test_nothing_else_on_the_server_changes(db: MysqlDatabase, mysql_server: MysqlServer, monkeypatch) -> None:
    """Found: each of these ran, and the migration passed."""
    monkeypatch.setattr(MysqlServer, "is_local", False)  # as behind a URL
    other = mysql_server.create_database()
    asked = [
        f"SELECT * FROM {other}.t",
        f"SHOW CREATE TABLE {other}.t",
        "SHOW GRANTS FOR st_theirs@localhost",
        "SELECT @@GLOBAL.max_connections",
    ]
    try:
        for sql in (f"CREATE TABLE {other}.t (a INT)", f"INSERT INTO {other}.t VALUES (1)"):
            mysql_server.maintain(sql)
        mysql_server.maintain("CREATE USER st_theirs@localhost IDENTIFIED BY 'theirs'")
        db.note([])
        ran(db, "CREATE TABLE t (a INT)")
        before = [mysql_server.maintain(sql) for sql in asked]
        for text in LIVE.format(other=other).strip().splitlines():
            error = db.run(Script(text=text, transaction=Transaction.STATEMENTS)).error
            assert error is not None and error.kind is ErrorKind.ENVIRONMENT and "trust" in error.message, text
            assert db.reaches_outside(text), f"Alembic may send {text}"
        assert [mysql_server.maintain(sql) for sql in asked] == before
    finally:
        mysql_server.maintain("DROP USER IF EXISTS st_theirs@localhost")
        mysql_server.drop_database(other)


def test_a_refusal_says_what_the_statement_would_do() -> None:
    ground = Ground("mysql", "own", others=lambda user, host: True)
    said = {
        "SET GLOBAL max_connections = 9": "SET GLOBAL is about the whole server, not the trial's database alone",
        "GRANT SELECT ON t TO app": "GRANT of app changes an account that stood on the server before the run",
        "LOAD DATA INFILE 'x' INTO TABLE t": "LOAD DATA reaches outside the trial's database, to files or to"
        " another server",
        "TRUNCATE other.t": "TRUNCATE of other.t reaches outside the trial's database",
    }
    assert {statement: str(reach(statement, ground)) for statement in said} == said


def test_a_conditional_alter_that_names_its_database_runs(db: MysqlDatabase) -> None:
    ran(
        db,
        "CREATE TABLE t (a INT); SET @d = DATABASE(); SET @s = (SELECT IF((SELECT COUNT(*) FROM"
        " information_schema.COLUMNS WHERE TABLE_SCHEMA = @d AND COLUMN_NAME = 'b') > 0, 'SELECT 1',"
        " CONCAT('ALTER TABLE ', @d, '.', 't', ' ADD b INT'))); PREPARE q FROM @s; EXECUTE q; DEALLOCATE PREPARE q;",
    )
    assert db.query("SELECT b FROM t") == []
