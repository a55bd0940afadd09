#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Not a test by itself: a NAT laboratory in network namespaces, to source. Needs root, ip and nft. Nothing leaves the machine.
#
#   source tests/net/natlab.sh
#   natlab_supported || exit 77
#   trap natlab_down EXIT
#   natlab_up
#   natlab_nat a symmetric; natlab_nat b port
#   natlab_in pub COMMAND...      # the public internet: addresses $NATLAB_NET.1, .11, .12, .13, .14 (one for each relay)
#   natlab_in a COMMAND...        # a host behind its home router; b likewise
#
# or, to look around by hand:  natlab.sh shell A_TYPE B_TYPE [COMMAND...]
# and as a test of itself:     natlab.sh BUILD_DIR
#
# Types: open (no NAT, routed), fullcone, addr (address-dependent filter), port (address- and port-dependent filter),
# symmetric (a new port for each destination), udpblocked (TCP only).
#
# Namespaces are named $NATLAB-pub, -a, -an, -b, -bn; NATLAB is unique for this process, so runs do not collide.

NATLAB=${NATLAB:-chq$$}
NATLAB_NET=${NATLAB_NET:-203.0.113}
NATLAB_PUBLIC="1 11 12 13 14"

natlab_supported() {
    [ "$(id -u)" = 0 ] || { echo "natlab: needs root"; return 1; }
    command -v ip > /dev/null && command -v nft > /dev/null || { echo "natlab: needs ip and nft"; return 1; }
    ip netns add "$NATLAB-try" 2> /dev/null || { echo "natlab: network namespaces are not allowed here"; return 1; }
    local ok=0
    ip netns exec "$NATLAB-try" nft 'add table ip t; add chain ip t c { type nat hook postrouting priority srcnat; }' \
        2> /dev/null || { echo "natlab: nft NAT is not allowed here"; ok=1; }
    ip netns del "$NATLAB-try"
    return $ok
}

natlab_in() { # WHERE COMMAND...
    local where=$1
    shift
    ip netns exec "$NATLAB-$where" "$@"
}

natlab_link() { # NAMESPACE NAME NAMESPACE NAME
    ip link add "$2" netns "$NATLAB-$1" type veth peer name "$4" netns "$NATLAB-$3"
    ip -n "$NATLAB-$1" link set "$2" up
    ip -n "$NATLAB-$3" link set "$4" up
}

natlab_up() {
    local n i=1 s
    for n in pub a an b bn; do
        ip netns add "$NATLAB-$n"
        ip -n "$NATLAB-$n" link set lo up
        natlab_in $n sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 2> /dev/null || true
    done
    ip -n "$NATLAB-pub" link add br0 type bridge
    ip -n "$NATLAB-pub" link set br0 up
    for n in $NATLAB_PUBLIC; do ip -n "$NATLAB-pub" addr add "$NATLAB_NET.$n/24" dev br0; done
    for s in a b; do
        natlab_link ${s}n w0 pub p$s
        ip -n "$NATLAB-pub" link set p$s master br0
        natlab_link ${s}n l0 $s e0
        ip -n "$NATLAB-${s}n" addr add "$NATLAB_NET.10$i/24" dev w0
        ip -n "$NATLAB-${s}n" addr add 192.168.$i.1/24 dev l0
        ip -n "$NATLAB-$s" addr add 192.168.$i.2/24 dev e0
        ip -n "$NATLAB-$s" route add default via 192.168.$i.1
        ip -n "$NATLAB-${s}n" route add default via "$NATLAB_NET.1"
        # Everybody knows the way to the homes: only an open router lets it be used.
        ip -n "$NATLAB-pub" route add 192.168.$i.0/24 via "$NATLAB_NET.10$i"
        natlab_in ${s}n sysctl -qw net.ipv4.ip_forward=1
        i=$((i + 1))
    done
    natlab_in pub sysctl -qw net.ipv4.ip_forward=1
}

# Delete the namespaces and end what still runs in them.
natlab_down() {
    local n pids
    for n in a b an bn pub; do
        ip netns list | grep -q "^$NATLAB-$n\b" || continue
        pids=$(ip netns pids "$NATLAB-$n" 2> /dev/null || true)
        # shellcheck disable=SC2086
        [ -z "$pids" ] || kill -9 $pids 2> /dev/null || true
        ip netns del "$NATLAB-$n" || true
    done
}

