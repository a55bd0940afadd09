#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: relay_abuse.sh BUILD_DIR; see relay_abuse.py
exec python3 -B "$(dirname "$(readlink -f "$0")")/relay_abuse.py" "$@"
