#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: restore.sh BUILD_DIR
exec /usr/bin/python3 -B "$(dirname "$(readlink -f "$0")")/restore.py" "$@"
