#!/bin/sh
# SPDX-License-Identifier: ISC
# Builds quietly: scripts/build.sh DIRECTORY [cmake option...] [-- TARGET...]. Without targets: the daemon.
# Says what the compiler said only when it fails.
set -eu
cd "$(dirname "$0")/.."
directory=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 1' INT TERM HUP

fail() {
  cat "$log" >&2
  echo "build.sh: $1 failed" >&2
  exit 1
}

options=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  options="$options $1"
  shift
done
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- jingle-relayd
# shellcheck disable=SC2086 # words are meant
cmake -S . -B "$directory" -G Ninja $options >"$log" 2>&1 || fail configuring
cmake --build "$directory" --target "$@" >"$log" 2>&1 || fail building
