# SPDX-License-Identifier: Apache-2.0
"""Message delays between two clients over two relays on loopback, and the memory of each program at rest."""
import json
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
import lab as chasqui_lab  # noqa: E402

RUNS = 200


def put(name, value, unit, runs):
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, "runs": runs}), flush=True)


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def delays(ana, bo, text):
    """Milliseconds from the command to: on the outbox's disk, on the relay's disk, with bo, known as delivered."""
    since_a, since_b = len(ana.events), len(bo.events)
    start = chasqui_lab.time.time()
    ana.say("send bo " + text)
    queued = ana.wait("queued", 10, "queued", since=since_a)
    this = lambda e: e.get("message_id") == queued["message_id"]  # noqa: E731
    got = bo.wait("received", 10, "received", this, since_b)
    delivered = ana.wait("delivered", 10, "delivered", this, since_a)
    sent = ana.wait("sent", 10, None, lambda e: e["event"] in ("sent", "delivered") and this(e), since_a)
    return [(e["seen"] - start) * 1000 for e in (queued, sent, got, delivered)]


def main():
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    if only and not "client".startswith(only) and not only.startswith("client"):
        return
    lab = chasqui_lab.Lab(sys.argv[1])
    ledger = lab.start_ledger()
    relays = [lab.start_relay(name, "127.0.0.1") for name in ("north", "south")]
    for name, relay in (("ana", "north"), ("bo", "south")):
        lab.cli(name, "init", "--invite", lab.invite(relay), "--handle", name)
    lab.cli("ana", "add", "bo")
    ana, bo = lab.listen("ana"), lab.listen("bo")
    ana.wait("ana connects", 20, "ready")
    bo.wait("bo connects", 20, "ready")
    delays(ana, bo, "the first, which makes the session")
    rows = list(zip(*(delays(ana, bo, f"number {n} " + "x" * 100) for n in range(RUNS))))
    for i, what in enumerate(("outbox", "relay_disk", "received", "delivered")):
        put(f"client_message_put_to_{what}", statistics.median(rows[i]), "ms", RUNS)
        put(f"client_message_put_to_{what}_p95", sorted(rows[i])[int(RUNS * 0.95)], "ms", RUNS)
    count = 500
    start = chasqui_lab.time.time()
    since = len(ana.events)
    for n in range(count):
        ana.say(f"send bo burst {n}")
    ana.wait("the burst is delivered", 120, "delivered", lambda e: len([1 for x in ana.events[since:] if x.get("event") == "delivered"]) >= count, since)
    put("client_messages_through_one_relay", count / (chasqui_lab.time.time() - start), "1/s", count)
    put("client_memory_chasqui_at_rest", rss_mib(bo.process.pid), "MiB", 1)
    put("relay_memory_at_rest", rss_mib(relays[1].pid), "MiB", 1)
    put("ledger_memory_at_rest", rss_mib(ledger.pid), "MiB", 1)
    ana.quit()
    bo.quit()


try:
    main()
except chasqui_lab.Failed as e:
    print(f"bench client: {e}", file=sys.stderr)
    sys.exit(1)
