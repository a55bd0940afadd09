#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: bench.sh RELEASE_BUILD_DIR: settlements, transfers, start-up and memory of the embedded ledger, one JSON
# object a line. CHQ_BENCH_ACCOUNTS sets the size (default 100000).
set -euo pipefail
exec nice -n 1 "$1/tests/bench_ledger" "${CHQ_BENCH_ACCOUNTS:-100000}"
