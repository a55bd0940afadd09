#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: relay_errors.sh BUILD_DIR; see relay_errors.py
exec python3 -B "$(dirname "$(readlink -f "$0")")/relay_errors.py" "$@"
