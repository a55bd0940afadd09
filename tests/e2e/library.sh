#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The shared library as an app's developer meets it: header and libchasqui.so, nothing else; C and C++ compile it.
# usage: library.sh BUILD_DIR
set -u
build=$(cd "${1:?usage: library.sh BUILD_DIR}" && pwd) || exit 1
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
include=$here/../../client/sdk/include
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
sanitize=()
if nm -D "$build/lib/libchasqui.so" | grep -q __asan_init; then sanitize=(-fsanitize=address,undefined); fi
cc -std=c99 -pedantic -Wall -Wextra -Werror -D_POSIX_C_SOURCE=200809L "${sanitize[@]}" -I"$include" "$here/library/app.c" \
    -o "$dir/app" -L"$build/lib" -lchasqui -Wl,-rpath,"$build/lib" || { echo "FAIL  C99 with -pedantic"; exit 1; }
echo "ok    the header compiles as C99 with -pedantic and the app links"
if command -v c++ >/dev/null; then
    c++ -std=c++11 -Wall -Wextra -Werror -fsyntax-only -x c++ "$include/chasqui.h" || { echo "FAIL  C++11"; exit 1; }
    echo "ok    the header compiles as C++11"
fi
foreign=$(nm -D --defined-only "$build/lib/libchasqui.so" | awk '$3 !~ /^chq_/ { print $3 }' | head -n 5)
[ -z "$foreign" ] || { echo "FAIL  the library shows more than its header: $foreign"; exit 1; }
echo "ok    the library shows $(nm -D --defined-only "$build/lib/libchasqui.so" | wc -l) functions, all chq_"
exec /usr/bin/python3 -B "$here/library/run.py" "$build" "$dir/app"
