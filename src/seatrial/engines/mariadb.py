"""One throwaway database on MariaDB: what it does otherwise than MySQL is in its facts."""

from __future__ import annotations

from seatrial.engines._mysql_dialect import MARIADB
from seatrial.engines.mysql import MysqlDatabase, Site


class MariadbDatabase(MysqlDatabase):
    """Implements model.Database."""

    dialect = MARIADB


def open_database(site: Site, name: str) -> MysqlDatabase:
    """The Database of a new database, by the engine that its server turned out to be."""
    return MariadbDatabase(site, name) if site.engine == "mariadb" else MysqlDatabase(site, name)
