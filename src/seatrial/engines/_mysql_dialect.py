"""What MySQL and MariaDB do otherwise, as facts to read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One engine's facts; the SQL fragments stand in queries of information_schema."""

    name: str
    session: tuple[str, ...]  # settings of our own sessions beside the common ones
    wished: tuple[str, ...]  # further settings, each left out where the server's user may not make it
    index_visible: str  # STATISTICS: "YES" where the optimizer uses the index
    index_expression: str
    column_srid: str
    default_is_sql: bool  # COLUMN_DEFAULT is SQL text ('a''b', NULL), else a literal's bare value
    shows_null_default: bool  # SHOW CREATE TABLE tells DEFAULT NULL from no default
    sequences: bool
    histograms: bool
    database_column: str  # SCHEMATA: what it tells of a database beside charset and collation
    database_option: str  # the option of ALTER DATABASE that sets it
    routines: tuple[str, ...]  # kinds of stored programs that SHOW CREATE knows
    versioned: str  # TABLES.TABLE_TYPE of a table with system versioning
    innodb_files: str  # query of (table id, file name without .ibd, page size in the file)
    innodb_sizes: str  # query of (table id, file name without .ibd, bytes of the file)
    innodb_form: str  # query by table id: what tells in which layouts its rows may be
    encodes_names: bool  # CONVERT(name USING filename) gives the name of a table's file
    shows_locks: bool  # performance_schema.metadata_locks tells what a statement holds
    libraries: bool  # JavaScript for routines (from 9.2 on)
    keeps_match: bool  # MATCH FULL of a foreign key stands in the catalogue, without effect (manual, 15.1.20.5)
    dates_by_beginning: bool  # UPDATE_TIME is when the transaction began that wrote, else when it was committed
    mode_of_copies: str = "MyISAM"  # cheaper than InnoDB to fill: no log, no undo, no clustering


MYSQL = Dialect(
    name="mysql",
    session=("SET SESSION information_schema_stats_expiry = 0, show_create_table_skip_secondary_engine = OFF",),
    wished=(
        "SET SESSION internal_tmp_mem_storage_engine = TempTable",
        "SET SESSION sql_require_primary_key = OFF",  # copies of rows have none, or the table's own
        "SET SESSION print_identified_with_as_hex = ON",  # SHOW CREATE USER: a salt may be any bytes
    ),
    index_visible="s.IS_VISIBLE",
    index_expression="s.EXPRESSION",
    column_srid="c.SRS_ID",
    default_is_sql=False,
    shows_null_default=True,
    sequences=False,
    histograms=True,
    database_column="DEFAULT_ENCRYPTION",
    database_option="ENCRYPTION",
    routines=("PROCEDURE", "FUNCTION"),
    versioned="",
    innodb_files=(
        "SELECT t.TABLE_ID, t.NAME, IF(s.ZIP_PAGE_SIZE > 0, s.ZIP_PAGE_SIZE, s.PAGE_SIZE)"
        " FROM information_schema.INNODB_TABLES t JOIN information_schema.INNODB_TABLESPACES s ON s.SPACE = t.SPACE"
        " WHERE t.NAME LIKE {pattern} AND s.SPACE_TYPE = 'Single' AND s.ENCRYPTION = 'N'"
    ),
    innodb_sizes=(
        "SELECT t.TABLE_ID, t.NAME, s.FILE_SIZE FROM information_schema.INNODB_TABLES t"
        " JOIN information_schema.INNODB_TABLESPACES s ON s.SPACE = t.SPACE"
        " WHERE t.NAME LIKE {pattern} AND s.SPACE_TYPE = 'Single'"
    ),
    innodb_form=(
        "SELECT FLAG, N_COLS, INSTANT_COLS, TOTAL_ROW_VERSIONS FROM information_schema.INNODB_TABLES"
        " WHERE TABLE_ID = {table_id}"
    ),
    encodes_names=False,
    shows_locks=True,
    libraries=True,
    keeps_match=True,
    dates_by_beginning=False,
)

MARIADB = Dialect(
    name="mariadb",
    session=(
        "SET SESSION join_cache_level = 8, join_buffer_space_limit = 536870912,"
        " optimizer_switch = 'join_cache_hashed=on,join_cache_bka=on,optimize_join_buffer_size=off',"
        " use_stat_tables = 'never'",
    ),
    wished=(),
    index_visible="IF(s.IGNORED = 'YES', 'NO', 'YES')",
    index_expression="NULL",
    column_srid="NULL",  # REF_SYSTEM_ID binds nothing there, and SHOW CREATE TABLE leaves it out
    default_is_sql=True,
    shows_null_default=False,
    sequences=True,
    histograms=False,
    database_column="SCHEMA_COMMENT",
    database_option="COMMENT",
    routines=("PROCEDURE", "FUNCTION", "PACKAGE", "PACKAGE BODY"),
    versioned="SYSTEM VERSIONED",
    innodb_files=(
        "SELECT t.TABLE_ID, t.NAME, IF(t.ZIP_PAGE_SIZE > 0, t.ZIP_PAGE_SIZE, @@innodb_page_size)"
        " FROM information_schema.INNODB_SYS_TABLES t WHERE t.NAME LIKE {pattern} AND t.SPACE > 0"
    ),
    innodb_sizes=(
        "SELECT t.TABLE_ID, t.NAME, s.FILE_SIZE FROM information_schema.INNODB_SYS_TABLES t"
        " JOIN information_schema.INNODB_SYS_TABLESPACES s ON s.SPACE = t.SPACE"
        " WHERE t.NAME LIKE {pattern} AND t.SPACE > 0"
    ),
    innodb_form="SELECT FLAG, N_COLS FROM information_schema.INNODB_SYS_TABLES WHERE TABLE_ID = {table_id}",
    encodes_names=True,
    shows_locks=False,  # METADATA_LOCK_INFO shows SHARED_UPGRADABLE even during a copying rebuild (measured, 10.11)
    libraries=False,
    keeps_match=False,
    dates_by_beginning=True,  # trx_t::commit_tables
)
