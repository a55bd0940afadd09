# SPDX-License-Identifier: Apache-2.0
"""Two clients, a real ledger and two relays on loopback: offline delivery, order, receipts, exactly once, payment.
usage: messages.sh BUILD_DIR"""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import lab as chasqui_lab  # noqa: E402

CHECKED = []


def check(text, ok):
    CHECKED.append(ok)
    print(("ok    " if ok else "FAIL  ") + text, flush=True)
    return ok


def history(lab, name, other):
    _, out, _ = lab.cli(name, "history", other, "--json")
    return [json.loads(line) for line in out.splitlines()]


def main():
    lab = chasqui_lab.Lab(sys.argv[1])
    lab.start_ledger()
    for relay in ("north", "south"):
        lab.start_relay(relay, "127.0.0.1")
    for name, relay in (("ana", "north"), ("bo", "south")):
        _, out, _ = lab.cli(name, "init", "--invite", lab.invite(relay), "--handle", name)
        check(f"{name} is registered", f"Your handle is {name}" in out)

    _, out, _ = lab.cli("ana", "add", "bo")
    check("ana finds bo by handle", "bo is a contact" in out)
    texts = ["one", "two", "x" * 300, "ش" * 1000, "界" * 4096, "🦙" * 3072, "last while bo is away"]
    started = time.time()
    for text in texts:
        code, out, err = lab.cli("ana", "send", "bo", "-", stdin=text.encode(), check=False)
        check(f"{len(text.encode())} bytes sent while bo is away", code == 0 and "sent" in out)
    print(f"      {len(texts)} separate programs in {time.time() - started:.1f} s")
    rows = history(lab, "ana", "bo")
    check("ana's history: all sent, none delivered", [r["state"] for r in rows] == ["sent"] * len(texts))

    bo = lab.listen("bo")
    for i, text in enumerate(texts):
        bo.wait(f"message {i + 1}", 30, "received", lambda e, t=text: e["text"] == t)
    got = [e["text"] for e in bo.all("received")]
    check("bo receives all, once, in order, byte for byte", got == texts)
    check("bo learns who wrote", all(e["handle"] == "ana" for e in bo.all("received")))
    ana = lab.listen("ana")
    ana.wait("seven are delivered", 20, "delivered", lambda e: len(ana.all("delivered")) == len(texts))
    check("ana sees each delivered, once", sorted(e["number"] for e in ana.all("delivered")) == list(range(1, len(texts) + 1)))
    check("bo quits", bo.quit() == 0)

    bo = lab.listen("bo")
    bo.wait("bo connects", 20, "ready")
    check("nothing comes twice after a restart", not bo.all("received"))
    since_a, since_b = len(ana.events), len(bo.events)
    count = 40
    for n in range(count):
        ana.say(f"send bo ping {n}")
        bo.say(f"send ana pong {n}")
    for n in range(count):
        bo.wait(f"ping {n}", 30, "received", lambda e, n=n: e["text"] == f"ping {n}", since_b)
        ana.wait(f"pong {n}", 30, "received", lambda e, n=n: e["text"] == f"pong {n}", since_a)
    check("both write at once: in order at bo", [e["text"] for e in bo.all("received")] == [f"ping {n}" for n in range(count)])
    check("both write at once: in order at ana", [e["text"] for e in ana.all("received")] == [f"pong {n}" for n in range(count)])
    ana.wait("all pings are delivered", 30, "delivered", lambda e: len(ana.all("delivered")) == len(texts) + count)
    bo.wait("all pongs are delivered", 30, "delivered", lambda e: len(bo.all("delivered")) == count)
    check("all 80 are delivered", True)

    check("ana quits", ana.quit() == 0)
    check("bo quits", bo.quit() == 0)
    rows = history(lab, "bo", "ana")
    check("bo's history has every message once", len(rows) == len(texts) + 2 * count
          and len({r["message_id"] for r in rows}) == len(rows))
    a = json.loads(lab.cli("ana", "id", "bo", "--json")[1])
    b = json.loads(lab.cli("bo", "id", "ana", "--json")[1])
    check("both see the same safety number", a["safety_number"] == b["safety_number"] and len(a["safety_number"]) == 60)

    paid = {n: int(json.loads(lab.cli(n, "wallet", "--json")[1])["paid_micro"]) for n in ("ana", "bo")}
    check(f"both paid their relay: {paid}", paid["ana"] > 0 and paid["bo"] > 0)
    for relay in ("north", "south"):
        check(f"relay {relay} stops cleanly", lab.stop_relay(relay) == 0)
    money = lab.ledger_info()
    check(f"credit is conserved: {money['issued']} = {money['balances']} + {money['deposits']}",
          money["issued"] == money["balances"] + money["deposits"])
    print(f"{sum(CHECKED)} of {len(CHECKED)} checks passed")
    return 0 if all(CHECKED) else 1


try:
    sys.exit(main())
except chasqui_lab.Failed as e:
    print(f"FAIL  {e}")
    sys.exit(1)
