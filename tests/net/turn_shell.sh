#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The TURN server's shell with real sockets on loopback; see tests/net/turn/shell.c.
# usage: turn_shell.sh BUILD_DIR
program="${1:?usage: turn_shell.sh BUILD_DIR}/tests/net-turn-shell"
timeout 60 "$program" || exit 1
# Once more where packets are longer than the network takes, so that runs cannot leave as one.
export program
if unshare -n true 2>/dev/null; then
    echo "with an MTU of 600:"
    unshare -n bash -c 'ip link set lo mtu 600 && ip link set lo up && timeout 60 "$program"' || exit 1
else
    echo "no own network namespace allowed: the run with a small MTU is left out"
fi
