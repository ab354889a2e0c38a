#!/bin/sh
# SPDX-License-Identifier: ISC
# Installs what a purpose needs, from Debian 12 and, for 'test', from npm by the lock file:
#   scripts/packages.sh build    compile the daemon and its tests
#   scripts/packages.sh demo     run ./quickstart
#   scripts/packages.sh test     run all tests
#   scripts/packages.sh bench    run tests/bench/compare
#   scripts/packages.sh package  run scripts/deb.sh
# Several purposes may be given. Nothing happens when everything is there. No service is started.
set -eu
cd "$(dirname "$0")/.."

build="build-essential cmake ninja-build pkg-config libevent-dev libstrophe-dev libssl-dev
  libconfig-dev libsystemd-dev libjansson-dev libexpat1-dev libcmocka-dev libsrtp2-dev
  clang bpftool libbpf-dev"
demo="iproute2 nftables procps prosody python3 python3-aiortc python3-slixmpp"
test="clang clang-format clang-tidy libclang-rt-14-dev pyflakes3 shellcheck git
  chromium ejabberd ethtool python3-gi gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0
  gstreamer1.0-nice gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
  coturn haproxy prometheus gir1.2-nice-0.1 prosody-modules openssl libnss3-tools
  dino-im gajim pidgin gir1.2-farstream-0.2 xvfb xdotool openbox dbus systemd pulseaudio pulseaudio-utils
  gstreamer1.0-tools gstreamer1.0-pulseaudio gstreamer1.0-gtk3 gstreamer1.0-gl gstreamer1.0-libav"
package="debhelper dpkg-dev fakeroot git lintian"
bench="clang coturn ethtool libbpf-dev rtpengine-daemon"
policy=/usr/sbin/policy-rc.d # asked by package scripts before they start a service; 101 forbids it
log=$(mktemp)
made_policy=

finish() {
  [ -z "$made_policy" ] || rm -f "$policy"
  rm -f "$log"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

fail() {
  echo "packages.sh: $1: $(grep -E '^(E|npm (error|ERR!)):? ' "$log" | head -1)" >&2
  exit 1
}

missing() { # those of the packages that are not installed
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
      echo "$package"
  done
}

install_debian() {
  [ $# -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || { echo "packages.sh: must be root to install: $*" >&2; exit 1; }
  echo "installing $# packages" >&2
  if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q update --error-on=any >"$log" 2>&1 || fail "apt-get update failed"
  apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" >"$log" 2>&1 ||
    fail "apt-get install failed"
}

install_npm() {
  lock=tests/e2e/node/package-lock.json
  done=tests/e2e/node/node_modules/.installed # a copy of the lock file
  ! cmp -s "$lock" "$done" || return 0
  echo "installing npm packages" >&2
  npm --prefix tests/e2e/node --cache "$PWD/build/npm" ci --ignore-scripts --no-audit --no-fund >"$log" 2>&1 ||
    fail "npm ci failed"
  cp "$lock" "$done"
}

wanted=
npm=
for purpose in "$@"; do
  case $purpose in
  build) wanted="$wanted $build" ;;
  demo) wanted="$wanted $demo" ;;
  bench) wanted="$wanted $bench" ;;
  package) wanted="$wanted $package" ;;
  test)
    wanted="$wanted $test"
    npm=yes
    command -v node >/dev/null || wanted="$wanted nodejs"
    command -v npm >/dev/null || wanted="$wanted npm"
    ;;
  *)
    echo "usage: scripts/packages.sh build|demo|test|bench|package..." >&2
    exit 2
    ;;
  esac
done
# shellcheck disable=SC2046,SC2086 # words are meant
install_debian $(missing $wanted)
[ -z "$npm" ] || install_npm
