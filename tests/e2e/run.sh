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
check "a table in Markdown" grep -qx '|---|---|---|---|---|---|---|' <("$table" "$work/results" '' markdown)
check "no such benchmark is an error" bash -c '! "$1" "$2" nothing no 2>/dev/null' _ "$table" "$work/results"

# libsodium's archive: the pinned hash decides, whatever the place it comes from; curl and apt-get are played here.
mkdir -p "$work/tree/packaging" "$work/tree/build/deps-src" "$work/tree/build/logs" "$work/bin"
echo "the archive" >"$work/good"
echo "another archive" >"$work/forged"
hash=$(sha256sum <"$work/good" | cut -d' ' -f1)
printf '#!/bin/bash\nwhile [ "$1" != --output ]; do shift; done\n[ -n "$SERVED" ] && cp "$SERVED" "$2"\n' >"$work/bin/curl"
printf '#!/bin/bash\nexit 1\n' >"$work/bin/apt-get"
chmod +x "$work/bin"/*

archive() { # archive SERVED: what sodium_archive says and returns when upstream serves the file SERVED
    (
        cd "$work/tree" && PATH=$work/bin:$PATH && export SERVED=$1
        . "$root/packaging/run.d/common.sh" && . "$root/packaging/run.d/setup.sh"
        sodium_archive 9.9.9 "$hash" 12 9.9.9-1 https://upstream.invalid/x.tar.gz 2>&1
    )
}

said=$(archive "$work/forged") && rc=0 || rc=1
check "a forged archive is refused" test $rc = 1 -a ! -e "$work/tree/build/deps-src/libsodium-9.9.9.tar.gz"
check "and it says so" grep -q "does not have the pinned hash, not used" <<<"$said"
said=$(archive '') && rc=0 || rc=1
check "no upstream and no distribution is an error" test $rc = 1
check "and names both" grep -q "upstream cannot be reached" <<<"$said"
check "and the distribution" grep -q "not from the distribution either" <<<"$said"
said=$(archive "$work/good") && rc=0 || rc=1
check "upstream's archive with the pinned hash is taken" grep -q "fetched from upstream in" <<<"$said"
said=$(archive '') && rc=0 || rc=1
check "an archive that is there is not fetched again" grep -q "the archive is there" <<<"$said"

exit $bad
