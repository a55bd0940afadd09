#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The demo keeps all its promises, and interrupted in the middle it leaves no process and no namespace behind.
# usage: demo.sh BUILD_DIR
set -u
build=${1:?usage: demo.sh BUILD_DIR}
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
dir=$(mktemp -d /tmp/chq-demo-test.XXXXXX) || exit 1
trap 'rm -rf "$dir"' EXIT
command -v espeak-ng >/dev/null || { echo "SKIP: espeak-ng is not installed"; exit 77; }
fails=0
check() { if [ "$1" = 0 ]; then echo "ok    $2"; else echo "FAIL  $2"; fails=$((fails + 1)); fi; }

start=$SECONDS
timeout 150 "$top/packaging/demo/demo.sh" "$build" --keep "$dir/whole" >"$dir/out" 2>&1
rc=$?
cat "$dir/out"
check $rc "the demo ends with 0"
[ $((SECONDS - start)) -lt 60 ]
check $? "in under 60 s: $((SECONDS - start)) s"
for file in bo-heard.wav ana-heard.wav ana.events bo.events; do
    [ -s "$dir/whole/$file" ]
    check $? "$file is kept"
done

# Interrupt it while the call goes on.
export NATLAB=chqint$$
setsid "$top/packaging/demo/demo.sh" "$build" --keep "$dir/cut" >"$dir/cut.out" 2>&1 &
pid=$!
for _ in $(seq 600); do
    grep -q 'ana calls bo' "$dir/cut.out" && break
    kill -0 $pid 2>/dev/null || break
    read -r -t 0.1 <> <(:)
done
kill -INT -- -$pid 2>/dev/null
kill -TERM $pid 2>/dev/null
wait $pid
[ $? = 130 ]
check $? "interrupted, it ends with 130"
left=$(pgrep -f "$dir/cut/" | wc -l)
[ "$left" = 0 ]
check $? "no process is left ($left)"
! ip netns list 2>/dev/null | grep -q "^$NATLAB-"
check $? "no namespace is left"
[ $fails = 0 ]
