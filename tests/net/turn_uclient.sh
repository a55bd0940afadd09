#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# coturn's unmodified turnutils_uclient and turnutils_peer through our TURN server, on loopback: every packet that was
# sent comes back, in Send and in channel mode, and the server counted exactly the bytes that went through.
# usage: turn_uclient.sh BUILD_DIR
set -u
build=${1:?usage: turn_uclient.sh BUILD_DIR}
server=$build/tests/chasqui-test-turn
for tool in turnutils_uclient turnutils_peer; do
    command -v $tool >/dev/null || { echo "SKIP: $tool is not installed (package coturn)"; exit 77; }
done
[ -x "$server" ] || { echo "FAIL: $server is not built"; exit 1; }
dir=$(mktemp -d) || exit 1
jobs_to_end=()
clean() { for p in "${jobs_to_end[@]}"; do kill "$p" 2>/dev/null; done; rm -rf "$dir"; }
trap clean EXIT
fails=0

peer_port=$((20000 + RANDOM % 8000))
host=127.0.0.1 relay6=''
turnutils_peer -L 127.0.0.1 -p $peer_port >"$dir/peer" 2>&1 &
jobs_to_end+=($!)

login='--user ana:secret' client_login='-u ana -w secret' rtcp=-c streams='' stream_port=''

# count the packets of one run: NAME CLIENTS PACKETS BYTES OPTIONS...
run() {
    local name=$1 clients=$2 packets=$3 bytes=$4; shift 4
    mkfifo "$dir/$name.in"
    "$server" --listen $host $relay6 --allow $host $login $streams --per-user 63 <"$dir/$name.in" >"$dir/$name.out" 2>"$dir/$name.err" &
    local pid=$! port='' i
    jobs_to_end+=($pid)
    exec 7>"$dir/$name.in"
    for i in $(seq 200); do # until it listens, 10 s at most
        port=$(sed -n 's/^port //p' "$dir/$name.out"); [ -n "$port" ] && break
        read -r -t 0.05 <> <(:)
    done
    timeout 60 turnutils_uclient $rtcp $client_login -p "${stream_port:-$port}" -e $host -r $peer_port -l "$bytes" -n "$packets" \
        -m "$clients" -z 5 "$@" $host >"$dir/$name.client" 2>&1
    exec 7>&-
    wait $pid
    local total=$((clients * packets))
    local sent received lost
    sent=$(grep -o 'tot_send_msgs=[0-9]*' "$dir/$name.client" | tail -1 | cut -d= -f2)
    received=$(grep -o 'tot_recv_msgs=[0-9]*' "$dir/$name.client" | tail -1 | cut -d= -f2)
    lost=$(sed -n 's/.*Total lost packets \([0-9]*\).*/\1/p' "$dir/$name.client" | tail -1)
    local carried want=$((2 * total * bytes))
    carried=$(sed -n 's/.*"carried_bytes": \([0-9]*\).*/\1/p' "$dir/$name.out")
    echo "$name: sent ${sent:-?} of $total, received ${received:-?}, lost ${lost:-?}, metered ${carried:-?} bytes of $want"
    if [ "${sent:-x}" != $total ] || [ "${received:-x}" != $total ] || [ "${lost:-x}" != 0 ] ||
        [ "${carried:-x}" != $want ]; then
        echo "FAIL: $name"; tail -n 5 -v "$dir/$name.client" "$dir/$name.out" "$dir/$name.err"
        fails=$((fails + 1))
    fi
}

run send 2 100 172 -s
run send-odd-size 1 50 171 -s
run channel 2 100 172
run channel-big 1 50 1200 -D
run many 10 20 172
tcp=$((28000 + RANDOM % 2000)) tls=$((30000 + RANDOM % 2000))
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=relay -days 2 -keyout "$dir/key" -out "$dir/crt" 2>/dev/null
streams="--tcp $tcp --tls $tls --certificate $dir/crt --key $dir/key" stream_port=$tcp
run tcp-send 2 100 172 -t -s
run tcp-channel-odd-size 2 100 171 -t
run tcp-channel-big 1 50 1200 -t -D
run tcp-many 10 20 172 -t
stream_port=$tls
run tls-send 2 100 171 -t -S -s
run tls-channel 2 100 172 -t -S
run tls-channel-odd-size 1 50 173 -t -S
streams='' stream_port=''
run dont-fragment 1 50 172 -g -s
rtcp='' # with the RTCP port beside each RTP port: EVEN-PORT, RESERVATION-TOKEN
run reserved-ports 2 50 172
rtcp=-c
# the client makes its own time-limited credential, as coturn's use-auth-secret wants it
login='--secret of-an-app-and-the-relay' client_login='-u ana -W of-an-app-and-the-relay'
run time-limited-send 2 100 172 -s
run time-limited-channel 2 100 172
login='--user ana:secret' client_login='-u ana -w secret'
if grep -q '^0*1 ' /proc/net/if_inet6 2>/dev/null; then
    host=::1 relay6='--relay6 ::1'
    turnutils_peer -L ::1 -p $peer_port >"$dir/peer6" 2>&1 &
    jobs_to_end+=($!)
    run ipv6-send 1 50 171 -x -s
    run ipv6-channel 1 50 172 -x
    run both-families 1 50 172 -x -X
    host=127.0.0.1
    run both-families-4 1 50 172 -x -X
else
    echo "no IPv6 on this machine's loopback: IPv6 left out"
fi
[ $fails = 0 ] && echo "PASS" || exit 1
