# SPDX-License-Identifier: Apache-2.0
# Shared by the parts of ./run: what is said, how long steps are logged, how root is reached.

say() { printf '%s\n' "$*"; }
warn() { printf 'run: %s\n' "$*" >&2; }
fail() { warn "$*"; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        if [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
    else
        warn "this step needs root and there is no sudo: $*"
        return 1
    fi
}

# The newest whole line of a log, short enough for a terminal.
last_line() { tail -c 4000 "$1" 2>/dev/null | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1 | cut -c1-100 | grep .; }

# logged LABEL LOG COMMAND...: run quietly, say every ten seconds where it is, and show the end of the log when it fails.
logged() {
    local label=$1 log=$2 start=$SECONDS beat rc
    shift 2
    mkdir -p "$(dirname "$log")"
    : >"$log"
    say "==> $label"
    (
        trap 'exit 0' TERM
        while :; do
            sleep 10 >/dev/null 2>&1 &
            wait $!
            printf '    [%3d s] %s\n' $((SECONDS - start)) "$(last_line "$log" || echo 'still at it')"
        done
    ) &
    beat=$!
    "$@" >"$log" 2>&1 </dev/null
    rc=$?
    kill "$beat" 2>/dev/null
    wait "$beat" 2>/dev/null
    if [ $rc -ne 0 ]; then
        warn "$label: failed after $((SECONDS - start)) s (exit $rc). The end of $log:"
        tail -n "${CHQ_LOG_LINES:-30}" "$log" >&2
    else
        say "    done in $((SECONDS - start)) s"
    fi
    return $rc
}

# Without this, clang 14's sanitizers die at random on kernels with more than 28 random address bits.
steady_addresses() {
    local bits
    bits=$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)
    if [ "$bits" -gt 28 ] && setarch "$(uname -m)" -R true 2>/dev/null; then
        echo setarch "$(uname -m)" -R
    fi
}
