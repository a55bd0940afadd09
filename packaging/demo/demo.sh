#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two people behind NATs chat and call over two paid relays. usage: demo.sh BUILD_DIR [--plain] [--keep DIRECTORY]
#   --plain   on loopback, without network namespaces
#   --keep    put the recordings and logs there (default: a new directory in /tmp, kept after the run)
set -u
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd) || exit 1
top=$here/../..
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1

build='' plain=no keep=''
while [ $# -gt 0 ]; do
    case $1 in
        --plain) plain=yes ;;
        --keep) keep=${2:?--keep needs a directory}; shift ;;
        -h | --help) sed -n '3,5s/^# //p' "$0"; exit 0 ;;
        -*) echo "demo: there is no option '$1'" >&2; exit 2 ;;
        *) build=$1 ;;
    esac
    shift
done
build=${build:-$top/build/release}
for program in chasqui chasqui-relay chasqui-ledger; do
    [ -x "$build/bin/$program" ] || { echo "demo: $build/bin/$program is not built; run './run build' first" >&2; exit 1; }
done
for tool in espeak-ng /usr/bin/python3; do
    command -v $tool >/dev/null || { echo "demo: $tool is missing; './run setup run' installs it" >&2; exit 1; }
done
keep=${keep:-$(mktemp -d /tmp/chasqui-demo.XXXXXX)} || exit 1
mkdir -p "$keep" || exit 1

# shellcheck source=tests/net/natlab.sh
. "$top/tests/net/natlab.sh"
main=''
clean() {
    trap '' INT TERM
    if [ -n "$main" ] && kill -0 "$main" 2>/dev/null; then
        kill -TERM "$main" 2>/dev/null
        wait "$main" 2>/dev/null
    fi
    [ "$plain" = yes ] || natlab_down
}
trap clean EXIT
trap 'echo "demo: interrupted, cleaning up" >&2; exit 130' INT TERM

if [ "$plain" = no ] && reason=$(natlab_supported 2>&1); then
    natlab_up && natlab_nat a symmetric && natlab_nat b port || { echo "demo: the NATs could not be set up" >&2; exit 1; }
    echo "Network: ana behind a symmetric NAT, bo behind a port-restricted NAT, relays on a small internet of their own,"
    echo "         each in its own network namespace."
else
    [ "$plain" = yes ] && reason='asked for by --plain'
    plain=yes
    echo "Network: plain loopback, no NATs ($reason)."
fi
export NATLAB NATLAB_NET
/usr/bin/python3 "$here/demo.py" --build "$build" --directory "$keep" $([ "$plain" = yes ] && echo --plain) &
main=$!
wait "$main"
rc=$?
main=''
exit $rc
