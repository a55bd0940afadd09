#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: bench.sh RELEASE_BUILD_DIR: session starts, messages a second and the longest jump, one JSON object a line.
set -euo pipefail
exec nice -n 1 "$1/tests/bench_session"
