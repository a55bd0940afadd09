#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The TURN server's shell with real sockets on loopback; see tests/net/turn/shell.c.
# usage: turn_shell.sh BUILD_DIR
exec timeout 60 "${1:?usage: turn_shell.sh BUILD_DIR}/tests/net-turn-shell"
