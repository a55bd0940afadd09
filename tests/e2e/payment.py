# SPDX-License-Identifier: Apache-2.0
"""Paid to the token, with real programs: what was carried, what was released and what the ledger moved agree exactly; a client that
stops paying is stopped within one quantum; a relay's claim above its tokens is refused and moves nothing.
usage: payment.sh BUILD_DIR"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import lab as chasqui_lab  # noqa: E402

FUND, GRANT = 100, 1
QUANTUM = 65536


def main():
    failed = []

    def check(what, fine):
        print(f"{'ok   ' if fine else 'FAIL '} {what}", flush=True)
        if not fine:
            failed.append(what)

    lab = chasqui_lab.Lab(sys.argv[1])
    lab.start_ledger()
    for name in ("north", "south"):
        lab.start_relay(name, "127.0.0.1", settle_after=2, grant=str(GRANT), fund=str(FUND))
    lab.cli("ana", "init", "--invite", lab.invite("north"), "--handle", "ana")
    lab.cli("bo", "init", "--invite", lab.invite("south"), "--handle", "bo")
    lab.cli("ana", "add", "bo")

    # Honest people.
    ana, bo = lab.listen("ana"), lab.listen("bo")
    text = "界" * 4000
    for n in range(40):
        ana.say(f"send bo {n:02} {text}")
    bo.wait("all messages arrive", 60, "received", lambda e: len(bo.all("received")) == 40)
    ana.wait("all are delivered", 60, "delivered", lambda e: len(ana.all("delivered")) == 40)
    check("both leave", ana.quit() == 0 and bo.quit() == 0)

    def settled(name):
        status = lab.relay_status(name)
        return status["channel_list"] and all(c["settled"] == c["tokens"] for c in status["channel_list"])

    tokens = 0
    for name in ("north", "south"):
        lab.until(f"{name} settles", 20, lambda n=name: settled(n))
        status = lab.relay_status(name)
        earned = 0
        for c in status["channel_list"]:
            on_ledger = lab.query("channel", c["id"])
            price = chasqui_lab.micro(c["price"])
            check(f"{name}: {c['carried_bytes']} bytes carried = {c['tokens']} tokens = {on_ledger['settled_tokens']} settled",
                  c["tokens"] == -(-c["carried_bytes"] // QUANTUM) == int(on_ledger["settled_tokens"]))
            check(f"{name}: and {on_ledger['settled']} credit",
                  chasqui_lab.micro(on_ledger["settled"]) == c["tokens"] * price)
            earned += c["tokens"] * price
            tokens += c["tokens"]
        guests = status["grants"]
        have = lab.balance(lab.relays[name]["account"])
        check(f"{name}: balance {have} = funds - {guests} allowances + {earned} earned",
              have == (FUND - guests * GRANT) * 1000000 + earned)
    for name in ("ana", "bo"):
        wallet = json.loads(lab.cli(name, "wallet", "--json")[1])
        print(f"      {name}: {wallet}")
        tokens -= int(wallet["paid_micro"]) // 100
    check("the clients count the same tokens as the relays", tokens == 0)

    # A client that stops paying after 3 tokens and goes on sending; then a relay that claims more than it has.
    relay = lab.relays["north"]
    chain = lab.query("info")["chain_id"]
    before = {c["id"] for c in lab.relay_status("north")["channel_list"]}
    done = subprocess.run([lab.program("relay_load"), "127.0.0.1", str(relay["port"]), chain, "7", "100000", "4096", "4", "0", "3",
                           lab.ledger_socket],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    if not done.stdout:
        raise chasqui_lab.Failed(f"relay_load ended with {done.returncode}: {done.stderr}")
    got = json.loads(done.stdout)
    cheat = next(c for c in lab.relay_status("north")["channel_list"] if c["id"] not in before)
    print(f"      cheat: {got}\n      relay: {cheat}")
    check(f"it paid 3 tokens and was refused {got['refused']} times", cheat["tokens"] == 3 and got["refused"] > 0)
    unpaid = cheat["carried_bytes"] - 3 * QUANTUM
    check(f"stopped within one quantum: {unpaid} bytes unpaid of {QUANTUM}", 0 < unpaid <= QUANTUM)
    check("4 of 4 false claims are refused by the ledger", got["claims_refused"] == 4)
    print("      " + done.stderr.strip().replace("\n", "\n      "))
    lab.until("the 3 tokens are settled", 20, lambda: settled("north"))
    check("the cheat's 3 tokens are on the ledger, no more", int(lab.query("channel", cheat["id"])["settled_tokens"]) == 3)

    money = lab.ledger_info()
    check(f"credit is conserved: {money['issued']} = {money['balances']} + {money['deposits']}",
          money["conserved"] and money["issued"] == money["balances"] + money["deposits"])
    print("passed" if not failed else "FAILED: " + ", ".join(failed))
    return 1 if failed else 0


try:
    sys.exit(main())
except chasqui_lab.Failed as e:
    print(f"FAIL  {e}")
    sys.exit(1)
