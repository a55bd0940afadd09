#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Prove that a newcomer gets in: a minimal Debian 12 in a folder, a clean clone of this repository, the verbs of ./run.
set -u

usage() {
    cat <<'H'
usage: packaging/chroot-test.sh [--dir DIR] [--base TAR] [--keep] [VERB...]

Makes a minimal Debian 12 (debootstrap, from where this machine's apt takes its packages), clones the committed
state of this repository into it, and runs './run VERB' there for each VERB (default: demo, then test). Prints the
seconds of every step and of every verb. Needs root and debootstrap. A VERB may carry arguments in quotes.

  --dir DIR    work there (default: a new temporary folder); a system that is there already is used again
  --base TAR   take the minimal system from this archive, or put it there for the next time
  --keep       leave the folder for a look
H
}

dir='' base='' keep=no verbs=()
while [ $# -gt 0 ]; do
    case $1 in
        --dir) dir=$2; shift ;;
        --base) base=$2; shift ;;
        --keep) keep=yes ;;
        -h | --help) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) verbs+=("$1") ;;
    esac
    shift
done
[ ${#verbs[@]} -gt 0 ] || verbs=(demo test)
[ "$(id -u)" = 0 ] || { echo "chroot-test: needs root" >&2; exit 1; }
repo=$(git -C "$(dirname "$0")" rev-parse --show-toplevel) || exit 1
if [ -z "$dir" ]; then dir=$(mktemp -d "${TMPDIR:-/var/tmp}/chasqui-chroot.XXXXXX"); else mkdir -p "$dir"; fi
root=$dir/root

cleanup() {
    [ "$keep" = yes ] && { echo "kept: $root"; return; }
    rm -rf --one-file-system "$root"
    rmdir "$dir" 2>/dev/null
}
trap cleanup EXIT

if [ ! -x "$root/bin/sh" ]; then
    start=$SECONDS
    mkdir -p "$root"
    if [ -n "$base" ] && [ -f "$base" ]; then
        tar -C "$root" -xf "$base" || exit 1
    else
        command -v debootstrap >/dev/null || { echo "chroot-test: install debootstrap first" >&2; exit 1; }
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
        debootstrap --variant=minbase bookworm "$root" "$mirror" >"$dir/debootstrap.log" 2>&1 ||
            { tail -n 20 "$dir/debootstrap.log"; exit 1; }
        rm -f "$dir/debootstrap.log"
        [ -z "$base" ] || tar -C "$root" -cf "$base" .
    fi
    echo "chroot: minimal system in $((SECONDS - start)) s"
fi
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
rm -rf "$root/srv/chasqui"
git clone -q --no-hardlinks "$repo" "$root/srv/chasqui" || exit 1
git -C "$root/srv/chasqui" log -1 --format='chroot: clone of %h %s'

# Everything mounted below lives in this mount namespace and goes with it.
inside() {
    # shellcheck disable=SC2016
    exec unshare --mount --pid --fork --kill-child --propagation private bash -c '
        root=$1; shift
        mount --bind "$root" "$root" && cd "$root" &&
        mount -t proc proc "$root/proc" && mount -t sysfs sysfs "$root/sys" &&
        mount --rbind /dev "$root/dev" && mount -t tmpfs tmpfs "$root/run" || exit 1
        exec chroot "$root" /usr/bin/env -i HOME=/root TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            ${http_proxy:+http_proxy="$http_proxy"} bash -c "cd /srv/chasqui && $*"
    ' _ "$root" "$@"
}

status=0 child=''
trap '[ -z "$child" ] || kill -KILL "$child"; exit 130' INT TERM
for verb in "${verbs[@]}"; do
    start=$SECONDS
    echo "chroot: ./run $verb"
    inside "./run $verb </dev/null" &
    child=$!
    wait $child
    rc=$?
    child=''
    echo "chroot: ./run $verb: exit $rc after $((SECONDS - start)) s"
    [ $rc -eq 0 ] || { status=1; break; }
done
exit $status
