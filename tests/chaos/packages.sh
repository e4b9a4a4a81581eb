#!/bin/sh
# Install what the tests of this folder want beside Python: hosts on one machine, certificates, and compose.
# Without root, or without apt, those that want it are skipped and say so.
set -eu
packages=
for pair in ip:iproute2 openssl:openssl docker-compose:docker-compose; do
    command -v "${pair%%:*}" > /dev/null || packages="$packages ${pair##*:}"
done
if [ -n "$packages" ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    apt-get update -qq
    # shellcheck disable=SC2086  # each word is a package
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $packages
fi
