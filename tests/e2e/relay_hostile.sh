#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: relay_hostile.sh BUILD_DIR; see relay_hostile.py
exec python3 -B "$(dirname "$(readlink -f "$0")")/relay_hostile.py" "$@"
