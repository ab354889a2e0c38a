#!/bin/sh
# SPDX-License-Identifier: ISC
# Makes the Debian packages from the last commit, without touching the tree, and checks them:
#   scripts/deb.sh DIRECTORY    the .deb files are left there
# Needs what "scripts/packages.sh build package" installs.
set -eu
cd "$(dirname "$0")/.."
[ $# -eq 1 ] || { echo "usage: scripts/deb.sh DIRECTORY" >&2; exit 2; }
mkdir -p "$1"
result=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

fail() {
  cat "$work/log" >&2
  echo "deb.sh: $1" >&2
  exit 1
}

version=$(sed -n '1s/.*(\(.*\)-[^-]*).*/\1/p' debian/changelog)
tree=$work/jingle-relayd-$version
mkdir "$tree"
git -c safe.directory='*' archive HEAD | tar -x -C "$tree"
tar -C "$work" --exclude=debian -czf "$work/jingle-relayd_$version.orig.tar.gz" \
  "jingle-relayd-$version"
# Without debugging symbols, so that "apt install ./*.deb" means what it says.
(cd "$tree" && DEB_BUILD_OPTIONS=noautodbgsym dpkg-buildpackage -us -uc -b) >"$work/log" 2>&1 || fail "the build failed"
# The one tag left out asks for a bug in Debian's own tracker.
lintian --fail-on error,warning --tag-display-limit 0 --allow-root \
  --suppress-tags initial-upload-closes-no-bugs "$work"/*.changes >"$work/log" 2>&1 ||
  fail "lintian found something"
cp "$work"/*.deb "$result"
ls "$result"/*.deb
