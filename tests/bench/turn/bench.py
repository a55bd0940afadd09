#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints one JSON object a line: median CPU ns of the server per packet that arrived, ours and coturn's."""
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time

RUNS = 5
BYTES = 172
# name: direction, flows, run length, packets a second (0: as fast as they arrive), packets
MODES = {
    "relay.turn.cpu.single": ("up", 16, 1, 20000, 12000),
    "relay.turn.cpu.run8": ("up", 16, 8, 40000, 20000),
    "relay.turn.cpu.full": ("up", 16, 1, 0, 60000),
    "relay.turn.cpu.full_down": ("down", 16, 1, 0, 40000),
}


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_ours(build):
    process = subprocess.Popen(
        [f"{build}/tests/chasqui-test-turn", "--allow", "127.0.0.0/8", "--user", "a:b", "--per-user", "63",
         "--rate", "10000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline().split()[1])


def start_coturn(load):
    if shutil.which("turnserver") is None:
        return None, 0
    port = free_port()
    process = subprocess.Popen(
        ["turnserver", "-n", "-L", "127.0.0.1", "-p", str(port), "--no-tls", "--no-dtls", "--no-cli", "--lt-cred-mech",
         "-u", "a:b", "-r", "bench", "--allow-loopback-peers", "--log-file", "/dev/null", "--pidfile", "/dev/null"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(50):
        if measure(load, port, process.pid, ("up", 1, 1, 0, 10)) is not None:
            return process, port
        time.sleep(0.1)
    process.kill()
    return None, 0


def measure(load, port, pid, mode):
    direction, flows, run, per_s, packets = mode
    words = [load, port, pid, "a", "b", direction, flows, run, per_s, packets, BYTES]
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        return None
    row = json.loads(done.stdout)
    return row if row["arrived"] >= 0.99 * row["sent"] else None


def coturn_name():
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "coturn"], capture_output=True, text=True, check=False)
    return f"coturn {done.stdout}".strip()


def main():
    build, only = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    load = f"{build}/tests/bench-turn-load"
    names = [n for n in MODES if n.startswith(only)]
    if not names:
        return 0
    ours, our_port = start_ours(build)
    coturn, coturn_port = start_coturn(load)
    try:
        for name in names:
            mine, theirs = [], []
            for _ in range(RUNS):
                mine.append(measure(load, our_port, ours.pid, MODES[name]))
                if coturn:
                    theirs.append(measure(load, coturn_port, coturn.pid, MODES[name]))
            mine, theirs = ([r["cpu_ns"] for r in rows if r] for rows in (mine, theirs))
            if not mine:
                print(f"{name}: no run of ours was complete", file=sys.stderr)
                return 1
            row = {"name": name, "value": statistics.median(mine), "unit": f"ns/packet of {BYTES} B", "runs": len(mine)}
            if theirs:
                row["peer"], row["peer_value"] = coturn_name(), statistics.median(theirs)
                row["ratio"] = round(row["value"] / row["peer_value"], 3)
            print(json.dumps(row), flush=True)
    finally:
        ours.communicate("", timeout=10)
        if coturn:
            coturn.terminate()
            coturn.wait(10)
    return 0


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C"
    sys.exit(main())
