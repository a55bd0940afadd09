#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: bench.sh RELEASE_BUILD_DIR [NAME]: delays of messages and the memory of each program, one JSON object a line
exec /usr/bin/python3 -B "$(dirname "$(readlink -f "$0")")/bench.py" "$@"
