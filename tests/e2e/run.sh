#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The front door itself: help teaches every verb, mistakes get a clear error, tables and lines come from the same results.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

check() { # check WHAT COMMAND...
    local what=$1
    shift
    if "$@"; then echo "ok: $what"; else echo "NOT OK: $what"; bad=1; fi
}

refuses() { # refuses WORDS ARGUMENTS...: ./run ARGUMENTS exits with an error that says WORDS
    local words=$1 said
    shift
    said=$("$root/run" "$@" 2>&1 </dev/null) && return 1
    grep -qF -- "$words" <<<"$said" || { echo "said: $said"; return 1; }
}

"$root/run" --help >"$work/help"
for verb in demo setup build test lint fuzz sim net bench install clean; do
    check "help teaches '$verb'" grep -qE "^    $verb( |$)" "$work/help"
done
check "no verb: help and exit 2" bash -c '"$1" >/dev/null; [ $? = 2 ]' _ "$root/run"
check "unknown verb" refuses "there is no verb 'tset'" tset
check "unknown area" refuses "there is no area 'units'" test units
check "unknown purpose" refuses "'runtime' is not a purpose" setup runtime
check "bad number of seconds" refuses "is not a number of seconds" fuzz some_target ten
check "too many arguments" refuses "usage: ./run fuzz" fuzz a 1 2

cat >"$work/results" <<'L'
{"name":"turn_cpu","value":2.5,"unit":"us/packet","runs":5,"peer":"coturn","peer_value":5,"ratio":0.5}
noise
{"name":"session_encrypt","value":123456.7,"unit":"1/s","runs":3}
L
table=$root/packaging/run.d/bench_table.py
"$table" "$work/results" '' no >"$work/table"
check "table has a row for each result" test "$(wc -l <"$work/table")" = 4
check "table names the peer" grep -qE 'turn_cpu +2.5 +us/packet +coturn +5 +0.5 +5' "$work/table"
check "table is readable for big numbers" grep -q '123,457' "$work/table"
check "json filters by prefix" test "$("$table" "$work/results" turn yes | wc -l)" = 1
check "no such benchmark is an error" bash -c '! "$1" "$2" nothing no 2>/dev/null' _ "$table" "$work/results"

exit $bad
