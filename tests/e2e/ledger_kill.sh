#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: ledger_kill.sh BUILD_DIR [KILLS] [SEED]: kill -9 the ledger while it is written to; what it answered is there.
exec /usr/bin/python3 -B "$(dirname "$(readlink -f "$0")")/ledger_kill.py" "$@"
