#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# coturn's unmodified turnutils_uclient and turnutils_peer through chasqui-relay itself, beside a ledger of its own, on
# loopback, with a static login: every packet comes back in Send and in channel mode, and the relay's status counts
# exactly the bytes that went through. (turn_uclient.sh does more kinds of traffic on the TURN server alone.)
# usage: turn_relay.sh BUILD_DIR
set -u
build=${1:?usage: turn_relay.sh BUILD_DIR}
for tool in turnutils_uclient turnutils_peer; do
    command -v $tool >/dev/null || { echo "SKIP: $tool is not installed (package coturn)"; exit 77; }
done
dir=$(mktemp -d) || exit 1
jobs_to_end=()
clean() {
    for p in "${jobs_to_end[@]}"; do kill "$p" 2>/dev/null; done
    wait
    rm -rf "$dir"
}
trap clean EXIT
fail() {
    echo "FAIL: $1"
    tail -n 20 -v "$dir"/*.log
    exit 1
}
# until COMMAND succeeds, 20 s at most
until_true() {
    for _ in $(seq 400); do
        "$@" >/dev/null 2>&1 && return 0
        read -r -t 0.05 <> <(:)
    done
    return 1
}

ledger="$build/bin/chasqui-ledger" relay="$build/bin/chasqui-relay"
"$ledger" init --dir "$dir/chain" --chain-id turn-test >"$dir/init.log" 2>&1 || fail "ledger init"
"$ledger" run --dir "$dir/chain" >"$dir/ledger.log" 2>&1 &
jobs_to_end+=($!)
until_true "$ledger" query info --dir "$dir/chain" || fail "the ledger does not answer"

base=$((20000 + RANDOM % 8000))
"$relay" init --dir "$dir/relay" --ledger "$dir/chain/ledger.sock" --bind 127.0.0.1 --port $base --turn-port $((base + 1)) \
    --allow-peer 127.0.0.1/32 >>"$dir/init.log" 2>&1 || fail "relay init"
sed -i 's/^#* *static_user *=.*//; s/^#* *static_unmetered *=.*//; s/^#* *shared_secret *=.*//; s/^\[turn\]$/[turn]\nstatic_user = ana:secret\nshared_secret = app:of-an-app-and-the-relay\nstatic_unmetered = yes\ntcp_port = '$((base + 3))'\ntls_port = '$((base + 4))'/; s/^tcp_port = 0$//; s/^tls_port = 0$//' \
    "$dir/relay/relay.conf"
"$relay" run --dir "$dir/relay" >"$dir/relay.log" 2>&1 &
jobs_to_end+=($!)
until_true "$relay" status --json --dir "$dir/relay" || fail "the relay does not run"
turnutils_peer -L 127.0.0.1 -p $((base + 2)) >"$dir/peer.log" 2>&1 &
jobs_to_end+=($!)

carried() {
    "$relay" status --json --dir "$dir/relay" | /usr/bin/python3 -c '
import json, sys
turn = json.load(sys.stdin)["turn"]
print(int(turn["to_peer_bytes"]) + int(turn["to_client_bytes"]), turn["dropped_packets"], turn["dropped_unpaid_packets"])'
}

# run NAME CLIENTS PACKETS BYTES OPTIONS...
run() {
    local name=$1 clients=$2 packets=$3 bytes=$4 total=$(($2 * $3)) before after sent received lost
    shift 4
    before=$(carried)
    timeout 60 turnutils_uclient -c $login -p "${port:-$((base + 1))}" -e 127.0.0.1 -r $((base + 2)) -l "$bytes" \
        -n "$packets" -m "$clients" -z 5 "$@" 127.0.0.1 >"$dir/$name.log" 2>&1
    after=$(carried)
    sent=$(grep -o 'tot_send_msgs=[0-9]*' "$dir/$name.log" | tail -1 | cut -d= -f2)
    received=$(grep -o 'tot_recv_msgs=[0-9]*' "$dir/$name.log" | tail -1 | cut -d= -f2)
    lost=$(sed -n 's/.*Total lost packets \([0-9]*\).*/\1/p' "$dir/$name.log" | tail -1)
    local counted=$((${after%% *} - ${before%% *})) want=$((2 * total * bytes))
    echo "$name: sent ${sent:-?} of $total, received ${received:-?}, lost ${lost:-?}, the relay counted $counted bytes of $want"
    [ "${sent:-x} ${received:-x} ${lost:-x} $counted" = "$total $total 0 $want" ] || fail "$name"
}

login="-u ana -w secret"
run send 2 100 172 -s
run channel 2 100 172
run channel-odd-size 1 50 171
port=$((base + 3))
run tcp 2 100 171 -t
port=$((base + 4))
run tls 2 100 172 -t -S -s
port=''
login="-u bo -W of-an-app-and-the-relay" # a time-limited credential
run time-limited 2 100 172
app=$("$relay" status --json --dir "$dir/relay" | /usr/bin/python3 -c '
import json, sys
print(*[(a["name"], a["carried_bytes"]) for a in json.load(sys.stdin)["turn"]["apps"]])')
echo "counted for the app: $app"
[ "$app" = "('app', 68800)" ] || fail "the app's share"
[ "$(carried | cut -d' ' -f2-)" = "0 0" ] || fail "the relay dropped packets: $(carried)"
echo PASS
