#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: bench.sh RELEASE_BUILD_DIR
set -eu
build=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
only=${CHQ_BENCH_ONLY:-}
wanted() { [[ -z $only || $1 == "$only"* || $only == "$1"* ]]; }

if wanted call_send || wanted call_receive; then "$build/bench/bench_media"; fi
if wanted call_stoi; then /usr/bin/python3 "$here/loss.py" "$build"; fi
wanted call_setup || wanted call_direct || exit 0
/usr/bin/python3 "$here/setup.py" "$build" loopback
source "$here/../../net/natlab.sh"
natlab_supported >&2 || exit 0
for pair in "port port" "symmetric port"; do
    read -r a b <<< "$pair"
    NATLAB=chq$$$a "$here/../../net/natlab.sh" shell "$a" "$b" /usr/bin/python3 "$here/setup.py" "$build" "${a}_$b" 2> /dev/null
done
