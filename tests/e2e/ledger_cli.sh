#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: ledger_cli.sh BUILD_DIR; see ledger_cli.py
exec /usr/bin/python3 -B "$(dirname "$(readlink -f "$0")")/ledger_cli.py" "$@"
