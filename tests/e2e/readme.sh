#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The lines that the README offers to try by hand do what it says. They use the default ports, so they get a network of
# their own.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$1" && pwd)
if [ "${2:-}" != inside ]; then
    unshare --net true 2>/dev/null || { echo "no right to make a network namespace"; exit 77; }
    exec unshare --net --pid --fork --kill-child --mount-proc "$0" "$build" inside
fi
ip link set lo up
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work
sed -n '/^<!-- by hand/,/^```$/p' "$root/README.md" | grep -v '^<!--\|^```' |
    sed "s#^export PATH=\$PWD/build/release/bin#export PATH=$build/bin#" >"$work/lines"
bad=0

check() { # check WHAT PATTERN: the output has it
    if grep -qE -- "$2" "$work/out"; then echo "ok: $1"; else echo "NOT OK: $1"; bad=1; fi
}

cat "$work/lines"
grep -c . "$work/lines" | grep -qx 10 || { echo "NOT OK: the README promises ten lines"; bad=1; }
timeout 90 bash -c "$(cat "$work/lines")" >"$work/out" 2>&1
echo "exit $?"
cat "$work/out"
check "the message arrived" "ana: the bridge is open"
check "and was sent" "message 1 to bo: sent"
check "the call was connected" "call with bo: connected, path (relay|direct)"
check "the relay was paid" "carried +[1-9][0-9]* bytes on [1-9]"
check "credit is conserved" "conserved +true"
check "the relay is on the ledger" "registered on the ledger"
exit $bad
