# SPDX-License-Identifier: Apache-2.0
"""What a stranger without any credit may not do to a relay (tests/e2e/relay/relay_abuse.c).
usage: relay_abuse.sh BUILD_DIR"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import lab as chasqui_lab  # noqa: E402


def main():
    lab = chasqui_lab.Lab(sys.argv[1])
    lab.start_ledger()
    lab.start_relay("north", "127.0.0.1")
    relay = lab.relays["north"]
    lab.stop_relay("north")
    conf = os.path.join(relay["home"], "relay.conf")
    with open(conf, encoding="utf-8") as f:
        text = re.sub(r"(?m)^grants_per_day = .*$", "grants_per_day = 5", f.read())
    with open(conf, "w", encoding="utf-8") as f:
        f.write(text)
    lab.restart_relay("north")
    code, out, _ = lab.run([lab.program("relay_abuse"), "127.0.0.1", str(relay["port"]), lab.query("info")["chain_id"]], check=False)
    print(out, end="")
    return code


try:
    sys.exit(main())
except chasqui_lab.Failed as e:
    print(f"FAIL  {e}")
    sys.exit(1)
