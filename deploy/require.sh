#!/bin/sh
# Make sure that system tools are there; install what is missing where we may, else say what to install.
# Usage: require.sh demo|test|python
set -eu
case $1 in
  demo) needed="nft:nftables" ;;
  test) needed="nft:nftables conntrack:conntrack ip:iproute2 iptables-legacy:iptables ipset:ipset openssl:openssl npm:npm chromium:chromium" ;;
  python) needed="-:python3-venv" ;;
  *) echo "usage: require.sh demo|test|python" >&2; exit 2 ;;
esac
PATH=$PATH:/usr/sbin:/sbin
missing=""
for pair in $needed; do
  tool=${pair%%:*} package=${pair##*:}
  [ "$tool" != - ] && command -v "$tool" > /dev/null 2>&1 && continue
  # Ubuntu has Chromium as a snap, which does not run as root; Google's or Debian's package serves as well
  [ "$tool" = chromium ] && command -v google-chrome > /dev/null 2>&1 && continue
  missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null 2>&1; then
  echo "installing$missing ..." >&2
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086
  if { apt-get install -qq -y --no-install-recommends $missing ||
       { apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing; }; } > /dev/null 2>&1; then
    exit 0
  fi
fi
echo "error: please install:$missing (as root: apt-get install$missing)" >&2
exit 2
