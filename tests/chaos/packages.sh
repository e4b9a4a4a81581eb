#!/bin/sh
# Install what the tests of this folder want beside Python: hosts on one machine, certificates, compose, an S3 server
# and a batch system.
# Without root, or without apt, those that want it are skipped and say so.
set -eu
packages=
for pair in ip:iproute2 openssl:openssl docker-compose:docker-compose strace:strace \
        ceph-mon:ceph-mon ceph-osd:ceph-osd radosgw:radosgw \
        munged:munge slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client; do
    command -v "${pair%%:*}" > /dev/null || packages="$packages ${pair##*:}"
done
if [ -n "$packages" ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    apt-get update -qq
    # shellcheck disable=SC2086  # each word is a package
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $packages
fi
