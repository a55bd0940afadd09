#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A relay is a stranger: whatever it answers to the first request, the caller lives, drops it, says so, and calls on.
# usage: call_hostile_relay.sh BUILD_DIR
exec /usr/bin/python3 "$(dirname "$0")/call/hostile.py" "$(realpath "${1:?usage: call_hostile_relay.sh BUILD_DIR}")"
