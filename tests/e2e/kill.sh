#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: kill.sh BUILD_DIR; see kill.py
exec /usr/bin/python3 -B "$(dirname "$(readlink -f "$0")")/kill.py" "$@"
