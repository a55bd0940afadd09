#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A call survives a peer that is silent for a while, and ends when it does not come back.
# usage: call_lost.sh BUILD_DIR
exec /usr/bin/python3 "$(dirname "$0")/call/lost.py" "$(realpath "${1:?usage: call_lost.sh BUILD_DIR}")"
