#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: messages.sh BUILD_DIR; see messages.py
exec /usr/bin/python3 -B "$(dirname "$(readlink -f "$0")")/messages.py" "$@"
