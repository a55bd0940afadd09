#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: bench.sh RELEASE_BUILD_DIR [NAME]: messages through one relay and its memory, one JSON object a line
exec python3 -B "$(dirname "$(readlink -f "$0")")/bench.py" "$@"
