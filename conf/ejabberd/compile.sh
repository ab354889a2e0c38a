#!/bin/sh
# SPDX-License-Identifier: ISC
# Compiles mod_jingle_relay.erl against the ejabberd that is installed, warnings being errors:
#   compile.sh [DIRECTORY]    leaves mod_jingle_relay.beam there; without, it only checks
# "ejabberdctl module_install" needs none of this; it is for packages, and for changes to the module.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
command -v erlc >/dev/null || { echo "compile.sh: erlc is missing (package erlang-base)" >&2; exit 1; }

out=${1:-}
if [ -z "$out" ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
set -- # where the headers of ejabberd and of its XMPP library are, and the behaviours
for directory in /usr/lib/*/ejabberd-[0-9]* /usr/lib/erlang/lib/p1_xmpp-* /opt/ejabberd*/lib/ejabberd-* \
  /opt/ejabberd*/lib/xmpp-*; do
  [ ! -d "$directory/include" ] || set -- "$@" -I "$directory/include" -pa "$directory/ebin"
done
[ $# -gt 0 ] || { echo "compile.sh: no headers of ejabberd found" >&2; exit 1; }
erlc -Wall -Werror +debug_info "$@" -o "$out" "$here/mod_jingle_relay.erl"
