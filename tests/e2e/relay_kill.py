# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a relay at seeded moments under PUT, DELIVER, ACK and TOKEN load (tests/e2e/relay/relay_load.c). Nothing that was acknowledged is
lost, nothing is delivered as new twice, sequences have no gap, and what was carried and paid agrees on both sides at the end.
usage: relay_kill.sh BUILD_DIR [KILLS] [SEED]"""
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import lab as chasqui_lab  # noqa: E402


def main():
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    dice = random.Random(seed)
    lab = chasqui_lab.Lab(sys.argv[1])
    lab.start_ledger()
    lab.start_relay("north", "127.0.0.1", settle_after=1, grant="50", fund="100")
    relay = lab.relays["north"]
    chain = lab.query("info")["chain_id"]
    load = subprocess.Popen([lab.program("relay_load"), "127.0.0.1", str(relay["port"]), chain, str(seed), "1000000", "700", "16", "300"],
                            stdout=subprocess.PIPE, text=True)
    lab.started.append(load)
    lab.until("the load is served", 20, lambda: lab.relay_status("north")["puts"] > 0)
    for n in range(kills):
        lab.pause.wait(dice.choice([dice.uniform(0, 0.05), dice.uniform(0, 0.6)]))
        if load.poll() is not None:
            break
        lab.kill_relay("north")
        lab.restart_relay("north")
    # Serve undisturbed until something has come through after the last kill, then end.
    lab.until("the load is served again", 30, lambda: load.poll() is not None or lab.relay_status("north")["puts"] > 20)
    load.terminate()
    out, _ = load.communicate(timeout=60)
    got = json.loads(out)
    print(f"      {got}")
    failed = []

    def check(what, fine):
        print(f"{'ok   ' if fine else 'FAIL '} {what}")
        if not fine:
            failed.append(what)

    check(f"{kills} kills, the clients came back {got['came_back']} times", got["came_back"] > 0)
    check(f"{got['stored']} messages acknowledged, none lost", got["lost"] == 0 and got["stored"] == got["messages"] and got["stored"] > 0)
    check("none delivered as new twice, no gap, nothing strange", got["doubled"] == 0 and got["gaps"] == 0 and got["strange"] == 0)
    check("relay_load is content", load.returncode == 0)
    lab.until("all is acknowledged and deleted", 10, lambda: lab.relay_status("north")["messages"] == 0)
    carried = lab.relay_status("north")["carried_bytes"]
    # Each message is charged once when stored and once when its delivery is acknowledged, whatever the kills.
    check(f"carried exactly two times what was stored: {carried}", carried == 2 * 700 * got["stored"])
    check("the relay stops cleanly and settles", lab.stop_relay("north") == 0)
    money = lab.ledger_info()
    check(f"credit is conserved: {money['issued']} = {money['balances']} + {money['deposits']}", money["conserved"])
    print(f"seed {seed}: {'passed' if not failed else 'FAILED'}")
    return 1 if failed else 0


try:
    sys.exit(main())
except chasqui_lab.Failed as e:
    print(f"FAIL  {e}")
    sys.exit(1)
