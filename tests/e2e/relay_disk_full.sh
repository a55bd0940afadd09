#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: relay_disk_full.sh BUILD_DIR; see relay_disk_full.py. Needs a mount of its own: skipped without the right to make one.
if ! unshare -m true 2>/dev/null; then
    echo "SKIPPED: relay_disk_full needs the right to mount (root)"
    exit 77
fi
exec unshare -m python3 -B "$(dirname "$(readlink -f "$0")")/relay_disk_full.py" "$@"
