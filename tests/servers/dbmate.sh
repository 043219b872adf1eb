#!/usr/bin/env bash
# dbmate's program from npm, unpacked: dbmate.sh ROOT (the program: ROOT/bin/dbmate; 12 MB to fetch, needs no root).
set -euo pipefail
ROOT=$(realpath -m "$1")
VERSION=2.36.0
[ -x "$ROOT/bin/dbmate" ] && [ "$("$ROOT/bin/dbmate" --version)" = "dbmate version $VERSION" ] && exit 0
case $(uname -m) in x86_64) machine=x64 ;; aarch64) machine=arm64 ;; *) echo "no package for $(uname -m)" >&2; exit 1 ;; esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && npm pack --silent --fetch-retries 5 "@dbmate/linux-$machine@$VERSION" >/dev/null)
mkdir -p "$ROOT"
tar -xzf "$folder"/*.tgz -C "$ROOT" --strip-components=1
