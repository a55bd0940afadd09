#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How long a call takes to be up, from the start at the caller: on the relay, then on the direct path where one is.

usage: setup.py BUILD_DIR NAME     (inside `natlab.sh shell A_TYPE B_TYPE`, or without it on loopback)
The callee answers at once and signals go over a local socket, so this is the cost of the call itself.
"""
import json
import os
import socket
import statistics
import subprocess
import sys

RUNS = 9


def once(build, lab, net):
    inside = {n: ["ip", "netns", "exec", f"{lab}-{n}"] if lab else [] for n in ("pub", "a", "b")}
    hosts = [f"{net}.11", f"{net}.12"] if lab else ["127.0.0.1", "127.0.0.1"]
    relays, ports = [], []
    for host in hosts:
        allow = f"{net}.0/24" if lab else "127.0.0.1/32"
        relay = subprocess.Popen(
            inside["pub"] + [f"{build}/tests/chasqui-test-turn", "--listen", host, "--relay", host, "--user",
                             "ana:secret", "--allow", allow],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        relays.append(relay)
        ports.append(relay.stdout.readline().split()[1])
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peers = []
    for i, side in enumerate("ab"):
        command = inside[side] + ["timeout", "30", f"{build}/bin/call_peer", "--signal-fd", str(ends[i].fileno()),
                                  "--relay", hosts[i], "--port", ports[i], "--user", "ana", "--password", "secret"]
        command += ["--caller", "--talk-ms", "500"] if side == "a" else []
        command += [] if lab else ["--loopback"]
        peers.append(subprocess.Popen(command, pass_fds=[ends[i].fileno()], stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, text=True))
    for e in ends:
        e.close()
    stats = json.loads(peers[0].communicate()[0])
    peers[1].communicate()
    for relay in relays:
        relay.communicate()
    return stats


def main():
    build, name = sys.argv[1:3]
    lab, net = os.environ.get("NATLAB"), os.environ.get("NATLAB_NET")
    runs = [once(build, lab, net) for _ in range(RUNS)]
    up = [r["connected_ms"] for r in runs if r["connected_ms"] > 0]
    direct = [m["at_ms"] for r in runs for m in r["moves"] if m["to"] == "direct"]
    if len(up) < RUNS:
        raise SystemExit(f"{name}: only {len(up)} of {RUNS} calls were up")
    print(json.dumps({"name": f"call_setup_{name}", "value": statistics.median(up), "unit": "ms", "runs": RUNS}))
    if len(direct) == RUNS:
        print(json.dumps({"name": f"call_direct_{name}", "value": statistics.median(direct), "unit": "ms", "runs": RUNS}))


if __name__ == "__main__":
    main()