# The router forwards what its home begins and what belongs to it; unsolicited UDP to itself is dropped without an ICMP
# error, which would disturb the first probes of the other side.
natlab_filter() { # RULES...
    echo "table ip f {
        chain input { type filter hook input priority 0; policy accept; iifname w0 meta l4proto udp drop; }
        chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; $1 }
    }"
}

natlab_rules() { # TYPE
    local remember='chain remember { type filter hook postrouting priority srcnat - 1;'
    case $1 in
    open) ;;
    port)
        natlab_filter 'iifname l0 accept;'
        echo 'table ip n { chain post { type nat hook postrouting priority srcnat; oifname w0 masquerade; }; }'
        ;;
    symmetric)
        natlab_filter 'iifname l0 accept;'
        echo 'table ip n { chain post { type nat hook postrouting priority srcnat;
            oifname w0 meta l4proto udp masquerade random,fully-random; oifname w0 masquerade; }; }'
        ;;
    fullcone)
        natlab_filter 'iifname l0 accept; ct status dnat accept;'
        echo "table ip n {
            map homes { type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout 300s; size 65535; }
            chain pre { type nat hook prerouting priority dstnat; iifname w0 meta l4proto udp dnat ip to udp dport map @homes; }
            $remember oifname w0 meta l4proto udp update @homes { udp sport : ip saddr . udp sport }; }
            chain post { type nat hook postrouting priority srcnat; oifname w0 masquerade; }
        }"
        ;;
    addr)
        natlab_filter 'iifname l0 accept; ct status dnat accept;'
        echo "table ip n {
            map homes { type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout 300s; size 65535; }
            set seen { type ipv4_addr . inet_service; flags dynamic,timeout; timeout 300s; size 65535; }
            chain pre { type nat hook prerouting priority dstnat;
                iifname w0 ip saddr . udp dport @seen dnat ip to udp dport map @homes; }
            $remember oifname w0 meta l4proto udp update @homes { udp sport : ip saddr . udp sport };
                oifname w0 meta l4proto udp update @seen { ip daddr . udp sport }; }
            chain post { type nat hook postrouting priority srcnat; oifname w0 masquerade; }
        }"
        ;;
    udpblocked)
        natlab_filter 'iifname l0 meta l4proto { tcp, icmp } accept;'
        echo 'table ip n { chain post { type nat hook postrouting priority srcnat; oifname w0 masquerade; }; }'
        ;;
    *)
        echo "natlab: no such NAT type: $1" >&2
        return 1
        ;;
    esac
}

natlab_nat() { # SIDE TYPE
    local rules
    rules=$(natlab_rules "$2") || return 1
    printf 'flush ruleset\n%s\n' "$rules" | natlab_in "${1}n" nft -f -
}

# Each type does what its name says: the laboratory is a test of itself.
natlab_check() {
    local type seen bad=0 ready
    exec {ready}< <(natlab_in pub /usr/bin/python3 "$(dirname "${BASH_SOURCE[0]}")/natlab_probe.py" serve "$NATLAB_NET")
    read -r -t 10 -u "$ready" || { echo "NOT OK: the probe's server did not start"; return 1; }
    for type in open fullcone addr port symmetric udpblocked; do
        natlab_nat a $type
        seen=$(natlab_in a timeout 20 /usr/bin/python3 "$(dirname "${BASH_SOURCE[0]}")/natlab_probe.py" ask "$NATLAB_NET" 192.168.1.2)
        if [ "$seen" = $type ]; then echo "ok: NAT type $type"; else echo "NOT OK: $type looks like '$seen'"; bad=1; fi
    done
    return $bad
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -e
    if [ "$1" = shell ] && [ $# -ge 3 ]; then
        natlab_supported || exit 77
        trap natlab_down EXIT
        natlab_up
        natlab_nat a "$2"
        natlab_nat b "$3"
        shift 3
        export NATLAB NATLAB_NET
        echo "namespaces: $NATLAB-pub $NATLAB-a $NATLAB-b" >&2
        "${@:-bash}"
    elif [ -d "${1:-}" ]; then
        natlab_supported || exit 77
        trap natlab_down EXIT
        natlab_up
        natlab_check
    else
        sed -n '3,24p' "$0"
        exit 2
    fi
fi
