#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# CPU per forwarded packet of our TURN server beside coturn's, same load generator, taking turns.
# usage: bench.sh RELEASE_BUILD_DIR [NAME]
exec /usr/bin/python3 "$(dirname "$0")/bench.py" "$@"
