#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Calls with speech both ways through NATs and our own relays: where no direct path is possible the call stays on the
# relay; where one is, it begins on the relay and moves without a gap; 'relay only' never shows an address.
# usage: call.sh BUILD_DIR
set -u
build=$(realpath "${1:?usage: call.sh BUILD_DIR}")
here=$(cd "$(dirname "$0")" && pwd)
source "$here/natlab.sh"
for tool in espeak-ng /usr/bin/python3; do
    command -v $tool > /dev/null || { echo "SKIP: $tool is not installed"; exit 77; }
done
/usr/bin/python3 -c 'import numpy' 2> /dev/null || { echo "SKIP: python3-numpy is not installed"; exit 77; }
natlab_supported || { echo "SKIP: no network namespaces here"; exit 77; }

bad=0 number=0
call() { # A_TYPE B_TYPE PATH [OPTION]
    number=$((number + 1))
    if NATLAB=chq$$n$number "$here/natlab.sh" shell "$1" "$2" timeout 300 /usr/bin/python3 "$here/call/pair.py" "$build" "$@" 2>&1; then
        echo "ok: $1 x $2 ends on $3 ${4:-}"
    else
        echo "NOT OK: $1 x $2 ${4:-}"
        bad=1
    fi
}

call symmetric port relay
call port port direct
call fullcone addr direct
call port port relay --relay-only
exit $bad
