# SPDX-License-Identifier: Apache-2.0
"""One relay with a real ledger, one sender and one reader (tests/e2e/relay/relay_load.c), every acknowledgement durable."""
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
import lab as chasqui_lab  # noqa: E402

RUNS = 3


def rss_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def say(name, value, unit, runs=RUNS):
    print(json.dumps({"name": name, "value": value, "unit": unit, "runs": runs}), flush=True)


def main():
    lab = chasqui_lab.Lab(sys.argv[1])
    lab.start_ledger()
    lab.start_relay("north", "127.0.0.1", settle_after=5, grant="10", fund="1000")
    relay = lab.relays["north"]
    pid = relay["process"].pid
    say("relay_rss_at_rest", rss_kb(pid), "kB", 1)
    chain = lab.query("info")["chain_id"]
    seeds = iter(range(1, 100))

    def load(count, size, window):
        done = subprocess.run([lab.program("relay_load"), "127.0.0.1", str(relay["port"]), chain, str(next(seeds)), str(count), str(size), str(window)],
                              stdout=subprocess.PIPE, timeout=120, check=True, text=True)
        return json.loads(done.stdout)

    many = [load(5000, 256, 64) for _ in range(RUNS)]
    say("relay_messages_per_s_256B", round(statistics.median(r["delivered"] / r["seconds"] for r in many)), "messages/s")
    one = [load(300, 1024, 1) for _ in range(RUNS)]
    say("relay_put_to_delivered_p50", round(statistics.median(r["p50_us"] for r in one) / 1000, 3), "ms")
    say("relay_put_to_delivered_p99", round(statistics.median(r["p99_us"] for r in one) / 1000, 3), "ms")
    say("relay_rss_after_load", rss_kb(pid), "kB", 1)
    return 0 if lab.stop_relay("north") == 0 else 1


try:
    sys.exit(main())
except chasqui_lab.Failed as e:
    print(f"bench relay: {e}", file=sys.stderr)
    sys.exit(1)
