#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: relay_kill.sh BUILD_DIR [KILLS] [SEED]; see relay_kill.py
exec python3 -B "$(dirname "$(readlink -f "$0")")/relay_kill.py" "$@"
