#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What './run install' leaves behind: programs that answer, a library that shows its header's functions and no others,
# and a pkg-config file with which an app of five lines builds.
set -u
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

check() { # check WHAT COMMAND...
    local what=$1
    shift
    if "$@"; then echo "ok: $what"; else echo "NOT OK: $what"; bad=1; fi
}

cmake --install "$build" --prefix "$work/usr" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
(cd "$work/usr" && find . -type f -o -type l) | sort

for program in chasqui chasqui-relay chasqui-ledger; do
    check "$program is installed and has a help" bash -c '"$1" --help >"$2" && [ "$(wc -l <"$2")" -gt 5 ]' _ \
        "$work/usr/bin/$program" "$work/help"
    check "$program refuses an unknown command" bash -c '! "$1" frobnicate >"$2" 2>&1 && [ -s "$2" ]' _ \
        "$work/usr/bin/$program" "$work/help"
done

"$work/usr/bin/chasqui-ledger" init --dir "$work/chain" --chain-id install-test >"$work/help"
mkfifo "$work/said"
"$work/usr/bin/chasqui-ledger" run --dir "$work/chain" >"$work/said" 2>&1 &
ledger=$!
grep -q -m 1 '^ready' <"$work/said"
check "a ledger leaves no core file with keys in it" grep -qE '^Max core file size +0 +0 ' "/proc/$ledger/limits"
kill $ledger
wait $ledger 2>"$work/help"

library=$(find "$work/usr" -name libchasqui.so)
header=$(find "$work/usr" -name chasqui.h)
check "the library and its header are installed" test -n "$library" -a -n "$header"
nm -D --defined-only "$library" | awk '{ print $3 }' | sort >"$work/shown"
/usr/bin/python3 -c 'import re, sys; print("\n".join(sorted(set(re.findall(r"(chq_[a-z0-9_]+)\(", re.sub(r"/\*.*?\*/", "", sys.stdin.read(), flags=re.S))))))' \
    <"$header" >"$work/declared"
check "the library shows what the header declares, and nothing else" diff "$work/declared" "$work/shown"

cat >"$work/app.c" <<'C'
#include <chasqui.h>
#include <stdio.h>
int main(void)
{
    char why[CHQ_WHY_CHARS];
    struct chq_client *client;
    struct chq_client_options options = {.size = sizeof options, .profile = "/nonexistent/profile", .passphrase = "x"};
    enum chq_error error = chq_client_open(&options, &client, why);
    printf("%s: %s\n", chq_error_text(error), why);
    return error != CHQ_ERROR_NO_PROFILE;
}
C
export PKG_CONFIG_PATH=$(dirname "$(find "$work/usr" -name chasqui.pc)")
sanitize=$(nm -D "$library" | grep -q __asan_init && echo -fsanitize=address,undefined)
# shellcheck disable=SC2046,SC2086
check "an app builds with pkg-config" gcc -std=c11 -Wall -Wextra -Werror $sanitize "$work/app.c" -o "$work/app" \
    $(pkg-config --cflags --libs chasqui)
check "and the library works in it" env LD_LIBRARY_PATH="$(dirname "$library")" "$work/app"

exit $bad
