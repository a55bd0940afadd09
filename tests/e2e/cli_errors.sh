#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: cli_errors.sh BUILD_DIR; see cli_errors.py
exec /usr/bin/python3 -B "$(dirname "$(readlink -f "$0")")/cli_errors.py" "$@"
