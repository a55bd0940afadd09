#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# TURN over TCP and half-open TLS with real sockets on loopback; see tests/net/turn/stream.c.
# usage: turn_stream.sh BUILD_DIR
program="${1:?usage: turn_stream.sh BUILD_DIR}/tests/net-turn-stream"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=relay -days 2 -keyout "$dir/key" \
    -out "$dir/crt" 2>/dev/null || exit 1
timeout 120 "$program" "$dir/crt" "$dir/key"
